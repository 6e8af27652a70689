// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * The LAPIC: registers in both modes, priorities, EOI, pins, errors, state.
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

static void post(u8 vector)
{
	assert_true(halo_lapic_post(l, HALO_DM_FIXED, vector, false) & HALO_POST_TAKEN);
}

static void after_power_up(void **state)
{
	static const u16 lvts[] = { LVTT, THERMAL, PERF, LINT0, LINT1, LVTERR };

	halo_lapic_reset(l);
	assert_int_equal(rd(c, VERSION), 0x01050014);
	assert_int_equal(rd(c, SVR), 0xff);
	assert_int_equal(rd(c, DFR), 0xffffffff);
	assert_int_equal(rd(c, LDR), 0);
	assert_int_equal(rd(c, TPR), 0);
	assert_int_equal(rd(c, PPR), 0);
	assert_int_equal(rd(c, ICR), 0);
	assert_int_equal(rd(c, TDCR), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		assert_int_equal(rd(c, lvts[i]), MASKED);
	assert_int_equal(l->base, 0xfee00900);
	assert_int_equal(cpu[1].l.base, 0xfee00800);
	assert_int_equal(rd(&cpu[3], ID), 3 << 24);
	assert_true(idle(l));
}

/* offset, writable bits in xAPIC mode, bits that always read as one */
static void xapic_write_masks(void **state)
{
	static const struct {
		u32 offset, mask, ones;
	} v[] = {
		{ ID, 0xff000000, 0 }, { VERSION, 0, 0x01050014 }, { TPR, 0xff, 0 },
		{ LDR, 0xff000000, 0 }, { DFR, 0xf0000000, 0x0fffffff }, { SVR, 0x13ff, 0 },
		{ ICR2, 0xff000000, 0 }, { LVTT, 0x700ff, 0 }, { THERMAL, 0x107ff, 0 },
		{ PERF, 0x107ff, 0 }, { LINT0, 0x1a7ff, 0 }, { LINT1, 0x1a7ff, 0 },
		{ LVTERR, 0x100ff, 0 }, { TMICT, 0xffffffff, 0 }, { TDCR, 0xb, 0 },
		{ TMCCT, 0, 0 }, { ISR, 0, 0 }, { IRR + 0x70, 0, 0 }, { APR, 0, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(v); i++) {
		fx_setup(NULL);
		wr(c, v[i].offset, 0xffffffff);
		assert_int_equal(rd(c, v[i].offset), v[i].mask | v[i].ones);
		wr(c, v[i].offset, 0);
		if (v[i].offset != SVR)
			assert_int_equal(rd(c, v[i].offset), v[i].ones);
	}
}

static void xapic_access_sizes(void **state)
{
	assert_int_equal(halo_lapic_mmio_read(l, VERSION, 1), 0x14);
	assert_int_equal(halo_lapic_mmio_read(l, VERSION + 2, 1), 0x05);
	assert_int_equal(halo_lapic_mmio_read(l, VERSION + 2, 2), 0x0105);
	assert_int_equal(halo_lapic_mmio_read(l, VERSION + 3, 8), 0x01);
	assert_int_equal(halo_lapic_mmio_read(l, VERSION, 8), 0x01050014);
	assert_int_equal(halo_lapic_mmio_read(l, VERSION + 4, 4), 0);
	assert_int_equal(halo_lapic_mmio_write(l, TPR, 1, 0x20), 0);
	assert_int_equal(halo_lapic_mmio_write(l, TPR + 4, 4, 0x20), 0);
	assert_int_equal(halo_lapic_mmio_write(l, TPR, 8, 0x20), 0);
	assert_int_equal(rd(c, TPR), 0);
	assert_int_equal(halo_lapic_mmio_write(l, TPR, 4, 0x20), 0);
	assert_int_equal(rd(c, TPR), 0x20);
}

static void unknown_registers_are_errors(void **state)
{
	static const u32 unknown[] = { 0, 0x10, 0x40, 0xc0, 0x290, CMCI, 0x3a0, SELF, 0x400, 0xff0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_int_equal(rd(c, unknown[i]), 0);
		wr(c, ESR, 0);
		assert_int_equal(rd(c, ESR), 0x80);
		wr(c, unknown[i], 0x123);
		wr(c, ESR, 0);
		assert_int_equal(rd(c, ESR), 0x80);
	}
	wr(c, VERSION, 0);
	wr(c, ESR, 0);
	assert_int_equal(rd(c, ESR), 0);
}

static void x2apic_registers(void **state)
{
	u64 value;

	/* Not in x2APIC mode: no MSR at all. */
	assert_int_equal(halo_lapic_msr_read(l, MSR(ID), &value), -EINVAL);
	assert_int_equal(wr_msr(c, TPR, 0), -EINVAL);
	c = &cpu[19];
	l = &c->l;
	assert_int_equal(fx_x2apic(c), 0);
	assert_int_equal(rd_msr(c, ID), 19);
	assert_int_equal(rd_msr(c, LDR), 1 << 16 | 1 << 3);
	assert_int_equal(rd_msr(c, VERSION), 0x01050014);
	assert_int_equal(rd_msr(c, SVR), 0x1ff);
	for (u32 msr = 0x840; msr < 0x900; msr++) {
		assert_int_equal(halo_lapic_msr_read(l, msr, &value), -EINVAL);
		assert_int_equal(halo_lapic_msr_write(l, msr, 0), -EINVAL);
	}
	assert_int_equal(halo_lapic_msr_read(l, 0x7ff, &value), -EINVAL);
	assert_int_equal(halo_lapic_msr_write(l, 0, 0), -EINVAL);
	c = &cpu[0];
	l = &c->l;
}

/* Of each MSR: may be read, may be written, bits that a write may have. */
static void x2apic_faults(void **state)
{
	static const struct {
		u32 offset;
		u64 writable;
	} w[] = {
		{ TPR, 0xff }, { EOI, 0 }, { SVR, 0x13ff }, { ESR, 0 }, { LVTT, 0x710ff },
		{ THERMAL, 0x117ff }, { PERF, 0x117ff }, { LINT0, 0x1f7ff }, { LINT1, 0x1f7ff },
		{ LVTERR, 0x110ff }, { TMICT, 0xffffffff }, { TDCR, 0xb }, { SELF, 0xff },
		{ ICR, 0xffffffff000cdfff },
	};
	static const u32 write_only[] = { EOI, SELF };
	u64 value;

	assert_int_equal(fx_x2apic(c), 0);
	for (u32 offset = 0; offset < 0x400; offset += 0x10) {
		bool known = (offset >= ISR && offset < ESR) || offset == ID ||
			     offset == VERSION || offset == PPR || offset == LDR || offset == TMCCT;
		bool read = known, write = false;
		u64 writable = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
			if (w[i].offset == offset) {
				read = true;
				write = true;
				writable = w[i].writable;
			}
		for (unsigned int i = 0; i < ARRAY_SIZE(write_only); i++)
			read &= write_only[i] != offset;
		assert_int_equal(halo_lapic_msr_read(l, MSR(offset), &value), read ? 0 : -EINVAL);
		assert_int_equal(wr_msr(c, offset, 0), write ? 0 : -EINVAL);
		for (unsigned int bit = 0; bit < 64; bit++) {
			fx_setup(NULL);
			fx_x2apic(c);
			assert_int_equal(wr_msr(c, offset, BIT_ULL(bit)) >= 0,
					 write && (writable >> bit & 1));
		}
	}
}

static void apic_base_transitions(void **state)
{
	const u64 base = 0xfee00900, en = HALO_APIC_BASE_ENABLE, x2 = HALO_APIC_BASE_X2APIC;

	assert_int_equal(halo_lapic_set_base(l, base | 1, false), -EINVAL);
	assert_int_equal(halo_lapic_set_base(l, base | 0x80, false), -EINVAL);
	assert_int_equal(halo_lapic_set_base(l, base | BIT(9), false), -EINVAL);
	assert_int_equal(halo_lapic_set_base(l, base | BIT_ULL(40), false), -EINVAL);
	assert_int_equal(halo_lapic_set_base(l, base | BIT_ULL(63), false), -EINVAL);
	assert_int_equal(halo_lapic_set_base(l, base | BIT_ULL(39), false), 0);
	assert_int_equal(halo_lapic_set_base(l, (base & ~en) | x2, false), -EINVAL);

	/* xAPIC to disabled and back; direct to x2APIC is a fault. */
	wr(c, TPR, 0x50);
	assert_int_equal(halo_lapic_set_base(l, base & ~en, false), 0);
	assert_false(halo_lapic_enabled(l));
	assert_int_equal(halo_lapic_set_base(l, base | x2, false), -EINVAL);
	assert_int_equal(halo_lapic_set_base(l, base, false), 0);
	assert_int_equal(rd(c, TPR), 0);
	assert_int_equal(rd(c, SVR), 0xff);

	/* to x2APIC; back to xAPIC is a fault; by way of disabled it is not */
	wr(c, SVR, 0x1ff);
	wr(c, TPR, 0x60);
	wr(c, ID, 0x77000000);
	assert_int_equal(halo_lapic_set_base(l, base | x2, false), 0);
	assert_int_equal(rd_msr(c, TPR), 0x60);
	assert_int_equal(rd_msr(c, ID), 0);
	assert_int_equal(halo_lapic_set_base(l, base, false), -EINVAL);
	assert_true(halo_lapic_x2apic(l));
	assert_int_equal(halo_lapic_set_base(l, base & ~en, false), 0);
	assert_int_equal(halo_lapic_set_base(l, base, false), 0);
	assert_false(halo_lapic_x2apic(l));
	/* userspace may */
	assert_int_equal(halo_lapic_set_base(l, base | x2, false), 0);
	assert_int_equal(halo_lapic_set_base(l, base, true), 0);
	assert_int_equal(halo_lapic_set_base(l, base & ~en, true), 0);
	assert_int_equal(halo_lapic_set_base(l, base | x2, true), 0);
}

static void the_page_moves(void **state)
{
	assert_true(halo_lapic_covers(l, 0xfee00000));
	assert_true(halo_lapic_covers(l, 0xfee00fff));
	assert_false(halo_lapic_covers(l, 0xfee01000));
	assert_false(halo_lapic_covers(l, 0x1fee00000));
	assert_int_equal(halo_lapic_set_base(l, 0xfedf0900, false), 0);
	assert_true(halo_lapic_covers(l, 0xfedf0030));
	assert_false(halo_lapic_covers(l, 0xfee00000));
	assert_int_equal(fx_x2apic(c), 0);
	assert_false(halo_lapic_covers(l, 0xfedf0030));
	assert_int_equal(halo_lapic_set_base(l, 0xfedf0100, false), 0);
	assert_false(halo_lapic_covers(l, 0xfedf0030));
}

static void priorities(void **state)
{
	post(0x31);
	post(0x35);
	post(0x82);
	assert_int_equal(take_irq(c), 0x82);
	assert_int_equal(rd(c, PPR), 0x80);
	assert_int_equal(halo_lapic_pending(l), -1);
	/* same class does not nest, a higher one does */
	post(0x8f);
	assert_int_equal(take_irq(c), -1);
	post(0x91);
	assert_int_equal(take_irq(c), 0x91);
	assert_int_equal(halo_lapic_eoi(l), 0);
	assert_int_equal(take_irq(c), -1);
	wr(c, EOI, 0);
	assert_int_equal(take_irq(c), 0x8f);
	wr(c, EOI, 0);
	assert_int_equal(take_irq(c), 0x35);
	wr(c, EOI, 0);
	assert_int_equal(take_irq(c), 0x31);
	wr(c, EOI, 0);
	assert_true(idle(l));
	/* an EOI with nothing in service */
	assert_int_equal(halo_lapic_eoi(l), 0);
}

static void task_priority(void **state)
{
	post(0x45);
	halo_lapic_sync(l);
	wr(c, TPR, 0x40);
	assert_int_equal(halo_lapic_pending(l), -1);
	assert_int_equal(halo_lapic_cr8(l), 4);
	wr(c, TPR, 0x3f);
	assert_int_equal(halo_lapic_pending(l), 0x45);
	assert_int_equal(rd(c, PPR), 0x3f);
	halo_lapic_set_cr8(l, 3);
	assert_int_equal(rd(c, TPR), 0x3f);
	halo_lapic_set_cr8(l, 15);
	assert_int_equal(rd(c, TPR), 0xf0);
	assert_int_equal(halo_lapic_pending(l), -1);
	halo_lapic_set_cr8(l, 0);
	assert_int_equal(take_irq(c), 0x45);
	/* PPR: the higher of TPR and ISR, by class */
	assert_int_equal(rd(c, PPR), 0x40);
	wr(c, TPR, 0x47);
	assert_int_equal(rd(c, PPR), 0x47);
	wr(c, TPR, 0x37);
	assert_int_equal(rd(c, PPR), 0x40);
}

static void every_vector(void **state)
{
	for (unsigned int v = 16; v < 256; v++) {
		post(v);
		assert_true(in_irr(c, v));
		assert_int_equal(rd(c, IRR + v / 32 * 0x10), BIT(v & 31));
		assert_int_equal(take_irq(c), v);
		assert_int_equal(rd(c, ISR + v / 32 * 0x10), BIT(v & 31));
		assert_int_equal(rd(c, IRR + v / 32 * 0x10), 0);
		wr(c, EOI, 0);
		assert_int_equal(rd(c, ISR + v / 32 * 0x10), 0);
	}
}

static void eoi_broadcast(void **state)
{
	halo_lapic_post(l, HALO_DM_FIXED, 0x70, true);
	assert_int_equal(take_irq(c), 0x70);
	assert_int_equal(rd(c, TMR + 0x30), 1 << 16);
	assert_int_equal(halo_lapic_mmio_write(l, EOI, 4, 0), HALO_LAPIC_EOI | 0x70);
	/* the next one is an edge */
	post(0x70);
	assert_int_equal(take_irq(c), 0x70);
	assert_int_equal(rd(c, TMR + 0x30), 0);
	assert_int_equal(halo_lapic_eoi(l), 0);
	/* suppression */
	wr(c, SVR, 0x11ff);
	halo_lapic_post(l, HALO_DM_FIXED, 0x70, true);
	assert_int_equal(take_irq(c), 0x70);
	assert_int_equal(halo_lapic_eoi(l), 0);
	wr(c, SVR, 0x1ff);
	assert_int_equal(fx_x2apic(c), 0);
	halo_lapic_post(l, HALO_DM_LOWEST, 0xff, true);
	assert_int_equal(take_irq(c), 0xff);
	assert_int_equal(wr_msr(c, EOI, 1), -EINVAL);
	assert_int_equal(wr_msr(c, EOI, 0), HALO_LAPIC_EOI | 0xff);
}

static void software_disable(void **state)
{
	wr(c, LVTT, 0x40);
	wr(c, LINT0, 0x700);
	post(0x50);
	halo_lapic_sync(l);
	wr(c, SVR, 0xff);
	assert_int_equal(rd(c, LVTT), MASKED | 0x40);
	assert_int_equal(rd(c, LINT0), MASKED | 0x700);
	/* mask bits can't be cleared now */
	wr(c, LVTT, 0x41);
	assert_int_equal(rd(c, LVTT), MASKED | 0x41);
	/* what was requested stays and is delivered; new ones are not accepted */
	assert_int_equal(halo_lapic_post(l, HALO_DM_FIXED, 0x60, false), 0);
	assert_int_equal(halo_lapic_post(l, HALO_DM_NMI, 0, false),
			 HALO_POST_TAKEN | HALO_POST_KICK);
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_NMI);
	/* two before one is seen are two, more are two as well */
	assert_int_equal(halo_lapic_post(l, HALO_DM_NMI, 0, false),
			 HALO_POST_TAKEN | HALO_POST_KICK);
	assert_int_equal(halo_lapic_post(l, HALO_DM_NMI, 0, false),
			 HALO_POST_TAKEN | HALO_POST_KICK);
	assert_int_equal(halo_lapic_post(l, HALO_DM_NMI, 0, false), HALO_POST_TAKEN);
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_NMI | HALO_LAPIC_NMI_AGAIN);
	assert_int_equal(halo_lapic_sync(l), 0);
	assert_int_equal(take_irq(c), 0x50);
	wr(c, ICR, 1 << 18 | 0x61);
	assert_int_equal(take_irq(c), -1);
	wr(c, SVR, 0x1ff);
	assert_int_equal(rd(c, LVTT), MASKED | 0x41);
	wr(c, LVTT, 0x41);
	assert_int_equal(rd(c, LVTT), 0x41);
}

static void errors(void **state)
{
	wr(c, LVTERR, 0xe1);
	/* sending an illegal vector: noted, interrupts once until the latch */
	wr(c, ICR, 1 << 18 | 0x05);
	assert_int_equal(c->ipis, 0);
	assert_int_equal(rd(c, ESR), 0);
	assert_int_equal(take_irq(c), 0xe1);
	wr(c, EOI, 0);
	rd(c, 0x40);
	assert_int_equal(take_irq(c), -1);
	wr(c, ESR, 0x1234);
	assert_int_equal(rd(c, ESR), 0xa0);
	wr(c, ESR, 0);
	assert_int_equal(rd(c, ESR), 0);
	/* receiving one */
	assert_int_equal(halo_lapic_post(l, HALO_DM_FIXED, 0x0f, false), HALO_POST_KICK);
	assert_int_equal(halo_lapic_post(l, HALO_DM_FIXED, 0x0e, false), 0);
	assert_int_equal(take_irq(c), 0xe1);
	wr(c, EOI, 0);
	wr(c, ESR, 0);
	assert_int_equal(rd(c, ESR), 0x40);
	/* read before the mail was */
	halo_lapic_post(l, HALO_DM_FIXED, 0, false);
	wr(c, ESR, 0);
	assert_int_equal(rd(c, ESR), 0x40);
	/* an LVT entry with an illegal vector, even that for errors */
	wr(c, LVTERR, 0x0f);
	wr(c, LINT1, 0x02);
	halo_lapic_set_line(l, 1, true);
	assert_int_equal(halo_lapic_sync(l), 0);
	wr(c, ESR, 0);
	assert_int_equal(rd(c, ESR), 0x40);
}

static void x2apic_self_ipi(void **state)
{
	assert_int_equal(fx_x2apic(c), 0);
	assert_int_equal(wr_msr(c, SELF, 0x93), 0);
	assert_int_equal(take_irq(c), 0x93);
	assert_int_equal(wr_msr(c, EOI, 0), 0);
	assert_int_equal(wr_msr(c, SELF, 3), 0);
	assert_int_equal(wr_msr(c, ESR, 0), 0);
	assert_int_equal(rd_msr(c, ESR), 0x20);
	assert_int_equal(c->kicks, 0);
	assert_int_equal(c->ipis, 0);
}

static unsigned long lint1_pulse(u32 lvt)
{
	wr(c, LINT1, lvt);
	halo_lapic_set_line(l, 1, false);
	halo_lapic_set_line(l, 1, true);
	return halo_lapic_sync(l);
}

static void lvt_modes(void **state)
{
	assert_int_equal(lint1_pulse(0x400), HALO_LAPIC_NMI);
	assert_int_equal(halo_lapic_sync(l), 0);
	assert_int_equal(lint1_pulse(MASKED | 0x400), 0);
	assert_int_equal(lint1_pulse(0x66), 0);
	assert_int_equal(take_irq(c), 0x66);
	assert_int_equal(lint1_pulse(0x200), 0);
	assert_int_equal(lint1_pulse(0x700), 0);
	assert_int_equal(take_irq(c), -1);
	assert_int_equal(lint1_pulse(0x500), HALO_LAPIC_INIT);
}

static void extint(void **state)
{
	assert_true(halo_lapic_set_line(l, 0, true));
	assert_false(halo_lapic_set_line(l, 0, true));
	halo_lapic_sync(l);
	assert_false(halo_lapic_extint_pending(l));
	wr(c, LINT0, 0x700);
	assert_true(halo_lapic_extint_pending(l));
	/* not subject to priority */
	wr(c, TPR, 0xff);
	assert_true(halo_lapic_extint_pending(l));
	wr(c, LINT0, MASKED | 0x700);
	assert_false(halo_lapic_extint_pending(l));
	assert_int_equal(halo_lapic_set_base(l, 0xfee00100, false), 0);
	assert_true(halo_lapic_extint_pending(l));
	assert_false(halo_lapic_set_line(l, 0, false));
	assert_false(halo_lapic_extint_pending(l));
}

static void lint0_edge(void **state)
{
	wr(c, LINT0, 0x55);
	assert_true(halo_lapic_set_line(l, 0, true));
	assert_int_equal(take_irq(c), 0x55);
	assert_int_equal(halo_lapic_eoi(l), 0);
	assert_int_equal(take_irq(c), -1);
	/* a pulse between two looks is not lost */
	halo_lapic_set_line(l, 0, false);
	halo_lapic_set_line(l, 0, true);
	halo_lapic_set_line(l, 0, false);
	assert_int_equal(take_irq(c), 0x55);
	assert_int_equal(halo_lapic_eoi(l), 0);
	assert_int_equal(take_irq(c), -1);
}

static void lint0_level(void **state)
{
	wr(c, LINT0, LEVEL | 0x55);
	halo_lapic_set_line(l, 0, true);
	assert_int_equal(take_irq(c), 0x55);
	assert_int_equal(rd(c, LINT0), LEVEL | RIRR | 0x55);
	/* remote IRR is read-only */
	wr(c, LINT0, LEVEL | 0x55);
	assert_int_equal(rd(c, LINT0), LEVEL | RIRR | 0x55);
	assert_int_equal(take_irq(c), -1);
	/* still up: again */
	assert_int_equal(halo_lapic_eoi(l), HALO_LAPIC_EOI | 0x55);
	assert_int_equal(take_irq(c), 0x55);
	halo_lapic_set_line(l, 0, false);
	assert_int_equal(halo_lapic_eoi(l), HALO_LAPIC_EOI | 0x55);
	assert_int_equal(rd(c, LINT0), LEVEL | 0x55);
	assert_int_equal(take_irq(c), -1);
	/* up while masked: comes with the unmasking */
	wr(c, LINT0, MASKED | LEVEL | 0x55);
	halo_lapic_set_line(l, 0, true);
	assert_int_equal(take_irq(c), -1);
	wr(c, LINT0, LEVEL | 0x55);
	assert_int_equal(take_irq(c), 0x55);
	/* another vector, another interrupt: no stuck remote IRR */
	wr(c, LINT0, MASKED | LEVEL | 0x66);
	assert_int_equal(rd(c, LINT0), MASKED | LEVEL | 0x66);
}

static void lint1_and_nmi(void **state)
{
	wr(c, LINT1, 0x400);
	assert_true(halo_lapic_set_line(l, 1, true));
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_NMI);
	assert_int_equal(halo_lapic_sync(l), 0);
	halo_lapic_set_line(l, 1, false);
	wr(c, LINT1, MASKED | 0x400);
	halo_lapic_set_line(l, 1, true);
	assert_int_equal(halo_lapic_sync(l), 0);
	halo_lapic_set_line(l, 1, false);
	/* always an edge */
	wr(c, LINT1, LEVEL | 0x58);
	halo_lapic_set_line(l, 1, true);
	assert_int_equal(take_irq(c), 0x58);
	assert_int_equal(halo_lapic_eoi(l), 0);
	halo_lapic_set_line(l, 1, false);
	assert_int_equal(halo_lapic_set_base(l, 0xfee00100, false), 0);
	halo_lapic_set_line(l, 1, true);
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_NMI);
	assert_true(halo_lapic_set_line(l, 2, true));
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_NMI);
	assert_false(halo_lapic_set_line(l, 2, false));
	assert_false(halo_lapic_set_line(l, 3, true));
	assert_int_equal(halo_lapic_sync(l), 0);
}

static void init_and_sipi(void **state)
{
	wr(c, ID, 0x05000000);
	wr(c, TPR, 0x20);
	wr(c, LDR, 0x01000000);
	post(0x80);
	halo_lapic_post(l, HALO_DM_SIPI, 0x11, false);
	assert_int_equal(halo_lapic_post(l, HALO_DM_INIT, 0, false),
			 HALO_POST_TAKEN | HALO_POST_KICK);
	/* a SIPI from before the INIT is gone */
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_INIT);
	halo_lapic_post(l, HALO_DM_INIT, 0, false);
	halo_lapic_post(l, HALO_DM_SIPI, 0x9f, false);
	post(0x81);
	assert_int_equal(halo_lapic_sync(l), HALO_LAPIC_INIT | HALO_LAPIC_SIPI);
	assert_int_equal(l->sipi_vector, 0x9f);
	post(0x82);
	halo_lapic_init_reset(l);
	assert_int_equal(rd(c, ID), 0x05000000);
	assert_int_equal(rd(c, TPR), 0);
	assert_int_equal(rd(c, LDR), 0);
	assert_int_equal(rd(c, SVR), 0xff);
	assert_true(idle(l));
	/* and posting works afterwards, of the very vector that was dropped */
	wr(c, SVR, 0x1ff);
	post(0x82);
	assert_int_equal(take_irq(c), 0x82);

	assert_int_equal(fx_x2apic(&cpu[7]), 0);
	halo_lapic_init_reset(&cpu[7].l);
	assert_true(halo_lapic_x2apic(&cpu[7].l));
	assert_int_equal(rd_msr(&cpu[7], ID), 7);
	assert_int_equal(rd_msr(&cpu[7], LDR), 1 << 7);
}

static void save_and_load(void **state)
{
	u8 image[HALO_LAPIC_IMAGE_BYTES], again[HALO_LAPIC_IMAGE_BYTES];

	wr(c, TPR, 0x20);
	wr(c, LDR, 0x04000000);
	wr(c, DFR, 0x00000000);
	wr(c, LINT0, LEVEL | 0x55);
	halo_lapic_set_line(l, 0, true);
	wr(c, LVTT, PERIODIC | 0x40);
	wr(c, TDCR, 0x3);
	wr(c, TMICT, 1000000);
	wr(c, ICR2, 0x02000000);
	wr(c, ICR, 0x4077);
	now_ns += 160000;
	halo_lapic_post(l, HALO_DM_FIXED, 0x91, true);
	assert_int_equal(take_irq(c), 0x91);
	post(0xa1);
	halo_lapic_save(l, image);

	/* onto another one */
	wr(&cpu[1], ID, 0);
	post(0x33);
	assert_int_equal(halo_lapic_load(&cpu[1].l, image), 0);
	halo_lapic_save(&cpu[1].l, again);
	assert_memory_equal(image, again, sizeof(image));
	assert_int_equal(cpu[1].when, c->when);
	assert_int_equal(take_irq(&cpu[1]), 0xa1);
	wr(&cpu[1], EOI, 0);
	assert_int_equal(halo_lapic_mmio_write(&cpu[1].l, EOI, 4, 0), HALO_LAPIC_EOI | 0x91);
}

static void set32(u8 *image, u32 offset, u32 value)
{
	memcpy(image + offset, &value, 4);
}

static void load_refuses(void **state)
{
	static const struct {
		u32 offset, value;
	} bad[] = {
		{ ID, 1 }, { TPR, 0x100 }, { LDR, 0x10 }, { DFR, 0 }, { SVR, 0x400 }, { SVR, ~0u },
		{ ISR, 1 }, { IRR, 0x8000 }, { ESR, 0x100 }, { ICR, 0x1000 }, { ICR, BIT(20) },
		{ ICR2, 1 }, { LVTT, 0x80000 }, { LVTT, 0x1000 }, { THERMAL, LEVEL }, { PERF, RIRR },
		{ LINT0, BIT(11) }, { LINT1, RIRR }, { LVTERR, 0x100 }, { TDCR, 4 }, { TDCR, ~0u },
		{ TMCCT, 2 },
	};
	u8 image[HALO_LAPIC_IMAGE_BYTES], hurt[HALO_LAPIC_IMAGE_BYTES];
	struct halo_lapic before;

	wr(c, TMICT, 1);
	now_ns += 10;
	halo_lapic_save(l, image);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(hurt, image, sizeof(hurt));
		set32(hurt, bad[i].offset, bad[i].value);
		before = *l;
		assert_int_equal(halo_lapic_load(l, hurt), -EINVAL);
		assert_memory_equal(&before, l, sizeof(before));
	}
	assert_int_equal(halo_lapic_load(l, image), 0);
	/* an x2APIC has its own ID and no other */
	assert_int_equal(fx_x2apic(&cpu[2]), 0);
	halo_lapic_save(&cpu[2].l, image);
	assert_int_equal(halo_lapic_load(&cpu[2].l, image), 0);
	set32(image, ID, 3);
	assert_int_equal(halo_lapic_load(&cpu[2].l, image), -EINVAL);
	/* off: masks are set */
	halo_lapic_save(l, image);
	set32(image, SVR, 0xff);
	set32(image, LINT0, 0x700);
	assert_int_equal(halo_lapic_load(l, image), 0);
	assert_int_equal(rd(c, LINT0), MASKED | 0x700);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, fx_setup)
	const struct CMUnitTest tests[] = {
		T(after_power_up),
		T(xapic_write_masks),
		T(xapic_access_sizes),
		T(unknown_registers_are_errors),
		T(x2apic_registers),
		T(x2apic_faults),
		T(apic_base_transitions),
		T(the_page_moves),
		T(priorities),
		T(task_priority),
		T(every_vector),
		T(eoi_broadcast),
		T(software_disable),
		T(errors),
		T(x2apic_self_ipi),
		T(lvt_modes),
		T(extint),
		T(lint0_edge),
		T(lint0_level),
		T(lint1_and_nmi),
		T(init_and_sipi),
		T(save_and_load),
		T(load_refuses),
	};

	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
