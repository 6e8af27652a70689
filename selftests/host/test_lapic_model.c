// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * The LAPIC against the naive model, at random.  HALO_SEED picks another run.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lapic_model.h"

static u64 seed = 0x9e3779b97f4a7c15ULL;

/* splitmix64 */
static u64 next(void)
{
	u64 z = seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void long_life(void **state)
{
	driver_start();
	for (unsigned int i = 0; i < TIMES(100000); i++)
		driver_step(next());
}

static void many_lives(void **state)
{
	for (unsigned int i = 0; i < TIMES(2000); i++) {
		driver_start();
		for (unsigned int j = 0; j < 100; j++)
			driver_step(next());
	}
}

/* Interrupts only, so that they nest deep: no resets, no mode changes. */
static void nesting(void **state)
{
	for (unsigned int i = 0; i < TIMES(200); i++) {
		driver_start();
		for (unsigned int j = 0; j < 1000; j++) {
			u64 random = next();
			static const u8 op[] = { 0, 0, 1, 8, 8, 9, 10, 3 };

			random = (random & ~15ULL) | op[random & 7];
			if ((random & 15) == 3)
				random = (random & ~0x7fffULL) | 3 | (TPR << 5);
			driver_step(random);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_life),
		cmocka_unit_test(many_lives),
		cmocka_unit_test(nesting),
	};

	if (getenv("HALO_SEED"))
		seed = strtoull(getenv("HALO_SEED"), NULL, 0);
	return cmocka_run_group_tests_name("lapic_model", tests, NULL, NULL);
}
