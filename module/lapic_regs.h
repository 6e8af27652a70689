/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the LAPIC model share: lapic.c (registers, delivery, timer)
 * and lapic_state.c (reset, APIC_BASE, save and load).  Nobody else includes it.
 */
#ifndef HALO_LAPIC_REGS_H
#define HALO_LAPIC_REGS_H

#include "lapic.h"

/* Registers: offset in the xAPIC page >> 4, and MSR - 0x800. */
#define REG_ID		0x02
#define REG_VERSION	0x03
#define REG_TPR		0x08
#define REG_APR		0x09
#define REG_PPR		0x0a
#define REG_EOI		0x0b
#define REG_LDR		0x0d
#define REG_DFR		0x0e
#define REG_SVR		0x0f
#define REG_ISR		0x10
#define REG_TMR		0x18
#define REG_IRR		0x20
#define REG_ESR		0x28
#define REG_CMCI	0x2f
#define REG_ICR		0x30
#define REG_ICR_HIGH	0x31
#define REG_TIMER	0x32
#define REG_THERMAL	0x33
#define REG_PERF	0x34
#define REG_LINT0	0x35
#define REG_LINT1	0x36
#define REG_ERROR	0x37
#define REG_TMICT	0x38
#define REG_TMCCT	0x39
#define REG_TDCR	0x3e
#define REG_SELF_IPI	0x3f
#define REG_COUNT	0x40

#define MSR_X2APIC	0x800

#define SVR_ENABLE	BIT(8)
#define SVR_NO_EOI	BIT(12)		/* suppress EOI broadcasts */
#define LVT_STATUS	BIT(12)		/* delivery status: read-only */
#define LVT_REMOTE_IRR	BIT(14)		/* read-only */
#define LVT_LEVEL	BIT(15)
#define LVT_MASKED	BIT(16)
#define LVT_DEADLINE	BIT(18)
#define ICR_STATUS	BIT(12)

#define ESR_SEND_ILLEGAL	BIT(5)
#define ESR_RECEIVE_ILLEGAL	BIT(6)
#define ESR_REGISTER		BIT(7)

#define TIMER_ONE_SHOT	0
#define TIMER_PERIODIC	1
#define TIMER_DEADLINE	2

/* First vector that a message may carry (11.5.2). */
#define FIRST_VECTOR	16

static inline enum halo_lapic_lvt lvt_of(unsigned int reg)
{
	return reg == REG_CMCI ? HALO_LVT_CMCI : HALO_LVT_TIMER + reg - REG_TIMER;
}

static inline bool reg_is_lvt(unsigned int reg)
{
	return (reg >= REG_TIMER && reg <= REG_ERROR) || reg == REG_CMCI;
}

static inline unsigned int timer_mode(const struct halo_lapic *l)
{
	return l->lvt[HALO_LVT_TIMER] >> 17 & 3;
}

static inline bool timer_counts(const struct halo_lapic *l)
{
	return timer_mode(l) <= TIMER_PERIODIC;
}

/* log2 of the divisor: 0 means 2, 0xa 128, 0xb 1 (11.5.4). */
static inline u8 divide_shift(u32 tdcr)
{
	return ((tdcr & 3) + (tdcr >> 1 & 4) + 1) & 7;
}

u32 halo_lapic_write_mask(const struct halo_lapic *l, unsigned int reg);
u32 halo_lapic_read_reg(struct halo_lapic *l, unsigned int reg);
void halo_lapic_update_ppr(struct halo_lapic *l);
void halo_lapic_publish_route(struct halo_lapic *l);
void halo_lapic_timer_run(struct halo_lapic *l);
void halo_lapic_timer_update(struct halo_lapic *l);
void halo_lapic_fold_pir(struct halo_lapic *l);

#endif /* HALO_LAPIC_REGS_H */
