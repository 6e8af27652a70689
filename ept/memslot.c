// SPDX-License-Identifier: GPL-2.0
/*
 * Memslots: guest-physical ranges backed by the VM process's own mappings, and
 * the module's own accesses to them.
 *
 * The table of slots is replaced as a whole. Two kinds of readers follow the
 * pointer: those that hold mem->lock (faults, the MMU notifier) and those in an
 * SRCU section, which may sleep while they copy to or from the user's pages.
 *
 * A change publishes the new table, zaps what the old slot had mapped and
 * flushes, all in one exclusive section: a notifier that ran in between would
 * not find the slot any more and would leave its pages mapped. A fault that is
 * under way with the old slot sees mem->seq moved and starts over. When the
 * change returns, nobody reads, writes or maps through the old slot.
 *
 * Where there was no old slot, nobody needs to be waited for: the old table then
 * stays behind the new one, a few of them at most. So a VM that is being built does
 * not sit through a grace period for each of its slots.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ept.h"

/* Old tables kept at most. */
#define OLDER_MAX	8

/**
 * halo_mem_free_slots() - free a table and those behind it
 * @slots: the table, which nobody reads any more, or NULL
 */
void halo_mem_free_slots(struct halo_slots *slots)
{
	while (slots) {
		struct halo_slots *older = slots->older;

		kvfree(slots);
		slots = older;
	}
}

/* The caller serializes changes; nobody else can replace the table. */
static struct halo_slots *slots_own(struct halo_mem *mem)
{
	return rcu_dereference_protected(mem->slots, true);
}

/* Whole range in the user's half. A tagged address is not: it is not where the page is. */
static bool user_range(u64 hva, u64 bytes)
{
	return bytes <= TASK_SIZE_MAX && hva <= TASK_SIZE_MAX - bytes &&
		access_ok((void __user *)(unsigned long)hva, bytes);
}

/**
 * halo_mem_set_slot() - add, change, move or delete a memslot
 * @mem: guest memory
 * @id: number of the slot, below HALO_MEM_SLOTS
 * @flags: HALO_SLOT_*
 * @gpa: guest-physical start
 * @bytes: length, 0 to delete
 * @hva: user address of the first byte
 *
 * Sleeps. The caller holds its configuration mutex. On failure nothing has
 * changed.
 *
 * Return: 0; -EINVAL: number, flag, alignment, range, or the slot exists with
 * another length or user address; -EEXIST: it overlaps another slot; -ENOENT:
 * there is no such slot to delete; -ENOMEM.
 */
int halo_mem_set_slot(struct halo_mem *mem, u32 id, u32 flags, u64 gpa, u64 bytes, u64 hva)
{
	const struct halo_slot want = {
		.gpa = gpa, .bytes = bytes, .hva = hva, .id = id, .flags = flags,
	};
	struct halo_slots *old = slots_own(mem), *new;
	struct gpt_zapped zapped = {};
	struct halo_slot gone;
	int err;

	err = halo_slots_check(&want, mem->config.gpa_bits);
	if (err)
		return err;
	if (bytes && !user_range(hva, bytes))
		return -EINVAL;

	new = kvzalloc(halo_slots_bytes(old->count + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	err = halo_slots_replace(new, old, &want, &gone);
	if (err) {
		kvfree(new);
		return err;
	}

	new->older = old;
	write_lock(&mem->lock);
	rcu_assign_pointer(mem->slots, new);
	mem->seq++;
	if (gone.bytes)
		halo_mem_zap(mem, gone.gpa, gone.gpa + gone.bytes, &zapped);
	write_unlock(&mem->lock);

	halo_mem_free_tables(mem, &zapped, true);
	if (gone.bytes || ++mem->older > OLDER_MAX) {
		synchronize_srcu_expedited(&mem->srcu);
		new->older = NULL;
		halo_mem_free_slots(old);
		mem->older = 0;
	}
	return 0;
}

/*
 * The user address behind a guest-physical one, in an SRCU section; NULL: none, or
 * a read-only one and @write. The offset is the guest's: no speculation past the end.
 */
static void __user *user_address(struct halo_mem *mem, u64 gpa, bool write, u64 *left)
{
	const struct halo_slots *slots = srcu_dereference(mem->slots, &mem->srcu);
	const struct halo_slot *slot = halo_slots_find(slots, gpa, &mem->last);
	unsigned long offset;

	if (!slot || (write && (slot->flags & HALO_SLOT_READONLY)))
		return NULL;
	offset = array_index_nospec((unsigned long)(gpa - slot->gpa), (unsigned long)slot->bytes);
	*left = slot->bytes - offset;
	return (void __user *)(unsigned long)(slot->hva + offset);
}

/* Page-table entries and registers come by the word: no need for a copy's checks. */
static bool user_copy(void __user *user, void *buf, u64 n, bool write)
{
	if (write)
		return !copy_to_user(user, buf, n);
	if (n == sizeof(u64))
		return !get_user(*(u64 *)buf, (u64 __user *)user);
	if (n == sizeof(u32))
		return !get_user(*(u32 *)buf, (u32 __user *)user);
	return !copy_from_user(buf, user, n);
}

/**
 * halo_mem_user() - where a guest-physical address is in the VM's process
 * @mem: guest memory
 * @gpa: the address
 *
 * Sleeps.  The answer holds as long as mem->seq is what it was before the call.
 *
 * Return: the user address, NULL if there is no memory.
 */
const void __user *halo_mem_user(struct halo_mem *mem, u64 gpa)
{
	int idx = srcu_read_lock(&mem->srcu);
	void __user *user;
	u64 left;

	user = user_address(mem, gpa, false, &left);
	srcu_read_unlock(&mem->srcu, idx);
	return user;
}

/**
 * halo_mem_copy() - copy between guest memory and a buffer
 * @mem: guest memory
 * @gpa: guest-physical address; the range may cross slots that touch
 * @buf: the buffer
 * @len: bytes
 * @write: into guest memory
 *
 * Sleeps. For the VM's process only.
 *
 * Return: 0, or -EFAULT: not all of it is memory, or writable memory (a part may
 * have been copied).
 */
int halo_mem_copy(struct halo_mem *mem, u64 gpa, void *buf, size_t len, bool write)
{
	int idx, ret = 0;

	if (current->mm != mem->mm)
		return -EFAULT;

	idx = srcu_read_lock(&mem->srcu);
	while (len && !ret) {
		u64 left, n;
		void __user *user = user_address(mem, gpa, write, &left);

		n = user ? min_t(u64, len, left) : 0;
		if (!n || !user_copy(user, buf, n, write))
			ret = -EFAULT;
		buf += n;
		gpa += n;
		len -= n;
	}
	srcu_read_unlock(&mem->srcu, idx);
	return ret;
}

/**
 * halo_mem_poke() - write guest memory where it is not allowed to sleep
 * @mem: guest memory
 * @gpa: guest-physical address
 * @buf: what to write
 * @len: bytes, all in one page
 *
 * For the VM's process only.
 *
 * Return: 0; -EFAULT: no writable memory, or its page is not there.
 */
int halo_mem_poke(struct halo_mem *mem, u64 gpa, const void *buf, size_t len)
{
	int idx, ret = -EFAULT;
	void __user *user;
	u64 left;

	if (current->mm != mem->mm)
		return -EFAULT;
	idx = srcu_read_lock(&mem->srcu);
	user = user_address(mem, gpa, true, &left);
	if (user && left >= len)
		ret = copy_to_user_nofault(user, buf, len);
	srcu_read_unlock(&mem->srcu, idx);
	return ret;
}

static int user_cmpxchg(void __user *user, u64 old, u64 new, unsigned int bytes)
{
	u32 old32 = old;

	/* 0: exchanged, 1: another value, or -EFAULT. */
	if (bytes == sizeof(u32))
		return __try_cmpxchg_user((u32 __user *)user, &old32, (u32)new, fault32);
	return __try_cmpxchg_user((u64 __user *)user, &old, new, fault64);
}

/**
 * halo_mem_cmpxchg() - compare and exchange in guest memory
 * @mem: guest memory
 * @gpa: guest-physical address, aligned to @bytes
 * @old: value that must be there
 * @new: value to put
 * @bytes: 4 or 8
 *
 * Sleeps. For the VM's process only. Atomic against the guest's own vCPUs.
 *
 * Return: 0; -EAGAIN: another value was there; -EFAULT: not writable memory;
 * -EINVAL: alignment or size.
 */
int halo_mem_cmpxchg(struct halo_mem *mem, u64 gpa, u64 old, u64 new, unsigned int bytes)
{
	void __user *user;
	int idx, ret = -EFAULT;
	u64 left;

	if ((bytes != 4 && bytes != 8) || (gpa & (bytes - 1)))
		return -EINVAL;
	if (current->mm != mem->mm)
		return -EFAULT;

	idx = srcu_read_lock(&mem->srcu);
	user = user_address(mem, gpa, true, &left);
	if (user)
		ret = user_cmpxchg(user, old, new, bytes);
	srcu_read_unlock(&mem->srcu, idx);
	return ret > 0 ? -EAGAIN : ret;
}
