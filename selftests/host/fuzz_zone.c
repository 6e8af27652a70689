// SPDX-License-Identifier: GPL-2.0
/* sources: module/zone.c */
/*
 * Random adds, removes and accesses, held against an unsorted list.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zone.h"

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)
#define MOST	64

static struct halo_zone_desc list[MOST];
static unsigned int count;

static const struct halo_zone_desc *model(u32 bus, u64 addr, u32 size,
					  const u64 *value)
{
	u64 end;

	for (unsigned int i = 0; i < count; i++) {
		const struct halo_zone_desc *z = &list[i];

		if (__builtin_add_overflow(addr, size - 1, &end))
			continue;
		if (z->bus != bus || addr < z->start || end > z->last)
			continue;
		if (z->access && (__builtin_popcount(size) != 1 || !(z->access & size)))
			continue;
		if (z->flags & HALO_ZONE_DATAMATCH && (!value || z->match != *value))
			continue;
		return z;
	}
	return NULL;
}

static bool clash(const struct halo_zone_desc *d)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct halo_zone_desc *z = &list[i];

		if (z->bus == d->bus && z->start <= d->last && d->start <= z->last &&
		    !(z->start == d->start && z->last == d->last && z->match != d->match &&
		      z->mode == HALO_ZONE_DOORBELL && d->mode == HALO_ZONE_DOORBELL &&
		      z->flags && d->flags && z->access == d->access))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t left);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t left)
{
	const struct halo_zone_table *table = NULL;

	count = 0;
	for (; left >= 8; p += 8, left -= 8) {
		/* A small world, so that neighbours meet; its middle is the end of 16 bits. */
		struct halo_zone zone = {
			.op = p[0] & 1, .bus = p[0] >> 1 & 3, .mode = p[0] >> 3 & 7,
			.addr = (p[1] & 0x80 ? 0xffc0 : 0) + (p[1] & 0x7f), .len = p[2] % 20,
			.cookie = p[3], .match = p[4] % 4, .flags = p[5] & 1,
			.eventfd = p[5] & 2 ? 1 : -1, .access = p[5] >> 4,
		};
		const struct halo_zone_desc *got, *want;
		struct halo_zone_table *next;
		struct halo_zone_desc desc;
		u32 size = 1 + p[6] % 9, bus = p[6] >> 6;

		if (p[0] == 0xff)	/* the far end */
			zone.addr = ~0ull - p[1] % 8;
		if (halo_zone_desc_init(&desc, &zone, HALO_ZONE_MODES_ALL))
			goto look;
		CHECK(desc.last >= desc.start);

		if (zone.op == HALO_ZONE_ADD) {
			bool bad = clash(&desc);

			if (count == MOST)
				goto look;
			next = halo_zone_table_add(table, &desc);
			CHECK(IS_ERR(next) == bad);
			if (bad) {
				CHECK(PTR_ERR(next) == -EEXIST);
				goto look;
			}
			list[count++] = desc;
		} else {
			unsigned int i;
			void *ctx;

			for (i = 0; i < count; i++)
				if (list[i].bus == desc.bus && list[i].start == desc.start &&
				    list[i].last == desc.last &&
				    (list[i].match == desc.match ||
				     !(list[i].flags & HALO_ZONE_DATAMATCH)))
					break;
			next = halo_zone_table_remove(table, &desc, &ctx);
			CHECK(IS_ERR(next) == (i == count));
			if (i == count) {
				CHECK(PTR_ERR(next) == -ENOENT);
				goto look;
			}
			list[i] = list[--count];
		}
		halo_free(table);
		table = next;
		CHECK(halo_zone_table_count(table) == count);
look:
		for (u64 addr = zone.addr - 2; addr != zone.addr + 3; addr++) {
			got = halo_zone_find(table, bus, addr, size);
			want = model(bus, addr, size, NULL);
			CHECK(!got == !want && (!got || !memcmp(got, want, sizeof(*got))));
			for (u64 value = 0; value < 5; value++) {
				got = halo_zone_find_write(table, bus, addr, size, value);
				want = model(bus, addr, size, &value);
				CHECK(!got == !want &&
				      (!got || !memcmp(got, want, sizeof(*got))));
			}
		}
	}
	halo_free(table);
	return 0;
}
