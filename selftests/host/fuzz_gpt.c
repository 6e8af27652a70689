// SPDX-License-Identifier: GPL-2.0
/* sources: ept/gpt.c */
/*
 * The page-table engine with every choice made by the fuzzer: the operations of
 * the random test, but in an order that coverage finds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)
#define assert_true(c)			CHECK(c)
#define assert_false(c)			CHECK(!(c))
#define assert_int_equal(a, b)		CHECK((u64)(a) == (u64)(b))
#define assert_in_range(v, a, b)	CHECK((v) >= (a) && (v) <= (b))

#include "gpt_fixture.h"

static const u8 *input;
static size_t left;

/* As many bytes as the choice needs; zeros past the end. */
static u64 rnd(u64 n)
{
	u64 v = 0, room;

	for (room = 1; room < n; room <<= 8) {
		v = v << 8 | (left ? *input : 0);
		if (left) {
			input++;
			left--;
		}
	}
	return v % n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	unsigned int i;

	input = data;
	left = size;
	m.hw = &kinds[rnd(ARRAY_SIZE(kinds))];
	for (i = 0; i < GIGS; i++)
		m.top[i].kind = EMPTY;
	start_tables(m.hw, &m.g);
	while (left)
		ops[rnd(ARRAY_SIZE(ops))](&m);
	compare_all(&m);
	end_tables(&m.g);
	return 0;
}
