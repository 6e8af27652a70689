/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory as the loaders see it: one run from 0 up to the hole for
 * devices below 4 GiB, and the rest from 4 GiB.
 */
#ifndef HALO_TOOL_GMEM_H
#define HALO_TOOL_GMEM_H

#include <string.h>

#include "types.h"

#define GMEM_HOLE	0xc0000000ull	/* devices live from here to 4 GiB */
#define GMEM_HIGH	(4 * GIB)

/* Where halo puts what a guest is handed at its entry. */
#define GPA_GDT		0x500ull
#define GPA_PVH_INFO	0x6000ull
#define GPA_ZERO_PAGE	0x7000ull
#define GPA_PAGE_TABLE	0x9000ull	/* six pages */
#define GPA_CMDLINE	0x20000ull
#define CMDLINE_ROOM	0x10000ull
#define GPA_MBI		0x90000ull
#define GPA_EBDA	0x9fc00ull
#define GPA_ACPI	0xe0000ull
#define ACPI_ROOM	0x20000ull
#define GPA_HIMEM	0x100000ull

/**
 * struct gmem - guest memory
 * @low: backing of GPA 0 and up
 * @low_bytes: its length, at most GMEM_HOLE
 * @high: backing of GPA 4 GiB and up, NULL if there is none
 * @high_bytes: its length
 */
struct gmem {
	u8 *low;
	u64 low_bytes;
	u8 *high;
	u64 high_bytes;
};

/**
 * gmem_at() - address of guest memory
 * @m: the memory
 * @gpa: guest-physical address
 * @len: bytes wanted from there
 *
 * Return: the address, or NULL if not all of it is memory.
 */
static inline u8 *gmem_at(const struct gmem *m, u64 gpa, u64 len)
{
	if (gpa < m->low_bytes)
		return len <= m->low_bytes - gpa ? m->low + gpa : NULL;
	if (gpa >= GMEM_HIGH && gpa - GMEM_HIGH < m->high_bytes)
		return len <= m->high_bytes - (gpa - GMEM_HIGH) ? m->high + (gpa - GMEM_HIGH) : NULL;
	return NULL;
}

/* Little-endian stores and loads at any alignment. */
static inline u16 get16(const u8 *p)
{
	return (u16)(p[0] | p[1] << 8);
}

static inline u32 get32(const u8 *p)
{
	return get16(p) | (u32)get16(p + 2) << 16;
}

static inline u64 get64(const u8 *p)
{
	return get32(p) | (u64)get32(p + 4) << 32;
}

static inline void put16(u8 *p, u16 v)
{
	p[0] = (u8)v;
	p[1] = (u8)(v >> 8);
}

static inline void put32(u8 *p, u32 v)
{
	put16(p, (u16)v);
	put16(p + 2, (u16)(v >> 16));
}

static inline void put64(u8 *p, u64 v)
{
	put32(p, (u32)v);
	put32(p + 4, (u32)(v >> 32));
}

#endif /* HALO_TOOL_GMEM_H */
