// SPDX-License-Identifier: GPL-2.0
/* MSRs: deny by default, and what a guest's values can do to the host. */
#include <sched.h>
#include <time.h>
#include "hvm.h"

static volatile u64 got[8];
static volatile u32 denied, read_ok, written, odd;
static volatile u32 base, count;

static const u64 edge[] = {
	0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x00007fffffffffff,
	0x0000800000000000, 0xffff800000000000, 0x7fffffffffffffff, 0x8000000000000000, ~0ull,
	0xfee00900, 0xfee00d00, 0x0606060606060606,
};

/* Some would end the test: the mode, the APIC's place, the time of an interrupt. */
static inline int leave_alone(u32 msr)
{
	return msr == 0xc0000080 || msr == 0x1b || msr == 0x6e0 || msr == 0xc0000102 ||
	       (msr >= 0x800 && msr < 0x900) || (msr & ~1) == 0x4b564d00;
}

GUEST void sweep(void)
{
	u32 i, j, n, lo, hi;
	int r;

	for (n = 0; n < count; n++) {
		i = base + n;
		lo = hi = 0;
		r = TRY("rdmsr", : "+a"(lo), "+d"(hi) : "c"(i));
		if (r < 0)
			read_ok++;
		else if (r == 13 && g_exc.error == 0)
			denied++;
		else
			odd++;
		if (leave_alone(i))
			continue;
		for (j = 0; j < ARRAY_SIZE(edge); j++) {
			/* FS and GS bases: TCG takes what is not canonical. */
			r = TRY("wrmsr", : : "c"(i), "a"((u32)edge[j]), "d"((u32)(edge[j] >> 32)));
			if (r < 0)
				written++;
			else if (r != 13 || g_exc.error)
				odd++;
		}
		/* What it was comes back. */
		if (!(i >= 0xc0000100 && i <= 0xc0000102))
			TRY("wrmsr", : : "c"(i), "a"(lo), "d"(hi));
		else
			TRY("wrmsr", : : "c"(i), "a"(0), "d"(0));
	}
}

static void sweep_range(u32 from, u32 n)
{
	struct vcpu *v = vm_new()->cpu[0];

	base = from;
	count = n;
	guest(v, sweep, 0);
	ktap_note("%#x..%#x: %u read, %u denied, %u values written", from, from + n - 1, read_ok,
		  denied, written);
	CHECK_EQ(odd, 0);
	CHECK_EQ(read_ok + denied, n);
	CHECK(read_ok < n / 8 + 2);
	/* The VM is alive and in its senses. */
	base = 0x10;
	count = 0;
	guest(v, sweep, 0);
}

TEST_SECONDS(sweep_architectural, 120) { sweep_range(0, 0x2000); }
TEST_SECONDS(sweep_c0000000, 120) { sweep_range(0xc0000000, 0x2000); }
TEST_SECONDS(sweep_c0010000, 120) { sweep_range(0xc0010000, 0x2000); }
TEST(sweep_paravirtual) { sweep_range(0x4b564d00, 0x100); }
TEST(sweep_hyperv) { sweep_range(0x40000000, 0x200); }
TEST(sweep_end) { sweep_range(0xffffff00, 0x100); }

GUEST void own_values(void)
{
	wrmsr(0xc0000081, 0x1122334455667788);
	wrmsr(0xc0000082, 0x00007fff12345678);
	wrmsr(0xc0000083, 0xffff800012345678);
	wrmsr(0xc0000084, 0x47700);
	wrmsr(0xc0000102, 0x00007f0000001000);
	wrmsr(0x174, 0x10);
	wrmsr(0x175, 0xffff888000000000);
	wrmsr(0x176, 0x7ff000);
	wrmsr(0x277, 0x0606060606060006);
}

GUEST void read_back(void)
{
	got[0] = rdmsr(0xc0000081);
	got[1] = rdmsr(0xc0000082);
	got[2] = rdmsr(0xc0000083);
	got[3] = rdmsr(0xc0000084);
	got[4] = rdmsr(0xc0000102);
	got[5] = rdmsr(0x174);
	got[6] = rdmsr(0x175);
	got[7] = rdmsr(0x176);
}

TEST(values_stay_and_show_in_state)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	guest(v, own_values, 0);
	for (i = 0; i < 10; i++)
		sched_yield();
	guest(v, read_back, 0);
	CHECK_EQ(got[0], 0x1122334455667788);
	CHECK_EQ(got[1], 0x00007fff12345678);
	CHECK_EQ(got[2], 0xffff800012345678);
	CHECK_EQ(got[3], 0x47700);
	CHECK_EQ(got[4], 0x00007f0000001000);
	CHECK_EQ(got[5], 0x10);
	CHECK_EQ(got[6], 0xffff888000000000);
	CHECK_EQ(got[7], 0x7ff000);
	state_get(v);
	CHECK_EQ(v->s->star, got[0]);
	CHECK_EQ(v->s->lstar, got[1]);
	CHECK_EQ(v->s->kernel_gs_base, got[4]);
	CHECK_EQ(v->s->sysenter_esp, got[6]);
	CHECK_EQ(v->s->pat, 0x0606060606060006);
}

GUEST void bad_values(void)
{
	got[0] = TRY("wrmsr", : : "c"(0x277), "a"(2), "d"(0));			/* PAT type 2 */
	got[1] = TRY("wrmsr", : : "c"(0x1b), "a"(0xfee00100), "d"(0xffff0000));
	got[2] = TRY("wrmsr", : : "c"(0xc0000080), "a"(0xd01), "d"(0x80000000));
	got[3] = TRY("wrmsr", : : "c"(0xc0000080), "a"(0x1d01), "d"(0));	/* SVME */
	got[4] = TRY("wrmsr", : : "c"(0xc0000080), "a"(0xc01), "d"(0));		/* LME off */
	got[5] = TRY("wrmsr", : : "c"(0x2ff), "a"(2), "d"(0));
	got[6] = TRY("wrmsr", : : "c"(0xfe), "a"(0), "d"(0));
	got[7] = TRY("wrmsr", : : "c"(0xc0000103), "a"(0), "d"(1));
}

TEST(impossible_values_are_gp)
{
	u32 i;

	guest(vm_new()->cpu[0], bad_values, 0);
	for (i = 0; i < 8; i++)
		if (got[i] != 13)
			ktap_fail(__FILE__, __LINE__, "value %u gives %d, not #GP", i, (int)got[i]);
}

GUEST void user_msr(void)
{
	got[0] = TRY("rdmsr", : : "c"(0x10) : "eax", "edx");
	got[1] = TRY("wrmsr", : : "c"(0xc0000082), "a"(0), "d"(0));
}

GUEST void from_user(void)
{
	g_user(user_msr);
}

TEST(user_code_has_no_msrs)
{
	guest(vm_new()->cpu[0], from_user, 0);
	CHECK_EQ(got[0], 13);
	CHECK_EQ(got[1], 13);
}

TEST(ioctl_counts_what_it_did)
{
	struct halo_msr_entry e[] = { { .index = 0xc0000081 }, { .index = 0x277 },
				      { .index = 0x12345678 }, { .index = 0xc0000082 } };
	struct halo_msrs m = { .size = sizeof(m), .count = 4, .entries = (u64)e };
	struct vcpu *v = vm_new()->cpu[0];

	CHECK_EQ(ioctl(v->fd, HALO_VCPU_GET_MSRS, &m), 2);
	CHECK_EQ(e[1].value, 0x0007040600070406);
	e[0].value = 0x99;
	e[1].value = 2;			/* refused */
	CHECK_EQ(ioctl(v->fd, HALO_VCPU_SET_MSRS, &m), 1);
	e[0].value = 0;
	CHECK_EQ(ioctl(v->fd, HALO_VCPU_GET_MSRS, &m), 2);
	CHECK_EQ(e[0].value, 0x99);
	CHECK_EQ(e[1].value, 0x0007040600070406);
	m.count = HALO_MAX_MSRS + 1;
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_GET_MSRS, &m), E2BIG);
	m.count = 1;
	e[0].reserved = 1;
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_MSRS, &m), EINVAL);
	m.entries = 8;
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_MSRS, &m), EFAULT);
}

static volatile struct g_clock record;

GUEST void start_clock(void)
{
	wrmsr(0x4b564d01, (u64)&record | 1);
	got[0] = rdmsr(0x4b564d01);
}

static u64 monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

TEST(the_clock_keeps_time)
{
	u64 ticks, ns, guest_ns;

	memset((void *)&record, 0xff, sizeof(record));
	guest(vm_new()->cpu[0], start_clock, 0);
	CHECK_EQ(got[0], (u64)&record | 1);
	CHECK_EQ(record.version & 1, 0);
	CHECK(record.version != 0xffffffff);
	CHECK_EQ(record.flags, 1);
	CHECK_EQ(record.ns, 0);
	ns = monotonic();
	ticks = rdtsc();
	usleep(300000);
	ticks = rdtsc() - ticks;
	ns = monotonic() - ns;
	guest_ns = g_clock_ns(&record, ticks);
	ktap_note("%llu ns are %llu ns in the guest", (unsigned long long)ns,
		  (unsigned long long)guest_ns);
	CHECK(guest_ns > ns - ns / 50 && guest_ns < ns + ns / 50);
}

/* All that can be read can be written back: what a snapshot does. */
TEST_SECONDS(snapshot_and_restore, 60)
{
	static struct halo_msr_entry e;
	struct halo_msrs m = { .size = sizeof(m), .count = 1, .entries = (u64)&e };
	struct vcpu *v = vm_new()->cpu[0], *w = vm_new()->cpu[0];
	static const u32 from[] = { 0, 0xc0000000, 0xc0010000 };
	u32 i, j, n = 0;

	guest(v, own_values, 0);
	for (i = 0; i < ARRAY_SIZE(from); i++) {
		for (j = 0; j < 0x2000; j++) {
			e.index = from[i] + j;
			if (e.index >= 0x800 && e.index < 0x900)
				continue;	/* the LAPIC's, by HALO_VCPU_SET_LAPIC */
			if (ioctl(v->fd, HALO_VCPU_GET_MSRS, &m) != 1)
				continue;
			n++;
			/* Some are constants of the model. */
			ioctl(w->fd, HALO_VCPU_SET_MSRS, &m);
		}
	}
	ktap_note("%u MSRs", n);
	guest(w, read_back, 0);
	CHECK_EQ(got[0], 0x1122334455667788);
	CHECK_EQ(got[7], 0x7ff000);
}
