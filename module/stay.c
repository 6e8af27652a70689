// SPDX-License-Identifier: GPL-2.0
/*
 * The stay: in and out of the guest as long as its exits can be answered on the spot.
 *
 * Here are the exits that cost the most time because there are the most of them. They
 * concern nobody but this vCPU, or somebody who need not be waited for; an answer never
 * sleeps. Interrupts stay off and vcpu->mode stays IN_GUEST from the first entry to the
 * last exit. What can't be answered is left as it is to halo_exit_dispatch(), which
 * knows every reason and has all the time it wants.
 *
 * For halo_enter(). Why not a case of halo_exit_dispatch() for each: it would have to be
 * right twice, with and without interrupts, and the checks between two exits cost as much
 * as the answer.
 */
#include <linux/entry-kvm.h>
#include "trace.h"
#include "vcpu.h"

/* Entries of one stay. */
#define HALO_STAY_MAX	256

/* The length of what was intercepted; 0: halo_insn_length() must find out. */
static __always_inline unsigned int halo_stay_length(struct halo_vcpu *vcpu,
						     enum halo_insn_kind kind)
{
	unsigned int len = vcpu->cpu.exit.insn_len;

	if (!len) {
		/* Nothing is changed between an exit and its answer. */
		halo_arch_get(vcpu, ARCH_CODE);
		if (halo_code_read(vcpu))
			len = halo_insn_plain_len(vcpu->bytes, HALO_INSN_MAX, kind);
	}
	return len;
}

/**
 * halo_exit_cpuid() - CPUID, but for the advance of RIP
 * @vcpu: the vCPU
 */
void halo_exit_cpuid(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	struct halo_cpuid_dyn dyn;
	u32 regs[4];

	dyn.cr4 = cpu->arch.cr4;
	dyn.xcr0 = cpu->xcr0;
	dyn.apic_off = !halo_lapic_enabled(&vcpu->lapic);
	halo_cpuid_lookup(vcpu->cpuid, &dyn, cpu->gpr[GPR_RAX], cpu->gpr[GPR_RCX], regs);
	cpu->gpr[GPR_RAX] = regs[HALO_CPUID_EAX];
	cpu->gpr[GPR_RBX] = regs[HALO_CPUID_EBX];
	cpu->gpr[GPR_RCX] = regs[HALO_CPUID_ECX];
	cpu->gpr[GPR_RDX] = regs[HALO_CPUID_EDX];
}

static __always_inline enum halo_stay halo_stay_cpuid(struct halo_vcpu *vcpu)
{
	unsigned int len = halo_stay_length(vcpu, HALO_INSN_CPUID);
	const struct halo_cpuid_entry *e;
	struct halo_cpu *cpu = &vcpu->cpu;

	if (unlikely(!len))
		return STAY_NOT;
	if (likely(halo_cpuid_plain(vcpu->cpuid, cpu->gpr[GPR_RAX], &e))) {
		cpu->gpr[GPR_RAX] = e->eax;
		cpu->gpr[GPR_RBX] = e->ebx;
		cpu->gpr[GPR_RCX] = e->ecx;
		cpu->gpr[GPR_RDX] = e->edx;
	} else {
		halo_exit_cpuid(vcpu);
	}
	return halo_stay_skip(vcpu, len);
}

static u64 halo_hypercall_nr(struct halo_vcpu *vcpu)
{
	return halo_mode64(vcpu) ? vcpu->cpu.gpr[GPR_RAX] : (u32)vcpu->cpu.gpr[GPR_RAX];
}

/**
 * halo_hypercall() - the hypercall bus: a zone may take a number, the rest is KVM's
 * @vcpu: the vCPU
 * @len: length of the instruction
 *
 * What is posted or rings a doorbell asks nobody, so the guest's user code is told apart
 * here.
 *
 * Return: FORWARD if userspace is to answer, else RESUME.
 */
enum halo_next halo_hypercall(struct halo_vcpu *vcpu, int len)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	struct halo_access a = {
		.bus = HALO_BUS_HYPERCALL,
		.addr = halo_hypercall_nr(vcpu),
		.write = !halo_cpl(vcpu),
		.insn_len = len,
	};

	if (a.write)
		a.value = halo_mode64(vcpu) ? cpu->gpr[GPR_RBX] : (u32)cpu->gpr[GPR_RBX];
	vcpu->pending.insn_len = len;
	switch (halo_access(vcpu, &a)) {
	case ACCESS_NONE:
		cpu->gpr[GPR_RAX] = halo_pv_hypercall(vcpu, a.addr);
		return halo_skip(vcpu, len);
	case ACCESS_DONE:
		return halo_reply_done(vcpu, PEND_HYPERCALL, a.value);
	default:
		return halo_ask(vcpu, &a, PEND_HYPERCALL);
	}
}

/**
 * halo_stay_lapic() - may the guest's access to its LAPIC be carried out during a stay
 * @vcpu: the vCPU
 *
 * Not where the CPU has a part in it that it tells at the end of the stay only, nor while
 * the guest may have ended an interrupt in memory.
 */
bool halo_stay_lapic(struct halo_vcpu *vcpu)
{
	return !halo_hw.tpr_shadow && !vcpu->cpu.virt_intr && !vcpu->pv.eoi_offered;
}

/**
 * halo_stay_interrupts() - the LAPIC was accessed
 * @vcpu: the vCPU
 * @answer: what became of the exit
 *
 * Return: the same; OVER instead of ON if the LAPIC may have to deliver what it had not
 * at the last entry.
 */
enum halo_stay halo_stay_interrupts(struct halo_vcpu *vcpu, enum halo_stay answer)
{
	struct halo_lapic *l = &vcpu->lapic;

	if (answer != STAY_ON)
		return answer;
	if (vcpu->cpu.virt_intr)
		return l->changed || vcpu->pv.eoi_offered ? STAY_OVER : STAY_ON;
	return !halo_stay_lapic(vcpu) || halo_lapic_pending(l) >= 0 ||
	       halo_lapic_cr8(l) != vcpu->cpu.cr8 ? STAY_OVER : STAY_ON;
}

/**
 * halo_stay_next() - what a handler of halo_exit_dispatch()'s means for a stay
 * @vcpu: the vCPU, staying
 * @next: what it returned; STOP: it would sleep, and has done nothing
 *
 * Return: what became of the exit.
 */
enum halo_stay halo_stay_next(struct halo_vcpu *vcpu, enum halo_next next)
{
	if (next == NEXT_STOP)
		return STAY_NOT;
	return next == NEXT_RESUME && vcpu->cpu.event.type == EVENT_NONE &&
	       !vcpu->cpu.arch.dirty ? STAY_ON : STAY_OVER;
}

static __always_inline enum halo_stay halo_stay_hypercall(struct halo_vcpu *vcpu)
{
	unsigned int len = halo_stay_length(vcpu, HALO_INSN_VMMCALL);
	u64 nr;

	if (unlikely(!len))
		return STAY_NOT;
	nr = halo_hypercall_nr(vcpu);
	/* One of those that exist may give the CPU away. */
	if (unlikely(nr < 64 && HALO_PV_CALLS & BIT_ULL(nr)))
		return STAY_NOT;
	if (unlikely(!halo_no_zone(vcpu, HALO_BUS_HYPERCALL, nr)))
		return halo_stay_next(vcpu, halo_hypercall(vcpu, len));
	vcpu->cpu.gpr[GPR_RAX] = halo_cpl(vcpu) ? -PV_EPERM : -PV_ENOSYS;
	return halo_stay_skip(vcpu, len);
}

static __always_inline enum halo_stay halo_stay_answer(struct halo_vcpu *vcpu)
{
	unsigned int len;

	/* An event whose delivery the exit has cut short comes first. */
	if (unlikely(vcpu->cpu.event.type != EVENT_NONE))
		return STAY_NOT;
	switch (vcpu->cpu.exit.reason) {
	case HW_CPUID:
		return halo_stay_cpuid(vcpu);
	case HW_MEMORY:
		return halo_stay_memory(vcpu);
	case HW_PIO:
		return halo_stay_pio(vcpu);
	case HW_HYPERCALL:
		return halo_stay_hypercall(vcpu);
	case HW_RDMSR:
		len = halo_stay_length(vcpu, HALO_INSN_RDMSR);
		return likely(len) ? halo_stay_msr(vcpu, false, len) : STAY_NOT;
	case HW_WRMSR:
		len = halo_stay_length(vcpu, HALO_INSN_WRMSR);
		return likely(len) ? halo_stay_msr(vcpu, true, len) : STAY_NOT;
	default:
		return STAY_NOT;
	}
}

/**
 * halo_must_wait() - is there anything to be looked at before the guest may run
 * @vcpu: the vCPU
 */
bool halo_must_wait(struct halo_vcpu *vcpu)
{
	unsigned long work = read_thread_flags() & XFER_TO_GUEST_MODE_WORK;

	if (unlikely(work == _TIF_NOTIFY_RESUME) && !halo_host_resume_work())
		work = 0;
	return READ_ONCE(vcpu->requests) | READ_ONCE(vcpu->lapic.mail) | work;
}

/* The same, of what has come since the stay began; @work: the thread's flags that count. */
static __always_inline bool halo_stay_must_end(struct halo_vcpu *vcpu, unsigned long work)
{
	return READ_ONCE(vcpu->requests) | READ_ONCE(vcpu->lapic.mail) |
	       (read_thread_flags() & work);
}

/* Looks for a reply before a stay is ended for it: some microseconds. */
#define HALO_STAY_LOOKS	32

/*
 * The exit that has been given to a PARKED vCPU's server: one that is awake and answers at
 * once does not end the stay.  What halo_park() would do about any other, or about a
 * committed state, is left to it.
 */
static noinline enum halo_stay halo_stay_served(struct halo_vcpu *vcpu, unsigned long work)
{
	unsigned int looks = HALO_STAY_LOOKS;

	if (vcpu->asked_type != ASKED_GIVEN || !(BIT(vcpu->pending.kind) & PENDS_QUICK) ||
	    halo_ring_reader_sleeps(&vcpu->rings))
		return STAY_OVER;
	while (!halo_ring_reply_ready(&vcpu->rings)) {
		if (!READ_ONCE(vcpu->spin_ns) || !--looks || halo_stay_must_end(vcpu, work))
			return STAY_OVER;
		cpu_relax();
	}
	smp_rmb();	/* the reply before what was committed with it */
	if (READ_ONCE(vcpu->state->commit))
		return STAY_OVER;
	trace_halo_ring_wait(vcpu, 0, 0);
	WRITE_ONCE(vcpu->state->cached, 0);
	vcpu->bytes_len = 0;
	vcpu->asked = PEND_NONE;
	if (likely(halo_reply_take(vcpu) == NEXT_RESUME))
		return halo_stay_next(vcpu, NEXT_RESUME);
	vcpu->asked = PEND_NOTIFY;
	vcpu->asked_type = ASKED_TAKEN;
	return STAY_OVER;
}

/* The next entry delivers, as the first one does; what comes then has no window to wait for. */
static noinline enum halo_stay halo_stay_window(struct halo_vcpu *vcpu)
{
	if (vcpu->cpu.event.type != EVENT_NONE || !halo_events_window(vcpu))
		return STAY_NOT;
	trace_halo_inject(vcpu);
	vcpu->cpu.again = false;
	return STAY_ON;
}

/**
 * halo_stay() - enter the guest, answer, enter again, until there is more to do
 * @vcpu: the vCPU; interrupts are off, its mode is IN_GUEST
 *
 * Who posts something meanwhile sends an interrupt, and with that waiting the next entry
 * comes right out again.  Not for ever, as Bochs 2.7 has no interrupt leave a guest with
 * IF = 0: the host would not get the CPU back.
 *
 * What the next entry is to wait for is asked for by the first one only, or by one that
 * delivers what the last has waited for.
 *
 * vcpu->cpu.exit is HW_NONE afterwards if it was answered.
 */
void halo_stay(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	unsigned int left = cpu->want_intr_window || cpu->want_nmi_window ? 1 : HALO_STAY_MAX;
	enum halo_stay answer;
	unsigned long work;

	/*
	 * A thread that was preempted has NOTIFY_RESUME for restartable sequences until it
	 * is back in userspace. halo_must_wait() has found no more in it; work that is added
	 * to it waits for the end of this stay.
	 */
	work = XFER_TO_GUEST_MODE_WORK & ~(read_thread_flags() & _TIF_NOTIFY_RESUME);
	cpu->again = false;
	vcpu->staying = true;
	for (;;) {
		trace_halo_entry(vcpu);
		static_call(halo_run)(cpu);
		vcpu->count.exits[cpu->exit.reason]++;
		trace_halo_exit(vcpu);
		left--;
		cpu->again = true;
		answer = halo_stay_answer(vcpu);
		if (answer != STAY_ON) {
			if (answer == STAY_OVER && vcpu->parked && vcpu->asked) {
				answer = halo_stay_served(vcpu, work);
			} else if (cpu->exit.reason == HW_INTR_WINDOW) {
				answer = halo_stay_window(vcpu);
				left = HALO_STAY_MAX;
			}
			if (answer != STAY_ON)
				break;
		}
		if (!left || halo_stay_must_end(vcpu, work) ||
		    atomic64_read(&vcpu->vm->tlb_gen) != vcpu->tlb_gen)
			break;
	}
	vcpu->staying = false;
	if (answer != STAY_NOT)
		cpu->exit.reason = HW_NONE;
	vcpu->lapic.stale |= cpu->virt_intr;
}
