// SPDX-License-Identifier: GPL-2.0
/*
 * Second-stage faults: guest memory that is not mapped yet, or a device.
 *
 * A device access is an instruction that could not be carried out.  It is
 * fetched, decoded and executed here as far as it touches the device; each
 * access goes to the LAPIC, to a zone, or to userspace, and the instruction
 * goes on when the answer is there.  What the decoder does not know is
 * forwarded with its bytes, or #UD at CPL 3.
 */
#include <asm/processor-flags.h>
#include "trace.h"
#include "vcpu.h"
#include "walk.h"

static unsigned int halo_op_stack_size(void *ctx)
{
	struct halo_vcpu *vcpu = ctx;

	if (halo_mode64(vcpu))
		return 8;
	return halo_arch_get(vcpu, ARCH_SEGS)->seg[SEG_SS].attrib & SEG_ATTR_DB ? 4 : 2;
}

/*
 * Is this the access that the CPU has made, translated, found its rights good for, and
 * told of?  Only where an instruction has no other operand that could be meant.
 */
static bool halo_op_told(const struct halo_vcpu *vcpu, const struct halo_insn_mem *mem,
			 u64 linear)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	unsigned int offset = linear & ~PAGE_MASK;

	return x->reason == HW_MEMORY && vcpu->pending.insn.kind < HALO_INSN_PUSH &&
	       offset == (x->mem.gpa & ~PAGE_MASK) && offset + mem->size <= PAGE_SIZE &&
	       (x->mem.write || !(mem->write || mem->rmw));
}

/* Where the operand is stays in the record, in case it is a device. */
static int halo_op_mem(struct halo_vcpu *vcpu, const struct halo_insn_mem *mem, u64 *val,
		       bool write)
{
	struct halo_pending *p = &vcpu->pending;
	u64 linear;
	int n;

	n = halo_seg_linear(vcpu, mem->seg & 7, mem->offset, mem->size, mem->write || mem->rmw,
			    &linear);
	if (n < 0)
		return n;
	p->piece = 0;
	p->got = 0;
	if (likely(halo_op_told(vcpu, mem, linear))) {
		p->gpa[0] = vcpu->cpu.exit.mem.gpa;
		p->first = mem->size;
		return HALO_INSN_DEVICE;
	}
	if (vcpu->staying)
		return -EAGAIN;
	n = halo_gva_pages(vcpu, linear, mem->size, mem->write || mem->rmw, p->gpa);
	if (n < 0)
		return n;
	p->first = n;
	return halo_pages_copy(vcpu, p->gpa, n, val, mem->size, write) ? HALO_INSN_DEVICE : 0;
}

static int halo_op_mem_read(void *ctx, const struct halo_insn_mem *mem, u64 *val)
{
	*val = 0;
	return halo_op_mem(ctx, mem, val, false);
}

static int halo_op_mem_write(void *ctx, const struct halo_insn_mem *mem, u64 val)
{
	return halo_op_mem(ctx, mem, &val, true);
}

static const struct halo_insn_ops halo_mmio_ops = {
	.stack_size = halo_op_stack_size,
	.mem_read = halo_op_mem_read,
	.mem_write = halo_op_mem_write,
};

/**
 * halo_operand() - copy an instruction's memory operand
 * @vcpu: the vCPU
 * @insn: the instruction, with HALO_INSN_F_MEM
 * @buf: from or to
 * @size: bytes
 * @write: into guest memory
 *
 * Return: 0; an errno with the fault queued, or with #GP(0) for a device.
 */
int halo_operand(struct halo_vcpu *vcpu, const struct halo_insn *insn, void *buf,
		 unsigned int size, bool write)
{
	struct halo_insn_mem mem;
	u64 linear;
	int err;

	err = halo_insn_ea(insn, &vcpu->cpu.regs, &mem);
	if (err)
		return err;
	err = halo_seg_linear(vcpu, mem.seg & 7, mem.offset, size, write, &linear);
	if (!err)
		err = halo_gva_copy(vcpu, linear, buf, size, write);
	if (err == -ENXIO)
		halo_gp(vcpu);
	return err;
}

/* Userspace may know better; a guest's user program may not end its VM. */
static enum halo_next halo_mmio_unknown(struct halo_vcpu *vcpu, int len)
{
	if (halo_cpl(vcpu) == 3)
		return halo_ud(vcpu);
	vcpu->exit.addr = vcpu->cpu.exit.reason == HW_MEMORY ? vcpu->cpu.exit.mem.gpa : ~0ull;
	vcpu->exit.insn_len = len > 0 ? len : 0;
	return halo_forward(vcpu, HALO_EXIT_INSN, PEND_INSN);
}

/*
 * One device access. True: it is answered, *value holds a read's result, and
 * *eoi what the LAPIC wants userspace to know. False: userspace must answer *a.
 */
static bool halo_mmio_access(struct halo_vcpu *vcpu, u64 gpa, unsigned int size, u64 *value,
			     int *eoi, struct halo_access *a)
{
	bool write = vcpu->pending.mmio.mem.write;

	*a = (struct halo_access){
		.bus = HALO_BUS_MMIO,
		.addr = gpa,
		.value = *value,
		.size = size,
		.write = write,
		.insn_len = vcpu->pending.insn.len,
	};

	if (halo_lapic_covers(&vcpu->lapic, gpa)) {
		if (write)
			*eoi = halo_lapic_mmio_write(&vcpu->lapic, gpa & 0xfff, size, *value);
		else
			*value = halo_lapic_mmio_read(&vcpu->lapic, gpa & 0xfff, size);
		return true;
	}
	if (halo_access(vcpu, a) == ACCESS_ASK)
		return false;
	*value = a->value;
	return true;
}

/* A page-crossing access is two, which may lead to two devices, or one to memory. */
static bool halo_mmio_pieces(struct halo_vcpu *vcpu, u64 *value, int *eoi,
			     struct halo_access *a)
{
	struct halo_pending *p = &vcpu->pending;
	const struct halo_insn_mem *mem = &p->mmio.mem;
	struct halo_mem *ram = &vcpu->vm->mem;
	bool crosses = p->first < mem->size;

	if (likely(!crosses) && !p->piece)
		return halo_mmio_access(vcpu, p->gpa[0], mem->size, value, eoi, a);
	for (; p->piece <= crosses; p->piece++) {
		unsigned int size = p->piece ? mem->size - p->first : p->first;
		unsigned int shift = p->piece ? p->first * 8 : 0;
		u64 gpa = p->gpa[p->piece];
		u64 part = *value >> shift & halo_size_mask(size);

		if ((!crosses || halo_mem_copy(ram, gpa, &part, size, mem->write)) &&
		    !halo_mmio_access(vcpu, gpa, size, &part, eoi, a))
			return false;
		p->got |= (part & halo_size_mask(size)) << shift;
	}
	if (!mem->write)
		*value = p->got;
	return true;
}

/* Carry the instruction on until it is done or userspace is needed. */
static enum halo_next halo_mmio_steps(struct halo_vcpu *vcpu, int next)
{
	struct halo_pending *p = &vcpu->pending;
	int eoi = 0, last = 0;
	struct halo_access a;
	u64 value;

	while (next == HALO_INSN_ACCESS) {
		value = p->mmio.value;
		eoi = 0;
		if (!halo_mmio_pieces(vcpu, &value, &eoi, &a))
			return halo_ask(vcpu, &a, PEND_MMIO);
		if (eoi > 0)
			last = eoi;
		next = halo_insn_mmio_finish(&p->mmio, value);
	}
	if (next == HALO_INSN_DONE)
		halo_skip(vcpu, p->insn.len);
	else if (next == -EOPNOTSUPP)
		return halo_mmio_unknown(vcpu, p->insn.len);
	/* AGAIN: one element of a string is done. -EFAULT: the guest gets its fault. */
	return halo_forward_eoi(vcpu, last);
}

/**
 * halo_mmio_complete() - userspace has answered a device access
 * @vcpu: the vCPU
 * @data: a read's value
 *
 * Return: RESUME, or FORWARD when the instruction makes another access.
 */
enum halo_next halo_mmio_complete(struct halo_vcpu *vcpu, u64 data)
{
	struct halo_pending *p = &vcpu->pending;

	if (p->piece)
		p->got |= data << (p->first * 8);
	else
		p->got = data & halo_size_mask(p->first);
	p->piece++;
	return halo_mmio_steps(vcpu, HALO_INSN_ACCESS);
}

/* @ret: halo_decode_mmio()'s. STOP: not during a stay. */
static enum halo_next halo_mmio(struct halo_vcpu *vcpu, int ret)
{
	struct halo_pending *p = &vcpu->pending;

	if (ret == -EINVAL)
		return halo_mmio_unknown(vcpu, 0);
	if (ret > 0)
		ret = halo_insn_mmio_begin(&p->mmio, &p->insn, &vcpu->cpu.regs, &halo_mmio_ops,
					   vcpu);
	if (ret == -EAGAIN)
		return NEXT_STOP;
	vcpu->count.mmio++;
	return halo_mmio_steps(vcpu, ret);
}

static unsigned int halo_wanted(const struct halo_hwexit *x)
{
	return x->mem.write ? GPT_WRITE : x->mem.exec ? GPT_EXEC : GPT_READ;
}

/*
 * Of a store in 64-bit mode, whose access is the one that the CPU has told of, all is
 * known: its value, and that nothing comes after it but the next instruction.
 */
static bool halo_store(const struct halo_vcpu *vcpu, struct halo_access *a)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	const struct halo_insn *insn = &vcpu->pending.insn;
	const struct halo_insn_regs *regs = &vcpu->cpu.regs;
	u64 gpa = x->mem.gpa;

	if (insn->kind != HALO_INSN_MOV_STORE || insn->seg >= HALO_INSN_FS || !x->mem.write ||
	    (halo_insn_offset(insn, regs) ^ gpa) & ~PAGE_MASK ||
	    (gpa & ~PAGE_MASK) + insn->mem_size > PAGE_SIZE)
		return false;
	*a = (struct halo_access){
		.bus = HALO_BUS_MMIO,
		.addr = gpa,
		.value = halo_insn_source(insn, regs),
		.size = insn->mem_size,
		.write = true,
		.insn_len = insn->len,
	};
	return true;
}

static enum halo_stay halo_stay_store(struct halo_vcpu *vcpu, struct halo_access *a)
{
	vcpu->pending.insn_len = a->insn_len;
	vcpu->count.mmio++;
	if (halo_access(vcpu, a) == ACCESS_ASK)
		return halo_stay_next(vcpu, halo_ask(vcpu, a, PEND_STORE));
	return halo_stay_skip(vcpu, a->insn_len);
}

/* A device: only without a walk of the guest's tables, where the CPU has told all. */
static enum halo_stay halo_stay_mmio(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	bool lapic = halo_lapic_covers(&vcpu->lapic, x->mem.gpa);
	enum halo_stay answer;
	struct halo_access a;
	int len;

	if (x->mem.walk || x->mem.exec || (lapic && !halo_stay_lapic(vcpu)))
		return STAY_NOT;
	if (x->insn_len && halo_doorbell(vcpu, x->mem.gpa))
		return halo_stay_skip(vcpu, x->insn_len);
	if (!halo_mode64(vcpu))
		return STAY_NOT;
	len = halo_decode_mmio(vcpu);
	if (!lapic && len > 0 && halo_store(vcpu, &a))
		answer = halo_stay_store(vcpu, &a);
	else
		answer = halo_stay_next(vcpu, halo_mmio(vcpu, len));
	if (answer == STAY_ON)
		vcpu->bytes_len = 0;
	return lapic ? halo_stay_interrupts(vcpu, answer) : answer;
}

/**
 * halo_stay_memory() - a second-stage fault during a stay
 * @vcpu: the vCPU
 *
 * Return: what became of it: a page that the host has at hand is mapped, a device is
 * accessed.
 */
enum halo_stay halo_stay_memory(struct halo_vcpu *vcpu)
{
	struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_mem *mem = &vcpu->vm->mem;
	unsigned long seq = READ_ONCE(mem->seq);
	u64 hole = (x->mem.gpa >> PAGE_SHIFT << 1) | x->mem.write;
	enum halo_stay answer = STAY_ON;
	int ret = HALO_FAULT_MMIO;

	/* Where a device answered there is one still, until a slot changes. */
	if (vcpu->hole.at != hole || vcpu->hole.seq != seq)
		ret = halo_mem_present(mem, x->mem.gpa, halo_wanted(x));

	x->mem.device = ret == HALO_FAULT_MMIO;
	if (x->mem.device) {
		vcpu->hole.at = hole;
		vcpu->hole.seq = seq;
		answer = halo_stay_mmio(vcpu);
	} else if (ret == HALO_FAULT_MAPPED) {
		vcpu->count.faults++;
	} else {
		return STAY_NOT;
	}
	if (answer != STAY_NOT)
		trace_halo_fault(vcpu, ret);
	return answer;
}

/**
 * halo_exit_memory() - a second-stage fault
 * @vcpu: the vCPU
 *
 * Return: RESUME when the page is mapped; else as the device access goes.
 */
enum halo_next halo_exit_memory(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	int ret = HALO_FAULT_MMIO;

	if (!x->mem.device)
		ret = halo_mem_fault(&vcpu->vm->mem, x->mem.gpa, halo_wanted(x));
	trace_halo_fault(vcpu, ret);
	switch (ret) {
	case HALO_FAULT_MAPPED:
		vcpu->count.faults++;
		return NEXT_RESUME;
	case HALO_FAULT_MMIO:
		break;
	case -EINTR:
		vcpu->error = -EINTR;
		return NEXT_STOP;
	default:
		vcpu->exit.addr = x->mem.gpa;
		vcpu->exit.data = -ret;
		return halo_forward(vcpu, HALO_EXIT_MEMORY, PEND_MEMORY);
	}
	/*
	 * Page tables, descriptor tables or code in a device: no instruction
	 * of the guest's did it, so there is none to carry out.
	 */
	if (x->mem.walk || x->mem.exec || vcpu->cpu.event.type != EVENT_NONE) {
		vcpu->exit.addr = x->mem.gpa;
		vcpu->exit.data = EFAULT;
		return halo_forward(vcpu, HALO_EXIT_MEMORY, PEND_MEMORY);
	}
	if (x->insn_len && halo_doorbell(vcpu, x->mem.gpa))
		return halo_skip(vcpu, x->insn_len);
	return halo_mmio(vcpu, halo_decode_mmio(vcpu));
}
