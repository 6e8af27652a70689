# SPDX-License-Identifier: GPL-2.0
# Names and encodings of the fields that software writes, from vmx/vmcs.h.
BEGIN { print "/* from vmcs.h */\nstatic const struct {\n\tu16 field;\n\tconst char *name;\n} fields[] = {" }
/^\tVMCS_[A-Z0-9_]+ = 0x/ {
	code = $3
	sub(/,.*/, "", code)
	sub(/^VMCS_/, "", $1)
	if (code !~ /^0x[0246]4/)		# read-only data
		printf "\t{ %s, \"%s\" },\n", code, $1
}
END { print "};\n" }
