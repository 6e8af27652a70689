// SPDX-License-Identifier: GPL-2.0
/*
 * The registers with which each boot protocol is entered.
 *
 * Linux 64-bit: long mode on an identity map of 4 GiB in 2 MiB pages, CS = 0x10,
 * DS = 0x18 from a GDT that is really in memory, RSI = zero page. The others:
 * flat protected mode without paging. Written into the STATE area (or any
 * struct halo_state) before the first RUN; the caller's thread only.
 */
#include <string.h>

#include <linux/halo.h>

#include "load.h"

#define CR0_PE		(1ull << 0)
#define CR0_ET		(1ull << 4)
#define CR0_NE		(1ull << 5)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)

#define PTE_P_RW	0x3ull
#define PTE_LARGE	0x80ull

#define ATTR_CODE64	0xa9b	/* present, execute/read, accessed, L, G */
#define ATTR_CODE32	0xc9b	/* the same, D instead of L */
#define ATTR_DATA	0xc93	/* present, read/write, accessed, D, G */
#define ATTR_TSS	0x8b	/* present, busy 32/64-bit TSS */
#define GDT_TSS		0x20

static void write_gdt(const struct gmem *m, bool code64)
{
	u8 *p = m->low + GPA_GDT;

	memset(p, 0, 48);
	put64(p + 0x10, code64 ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull);
	put64(p + 0x18, 0x00cf93000000ffffull);
	put64(p + GDT_TSS, 0x00008b0000000067ull);
}

static void write_page_tables(const struct gmem *m)
{
	u8 *pml4 = m->low + GPA_PAGE_TABLE, *pdpt = pml4 + PAGE_BYTES;
	u64 i;

	memset(pml4, 0, 2 * PAGE_BYTES);
	put64(pml4, (GPA_PAGE_TABLE + PAGE_BYTES) | PTE_P_RW);
	for (i = 0; i < 4; i++)
		put64(pdpt + 8 * i, (GPA_PAGE_TABLE + (2 + i) * PAGE_BYTES) | PTE_P_RW);
	for (i = 0; i < 4 * 512; i++)
		put64(pdpt + PAGE_BYTES + 8 * i, i << 21 | PTE_LARGE | PTE_P_RW);
}

static void set_segments(struct halo_state *s, bool code64)
{
	static const int data[] = {
		HALO_SEG_ES, HALO_SEG_SS, HALO_SEG_DS, HALO_SEG_FS, HALO_SEG_GS
	};
	size_t i;

	s->seg[HALO_SEG_CS] = (struct halo_segment){
		.limit = 0xffffffff, .selector = 0x10,
		.attrib = code64 ? ATTR_CODE64 : ATTR_CODE32,
	};
	for (i = 0; i < ARRAY_SIZE(data); i++)
		s->seg[data[i]] = (struct halo_segment){
			.limit = 0xffffffff, .selector = 0x18, .attrib = ATTR_DATA,
		};
	s->seg[HALO_SEG_TR] = (struct halo_segment){
		.limit = 0x67, .selector = GDT_TSS, .attrib = ATTR_TSS,
	};
	s->seg[HALO_SEG_LDTR] = (struct halo_segment){ .attrib = HALO_SEG_UNUSABLE };
}

/**
 * boot_state() - set the bootstrap vCPU's registers for a loaded kernel
 * @m: guest memory; gets a GDT and, for a 64-bit entry, page tables
 * @b: what is loaded
 * @s: the state, with the commit bits set
 */
void boot_state(const struct gmem *m, const struct boot_info *b, struct halo_state *s)
{
	bool long_mode = b->proto == BOOT_LINUX64 || b->proto == BOOT_ELF64;

	memset(s->gpr, 0, sizeof(s->gpr));
	memset(s->seg, 0, sizeof(s->seg));
	memset(&s->gdt, 0, sizeof(s->gdt));
	memset(&s->idt, 0, sizeof(s->idt));
	set_segments(s, long_mode);
	s->rip = b->entry;
	s->rflags = 2;
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	s->cr2 = 0;
	s->cr3 = 0;
	s->cr4 = 0;
	s->cr8 = 0;
	s->xcr0 = 1;
	s->efer = 0;
	/* A multiboot kernel may not count on a GDT, and may be loaded over ours. */
	if (b->proto != BOOT_MULTIBOOT) {
		write_gdt(m, long_mode);
		s->gdt.base = GPA_GDT;
		s->gdt.limit = 0x2f;
	}
	if (long_mode) {
		write_page_tables(m);
		s->cr0 |= CR0_PG;
		s->cr3 = GPA_PAGE_TABLE;
		s->cr4 = CR4_PAE;
		s->efer = EFER_LME | EFER_LMA;
	}
	if (b->proto == BOOT_MULTIBOOT)
		s->gpr[HALO_RAX] = 0x2badb002;
	if (b->proto == BOOT_MULTIBOOT || b->proto == BOOT_PVH)
		s->gpr[HALO_RBX] = b->arg;
	else
		s->gpr[HALO_RSI] = b->arg;
	s->commit = HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS;
}
