// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * A LAPIC whose page is a CPU's with APIC virtualization.
 *
 * The CPU's part is played here, as SDM 3C chapter 29 has it in pseudo-code.  The same
 * is done to a second LAPIC without such a CPU: the two must never differ.
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

/* In the place of each other among the VM's LAPICs. */
static struct cpu *virt = &cpu[2], *soft = &cpu[3];
static u8 rvi, svi;
static u32 eoi_exits[8];

static u64 seed = 1;

static u32 next(u32 below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % below;
}

static struct halo_lapic_reg *word(u32 array, u8 vector)
{
	return &virt->page[(array >> 4) + vector / 32];
}

static bool bit_in(u32 array, u8 vector)
{
	return word(array, vector)->v >> vector % 32 & 1;
}

static u8 highest_in(u32 array)
{
	int vector;

	for (vector = 255; vector > 0; vector--)
		if (bit_in(array, vector))
			break;
	return vector;
}

static void ppr_virtualization(void)	/* 29.1.3 */
{
	u8 tpr = virt->page[TPR >> 4].v;

	virt->page[PPR >> 4].v = tpr >> 4 >= svi >> 4 ? tpr : svi & 0xf0;
}

/* What precedes an entry, and what it does. */
static void enter(void)
{
	unsigned int status, w;

	if (virt->l.changed) {
		status = halo_lapic_status(&virt->l);
		rvi = status;
		svi = status >> 8;
		for (w = 0; w < 8; w++)
			eoi_exits[w] = virt->page[(TMR >> 4) + w].v;
	}
	assert_int_equal(rvi, highest_in(IRR));
	assert_int_equal(svi, highest_in(ISR));
	ppr_virtualization();
	virt->l.stale = true;
}

static int deliver(void)		/* 29.2.2 */
{
	u8 vector = rvi;

	if (vector >> 4 <= virt->page[PPR >> 4].v >> 4)
		return -1;
	word(ISR, vector)->v |= 1U << vector % 32;
	svi = vector;
	virt->page[PPR >> 4].v = vector & 0xf0;
	word(IRR, vector)->v &= ~(1U << vector % 32);
	rvi = highest_in(IRR);
	return vector;
}

static int eoi(void)			/* 29.1.4 */
{
	u8 vector = svi;

	word(ISR, vector)->v &= ~(1U << vector % 32);
	svi = highest_in(ISR);
	ppr_virtualization();
	if (eoi_exits[vector / 32] >> vector % 32 & 1)
		return halo_lapic_eoi_done(&virt->l, vector);
	return 0;
}

static void self_ipi(u8 vector)		/* 29.1.5, 29.5 */
{
	if (vector < 16) {
		virt->page[SELF >> 4].v = vector;
		halo_lapic_written(&virt->l, SELF);
		return;
	}
	word(IRR, vector)->v |= 1U << vector % 32;
	rvi = vector > rvi ? vector : rvi;
}

static void same(void)
{
	u8 a[HALO_LAPIC_IMAGE_BYTES], b[HALO_LAPIC_IMAGE_BYTES];

	halo_lapic_sync(&virt->l);
	halo_lapic_sync(&soft->l);
	halo_lapic_save(&virt->l, a);
	halo_lapic_save(&soft->l, b);
	/* They are two: ID and LDR differ. */
	memcpy(a + ID, b + ID, 4);
	memcpy(a + LDR, b + LDR, 4);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(halo_lapic_pending(&virt->l), halo_lapic_pending(&soft->l));
}

/* From outside. */
static void post(u8 vector, bool level)
{
	halo_lapic_post(&virt->l, HALO_DM_FIXED, vector, level);
	halo_lapic_post(&soft->l, HALO_DM_FIXED, vector, level);
	halo_lapic_sync(&virt->l);
	halo_lapic_sync(&soft->l);
}

/* Both, without the CPU's help. */
static void both(u32 offset, u64 value)
{
	assert_int_equal(wr_msr(virt, offset, value), wr_msr(soft, offset, value));
}

/* Vectors that come as a level are no self-IPIs: the CPU leaves their TMR alone. */
static u8 level_vector(void)
{
	return 0x30 + next(4) * 0x31;
}

static u8 edge_vector(void)
{
	u8 vector = next(256);

	return vector % 0x31 == 0x30 ? vector + 1 : vector;
}

static void step(void)
{
	static u8 image[HALO_LAPIC_IMAGE_BYTES];
	u8 vector = edge_vector();

	switch (next(12)) {
	case 0:
		post(level_vector(), true);
		break;
	case 1:
		post(vector | 16, false);
		break;
	case 2:
		both(ICR, 0x40000 | vector);
		break;
	case 3:
		enter();
		self_ipi(vector);
		both(ESR, 0);
		assert_int_equal(wr_msr(soft, SELF, vector), 0);
		both(ESR, 0);
		/* What was illegal has been told by one, and then the other. */
		virt->page[ESR >> 4].v = soft->page[ESR >> 4].v;
		break;
	case 4:
		vector = next(256);
		enter();
		virt->page[TPR >> 4].v = vector;
		ppr_virtualization();
		assert_int_equal(wr_msr(soft, TPR, vector), 0);
		break;
	case 5:
		both(TPR, next(256));
		break;
	case 6:
		both(EOI, 0);
		break;
	case 7:
		halo_lapic_save(&virt->l, image);
		assert_int_equal(halo_lapic_load(&virt->l, image), 0);
		break;
	case 8:
		both(LINT0, LEVEL | 0x92);
		vector = next(2);
		halo_lapic_set_line(&virt->l, 0, vector);
		halo_lapic_set_line(&soft->l, 0, vector);
		break;
	case 9:
		enter();
		assert_int_equal(deliver(), take_irq(soft));
		break;
	default:
		enter();
		assert_int_equal(eoi(), wr_msr(soft, EOI, 0));
		break;
	}
	same();
}

static void the_cpu_and_the_model_agree(void **state)
{
	int i;

	for (i = 0; i < TIMES(300000); i++) {
		if (!(i % 1000)) {
			fx_setup(NULL);
			assert_int_equal(fx_x2apic(virt), 0);
			assert_int_equal(fx_x2apic(soft), 0);
		}
		step();
	}
}

/* A halted vCPU asks the model: it knows what the CPU has done. */
static void pending_after_the_cpu(void **state)
{
	fx_x2apic(virt);
	fx_x2apic(soft);
	enter();
	self_ipi(0x51);
	self_ipi(0x61);
	assert_int_equal(halo_lapic_pending(&virt->l), 0x61);
	enter();
	assert_int_equal(deliver(), 0x61);
	assert_int_equal(halo_lapic_pending(&virt->l), -1);
	enter();
	eoi();
	assert_int_equal(halo_lapic_pending(&virt->l), 0x51);
}

/* Nothing new: nothing to be told, however often it is entered. */
static void told_only_what_changed(void **state)
{
	fx_x2apic(virt);
	enter();
	assert_false(virt->l.changed);
	virt->l.stale = true;
	(void)halo_lapic_pending(&virt->l);
	(void)rd_msr(virt, PPR);
	assert_false(virt->l.changed);
	halo_lapic_post(&virt->l, HALO_DM_FIXED, 0x40, false);
	assert_false(virt->l.changed);
	halo_lapic_sync(&virt->l);
	assert_true(virt->l.changed);
	assert_int_equal(halo_lapic_status(&virt->l), 0x40);
	wr_msr(virt, SVR, 0xff);
	assert_true(virt->l.changed);
}

/* Whatever offset an exit names. */
static void written_anywhere(void **state)
{
	u32 offset;

	fx_x2apic(virt);
	for (offset = 0; offset < 0x2000; offset++) {
		halo_lapic_written(&virt->l, offset);
		if (offset % 0x400 == 0x3ff)
			fx_setup(NULL);
	}
}

/* With no more than a TPR shadow: it comes out exactly when there is something to take. */
static void threshold_tells_when_to_look(void **state)
{
	int i, tpr, threshold, class;

	for (i = 0; i < TIMES(100000); i++) {
		if (!(i % 100))
			fx_setup(NULL);
		post(next(240) + 16, false);
		class = next(16);
		halo_lapic_set_tpr(&virt->l, class << 4 | next(16));
		if (next(2))
			take_irq(virt);
		if (next(2))
			halo_lapic_eoi(&virt->l);
		class = halo_lapic_cr8(&virt->l);
		threshold = halo_lapic_threshold(&virt->l);
		assert_true(threshold <= class);
		/* Where it would not come out, a lower TPR brings nothing. */
		for (tpr = class; tpr >= threshold; tpr--) {
			bool before = halo_lapic_pending(&virt->l) >= 0;

			halo_lapic_set_tpr(&virt->l, tpr << 4);
			assert_int_equal(halo_lapic_pending(&virt->l) >= 0, before);
		}
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, fx_setup)
	const struct CMUnitTest tests[] = {
		T(the_cpu_and_the_model_agree),
		T(pending_after_the_cpu),
		T(told_only_what_changed),
		T(written_anywhere),
		T(threshold_tells_when_to_look),
	};

	return cmocka_run_group_tests_name("lapic_virt", tests, NULL, NULL);
}
