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

/**
 * halo_pvclock_ns() - scale a tick count
 * @s: the constants
 * @ticks: TSC ticks
 *
 * Return: nanoseconds.
 */
u64 halo_pvclock_ns(const struct halo_pvclock_scale *s, u64 ticks)
{
	if (s->shift >= 0)
		ticks <<= s->shift;
	else
		ticks >>= -s->shift;
	return (u64)(((unsigned __int128)ticks * s->mul) >> 32);
}
