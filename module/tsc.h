/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The arithmetic of a guest's TSC that counts at another rate than the host's.
 *
 * The CPU multiplies the host's TSC by a ratio, a fixed-point number, and adds an offset
 * (APM volume 2, 15.30.5; SDM 3C 25.3): so the offset is in guest
 * ticks.  A ratio of 0 stands for "as the host", where nothing is multiplied.
 *
 * Pure, no locks: clock.c and irq.c call it.
 */
#ifndef HALO_TSC_H
#define HALO_TSC_H

#include "pure.h"

/**
 * halo_tsc_ratio() - guest ticks per host tick
 * @guest_khz: the guest's rate, kHz
 * @host_khz: the host's
 * @fraction: bits behind the point, 32 to 48
 * @whole: bits in front of it, 8 or 16
 *
 * Return: the ratio, short of the true one by less than its lowest bit; 0 if it does
 * not fit, or is none.
 */
static inline u64 halo_tsc_ratio(u32 guest_khz, u32 host_khz, unsigned int fraction,
				 unsigned int whole)
{
	u64 ratio, left;

	if (!host_khz || guest_khz / host_khz >> whole)
		return 0;
	/* A remainder has room for 32 bits more at a time. */
	left = (u64)(guest_khz % host_khz) << 32;
	ratio = (u64)(guest_khz / host_khz) << 32 | left / host_khz;
	left = left % host_khz << (fraction - 32);
	return ratio << (fraction - 32) | left / host_khz;
}

/**
 * halo_tsc_scale() - what a guest counts while the host counts some
 * @ticks: the host's
 * @ratio: as halo_tsc_ratio() gives it, or 0
 * @fraction: see there
 *
 * Return: guest ticks, modulo 2^64, rounded as the CPU does: down.
 */
static inline u64 halo_tsc_scale(u64 ticks, u64 ratio, unsigned int fraction)
{
	return likely(!ratio) ? ticks : mul_u64_u64_shr(ticks, ratio, fraction);
}

/**
 * halo_tsc_unscale() - how long the host counts until a guest has counted some
 * @ticks: the guest's
 * @guest_khz: the guest's rate, kHz, not 0
 * @host_khz: the host's
 *
 * Return: host ticks, rounded up; 2^63 if they are more.
 */
static inline u64 halo_tsc_unscale(u64 ticks, u32 guest_khz, u32 host_khz)
{
	/* No product of these is more than the quotient has room for. */
	if (ticks / guest_khz >> 31)
		return BIT_ULL(63);
	return ticks / guest_khz * host_khz + ticks % guest_khz * host_khz / guest_khz + 1;
}

#endif /* HALO_TSC_H */
