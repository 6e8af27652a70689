// SPDX-License-Identifier: GPL-2.0
/*
 * Execution of instructions whose memory operand is a device's.
 *
 * An instruction is at most two reads, a computation and one write, in that order,
 * and then a commit of registers and flags. Each access is offered to the vCPU's
 * memory first; if a device answers for the place, the engine stops, and goes on in
 * halo_insn_mmio_finish() when the answer is there, which may be in another thread and
 * much later. What was read is all the state there is in between: the computation
 * is done over from it, for the write and then for the commit, since registers do
 * not change before the commit. So an instruction can be given up at any point.
 *
 * A string instruction does one element at a time; the element is what is precise.
 *
 * LOCK is not honoured: a device register has no other writer that could tell.
 *
 * Called by the vCPU's own thread, with whatever locks the ops want; none of its own.
 * Why not an interpreter for everything: what is not here is rare on device pages,
 * and userspace gets its bytes.
 */
#include "insn.h"

#define FLAG_CF	BIT(0)
#define FLAG_PF	BIT(2)
#define FLAG_AF	BIT(4)
#define FLAG_ZF	BIT(6)
#define FLAG_SF	BIT(7)
#define FLAG_DF	BIT(10)
#define FLAG_OF	BIT(11)
#define FLAGS	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

enum { PHASE_READ, PHASE_SECOND, PHASE_WRITE, PHASE_COMMIT, PHASE_OVER };

enum place {
	NOWHERE,
	EA,		/* the explicit operand */
	STACK,
	SRC,		/* [e]SI */
	DST,		/* ES:[e]DI */
};

/* Where it reads, reads again, and writes. The kinds are numbered in this order. */
static const u8 plans[HALO_INSN_NR_KINDS][3] = {
	[HALO_INSN_MOV_STORE ... HALO_INSN_SETCC] = { NOWHERE, NOWHERE, EA },
	[HALO_INSN_MOV_LOAD ... HALO_INSN_BT] = { EA },
	[HALO_INSN_BTS ... HALO_INSN_CMPXCHG8B] = { EA, NOWHERE, EA },
	[HALO_INSN_PUSH] = { EA, NOWHERE, STACK },
	[HALO_INSN_POP] = { STACK, NOWHERE, EA },
	[HALO_INSN_MOVS] = { SRC, NOWHERE, DST },
	[HALO_INSN_STOS] = { NOWHERE, NOWHERE, DST },
	[HALO_INSN_LODS] = { SRC },
	[HALO_INSN_CMPS] = { SRC, DST },
	[HALO_INSN_SCAS] = { DST },
};

/* What an instruction comes to, once everything is read. */
struct outcome {
	u64 mem;		/* for the write */
	u64 reg;		/* for the register that .reg_size says is written */
	u64 flags;
	u8 reg_no;
	u8 reg_size;		/* 0: none */
};

static u64 mask(unsigned int size)
{
	return size < 8 ? BIT_ULL(size * 8) - 1 : ~0ULL;
}

static u64 reg_read(const struct halo_insn_mmio *r, unsigned int reg, unsigned int size)
{
	return r->regs->gpr[reg] & mask(size);
}

static void reg_write(const struct halo_insn_mmio *r, unsigned int reg, unsigned int size, u64 val)
{
	u64 m = mask(size);
	unsigned int shift = 0;

	if (halo_insn_high_byte(r->insn, reg, size)) {
		reg -= 4;
		shift = 8;
	}
	/* four bytes clear the upper half, one and two leave the rest alone */
	val &= m;
	if (size < 4)
		val = (r->regs->gpr[reg] & ~(m << shift)) | val << shift;
	r->regs->gpr[reg] = val;
}

static s64 sign_extend(u64 val, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return (s64)(val << shift) >> shift;
}

/* SF, ZF and PF of a result. */
static u64 flags_szp(u64 val, unsigned int size)
{
	u8 low = val;
	u64 flags = 0;

	low ^= low >> 4;
	if (!(0x6996 >> (low & 0xf) & 1))
		flags |= FLAG_PF;
	if (!(val & mask(size)))
		flags |= FLAG_ZF;
	if (val >> (size * 8 - 1) & 1)
		flags |= FLAG_SF;
	return flags;
}

/* ADD OR ADC SBB AND SUB XOR CMP, as the opcodes number them (SDM appendix A). */
static u64 alu(unsigned int op, u64 a, u64 b, unsigned int size, u64 *flags)
{
	unsigned int top = size * 8 - 1;
	u64 res, carry, over;

	switch (op) {
	case 0:
	case 2:
		res = a + b + (op == 2 && *flags & FLAG_CF);
		carry = (a & b) | ((a | b) & ~res);
		over = (a ^ res) & (b ^ res);
		break;
	case 3:
	case 5:
	case 7:
		res = a - b - (op == 3 && *flags & FLAG_CF);
		carry = (~a & b) | (~(a ^ b) & res);
		over = (a ^ b) & (a ^ res);
		break;
	default:
		res = op == 1 ? a | b : op == 4 ? a & b : a ^ b;
		*flags = (*flags & ~FLAGS) | flags_szp(res, size);
		return res;
	}
	*flags = (*flags & ~FLAGS) | flags_szp(res, size);
	if (carry >> top & 1)
		*flags |= FLAG_CF;
	if (over >> top & 1)
		*flags |= FLAG_OF;
	if ((a ^ b ^ res) & 0x10)
		*flags |= FLAG_AF;
	return res;
}

/* Jcc, SETcc and CMOVcc, as the opcodes number them (SDM appendix B). */
static bool condition(unsigned int cc, u64 flags)
{
	static const u16 any[8] = {
		FLAG_OF, FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_SF, FLAG_PF, 0, FLAG_ZF,
	};
	bool less = (cc & 0xc) == 0xc && !(flags & FLAG_SF) != !(flags & FLAG_OF);

	return (less || flags & any[cc >> 1 & 7]) != (cc & 1);
}

static u64 swap_bytes(u64 val, unsigned int size)
{
	return __builtin_bswap64(val) >> (64 - size * 8);
}

static void set_reg(struct outcome *o, unsigned int reg, unsigned int size, u64 val)
{
	o->reg_no = reg;
	o->reg_size = size;
	o->reg = val;
}

static u64 bit_test(const struct halo_insn *insn, u64 mem, unsigned int bit, u64 *flags)
{
	u64 one = BIT_ULL(bit & (insn->op_size * 8 - 1));

	*flags = (*flags & ~FLAG_CF) | (mem & one ? FLAG_CF : 0);
	return insn->kind == HALO_INSN_BTS ? mem | one :
	       insn->kind == HALO_INSN_BTR ? mem & ~one : mem ^ one;
}

static void compare_exchange(const struct halo_insn_mmio *r, struct outcome *o, u64 mem, u64 new)
{
	bool pair = r->insn->kind == HALO_INSN_CMPXCHG8B;
	unsigned int size = r->insn->op_size;
	u64 old = reg_read(r, HALO_INSN_RAX, pair ? 4 : size);

	if (pair) {
		old |= reg_read(r, HALO_INSN_RDX, 4) << 32;
		new = reg_read(r, HALO_INSN_RCX, 4) << 32 | reg_read(r, HALO_INSN_RBX, 4);
		o->flags = (o->flags & ~FLAG_ZF) | (old == mem ? FLAG_ZF : 0);
	} else {
		alu(7, old, mem, size, &o->flags);
	}
	/* the destination is written either way (SDM, CMPXCHG) */
	o->mem = old == mem ? new : mem;
	if (old != mem && !pair)	/* commit() loads EDX:EAX */
		set_reg(o, HALO_INSN_RAX, size, mem);
}

/* From what has been read to what is to be written. Changes nothing. */
static void compute(const struct halo_insn_mmio *r, struct outcome *o)
{
	const struct halo_insn *insn = r->insn;
	unsigned int size = insn->op_size;
	u64 mem = r->src[0], src = halo_insn_source(insn, r->regs);

	*o = (struct outcome){ .flags = r->regs->rflags };

	switch (insn->kind) {
	case HALO_INSN_MOV_STORE:
	case HALO_INSN_STOS:
		o->mem = src;
		break;
	case HALO_INSN_MOVBE_STORE:
		o->mem = swap_bytes(src, size);
		break;
	case HALO_INSN_SETCC:
		o->mem = condition(insn->opcode, o->flags);
		break;
	case HALO_INSN_MOV_LOAD:
	case HALO_INSN_LODS:
		set_reg(o, insn->reg, size, mem);
		break;
	case HALO_INSN_MOVSX:
		set_reg(o, insn->reg, size, sign_extend(mem, insn->mem_size));
		break;
	case HALO_INSN_MOVBE_LOAD:
		set_reg(o, insn->reg, size, swap_bytes(mem, size));
		break;
	case HALO_INSN_CMOV:
		/* a false condition still clears the upper half */
		set_reg(o, insn->reg, size, condition(insn->opcode, o->flags) ? mem : src);
		break;
	case HALO_INSN_ALU_LOAD:
		src = alu(insn->alu, src, mem, size, &o->flags);
		if (insn->alu != 7)
			set_reg(o, insn->reg, size, src);
		break;
	case HALO_INSN_TEST:
		alu(4, mem, src, size, &o->flags);
		break;
	case HALO_INSN_BT ... HALO_INSN_BTC:
		o->mem = bit_test(insn, mem, src, &o->flags);
		break;
	case HALO_INSN_ALU_STORE:
		o->mem = alu(insn->alu, mem, src, size, &o->flags);
		break;
	case HALO_INSN_INC:
	case HALO_INSN_DEC:
		src = o->flags & FLAG_CF;
		o->mem = alu(insn->kind == HALO_INSN_INC ? 0 : 5, mem, 1, size, &o->flags);
		o->flags = (o->flags & ~FLAG_CF) | src;
		break;
	case HALO_INSN_NOT:
		o->mem = ~mem;
		break;
	case HALO_INSN_NEG:
		o->mem = alu(5, 0, mem, size, &o->flags);
		break;
	case HALO_INSN_XADD:
	case HALO_INSN_XCHG:
		o->mem = insn->kind == HALO_INSN_XCHG ? src : alu(0, mem, src, size, &o->flags);
		set_reg(o, insn->reg, size, mem);
		break;
	case HALO_INSN_CMPXCHG:
	case HALO_INSN_CMPXCHG8B:
		compare_exchange(r, o, mem, src);
		break;
	case HALO_INSN_PUSH:
	case HALO_INSN_POP:
	case HALO_INSN_MOVS:
		o->mem = mem;
		break;
	case HALO_INSN_CMPS:
		alu(7, mem, r->src[1], size, &o->flags);
		break;
	case HALO_INSN_SCAS:
		alu(7, src, mem, size, &o->flags);
		break;
	}
	o->mem &= mask(insn->mem_size);
}

static bool is_string(const struct halo_insn *insn)
{
	return insn->kind >= HALO_INSN_MOVS;
}

static bool repeats(const struct halo_insn *insn)
{
	return is_string(insn) && insn->flags & (HALO_INSN_F_REP | HALO_INSN_F_REPNE);
}

static enum place place_of(const struct halo_insn *insn, unsigned int phase)
{
	/* CMP computes like the others but keeps nothing */
	if (phase == PHASE_WRITE && insn->kind == HALO_INSN_ALU_STORE && insn->alu == 7)
		return NOWHERE;
	return plans[insn->kind][phase];
}

/* Does the explicit operand's address start from RSP? */
static bool rsp_based(const struct halo_insn *insn)
{
	return insn->addr_size > 2 && (insn->modrm & 7) == 4 && (insn->sib & 7) == 4 &&
	       !(insn->rex & 1);
}

/* Fill r->mem for the access of this phase. */
static int locate(struct halo_insn_mmio *r, enum place where, unsigned int phase)
{
	const struct halo_insn *insn = r->insn;
	struct halo_insn_mem *mem = &r->mem;
	u64 m = mask(insn->addr_size);
	int ret;

	if (where == EA) {
		ret = halo_insn_ea(insn, r->regs, mem);
		if (ret)
			return ret;
		if (insn->kind == HALO_INSN_POP && rsp_based(insn))
			mem->offset = (mem->offset + insn->op_size) & m;
	} else {
		mem->size = insn->mem_size;
		if (where == STACK) {
			m = mask(r->ops->stack_size(r->ctx));
			mem->seg = HALO_INSN_SS;
			mem->offset = r->regs->gpr[HALO_INSN_RSP];
			if (phase == PHASE_WRITE)
				mem->offset -= insn->op_size;
		} else {
			mem->seg = where == SRC ? insn->seg : HALO_INSN_ES;
			mem->offset = r->regs->gpr[where == SRC ? HALO_INSN_RSI : HALO_INSN_RDI];
		}
		mem->offset &= m;
	}
	mem->write = phase == PHASE_WRITE;
	mem->rmw = phase == PHASE_READ && place_of(insn, PHASE_WRITE) == where;
	return 0;
}

static void advance(const struct halo_insn_mmio *r, unsigned int reg, s64 step, unsigned int size)
{
	reg_write(r, reg, size, r->regs->gpr[reg] + step);
}

/* Move SI and DI past an element, count it, and say whether another one follows. */
static int string_step(const struct halo_insn_mmio *r, u64 flags)
{
	const struct halo_insn *insn = r->insn;
	s64 step = flags & FLAG_DF ? -(s64)insn->op_size : insn->op_size;
	unsigned int phase;
	enum place where;

	for (phase = PHASE_READ; phase <= PHASE_WRITE; phase++) {
		where = place_of(insn, phase);
		if (where != NOWHERE)
			advance(r, where == SRC ? HALO_INSN_RSI : HALO_INSN_RDI, step,
				insn->addr_size);
	}
	if (!repeats(insn))
		return HALO_INSN_DONE;
	advance(r, HALO_INSN_RCX, -1, insn->addr_size);
	if (!reg_read(r, HALO_INSN_RCX, insn->addr_size))
		return HALO_INSN_DONE;
	if (insn->kind >= HALO_INSN_CMPS && !(flags & FLAG_ZF) == !!(insn->flags & HALO_INSN_F_REP))
		return HALO_INSN_DONE;
	return HALO_INSN_AGAIN;
}

static int commit(struct halo_insn_mmio *r)
{
	const struct halo_insn *insn = r->insn;
	struct outcome o;
	s64 step = insn->op_size;

	compute(r, &o);
	r->phase = PHASE_OVER;
	r->regs->rflags = o.flags;
	if (o.reg_size)
		reg_write(r, o.reg_no, o.reg_size, o.reg);
	if (insn->kind == HALO_INSN_CMPXCHG8B && !(o.flags & FLAG_ZF)) {
		reg_write(r, HALO_INSN_RAX, 4, r->src[0]);
		reg_write(r, HALO_INSN_RDX, 4, r->src[0] >> 32);
	}
	if (insn->kind == HALO_INSN_PUSH || insn->kind == HALO_INSN_POP)
		advance(r, HALO_INSN_RSP, insn->kind == HALO_INSN_PUSH ? -step : step,
			r->ops->stack_size(r->ctx));
	return is_string(insn) ? string_step(r, o.flags) : HALO_INSN_DONE;
}

/* Go on from r->phase until a device is needed or the instruction is over. */
static int go_on(struct halo_insn_mmio *r)
{
	struct outcome o;
	enum place where;
	int ret;

	for (; r->phase < PHASE_COMMIT; r->phase++) {
		where = place_of(r->insn, r->phase);
		if (where == NOWHERE)
			continue;
		ret = locate(r, where, r->phase);
		if (ret)
			goto give_up;
		if (r->phase == PHASE_WRITE) {
			compute(r, &o);
			r->value = o.mem;
			ret = r->ops->mem_write(r->ctx, &r->mem, r->value);
		} else {
			r->value = 0;
			ret = r->ops->mem_read(r->ctx, &r->mem, &r->src[r->phase]);
		}
		if (ret == HALO_INSN_DEVICE)
			return HALO_INSN_ACCESS;
		if (ret)
			goto give_up;
	}
	return commit(r);

give_up:
	r->phase = PHASE_OVER;
	return ret;
}

/**
 * halo_insn_mmio_begin() - start to execute an instruction that touches a device
 * @r: state, filled here; the caller keeps it until the instruction is over
 * @insn: decoded instruction, at RIP; kept as long, as are @regs and @ctx
 * @regs: its registers
 * @ops: the vCPU
 * @ctx: passed to @ops
 *
 * Return: enum halo_insn_next; -EOPNOTSUPP if Halo does not execute this instruction
 * (forward its bytes); or what a memory op returned. If negative, nothing has changed.
 */
int halo_insn_mmio_begin(struct halo_insn_mmio *r, const struct halo_insn *insn,
			 struct halo_insn_regs *regs, const struct halo_insn_ops *ops, void *ctx)
{
	r->phase = PHASE_OVER;
	r->insn = insn;
	r->regs = regs;
	r->ops = ops;
	r->ctx = ctx;
	if (insn->kind < HALO_INSN_MEM_FIRST || insn->mem_size > 8)
		return -EOPNOTSUPP;
	if (repeats(insn) && !reg_read(r, HALO_INSN_RCX, insn->addr_size))
		return HALO_INSN_DONE;
	r->phase = PHASE_READ;
	r->src[0] = 0;
	r->src[1] = 0;
	return go_on(r);
}

/**
 * halo_insn_mmio_finish() - go on after a device access
 * @r: as begin() or the last finish() left it, with the access in @r->mem carried out
 * @value: what the device gave, if it was a read; bits beyond @r->mem.size don't matter
 *
 * Return: as halo_insn_mmio_begin(); ACCESS again when there is another one. -EINVAL if
 * no access was outstanding.
 */
int halo_insn_mmio_finish(struct halo_insn_mmio *r, u64 value)
{
	if (r->phase >= PHASE_COMMIT)
		return -EINVAL;
	if (r->phase < PHASE_WRITE)
		r->src[r->phase] = value & mask(r->mem.size);
	r->phase++;
	return go_on(r);
}
