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

#define DR6_BS	BIT(14)

/**
 * halo_skip() - the instruction is done: go to the next
 * @vcpu: the vCPU
 * @len: its length
 *
 * Ends an interrupt shadow, and gives the #DB that a single step owes
 * (an emulated instruction traps like any other).
 */
void halo_skip(struct halo_vcpu *vcpu, unsigned int len)
{
	struct halo_cpu *cpu = &vcpu->cpu;

	cpu->rip += len;
	if (unlikely(cpu->rip >> 32) && !halo_mode64(vcpu))
		cpu->rip = (u32)cpu->rip;
	cpu->shadow = 0;
	cpu->rflags &= ~(u64)X86_EFLAGS_RF;
	if (unlikely(cpu->rflags & X86_EFLAGS_TF)) {
		halo_arch_get(vcpu, ARCH_DRS)->dr[4] |= DR6_BS;
		halo_arch_put(vcpu, ARCH_DRS);
		halo_exception(vcpu, 1, false, 0);
	}
}

/* Most handlers begin so: how long is it, and is it still there? */
static bool halo_length(struct halo_vcpu *vcpu, enum halo_insn_kind kind, int *len)
{
	*len = halo_insn_length(vcpu, kind);
	return *len > 0;
}

static enum halo_next halo_exit_cpuid(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	struct halo_cpuid_dyn dyn;
	u32 regs[4];
	int len;

	vcpu->count.cpuid++;
	if (!halo_length(vcpu, HALO_INSN_CPUID, &len))
		return NEXT_RESUME;
	dyn.cr4 = halo_arch_get(vcpu, ARCH_CRS)->cr4;
	dyn.xcr0 = cpu->xcr0;
	dyn.apic_off = !halo_lapic_enabled(&vcpu->lapic);
	halo_cpuid_lookup(vcpu->cpuid, &dyn, cpu->gpr[GPR_RAX], cpu->gpr[GPR_RCX], regs);
	cpu->gpr[GPR_RAX] = regs[HALO_CPUID_EAX];
	cpu->gpr[GPR_RBX] = regs[HALO_CPUID_EBX];
	cpu->gpr[GPR_RCX] = regs[HALO_CPUID_ECX];
	cpu->gpr[GPR_RDX] = regs[HALO_CPUID_EDX];
	halo_skip(vcpu, len);
	return NEXT_RESUME;
}

static enum halo_next halo_exit_hlt(struct halo_vcpu *vcpu)
{
	int len;

	vcpu->count.hlt++;
	if (!halo_length(vcpu, HALO_INSN_HLT, &len))
		return NEXT_RESUME;
	halo_skip(vcpu, len);
	if (vcpu->cpu.event.type != EVENT_NONE)
		return NEXT_RESUME;
	vcpu->mp_state = HALO_MP_HALTED;
	if (halo_wakeable(vcpu)) {
		/* The mailbox may turn out to hold nothing: then it halts again. */
		if (!halo_lapic_mail(&vcpu->lapic))
			vcpu->mp_state = HALO_MP_RUNNABLE;
		return NEXT_RESUME;
	}
	if (!(vcpu->cpu.rflags & X86_EFLAGS_IF))
		return halo_forward(vcpu, HALO_EXIT_HLT, PEND_NOTIFY);
	return NEXT_RESUME;
}

/* The hypercall bus: a zone may take a number, the rest is unknown. */
static enum halo_next halo_hypercall(struct halo_vcpu *vcpu, int len)
{
	const struct halo_zone_desc *zone;
	struct halo_cpu *cpu = &vcpu->cpu;
	u64 nr = halo_mode64(vcpu) ? cpu->gpr[GPR_RAX] : (u32)cpu->gpr[GPR_RAX];
	u64 cookie = 0, value = 0;
	int mode = -1;

	rcu_read_lock();
	zone = halo_zone_find(rcu_dereference(vcpu->vm->zones), HALO_BUS_HYPERCALL, nr, 1);
	if (zone) {
		mode = zone->mode;
		cookie = zone->cookie;
		value = zone->match;
	}
	rcu_read_unlock();
	if (mode == HALO_ZONE_SYNC) {
		vcpu->exit.addr = nr;
		vcpu->exit.cookie = cookie;
		vcpu->pending.insn_len = len;
		return halo_forward(vcpu, HALO_EXIT_HYPERCALL, PEND_HYPERCALL);
	}
	if (mode == HALO_ZONE_CONST)
		cpu->gpr[GPR_RAX] = value;
	else	/* KVM's numbers: -EPERM outside CPL 0, else -ENOSYS is 1000 */
		cpu->gpr[GPR_RAX] = halo_cpl(vcpu) ? (u64)-EPERM : (u64)-1000;
	halo_skip(vcpu, len);
	return NEXT_RESUME;
}

static enum halo_next halo_exit_hypercall(struct halo_vcpu *vcpu)
{
	int len;

	if (!halo_length(vcpu, HALO_INSN_VMMCALL, &len))
		return NEXT_RESUME;
	return halo_hypercall(vcpu, len);
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
	halo_ud(vcpu);
	return NEXT_RESUME;
}

/*
 * #DB and #AC are taken so that a guest whose handler faults again can't hold
 * the CPU in the delivery for ever: each round comes out here.
 */
static enum halo_next halo_exit_exception(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;

	switch (x->exc.vector) {
	case 6:
		return halo_exit_ud(vcpu);
	default:
		halo_exception(vcpu, x->exc.vector, x->exc.has_error, x->exc.error);
		return NEXT_RESUME;
	}
}

/* The caches are coherent and the host's: nothing to do for a guest of RAM. */
static enum halo_next halo_exit_wbinvd(struct halo_vcpu *vcpu)
{
	struct halo_insn insn;
	int len = vcpu->cpu.exit.insn_len ?: halo_decode(vcpu, &insn);

	if (len == -EFAULT)
		return NEXT_RESUME;
	if (len > 0)
		halo_skip(vcpu, len);
	return NEXT_RESUME;
}

static enum halo_next halo_exit_pause(struct halo_vcpu *vcpu)
{
	int len;

	if (!halo_length(vcpu, HALO_INSN_PAUSE, &len))
		return NEXT_RESUME;
	halo_skip(vcpu, len);
	cond_resched();
	return NEXT_RESUME;
}

/* No PMU is shown: there is no counter that RDPMC could name. */
static enum halo_next halo_exit_rdpmc(struct halo_vcpu *vcpu)
{
	halo_gp(vcpu);
	return NEXT_RESUME;
}

static enum halo_next halo_exit_undefined(struct halo_vcpu *vcpu)
{
	halo_ud(vcpu);
	return NEXT_RESUME;
}

static enum halo_next halo_exit_shutdown(struct halo_vcpu *vcpu)
{
	return halo_forward(vcpu, HALO_EXIT_SHUTDOWN, PEND_SHUTDOWN);
}

/**
 * halo_exit_dispatch() - act on vcpu->cpu.exit
 * @vcpu: the vCPU, just out of the guest, preemptible
 *
 * Return: what the loop does next.
 */
enum halo_next halo_exit_dispatch(struct halo_vcpu *vcpu)
{
	switch (vcpu->cpu.exit.reason) {
	case HW_INTR:
		vcpu->count.intr++;
		return NEXT_RESUME;
	case HW_NONE:
	case HW_NMI:
	case HW_INTR_WINDOW:
	case HW_NMI_WINDOW:
	case HW_INIT:
		return NEXT_RESUME;
	case HW_CPUID:
		return halo_exit_cpuid(vcpu);
	case HW_PIO:
		return halo_exit_pio(vcpu);
	case HW_MEMORY:
		return halo_exit_memory(vcpu);
	case HW_RDMSR:
		return halo_exit_rdmsr(vcpu);
	case HW_WRMSR:
		return halo_exit_wrmsr(vcpu);
	case HW_HLT:
		return halo_exit_hlt(vcpu);
	case HW_HYPERCALL:
		return halo_exit_hypercall(vcpu);
	case HW_CR:
		return halo_exit_cr(vcpu);
	case HW_DR:
		return halo_exit_dr(vcpu);
	case HW_XSETBV:
		return halo_exit_xsetbv(vcpu);
	case HW_EXCEPTION:
		return halo_exit_exception(vcpu);
	case HW_PAUSE:
		return halo_exit_pause(vcpu);
	case HW_WBINVD:
		return halo_exit_wbinvd(vcpu);
	case HW_RDPMC:
		return halo_exit_rdpmc(vcpu);
	case HW_UNDEFINED:
		return halo_exit_undefined(vcpu);
	case HW_SHUTDOWN:
		return halo_exit_shutdown(vcpu);
	case HW_MACHINE_CHECK:
		return halo_fail(vcpu, HALO_FAIL_MACHINE_CHECK, 0);
	case HW_ENTRY_FAILED:
		return halo_fail(vcpu, HALO_FAIL_ENTRY, vcpu->cpu.exit.code);
	default:
		return halo_fail(vcpu, HALO_FAIL_UNKNOWN_EXIT, vcpu->cpu.exit.code);
	}
}
