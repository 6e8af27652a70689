/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AVIC: what the CPU reads in memory and what its two exits say (APM volume 2, 15.29).
 * Facts, and arithmetic on them; avic.c is what uses it.
 */
#ifndef HALO_SVM_AVIC_TABLES_H
#define HALO_SVM_AVIC_TABLES_H

#include "pure.h"

#define AVIC_VCPUS		64	/* numbers 0 to 63 are initial APIC IDs, too */

/* Entry of the physical APIC ID table. */
#define AVIC_HOST_ID		0xffull
#define AVIC_PAGE		GENMASK_ULL(51, 12)
#define AVIC_RUNNING		BIT_ULL(62)
#define AVIC_VALID		BIT_ULL(63)

/* Entry of the logical APIC ID table. */
#define AVIC_LOGICAL_VALID	BIT(31)
#define AVIC_LOGICAL_SLOTS	60	/* 8 of them in the flat model */

/* What a vCPU is called in the logical modes: LDR's byte, and these. */
#define AVIC_KEY_CLUSTER	BIT(8)
#define AVIC_KEY_PRESENT	BIT(9)

/* EXITINFO2 of an incomplete IPI: why, in the upper half. */
enum avic_ipi_reason {
	AVIC_IPI_TYPE,		/* not fixed and edge-triggered */
	AVIC_IPI_NOT_RUNNING,	/* in IRR of all it is for, not all of whom run */
	AVIC_IPI_TARGET,	/* an entry on the way is not valid */
	AVIC_IPI_PAGE,
	AVIC_IPI_VECTOR,	/* 0 to 15 */
};

/* EXITINFO1 of an access that is not accelerated. */
#define AVIC_ACCESS_OFFSET	0xff0u
#define AVIC_ACCESS_WRITE	BIT_ULL(32)

/* LVT, initial count, divisor: the model wants to know what they were. */
#define AVIC_KEEP_FIRST		0x320
#define AVIC_KEEP_LAST		0x3e0
#define AVIC_KEEPS		((AVIC_KEEP_LAST - AVIC_KEEP_FIRST) / 16 + 1)

bool avic_running_trusted(unsigned int family);
u64 avic_entry(u64 page, u32 host_id, bool running);
u64 avic_physical_field(u64 table, unsigned int last);
u16 avic_key(u32 ldr, u32 dfr);
bool avic_logical_fill(u32 *table, const u16 *keys);
bool avic_ipi_done(u64 info1, u64 info2, bool logical_off);
bool avic_access_traps(u64 info1);
void avic_keep(const void *page, u32 keep[AVIC_KEEPS]);
u32 avic_written(void *page, const u32 keep[AVIC_KEEPS], u32 offset);
u8 avic_ppr(const void *page);

#endif /* HALO_SVM_AVIC_TABLES_H */
