// SPDX-License-Identifier: GPL-2.0
/*
 * The MC146818 real-time clock and its 128 bytes of CMOS.
 *
 * The time is the host's (UTC) plus an offset that the guest makes by setting its
 * clock; nothing ticks. Update-ended and alarm events are noted second by second,
 * when somebody looks or, if their interrupt is enabled, when the machine's timer
 * calls. Memory sizes stand where firmware puts them. Runs under the device lock.
 */
#include <string.h>
#include <time.h>

#include "devices.h"

#define REG_SEC		0x00
#define REG_HOUR	0x04
#define REG_WDAY	0x06
#define REG_YEAR	0x09
#define REG_A		0x0a
#define REG_B		0x0b
#define REG_C		0x0c
#define REG_D		0x0d
#define REG_CENTURY	0x32

#define A_UIP		0x80
#define B_SET		0x80
#define B_PIE		0x40
#define B_AIE		0x20
#define B_UIE		0x10
#define B_BINARY	0x04
#define B_24H		0x02
#define C_IRQF		0x80
/* 244 us of warning and 1984 us of update, all before the second changes. */
#define UIP_NS		2228000ull

static u64 seconds(const struct rtc *r)
{
	return (u64)((s64)(r->wall(r->ctx) / NS_PER_SEC) + r->offset);
}

static u8 encode(const struct rtc *r, int n)
{
	return (u8)(r->cmos[REG_B] & B_BINARY ? n : n / 10 << 4 | n % 10);
}

static int decode(const struct rtc *r, u8 n)
{
	return r->cmos[REG_B] & B_BINARY ? n : (n >> 4) * 10 + (n & 15);
}

static u8 encode_hour(const struct rtc *r, int hour)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc *r, u8 n)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, n);
	return decode(r, n & 0x7f) % 12 + (n & 0x80 ? 12 : 0);
}

static void load_time(struct rtc *r, u64 sec)
{
	time_t t = (time_t)sec;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	r->cmos[REG_SEC] = encode(r, tm.tm_sec);
	r->cmos[2] = encode(r, tm.tm_min);
	r->cmos[REG_HOUR] = encode_hour(r, tm.tm_hour);
	r->cmos[REG_WDAY] = encode(r, tm.tm_wday + 1);
	r->cmos[7] = encode(r, tm.tm_mday);
	r->cmos[8] = encode(r, tm.tm_mon + 1);
	r->cmos[REG_YEAR] = encode(r, tm.tm_year % 100);
	r->cmos[REG_CENTURY] = (u8)((tm.tm_year / 100 + 19) / 10 << 4 |
				    (tm.tm_year / 100 + 19) % 10);
}

static void store_time(struct rtc *r)
{
	struct tm tm = { 0 };
	int century = (r->cmos[REG_CENTURY] >> 4) * 10 + (r->cmos[REG_CENTURY] & 15);

	tm.tm_sec = decode(r, r->cmos[REG_SEC]);
	tm.tm_min = decode(r, r->cmos[2]);
	tm.tm_hour = decode_hour(r, r->cmos[REG_HOUR]);
	tm.tm_mday = decode(r, r->cmos[7]);
	tm.tm_mon = decode(r, r->cmos[8]) - 1;
	tm.tm_year = decode(r, r->cmos[REG_YEAR]) + (century - 19) * 100;
	r->offset = (s64)timegm(&tm) - (s64)(r->wall(r->ctx) / NS_PER_SEC);
	r->checked = seconds(r);
}

static void update_irq(struct rtc *r)
{
	bool on = r->cmos[REG_C] & r->cmos[REG_B] & (B_PIE | B_AIE | B_UIE);

	r->cmos[REG_C] = (r->cmos[REG_C] & ~C_IRQF) | (on ? C_IRQF : 0);
	irq_set(&r->irq, on);
}

static bool alarm_matches(const struct rtc *r, u64 sec)
{
	u8 s = r->cmos[1], m = r->cmos[3], h = r->cmos[5];
	u64 day = sec % 86400;

	/* The two top bits set mean "any". */
	return (s >= 0xc0 || decode(r, s) == (int)(day % 60)) &&
	       (m >= 0xc0 || decode(r, m) == (int)(day / 60 % 60)) &&
	       (h >= 0xc0 || decode_hour(r, h) == (int)(day / 3600));
}

static void note_seconds(struct rtc *r)
{
	u64 now = seconds(r), s;

	if (r->cmos[REG_B] & B_SET || now <= r->checked) {
		r->checked = now;
		return;
	}
	r->cmos[REG_C] |= B_UIE;
	/* A day holds every alarm; the rest of a long sleep adds none. */
	s = now - r->checked > 86400 ? now - 86400 : r->checked;
	while (++s <= now) {
		if (!alarm_matches(r, s))
			continue;
		r->cmos[REG_C] |= B_AIE;
		break;
	}
	r->checked = now;
}

static u64 period_ns(const struct rtc *r)
{
	unsigned int rate = r->cmos[REG_A] & 15;

	if (!rate || (r->cmos[REG_A] & 0x70) != 0x20)
		return 0;
	if (rate <= 2)
		rate += 7;
	return NS_PER_SEC * (1u << (rate - 1)) / 32768;
}

static void start_period(struct rtc *r)
{
	u64 ns = period_ns(r);

	r->period_next = ns && r->cmos[REG_B] & B_PIE ? r->wall(r->ctx) + ns : NEVER;
}

/**
 * rtc_init() - power-on state
 * @r: the clock
 * @wall: host's wall clock, ns since the epoch
 * @ctx: its argument
 * @irq: interrupt 8
 * @low_bytes: guest memory below 4 GiB
 * @high_bytes: guest memory above
 * @cpus: number of vCPUs
 */
void rtc_init(struct rtc *r, u64 (*wall)(void *ctx), void *ctx, struct irq_out irq,
	      u64 low_bytes, u64 high_bytes, unsigned int cpus)
{
	u64 ext = low_bytes > MIB ? (low_bytes - MIB) >> 10 : 0;
	u64 above16 = low_bytes > 16 * MIB ? (low_bytes - 16 * MIB) >> 16 : 0;

	memset(r, 0, sizeof(*r));
	r->wall = wall;
	r->ctx = ctx;
	r->irq = irq;
	r->cmos[REG_A] = 0x26;
	r->cmos[REG_B] = B_24H;
	r->cmos[0x15] = 640 & 0xff;
	r->cmos[0x16] = 640 >> 8;
	if (ext > 0xffff)
		ext = 0xffff;
	r->cmos[0x17] = (u8)ext;
	r->cmos[0x18] = (u8)(ext >> 8);
	r->cmos[0x30] = (u8)ext;
	r->cmos[0x31] = (u8)(ext >> 8);
	if (above16 > 0xffff)
		above16 = 0xffff;
	r->cmos[0x34] = (u8)above16;
	r->cmos[0x35] = (u8)(above16 >> 8);
	r->cmos[0x5b] = (u8)(high_bytes >> 16);
	r->cmos[0x5c] = (u8)(high_bytes >> 24);
	r->cmos[0x5d] = (u8)(high_bytes >> 32);
	r->cmos[0x5f] = (u8)(cpus - 1);
	r->period_next = NEVER;
	r->checked = seconds(r);
	load_time(r, r->checked);
}

/**
 * rtc_deadline() - when rtc_expire() is due
 * @r: the clock
 *
 * Return: ns of the wall clock, NEVER.
 */
u64 rtc_deadline(const struct rtc *r)
{
	u64 next = r->period_next;
	u64 second;

	if (r->cmos[REG_B] & (B_AIE | B_UIE) && !(r->cmos[REG_B] & B_SET)) {
		second = (r->wall(r->ctx) / NS_PER_SEC + 1) * NS_PER_SEC;
		if (second < next)
			next = second;
	}
	return next;
}

/**
 * rtc_expire() - note the events that are due and interrupt
 * @r: the clock
 */
void rtc_expire(struct rtc *r)
{
	u64 now = r->wall(r->ctx);

	note_seconds(r);
	if (now >= r->period_next) {
		u64 ns = period_ns(r);

		r->cmos[REG_C] |= B_PIE;
		r->period_next = ns ? r->period_next + ns : NEVER;
		if (r->period_next <= now)
			r->period_next = now + ns;
	}
	update_irq(r);
}

/**
 * rtc_interrupting() - is the clock's interrupt asserted
 * @r: the clock
 *
 * Return: true if so.
 */
bool rtc_interrupting(const struct rtc *r)
{
	return r->cmos[REG_C] & C_IRQF;
}

/**
 * rtc_read() - ports 0x70 and 0x71
 * @dev: the clock
 * @off: port minus 0x70
 * @size: 1
 *
 * Return: the byte.
 */
u64 rtc_read(void *dev, u64 off, unsigned int size)
{
	struct rtc *r = dev;
	u8 reg = r->index, val;

	(void)size;
	if (!off)
		return 0xff;
	if ((reg <= REG_YEAR || reg == REG_CENTURY) && !(r->cmos[REG_B] & B_SET) &&
	    reg != 1 && reg != 3 && reg != 5)
		load_time(r, seconds(r));
	switch (reg) {
	case REG_A:
		val = r->cmos[REG_A];
		if (!(r->cmos[REG_B] & B_SET) &&
		    r->wall(r->ctx) % NS_PER_SEC >= NS_PER_SEC - UIP_NS)
			val |= A_UIP;
		return val;
	case REG_C:
		note_seconds(r);
		update_irq(r);
		val = r->cmos[REG_C];
		r->cmos[REG_C] = 0;
		update_irq(r);
		return val;
	case REG_D:
		return 0x80;
	}
	return r->cmos[reg];
}

static void write_b(struct rtc *r, u8 val)
{
	u8 was = r->cmos[REG_B];

	/* Events of the time before an interrupt was enabled are not its business. */
	note_seconds(r);
	if (val & ~was & B_SET)
		load_time(r, seconds(r));
	r->cmos[REG_B] = val;
	if (was & ~val & B_SET)
		store_time(r);
	if ((val ^ was) & B_PIE)
		start_period(r);
	update_irq(r);
}

/**
 * rtc_write() - ports 0x70 and 0x71
 * @dev: the clock
 * @off: port minus 0x70
 * @size: 1
 * @val: the byte
 */
void rtc_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct rtc *r = dev;
	u8 reg = r->index, byte = (u8)val;

	(void)size;
	if (!off) {
		r->index = byte & 0x7f;
		return;
	}
	switch (reg) {
	case REG_A:
		r->cmos[REG_A] = byte & ~A_UIP;
		start_period(r);
		return;
	case REG_B:
		write_b(r, byte);
		return;
	case REG_C:
	case REG_D:
		return;
	}
	if ((reg <= REG_YEAR || reg == REG_CENTURY) && reg != 1 && reg != 3 && reg != 5 &&
	    !(r->cmos[REG_B] & B_SET)) {
		/* Set while the clock runs: take the byte into the present time. */
		load_time(r, seconds(r));
		r->cmos[reg] = byte;
		store_time(r);
		return;
	}
	r->cmos[reg] = byte;
}
