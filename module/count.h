/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many VMREADs, VMWRITEs, WRMSRs, VMLOADs and VMSAVEs an exit costs, by its reason.
 *
 * There only in a module that was built with COUNT=1, which is for the benchmark: in any
 * other nothing of this is left.  What counts is what the module itself executes from an
 * exit to the next entry, on the way to userspace and back, too; not what the kernel does
 * for it.  The figures are of one CPU's: with more they may miss some.
 *
 * Include it last: it stands before wrmsrl().
 */
#ifndef HALO_COUNT_H
#define HALO_COUNT_H

#define COUNT_VMREAD	0
#define COUNT_VMWRITE	1
#define COUNT_WRMSR	2
#define COUNT_VMLOAD	3
#define COUNT_VMSAVE	4
#define COUNT_KINDS	5

#ifndef __ASSEMBLY__

#include <linux/types.h>
#include <asm/msr.h>

#ifdef HALO_COUNT

/* Since the last entry. */
extern u64 halo_counted[COUNT_KINDS];

static __always_inline void halo_count(unsigned int kind)
{
	halo_counted[kind]++;
}

void halo_count_entry(void);
void halo_count_left(void);
void halo_count_exit(u8 reason);

#define wrmsrl(msr, value)	\
	do { halo_count(COUNT_WRMSR); wrmsrl(msr, value); } while (0)

#else

static __always_inline void halo_count(unsigned int kind)
{
}

static inline void halo_count_entry(void)
{
}

static inline void halo_count_left(void)
{
}

static inline void halo_count_exit(u8 reason)
{
}

#endif
#endif
#endif
