// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory: second-stage faults and the host's MMU notifier.
 *
 * A fault asks the host for the page behind an address (which may sleep, swap,
 * copy), then maps what it got. The host may take that page back at any moment,
 * and says so before it does. The two meet as follows:
 *
 *	fault				notifier
 *	-----				--------
 *	lock; note seq; unlock		start: lock; count and note the range,
 *	get the page (sleeps)		       zap, flush; unlock
 *	lock				(the host changes its tables)
 *	 range under way or seq		end:   lock; seq++; uncount; unlock
 *	 moved? give up, try again
 *	 map; mark dirty
 *	unlock; put the page
 *
 * An invalidation that began before the fault's second lock is seen as under
 * way, or by its seq; one that begins after it finds the mapping and zaps it.
 * So a page reference need not be kept, and no guest memory is ever pinned.
 *
 * This is the long way. A page that the host has at hand takes the short one, in
 * present.c, and comes here only if there is no table for it yet.
 *
 * Faults hold the lock shared: vCPUs fault side by side, which gpt_map() allows.
 * Notifiers, slot changes and the replacement of a leaf hold it exclusive, and
 * flush before they let go: whoever looks next would find nothing mapped and
 * conclude that no CPU uses the page. Tables are freed after the unlock.
 *
 * Nothing is allocated under the lock: what gpt_map() may need is counted in the
 * first section and got before the second.
 */
#include <linux/hugetlb.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "ept.h"

/* Attempts against invalidations before the vCPU is let go to look at its signals. */
#define FAULT_TRIES	8

/* Longest wait in one attempt for an invalidation to end. */
#define FAULT_WAIT	msecs_to_jiffies(10)

/* Tables freed between two looks at need_resched(). */
#define FREE_BATCH	512

/* ---- tables in kernel memory ------------------------------------------- */

static void *table_alloc(void *ctx)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

static void table_free(void *ctx, void *table)
{
	set_page_private(virt_to_page(table), 0);
	free_page((unsigned long)table);
}

static u64 table_phys(const void *table)
{
	return __pa(table);
}

static void *table_virt(u64 phys)
{
	return __va(phys);
}

static void table_set_next(void *table, unsigned long next)
{
	set_page_private(virt_to_page(table), next);
}

static unsigned long table_next(const void *table)
{
	return page_private(virt_to_page(table));
}

static const struct gpt_ops table_ops = {
	.alloc = table_alloc,
	.free = table_free,
	.phys = table_phys,
	.virt = table_virt,
	.set_next = table_set_next,
	.next = table_next,
};

/**
 * halo_mem_free_tables() - free what a zap took out
 * @mem: guest memory; not locked
 * @zapped: flushed since
 * @sleep: the caller may sleep
 */
void halo_mem_free_tables(struct halo_mem *mem, struct gpt_zapped *zapped, bool sleep)
{
	while (gpt_free(&mem->gpt, zapped, FREE_BATCH)) {
		if (sleep)
			cond_resched();
	}
}

/**
 * halo_mem_zap() - remove all that maps a range of guest addresses, and flush
 * @mem: guest memory; locked for writing
 * @start: first address
 * @end: first address past the range
 * @zapped: tables, for halo_mem_free_tables() after the unlock
 */
void halo_mem_zap(struct halo_mem *mem, u64 start, u64 end, struct gpt_zapped *zapped)
{
	if (gpt_zap(&mem->gpt, start, end, zapped))
		mem->config.flush(mem);
}

/* ---- faults ------------------------------------------------------------ */

/**
 * struct fault - one second-stage fault on its way
 * @gpa: where
 * @access: GPT_* rights that it needs
 * @slot: copy of the slot that holds @gpa
 * @hva: user address behind @gpa
 * @seq: mem->seq when @slot was looked up
 * @page: behind @hva, with a reference
 * @writable: the host lets this process write to @page
 * @level: of the leaf, a guess: tables are got for it
 * @cache: tables for gpt_map()
 */
struct fault {
	u64 gpa;
	unsigned int access;
	struct halo_slot slot;
	unsigned long hva;
	unsigned long seq;
	struct page *page;
	bool writable;
	int level;
	struct gpt_cache cache;
};

/*
 * First section: what is there. MAPPED if another vCPU was faster, -EBUSY if
 * asking the host would be in vain, -EINPROGRESS to go on; then *missing tables
 * are needed.
 */
static int fault_look(struct halo_mem *mem, struct fault *f, int *missing)
{
	const struct halo_slot *slot;
	struct gpt_leaf leaf;
	int ret = -EINPROGRESS;

	read_lock(&mem->lock);
	slot = halo_slots_find(halo_mem_slots(mem), f->gpa, &mem->last);
	if (!slot || ((f->access & GPT_WRITE) && (slot->flags & HALO_SLOT_READONLY))) {
		ret = HALO_FAULT_MMIO;
		goto unlock;
	}
	f->slot = *slot;
	f->hva = slot->hva + array_index_nospec((unsigned long)(f->gpa - slot->gpa),
						(unsigned long)slot->bytes);
	f->seq = mem->seq;
	if (gpt_lookup(&mem->gpt, f->gpa, &leaf) && !(f->access & ~leaf.flags))
		ret = HALO_FAULT_MAPPED;
	else if (mem->dead)
		ret = -EFAULT;
	else if (halo_mem_under_way(mem, f->hva, PAGE_SIZE))
		ret = -EBUSY;
	else
		*missing = gpt_missing(&mem->gpt, f->gpa, f->level);
unlock:
	read_unlock(&mem->lock);
	return ret;
}

/*
 * Ask the host for the page. A read that finds it writable maps it so at once;
 * one that does not (zero page, page shared after a fork) leaves it at that, so
 * that a guest that only reads costs no memory.
 */
static int fault_get_page(struct fault *f)
{
	const bool may_write = !(f->slot.flags & HALO_SLOT_READONLY);
	const bool write = f->access & GPT_WRITE;
	long n;

	f->writable = may_write;
	if (get_user_pages_fast_only(f->hva & PAGE_MASK, 1, may_write ? FOLL_WRITE : 0,
				     &f->page) == 1)
		return 0;

	f->writable = write;
	n = get_user_pages_unlocked(f->hva & PAGE_MASK, 1, &f->page,
				    FOLL_HWPOISON | (write ? FOLL_WRITE : 0));
	if (n == 1)
		return 0;
	if (fatal_signal_pending(current))
		return -EINTR;
	return n == -EHWPOISON || n == -ENOMEM ? n : -EFAULT;
}

/*
 * How large does the host map this page? Its tables are stable, as an
 * invalidation would have to wait for mem->lock; interrupts are off because a
 * table may be freed meanwhile that no translation was in (CPUs with interrupts
 * off hold that up). Large leaves must show the page that GUP gave, with the
 * rights that it gave.
 */
static int host_level(struct mm_struct *mm, unsigned long hva, unsigned long pfn, bool write)
{
	int level = GPT_LEVEL_4K;
	unsigned long flags;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		if (pud_pfn(pud) + ((hva & ~PUD_MASK) >> PAGE_SHIFT) == pfn &&
		    (!write || pud_write(pud)))
			level = GPT_LEVEL_1G;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_none(pmd) || !pmd_present(pmd) || !pmd_leaf(pmd))
		goto out;
	if (pmd_pfn(pmd) + ((hva & ~PMD_MASK) >> PAGE_SHIFT) == pfn && (!write || pmd_write(pmd)))
		level = GPT_LEVEL_2M;
out:
	local_irq_restore(flags);
	return level;
}

/* The largest leaf that slot, hardware, mitigation and host allow. */
static int fault_level(struct halo_mem *mem, struct fault *f)
{
	int level = halo_slot_level(&f->slot, f->gpa, mem->config.max_level);

	if (level == GPT_LEVEL_4K ||
	    (mem->config.nx_huge && (f->access & GPT_EXEC)))
		return GPT_LEVEL_4K;
	level = min(level, host_level(mem->mm, f->hva, page_to_pfn(f->page), f->writable));
	/* Its neighbours may be on their way out while this page is not. */
	while (level > GPT_LEVEL_4K && halo_mem_under_way(mem, f->hva, gpt_span(level)))
		level--;
	return level;
}

static unsigned int fault_flags(struct halo_mem *mem, struct fault *f, int level)
{
	unsigned int flags = GPT_READ | GPT_ACCESSED;

	if (f->writable)
		flags |= GPT_WRITE;
	if (f->access & GPT_WRITE)
		flags |= GPT_DIRTY;
	if (level == GPT_LEVEL_4K || !mem->config.nx_huge)
		flags |= GPT_EXEC;
	return flags;
}

/* Second section: map the page, if it is still the page. */
static int fault_map(struct halo_mem *mem, struct fault *f)
{
	int level, ret;

	read_lock(&mem->lock);
	if (mem->seq != f->seq || halo_mem_under_way(mem, f->hva, PAGE_SIZE)) {
		read_unlock(&mem->lock);
		return -EAGAIN;
	}
	level = fault_level(mem, f);
	for (;;) {
		u64 mask = gpt_span(level) - 1;

		ret = gpt_map(&mem->gpt, &f->cache, f->gpa & ~mask,
			      PFN_PHYS(page_to_pfn(f->page)) & ~mask, level,
			      fault_flags(mem, f, level));
		/* Smaller leaves are here already: add one more to them. */
		if (ret != -EISDIR)
			break;
		level--;
	}
	/* Before anybody can unmap it: later, nobody would know that it was written. */
	if (!ret && f->writable)
		set_page_dirty(f->page);
	if (!ret && level != READ_ONCE(mem->level))
		WRITE_ONCE(mem->level, level);
	read_unlock(&mem->lock);
	return ret;
}

/*
 * Another leaf is in the way: a large one that may not be executed, where a
 * small one shall be. Take it out and begin again.
 */
static void fault_clear_way(struct halo_mem *mem, struct fault *f)
{
	struct gpt_zapped zapped = {};

	write_lock(&mem->lock);
	halo_mem_zap(mem, f->gpa, f->gpa + 1, &zapped);
	write_unlock(&mem->lock);
	halo_mem_free_tables(mem, &zapped, true);
}

static int fault_once(struct halo_mem *mem, struct fault *f)
{
	int missing = 0, ret;

	ret = fault_look(mem, f, &missing);
	if (ret != -EINPROGRESS)
		return ret;
	ret = gpt_cache_fill(&mem->gpt, &f->cache, missing);
	if (ret)
		return ret;
	ret = fault_get_page(f);
	if (ret)
		return ret;

	ret = fault_map(mem, f);
	put_page(f->page);
	if (ret == -EEXIST) {
		fault_clear_way(mem, f);
		ret = -EAGAIN;
	} else if (ret == -ENOMEM) {
		/* The guess was wrong, or a table was zapped since the first look. */
		f->level = GPT_LEVEL_4K;
		ret = -EAGAIN;
	}
	return ret;
}

/**
 * halo_mem_fault() - handle a second-stage fault
 * @mem: guest memory
 * @gpa: guest-physical address, any value
 * @access: GPT_* rights that the guest wanted there
 *
 * For a thread of the VM's process, holding no lock of ept/. Sleeps, killable.
 *
 * Return: enum halo_fault, or -EFAULT: the mapping behind the slot has no page
 * there (unmapped, past the end of a file, no such right, or a device's memory,
 * which is not supported); -EHWPOISON: the page is broken; -ENOMEM; -EINTR: a
 * fatal signal; -EIO: another process.
 */
int halo_mem_fault(struct halo_mem *mem, u64 gpa, unsigned int access)
{
	struct fault f = {
		.gpa = gpa, .access = access | GPT_READ, .level = READ_ONCE(mem->level),
	};
	int tries, ret;

	if (current->mm != mem->mm)
		return -EIO;

	for (tries = 0; tries < FAULT_TRIES; tries++) {
		ret = fatal_signal_pending(current) ? -EINTR : fault_once(mem, &f);
		if (ret == -EAGAIN) {
			cond_resched();
			continue;
		}
		/*
		 * The one who takes the page away may sleep in between, maybe for want
		 * of this CPU: do not spin, and do not enter a guest that would only
		 * fault again.
		 */
		if (ret != -EBUSY ||
		    wait_event_interruptible_timeout(mem->ended, !READ_ONCE(mem->active),
						     FAULT_WAIT) < 0)
			break;
	}
	gpt_cache_drain(&mem->gpt, &f.cache);
	return ret == -EAGAIN || ret == -EBUSY ? HALO_FAULT_MAPPED : ret;
}

/* ---- the host's side --------------------------------------------------- */

static struct halo_mem *mem_of(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct halo_mem, notifier);
}

/* What is to be done to all that maps a range of user addresses. */
enum part_op { PART_FIND, PART_TEST_AGE, PART_CLEAR_AGE, PART_ZAP };

/*
 * Do it in all slots, under the lock that it takes. True: there was a slot, a page
 * in use, a mapping.
 */
static bool for_parts(struct halo_mem *mem, u64 start, u64 end, enum part_op op,
		      struct gpt_zapped *zapped)
{
	const struct halo_slots *slots = halo_mem_slots(mem);
	bool any = false;
	u64 from, to;
	u32 i;

	for (i = 0; i < slots->count; i++) {
		if (!halo_slot_part(&slots->slot[i], start, end, &from, &to))
			continue;
		switch (op) {
		case PART_FIND:
			return true;
		case PART_TEST_AGE:
		case PART_CLEAR_AGE:
			any |= gpt_age(&mem->gpt, from, to, op == PART_CLEAR_AGE);
			break;
		case PART_ZAP:
			any |= gpt_zap(&mem->gpt, from, to, zapped);
			break;
		}
	}
	if (any && op == PART_ZAP)
		mem->config.flush(mem);
	return any;
}

/*
 * Ranges outside all slots are counted, too: a slot may be added before the end.
 * While several run, the range kept is their hull, until the last has ended.
 */
static int notifier_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct halo_mem *mem = mem_of(notifier);
	struct gpt_zapped zapped = {};

	write_lock(&mem->lock);
	if (!mem->active) {
		mem->start = range->start;
		mem->end = range->end;
	} else {
		mem->start = min(mem->start, range->start);
		mem->end = max(mem->end, range->end);
	}
	WRITE_ONCE(mem->active, mem->active + 1);
	for_parts(mem, range->start, range->end, PART_ZAP, &zapped);
	write_unlock(&mem->lock);
	halo_mem_free_tables(mem, &zapped, mmu_notifier_range_blockable(range));
	return 0;
}

static void notifier_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct halo_mem *mem = mem_of(notifier);

	write_lock(&mem->lock);
	/* A range that no slot has now concerns no fault: losing a slot moved seq itself. */
	if (for_parts(mem, range->start, range->end, PART_FIND, NULL))
		mem->seq++;
	WRITE_ONCE(mem->active, mem->active - 1);
	write_unlock(&mem->lock);
	if (wq_has_sleeper(&mem->ended))
		wake_up_all(&mem->ended);
}

/* Called with the host's page-table locks held. */
static bool age(struct halo_mem *mem, unsigned long start, unsigned long end, enum part_op op)
{
	bool young;

	read_lock(&mem->lock);
	young = for_parts(mem, start, end, op, NULL);
	read_unlock(&mem->lock);
	return young;
}

/*
 * Hardware without accessed bits gets the pages taken away: those that the guest
 * uses come back by faults. Tables may be collected here but no page-table lock
 * may be held for long, hence the narrow ranges that the host asks about.
 */
static int notifier_clear_flush_young(struct mmu_notifier *notifier, struct mm_struct *mm,
				      unsigned long start, unsigned long end)
{
	struct halo_mem *mem = mem_of(notifier);
	struct gpt_zapped zapped = {};
	bool young;

	if (mem->config.fmt->accessed)
		return age(mem, start, end, PART_CLEAR_AGE);

	write_lock(&mem->lock);
	young = for_parts(mem, start, end, PART_ZAP, &zapped);
	write_unlock(&mem->lock);
	halo_mem_free_tables(mem, &zapped, false);
	return young;
}

static int notifier_clear_young(struct mmu_notifier *notifier, struct mm_struct *mm,
				unsigned long start, unsigned long end)
{
	return age(mem_of(notifier), start, end, PART_CLEAR_AGE);
}

static int notifier_test_young(struct mmu_notifier *notifier, struct mm_struct *mm,
			       unsigned long address)
{
	return age(mem_of(notifier), address, address + 1, PART_TEST_AGE);
}

/* The mm ends, or halo_mem_destroy() unregisters. */
static void notifier_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct halo_mem *mem = mem_of(notifier);
	struct gpt_zapped zapped = {};

	write_lock(&mem->lock);
	mem->dead = true;
	mem->seq++;
	halo_mem_zap(mem, 0, gpt_limit(&mem->gpt), &zapped);
	write_unlock(&mem->lock);
	halo_mem_free_tables(mem, &zapped, true);
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = notifier_release,
	.clear_flush_young = notifier_clear_flush_young,
	.clear_young = notifier_clear_young,
	.test_young = notifier_test_young,
	.invalidate_range_start = notifier_start,
	.invalidate_range_end = notifier_end,
};

/* ---- life -------------------------------------------------------------- */

/**
 * halo_mem_init() - make a VM's guest memory, without slots
 * @mem: the object
 * @mm: of the calling process, to which the VM belongs from now on
 * @config: copied
 *
 * Sleeps; the caller does not hold mmap_lock.
 *
 * Return: 0, -ENOMEM or -EINTR.
 */
int halo_mem_init(struct halo_mem *mem, struct mm_struct *mm,
		  const struct halo_mem_config *config)
{
	int levels = config->fmt->host_levels && pgtable_l5_enabled() ? 5 : 4, err;
	struct halo_slots *slots;

	memset(mem, 0, sizeof(*mem));
	mem->config = *config;
	/* A CPU may have more address bits than four levels reach. */
	mem->config.gpa_bits = min(config->gpa_bits, 12U + 9 * levels);
	mem->mm = mm;
	mem->level = GPT_LEVEL_4K;
	rwlock_init(&mem->lock);
	init_waitqueue_head(&mem->ended);
	mem->notifier.ops = &notifier_ops;

	/* SME: the bit that every physical address in a table carries (APM 2 7.10). */
	err = gpt_init(&mem->gpt, config->fmt, levels, &table_ops, mem, __sme_set(0ULL));
	if (err)
		return err;
	err = -ENOMEM;
	slots = kvzalloc(halo_slots_bytes(0), GFP_KERNEL_ACCOUNT);
	if (!slots)
		goto no_slots;
	rcu_assign_pointer(mem->slots, slots);
	err = init_srcu_struct(&mem->srcu);
	if (err)
		goto no_srcu;
	err = mmu_notifier_register(&mem->notifier, mm);
	if (err)
		goto no_notifier;
	return 0;

no_notifier:
	cleanup_srcu_struct(&mem->srcu);
no_srcu:
	kvfree(slots);
no_slots:
	gpt_destroy(&mem->gpt);
	return err;
}

/**
 * halo_mem_destroy() - undo halo_mem_init()
 * @mem: the object; no vCPU uses it any more. config.flush() may be called until
 *	this returns
 *
 * Sleeps; any process.
 */
void halo_mem_destroy(struct halo_mem *mem)
{
	/* Calls notifier_release() unless the mm's end did; drops the mm. */
	mmu_notifier_unregister(&mem->notifier, mem->mm);
	cleanup_srcu_struct(&mem->srcu);
	halo_mem_free_slots(rcu_dereference_protected(mem->slots, true));
	gpt_destroy(&mem->gpt);
}
