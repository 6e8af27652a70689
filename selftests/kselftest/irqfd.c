// SPDX-License-Identifier: GPL-2.0
/* irqfds: eventfds whose signals are interrupts, edges and levels, and their end. */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include "hvm.h"

#define MSI0	0xfee00000ull
#define LEVEL	0xc000u		/* of a message: level-triggered, asserted */
#define PORT	0x300

static volatile u64 seen, stop;

static void count(struct g_frame *f)
{
	seen++;
	lapic_write(0xb0, 0);
}

GUEST void wait_for(u64 n)
{
	g_handler[0x51] = count;
	g_handler[0x52] = count;
	lapic_write(0xf0, 0x1ff);
	outb(PORT, 1);
	/* With IF clear, or what comes between the look and the HLT is slept over. */
	while (seen < n && !stop)
		asm volatile("sti; hlt; cli");
}

static int set(struct vm *vm, u32 flags, int event, int resample, u64 addr, u32 data)
{
	struct halo_irqfd f = {
		.size = sizeof(f), .flags = flags, .eventfd = event, .resample = resample,
		.addr = addr, .data = data,
	};

	return ioctl(vm->fd, HALO_VM_SET_IRQFD, &f);
}

static int edge(struct vm *vm, int event, u32 data)
{
	return set(vm, 0, event, -1, MSI0, data);
}

static int event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK(fd >= 0);
	return fd;
}

static void signal_fd(int fd)
{
	u64 one = 1;

	CHECK_EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

static u64 signals(int fd)
{
	u64 n = 0;

	if (read(fd, &n, sizeof(n)) < 0)
		CHECK_EQ(errno, EAGAIN);
	return n;
}

/* A guest with its LAPIC on, which ends after @n interrupts. */
static struct vcpu *ready(u64 n)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, wait_for, n);
	guest_until(v, HALO_EXIT_PIO);
	answer(v, 0);
	return v;
}

static void *runner(void *arg)
{
	step(arg);
	return NULL;
}

TEST(an_edge)
{
	struct vcpu *v = ready(1);
	int fd = event();

	CHECK(!edge(v->vm, fd, 0x51));
	signal_fd(fd);
	guest_end(v);
	CHECK_EQ(seen, 1);
	CHECK_EQ(signals(fd), 0);
}

TEST(it_wakes_a_halted_vcpu)
{
	struct vcpu *v = ready(20);
	int fd = event();
	pthread_t t;
	u64 i;

	CHECK(!edge(v->vm, fd, 0x51));
	CHECK(!pthread_create(&t, NULL, runner, v));
	for (i = 0; i < 20; i++) {
		signal_fd(fd);
		while (seen <= i)
			usleep(100);
	}
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(v->x.addr, PORT_DONE);
	CHECK_EQ(seen, 20);
}

TEST(what_was_signalled_before)
{
	struct vcpu *v = ready(1);
	int fd = event();

	signal_fd(fd);
	CHECK(!edge(v->vm, fd, 0x51));
	guest_end(v);
	CHECK_EQ(seen, 1);
}

GUEST void wait_level(u64 n)
{
	g_handler[0x51] = count;
	lapic_write(0xf0, 0x1ff);
	outb(PORT, 1);
	while (seen < n) {
		asm volatile("sti; hlt; cli");
		/* Each interrupt is one exit that tells of it. */
		outb(PORT, 2);
	}
}

TEST(a_level_and_its_resample)
{
	struct vcpu *v = vm_new()->cpu[0];
	int fd = event(), again = event();
	u32 i;

	guest_begin(v, wait_level, 3);
	guest_until(v, HALO_EXIT_PIO);
	CHECK(!set(v->vm, HALO_IRQFD_RESAMPLE, fd, again, MSI0, LEVEL | 0x51));
	for (i = 1; i <= 3; i++) {
		CHECK_EQ(signals(again), 0);
		/* However often: it is up. */
		signal_fd(fd);
		signal_fd(fd);
		answer(v, 0);
		/* The EOI is no exit. */
		guest_until(v, HALO_EXIT_PIO);
		CHECK_EQ(v->x.addr, PORT);
		CHECK_EQ(seen, i);
		CHECK_EQ(signals(again), 1);
	}
	answer(v, 0);
	guest_end(v);
}

TEST(two_levels_of_one_vector)
{
	struct vcpu *v = vm_new()->cpu[0];
	int fd[3], again[3], i;

	guest_begin(v, wait_level, 2);
	guest_until(v, HALO_EXIT_PIO);
	for (i = 0; i < 3; i++) {
		fd[i] = event();
		again[i] = event();
		CHECK(!set(v->vm, HALO_IRQFD_RESAMPLE, fd[i], again[i], MSI0, LEVEL | 0x51));
	}
	signal_fd(fd[0]);
	signal_fd(fd[2]);
	answer(v, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(signals(again[0]), 1);
	CHECK_EQ(signals(again[1]), 0);
	CHECK_EQ(signals(again[2]), 1);
	signal_fd(fd[1]);
	answer(v, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(signals(again[1]), 1);
	answer(v, 0);
	guest_end(v);
}

/* A level of userspace's own is told as ever. */
TEST(an_eoi_that_is_nobodys)
{
	struct vcpu *v = vm_new()->cpu[0];
	int fd = event();

	guest_begin(v, wait_level, 1);
	guest_until(v, HALO_EXIT_PIO);
	CHECK(!set(v->vm, HALO_IRQFD_RESAMPLE, fd, event(), MSI0, LEVEL | 0x51));
	CHECK_EQ(msi(v->vm, MSI0, LEVEL | 0x51), 1);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_EOI)->data, 0x51);
}

/* Nobody takes it, as the LAPIC is off: it is not taken for asserted. */
TEST(a_level_that_went_nowhere)
{
	struct vcpu *v = vm_new()->cpu[0];
	int fd = event(), again = event();

	CHECK(!set(v->vm, HALO_IRQFD_RESAMPLE, fd, again, MSI0, LEVEL | 0x51));
	signal_fd(fd);
	guest_begin(v, wait_level, 1);
	guest_until(v, HALO_EXIT_PIO);
	signal_fd(fd);
	answer(v, 0);
	guest_until(v, HALO_EXIT_PIO);
	CHECK_EQ(seen, 1);
	CHECK_EQ(signals(again), 1);
}

GUEST void ring_self(u64 n)
{
	g_handler[0x51] = count;
	lapic_write(0xf0, 0x1ff);
	sti();
	outb(PORT, 1);
	nop();
	cli();
}

TEST(a_doorbell_wired_to_an_interrupt)
{
	struct vm *vm = vm_new();
	struct halo_zone z = {
		.size = sizeof(z), .bus = HALO_BUS_PIO, .mode = HALO_ZONE_DOORBELL,
		.addr = PORT, .len = 1, .eventfd = event(),
	};

	CHECK(!edge(vm, z.eventfd, 0x51));
	CHECK(!ioctl(vm->fd, HALO_VM_SET_ZONE, &z));
	guest(vm->cpu[0], ring_self, 1);
	CHECK_EQ(seen, 1);
}

static volatile u64 got;

static void note(struct g_frame *f)
{
	got |= BIT(f->vector - 0x50);
	lapic_write(0xb0, 0);
}

/* Logical 1 and ID 0, then logical 2 and ID 5, and so on. */
GUEST void move_about(u64 n)
{
	u64 i;

	for (i = 0x51; i <= 0x54; i++)
		g_handler[i] = note;
	lapic_write(0xf0, 0x1ff);
	for (i = 0; i < n; i++) {
		lapic_write(0xd0, i & 1 ? 0x02000000 : 0x01000000);
		lapic_write(0x20, i & 1 ? 0x05000000 : 0);
		outb(PORT, 1);
		sti();
		nop();
		cli();
	}
}

TEST(it_goes_by_the_present_address)
{
	static const u64 to[] = { MSI0 | 0x1004, MSI0 | 0x2004, MSI0, MSI0 | 0x5000 };
	struct vcpu *v = vm_new()->cpu[0];
	u64 i, k;
	int fd[4];

	for (k = 0; k < 4; k++) {
		fd[k] = event();
		CHECK(!set(v->vm, 0, fd[k], -1, to[k], 0x51 + k));
	}
	guest_begin(v, move_about, 20);
	for (i = 0; i < 20; i++) {
		guest_until(v, HALO_EXIT_PIO);
		CHECK_EQ(got, i == 0 ? 0 : i & 1 ? 0x0a : 0x14);
		got = 0;
		/* Twice: it is found, and then known. */
		for (k = 0; k < 8; k++)
			signal_fd(fd[k % 4]);
		answer(v, 0);
	}
	guest_end(v);
	CHECK_EQ(got, 0x14);
}

TEST(a_vcpu_that_comes_later)
{
	struct vm *vm = vm_new();
	int fd = event(), all = event();
	struct vcpu *v;

	CHECK(!set(vm, 0, fd, -1, MSI0 | 0x1000, 0x51));
	CHECK(!set(vm, 0, all, -1, MSI0 | 0xff000, 0x52));
	signal_fd(fd);
	signal_fd(all);
	v = vcpu_new(vm, 1);
	guest_begin(v, wait_for, 2);
	v->s->mp_state = HALO_MP_RUNNABLE;
	state_set(v, HALO_STATE_MP);
	guest_until(v, HALO_EXIT_PIO);
	signal_fd(fd);
	signal_fd(all);
	answer(v, 0);
	guest_end(v);
	CHECK_EQ(seen, 2);
}

GUEST void move_fast(u64 n)
{
	g_handler[0x51] = count;
	lapic_write(0xf0, 0x1ff);
	outb(PORT, 1);
	while (!stop) {
		sti();
		lapic_write(0xd0, 0x01000000);
		lapic_write(0xd0, 0x02000000);
		cli();
	}
	/* What is asked for while it has the address arrives. */
	lapic_write(0xd0, 0x01000000);
	sti();
	nop();
	cli();
	seen = 0;
	outb(PORT, 2);
	while (!seen)
		asm volatile("sti; hlt; cli");
}

TEST_SECONDS(an_address_that_changes_all_the_time, 60)
{
	struct vcpu *v = vm_new()->cpu[0];
	int fd = event(), i;
	pthread_t t;

	CHECK(!set(v->vm, 0, fd, -1, MSI0 | 0x1004, 0x51));
	guest_begin(v, move_fast, 0);
	guest_until(v, HALO_EXIT_PIO);
	answer(v, 0);
	CHECK(!pthread_create(&t, NULL, runner, v));
	for (i = 0; i < 20000; i++)
		signal_fd(fd);
	stop = 1;
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(v->x.addr, PORT);
	signal_fd(fd);
	answer(v, 0);
	guest_end(v);
	CHECK(seen > 0);
}

TEST(assign_and_deassign)
{
	struct vm *vm = vm_bare();
	int fd = event(), other = event(), again = event();

	CHECK(!edge(vm, fd, 0x51));
	CHECK_ERRNO(edge(vm, fd, 0x52), EBUSY);
	CHECK(!edge(vm, other, 0x51));
	CHECK(!set(vm, HALO_IRQFD_DEASSIGN, fd, -1, 0, 0));
	CHECK_ERRNO(set(vm, HALO_IRQFD_DEASSIGN, fd, -1, 0, 0), ENOENT);
	CHECK_ERRNO(set(vm, HALO_IRQFD_DEASSIGN, 1000, -1, 0, 0), EBADF);
	CHECK(!set(vm, HALO_IRQFD_RESAMPLE, fd, again, MSI0, LEVEL | 0x51));
	/* After the end it is an ordinary eventfd again. */
	CHECK(!set(vm, HALO_IRQFD_DEASSIGN, fd, -1, 0, 0));
	signal_fd(fd);
	CHECK_EQ(signals(fd), 1);
}

TEST(irqfds_that_can_not_be)
{
	struct vm *vm = vm_bare();
	int fd = event(), null = open("/dev/null", O_RDWR);

	CHECK_ERRNO(set(vm, 4, fd, -1, MSI0, 0x51), EINVAL);
	CHECK_ERRNO(set(vm, 0, -1, -1, MSI0, 0x51), EBADF);
	CHECK_ERRNO(set(vm, 0, null, -1, MSI0, 0x51), EINVAL);
	CHECK_ERRNO(set(vm, 0, fd, -1, 0x1000, 0x51), EINVAL);
	CHECK_ERRNO(set(vm, HALO_IRQFD_RESAMPLE, fd, fd, MSI0, 0x51), EINVAL);
	CHECK_ERRNO(set(vm, HALO_IRQFD_RESAMPLE, fd, -1, MSI0, LEVEL | 0x51), EBADF);
	CHECK_ERRNO(set(vm, HALO_IRQFD_RESAMPLE, fd, null, MSI0, LEVEL | 0x51), EINVAL);
	CHECK_ERRNO(set(vm, HALO_IRQFD_RESAMPLE, fd, fd, MSI0, LEVEL | 0x400 | 0x51), EINVAL);
	CHECK_ERRNO(set(vm, HALO_IRQFD_RESAMPLE, fd, fd, MSI0, 0x8051), EINVAL);
}

TEST(as_many_as_promised)
{
	struct vm *vm = vm_bare();
	int fd[64], other = event();
	u32 i, n;

	/* 64 eventfds and VMs of their own: one eventfd may send in many VMs. */
	for (i = 0; i < 64; i++) {
		fd[i] = event();
		CHECK(!edge(vm, fd[i], 0x51));
		CHECK(!edge(vm_bare(), fd[0], 0x51));
	}
	/* Those that are closed make room. */
	for (n = 0; n < 2 * HALO_MAX_IRQFDS; n++) {
		int f = event();

		CHECK(!edge(vm, f, 0x51));
		close(f);
	}
	CHECK(!edge(vm, other, 0x51));
}

TEST(its_eventfd_is_closed_and_then_its_vm)
{
	struct vcpu *v = ready(1);
	int fd = event(), again = event();

	CHECK(!set(v->vm, HALO_IRQFD_RESAMPLE, fd, again, MSI0, LEVEL | 0x51));
	signal_fd(fd);
	close(fd);
	close(again);
	/* Asserted before: the EOI goes to an eventfd that only the irqfd holds. */
	guest_end(v);
	CHECK_EQ(seen, 1);
	vm_free(v->vm);
}

TEST(its_vm_goes_first)
{
	struct vcpu *v = ready(1);
	int fd = event();

	CHECK(!edge(v->vm, fd, 0x51));
	vm_free(v->vm);
	signal_fd(fd);
	CHECK_EQ(signals(fd), 1);
}

struct race {
	struct vm *vm;
	int fd[4];
};

static void *signaller(void *arg)
{
	struct race *r = arg;
	u32 i = 0;

	while (!stop) {
		u64 one = 1;

		/* It may be closed, or another's by now: no matter. */
		if (write(r->fd[i++ % 4], &one, sizeof(one)) < 0)
			continue;
	}
	return NULL;
}

/* Signals, assignments, closes and the VM's end, all at once. */
TEST_SECONDS(races, 60)
{
	pthread_t t[2];
	struct race r;
	u32 i, k, n;

	for (n = 0; n < 20; n++) {
		r.vm = vm_new();
		stop = 0;
		for (k = 0; k < 4; k++)
			r.fd[k] = event();
		for (k = 0; k < 2; k++)
			CHECK(!pthread_create(&t[k], NULL, signaller, &r));
		for (i = 0; i < 200; i++) {
			int fd = r.fd[i % 4];

			if (edge(r.vm, fd, 0x51))
				CHECK_EQ(errno, EBUSY);
			if (i % 3 == 0 && set(r.vm, HALO_IRQFD_DEASSIGN, fd, -1, 0, 0))
				CHECK_EQ(errno, ENOENT);
			if (i % 5 == 0) {
				int new = event();

				CHECK(dup2(new, fd) == fd);
				close(new);
			}
		}
		vm_free(r.vm);
		stop = 1;
		for (k = 0; k < 2; k++)
			CHECK(!pthread_join(t[k], NULL));
		for (k = 0; k < 4; k++)
			close(r.fd[k]);
	}
}
