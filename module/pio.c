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
#include "vcpu.h"
#include "walk.h"

static u64 halo_size_mask(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

/* IN writes AL, AX, or EAX with the upper half cleared (in 64-bit mode). */
static void halo_in_rax(struct halo_vcpu *vcpu, u64 data, unsigned int size)
{
	u64 *rax = &vcpu->cpu.gpr[GPR_RAX];
	u64 mask = halo_size_mask(size);

	if (size == 4)
		*rax = data & mask;
	else
		*rax = (*rax & ~mask) | (data & mask);
}

/**
 * halo_pio_complete() - userspace has answered an IN or OUT
 * @vcpu: the vCPU
 * @data: an IN's value
 *
 * Return: RESUME.
 */
enum halo_next halo_pio_complete(struct halo_vcpu *vcpu, u64 data)
{
	if (vcpu->pending.in)
		halo_in_rax(vcpu, data, vcpu->pending.size);
	halo_skip(vcpu, vcpu->pending.insn_len);
	return NEXT_RESUME;
}

static u64 halo_addr_mask(unsigned int addr_size)
{
	return halo_size_mask(addr_size);
}

static void halo_reg_add(struct halo_vcpu *vcpu, unsigned int reg, s64 delta, unsigned int size)
{
	u64 *r = &vcpu->cpu.gpr[reg], mask = halo_addr_mask(size);

	if (size == 4)
		*r = (*r + delta) & mask;
	else
		*r = (*r & ~mask) | ((*r + delta) & mask);
}

/* @count elements went through: registers, and RIP after the last. */
static void halo_string_advance(struct halo_vcpu *vcpu, const struct halo_pending *p)
{
	unsigned int reg = p->in ? GPR_RDI : GPR_RSI;
	s64 step = vcpu->cpu.rflags & X86_EFLAGS_DF ? -(s64)p->size : p->size;

	halo_reg_add(vcpu, reg, step * (s64)p->count, p->addr_size);
	if (p->rep) {
		halo_reg_add(vcpu, GPR_RCX, -(s64)p->count, p->addr_size);
		if (vcpu->cpu.gpr[GPR_RCX] & halo_addr_mask(p->addr_size))
			return;
	}
	halo_skip(vcpu, p->insn_len);
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
	halo_string_advance(vcpu, p);
	return NEXT_RESUME;
}

/* How many elements one exit takes: within the page, the area and the segment. */
static u32 halo_string_count(struct halo_vcpu *vcpu, u64 gva, unsigned int size,
			     unsigned int addr_size, bool rep, u64 offset)
{
	u64 count, room, mask = halo_addr_mask(addr_size);
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

/* The zone of the port. True: it answers here, a read gives @value. */
static bool halo_pio_zone(struct halo_vcpu *vcpu, u64 *cookie, u64 *value)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	const struct halo_zone_desc *zone;
	bool fixed = false;

	*cookie = 0;
	*value = 0;
	rcu_read_lock();
	zone = halo_zone_find(rcu_dereference(vcpu->vm->zones), HALO_BUS_PIO, x->io.port,
			      x->io.size);
	if (zone) {
		*cookie = zone->cookie;
		*value = zone->match;
		fixed = zone->mode == HALO_ZONE_CONST;
	}
	rcu_read_unlock();
	return fixed;
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

static enum halo_next halo_exit_string(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_pending *p = &vcpu->pending;
	unsigned int seg = SEG_ES;
	struct halo_insn insn;
	u64 offset, cookie, value;
	int len;

	len = halo_decode(vcpu, &insn);
	if (len == -EFAULT)
		return NEXT_RESUME;
	if (len < 0 || (insn.kind != HALO_INSN_INS && insn.kind != HALO_INSN_OUTS))
		return NEXT_RESUME;	/* rewritten under us: run what is there now */
	p->in = x->io.in;
	p->size = x->io.size;
	p->rep = x->io.rep;
	p->addr_size = insn.addr_size;
	p->insn_len = len;
	if (!p->in && insn.seg != HALO_INSN_SEG_NONE)
		seg = insn.seg;
	else if (!p->in)
		seg = SEG_DS;
	if (p->rep && !(vcpu->cpu.gpr[GPR_RCX] & halo_addr_mask(p->addr_size))) {
		halo_skip(vcpu, len);
		return NEXT_RESUME;
	}
	offset = vcpu->cpu.gpr[p->in ? GPR_RDI : GPR_RSI] & halo_addr_mask(p->addr_size);
	if (halo_seg_linear(vcpu, seg, offset, p->size, p->in, &p->gva))
		return NEXT_RESUME;
	p->count = halo_string_count(vcpu, p->gva, p->size, p->addr_size, p->rep, offset);
	if (p->count > 1 && !halo_mode64(vcpu) && !(vcpu->cpu.rflags & X86_EFLAGS_DF)) {
		const struct halo_seg *s = &halo_arch_get(vcpu, ARCH_SEGS)->seg[seg];

		if (offset + (u64)p->count * p->size - 1 > s->limit)
			p->count = 1;
	}
	if (p->in) {
		u64 gpa;

		/* A fault must come before the device is read. */
		if (halo_gva_to_gpa(vcpu, p->gva, HALO_WALK_WRITE, &gpa))
			return NEXT_RESUME;
	} else {
		int err = halo_string_copy(vcpu, p, vcpu->data, false);

		if (err == -EFAULT)
			return NEXT_RESUME;
		if (err)
			memset(vcpu->data, 0xff, p->count * p->size);
	}
	if (halo_pio_zone(vcpu, &cookie, &value))
		return halo_string_fixed(vcpu, value);
	vcpu->exit.addr = x->io.port;
	vcpu->exit.size = p->size;
	vcpu->exit.insn_len = len;
	vcpu->exit.cookie = cookie;
	vcpu->exit.data = p->count;
	vcpu->exit.flags = HALO_EXIT_F_STRING | (p->rep ? HALO_EXIT_F_REP : 0) |
			   (p->in ? 0 : HALO_EXIT_F_WRITE);
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
	u64 cookie, value;
	bool fixed;

	vcpu->count.pio++;
	if (unlikely(x->io.string)) {
		/* Its length is the decoder's: EXITINFO2 holds for the last element. */
		return halo_exit_string(vcpu);
	}
	fixed = halo_pio_zone(vcpu, &cookie, &value);
	if (fixed) {
		if (x->io.in)
			halo_in_rax(vcpu, value, x->io.size);
		halo_skip(vcpu, x->insn_len);
		return NEXT_RESUME;
	}
	vcpu->pending.in = x->io.in;
	vcpu->pending.size = x->io.size;
	vcpu->pending.insn_len = x->insn_len;
	vcpu->exit.addr = x->io.port;
	vcpu->exit.size = x->io.size;
	vcpu->exit.insn_len = x->insn_len;
	vcpu->exit.cookie = cookie;
	if (!x->io.in) {
		vcpu->exit.flags = HALO_EXIT_F_WRITE;
		vcpu->exit.data = vcpu->cpu.gpr[GPR_RAX] & halo_size_mask(x->io.size);
	}
	return halo_forward(vcpu, HALO_EXIT_PIO, PEND_PIO);
}
