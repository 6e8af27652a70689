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
int halo_ring_pop_reply(struct halo_rings *r, struct halo_reply *out);
int halo_ring_break(struct halo_rings *r);
void halo_ring_sleep(struct halo_rings *r, bool sleeps);

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
