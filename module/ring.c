// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's side of a vCPU's exit ring and reply ring.
 *
 * The module produces exits and consumes replies; the user does the opposite,
 * in pages that it may rewrite while we look. What makes that harmless:
 *
 *  - indices, sizes and the pending exit are kernel-private; the copies in the
 *    shared headers are for the user and are never read back;
 *  - a user index is read once, into a local, and believed only as far as
 *    "tail - head <= entries" goes, the one thing two free-running indices of
 *    an honest pair can't violate. A lie breaks the ring for good: guessing what
 *    the user meant would only hide its bug;
 *  - an entry of REPLIES is copied out once, word by word, and what is checked
 *    and used is the copy;
 *  - whether a reply is wanted, and for which exit, is decided by halo_rings.pending.
 *
 * A reply that does not fit is not a broken ring: it is taken off, reported as
 * -EPROTO, and the exit goes on waiting for a good one.
 *
 * Caller: the holder of vcpu->lock, nobody else; hence no lock in here. Why not
 * one slot instead of rings: POSTED writes queue up while the guest goes on, and
 * must be seen in order with the SYNC exit that follows them.
 */
#include "ring.h"

static_assert(sizeof(struct halo_ring) == 192);
static_assert(offsetof(struct halo_ring, head) == 64);
static_assert(offsetof(struct halo_ring, entries) == 128);
static_assert(sizeof(struct halo_exit) == 64);
static_assert(sizeof(struct halo_reply) == 32);

/**
 * halo_ring_break() - these rings are of no use any more, and the user may see it
 * @r: the rings
 *
 * Return: -EPROTO.
 */
int halo_ring_break(struct halo_rings *r)
{
	WRITE_ONCE(r->broken, true);
	WRITE_ONCE(r->exits->flags, HALO_RING_BROKEN);
	return -EPROTO;
}

/**
 * halo_ring_sleep() - tell the user whether it must ring the doorbell
 * @r: the rings
 * @sleeps: it must
 *
 * A full barrier follows: the caller looks at the user's index once more.
 */
void halo_ring_sleep(struct halo_rings *r, bool sleeps)
{
	if (!r->broken)
		WRITE_ONCE(r->exits->flags, sleeps ? HALO_RING_NEED_WAKE : 0);
	smp_mb();	/* the flag before the look at the user's index */
}

static void halo_ring_header_init(struct halo_ring *ring, u32 entries)
{
	ring->entries = entries;
	ring->entries_offset = sizeof(*ring);
}

/**
 * halo_rings_init() - start with two empty rings
 * @r: the rings
 * @exits: zeroed memory of halo_ring_bytes(entries, sizeof(struct halo_exit))
 * @replies: zeroed memory of halo_ring_bytes(entries, sizeof(struct halo_reply))
 * @entries: entries of each, see halo_ring_entries_valid()
 *
 * Call before the areas can be mapped by anybody.
 */
void halo_rings_init(struct halo_rings *r, struct halo_ring *exits, struct halo_ring *replies,
		     u32 entries)
{
	memset(r, 0, sizeof(*r));
	r->exits = exits;
	r->replies = replies;
	r->exit = (struct halo_exit *)(exits + 1);
	r->reply = (const struct halo_reply *)(replies + 1);
	r->entries = entries;
	halo_ring_header_init(exits, entries);
	halo_ring_header_init(replies, entries);
}

/**
 * halo_ring_push() - hand an exit to the user
 * @r: the rings
 * @exit: the exit, kernel memory; its @seq is filled in
 *
 * An exit with HALO_EXIT_F_SYNC becomes the pending one.
 *
 * Return: 0; -EAGAIN if the ring is full (nothing was written; the caller waits for
 * the user to take exits, or returns to it); -EBUSY if a SYNC exit is pending already;
 * -EPROTO if the ring is broken.
 */
int halo_ring_push(struct halo_rings *r, struct halo_exit *exit)
{
	struct halo_exit *x = halo_ring_next(r);

	if (IS_ERR(x))
		return PTR_ERR(x);
	*x = *exit;
	exit->seq = halo_ring_give(r, x, exit->flags & HALO_EXIT_F_SYNC);
	return 0;
}
