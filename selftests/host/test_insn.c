// SPDX-License-Identifier: GPL-2.0
/* sources: module/insn.c module/insn_mmio.c */
/*
 * The decoder's rules one by one: what the oracles can't say (kinds, operands,
 * addresses outside 64-bit mode) and what a device access looks like from outside.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>

#include <cmocka.h>

#include "insn.h"

enum { M16 = HALO_INSN_MODE_16, M32 = HALO_INSN_MODE_32, M64 = HALO_INSN_MODE_64,
       MINT = HALO_INSN_MODE_64_INTEL };

#define K(k)	HALO_INSN_##k
#define BAD	(-EINVAL)
#define SHORT	(-ENODATA)
#define VEX	(-EOPNOTSUPP)	/* or EVEX, or XOP */

static unsigned int hex(const char *text, u8 *out)
{
	unsigned int n = 0, byte;
	int used;

	while (sscanf(text, " %2x%n", &byte, &used) == 1) {
		out[n++] = byte;
		text += used;
	}
	return n;
}

/* Decode from an allocation of just these bytes, so that a byte too many is seen. */
static int decode(int mode, const char *text, struct halo_insn *insn)
{
	u8 bytes[32], *exact;
	unsigned int n = hex(text, bytes);
	int ret;

	exact = malloc(n);
	memcpy(exact, bytes, n);
	ret = halo_insn_decode(insn, exact, n, mode);
	free(exact);
	return ret;
}

/* Zero in a column that is not .len means: not asked. */
struct vector {
	u8 mode;
	const char *bytes;
	int len;
	u8 kind, op_size, addr_size, mem_size;
	s64 imm, disp;
};

static const struct vector vectors[] = {
	/* what gets intercepted */
	{ M64, "0f a2", 2, K(CPUID) }, { M16, "66 0f a2", 3, K(CPUID) },
	{ M64, "f3 48 0f a2", 4, K(CPUID) }, { M64, "48 f3 0f a2", 4, K(CPUID) },
	{ M64, "0f 32", 2, K(RDMSR) }, { M64, "0f 30", 2, K(WRMSR) }, { M64, "f4", 1, K(HLT) },
	{ M64, "0f 01 d9", 3, K(VMMCALL) }, { M64, "0f 01 c1", 3, K(VMCALL) },
	{ M64, "0f 08", 2, K(OTHER) }, { M64, "0f 09", 2, K(OTHER) }, { M64, "f3 0f 09", 3, K(OTHER) },
	{ M64, "0f 31", 2, K(OTHER) }, { M64, "0f 01 f9", 3, K(OTHER) }, { M64, "0f 33", 2, K(OTHER) },
	{ M64, "0f 01 fd", 3, K(OTHER) }, { M64, "f3 90", 2, K(PAUSE) }, { M64, "90", 1, K(OTHER) },
	{ M64, "f3 41 90", 3, K(OTHER) }, { M64, "f3 40 90", 3, K(PAUSE) },
	{ M64, "0f 01 c8", 3, K(OTHER) }, { M64, "0f 01 c9", 3, K(OTHER) },
	{ M64, "0f 01 fa", 3, K(OTHER) }, { M64, "0f 01 fb", 3, K(OTHER) },
	{ M64, "0f 01 d0", 3, K(OTHER) }, { M64, "0f 01 d1", 3, K(XSETBV) },
	{ M64, "0f 06", 2, K(CLTS) }, { M64, "0f 01 f0", 3, K(LMSW) }, { M64, "0f 01 e0", 3, K(SMSW) },
	{ M64, "0f 01 20", 3, K(SMSW), 4, 8 }, { M64, "0f 01 30", 3, K(LMSW), 4, 8 },
	{ M64, "0f 01 38", 3, K(OTHER) }, { M64, "0f 01 f8", 3, K(OTHER) },
	{ M64, "0f 01 df", 3, K(OTHER) }, { M64, "0f 01 fe", 3, K(OTHER) },
	{ M64, "0f 01 ff", 3, K(OTHER) }, { M64, "66 0f 38 82 08", 5, K(OTHER) },
	{ M64, "66 0f 38 80 08", 5, K(OTHER) }, { M64, "66 0f 38 81 08", 5, K(OTHER) },
	{ M64, "0f 38 82 08", BAD },
	{ M64, "cf", 1, K(OTHER) }, { M64, "48 cf", 2, K(OTHER), 8 }, { M64, "cd 80", 2, K(OTHER) },
	{ M64, "cc", 1, K(OTHER) }, { M32, "ce", 1, K(OTHER) }, { M64, "ce", BAD }, { M64, "f1", 1, K(OTHER) },
	{ M64, "9c", 1, K(OTHER), 8 }, { M64, "66 9c", 2, K(OTHER), 2 }, { M64, "9d", 1, K(OTHER), 8 },
	{ M32, "9d", 1, K(OTHER), 4 }, { M16, "9d", 1, K(OTHER), 2 }, { M64, "fa", 1, K(OTHER) }, { M64, "fb", 1, K(OTHER) },
	{ M64, "e4 f0", 2, K(OTHER) }, { M64, "48 e5 f0", 3, K(OTHER) },
	{ M64, "66 ed", 2, K(OTHER) }, { M16, "ed", 1, K(OTHER) }, { M64, "e7 ff", 2, K(OTHER) },
	{ M64, "ee", 1, K(OTHER) }, { M64, "f3 6c", 2, K(INS), 1, 8 }, { M64, "f3 48 6d", 3, K(INS), 4, 8 },
	{ M64, "67 6f", 2, K(OUTS), 4, 4 }, { M16, "67 66 6f", 3, K(OUTS), 4, 4 },
	{ M64, "0f aa", 2, K(OTHER) }, { M64, "0f 05", 2, K(OTHER) }, { M64, "48 0f 07", 3, K(OTHER), 8 },
	{ M64, "0f 34", 2, K(OTHER) }, { M64, "0f 35", 2, K(OTHER) },
	{ M64, "0f 01 d8", 3, K(OTHER) }, { M64, "0f 01 da", 3, K(OTHER) }, { M64, "0f 01 db", 3, K(OTHER) },
	{ M64, "0f 01 dc", 3, K(OTHER) }, { M64, "0f 01 dd", 3, K(OTHER) }, { M64, "0f 01 de", 3, K(OTHER) },
	{ M64, "0f 01 c2", 3, K(OTHER) }, { M64, "0f 78 c8", 3, K(OTHER) }, { M64, "f3 0f c7 30", 4, K(OTHER) },
	{ M64, "0f 01 00", 3, K(OTHER) }, { M64, "0f 01 08", 3, K(OTHER) }, { M64, "0f 01 10", 3, K(OTHER) },
	{ M64, "0f 01 18", 3, K(OTHER) }, { M64, "0f 00 c0", 3, K(OTHER) }, { M64, "0f 00 c8", 3, K(OTHER) },
	{ M64, "0f 00 d0", 3, K(OTHER) }, { M64, "0f 00 d8", 3, K(OTHER) }, { M64, "0f 00 f8", BAD },
	/* MOV CR and DR: mod is ignored, so no displacement; always the full width */
	{ M64, "0f 20 05", 3, K(MOV_FROM_CR), 8 }, { M64, "44 0f 22 c0", 4, K(MOV_TO_CR), 8 },
	{ M32, "66 0f 22 44", 4, K(MOV_TO_CR), 4 }, { M16, "0f 23 f8", 3, K(MOV_TO_DR), 4 },
	{ M64, "0f 21 3c", 3, K(MOV_FROM_DR), 8 },

	/* REX counts only right before the opcode */
	{ M64, "48 66 b8 34 12", 5, K(OTHER), 2, 0, 0, 0x1234 },
	{ M64, "66 48 b8 ef cd ab 89 67 45 23 01", 11, K(OTHER), 8, 0, 0, 0x0123456789abcdef },
	{ M64, "48 48 b8 01 00 00 00 00 00 00 80", 11, K(OTHER), 8, 0, 0, 0x8000000000000001 },
	{ M64, "48 89 05 10 00 00 00", 7, K(MOV_STORE), 8, 8, 8, 0, 0x10 },
	{ M32, "48", 1, K(OTHER) }, { M16, "4f", 1, K(OTHER) },
	/* immediates and displacements by 66, 67 and mode */
	{ M16, "b8 34 12", 3, 0, 2 }, { M16, "66 b8 78 56 34 12", 6, 0, 4, 0, 0, 0x12345678 },
	{ M32, "66 b8 34 12", 4, 0, 2 }, { M64, "81 00 ff ff ff ff", 6, K(ALU_STORE), 4, 8, 4, -1 },
	{ M64, "48 81 38 00 00 00 80", 7, K(ALU_STORE), 8, 8, 8, -0x80000000ll },
	{ M64, "66 81 00 00 80", 5, K(ALU_STORE), 2, 8, 2, -0x8000 }, { M64, "83 00 80", 3, K(ALU_STORE), 4, 8, 4, -0x80 },
	{ M16, "8b 06 34 f2", 4, K(MOV_LOAD), 2, 2, 2, 0, (s16)0xf234 }, { M16, "8b 46 80", 3, K(MOV_LOAD), 2, 2, 2, 0, -128 },
	{ M16, "67 8b 05 78 56 34 12", 7, K(MOV_LOAD), 2, 4, 2, 0, 0x12345678 },
	{ M32, "67 8b 06 34 12", 5, K(MOV_LOAD), 4, 2, 4, 0, 0x1234 },
	{ M64, "67 8b 06", 3, K(MOV_LOAD), 4, 4, 4 }, { M64, "8b 04 25 00 f0 ff fe", 7, K(MOV_LOAD), 4, 8, 4, 0, (s32)0xfefff000 },
	{ M64, "8b 44 24 10", 4, K(MOV_LOAD), 4, 8, 4, 0, 0x10 },
	{ M64, "a0 01 02 03 04 05 06 07 88", 9, K(MOV_LOAD), 1, 8, 1, 0, (s64)0x8807060504030201 },
	{ M64, "67 a1 00 00 e0 fe", 6, K(MOV_LOAD), 4, 4, 4, 0, 0xfee00000 },
	{ M32, "a3 b0 00 e0 fe", 5, K(MOV_STORE), 4, 4, 4, 0, 0xfee000b0 }, { M16, "a3 00 f0", 3, K(MOV_STORE), 2, 2, 2, 0, 0xf000 },
	{ M32, "67 66 a2 34 12", 5, K(MOV_STORE), 1, 2, 1, 0, 0x1234 },
	{ M32, "9a 01 02 03 04 05 06", 7 }, { M32, "66 ea 01 02 05 06", 6 }, { M16, "ea 00 e0 00 f0", 5 }, { M64, "9a", BAD },
	{ M64, "c8 10 00 01", 4, 0, 8, 0, 0, 0x10 }, { M64, "c2 08 00", 3 },
	{ M64, "f6 00 80", 3, K(TEST) }, { M64, "f6 10", 2, K(NOT) }, { M64, "f7 08 01 00 00 00", 6, K(TEST) },
	{ M64, "66 f7 00 01 00", 5, K(TEST), 2 }, { M64, "f7 18", 2, K(NEG) }, { M64, "f7 20", 2, K(OTHER) },
	{ M64, "c7 f8 00 01 00 00", 6, K(OTHER) }, { M64, "66 c7 f8 00 01", 5 }, { M64, "c6 f8 01", 3 }, { M64, "c7 08 00 00 00 00", BAD },
	/* near branches with 66: the vendors differ */
	{ M64, "66 e8 00 01", 4, 0, 2 }, { MINT, "66 e8 00 01 00 00", 6, 0, 8 }, { M64, "e9 00 01 00 00", 5, 0, 8 },
	{ M64, "66 0f 84 00 01", 5 }, { MINT, "66 0f 84 00 01 00 00", 7 }, { M32, "66 e8 00 01", 4, 0, 2 },
	{ M64, "ff 20", 2, K(OTHER), 8 }, { MINT, "66 ff 10", 3, K(OTHER), 8 }, { M64, "66 ff 10", 3, K(OTHER), 2 },
	{ MINT, "66 ff 30", 3, K(PUSH), 2 },
	/* LDS, LES, BOUND, POP, or VEX, EVEX, XOP */
	{ M32, "c5 00", 2, K(OTHER) }, { M32, "c4 00", 2, K(OTHER) }, { M32, "62 00", 2 }, { M16, "c4 06 34 12", 4 },
	{ M64, "8f 00", 2, K(POP), 8 }, { M64, "8f c0", 2, K(OTHER) }, { M32, "8f 07", 2, K(POP), 4 },
	{ M32, "c5 f8 77", VEX }, { M64, "c5 f8 77", VEX }, { M64, "c5 78 28 00", VEX }, { M32, "c5 c0", VEX }, { M16, "c4 e2", VEX },
	{ M64, "c4 06", VEX }, { M64, "c4 e2 7d 18 00", VEX }, { M64, "67 c5 f8 28 00", VEX }, { M64, "2e c5 f8 28 00", VEX },
	{ M64, "c5 fe 7f 00", VEX }, { M32, "62 f1 7c 48 28 00", VEX }, { M64, "62 f1 7c 48 28 40 01", VEX }, { M64, "62 f1 7c", VEX },
	{ M64, "8f e8 78 c0 c0 01", VEX }, { M32, "8f ea 78 10 00 01 02 03 04", VEX }, { M64, "8f 08", VEX },
	{ M64, "c5", SHORT }, { M32, "c4", SHORT }, { M64, "62", SHORT }, { M64, "8f", SHORT },
	{ M64, "0f 0f c1 b4", 4 }, { M64, "0f 0f 40 10 b4", 5 }, { M64, "66 0f 78 c0 01 02", 6 }, { M64, "f2 0f 78 c1 01 02", 6 },
	/* undefined */
	{ M64, "06", BAD }, { M64, "60", BAD }, { M64, "82 00 00", BAD }, { M64, "d4 0a", BAD }, { M32, "d4 0a", 2 }, { M64, "0f 04", BAD },
	{ M64, "fe 10", BAD }, { M64, "ff 38", BAD }, { M64, "ff d8", BAD }, { M64, "8d c0", BAD }, { M64, "8e c8", BAD }, { M64, "8c f0", BAD },
	{ M64, "0f ba 18 00", BAD }, { M64, "0f b2 c0", BAD },
	/* memory forms */
	{ M64, "88 00", 2, K(MOV_STORE), 1, 8, 1 }, { M64, "c7 00 01 00 00 00", 6, K(MOV_STORE), 4, 8, 4, 1 },
	{ M64, "48 c7 00 ff ff ff ff", 7, K(MOV_STORE), 8, 8, 8, -1 }, { M64, "89 c0", 2, K(OTHER) },
	{ M64, "0f b6 00", 3, K(MOV_LOAD), 4, 8, 1 }, { M64, "48 0f bf 00", 4, K(MOVSX), 8, 8, 2 }, { M64, "48 63 00", 3, K(MOVSX), 8, 8, 4 },
	{ M64, "66 63 00", 3, K(MOVSX), 2, 8, 2 }, { M32, "63 00", 2, K(OTHER) }, { M64, "0f 94 00", 3, K(SETCC), 1, 8, 1 },
	{ M64, "0f c3 00", 3, K(MOV_STORE), 4, 8, 4 }, { M64, "0f c3 c0", BAD }, { M64, "0f 38 f0 00", 4, K(MOVBE_LOAD), 4, 8, 4 },
	{ M64, "f2 0f 38 f1 00", 5, K(OTHER) }, { M64, "f0 48 0f c7 08", 5, K(CMPXCHG8B), 16, 8, 16 }, { M32, "0f c7 08", 3, K(CMPXCHG8B), 8, 4, 8 },
	{ M64, "0f c7 f0", 3, K(OTHER) }, { M64, "f3 a4", 2, K(MOVS), 1, 8, 1 }, { M64, "48 ab", 2, K(STOS), 8, 8, 8 }, { M64, "0f 38 f9 08", 4, K(MOV_STORE) },
	{ M64, "66 0f 6f 00", 4, K(OTHER), 0, 8 }, { M64, "0f 6f 00", 3, K(OTHER), 0, 8 },
	{ M64, "f3 0f 11 00", 4, K(OTHER), 0, 8 }, { M64, "f2 0f 10 00", 4, K(OTHER), 0, 8 }, { M64, "66 48 0f 7e 00", 5, K(OTHER), 0, 8 },
	{ M64, "66 0f 7e 00", 4, K(OTHER), 0, 8 }, { M64, "f3 0f 7e 00", 4, K(OTHER), 0, 8 }, { M64, "0f 13 00", 3, K(OTHER), 0, 8 },
	{ M64, "66 0f e7 00", 4, K(OTHER), 0, 8 }, { M64, "66 0f d6 00", 4, K(OTHER), 0, 8 }, { M64, "f2 0f f0 00", 4, K(OTHER), 0, 8 },
	{ M64, "0f 28 c1", 3, K(OTHER) },
	/* fifteen bytes, and no more */
	{ M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", 15 }, { M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", BAD },
	{ M64, "2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 2e 81 00 01 00 00", BAD }, { M64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66", SHORT },
	{ M64, "0f", SHORT }, { M64, "8b", SHORT }, { M64, "8b 04", SHORT }, { M64, "8b 80 00 00 00", SHORT },
};

static void test_vectors(void **state)
{
	const struct vector *v;
	struct halo_insn insn;
	int ret;

	(void)state;
	for (v = vectors; v < vectors + ARRAY_SIZE(vectors); v++) {
		ret = decode(v->mode, v->bytes, &insn);
		if (ret != v->len)
			fail_msg("%s: length %d, not %d", v->bytes, ret, v->len);
		if (ret < 0)
			continue;
		if ((v->kind && insn.kind != v->kind) || (v->op_size && insn.op_size != v->op_size) ||
		    (v->addr_size && insn.addr_size != v->addr_size) ||
		    (v->mem_size && insn.mem_size != v->mem_size) ||
		    (v->imm && insn.imm != v->imm) || (v->disp && insn.disp != v->disp))
			fail_msg("%s: kind %d sizes %d %d %d imm %llx disp %llx", v->bytes,
				 insn.kind, insn.op_size, insn.addr_size, insn.mem_size,
				 (long long)insn.imm, (long long)insn.disp);
		assert_int_equal(insn.len, ret);
	}
}

static void test_operands(void **state)
{
	struct halo_insn insn;

	(void)state;
	decode(M64, "44 0f 22 c1", &insn);	/* mov cr8, rcx */
	assert_int_equal(insn.reg, 8);
	assert_int_equal(insn.rm, 1);
	decode(M64, "41 0f 20 e7", &insn);	/* mov r15, cr4 */
	assert_int_equal(insn.reg, 4);
	assert_int_equal(insn.rm, 15);
	assert_false(insn.flags & HALO_INSN_F_MEM);
	decode(M64, "ed", &insn);
	assert_false(insn.flags & HALO_INSN_F_IMM);
	decode(M64, "e5 10", &insn);
	assert_true(insn.flags & HALO_INSN_F_IMM);
	decode(M64, "f3 f2 a6", &insn);
	assert_int_equal(insn.flags, HALO_INSN_F_REPNE);
	decode(M32, "ea 78 56 34 12 08 00", &insn);
	assert_int_equal(insn.imm, 0x12345678);
	decode(M64, "45 89 3c 24", &insn);	/* mov [r12], r15d */
	assert_int_equal(insn.reg, 15);
	assert_int_equal(insn.rm, 12);
	/* a REX makes 4 to 7 SPL BPL SIL DIL; it must be known as such */
	decode(M64, "40 88 20", &insn);
	assert_int_equal(insn.rex, 0x40);
}

static void test_segments(void **state)
{
	static const struct { u8 mode; const char *bytes; u8 seg; } s[] = {
		{ M32, "8b 00", HALO_INSN_DS }, { M32, "8b 45 00", HALO_INSN_SS },
		{ M32, "8b 04 24", HALO_INSN_SS }, { M32, "8b 44 05 00", HALO_INSN_SS },
		{ M32, "8b 04 05 00 00 00 00", HALO_INSN_DS }, { M32, "8b 05 00 00 00 00", HALO_INSN_DS },
		{ M32, "8b 04 28", HALO_INSN_DS }, { M32, "3e 8b 45 00", HALO_INSN_DS },
		{ M32, "26 2e 8b 00", HALO_INSN_CS }, { M32, "36 8b 00", HALO_INSN_SS },
		{ M32, "64 8b 00", HALO_INSN_FS }, { M16, "65 8b 00", HALO_INSN_GS },
		{ M16, "8b 02", HALO_INSN_SS }, { M16, "8b 03", HALO_INSN_SS },
		{ M16, "8b 46 00", HALO_INSN_SS }, { M16, "8b 06 00 00", HALO_INSN_DS },
		{ M16, "8b 00", HALO_INSN_DS }, { M16, "8b 07", HALO_INSN_DS },
		{ M64, "41 8b 45 00", HALO_INSN_DS }, { M64, "41 8b 04 24", HALO_INSN_DS },
		{ M64, "8b 45 00", HALO_INSN_SS }, { M64, "65 2e 8b 00", HALO_INSN_GS },
		{ M64, "36 8b 00", HALO_INSN_DS }, { M32, "26 a4", HALO_INSN_ES }, { M32, "26 6c", HALO_INSN_ES },
		{ M32, "64 6c", HALO_INSN_ES }, { M32, "64 6e", HALO_INSN_FS }, { M32, "6e", HALO_INSN_DS },
	};
	struct halo_insn insn;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		assert_true(decode(s[i].mode, s[i].bytes, &insn) > 0);
		if (insn.seg != s[i].seg)
			fail_msg("%s: segment %d, not %d", s[i].bytes, insn.seg, s[i].seg);
	}
}

static void test_plain_len(void **state)
{
	static const u8 cpuid[] = { 0x0f, 0xa2 }, vmmcall[] = { 0x0f, 0x01, 0xd9 }, hlt[] = { 0xf4 };
	static const u8 odd[] = { 0x66, 0x0f, 0xa2 };

	(void)state;
	assert_int_equal(halo_insn_plain_len(cpuid, 2, HALO_INSN_CPUID), 2);
	assert_int_equal(halo_insn_plain_len(cpuid, 1, HALO_INSN_CPUID), 0);
	assert_int_equal(halo_insn_plain_len(cpuid, 0, HALO_INSN_CPUID), 0);
	assert_int_equal(halo_insn_plain_len(cpuid, 2, HALO_INSN_RDMSR), 0);
	assert_int_equal(halo_insn_plain_len(odd, 3, HALO_INSN_CPUID), 0);
	assert_int_equal(halo_insn_plain_len(vmmcall, 3, HALO_INSN_VMMCALL), 3);
	assert_int_equal(halo_insn_plain_len(vmmcall, 2, HALO_INSN_VMMCALL), 0);
	assert_int_equal(halo_insn_plain_len(vmmcall, 3, HALO_INSN_VMCALL), 0);
	assert_int_equal(halo_insn_plain_len(hlt, 1, HALO_INSN_HLT), 1);
	assert_int_equal(halo_insn_plain_len(hlt, 0, HALO_INSN_HLT), 0);
}

/* A vCPU with 64 KiB of memory at linear 0 and a device from DEVICE up. */
#define DEVICE	0x80000000u
static struct {
	struct halo_insn_regs regs;
	u64 base[6];
	unsigned int stack;
	int fault_write, fault_read;
	struct halo_insn_mem last;
	u8 ram[0x10000];
} cpu;

static struct halo_insn insn;
static struct halo_insn_mmio m;

/* What the vCPU makes of segment and offset. */
static u64 linear_of(int mode, const struct halo_insn_mem *mem)
{
	if (mode < M64)
		return (u32)(cpu.base[mem->seg] + mem->offset);
	return mem->offset + (mem->seg >= HALO_INSN_FS ? cpu.base[mem->seg] : 0);
}

static unsigned int op_stack_size(void *ctx)
{
	(void)ctx;
	return cpu.stack;
}

static int op_mem_read(void *ctx, const struct halo_insn_mem *mem, u64 *val)
{
	(void)ctx;
	cpu.last = *mem;
	if (cpu.fault_read)
		return cpu.fault_read;
	if (linear_of(insn.mode, mem) >= sizeof(cpu.ram) - 8)
		return HALO_INSN_DEVICE;
	*val = 0;
	memcpy(val, cpu.ram + linear_of(insn.mode, mem), mem->size);
	return 0;
}

static int op_mem_write(void *ctx, const struct halo_insn_mem *mem, u64 val)
{
	(void)ctx;
	cpu.last = *mem;
	if (cpu.fault_write)
		return cpu.fault_write;
	if (linear_of(insn.mode, mem) >= sizeof(cpu.ram) - 8)
		return HALO_INSN_DEVICE;
	memcpy(cpu.ram + linear_of(insn.mode, mem), &val, mem->size);
	return 0;
}

static const struct halo_insn_ops ops = {
	.stack_size = op_stack_size,
	.mem_read = op_mem_read,
	.mem_write = op_mem_write,
};

static int reset(void **state)
{
	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	cpu.regs.rflags = 2;
	cpu.stack = 8;
	return 0;
}

static u64 linear(int mode, const char *bytes)
{
	struct halo_insn insn;
	struct halo_insn_mem mem = { 0 };

	assert_true(decode(mode, bytes, &insn) > 0);
	assert_int_equal(halo_insn_ea(&insn, &cpu.regs, &mem), 0);
	assert_int_equal(mem.size, insn.mem_size);
	return linear_of(mode, &mem);
}

static void test_addresses(void **state)
{
	struct halo_insn insn;
	struct halo_insn_mem mem;
	int i;

	(void)state;
	for (i = 0; i < 16; i++)
		cpu.regs.gpr[i] = 0x1111111111111111ull * i;
	cpu.regs.rip = 0x7fff0000;
	cpu.base[HALO_INSN_DS] = 0x10000;
	cpu.base[HALO_INSN_SS] = 0x20000;
	cpu.base[HALO_INSN_FS] = 0xfff0000000000000;

	/* 16-bit pairs, wrapping at 64 KiB before the base is added */
	cpu.regs.gpr[HALO_INSN_RBX] = 0xffff;
	cpu.regs.gpr[HALO_INSN_RSI] = 0x12340002;
	assert_int_equal(linear(M16, "8b 00"), 0x10001);
	assert_int_equal(linear(M16, "8b 40 ff"), 0x10000);
	assert_int_equal(linear(M16, "8b 02"), 0x20000 + 0x5557);
	assert_int_equal(linear(M16, "8b 06 34 f2"), 0x1f234);
	assert_int_equal(linear(M16, "8b 46 02"), 0x20000 + 0x5557);
	assert_int_equal(linear(M16, "8b 87 00 80"), 0x10000 + 0x7fff);
	/* 32-bit: the offset wraps, then the sum does */
	cpu.regs.gpr[HALO_INSN_RAX] = 0xfffffff0;
	cpu.regs.gpr[HALO_INSN_RCX] = 0x10;
	assert_int_equal(linear(M32, "8b 04 48"), 0x10010);
	cpu.base[HALO_INSN_DS] = 0x20;
	assert_int_equal(linear(M32, "8b 00"), 0x10);
	assert_int_equal(linear(M32, "8b 04 25 00 10 00 00"), 0x1020);
	/* 64-bit: no base but those of FS and GS */
	cpu.regs.gpr[HALO_INSN_RAX] = 0xffff888000000000;
	assert_int_equal(linear(M64, "8b 00"), 0xffff888000000000);
	assert_int_equal(linear(M64, "64 8b 00"), 0xffef888000000000);
	assert_int_equal(linear(M64, "8b 05 f8 ff ff ff"), 0x7ffefffe);
	assert_int_equal(linear(M64, "c7 05 f6 ff ff ff 00 00 00 00"), 0x7fff0000);
	cpu.regs.rip = 0x7fffffff0;
	assert_int_equal(linear(M64, "67 8b 05 10 00 00 00"), 0x7);
	assert_int_equal(linear(M64, "a1 08 07 06 05 04 03 02 01"), 0x0102030405060708);
	assert_int_equal(linear(M64, "8b 04 25 00 00 e0 fe"), 0xfffffffffee00000);
	assert_int_equal(linear(M64, "67 8b 04 25 00 00 e0 fe"), 0xfee00000);
	assert_int_equal(linear(M64, "43 8b 04 24"), 0x1111111111111111ull * 12 * 2);
	/* bit offsets: signed, in units of the operand */
	cpu.regs.gpr[HALO_INSN_RAX] = 0x1000;
	cpu.regs.gpr[HALO_INSN_RCX] = -1ll;
	assert_int_equal(linear(M64, "0f a3 08"), 0xffc);
	assert_int_equal(linear(M64, "48 0f a3 08"), 0xff8);
	cpu.regs.gpr[HALO_INSN_RCX] = 0xffff0021;
	assert_int_equal(linear(M64, "66 0f ab 08"), 0x1004);
	assert_int_equal(linear(M64, "0f ba 28 ff"), 0x1000);

	decode(M64, "0f a2", &insn);
	assert_int_equal(halo_insn_ea(&insn, &cpu.regs, &mem), -EOPNOTSUPP);
}

static int begin(int mode, const char *bytes)
{
	assert_true(decode(mode, bytes, &insn) > 0);
	return halo_insn_mmio_begin(&m, &insn, &cpu.regs, &ops, NULL);
}

static int finish(u64 value)
{
	return halo_insn_mmio_finish(&m, value);
}

static void test_halves(void **state)
{
	(void)state;
	cpu.regs.gpr[HALO_INSN_RAX] = DEVICE + 0xb0;
	cpu.regs.gpr[HALO_INSN_RCX] = 0x1122334455667788;
	/* a store: one access, the value there at once */
	assert_int_equal(begin(M64, "66 89 08"), HALO_INSN_ACCESS);
	assert_true(m.mem.write && !m.mem.rmw);
	assert_int_equal(m.mem.size, 2);
	assert_int_equal(linear_of(insn.mode, &m.mem), DEVICE + 0xb0);
	assert_int_equal(m.value, 0x7788);
	assert_int_equal(finish(~0ull), HALO_INSN_DONE);
	assert_int_equal(finish(0), -EINVAL);
	/* a load: noise above the size does not count, the upper half is cleared */
	assert_int_equal(begin(M64, "8b 08"), HALO_INSN_ACCESS);
	assert_true(!m.mem.write && !m.mem.rmw);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 0x1122334455667788);
	assert_int_equal(finish(0xdeadbeef12345678), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 0x12345678);
	/* read, then write, then registers: lock xadd */
	assert_int_equal(begin(M64, "f0 0f c1 08"), HALO_INSN_ACCESS);
	assert_true(!m.mem.write && m.mem.rmw);
	assert_int_equal(finish(0xf0000000), HALO_INSN_ACCESS);
	assert_true(m.mem.write && !m.mem.rmw);
	assert_int_equal(m.value, 0x02345678);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 0x12345678);
	assert_int_equal(cpu.regs.rflags, 2);
	assert_int_equal(finish(0), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 0xf0000000);
	assert_int_equal(cpu.regs.rflags, 2 | 1 | 4);
	/* a comparison reads only */
	assert_int_equal(begin(M64, "81 38 00 00 00 00"), HALO_INSN_ACCESS);
	assert_false(m.mem.rmw);
	assert_int_equal(finish(0), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.rflags, 2 | 4 | 0x40);
}

static void test_not_executed(void **state)
{
	(void)state;
	cpu.regs.gpr[HALO_INSN_RAX] = DEVICE;
	assert_int_equal(begin(M64, "66 0f 7f 40 10"), -EOPNOTSUPP);
	assert_int_equal(finish(0), -EINVAL);
	assert_int_equal(begin(M64, "48 0f c7 08"), -EOPNOTSUPP);
	assert_int_equal(begin(M64, "f7 20"), -EOPNOTSUPP);
	assert_int_equal(begin(M64, "0f a2"), -EOPNOTSUPP);
}

/* rep movsd from a device to memory that faults on the second element. */
static void test_string(void **state)
{
	(void)state;
	cpu.regs.gpr[HALO_INSN_RSI] = DEVICE;
	cpu.regs.gpr[HALO_INSN_RDI] = 0x2000;
	cpu.regs.gpr[HALO_INSN_RCX] = 3;
	assert_int_equal(begin(M64, "f3 a5"), HALO_INSN_ACCESS);
	assert_true(!m.mem.write);
	assert_int_equal(finish(0x11223344), HALO_INSN_AGAIN);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 2);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSI], DEVICE + 4);
	assert_memory_equal(cpu.ram + 0x2000, "\x44\x33\x22\x11", 4);
	cpu.fault_write = -EFAULT;
	assert_int_equal(begin(M64, "f3 a5"), HALO_INSN_ACCESS);
	assert_int_equal(finish(1), -EFAULT);
	assert_int_equal(finish(1), -EINVAL);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 2);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSI], DEVICE + 4);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RDI], 0x2004);
	cpu.fault_write = 0;
	/* backwards, and the last one */
	cpu.regs.rflags |= 0x400;
	cpu.regs.gpr[HALO_INSN_RCX] = 1;
	assert_int_equal(begin(M64, "f3 a5"), HALO_INSN_ACCESS);
	assert_int_equal(finish(5), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RDI], 0x2000);
	/* nothing left: no access at all */
	cpu.fault_read = -EFAULT;
	assert_int_equal(begin(M64, "f3 a5"), HALO_INSN_DONE);
	assert_int_equal(finish(1), -EINVAL);
	cpu.fault_read = 0;
	/* device to device: two accesses */
	cpu.regs.gpr[HALO_INSN_RDI] = DEVICE + 0x100;
	assert_int_equal(begin(M64, "a4"), HALO_INSN_ACCESS);
	assert_int_equal(finish(0x1ff), HALO_INSN_ACCESS);
	assert_true(m.mem.write);
	assert_int_equal(m.value, 0xff);
	assert_int_equal(linear_of(insn.mode, &m.mem), DEVICE + 0x100);
	assert_int_equal(finish(0), HALO_INSN_DONE);
	/* 16-bit address size: SI, DI and CX wrap and leave the rest alone */
	cpu.regs.rflags = 2;
	cpu.regs.gpr[HALO_INSN_RSI] = 0xabcdffff;
	cpu.regs.gpr[HALO_INSN_RCX] = 0xffff0002;
	assert_int_equal(begin(M16, "f3 ac"), HALO_INSN_ACCESS);
	assert_int_equal(finish(0x42), HALO_INSN_AGAIN);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSI], 0xabcd0000);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 0xffff0001);
	/* repne scas stops at a match */
	cpu.regs.gpr[HALO_INSN_RDI] = DEVICE;
	cpu.regs.gpr[HALO_INSN_RCX] = 9;
	assert_int_equal(begin(M64, "f2 ae"), HALO_INSN_ACCESS);
	assert_int_equal(finish(0x41), HALO_INSN_AGAIN);
	assert_int_equal(begin(M64, "f2 ae"), HALO_INSN_ACCESS);
	assert_int_equal(finish(0x42), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RCX], 7);
}

static void test_stack(void **state)
{
	(void)state;
	/* push from a device on a 16-bit stack that wraps */
	cpu.stack = 2;
	cpu.base[HALO_INSN_SS] = 0x100;
	cpu.base[HALO_INSN_DS] = DEVICE;
	cpu.regs.gpr[HALO_INSN_RSP] = 0x12340004;
	assert_int_equal(begin(M16, "66 ff 36 10 00"), HALO_INSN_ACCESS);
	assert_int_equal(linear_of(insn.mode, &m.mem), DEVICE + 0x10);
	assert_int_equal(finish(0x55667788), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSP], 0x12340000);
	assert_memory_equal(cpu.ram + 0x100, "\x88\x77\x66\x55", 4);
	assert_int_equal(cpu.last.seg, HALO_INSN_SS);
	/* pop to a device, whose address is taken after RSP has moved */
	reset(NULL);
	cpu.regs.gpr[HALO_INSN_RSP] = 0x3000;
	cpu.regs.gpr[HALO_INSN_RBX] = DEVICE;
	memcpy(cpu.ram + 0x3000, "\1\2\3\4\5\6\7\10", 8);
	assert_int_equal(begin(M64, "8f 04 1c"), HALO_INSN_ACCESS);
	assert_int_equal(linear_of(insn.mode, &m.mem), DEVICE + 0x3008);
	assert_int_equal(m.value, 0x0807060504030201);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSP], 0x3000);
	assert_int_equal(finish(0), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSP], 0x3008);
	/* a fault on the stack leaves everything */
	cpu.fault_write = -EFAULT;
	cpu.regs.gpr[HALO_INSN_RAX] = DEVICE;
	assert_int_equal(begin(M64, "ff 30"), HALO_INSN_ACCESS);
	assert_int_equal(finish(1), -EFAULT);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RSP], 0x3008);
}

static void test_32bit_registers(void **state)
{
	(void)state;
	/* in 32-bit code 40 is INC and 88 20 stores AH */
	cpu.regs.gpr[HALO_INSN_RAX] = DEVICE | 0x4200;
	assert_int_equal(begin(M32, "88 20"), HALO_INSN_ACCESS);
	assert_int_equal(m.value, 0x42);
	assert_int_equal(linear_of(insn.mode, &m.mem), DEVICE | 0x4200);
	assert_int_equal(begin(M64, "8a 20"), HALO_INSN_ACCESS);
	assert_int_equal(finish(0x99), HALO_INSN_DONE);
	assert_int_equal(cpu.regs.gpr[HALO_INSN_RAX], DEVICE | 0x9900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_plain_len),
		cmocka_unit_test_setup(test_addresses, reset),
		cmocka_unit_test_setup(test_halves, reset),
		cmocka_unit_test_setup(test_not_executed, reset),
		cmocka_unit_test_setup(test_string, reset),
		cmocka_unit_test_setup(test_stack, reset),
		cmocka_unit_test_setup(test_32bit_registers, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
