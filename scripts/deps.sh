#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# deps.sh GROUP|PACKAGE...: see that Debian packages are installed.
#
# Quick and silent when they are.  Installs what is missing when run as root,
# else prints the one line that would, and ends with 1.
set -eu

usage() {
	cat <<'TEXT'
usage: scripts/deps.sh GROUP|PACKAGE...
groups:
  build         compile the module, the tool and the kselftests
  lab           boot the nested machine
  debug-kernel  build the debug and the minimal host kernel
  bochs3        build Bochs 3.0
  test          host unit tests, fuzzers and static checks
  all           everything above
Any other word is taken as the name of a Debian package.
TEXT
}

build="gcc make libc6-dev linux-headers-amd64 libjansson-dev libtracefs-dev libtraceevent-dev
	pkgconf acpica-tools"
lab="qemu-system-x86 bochs bochs-term bochsbios busybox-static kmod dpkg python3-minimal libpython3-stdlib xz-utils make
	gcc linux-headers-amd64 linux-headers-6.12-amd64 cpio apt"
debug_kernel="linux-source-6.1 gcc make bc bison flex libelf-dev libssl-dev kmod xz-utils
	lz4 rsync libc6-dev"
bochs3="g++ make tar xz-utils apt debian-archive-keyring"
test="libcmocka-dev libcapstone-dev clang-14 libclang-rt-14-dev sparse acpica-tools cppcheck
	shellcheck perl binutils linux-source-6.1"

wanted=
for word; do
	case $word in
	-h|--help) usage; exit 0 ;;
	build) wanted="$wanted $build" ;;
	lab) wanted="$wanted $lab" ;;
	debug-kernel) wanted="$wanted $debug_kernel" ;;
	bochs3) wanted="$wanted $bochs3" ;;
	test) wanted="$wanted $test" ;;
	all) wanted="$wanted $build $lab $debug_kernel $bochs3 $test" ;;
	-*) usage >&2; exit 2 ;;
	*) wanted="$wanted $word" ;;
	esac
done
[ -n "$wanted" ] || { usage >&2; exit 2; }

# shellcheck disable=SC2086 # a list of words
set -- $wanted
command -v dpkg-query >/dev/null || {
	echo "deps: this is not a Debian machine; by hand: $*" >&2
	exit 1
}
have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
missing=
for word; do
	case " $missing " in *" $word "*) continue ;; esac
	printf '%s\n' "$have" | grep -qxF "installed $word" || missing="$missing $word"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: missing packages; as root:" >&2
	echo "apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -y -o DPkg::Lock::Timeout=600"
echo "deps: installing$missing" >&2
# shellcheck disable=SC2086
$apt install --no-install-recommends $missing >&2 || {
	# A fresh machine has no package lists, an old one stale ones.
	$apt update >&2
	$apt install --no-install-recommends $missing >&2
}
