// SPDX-License-Identifier: GPL-2.0
/* Several vCPUs: INIT and SIPI, IPIs, and state that must not mix. */
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include "hvm.h"

static volatile u64 ready, go, done, got[16], from[2];
static volatile u32 seen[2], turn[2];

/* The AP starts here, in real mode at 0x2000. */
extern const u8 ap_begin[], ap_end[];
asm(".pushsection .rodata\n.code16\nap_begin:\n"
    "mov %cs, %ax\n out %ax, $0x90\n"
    "1: mov %cs, %ax\n hlt\n jmp 1b\nap_end:\n.code64\n.popsection");

static void *ap_thread(void *arg)
{
	struct vcpu *v = arg;
	int err;

	do
		err = run(v);
	while (err == -EINTR);
	return (void *)(long)err;
}

GUEST void start_ap(void)
{
	lapic_write(0xf0, 0x1ff);
	lapic_write(0x310, 1u << 24);
	lapic_write(0x300, 0x4500);		/* INIT */
	lapic_write(0x300, 0x4602);		/* SIPI, page 2 */
	lapic_write(0x300, 0x4602);
}

TEST(init_sipi_starts_in_real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *ap = vcpu_new(vm, 1);
	struct halo_exit *x;
	pthread_t t;
	void *err;

	memcpy(vm->low + 0x2000, ap_begin, (size_t)(ap_end - ap_begin));
	ap->s->wanted = HALO_STATE_ALL;
	CHECK(!pthread_create(&t, NULL, ap_thread, ap));
	usleep(20000);
	CHECK_EQ(ap->exits->tail, 0);
	guest(vm->cpu[0], start_ap, 0);
	CHECK(!pthread_join(t, &err));
	CHECK_EQ((long)err, 0);
	x = (struct halo_exit *)((u8 *)ap->exits + ap->exits->entries_offset);
	CHECK_EQ(x->type, HALO_EXIT_PIO);
	CHECK_EQ(x->data, 0x200);
	CHECK_EQ(x->vcpu, 1);
	CHECK_EQ(ap->s->seg[HALO_SEG_CS].base, 0x2000);
	CHECK_EQ(ap->s->cr0 & CR0_PE, 0);
}

TEST(init_of_the_bootstrap_is_a_reset)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	mode_real(v, 0x100, 0x20);
	msi(vm, 0xfee00000, 0x4500);
	CHECK_EQ(step(v)->type, HALO_EXIT_RESET);
	state_get(v);
	CHECK_EQ(v->s->mp_state, HALO_MP_RUNNABLE);
	CHECK_EQ(v->s->rip, 0xfff0);
	CHECK_EQ(v->s->seg[HALO_SEG_CS].base, 0xffff0000);
	/* Who has a guest for that vector goes on. */
	answer(v, 0);
	CHECK_EQ(step(v)->rip, 0xfff0);
}

TEST(sipi_without_init_is_ignored)
{
	struct vm *vm = vm_new();
	struct vcpu *ap = vcpu_new(vm, 1);

	/* Through the MSI door: delivery mode 6 is no message. */
	msi(vm, 0xfee01000, 0x602);
	CHECK(!ioctl(ap->fd, HALO_VCPU_KICK, 0));
	CHECK_EQ(run(ap), -EINTR);
	state_get(ap);
	CHECK_EQ(ap->s->mp_state, HALO_MP_UNINITIALIZED);
}

static void pong(struct g_frame *f)
{
	u32 me = lapic_read(0x20) >> 24;

	seen[me & 1]++;
	lapic_write(0xb0, 0);
}

/*
 * In turns, 0 sends first.  The turn is told in memory, the interrupt only wakes: one
 * that comes twice (QEMU 7.2 can deliver what VMRUN injects again, when another of its
 * threads stops the CPU right then) changes nothing, one that is lost stops both.
 */
GUEST void ping(u64 n)
{
	u32 me = lapic_read(0x20) >> 24, mine = 0;

	g_handler[0x48] = pong;
	lapic_write(0xf0, 0x1ff);
	asm volatile("lock incq %0" : "+m"(ready));
	while (ready < 2)
		asm volatile("pause");
	while (n--) {
		if (me == 0) {
			turn[1]++;
			lapic_write(0x310, 1u << 24);
			lapic_write(0x300, 0x4048);
		}
		mine++;
		while (turn[me] < mine) {
			cli();
			if (turn[me] < mine)
				asm volatile("sti; hlt");
			sti();
		}
		if (me == 1) {
			turn[0]++;
			lapic_write(0x310, 0);
			lapic_write(0x300, 0x4048);
		}
	}
	cli();
}

TEST_SECONDS(ipi_ping_pong_with_hlt, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *ap = vcpu_new(vm, 1);
	pthread_t t;
	void *err;

	guest_begin(ap, ping, 500);
	ap->s->mp_state = HALO_MP_RUNNABLE;
	state_set(ap, HALO_STATE_MP);
	guest_begin(vm->cpu[0], ping, 500);
	CHECK(!pthread_create(&t, NULL, ap_thread, ap));
	guest_end(vm->cpu[0]);
	CHECK(!pthread_join(t, &err));
	CHECK_EQ((long)err, 0);
	CHECK_EQ(turn[0], 500);
	CHECK_EQ(turn[1], 500);
	CHECK(seen[0] && seen[1]);
}

/* In turns without HLT, on one CPU: each waits for one that can't run meanwhile. */
GUEST void spin_in_turns(u64 me)
{
	u32 n;

	for (n = 1; n <= 30; n++) {
		while (turn[me] < n)
			asm volatile("pause");
		turn[!me] += me == 0 || n < 30;
	}
}

static void *on_cpu_0(void *arg)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set));
	guest_end(arg);
	return NULL;
}

TEST_SECONDS(turns_on_one_cpu, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *ap = vcpu_new(vm, 1);
	struct timespec a, b;
	pthread_t t[2];
	u32 i;

	guest_begin(ap, spin_in_turns, 1);
	ap->s->mp_state = HALO_MP_RUNNABLE;
	state_set(ap, HALO_STATE_MP);
	guest_begin(vm->cpu[0], spin_in_turns, 0);
	turn[0] = 1;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, on_cpu_0, vm->cpu[i]));
	for (i = 0; i < 2; i++)
		CHECK(!pthread_join(t[i], NULL));
	clock_gettime(CLOCK_MONOTONIC, &b);
	CHECK_EQ(turn[1], 30);
	ktap_note("60 turns took %lld ms", (long long)((b.tv_sec - a.tv_sec) * 1000 +
						      (b.tv_nsec - a.tv_nsec) / 1000000));
}

static volatile bool kicking;

static void *kick_thread(void *arg)
{
	struct vcpu **v = arg;

	while (kicking) {
		ioctl(v[0]->fd, HALO_VCPU_KICK, 0);
		ioctl(v[1]->fd, HALO_VCPU_KICK, 0);
		usleep(20);
	}
	return NULL;
}

/* Exits for nothing, also between STI and HLT: the shadow there must outlive them. */
TEST_SECONDS(ipi_ping_pong_under_kicks, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *v[2] = { vm->cpu[0], vcpu_new(vm, 1) };
	pthread_t t, kicks;
	void *err;

	guest_begin(v[1], ping, 100);
	v[1]->s->mp_state = HALO_MP_RUNNABLE;
	state_set(v[1], HALO_STATE_MP);
	guest_begin(v[0], ping, 100);
	kicking = true;
	CHECK(!pthread_create(&kicks, NULL, kick_thread, v));
	CHECK(!pthread_create(&t, NULL, ap_thread, v[1]));
	guest_end(v[0]);
	CHECK(!pthread_join(t, &err));
	kicking = false;
	CHECK(!pthread_join(kicks, NULL));
	CHECK_EQ((long)err, 0);
	CHECK_EQ(turn[0], 100);
	CHECK_EQ(turn[1], 100);
	CHECK(seen[0] && seen[1]);
}

/* ---- vector registers ---- */

GUEST void own_vectors(u64 id)
{
	u64 i, bad = 0, a, b, want;

	for (i = 0; i < 2000; i++) {
		want = id << 32 | i;
		asm volatile("movq %2, %%xmm3; movq %2, %%xmm12; outb %%al, $0x80;"
			     "movq %%xmm3, %0; movq %%xmm12, %1"
			     : "=&r"(a), "=&r"(b) : "r"(want) : "xmm3", "xmm12");
		bad += a != want || b != want;
	}
	got[id] = bad;
}

static void *serve(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		step(v);
		if (v->x.addr != 0x80)
			break;
		answer(v, 0);
	}
	return NULL;
}

TEST_SECONDS(vector_registers_do_not_mix, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *ap = vcpu_new(vm, 1);
	pthread_t t[2];
	u32 i;

	guest_begin(ap, own_vectors, 1);
	ap->s->mp_state = HALO_MP_RUNNABLE;
	state_set(ap, HALO_STATE_MP);
	guest_begin(vm->cpu[0], own_vectors, 0);
	for (i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, serve, vm->cpu[i]));
	for (i = 0; i < 2; i++)
		CHECK(!pthread_join(t[i], NULL));
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], 0);
}

/* ---- one page, two writers, and a third that takes it away ---- */

static struct {
	volatile u64 n;
	u8 rest[4088];
} counter __attribute__((aligned(4096)));

GUEST void increment(u64 n)
{
	while (n--)
		asm volatile("lock incq %0" : "+m"(counter.n));
}

static void *to_end(void *arg)
{
	guest_end(arg);
	return NULL;
}

TEST_SECONDS(atomics_over_zaps, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *ap = vcpu_new(vm, 1);
	pthread_t t[2];
	u32 i;

	guest_begin(ap, increment, 200000);
	ap->s->mp_state = HALO_MP_RUNNABLE;
	state_set(ap, HALO_STATE_MP);
	guest_begin(vm->cpu[0], increment, 200000);
	for (i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, to_end, vm->cpu[i]));
	for (i = 0; i < 100; i++) {
		/* Zaps the mapping, keeps the page. */
		CHECK(!mprotect(&counter, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
		CHECK(!mprotect(&counter, PAGE, PROT_READ | PROT_WRITE));
		usleep(500);
	}
	for (i = 0; i < 2; i++)
		CHECK(!pthread_join(t[i], NULL));
	CHECK_EQ(counter.n, 400000);
}
