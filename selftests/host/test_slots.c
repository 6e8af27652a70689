// SPDX-License-Identifier: GPL-2.0
/* sources: ept/slots.c */
/*
 * The memslot table: its edges one by one, then random changes beside a model
 * that keeps slots by number and compares every one with every other.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpt.h"
#include "slots.h"

#define K4	0x1000ULL
#define M2	0x200000ULL
#define G1	0x40000000ULL
#define BITS	40

static struct halo_slots *slots;

/* Exact allocations, so that the sanitizer sees one slot too many. */
static struct halo_slots *slots_alloc(u32 count)
{
	struct halo_slots *s = malloc(halo_slots_bytes(count));

	assert_non_null(s);
	memset(s, 0xa5, halo_slots_bytes(count));
	s->count = 0;
	return s;
}

static int setup(void **state)
{
	slots = slots_alloc(0);
	return 0;
}

static int teardown(void **state)
{
	free(slots);
	return 0;
}

/* As halo_mem_set_slot() goes about it; on failure nothing has changed. */
static int set_gone(u32 id, u32 flags, u64 gpa, u64 bytes, u64 hva, struct halo_slot *gone)
{
	struct halo_slot want = { gpa, bytes, hva, id, flags };
	struct halo_slots *new, *tight;
	int err;

	err = halo_slots_check(&want, BITS);
	if (err)
		return err;
	new = slots_alloc(slots->count + 1);
	err = halo_slots_replace(new, slots, &want, gone);
	if (err) {
		free(new);
		return err;
	}
	tight = slots_alloc(new->count);
	memcpy(tight, new, halo_slots_bytes(new->count));
	free(new);
	free(slots);
	slots = tight;
	return 0;
}

static int set(u32 id, u32 flags, u64 gpa, u64 bytes, u64 hva)
{
	struct halo_slot gone;

	return set_gone(id, flags, gpa, bytes, hva, &gone);
}

static const struct halo_slot *find(u64 gpa)
{
	const struct halo_slot *first = NULL;
	unsigned int hint, h;

	/* Whatever the hint says, the answer is the same. */
	for (h = 0; h <= slots->count + 1; h++) {
		const struct halo_slot *slot;

		hint = h == slots->count + 1 ? ~0U : h;
		slot = halo_slots_find(slots, gpa, &hint);
		if (!h)
			first = slot;
		assert_ptr_equal(slot, first);
		if (slot)
			assert_ptr_equal(slot, &slots->slot[hint]);
	}
	return first;
}

static void test_soundness(void **state)
{
	const u64 top = 1ULL << BITS;

	assert_int_equal(set(HALO_MEM_SLOTS, 0, 0, K4, M2), -EINVAL);
	assert_int_equal(set(~0U, 0, 0, K4, M2), -EINVAL);
	assert_int_equal(set(HALO_MEM_SLOTS, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(set(0, 2, 0, K4, M2), -EINVAL);
	assert_int_equal(set(0, 1U << 31, 0, K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, 1, K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, 0, K4 + 1, M2), -EINVAL);
	assert_int_equal(set(0, 0, 0, 1, M2), -EINVAL);
	assert_int_equal(set(0, 0, 0, K4, M2 + 0x800), -EINVAL);
	assert_int_equal(set(0, 0, top, K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, top - K4, 2 * K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, K4, top, M2), -EINVAL);
	assert_int_equal(set(0, 0, -K4, K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, -K4, 2 * K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, 0, -K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, K4, -K4, M2), -EINVAL);
	assert_int_equal(set(0, 0, 0, 2 * K4, -K4), -EINVAL);
	assert_int_equal(set(0, 0, 0, 0, 0), -ENOENT);
	assert_int_equal(slots->count, 0);

	assert_int_equal(set(HALO_MEM_SLOTS - 1, HALO_SLOT_READONLY, top - K4, K4, M2), 0);
	assert_int_equal(set(0, 0, 0, top - K4, M2), 0);
	assert_int_equal(slots->count, 2);
}

static void test_finding(void **state)
{
	assert_null(find(0));
	assert_null(find(~0ULL));
	assert_int_equal(set(7, 0, 4 * K4, 2 * K4, M2), 0);
	assert_null(find(4 * K4 - 1));
	assert_int_equal(find(4 * K4)->id, 7);
	assert_int_equal(find(6 * K4 - 1)->id, 7);
	assert_null(find(6 * K4));
	assert_null(find(0));
	assert_null(find(~0ULL));

	/* Slots that touch, on both sides. */
	assert_int_equal(set(1, 0, 6 * K4, K4, M2), 0);
	assert_int_equal(set(2, 0, 0, 4 * K4, M2), 0);
	assert_int_equal(find(6 * K4)->id, 1);
	assert_int_equal(find(6 * K4 - 1)->id, 7);
	assert_int_equal(find(4 * K4 - 1)->id, 2);
	assert_null(find(7 * K4));
}

static void test_changing(void **state)
{
	struct halo_slot gone;

	assert_int_equal(set_gone(3, 0, M2, M2, 8 * M2, &gone), 0);
	assert_int_equal(gone.bytes, 0);
	/* Move, then flags, then both; gone is what stood there before. */
	assert_int_equal(set_gone(3, 0, 4 * M2, M2, 8 * M2, &gone), 0);
	assert_int_equal(gone.gpa, M2);
	assert_int_equal(gone.bytes, M2);
	assert_null(find(M2));
	assert_int_equal(set_gone(3, HALO_SLOT_READONLY, 4 * M2, M2, 8 * M2, &gone), 0);
	assert_int_equal(gone.gpa, 4 * M2);
	assert_int_equal(gone.flags, 0);
	/* Onto a part of its own old place. */
	assert_int_equal(set_gone(3, 0, 4 * M2 + K4, M2, 8 * M2, &gone), 0);
	assert_int_equal(gone.flags, HALO_SLOT_READONLY);
	assert_int_equal(slots->count, 1);

	assert_int_equal(set(3, 0, 4 * M2, 2 * M2, 8 * M2), -EINVAL);
	assert_int_equal(set(3, 0, 4 * M2, M2, 9 * M2), -EINVAL);
	assert_int_equal(set(4, 0, 4 * M2, M2, 8 * M2), -EEXIST);
	assert_int_equal(set(4, 0, 5 * M2, K4, 8 * M2), -EEXIST);
	assert_int_equal(set(4, 0, 0, G1, 8 * M2), -EEXIST);
	assert_int_equal(set(4, 0, 5 * M2 + K4, K4, 8 * M2), 0);
	/* Moving onto another fails and leaves both. */
	assert_int_equal(set(4, 0, 4 * M2 + K4, K4, 8 * M2), -EEXIST);
	assert_int_equal(find(5 * M2 + K4)->id, 4);
	assert_int_equal(find(4 * M2 + K4)->id, 3);

	/* A deletion looks at the number alone. */
	assert_int_equal(set_gone(3, 0, 12345, 0, 999, &gone), 0);
	assert_int_equal(gone.gpa, 4 * M2 + K4);
	assert_int_equal(set(3, 0, 0, 0, 0), -ENOENT);
	assert_int_equal(slots->count, 1);
}

static void test_levels(void **state)
{
	struct halo_slot slot = { .gpa = M2, .bytes = 4 * M2, .hva = 65 * M2 };

	assert_int_equal(halo_slot_level(&slot, M2, 1), 1);
	assert_int_equal(halo_slot_level(&slot, M2, 2), 2);
	assert_int_equal(halo_slot_level(&slot, M2 + 0x1234, 3), 2);
	assert_int_equal(halo_slot_level(&slot, 5 * M2 - 1, 3), 2);
	slot.bytes -= K4;
	assert_int_equal(halo_slot_level(&slot, 5 * M2 - 2 * K4, 3), 1);
	assert_int_equal(halo_slot_level(&slot, 4 * M2 - 1, 3), 2);
	slot.gpa += K4;
	slot.hva += K4;
	assert_int_equal(halo_slot_level(&slot, M2 + K4, 3), 1);
	assert_int_equal(halo_slot_level(&slot, 2 * M2, 3), 2);
	slot.hva += K4;
	assert_int_equal(halo_slot_level(&slot, 2 * M2, 3), 1);

	slot = (struct halo_slot){ .gpa = 0, .bytes = 2 * G1, .hva = 6 * G1 };
	assert_int_equal(halo_slot_level(&slot, 0, 3), 3);
	assert_int_equal(halo_slot_level(&slot, 2 * G1 - 1, 3), 3);
	slot.hva += M2;
	assert_int_equal(halo_slot_level(&slot, 0, 3), 2);
}

/* [@from, @to) of guest addresses; @to 0: nothing */
static void part(const struct halo_slot *slot, u64 start, u64 end, u64 from, u64 to)
{
	u64 a, b;

	assert_int_equal(halo_slot_part(slot, start, end, &a, &b), to != 0);
	if (to) {
		assert_int_equal(a, slot->gpa + from);
		assert_int_equal(b, slot->gpa + to);
	}
}

static void test_parts(void **state)
{
	struct halo_slot slot = { .gpa = 5 * K4, .bytes = 2 * K4, .hva = 10 * K4 };

	part(&slot, 0, 10 * K4, 0, 0);
	part(&slot, 0, 10 * K4 + 1, 0, 1);
	part(&slot, 12 * K4 - 1, ~0ULL, 2 * K4 - 1, 2 * K4);
	part(&slot, 12 * K4, ~0ULL, 0, 0);
	part(&slot, 0, ~0ULL, 0, 2 * K4);
	part(&slot, 11 * K4, 11 * K4 + 1, K4, K4 + 1);
}

static u64 rng_state = 88172645463325252ULL;

static u64 rnd(u64 n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state % n;
}

static int model_set(struct halo_slot *model, const struct halo_slot *want)
{
	struct halo_slot *mine = &model[want->id];
	int i;

	if (want->bytes) {
		for (i = 0; i < HALO_MEM_SLOTS; i++) {
			if (i != want->id && model[i].bytes &&
			    want->gpa < model[i].gpa + model[i].bytes &&
			    model[i].gpa < want->gpa + want->bytes)
				return -EEXIST;
		}
		if (mine->bytes && (mine->bytes != want->bytes || mine->hva != want->hva))
			return -EINVAL;
	} else if (!mine->bytes) {
		return -ENOENT;
	}
	*mine = *want;
	return 0;
}

static void compare(struct halo_slot *model)
{
	u32 i, n = 0;

	for (i = 0; i < HALO_MEM_SLOTS; i++)
		n += !!model[i].bytes;
	assert_int_equal(slots->count, n);
	for (i = 0; i < n; i++) {
		struct halo_slot *s = &slots->slot[i], *m = &model[s->id];

		if (i)
			assert_true(s[-1].gpa + s[-1].bytes <= s->gpa);
		assert_memory_equal(s, m, sizeof(*s));
	}
}

#ifndef RANDOM_OPS
#define RANDOM_OPS	30000
#endif

static void test_random(void **state)
{
	static struct halo_slot model[HALO_MEM_SLOTS];
	int i, j;

	for (i = 0; i < RANDOM_OPS; i++) {
		/* Fill up to the last number, then thin out, and again. */
		bool filling = (i / 4000) % 2 == 0;
		struct halo_slot want = {
			.id = rnd(HALO_MEM_SLOTS),
			.gpa = rnd(4096) * K4,
			.bytes = rnd(10) < (filling ? 1 : 7) ? 0 : (1 + rnd(6)) * K4,
			.flags = rnd(2),
		};

		want.hva = (want.id + 1) * G1;
		if (rnd(2) && model[want.id].bytes && want.bytes)
			want.bytes = model[want.id].bytes;
		assert_int_equal(set(want.id, want.flags, want.gpa, want.bytes, want.hva),
				 model_set(model, &want));
		if (i % 100)
			continue;
		compare(model);
		for (j = 0; j < 16; j++) {
			u64 gpa = rnd(4100) * K4 + rnd(2) * 0xfff;
			const struct halo_slot *s = find(gpa);
			int k, hit = -1;

			for (k = 0; k < HALO_MEM_SLOTS; k++) {
				if (model[k].bytes && gpa - model[k].gpa < model[k].bytes)
					hit = k;
			}
			assert_int_equal(s ? (int)s->id : -1, hit);
		}
	}
	compare(model);
}

#define CASE(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_soundness),
		CASE(test_finding),
		CASE(test_changing),
		CASE(test_levels),
		CASE(test_parts),
		CASE(test_random),
	};

	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
