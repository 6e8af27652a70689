// SPDX-License-Identifier: GPL-2.0
/*
 * What a PVH or a multiboot kernel is handed at its entry.
 *
 * PVH: struct hvm_start_info version 1, as Xen's public header lays it out.
 * Multiboot 1: the information structure of the specification, with the memory
 * map, the command line (image name first) and the initrd as module 0. One
 * thread, before the guest runs.
 */
#include <stdio.h>
#include <string.h>

#include "load.h"

#define PVH_MAGIC	0x336ec578u
#define PVH_MODLIST	(GPA_PVH_INFO + 0x80)
#define PVH_MEMMAP	(GPA_PVH_INFO + 0x100)

/**
 * pvh_setup() - write the PVH start info
 * @m: guest memory
 * @a: what is loaded
 * @b: gets @arg
 * @f: why not
 *
 * Return: 0.
 */
int pvh_setup(struct gmem *m, const struct load_args *a, struct boot_info *b,
	      struct load_fault *f)
{
	struct e820_entry e[E820_MAX];
	unsigned int i, n = e820_fill(m, e);
	u8 *p = m->low + GPA_PVH_INFO;
	u8 *map = m->low + PVH_MEMMAP;

	(void)f;
	put32(p, PVH_MAGIC);
	put32(p + 4, 1);
	put32(p + 12, b->initrd ? 1 : 0);
	put64(p + 16, b->initrd ? PVH_MODLIST : 0);
	put64(p + 24, GPA_CMDLINE);
	put64(p + 32, a->rsdp);
	put64(p + 40, PVH_MEMMAP);
	put32(p + 48, n);
	if (b->initrd) {
		put64(m->low + PVH_MODLIST, b->initrd);
		put64(m->low + PVH_MODLIST + 8, b->initrd_bytes);
	}
	for (i = 0; i < n; i++, map += 24) {
		put64(map, e[i].addr);
		put64(map + 8, e[i].size);
		put32(map + 16, e[i].type);
	}
	b->arg = GPA_PVH_INFO;
	return 0;
}

#define MBI_MODS	(GPA_MBI + 0x100)
#define MBI_MMAP	(GPA_MBI + 0x200)
#define MBI_CMDLINE	(GPA_MBI + 0x400)
#define MBI_CMDLINE_MAX	0x8000

/**
 * multiboot_setup() - write the multiboot information
 * @m: guest memory
 * @a: what is loaded
 * @b: gets @arg
 * @f: why not
 *
 * Return: 0, or -1 if the command line is too long.
 */
int multiboot_setup(struct gmem *m, const struct load_args *a, struct boot_info *b,
		    struct load_fault *f)
{
	struct e820_entry e[E820_MAX];
	unsigned int i, n = e820_fill(m, e);
	u8 *p = m->low + GPA_MBI;
	u8 *map = m->low + MBI_MMAP;
	int len;

	len = snprintf((char *)m->low + MBI_CMDLINE, MBI_CMDLINE_MAX, "%s%s%s", a->name,
		       *a->cmdline ? " " : "", a->cmdline);
	if (len < 0 || len >= MBI_CMDLINE_MAX)
		return load_refuse(f, false, "shorten --cmdline",
				   "its command line holds %u characters", MBI_CMDLINE_MAX - 1);
	put32(p, 1 << 0 | 1 << 2 | (b->initrd ? 1 << 3 : 0) | 1 << 6);
	put32(p + 4, (u32)(GPA_EBDA >> 10));
	put32(p + 8, (u32)((m->low_bytes - GPA_HIMEM) >> 10));
	put32(p + 16, (u32)MBI_CMDLINE);
	if (b->initrd) {
		put32(p + 20, 1);
		put32(p + 24, (u32)MBI_MODS);
		put32(m->low + MBI_MODS, (u32)b->initrd);
		put32(m->low + MBI_MODS + 4, (u32)(b->initrd + b->initrd_bytes));
		put32(m->low + MBI_MODS + 8, (u32)MBI_CMDLINE);
	}
	put32(p + 44, n * 24);
	put32(p + 48, (u32)MBI_MMAP);
	for (i = 0; i < n; i++, map += 24) {
		put32(map, 20);
		put64(map + 4, e[i].addr);
		put64(map + 12, e[i].size);
		put32(map + 20, e[i].type);
	}
	b->arg = GPA_MBI;
	return 0;
}
