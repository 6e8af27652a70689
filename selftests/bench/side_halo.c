// SPDX-License-Identifier: GPL-2.0
/* The bench's client of Halo, by way of the kselftests' library. */
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

static void halo_go(struct box *b)
{
	static const u8 why[] = {
		[HALO_EXIT_PIO] = STOP_PIO, [HALO_EXIT_MMIO] = STOP_MMIO,
		[HALO_EXIT_MSR] = STOP_MSR, [31] = STOP_OTHER,
	};
	struct vcpu *v = b->own;
	volatile struct halo_exit *x;
	u32 at = v->replies->head;

	while (ioctl(b->cpu, HALO_VCPU_RUN, 0)) {
		/* The thread had something else to do first. */
		if (errno != EINTR)
			ktap_fail(__FILE__, __LINE__, "HALO_VCPU_RUN: %s", strerror(errno));
	}
	x = (volatile struct halo_exit *)((u8 *)v->exits + v->exits->entries_offset) +
	    (at & (v->exits->entries - 1));
	b->why = why[x->type & 31];
	b->at = x->addr;
	__atomic_store_n(&v->replies->head, at + 1, __ATOMIC_RELEASE);
	if (b->why != STOP_OTHER) {
		v->x.seq = x->seq;
		answer(v, 0);
	}
}

static void halo_msi(struct box *b, u8 vector)
{
	struct halo_msi m = { .size = sizeof(m), .addr = LAPIC, .data = vector };

	if (ioctl(b->fd, HALO_VM_MSI, &m) < 0)
		ktap_fail(__FILE__, __LINE__, "HALO_VM_MSI: %s", strerror(errno));
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
	.name = "halo", .open = halo_open, .make = halo_make, .go = halo_go, .msi = halo_msi,
	.free = halo_free,
};
