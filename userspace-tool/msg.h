/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_MSG_H
#define HALO_TOOL_MSG_H

#include "types.h"

/* -1: -q; 0; 1: -v; 2: -vv */
extern int msg_level;
/* The terminal is raw: a line needs its own carriage return. */
extern volatile bool msg_raw;

int msg_fail(int code, const char *what, const char *fix, const char *why, ...)
	__attribute__((format(printf, 4, 5)));
void msg_note(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* HALO_TOOL_MSG_H */
