// SPDX-License-Identifier: GPL-2.0
/*
 * Zones: which range of a bus is whose, and what an access to it does.
 *
 * One immutable sorted table for all buses. Building costs a copy of the table,
 * at most 512 zones, a few times in a VM's life; looking up is a binary search
 * over a dense array of start addresses, without a lock, many times a second.
 *
 * Doorbells that differ in the value only may share an address (a virtio queue's
 * notify register). They sit next to each other, ordered by value.
 *
 * Callers: building and freeing under vm->lock; halo_zone_find() from a vCPU in an
 * RCU read section. Why not a tree or a per-bus list: there is nothing smaller
 * than an array, and nothing here needs to be changed in place.
 */
#include "zone.h"

#define MODES_BUT_DENY	(HALO_ZONE_MODES_ALL & ~HALO_ZONE_MODE_BIT(HALO_ZONE_DENY))

/*
 * Of each bus: the highest address, the modes that make sense there (whether the
 * module offers them is asked afterwards), and the access sizes there are to filter.
 */
static const struct {
	u64 last;
	u32 modes;
	u32 access;
} halo_buses[HALO_NR_BUSES] = {
	[HALO_BUS_PIO] = { 0xffff, MODES_BUT_DENY, 1 | 2 | 4 },
	[HALO_BUS_MMIO] = { (1ull << 52) - 1, MODES_BUT_DENY, 1 | 2 | 4 | 8 },
	[HALO_BUS_MSR] = { 0xffffffff, HALO_ZONE_MODES_ALL },
	[HALO_BUS_HYPERCALL] = { ~0ull, MODES_BUT_DENY },
};

static int halo_zone_check(const struct halo_zone *zone, u32 modes)
{
	bool datamatch = zone->flags & HALO_ZONE_DATAMATCH;
	bool doorbell = zone->mode == HALO_ZONE_DOORBELL;

	if (zone->mode > HALO_ZONE_DENY || zone->flags & ~HALO_ZONE_DATAMATCH ||
	    !(halo_buses[zone->bus].modes & HALO_ZONE_MODE_BIT(zone->mode)) ||
	    zone->access & ~halo_buses[zone->bus].access ||
	    (datamatch && !doorbell) ||
	    (zone->match && !datamatch && zone->mode != HALO_ZONE_CONST) ||
	    (doorbell ? zone->eventfd < 0 : zone->eventfd != -1))
		return -EINVAL;
	if (!(modes & HALO_ZONE_MODE_BIT(zone->mode)))
		return -EOPNOTSUPP;
	return 0;
}

/**
 * halo_zone_desc_init() - make a zone of what the user asked for
 * @desc: the result; @ctx is NULL, for the caller to fill in
 * @zone: kernel copy of the ioctl's argument
 * @modes: HALO_ZONE_MODE_BIT() of the modes that the module offers
 *
 * With HALO_ZONE_REMOVE, only what names a zone is looked at: bus, range, match.
 *
 * Return: 0, -EINVAL for a zone that can't be, -EOPNOTSUPP for one that can't be yet.
 */
int halo_zone_desc_init(struct halo_zone_desc *desc, const struct halo_zone *zone, u32 modes)
{
	if (zone->op > HALO_ZONE_REPLACE || zone->bus >= HALO_NR_BUSES || zone->reserved)
		return -EINVAL;
	if (!zone->len || zone->addr > halo_buses[zone->bus].last ||
	    zone->len - 1 > halo_buses[zone->bus].last - zone->addr)
		return -EINVAL;

	*desc = (struct halo_zone_desc){
		.start = zone->addr,
		.last = zone->addr + (zone->len - 1),
		.cookie = zone->cookie,
		.match = zone->match,
		.bus = zone->bus,
		.mode = zone->mode,
		.access = zone->access,
		.flags = zone->flags,
	};
	return zone->op == HALO_ZONE_REMOVE ? 0 : halo_zone_check(zone, modes);
}

static struct halo_zone_table *halo_zone_table_alloc(u32 count)
{
	struct halo_zone_table *table;
	size_t starts = sizeof(table->start[0]) * count;
	unsigned int bus;

	table = halo_alloc(sizeof(*table) + starts + sizeof(struct halo_zone_desc) * count);
	if (!table)
		return NULL;
	table->zones = (void *)table + sizeof(*table) + starts;
	for (bus = 0; bus < HALO_NR_BUSES; bus++)
		table->span[bus].low = ~0ull;
	return table;
}

static bool halo_zone_same_range(const struct halo_zone_desc *a, const struct halo_zone_desc *b)
{
	return a->bus == b->bus && a->start == b->start && a->last == b->last;
}

/* Doorbells may share a range; the size of an access must not tell them apart, only the value. */
static bool halo_zone_conflict(const struct halo_zone_desc *a, const struct halo_zone_desc *b)
{
	if (a->bus != b->bus || a->last < b->start || b->last < a->start)
		return false;
	return !(halo_zone_same_range(a, b) && a->match != b->match && a->access == b->access &&
		 a->flags & b->flags & HALO_ZONE_DATAMATCH);
}

static bool halo_zone_before(const struct halo_zone_desc *a, const struct halo_zone_desc *b)
{
	if (a->bus != b->bus)
		return a->bus < b->bus;
	if (a->start != b->start)
		return a->start < b->start;
	return a->match < b->match;
}

/* The caller goes by the order of halo_zone_before(). */
static void halo_zone_table_append(struct halo_zone_table *table, const struct halo_zone_desc *desc)
{
	u32 n = table->first[HALO_NR_BUSES]++;
	unsigned int bus;

	table->zones[n] = *desc;
	table->start[n] = desc->start;
	table->span[desc->bus].low = min(table->span[desc->bus].low, desc->start);
	table->span[desc->bus].high = desc->last;
	for (bus = desc->bus + 1; bus < HALO_NR_BUSES; bus++)
		table->first[bus] = n + 1;
}

/**
 * halo_zone_table_add() - the table with one more zone
 * @old: the present table, NULL if empty; not changed
 * @desc: from halo_zone_desc_init()
 *
 * Return: the new table, or ERR_PTR: -EEXIST if the zone overlaps another, -ENOSPC
 * with HALO_MAX_ZONES in use, -ENOMEM.
 */
struct halo_zone_table *halo_zone_table_add(const struct halo_zone_table *old,
					    const struct halo_zone_desc *desc)
{
	u32 count = halo_zone_table_count(old);
	struct halo_zone_table *table;
	u32 i;

	for (i = 0; i < count; i++)
		if (halo_zone_conflict(&old->zones[i], desc))
			return ERR_PTR(-EEXIST);
	if (count >= HALO_MAX_ZONES)
		return ERR_PTR(-ENOSPC);

	table = halo_zone_table_alloc(count + 1);
	if (!table)
		return ERR_PTR(-ENOMEM);

	for (i = 0; i < count && halo_zone_before(&old->zones[i], desc); i++)
		halo_zone_table_append(table, &old->zones[i]);
	halo_zone_table_append(table, desc);
	for (; i < count; i++)
		halo_zone_table_append(table, &old->zones[i]);
	return table;
}

/* The zone that @desc names by bus, range and match, NULL if there is none. */
static const struct halo_zone_desc *halo_zone_table_exact(const struct halo_zone_table *table,
							  const struct halo_zone_desc *desc)
{
	const struct halo_zone_desc *zone;
	u32 i;

	for (i = 0; i < halo_zone_table_count(table); i++) {
		zone = &table->zones[i];
		if (halo_zone_same_range(zone, desc) &&
		    (zone->match == desc->match || !(zone->flags & HALO_ZONE_DATAMATCH)))
			return zone;
	}
	return NULL;
}

/**
 * halo_zone_table_remove() - the table with one zone less
 * @old: the present table, NULL if empty; not changed
 * @desc: names the zone by bus, range and, among those that share it, match
 * @ctx: out: the zone's, on success
 *
 * Return: the new table (NULL if that was the last zone), or ERR_PTR: -ENOENT if there
 * is no such zone, -ENOMEM.
 */
struct halo_zone_table *halo_zone_table_remove(const struct halo_zone_table *old,
					       const struct halo_zone_desc *desc, void **ctx)
{
	const struct halo_zone_desc *gone = halo_zone_table_exact(old, desc);
	u32 count = halo_zone_table_count(old);
	struct halo_zone_table *table;
	u32 i;

	if (!gone)
		return ERR_PTR(-ENOENT);
	*ctx = gone->ctx;
	if (count == 1)
		return NULL;

	table = halo_zone_table_alloc(count - 1);
	if (!table)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < count; i++)
		if (&old->zones[i] != gone)
			halo_zone_table_append(table, &old->zones[i]);
	return table;
}

/*
 * Of a bus's zones up to @base + @n, the last that does not come after an address and a
 * value. What the guest gave moves @base by at most what is left of @n, also when the CPU
 * speculates: no index leaves the bus.
 */
static u32 halo_zone_seek(const struct halo_zone_table *table, u32 base, u32 n, u64 addr,
			  u64 value)
{
	u32 half, at;

	while (n > 1) {
		half = n / 2;
		at = base + half;
		if (table->start[at] < addr ||
		    (table->start[at] == addr && table->zones[at].match <= value))
			base = at;
		n -= half;
	}
	return base;
}

static __always_inline const struct halo_zone_desc *
halo_zone_lookup(const struct halo_zone_table *table, unsigned int bus, u64 addr,
		 unsigned int size)
{
	const struct halo_zone_desc *zone;
	u32 base, n;

	if (unlikely(!table))
		return NULL;
	base = table->first[bus];
	n = table->first[bus + 1] - base;
	if (!n)
		return NULL;
	zone = &table->zones[halo_zone_seek(table, base, n, addr, ~0ull)];
	if (addr < zone->start || addr > zone->last || zone->last - addr < size - 1)
		return NULL;
	if (zone->access && (!is_power_of_2(size) || !(zone->access & size)))
		return NULL;
	return zone;
}

/**
 * halo_zone_cover() - the zone that an access lies in; of those that share an address, the last
 * @table: the table or NULL
 * @bus: HALO_BUS_*
 * @addr: first address of the access
 * @size: as for halo_zone_find()
 *
 * Return: the zone, NULL if the access is in none.
 */
const struct halo_zone_desc *halo_zone_cover(const struct halo_zone_table *table,
					     unsigned int bus, u64 addr, unsigned int size)
{
	return halo_zone_lookup(table, bus, addr, size);
}

/**
 * halo_zone_find() - the zone of a read
 * @table: the table or NULL
 * @bus: HALO_BUS_*
 * @addr: first address of the access
 * @size: bytes of the access, at least 1; 1 on the MSR and hypercall buses
 *
 * A doorbell that wants a certain value is not found by an address alone.
 *
 * Return: the zone, NULL if the access is in none.
 */
const struct halo_zone_desc *halo_zone_find(const struct halo_zone_table *table, unsigned int bus,
					    u64 addr, unsigned int size)
{
	const struct halo_zone_desc *zone = halo_zone_lookup(table, bus, addr, size);

	return zone && zone->flags & HALO_ZONE_DATAMATCH ? NULL : zone;
}

/**
 * halo_zone_find_write() - the zone of a write
 * @table: the table or NULL
 * @bus: HALO_BUS_*
 * @addr: first address of the access
 * @size: as for halo_zone_find()
 * @value: what is written, zeros above the access
 *
 * Return: the zone, NULL if the access is in none.
 */
const struct halo_zone_desc *halo_zone_find_write(const struct halo_zone_table *table,
						  unsigned int bus, u64 addr, unsigned int size,
						  u64 value)
{
	const struct halo_zone_desc *zone = halo_zone_lookup(table, bus, addr, size);
	const struct halo_zone_desc *same;
	u32 base, n;

	if (!zone || likely(!(zone->flags & HALO_ZONE_DATAMATCH)))
		return zone;
	base = table->first[bus];
	n = zone - table->zones + 1 - base;
	same = &table->zones[halo_zone_seek(table, base, n, zone->start, value)];
	return same->start == zone->start && same->match == value ? same : NULL;
}
