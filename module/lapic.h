/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The local APIC: interface of the model in lapic.c.
 *
 * What the glue (irq.c) owes the model:
 *
 * - Everything that takes a struct halo_lapic and is not said to be "any
 *   context" is for the owner alone: the thread that holds vcpu->lock, i.e. the
 *   vCPU thread, or an ioctl while the vCPU does not run.
 * - Any context (other vCPUs, hrtimer callbacks, irqfd): halo_lapic_post(),
 *   halo_lapic_set_line(), halo_lapic_post_timer(), halo_lapic_route(), _route_again().
 *   They use the mailbox and the published routing facts, with atomics, and
 *   take no lock.  Some results ask for a kick: the vCPU's thread must be made
 *   to call halo_lapic_sync() (IPI out of the guest, or wake-up from HLT).
 * - Before each VM entry, with interrupts off and the "in guest" mark set and a
 *   full barrier after it, the owner looks at halo_lapic_mail(); if it is
 *   true, clear the mark and call halo_lapic_sync(), which folds the mailbox
 *   into the registers and says whether an NMI, INIT or SIPI is to be handled.
 *   Then an interrupt is chosen with halo_lapic_pending(), injected, and
 *   moved to service with halo_lapic_ack() at the moment of injection.
 * - Or the CPU does that by itself, and EOI, TPR and self-IPI, out of the page of
 *   registers (SDM 3C chapter 29): then it is told halo_lapic_status() before an
 *   entry if @changed says so, @stale is set after it, and what it can't do by
 *   itself comes through halo_lapic_eoi_done() and halo_lapic_written().
 * - The poster's side: the mailbox word is set (full barrier), then the mark is
 *   read: so one of the two sees the other.
 * - Calls that may end an interrupt (halo_lapic_eoi(), _mmio_write(),
 *   _msr_write()) return HALO_LAPIC_EOI | vector when userspace's IOAPIC must
 *   hear of it (HALO_EXIT_EOI).
 * - Time: one tick of the APIC bus clock is 1 ns (1 GHz; CPUID leaf 0x15 or
 *   0x40000010 may say so).  ops->timer_arm() starts the one timer of the
 *   vCPU, replacing what was armed; its callback calls halo_lapic_post_timer()
 *   and kicks.  It must not fire early; if it does, it is armed again.
 */
#ifndef HALO_LAPIC_H
#define HALO_LAPIC_H

#include "pure.h"

#define HALO_LAPIC_DEFAULT_BASE	0xfee00000ULL
#define HALO_LAPIC_IMAGE_BYTES	1024

/* MSR IA32_APIC_BASE (SDM 3A 11.4.4). */
#define HALO_APIC_BASE_BSP	BIT_ULL(8)
#define HALO_APIC_BASE_X2APIC	BIT_ULL(10)
#define HALO_APIC_BASE_ENABLE	BIT_ULL(11)

/* Delivery modes: ICR, LVT and MSI bits 10:8. */
#define HALO_DM_FIXED		0
#define HALO_DM_LOWEST		1
#define HALO_DM_SMI		2
#define HALO_DM_SENT		3	/* in no message: see halo_lapic_sent() */
#define HALO_DM_NMI		4
#define HALO_DM_INIT		5
#define HALO_DM_SIPI		6
#define HALO_DM_EXTINT		7

/* Destination shorthands: ICR bits 19:18. */
#define HALO_SH_NONE		0
#define HALO_SH_SELF		1
#define HALO_SH_ALL		2
#define HALO_SH_OTHERS		3

/**
 * struct halo_ipi - an interrupt message: from an ICR, an MSI or an IOAPIC pin
 * @dest: destination; 8 bits unless @wide
 * @vector: 0 to 255
 * @mode: HALO_DM_*
 * @shorthand: HALO_SH_*; HALO_SH_NONE for all but an ICR
 * @logical: @dest is a logical destination (else an APIC ID)
 * @wide: @dest is 32 bits and comes from an x2APIC
 * @level: asserted (a de-assert message is dropped)
 * @trig: level-triggered: the EOI is of interest to userspace
 */
struct halo_ipi {
	u32 dest;
	u8 vector;
	u8 mode;
	u8 shorthand;
	bool logical;
	bool wide;
	bool level;
	bool trig;
};

/**
 * enum halo_lapic_timer - units of the time given to ops->timer_arm()
 * @HALO_LAPIC_TIMER_NS: ops->now_ns() time (one-shot and periodic mode)
 * @HALO_LAPIC_TIMER_TSC: guest TSC (TSC-deadline mode)
 */
enum halo_lapic_timer {
	HALO_LAPIC_TIMER_NS,
	HALO_LAPIC_TIMER_TSC,
};

/**
 * struct halo_lapic_ops - what the model needs of its surroundings
 * @now_ns: a monotonic clock, ns
 * @tsc_now: the guest's TSC
 * @timer_arm: fire at @when (absolute, unit @unit), once; replaces an earlier one
 * @timer_cancel: stop the timer; a callback that is running may finish later
 * @send_ipi: route a message (usually halo_lapic_route() over the VM's LAPICs)
 * @kick: any context: make the owner call halo_lapic_sync() soon
 * @rerouted: the routing facts have changed: what halo_lapic_route_again() knows is old
 * @doorbell: any context, and only if @virt: make a CPU that is in the guest look at IRR
 *	again; false if none is
 *
 * All but @kick and @doorbell are called by the owner only, never under a spinlock of
 * the model's (it has none).
 */
struct halo_lapic_ops {
	u64 (*now_ns)(void *ctx);
	u64 (*tsc_now)(void *ctx);
	void (*timer_arm)(void *ctx, enum halo_lapic_timer unit, u64 when);
	void (*timer_cancel)(void *ctx);
	void (*send_ipi)(void *ctx, const struct halo_ipi *ipi);
	void (*kick)(void *ctx);
	void (*rerouted)(void *ctx);
	bool (*doorbell)(void *ctx);
};

/**
 * struct halo_lapic_known - whom a message is for
 * @gen: generation of the routing that this is true in, 0 = none
 * @who: bit set: the LAPIC of that index
 */
struct halo_lapic_known {
	u64 gen;
	u64 who;
};

/* Bits of struct halo_lapic mail. */
#define HALO_MAIL_PIR		0	/* a bit of @pir was set */
#define HALO_MAIL_TIMER		1
#define HALO_MAIL_NMI		2
#define HALO_MAIL_INIT		3
#define HALO_MAIL_SIPI		4
#define HALO_MAIL_LINT0		5	/* the pin rose */
#define HALO_MAIL_LINT1		6
#define HALO_MAIL_ILLEGAL	7	/* a message with vector 0 to 15 came */
#define HALO_MAIL_NMI_AGAIN	8	/* another one, before the first was seen */

/* What halo_lapic_sync() asks of the vCPU. */
#define HALO_LAPIC_NMI		BIT(HALO_MAIL_NMI)
#define HALO_LAPIC_NMI_AGAIN	BIT(HALO_MAIL_NMI_AGAIN)
#define HALO_LAPIC_INIT		BIT(HALO_MAIL_INIT)
#define HALO_LAPIC_SIPI		BIT(HALO_MAIL_SIPI)

/* Result of halo_lapic_post(). */
#define HALO_POST_TAKEN		BIT(0)	/* accepted (0: dropped) */
#define HALO_POST_KICK		BIT(1)	/* the owner must be kicked */

/* The EOI of a level-triggered vector (low 8 bits) is to be broadcast. */
#define HALO_LAPIC_EOI		0x100

/*
 * Shortest period of a periodic timer.  A guest may ask for 1 ns; it gets an
 * interrupt at most this often, so that a host CPU is not held by its timer.
 */
#define HALO_LAPIC_MIN_PERIOD_NS	20000ULL

/*
 * Routing facts, packed in one word so that others read a consistent set: APIC
 * ID in bits 31:0, xAPIC logical ID in 39:32, then these.
 */
#define HALO_ROUTE_LOGICAL_SHIFT	32
#define HALO_ROUTE_CLUSTER	BIT_ULL(40)	/* xAPIC cluster model (DFR) */
#define HALO_ROUTE_X2APIC	BIT_ULL(41)
#define HALO_ROUTE_ENABLED	BIT_ULL(42)	/* APIC_BASE.EN */
#define HALO_ROUTE_SOFT		BIT_ULL(43)	/* SVR.EN; or it is this, that a CPU ... */
#define HALO_ROUTE_DIRECT	BIT_ULL(44)	/* looks at IRR by itself, and others write there */
#define HALO_ROUTE_IPIS		BIT_ULL(45)	/* and the CPUs of senders are among those */
#define HALO_ROUTE_VIRT		BIT_ULL(46)	/* a CPU has the page: EN, default base, xAPIC */

/* Registers that others than the model look at: offset in the xAPIC page >> 4. */
#define HALO_LAPIC_TPR	0x08
#define HALO_LAPIC_PPR	0x0a
#define HALO_LAPIC_TMR	0x18	/* 8 words */
#define HALO_LAPIC_IRR	0x20	/* 8 words */

/**
 * struct halo_lapic_reg - a register in the xAPIC page, which has one every 16 bytes
 * @v: the register
 * @high: destination in an x2APIC's ICR; else zero
 * @zero: zero
 */
struct halo_lapic_reg {
	u32 v;
	u32 high;
	u32 zero[2];
};

#define HALO_LAPIC_REGS		64

/**
 * struct halo_lapic - one local APIC
 * @reg: HALO_LAPIC_REGS registers, the beginning of a page that a CPU with APIC
 *	virtualization reads and writes by itself while it is in the guest.  PPR is
 *	always up to date; ID is in its high byte but in x2APIC mode
 * @irr_words: bit w is set when word w of IRR is not zero
 * @isr_words: the same of ISR
 * @stale: the CPU may have changed IRR and ISR since these two were right
 * @shared: others may do so at any time
 * @virt: the page may be given to a CPU that shares it with others' (AVIC)
 * @changed: what halo_lapic_status() says may be new, or the mode is
 * @phys_bits: width of a guest-physical address (reserved bits of APIC_BASE)
 * @running: the timer counts (or a TSC deadline is set)
 * @armed: ops->timer_arm() was called and has not fired
 * @number: the vCPU's number, initial APIC ID
 * @errors: errors seen since ESR was written
 * @deadline: when the timer fires next: ns, or guest TSC in TSC-deadline mode
 * @base: MSR APIC_BASE
 * @ops: surroundings
 * @ctx: argument of @ops
 * @mail: mailbox: HALO_MAIL_*
 * @pir: posted interrupt requests
 * @pir_level: whether the last post of a vector was level-triggered
 * @lines: input pins, bit 0 LINT0, bit 1 LINT1
 * @route: routing facts, HALO_ROUTE_*
 * @sipi_vector: vector of the last SIPI
 *
 * From @mail on, fields are shared: set by any context with atomics (@route and
 * PPR: by the owner, read by others).
 */
struct halo_lapic {
	struct halo_lapic_reg *reg;
	u8 irr_words;
	u8 isr_words;
	bool stale;
	bool shared;
	bool virt;
	bool changed;
	u8 phys_bits;
	bool running;
	bool armed;
	u32 number;
	u32 errors;
	u64 deadline;
	u64 base;
	const struct halo_lapic_ops *ops;
	void *ctx;

	unsigned long mail __aligned(64);
	unsigned long pir[4];
	unsigned long pir_level[4];
	unsigned long lines;
	u64 route;
	u8 sipi_vector;
};

/* Life. */
void halo_lapic_init(struct halo_lapic *l, void *page, u32 id, u8 phys_bits,
		     const struct halo_lapic_ops *ops, void *ctx);
void halo_lapic_reset(struct halo_lapic *l);
void halo_lapic_init_reset(struct halo_lapic *l);
void halo_lapic_save(struct halo_lapic *l, u8 image[HALO_LAPIC_IMAGE_BYTES]);
int halo_lapic_load(struct halo_lapic *l,
		    const u8 image[HALO_LAPIC_IMAGE_BYTES]);

/* The guest's accesses. */
u64 halo_lapic_mmio_read(struct halo_lapic *l, u32 offset, unsigned int size);
int halo_lapic_mmio_write(struct halo_lapic *l, u32 offset, unsigned int size,
			  u64 value);
int halo_lapic_msr_read(struct halo_lapic *l, u32 msr, u64 *value);
int halo_lapic_msr_write(struct halo_lapic *l, u32 msr, u64 value);
int halo_lapic_set_base(struct halo_lapic *l, u64 value, bool host);
u64 halo_lapic_tsc_deadline(const struct halo_lapic *l);
void halo_lapic_set_tsc_deadline(struct halo_lapic *l, u64 value);
void halo_lapic_set_tpr(struct halo_lapic *l, u8 tpr);
int halo_lapic_eoi(struct halo_lapic *l);
bool halo_lapic_eoi_quiet(struct halo_lapic *l);
int halo_lapic_eoi_done(struct halo_lapic *l, u8 vector);
void halo_lapic_written(struct halo_lapic *l, u32 offset);
void halo_lapic_sent(struct halo_lapic *l);
u64 halo_lapic_virt_route(struct halo_lapic *l, u64 route);

/* Interrupts in. */
unsigned long halo_lapic_sync(struct halo_lapic *l);
int halo_lapic_pending(struct halo_lapic *l);
void halo_lapic_ack(struct halo_lapic *l, u8 vector);
bool halo_lapic_extint_pending(const struct halo_lapic *l);
unsigned int halo_lapic_status(struct halo_lapic *l);
u8 halo_lapic_threshold(struct halo_lapic *l);

/* Any context. */
unsigned int halo_lapic_post(struct halo_lapic *l, u8 mode, u8 vector, bool trig);
bool halo_lapic_set_line(struct halo_lapic *l, unsigned int pin, bool level);
int halo_lapic_route(struct halo_lapic *const *all, unsigned int count,
		     const struct halo_lapic *from, const struct halo_ipi *ipi,
		     u32 *turn);
int halo_lapic_route_again(struct halo_lapic *const *all, unsigned int count, u64 gen,
			   const struct halo_ipi *ipi, struct halo_lapic_known *known, u32 *turn);
int halo_msi_decode(u64 addr, u32 data, struct halo_ipi *ipi);

/**
 * halo_lapic_post_timer() - the armed timer went off (any context)
 * @l: the LAPIC
 *
 * Return: whether the owner must be kicked.
 */
static inline bool halo_lapic_post_timer(struct halo_lapic *l)
{
	return !test_and_set_bit(HALO_MAIL_TIMER, &l->mail);
}

/**
 * halo_lapic_mail() - is there anything for halo_lapic_sync() to do (one load)
 * @l: the LAPIC
 *
 * Return: whether the mailbox holds something.
 */
static inline bool halo_lapic_mail(const struct halo_lapic *l)
{
	return READ_ONCE(l->mail);
}

/**
 * halo_lapic_enabled() - APIC_BASE.EN: also CPUID.1:EDX bit 9
 * @l: the LAPIC
 *
 * Return: whether it is enabled by hardware.
 */
static inline bool halo_lapic_enabled(const struct halo_lapic *l)
{
	return l->base & HALO_APIC_BASE_ENABLE;
}

/**
 * halo_lapic_x2apic() - is it in x2APIC mode
 * @l: the LAPIC
 *
 * Return: whether MSRs 0x800 to 0x8ff are its registers.
 */
static inline bool halo_lapic_x2apic(const struct halo_lapic *l)
{
	return l->base & HALO_APIC_BASE_X2APIC;
}

/**
 * halo_lapic_covers() - is a guest-physical address in the xAPIC page
 * @l: the LAPIC
 * @gpa: the address
 *
 * A guest that moves the page over its own RAM gets RAM: only an access that no
 * memslot takes is asked about.
 *
 * Return: whether the access is for halo_lapic_mmio_read() and _write().
 */
static inline bool halo_lapic_covers(const struct halo_lapic *l, u64 gpa)
{
	return (l->base & (HALO_APIC_BASE_ENABLE | HALO_APIC_BASE_X2APIC)) ==
	       HALO_APIC_BASE_ENABLE && !((gpa ^ l->base) >> 12);
}

/**
 * halo_lapic_cr8() - CR8 as the guest sees it
 * @l: the LAPIC
 *
 * Return: the task priority class, 0 to 15.
 */
static inline u64 halo_lapic_cr8(const struct halo_lapic *l)
{
	return l->reg[HALO_LAPIC_TPR].v >> 4;
}

/**
 * halo_lapic_set_cr8() - MOV to CR8, or V_TPR after an exit
 * @l: the LAPIC
 * @cr8: new value; more than 15 is the caller's #GP
 *
 * Leaves the low half of TPR alone when the class does not change.
 */
static inline void halo_lapic_set_cr8(struct halo_lapic *l, u64 cr8)
{
	if (cr8 != halo_lapic_cr8(l))
		halo_lapic_set_tpr(l, (u8)(cr8 << 4));
}

#endif /* HALO_LAPIC_H */
