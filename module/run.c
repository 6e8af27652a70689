// SPDX-License-Identifier: GPL-2.0
/*
 * RUN: the only loop.
 *
 * Take the reply to the last exit, load what the user committed, then: wait
 * while the guest is halted, deliver events, enter, decide.  The loop leaves
 * with an exit for userspace, if that is not served while it is parked, or with
 * an errno when the thread has something else to do.  Entered and left under vcpu->lock.
 *
 * The way in (halo_enter) is a handshake with everybody who posts something to
 * this vCPU: the poster writes its message and then reads vcpu->mode; we write
 * mode and then read the messages; so one of the two sees the other.
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include "trace.h"
#include "vcpu.h"

/* Bind to this CPU; preemption off. */
static void halo_load_here(struct halo_vcpu *vcpu, int cpu)
{
	if (unlikely(vcpu->tsc_lost != halo_host_tsc_lost))
		halo_clock_lost(vcpu, halo_host_tsc_lost);
	WRITE_ONCE(vcpu->pcpu, cpu);
	halo_be->load(&vcpu->cpu, cpu);
	halo_host_vcpu_switch(vcpu->serial);
	if (vcpu->caps.has & (HALO_HAS_RDTSCP | HALO_HAS_RDPID))
		halo_host_msr_load(HOST_MSR_TSC_AUX, vcpu->msr.tsc_aux);
	vcpu->loaded = true;
}

static void halo_put_here(struct halo_vcpu *vcpu)
{
	vcpu->loaded = false;
	halo_host_msrs_put();
	halo_be->put(&vcpu->cpu);
}

static void halo_sched_in(struct preempt_notifier *pn, int cpu)
{
	struct halo_vcpu *vcpu = container_of(pn, struct halo_vcpu, pn);

	WRITE_ONCE(vcpu->preempted, false);
	halo_load_here(vcpu, cpu);
}

static void halo_sched_out(struct preempt_notifier *pn, struct task_struct *next)
{
	struct halo_vcpu *vcpu = container_of(pn, struct halo_vcpu, pn);

	halo_sched_lost(vcpu);
	halo_pv_sched_out(vcpu);
	halo_put_here(vcpu);
}

static struct preempt_ops halo_preempt_ops = {
	.sched_in = halo_sched_in,
	.sched_out = halo_sched_out,
};

/*
 * One stay in the guest, with preemption off. False: something came up first, and nothing
 * was done but what can be done again.
 */
static bool halo_enter(struct halo_vcpu *vcpu)
{
	struct halo_lapic *l = &vcpu->lapic;
	struct halo_cpu *cpu = &vcpu->cpu;
	u64 gen;
	u32 tpr;

	if (unlikely(cpu->arch.dirty)) {
		halo_be->state_set(cpu, cpu->arch.dirty);
		cpu->arch.dirty = 0;
	}
	local_irq_disable();
	WRITE_ONCE(vcpu->mode, MODE_IN_GUEST);
	/* Pairs with the barrier between message and mode in every poster. */
	smp_mb();
	if (unlikely(halo_must_wait(vcpu))) {
		WRITE_ONCE(vcpu->mode, MODE_OUTSIDE);
		local_irq_enable();
		return false;
	}
	gen = atomic64_read(&vcpu->vm->tlb_gen);
	if (unlikely(gen != vcpu->tlb_gen)) {
		vcpu->tlb_gen = gen;
		cpu->flush_tlb = true;
	}
	tpr = l->reg[HALO_LAPIC_TPR].v;
	cpu->cr8 = halo_lapic_cr8(l);
	if (halo_hw.tpr_shadow)
		cpu->tpr_threshold = halo_lapic_threshold(l);
	else if (cpu->virt_intr && l->changed)
		halo_irq_hand_over(vcpu);
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD)))
		switch_fpu_return();

	trace_halo_inject(vcpu);
	vcpu->bytes_len = 0;
	guest_timing_enter_irqoff();
	halo_stay(vcpu);
	halo_host_guest_ran();
	/* Release: whoever sees OUTSIDE sees that the guest has stopped. */
	smp_store_release(&vcpu->mode, MODE_OUTSIDE);
	if (halo_hw.tpr_shadow && unlikely(l->reg[HALO_LAPIC_TPR].v != tpr))
		halo_lapic_set_tpr(l, l->reg[HALO_LAPIC_TPR].v);

	/* The interrupt that brought us out is taken here, on the guest's account. */
	if (cpu->exit.reason == HW_INTR) {
		local_irq_enable();
		local_irq_disable();
	}
	guest_timing_exit_irqoff();
	local_irq_enable();
	return true;
}

/* What halo_enter() stopped for; whether RUN is to be left for it, with vcpu->error. */
static bool halo_host_work(struct halo_vcpu *vcpu)
{
	vcpu->error = 0;
	if (unlikely(READ_ONCE(vcpu->requests))) {
		if (test_and_clear_bit(REQ_STEAL, &vcpu->requests))
			halo_pv_steal_update(vcpu);
		if (test_and_clear_bit(REQ_CLOCK, &vcpu->requests))
			halo_clock_update(vcpu);
		if (test_and_clear_bit(REQ_UNHALT, &vcpu->requests)) {
			vcpu->pv.unhalted = vcpu->mp_state != HALO_MP_HALTED;
			if (!vcpu->pv.unhalted)
				halo_mp_wake(vcpu);
		}
		if (test_and_clear_bit(REQ_READ, &vcpu->requests) && !vcpu->parked &&
		    halo_ring_unread(&vcpu->rings))
			return true;
		if (test_and_clear_bit(REQ_KICK, &vcpu->requests))
			vcpu->error = -EINTR;
	}
	/* Task work (io_uring) is done on the way to userspace. */
	if (signal_pending(current) ||
	    (test_thread_flag(TIF_NOTIFY_RESUME) && halo_host_resume_work()))
		vcpu->error = -EINTR;
	cond_resched();
	return vcpu->error;
}

static enum halo_next halo_loop_once(struct halo_vcpu *vcpu)
{
	enum halo_next next;
	bool ran;

	if (halo_host_work(vcpu))
		return NEXT_STOP;
	next = halo_events(vcpu);
	if (next != NEXT_RESUME)
		return next;
	if (vcpu->mp_state != HALO_MP_RUNNABLE) {
		vcpu->error = halo_block(vcpu);
		return vcpu->error ? NEXT_STOP : NEXT_RESUME;
	}
	if (unlikely(vcpu->msr.pv_eoi & 1))
		halo_pv_eoi_offer(vcpu);
	preempt_disable();
	ran = halo_enter(vcpu);
	preempt_enable();
	if (unlikely(vcpu->pv.eoi_offered))
		halo_pv_eoi_take(vcpu);
	return ran ? halo_exit_dispatch(vcpu) : NEXT_RESUME;
}

/*
 * Is there nothing to deliver or to offer, no window asked for, and the guest can run?
 * Mail does not count: halo_enter() looks at it.
 */
static bool halo_events_none(const struct halo_vcpu *vcpu)
{
	const struct halo_lapic *l = &vcpu->lapic;
	const struct halo_cpu *cpu = &vcpu->cpu;

	return !(vcpu->triple | vcpu->mp_state | vcpu->nmi_pending | cpu->event.type |
		 cpu->want_intr_window | cpu->want_nmi_window | READ_ONCE(l->lines) |
		 (cpu->virt_intr ? 0 : l->irr_words) |
		 (unlikely(vcpu->msr.pv_eoi & 1) ? l->isr_words : 0));
}

static_assert(HALO_MP_RUNNABLE == 0 && EVENT_NONE == 0);

/*
 * What most rounds are: a reply, one stay in the guest, an access to a port.  With
 * preemption off, so that nobody must hear when this task is switched.  RESUME: the rest
 * is for the loop; @out: beginning with the exit.
 */
static enum halo_next halo_quick(struct halo_vcpu *vcpu, bool *out)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	enum halo_next next;

	*out = false;
	if (!(BIT(vcpu->pending.kind) & PENDS_QUICK) || vcpu->exit_waits)
		return NEXT_RESUME;
	next = halo_reply_take(vcpu);
	if (next != NEXT_RESUME || !halo_events_none(vcpu) || !halo_enter(vcpu))
		return next;
	if (likely(x->reason == HW_NONE && vcpu->asked))
		return halo_forward_asked(vcpu);
	*out = true;
	return NEXT_RESUME;
}

/*
 * The loop, preemptible.  @out: the vCPU is just out of the guest.  Preemption is off
 * before and after it.
 */
static enum halo_next halo_loop(struct halo_vcpu *vcpu, bool out)
{
	enum halo_next next;

	preempt_notifier_init(&vcpu->pn, &halo_preempt_ops);
	preempt_notifier_register(&vcpu->pn);
	preempt_enable();

	for (;;) {
		next = out ? halo_exit_dispatch(vcpu) : halo_reply_take(vcpu);
		while (next == NEXT_RESUME)
			next = halo_loop_once(vcpu);
		while (vcpu->parked && (next == NEXT_FORWARD ||
					(next == NEXT_STOP && vcpu->error == -EAGAIN))) {
			next = halo_park(vcpu);
			if (next == NEXT_STOP)
				break;
			preempt_disable();
			next = halo_quick(vcpu, &out);
			preempt_enable();
		}
		if (next != NEXT_RESUME)
			break;
	}

	preempt_disable();
	preempt_notifier_unregister(&vcpu->pn);
	return next;
}

/**
 * halo_vcpu_run() - HALO_VCPU_RUN
 * @vcpu: the vCPU, locked
 *
 * Return: 0 when an exit waits for userspace; -EINTR, -EPROTO, -EINVAL,
 * -EAGAIN, -ESHUTDOWN as the user interface says.
 */
int halo_vcpu_run(struct halo_vcpu *vcpu)
{
	enum halo_next next = NEXT_RESUME;
	bool out = false;
	u32 flags;
	int err;

	if (vcpu->stopped)
		return -ESHUTDOWN;
	if (vcpu->rings.broken)
		return -EPROTO;
	WRITE_ONCE(vcpu->state->cached, 0);
	if (unlikely(READ_ONCE(vcpu->state->commit))) {
		err = halo_state_commit(vcpu);
		if (err)
			return err;
	}
	flags = READ_ONCE(vcpu->state->flags);
	if (flags & HALO_RUN_IMMEDIATE_EXIT)
		return -EINTR;
	WRITE_ONCE(vcpu->parked, flags & HALO_RUN_PARKED);

	if (unlikely(rcu_access_pointer(vcpu->pid) != task_pid(current)))
		halo_pv_owner(vcpu);
	/* FPU and CPU state are the guest's to switch from here. */
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
	preempt_disable();
	halo_load_here(vcpu, smp_processor_id());
	if (likely(!vcpu->parked))
		next = halo_quick(vcpu, &out);
	if (next == NEXT_RESUME)
		next = halo_loop(vcpu, out);
	halo_put_here(vcpu);
	preempt_enable();
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
	if (unlikely(READ_ONCE(vcpu->state->wanted)))
		halo_state_provide(vcpu);
	return next == NEXT_FORWARD ? 0 : vcpu->error;
}
