// SPDX-License-Identifier: GPL-2.0
/*
 * One stay in the guest: everything between the core's decision to enter and
 * its hearing why the guest stopped.
 *
 * Runs with interrupts off on the CPU that the vCPU is loaded on.  From CLGI to
 * STGI nothing can interrupt, not even an NMI: in between stand exactly the
 * things that must not be seen half done (XCR0, debug registers, the host's
 * VMLOAD state).
 */
#include <linux/instrumentation.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>
#include "enter.h"
#include "host.h"
#include "svm.h"

static __always_inline void svm_stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

static __always_inline void svm_clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

static inline void svm_vmsave(u64 pa)
{
	halo_count(COUNT_VMSAVE);
	asm volatile("vmsave %0" : : "a" (pa) : "memory");
}

/**
 * svm_load() - bind a vCPU to this CPU
 * @cpu: the vCPU
 * @pcpu: this CPU; preemption is off
 *
 * The host's half of the VMLOAD state does not change while this task stays
 * in the kernel, so it is saved here and not per exit.
 */
void svm_load(struct halo_cpu *cpu, int pcpu)
{
	struct svm_host *h = this_cpu_ptr(&svm_host);
	struct svm_cpu *svm = to_svm(cpu);

	if (cpu->pcpu != pcpu) {
		cpu->pcpu = pcpu;
		svm->asid_gen = 0;
		svm->avic_running = false;
		svm->vmcb->clean = 0;
	}
	if (!h->on)
		return;
	svm_vmsave(h->host_pa);
	if (unlikely(h->tsc_ratio != cpu->tsc_ratio))
		svm_tsc_ratio(h, cpu->tsc_ratio);
}

/**
 * svm_put() - leave the CPU that svm_load() bound to
 * @cpu: the vCPU; its ASID stays valid until another CPU loads it
 */
void svm_put(struct halo_cpu *cpu)
{
}

/* A new ASID is a flush; with none left, a new generation flushes them all. */
static void svm_asid_prepare(struct halo_cpu *cpu, struct svm_cpu *svm, struct svm_host *h)
{
	struct svm_vmcb *v = svm->vmcb;

	if (likely(svm->asid_gen == h->asid_gen && !cpu->flush_tlb))
		return;

	cpu->flushes++;
	if (svm->asid_gen == h->asid_gen && svm_caps.flush_by_asid) {
		v->tlb_control = SVM_TLB_FLUSH_ASID;
	} else {
		if (h->next_asid > h->max_asid) {
			h->asid_gen++;
			h->next_asid = 1;
			v->tlb_control = SVM_TLB_FLUSH_ALL;
		}
		v->asid = h->next_asid++;
		v->clean &= ~SVM_CLEAN_ASID;
		svm->asid_gen = h->asid_gen;
	}
	cpu->flush_tlb = false;
}

static void svm_event_prepare(struct halo_cpu *cpu, struct svm_vmcb *v)
{
	static const u32 type[] = {
		[EVENT_INTR] = SVM_EVT_INTR,
		[EVENT_NMI] = SVM_EVT_NMI,
		[EVENT_EXCEPTION] = SVM_EVT_EXCEPTION,
		[EVENT_SOFT_INT] = SVM_EVT_SOFT,
	};
	const struct halo_event *e = &cpu->event;

	if (likely(e->type == EVENT_NONE))
		return;
	v->event_inj = e->vector | type[e->type] | SVM_EVT_VALID;
	/* With NRIPS that is what INT n, INT3 and INTO push, and an exit has left its own. */
	v->next_rip = cpu->rip;
	if (e->has_error) {
		v->event_inj |= SVM_EVT_ERROR;
		v->event_error = e->error;
	}
	if (e->type == EVENT_NMI) {
		cpu->nmi_masked = true;
		to_svm(cpu)->iret_seen = false;
	}
}

/* Interrupt window by a virtual interrupt, NMI window by IRET or one step. */
static void svm_windows_prepare(struct halo_cpu *cpu, struct svm_cpu *svm)
{
	struct svm_vmcb *v = svm->vmcb;
	u32 int_ctl = svm->int_ctl | (cpu->cr8 & SVM_V_TPR);
	u32 on = 0;

	if (cpu->want_intr_window && !svm->shadow_lost) {
		int_ctl |= SVM_V_IRQ | SVM_V_IGN_TPR | (0xf << SVM_V_PRIO_SHIFT);
		on = BIT(SVM_VINTR % 32);
	}
	svm->shadow_lost = false;
	if (v->int_ctl != int_ctl) {
		v->int_ctl = int_ctl;
		v->clean &= ~SVM_CLEAN_TPR;
	}
	if (cpu->nmi_masked && !svm->iret_seen)
		on |= BIT(SVM_IRET % 32);
	static_assert(SVM_VINTR / 32 == SVM_IRET / 32);
	svm_intercepts(v, SVM_VINTR / 32, BIT(SVM_VINTR % 32) | BIT(SVM_IRET % 32), on);

	if (unlikely(cpu->want_nmi_window && (svm->iret_seen || cpu->shadow))) {
		svm->nmi_step = true;
		svm->nmi_step_flags = v->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF);
		v->rflags |= X86_EFLAGS_TF | X86_EFLAGS_RF;
	}
}

static __always_inline void svm_enter(struct halo_cpu *cpu, struct svm_cpu *svm, bool again)
{
	halo_host_guest_enter(&cpu->rcu_told, again);
	if (static_cpu_has_bug(X86_BUG_DIV0))
		amd_clear_divider();
	/* GIF is 0: this only tells VMRUN that a host interrupt shall exit. */
	raw_local_irq_enable();
	svm_vmrun(cpu->gpr, svm->pa);
	raw_local_irq_disable();
	guest_state_exit_irqoff();
}

static noinstr void svm_enter_first(struct halo_cpu *cpu, struct svm_cpu *svm)
{
	svm_enter(cpu, svm, false);
}

static noinstr void svm_enter_again(struct halo_cpu *cpu, struct svm_cpu *svm)
{
	svm_enter(cpu, svm, true);
}

/* For how many exits in a row at one RIP. */
#define SVM_SHADOW_KEEPS	8

/*
 * An emulated CPU may forget the interrupt shadow at VMRUN (QEMU 7.2 does).  An
 * interrupt window right there shows it: the guest is still in its shadow; the next
 * entry gives it its instruction, and asks for the window after the next exit only.
 * Any other exit at that RIP leaves the guest in it, too, or the interrupt that is to
 * end the HLT of STI, HLT comes before the HLT.  Only the CPU could tell this from the
 * next round of a loop of one instruction: so not for ever, and on no real CPU.
 */
static void svm_shadow_finish(struct halo_cpu *cpu, struct svm_cpu *svm)
{
	u8 shadow = svm->shadow;

	svm->shadow = 0;
	if (cpu->rip != svm->shadow_rip) {
		svm->shadow_kept = 0;
	} else if (cpu->exit.reason == HW_INTR_WINDOW) {
		cpu->shadow = shadow;
		svm->shadow_lost = true;
	} else if (!cpu->shadow && boot_cpu_has(X86_FEATURE_HYPERVISOR)) {
		svm->shadow_kept = (svm->shadow_kept + 1) % SVM_SHADOW_KEEPS;
		cpu->shadow = svm->shadow_kept ? shadow : 0;
	}
}

/* What the guest did to NMI blocking, and the step that was ours. */
static noinline void svm_windows_finish(struct halo_cpu *cpu, struct svm_cpu *svm)
{
	if (unlikely(svm->nmi_step)) {
		/* An IRET has loaded flags of its own; they are not ours. */
		bool iret = svm->iret_seen && cpu->rip != svm->iret_rip;

		svm->nmi_step = false;
		if (!iret) {
			cpu->rflags &= ~(u64)(X86_EFLAGS_TF | X86_EFLAGS_RF);
			cpu->rflags |= svm->nmi_step_flags;
		}
		if (cpu->exit.reason == HW_EXCEPTION && cpu->exit.exc.vector == 1 &&
		    !(svm->nmi_step_flags & X86_EFLAGS_TF))
			cpu->exit.reason = HW_NMI_WINDOW;
	}
	if (unlikely(svm->iret_seen) && cpu->rip != svm->iret_rip) {
		svm->iret_seen = false;
		cpu->nmi_masked = false;
	}
	if (svm->shadow)
		svm_shadow_finish(cpu, svm);
	if (svm->avic_on)
		svm_avic_exit(cpu);
}

static noinline void svm_event_finish(struct halo_cpu *cpu, struct svm_vmcb *v, u32 injected)
{
	u32 info = v->exit_int_info;
	struct halo_event *e = &cpu->event;

	e->vector = info & SVM_EVT_VECTOR;
	e->has_error = info & SVM_EVT_ERROR;
	e->error = v->exit_int_error;
	switch (info & SVM_EVT_TYPE) {
	case SVM_EVT_INTR:
		e->type = EVENT_INTR;
		break;
	case SVM_EVT_NMI:
		e->type = EVENT_NMI;
		break;
	case SVM_EVT_EXCEPTION:
		/* INT3 and INTO run again, unless they came from us. */
		if ((e->vector == 3 || e->vector == 4) && !(injected & SVM_EVT_VALID))
			break;
		e->type = EVENT_EXCEPTION;
		break;
	case SVM_EVT_SOFT:
		/* RIP stands at the INT n: it runs again. */
		if (injected & SVM_EVT_VALID)
			e->type = EVENT_SOFT_INT;
		break;
	}
}

/* What can only have changed since the last exit if more was done than answering it. */
static noinline bool svm_prepare(struct halo_cpu *cpu, struct svm_cpu *svm)
{
	struct svm_host *h = this_cpu_ptr(&svm_host);
	struct svm_vmcb *v = svm->vmcb;

	if (unlikely(!h->on)) {
		cpu->exit.reason = HW_ENTRY_FAILED;
		cpu->exit.code = SVM_INVALID;
		return false;
	}
	svm->pa[SVM_PA_HOST] = h->host_pa;
	if (v->ncr3 != cpu->root) {
		v->ncr3 = cpu->root;
		v->clean &= ~SVM_CLEAN_NPT;
	}
	svm_asid_prepare(cpu, svm, h);
	svm_event_prepare(cpu, v);
	svm->injected = v->event_inj;
	svm_windows_prepare(cpu, svm);
	/* The host's breakpoints come and go with tasks and by IPI: not during a stay. */
	svm->dr_switch = svm->dr_active || hw_breakpoint_active();
	return true;
}

static __always_inline void svm_decode(struct halo_cpu *cpu, const struct svm_vmcb *v)
{
	struct halo_hwexit *x = &cpu->exit;
	u32 code = v->exit_code;
	u8 took = code < SVM_INTERCEPTS ? svm_take[code] : SVM_MORE;

	x->reason = took;
	x->insn_avail = 0;
	x->insn_len = 0;
	if (!static_cpu_has(X86_FEATURE_NRIPS)) {
		/* The instruction will be looked at. */
		svm_code_get(cpu, v);
		cpu->arch.valid = ARCH_CODE;
	} else {
		cpu->arch.valid = 0;
		/* 0 where it is no instruction's (15.7.1); near a RIP of almost 2^64, too. */
		if (v->next_rip && v->next_rip - cpu->rip <= sizeof(x->insn))
			x->insn_len = v->next_rip - cpu->rip;
	}
	if (code == SVM_MSR)
		x->reason = v->exit_info1 & 1 ? HW_WRMSR : HW_RDMSR;
	else if (took & SVM_MORE || unlikely(!took))
		svm_exit_decode(cpu);
}

/**
 * svm_run() - enter the guest once
 * @cpu: the vCPU, loaded on this CPU; interrupts are off
 *
 * Leaves the reason in cpu->exit and what was being delivered in cpu->event.
 */
void svm_run(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_vmcb *v = svm->vmcb;

	v->rax = cpu->gpr[GPR_RAX];
	v->rsp = cpu->gpr[GPR_RSP];
	v->rip = cpu->rip;
	v->rflags = cpu->rflags;
	v->int_state = 0;
	if (unlikely(cpu->shadow)) {
		v->int_state = SVM_INT_SHADOW;
		svm->shadow = cpu->shadow;
		svm->shadow_rip = cpu->rip;
	}
	if (unlikely(!cpu->again) && !svm_prepare(cpu, svm))
		return;
	v->exit_code = ~0ull;
	v->exit_int_info = 0;

	halo_count_entry();
	svm_clgi();
	halo_host_xcr0_load(v->cr4, &cpu->xcr0);
	if (unlikely(svm->dr_switch))
		halo_host_dr_load(svm->dr, svm->dr_active);
	if (likely(cpu->again)) {
		svm_enter_again(cpu, svm);
	} else {
		svm_enter_first(cpu, svm);
		v->tlb_control = SVM_TLB_NONE;
		v->event_inj = 0;
	}
	halo_count_left();
	if (unlikely(svm->dr_switch))
		halo_host_dr_put();
	/* VMRUN has loaded DR6, and no exit puts it back: the host's next #DB would tell. */
	if (unlikely(v->dr6 != DR6_RESERVED))
		set_debugreg(DR6_RESERVED, 6);
	halo_host_xcr0_put(v->cr4, &cpu->xcr0);
	svm_stgi();

	v->clean = SVM_CLEAN_ALL;
	cpu->gpr[GPR_RAX] = v->rax;
	cpu->gpr[GPR_RSP] = v->rsp;
	cpu->rip = v->rip;
	cpu->rflags = v->rflags;
	cpu->shadow = v->int_state & SVM_INT_SHADOW ? SHADOW_STI : 0;
	cpu->event.type = EVENT_NONE;
	if (unlikely(v->exit_int_info & SVM_EVT_VALID))
		svm_event_finish(cpu, v, cpu->again ? 0 : svm->injected);
	svm_decode(cpu, v);
	if (unlikely(svm->nmi_step || svm->iret_seen || svm->shadow || svm->avic_on))
		svm_windows_finish(cpu, svm);
	halo_count_exit(cpu->exit.reason);
}
