/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arithmetic behind the KVM-compatible clock (Documentation/virt/kvm/x86/msr.rst
 * of the kernel). Pure: reading clocks and writing guest memory is clock.c's.
 */
#ifndef HALO_PVCLOCK_H
#define HALO_PVCLOCK_H

#include "pure.h"

/**
 * struct halo_pvclock_scale - ticks to nanoseconds without a division
 * @mul: multiplier, 32.32 fixed point, top bit set
 * @shift: the tick count is shifted left by this first (right if negative)
 */
struct halo_pvclock_scale {
	u32 mul;
	s8 shift;
};

void halo_pvclock_scale_init(struct halo_pvclock_scale *s, u32 tsc_khz);

#endif /* HALO_PVCLOCK_H */
