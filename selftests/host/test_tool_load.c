// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/load.c userspace-tool/load_bzimage.c userspace-tool/load_elf.c userspace-tool/load_info.c userspace-tool/boot_state.c */
/*
 * The loaders against images made here byte by byte: what each protocol promises
 * the kernel, and every way in which a file can lie.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/halo.h>

#include "load.h"

#define RAM	(32 * MIB)

struct fixture {
	struct gmem m;
	struct load_args a;
	struct boot_info b;
	struct load_fault f;
	u8 *file;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->m.low = calloc(1, RAM);
	x->m.low_bytes = RAM;
	x->a.cmdline = "console=ttyS0";
	x->a.name = "kernel";
	x->a.rsdp = GPA_ACPI;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	free(x->m.low);
	free(x->file);
	free(x);
	return 0;
}

/* A file of exactly this size, so that the sanitizer sees one byte too many. */
static u8 *file_of(struct fixture *x, u64 bytes)
{
	free(x->file);
	x->file = calloc(1, bytes ? bytes : 1);
	x->a.kernel = x->file;
	x->a.kernel_bytes = bytes;
	return x->file;
}

static int load(struct fixture *x)
{
	return load_kernel(&x->m, &x->a, &x->b, &x->f);
}

static void refused(struct fixture *x, const char *why)
{
	assert_int_equal(load(x), -1);
	if (!strstr(x->f.why, why))
		fail_msg("refused with \"%s\", not \"%s\"", x->f.why, why);
	assert_true(x->f.fix[0]);
}

static u8 *bzimage(struct fixture *x, u64 body)
{
	u8 *p = file_of(x, 5 * 512 + body);
	u64 i;

	p[0x1f1] = 4;
	put16(p + 0x1fe, 0xaa55);
	p[0x201] = 0x66;
	memcpy(p + 0x202, "HdrS", 4);
	put16(p + 0x206, 0x020f);
	p[0x211] = 1;
	put32(p + 0x22c, 0x7fffffff);
	put16(p + 0x236, 1);
	put32(p + 0x238, 2047);
	put64(p + 0x258, 0x1000000);
	put32(p + 0x260, 4 * MIB);
	for (i = 0; i < body; i++)
		p[5 * 512 + i] = (u8)(i * 7 + 1);
	return p;
}

static void test_bzimage64(void **state)
{
	struct fixture *x = *state;
	u8 initrd[5000], *zp = x->m.low + GPA_ZERO_PAGE;
	u8 *p = bzimage(x, 8192);

	memset(initrd, 0xab, sizeof(initrd));
	x->a.initrd = initrd;
	x->a.initrd_bytes = sizeof(initrd);
	assert_int_equal(load(x), 0);
	assert_int_equal(x->b.proto, BOOT_LINUX64);
	assert_int_equal(x->b.entry, 0x100200);
	assert_int_equal(x->b.arg, GPA_ZERO_PAGE);
	assert_memory_equal(x->m.low + 0x100000, p + 2560, 8192);
	assert_memory_equal(zp + 0x202, "HdrS", 4);
	assert_int_equal(zp[0x210], 0xff);
	assert_int_equal(get32(zp + 0x228), GPA_CMDLINE);
	assert_string_equal((char *)x->m.low + GPA_CMDLINE, "console=ttyS0");
	assert_int_equal(get64(zp + 0x70), GPA_ACPI);
	assert_int_equal(x->b.initrd, RAM - 2 * PAGE_BYTES);
	assert_int_equal(get32(zp + 0x218), x->b.initrd);
	assert_int_equal(get32(zp + 0x21c), sizeof(initrd));
	assert_memory_equal(x->m.low + x->b.initrd, initrd, sizeof(initrd));
	/* Three low entries, then memory from 1 MiB to the end. */
	assert_int_equal(zp[0x1e8], 4);
	assert_int_equal(get64(zp + 0x2d0 + 60), MIB);
	assert_int_equal(get64(zp + 0x2d0 + 68), RAM - MIB);
	assert_int_equal(get32(zp + 0x2d0 + 76), E820_RAM);
}

static void test_bzimage_high_memory(void **state)
{
	struct fixture *x = *state;
	u8 *zp = x->m.low + GPA_ZERO_PAGE, high[16];

	bzimage(x, 8192);
	x->m.high = high;
	x->m.high_bytes = sizeof(high);
	assert_int_equal(load(x), 0);
	assert_int_equal(zp[0x1e8], 5);
	assert_int_equal(get64(zp + 0x2d0 + 80), 4 * GIB);
	assert_ptr_equal(gmem_at(&x->m, 4 * GIB, 16), high);
	assert_null(gmem_at(&x->m, 4 * GIB + 1, 16));
	assert_null(gmem_at(&x->m, RAM - 1, 2));
	assert_null(gmem_at(&x->m, UINT64_MAX, 2));
}

static void test_bzimage32(void **state)
{
	struct fixture *x = *state;
	u8 *p = bzimage(x, 8192);

	put16(p + 0x236, 0);
	assert_int_equal(load(x), 0);
	assert_int_equal(x->b.proto, BOOT_LINUX32);
	assert_int_equal(x->b.entry, 0x100000);
}

static void test_bzimage_refusals(void **state)
{
	struct fixture *x = *state;
	static char longline[2100];
	u8 initrd[1], *p;

	p = bzimage(x, 8192);
	put32(p + 0x260, 31 * MIB);
	refused(x, "needs 47 MiB");
	p = bzimage(x, 8192);
	put64(p + 0x258, UINT64_MAX - 5);
	refused(x, "is not memory");
	p = bzimage(x, 8192);
	put16(p + 0x206, 0x0200);
	refused(x, "too old");
	p = bzimage(x, 100);
	refused(x, "cut short");
	p = bzimage(x, 8192);
	p[0x1f1] = 64;
	refused(x, "cut short");
	bzimage(x, 8192);
	memset(longline, 'x', 2099);
	x->a.cmdline = longline;
	refused(x, "2047 characters");
	x->a.cmdline = "";
	x->a.initrd = initrd;
	x->a.initrd_bytes = 0;
	refused(x, "empty");
	assert_true(x->f.initrd);
	x->a.initrd_bytes = 40 * MIB;
	refused(x, "do not fit");
	x->a.initrd_bytes = UINT64_MAX;
	refused(x, "do not fit");
}

static void test_not_a_kernel(void **state)
{
	struct fixture *x = *state;

	file_of(x, 0);
	refused(x, "empty");
	file_of(x, 1);
	refused(x, "not a kernel");
	file_of(x, 4096);
	refused(x, "not a kernel");
	memcpy(file_of(x, 3), "\x1f\x8b\x08", 3);
	refused(x, "gzip");
	bzimage(x, 4096);
	x->m.low_bytes = MIB;
	refused(x, "2 MiB");
}

static u8 *elf64(struct fixture *x, u64 vaddr, u64 paddr, u64 memsz)
{
	u8 *p = file_of(x, 0x2000);

	memcpy(p, "\177ELF\2\1\1", 7);
	put16(p + 18, 62);
	put64(p + 24, vaddr + 0x40);
	put64(p + 32, 64);
	put16(p + 54, 56);
	put16(p + 56, 1);
	put32(p + 64, 1);
	put64(p + 72, 0x1000);
	put64(p + 80, vaddr);
	put64(p + 88, paddr);
	put64(p + 96, 0x1000);
	put64(p + 104, memsz);
	memset(p + 0x1000, 0x5a, 0x1000);
	return p;
}

static void test_elf64(void **state)
{
	struct fixture *x = *state;

	elf64(x, 0xffffffff81000000, 0x1000000, 0x3000);
	assert_int_equal(load(x), 0);
	assert_int_equal(x->b.proto, BOOT_ELF64);
	assert_int_equal(x->b.entry, 0x1000040);
	assert_int_equal(x->b.load_end, 0x1003000);
	assert_int_equal(x->m.low[0x1000fff], 0x5a);
	assert_int_equal(x->m.low[0x1001000], 0);
	assert_memory_equal(x->m.low + GPA_ZERO_PAGE + 0x202, "HdrS", 4);
}

static void add_note(u8 *p, u32 entry)
{
	u8 *n = p + 0x200;

	put16(p + 56, 2);
	put32(p + 120, 4);
	put64(p + 128, 0x200);
	put64(p + 152, 40);
	put64(p + 168, 4);
	/* Another's note first, with lengths that need padding. */
	put32(n, 5);
	put32(n + 4, 1);
	put32(n + 8, 18);
	memcpy(n + 12, "Some", 5);
	n += 12 + 8 + 4;
	put32(n, 4);
	put32(n + 4, 4);
	put32(n + 8, 18);
	memcpy(n + 12, "Xen", 4);
	put32(n + 16, entry);
}

static void test_pvh(void **state)
{
	struct fixture *x = *state;
	u8 *p = elf64(x, 0, 0x1000000, 0x3000), *info = x->m.low + GPA_PVH_INFO, initrd[3] = "ab";

	add_note(p, 0x1000123);
	put64(p + 152, 44);
	x->a.initrd = initrd;
	x->a.initrd_bytes = 3;
	assert_int_equal(load(x), 0);
	assert_int_equal(x->b.proto, BOOT_PVH);
	assert_int_equal(x->b.entry, 0x1000123);
	assert_int_equal(get32(info), 0x336ec578);
	assert_int_equal(get32(info + 4), 1);
	assert_int_equal(get32(info + 12), 1);
	assert_int_equal(get64(x->m.low + get64(info + 16)), x->b.initrd);
	assert_int_equal(get64(info + 24), GPA_CMDLINE);
	assert_int_equal(get64(info + 32), GPA_ACPI);
	assert_int_equal(get32(info + 48), 4);
	assert_int_equal(get64(x->m.low + get64(info + 40) + 3 * 24), MIB);
	put64(p + 152, 43);	/* the note is cut short: back to the plain entry */
	assert_int_equal(load(x), 0);
	assert_int_equal(x->b.proto, BOOT_ELF64);
	put64(p + 152, 44);
	put32(p + 0x200 + 24 + 16, 0x7000000);
	refused(x, "entry point");
}

static u8 *multiboot32(struct fixture *x)
{
	u8 *p = file_of(x, 0x2000);

	memcpy(p, "\177ELF\1\1\1", 7);
	put16(p + 18, 3);
	put32(p + 24, 0x400004);
	put32(p + 28, 52);
	put16(p + 42, 32);
	put16(p + 44, 1);
	put32(p + 52, 1);
	put32(p + 56, 0x1000);
	put32(p + 60, 0x400000);
	put32(p + 64, 0x400000);
	put32(p + 68, 0x1000);
	put32(p + 72, 0x5000);
	put32(p + 0x1000, 0x1badb002);
	put32(p + 0x1008, -0x1badb002);
	return p;
}

static void test_multiboot(void **state)
{
	struct fixture *x = *state;
	u8 *mbi = x->m.low + GPA_MBI, initrd[10] = "NR_CPUS=1", *p;

	multiboot32(x);
	x->a.initrd = initrd;
	x->a.initrd_bytes = 10;
	x->a.cmdline = "one two";
	assert_int_equal(load(x), 0);
	assert_int_equal(x->b.proto, BOOT_MULTIBOOT);
	assert_int_equal(x->b.entry, 0x400004);
	assert_int_equal(get32(mbi), 0x4d);
	assert_int_equal(get32(mbi + 4), 639);
	assert_int_equal(get32(mbi + 8), 31 * 1024);
	assert_string_equal((char *)x->m.low + get32(mbi + 16), "kernel one two");
	assert_int_equal(get32(mbi + 20), 1);
	assert_int_equal(get32(x->m.low + get32(mbi + 24)), x->b.initrd);
	assert_int_equal(get32(x->m.low + get32(mbi + 24) + 4), x->b.initrd + 10);
	assert_int_equal(get32(mbi + 44), 4 * 24);
	assert_int_equal(get32(x->m.low + get32(mbi + 48)), 20);
	p = multiboot32(x);
	put32(p + 0x1004, 0x10);
	put32(p + 0x1008, -0x1badb002 - 0x10);
	refused(x, "demands a feature");
	p = multiboot32(x);
	put32(p + 0x1008, 0);
	refused(x, "neither a multiboot header");
	/* The realmode test lies at 0x8000: that is allowed, the info's place is not. */
	p = multiboot32(x);
	put32(p + 24, 0x8000);
	put32(p + 60, 0x8000);
	put32(p + 64, 0x8000);
	assert_int_equal(load(x), 0);
	put32(p + 64, 0x90000);
	refused(x, "boot data");
}

static void test_elf_lies(void **state)
{
	struct fixture *x = *state;
	u8 *p;

	memcpy(file_of(x, 20), "\177ELF\2", 5);
	refused(x, "cut short");
	p = elf64(x, 0, 0x1000000, 0x3000);
	put16(p + 18, 183);
	refused(x, "not for x86");
	p = elf64(x, 0, 0x1000000, 0x3000);
	put64(p + 32, UINT64_MAX - 3);
	refused(x, "outside the file");
	p = elf64(x, 0, 0x1000000, 0x3000);
	put16(p + 56, 0xffff);
	refused(x, "outside the file");
	p = elf64(x, 0, 0x1000000, 0x3000);
	put16(p + 54, 8);
	refused(x, "outside the file");
	p = elf64(x, 0, 0x1000000, 0x3000);
	put64(p + 72, 0x1001);
	refused(x, "segment lies outside");
	put64(p + 72, UINT64_MAX);
	refused(x, "segment lies outside");
	p = elf64(x, 0, 0x1000000, 0x800);
	refused(x, "segment lies outside");
	p = elf64(x, 0, RAM - 0x800, 0x1000);
	refused(x, "not in the guest's memory");
	p = elf64(x, 0, UINT64_MAX - 0x100, 0x1000);
	refused(x, "not in the guest's memory");
	p = elf64(x, 0, 0x1000000, UINT64_MAX);
	refused(x, "not in the guest's memory");
	p = elf64(x, 0, GPA_ACPI - 0x800, 0x1000);
	refused(x, "boot data");
	p = elf64(x, 0, GPA_ZERO_PAGE, 0x1000);
	refused(x, "boot data");
	p = elf64(x, 0, 0x1000000, 0x3000);
	put32(p + 64, 7);
	refused(x, "nothing to load");
}

static void test_state64(void **state)
{
	struct fixture *x = *state;
	struct halo_state s;
	u64 pdpt, pd;

	memset(&s, 0xee, sizeof(s));
	bzimage(x, 8192);
	assert_int_equal(load(x), 0);
	boot_state(&x->m, &x->b, &s);
	assert_int_equal(s.commit, HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS);
	assert_int_equal(s.rip, 0x100200);
	assert_int_equal(s.rflags, 2);
	assert_int_equal(s.gpr[HALO_RSI], GPA_ZERO_PAGE);
	assert_int_equal(s.cr0 & 0x80000001, 0x80000001);
	assert_int_equal(s.cr4, 0x20);
	assert_int_equal(s.efer, 0x500);
	assert_int_equal(s.seg[HALO_SEG_CS].selector, 0x10);
	assert_int_equal(s.seg[HALO_SEG_CS].attrib, 0xa9b);
	assert_int_equal(s.seg[HALO_SEG_DS].selector, 0x18);
	assert_int_equal(s.seg[HALO_SEG_DS].attrib, 0xc93);
	/* The GDT in memory says the same. */
	assert_int_equal(get64(x->m.low + s.gdt.base + 0x10), 0x00af9b000000ffff);
	assert_true(s.gdt.limit >= 0x1f);
	/* Walk the identity map: kernel, zero page, command line, the last of 4 GiB. */
	pdpt = get64(x->m.low + s.cr3) & ~0xfffull;
	pd = get64(x->m.low + pdpt) & ~0xfffull;
	assert_int_equal(get64(x->m.low + pd), 0x83);
	assert_int_equal(get64(x->m.low + pd + 8), 0x200083);
	pd = get64(x->m.low + pdpt + 24) & ~0xfffull;
	assert_int_equal(get64(x->m.low + pd + 511 * 8), 0xffe00083);
}

static void test_state32(void **state)
{
	struct fixture *x = *state;
	struct halo_state s = { 0 };

	multiboot32(x);
	assert_int_equal(load(x), 0);
	boot_state(&x->m, &x->b, &s);
	assert_int_equal(s.rip, 0x400004);
	assert_int_equal(s.gpr[HALO_RAX], 0x2badb002);
	assert_int_equal(s.gpr[HALO_RBX], GPA_MBI);
	assert_int_equal(s.cr0 & 0x80000001, 1);
	assert_int_equal(s.efer, 0);
	assert_int_equal(s.seg[HALO_SEG_CS].attrib, 0xc9b);
	assert_int_equal(s.seg[HALO_SEG_SS].limit, 0xffffffff);
	assert_int_equal(s.seg[HALO_SEG_LDTR].attrib, HALO_SEG_UNUSABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_bzimage64), T(test_bzimage_high_memory), T(test_bzimage32),
		T(test_bzimage_refusals), T(test_not_a_kernel), T(test_elf64), T(test_pvh),
		T(test_multiboot), T(test_elf_lies), T(test_state64), T(test_state32),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
