/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_RING_CLIENT_H
#define HALO_TOOL_RING_CLIENT_H

#include <linux/halo.h>

#include "types.h"

/**
 * struct ring_client - the user's side of a vCPU's two rings
 * @exits: header of EXITS, read-only
 * @exit: its entries
 * @replies: header of REPLIES
 * @reply: its entries
 * @mask: entries minus one
 * @head: exits taken
 * @tail: replies given
 */
struct ring_client {
	const struct halo_ring *exits;
	const struct halo_exit *exit;
	struct halo_ring *replies;
	struct halo_reply *reply;
	u32 mask;
	u32 head;
	u32 tail;
};

int ring_client_init(struct ring_client *rc, const void *exits, u64 exits_bytes,
		     void *replies, u64 replies_bytes, u32 entries);
int ring_next_exit(struct ring_client *rc, struct halo_exit *x);
int ring_put_reply(struct ring_client *rc, const struct halo_reply *r);
bool ring_peer_sleeps(const struct ring_client *rc);
bool ring_sleep(struct ring_client *rc, bool sleep);

#endif /* HALO_TOOL_RING_CLIENT_H */
