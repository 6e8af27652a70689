/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Zones: which range of a bus is whose, and what an access to it does.
 *
 * A table never changes after it was built. A writer (under vm->lock) builds the
 * next one, publishes it with rcu_assign_pointer(), waits for a grace period and
 * frees the old one; a reader is inside rcu_read_lock() (or SRCU) from the load
 * of the pointer to its last look at a zone. A NULL table is an empty one. A table is
 * freed by halo_free().
 *
 * An access belongs to a zone if it lies inside it with all its bytes and its
 * size is one that the zone accepts; anything else belongs to none, and the
 * caller does what the bus says for that (SYNC with cookie 0 on PIO and MMIO).
 */
#ifndef HALO_ZONE_H
#define HALO_ZONE_H

#include "pure.h"
#include <linux/halo.h>

#define HALO_NR_BUSES		4

/* For halo_zone_table_add(): which modes this module offers. */
#define HALO_ZONE_MODE_BIT(mode)	(1u << (mode))
#define HALO_ZONE_MODES_ALL		0x1fu

/**
 * struct halo_zone_desc - one zone
 * @start: first address
 * @last: last address, inclusive, so that a zone may reach the end of its bus
 * @cookie: for struct halo_exit
 * @match: value of a CONST zone, or the value a write must have (DATAMATCH)
 * @ctx: the caller's, an eventfd context for a DOORBELL; not looked at here
 * @bus: HALO_BUS_*
 * @mode: enum halo_zone_mode
 * @access: accepted access sizes, mask of 1 | 2 | 4 | 8, 0 = any
 * @flags: HALO_ZONE_DATAMATCH
 */
struct halo_zone_desc {
	u64 start;
	u64 last;
	u64 cookie;
	u64 match;
	void *ctx;
	u8 bus;
	u8 mode;
	u8 access;
	u8 flags;
};

/**
 * struct halo_zone_table - all zones of a VM, sorted by bus, start and match
 * @first: index of each bus's first zone; @first[bus + 1] is one past its last
 * @zones: the zones
 * @span: of each bus, the lowest and the highest address in a zone; an empty one: no address
 * @start: their start addresses once more, dense, for the search
 */
struct halo_zone_table {
	u32 first[HALO_NR_BUSES + 1];
	struct {
		u64 low;
		u64 high;
	} span[HALO_NR_BUSES];
	struct halo_zone_desc *zones;
	u64 start[];
};

int halo_zone_desc_init(struct halo_zone_desc *desc, const struct halo_zone *zone, u32 modes);

struct halo_zone_table *halo_zone_table_add(const struct halo_zone_table *old,
					    const struct halo_zone_desc *desc);
struct halo_zone_table *halo_zone_table_remove(const struct halo_zone_table *old,
					       const struct halo_zone_desc *desc, void **ctx);

/**
 * halo_zone_table_count() - how many zones there are
 * @table: the table or NULL
 */
static inline u32 halo_zone_table_count(const struct halo_zone_table *table)
{
	return table ? table->first[HALO_NR_BUSES] : 0;
}

const struct halo_zone_desc *halo_zone_cover(const struct halo_zone_table *table,
					     unsigned int bus, u64 addr, unsigned int size);
const struct halo_zone_desc *halo_zone_find(const struct halo_zone_table *table, unsigned int bus,
					    u64 addr, unsigned int size);
const struct halo_zone_desc *halo_zone_find_write(const struct halo_zone_table *table,
						  unsigned int bus, u64 addr, unsigned int size,
						  u64 value);

/* Is an address outside all zones of a bus, at a glance? */
static inline bool halo_zone_outside(const struct halo_zone_table *table, unsigned int bus,
				     u64 addr)
{
	return !table || addr < table->span[bus].low || addr > table->span[bus].high;
}

/**
 * halo_zone_none() - is an address of the MSR or hypercall bus in no zone
 * @table: the table or NULL
 * @bus: HALO_BUS_*
 * @addr: the address
 *
 * Return: whether no access to it, whatever its value, finds a zone.
 */
static inline bool halo_zone_none(const struct halo_zone_table *table, unsigned int bus, u64 addr)
{
	return halo_zone_outside(table, bus, addr) || !halo_zone_cover(table, bus, addr, 1);
}

#endif /* HALO_ZONE_H */
