// SPDX-License-Identifier: GPL-2.0
/* sources: module/ring.c */
/*
 * The kernel's side of the rings against a hostile peer on another thread, which rewrites
 * indices and entries as fast as it can: a hundred million operations, at full speed
 * (no sanitizer), or as many as fit into the time that is given.
 *
 * After each operation: what came back is one of the documented values, a reply that was
 * taken is one that a CPU can use and answers what was asked, the private indices moved as
 * they should, and nothing around the two areas was touched.
 *
 * $STRESS_OPS operations (10^8), or as many more as it takes until all has happened once;
 * $STRESS_SECONDS at most (60).  Where both threads have one CPU between them they take
 * turns, or the peer would be seen only as often as the scheduler changes threads.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "ring.h"

#define N	8
#define GUARD	4096
#define CANARY	0x5a

struct area {
	u8 before[GUARD];
	struct halo_ring head;
	u8 entries[N * sizeof(struct halo_exit)];
	u8 after[GUARD];
};

static struct area exits, replies;
static volatile bool stop;
static u64 flips;

static u64 next_random(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Mostly near the truth, so that the rings live for a while; then anything. */
static void *peer(void *arg)
{
	struct halo_reply *slot = (struct halo_reply *)replies.entries;
	u64 r = 88172645463325252ull;

	while (!stop) {
		u64 v = next_random(&r);
		u32 i = v >> 8 & (N - 1);

		flips++;
		switch (v & 15) {
		case 0:
			WRITE_ONCE(replies.head.tail, READ_ONCE(exits.head.head) + (v >> 32) % (N + 1));
			break;
		case 1:
			WRITE_ONCE(replies.head.head, READ_ONCE(exits.head.tail) - (v >> 32) % (N + 1));
			break;
		case 2:
			if (!(v >> 40 & 0xfff))
				WRITE_ONCE(replies.head.tail, v >> 32);
			break;
		case 3:
			if (!(v >> 40 & 0xfff))
				WRITE_ONCE(replies.head.head, v >> 32);
			break;
		case 4:
			WRITE_ONCE(replies.head.entries, v >> 32);
			WRITE_ONCE(replies.head.entries_offset, v >> 16);
			WRITE_ONCE(replies.head.flags, v >> 20);
			break;
		case 5 ... 7:
			((u8 *)&slot[i])[v >> 16 & 31] = v >> 32;
			break;
		default:
			WRITE_ONCE(slot[i].seq, ((const struct halo_exit *)exits.entries)
				   [v >> 16 & (N - 1)].seq);
			WRITE_ONCE(slot[i].action, v >> 32 & 3);
			memset(slot[i].reserved, 0, sizeof(slot[i].reserved));
			WRITE_ONCE(slot[i].reserved2, 0);
			WRITE_ONCE(slot[i].has_error, 0);
			WRITE_ONCE(slot[i].vector, 13);
			break;
		}
	}
	return NULL;
}

static void reset(struct halo_rings *r)
{
	memset(&exits, CANARY, sizeof(exits));
	memset(&exits.head, 0, sizeof(exits.head) + sizeof(exits.entries));
	memset(replies.before, CANARY, GUARD);
	memset(replies.after, CANARY, GUARD);
	memset(&replies.head, 0, sizeof(replies.head));
	halo_rings_init(r, &exits.head, &replies.head, N);
}

static void check_guards(const struct area *a)
{
	static u8 clean[GUARD];

	if (!clean[0])
		memset(clean, CANARY, GUARD);
	assert_memory_equal(a->before, clean, GUARD);
	assert_memory_equal(a->after, clean, GUARD);
}

static u64 env(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

static u64 one(struct halo_rings *r, u64 i, u64 count[8])
{
	struct halo_exit exit = { .type = HALO_EXIT_PIO, .addr = i };
	u32 tail = r->exit_tail, head = r->reply_head;
	u64 pending = r->pending;
	struct halo_answer out = {};
	int err;

	if (pending || i & 1) {
		err = halo_ring_pop_reply(r, &out);
		assert_true(r->reply_head - head <= 1);
		if (err == 1) {
			assert_int_equal(out.seq, pending);
			assert_true((u8)out.what <= HALO_ACTION_SHUTDOWN);
			assert_true((u8)out.what != HALO_ACTION_INJECT ||
				    ((u8)(out.what >> 8) < 32 && (u8)(out.what >> 8) != 2));
			assert_int_equal(r->pending, 0);
			count[0]++;
		} else {
			assert_true(err == 0 || err == -EPROTO);
			assert_int_equal(r->pending, pending);
			count[err ? 2 : 1]++;
		}
		/* Nobody may wait for ever: an exit whose reply never fits is given up. */
		if (!(i & 63))
			r->pending = 0;
		return 1;
	}
	exit.flags = i & 2 ? HALO_EXIT_F_SYNC : HALO_EXIT_F_POSTED;
	err = halo_ring_push(r, &exit);
	assert_int_equal(r->exit_tail - tail, !err);
	assert_true(!err || err == -EAGAIN || err == -EPROTO);
	assert_int_equal(r->pending, !err && i & 2 ? r->seq : 0);
	count[err ? err == -EAGAIN ? 4 : 5 : 3]++;
	return 1;
}

static bool all_seen(const u64 count[8], u64 broken)
{
	return count[0] && count[2] && count[3] && count[4] && broken;
}

static void a_hostile_peer(void **state)
{
	u64 ops = env("STRESS_OPS", 100000000), i, count[8] = { 0 }, broken = 0;
	time_t end = time(NULL) + env("STRESS_SECONDS", 60);
	struct halo_rings r;
	pthread_t t;

	reset(&r);
	assert_int_equal(pthread_create(&t, NULL, peer, NULL), 0);
	for (i = 0; i < ops || !all_seen(count, broken); i++) {
		one(&r, i, count);
		if (r.broken) {
			broken++;
			check_guards(&exits);
			check_guards(&replies);
			reset(&r);
		}
		if (!(i & 0xfff))
			sched_yield();
		if (!(i & 0xfffff) && time(NULL) > end)
			break;
	}
	stop = true;
	pthread_join(t, NULL);
	check_guards(&exits);
	check_guards(&replies);
	print_message("# %llu operations against %llu writes: replies %llu taken, %llu missing, %llu refused; exits %llu pushed, %llu full; broken %llu times\n",
		      i, flips, count[0], count[1], count[2], count[3], count[4], broken);
	assert_true(all_seen(count, broken));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_hostile_peer) };

	return cmocka_run_group_tests_name("stress_ring", tests, NULL, NULL);
}
