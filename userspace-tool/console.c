// SPDX-License-Identifier: GPL-2.0
/*
 * COM1's other end: the terminal, a pipe or a file.
 *
 * Nothing here blocks while a lock is held: output that its reader does not take
 * waits in a ring, and a vCPU that filled the ring waits outside the lock. The
 * terminal's settings are put back on every way out: return, exit(), signals, the
 * fatal ones too, and while stopped. Input and output run under the device lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "console.h"
#include "msg.h"

#define ESCAPE		0x01	/* ^A */

static struct termios saved;
static volatile sig_atomic_t saved_valid;

/**
 * term_restore() - give the terminal back as it was; safe in a signal handler
 */
void term_restore(void)
{
	if (msg_raw && saved_valid)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	msg_raw = false;
}

/**
 * term_raw() - hand the terminal to the guest, if it is ours
 */
void term_raw(void)
{
	struct termios t;

	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return;
	if (!saved_valid) {
		if (tcgetattr(STDIN_FILENO, &saved))
			return;
		saved_valid = 1;
		atexit(term_restore);
	}
	t = saved;
	cfmakeraw(&t);
	if (!tcsetattr(STDIN_FILENO, TCSADRAIN, &t))
		msg_raw = true;
}

static void on_fatal(int sig)
{
	term_restore();
	raise(sig);	/* the default action, as SA_RESETHAND was given */
}

static void catch_fatal(void)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS };
	struct sigaction sa = { .sa_handler = on_fatal, .sa_flags = SA_RESETHAND };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
}

static void poll_input(struct console *c, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = c->in };

	if (c->in < 0 || c->in_direct || on == c->in_polled)
		return;
	if (!epoll_ctl(c->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, c->in, &ev))
		c->in_polled = on;
	else if (on && errno == EPERM)
		c->in_direct = true;
}

static void poll_output(struct console *c, bool on)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.fd = c->out };

	if (on == c->out_polled)
		return;
	if (!epoll_ctl(c->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, c->out, &ev))
		c->out_polled = on;
}

/**
 * console_open() - connect COM1
 * @c: the console
 * @cfg: where to
 * @epoll: the machine's epoll
 *
 * Return: 0, or the exit code after the error was told.
 */
int console_open(struct console *c, const struct run_config *cfg, int epoll)
{
	memset(c, 0, sizeof(*c));
	c->in = -1;
	c->out = -1;
	c->epoll = epoll;
	catch_fatal();
	if (cfg->serial == SERIAL_FILE) {
		c->out = open(cfg->serial_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (c->out < 0)
			return msg_fail(EC_ERROR, cfg->serial_path, "give --serial a file that can be written",
					"%s", strerror(errno));
	} else if (cfg->serial == SERIAL_STDIO) {
		c->in = STDIN_FILENO;
		c->out = STDOUT_FILENO;
		c->escape = isatty(STDIN_FILENO);
		term_raw();
		poll_input(c, true);
	}
	return 0;
}

/**
 * console_close() - write what waits, within a second, and restore the terminal
 * @c: the console
 */
void console_close(struct console *c)
{
	struct pollfd p = { .fd = c->out, .events = POLLOUT };
	u32 before;

	do {
		before = c->ob_head;
		console_flush(c);
	} while (c->out >= 0 && c->ob_head != c->ob_tail &&
		 (c->ob_head != before || poll(&p, 1, 1000) == 1));
	if (c->out > STDERR_FILENO)
		close(c->out);
	term_restore();
}

/**
 * console_flush() - write as much as the reader takes now
 * @c: the console
 */
void console_flush(struct console *c)
{
	struct pollfd p = { .fd = c->out, .events = POLLOUT };

	while (c->out >= 0 && c->ob_head != c->ob_tail) {
		u32 at = c->ob_head % CONSOLE_OUT, n = c->ob_tail - c->ob_head;
		ssize_t r;

		if (n > CONSOLE_OUT - at)
			n = CONSOLE_OUT - at;
		/* What poll() promises to take without blocking is at least this. */
		if (n > 256)
			n = 256;
		if (poll(&p, 1, 0) != 1) {
			poll_output(c, true);
			return;
		}
		r = write(c->out, c->ob + at, n);
		if (r < 0 && (errno == EINTR || errno == EAGAIN)) {
			poll_output(c, true);
			return;
		}
		if (r < 0) {
			/* Nobody reads any more; the guest need not care. */
			poll_output(c, false);
			c->out = -1;
			break;
		}
		c->ob_head += (u32)r;
	}
	if (c->out < 0)
		c->ob_head = c->ob_tail;
	else
		poll_output(c, false);
}

/**
 * console_put() - the guest sent a character
 * @c: the console
 * @byte: the character
 */
void console_put(struct console *c, u8 byte)
{
	if (c->out < 0 || c->ob_tail - c->ob_head == CONSOLE_OUT)
		return;
	c->ob[c->ob_tail++ % CONSOLE_OUT] = byte;
	console_flush(c);
}

/**
 * console_full() - must the guest wait before it sends more
 * @c: the console
 *
 * Return: true if less than a quarter of the output ring is free.
 */
bool console_full(const struct console *c)
{
	return c->ob_tail - c->ob_head > CONSOLE_OUT / 4 * 3;
}

static enum console_key one_byte(struct console *c, u8 byte)
{
	if (c->escape && !c->escaped && byte == ESCAPE) {
		c->escaped = true;
		return KEY_NONE;
	}
	if (c->escaped) {
		c->escaped = false;
		switch (byte) {
		case 'x':
			return KEY_QUIT;
		case 'b':
			return KEY_BREAK;
		case 'h':
		case '?':
			return KEY_HELP;
		case ESCAPE:
			break;
		default:
			return KEY_NONE;
		}
	}
	c->ib[c->ib_tail++ % CONSOLE_IN] = byte;
	return KEY_NONE;
}

/**
 * console_fill() - read input that is there
 * @c: the console
 *
 * Return: a key for halo itself, KEY_NONE.
 */
enum console_key console_fill(struct console *c)
{
	u8 buf[256];
	size_t room = CONSOLE_IN - (c->ib_tail - c->ib_head);
	enum console_key key = KEY_NONE;
	ssize_t i, n;

	if (c->in < 0)
		return KEY_NONE;
	if (!room) {
		poll_input(c, false);
		return KEY_NONE;
	}
	n = read(c->in, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n < 0 && errno == EINTR)
		return KEY_NONE;
	if (n < 0 && errno == EIO && c->escape) {
		/* In the background: ask again when brought to the front. */
		poll_input(c, false);
		return KEY_NONE;
	}
	if (n <= 0) {
		poll_input(c, false);
		c->in = -1;
		return KEY_NONE;
	}
	for (i = 0; i < n; i++) {
		enum console_key k = one_byte(c, buf[i]);

		if (k != KEY_NONE && key != KEY_QUIT)
			key = k;
	}
	return key;
}

/**
 * console_has_input() - does input wait for the guest
 * @c: the console
 *
 * Return: true if so.
 */
bool console_has_input(const struct console *c)
{
	return c->ib_head != c->ib_tail;
}

/**
 * console_take() - the next character for the guest
 * @c: the console
 *
 * Return: the character, -1 if there is none.
 */
int console_take(struct console *c)
{
	if (c->ib_head == c->ib_tail) {
		if (!c->in_direct)
			return -1;
		console_fill(c);
		if (c->ib_head == c->ib_tail)
			return -1;
	}
	poll_input(c, true);
	return c->ib[c->ib_head++ % CONSOLE_IN];
}

/**
 * console_resume_input() - listen again, after having been in the background
 * @c: the console
 */
void console_resume_input(struct console *c)
{
	poll_input(c, true);
}
