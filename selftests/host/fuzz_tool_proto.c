// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/proto.c */
/* libs: jansson */
/*
 * Bytes for a control socket, in pieces of any size: the lines that come out are
 * those that went in, one too long is told and not waited for, and no line, whatever
 * is in it, is more than a command or a reason why not.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto.h"

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)

/* Returns false when the rest is not to be looked at. */
static bool take_lines(struct proto_line *l, const uint8_t *all, size_t given, size_t *at)
{
	const char *line, *why;
	size_t len;
	int r, cmd;

	while ((r = proto_next(l, &line, &len)) > 0) {
		CHECK(*at + len < given && len < PROTO_LINE);
		CHECK(!memcmp(all + *at, line, len) && all[*at + len] == '\n');
		CHECK(!memchr(line, '\n', len));
		*at += len + 1;
		cmd = proto_parse(line, len, &why);
		CHECK(cmd >= -1 && cmd < PROTO_COMMANDS);
		CHECK(cmd < 0 ? !!why : !!proto_name((enum proto_command)cmd));
	}
	/* What is left has no end yet. */
	CHECK(!memchr(all + *at, '\n', given - *at));
	CHECK((r < 0) == (given - *at == PROTO_LINE));
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proto_line l;
	size_t given = 0, at = 0, room, piece;
	char *text, *p, *dump;

	memset(&l, 0, sizeof(l));
	piece = size ? data[0] + 1u : 1;
	while (given < size) {
		p = proto_room(&l, &room);
		CHECK(room && room <= PROTO_LINE);
		if (room > piece)
			room = piece;
		if (room > size - given)
			room = size - given;
		memcpy(p, data + given, room);
		l.len += room;
		given += room;
		if (!take_lines(&l, data, given, &at))
			break;
	}
	/* A reply with any bytes in it is one line. */
	text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = 0;
	dump = proto_dump(json_pack("{s:o}", "text", proto_text(text)));
	CHECK(dump && strchr(dump, '\n') == dump + strlen(dump) - 1);
	free(dump);
	free(text);
	return 0;
}
