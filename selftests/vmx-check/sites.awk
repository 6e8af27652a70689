# SPDX-License-Identifier: GPL-2.0
# sites.tsv as C: the rows, and a switch each for what is good and what is broken.
function quoted(s) { gsub(/"/, "\\\"", s); return s == "-" ? "NULL" : "\"" s "\"" }
BEGIN { FS = "\t"; print "/* from sites.tsv */\nstatic const struct site sites[] = {" }
/^#/ || $1 == "site" { next }
{
	printf "\t{ \"%s\", %s, VMX_RULE_%s, BASE_%s, %s, %s, %s },\n", $1, $2 == "y" ? "true" : "false", $4,
	       $6, quoted($5), quoted($9), quoted($10)
	good = good sprintf("\tcase %d:\n\t\t%s;\n\t\tbreak;\n", n, $7 == "-" ? "" : $7)
	broken = broken sprintf("\tcase %d:\n\t\t%s;\n\t\tbreak;\n", n, $8 == "-" ? "" : $8)
	n++
}
END {
	print "};\n"
	print "static inline void site_good(struct image *m, unsigned int site)\n{\n\tswitch (site) {\n" good "\t}\n}\n"
	print "static inline void site_broken(struct image *m, unsigned int site)\n{\n\tswitch (site) {\n" broken "\t}\n}"
}
