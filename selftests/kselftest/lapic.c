// SPDX-License-Identifier: GPL-2.0
/* The local APIC, by MMIO and by MSR, with its timer and its pins. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include "hvm.h"

#define MSI_TO(id)	(0xfee00000ull | (u64)(id) << 12)

static volatile u64 got[16];
static volatile u32 seen, order[16];

static void count(struct g_frame *f)
{
	if (seen < 16)
		order[seen] = f->vector;
	seen++;
	lapic_write(0xb0, 0);
}

static inline void on(void)
{
	lapic_write(0xf0, 0x1ff);
}

GUEST void ids(void)
{
	got[0] = lapic_read(0x20);
	got[1] = lapic_read(0x30);
	got[2] = rdmsr(0x1b);
	wrmsr(0x1b, rdmsr(0x1b) | BIT(10));
	got[3] = rdmsr(0x802);
	got[4] = rdmsr(0x803);
	got[5] = rdmsr(0x80d);
	got[6] = TRY("rdmsr", : : "c"(0x80e) : "eax", "edx");	/* DFR is gone */
	got[7] = TRY("wrmsr", : : "c"(0x802), "a"(0), "d"(0));	/* read only */
	got[8] = TRY("wrmsr", : : "c"(0x80b), "a"(1), "d"(0));	/* EOI takes 0 */
}

TEST(identity_in_both_modes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vcpu_new(vm, 3);

	v->s->mp_state = HALO_MP_RUNNABLE;
	state_set(v, HALO_STATE_MP);
	guest(v, ids, 0);
	CHECK_EQ(got[0], 3u << 24);
	CHECK_EQ(got[1] & 0xff, 0x14);
	CHECK_EQ(got[2], LAPIC | BIT(11));
	CHECK_EQ(got[3], 3);
	CHECK_EQ(got[4], got[1]);
	CHECK_EQ(got[5], 1u << 3);
	CHECK_EQ(got[6], 13);
	CHECK_EQ(got[7], 13);
	CHECK_EQ(got[8], 13);
}

GUEST void msr_off(void)
{
	got[0] = TRY("rdmsr", : : "c"(0x802) : "eax", "edx");
	got[1] = TRY("wrmsr", : : "c"(0x1b), "a"(0xfee00500), "d"(0));	/* x2APIC, not on */
}

TEST(x2apic_msrs_only_in_its_mode)
{
	guest(vm_new()->cpu[0], msr_off, 0);
	CHECK_EQ(got[0], 13);
	CHECK_EQ(got[1], 13);
}

GUEST void self_ipi(void)
{
	g_handler[0x51] = count;
	on();
	sti();
	lapic_write(0x310, 0);
	lapic_write(0x300, 0x40000 | 0x51);
	nop();
	lapic_write(0x300, 0x4000 | 0x51);	/* physical, to ID 0 */
	nop();
	got[0] = lapic_read(0x300);
	cli();
}

TEST(self_ipi_xapic)
{
	guest(vm_new()->cpu[0], self_ipi, 0);
	CHECK_EQ(seen, 2);
	CHECK_EQ(got[0] & BIT(12), 0);
}

static void count_x2(struct g_frame *f)
{
	seen++;
	wrmsr(0x80b, 0);
}

GUEST void self_ipi_x2(void)
{
	g_handler[0x51] = count_x2;
	wrmsr(0x1b, rdmsr(0x1b) | BIT(10));
	wrmsr(0x80f, 0x1ff);
	sti();
	wrmsr(0x83f, 0x51);
	nop();
	wrmsr(0x830, 0x40000 | 0x51);
	nop();
	cli();
}

TEST(self_ipi_x2apic)
{
	guest(vm_new()->cpu[0], self_ipi_x2, 0);
	CHECK_EQ(seen, 2);
}

GUEST void priorities(void)
{
	g_handler[0x51] = count;
	g_handler[0x61] = count;
	g_handler[0x71] = count;
	on();
	lapic_write(0x300, 0x40000 | 0x51);
	lapic_write(0x300, 0x40000 | 0x71);
	lapic_write(0x300, 0x40000 | 0x61);
	got[0] = lapic_read(0x220) | (u64)lapic_read(0x230) << 32;	/* IRR 40..5f, 60..7f */
	sti();
	nop();
	nop();
	nop();
	cli();
	got[1] = lapic_read(0x220) | (u64)lapic_read(0x230) << 32;
}

TEST(highest_priority_first)
{
	guest(vm_new()->cpu[0], priorities, 0);
	CHECK_EQ(got[0], BIT(0x11) | BIT(32 + 1) | BIT(32 + 0x11));
	CHECK_EQ(seen, 3);
	CHECK_EQ(order[0], 0x71);
	CHECK_EQ(order[1], 0x61);
	CHECK_EQ(order[2], 0x51);
	CHECK_EQ(got[1], 0);
}

GUEST void tpr(void)
{
	g_handler[0x51] = count;
	on();
	asm volatile("mov %0, %%cr8" : : "r"(5ull));
	got[0] = lapic_read(0x80);
	lapic_write(0x300, 0x40000 | 0x51);
	sti();
	nop();
	nop();
	got[1] = seen;
	asm volatile("mov %0, %%cr8" : : "r"(4ull));
	nop();
	got[2] = seen;
	lapic_write(0x80, 0x90);
	asm volatile("mov %%cr8, %0" : "=r"(got[3]));
	lapic_write(0x300, 0x40000 | 0x51);
	nop();
	got[4] = seen;
	lapic_write(0x80, 0);
	nop();
	got[5] = seen;
	cli();
	got[6] = TRY("mov %0, %%cr8", : : "r"(16ull));
}

TEST(task_priority_and_cr8)
{
	guest(vm_new()->cpu[0], tpr, 0);
	CHECK_EQ(got[0], 0x50);
	CHECK_EQ(got[1], 0);
	CHECK_EQ(got[2], 1);
	CHECK_EQ(got[3], 9);
	CHECK_EQ(got[4], 1);
	CHECK_EQ(got[5], 2);
	CHECK_EQ(got[6], 13);
}

GUEST void timer(u64 mode)
{
	u64 until, start = rdtsc();

	g_handler[0x45] = count;
	on();
	lapic_write(0x3e0, 0xb);	/* by one */
	lapic_write(0x320, (mode << 17) | 0x45);
	sti();
	if (mode == 2)
		wrmsr(0x6e0, rdtsc() + 2000000);
	else
		lapic_write(0x380, mode ? 2000000 : 200000000);
	got[4] = lapic_read(0x390);
	until = rdtsc() + 20000000000ull;
	while (seen < (mode == 1 ? 4 : 1) && rdtsc() < until)
		asm volatile("hlt");
	cli();
	got[0] = seen;
	got[1] = rdtsc() - start;
	got[2] = lapic_read(0x390);
	if (mode == 2)
		got[3] = rdmsr(0x6e0);
	lapic_write(0x380, 0);
	lapic_write(0x320, 0x10000);
}

TEST(timer_one_shot)
{
	guest(vm_new()->cpu[0], timer, 0);
	CHECK_EQ(got[0], 1);
	CHECK(got[4] > 0 && got[4] <= 200000000);
	CHECK_EQ(got[2], 0);
}

TEST(timer_periodic)
{
	guest(vm_new()->cpu[0], timer, 1);
	CHECK(got[0] >= 4);
}

TEST(timer_tsc_deadline)
{
	guest(vm_new()->cpu[0], timer, 2);
	CHECK_EQ(got[0], 1);
	CHECK_EQ(got[3], 0);	/* disarmed by firing */
	CHECK(got[1] >= 2000000);
}

static volatile u64 due, early, late, late_sum;

static void on_time(struct g_frame *f)
{
	u64 now = rdtsc();

	if (now < due) {
		early++;
	} else {
		late_sum += now - due;
		if (now - due > late)
			late = now - due;
	}
	count(f);
}

/* Nothing in here exits between the arming and the interrupt. */
GUEST void spin_to_deadlines(u64 mode)
{
	u64 left;
	u32 i;

	g_handler[0x45] = on_time;
	on();
	lapic_write(0x3e0, 0xb);
	lapic_write(0x320, (mode << 17) | 0x45);
	sti();
	for (i = 0; i < 60; i++) {
		/* From the next instruction to longer than a tick of the host's. */
		due = rdtsc() + (1ull << (i % 20)) + i;
		if (mode == 2)
			wrmsr(0x6e0, due);
		else
			lapic_write(0x380, (1u << (i % 20)) + i);
		for (left = 200000000; seen <= i && left; left--)
			nop();
		if (seen != i + 1)
			break;
	}
	cli();
	got[0] = seen;
}

TEST(deadlines_fire_in_a_guest_that_spins)
{
	guest(vm_new()->cpu[0], spin_to_deadlines, 2);
	CHECK_EQ(got[0], 60);
	CHECK_EQ(early, 0);
	ktap_note("late by %llu ticks on average, %llu at most",
		  (unsigned long long)late_sum / 60, (unsigned long long)late);
}

TEST(one_shots_fire_in_a_guest_that_spins)
{
	guest(vm_new()->cpu[0], spin_to_deadlines, 0);
	CHECK_EQ(got[0], 60);
}

GUEST void rest(u64 ticks)
{
	u64 until = rdtsc() + ticks;

	while (rdtsc() < until)
		nop();
}

/*
 * One that is far away, then near, then none: what was armed before does not count.
 * Who was not on the CPU while a deadline passed has to try again.
 */
GUEST void rearm(void)
{
	u64 end;

	g_handler[0x45] = on_time;
	on();
	lapic_write(0x320, (2 << 17) | 0x45);
	sti();
	wrmsr(0x6e0, ~0ull);
	for (;;) {
		rest(3000000);
		seen = 0;
		due = rdtsc() + 3000000;
		wrmsr(0x6e0, due);
		got[0] = rdmsr(0x6e0) - due;
		end = rdtsc();
		/* However late it comes: the next one must not take it for its own. */
		while (!seen)
			nop();
		if (end < due)
			break;
	}
	do {
		rest(3000000);
		seen = 1;
		end = rdtsc() + 1000000;
		wrmsr(0x6e0, end);
		wrmsr(0x6e0, 0);
	} while (rdtsc() >= end);
	rest(3000000);
	got[1] = seen;
	do {
		rest(3000000);
		seen = 1;
		lapic_write(0x320, (2 << 17) | 0x45);
		end = rdtsc() + 1000000;
		wrmsr(0x6e0, end);
		lapic_write(0x320, (2 << 17) | 0x10045);
	} while (rdtsc() >= end);
	rest(3000000);
	cli();
}

TEST(only_the_last_deadline_counts)
{
	guest(vm_new()->cpu[0], rearm, 0);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], 1);
	CHECK_EQ(seen, 1);
	CHECK_EQ(early, 0);
}

/* The deadline passes while the vCPU is with userspace. */
GUEST void deadline_outside(void)
{
	g_handler[0x45] = on_time;
	on();
	lapic_write(0x320, (2 << 17) | 0x45);
	sti();
	due = rdtsc() + 200000;
	wrmsr(0x6e0, due);
	outb(0x60, 0);
	nop();
	got[0] = seen;
	cli();
}

TEST(a_deadline_that_passes_in_userspace)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, deadline_outside, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x60);
	usleep(50000);
	answer(v, 0);
	guest_end(v);
	CHECK_EQ(got[0], 1);
	CHECK_EQ(early, 0);
}

GUEST void deadline_past(void)
{
	g_handler[0x45] = count;
	on();
	lapic_write(0x320, (2 << 17) | 0x45);
	sti();
	wrmsr(0x6e0, 1);
	nop();
	nop();
	got[0] = seen;
	wrmsr(0x6e0, 0);
	cli();
}

TEST(deadline_in_the_past_fires_at_once)
{
	guest(vm_new()->cpu[0], deadline_past, 0);
	CHECK_EQ(got[0], 1);
}

/* A period of nothing must not be an interrupt storm in the host. */
static u64 tiny_until;

/* On a slow machine there may be no instruction between two of these. */
static void tiny(struct g_frame *f)
{
	count(f);
	if (rdtsc() >= tiny_until)
		lapic_write(0x380, 0);
}

GUEST void tiny_period(void)
{
	u64 until;

	g_handler[0x45] = tiny;
	on();
	lapic_write(0x3e0, 0xb);
	lapic_write(0x320, (1 << 17) | 0x45);
	until = rdtsc() + 200000000;
	tiny_until = until;
	lapic_write(0x380, 1);
	sti();
	while (rdtsc() < until)
		nop();
	cli();
	lapic_write(0x380, 0);
	got[0] = seen;
}

static volatile int over;

static void on_over(int sig)
{
	over = 1;
}

TEST(tiny_period_does_not_stop_the_host)
{
	const struct itimerval it = { { .tv_sec = 1 }, { .tv_sec = 15 } };
	struct vcpu *v = vm_new()->cpu[0];
	int err;

	signal(SIGALRM, on_over);
	guest_begin(v, tiny_period, 0);
	CHECK(!setitimer(ITIMER_REAL, &it, NULL));
	do
		err = run(v);
	while (err == -EINTR && !over);
	if (err == -EINTR) {
		/* An entry can take longer than the least period, but RUN is left. */
		CHECK(ktap_slow() > 1);
		ktap_note("the host goes on, and the guest is too slow to");
		return;
	}
	CHECK_EQ(err, 0);
	CHECK(got[0] >= 1);
}

GUEST void masked_timer(void)
{
	u64 until = rdtsc() + 20000000;

	g_handler[0x45] = count;
	on();
	lapic_write(0x3e0, 0xb);
	lapic_write(0x320, 0x10045);
	lapic_write(0x380, 1000);
	sti();
	while (rdtsc() < until)
		nop();
	cli();
	got[0] = seen;
}

TEST(masked_timer_stays_quiet)
{
	guest(vm_new()->cpu[0], masked_timer, 0);
	CHECK_EQ(got[0], 0);
}

/* ---- what a CPU with APIC virtualization does by itself, in x2APIC mode ---- */

static u64 x2_isr[4];	/* of the LAPIC, while each handler ran: ISR 40..7f, PPR */

static inline void x2_on(void)
{
	wrmsr(0x1b, rdmsr(0x1b) | BIT(10));
	wrmsr(0x80f, 0x1ff);
}

static void count_x2_order(struct g_frame *f)
{
	if (seen < 4)
		x2_isr[seen] = rdmsr(0x812) | rdmsr(0x813) << 32;
	if (seen < 16)
		order[seen] = f->vector;
	seen++;
	wrmsr(0x80b, 0);
}

GUEST void waits_for_if(void)
{
	u64 until;

	g_handler[0x51] = count_x2;
	x2_on();
	sti();
	cli();
	wrmsr(0x83f, 0x51);
	/* The host's interrupts come meanwhile. */
	until = rdtsc() + 8000000;
	while (rdtsc() < until)
		nop();
	got[0] = seen;
	got[1] = rdmsr(0x822);
	sti();
	nop();
	nop();
	cli();
	got[2] = seen;
	got[3] = rdmsr(0x822);
}

TEST(a_pending_interrupt_waits_for_if)
{
	guest(vm_new()->cpu[0], waits_for_if, 0);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], BIT(0x11));
	CHECK_EQ(got[2], 1);
	CHECK_EQ(got[3], 0);
}

GUEST void priorities_x2(void)
{
	g_handler[0x51] = count_x2_order;
	g_handler[0x61] = count_x2_order;
	g_handler[0x71] = count_x2_order;
	x2_on();
	wrmsr(0x83f, 0x51);
	wrmsr(0x83f, 0x71);
	wrmsr(0x83f, 0x61);
	got[0] = rdmsr(0x822) | rdmsr(0x823) << 32;
	sti();
	nop();
	nop();
	nop();
	cli();
	got[1] = rdmsr(0x822) | rdmsr(0x823) << 32 | rdmsr(0x812) | rdmsr(0x813) << 32;
}

TEST(highest_priority_first_x2apic)
{
	guest(vm_new()->cpu[0], priorities_x2, 0);
	CHECK_EQ(got[0], BIT(0x11) | BIT(32 + 1) | BIT(32 + 0x11));
	CHECK_EQ(seen, 3);
	CHECK_EQ(order[0], 0x71);
	CHECK_EQ(order[1], 0x61);
	CHECK_EQ(order[2], 0x51);
	CHECK_EQ(x2_isr[0], BIT(32 + 0x11));
	CHECK_EQ(x2_isr[1], BIT(32 + 1));
	CHECK_EQ(x2_isr[2], BIT(0x11));
	CHECK_EQ(got[1], 0);
}

static void nest(struct g_frame *f)
{
	u64 me = f->vector;

	order[seen++] = me;
	if (me == 0x51) {
		got[2] = rdmsr(0x80a);
		wrmsr(0x83f, 0x52);	/* of the same class: after this one's EOI */
		wrmsr(0x83f, 0x91);	/* of a higher one: now */
		sti();
		nop();
		got[0] = seen;
		cli();
		got[1] = rdmsr(0x80a);
	}
	wrmsr(0x80b, 0);
	if (me == 0x51) {
		sti();
		nop();
		got[3] = seen;
		cli();
	}
}

GUEST void nested(void)
{
	g_handler[0x51] = nest;
	g_handler[0x52] = nest;
	g_handler[0x91] = nest;
	x2_on();
	sti();
	wrmsr(0x83f, 0x51);
	nop();
	cli();
	got[4] = rdmsr(0x80a);
}

TEST(nested_interrupts_by_class)
{
	guest(vm_new()->cpu[0], nested, 0);
	CHECK_EQ(got[2], 0x50);
	CHECK_EQ(got[0], 2);
	CHECK_EQ(got[1], 0x50);
	CHECK_EQ(got[3], 3);
	CHECK_EQ(order[0], 0x51);
	CHECK_EQ(order[1], 0x91);
	CHECK_EQ(order[2], 0x52);
	CHECK_EQ(got[4], 0);
}

GUEST void tpr_x2(void)
{
	g_handler[0x51] = count_x2;
	x2_on();
	wrmsr(0x808, 0x5f);
	asm volatile("mov %%cr8, %0" : "=r"(got[0]));
	got[1] = rdmsr(0x80a);
	wrmsr(0x83f, 0x51);
	sti();
	nop();
	got[2] = seen;
	wrmsr(0x808, 0x4f);
	nop();
	got[3] = seen;
	asm volatile("mov %0, %%cr8" : : "r"(9ull));
	got[4] = rdmsr(0x808);
	wrmsr(0x83f, 0x51);
	nop();
	got[5] = seen;
	asm volatile("mov %0, %%cr8" : : "r"(0ull));
	nop();
	got[6] = seen;
	cli();
	got[7] = TRY("wrmsr", : : "c"(0x808), "a"(0x100), "d"(0));
	got[8] = TRY("wrmsr", : : "c"(0x83f), "a"(0x100), "d"(0));
	got[9] = TRY("wrmsr", : : "c"(0x80a), "a"(0), "d"(0));
	got[10] = TRY("rdmsr", : : "c"(0x80b) : "eax", "edx");
	got[11] = TRY("rdmsr", : : "c"(0x83f) : "eax", "edx");
	wrmsr(0x83f, 5);	/* illegal: an error, no interrupt */
	wrmsr(0x828, 0);
	got[12] = rdmsr(0x828);
}

TEST(task_priority_x2apic)
{
	guest(vm_new()->cpu[0], tpr_x2, 0);
	CHECK_EQ(got[0], 5);
	CHECK_EQ(got[1], 0x5f);
	CHECK_EQ(got[2], 0);
	CHECK_EQ(got[3], 1);
	CHECK_EQ(got[4], 0x90);
	CHECK_EQ(got[5], 1);
	CHECK_EQ(got[6], 2);
	CHECK_EQ(got[7], 13);
	CHECK_EQ(got[8], 13);
	CHECK_EQ(got[9], 13);
	CHECK_EQ(got[10], 13);
	CHECK_EQ(got[11], 13);
	CHECK_EQ(got[12], BIT(5));
}

/* Switched off by software it takes no self-IPI; on again, it does. */
GUEST void soft_off_x2(void)
{
	g_handler[0x51] = count_x2;
	x2_on();
	sti();
	wrmsr(0x80f, 0xff);
	wrmsr(0x83f, 0x51);
	nop();
	got[0] = seen;
	wrmsr(0x80f, 0x1ff);
	wrmsr(0x83f, 0x51);
	nop();
	got[1] = seen;
	cli();
}

TEST(soft_disabled_takes_no_self_ipi)
{
	guest(vm_new()->cpu[0], soft_off_x2, 0);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], 1);
}

GUEST void eois_x2(u64 n)
{
	g_handler[0x51] = count_x2;
	x2_on();
	sti();
	for (; n; n--) {
		wrmsr(0x83f, 0x51);
		nop();
	}
	cli();
}

/* What is saved by the CPU: exits for a thousand interrupts from their sending to EOI. */
TEST(exits_of_a_thousand_self_ipis)
{
	struct halo_vcpu_stats a = { .size = sizeof(a) }, b = { .size = sizeof(b) };
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_VIRT_INTR };
	struct vcpu *v = vm_new()->cpu[0];

	CHECK(!ioctl(v->vm->dev, HALO_GET_CAP, &q));
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &a));
	guest(v, eois_x2, 1000);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &b));
	CHECK_EQ(seen, 1000);
	ktap_note("virtual interrupts: %llu; %llu exits, %llu of them MSRs",
		  (unsigned long long)q.value, (unsigned long long)(b.exits - a.exits),
		  (unsigned long long)(b.msr - a.msr));
	if (q.value == 1)
		CHECK(b.msr - a.msr < 10);
	else
		CHECK(b.msr - a.msr >= 2000);
}

GUEST void cr8_writes(u64 n)
{
	g_handler[0x51] = count;
	on();
	lapic_write(0x300, 0x40000 | 0x51);
	asm volatile("mov %0, %%cr8" : : "r"(5ull));
	sti();
	for (; n; n--)
		asm volatile("mov %0, %%cr8" : : "r"(5 + (n & 7)));
	got[0] = seen;
	asm volatile("mov %0, %%cr8" : : "r"(4ull));
	nop();
	got[1] = seen;
	cli();
	got[2] = lapic_read(0xa0);
}

TEST(exits_of_a_thousand_cr8_writes)
{
	struct halo_vcpu_stats a = { .size = sizeof(a) }, b = { .size = sizeof(b) };
	struct vcpu *v = vm_new()->cpu[0];

	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &a));
	guest(v, cr8_writes, 1000);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &b));
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], 1);
	CHECK_EQ(got[2], 0x40);
	ktap_note("%llu exits", (unsigned long long)(b.exits - a.exits));
	if (cpu_is_intel())
		CHECK(b.exits - a.exits < 500);
}

/* ---- from outside ---- */

GUEST void outside(void)
{
	g_handler[0x52] = count;
	on();
	outb(0x60, 0);
	sti();
	nop();
	nop();
	cli();
	outb(0x61, 0);
	sti();
	nop();
	nop();
	cli();
}

TEST(msi_edge)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest_begin(v, outside, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x60);
	CHECK_EQ(msi(vm, MSI_TO(0), 0x52), 1);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x61);
	CHECK_EQ(seen, 1);
	answer(v, 0);
	guest_end(v);
	CHECK_EQ(seen, 1);
}

TEST(msi_level_gives_an_eoi_exit)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest_begin(v, outside, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(msi(vm, MSI_TO(0), 0xc000 | 0x52), 1);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_EOI)->data, 0x52);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x61);
	CHECK_EQ(seen, 1);
	answer(v, 0);
	guest_end(v);
}

GUEST void outside_x2(void)
{
	g_handler[0x52] = count_x2_order;
	g_handler[0x53] = count_x2_order;
	x2_on();
	outb(0x60, 0);
	sti();
	nop();
	nop();
	cli();
	outb(0x61, 0);
}

TEST(level_and_edge_x2apic)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest_begin(v, outside_x2, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(msi(vm, MSI_TO(0), 0xc000 | 0x52), 1);
	CHECK_EQ(msi(vm, MSI_TO(0), 0x53), 1);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_EOI)->data, 0x52);
	CHECK_EQ(seen, 2);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x61);
	CHECK_EQ(order[0], 0x53);
	CHECK_EQ(order[1], 0x52);
	/* What was level-triggered once is not for ever. */
	answer(v, 0);
	guest_end(v);
	seen = 0;
	guest_begin(v, outside_x2, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(msi(vm, MSI_TO(0), 0x52), 1);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x61);
	CHECK_EQ(seen, 1);
	answer(v, 0);
	guest_end(v);
}

/* Userspace takes the registers out between request and delivery, and puts them back. */
TEST(pending_and_in_service_are_saved)
{
	static struct halo_lapic_state s = { .size = sizeof(s) };
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest_begin(v, outside_x2, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(msi(vm, MSI_TO(0), 0x52), 1);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_LAPIC, &s));
	CHECK_EQ(*(u32 *)(s.regs + 0x220), BIT(0x12));
	*(u32 *)(s.regs + 0x220) |= BIT(0x13);
	*(u32 *)(s.regs + 0x180 + 0x20) |= BIT(0x13);	/* level-triggered */
	CHECK(!ioctl(v->fd, HALO_VCPU_SET_LAPIC, &s));
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_EOI)->data, 0x53);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_LAPIC, &s));
	CHECK_EQ(*(u32 *)(s.regs + 0x120), 0);
	CHECK_EQ(*(u32 *)(s.regs + 0x220), BIT(0x12));
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x61);
	CHECK_EQ(seen, 2);
	answer(v, 0);
	guest_end(v);
}

TEST(msi_to_nobody)
{
	struct vm *vm = vm_new();

	CHECK_EQ(msi(vm, MSI_TO(77), 0x52), 0);
	CHECK_ERRNO(msi(vm, 0xfed00000, 0x52), EINVAL);
	CHECK_ERRNO(msi(vm, 0, 0x52), EINVAL);
}

GUEST void extint_on(void)
{
	on();
	lapic_write(0x350, 0x700);
}

TEST(extint_asks_for_the_vector)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest(v, extint_on, 0);
	guest_begin(v, outside, 0);
	g_handler[0x33] = count;
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x60);
	CHECK(!line_set(v, HALO_PIN_LINT0, 1));
	answer(v, 0);
	guest_until(v, HALO_EXIT_INTACK);
	CHECK(!line_set(v, HALO_PIN_LINT0, 0));
	answer(v, 0x33);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x61);
	CHECK_EQ(seen, 1);
	CHECK_EQ(order[0], 0x33);
	answer(v, 0);
	guest_end(v);
}

TEST(intack_with_a_vector_that_is_none)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest(v, extint_on, 0);
	guest_begin(v, outside, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK(!line_set(v, HALO_PIN_LINT0, 1));
	answer(v, 0);
	guest_until(v, HALO_EXIT_INTACK);
	answer(v, 256);
	CHECK_EQ(settle(v), -EPROTO);
	CHECK(v->exits->flags & HALO_RING_BROKEN);
	CHECK_EQ(settle(v), -EPROTO);
}

TEST(pins_that_are_not_there)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK_ERRNO(line_set(v, 3, 1), EINVAL);
	CHECK_ERRNO(line_set(v, 0xffffffff, 1), EINVAL);
	CHECK_ERRNO(line_set(v, HALO_PIN_LINT0, 2), EINVAL);
}

GUEST void lint1_nmi(void)
{
	g_handler[2] = count;
	on();
	lapic_write(0x360, 0x400);
	outb(0x60, 0);
	nop();
}

TEST(lint1_as_nmi)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest_begin(v, lint1_nmi, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK(!line_set(v, HALO_PIN_LINT1, 1));
	CHECK(!line_set(v, HALO_PIN_LINT1, 0));
	answer(v, 0);
	guest_end(v);
	CHECK_EQ(seen, 1);
}

GUEST void relocate(void)
{
	wrmsr(0x1b, 0xfed0000000ull >> 8 | BIT(11));	/* 0xfed00000 */
	got[0] = *(volatile u32 *)0xfed00030;
	got[1] = *(volatile u32 *)(LAPIC + 0x30);
}

TEST(relocation)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, relocate, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, LAPIC + 0x30);
	answer(v, 0x77);
	guest_end(v);
	CHECK_EQ(got[0] & 0xff, 0x14);
	CHECK_EQ(got[1], 0x77);
}

GUEST void off(void)
{
	wrmsr(0x1b, rdmsr(0x1b) & ~BIT(11));
	got[0] = lapic_read(0x30);
}

TEST(disabled_it_is_a_device_like_any_other)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, off, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, LAPIC + 0x30);
	answer(v, 0x99);
	guest_end(v);
	CHECK_EQ(got[0], 0x99);
}

/* Every register against values that have crashed other models. */
GUEST void storm(void)
{
	static const u32 val[] = { 0, 1, 0xff, 0x100, 0x8000, 0x10000, 0x700, 0xfffff,
				   0x80000000, 0xffffffff };
	u32 r, i;

	for (r = 0; r < 0x1000; r += 16) {
		for (i = 0; i < ARRAY_SIZE(val); i++) {
			/* Not the ICR: INIT and NMI to itself end the test. */
			if (r == 0x300)
				continue;
			lapic_write(r, val[i]);
			got[0] += lapic_read(r);
		}
	}
	lapic_write(0x380, 0);
	for (i = 0; i < 0x400; i += 3)
		got[0] += *(volatile u8 *)(LAPIC + i) + *(volatile u64 *)(LAPIC + (i & ~7));
	got[1] = 1;
}

TEST(any_value_in_any_register)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, storm, 0);
	while (step(v)->type == HALO_EXIT_EOI)
		answer(v, 0);
	CHECK_EQ(v->x.addr, PORT_DONE);
	CHECK_EQ(got[1], 1);
}

TEST(save_and_load)
{
	static struct halo_lapic_state s = { .size = sizeof(s) }, t = { .size = sizeof(t) };
	struct vcpu *v = vm_new()->cpu[0], *w = vm_new()->cpu[0];

	guest(v, extint_on, 0);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_LAPIC, &s));
	CHECK_EQ(*(u32 *)(s.regs + 0xf0), 0x1ff);
	CHECK_EQ(*(u32 *)(s.regs + 0x350), 0x700);
	CHECK(!ioctl(w->fd, HALO_VCPU_SET_LAPIC, &s));
	CHECK(!ioctl(w->fd, HALO_VCPU_GET_LAPIC, &t));
	CHECK(!memcmp(&s, &t, sizeof(s)));
}

TEST(load_of_noise_is_refused_or_harmless)
{
	static struct halo_lapic_state s = { .size = sizeof(s) };
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u32 i, j;

	for (i = 0; i < 200; i++) {
		srand(i);
		for (j = 0; j < sizeof(s.regs); j++)
			s.regs[j] = rand();
		ioctl(v->fd, HALO_VCPU_SET_LAPIC, &s);
		v->s->flags = HALO_RUN_IMMEDIATE_EXIT;
		CHECK_EQ(run(v), -EINTR);
	}
	v->s->flags = 0;
}
