/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM's guest memory: memslots, second-stage tables, the host's MMU notifier.
 *
 * This is what the VM core sees of ept/. There is no vCPU here: the core tells a
 * second-stage fault by halo_mem_fault(), and is told by ops->flush() when old
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
 *	taken with interrupts off, so that its holder may wait for an IPI
 */
#ifndef HALO_EPT_H
#define HALO_EPT_H

#include <linux/atomic.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "gpt.h"
#include "slots.h"

/* What an access needs: arguments of halo_mem_fault(). */
#define HALO_ACCESS_READ	GPT_READ
#define HALO_ACCESS_WRITE	GPT_WRITE
#define HALO_ACCESS_EXEC	GPT_EXEC

/**
 * enum halo_fault - what halo_mem_fault() found, where it is no error
 * @HALO_FAULT_MAPPED: enter the guest again (mapped, or worth another try)
 * @HALO_FAULT_MMIO: no memslot there
 * @HALO_FAULT_READONLY: a write to a read-only memslot
 */
enum halo_fault {
	HALO_FAULT_MAPPED = 0,
	HALO_FAULT_MMIO = 1,
	HALO_FAULT_READONLY = 2,
};

struct halo_mem;

/**
 * struct halo_mem_ops - what guest memory needs of the VM core
 * @flush: rights were removed from the tables. When this returns, no CPU uses
 *	a translation that was cached before the call, and no CPU is in the
 *	middle of a walk that began before it. Called with mem->lock held for
 *	writing: must not sleep, must not call into ept/. May be called by any
 *	thread (reclaim, another process), until halo_mem_destroy() returns.
 */
struct halo_mem_ops {
	void (*flush)(struct halo_mem *mem);
};

/**
 * struct halo_mem_config - what a VM's memory looks like
 * @fmt: entry format: &gpt_npt, &gpt_ept or &gpt_ept_noad
 * @ops: the VM core's side
 * @gpa_bits: width of a guest-physical address; slots must lie below it
 * @levels: 4 or 5 levels of tables; 0 = what @fmt wants on this host
 * @max_level: largest leaf the hardware takes, GPT_LEVEL_*
 * @nx_huge: never map a large leaf executable (iTLB multihit, CVE-2018-12207)
 */
struct halo_mem_config {
	const struct gpt_format *fmt;
	const struct halo_mem_ops *ops;
	unsigned int gpa_bits;
	int levels;
	int max_level;
	bool nx_huge;
};

/**
 * struct halo_mem_stats - figures, each by itself right
 * @faults: second-stage faults that mapped something
 * @retries: faults that lost against an invalidation
 * @large: large leaves mapped
 * @zaps: invalidations that found something to remove
 */
struct halo_mem_stats {
	atomic_long_t faults;
	atomic_long_t retries;
	atomic_long_t large;
	atomic_long_t zaps;
};

/**
 * struct halo_mem - a VM's guest memory; the fields are ept/'s own
 * @config: as given
 * @mm: whose mappings back the slots; held by @notifier
 * @notifier: the host's word of what it takes away
 * @lock: see the chapter above
 * @gpt: tables; shared or exclusive by @lock, see gpt.h
 * @slots: sorted slots, replaced as a whole; SRCU or @lock
 * @srcu: readers of @slots that use user addresses
 * @last: index of the slot last found; a hint, any value is safe
 * @seq: invalidations that ended and slots that changed (@lock)
 * @active: invalidations between start and end (@lock)
 * @start: lowest user address of those
 * @end: first address past the highest
 * @ended: faults wait here for @active to become 0
 * @dead: the mm is gone
 * @stats: figures
 */
struct halo_mem {
	struct halo_mem_config config;
	struct mm_struct *mm;
	struct mmu_notifier notifier;
	rwlock_t lock;
	struct gpt gpt;
	struct halo_slots __rcu *slots;
	struct srcu_struct srcu;
	unsigned int last;
	unsigned long seq;
	unsigned long active;
	unsigned long start;
	unsigned long end;
	wait_queue_head_t ended;
	bool dead;
	struct halo_mem_stats stats;
};

int halo_mem_init(struct halo_mem *mem, struct mm_struct *mm,
		  const struct halo_mem_config *config);
void halo_mem_destroy(struct halo_mem *mem);

int halo_mem_set_slot(struct halo_mem *mem, u32 id, u32 flags, u64 gpa, u64 bytes, u64 hva);

int halo_mem_fault(struct halo_mem *mem, u64 gpa, unsigned int access);

int halo_mem_read(struct halo_mem *mem, u64 gpa, void *buf, size_t len);
int halo_mem_write(struct halo_mem *mem, u64 gpa, const void *buf, size_t len);
int halo_mem_cmpxchg(struct halo_mem *mem, u64 gpa, u64 old, u64 new, unsigned int bytes);

/**
 * halo_mem_enter() - begin using addresses that halo_mem_hva() gives
 * @mem: guest memory
 *
 * May be held while sleeping. halo_mem_set_slot() waits for the matching leave,
 * so never call it in between.
 *
 * Return: a value for halo_mem_leave().
 */
static inline int halo_mem_enter(struct halo_mem *mem)
{
	return srcu_read_lock(&mem->srcu);
}

/**
 * halo_mem_leave() - stop using addresses that halo_mem_hva() gave
 * @mem: guest memory
 * @idx: what halo_mem_enter() returned
 */
static inline void halo_mem_leave(struct halo_mem *mem, int idx)
{
	srcu_read_unlock(&mem->srcu, idx);
}

void __user *halo_mem_hva(struct halo_mem *mem, u64 gpa, bool write);

u64 halo_mem_root(const struct halo_mem *mem);

/* Between the files of ept/ only. */
void halo_mem_free_tables(struct halo_mem *mem, struct gpt_zapped *zapped, bool sleep);

#endif /* HALO_EPT_H */
