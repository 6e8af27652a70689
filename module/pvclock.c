// SPDX-License-Identifier: GPL-2.0
/*
 * Ticks to nanoseconds, the way the guest will do it with the same constants.
 */
#include "pvclock.h"

#define NS_PER_SEC	1000000000ull

/**
 * halo_pvclock_scale_init() - constants for a TSC frequency
 * @s: where to
 * @tsc_khz: frequency in kHz, not 0
 *
 * The frequency is brought into (1 GHz, 2 GHz] by shifting, so that the
 * multiplier keeps 32 significant bits.
 */
void halo_pvclock_scale_init(struct halo_pvclock_scale *s, u32 tsc_khz)
{
	u64 hz = (u64)tsc_khz * 1000;

	s->shift = 0;
	while (hz > 2 * NS_PER_SEC) {
		hz >>= 1;
		s->shift--;
	}
	while (hz <= NS_PER_SEC) {
		hz <<= 1;
		s->shift++;
	}
	s->mul = (NS_PER_SEC << 32) / hz;
}
