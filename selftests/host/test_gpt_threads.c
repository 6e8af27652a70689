// SPDX-License-Identifier: GPL-2.0
/* sources: ept/gpt.c */
/*
 * The page-table engine among threads: CPUs that walk and set accessed and dirty
 * bits under no lock, while others map, add rights, age and zap. A table that is
 * freed before the flush is the address sanitizer's; a dirty bit that is lost is
 * found by counting.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpt_fixture.h"

static u64 rnd(u64 n)
{
	return 0;	/* this program chooses per thread */
}

#define CPUS		2
#define STRESS_PAGES	2048ULL		/* four 2 MiB spans */
#ifndef STRESS_ROUNDS
#define STRESS_ROUNDS	20000
#endif

struct stress {
	const struct hw *hw;
	struct gpt g;
	pthread_rwlock_t lock;
	unsigned long passed[CPUS];	/* odd: walking */
	u64 dirtied;			/* D bits turned on by CPUs */
	u64 walks;
	int stop;
};

static u64 stress_hpa(u64 gpa)
{
	return gpa + 64 * G1;
}

/* The guest: walks with no lock; any translation it gets must be the right one. */
struct stress_cpu {
	struct stress *s;
	int nr;
	bool check;
};

static void *stress_cpu(void *arg)
{
	struct stress_cpu *cpu = arg;
	struct stress *s = cpu->s;
	u64 seed = 12345 + cpu->nr;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		u64 r = rng_next(&seed), gpa = (r % STRESS_PAGES) * K4;
		unsigned int access = r >> 40 & 1 ? GPT_WRITE : GPT_READ;
		struct hw_result res;

		__atomic_fetch_add(&s->passed[cpu->nr], 1, __ATOMIC_SEQ_CST);
		if (hw_access(s->hw, gpt_root(&s->g), gpa, access, &res)) {
			if (res.hpa != stress_hpa(gpa))
				abort();
			__atomic_fetch_add(&s->dirtied, res.set_dirty, __ATOMIC_SEQ_CST);
			__atomic_fetch_add(&s->walks, 1, __ATOMIC_SEQ_CST);
		}
		__atomic_fetch_add(&s->passed[cpu->nr], 1, __ATOMIC_SEQ_CST);
		if (!(r >> 50 & 0xff))
			sched_yield();
	}
	return NULL;
}

/* Wait until every CPU has ended the walk that it may be in. */
static void stress_flush(struct stress *s)
{
	int i;

	for (i = 0; i < CPUS; i++) {
		unsigned long seen = __atomic_load_n(&s->passed[i], __ATOMIC_SEQ_CST);

		while ((seen & 1) && __atomic_load_n(&s->passed[i], __ATOMIC_SEQ_CST) == seen &&
		       !__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE))
			sched_yield();
	}
}

/* Has what the test counts happened at all, and often enough? */
static bool stress_enough(struct stress *s, bool dirty)
{
	int i;

	for (i = 0; i < CPUS; i++)
		if (__atomic_load_n(&s->passed[i], __ATOMIC_SEQ_CST) / 2 < STRESS_ROUNDS)
			return false;
	return __atomic_load_n(&s->walks, __ATOMIC_SEQ_CST) &&
	       (!dirty || __atomic_load_n(&s->dirtied, __ATOMIC_SEQ_CST));
}

static void *stress_mapper(void *arg)
{
	struct stress *s = arg;
	u64 seed = (u64)(uintptr_t)&seed | 1;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		u64 r = rng_next(&seed), gpa = (r % STRESS_PAGES) * K4;
		int level = r >> 40 & 15 ? 1 : 2, err;
		struct gpt_cache cache = {};

		gpa &= ~(gpt_span(level) - 1);
		if (gpt_cache_fill(&s->g, &cache, 4 - level))
			abort();
		pthread_rwlock_rdlock(&s->lock);
		err = gpt_map(&s->g, &cache, gpa, stress_hpa(gpa), level,
			      GPT_READ | GPT_EXEC | (r >> 60 & 1 ? GPT_WRITE : 0));
		pthread_rwlock_unlock(&s->lock);
		if (err && err != -EEXIST && err != -EISDIR)
			abort();
		gpt_cache_drain(&s->g, &cache);
	}
	return NULL;
}

static void stress_change(struct stress *s, u64 r, bool take_away)
{
	u64 start = (r % STRESS_PAGES) * K4, end = start + (r >> 20 & 0x3ff) * K4;
	struct gpt_zapped zapped = {};

	if (!take_away || (r >> 56 & 1)) {
		/* Beside those who map. */
		pthread_rwlock_rdlock(&s->lock);
		gpt_age(&s->g, start, end, true);
		pthread_rwlock_unlock(&s->lock);
		return;
	}
	pthread_rwlock_wrlock(&s->lock);
	if (gpt_zap(&s->g, start & ~(M2 - 1), end, &zapped))
		stress_flush(s);
	pthread_rwlock_unlock(&s->lock);
	gpt_free(&s->g, &zapped, ~0U);
}

/* Dirty leaves of the small pages that were mapped at the start. */
static u64 count_dirty(struct gpt *g)
{
	struct gpt_leaf leaf;
	u64 i, n = 0;

	for (i = 0; i < STRESS_PAGES; i++)
		n += gpt_lookup(g, i * K4, &leaf) && (leaf.flags & GPT_DIRTY);
	return n;
}

static void stress(const struct hw *hw, bool take_away)
{
	struct stress *s = calloc(1, sizeof(*s));
	pthread_t cpu[CPUS], mapper[2];
	struct stress_cpu arg[CPUS];
	u64 seed = 4242;
	int i;

	assert_non_null(s);
	s->hw = hw;
	pthread_rwlock_init(&s->lock, NULL);
	start_tables(hw, &s->g);
	/* Without zaps every dirty bit can be accounted for; rights come bit by bit. */
	if (!take_away) {
		for (i = 0; i < STRESS_PAGES; i++)
			assert_int_equal(map(&s->g, i * K4, stress_hpa(i * K4), 1, GPT_READ), 0);
	}
	for (i = 0; i < CPUS; i++) {
		arg[i] = (struct stress_cpu){ s, i, true };
		assert_int_equal(pthread_create(&cpu[i], NULL, stress_cpu, &arg[i]), 0);
	}
	for (i = 0; i < ARRAY_SIZE(mapper); i++)
		assert_int_equal(pthread_create(&mapper[i], NULL, stress_mapper, s), 0);
	for (i = 0; i < STRESS_ROUNDS || !stress_enough(s, !take_away && hw->ad); i++) {
		stress_change(s, rng_next(&seed), take_away);
		if (!(i % 64))
			sched_yield();
	}
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < CPUS; i++)
		pthread_join(cpu[i], NULL);
	for (i = 0; i < ARRAY_SIZE(mapper); i++)
		pthread_join(mapper[i], NULL);

	assert_true(s->walks > 0);
	if (!take_away && hw->ad) {
		assert_true(s->dirtied > 0);
		assert_int_equal(s->dirtied, count_dirty(&s->g));
	}
	hw_check_all(hw, &s->g);
	end_tables(&s->g);
	pthread_rwlock_destroy(&s->lock);
	free(s);
}

static void test_threads_zap(void **state)
{
	int i;

	for (i = 0; i < 3; i++)
		stress(&kinds[i], true);
}

static void test_threads_no_dirty_bit_lost(void **state)
{
	int i;

	for (i = 0; i < 3; i++)
		stress(&kinds[i], false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_zap),
		cmocka_unit_test(test_threads_no_dirty_bit_lost),
	};

	return cmocka_run_group_tests_name("gpt_threads", tests, NULL, NULL);
}
