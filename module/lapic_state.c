// SPDX-License-Identifier: GPL-2.0
/*
 * The LAPIC model's state as a whole: reset, INIT, APIC_BASE, save and load.
 *
 * For the owner (see lapic.h).  Load is the way by which userspace hands in any
 * bytes it likes, so every register is checked against what the guest itself
 * could have written, before anything changes: a register that passes here is
 * as safe as one that came through a guest's write.
 */
#include "lapic_regs.h"

/* Section numbers: see lapic.c. */

#define ICR_WRITABLE	0xccfff

static void clear_pir(struct halo_lapic *l)
{
	unsigned int w;

	/*
	 * Mail first: the other way round, a vector posted in between would stay
	 * in PIR with no mail about it, and its next post would not leave any.
	 */
	clear_bit(HALO_MAIL_PIR, &l->mail);
	for (w = 0; w < 4; w++)
		xchg(&l->pir[w], 0);
}

/* The state after power-up (11.4.7.1), but for ID, base, pins and mail. */
static void clear_regs(struct halo_lapic *l)
{
	unsigned int i;

	l->running = false;
	halo_lapic_timer_update(l);
	memset(l->irr, 0, sizeof(l->irr));
	memset(l->isr, 0, sizeof(l->isr));
	memset(l->tmr, 0, sizeof(l->tmr));
	l->irr_words = 0;
	l->isr_words = 0;
	l->tpr = 0;
	for (i = 0; i < HALO_LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	l->svr = 0xff;
	l->esr = 0;
	l->errors = 0;
	l->ldr = 0;
	l->dfr = ~0U;
	l->icr = 0;
	l->tmict = 0;
	l->tdcr = 0;
	l->shift = divide_shift(0);
	l->deadline = 0;
	clear_pir(l);
	clear_bit(HALO_MAIL_TIMER, &l->mail);
	clear_bit(HALO_MAIL_ILLEGAL, &l->mail);
	halo_lapic_update_ppr(l);
	halo_lapic_publish_route(l);
}

/**
 * halo_lapic_init() - build a LAPIC in its power-up state
 * @l: memory for it, any content
 * @cfg: what it is to be; copied
 * @ops: surroundings; must outlive it
 * @ctx: argument of @ops
 */
void halo_lapic_init(struct halo_lapic *l, const struct halo_lapic_config *cfg,
		     const struct halo_lapic_ops *ops, void *ctx)
{
	memset(l, 0, sizeof(*l));
	l->cfg = *cfg;
	if (cfg->phys_bits < 32 || cfg->phys_bits > 52)
		l->cfg.phys_bits = 52;
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
	l->id = l->cfg.id;
	l->base = HALO_LAPIC_DEFAULT_BASE | HALO_APIC_BASE_ENABLE |
		  (l->cfg.bsp ? HALO_APIC_BASE_BSP : 0);
	WRITE_ONCE(l->mail, 0);
	clear_regs(l);
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
	clear_regs(l);
}

static bool base_valid(const struct halo_lapic *l, u64 value)
{
	if ((value & (0xff | BIT_ULL(9))) || value >> l->cfg.phys_bits)
		return false;
	if (!(value & HALO_APIC_BASE_X2APIC))
		return true;
	return l->cfg.x2apic && (value & HALO_APIC_BASE_ENABLE);
}

/**
 * halo_lapic_load_base() - set MSR IA32_APIC_BASE on behalf of userspace
 * @l: the LAPIC
 * @value: new value
 *
 * Any mode may follow any other.
 *
 * Return: 0, or -EINVAL for a value that the MSR can't have.
 */
int halo_lapic_load_base(struct halo_lapic *l, u64 value)
{
	u64 changed = l->base ^ value;

	if (!base_valid(l, value))
		return -EINVAL;
	l->base = value;
	if (changed & HALO_APIC_BASE_X2APIC) {
		/* The destination has another place in the other mode. */
		l->icr = (u32)l->icr;
		l->id = l->cfg.id;
		if (!halo_lapic_x2apic(l))
			l->id &= 0xff;
	}
	/* Switched off, it forgets (11.4.3). */
	if ((changed & HALO_APIC_BASE_ENABLE) && !halo_lapic_enabled(l)) {
		l->id = l->cfg.id & 0xff;
		clear_regs(l);
	}
	halo_lapic_publish_route(l);
	return 0;
}

/**
 * halo_lapic_set_base() - the guest's WRMSR of IA32_APIC_BASE (11.12.5)
 * @l: the LAPIC
 * @value: EDX:EAX
 *
 * The bit that CPUID shows (1:EDX bit 9) follows HALO_APIC_BASE_ENABLE.
 *
 * Return: 0, or -EINVAL for #GP(0): reserved bits, x2APIC without enable, from
 * x2APIC to xAPIC, from disabled straight to x2APIC.
 */
int halo_lapic_set_base(struct halo_lapic *l, u64 value)
{
	bool x2 = value & HALO_APIC_BASE_X2APIC;

	if (x2 && !halo_lapic_enabled(l))
		return -EINVAL;
	if (!x2 && (value & HALO_APIC_BASE_ENABLE) && halo_lapic_x2apic(l))
		return -EINVAL;
	return halo_lapic_load_base(l, value);
}

static void put32(u8 *image, unsigned int reg, u32 value)
{
	memcpy(image + reg * 16, &value, sizeof(value));
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

	if (test_and_clear_bit(HALO_MAIL_PIR, &l->mail))
		halo_lapic_fold_pir(l);
	halo_lapic_timer_run(l);
	memset(image, 0, HALO_LAPIC_IMAGE_BYTES);
	for (reg = 0; reg < REG_COUNT; reg++)
		put32(image, reg, halo_lapic_read_reg(l, reg));
}

static bool lvt_valid(const struct halo_lapic *l, unsigned int reg, u32 value)
{
	u32 allowed = halo_lapic_write_mask(l, reg);

	if (reg == REG_LINT0)
		allowed |= LVT_REMOTE_IRR;
	return !(value & ~allowed);
}

static bool image_valid(const struct halo_lapic *l, const u8 *image)
{
	u32 id = get32(image, REG_ID), icr_high = get32(image, REG_ICR_HIGH);
	unsigned int reg;

	if (halo_lapic_x2apic(l) ? id != l->cfg.id :
	    (id | icr_high | get32(image, REG_LDR)) & 0xffffff)
		return false;
	if ((get32(image, REG_TPR) & ~0xff) ||
	    (get32(image, REG_DFR) & 0x0fffffff) != 0x0fffffff ||
	    (get32(image, REG_SVR) & ~halo_lapic_write_mask(l, REG_SVR)) ||
	    (get32(image, REG_ESR) & ~0xff) ||
	    (get32(image, REG_ICR) & ~ICR_WRITABLE) ||
	    (get32(image, REG_TDCR) & ~halo_lapic_write_mask(l, REG_TDCR)) ||
	    get32(image, REG_TMCCT) > get32(image, REG_TMICT))
		return false;
	/* Vectors 0 to 15 are never requested. */
	if ((get32(image, REG_IRR) | get32(image, REG_ISR)) & 0xffff)
		return false;
	for (reg = REG_TIMER; reg <= REG_ERROR; reg++)
		if (!lvt_valid(l, reg, get32(image, reg)))
			return false;
	return !l->cfg.cmci || lvt_valid(l, REG_CMCI, get32(image, REG_CMCI));
}

static u8 load_vectors(u64 words[4], const u8 *image, unsigned int reg)
{
	unsigned int w;
	u8 nonzero = 0;

	for (w = 0; w < 4; w++) {
		words[w] = get32(image, reg + 2 * w) |
			   (u64)get32(image, reg + 2 * w + 1) << 32;
		if (words[w])
			nonzero |= BIT(w);
	}
	return nonzero;
}

static void load_lvt(struct halo_lapic *l, const u8 *image, unsigned int reg)
{
	u32 value = get32(image, reg);

	if (!(l->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if ((value & (LVT_LEVEL | 0x700)) != LVT_LEVEL)
		value &= ~(u32)LVT_REMOTE_IRR;
	l->lvt[lvt_of(reg)] = value;
}

static void load_timer(struct halo_lapic *l, const u8 *image)
{
	u32 count = get32(image, REG_TMCCT);

	l->tmict = get32(image, REG_TMICT);
	l->tdcr = get32(image, REG_TDCR);
	l->shift = divide_shift(l->tdcr);
	l->running = count && timer_counts(l);
	l->deadline = 0;
	if (l->running)
		l->deadline = l->ops->now_ns(l->ctx) + ((u64)count << l->shift);
	clear_bit(HALO_MAIL_TIMER, &l->mail);
	halo_lapic_timer_update(l);
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
	unsigned int reg;

	/* What is off has no registers. */
	if (!halo_lapic_enabled(l))
		return 0;
	if (!image_valid(l, image))
		return -EINVAL;

	clear_pir(l);
	l->svr = get32(image, REG_SVR);
	l->tpr = get32(image, REG_TPR);
	l->dfr = get32(image, REG_DFR);
	l->esr = get32(image, REG_ESR);
	l->errors = 0;
	l->icr = get32(image, REG_ICR) | (u64)get32(image, REG_ICR_HIGH) << 32;
	if (!halo_lapic_x2apic(l)) {
		l->id = get32(image, REG_ID) >> 24;
		l->ldr = get32(image, REG_LDR);
	}
	l->irr_words = load_vectors(l->irr, image, REG_IRR);
	l->isr_words = load_vectors(l->isr, image, REG_ISR);
	load_vectors(l->tmr, image, REG_TMR);
	for (reg = REG_TIMER; reg <= REG_ERROR; reg++)
		load_lvt(l, image, reg);
	if (l->cfg.cmci)
		load_lvt(l, image, REG_CMCI);
	load_timer(l, image);
	halo_lapic_update_ppr(l);
	halo_lapic_publish_route(l);
	return 0;
}
