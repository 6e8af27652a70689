// SPDX-License-Identifier: GPL-2.0
/* sources: module/insn.c */
/* libs: capstone */
/*
 * Instruction lengths against two oracles: capstone, and objdump from binutils.
 *
 * All one- and two-byte opcodes, with every ModRM byte, under six prefixes, in three
 * modes; then the maps behind 0F 38 and 0F 3A with a ModRM of every shape. objdump gets a sample of these, all of them if INSN_FULL is set (minutes). Where the decoder and an oracle differ, the case must be found in
 * the table below with a reason, or the test fails; a line of the table that no
 * case needs any more fails it too.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <unistd.h>

#include <capstone/capstone.h>
#include <cmocka.h>

#include "insn.h"

#define SLOT	16

enum oracle { CAPSTONE, OBJDUMP };

struct sample {
	u8 bytes[SLOT];
	u8 map;
	u8 opcode;
	u8 modrm;
	u8 prefix;	/* index into prefixes[] */
	u8 mode;
	bool objdump;	/* objdump, being slow, sees a part only */
};

static const u8 prefixes[] = { 0, 0x66, 0x67, 0xf2, 0xf3, 0x48 };

#define M16	BIT(HALO_INSN_MODE_16)
#define M32	BIT(HALO_INSN_MODE_32)
#define M64	(BIT(HALO_INSN_MODE_64) | BIT(HALO_INSN_MODE_64_INTEL))
#define INTEL	BIT(HALO_INSN_MODE_64_INTEL)
#define MALL	(M16 | M32 | M64)
#define PALL	0x3f
#define P66	BIT(1)
#define PF2	BIT(3)
#define PF3	BIT(4)

/* What the decoder says where the oracle disagrees. */
enum { ANY = 0, WE_TAKE = 1, WE_REFUSE = 2, WE_DIFFER = 3 };

static struct known {
	u8 oracles, modes, prefixes, map, first, last, modrm_mask, modrm_val, how;
	const char *why;
	unsigned long used;
} known[] = {
#define C	BIT(CAPSTONE)
#define D	BIT(OBJDUMP)
	/* oracles, modes, prefixes, map, first, last opcode, ModRM mask, value, how, reason */
	{ C, INTEL, P66, 0, 0xe8, 0xe9, 0, 0, WE_DIFFER, "capstone takes 66 on near branches as AMD does" },
	{ C, INTEL, P66, 1, 0x80, 0x8f, 0, 0, WE_DIFFER, "the same for Jcc" },
	{ C, MALL, P66 | PF2, 1, 0x78, 0x78, 0, 0, WE_DIFFER, "EXTRQ, INSERTQ: capstone forgets two immediates" },
	{ C, MALL, PF3, 1, 0x78, 0x78, 0, 0, WE_REFUSE, "F3 0F 78 is undefined, capstone says VMREAD" },
	{ C, MALL, PALL, 1, 0xb9, 0xb9, 0, 0, WE_DIFFER, "UD1 has a ModRM (SDM, UD)" },
	{ C, MALL, PALL, 1, 0xff, 0xff, 0, 0, ANY, "UD0 has a ModRM (SDM, UD)" },
	{ D, MALL, PALL, 0, 0x9b, 0x9b, 0, 0, ANY, "objdump joins FWAIT with the x87 instruction after it" },
	{ C | D, MALL, PALL, 0, 0x8e, 0x8e, 0x38, 0x08, WE_REFUSE, "MOV to CS is undefined" },
	{ D, MALL, PALL, 0, 0x8c, 0x8e, 0x30, 0x30, WE_REFUSE, "segment registers 6 and 7 do not exist" },
	{ C, MALL, P66 | PF2 | PF3, 1, 0xc3, 0xc3, 0, 0, WE_REFUSE, "MOVNTI takes no prefix" },
	{ C | D, MALL, PALL, 1, 0xa6, 0xa7, 0xc0, 0xc0, WE_REFUSE, "PadLock is VIA's" },
	{ D, M16 | M32, PALL, 1, 0x24, 0x26, 0, 0, WE_REFUSE, "test registers went with the 486" },
	{ D, M16 | M32, PALL, 0, 0xd6, 0xd6, 0, 0, WE_TAKE, "SALC is real if undocumented" },
	{ C | D, MALL, PALL, 0, 0xd9, 0xdf, 0, 0, WE_TAKE, "x87: reserved encodings are aliases or harmless" },
	{ C | D, MALL, PALL, 1, 0x01, 0x01, 0, 0, WE_TAKE, "group 7: newer instructions, and holes" },
	{ D, MALL, P66 | PF2, 1, 0x09, 0x09, 0, 0, WE_TAKE, "WBINVD ignores 66 and F2" },
	{ C | D, MALL, PALL, 1, 0x0d, 0x0d, 0, 0, WE_TAKE, "prefetch: every ModRM is a hint or a NOP" },
	{ D, BIT(HALO_INSN_MODE_64), PALL, 1, 0x34, 0x35, 0, 0, WE_TAKE, "SYSENTER is undefined in AMD's long mode only" },
	{ C | D, MALL, PALL, 1, 0x12, 0x17, 0, 0, WE_TAKE, "SSE moves and shuffles: undefined prefix or mod" },
	{ C | D, MALL, PALL, 1, 0x18, 0x1f, 0, 0, WE_TAKE, "reserved NOPs" },
	{ C | D, MALL, PALL, 1, 0x28, 0x2f, 0, 0, WE_TAKE, "SSE: undefined prefix" },
	{ C | D, MALL, PALL, 1, 0x50, 0x77, 0, 0, WE_TAKE, "MMX, SSE: undefined prefix, mod or group member" },
	{ C | D, MALL, PALL, 1, 0x78, 0x7f, 0, 0, WE_TAKE, "SSE4a, SSE3, moves: undefined prefix, mod or group member" },
	{ C | D, MALL, PALL, 1, 0xae, 0xae, 0, 0, WE_TAKE, "group 15: newer instructions, and holes" },
	{ C | D, MALL, PALL, 1, 0xb8, 0xb8, 0, 0, WE_TAKE, "JMPE, if there is no F3" },
	{ D, MALL, PF2, 1, 0xbc, 0xbd, 0, 0, WE_TAKE, "BSF and BSR ignore F2" },
	{ C | D, MALL, PALL, 1, 0xc4, 0xc6, 0, 0, WE_TAKE, "PINSRW, PEXTRW, SHUFPS: undefined prefix or mod" },
	{ C | D, MALL, PF2 | PF3, 1, 0xc7, 0xc7, 0, 0, WE_TAKE, "group 9: undefined prefix" },
	{ C | D, MALL, PALL, 1, 0xd0, 0xfe, 0, 0, WE_TAKE, "MMX, SSE: undefined prefix or mod" },
	{ C | D, MALL, PALL, 2, 0x00, 0xff, 0, 0, WE_TAKE, "0F 38 is not asked what is assigned" },
	{ C | D, MALL, PALL, 3, 0x00, 0xff, 0, 0, WE_TAKE, "0F 3A is not asked what is assigned" },
#undef C
#undef D
};

static unsigned long compared, unlisted, excused;
static bool full;	/* INSN_FULL in the environment: all cases for both oracles */

static const char * const how_name[] = { "", "taken", "refused", "length" };

static void judge(enum oracle oracle, const struct sample *s, int ours, int theirs)
{
	int how;
	size_t i;

	compared++;
	if (ours == theirs || (ours < 0 && theirs < 0))
		return;
	how = theirs < 0 ? WE_TAKE : ours < 0 ? WE_REFUSE : WE_DIFFER;
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		struct known *k = &known[i];

		if (k->oracles & BIT(oracle) && k->modes & BIT(s->mode) &&
		    k->prefixes & BIT(s->prefix) && k->map == s->map &&
		    s->opcode >= k->first && s->opcode <= k->last &&
		    (s->modrm & k->modrm_mask) == k->modrm_val && (!k->how || k->how == how)) {
			k->used++;
			excused++;
			return;
		}
	}
	if (unlisted++ < 400 || getenv("INSN_ALL"))
		fprintf(stderr, "%s mode %d: %02x %02x %02x %02x %02x %02x: ours %d, oracle %d (%s)"
			" pfx %02x map %x op %02x modrm %02x\n",
			oracle == CAPSTONE ? "capstone" : "objdump", s->mode,
			s->bytes[0], s->bytes[1], s->bytes[2], s->bytes[3], s->bytes[4],
			s->bytes[5], ours, theirs, how_name[how],
			prefixes[s->prefix], s->map, s->opcode, s->modrm);
}

static int ours(const struct sample *s)
{
	struct halo_insn insn;
	int ret = halo_insn_decode(&insn, s->bytes, HALO_INSN_MAX, s->mode);

	return ret < 0 ? -1 : ret;
}

static void judge_capstone(const struct sample *s, size_t n)
{
	static const cs_mode modes[] = { CS_MODE_16, CS_MODE_32, CS_MODE_64, CS_MODE_64 };
	csh handle[4];
	cs_insn *out;
	size_t i;

	for (i = 0; i < 4; i++)
		assert_int_equal(cs_open(CS_ARCH_X86, modes[i], &handle[i]), CS_ERR_OK);
	out = cs_malloc(handle[0]);
	for (i = 0; i < n; i++) {
		const u8 *p = s[i].bytes;
		size_t size = HALO_INSN_MAX;
		uint64_t addr = 0;

		judge(CAPSTONE, &s[i], ours(&s[i]),
		      cs_disasm_iter(handle[s[i].mode], &p, &size, &addr, out) ? out->size : -1);
	}
	cs_free(out, 1);
	for (i = 0; i < 4; i++)
		cs_close(&handle[i]);
}

/* A line of objdump's that is only prefixes: it goes on in the next. */
static bool only_prefixes(const char *text)
{
	static const char * const words[] = {
		"repz", "repnz", "data16", "data32", "addr16", "addr32", "lock",
		"rex.W", "es", "cs", "ss", "ds", "fs", "gs",
	};
	char word[32];
	int used;
	size_t i;

	while (sscanf(text, " %31s%n", word, &used) == 1) {
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (!strcmp(word, words[i]))
				break;
		if (i == ARRAY_SIZE(words))
			return false;
		text += used;
	}
	return true;
}

static void judge_objdump(const struct sample *s, size_t n)
{
	static const char * const machine[] = {
		"i8086", "i386", "i386:x86-64 -M amd64", "i386:x86-64 -M intel64"
	};
	char path[] = "/tmp/insn_oracle.XXXXXX", cmd[256], line[512];
	int fd = mkstemp(path), *len = calloc(n, sizeof(*len));
	bool *open = calloc(n, sizeof(*open));
	size_t i, wrote = 0, done = 0, k = 0;
	FILE *f;

	assert_true(fd >= 0);
	f = fdopen(fd, "wb");
	for (i = 0; i < n; i++)
		if (s[i].objdump || full)
			wrote += fwrite(s[i].bytes, SLOT, 1, f);
	fclose(f);
	snprintf(cmd, sizeof(cmd), "objdump -D -z -w --insn-width=16 -b binary -m %s %s",
		 machine[s[0].mode], path);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long at;
		char *p;
		int count = 0;

		at = strtoul(line, &p, 16);
		if (p[0] != ':' || p[1] != '\t')
			continue;
		i = at / SLOT;
		if (at % SLOT == 0 && i < wrote) {
			open[i] = true;
			done++;
		}
		if (i >= wrote || !open[i])
			continue;
		for (p += 2; p[0] && p[0] != ' ' && p[0] != '\t' && p[0] != '\n'; p += 3)
			count++;
		p = strchr(p, '\t');
		len[i] += count;
		open[i] = false;
		if (p && strstr(p, "(bad)"))
			len[i] = -1;
		else if (p && only_prefixes(p + 1))
			open[i] = true;
	}
	pclose(f);
	unlink(path);
	assert_int_equal(done, wrote);
	for (i = 0; i < n; i++)
		if (s[i].objdump || full)
			judge(OBJDUMP, &s[i], ours(&s[i]), len[k++]);
	free(len);
	free(open);
}

#define BATCH	0x10000
static struct sample *batch;
static size_t batched;
static bool with_capstone, with_objdump;

static void flush(void)
{
	if (!batched)
		return;
	if (with_capstone)
		judge_capstone(batch, batched);
	if (with_objdump)
		judge_objdump(batch, batched);
	batched = 0;
}

/* Every ModRM.reg, and every way to have or not to have SIB and displacement. */
static bool objdump_sees(const struct sample *s)
{
	u8 rm = s->modrm & 7;

	if (s->mode == HALO_INSN_MODE_64_INTEL && prefixes[s->prefix] != 0x66)
		return false;
	if (s->map == 2 || s->map == 3)
		return !s->prefix || s->opcode >= 0xf0;
	return s->modrm >= 0xc0 ? rm == 1 : rm == 0 || rm == 4 || rm == 5 || (rm == 6 && !s->mode);
}

static void add(int mode, int prefix, int map, int opcode, int modrm, u8 tail, const u8 *lead,
		int n)
{
	struct sample *s = &batch[batched++];
	int at = 0, i;

	memset(s->bytes, 0x90, SLOT);
	if (prefixes[prefix])
		s->bytes[at++] = prefixes[prefix];
	for (i = 0; i < n; i++)
		s->bytes[at++] = lead[i];
	s->bytes[at++] = opcode;
	s->bytes[at++] = modrm;
	s->bytes[at++] = tail;
	s->mode = mode;
	s->prefix = prefix;
	s->map = map;
	s->opcode = opcode;
	s->modrm = modrm;
	s->objdump = objdump_sees(s);
	if (batched == BATCH)
		flush();
}

static bool is_prefix(int mode, u8 b)
{
	return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || (b >= 0x64 && b <= 0x67) ||
	       b == 0xf0 || b == 0xf2 || b == 0xf3 ||
	       (mode >= HALO_INSN_MODE_64 && (b & 0xf0) == 0x40);
}

static void run(void (*enumerate)(int mode))
{
	int mode;

	compared = 0;
	unlisted = 0;
	excused = 0;
	batch = malloc(BATCH * sizeof(*batch));
	for (mode = HALO_INSN_MODE_16; mode <= HALO_INSN_MODE_64_INTEL; mode++) {
		enumerate(mode);
		flush();
	}
	free(batch);
	print_message("# %lu comparisons, %lu differences with a known reason, %lu without\n",
		      compared, excused, unlisted);
	assert_int_equal(unlisted, 0);
}

static int prefix_end(int mode)
{
	return mode >= HALO_INSN_MODE_64 ? ARRAY_SIZE(prefixes) : ARRAY_SIZE(prefixes) - 1;
}

static void enumerate_plain(int mode)
{
	static const u8 of = 0x0f;
	int pfx, op, m;

	for (pfx = 0; pfx < prefix_end(mode); pfx++) {
		for (op = 0; op < 256; op++) {
			for (m = 0; m < 256; m++) {
				u8 tail = m & 8 ? 0x25 : 0x90;

				if (!is_prefix(mode, op) && op != 0x0f && op != 0x62 &&
				    op != 0xc4 && op != 0xc5 && (op != 0x8f || (m & 0x38) == 0))
					add(mode, pfx, 0, op, m, tail, NULL, 0);
				if (op != 0x38 && op != 0x3a)
					add(mode, pfx, 1, op, m, op == 0x0f ? 0xb4 : tail, &of, 1);
			}
		}
	}
}

static const u8 shapes[] = { 0x00, 0x04, 0x05, 0x06, 0x40, 0x44, 0x46, 0x80, 0x84, 0xc1, 0x08, 0x10,
			     0x18, 0x20, 0x28, 0x30, 0x38, 0xd9 };

static void enumerate_maps(int mode)
{
	static const u8 legacy[2][2] = { { 0x0f, 0x38 }, { 0x0f, 0x3a } };
	int pfx, op, map;
	size_t m;

	for (op = 0; op < 256; op++)
		for (m = 0; m < ARRAY_SIZE(shapes); m++)
			for (pfx = 0; pfx < prefix_end(mode); pfx++)
				for (map = 2; map <= 3; map++)
					add(mode, pfx, map, op, shapes[m], m & 1 ? 0x25 : 0x90,
					    legacy[map - 2], 2);
}

static void test_plain(void **state)
{
	(void)state;
	run(enumerate_plain);
}

static void test_maps(void **state)
{
	(void)state;
	run(enumerate_maps);
}

static void test_table_is_needed(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].used || !with_objdump || !with_capstone)
			continue;
		fprintf(stderr, "no case needs the excuse '%s' (map %x, %02x to %02x)\n",
			known[i].why, known[i].map, known[i].first, known[i].last);
		fail();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_table_is_needed),
	};

	full = getenv("INSN_FULL");
	with_capstone = !getenv("INSN_NO_CAPSTONE");
	with_objdump = !getenv("INSN_NO_OBJDUMP") &&
		       !system("objdump --version >/dev/null 2>&1");
	if (!with_objdump)
		print_message("# objdump left out\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
