// SPDX-License-Identifier: GPL-2.0
/* sources: module/cpuid.c module/cpuid_policy.c */
/*
 * CPUID against CPUs that are not at hand: one that claims every bit there is,
 * of either vendor, one that has next to nothing, and guests that ask for more.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cpuid.h"

enum { EAX, EBX, ECX, EDX };

#define B(n)	(1u << (n))
/* NOP_IO_DELAY and what KVM calls its interface, but for the stable clock */
#define PV	(B(1) | B(3) | B(5) | B(6) | B(7) | B(9) | B(11) | B(12) | B(13))
#define INTEL	"GenuineIntel"
#define AMD	"AuthenticAMD"

/* A synthetic CPU: every feature register is @fill, the rest makes sense. */
struct cpu {
	const char *vendor;
	u32 max_basic;
	u32 max_ext;
	u32 fill;
	u32 widths;
};

static struct cpu cpu;
static struct halo_cpuid_host host;
static struct halo_cpuid_table supported, table;
static struct halo_cpuid_dyn dyn;
static u32 regs[4];

static void cpu_cpuid(void *opaque, u32 leaf, u32 subleaf, u32 out[4])
{
	static const u32 sizes[10][2] = { [2] = { 256, 576 }, [5] = { 64, 1088 },
		[6] = { 512, 1152 }, [7] = { 1024, 1664 }, [9] = { 8, 2688 } };
	const struct cpu *c = opaque;

	for (int i = 0; i < 4; i++)
		out[i] = c->fill;
	/* Asking for a leaf the CPU does not have gives rubbish, as on Intel. */
	if (leaf > (leaf >> 31 ? c->max_ext : c->max_basic)) {
		memset(out, 0xdb, 16);
		if (leaf != 0x80000000)
			return;
	}
	switch (leaf) {
	case 0:
	case 0x80000000:
		out[EAX] = leaf ? c->max_ext : c->max_basic;
		memcpy(&out[EBX], c->vendor, 4);
		memcpy(&out[EDX], c->vendor + 4, 4);
		memcpy(&out[ECX], c->vendor + 8, 4);
		break;
	case 4:
	case 0x8000001d:
		memset(out, 0, 16);
		if (subleaf < 3) {
			out[EAX] = 0xfc000000 | 0x1c000 | (subleaf + 1) << 5 | 1;
			out[EBX] = 0x01c0003f;
			out[ECX] = 63;
		}
		break;
	case 0xd:
		if (subleaf < 2)
			break;
		memset(out, 0, 16);
		if (subleaf < 10) {
			out[EAX] = sizes[subleaf][0];
			out[EBX] = sizes[subleaf][1];
			out[ECX] = subleaf == 6 || subleaf == 9 ? 3 : 1;
		}
		break;
	case 0x80000008:
		out[EAX] = c->widths;
		break;
	}
}

static void host_is(const char *vendor, u32 fill)
{
	cpu = (struct cpu){ .vendor = vendor, .max_basic = 0x20, .fill = fill,
			    .max_ext = vendor[0] == 'G' ? 0x80000008 : 0x80000021,
			    .widths = 0x3934 };
	host = (struct halo_cpuid_host){ .cpuid = cpu_cpuid, .opaque = &cpu, .xcr0 = 0x2e7,
					 .tsc_stable = true };
}

static void build(void)
{
	memset(&supported, 0x55, sizeof(supported));
	halo_cpuid_supported(&supported, &host);
	assert_in_range(supported.count, 1, HALO_MAX_CPUID / 2);
	/* In order, and as if userspace had handed it in. */
	assert_int_equal(halo_cpuid_set(&table, supported.entries, supported.count), 0);
	assert_memory_equal(&table, &supported, sizeof(table));
	dyn = (struct halo_cpuid_dyn){ .xcr0 = 1 };
}

static u32 *ask(u32 leaf, u32 subleaf)
{
	memset(regs, 0x77, sizeof(regs));
	halo_cpuid_lookup(&table, &dyn, leaf, subleaf, regs);
	return regs;
}

/* The full CPU of either vendor shows exactly this: the policy, written once more. */
static void what_a_full_intel_shows(void **state)
{
	host_is(INTEL, ~0u);
	build();
	assert_int_equal(ask(0, 0)[EAX], 0xd);
	assert_memory_equal(&regs[EBX], "Genu", 4);
	assert_int_equal(ask(1, 0)[ECX], 0xf7fa3203);
	assert_int_equal(regs[EDX], 0x1f8bfbff);
	assert_int_equal(ask(6, 0)[EAX], 4);
	assert_int_equal(regs[EBX] | regs[ECX] | regs[EDX], 0);
	assert_int_equal(ask(7, 0)[EAX], 1);
	assert_int_equal(regs[EBX], 0xf1bf27eb);
	assert_int_equal(regs[ECX], 0x02405f46);
	assert_int_equal(regs[EDX], 0x00804510);
	assert_int_equal(ask(7, 1)[EAX], 0x00801cb7);
	assert_int_equal(regs[EDX], 0x00004030);
	assert_int_equal(regs[EBX] | regs[ECX], 0);
	assert_int_equal(ask(0xd, 1)[EAX], 7);
	assert_int_equal(ask(0x80000000, 0)[EAX], 0x80000008);
	assert_int_equal(ask(0x80000001, 0)[ECX], 0x006109e3);
	assert_int_equal(regs[EDX], 0xefd3fbff);
	assert_int_equal(ask(0x80000007, 0)[EDX], B(8));
	assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX], 0);
	assert_int_equal(ask(0x80000008, 0)[EAX], 0x3034);
	assert_int_equal(regs[EBX], 0x24000005);
	assert_int_equal(regs[ECX] | regs[EDX], 0);
}

static void what_is_never_shown(void **state)
{
	static const struct { u32 leaf, subleaf; u8 reg, bit; const char *name; } never[] = {
		{ 1, 0, ECX, 3, "MONITOR" }, { 1, 0, ECX, 5, "VMX" }, { 1, 0, ECX, 6, "SMX" },
		{ 1, 0, ECX, 15, "PDCM" }, { 1, 0, ECX, 27, "OSXSAVE" }, { 1, 0, EDX, 21, "DS" },
		{ 7, 0, EBX, 2, "SGX" }, { 7, 0, EBX, 4, "HLE" }, { 7, 0, EBX, 11, "RTM" },
		{ 7, 0, EBX, 12, "RDT-M" }, { 7, 0, EBX, 15, "RDT-A" }, { 7, 0, EBX, 25, "PT" },
		{ 7, 0, ECX, 3, "PKU" }, { 7, 0, ECX, 4, "OSPKE" }, { 7, 0, ECX, 5, "WAITPKG" }, { 7, 0, ECX, 7, "CET_SS" },
		{ 7, 0, ECX, 16, "LA57" }, { 7, 0, ECX, 31, "PKS" }, { 7, 0, EDX, 20, "IBT" },
		{ 7, 0, EDX, 22, "AMX" }, { 7, 0, EDX, 26, "SPEC_CTRL" }, { 7, 0, EDX, 27, "STIBP" },
		{ 7, 0, EDX, 28, "L1D_FLUSH" }, { 7, 0, EDX, 29, "ARCH_CAPABILITIES" },
		{ 7, 0, EDX, 31, "SSBD" }, { 0xd, 1, EAX, 3, "XSAVES" }, { 0xd, 1, EAX, 4, "XFD" },
		{ 0x80000001, 0, ECX, 2, "SVM" }, { 0x80000001, 0, ECX, 10, "IBS" },
		{ 0x80000001, 0, ECX, 12, "SKINIT" }, { 0x80000001, 0, ECX, 23, "PERFCTR_CORE" },
		{ 0x80000001, 0, ECX, 29, "MWAITX" }, { 0x80000008, 0, EBX, 4, "RDPRU" },
		{ 0x80000008, 0, EBX, 12, "IBPB" }, { 0x80000008, 0, EBX, 25, "VIRT_SSBD" },
	};

	for (int vendor = 0; vendor < 2; vendor++) {
		host_is(vendor ? AMD : INTEL, ~0u);
		build();
		for (size_t i = 0; i < ARRAY_SIZE(never); i++)
			if (ask(never[i].leaf, never[i].subleaf)[never[i].reg] & B(never[i].bit))
				fail_msg("%s is shown", never[i].name);
		/* Whole leaves: MWAIT, PMU, SGX, PT, SVM, SEV. */
		static const u32 dark[] = { 5, 0xa, 0x8000000a, 0x8000001b, 0x8000001f };

		for (size_t i = 0; i < ARRAY_SIZE(dark); i++) {
			if (!vendor && dark[i] > 0x80000008)
				continue;
			ask(dark[i], 0);
			assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
		}
	}
}

/* What this module provides does not depend on the CPU below. */
static void what_a_bare_cpu_shows(void **state)
{
	host_is(AMD, 0);
	cpu.max_basic = 1;
	cpu.max_ext = 0x80000001;
	host.tsc_stable = false;
	build();
	assert_int_equal(ask(0, 0)[EAX], 0xb);
	assert_int_equal(ask(1, 0)[ECX], B(21) | B(24) | B(31));
	assert_int_equal(regs[EDX], B(9) | B(28));
	assert_int_equal(ask(6, 0)[EAX], B(2));
	assert_int_equal(ask(7, 0)[EBX], B(1));
	assert_int_equal(regs[ECX] | regs[EDX] | regs[EAX], 0);
	assert_int_equal(ask(0xd, 0)[EAX], 0);
	assert_int_equal(ask(0x40000001, 0)[EAX], PV);
	assert_int_equal(ask(0x80000000, 0)[EAX], 0x80000008);
	assert_int_equal(ask(0x80000007, 0)[EDX], 0);
	assert_int_equal(ask(0x80000008, 0)[EAX], 0x3024);
}

static void the_hypervisor_leaves(void **state)
{
	host_is(AMD, ~0u);
	build();
	assert_int_equal(ask(0x40000000, 0)[EAX], 0x40000001);
	assert_memory_equal(&regs[EBX], "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(ask(0x40000001, 0)[EAX], PV | B(24));
	assert_int_equal(regs[EDX], 0);
}

static void states_that_are_off_take_their_features_along(void **state)
{
	struct { u64 xcr0, want; bool avx, avx512; } t[] = {
		{ 0x2e7, 0xe7, true, true }, { 0x7, 0x7, true, false },
		{ 0x3, 0x3, false, false }, { 0x67, 0x7, true, false },
		{ 0xe3, 0x3, false, false }, { 0x5, 0x1, false, false },
		{ 0x203, 0x3, false, false }, { ~0ull, 0xe7, true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		host_is(AMD, ~0u);
		host.xcr0 = t[i].xcr0;
		build();
		assert_int_equal(ask(0xd, 0)[EAX], t[i].want);
		assert_int_equal(!!(ask(1, 0)[ECX] & B(28)), t[i].avx);
		assert_int_equal(!!(regs[ECX] & B(12)), t[i].avx);
		assert_int_equal(!!(ask(7, 0)[EBX] & B(5)), t[i].avx);
		assert_int_equal(!!(regs[EBX] & B(16)), t[i].avx512);
		assert_int_equal(!!(ask(0x80000001, 0)[ECX] & B(11)), t[i].avx);
		assert_true(ask(1, 0)[ECX] & B(26));
	}
	host_is(AMD, ~0u);
	host.xcr0 = 0;
	build();
	assert_int_equal(ask(1, 0)[ECX] & (B(26) | B(28)), 0);
	assert_int_equal(ask(0xd, 0)[EAX], 0);
	assert_int_equal(ask(0, 0)[EAX], 0xb);
}

static void widths(void **state)
{
	host_is(AMD, 0);
	host.phys_bits = 43;	/* memory encryption took some */
	build();
	assert_int_equal(ask(0x80000008, 0)[EAX], 0x302b);
	host.phys_bits = 99;
	build();
	assert_int_equal(ask(0x80000008, 0)[EAX], 0x3034);
	cpu.widths = 0xff;	/* nonsense */
	host.phys_bits = 0;
	build();
	assert_int_equal(ask(0x80000008, 0)[EAX], 0x3034);
}

/* A guest may have all of it. */
static void the_table_is_its_own_bound(void **state)
{
	host_is(AMD, ~0u);
	build();
	halo_cpuid_clamp(&table, &supported);
	assert_memory_equal(&table, &supported, sizeof(table));
}

static int set(const struct halo_cpuid_entry *entries, u32 count)
{
	int ret = halo_cpuid_set(&table, entries, count);

	if (ret)
		assert_int_equal(table.count, 0);
	return ret;
}

static void bad_tables_are_refused(void **state)
{
	static struct halo_cpuid_entry many[HALO_MAX_CPUID + 1];
	struct halo_cpuid_entry e[3] = { { .leaf = 0, .eax = 5 }, { .leaf = 1 } };

	assert_int_equal(set(e, 2), 0);
	assert_int_equal(set(e, 0), 0);
	assert_int_equal(set(many, HALO_MAX_CPUID + 1), -E2BIG);
	assert_int_equal(set(many, ~0u), -E2BIG);
	e[1].leaf = 0;
	assert_int_equal(set(e, 2), -EINVAL);		/* twice */
	e[1] = (struct halo_cpuid_entry){ .leaf = 1, .reserved = 1 };
	assert_int_equal(set(e, 2), -EINVAL);
	e[1] = (struct halo_cpuid_entry){ .leaf = 1, .flags = 2 };
	assert_int_equal(set(e, 2), -EINVAL);
	e[1] = (struct halo_cpuid_entry){ .leaf = 1, .subleaf = 1 };
	assert_int_equal(set(e, 2), -EINVAL);
	e[1] = (struct halo_cpuid_entry){ .leaf = 4, .flags = HALO_CPUID_SUBLEAF, .subleaf = 9 };
	assert_int_equal(set(e, 2), 0);
	e[2] = e[1];
	assert_int_equal(set(e, 3), -EINVAL);		/* twice */
	e[2].subleaf = 3;
	assert_int_equal(set(e, 3), 0);
	e[2] = (struct halo_cpuid_entry){ .leaf = 4 };
	assert_int_equal(set(e, 3), -EINVAL);		/* with and without subleaves */

	static const u32 beyond[] = { 64, 0x3fffffff, 0x40000040, 0x40000100, 0x80000040,
				      0xbfffffff, 0xc0000000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		e[1] = (struct halo_cpuid_entry){ .leaf = beyond[i] };
		assert_int_equal(set(e, 2), -EINVAL);
	}
}

static void order_does_not_matter(void **state)
{
	struct halo_cpuid_entry backwards[HALO_MAX_CPUID];
	u32 count;

	host_is(INTEL, ~0u);
	build();
	count = supported.count;
	for (u32 i = 0; i < count; i++)
		backwards[i] = supported.entries[count - 1 - i];
	assert_int_equal(set(backwards, count), 0);
	assert_memory_equal(&table, &supported, sizeof(table));
	for (u32 i = 0; i < count; i++) {
		const struct halo_cpuid_entry *e = &supported.entries[i];

		if (e->leaf == 1 || e->leaf == 7 || e->leaf == 0xd)
			continue;	/* these follow the vCPU's state */
		ask(e->leaf, e->subleaf);
		assert_memory_equal(regs, &e->eax, 16);
	}
}

static void a_full_table_is_found_in_full(void **state)
{
	static struct halo_cpuid_entry e[HALO_MAX_CPUID];

	for (u32 i = 0; i < HALO_MAX_CPUID; i++)
		e[i] = (struct halo_cpuid_entry){ .leaf = 4, .flags = HALO_CPUID_SUBLEAF,
						  .subleaf = i * 37 % 256, .eax = i * 37 % 256 };
	assert_int_equal(set(e, HALO_MAX_CPUID), 0);
	for (u32 i = 0; i < HALO_MAX_CPUID; i++)
		assert_int_equal(ask(4, i)[EAX], i);
	assert_int_equal(ask(4, 256)[EAX], 0);
	assert_int_equal(ask(4, ~0u)[EAX], 0);
}

/* Vendor rules for a leaf that is not there. */
static void out_of_range(void **state)
{
	static const u32 beyond[] = { 0xe, 0x3fffffff, 0x40000002, 0x7fffffff, 0x80000022,
				      0xbfffffff, 0xc0000000, 0xffffffff };

	for (int vendor = 0; vendor < 2; vendor++) {
		host_is(vendor ? AMD : INTEL, ~0u);
		build();
		dyn.xcr0 = 7;
		for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
			ask(beyond[i], 0);
			if (vendor) {
				assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
				continue;
			}
			/* The highest basic leaf, with its subleaf and the vCPU's state. */
			assert_int_equal(regs[EAX], 0xe7);
			assert_int_equal(regs[EBX], 832);
			assert_int_equal(ask(beyond[i], 2)[EAX], 256);
			assert_int_equal(ask(beyond[i], 77)[EAX], 0);
		}
		/* In range, and yet not there: zeros from either. */
		ask(3, 0);
		assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
		ask(0xc, 0);
		assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
	}
	/* A table of nothing. */
	assert_int_equal(set(NULL, 0), 0);
	assert_int_equal(ask(0, 0)[EAX], 0);
	assert_int_equal(ask(0x80000000, 0)[EAX], 0);
}

static void topology_past_its_last_level(void **state)
{
	host_is(AMD, 0);
	build();
	for (u32 i = 0; i < table.count; i++)
		if (table.entries[i].leaf == 0xb)
			table.entries[i].edx = 42;
	assert_int_equal(ask(0xb, 0)[ECX], 0x100);
	assert_int_equal(ask(0xb, 1)[ECX], 0x201);
	ask(0xb, 2);
	assert_int_equal(regs[EAX] | regs[EBX], 0);
	assert_int_equal(regs[ECX], 2);
	assert_int_equal(regs[EDX], 42);
	ask(0xb, 0x12345);
	assert_int_equal(regs[ECX], 0x45);
	assert_int_equal(regs[EDX], 42);
	/* No leaf 0x1f in the table: zeros, and no level either. */
	ask(0x1f, 3);
	assert_int_equal(regs[ECX] | regs[EDX], 0);
}

static void what_follows_the_vcpu(void **state)
{
	host_is(INTEL, ~0u);
	build();
	assert_int_equal(ask(1, 0)[ECX] & B(27), 0);
	assert_true(ask(1, 0)[EDX] & B(9));
	dyn.cr4 = B(18);
	assert_int_equal(ask(1, 0)[ECX] & B(27), B(27));
	dyn.cr4 = ~B(18);
	assert_int_equal(ask(1, 0)[ECX] & B(27), 0);
	dyn.apic_off = true;
	assert_int_equal(ask(1, 0)[EDX] & B(9), 0);
	assert_true(ask(0x80000001, 0)[EDX] & B(9));
	host_is(AMD, ~0u);
	build();
	assert_true(ask(0x80000001, 0)[EDX] & B(9));
	dyn.apic_off = true;
	assert_int_equal(ask(0x80000001, 0)[EDX] & B(9), 0);
}

static void sizes_of_the_xsave_area(void **state)
{
	static const struct { u64 xcr0; u32 standard, compacted; } t[] = {
		{ 0x1, 576, 576 }, { 0x3, 576, 576 }, { 0x7, 832, 832 },
		{ 0xe7, 2688, 832 + 64 + 512 + 1024 }, { 0x2e7, 2688, 832 + 64 + 512 + 1024 },
		/* state 6 begins at a multiple of 64 */
		{ 0x67, 1664, 832 + 64 + 512 }, { 0x21, 1152, 576 + 64 }, { 0x61, 1664, 576 + 64 + 512 },
		{ 0x41, 1664, 576 + 512 }, { ~0ull, 2688, 832 + 64 + 512 + 1024 },
	};

	host_is(INTEL, ~0u);
	build();
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		dyn.xcr0 = t[i].xcr0;
		assert_int_equal(ask(0xd, 0)[EBX], t[i].standard);
		assert_int_equal(regs[ECX], 2688);
		assert_int_equal(ask(0xd, 1)[EBX], t[i].compacted);
		assert_int_equal(regs[ECX] | regs[EDX], 0);
	}
	assert_int_equal(ask(0xd, 2)[EAX], 256);
	assert_int_equal(regs[ECX], 0);
	assert_int_equal(ask(0xd, 6)[ECX], 2);
	assert_int_equal(ask(0xd, 8)[EAX], 0);
	assert_int_equal(ask(0xd, 63)[EAX], 0);
}

static struct halo_cpuid_entry *entry(u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < table.count; i++)
		if (table.entries[i].leaf == leaf && table.entries[i].subleaf == subleaf)
			return &table.entries[i];
	fail_msg("no leaf %#x", leaf);
	return NULL;
}

static void the_clamp_takes_features(void **state)
{
	host_is(AMD, ~0u);
	build();
	entry(1, 0)->ecx |= B(5) | B(3);
	entry(7, 0)->edx |= B(26);
	entry(0x80000001, 0)->ecx |= B(2);
	entry(0xd, 1)->eax |= B(3);
	entry(0x40000001, 0)->eax |= B(4);
	entry(6, 0)->ecx = 3;
	halo_cpuid_clamp(&table, &supported);
	assert_memory_equal(&table, &supported, sizeof(table));
}

static void the_clamp_leaves_the_rest(void **state)
{
	static const struct { u32 leaf, subleaf; u8 reg; } free_regs[] = {
		{ 0, 0, EBX }, { 0, 0, EAX }, { 1, 0, EAX }, { 1, 0, EBX }, { 0xb, 0, EDX },
		{ 0xb, 1, EBX }, { 0x40000000, 0, EBX }, { 0x80000000, 0, EAX },
		{ 0x80000001, 0, EAX }, { 0x80000003, 0, ECX }, { 0x80000006, 0, ECX },
		{ 0x80000008, 0, ECX }, { 0x8000001e, 0, EBX }, { 0x8000001d, 0, EAX },
	};

	host_is(AMD, ~0u);
	build();
	for (size_t i = 0; i < ARRAY_SIZE(free_regs); i++)
		(&entry(free_regs[i].leaf, free_regs[i].subleaf)->eax)[free_regs[i].reg] = 0x12345678;
	halo_cpuid_clamp(&table, &supported);
	for (size_t i = 0; i < ARRAY_SIZE(free_regs); i++)
		assert_int_equal((&entry(free_regs[i].leaf, free_regs[i].subleaf)->eax)[free_regs[i].reg],
				 0x12345678);
	/* A smaller CPU stays one. */
	build();
	entry(1, 0)->ecx = 0;
	entry(7, 0)->ebx = B(7);
	halo_cpuid_clamp(&table, &supported);
	assert_int_equal(entry(1, 0)->ecx, 0);
	assert_int_equal(entry(7, 0)->ebx, B(7));
}

static void the_clamp_knows_no_unknown_leaf(void **state)
{
	static const u32 leaves[] = { 3, 8, 9, 0xf, 0x10, 0x12, 0x14, 0x15, 0x16, 0x19, 0x20, 0x3f,
		0x40000002, 0x4000003f, 0x80000009, 0x8000000a, 0x8000001b, 0x8000001c,
		0x8000001f, 0x80000020, 0x80000022, 0x8000003f };

	host_is(AMD, ~0u);
	build();
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct halo_cpuid_entry e = { .leaf = leaves[i], .eax = ~0u, .ebx = ~0u, .ecx = ~0u,
					      .edx = ~0u };

		assert_int_equal(set(&e, 1), 0);
		halo_cpuid_clamp(&table, &supported);
		assert_int_equal(e.leaf, table.entries[0].leaf);
		assert_int_equal(table.entries[0].eax | table.entries[0].ebx |
				 table.entries[0].ecx | table.entries[0].edx, 0);
	}
	/* A subleaf that the host's leaf does not have is as unknown. */
	struct halo_cpuid_entry e = { .leaf = 7, .flags = HALO_CPUID_SUBLEAF, .subleaf = 2,
				      .edx = ~0u };

	assert_int_equal(set(&e, 1), 0);
	halo_cpuid_clamp(&table, &supported);
	assert_int_equal(table.entries[0].edx, 0);
}

static void the_clamp_and_widths(void **state)
{
	static const struct { u32 wish, want; } t[] = {
		{ 0x3034, 0x3034 }, { 0x3028, 0x3028 }, { 0x3935, 0x3034 }, { 0x30ff, 0x3034 },
		{ 0x2024, 0x2024 }, { 0x3000, 0x3020 }, { 0x343034, 0x3034 },
	};

	host_is(AMD, ~0u);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		build();
		entry(0x80000008, 0)->eax = t[i].wish;
		halo_cpuid_clamp(&table, &supported);
		assert_int_equal(entry(0x80000008, 0)->eax, t[i].want);
	}
}

static void the_clamp_and_xsave(void **state)
{
	host_is(AMD, ~0u);
	build();
	/* Offsets are the hardware's, sizes are computed, whatever the user wrote. */
	entry(0xd, 2)->ebx = 4096;
	entry(0xd, 2)->eax = 1;
	entry(0xd, 0)->ecx = 1;
	halo_cpuid_clamp(&table, &supported);
	assert_memory_equal(&table, &supported, sizeof(table));

	/* Fewer states: a smaller area, and the other states' subleaves are dark. */
	entry(0xd, 0)->eax = 7;
	halo_cpuid_clamp(&table, &supported);
	assert_int_equal(ask(0xd, 0)[ECX], 832);
	assert_int_equal(ask(0xd, 2)[EAX], 256);
	assert_int_equal(ask(0xd, 7)[EAX], 0);
	entry(0xd, 0)->eax = 1;
	halo_cpuid_clamp(&table, &supported);
	assert_int_equal(ask(0xd, 0)[ECX], 576);
	assert_int_equal(ask(0xd, 1)[EAX], 7);
	assert_int_equal(ask(0xd, 2)[EAX], 0);

	/* No XSAVE: no leaf. */
	build();
	entry(1, 0)->ecx &= ~B(26);
	halo_cpuid_clamp(&table, &supported);
	for (u32 i = 0; i < 10; i++) {
		ask(0xd, i);
		assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
	}
}

static void caps_of_a_full_guest(void **state)
{
	struct halo_cpuid_caps caps;

	host_is(AMD, ~0u);
	build();
	halo_cpuid_caps(&table, &caps);
	assert_int_equal(caps.cr4, 0x370fff);
	assert_int_equal(caps.efer, 0x4d01);
	assert_int_equal(caps.xcr0, 0xe7);
	assert_int_equal(caps.maxphyaddr, 52);
	assert_int_equal(caps.has, 0x7fff);
	host_is(INTEL, ~0u);
	build();
	halo_cpuid_caps(&table, &caps);
	assert_int_equal(caps.has, 0x7fff);
}

static void caps_of_an_empty_guest(void **state)
{
	struct halo_cpuid_caps caps;

	assert_int_equal(set(NULL, 0), 0);
	halo_cpuid_caps(&table, &caps);
	assert_int_equal(caps.cr4, 0);
	assert_int_equal(caps.efer, 0);
	assert_int_equal(caps.xcr0, 0);
	assert_int_equal(caps.has, 0);
	assert_int_equal(caps.maxphyaddr, 36);
}

/* One bit of CPUID at a time, and what it opens. */
static void each_bit_opens_its_own(void **state)
{
	static const struct { u32 leaf; u8 reg, bit; u64 cr4, efer; u32 has; } t[] = {
		{ 1, EDX, 1, 3, 0, 0 }, { 1, EDX, 2, 8, 0, 0 }, { 1, EDX, 3, 0x10, 0, 0 },
		{ 1, EDX, 4, 4, 0, 0 }, { 1, EDX, 5, 0x100, 0, 0 }, { 1, EDX, 6, 0x20, 0, 0 },
		{ 1, EDX, 7, 0x40, 0, 0 }, { 1, EDX, 11, 0, 0, 0 },
		{ 1, EDX, 12, 0, 0, HALO_HAS_MTRR }, { 1, EDX, 13, 0x80, 0, 0 },
		{ 1, EDX, 14, 0, 0, 0 }, { 1, EDX, 16, 0, 0, 0 },
		{ 1, EDX, 24, 0x200, 0, 0 }, { 1, EDX, 25, 0x400, 0, 0 },
		{ 1, ECX, 17, 0x20000, 0, 0 }, { 1, ECX, 21, 0, 0, HALO_HAS_X2APIC },
		{ 1, ECX, 24, 0, 0, HALO_HAS_TSC_DEADLINE },
		{ 1, ECX, 26, 0x40000, 0, 0 },
		{ 1, ECX, 31, 0, 0, 0 },
		{ 7, EBX, 0, 0x10000, 0, 0 },
		{ 7, EBX, 1, 0, 0, HALO_HAS_TSC_ADJUST }, { 7, EBX, 7, 0x100000, 0, 0 },
		{ 7, EBX, 10, 0, 0, 0 }, { 7, EBX, 20, 0x200000, 0, 0 },
		{ 7, ECX, 2, 0x800, 0, 0 }, { 7, ECX, 3, 0, 0, 0 },
		{ 7, ECX, 16, 0, 0, 0 }, { 7, ECX, 22, 0, 0, HALO_HAS_RDPID },
		{ 0x80000001, EDX, 11, 0, 1, 0 },
		{ 0x80000001, EDX, 20, 0, 0x800, 0 },
		{ 0x80000001, EDX, 25, 0, 0x4000, 0 },
		{ 0x80000001, EDX, 26, 0, 0, HALO_HAS_GBPAGES },
		{ 0x80000001, EDX, 27, 0, 0, HALO_HAS_RDTSCP },
		{ 0x80000001, EDX, 29, 0, 0x500, 0 },
		/* and what opens nothing */
		{ 1, ECX, 5, 0, 0, 0 }, { 7, ECX, 7, 0, 0, 0 }, { 0x80000001, ECX, 2, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct halo_cpuid_entry e = { .leaf = t[i].leaf };
		struct halo_cpuid_caps caps;

		(&e.eax)[t[i].reg] = B(t[i].bit);
		assert_int_equal(set(&e, 1), 0);
		halo_cpuid_caps(&table, &caps);
		assert_int_equal(caps.cr4, t[i].cr4);
		assert_int_equal(caps.efer, t[i].efer);
		assert_int_equal(caps.has, t[i].has);
	}
}

static void xcr0_values(void **state)
{
	struct halo_cpuid_caps all = { .xcr0 = 0x2e7 }, avx = { .xcr0 = 7 }, none = { 0 };
	static const u64 good[] = { 1, 3, 7, 0xe7, 0x2e7, 0x201, 0x203, 0x207 };
	static const u64 bad[] = { 0, 2, 6, 5, 0x27, 0x67, 0xa7, 0xe3, 0xe1, 0x1f, 0x407, 0x200,
				   1ull << 63 | 1, ~0ull };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(halo_xcr0_valid(&all, good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(halo_xcr0_valid(&all, bad[i]));
	assert_true(halo_xcr0_valid(&avx, 7));
	assert_false(halo_xcr0_valid(&avx, 0xe7));
	assert_false(halo_xcr0_valid(&none, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_full_intel_shows),
		cmocka_unit_test(what_is_never_shown),
		cmocka_unit_test(what_a_bare_cpu_shows),
		cmocka_unit_test(the_hypervisor_leaves),
		cmocka_unit_test(states_that_are_off_take_their_features_along),
		cmocka_unit_test(widths),
		cmocka_unit_test(the_table_is_its_own_bound),
		cmocka_unit_test(bad_tables_are_refused),
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(a_full_table_is_found_in_full),
		cmocka_unit_test(out_of_range),
		cmocka_unit_test(topology_past_its_last_level),
		cmocka_unit_test(what_follows_the_vcpu),
		cmocka_unit_test(sizes_of_the_xsave_area),
		cmocka_unit_test(the_clamp_takes_features),
		cmocka_unit_test(the_clamp_leaves_the_rest),
		cmocka_unit_test(the_clamp_knows_no_unknown_leaf),
		cmocka_unit_test(the_clamp_and_widths),
		cmocka_unit_test(the_clamp_and_xsave),
		cmocka_unit_test(caps_of_a_full_guest),
		cmocka_unit_test(caps_of_an_empty_guest),
		cmocka_unit_test(each_bit_opens_its_own),
		cmocka_unit_test(xcr0_values),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
