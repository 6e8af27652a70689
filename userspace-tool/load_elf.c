// SPDX-License-Identifier: GPL-2.0
/*
 * ELF kernels: multiboot 1, PVH, and a plain 64-bit vmlinux, tried in this order.
 *
 * PT_LOAD segments go to their physical addresses; what a segment has in memory
 * but not in the file stays zero, as guest memory starts out. The bytes that halo
 * itself owes the guest (tables, command line) have fixed places below 1 MiB, and
 * an image that wants one of them is refused rather than corrupted. One thread,
 * before the guest runs.
 */
#include <string.h>

#include "load.h"

#define PT_LOAD		1
#define PT_NOTE		4
#define EM_386		3
#define EM_X86_64	62
#define XEN_ELFNOTE_PHYS32_ENTRY	18
#define MULTIBOOT_MAGIC	0x1badb002u
#define MULTIBOOT_SCAN	8192
#define INITRD_LIMIT	0x80000000ull

struct elf {
	const u8 *p;
	u64 len;
	bool is64;
	u64 entry;
	u64 phoff;
	u32 phnum;
	u32 phentsize;
};

struct segment {
	u32 type;
	u64 offset;
	u64 vaddr;
	u64 paddr;
	u64 filesz;
	u64 memsz;
	u64 align;
};

/**
 * is_elf() - does a file look like an ELF file
 * @p: its bytes
 * @len: how many
 *
 * Return: true if it has the magic.
 */
bool is_elf(const u8 *p, u64 len)
{
	return len >= 4 && !memcmp(p, "\177ELF", 4);
}

/**
 * find_multiboot() - look for a multiboot 1 header
 * @p: the file's bytes
 * @len: how many
 * @flags: gets the header's flags
 *
 * Return: true if there is one.
 */
bool find_multiboot(const u8 *p, u64 len, u32 *flags)
{
	u64 i, end = len < MULTIBOOT_SCAN ? len : MULTIBOOT_SCAN;

	for (i = 0; i + 12 <= end; i += 4) {
		if (get32(p + i) != MULTIBOOT_MAGIC)
			continue;
		if (MULTIBOOT_MAGIC + get32(p + i + 4) + get32(p + i + 8) != 0)
			continue;
		*flags = get32(p + i + 4);
		return true;
	}
	return false;
}

static int open_elf(const u8 *p, u64 len, struct elf *e, struct load_fault *f)
{
	u16 machine;

	memset(e, 0, sizeof(*e));
	e->p = p;
	e->len = len;
	if (len < 52 || (p[4] == 2 && len < 64))
		return load_refuse(f, false, "get an undamaged copy", "ELF header cut short");
	e->is64 = p[4] == 2;
	machine = get16(p + 18);
	if (p[5] != 1 || (machine != EM_386 && machine != EM_X86_64))
		return load_refuse(f, false, "give an x86 kernel", "an ELF file, but not for x86");
	e->entry = e->is64 ? get64(p + 24) : get32(p + 24);
	e->phoff = e->is64 ? get64(p + 32) : get32(p + 28);
	e->phentsize = get16(p + (e->is64 ? 54 : 42));
	e->phnum = get16(p + (e->is64 ? 56 : 44));
	if (e->phentsize < (e->is64 ? 56 : 32) || e->phoff > len ||
	    (u64)e->phnum * e->phentsize > len - e->phoff)
		return load_refuse(f, false, "get an undamaged copy",
				   "its program headers lie outside the file");
	return 0;
}

static void get_segment(const struct elf *e, u32 i, struct segment *s)
{
	const u8 *h = e->p + e->phoff + (u64)i * e->phentsize;

	s->type = get32(h);
	if (e->is64) {
		s->offset = get64(h + 8);
		s->vaddr = get64(h + 16);
		s->paddr = get64(h + 24);
		s->filesz = get64(h + 32);
		s->memsz = get64(h + 40);
		s->align = get64(h + 48);
	} else {
		s->offset = get32(h + 4);
		s->vaddr = get32(h + 8);
		s->paddr = get32(h + 12);
		s->filesz = get32(h + 16);
		s->memsz = get32(h + 20);
		s->align = get32(h + 28);
	}
}

static bool overlaps(const struct segment *s, u64 start, u64 bytes)
{
	return s->paddr < start + bytes && start < s->paddr + s->memsz;
}

static int load_segment(struct gmem *m, const struct elf *e, const struct segment *s,
			enum boot_proto proto, struct load_fault *f)
{
	u8 *to;

	if (s->filesz > s->memsz || s->offset > e->len || s->filesz > e->len - s->offset)
		return load_refuse(f, false, "get an undamaged copy",
				   "a segment lies outside the file");
	to = gmem_at(m, s->paddr, s->memsz);
	if (!to)
		return load_refuse(f, false, "give the guest more --memory",
				   "its segment at %#llx (%llu KiB) is not in the guest's memory",
				   (unsigned long long)s->paddr,
				   (unsigned long long)(s->memsz >> 10));
	if (overlaps(s, GPA_EBDA, GPA_HIMEM - GPA_EBDA) ||
	    (proto == BOOT_MULTIBOOT ? overlaps(s, GPA_MBI, GPA_EBDA - GPA_MBI)
				     : overlaps(s, GPA_GDT, GPA_MBI - GPA_GDT)))
		return load_refuse(f, false, "link the kernel at 1 MiB or above",
				   "its segment at %#llx lies where boot data must be",
				   (unsigned long long)s->paddr);
	memcpy(to, e->p + s->offset, s->filesz);
	return 0;
}

static int load_segments(struct gmem *m, const struct elf *e, struct boot_info *b,
			 struct load_fault *f)
{
	struct segment s;
	u64 end = 0, start = UINT64_MAX, entry = e->entry;
	u32 i;

	for (i = 0; i < e->phnum; i++) {
		get_segment(e, i, &s);
		if (s.type != PT_LOAD || !s.memsz)
			continue;
		if (load_segment(m, e, &s, b->proto, f))
			return -1;
		if (s.paddr < start)
			start = s.paddr;
		if (s.paddr + s.memsz > end)
			end = s.paddr + s.memsz;
		/* An entry point given as a virtual address means the place it is loaded at. */
		if (e->entry >= s.vaddr && e->entry - s.vaddr < s.memsz)
			entry = s.paddr + (e->entry - s.vaddr);
	}
	if (!end)
		return load_refuse(f, false, "give a kernel", "an ELF file with nothing to load");
	b->load_start = start;
	b->load_end = end;
	if (b->proto != BOOT_PVH)
		b->entry = entry;
	if (!gmem_at(m, b->entry, 1) || (b->proto != BOOT_ELF64 && b->entry >> 32))
		return load_refuse(f, false, "give a kernel that has its entry in a segment",
				   "its entry point %#llx is not memory",
				   (unsigned long long)b->entry);
	return 0;
}

static bool scan_notes(const u8 *p, u64 len, u64 align, u64 *entry)
{
	u64 at = 0;

	while (len - at >= 12) {
		u64 namesz = get32(p + at), descsz = get32(p + at + 4);
		u64 name = at + 12, desc, next;

		desc = name + ((namesz + align - 1) & ~(align - 1));
		next = desc + ((descsz + align - 1) & ~(align - 1));
		if (desc > len || descsz > len - desc)
			return false;
		if (get32(p + at + 8) == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 &&
		    !memcmp(p + name, "Xen", 4) && descsz >= 4) {
			*entry = descsz >= 8 ? get64(p + desc) : get32(p + desc);
			return true;
		}
		if (next > len)
			return false;
		at = next;
	}
	return false;
}

static bool find_pvh(const struct elf *e, u64 *entry)
{
	struct segment s;
	u32 i;

	for (i = 0; i < e->phnum; i++) {
		get_segment(e, i, &s);
		if (s.type != PT_NOTE || s.offset > e->len || s.filesz > e->len - s.offset)
			continue;
		if (scan_notes(e->p + s.offset, s.filesz, s.align == 8 ? 8 : 4, entry))
			return true;
	}
	return false;
}

/**
 * load_elf() - load an ELF kernel
 * @m: guest memory
 * @a: what to load
 * @b: how to enter it
 * @f: why not
 *
 * Return: 0 or -1.
 */
int load_elf(struct gmem *m, const struct load_args *a, struct boot_info *b,
	     struct load_fault *f)
{
	struct elf e;
	u32 flags;

	if (open_elf(a->kernel, a->kernel_bytes, &e, f))
		return -1;
	if (find_multiboot(a->kernel, a->kernel_bytes, &flags)) {
		b->proto = BOOT_MULTIBOOT;
		if (flags & 0xfff8)
			return load_refuse(f, false, "build the kernel without it",
					   "its multiboot header demands a feature (flags %#x)",
					   flags & 0xffff);
	} else if (find_pvh(&e, &b->entry)) {
		b->proto = BOOT_PVH;
	} else if (e.is64) {
		b->proto = BOOT_ELF64;
	} else {
		return load_refuse(f, false, "give a kernel that has one",
				   "a 32-bit ELF file with neither a multiboot header nor a PVH note");
	}
	if (load_segments(m, &e, b, f) || place_initrd(m, a, b, INITRD_LIMIT, f))
		return -1;
	if (b->proto == BOOT_MULTIBOOT)
		return multiboot_setup(m, a, b, f);
	if (place_cmdline(m, a->cmdline, CMDLINE_ROOM - 1, f))
		return -1;
	if (b->proto == BOOT_PVH)
		return pvh_setup(m, a, b, f);
	/* head_64.S maps itself; it must lie in the 4 GiB that boot_state() maps. */
	if (b->entry >> 32)
		return load_refuse(f, false, "link the kernel below 4 GiB", "it lies above 4 GiB");
	memset(m->low + GPA_ZERO_PAGE, 0, PAGE_BYTES);
	memcpy(m->low + GPA_ZERO_PAGE + 0x202, "HdrS", 4);
	put16(m->low + GPA_ZERO_PAGE + 0x1fe, 0xaa55);
	put16(m->low + GPA_ZERO_PAGE + 0x206, 0x020f);
	return zero_page_setup(m, a, b, m->low + GPA_ZERO_PAGE, f);
}
