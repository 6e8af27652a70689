#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-static.sh [--kdir DIR] [--list] [CHECK...]: what can be told without running anything.
#
# Prints KTAP, one test a check, with a diagnostic line for each finding; the last line is
# "# static: N passed, N failed, N skipped". Ends with 0 if nothing failed.
#
# A check whose tool is missing is skipped, by name. checkpatch and its word lists come from
# Debian's linux-source package and are unpacked once, into ${XDG_CACHE_HOME:-~/.cache}/halo.
#
# --kdir: kernel headers to build against (default: the running kernel's, else any in
# /usr/src); sparse and noinstr build there.

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1

all=(spdx checkpatch kernel-doc includes kernel-differences words bug-warn file-length
	function-length kernel-lines backend-operations shellcheck sparse noinstr)

# What the design allows.
max_file=1200		# lines of a file
max_function=60		# lines of a function, "about": a quarter more is a finding
max_kernel=15600		# lines of kernel-side code, both backends
max_operations=24	# of struct halo_backend

kdir=
wanted=()
while [ $# -gt 0 ]; do
	case $1 in
	--kdir) kdir=$2; shift ;;
	--kdir=*) kdir=${1#*=} ;;
	--list) printf '%s\n' "${all[@]}"; exit 0 ;;
	-h|--help) sed -n '4,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) echo "check-static: unknown option $1; see --help" >&2; exit 2 ;;
	*) case " ${all[*]} " in
	   *" $1 "*) wanted+=("$1") ;;
	   *) echo "check-static: no check named $1; see --list" >&2; exit 2 ;;
	   esac ;;
	esac
	shift
done
[ ${#wanted[@]} -gt 0 ] || wanted=("${all[@]}")

if [ -z "$kdir" ]; then
	for kdir in "/lib/modules/$(uname -r)/build" /usr/src/linux-headers-6.1*-amd64 \
		    /usr/src/linux-headers-*-amd64; do
		[ -f "$kdir/include/generated/utsrelease.h" ] && break
		kdir=
	done
fi

work=$(mktemp -d) || exit 1
# checkpatch leaves a list of names where it runs.
trap 'rm -rf "$work" .checkpatch-camelcase.*' EXIT
found=$work/found

# files ENDING DIRECTORY...: the tree's, also those not committed yet.
files()
{
	local ending=$1 f
	shift
	git ls-files --cached --others --exclude-standard -- "$@" | grep -E "($ending)\$" | sort -u |
		while IFS= read -r f; do
			[ -f "$f" ] && printf '%s\n' "$f"
		done
}

kernel_files() { files '\.[chS]' module svm vmx ept; }
scripts_shell()
{
	files '' . | while IFS= read -r f; do
		head -n 1 "$f" 2>/dev/null | grep -aqE '^#!.*\b(ba|da)?sh\b' && printf '%s\n' "$f"
	done
}

# C without comments and strings, lines kept.
plain()
{
	perl -0777 -pe 's{(/\*.*?\*/|//[^\n]*)|("(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)}
		{ my $s = $1 // ""; my $n = ($s =~ tr/\n//); defined $2 ? "\"\"" : " " . "\n" x $n }gsex' "$1"
}

# grep in C code, comments and strings apart: files on stdin, code_grep PATTERN
code_grep()
{
	local f
	while IFS= read -r f; do
		plain "$f" | grep -nE "$1" | sed "s|^|$f:|"
	done
}

# --- the checks: findings on stdout; return 77 and say why on stdout to skip ---

check_spdx()
{
	local f line
	files '\.[chS]|\.ld|\.py|\.sh|Makefile|Kbuild' . | while IFS= read -r f; do
		line=$(head -n 2 "$f" | grep -m1 SPDX-License-Identifier:)
		case $f:$line in
		uapi/*:"/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */") ;;
		uapi/*) echo "$f: wants GPL-2.0 WITH Linux-syscall-note" ;;
		*.c:"// SPDX-License-Identifier: GPL-2.0") ;;
		*.h:"/* SPDX-License-Identifier: GPL-2.0 */") ;;
		*.S:"/* SPDX-License-Identifier: GPL-2.0 */") ;;
		*.c:*|*.h:*|*.S:*) echo "$f: first line is not the licence in its form" ;;
		*:*GPL-2.0*) ;;
		*) echo "$f: no SPDX-License-Identifier" ;;
		esac
	done
}

checkpatch_dir()
{
	local version archive dir
	archive=$(find /usr/src -maxdepth 1 -name 'linux-source-6.*.tar.xz' | sort -V | head -n 1)
	[ -n "$archive" ] || return 1
	version=$(basename "$archive" .tar.xz)
	version=$version-$(dpkg-query -W -f '${Version}' "$version" 2>/dev/null || echo local)
	dir=${XDG_CACHE_HOME:-$HOME/.cache}/halo/checkpatch/$version
	if [ ! -x "$dir/checkpatch.pl" ]; then
		mkdir -p "$dir.new" &&
		tar -xJf "$archive" -C "$dir.new" --strip-components=2 --occurrence=1 \
			--wildcards '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' \
			'*/scripts/const_structs.checkpatch' '*/scripts/kernel-doc' &&
		rm -rf "$dir" && mv "$dir.new" "$dir" || return 1
	fi
	echo "$dir"
}

# One file. What it finds nothing in is remembered: perl takes seconds for a file.
checkpatch_file()
{
	local dir=$1 f=$2 clean ignore
	# No new file of the kernel's tree, so no MAINTAINERS. A lock in a struct is told
	# of in its kernel-doc.
	ignore=FILE_PATH_CHANGES,UNCOMMENTED_DEFINITION
	case $f in
	# Its second half is what stands in for the kernel's headers elsewhere.
	module/pure.h)
		ignore=$ignore,NEW_TYPEDEFS,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE,VOLATILE
		ignore=$ignore,PREFER_DEFINED_ATTRIBUTE_MACRO,COMPLEX_MACRO,MEMORY_BARRIER ;;
	# A list that is handed a macro for its entries.
	module/reasons.h) ignore=$ignore,COMPLEX_MACRO,MACRO_ARG_REUSE ;;
	# What TRACE_EVENT() is made of, and lists for it.
	module/trace.h)
		ignore=$ignore,COMPLEX_MACRO,MACRO_ARG_REUSE,LONG_LINE,SPACING,TRAILING_SEMICOLON
		ignore=$ignore,PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE ;;
	# A table of fields: its macro asks for offsets and sizes only.
	module/state.c) ignore=$ignore,MACRO_ARG_REUSE ;;
	# No BIT() in userspace's headers; sections have rules above them.
	uapi/*) ignore=$ignore,BIT_MACRO,BLOCK_COMMENT_STYLE ;;
	esac
	clean=$dir/clean/$( (echo "$f $ignore"; cat "$f" "$dir/checkpatch.pl") | sha256sum | cut -c1-32)
	[ -f "$clean" ] && return
	perl "$dir/checkpatch.pl" --no-tree --strict --file --terse --show-types --quiet \
		--no-summary --max-line-length=100 --ignore "$ignore" "$f" 2>&1 |
	# Names the kernel gave; tables of opcodes, which live by their columns.
	grep -vE "CAMELCASE:.*<MSR_|^module/insn\.c:.*SPACING:.*around that '\|'" && return
	mkdir -p "$dir/clean" && : >"$clean"
}

check_checkpatch()
{
	local dir f
	command -v perl >/dev/null || { echo "perl not found"; return 77; }
	dir=$(checkpatch_dir) || { echo "linux-source-6.1 not installed"; return 77; }
	for f in $(kernel_files) $(files '\.h' uapi); do
		checkpatch_file "$dir" "$f"
	done
	return 0
}

check_kernel-doc()
{
	local doc f
	command -v perl >/dev/null || { echo "perl not found"; return 77; }
	doc=$(checkpatch_dir)/kernel-doc
	[ -f "$doc" ] || doc=$(find /usr/src/linux-headers-*-common/scripts/kernel-doc 2>/dev/null | head -n 1)
	[ -f "$doc" ] || { echo "no kernel-doc (linux-source-6.1 or headers)"; return 77; }
	for f in $(kernel_files | grep -v '\.S$') $(files '\.h' uapi); do
		# A struct's members may be told of where they stand; a function's parameters
		# can't.
		perl "$doc" -none "$f" 2>&1 | grep -E '(warning|error):' | grep -v 'Enum value' |
		while IFS= read -r line; do
			of=$(expr "$line" : ".*not described in '\([a-z_0-9]*\)'")
			[ -n "$of" ] && grep -qE "^struct $of\b" "$f" || printf '%s\n' "$line"
		done
		case $f in *.c) undocumented "$f" ;; esac
	done
	return 0
}

# Functions that others can call, without a kernel-doc comment before them.
undocumented()
{
	perl -0777 -ne '
		my $file = $ARGV;
		while (m{^(?!static\b|typedef\b|struct\s+\w+\s*\{|enum\b|union\b|extern\b|return\b|else\b|goto\b)
			 ([a-z_][\w\s\*]*?\b(\w+)\s*\([^;{}]*?\))\s*\n\{}gmx) {
			my ($at, $name) = ($-[0], $2);
			my $before = substr($_, 0, $at);
			next if $before =~ m{/\*\*\s*\n(?:(?!\*/).)*\*/\s*\z}s;
			my $line = 1 + ($before =~ tr/\n//);
			next if $name =~ /^(init_module|cleanup_module)$/ || $1 =~ /__(init|exit)\b/;
			print "$file:$line: $name() has no kernel-doc\n";
		}' "$1"
}

check_includes()
{
	local f
	# Who must not see whom (the design, "The house").
	for f in $(files '\.[chS]' vmx svm); do
		grep -nHE '#\s*include\s*[<"](.*/)?(ring|zone|vm|vcpu)\.h[>"]' "$f"
		grep -nHE '#\s*include\s*[<"]linux/halo\.h[>"]' "$f"
	done
	for f in $(files '\.[chS]' svm); do grep -nHE '#\s*include.*(vmx|vmcs)' "$f"; done
	for f in $(files '\.[chS]' vmx); do grep -nHE '#\s*include.*(svm|vmcb)' "$f"; done
	for f in $(files '\.[chS]' ept); do
		grep -nHE '#\s*include\s*[<"](.*/)?(vcpu|vm|ring|zone|backend|svm|vmcb|vmx|vmcs)\.h[>"]' "$f"
	done
	for f in module/ring.c module/ring.h module/zone.c module/zone.h; do
		[ -f "$f" ] && grep -nHE '#\s*include\s*[<"](.*/)?(vcpu|vm|backend|run)\.h[>"]' "$f"
	done
	# Pure code stands on pure.h, on the interface and on its own kind.
	for f in $(files '/(ring|zone|cpuid|cpuid_policy|walk|insn[a-z_]*|lapic[a-z_]*)\.[ch]' module) \
		 $(files '/gpt\.[ch]' ept) $(files '/(vmcs|vmx_check|vmx_rules)\.[ch]' vmx) \
		 $(files '/(avic_tables|vmcb)\.[ch]' svm); do
		[ "$f" = module/pure.h ] ||
			grep -nHE '#\s*include\s*<' "$f" | grep -vE '<linux/halo\.h>'
		grep -nHE '#\s*include\s*"(.*/)?(vcpu|vm|host|backend)\.h"' "$f"
	done
	return 0
}

check_kernel-differences()
{
	local f
	for f in $(kernel_files); do
		# Debian's stable kernels change interfaces within a series: versions lie.
		grep -nHE 'LINUX_VERSION_CODE|KERNEL_VERSION|linux/version\.h' "$f"
		case $f in
		module/host.[ch]) ;;
		*) grep -nHE '^\s*#\s*(el)?if.*\b(HALO_HAVE_|CONFIG_|IS_ENABLED)' "$f" ;;
		esac
	done
	kernel_files | grep -v '^module/host\.c$' |
		code_grep '\b(kallsyms_lookup_name|register_kprobe|symbol_get|__symbol_get)\b'
}

check_words()
{
	local f
	for f in $(files '\.[chS]|\.sh|\.py|Makefile|Kbuild|\.md' .); do
		[ "$f" = scripts/check-static.sh ] && continue
		grep -nHE '\b(TODO|FIXME|XXX|HACK)\b' "$f"
		# Assembly has stubs by right.
		case $f in *.S) ;; *) grep -nHiE '\bstubs?\b' "$f" | grep -v 'gdb stub' ;; esac
		grep -nHE '(^|[^A-Za-z0-9_.-])/(home|root)/[a-z]' "$f"
	done
	return 0
}

check_bug-warn()
{
	# A guest or a user must not be able to stop or flood the host.
	kernel_files |
		code_grep '\b((VM_)?(BUG|WARN)(_ON)?(_ONCE)?|panic|printk|trace_printk|dump_stack)\s*\('
}

check_file-length()
{
	local f n
	for f in $(files '\.[chS]|\.sh|\.py' .); do
		n=$(wc -l <"$f")
		[ "$n" -le $max_file ] || echo "$f: $n lines, more than $max_file"
	done
}

check_function-length()
{
	local f limit=$((max_function + max_function / 4))
	# A switch is as long as what it tells apart: its labels do not count.
	for f in $(kernel_files | grep '\.c$'); do
		awk -v file="$f" -v limit=$limit '
			/^[a-zA-Z_].*\(/ && !/;$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
			/^\{/ { start = NR; labels = 0 }
			/^\t+(case .*|default):/ { labels++ }
			/^\t+break;/ { labels++ }
			/^\}/ && start {
				n = NR - start - 1
				if (n - labels > limit)
					printf "%s:%d: %s() has %d lines\n", file, start, name, n
				start = 0
			}' "$f"
	done
}

# Lines of code of the files given: no comments, no blank lines.
count_lines()
{
	local f
	# pure.h's other half stands in for the kernel in userspace, and is not the kernel's.
	for f; do
		plain "$f" | case $f in
		module/pure.h) sed '/^#else/,/^#endif/d' ;;
		*) cat ;;
		esac
	done | grep -c '[^[:space:]]'
}

check_kernel-lines()
{
	local all
	# shellcheck disable=SC2046 # no name has a blank
	all=$(count_lines $(kernel_files))
	echo "note: $all lines of code, of $max_kernel"
	[ "$all" -le $max_kernel ] || echo "kernel-side code has $all lines, more than $max_kernel"
}

check_backend-operations()
{
	local n
	[ -f module/backend.h ] || { echo "module/backend.h not there"; return 77; }
	n=$(plain module/backend.h | sed -n '/^struct halo_backend {/,/^};/p' |
		grep -oE '\(\*\w+\)\s*\(' | wc -l)
	echo "note: $n operations, of $max_operations"
	[ "$n" -gt 0 ] || echo "module/backend.h: struct halo_backend not found"
	[ "$n" -le $max_operations ] || echo "struct halo_backend has $n operations: redesign"
}

check_shellcheck()
{
	command -v shellcheck >/dev/null || { echo "shellcheck not found"; return 77; }
	scripts_shell | xargs -r shellcheck -f gcc -S style
}

build()
{
	local log=$1
	shift
	nice make "$@" KDIR="$kdir" >"$log" 2>&1
}

check_sparse()
{
	command -v sparse >/dev/null || { echo "sparse not found"; return 77; }
	[ -n "$kdir" ] || { echo "no kernel headers"; return 77; }
	grep -q '^sparse:' Makefile 2>/dev/null || { echo "no make target for it"; return 77; }
	# Afresh and apart: C=2 checks what make thinks is up to date, too.
	if ! build "$work/sparse.log" B="build/static/sparse" sparse; then
		grep -E '(error|warning):' "$work/sparse.log" || tail -n 5 "$work/sparse.log"
		return
	fi
	grep -E '(^|/)(module|svm|vmx|ept|uapi)/[^ ]*:[0-9]+:[0-9]+: (warning|error)' "$work/sparse.log" |
		sed "s|$top/||" | sort -u
	return 0
}

# Functions that may be called from .noinstr.text though objtool, which sees the module
# alone, can't know it: the kernel has them in noinstr text of its own.
noinstr_outside='__ct_user_(enter|exit)|ct_irq_(enter|exit)|context_tracking_[a-z_]*'
noinstr_outside+='|(entry|retbleed|srso|srso_alias)_untrain_ret|entry_ibpb|write_ibpb|clear_bhb_loop'

check_noinstr()
{
	local objtool b=build/static/noinstr
	[ -n "$kdir" ] || { echo "no kernel headers"; return 77; }
	grep -q '^module:' Makefile 2>/dev/null || { echo "no make target for it"; return 77; }
	objtool=$(readlink -f "$kdir/tools/objtool/objtool")
	[ -x "$objtool" ] || objtool=$(find /usr/lib/linux-kbuild-6.*/tools/objtool/objtool 2>/dev/null | head -n 1)
	[ -x "$objtool" ] || { echo "objtool not found"; return 77; }

	# Without this symbol instrumentation_begin() is nothing, and every call a finding.
	if ! build "$work/noinstr.log" B=$b KCFLAGS=-DCONFIG_NOINSTR_VALIDATION=1 module; then
		grep -E 'error:' "$work/noinstr.log" || tail -n 5 "$work/noinstr.log"
		return
	fi
	[ -f "$b/halo.o" ] || { echo "$b/halo.o was not built"; return; }
	cp "$b/halo.o" "$work/halo.o"
	# Its exit status is 0 whatever it finds.
	"$objtool" --noinstr --link --module "$work/halo.o" 2>&1 |
		grep -vE "call to ($noinstr_outside)\(\)" | sed "s|$work/||"
	objdump -h "$work/halo.o" | grep -q '\.noinstr\.text' || echo "halo.o has no .noinstr.text"
}

# --- the run ---

pass=0 fail=0 skip=0 number=0
echo "KTAP version 1"
echo "1..${#wanted[@]}"
for check in "${wanted[@]}"; do
	number=$((number + 1))
	"check_$check" >"$found" 2>&1
	status=$?
	if [ $status = 77 ]; then
		skip=$((skip + 1))
		echo "ok $number $check # SKIP $(tail -n 1 "$found")"
		continue
	fi
	sed -n 's/^note: /# /p' "$found"
	findings=$(grep -vc '^note: ' "$found")
	if [ "$findings" = 0 ]; then
		pass=$((pass + 1))
		echo "ok $number $check"
		continue
	fi
	fail=$((fail + 1))
	grep -v '^note: ' "$found" | head -n 200 | sed 's/^/# /'
	echo "not ok $number $check # $findings findings"
done
echo "# static: $pass passed, $fail failed, $skip skipped"
[ $fail = 0 ]
