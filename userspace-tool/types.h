/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Short names for the integers that hardware is made of, and the exit codes
 * that a caller of halo may rely on.
 */
#ifndef HALO_TOOL_TYPES_H
#define HALO_TOOL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define KIB		(1ull << 10)
#define MIB		(1ull << 20)
#define GIB		(1ull << 30)
#define PAGE_BYTES	4096ull

#define NS_PER_SEC	1000000000ull
#define NEVER		UINT64_MAX

/* Exit codes of the process. */
#define EC_OK		0	/* the guest powered off or reset itself */
#define EC_TIMEOUT	124	/* --timeout ran out */
#define EC_ERROR	125	/* bad usage, bad image, no memory */
#define EC_DEVICE	126	/* /dev/halo missing, busy, not permitted */
#define EC_NOIMAGE	127	/* the image file can't be read */
#define EC_SIGNAL	128	/* + signal number */
#define EC_TRIPLE	253	/* the guest took a triple fault */
#define EC_INTERNAL	254	/* VM entry failed, or the module gave up */
#define EC_PANIC	255	/* the guest told that it panicked */

/**
 * struct irq_out - where a device's interrupt output goes
 * @set: sets the level of the line
 * @ctx: its first argument
 * @line: its second argument
 */
struct irq_out {
	void (*set)(void *ctx, unsigned int line, bool level);
	void *ctx;
	unsigned int line;
};

static inline void irq_set(const struct irq_out *irq, bool level)
{
	if (irq->set)
		irq->set(irq->ctx, irq->line, level);
}

#endif /* HALO_TOOL_TYPES_H */
