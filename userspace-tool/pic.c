// SPDX-License-Identifier: GPL-2.0
/*
 * Two 8259A interrupt controllers, cascaded as in a PC, with the ELCR.
 *
 * The pair's output drives LINT0 of the bootstrap vCPU; the vCPU then asks for a
 * vector (INTA, pic_ack()). Modelled after Intel's 8259A data sheet: fixed and
 * rotating priority, special mask, special fully nested mode, poll, auto-EOI.
 * Runs under the device lock.
 */
#include <string.h>

#include "devices.h"

#define CASCADE		2
#define NONE		8

/* Priority of input n with the lowest one given: 0 is the highest. */
static unsigned int rank_of(const struct pic_chip *c, unsigned int n)
{
	return (n + 7 - c->lowest) & 7;
}

/* The most urgent input in a mask, NONE if it is empty. */
static unsigned int first_of(const struct pic_chip *c, u8 mask)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		unsigned int n = (c->lowest + 1 + i) & 7;

		if (mask & 1 << n)
			return n;
	}
	return NONE;
}

static unsigned int pending(const struct pic *p, unsigned int which)
{
	const struct pic_chip *c = &p->chip[which];
	unsigned int irq = first_of(c, c->irr & ~c->imr);
	u8 busy = c->isr;
	unsigned int serving;

	if (irq == NONE)
		return NONE;
	if (c->special_mask)
		busy &= ~c->imr;
	/* Special fully nested: the slave may interrupt its own service. */
	if (!which && c->nested_special)
		busy &= ~(1 << CASCADE);
	serving = first_of(c, busy);
	if (serving != NONE && rank_of(c, serving) <= rank_of(c, irq) &&
	    !(c->special_mask && serving != irq))
		return NONE;
	return irq;
}

static void set_input(struct pic_chip *c, unsigned int n, bool level)
{
	u8 bit = (u8)(1 << n);

	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (level && !(c->level & bit))
		c->irr |= bit;
	c->level = level ? c->level | bit : c->level & ~bit;
}

static void update(struct pic *p)
{
	bool out;

	if (pending(p, 1) != NONE)
		p->chip[0].irr |= 1 << CASCADE;
	else
		p->chip[0].irr &= ~(1 << CASCADE);
	out = pending(p, 0) != NONE;
	if (out != p->out) {
		p->out = out;
		irq_set(&p->intr, out);
	}
}

static void reset_chip(struct pic_chip *c)
{
	u8 elcr = c->elcr, elcr_mask = c->elcr_mask, level = c->level;

	memset(c, 0, sizeof(*c));
	c->elcr = elcr;
	c->elcr_mask = elcr_mask;
	c->level = level;
	c->irr = level & elcr;
	c->lowest = 7;
}

/**
 * pic_init() - the state in which a PC's firmware leaves them
 * @p: the pair
 * @intr: the pair's output
 */
void pic_init(struct pic *p, struct irq_out intr)
{
	memset(p, 0, sizeof(*p));
	p->intr = intr;
	p->chip[0].elcr_mask = 0xf8;
	p->chip[1].elcr_mask = 0xde;
	reset_chip(&p->chip[0]);
	reset_chip(&p->chip[1]);
	p->chip[0].base = 0x08;
	p->chip[1].base = 0x70;
}

/**
 * pic_set() - set the level of an input
 * @p: the pair
 * @pin: 0 to 15
 * @level: its level
 */
void pic_set(struct pic *p, unsigned int pin, bool level)
{
	if (pin > 15 || pin == CASCADE)
		return;
	set_input(&p->chip[pin >> 3], pin & 7, level);
	update(p);
}

static void take(struct pic_chip *c, unsigned int n)
{
	u8 bit = (u8)(1 << n);

	if (c->auto_eoi) {
		if (c->rotate_aeoi)
			c->lowest = (u8)n;
	} else {
		c->isr |= bit;
	}
	if (!(c->elcr & bit))
		c->irr &= ~bit;
}

/**
 * pic_ack() - the CPU's interrupt acknowledge cycle
 * @p: the pair
 *
 * Return: the vector; input 7's, the spurious one, if nothing is pending.
 */
u8 pic_ack(struct pic *p)
{
	unsigned int n = pending(p, 0), m;
	u8 vector;

	if (n == NONE) {
		vector = p->chip[0].base + 7;
	} else if (n == CASCADE) {
		m = pending(p, 1);
		if (m != NONE)
			take(&p->chip[1], m);
		else
			m = 7;
		take(&p->chip[0], n);
		vector = p->chip[1].base + (u8)m;
	} else {
		take(&p->chip[0], n);
		vector = p->chip[0].base + (u8)n;
	}
	update(p);
	return vector;
}

static void eoi(struct pic_chip *c, u8 ocw2)
{
	unsigned int n = ocw2 & 7;
	bool specific = ocw2 & 0x40, rotate = ocw2 & 0x80;

	if (!(ocw2 & 0x20)) {
		if (specific && rotate)
			c->lowest = (u8)n;
		else if (!specific)
			c->rotate_aeoi = rotate;
		return;
	}
	if (!specific) {
		u8 busy = c->isr;

		if (c->special_mask)
			busy &= ~c->imr;
		n = first_of(c, busy);
		if (n == NONE)
			return;
	}
	c->isr &= ~(1 << n);
	if (rotate)
		c->lowest = (u8)n;
}

static void write_command(struct pic_chip *c, u8 val)
{
	if (val & 0x10) {
		reset_chip(c);
		c->init_step = 2;
		c->need_icw4 = val & 1;
		c->single = val & 2;
	} else if (val & 0x08) {
		c->poll = val & 4;
		if (val & 2)
			c->read_isr = val & 1;
		if (val & 0x40)
			c->special_mask = val & 0x20;
	} else {
		eoi(c, val);
	}
}

static void write_data(struct pic_chip *c, u8 val)
{
	switch (c->init_step) {
	case 2:
		c->base = val & 0xf8;
		c->init_step = c->single ? (c->need_icw4 ? 4 : 0) : 3;
		break;
	case 3:
		c->init_step = c->need_icw4 ? 4 : 0;
		break;
	case 4:
		c->auto_eoi = val & 2;
		c->nested_special = val & 0x10;
		c->init_step = 0;
		break;
	default:
		c->imr = val;
	}
}

static u64 chip_read(struct pic *p, unsigned int which, u64 off)
{
	struct pic_chip *c = &p->chip[which];

	if (c->poll) {
		unsigned int n = pending(p, which);

		c->poll = false;
		if (n == NONE)
			return 0;
		take(c, n);
		update(p);
		return 0x80 | n;
	}
	if (off)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void chip_write(struct pic *p, unsigned int which, u64 off, u8 val)
{
	if (off)
		write_data(&p->chip[which], val);
	else
		write_command(&p->chip[which], val);
	update(p);
}

/**
 * pic_read() - ports 0x20 and 0x21
 * @dev: the pair
 * @off: port minus 0x20
 * @size: 1
 *
 * Return: the byte.
 */
u64 pic_read(void *dev, u64 off, unsigned int size)
{
	(void)size;
	return chip_read(dev, 0, off);
}

/**
 * pic_write() - ports 0x20 and 0x21
 * @dev: the pair
 * @off: port minus 0x20
 * @size: 1
 * @val: the byte
 */
void pic_write(void *dev, u64 off, unsigned int size, u64 val)
{
	(void)size;
	chip_write(dev, 0, off, (u8)val);
}

/**
 * pic_slave_read() - ports 0xa0 and 0xa1
 * @dev: the pair
 * @off: port minus 0xa0
 * @size: 1
 *
 * Return: the byte.
 */
u64 pic_slave_read(void *dev, u64 off, unsigned int size)
{
	(void)size;
	return chip_read(dev, 1, off);
}

/**
 * pic_slave_write() - ports 0xa0 and 0xa1
 * @dev: the pair
 * @off: port minus 0xa0
 * @size: 1
 * @val: the byte
 */
void pic_slave_write(void *dev, u64 off, unsigned int size, u64 val)
{
	(void)size;
	chip_write(dev, 1, off, (u8)val);
}

/**
 * pic_elcr_read() - ports 0x4d0 and 0x4d1
 * @dev: the pair
 * @off: port minus 0x4d0
 * @size: 1
 *
 * Return: which inputs are level triggered.
 */
u64 pic_elcr_read(void *dev, u64 off, unsigned int size)
{
	struct pic *p = dev;

	(void)size;
	return p->chip[off & 1].elcr;
}

/**
 * pic_elcr_write() - ports 0x4d0 and 0x4d1
 * @dev: the pair
 * @off: port minus 0x4d0
 * @size: 1
 * @val: which inputs are level triggered
 */
void pic_elcr_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pic *p = dev;
	struct pic_chip *c = &p->chip[off & 1];

	(void)size;
	c->elcr = val & c->elcr_mask;
}
