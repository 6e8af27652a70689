// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC, as a model: SDM volume 3A chapter "Advanced Programmable
 * Interrupt Controller" (section numbers below are of that chapter in the
 * December 2023 edition, 11.x), xAPIC and x2APIC.
 *
 * It turns register accesses, messages, pin levels and time into one answer:
 * which vector may be injected now.  It knows no vCPU, no VM and no timer: what
 * it needs of them stands in struct halo_lapic_ops.
 *
 * No lock.  The registers belong to the owner (see lapic.h); everybody else
 * leaves mail.  A vector that is posted costs two atomic operations, and the
 * owner finds all mail by one load.  The usual alternative, atomic bits in IRR
 * itself, makes each EOI and each injection atomic as well.
 *
 * IRR and ISR carry a mask of their non-zero words, so the highest vector is
 * two "find last set" away; PPR is kept up to date on the three events that can
 * change it (TPR, injection, EOI), so that the test for an interrupt is one
 * comparison.
 *
 * The counter of the timer does not tick: a running timer is the moment at
 * which it expires, from which the current count is computed when it is read.
 * A masked timer needs no host timer at all.
 */
#include "lapic.h"

/* Registers: offset in the xAPIC page >> 4, and MSR - 0x800. */
#define REG_ID		0x02
#define REG_VERSION	0x03
#define REG_TPR		HALO_LAPIC_TPR
#define REG_APR		0x09
#define REG_PPR		HALO_LAPIC_PPR
#define REG_EOI		0x0b
#define REG_LDR		0x0d
#define REG_DFR		0x0e
#define REG_SVR		0x0f
#define REG_ISR		0x10
#define REG_TMR		HALO_LAPIC_TMR
#define REG_IRR		HALO_LAPIC_IRR
#define REG_ESR		0x28
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

#define TIMER_PERIODIC	1
#define TIMER_DEADLINE	2

/* Version 0x14, six LVT entries, EOI broadcasts can be suppressed (11.4.8). */
#define VERSION_VALUE	(0x14 | 5 << 16 | BIT(24))

/* First vector that a message may carry (11.5.2). */
#define FIRST_VECTOR	16

static_assert(sizeof(struct halo_lapic_reg) == 16 && REG_COUNT == HALO_LAPIC_REGS);

/* Who may touch a register; xAPIC, x2APIC. */
#define XR	BIT(0)
#define XW	BIT(1)
#define X2R	BIT(2)
#define X2W	BIT(3)
#define ALL	(XR | XW | X2R | X2W)

/*
 * @mask: what a write may carry.  Other bits are dropped in xAPIC mode and #GP in
 * x2APIC mode (11.12.1.2), but for @status, which is read-only and dropped in both.
 * @image: what may stand in a saved state; 0 if it is computed or not kept.
 */
static const struct {
	u8 access;
	u32 mask;
	u32 status;
	u32 image;
} regs[REG_COUNT] = {
	[REG_ID] = { XR | XW | X2R, 0xff000000, 0, 0xff000000 },
	[REG_VERSION] = { XR | X2R },
	[REG_TPR] = { ALL, 0xff, 0, 0xff },
	[REG_APR] = { XR },
	[REG_PPR] = { XR | X2R },
	[REG_EOI] = { XR | XW | X2W },
	[REG_LDR] = { XR | XW | X2R, 0xff000000, 0, 0xff000000 },
	[REG_DFR] = { XR | XW, 0xf0000000, 0, 0xffffffff },
	[REG_SVR] = { ALL, 0x13ff, 0, 0x13ff },
	[REG_ISR ... REG_IRR + 7] = { XR | X2R, 0, 0, 0xffffffff },
	[REG_ESR] = { ALL, 0, 0, 0xff },
	[REG_ICR] = { ALL, 0xccfff, ICR_STATUS, 0xccfff },
	[REG_ICR_HIGH] = { XR | XW, 0xff000000, 0, 0xff000000 },
	[REG_TIMER] = { ALL, 0x700ff, LVT_STATUS, 0x700ff },
	[REG_THERMAL ... REG_PERF] = { ALL, 0x107ff, LVT_STATUS, 0x107ff },
	[REG_LINT0] = { ALL, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR, 0x1a7ff | LVT_REMOTE_IRR },
	[REG_LINT1] = { ALL, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR, 0x1a7ff },
	[REG_ERROR] = { ALL, 0x100ff, LVT_STATUS, 0x100ff },
	[REG_TMICT] = { ALL, 0xffffffff, 0, 0xffffffff },
	[REG_TMCCT] = { XR | X2R },
	[REG_TDCR] = { ALL, 0xb, 0, 0xb },
	[REG_SELF_IPI] = { X2W, 0xff },
};

static inline unsigned int timer_mode(const struct halo_lapic *l)
{
	return l->reg[REG_TIMER].v >> 17 & 3;
}

static inline bool timer_counts(const struct halo_lapic *l)
{
	return timer_mode(l) <= TIMER_PERIODIC;
}

/* log2 of the divisor: TDCR of 0 means 2, 0xa 128, 0xb 1 (11.5.4). */
static inline unsigned int timer_shift(const struct halo_lapic *l)
{
	return ((l->reg[REG_TDCR].v & 3) + (l->reg[REG_TDCR].v >> 1 & 4) + 1) & 7;
}

/* Of IRR or ISR, whose non-zero words are known, and which is not empty. */
static __always_inline unsigned int highest(const struct halo_lapic_reg *words, u8 nonzero)
{
	unsigned int w = fls64(nonzero) - 1;

	return w * 32 + fls64(words[w].v) - 1;
}

static u8 nonzero_words(const struct halo_lapic_reg *words)
{
	unsigned int w;
	u8 nonzero = 0;

	for (w = 0; w < 8; w++)
		if (words[w].v)
			nonzero |= BIT(w);
	return nonzero;
}

/* Make the masks of words right. */
static __always_inline void learn(struct halo_lapic *l)
{
	if (likely(!l->stale))
		return;
	l->stale = l->shared;
	l->irr_words = nonzero_words(&l->reg[REG_IRR]);
	l->isr_words = nonzero_words(&l->reg[REG_ISR]);
}

/* PPR from TPR and ISR (11.8.3.1). */
static void update_ppr(struct halo_lapic *l)
{
	u32 tpr = l->reg[REG_TPR].v;
	u8 isrv;

	learn(l);
	l->changed = true;
	isrv = l->isr_words ? highest(&l->reg[REG_ISR], l->isr_words) & 0xf0 : 0;
	WRITE_ONCE(l->reg[REG_PPR].v, (tpr & 0xf0) >= isrv ? tpr : isrv);
}

static u32 apic_number(const struct halo_lapic *l)
{
	return halo_lapic_x2apic(l) ? l->reg[REG_ID].v : l->reg[REG_ID].v >> 24;
}

/* Tell the other vCPUs how this one is addressed. */
static void publish_route(struct halo_lapic *l)
{
	u64 route = apic_number(l) | (u64)(l->reg[REG_LDR].v >> 24) << HALO_ROUTE_LOGICAL_SHIFT;

	if (l->reg[REG_DFR].v >> 28 != 0xf)
		route |= HALO_ROUTE_CLUSTER;
	if (halo_lapic_x2apic(l))
		route |= HALO_ROUTE_X2APIC;
	if (halo_lapic_enabled(l))
		route |= HALO_ROUTE_ENABLED;
	if (l->reg[REG_SVR].v & SVR_ENABLE)
		route |= HALO_ROUTE_SOFT;
	if (unlikely(l->virt))
		route = halo_lapic_virt_route(l, route);
	l->changed = true;
	if (l->route == route)
		return;
	WRITE_ONCE(l->route, route);
	l->ops->rerouted(l->ctx);
}

static unsigned long lvt_deliver(struct halo_lapic *l, unsigned int reg);

static void report_error(struct halo_lapic *l, u32 error)
{
	bool first = !l->errors;

	l->errors |= error;
	/* Re-armed by the write that latches (11.5.3): no recursion from here. */
	if (first)
		lvt_deliver(l, REG_ERROR);
}

static __always_inline void request_word(struct halo_lapic *l, unsigned int w, u32 bits, u32 level)
{
	if (!bits)
		return;
	l->irr_words |= BIT(w);
	l->changed = true;
	l->reg[REG_TMR + w].v = (l->reg[REG_TMR + w].v & ~bits) | (level & bits);
	/* With ROUTE_DIRECT others set bits there, too, and a CPU looks at both. */
	halo_or32(&l->reg[REG_IRR + w].v, bits);
}

static __always_inline void request(struct halo_lapic *l, u8 vector, bool level)
{
	u32 bit = 1U << (vector & 31);

	if (unlikely(vector < FIRST_VECTOR))
		report_error(l, ESR_RECEIVE_ILLEGAL);
	else
		request_word(l, vector >> 5, bit, level ? bit : 0);
}

/*
 * Something local happened: as the LVT entry says (11.5.1).  Returns the mail
 * (NMI, INIT) that the vCPU itself must handle; timer and errors have none.
 */
static unsigned long lvt_deliver(struct halo_lapic *l, unsigned int reg)
{
	u32 lvt = l->reg[reg].v;
	bool level = false;

	if (lvt & LVT_MASKED)
		return 0;

	switch (lvt >> 8 & 7) {
	case HALO_DM_FIXED:
		/* LINT1 is always edge-sensitive (11.5.1). */
		if (reg == REG_LINT0 && (lvt & LVT_LEVEL)) {
			if (lvt & LVT_REMOTE_IRR)
				return 0;
			if ((lvt & 0xff) >= FIRST_VECTOR)
				l->reg[reg].v |= LVT_REMOTE_IRR;
			level = true;
		}
		request(l, lvt & 0xff, level);
		return 0;
	case HALO_DM_NMI:
		return HALO_LAPIC_NMI;
	case HALO_DM_INIT:
		return HALO_LAPIC_INIT;
	default:
		/* SMI: no SMM here.  ExtINT: a level, see extint_pending(). */
		return 0;
	}
}

/*
 * Timer (11.5.4)
 */

/* How long it counts, ns. */
static u64 timer_span(const struct halo_lapic *l)
{
	u64 ns = (u64)l->reg[REG_TMICT].v << timer_shift(l);

	return timer_mode(l) == TIMER_PERIODIC ? max(ns, HALO_LAPIC_MIN_PERIOD_NS) : ns;
}

/* Make the host's timer fit the model's: none is needed while the LVT entry is masked. */
static void timer_update(struct halo_lapic *l)
{
	if (l->running && !(l->reg[REG_TIMER].v & LVT_MASKED)) {
		l->armed = true;
		l->ops->timer_arm(l->ctx, timer_mode(l) == TIMER_DEADLINE ?
				  HALO_LAPIC_TIMER_TSC : HALO_LAPIC_TIMER_NS,
				  l->deadline);
	} else if (l->armed) {
		l->armed = false;
		l->ops->timer_cancel(l->ctx);
	}
}

/* Bring the timer to the present: deliver, and go on to the next period if there is one. */
static void timer_run(struct halo_lapic *l)
{
	u64 now, period;

	if (!l->running)
		return;
	if (timer_mode(l) == TIMER_DEADLINE)
		now = l->ops->tsc_now(l->ctx);
	else
		now = l->ops->now_ns(l->ctx);
	if (now < l->deadline)
		return;

	if (timer_mode(l) == TIMER_PERIODIC) {
		/* From the old expiry: no drift; what was missed is one event. */
		period = timer_span(l);
		l->deadline += ((now - l->deadline) / period + 1) * period;
	} else {
		l->running = false;
	}
	lvt_deliver(l, REG_TIMER);
	timer_update(l);
}

/* Mail came.  That of a timer that was replaced meanwhile does no harm. */
static void timer_fired(struct halo_lapic *l)
{
	l->armed = false;
	timer_run(l);
	if (l->running && !l->armed)
		timer_update(l);
}

static u32 timer_count(struct halo_lapic *l)
{
	u64 left, count = l->reg[REG_TMICT].v;

	if (!timer_counts(l))
		return 0;
	timer_run(l);
	if (!l->running)
		return 0;
	left = l->deadline - l->ops->now_ns(l->ctx);
	if ((s64)left <= 0)
		return 1;
	left = ((left - 1) >> timer_shift(l)) + 1;
	/* A clamped period is longer than the guest knows. */
	return min(left, count);
}

static void set_tmict(struct halo_lapic *l, u32 value)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	timer_run(l);
	l->reg[REG_TMICT].v = value;
	l->running = value && timer_counts(l);
	l->deadline = l->ops->now_ns(l->ctx) + timer_span(l);
	timer_update(l);
}

/* Count on from @count, at the rate that is set. */
static void timer_resume(struct halo_lapic *l, u32 count)
{
	l->deadline = l->ops->now_ns(l->ctx) + ((u64)count << timer_shift(l));
	timer_update(l);
}

static void set_tdcr(struct halo_lapic *l, u32 value)
{
	u32 count = timer_count(l);

	l->reg[REG_TDCR].v = value;
	if (l->running && timer_counts(l))
		timer_resume(l, count);
}

static void set_timer_lvt(struct halo_lapic *l, u32 value)
{
	bool counted = timer_counts(l);
	u32 changed;

	timer_run(l);
	changed = l->reg[REG_TIMER].v ^ value;
	l->reg[REG_TIMER].v = value;
	/* To or from TSC-deadline mode disarms (11.5.4.1). */
	if ((changed >> 17 & 3) && !(counted && timer_counts(l))) {
		l->running = false;
		l->reg[REG_TMICT].v = 0;
	}
	timer_update(l);
}

/**
 * halo_lapic_tsc_deadline() - read MSR IA32_TSC_DEADLINE
 * @l: the LAPIC
 *
 * Return: the deadline, guest TSC; 0 if none is set or it has passed.
 */
u64 halo_lapic_tsc_deadline(const struct halo_lapic *l)
{
	if (!l->running || timer_mode(l) != TIMER_DEADLINE ||
	    l->ops->tsc_now(l->ctx) >= l->deadline)
		return 0;
	return l->deadline;
}

/**
 * halo_lapic_set_tsc_deadline() - write MSR IA32_TSC_DEADLINE
 * @l: the LAPIC
 * @value: guest TSC at which to fire; 0 disarms; a past one fires at once
 *
 * Ignored unless the timer is in TSC-deadline mode (11.5.4.1), so a restore
 * loads the LAPIC first.
 */
void halo_lapic_set_tsc_deadline(struct halo_lapic *l, u64 value)
{
	u64 tsc;

	if (unlikely(timer_mode(l) != TIMER_DEADLINE))
		return;
	if (value || l->running) {
		tsc = l->ops->tsc_now(l->ctx);
		/* The old one is due, its mail not yet read: not to be lost. */
		if ((l->running && tsc >= l->deadline) || (value && tsc >= value))
			lvt_deliver(l, REG_TIMER);
		l->running = value && tsc < value;
	}
	l->deadline = value;
	timer_update(l);
}

/*
 * Registers
 */

/* Does it have the register, for this kind of access? */
static bool reg_known(unsigned int reg, u8 access)
{
	return reg < REG_COUNT && regs[array_index_nospec(reg, REG_COUNT)].access & access;
}

static u32 read_reg(struct halo_lapic *l, unsigned int reg)
{
	return reg == REG_TMCCT ? timer_count(l) : l->reg[reg].v;
}

/* The destination in an ICR has a register of its own, or is the other half. */
static u32 *icr_dest(struct halo_lapic *l)
{
	return halo_lapic_x2apic(l) ? &l->reg[REG_ICR].high : &l->reg[REG_ICR_HIGH].v;
}

/* LINT0 is level-triggered, fixed, and its pin is up: (again) a request. */
static void lint0_level(struct halo_lapic *l)
{
	u32 lvt = l->reg[REG_LINT0].v;

	if ((lvt & LVT_LEVEL) && (lvt >> 8 & 7) == HALO_DM_FIXED &&
	    (READ_ONCE(l->lines) & BIT(0)))
		lvt_deliver(l, REG_LINT0);
}

static void set_lvt(struct halo_lapic *l, unsigned int reg, u32 value)
{
	u32 old = l->reg[reg].v;

	if (!(l->reg[REG_SVR].v & SVR_ENABLE))
		value |= LVT_MASKED;
	if (reg == REG_TIMER) {
		set_timer_lvt(l, value);
		return;
	}
	/* Remote IRR lives as long as the level interrupt that it is about. */
	if (reg == REG_LINT0 && !((old ^ value) & (LVT_LEVEL | 0x7ff)))
		value |= old & LVT_REMOTE_IRR;
	l->reg[reg].v = value;
	if (reg == REG_LINT0)
		lint0_level(l);
}

static void mask_lvts(struct halo_lapic *l)
{
	unsigned int reg;

	for (reg = REG_TIMER; reg <= REG_ERROR; reg++)
		l->reg[reg].v |= LVT_MASKED;
}

static void set_svr(struct halo_lapic *l, u32 value)
{
	l->reg[REG_SVR].v = value;
	if (!(value & SVR_ENABLE)) {
		mask_lvts(l);
		timer_update(l);
	}
	publish_route(l);
}

static void send_icr(struct halo_lapic *l, u64 icr)
{
	bool wide = halo_lapic_x2apic(l);
	struct halo_ipi ipi = {
		.dest = wide ? icr >> 32 : icr >> 56,
		.vector = icr,
		.mode = icr >> 8 & 7,
		.shorthand = icr >> 18 & 3,
		.logical = icr >> 11 & 1,
		.wide = wide,
		.level = true,
	};

	switch (ipi.mode) {
	case HALO_DM_FIXED:
	case HALO_DM_LOWEST:
		if (unlikely(ipi.vector < FIRST_VECTOR)) {
			report_error(l, ESR_SEND_ILLEGAL);
			return;
		}
		break;
	case HALO_DM_INIT:
		/* The de-assert message of old APICs' arbitration (11.6.1). */
		if ((icr & BIT(15)) && !(icr & BIT(14)))
			return;
		break;
	case HALO_DM_NMI:
	case HALO_DM_SIPI:
		break;
	default:
		return;
	}
	if (ipi.mode == HALO_DM_FIXED && ipi.shorthand == HALO_SH_SELF) {
		if (l->reg[REG_SVR].v & SVR_ENABLE)
			request(l, ipi.vector, false);
		return;
	}
	l->ops->send_ipi(l->ctx, &ipi);
}

static void latch_errors(struct halo_lapic *l)
{
	if (test_and_clear_bit(HALO_MAIL_ILLEGAL, &l->mail))
		report_error(l, ESR_RECEIVE_ILLEGAL);
	l->reg[REG_ESR].v = l->errors;
	l->errors = 0;
}

/* @value is what the register takes; of an ICR, with the destination. */
static int write_reg(struct halo_lapic *l, unsigned int reg, u64 value)
{
	switch (reg) {
	case REG_EOI:
		return halo_lapic_eoi(l);
	case REG_TPR:
		halo_lapic_set_tpr(l, value);
		break;
	case REG_DFR:
		value |= 0x0fffffff;
		fallthrough;
	case REG_ID:
	case REG_LDR:
		l->reg[reg].v = value;
		publish_route(l);
		break;
	case REG_SVR:
		set_svr(l, value);
		break;
	case REG_ESR:
		latch_errors(l);
		break;
	case REG_ICR:
		l->reg[REG_ICR].v = value;
		*icr_dest(l) = value >> 32;
		send_icr(l, value);
		break;
	case REG_SELF_IPI:
		/* Same as an ICR write with shorthand self (11.12.11). */
		send_icr(l, HALO_SH_SELF << 18 | value);
		break;
	case REG_TIMER ... REG_ERROR:
		set_lvt(l, reg, value);
		break;
	case REG_TMICT:
		set_tmict(l, value);
		break;
	case REG_TDCR:
		set_tdcr(l, value);
		break;
	default:
		l->reg[reg].v = value;
		break;
	}
	return 0;
}

/**
 * halo_lapic_mmio_read() - read from the xAPIC page (11.4.1)
 * @l: the LAPIC; halo_lapic_covers() is true of the address
 * @offset: into the page
 * @size: bytes, 1 to 8
 *
 * Bytes beyond the 32-bit registers read as zero.  A register that does not
 * exist reads as zero and is noted in ESR.
 *
 * Return: the value.
 */
u64 halo_lapic_mmio_read(struct halo_lapic *l, u32 offset, unsigned int size)
{
	unsigned int reg = offset >> 4 & 0xff;
	unsigned int byte = offset & 15;
	u64 value;

	if (!reg_known(reg, XR)) {
		report_error(l, ESR_REGISTER);
		return 0;
	}
	reg = array_index_nospec(reg, REG_COUNT);
	if (byte > 3)
		return 0;
	value = read_reg(l, reg) >> byte * 8;
	return size >= 4 ? value : value & (BIT_ULL(size * 8) - 1);
}

/**
 * halo_lapic_mmio_write() - write to the xAPIC page (11.4.1)
 * @l: the LAPIC; halo_lapic_covers() is true of the address
 * @offset: into the page
 * @size: bytes
 * @value: what is written; reserved bits are dropped
 *
 * Only aligned 32-bit writes do something; the SDM leaves the others undefined.
 *
 * Return: 0, or HALO_LAPIC_EOI | vector.
 */
int halo_lapic_mmio_write(struct halo_lapic *l, u32 offset, unsigned int size,
			  u64 value)
{
	unsigned int reg = offset >> 4 & 0xff;

	if (size != 4 || (offset & 15))
		return 0;
	if (reg == REG_EOI)
		return halo_lapic_eoi(l);
	if (!reg_known(reg, XW)) {
		/* A read-only register exists: no error. */
		if (!reg_known(reg, XR))
			report_error(l, ESR_REGISTER);
		return 0;
	}
	reg = array_index_nospec(reg, REG_COUNT);
	value &= regs[reg].mask;
	if (reg == REG_ICR)
		value |= (u64)*icr_dest(l) << 32;
	return write_reg(l, reg, value);
}

/**
 * halo_lapic_msr_read() - RDMSR of 0x800 to 0x8ff (11.12.1.2)
 * @l: the LAPIC
 * @msr: MSR number
 * @value: where the value goes
 *
 * Return: 0, or -EINVAL for #GP(0) (also when not in x2APIC mode).
 */
int halo_lapic_msr_read(struct halo_lapic *l, u32 msr, u64 *value)
{
	unsigned int reg = msr - MSR_X2APIC;

	if (!halo_lapic_x2apic(l) || !reg_known(reg, X2R))
		return -EINVAL;
	reg = array_index_nospec(reg, REG_COUNT);
	*value = read_reg(l, reg) | (u64)l->reg[reg].high << 32;
	return 0;
}

/**
 * halo_lapic_msr_write() - WRMSR of 0x800 to 0x8ff (11.12.1.2)
 * @l: the LAPIC
 * @msr: MSR number
 * @value: EDX:EAX
 *
 * Return: 0, HALO_LAPIC_EOI | vector, or -EINVAL for #GP(0).
 */
int halo_lapic_msr_write(struct halo_lapic *l, u32 msr, u64 value)
{
	unsigned int reg = msr - MSR_X2APIC;
	u64 allowed;

	if (unlikely(!halo_lapic_x2apic(l)))
		return -EINVAL;
	/* The most frequent of all. */
	if (reg == REG_EOI && likely(!value))
		return halo_lapic_eoi(l);
	if (unlikely(!reg_known(reg, X2W)))
		return -EINVAL;
	reg = array_index_nospec(reg, REG_COUNT);
	allowed = regs[reg].mask | regs[reg].status;
	if (reg == REG_ICR)
		allowed |= ~0xffffffffULL;
	if (unlikely(value & ~allowed))
		return -EINVAL;
	return write_reg(l, reg, value & ~(u64)regs[reg].status);
}

/**
 * halo_lapic_written() - the guest has written to the page, in x2APIC mode
 * @l: the LAPIC
 * @offset: where: the CPU leaves it to us what that does, as of a self-IPI that is
 *	illegal (SDM 3C 29.5)
 */
void halo_lapic_written(struct halo_lapic *l, u32 offset)
{
	unsigned int reg = offset >> 4;

	if (!reg_known(reg, X2W))
		return;
	reg = array_index_nospec(reg, REG_COUNT);
	(void)write_reg(l, reg, l->reg[reg].v & regs[reg].mask);
	if (reg == REG_SELF_IPI)
		l->reg[reg].v = 0;
}

/**
 * halo_lapic_sent() - a CPU has put the fixed IPI in ICR where it could: to do the rest
 * @l: the LAPIC, in xAPIC mode
 *
 * Those with ROUTE_IPIS have it, and only have to be woken if they do not run.
 */
void halo_lapic_sent(struct halo_lapic *l)
{
	u32 icr = l->reg[REG_ICR].v;
	struct halo_ipi ipi = {
		.dest = l->reg[REG_ICR_HIGH].v >> 24,
		.vector = icr,
		.mode = HALO_DM_SENT,
		.shorthand = icr >> 18 & 3,
		.logical = icr >> 11 & 1,
		.level = true,
	};

	l->reg[REG_ICR].v = icr & ~(u32)ICR_STATUS;
	l->ops->send_ipi(l->ctx, &ipi);
}

/**
 * halo_lapic_set_tpr() - write the task priority register
 * @l: the LAPIC
 * @tpr: priority class in the high half
 */
void halo_lapic_set_tpr(struct halo_lapic *l, u8 tpr)
{
	l->reg[REG_TPR].v = tpr;
	update_ppr(l);
}

/**
 * halo_lapic_eoi() - end the interrupt in service of highest priority (11.8.5)
 * @l: the LAPIC
 *
 * Return: HALO_LAPIC_EOI | vector if it was level-triggered and its EOI is to be
 * broadcast to the IOAPICs, else 0.
 */
int halo_lapic_eoi(struct halo_lapic *l)
{
	unsigned int vector, w;
	u32 bit;

	learn(l);
	if (!l->isr_words)
		return 0;
	vector = highest(&l->reg[REG_ISR], l->isr_words);
	w = vector >> 5;
	bit = 1U << (vector & 31);
	l->reg[REG_ISR + w].v &= ~bit;
	if (!l->reg[REG_ISR + w].v)
		l->isr_words &= ~BIT(w);
	update_ppr(l);
	return halo_lapic_eoi_done(l, vector);
}

/**
 * halo_lapic_eoi_quiet() - would an EOI now have no consequence but in ISR
 * @l: the LAPIC
 *
 * Return: true if an edge-triggered interrupt is in service and none is requested.
 */
bool halo_lapic_eoi_quiet(struct halo_lapic *l)
{
	unsigned int vector;

	learn(l);
	if (!l->isr_words || l->irr_words || halo_lapic_mail(l))
		return false;
	vector = highest(&l->reg[REG_ISR], l->isr_words);
	return !(l->reg[REG_TMR + (vector >> 5)].v & 1U << (vector & 31));
}

/**
 * halo_lapic_eoi_done() - an interrupt has been taken out of ISR
 * @l: the LAPIC
 * @vector: its vector
 *
 * Return: as halo_lapic_eoi().
 */
int halo_lapic_eoi_done(struct halo_lapic *l, u8 vector)
{
	u32 lvt = l->reg[REG_LINT0].v;

	if (likely(!(l->reg[REG_TMR + (vector >> 5)].v & 1U << (vector & 31))))
		return 0;
	if ((lvt & LVT_REMOTE_IRR) && (lvt & 0xff) == vector) {
		l->reg[REG_LINT0].v &= ~LVT_REMOTE_IRR;
		lint0_level(l);
	}
	return l->reg[REG_SVR].v & SVR_NO_EOI ? 0 : HALO_LAPIC_EOI | (int)vector;
}

/*
 * Interrupts in
 */

/* Posted interrupts go to IRR and TMR. */
static void fold_pir(struct halo_lapic *l)
{
	unsigned int i;
	u64 bits, level;

	for (i = 0; i < 4; i++) {
		if (!READ_ONCE(l->pir[i]))
			continue;
		bits = xchg(&l->pir[i], 0);
		level = READ_ONCE(l->pir_level[i]);
		request_word(l, i * 2, bits, level);
		request_word(l, i * 2 + 1, bits >> 32, level >> 32);
	}
}

static unsigned long line_rose(struct halo_lapic *l, unsigned int pin)
{
	/* Without a LAPIC the pins are INTR and NMI (11.4.3). */
	if (!halo_lapic_enabled(l))
		return pin ? HALO_LAPIC_NMI : 0;
	return lvt_deliver(l, pin ? REG_LINT1 : REG_LINT0);
}

/**
 * halo_lapic_sync() - read the mail (owner)
 * @l: the LAPIC
 *
 * Folds posted interrupts into IRR and TMR, runs the timer, follows the pins.
 *
 * Return: mask of HALO_LAPIC_NMI, _NMI_AGAIN, _INIT, _SIPI: what the vCPU is to
 * handle, in the order INIT, SIPI (vector: sipi_vector), NMI.  Each is handed out
 * once.  A SIPI counts only for a vCPU that waits for one after the INIT.
 */
unsigned long halo_lapic_sync(struct halo_lapic *l)
{
	unsigned long mail;

	if (!READ_ONCE(l->mail))
		return 0;
	mail = xchg(&l->mail, 0);
	if (mail & BIT(HALO_MAIL_PIR))
		fold_pir(l);
	if (likely(!(mail & ~BIT(HALO_MAIL_PIR))))
		return 0;

	if (mail & BIT(HALO_MAIL_TIMER))
		timer_fired(l);
	if (mail & BIT(HALO_MAIL_LINT0))
		mail |= line_rose(l, 0);
	if (mail & BIT(HALO_MAIL_LINT1))
		mail |= line_rose(l, 1);
	if (mail & BIT(HALO_MAIL_ILLEGAL))
		report_error(l, ESR_RECEIVE_ILLEGAL);
	return mail & (HALO_LAPIC_NMI | HALO_LAPIC_NMI_AGAIN | HALO_LAPIC_INIT | HALO_LAPIC_SIPI);
}

/**
 * halo_lapic_pending() - the vector to inject next (11.8.3)
 * @l: the LAPIC
 *
 * Return: the highest requested vector, if its class is above the processor's
 * priority; else -1.
 */
int halo_lapic_pending(struct halo_lapic *l)
{
	unsigned int vector;

	learn(l);
	if (!l->irr_words)
		return -1;
	vector = highest(&l->reg[REG_IRR], l->irr_words);
	return (vector & 0xf0) > (l->reg[REG_PPR].v & 0xf0) ? (int)vector : -1;
}

/**
 * halo_lapic_ack() - a vector is being injected: from IRR to ISR
 * @l: the LAPIC
 * @vector: what halo_lapic_pending() said
 */
void halo_lapic_ack(struct halo_lapic *l, u8 vector)
{
	u32 bit = 1U << (vector & 31);
	unsigned int w = vector >> 5;

	learn(l);
	l->reg[REG_IRR + w].v &= ~bit;
	if (!l->reg[REG_IRR + w].v)
		l->irr_words &= ~BIT(w);
	l->reg[REG_ISR + w].v |= bit;
	l->isr_words |= BIT(w);
	update_ppr(l);
}

/**
 * halo_lapic_status() - what a CPU must know that delivers interrupts itself
 * @l: the LAPIC
 *
 * Return: the guest interrupt status (SDM 3C 24.4.2): in the low byte the highest
 * vector in IRR, in the high byte the highest in ISR; 0 if there is none.
 */
unsigned int halo_lapic_status(struct halo_lapic *l)
{
	unsigned int rvi, svi;

	learn(l);
	l->changed = false;
	rvi = l->irr_words ? highest(&l->reg[REG_IRR], l->irr_words) : 0;
	svi = l->isr_words ? highest(&l->reg[REG_ISR], l->isr_words) : 0;
	return svi << 8 | rvi;
}

/**
 * halo_lapic_threshold() - the TPR that an interrupt waits for
 * @l: the LAPIC
 *
 * Return: the class of the highest vector in IRR, if TPR's is not below it; else 0.
 */
u8 halo_lapic_threshold(struct halo_lapic *l)
{
	unsigned int class;

	learn(l);
	if (likely(!l->irr_words))
		return 0;
	class = highest(&l->reg[REG_IRR], l->irr_words) >> 4;
	return class <= halo_lapic_cr8(l) ? class : 0;
}

/**
 * halo_lapic_extint_pending() - does the 8259 want its interrupt taken
 * @l: the LAPIC
 *
 * ExtINT bypasses IRR, ISR and the priorities (11.5.1).
 *
 * Return: true if LINT0 is up and its LVT entry is unmasked in ExtINT mode, or
 * the LAPIC is disabled by hardware so that the pin is INTR.
 */
bool halo_lapic_extint_pending(const struct halo_lapic *l)
{
	if (likely(!(READ_ONCE(l->lines) & BIT(0))))
		return false;
	if (!halo_lapic_enabled(l))
		return true;
	return (l->reg[REG_LINT0].v & (LVT_MASKED | 0x700)) ==
	       HALO_DM_EXTINT << 8;
}

/*
 * State as a whole
 */

/*
 * Nothing is left in PIR.  Mail first: the other way round, a vector posted in
 * between would stay in PIR with no mail about it, and its next post would not
 * leave any.
 */
static void drain_pir(struct halo_lapic *l)
{
	clear_bit(HALO_MAIL_PIR, &l->mail);
	fold_pir(l);
}

/* ID in the form that it has in this mode; an x2APIC's LDR follows from it (11.12.10.2). */
static void set_id(struct halo_lapic *l, u32 id)
{
	bool x2 = halo_lapic_x2apic(l);

	l->reg[REG_ID].v = x2 ? id : id << 24;
	l->reg[REG_LDR].v = x2 ? id >> 4 << 16 | BIT(id & 15) : 0;
}

/**
 * halo_lapic_init() - build a LAPIC in its power-up state
 * @l: memory for it, any content
 * @page: memory for its registers, any content: HALO_LAPIC_REGS of them, or a page
 * @id: its number, and initial APIC ID; 0 is the bootstrap processor's
 * @phys_bits: width of a guest-physical address, 32 to 52
 * @ops: surroundings; must outlive it
 * @ctx: argument of @ops
 */
void halo_lapic_init(struct halo_lapic *l, void *page, u32 id, u8 phys_bits,
		     const struct halo_lapic_ops *ops, void *ctx)
{
	memset(l, 0, sizeof(*l));
	l->reg = page;
	l->number = id;
	l->phys_bits = phys_bits;
	l->ops = ops;
	l->ctx = ctx;
	halo_lapic_reset(l);
}

/**
 * halo_lapic_reset() - power-up or RESET (11.4.7.1)
 * @l: the LAPIC
 *
 * Pins keep their levels.  Mail is dropped.
 */
void halo_lapic_reset(struct halo_lapic *l)
{
	l->base = HALO_LAPIC_DEFAULT_BASE | HALO_APIC_BASE_ENABLE |
		  (l->number ? 0 : HALO_APIC_BASE_BSP);
	WRITE_ONCE(l->mail, 0);
	set_id(l, l->number);
	halo_lapic_init_reset(l);
}

/**
 * halo_lapic_init_reset() - what an INIT does to the LAPIC (11.4.7.3)
 * @l: the LAPIC
 *
 * As a reset, but APIC ID, APIC_BASE (x2APIC mode with it) and mail for the
 * vCPU itself stay.
 */
void halo_lapic_init_reset(struct halo_lapic *l)
{
	u32 id = apic_number(l);

	l->running = false;
	timer_update(l);
	drain_pir(l);
	memset(l->reg, 0, REG_COUNT * sizeof(*l->reg));
	l->irr_words = 0;
	l->isr_words = 0;
	l->stale = l->shared;
	l->errors = 0;
	l->reg[REG_VERSION].v = VERSION_VALUE;
	l->reg[REG_DFR].v = ~0U;
	l->reg[REG_SVR].v = 0xff;
	mask_lvts(l);
	set_id(l, id);
	clear_bit(HALO_MAIL_TIMER, &l->mail);
	clear_bit(HALO_MAIL_ILLEGAL, &l->mail);
	publish_route(l);
}

/**
 * halo_lapic_set_base() - WRMSR of IA32_APIC_BASE (11.12.5)
 * @l: the LAPIC
 * @value: EDX:EAX
 * @host: on behalf of userspace: any mode may follow any other
 *
 * The bit that CPUID shows (1:EDX bit 9) follows HALO_APIC_BASE_ENABLE.
 *
 * Return: 0, or -EINVAL for #GP(0): reserved bits, x2APIC without enable, from
 * x2APIC to xAPIC, from disabled straight to x2APIC.
 */
int halo_lapic_set_base(struct halo_lapic *l, u64 value, bool host)
{
	bool enable = value & HALO_APIC_BASE_ENABLE, x2 = value & HALO_APIC_BASE_X2APIC;
	u64 changed = l->base ^ value;

	if ((value & (0xff | BIT_ULL(9))) || value >> l->phys_bits || (x2 && !enable))
		return -EINVAL;
	if (!host && (changed & HALO_APIC_BASE_X2APIC) && (x2 ? !halo_lapic_enabled(l) : enable))
		return -EINVAL;
	l->base = value;
	if (changed & HALO_APIC_BASE_X2APIC) {
		/* The destination has another place in the other mode. */
		l->reg[REG_ICR].high = 0;
		l->reg[REG_ICR_HIGH].v = 0;
		set_id(l, l->number);
	}
	/* Switched off, it forgets (11.4.3). */
	if ((changed & HALO_APIC_BASE_ENABLE) && !enable) {
		set_id(l, l->number);
		halo_lapic_init_reset(l);
	}
	publish_route(l);
	return 0;
}

static u32 get32(const u8 *image, unsigned int reg)
{
	u32 value;

	memcpy(&value, image + reg * 16, sizeof(value));
	return value;
}

/**
 * halo_lapic_save() - the registers as an image of the xAPIC page
 * @l: the LAPIC; its vCPU does not run
 * @image: where they go; all of it is written
 *
 * Interrupts in the mail are folded into IRR first.  In x2APIC mode ID and LDR
 * have their 32-bit form.  APIC_BASE and TSC_DEADLINE are MSRs, not in here.
 */
void halo_lapic_save(struct halo_lapic *l, u8 image[HALO_LAPIC_IMAGE_BYTES])
{
	unsigned int reg;
	u32 value;

	drain_pir(l);
	timer_run(l);
	memset(image, 0, HALO_LAPIC_IMAGE_BYTES);
	for (reg = 0; reg < REG_COUNT; reg++) {
		value = reg == REG_ICR_HIGH ? *icr_dest(l) : read_reg(l, reg);
		memcpy(image + reg * 16, &value, sizeof(value));
	}
}

/*
 * Userspace hands in any bytes it likes: what passes here is as safe as what came
 * through a guest's write.
 */
static bool image_valid(const struct halo_lapic *l, const u8 *image)
{
	bool x2 = halo_lapic_x2apic(l);
	unsigned int reg;

	for (reg = 0; reg < REG_COUNT; reg++) {
		/* What an x2APIC does not have, or only reads, is looked at below. */
		if (x2 && !(regs[reg].access & X2W))
			continue;
		if (regs[reg].image && (get32(image, reg) & ~regs[reg].image))
			return false;
	}
	/* Vectors 0 to 15 are never requested. */
	return (!x2 || get32(image, REG_ID) == l->number) &&
	       (get32(image, REG_DFR) | 0xf0000000) == 0xffffffff &&
	       get32(image, REG_TMCCT) <= get32(image, REG_TMICT) &&
	       !((get32(image, REG_IRR) | get32(image, REG_ISR)) & 0xffff);
}

/**
 * halo_lapic_load() - set the registers from an image of the xAPIC page
 * @l: the LAPIC; its vCPU does not run; APIC_BASE is set already
 * @image: as halo_lapic_save() gives it
 *
 * What is not a register, or is computed (version, PPR, LDR of an x2APIC), is
 * not looked at; the mask bits of a disabled LAPIC are set.  A count that was
 * running goes on; TSC_DEADLINE is loaded after this.
 *
 * Return: 0, or -EINVAL if a register has a value that the guest could not have
 * given it; nothing has changed then.
 */
int halo_lapic_load(struct halo_lapic *l,
		    const u8 image[HALO_LAPIC_IMAGE_BYTES])
{
	u32 count = get32(image, REG_TMCCT), *lint0 = &l->reg[REG_LINT0].v;
	unsigned int reg;

	/* What is off has no registers. */
	if (!halo_lapic_enabled(l))
		return 0;
	if (!image_valid(l, image))
		return -EINVAL;

	drain_pir(l);
	for (reg = 0; reg < REG_COUNT; reg++)
		if (regs[reg].image)
			*(reg == REG_ICR_HIGH ? icr_dest(l) : &l->reg[reg].v) =
				get32(image, reg);
	if (halo_lapic_x2apic(l))
		set_id(l, l->number);
	l->errors = 0;
	l->stale = true;
	if ((*lint0 & (LVT_LEVEL | 0x700)) != LVT_LEVEL)
		*lint0 &= ~(u32)LVT_REMOTE_IRR;
	/* Masks the LVT of a LAPIC that is off, and tells the others. */
	set_svr(l, l->reg[REG_SVR].v);
	l->running = count && timer_counts(l);
	clear_bit(HALO_MAIL_TIMER, &l->mail);
	timer_resume(l, count);
	update_ppr(l);
	return 0;
}
