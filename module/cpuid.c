// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID: what a guest is shown, and what follows from it.
 *
 * Three duties. A table is taken from userspace, sorted and indexed. It is
 * clamped: a feature that module/cpuid_policy.c does not let through can't be
 * claimed, while names, caches and topology are whatever userspace says. And it
 * is asked: by the guest's CPUID (the hottest exit of all in some guests, so a
 * leaf is found by an index and not by a search), and for the masks that checks
 * of control registers and MSRs go by, so that "the CPU has it" means the same
 * everywhere.
 *
 * Callers: the vCPU's ioctls under vcpu->lock, its run loop. Pure, no lock.
 */
#include "cpuid.h"

#define LEAF_XSAVE		0xd
#define LEAF_HYPERVISOR		0x40000000
#define LEAF_EXT		0x80000000

/* Legacy region and header: what every XSAVE area begins with (SDM 1 13.4). */
#define XSAVE_BASE_BYTES	576

static bool halo_cpuid_leaf_split(u32 leaf, u32 *range, u32 *offset)
{
	*range = leaf >> 30;
	*offset = leaf & 0x3fffffff;
	return *range < HALO_CPUID_RANGES && *offset < HALO_CPUID_SPAN;
}

static const struct halo_cpuid_entry *halo_cpuid_find(const struct halo_cpuid_table *table,
						      u32 leaf, u32 subleaf)
{
	const struct halo_cpuid_entry *e;
	const struct halo_cpuid_slot *slot;
	u32 range, offset, i;

	if (!halo_cpuid_leaf_split(leaf, &range, &offset))
		return NULL;
	range = array_index_nospec(range, HALO_CPUID_RANGES);
	offset = array_index_nospec(offset, HALO_CPUID_SPAN);
	slot = &table->slot[range][offset];
	if (!slot->count)
		return NULL;

	e = &table->entries[slot->first];
	if (!(e->flags & HALO_CPUID_SUBLEAF))
		return e;
	for (i = 0; i < slot->count; i++)
		if (e[i].subleaf == subleaf)
			return &e[i];
	return NULL;
}

/* One register of a leaf; 0 if the table does not have it. */
static u32 halo_cpuid_reg(const struct halo_cpuid_table *table, u32 leaf, u32 subleaf,
			  unsigned int reg)
{
	const struct halo_cpuid_entry *e = halo_cpuid_find(table, leaf, subleaf);

	return e ? (&e->eax)[reg] : 0;
}

static bool halo_cpuid_has(const struct halo_cpuid_table *table, u32 leaf, unsigned int reg,
			   unsigned int bit)
{
	return halo_cpuid_reg(table, leaf, 0, reg) >> bit & 1;
}

/* What the table is sorted by. */
static u64 halo_cpuid_key(const struct halo_cpuid_entry *e)
{
	return (u64)e->leaf << 32 | e->subleaf;
}

/* Put an entry where it belongs among the sorted ones; there is room. */
static int halo_cpuid_insert(struct halo_cpuid_table *table, const struct halo_cpuid_entry *e)
{
	struct halo_cpuid_entry *at = &table->entries[table->count];
	u32 range, offset;

	if (e->reserved || e->flags & ~HALO_CPUID_SUBLEAF ||
	    (!(e->flags & HALO_CPUID_SUBLEAF) && e->subleaf) ||
	    !halo_cpuid_leaf_split(e->leaf, &range, &offset))
		return -EINVAL;

	for (; at > table->entries && halo_cpuid_key(at - 1) >= halo_cpuid_key(e); at--) {
		if (halo_cpuid_key(at - 1) == halo_cpuid_key(e))
			return -EINVAL;
		*at = at[-1];
	}
	*at = *e;
	table->count++;
	return 0;
}

/* Leaves that halo_cpuid_fix() knows. */
static bool halo_cpuid_dynamic(u32 leaf)
{
	return leaf == 0x1 || leaf == LEAF_XSAVE || leaf == 0x80000001;
}

/**
 * halo_cpuid_index() - make a table's index
 * @table: with its entries in place, sorted
 *
 * Return: 0; -EINVAL for a leaf with and without subleaves.
 */
int halo_cpuid_index(struct halo_cpuid_table *table)
{
	struct halo_cpuid_slot *slot;
	u32 i, range, offset;

	for (i = 0; i < table->count; i++) {
		const struct halo_cpuid_entry *e = &table->entries[i];

		halo_cpuid_leaf_split(e->leaf, &range, &offset);
		slot = &table->slot[range][offset];
		if (!slot->count)
			slot->first = i;
		/* A leaf has subleaves or it has not. */
		else if (!(e->flags & table->entries[slot->first].flags & HALO_CPUID_SUBLEAF))
			return -EINVAL;
		slot->count++;
		if (!(e->flags & HALO_CPUID_SUBLEAF) && !halo_cpuid_dynamic(e->leaf))
			table->plain[range] |= BIT_ULL(offset);
	}
	for (range = 0; range < HALO_CPUID_RANGES; range++)
		table->max[range] = halo_cpuid_reg(table, range << 30, 0, HALO_CPUID_EAX);
	/* AMD and its kin answer a leaf that is too high with zeros, all others as Intel does. */
	table->intel = !halo_cpuid_is_amd(halo_cpuid_reg(table, 0, 0, HALO_CPUID_EBX),
					  halo_cpuid_reg(table, 0, 0, HALO_CPUID_ECX));
	return 0;
}

/**
 * halo_cpuid_set() - make a table of entries in any order
 * @table: the result; empty after an error
 * @entries: kernel copy of the user's entries
 * @count: how many
 *
 * Return: 0; -E2BIG for more than HALO_MAX_CPUID; -EINVAL for an entry twice, a reserved
 * field or flag, a subleaf where none is said to be, a leaf with and without subleaves,
 * or a leaf beyond the first HALO_CPUID_SPAN of the basic, hypervisor and extended range.
 */
int halo_cpuid_set(struct halo_cpuid_table *table, const struct halo_cpuid_entry *entries,
		   u32 count)
{
	int ret = 0;
	u32 i;

	memset(table, 0, sizeof(*table));
	if (count > HALO_MAX_CPUID)
		return -E2BIG;

	for (i = 0; i < count && !ret; i++)
		ret = halo_cpuid_insert(table, &entries[i]);
	if (!ret)
		ret = halo_cpuid_index(table);
	if (ret)
		memset(table, 0, sizeof(*table));
	return ret;
}

/*
 * How the clamp treats a leaf's EAX, EBX, ECX, EDX. What is not listed is all
 * ALLOW, so a leaf that the policy does not know reads as zeros.
 */
enum halo_cpuid_how {
	ALLOW,		/* bits are features: at most those that are supported */
	FREE,		/* says nothing that the CPU or this module must keep */
	FIXED,		/* sizes and offsets of the hardware: as supported, or 0 */
	WIDTH,		/* 0x80000008 EAX: address widths: at most those supported */
};

/* Names, topology, caches and frequencies: FREE in all registers. */
static const u32 halo_cpuid_free[] = {
	0x0, 0x2, 0x4, 0xb, 0x1f,
	0x40000000, 0x40000010,
	0x80000000, 0x80000002, 0x80000003, 0x80000004, 0x80000005, 0x80000006,
	0x80000019, 0x8000001d, 0x8000001e,
};

/* The first row that fits counts. */
static const struct {
	u32 leaf;
	u32 subleaf;	/* and all above */
	u8 how[4];
} halo_cpuid_hows[] = {
	{ 0x1, 0, { FREE, FREE, ALLOW, ALLOW } },		/* signature, APIC ID */
	{ 0x7, 1, { ALLOW, ALLOW, ALLOW, ALLOW } },
	{ 0x7, 0, { FREE, ALLOW, ALLOW, ALLOW } },		/* highest subleaf */
	{ 0xd, 2, { FIXED, FIXED, FIXED, FIXED } },
	{ 0xd, 1, { ALLOW, FREE, ALLOW, ALLOW } },
	{ 0xd, 0, { ALLOW, FREE, FREE, ALLOW } },		/* sizes: computed */
	{ 0x80000001, 0, { FREE, FREE, ALLOW, ALLOW } },	/* signature */
	{ 0x80000008, 0, { WIDTH, ALLOW, FREE, ALLOW } },	/* number of cores */
};

static const u8 *halo_cpuid_how(const struct halo_cpuid_entry *e)
{
	static const u8 allow[4] = { ALLOW, ALLOW, ALLOW, ALLOW };
	static const u8 any[4] = { FREE, FREE, FREE, FREE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(halo_cpuid_free); i++)
		if (halo_cpuid_free[i] == e->leaf)
			return any;
	for (i = 0; i < ARRAY_SIZE(halo_cpuid_hows); i++)
		if (halo_cpuid_hows[i].leaf == e->leaf && halo_cpuid_hows[i].subleaf <= e->subleaf)
			return halo_cpuid_hows[i].how;
	return allow;
}

static u32 halo_cpuid_width(u32 wish, u32 supported)
{
	u32 phys = clamp_t(u32, wish & 0xff, 32, supported & 0xff);
	u32 linear = min(wish >> 8 & 0xff, supported >> 8 & 0xff);

	return phys | linear << 8;
}

/*
 * Size of the XSAVE area for the states in @mask, standard or compacted form
 * (SDM 1 13.4.2, 13.4.3). Bit 1 of a state's ECX: in the compacted form it
 * begins at a multiple of 64.
 */
static u32 halo_cpuid_xsave_bytes(const struct halo_cpuid_table *table, u64 mask, bool compacted)
{
	const struct halo_cpuid_slot *slot = &table->slot[0][LEAF_XSAVE];
	u32 bytes = XSAVE_BASE_BYTES;
	u32 i;

	for (i = slot->first; i < slot->first + slot->count; i++) {
		const struct halo_cpuid_entry *e = &table->entries[i];

		if (e->subleaf < 2 || e->subleaf > 62 || !(mask & BIT_ULL(e->subleaf)))
			continue;
		if (!compacted)
			bytes = max(bytes, e->ebx + e->eax);
		else if (e->ecx & BIT(1))
			bytes = ALIGN(bytes, 64) + e->eax;
		else
			bytes += e->eax;
	}
	return bytes;
}

static u64 halo_cpuid_xcr0(const struct halo_cpuid_table *table)
{
	return halo_cpuid_reg(table, LEAF_XSAVE, 0, HALO_CPUID_EAX) |
	       (u64)halo_cpuid_reg(table, LEAF_XSAVE, 0, HALO_CPUID_EDX) << 32;
}

/* After the masks: leaf 0xd speaks of the states that are left, or not at all. */
static void halo_cpuid_clamp_xsave(struct halo_cpuid_table *table)
{
	const struct halo_cpuid_slot *slot = &table->slot[0][LEAF_XSAVE];
	bool xsave = halo_cpuid_has(table, 1, HALO_CPUID_ECX, 26);
	u64 xcr0 = xsave ? halo_cpuid_xcr0(table) : 0;
	u32 i;

	for (i = slot->first; i < slot->first + slot->count; i++) {
		struct halo_cpuid_entry *e = &table->entries[i];

		if (xsave && e->subleaf == 0) {
			e->ebx = halo_cpuid_xsave_bytes(table, xcr0, false);
			e->ecx = e->ebx;
		} else if (!xsave || (e->subleaf > 1 &&
				      (e->subleaf > 62 || !(xcr0 & BIT_ULL(e->subleaf))))) {
			e->eax = 0;
			e->ebx = 0;
			e->ecx = 0;
			e->edx = 0;
		}
	}
}

/**
 * halo_cpuid_clamp() - take away what a guest can't have
 * @table: from halo_cpuid_set(); changed in place
 * @supported: the table of what halo_cpuid_supported() told
 */
void halo_cpuid_clamp(struct halo_cpuid_table *table, const struct halo_cpuid_table *supported)
{
	u32 i, reg;

	for (i = 0; i < table->count; i++) {
		struct halo_cpuid_entry *e = &table->entries[i];
		const u8 *how = halo_cpuid_how(e);

		for (reg = 0; reg < 4; reg++) {
			u32 *value = &e->eax + reg;
			u32 most = halo_cpuid_reg(supported, e->leaf, e->subleaf, reg);

			switch (how[reg]) {
			case ALLOW:
				*value &= most;
				break;
			case FIXED:
				*value = most;
				break;
			case WIDTH:
				*value = halo_cpuid_width(*value, most);
				break;
			}
		}
	}
	halo_cpuid_clamp_xsave(table);
}

/* What the vCPU's state changes in a leaf. */
static void halo_cpuid_fix(const struct halo_cpuid_table *table, const struct halo_cpuid_dyn *dyn,
			   u32 leaf, u32 subleaf, u32 regs[4])
{
	u64 xcr0;

	switch (leaf) {
	case 0x1:
		regs[HALO_CPUID_ECX] &= ~BIT(27);
		if (dyn->cr4 & BIT(18))
			regs[HALO_CPUID_ECX] |= BIT(27);	/* OSXSAVE */
		if (dyn->apic_off)
			regs[HALO_CPUID_EDX] &= ~BIT(9);
		break;
	case LEAF_XSAVE:
		if (subleaf > 1)
			break;
		xcr0 = halo_cpuid_xcr0(table) & dyn->xcr0;
		if (!subleaf && xcr0)
			regs[HALO_CPUID_EBX] = halo_cpuid_xsave_bytes(table, xcr0, false);
		/* XSAVEC (1) or XSAVES (3): the compacted form exists. */
		if (subleaf)
			regs[HALO_CPUID_EBX] = regs[HALO_CPUID_EAX] & (BIT(1) | BIT(3)) ?
				halo_cpuid_xsave_bytes(table, xcr0, true) : 0;
		break;
	case 0x80000001:
		if (dyn->apic_off && !table->intel)
			regs[HALO_CPUID_EDX] &= ~BIT(9);
		break;
	}
}

/* A topology leaf's subleaf past the last: level 0, but number and x2APIC ID stand. */
static void halo_cpuid_no_level(const struct halo_cpuid_table *table, u32 leaf, u32 subleaf,
				u32 regs[4])
{
	if ((leaf != 0xb && leaf != 0x1f) || !table->slot[0][leaf].count)
		return;
	regs[HALO_CPUID_ECX] = subleaf & 0xff;
	regs[HALO_CPUID_EDX] = table->entries[table->slot[0][leaf].first].edx;
}

/**
 * halo_cpuid_lookup() - what the guest's CPUID instruction gives
 * @table: the vCPU's table
 * @dyn: the vCPU's state, as far as it shows
 * @leaf: EAX in
 * @subleaf: ECX in
 * @regs: EAX, EBX, ECX, EDX out
 *
 * A leaf within its range that the table does not have is zeros. A leaf above its range
 * is zeros on AMD and the highest basic leaf on Intel (SDM 2A CPUID, APM 3 E.3.1).
 */
void halo_cpuid_lookup(const struct halo_cpuid_table *table, const struct halo_cpuid_dyn *dyn,
		       u32 leaf, u32 subleaf, u32 regs[4])
{
	const struct halo_cpuid_entry *e = halo_cpuid_find(table, leaf, subleaf);
	unsigned int reg;

	if (unlikely(!e) && table->intel) {
		u32 range = leaf >> 30;

		if (range >= HALO_CPUID_RANGES ||
		    leaf > table->max[array_index_nospec(range, HALO_CPUID_RANGES)]) {
			leaf = table->max[0];
			e = halo_cpuid_find(table, leaf, subleaf);
		}
	}
	if (unlikely(!e)) {
		memset(regs, 0, 4 * sizeof(regs[0]));
		halo_cpuid_no_level(table, leaf, subleaf, regs);
		return;
	}

	for (reg = 0; reg < 4; reg++)
		regs[reg] = (&e->eax)[reg];
	halo_cpuid_fix(table, dyn, leaf, subleaf, regs);
}

/* A bit of CPUID, and what it allows: bits of CR4, of EFER, HALO_HAS_*. */
static const struct {
	u32 leaf;
	u8 reg;
	u8 bit;
	u32 cr4;
	u32 efer;
	u32 has;
} halo_cpuid_grants[] = {
	{ 0x1, HALO_CPUID_EDX, 1, BIT(0) | BIT(1) },	/* VME: VME, PVI */
	{ 0x1, HALO_CPUID_EDX, 4, BIT(2) },		/* TSC: TSD */
	{ 0x1, HALO_CPUID_EDX, 2, BIT(3) },		/* DE */
	{ 0x1, HALO_CPUID_EDX, 3, BIT(4) },		/* PSE */
	{ 0x1, HALO_CPUID_EDX, 6, BIT(5) },		/* PAE */
	{ 0x1, HALO_CPUID_EDX, 7, BIT(6) },		/* MCE */
	{ 0x1, HALO_CPUID_EDX, 13, BIT(7) },		/* PGE */
	{ 0x1, HALO_CPUID_EDX, 5, BIT(8) },		/* MSR: PCE, as RDPMC is intercepted */
	{ 0x1, HALO_CPUID_EDX, 24, BIT(9) },		/* FXSR: OSFXSR */
	{ 0x1, HALO_CPUID_EDX, 25, BIT(10) },		/* SSE: OSXMMEXCPT */
	{ 0x7, HALO_CPUID_ECX, 2, BIT(11) },		/* UMIP */
	{ 0x7, HALO_CPUID_EBX, 0, BIT(16) },		/* FSGSBASE */
	{ 0x1, HALO_CPUID_ECX, 17, BIT(17) },		/* PCID: PCIDE */
	{ 0x1, HALO_CPUID_ECX, 26, BIT(18) },		/* XSAVE: OSXSAVE */
	{ 0x7, HALO_CPUID_EBX, 7, BIT(20) },		/* SMEP */
	{ 0x7, HALO_CPUID_EBX, 20, BIT(21) },		/* SMAP */
	{ 0x80000001, HALO_CPUID_EDX, 11, 0, BIT(0) },			/* SYSCALL: SCE */
	{ 0x80000001, HALO_CPUID_EDX, 29, 0, BIT(8) | BIT(10) },	/* LM: LME, LMA */
	{ 0x80000001, HALO_CPUID_EDX, 20, 0, BIT(11) },			/* NX: NXE */
	{ 0x80000001, HALO_CPUID_EDX, 25, 0, BIT(14) },			/* FXSR_OPT: FFXSR */
	{ 0x80000001, HALO_CPUID_EDX, 26, 0, 0, HALO_HAS_GBPAGES },
	{ 0x80000001, HALO_CPUID_EDX, 27, 0, 0, HALO_HAS_RDTSCP },
	{ 0x1, HALO_CPUID_ECX, 24, 0, 0, HALO_HAS_TSC_DEADLINE },
	{ 0x1, HALO_CPUID_ECX, 21, 0, 0, HALO_HAS_X2APIC },
	{ 0x1, HALO_CPUID_EDX, 12, 0, 0, HALO_HAS_MTRR },
	{ 0x7, HALO_CPUID_EBX, 1, 0, 0, HALO_HAS_TSC_ADJUST },
	{ 0x7, HALO_CPUID_ECX, 22, 0, 0, HALO_HAS_RDPID },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 3, 0, 0, HALO_HAS_PV_CLOCK },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 5, 0, 0, HALO_HAS_PV_STEAL },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 6, 0, 0, HALO_HAS_PV_EOI },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 7, 0, 0, HALO_HAS_PV_UNHALT },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 9, 0, 0, HALO_HAS_PV_TLB_FLUSH },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 11, 0, 0, HALO_HAS_PV_SEND_IPI },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 12, 0, 0, HALO_HAS_PV_POLL },
	{ LEAF_HYPERVISOR + 1, HALO_CPUID_EAX, 13, 0, 0, HALO_HAS_PV_YIELD },
};

/* Is leaf 0x40000001 KVM's? */
static bool halo_cpuid_pv(const struct halo_cpuid_table *table)
{
	const struct halo_cpuid_entry *e = halo_cpuid_find(table, LEAF_HYPERVISOR, 0);

	return e && e->ebx == HALO_CPUID_PV_EBX && e->ecx == HALO_CPUID_PV_ECX &&
	       e->edx == HALO_CPUID_PV_EDX;
}

/**
 * halo_cpuid_caps() - derive what a vCPU may do from what it is shown
 * @table: the vCPU's table, clamped
 * @caps: the result
 */
void halo_cpuid_caps(const struct halo_cpuid_table *table, struct halo_cpuid_caps *caps)
{
	u32 width = halo_cpuid_reg(table, LEAF_EXT + 8, 0, HALO_CPUID_EAX) & 0xff;
	unsigned int i;

	memset(caps, 0, sizeof(*caps));
	for (i = 0; i < ARRAY_SIZE(halo_cpuid_grants); i++) {
		if (!halo_cpuid_has(table, halo_cpuid_grants[i].leaf, halo_cpuid_grants[i].reg,
				    halo_cpuid_grants[i].bit))
			continue;
		caps->cr4 |= halo_cpuid_grants[i].cr4;
		caps->efer |= halo_cpuid_grants[i].efer;
		caps->has |= halo_cpuid_grants[i].has;
	}
	if (!halo_cpuid_pv(table))
		caps->has &= ~HALO_HAS_PV;
	/* x87 state can't be missing from a CPU with XSAVE. */
	if (halo_cpuid_has(table, 1, HALO_CPUID_ECX, 26))
		caps->xcr0 = halo_cpuid_xcr0(table) | 1;

	/* Without the leaf: what PSE-36 and PAE had when they came (APM 3 E.4.7). */
	caps->maxphyaddr = clamp_t(u32, width ? width : 36, 32, 52);
}

/**
 * halo_xcr0_valid() - may the guest load this into XCR0?
 * @caps: of the vCPU
 * @xcr0: the value
 *
 * Follows SDM 1 13.3: x87 always, AVX builds on SSE, the three AVX-512 states go
 * together and build on AVX.
 */
bool halo_xcr0_valid(const struct halo_cpuid_caps *caps, u64 xcr0)
{
	const u64 avx512 = BIT_ULL(5) | BIT_ULL(6) | BIT_ULL(7);

	if (!(xcr0 & BIT_ULL(0)) || xcr0 & ~caps->xcr0)
		return false;
	if (xcr0 & BIT_ULL(2) && !(xcr0 & BIT_ULL(1)))
		return false;
	return !(xcr0 & avx512) || ((xcr0 & avx512) == avx512 && xcr0 & BIT_ULL(2));
}
