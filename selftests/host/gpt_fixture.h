/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests and the fuzzer of the page-table engine share: memory for
 * tables; a hardware walker written from the manuals, which knows nothing of the
 * engine's format tables and refuses what a CPU would call a misconfiguration; a
 * flat model of what should be mapped; and the operations that are done to both.
 *
 * The includer brings cmocka's assert_* (or its own), and rnd().
 */
#ifndef GPT_FIXTURE_H
#define GPT_FIXTURE_H

#include "gpt.h"

#define K4	0x1000ULL
#define M2	0x200000ULL
#define G1	0x40000000ULL
#define G512	(512 * G1)

/* ---- memory ------------------------------------------------------------ */

static int tables;		/* allocated now */
static int tables_left = -1;	/* allocations that may still succeed; -1 = all */

static inline void *mem_alloc(void *ctx)
{
	void *t;

	if (!tables_left)
		return NULL;
	if (tables_left > 0)
		tables_left--;
	/* The link lives behind the table, as far as the engine may care. */
	t = aligned_alloc(4096, 8192);
	if (!t)
		return NULL;
	memset(t, 0, 4096);
	__atomic_fetch_add(&tables, 1, __ATOMIC_SEQ_CST);
	return t;
}

static inline void mem_free(void *ctx, void *table)
{
	__atomic_fetch_sub(&tables, 1, __ATOMIC_SEQ_CST);
	free(table);
}

/* An entry has room for 52 bits of address, a kernel's pointer does not fit. */
#ifdef HALO_HOST_TEST
#define MEM_BASE	0
#else
#define MEM_BASE	PAGE_OFFSET
#endif

static inline u64 mem_phys(const void *table)
{
	return (u64)(uintptr_t)table - MEM_BASE;
}

static inline void *mem_virt(u64 phys)
{
	return (void *)(uintptr_t)(phys + MEM_BASE);
}

static inline void mem_set_next(void *table, unsigned long next)
{
	*(unsigned long *)((char *)table + 4096) = next;
}

static inline unsigned long mem_next(const void *table)
{
	return *(const unsigned long *)((const char *)table + 4096);
}

static const struct gpt_ops mem_ops = {
	.alloc = mem_alloc,
	.free = mem_free,
	.phys = mem_phys,
	.virt = mem_virt,
	.set_next = mem_set_next,
	.next = mem_next,
};

/* xorshift64: good enough to choose, and the same everywhere. */
static inline u64 rng_next(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* A choice out of n; the program that includes this says how it is made. */
static u64 rnd(u64 n);

/* ---- the hardware ------------------------------------------------------ */

struct hw {
	const char *name;
	const struct gpt_format *fmt;
	bool ept;
	bool ad;
	int levels;
	u64 encrypt;
};

static const struct hw kinds[] __attribute__((unused)) = {
	{ "EPT", &gpt_ept, true, true, 4, 0 },
	{ "EPT without A/D", &gpt_ept_noad, true, false, 4, 0 },
	{ "NPT", &gpt_npt, false, true, 4, 0 },
	{ "NPT, 5 levels, encrypted", &gpt_npt, false, true, 5, BIT_ULL(51) },
};

struct hw_result {
	u64 hpa;
	u64 *entry;
	u64 value;
	int level;
	unsigned int rights;
	bool set_dirty;		/* this access turned D from 0 to 1 */
};

static inline bool hw_present(const struct hw *hw, u64 e)
{
	return hw->ept ? e & 7 : e & 1;
}

/* What SDM 29.3.3.1 and APM 5.3 call reserved or misconfigured must not occur. */
static inline void hw_check_entry(const struct hw *hw, u64 e, int level, bool leaf)
{
	u64 low = leaf ? gpt_span(level) - 1 : 0xfff;

	if (!hw_present(hw, e)) {
		assert_int_equal(e, 0);
		return;
	}
	assert_int_equal(e & hw->encrypt, hw->encrypt);
	if (hw->ept) {
		assert_int_equal(e & 1, 1);
		assert_int_equal(e & GENMASK_ULL(63, 52), 0);
		if (!hw->ad)
			assert_int_equal(e & 0x300, 0);
		if (leaf) {
			assert_int_equal((e >> 3) & 7, 6);
			assert_int_equal(e & low & ~0xfffULL, 0);
		} else {
			assert_int_equal(e & 0xf8, 0);
		}
		assert_int_equal(e & 0xc00, 0);
	} else {
		assert_int_equal(e & 4, 4);
		assert_int_equal(e & GENMASK_ULL(62, 52), 0);
		/* PAT entry 0 */
		if (leaf)
			assert_int_equal(e & (0x18 | (low & ~0xfffULL)), 0);
		else
			assert_int_equal(e & 0xd8, 0);
		assert_int_equal(e & 0xf00, 0);
	}
	/* Level 1: ignored by EPT, a PAT bit of NPT's. */
	if (leaf)
		assert_int_equal(e & 0x80, level > 1 ? 0x80 : 0);
	if (leaf)
		assert_in_range(level, 1, 3);
}

/* One access by the CPU. False: it would fault. */
static inline bool hw_access(const struct hw *hw, u64 root, u64 gpa, unsigned int access,
		      struct hw_result *r)
{
	const u64 a_bit = hw->ad ? (hw->ept ? BIT_ULL(8) : BIT_ULL(5)) : 0;
	const u64 d_bit = hw->ad ? (hw->ept ? BIT_ULL(9) : BIT_ULL(6)) : 0;
	u64 *table = mem_virt(root & ~hw->encrypt & ~0xfffULL);
	unsigned int rights = GPT_RIGHTS;
	int level;

	for (level = hw->levels; ; level--) {
		u64 *e = &table[(gpa >> (12 + 9 * (level - 1))) & 511];
		u64 v, bits, seen;
		bool leaf;

again:
		v = __atomic_load_n(e, __ATOMIC_SEQ_CST);
		leaf = level == 1 || (v & 0x80);
		hw_check_entry(hw, v, level, leaf);
		if (!hw_present(hw, v))
			return false;
		if (hw->ept)
			rights &= v & 7;
		else
			rights &= 1 | (v & 2) | (v >> 63 ? 0 : 4);
		if (leaf && (access & ~rights))
			return false;
		bits = a_bit | (leaf && (access & GPT_WRITE) ? d_bit : 0);
		if ((v & bits) != bits) {
			seen = v;
			if (!__atomic_compare_exchange_n(e, &seen, v | bits, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
				goto again;
		}
		if (leaf) {
			u64 mask = gpt_span(level) - 1;

			r->hpa = (v & GENMASK_ULL(51, 12) & ~hw->encrypt & ~mask) | (gpa & mask);
			r->entry = e;
			r->value = v | bits;
			r->level = level;
			r->rights = rights;
			r->set_dirty = (bits & d_bit) && !(v & d_bit);
			return true;
		}
		table = mem_virt(v & GENMASK_ULL(51, 12) & ~hw->encrypt);
	}
}

/* Every entry of every table, present or not. Returns the number of tables. */
static inline int hw_check_table(const struct hw *hw, u64 *table, int level)
{
	int i, n = 1;

	for (i = 0; i < 512; i++) {
		u64 e = table[i];
		bool leaf = level == 1 || (e & 0x80);

		hw_check_entry(hw, e, level, leaf);
		if (hw_present(hw, e) && !leaf)
			n += hw_check_table(hw, mem_virt(e & GENMASK_ULL(51, 12) & ~hw->encrypt),
					    level - 1);
	}
	return n;
}

static inline void hw_check_all(const struct hw *hw, struct gpt *g)
{
	assert_int_equal(hw_check_table(hw, g->root, g->levels), tables);
}

static inline void start_tables(const struct hw *hw, struct gpt *g)
{
	tables = 0;
	tables_left = -1;
	assert_int_equal(gpt_init(g, hw->fmt, hw->levels, &mem_ops, NULL, hw->encrypt), 0);
	assert_int_equal(gpt_root(g) & hw->encrypt, hw->encrypt);
}

static inline void end_tables(struct gpt *g)
{
	gpt_destroy(g);
	assert_int_equal(tables, 0);
	gpt_destroy(g);
}

static inline int map(struct gpt *g, u64 gpa, u64 hpa, int level, unsigned int flags)
{
	struct gpt_cache cache = {};
	int missing = gpt_missing(g, gpa, level), before = tables, ret;

	assert_int_equal(gpt_cache_fill(g, &cache, missing), 0);
	ret = gpt_map(g, &cache, gpa, hpa, level, flags);
	/* What gpt_missing() said was exact. */
	if (ret != -EINVAL)
		assert_int_equal(cache.nr, 0);
	gpt_cache_drain(g, &cache);
	assert_true(tables <= before + missing);
	return ret;
}

static inline bool zap(struct gpt *g, u64 start, u64 end)
{
	struct gpt_zapped zapped = {};
	bool any = gpt_zap(g, start, end, &zapped);
	int before = tables, rounds = 0;

	if (zapped.head)
		assert_true(any);
	while (gpt_free(g, &zapped, 7))
		rounds++;
	assert_int_equal((before - tables) / 7, rounds + (before > tables &&
							   (before - tables) % 7 == 0));
	return any;
}

/* ---- the model --------------------------------------------------------- */

/*
 * The window: two 1 GiB spans on either side of a 512 GiB border, so that ranges
 * cross a border of every level. Each entry that could exist has its own cell.
 */
#define BASE	(511 * G1)
#define GIGS	2
#define MEGS	(GIGS * 512)
#define PAGES	(MEGS * 512)

enum { EMPTY, LEAF, TABLE };

struct cell {
	u8 kind;
	u8 flags;
	u64 hpa;
};

struct model {
	const struct hw *hw;
	struct gpt g;
	struct cell top[GIGS];		/* level 4 */
	struct cell gig[GIGS];
	struct cell meg[MEGS];
	struct cell page[PAGES];
};

static inline struct cell *cell_at(struct model *m, u64 gpa, int level)
{
	u64 off = gpa - BASE;

	switch (level) {
	case 1: return &m->page[off / K4];
	case 2: return &m->meg[off / M2];
	case 3: return &m->gig[off / G1];
	default: return &m->top[off / G1];
	}
}

/* The cell that decides about an address; its level. */
static inline struct cell *model_find(struct model *m, u64 gpa, int *level)
{
	struct cell *c;

	for (*level = 4; ; (*level)--) {
		c = cell_at(m, gpa, *level);
		if (c->kind != TABLE)
			return c;
	}
}

/* A new table at a cell: all below it is empty. */
static inline void model_table(struct model *m, u64 gpa, int level)
{
	u64 span = gpt_span(level - 1), a;

	cell_at(m, gpa, level)->kind = TABLE;
	if (level == 4) {
		cell_at(m, gpa, 3)->kind = EMPTY;
		return;
	}
	gpa &= ~(gpt_span(level) - 1);
	for (a = gpa; a < gpa + gpt_span(level); a += span)
		cell_at(m, a, level - 1)->kind = EMPTY;
}

/* Flags that this hardware can remember. */
static inline unsigned int model_keeps(const struct hw *hw)
{
	return GPT_RIGHTS | (hw->ad ? GPT_ACCESSED | GPT_DIRTY : 0);
}

static inline int model_map(struct model *m, u64 gpa, u64 hpa, int level, unsigned int flags)
{
	int l;
	struct cell *c;

	flags &= model_keeps(m->hw);
	for (l = 4; l > level; l--) {
		c = cell_at(m, gpa, l);
		if (c->kind == EMPTY)
			model_table(m, gpa, l);
		if (c->kind == LEAF) {
			unsigned int need = flags & GPT_RIGHTS;

			return c->hpa + (gpa & (gpt_span(l) - 1)) == hpa &&
				(c->flags & need) == need ? 0 : -EEXIST;
		}
	}
	c = cell_at(m, gpa, level);
	if (c->kind == TABLE)
		return -EISDIR;
	if (c->kind == LEAF && c->hpa != hpa)
		return -EEXIST;
	if (c->kind == EMPTY)
		c->flags = 0;
	c->kind = LEAF;
	c->hpa = hpa;
	c->flags |= flags;
	return 0;
}

/* Visits the leaves that a range touches; @whole also tables that it covers. */
#define model_for_each(m, a, start, last, level, c, whole)			\
	for ((a) = (start);							\
	     (a) < (last) && ((c) = model_stop(m, a, last, whole, &(level)));	\
	     (a) = ((a) | (gpt_span((level) > 3 ? 3 : (level)) - 1)) + 1)

static inline struct cell *model_stop(struct model *m, u64 a, u64 end, bool whole, int *level)
{
	struct cell *c;

	for (*level = 4; ; (*level)--) {
		u64 span = gpt_span(*level);

		c = cell_at(m, a, *level);
		if (c->kind != TABLE)
			return c;
		/* The window is a part of what a top cell spans: it is never whole. */
		if (whole && *level < 4 && !(a & (span - 1)) && end - a >= span)
			return c;
	}
}

static inline bool model_zap(struct model *m, u64 start, u64 end)
{
	struct cell *c;
	bool any = false;
	int level;
	u64 a;

	model_for_each(m, a, start, end, level, c, true) {
		any |= c->kind != EMPTY;
		c->kind = EMPTY;
	}
	return any;
}

static inline bool model_clear(struct model *m, u64 start, u64 end, unsigned int flag)
{
	struct cell *c;
	bool any = false;
	int level;
	u64 a;

	model_for_each(m, a, start, end, level, c, false) {
		if (c->kind == LEAF && (c->flags & flag)) {
			any = true;
			c->flags &= ~flag;
		}
	}
	return any;
}

static inline bool model_any(struct model *m, u64 start, u64 end, unsigned int flag)
{
	struct cell *c;
	int level;
	u64 a;

	model_for_each(m, a, start, end, level, c, false) {
		if (c->kind == LEAF && (c->flags & flag) == flag)
			return true;
	}
	return false;
}

/* ---- comparing --------------------------------------------------------- */

static inline void compare_leaf(struct model *m, const struct cell *c, int level, u64 gpa,
			 const struct gpt_leaf *leaf)
{
	assert_int_equal(c->kind, LEAF);
	assert_int_equal(leaf->level, level);
	assert_int_equal(leaf->gpa, gpa & ~(gpt_span(level) - 1));
	assert_int_equal(leaf->hpa, c->hpa);
	assert_int_equal(leaf->flags, c->flags);
}

static inline void compare_at(struct model *m, u64 gpa)
{
	struct gpt_leaf leaf;
	int level;
	struct cell *c = model_find(m, gpa, &level);

	if (gpt_lookup(&m->g, gpa, &leaf))
		compare_leaf(m, c, level, gpa, &leaf);
	else
		assert_int_equal(c->kind, EMPTY);
}

/* Each cell of the model; what else there might be, hw_check_all() would count. */
static inline void compare_all(struct model *m)
{
	int level;
	u64 a;

	for (a = BASE; a < BASE + GIGS * G1;
	     a = (a | (gpt_span(level > 3 ? 3 : level) - 1)) + 1) {
		model_find(m, a, &level);
		compare_at(m, a);
	}
	hw_check_all(m->hw, &m->g);
}

/* ---- random operations ------------------------------------------------- */

/* Few hot places, near borders, so that operations meet. */
static inline u64 random_gpa(int level)
{
	static const u64 hot[] = { 0, 1, 2, 255, 509, 510, 511, 512, 513, 600, 1022, 1023 };
	static const u64 low[] = { 0, 1, 2, 3, 100, 508, 509, 510, 511 };
	u64 gpa = BASE + hot[rnd(ARRAY_SIZE(hot))] * M2;

	gpa += (rnd(8) ? low[rnd(ARRAY_SIZE(low))] : rnd(512)) * K4;
	return gpa & ~(gpt_span(level) - 1);
}

static inline int random_level(void)
{
	u64 r = rnd(100);

	return r < 80 ? 1 : r < 98 ? 2 : 3;
}

/* Half of the time the page that "should" be there, so that upgrades happen. */
static inline u64 random_hpa(u64 gpa, int level)
{
	if (rnd(4))
		return (gpa - BASE) + 16 * G1;
	return (rnd(1 << 14) << 30) | (rnd(512) << 21 & ~(gpt_span(level) - 1));
}

static inline void random_range(u64 *start, u64 *end)
{
	u64 r = rnd(1000);

	*start = random_gpa(1);
	if (r < 800)
		*end = *start + (1 + rnd(4)) * K4;
	else if (r < 950)
		*end = (*start & ~(M2 - 1)) + (1 + rnd(3)) * M2 - rnd(2) * K4;
	else if (r < 998)
		*end = *start + rnd(G1 / 8);
	else
		*end = (*start &= ~(G1 - 1)) + G1;
	*end = min(*end, BASE + GIGS * G1);
	if (!rnd(16))
		*start += rnd(K4);
	if (!rnd(16) && *end > *start + K4)
		*end -= rnd(K4);
}

static inline void op_map(struct model *m)
{
	int level = random_level();
	u64 gpa = random_gpa(level), hpa = random_hpa(gpa, level);
	unsigned int flags = GPT_READ | rnd(32);

	assert_int_equal(map(&m->g, gpa, hpa, level, flags),
			 model_map(m, gpa, hpa, level, flags));
	compare_at(m, gpa);
}

/* gpt_map() in two steps, where no table is missing. */
static inline void op_put(struct model *m)
{
	int level = random_level(), found;
	u64 gpa = random_gpa(level), hpa = random_hpa(gpa, level);
	unsigned int flags = GPT_READ | rnd(32);
	struct cell *c = model_find(m, gpa, &found);
	struct gpt_place p;
	bool beside = false;

	gpt_find(&m->g, gpa, &p);
	/* The model has no fifth level. */
	assert_int_equal(min(p.level, 4), found);
	if (found > 3 || found != level)
		return;
	if (gpa % (512 * gpt_span(level)))
		beside |= c[-1].kind != EMPTY;
	if ((gpa + gpt_span(level)) % (512 * gpt_span(level)))
		beside |= c[1].kind != EMPTY;
	if (level < 3)
		assert_int_equal(gpt_beside(&p), beside);
	assert_int_equal(gpt_put(&m->g, p.entry, hpa, level, flags),
			 model_map(m, gpa, hpa, level, flags));
	compare_at(m, gpa);
}

static inline void op_zap(struct model *m)
{
	u64 start, end;

	random_range(&start, &end);
	assert_int_equal(zap(&m->g, start, end), model_zap(m, start, end));
	compare_at(m, start);
	compare_at(m, min(end, BASE + GIGS * G1 - 1));
}

static inline void op_zap_all(struct model *m)
{
	if (rnd(500))
		return;
	zap(&m->g, 0, ~0ULL);
	m->top[0].kind = EMPTY;
	m->top[1].kind = EMPTY;
	assert_int_equal(tables, 1);
}

static inline void op_age(struct model *m)
{
	bool clear = rnd(2);
	u64 start, end;

	random_range(&start, &end);
	if (!m->hw->ad)
		assert_int_equal(gpt_age(&m->g, start, end, clear),
				 model_any(m, start, end, GPT_READ));
	else if (clear)
		assert_int_equal(gpt_age(&m->g, start, end, true),
				 model_clear(m, start, end, GPT_ACCESSED));
	else
		assert_int_equal(gpt_age(&m->g, start, end, false),
				 model_any(m, start, end, GPT_ACCESSED));
	compare_at(m, start);
}

static inline void op_hardware(struct model *m)
{
	static const unsigned int kinds_of[] = {
		GPT_READ, GPT_READ, GPT_WRITE, GPT_EXEC, GPT_READ | GPT_WRITE
	};
	unsigned int access = kinds_of[rnd(ARRAY_SIZE(kinds_of))];
	u64 gpa = random_gpa(1) + rnd(K4);
	struct hw_result r;
	int level;
	struct cell *c = model_find(m, gpa, &level);
	bool ok = hw_access(m->hw, gpt_root(&m->g), gpa, access, &r);

	if (c->kind != LEAF) {
		assert_false(ok);
		return;
	}
	assert_int_equal(ok, (c->flags & access) == access);
	if (!ok)
		return;
	assert_int_equal(r.level, level);
	assert_int_equal(r.hpa, c->hpa + (gpa & (gpt_span(level) - 1)));
	assert_int_equal(r.rights, c->flags & GPT_RIGHTS);
	if (m->hw->ad)
		c->flags |= GPT_ACCESSED | (access & GPT_WRITE ? GPT_DIRTY : 0);
	compare_at(m, gpa);
}

static void (*const ops[])(struct model *m) = {
	op_map, op_map, op_map, op_map, op_put, op_put, op_zap, op_zap, op_zap_all,
	op_age, op_age, op_hardware, op_hardware, op_hardware,
};

#endif /* GPT_FIXTURE_H */
