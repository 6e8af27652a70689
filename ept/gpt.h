/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Second-stage page tables: guest-physical to host-physical.
 *
 * One engine serves both vendors' formats, which differ in bits only. It knows
 * no VM, no vCPU and no kernel: memory for tables and the way between a table's
 * address and its physical address come through struct gpt_ops, so the same
 * source runs in the kernel and under the unit tests.
 *
 * Levels are numbered as in the manuals: a level 1 entry maps 4 KiB, level 2
 * 2 MiB, level 3 1 GiB; levels 4 and 5 hold tables only. An entry that maps
 * nothing is all zero, address bits too: a speculative walk that ignores the
 * present bit (L1TF) then finds page 0 and nothing of anybody's.
 *
 * Who may run beside whom (the caller brings the lock, a reader-writer one):
 *
 *	shared:    gpt_map, gpt_missing, gpt_lookup, gpt_age; gpt_find and gpt_put in
 *		   one section
 *	exclusive: gpt_zap
 *	no lock:   gpt_cache_fill, gpt_cache_drain, gpt_free, gpt_root
 *	alone:     gpt_init, gpt_destroy
 *
 * The hardware walks all the time and under no lock. It sets accessed and dirty
 * bits by itself, hence every change of an entry is one atomic instruction that
 * either can't lose such a bit or hands it to the caller.
 *
 * What takes rights away reports that it did, and the caller must then have the
 * TLBs flushed before it drops the lock: the next one to look would find nothing
 * to do, and would believe that nobody uses the page any more.
 */
#ifndef HALO_GPT_H
#define HALO_GPT_H

#include "pure.h"

#define GPT_LEVEL_4K	1
#define GPT_LEVEL_2M	2
#define GPT_LEVEL_1G	3
#define GPT_LEVELS_MAX	5

/* What a leaf allows and says; the first three are also what an access needs. */
#define GPT_READ	BIT(0)		/* always there: no format is asked for less */
#define GPT_WRITE	BIT(1)
#define GPT_EXEC	BIT(2)
#define GPT_RIGHTS	(GPT_READ | GPT_WRITE | GPT_EXEC)
#define GPT_ACCESSED	BIT(3)
#define GPT_DIRTY	BIT(4)

/**
 * struct gpt_format - where a vendor keeps what in a 64-bit entry
 * @present: an entry with any of these set is present
 * @table: fixed bits of an entry that points to a table
 * @leaf: fixed bits of a leaf, for write-back memory, GPT_READ included
 * @write: leaf: writable
 * @exec: leaf: executable; 0 where @noexec says the opposite
 * @noexec: leaf: not executable, or 0
 * @large: leaf above level 1
 * @accessed: set by hardware on use, 0 if it does not
 * @dirty: set by hardware on write, 0 if it does not
 * @addr: physical address bits
 * @host_levels: the hardware walks as many levels as the host's own paging
 */
struct gpt_format {
	u64 present;
	u64 table;
	u64 leaf;
	u64 write;
	u64 exec;
	u64 noexec;
	u64 large;
	u64 accessed;
	u64 dirty;
	u64 addr;
	bool host_levels;
};

extern const struct gpt_format gpt_ept;		/* SDM 3C 29.3.2, with A/D bits */
extern const struct gpt_format gpt_ept_noad;	/* the same on a CPU without them */
extern const struct gpt_format gpt_npt;		/* APM 2 5.3, 15.25.5 */

/**
 * struct gpt_ops - the engine's view of memory
 * @alloc: a zeroed 4 KiB table or NULL; may sleep, never called under the lock
 * @free: undo @alloc
 * @phys: physical address of a table
 * @virt: table at a physical address, which is that plus a constant
 * @set_next: remember @next for a table (outside its 4 KiB: hardware may still
 *	walk it)
 * @next: what was remembered
 */
struct gpt_ops {
	void *(*alloc)(void *ctx);
	void (*free)(void *ctx, void *table);
	u64 (*phys)(const void *table);
	void *(*virt)(u64 phys);
	void (*set_next)(void *table, unsigned long next);
	unsigned long (*next)(const void *table);
};

/**
 * struct gpt - one set of second-stage tables
 * @fmt: entry format
 * @ops: memory
 * @ctx: given to @ops
 * @root: top table
 * @base: what ops->virt() adds
 * @levels: of tables, 4 or 5
 * @encrypt: memory-encryption bit that goes into every entry, or 0
 */
struct gpt {
	const struct gpt_format *fmt;
	const struct gpt_ops *ops;
	void *ctx;
	u64 *root;
	unsigned long base;
	int levels;
	u64 encrypt;
};

/**
 * struct gpt_cache - empty tables, allocated before the lock is taken
 * @nr: how many
 * @table: them
 */
struct gpt_cache {
	int nr;
	void *table[GPT_LEVELS_MAX];
};

/**
 * struct gpt_zapped - tables taken out, to be freed after the TLB flush
 * @head: opaque; zero when empty
 */
struct gpt_zapped {
	unsigned long head;
};

/**
 * struct gpt_leaf - what maps an address
 * @gpa: first guest-physical address of the leaf
 * @hpa: host-physical address that @gpa maps to
 * @level: its size, GPT_LEVEL_*
 * @flags: GPT_READ .. GPT_DIRTY
 */
struct gpt_leaf {
	u64 gpa;
	u64 hpa;
	int level;
	unsigned int flags;
};

/**
 * struct gpt_place - where an address is decided about
 * @entry: the last one on the way to it: a leaf or empty
 * @level: its level
 */
struct gpt_place {
	u64 *entry;
	int level;
};

/* Bytes that an entry of a level spans. */
static inline u64 gpt_span(int level)
{
	return 1ULL << (12 + 9 * (level - 1));
}

/* First address past what the tables can map. */
static inline u64 gpt_limit(const struct gpt *g)
{
	return 1ULL << (12 + 9 * g->levels);
}

int gpt_init(struct gpt *g, const struct gpt_format *fmt, int levels,
	     const struct gpt_ops *ops, void *ctx, u64 encrypt);
void gpt_destroy(struct gpt *g);
u64 gpt_root(const struct gpt *g);

int gpt_cache_fill(struct gpt *g, struct gpt_cache *cache, int nr);
void gpt_cache_drain(struct gpt *g, struct gpt_cache *cache);

int gpt_missing(struct gpt *g, u64 gpa, int level);
int gpt_map(struct gpt *g, struct gpt_cache *cache, u64 gpa, u64 hpa, int level,
	    unsigned int flags);
bool gpt_zap(struct gpt *g, u64 start, u64 end, struct gpt_zapped *zapped);
bool gpt_free(struct gpt *g, struct gpt_zapped *zapped, unsigned int budget);
bool gpt_age(struct gpt *g, u64 start, u64 end, bool clear);
void gpt_find(struct gpt *g, u64 gpa, struct gpt_place *p);
bool gpt_beside(const struct gpt_place *p);
int gpt_put(struct gpt *g, u64 *entry, u64 hpa, int level, unsigned int flags);
bool gpt_lookup(struct gpt *g, u64 gpa, struct gpt_leaf *leaf);

#endif /* HALO_GPT_H */
