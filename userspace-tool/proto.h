/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_PROTO_H
#define HALO_TOOL_PROTO_H

#include <jansson.h>

#include "types.h"

#define PROTO_LINE	4096u

/* What a running guest can be asked for. */
enum proto_command {
	PROTO_INFO,
	PROTO_COUNTERS,
	PROTO_PAUSE,
	PROTO_RESUME,
	PROTO_STOP,
	PROTO_KILL,
	PROTO_NMI,
	PROTO_RESET,
	PROTO_COMMANDS
};

/**
 * struct proto_line - bytes on their way to becoming lines
 * @buf: the bytes
 * @start: first one not handed out yet
 * @len: one past the last one
 */
struct proto_line {
	char buf[PROTO_LINE];
	size_t start;
	size_t len;
};

char *proto_room(struct proto_line *l, size_t *room);
int proto_next(struct proto_line *l, const char **line, size_t *len);
const char *proto_name(enum proto_command c);
int proto_parse(const char *line, size_t len, const char **why);
json_t *proto_text(const char *s);
json_t *proto_error(const char *why);
char *proto_dump(json_t *reply);

#endif /* HALO_TOOL_PROTO_H */
