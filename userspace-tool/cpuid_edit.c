// SPDX-License-Identifier: GPL-2.0
/*
 * From what a guest may be shown to what this vCPU is: its topology.
 *
 * The guest sees one package of N cores with one thread each, APIC ID = vCPU
 * number. All else stays as the module offers it. Pure; no locks.
 */
#include <string.h>

#include "cpuid_edit.h"

static unsigned int bits_for(unsigned int n)
{
	unsigned int bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

static struct halo_cpuid_entry *find(struct halo_cpuid_entry *e, u32 n, u32 leaf)
{
	u32 i;

	for (i = 0; i < n; i++) {
		if (e[i].leaf == leaf)
			return &e[i];
	}
	return NULL;
}

/* Levels of leaf 0xb: threads of a core, cores of the package, end. */
static void topology_level(struct halo_cpuid_entry *x, unsigned int id, unsigned int cpus)
{
	x->eax = x->subleaf == 1 ? bits_for(cpus) : 0;
	x->ebx = x->subleaf == 0 ? 1 : (x->subleaf == 1 ? cpus : 0);
	x->ecx = x->subleaf | (x->subleaf < 2 ? (x->subleaf + 1) << 8 : 0);
	x->edx = id;
}

/* The last-level cache is everyone's, the others are one core's own. */
static void cache_sharing(struct halo_cpuid_entry *x, unsigned int cpus, bool intel)
{
	u32 level = x->eax >> 5 & 7, sharing = level >= 3 ? cpus - 1 : 0;

	if (!(x->eax & 0x1f))
		return;
	x->eax = (x->eax & ~0x03ffc000u) | sharing << 14;
	if (intel)
		x->eax = (x->eax & 0x03ffffffu) | (cpus - 1 > 63 ? 63 : cpus - 1) << 26;
}

static void edit_entry(struct halo_cpuid_entry *x, unsigned int id, unsigned int cpus)
{
	switch (x->leaf) {
	case 1:
		x->ebx = (x->ebx & 0x0000ffff) | cpus << 16 | id << 24;
		x->ecx |= 1u << 31;
		x->edx = cpus > 1 ? x->edx | 1u << 28 : x->edx & ~(1u << 28);
		break;
	case 4:
		cache_sharing(x, cpus, true);
		break;
	case 0xb:
	case 0x1f:
		topology_level(x, id, cpus);
		break;
	case 0x80000001:
		/* CmpLegacy: the logical processors of leaf 1 are cores. */
		x->ecx = cpus > 1 ? x->ecx | 1u << 1 : x->ecx & ~(1u << 1);
		break;
	case 0x80000008:
		x->ecx = (x->ecx & ~0xf0ffu) | bits_for(cpus) << 12 | (cpus - 1);
		break;
	case 0x8000001d:
		cache_sharing(x, cpus, false);
		break;
	case 0x8000001e:
		x->eax = id;
		x->ebx = id & 0xff;
		x->ecx = 0;
		break;
	}
}

/**
 * cpuid_hide_hints() - hide by what vCPUs that lack CPUs help one another
 * @e: a table of CPUID
 * @n: its entries
 *
 * Steal time 5, which also tells who is preempted, kicks of who waits for a lock 7, TLB
 * flushes left to do 9, directed yield 13.
 */
void cpuid_hide_hints(struct halo_cpuid_entry *e, u32 n)
{
	struct halo_cpuid_entry *x = find(e, n, 0x40000001);

	if (x)
		x->eax &= ~(1u << 5 | 1u << 7 | 1u << 9 | 1u << 13);
}

/**
 * cpuid_edit() - make a vCPU's CPUID table from the supported one
 * @e: the table
 * @n: its entries
 * @room: entries that fit
 * @id: the vCPU's number and APIC ID
 * @cpus: how many vCPUs there are
 *
 * Return: entries of the new table.
 */
u32 cpuid_edit(struct halo_cpuid_entry *e, u32 n, u32 room, unsigned int id, unsigned int cpus)
{
	struct halo_cpuid_entry *leaf0 = find(e, n, 0);
	u32 i, kept = 0;

	/* Leaf 0xb is made here from scratch, as many hosts have other levels. */
	for (i = 0; i < n; i++) {
		if (e[i].leaf != 0xb)
			e[kept++] = e[i];
	}
	n = kept;
	for (i = 0; leaf0 && leaf0->eax >= 0xb && i < 3 && n < room; i++) {
		memset(&e[n], 0, sizeof(e[n]));
		e[n].leaf = 0xb;
		e[n].subleaf = i;
		e[n++].flags = HALO_CPUID_SUBLEAF;
	}
	for (i = 0; i < n; i++)
		edit_entry(&e[i], id, cpus);
	return n;
}
