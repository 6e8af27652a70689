// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * A LAPIC whose page is a CPU's that shares it with others': AVIC.  Who posts writes to IRR
 * himself, whether or not the owner is in the guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lapic_fixture.h"

#define ROUTE_BITS	(HALO_ROUTE_SOFT | HALO_ROUTE_DIRECT | HALO_ROUTE_IPIS | HALO_ROUTE_VIRT)
#define WHOLE		(HALO_ROUTE_VIRT | HALO_ROUTE_DIRECT | HALO_ROUTE_IPIS)

static struct cpu *c = &cpu[3];

static int setup(void **state)
{
	unsigned int i;

	fx_setup(state);
	for (i = 0; i < CPUS; i++) {
		cpu[i].l.virt = true;
		halo_lapic_reset(&cpu[i].l);
		wr(&cpu[i], SVR, 0x1ff);
	}
	return 0;
}

static u64 route(void)
{
	return c->l.route & ROUTE_BITS;
}

static bool requested(struct cpu *of, u8 vector)
{
	return of->page[(IRR >> 4) + vector / 32].v >> vector % 32 & 1;
}

static unsigned int post(u8 vector, bool trig)
{
	return halo_lapic_post(&c->l, HALO_DM_FIXED, vector, trig);
}

static void who_has_the_page(void **state)
{
	assert_true(route() == WHOLE);
	wr(c, SVR, 0xff);
	assert_true(route() == HALO_ROUTE_VIRT);
	assert_int_equal(post(0x40, false), 0);
	wr(c, SVR, 0x1ff);
	/* Another ID: messages find it, a CPU's table does not. */
	wr(c, ID, 0x77000000);
	assert_true(route() == (WHOLE & ~HALO_ROUTE_IPIS));
	wr(c, ID, 0x03000000);
	assert_true(route() == WHOLE);
	assert_int_equal(halo_lapic_set_base(&c->l, 0xfee00800, true), 0);
	assert_true(route() == WHOLE);
	assert_int_equal(halo_lapic_set_base(&c->l, 0xfed00800, true), 0);
	assert_true(route() == HALO_ROUTE_SOFT);
	assert_int_equal(halo_lapic_set_base(&c->l, 0xfee00800, true), 0);
	assert_int_equal(fx_x2apic(c), 0);
	assert_true(route() == HALO_ROUTE_SOFT);
	assert_int_equal(halo_lapic_set_base(&c->l, 0xfee00000, true), 0);
	assert_true(route() == 0);
	/* A machine without. */
	c->l.virt = false;
	halo_lapic_reset(&c->l);
	wr(c, SVR, 0x1ff);
	assert_true(route() == HALO_ROUTE_SOFT);
}

static void to_one_in_the_guest(void **state)
{
	c->in_guest = true;
	assert_int_equal(post(0x51, false), HALO_POST_TAKEN);
	assert_true(requested(c, 0x51));
	assert_int_equal(c->doorbells, 1);
	assert_false(halo_lapic_mail(&c->l));
	/* It is there already, and who put it there has rung. */
	assert_int_equal(post(0x51, false), HALO_POST_TAKEN);
	assert_int_equal(c->doorbells, 1);
	/* No mask tells of it. */
	c->l.irr_words = 0;
	assert_int_equal(halo_lapic_pending(&c->l), 0x51);
	assert_int_equal(post(0x91, false), HALO_POST_TAKEN);
	assert_int_equal(halo_lapic_pending(&c->l), 0x91);
}

static void to_one_outside(void **state)
{
	assert_int_equal(post(0x51, false), HALO_POST_TAKEN | HALO_POST_KICK);
	assert_true(requested(c, 0x51));
	assert_true(halo_lapic_mail(&c->l));
	assert_int_equal(c->l.pir[1], 0);
	/* One kick will do. */
	assert_int_equal(post(0x52, false), HALO_POST_TAKEN);
	assert_int_equal(halo_lapic_sync(&c->l), 0);
	assert_false(halo_lapic_mail(&c->l));
	assert_int_equal(halo_lapic_pending(&c->l), 0x52);
}

static void the_owner_keeps_tmr(void **state)
{
	c->in_guest = true;
	assert_int_equal(post(0x61, true), HALO_POST_TAKEN | HALO_POST_KICK);
	assert_false(requested(c, 0x61));
	halo_lapic_sync(&c->l);
	assert_true(requested(c, 0x61));
	assert_true(rd(c, TMR + 0x30) == 2);
	/* The next one, edge-triggered, has to take that back. */
	assert_int_equal(post(0x61, false), HALO_POST_TAKEN | HALO_POST_KICK);
	assert_int_equal(c->doorbells, 0);
	halo_lapic_sync(&c->l);
	assert_true(rd(c, TMR + 0x30) == 0);
	assert_int_equal(post(0x61, false), HALO_POST_TAKEN);
	/* It is requested still. */
	assert_int_equal(c->doorbells, 0);
}

static void an_illegal_vector_is_mail(void **state)
{
	c->in_guest = true;
	assert_int_equal(post(15, false), HALO_POST_KICK);
	assert_int_equal(rd(c, IRR), 0);
	assert_int_equal(post(16, false), HALO_POST_TAKEN);
	assert_int_equal(rd(c, IRR), 0x10000);
}

static void masks_stay_unknown(void **state)
{
	halo_lapic_init_reset(&c->l);
	wr(c, SVR, 0x1ff);
	assert_int_equal(halo_lapic_pending(&c->l), -1);
	/* As another CPU's IPI does it. */
	c->page[(IRR >> 4) + 2].v = 1;
	assert_int_equal(halo_lapic_pending(&c->l), 0x40);
	/* Also after it has left the mode: who was late may still write. */
	assert_int_equal(fx_x2apic(c), 0);
	c->page[(IRR >> 4) + 3].v = 1;
	assert_int_equal(halo_lapic_pending(&c->l), 0x60);
}

static void lowest_priority_finds_it(void **state)
{
	struct halo_ipi ipi = {
		.dest = 0xff, .vector = 0x70, .mode = HALO_DM_LOWEST, .level = true,
	};
	unsigned int i;

	for (i = 0; i < CPUS; i++)
		wr(&cpu[i], TPR, i == 3 ? 0x20 : 0x80);
	assert_int_equal(halo_lapic_route(all, CPUS, NULL, &ipi, &turn), 1);
	assert_true(requested(c, 0x70));
	assert_int_equal(c->kicks, 1);
}

/* CPU 0 sends to all, and its CPU has written to IRR of those whose page it knows. */
static void an_ipi_sent_by_halves(void **state)
{
	unsigned int i;

	wr(&cpu[4], ID, 0x40000000);
	assert_int_equal(fx_x2apic(&cpu[5]), 0);
	wr(&cpu[6], SVR, 0xff);
	for (i = 8; i < CPUS; i++)
		cpu[i].in_guest = true;
	cpu[0].page[ICR >> 4].v = 0xc0000 | 0x1000 | 0x45;
	halo_lapic_sent(&cpu[0].l);
	assert_int_equal(cpu[0].ipis, 1);
	assert_int_equal(rd(&cpu[0], ICR), 0xc0045);
	for (i = 1; i < CPUS; i++) {
		/* Those that no CPU could reach get it now; those that have it are woken. */
		assert_int_equal(requested(&cpu[i], 0x45), i == 4);
		assert_int_equal(cpu[i].l.pir[1], i == 5 ? BIT(5) : 0);
		assert_int_equal(cpu[i].kicks, i < 8 && i != 6);
		assert_int_equal(cpu[i].doorbells, i >= 8);
	}
	assert_int_equal(cpu[0].kicks, 0);
	halo_lapic_sync(&cpu[5].l);
	assert_int_equal(halo_lapic_pending(&cpu[5].l), 0x45);
}

/* Mode 3 is in no message that a guest can send. */
static void guests_can_not_say_sent(void **state)
{
	struct halo_ipi ipi;

	wr(&cpu[0], ICR, 0xc0000 | 3 << 8 | 0x45);
	assert_int_equal(cpu[0].ipis, 0);
	assert_int_not_equal(halo_msi_decode(0xfee03000, 3 << 8 | 0x45, &ipi), 0);
}

#define T(name)	cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_has_the_page),
		T(to_one_in_the_guest),
		T(to_one_outside),
		T(the_owner_keeps_tmr),
		T(an_illegal_vector_is_mail),
		T(masks_stay_unknown),
		T(lowest_priority_finds_it),
		T(an_ipi_sent_by_halves),
		T(guests_can_not_say_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
