// SPDX-License-Identifier: GPL-2.0
/* sources: ept/gpt.c */
/*
 * The page-table engine: single behaviours, then a long random life of each
 * format beside the flat model and the hardware walker.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpt_fixture.h"

static u64 rng_state = 88172645463325252ULL;

static u64 rnd(u64 n)
{
	return rng_next(&rng_state) % n;
}

/* ---- random operations ------------------------------------------------- */

#ifndef RANDOM_OPS
#define RANDOM_OPS	300000
#endif

static void random_ops(const struct hw *hw)
{
	struct model *m = calloc(1, sizeof(*m));
	int i;

	assert_non_null(m);
	m->hw = hw;
	start_tables(hw, &m->g);
	for (i = 0; i < RANDOM_OPS; i++) {
		ops[rnd(ARRAY_SIZE(ops))](m);
		if (i % 25000 == 0)
			compare_all(m);
	}
	compare_all(m);
	end_tables(&m->g);
	free(m);
}

static void test_random_ept(void **state)
{
	random_ops(&kinds[0]);
}

static void test_random_ept_noad(void **state)
{
	random_ops(&kinds[1]);
}

static void test_random_npt(void **state)
{
	random_ops(&kinds[2]);
}

static void test_random_npt_5_encrypted(void **state)
{
	random_ops(&kinds[3]);
}

/* ---- one behaviour each ------------------------------------------------ */

static void for_each_kind(void (*fn)(const struct hw *hw, struct gpt *g))
{
	struct gpt g;
	int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		start_tables(&kinds[i], &g);
		fn(&kinds[i], &g);
		hw_check_all(&kinds[i], &g);
		end_tables(&g);
	}
}

static void bad_arguments(const struct hw *hw, struct gpt *g)
{
	u64 limit = gpt_limit(g);

	assert_int_equal(map(g, 0x800, 0, 1, GPT_READ), -EINVAL);
	assert_int_equal(map(g, 0, 0x800, 1, GPT_READ), -EINVAL);
	assert_int_equal(map(g, K4, 0, 2, GPT_READ), -EINVAL);
	assert_int_equal(map(g, 0, M2, 3, GPT_READ), -EINVAL);
	assert_int_equal(map(g, 0, 0, 1, GPT_WRITE), -EINVAL);
	assert_int_equal(map(g, 0, 0, 0, GPT_READ), -EINVAL);
	assert_int_equal(map(g, 0, 0, 4, GPT_READ), -EINVAL);
	assert_int_equal(map(g, limit, 0, 1, GPT_READ), -EINVAL);
	assert_int_equal(map(g, ~0xfffULL, 0, 1, GPT_READ), -EINVAL);
	assert_int_equal(map(g, 0, 1ULL << 52, 1, GPT_READ), -EINVAL);
	assert_int_equal(map(g, 0, 1ULL << 51, 1, GPT_READ), hw->encrypt ? -EINVAL : 0);
	assert_int_equal(map(g, limit - K4, 0x1000, 1, GPT_READ), 0);
	assert_int_equal(map(g, limit - 2 * G1, G1, 3, GPT_READ), 0);

	assert_false(zap(g, limit, ~0ULL));
	assert_false(zap(g, 8 * K4, 8 * K4));
	assert_false(zap(g, 9 * K4, 8 * K4));
	assert_true(zap(g, limit - 1, ~0ULL));
	assert_int_equal(gpt_init(&(struct gpt){}, hw->fmt, 3, &mem_ops, NULL, 0), -EINVAL);
	assert_int_equal(gpt_init(&(struct gpt){}, hw->fmt, 6, &mem_ops, NULL, 0), -EINVAL);
}

static void test_bad_arguments(void **state)
{
	for_each_kind(bad_arguments);
}

static void out_of_memory(const struct hw *hw, struct gpt *g)
{
	struct gpt_cache cache = {};
	struct gpt none;
	int i;

	assert_int_equal(gpt_missing(g, 0, 1), hw->levels - 1);
	assert_int_equal(gpt_missing(g, 0, 3), hw->levels - 3);

	/* A cache that is one short: what was made stays, the next try ends it. */
	for (i = hw->levels - 1; i > 0; i--) {
		struct gpt_leaf leaf;

		assert_int_equal(gpt_missing(g, 0, 1), i);
		assert_int_equal(gpt_map(g, &cache, 0, M2, 1, GPT_READ), -ENOMEM);
		assert_false(gpt_lookup(g, 0, &leaf));
		assert_int_equal(gpt_cache_fill(g, &cache, 1), 0);
		assert_int_equal(gpt_map(g, &cache, 0, M2, 1, GPT_READ), i == 1 ? 0 : -ENOMEM);
	}

	tables_left = 2;
	assert_int_equal(gpt_cache_fill(g, &cache, 4), -ENOMEM);
	assert_int_equal(cache.nr, 2);
	gpt_cache_drain(g, &cache);
	assert_int_equal(cache.nr, 0);
	tables_left = 0;
	assert_int_equal(gpt_init(&none, hw->fmt, 4, &mem_ops, NULL, 0), -ENOMEM);
	gpt_destroy(&none);
	tables_left = -1;
	assert_int_equal(gpt_cache_fill(g, &cache, 100), 0);
	assert_int_equal(cache.nr, GPT_LEVELS_MAX);
	gpt_cache_drain(g, &cache);
}

static void test_out_of_memory(void **state)
{
	for_each_kind(out_of_memory);
}

static void freed_after_flush(const struct hw *hw, struct gpt *g)
{
	struct gpt_zapped zapped = {};
	struct hw_result r;
	u64 *entry, old;
	int before;

	assert_int_equal(map(g, 5 * M2, 7 * M2, 1, GPT_RIGHTS), 0);
	assert_true(hw_access(hw, gpt_root(g), 5 * M2, GPT_READ, &r));
	entry = r.entry;
	old = *entry;
	before = tables;
	assert_true(gpt_zap(g, 0, G1, &zapped));
	/* A CPU in the middle of a walk still finds what it found before. */
	assert_int_equal(tables, before);
	assert_int_equal(*entry, old);
	assert_false(hw_access(hw, gpt_root(g), 5 * M2, GPT_READ, &r));
	assert_false(gpt_zap(g, 0, G1, &zapped));
	assert_true(gpt_free(g, &zapped, 1));
	assert_false(gpt_free(g, &zapped, 1));
	assert_int_equal(tables, before - 2);
}

static void test_freed_after_flush(void **state)
{
	for_each_kind(freed_after_flush);
}

/* CVE-2021-38198's class: what a table entry allows must not narrow its leaves. */
static void rights_independent(const struct hw *hw, struct gpt *g)
{
	struct hw_result r;

	assert_int_equal(map(g, 0, G1, 1, GPT_READ), 0);
	assert_int_equal(map(g, K4, G1 + K4, 1, GPT_RIGHTS), 0);
	assert_false(hw_access(hw, gpt_root(g), 0, GPT_WRITE, &r));
	assert_false(hw_access(hw, gpt_root(g), 0, GPT_EXEC, &r));
	assert_true(hw_access(hw, gpt_root(g), K4, GPT_WRITE, &r));
	assert_true(hw_access(hw, gpt_root(g), K4, GPT_EXEC, &r));

	assert_int_equal(map(g, 0, G1, 1, GPT_READ | GPT_WRITE), 0);
	assert_true(hw_access(hw, gpt_root(g), 0, GPT_WRITE, &r));
	assert_false(hw_access(hw, gpt_root(g), 0, GPT_EXEC, &r));
	/* Less is no reason to take away. */
	assert_int_equal(map(g, K4, G1 + K4, 1, GPT_READ), 0);
	assert_true(hw_access(hw, gpt_root(g), K4, GPT_WRITE, &r));
	/* Another page is. */
	assert_int_equal(map(g, K4, G1, 1, GPT_READ), -EEXIST);
	assert_int_equal(map(g, 0, G1, 2, GPT_READ), -EISDIR);
	assert_int_equal(map(g, M2, 5 * M2, 2, GPT_READ), 0);
	assert_int_equal(map(g, M2 + K4, 5 * M2 + K4, 1, GPT_READ), 0);
	assert_int_equal(map(g, M2 + K4, 5 * M2 + K4, 1, GPT_RIGHTS), -EEXIST);
}

static void test_rights_independent(void **state)
{
	for_each_kind(rights_independent);
}

/* Wide zaps touch few entries: the time under the lock does not grow with memory. */
static void test_wide_zap(void **state)
{
	struct gpt_zapped zapped = {};
	struct gpt g;
	int i, before;

	start_tables(&kinds[2], &g);
	for (i = 0; i < 3000; i++)
		assert_int_equal(map(&g, i * 37 * M2, i * M2, 1, GPT_RIGHTS), 0);
	before = tables;
	assert_true(gpt_zap(&g, K4, 400 * G1, &zapped));
	assert_int_equal(tables, before);
	i = 0;
	while (gpt_free(&g, &zapped, 1))
		i++;
	assert_int_equal(before - tables, i + 1);
	assert_true(tables < 10);
	end_tables(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_freed_after_flush),
		cmocka_unit_test(test_rights_independent),
		cmocka_unit_test(test_wide_zap),
		cmocka_unit_test(test_random_ept),
		cmocka_unit_test(test_random_ept_noad),
		cmocka_unit_test(test_random_npt),
		cmocka_unit_test(test_random_npt_5_encrypted),
	};

	return cmocka_run_group_tests_name("gpt", tests, NULL, NULL);
}
