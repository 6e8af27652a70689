// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/control.c userspace-tool/proto.c userspace-tool/runtime.c userspace-tool/ctl.c userspace-tool/msg.c */
/* libs: jansson */
/*
 * The control socket: names, sockets left behind, and clients that send half a line,
 * too much, nonsense, or never read. The guest is a thread here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "control.h"
#include "ctl.h"
#include "msg.h"

static char base[] = "/tmp/halo-test-run-XXXXXX";
static char dir[64], path[RUNTIME_PATH];

/* -- words ------------------------------------------------------------------------ */

static void test_names(void **state)
{
	static const char *const good[] = { "a", "vm-1", "6.1_x", "A" };
	static const char *const bad[] = { "", ".a", "-a", "_a", "a/b", "..", "a b", "a\n", "\xc3\xa4" };
	char name[GUEST_NAME_MAX + 1], longest[GUEST_NAME_MAX + 2];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(runtime_name_ok(good[i]));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(runtime_name_ok(bad[i]));
		runtime_make_name(name, bad[i]);
		assert_true(runtime_name_ok(name));
	}
	memset(longest, 'x', sizeof(longest));
	longest[GUEST_NAME_MAX + 1] = 0;
	assert_false(runtime_name_ok(longest));
	runtime_make_name(name, longest);
	assert_true(runtime_name_ok(name));
	longest[GUEST_NAME_MAX] = 0;
	assert_true(runtime_name_ok(longest));
}

static int parse(const char *s)
{
	const char *why;

	return proto_parse(s, strlen(s), &why);
}

static void test_requests(void **state)
{
	static const char *const bad[] = {
		"", "{}", "[]", "1", "null", "{\"command\"}", "{\"command\":1}", "{\"command\":\"fly\"}",
		"{\"command\":\"info\",\"command\":\"kill\"}", "{\"command\":\"info\",\"x\":1}",
		"{\"command\":\"info\"} x", "{\"Command\":\"info\"}", "{\"command\":\"info\\u0000\"}",
	};
	char deep[3000];
	size_t i;

	for (i = 0; i < PROTO_COMMANDS; i++) {
		char line[64];

		snprintf(line, sizeof(line), " {\"command\" : \"%s\"} ", proto_name(i));
		assert_int_equal(parse(line), i);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i]), -1);
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	assert_int_equal(parse(deep), -1);
}

/* -- sockets ------------------------------------------------------------------------ */

static void test_claim(void **state)
{
	struct stat st;
	int fd, pid, i;

	fd = runtime_claim(dir, "one", path);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(runtime_claim(dir, "one", path), -EADDRINUSE);
	/* However many wait in vain, it is not taken for dead. */
	for (i = 0; i < 40; i++)
		(void)runtime_connect(path);
	assert_int_equal(runtime_claim(dir, "one", path), -EADDRINUSE);
	for (i = 3; i < 200; i++) {
		if (i != fd)
			close(i);
	}
	runtime_release(path);
	close(fd);
	/* One that was killed leaves its socket. */
	pid = fork();
	if (!pid)
		_exit(runtime_claim(dir, "one", path) < 0);
	waitpid(pid, &i, 0);
	assert_int_equal(i, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(runtime_find("one"), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	pid = fork();
	if (!pid)
		_exit(runtime_claim(dir, "one", path) < 0);
	waitpid(pid, &i, 0);
	fd = runtime_claim(dir, "one", path);
	assert_true(fd >= 0);
	runtime_release(path);
	close(fd);
}

static void test_claim_refused(void **state)
{
	int fd;

	snprintf(path, sizeof(path), "%s/file.sock", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	/* What is no socket is nobody's to remove. */
	assert_int_equal(runtime_claim(dir, "file", path), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	chmod(dir, 0777);
	assert_int_equal(runtime_claim(dir, "two", path), -EPERM);
	chmod(dir, 0700);
	assert_int_equal(runtime_claim("/nonexistent/halo", "two", path), -ENOENT);
	assert_int_equal(runtime_claim("/dev/null", "two", path), -ENOTDIR);
}

static void *claimer(void *arg)
{
	char p[RUNTIME_PATH];

	return (void *)(intptr_t)runtime_claim(dir, "race", p);
}

static void test_claim_race(void **state)
{
	pthread_t t[8];
	int i, round, won;

	for (round = 0; round < 30; round++) {
		int fd = -1;

		/* A stale one, and eight who want its name. */
		i = fork();
		if (!i)
			_exit(runtime_claim(dir, "race", path) < 0);
		waitpid(i, NULL, 0);
		for (i = 0; i < 8; i++)
			pthread_create(&t[i], NULL, claimer, NULL);
		for (won = 0, i = 0; i < 8; i++) {
			void *r;

			pthread_join(t[i], &r);
			won += (intptr_t)r >= 0;
			if ((intptr_t)r >= 0)
				fd = (int)(intptr_t)r;
			else
				assert_int_equal((intptr_t)r, -EADDRINUSE);
		}
		assert_int_equal(won, 1);
		snprintf(path, sizeof(path), "%s/race.sock", dir);
		runtime_release(path);
		close(fd);
	}
}

/* -- a guest -------------------------------------------------------------------------- */

static struct {
	struct control control;
	pthread_t thread;
	int epoll, end;
	bool bulky;
	unsigned int asked[PROTO_COMMANDS];
} g;

static json_t *answer(void *ctx, enum proto_command c)
{
	static char big[60000];
	u64 one = 1;

	__atomic_add_fetch(&g.asked[c], 1, __ATOMIC_RELAXED);
	if ((c == PROTO_STOP || c == PROTO_KILL) && write(g.end, &one, sizeof(one)) < 0)
		abort();
	if (c == PROTO_NMI)
		return proto_error("it has none");
	memset(big, 'x', sizeof(big) - 1);
	return json_pack("{s:b, s:s, s:s, s:s}", "ok", 1, "name", "vm", "state",
			 g.asked[PROTO_PAUSE] ? "paused" : "running", "fill", g.bulky ? big : "");
}

static void *guest(void *arg)
{
	struct epoll_event ev;

	do {
		if (epoll_wait(g.epoll, &ev, 1, -1) == 1)
			control_event(&g.control, ev.data.fd);
	} while (ev.data.fd != g.end);
	control_close(&g.control);
	return NULL;
}

static int setup(void **state)
{
	struct epoll_event ev = { .events = EPOLLIN };

	memset(&g, 0, sizeof(g));
	g.epoll = epoll_create1(EPOLL_CLOEXEC);
	g.end = eventfd(0, EFD_CLOEXEC);
	ev.data.fd = g.end;
	epoll_ctl(g.epoll, EPOLL_CTL_ADD, g.end, &ev);
	control_init(&g.control, g.epoll, answer, NULL);
	assert_int_equal(control_listen(&g.control, dir, "vm"), 0);
	return pthread_create(&g.thread, NULL, guest, NULL);
}

static int teardown(void **state)
{
	u64 one = 1;

	assert_int_equal(write(g.end, &one, sizeof(one)), sizeof(one));
	pthread_join(g.thread, NULL);
	close(g.epoll);
	close(g.end);
	snprintf(path, sizeof(path), "%s/vm.sock", dir);
	assert_int_equal(access(path, F_OK), -1);
	return 0;
}

static void say(int fd, const char *s)
{
	assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
}

/* The next line, "" at the end of the connection. */
static char *hear(int fd)
{
	static char text[70000];
	size_t n = 0;

	while (n < sizeof(text) - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 10000), 1);
		if (recv(fd, text + n, 1, 0) != 1 || text[n++] == '\n')
			break;
	}
	text[n] = 0;
	return text;
}

static bool ok(int fd)
{
	return strstr(hear(fd), "\"ok\":true");
}

static void test_pieces(void **state)
{
	static const char cmd[] = "{\"command\":\"info\"}\n";
	int fd = runtime_find("vm"), i;

	for (i = 0; cmd[i]; i++) {
		char one[2] = { cmd[i] };

		say(fd, one);
		if (i % 5 == 0)
			usleep(2000);
	}
	assert_true(ok(fd));
	say(fd, "{\"command\":\"info\"}\n{\"command\":\"nmi\"}\n\n{\"command\":\"resume\"}\n{\"com");
	assert_true(ok(fd));
	assert_non_null(strstr(hear(fd), "\"error\":\"it has none\""));
	assert_non_null(strstr(hear(fd), "\"ok\":false"));
	assert_true(ok(fd));
	say(fd, "mand\":\"info\"}\n");
	assert_true(ok(fd));
	/* The last words of somebody who says no more are answered. */
	say(fd, "{\"command\":\"info\"}\n");
	shutdown(fd, SHUT_WR);
	assert_true(ok(fd));
	assert_string_equal(hear(fd), "");
	close(fd);
}

static void test_too_long(void **state)
{
	int fd = runtime_find("vm"), other = runtime_find("vm");
	char junk[PROTO_LINE];

	memset(junk, '{', sizeof(junk));
	assert_int_equal(send(fd, junk, sizeof(junk), MSG_NOSIGNAL), sizeof(junk));
	assert_non_null(strstr(hear(fd), "more than 4096"));
	assert_string_equal(hear(fd), "");
	say(other, "{\"command\":\"info\"}\n");
	assert_true(ok(other));
	close(fd);
	close(other);
}

/* Asks without end and never reads: it is not read from either, and hurts nobody. */
static void test_never_reads(void **state)
{
	struct rusage before, after;
	int fd = runtime_find("vm"), other, i;
	ssize_t n;

	g.bulky = true;
	for (i = 0; i < 100000; i++) {
		n = send(fd, "{\"command\":\"info\"}\n", 19, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n != 19)
			break;
	}
	assert_true(i < 100000);
	usleep(100000);
	assert_true(g.asked[PROTO_INFO] < 100);
	getrusage(RUSAGE_SELF, &before);
	usleep(200000);
	getrusage(RUSAGE_SELF, &after);
	/* Nobody spins meanwhile. */
	assert_true(after.ru_utime.tv_sec * 1000000 + after.ru_utime.tv_usec <
		    before.ru_utime.tv_sec * 1000000 + before.ru_utime.tv_usec + 100000);
	other = runtime_find("vm");
	say(other, "{\"command\":\"info\"}\n");
	assert_true(ok(other));
	/* When it reads at last, it gets what it asked for. */
	for (n = 0; n < 50; n++)
		assert_true(ok(fd));
	close(fd);
	close(other);
}

static void test_crowd(void **state)
{
	int fd[40], i;

	for (i = 0; i < 40; i++) {
		while ((fd[i] = runtime_find("vm")) < 0)
			assert_int_equal(fd[i], -EAGAIN);
		say(fd[i], "{\"command\":\"info\"}\n");
		assert_true(ok(fd[i]));
	}
	/* Those who were silent longest had to go. */
	assert_string_equal(hear(fd[0]), "");
	say(fd[39], "{\"command\":\"info\"}\n");
	assert_true(ok(fd[39]));
	for (i = 0; i < 40; i++)
		close(fd[i]);
}

static void test_no_descriptors(void **state)
{
	struct rlimit old, few;
	int fd = runtime_find("vm"), late;

	say(fd, "{\"command\":\"info\"}\n");
	assert_true(ok(fd));
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	late = socket(AF_UNIX, SOCK_STREAM, 0);
	few.rlim_cur = (rlim_t)late + 1;
	setrlimit(RLIMIT_NOFILE, &few);
	{
		struct sockaddr_un a = { .sun_family = AF_UNIX };

		snprintf(a.sun_path, sizeof(a.sun_path), "%s/vm.sock", dir);
		assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof(a)), 0);
	}
	usleep(100000);
	setrlimit(RLIMIT_NOFILE, &old);
	say(late, "{\"command\":\"info\"}\n");
	assert_true(ok(late));
	close(fd);
	close(late);
}

/* -- the verbs ------------------------------------------------------------------------- */

static char said[8192];

static int verb(const char *name, const struct ctl_config *c)
{
	int fds[2], old1 = dup(1), old2 = dup(2), r;
	ssize_t n;

	fflush(stdout);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 1);
	dup2(fds[1], 2);
	close(fds[1]);
	r = ctl(name, c);
	fflush(stdout);
	dup2(old1, 1);
	dup2(old2, 2);
	close(old1);
	close(old2);
	n = read(fds[0], said, sizeof(said) - 1);
	close(fds[0]);
	said[n > 0 ? n : 0] = 0;
	return r;
}

static void test_verbs(void **state)
{
	struct ctl_config c = { .name = "vm", .timeout_ns = 5 * NS_PER_SEC };

	assert_int_equal(verb("info", &c), 0);
	assert_non_null(strstr(said, "state     running\n"));
	assert_int_equal(verb("pause", &c), 0);
	assert_string_equal(said, "");
	assert_int_equal(g.asked[PROTO_PAUSE], 1);
	assert_int_equal(verb("resume", &c), 0);
	assert_int_equal(verb("reset", &c), 0);
	assert_int_equal(verb("nmi", &c), EC_ERROR);
	assert_string_equal(said, "halo: vm: it has none\n");
	assert_int_equal(verb("list", &c), 0);
	assert_non_null(strstr(said, "\nvm "));
	c.json = true;
	assert_int_equal(verb("list", &c), 0);
	assert_non_null(strstr(said, "\"name\": \"vm\""));
	c.name = "nobody";
	assert_int_equal(verb("pause", &c), EC_ERROR);
	assert_non_null(strstr(said, "halo: nobody: no such guest runs; fix: "));
	c.name = "vm";
	assert_int_equal(verb("kill", &c), 0);
	assert_int_equal(g.asked[PROTO_KILL], 1);
	assert_int_equal(verb("info", &c), EC_ERROR);
}

/* Guests that take connections and say nothing, or nonsense without end. */
static void test_bad_guests(void **state)
{
	struct ctl_config c = { .name = "mute", .timeout_ns = 100000000 };
	int fd = runtime_claim(dir, "mute", path), pid, s;
	char text[RUNTIME_PATH];

	assert_int_equal(verb("list", &c), 0);
	assert_non_null(strstr(said, "mute"));
	assert_non_null(strstr(said, "silent"));
	runtime_release(path);
	close(fd);
	pid = fork();
	if (!pid) {
		fd = runtime_claim(dir, "babble", text);
		fcntl(fd, F_SETFL, 0);
		s = accept(fd, NULL, NULL);
		while (send(s, "x", 1, MSG_NOSIGNAL) == 1)
			;
		_exit(0);
	}
	c.name = "babble";
	while (verb("info", &c) == EC_ERROR && strstr(said, "no such"))
		usleep(1000);
	assert_non_null(strstr(said, "does not answer"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* What a killed one left is told of, and removed. */
	assert_int_equal(verb("list", &c), 0);
	assert_non_null(strstr(said, "halo: babble: its process is gone"));
	assert_int_equal(verb("list", &c), 0);
	assert_null(strstr(said, "babble"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		cmocka_unit_test(test_names), cmocka_unit_test(test_requests),
		cmocka_unit_test(test_claim), cmocka_unit_test(test_claim_refused),
		cmocka_unit_test(test_claim_race),
		T(test_pieces), T(test_too_long), T(test_never_reads), T(test_crowd),
		T(test_no_descriptors), T(test_verbs), cmocka_unit_test(test_bad_guests),
	};
	int r;

	if (!mkdtemp(base))
		return 1;
	setenv("XDG_RUNTIME_DIR", base, 1);
	snprintf(dir, sizeof(dir), "%s/halo", base);
	signal(SIGPIPE, SIG_IGN);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	rmdir(base);
	return r;
}
