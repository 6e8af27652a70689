// SPDX-License-Identifier: GPL-2.0
/*
 * The four buses: what an access that memory does not answer comes to.
 *
 * The zone table decides.  A doorbell's write signals its eventfd, a posted write goes
 * into the exit ring, and the guest goes on at once: both happen here, in the run loop,
 * without a lock or an allocation.  What needs an answer is for halo_ask().
 *
 * halo_access() is for the owner of the vCPU.  The table is replaced under vm->lock and
 * read under RCU: when SET_ZONE returns, no vCPU acts on the old one, and only then is a
 * removed doorbell's eventfd let go.
 */
#include <linux/eventfd.h>
#include <linux/rcupdate.h>
#include "trace.h"
#include "vcpu.h"

/**
 * halo_post() - a write to a POSTED zone: into the ring, and on
 * @vcpu: the vCPU
 * @a: the access, with its zone's cookie and HALO_EXIT_F_POSTED
 *
 * Return: false: there is no room, or the ring is broken.
 */
bool halo_post(struct halo_vcpu *vcpu, const struct halo_access *a)
{
	struct halo_exit *x = halo_ring_next(&vcpu->rings);

	if (IS_ERR(x))
		return false;
	halo_exit_fill(vcpu, a, x);
	halo_ring_give(&vcpu->rings, x, false);
	trace_halo_user_exit(vcpu, x, 0);
	halo_announce(vcpu);
	vcpu->count.posted++;
	return true;
}

/**
 * halo_bell() - a write to a doorbell
 * @vcpu: the vCPU
 * @zone: the doorbell; the caller is in an RCU reader's section
 */
void halo_bell(struct halo_vcpu *vcpu, const struct halo_zone_desc *zone)
{
	halo_host_eventfd_signal(zone->ctx);
	vcpu->count.doorbells++;
}

/**
 * halo_access() - carry out an access as its zone says
 * @vcpu: the vCPU
 * @a: the access; once DONE, @a->value is a constant zone's value, else 0
 *
 * Return: ACCESS_DONE; ACCESS_ASK: halo_ask() follows; ACCESS_NONE if it is in no zone of
 * the MSR or hypercall bus; ACCESS_DENY.
 */
enum halo_access_result halo_access(struct halo_vcpu *vcpu, struct halo_access *a)
{
	const struct halo_zone_table *table;
	const struct halo_zone_desc *zone;
	unsigned int size = a->bus <= HALO_BUS_MMIO ? a->size : 1;
	u8 mode = HALO_ZONE_SYNC;

	/* Cheaper than the other kind of reader's section: no calls. */
	rcu_read_lock_sched();
	table = rcu_dereference_sched(vcpu->vm->zones);
	zone = a->write ? halo_zone_find_write(table, a->bus, a->addr, size, a->value) :
			  halo_zone_find(table, a->bus, a->addr, size);
	if (zone) {
		mode = zone->mode;
		a->cookie = zone->cookie;
		if (mode == HALO_ZONE_CONST)
			a->value = zone->match;
		else if (mode == HALO_ZONE_DOORBELL && a->write)
			halo_bell(vcpu, zone);
		trace_halo_zone(vcpu, a, mode);
	}
	rcu_read_unlock_sched();

	a->flags = HALO_EXIT_F_SYNC;
	if (mode == HALO_ZONE_SYNC)
		return likely(zone || a->bus <= HALO_BUS_MMIO) ? ACCESS_ASK : ACCESS_NONE;
	if (mode == HALO_ZONE_CONST)
		return ACCESS_DONE;
	if (mode == HALO_ZONE_DENY)
		return ACCESS_DENY;
	if (!a->write)
		return ACCESS_ASK;
	if (mode == HALO_ZONE_POSTED) {
		a->flags = HALO_EXIT_F_POSTED;
		if (unlikely(!halo_post(vcpu, a)))
			return ACCESS_ASK;
	}
	a->value = 0;
	return ACCESS_DONE;
}

/**
 * halo_doorbell() - a store of unknown size and value: does it ring a doorbell?
 * @vcpu: the vCPU
 * @gpa: its first byte
 *
 * Spares fetching and decoding the instruction, whose length the CPU has told.
 *
 * Return: true if the zone there does not ask for size or value, and has rung.
 */
bool halo_doorbell(struct halo_vcpu *vcpu, u64 gpa)
{
	const struct halo_zone_desc *zone;
	bool rung;

	rcu_read_lock();
	zone = halo_zone_find(rcu_dereference(vcpu->vm->zones), HALO_BUS_MMIO, gpa, 8);
	rung = zone && zone->mode == HALO_ZONE_DOORBELL && !zone->access;
	if (rung) {
		halo_bell(vcpu, zone);
		if (trace_halo_zone_enabled()) {
			struct halo_access a = { .addr = gpa, .cookie = zone->cookie,
						 .bus = HALO_BUS_MMIO, .write = true };

			trace_halo_zone(vcpu, &a, HALO_ZONE_DOORBELL);
		}
	}
	rcu_read_unlock();
	vcpu->count.mmio += rung;
	return rung;
}

/* The next table, for @z; @ctx: the eventfd of the zone that is gone then. */
static struct halo_zone_table *halo_zones_next(const struct halo_zone_table *old,
					       const struct halo_zone *z,
					       const struct halo_zone_desc *desc, void **ctx)
{
	struct halo_zone_table *less, *next;

	if (z->op == HALO_ZONE_ADD)
		return halo_zone_table_add(old, desc);
	less = halo_zone_table_remove(old, desc, ctx);
	if (z->op == HALO_ZONE_REMOVE || IS_ERR(less))
		return less;
	next = halo_zone_table_add(less, desc);
	halo_free(less);
	return next;
}

/**
 * halo_bus_set_zone() - HALO_VM_SET_ZONE
 * @obj: the VM
 * @arg: struct halo_zone
 *
 * Return: 0; -EINVAL, -EEXIST, -ENOENT, -ENOSPC, -ENOMEM; -EBADF if there is no eventfd.
 */
long halo_bus_set_zone(void *obj, void *arg)
{
	struct halo_zone_table *old, *new;
	const struct halo_zone *z = arg;
	struct eventfd_ctx *bell = NULL;
	struct halo_zone_desc desc;
	struct halo_vm *vm = obj;
	void *gone = NULL;
	long err;

	err = halo_zone_desc_init(&desc, z, HALO_ZONE_MODES_ALL);
	if (err)
		return err;
	if (z->op != HALO_ZONE_REMOVE && z->mode == HALO_ZONE_DOORBELL) {
		bell = eventfd_ctx_fdget(z->eventfd);
		if (IS_ERR(bell))
			return PTR_ERR(bell);
		desc.ctx = bell;
	}
	mutex_lock(&vm->lock);
	old = rcu_dereference_protected(vm->zones, lockdep_is_held(&vm->lock));
	new = halo_zones_next(old, z, &desc, &gone);
	err = PTR_ERR_OR_ZERO(new);
	if (!err) {
		rcu_assign_pointer(vm->zones, new);
		WRITE_ONCE(vm->nr_zones, halo_zone_table_count(new));
		if (vm->nr_vcpus)
			synchronize_rcu_expedited();
		halo_free(old);
		bell = gone;
	}
	mutex_unlock(&vm->lock);
	if (bell)
		eventfd_ctx_put(bell);
	return err;
}

/**
 * halo_bus_free() - the end of a VM's zones
 * @vm: the VM, which nobody runs any more
 */
void halo_bus_free(struct halo_vm *vm)
{
	struct halo_zone_table *table = rcu_dereference_protected(vm->zones, true);
	u32 i;

	for (i = 0; i < halo_zone_table_count(table); i++)
		if (table->zones[i].ctx)
			eventfd_ctx_put(table->zones[i].ctx);
	halo_free(table);
}
