// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/uart.c userspace-tool/pcmisc.c userspace-tool/testdev.c userspace-tool/bus.c */
/*
 * The serial port, the small devices and the bus they sit on.
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

#include "bus.h"
#include "devices.h"

static char out[64];
static unsigned int out_n, rises, asked;
static bool line;

static void on_tx(void *ctx, u8 byte)
{
	if (out_n < sizeof(out) - 1)
		out[out_n++] = (char)byte;
}

static void on_room(void *ctx)
{
	asked++;
}

static void on_irq(void *ctx, unsigned int n, bool level)
{
	if (level)
		rises++;
	line = level;
}

static void start(struct uart *u)
{
	memset(out, 0, sizeof(out));
	out_n = 0;
	rises = 0;
	asked = 0;
	line = false;
	uart_init(u, (struct irq_out){ on_irq, NULL, 4 }, on_tx, on_room, NULL);
}

static void test_uart_polled(void **state)
{
	struct uart u;
	const char *s = "hello\r\n";

	start(&u);
	for (; *s; s++) {
		assert_int_equal(uart_read(&u, 5, 1) & 0x60, 0x60);
		uart_write(&u, 0, 1, *s);
	}
	assert_string_equal(out, "hello\r\n");
	assert_int_equal(rises, 0);
	/* The divisor is not text. */
	uart_write(&u, 3, 1, 0x83);
	uart_write(&u, 0, 1, 'X');
	uart_write(&u, 1, 1, 0);
	assert_int_equal(uart_read(&u, 0, 1), 'X');
	uart_write(&u, 3, 1, 3);
	assert_string_equal(out, "hello\r\n");
	uart_write(&u, 7, 1, 0x5a);
	assert_int_equal(uart_read(&u, 7, 1), 0x5a);
}

static void test_uart_thre(void **state)
{
	struct uart u;

	start(&u);
	uart_write(&u, 4, 1, 0x0b);
	uart_write(&u, 1, 1, 2);
	assert_true(line);
	assert_int_equal(uart_read(&u, 2, 1), 0x02);
	assert_false(line);
	assert_int_equal(uart_read(&u, 2, 1), 0x01);
	uart_write(&u, 0, 1, 'a');
	assert_true(line);
	/* Sixteen characters at a time are one interrupt. */
	rises = 0;
	for (int i = 0; i < 16; i++)
		uart_write(&u, 0, 1, 'b');
	assert_int_equal(rises, 0);
	uart_write(&u, 1, 1, 0);
	assert_false(line);
	/* Without OUT2 the line is cut. */
	uart_write(&u, 4, 1, 0x03);
	uart_write(&u, 1, 1, 2);
	assert_false(line);
}

static void test_uart_receive(void **state)
{
	struct uart u;
	int i;

	start(&u);
	uart_write(&u, 4, 1, 0x0b);
	uart_write(&u, 2, 1, 0xc7);	/* FIFO, trigger 14 */
	uart_write(&u, 1, 1, 1);
	assert_int_equal(uart_room(&u), 16);
	for (i = 0; i < 13; i++)
		uart_push(&u, (u8)('a' + i));
	assert_true(line);
	assert_int_equal(uart_read(&u, 2, 1), 0xcc);
	uart_push(&u, 'n');
	assert_int_equal(uart_read(&u, 2, 1), 0xc4);
	uart_push(&u, 'o');
	uart_push(&u, 'p');
	assert_int_equal(uart_room(&u), 0);
	uart_push(&u, 'q');
	assert_int_equal(uart_read(&u, 5, 1) & 0x03, 0x03);
	assert_int_equal(uart_read(&u, 5, 1) & 0x03, 0x01);
	asked = 0;
	for (i = 0; i < 16; i++)
		assert_int_equal(uart_read(&u, 0, 1), 'a' + i);
	assert_true(asked >= 1);
	assert_false(line);
	assert_int_equal(uart_read(&u, 5, 1) & 1, 0);
	uart_break(&u);
	assert_int_equal(uart_read(&u, 5, 1) & 0x11, 0x11);
}

static void test_uart_autoconfig(void **state)
{
	struct uart u;

	/* The steps of Linux's 8250 driver. */
	start(&u);
	uart_write(&u, 1, 1, 0);
	assert_int_equal(uart_read(&u, 1, 1) & 0x0f, 0);
	uart_write(&u, 1, 1, 0x0f);
	assert_int_equal(uart_read(&u, 1, 1), 0x0f);
	uart_write(&u, 1, 1, 0xff);
	assert_int_equal(uart_read(&u, 1, 1), 0x0f);
	uart_write(&u, 1, 1, 0);
	uart_write(&u, 4, 1, 0x10 | 0x0a);
	assert_int_equal(uart_read(&u, 6, 1) & 0xf0, 0x90);
	uart_write(&u, 4, 1, 0);
	uart_write(&u, 2, 1, 1);
	assert_int_equal(uart_read(&u, 2, 1) >> 6, 3);
	uart_write(&u, 3, 1, 0xbf);
	assert_int_not_equal(uart_read(&u, 2, 1), 0);
	uart_write(&u, 3, 1, 0);
	uart_write(&u, 2, 1, 0x21);
	assert_int_equal(uart_read(&u, 2, 1) & 0x20, 0);
}

static void test_uart_loopback(void **state)
{
	struct uart u;

	start(&u);
	uart_write(&u, 4, 1, 0x1b);
	assert_int_equal(uart_room(&u), 0);
	uart_write(&u, 1, 1, 1);
	uart_write(&u, 0, 1, 0xaf);
	assert_int_equal(out_n, 0);
	assert_false(line);
	assert_int_equal(uart_read(&u, 0, 1), 0xaf);
}

/* -- small devices ------------------------------------------------------------ */

static enum pc_event last_event;
static unsigned int events, last_arg;
static u64 clock_now;

static void on_event(void *ctx, enum pc_event ev, unsigned int arg)
{
	last_event = ev;
	last_arg = arg;
	events++;
}

static u64 now(void *ctx)
{
	return clock_now;
}

static void misc_start(struct pcmisc *p)
{
	events = 0;
	line = false;
	clock_now = 0;
	pcmisc_init(p, (struct irq_out){ on_irq, NULL, 9 }, on_event, now, NULL);
}

static void test_resets(void **state)
{
	struct pcmisc p;

	misc_start(&p);
	kbd_command_write(&p, 0, 1, 0xfe);
	assert_int_equal(events, 1);
	port92_write(&p, 0, 1, 2);
	cf9_write(&p, 0, 1, 2);
	assert_int_equal(events, 1);
	port92_write(&p, 0, 1, 3);
	cf9_write(&p, 0, 1, 6);
	assert_int_equal(events, 3);
	assert_int_equal(last_event, PC_RESET);
	pvpanic_write(&p, 0, 1, 1);
	assert_int_equal(last_event, PC_PANIC);
}

static void test_i8042(void **state)
{
	struct pcmisc p;

	misc_start(&p);
	assert_int_equal(kbd_status_read(&p, 0, 1) & 1, 0);
	kbd_command_write(&p, 0, 1, 0xaa);
	assert_int_equal(kbd_status_read(&p, 0, 1) & 1, 1);
	assert_int_equal(i8042_read(&p, 0, 1), 0x55);
	assert_int_equal(kbd_status_read(&p, 0, 1) & 1, 0);
	kbd_command_write(&p, 0, 1, 0x60);
	i8042_write(&p, 0, 1, 0x47);
	kbd_command_write(&p, 0, 1, 0x20);
	assert_int_equal(i8042_read(&p, 0, 1), 0x47);
	/* No keyboard: an error, at once. */
	i8042_write(&p, 0, 1, 0xff);
	assert_int_equal(kbd_status_read(&p, 0, 1) & 0x41, 0x41);
	assert_int_equal(i8042_read(&p, 0, 1), 0xfe);
	/* A20 by the output port, without a reset. */
	kbd_command_write(&p, 0, 1, 0xd1);
	i8042_write(&p, 0, 1, 0xdf);
	assert_int_equal(events, 0);
}

static void test_pm(void **state)
{
	struct pcmisc p;

	misc_start(&p);
	assert_int_equal(pm_read(&p, 4, 2) & 1, 1);
	clock_now = NS_PER_SEC;
	assert_int_equal(pm_read(&p, 8, 4), 3579545);
	clock_now = 2000 * NS_PER_SEC;
	assert_int_equal(pm_read(&p, 8, 4), (u32)(2000ull * 3579545));
	/* Nobody listens to the button. */
	assert_false(pm_power_button(&p));
	assert_false(line);
	pm_write(&p, 0, 2, 0xffff);
	assert_int_equal(pm_read(&p, 0, 2) & 0xffff, 0);
	pm_write(&p, 2, 2, 0x100);
	assert_int_equal(pm_read(&p, 2, 2) & 0xffff, 0x100);
	assert_true(pm_power_button(&p));
	assert_true(line);
	pm_write(&p, 0, 2, 0x100);
	assert_false(line);
	pm_write(&p, 4, 2, 5 << 10);
	assert_int_equal(events, 0);
	pm_write(&p, 4, 2, 1 << 13 | 5 << 10);
	assert_int_equal(last_event, PC_POWEROFF);
	pm_write(&p, 4, 2, 1 << 13 | 1 << 10);
	assert_int_equal(last_event, PC_SLEEP);
	assert_int_equal(last_arg, 1);
}

static void test_testdev(void **state)
{
	u8 mem[64] = { 0 };
	struct testdev t = { .mem = mem, .ram_bytes = 0x12345678, .cpus = 3 };
	u64 v = 0;
	int i;

	testdev_scratch_write(&t, 0, 4, 0x11223344);
	testdev_scratch_write(&t, 1, 1, 0xaa);
	assert_int_equal(testdev_scratch_read(&t, 0, 4), 0x1122aa44);
	assert_int_equal(testdev_scratch_read(&t, 2, 2) & 0xffff, 0x1122);
	fwcfg_write(&t, 0, 2, 5);
	assert_int_equal(fwcfg_read(&t, 1, 1), 3);
	assert_int_equal(fwcfg_read(&t, 1, 1), 0);
	fwcfg_write(&t, 0, 2, 3);
	for (i = 0; i < 8; i++)
		v |= fwcfg_read(&t, 1, 1) << 8 * i;
	assert_int_equal(v, 0x12345678);
	assert_int_equal(fwcfg_read(&t, 1, 1), 0);
	testdev_mem_write(&t, 56, 8, 0x1122334455667788);
	assert_int_equal(testdev_mem_read(&t, 60, 4), 0x11223344);
}

/* -- bus ----------------------------------------------------------------------- */

static u64 rd(void *dev, u64 off, unsigned int size)
{
	return 0x1111111111111111ull * (off + 1);
}

static u64 wrote[16];
static unsigned int unknowns;

static void wr(void *dev, u64 off, unsigned int size, u64 val)
{
	wrote[off] = val;
}

static void on_unknown(void *ctx, u64 addr, unsigned int size, bool write, u64 val)
{
	unknowns++;
}

static void test_bus(void **state)
{
	struct bus b = { .unknown = on_unknown };
	struct bus_range r = { 0x60, 1, 1, "a", rd, wr, NULL, 0 };

	assert_int_equal(bus_add(&b, &r), 0);
	assert_int_equal(bus_add(&b, &r), -EEXIST);
	r.base = 0x40;
	r.len = 4;
	r.max = 2;
	assert_int_equal(bus_add(&b, &r), 0);
	r.base = 0x3f;
	r.len = 2;
	assert_int_equal(bus_add(&b, &r), -EEXIST);
	r.base = 0x62;
	assert_int_equal(bus_add(&b, &r), 0);
	assert_ptr_equal(bus_find(&b, 0x43), &b.r[0]);
	assert_null(bus_find(&b, 0x44));
	assert_null(bus_find(&b, 0x3f));
	assert_int_equal(bus_read(&b, 0x60, 1), 0x11);
	assert_int_equal(bus_read(&b, 0x40, 2), 0x1111);
	/* Too wide: split; across the end: the rest is open bus. */
	assert_int_equal(bus_read(&b, 0x40, 4), 0x44332211);
	assert_int_equal(bus_read(&b, 0x43, 2), 0xff44);
	assert_int_equal(bus_read(&b, 0x60, 4), 0x2211ff11);
	unknowns = 0;
	assert_int_equal(bus_read(&b, 0x100, 4), 0xffffffff);
	assert_int_equal(unknowns, 1);
	assert_int_equal(bus_read(&b, 0x100, 8), UINT64_MAX);
	bus_write(&b, 0x40, 4, 0xaabbccdd);
	assert_int_equal(wrote[0], 0xdd);
	assert_int_equal(wrote[3], 0xaa);
	bus_write(&b, 0x100, 4, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uart_polled),
		cmocka_unit_test(test_uart_thre),
		cmocka_unit_test(test_uart_receive),
		cmocka_unit_test(test_uart_autoconfig),
		cmocka_unit_test(test_uart_loopback),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_i8042),
		cmocka_unit_test(test_pm),
		cmocka_unit_test(test_testdev),
		cmocka_unit_test(test_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
