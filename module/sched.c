// SPDX-License-Identifier: GPL-2.0
/*
 * More vCPUs than CPUs: waiting in HLT, and giving the CPU to who needs it more.
 *
 * A vCPU in HLT looks out for a while before its thread sleeps, as long as that has paid
 * lately: waking a thread costs more than most short waits.  It never keeps the CPU from
 * another thread.
 *
 * A vCPU that spins (the CPU tells of its PAUSEs) waits for another one.  Of those that
 * have lost their CPU with work left, the one that was in its kernel may hold the lock;
 * one in user mode or in HLT does not.  The threads take turns in being helped.  Why not
 * look at the guest's locks: the guest tells by KICK_CPU and SCHED_YIELD (pv.c) what it
 * wants to be known.
 *
 * For the owner of the vCPU; halo_sched_lost() runs in the scheduler.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include "trace.h"
#include "vcpu.h"

#define POLL_MIN_NS	10000	/* shorter ones find nothing */

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "longest time that a vCPU in HLT looks out before it sleeps, ns; 0: never");

static bool directed_yield = true;
module_param(directed_yield, bool, 0644);
MODULE_PARM_DESC(directed_yield, "vCPUs that wait for others of their VM give them their CPU");

static bool halo_block_over(struct halo_vcpu *vcpu)
{
	return halo_wakeable(vcpu) || READ_ONCE(vcpu->requests);
}

/* Look out from @now on, for as long as it is likely to pay. */
static bool halo_block_poll(struct halo_vcpu *vcpu, u64 now)
{
	u64 end = now + min(vcpu->halt_poll, READ_ONCE(halt_poll_ns));

	for (; now < end; now = ktime_get_ns()) {
		if (halo_block_over(vcpu))
			return true;
		if (!single_task_running() || need_resched() || signal_pending(current))
			return false;
		cpu_relax();
	}
	return false;
}

/* Longer where a little longer would have done, not at all where it was far too short. */
static void halo_block_learn(struct halo_vcpu *vcpu, u64 waited)
{
	unsigned int most = READ_ONCE(halt_poll_ns), poll = vcpu->halt_poll;

	if (waited >= most)
		poll = 0;
	else if (waited >= poll)
		poll = min(most, max(2 * poll, POLL_MIN_NS));
	vcpu->halt_poll = poll;
}

/**
 * halo_block() - HLT, or an AP without work: wait until something is posted
 * @vcpu: the vCPU
 *
 * Return: 0; -EINTR for a signal.
 */
int halo_block(struct halo_vcpu *vcpu)
{
	u64 start = ktime_get_ns(), waited;
	int err = 0;

	halo_irq_sleep(vcpu);
	if (vcpu->mp_state == HALO_MP_HALTED && vcpu->halt_poll && vcpu->msr.pv_poll &&
	    halo_block_poll(vcpu, start))
		goto over;
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (halo_block_over(vcpu))
			break;
		if (signal_pending(current)) {
			err = -EINTR;
			break;
		}
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
over:
	halo_irq_wake(vcpu);
	vcpu->count.halts++;
	waited = ktime_get_ns() - start;
	vcpu->count.halted_ns += waited;
	halo_block_learn(vcpu, waited);
	trace_halo_halt(vcpu, waited, err);
	return err;
}

/**
 * halo_sched_lost() - the thread loses its CPU
 * @vcpu: the vCPU, still loaded; its thread is current, interrupts are off
 */
void halo_sched_lost(struct halo_vcpu *vcpu)
{
	bool running = task_is_running(current);

	if (running && vcpu->vm->nr_vcpus > 1)
		WRITE_ONCE(vcpu->in_kernel,
			   vcpu->mp_state == HALO_MP_RUNNABLE && !halo_cpl(vcpu));
	WRITE_ONCE(vcpu->preempted, running);
}

/**
 * halo_sched_yield() - give this CPU to another vCPU's thread, if it has been deprived of one
 * @to: that vCPU
 *
 * Return: whether it was given.
 */
bool halo_sched_yield(struct halo_vcpu *to)
{
	struct task_struct *task;
	bool done;

	if (!READ_ONCE(to->preempted) || !READ_ONCE(directed_yield))
		return false;
	rcu_read_lock();
	task = get_pid_task(rcu_dereference(to->pid), PIDTYPE_PID);	/* NULL of no pid */
	rcu_read_unlock();
	if (!task)
		return false;
	done = task != current && yield_to(task, true) > 0;
	put_task_struct(task);
	return done;
}

/**
 * halo_sched_spin() - the guest spins: help whom it may wait for
 * @vcpu: the vCPU
 */
void halo_sched_spin(struct halo_vcpu *vcpu)
{
	struct halo_vm *vm = vcpu->vm;
	unsigned int i, n = halo_vm_vcpus(vm), at = READ_ONCE(vm->helped);
	struct halo_vcpu *to;

	for (i = 1; i <= n; i++) {
		at = at + 1 < n ? at + 1 : 0;
		to = vm->vcpus[at];
		if (to == vcpu || !READ_ONCE(to->preempted) || !READ_ONCE(to->in_kernel))
			continue;
		if (halo_sched_yield(to)) {
			WRITE_ONCE(vm->helped, at);
			return;
		}
	}
	cond_resched();
}
