// SPDX-License-Identifier: GPL-2.0
/*
 * The user's side of a vCPU's exit and reply rings.
 *
 * One thread at a time uses it. This side writes only the REPLIES header: @tail
 * (replies given) and @head (exits taken); an index is published after the entry
 * it covers was written or read. The module is trusted not to lie, but a broken
 * ring is an error here too, not a crash.
 */
#include <errno.h>
#include <string.h>

#include "ring_client.h"

static u32 load_acquire(const u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store_release(u32 *p, u32 v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static int check_area(u64 bytes, const struct halo_ring *r, u32 entries, u64 entry_bytes)
{
	if (bytes < sizeof(*r) || r->entries != entries)
		return -EPROTO;
	if (r->entries_offset < sizeof(*r) || r->entries_offset % 8 ||
	    r->entries_offset > bytes ||
	    entries * entry_bytes > bytes - r->entries_offset)
		return -EPROTO;
	return 0;
}

/**
 * ring_client_init() - attach to a vCPU's mapped rings
 * @rc: the client
 * @exits: EXITS area
 * @exits_bytes: its length
 * @replies: REPLIES area
 * @replies_bytes: its length
 * @entries: entries of each, from struct halo_vcpu_layout
 *
 * Return: 0, or -EPROTO if the areas don't look as the interface says.
 */
int ring_client_init(struct ring_client *rc, const void *exits, u64 exits_bytes,
		     void *replies, u64 replies_bytes, u32 entries)
{
	memset(rc, 0, sizeof(*rc));
	if (!entries || entries & (entries - 1))
		return -EPROTO;
	if (check_area(exits_bytes, exits, entries, sizeof(struct halo_exit)) ||
	    check_area(replies_bytes, replies, entries, sizeof(struct halo_reply)))
		return -EPROTO;
	rc->exits = exits;
	rc->replies = replies;
	rc->exit = (const void *)((const u8 *)exits + rc->exits->entries_offset);
	rc->reply = (void *)((u8 *)replies + rc->replies->entries_offset);
	rc->mask = entries - 1;
	rc->head = rc->replies->head;
	rc->tail = rc->replies->tail;
	return 0;
}

/**
 * ring_next_exit() - take the next exit
 * @rc: the client
 * @x: a copy of it
 *
 * Return: 1, 0 if there is none, -EPROTO if the ring is broken.
 */
int ring_next_exit(struct ring_client *rc, struct halo_exit *x)
{
	u32 tail = load_acquire(&rc->exits->tail);

	if (tail == rc->head)
		return 0;
	if (tail - rc->head > rc->mask + 1)
		return -EPROTO;
	*x = rc->exit[rc->head & rc->mask];
	store_release(&rc->replies->head, ++rc->head);
	return 1;
}

/**
 * ring_put_reply() - give a reply
 * @rc: the client
 * @r: the reply
 *
 * Return: 0, or -EPROTO if there is no room, which a client that answers each
 * SYNC exit once never sees.
 */
int ring_put_reply(struct ring_client *rc, const struct halo_reply *r)
{
	u32 head = load_acquire(&rc->exits->head);

	if (rc->tail - head > rc->mask)
		return -EPROTO;
	rc->reply[rc->tail & rc->mask] = *r;
	store_release(&rc->replies->tail, ++rc->tail);
	return 0;
}

/**
 * ring_peer_sleeps() - an index was stored: must the vCPU's doorbell be rung?
 * @rc: the client
 */
bool ring_peer_sleeps(const struct ring_client *rc)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&rc->exits->flags, __ATOMIC_RELAXED) & HALO_RING_NEED_WAKE;
}

/**
 * ring_sleep() - about to sleep in poll(), or awake again
 * @rc: the client
 * @sleep: which
 *
 * Return: whether the caller may sleep: no exit has come meanwhile.
 */
bool ring_sleep(struct ring_client *rc, bool sleep)
{
	__atomic_store_n(&rc->replies->flags, sleep ? HALO_RING_NEED_WAKE : 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load_acquire(&rc->exits->tail) == rc->head;
}
