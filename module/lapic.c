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
#include "lapic_regs.h"

/* Who may touch a register; xAPIC, x2APIC. */
#define XR	BIT(0)
#define XW	BIT(1)
#define X2R	BIT(2)
#define X2W	BIT(3)
#define ALL	(XR | XW | X2R | X2W)

/*
 * What a write may carry.  Other bits are dropped in xAPIC mode and #GP in
 * x2APIC mode (11.12.1.2); delivery status and remote IRR are in the masks of
 * the latter by lvt_ignored().
 */
static const struct {
	u8 access;
	u32 mask;
} regs[REG_COUNT] = {
	[REG_ID] = { XR | XW | X2R, 0xff000000 },
	[REG_VERSION] = { XR | X2R, 0 },
	[REG_TPR] = { ALL, 0xff },
	[REG_APR] = { XR, 0 },
	[REG_PPR] = { XR | X2R, 0 },
	[REG_EOI] = { XR | XW | X2W, 0 },
	[REG_LDR] = { XR | XW | X2R, 0xff000000 },
	[REG_DFR] = { XR | XW, 0xf0000000 },
	[REG_SVR] = { ALL, 0x13ff },
	[REG_ISR ... REG_ISR + 7] = { XR | X2R, 0 },
	[REG_TMR ... REG_TMR + 7] = { XR | X2R, 0 },
	[REG_IRR ... REG_IRR + 7] = { XR | X2R, 0 },
	[REG_ESR] = { ALL, 0 },
	[REG_CMCI] = { ALL, 0x107ff },
	[REG_ICR] = { ALL, 0xccfff },
	[REG_ICR_HIGH] = { XR | XW, 0xff000000 },
	[REG_TIMER] = { ALL, 0x700ff },
	[REG_THERMAL] = { ALL, 0x107ff },
	[REG_PERF] = { ALL, 0x107ff },
	[REG_LINT0] = { ALL, 0x1a7ff },
	[REG_LINT1] = { ALL, 0x1a7ff },
	[REG_ERROR] = { ALL, 0x100ff },
	[REG_TMICT] = { ALL, 0xffffffff },
	[REG_TMCCT] = { XR | X2R, 0 },
	[REG_TDCR] = { ALL, 0xb },
	[REG_SELF_IPI] = { X2W, 0xff },
};

static __always_inline unsigned int highest(const u64 words[4], u8 nonzero)
{
	unsigned int w = fls64(nonzero) - 1;

	return w * 64 + fls64(words[w]) - 1;
}

/**
 * halo_lapic_update_ppr() - recompute PPR from TPR and ISR (11.8.3.1)
 * @l: the LAPIC
 */
void halo_lapic_update_ppr(struct halo_lapic *l)
{
	u8 isrv = l->isr_words ? highest(l->isr, l->isr_words) & 0xf0 : 0;

	WRITE_ONCE(l->ppr, (l->tpr & 0xf0) >= isrv ? l->tpr : isrv);
}

/**
 * halo_lapic_publish_route() - tell the other vCPUs how this one is addressed
 * @l: the LAPIC
 */
void halo_lapic_publish_route(struct halo_lapic *l)
{
	u64 route = l->id | (u64)(l->ldr >> 24) << HALO_ROUTE_LOGICAL_SHIFT;

	if (l->dfr >> 28 != 0xf)
		route |= HALO_ROUTE_CLUSTER;
	if (halo_lapic_x2apic(l))
		route |= HALO_ROUTE_X2APIC;
	if (halo_lapic_enabled(l))
		route |= HALO_ROUTE_ENABLED;
	if (l->svr & SVR_ENABLE)
		route |= HALO_ROUTE_SOFT;
	WRITE_ONCE(l->route, route);
}

static void report_error(struct halo_lapic *l, u32 error)
{
	bool first = !l->errors;

	l->errors |= error;
	/* Re-armed by the write that latches (11.5.3): no recursion from here. */
	if (first)
		halo_lapic_lvt_event(l, HALO_LVT_ERROR);
}

static void request(struct halo_lapic *l, u8 vector, bool level)
{
	u64 bit = BIT_ULL(vector & 63);
	unsigned int w = vector >> 6;

	if (unlikely(vector < FIRST_VECTOR)) {
		report_error(l, ESR_RECEIVE_ILLEGAL);
		return;
	}
	l->irr[w] |= bit;
	l->irr_words |= BIT(w);
	if (unlikely(level))
		l->tmr[w] |= bit;
	else
		l->tmr[w] &= ~bit;
}

/* Returns the mail bits (NMI, INIT) that the vCPU itself must handle. */
static unsigned long lvt_deliver(struct halo_lapic *l, enum halo_lapic_lvt which)
{
	u32 lvt = l->lvt[which];
	bool level = false;

	if (lvt & LVT_MASKED)
		return 0;

	switch (lvt >> 8 & 7) {
	case HALO_DM_FIXED:
		/* LINT1 is always edge-sensitive (11.5.1). */
		if (which == HALO_LVT_LINT0 && (lvt & LVT_LEVEL)) {
			if (lvt & LVT_REMOTE_IRR)
				return 0;
			if ((lvt & 0xff) >= FIRST_VECTOR)
				l->lvt[which] |= LVT_REMOTE_IRR;
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

/**
 * halo_lapic_lvt_event() - something local happened (owner)
 * @l: the LAPIC
 * @which: its entry in the local vector table
 *
 * Delivers as the LVT entry says (11.5.1).  For performance counters, thermal
 * sensor and CMCI; pins, timer and errors come here by themselves.
 *
 * Return: whether mail was left, i.e. halo_lapic_sync() must run before entry.
 */
bool halo_lapic_lvt_event(struct halo_lapic *l, enum halo_lapic_lvt which)
{
	unsigned long events = lvt_deliver(l, which);

	if (events & HALO_LAPIC_NMI)
		set_bit(HALO_MAIL_NMI, &l->mail);
	if (events & HALO_LAPIC_INIT)
		set_bit(HALO_MAIL_INIT, &l->mail);
	return events;
}

/*
 * Timer (11.5.4)
 */

static u64 timer_period(const struct halo_lapic *l)
{
	u64 ns = (u64)l->tmict << l->shift;

	return max(ns, HALO_LAPIC_MIN_PERIOD_NS);
}

/**
 * halo_lapic_timer_update() - make the host's timer fit the model's
 * @l: the LAPIC
 *
 * None is needed while the LVT entry is masked.
 */
void halo_lapic_timer_update(struct halo_lapic *l)
{
	if (l->running && !(l->lvt[HALO_LVT_TIMER] & LVT_MASKED)) {
		l->armed = true;
		l->ops->timer_arm(l->ctx, timer_mode(l) == TIMER_DEADLINE ?
				  HALO_LAPIC_TIMER_TSC : HALO_LAPIC_TIMER_NS,
				  l->deadline);
	} else if (l->armed) {
		l->armed = false;
		l->ops->timer_cancel(l->ctx);
	}
}

/**
 * halo_lapic_timer_run() - bring the timer to the present
 * @l: the LAPIC
 *
 * If it has expired: deliver, and go on to the next period if there is one.
 */
void halo_lapic_timer_run(struct halo_lapic *l)
{
	u64 now, late, period;

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
		period = timer_period(l);
		late = now - l->deadline;
		if (late >= period)
			l->deadline += late / period * period;
		l->deadline += period;
	} else {
		l->running = false;
	}
	halo_lapic_lvt_event(l, HALO_LVT_TIMER);
	halo_lapic_timer_update(l);
}

/**
 * halo_lapic_timer_fired() - the armed timer went off (owner)
 * @l: the LAPIC
 *
 * Called by halo_lapic_sync(); the run loop may call it itself where the owner
 * notices first (a hardware preemption timer).  Mail of a timer that was
 * replaced meanwhile does no harm.
 */
void halo_lapic_timer_fired(struct halo_lapic *l)
{
	l->armed = false;
	halo_lapic_timer_run(l);
	if (l->running && !l->armed)
		halo_lapic_timer_update(l);
}

static u32 timer_count(struct halo_lapic *l)
{
	u64 left, count = l->tmict;

	if (!timer_counts(l))
		return 0;
	halo_lapic_timer_run(l);
	if (!l->running)
		return 0;
	left = l->deadline - l->ops->now_ns(l->ctx);
	if ((s64)left <= 0)
		return 1;
	left = ((left - 1) >> l->shift) + 1;
	/* A clamped period is longer than the guest knows. */
	return min(left, count);
}

static void set_tmict(struct halo_lapic *l, u32 value)
{
	u64 ns;

	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	halo_lapic_timer_run(l);
	l->tmict = value;
	l->running = value && timer_counts(l);
	if (l->running) {
		ns = timer_mode(l) == TIMER_PERIODIC ? timer_period(l) :
		     (u64)value << l->shift;
		l->deadline = l->ops->now_ns(l->ctx) + ns;
	}
	halo_lapic_timer_update(l);
}

static void set_tdcr(struct halo_lapic *l, u32 value)
{
	u32 count = timer_count(l);

	l->tdcr = value;
	l->shift = divide_shift(value);
	/* The count goes on from where it is, at the new rate. */
	if (l->running && timer_counts(l)) {
		l->deadline = l->ops->now_ns(l->ctx) + ((u64)count << l->shift);
		halo_lapic_timer_update(l);
	}
}

static void set_timer_lvt(struct halo_lapic *l, u32 value)
{
	bool counted = timer_counts(l);
	u32 changed;

	halo_lapic_timer_run(l);
	changed = l->lvt[HALO_LVT_TIMER] ^ value;
	l->lvt[HALO_LVT_TIMER] = value;
	/* To or from TSC-deadline mode disarms (11.5.4.1). */
	if ((changed >> 17 & 3) && !(counted && timer_counts(l))) {
		l->running = false;
		l->tmict = 0;
	}
	halo_lapic_timer_update(l);
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
			halo_lapic_lvt_event(l, HALO_LVT_TIMER);
		l->running = value && tsc < value;
	}
	l->deadline = value;
	halo_lapic_timer_update(l);
}

/*
 * Registers
 */

static u32 version(const struct halo_lapic *l)
{
	return 0x14 | (l->cfg.cmci ? 6 : 5) << 16 | BIT(24);
}

/* A register that this LAPIC has, in the mode that @access is about. */
static bool reg_known(const struct halo_lapic *l, unsigned int reg, u8 access)
{
	reg = array_index_nospec(reg, REG_COUNT);
	return (regs[reg].access & access) && (reg != REG_CMCI || l->cfg.cmci);
}

/**
 * halo_lapic_write_mask() - the bits of a register that software may set
 * @l: the LAPIC
 * @reg: REG_*, below REG_COUNT
 *
 * Return: the mask.
 */
u32 halo_lapic_write_mask(const struct halo_lapic *l, unsigned int reg)
{
	if (reg == REG_TIMER && !l->cfg.tsc_deadline)
		return regs[reg].mask & ~LVT_DEADLINE;
	return regs[reg].mask;
}

/* Read-only bits: ignored on a write, not #GP. */
static u32 read_only_bits(unsigned int reg)
{
	if (reg == REG_LINT0 || reg == REG_LINT1)
		return LVT_STATUS | LVT_REMOTE_IRR;
	return reg_is_lvt(reg) || reg == REG_ICR ? LVT_STATUS : 0;
}

static u32 word32(const u64 words[4], unsigned int i)
{
	return words[i >> 1 & 3] >> (i & 1) * 32;
}

/**
 * halo_lapic_read_reg() - a register's value
 * @l: the LAPIC
 * @reg: REG_*; what does not exist is zero
 *
 * Return: the value, of an ICR in x2APIC mode its low half.
 */
u32 halo_lapic_read_reg(struct halo_lapic *l, unsigned int reg)
{
	switch (reg) {
	case REG_ID:
		return halo_lapic_x2apic(l) ? l->id : l->id << 24;
	case REG_VERSION:
		return version(l);
	case REG_TPR:
		return l->tpr;
	case REG_PPR:
		return l->ppr;
	case REG_LDR:
		if (halo_lapic_x2apic(l))
			return l->id >> 4 << 16 | BIT(l->id & 15);
		return l->ldr;
	case REG_DFR:
		return l->dfr;
	case REG_SVR:
		return l->svr;
	case REG_ISR ... REG_ISR + 7:
		return word32(l->isr, reg - REG_ISR);
	case REG_TMR ... REG_TMR + 7:
		return word32(l->tmr, reg - REG_TMR);
	case REG_IRR ... REG_IRR + 7:
		return word32(l->irr, reg - REG_IRR);
	case REG_ESR:
		return l->esr;
	case REG_ICR:
		return l->icr;
	case REG_ICR_HIGH:
		return l->icr >> 32;
	case REG_CMCI:
	case REG_TIMER ... REG_ERROR:
		return l->lvt[lvt_of(reg)];
	case REG_TMICT:
		return l->tmict;
	case REG_TMCCT:
		return timer_count(l);
	case REG_TDCR:
		return l->tdcr;
	default:
		return 0;
	}
}

/* LINT0 is level-triggered, fixed, and its pin is up: (again) a request. */
static void lint0_level(struct halo_lapic *l)
{
	u32 lvt = l->lvt[HALO_LVT_LINT0];

	if ((lvt & LVT_LEVEL) && (lvt >> 8 & 7) == HALO_DM_FIXED &&
	    (READ_ONCE(l->lines) & BIT(0)))
		lvt_deliver(l, HALO_LVT_LINT0);
}

static void set_lvt(struct halo_lapic *l, unsigned int reg, u32 value)
{
	enum halo_lapic_lvt which = lvt_of(reg);
	u32 old = l->lvt[which];

	if (!(l->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (which == HALO_LVT_TIMER) {
		set_timer_lvt(l, value);
		return;
	}
	/* Remote IRR lives as long as the level interrupt that it is about. */
	if (which == HALO_LVT_LINT0 && !((old ^ value) & (LVT_LEVEL | 0x7ff)))
		value |= old & LVT_REMOTE_IRR;
	l->lvt[which] = value;
	if (which == HALO_LVT_LINT0)
		lint0_level(l);
}

static void set_svr(struct halo_lapic *l, u32 value)
{
	u32 off = l->svr & ~value & SVR_ENABLE;
	unsigned int i;

	l->svr = value;
	if (off) {
		for (i = 0; i < HALO_LVT_COUNT; i++)
			l->lvt[i] |= LVT_MASKED;
		halo_lapic_timer_update(l);
	}
	halo_lapic_publish_route(l);
}

static void send_icr(struct halo_lapic *l, u64 icr, bool wide)
{
	struct halo_ipi ipi = {
		.dest = wide ? icr >> 32 : icr >> 56,
		.vector = icr,
		.mode = icr >> 8 & 7,
		.shorthand = icr >> 18 & 3,
		.logical = icr >> 11 & 1,
		.wide = wide,
		.level = true,
	};

	l->icr = icr;
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
		if (l->svr & SVR_ENABLE)
			request(l, ipi.vector, false);
		return;
	}
	l->ops->send_ipi(l->ctx, &ipi);
}

static void latch_errors(struct halo_lapic *l)
{
	if (test_and_clear_bit(HALO_MAIL_ILLEGAL, &l->mail))
		report_error(l, ESR_RECEIVE_ILLEGAL);
	l->esr = l->errors;
	l->errors = 0;
}

/* @value is within the register's write mask. */
static int write_reg(struct halo_lapic *l, unsigned int reg, u32 value)
{
	switch (reg) {
	case REG_EOI:
		return halo_lapic_eoi(l);
	case REG_TPR:
		halo_lapic_set_tpr(l, value);
		break;
	case REG_ID:
		l->id = value >> 24;
		halo_lapic_publish_route(l);
		break;
	case REG_LDR:
		l->ldr = value;
		halo_lapic_publish_route(l);
		break;
	case REG_DFR:
		l->dfr = value | 0x0fffffff;
		halo_lapic_publish_route(l);
		break;
	case REG_SVR:
		set_svr(l, value);
		break;
	case REG_ESR:
		latch_errors(l);
		break;
	case REG_ICR:
		send_icr(l, (l->icr & ~0xffffffffULL) | value, false);
		break;
	case REG_ICR_HIGH:
		l->icr = (u64)value << 32 | (u32)l->icr;
		break;
	case REG_CMCI:
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

	if (reg >= REG_COUNT || !reg_known(l, reg, XR)) {
		report_error(l, ESR_REGISTER);
		return 0;
	}
	reg = array_index_nospec(reg, REG_COUNT);
	if (byte > 3)
		return 0;
	value = halo_lapic_read_reg(l, reg) >> byte * 8;
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
	if (reg >= REG_COUNT || !reg_known(l, reg, XW)) {
		/* A read-only register exists: no error. */
		if (reg >= REG_COUNT || !reg_known(l, reg, XR))
			report_error(l, ESR_REGISTER);
		return 0;
	}
	reg = array_index_nospec(reg, REG_COUNT);
	return write_reg(l, reg, (u32)value & halo_lapic_write_mask(l, reg));
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

	if (reg >= REG_COUNT || !halo_lapic_x2apic(l))
		return -EINVAL;
	reg = array_index_nospec(reg, REG_COUNT);
	if (!reg_known(l, reg, X2R))
		return -EINVAL;
	*value = reg == REG_ICR ? l->icr : halo_lapic_read_reg(l, reg);
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
	u32 mask;

	if (unlikely(reg >= REG_COUNT || !halo_lapic_x2apic(l)))
		return -EINVAL;
	/* The most frequent of all. */
	if (reg == REG_EOI && likely(!value))
		return halo_lapic_eoi(l);
	reg = array_index_nospec(reg, REG_COUNT);
	if (unlikely(!reg_known(l, reg, X2W)))
		return -EINVAL;
	mask = halo_lapic_write_mask(l, reg);
	if (unlikely((u32)value & ~(mask | read_only_bits(reg))))
		return -EINVAL;

	if (reg == REG_ICR) {
		send_icr(l, value & ~(u64)ICR_STATUS, true);
		return 0;
	}
	if (unlikely(value >> 32))
		return -EINVAL;
	if (reg == REG_SELF_IPI) {
		/* Same as an ICR write with shorthand self (11.12.11). */
		if (value < FIRST_VECTOR)
			report_error(l, ESR_SEND_ILLEGAL);
		else if (l->svr & SVR_ENABLE)
			request(l, value, false);
		return 0;
	}
	return write_reg(l, reg, value & mask);
}

/**
 * halo_lapic_set_tpr() - write the task priority register
 * @l: the LAPIC
 * @tpr: priority class in the high half
 */
void halo_lapic_set_tpr(struct halo_lapic *l, u8 tpr)
{
	l->tpr = tpr;
	halo_lapic_update_ppr(l);
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
	u64 bit;
	u32 lvt;

	if (!l->isr_words)
		return 0;
	vector = highest(l->isr, l->isr_words);
	w = vector >> 6;
	bit = BIT_ULL(vector & 63);
	l->isr[w] &= ~bit;
	if (!l->isr[w])
		l->isr_words &= ~BIT(w);
	halo_lapic_update_ppr(l);
	if (likely(!(l->tmr[w] & bit)))
		return 0;

	lvt = l->lvt[HALO_LVT_LINT0];
	if ((lvt & LVT_REMOTE_IRR) && (lvt & 0xff) == vector) {
		l->lvt[HALO_LVT_LINT0] &= ~LVT_REMOTE_IRR;
		lint0_level(l);
	}
	return l->svr & SVR_NO_EOI ? 0 : HALO_LAPIC_EOI | (int)vector;
}

/*
 * Interrupts in
 */

/**
 * halo_lapic_fold_pir() - move posted interrupts to IRR and TMR
 * @l: the LAPIC
 */
void halo_lapic_fold_pir(struct halo_lapic *l)
{
	unsigned int w;
	u64 bits, level;

	for (w = 0; w < 4; w++) {
		if (!READ_ONCE(l->pir[w]))
			continue;
		bits = xchg(&l->pir[w], 0);
		level = READ_ONCE(l->pir_level[w]);
		l->irr[w] |= bits;
		l->irr_words |= BIT(w);
		l->tmr[w] = (l->tmr[w] & ~bits) | (level & bits);
	}
}

static unsigned long line_rose(struct halo_lapic *l, unsigned int pin)
{
	/* Without a LAPIC the pins are INTR and NMI (11.4.3). */
	if (!halo_lapic_enabled(l))
		return pin ? HALO_LAPIC_NMI : 0;
	return lvt_deliver(l, pin ? HALO_LVT_LINT1 : HALO_LVT_LINT0);
}

/**
 * halo_lapic_sync() - read the mail (owner)
 * @l: the LAPIC
 *
 * Folds posted interrupts into IRR and TMR, runs the timer, follows the pins.
 *
 * Return: mask of HALO_LAPIC_NMI, _INIT, _SIPI: what the vCPU is to handle, in
 * the order INIT, SIPI (vector: sipi_vector), NMI.  Each is handed out once.  A
 * SIPI counts only for a vCPU that waits for one after the INIT.
 */
unsigned long halo_lapic_sync(struct halo_lapic *l)
{
	unsigned long mail;

	if (!READ_ONCE(l->mail))
		return 0;
	mail = xchg(&l->mail, 0);
	if (mail & BIT(HALO_MAIL_PIR))
		halo_lapic_fold_pir(l);
	if (likely(!(mail & ~BIT(HALO_MAIL_PIR))))
		return 0;

	if (mail & BIT(HALO_MAIL_TIMER))
		halo_lapic_timer_fired(l);
	if (mail & BIT(HALO_MAIL_LINT0))
		mail |= line_rose(l, 0);
	if (mail & BIT(HALO_MAIL_LINT1))
		mail |= line_rose(l, 1);
	if (mail & BIT(HALO_MAIL_ILLEGAL))
		report_error(l, ESR_RECEIVE_ILLEGAL);
	return mail & (HALO_LAPIC_NMI | HALO_LAPIC_INIT | HALO_LAPIC_SIPI);
}

/**
 * halo_lapic_pending() - the vector to inject next (11.8.3)
 * @l: the LAPIC
 *
 * Return: the highest requested vector, if its class is above the processor's
 * priority; else -1.
 */
int halo_lapic_pending(const struct halo_lapic *l)
{
	unsigned int vector;

	if (!l->irr_words)
		return -1;
	vector = highest(l->irr, l->irr_words);
	return (vector & 0xf0) > (l->ppr & 0xf0) ? (int)vector : -1;
}

/**
 * halo_lapic_ack() - a vector is being injected: from IRR to ISR
 * @l: the LAPIC
 * @vector: what halo_lapic_pending() said
 */
void halo_lapic_ack(struct halo_lapic *l, u8 vector)
{
	u64 bit = BIT_ULL(vector & 63);
	unsigned int w = vector >> 6;

	l->irr[w] &= ~bit;
	if (!l->irr[w])
		l->irr_words &= ~BIT(w);
	l->isr[w] |= bit;
	l->isr_words |= BIT(w);
	halo_lapic_update_ppr(l);
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
	return (l->lvt[HALO_LVT_LINT0] & (LVT_MASKED | 0x700)) ==
	       HALO_DM_EXTINT << 8;
}
