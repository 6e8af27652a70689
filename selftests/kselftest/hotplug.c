// SPDX-License-Identifier: GPL-2.0
/*
 * A host CPU goes away and comes back while vCPUs run on it.
 *
 * The test plugs CPU 1, so it needs two. A thread that is bound to a CPU that goes
 * is let loose by the host; it is bound again each time the CPU is back, so that
 * every turn moves a vCPU away and back again.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "hvm.h"

#define ONLINE	"/sys/devices/system/cpu/cpu1/online"

static volatile u64 count[4], ticks, wrong;

/* $HALO_CYCLES: as often as that. */
static u32 turns(void)
{
	const char *text = getenv("HALO_CYCLES");

	return text ? (u32)atoi(text) : ktap_slow() > 1 ? 20 : 25;
}

static void plug(bool on)
{
	int fd = open(ONLINE, O_WRONLY);

	if (fd < 0)
		ktap_skip("one CPU, or it cannot be unplugged");
	if (write(fd, on ? "1" : "0", 1) != 1)
		ktap_fail(__FILE__, __LINE__, "CPU 1 does not go %s: %s", on ? "on" : "off",
			  strerror(errno));
	close(fd);
}

/* A test that failed half-way must not leave other programs with one CPU. */
__attribute__((destructor)) static void plug_back(void)
{
	int fd = open(ONLINE, O_WRONLY);

	if (fd >= 0 && write(fd, "1", 1) == 1)
		close(fd);
}

static void bind_to(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(!sched_setaffinity(tid, sizeof(set), &set));
}

struct runner {
	struct vcpu *v;
	pthread_t thread;
	volatile pid_t tid;
	volatile u64 exits;
};

static void *runs(void *arg)
{
	struct runner *r = arg;

	r->tid = (pid_t)syscall(SYS_gettid);
	for (;;) {
		guest_until(r->v, HALO_EXIT_PIO);
		answer(r->v, r->exits++);
	}
	return NULL;
}

static void runner_start(struct runner *r, int cpu)
{
	CHECK(!pthread_create(&r->thread, NULL, runs, r));
	while (!r->tid)
		usleep(1000);
	bind_to(r->tid, cpu);
}

/* Every counter moves on. */
static void all_alive(const volatile u64 *counter, unsigned int n)
{
	unsigned int i, patience;

	for (i = 0; i < n; i++) {
		u64 seen = counter[i];

		for (patience = 0; counter[i] == seen && patience < 5000 * ktap_slow(); patience++)
			usleep(1000);
		if (counter[i] == seen)
			ktap_fail(__FILE__, __LINE__, "vCPU %u stands still at %llu", i,
				  (unsigned long long)seen);
	}
}

/* Vector registers and memory of its own, and an exit to userspace now and then. */
GUEST void work(u64 id)
{
	u64 a, b, want;

	for (;;) {
		want = id << 56 | count[id];
		asm volatile("movq %2, %%xmm3; movq %2, %%xmm12; mov $2000, %%ecx;"
			     "1: dec %%ecx; jnz 1b; movq %%xmm3, %0; movq %%xmm12, %1"
			     : "=&r"(a), "=&r"(b) : "r"(want) : "xmm3", "xmm12", "rcx");
		wrong += a != want || b != want;
		if (++count[id] % 64 == 0)
			outb(0x80, 0);
	}
}

TEST_SECONDS(vcpus_go_on_over_unplug, 120)
{
	struct runner r[2] = {};
	struct vm *vm = vm_new();
	u64 before;
	u32 i;

	plug(true);
	vcpu_new(vm, 1);
	for (i = 0; i < 2; i++) {
		r[i].v = vm->cpu[i];
		guest_begin(r[i].v, work, i);
		r[i].v->s->mp_state = HALO_MP_RUNNABLE;
		state_set(r[i].v, HALO_STATE_MP);
	}
	for (i = 0; i < 2; i++)
		runner_start(&r[i], (int)i);
	all_alive(count, 2);
	before = count[1];
	for (i = 0; i < turns(); i++) {
		plug(false);
		all_alive(count, 2);
		plug(true);
		bind_to(r[1].tid, 1);
		all_alive(count, 2);
	}
	ktap_note("%u turns: vCPU 1 went from %llu to %llu, exits %llu and %llu", turns(),
		  (unsigned long long)before, (unsigned long long)count[1],
		  (unsigned long long)r[0].exits, (unsigned long long)r[1].exits);
	CHECK_EQ(wrong, 0);
}

static void tick(struct g_frame *f)
{
	ticks++;
	lapic_write(0xb0, 0);
}

/* Asleep all the time; its timer is an hrtimer of the CPU that goes. */
GUEST void sleeper(void)
{
	g_handler[0x50] = tick;
	lapic_write(0xf0, 0x1ff);
	lapic_write(0x3e0, 0xb);		/* divide by 1 */
	lapic_write(0x320, 0x20050);		/* periodic */
	lapic_write(0x380, 5000000);
	for (;;)
		asm volatile("sti; hlt; cli");
}

TEST_SECONDS(timer_survives_its_cpu, 120)
{
	struct runner r = { .v = vm_new()->cpu[0] };
	u32 i;

	plug(true);
	guest_begin(r.v, sleeper, 0);
	runner_start(&r, 1);
	all_alive(&ticks, 1);
	for (i = 0; i < turns(); i++) {
		plug(false);
		all_alive(&ticks, 1);
		plug(true);
		bind_to(r.tid, 1);
		all_alive(&ticks, 1);
	}
	ktap_note("%u turns, %llu ticks", turns(), (unsigned long long)ticks);
}

GUEST void add(u64 n)
{
	count[2] += n;
}

/* A CPU that was off when the first VM came is ready for it when it comes. */
TEST_SECONDS(plugged_after_the_first_vm, 60)
{
	struct vm *vm;
	u32 i;

	plug(true);
	for (i = 0; i < 5; i++) {
		plug(false);
		vm = vm_new();
		guest(vm->cpu[0], add, 1);
		plug(true);
		bind_to(0, 1);
		CHECK_EQ(sched_getcpu(), 1);
		guest(vm->cpu[0], add, 1);
		vm_free(vm);
		bind_to(0, 0);
	}
	CHECK_EQ(count[2], 10);
}

/* The last VM goes while a CPU is off: that CPU comes back clean, and is used again. */
TEST_SECONDS(unplugged_under_the_last_vm, 60)
{
	struct vm *vm;
	u32 i;

	plug(true);
	for (i = 0; i < 5; i++) {
		vm = vm_new();
		bind_to(0, 1);
		guest(vm->cpu[0], add, 1);
		plug(false);
		vm_free(vm);
		plug(true);
		bind_to(0, 1);
		vm = vm_new();
		guest(vm->cpu[0], add, 1);
		vm_free(vm);
	}
	CHECK_EQ(count[2], 10);
}

static volatile int stop;

static void *plugger(void *arg)
{
	u32 i;

	for (i = 0; i < turns(); i++) {
		plug(false);
		plug(true);
	}
	stop = 1;
	return NULL;
}

/* The first VM and the last one race with the plug: both switch CPUs on and off. */
TEST_SECONDS(vms_come_and_go_over_unplug, 120)
{
	pthread_t t;
	u32 n = 0;

	plug(true);
	CHECK(!pthread_create(&t, NULL, plugger, NULL));
	while (!stop) {
		struct vm *vm = vm_new();

		guest(vm->cpu[0], add, 1);
		vm_free(vm);
		n++;
	}
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(count[2], n);
	ktap_note("%u VMs over %u turns", n, turns());
}
