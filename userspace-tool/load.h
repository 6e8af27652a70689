/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_LOAD_H
#define HALO_TOOL_LOAD_H

#include "gmem.h"
#include "types.h"

struct halo_state;

enum boot_proto {
	BOOT_LINUX64,		/* bzImage, 64-bit entry */
	BOOT_LINUX32,		/* bzImage, 32-bit entry */
	BOOT_ELF64,		/* Linux ELF, 64-bit entry with a zero page */
	BOOT_PVH,		/* ELF with a PVH note */
	BOOT_MULTIBOOT,		/* multiboot 1 */
};

/**
 * struct load_args - what to load
 * @kernel: bytes of the kernel file
 * @kernel_bytes: how many
 * @initrd: bytes of the initrd, NULL for none
 * @initrd_bytes: how many
 * @cmdline: kernel command line, "" for none
 * @name: image name, the first word of a multiboot command line
 * @rsdp: GPA of the ACPI root pointer, 0 for none
 */
struct load_args {
	const u8 *kernel;
	u64 kernel_bytes;
	const u8 *initrd;
	u64 initrd_bytes;
	const char *cmdline;
	const char *name;
	u64 rsdp;
};

/**
 * struct boot_info - what was loaded and how to enter it
 * @proto: boot protocol
 * @entry: GPA of the first instruction
 * @arg: GPA of the zero page, the start info or the multiboot info
 * @load_start: first byte the kernel occupies
 * @load_end: one past the last byte that it needs before it knows memory
 * @initrd: GPA of the initrd, 0 for none
 * @initrd_bytes: its length
 */
struct boot_info {
	enum boot_proto proto;
	u64 entry;
	u64 arg;
	u64 load_start;
	u64 load_end;
	u64 initrd;
	u64 initrd_bytes;
};

/**
 * struct load_fault - why an image was refused
 * @initrd: it is the initrd's fault, not the kernel's
 * @why: reason
 * @fix: what the user can do
 */
struct load_fault {
	bool initrd;
	char why[192];
	char fix[128];
};

struct e820_entry {
	u64 addr;
	u64 size;
	u32 type;
};

#define E820_RAM	1
#define E820_RESERVED	2
#define E820_MAX	8

int load_kernel(struct gmem *m, const struct load_args *a, struct boot_info *b,
		struct load_fault *f);
const char *boot_proto_name(enum boot_proto proto);
void boot_state(const struct gmem *m, const struct boot_info *b, struct halo_state *s);

/* Among the loaders. */
int load_bzimage(struct gmem *m, const struct load_args *a, struct boot_info *b,
		 struct load_fault *f);
int load_elf(struct gmem *m, const struct load_args *a, struct boot_info *b,
	     struct load_fault *f);
bool is_elf(const u8 *p, u64 len);
bool is_bzimage(const u8 *p, u64 len);
bool find_multiboot(const u8 *p, u64 len, u32 *flags);
int pvh_setup(struct gmem *m, const struct load_args *a, struct boot_info *b,
	      struct load_fault *f);
int multiboot_setup(struct gmem *m, const struct load_args *a, struct boot_info *b,
		    struct load_fault *f);
int zero_page_setup(struct gmem *m, const struct load_args *a, struct boot_info *b,
		    u8 *zp, struct load_fault *f);
int place_initrd(struct gmem *m, const struct load_args *a, struct boot_info *b,
		 u64 limit, struct load_fault *f);
int place_cmdline(struct gmem *m, const char *cmdline, u64 max, struct load_fault *f);
unsigned int e820_fill(const struct gmem *m, struct e820_entry *e);
int load_refuse(struct load_fault *f, bool initrd, const char *fix, const char *why, ...)
	__attribute__((format(printf, 4, 5)));

#endif /* HALO_TOOL_LOAD_H */
