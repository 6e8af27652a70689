// SPDX-License-Identifier: GPL-2.0
/* A TSC of the guest's own frequency: what it counts, when it fires, what time it makes. */
#include "hvm.h"

#define PORT	0x300

static volatile u64 got[8], fired, due, early;

static u64 cap(u32 nr)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = nr };

	CHECK(!ioctl(dev_open(), HALO_GET_CAP, &q));
	return q.value;
}

static u32 host_khz(void)
{
	return cap(HALO_CAP_TSC_KHZ);
}

static void scaling(void)
{
	if (!cap(HALO_CAP_TSC_SCALING))
		ktap_skip("the CPU does not scale a guest's TSC");
}

static int set(struct vm *vm, u32 khz)
{
	struct halo_tsc_khz t = { .size = sizeof(t), .khz = khz };

	return ioctl(vm->fd, HALO_VM_SET_TSC_KHZ, &t);
}

TEST(frequencies_that_can_not_be)
{
	struct vm *vm = vm_bare();
	bool can = cap(HALO_CAP_TSC_SCALING);

	CHECK_ERRNO(set(vm, 0), EINVAL);
	CHECK(!set(vm, host_khz()));
	if (can) {
		CHECK(!set(vm, host_khz() / 2));
		CHECK(!set(vm, host_khz() * 2));
		CHECK(!set(vm, 1));
		CHECK(!set(vm, host_khz()));
	} else {
		CHECK_ERRNO(set(vm, host_khz() / 2), EOPNOTSUPP);
		CHECK_ERRNO(set(vm, host_khz() + 1), EOPNOTSUPP);
	}
	vcpu_new(vm, 0);
	CHECK_ERRNO(set(vm, host_khz()), EBUSY);
}

GUEST void tell_tsc(void)
{
	u32 i;

	for (i = 0; i < 4; i += 2) {
		got[i] = rdtsc();
		got[i + 1] = rdmsr(0x10);
		outb(PORT, 1);
	}
}

/* What it counted is between what the host counted inside and outside of it. */
static void counts(u32 khz)
{
	u64 from, begun, ended, to, host = host_khz(), ticks;
	struct halo_clock a, b;
	struct vcpu *v;

	vm_tsc_khz = khz;
	v = vm_new()->cpu[0];
	a = b = (struct halo_clock){ .size = sizeof(a) };
	guest_begin(v, tell_tsc, 0);
	from = rdtsc();
	guest_until(v, HALO_EXIT_PIO);
	begun = rdtsc();
	CHECK(!ioctl(v->vm->fd, HALO_VM_GET_CLOCK, &a));
	usleep(100000);
	CHECK(!ioctl(v->vm->fd, HALO_VM_GET_CLOCK, &b));
	ended = rdtsc();
	answer(v, 0);
	guest_until(v, HALO_EXIT_PIO);
	to = rdtsc();
	answer(v, 0);
	guest_end(v);
	CHECK(got[0] < got[1] && got[1] < got[2] && got[2] < got[3]);
	ticks = got[2] - got[1];
	ktap_note("%u kHz: %llu ticks, the host's %llu to %llu", khz, (unsigned long long)ticks,
		  (unsigned long long)(ended - begun), (unsigned long long)(to - from));
	CHECK(ticks + 2 >= (ended - begun) * khz / host);
	CHECK(ticks <= (to - from) * khz / host + 2);
	/* The VM's own idea of it, in its ticks and in its time, told in a lab that may be busy. */
	CHECK(a.tsc > got[1] && b.tsc < got[2]);
	ticks = (b.boottime_ns - a.boottime_ns) * khz / 1000000;
	CHECK(b.tsc - a.tsc > ticks - ticks / 5 && b.tsc - a.tsc < ticks + ticks / 5);
	ticks = b.boottime_ns - a.boottime_ns;
	CHECK(b.clock_ns - a.clock_ns > ticks - ticks / 5 &&
	      b.clock_ns - a.clock_ns < ticks + ticks / 5);
}

TEST(it_counts_as_the_hosts)
{
	counts(host_khz());
}

TEST(it_counts_at_half_the_rate)
{
	scaling();
	counts(host_khz() / 2);
}

TEST(it_counts_at_an_odd_rate)
{
	scaling();
	counts(host_khz() / 3 * 7 + 1);
}

TEST(guests_of_several_rates_take_turns)
{
	u32 host = host_khz(), i;

	scaling();
	for (i = 0; i < 3; i++) {
		counts(host / 2);
		counts(host);
		counts(host * 3);
	}
}

static void on_time(struct g_frame *f)
{
	if (rdtsc() < due)
		early++;
	got[fired % 8] = rdtsc();
	fired++;
	lapic_write(0xb0, 0);
}

/* Spinning, and asleep. */
GUEST void deadlines(u64 ticks)
{
	u32 i;

	g_handler[0x45] = on_time;
	lapic_write(0xf0, 0x1ff);
	lapic_write(0x320, 2 << 17 | 0x45);
	for (i = 0; i < 8; i++) {
		due = rdtsc() + ticks;
		wrmsr(0x6e0, due);
		sti();
		while (fired <= i && !(i & 1))
			nop();
		cli();
		while (fired <= i)
			asm volatile("sti; hlt; cli");
	}
}

TEST(deadlines_are_in_its_own_ticks)
{
	u64 began, took;
	u32 host = host_khz(), i;
	struct vcpu *v;

	scaling();
	for (i = 0; i < 2; i++) {
		vm_tsc_khz = i ? host * 16 : host / 16;
		fired = 0;
		v = vm_new()->cpu[0];
		began = rdtsc();
		/* 2 ms each */
		guest(v, deadlines, (u64)vm_tsc_khz * 2);
		took = (rdtsc() - began) / host;
		ktap_note("%u kHz: 8 deadlines of 2 ms took %llu ms", vm_tsc_khz,
			  (unsigned long long)took);
		CHECK_EQ(early, 0);
		CHECK(took >= 16 && took < 128);
	}
}

static volatile struct g_clock record;

GUEST void tell_time(void)
{
	wrmsr(0x4b564d01, (u64)&record | 1);
	got[0] = record.ns + g_clock_ns(&record, rdtsc() - record.tsc);
}

TEST(its_clock_is_the_hosts)
{
	struct halo_clock a = { .size = sizeof(a) }, b = a;
	struct vm *vm;

	scaling();
	vm_tsc_khz = host_khz() / 5 * 8;
	vm = vm_new();
	usleep(50000);
	CHECK(!ioctl(vm->fd, HALO_VM_GET_CLOCK, &a));
	guest(vm->cpu[0], tell_time, 0);
	CHECK(!ioctl(vm->fd, HALO_VM_GET_CLOCK, &b));
	CHECK(got[0] + 2 >= a.clock_ns && got[0] <= b.clock_ns + 2);
}
