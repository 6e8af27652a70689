// SPDX-License-Identifier: GPL-2.0
/*
 * The CPUID policy: what a guest may be shown at most, and why.
 *
 * Deny by default: a feature is let through by standing in a mask below, and then
 * only if the host has it. What makes a feature harmless is that it computes, or
 * that the hardware keeps its state where this module switches it. What keeps it
 * out is an MSR nobody switches, a state nobody saves, or an instruction that would
 * reach the host.
 *
 * Bits are written as numbers next to their names, as the manuals' tables have
 * them (SDM 2A CPUID, APM 3 appendix E). Called once, at load.
 */
#include "cpuid.h"

#define EAX	HALO_CPUID_EAX
#define EBX	HALO_CPUID_EBX
#define ECX	HALO_CPUID_ECX
#define EDX	HALO_CPUID_EDX

#define B(n)	(1u << (n))

/* User states that the guest's FPU buffer holds: x87, SSE, AVX, AVX-512. */
#define XCR0_X87	BIT_ULL(0)
#define XCR0_SSE	BIT_ULL(1)
#define XCR0_AVX	BIT_ULL(2)
#define XCR0_AVX512	(BIT_ULL(5) | BIT_ULL(6) | BIT_ULL(7))

/* Not a state, but features hang on it, too. */
#define TSC_STABLE	BIT_ULL(63)

/* CPUID.1:EDX and, on AMD, its image in 0x80000001:EDX. */
#define LEAF1_EDX \
	(B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(12) | B(13) | B(14) | \
	 B(15) | B(16) | B(17) | B(23) | B(24))

/**
 * struct halo_cpuid_rule - one register of features
 * @leaf: leaf
 * @subleaf: subleaf
 * @reg: register
 * @pass: let through if the host has it
 * @force: set in any case: this module provides it
 */
struct halo_cpuid_rule {
	u32 leaf;
	u8 subleaf;
	u8 reg;
	u32 pass;
	u32 force;
};

static const struct halo_cpuid_rule halo_cpuid_rules[] = {
	/* the signature; the size of CLFLUSH 8 to 15; one CPU 16, with APIC ID 0 */
	{ 0x1, 0, EAX, ~0u, 0 },
	{ 0x1, 0, EBX, 0xff00, B(16) },
	/*
	 * let through: SSE3 0, PCLMULQDQ 1, SSSE3 9, FMA 12, CMPXCHG16B 13, SSE4.1 19,
	 *   SSE4.2 20, MOVBE 22, POPCNT 23, AES 25, AVX 28, F16C 29, RDRAND 30: they compute.
	 *   PCID 17: tags within the guest's own ASID. XSAVE 26: XCR0 is switched.
	 * provided: x2APIC 21, TSC deadline 24: the LAPIC is ours. Hypervisor 31.
	 * hide: DTES64 2, DS-CPL 4, PDCM 15: no debug store, no PMU. MONITOR 3: MWAIT would
	 *   stop the host's CPU. VMX 5: not nested. SMX 6. EIST 7, TM2 8: the host's clocks.
	 *   CNXT-ID 10, xTPR 14: MISC_ENABLE bits. SDBG 11. DCA 18: needs a chipset.
	 *   OSXSAVE 27: follows CR4 at lookup.
	 */
	{ 0x1, 0, ECX,
	  B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25) |
	  B(26) | B(28) | B(29) | B(30),
	  B(21) | B(24) | B(31) },
	/*
	 * let through: FPU 0, VME 1, DE 2, PSE 3, TSC 4, MSR 5, PAE 6, CX8 8, CMOV 15, PAT 16,
	 *   PSE-36 17, MMX 23, FXSR 24: basic. MCE 7, MCA 14: with no banks. MTRR 12: kept, and
	 *   without effect under nested paging. PGE 13. SEP 11, CLFLUSH 19, SSE 25, SSE2 26,
	 *   self-snoop 27.
	 * provided: APIC 9. HTT 28: whether it shows is a matter of the topology.
	 * hide: PSN 18. DS 21. ACPI 22, TM 29, PBE 31: thermal and clock MSRs of the host.
	 */
	{ 0x1, 0, EDX, LEAF1_EDX | B(11) | B(19) | B(25) | B(26) | B(27), B(9) | B(28) },
	/* provided: ARAT 2: our LAPIC's timer never stops. hide: thermal and power. */
	{ 0x6, 0, EAX, 0, B(2) },
	/*
	 * let through: FSGSBASE 0, BMI1 3, AVX2 5, FDP 6, SMEP 7, BMI2 8, ERMS 9, FCS/FDS 13,
	 *   AVX-512 F 16 DQ 17 IFMA 21 CD 28 BW 30 VL 31, RDSEED 18, ADX 19, SMAP 20,
	 *   CLFLUSHOPT 23, CLWB 24, SHA 29. INVPCID 10: within the guest's own ASID.
	 * provided: TSC_ADJUST 1: the MSR is ours.
	 * hide: SGX 2: enclaves take host memory. HLE 4, RTM 11: TSX_CTRL is not switched, and
	 *   the host may have them off. RDT-M 12, RDT-A 15: the host's cache. MPX 14: gone.
	 *   PT 25: writes to physical memory. AVX-512 PF 26 ER 27: their CPUs can't run us.
	 */
	{ 0x7, 0, EBX,
	  B(0) | B(3) | B(5) | B(6) | B(7) | B(8) | B(9) | B(10) | B(13) | B(16) | B(17) | B(18) |
	  B(19) | B(20) | B(21) | B(23) | B(24) | B(28) | B(29) | B(30) | B(31),
	  B(1) },
	/*
	 * let through: AVX-512 VBMI 1 VBMI2 6 VNNI 11 BITALG 12 VPOPCNTDQ 14, UMIP 2, GFNI 8,
	 *   VAES 9, VPCLMULQDQ 10, RDPID 22: TSC_AUX is switched. CLDEMOTE 25: a hint.
	 * hide: PREFETCHWT1 0. PKU 3, OSPKE 4: the host would go on with the guest's PKRU, which
	 *   is in no FPU buffer. WAITPKG 5: would stop the host's CPU. CET 7, PKS 31: supervisor
	 *   states nobody switches. TME 13. LA57 16: five-level guests wait until the walker's
	 *   users know them. MAWAU 17. KL 23. Bus lock 24.
	 *   MOVDIRI 27, MOVDIR64B 28: stores that the decoder can't carry out on a device page.
	 *   ENQCMD 29. SGX_LC 30.
	 */
	{ 0x7, 0, ECX,
	  B(1) | B(2) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) | B(14) | B(22) | B(25),
	  0 },
	/*
	 * let through: FSRM 4, AVX-512 VP2INTERSECT 8 FP16 23, MD_CLEAR 10: VERW does it all,
	 *   no MSR. SERIALIZE 14.
	 * hide: IBRS/IBPB 26, STIBP 27, SSBD 31, L1D_FLUSH 28, ARCH_CAPABILITIES 29, CORE_CAPS
	 *   30: their MSRs are not switched yet, and a guest that believes in a mitigation that
	 *   does nothing is worse off than one that uses retpolines. UINTR 5, AMX 22 24 25,
	 *   IBT 20: states nobody saves. LBR 19, PCONFIG 18. TSXLDTRK 16. Hybrid 15.
	 */
	{ 0x7, 0, EDX, B(4) | B(8) | B(10) | B(14) | B(23), 0 },
	/*
	 * let through: SHA512 0, SM3 1, SM4 2, AVX-VNNI 4, AVX-512 BF16 5, CMPCCXADD 7, FZRM 10,
	 *   FSRS 11, FSRC 12, AVX-IFMA 23.
	 * hide: RAO-INT 3: atomics the decoder does not know. FRED 17, LKGS 18, HRESET 22,
	 *   LAM 26.
	 */
	{ 0x7, 1, EAX, B(0) | B(1) | B(2) | B(4) | B(5) | B(7) | B(10) | B(11) | B(12) | B(23), 0 },
	/* let through: AVX-VNNI-INT8 4, AVX-NE-CONVERT 5, PREFETCHI 14. hide: AMX 8, CET_SSS 18. */
	{ 0x7, 1, EDX, B(4) | B(5) | B(14), 0 },
	/* leaf 0xb as for one CPU alone: SMT level, core level */
	{ 0xb, 0, EBX, 0, 1 },
	{ 0xb, 0, ECX, 0, 0x100 },
	{ 0xb, 1, EBX, 0, 1 },
	{ 0xb, 1, ECX, 0, 0x201 },
	/* let through: XSAVEOPT 0, XSAVEC 1, XGETBV(1) 2. hide: XSAVES 3 (XSS), XFD 4. */
	{ 0xd, 1, EAX, B(0) | B(1) | B(2), 0 },
	/* the KVM-compatible signature, as guests look for it to find their clock */
	{ 0x40000000, 0, EAX, 0, 0x40000001 },
	{ 0x40000000, 0, EBX, 0, HALO_CPUID_PV_EBX },
	{ 0x40000000, 0, ECX, 0, HALO_CPUID_PV_ECX },
	{ 0x40000000, 0, EDX, 0, HALO_CPUID_PV_EDX },
	/*
	 * provided: NOP_IO_DELAY 1, CLOCKSOURCE2 3, STEAL_TIME 5, PV_EOI 6, PV_UNHALT 7,
	 *   PV_TLB_FLUSH 9, PV_SEND_IPI 11, POLL_CONTROL 12, PV_SCHED_YIELD 13,
	 *   CLOCKSOURCE_STABLE 24.
	 * Not: the old clock's MSRs 0, MMU operations 2, async page faults 4 10 14.
	 */
	{ 0x40000001, 0, EAX, 0,
	  B(1) | B(3) | B(5) | B(6) | B(7) | B(9) | B(11) | B(12) | B(13) | B(24) },
	{ 0x80000001, 0, EAX, ~0u, 0 },		/* the signature */
	/*
	 * let through: LAHF 0, CMP_LEGACY 1, ABM 5, SSE4A 6, MISALIGNSSE 7, PREFETCHW 8, XOP 11,
	 *   FMA4 16, TBM 21, TOPOEXT 22.
	 * hide: SVM 2, SKINIT 12: not nested. EXTAPIC 3: our LAPIC has no AMD registers. CR8 by
	 *   LOCK MOV CR0 4: the decoder takes it for CR0. OSVW 9, IBS 10, WDT 13, LWP 15,
	 *   NODEID 19, PERFCTR 23 24 28, BPEXT 26, PTSC 27: MSRs of the host. MWAITX 29.
	 */
	{ 0x80000001, 0, ECX,
	  B(0) | B(1) | B(5) | B(6) | B(7) | B(8) | B(11) | B(16) | B(21) | B(22), 0 },
	/*
	 * let through: leaf 1's, SYSCALL 11, NX 20, MMXEXT 22, FFXSR 25, 1 GiB pages 26,
	 *   RDTSCP 27, LM 29, 3DNOWEXT 30, 3DNOW 31; APIC 9, of which we are the provider.
	 * hide: MP 19.
	 */
	{ 0x80000001, 0, EDX,
	  LEAF1_EDX | B(9) | B(11) | B(20) | B(22) | B(25) | B(26) | B(27) | B(29) | B(30) | B(31),
	  0 },
	/* let through: invariant TSC 8, if it is so. hide: thermal, clocks, RAS. */
	{ 0x80000007, 0, EDX, 0, B(8) },
	/*
	 * let through: CLZERO 0, XSAVEERPTR 2, SSB_NO 26, BTC_NO 29: facts, not switches.
	 * hide: RDPRU 4: the host's clocks. INVLPGB 3. WBNOINVD 9: intercepted and then not as
	 *   cheap as it says. IBPB 12, IBRS 14, STIBP 15, IBRS hints 16 to 19, SSBD 24, VIRT_SSBD
	 *   25, IBPB_RET 30: see leaf 7's. CPPC 27.
	 */
	{ 0x80000008, 0, EBX, B(0) | B(2) | B(26) | B(29), 0 },
	/* let through: hints about how fast: FP128 0, MOVU 1, FP256 2. */
	{ 0x8000001a, 0, EAX, B(0) | B(1) | B(2), 0 },
	/*
	 * let through: LFENCE serializes 2, null selector clears base 6.
	 * hide: no nested data breakpoint 0, SMM 3, automatic IBRS 8, prefetch MSRs 13 and on.
	 */
	{ 0x80000021, 0, EAX, B(2) | B(6), 0 },
};

/* Features that are only there while a state of XCR0 is, or what else they need. */
static const struct {
	u64 needs;
	u32 leaf;
	u8 subleaf;
	u8 reg;
	u32 bits;
} halo_cpuid_needs[] = {
	/* XSAVE itself */
	{ XCR0_X87, 0x1, 0, ECX, B(26) },
	/* FMA 12, AVX 28, F16C 29; AVX2, VAES, VPCLMULQDQ; AVX-VNNI and its kin; XOP, FMA4 */
	{ XCR0_AVX, 0x1, 0, ECX, B(12) | B(28) | B(29) },
	{ XCR0_AVX, 0x7, 0, EBX, B(5) },
	{ XCR0_AVX, 0x7, 0, ECX, B(9) | B(10) },
	{ XCR0_AVX, 0x7, 1, EAX, B(0) | B(1) | B(2) | B(4) | B(23) },
	{ XCR0_AVX, 0x7, 1, EDX, B(4) | B(5) },
	{ XCR0_AVX, 0x80000001, 0, ECX, B(11) | B(16) },
	{ XCR0_AVX512, 0x7, 0, EBX, B(16) | B(17) | B(21) | B(28) | B(30) | B(31) },
	{ XCR0_AVX512, 0x7, 0, ECX, B(1) | B(6) | B(11) | B(12) | B(14) },
	{ XCR0_AVX512, 0x7, 0, EDX, B(8) | B(23) },
	{ XCR0_AVX512, 0x7, 1, EAX, B(5) },
	{ TSC_STABLE, 0x40000001, 0, EAX, B(24) },
	{ TSC_STABLE, 0x80000007, 0, EDX, B(8) },
};

/* What makes up a leaf. */
enum halo_cpuid_from {
	RULES,		/* the rules above; what they do not name is zero */
	SUBLEAVES,	/* the same, of subleaves 0 and 1 */
	HOST,		/* the host's */
	LAST,		/* the host's, with what is the highest leaf here */
	CACHES,		/* the host's, each shared by nobody: topology is the user's */
	STATES,		/* XSAVE: the rules, then a subleaf for each state */
};

/*
 * The table, in order; what is not in it reads as zeros. hide: MONITOR 5, PMU 0xa, RDT 0xf 0x10,
 * SGX 0x12, PT 0x14; clock rates 0x15 0x16: the PV clock has them; SVM 0x8000000a, IBS
 * 0x8000001b, LWP 0x8000001c, SEV 0x8000001f, QoS 0x80000020.
 */
static const struct {
	u32 leaf;
	u8 from;
	char vendor;	/* Intel (and all others), AMD; 0: any */
} halo_cpuid_leaves[] = {
	{ 0x0, LAST },
	{ 0x1, RULES },
	{ 0x2, HOST, 'I' },
	{ 0x4, CACHES, 'I' },
	{ 0x6, RULES },
	{ 0x7, SUBLEAVES },
	{ 0xb, SUBLEAVES },
	{ 0xd, STATES },
	{ 0x40000000, RULES },
	{ 0x40000001, RULES },
	{ 0x80000000, LAST },
	{ 0x80000001, RULES },
	{ 0x80000002, HOST },		/* name */
	{ 0x80000003, HOST },
	{ 0x80000004, HOST },
	{ 0x80000005, HOST },		/* caches */
	{ 0x80000006, HOST },
	{ 0x80000007, RULES },
	{ 0x80000008, RULES },
	{ 0x80000019, HOST, 'A' },	/* TLB */
	{ 0x8000001a, RULES, 'A' },
	{ 0x8000001d, CACHES, 'A' },
	{ 0x8000001e, RULES, 'A' },	/* none: one CPU alone */
	{ 0x80000021, RULES, 'A' },
};

/* The table under construction. */
struct halo_cpuid_build {
	const struct halo_cpuid_host *host;
	struct halo_cpuid_table *table;
	u32 host_max[2];	/* highest basic and extended leaf of the host */
	u32 last[2];		/* and of the table */
	u64 has;		/* XCR0_*, TSC_STABLE */
};

/* A leaf of the host; zeros where it has none, as a guest can't tell the difference. */
static void halo_host_leaf(const struct halo_cpuid_build *b, u32 leaf, u32 subleaf, u32 regs[4])
{
	memset(regs, 0, 4 * sizeof(regs[0]));
	if (leaf <= b->host_max[leaf >> 31])
		b->host->cpuid(b->host->opaque, leaf, subleaf, regs);
}

/* Leaf 0x80000008's EAX; no LA57. */
static u32 halo_cpuid_widths(const struct halo_cpuid_build *b, u32 phys)
{
	phys = phys ?: 36;
	if (b->host->phys_bits)
		phys = min_t(u32, phys, b->host->phys_bits);
	return clamp_t(u32, phys, 32, 52) | 48 << 8;
}

/* The features of a leaf, of those of the host: by the rules, by what they need, else nothing. */
static void halo_cpuid_features(const struct halo_cpuid_build *b, u32 leaf, u32 subleaf,
				u32 regs[4])
{
	u32 host[4];
	unsigned int i;

	memcpy(host, regs, sizeof(host));
	memset(regs, 0, sizeof(host));
	for (i = 0; i < ARRAY_SIZE(halo_cpuid_rules); i++) {
		const struct halo_cpuid_rule *rule = &halo_cpuid_rules[i];

		if (rule->leaf == leaf && rule->subleaf == subleaf)
			regs[rule->reg] = (host[rule->reg] & rule->pass) | rule->force;
	}
	for (i = 0; i < ARRAY_SIZE(halo_cpuid_needs); i++)
		if (halo_cpuid_needs[i].leaf == leaf && halo_cpuid_needs[i].subleaf == subleaf &&
		    (b->has & halo_cpuid_needs[i].needs) != halo_cpuid_needs[i].needs)
			regs[halo_cpuid_needs[i].reg] &= ~halo_cpuid_needs[i].bits;
	if (leaf == 0x80000008)
		regs[EAX] = halo_cpuid_widths(b, host[EAX] & 0xff);
	else if (leaf == 7 && !subleaf)
		regs[EAX] = min(host[EAX], 1u);		/* the highest subleaf */
}

/* What a subleaf holds; false if there is no such. */
static bool halo_cpuid_regs(const struct halo_cpuid_build *b, u32 leaf, u32 subleaf,
			    enum halo_cpuid_from from, u32 regs[4])
{
	halo_host_leaf(b, leaf, subleaf, regs);
	switch (from) {
	case RULES:
	case SUBLEAVES:
		halo_cpuid_features(b, leaf, subleaf, regs);
		break;
	case HOST:
		break;
	case LAST:
		regs[EAX] = b->last[leaf >> 31];
		break;
	case CACHES:
		regs[EAX] &= 0x3fff;
		return regs[EAX] & 0x1f;
	case STATES:
		if (subleaf > 1) {
			regs[ECX] &= B(1);
			regs[EDX] = 0;
			return b->has & BIT_ULL(subleaf);
		}
		halo_cpuid_features(b, leaf, subleaf, regs);
		if (!subleaf) {
			regs[EAX] = lower_32_bits(b->has & ~TSC_STABLE);
			regs[EDX] = upper_32_bits(b->has & ~TSC_STABLE);
		}
		break;
	}
	return true;
}

/* There is always room: a few dozen entries of HALO_MAX_CPUID. */
static void halo_cpuid_emit(struct halo_cpuid_build *b, u32 leaf, enum halo_cpuid_from from)
{
	static const u8 last[] = { [SUBLEAVES] = 1, [CACHES] = 7, [STATES] = 62 };
	u32 subleaf, regs[4];

	for (subleaf = 0; subleaf <= last[from]; subleaf++) {
		if (!halo_cpuid_regs(b, leaf, subleaf, from, regs))
			continue;
		b->table->entries[b->table->count++] = (struct halo_cpuid_entry){
			.leaf = leaf, .subleaf = subleaf,
			.flags = last[from] ? HALO_CPUID_SUBLEAF : 0,
			.eax = regs[EAX], .ebx = regs[EBX], .ecx = regs[ECX], .edx = regs[EDX],
		};
	}
}

/* States the host's kernel has switched on, we know, and can go together. */
static u64 halo_cpuid_states(const struct halo_cpuid_build *b)
{
	u64 xcr0 = b->host->xcr0 & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);
	u32 regs[4];

	halo_host_leaf(b, 1, 0, regs);
	if (!(regs[ECX] & B(26)) || !(xcr0 & XCR0_X87))
		return 0;
	if (!(xcr0 & XCR0_SSE))
		xcr0 &= ~XCR0_AVX;
	if (!(xcr0 & XCR0_AVX) || (xcr0 & XCR0_AVX512) != XCR0_AVX512)
		xcr0 &= ~XCR0_AVX512;
	return xcr0;
}

/**
 * halo_cpuid_supported() - the most that a guest may be shown on this host
 * @table: the result
 * @host: the host
 *
 * As it stands it is a table for a single vCPU with APIC ID 0.
 */
void halo_cpuid_supported(struct halo_cpuid_table *table, const struct halo_cpuid_host *host)
{
	struct halo_cpuid_build b = { .host = host, .table = table };
	u32 regs[4], i;
	bool amd;

	memset(table, 0, sizeof(*table));
	host->cpuid(host->opaque, 0x80000000, 0, regs);
	b.host_max[1] = regs[EAX];
	host->cpuid(host->opaque, 0, 0, regs);
	b.host_max[0] = regs[EAX];
	amd = halo_cpuid_is_amd(regs[EBX], regs[ECX]);
	b.has = halo_cpuid_states(&b);
	b.last[0] = b.has ? 0xd : 0xb;
	b.last[1] = amd ? clamp_t(u32, b.host_max[1], 0x80000008, 0x80000021) : 0x80000008;
	if (host->tsc_stable)
		b.has |= TSC_STABLE;

	for (i = 0; i < ARRAY_SIZE(halo_cpuid_leaves); i++) {
		u32 leaf = halo_cpuid_leaves[i].leaf;
		char vendor = halo_cpuid_leaves[i].vendor;

		if ((!vendor || vendor == (amd ? 'A' : 'I')) &&
		    (leaf >> 30 == 1 || leaf <= b.last[leaf >> 31]))
			halo_cpuid_emit(&b, leaf, halo_cpuid_leaves[i].from);
	}
	halo_cpuid_index(table);
	/* By itself: what is left to do are the sizes of the states. */
	halo_cpuid_clamp(table, table);
}
