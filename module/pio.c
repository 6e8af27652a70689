// SPDX-License-Identifier: GPL-2.0
/*
 * Port I/O: IN, OUT, INS, OUTS.
 *
 * The CPU has checked IOPL and the TSS bitmap before it exits.  A string
 * instruction moves as many elements per exit as fit into the DATA area and one
 * page of guest memory; RIP advances with the last one, so that interrupts are
 * taken in between as on hardware.
 */
#include <asm/processor-flags.h>
#include "trace.h"
#include "vcpu.h"

/**
 * halo_reg_write() - write a part of a register; 32 bits clear the upper half
 * @reg: the register
 * @value: its low @size bytes count
 * @size: 1, 2, 4 or 8
 */
void halo_reg_write(u64 *reg, u64 value, unsigned int size)
{
	u64 mask = halo_size_mask(size), keep = size == 4 ? 0 : *reg & ~mask;

	*reg = keep | (value & mask);
}

/* @count elements went through: registers, and RIP after the last. */
static enum halo_next halo_string_advance(struct halo_vcpu *vcpu, const struct halo_pending *p)
{
	u64 *reg = &vcpu->cpu.gpr[p->in ? GPR_RDI : GPR_RSI], *rcx = &vcpu->cpu.gpr[GPR_RCX];
	s64 step = vcpu->cpu.rflags & X86_EFLAGS_DF ? -(s64)p->size : p->size;

	halo_reg_write(reg, *reg + step * (s64)p->count, p->addr_size);
	if (p->rep) {
		halo_reg_write(rcx, *rcx - p->count, p->addr_size);
		if (*rcx & halo_size_mask(p->addr_size))
			return NEXT_RESUME;
	}
	return halo_skip(vcpu, p->insn_len);
}

/* DATA to guest memory, or back, element by element when DF is set. */
static int halo_string_copy(struct halo_vcpu *vcpu, const struct halo_pending *p, u8 *buf,
			    bool write)
{
	unsigned int i;
	int err = 0;

	if (!(vcpu->cpu.rflags & X86_EFLAGS_DF) || p->count == 1)
		return halo_gva_copy(vcpu, p->gva, buf, p->count * p->size, write);
	for (i = 0; i < p->count && !err; i++)
		err = halo_gva_copy(vcpu, p->gva - (u64)i * p->size, buf + i * p->size,
				    p->size, write);
	return err;
}

/**
 * halo_string_complete() - userspace has served a string exit
 * @vcpu: the vCPU
 *
 * INS: the elements are in DATA. A fault in guest memory now is the guest's,
 * and the registers stay where they were (the device has been read all the
 * same, as on hardware).
 *
 * Return: RESUME.
 */
enum halo_next halo_string_complete(struct halo_vcpu *vcpu)
{
	const struct halo_pending *p = &vcpu->pending;

	if (p->in && halo_string_copy(vcpu, p, vcpu->data, true) == -EFAULT)
		return NEXT_RESUME;
	return halo_string_advance(vcpu, p);
}

/* How many elements one exit takes: within the page, the area and the segment. */
static u32 halo_string_count(struct halo_vcpu *vcpu, u64 gva, unsigned int size,
			     unsigned int addr_size, bool rep, u64 offset)
{
	u64 count, room, mask = halo_size_mask(addr_size);
	bool down = vcpu->cpu.rflags & X86_EFLAGS_DF;

	if (!rep)
		return 1;
	count = vcpu->cpu.gpr[GPR_RCX] & mask;
	room = (down ? (gva & ~PAGE_MASK) + size : PAGE_SIZE - (gva & ~PAGE_MASK)) / size;
	/* Address-size wrap: one at a time around it. */
	if (!down && mask - offset < PAGE_SIZE)
		room = 1;
	return clamp_t(u64, min(count, room), 1, PAGE_SIZE / size);
}

/* A string from or to a port of constant value. */
static enum halo_next halo_string_fixed(struct halo_vcpu *vcpu, u64 value)
{
	const struct halo_pending *p = &vcpu->pending;
	unsigned int i;

	for (i = 0; p->in && i < p->count; i++)
		memcpy(vcpu->data + i * p->size, &value, p->size);
	return halo_string_complete(vcpu);
}

/*
 * Fill in the record of a string instruction, and DATA of an OUTS.  Its length is the
 * decoder's: EXITINFO2 holds for the last element.  False: there is nothing to do.
 */
static bool halo_string_begin(struct halo_vcpu *vcpu, struct halo_pending *p)
{
	unsigned int seg = SEG_ES;
	struct halo_insn insn;
	u64 offset, gpa;
	int len, err;

	len = halo_decode(vcpu, &insn);
	/* Rewritten under us: run what is there now. */
	if (len < 0 || (insn.kind != HALO_INSN_INS && insn.kind != HALO_INSN_OUTS))
		return false;
	p->rep = vcpu->cpu.exit.io.rep;
	p->addr_size = insn.addr_size;
	p->insn_len = len;
	if (!p->in)
		seg = insn.seg;
	if (p->rep && !(vcpu->cpu.gpr[GPR_RCX] & halo_size_mask(p->addr_size))) {
		halo_skip(vcpu, len);
		return false;
	}
	offset = vcpu->cpu.gpr[p->in ? GPR_RDI : GPR_RSI] & halo_size_mask(p->addr_size);
	if (halo_seg_linear(vcpu, seg, offset, p->size, p->in, &p->gva))
		return false;
	p->count = halo_string_count(vcpu, p->gva, p->size, p->addr_size, p->rep, offset);
	if (p->count > 1 && !halo_mode64(vcpu) && !(vcpu->cpu.rflags & X86_EFLAGS_DF)) {
		const struct halo_seg *s = &halo_arch_get(vcpu, ARCH_SEGS)->seg[seg];

		if (offset + (u64)p->count * p->size - 1 > s->limit)
			p->count = 1;
	}
	/* A fault must come before the device is read. */
	if (p->in)
		return !halo_gva_to_gpa(vcpu, p->gva, HALO_WALK_WRITE, &gpa);
	err = halo_string_copy(vcpu, p, vcpu->data, false);
	if (err && err != -EFAULT)
		memset(vcpu->data, 0xff, p->count * p->size);
	return err != -EFAULT;
}

/* A string is not cut into writes to post or to ring with: it is looked up as a read. */
static enum halo_next halo_string(struct halo_vcpu *vcpu, struct halo_access *a)
{
	struct halo_pending *p = &vcpu->pending;
	struct halo_exit *x = &vcpu->exit;
	bool write = a->write;

	if (!halo_string_begin(vcpu, p))
		return NEXT_RESUME;
	a->insn_len = p->insn_len;
	a->write = false;
	if (halo_access(vcpu, a) == ACCESS_DONE)
		return halo_string_fixed(vcpu, a->value);
	halo_exit_fill(vcpu, a, x);
	x->flags |= HALO_EXIT_F_STRING | (p->rep ? HALO_EXIT_F_REP : 0) |
		    (write ? HALO_EXIT_F_WRITE : 0);
	x->data = p->count;
	return halo_forward(vcpu, HALO_EXIT_PIO, PEND_STRING);
}

/**
 * halo_exit_pio() - an IN, OUT, INS or OUTS
 * @vcpu: the vCPU
 *
 * Return: FORWARD to userspace, or RESUME when a zone answers here.
 */
enum halo_next halo_exit_pio(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_pending *p = &vcpu->pending;
	struct halo_access a = {
		.bus = HALO_BUS_PIO,
		.addr = x->io.port,
		.size = x->io.size,
		.write = !x->io.in,
		.insn_len = x->insn_len,
	};

	p->in = x->io.in;
	p->size = x->io.size;
	p->insn_len = x->insn_len;
	if (unlikely(x->io.string))
		return halo_string(vcpu, &a);
	if (a.write)
		a.value = vcpu->cpu.gpr[GPR_RAX] & halo_size_mask(a.size);
	if (halo_access(vcpu, &a) == ACCESS_DONE)
		return halo_reply_done(vcpu, PEND_PIO, a.value);
	return halo_ask(vcpu, &a, PEND_PIO);
}

/* An IN or OUT into the ring, as halo_exit_pio() would.  False: that is to do it. */
static __always_inline bool halo_pio_give(struct halo_vcpu *vcpu,
					  const struct halo_zone_desc *zone, u64 value, u16 flags)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_exit *e = halo_ring_next(&vcpu->rings);

	if (IS_ERR(e))
		return false;
	e->type = HALO_EXIT_PIO;
	e->flags = flags;
	e->size = x->io.size;
	e->insn_len = x->insn_len;
	e->vcpu = vcpu->id;
	e->addr = x->io.port;
	e->data = value;
	e->cookie = zone ? zone->cookie : 0;
	e->rip = vcpu->cpu.rip;
	memset(e->insn, 0, sizeof(e->insn));
	halo_ring_give(&vcpu->rings, e, flags & HALO_EXIT_F_SYNC);
	trace_halo_user_exit(vcpu, e, 0);
	return true;
}

/**
 * halo_stay_pio() - an IN or OUT during a stay
 * @vcpu: the vCPU
 *
 * Return: what became of it.
 */
enum halo_stay halo_stay_pio(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_pending *p = &vcpu->pending;
	const struct halo_zone_table *table;
	const struct halo_zone_desc *zone = NULL;
	u64 value = 0;

	/* A string is in memory, which may have to be got. */
	if (unlikely(x->io.string))
		return STAY_NOT;
	if (!x->io.in)
		value = (u32)vcpu->cpu.gpr[GPR_RAX] & ~0u >> (-8 * x->io.size & 31);
	/* Preemption off is a reader's section, too. */
	table = rcu_dereference_sched(vcpu->vm->zones);
	if (!halo_zone_outside(table, HALO_BUS_PIO, x->io.port))
		zone = x->io.in ?
		       halo_zone_find(table, HALO_BUS_PIO, x->io.port, x->io.size) :
		       halo_zone_find_write(table, HALO_BUS_PIO, x->io.port, x->io.size, value);
	if (zone && !x->io.in && !trace_halo_zone_enabled()) {
		if (zone->mode == HALO_ZONE_DOORBELL) {
			halo_bell(vcpu, zone);
			return halo_stay_skip(vcpu, x->insn_len);
		}
		if (zone->mode == HALO_ZONE_POSTED &&
		    halo_pio_give(vcpu, zone, value, HALO_EXIT_F_POSTED | HALO_EXIT_F_WRITE)) {
			halo_announce(vcpu);
			vcpu->count.posted++;
			return halo_stay_skip(vcpu, x->insn_len);
		}
	}
	/* A server may look at STATE as soon as it sees the exit. */
	if ((zone && (zone->mode != HALO_ZONE_SYNC || trace_halo_zone_enabled())) ||
	    (vcpu->parked && READ_ONCE(vcpu->state->wanted)) ||
	    !halo_pio_give(vcpu, zone, value,
			   HALO_EXIT_F_SYNC | (x->io.in ? 0 : HALO_EXIT_F_WRITE)))
		return halo_stay_next(vcpu, halo_exit_pio(vcpu));
	p->kind = PEND_PIO;
	p->in = x->io.in;
	p->size = x->io.size;
	p->insn_len = x->insn_len;
	vcpu->count.user_exits++;
	vcpu->asked = PEND_PIO;
	vcpu->asked_type = ASKED_GIVEN;
	return STAY_OVER;
}
