// SPDX-License-Identifier: GPL-2.0
/* Zones: who answers an access, on each bus. */
#include <pthread.h>
#include "hvm.h"

#define ADD	HALO_ZONE_ADD
#define REMOVE	HALO_ZONE_REMOVE

static volatile u64 got[8], stop;
static u8 buf[64];

GUEST void ports(void)
{
	got[0] = inb(0x100);
	got[1] = inw(0x100);
	got[2] = inl(0x100);
	outb(0x100, 1);
	outl(0x100, 2);
	got[3] = 1;
}

TEST(const_port)
{
	struct vm *vm = vm_new();

	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_CONST, 0x100, 4, 9, 0x8899aabbccddeeff));
	guest(vm->cpu[0], ports, 0);
	CHECK_EQ(got[0], 0xff);
	CHECK_EQ(got[1], 0xeeff);
	CHECK_EQ(got[2], 0xccddeeff);
	CHECK_EQ(got[3], 1);
}

GUEST void one_in(void)
{
	got[0] = inb(0x100);
}

TEST(sync_port_has_its_cookie)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_SYNC, 0xf0, 0x20, 0x1234567890abcdef, 0));
	guest_begin(v, one_in, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->cookie, 0x1234567890abcdef);
	answer(v, 3);
	guest_end(v);
	CHECK_EQ(got[0], 3);
	CHECK(!zone_set(vm, REMOVE, HALO_BUS_PIO, 0, 0xf0, 0x20, 0, 0));
	guest_begin(v, one_in, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->cookie, 0);
}

GUEST void strings(void)
{
	u64 c = 8, d = (u64)buf, s = (u64)buf;

	asm volatile("rep insb" : "+c"(c), "+D"(d) : "d"(0x100) : "memory");
	c = 8;
	asm volatile("rep outsb" : "+c"(c), "+S"(s) : "d"(0x100) : "memory");
}

TEST(sync_port_has_its_cookie_for_strings)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_SYNC, 0x100, 1, 0x77, 0));
	guest_begin(v, strings, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->cookie, 0x77);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->cookie, 0x77);
	answer(v, 0);
	guest_end(v);
}

TEST(const_port_for_strings)
{
	struct vm *vm = vm_new();
	u32 i;

	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_CONST, 0x100, 1, 0, 0x6b));
	guest(vm->cpu[0], strings, 0);
	for (i = 0; i < 8; i++)
		CHECK_EQ(buf[i], 0x6b);
}

TEST(access_mask)
{
	struct halo_zone z = {
		.size = sizeof(z), .op = ADD, .bus = HALO_BUS_PIO, .mode = HALO_ZONE_CONST,
		.addr = 0x100, .len = 4, .match = 0x42, .eventfd = -1, .access = 1,
	};
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!ioctl(vm->fd, HALO_VM_SET_ZONE, &z));
	guest_begin(v, ports, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->size, 2);
	CHECK_EQ(got[0], 0x42);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->size, 4);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->size, 4);
	CHECK(v->x.flags & HALO_EXIT_F_WRITE);
	answer(v, 0);
	guest_end(v);
}

TEST(access_that_sticks_out_is_nobodys)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_CONST, 0x100, 2, 5, 0x42));
	guest_begin(v, ports, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->size, 4);
	CHECK_EQ(v->x.cookie, 0);
}

GUEST void mmio(void)
{
	volatile u64 *p = (void *)HOLE;

	got[0] = *(volatile u8 *)p;
	got[1] = *(volatile u32 *)p;
	got[2] = *p;
	*p = 7;
	got[3] = 1;
}

TEST(const_mmio)
{
	struct vm *vm = vm_new();

	CHECK(!zone_set(vm, ADD, HALO_BUS_MMIO, HALO_ZONE_CONST, HOLE, 4096, 0,
			0x8899aabbccddeeff));
	guest(vm->cpu[0], mmio, 0);
	CHECK_EQ(got[0], 0xff);
	CHECK_EQ(got[1], 0xccddeeff);
	CHECK_EQ(got[2], 0x8899aabbccddeeff);
	CHECK_EQ(got[3], 1);
}

TEST(sync_mmio_has_its_cookie)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u32 i;

	CHECK(!zone_set(vm, ADD, HALO_BUS_MMIO, HALO_ZONE_SYNC, HOLE, 4096, 0xc00c1e, 0));
	guest_begin(v, mmio, 0);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->cookie, 0xc00c1e);
		answer(v, 1);
	}
	guest_end(v);
}

GUEST void msrs(void)
{
	u32 lo = 0, hi = 0;

	got[0] = TRY("rdmsr", : "=a"(lo), "=d"(hi) : "c"(0x12345678));
	got[1] = lo | (u64)hi << 32;
	got[2] = TRY("wrmsr", : : "c"(0x12345678), "a"(0x11), "d"(0x22));
	got[3] = TRY("rdmsr", : "=a"(lo), "=d"(hi) : "c"(0x1b));
}

TEST(msr_without_zone_is_gp)
{
	guest(vm_new()->cpu[0], msrs, 0);
	CHECK_EQ(got[0], 13);
	CHECK_EQ(got[2], 13);
	CHECK_EQ((int)got[3], -1);
}

TEST(sync_msr)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!zone_set(vm, ADD, HALO_BUS_MSR, HALO_ZONE_SYNC, 0x12345678, 1, 5, 0));
	guest_begin(v, msrs, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MSR)->addr, 0x12345678);
	CHECK_EQ(v->x.cookie, 5);
	CHECK(!(v->x.flags & HALO_EXIT_F_WRITE));
	answer(v, 0x1122334455667788);
	CHECK_EQ(guest_until(v, HALO_EXIT_MSR)->data, 0x2200000011);
	CHECK(v->x.flags & HALO_EXIT_F_WRITE);
	answer_as(v, HALO_ACTION_INJECT, 13, 0);
	guest_end(v);
	CHECK_EQ((int)got[0], -1);
	CHECK_EQ(got[1], 0x1122334455667788);
	CHECK_EQ(got[2], 13);
}

TEST(const_msr)
{
	struct vm *vm = vm_new();

	CHECK(!zone_set(vm, ADD, HALO_BUS_MSR, HALO_ZONE_CONST, 0x12345600, 0x100, 5,
			0x8877665544332211));
	guest(vm->cpu[0], msrs, 0);
	CHECK_EQ(got[1], 0x8877665544332211);
	CHECK_EQ((int)got[2], -1);
}

TEST(deny_msr_hides_one_that_is_there)
{
	struct vm *vm = vm_new();

	CHECK(!zone_set(vm, ADD, HALO_BUS_MSR, HALO_ZONE_DENY, 0x1b, 1, 0, 0));
	guest(vm->cpu[0], msrs, 0);
	CHECK_EQ(got[3], 13);
	CHECK_EQ(g_exc.error, 0);
}

GUEST void hypercall(void)
{
	u64 a = 0x5000;

	asm volatile("vmmcall" : "+a"(a) : "b"(1), "c"(2), "d"(3), "S"(4));
	got[0] = a;
	a = 0x5001;
	asm volatile("vmcall" : "+a"(a) : "b"(1), "c"(2), "d"(3), "S"(4));
	got[1] = a;
}

TEST(unknown_hypercall_is_enosys)
{
	guest(vm_new()->cpu[0], hypercall, 0);
	CHECK_EQ(got[0], -1000ll);
	CHECK_EQ(got[1], -1000ll);
}

TEST(sync_hypercall_both_spellings)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u32 i;

	CHECK(!zone_set(vm, ADD, HALO_BUS_HYPERCALL, HALO_ZONE_SYNC, 0x5000, 0x10, 6, 0));
	guest_begin(v, hypercall, 0);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(guest_until(v, HALO_EXIT_HYPERCALL)->addr, 0x5000 + i);
		CHECK_EQ(v->x.cookie, 6);
		CHECK_EQ(v->s->gpr[HALO_RBX], 1);
		CHECK_EQ(v->s->gpr[HALO_RSI], 4);
		answer(v, 0x1000000000 + i);
	}
	guest_end(v);
	CHECK_EQ(got[0], 0x1000000000);
	CHECK_EQ(got[1], 0x1000000001);
}

GUEST void user_hypercall(void)
{
	got[2] = g_user(hypercall);
}

TEST(user_code_makes_no_hypercalls)
{
	struct vm *vm = vm_new();

	CHECK(!zone_set(vm, ADD, HALO_BUS_HYPERCALL, HALO_ZONE_CONST, 0, 0x100, 0, 1));
	guest(vm->cpu[0], user_hypercall, 0);
	CHECK_EQ((int)got[0], -EPERM);
	CHECK_EQ((int)got[1], -EPERM);
}

TEST(zones_that_can_not_be)
{
	struct vm *vm = vm_bare();

	CHECK_ERRNO(zone_set(vm, 3, HALO_BUS_PIO, 0, 0x80, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, 4, 0, 0x80, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, 0xffffffff, 0, 0x80, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 5, 0x80, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_DENY, 0x80, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x80, 0, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0xffff, 2, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x10000, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 1, ~0ull, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_MMIO, 0, ~0ull, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_MSR, 0, 0x100000000, 1, 0, 0), EINVAL);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x80, 1, 0, 1), EINVAL);
	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, 0, 0xffff, 1, 0, 0));
	CHECK(!zone_set(vm, ADD, HALO_BUS_HYPERCALL, 0, ~0ull, 1, 0, 0));
}

TEST(overlap_and_removal)
{
	struct vm *vm = vm_bare();

	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x80, 16, 0, 0));
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x80, 16, 0, 0), EEXIST);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x8f, 1, 0, 0), EEXIST);
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x70, 17, 0, 0), EEXIST);
	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x90, 1, 0, 0));
	CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, 0, 0x70, 16, 0, 0));
	CHECK(!zone_set(vm, ADD, HALO_BUS_MMIO, 0, 0x80, 16, 0, 0));
	CHECK_ERRNO(zone_set(vm, REMOVE, HALO_BUS_PIO, 0, 0x80, 15, 0, 0), ENOENT);
	CHECK(!zone_set(vm, REMOVE, HALO_BUS_PIO, 0, 0x80, 16, 0, 0));
	CHECK_ERRNO(zone_set(vm, REMOVE, HALO_BUS_PIO, 0, 0x80, 16, 0, 0), ENOENT);
}

TEST(as_many_as_promised)
{
	struct vm *vm = vm_bare();
	u32 i;

	for (i = 0; i < HALO_MAX_ZONES; i++)
		CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, 0, i * 2, 1, i, 0));
	CHECK_ERRNO(zone_set(vm, ADD, HALO_BUS_PIO, 0, i * 2, 1, i, 0), ENOSPC);
}

GUEST void spin(void)
{
	while (!stop)
		got[0] = inb(0x100);
}

static void *server(void *arg)
{
	struct vcpu *v = arg;

	while (step(v)->addr == 0x100)
		answer(v, 2);
	return NULL;
}

/* The guest sees one or the other, and userspace hears of SYNC only. */
TEST_SECONDS(replace_while_running, 60)
{
	struct vm *vm = vm_new();
	pthread_t t;
	u32 i;

	guest_begin(vm->cpu[0], spin, 0);
	CHECK(!pthread_create(&t, NULL, server, vm->cpu[0]));
	for (i = 0; i < 100; i++) {
		CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_CONST, 0x100, 1, 0, 1));
		CHECK(!zone_set(vm, ADD, HALO_BUS_PIO, HALO_ZONE_SYNC, i * 2 + 0x200, 1, 0, 0));
		CHECK(!zone_set(vm, REMOVE, HALO_BUS_PIO, 0, 0x100, 1, 0, 1));
		CHECK(got[0] <= 2);
	}
	stop = 1;
	CHECK(!pthread_join(t, NULL));
}
