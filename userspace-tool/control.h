/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_CONTROL_H
#define HALO_TOOL_CONTROL_H

#include "proto.h"
#include "runtime.h"

#define CONTROL_CLIENTS	16

/**
 * struct control_client - somebody who is connected
 * @fd: the connection, -1 for none
 * @in: what it asked
 * @out: a reply that it has not taken yet, NULL for none
 * @out_len: its length
 * @out_at: how much of it was taken
 * @turn: when it was last heard of
 */
struct control_client {
	int fd;
	struct proto_line in;
	char *out;
	size_t out_len;
	size_t out_at;
	u64 turn;
};

/**
 * struct control - a guest's control socket
 * @listen: the socket, -1 for none
 * @epoll: the machine's epoll
 * @path: the socket's path
 * @turn: counts what happens
 * @answer: answers a command with a reply, NULL if there is no memory
 * @ctx: its first argument
 * @client: who is connected
 */
struct control {
	int listen;
	int epoll;
	char path[RUNTIME_PATH];
	u64 turn;
	json_t *(*answer)(void *ctx, enum proto_command c);
	void *ctx;
	struct control_client client[CONTROL_CLIENTS];
};

void control_init(struct control *c, int epoll, json_t *(*answer)(void *ctx, enum proto_command c),
		  void *ctx);
int control_listen(struct control *c, const char *dir, const char *name);
bool control_event(struct control *c, int fd);
void control_close(struct control *c);

#endif /* HALO_TOOL_CONTROL_H */
