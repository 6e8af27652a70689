// SPDX-License-Identifier: GPL-2.0
/*
 * Second-stage faults on pages that the host has in its own tables: most of them.
 *
 * One section of mem->lock, with interrupts off and without a page reference: what
 * the host's tables show stays true until the notifier gets the lock, so the whole
 * of mem.c's protocol shrinks to "no invalidation under way". It only tries: whoever
 * must sleep, allocate, or ask the host goes to halo_mem_fault().
 *
 * Nothing is asked of the host, so nothing changes there. Only anonymous and shared
 * memory is taken here (swap-backed: no page of a driver, of a file or of secret
 * memory is), with the rights that the host's entry has now. Writable means dirty
 * already: the host will then treat the page as written when it takes it back,
 * whatever the guest did. A clean one is mapped for reading only, and the guest's
 * first write goes the long way.
 *
 * Fault-around: a fault beside a page that is mapped brings the other present pages
 * of the same aligned sixteen. Pages beside nothing come alone, as who jumps about
 * would only pay for fifteen more. They are mapped as not accessed, so that aging
 * sees what the guest uses; hardware that has no such bit gets single pages.
 */
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/pgtable.h>
#include <linux/sched.h>

#include "ept.h"

#define ROW_BYTES	(16 * PAGE_SIZE)

/**
 * struct host_leaf - what the host's tables say of a user address
 * @pte: entry, also of a large page
 * @ptep: where it is in a table of small pages, or NULL: it is a large page
 * @pfn: of the small page, or of the large one's first
 */
struct host_leaf {
	pte_t pte;
	pte_t *ptep;
	unsigned long pfn;
};

/* Interrupts are off, so that no table is freed. False: not there, or not so simple. */
static bool host_find(struct mm_struct *mm, unsigned long hva, struct host_leaf *h)
{
	pgd_t pgd = READ_ONCE(*pgd_offset(mm, hva));
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	if (pgd_none(pgd))
		return false;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (!p4d_present(p4d))
		return false;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (!pud_present(pud) || pud_leaf(pud))
		return false;
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_present(pmd))
		return false;
	if (pmd_leaf(pmd)) {
		h->ptep = NULL;
		h->pte = __pte(pmd_val(pmd));
		h->pfn = pmd_pfn(pmd);
		/* Only a small page's entry can say that there is no struct page. */
		return pfn_valid(h->pfn);
	}
	h->ptep = pte_offset_kernel(&pmd, hva);
	h->pte = READ_ONCE(*h->ptep);
	h->pfn = pte_pfn(h->pte);
	return !pte_special(h->pte);
}

/* What a guest may have of a page, as GPT_READ and GPT_WRITE; 0: ask the host. */
static unsigned int rights(const struct halo_slot *slot, pte_t pte, unsigned long pfn)
{
	if (!pte_access_permitted(pte, false) ||
	    !folio_test_swapbacked(page_folio(pfn_to_page(pfn))))
		return 0;
	if (!(slot->flags & HALO_SLOT_READONLY) && pte_dirty(pte) &&
	    pte_access_permitted(pte, true))
		return GPT_READ | GPT_WRITE;
	return GPT_READ;
}

/*
 * The other pages of the row: in the slot, and in the same tables on both sides, or in
 * the same large page of the host's.
 */
static void map_row(struct halo_mem *mem, const struct halo_slot *slot, u64 gpa,
		    unsigned long hva, u64 *entry, const struct host_leaf *h)
{
	u64 in_row = gpa & (ROW_BYTES - 1), in_slot = gpa - slot->gpa, in_table = hva & ~PMD_MASK;
	long back = min3(in_row, in_slot, in_table) >> PAGE_SHIFT;
	long ahead = min3(ROW_BYTES - 1 - in_row, slot->bytes - 1 - in_slot,
			  PMD_SIZE - 1 - in_table) >> PAGE_SHIFT;
	unsigned int flags;
	long i;

	for (i = -back; i <= ahead; i++) {
		pte_t pte = h->ptep ? READ_ONCE(h->ptep[i]) : h->pte;
		unsigned long pfn = h->ptep ? pte_pfn(pte) : h->pfn + i;

		if (READ_ONCE(entry[i]) || (h->ptep && pte_special(pte)))
			continue;
		flags = rights(slot, pte, pfn);
		if (flags)
			gpt_put(&mem->gpt, entry + i, PFN_PHYS(pfn), GPT_LEVEL_4K,
				flags | GPT_EXEC);
	}
}

/* May this large page be mapped as one? */
static bool large_fits(struct halo_mem *mem, const struct halo_slot *slot, u64 gpa,
		       unsigned long hva, unsigned int access)
{
	return !(mem->config.nx_huge && (access & GPT_EXEC)) &&
	       halo_slot_level(slot, gpa, GPT_LEVEL_2M) == GPT_LEVEL_2M &&
	       !halo_mem_under_way(mem, hva, PMD_SIZE);
}

static int map_present(struct halo_mem *mem, const struct halo_slot *slot, u64 gpa,
		       unsigned int access)
{
	unsigned long hva = slot->hva + array_index_nospec((unsigned long)(gpa - slot->gpa),
							   (unsigned long)slot->bytes);
	struct host_leaf h;
	struct gpt_place p;
	unsigned int flags;
	bool beside;

	if (halo_mem_under_way(mem, hva, PAGE_SIZE) || !host_find(mem->mm, hva, &h))
		return -EAGAIN;
	flags = rights(slot, h.pte, h.pfn);
	if (!flags || (access & GPT_WRITE & ~flags))
		return -EAGAIN;
	flags |= GPT_ACCESSED;
	if (access & GPT_WRITE)
		flags |= GPT_DIRTY;

	gpt_find(&mem->gpt, gpa, &p);
	if (p.level == GPT_LEVEL_4K) {
		if (!h.ptep)
			h.pfn += pte_index(hva);
		flags |= GPT_EXEC;
	} else if (p.level == GPT_LEVEL_2M && !h.ptep && large_fits(mem, slot, gpa, hva, access)) {
		if (!mem->config.nx_huge)
			flags |= GPT_EXEC;
	} else {
		return -EAGAIN;
	}
	beside = p.level == GPT_LEVEL_4K && mem->config.fmt->accessed && gpt_beside(&p);
	if (gpt_put(&mem->gpt, p.entry, PFN_PHYS(h.pfn), p.level, flags))
		return -EAGAIN;
	if (beside && !halo_mem_under_way(mem, hva, PMD_SIZE))
		map_row(mem, slot, gpa, hva, p.entry, &h);
	if (p.level != READ_ONCE(mem->level))
		WRITE_ONCE(mem->level, p.level);
	return HALO_FAULT_MAPPED;
}

/**
 * halo_mem_present() - handle a second-stage fault, if the host has the page at hand
 * @mem: guest memory
 * @gpa: guest-physical address, any value
 * @access: GPT_* rights that the guest wanted there
 *
 * For a thread of the VM's process, with interrupts off, holding no lock of ept/.
 *
 * Return: enum halo_fault, or -EAGAIN: halo_mem_fault() must see to it.
 */
int halo_mem_present(struct halo_mem *mem, u64 gpa, unsigned int access)
{
	const struct halo_slot *slot;
	int ret = HALO_FAULT_MMIO;

	lockdep_assert_irqs_disabled();
	/* Who holds it for writing may wait for this CPU to take an interrupt. */
	if (current->mm != mem->mm || !read_trylock(&mem->lock))
		return -EAGAIN;
	slot = halo_slots_find(halo_mem_slots(mem), gpa, &mem->last);
	if (slot && !((access & GPT_WRITE) && (slot->flags & HALO_SLOT_READONLY)))
		ret = map_present(mem, slot, gpa, access);
	read_unlock(&mem->lock);
	return ret;
}
