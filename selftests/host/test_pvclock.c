// SPDX-License-Identifier: GPL-2.0
/* sources: module/pvclock.c */
/*
 * The KVM-compatible clock: scale, and what a guest makes of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "pvclock.h"

static const u32 rates[] = {
	1, 2, 999, 1000, 32768, 100000, 499999, 500000, 500001, 999999, 1000000, 1000001, 1234567,
	1999999, 2000000, 2000001, 2400000, 2893202, 3000000, 4000001, 5800000, 9999999,
	0x7fffffff, 0xffffffff,
};

static u64 seed = 1;

static u64 next(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 11;
}

/* What a guest reads, and what it makes of it, from the description of the interface. */
struct record {
	u64 tsc_timestamp;
	u64 system_time;
	u32 mul;
	s8 shift;
};

static u64 guest_ns(const struct record *t, u64 tsc)
{
	u64 delta = tsc - t->tsc_timestamp;

	delta = t->shift < 0 ? delta >> -t->shift : delta << t->shift;
	return t->system_time + (u64)((unsigned __int128)delta * t->mul >> 32);
}

/* Ticks since the beginning of time. */
static u64 scaled(const struct halo_pvclock_scale *s, u64 ticks)
{
	const struct record t = { .mul = s->mul, .shift = s->shift };

	return guest_ns(&t, ticks);
}

static void known_scales(void **state)
{
	struct halo_pvclock_scale s;

	halo_pvclock_scale_init(&s, 1000000);
	assert_int_equal(scaled(&s, 1234567), 1234567);
	halo_pvclock_scale_init(&s, 2000000);
	assert_int_equal(s.mul, 0x80000000);
	assert_int_equal(s.shift, 0);
	assert_int_equal(scaled(&s, 2000000000), 1000000000);
	halo_pvclock_scale_init(&s, 4000000);
	assert_int_equal(s.mul, 0x80000000);
	assert_int_equal(s.shift, -1);
	halo_pvclock_scale_init(&s, 500000);
	assert_int_equal(scaled(&s, 500000000), 1000000000);
}

/* Any rate: full precision of the multiplier, two parts in 10^9 of the truth. */
static void every_rate(void **state)
{
	for (unsigned int i = 0; i < 20000; i++) {
		u32 khz = i < ARRAY_SIZE(rates) ? rates[i] : (u32)next() >> (next() & 31);
		struct halo_pvclock_scale s;
		u64 got, want, off;

		khz = khz ?: 1;
		halo_pvclock_scale_init(&s, khz);
		assert_true(s.mul >> 31);
		assert_in_range(s.shift + 64, 32, 96);
		for (u64 seconds = 1; seconds < 1000000; seconds *= 10) {
			want = seconds * 1000000000;
			got = scaled(&s, seconds * khz * 1000);
			off = got > want ? got - want : want - got;
			if (off > want / 500000000 + 2)
				fail_msg("%u kHz: %llu ns in %llu s", khz, (unsigned long long)got,
					 (unsigned long long)seconds);
		}
	}
}

static void never_backwards(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		u64 ticks = 0, before = 0, ns;
		struct halo_pvclock_scale s;

		halo_pvclock_scale_init(&s, rates[i]);
		for (unsigned int j = 0; j < 20000; j++) {
			ticks += next() & 0xff;
			ns = scaled(&s, ticks);
			assert_true(ns >= before);
			before = ns;
		}
		assert_int_equal(scaled(&s, 0), 0);
	}
}

/* What the guest computes from a record is what the host meant. */
static void guest_and_host(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		u64 base = next() << 9, written, tsc, guest, host;
		struct halo_pvclock_scale s;

		halo_pvclock_scale_init(&s, rates[i]);
		for (unsigned int j = 0; j < 2000; j++) {
			struct record t = { .mul = s.mul, .shift = s.shift };

			written = base + (next() & 0xffffffffff);
			tsc = written + (next() & 0xffffffffff);
			t.tsc_timestamp = written;
			t.system_time = scaled(&s, written - base);
			guest = guest_ns(&t, tsc);
			host = scaled(&s, tsc - base);
			/* Each record rounds by itself: never ahead, hardly behind. */
			assert_true(guest <= host);
			assert_true(host - guest <= 2 + (s.shift < 0));
			/* The record of the VM's beginning rounds as the host does. */
			t.tsc_timestamp = base;
			t.system_time = 0;
			assert_int_equal(guest_ns(&t, tsc), host);
		}
	}
}

/* 200 years of ticks do not overflow. */
static void long_uptime(void **state)
{
	const u64 seconds = 200ULL * 365 * 86400;

	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		struct halo_pvclock_scale s;
		u64 ns;

		if (rates[i] < 500000 || rates[i] > 2893202)
			continue;
		halo_pvclock_scale_init(&s, rates[i]);
		ns = scaled(&s, seconds * rates[i] * 1000);
		assert_in_range(ns / 1000000000, seconds - 20, seconds + 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_scales),
		cmocka_unit_test(every_rate),
		cmocka_unit_test(never_backwards),
		cmocka_unit_test(guest_and_host),
		cmocka_unit_test(long_uptime),
	};

	return cmocka_run_group_tests_name("pvclock", tests, NULL, NULL);
}
