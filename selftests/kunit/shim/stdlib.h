/* SPDX-License-Identifier: GPL-2.0 */
/* The C library's memory, for tests that run in the kernel. */
#ifndef HALO_SHIM_STDLIB_H
#define HALO_SHIM_STDLIB_H

#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "cmocka.h"

static inline void *malloc(size_t bytes)
{
	return kvmalloc(bytes, GFP_KERNEL);
}

static inline void *calloc(size_t n, size_t bytes)
{
	return kvcalloc(n, bytes, GFP_KERNEL);
}

/* A power of two from kmalloc() is aligned to itself. */
static inline void *aligned_alloc(size_t align, size_t bytes)
{
	return kmalloc(roundup_pow_of_two(max(align, bytes)), GFP_KERNEL);
}

static inline void free(const void *p)
{
	kvfree(p);
}

#define __real_calloc(n, bytes)	calloc(n, bytes)
#define abort()			halo_shim_fail(__FILE__, __LINE__, "abort()")
#define getenv(name)		((char *)NULL)
#define strtoull(s, end, base)	simple_strtoull(s ?: "", NULL, base)

#endif /* HALO_SHIM_STDLIB_H */
