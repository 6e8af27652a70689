// SPDX-License-Identifier: GPL-2.0
/*
 * The verbs for guests that run: the other end of their control sockets.
 *
 * A guest's process may be stopped, stuck or hostile: every wait here has an end, and
 * a reply has a room. Main thread.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "msg.h"
#include "runtime.h"

#define REPLY_ROOM	(256u << 10)

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

/* Wait until @events; false when the time is over. */
static bool wait_for(int fd, short events, u64 until)
{
	struct pollfd p = { .fd = fd, .events = events };
	u64 now = now_ns();
	int r;

	if (now >= until)
		return false;
	r = poll(&p, 1, (int)((until - now) / 1000000 + 1));
	return r > 0 || (r < 0 && errno == EINTR);
}

static bool send_all(int fd, const char *text, u64 until)
{
	size_t len = strlen(text), at = 0;

	while (at < len) {
		ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		else if (!wait_for(fd, POLLOUT, until))
			return false;
	}
	return true;
}

static json_t *read_reply(int fd, u64 until)
{
	char *buf = malloc(REPLY_ROOM);
	json_t *j = NULL;
	size_t len = 0;

	while (buf && len < REPLY_ROOM) {
		ssize_t n = recv(fd, buf + len, REPLY_ROOM - len, 0);

		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
			break;
		if (n > 0) {
			len += (size_t)n;
			if (buf[len - 1] == '\n') {
				j = json_loadb(buf, len, JSON_REJECT_DUPLICATES, NULL);
				break;
			}
		} else if (!wait_for(fd, POLLIN, until)) {
			break;
		}
	}
	free(buf);
	return j;
}

/**
 * ctl_ask() - ask a guest
 * @fd: a connection to it
 * @command: what for
 * @timeout_ns: how long to wait for its reply
 *
 * Return: the reply, an object; NULL if there was none in time.
 */
json_t *ctl_ask(int fd, const char *command, u64 timeout_ns)
{
	u64 until = now_ns() + timeout_ns;
	char line[64];
	json_t *j;

	snprintf(line, sizeof(line), "{\"command\":\"%s\"}\n", command);
	j = send_all(fd, line, until) ? read_reply(fd, until) : NULL;
	if (json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

/**
 * ctl_connect() - connect to a guest, or tell why not
 * @name: its name
 *
 * Return: the connection, -1 after the error was told.
 */
int ctl_connect(const char *name)
{
	struct timespec ms = { 0, 20000000 };
	int i, fd = runtime_find(name);

	for (i = 0; fd == -EAGAIN && i < 100; i++) {
		nanosleep(&ms, NULL);
		fd = runtime_find(name);
	}
	if (fd >= 0)
		return fd;
	if (fd == -ENOENT)
		msg_fail(0, name, "see halo list", "no such guest runs");
	else if (fd == -EACCES || fd == -EPERM)
		msg_fail(0, name, "be its user or root", "not permitted");
	else
		msg_fail(0, name, "kill its process", "%s",
			 fd == -EAGAIN ? "does not answer" : strerror(-fd));
	return -1;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "?";
}

static long long number_of(const json_t *j, const char *key)
{
	return (long long)json_number_value(json_object_get(j, key));
}

static int no_answer(const char *name)
{
	return msg_fail(EC_ERROR, name, "see whether its process is stopped, or kill that",
			"does not answer");
}

/* Ask, and tell if it was refused. Returns the reply, or NULL. */
static json_t *ask_or_tell(int fd, const char *name, const char *command)
{
	json_t *j = ctl_ask(fd, command, CTL_ANSWER_NS);

	if (!j) {
		no_answer(name);
	} else if (!json_is_true(json_object_get(j, "ok"))) {
		msg_fail(0, name, NULL, "%s", text_of(j, "error"));
		json_decref(j);
		j = NULL;
	}
	return j;
}

static void print_info(const json_t *j)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)j, key, v) {
		if (!strcmp(key, "ok") || json_is_null(v))
			continue;
		if (!strcmp(key, "memory"))
			printf("%-8s  %lld MiB\n", key, number_of(j, key) >> 20);
		else if (json_is_string(v))
			printf("%-8s  %s\n", key, json_string_value(v));
		else if (json_is_integer(v))
			printf("%-8s  %lld\n", key, (long long)json_integer_value(v));
		else
			printf("%-8s  %.1f s\n", key, json_number_value(v));
	}
}

static int print_json(json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	if (!text)
		return msg_fail(EC_ERROR, "--json", NULL, "can't be written");
	puts(text);
	free(text);
	return EC_OK;
}

static int info(int fd, const struct ctl_config *c)
{
	json_t *j = ask_or_tell(fd, c->name, "info");
	int r = EC_OK;

	if (!j)
		return EC_ERROR;
	json_object_del(j, "ok");
	if (c->json)
		r = print_json(j);
	else
		print_info(j);
	json_decref(j);
	return r;
}

/* All vCPUs stand still when the state says so. */
static int pause_guest(int fd, const struct ctl_config *c)
{
	u64 until = now_ns() + CTL_ANSWER_NS;
	struct timespec ms = { 0, 2000000 };
	json_t *j = ask_or_tell(fd, c->name, "pause");

	while (j && !strcmp(text_of(j, "state"), "pausing") && now_ns() < until) {
		json_decref(j);
		nanosleep(&ms, NULL);
		j = ask_or_tell(fd, c->name, "info");
	}
	if (!j)
		return EC_ERROR;
	if (strcmp(text_of(j, "state"), "paused")) {
		msg_fail(0, c->name, "see whether somebody reads its serial port", "not paused yet: %s",
			 text_of(j, "state"));
		json_decref(j);
		return EC_ERROR;
	}
	json_decref(j);
	return EC_OK;
}

/* Ask for the guest's end and wait until its process closes the connection. */
static int end(int fd, const char *verb, const struct ctl_config *c)
{
	u64 until = now_ns() + c->timeout_ns;
	json_t *j = ask_or_tell(fd, c->name, verb);
	char buf[256];
	ssize_t n;

	if (!j)
		return EC_ERROR;
	json_decref(j);
	for (;;) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
			return EC_OK;
		if (n < 0 && !wait_for(fd, POLLIN, until))
			return msg_fail(EC_TIMEOUT, c->name, "wait longer (--timeout), or halo kill",
					"runs still");
	}
}

static int plain(int fd, const char *verb, const struct ctl_config *c)
{
	json_t *j = ask_or_tell(fd, c->name, verb);
	int r = j ? EC_OK : EC_ERROR;

	json_decref(j);
	return r;
}

static void list_one(void *ctx, const char *name, int fd)
{
	json_t *j = fd < 0 ? NULL : ctl_ask(fd, "info", NS_PER_SEC);

	if (fd >= 0)
		close(fd);
	if (j && !json_is_true(json_object_get(j, "ok"))) {
		json_decref(j);
		j = NULL;
	}
	if (j)
		json_object_del(j, "ok");
	else
		j = json_pack("{s:s, s:s}", "name", name, "state", "silent");
	json_array_append_new(ctx, j);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(text_of(*(json_t *const *)a, "name"), text_of(*(json_t *const *)b, "name"));
}

static void print_row(const json_t *j)
{
	bool silent = !strcmp(text_of(j, "state"), "silent");

	printf("%-20s", text_of(j, "name"));
	if (silent)
		printf(" %8s  %-8s\n", "-", "silent");
	else
		printf(" %8lld  %-8s %5lld %9lldM %9.0fs  %s\n", number_of(j, "pid"),
		       text_of(j, "state"), number_of(j, "cpus"), number_of(j, "memory") >> 20,
		       json_number_value(json_object_get(j, "uptime")), text_of(j, "kernel"));
}

static int list(const struct ctl_config *c)
{
	json_t *all = json_array();
	size_t i, n;
	json_t **row;
	int r = EC_OK;

	runtime_each(list_one, all);
	n = json_array_size(all);
	if (c->json) {
		r = print_json(all);
		json_decref(all);
		return r;
	}
	row = calloc(n + 1, sizeof(*row));
	for (i = 0; row && i < n; i++)
		row[i] = json_array_get(all, i);
	if (row) {
		qsort(row, n, sizeof(*row), by_name);
		printf("%-20s %8s  %-8s %5s %10s %10s  %s\n", "NAME", "PID", "STATE", "VCPUS", "MEMORY",
		       "UPTIME", "KERNEL");
		for (i = 0; i < n; i++)
			print_row(row[i]);
	}
	free(row);
	json_decref(all);
	return r;
}

/**
 * ctl() - a verb for running guests, but "top"
 * @verb: which
 * @c: options
 *
 * Return: the exit code.
 */
int ctl(const char *verb, const struct ctl_config *c)
{
	int fd, r;

	if (!strcmp(verb, "list"))
		return list(c);
	fd = ctl_connect(c->name);
	if (fd < 0)
		return EC_ERROR;
	if (!strcmp(verb, "info"))
		r = info(fd, c);
	else if (!strcmp(verb, "pause"))
		r = pause_guest(fd, c);
	else if (!strcmp(verb, "stop") || !strcmp(verb, "kill"))
		r = end(fd, verb, c);
	else
		r = plain(fd, verb, c);
	close(fd);
	return r;
}
