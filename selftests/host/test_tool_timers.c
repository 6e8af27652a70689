// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/pit.c userspace-tool/rtc.c */
/*
 * The timers, on a clock that the test moves by hand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices.h"

static u64 clock_now;
static unsigned int rises;
static bool line;

static u64 now(void *ctx)
{
	return clock_now;
}

static void on_irq(void *ctx, unsigned int n, bool level)
{
	if (level && !line)
		rises++;
	line = level;
}

static const struct irq_out irq = { on_irq, NULL, 0 };

static void pit_start(struct pit *p)
{
	clock_now = 5 * NS_PER_SEC;
	pit_init(p, now, NULL, irq);
	line = false;
	rises = 0;
}

static void program(struct pit *p, unsigned int ch, u8 mode, u16 count)
{
	pit_write(p, 3, 1, ch << 6 | 0x30 | mode << 1);
	pit_write(p, ch, 1, count & 0xff);
	pit_write(p, ch, 1, count >> 8);
	rises = 0;
}

static u16 latched(struct pit *p, unsigned int ch)
{
	u16 lo;

	pit_write(p, 3, 1, ch << 6);
	lo = (u16)pit_read(p, ch, 1);
	return lo | (u16)(pit_read(p, ch, 1) << 8);
}

static void ticks(u64 n)
{
	clock_now += (n * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static void test_pit_periodic(void **state)
{
	struct pit p;
	u64 first;
	unsigned int i;

	pit_start(&p);
	assert_int_equal(pit_deadline(&p), NEVER);
	program(&p, 0, 2, 11932);	/* 100 Hz */
	first = pit_deadline(&p);
	assert_in_range(first - clock_now, 9990000, 10010000);
	pit_expire(&p, first - 1);
	assert_int_equal(rises, 0);
	for (i = 1; i <= 100; i++) {
		clock_now = pit_deadline(&p);
		pit_expire(&p, clock_now);
		assert_int_equal(rises, i);
	}
	/* No drift: 100 ticks are a second. */
	assert_in_range(clock_now - 5 * NS_PER_SEC, 999900000, 1000100000);
}

static void test_pit_catches_up(void **state)
{
	struct pit p;
	u64 base;
	unsigned int n = 0;

	pit_start(&p);
	program(&p, 0, 2, 11932);
	base = clock_now;
	clock_now += 55000000;		/* five periods and a half late */
	while (clock_now < base + NS_PER_SEC && n++ < 1000) {
		if (pit_deadline(&p) > clock_now)
			clock_now = pit_deadline(&p);
		pit_expire(&p, clock_now);
	}
	assert_in_range(rises, 99, 101);
}

static void test_pit_huge_delay_is_bounded(void **state)
{
	struct pit p;

	pit_start(&p);
	program(&p, 0, 2, 2);
	clock_now += 3600 * NS_PER_SEC;
	pit_expire(&p, clock_now);
	/* A thousand ticks are owed at most, and paid no faster than twice the rate. */
	assert_true(p.given + 1000 >= 3599 * PIT_HZ / 2);
	assert_true(pit_deadline(&p) != NEVER);
	assert_true(pit_deadline(&p) > clock_now);
}

static void test_pit_one_shot(void **state)
{
	struct pit p;

	pit_start(&p);
	program(&p, 0, 0, 1000);
	assert_false(line);
	ticks(1001);
	pit_expire(&p, clock_now);
	assert_int_equal(rises, 1);
	assert_true(line);
	assert_int_equal(pit_deadline(&p), NEVER);
	/* Re-armed by a new count without a control word. */
	pit_write(&p, 0, 1, 0xe8);
	pit_write(&p, 0, 1, 0x03);
	assert_false(line);
	assert_true(pit_deadline(&p) != NEVER);
}

static void test_pit_reads(void **state)
{
	struct pit p;

	pit_start(&p);
	program(&p, 0, 2, 1000);
	ticks(100);
	assert_in_range(latched(&p, 0), 898, 901);
	/* A latch stays until read, however late. */
	pit_write(&p, 3, 1, 0);
	ticks(300);
	assert_in_range(pit_read(&p, 0, 1) | pit_read(&p, 0, 1) << 8, 898, 901);
	assert_in_range(pit_read(&p, 0, 1) | pit_read(&p, 0, 1) << 8, 598, 601);
	program(&p, 0, 3, 1000);
	ticks(100);
	assert_in_range(latched(&p, 0), 797, 801);
	ticks(500);
	assert_in_range(latched(&p, 0), 795, 801);
	/* One byte only. */
	pit_write(&p, 3, 1, 0x80 | 0x10 | 4);
	pit_write(&p, 2, 1, 200);
	ticks(50);
	assert_in_range(pit_read(&p, 2, 1), 148, 151);
	/* Counting on past zero in mode 0. */
	program(&p, 1, 0, 10);
	ticks(20);
	assert_in_range(latched(&p, 1), 0xfff4, 0xfff7);
}

static void test_pit_read_back(void **state)
{
	struct pit p;

	pit_start(&p);
	program(&p, 2, 0, 1000);
	pit_write(&p, 3, 1, 0xe8);	/* status of channel 2 */
	assert_int_equal(pit_read(&p, 2, 1), 0x30);
	ticks(1001);
	pit_write(&p, 3, 1, 0xe8);
	assert_int_equal(pit_read(&p, 2, 1), 0xb0);
	pit_write(&p, 3, 1, 0xb6);
	pit_write(&p, 3, 1, 0xc8);	/* status and count */
	assert_int_equal(pit_read(&p, 2, 1) & 0x7f, 0x76);
}

static void test_pit_gate(void **state)
{
	struct pit p;
	u64 a, b;

	pit_start(&p);
	/* What Linux does to calibrate its TSC. */
	port61_write(&p, 0, 1, 1);
	program(&p, 2, 0, 11932);
	assert_false(port61_read(&p, 0, 1) & 0x20);
	ticks(11933);
	assert_true(port61_read(&p, 0, 1) & 0x20);
	a = port61_read(&p, 0, 1);
	b = port61_read(&p, 0, 1);
	assert_int_equal((a ^ b) & 0x10, 0x10);
	assert_int_equal(port61_read(&p, 0, 1) & 3, 1);
}

static void test_pit_no_zero_period(void **state)
{
	struct pit p;

	pit_start(&p);
	program(&p, 0, 3, 1);
	ticks(5);
	latched(&p, 0);
	pit_expire(&p, clock_now);
	program(&p, 0, 2, 0);
	assert_in_range(pit_deadline(&p) - clock_now, 54900000, 55000000);
}

/* -- RTC --------------------------------------------------------------------- */

static u8 reg(struct rtc *r, u8 n)
{
	rtc_write(r, 0, 1, n);
	return (u8)rtc_read(r, 1, 1);
}

static void set(struct rtc *r, u8 n, u8 val)
{
	rtc_write(r, 0, 1, n);
	rtc_write(r, 1, 1, val);
}

/* 2024-02-29 23:59:58 UTC, a Thursday. */
static void rtc_start(struct rtc *r)
{
	clock_now = 1709251198ull * NS_PER_SEC;
	line = false;
	rises = 0;
	rtc_init(r, now, NULL, irq, 512 * MIB, 0, 4);
}

static void test_rtc_time(void **state)
{
	struct rtc r;

	rtc_start(&r);
	assert_int_equal(reg(&r, 0), 0x58);
	assert_int_equal(reg(&r, 2), 0x59);
	assert_int_equal(reg(&r, 4), 0x23);
	assert_int_equal(reg(&r, 6), 5);
	assert_int_equal(reg(&r, 7), 0x29);
	assert_int_equal(reg(&r, 8), 0x02);
	assert_int_equal(reg(&r, 9), 0x24);
	assert_int_equal(reg(&r, 0x32), 0x20);
	assert_int_equal(reg(&r, 0x0d), 0x80);
	clock_now += 3 * NS_PER_SEC;
	assert_int_equal(reg(&r, 0), 0x01);
	assert_int_equal(reg(&r, 8), 0x03);
	/* Binary, twelve hours. */
	set(&r, 0x0b, 0x04);
	clock_now += 13 * 3600 * NS_PER_SEC;
	assert_int_equal(reg(&r, 4), 0x81);
}

static void test_rtc_uip(void **state)
{
	struct rtc r;

	rtc_start(&r);
	assert_false(reg(&r, 0x0a) & 0x80);
	clock_now += NS_PER_SEC - 2000000;
	assert_true(reg(&r, 0x0a) & 0x80);
	clock_now += 2000000;
	assert_false(reg(&r, 0x0a) & 0x80);
}

static void test_rtc_set(void **state)
{
	struct rtc r;

	rtc_start(&r);
	set(&r, 0x0b, 0x82);
	set(&r, 0, 0x00);
	set(&r, 2, 0x30);
	set(&r, 4, 0x12);
	set(&r, 7, 0x01);
	set(&r, 8, 0x01);
	set(&r, 9, 0x30);
	clock_now += 5 * NS_PER_SEC;
	assert_int_equal(reg(&r, 0), 0x00);
	set(&r, 0x0b, 0x02);
	clock_now += 7 * NS_PER_SEC;
	assert_int_equal(reg(&r, 0), 0x07);
	assert_int_equal(reg(&r, 4), 0x12);
	assert_int_equal(reg(&r, 9), 0x30);
	assert_int_equal(reg(&r, 6), 3);
}

static void test_rtc_alarm(void **state)
{
	struct rtc r;

	rtc_start(&r);
	set(&r, 1, 0x03);
	set(&r, 3, 0x00);
	set(&r, 5, 0xff);
	assert_int_equal(rtc_deadline(&r), NEVER);
	set(&r, 0x0b, 0x22);
	while (rtc_deadline(&r) <= 1709251198ull * NS_PER_SEC + 5 * NS_PER_SEC && !rises) {
		clock_now = rtc_deadline(&r);
		rtc_expire(&r);
	}
	assert_int_equal(rises, 1);
	assert_int_equal(clock_now / NS_PER_SEC, 1709251198 + 5);
	assert_int_equal(reg(&r, 0x0c) & 0xa0, 0xa0);
	assert_false(line);
	assert_int_equal(reg(&r, 0x0c), 0);
}

static void test_rtc_update_flag_without_interrupt(void **state)
{
	struct rtc r;

	rtc_start(&r);
	assert_int_equal(reg(&r, 0x0c), 0);
	clock_now += NS_PER_SEC;
	assert_int_equal(reg(&r, 0x0c), 0x10);
	assert_int_equal(rises, 0);
}

static void test_rtc_periodic(void **state)
{
	struct rtc r;
	unsigned int i;

	rtc_start(&r);
	set(&r, 0x0a, 0x26);
	set(&r, 0x0b, 0x42);
	for (i = 0; i < 1024; i++) {
		clock_now = rtc_deadline(&r);
		rtc_expire(&r);
		assert_int_equal(reg(&r, 0x0c) & 0xc0, 0xc0);
	}
	assert_int_equal(rises, 1024);
	assert_in_range(clock_now - 1709251198ull * NS_PER_SEC, 999000000, 1001000000);
	set(&r, 0x0b, 0x02);
	assert_int_equal(rtc_deadline(&r), NEVER);
}

static void test_rtc_memory_sizes(void **state)
{
	struct rtc r;

	rtc_start(&r);
	assert_int_equal(reg(&r, 0x15) | reg(&r, 0x16) << 8, 640);
	assert_int_equal(reg(&r, 0x34) | reg(&r, 0x35) << 8, 496 * 16);
	assert_int_equal(reg(&r, 0x5f), 3);
	set(&r, 0x40, 0x77);
	assert_int_equal(reg(&r, 0xc0), 0x77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pit_periodic),
		cmocka_unit_test(test_pit_catches_up),
		cmocka_unit_test(test_pit_huge_delay_is_bounded),
		cmocka_unit_test(test_pit_one_shot),
		cmocka_unit_test(test_pit_reads),
		cmocka_unit_test(test_pit_read_back),
		cmocka_unit_test(test_pit_gate),
		cmocka_unit_test(test_pit_no_zero_period),
		cmocka_unit_test(test_rtc_time),
		cmocka_unit_test(test_rtc_uip),
		cmocka_unit_test(test_rtc_set),
		cmocka_unit_test(test_rtc_alarm),
		cmocka_unit_test(test_rtc_update_flag_without_interrupt),
		cmocka_unit_test(test_rtc_periodic),
		cmocka_unit_test(test_rtc_memory_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
