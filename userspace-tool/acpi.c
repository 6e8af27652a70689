// SPDX-License-Identifier: GPL-2.0
/*
 * The ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, MADT and a DSDT from iasl.
 *
 * They lie where a BIOS's would, in 0xe0000-0xfffff, so that a guest that is not
 * told finds them by scanning. Field offsets follow ACPI 4.0. One thread, before
 * the guest runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "devices.h"

#define HEADER		36
#define FADT_BYTES	244
#define FACS_BYTES	64
#define SCI_IRQ		9
#define APIC_ID_MAX	254

struct builder {
	u8 *base;		/* of GPA_ACPI */
	u32 used;
	u32 tables[8];		/* GPAs, for RSDT and XSDT */
	unsigned int n;
};

static void checksum(u8 *p, u32 len, unsigned int at)
{
	u8 sum = 0;
	u32 i;

	p[at] = 0;
	for (i = 0; i < len; i++)
		sum += p[i];
	p[at] = (u8)-sum;
}

static u8 *take(struct builder *b, u32 bytes, u32 align, u32 *gpa)
{
	u32 at = (b->used + align - 1) & ~(align - 1);

	if (at + bytes > ACPI_ROOM)
		return NULL;
	b->used = at + bytes;
	*gpa = (u32)GPA_ACPI + at;
	memset(b->base + at, 0, bytes);
	return b->base + at;
}

static void header(u8 *p, const char *sig, u32 len, u8 revision)
{
	memcpy(p, sig, 4);
	put32(p + 4, len);
	p[8] = revision;
	memcpy(p + 10, "HALO  ", 6);
	memcpy(p + 16, "HALOVM  ", 8);
	put32(p + 24, 1);
	memcpy(p + 28, "HALO", 4);
	put32(p + 32, 1);
}

/* Generic address structure in I/O space. */
static void gas(u8 *p, u8 bits, u8 access, u64 addr)
{
	p[0] = 1;
	p[1] = bits;
	p[3] = access;
	put64(p + 4, addr);
}

static void fill_fadt(u8 *p, u32 facs, u32 dsdt)
{
	header(p, "FACP", FADT_BYTES, 4);
	put32(p + 36, facs);
	put32(p + 40, dsdt);
	put16(p + 46, SCI_IRQ);
	put32(p + 56, PM_BASE);			/* PM1a event */
	put32(p + 64, PM_BASE + 4);		/* PM1a control */
	put32(p + 76, PM_BASE + 8);		/* PM timer */
	p[88] = 4;
	p[89] = 2;
	p[91] = 4;
	put16(p + 96, 0xffff);			/* no C2 */
	put16(p + 98, 0xffff);			/* no C3 */
	p[108] = 0x32;				/* century in CMOS */
	/* Legacy devices, no VGA; no 8042 bit, so that nobody probes for a keyboard. */
	put16(p + 109, 1 << 0 | 1 << 2);
	/* WBINVD, C1, no sleep button, RTC not in fixed space, 32-bit timer, reset. */
	put32(p + 112, 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10);
	gas(p + 116, 8, 1, 0xcf9);
	p[128] = 0x06;
	put64(p + 132, facs);
	put64(p + 140, dsdt);
	gas(p + 148, 32, 2, PM_BASE);
	gas(p + 172, 16, 2, PM_BASE + 4);
	gas(p + 208, 32, 3, PM_BASE + 8);
	checksum(p, FADT_BYTES, 9);
}

static u8 *madt_override(u8 *p, u8 irq, u32 gsi, u16 flags)
{
	p[0] = 2;
	p[1] = 10;
	p[3] = irq;
	put32(p + 4, gsi);
	put16(p + 8, flags);
	return p + 10;
}

static u32 madt_bytes(unsigned int cpus)
{
	unsigned int small = cpus > APIC_ID_MAX + 1 ? APIC_ID_MAX + 1 : cpus;

	return HEADER + 8 + small * 8 + (cpus - small) * 16 + 12 + 2 * 10 + 6;
}

static void fill_madt(u8 *p, unsigned int cpus)
{
	u32 len = madt_bytes(cpus);
	u8 *q = p + HEADER + 8;
	unsigned int i;

	header(p, "APIC", len, 3);
	put32(p + HEADER, 0xfee00000);
	put32(p + HEADER + 4, 1);		/* there are 8259s */
	for (i = 0; i < cpus; i++) {
		if (i > APIC_ID_MAX) {
			q[0] = 9;
			q[1] = 16;
			put32(q + 4, i);
			put32(q + 8, 1);
			put32(q + 12, i);
			q += 16;
			continue;
		}
		q[1] = 8;
		q[2] = (u8)i;
		q[3] = (u8)i;
		put32(q + 4, 1);
		q += 8;
	}
	q[0] = 1;
	q[1] = 12;
	put32(q + 4, (u32)IOAPIC_GPA);
	q += 12;
	q = madt_override(q, 0, 2, 0);
	q = madt_override(q, SCI_IRQ, SCI_IRQ, 0x0d);	/* level, active high */
	q[0] = 4;
	q[1] = 6;
	q[2] = 0xff;
	q[5] = 1;
	checksum(p, len, 9);
}

static u32 add_root(struct builder *b, const char *sig, u32 width)
{
	u32 gpa, len = HEADER + b->n * width;
	u8 *p = take(b, len, 16, &gpa);
	unsigned int i;

	if (!p)
		return 0;
	header(p, sig, len, 1);
	for (i = 0; i < b->n; i++)
		put32(p + HEADER + i * width, b->tables[i]);
	checksum(p, len, 9);
	return gpa;
}

/**
 * acpi_build() - write the tables
 * @m: guest memory
 * @cpus: number of vCPUs
 * @dsdt: the DSDT
 * @dsdt_bytes: its length
 *
 * Return: GPA of the RSDP, 0 if there is no room.
 */
u64 acpi_build(struct gmem *m, unsigned int cpus, const u8 *dsdt, u32 dsdt_bytes)
{
	struct builder b = { .base = gmem_at(m, GPA_ACPI, ACPI_ROOM) };
	u32 rsdp, facs, dsdt_at, fadt, madt, rsdt, xsdt;
	u8 *r, *p;

	if (!b.base)
		return 0;
	r = take(&b, 36, 16, &rsdp);
	p = take(&b, FACS_BYTES, 64, &facs);
	if (!r || !p)
		return 0;
	memcpy(p, "FACS", 4);
	put32(p + 4, FACS_BYTES);
	p[32] = 1;
	p = take(&b, dsdt_bytes, 16, &dsdt_at);
	if (!p)
		return 0;
	memcpy(p, dsdt, dsdt_bytes);
	p = take(&b, FADT_BYTES, 16, &fadt);
	if (!p)
		return 0;
	fill_fadt(p, facs, dsdt_at);
	b.tables[b.n++] = fadt;
	p = take(&b, madt_bytes(cpus), 16, &madt);
	if (!p)
		return 0;
	fill_madt(p, cpus);
	b.tables[b.n++] = madt;
	rsdt = add_root(&b, "RSDT", 4);
	xsdt = add_root(&b, "XSDT", 8);
	if (!rsdt || !xsdt)
		return 0;
	memcpy(r, "RSD PTR ", 8);
	memcpy(r + 9, "HALO  ", 6);
	r[15] = 2;
	put32(r + 16, rsdt);
	put32(r + 20, 36);
	put64(r + 24, xsdt);
	checksum(r, 20, 8);
	checksum(r, 36, 32);
	return rsdp;
}

/**
 * acpi_waking_vector() - where a guest wants to be resumed from S3
 * @m: guest memory; the guest may have written anything over the tables
 * @rsdp: what acpi_build() returned
 *
 * Return: real-mode address, 0 if there is none.
 */
u32 acpi_waking_vector(const struct gmem *m, u64 rsdp)
{
	const u8 *p = gmem_at(m, rsdp, 36);

	p = p ? gmem_at(m, get32(p + 16), HEADER + 4) : NULL;
	p = p ? gmem_at(m, get32(p + HEADER), FADT_BYTES) : NULL;
	p = p ? gmem_at(m, get32(p + 36), FACS_BYTES) : NULL;
	return p && !memcmp(p, "FACS", 4) ? get32(p + 12) : 0;
}

static int dump_one(const char *dir, const u8 *p, u32 len)
{
	char path[4096];
	FILE *f;
	int r;

	snprintf(path, sizeof(path), "%s/%.4s.dat", dir, (const char *)p);
	f = fopen(path, "wb");
	if (!f)
		return -errno;
	r = fwrite(p, 1, len, f) == len ? 0 : -EIO;
	return fclose(f) ? -EIO : r;
}

/**
 * acpi_dump() - write the tables into files, for iasl -d
 * @dir: an existing directory
 * @cpus: number of vCPUs
 * @dsdt: the DSDT
 * @dsdt_bytes: its length
 *
 * Return: 0 or a negative errno.
 */
int acpi_dump(const char *dir, unsigned int cpus, const u8 *dsdt, u32 dsdt_bytes)
{
	struct gmem m = { .low = calloc(1, 2 * MIB), .low_bytes = 2 * MIB };
	u64 rsdp = 0;
	int r = -ENOMEM;
	u32 at;

	if (m.low)
		rsdp = acpi_build(&m, cpus, dsdt, dsdt_bytes);
	if (rsdp)
		r = 0;
	/* Every table starts at a multiple of 16 with a signature and its length. */
	for (at = GPA_ACPI; !r && rsdp && at < GPA_HIMEM; at += 16) {
		static const char *const sigs[] = { "FACS", "DSDT", "FACP", "APIC", "RSDT", "XSDT" };
		size_t i;

		for (i = 0; i < ARRAY_SIZE(sigs) && !r; i++) {
			if (!memcmp(m.low + at, sigs[i], 4))
				r = dump_one(dir, m.low + at, get32(m.low + at + 4));
		}
	}
	free(m.low);
	return r;
}
