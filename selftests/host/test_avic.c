// SPDX-License-Identifier: GPL-2.0
/* sources: svm/avic_tables.c */
/*
 * AVIC by the manual (APM volume 2, 15.29): its tables' entries, its exits, its fields in
 * the VMCB.  No machine here has it, so this is all that is seen of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "avic_tables.h"
#include "vmcb.h"

#define FLAT	0xffffffffu
#define CLUSTER	0x0fffffffu

static u32 page[1024] __attribute__((aligned(4096)));
static u32 table[1024];
static u16 keys[AVIC_VCPUS];

static void vmcb_fields(void **state)
{
	assert_int_equal(SVM_AVIC_IPI, 0x401);
	assert_int_equal(SVM_AVIC_ACCESS, 0x402);
	assert_int_equal(SVM_AVIC_ENABLE, 0x80000000u);
	assert_int_equal(SVM_CLEAN_AVIC, 0x800);
	assert_int_equal(offsetof(struct svm_vmcb, avic_bar), 0x98);
	assert_int_equal(offsetof(struct svm_vmcb, avic_page), 0xe0);
	assert_int_equal(offsetof(struct svm_vmcb, avic_logical), 0xf0);
	assert_int_equal(offsetof(struct svm_vmcb, avic_physical), 0xf8);
	/* Index in bits 7:0 of the table's address, which is a page's. */
	assert_true(avic_physical_field(0x123456000ull, 63) == 0x12345603full);
	assert_true(avic_physical_field(0xfff0000000001fffull, 0x1ff) == 0x10ffull);
}

static void physical_entry(void **state)
{
	assert_true(avic_entry(0x7fff000, 5, false) == 0x8000000007fff000ull);
	assert_true(avic_entry(0x7fff000, 5, true) == 0xc000000007fff005ull);
	assert_true(avic_entry(0xfffffffffffff000ull, 255, true) == 0xc00ffffffffff0ffull);
	/* Eight bits hold no more: it is not said to run. */
	assert_true(avic_entry(0x1000, 256, true) == 0x8000000000001000ull);
	assert_true(avic_entry(0x1000, ~0u, true) == 0x8000000000001000ull);
}

static void erratum_1235(void **state)
{
	assert_false(avic_running_trusted(0x17));
	assert_false(avic_running_trusted(0x18));
	assert_true(avic_running_trusted(0x15));
	assert_true(avic_running_trusted(0x19));
	assert_true(avic_running_trusted(0x1a));
}

static void fill(bool whole)
{
	unsigned int i;

	memset(table, 0x5a, sizeof(table));
	assert_int_equal(avic_logical_fill(table, keys), whole);
	for (i = AVIC_LOGICAL_SLOTS; i < 1024; i++)
		assert_int_equal(table[i], 0x5a5a5a5a);
	for (i = 0; !whole && i < AVIC_LOGICAL_SLOTS; i++)
		assert_int_equal(table[i], 0);
}

static void logical_flat(void **state)
{
	unsigned int i;

	memset(keys, 0, sizeof(keys));
	for (i = 0; i < 8; i++)
		keys[i] = avic_key(1u << (31 - i), FLAT);
	/* No name: it is there, and can't be called. */
	keys[8] = avic_key(0, FLAT);
	fill(true);
	for (i = 0; i < 8; i++)
		assert_int_equal(table[7 - i], 0x80000000u | i);
	for (; i < AVIC_LOGICAL_SLOTS; i++)
		assert_int_equal(table[i], 0);
}

static void logical_cluster(void **state)
{
	unsigned int i;

	memset(keys, 0, sizeof(keys));
	for (i = 0; i < 60; i++)
		keys[i] = avic_key((i / 4) << 28 | 1u << (24 + i % 4), CLUSTER);
	fill(true);
	for (i = 0; i < 60; i++)
		assert_int_equal(table[i], 0x80000000u | i);
	/* Cluster 15 is everybody's. */
	keys[60] = avic_key(0xf1000000, CLUSTER);
	fill(false);
	/* A cluster's number alone calls nobody, but is not nothing. */
	keys[60] = avic_key(0x10000000, CLUSTER);
	fill(false);
}

static void logical_irregular(void **state)
{
	memset(keys, 0, sizeof(keys));
	fill(true);
	keys[3] = avic_key(0x06000000, FLAT);
	fill(false);
	keys[3] = avic_key(0x04000000, FLAT);
	fill(true);
	assert_int_equal(table[2], 0x80000003u);
	keys[63] = keys[3];
	fill(false);
	keys[63] = avic_key(0x08000000, CLUSTER);
	fill(false);
	/* The model of who has no name counts: it sends. */
	keys[63] = avic_key(0, CLUSTER);
	fill(false);
	keys[63] = 0;
	fill(true);
}

static void incomplete_ipi(void **state)
{
	const u64 physical = 0x0500000000004031ull, logical = 0x0500000000004831ull;
	const u64 others = 0x00000000000c4831ull;
	int off;
	u64 r;

	for (off = 0; off <= 1; off++) {
		for (r = 0; r < 8; r++) {
			bool sent = r == AVIC_IPI_NOT_RUNNING || r == AVIC_IPI_TARGET;

			assert_int_equal(avic_ipi_done(physical, r << 32 | 5, off), sent);
			assert_int_equal(avic_ipi_done(others, r << 32, off), sent);
			assert_int_equal(avic_ipi_done(logical, r << 32 | 0xff, off), sent && !off);
		}
		/* The index is no reason. */
		assert_false(avic_ipi_done(physical, 1, off));
	}
	assert_int_equal(AVIC_IPI_TYPE, 0);
	assert_int_equal(AVIC_IPI_NOT_RUNNING, 1);
	assert_int_equal(AVIC_IPI_TARGET, 2);
	assert_int_equal(AVIC_IPI_PAGE, 3);
	assert_int_equal(AVIC_IPI_VECTOR, 4);
}

/* Table 15-22, the writes that are traps; all other exits are faults. */
static void traps_and_faults(void **state)
{
	static const u16 traps[] = {
		0x020, 0x0b0, 0x0c0, 0x0d0, 0x0e0, 0x0f0, 0x280, 0x300, 0x320, 0x330, 0x340,
		0x350, 0x360, 0x370, 0x380, 0x3e0,
	};
	unsigned int i, n = 0;
	u32 offset;

	for (offset = 0; offset < 0x1000; offset += 16) {
		bool trap = false;

		for (i = 0; i < ARRAY_SIZE(traps); i++)
			trap |= traps[i] == offset;
		n += trap;
		assert_int_equal(avic_access_traps(1ull << 32 | offset), trap);
		assert_false(avic_access_traps(offset));
		/* Bits 3:0 and 31:12 say nothing. */
		assert_int_equal(avic_access_traps(0x1fffff00full | offset), trap);
	}
	assert_int_equal(n, ARRAY_SIZE(traps));
}

static void old_values_come_back(void **state)
{
	u32 keep[AVIC_KEEPS], offset;

	for (offset = 0; offset < 0x1000; offset += 16)
		page[offset / 4] = offset;
	avic_keep(page, keep);
	for (offset = 0; offset < 0x1000; offset += 16) {
		bool kept = offset >= 0x320 && offset <= 0x3e0;

		page[offset / 4] = ~offset;
		assert_int_equal(avic_written(page, keep, offset), ~offset);
		assert_int_equal(page[offset / 4], kept ? offset : ~offset);
	}
}

static void priority(void **state)
{
	unsigned int v;

	memset(page, 0, sizeof(page));
	page[0x80 / 4] = 0x37;
	assert_int_equal(avic_ppr(page), 0x37);
	for (v = 16; v < 256; v++) {
		page[0x100 / 4 + v / 32 * 4] |= 1u << v % 32;
		assert_int_equal(avic_ppr(page), (v & 0xf0) > 0x30 ? v & 0xf0 : 0x37);
	}
	page[0x80 / 4] = 0xf1;
	assert_int_equal(avic_ppr(page), 0xf1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmcb_fields),
		cmocka_unit_test(physical_entry),
		cmocka_unit_test(erratum_1235),
		cmocka_unit_test(logical_flat),
		cmocka_unit_test(logical_cluster),
		cmocka_unit_test(logical_irregular),
		cmocka_unit_test(incomplete_ipi),
		cmocka_unit_test(traps_and_faults),
		cmocka_unit_test(old_values_come_back),
		cmocka_unit_test(priority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
