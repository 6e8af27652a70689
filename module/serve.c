// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU and who serves its rings: how each waits for the other.
 *
 * The server waits for exits: it says so in its ring header, looks once more and sleeps in
 * poll().  A posted exit may wait a little unseen: the first one starts a timer, and
 * wake_after_us later whoever reads is told.  One timer per batch, as waking for each exit
 * would cost more than posting has saved.
 *
 * A PARKED vCPU waits for its server in the kernel: for the reply, or for room in the exit
 * ring.  It looks out for a while, as long as that has paid lately, and then sleeps, having
 * said so in EXITS, until DOORBELL.  A signal ends the wait and leaves the exit pending, so
 * the next RUN goes on waiting, or, INLINE, finds no reply.
 *
 * Both sleeps are one protocol: flag, full barrier, look at the index, sleep; and on the
 * other side: index, full barrier, flag, wake.  A peer that lies about its flag or its
 * index sleeps too long or not at all; the kernel's side ends at a signal.
 *
 * poll() and DOORBELL are for any process that holds the fd, without a lock; the rest is
 * for the owner of the vCPU, but the timer.
 */
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include "trace.h"
#include "vcpu.h"

#define SPIN_MIN_NS	2000	/* shorter ones find nothing */
#define SPIN_BATCH	64	/* looks at the index between two at the clock */

static bool halo_serve_wake(struct halo_vcpu *vcpu)
{
	if (!halo_ring_reader_sleeps(&vcpu->rings))
		return false;
	wake_up_interruptible_poll(&vcpu->readers, EPOLLIN | EPOLLRDNORM);
	return true;
}

/*
 * Tell whoever is to read: who sleeps in poll(), else the thread that is in RUN, unless
 * there is a server, which is awake then.
 */
static void halo_announce_now(struct halo_vcpu *vcpu)
{
	if (!halo_ring_unread(&vcpu->rings) || halo_serve_wake(vcpu) || READ_ONCE(vcpu->parked))
		return;
	set_bit(REQ_READ, &vcpu->requests);
	smp_mb__after_atomic();	/* the request before the mode */
	halo_vcpu_kick(vcpu);
}

static enum hrtimer_restart halo_announce_due(struct hrtimer *timer)
{
	struct halo_vcpu *vcpu = container_of(timer, struct halo_vcpu, announce);

	WRITE_ONCE(vcpu->announcing, false);
	/* Pairs with halo_announce(): an exit that trusted in this timer is seen now. */
	smp_mb();
	halo_announce_now(vcpu);
	return HRTIMER_NORESTART;
}

/**
 * halo_announce_start() - exits wait and nobody has been told
 * @vcpu: the vCPU
 */
void halo_announce_start(struct halo_vcpu *vcpu)
{
	u64 us = READ_ONCE(vcpu->wake_after_us);

	if (!us) {
		halo_announce_now(vcpu);
		return;
	}
	WRITE_ONCE(vcpu->announcing, true);
	hrtimer_start(&vcpu->announce, ns_to_ktime(us * NSEC_PER_USEC), HRTIMER_MODE_REL_SOFT);
}

/**
 * halo_serve_init() - a new vCPU: nobody waits yet
 * @vcpu: the vCPU
 */
void halo_serve_init(struct halo_vcpu *vcpu)
{
	init_waitqueue_head(&vcpu->readers);
	hrtimer_init(&vcpu->announce, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	vcpu->announce.function = halo_announce_due;
	vcpu->wake_after_us = HALO_WAKE_AFTER_US;
	vcpu->poll_ns = HALO_POLL_NS;
	vcpu->spin_ns = HALO_POLL_NS;
}

/**
 * halo_serve_poll() - poll() on a vCPU fd: do exits wait?
 * @file: the vCPU fd, of any process
 * @wait: where to add its sleeper
 *
 * A reader sets NEED_WAKE before it comes here, which looks at the index again.
 *
 * Return: EPOLLIN if there are exits; EPOLLERR if the ring is broken.
 */
__poll_t halo_serve_poll(struct file *file, poll_table *wait)
{
	struct halo_vcpu *vcpu = file->private_data;

	poll_wait(file, &vcpu->readers, wait);
	smp_mb();	/* on the queue before the look at the index */
	return (halo_ring_unread(&vcpu->rings) ? EPOLLIN | EPOLLRDNORM : 0) |
	       (READ_ONCE(vcpu->rings.broken) ? EPOLLERR : 0);
}

/**
 * halo_serve_set_ring() - HALO_VCPU_SET_RING
 * @obj: the vCPU, not locked
 * @arg: struct halo_vcpu_ring
 *
 * Return: 0; -EINVAL.
 */
long halo_serve_set_ring(void *obj, void *arg)
{
	const struct halo_vcpu_ring *r = arg;
	struct halo_vcpu *vcpu = obj;

	if (r->flags || r->poll_ns > HALO_MAX_POLL_NS ||
	    r->wake_after_us > HALO_MAX_WAKE_AFTER_US ||
	    memchr_inv(r->reserved, 0, sizeof(r->reserved)))
		return -EINVAL;
	WRITE_ONCE(vcpu->wake_after_us, r->wake_after_us);
	WRITE_ONCE(vcpu->poll_ns, r->poll_ns);
	WRITE_ONCE(vcpu->spin_ns, r->poll_ns);
	return 0;
}

/**
 * halo_serve_doorbell() - HALO_VCPU_DOORBELL: the server has given what was waited for
 * @vcpu: the vCPU, not locked; any process
 *
 * Return: 0.
 */
long halo_serve_doorbell(struct halo_vcpu *vcpu)
{
	rcuwait_wake_up(&vcpu->wait);
	return 0;
}

/* Has the server done what the vCPU waits for? */
static bool halo_park_over(const struct halo_vcpu *vcpu)
{
	return vcpu->exit_waits ? halo_ring_room(&vcpu->rings) :
				  halo_ring_reply_ready(&vcpu->rings);
}

static bool halo_park_spin(struct halo_vcpu *vcpu)
{
	u64 now, spin = READ_ONCE(vcpu->spin_ns), until = 0;
	unsigned int i = 0;

	while (!halo_park_over(vcpu)) {
		cpu_relax();
		if (spin && ++i % SPIN_BATCH)
			continue;
		if (!spin || need_resched() || signal_pending(current) ||
		    READ_ONCE(vcpu->requests))
			return false;
		now = ktime_get_ns();
		until = until ?: now + spin;
		if (now >= until)
			return false;
	}
	return true;
}

/* Spin longer where a little longer would have done, shorter where it was in vain. */
static void halo_park_learn(struct halo_vcpu *vcpu, u64 slept)
{
	u64 most = READ_ONCE(vcpu->poll_ns), spin = READ_ONCE(vcpu->spin_ns);

	if (slept < most)
		spin = min(most, max_t(u64, 2 * spin, SPIN_MIN_NS));
	else
		spin = spin < 2 * SPIN_MIN_NS ? 0 : spin / 2;
	WRITE_ONCE(vcpu->spin_ns, spin);
}

static int halo_park_sleep(struct halo_vcpu *vcpu)
{
	u64 start = ktime_get_ns(), slept;
	int err = 0;

	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		halo_ring_sleep(&vcpu->rings, true);
		if (halo_park_over(vcpu))
			break;
		if (test_and_clear_bit(REQ_KICK, &vcpu->requests) || signal_pending(current)) {
			err = -EINTR;
			break;
		}
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
	halo_ring_sleep(&vcpu->rings, false);
	slept = ktime_get_ns() - start;
	vcpu->count.parks++;
	vcpu->count.parked_ns += slept;
	trace_halo_ring_wait(vcpu, slept, err);
	if (!err)
		halo_park_learn(vcpu, slept);
	return err;
}

/**
 * halo_park() - wait for the server
 * @vcpu: the vCPU; an exit is in the ring, or waits for room there
 *
 * Return: RESUME when halo_reply_take() will find something; STOP with vcpu->error:
 * -EINTR, or what is wrong with a committed state.
 */
enum halo_next halo_park(struct halo_vcpu *vcpu)
{
	smp_mb();	/* the exit before the server's flag */
	halo_serve_wake(vcpu);
	if (likely(halo_park_over(vcpu)) || halo_park_spin(vcpu)) {
		trace_halo_ring_wait(vcpu, 0, 0);
	} else {
		vcpu->error = halo_park_sleep(vcpu);
		if (vcpu->error)
			return NEXT_STOP;
	}
	WRITE_ONCE(vcpu->state->cached, 0);
	if (likely(!READ_ONCE(vcpu->state->commit)))
		return NEXT_RESUME;
	vcpu->error = halo_state_commit(vcpu);
	return vcpu->error ? NEXT_STOP : NEXT_RESUME;
}
