// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * The LAPIC timer: three modes, a clock that is set by hand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lapic_fixture.h"

static struct cpu *c = &cpu[0];
static struct halo_lapic *l = &cpu[0].l;

/* The host's timer goes off if it is due. */
static bool host_timer(void)
{
	u64 now = c->unit == HALO_LAPIC_TIMER_TSC ? now_tsc : now_ns;

	if (!c->armed || now < c->when)
		return false;
	c->armed = false;
	assert_true(halo_lapic_post_timer(l));
	assert_true(halo_lapic_mail(l));
	return true;
}

static int fire(void)
{
	int vector;

	host_timer();
	vector = take_irq(c);
	if (vector >= 0)
		wr(c, EOI, 0);
	return vector;
}

static void one_shot(void **state)
{
	wr(c, TDCR, 0xb);
	wr(c, LVTT, 0x40);
	assert_int_equal(c->arms, 0);
	wr(c, TMICT, 1000);
	assert_true(c->armed);
	assert_int_equal(c->unit, HALO_LAPIC_TIMER_NS);
	assert_int_equal(c->when, now_ns + 1000);
	assert_int_equal(rd(c, TMCCT), 1000);
	now_ns += 1;
	assert_int_equal(rd(c, TMCCT), 999);
	now_ns += 998;
	assert_int_equal(rd(c, TMCCT), 1);
	assert_int_equal(fire(), -1);
	now_ns += 1;
	assert_int_equal(fire(), 0x40);
	assert_int_equal(rd(c, TMCCT), 0);
	assert_int_equal(rd(c, TMICT), 1000);
	now_ns += 100000;
	assert_int_equal(fire(), -1);
	assert_false(c->armed);
}

static void every_divisor(void **state)
{
	static const struct {
		u32 tdcr, divisor;
	} v[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 0xa, 128 }, { 0xb, 1 } };

	wr(c, LVTT, 0x40);
	for (unsigned int i = 0; i < ARRAY_SIZE(v); i++) {
		wr(c, TDCR, v[i].tdcr);
		wr(c, TMICT, 0xffffffff);
		assert_int_equal(c->when - now_ns, 0xffffffffULL * v[i].divisor);
		now_ns += v[i].divisor;
		assert_int_equal(rd(c, TMCCT), 0xfffffffe);
		now_ns += v[i].divisor - 1;
		assert_int_equal(rd(c, TMCCT), 0xfffffffe);
	}
	/* reserved bits do not reach the divisor */
	wr(c, TDCR, 0xfffffff4);
	assert_int_equal(rd(c, TDCR), 0);
}

static void a_new_divisor_keeps_the_count(void **state)
{
	wr(c, TDCR, 0xb);
	wr(c, LVTT, 0x40);
	wr(c, TMICT, 1000000);
	now_ns += 400000;
	wr(c, TDCR, 0x0);
	assert_int_equal(rd(c, TMCCT), 600000);
	assert_int_equal(c->when, now_ns + 1200000);
}

static void masked(void **state)
{
	wr(c, TDCR, 0xb);
	wr(c, LVTT, MASKED | 0x40);
	wr(c, TMICT, 1000000);
	/* counts, but needs no host timer */
	assert_false(c->armed);
	now_ns += 1000;
	assert_int_equal(rd(c, TMCCT), 999000);
	wr(c, LVTT, 0x41);
	assert_true(c->armed);
	wr(c, LVTT, MASKED | 0x41);
	assert_false(c->armed);
	now_ns += 2000000;
	/* expired while masked: no interrupt later */
	wr(c, LVTT, 0x41);
	assert_int_equal(fire(), -1);
	assert_false(c->armed);
	assert_int_equal(rd(c, TMCCT), 0);
}

static void periodic(void **state)
{
	u64 start = now_ns;

	wr(c, TDCR, 0xb);
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TMICT, 1000000);
	for (unsigned int i = 1; i < 100; i++) {
		/* the host is late by more each time, the guest's clock is not */
		now_ns = start + i * 1000000 + i * 7;
		assert_int_equal(fire(), 0x40);
		assert_int_equal(c->when, start + (i + 1) * 1000000);
		assert_int_equal(fire(), -1);
	}
	/* a backlog is one interrupt, and the phase is kept */
	now_ns = start + 5000 * 1000000ULL + 123;
	assert_int_equal(fire(), 0x40);
	assert_int_equal(fire(), -1);
	assert_int_equal(c->when, start + 5001 * 1000000ULL);
	assert_int_equal(rd(c, TMCCT), 1000000 - 123);
	/* exactly on the boundary */
	now_ns = start + 6000 * 1000000ULL;
	assert_int_equal(fire(), 0x40);
	assert_int_equal(c->when, start + 6001 * 1000000ULL);
	wr(c, TMICT, 0);
	assert_false(c->armed);
	assert_int_equal(rd(c, TMCCT), 0);
}

/* A period of 1 ns must not become a host timer of 1 ns. */
static void no_storm(void **state)
{
	u64 start = now_ns;
	unsigned int fired = 0;

	wr(c, TDCR, 0xb);
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TMICT, 1);
	assert_int_equal(rd(c, TMCCT), 1);
	c->arms = 0;
	while (now_ns < start + 1000000000ULL) {
		now_ns = c->when;
		assert_int_equal(rd(c, TMCCT), 1);
		fired += fire() == 0x40;
	}
	assert_int_equal(fired, 1000000000ULL / HALO_LAPIC_MIN_PERIOD_NS);
	assert_true(c->arms <= 2 * fired);
	for (u32 tdcr = 0; tdcr < 16; tdcr++) {
		wr(c, TDCR, tdcr);
		assert_true(c->when >= now_ns);
		now_ns = c->when;
		fire();
		assert_true(c->when >= now_ns + HALO_LAPIC_MIN_PERIOD_NS);
	}
}

/* The count goes on when the mode changes; what has ended stays at zero. */
static void mode_changes(void **state)
{
	wr(c, TDCR, 0xb);
	wr(c, LVTT, 0x40);
	wr(c, TMICT, 1000000);
	now_ns += 700000;
	wr(c, LVTT, PERIODIC | 0x40);
	assert_int_equal(rd(c, TMCCT), 300000);
	now_ns += 300000;
	assert_int_equal(rd(c, TMCCT), 1000000);
	assert_int_equal(fire(), 0x40);
	now_ns += 900000;
	wr(c, LVTT, 0x40);
	assert_int_equal(rd(c, TMCCT), 100000);
	now_ns += 100000;
	assert_int_equal(fire(), 0x40);
	assert_int_equal(rd(c, TMCCT), 0);
	wr(c, LVTT, PERIODIC | 0x40);
	assert_int_equal(rd(c, TMCCT), 0);
	assert_int_equal(rd(c, TMICT), 1000000);
	assert_false(c->armed);

	/* to TSC-deadline mode and back: disarmed */
	wr(c, TMICT, 1000000);
	wr(c, LVTT, DEADLINE | 0x40);
	assert_false(c->armed);
	assert_int_equal(rd(c, TMCCT), 0);
	wr(c, TMICT, 1000000);
	assert_int_equal(rd(c, TMICT), 0);
	assert_false(c->armed);
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	assert_true(c->armed);
	wr(c, LVTT, 0x40);
	assert_false(c->armed);
	assert_int_equal(halo_lapic_tsc_deadline(l), 0);
	/* the reserved mode has no timer */
	wr(c, LVTT, DEADLINE | PERIODIC | 0x40);
	wr(c, TMICT, 1000);
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	assert_false(c->armed);
	wr(c, LVTT, DEADLINE | 0x40);
	assert_false(c->armed);
}

static void deadline(void **state)
{
	/* ignored in other modes */
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	assert_int_equal(halo_lapic_tsc_deadline(l), 0);
	assert_false(c->armed);

	wr(c, LVTT, DEADLINE | 0x40);
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	assert_true(c->armed);
	assert_int_equal(c->unit, HALO_LAPIC_TIMER_TSC);
	assert_int_equal(c->when, now_tsc + 100);
	assert_int_equal(halo_lapic_tsc_deadline(l), now_tsc + 100);
	assert_int_equal(rd(c, TMCCT), 0);
	now_tsc += 100;
	assert_int_equal(halo_lapic_tsc_deadline(l), 0);
	assert_int_equal(fire(), 0x40);
	assert_int_equal(fire(), -1);
	/* zero disarms */
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	halo_lapic_set_tsc_deadline(l, 0);
	assert_false(c->armed);
	now_tsc += 1000;
	assert_int_equal(fire(), -1);
	/* the past fires at once, without a host timer */
	c->arms = 0;
	halo_lapic_set_tsc_deadline(l, now_tsc);
	assert_int_equal(c->arms, 0);
	assert_int_equal(fire(), 0x40);
	halo_lapic_set_tsc_deadline(l, 1);
	assert_int_equal(fire(), 0x40);
	assert_int_equal(fire(), -1);
	/* the furthest */
	halo_lapic_set_tsc_deadline(l, ~0ULL);
	assert_int_equal(c->when, ~0ULL);
	assert_int_equal(fire(), -1);
	/* masked: no interrupt, and gone when it has passed */
	wr(c, LVTT, DEADLINE | MASKED | 0x40);
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	assert_false(c->armed);
	assert_int_equal(halo_lapic_tsc_deadline(l), now_tsc + 100);
	now_tsc += 200;
	wr(c, LVTT, DEADLINE | 0x40);
	assert_int_equal(fire(), -1);
	assert_int_equal(halo_lapic_tsc_deadline(l), 0);
}

static void old_mail_does_no_harm(void **state)
{
	wr(c, LVTT, DEADLINE | 0x40);
	halo_lapic_set_tsc_deadline(l, now_tsc + 100);
	/* went off, but before the owner looks the guest sets a new one */
	now_tsc += 100;
	assert_true(host_timer());
	halo_lapic_set_tsc_deadline(l, now_tsc + 500);
	/* the first is not lost, the second not early */
	assert_int_equal(take_irq(c), 0x40);
	wr(c, EOI, 0);
	assert_int_equal(take_irq(c), -1);
	assert_true(c->armed);
	assert_int_equal(c->when, now_tsc + 500);
	/* too early by some ticks: armed again */
	now_tsc += 499;
	c->armed = false;
	halo_lapic_post_timer(l);
	assert_int_equal(take_irq(c), -1);
	assert_true(c->armed);
	now_tsc += 1;
	assert_int_equal(fire(), 0x40);
	/* nothing is armed at all */
	halo_lapic_post_timer(l);
	assert_int_equal(take_irq(c), -1);
	assert_false(c->armed);
	/* mail once, whoever is first kicks */
	assert_true(halo_lapic_post_timer(l));
	assert_false(halo_lapic_post_timer(l));
}

/* The guest sees the count end before the host's timer is heard of. */
static void a_read_finds_the_end(void **state)
{
	wr(c, TDCR, 0xb);
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TMICT, 100000);
	now_ns += 100010;
	assert_int_equal(rd(c, TMCCT), 99990);
	assert_int_equal(halo_lapic_pending(l), 0x40);
	assert_int_equal(c->when, now_ns + 99990);
	/* the mail comes behind */
	halo_lapic_post_timer(l);
	assert_int_equal(take_irq(c), 0x40);
	wr(c, EOI, 0);
	assert_int_equal(take_irq(c), -1);
	assert_true(c->armed);
}

static void reset_stops_it(void **state)
{
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TMICT, 100000);
	halo_lapic_init_reset(l);
	assert_false(c->armed);
	assert_int_equal(rd(c, TMCCT), 0);
	fx_setup(NULL);
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TMICT, 100000);
	wr(c, SVR, 0xff);
	assert_false(c->armed);
	fx_setup(NULL);
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TMICT, 100000);
	assert_int_equal(halo_lapic_set_base(l, 0xfee00100, false), 0);
	assert_false(c->armed);
	halo_lapic_post_timer(l);
	assert_int_equal(take_irq(c), -1);
}

static void x2apic_the_same(void **state)
{
	assert_int_equal(fx_x2apic(c), 0);
	assert_int_equal(wr_msr(c, TDCR, 0xb), 0);
	assert_int_equal(wr_msr(c, LVTT, PERIODIC | 0x40), 0);
	assert_int_equal(wr_msr(c, TMICT, 1000000), 0);
	assert_int_equal(wr_msr(c, TMICT, 1ULL << 32), -EINVAL);
	now_ns += 10;
	assert_int_equal(rd_msr(c, TMCCT), 999990);
	assert_int_equal(wr_msr(c, TMCCT, 0), -EINVAL);
}

/* Any image that is taken leaves a timer that ends. */
static void loaded_timers(void **state)
{
	static const u32 edge[] = { 0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff };
	u8 image[HALO_LAPIC_IMAGE_BYTES];

	for (u32 tdcr = 0; tdcr < 16; tdcr++)
		for (u32 mode = 0; mode < 4; mode++)
			for (unsigned int i = 0; i < ARRAY_SIZE(edge) * ARRAY_SIZE(edge); i++) {
				u32 lvt = mode << 17 | 0x40, tmict = edge[i / ARRAY_SIZE(edge)];
				u32 tmcct = edge[i % ARRAY_SIZE(edge)];
				int ret;

				fx_setup(NULL);
				halo_lapic_save(l, image);
				memcpy(image + LVTT, &lvt, 4);
				memcpy(image + TMICT, &tmict, 4);
				memcpy(image + TMCCT, &tmcct, 4);
				memcpy(image + TDCR, &tdcr, 4);
				ret = halo_lapic_load(l, image);
				assert_int_equal(ret, (tdcr & 4) || tmcct > tmict ? -EINVAL : 0);
				if (ret)
					continue;
				assert_int_equal(c->armed, mode < 2 && tmcct);
				if (!c->armed)
					continue;
				assert_int_equal(rd(c, TMCCT), tmcct);
				now_ns = c->when;
				assert_int_equal(fire(), 0x40);
				assert_int_equal(c->armed, mode == 1);
				assert_true(!c->armed ||
					    c->when >= now_ns + HALO_LAPIC_MIN_PERIOD_NS);
			}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, fx_setup)
	const struct CMUnitTest tests[] = {
		T(one_shot),
		T(every_divisor),
		T(a_new_divisor_keeps_the_count),
		T(masked),
		T(periodic),
		T(no_storm),
		T(mode_changes),
		T(deadline),
		T(old_mail_does_no_harm),
		T(a_read_finds_the_end),
		T(reset_stops_it),
		T(x2apic_the_same),
		T(loaded_timers),
	};

	return cmocka_run_group_tests_name("lapic_timer", tests, NULL, NULL);
}
