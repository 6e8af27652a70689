// SPDX-License-Identifier: GPL-2.0
/*
 * What makes shared rings safe, a test for each rule:
 *
 *  rule_01_private_copies	what stands in the shared headers is never read back
 *  rule_02_index_read_once	an index that can't be breaks that VM's ring, for good
 *  rule_03_fixed_sizes		powers of two, chosen at creation
 *  rule_04_copied_then_checked	a reply that changes while it is taken is refused or taken
 *  rule_05_from_the_record	a reply chooses a value and nothing else
 *  rule_06_no_index_leaves	every slot, over the wrap, and nothing around the rings
 *  rule_07_liars_hurt_themselves	lying flags: another VM does not notice
 *  rule_08_nothing_leaks	zeroed pages, no padding, no kernel pointer
 *  rule_09_charged_and_bound	memory on the maker's account, fds bound to its mm
 *  rule_10_sleeps_end		every wait in RUN ends at a kill
 *  rule_11_reserved_is_zero	reserved fields; sizes of structs
 *
 * and a peer that breaks all of them at once, a million times (hostile_peer).  The pure
 * part's tests are selftests/host/test_ring.c, stress_ring.c and test_ring_model.c.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "hvm.h"

static volatile u64 got[8], stop;

GUEST void ins(void)
{
	for (;;)
		got[0] = inl(0x80);
}

GUEST void in_byte(void)
{
	u64 a = 0x1122334455667788;

	asm volatile("inb %w1, %b0" : "+a"(a) : "d"(0x80));
	got[0] = a;
	a = 0x1122334455667788;
	asm volatile("outl %k0, %w1" : "+a"(a) : "d"(0x80));
	got[1] = a;
}

static struct vcpu *at_exit(const void *fn)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, fn, 0);
	guest_until(v, HALO_EXIT_PIO);
	return v;
}

TEST(rule_01_private_copies)
{
	struct vcpu *v = at_exit(ins);
	u32 i;

	CHECK_ERRNO(mprotect((void *)v->exits, v->layout.exits_bytes, PROT_READ | PROT_WRITE),
		    EACCES);
	for (i = 0; i < 200; i++) {
		v->replies->entries = i * 2654435761u;
		v->replies->entries_offset = ~i;
		v->replies->pad0[i % 15] = v->replies->pad1[i % 15] = v->replies->pad2[i % 13] = ~0u;
		/* The place of a reply is the one that EXITS tells. */
		answer(v, i);
		guest_until(v, HALO_EXIT_PIO);
		CHECK_EQ(got[0], i);
	}
}

TEST(rule_02_index_read_once)
{
	static const u32 lie[] = { 65, 1000, 0x7fffffff, 0x80000000, 0xfffff000 };
	u32 i;

	for (i = 0; i < 2 * ARRAY_SIZE(lie); i++) {
		struct vcpu *v = at_exit(ins);
		u32 head = v->replies->head, tail = v->replies->tail;

		if (i % 2) {
			v->replies->tail += lie[i / 2];
		} else {
			answer(v, 0);
			v->replies->head += lie[i / 2];
		}
		CHECK_EQ(settle(v), -EPROTO);
		CHECK(v->exits->flags & HALO_RING_BROKEN);
		v->replies->head = head;
		v->replies->tail = tail;
		answer(v, 0);
		CHECK_EQ(settle(v), -EPROTO);
		vm_free(v->vm);
	}
}

TEST(rule_03_fixed_sizes)
{
	struct halo_create_vcpu c = { .size = sizeof(c) };
	struct vm *vm = vm_bare();
	u32 n, id = 0;

	for (n = 1; n <= 2048; n++) {
		bool good = n >= 4 && n <= 1024 && !(n & (n - 1));

		c.ring_entries = n;
		c.id = id;
		if (good) {
			CHECK(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &c) >= 0);
			id++;
		} else {
			CHECK_ERRNO(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &c), EINVAL);
		}
	}
	CHECK_EQ(id, 9);
}

static void *flip_reply(void *arg)
{
	struct vcpu *v = arg;
	struct halo_reply *r = (void *)((u8 *)v->replies + v->exits->entries_offset);

	while (!stop) {
		u32 i;

		for (i = 0; i < v->exits->entries; i++) {
			r[i].action ^= 0x40;
			r[i].reserved[2] ^= 1;
			r[i].data = 0x1111111111111111;
			r[i].data = 0x2222222222222222;
		}
	}
	return NULL;
}

TEST_SECONDS(rule_04_copied_then_checked, 60)
{
	struct vcpu *v = at_exit(ins);
	u32 i, taken = 0, refused = 0;
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, flip_reply, v));
	for (i = 0; i < 2000; i++) {
		int err;

		answer(v, 0x11111111);
		err = settle(v);
		CHECK(!err || err == -EPROTO);
		CHECK(!(v->exits->flags & HALO_RING_BROKEN));
		if (err) {
			refused++;
			continue;
		}
		taken++;
		CHECK(got[0] == 0x11111111 || got[0] == 0x22222222);
		v->replies->head = v->exits->tail;
		v->x.seq = v->exits->tail;
	}
	*(volatile u64 *)&stop = 1;
	CHECK(!pthread_join(t, NULL));
	ktap_note("%u taken, %u refused", taken, refused);
}

TEST(rule_05_from_the_record)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest_begin(v, in_byte, 0);
	guest_until(v, HALO_EXIT_PIO);
	/* Nobody may answer another exit's number, not even with the rest right. */
	v->x.seq++;
	answer(v, 0xff);
	CHECK_EQ(settle(v), -EPROTO);
	v->x.seq = 1;
	/* A byte was asked for; a write is told nothing. */
	answer(v, 0xffffffffffffff99);
	guest_until(v, HALO_EXIT_PIO);
	answer(v, ~0ull);
	guest_end(v);
	CHECK_EQ(got[0], 0x1122334455667799);
	CHECK_EQ(got[1], 0x1122334455667788);
}

TEST(rule_06_no_index_leaves)
{
	struct vcpu *v = at_exit(ins);
	u8 *end = (u8 *)v->exits + v->exits->entries_offset +
		  v->exits->entries * sizeof(struct halo_exit);
	u8 *stop_at = (u8 *)v->exits + v->layout.exits_bytes;
	u32 i;

	memset(v->data, 0x77, v->layout.data_bytes);
	for (i = 0; i < 5 * v->exits->entries; i++) {
		answer(v, i);
		guest_until(v, HALO_EXIT_PIO);
		CHECK_EQ(v->x.seq, i + 2);
	}
	for (; end < stop_at; end++)
		CHECK_EQ(*end, 0);
	for (i = 0; i < v->layout.data_bytes; i++)
		CHECK_EQ(v->data[i], 0x77);
}

static void *lie_about_flags(void *arg)
{
	struct vcpu *v = arg;

	while (!stop) {
		v->replies->flags ^= ~0u;
		ioctl(v->fd, HALO_VCPU_DOORBELL, 0);
	}
	return NULL;
}

TEST_SECONDS(rule_07_liars_hurt_themselves, 60)
{
	struct vcpu *liar = at_exit(ins), *honest = at_exit(ins);
	pthread_t t;
	u32 i;

	CHECK(!pthread_create(&t, NULL, lie_about_flags, liar));
	for (i = 0; i < 500; i++) {
		answer(honest, i);
		guest_until(honest, HALO_EXIT_PIO);
		CHECK_EQ(got[0], i);
		answer(liar, i);
		guest_until(liar, HALO_EXIT_PIO);
	}
	*(volatile u64 *)&stop = 1;
	CHECK(!pthread_join(t, NULL));
}

static void no_kernel_pointer(const volatile void *area, u64 bytes)
{
	const volatile u64 *p = area;
	u64 i;

	for (i = 0; i < bytes / 8; i++)
		CHECK(p[i] >> 47 != 0x1ffff);
}

static void all_zero(const volatile void *area, u64 from, u64 to)
{
	for (; from < to; from++)
		CHECK_EQ(((const volatile u8 *)area)[from], 0);
}

TEST(rule_08_nothing_leaks)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	const volatile struct halo_exit *x = (void *)((u8 *)v->exits + sizeof(struct halo_ring));
	u32 i;

	CHECK_EQ(v->exits->entries_offset, sizeof(struct halo_ring));
	all_zero(v->exits, 0, offsetof(struct halo_ring, entries));
	all_zero(v->exits, offsetof(struct halo_ring, flags), v->layout.exits_bytes);
	all_zero(v->replies, 0, offsetof(struct halo_ring, entries));
	all_zero(v->replies, offsetof(struct halo_ring, flags), v->layout.replies_bytes);
	all_zero(v->data, 0, v->layout.data_bytes);
	all_zero(v->s, 0, v->layout.state_bytes);
	CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_POSTED, 0x80, 4, 0, 0));
	guest_begin(v, in_byte, 0);
	for (i = 0; i < 2; i++) {
		step(v);
		answer(v, 0);
		if (i)
			break;
		/* The posted one and the end come next: take both. */
		CHECK_EQ(settle(v), 0);
		v->replies->head = v->exits->tail;
		v->x.seq = v->exits->tail;
		break;
	}
	all_zero(&x[1], offsetof(struct halo_exit, insn), sizeof(*x));
	all_zero(x, (v->exits->tail & 63) * sizeof(*x), 64 * sizeof(*x));
	state_get(v);
	no_kernel_pointer(v->exits, v->layout.exits_bytes);
	no_kernel_pointer(v->s, v->layout.state_bytes);
	/* What one VM has left is not there in the next. */
	memset(v->data, 0xff, v->layout.data_bytes);
	vm_free(vm);
	v = vm_new()->cpu[0];
	all_zero(v->data, 0, v->layout.data_bytes);
}

static u64 charged(const char *file)
{
	char text[32] = "";
	int fd = open(file, O_RDONLY);

	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoull(text, NULL, 10);
}

static bool put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

TEST(rule_09_charged_and_bound)
{
	struct vm *vm = vm_bare();
	int i, status;
	u64 before;
	pid_t pid = fork();

	if (!pid) {
		CHECK_ERRNO(vcpu_fd_new(vm->fd, 0), EIO);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);

	mkdir("/tmp/cg", 0700);
	if (mount("none", "/tmp/cg", "cgroup2", 0, NULL) ||
	    !put("/tmp/cg/cgroup.subtree_control", "+memory") || mkdir("/tmp/cg/halo", 0700) ||
	    !put("/tmp/cg/halo/cgroup.procs", "0"))
		ktap_skip("this host has no memory cgroup");
	before = charged("/tmp/cg/halo/memory.current");
	for (i = 0; i < 32; i++) {
		struct halo_create_vcpu c = { .size = sizeof(c), .id = i, .ring_entries = 1024 };

		CHECK(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &c) >= 0);
	}
	/* 64 KiB of exits, 32 of replies, and more that is not looked at here. */
	CHECK(charged("/tmp/cg/halo/memory.current") >= before + 32 * 96 * 1024);
	CHECK(put("/tmp/cg/cgroup.procs", "0"));
	vm_free(vm);
	rmdir("/tmp/cg/halo");
	umount("/tmp/cg");
}

GUEST void halt(void)
{
	sti();
	for (;;)
		asm volatile("hlt");
}

GUEST void spin(void)
{
	for (;;)
		nop();
}

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

TEST_SECONDS(rule_10_sleeps_end, 60)
{
	static const struct { const void *fn; u32 flags; } wait[] = {
		{ halt, 0 }, { halt, HALO_RUN_PARKED }, { ins, HALO_RUN_PARKED }, { spin, 0 },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(wait); i++) {
		pid_t pid = fork();
		int status;
		u64 start;

		if (!pid) {
			struct vcpu *v = vm_new()->cpu[0];

			guest_begin(v, wait[i].fn, 0);
			v->s->flags = wait[i].flags;
			for (;;)
				run(v);
		}
		usleep(300000);
		start = now_ms();
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(now_ms() - start < 1000 * ktap_slow());
	}
}

TEST(rule_11_reserved_is_zero)
{
	struct halo_vcpu_ring r = { .size = sizeof(r) };
	u8 longer[sizeof(r) + 8] = {};
	struct vcpu *v = at_exit(ins);
	u32 i;

	for (i = offsetof(struct halo_reply, reserved); i < sizeof(struct halo_reply); i++) {
		struct halo_reply x = { .seq = v->x.seq };

		if (i == offsetof(struct halo_reply, data))
			i = offsetof(struct halo_reply, reserved2);
		((u8 *)&x)[i] = 1;
		reply_raw(v, &x);
		CHECK_EQ(settle(v), -EPROTO);
	}
	for (i = 0; i < 4; i++) {
		r.reserved[i] = 1ull << 63;
		CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_RING, &r), EINVAL);
		r.reserved[i] = 0;
	}
	*(u32 *)longer = sizeof(longer);
	CHECK(!ioctl(v->fd, HALO_VCPU_SET_RING, longer));
	longer[sizeof(r) + 3] = 1;
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_RING, longer), E2BIG);
	r.size--;
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_RING, &r), EINVAL);
}

/* ---- all of it at once ---- */

#define FLIPS	1000000

static u64 flips;

static u64 next_random(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void *hostile(void *arg)
{
	struct vcpu *v = arg;
	u32 *word = (u32 *)v->replies, words = v->layout.replies_bytes / 4;
	static u64 r = 88172645463325252ull;

	while (!stop) {
		u64 x = next_random(&r);

		__atomic_add_fetch(&flips, 1, __ATOMIC_RELAXED);
		switch (x & 7) {
		case 0:
			v->replies->tail = v->exits->head + (x >> 32) % 65;
			break;
		case 1:
			v->replies->head = v->exits->tail - (x >> 32) % 65;
			break;
		case 2:
			if (x >> 20 & 0x3fff)
				break;
			/* It stands for long enough to be seen. */
			word[x & 0x100 ? 0 : 16] = x >> 32;
			usleep(2000);
			break;
		case 3:
			v->replies->flags = x >> 32;
			break;
		case 4:
			if (!(x >> 20 & 0xff))
				ioctl(v->fd, HALO_VCPU_DOORBELL, 0);
			break;
		case 5:
			v->s->flags = x >> 32 & HALO_RUN_PARKED;
			break;
		default:
			word[48 + (x >> 8) % (words - 48)] = x >> 32;
			/* and now and then one that fits */
			((struct halo_reply *)(v->replies + 1))[v->exits->head & 63] =
				(struct halo_reply){ .seq = v->exits->tail };
		}
		if (!(x >> 50 & 0xff))
			sched_yield();
	}
	return NULL;
}

static void on_alarm(int sig)
{
}

TEST_SECONDS(hostile_peer, 200)
{
	const struct itimerspec it = { { 0, 100000000 }, { 0, 100000000 } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct sigaction sa = { .sa_handler = on_alarm };
	u32 vms = 0, runs = 0, ok = 0, broken = 0;
	u64 longest = 0;
	timer_t timer;
	sigset_t set;

	/* A PARKED wait for what the peer never gives ends at a signal. */
	sigaction(SIGALRM, &sa, NULL);
	CHECK(!timer_create(CLOCK_MONOTONIC, &ev, &timer));
	CHECK(!timer_settime(timer, 0, &it, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	while (__atomic_load_n(&flips, __ATOMIC_RELAXED) < FLIPS || !ok || !broken) {
		struct vcpu *v;
		struct vm *vm;
		pthread_t t;
		u32 i;

		/* The making of a VM may be interrupted, too. */
		CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
		vm = vm_new();
		v = vm->cpu[0];
		vms++;
		CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_POSTED, 0x84, 4, 0, 0));
		guest_begin(v, ins, 0);
		stop = 0;
		CHECK(!pthread_create(&t, NULL, hostile, v));
		CHECK(!pthread_sigmask(SIG_UNBLOCK, &set, NULL));
		for (i = 0; i < 500; i++) {
			u64 start = now_ms();
			int err = run(v);

			runs++;
			if (now_ms() - start > longest)
				longest = now_ms() - start;
			CHECK(!err || err == -EPROTO || err == -EAGAIN || err == -EINTR ||
			      err == -ESHUTDOWN);
			ok += !err;
			if (v->exits->flags & HALO_RING_BROKEN || err == -ESHUTDOWN) {
				broken++;
				break;
			}
		}
		*(volatile u64 *)&stop = 1;
		CHECK(!pthread_join(t, NULL));
		vm_free(vm);
	}
	timer_delete(timer);
	ktap_note("%llu writes, %u VMs, %u runs: %u exits, %u broken; longest RUN %llu ms",
		  (unsigned long long)flips, vms, runs, ok, broken, (unsigned long long)longest);
	CHECK(longest < 1000 * ktap_slow());
	CHECK(ok && broken);
}
