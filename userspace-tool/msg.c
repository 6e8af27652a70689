// SPDX-License-Identifier: GPL-2.0
/*
 * What halo says on stderr.
 *
 * An error is exactly one line, "halo: WHAT: WHY; fix: FIX", whatever strange
 * bytes a file name holds: a script reads it, and a person acts on it. Any
 * thread may call; a line is one write(), so lines of two threads don't mix.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"

int msg_level;
volatile bool msg_raw;

static void put_line(const char *text, int len, int room)
{
	char line[1024 + 8];
	size_t n = 0;
	int i;

	if (len >= room)
		len = room - 1;
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		line[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	if (msg_raw)
		line[n++] = '\r';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

/**
 * msg_fail() - tell an error
 * @code: exit code, handed back
 * @what: what failed
 * @fix: what to do about it
 * @why: why it failed, a format
 *
 * Return: @code, so that "return msg_fail(...)" reads well.
 */
int msg_fail(int code, const char *what, const char *fix, const char *why, ...)
{
	char text[1024], reason[512];
	va_list ap;
	int len;

	va_start(ap, why);
	vsnprintf(reason, sizeof(reason), why, ap);
	va_end(ap);
	if (fix)
		len = snprintf(text, sizeof(text), "halo: %.300s: %s; fix: %s", what, reason, fix);
	else
		len = snprintf(text, sizeof(text), "halo: %.300s: %s", what, reason);
	put_line(text, len, sizeof(text));
	return code;
}

/**
 * msg_note() - tell something to whoever asked with -v
 * @level: 1 for -v, 2 for -vv
 * @fmt: a format
 */
void msg_note(int level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int len;

	if (level > msg_level)
		return;
	memcpy(text, "halo: ", 6);
	va_start(ap, fmt);
	len = vsnprintf(text + 6, sizeof(text) - 6, fmt, ap);
	va_end(ap);
	put_line(text, len + 6, sizeof(text));
}
