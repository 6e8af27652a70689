// SPDX-License-Identifier: GPL-2.0
/*
 * The words of the control socket: lines, requests, replies.
 *
 * A request is one line, {"command": "NAME"}; its reply is one line, an object
 * whose "ok" says whether it was done, and whose "error" why not. What a client
 * sends may be anything: a line has a fixed room, a request may say nothing that is
 * not known, and neither makes more than one reply. Pure; no locks.
 */
#include <stdlib.h>
#include <string.h>

#include "proto.h"

static const char *const names[PROTO_COMMANDS] = {
	[PROTO_INFO] = "info", [PROTO_COUNTERS] = "counters", [PROTO_PAUSE] = "pause",
	[PROTO_RESUME] = "resume", [PROTO_STOP] = "stop", [PROTO_KILL] = "kill",
	[PROTO_NMI] = "nmi", [PROTO_RESET] = "reset",
};

/**
 * proto_room() - where to read more bytes to
 * @l: the lines, of which proto_next() has handed out all it can
 * @room: gets how many fit; the caller adds what came to @l->len
 *
 * Return: the place.
 */
char *proto_room(struct proto_line *l, size_t *room)
{
	if (l->start) {
		memmove(l->buf, l->buf + l->start, l->len - l->start);
		l->len -= l->start;
		l->start = 0;
	}
	*room = sizeof(l->buf) - l->len;
	return l->buf + l->len;
}

/**
 * proto_next() - take the next line
 * @l: the lines
 * @line: gets it, without its newline; good until proto_room()
 * @len: gets its length
 *
 * Return: 1; 0 if none is complete; -1 if one is longer than a line may be.
 */
int proto_next(struct proto_line *l, const char **line, size_t *len)
{
	char *at = l->buf + l->start, *end = memchr(at, '\n', l->len - l->start);

	if (!end)
		return l->len - l->start == sizeof(l->buf) ? -1 : 0;
	*line = at;
	*len = (size_t)(end - at);
	l->start += *len + 1;
	return 1;
}

/**
 * proto_name() - the name of a command
 * @c: which
 *
 * Return: the name.
 */
const char *proto_name(enum proto_command c)
{
	return names[c];
}

static int command_of(const json_t *j, const char **why)
{
	const char *name = json_string_value(json_object_get(j, "command"));
	int i;

	*why = "a request is {\"command\": NAME} and no more";
	if (!name || json_object_size(j) != 1)
		return -1;
	for (i = 0; i < PROTO_COMMANDS; i++) {
		if (!strcmp(name, names[i]))
			return i;
	}
	*why = "no such command";
	return -1;
}

/**
 * proto_parse() - what does a request ask for
 * @line: the request
 * @len: its length
 * @why: gets what is wrong with it
 *
 * Return: enum proto_command, -1 if it is no request.
 */
int proto_parse(const char *line, size_t len, const char **why)
{
	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	int c;

	*why = "not JSON";
	if (!j)
		return -1;
	c = command_of(j, why);
	json_decref(j);
	return c;
}

/**
 * proto_text() - a string, whatever bytes it is of
 * @s: the string
 *
 * Return: the string in JSON, with "?" for each byte above 127 if it is not UTF-8.
 */
json_t *proto_text(const char *s)
{
	json_t *j = json_string(s);
	char *copy, *p;

	if (j)
		return j;
	copy = strdup(s);
	for (p = copy; p && *p; p++) {
		if (*p & 0x80)
			*p = '?';
	}
	j = copy ? json_string(copy) : NULL;
	free(copy);
	return j;
}

/**
 * proto_error() - a reply that something was not done
 * @why: why
 *
 * Return: the reply.
 */
json_t *proto_error(const char *why)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

/**
 * proto_dump() - a reply as a line
 * @reply: the reply, dropped here; NULL: there was no memory for it
 *
 * Return: the line with its newline, for free(); NULL if there is no memory.
 */
char *proto_dump(json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	size_t len = text ? strlen(text) : 0;
	char *line = text ? realloc(text, len + 2) : NULL;

	json_decref(reply);
	if (line)
		memcpy(line + len, "\n", 2);
	else
		free(text);
	return line;
}
