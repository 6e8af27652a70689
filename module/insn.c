// SPDX-License-Identifier: GPL-2.0
/*
 * Instruction decoding: bytes to length, operands and kind; operands to addresses.
 *
 * One attribute byte per opcode of the one-byte and the 0F map says all that the
 * length depends on; one kind byte says what Halo calls it. Kinds that hang on
 * ModRM or on a prefix are marked K_* in the table and settled in resolve(), off
 * the fast path. The maps 0F 38 and 0F 3A are regular (a ModRM, and an immediate byte
 * or none), so they have no table. VEX, EVEX and XOP are told from what shares their
 * lead bytes, and left alone: none of them is intercepted or carried out here.
 *
 * Undefined encodings are refused where the one-byte or 0F map has a hole and in
 * the groups that resolve() looks into; elsewhere they get the length of their
 * neighbours. That is enough: a CPU raises #UD before any intercept or nested page
 * fault, so such bytes arrive here only if the guest rewrites code as it runs.
 *
 * Any caller, any context; no locks. Why not the kernel's own decoder in
 * arch/x86/lib: it is not exported to modules, and it knows lengths only.
 */
#include "insn.h"

/* Attribute byte, low nibble: what follows the opcode and its ModRM. */
enum {
	NO,		/* nothing */
	IB,		/* one byte */
	IW,		/* two bytes */
	IZ,		/* two or four, by operand size */
	IV,		/* two, four or eight, by operand size */
	JZ,		/* near branch: IZ, but Intel ignores 66 in 64-bit mode */
	MO,		/* moffs: an address */
	FP,		/* far pointer: IZ, then a selector */
	EN,		/* ENTER: IW, then IB */
	G3,		/* F6 and F7: IB or IZ for TEST only */
	CR,		/* MOV to and from CRn and DRn: mod is ignored */
	PF,		/* prefix */
	ES,		/* escape, or VEX, EVEX, XOP if what follows says so */
	UD,		/* undefined */
};

#define NIBBLE	0x0f
#define RM	0x10	/* has a ModRM byte */
#define BY	0x20	/* byte operands */
#define SF	0x40	/* stack or branch: 64-bit operands by default in 64-bit mode */
#define XX	0x80	/* undefined in 64-bit mode */

/* The combinations in use, so that a row of the tables is a line. */
#define RB	(RM | BY)
#define RBI	(RM | BY | IB)
#define RI	(RM | IB)
#define RZ	(RM | IZ)
#define BI	(BY | IB)
#define SI	(SF | IB)
#define SZ	(SF | IZ)
#define SJ	(SF | JZ)
#define SW	(SF | IW)
#define SE	(SF | EN)
#define BM	(BY | MO)
#define IX	(IB | XX)
#define FX	(FP | XX)
#define RX	(RM | BY | IB | XX)
#define RBG	(RM | BY | G3)
#define RG	(RM | G3)
#define RC	(RM | CR)

static const u8 attr_1b[256] = {
[0x00] = RB, RM, RB, RM, BI, IZ, XX, XX, RB, RM, RB, RM, BI, IZ, XX, ES,
[0x10] = RB, RM, RB, RM, BI, IZ, XX, XX, RB, RM, RB, RM, BI, IZ, XX, XX,
[0x20] = RB, RM, RB, RM, BI, IZ, PF, XX, RB, RM, RB, RM, BI, IZ, PF, XX,
[0x30] = RB, RM, RB, RM, BI, IZ, PF, XX, RB, RM, RB, RM, BI, IZ, PF, XX,
[0x40 ... 0x4f] = NO, [0x50 ... 0x5f] = SF,
[0x60] = XX, XX, ES, RM, PF, PF, PF, PF, SZ, RZ, SI, RI, BY, NO, BY, NO,
[0x70 ... 0x7f] = SI,
[0x80] = RBI, RZ, RX, RI, RB, RM, RB, RM, RB, RM, RB, RM, RM, RM, RM, ES,
[0x90] = NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, FX, NO, SF, SF, NO, NO,
[0xa0] = BM, MO, BM, MO, BY, NO, BY, NO, BI, IZ, BY, NO, BY, NO, BY, NO,
[0xb0 ... 0xb7] = BI, [0xb8 ... 0xbf] = IV,
[0xc0] = RBI, RI, SW, SF, ES, ES, RBI, RZ, SE, SF, IW, NO, NO, IB, XX, NO,
[0xd0] = RB, RM, RB, RM, IX, IX, XX, BY, RM, RM, RM, RM, RM, RM, RM, RM,
[0xe0] = SI, SI, SI, SI, BI, IB, BI, IB, SJ, SJ, FX, SI, BY, NO, BY, NO,
[0xf0] = PF, NO, PF, PF, NO, NO, RBG, RG, NO, NO, NO, NO, NO, NO, RB, RM,
};

static const u8 attr_0f[256] = {
[0x00] = RM, RM, RM, RM, UD, NO, NO, NO, NO, NO, UD, NO, UD, RM, NO, RI,
[0x10 ... 0x1f] = RM,
[0x20] = RC, RC, RC, RC, UD, UD, UD, UD, RM, RM, RM, RM, RM, RM, RM, RM,
[0x30] = NO, NO, NO, NO, NO, NO, UD, NO, ES, UD, ES, UD, UD, UD, UD, UD,
[0x40 ... 0x6f] = RM,
[0x70] = RI, RI, RI, RI, RM, RM, RM, NO, ES, RM, UD, UD, RM, RM, RM, RM,
[0x80 ... 0x8f] = SJ, [0x90 ... 0x9f] = RB,
[0xa0] = SF, SF, NO, RM, RI, RM, UD, UD, SF, SF, NO, RM, RI, RM, RM, RM,
[0xb0] = RB, RM, RM, RM, RM, RM, RM, RM, RM, RM, RI, RM, RM, RM, RM, RM,
[0xc0] = RB, RM, RI, RM, RI, RI, RI, RM, NO, NO, NO, NO, NO, NO, NO, NO,
[0xd0 ... 0xff] = RM,
};

/* Kinds that resolve() has to settle. */
enum {
	K_FIRST = HALO_INSN_NR_KINDS,
	K_GRP1 = K_FIRST, K_GRP1A, K_GRP3, K_GRP4, K_GRP5, K_GRP6, K_GRP7, K_GRP8, K_GRP9, K_GRP11,
	K_STRING_IO, K_63, K_SREG, K_MEM_ONLY, K_NOP, K_MOVX, K_MOVNTI,
	K_LAST
};

static_assert(K_LAST <= 256);

enum { AS = HALO_INSN_ALU_STORE, AL = HALO_INSN_ALU_LOAD };

static const u8 kind_1b[256] = {
	[0x00] = AS, AS, AL, AL, [0x08] = AS, AS, AL, AL, [0x10] = AS, AS, AL, AL,
	[0x18] = AS, AS, AL, AL, [0x20] = AS, AS, AL, AL, [0x28] = AS, AS, AL, AL,
	[0x30] = AS, AS, AL, AL, [0x38] = AS, AS, AL, AL, [0x63] = K_63,
	[0x6c ... 0x6f] = K_STRING_IO, [0x80 ... 0x83] = K_GRP1,
	[0x84 ... 0x85] = HALO_INSN_TEST, [0x86 ... 0x87] = HALO_INSN_XCHG,
	[0x88 ... 0x89] = HALO_INSN_MOV_STORE, [0x8a ... 0x8b] = HALO_INSN_MOV_LOAD,
	[0x8c] = K_SREG, [0x8d] = K_MEM_ONLY, [0x8e] = K_SREG, [0x8f] = K_GRP1A, [0x90] = K_NOP,
	[0xa0 ... 0xa1] = HALO_INSN_MOV_LOAD, [0xa2 ... 0xa3] = HALO_INSN_MOV_STORE,
	[0xa4 ... 0xa5] = HALO_INSN_MOVS, [0xa6 ... 0xa7] = HALO_INSN_CMPS,
	[0xaa ... 0xab] = HALO_INSN_STOS, [0xac ... 0xad] = HALO_INSN_LODS,
	[0xae ... 0xaf] = HALO_INSN_SCAS, [0xc4 ... 0xc5] = K_MEM_ONLY, [0xc6 ... 0xc7] = K_GRP11,
	[0xf4] = HALO_INSN_HLT, [0xf6 ... 0xf7] = K_GRP3, [0xfe] = K_GRP4, [0xff] = K_GRP5,
};

static const u8 kind_0f[256] = {
	[0x00] = K_GRP6, [0x01] = K_GRP7, [0x06] = HALO_INSN_CLTS, [0x20] = HALO_INSN_MOV_FROM_CR,
	[0x21] = HALO_INSN_MOV_FROM_DR, [0x22] = HALO_INSN_MOV_TO_CR,
	[0x23] = HALO_INSN_MOV_TO_DR, [0x30] = HALO_INSN_WRMSR, [0x32] = HALO_INSN_RDMSR,
	[0x40 ... 0x4f] = HALO_INSN_CMOV, [0x90 ... 0x9f] = HALO_INSN_SETCC,
	[0xa2] = HALO_INSN_CPUID, [0xa3] = HALO_INSN_BT, [0xab] = HALO_INSN_BTS,
	[0xb0 ... 0xb1] = HALO_INSN_CMPXCHG, [0xb2] = K_MEM_ONLY, [0xb3] = HALO_INSN_BTR,
	[0xb4 ... 0xb5] = K_MEM_ONLY, [0xb6 ... 0xb7] = K_MOVX, [0xba] = K_GRP8,
	[0xbb] = HALO_INSN_BTC, [0xbe ... 0xbf] = K_MOVX, [0xc0 ... 0xc1] = HALO_INSN_XADD,
	[0xc3] = K_MOVNTI, [0xc7] = K_GRP9,
};

/* Where the bytes come from; never read at or past end. */
struct cursor {
	const u8 *p;
	const u8 *end;
};

static __always_inline int take(struct cursor *c, unsigned int size, s64 *val)
{
	s16 v16;
	s32 v32;

	if (unlikely((size_t)(c->end - c->p) < size))
		return -ENODATA;
	switch (size) {
	case 1:
		*val = (s8)c->p[0];
		break;
	case 2:
		memcpy(&v16, c->p, 2);
		*val = v16;
		break;
	case 4:
		memcpy(&v32, c->p, 4);
		*val = v32;
		break;
	default:
		memcpy(val, c->p, 8);
		break;
	}
	c->p += size;
	return 0;
}

static __always_inline int take_u8(struct cursor *c, u8 *val)
{
	if (unlikely(c->p == c->end))
		return -ENODATA;
	*val = *c->p++;
	return 0;
}

static inline bool is_64(const struct halo_insn *insn)
{
	return insn->mode >= HALO_INSN_MODE_64;
}

static inline unsigned int mod(const struct halo_insn *insn)
{
	return insn->modrm >> 6;
}

/* Mandatory prefix as VEX.pp numbers them: none, 66, F3, F2. */
static unsigned int pp(const struct halo_insn *insn)
{
	if (insn->flags & HALO_INSN_F_REP)
		return 2;
	if (insn->flags & HALO_INSN_F_REPNE)
		return 3;
	return insn->flags & HALO_INSN_F_OSZ ? 1 : 0;
}

static noinline void prefix(struct halo_insn *insn, u8 byte)
{
	/* F0, F2, F3, 66 and 67, by their low bits */
	static const u16 flag[8] = {
		[0] = HALO_INSN_F_LOCK, [2] = HALO_INSN_F_REPNE, [3] = HALO_INSN_F_REP,
		[6] = HALO_INSN_F_OSZ, [7] = HALO_INSN_F_ASZ,
	};
	bool fs_gs = (byte & 0xfe) == 0x64;

	if (fs_gs || byte < 0x40) {
		/* 26 2E 36 3E are ES CS SS DS; in 64-bit mode they are nothing at all */
		if (!fs_gs && is_64(insn))
			return;
		insn->seg = fs_gs ? byte & 7 : byte >> 3 & 3;
		insn->flags |= HALO_INSN_F_SEG;
		return;
	}
	if (byte >= 0xf2)
		insn->flags &= ~(HALO_INSN_F_REP | HALO_INSN_F_REPNE);
	insn->flags |= flag[byte & 7];
}

/* Prefixes and opcode. Return the attribute byte. */
static __always_inline int opcode(struct cursor *c, struct halo_insn *insn)
{
	u8 byte, attr;

	for (;;) {
		if (take_u8(c, &byte))
			return -ENODATA;
		attr = attr_1b[byte];
		if ((attr & NIBBLE) == PF) {
			/* a REX counts only right before the opcode */
			insn->rex = 0;
			prefix(insn, byte);
		} else if ((byte & 0xf0) == 0x40 && is_64(insn)) {
			insn->rex = byte;
		} else {
			break;
		}
	}
	insn->opcode = byte;
	if (likely((attr & NIBBLE) != ES))
		return attr;

	if (byte == 0x0f) {
		insn->map = HALO_INSN_MAP_0F;
		if (take_u8(c, &insn->opcode))
			return -ENODATA;
		attr = attr_0f[insn->opcode];
		if (likely((attr & NIBBLE) != ES))
			return attr;
		if (insn->opcode == 0x78)	/* SSE4a's EXTRQ and INSERTQ, or VMREAD */
			return RM | (pp(insn) == 2 ? UD : pp(insn) ? IW : NO);
		insn->map = insn->opcode == 0x38 ? HALO_INSN_MAP_0F38 : HALO_INSN_MAP_0F3A;
		if (take_u8(c, &insn->opcode))
			return -ENODATA;
		return insn->map == HALO_INSN_MAP_0F38 ? RM : RM | IB;
	}

	/* LES, LDS, BOUND and POP, or VEX, EVEX and XOP: which of them, the next byte says */
	if (c->p == c->end)
		return -ENODATA;
	if (byte == 0x8f)
		return (*c->p & 0x1f) < 8 ? RM | SF : -EOPNOTSUPP;
	return is_64(insn) || *c->p >= 0xc0 ? -EOPNOTSUPP : RM;
}

/* ModRM, SIB and displacement; .seg gets its default if no prefix set it. */
static __always_inline int modrm(struct cursor *c, struct halo_insn *insn, bool only_reg)
{
	unsigned int base, size = 0;
	u8 seg = HALO_INSN_DS;
	u8 byte;

	if (take_u8(c, &byte))
		return -ENODATA;
	insn->modrm = byte;
	insn->flags |= HALO_INSN_F_MODRM;
	insn->reg = (byte >> 3 & 7) | (insn->rex & 4) << 1;
	insn->rm = (byte & 7) | (insn->rex & 1) << 3;
	if (byte >= 0xc0 || only_reg)
		return 0;

	insn->flags |= HALO_INSN_F_MEM;
	if (unlikely(insn->addr_size == 2)) {
		base = byte & 7;
		if (byte >= 0x40)
			size = byte >> 6;
		else if (base == 6)
			size = 2;
		if (base == 2 || base == 3 || (base == 6 && byte >= 0x40))
			seg = HALO_INSN_SS;
	} else {
		base = insn->rm;
		if ((byte & 7) == 4) {
			if (take_u8(c, &insn->sib))
				return -ENODATA;
			base = (insn->sib & 7) | (insn->rex & 1) << 3;
			if (base == HALO_INSN_RSP)
				seg = HALO_INSN_SS;
		}
		if (byte >= 0x80)
			size = 4;
		else if (byte >= 0x40)
			size = 1;
		else if ((base & 7) == 5)
			size = 4;
		if (base == HALO_INSN_RBP && byte >= 0x40)
			seg = HALO_INSN_SS;
	}
	if (!(insn->flags & HALO_INSN_F_SEG))
		insn->seg = seg;
	return size ? take(c, size, &insn->disp) : 0;
}

static noinline int immediate(struct cursor *c, struct halo_insn *insn, u8 attr)
{
	unsigned int size = insn->op_size == 2 ? 2 : 4, more = 0;
	s64 ignored;
	int ret;

	switch (attr & NIBBLE) {
	case IZ:
	case JZ:		/* op_size() knows the vendors' difference */
		break;
	case IB:
		size = 1;
		break;
	case IW:
		size = 2;
		break;
	case IV:
		if (insn->op_size == 8)
			size = 8;
		break;
	case G3:
		if ((insn->reg & 7) > 1)
			return 0;
		if (attr & BY)
			size = 1;
		break;
	case MO:
		insn->flags |= HALO_INSN_F_MEM;
		ret = take(c, insn->addr_size, &insn->disp);
		if (insn->addr_size < 8)
			insn->disp &= BIT_ULL(insn->addr_size * 8) - 1;
		return ret;
	case FP:
		more = 2;
		break;
	case EN:
		size = 2;
		more = 1;
		break;
	default:
		return -EINVAL;
	}
	insn->flags |= HALO_INSN_F_IMM;
	ret = take(c, size, &insn->imm);
	return ret || !more ? ret : take(c, more, &ignored);
}

/* The 0F 38 map. */
static int resolve_0f38(struct halo_insn *insn)
{
	unsigned int prefix = pp(insn);

	insn->mem_size = insn->op_size;
	switch (insn->opcode) {
	case 0x80 ... 0x82:	/* INVEPT, INVVPID, INVPCID */
		return prefix == 1 ? HALO_INSN_OTHER : -EINVAL;
	case 0xf0 ... 0xf1:
		/* F2 makes these CRC32, even with 66 */
		if (prefix >= 2)
			return HALO_INSN_OTHER;
		return insn->opcode & 1 ? HALO_INSN_MOVBE_STORE : HALO_INSN_MOVBE_LOAD;
	case 0xf9:
		return prefix ? HALO_INSN_OTHER : HALO_INSN_MOV_STORE;	/* MOVDIRI */
	}
	return HALO_INSN_OTHER;
}

/* Settle a K_* kind. Return the kind, or -EINVAL if the encoding is undefined. */
static noinline int resolve(struct halo_insn *insn, unsigned int kind)
{
	static const u8 grp3[8] = {
		HALO_INSN_TEST, HALO_INSN_TEST, HALO_INSN_NOT, HALO_INSN_NEG,
	};
	static const u8 grp8[4] = { HALO_INSN_BT, HALO_INSN_BTS, HALO_INSN_BTR, HALO_INSN_BTC };
	bool mem = insn->flags & HALO_INSN_F_MEM;
	unsigned int op = insn->reg & 7;

	insn->mem_size = insn->op_size;
	switch (kind) {
	case K_GRP1:
		insn->alu = op;
		return HALO_INSN_ALU_STORE;
	case K_GRP1A:
		return op ? -EINVAL : HALO_INSN_POP;
	case K_GRP3:
		return grp3[op];
	case K_GRP4:
		if (op > 1)
			return -EINVAL;
		return op ? HALO_INSN_DEC : HALO_INSN_INC;
	case K_GRP5:
		if (op == 7 || (!mem && (op == 3 || op == 5)))
			return -EINVAL;
		/* near CALL and JMP, and PUSH: 64-bit; Intel's branches whatever 66 says */
		if (is_64(insn) && (op == 2 || op == 4 || op == 6) &&
		    (insn->op_size == 4 || (insn->mode == HALO_INSN_MODE_64_INTEL && op != 6)))
			insn->op_size = 8;
		insn->mem_size = insn->op_size;
		return op == 0 ? HALO_INSN_INC : op == 1 ? HALO_INSN_DEC :
		       op == 6 ? HALO_INSN_PUSH : HALO_INSN_OTHER;
	case K_GRP6:
		return op > 5 ? -EINVAL : HALO_INSN_OTHER;
	case K_GRP7:
		if (op == 4 || op == 6)
			return op == 4 ? HALO_INSN_SMSW : HALO_INSN_LMSW;
		return insn->modrm == 0xc1 ? HALO_INSN_VMCALL :
		       insn->modrm == 0xd9 ? HALO_INSN_VMMCALL :
		       insn->modrm == 0xd1 ? HALO_INSN_XSETBV : HALO_INSN_OTHER;
	case K_GRP8:
		return op < 4 ? -EINVAL : grp8[op & 3];
	case K_GRP9:
		if (mem ? op == 0 || op == 2 : op < 6)
			return -EINVAL;
		if (op != 1)
			return HALO_INSN_OTHER;
		insn->op_size = insn->rex & 8 ? 16 : 8;
		insn->mem_size = insn->op_size;
		return HALO_INSN_CMPXCHG8B;
	case K_GRP11:
		if (!op)
			return HALO_INSN_MOV_STORE;
		return insn->modrm == 0xf8 ? HALO_INSN_OTHER : -EINVAL;	/* XABORT, XBEGIN */
	case K_STRING_IO:
		if (insn->op_size == 8)
			insn->op_size = 4;
		if (insn->opcode >= 0x6e)
			return HALO_INSN_OUTS;
		insn->seg = HALO_INSN_ES;
		return HALO_INSN_INS;
	case K_63:
		insn->mem_size = insn->op_size == 2 ? 2 : 4;
		return is_64(insn) ? HALO_INSN_MOVSX : HALO_INSN_OTHER;		/* or ARPL */
	case K_SREG:
		return op > 5 || (op == HALO_INSN_CS && insn->opcode == 0x8e) ? -EINVAL :
		       HALO_INSN_OTHER;
	case K_MEM_ONLY:
		return mem ? HALO_INSN_OTHER : -EINVAL;
	case K_NOP:
		/* with REX.B, 90 exchanges R8 and RAX */
		return insn->flags & HALO_INSN_F_REP && !(insn->rex & 1) ?
		       HALO_INSN_PAUSE : HALO_INSN_OTHER;
	case K_MOVX:
		insn->mem_size = 1 + (insn->opcode & 1);
		return insn->opcode & 8 ? HALO_INSN_MOVSX : HALO_INSN_MOV_LOAD;
	case K_MOVNTI:
		return mem && !pp(insn) ? HALO_INSN_MOV_STORE : -EINVAL;
	}
	return -EINVAL;
}

/* Kinds outside the tables, and those the tables leave open. */
static noinline int classify_slowly(struct halo_insn *insn, int kind)
{
	if (insn->map == HALO_INSN_MAP_0F38)
		kind = resolve_0f38(insn);
	else if (insn->map == HALO_INSN_MAP_0F3A)
		kind = HALO_INSN_OTHER;
	else
		kind = resolve(insn, kind);
	/* no memory operand: nothing for the MMIO side, whatever the opcode */
	if (kind >= HALO_INSN_MEM_FIRST && !(insn->flags & HALO_INSN_F_MEM))
		kind = HALO_INSN_OTHER;
	return kind;
}

static __always_inline int classify(struct halo_insn *insn)
{
	int kind = 0;

	if (insn->map <= HALO_INSN_MAP_0F)
		kind = insn->map ? kind_0f[insn->opcode] : kind_1b[insn->opcode];
	if (kind >= K_FIRST || insn->map > HALO_INSN_MAP_0F) {
		kind = classify_slowly(insn, kind);
		if (unlikely(kind < 0))
			return kind;
	} else if (kind >= HALO_INSN_MEM_FIRST) {
		insn->mem_size = insn->op_size;
		insn->alu = insn->opcode >> 3 & 7;
		if (!(insn->flags & HALO_INSN_F_MEM) && kind < HALO_INSN_MOVS)
			kind = HALO_INSN_OTHER;
	}
	insn->kind = kind;
	return 0;
}

/* Operand size in the low nibble, address size in the high one: by mode, 67 and 66. */
static const u8 size_table[4][4] = {
	{ 0x22, 0x24, 0x42, 0x44 },
	{ 0x44, 0x42, 0x24, 0x22 },
	{ 0x84, 0x82, 0x44, 0x42 },
	{ 0x84, 0x82, 0x44, 0x42 },
};

/* The operand size where attribute byte or REX.W have a say. */
static unsigned int op_size(const struct halo_insn *insn, u8 attr, unsigned int size)
{
	if (attr & BY)
		return 1;
	if (insn->rex & 8)
		return 8;
	if ((attr & NIBBLE) == CR)
		return is_64(insn) ? 8 : 4;
	if (is_64(insn) && attr & SF &&
	    (size == 4 || ((attr & NIBBLE) == JZ && insn->mode == HALO_INSN_MODE_64_INTEL)))
		return 8;
	return size;
}

static __always_inline int decode(struct cursor *c, struct halo_insn *insn)
{
	struct cursor slow;
	u8 size;
	int attr, ret;

	attr = opcode(c, insn);
	if (unlikely(attr < 0))
		return attr;
	size = size_table[insn->mode][insn->flags & 3];
	insn->addr_size = size >> 4;
	insn->op_size = size & 0xf;
	if (!attr && !insn->rex)
		return classify(insn);

	if (unlikely((attr & NIBBLE) == UD || (attr & XX && is_64(insn))))
		return -EINVAL;
	if (attr & ~RM || insn->rex & 8)
		insn->op_size = op_size(insn, attr, size & 0xf);

	if (attr & RM) {
		ret = modrm(c, insn, (attr & NIBBLE) == CR);
		if (unlikely(ret))
			return ret;
	}
	if (attr & NIBBLE && (attr & NIBBLE) != CR) {
		/* not inlined: a copy, so that the cursor itself lives in registers */
		slow = *c;
		ret = immediate(&slow, insn, attr);
		*c = slow;
		if (unlikely(ret))
			return ret;
	}
	return classify(insn);
}

/**
 * halo_insn_decode() - decode one instruction
 * @insn: result; undefined unless the call succeeds
 * @bytes: guest bytes, starting at RIP; a private copy
 * @avail: how many bytes may be read; more than HALO_INSN_MAX is no help
 * @mode: what CS says, and in 64-bit mode whose CPU this is
 *
 * Return: the length; -ENODATA if the instruction goes on past @avail, so fetch more;
 * -EINVAL if it is undefined or longer than HALO_INSN_MAX: the guest gets #UD or #GP;
 * -EOPNOTSUPP with VEX, EVEX or XOP. More bytes never turn one of a length, -EINVAL and
 * -EOPNOTSUPP into another.
 */
int halo_insn_decode(struct halo_insn *insn, const u8 *bytes, unsigned int avail,
		     enum halo_insn_mode mode)
{
	struct cursor c = {
		.p = bytes,
		.end = bytes + (avail < HALO_INSN_MAX ? avail : HALO_INSN_MAX),
	};
	int ret;

	*insn = (struct halo_insn){
		.mode = mode & 3,
		.seg = HALO_INSN_DS,
	};
	ret = decode(&c, insn);
	if (unlikely(ret)) {
		if (ret == -ENODATA && avail >= HALO_INSN_MAX)
			return -EINVAL;
		return ret;
	}
	insn->len = c.p - bytes;
	return insn->len;
}

/* The offset that ModRM, SIB and displacement give, not yet truncated. */
static u64 modrm_offset(const struct halo_insn *insn, const struct halo_insn_regs *regs)
{
	static const u8 pair[8][2] = {
		{ HALO_INSN_RBX, HALO_INSN_RSI }, { HALO_INSN_RBX, HALO_INSN_RDI },
		{ HALO_INSN_RBP, HALO_INSN_RSI }, { HALO_INSN_RBP, HALO_INSN_RDI },
		{ HALO_INSN_RSI }, { HALO_INSN_RDI }, { HALO_INSN_RBP }, { HALO_INSN_RBX },
	};
	unsigned int base = insn->modrm & 7, index;
	u64 offset = insn->disp;

	if (insn->addr_size == 2) {
		if (base == 6 && !mod(insn))
			return offset;
		offset += regs->gpr[pair[base][0]];
		if (base < 4)
			offset += regs->gpr[pair[base][1]];
		return offset;
	}
	if (base == 4) {
		index = (insn->sib >> 3 & 7) | (insn->rex & 2) << 2;
		if (index != 4)		/* RSP can't be an index; R12 can */
			offset += regs->gpr[index] << (insn->sib >> 6);
		base = insn->sib & 7;
		if (base == 5 && !mod(insn))
			return offset;
	} else if (base == 5 && !mod(insn)) {
		if (is_64(insn))
			offset += regs->rip + insn->len;
		return offset;
	}
	return offset + regs->gpr[base | (insn->rex & 1) << 3];
}

/**
 * halo_insn_offset() - where in its segment the explicit memory operand is
 * @insn: decoded instruction, with HALO_INSN_F_MEM
 * @regs: the registers
 *
 * POP to memory is special: its address is computed after RSP has moved, which
 * halo_insn_mmio_begin() takes care of. The bit offset of BT and its kin counts (SDM, BT).
 *
 * Return: the offset, truncated to the address size.
 */
u64 halo_insn_offset(const struct halo_insn *insn, const struct halo_insn_regs *regs)
{
	u64 offset;
	s64 bit;

	offset = insn->flags & HALO_INSN_F_MODRM ? modrm_offset(insn, regs) : (u64)insn->disp;

	/* a register bit offset is signed and reaches beyond the operand */
	if (insn->kind >= HALO_INSN_BT && insn->kind <= HALO_INSN_BTC &&
	    !(insn->flags & HALO_INSN_F_IMM)) {
		bit = regs->gpr[insn->reg];
		if (insn->op_size == 2)
			bit = (s16)bit;
		else if (insn->op_size == 4)
			bit = (s32)bit;
		offset += (bit >> 3) & -(s64)insn->op_size;
	}
	if (insn->addr_size < 8)
		offset &= BIT_ULL(insn->addr_size * 8) - 1;
	return offset;
}

/**
 * halo_insn_ea() - the explicit memory operand
 * @insn: decoded instruction
 * @regs: the registers
 * @mem: result: .offset as halo_insn_offset(), .seg, .size; the rest is cleared
 *
 * Return: 0, or -EOPNOTSUPP if there is none.
 */
int halo_insn_ea(const struct halo_insn *insn, const struct halo_insn_regs *regs,
		 struct halo_insn_mem *mem)
{
	if (!(insn->flags & HALO_INSN_F_MEM))
		return -EOPNOTSUPP;
	*mem = (struct halo_insn_mem){
		.offset = halo_insn_offset(insn, regs),
		.seg = insn->seg,
		.size = insn->mem_size,
	};
	return 0;
}
