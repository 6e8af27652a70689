// SPDX-License-Identifier: GPL-2.0
/* sources: module/ring.c */
/*
 * The exit and reply rings against an honest user, a lying one, and one on
 * another thread. The rules that are numbered are those of the design's list.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ring.h"

#define N	8

struct fixture {
	struct halo_rings r;
	struct halo_ring *exits;
	struct halo_ring *replies;
};

/* Exact allocations, so that the sanitizer sees one byte too many. */
static void rings_make(struct fixture *f, u32 entries)
{
	f->exits = calloc(1, halo_ring_bytes(entries, sizeof(struct halo_exit)));
	f->replies = calloc(1, halo_ring_bytes(entries, sizeof(struct halo_reply)));
	assert_non_null(f->exits);
	assert_non_null(f->replies);
	halo_rings_init(&f->r, f->exits, f->replies, entries);
}

static void rings_drop(struct fixture *f)
{
	free(f->exits);
	free(f->replies);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	rings_make(f, N);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	rings_drop(*state);
	free(*state);
	return 0;
}

/* What an honest user does. */
static const struct halo_exit *user_peek(struct fixture *f)
{
	u32 head = f->replies->head;

	if (smp_load_acquire(&f->exits->tail) == head)
		return NULL;
	return (struct halo_exit *)((char *)f->exits + f->exits->entries_offset) +
	       (head & (f->exits->entries - 1));
}

static void user_take(struct fixture *f)
{
	smp_store_release(&f->replies->head, f->replies->head + 1);
}

static void user_reply(struct fixture *f, const struct halo_reply *reply)
{
	u32 tail = f->replies->tail;
	struct halo_reply *slot =
		(struct halo_reply *)((char *)f->replies + f->replies->entries_offset) +
		(tail & (f->replies->entries - 1));

	*slot = *reply;
	smp_store_release(&f->replies->tail, tail + 1);
}

static int push(struct fixture *f, u16 flags, u64 addr)
{
	struct halo_exit exit = { .type = HALO_EXIT_PIO, .flags = flags, .addr = addr };

	return halo_ring_push(&f->r, &exit);
}

static int answer(struct fixture *f, struct halo_reply reply)
{
	struct halo_answer out;

	user_reply(f, &reply);
	return halo_ring_pop_reply(&f->r, &out);
}

static void sizes_are_powers_of_two(void **state)
{
	static const u32 bad[] = { 0, 1, 2, 3, 5, 6, 63, 65, 2048, 1u << 31, ~0u };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(halo_ring_entries_valid(bad[i]));
	for (u32 n = HALO_RING_ENTRIES_MIN; n <= HALO_RING_ENTRIES_MAX; n *= 2)
		assert_true(halo_ring_entries_valid(n));
}

static void an_exit_and_its_reply(void **state)
{
	struct fixture *f = *state;
	struct halo_exit exit = {
		.type = HALO_EXIT_MMIO, .flags = HALO_EXIT_F_SYNC, .size = 4, .insn_len = 3,
		.vcpu = 7, .addr = 0xfec00000, .data = 0x1122, .cookie = 99, .rip = 0x1000,
		.insn = { 0x8b, 0x07 },
	};
	struct halo_answer out;
	const struct halo_exit *seen;

	assert_int_equal(f->exits->entries, N);
	assert_int_equal(f->exits->entries_offset, sizeof(struct halo_ring));
	assert_int_equal(f->replies->entries, N);
	assert_null(user_peek(f));

	assert_int_equal(halo_ring_push(&f->r, &exit), 0);
	assert_int_equal(exit.seq, 1);
	assert_int_equal(f->r.pending, 1);
	seen = user_peek(f);
	assert_non_null(seen);
	assert_memory_equal(seen, &exit, sizeof(exit));
	user_take(f);
	assert_null(user_peek(f));

	assert_int_equal(halo_ring_pop_reply(&f->r, &out), 0);
	user_reply(f, &(struct halo_reply){ .seq = 1, .data = 0xabcd });
	assert_int_equal(halo_ring_pop_reply(&f->r, &out), 1);
	assert_int_equal(out.data, 0xabcd);
	assert_int_equal(f->exits->head, 1);
	assert_int_equal(f->r.pending, 0);
	assert_int_equal(halo_ring_pop_reply(&f->r, &out), 0);
}

static void one_sync_exit_at_a_time(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(push(f, HALO_EXIT_F_SYNC, 1), 0);
	assert_int_equal(push(f, HALO_EXIT_F_SYNC, 2), -EBUSY);
	assert_int_equal(push(f, HALO_EXIT_F_POSTED, 2), -EBUSY);
	assert_int_equal(f->exits->tail, 1);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 1 }), 1);
	assert_int_equal(push(f, HALO_EXIT_F_SYNC, 2), 0);
}

/* Nothing is dropped, nothing overwritten, order is kept, over the wrap of 2^32. */
static void posted_fill_the_ring_and_wait(void **state)
{
	struct fixture *f = *state;
	u64 next = 1;

	f->r.exit_tail = f->exits->tail = f->replies->head = 0xfffffff0u;
	for (int round = 0; round < 10; round++) {
		for (u32 i = 0; i < N; i++)
			assert_int_equal(push(f, HALO_EXIT_F_POSTED, next + i), 0);
		assert_int_equal(push(f, HALO_EXIT_F_POSTED, 0), -EAGAIN);
		assert_int_equal(push(f, HALO_EXIT_F_SYNC, 0), -EAGAIN);
		assert_int_equal(f->r.pending, 0);
		for (u32 i = 0; i < N; i++, next++) {
			assert_int_equal(user_peek(f)->addr, next);
			assert_int_equal(user_peek(f)->seq, next);
			user_take(f);
		}
		assert_null(user_peek(f));
	}
}

static void sync_comes_after_the_posted_before_it(void **state)
{
	struct fixture *f = *state;

	push(f, HALO_EXIT_F_POSTED, 1);
	push(f, HALO_EXIT_F_POSTED, 2);
	push(f, HALO_EXIT_F_SYNC, 3);
	for (u64 i = 1; i <= 3; i++, user_take(f))
		assert_int_equal(user_peek(f)->addr, i);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 3 }), 1);
}

/* Rule 2, the exits' side. */
static void a_lying_head_breaks_the_ring(void **state)
{
	static const u32 lies[] = { 1, 2, N + 1, 0x7fffffff, 0x80000000, ~0u - N };

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct halo_answer out;
		struct fixture f;

		rings_make(&f, N);
		f.replies->head = lies[i];
		assert_int_equal(push(&f, HALO_EXIT_F_SYNC, 0), -EPROTO);
		assert_int_equal(f.exits->flags, HALO_RING_BROKEN);
		assert_int_equal(f.exits->tail, 0);

		/* For good: mending the index and clearing the flag is no way back. */
		f.replies->head = 0;
		f.exits->flags = 0;
		assert_int_equal(push(&f, HALO_EXIT_F_SYNC, 0), -EPROTO);
		assert_int_equal(halo_ring_pop_reply(&f.r, &out), -EPROTO);
		rings_drop(&f);
	}
}

/* The greatest lie that is still possible is just a full ring. */
static void the_oldest_possible_head_is_a_full_ring(void **state)
{
	struct fixture *f = *state;

	f->replies->head = -(u32)N;
	assert_int_equal(push(f, HALO_EXIT_F_SYNC, 0), -EAGAIN);
	assert_int_equal(f->exits->flags, 0);
	f->replies->head--;
	assert_int_equal(push(f, HALO_EXIT_F_SYNC, 0), -EPROTO);
}

/* Rule 2, the replies' side. */
static void a_lying_tail_breaks_the_ring(void **state)
{
	static const u32 lies[] = { N + 1, 0x7fffffff, 0x80000000, ~0u };

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct halo_answer out;
		struct fixture f;

		rings_make(&f, N);
		assert_int_equal(push(&f, HALO_EXIT_F_SYNC, 0), 0);
		f.replies->tail = lies[i];
		assert_int_equal(halo_ring_pop_reply(&f.r, &out), -EPROTO);
		assert_int_equal(f.exits->flags, HALO_RING_BROKEN);
		f.replies->tail = 1;
		assert_int_equal(halo_ring_pop_reply(&f.r, &out), -EPROTO);
		rings_drop(&f);
	}
}

/* Rules 1 and 3: what stands in the shared headers is decoration for the kernel. */
static void shared_copies_are_never_read_back(void **state)
{
	struct fixture *f = *state;
	struct halo_answer out;

	memset(f->exits, 0xff, sizeof(*f->exits));
	f->replies->entries = 0xffff;
	f->replies->entries_offset = 0xffffffff;
	f->replies->flags = ~0u;
	for (u64 i = 1; i <= 3 * N; i++) {
		assert_int_equal(push(f, HALO_EXIT_F_SYNC, i), 0);
		assert_int_equal(f->exits->tail, i);
		assert_int_equal(f->r.exit[(i - 1) % N].addr, i);
		user_take(f);
		f->exits->tail = 0xdead;
		f->exits->head = 0xbeef;
		*(struct halo_reply *)&f->r.reply[(i - 1) % N] = (struct halo_reply){ .seq = i };
		f->replies->tail++;
		assert_int_equal(halo_ring_pop_reply(&f->r, &out), 1);
	}
}

/* Rule 5: nobody may answer what was not asked. */
static void the_seq_must_match(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(answer(f, (struct halo_reply){ .seq = 0 }), -EPROTO);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 1 }), -EPROTO);
	push(f, HALO_EXIT_F_POSTED, 0);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 1 }), -EPROTO);
	push(f, HALO_EXIT_F_SYNC, 0);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 1 }), -EPROTO);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 3 }), -EPROTO);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 0 }), -EPROTO);

	/* Bad replies were taken off; the exit still waits, for a good one. */
	assert_int_equal(f->exits->flags, 0);
	assert_int_equal(f->r.pending, 2);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 2 }), 1);
	assert_int_equal(answer(f, (struct halo_reply){ .seq = 2 }), -EPROTO);
}

/* Rule 11, and everything a later step relies on. */
static void a_bad_reply_is_refused(void **state)
{
	struct fixture *f = *state;
	struct halo_reply bad[] = {
		{ .action = HALO_ACTION_SHUTDOWN + 1 },
		{ .action = 255 },
		{ .reserved = { 1 } },
		{ .reserved = { [4] = 1 } },
		{ .reserved2 = 1 },
		{ .has_error = 2 },
		{ .action = HALO_ACTION_INJECT, .vector = 32 },
		{ .action = HALO_ACTION_INJECT, .vector = 255 },
		{ .action = HALO_ACTION_INJECT, .vector = 2 },
		{ .action = HALO_ACTION_INJECT, .vector = 6, .has_error = 1 },
		{ .action = HALO_ACTION_INJECT, .vector = 31, .has_error = 1 },
	};
	struct halo_reply good[] = {
		{ .action = HALO_ACTION_DONE, .data = ~0ull },
		{ .action = HALO_ACTION_RETRY },
		{ .action = HALO_ACTION_SHUTDOWN },
		{ .action = HALO_ACTION_INJECT, .vector = 0 },
		{ .action = HALO_ACTION_INJECT, .vector = 6 },
		{ .action = HALO_ACTION_INJECT, .vector = 13, .has_error = 1, .error_code = 5 },
		{ .action = HALO_ACTION_INJECT, .vector = 31 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		push(f, HALO_EXIT_F_SYNC, 0);
		user_take(f);
		for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
			bad[j].seq = i + 1;
			assert_int_equal(answer(f, bad[j]), -EPROTO);
		}
		good[i].seq = i + 1;
		assert_int_equal(answer(f, good[i]), 1);
	}
}

/* #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX push one, nothing else does. */
static void error_codes_go_with_their_vectors(void **state)
{
	static const u8 with[] = { 8, 10, 11, 12, 13, 14, 17, 21, 29, 30 };
	struct fixture *f = *state;
	u64 seq = 0;

	for (u8 vector = 0; vector < 32; vector++) {
		bool has = memchr(with, vector, sizeof(with));

		push(f, HALO_EXIT_F_SYNC, 0);
		user_take(f);
		seq++;
		assert_int_equal(answer(f, (struct halo_reply){ .seq = seq, .vector = vector,
				 .action = HALO_ACTION_INJECT, .has_error = 1 }),
				 has ? 1 : -EPROTO);
		if (!has)
			assert_int_equal(answer(f, (struct halo_reply){ .seq = seq }), 1);
	}
}

static void several_replies_are_taken_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct halo_answer out;

	push(f, HALO_EXIT_F_SYNC, 0);
	for (u64 i = 0; i < N - 1; i++)
		user_reply(f, &(struct halo_reply){ .seq = 100 + i });
	user_reply(f, &(struct halo_reply){ .seq = 1 });
	for (u64 i = 0; i < N - 1; i++)
		assert_int_equal(halo_ring_pop_reply(&f->r, &out), -EPROTO);
	assert_int_equal(halo_ring_pop_reply(&f->r, &out), 1);
	assert_int_equal(halo_ring_pop_reply(&f->r, &out), 0);
	assert_int_equal(f->exits->head, N);
}

/* A server on another thread: every exit arrives whole, in order, once. */
#ifndef EXCHANGES
#define EXCHANGES	50000
#endif

static void *serve(void *arg)
{
	struct fixture *f = arg;
	u64 next = 1;

	while (next <= EXCHANGES) {
		const struct halo_exit *e = user_peek(f);
		struct halo_reply reply = { 0 };

		if (!e)
			continue;
		if (e->seq != next || e->addr != next * 3 || e->data != ~next || e->rip != next)
			return (void *)(uintptr_t)next;
		reply.seq = e->seq;
		reply.data = e->data ^ e->addr;
		if (e->flags & HALO_EXIT_F_SYNC)
			user_reply(f, &reply);
		user_take(f);
		next++;
	}
	return NULL;
}

static void a_server_on_another_thread(void **state)
{
	struct fixture *f = *state;
	struct halo_answer out;
	pthread_t thread;
	void *trouble;

	assert_int_equal(pthread_create(&thread, NULL, serve, f), 0);
	for (u64 i = 1; i <= EXCHANGES; i++) {
		struct halo_exit e = { .type = HALO_EXIT_MMIO, .addr = i * 3, .data = ~i, .rip = i };
		int ret;

		e.flags = i % 5 ? HALO_EXIT_F_POSTED : HALO_EXIT_F_SYNC;
		do {
			ret = halo_ring_push(&f->r, &e);
		} while (ret == -EAGAIN);
		assert_int_equal(ret, 0);
		if (e.flags & HALO_EXIT_F_POSTED)
			continue;
		do {
			ret = halo_ring_pop_reply(&f->r, &out);
		} while (!ret);
		assert_int_equal(ret, 1);
		assert_true(out.data == (~i ^ (i * 3)));
	}
	pthread_join(thread, &trouble);
	assert_null(trouble);
}

/* Rule 4: a user that rewrites a reply while it is copied gets at most a refusal. */
static volatile bool flipping;

static void *flip(void *arg)
{
	struct fixture *f = arg;
	volatile u8 *bytes = (u8 *)f->r.reply;

	while (flipping)
		for (size_t i = 8; i < sizeof(struct halo_reply); i++)
			bytes[i] ^= 0x5a;
	return NULL;
}

static void a_reply_that_changes_under_the_copy(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	flipping = true;
	assert_int_equal(pthread_create(&thread, NULL, flip, f), 0);
	for (u64 i = 1; i <= 20000; i++) {
		struct halo_answer out;
		int ret;

		assert_int_equal(push(f, HALO_EXIT_F_SYNC, 0), 0);
		user_take(f);
		/* All slots lie in wait; the flipper works on the first. */
		f->r.reply_head = 0;
		f->replies->tail = 1;
		*(volatile __u64 *)&f->r.reply[0].seq = i;
		ret = halo_ring_pop_reply(&f->r, &out);
		if (ret == 1) {
			assert_true((u8)out.what <= HALO_ACTION_SHUTDOWN);
			assert_true((u8)(out.what >> 16) <= 1);
		} else {
			assert_int_equal(ret, -EPROTO);
			f->r.pending = 0;
		}
		assert_false(f->r.broken);
	}
	flipping = false;
	pthread_join(thread, NULL);
}

int main(void)
{
#define CASE(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(sizes_are_powers_of_two),
		CASE(an_exit_and_its_reply),
		CASE(one_sync_exit_at_a_time),
		CASE(posted_fill_the_ring_and_wait),
		CASE(sync_comes_after_the_posted_before_it),
		CASE(a_lying_head_breaks_the_ring),
		CASE(the_oldest_possible_head_is_a_full_ring),
		CASE(a_lying_tail_breaks_the_ring),
		CASE(shared_copies_are_never_read_back),
		CASE(the_seq_must_match),
		CASE(a_bad_reply_is_refused),
		CASE(error_codes_go_with_their_vectors),
		CASE(several_replies_are_taken_one_by_one),
		CASE(a_server_on_another_thread),
		CASE(a_reply_that_changes_under_the_copy),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
