// SPDX-License-Identifier: GPL-2.0
/*
 * What to do about an exit: one handler per reason.
 *
 * A handler does what the instruction would have done and advances RIP, or
 * queues an exception, or forwards to userspace.  Handlers that are only a few
 * lines are here; the others have files of their own.
 */
#include <asm/processor-flags.h>
#include "vcpu.h"

#define DR6_CAUSE	0xfull
#define DR6_BD		BIT(13)
#define DR6_BS		BIT(14)
#define DR7_GD		BIT(13)

/**
 * halo_skip() - the instruction is done: go to the next
 * @vcpu: the vCPU
 * @len: its length
 *
 * Ends an interrupt shadow, and gives the #DB that a single step owes
 * (an emulated instruction traps like any other).
 *
 * Return: RESUME.
 */
enum halo_next halo_skip(struct halo_vcpu *vcpu, unsigned int len)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	u64 from = cpu->rip;

	cpu->rip += len;
	if (unlikely((cpu->rip ^ from) >> 32) && !halo_mode64(vcpu))
		cpu->rip = (u32)cpu->rip;
	cpu->shadow = 0;
	cpu->rflags &= ~(u64)X86_EFLAGS_RF;
	if (unlikely(cpu->rflags & X86_EFLAGS_TF)) {
		halo_arch_get(vcpu, ARCH_DRS)->dr[4] |= DR6_BS;
		halo_arch_put(vcpu, ARCH_DRS);
		halo_exception(vcpu, 1, false, 0);
	}
	return NEXT_RESUME;
}

/* What a CPU that has the page of the LAPIC's registers leaves to us. */
static enum halo_next halo_exit_apic(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_lapic *l = &vcpu->lapic;

	if (halo_lapic_x2apic(l))
		halo_lapic_written(l, x->apic);
	else if (x->sent)
		halo_lapic_sent(l);
	else
		return halo_forward_eoi(vcpu, halo_lapic_mmio_write(l, x->apic, 4, x->written));
	return NEXT_RESUME;
}

static enum halo_next halo_exit_hlt(struct halo_vcpu *vcpu)
{
	halo_skip(vcpu, vcpu->cpu.exit.insn_len);
	if (vcpu->cpu.event.type != EVENT_NONE || vcpu->pv.unhalted) {
		vcpu->pv.unhalted = false;
		return NEXT_RESUME;
	}
	halo_mp_halt(vcpu);
	if (halo_wakeable(vcpu)) {
		/* The mailbox may turn out to hold nothing: then it halts again. */
		if (!halo_lapic_mail(&vcpu->lapic))
			halo_mp_wake(vcpu);
		return NEXT_RESUME;
	}
	/* A lock's waiter is woken by its holder; one vCPU alone has nobody. */
	if (!(vcpu->cpu.rflags & X86_EFLAGS_IF) &&
	    (halo_vm_vcpus(vcpu->vm) == 1 || !(vcpu->caps.has & HALO_HAS_PV_UNHALT)))
		return halo_forward(vcpu, HALO_EXIT_HLT, PEND_NOTIFY);
	return NEXT_RESUME;
}

/* #UD: VMCALL on a CPU that has VMMCALL (or the other way round) is a hypercall. */
static enum halo_next halo_exit_ud(struct halo_vcpu *vcpu)
{
	struct halo_insn insn;
	int len = halo_decode(vcpu, &insn);

	if (len == -EFAULT)
		return NEXT_RESUME;
	if (len > 0 && (insn.kind == HALO_INSN_VMCALL || insn.kind == HALO_INSN_VMMCALL) &&
	    vcpu->cpu.event.type == EVENT_NONE)
		return halo_hypercall(vcpu, len);
	return halo_ud(vcpu);
}

/* VT-x leaves it to us what AMD-V has done: DR6 tells the cause, and DR7.GD goes off. */
static void halo_debug_cause(struct halo_vcpu *vcpu, u64 cause)
{
	struct halo_arch *a;

	if (!cause)
		return;
	a = halo_arch_get(vcpu, ARCH_DRS);
	a->dr[4] = (a->dr[4] & ~DR6_CAUSE) | (cause & (DR6_CAUSE | DR6_BD | DR6_BS));
	a->dr[5] &= ~(u64)DR7_GD;
	halo_arch_put(vcpu, ARCH_DRS);
}

/*
 * Of exits whose instruction is executed here: what it must be, if the CPU does not
 * tell its length.  Afterwards exit.insn_len holds it.
 */
static const u8 halo_exit_insn[] = {
	[HW_CPUID] = HALO_INSN_CPUID,
	[HW_HLT] = HALO_INSN_HLT,
	[HW_PAUSE] = HALO_INSN_PAUSE,
	[HW_RDMSR] = HALO_INSN_RDMSR,
	[HW_WRMSR] = HALO_INSN_WRMSR,
	[HW_HYPERCALL] = HALO_INSN_VMMCALL,
	[HW_XSETBV] = HALO_INSN_XSETBV,
	[HW_UNKNOWN] = HALO_INSN_OTHER,
};

/**
 * halo_exit_dispatch() - act on vcpu->cpu.exit
 * @vcpu: the vCPU, just out of the guest, preemptible
 *
 * Return: what the loop does next.
 */
enum halo_next halo_exit_dispatch(struct halo_vcpu *vcpu)
{
	struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_insn insn;
	int len = x->insn_len;

	if (!len && halo_exit_insn[x->reason]) {
		len = halo_insn_length(vcpu, halo_exit_insn[x->reason]);
		if (len < 0)
			return NEXT_RESUME;
		x->insn_len = len;
	}
	switch (x->reason) {
	case HW_DEADLINE:
		halo_irq_deadline(vcpu);
		return NEXT_RESUME;
	case HW_NONE:
		return vcpu->asked ? halo_forward_asked(vcpu) : NEXT_RESUME;
	case HW_INTR:
	case HW_NMI:
	case HW_INTR_WINDOW:
	case HW_NMI_WINDOW:
	case HW_INIT:
		return NEXT_RESUME;
	case HW_CPUID:
		halo_exit_cpuid(vcpu);
		return halo_skip(vcpu, len);
	case HW_PIO:
		return halo_exit_pio(vcpu);
	case HW_MEMORY:
		return halo_exit_memory(vcpu);
	case HW_RDMSR:
		return halo_exit_msr(vcpu, false);
	case HW_WRMSR:
		return halo_exit_msr(vcpu, true);
	case HW_HLT:
		return halo_exit_hlt(vcpu);
	case HW_HYPERCALL:
		return halo_hypercall(vcpu, len);
	case HW_EOI:
		return halo_forward_eoi(vcpu, halo_lapic_eoi_done(&vcpu->lapic, x->apic));
	case HW_APIC_WRITE:
		return halo_exit_apic(vcpu);
	case HW_CR:
		return halo_exit_cr(vcpu);
	case HW_DR:
		return halo_exit_dr(vcpu);
	case HW_XSETBV:
		return halo_exit_xsetbv(vcpu);
	case HW_EXCEPTION:
		/*
		 * #DB and #AC are taken so that a guest whose handler faults again can't
		 * hold the CPU in the delivery for ever: each round comes out here.
		 */
		if (x->exc.vector == 1)
			halo_debug_cause(vcpu, x->exc.qual);
		return x->exc.vector == 6 ? halo_exit_ud(vcpu) :
		       halo_exception(vcpu, x->exc.vector, x->exc.has_error, x->exc.error);
	case HW_PAUSE:
		halo_sched_spin(vcpu);
		return halo_skip(vcpu, len);
	case HW_WBINVD:
		/* The caches are coherent and the host's: nothing to do for a guest of RAM. */
		len = len ?: halo_decode(vcpu, &insn);
		return len > 0 ? halo_skip(vcpu, len) : NEXT_RESUME;
	case HW_RDPMC:
		/* No PMU is shown: there is no counter that RDPMC could name. */
		return halo_gp(vcpu);
	case HW_UNDEFINED:
		return halo_ud(vcpu);
	case HW_SHUTDOWN:
		return halo_forward(vcpu, HALO_EXIT_SHUTDOWN, PEND_SHUTDOWN);
	case HW_MACHINE_CHECK:
		return halo_fail(vcpu, HALO_FAIL_MACHINE_CHECK, 0);
	case HW_ENTRY_FAILED:
		return halo_fail(vcpu, HALO_FAIL_ENTRY, x->code);
	default:
		return halo_fail(vcpu, HALO_FAIL_UNKNOWN_EXIT, x->code);
	}
}
