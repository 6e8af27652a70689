// SPDX-License-Identifier: GPL-2.0
/*
 * Second-stage page tables: the engine. See gpt.h for who may call what beside
 * whom.
 *
 * Every operation is one loop over a cursor, which moves through a range entry
 * by entry, going down where there is a table and staying up where there is
 * none. Zapping uses the same cursor with one difference: it stops at a table
 * whose span lies wholly in the range, takes it out by clearing one entry, and
 * leaves what hangs below for after the flush. So the time under the lock
 * depends on the two edges of a range, not on how much is mapped inside it.
 *
 * There is no reference count of entries per table: an empty table that stays
 * behind after a narrow zap costs a page, is reused by the next fault there, and
 * goes with the next wide zap. Counting would cost an atomic on every map.
 *
 * Mapping runs under the shared lock. It installs with compare-and-exchange from
 * zero, and a loser finds the winner's work and goes on from there. All that
 * mapping ever does to an entry that is not zero is to add rights for the same
 * page; a page is replaced by another only with a zap and a flush in between, or
 * two CPUs could see two pages at one address.
 *
 * Operations round outward to whole leaves: a zap that touches part of a large
 * leaf hits all of it. That is always allowed (the guest faults it in again) and
 * needs no memory.
 */
#include "gpt.h"

#define GPT_ENTRIES	512
#define GPT_ADDR	GENMASK_ULL(51, 12)

#define EPT_R		BIT_ULL(0)
#define EPT_W		BIT_ULL(1)
#define EPT_X		BIT_ULL(2)
#define EPT_TYPE(t)	((u64)(t) << 3)
#define EPT_IPAT	BIT_ULL(6)
#define EPT_LARGE	BIT_ULL(7)
#define EPT_A		BIT_ULL(8)
#define EPT_D		BIT_ULL(9)
#define EPT_WB		6

/*
 * Guest RAM ignores the guest's PAT: its pages are the host's too, and the same
 * memory with two types is slow at best (a guest that turned caching off for all
 * its memory could stall the host's CPU).
 */
#define EPT_LEAF	(EPT_R | EPT_TYPE(EPT_WB) | EPT_IPAT)

const struct gpt_format gpt_ept = {
	.present = EPT_R | EPT_W | EPT_X,
	.table = EPT_R | EPT_W | EPT_X | EPT_A,
	.leaf = EPT_LEAF,
	.write = EPT_W,
	.exec = EPT_X,
	.large = EPT_LARGE,
	.accessed = EPT_A,
	.dirty = EPT_D,
	.addr = GPT_ADDR,
};

const struct gpt_format gpt_ept_noad = {
	.present = EPT_R | EPT_W | EPT_X,
	.table = EPT_R | EPT_W | EPT_X,
	.leaf = EPT_LEAF,
	.write = EPT_W,
	.exec = EPT_X,
	.large = EPT_LARGE,
	.addr = GPT_ADDR,
};

#define NPT_P		BIT_ULL(0)
#define NPT_W		BIT_ULL(1)
#define NPT_U		BIT_ULL(2)	/* every access counts as a user's (APM 2 15.25.5) */
#define NPT_A		BIT_ULL(5)
#define NPT_D		BIT_ULL(6)
#define NPT_LARGE	BIT_ULL(7)
#define NPT_NX		BIT_ULL(63)

/* The type is an index into the host's PAT: 0 is WB on Linux. */
const struct gpt_format gpt_npt = {
	.present = NPT_P,
	.table = NPT_P | NPT_W | NPT_U | NPT_A,
	.leaf = NPT_P | NPT_U,
	.write = NPT_W,
	.noexec = NPT_NX,
	.large = NPT_LARGE,
	.accessed = NPT_A,
	.dirty = NPT_D,
	.addr = GPT_ADDR,
	.host_levels = true,
};

/* ---- entries ---------------------------------------------------------- */

static unsigned int entry_index(u64 gpa, int level)
{
	return (gpa >> (12 + 9 * (level - 1))) & (GPT_ENTRIES - 1);
}

static bool entry_is_leaf(const struct gpt *g, u64 entry, int level)
{
	return (entry & g->fmt->present) && (level == GPT_LEVEL_4K || (entry & g->fmt->large));
}

static bool entry_is_table(const struct gpt *g, u64 entry, int level)
{
	return (entry & g->fmt->present) && level > GPT_LEVEL_4K && !(entry & g->fmt->large);
}

static u64 entry_phys(const struct gpt *g, u64 entry)
{
	return entry & g->fmt->addr & ~g->encrypt;
}

static u64 *entry_table(const struct gpt *g, u64 entry)
{
	return (u64 *)(unsigned long)(g->base + entry_phys(g, entry));
}

static u64 make_table(const struct gpt *g, const void *table)
{
	return g->ops->phys(table) | g->encrypt | g->fmt->table;
}

static u64 make_leaf(const struct gpt *g, u64 hpa, int level, unsigned int flags)
{
	const struct gpt_format *fmt = g->fmt;
	u64 entry = hpa | g->encrypt | fmt->leaf;

	if (level > GPT_LEVEL_4K)
		entry |= fmt->large;
	if (flags & GPT_WRITE)
		entry |= fmt->write;
	entry |= flags & GPT_EXEC ? fmt->exec : fmt->noexec;
	if (flags & GPT_ACCESSED)
		entry |= fmt->accessed;
	if (flags & GPT_DIRTY)
		entry |= fmt->dirty;
	return entry;
}

static void parse_leaf(const struct gpt *g, u64 gpa, u64 entry, int level,
		       struct gpt_leaf *leaf)
{
	const struct gpt_format *fmt = g->fmt;
	unsigned int flags = GPT_READ;

	if (entry & fmt->write)
		flags |= GPT_WRITE;
	if (fmt->noexec ? !(entry & fmt->noexec) : !!(entry & fmt->exec))
		flags |= GPT_EXEC;
	if (entry & fmt->accessed)
		flags |= GPT_ACCESSED;
	if (entry & fmt->dirty)
		flags |= GPT_DIRTY;

	leaf->gpa = gpa & ~(gpt_span(level) - 1);
	leaf->hpa = entry_phys(g, entry);
	leaf->level = level;
	leaf->flags = flags;
}

/* ---- the cursor ------------------------------------------------------- */

/*
 * @gpa: inside the span of @entry; at first the start of the range, later the
 *	first address of the entry
 * @whole: stop at tables that lie wholly in the range, too
 */
struct cursor {
	const struct gpt *g;
	u64 gpa;
	u64 end;
	u64 *entry;
	u64 value;
	int level;
	bool whole;
};

static void cursor_init(struct cursor *c, const struct gpt *g, u64 start, u64 end, bool whole)
{
	c->g = g;
	c->gpa = start;
	c->end = min(end, gpt_limit(g));
	c->entry = NULL;
	c->whole = whole;
}

/* Is the entry at the cursor one to go down through? */
static bool cursor_descends(const struct cursor *c)
{
	u64 span = gpt_span(c->level);

	if (!entry_is_table(c->g, c->value, c->level))
		return false;
	return !c->whole || !IS_ALIGNED(c->gpa, span) || c->end - c->gpa < span;
}

/* A table has many empty entries: go to the next in this one that is not, or the last. */
static void cursor_skip(struct cursor *c)
{
	const u64 span = gpt_span(c->level);

	while (!c->value) {
		u64 next = (c->gpa | (span - 1)) + 1;

		if (next >= c->end || !entry_index(next, c->level))
			return;
		c->gpa = next;
		c->value = READ_ONCE(*++c->entry);
	}
}

static bool cursor_next(struct cursor *c)
{
	bool same_table = false;

	if (c->entry) {
		c->gpa = (c->gpa | (gpt_span(c->level) - 1)) + 1;
		same_table = entry_index(c->gpa, c->level) != 0;
	}
	if (c->gpa >= c->end)
		return false;

	if (same_table) {
		c->entry++;
	} else {
		c->level = c->g->levels;
		c->entry = c->g->root + entry_index(c->gpa, c->level);
	}
	c->value = READ_ONCE(*c->entry);
	for (;;) {
		cursor_skip(c);
		if (!cursor_descends(c))
			return true;
		c->level--;
		c->entry = entry_table(c->g, c->value) + entry_index(c->gpa, c->level);
		c->value = READ_ONCE(*c->entry);
	}
}

static bool cursor_at_leaf(const struct cursor *c)
{
	return entry_is_leaf(c->g, c->value, c->level);
}

/* ---- life ------------------------------------------------------------- */

/**
 * gpt_init() - make an empty set of tables
 * @g: the object
 * @fmt: entry format
 * @levels: of tables, 4 or 5
 * @ops: where memory comes from
 * @ctx: handed to @ops
 * @encrypt: address bit that marks memory as encrypted (APM 2 7.10), or 0
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int gpt_init(struct gpt *g, const struct gpt_format *fmt, int levels,
	     const struct gpt_ops *ops, void *ctx, u64 encrypt)
{
	if (levels < 4 || levels > GPT_LEVELS_MAX)
		return -EINVAL;
	g->fmt = fmt;
	g->ops = ops;
	g->ctx = ctx;
	g->levels = levels;
	g->encrypt = encrypt;
	g->base = (unsigned long)ops->virt(0);
	g->root = ops->alloc(ctx);
	return g->root ? 0 : -ENOMEM;
}

static void defer(struct gpt *g, struct gpt_zapped *zapped, void *table, int level)
{
	g->ops->set_next(table, zapped->head);
	zapped->head = (unsigned long)table | level;
}

/**
 * gpt_destroy() - free all tables
 * @g: the object; no CPU walks it any more. All zero: nothing happens
 */
void gpt_destroy(struct gpt *g)
{
	struct gpt_zapped all = {};

	if (!g->root)
		return;
	defer(g, &all, g->root, g->levels);
	while (gpt_free(g, &all, ~0U))
		;
	g->root = NULL;
}

/**
 * gpt_root() - what the hardware is given
 * @g: the tables
 *
 * Return: physical address of the top table with the encryption bit; the bits
 * below 12 (EPTP's, nCR3's) are the backend's.
 */
u64 gpt_root(const struct gpt *g)
{
	return g->ops->phys(g->root) | g->encrypt;
}

/**
 * gpt_cache_fill() - allocate tables before taking the lock
 * @g: the tables
 * @cache: filled up
 * @nr: to this many
 *
 * Return: 0 or -ENOMEM (what was got stays in @cache).
 */
int gpt_cache_fill(struct gpt *g, struct gpt_cache *cache, int nr)
{
	while (cache->nr < min(nr, GPT_LEVELS_MAX)) {
		void *table = g->ops->alloc(g->ctx);

		if (!table)
			return -ENOMEM;
		cache->table[cache->nr++] = table;
	}
	return 0;
}

/**
 * gpt_cache_drain() - give back what was not used
 * @g: the tables
 * @cache: emptied
 */
void gpt_cache_drain(struct gpt *g, struct gpt_cache *cache)
{
	while (cache->nr)
		g->ops->free(g->ctx, cache->table[--cache->nr]);
}

/* ---- mapping ---------------------------------------------------------- */

/**
 * gpt_missing() - how many tables would gpt_map() take
 * @g: the tables
 * @gpa: address
 * @level: of the leaf
 *
 * Return: 0 to 4. A larger leaf in the way needs none.
 */
int gpt_missing(struct gpt *g, u64 gpa, int level)
{
	u64 *table = g->root;
	int l;

	for (l = g->levels; l > level; l--) {
		u64 entry = READ_ONCE(table[entry_index(gpa, l)]);

		if (!entry)
			return l - level;
		if (!entry_is_table(g, entry, l))
			return 0;
		table = entry_table(g, entry);
	}
	return 0;
}

/* The table below @e; installed from @cache if there is none. */
static int get_table(struct gpt *g, struct gpt_cache *cache, u64 *e, u64 *entry)
{
	void *table;
	u64 new;

	*entry = READ_ONCE(*e);
	if (*entry)
		return 0;
	if (!cache->nr)
		return -ENOMEM;
	table = cache->table[cache->nr - 1];
	new = make_table(g, table);
	*entry = cmpxchg(e, 0, new);
	if (!*entry) {
		/* The lock prefix also orders the table's zeros before it. */
		cache->nr--;
		*entry = new;
	}
	return 0;
}

/* Does a leaf that exists already allow what is wanted, of the same memory? */
static bool leaf_covers(struct gpt *g, u64 entry, int level, u64 gpa, u64 hpa,
			unsigned int flags)
{
	struct gpt_leaf leaf;

	parse_leaf(g, gpa, entry, level, &leaf);
	return leaf.hpa + (gpa - leaf.gpa) == hpa && !(flags & GPT_RIGHTS & ~leaf.flags);
}

static int put_leaf(struct gpt *g, u64 *e, u64 new, int level)
{
	const u64 noexec = g->fmt->noexec;
	u64 old = READ_ONCE(*e);

	for (;;) {
		u64 want = new, seen;

		if (entry_is_table(g, old, level))
			return -EISDIR;
		if (old) {
			if ((old ^ new) & g->fmt->addr)
				return -EEXIST;
			/* Rights only grow here, A/D bits are kept. */
			want = ((old | new) & ~noexec) | (old & new & noexec);
			if (want == old)
				return 0;
		}
		seen = cmpxchg(e, old, want);
		if (seen == old)
			return 0;
		old = seen;
	}
}

/**
 * gpt_map() - install a leaf, or add rights to it
 * @g: the tables
 * @cache: tables to take from, see gpt_missing()
 * @gpa: guest-physical address, aligned to the leaf
 * @hpa: host-physical address, aligned to the leaf
 * @level: GPT_LEVEL_*
 * @flags: GPT_READ .. GPT_DIRTY; GPT_ACCESSED and GPT_DIRTY spare the hardware
 *	the work of setting them
 *
 * Needs the lock shared. Nothing is ever taken away, so no flush is due: a CPU
 * that has the narrower rights cached faults once more, which drops them (SDM 3C
 * 29.4.3.1; an AMD CPU walks again likewise).
 *
 * Return: 0: the address is mapped so (maybe by a larger leaf); -EEXIST:
 * another page or a larger leaf with less rights is there, which must be zapped
 * first; -EISDIR: a table of smaller leaves is there;
 * -ENOMEM: @cache ran out; -EINVAL: not aligned, out of range or no right to
 * read.
 */
int gpt_map(struct gpt *g, struct gpt_cache *cache, u64 gpa, u64 hpa, int level,
	    unsigned int flags)
{
	u64 *table = g->root;
	int l, err;

	if (level < GPT_LEVEL_4K || level > GPT_LEVEL_1G || gpa >= gpt_limit(g) ||
	    !(flags & GPT_READ) || ((gpa | hpa) & (gpt_span(level) - 1)) ||
	    (hpa & ~(g->fmt->addr & ~g->encrypt)))
		return -EINVAL;

	for (l = g->levels; l > level; l--) {
		u64 entry;

		err = get_table(g, cache, table + entry_index(gpa, l), &entry);
		if (err)
			return err;
		if (entry_is_leaf(g, entry, l))
			return leaf_covers(g, entry, l, gpa, hpa, flags) ? 0 : -EEXIST;
		table = entry_table(g, entry);
	}
	return put_leaf(g, table + entry_index(gpa, level), make_leaf(g, hpa, level, flags),
			level);
}

/**
 * gpt_find() - the place of an address, for gpt_put()
 * @g: the tables
 * @gpa: address, below gpt_limit()
 * @p: out; good until the lock is dropped
 *
 * Needs the lock shared.
 */
void gpt_find(struct gpt *g, u64 gpa, struct gpt_place *p)
{
	u64 *table = g->root;
	int level = g->levels;

	for (;;) {
		u64 *e = table + entry_index(gpa, level);
		u64 entry = READ_ONCE(*e);

		if (!entry_is_table(g, entry, level)) {
			p->entry = e;
			p->level = level;
			return;
		}
		table = entry_table(g, entry);
		level--;
	}
}

/**
 * gpt_beside() - does the next address to either side have something of that size
 * @p: a place
 *
 * Needs the lock shared. What is beside the ends of a table is not known.
 *
 * Return: whether it is known to.
 */
bool gpt_beside(const struct gpt_place *p)
{
	unsigned int i = ((unsigned long)p->entry / sizeof(u64)) & (GPT_ENTRIES - 1);

	return (i && READ_ONCE(p->entry[-1])) ||
	       (i < GPT_ENTRIES - 1 && READ_ONCE(p->entry[1]));
}

/**
 * gpt_put() - gpt_map() at a place that is known
 * @g: the tables
 * @entry: of a struct gpt_place or beside it in the same table
 * @hpa: host-physical address, aligned to the leaf
 * @level: of the place
 * @flags: as for gpt_map()
 *
 * Needs the lock shared since gpt_find().
 *
 * Return: as gpt_map(): 0, -EEXIST or -EISDIR.
 */
int gpt_put(struct gpt *g, u64 *entry, u64 hpa, int level, unsigned int flags)
{
	return put_leaf(g, entry, make_leaf(g, hpa, level, flags), level);
}

/* ---- taking away ------------------------------------------------------ */

/**
 * gpt_zap() - remove all that maps a range
 * @g: the tables
 * @start: first address
 * @end: first address past the range
 * @zapped: collects tables; for gpt_free() after the flush
 *
 * Needs the lock exclusive. A leaf that lies partly in the range goes wholly.
 *
 * Return: whether anything was present, so that the caller must flush before
 * unlocking. Tables may be collected (and need the flush) only then.
 */
bool gpt_zap(struct gpt *g, u64 start, u64 end, struct gpt_zapped *zapped)
{
	bool any = false;
	struct cursor c;

	cursor_init(&c, g, start, end, true);
	while (cursor_next(&c)) {
		u64 old;

		if (!c.value)
			continue;
		old = xchg(c.entry, 0);
		if (entry_is_table(g, old, c.level))
			defer(g, zapped, entry_table(g, old), c.level - 1);
		any = true;
	}
	return any;
}

/**
 * gpt_free() - free tables that gpt_zap() took out
 * @g: the tables (only its ops are used: needs no lock)
 * @zapped: what gpt_zap() collected, flushed since
 * @budget: most tables to free in this call
 *
 * Return: whether there are more.
 */
bool gpt_free(struct gpt *g, struct gpt_zapped *zapped, unsigned int budget)
{
	const unsigned long mask = GPT_ENTRIES * sizeof(u64) - 1;
	unsigned int i;

	while (zapped->head && budget--) {
		u64 *table = (u64 *)(zapped->head & ~mask);
		int level = zapped->head & mask;

		zapped->head = g->ops->next(table);
		for (i = 0; level > GPT_LEVEL_4K && i < GPT_ENTRIES; i++) {
			if (table[i] && entry_is_table(g, table[i], level))
				defer(g, zapped, entry_table(g, table[i]), level - 1);
		}
		g->ops->free(g->ctx, table);
	}
	return zapped->head;
}

/* ---- reading ---------------------------------------------------------- */

/**
 * gpt_age() - was a range used since the last time
 * @g: the tables
 * @start: first address
 * @end: first address past the range
 * @clear: forget that it was
 *
 * Needs the lock shared. No flush is due: a CPU that has the translation cached
 * does not set the bit again until it loses it, which makes a page look colder
 * than it is for a while; the host treats its own tables alike.
 *
 * Return: whether any leaf in the range has its accessed bit set; of a format
 * without the bit, whether there is any leaf.
 */
bool gpt_age(struct gpt *g, u64 start, u64 end, bool clear)
{
	const u64 bit = g->fmt->accessed;
	bool young = false;
	struct cursor c;

	cursor_init(&c, g, start, end, false);
	while (cursor_next(&c)) {
		if (!cursor_at_leaf(&c) || (c.value & bit) != bit)
			continue;
		young = true;
		if (!clear || !bit)
			return true;
		/* The dirty bit may be set, rights may be added meanwhile. */
		while (cmpxchg(c.entry, c.value, c.value & ~bit) != c.value)
			c.value = READ_ONCE(*c.entry);
	}
	return young;
}

/**
 * gpt_lookup() - what maps an address
 * @g: the tables
 * @gpa: address
 * @leaf: out
 *
 * Needs the lock shared.
 *
 * Return: whether anything does.
 */
bool gpt_lookup(struct gpt *g, u64 gpa, struct gpt_leaf *leaf)
{
	struct cursor c;

	cursor_init(&c, g, gpa, gpa + 1, false);
	if (!cursor_next(&c) || !cursor_at_leaf(&c))
		return false;
	parse_leaf(g, gpa, c.value, c.level, leaf);
	return true;
}
