// SPDX-License-Identifier: GPL-2.0
/*
 * PARKED: the vCPU's thread waits in the kernel, another thread or process
 * serves its rings.  Awake servers, sleeping ones, dead ones, lying ones.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include "hvm.h"

#define PORT	0x300

static volatile u64 got[8], stop;

/* A server's own view of the rings, mapped by it. */
struct server {
	int fd;
	u32 entries;
	const volatile struct halo_ring *exits;
	volatile struct halo_ring *replies;
	const struct halo_exit *exit;
	struct halo_reply *reply;
	bool sleeps;		/* in poll(), else it spins */
	u32 delay_us;
	u64 served, slept, rang;
};

static void server_map(struct server *s, int fd, const struct halo_vcpu_layout *l)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->entries = l->ring_entries;
	s->exits = mmap(NULL, l->exits_bytes, PROT_READ, MAP_SHARED, fd, l->exits_offset);
	CHECK(s->exits != MAP_FAILED);
	s->replies = mmap(NULL, l->replies_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  l->replies_offset);
	CHECK(s->replies != MAP_FAILED);
	s->exit = (void *)((u8 *)s->exits + sizeof(struct halo_ring));
	s->reply = (void *)((u8 *)s->replies + sizeof(struct halo_ring));
}

/* After an index was stored: does the vCPU sleep? */
static void server_bell(struct server *s)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (s->exits->flags & HALO_RING_NEED_WAKE) {
		s->rang++;
		CHECK(!ioctl(s->fd, HALO_VCPU_DOORBELL, 0));
	}
}

static bool server_next(struct server *s, struct halo_exit *x)
{
	u32 head = s->replies->head;

	if (__atomic_load_n(&s->exits->tail, __ATOMIC_ACQUIRE) == head)
		return false;
	*x = s->exit[head & (s->entries - 1)];
	__atomic_store_n(&s->replies->head, head + 1, __ATOMIC_RELEASE);
	server_bell(s);
	return true;
}

static void server_reply(struct server *s, const struct halo_exit *x, u8 action, u64 data)
{
	u32 tail = s->replies->tail;

	s->reply[tail & (s->entries - 1)] = (struct halo_reply){
		.seq = x->seq, .action = action, .data = data,
	};
	__atomic_store_n(&s->replies->tail, tail + 1, __ATOMIC_RELEASE);
	server_bell(s);
}

/* The next exit; false: told to stop. */
static bool server_wait(struct server *s, struct halo_exit *x)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	while (!server_next(s, x)) {
		if (stop)
			return false;
		if (!s->sleeps)
			continue;
		s->replies->flags = HALO_RING_NEED_WAKE;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&s->exits->tail, __ATOMIC_ACQUIRE) == s->replies->head) {
			s->slept++;
			/* Long: a wake-up that is lost shows as a time-out of the test. */
			CHECK(poll(&p, 1, 60000) == 1 || stop);
		}
		s->replies->flags = 0;
	}
	return true;
}

/* Serves reads of PORT with what they are numbered by, until the guest is done. */
static void *serve(void *arg)
{
	struct server *s = arg;
	struct halo_exit x;

	while (server_wait(s, &x)) {
		if (s->delay_us)
			usleep(s->delay_us);
		if (x.flags & HALO_EXIT_F_POSTED) {
			CHECK_EQ(x.data, s->served++);
			continue;
		}
		if (x.addr != PORT)
			break;
		server_reply(s, &x, HALO_ACTION_DONE, s->served++);
	}
	return NULL;
}

static void *runner(void *arg)
{
	int err;

	do
		err = run(arg);
	while (err == -EINTR && !stop);
	return (void *)(long)err;
}

static void ring_set(struct vcpu *v, u32 poll_ns, u32 wake_after_us)
{
	struct halo_vcpu_ring r = {
		.size = sizeof(r), .poll_ns = poll_ns, .wake_after_us = wake_after_us,
	};

	CHECK(!ioctl(v->fd, HALO_VCPU_SET_RING, &r));
}

GUEST void ins(u64 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if (inl(PORT) != i)
			break;
	got[0] = i;
}

/* The guest is done when its OUT to PORT_DONE waits: nobody answers that. */
static void end_of(struct vcpu *v, pthread_t t)
{
	void *err;

	stop = 1;
	do
		CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	while (pthread_tryjoin_np(t, &err));
	CHECK_EQ((long)err, -EINTR);
}

static void round_trips(u32 poll_ns, bool sleeps, u32 delay_us, u32 n)
{
	struct vcpu *v = vm_new()->cpu[0];
	pthread_t t, u;
	struct server s;

	stop = 0;
	ring_set(v, poll_ns, 100);
	server_map(&s, v->fd, &v->layout);
	s.sleeps = sleeps;
	s.delay_us = delay_us;
	guest_begin(v, ins, n);
	v->s->flags = HALO_RUN_PARKED;
	CHECK(!pthread_create(&t, NULL, runner, v));
	CHECK(!pthread_create(&u, NULL, serve, &s));
	CHECK(!pthread_join(u, NULL));
	CHECK_EQ(got[0], n);
	CHECK_EQ(s.served, n);
	end_of(v, t);
	ktap_note("%llu served, server slept %llu times, rang %llu times",
		  (unsigned long long)s.served, (unsigned long long)s.slept,
		  (unsigned long long)s.rang);
}

TEST_SECONDS(both_spin, 60)
{
	round_trips(HALO_MAX_POLL_NS, false, 0, 2000);
}

TEST_SECONDS(both_sleep, 60)
{
	round_trips(0, true, 0, 2000);
}

TEST_SECONDS(the_vcpu_sleeps, 60)
{
	round_trips(0, false, 0, 2000);
}

TEST_SECONDS(the_server_sleeps, 60)
{
	round_trips(HALO_MAX_POLL_NS, true, 0, 2000);
}

TEST_SECONDS(a_slow_server, 60)
{
	round_trips(20000, true, 500, 300);
}

GUEST void posts(u64 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		outl(PORT, i);
}

TEST_SECONDS(a_full_ring_waits_for_its_server, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	pthread_t t, u;
	struct server s;
	u32 k;

	CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_POSTED, PORT, 4, 0, 0));
	server_map(&s, v->fd, &v->layout);
	for (k = 0; k < 4; k++) {
		stop = 0;
		s.sleeps = k & 1;
		s.delay_us = k & 2 ? 50 : 0;
		s.served = 0;
		ring_set(v, k & 1 ? 0 : 50000, 100);
		guest_begin(v, posts, 1000);
		v->s->flags = HALO_RUN_PARKED;
		CHECK(!pthread_create(&t, NULL, runner, v));
		CHECK(!pthread_create(&u, NULL, serve, &s));
		CHECK(!pthread_join(u, NULL));
		CHECK_EQ(s.served, 1000);
		end_of(v, t);
		v->x.seq = v->exits->tail;
		answer_as(v, HALO_ACTION_RETRY, 0, -1);
	}
}

static void on_alarm(int sig)
{
}

/* A signal gives -EINTR, and the exit stays: PARKED goes on waiting, INLINE takes it. */
TEST(a_signal_leaves_the_exit_pending)
{
	/* Again and again: one that comes before RUN does would be the last. */
	const struct itimerval it = { { .tv_usec = 30000 }, { .tv_usec = 30000 } }, off = { };
	struct sigaction sa = { .sa_handler = on_alarm };
	struct vcpu *v = vm_new()->cpu[0];
	pthread_t t, u;
	struct server s;
	u32 i;

	sigaction(SIGALRM, &sa, NULL);
	server_map(&s, v->fd, &v->layout);
	guest_begin(v, ins, 3);
	for (i = 0; i < 3; i++) {
		v->s->flags = HALO_RUN_PARKED;
		setitimer(ITIMER_REAL, &it, NULL);
		while (run(v) == -EINTR && v->exits->tail == v->replies->head)
			;
		CHECK_EQ(v->exits->tail, i + 1);
		CHECK_EQ(run(v), -EINTR);
		setitimer(ITIMER_REAL, &off, NULL);
		CHECK_EQ(v->exits->tail, i + 1);
		CHECK_EQ(v->exits->flags, 0);
		v->s->flags = 0;
		CHECK_EQ(settle(v), -EAGAIN);
		v->replies->head = v->exits->tail;
		v->x.seq = v->exits->tail;
		answer(v, i);
	}
	/* The last one is answered while RUN waits. */
	v->s->flags = HALO_RUN_PARKED;
	stop = 0;
	s.served = 3;
	CHECK(!pthread_create(&t, NULL, runner, v));
	CHECK(!pthread_create(&u, NULL, serve, &s));
	CHECK(!pthread_join(u, NULL));
	CHECK_EQ(got[0], 3);
	end_of(v, t);
}

GUEST void ins_for_ever(u64 n)
{
	u64 i;

	for (i = 0; i < n; i++)
		got[1] += inl(PORT) != (u32)i;
	got[0] = n;
}

/* INLINE and PARKED in turn, with a server that serves either way. */
TEST_SECONDS(switched_between_runs, 60)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i = 0, parked = 0, in_line = 0;
	struct server s;
	pthread_t u;

	server_map(&s, v->fd, &v->layout);
	guest_begin(v, ins_for_ever, 1000);
	CHECK(!pthread_create(&u, NULL, serve, &s));
	for (i = 0; !got[0]; i++) {
		int err;

		v->s->flags = i % 3 ? HALO_RUN_PARKED : 0;
		if (i % 3)
			CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
		err = run(v);
		CHECK(err == -EINTR || (err == -EAGAIN && i % 3 == 0) || (!err && i % 3 == 0));
		if (!got[0])
			i % 3 ? parked++ : in_line++;
	}
	CHECK_EQ(got[1], 0);
	CHECK(!pthread_join(u, NULL));
	ktap_note("%u parked, %u inline", parked, in_line);
}

/* ---- other processes ---- */

TEST_SECONDS(served_by_another_process, 60)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_vcpu_layout l = v->layout;
	int status;
	pid_t pid;
	pthread_t t;

	guest_begin(v, ins, 500);
	pid = fork();
	if (!pid) {
		struct server s;

		server_map(&s, v->fd, &l);
		s.sleeps = true;
		CHECK(mmap(NULL, l.data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
			   l.data_offset) != MAP_FAILED);
		CHECK_ERRNO(mmap(NULL, l.state_bytes, PROT_READ, MAP_SHARED, v->fd,
				 l.state_offset), EIO);
		CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_RUN, 0), EIO);
		CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_KICK, 0), EIO);
		CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_GET_LAYOUT, &l), EIO);
		serve(&s);
		_exit(s.served == 500 ? 0 : 1);
	}
	v->s->flags = HALO_RUN_PARKED;
	CHECK(!pthread_create(&t, NULL, runner, v));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(got[0], 500);
	end_of(v, t);
}

/* Seconds from SIGKILL to its end, of a process that is parked. */
static u64 kill_parked(u32 poll_ns, bool posted)
{
	struct timespec a, b;
	int status, pipe_fd[2];
	pid_t pid;
	char c;

	CHECK(!pipe(pipe_fd));
	pid = fork();
	if (!pid) {
		struct vm *vm = vm_new();
		struct vcpu *v = vm->cpu[0];

		ring_set(v, poll_ns, 100);
		if (posted)
			CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_POSTED, PORT, 4,
					0, 0));
		guest_begin(v, posted ? posts : ins, 1000);
		v->s->flags = HALO_RUN_PARKED;
		CHECK_EQ(write(pipe_fd[1], "x", 1), 1);
		for (;;)
			run(v);
	}
	CHECK_EQ(read(pipe_fd[0], &c, 1), 1);
	usleep(200000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK(!kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK(WIFSIGNALED(status));
	return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
}

TEST(killed_without_a_server)
{
	CHECK(kill_parked(0, false) < 1000 * ktap_slow());
	CHECK(kill_parked(HALO_MAX_POLL_NS, false) < 1000 * ktap_slow());
	CHECK(kill_parked(0, true) < 1000 * ktap_slow());
}

/* The server dies in the middle: the vCPU waits, and another one takes over. */
TEST_SECONDS(another_server_takes_over, 60)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct server s;
	pthread_t t, u;
	u32 i;

	guest_begin(v, ins, 3000);
	v->s->flags = HALO_RUN_PARKED;
	ring_set(v, 0, 100);
	CHECK(!pthread_create(&t, NULL, runner, v));
	for (i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (!pid) {
			server_map(&s, v->fd, &v->layout);
			s.sleeps = i & 1;
			s.served = s.replies->tail;
			serve(&s);
			_exit(0);
		}
		usleep(50000);
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		/* Killed between taking an exit and giving its reply: given now. */
		if (v->replies->head != v->replies->tail)
			v->replies->head = v->replies->tail;
	}
	server_map(&s, v->fd, &v->layout);
	s.served = s.replies->tail;
	CHECK(!pthread_create(&u, NULL, serve, &s));
	CHECK(!pthread_join(u, NULL));
	CHECK_EQ(got[0], 3000);
	end_of(v, t);
}

/* ---- STATE, and replies that do not fit ---- */

GUEST void one_in(void)
{
	got[0] = inb(PORT);
	asm volatile("mov %%rbx, %0" : "=m"(got[1]));
}

static void *with_state(void *arg)
{
	struct vcpu *v = arg;
	struct halo_exit x;
	struct server s;

	server_map(&s, v->fd, &v->layout);
	CHECK(server_wait(&s, &x));
	CHECK_EQ(v->s->cached, HALO_STATE_GPRS);
	CHECK_EQ(v->s->rip, x.rip);
	v->s->gpr[HALO_RBX] = 0x5151;
	v->s->commit = HALO_STATE_GPRS;
	server_reply(&s, &x, HALO_ACTION_DONE, 0x42);
	return NULL;
}

TEST(state_goes_both_ways)
{
	struct vcpu *v = vm_new()->cpu[0];
	pthread_t t, u;

	guest_begin(v, one_in, 0);
	v->s->wanted = HALO_STATE_GPRS;
	v->s->flags = HALO_RUN_PARKED;
	CHECK(!pthread_create(&u, NULL, with_state, v));
	CHECK(!pthread_create(&t, NULL, runner, v));
	CHECK(!pthread_join(u, NULL));
	while (v->exits->tail != 2)
		usleep(100);
	CHECK_EQ(got[0], 0x42);
	CHECK_EQ(got[1], 0x5151);
	CHECK_EQ(v->s->commit, 0);
	end_of(v, t);
}

static void *bad_reply(void *arg)
{
	struct vcpu *v = arg;
	struct halo_exit x;
	struct server s;

	server_map(&s, v->fd, &v->layout);
	CHECK(server_wait(&s, &x));
	server_reply(&s, &x, 77, 0);
	return NULL;
}

TEST(a_reply_that_does_not_fit)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct server s;
	pthread_t t, u;

	guest_begin(v, ins, 1);
	v->s->flags = HALO_RUN_PARKED;
	CHECK(!pthread_create(&u, NULL, bad_reply, v));
	CHECK_EQ(settle(v), -EPROTO);
	CHECK(!pthread_join(u, NULL));
	/* The exit still waits for a good one. */
	v->x.seq = 1;
	answer(v, 0);
	server_map(&s, v->fd, &v->layout);
	CHECK(!pthread_create(&t, NULL, runner, v));
	CHECK(!pthread_create(&u, NULL, serve, &s));
	CHECK(!pthread_join(u, NULL));
	CHECK_EQ(got[0], 1);
	end_of(v, t);
}

static void *liar(void *arg)
{
	struct vcpu *v = arg;

	usleep(20000);
	v->replies->tail = 1000;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ioctl(v->fd, HALO_VCPU_DOORBELL, 0);
	return NULL;
}

TEST(an_index_that_can_not_be)
{
	struct vcpu *v = vm_new()->cpu[0];
	pthread_t u;

	guest_begin(v, ins, 1);
	v->s->flags = HALO_RUN_PARKED;
	CHECK(!pthread_create(&u, NULL, liar, v));
	CHECK_EQ(settle(v), -EPROTO);
	CHECK(v->exits->flags & HALO_RING_BROKEN);
	CHECK_EQ(settle(v), -EPROTO);
}
