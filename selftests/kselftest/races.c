// SPDX-License-Identifier: GPL-2.0
/*
 * What may happen at any moment, and does: vCPUs that come and go, INIT and SIPI, kicks
 * and signals, SIGKILL, and CPUs unplugged, all while vCPUs talk to each other.
 *
 * Nothing is told in advance of who meets whom; what is looked at is that nothing is
 * lost, that all go on, and (by the lab) what the kernel's detectors say. Each case takes
 * its share of a quick run; for the long one set $HALO_LIVES (processes killed),
 * $HALO_CYCLES (unplugs) and $HALO_STORMS (the rest, as a factor), with $KTAP_SECONDS.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "hvm.h"

#define TALKERS	4

static volatile u64 said[TALKERS], heard[TALKERS], eintr[TALKERS];
static volatile bool stop;

static u32 times(const char *name, u32 quick, u32 debug)
{
	const char *text = getenv(name);

	return text ? (u32)atoi(text) : ktap_slow() > 1 ? debug : quick;
}

static u32 storms(u32 quick)
{
	return quick * times("HALO_STORMS", 4, 1);
}

/* ---- vCPUs that talk ---- */

static void hear(struct g_frame *f)
{
	heard[lapic_read(0x20) >> 24]++;
	lapic_write(0xb0, 0);
}

/* An IPI to one or to all others, an exit, a sleep, a fault: in an order of its own. */
GUEST void talk(u64 me)
{
	u32 seed = (u32)(me + 1) * 2654435761u, to, r[4];

	g_handler[0x60] = hear;
	lapic_write(0xf0, 0x1ff);
	lapic_write(0x3e0, 0xb);
	lapic_write(0x320, 0x20060);		/* so that a sleep ends by itself, too */
	lapic_write(0x380, 3000000);
	for (;;) {
		seed = seed * 1664525u + 1013904223u;
		to = seed >> 8 & (TALKERS - 1);
		switch (seed >> 28) {
		case 0:
			outb(0x80, 0);
			break;
		case 1:
		case 2:
			asm volatile("sti; hlt; cli");
			break;
		case 3:
			lapic_write(0x300, 0xc4060);	/* all others */
			break;
		case 4:
			cpuid(0, 0, r);
			break;
		case 5:
			*(volatile u64 *)(LOW_FREE + (seed >> 8 & 0xff) * PAGE) += me;
			break;
		default:
			lapic_write(0x310, to << 24);
			lapic_write(0x300, 0x4060);
			asm volatile("sti; nop; cli");
		}
		said[me]++;
	}
}

static void *talker(void *arg)
{
	struct vcpu *v = arg;

	while (!stop) {
		int err = run(v);

		if (err == -EINTR) {
			eintr[v->id]++;
			continue;
		}
		if (err)
			ktap_fail(__FILE__, __LINE__, "vCPU %u: RUN: %s", v->id, strerror(-err));
		take_exit(v, HALO_EXIT_PIO);
		answer(v, 0);
	}
	return NULL;
}

struct party {
	struct vm *vm;
	pthread_t t[TALKERS];
};

static void begin(struct party *p)
{
	u32 i;

	p->vm = vm_new();
	for (i = 0; i < TALKERS; i++) {
		struct vcpu *v = i ? vcpu_new(p->vm, i) : p->vm->cpu[0];

		guest_begin(v, talk, i);
		v->s->mp_state = HALO_MP_RUNNABLE;
		state_set(v, HALO_STATE_MP);
	}
	stop = false;
	for (i = 0; i < TALKERS; i++)
		CHECK(!pthread_create(&p->t[i], NULL, talker, p->vm->cpu[i]));
}

/* All of them do something more, and hear of somebody. */
static void go_on(void)
{
	u64 was[2 * TALKERS];
	u32 i, patience, still = 0;

	for (i = 0; i < TALKERS; i++) {
		was[i] = said[i];
		was[TALKERS + i] = heard[i];
	}
	for (patience = 0; patience < 10000 * ktap_slow(); patience++) {
		for (still = i = 0; i < TALKERS; i++)
			still += said[i] == was[i] || heard[i] == was[TALKERS + i];
		if (!still)
			return;
		usleep(1000);
	}
	for (i = 0; i < TALKERS; i++)
		ktap_note("vCPU %u: said %llu, %llu before; heard %llu, %llu before", i,
			  (unsigned long long)said[i], (unsigned long long)was[i],
			  (unsigned long long)heard[i], (unsigned long long)was[TALKERS + i]);
	ktap_fail(__FILE__, __LINE__, "%u vCPUs do not go on", still);
}

static void end(struct party *p)
{
	u32 i;

	stop = true;
	for (i = 0; i < TALKERS; i++)
		CHECK(!ioctl(p->vm->cpu[i]->fd, HALO_VCPU_KICK, 0));
	for (i = 0; i < TALKERS; i++)
		CHECK(!pthread_join(p->t[i], NULL));
	vm_free(p->vm);
}

/* ---- vCPUs come and go ---- */

static void one_more(struct vm *vm, u32 id)
{
	struct halo_vcpu_layout l = { .size = sizeof(l) };
	int fd = vcpu_fd_new(vm->fd, id);
	struct halo_state *s;

	CHECK(fd >= 0);
	CHECK(!ioctl(fd, HALO_VCPU_GET_LAYOUT, &l));
	s = mmap(NULL, l.state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, l.state_offset);
	CHECK(s != MAP_FAILED);
	/* Its INIT, and a turn of its own that a kick ends, while the others send to all. */
	CHECK(msi(vm, 0xfee00000 | id << 12, 0x4500) >= 0);
	CHECK(!ioctl(fd, HALO_VCPU_KICK, 0));
	CHECK_ERRNO(ioctl(fd, HALO_VCPU_RUN, 0), EINTR);
	s->wanted = HALO_STATE_ALL;
	CHECK(!ioctl(fd, HALO_VCPU_GET_STATE, 0));
	if (id & 1)
		CHECK(!munmap(s, l.state_bytes));
	CHECK(!close(fd));
	if (!(id & 1))
		CHECK(!munmap(s, l.state_bytes));
}

TEST_SECONDS(vcpus_come_while_others_talk, 120)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_MAX_VCPUS };
	u32 i, id, n = storms(3);
	struct party p;

	for (i = 0; i < n; i++) {
		begin(&p);
		CHECK(!ioctl(p.vm->dev, HALO_GET_CAP, &q));
		for (id = TALKERS; id < q.value; id++)
			one_more(p.vm, id);
		go_on();
		end(&p);
	}
	ktap_note("%u VMs of %llu vCPUs", n, (unsigned long long)q.value);
}

static void *vms(void *arg)
{
	u32 *n = arg;

	for (; !stop; ++*n) {
		struct vm *vm = vm_new();

		one_more(vm, 7);
		vm_free(vm);
	}
	return NULL;
}

TEST_SECONDS(vms_come_and_go_beside_talkers, 120)
{
	u32 i, n[2] = {}, seconds = storms(2);
	pthread_t t[2];
	struct party p;

	begin(&p);
	for (i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, vms, &n[i]));
	for (i = 0; i < seconds; i++) {
		sleep(1);
		go_on();
	}
	end(&p);
	for (i = 0; i < 2; i++)
		CHECK(!pthread_join(t[i], NULL));
	CHECK(n[0] && n[1]);
	ktap_note("%u VMs beside it", n[0] + n[1]);
}

/* ---- INIT and SIPI ---- */

/* Three ways to be hit: in a loop, asleep, and on the way to userspace. */
extern const u8 storm_spin[], storm_sleep[], storm_exit[], storm_end[];
asm(".pushsection .rodata\n.code16\n"
    "storm_spin: lock incw 0x600\n jmp storm_spin\n"
    "storm_sleep: lock incw 0x602\n sti\n 1: hlt\n jmp 1b\n"
    "storm_exit: out %al, $0x80\n jmp storm_exit\n"
    "storm_end: .code64\n.popsection");

GUEST void storm(u64 n)
{
	u32 seed = 1, i, to;

	lapic_write(0xf0, 0x1ff);
	for (i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		to = 1 + (seed >> 8) % (TALKERS - 1);
		lapic_write(0x310, to << 24);
		if (seed >> 28 == 0)
			lapic_write(0x300, 0xc4500);	/* INIT to all others */
		else if (seed >> 28 < 12)
			lapic_write(0x300, 0x4500);
		for (to = seed >> 12 & 0x3f; to; to--)
			asm volatile("pause");
		lapic_write(0x300, (seed >> 28 & 1 ? 0xc4600 : 0x4600) | (2 + (seed >> 20) % 3));
	}
	/* Now all of them, to where they say it. */
	lapic_write(0x300, 0xc4500);
	lapic_write(0x300, 0xc4605);
	lapic_write(0x300, 0xc4605);
}

static void *stormed(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		guest_until(v, HALO_EXIT_PIO);
		if (v->x.addr == 0x81)
			return NULL;
		heard[v->id]++;
		answer(v, 0);
	}
}

static void *inits(void *arg)
{
	struct vm *vm = arg;
	u32 i;

	for (i = 0; !stop; i++) {
		CHECK(msi(vm, 0xfee00000 | (1 + i % (TALKERS - 1)) << 12, 0x4500) >= 0);
		CHECK(!ioctl(vm->cpu[i % TALKERS]->fd, HALO_VCPU_KICK, 0));
		usleep((useconds_t)rand() % 200);
	}
	return NULL;
}

TEST_SECONDS(init_sipi_storm, 120)
{
	static const u8 last[] = { 0xe6, 0x81, 0xf4 };	/* out %al, $0x81; hlt */
	pthread_t t[TALKERS], sender;
	struct vm *vm = vm_new();
	u32 i, n = storms(2000);

	memcpy(vm->low + 0x2000, storm_spin, (size_t)(storm_sleep - storm_spin));
	memcpy(vm->low + 0x3000, storm_sleep, (size_t)(storm_exit - storm_sleep));
	memcpy(vm->low + 0x4000, storm_exit, (size_t)(storm_end - storm_exit));
	memcpy(vm->low + 0x5000, last, sizeof(last));
	for (i = 1; i < TALKERS; i++) {
		vcpu_new(vm, i);
		CHECK(!pthread_create(&t[i], NULL, stormed, vm->cpu[i]));
	}
	CHECK(!pthread_create(&sender, NULL, inits, vm));
	guest(vm->cpu[0], storm, n / 2);
	/* The last INITs and SIPIs must be the guest's. */
	stop = true;
	CHECK(!pthread_join(sender, NULL));
	guest(vm->cpu[0], storm, n / 2);
	for (i = 1; i < TALKERS; i++)
		CHECK(!pthread_join(t[i], NULL));
	ktap_note("%u SIPIs: %u starts to spin, %u to sleep; exits of APs %llu", n,
		  *(u16 *)(vm->low + 0x600), *(u16 *)(vm->low + 0x602),
		  (unsigned long long)(heard[1] + heard[2] + heard[3]));
	CHECK(*(u16 *)(vm->low + 0x602) && heard[1] && heard[2] && heard[3]);
}

/* ---- kicks and signals ---- */

GUEST void exits_all_the_time(u64 me)
{
	u32 r[4];

	for (;;)
		switch (me) {
		case 0:
			cpuid(0, 0, r);
			break;
		case 1:
			outb(0x80, 0);
			break;
		case 2:
			asm volatile("cli; hlt");
			break;
		}
}

static void nothing(int sig)
{
}

/* In the guest, at an exit, in HLT and before SIPI: each kick ends a RUN, each signal, too. */
TEST_SECONDS(no_kick_and_no_signal_is_lost, 120)
{
	struct sigaction act = { .sa_handler = nothing };
	u32 i, turn, patience, n = storms(400);
	struct vm *vm = vm_new();
	pthread_t t[TALKERS];

	CHECK(!sigaction(SIGUSR1, &act, NULL));
	for (i = 0; i < TALKERS; i++) {
		struct vcpu *v = i ? vcpu_new(vm, i) : vm->cpu[0];

		if (i < 3) {
			guest_begin(v, exits_all_the_time, i);
			v->s->mp_state = HALO_MP_RUNNABLE;
			state_set(v, HALO_STATE_MP);
		}
		CHECK(!pthread_create(&t[i], NULL, talker, v));
	}
	for (turn = 0; turn < n; turn++) {
		struct vcpu *v = vm->cpu[turn % TALKERS];
		u64 before = eintr[v->id];

		/* vCPU 1 is in userspace half of the time, where a signal ends nothing. */
		if (v->id == 1 || rand() & 1)
			CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
		else
			CHECK(!pthread_kill(t[v->id], SIGUSR1));
		for (patience = 0; eintr[v->id] == before; patience++) {
			if (patience < 1000)
				sched_yield();
			else
				usleep(1000);
			if (patience > 6000 * ktap_slow())
				ktap_fail(__FILE__, __LINE__, "turn %u, vCPU %u: a kick is lost",
					  turn, v->id);
		}
		for (i = (u32)rand() % 2000; i; i--)
			asm volatile("pause");
	}
	stop = true;
	for (i = 0; i < TALKERS; i++) {
		CHECK(!ioctl(vm->cpu[i]->fd, HALO_VCPU_KICK, 0));
		CHECK(!pthread_join(t[i], NULL));
	}
	ktap_note("%u kicks and signals", n);
}

/* ---- SIGKILL, and unplugged CPUs ---- */

static void one_party(u32 i)
{
	pid_t pid = fork();
	struct party p;
	int status;

	if (!pid) {
		begin(&p);
		if (i & 1)
			vms(&i);
		for (;;)
			pause();
	}
	usleep((useconds_t)rand() % (30000 * ktap_slow()));
	CHECK(!kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		ktap_fail(__FILE__, __LINE__, "life %u ended by itself: %#x", i, status);
}

/* What is left of it shows in the test "life", and to kmemleak. */
TEST_SECONDS(killed_while_they_talk, 300)
{
	u32 i, n = times("HALO_LIVES", 200, 50);

	for (i = 0; i < n; i++)
		one_party(i);
	ktap_note("%u processes of %u vCPUs killed", n, TALKERS);
}

static bool plug(const char *on)
{
	int fd = open("/sys/devices/system/cpu/cpu1/online", O_WRONLY);
	bool done = fd >= 0 && write(fd, on, 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

/* A test that failed half-way must not leave other programs with one CPU. */
__attribute__((destructor)) static void plug_back(void)
{
	plug("1");
}

TEST_SECONDS(unplugged_while_they_talk, 200)
{
	u32 i, n = times("HALO_CYCLES", 20, 10), beside = 0;
	struct party p;
	pthread_t t;

	if (!plug("1"))
		ktap_skip("one CPU, or it cannot be unplugged");
	begin(&p);
	CHECK(!pthread_create(&t, NULL, vms, &beside));
	for (i = 0; i < n; i++) {
		CHECK(plug("0"));
		go_on();
		CHECK(plug("1"));
		go_on();
	}
	end(&p);
	CHECK(!pthread_join(t, NULL));
	ktap_note("%u times; %u VMs came and went meanwhile", n, beside);
}
