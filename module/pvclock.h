/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The KVM-compatible clock as data: two small structs in guest memory, and the
 * arithmetic behind them (Documentation/virt/kvm/x86/msr.rst of the kernel).
 * Pure: reading clocks and writing guest memory is clock.c's.
 */
#ifndef HALO_PVCLOCK_H
#define HALO_PVCLOCK_H

#include "pure.h"

#define HALO_PVCLOCK_TSC_STABLE		BIT(0)
#define HALO_PVCLOCK_GUEST_STOPPED	BIT(1)

/**
 * struct halo_pvclock_scale - ticks to nanoseconds without a division
 * @mul: multiplier, 32.32 fixed point, top bit set
 * @shift: the tick count is shifted left by this first (right if negative)
 */
struct halo_pvclock_scale {
	u32 mul;
	s8 shift;
};

/**
 * struct halo_pvclock_time - a vCPU's clock, as the guest reads it
 * @version: odd while being written
 * @pad0: zero
 * @tsc_timestamp: guest TSC at @system_time
 * @system_time: ns since the VM began
 * @mul: as in struct halo_pvclock_scale
 * @shift: the same
 * @flags: HALO_PVCLOCK_*
 * @pad: zero
 */
struct halo_pvclock_time {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 mul;
	s8 shift;
	u8 flags;
	u8 pad[2];
};

static_assert(sizeof(struct halo_pvclock_time) == 32, "the guest's layout");

/**
 * struct halo_pvclock_wall - time of day at system_time 0
 * @version: odd while being written
 * @sec: seconds since 1970
 * @nsec: and nanoseconds
 */
struct halo_pvclock_wall {
	u32 version;
	u32 sec;
	u32 nsec;
};

static_assert(sizeof(struct halo_pvclock_wall) == 12, "the guest's layout");

void halo_pvclock_scale_init(struct halo_pvclock_scale *s, u32 tsc_khz);
u64 halo_pvclock_ns(const struct halo_pvclock_scale *s, u64 ticks);

#endif /* HALO_PVCLOCK_H */
