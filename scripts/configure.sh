#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Find out what the kernel in KDIR offers and write DIR/include/halo_config.h.
# Every answer comes from compiling a probe against that kernel, never from its
# version number: stable kernels change interfaces within a series.
#
# usage: configure.sh KDIR DIR
set -eu

[ $# -eq 2 ] || { echo "usage: configure.sh KDIR DIR" >&2; exit 2; }
kdir=$1
dir=$2
[ -f "$kdir/Makefile" ] || {
	echo "halo: $kdir: no kernel headers; fix: apt-get install linux-headers-\$(uname -r)" >&2
	exit 1
}

# Halo can't do without these: say so now rather than in a link error.
grep -q '	kvm_init	\|	preempt_notifier_register	' "$kdir/Module.symvers" 2>/dev/null || {
	echo "halo: $kdir: this kernel lacks CONFIG_PREEMPT_NOTIFIERS (it comes with CONFIG_KVM)" >&2
	exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

probe() { # NAME, then C text on stdin
	cat > "$work/$1.c"
	names="${names:-} $1"
}

# The one that must succeed: else it is the building that fails, not a probe.
probe ALWAYS <<'E'
#include <linux/module.h>
E
probe VM_FLAGS_SET <<'E'
#include <linux/mm.h>
void f(struct vm_area_struct *v) { vm_flags_set(v, VM_DONTCOPY); }
E
probe CPUHP_KVM_ONLINE <<'E'
#include <linux/cpuhotplug.h>
int f(void) { return CPUHP_AP_KVM_ONLINE; }
E
probe REGISTER_SYSCORE <<'E'
#include <linux/syscore_ops.h>
struct syscore s;
void f(void) { register_syscore(&s); }
E
probe TRACE_IPI <<'E'
#include <linux/smp.h>
#include <asm/smp.h>
#include <trace/events/ipi.h>
void f(int cpu) { trace_ipi_send_cpu(cpu, 0, 0); }
E
probe THROTTLE_DISK <<'E'
#include <linux/sched.h>
void *f(struct task_struct *t) { return t->throttle_disk; }
E
probe THROTTLE_QUEUE <<'E'
#include <linux/sched.h>
void *f(struct task_struct *t) { return t->throttle_queue; }
E
probe IBPB_EXIT_TO_USER <<'E'
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>
void f(void) { if (boot_cpu_has(X86_FEATURE_IBPB_EXIT_TO_USER)) this_cpu_write(x86_ibpb_exit_to_user, true); }
E
probe EMERGENCY_VIRT <<'E'
#include <linux/types.h>
#include <asm/reboot.h>
static void g(void) { }
void f(void) { cpu_emergency_register_virt_callback(g); }
E
probe HRTIMER_SETUP <<'E'
#include <linux/hrtimer.h>
static enum hrtimer_restart g(struct hrtimer *t) { return HRTIMER_NORESTART; }
void f(struct hrtimer *t) { hrtimer_setup(t, g, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD); }
E
probe EVENTFD_SIGNAL_N <<'E'
#include <linux/eventfd.h>
void f(struct eventfd_ctx *c) { eventfd_signal(c, 1); }
E
probe FOLLOW_PFNMAP <<'E'
#include <linux/mm.h>
int f(struct follow_pfnmap_args *a) { return follow_pfnmap_start(a); }
E
cat > "$work/UNTRAIN_RET_VM.S" <<'E'
#include <linux/linkage.h>
#include <asm/nospec-branch.h>
#ifndef UNTRAIN_RET_VM
#error no
#endif
E
names="$names UNTRAIN_RET_VM"

{
	for n in $names; do echo "obj-m += $n.o"; done
	echo 'ccflags-y += -Werror -Wno-missing-prototypes -Wno-missing-declarations'
} > "$work/Kbuild"

targets=$(for n in $names; do echo "$n.o"; done)
# shellcheck disable=SC2086 # a list of targets
make -k -j2 -C "$kdir" M="$work" $targets \
	> "$work/log" 2>&1 || true
[ -z "${CONFIGURE_LOG:-}" ] || cp "$work/log" "$CONFIGURE_LOG"

[ -f "$work/ALWAYS.o" ] || {
	echo "halo: $kdir: can't build modules with these headers:" >&2
	tail -n 20 "$work/log" >&2
	exit 1
}
mkdir -p "$dir/include"
{
	echo "/* Written by scripts/configure.sh. */"
	for n in $names; do
		if [ -f "$work/$n.o" ]; then
			echo "#define HALO_HAVE_$n 1"
		else
			echo "/* no $n */"
		fi
	done
} > "$work/halo_config.h"
cmp -s "$work/halo_config.h" "$dir/include/halo_config.h" ||
	cp "$work/halo_config.h" "$dir/include/halo_config.h"
