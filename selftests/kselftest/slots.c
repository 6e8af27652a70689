// SPDX-License-Identifier: GPL-2.0
/* Memslots, and the mappings behind them changing under the guest. */
#include <pthread.h>
#include <sys/wait.h>
#include "hvm.h"

#define AT	0x10000000ull	/* guest-physical, in a slot of the test's own */

static volatile u64 addr, val, cnt, stop;

GUEST void peek(void)
{
	val = *(volatile u64 *)addr;
}

GUEST void poke(void)
{
	*(volatile u64 *)addr = val;
}

static u64 *area(u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static u64 read_at(struct vcpu *v, u64 gpa)
{
	addr = gpa;
	guest(v, peek, 0);
	return val;
}

static void write_at(struct vcpu *v, u64 gpa, u64 value)
{
	addr = gpa;
	val = value;
	guest(v, poke, 0);
}

/* The access is a device's. */
static void device_at(struct vcpu *v, u64 gpa, bool write)
{
	struct halo_exit *x;

	addr = gpa;
	guest_begin(v, write ? poke : peek, 0);
	x = guest_until(v, HALO_EXIT_MMIO);
	CHECK_EQ(x->addr, gpa);
	CHECK_EQ(x->size, 8);
	CHECK_EQ(!!(x->flags & HALO_EXIT_F_WRITE), write);
	answer(v, 0x5a5a);
	guest_end(v);
	if (!write)
		CHECK_EQ(val, 0x5a5a);
}

TEST(arguments_that_make_no_slot)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_MAX_MEMSLOTS };
	struct halo_cap_query g = { .size = sizeof(g), .cap = HALO_CAP_GPA_BITS };
	struct vm *vm = vm_bare();
	u64 *p = area(16 * PAGE), top;

	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &g));
	top = 1ull << g.value;
	CHECK_ERRNO(slot_set(vm, q.value, 0, AT, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0xffffffff, 0, AT, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT + 1, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, PAGE + 1, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, PAGE, (u8 *)p + 1), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, 1, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, top, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, top - PAGE, 2 * PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, ~0ull - PAGE + 1, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, PAGE, ~0ull - PAGE + 1, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, PAGE, (void *)0xffff800000000000), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, PAGE, (void *)0x7ffffffff000), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, 1ull << 47, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 2, AT, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0x80000000, AT, PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, 0, p), ENOENT);
	CHECK(!slot_set(vm, q.value - 1, 0, top - PAGE, PAGE, p));
	CHECK(!slot_set(vm, q.value - 1, 0, 0, 0, NULL));
}

TEST(overlap_is_refused_and_neighbours_are_not)
{
	struct vm *vm = vm_bare();
	u64 *p = area(16 * PAGE);

	CHECK(!slot_set(vm, 0, 0, AT, 4 * PAGE, p));
	CHECK_ERRNO(slot_set(vm, 1, 0, AT, 4 * PAGE, p), EEXIST);
	CHECK_ERRNO(slot_set(vm, 1, 0, AT + 3 * PAGE, PAGE, p), EEXIST);
	CHECK_ERRNO(slot_set(vm, 1, 0, AT - PAGE, 2 * PAGE, p), EEXIST);
	CHECK_ERRNO(slot_set(vm, 1, 0, AT - PAGE, 16 * PAGE, p), EEXIST);
	CHECK(!slot_set(vm, 1, 0, AT + 4 * PAGE, PAGE, p));
	CHECK(!slot_set(vm, 2, 0, AT - PAGE, PAGE, p));
	/* Onto its own old place is no overlap. */
	CHECK(!slot_set(vm, 0, 0, 0x20000000, 4 * PAGE, p));
	CHECK(!slot_set(vm, 0, 0, 0x20000000 + PAGE, 4 * PAGE, p));
	CHECK_ERRNO(slot_set(vm, 0, 0, AT - PAGE, 4 * PAGE, p), EEXIST);
}

TEST(another_length_or_address_needs_a_delete)
{
	struct vm *vm = vm_bare();
	u64 *p = area(16 * PAGE);

	CHECK(!slot_set(vm, 0, 0, AT, 4 * PAGE, p));
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, 5 * PAGE, p), EINVAL);
	CHECK_ERRNO(slot_set(vm, 0, 0, AT, 4 * PAGE, p + 512), EINVAL);
	CHECK(!slot_set(vm, 0, 0, 0, 0, NULL));
	CHECK(!slot_set(vm, 0, 0, AT, 5 * PAGE, p + 512));
}

TEST(every_slot_can_be_used)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_MAX_MEMSLOTS };
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p;
	u32 i;

	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	p = area(q.value * PAGE);
	for (i = 2; i < q.value; i++) {
		p[i * 512] = i * 3;
		/* Scattered, from high to low. */
		CHECK(!slot_set(vm, i, 0, AT + (q.value - i) * 3 * PAGE, PAGE, p + i * 512));
	}
	for (i = 2; i < q.value; i += 37)
		CHECK_EQ(read_at(v, AT + (q.value - i) * 3 * PAGE), i * 3);
	for (i = 2; i < q.value; i++)
		CHECK(!slot_set(vm, i, 0, 0, 0, NULL));
	device_at(v, AT + 3 * PAGE, false);
}

TEST(both_sides_see_writes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	CHECK_EQ(read_at(v, AT), 0);		/* the zero page, read only so far */
	p[0] = 0x1111;
	CHECK_EQ(read_at(v, AT), 0x1111);
	write_at(v, AT + 8, 0x2222);
	CHECK_EQ(p[1], 0x2222);
	write_at(v, AT + 3 * PAGE, 0x3333);
	CHECK_EQ(p[3 * 512], 0x3333);
	p[3 * 512] = 0x4444;
	CHECK_EQ(read_at(v, AT + 3 * PAGE), 0x4444);
}

TEST(move_takes_the_content_along)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT + PAGE, 0x77);
	CHECK(!slot_set(vm, 2, 0, AT + 64 * PAGE, 4 * PAGE, p));
	CHECK_EQ(read_at(v, AT + 65 * PAGE), 0x77);
	device_at(v, AT + PAGE, false);
	device_at(v, AT + PAGE, true);
}

TEST(delete_makes_it_a_device)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT, 1);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	device_at(v, AT, false);
	device_at(v, AT, true);
	CHECK_EQ(p[0], 1);
}

TEST(read_only_slot)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(PAGE);

	p[0] = 0xabc;
	CHECK(!slot_set(vm, 2, HALO_MEM_READONLY, AT, PAGE, p));
	CHECK_EQ(read_at(v, AT), 0xabc);
	val = 0xdef;
	device_at(v, AT, true);
	CHECK_EQ(p[0], 0xabc);
	addr = AT;
	val = 0xdef;
	guest_begin(v, poke, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->data, 0xdef);
	answer(v, 0);
	guest_end(v);
	/* Read-write, and back. */
	CHECK(!slot_set(vm, 2, 0, AT, PAGE, p));
	write_at(v, AT, 0x123);
	CHECK_EQ(p[0], 0x123);
	CHECK(!slot_set(vm, 2, HALO_MEM_READONLY, AT, PAGE, p));
	device_at(v, AT, true);
	CHECK_EQ(p[0], 0x123);
}

TEST(code_runs_from_a_read_only_slot)
{
	static const u8 code[] = { 0xe6, PORT_DONE, 0xf4 };
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(PAGE);

	memcpy(p, code, sizeof(code));
	CHECK(!mprotect(p, PAGE, PROT_READ));
	CHECK(!slot_set(vm, 2, HALO_MEM_READONLY, AT, PAGE, p));
	mode_long(v, AT);
	guest_end(v);
}

TEST(dontneed_is_seen_by_the_guest)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT + PAGE, 0x99);
	CHECK(!madvise(p, 4 * PAGE, MADV_DONTNEED));
	CHECK_EQ(read_at(v, AT + PAGE), 0);
	write_at(v, AT + PAGE, 0x98);
	CHECK_EQ(p[512], 0x98);
}

static void gone(struct vcpu *v, bool write)
{
	struct halo_exit *x;

	addr = AT + PAGE;
	val = 0x42;
	guest_begin(v, write ? poke : peek, 0);
	x = guest_until(v, HALO_EXIT_MEMORY);
	CHECK_EQ(x->addr & ~(PAGE - 1), AT + PAGE);
}

TEST(munmap_then_mend_and_retry)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT + PAGE, 0x99);
	CHECK(!munmap(p, 4 * PAGE));
	gone(v, false);
	/* Not mended: it comes again. */
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
	guest_until(v, HALO_EXIT_MEMORY);
	CHECK(mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	p[512] = 0x31;
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
	guest_end(v);
	CHECK_EQ(val, 0x31);
}

TEST(mprotect_is_obeyed)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT + PAGE, 0x99);
	CHECK(!mprotect(p, 4 * PAGE, PROT_READ));
	CHECK_EQ(read_at(v, AT + PAGE), 0x99);
	gone(v, true);
	CHECK(!mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE));
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
	guest_end(v);
	CHECK_EQ(p[512], 0x42);
	CHECK(!mprotect(p, 4 * PAGE, PROT_NONE));
	gone(v, false);
}

TEST(mremap_leaves_a_hole)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(4 * PAGE), *q = area(4 * PAGE);

	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT + PAGE, 0x99);
	CHECK(mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	gone(v, true);
	CHECK_EQ(q[512], 0x99);
}

TEST(truncated_file_is_gone)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd = memfd_create("slot", 0);
	u64 *p;

	CHECK(!ftruncate(fd, 4 * PAGE));
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	write_at(v, AT + PAGE, 0x99);
	CHECK(!ftruncate(fd, PAGE));
	gone(v, false);
	CHECK(!ftruncate(fd, 4 * PAGE));
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
	guest_end(v);
	CHECK_EQ(val, 0);
}

TEST(two_mappings_of_one_file_are_one_memory)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd = memfd_create("slot", 0);
	u64 *p, *q;

	CHECK(!ftruncate(fd, 4 * PAGE));
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	CHECK(!slot_set(vm, 3, 0, AT + 16 * PAGE, 4 * PAGE, p));
	write_at(v, AT + 8, 0x99);
	CHECK_EQ(q[1], 0x99);
	CHECK_EQ(read_at(v, AT + 16 * PAGE + 8), 0x99);
}

TEST(guest_write_after_fork_stays_here)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u64 *p = area(PAGE);
	int status, hold[2];
	pid_t pid;
	char c;

	CHECK(!slot_set(vm, 2, 0, AT, PAGE, p));
	write_at(v, AT, 1);
	CHECK(!pipe(hold));
	pid = fork();
	if (!pid) {
		close(hold[1]);
		CHECK_EQ(read(hold[0], &c, 1), 0);
		_exit(p[0] == 1 ? 0 : 1);
	}
	write_at(v, AT, 2);
	CHECK_EQ(p[0], 2);
	close(hold[0]);
	close(hold[1]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(own_rings_as_guest_memory)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int err;

	/* Odd, but the caller's mapping: works or says that it is gone. */
	err = slot_set(vm, 2, 0, AT, PAGE, v->data);
	if (err)
		return;
	addr = AT;
	guest_begin(v, peek, 0);
	step(v);
	CHECK(v->x.type == HALO_EXIT_MEMORY || v->x.type == HALO_EXIT_PIO);
}

/* ---- while it runs ---- */

GUEST void hammer(void)
{
	u64 n = 0;

	while (!stop) {
		u64 i;

		for (i = 0; i < 4; i++) {
			volatile u64 *p = (void *)(AT + i * PAGE);
			u64 got = *p;

			/* Zero after a DONTNEED, 0x5a5a from the device, else ours. */
			if (got && got != 0x5a5a && got != AT + i)
				val = got;
			*p = AT + i;
		}
		cnt = ++n;
	}
}

static void *runner(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		step(v);
		if (v->x.type == HALO_EXIT_PIO)
			break;
		if (v->x.type == HALO_EXIT_MEMORY)
			answer_as(v, HALO_ACTION_RETRY, 0, -1);
		else if (v->x.type == HALO_EXIT_MMIO)
			answer(v, 0x5a5a);
		else
			ktap_fail(__FILE__, __LINE__, "exit type %u", v->x.type);
	}
	return NULL;
}

static void storm(void (*disturb)(struct vm *vm, u64 *p, u32 n))
{
	struct vm *vm = vm_new();
	u64 *p = area(4 * PAGE), before;
	pthread_t t;
	u32 i;

	val = 0;
	CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	guest_begin(vm->cpu[0], hammer, 0);
	CHECK(!pthread_create(&t, NULL, runner, vm->cpu[0]));
	for (i = 0; i < 300; i++)
		disturb(vm, p, i);
	before = cnt;
	for (i = 0; i < 4000 && cnt < before + 3; i++)
		usleep(1000);
	CHECK(cnt >= before + 3);
	stop = 1;
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(val, 0);
}

static void by_dontneed(struct vm *vm, u64 *p, u32 n)
{
	CHECK(!madvise(p, 4 * PAGE, MADV_DONTNEED));
	usleep(n % 7 * 30);
}

static void by_mprotect(struct vm *vm, u64 *p, u32 n)
{
	CHECK(!mprotect(p, 4 * PAGE, n & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
	usleep(n % 7 * 30);
}

static void by_delete(struct vm *vm, u64 *p, u32 n)
{
	if (n & 1)
		CHECK(!slot_set(vm, 2, 0, AT, 4 * PAGE, p));
	else
		CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	usleep(n % 7 * 30);
}

static void by_move(struct vm *vm, u64 *p, u32 n)
{
	CHECK(!slot_set(vm, 2, n & 1 ? 0 : HALO_MEM_READONLY, AT + (n & 1 ? 0 : 8) * PAGE,
			4 * PAGE, p));
	usleep(n % 7 * 30);
}

TEST_SECONDS(dontneed_while_running, 60) { storm(by_dontneed); }
TEST_SECONDS(mprotect_while_running, 60) { storm(by_mprotect); }
TEST_SECONDS(delete_and_add_while_running, 60) { storm(by_delete); }
TEST_SECONDS(move_and_flags_while_running, 60) { storm(by_move); }
