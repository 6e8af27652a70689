/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_CONSOLE_H
#define HALO_TOOL_CONSOLE_H

#include "opts.h"
#include "types.h"

#define CONSOLE_OUT	65536u
#define CONSOLE_IN	1024u

enum console_key {
	KEY_NONE,
	KEY_QUIT,
	KEY_BREAK,
	KEY_HELP,
};

/**
 * struct console - COM1's other end
 * @in: fd of input, -1 for none
 * @out: fd of output, -1 for none
 * @epoll: the machine's epoll
 * @in_polled: @in is in @epoll
 * @in_direct: @in can't be polled (a file): read it whenever there is room
 * @out_polled: @out is in @epoll, as it would not take more
 * @escape: ^A is the escape character
 * @escaped: the last character was ^A
 * @ob: output that waits, a ring
 * @ob_head: read index, free running
 * @ob_tail: write index, free running
 * @ib: input that waits, a ring
 * @ib_head: read index, free running
 * @ib_tail: write index, free running
 */
struct console {
	int in;
	int out;
	int epoll;
	bool in_polled;
	bool in_direct;
	bool out_polled;
	bool escape;
	bool escaped;
	u8 ob[CONSOLE_OUT];
	u32 ob_head;
	u32 ob_tail;
	u8 ib[CONSOLE_IN];
	u32 ib_head;
	u32 ib_tail;
};

int console_open(struct console *c, const struct run_config *cfg, int epoll);
void console_close(struct console *c);
void console_put(struct console *c, u8 byte);
bool console_full(const struct console *c);
void console_flush(struct console *c);
enum console_key console_fill(struct console *c);
int console_take(struct console *c);
bool console_has_input(const struct console *c);
void console_resume_input(struct console *c);

void term_raw(void);
void term_restore(void);

#endif /* HALO_TOOL_CONSOLE_H */
