// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * Messages: what an MSI or an ICR says, whom it reaches, and the mailbox under
 * threads that post all at once.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lapic_fixture.h"

static int msi(u64 addr, u32 data)
{
	struct halo_ipi ipi;

	if (halo_msi_decode(addr, data, &ipi))
		return -1;
	return halo_lapic_route(all, CPUS, NULL, &ipi, &turn);
}

/* Who has the vector; takes it away. */
static u32 who(u8 vector)
{
	u32 mask = 0;

	for (unsigned int i = 0; i < CPUS; i++)
		if (in_irr(&cpu[i], vector)) {
			mask |= BIT(i);
			halo_lapic_ack(&cpu[i].l, vector);
			halo_lapic_eoi(&cpu[i].l);
		}
	return mask;
}

static u32 who_has(unsigned long event)
{
	u32 mask = 0;

	for (unsigned int i = 0; i < CPUS; i++)
		if (halo_lapic_sync(&cpu[i].l) & event)
			mask |= BIT(i);
	return mask;
}

static void all_x2apic(void)
{
	for (unsigned int i = 0; i < CPUS; i++)
		assert_int_equal(fx_x2apic(&cpu[i]), 0);
}

#define EVERYBODY	((1u << CPUS) - 1)

static void msi_fields(void **state)
{
	struct halo_ipi ipi;

	assert_int_equal(halo_msi_decode(0xfee12004, 0x0000c1a5, &ipi), 0);
	assert_int_equal(ipi.dest, 0x12);
	assert_int_equal(ipi.vector, 0xa5);
	assert_int_equal(ipi.mode, HALO_DM_LOWEST);
	assert_true(ipi.logical && ipi.trig && ipi.level);
	assert_false(ipi.wide);
	assert_int_equal(ipi.shorthand, HALO_SH_NONE);
	assert_int_equal(halo_msi_decode(0xfeeff000, 0x00000431, &ipi), 0);
	assert_int_equal(ipi.dest, 0xff);
	assert_int_equal(ipi.mode, HALO_DM_NMI);
	assert_true(!ipi.logical && !ipi.trig && ipi.level);
	/* a level-triggered message that de-asserts */
	assert_int_equal(halo_msi_decode(0xfee00000, 0x8031, &ipi), 0);
	assert_true(ipi.trig && !ipi.level);
	assert_int_equal(msi(0xfee00000, 0x8031), 0);
	/* redirection hint */
	assert_int_equal(halo_msi_decode(0xfee0300c, 0x31, &ipi), 0);
	assert_int_equal(ipi.mode, HALO_DM_LOWEST);
	assert_int_equal(halo_msi_decode(0xfee03008, 0x31, &ipi), 0);
	assert_int_equal(ipi.mode, HALO_DM_FIXED);
	/* not an interrupt's address; reserved modes; SIPI does not come so */
	assert_int_equal(halo_msi_decode(0xfed00000, 0x31, &ipi), -EINVAL);
	assert_int_equal(halo_msi_decode(0xfef00000, 0x31, &ipi), -EINVAL);
	assert_int_equal(halo_msi_decode(0x1fee00000, 0x31, &ipi), -EINVAL);
	assert_int_equal(halo_msi_decode(0xfee00000, 0x331, &ipi), -EINVAL);
	assert_int_equal(halo_msi_decode(0xfee00000, 0x631, &ipi), -EINVAL);
}

static void physical(void **state)
{
	assert_int_equal(msi(0xfee03000, 0x41), 1);
	assert_int_equal(who(0x41), BIT(3));
	assert_int_equal(msi(0xfee00000 | CPUS << 12, 0x41), 0);
	assert_int_equal(msi(0xfeeff000, 0x41), CPUS);
	assert_int_equal(who(0x41), EVERYBODY);
	/* the ID is what the guest wrote */
	wr(&cpu[3], ID, 0x80000000);
	assert_int_equal(msi(0xfee03000, 0x41), 0);
	assert_int_equal(msi(0xfee80000, 0x41), 1);
	assert_int_equal(who(0x41), BIT(3));
	/* off by hardware, off by software */
	assert_int_equal(halo_lapic_set_base(&cpu[4].l, 0xfee00000, false), 0);
	wr(&cpu[5], SVR, 0xff);
	assert_int_equal(msi(0xfee04000, 0x41), 0);
	assert_int_equal(msi(0xfee05000, 0x41), 0);
	assert_int_equal(msi(0xfeeff000, 0x41), CPUS - 2);
	assert_int_equal(who(0x41), EVERYBODY & ~(BIT(4) | BIT(5)));
	assert_int_equal(msi(0xfeeff000, 0x400), CPUS - 1);
	assert_int_equal(who_has(HALO_LAPIC_NMI), EVERYBODY & ~BIT(4));
	/* an illegal vector reaches nobody, but is told */
	assert_int_equal(msi(0xfee00000, 0x05), 0);
	wr(&cpu[0], ESR, 0);
	assert_int_equal(rd(&cpu[0], ESR), 0x40);
	/* ExtINT and SMI go nowhere */
	assert_int_equal(msi(0xfee00000, 0x741), 0);
	assert_int_equal(msi(0xfee00000, 0x241), 0);
}

static void logical_flat(void **state)
{
	for (unsigned int i = 0; i < 8; i++)
		wr(&cpu[i], LDR, 1u << (24 + i));
	assert_int_equal(msi(0xfee00004 | 0x05 << 12, 0x41), 2);
	assert_int_equal(who(0x41), 0x05);
	assert_int_equal(msi(0xfee00004, 0x41), 0);
	assert_int_equal(msi(0xfee00004 | 0xff << 12, 0x41), CPUS);
	who(0x41);
	wr(&cpu[0], LDR, 0xff000000);
	assert_int_equal(msi(0xfee00004 | 0x80 << 12, 0x41), 2);
	assert_int_equal(who(0x41), 0x81);
}

static void logical_cluster(void **state)
{
	for (unsigned int i = 0; i < CPUS; i++) {
		wr(&cpu[i], DFR, 0);
		wr(&cpu[i], LDR, (i / 4) << 28 | 1u << (24 + i % 4));
	}
	assert_int_equal(msi(0xfee00004 | 0x25 << 12, 0x41), 2);
	assert_int_equal(who(0x41), BIT(8) | BIT(10));
	assert_int_equal(msi(0xfee00004 | 0x20 << 12, 0x41), 0);
	assert_int_equal(msi(0xfee00004 | 0x71 << 12, 0x41), 0);
	assert_int_equal(msi(0xfee00004 | 0xff << 12, 0x41), CPUS);
}

static void x2apic_destinations(void **state)
{
	struct cpu *c = &cpu[1];

	all_x2apic();
	assert_int_equal(wr_msr(c, ICR, (19ULL << 32) | 0x41), 0);
	assert_int_equal(who(0x41), BIT(19));
	/* 0xff is an ID here */
	wr_msr(c, ICR, (0xffULL << 32) | 0x41);
	assert_int_equal(who(0x41), 0);
	wr_msr(c, ICR, (0xffffffffULL << 32) | 0x41);
	assert_int_equal(who(0x41), EVERYBODY);
	/* logical: cluster in the high half, members in the low */
	wr_msr(c, ICR, (0x0001000aULL << 32) | 0x800 | 0x41);
	assert_int_equal(who(0x41), BIT(17) | BIT(19));
	wr_msr(c, ICR, (0x00008002ULL << 32) | 0x800 | 0x41);
	assert_int_equal(who(0x41), BIT(15) | BIT(1));
	wr_msr(c, ICR, (0x00020001ULL << 32) | 0x800 | 0x41);
	assert_int_equal(who(0x41), 0);
	/* a message with 8 bits of destination */
	assert_int_equal(msi(0xfee13000, 0x41), 1);
	assert_int_equal(who(0x41), BIT(19));
	assert_int_equal(msi(0xfee00004 | 0x81 << 12, 0x41), 2);
	assert_int_equal(who(0x41), BIT(7) | BIT(0));
	assert_int_equal(msi(0xfeeff000, 0x41), CPUS);
	assert_int_equal(who(0x41), EVERYBODY);
	assert_int_equal(rd_msr(c, ICR), (0x00020001ULL << 32) | 0x800 | 0x41);
}

static void icr(void **state)
{
	struct cpu *c = &cpu[2];

	wr(c, ICR2, 0x07000000);
	wr(c, ICR, 0x4051);
	assert_int_equal(c->ipi.dest, 7);
	assert_int_equal(c->ipi.vector, 0x51);
	assert_false(c->ipi.wide || c->ipi.logical || c->ipi.trig);
	assert_int_equal(rd(c, ICR), 0x4051);
	assert_int_equal(who(0x51), BIT(7));
	assert_int_equal(cpu[7].kicks, 1);
	/* shorthands */
	wr(c, ICR, 1 << 18 | 0x51);
	assert_int_equal(who(0x51), BIT(2));
	wr(c, ICR, 2 << 18 | 0x51);
	assert_int_equal(who(0x51), EVERYBODY);
	wr(c, ICR, 3 << 18 | 0x51);
	assert_int_equal(who(0x51), EVERYBODY & ~BIT(2));
	/* an IPI of fixed mode is an edge whatever its trigger bit says */
	wr(c, ICR, 0xc051);
	assert_int_equal(take_irq(&cpu[7]), 0x51);
	assert_int_equal(halo_lapic_eoi(&cpu[7].l), 0);
	/* delivery status never shows */
	wr(c, ICR, 0x1000 | 0x51);
	assert_int_equal(rd(c, ICR), 0x51);
	assert_int_equal(c->kicks, 0);
	/* reserved, SMI, ExtINT: not sent */
	who(0x51);
	c->ipis = 0;
	wr(c, ICR, 0x200);
	wr(c, ICR, 0x300 | 0x51);
	wr(c, ICR, 0x700 | 0x51);
	assert_int_equal(c->ipis, 0);
	/* NMI, also to itself */
	wr(c, ICR, 0x400);
	assert_int_equal(who_has(HALO_LAPIC_NMI), BIT(7));
	wr(c, ICR, 1 << 18 | 0x4400);
	assert_int_equal(who_has(HALO_LAPIC_NMI), BIT(2));
	/* switched off by software it can send still, but not receive */
	wr(c, SVR, 0xff);
	wr(c, ICR, 2 << 18 | 0x51);
	assert_int_equal(who(0x51), EVERYBODY & ~BIT(2));
}

/* As Linux starts another CPU. */
static void init_sipi(void **state)
{
	struct cpu *c = &cpu[0];

	wr(c, ICR2, 0x01000000);
	wr(c, ICR, 0xc500);
	assert_int_equal(who_has(HALO_LAPIC_INIT), BIT(1));
	wr(c, ICR2, 0x01000000);
	wr(c, ICR, 0x8500);
	assert_int_equal(who_has(HALO_LAPIC_INIT), 0);
	wr(c, ICR, 0x69a);
	assert_int_equal(who_has(HALO_LAPIC_SIPI), BIT(1));
	assert_int_equal(cpu[1].l.sipi_vector, 0x9a);
	/* an INIT whose level bit is set but edge-triggered; broadcast */
	wr(c, ICR, 3 << 18 | 0x4500);
	assert_int_equal(who_has(HALO_LAPIC_INIT), EVERYBODY & ~BIT(0));
	wr(c, ICR, 3 << 18 | 0x600);
	assert_int_equal(who_has(HALO_LAPIC_SIPI), EVERYBODY & ~BIT(0));
	assert_int_equal(cpu[5].l.sipi_vector, 0);
}

static void lowest_priority(void **state)
{
	static const u32 order[] = { BIT(0), BIT(1), BIT(3), BIT(7) };
	struct halo_ipi ipi;

	for (unsigned int i = 0; i < 8; i++)
		wr(&cpu[i], LDR, 1u << (24 + i));
	/* equals: in turn */
	for (unsigned int i = 0; i < 12; i++) {
		assert_int_equal(msi(0xfee00004 | 0x8b << 12, 0x141), 1);
		assert_int_equal(who(0x41), order[i % 4]);
	}
	wr(&cpu[0], TPR, 0x30);
	wr(&cpu[1], TPR, 0x20);
	wr(&cpu[3], TPR, 0x20);
	wr(&cpu[7], TPR, 0xf0);
	assert_int_equal(msi(0xfee00004 | 0x89 << 12, 0x141), 1);
	assert_int_equal(who(0x41), BIT(3));
	/* what is in service counts too */
	assert_int_equal(msi(0xfee03000, 0x99), 1);
	assert_int_equal(take_irq(&cpu[3]), 0x99);
	assert_int_equal(msi(0xfee00004 | 0x89 << 12, 0x141), 1);
	assert_int_equal(who(0x41), BIT(0));
	/* whom software has switched off is no candidate */
	wr(&cpu[0], SVR, 0xff);
	assert_int_equal(msi(0xfee00004 | 0x81 << 12, 0x141), 1);
	assert_int_equal(who(0x41), BIT(7));
	assert_int_equal(halo_msi_decode(0xfee00004 | 0x01 << 12, 0x141, &ipi), 0);
	assert_int_equal(halo_lapic_route(all, CPUS, NULL, &ipi, &turn), 0);
	assert_int_equal(halo_lapic_route(all, 0, NULL, &ipi, &turn), 0);
	/* any turn will do; holes in the table too */
	all[2] = NULL;
	turn = 0xffffffff;
	assert_int_equal(halo_msi_decode(0xfee00004 | 0xff << 12, 0x141, &ipi), 0);
	assert_int_equal(halo_lapic_route(all, CPUS, NULL, &ipi, &turn), 1);
	assert_int_equal(msi(0xfeeff000, 0x42), CPUS - 2);
}

static void one_kick_is_enough(void **state)
{
	struct cpu *c = &cpu[4];

	assert_int_equal(halo_lapic_post(&c->l, HALO_DM_FIXED, 0x41, false),
			 HALO_POST_TAKEN | HALO_POST_KICK);
	assert_int_equal(halo_lapic_post(&c->l, HALO_DM_FIXED, 0x41, false), HALO_POST_TAKEN);
	assert_int_equal(halo_lapic_post(&c->l, HALO_DM_FIXED, 0x42, false), HALO_POST_TAKEN);
	assert_false(idle(&c->l));
	halo_lapic_sync(&c->l);
	assert_int_equal(halo_lapic_post(&c->l, HALO_DM_FIXED, 0x41, false),
			 HALO_POST_TAKEN | HALO_POST_KICK);
}

/*
 * Threads post vectors of their own, each again only after it was taken, while
 * the owner takes them: none is lost, none comes twice.
 */
#define POSTERS	3
#define ROUNDS	TIMES(20000)

static u32 seen[256];

static void *poster(void *arg)
{
	u8 vector = 0x30 + 0x41 * (unsigned int)(uintptr_t)arg;

	for (u32 i = 0; i < ROUNDS; i++) {
		halo_lapic_post(&cpu[0].l, HALO_DM_FIXED, vector, i & 1);
		while (__atomic_load_n(&seen[vector], __ATOMIC_ACQUIRE) == i)
			sched_yield();
	}
	return NULL;
}

static void many_posters(void **state)
{
	pthread_t thread[POSTERS];
	unsigned int done = 0;

	memset(seen, 0, sizeof(seen));
	for (uintptr_t i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, poster, (void *)i), 0);
	while (done < POSTERS * ROUNDS) {
		int vector, eoi;

		if (!halo_lapic_mail(&cpu[0].l)) {
			sched_yield();
			continue;
		}
		while ((vector = take_irq(&cpu[0])) >= 0) {
			u32 n = seen[vector];

			eoi = halo_lapic_eoi(&cpu[0].l);
			assert_int_equal(eoi, n & 1 ? HALO_LAPIC_EOI | vector : 0);
			__atomic_store_n(&seen[vector], n + 1, __ATOMIC_RELEASE);
			done++;
		}
	}
	for (unsigned int i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	assert_true(idle(&cpu[0].l));
}

/* An INIT in the middle of posts must not leave a vector that can't be posted. */
static bool stop;

static void *flood(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		halo_lapic_post(&cpu[0].l, HALO_DM_FIXED, 0x77, false);
	return NULL;
}

static void reset_under_fire(void **state)
{
	pthread_t thread;
	unsigned int i;

	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
	for (i = 0; i < TIMES(20000); i++) {
		unsigned int patience = 10000000;	/* seconds: a busy machine */

		halo_lapic_init_reset(&cpu[0].l);
		wr(&cpu[0], SVR, 0x1ff);
		while (!halo_lapic_mail(&cpu[0].l) && --patience)
			sched_yield();
		if (!patience)
			break;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(i, TIMES(20000));
	/* The last reset may have come between the two steps of the last post. */
	halo_lapic_post(&cpu[0].l, HALO_DM_FIXED, 0x77, false);
	assert_int_equal(take_irq(&cpu[0]), 0x77);
}

/* With more than 255 vCPUs an ID of 0xff exists, and is not what MSIs mean. */
static void many_cpus(void **state)
{
	static struct halo_lapic *many[300];
	struct halo_ipi ipi;

	halo_lapic_init(&cpu[1].l, cpu[1].page, 255, 40, &fx_ops, &cpu[1]);
	assert_int_equal(fx_x2apic(&cpu[1]), 0);
	assert_int_equal(wr_msr(&cpu[1], SVR, 0x1ff), 0);
	many[0] = &cpu[0].l;
	many[255] = &cpu[1].l;
	assert_int_equal(halo_msi_decode(0xfeeff000, 0x41, &ipi), 0);
	assert_int_equal(halo_lapic_route(many, ARRAY_SIZE(many), NULL, &ipi, &turn), 2);
	ipi.wide = true;
	assert_int_equal(halo_lapic_route(many, ARRAY_SIZE(many), NULL, &ipi, &turn), 1);
}

/*
 * A message that is sent again and again goes where a search each time would bring it,
 * whatever is done to the LAPICs in between.
 */
static u32 random_u32(void)
{
	static u32 x = 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

#define MESSAGES	16

static void reroute(struct cpu *c)
{
	static const u32 modes[] = {
		0xfee00000, 0xfee00800, 0xfee00800, 0xfee00800, 0xfee00c00,
	};

	switch (random_u32() % 8) {
	case 0:
		wr(c, ID, (random_u32() % 24) << 24);
		break;
	case 1:
		wr(c, LDR, BIT(random_u32() % 8) << 24);
		break;
	case 2:
		wr(c, LDR, random_u32());
		break;
	case 3:
		wr(c, DFR, random_u32() % 3 ? 0xffffffff : 0x0fffffff);
		break;
	case 4:
		(void)halo_lapic_set_base(&c->l, modes[random_u32() % 5], true);
		break;
	case 5:
		halo_lapic_init_reset(&c->l);
		break;
	default:
		if (halo_lapic_x2apic(&c->l))
			(void)wr_msr(c, SVR, 0x1ff);
		else
			wr(c, SVR, random_u32() % 8 ? 0x1ff : 0xff);
	}
}

static u32 taken_by(const struct halo_ipi *ipi)
{
	return ipi->mode == HALO_DM_NMI ? who_has(HALO_LAPIC_NMI) :
	       ipi->mode == HALO_DM_INIT ? who_has(HALO_LAPIC_INIT) : who(ipi->vector);
}

static void known_destinations(void **state)
{
	static const u32 mode[] = { 0, 0, 0, 0x100, 0x400, 0x500, 0x700, 0x8000, 0xc000 };
	struct halo_lapic_known known[MESSAGES] = {};
	struct halo_ipi ipi[MESSAGES];
	unsigned int found = 0, kept = 0;

	for (unsigned int i = 0; i < MESSAGES; i++)
		assert_int_equal(halo_msi_decode(0xfee00000 |
			(i ? random_u32() % 24 : 0xff) << 12 | (random_u32() & 0xc),
			mode[i % ARRAY_SIZE(mode)] | (0x41 + i), &ipi[i]), 0);
	for (unsigned int n = 0; n < TIMES(200000); n++) {
		unsigned int m = random_u32() % MESSAGES;
		u32 before = turn, after, mask, got, expected;

		if (random_u32() % 4 == 0)
			reroute(&cpu[random_u32() % CPUS]);
		kept += known[m].gen == routed;
		got = halo_lapic_route_again(all, CPUS, routed, &ipi[m], &known[m], &turn);
		after = turn;
		mask = taken_by(&ipi[m]);
		turn = before;
		expected = halo_lapic_route(all, CPUS, NULL, &ipi[m], &turn);
		assert_int_equal(got, expected);
		assert_int_equal(mask, taken_by(&ipi[m]));
		assert_int_equal(turn, after);
		found += !!got;
	}
	/* Both happened, and often. */
	assert_true(found > TIMES(200000) / 10 && kept > TIMES(200000) / 10);
}

/* What is sent after a change goes by it, with a sender that never pauses. */
static u32 sent;

static void *sender(void *arg)
{
	struct halo_lapic_known known = {};
	struct halo_ipi ipi;

	halo_msi_decode(0xfee00004 | 0x01 << 12, 0x55, &ipi);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		u64 gen = __atomic_load_n(&routed, __ATOMIC_ACQUIRE);

		halo_lapic_route_again(all, CPUS, gen, &ipi, &known, &turn);
		__atomic_fetch_add(&sent, 1, __ATOMIC_SEQ_CST);
		sched_yield();
	}
	return NULL;
}

/* What is under way arrives, and one more is sent from its beginning on. */
static void sent_some(void)
{
	u32 from = __atomic_load_n(&sent, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&sent, __ATOMIC_SEQ_CST) - from < 2)
		sched_yield();
}

static void rerouted_under_fire(void **state)
{
	unsigned int i, wrong = 0, lost = 0;
	pthread_t thread;

	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, sender, NULL), 0);
	for (i = 0; i < TIMES(2000); i++) {
		wr(&cpu[i % CPUS], LDR, 0x02000000);
		sent_some();
		who(0x55);
		sent_some();
		wrong += who(0x55) != 0;
		wr(&cpu[(i + 1) % CPUS], LDR, 0x01000000);
		sent_some();
		lost += who(0x55) != BIT((i + 1) % CPUS);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(lost, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, fx_setup)
	const struct CMUnitTest tests[] = {
		T(msi_fields),
		T(physical),
		T(logical_flat),
		T(logical_cluster),
		T(x2apic_destinations),
		T(icr),
		T(init_sipi),
		T(lowest_priority),
		T(one_kick_is_enough),
		T(many_posters),
		T(reset_under_fire),
		T(many_cpus),
		T(known_destinations),
		T(rerouted_under_fire),
	};

	return cmocka_run_group_tests_name("lapic_route", tests, NULL, NULL);
}
