// SPDX-License-Identifier: GPL-2.0
/*
 * Sensitive instructions at CPL 0 and 3: which must fault, and how.  One table,
 * so that a missing intercept stands out.
 */
#include "hvm.h"

#define UD	BIT(6)
#define GP	BIT(13)
#define OK	BIT(32)
#define HALT	BIT(33)		/* would stop: tried at CPL 3 only */

struct op {
	const char *name;
	u8 code[8];
	u8 len;
	u64 kernel, user;	/* what may happen */
};

/* RAX, RCX, RDX = 0, RBX = an address of RAM when it runs. */
static const struct op ops[] = {
	{ "vmrun", { 0x0f, 0x01, 0xd8 }, 3, UD, UD | GP },
	{ "vmload", { 0x0f, 0x01, 0xda }, 3, UD, UD | GP },
	{ "vmsave", { 0x0f, 0x01, 0xdb }, 3, UD, UD | GP },
	{ "stgi", { 0x0f, 0x01, 0xdc }, 3, UD, UD | GP },
	{ "clgi", { 0x0f, 0x01, 0xdd }, 3, UD, UD | GP },
	{ "skinit", { 0x0f, 0x01, 0xde }, 3, UD, UD | GP },
	{ "invlpga", { 0x0f, 0x01, 0xdf }, 3, UD, UD | GP },
	{ "vmcall", { 0x0f, 0x01, 0xc1 }, 3, OK, OK },
	{ "vmmcall", { 0x0f, 0x01, 0xd9 }, 3, OK, OK },
	{ "vmlaunch", { 0x0f, 0x01, 0xc2 }, 3, UD, UD },
	{ "vmresume", { 0x0f, 0x01, 0xc3 }, 3, UD, UD },
	{ "vmxoff", { 0x0f, 0x01, 0xc4 }, 3, UD, UD },
	{ "vmread", { 0x0f, 0x78, 0xc0 }, 3, UD, UD },
	{ "vmwrite", { 0x0f, 0x79, 0xc0 }, 3, UD, UD },
	{ "vmclear", { 0x66, 0x0f, 0xc7, 0x33 }, 4, UD, UD },
	{ "vmxon", { 0xf3, 0x0f, 0xc7, 0x33 }, 4, UD, UD },
	{ "vmptrld", { 0x0f, 0xc7, 0x33 }, 3, UD, UD },
	{ "invept", { 0x66, 0x0f, 0x38, 0x80, 0x03 }, 5, UD, UD },
	{ "invvpid", { 0x66, 0x0f, 0x38, 0x81, 0x03 }, 5, UD, UD },
	{ "getsec", { 0x0f, 0x37 }, 2, UD, UD },
	{ "rsm", { 0x0f, 0xaa }, 2, UD, UD },
	{ "monitor", { 0x0f, 0x01, 0xc8 }, 3, UD, UD | GP },
	{ "mwait", { 0x0f, 0x01, 0xc9 }, 3, UD, UD | GP },
	{ "monitorx", { 0x0f, 0x01, 0xfa }, 3, UD, UD },
	{ "mwaitx", { 0x0f, 0x01, 0xfb }, 3, UD, UD },
	{ "rdpmc", { 0x0f, 0x33 }, 2, GP, GP },
	{ "rdpru", { 0x0f, 0x01, 0xfd }, 3, UD, UD },
	{ "invd", { 0x0f, 0x08 }, 2, OK, GP },
	{ "wbinvd", { 0x0f, 0x09 }, 2, OK, GP },
	{ "hlt", { 0xf4 }, 1, HALT, GP },
	{ "clts", { 0x0f, 0x06 }, 2, OK, GP },
	{ "mov cr0", { 0x0f, 0x20, 0xc0 }, 3, OK, GP },
	{ "mov cr3", { 0x0f, 0x20, 0xd8 }, 3, OK, GP },
	{ "mov cr1", { 0x0f, 0x20, 0xc8 }, 3, UD, UD | GP },
	{ "mov cr5", { 0x0f, 0x20, 0xe8 }, 3, UD, UD | GP },
	{ "mov to cr15", { 0x44, 0x0f, 0x22, 0xf8 }, 4, UD, UD | GP },
	{ "mov cr8", { 0x44, 0x0f, 0x20, 0xc0 }, 4, OK, GP },
	{ "mov dr7", { 0x0f, 0x21, 0xf8 }, 3, OK, GP },
	{ "mov to dr7", { 0x0f, 0x23, 0xf8 }, 3, OK, GP },
	{ "invlpg", { 0x0f, 0x01, 0x3b }, 3, OK, GP },
	{ "swapgs, twice", { 0x0f, 0x01, 0xf8, 0x0f, 0x01, 0xf8 }, 6, OK, GP },
	{ "lgdt back", { 0x0f, 0x01, 0x03, 0x0f, 0x01, 0x13 }, 6, OK, OK | GP },
	{ "str", { 0x66, 0x0f, 0x00, 0xc8 }, 4, OK, OK | GP },
	{ "xgetbv", { 0x0f, 0x01, 0xd0 }, 3, UD, UD },	/* CR4.OSXSAVE is clear */
	{ "xsetbv", { 0x0f, 0x01, 0xd1 }, 3, UD, UD | GP },
	{ "cli", { 0xfa }, 1, OK, GP },
	{ "sti; cli", { 0xfb, 0xfa }, 2, OK, GP },
	{ "in", { 0xe4, 0x99 }, 2, OK, GP },
	{ "rdmsr of tsc", { 0xb1, 0x10, 0x0f, 0x32 }, 4, OK, GP },
	{ "rdmsr of nothing", { 0xb1, 0xff, 0x0f, 0x32 }, 4, GP, GP },
	{ "cpuid", { 0x0f, 0xa2 }, 2, OK, OK },
	{ "rdtsc", { 0x0f, 0x31 }, 2, OK, OK },
	{ "pause", { 0xf3, 0x90 }, 2, OK, OK },
	{ "clac", { 0x0f, 0x01, 0xca }, 3, OK | UD, UD | GP },
	{ "invpcid", { 0x66, 0x0f, 0x38, 0x82, 0x03 }, 5, OK | UD | GP, UD | GP },
	{ "invlpgb", { 0x0f, 0x01, 0xfe }, 3, UD, UD },
	{ "tlbsync", { 0x0f, 0x01, 0xff }, 3, UD, UD },
	{ "psmash", { 0xf3, 0x0f, 0x01, 0xff }, 4, UD, UD },
	{ "pvalidate", { 0xf2, 0x0f, 0x01, 0xff }, 4, UD, UD },
	{ "clzero", { 0x0f, 0x01, 0xfc }, 3, OK | UD, OK | UD },
	{ "ud2", { 0x0f, 0x0b }, 2, UD, UD },
	{ "pconfig", { 0x0f, 0x01, 0xc5 }, 3, UD, UD },
	{ "encls", { 0x0f, 0x01, 0xcf }, 3, UD, UD },
	{ "encv", { 0x0f, 0x01, 0xc0 }, 3, UD, UD },
	{ "vmfunc", { 0x0f, 0x01, 0xd4 }, 3, UD, UD },
	{ "xend", { 0x0f, 0x01, 0xd5 }, 3, UD | GP, UD | GP },
	{ "wrpkru", { 0x0f, 0x01, 0xef }, 3, UD, UD },
	{ "rdfsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xc0 }, 5, UD, UD },	/* CR4 bit is clear */
};

static u8 code[4096] __attribute__((aligned(4096)));
static volatile u64 got[ARRAY_SIZE(ops)][2];
static volatile u32 current;
static u8 scratch[4096] __attribute__((aligned(4096)));

GUEST u64 one(void)
{
	u64 a = 0, c = 0, d = 0;

	g_exc.vector = -1ull;
	/* A fault leaves the return address on the stack. */
	asm volatile("movq %%rsp, %%r12; movq $1f, g_fixup(%%rip); call *%[code]\n"
		     "1: movq %%r12, %%rsp"
		     : "+a"(a), "+c"(c), "+d"(d) : "b"(scratch), [code]"r"(code)
		     : "memory", "cc", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12");
	g_fixup = 0;
	return g_exc.vector == -1ull ? OK : BIT(g_exc.vector);
}

GUEST void as_user(void)
{
	got[current][1] = one();
}

GUEST void as_kernel(void)
{
	got[current][0] = one();
}

GUEST void enter_user(void)
{
	g_user(as_user);
}

static u64 attempt(struct vcpu *v, u32 i, u32 user)
{
	memset(code, 0xf4, 64);
	memcpy(code, ops[i].code, ops[i].len);
	code[ops[i].len] = 0xc3;
	memset(scratch, 0, 64);
	current = i;
	guest_begin(v, user ? enter_user : as_kernel, 0);
	for (;;) {
		step(v);
		if (v->x.type == HALO_EXIT_PIO && v->x.addr == 0x99) {
			answer(v, 0);
			continue;
		}
		break;
	}
	if (v->x.type != HALO_EXIT_PIO || v->x.addr != PORT_DONE)
		ktap_fail(__FILE__, __LINE__, "%s at CPL %u: exit type %u addr %#llx (%llu)",
			  ops[i].name, user * 3, v->x.type, (unsigned long long)v->x.addr,
			  (unsigned long long)g_exc.vector);
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
	return got[i][user];
}

static const char *words(u64 mask)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%s%s%s", mask & OK ? " ok" : "", mask & UD ? " #UD" : "",
		 mask & GP ? " #GP" : "", mask & ~(OK | UD | GP) ? " other" : "");
	return text;
}

static void all(u32 user)
{
	u32 i, bad = 0;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct vm *vm = vm_new();
		u64 may = user ? ops[i].user : ops[i].kernel, did;

		if (!(may & HALT)) {
			did = attempt(vm->cpu[0], i, user);
			if (!(did & may)) {
				ktap_note("%s at CPL %u: %#llx =%s", ops[i].name, user * 3,
					  (unsigned long long)did, words(did));
				ktap_note("    may be%s", words(may));
				bad++;
			}
		}
		vm_free(vm);
	}
	CHECK_EQ(bad, 0);
}

TEST_SECONDS(kernel_mode, 60) { all(0); }
TEST_SECONDS(user_mode, 60) { all(3 / 3); }

/* Prefixes do not open what is closed. */
TEST_SECONDS(svm_instructions_with_prefixes, 60)
{
	static const u8 prefix[] = { 0x66, 0xf2, 0xf3, 0x48, 0x67, 0x2e, 0x65 };
	struct vm *vm = vm_new();
	u32 i, p;

	for (i = 0; i < 7; i++) {
		for (p = 0; p < ARRAY_SIZE(prefix); p++) {
			memset(code, 0xf4, 64);
			code[0] = prefix[p];
			memcpy(code + 1, ops[i].code, 3);
			code[4] = 0xc3;
			current = i;
			guest(vm->cpu[0], as_kernel, 0);
			if (got[i][0] != UD)
				ktap_fail(__FILE__, __LINE__, "%s with prefix %#x:%s", ops[i].name,
					  prefix[p], words(got[i][0]));
		}
	}
}

/*
 * Every opcode of 0F xx and 0F 01 xx: the VM may fault or exit, it must not
 * fail, and the host must not notice.
 */
static void sweep(const u8 *lead, u32 n, u32 user)
{
	u32 i, fails = 0, kinds[16] = {};

	for (i = 0; i < 256; i++) {
		struct vm *vm = vm_new();
		struct vcpu *v = vm->cpu[0];
		u32 rounds = 0;

		memset(code, 0xf4, 64);
		memcpy(code, lead, n);
		code[n] = i;
		memset(code + n + 1, 0x03, 2);	/* ModRM: (%rbx) */
		code[n + 3] = 0xc3;
		current = 0;
		guest_begin(v, user ? enter_user : as_kernel, 0);
		while (rounds++ < 20) {
			int err = run(v);

			if (err == -EINTR)
				continue;
			if (err)
				ktap_fail(__FILE__, __LINE__, "0f %02x: RUN: %s", i, strerror(-err));
			v->replies->head = v->exits->tail;
			v->x = *((struct halo_exit *)((u8 *)v->exits + v->exits->entries_offset) +
				 ((v->exits->tail - 1) & (v->exits->entries - 1)));
			kinds[v->x.type & 15]++;
			if (v->x.type == HALO_EXIT_FAIL) {
				ktap_note("%02x %02x: fail %llu code %#llx", code[0], i,
					  (unsigned long long)v->x.data,
					  (unsigned long long)v->x.addr);
				fails++;
				break;
			}
			if (v->x.type == HALO_EXIT_SHUTDOWN || v->x.type == HALO_EXIT_HLT ||
			    (v->x.type == HALO_EXIT_PIO && v->x.addr >= PORT_DONE))
				break;
			answer(v, 0);
		}
		vm_free(vm);
	}
	CHECK_EQ(fails, 0);
	ktap_note("pio %u mmio %u insn %u hlt %u shutdown %u memory %u", kinds[1], kinds[2],
		  kinds[7], kinds[8], kinds[9], kinds[11]);
}

TEST_SECONDS(sweep_0f_kernel, 120) { sweep((const u8[]){ 0x0f }, 1, 0); }
TEST_SECONDS(sweep_0f_user, 120) { sweep((const u8[]){ 0x0f }, 1, 1); }
TEST_SECONDS(sweep_0f01_kernel, 120) { sweep((const u8[]){ 0x0f, 0x01 }, 2, 0); }
TEST_SECONDS(sweep_0f01_user, 120) { sweep((const u8[]){ 0x0f, 0x01 }, 2, 1); }
