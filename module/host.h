/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host kernel, as Halo sees it: every symbol that differs between kernels
 * and every host-wide hook is behind this header.  HALO_HAVE_* come from
 * scripts/configure.sh, which compiles a probe for each; nothing here or
 * elsewhere compares kernel versions.
 */
#ifndef HALO_HOST_H
#define HALO_HOST_H

#include "halo_config.h"

/* Newer kernels tell the untraining after a VM exit from that of an entry. */
#ifdef HALO_HAVE_UNTRAIN_RET_VM
#define HALO_UNTRAIN_RET	UNTRAIN_RET_VM
#else
#define HALO_UNTRAIN_RET	UNTRAIN_RET
#endif

#ifndef __ASSEMBLY__

#include <linux/eventfd.h>
#include <linux/hw_breakpoint.h>
#include <linux/types.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/task_work.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/mce.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/processor-flags.h>

struct halo_backend;

/* XCR0 as the host kernel runs with it; the same on all CPUs. */
extern u64 halo_host_xcr0;
extern u64 halo_host_tsc_lost;

void halo_host_init(void);

/* The hardware: claimed for the first VM, released after the last. */
int halo_host_hw_claim(const struct halo_backend *be);
void halo_host_hw_release(void);
bool halo_host_busy(void);
const char *halo_host_rival(void);

void halo_host_kick_cpu(int cpu);

static inline void halo_host_vma_set(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef HALO_HAVE_VM_FLAGS_SET
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

static inline void halo_host_vma_clear(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef HALO_HAVE_VM_FLAGS_SET
	vm_flags_clear(vma, flags);
#else
	vma->vm_flags &= ~flags;
#endif
}

/**
 * halo_host_resume_work() - is there work for the way to userspace that RUN must be left for
 *
 * For a thread with TIF_NOTIFY_RESUME.  rseq sets that at every switch of a thread, and
 * the C library has all threads use rseq: what it has to do, it does for userspace, when
 * the thread gets there, for the flag stays.  What others want should not wait for that.
 */
static inline bool halo_host_resume_work(void)
{
	if (task_work_pending(current))
		return true;
#ifdef CONFIG_MEMCG
	if (current->memcg_nr_pages_over_high)
		return true;
#endif
#if defined(HALO_HAVE_THROTTLE_DISK)
	return current->throttle_disk;
#elif defined(HALO_HAVE_THROTTLE_QUEUE)
	return current->throttle_queue;
#else
	return IS_ENABLED(CONFIG_BLK_CGROUP);
#endif
}

static inline void halo_host_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef HALO_HAVE_EVENTFD_SIGNAL_N
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/**
 * halo_host_fpu_get() - a guest's FPU state in the standard form
 * @fpu: the state, not loaded
 * @buf: where to
 * @bytes: room there, at least fpu->uabi_size
 */
static inline void halo_host_fpu_get(struct fpu_guest *fpu, void *buf, unsigned int bytes)
{
	fpu_copy_guest_fpstate_to_uabi(fpu, buf, bytes, fpu->fpstate->user_xfeatures, 0);
}

/**
 * halo_host_xcr0_load() - guest XCR0 into the CPU, around the guest only
 * @cr4: the guest's CR4
 * @xcr0: the guest's XCR0, checked when it was set
 */
static __always_inline void halo_host_xcr0_load(u64 cr4, const u64 *xcr0)
{
	if ((cr4 & X86_CR4_OSXSAVE) && *xcr0 != halo_host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, *xcr0);
}

/**
 * halo_host_xcr0_put() - the host's XCR0 again
 * @cr4: the guest's CR4 that halo_host_xcr0_load() was given
 * @xcr0: out: the guest's XCR0, if it had a way to change it
 *
 * The register is read, not assumed: QEMU's AMD-V (seen in 7.2) lets XSETBV
 * through although it is intercepted, and the host must not go on with it.
 */
static __always_inline void halo_host_xcr0_put(u64 cr4, u64 *xcr0)
{
	if (!(cr4 & X86_CR4_OSXSAVE))
		return;
	*xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (*xcr0 != halo_host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, halo_host_xcr0);
}

/* MSRs that only user code uses: switched per load, not per exit. */
enum halo_host_msr {
	HOST_MSR_TSC_AUX,	/* RDTSCP, RDPID */
	HOST_MSR_STAR,		/* these three: SYSCALL, where hardware does not switch them */
	HOST_MSR_LSTAR,
	HOST_MSR_SFMASK,
	HOST_MSRS
};

/**
 * struct halo_host_msr_value - an MSR on a CPU
 * @host: its value when the host has it
 * @now: and at present
 */
struct halo_host_msr_value {
	u64 host;
	u64 now;
};

DECLARE_PER_CPU(struct halo_host_msr_value, halo_host_msrs[HOST_MSRS]);

void halo_host_msr_change(enum halo_host_msr msr, u64 value);
void halo_host_msrs_restore(void);

/**
 * halo_host_msr_load() - a guest's value into this CPU
 * @msr: which
 * @value: checked when the guest set it; preemption is off
 */
static inline void halo_host_msr_load(enum halo_host_msr msr, u64 value)
{
	if (unlikely(__this_cpu_read(halo_host_msrs[msr].now) != value))
		halo_host_msr_change(msr, value);
}

/* Which of them hold a guest's value on this CPU. */
DECLARE_PER_CPU(unsigned long, halo_host_msrs_guest);

/**
 * halo_host_msrs_put() - the host's values again; preemption is off
 */
static inline void halo_host_msrs_put(void)
{
	if (unlikely(__this_cpu_read(halo_host_msrs_guest)))
		halo_host_msrs_restore();
}

void halo_host_vcpu_switch(u64 id);

/**
 * halo_host_dr_load() - guest DR0 to DR3 into the CPU, around the guest only
 * @dr: their values
 * @active: guest DR7, which the entry loads, enables any of them
 */
static inline void halo_host_dr_load(const u64 *dr, bool active)
{
	if (unlikely(active)) {
		set_debugreg(0, 7);
		set_debugreg(dr[0], 0);
		set_debugreg(dr[1], 1);
		set_debugreg(dr[2], 2);
		set_debugreg(dr[3], 3);
	} else if (unlikely(hw_breakpoint_active())) {
		set_debugreg(0, 7);
	}
}

/**
 * halo_host_dr_put() - the host's again; an exit has left its DR7 disarmed
 */
static inline void halo_host_dr_put(void)
{
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
}

/**
 * halo_host_machine_check() - an exit has told of a #MC: it is the host's to handle
 *
 * As if userspace had been interrupted: this task can be killed.
 */
static inline void halo_host_machine_check(void)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
}

/**
 * halo_host_run_delay() - how long this thread has waited for a CPU since it began, ns
 */
static inline u64 halo_host_run_delay(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

/**
 * halo_host_guest_ran() - what the host owes itself after a stay in the guest
 *
 * The tool that answers the guest's exits is the confused deputy of VMSCAPE:
 * the kernel flushes branch predictors on the way to it if told so here.
 */
static __always_inline void halo_host_guest_ran(void)
{
#ifdef HALO_HAVE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

#endif /* !__ASSEMBLY__ */
#endif /* HALO_HOST_H */
