// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/ring_client.c userspace-tool/cpuid_edit.c userspace-tool/acpi.c */
/*
 * The user's side of the rings, against a module played by the test and by
 * another thread; the CPUID table; the ACPI tables' shape.
 */
#include <pthread.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "acpi.h"
#include "cpuid_edit.h"
#include "ring_client.h"

#define N	8

struct fake {
	struct halo_ring *exits;
	struct halo_ring *replies;
	struct ring_client rc;
};

static u64 area(u64 entry)
{
	return sizeof(struct halo_ring) + N * entry;
}

static struct halo_ring *make(u64 entry)
{
	struct halo_ring *r = calloc(1, area(entry));

	r->entries = N;
	r->entries_offset = sizeof(*r);
	return r;
}

static int setup(void **state)
{
	struct fake *k = calloc(1, sizeof(*k));

	k->exits = make(sizeof(struct halo_exit));
	k->replies = make(sizeof(struct halo_reply));
	assert_int_equal(ring_client_init(&k->rc, k->exits, area(sizeof(struct halo_exit)),
					  k->replies, area(sizeof(struct halo_reply)), N), 0);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct fake *k = *state;

	free(k->exits);
	free(k->replies);
	free(k);
	return 0;
}

static void push(struct fake *k, u64 seq)
{
	struct halo_exit *x = (void *)(k->exits + 1);
	u32 t = k->exits->tail;

	x[t % N] = (struct halo_exit){ .seq = seq, .data = seq * 3 };
	__atomic_store_n(&k->exits->tail, t + 1, __ATOMIC_RELEASE);
}

static void test_ring_order(void **state)
{
	struct fake *k = *state;
	struct halo_exit x;
	u64 i;

	assert_int_equal(ring_next_exit(&k->rc, &x), 0);
	for (i = 1; i <= N; i++)
		push(k, i);
	for (i = 1; i <= N; i++) {
		assert_int_equal(ring_next_exit(&k->rc, &x), 1);
		assert_int_equal(x.seq, i);
		assert_int_equal(k->replies->head, i);
	}
	assert_int_equal(ring_next_exit(&k->rc, &x), 0);
}

static void test_ring_wraps(void **state)
{
	struct fake *k = *state;
	struct halo_exit x;

	k->exits->tail = UINT32_MAX - 2;
	k->replies->head = UINT32_MAX - 2;
	k->rc.head = UINT32_MAX - 2;
	for (u64 i = 1; i < 20; i++) {
		push(k, i);
		assert_int_equal(ring_next_exit(&k->rc, &x), 1);
		assert_int_equal(x.seq, i);
	}
}

static void test_ring_broken(void **state)
{
	struct fake *k = *state;
	struct halo_exit x;

	k->exits->tail = N + 1;
	assert_int_equal(ring_next_exit(&k->rc, &x), -EPROTO);
}

static void test_ring_replies(void **state)
{
	struct fake *k = *state;
	struct halo_reply r = { .seq = 7 }, *got = (void *)(k->replies + 1);
	unsigned int i;

	for (i = 0; i < N; i++)
		assert_int_equal(ring_put_reply(&k->rc, &r), 0);
	assert_int_equal(ring_put_reply(&k->rc, &r), -EPROTO);
	assert_int_equal(k->replies->tail, N);
	k->exits->head = 1;
	r.seq = 8;
	assert_int_equal(ring_put_reply(&k->rc, &r), 0);
	assert_int_equal(got[0].seq, 8);
}

static void test_ring_bad_areas(void **state)
{
	struct fake *k = *state;
	u64 xb = area(sizeof(struct halo_exit)), rb = area(sizeof(struct halo_reply));
	struct ring_client rc;

	assert_int_equal(ring_client_init(&rc, k->exits, xb - 1, k->replies, rb, N), -EPROTO);
	assert_int_equal(ring_client_init(&rc, k->exits, xb, k->replies, rb - 1, N), -EPROTO);
	assert_int_equal(ring_client_init(&rc, k->exits, xb, k->replies, rb, 0), -EPROTO);
	assert_int_equal(ring_client_init(&rc, k->exits, xb, k->replies, rb, 6), -EPROTO);
	k->exits->entries_offset = 8;
	assert_int_equal(ring_client_init(&rc, k->exits, xb, k->replies, rb, N), -EPROTO);
	k->exits->entries_offset = UINT32_MAX & ~7u;
	assert_int_equal(ring_client_init(&rc, k->exits, xb, k->replies, rb, N), -EPROTO);
}

#define ROUNDS	20000u

static void *module_thread(void *arg)
{
	struct fake *k = arg;
	struct halo_reply *got = (void *)(k->replies + 1);
	u64 bad = 0;

	for (u64 i = 1; i <= ROUNDS; i++) {
		push(k, i);
		while (__atomic_load_n(&k->replies->tail, __ATOMIC_ACQUIRE) != (u32)i)
			sched_yield();
		bad += got[(i - 1) % N].seq != i || got[(i - 1) % N].data != i * 3 + 1;
		__atomic_store_n(&k->exits->head, (u32)i, __ATOMIC_RELEASE);
	}
	return (void *)(uintptr_t)bad;
}

static void test_ring_two_threads(void **state)
{
	struct fake *k = *state;
	pthread_t t;
	void *bad;

	assert_int_equal(pthread_create(&t, NULL, module_thread, k), 0);
	for (u64 i = 1; i <= ROUNDS; i++) {
		struct halo_reply r = { 0 };
		struct halo_exit x;

		while (ring_next_exit(&k->rc, &x) == 0)
			sched_yield();
		r.seq = x.seq;
		r.data = x.data + 1;
		assert_int_equal(ring_put_reply(&k->rc, &r), 0);
	}
	pthread_join(t, &bad);
	assert_null(bad);
}

/* -- CPUID ---------------------------------------------------------------------- */

static const struct halo_cpuid_entry *leaf(const struct halo_cpuid_entry *e, u32 n, u32 l, u32 s)
{
	for (u32 i = 0; i < n; i++) {
		if (e[i].leaf == l && (!(e[i].flags & HALO_CPUID_SUBLEAF) || e[i].subleaf == s))
			return &e[i];
	}
	return NULL;
}

static void test_cpuid(void **state)
{
	struct halo_cpuid_entry e[16] = {
		{ .leaf = 0, .eax = 0xd },
		{ .leaf = 1, .ebx = 0x7f100800, .ecx = 1, .edx = 1u << 28 },
		{ .leaf = 0xb, .subleaf = 7, .flags = HALO_CPUID_SUBLEAF, .eax = 9 },
		{ .leaf = 0x80000008, .ecx = 0xf0ff, .eax = 0x3028 },
		{ .leaf = 0x8000001e, .eax = 99 },
		{ .leaf = 0x40000000, .eax = 0x40000001 },
		{ .leaf = 0x40000001, .eax = 0x01007aea },
	};
	const struct halo_cpuid_entry *x;
	u32 n = cpuid_edit(e, 7, 16, 2, 3);

	assert_int_equal(n, 9);
	x = leaf(e, n, 1, 0);
	assert_int_equal(x->ebx, 0x02030800);
	assert_true(x->ecx >> 31);
	assert_true(x->edx >> 28 & 1);
	x = leaf(e, n, 0xb, 0);
	assert_int_equal(x->eax, 0);
	assert_int_equal(x->ebx, 1);
	assert_int_equal(x->ecx, 0x100);
	assert_int_equal(x->edx, 2);
	x = leaf(e, n, 0xb, 1);
	assert_int_equal(x->eax, 2);
	assert_int_equal(x->ebx, 3);
	assert_int_equal(x->ecx, 0x201);
	assert_null(leaf(e, n, 0xb, 7));
	assert_int_equal(leaf(e, n, 0x80000008, 0)->ecx, 0x2002);
	assert_int_equal(leaf(e, n, 0x8000001e, 0)->eax, 2);
	assert_non_null(leaf(e, n, 0x40000000, 0));
	cpuid_hide_hints(e, n);
	assert_int_equal(leaf(e, n, 0x40000001, 0)->eax, 0x0100584a);
	/* A table that is full stays within its room. */
	assert_true(cpuid_edit(e, 8, 8, 0, 1) <= 8);
	assert_false(leaf(e, 8, 1, 0)->edx >> 28 & 1);
}

/* What Linux, old and new, takes a vCPU's place from says the same in every leaf. */
static void test_topology(void **state)
{
	static const u32 counts[] = { 1, 2, 3, 4, 5, 8, 17, 63, 64 };

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		u32 cpus = counts[c], id, shift;

		for (id = 0; id < cpus; id++) {
			struct halo_cpuid_entry e[16] = {
				{ .leaf = 0, .eax = 0x1f },
				{ .leaf = 1 },
				{ .leaf = 4, .subleaf = 0, .flags = HALO_CPUID_SUBLEAF, .eax = 0x121 },
				{ .leaf = 4, .subleaf = 3, .flags = HALO_CPUID_SUBLEAF, .eax = 0x163 },
				{ .leaf = 4, .subleaf = 4, .flags = HALO_CPUID_SUBLEAF },
				{ .leaf = 0x80000001 },
				{ .leaf = 0x80000008 },
				{ .leaf = 0x8000001d, .subleaf = 3, .flags = HALO_CPUID_SUBLEAF, .eax = 0x163 },
				{ .leaf = 0x8000001e },
			};
			u32 n = cpuid_edit(e, 9, 16, id, cpus);
			const struct halo_cpuid_entry *x = leaf(e, n, 1, 0);

			assert_int_equal(x->ebx >> 24, id);
			assert_int_equal(x->ebx >> 16 & 0xff, cpus);
			assert_int_equal(x->edx >> 28 & 1, cpus > 1);
			shift = leaf(e, n, 0xb, 1)->eax;
			assert_int_equal(id >> shift, 0);
			assert_true(shift == 0 || cpus > 1u << (shift - 1));
			for (u32 s = 0; s < 3; s++) {
				x = leaf(e, n, 0xb, s);
				assert_int_equal(x->edx, id);
				assert_int_equal(x->ecx & 0xff, s);
				assert_int_equal(x->ecx >> 8, s < 2 ? s + 1 : 0);
				assert_int_equal(x->ebx, s == 0 ? 1 : s == 1 ? cpus : 0);
			}
			/* Cores of the package; the last cache is theirs, the first one's own. */
			assert_int_equal((leaf(e, n, 4, 0)->eax >> 26) + 1, cpus);
			assert_int_equal(leaf(e, n, 4, 0)->eax >> 14 & 0xfff, 0);
			assert_int_equal((leaf(e, n, 4, 3)->eax >> 14 & 0xfff) + 1, cpus);
			assert_int_equal(leaf(e, n, 4, 4)->eax, 0);
			assert_int_equal(leaf(e, n, 0x80000001, 0)->ecx >> 1 & 1, cpus > 1);
			x = leaf(e, n, 0x80000008, 0);
			assert_int_equal((x->ecx & 0xff) + 1, cpus);
			assert_int_equal(x->ecx >> 12 & 0xf, shift);
			assert_int_equal((leaf(e, n, 0x8000001d, 3)->eax >> 14 & 0xfff) + 1, cpus);
			assert_int_equal(leaf(e, n, 0x8000001e, 0)->eax, id);
			assert_int_equal(leaf(e, n, 0x8000001e, 0)->ebx, id);
		}
	}
}

/* -- ACPI ----------------------------------------------------------------------- */

static u8 sum(const u8 *p, u32 n)
{
	u8 s = 0;

	while (n--)
		s += *p++;
	return s;
}

static void test_acpi(void **state)
{
	struct gmem m = { .low = calloc(1, 2 * MIB), .low_bytes = 2 * MIB };
	u8 dsdt[36] = "DSDT", *r, *x, *t;
	u64 rsdp;
	u32 i, n;

	put32(dsdt + 4, 36);
	rsdp = acpi_build(&m, 5, dsdt, 36);
	assert_int_equal(rsdp & 15, 0);
	assert_in_range(rsdp, 0xe0000, 0xfffff);
	r = m.low + rsdp;
	assert_memory_equal(r, "RSD PTR ", 8);
	assert_int_equal(sum(r, 20), 0);
	assert_int_equal(sum(r, 36), 0);
	x = m.low + get64(r + 24);
	assert_memory_equal(x, "XSDT", 4);
	n = (get32(x + 4) - 36) / 8;
	assert_int_equal(n, 2);
	for (i = 0; i < n; i++) {
		t = m.low + get64(x + 36 + 8 * i);
		assert_int_equal(sum(t, get32(t + 4)), 0);
	}
	t = m.low + get64(x + 36);
	assert_memory_equal(t, "FACP", 4);
	assert_int_equal(get32(t + 56), 0x600);
	assert_int_equal(get32(t + 64), 0x604);
	assert_int_equal(get32(t + 76), 0x608);
	assert_memory_equal(m.low + get32(t + 36), "FACS", 4);
	assert_memory_equal(m.low + get32(t + 40), "DSDT", 4);
	t = m.low + get64(x + 44);
	assert_memory_equal(t, "APIC", 4);
	for (i = 44, n = 0; i < get32(t + 4); i += t[i + 1])
		n += t[i] == 0;
	assert_int_equal(i, get32(t + 4));
	assert_int_equal(n, 5);
	/* The most vCPUs that a table may ever have to name. */
	assert_int_not_equal(acpi_build(&m, 1024, dsdt, 36), 0);
	free(m.low);
}

/* Each vCPU once, by the number that is also its APIC ID; x2APIC entries from 255 on. */
static void test_madt(void **state)
{
	static const u32 counts[] = { 1, 2, 64, 255, 256, 300 };
	struct gmem m = { .low = calloc(1, 2 * MIB), .low_bytes = 2 * MIB };
	u8 dsdt[36] = "DSDT", *t;
	u32 i, n, ioapics, nmi;

	put32(dsdt + 4, 36);
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		memset(m.low, 0, 2 * MIB);
		t = m.low + get64(m.low + acpi_build(&m, counts[c], dsdt, 36) + 24);
		t = m.low + get64(t + 44);
		assert_int_equal(sum(t, get32(t + 4)), 0);
		assert_int_equal(get32(t + 36), 0xfee00000);
		for (i = 44, n = ioapics = nmi = 0; i < get32(t + 4); i += t[i + 1]) {
			u8 *e = t + i;

			if (e[0] == 0) {
				assert_true(n < 255);
				assert_int_equal(e[1], 8);
				assert_int_equal(e[2], n);
				assert_int_equal(e[3], n++);
				assert_int_equal(get32(e + 4), 1);
			} else if (e[0] == 9) {
				assert_true(n >= 255);
				assert_int_equal(e[1], 16);
				assert_int_equal(get32(e + 4), n);
				assert_int_equal(get32(e + 8), 1);
				assert_int_equal(get32(e + 12), n++);
			}
			ioapics += e[0] == 1 && get32(e + 4) == 0xfec00000;
			nmi += e[0] == 4 && e[2] == 0xff && e[5] == 1;
		}
		assert_int_equal(i, get32(t + 4));
		assert_int_equal(n, counts[c]);
		assert_int_equal(ioapics, 1);
		assert_int_equal(nmi, 1);
	}
	free(m.low);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_ring_order), T(test_ring_wraps), T(test_ring_broken), T(test_ring_replies),
		T(test_ring_bad_areas), T(test_ring_two_threads),
		cmocka_unit_test(test_cpuid), cmocka_unit_test(test_topology),
		cmocka_unit_test(test_acpi), cmocka_unit_test(test_madt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
