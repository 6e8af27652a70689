/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Surroundings of a LAPIC for tests: a clock that is set by hand, a timer that
 * only remembers, and a VM of a few LAPICs that messages are routed among.
 */
#ifndef LAPIC_FIXTURE_H
#define LAPIC_FIXTURE_H

#include "lapic.h"

/* How often a long loop goes round; under the debug kernel, less. */
#ifdef HALO_HOST_TEST
#define TIMES(n)	(n)
#else
#define TIMES(n)	((n) / 50)
#endif

#define CPUS	20

/* Offsets in the xAPIC page. */
#define ID	0x20
#define VERSION	0x30
#define TPR	0x80
#define APR	0x90
#define PPR	0xa0
#define EOI	0xb0
#define LDR	0xd0
#define DFR	0xe0
#define SVR	0xf0
#define ISR	0x100
#define TMR	0x180
#define IRR	0x200
#define ESR	0x280
#define CMCI	0x2f0
#define ICR	0x300
#define ICR2	0x310
#define LVTT	0x320
#define THERMAL	0x330
#define PERF	0x340
#define LINT0	0x350
#define LINT1	0x360
#define LVTERR	0x370
#define TMICT	0x380
#define TMCCT	0x390
#define TDCR	0x3e0
#define SELF	0x3f0

#define MSR(offset)	(0x800 + ((offset) >> 4))

#define MASKED		0x10000u
#define LEVEL		0x8000u
#define RIRR		0x4000u
#define PERIODIC	0x20000u
#define DEADLINE	0x40000u

struct cpu {
	struct halo_lapic l;
	struct halo_lapic_reg page[HALO_LAPIC_REGS];
	unsigned int index;
	bool armed;
	enum halo_lapic_timer unit;
	u64 when;
	unsigned int arms;
	unsigned int kicks;
	bool in_guest;
	unsigned int doorbells;
	unsigned int ipis;
	struct halo_ipi ipi;
};

static struct cpu cpu[CPUS];
static struct halo_lapic *all[CPUS];
static u32 turn;
static u64 now_ns, now_tsc;

static inline u64 fx_now(void *ctx)
{
	return now_ns;
}

static inline u64 fx_tsc(void *ctx)
{
	return now_tsc;
}

static inline void fx_arm(void *ctx, enum halo_lapic_timer unit, u64 when)
{
	struct cpu *c = ctx;

	c->armed = true;
	c->unit = unit;
	c->when = when;
	c->arms++;
}

static inline void fx_cancel(void *ctx)
{
	((struct cpu *)ctx)->armed = false;
}

static inline void fx_send(void *ctx, const struct halo_ipi *ipi)
{
	struct cpu *c = ctx;

	c->ipi = *ipi;
	c->ipis++;
	halo_lapic_route(all, CPUS, &c->l, ipi, &turn);
}

static inline void fx_kick(void *ctx)
{
	((struct cpu *)ctx)->kicks++;
}

static inline bool fx_doorbell(void *ctx)
{
	struct cpu *c = ctx;

	c->doorbells += c->in_guest;
	return c->in_guest;
}

/* Generation of the routing. */
static u64 routed;

static inline void fx_rerouted(void *ctx)
{
	__atomic_fetch_add(&routed, 1, __ATOMIC_SEQ_CST);
}

static const struct halo_lapic_ops fx_ops = {
	.now_ns = fx_now,
	.tsc_now = fx_tsc,
	.timer_arm = fx_arm,
	.timer_cancel = fx_cancel,
	.send_ipi = fx_send,
	.kick = fx_kick,
	.rerouted = fx_rerouted,
	.doorbell = fx_doorbell,
};

static inline void wr(struct cpu *c, u32 offset, u32 value)
{
	(void)halo_lapic_mmio_write(&c->l, offset, 4, value);
}

static inline u32 rd(struct cpu *c, u32 offset)
{
	return halo_lapic_mmio_read(&c->l, offset, 4);
}

/* All LAPICs as after power-up, then switched on by software. */
static inline int fx_setup(void **state)
{
	unsigned int i;

	memset(cpu, 0, sizeof(cpu));
	now_ns = 1000000000000ULL;
	now_tsc = 1ULL << 50;
	turn = 0;
	routed = 1;
	for (i = 0; i < CPUS; i++) {
		cpu[i].index = i;
		halo_lapic_init(&cpu[i].l, cpu[i].page, i, 40, &fx_ops, &cpu[i]);
		all[i] = &cpu[i].l;
		wr(&cpu[i], SVR, 0x1ff);
	}
	return 0;
}

static inline int fx_x2apic(struct cpu *c)
{
	return halo_lapic_set_base(&c->l, c->l.base | HALO_APIC_BASE_X2APIC, false);
}

static inline int wr_msr(struct cpu *c, u32 offset, u64 value)
{
	return halo_lapic_msr_write(&c->l, MSR(offset), value);
}

static inline u64 rd_msr(struct cpu *c, u32 offset)
{
	u64 value = ~0ULL;

	(void)halo_lapic_msr_read(&c->l, MSR(offset), &value);
	return value;
}

/* Takes what is pending, as an entry would: the vector, or -1. */
static inline int take_irq(struct cpu *c)
{
	int vector;

	halo_lapic_sync(&c->l);
	vector = halo_lapic_pending(&c->l);
	if (vector >= 0)
		halo_lapic_ack(&c->l, vector);
	return vector;
}

/* Neither mail nor requests. */
static inline bool idle(const struct halo_lapic *l)
{
	return !l->irr_words && !halo_lapic_mail(l);
}

static inline bool in_irr(struct cpu *c, u8 vector)
{
	halo_lapic_sync(&c->l);
	return c->page[(IRR >> 4) + (vector >> 5)].v >> (vector & 31) & 1;
}

#endif /* LAPIC_FIXTURE_H */
