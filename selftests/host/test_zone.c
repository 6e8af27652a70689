// SPDX-License-Identifier: GPL-2.0
/* sources: module/zone.c */
/* ldflags: -Wl,--wrap=calloc */
/*
 * Zone tables: what may be added, what is found, what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "zone.h"

#define SYNC_ONLY	(HALO_ZONE_MODE_BIT(HALO_ZONE_SYNC) | HALO_ZONE_MODE_BIT(HALO_ZONE_CONST) | \
			 HALO_ZONE_MODE_BIT(HALO_ZONE_DENY))

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
static bool no_memory;

void *__wrap_calloc(size_t n, size_t bytes)
{
	return no_memory ? NULL : __real_calloc(n, bytes);
}

static struct halo_zone zone_at(u32 bus, u64 addr, u64 len)
{
	return (struct halo_zone){ .size = sizeof(struct halo_zone), .bus = bus, .addr = addr,
				   .len = len, .cookie = addr + 1, .eventfd = -1 };
}

static int check(struct halo_zone zone)
{
	struct halo_zone_desc desc;

	return halo_zone_desc_init(&desc, &zone, HALO_ZONE_MODES_ALL);
}

static int add(const struct halo_zone_table **table, struct halo_zone zone)
{
	struct halo_zone_table *next;
	struct halo_zone_desc desc;
	int ret = halo_zone_desc_init(&desc, &zone, HALO_ZONE_MODES_ALL);

	if (ret)
		return ret;
	next = halo_zone_table_add(*table, &desc);
	if (IS_ERR(next))
		return PTR_ERR(next);
	halo_free(*table);
	*table = next;
	return 0;
}

/* The context that the next zone to be dropped has. */
static void *dropped;

static int drop(const struct halo_zone_table **table, struct halo_zone zone)
{
	struct halo_zone_table *next;
	struct halo_zone_desc desc;
	void *ctx = NULL;
	int ret;

	zone.op = HALO_ZONE_REMOVE;
	ret = halo_zone_desc_init(&desc, &zone, HALO_ZONE_MODES_ALL);
	if (ret)
		return ret;
	next = halo_zone_table_remove(*table, &desc, &ctx);
	if (IS_ERR(next))
		return PTR_ERR(next);
	assert_ptr_equal(ctx, dropped);
	halo_free(*table);
	*table = next;
	return 0;
}

static u64 cookie(const struct halo_zone_table *table, u32 bus, u64 addr, unsigned int size)
{
	const struct halo_zone_desc *zone = halo_zone_find(table, bus, addr, size);

	return zone ? zone->cookie : 0;
}

static struct halo_zone doorbell(u64 addr, u64 len, u64 match)
{
	struct halo_zone zone = zone_at(HALO_BUS_MMIO, addr, len);

	zone.mode = HALO_ZONE_DOORBELL;
	zone.flags = HALO_ZONE_DATAMATCH;
	zone.match = match;
	zone.eventfd = 5;
	zone.cookie = 1000 + match;
	return zone;
}

static void an_empty_table_has_nothing(void **state)
{
	assert_null(halo_zone_find(NULL, HALO_BUS_PIO, 0, 1));
	assert_int_equal(halo_zone_table_count(NULL), 0);
	halo_free(NULL);
}

static void a_zone_ends_where_its_bus_does(void **state)
{
	static const struct { u32 bus; u64 addr, len; int ret; } t[] = {
		{ HALO_BUS_PIO, 0, 0x10000, 0 },
		{ HALO_BUS_PIO, 0xffff, 1, 0 },
		{ HALO_BUS_PIO, 0xffff, 2, -EINVAL },
		{ HALO_BUS_PIO, 0x10000, 1, -EINVAL },
		{ HALO_BUS_PIO, 0, 0, -EINVAL },
		{ HALO_BUS_PIO, 1, ~0ull, -EINVAL },
		{ HALO_BUS_MMIO, 0, 1ull << 52, 0 },
		{ HALO_BUS_MMIO, 1, 1ull << 52, -EINVAL },
		{ HALO_BUS_MMIO, ~0ull, 1, -EINVAL },
		{ HALO_BUS_MMIO, ~0ull, 2, -EINVAL },
		{ HALO_BUS_MSR, 0, 1ull << 32, 0 },
		{ HALO_BUS_MSR, 0xffffffff, 2, -EINVAL },
		{ HALO_BUS_HYPERCALL, ~0ull, 1, 0 },
		{ HALO_BUS_HYPERCALL, 1, ~0ull, 0 },
		{ HALO_BUS_HYPERCALL, 2, ~0ull, -EINVAL },
		{ 4, 0, 1, -EINVAL },
		{ ~0u, 0, 1, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(check(zone_at(t[i].bus, t[i].addr, t[i].len)), t[i].ret);
}

static void modes_have_their_buses(void **state)
{
	/* by mode: on PIO, MMIO, MSR, HYPERCALL */
	static const int want[5][4] = {
		[HALO_ZONE_SYNC] = { 0, 0, 0, 0 },
		[HALO_ZONE_POSTED] = { 0, 0, 0, 0 },
		[HALO_ZONE_DOORBELL] = { 0, 0, 0, 0 },
		[HALO_ZONE_CONST] = { 0, 0, 0, 0 },
		[HALO_ZONE_DENY] = { -EINVAL, -EINVAL, 0, -EINVAL },
	};

	for (u32 mode = 0; mode < 5; mode++) {
		for (u32 bus = 0; bus < 4; bus++) {
			struct halo_zone zone = zone_at(bus, 16, 4);

			zone.mode = mode;
			zone.eventfd = mode == HALO_ZONE_DOORBELL ? 3 : -1;
			assert_int_equal(check(zone), want[mode][bus]);
		}
	}
}

static void a_mode_that_is_not_offered(void **state)
{
	struct halo_zone zone = zone_at(HALO_BUS_MMIO, 0x1000, 4);
	struct halo_zone_desc desc;

	zone.mode = HALO_ZONE_POSTED;
	assert_int_equal(halo_zone_desc_init(&desc, &zone, SYNC_ONLY), -EOPNOTSUPP);
	zone = doorbell(0x1000, 4, 1);
	assert_int_equal(halo_zone_desc_init(&desc, &zone, SYNC_ONLY), -EOPNOTSUPP);
	/* Wrong comes before not yet. */
	zone.eventfd = -1;
	assert_int_equal(halo_zone_desc_init(&desc, &zone, SYNC_ONLY), -EINVAL);
	zone = zone_at(HALO_BUS_MMIO, 0x1000, 4);
	assert_int_equal(halo_zone_desc_init(&desc, &zone, SYNC_ONLY), 0);
	assert_null(desc.ctx);
}

static void every_field_is_checked(void **state)
{
#define BAD(bus, change) do {					\
		struct halo_zone zone = zone_at(bus, 16, 4);	\
		change;						\
		assert_int_equal(check(zone), -EINVAL);		\
	} while (0)

	BAD(HALO_BUS_PIO, zone.op = 3);
	BAD(HALO_BUS_PIO, zone.mode = 5);
	BAD(HALO_BUS_PIO, zone.flags = 2);
	BAD(HALO_BUS_PIO, zone.flags = HALO_ZONE_DATAMATCH);
	BAD(HALO_BUS_PIO, zone.match = 1);
	BAD(HALO_BUS_PIO, zone.eventfd = 0);
	BAD(HALO_BUS_PIO, zone.reserved = 1);
	BAD(HALO_BUS_PIO, zone.access = 8);
	BAD(HALO_BUS_MMIO, zone.access = 16);
	BAD(HALO_BUS_MSR, zone.access = 1);
	BAD(HALO_BUS_HYPERCALL, zone.access = 8);
	BAD(HALO_BUS_PIO, zone.mode = HALO_ZONE_DOORBELL; zone.eventfd = -1);
}

static void overlaps_are_refused(void **state)
{
	const struct halo_zone_table *t = NULL;
	static const struct { u64 addr, len; int ret; } tries[] = {
		{ 0x100, 0x10, -EEXIST }, { 0xff, 2, -EEXIST }, { 0x10f, 1, -EEXIST },
		{ 0x80, 0x100, -EEXIST }, { 0x104, 1, -EEXIST }, { 0x0, 0x10000, -EEXIST },
		{ 0xff, 1, 0 }, { 0x110, 1, 0 },
	};

	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x100, 0x10)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++)
		assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, tries[i].addr, tries[i].len)),
				 tries[i].ret);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x100, 0x10)), 0);
	assert_int_equal(halo_zone_table_count(t), 4);
	halo_free(t);
}

/* An access is in a zone with all its bytes or it is not. */
static void an_access_lies_inside_or_not(void **state)
{
	const struct halo_zone_table *t = NULL;
	u64 end = 1ull << 52;

	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x1000, 0x10)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x1010, 0x10)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, end - 4, 4)), 0);

	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 1), 0x1001);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x100f, 1), 0x1001);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1008, 8), 0x1001);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1009, 8), 0);	/* across two zones */
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x0fff, 2), 0);	/* begins outside */
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x101e, 4), 0);	/* ends outside */
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x0fff, 1), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1020, 1), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, end - 4, 4), end - 3);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, end - 4, 8), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, ~0ull, 1), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, ~0ull, 8), 0);
	assert_int_equal(cookie(t, HALO_BUS_PIO, 0x1000, 1), 0);
	halo_free(t);
}

static void the_top_of_the_hypercall_bus(void **state)
{
	const struct halo_zone_table *t = NULL;

	assert_int_equal(add(&t, zone_at(HALO_BUS_HYPERCALL, ~0ull - 1, 2)), 0);
	assert_non_null(halo_zone_find(t, HALO_BUS_HYPERCALL, ~0ull, 1));
	assert_null(halo_zone_find(t, HALO_BUS_HYPERCALL, ~0ull - 2, 1));
	halo_free(t);
}

static void sizes_are_filtered(void **state)
{
	const struct halo_zone_table *t = NULL;
	struct halo_zone zone = zone_at(HALO_BUS_MMIO, 0x1000, 0x100);

	zone.access = 2 | 8;
	assert_int_equal(add(&t, zone), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 1), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 2), 0x1001);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 3), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 4), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 6), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 8), 0x1001);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1000, 16), 0);
	halo_free(t);
}

static void doorbells_share_an_address(void **state)
{
	const struct halo_zone_table *t = NULL;
	struct halo_zone other;
	static const u64 values[] = { 7, 0, 3, ~0ull, 0x80000000, 12 };

	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x0ff0, 0x10)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x1004, 0x10)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_int_equal(add(&t, doorbell(0x1000, 4, values[i])), 0);
	assert_int_equal(add(&t, doorbell(0x1000, 4, 7)), -EEXIST);
	assert_int_equal(add(&t, doorbell(0x1000, 2, 8)), -EEXIST);
	assert_int_equal(add(&t, doorbell(0x1002, 2, 8)), -EEXIST);
	other = doorbell(0x1000, 4, 8);
	other.access = 4;
	assert_int_equal(add(&t, other), -EEXIST);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x1000, 4)), -EEXIST);

	/* The address alone is no doorbell's; the neighbours are as ever. */
	assert_null(halo_zone_find(t, HALO_BUS_MMIO, 0x1000, 4));
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x0fff, 1), 0x0ff1);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x1004, 1), 0x1005);

	assert_int_equal(drop(&t, doorbell(0x1000, 4, 7)), 0);
	assert_int_equal(drop(&t, doorbell(0x1000, 4, 7)), -ENOENT);
	assert_int_equal(add(&t, doorbell(0x1000, 4, 3)), -EEXIST);
	assert_int_equal(add(&t, doorbell(0x1000, 4, 7)), 0);
	assert_int_equal(cookie(t, HALO_BUS_MMIO, 0x0fff, 1), 0x0ff1);
	halo_free(t);
}

static u64 write_cookie(const struct halo_zone_table *t, u64 addr, unsigned int size, u64 value)
{
	const struct halo_zone_desc *zone = halo_zone_find_write(t, HALO_BUS_MMIO, addr, size, value);

	return zone ? zone->cookie : 0;
}

static void a_write_finds_its_value(void **state)
{
	const struct halo_zone_table *t = NULL;
	u64 v;

	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x0ff0, 0x10)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0x1004, 0x10)), 0);
	assert_int_equal(add(&t, doorbell(0x0fe0, 4, 6)), 0);
	for (v = 0; v < 100; v++)
		assert_int_equal(add(&t, doorbell(0x1000, 4, v * 7919 % 100 * 2)), 0);
	for (v = 0; v < 220; v++)
		assert_int_equal(write_cookie(t, 0x1000, 4, v),
				 v % 2 || v >= 200 ? 0 : 1000 + v);
	assert_int_equal(write_cookie(t, 0x1000, 1, 16), 1016);
	assert_int_equal(write_cookie(t, 0x1002, 2, 16), 1016);
	assert_int_equal(write_cookie(t, 0x1002, 4, 16), 0);	/* sticks out */
	assert_int_equal(write_cookie(t, 0x1000, 4, ~0ull), 0);
	assert_int_equal(write_cookie(t, 0x0fe0, 4, 6), 1006);
	assert_int_equal(write_cookie(t, 0x0fe0, 4, 8), 0);
	assert_int_equal(write_cookie(t, 0x0ff0, 4, 6), 0x0ff1);
	assert_int_equal(write_cookie(t, 0x1004, 4, 6), 0x1005);
	halo_free(t);
}

static void a_dropped_zone_gives_its_context_back(void **state)
{
	const struct halo_zone_table *t = NULL;
	struct halo_zone zone = doorbell(0x1000, 4, 5);
	struct halo_zone_desc desc;
	int mark;

	assert_int_equal(halo_zone_desc_init(&desc, &zone, HALO_ZONE_MODES_ALL), 0);
	desc.ctx = &mark;
	t = halo_zone_table_add(NULL, &desc);
	assert_int_equal(add(&t, doorbell(0x1000, 4, 6)), 0);
	assert_int_equal(drop(&t, doorbell(0x1000, 4, 6)), 0);
	dropped = &mark;
	assert_int_equal(drop(&t, doorbell(0x1000, 4, 5)), 0);
	dropped = NULL;
	assert_null(t);
}

/* Where the range is not shared, it is name enough. */
static void a_constant_is_dropped_by_its_range(void **state)
{
	const struct halo_zone_table *t = NULL;
	struct halo_zone zone = zone_at(HALO_BUS_PIO, 0x60, 5);

	zone.mode = HALO_ZONE_CONST;
	zone.match = 0xff;
	assert_int_equal(add(&t, zone), 0);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x60, 5)), 0);
	assert_null(t);
}

static void a_doorbell_without_a_value_takes_all(void **state)
{
	const struct halo_zone_table *t = NULL;
	struct halo_zone zone = doorbell(0x2000, 4, 0);

	zone.flags = 0;
	assert_int_equal(add(&t, zone), 0);
	assert_non_null(halo_zone_find(t, HALO_BUS_MMIO, 0x2000, 4));
	assert_non_null(halo_zone_find_write(t, HALO_BUS_MMIO, 0x2000, 4, 77));
	halo_free(t);
}

static void remove_wants_the_very_zone(void **state)
{
	const struct halo_zone_table *t = NULL;

	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x60, 5)), -ENOENT);
	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x60, 5)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x70, 2)), 0);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x60, 4)), -ENOENT);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x61, 4)), -ENOENT);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_MMIO, 0x60, 5)), -ENOENT);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x60, 0)), -EINVAL);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x60, 5)), 0);
	assert_int_equal(cookie(t, HALO_BUS_PIO, 0x60, 1), 0);
	assert_int_equal(cookie(t, HALO_BUS_PIO, 0x70, 1), 0x71);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x70, 2)), 0);
	assert_null(t);
}

static void the_table_has_an_end(void **state)
{
	const struct halo_zone_table *t = NULL;

	for (u64 i = 0; i < HALO_MAX_ZONES; i++)
		assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, (i * 7919 % 512) * 0x1000, 0x800)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0, 1)), -ENOSPC);
	assert_int_equal(add(&t, zone_at(HALO_BUS_MMIO, 0, 1)), -EEXIST);
	for (u64 i = 0; i < HALO_MAX_ZONES; i++) {
		assert_int_equal(cookie(t, HALO_BUS_MMIO, i * 0x1000 + 0x7ff, 1), i * 0x1000 + 1);
		assert_int_equal(cookie(t, HALO_BUS_MMIO, i * 0x1000 + 0x800, 1), 0);
	}
	halo_free(t);
}

static void buses_do_not_mix(void **state)
{
	const struct halo_zone_table *t = NULL;

	for (u32 bus = HALO_NR_BUSES; bus-- > 0; )
		for (u64 i = 1; i <= 3; i++) {
			struct halo_zone zone = zone_at(bus, i * 16, 4);

			zone.cookie = bus * 100 + i;
			assert_int_equal(add(&t, zone), 0);
		}
	for (u32 bus = 0; bus < HALO_NR_BUSES; bus++)
		for (u64 i = 0; i <= 4; i++)
			assert_int_equal(cookie(t, bus, i * 16, 1),
					 i && i < 4 ? bus * 100 + i : 0);
	halo_free(t);
}

static void the_old_table_is_not_touched(void **state)
{
	const struct halo_zone_table *t = NULL;
	struct halo_zone_table *next;
	struct halo_zone_desc desc;
	struct halo_zone zone = zone_at(HALO_BUS_PIO, 0x10, 1);

	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x20, 1)), 0);
	assert_int_equal(halo_zone_desc_init(&desc, &zone, SYNC_ONLY), 0);
	next = halo_zone_table_add(t, &desc);
	assert_int_equal(halo_zone_table_count(t), 1);
	assert_int_equal(cookie(t, HALO_BUS_PIO, 0x10, 1), 0);
	assert_int_equal(cookie(t, HALO_BUS_PIO, 0x20, 1), 0x21);
	assert_int_equal(cookie(next, HALO_BUS_PIO, 0x10, 1), 0x11);
	halo_free(next);
	halo_free(t);
}

static void no_memory_changes_nothing(void **state)
{
	const struct halo_zone_table *t = NULL;

	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x20, 1)), 0);
	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x30, 1)), 0);
	no_memory = true;
	assert_int_equal(add(&t, zone_at(HALO_BUS_PIO, 0x10, 1)), -ENOMEM);
	assert_int_equal(drop(&t, zone_at(HALO_BUS_PIO, 0x20, 1)), -ENOMEM);
	no_memory = false;
	assert_int_equal(halo_zone_table_count(t), 2);
	halo_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_table_has_nothing),
		cmocka_unit_test(a_zone_ends_where_its_bus_does),
		cmocka_unit_test(modes_have_their_buses),
		cmocka_unit_test(a_mode_that_is_not_offered),
		cmocka_unit_test(every_field_is_checked),
		cmocka_unit_test(overlaps_are_refused),
		cmocka_unit_test(an_access_lies_inside_or_not),
		cmocka_unit_test(the_top_of_the_hypercall_bus),
		cmocka_unit_test(sizes_are_filtered),
		cmocka_unit_test(doorbells_share_an_address),
		cmocka_unit_test(a_write_finds_its_value),
		cmocka_unit_test(a_dropped_zone_gives_its_context_back),
		cmocka_unit_test(a_constant_is_dropped_by_its_range),
		cmocka_unit_test(a_doorbell_without_a_value_takes_all),
		cmocka_unit_test(remove_wants_the_very_zone),
		cmocka_unit_test(the_table_has_an_end),
		cmocka_unit_test(buses_do_not_mix),
		cmocka_unit_test(the_old_table_is_not_touched),
		cmocka_unit_test(no_memory_changes_nothing),
	};

	return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}
