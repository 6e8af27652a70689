// SPDX-License-Identifier: GPL-2.0
/* The bench's client of Halo, by way of the kselftests' library. */
#include <signal.h>
#include "side.h"

static int dev;

static void halo_open(void)
{
	dev = dev_open();
}

static void halo_make(struct box *b, const void *rip, u64 rsp, u64 arg)
{
	u64 image = (u64)__executable_start & ~(PAGE - 1);
	u64 end = ((u64)_end + PAGE - 1) & ~(PAGE - 1);
	struct vm *vm = calloc(1, sizeof(*vm));
	struct vcpu *v;

	vm->ring_entries = b->ring;
	vm->fd = vm_fd_new(dev);
	CHECK(vm->fd >= 0);
	CHECK(!slot_set(vm, 0, 0, 0, LOW_BYTES, b->low));
	CHECK(!slot_set(vm, 1, 0, image, end - image, (void *)image));
	if (b->ram)
		CHECK(!slot_set(vm, 2, 0, RAM_BASE, b->ram_bytes, b->ram));
	CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_MSR, HALO_ZONE_SYNC, MSR_USER, 1, 0, 0));
	v = vcpu_new(vm, 0);
	mode_long(v, (u64)rip);
	v->s->gpr[HALO_RSP] = rsp;
	v->s->gpr[HALO_RDI] = arg;
	/* With the next RUN; and no state after it. */
	v->s->wanted = 0;
	v->s->commit = HALO_STATE_GPRS;
	b->fd = vm->fd;
	b->cpu = v->fd;
	b->own = v;
}

/* The next SYNC exit of those that wait; the posted ones before it are taken and done with. */
static bool take(struct box *b, struct vcpu *v)
{
	static const u8 why[] = {
		[HALO_EXIT_PIO] = STOP_PIO, [HALO_EXIT_MMIO] = STOP_MMIO,
		[HALO_EXIT_MSR] = STOP_MSR, [31] = STOP_OTHER,
	};
	const u32 mask = v->exits->entries - 1;
	volatile struct halo_exit *x;
	u32 at = v->replies->head, tail = __atomic_load_n(&v->exits->tail, __ATOMIC_ACQUIRE);
	bool sync = false;

	while (at != tail && !sync) {
		x = (volatile struct halo_exit *)(v->exits + 1) + (at++ & mask);
		b->at = x->addr;
		b->data = x->data;
		sync = x->flags & HALO_EXIT_F_SYNC;
	}
	__atomic_store_n(&v->replies->head, at, __ATOMIC_RELEASE);
	if (!sync)
		return false;
	b->why = why[x->type & 31];
	if (b->why != STOP_OTHER) {
		v->x.seq = x->seq;
		answer(v, 0);
	}
	return true;
}

static void halo_go(struct box *b)
{
	do {
		/* EINTR: the thread had something else to do; EAGAIN: the ring is full. */
		if (ioctl(b->cpu, HALO_VCPU_RUN, 0) && errno != EINTR && errno != EAGAIN)
			ktap_fail(__FILE__, __LINE__, "HALO_VCPU_RUN: %s", strerror(errno));
	} while (!take(b, b->own));
}

static void halo_zone(struct box *b, int what, u64 addr, u32 size, int eventfd)
{
	bool mmio = what == POSTED_MMIO || what == DOORBELL_MMIO;
	bool bell = what == DOORBELL_PIO || what == DOORBELL_MMIO;
	struct halo_zone z = {
		.size = sizeof(z), .op = HALO_ZONE_ADD, .addr = addr, .len = 8, .access = size,
		.bus = mmio ? HALO_BUS_MMIO : HALO_BUS_PIO,
		.mode = bell ? HALO_ZONE_DOORBELL : HALO_ZONE_POSTED,
		.eventfd = bell ? eventfd : -1,
	};
	/*
	 * How long a post may wait: KVM knows no bound.  Longer than to fill the ring, also
	 * where a microsecond has 20 instructions (Bochs).
	 */
	struct halo_vcpu_ring ring = { .size = sizeof(ring), .wake_after_us = 100000 };

	if (ioctl(b->fd, HALO_VM_SET_ZONE, &z))
		ktap_fail(__FILE__, __LINE__, "HALO_VM_SET_ZONE: %s", strerror(errno));
	CHECK(!ioctl(b->cpu, HALO_VCPU_SET_RING, &ring));
}

static void woken(int sig)
{
}

/*
 * A server that is infinitely fast, on a machine with one CPU: what is left is the
 * vCPU's own cost.  The last exit finds no answer and sleeps, which a signal ends.
 */
static void halo_park(struct box *b, u32 n)
{
	struct halo_vcpu_ring ring = { .size = sizeof(ring) };
	struct sigaction act = { .sa_handler = woken };
	struct vcpu *v = b->own;
	u32 i;

	CHECK(n < v->layout.ring_entries);
	CHECK(!ioctl(b->cpu, HALO_VCPU_SET_RING, &ring));
	for (i = 1; i <= n; i++) {
		v->x.seq = i;
		answer(v, 0);
	}
	v->s->flags = HALO_RUN_PARKED;
	sigaction(SIGALRM, &act, NULL);
	alarm(1);
	do {
		CHECK(ioctl(b->cpu, HALO_VCPU_RUN, 0) < 0);
		CHECK_EQ(errno, EINTR);
	} while (v->exits->tail <= n);
	alarm(0);
}

static void halo_msi(struct box *b, u8 vector)
{
	struct halo_msi m = { .size = sizeof(m), .addr = LAPIC, .data = vector };

	if (ioctl(b->fd, HALO_VM_MSI, &m) < 0)
		ktap_fail(__FILE__, __LINE__, "HALO_VM_MSI: %s", strerror(errno));
}

static void halo_early_timer(bool on)
{
}

static void halo_free(struct box *b)
{
	struct vcpu *v = b->own;
	struct vm *vm = v->vm;

	munmap(v->s, v->layout.state_bytes);
	munmap((void *)v->exits, v->layout.exits_bytes);
	munmap((void *)v->replies, v->layout.replies_bytes);
	munmap(v->data, v->layout.data_bytes);
	close(v->fd);
	close(vm->fd);
	free(v);
	free(vm);
}

const struct side side_halo = {
	.name = "halo", .open = halo_open, .make = halo_make, .go = halo_go, .zone = halo_zone,
	.msi = halo_msi, .park = halo_park, .early_timer = halo_early_timer, .free = halo_free,
};
