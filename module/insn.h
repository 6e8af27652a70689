/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The x86 instruction decoder: length, operands, and execution of memory forms.
 *
 * Two callers. A backend on a CPU that does not report the next RIP decodes the
 * instruction it intercepted, to know its length and its operands. The run loop
 * decodes the instruction behind a nested page fault on a device page and lets
 * halo_insn_mmio_begin() and halo_insn_mmio_finish() carry it out.
 *
 * Everything here is pure: no lock, no allocation, no recursion, nothing of a VM.
 * The guest chooses every byte, so nothing here trusts or logs any of it.
 *
 * References: SDM volume 2 chapter 2 and appendix A; APM volume 3 chapter 1 and
 * appendix A. The two vendors disagree in one place that matters (operand-size
 * prefix on a 64-bit near branch), hence the fourth mode.
 */
#ifndef HALO_INSN_H
#define HALO_INSN_H

#include "pure.h"

#define HALO_INSN_MAX	15	/* no instruction is longer, on any x86 */

/**
 * enum halo_insn_mode - what CS says about the code being decoded
 * @HALO_INSN_MODE_16: real mode, virtual-8086 mode, or CS.L = 0 and CS.D = 0
 * @HALO_INSN_MODE_32: CS.L = 0 and CS.D = 1
 * @HALO_INSN_MODE_64: 64-bit mode on AMD: 66 gives CALL, JMP and Jcc a 16-bit displacement
 * @HALO_INSN_MODE_64_INTEL: 64-bit mode on Intel: 66 is ignored by near branches
 */
enum halo_insn_mode {
	HALO_INSN_MODE_16,
	HALO_INSN_MODE_32,
	HALO_INSN_MODE_64,
	HALO_INSN_MODE_64_INTEL,
};

/* struct halo_insn.map */
enum {
	HALO_INSN_MAP_1B = 0,
	HALO_INSN_MAP_0F = 1,
	HALO_INSN_MAP_0F38 = 2,
	HALO_INSN_MAP_0F3A = 3,
};

/* struct halo_insn.flags */
#define HALO_INSN_F_OSZ		BIT(0)	/* 66 present */
#define HALO_INSN_F_ASZ		BIT(1)	/* 67 present */
#define HALO_INSN_F_LOCK	BIT(2)
#define HALO_INSN_F_REPNE	BIT(3)	/* F2; the last one of F2 and F3 counts */
#define HALO_INSN_F_REP		BIT(4)	/* F3 */
#define HALO_INSN_F_MODRM	BIT(5)
#define HALO_INSN_F_MEM		BIT(6)	/* explicit memory operand: ModRM with mod != 3, or moffs */
#define HALO_INSN_F_IMM		BIT(7)	/* .imm is meaningful */
#define HALO_INSN_F_SEG		BIT(8)	/* a segment override that counts */

/* Register numbers, hardware encoding. */
enum {
	HALO_INSN_RAX, HALO_INSN_RCX, HALO_INSN_RDX, HALO_INSN_RBX,
	HALO_INSN_RSP, HALO_INSN_RBP, HALO_INSN_RSI, HALO_INSN_RDI,
};

/**
 * struct halo_insn_regs - the registers of a vCPU that instructions work with
 * @gpr: general registers, all 64 bits, by their number
 * @rip: address of the instruction; stays as it is
 * @rflags: only CF PF AF ZF SF OF ever change
 */
struct halo_insn_regs {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
};

/* Segment registers, hardware encoding. */
enum {
	HALO_INSN_ES, HALO_INSN_CS, HALO_INSN_SS, HALO_INSN_DS, HALO_INSN_FS, HALO_INSN_GS,
};

/**
 * enum halo_insn_kind - what an instruction is, as far as Halo cares
 *
 * The part up to HALO_INSN_MEM_FIRST is what a backend intercepts and needs to
 * tell from others. Operands: MOV_CR and MOV_DR have the control or debug
 * register in .reg and the general-purpose one in .rm; SMSW and LMSW go by
 * HALO_INSN_F_MEM, .rm, .op_size and halo_insn_ea().
 *
 * The part from HALO_INSN_MEM_FIRST on, all with a memory operand, is what
 * halo_insn_mmio_begin() knows, in the order of its plans. Where two forms do the
 * same they are one kind: MOVZX is a load, an immediate is a source like a register.
 */
enum halo_insn_kind {
	HALO_INSN_OTHER,
	HALO_INSN_CPUID, HALO_INSN_RDMSR, HALO_INSN_WRMSR, HALO_INSN_HLT, HALO_INSN_PAUSE,
	HALO_INSN_VMMCALL, HALO_INSN_VMCALL, HALO_INSN_XSETBV,
	HALO_INSN_CLTS, HALO_INSN_LMSW, HALO_INSN_SMSW,
	HALO_INSN_MOV_FROM_CR, HALO_INSN_MOV_TO_CR, HALO_INSN_MOV_FROM_DR, HALO_INSN_MOV_TO_DR,
	HALO_INSN_INS, HALO_INSN_OUTS,

	HALO_INSN_MEM_FIRST,
	/* write */
	HALO_INSN_MOV_STORE = HALO_INSN_MEM_FIRST, HALO_INSN_MOVBE_STORE, HALO_INSN_SETCC,
	/* read */
	HALO_INSN_MOV_LOAD, HALO_INSN_MOVSX, HALO_INSN_MOVBE_LOAD, HALO_INSN_CMOV,
	HALO_INSN_ALU_LOAD, HALO_INSN_TEST, HALO_INSN_BT,
	/* read and write; ALU is ADD OR ADC SBB AND SUB XOR CMP, see .alu */
	HALO_INSN_BTS, HALO_INSN_BTR, HALO_INSN_BTC, HALO_INSN_ALU_STORE,
	HALO_INSN_INC, HALO_INSN_DEC, HALO_INSN_NOT, HALO_INSN_NEG,
	HALO_INSN_XCHG, HALO_INSN_XADD, HALO_INSN_CMPXCHG, HALO_INSN_CMPXCHG8B,
	/* two places */
	HALO_INSN_PUSH, HALO_INSN_POP,
	HALO_INSN_MOVS, HALO_INSN_STOS, HALO_INSN_LODS, HALO_INSN_CMPS, HALO_INSN_SCAS,
	HALO_INSN_NR_KINDS,
};

/**
 * struct halo_insn - one decoded instruction
 * @len: bytes, 1 to HALO_INSN_MAX
 * @mode: enum halo_insn_mode it was decoded for
 * @kind: enum halo_insn_kind
 * @map: HALO_INSN_MAP_*
 * @opcode: last opcode byte
 * @seg: segment of the memory operand, override and defaults applied (of [e]SI for string forms)
 * @op_size: operand size in bytes: 1, 2, 4, 8; 16 for CMPXCHG16B
 * @addr_size: address size in bytes: 2, 4, 8
 * @mem_size: bytes of memory the operand covers, for kinds from HALO_INSN_MEM_FIRST on
 * @rex: a REX prefix that counts, or 0: low four bits W R X B
 * @modrm: valid if HALO_INSN_F_MODRM
 * @sib: valid if the address has one
 * @reg: ModRM.reg with R added
 * @rm: ModRM.rm with B added: a register number if HALO_INSN_F_MEM is clear
 * @alu: for ALU kinds, 0 to 7: ADD OR ADC SBB AND SUB XOR CMP
 * @flags: HALO_INSN_F_*
 * @disp: displacement, sign-extended; or the moffs address, zero-extended
 * @imm: immediate, sign-extended from its encoded width; of two, the first
 */
struct halo_insn {
	u8 len;
	u8 mode;
	u8 kind;
	u8 map;
	u8 opcode;
	u8 seg;
	u8 op_size;
	u8 addr_size;
	u8 mem_size;
	u8 rex;
	u8 modrm;
	u8 sib;
	u8 reg;
	u8 rm;
	u8 alu;
	u16 flags;
	s64 disp;
	s64 imm;
};

int halo_insn_decode(struct halo_insn *insn, const u8 *bytes, unsigned int avail,
		     enum halo_insn_mode mode);

/**
 * halo_insn_plain_len() - length of an intercepted instruction in its plain form
 * @bytes: guest bytes at RIP
 * @avail: how many of them are there
 * @kind: what was intercepted; a constant, so that this folds into one compare
 *
 * Compilers emit CPUID, RDMSR and their like without prefixes; the hot path asks
 * here before it pays for halo_insn_decode().
 *
 * Return: the length, or 0 if the bytes are anything else: decode them.
 */
static __always_inline unsigned int halo_insn_plain_len(const u8 *bytes, unsigned int avail,
							enum halo_insn_kind kind)
{
	u8 third = kind == HALO_INSN_VMCALL ? 0xc1 : kind == HALO_INSN_VMMCALL ? 0xd9 : 0;
	u8 second = third ? 0x01 : kind == HALO_INSN_CPUID ? 0xa2 : kind == HALO_INSN_RDMSR ? 0x32 :
		    kind == HALO_INSN_WRMSR ? 0x30 : 0;
	u16 head;

	if (kind == HALO_INSN_HLT)
		return avail >= 1 && bytes[0] == 0xf4;
	if (!second || avail < 2)
		return 0;
	memcpy(&head, bytes, sizeof(head));
	if (head != (0x0f | second << 8))
		return 0;
	if (!third)
		return 2;
	return avail >= 3 && bytes[2] == third ? 3 : 0;
}

/**
 * halo_insn_high_byte() - is a register meant as AH, CH, DH or BH
 * @insn: the instruction
 * @reg: the register
 * @size: bytes of it
 *
 * As bytes registers 4 to 7 are those, unless there is a REX.
 */
static inline bool halo_insn_high_byte(const struct halo_insn *insn, unsigned int reg,
				       unsigned int size)
{
	return size == 1 && reg >= 4 && !(insn->rex & 0x40);
}

/**
 * halo_insn_source() - the operand that is not memory: an immediate or a register
 * @insn: the instruction; moffs and string forms have no ModRM: .reg says the accumulator
 * @regs: the registers
 *
 * Return: its value, zeros above @insn->op_size.
 */
static inline u64 halo_insn_source(const struct halo_insn *insn,
				   const struct halo_insn_regs *regs)
{
	u64 mask = insn->op_size < 8 ? BIT_ULL(insn->op_size * 8) - 1 : ~0ULL;

	if (insn->flags & HALO_INSN_F_IMM)
		return insn->imm & mask;
	if (halo_insn_high_byte(insn, insn->reg, insn->op_size))
		return regs->gpr[insn->reg - 4] >> 8 & 0xff;
	return regs->gpr[insn->reg] & mask;
}

/**
 * struct halo_insn_mem - one memory access of an instruction
 * @offset: offset in the segment, truncated to the address size
 * @seg: segment register the access goes through
 * @size: bytes: 1, 2, 4 or 8
 * @write: the access writes
 * @rmw: a read that the same instruction will follow with a write of the same place:
 *       check for write permission now
 */
struct halo_insn_mem {
	u64 offset;
	u8 seg;
	u8 size;
	bool write;
	bool rmw;
};

/* What mem_read() and mem_write() answer for a place that is a device's. */
#define HALO_INSN_DEVICE	1

/**
 * struct halo_insn_ops - what is known of a vCPU beside its registers
 * @stack_size: address size of the stack in bytes: 8 in 64-bit mode, else 4 or 2 by SS.B
 * @mem_read: read guest memory, little endian, zero-extended into *val. 0, or
 *            HALO_INSN_DEVICE if a device answers for this place, or a negative errno
 *            that is handed to the caller of begin() or finish(); a fault for the guest
 *            is noted in ctx. Page crossings, segment limits, CPL and paging are its business.
 * @mem_write: likewise; if it does not return 0 it has written nothing
 */
struct halo_insn_ops {
	unsigned int (*stack_size)(void *ctx);
	int (*mem_read)(void *ctx, const struct halo_insn_mem *mem, u64 *val);
	int (*mem_write)(void *ctx, const struct halo_insn_mem *mem, u64 val);
};

u64 halo_insn_offset(const struct halo_insn *insn, const struct halo_insn_regs *regs);
int halo_insn_ea(const struct halo_insn *insn, const struct halo_insn_regs *regs,
		 struct halo_insn_mem *mem);

/**
 * enum halo_insn_next - what follows a step of halo_insn_mmio_begin() or _finish()
 * @HALO_INSN_DONE: the instruction is complete; advance RIP by insn->len
 * @HALO_INSN_ACCESS: a device access is wanted: .mem says where, how wide and which
 *                    way, .value what to write. Then call halo_insn_mmio_finish().
 * @HALO_INSN_AGAIN: one element of a repeated string instruction is complete and its
 *                   registers are updated; RIP stays. Deliver events, then begin() again
 *                   or enter the guest, which comes back.
 */
enum halo_insn_next {
	HALO_INSN_DONE,
	HALO_INSN_ACCESS,
	HALO_INSN_AGAIN,
};

/**
 * struct halo_insn_mmio - an instruction on its way
 * @mem: the device access that is wanted
 * @value: what to write, if @mem.write
 * @phase: private: how far it is
 * @src: private: what has been read so far
 * @insn: private: the instruction
 * @regs: private: the registers
 * @ops: private: the vCPU
 * @ctx: private: passed to @ops
 *
 * Kept by the caller from begin() to the last finish(), in kernel-private memory.
 * Registers and flags change only in the step that ends in DONE or AGAIN, so
 * dropping this struct at any other time leaves the guest before the instruction.
 */
struct halo_insn_mmio {
	struct halo_insn_mem mem;
	u64 value;
	u8 phase;
	u64 src[2];
	const struct halo_insn *insn;
	struct halo_insn_regs *regs;
	const struct halo_insn_ops *ops;
	void *ctx;
};

int halo_insn_mmio_begin(struct halo_insn_mmio *r, const struct halo_insn *insn,
			 struct halo_insn_regs *regs, const struct halo_insn_ops *ops, void *ctx);
int halo_insn_mmio_finish(struct halo_insn_mmio *r, u64 value);

#endif /* HALO_INSN_H */
