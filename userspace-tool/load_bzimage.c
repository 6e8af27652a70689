// SPDX-License-Identifier: GPL-2.0
/*
 * The Linux/x86 boot protocol: bzImage files and the zero page.
 *
 * The 64-bit entry is taken where the kernel has one (xloadflags bit 0): no
 * detour through protected mode, so the guest's first instructions are the
 * common ones. Older images are entered at their 32-bit entry. The real-mode
 * setup code is never run. One thread, before the guest runs.
 */
#include <string.h>

#include "load.h"

/* Offsets in the setup header (Documentation/arch/x86/boot.rst). */
#define HDR_SETUP_SECTS		0x1f1
#define HDR_BOOT_FLAG		0x1fe
#define HDR_JUMP_LEN		0x201
#define HDR_MAGIC		0x202
#define HDR_VERSION		0x206
#define HDR_LOADER		0x210
#define HDR_LOADFLAGS		0x211
#define HDR_RAMDISK		0x218
#define HDR_RAMDISK_SIZE	0x21c
#define HDR_CMDLINE		0x228
#define HDR_INITRD_MAX		0x22c
#define HDR_RELOCATABLE		0x234
#define HDR_XLOADFLAGS		0x236
#define HDR_CMDLINE_SIZE	0x238
#define HDR_PREF_ADDRESS	0x258
#define HDR_INIT_SIZE		0x260
#define HDR_END_MAX		0x290

/* Offsets in the zero page (Documentation/arch/x86/zero-page.rst). */
#define ZP_EXT_MEM_K		0x002
#define ZP_RSDP			0x070
#define ZP_EXT_RAMDISK		0x0c0
#define ZP_EXT_RAMDISK_SIZE	0x0c4
#define ZP_EXT_CMDLINE		0x0c8
#define ZP_ALT_MEM_K		0x1e0
#define ZP_E820_COUNT		0x1e8
#define ZP_E820			0x2d0

#define LOADED_HIGH		0x01
#define XLF_KERNEL_64		0x01
#define SETUP_SECTOR		512
#define ENTRY_64		0x200
/* Kernels before 2.05 and ELF files do not say: what 32-bit kernels took. */
#define INITRD_MAX_OLD		0x37ffffffull

/**
 * is_bzimage() - does a file look like a bzImage
 * @p: its bytes
 * @len: how many
 *
 * Return: true if it carries the boot flag and the header's magic.
 */
bool is_bzimage(const u8 *p, u64 len)
{
	return len >= HDR_END_MAX && get16(p + HDR_BOOT_FLAG) == 0xaa55 &&
	       !memcmp(p + HDR_MAGIC, "HdrS", 4);
}

/**
 * zero_page_setup() - fill in what the loader owes in the zero page
 * @m: guest memory
 * @a: what is loaded
 * @b: where the initrd is; gets @arg
 * @zp: the zero page, with the setup header in place
 * @f: why not
 *
 * Return: 0 or -1.
 */
int zero_page_setup(struct gmem *m, const struct load_args *a, struct boot_info *b,
		    u8 *zp, struct load_fault *f)
{
	struct e820_entry e[E820_MAX];
	unsigned int i, n = e820_fill(m, e);
	u64 kib = (m->low_bytes - GPA_HIMEM) >> 10;

	(void)f;
	put16(zp + ZP_EXT_MEM_K, kib > 0xffff ? 0xffff : (u16)kib);
	put32(zp + ZP_ALT_MEM_K, (u32)kib);
	put64(zp + ZP_RSDP, a->rsdp);
	zp[HDR_LOADER] = 0xff;
	zp[HDR_LOADFLAGS] |= LOADED_HIGH;
	put32(zp + HDR_CMDLINE, (u32)GPA_CMDLINE);
	put32(zp + ZP_EXT_CMDLINE, 0);
	put32(zp + HDR_RAMDISK, (u32)b->initrd);
	put32(zp + HDR_RAMDISK_SIZE, (u32)b->initrd_bytes);
	put32(zp + ZP_EXT_RAMDISK, (u32)(b->initrd >> 32));
	put32(zp + ZP_EXT_RAMDISK_SIZE, (u32)(b->initrd_bytes >> 32));
	zp[ZP_E820_COUNT] = (u8)n;
	for (i = 0; i < n; i++) {
		put64(zp + ZP_E820 + 20 * i, e[i].addr);
		put64(zp + ZP_E820 + 20 * i + 8, e[i].size);
		put32(zp + ZP_E820 + 20 * i + 16, e[i].type);
	}
	b->arg = GPA_ZERO_PAGE;
	return 0;
}

/**
 * struct setup - what the loader wants of a setup header
 * @version: protocol version
 * @header_end: one past its last byte
 * @body: offset of the protected-mode part in the file
 * @entry64: has the 64-bit entry
 * @cmdline_max: most characters of command line
 * @initrd_limit: one past the highest byte for an initrd
 * @need: one past the last byte it needs before it reads the memory map
 */
struct setup {
	u16 version;
	u32 header_end;
	u64 body;
	bool entry64;
	u64 cmdline_max;
	u64 initrd_limit;
	u64 need;
};

static int read_setup(const u8 *p, u64 len, struct setup *s, struct load_fault *f)
{
	u64 pref = GPA_HIMEM;
	u32 sects = p[HDR_SETUP_SECTS] ? p[HDR_SETUP_SECTS] : 4;

	memset(s, 0, sizeof(*s));
	s->version = get16(p + HDR_VERSION);
	if (s->version < 0x0202 || !(p[HDR_LOADFLAGS] & LOADED_HIGH))
		return load_refuse(f, false, "use a bzImage of Linux 2.4 or later",
				   "boot protocol %x.%02x or a zImage is too old",
				   s->version >> 8, s->version & 0xff);
	s->header_end = HDR_MAGIC + p[HDR_JUMP_LEN];
	if (s->header_end > HDR_END_MAX)
		s->header_end = HDR_END_MAX;
	s->body = (u64)(sects + 1) * SETUP_SECTOR;
	if (s->body >= len)
		return load_refuse(f, false, "get an undamaged copy",
				   "cut short: %llu bytes, the kernel proper starts at %llu",
				   (unsigned long long)len, (unsigned long long)s->body);
	s->cmdline_max = s->version >= 0x0206 ? get32(p + HDR_CMDLINE_SIZE) : 255;
	s->initrd_limit = s->version >= 0x0203 ? (u64)get32(p + HDR_INITRD_MAX) + 1
					       : INITRD_MAX_OLD + 1;
	s->need = GPA_HIMEM + (len - s->body);
	if (s->version >= 0x020c)
		s->entry64 = get16(p + HDR_XLOADFLAGS) & XLF_KERNEL_64;
	if (s->version >= 0x020a) {
		u64 size = get32(p + HDR_INIT_SIZE);

		/* A relocatable kernel decompresses to its preferred address or above. */
		if (get64(p + HDR_PREF_ADDRESS) > pref)
			pref = get64(p + HDR_PREF_ADDRESS);
		if (pref > GMEM_HOLE)
			return load_refuse(f, false, "use a kernel for a lower address",
					   "its load address %#llx is not memory",
					   (unsigned long long)pref);
		if (pref + size > s->need)
			s->need = pref + size;
	}
	return 0;
}

/**
 * load_bzimage() - load a bzImage
 * @m: guest memory
 * @a: what to load
 * @b: how to enter it
 * @f: why not
 *
 * Return: 0 or -1.
 */
int load_bzimage(struct gmem *m, const struct load_args *a, struct boot_info *b,
		 struct load_fault *f)
{
	u8 *zp = m->low + GPA_ZERO_PAGE;
	struct setup s;
	u64 body;

	if (read_setup(a->kernel, a->kernel_bytes, &s, f))
		return -1;
	body = a->kernel_bytes - s.body;
	if (s.need > m->low_bytes)
		return load_refuse(f, false, "give the guest more --memory",
				   "the kernel needs %llu MiB to unpack itself, the guest has %llu",
				   (unsigned long long)((s.need + MIB - 1) >> 20),
				   (unsigned long long)(m->low_bytes >> 20));
	if (s.entry64 && body <= ENTRY_64)
		return load_refuse(f, false, "get an undamaged copy", "cut short");
	b->load_start = GPA_HIMEM;
	b->load_end = s.need;
	if (place_initrd(m, a, b, s.initrd_limit, f) ||
	    place_cmdline(m, a->cmdline, s.cmdline_max, f))
		return -1;
	memcpy(m->low + GPA_HIMEM, a->kernel + s.body, body);
	memset(zp, 0, PAGE_BYTES);
	memcpy(zp + HDR_SETUP_SECTS, a->kernel + HDR_SETUP_SECTS, s.header_end - HDR_SETUP_SECTS);
	if (zero_page_setup(m, a, b, zp, f))
		return -1;
	b->proto = s.entry64 ? BOOT_LINUX64 : BOOT_LINUX32;
	b->entry = s.entry64 ? GPA_HIMEM + ENTRY_64 : GPA_HIMEM;
	return 0;
}
