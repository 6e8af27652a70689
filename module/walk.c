// SPDX-License-Identifier: GPL-2.0
/*
 * The walk of a guest's own page tables: GVA to GPA, with the guest's rights.
 *
 * One loop for all four paging modes; a mode is a row of numbers (levels, bits of
 * index per level, bytes per entry). The order of the checks is the CPU's: not
 * present, then reserved bits, level by level; rights at the end, from what all
 * levels grant together; accessed and dirty bits last.
 *
 * Callers: fetch for decoding, string port I/O, operands on device pages; from a
 * vCPU's own thread. No lock: the guest's other CPUs may write the tables
 * meanwhile, as on hardware, so every entry is read once and judged by that copy.
 *
 * Why not the CPU: SVM has no instruction for it, and VT-x gives the GVA only.
 */
#include "walk.h"

#define CR0_WP		BIT_ULL(16)
#define CR0_PG		BIT_ULL(31)
#define CR4_PSE		BIT_ULL(4)
#define CR4_PAE		BIT_ULL(5)
#define CR4_LA57	BIT_ULL(12)
#define CR4_SMEP	BIT_ULL(20)
#define CR4_SMAP	BIT_ULL(21)
#define WALK_EFER_LMA	BIT_ULL(10)
#define WALK_EFER_NXE	BIT_ULL(11)
#define RFLAGS_AC	BIT_ULL(18)

#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_NX		BIT_ULL(63)

/* A guest that rewrites its tables against us forever gets -EAGAIN, not our time. */
#define MAX_TRIES	4

/* A paging mode, and the entries passed on the way down. */
struct walk {
	const struct halo_walk_ctx *ctx;
	u64 gva;
	unsigned int access;
	u8 levels;		/* 2 to 5 */
	u8 index_bits;		/* 10 or 9 */
	u8 bytes;		/* of an entry: 4 or 8 */
	bool pae;		/* three levels: the topmost entry is a PDPTE */
	bool write;		/* what all levels grant together */
	bool user;
	bool nx;
};

static void walk_mode(struct walk *w, const struct halo_walk_ctx *ctx, u64 gva)
{
	bool lma = ctx->efer & WALK_EFER_LMA, wide = lma || ctx->cr4 & CR4_PAE;

	*w = (struct walk){
		.ctx = ctx,
		.gva = lma ? gva : (u32)gva,
		.levels = lma ? (ctx->cr4 & CR4_LA57 ? 5 : 4) : wide ? 3 : 2,
		.index_bits = wide ? 9 : 10,
		.bytes = wide ? 8 : 4,
		.pae = wide && !lma,
	};
}

/* The bits that can be address in an entry, or in CR3 but for PAE paging's. */
static u64 walk_address_mask(const struct walk *w)
{
	return GENMASK_ULL(w->bytes == 8 ? w->ctx->maxphyaddr - 1 : 31, 12);
}

/* log2 of what one entry of this level maps; level 1 is the page table's. */
static unsigned int walk_shift(const struct walk *w, unsigned int level)
{
	return 12 + (level - 1) * w->index_bits;
}

static int walk_read(const struct walk *w, u64 gpa, u64 *entry)
{
	u32 narrow;
	int ret;

	if (w->bytes == 8)
		return w->ctx->read(w->ctx->opaque, gpa, entry, 8);
	ret = w->ctx->read(w->ctx->opaque, gpa, &narrow, 4);
	*entry = ret ? 0 : narrow;
	return ret;
}

static bool walk_is_leaf(const struct walk *w, unsigned int level, u64 entry)
{
	if (level == 1 || !(entry & PTE_PS))
		return level == 1;
	if (level == 2)
		return w->bytes == 8 || w->ctx->cr4 & CR4_PSE;
	return level == 3 && !w->pae && w->ctx->gbpages;
}

/* A 4 MiB entry keeps address bits 32 to 39 in its bits 13 to 20 (PSE-36). */
static unsigned int walk_pse36_bits(const struct walk *w)
{
	return min_t(u8, w->ctx->maxphyaddr, 40) - 32;
}

/* Bits that must be zero in an entry that is present (SDM 3A tables 4-4 to 4-20). */
static u64 walk_reserved(const struct walk *w, unsigned int level, u64 entry)
{
	bool leaf = walk_is_leaf(w, level, entry);
	u64 reserved;

	if (w->bytes == 4) {
		if (level == 1 || !leaf)
			return 0;
		return GENMASK_ULL(21, 13) & ~(((1ull << walk_pse36_bits(w)) - 1) << 13);
	}

	reserved = GENMASK_ULL(51, 0) & ~GENMASK_ULL(w->ctx->maxphyaddr - 1, 0);
	if (w->pae) {
		reserved |= GENMASK_ULL(62, 52);
		if (level == 3)
			return reserved | PTE_NX | GENMASK_ULL(8, 5) | GENMASK_ULL(2, 1);
	}
	if (!(w->ctx->efer & WALK_EFER_NXE))
		reserved |= PTE_NX;
	if (level > 1 && leaf)
		reserved |= GENMASK_ULL(walk_shift(w, level) - 1, 13);
	else if (level >= 3)
		reserved |= PTE_PS;
	return reserved;
}

static u64 walk_page(const struct walk *w, unsigned int level, u64 entry)
{
	unsigned int shift = walk_shift(w, level);
	u64 base;

	base = entry & walk_address_mask(w) & ~GENMASK_ULL(shift - 1, 0);
	if (w->bytes == 4 && level == 2)
		base |= (entry >> 13 & ((1ull << walk_pse36_bits(w)) - 1)) << 32;
	return base | (w->gva & GENMASK_ULL(shift - 1, 0));
}

static bool walk_smap(const struct walk *w)
{
	if (!(w->ctx->cr4 & CR4_SMAP) || w->access & (HALO_WALK_USER | HALO_WALK_FETCH))
		return false;
	return !(w->ctx->rflags & RFLAGS_AC);
}

/* May it be done, by what all levels grant together? SDM 3A 4.6.1. */
static bool walk_allowed(const struct walk *w)
{
	const struct halo_walk_ctx *ctx = w->ctx;
	bool user = w->access & HALO_WALK_USER;

	if (user && !w->user)
		return false;
	if (w->access & HALO_WALK_FETCH) {
		if (w->nx)
			return false;
		return user || !w->user || !(ctx->cr4 & CR4_SMEP);
	}
	if (!user && w->user && walk_smap(w))
		return false;
	if (w->access & HALO_WALK_WRITE && !w->write)
		return !user && !(ctx->cr0 & CR0_WP);
	return true;
}

static int walk_fault(const struct walk *w, struct halo_walk_result *res, u32 code)
{
	const struct halo_walk_ctx *ctx = w->ctx;

	if (w->access & HALO_WALK_WRITE)
		code |= HALO_PF_W;
	if (w->access & HALO_WALK_USER)
		code |= HALO_PF_U;
	/* NXE counts in the modes that have the bit only. */
	if (w->access & HALO_WALK_FETCH &&
	    (ctx->cr4 & CR4_SMEP || (ctx->efer & WALK_EFER_NXE && w->bytes == 8)))
		code |= HALO_PF_I;
	res->error_code = code;
	return -EFAULT;
}

/* Go down to the leaf and sum up what the levels grant. */
static int walk_down(struct walk *w, struct halo_walk_result *res)
{
	/* in long mode CR3's low bits may be a PCID */
	u64 table = w->ctx->cr3 & (w->pae ? GENMASK_ULL(31, 5) : walk_address_mask(w));
	unsigned int level = w->levels;
	u64 entry, addr, index;

	w->write = true;
	w->user = true;
	w->nx = false;
	res->depth = 0;

	for (;; level--) {
		index = w->gva >> walk_shift(w, level) & ((1u << w->index_bits) - 1);
		addr = table + index * w->bytes;
		if (walk_read(w, addr, &entry))
			return -ENXIO;
		if (!(entry & PTE_P))
			return walk_fault(w, res, 0);
		if (entry & walk_reserved(w, level, entry))
			return walk_fault(w, res, HALO_PF_P | HALO_PF_RSVD);

		/* A PDPTE has neither rights nor an accessed bit. */
		if (!w->pae || level < 3) {
			w->write &= !!(entry & PTE_W);
			w->user &= !!(entry & PTE_U);
			w->nx |= !!(entry & PTE_NX);
			res->addr[res->depth] = addr;
			res->entry[res->depth++] = entry;
		}
		if (walk_is_leaf(w, level, entry))
			break;
		table = entry & walk_address_mask(w);
	}

	res->gpa = walk_page(w, level, entry);
	return 0;
}

/* Set the accessed bits, and the leaf's dirty bit for a write, where they are not. */
static int walk_mark(const struct walk *w, const struct halo_walk_result *res)
{
	const struct halo_walk_ctx *ctx = w->ctx;
	u64 entry, marked;
	unsigned int i;
	int ret;

	for (i = 0; i < res->depth; i++) {
		entry = res->entry[i];
		marked = entry | PTE_A;
		if (i + 1 == res->depth && w->access & HALO_WALK_WRITE)
			marked |= PTE_D;
		if (marked == entry)
			continue;
		ret = ctx->update(ctx->opaque, res->addr[i], entry, marked, w->bytes);
		if (ret)
			return ret == -EAGAIN ? -EAGAIN : -ENXIO;
	}
	return 0;
}

/**
 * halo_walk() - translate a guest-virtual address
 * @ctx: the vCPU's state and access to its memory
 * @gva: linear address; outside long mode its upper half is ignored
 * @access: HALO_WALK_*
 * @res: the result; with -EFAULT only @error_code counts
 *
 * One page only: the caller splits an access that crosses a page.
 *
 * Return: 0; -EFAULT: the guest gets #PF with res->error_code and CR2 = @gva; -EINVAL:
 * @gva is not canonical (the guest gets #GP, or #SS for a stack access); -ENXIO: a
 * table is not in memory; -EAGAIN: the guest changes its tables under us, run it again.
 */
int halo_walk(const struct halo_walk_ctx *ctx, u64 gva, unsigned int access,
	      struct halo_walk_result *res)
{
	unsigned int tries;
	struct walk w;
	int ret;

	memset(res, 0, sizeof(*res));
	if (!(ctx->cr0 & CR0_PG)) {
		res->gpa = (u32)gva;
		return 0;
	}
	walk_mode(&w, ctx, gva);
	if (ctx->efer & WALK_EFER_LMA && !halo_canonical(gva, walk_shift(&w, w.levels + 1)))
		return -EINVAL;
	w.access = access;
	for (tries = 0; tries < MAX_TRIES; tries++) {
		ret = walk_down(&w, res);
		if (ret)
			return ret;
		if (!walk_allowed(&w))
			return walk_fault(&w, res, HALO_PF_P);
		if (!ctx->update)
			return 0;
		ret = walk_mark(&w, res);
		if (ret != -EAGAIN)
			return ret;
	}
	return -EAGAIN;
}
