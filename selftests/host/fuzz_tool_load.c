// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/load.c userspace-tool/load_bzimage.c userspace-tool/load_elf.c userspace-tool/load_info.c userspace-tool/boot_state.c */
/*
 * The loaders against any bytes at all. The first byte chooses the mould that the
 * rest is pressed into, as random bytes rarely begin like a kernel; then: no
 * access outside file or memory (the sanitizer's part), and what is accepted has
 * its entry in memory and its initrd above the kernel.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/halo.h>

#include "load.h"

#define RAM	(8 * MIB)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void mould(u8 *p, size_t n, u8 how)
{
	if (how & 1 && n >= 0x290) {
		put16(p + 0x1fe, 0xaa55);
		memcpy(p + 0x202, "HdrS", 4);
		p[0x211] |= 1;
		p[0x1f1] &= 3;
	} else if (n >= 64) {
		memcpy(p, "\177ELF", 4);
		p[4] = how & 2 ? 2 : 1;
		p[5] = 1;
		put16(p + 18, how & 2 ? 62 : 3);
		put16(p + (how & 2 ? 54 : 42), how & 2 ? 56 : 32);
		if (how & 4)
			put64(p + 32, 64 + (how >> 4));
		if (how & 8 && n >= 140) {
			put32(p + 128, 0x1badb002);
			put32(p + 132, 0);
			put32(p + 136, -0x1badb002);
		}
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u8 initrd[5000];
	static u8 *ram;
	struct gmem m = { .low_bytes = RAM };
	struct load_args a = { .cmdline = "a=b", .name = "n", .rsdp = GPA_ACPI };
	struct boot_info b;
	struct load_fault f;
	struct halo_state s;
	u8 *file;

	if (size < 2)
		return -1;
	if (!ram)
		ram = malloc(RAM);
	m.low = ram;
	file = malloc(size - 1);
	memcpy(file, data + 1, size - 1);
	if (data[0] & 0xf)
		mould(file, size - 1, data[0]);
	a.kernel = file;
	a.kernel_bytes = size - 1;
	if (data[0] & 0x80) {
		a.initrd = initrd;
		a.initrd_bytes = sizeof(initrd);
	}
	if (!load_kernel(&m, &a, &b, &f)) {
		if (!gmem_at(&m, b.entry, 1) || !gmem_at(&m, b.arg, 64))
			abort();
		if (a.initrd && (b.initrd < b.load_end || !gmem_at(&m, b.initrd, b.initrd_bytes)))
			abort();
		boot_state(&m, &b, &s);
	} else if (!f.why[0] || !f.fix[0]) {
		abort();
	}
	free(file);
	return 0;
}
