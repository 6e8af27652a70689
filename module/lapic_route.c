// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupt messages on their way to a LAPIC: what an MSI says, whom a message
 * is for, and how it is left in the mailbox.
 *
 * Everything here may be called from any context and takes no lock: of a LAPIC
 * it reads the published routing facts and PPR, each one load, and sets mailbox
 * bits atomically.  No bus, no message queue and no table by destination, which would
 * have to be kept right while guests rewrite their IDs: an IPI's usual case, one physical
 * destination, needs no search, and a message that is sent again and again keeps what its
 * last search found, with the generation of the VM's routing that this was true in.
 *
 * Section numbers: see lapic.c.
 */
#include "lapic.h"

#define FIRST_VECTOR	16

/**
 * halo_msi_decode() - a message-signalled interrupt as a message (11.11)
 * @addr: message address
 * @data: message data
 * @ipi: where it goes
 *
 * Return: 0, or -EINVAL if the address is not that of interrupts or the
 * delivery mode is reserved.
 */
int halo_msi_decode(u64 addr, u32 data, struct halo_ipi *ipi)
{
	if (addr >> 20 != 0xfee)
		return -EINVAL;
	memset(ipi, 0, sizeof(*ipi));
	ipi->dest = addr >> 12 & 0xff;
	ipi->logical = addr & BIT(2);
	ipi->vector = data;
	ipi->mode = data >> 8 & 7;
	ipi->trig = data >> 15 & 1;
	ipi->level = !ipi->trig || (data >> 14 & 1);
	if (ipi->mode == 3 || ipi->mode == HALO_DM_SIPI)
		return -EINVAL;
	/* Redirection hint: to one of those addressed. */
	if ((addr & BIT(3)) && ipi->logical && ipi->mode == HALO_DM_FIXED)
		ipi->mode = HALO_DM_LOWEST;
	return 0;
}

/**
 * halo_lapic_virt_route() - routing facts where a CPU takes the page of an xAPIC (owner)
 * @l: the LAPIC
 * @route: the facts without that
 *
 * Interrupts are then put into IRR, not into the mail.  CPUs find it by its first ID alone.
 * Once this has been so, IRR is never again known by its mask: who was late may still
 * write there.
 *
 * Return: the facts.
 */
u64 halo_lapic_virt_route(struct halo_lapic *l, u64 route)
{
	const u64 base = HALO_LAPIC_DEFAULT_BASE | HALO_APIC_BASE_ENABLE | HALO_APIC_BASE_BSP;

	if ((l->base | HALO_APIC_BASE_BSP) != base)
		return route;
	l->shared = true;
	l->stale = true;
	route |= HALO_ROUTE_VIRT;
	if (route & HALO_ROUTE_SOFT) {
		route ^= HALO_ROUTE_SOFT | HALO_ROUTE_DIRECT;
		if ((u32)route == l->number)
			route |= HALO_ROUTE_IPIS;
	}
	return route;
}

static bool match_logical(u64 route, const struct halo_ipi *ipi)
{
	u32 id = (u32)route, dest = ipi->dest;
	u8 ldr = route >> HALO_ROUTE_LOGICAL_SHIFT;

	if (route & HALO_ROUTE_X2APIC)
		return dest >> 16 == id >> 4 && (dest >> (id & 15) & 1);
	if (dest > 0xff)
		return false;
	if (!(route & HALO_ROUTE_CLUSTER))
		return dest & ldr;
	return dest >> 4 == ldr >> 4 && (dest & ldr & 0xf);
}

/*
 * Is a message's destination this LAPIC (11.6.2, 11.12.10)?  All ones, of the
 * width of the sender's destination, is everybody.
 */
static bool match(u64 route, const struct halo_ipi *ipi)
{
	if (!(route & HALO_ROUTE_ENABLED))
		return false;
	if (ipi->dest == (ipi->wide ? ~0U : 0xff))
		return true;
	return ipi->logical ? match_logical(route, ipi) : ipi->dest == (u32)route;
}

/* IRR has changed: who runs looks there at a word, who does not must read its mail. */
static unsigned int look(struct halo_lapic *l)
{
	return HALO_POST_TAKEN | (l->ops->doorbell(l->ctx) ||
				  test_and_set_bit(HALO_MAIL_PIR, &l->mail) ?
				  0 : HALO_POST_KICK);
}

/* An interrupt, by mail. */
static __always_inline unsigned int post_mail(struct halo_lapic *l, u8 vector, bool trig)
{
	unsigned int w = vector >> 6, bit = vector & 63;

	if (unlikely(vector < FIRST_VECTOR))
		return test_and_set_bit(HALO_MAIL_ILLEGAL, &l->mail) ? 0 : HALO_POST_KICK;
	if (unlikely(trig))
		set_bit(bit, &l->pir_level[w]);
	else if (unlikely(READ_ONCE(l->pir_level[w]) & BIT(bit)))
		clear_bit(bit, &l->pir_level[w]);
	/* Whoever set it first kicks. */
	if (test_and_set_bit(bit, &l->pir[w]))
		return HALO_POST_TAKEN;
	return HALO_POST_TAKEN |
	       (test_and_set_bit(HALO_MAIL_PIR, &l->mail) ? 0 : HALO_POST_KICK);
}

/*
 * An interrupt to a LAPIC without ROUTE_SOFT.  TMR is the owner's, so that one that is or
 * has been level-triggered goes by mail.
 */
static noinline unsigned int post_direct(struct halo_lapic *l, u64 route, u8 vector, bool trig)
{
	u32 *irr = &l->reg[HALO_LAPIC_IRR + (vector >> 5)].v;
	u32 bit = 1U << (vector & 31);

	if (!(route & HALO_ROUTE_DIRECT))
		return 0;
	if (trig || vector < FIRST_VECTOR ||
	    READ_ONCE(l->reg[HALO_LAPIC_TMR + (vector >> 5)].v) & bit)
		return post_mail(l, vector, trig);
	if (READ_ONCE(*irr) & bit)
		return HALO_POST_TAKEN;
	halo_or32(irr, bit);
	/* Pairs with the barrier in ops->rerouted(): too late here is in time by mail. */
	smp_mb();
	return READ_ONCE(l->route) & HALO_ROUTE_DIRECT ? look(l) : post_mail(l, vector, trig);
}

/* What a CPU has put into IRR wherever it could, see halo_lapic_sent(). */
static noinline unsigned int post_sent(struct halo_lapic *l, u64 route, u8 vector)
{
	return route & HALO_ROUTE_IPIS ? look(l) :
	       halo_lapic_post(l, HALO_DM_FIXED, vector, false);
}

/**
 * halo_lapic_post() - leave a message in a LAPIC's mailbox
 * @l: the LAPIC
 * @mode: HALO_DM_*
 * @vector: of a fixed or lowest-priority interrupt, or of a SIPI
 * @trig: level-triggered
 *
 * ExtINT, SMI and reserved modes are dropped, and so are interrupts to a LAPIC
 * that software has switched off (11.4.7.2) and those with an illegal vector.
 *
 * Return: mask of HALO_POST_TAKEN and HALO_POST_KICK.
 */
unsigned int halo_lapic_post(struct halo_lapic *l, u8 mode, u8 vector, bool trig)
{
	u64 route = READ_ONCE(l->route);
	unsigned int mail;

	if (!(route & HALO_ROUTE_ENABLED))
		return 0;
	switch (mode) {
	case HALO_DM_FIXED:
	case HALO_DM_LOWEST:
		if (unlikely(!(route & HALO_ROUTE_SOFT)))
			return post_direct(l, route, vector, trig);
		return post_mail(l, vector, trig);
	case HALO_DM_NMI:
		/* A processor latches one NMI while it is at another. */
		if (!test_and_set_bit(HALO_MAIL_NMI, &l->mail))
			return HALO_POST_TAKEN | HALO_POST_KICK;
		mail = HALO_MAIL_NMI_AGAIN;
		break;
	case HALO_DM_INIT:
		/* A SIPI before the INIT is not for the processor after it. */
		clear_bit(HALO_MAIL_SIPI, &l->mail);
		mail = HALO_MAIL_INIT;
		break;
	case HALO_DM_SIPI:
		WRITE_ONCE(l->sipi_vector, vector);
		mail = HALO_MAIL_SIPI;
		break;
	default:
		return mode == HALO_DM_SENT ? post_sent(l, route, vector) : 0;
	}
	return HALO_POST_TAKEN |
	       (test_and_set_bit(mail, &l->mail) ? 0 : HALO_POST_KICK);
}

/**
 * halo_lapic_set_line() - an input pin changes (any context)
 * @l: the LAPIC
 * @pin: 0 LINT0, 1 LINT1, 2 NMI past the LAPIC (HALO_PIN_*)
 * @level: up or down; an NMI is taken each time it is up
 *
 * Return: whether the owner must be kicked.
 */
bool halo_lapic_set_line(struct halo_lapic *l, unsigned int pin, bool level)
{
	if (pin >= 2)
		return pin == 2 && level &&
		       !test_and_set_bit(HALO_MAIL_NMI, &l->mail);
	if (!level) {
		clear_bit(pin, &l->lines);
		return false;
	}
	if (test_and_set_bit(pin, &l->lines))
		return false;
	return !test_and_set_bit(HALO_MAIL_LINT0 + pin, &l->mail);
}

static bool selected(const struct halo_lapic *l, const struct halo_lapic *from,
		     const struct halo_ipi *ipi)
{
	switch (ipi->shorthand) {
	case HALO_SH_SELF:
		return l == from;
	case HALO_SH_ALL:
		return true;
	case HALO_SH_OTHERS:
		return l != from;
	default:
		return match(READ_ONCE(l->route), ipi);
	}
}

static bool takes(u64 route)
{
	return likely(route & HALO_ROUTE_SOFT) || route & HALO_ROUTE_DIRECT;
}

/*
 * Lowest-priority arbitration (11.6.2.4): the lowest PPR of those addressed and
 * switched on; among equals, in turn.  A race over @turn is harmless.
 */
static int lowest(struct halo_lapic *const *all, unsigned int count,
		  const struct halo_lapic *from, const struct halo_ipi *ipi,
		  u32 *turn)
{
	unsigned int n, i = READ_ONCE(*turn), best_ppr = ~0U, ppr;
	const struct halo_lapic *l;
	int best = -1;

	for (n = 0; n < count; n++, i++) {
		if (i >= count)
			i = 0;
		l = READ_ONCE(all[i]);
		if (!l || !takes(READ_ONCE(l->route)) || !selected(l, from, ipi))
			continue;
		ppr = READ_ONCE(l->reg[HALO_LAPIC_PPR].v);
		if (ppr < best_ppr) {
			best_ppr = ppr;
			best = i;
		}
	}
	if (best >= 0)
		WRITE_ONCE(*turn, best + 1);
	return best;
}

static int deliver(struct halo_lapic *l, const struct halo_lapic *from,
		   const struct halo_ipi *ipi)
{
	unsigned int done = halo_lapic_post(l, ipi->mode, ipi->vector, ipi->trig);

	/* The sender is not in the guest: it reads its mail before it enters. */
	if ((done & HALO_POST_KICK) && l != from)
		l->ops->kick(l->ctx);
	return !!(done & HALO_POST_TAKEN);
}

/* Whom a physical destination that is also an index is for, NULL if a search must tell. */
static __always_inline struct halo_lapic *direct(struct halo_lapic *const *all,
						 unsigned int count, const struct halo_ipi *ipi)
{
	struct halo_lapic *l;

	if (unlikely(ipi->shorthand || ipi->logical || ipi->dest >= count))
		return NULL;
	l = READ_ONCE(all[array_index_nospec(ipi->dest, count)]);
	/* IDs are unique; 0xff may be everybody. */
	return l && (u32)READ_ONCE(l->route) == ipi->dest && (ipi->wide || ipi->dest != 0xff) ?
	       l : NULL;
}

/**
 * halo_lapic_route() - deliver a message to whom it is for (any context)
 * @all: the VM's LAPICs, best with each at the index of its APIC ID; entries may
 *	be NULL, and are read once
 * @count: how many
 * @from: the sending LAPIC, NULL for an MSI
 * @ipi: message
 * @turn: the VM's turn of lowest-priority arbitration
 *
 * Kicks (ops->kick) who needs it, but not @from.
 *
 * Return: how many LAPICs took it.
 */
int halo_lapic_route(struct halo_lapic *const *all, unsigned int count,
		     const struct halo_lapic *from, const struct halo_ipi *ipi,
		     u32 *turn)
{
	struct halo_lapic *l;
	unsigned int i;
	int taken = 0;

	/* De-assert messages went out with the APIC bus. */
	if (ipi->trig && !ipi->level)
		return 0;
	if (ipi->mode == HALO_DM_LOWEST) {
		int best = lowest(all, count, from, ipi, turn);

		return best < 0 ? 0 : deliver(READ_ONCE(all[best]), from, ipi);
	}
	l = direct(all, count, ipi);
	if (likely(l))
		return deliver(l, from, ipi);
	for (i = 0; i < count; i++) {
		l = READ_ONCE(all[i]);
		if (l && selected(l, from, ipi))
			taken += deliver(l, from, ipi);
	}
	return taken;
}

static noinline u64 search(struct halo_lapic *const *all, unsigned int count,
			   const struct halo_ipi *ipi)
{
	const struct halo_lapic *l;
	unsigned int i;
	u64 found = 0;

	if (ipi->trig && !ipi->level)
		return 0;
	if (direct(all, count, ipi))
		return BIT_ULL(ipi->dest);
	for (i = 0; i < count; i++) {
		l = READ_ONCE(all[i]);
		if (l && match(READ_ONCE(l->route), ipi))
			found |= BIT_ULL(i);
	}
	return found;
}

/**
 * halo_lapic_route_again() - halo_lapic_route() of an MSI that is sent repeatedly
 * @all: see there
 * @count: see there; at most 64
 * @gen: generation of their routing, not 0: it was read before anything else here is, and
 *	whoever changes a LAPIC's routing facts or @count counts it up after that
 * @ipi: message, without shorthand; always the same one
 * @known: what was found before, zeroes at first; the caller sees to it that no two use
 *	it at a time
 * @turn: see there
 *
 * What is found by an old generation's facts goes where it would have gone if sent before
 * they changed.  Lowest priority is another matter each time.
 *
 * Return: how many LAPICs took it.
 */
int halo_lapic_route_again(struct halo_lapic *const *all, unsigned int count, u64 gen,
			   const struct halo_ipi *ipi, struct halo_lapic_known *known, u32 *turn)
{
	int taken = 0;
	u64 left;

	if (unlikely(ipi->mode == HALO_DM_LOWEST))
		return halo_lapic_route(all, count, NULL, ipi, turn);
	if (unlikely(known->gen != gen)) {
		known->who = search(all, count, ipi);
		known->gen = gen;
	}
	for (left = known->who; left; left &= left - 1)
		taken += deliver(READ_ONCE(all[__ffs64(left)]), NULL, ipi);
	return taken;
}
