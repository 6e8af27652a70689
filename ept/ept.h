/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM's guest memory: memslots, second-stage tables, the host's MMU notifier.
 *
 * This is what the VM core sees of ept/. There is no vCPU here: the core tells a
 * second-stage fault by halo_mem_fault(), and is told by config.flush() when old
 * translations must be out of every TLB.
 *
 * Guest memory is the caller's own mapping. Pages are looked up when the guest
 * touches them and no reference is kept: the MMU notifier takes the translation
 * away before the host takes the page.
 *
 * Locks, outermost first:
 *
 *	the caller's configuration mutex (vm->lock): around halo_mem_set_slot
 *	mem->srcu (read): while a slot's user address is in use
 *	mmap_lock, page-table and rmap locks of the host's mm
 *	mem->lock: tables, slots pointer (write), invalidation counters; never
 *	waited for with interrupts off, so that its holder may wait for an IPI
 */
#ifndef HALO_EPT_H
#define HALO_EPT_H

#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "gpt.h"
#include "slots.h"

/**
 * enum halo_fault - what halo_mem_fault() found, where it is no error
 * @HALO_FAULT_MAPPED: enter the guest again (mapped, or worth another try)
 * @HALO_FAULT_MMIO: no memslot there, or a write to a read-only one
 */
enum halo_fault {
	HALO_FAULT_MAPPED = 0,
	HALO_FAULT_MMIO = 1,
};

struct halo_mem;

/**
 * struct halo_mem_config - what a VM's memory looks like
 * @fmt: entry format: &gpt_npt, &gpt_ept or &gpt_ept_noad
 * @flush: rights were removed from the tables. When this returns, no CPU uses
 *	a translation that was cached before the call, and no CPU is in the
 *	middle of a walk that began before it. Called with mem->lock held for
 *	writing: must not sleep, must not call into ept/. May be called by any
 *	thread (reclaim, another process), until halo_mem_destroy() returns.
 * @gpa_bits: width of a guest-physical address; slots must lie below it, and
 *	below what the tables span
 * @max_level: largest leaf the hardware takes, GPT_LEVEL_*
 * @nx_huge: never map a large leaf executable (iTLB multihit, CVE-2018-12207)
 */
struct halo_mem_config {
	const struct gpt_format *fmt;
	void (*flush)(struct halo_mem *mem);
	unsigned int gpa_bits;
	int max_level;
	bool nx_huge;
};

/**
 * struct halo_mem - a VM's guest memory; the fields are ept/'s own
 * @config: as given
 * @mm: whose mappings back the slots; held by @notifier
 * @notifier: the host's word of what it takes away
 * @lock: see the chapter above
 * @gpt: tables; shared or exclusive by @lock, see gpt.h
 * @slots: sorted slots, replaced as a whole; SRCU or @lock
 * @older: tables that @slots still has behind it
 * @srcu: readers of @slots that use user addresses
 * @last: index of the slot last found; a hint, any value is safe
 * @level: of the leaf last mapped; a hint: a table is not got for nothing
 * @seq: invalidations that ended and slots that changed (@lock)
 * @active: invalidations between start and end (@lock)
 * @start: lowest user address of those
 * @end: first address past the highest
 * @ended: faults wait here for @active to become 0
 * @dead: the mm is gone
 */
struct halo_mem {
	struct halo_mem_config config;
	struct mm_struct *mm;
	struct mmu_notifier notifier;
	rwlock_t lock;
	struct gpt gpt;
	struct halo_slots __rcu *slots;
	unsigned int older;
	struct srcu_struct srcu;
	unsigned int last;
	int level;
	unsigned long seq;
	unsigned long active;
	unsigned long start;
	unsigned long end;
	wait_queue_head_t ended;
	bool dead;
};

int halo_mem_init(struct halo_mem *mem, struct mm_struct *mm,
		  const struct halo_mem_config *config);
void halo_mem_destroy(struct halo_mem *mem);

int halo_mem_set_slot(struct halo_mem *mem, u32 id, u32 flags, u64 gpa, u64 bytes, u64 hva);

int halo_mem_present(struct halo_mem *mem, u64 gpa, unsigned int access);
int halo_mem_fault(struct halo_mem *mem, u64 gpa, unsigned int access);

const void __user *halo_mem_user(struct halo_mem *mem, u64 gpa);
int halo_mem_copy(struct halo_mem *mem, u64 gpa, void *buf, size_t len, bool write);
int halo_mem_poke(struct halo_mem *mem, u64 gpa, const void *buf, size_t len);
int halo_mem_cmpxchg(struct halo_mem *mem, u64 gpa, u64 old, u64 new, unsigned int bytes);

/* The two directions of halo_mem_copy(). */
static inline int halo_mem_read(struct halo_mem *mem, u64 gpa, void *buf, size_t len)
{
	return halo_mem_copy(mem, gpa, buf, len, false);
}

static inline int halo_mem_write(struct halo_mem *mem, u64 gpa, const void *buf, size_t len)
{
	return halo_mem_copy(mem, gpa, (void *)buf, len, true);
}

/* Between the files of ept/ only. */

/* Slots, for who holds mem->lock. */
static inline const struct halo_slots *halo_mem_slots(struct halo_mem *mem)
{
	return rcu_dereference_protected(mem->slots, lockdep_is_held(&mem->lock));
}

/*
 * Is any of the naturally aligned @bytes around a user address being taken away?
 * Needs mem->lock.
 */
static inline bool halo_mem_under_way(const struct halo_mem *mem, unsigned long hva,
				      unsigned long bytes)
{
	unsigned long start = hva & ~(bytes - 1);

	return mem->active && start < mem->end && start + bytes > mem->start;
}

void halo_mem_zap(struct halo_mem *mem, u64 start, u64 end, struct gpt_zapped *zapped);
void halo_mem_free_slots(struct halo_slots *slots);
void halo_mem_free_tables(struct halo_mem *mem, struct gpt_zapped *zapped, bool sleep);

#endif /* HALO_EPT_H */
