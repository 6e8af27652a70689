/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ground that pure code stands on.
 *
 * Pure code (decoder, ring, zones, page-table formats, LAPIC model, CPUID and
 * MSR tables) includes this header and nothing of the kernel's or the C
 * library's. In the kernel it is the usual linux/ headers; elsewhere it gives
 * the same names in terms of the compiler, so that one source text is unit
 * tested and fuzzed as an ordinary program.
 */
#ifndef HALO_PURE_H
#define HALO_PURE_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>

/* Zeroed memory, charged to the caller's cgroup; may sleep. */
static inline void *halo_alloc(size_t bytes)
{
	return kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
}

static inline void halo_free(const void *p)
{
	kvfree(p);
}

/* Set bits, atomically. */
static __always_inline void halo_or32(u32 *p, u32 bits)
{
	atomic_or((int)bits, (atomic_t *)p);
}

#else /* !__KERNEL__ */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The kernel's choice of types, so that %llx prints a u64 in either world. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK(h, l)		((~0UL << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l)	((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)

#define cmpxchg(p, o, n)	({ __typeof__(*(p)) __old = (o); \
				   __atomic_compare_exchange_n(p, &__old, n, false, \
							       __ATOMIC_SEQ_CST, \
							       __ATOMIC_SEQ_CST); \
				   __old; })

#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)

#undef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#define __aligned(n)		__attribute__((__aligned__(n)))
#define noinline		__attribute__((__noinline__))
#define fallthrough		__attribute__((__fallthrough__))

#define min(a, b)		({ __typeof__(a) __a = (a); __typeof__(b) __b = (b); \
				   __a < __b ? __a : __b; })
#define max(a, b)		({ __typeof__(a) __a = (a); __typeof__(b) __b = (b); \
				   __a > __b ? __a : __b; })

/* Atomic, fully ordered, as the kernel's; the non-atomic bit work is open-coded. */
#define xchg(p, v)		__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define set_bit(n, p)		((void)__atomic_fetch_or(p, BIT(n), __ATOMIC_SEQ_CST))
#define clear_bit(n, p)		((void)__atomic_fetch_and(p, ~BIT(n), __ATOMIC_SEQ_CST))
#define test_and_set_bit(n, p)	\
	(!!(__atomic_fetch_or(p, BIT(n), __ATOMIC_SEQ_CST) & BIT(n)))
#define test_and_clear_bit(n, p) \
	(!!(__atomic_fetch_and(p, ~BIT(n), __ATOMIC_SEQ_CST) & BIT(n)))
#define fls64(x)		((x) ? 64 - __builtin_clzll(x) : 0)
#define __ffs64(x)		__builtin_ctzll(x)

#define min_t(type, a, b)	min((type)(a), (type)(b))
#define max_t(type, a, b)	max((type)(a), (type)(b))
#define clamp_t(type, v, lo, hi)	min_t(type, max_t(type, v, lo), hi)

/* No speculation to defend against here; a bad index becomes 0, as in the kernel. */
#define array_index_nospec(i, n)	((i) < (n) ? (i) : 0)

#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)

#define ALIGN(x, a)		(((x) + (__typeof__(x))(a) - 1) & ~((__typeof__(x))(a) - 1))
#define IS_ALIGNED(x, a)	(((x) & ((__typeof__(x))(a) - 1)) == 0)
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))

#define lower_32_bits(n)	((u32)(n))
#define upper_32_bits(n)	((u32)((u64)(n) >> 32))

static inline u64 mul_u64_u64_shr(u64 a, u64 b, unsigned int shift)
{
	return (__uint128_t)a * b >> shift;
}

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

static inline unsigned int hweight32(u32 w)
{
	return __builtin_popcount(w);
}

static inline unsigned int hweight64(u64 w)
{
	return __builtin_popcountll(w);
}

#define MAX_ERRNO		4095
#define __user
#define __force
#define __must_check		__attribute__((__warn_unused_result__))

static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline long PTR_ERR(const void *p)
{
	return (long)p;
}

static inline bool IS_ERR(const void *p)
{
	return (unsigned long)p >= (unsigned long)-MAX_ERRNO;
}

static inline void *halo_alloc(size_t bytes)
{
	return calloc(1, bytes);
}

static inline void halo_free(const void *p)
{
	free((void *)p);
}

static inline void halo_or32(u32 *p, u32 bits)
{
	(void)__atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
}

#endif /* __KERNEL__ */
#endif /* HALO_PURE_H */
