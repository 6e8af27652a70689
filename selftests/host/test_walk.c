// SPDX-License-Identifier: GPL-2.0
/* sources: module/walk.c */
/*
 * The guest page-table walk: four paging modes, every right, every reason to
 * fault, against tables built by hand in a small memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "walk.h"

#define MEM	(64 * 1024)

#define P	1ull
#define W	2ull
#define U	4ull
#define A	0x20ull
#define D	0x40ull
#define PS	0x80ull
#define NX	(1ull << 63)

#define PG	(1ull << 31)
#define WP	(1ull << 16)
#define PSE	(1ull << 4)
#define PAE	(1ull << 5)
#define LA57	(1ull << 12)
#define SMEP	(1ull << 20)
#define SMAP	(1ull << 21)
#define LMA	(1ull << 10)
#define NXE	(1ull << 11)
#define AC	(1ull << 18)

static union {
	u8 b[MEM];
	u64 q[MEM / 8];
	u32 d[MEM / 4];
} mem;

static unsigned int reads, swaps;
static void (*meddle)(void);	/* another CPU of the guest, just before a swap */

static int mem_read(void *opaque, u64 gpa, void *out, unsigned int bytes)
{
	reads++;
	assert_true(bytes == 4 || bytes == 8);
	assert_int_equal(gpa % bytes, 0);
	if (gpa > MEM - bytes)
		return -EFAULT;
	memcpy(out, mem.b + gpa, bytes);
	return 0;
}

static int mem_cmpxchg(void *opaque, u64 gpa, u64 old, u64 new, unsigned int bytes)
{
	swaps++;
	assert_true(gpa <= MEM - bytes);
	if (meddle)
		meddle();
	if (memcmp(mem.b + gpa, &old, bytes))
		return -EAGAIN;
	memcpy(mem.b + gpa, &new, bytes);
	return 0;
}

static struct halo_walk_ctx c;
static struct halo_walk_result r;

static int walk(u64 gva, unsigned int access)
{
	memset(&r, 0xee, sizeof(r));
	return halo_walk(&c, gva, access, &r);
}

/* Tables at 0x1000 (top) 0x2000 0x3000 0x4000 0x5000. */
static void clean(u64 cr4, u64 efer)
{
	memset(&mem, 0, sizeof(mem));
	meddle = NULL;
	reads = swaps = 0;
	c = (struct halo_walk_ctx){ .cr0 = PG | WP | 1, .cr3 = 0x1000, .cr4 = cr4, .efer = efer,
				    .maxphyaddr = 40, .gbpages = true, .read = mem_read };
}

/* An address whose index differs at every level: 1, 2, 3, 4. */
#define GVA	((1ull << 39) | (2ull << 30) | (3ull << 21) | (4ull << 12) | 0x123)

static void long_mode(u64 pml4e, u64 pdpte, u64 pde, u64 pte)
{
	clean(PAE, LMA | NXE);
	mem.q[0x1000 / 8 + 1] = pml4e | 0x2000;
	mem.q[0x2000 / 8 + 2] = pdpte | (pdpte & PS ? 0 : 0x3000);
	mem.q[0x3000 / 8 + 3] = pde | (pde & PS ? 0 : 0x4000);
	mem.q[0x4000 / 8 + 4] = pte;
}

#define RWU	(P | W | U)

static void without_paging(void **state)
{
	clean(0, 0);
	c.cr0 = 1;
	assert_int_equal(walk(0x1fffff123ull, HALO_WALK_WRITE), 0);
	assert_int_equal(r.gpa, 0xfffff123);
	assert_int_equal(reads, 0);
}

static void four_levels(void **state)
{
	long_mode(RWU, RWU, RWU, RWU | 0xabcde000);
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xabcde123);
	assert_int_equal(reads, 4);

	long_mode(RWU, RWU, RWU | PS | 0xabc00000, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xabc00000 + (GVA & 0x1fffff));

	long_mode(RWU, RWU | PS | 0x7c0000000, 0, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0x7c0000000 + (GVA & 0x3fffffff));
	/* A PAT bit in a large page is no part of its address. */
	long_mode(RWU, RWU, RWU | PS | 0x1000 | 0xabc00000, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xabc00000 + (GVA & 0x1fffff));
}

static void the_upper_half(void **state)
{
	clean(PAE, LMA | NXE);
	mem.q[0x1000 / 8 + 511] = RWU | 0x2000;
	mem.q[0x2000 / 8 + 511] = RWU | 0x3000;
	mem.q[0x3000 / 8 + 511] = RWU | 0x4000;
	mem.q[0x4000 / 8 + 511] = RWU | 0x9000 | NX;
	assert_int_equal(walk(~0ull, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0x9fff);
	assert_int_equal(walk(~0ull, HALO_WALK_FETCH), -EFAULT);
}

static void five_levels(void **state)
{
	u64 gva = GVA | (5ull << 48);

	long_mode(RWU, RWU, RWU, RWU | 0xabcde000);
	c.cr4 |= LA57;
	c.cr3 = 0x5000;
	mem.q[0x5000 / 8 + 5] = RWU | 0x1000;
	assert_int_equal(walk(gva, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xabcde123);
	assert_int_equal(reads, 5);
	assert_int_equal(walk(1ull << 56, HALO_WALK_READ), -EINVAL);
	c.cr4 &= ~LA57;
	assert_int_equal(walk(gva, HALO_WALK_READ), -EINVAL);
	/* PS in a PML5E or a PML4E is reserved. */
	c.cr4 |= LA57;
	mem.q[0x5000 / 8 + 5] |= PS;
	assert_int_equal(walk(gva, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);
}

static void canonical_addresses(void **state)
{
	assert_true(halo_canonical(0, 48));
	assert_true(halo_canonical(0x7fffffffffff, 48));
	assert_false(halo_canonical(0x800000000000, 48));
	assert_true(halo_canonical(0xffff800000000000, 48));
	assert_false(halo_canonical(0xffff7fffffffffff, 48));
	assert_true(halo_canonical(0x00ffffffffffffff, 57));
	assert_false(halo_canonical(0x0100000000000000, 57));
	assert_true(halo_canonical(0xff00000000000000, 57));

	clean(PAE, LMA);
	assert_int_equal(walk(0x800000000000, HALO_WALK_READ), -EINVAL);
	assert_int_equal(reads, 0);
	/* With five levels it is; outside long mode the upper half does not count. */
	c.cr4 |= LA57;
	assert_int_equal(walk(0x800000000000, HALO_WALK_READ), -EFAULT);
	assert_int_equal(walk(1ull << 56, HALO_WALK_READ), -EINVAL);
	c.efer = 0;
	assert_int_equal(walk(1ull << 56, HALO_WALK_READ), -EFAULT);
}

static void two_levels(void **state)
{
	clean(0, 0);
	mem.d[0x1000 / 4 + 3] = RWU | 0x2000;
	mem.d[0x2000 / 4 + 5] = RWU | 0xfffff000;
	/* The upper half of a linear address does not exist. */
	assert_int_equal(walk(0x700000000 | 3 << 22 | 5 << 12 | 0x456, HALO_WALK_WRITE), 0);
	assert_int_equal(r.gpa, 0xfffff456);

	/* Without PSE, bit 7 of a PDE is nothing. */
	mem.d[0x1000 / 4 + 3] |= PS;
	assert_int_equal(walk(3 << 22 | 5 << 12, HALO_WALK_WRITE), 0);
	assert_int_equal(r.gpa, 0xfffff000);
	c.cr4 = PSE;
	mem.d[0x1000 / 4 + 3] = RWU | PS | 0x00c00000;
	assert_int_equal(walk(3 << 22 | 5 << 12, HALO_WALK_WRITE), 0);
	assert_int_equal(r.gpa, 0x00c05000);
}

static void pse36(void **state)
{
	clean(PSE, 0);
	mem.d[0x1000 / 4] = RWU | PS | 0x00c00000 | 0xff << 13;
	assert_int_equal(walk(0x123456, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xff00c00000ull + 0x123456);
	mem.d[0x1000 / 4] |= 1 << 21;
	assert_int_equal(walk(0, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);

	c.maxphyaddr = 36;
	mem.d[0x1000 / 4] = RWU | PS | 0xf << 13;
	assert_int_equal(walk(0, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xf00000000ull);
	mem.d[0x1000 / 4] = RWU | PS | 0x10 << 13;
	assert_int_equal(walk(0, HALO_WALK_READ), -EFAULT);
	c.maxphyaddr = 32;
	mem.d[0x1000 / 4] = RWU | PS | 1 << 13;
	assert_int_equal(walk(0, HALO_WALK_READ), -EFAULT);
	c.maxphyaddr = 52;	/* 40 is all there is room for */
	mem.d[0x1000 / 4] = RWU | PS | 0xff << 13;
	assert_int_equal(walk(0, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0xff00000000ull);
}

static void pae(void **state)
{
	clean(PAE, NXE);
	c.cr3 = 0x1fe0;		/* the PDPT is aligned to 32 bytes, not to a page */
	mem.q[0x1fe0 / 8 + 2] = P | 0x2000;
	mem.q[0x2000 / 8 + 3] = RWU | 0x3000;
	mem.q[0x3000 / 8 + 4] = RWU | 0xff12345000 | NX;
	assert_int_equal(walk(2u << 30 | 3 << 21 | 4 << 12 | 7, HALO_WALK_WRITE | HALO_WALK_USER), 0);
	assert_int_equal(r.gpa, 0xff12345007);
	assert_int_equal(walk(2u << 30 | 3 << 21 | 4 << 12 | 7, HALO_WALK_FETCH), -EFAULT);
	mem.q[0x2000 / 8 + 3] = RWU | PS | 0xff00000000;
	assert_int_equal(walk(2u << 30 | 3 << 21 | 4 << 12 | 7, HALO_WALK_WRITE | HALO_WALK_USER), 0);
	assert_int_equal(r.gpa, 0xff00004007);

	/* Reserved in a PDPTE: rights, PS, NX; above, everything to bit 62. */
	static const u64 bad[] = { W, U, A, D, PS, 1ull << 8, 1ull << 40, 1ull << 52, NX };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		mem.q[0x1fe0 / 8 + 2] = P | 0x2000 | bad[i];
		assert_int_equal(walk(2u << 30, HALO_WALK_READ), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);
	}
	mem.q[0x1fe0 / 8 + 2] = P | 0x2000 | 0xe00;
	mem.q[0x2000 / 8 + 3] = RWU | 0x3000;
	mem.q[0x3000 / 8 + 4] = RWU | 1ull << 52;
	assert_int_equal(walk(2u << 30 | 3 << 21 | 4 << 12, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);
}

static void not_present_at_any_level(void **state)
{
	for (int i = 0; i < 4; i++) {
		long_mode(i == 0 ? W : RWU, i == 1 ? W : RWU, i == 2 ? W : RWU, i == 3 ? W : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
		assert_int_equal(r.error_code, 0);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE | HALO_WALK_USER), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_W | HALO_PF_U);
		assert_int_equal(walk(GVA, HALO_WALK_FETCH), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_I);
		/* Not present comes before reserved. */
		long_mode(i == 0 ? NX >> 20 : RWU, i == 1 ? NX >> 20 : RWU, i == 2 ? NX >> 20 : RWU,
			  i == 3 ? NX >> 20 : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
		assert_int_equal(r.error_code, 0);
	}
}

static void reserved_bits_at_any_level(void **state)
{
	const u64 high = 1ull << 40;

	for (int i = 0; i < 4; i++) {
		long_mode(i == 0 ? RWU | high : RWU, i == 1 ? RWU | high : RWU,
			  i == 2 ? RWU | high : RWU, i == 3 ? RWU | high : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD | HALO_PF_W);
		c.maxphyaddr = 41;
		assert_int_equal(walk(GVA, HALO_WALK_WRITE), i == 3 ? 0 : -ENXIO);
		/* NX is reserved unless EFER.NXE says otherwise. */
		long_mode(i == 0 ? RWU | NX : RWU, i == 1 ? RWU | NX : RWU,
			  i == 2 ? RWU | NX : RWU, i == 3 ? RWU | NX : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
		c.efer = LMA;
		assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);
	}
	long_mode(RWU | PS, RWU, RWU, RWU);
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);
	long_mode(RWU, RWU | PS | 1 << 13, 0, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	long_mode(RWU, RWU | PS | 1 << 29, 0, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	long_mode(RWU, RWU, RWU | PS | 1 << 13, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	long_mode(RWU, RWU, RWU | PS | 1 << 20, 0);
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	/* No 1 GiB pages: PS is reserved there too. */
	long_mode(RWU, RWU | PS, 0, 0);
	c.gbpages = false;
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_RSVD);
	/* Bits 52 to 62 are the software's. */
	long_mode(RWU | 0x7ffull << 52, RWU | 0x7ffull << 52, RWU | 0x7ffull << 52,
		  RWU | 0x7ffull << 52);
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
}

/* Each right must be granted at every level. */
static void rights_add_up(void **state)
{
	for (int i = 0; i < 4; i++) {
		long_mode(i == 0 ? P | U : RWU, i == 1 ? P | U : RWU, i == 2 ? P | U : RWU,
			  i == 3 ? P | U : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_W);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE | HALO_WALK_USER), -EFAULT);
		c.cr0 &= ~WP;
		assert_int_equal(walk(GVA, HALO_WALK_WRITE), 0);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE | HALO_WALK_USER), -EFAULT);

		long_mode(i == 0 ? P | W : RWU, i == 1 ? P | W : RWU, i == 2 ? P | W : RWU,
			  i == 3 ? P | W : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE), 0);
		assert_int_equal(walk(GVA, HALO_WALK_USER), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_U);

		long_mode(i == 0 ? RWU | NX : RWU, i == 1 ? RWU | NX : RWU, i == 2 ? RWU | NX : RWU,
			  i == 3 ? RWU | NX : RWU);
		assert_int_equal(walk(GVA, HALO_WALK_WRITE), 0);
		assert_int_equal(walk(GVA, HALO_WALK_FETCH), -EFAULT);
		assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_I);
	}
}

static void smep_and_smap(void **state)
{
	long_mode(RWU, RWU, RWU, RWU);
	assert_int_equal(walk(GVA, HALO_WALK_FETCH), 0);
	c.cr4 |= SMEP | SMAP;
	assert_int_equal(walk(GVA, HALO_WALK_FETCH), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_I);
	assert_int_equal(walk(GVA, HALO_WALK_FETCH | HALO_WALK_USER), 0);

	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P);
	assert_int_equal(walk(GVA, HALO_WALK_WRITE), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_P | HALO_PF_W);
	assert_int_equal(walk(GVA, HALO_WALK_WRITE | HALO_WALK_USER), 0);
	c.rflags = AC;
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);

	/* A supervisor page is none of their business. */
	long_mode(RWU, RWU, RWU, P | W);
	c.cr4 |= SMEP | SMAP;
	assert_int_equal(walk(GVA, HALO_WALK_WRITE), 0);
	assert_int_equal(walk(GVA, HALO_WALK_FETCH), 0);
	/* SMEP alone makes the I bit, also where there is no NX. */
	clean(SMEP, 0);
	assert_int_equal(walk(0, HALO_WALK_FETCH), -EFAULT);
	assert_int_equal(r.error_code, HALO_PF_I);
	clean(0, NXE);
	assert_int_equal(walk(0, HALO_WALK_FETCH), -EFAULT);
	assert_int_equal(r.error_code, 0);
}

static void accessed_and_dirty(void **state)
{
	long_mode(RWU, RWU, RWU, RWU);
	assert_int_equal(walk(GVA, HALO_WALK_WRITE), 0);
	assert_int_equal(mem.q[0x4000 / 8 + 4], RWU);	/* not asked for */

	c.update = mem_cmpxchg;
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(mem.q[0x1000 / 8 + 1], RWU | A | 0x2000);
	assert_int_equal(mem.q[0x3000 / 8 + 3], RWU | A | 0x4000);
	assert_int_equal(mem.q[0x4000 / 8 + 4], RWU | A);
	assert_int_equal(swaps, 4);
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(swaps, 4);
	assert_int_equal(walk(GVA, HALO_WALK_WRITE), 0);
	assert_int_equal(swaps, 5);
	assert_int_equal(mem.q[0x4000 / 8 + 4], RWU | A | D);
	assert_int_equal(mem.q[0x3000 / 8 + 3], RWU | A | 0x4000);

	/* A fault marks nothing. */
	long_mode(RWU, RWU, RWU, P | U);
	c.update = mem_cmpxchg;
	assert_int_equal(walk(GVA, HALO_WALK_WRITE), -EFAULT);
	assert_int_equal(swaps, 0);

	/* Neither does a PDPTE in PAE mode. */
	clean(PAE, 0);
	c.update = mem_cmpxchg;
	mem.q[0x1000 / 8] = P | 0x2000;
	mem.q[0x2000 / 8] = RWU | PS;
	assert_int_equal(walk(0, HALO_WALK_WRITE), 0);
	assert_int_equal(mem.q[0x1000 / 8], P | 0x2000);
	assert_int_equal(mem.q[0x2000 / 8], RWU | PS | A | D);

	/* An entry of four bytes does not touch its neighbour. */
	clean(0, 0);
	c.update = mem_cmpxchg;
	mem.d[0x1000 / 4] = RWU | 0x2000;
	mem.d[0x2000 / 4] = RWU;
	mem.d[0x2000 / 4 + 1] = 0x12345678;
	assert_int_equal(walk(0, HALO_WALK_WRITE), 0);
	assert_int_equal(mem.d[0x2000 / 4], RWU | A | D);
	assert_int_equal(mem.d[0x2000 / 4 + 1], 0x12345678);
}

static void revoke(void)
{
	mem.q[0x4000 / 8 + 4] = 0;
}

static void churn(void)
{
	static u64 n;

	mem.q[0x4000 / 8 + 4] = RWU | (++n & 0xff) << 12;
}

static void tables_that_change_underneath(void **state)
{
	long_mode(RWU | A, RWU | A, RWU | A, RWU);
	c.update = mem_cmpxchg;
	meddle = revoke;
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EFAULT);
	assert_int_equal(r.error_code, 0);

	long_mode(RWU | A, RWU | A, RWU | A, RWU);
	c.update = mem_cmpxchg;
	meddle = churn;
	assert_int_equal(walk(GVA, HALO_WALK_READ), -EAGAIN);
}

static void tables_that_are_not_there(void **state)
{
	long_mode(RWU, RWU, RWU, RWU);
	mem.q[0x2000 / 8 + 2] = RWU | 0x10000000;
	assert_int_equal(walk(GVA, HALO_WALK_READ), -ENXIO);
	c.cr3 = 0xfffffff000;
	assert_int_equal(walk(GVA, HALO_WALK_READ), -ENXIO);
	clean(0, 0);
	c.cr3 = 0xfffff000;
	assert_int_equal(walk(0, HALO_WALK_READ), -ENXIO);
}

static void how_much_of_cr3_counts(void **state)
{
	static const u64 high[] = { 1ull << 32, 1ull << 39 };

	for (size_t i = 0; i < ARRAY_SIZE(high); i++) {
		long_mode(RWU, RWU, RWU, RWU);
		c.cr3 |= high[i];
		assert_int_equal(walk(GVA, HALO_WALK_READ), -ENXIO);
		clean(0, 0);
		mem.d[0x1000 / 4] = W;
		c.cr3 |= high[i] | 0x18;
		assert_int_equal(walk(0, HALO_WALK_READ), -EFAULT);
		clean(PAE, 0);
		c.cr3 |= high[i] | 0x18;
		assert_int_equal(walk(0, HALO_WALK_READ), -EFAULT);
	}
}

static void cr3_may_hold_a_pcid(void **state)
{
	long_mode(RWU, RWU, RWU, RWU | 0x7000);
	c.cr3 |= 0xfff;
	assert_int_equal(walk(GVA, HALO_WALK_READ), 0);
	assert_int_equal(r.gpa, 0x7123);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_paging),
		cmocka_unit_test(four_levels),
		cmocka_unit_test(the_upper_half),
		cmocka_unit_test(five_levels),
		cmocka_unit_test(canonical_addresses),
		cmocka_unit_test(two_levels),
		cmocka_unit_test(pse36),
		cmocka_unit_test(pae),
		cmocka_unit_test(not_present_at_any_level),
		cmocka_unit_test(reserved_bits_at_any_level),
		cmocka_unit_test(rights_add_up),
		cmocka_unit_test(smep_and_smap),
		cmocka_unit_test(accessed_and_dirty),
		cmocka_unit_test(tables_that_change_underneath),
		cmocka_unit_test(tables_that_are_not_there),
		cmocka_unit_test(how_much_of_cr3_counts),
		cmocka_unit_test(cr3_may_hold_a_pcid),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
