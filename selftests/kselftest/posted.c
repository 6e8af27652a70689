// SPDX-License-Identifier: GPL-2.0
/*
 * Zones in mode POSTED and DOORBELL: the guest goes on, nothing is lost or
 * overtaken, and who is to read is told in time.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include "hvm.h"

#define ADD	HALO_ZONE_ADD
#define REMOVE	HALO_ZONE_REMOVE
#define REPLACE	HALO_ZONE_REPLACE
#define PIO	HALO_BUS_PIO
#define MMIO	HALO_BUS_MMIO
#define POSTED	HALO_ZONE_POSTED
#define PORT	0x300

static volatile u64 got[8], stop;

static int post(struct vm *vm, u32 bus, u64 addr, u64 len, u64 cookie)
{
	return zone_set(vm, ADD, bus, POSTED, addr, len, cookie, 0);
}

/* RUN until the SYNC exit; the posted ones before it are left in the ring. */
static void run_to_sync(struct vcpu *v)
{
	u64 before = v->replies->tail;

	do
		CHECK_EQ(settle(v), 0);
	while (!waiting(v));
	CHECK_EQ(before, v->replies->tail);
}

static void ring_set(struct vcpu *v, u32 poll_ns, u32 wake_after_us)
{
	struct halo_vcpu_ring r = {
		.size = sizeof(r), .poll_ns = poll_ns, .wake_after_us = wake_after_us,
	};

	CHECK(!ioctl(v->fd, HALO_VCPU_SET_RING, &r));
}

static u64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

#define A_SECOND	1000000

GUEST void outs(void)
{
	outb(PORT, 0x11);
	outw(PORT, 0x2222);
	outl(PORT, 0x33333333);
	got[0] = inb(PORT);
}

TEST(posted_port)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	static const u64 data[] = { 0x11, 0x2222, 0x33333333 };
	u32 i;

	ring_set(v, 0, A_SECOND);
	CHECK(!post(vm, PIO, PORT, 4, 0xc00));
	guest_begin(v, outs, 0);
	run_to_sync(v);
	CHECK_EQ(waiting(v), 4);
	for (i = 0; i < 3; i++) {
		take_next(v);
		CHECK_EQ(v->x.seq, i + 1);
		CHECK_EQ(v->x.type, HALO_EXIT_PIO);
		CHECK_EQ(v->x.flags, HALO_EXIT_F_POSTED | HALO_EXIT_F_WRITE);
		CHECK_EQ(v->x.size, 1 << i);
		CHECK_EQ(v->x.addr, PORT);
		CHECK_EQ(v->x.data, data[i]);
		CHECK_EQ(v->x.cookie, 0xc00);
		CHECK(v->x.rip && v->x.insn_len);
	}
	/* The read is SYNC and comes last. */
	take_next(v);
	CHECK_EQ(v->x.seq, 4);
	CHECK_EQ(v->x.flags, HALO_EXIT_F_SYNC);
	CHECK_EQ(v->x.cookie, 0xc00);
	answer(v, 0x44);
	guest_end(v);
	CHECK_EQ(got[0], 0x44);
}

GUEST void stores(void)
{
	volatile u8 *p = (void *)HOLE;
	u64 s = (u64)got, d = HOLE + 0x20, c = 2;

	*p = 1;
	*(volatile u16 *)(p + 2) = 2;
	*(volatile u32 *)(p + 4) = 3;
	*(volatile u64 *)(p + 8) = 0x4444444444444444;
	/* one that crosses into a page of nobody, and back from it */
	*(volatile u32 *)(p + 0xffe) = 0xaabbccdd;
	asm volatile("rep movsq" : "+S"(s), "+D"(d), "+c"(c) : : "memory");
	/* read, posted write */
	asm volatile("addl $5, %0" : "+m"(*(volatile u32 *)(p + 0x10)));
	got[5] = 1;
}

TEST(posted_mmio)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	static const struct { u64 addr, size, data; } want[] = {
		{ HOLE, 1, 1 }, { HOLE + 2, 2, 2 }, { HOLE + 4, 4, 3 },
		{ HOLE + 8, 8, 0x4444444444444444 }, { HOLE + 0xffe, 2, 0xccdd },
	};
	u32 i;

	got[0] = 0x70;
	got[1] = 0x71;
	ring_set(v, 0, A_SECOND);
	CHECK(!post(vm, MMIO, HOLE, 4096, 7));
	guest_begin(v, stores, 0);
	run_to_sync(v);
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		take_next(v);
		CHECK_EQ(v->x.type, HALO_EXIT_MMIO);
		CHECK_EQ(v->x.flags, HALO_EXIT_F_POSTED | HALO_EXIT_F_WRITE);
		CHECK_EQ(v->x.addr, want[i].addr);
		CHECK_EQ(v->x.size, want[i].size);
		CHECK_EQ(v->x.data, want[i].data);
		CHECK_EQ(v->x.cookie, 7);
	}
	/* The second piece is in no zone. */
	take_next(v);
	CHECK_EQ(v->x.addr, HOLE + 0x1000);
	CHECK_EQ(v->x.data, 0xaabb);
	CHECK_EQ(v->x.flags, HALO_EXIT_F_SYNC | HALO_EXIT_F_WRITE);
	answer(v, 0);
	run_to_sync(v);
	for (i = 0; i < 2; i++) {
		take_next(v);
		CHECK_EQ(v->x.addr, HOLE + 0x20 + 8 * i);
		CHECK_EQ(v->x.data, 0x70 + i);
	}
	take_next(v);
	CHECK_EQ(v->x.flags, HALO_EXIT_F_SYNC);
	answer(v, 37);
	run_to_sync(v);
	CHECK_EQ(take_next(v)->data, 42);
	CHECK_EQ(v->x.flags, HALO_EXIT_F_POSTED | HALO_EXIT_F_WRITE);
	CHECK_EQ(take_next(v)->addr, PORT_DONE);
	CHECK_EQ(got[5], 1);
}

GUEST void posted_others(void)
{
	u64 a = 0x5000;

	got[0] = TRY("wrmsr", : : "c"(0x12345678), "a"(0x11), "d"(0x22));
	asm volatile("vmmcall" : "+a"(a) : "b"(0x66), "c"(2), "d"(3), "S"(4));
	got[1] = a;
}

TEST(posted_msr_and_hypercall)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	ring_set(v, 0, A_SECOND);
	CHECK(!post(vm, HALO_BUS_MSR, 0x12345678, 1, 1));
	CHECK(!post(vm, HALO_BUS_HYPERCALL, 0x5000, 1, 2));
	guest_begin(v, posted_others, 0);
	run_to_sync(v);
	take_next(v);
	CHECK_EQ(v->x.type, HALO_EXIT_MSR);
	CHECK_EQ(v->x.addr, 0x12345678);
	CHECK_EQ(v->x.data, 0x2200000011);
	CHECK_EQ(v->x.cookie, 1);
	take_next(v);
	CHECK_EQ(v->x.type, HALO_EXIT_HYPERCALL);
	CHECK_EQ(v->x.addr, 0x5000);
	CHECK_EQ(v->x.data, 0x66);
	CHECK_EQ(v->x.cookie, 2);
	CHECK_EQ(take_next(v)->addr, PORT_DONE);
	CHECK_EQ((int)got[0], -1);
	CHECK_EQ(got[1], 0);
}

GUEST void count_up(u64 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		outl(PORT, i);
	got[0] = 1;
}

/* A reader that takes one at a time, now and then: all arrive, in order. */
TEST(a_full_ring_waits_and_drops_nothing)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u32 i = 0, full = 0, entries = v->exits->entries;
	int err;

	ring_set(v, 0, A_SECOND);
	CHECK(!post(vm, PIO, PORT, 4, 0));
	guest_begin(v, count_up, 1000);
	for (;;) {
		err = settle(v);
		if (err == -EAGAIN) {
			/* RIP stands at the OUT, and asking again changes nothing. */
			CHECK_EQ(waiting(v), entries);
			CHECK_EQ(settle(v), -EAGAIN);
			CHECK_EQ(waiting(v), entries);
			full++;
			CHECK_EQ(take_next(v)->data, i++);
			if (full % 3)
				continue;
		} else {
			CHECK_EQ(err, 0);
		}
		while (waiting(v) > (err ? full % 7 : 0)) {
			if (take_next(v)->addr == PORT_DONE)
				goto done;
			CHECK_EQ(v->x.data, i++);
		}
	}
done:
	CHECK_EQ(i, 1000);
	CHECK(full > 10);
}

GUEST void post_and_spin(void)
{
	outb(PORT, 1);
	while (!stop)
		nop();
}

GUEST void post_and_halt(void)
{
	sti();
	outb(PORT, 1);
	asm volatile("hlt");
}

/* Nobody sleeps in poll(): the caller of RUN is told. */
static void run_returns(const void *fn)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 start;
	u32 i;

	CHECK(!post(vm, PIO, PORT, 1, 0));
	for (i = 0; i < 5; i++) {
		ring_set(v, 0, i * 5000);
		guest_begin(v, fn, 0);
		v->s->mp_state = HALO_MP_RUNNABLE;
		state_set(v, HALO_STATE_MP);
		start = now_us();
		CHECK_EQ(settle(v), 0);
		CHECK(now_us() - start >= i * 4000);
		CHECK(now_us() - start < A_SECOND);
		CHECK_EQ(waiting(v), 1);
		CHECK_EQ(take_next(v)->flags, HALO_EXIT_F_POSTED | HALO_EXIT_F_WRITE);
	}
}

TEST(run_returns_in_time)
{
	run_returns(post_and_spin);
}

TEST(run_returns_in_time_from_hlt)
{
	run_returns(post_and_halt);
}

static void *runner(void *arg)
{
	int err;

	do
		err = run(arg);
	while (err == -EINTR && !stop);
	return (void *)(long)err;
}

static void need_wake(struct vcpu *v, bool on)
{
	__atomic_store_n(&v->replies->flags, on ? HALO_RING_NEED_WAKE : 0, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

TEST(a_sleeping_reader_is_woken_in_time)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct pollfd p = { .fd = v->fd, .events = POLLIN };
	pthread_t t;
	u64 start;
	u32 i;

	CHECK(!post(vm, PIO, PORT, 1, 0));
	CHECK_EQ(poll(&p, 1, 0), 0);
	for (i = 0; i < 5; i++) {
		ring_set(v, 0, i * 5000);
		need_wake(v, true);
		guest_begin(v, post_and_spin, 0);
		stop = 0;
		start = now_us();
		CHECK(!pthread_create(&t, NULL, runner, v));
		CHECK_EQ(poll(&p, 1, 10000), 1);
		CHECK(p.revents & POLLIN);
		CHECK(now_us() - start < A_SECOND);
		/* RUN goes on. */
		need_wake(v, false);
		take_next(v);
		CHECK_EQ(poll(&p, 1, 0), 0);
		stop = 1;
		CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
		CHECK(!pthread_join(t, NULL));
		if (waiting(v)) {
			CHECK_EQ(take_next(v)->addr, PORT_DONE);
			answer_as(v, HALO_ACTION_RETRY, 0, -1);
		}
	}
}

TEST(epoll_edges)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0);
	u32 i = 0, n;
	pthread_t t;

	CHECK(!post(vm, PIO, PORT, 4, 0));
	CHECK(!epoll_ctl(ep, EPOLL_CTL_ADD, v->fd, &e));
	ring_set(v, 0, 50);
	need_wake(v, true);
	guest_begin(v, count_up, 50);
	CHECK(!pthread_create(&t, NULL, runner, v));
	while (i < 50) {
		n = epoll_wait(ep, &e, 1, 10000);
		CHECK_EQ(n, 1);
		while (waiting(v) && i < 50)
			CHECK_EQ(take_next(v)->data, i++);
	}
	CHECK(!pthread_join(t, NULL));
}

GUEST void out_strings(void)
{
	static u8 b[16] = "0123456789abcdef";
	u64 s = (u64)b, c = 16;

	asm volatile("rep outsb" : "+S"(s), "+c"(c) : "d"(PORT) : "memory");
}

TEST(strings_are_sync)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!post(vm, PIO, PORT, 4, 0x99));
	guest_begin(v, out_strings, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(v->x.flags, HALO_EXIT_F_SYNC | HALO_EXIT_F_WRITE | HALO_EXIT_F_STRING |
		 HALO_EXIT_F_REP);
	CHECK_EQ(v->x.data, 16);
	CHECK_EQ(v->x.cookie, 0x99);
	CHECK(!memcmp(v->data, "0123456789abcdef", 16));
	answer(v, 0);
	guest_end(v);
}

TEST(knobs_that_can_not_be)
{
	struct vm *vm = vm_new();
	struct halo_vcpu_ring r = { .size = sizeof(r), .poll_ns = HALO_MAX_POLL_NS + 1 };

	CHECK_ERRNO(ioctl(vm->cpu[0]->fd, HALO_VCPU_SET_RING, &r), EINVAL);
	r.poll_ns = HALO_MAX_POLL_NS;
	r.wake_after_us = HALO_MAX_WAKE_AFTER_US + 1;
	CHECK_ERRNO(ioctl(vm->cpu[0]->fd, HALO_VCPU_SET_RING, &r), EINVAL);
	r.wake_after_us = HALO_MAX_WAKE_AFTER_US;
	CHECK(!ioctl(vm->cpu[0]->fd, HALO_VCPU_SET_RING, &r));
}

/* ---- doorbells ---- */

static int bell_op(struct vm *vm, u32 op, u32 bus, u64 addr, u64 len, int fd, u32 flags, u64 match,
		   u32 access)
{
	struct halo_zone z = {
		.size = sizeof(z), .op = op, .bus = bus, .mode = HALO_ZONE_DOORBELL,
		.addr = addr, .len = len, .cookie = 0xbe11, .match = match, .flags = flags,
		.eventfd = fd, .access = access,
	};

	return ioctl(vm->fd, HALO_VM_SET_ZONE, &z);
}

static int bell(struct vm *vm, u32 bus, u64 addr, u64 len, int fd)
{
	return bell_op(vm, ADD, bus, addr, len, fd, 0, 0, 0);
}

static int event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK(fd >= 0);
	return fd;
}

static u64 rings(int fd)
{
	u64 n = 0;

	if (read(fd, &n, sizeof(n)) < 0)
		CHECK_EQ(errno, EAGAIN);
	return n;
}

TEST(doorbell_port)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd = event();

	CHECK(!bell(vm, PIO, PORT, 4, fd));
	guest_begin(v, outs, 0);
	/* The read is an exit. */
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(v->x.seq, 1);
	CHECK_EQ(v->x.flags, HALO_EXIT_F_SYNC);
	CHECK_EQ(v->x.cookie, 0xbe11);
	CHECK_EQ(rings(fd), 3);
	answer(v, 0x55);
	guest_end(v);
	CHECK_EQ(got[0], 0x55);
}

GUEST void ring_all(void)
{
	volatile u8 *p = (void *)HOLE;
	u64 a = 0x5000;

	*(volatile u32 *)p = 3;
	*(volatile u16 *)(p + 2) = 3;
	*(volatile u64 *)(p + 0x100) = 0;
	TRY("wrmsr", : : "c"(0x12345678), "a"(0x11), "d"(0x22));
	asm volatile("vmmcall" : "+a"(a) : "b"(0x66), "c"(2), "d"(3), "S"(4));
	got[0] = a;
}

TEST(doorbells_on_the_other_buses)
{
	struct vm *vm = vm_new();
	int mmio = event(), msr = event(), call = event();

	CHECK(!bell(vm, MMIO, HOLE, 0x1000, mmio));
	CHECK(!bell(vm, HALO_BUS_MSR, 0x12345678, 1, msr));
	CHECK(!bell(vm, HALO_BUS_HYPERCALL, 0x5000, 1, call));
	got[0] = 1;
	guest(vm->cpu[0], ring_all, 0);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(rings(mmio), 3);
	CHECK_EQ(rings(msr), 1);
	CHECK_EQ(rings(call), 1);
}

GUEST void ring_values(void)
{
	u32 i;

	for (i = 0; i < 20; i++)
		outl(PORT, i);
	outb(PORT, 4);
	outl(PORT, 0x80000004);
}

TEST(datamatch_shares_an_address)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd[4], i;

	for (i = 0; i < 4; i++) {
		fd[i] = event();
		CHECK(!bell_op(vm, ADD, PIO, PORT, 4, fd[i], HALO_ZONE_DATAMATCH, i * 4, 4));
	}
	CHECK_ERRNO(bell_op(vm, ADD, PIO, PORT, 4, fd[0], HALO_ZONE_DATAMATCH, 4, 4), EEXIST);
	CHECK_ERRNO(bell_op(vm, ADD, PIO, PORT, 4, fd[0], HALO_ZONE_DATAMATCH, 5, 1), EEXIST);
	guest_begin(v, ring_values, 0);
	for (i = 0; i < 20; i++) {
		if (i % 4 == 0 && i < 16)
			continue;
		/* In no zone: nobody's. */
		CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->data, i);
		CHECK_EQ(v->x.cookie, 0);
		answer(v, 0);
	}
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->size, 1);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->data, 0x80000004);
	answer(v, 0);
	guest_end(v);
	for (i = 0; i < 4; i++)
		CHECK_EQ(rings(fd[i]), 1);
}

TEST(doorbells_that_can_not_be)
{
	struct vm *vm = vm_bare();
	int file = open("/dev/null", O_RDWR);

	CHECK_ERRNO(bell(vm, PIO, PORT, 4, -1), EINVAL);
	CHECK_ERRNO(bell(vm, PIO, PORT, 4, 1000), EBADF);
	CHECK_ERRNO(bell(vm, PIO, PORT, 4, file), EINVAL);
	CHECK_ERRNO(bell(vm, PIO, PORT, 4, vm->fd), EINVAL);
	CHECK_ERRNO(bell(vm, PIO, 0xffff, 2, event()), EINVAL);
}

GUEST void ring_once(void)
{
	outb(PORT, 1);
}

GUEST void plain_stores(void)
{
	volatile u8 *p = (void *)HOLE;

	*p = 1;
	*(volatile u16 *)(p + 4) = 2;
	*(volatile u32 *)(p + 8) = 3;
	*(volatile u64 *)(p + 56) = 4;
	*(volatile u32 *)(p + 60) = 5;
	*(volatile u32 *)(p + 62) = 6;
	got[0] = 1;
}

/* May be done without decoding: the guest can't tell, and the zone's end holds. */
TEST(doorbell_of_any_size_and_value)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd = event();

	CHECK(!bell(vm, MMIO, HOLE, 64, fd));
	guest_begin(v, plain_stores, 0);
	/* The last one sticks out. */
	guest_until(v, HALO_EXIT_MMIO);
	CHECK_EQ(v->x.addr, HOLE + 62);
	CHECK_EQ(v->x.cookie, 0);
	CHECK_EQ(rings(fd), 5);
	answer(v, 0);
	guest_end(v);
	CHECK_EQ(got[0], 1);
}

/* The zone keeps its eventfd; the last reference is put with the zone, or the VM. */
TEST(eventfd_closed_before_its_zone)
{
	struct vm *vm = vm_new();
	int fd = event(), copy = dup(fd);

	CHECK(!bell(vm, PIO, PORT, 4, fd));
	CHECK(!close(fd));
	guest(vm->cpu[0], ring_once, 0);
	CHECK_EQ(rings(copy), 1);
	CHECK(!close(copy));
	guest(vm->cpu[0], ring_once, 0);
	CHECK(!zone_set(vm, REMOVE, PIO, 0, PORT, 4, 0, 0));
	CHECK(!bell(vm, PIO, PORT, 4, event()));
	vm_free(vm);
}

TEST(replace_keeps_the_range)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int a = event(), b = event();

	CHECK_ERRNO(bell_op(vm, REPLACE, PIO, PORT, 4, a, 0, 0, 0), ENOENT);
	CHECK(!bell(vm, PIO, PORT, 4, a));
	guest(v, ring_once, 0);
	CHECK(!bell_op(vm, REPLACE, PIO, PORT, 4, b, 0, 0, 0));
	guest(v, ring_once, 0);
	CHECK_EQ(rings(a), 1);
	CHECK_EQ(rings(b), 1);
	CHECK(!zone_set(vm, REPLACE, PIO, HALO_ZONE_CONST, PORT, 4, 0, 9));
	guest(v, ring_once, 0);
	CHECK(!zone_set(vm, REPLACE, PIO, HALO_ZONE_CONST, PORT, 4, 0, 10));
	CHECK(!zone_set(vm, REPLACE, PIO, HALO_ZONE_SYNC, PORT, 4, 5, 0));
	guest_begin(v, ring_once, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->cookie, 5);
	CHECK_EQ(rings(a) + rings(b), 0);
	CHECK_ERRNO(zone_set(vm, REPLACE, PIO, HALO_ZONE_SYNC, PORT, 3, 5, 0), ENOENT);
	CHECK_ERRNO(zone_set(vm, REPLACE, PIO, HALO_ZONE_DENY, PORT, 4, 5, 0), EINVAL);
}

GUEST void ring_until_stop(void)
{
	u64 n = 0;

	while (!stop) {
		outb(PORT, 1);
		n++;
	}
	got[0] = n;
}

/* Every ring is heard by one of the two, whichever zone was in place. */
TEST_SECONDS(replace_while_ringing, 60)
{
	struct vm *vm = vm_new();
	u64 sum = 0;
	int fd[2];
	pthread_t t;
	u32 i;

	fd[0] = event();
	fd[1] = event();
	CHECK(!bell(vm, PIO, PORT, 1, fd[0]));
	guest_begin(vm->cpu[0], ring_until_stop, 0);
	CHECK(!pthread_create(&t, NULL, runner, vm->cpu[0]));
	for (i = 1; i < 300; i++)
		CHECK(!bell_op(vm, REPLACE, PIO, PORT, 1, fd[i & 1], 0, 0, 0));
	*(volatile u64 *)&stop = 1;
	CHECK(!pthread_join(t, NULL));
	/* runner() stops at a signal as well: to the end. */
	if (!waiting(vm->cpu[0]))
		CHECK_EQ(settle(vm->cpu[0]), 0);
	for (i = 0; i < 2; i++)
		sum += rings(fd[i]);
	CHECK_EQ(sum, got[0]);
	CHECK(sum > 0);
}
