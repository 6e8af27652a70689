// SPDX-License-Identifier: GPL-2.0
/*
 * The arithmetic of a scaled TSC, held against the same in 128 bits.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tsc.h"

#ifdef HALO_HOST_TEST
#define TIMES	200000
#else
#define TIMES	5000
#endif

typedef unsigned __int128 u128;

static u64 seed = 1;

static u64 next(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 31 ^ seed << 30;
}

/* Numbers of all lengths. */
static u64 any(unsigned int bits)
{
	u64 value = next() >> next() % bits;

	return bits < 64 ? value & (BIT_ULL(bits) - 1) : value;
}

static void ratios(void **state)
{
	/* AMD-V: 8.32 */
	assert_true(halo_tsc_ratio(3000000, 3000000, 32, 8) == BIT_ULL(32));
	assert_true(halo_tsc_ratio(6000000, 3000000, 32, 8) == BIT_ULL(33));
	assert_true(halo_tsc_ratio(1500000, 3000000, 32, 8) == BIT_ULL(31));
	assert_true(halo_tsc_ratio(1000000, 3000000, 32, 8) == 0x55555555);
	assert_true(halo_tsc_ratio(2000000, 3000000, 32, 8) == 0xaaaaaaaa);
	assert_true(halo_tsc_ratio(255999, 1000, 32, 8) >> 32 == 255);
	assert_true(halo_tsc_ratio(256000, 1000, 32, 8) == 0);
	assert_true(halo_tsc_ratio(1, ~0U, 32, 8) == 1);
	assert_true(halo_tsc_ratio(~0U, ~0U, 32, 8) == BIT_ULL(32));
	/* VT-x: 16.48 */
	assert_true(halo_tsc_ratio(3000000, 3000000, 48, 16) == BIT_ULL(48));
	assert_true(halo_tsc_ratio(1000000, 3000000, 48, 16) == 0x555555555555);
	assert_true(halo_tsc_ratio(65535999, 1000, 48, 16) >> 48 == 65535);
	assert_true(halo_tsc_ratio(65536000, 1000, 48, 16) == 0);
	assert_true(halo_tsc_ratio(~0U, 1, 48, 16) == 0);
	/* none */
	assert_true(halo_tsc_ratio(0, 3000000, 32, 8) == 0);
	assert_true(halo_tsc_ratio(3000000, 0, 32, 8) == 0);
}

static void a_ratio_is_short_by_less_than_a_bit(void **state)
{
	for (unsigned int i = 0; i < TIMES; i++) {
		unsigned int fraction = i & 1 ? 32 : 48, whole = i & 1 ? 8 : 16;
		u32 guest = any(32), host = any(32);
		u64 ratio = halo_tsc_ratio(guest, host, fraction, whole);

		if (!host || (u64)guest >= (u64)host << whole) {
			assert_true(ratio == 0);
			continue;
		}
		assert_true((u128)ratio * host <= (u128)guest << fraction);
		assert_true(((u128)ratio + 1) * host > (u128)guest << fraction);
	}
}

static void scaled(void **state)
{
	/* none: as it is */
	assert_true(halo_tsc_scale(~0ull, 0, 48) == ~0ull);
	assert_true(halo_tsc_scale(~0ull, BIT_ULL(32), 32) == ~0ull);
	assert_true(halo_tsc_scale(~0ull, BIT_ULL(48), 48) == ~0ull);
	assert_true(halo_tsc_scale(7, BIT_ULL(31), 32) == 3);
	assert_true(halo_tsc_scale(7, 3ull << 31, 32) == 10);
	/* a product of more than 64 bits, and a result of more */
	assert_true(halo_tsc_scale(1ull << 60, 5ull << 47, 48) == 5ull << 59);
	assert_true(halo_tsc_scale(~0ull, 2ull << 48, 48) == ~1ull);
	for (unsigned int i = 0; i < TIMES; i++) {
		unsigned int fraction = i & 1 ? 32 : 48;
		u64 ticks = any(64), ratio = any(i & 1 ? 40 : 64) ?: 1;

		assert_true(halo_tsc_scale(ticks, ratio, fraction) ==
			    (u64)((u128)ticks * ratio >> fraction));
		/* It never goes back. */
		if (ticks != ~0ull)
			assert_true((u128)(ticks + 1) * ratio >> fraction >=
				    (u128)ticks * ratio >> fraction);
	}
}

/* A timer must not be early, and not late by more than the two roundings. */
static void unscaled(void **state)
{
	assert_true(halo_tsc_unscale(0, 1000, 3000) == 1);
	assert_true(halo_tsc_unscale(1000, 1000, 3000) == 3001);
	assert_true(halo_tsc_unscale(~0ull, 1, 1) == BIT_ULL(63));
	assert_true(halo_tsc_unscale(~0ull, 1, ~0U) == BIT_ULL(63));
	assert_true(halo_tsc_unscale(~0ull, ~0U, ~0U) == BIT_ULL(63));
	for (unsigned int i = 0; i < TIMES; i++) {
		u32 guest = any(32) ?: 1, host = any(32) ?: 1;
		u64 ticks = any(64), left = halo_tsc_unscale(ticks, guest, host);

		if (left == BIT_ULL(63)) {
			assert_true((u128)ticks >= (u128)guest << 31);
			continue;
		}
		assert_true((u128)left * guest >= (u128)ticks * host);
		assert_true(((u128)left - 1) * guest <= (u128)ticks * host);
	}
}

/* There and back, at rates that there are: less than one in 2^28 of a second off. */
static void there_and_back(void **state)
{
	for (unsigned int i = 0; i < TIMES; i++) {
		unsigned int fraction = i & 1 ? 32 : 48, whole = i & 1 ? 8 : 16;
		u32 guest = 500000 + next() % 5000000, host = 500000 + next() % 5000000;
		u64 ratio = halo_tsc_ratio(guest, host, fraction, whole);
		u64 ticks = next() % ((u64)guest * 1000);
		u64 back = halo_tsc_scale(halo_tsc_unscale(ticks, guest, host), ratio, fraction);
		s64 off = back - ticks;

		assert_true(off >= -20 && off <= 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ratios),
		cmocka_unit_test(a_ratio_is_short_by_less_than_a_bit),
		cmocka_unit_test(scaled),
		cmocka_unit_test(unscaled),
		cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests_name("tsc", tests, NULL, NULL);
}
