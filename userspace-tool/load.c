// SPDX-License-Identifier: GPL-2.0
/*
 * Loading a kernel: which format it is, and what all formats share.
 *
 * Pure functions over (bytes, length) and a window of guest memory: nothing
 * here opens a file or knows a VM, so the fuzzer and the unit tests drive the
 * very code that meets users' files. Every sum of numbers from a file is
 * checked before it is made. One thread, before the guest runs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "load.h"

/**
 * load_refuse() - note why an image is refused
 * @f: where to
 * @initrd: the initrd is at fault
 * @fix: what the user can do
 * @why: reason, a format
 *
 * Return: -1.
 */
int load_refuse(struct load_fault *f, bool initrd, const char *fix, const char *why, ...)
{
	va_list ap;

	f->initrd = initrd;
	va_start(ap, why);
	vsnprintf(f->why, sizeof(f->why), why, ap);
	va_end(ap);
	snprintf(f->fix, sizeof(f->fix), "%s", fix);
	return -1;
}

/**
 * e820_fill() - the guest's memory map
 * @m: guest memory
 * @e: room for E820_MAX entries
 *
 * Return: how many entries.
 */
unsigned int e820_fill(const struct gmem *m, struct e820_entry *e)
{
	unsigned int n = 0;

	e[n++] = (struct e820_entry){ 0, GPA_EBDA, E820_RAM };
	e[n++] = (struct e820_entry){ GPA_EBDA, 0xa0000 - GPA_EBDA, E820_RESERVED };
	e[n++] = (struct e820_entry){ GPA_ACPI, GPA_HIMEM - GPA_ACPI, E820_RESERVED };
	if (m->low_bytes > GPA_HIMEM)
		e[n++] = (struct e820_entry){ GPA_HIMEM, m->low_bytes - GPA_HIMEM, E820_RAM };
	if (m->high_bytes)
		e[n++] = (struct e820_entry){ GMEM_HIGH, m->high_bytes, E820_RAM };
	return n;
}

/**
 * place_initrd() - put the initrd as high as it may be
 * @m: guest memory
 * @a: what to load
 * @b: gets the place; its @load_end is the floor
 * @limit: one past the highest address that the kernel accepts
 * @f: why not
 *
 * Return: 0, or -1 if it does not fit.
 */
int place_initrd(struct gmem *m, const struct load_args *a, struct boot_info *b,
		 u64 limit, struct load_fault *f)
{
	u64 top = m->low_bytes < limit ? m->low_bytes : limit;
	u64 floor = b->load_end > GPA_HIMEM ? b->load_end : GPA_HIMEM;
	u64 at;

	b->initrd = 0;
	b->initrd_bytes = 0;
	if (!a->initrd)
		return 0;
	if (!a->initrd_bytes)
		return load_refuse(f, true, "give an initrd with something in it",
				   "the file is empty");
	if (a->initrd_bytes > top || top - a->initrd_bytes < floor)
		return load_refuse(f, true, "give the guest more --memory",
				   "%llu MiB do not fit between the kernel's end at %llu MiB and %llu MiB",
				   (unsigned long long)(a->initrd_bytes >> 20),
				   (unsigned long long)(floor >> 20),
				   (unsigned long long)(top >> 20));
	at = (top - a->initrd_bytes) & ~(PAGE_BYTES - 1);
	if (at < floor)
		return load_refuse(f, true, "give the guest more --memory",
				   "it does not fit above the kernel");
	memcpy(m->low + at, a->initrd, a->initrd_bytes);
	b->initrd = at;
	b->initrd_bytes = a->initrd_bytes;
	return 0;
}

/**
 * place_cmdline() - put the command line at GPA_CMDLINE
 * @m: guest memory
 * @cmdline: the text
 * @max: most characters that the kernel takes, without the NUL
 * @f: why not
 *
 * Return: 0, or -1 if it is too long.
 */
int place_cmdline(struct gmem *m, const char *cmdline, u64 max, struct load_fault *f)
{
	u64 len = strlen(cmdline);

	if (max > CMDLINE_ROOM - 1)
		max = CMDLINE_ROOM - 1;
	if (len > max)
		return load_refuse(f, false, "shorten --cmdline",
				   "its command line holds %llu characters, not %llu",
				   (unsigned long long)max, (unsigned long long)len);
	memcpy(m->low + GPA_CMDLINE, cmdline, len + 1);
	return 0;
}

/* What firmware leaves at 0x400: Linux and others look for the EBDA there. */
static void bios_data_area(struct gmem *m)
{
	put16(m->low + 0x40e, GPA_EBDA >> 4);
	put16(m->low + 0x413, GPA_EBDA >> 10);
	m->low[GPA_EBDA] = 1;
}

/**
 * load_kernel() - load a kernel of any format that halo knows
 * @m: guest memory, zeroed but for the ACPI tables
 * @a: what to load
 * @b: how to enter it
 * @f: why not
 *
 * Return: 0, or -1 with @f filled in.
 */
int load_kernel(struct gmem *m, const struct load_args *a, struct boot_info *b,
		struct load_fault *f)
{
	const char *fix = "give a bzImage, an ELF vmlinux or a multiboot ELF file";

	memset(b, 0, sizeof(*b));
	if (m->low_bytes < 2 * MIB)
		return load_refuse(f, false, "give the guest more --memory",
				   "a guest with less than 2 MiB can't be booted");
	if (!a->kernel_bytes)
		return load_refuse(f, false, fix, "the file is empty");
	bios_data_area(m);
	if (is_elf(a->kernel, a->kernel_bytes))
		return load_elf(m, a, b, f);
	if (is_bzimage(a->kernel, a->kernel_bytes))
		return load_bzimage(m, a, b, f);
	if (a->kernel_bytes > 2 && a->kernel[0] == 0x1f && a->kernel[1] == 0x8b)
		return load_refuse(f, false, "unpack it with gunzip first",
				   "not a kernel: it is a gzip file");
	return load_refuse(f, false, fix, "not a kernel image");
}

/**
 * boot_proto_name() - name of a boot protocol
 * @proto: which
 *
 * Return: a word.
 */
const char *boot_proto_name(enum boot_proto proto)
{
	static const char *const names[] = {
		[BOOT_LINUX64] = "linux-64bit",
		[BOOT_LINUX32] = "linux-32bit",
		[BOOT_ELF64] = "elf-64bit",
		[BOOT_PVH] = "pvh",
		[BOOT_MULTIBOOT] = "multiboot",
	};

	return names[proto];
}
