// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/pic.c userspace-tool/ioapic.c */
/*
 * The interrupt controllers: priorities, triggers, EOI in all its forms.
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

/* -- 8259 ------------------------------------------------------------------ */

static bool intr;
static unsigned int changes;

static void on_intr(void *ctx, unsigned int line, bool level)
{
	intr = level;
	changes++;
}

static void cmd(struct pic *p, u8 val)
{
	pic_write(p, 0, 1, val);
}

static void mask(struct pic *p, u16 m)
{
	pic_write(p, 1, 1, m & 0xff);
	pic_slave_write(p, 1, 1, m >> 8);
}

static void start(struct pic *p, u8 icw4)
{
	pic_init(p, (struct irq_out){ on_intr, NULL, 0 });
	intr = false;
	cmd(p, 0x11);
	pic_write(p, 1, 1, 0x20);
	pic_write(p, 1, 1, 0x04);
	pic_write(p, 1, 1, icw4);
	pic_slave_write(p, 0, 1, 0x11);
	pic_slave_write(p, 1, 1, 0x28);
	pic_slave_write(p, 1, 1, 0x02);
	pic_slave_write(p, 1, 1, icw4);
	mask(p, 0);
}

static void pulse(struct pic *p, unsigned int n)
{
	pic_set(p, n, true);
	pic_set(p, n, false);
}

static void test_pic_edge(void **state)
{
	struct pic p;

	start(&p, 1);
	pulse(&p, 3);
	assert_true(intr);
	assert_int_equal(pic_ack(&p), 0x23);
	assert_false(intr);
	/* A second edge waits for the EOI. */
	pulse(&p, 3);
	assert_false(intr);
	cmd(&p, 0x20);
	assert_true(intr);
	assert_int_equal(pic_ack(&p), 0x23);
	cmd(&p, 0x20);
	assert_false(intr);
	/* Spurious: nothing there is input 7. */
	assert_int_equal(pic_ack(&p), 0x27);
	pic_write(&p, 0, 1, 0x0b);
	assert_int_equal(pic_read(&p, 0, 1), 0);
}

static void test_pic_held_high_is_one_edge(void **state)
{
	struct pic p;

	start(&p, 1);
	pic_set(&p, 4, true);
	assert_int_equal(pic_ack(&p), 0x24);
	cmd(&p, 0x20);
	pic_set(&p, 4, true);
	assert_false(intr);
	pic_set(&p, 4, false);
	pic_set(&p, 4, true);
	assert_true(intr);
}

static void test_pic_priority(void **state)
{
	struct pic p;

	start(&p, 1);
	pulse(&p, 5);
	assert_int_equal(pic_ack(&p), 0x25);
	pulse(&p, 6);
	assert_false(intr);
	pulse(&p, 1);
	assert_true(intr);
	assert_int_equal(pic_ack(&p), 0x21);
	/* A non-specific EOI ends the most urgent, a specific one whom it names. */
	cmd(&p, 0x20);
	assert_int_equal(p.chip[0].isr, 0x20);
	cmd(&p, 0x65);
	assert_int_equal(p.chip[0].isr, 0);
	assert_int_equal(pic_ack(&p), 0x26);
}

static void test_pic_cascade(void **state)
{
	struct pic p;

	start(&p, 1);
	pulse(&p, 11);
	assert_int_equal(pic_ack(&p), 0x2b);
	assert_int_equal(p.chip[0].isr, 0x04);
	assert_int_equal(p.chip[1].isr, 0x08);
	pic_slave_write(&p, 0, 1, 0x20);
	cmd(&p, 0x20);
	assert_int_equal(p.chip[0].isr | p.chip[1].isr, 0);
	/* The slave's input withdrawn by its mask withdraws the master's. */
	pulse(&p, 12);
	assert_true(intr);
	pic_slave_write(&p, 1, 1, 0xff);
	assert_false(intr);
}

static void test_pic_level(void **state)
{
	struct pic p;

	start(&p, 1);
	pic_elcr_write(&p, 1, 1, 0xff);
	assert_int_equal(pic_elcr_read(&p, 1, 1), 0xde);
	pic_set(&p, 10, true);
	assert_int_equal(pic_ack(&p), 0x2a);
	pic_slave_write(&p, 0, 1, 0x20);
	cmd(&p, 0x20);
	assert_true(intr);
	pic_set(&p, 10, false);
	assert_false(intr);
}

static void test_pic_mask(void **state)
{
	struct pic p;

	start(&p, 1);
	mask(&p, 0xffff);
	pulse(&p, 1);
	assert_false(intr);
	pic_write(&p, 0, 1, 0x0a);
	assert_int_equal(pic_read(&p, 0, 1), 2);
	assert_int_equal(pic_read(&p, 1, 1), 0xff);
	mask(&p, 0xfffd);
	assert_true(intr);
}

static void test_pic_auto_eoi_and_rotate(void **state)
{
	struct pic p;

	start(&p, 3);
	pulse(&p, 2 + 1);
	assert_int_equal(pic_ack(&p), 0x23);
	assert_int_equal(p.chip[0].isr, 0);
	start(&p, 1);
	pulse(&p, 0);
	assert_int_equal(pic_ack(&p), 0x20);
	cmd(&p, 0xa0);		/* rotate on non-specific EOI: 0 is the lowest now */
	pulse(&p, 0);
	pulse(&p, 7);
	assert_int_equal(pic_ack(&p), 0x27);
}

static void test_pic_special_mask(void **state)
{
	struct pic p;

	start(&p, 1);
	pulse(&p, 1);
	assert_int_equal(pic_ack(&p), 0x21);
	cmd(&p, 0x68);		/* special mask mode */
	mask(&p, 0x0002);
	pulse(&p, 5);
	assert_true(intr);
	assert_int_equal(pic_ack(&p), 0x25);
}

static void test_pic_poll(void **state)
{
	struct pic p;

	start(&p, 1);
	cmd(&p, 0x0c);
	assert_int_equal(pic_read(&p, 0, 1), 0);
	pulse(&p, 6);
	cmd(&p, 0x0c);
	assert_int_equal(pic_read(&p, 0, 1), 0x86);
	assert_int_equal(p.chip[0].isr, 0x40);
}

static void test_pic_tells_changes_only(void **state)
{
	struct pic p;

	start(&p, 1);
	changes = 0;
	pulse(&p, 3);
	pulse(&p, 4);
	mask(&p, 0);
	assert_int_equal(changes, 1);
}

/* -- I/O APIC --------------------------------------------------------------- */

static struct {
	unsigned int n;
	u64 addr;
	u32 data;
	int takers;
} sent;

static int on_msi(void *ctx, u64 addr, u32 data)
{
	sent.n++;
	sent.addr = addr;
	sent.data = data;
	return sent.takers;
}

static void reg_write(struct ioapic *io, u32 reg, u32 val)
{
	ioapic_write(io, 0, 4, reg);
	ioapic_write(io, 0x10, 4, val);
}

static u32 reg_read(struct ioapic *io, u32 reg)
{
	ioapic_write(io, 0, 4, reg);
	return (u32)ioapic_read(io, 0x10, 4);
}

static void io_start(struct ioapic *io)
{
	ioapic_init(io, on_msi, NULL);
	memset(&sent, 0, sizeof(sent));
	sent.takers = 1;
}

static void test_ioapic_registers(void **state)
{
	struct ioapic io;

	io_start(&io);
	assert_int_equal(reg_read(&io, 1), 0x00170020);
	reg_write(&io, 0, 0xffffffff);
	assert_int_equal(reg_read(&io, 0), 0x0f000000);
	assert_int_equal(reg_read(&io, 0x10), 0x00010000);
	reg_write(&io, 0x3f, 0x12345678);
	assert_int_equal(reg_read(&io, 0x3f), 0x12000000);
	reg_write(&io, 0x3e, 0xffffffff);
	assert_int_equal(reg_read(&io, 0x3e) & (1 << 12 | 1 << 14), 0);
	assert_int_equal(reg_read(&io, 0x40), 0);
	assert_int_equal(ioapic_read(&io, 0x20, 4), 0);
}

static void test_ioapic_edge(void **state)
{
	struct ioapic io;

	io_start(&io);
	reg_write(&io, 0x10 + 2 * 4 + 1, 3u << 24);
	reg_write(&io, 0x10 + 2 * 4, 0x0831);
	ioapic_set(&io, 4, true);
	assert_int_equal(sent.n, 1);
	assert_int_equal(sent.addr, 0xfee03004);
	assert_int_equal(sent.data, 0x4031);
	ioapic_set(&io, 4, true);
	assert_int_equal(sent.n, 1);
	ioapic_set(&io, 4, false);
	ioapic_set(&io, 4, true);
	assert_int_equal(sent.n, 2);
	/* An edge on a masked pin is lost. */
	reg_write(&io, 0x10 + 2 * 4, 0x10031);
	ioapic_set(&io, 4, false);
	ioapic_set(&io, 4, true);
	reg_write(&io, 0x10 + 2 * 4, 0x31);
	assert_int_equal(sent.n, 2);
	ioapic_set(&io, 24, true);
	assert_int_equal(sent.n, 2);
}

static void test_ioapic_level(void **state)
{
	struct ioapic io;

	io_start(&io);
	reg_write(&io, 0x10 + 2 * 9, 0x8050);
	ioapic_set(&io, 9, true);
	assert_int_equal(sent.n, 1);
	assert_int_equal(sent.data, 0xc050);
	assert_true(reg_read(&io, 0x10 + 2 * 9) & 1 << 14);
	ioapic_set(&io, 9, true);
	assert_int_equal(sent.n, 1);
	/* Still high at its end: again. */
	ioapic_eoi(&io, 0x50);
	assert_int_equal(sent.n, 2);
	ioapic_set(&io, 9, false);
	ioapic_eoi(&io, 0x50);
	assert_int_equal(sent.n, 2);
	assert_false(reg_read(&io, 0x10 + 2 * 9) & 1 << 14);
	/* The EOI register does the same. */
	ioapic_set(&io, 9, true);
	ioapic_write(&io, 0x40, 4, 0x50);
	assert_int_equal(sent.n, 4);
	ioapic_eoi(&io, 0x51);
	assert_int_equal(sent.n, 4);
}

static void test_ioapic_masked_level(void **state)
{
	struct ioapic io;

	io_start(&io);
	reg_write(&io, 0x10 + 2 * 9, 0x18050);
	ioapic_set(&io, 9, true);
	assert_int_equal(sent.n, 0);
	reg_write(&io, 0x10 + 2 * 9, 0x8050);
	assert_int_equal(sent.n, 1);
	/* To edge and back, as Linux ends a stuck pin. */
	reg_write(&io, 0x10 + 2 * 9, 0x10050);
	assert_false(reg_read(&io, 0x10 + 2 * 9) & 1 << 14);
	reg_write(&io, 0x10 + 2 * 9, 0x8050);
	assert_int_equal(sent.n, 2);
}

static void test_ioapic_nobody_takes_it(void **state)
{
	struct ioapic io;

	io_start(&io);
	sent.takers = 0;
	reg_write(&io, 0x10 + 2 * 9, 0x8050);
	ioapic_set(&io, 9, true);
	assert_false(reg_read(&io, 0x10 + 2 * 9) & 1 << 14);
	reg_write(&io, 0x10 + 2 * 9, 0x8750);	/* ExtINT is the 8259s' way */
	assert_int_equal(sent.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pic_edge),
		cmocka_unit_test(test_pic_held_high_is_one_edge),
		cmocka_unit_test(test_pic_priority),
		cmocka_unit_test(test_pic_cascade),
		cmocka_unit_test(test_pic_level),
		cmocka_unit_test(test_pic_mask),
		cmocka_unit_test(test_pic_auto_eoi_and_rotate),
		cmocka_unit_test(test_pic_special_mask),
		cmocka_unit_test(test_pic_poll),
		cmocka_unit_test(test_pic_tells_changes_only),
		cmocka_unit_test(test_ioapic_registers),
		cmocka_unit_test(test_ioapic_edge),
		cmocka_unit_test(test_ioapic_level),
		cmocka_unit_test(test_ioapic_masked_level),
		cmocka_unit_test(test_ioapic_nobody_takes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
