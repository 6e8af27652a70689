// SPDX-License-Identifier: GPL-2.0
/* sources: module/insn.c module/insn_mmio.c */
/*
 * Execution of memory forms against the real CPU.
 *
 * Every form that halo_insn_mmio_begin() knows, in every operand and address size and
 * with random addressing, registers, flags and memory, is run twice: by the CPU, in a
 * page of generated code, and by the decoder on a copy, with every access sent
 * to memory, or to a device, or either by chance. Registers, flags and memory must
 * then be the same. Seed: INSN_SEED in the environment.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "insn.h"

#ifndef __x86_64__

int main(void)
{
	print_message("# skipped: not an x86-64 machine\n");
	return 0;
}

#else

#define MAP_FLAGS	(MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT)
#define BUF		4096
#define SLOTS		1024	/* code moves on: rewriting what just ran is slow */
#define FLAG_CF		0x001
#define FLAG_PF		0x004
#define FLAG_AF		0x010
#define FLAG_ZF		0x040
#define FLAG_SF		0x080
#define FLAG_DF		0x400
#define FLAG_OF		0x800
#define STATUS		(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* What the CPU starts from and what it leaves; the assembly below knows the layout. */
struct {
	u64 gpr[16];
	u64 flags;
	u64 host_rsp;
	void *code;
} native_state __attribute__((used));

void native_run(void);
void native_exit(void);

asm(".text\n"
    ".globl native_run, native_exit\n"
    "native_run:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, native_state+136(%rip)\n"
    "	pushq native_state+128(%rip)\n"
    "	popfq\n"
    "	mov native_state+0(%rip), %rax\n"
    "	mov native_state+8(%rip), %rcx\n"
    "	mov native_state+16(%rip), %rdx\n"
    "	mov native_state+24(%rip), %rbx\n"
    "	mov native_state+32(%rip), %rsp\n"
    "	mov native_state+40(%rip), %rbp\n"
    "	mov native_state+48(%rip), %rsi\n"
    "	mov native_state+56(%rip), %rdi\n"
    "	mov native_state+64(%rip), %r8\n"
    "	mov native_state+72(%rip), %r9\n"
    "	mov native_state+80(%rip), %r10\n"
    "	mov native_state+88(%rip), %r11\n"
    "	mov native_state+96(%rip), %r12\n"
    "	mov native_state+104(%rip), %r13\n"
    "	mov native_state+112(%rip), %r14\n"
    "	mov native_state+120(%rip), %r15\n"
    "	jmp *native_state+144(%rip)\n"
    "native_exit:\n"
    "	mov %rax, native_state+0(%rip)\n"
    "	mov %rcx, native_state+8(%rip)\n"
    "	mov %rdx, native_state+16(%rip)\n"
    "	mov %rbx, native_state+24(%rip)\n"
    "	mov %rsp, native_state+32(%rip)\n"
    "	mov %rbp, native_state+40(%rip)\n"
    "	mov %rsi, native_state+48(%rip)\n"
    "	mov %rdi, native_state+56(%rip)\n"
    "	mov %r8, native_state+64(%rip)\n"
    "	mov %r9, native_state+72(%rip)\n"
    "	mov %r10, native_state+80(%rip)\n"
    "	mov %r11, native_state+88(%rip)\n"
    "	mov %r12, native_state+96(%rip)\n"
    "	mov %r13, native_state+104(%rip)\n"
    "	mov %r14, native_state+112(%rip)\n"
    "	mov %r15, native_state+120(%rip)\n"
    "	mov native_state+136(%rip), %rsp\n"
    "	pushfq\n"
    "	popq native_state+128(%rip)\n"
    "	cld\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

enum { F_BYTE = 1, F_BITS = 2, F_MOFFS = 4, F_STRING = 8, F_CMPSTR = 16, F_STACK = 32,
       F_NOSIZE = 64, F_OSZ32 = 128 };

struct form {
	u8 map, first, last;
	u8 digit;	/* ModRM.reg, or ANY */
	u8 imm;		/* bytes, or Z */
	u8 flags;
	u8 kind;
};

#define ANY	8
#define Z	9

#define K(k)	HALO_INSN_##k
#define ALU(base) \
	{ 0, base, base, ANY, 0, F_BYTE, K(ALU_STORE) }, { 0, base + 1, base + 1, ANY, 0, 0, K(ALU_STORE) }, \
	{ 0, base + 2, base + 2, ANY, 0, F_BYTE, K(ALU_LOAD) }, { 0, base + 3, base + 3, ANY, 0, 0, K(ALU_LOAD) }

static const struct form forms[] = {
	ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30), ALU(0x38),
	{ 0, 0x63, 0x63, ANY, 0, 0, K(MOVSX) },
	{ 0, 0x80, 0x80, ANY, 1, F_BYTE, K(ALU_STORE) },
	{ 0, 0x81, 0x81, ANY, Z, 0, K(ALU_STORE) },
	{ 0, 0x83, 0x83, ANY, 1, 0, K(ALU_STORE) },
	{ 0, 0x84, 0x84, ANY, 0, F_BYTE, K(TEST) },
	{ 0, 0x85, 0x85, ANY, 0, 0, K(TEST) },
	{ 0, 0x86, 0x86, ANY, 0, F_BYTE, K(XCHG) },
	{ 0, 0x87, 0x87, ANY, 0, 0, K(XCHG) },
	{ 0, 0x88, 0x88, ANY, 0, F_BYTE, K(MOV_STORE) },
	{ 0, 0x89, 0x89, ANY, 0, 0, K(MOV_STORE) },
	{ 0, 0x8a, 0x8a, ANY, 0, F_BYTE, K(MOV_LOAD) },
	{ 0, 0x8b, 0x8b, ANY, 0, 0, K(MOV_LOAD) },
	{ 0, 0x8f, 0x8f, 0, 0, F_STACK, K(POP) },
	{ 0, 0xa0, 0xa0, ANY, 0, F_MOFFS | F_BYTE, K(MOV_LOAD) },
	{ 0, 0xa1, 0xa1, ANY, 0, F_MOFFS, K(MOV_LOAD) },
	{ 0, 0xa2, 0xa2, ANY, 0, F_MOFFS | F_BYTE, K(MOV_STORE) },
	{ 0, 0xa3, 0xa3, ANY, 0, F_MOFFS, K(MOV_STORE) },
	{ 0, 0xa4, 0xa5, ANY, 0, F_STRING, K(MOVS) },
	{ 0, 0xa6, 0xa7, ANY, 0, F_STRING | F_CMPSTR, K(CMPS) },
	{ 0, 0xaa, 0xab, ANY, 0, F_STRING, K(STOS) },
	{ 0, 0xac, 0xad, ANY, 0, F_STRING, K(LODS) },
	{ 0, 0xae, 0xaf, ANY, 0, F_STRING | F_CMPSTR, K(SCAS) },
	{ 0, 0xc6, 0xc6, 0, 1, F_BYTE, K(MOV_STORE) },
	{ 0, 0xc7, 0xc7, 0, Z, 0, K(MOV_STORE) },
	{ 0, 0xf6, 0xf6, 0, 1, F_BYTE, K(TEST) },
	{ 0, 0xf6, 0xf6, 1, 1, F_BYTE, K(TEST) },
	{ 0, 0xf6, 0xf6, 2, 0, F_BYTE, K(NOT) },
	{ 0, 0xf6, 0xf6, 3, 0, F_BYTE, K(NEG) },
	{ 0, 0xf7, 0xf7, 0, Z, 0, K(TEST) },
	{ 0, 0xf7, 0xf7, 1, Z, 0, K(TEST) },
	{ 0, 0xf7, 0xf7, 2, 0, 0, K(NOT) },
	{ 0, 0xf7, 0xf7, 3, 0, 0, K(NEG) },
	{ 0, 0xfe, 0xfe, 0, 0, F_BYTE, K(INC) },
	{ 0, 0xfe, 0xfe, 1, 0, F_BYTE, K(DEC) },
	{ 0, 0xff, 0xff, 0, 0, 0, K(INC) },
	{ 0, 0xff, 0xff, 1, 0, 0, K(DEC) },
	{ 0, 0xff, 0xff, 6, 0, F_STACK, K(PUSH) },
	{ 1, 0x40, 0x4f, ANY, 0, 0, K(CMOV) },
	{ 1, 0x90, 0x9f, ANY, 0, F_BYTE, K(SETCC) },
	{ 1, 0xa3, 0xa3, ANY, 0, F_BITS, K(BT) },
	{ 1, 0xab, 0xab, ANY, 0, F_BITS, K(BTS) },
	{ 1, 0xb0, 0xb0, ANY, 0, F_BYTE, K(CMPXCHG) },
	{ 1, 0xb1, 0xb1, ANY, 0, 0, K(CMPXCHG) },
	{ 1, 0xb3, 0xb3, ANY, 0, F_BITS, K(BTR) },
	{ 1, 0xb6, 0xb7, ANY, 0, 0, K(MOV_LOAD) },
	{ 1, 0xba, 0xba, 4, 1, 0, K(BT) },
	{ 1, 0xba, 0xba, 5, 1, 0, K(BTS) },
	{ 1, 0xba, 0xba, 6, 1, 0, K(BTR) },
	{ 1, 0xba, 0xba, 7, 1, 0, K(BTC) },
	{ 1, 0xbb, 0xbb, ANY, 0, F_BITS, K(BTC) },
	{ 1, 0xbe, 0xbf, ANY, 0, 0, K(MOVSX) },
	{ 1, 0xc0, 0xc0, ANY, 0, F_BYTE, K(XADD) },
	{ 1, 0xc1, 0xc1, ANY, 0, 0, K(XADD) },
	{ 1, 0xc3, 0xc3, ANY, 0, F_OSZ32, K(MOV_STORE) },
	{ 1, 0xc7, 0xc7, 1, 0, F_OSZ32 | F_NOSIZE, K(CMPXCHG8B) },
	{ 2, 0xf0, 0xf0, ANY, 0, 0, K(MOVBE_LOAD) },
	{ 2, 0xf1, 0xf1, ANY, 0, 0, K(MOVBE_STORE) },
};

static u64 seed;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

/* Values that make carries and sign changes likely. */
static u64 value(void)
{
	static const u64 odd[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull };

	return rnd() & 1 ? rnd() : odd[rnd() % ARRAY_SIZE(odd)];
}

static u8 *buf, *slots, *code;	/* the CPU's */
static u8 copy[BUF];		/* the decoder's */
static u64 gs_base;

struct vcpu {
	struct halo_insn_regs regs;
	int devices;		/* 0 none, 1 all, 2 some */
};

static unsigned int op_stack_size(void *ctx)
{
	return 8;
}

static u8 *at(const struct halo_insn_mem *mem)
{
	u64 linear = mem->offset + (mem->seg == HALO_INSN_GS ? gs_base : 0);
	u64 offset = linear - (u64)buf;

	assert_true(mem->size && mem->size <= 8);
	assert_true(mem->seg != HALO_INSN_FS);
	if (offset > BUF - mem->size) {
		print_message("# access at %llx, outside of the buffer\n",
			      (unsigned long long)linear);
		return NULL;
	}
	return copy + offset;
}

static bool is_device(struct vcpu *v)
{
	return v->devices == 1 || (v->devices == 2 && rnd() & 1);
}

static int op_mem_read(void *ctx, const struct halo_insn_mem *mem, u64 *val)
{
	struct vcpu *v = ctx;

	assert_false(mem->write);
	if (is_device(v))
		return HALO_INSN_DEVICE;
	if (!at(mem))
		return -EFAULT;
	*val = 0;
	memcpy(val, at(mem), mem->size);
	return 0;
}

static int op_mem_write(void *ctx, const struct halo_insn_mem *mem, u64 val)
{
	struct vcpu *v = ctx;

	assert_true(mem->write);
	if (is_device(v))
		return HALO_INSN_DEVICE;
	if (!at(mem))
		return -EFAULT;
	memcpy(at(mem), &val, mem->size);
	return 0;
}

static const struct halo_insn_ops ops = {
	.stack_size = op_stack_size,
	.mem_read = op_mem_read,
	.mem_write = op_mem_write,
};

/* Run insn to its end; between the halves, registers and flags must not move. */
static int emulate(struct vcpu *v, const struct halo_insn *insn)
{
	struct halo_insn_mmio m;
	struct vcpu before;
	u64 val;
	u8 *p;
	int ret;

	do {
		before = *v;
		ret = halo_insn_mmio_begin(&m, insn, &v->regs, &ops, v);
		while (ret == HALO_INSN_ACCESS) {
			assert_memory_equal(&before.regs, &v->regs, sizeof(v->regs));
			p = at(&m.mem);
			if (!p)
				return -EFAULT;
			val = rnd();	/* bits beyond the size are noise */
			if (m.mem.write)
				memcpy(p, &m.value, m.mem.size);
			else
				memcpy(&val, p, m.mem.size);
			ret = halo_insn_mmio_finish(&m, val);
		}
		assert_int_equal(halo_insn_mmio_finish(&m, 0), -EINVAL);
	} while (ret == HALO_INSN_AGAIN);
	return ret;
}

struct built {
	u8 bytes[32];
	u8 len;
	bool mem_gs;
};

static void put(struct built *b, u64 val, unsigned int size)
{
	while (size--) {
		b->bytes[b->len++] = val;
		val >>= 8;
	}
}

static u64 narrow(u64 val, bool asz)
{
	return asz ? (u32)val | rnd() << 32 : val;
}

/* ModRM, SIB and displacement that hit target; sets base and index registers. */
static bool address(struct built *b, u64 *gpr, u8 rex, unsigned int reg, bool asz, u64 target,
		    const struct form *f, unsigned int imm)
{
	unsigned int mod = rnd() % 3, rm = rnd() & 7, base, index = 4, scale = rnd() & 3;
	u64 disp = 0, extra = 0;
	unsigned int size = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	bool no_base = false, rsp;

	base = rm;
	if (rm == 4) {
		base = rnd() & 7;
		do {
			index = (rnd() & 7) | (rex & 2) << 2;
		} while (index == (base | (rex & 1) << 3) && index != 4);
	}
	if (base == 5 && !mod) {
		no_base = true;
		size = 4;
	}
	base |= (rex & 1) << 3;
	/* a bit offset's register must not move */
	if (f->flags & F_BITS && (base == reg || index == reg)) {
		mod = 0;
		rm = 5;
		size = 4;
		no_base = true;
		index = 4;
	}
	if (size == 1)
		disp = (s64)(s8)rnd();
	else if (size == 4)
		disp = (s64)(s32)(rnd() & 0x0fffffff);

	/* PUSH and POP relative to RSP, which must stay where the stack is */
	rsp = f->flags & F_STACK && !no_base && base == HALO_INSN_RSP;
	if (rsp) {
		if (b->mem_gs)
			return false;
		disp = size ? (s64)(s8)disp : 0;
	}

	b->bytes[b->len++] = mod << 6 | (reg & 7) << 3 | rm;
	if (rm == 4)
		b->bytes[b->len++] = scale << 6 | (index & 7) << 3 | (base & 7);
	if (index != 4) {
		if (no_base)
			disp = (s64)(s32)rnd() & 0x3fffffff;
		gpr[index] = no_base ? rnd() & 0xffff : rsp ? rnd() & 0x3f : value();
		extra = gpr[index] << scale;
		if (no_base)
			disp = target - extra;
	} else if (no_base) {
		disp = target;
		if (rm == 5)	/* RIP-relative */
			disp -= (u64)code + b->len + 4 + imm;
	}
	if (!no_base && !rsp)
		gpr[base] = narrow(target - disp - extra, asz);
	else if (index != 4)
		gpr[index] = narrow(gpr[index], asz);
	put(b, disp, size);
	return true;
}

static unsigned int op_size(u8 rex, bool osz)
{
	return rex & 8 ? 8 : osz ? 2 : 4;
}

/* Return false where the draw gives something this test can't set up. */
static bool build(const struct form *f, bool osz, bool wide, bool asz, struct built *b, u64 *gpr)
{
	static const u8 nothing[] = { 0x2e, 0x3e, 0x26, 0x36 };
	u8 opcode = f->first + rnd() % (f->last - f->first + 1);
	u8 rex = rnd() & 1 ? 0x40 | (rnd() & 7) : 0, digit = f->digit;
	unsigned int size, imm, reg, seg = rnd() & 7;
	u64 target;
	bool gs;

	b->len = 0;
	if (wide)
		rex |= 0x48;
	if (f->flags & F_OSZ32)
		osz = false;
	if (f->flags & F_NOSIZE)
		rex &= ~8;
	size = op_size(rex, osz);
	if (seg == 0)
		b->bytes[b->len++] = 0x65;
	if (rnd() % 8 == 0)
		b->bytes[b->len++] = nothing[rnd() & 3];
	if (seg == 1)
		b->bytes[b->len++] = 0x65;
	gs = seg <= 1;
	if (osz)
		b->bytes[b->len++] = 0x66;
	if (asz)
		b->bytes[b->len++] = 0x67;
	if (f->flags & F_STRING && rnd() & 1)
		b->bytes[b->len++] = rnd() & 1 ? 0xf2 : 0xf3;
	if (rex)
		b->bytes[b->len++] = rex;
	if (f->map)
		b->bytes[b->len++] = 0x0f;
	if (f->map == 2)
		b->bytes[b->len++] = 0x38;
	b->bytes[b->len++] = opcode;
	b->mem_gs = gs;

	imm = f->imm == Z ? (size == 2 ? 2 : 4) : f->imm;
	target = (u64)buf + BUF / 2 + rnd() % 256;
	if (f->flags & F_STRING) {
		/* with ECX = 0, Intel clears upper halves and AMD does not; no access, no exit */
		gpr[HALO_INSN_RCX] = narrow(asz ? 1 + rnd() % 5 : rnd() % 6, asz);
		gpr[HALO_INSN_RSI] = narrow(target - (gs ? gs_base : 0), asz);
		gpr[HALO_INSN_RDI] = narrow((u64)buf + BUF / 2 + rnd() % 64, asz);
		if (!(opcode & 1))
			size = 1;
		return true;
	}
	if (gs)
		target -= gs_base;
	if (f->flags & F_MOFFS) {
		put(b, target, asz ? 4 : 8);
		return true;
	}
	if (digit == ANY)
		digit = rnd() & 7;
	reg = digit | (rex & 4) << 1;
	if (f->flags & F_STACK)
		gpr[HALO_INSN_RSP] = (u64)buf + BUF / 2 + 512 + rnd() % 64;
	if (f->flags & F_BITS) {
		s64 bit = (s64)(rnd() % 12000) - 6000;

		if (reg == HALO_INSN_RSP)
			return false;
		gpr[reg] = size == 2 ? (bit & 0xffff) | rnd() << 16 : size == 4 ?
			   (bit & 0xffffffff) | rnd() << 32 : (u64)bit;
	}
	if (!address(b, gpr, rex, reg, asz, target, f, imm))
		return false;
	put(b, value(), imm);
	return true;
}

/* Flags the manuals leave open. The decoder does what Intel's CPUs do. */
static u64 undefined(const struct halo_insn *insn)
{
	bool alu = insn->kind == K(ALU_STORE) || insn->kind == K(ALU_LOAD);

	if (__builtin_cpu_is("intel"))
		return 0;
	if (insn->kind >= K(BT) && insn->kind <= K(BTC))
		return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
	if (insn->kind == K(TEST) ||
	    (alu && (insn->alu == 1 || insn->alu == 4 || insn->alu == 6)))
		return FLAG_AF;
	return 0;
}

static void complain(const struct built *b, const struct vcpu *v, const u64 *start, u64 flags0)
{
	int i;

	fprintf(stderr, "bytes");
	for (i = 0; i < b->len; i++)
		fprintf(stderr, " %02x", b->bytes[i]);
	fprintf(stderr, " flags %llx: ours %llx, CPU's %llx\n", (long long)flags0,
		(long long)v->regs.rflags, (long long)native_state.flags);
	for (i = 0; i < 16; i++)
		fprintf(stderr, "  r%-2d %016llx: %016llx %016llx%s\n", i, (long long)start[i],
			(long long)v->regs.gpr[i], (long long)native_state.gpr[i],
			v->regs.gpr[i] == native_state.gpr[i] ? "" : " <--");
	for (i = 0; i < BUF; i++)
		if (copy[i] != buf[i])
			fprintf(stderr, "  memory +%x: %02x %02x\n", i, copy[i], buf[i]);
}

static void once(const struct form *f, bool osz, bool wide, bool asz)
{
	static const u8 back[] = { 0xff, 0x25, 0, 0, 0, 0 };
	void (*out)(void) = native_exit;
	struct vcpu v = { .devices = rnd() % 3 };
	struct halo_insn insn;
	struct built b;
	u64 start[16], flags0, word;
	bool same = (f->kind == K(CMPXCHG8B) || f->kind == K(CMPXCHG)) && rnd() & 1;
	int i;

	do {
		for (i = 0; i < 16; i++)
			v.regs.gpr[i] = value();
		if (same)
			v.regs.gpr[HALO_INSN_RAX] = v.regs.gpr[HALO_INSN_RDX] = 0x5555555555555555;
	} while (!build(f, osz, wide, asz, &b, v.regs.gpr) || b.len > HALO_INSN_MAX);
	/* compares should succeed now and then */
	for (i = 0; i < 32; i++) {
		word = rnd() & 3 ? value() : v.regs.gpr[0];
		memcpy(buf + rnd() % (BUF - 8), &word, 8);
	}
	if (f->flags & F_CMPSTR && rnd() & 1)
		memset(buf, v.regs.gpr[0], BUF);
	if (same)
		memset(buf, 0x55, BUF);
	memcpy(copy, buf, BUF);
	v.regs.rflags = 0x202 | (rnd() & (STATUS | FLAG_DF));
	v.regs.rip = (u64)code;
	memcpy(start, v.regs.gpr, sizeof(start));
	flags0 = v.regs.rflags;

	memcpy(native_state.gpr, v.regs.gpr, sizeof(native_state.gpr));
	native_state.flags = v.regs.rflags;
	native_state.code = code;
	memcpy(code, b.bytes, b.len);
	memcpy(code + b.len, back, sizeof(back));
	memcpy(code + b.len + sizeof(back), &out, sizeof(out));
	native_run();

	i = halo_insn_decode(&insn, code, HALO_INSN_MAX, HALO_INSN_MODE_64);
	if (i != b.len || insn.kind != f->kind) {
		complain(&b, &v, start, flags0);
		fail_msg("length %d for %d, kind %d for %d", i, b.len, insn.kind, f->kind);
	}
	i = emulate(&v, &insn);
	if (i != HALO_INSN_DONE || memcmp(v.regs.gpr, native_state.gpr, sizeof(native_state.gpr)) ||
	    (v.regs.rflags ^ native_state.flags) & ~undefined(&insn) || memcmp(buf, copy, BUF)) {
		complain(&b, &v, start, flags0);
		fail_msg("kind %d: %d, not as the CPU does", f->kind, i);
	}
}

static void test_native(void **state)
{
	const char *s = getenv("INSN_SEED"), *n = getenv("INSN_STATES");
	unsigned int f, size, states = n ? atoi(n) : 150, i;
	unsigned long count = 0;

	seed = s ? strtoull(s, NULL, 0) : 0x9e3779b97f4a7c15ull;
	slots = mmap(NULL, SLOTS * 64, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_FLAGS, -1, 0);
	buf = mmap(NULL, BUF, PROT_READ | PROT_WRITE, MAP_FLAGS, -1, 0);
	assert_true(slots != MAP_FAILED && buf != MAP_FAILED);
	gs_base = 0x12345678;
	assert_int_equal(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, gs_base), 0);

	for (f = 0; f < ARRAY_SIZE(forms); f++)
		for (size = 0; size < 8; size++)
			for (i = 0; i < states; i++, count++) {
				code = slots + count % SLOTS * 64;
				once(&forms[f], size & 1 && !(forms[f].flags & F_OSZ32), size & 2,
				     size & 4);
			}
	print_message("# %lu executions\n", count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
