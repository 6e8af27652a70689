// SPDX-License-Identifier: GPL-2.0
/* sources: module/ring.c */
/*
 * The rings under a user made of random bytes, held against a model.
 *
 * Each step is an operation of the kernel or a scribble of the user over the
 * shared pages. The model knows only what the rules say: how many exits went in,
 * what the user's index was at that moment, which reply would be acceptable.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)

struct input {
	const u8 *p;
	size_t left;
};

static u32 take(struct input *in, unsigned int bytes)
{
	u32 v = 0;

	while (bytes--) {
		v = v << 8 | (in->left ? *in->p : 0);
		if (in->left) {
			in->p++;
			in->left--;
		}
	}
	return v;
}

static bool acceptable(const struct halo_reply *r, u64 pending)
{
	static const u8 zero[5];

	if (!pending || r->seq != pending || r->reserved2 || memcmp(r->reserved, zero, 5))
		return false;
	if (r->action > 3 || r->has_error > 1)
		return false;
	if (r->action != HALO_ACTION_INJECT)
		return true;
	if (r->vector > 31 || r->vector == 2)
		return false;
	if (!r->has_error)
		return true;
	return r->vector == 8 || (r->vector >= 10 && r->vector <= 14) || r->vector == 17 ||
	       r->vector == 21 || r->vector == 29 || r->vector == 30;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	u32 n = 4u << (take(&in, 1) % 4), pushed = 0, popped = 0;
	size_t exits_bytes = halo_ring_bytes(n, sizeof(struct halo_exit));
	size_t replies_bytes = halo_ring_bytes(n, sizeof(struct halo_reply));
	struct halo_ring *exits = calloc(1, exits_bytes);
	struct halo_ring *replies = calloc(1, replies_bytes);
	struct halo_reply *slots = (struct halo_reply *)(replies + 1);
	u64 pending = 0, seq = 0;
	bool broken = false;
	struct halo_rings r;

	halo_rings_init(&r, exits, replies, n);
	if (take(&in, 1) & 1) {
		pushed = r.exit_tail = replies->head = -3u;
		popped = r.reply_head = replies->tail = -2u;
	}

	while (in.left) {
		switch (take(&in, 1) % 9) {
		case 0:
		case 1: {	/* push */
			bool sync = take(&in, 1) & 1;
			struct halo_exit e = { .flags = sync ? HALO_EXIT_F_SYNC : HALO_EXIT_F_POSTED,
					       .addr = seq * 7 };
			u32 used = pushed - replies->head;
			int want = broken ? -EPROTO : pending ? -EBUSY : used > n ? -EPROTO :
				   used == n ? -EAGAIN : 0;

			CHECK(halo_ring_push(&r, &e) == want);
			if (want == -EPROTO)
				broken = true;
			if (want)
				break;
			CHECK(e.seq == ++seq);
			CHECK(!memcmp((struct halo_exit *)(exits + 1) + pushed % n, &e, sizeof(e)));
			CHECK(exits->tail == ++pushed);
			if (sync)
				pending = seq;
			break;
		}
		case 2:
		case 3: {	/* pop */
			struct halo_answer out;
			int want = 0, got;
			u32 ready;

			while (!want) {
				ready = replies->tail - popped;
				if (broken || ready > n) {
					want = -EPROTO;
					broken = true;
					break;
				}
				if (!ready)
					break;
				const struct halo_reply *s = &slots[popped++ % n];

				want = acceptable(s, pending) ? 1 : -EPROTO;
				if (want == 1)
					pending = 0;
			}
			got = halo_ring_pop_reply(&r, &out);
			CHECK(got == want);
			break;
		}
		case 4:		/* an honest user takes an exit */
			replies->head++;
			break;
		case 5: {	/* a nearly honest user replies */
			struct halo_reply *s = &slots[replies->tail % n];

			memset(s, 0, sizeof(*s));
			s->seq = pending ? pending : seq;
			s->action = take(&in, 1) % 5;
			s->vector = take(&in, 1) % 34;
			s->has_error = take(&in, 1) % 3;
			replies->tail++;
			break;
		}
		case 6:		/* the user writes anywhere in its pages */
			((u8 *)replies)[take(&in, 2) % replies_bytes] = take(&in, 1);
			break;
		case 7:		/* even EXITS, which it can't: nothing is read back */
			((u8 *)exits)[take(&in, 2) % sizeof(*exits)] = take(&in, 1);
			break;
		case 8:
			r.pending = 0;
			pending = 0;
			break;
		}
		CHECK(r.broken == broken && r.pending == pending && r.entries == n);
		if (broken)
			break;
	}
	free(exits);
	free(replies);
	return 0;
}
