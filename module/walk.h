/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The walk of a guest's own page tables: GVA to GPA, with the guest's rights.
 *
 * Needed where the CPU does not do it for us: fetching the bytes of an
 * intercepted instruction, string port I/O, memory operands of instructions on
 * device pages. Pure: the caller passes the control registers and a function
 * that reads guest memory. The guest may change its tables while we walk; every
 * entry is read once. No protection keys: no guest is shown them.
 *
 * References: SDM 3A chapter 4; APM volume 2 chapter 5.
 */
#ifndef HALO_WALK_H
#define HALO_WALK_H

#include "pure.h"

/* What is to be done at the address; one of the first three, or'ed with others. */
#define HALO_WALK_READ		0
#define HALO_WALK_WRITE		BIT(0)
#define HALO_WALK_FETCH		BIT(1)
#define HALO_WALK_USER		BIT(2)	/* with the rights of CPL 3 */

/* Page-fault error code, as the CPU pushes it (SDM 3A 4.7). */
#define HALO_PF_P		BIT(0)
#define HALO_PF_W		BIT(1)
#define HALO_PF_U		BIT(2)
#define HALO_PF_RSVD		BIT(3)
#define HALO_PF_I		BIT(4)

/**
 * struct halo_walk_ctx - what a walk depends on
 * @cr0: CR0
 * @cr3: CR3
 * @cr4: CR4
 * @efer: EFER
 * @rflags: RFLAGS; AC counts
 * @maxphyaddr: the guest's physical-address width, 32 to 52
 * @gbpages: the guest's CPUID has 1 GiB pages
 * @read: read @bytes (4 or 8, aligned) of guest memory at @gpa into @out; 0 or -EFAULT
 * @update: replace @old by @new (@bytes 4 or 8) at @gpa: 0, -EAGAIN if the value was another,
 *	-EFAULT. NULL: accessed and dirty bits are left alone, right for a fetch that repeats
 *	what the CPU has just done itself
 * @opaque: handed to both
 */
struct halo_walk_ctx {
	u64 cr0;
	u64 cr3;
	u64 cr4;
	u64 efer;
	u64 rflags;
	u8 maxphyaddr;
	bool gbpages;
	int (*read)(void *opaque, u64 gpa, void *out, unsigned int bytes);
	int (*update)(void *opaque, u64 gpa, u64 old, u64 new, unsigned int bytes);
	void *opaque;
};

#define HALO_WALK_LEVELS	5

/**
 * struct halo_walk_result - where it led
 * @gpa: guest-physical address of the byte asked for
 * @error_code: after -EFAULT: for the #PF to inject
 * @depth: entries passed on the way down, but for a PDPTE of PAE paging
 * @addr: where they are
 * @entry: and what they were
 */
struct halo_walk_result {
	u64 gpa;
	u32 error_code;
	u8 depth;
	u64 addr[HALO_WALK_LEVELS];
	u64 entry[HALO_WALK_LEVELS];
};

/* Width of linear addresses: five levels (CR4.LA57) are never shown to a guest. */
#define HALO_LINEAR_BITS	48

/**
 * halo_canonical() - is a linear address canonical?
 * @addr: the address
 * @bits: width of linear addresses, 48 or 57
 */
static inline bool halo_canonical(u64 addr, unsigned int bits)
{
	return (u64)((s64)(addr << (64 - bits)) >> (64 - bits)) == addr;
}

int halo_walk(const struct halo_walk_ctx *ctx, u64 gva, unsigned int access,
	      struct halo_walk_result *res);

#endif /* HALO_WALK_H */
