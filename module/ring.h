/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's side of a vCPU's exit ring and reply ring.
 *
 * The shared pages belong to a user who may rewrite them at any moment, so this
 * is the only code that touches them. Everything it decides with (indices,
 * sizes, the number of the exit that waits for a reply) lives in struct
 * halo_rings, in kernel memory; what it puts into the shared headers it never
 * reads back.
 *
 * One caller at a time: whoever holds the vCPU's lock; but for what says "any thread".
 * No allocation, no sleep.
 */
#ifndef HALO_RING_H
#define HALO_RING_H

#include "pure.h"
#include <linux/halo.h>

#define HALO_RING_ENTRIES_MIN		4
#define HALO_RING_ENTRIES_MAX		1024
#define HALO_RING_ENTRIES_DEFAULT	64

/**
 * struct halo_rings - both rings of a vCPU, as the kernel knows them
 * @exits: header of EXITS, shared, read-only to the user
 * @replies: header of REPLIES, shared, writable by the user
 * @exit: entry 0 of EXITS
 * @reply: entry 0 of REPLIES
 * @entries: entries of each ring, a power of two
 * @exit_tail: exits pushed, free running
 * @reply_head: replies taken, free running
 * @seq: number of the last exit pushed
 * @pending: number of the SYNC exit whose reply is awaited, 0 = none
 * @broken: the user gave an impossible index; final
 */
struct halo_rings {
	struct halo_ring *exits;
	struct halo_ring *replies;
	struct halo_exit *exit;
	const struct halo_reply *reply;
	u32 entries;
	u32 exit_tail;
	u32 reply_head;
	bool broken;
	u64 seq;
	u64 pending;
};

/**
 * halo_ring_entries_valid() - may a ring have this many entries?
 * @entries: the user's wish, not 0
 */
static inline bool halo_ring_entries_valid(u32 entries)
{
	return entries >= HALO_RING_ENTRIES_MIN && entries <= HALO_RING_ENTRIES_MAX &&
	       is_power_of_2(entries);
}

/**
 * halo_ring_bytes() - size of a ring's area, before rounding up to pages
 * @entries: number of entries
 * @entry: sizeof(struct halo_exit) or sizeof(struct halo_reply)
 */
static inline size_t halo_ring_bytes(u32 entries, size_t entry)
{
	return sizeof(struct halo_ring) + entries * entry;
}

void halo_rings_init(struct halo_rings *r, struct halo_ring *exits, struct halo_ring *replies,
		     u32 entries);
int halo_ring_push(struct halo_rings *r, struct halo_exit *exit);
int halo_ring_break(struct halo_rings *r);
void halo_ring_sleep(struct halo_rings *r, bool sleeps);

/**
 * halo_ring_next() - where the next exit goes
 * @r: the rings
 *
 * The user may see what is written there, but it can't write it, and it does not look
 * before halo_ring_give().
 *
 * Return: the entry, to be filled in but for @seq; errors as halo_ring_push().
 */
static inline struct halo_exit *halo_ring_next(struct halo_rings *r)
{
	u32 used, tail = r->exit_tail;

	if (unlikely(r->broken))
		return ERR_PTR(-EPROTO);
	if (unlikely(r->pending))
		return ERR_PTR(-EBUSY);

	/* Pairs with the user's release: its reads of the entries it took are done. */
	used = tail - smp_load_acquire(&r->replies->head);
	if (unlikely(used >= r->entries))
		return ERR_PTR(used == r->entries ? -EAGAIN : halo_ring_break(r));
	/* entries is a power of two and private: the mask is the bounds check. */
	return &r->exit[tail & (r->entries - 1)];
}

/**
 * halo_ring_give() - hand the user what was written to halo_ring_next()'s entry
 * @r: the rings
 * @exit: the entry
 * @sync: it waits for a reply
 *
 * Return: its number.
 */
static inline u64 halo_ring_give(struct halo_rings *r, struct halo_exit *exit, bool sync)
{
	u32 tail = r->exit_tail + 1;
	u64 seq = ++r->seq;

	exit->seq = seq;
	if (sync)
		r->pending = seq;
	WRITE_ONCE(r->exit_tail, tail);
	/* Pairs with the user's acquire of tail: it sees the whole entry. */
	smp_store_release(&r->exits->tail, tail);
	return seq;
}

/* A reply as the words it is copied in. */
union halo_reply_words {
	struct halo_reply reply;
	u64 w[4];
};

static_assert(sizeof(union halo_reply_words) == sizeof(struct halo_reply));
static_assert(offsetof(struct halo_reply, action) == 8 && HALO_ACTION_DONE == 0 &&
	      offsetof(struct halo_reply, vector) == 9 &&
	      offsetof(struct halo_reply, has_error) == 10 &&
	      offsetof(struct halo_reply, data) == 16 &&
	      offsetof(struct halo_reply, error_code) == 24);

/**
 * struct halo_answer - a reply that was copied
 * @seq: of the exit that it answers
 * @what: its action, vector and has_error, from bit 0, 8 and 16 on
 * @data: as there
 * @error: its error_code
 *
 * Words, and no array: a plain one stays in registers.
 */
struct halo_answer {
	u64 seq;
	u64 what;
	u64 data;
	u64 error;
};

/* Exceptions that push an error code, by vector (SDM 3A 6.13, APM 2 8.2). */
#define HALO_ERROR_VECTORS	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | \
				 BIT(17) | BIT(21) | BIT(29) | BIT(30))

static inline bool halo_answer_valid(u64 what, u64 error)
{
	u8 action = what, vector = what >> 8, has_error = what >> 16;

	/* The upper parts are reserved. */
	if (what >> 24 || error >> 32 || action > HALO_ACTION_SHUTDOWN || has_error > 1)
		return false;
	if (action != HALO_ACTION_INJECT)
		return true;
	/* Vector 2 is no exception; an error code goes with the vectors that have one. */
	if (vector > 31 || vector == 2)
		return false;
	return !has_error || (HALO_ERROR_VECTORS & BIT(vector));
}

/**
 * halo_ring_pop_reply() - take the reply to the pending exit
 * @r: the rings
 * @out: the reply, checked: seq is the pending exit's, action is known, an exception
 *	is one the CPU can deliver
 *
 * The one place that reads an entry of REPLIES; each word once.
 *
 * Return: 1 if @out was filled in and nothing is pending any more; 0 if there is no
 * reply; -EPROTO if the ring is broken, or if the reply does not fit (it is taken off,
 * and the exit stays pending).
 */
static __always_inline int halo_ring_pop_reply(struct halo_rings *r, struct halo_answer *out)
{
	const union halo_reply_words *shared;
	u32 ready, head = r->reply_head;

	if (unlikely(r->broken))
		return -EPROTO;

	/* Pairs with the user's release of tail: the entry is complete. */
	ready = smp_load_acquire(&r->replies->tail) - head;
	if (unlikely(ready > r->entries))
		return halo_ring_break(r);
	if (!ready)
		return 0;

	shared = (const union halo_reply_words *)&r->reply[head & (r->entries - 1)];
	out->seq = READ_ONCE(shared->w[0]);
	out->what = READ_ONCE(shared->w[1]);
	out->data = READ_ONCE(shared->w[2]);
	out->error = READ_ONCE(shared->w[3]);
	r->reply_head = ++head;
	/* Pairs with the user's acquire: our reads are done, it may fill the slot. */
	smp_store_release(&r->exits->head, head);

	if (unlikely(!r->pending || out->seq != r->pending))
		return -EPROTO;
	/* DONE, and nothing else, is all zeros. */
	if (unlikely(out->what | out->error) && !halo_answer_valid(out->what, out->error))
		return -EPROTO;
	r->pending = 0;
	return 1;
}

/**
 * halo_ring_unread() - are there exits that the user has not taken? (any thread)
 * @r: the rings
 *
 * A user's index that can't be counts as not taken: the next push finds it out.
 */
static inline bool halo_ring_unread(const struct halo_rings *r)
{
	return READ_ONCE(r->exit_tail) != READ_ONCE(r->replies->head);
}

/**
 * halo_ring_room() - is there room for an exit?
 * @r: the rings
 *
 * True also where the user's index can't be: the next push finds it out.
 */
static inline bool halo_ring_room(const struct halo_rings *r)
{
	return r->exit_tail - READ_ONCE(r->replies->head) != r->entries;
}

/**
 * halo_ring_reply_ready() - is there a reply, or an index that can't be?
 * @r: the rings
 */
static inline bool halo_ring_reply_ready(const struct halo_rings *r)
{
	return READ_ONCE(r->replies->tail) != r->reply_head;
}

/**
 * halo_ring_reader_sleeps() - must the user be told of what was pushed? (any thread)
 * @r: the rings
 *
 * The caller has a full barrier between the push and this.
 */
static inline bool halo_ring_reader_sleeps(const struct halo_rings *r)
{
	return READ_ONCE(r->replies->flags) & HALO_RING_NEED_WAKE;
}

#endif /* HALO_RING_H */
