/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUID: what a guest may be shown, what it is shown, and what follows from it.
 *
 * Userspace owns a vCPU's table. This module tells the most that may stand in it
 * (halo_cpuid_supported()), clears what goes beyond (the clamp), answers lookups
 * from an index built when the table was set, and derives the masks that CR, XCR0
 * and MSR writes are checked with.
 *
 * Pure: the host's CPUID comes through a function, so that tests feed CPUs that
 * are not at hand. A table is written under the vCPU's lock, before or between
 * runs, and read by the vCPU's own thread.
 */
#ifndef HALO_CPUID_H
#define HALO_CPUID_H

#include "pure.h"
#include <linux/halo.h>

/* Order of the registers in arrays, as CPUID's operands are named. */
enum { HALO_CPUID_EAX, HALO_CPUID_EBX, HALO_CPUID_ECX, HALO_CPUID_EDX };

/**
 * struct halo_cpuid_host - the host, as far as CPUID goes
 * @cpuid: executes CPUID with @leaf and @subleaf
 * @opaque: handed to it
 * @xcr0: extended states that the host kernel has switched on (its XCR0)
 * @phys_bits: physical-address width that the host uses, 0 = what CPUID says;
 *	differs where memory encryption takes address bits away
 * @tsc_stable: the TSC ticks at one rate and never stops
 */
struct halo_cpuid_host {
	void (*cpuid)(void *opaque, u32 leaf, u32 subleaf, u32 regs[4]);
	void *opaque;
	u64 xcr0;
	u8 phys_bits;
	bool tsc_stable;
};

/* The index spans this many leaves of each range: basic, hypervisor, extended. */
#define HALO_CPUID_RANGES	3
#define HALO_CPUID_SPAN		64

/**
 * struct halo_cpuid_slot - where a leaf is in the table
 * @first: index of its first entry
 * @count: number of its entries, 0 = the table has none
 */
struct halo_cpuid_slot {
	u16 first;
	u16 count;
};

/**
 * struct halo_cpuid_table - a vCPU's CPUID
 * @count: entries in use
 * @max: highest leaf of each range, as its first leaf tells
 * @intel: out-of-range leaves answer as on Intel
 * @plain: bit set: the leaf's only entry is the answer, whatever the subleaf and the vCPU's
 *	state; and a range that is none, so that a leaf's top bits are an index
 * @slot: the index, likewise
 * @entries: sorted by leaf and subleaf
 */
struct halo_cpuid_table {
	u32 count;
	u32 max[HALO_CPUID_RANGES];
	bool intel;
	u64 plain[HALO_CPUID_RANGES + 1];
	struct halo_cpuid_slot slot[HALO_CPUID_RANGES + 1][HALO_CPUID_SPAN];
	struct halo_cpuid_entry entries[HALO_MAX_CPUID];
};

/**
 * struct halo_cpuid_dyn - vCPU state that shows in CPUID
 * @cr4: CR4: OSXSAVE
 * @xcr0: XCR0: size of the XSAVE area
 * @apic_off: the LAPIC is switched off in APIC_BASE: CPUID.1:EDX.APIC reads 0
 */
struct halo_cpuid_dyn {
	u64 cr4;
	u64 xcr0;
	bool apic_off;
};

/* struct halo_cpuid_caps.has */
#define HALO_HAS_GBPAGES	BIT(0)
#define HALO_HAS_TSC_DEADLINE	BIT(1)
#define HALO_HAS_TSC_ADJUST	BIT(2)
#define HALO_HAS_RDTSCP		BIT(3)
#define HALO_HAS_RDPID		BIT(4)
#define HALO_HAS_MTRR		BIT(5)
#define HALO_HAS_PV_CLOCK	BIT(6)	/* KVM signature and CLOCKSOURCE2 */
#define HALO_HAS_X2APIC		BIT(7)
/* These, too, with the KVM signature only. */
#define HALO_HAS_PV_STEAL	BIT(8)
#define HALO_HAS_PV_EOI		BIT(9)
#define HALO_HAS_PV_UNHALT	BIT(10)
#define HALO_HAS_PV_TLB_FLUSH	BIT(11)
#define HALO_HAS_PV_SEND_IPI	BIT(12)
#define HALO_HAS_PV_YIELD	BIT(13)
#define HALO_HAS_PV_POLL	BIT(14)
#define HALO_HAS_PV		(HALO_HAS_PV_CLOCK | GENMASK(14, 8))

/* The signature, "KVMKVMKVM". */
#define HALO_CPUID_PV_EBX	0x4b4d564b
#define HALO_CPUID_PV_ECX	0x564b4d56
#define HALO_CPUID_PV_EDX	0x4d

/**
 * struct halo_cpuid_caps - what a vCPU's CPUID allows it
 * @cr4: bits that may be set in CR4
 * @efer: bits that may be set in EFER (LMA included)
 * @xcr0: bits that may be set in XCR0, 0 without XSAVE
 * @has: HALO_HAS_*
 * @maxphyaddr: width of guest-physical addresses
 */
struct halo_cpuid_caps {
	u64 cr4;
	u64 efer;
	u64 xcr0;
	u32 has;
	u8 maxphyaddr;
};

/**
 * halo_cpuid_is_amd() - is leaf 0 that of AMD or its kin?
 * @ebx: its EBX
 * @ecx: its ECX
 */
static inline bool halo_cpuid_is_amd(u32 ebx, u32 ecx)
{
	return (ebx == 0x68747541 && ecx == 0x444d4163) ||	/* AuthenticAMD */
	       (ebx == 0x6f677948 && ecx == 0x656e6975);	/* HygonGenuine */
}

static_assert(HALO_CPUID_RANGES == 3 && HALO_CPUID_SPAN == 64);

/**
 * halo_cpuid_plain() - the entry that answers a leaf as it is
 * @table: the vCPU's table
 * @leaf: EAX in
 * @entry: the entry
 *
 * Return: whether there is one; else it takes halo_cpuid_lookup() to tell.
 */
static __always_inline bool halo_cpuid_plain(const struct halo_cpuid_table *table, u32 leaf,
					     const struct halo_cpuid_entry **entry)
{
	/* The masks are the bounds, also when the CPU speculates. */
	u32 range = leaf >> 30, offset = leaf & (HALO_CPUID_SPAN - 1);

	*entry = &table->entries[table->slot[range][offset].first];
	return (leaf << 2 >> 2) == offset && (table->plain[range] & BIT_ULL(offset));
}

void halo_cpuid_supported(struct halo_cpuid_table *table, const struct halo_cpuid_host *host);
int halo_cpuid_index(struct halo_cpuid_table *table);
int halo_cpuid_set(struct halo_cpuid_table *table, const struct halo_cpuid_entry *entries,
		   u32 count);
void halo_cpuid_clamp(struct halo_cpuid_table *table, const struct halo_cpuid_table *supported);
void halo_cpuid_lookup(const struct halo_cpuid_table *table, const struct halo_cpuid_dyn *dyn,
		       u32 leaf, u32 subleaf, u32 regs[4]);
void halo_cpuid_caps(const struct halo_cpuid_table *table, struct halo_cpuid_caps *caps);
bool halo_xcr0_valid(const struct halo_cpuid_caps *caps, u64 xcr0);

#endif /* HALO_CPUID_H */
