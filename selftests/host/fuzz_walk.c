// SPDX-License-Identifier: GPL-2.0
/* sources: module/walk.c */
/*
 * The walk under random tables, held against a second one written the long way:
 * a paragraph for each paging mode, bits as literal numbers from the manual.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "walk.h"

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)

#define PAGES	8
static u8 mem[PAGES * 4096];

static int mem_read(void *opaque, u64 gpa, void *out, unsigned int bytes)
{
	CHECK(bytes == 4 || bytes == 8);
	CHECK(gpa < 1ull << 52 && gpa % bytes == 0);
	if (gpa > sizeof(mem) - bytes)
		return -EFAULT;
	memcpy(out, mem + gpa, bytes);
	return 0;
}

static unsigned int swaps;

static int mem_cmpxchg(void *opaque, u64 gpa, u64 old, u64 new, unsigned int bytes)
{
	CHECK(gpa <= sizeof(mem) - bytes);
	CHECK(old != new);
	/* Nothing but accessed and dirty, and nothing is ever cleared. */
	CHECK(((old ^ new) & ~0x60ull) == 0 && (old & ~new) == 0);
	/* Tables that map themselves: one entry may be met on two levels. */
	if (memcmp(mem + gpa, &old, bytes))
		return -EAGAIN;
	memcpy(mem + gpa, &new, bytes);
	swaps++;
	return 0;
}

struct oracle {
	int ret;
	u64 gpa;
	u32 code;
};

static bool bit(u64 v, int n)
{
	return v >> n & 1;
}

static u64 entry8(u64 table, u64 index, bool *there)
{
	u64 v = 0;

	*there = table + index * 8 + 8 <= sizeof(mem);
	if (*there)
		memcpy(&v, mem + table + index * 8, 8);
	return v;
}

static struct oracle oracle(const struct halo_walk_ctx *c, u64 gva, unsigned int access)
{
	bool write = access & HALO_WALK_WRITE, fetch = access & HALO_WALK_FETCH;
	bool user = access & HALO_WALK_USER;
	bool pae = bit(c->cr4, 5), lng = bit(c->efer, 10), nxe = bit(c->efer, 11);
	bool rw = true, us = true, nx = false, there;
	u64 phys = (1ull << c->maxphyaddr) - 1, e = 0, table;
	struct oracle o = { 0, 0, 0 };
	int shift;

	if (!bit(c->cr0, 31)) {
		o.gpa = gva & 0xffffffff;
		return o;
	}
	o.code = write << 1 | user << 2 |
		 (fetch && (bit(c->cr4, 20) || (nxe && (pae || lng)))) << 4;

	if (lng) {
		int top = bit(c->cr4, 12) ? 48 : 39;
		u64 sign = gva >> (top + 8);

		if (sign && sign != ~0ull >> (top + 8))
			goto invalid;
		table = c->cr3 & phys & ~0xfffull;
		for (shift = top; ; shift -= 9) {
			e = entry8(table, gva >> shift & 511, &there);
			if (!there)
				goto missing;
			if (!bit(e, 0))
				goto fault;
			if (e & ~phys & 0x000fffffffffffffull)
				goto reserved;
			if (bit(e, 63) && !nxe)
				goto reserved;
			if (bit(e, 7) && (shift >= 39 || (shift == 30 && !c->gbpages)))
				goto reserved;
			rw &= bit(e, 1);
			us &= bit(e, 2);
			nx |= bit(e, 63);
			table = e & phys & ~0xfffull;
			if (shift == 12 || bit(e, 7))
				break;
		}
		if (shift == 30 && (e & 0x3fffe000))
			goto reserved;
		if (shift == 21 && (e & 0x1fe000))
			goto reserved;
		o.gpa = (e & phys & ~0xfffull & ~((1ull << shift) - 1)) |
			(gva & ((1ull << shift) - 1));
	} else if (pae) {
		gva &= 0xffffffff;
		e = entry8(c->cr3 & 0xffffffe0, gva >> 30, &there);
		if (!there)
			goto missing;
		if (!bit(e, 0))
			goto fault;
		if (e & (~phys | 0x1e6))
			goto reserved;
		table = e & phys & ~0xfffull;
		for (shift = 21; ; shift = 12) {
			e = entry8(table, gva >> shift & 511, &there);
			if (!there)
				goto missing;
			if (!bit(e, 0))
				goto fault;
			if (e & ~phys & 0x7fffffffffffffffull)
				goto reserved;
			if (bit(e, 63) && !nxe)
				goto reserved;
			rw &= bit(e, 1);
			us &= bit(e, 2);
			nx |= bit(e, 63);
			table = e & phys & ~0xfffull;
			if (shift == 12 || bit(e, 7))
				break;
		}
		if (shift == 21 && (e & 0x1fe000))
			goto reserved;
		o.gpa = (table & ~((1ull << shift) - 1)) | (gva & ((1ull << shift) - 1));
	} else {
		u32 pde, pte;

		gva &= 0xffffffff;
		table = (c->cr3 & 0xfffff000) + (gva >> 22) * 4;
		if (table + 4 > sizeof(mem))
			goto missing;
		memcpy(&pde, mem + table, 4);
		if (!bit(pde, 0))
			goto fault;
		rw = bit(pde, 1);
		us = bit(pde, 2);
		if (bit(pde, 7) && bit(c->cr4, 4)) {
			u64 high = pde >> 13 & 0x1ff;
			int bits = c->maxphyaddr > 40 ? 8 : c->maxphyaddr - 32;

			if (high >> bits)
				goto reserved;
			o.gpa = high << 32 | (pde & 0xffc00000) | (gva & 0x3fffff);
		} else {
			table = (pde & 0xfffff000) + (gva >> 12 & 1023) * 4;
			if (table + 4 > sizeof(mem))
				goto missing;
			memcpy(&pte, mem + table, 4);
			if (!bit(pte, 0))
				goto fault;
			rw &= bit(pte, 1);
			us &= bit(pte, 2);
			o.gpa = (pte & 0xfffff000) | (gva & 0xfff);
		}
	}

	o.code |= 1;
	if (user && !us)
		goto fault;
	if (fetch && (nx || (!user && us && bit(c->cr4, 20))))
		goto fault;
	if (!fetch && !user && us && bit(c->cr4, 21) && !bit(c->rflags, 18))
		goto fault;
	if (write && !rw && (user || bit(c->cr0, 16)))
		goto fault;
	return o;
reserved:
	o.code |= 9;
fault:
	o.ret = -EFAULT;
	return o;
missing:
	o.ret = -ENXIO;
	return o;
invalid:
	o.ret = -EINVAL;
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int kinds[] = { HALO_WALK_READ, HALO_WALK_WRITE, HALO_WALK_FETCH,
					      HALO_WALK_READ };
	struct halo_walk_ctx c = { .read = mem_read };
	struct halo_walk_result r;
	unsigned int access, i;
	struct oracle o;
	u64 gva;
	int ret;

	if (size < 24)
		return 0;
	c.cr0 = (u64)(data[0] % 16 != 0) << 31 | (u64)bit(data[0], 4) << 16;
	c.cr3 = 0x1000 | (data[1] & 0x7f) << 3 | (data[1] & 0x80 ? 0x4000 : 0);
	c.cr4 = (u64)bit(data[2], 0) << 4 | (u64)bit(data[2], 1) << 5 | (u64)bit(data[2], 2) << 12 |
		(u64)bit(data[2], 3) << 20 | (u64)bit(data[2], 4) << 21;
	c.efer = (u64)bit(data[2], 6) << 11;
	if (bit(data[2], 7)) {
		c.efer |= 1 << 10;
		c.cr4 |= 1 << 5;
	}
	c.maxphyaddr = 32 + data[3] % 21;
	c.gbpages = bit(data[4], 0);
	c.rflags = (u64)bit(data[4], 1) << 18;
	access = kinds[data[4] >> 2 & 3] | (bit(data[4], 4) ? HALO_WALK_USER : 0);
	memcpy(&gva, data + 8, 8);
	/* Mostly canonical. */
	if (data[6] % 16)
		gva = (u64)((s64)(gva << 16) >> 16);

	/* The rest is the tables: whole entries, repeated over all of memory. */
	data += 16;
	size -= 16;
	for (i = 0; i < sizeof(mem) / 8; i++) {
		u64 e;

		memcpy(&e, data + (i * 8 % (size / 8 * 8)), 8);
		/* Lead somewhere, mostly. */
		if (e & 0x200)
			e &= 0xfff000000000ffffull;
		if (!(e & 0x400))
			e = (e & ~0xffff000ull) | (e & 0x7000);
		if (e & 0x800)
			e |= 1 | 1ull << 32;
		memcpy(mem + i * 8, &e, 8);
	}

	o = oracle(&c, gva, access);
	memset(&r, 0xaa, sizeof(r));
	ret = halo_walk(&c, gva, access, &r);
	CHECK(ret == o.ret);
	if (!ret) {
		CHECK(r.gpa == o.gpa);
		CHECK(r.gpa < 1ull << c.maxphyaddr);
	} else if (ret == -EFAULT) {
		CHECK(r.error_code == o.code);
	}

	/*
	 * Once more with marking: same answer, and then nothing is left to mark. Not in
	 * PAE mode: there the bits are reserved in a PDPTE, which may be a PDE as well.
	 */
	if ((c.cr4 & 0x20) && !(c.efer & 0x400))
		return 0;
	c.update = mem_cmpxchg;
	CHECK(halo_walk(&c, gva, access, &r) == o.ret);
	if (!o.ret) {
		unsigned int before = swaps;

		CHECK(r.gpa == o.gpa);
		CHECK(halo_walk(&c, gva, access, &r) == 0 && swaps == before);
	}
	return 0;
}
