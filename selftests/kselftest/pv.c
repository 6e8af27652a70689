// SPDX-License-Identifier: GPL-2.0
/* The interface of KVM's guests: steal time, EOI in memory, hypercalls between vCPUs. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "hvm.h"

#define MSR_STEAL	0x4b564d03
#define MSR_EOI		0x4b564d04

#define HC_KICK		5
#define HC_SEND_IPI	10
#define HC_YIELD	11

#define PREEMPTED	1
#define FLUSH_TLB	2

static volatile struct {
	u64 steal;
	u32 version, flags;
	u8 preempted, pad[3];
	u32 pad2[11];
} steal[2] __attribute__((aligned(64)));

static volatile u64 got[8], ready, seen[2], quiet;
static volatile u32 eoi_word;

static inline u64 hypercall(u64 nr, u64 a, u64 b, u64 c, u64 d)
{
	asm volatile("vmmcall" : "+a"(nr) : "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return nr;
}

/* CPUID without KVM's features @bits. */
static void hide(struct vcpu *v, u32 bits)
{
	static struct halo_cpuid_entry e[HALO_MAX_CPUID];
	struct halo_cpuid c = { .size = sizeof(c), .count = HALO_MAX_CPUID, .entries = (u64)e };
	u32 i;

	CHECK(!ioctl(v->fd, HALO_VCPU_GET_CPUID, &c));
	for (i = 0; i < c.count; i++)
		if (e[i].leaf == 0x40000001)
			e[i].eax &= ~bits;
	CHECK(!ioctl(v->fd, HALO_VCPU_SET_CPUID, &c));
}

static void *to_end(void *arg)
{
	guest_end(arg);
	return NULL;
}

static struct vcpu *second(struct vm *vm, const void *fn, u64 arg)
{
	struct vcpu *ap = vcpu_new(vm, 1);

	guest_begin(ap, fn, arg);
	ap->s->mp_state = HALO_MP_RUNNABLE;
	state_set(ap, HALO_STATE_MP);
	return ap;
}

/* ---- MSRs ---- */

GUEST void write_steal_and_eoi(void)
{
	got[0] = TRY("wrmsr", : : "c"(MSR_STEAL), "a"((u32)(u64)&steal | 1), "d"(0));
	got[1] = rdmsr(MSR_STEAL);
	got[2] = TRY("wrmsr", : : "c"(MSR_STEAL), "a"((u32)(u64)&steal | 3), "d"(0));
	got[3] = TRY("wrmsr", : : "c"(MSR_EOI), "a"((u32)(u64)&eoi_word | 1), "d"(0));
	got[4] = rdmsr(MSR_EOI);
	got[5] = TRY("wrmsr", : : "c"(MSR_EOI), "a"((u32)(u64)&eoi_word | 2), "d"(0));
}

TEST(msrs_refuse_reserved_bits)
{
	guest(vm_new()->cpu[0], write_steal_and_eoi, 0);
	CHECK_EQ((int)got[0], -1);
	CHECK_EQ(got[1], (u64)&steal | 1);
	CHECK_EQ(got[2], 13);
	CHECK_EQ((int)got[3], -1);
	CHECK_EQ(got[4], (u64)&eoi_word | 1);
	CHECK_EQ(got[5], 13);
}

GUEST void hidden(void)
{
	got[0] = TRY("wrmsr", : : "c"(MSR_STEAL), "a"(0), "d"(0));
	got[1] = TRY("wrmsr", : : "c"(MSR_EOI), "a"(0), "d"(0));
	got[2] = hypercall(HC_KICK, 0, 0, 0, 0);
	got[3] = hypercall(HC_SEND_IPI, 1, 0, 0, 0x40);
	got[4] = hypercall(HC_YIELD, 0, 0, 0, 0);
	got[5] = hypercall(9, 0, 0, 0, 0);
}

TEST(what_is_not_shown_is_not_there)
{
	struct vm *vm = vm_new();

	hide(vm->cpu[0], BIT(5) | BIT(6) | BIT(7) | BIT(11) | BIT(13));
	guest(vm->cpu[0], hidden, 0);
	CHECK_EQ(got[0], 13);
	CHECK_EQ(got[1], 13);
	CHECK_EQ(got[2], -1000ull);
	CHECK_EQ(got[3], -1000ull);
	CHECK_EQ(got[4], -1000ull);
	CHECK_EQ(got[5], -1000ull);
}

GUEST void record_nowhere(void)
{
	wrmsr(MSR_STEAL, 0x7ffffffc0 | 1);
	wrmsr(MSR_EOI, 0x7ffffff00 | 1);
	got[0] = 1;
}

TEST(a_record_without_memory_hurts_nobody)
{
	guest(vm_new()->cpu[0], record_nowhere, 0);
	CHECK_EQ(got[0], 1);
}

/* ---- the VM's time ---- */

static volatile struct g_clock record;

static inline u64 guest_time(void)
{
	return record.ns + g_clock_ns(&record, rdtsc() - record.tsc);
}

GUEST void tell_time(void)
{
	wrmsr(0x4b564d01, (u64)&record | 1);
	got[0] = guest_time();
	outb(0x80, 0);
	got[1] = guest_time();
	got[2] = record.flags;
	wrmsr(0x10, 0x123456789abc);		/* its TSC; time goes on */
	got[3] = guest_time();
	outb(0x80, 0);
	got[4] = guest_time();
}

static struct halo_clock clock_get(struct vm *vm)
{
	struct halo_clock c = { .size = sizeof(c) };

	CHECK(!ioctl(vm->fd, HALO_VM_GET_CLOCK, &c));
	CHECK_EQ(c.size, sizeof(c));
	return c;
}

static int clock_set(struct vm *vm, u32 flags, u64 ns, u64 real)
{
	struct halo_clock c = { .size = sizeof(c), .flags = flags, .clock_ns = ns,
				.realtime_ns = real };

	return ioctl(vm->fd, HALO_VM_SET_CLOCK, &c);
}

TEST(time_is_told_and_set)
{
	const u64 year = 31536000000000000ull, second_ns = 1000000000;
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_clock a, b;
	struct timespec t;

	a = clock_get(vm);
	usleep(50000);
	b = clock_get(vm);
	clock_gettime(CLOCK_REALTIME, &t);
	CHECK(b.clock_ns - a.clock_ns >= 49000000 && b.tsc > a.tsc);
	CHECK(b.boottime_ns - a.boottime_ns >= 50000000);
	CHECK(t.tv_sec * second_ns + t.tv_nsec - b.realtime_ns < 5 * second_ns);

	guest_begin(v, tell_time, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK(!clock_set(vm, HALO_CLOCK_STOPPED, year, 0));
	answer(v, 0);
	guest_until(v, HALO_EXIT_PIO);
	a = clock_get(vm);
	CHECK(got[0] >= b.clock_ns && got[0] < b.clock_ns + 60 * second_ns);
	CHECK(got[1] >= year && got[1] < year + 60 * second_ns);
	CHECK_EQ(got[2], 3);
	CHECK(got[3] > got[1] && got[3] <= a.clock_ns);
	/* What is given back goes on where it was, by the real time that has passed. */
	CHECK(!clock_set(vm, HALO_CLOCK_REALTIME, b.clock_ns, b.realtime_ns));
	answer(v, 0);
	guest_end(v);
	CHECK(got[4] > got[0] && got[4] < got[0] + 60 * second_ns);
}

TEST(times_that_can_not_be)
{
	struct vm *vm = vm_new();
	struct halo_clock c = clock_get(vm);

	CHECK_ERRNO(clock_set(vm, 4, 0, 0), EINVAL);
	CHECK_ERRNO(clock_set(vm, 0, 0, 1), EINVAL);
	CHECK_ERRNO(clock_set(vm, 0, 1ull << 63, 0), EINVAL);
	CHECK_ERRNO(clock_set(vm, HALO_CLOCK_REALTIME, 0, c.realtime_ns * 2), EINVAL);
	CHECK_ERRNO(ioctl(vm->fd, HALO_VM_SET_CLOCK, &c), EINVAL);
	CHECK(!clock_set(vm, 0, 0, 0));
}

/* ---- steal time ---- */

/* Looks at its own record for some ticks of its TSC: it runs, so it is not preempted. */
GUEST void busy(u64 ticks)
{
	u64 end;

	wrmsr(MSR_STEAL, (u64)&steal[0] | 1);
	end = rdtsc() + ticks;
	while (rdtsc() < end) {
		if (steal[0].preempted)
			got[0]++;
		got[2]++;
	}
	got[1] = 1;
}

static u64 run_delay(void)
{
	unsigned long long ran, waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	if (!f || fscanf(f, "%llu %llu", &ran, &waited) != 2)
		ktap_skip("the host tells no run delay");
	fclose(f);
	return waited;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
}

static u64 flushes(struct vcpu *v)
{
	struct halo_vcpu_stats s = { .size = sizeof(s) };

	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &s));
	return s.tlb_flushes;
}

static volatile bool watch;
static volatile u64 was_preempted, asked;

/*
 * As another vCPU that wants a flush: it needs no answer from one that does not run.
 * If a thread loses its CPU twice before it gets into the guest one flush is enough for
 * both, so the next is asked for when the guest has gone on.
 */
static void *watcher(void *arg)
{
	volatile u64 *turns = &got[2];
	u64 seen = -1;

	while (watch) {
		u8 was = PREEMPTED;

		if (steal[0].preempted & PREEMPTED)
			was_preempted++;
		if (*turns != seen &&
		    __atomic_compare_exchange_n(&steal[0].preempted, &was, PREEMPTED | FLUSH_TLB,
						false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			seen = *turns;
			asked++;
		}
		usleep(500);
	}
	return NULL;
}

TEST_SECONDS(steal_time_is_time_waited, 60)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_TSC_KHZ };
	struct vm *vm = vm_new();
	u64 before, waited, n;
	pthread_t t;
	pid_t hog;

	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	watch = true;
	CHECK(!pthread_create(&t, NULL, watcher, NULL));
	pin(0);
	hog = fork();
	if (!hog)
		for (;;)
			;
	n = flushes(vm->cpu[0]);
	before = run_delay();
	guest(vm->cpu[0], busy, 600 * q.value);
	waited = run_delay() - before;
	kill(hog, SIGKILL);
	waitpid(hog, NULL, 0);
	watch = false;
	CHECK(!pthread_join(t, NULL));
	ktap_note("waited %llu us, told of %llu us; seen preempted %llu times",
		  (unsigned long long)waited / 1000, (unsigned long long)steal[0].steal / 1000,
		  (unsigned long long)was_preempted);
	CHECK_EQ(got[1], 1);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(steal[0].version & 1, 0);
	CHECK(steal[0].steal > waited / 2 && steal[0].steal <= waited);
	CHECK(waited > 100000000);
	CHECK(was_preempted);
	ktap_note("%llu flushes for %llu asked for", (unsigned long long)(flushes(vm->cpu[0]) - n),
		  (unsigned long long)asked);
	CHECK(asked && flushes(vm->cpu[0]) - n >= asked);
}

GUEST void ask_for_flush(u64 n)
{
	while (n--) {
		steal[0].preempted = PREEMPTED | FLUSH_TLB;
		wrmsr(MSR_STEAL, (u64)&steal[0] | 1);
		if (steal[0].preempted)
			got[0]++;
	}
}

static u64 switches(void)
{
	struct rusage r;

	CHECK(!getrusage(RUSAGE_THREAD, &r));
	return r.ru_nvcsw + r.ru_nivcsw;
}

/* If the thread loses its CPU between the guest's two steps, the first is written over. */
TEST(a_flush_left_in_the_record_is_done)
{
	struct vm *vm = vm_new();
	u64 n, lost;

	guest(vm->cpu[0], ask_for_flush, 1);
	lost = switches();
	n = flushes(vm->cpu[0]);
	guest(vm->cpu[0], ask_for_flush, 500);
	lost = switches() - lost;
	CHECK_EQ(got[0], 0);
	CHECK(lost < 250);
	CHECK(flushes(vm->cpu[0]) - n + lost >= 500);
}

/* ---- EOI ---- */

static void on_interrupt(struct g_frame *f)
{
	u32 was = 1;

	seen[0]++;
	asm volatile("xchg %0, %1" : "+r"(was), "+m"(eoi_word) : : "memory");
	asm volatile("lock andl $0, %0" : "+m"(eoi_word));
	if (was & 1)
		quiet++;
	else
		lapic_write(0xb0, 0);
}

GUEST void self_interrupts(u64 n)
{
	g_handler[0x51] = on_interrupt;
	lapic_write(0xf0, 0x1ff);
	wrmsr(MSR_EOI, (u64)&eoi_word | 1);
	sti();
	while (n--) {
		lapic_write(0x300, 0x44051);	/* self */
		nop();
	}
	cli();
	for (n = 0; n < 8; n++)
		got[n] = lapic_read(0x100 + n * 16);
}

TEST(eoi_in_memory)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_VIRT_INTR };
	struct vm *vm = vm_new();
	u32 i;

	guest(vm->cpu[0], self_interrupts, 100);
	CHECK_EQ(seen[0], 100);
	for (i = 0; i < 8; i++)
		CHECK_EQ(got[i], 0);
	ktap_note("%llu of 100 EOIs in memory", (unsigned long long)quiet);
	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	/* A CPU that delivers interrupts itself ends them itself, too. */
	if (q.value)
		CHECK_EQ(quiet, 0);
	else
		CHECK(quiet >= 90);
}

GUEST void level_interrupt(void)
{
	g_handler[0x51] = on_interrupt;
	lapic_write(0xf0, 0x1ff);
	wrmsr(MSR_EOI, (u64)&eoi_word | 1);
	outb(0x80, 0);
	sti();
	nop();
	cli();
}

TEST(a_level_interrupt_has_a_real_eoi)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_exit *x;

	guest_begin(v, level_interrupt, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(msi(vm, 0xfee00000, 0xc051), 1);
	answer(v, 0);
	x = guest_until(v, HALO_EXIT_EOI);
	CHECK_EQ(x->data, 0x51);
	answer(v, 0);
	guest_end(v);
	CHECK_EQ(seen[0], 1);
	CHECK_EQ(quiet, 0);
}

/* ---- hypercalls ---- */

static void on_ipi(struct g_frame *f)
{
	seen[lapic_read(0x20) >> 24 & 1]++;
	lapic_write(0xb0, 0);
}

GUEST void receiver(void)
{
	g_handler[0x61] = on_ipi;
	lapic_write(0xf0, 0x1ff);
	asm volatile("lock incq %0" : "+m"(ready));
	while (seen[1] < 2) {
		cli();
		if (seen[1] < 2)
			asm volatile("sti; hlt");
		sti();
	}
	cli();
}

GUEST void sender(void)
{
	g_handler[0x61] = on_ipi;
	lapic_write(0xf0, 0x1ff);
	while (!ready)
		asm volatile("pause");
	got[0] = hypercall(HC_SEND_IPI, 3, 0, 0, 0x61);		/* both */
	while (seen[1] < 1)
		asm volatile("pause");
	got[1] = hypercall(HC_SEND_IPI, 1, 0, 1, 0x61);		/* from APIC ID 1 on */
	got[2] = hypercall(HC_SEND_IPI, 0xfc, 0, 0, 0x61);	/* nobody */
	got[3] = hypercall(HC_SEND_IPI, ~0ull, ~0ull, ~0ull, 0x61);
	got[4] = hypercall(HC_SEND_IPI, 1, 0, 0, 0x40061);	/* a shorthand */
	got[5] = hypercall(HC_SEND_IPI, 1, 0, 0, 0x561);	/* INIT */
	sti();
	nop();
	cli();
}

TEST(send_ipi)
{
	struct vm *vm = vm_new();
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, to_end, second(vm, receiver, 0)));
	guest(vm->cpu[0], sender, 0);
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(got[0], 2);
	CHECK_EQ(got[1], 1);
	CHECK_EQ(got[2], 0);
	CHECK_EQ(got[3], 0);
	CHECK_EQ(got[4], -22ull);
	CHECK_EQ(got[5], -22ull);
	CHECK_EQ(seen[0], 1);
	CHECK_EQ(seen[1], 2);
}

/* HLT with interrupts off: what a lock's waiter does. */
GUEST void waiter(u64 n)
{
	while (n--) {
		asm volatile("lock incq %0" : "+m"(ready));
		asm volatile("hlt");
		asm volatile("lock incq %0" : "+m"(seen[1]));
	}
}

/* Kicks it once per round, at any moment between two of its HLTs: none is lost. */
GUEST void kicker(u64 n)
{
	u64 i;

	for (i = 1; i <= n; i++) {
		while (ready < i)
			asm volatile("pause");
		hypercall(HC_KICK, 0, 1, 0, 0);
		while (seen[1] < i)
			asm volatile("pause");
	}
	got[0] = hypercall(HC_KICK, 0, 77, 0, 0);
	got[1] = hypercall(HC_YIELD, 1, 0, 0, 0);
	got[2] = hypercall(HC_YIELD, ~0ull, 0, 0, 0);
}

TEST_SECONDS(kick_ends_a_halt, 60)
{
	struct vm *vm = vm_new();
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, to_end, second(vm, waiter, 500)));
	guest(vm->cpu[0], kicker, 500);
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(seen[1], 500);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], 0);
	CHECK_EQ(got[2], 0);
}

/* ---- two vCPUs, one CPU ---- */

GUEST void ball(u64 n)
{
	u64 me = n & 1, end = n >> 1, at;

	/* One look a round: between two the other one may have played its last. */
	while ((at = seen[0]) < end) {
		if ((at & 1) == me)
			seen[0] = at + 1;
		else
			asm volatile("pause");
	}
}

static u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

/* How long it takes; @spins: exits that can only be for PAUSE. */
static u64 game(bool help, u64 *spins)
{
	struct halo_vcpu_stats st = { .size = sizeof(st) };
	struct vm *vm = vm_new();
	u64 start = now_us();
	pthread_t t;
	FILE *f = fopen("/sys/module/halo/parameters/directed_yield", "w");

	CHECK(f && fprintf(f, "%d", help) > 0 && !fclose(f));
	seen[0] = 0;
	CHECK(!pthread_create(&t, NULL, to_end, second(vm, ball, 100 << 1 | 1)));
	guest(vm->cpu[0], ball, 100 << 1);
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(seen[0], 100);
	start = now_us() - start;
	CHECK(!ioctl(vm->cpu[0]->fd, HALO_VCPU_GET_STATS, &st));
	*spins = st.exits - st.intr - st.faults - st.pio - st.mmio - st.cpuid - st.msr - st.hlt;
	vm_free(vm);
	return start;
}

/* Who spins in its kernel gives its CPU to the one that it spins for. */
TEST_SECONDS(a_spinner_gives_its_cpu_away, 60)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_PAUSE_LOOP };
	struct halo_cap_query b = { .size = sizeof(b), .cap = HALO_CAP_BACKEND };
	u64 alone, helped, spins;

	CHECK(!ioctl(vm_new()->dev, HALO_GET_CAP, &q));
	if (!q.value)
		ktap_skip("%s", q.text);
	pin(0);
	alone = game(false, &spins);
	helped = game(true, &spins);
	ktap_note("100 turns took %llu us, without help %llu us; %llu spins seen",
		  (unsigned long long)helped, (unsigned long long)alone, (unsigned long long)spins);
	CHECK(spins >= 25);
	/* Told by a number of PAUSEs, 3,000, and not by time: too late to be of use to a slow CPU. */
	CHECK(!ioctl(vm_new()->dev, HALO_GET_CAP, &b));
	if (b.value == HALO_BACKEND_SVM && helped / 100 > 1000)
		ktap_skip("3,000 PAUSEs take this CPU about as long as a thread has");
	CHECK(helped < alone / 2);
}
