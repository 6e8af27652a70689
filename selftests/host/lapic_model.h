/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A second LAPIC, slow and naive, and a driver that lets both do the same and
 * compares every register after each step.
 *
 * One bool per vector, priorities by searching, a timer that knows how much time
 * is left (not when it ends), no mailbox, no summary words, no tables: written
 * from the SDM's text, not from lapic.c.
 */
#ifndef LAPIC_MODEL_H
#define LAPIC_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include "lapic_fixture.h"

struct naive {
	bool irr[256], isr[256], tmr[256];
	bool on, x2, soft;
	bool line[2];
	u8 tpr;
	u32 id, ldr, dfr, svr, esr, errors, tmict, tdcr;
	u32 icr_low, icr_high;
	u32 timer, thermal, perf, lint0, lint1, error;
	bool running;
	u64 left, deadline;
	bool nmi, init, sipi;
	int eoi;
};

static struct naive m;
static u64 driver_steps;

#define SAME(what, got, want) do {							\
	u64 got_ = (got), want_ = (want);						\
	if (got_ != want_) {								\
		fprintf(stderr, "step %llu: %s is %#llx, the model has %#llx\n",	\
			(unsigned long long)driver_steps, what,				\
			(unsigned long long)got_, (unsigned long long)want_);		\
		abort();								\
	}										\
} while (0)

static int highest_of(const bool *set)
{
	for (int v = 255; v >= 0; v--)
		if (set[v])
			return v;
	return -1;
}

static u8 naive_ppr(void)
{
	int v = highest_of(m.isr);
	int class = v < 0 ? 0 : v / 16;

	return m.tpr / 16 >= class ? m.tpr : class * 16;
}

static int naive_pending(void)
{
	int v = highest_of(m.irr);

	return v / 16 > naive_ppr() / 16 ? v : -1;
}

static void naive_local(u32 lvt);

static void naive_error(u32 bit)
{
	bool quiet = m.errors;

	m.errors |= bit;
	if (!quiet)
		naive_local(m.error);
}

static void naive_request(unsigned int vector, bool level)
{
	if (vector < 16) {
		naive_error(1 << 6);
		return;
	}
	m.irr[vector] = true;
	m.tmr[vector] = level;
}

/* What any LVT entry does but LINT0's in level mode. */
static void naive_local(u32 lvt)
{
	if (lvt & MASKED)
		return;
	if ((lvt & 0x700) == 0)
		naive_request(lvt & 0xff, false);
	else if ((lvt & 0x700) == 0x400)
		m.nmi = true;
	else if ((lvt & 0x700) == 0x500)
		m.init = true;
}

static void naive_lint0(void)
{
	if ((m.lint0 & (LEVEL | 0x700)) != LEVEL) {
		naive_local(m.lint0);
		return;
	}
	if (m.lint0 & (MASKED | RIRR))
		return;
	if ((m.lint0 & 0xff) > 15)
		m.lint0 |= RIRR;
	naive_request(m.lint0 & 0xff, true);
}

static bool lint0_is_level_and_up(void)
{
	return m.line[0] && (m.lint0 & (LEVEL | 0x700)) == LEVEL;
}

static u64 naive_divisor(void)
{
	switch (m.tdcr) {
	case 0x0: return 2;
	case 0x1: return 4;
	case 0x2: return 8;
	case 0x3: return 16;
	case 0x8: return 32;
	case 0x9: return 64;
	case 0xa: return 128;
	default: return 1;
	}
}

static u64 naive_period(void)
{
	u64 period = m.tmict * naive_divisor();

	return period < HALO_LAPIC_MIN_PERIOD_NS ? HALO_LAPIC_MIN_PERIOD_NS : period;
}

static bool naive_counts(u32 lvt)
{
	return !(lvt & DEADLINE);
}

static u32 naive_count(void)
{
	u64 count = (m.left + naive_divisor() - 1) / naive_divisor();

	if (!m.running || !naive_counts(m.timer))
		return 0;
	return count > m.tmict ? m.tmict : count;
}

static void naive_time(u64 ns)
{
	bool fired = false;

	if (!m.running)
		return;
	if (!naive_counts(m.timer)) {
		if (now_tsc >= m.deadline) {
			m.running = false;
			naive_local(m.timer & ~0x700);
		}
		return;
	}
	while (m.running && ns >= m.left) {
		ns -= m.left;
		fired = true;
		if (m.timer & PERIODIC)
			m.left = naive_period();
		else
			m.running = false;
	}
	m.left -= ns;
	if (fired)
		naive_local(m.timer);
}

static void naive_reset_regs(void)
{
	struct naive old = m;

	memset(&m, 0, sizeof(m));
	m.on = old.on;
	m.x2 = old.x2;
	m.line[0] = old.line[0];
	m.line[1] = old.line[1];
	m.id = old.id;
	m.svr = 0xff;
	m.dfr = ~0u;
	m.timer = MASKED;
	m.thermal = MASKED;
	m.perf = MASKED;
	m.lint0 = MASKED;
	m.lint1 = MASKED;
	m.error = MASKED;
	m.nmi = old.nmi;
	m.init = old.init;
	m.sipi = old.sipi;
}

static void naive_eoi(void)
{
	int v = highest_of(m.isr);

	if (v < 0)
		return;
	m.isr[v] = false;
	if (!m.tmr[v])
		return;
	if ((m.lint0 & RIRR) && (int)(m.lint0 & 0xff) == v) {
		m.lint0 &= ~RIRR;
		if (lint0_is_level_and_up())
			naive_lint0();
	}
	if (!(m.svr & 0x1000))
		m.eoi = HALO_LAPIC_EOI | v;
}

static bool naive_addressed(u32 dest, bool logical, bool wide)
{
	if (dest == (wide ? 0xffffffff : 0xff))
		return true;
	if (!logical)
		return dest == m.id;
	if (m.x2)
		return dest / 65536 == m.id / 16 && (dest % 65536 & 1u << m.id % 16);
	if (dest > 255)
		return false;
	if (m.dfr == 0xffffffff)
		return dest & m.ldr >> 24;
	return dest / 16 == m.ldr >> 28 && (dest % 16 & (m.ldr >> 24) % 16);
}

static void naive_accept(unsigned int mode, unsigned int vector, bool level)
{
	if (mode <= 1) {
		if (m.svr & 0x100)
			naive_request(vector, level);
	} else if (mode == 4) {
		m.nmi = true;
	} else if (mode == 5) {
		m.init = true;
		m.sipi = false;
	} else if (mode == 6) {
		m.sipi = true;
	}
}

static void naive_icr(void)
{
	unsigned int mode = m.icr_low >> 8 & 7, shorthand = m.icr_low >> 18 & 3;
	u32 dest = m.x2 ? m.icr_high : m.icr_high >> 24;

	if (mode == 2 || mode == 3 || mode == 7)
		return;
	if (mode <= 1 && (m.icr_low & 0xff) < 16) {
		naive_error(1 << 5);
		return;
	}
	if (mode == 5 && (m.icr_low & 0xc000) == 0x8000)
		return;
	if (shorthand == 3 || (shorthand == 0 && !naive_addressed(dest, m.icr_low & 0x800, m.x2)))
		return;
	naive_accept(mode, m.icr_low & 0xff, false);
}

static u32 soft_masked(u32 lvt)
{
	return m.svr & 0x100 ? lvt : lvt | MASKED;
}

static void naive_timer_lvt(u32 value)
{
	bool stays = naive_counts(m.timer) && naive_counts(value);

	if ((m.timer ^ value) & (PERIODIC | DEADLINE) && !stays) {
		m.running = false;
		m.tmict = 0;
	}
	m.timer = value;
}

/* Of a write in either mode, once it is known to be allowed. */
static void naive_set(u32 offset, u32 v)
{
	u32 count, old;

	switch (offset) {
	case ID: m.id = v >> 24; break;
	case TPR: m.tpr = v & 0xff; break;
	case EOI: naive_eoi(); break;
	case LDR: m.ldr = v & 0xff000000; break;
	case DFR: m.dfr = v | 0x0fffffff; break;
	case SVR:
		m.svr = v & 0x13ff;
		if (m.svr & 0x100)
			break;
		m.timer |= MASKED;
		m.thermal |= MASKED;
		m.perf |= MASKED;
		m.lint0 |= MASKED;
		m.lint1 |= MASKED;
		m.error |= MASKED;
		break;
	case ESR:
		m.esr = m.errors;
		m.errors = 0;
		break;
	case ICR:
		m.icr_low = v & 0xccfff & ~0x1000;
		naive_icr();
		break;
	case ICR2: m.icr_high = v & 0xff000000; break;
	case LVTT: naive_timer_lvt(soft_masked(v & 0x700ff)); break;
	case THERMAL: m.thermal = soft_masked(v & 0x107ff); break;
	case PERF: m.perf = soft_masked(v & 0x107ff); break;
	case LINT0:
		old = m.lint0;
		m.lint0 = soft_masked(v & 0x1a7ff);
		if (((old ^ m.lint0) & 0x87ff) == 0)
			m.lint0 |= old & RIRR;
		if (lint0_is_level_and_up())
			naive_lint0();
		break;
	case LINT1: m.lint1 = soft_masked(v & 0x1a7ff); break;
	case LVTERR: m.error = soft_masked(v & 0x100ff); break;
	case TMICT:
		if ((m.timer & (PERIODIC | DEADLINE)) == DEADLINE)
			break;
		m.tmict = v;
		m.running = v && naive_counts(m.timer);
		m.left = m.timer & PERIODIC ? naive_period() : v * naive_divisor();
		break;
	case TDCR:
		count = naive_count();
		m.tdcr = v & 0xb;
		if (m.running && naive_counts(m.timer))
			m.left = count * naive_divisor();
		break;
	default:
		break;
	}
}

static bool naive_exists(u32 offset)
{
	return offset == ID || offset == VERSION || (offset >= TPR && offset <= EOI) ||
	       (offset >= LDR && offset <= ESR) || (offset >= ICR && offset <= TMCCT) ||
	       offset == TDCR;
}

static void naive_mmio_write(u32 offset, u32 v)
{
	if (naive_exists(offset))
		naive_set(offset, v);
	else
		naive_error(1 << 7);
}

static u64 x2_writable(u32 offset)
{
	switch (offset) {
	case TPR: case SELF: return 0xff;
	case SVR: return 0x13ff;
	case ICR: return 0xffffffff000cdfff;
	case LVTT: return 0x710ff;
	case THERMAL: case PERF: return 0x117ff;
	case LINT0: case LINT1: return 0x1f7ff;
	case LVTERR: return 0x110ff;
	case TMICT: return 0xffffffff;
	case TDCR: return 0xb;
	default: return 0;
	}
}

static bool naive_msr_write(u32 offset, u64 v)
{
	bool zero_only = offset == EOI || offset == ESR;

	if (!m.x2 || (v & ~x2_writable(offset)) || (!x2_writable(offset) && !zero_only))
		return false;
	if (offset == ICR) {
		m.icr_high = v >> 32;
		naive_set(ICR, v);
	} else if (offset == SELF) {
		if (v < 16)
			naive_error(1 << 5);
		else
			naive_accept(0, v, false);
	} else {
		naive_set(offset, v);
	}
	return true;
}

static bool naive_base(u64 v)
{
	bool on = v >> 11 & 1, x2 = v >> 10 & 1;

	if ((v & 0x2ff) || v >> 40 || (x2 && !on) || (x2 && !m.on) || (m.x2 && on && !x2))
		return false;
	if (x2 != m.x2) {
		m.icr_high = 0;
		m.id = 0;
	}
	m.x2 = x2;
	if (m.on && !on) {
		m.on = false;
		m.id = 0;
		naive_reset_regs();
	}
	m.on = on;
	return true;
}

static u32 bits32(const bool *set, u32 offset)
{
	u32 v = 0;

	for (unsigned int i = 0; i < 32; i++)
		v |= (u32)set[offset / 16 * 32 + i] << i;
	return v;
}

static u32 naive_read(u32 offset)
{
	switch (offset) {
	case ID: return m.x2 ? m.id : m.id << 24;
	case VERSION: return 0x01050014;
	case TPR: return m.tpr;
	case PPR: return naive_ppr();
	case LDR: return m.x2 ? (m.id / 16) << 16 | 1u << m.id % 16 : m.ldr;
	case DFR: return m.dfr;
	case SVR: return m.svr;
	case ISR ... ISR + 0x70: return bits32(m.isr, offset - ISR);
	case TMR ... TMR + 0x70: return bits32(m.tmr, offset - TMR);
	case IRR ... IRR + 0x70: return bits32(m.irr, offset - IRR);
	case ESR: return m.esr;
	case ICR: return m.icr_low;
	case ICR2: return m.icr_high;
	case LVTT: return m.timer;
	case THERMAL: return m.thermal;
	case PERF: return m.perf;
	case LINT0: return m.lint0;
	case LINT1: return m.lint1;
	case LVTERR: return m.error;
	case TMICT: return m.tmict;
	case TMCCT: return naive_count();
	case TDCR: return m.tdcr;
	default: return 0;
	}
}

/* Both are to agree on everything that can be seen. */
static void compare(void)
{
	struct cpu *c = &cpu[0];
	unsigned long events = halo_lapic_sync(&c->l);
	char name[32];

	SAME("events", events, (m.nmi ? HALO_LAPIC_NMI : 0) | (m.init ? HALO_LAPIC_INIT : 0) |
	     (m.sipi ? HALO_LAPIC_SIPI : 0));
	m.nmi = false;
	m.init = false;
	m.sipi = false;
	SAME("pending", (u64)halo_lapic_pending(&c->l), (u64)naive_pending());
	SAME("idle", idle(&c->l), highest_of(m.irr) < 0);
	SAME("extint", halo_lapic_extint_pending(&c->l),
	     m.line[0] && (!m.on || (m.lint0 & (MASKED | 0x700)) == 0x700));
	SAME("deadline", halo_lapic_tsc_deadline(&c->l),
	     m.running && !naive_counts(m.timer) && !(m.timer & PERIODIC) ? m.deadline : 0);
	SAME("armed", c->armed, m.running && !(m.timer & MASKED));
	if (!m.on)
		return;
	for (u32 offset = 0; offset < 0x400; offset += 16) {
		if (!naive_exists(offset) || offset == EOI || (m.x2 && (offset == DFR ||
		    offset == ICR2 || offset == APR)))
			continue;
		snprintf(name, sizeof(name), "register %#x", offset);
		if (!m.x2)
			SAME(name, rd(c, offset), naive_read(offset));
		else if (offset == ICR)
			SAME(name, rd_msr(c, offset), naive_read(ICR) | (u64)m.icr_high << 32);
		else
			SAME(name, rd_msr(c, offset), naive_read(offset));
	}
}

static void advance(u64 ns)
{
	struct cpu *c = &cpu[0];
	u64 now;

	now_ns += ns;
	now_tsc += ns;
	naive_time(ns);
	now = c->unit == HALO_LAPIC_TIMER_TSC ? now_tsc : now_ns;
	if (c->armed && now >= c->when) {
		c->armed = false;
		halo_lapic_post_timer(&c->l);
	}
}

static void round_trip(void)
{
	u8 image[HALO_LAPIC_IMAGE_BYTES];

	halo_lapic_save(&cpu[0].l, image);
	SAME("load", halo_lapic_load(&cpu[0].l, image), 0);
	if (!m.on)
		return;
	m.errors = 0;
	m.left = naive_count() * naive_divisor();
	m.running = naive_count();
}

static u64 edge_value(u64 random)
{
	static const u64 edges[] = {
		0, 1, 2, 0xf, 0x10, 0x1f, 0x40, 0xff, 0x100, 0x1ff, 0x11ff, 0x400, 0x700, 0x8055,
		0x10000, 0x20030, 0x40031, 0x60032, 0x18055, 0x4500, 0x8500, 0xc500, 0x40041,
		0x80042, 0xc0043, 0x44400, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0xffffffff00000051, 0x1000000000000041, ~0ULL,
	};

	random >>= 8;
	switch (random & 7) {
	case 0: return edges[(random >> 3) % ARRAY_SIZE(edges)];
	case 1: return 1ULL << (random >> 3 & 63);
	case 2: return random >> 3 & 0xff;
	case 3: return (random >> 3 & 0x3f) << 24;
	case 4: return (random >> 3 & 0xf) << 8 | (random >> 7 & 0xff) | (random >> 15 & 1) << 15 |
		       (random >> 16 & 3) << 18 | (random >> 18 & 0xff) << 32;
	case 5: return (random >> 3 & 0xff) | (random >> 11 & 3) << 17;
	case 6: return random >> 3 & 0x7ffff;
	default: return random >> 3;
	}
}

static void driver_start(void)
{
	fx_setup(NULL);
	for (unsigned int i = 1; i < CPUS; i++)
		all[i] = NULL;
	memset(&m, 0, sizeof(m));
	m.on = true;
	naive_reset_regs();
	m.svr = 0x1ff;
	driver_steps = 0;
	compare();
}

/* One step of both, chosen by 64 random bits. */
static void driver_step(u64 random)
{
	static const u16 often[] = { TPR, EOI, EOI, SVR, ICR, LVTT, LVTT, LINT0, LVTERR, TMICT, TDCR,
				     ESR, ID, LDR, DFR, ICR2 };
	struct cpu *c = &cpu[0];
	u32 offset = random >> 4 & 1 ? often[random >> 5 & 15] : random >> 5 & 0x3f0;
	u64 value = edge_value(random >> 8);
	int got, vector;

	driver_steps++;
	m.eoi = 0;
	switch (random & 15) {
	case 0: case 1: case 2:
		vector = value & 0xff;
		halo_lapic_post(&c->l, HALO_DM_FIXED, vector, random >> 63);
		if (m.on)
			naive_accept(0, vector, random >> 63);
		break;
	case 3: case 4: case 5:
		if (!halo_lapic_covers(&c->l, HALO_LAPIC_DEFAULT_BASE))
			goto msr;
		got = halo_lapic_mmio_write(&c->l, offset, 4, value);
		naive_mmio_write(offset, value);
		SAME("write's result", got, m.eoi);
		break;
	case 6: case 7:
msr:
		got = halo_lapic_msr_write(&c->l, MSR(offset), value);
		if (naive_msr_write(offset, value))
			SAME("wrmsr's result", got, m.eoi);
		else
			SAME("wrmsr's fault", got, (u64)-EINVAL);
		break;
	case 8: case 9:
		vector = halo_lapic_pending(&c->l);
		if (vector >= 0) {
			halo_lapic_ack(&c->l, vector);
			m.irr[vector] = false;
			m.isr[vector] = true;
		}
		break;
	case 10:
		got = halo_lapic_eoi(&c->l);
		naive_eoi();
		SAME("EOI's result", got, m.eoi);
		break;
	case 11:
		advance(random >> 16 & ((1u << (random >> 8 & 15)) - 1) << 8);
		break;
	case 12:
		got = random >> 8 & 1;
		halo_lapic_set_line(&c->l, got, random >> 9 & 1);
		if ((random >> 9 & 1) && !m.line[got]) {
			if (!m.on)
				m.nmi |= got;
			else if (got)
				naive_local(m.lint1);
			else
				naive_lint0();
		}
		m.line[got] = random >> 9 & 1;
		break;
	case 13:
		halo_lapic_set_tsc_deadline(&c->l, random >> 8 & 1 ? value : now_tsc + (value & 0xfffff));
		if ((m.timer & (PERIODIC | DEADLINE)) == DEADLINE) {
			m.deadline = random >> 8 & 1 ? value : now_tsc + (value & 0xfffff);
			m.running = m.deadline;
			naive_time(0);
		}
		break;
	case 14:
		if (random >> 8 & 1) {
			round_trip();
		} else if (random >> 9 & 1) {
			halo_lapic_init_reset(&c->l);
			naive_reset_regs();
		}
		break;
	default:
		value = HALO_LAPIC_DEFAULT_BASE | (random >> 8 & 0xf00);
		if (!(random >> 12 & 15))
			value |= edge_value(random >> 8);
		/* The driver knows no other page. */
		if (value >> 12 != HALO_LAPIC_DEFAULT_BASE >> 12)
			break;
		got = halo_lapic_set_base(&c->l, value, false);
		SAME("APIC_BASE's fault", got, naive_base(value) ? 0 : (u64)-EINVAL);
		break;
	}
	compare();
}

#endif /* LAPIC_MODEL_H */
