// SPDX-License-Identifier: GPL-2.0
/*
 * The ring protocol, broken by userspace in every way: the liar gets -EPROTO
 * for good, and nothing else happens.  RUN's other ways out are here too.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include "hvm.h"

static volatile u64 got[4], stop;

GUEST void ins(void)
{
	for (;;)
		got[0] = inb(0x80);
}

GUEST void spin(void)
{
	while (!stop)
		got[0]++;
}

static struct vcpu *at_exit(void)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, ins, 0);
	guest_until(v, HALO_EXIT_PIO);
	return v;
}

static void broken(struct vcpu *v)
{
	CHECK_EQ(settle(v), -EPROTO);
	CHECK(v->exits->flags & HALO_RING_BROKEN);
	/* Making it good again does not help. */
	v->replies->head = v->exits->tail;
	v->replies->tail = v->exits->head;
	answer(v, 0);
	CHECK_EQ(settle(v), -EPROTO);
	/* The rest of the vCPU works. */
	state_get(v);
}

TEST(missing_reply)
{
	struct vcpu *v = at_exit();

	CHECK_EQ(settle(v), -EAGAIN);
	CHECK_EQ(settle(v), -EAGAIN);
	answer(v, 1);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(got[0], 1);
}

static void reply_with(const struct halo_reply *r)
{
	struct vcpu *v = at_exit();
	struct halo_reply x = *r;

	if (!x.seq)
		x.seq = v->x.seq;
	reply_raw(v, &x);
	CHECK_EQ(settle(v), -EPROTO);
	/* It is taken off and the exit still waits: the right one goes through. */
	CHECK(!(v->exits->flags & HALO_RING_BROKEN));
	CHECK_EQ(settle(v), -EAGAIN);
	answer(v, 0x44);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(got[0], 0x44);
	vm_free(v->vm);
}

TEST(wrong_sequence_number)
{
	reply_with(&(struct halo_reply){ .seq = 2 });
	reply_with(&(struct halo_reply){ .seq = ~0ull });
	reply_with(&(struct halo_reply){ .seq = 1ull << 32 | 1 });
}

TEST(unknown_action)
{
	reply_with(&(struct halo_reply){ .action = 4 });
	reply_with(&(struct halo_reply){ .action = 255 });
}

TEST(reserved_bytes)
{
	reply_with(&(struct halo_reply){ .reserved = { 1 } });
	reply_with(&(struct halo_reply){ .reserved = { 0, 0, 0, 0, 0x80 } });
	reply_with(&(struct halo_reply){ .reserved2 = 0x80000000 });
}

TEST(injection_of_what_is_no_exception)
{
	reply_with(&(struct halo_reply){ .action = HALO_ACTION_INJECT, .vector = 32 });
	reply_with(&(struct halo_reply){ .action = HALO_ACTION_INJECT, .vector = 255 });
	reply_with(&(struct halo_reply){ .action = HALO_ACTION_INJECT, .vector = 2 });
	reply_with(&(struct halo_reply){ .action = HALO_ACTION_INJECT, .vector = 13,
					 .has_error = 2 });
}

TEST(lying_tail)
{
	static const u32 lie[] = { 65, 66, 1000, 0x7fffffff, 0x80000000, 0xffffffff };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(lie); i++) {
		struct vcpu *v = at_exit();

		v->replies->tail = lie[i];
		broken(v);
		vm_free(v->vm);
	}
}

TEST(lying_head)
{
	static const u32 lie[] = { 2, 65, 0x7fffffff, 0x80000000 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(lie); i++) {
		struct vcpu *v = at_exit();

		answer(v, 0);
		v->replies->head = lie[i];
		broken(v);
		vm_free(v->vm);
	}
}

TEST(several_replies_to_one_exit)
{
	struct vcpu *v = at_exit();

	answer(v, 1);
	answer(v, 2);
	/* The first is the answer; the second fits no exit. */
	step(v);
	CHECK_EQ(got[0], 1);
	CHECK_EQ(settle(v), -EPROTO);
}

TEST(exits_that_nobody_takes_fill_the_ring)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	guest_begin(v, ins, 0);
	for (i = 0; i < v->layout.ring_entries; i++) {
		CHECK_EQ(settle(v), 0);
		v->x.seq = i + 1;
		answer(v, i);
	}
	CHECK_EQ(v->exits->tail, i);
	CHECK_EQ(settle(v), -EAGAIN);
	CHECK_EQ(settle(v), -EAGAIN);
	v->replies->head = i;
	CHECK_EQ(settle(v), 0);
	CHECK_EQ(v->exits->tail, i + 1);
}

TEST(indexes_wrap_around)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	guest_begin(v, ins, 0);
	for (i = 0; i < 1000; i++) {
		guest_until(v, HALO_EXIT_PIO);
		CHECK_EQ(v->x.seq, i + 1);
		CHECK_EQ(got[0], i ? (i - 1) & 0xff : 0);
		answer(v, i & 0xff);
	}
}

/* Another thread writes into the rings all the time: no harm but to itself. */
static void *scribble(void *arg)
{
	struct vcpu *v = arg;
	u32 i = 0;

	while (!stop) {
		u32 *p = (u32 *)v->replies;

		i++;
		p[i % (v->layout.replies_bytes / 4)] = i * 2654435761u;
		((volatile u64 *)v->s)[i % (sizeof(*v->s) / 8)] = i * 0x9e3779b97f4a7c15ull;
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

TEST_SECONDS(scribbling_into_the_shared_pages, 60)
{
	u32 i, j, err[3] = {};
	pthread_t t;

	for (i = 0; i < 30; i++) {
		struct vm *vm = vm_new();
		struct vcpu *v = vm->cpu[0];

		guest_begin(v, ins, 0);
		stop = 0;
		CHECK(!pthread_create(&t, NULL, scribble, v));
		for (j = 0; j < 200; j++) {
			int e = run(v);

			err[e == 0 ? 0 : e == -EPROTO ? 1 : 2]++;
			if (e == -EPROTO)
				break;
			v->x.seq = v->exits->tail;
			answer(v, 0);
		}
		stop = 1;
		CHECK(!pthread_join(t, NULL));
		vm_free(vm);
	}
	ktap_note("%u exits, %u EPROTO, %u others", err[0], err[1], err[2]);
}

/* ---- the ways out of RUN ---- */

static volatile int rang;

static void on_alarm(int sig)
{
	rang = 1;
}

TEST(a_signal_ends_run)
{
	const struct itimerval it = {
		.it_value = { .tv_usec = 50000 },
		.it_interval = { .tv_usec = 50000 },
	};
	struct sigaction sa = { .sa_handler = on_alarm };
	struct vcpu *v = vm_new()->cpu[0];

	sigaction(SIGALRM, &sa, NULL);
	guest_begin(v, spin, 0);
	setitimer(ITIMER_REAL, &it, NULL);
	/* It may be left before for other work of the thread's; the first may come early. */
	while (!rang || !got[0])
		CHECK_EQ(run(v), -EINTR);
}

TEST(immediate_exit)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, spin, 0);
	v->s->flags = HALO_RUN_IMMEDIATE_EXIT;
	CHECK_EQ(run(v), -EINTR);
	CHECK_EQ(got[0], 0);
}

/* The state is loaded, and shown, also when the guest is not entered. */
TEST(immediate_exit_commits_and_provides)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, spin, 0);
	v->s->gpr[HALO_RBX] = 0x77;
	v->s->commit = HALO_STATE_GPRS;
	v->s->flags = HALO_RUN_IMMEDIATE_EXIT;
	CHECK_EQ(run(v), -EINTR);
	CHECK_EQ(v->s->commit, 0);
	state_get(v);
	CHECK_EQ(v->s->gpr[HALO_RBX], 0x77);
}

static void *runner(void *arg)
{
	int err;

	do
		err = run(arg);
	while (err == -EINTR && !stop);
	return (void *)(long)err;
}

TEST(second_thread_is_busy)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_vcpu_stats s = { .size = sizeof(s) };
	struct halo_lapic_state l = { .size = sizeof(l) };
	pthread_t t;
	void *err;

	guest_begin(v, spin, 0);
	CHECK(!pthread_create(&t, NULL, runner, v));
	while (!got[0])
		usleep(1000);
	CHECK_EQ(settle(v), -EBUSY);
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_GET_STATE, 0), EBUSY);
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_GET_LAPIC, &l), EBUSY);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &s));
	CHECK(s.entries > 0);
	stop = 1;
	CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	CHECK(!pthread_join(t, &err));
	CHECK((long)err == -EINTR || (long)err == 0);
}

TEST(kick_before_run_is_not_lost)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, spin, 0);
	CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	CHECK_EQ(run(v), -EINTR);
	CHECK_EQ(got[0], 0);
}

TEST(kick_reaches_a_spinning_guest)
{
	struct vcpu *v = vm_new()->cpu[0];
	pthread_t t;
	void *err;
	u32 i;

	for (i = 0; i < 20; i++) {
		stop = 0;
		got[0] = 0;
		guest_begin(v, spin, 0);
		CHECK(!pthread_create(&t, NULL, runner, v));
		while (!got[0])
			usleep(500);
		*(volatile u64 *)&stop = 2;	/* runner stops; the guest does too */
		CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
		CHECK(!pthread_join(t, &err));
		if ((long)err == 0) {		/* it was quicker and returned */
			v->replies->head = v->exits->tail;
			v->x.seq = v->exits->tail;
			answer_as(v, HALO_ACTION_RETRY, 0, -1);
		}
	}
}
