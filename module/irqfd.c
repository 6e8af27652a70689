// SPDX-License-Identifier: GPL-2.0
/*
 * irqfds: an eventfd that somebody signals becomes an interrupt message.
 *
 * The message is sent where the eventfd is signalled, in atomic context (its wait queue's
 * lock held): the LAPICs' mailboxes take it from anywhere.  A level-triggered one stays
 * asserted until a vCPU ends its vector; then the resample eventfd is signalled, and who
 * owns the line signals again if it is still up.
 *
 * Lifetimes: an irqfd holds its eventfds' contexts, which outlive their files, and is
 * taken off the list and out of the wait queue under vm->lock, by DEASSIGN or when the VM
 * ends: after eventfd_ctx_remove_wait_queue() no callback runs.  When an eventfd's last
 * file is closed the callback only marks the irqfd as dead, which sends nothing from then
 * on; the next SET_IRQFD frees it.  So nothing is freed asynchronously, and there is no
 * worker whose work could outlive the VM or the module.
 *
 * Locks: vm->lock (the list) > the eventfd's wait queue > none.  The list is read under
 * RCU at an EOI.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include "trace.h"
#include "vcpu.h"

/* Bits of irqfd.state. */
#define IRQFD_DEAD	0	/* the eventfd was closed */
#define IRQFD_ASSERTED	1	/* level: sent, and not ended yet */

/**
 * struct irqfd - an eventfd and its message
 * @node: in vm->irqfds
 * @gone: in a list of those that are no more
 * @vm: where to
 * @ipi: the message
 * @known: whom it is for; under the lock of @event's wait queue
 * @state: IRQFD_*
 * @event: who signals
 * @resample: level: whom to tell of the EOI, else NULL
 * @wait: in @event's wait queue
 * @poll: puts it there
 */
struct irqfd {
	struct list_head node;
	struct list_head gone;
	struct halo_vm *vm;
	struct halo_ipi ipi;
	struct halo_lapic_known known;
	unsigned long state;
	struct eventfd_ctx *event;
	struct eventfd_ctx *resample;
	wait_queue_entry_t wait;
	poll_table poll;
};

static void halo_irqfd_send(struct irqfd *f, struct halo_lapic_known *known)
{
	struct halo_vm *vm = f->vm;
	u64 gen;
	int taken;

	if (f->resample && test_and_set_bit(IRQFD_ASSERTED, &f->state))
		return;
	/* Pairs with halo_glue_rerouted(): what is read after it is no older. */
	gen = atomic64_read_acquire(&vm->route_gen);
	taken = halo_lapic_route_again(vm->lapics, halo_vm_vcpus(vm), gen, &f->ipi, known,
				       &vm->turn);
	trace_halo_irq(vm, HALO_IRQ_IRQFD, &f->ipi, taken);
	/* What nobody took nobody will end. */
	if (!taken)
		clear_bit(IRQFD_ASSERTED, &f->state);
}

/* The eventfd was signalled or closed; its wait queue is locked, interrupts are off. */
static int halo_irqfd_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *f = container_of(wait, struct irqfd, wait);
	__poll_t events = key_to_poll(key);
	u64 count;

	if (events & EPOLLHUP)
		set_bit(IRQFD_DEAD, &f->state);
	if (!(events & EPOLLIN) || test_bit(IRQFD_DEAD, &f->state))
		return 0;
	eventfd_ctx_do_read(f->event, &count);
	halo_irqfd_send(f, &f->known);
	return 1;
}

static void halo_irqfd_queue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct irqfd *f = container_of(table, struct irqfd, poll);

	add_wait_queue_priority(head, &f->wait);
}

static void halo_irqfd_free(struct irqfd *f)
{
	if (!IS_ERR_OR_NULL(f->resample))
		eventfd_ctx_put(f->resample);
	if (!IS_ERR_OR_NULL(f->event))
		eventfd_ctx_put(f->event);
	kfree(f);
}

/* Off the wait queue and the list. The caller waits for readers before it frees. */
static void halo_irqfd_detach(struct irqfd *f, struct list_head *gone)
{
	u64 count;

	eventfd_ctx_remove_wait_queue(f->event, &f->wait, &count);
	list_del_rcu(&f->node);
	list_add(&f->gone, gone);
}

static void halo_irqfd_free_all(struct list_head *gone)
{
	struct irqfd *f, *next;

	if (list_empty(gone))
		return;
	synchronize_rcu_expedited();
	list_for_each_entry_safe(f, next, gone, gone)
		halo_irqfd_free(f);
}

/* The irqfds of an eventfd, or with NULL those whose eventfd is closed. */
static unsigned int halo_irqfd_drop(struct halo_vm *vm, const struct eventfd_ctx *event)
{
	struct irqfd *f, *next;
	unsigned int n = 0;
	LIST_HEAD(gone);

	list_for_each_entry_safe(f, next, &vm->irqfds, node) {
		if (event ? f->event != event : !test_bit(IRQFD_DEAD, &f->state))
			continue;
		halo_irqfd_detach(f, &gone);
		n++;
	}
	halo_irqfd_free_all(&gone);
	vm->nr_irqfds -= n;
	return n;
}

static struct irqfd *halo_irqfd_new(struct halo_vm *vm, const struct halo_irqfd *a,
				    struct file *file)
{
	struct irqfd *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	int err = -EINVAL;

	if (!f)
		return ERR_PTR(-ENOMEM);
	f->vm = vm;
	if (halo_msi_decode(a->addr, a->data, &f->ipi))
		goto free;
	f->event = eventfd_ctx_fileget(file);
	err = PTR_ERR_OR_ZERO(f->event);
	if (err)
		goto free;
	if (a->flags & HALO_IRQFD_RESAMPLE) {
		err = -EINVAL;
		if (!f->ipi.trig || !f->ipi.level || f->ipi.mode > HALO_DM_LOWEST)
			goto free;
		f->resample = eventfd_ctx_fdget(a->resample);
		err = PTR_ERR_OR_ZERO(f->resample);
		if (err)
			goto free;
	}
	init_waitqueue_func_entry(&f->wait, halo_irqfd_wake);
	init_poll_funcptr(&f->poll, halo_irqfd_queue);
	return f;
free:
	halo_irqfd_free(f);
	return ERR_PTR(err);
}

static long halo_irqfd_assign(struct halo_vm *vm, const struct halo_irqfd *a)
{
	struct file *file = eventfd_fget(a->eventfd);
	struct halo_lapic_known none = {};
	struct irqfd *f, *other;
	long err = 0;

	if (IS_ERR(file))
		return PTR_ERR(file);
	f = halo_irqfd_new(vm, a, file);
	if (IS_ERR(f)) {
		err = PTR_ERR(f);
		goto put;
	}
	mutex_lock(&vm->lock);
	halo_irqfd_drop(vm, NULL);
	list_for_each_entry(other, &vm->irqfds, node)
		if (other->event == f->event)
			err = -EBUSY;
	if (!err && vm->nr_irqfds >= HALO_MAX_IRQFDS)
		err = -ENOSPC;
	if (err) {
		halo_irqfd_free(f);
		goto unlock;
	}
	vm->nr_irqfds++;
	list_add_rcu(&f->node, &vm->irqfds);
	/* On the list before its first message: an EOI finds it. What has come is sent now. */
	if (vfs_poll(file, &f->poll) & EPOLLIN)
		halo_irqfd_send(f, &none);
unlock:
	mutex_unlock(&vm->lock);
put:
	fput(file);
	return err;
}

/**
 * halo_irqfd_set() - HALO_VM_SET_IRQFD
 * @obj: the VM
 * @arg: struct halo_irqfd
 *
 * Return: 0; -EINVAL, -EBADF, -EBUSY if the eventfd has a message, -ENOENT if it has
 * none, -ENOSPC, -ENOMEM.
 */
long halo_irqfd_set(void *obj, void *arg)
{
	const struct halo_irqfd *a = arg;
	struct eventfd_ctx *event;
	struct halo_vm *vm = obj;
	long err;

	if (a->flags & ~(HALO_IRQFD_DEASSIGN | HALO_IRQFD_RESAMPLE) || a->reserved)
		return -EINVAL;
	if (!(a->flags & HALO_IRQFD_DEASSIGN))
		return halo_irqfd_assign(vm, a);
	event = eventfd_ctx_fdget(a->eventfd);
	if (IS_ERR(event))
		return PTR_ERR(event);
	mutex_lock(&vm->lock);
	err = halo_irqfd_drop(vm, event) ? 0 : -ENOENT;
	mutex_unlock(&vm->lock);
	eventfd_ctx_put(event);
	return err;
}

/**
 * halo_irqfd_eoi() - a vCPU has ended a level-triggered vector
 * @vm: the VM
 * @vector: which
 *
 * Return: true if that was an irqfd's, and its owner has been told.
 */
bool halo_irqfd_eoi(struct halo_vm *vm, u8 vector)
{
	struct irqfd *f;
	bool taken = false;

	rcu_read_lock();
	list_for_each_entry_rcu(f, &vm->irqfds, node) {
		if (!f->resample || f->ipi.vector != vector ||
		    !test_and_clear_bit(IRQFD_ASSERTED, &f->state))
			continue;
		halo_host_eventfd_signal(f->resample);
		taken = true;
	}
	rcu_read_unlock();
	return taken;
}

/**
 * halo_irqfd_free_vm() - the end of a VM's irqfds
 * @vm: the VM, which nobody can reach any more but by its eventfds
 */
void halo_irqfd_free_vm(struct halo_vm *vm)
{
	struct irqfd *f, *next;
	LIST_HEAD(gone);

	list_for_each_entry_safe(f, next, &vm->irqfds, node)
		halo_irqfd_detach(f, &gone);
	list_for_each_entry_safe(f, next, &gone, gone)
		halo_irqfd_free(f);
}
