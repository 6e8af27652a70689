// SPDX-License-Identifier: GPL-2.0
/*
 * An 8254 interval timer with the gate and speaker of port 0x61.
 *
 * Nothing ticks: a channel remembers when its count began, and reads are computed
 * from the clock. Channel 0 tells when its output rises next; the machine's timer
 * calls pit_expire() then. Ticks that the host was too late for are owed to the
 * guest and paid at half the period, so that a guest that counts ticks keeps its
 * time without an interrupt storm. Runs under the device lock.
 */
#include <string.h>

#include "devices.h"

#define BACKLOG_MAX	1000

static u64 ticks_to_ns(u64 ticks)
{
	return ticks / PIT_HZ * NS_PER_SEC + (ticks % PIT_HZ * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static u64 elapsed(const struct pit_channel *c, u64 now)
{
	u64 ns = now > c->start ? now - c->start : 0;

	return ns / NS_PER_SEC * PIT_HZ + ns % NS_PER_SEC * PIT_HZ / NS_PER_SEC;
}

static bool periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static u16 to_bcd(u32 n)
{
	return (u16)(n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12);
}

static u32 from_bcd(u32 n)
{
	return (n & 15) + (n >> 4 & 15) * 10 + (n >> 8 & 15) * 100 + (n >> 12 & 15) * 1000;
}

static u16 count_of(const struct pit_channel *c, u64 now)
{
	u64 t = elapsed(c, now), n;

	if (!c->loaded)
		return 0;
	if (c->mode == 2)
		n = c->reload - t % c->reload;
	else if (c->mode == 3)
		n = c->reload - 2 * t % c->reload;
	else
		n = c->reload - t;
	if (c->bcd)
		return to_bcd(n % 10000);
	return (u16)n;
}

static bool output_of(const struct pit_channel *c, u64 now)
{
	u64 t = elapsed(c, now);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return t >= c->reload;
	case 2:
		return t % c->reload != c->reload - 1;
	case 3:
		return t % c->reload < (c->reload + 1) / 2;
	default:
		return t != c->reload;
	}
}

static void start(struct pit *p, unsigned int i, u32 value)
{
	struct pit_channel *c = &p->ch[i];

	if (c->bcd)
		value = from_bcd(value);
	c->reload = value ? value : (c->bcd ? 10000 : 0x10000);
	/* The counter has no period of one. */
	if (periodic(c) && c->reload == 1)
		c->reload = 2;
	c->start = p->now(p->ctx);
	c->loaded = true;
	if (i)
		return;
	p->given = 0;
	p->next = c->start + ticks_to_ns(c->reload);
	if (c->mode == 0)
		irq_set(&p->irq, false);
}

/**
 * pit_init() - power-on state
 * @p: the timer
 * @now: monotonic clock, ns
 * @ctx: its argument
 * @irq: channel 0's output
 */
void pit_init(struct pit *p, u64 (*now)(void *ctx), void *ctx, struct irq_out irq)
{
	unsigned int i;

	memset(p, 0, sizeof(*p));
	for (i = 0; i < 3; i++) {
		p->ch[i].mode = 3;
		p->ch[i].access = 3;
		p->ch[i].gate = i < 2;
	}
	p->next = NEVER;
	p->now = now;
	p->ctx = ctx;
	p->irq = irq;
}

/**
 * pit_deadline() - when pit_expire() is due
 * @p: the timer
 *
 * Return: ns, NEVER.
 */
u64 pit_deadline(const struct pit *p)
{
	return p->next;
}

/**
 * pit_expire() - give channel 0's interrupt if it is due
 * @p: the timer
 * @now: ns
 */
void pit_expire(struct pit *p, u64 now)
{
	struct pit_channel *c = &p->ch[0];
	u64 due;

	if (now < p->next)
		return;
	irq_set(&p->irq, false);
	irq_set(&p->irq, true);
	if (!periodic(c)) {
		p->next = NEVER;
		return;
	}
	p->given++;
	due = elapsed(c, now) / c->reload;
	if (due > p->given + BACKLOG_MAX)
		p->given = due - BACKLOG_MAX;
	if (due > p->given)
		p->next = now + ticks_to_ns(c->reload) / 2;
	else
		p->next = c->start + ticks_to_ns((p->given + 1) * c->reload);
}

static void latch_count(struct pit *p, struct pit_channel *c)
{
	if (c->latched)
		return;
	c->latch = count_of(c, p->now(p->ctx));
	c->latched = true;
}

static void latch_status(struct pit *p, struct pit_channel *c)
{
	if (c->status_latched)
		return;
	c->status = (u8)(output_of(c, p->now(p->ctx)) << 7 | !c->loaded << 6 | c->access << 4 |
			 c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void write_control(struct pit *p, u8 val)
{
	unsigned int i, which = val >> 6, access = val >> 4 & 3;
	struct pit_channel *c;

	if (which == 3) {
		for (i = 0; i < 3; i++) {
			if (!(val & 2 << i))
				continue;
			if (!(val & 0x20))
				latch_count(p, &p->ch[i]);
			if (!(val & 0x10))
				latch_status(p, &p->ch[i]);
		}
		return;
	}
	c = &p->ch[which];
	if (!access) {
		latch_count(p, c);
		return;
	}
	c->access = (u8)access;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4;
	c->bcd = val & 1;
	c->loaded = false;
	c->write_high = false;
	c->read_high = false;
	c->latched = false;
	c->status_latched = false;
	if (!which) {
		p->next = NEVER;
		irq_set(&p->irq, c->mode != 0);
	}
}

/**
 * pit_write() - ports 0x40 to 0x43
 * @dev: the timer
 * @off: port minus 0x40
 * @size: 1
 * @val: the byte
 */
void pit_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pit *p = dev;
	struct pit_channel *c;
	u8 byte = (u8)val;

	(void)size;
	if (off == 3) {
		write_control(p, byte);
		return;
	}
	c = &p->ch[off];
	if (c->access == 1) {
		start(p, (unsigned int)off, byte);
	} else if (c->access == 2) {
		start(p, (unsigned int)off, (u32)byte << 8);
	} else if (!c->write_high) {
		c->write_low = byte;
		c->write_high = true;
	} else {
		c->write_high = false;
		start(p, (unsigned int)off, (u32)byte << 8 | c->write_low);
	}
}

/**
 * pit_read() - ports 0x40 to 0x43
 * @dev: the timer
 * @off: port minus 0x40
 * @size: 1
 *
 * Return: the byte.
 */
u64 pit_read(void *dev, u64 off, unsigned int size)
{
	struct pit *p = dev;
	struct pit_channel *c;
	u16 count;
	bool high;

	(void)size;
	if (off == 3)
		return 0xff;
	c = &p->ch[off];
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	count = c->latched ? c->latch : count_of(c, p->now(p->ctx));
	high = c->access == 2;
	if (c->access == 3) {
		high = c->read_high;
		c->read_high = !high;
	}
	if (c->access != 3 || high)
		c->latched = false;
	return high ? count >> 8 : count & 0xff;
}

/**
 * port61_read() - port 0x61
 * @dev: the timer
 * @off: 0
 * @size: 1
 *
 * Return: gate, speaker, the refresh toggle and channel 2's output.
 */
u64 port61_read(void *dev, u64 off, unsigned int size)
{
	struct pit *p = dev;

	(void)off;
	(void)size;
	p->refresh = !p->refresh;
	return p->speaker | p->refresh << 4 |
	       (u64)output_of(&p->ch[2], p->now(p->ctx)) << 5;
}

/**
 * port61_write() - port 0x61
 * @dev: the timer
 * @off: 0
 * @size: 1
 * @val: bit 0 is channel 2's gate, bit 1 the speaker
 */
void port61_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pit *p = dev;
	struct pit_channel *c = &p->ch[2];
	bool gate = val & 1;

	(void)off;
	(void)size;
	p->speaker = val & 3;
	/* A rising gate begins the count anew in modes 1, 2, 3 and 5. */
	if (gate && !c->gate && c->mode != 0 && c->mode != 4)
		c->start = p->now(p->ctx);
	c->gate = gate;
}
