// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/opts.c userspace-tool/runtime.c userspace-tool/msg.c */
/*
 * The command line: what is taken, and that every mistake is one line on stderr
 * in the form "halo: WHAT: WHY; fix: FIX".
 */
#include <unistd.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "msg.h"
#include "opts.h"

static char said[4096];

/* Parse these words of a verb, what it says on stderr goes to said. */
static int parse(const char *verb, void *c, const char *const *words)
{
	static char *argv[32];	/* what was parsed points there */
	int argc = 1, fds[2], old = dup(2), r;
	ssize_t n;

	memset(argv, 0, sizeof(argv));
	argv[0] = (char *)verb;
	while (*words)
		argv[argc++] = (char *)*words++;
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 2);
	close(fds[1]);
	msg_level = 0;
	r = !strcmp(verb, "run") ? opts_run(argc, argv, c) : opts_watch(verb, argc, argv, c);
	dup2(old, 2);
	close(old);
	n = read(fds[0], said, sizeof(said) - 1);
	close(fds[0]);
	said[n > 0 ? n : 0] = 0;
	return r;
}

#define RUN(c, ...)	parse("run", c, (const char *const[]){ __VA_ARGS__, NULL })
#define STAT(c, ...)	parse("stat", c, (const char *const[]){ __VA_ARGS__, NULL })
#define TRACE(c, ...)	parse("trace", c, (const char *const[]){ __VA_ARGS__, NULL })

static void refused(const char *what, int r)
{
	char start[128];

	snprintf(start, sizeof(start), "halo: %s: ", what);
	assert_int_equal(r, EC_ERROR);
	if (strncmp(said, start, strlen(start)) || !strstr(said, "; fix: "))
		fail_msg("said \"%s\"", said);
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void test_defaults(void **state)
{
	struct run_config c;

	assert_int_equal(RUN(&c, "--kernel", "/boot/vmlinuz"), 0);
	assert_string_equal(c.kernel, "/boot/vmlinuz");
	assert_string_equal(c.name, "vmlinuz");
	assert_string_equal(c.cmdline, "");
	assert_null(c.initrd);
	assert_int_equal(c.memory, 256 * MIB);
	assert_int_equal(c.cpus, 1);
	assert_int_equal(c.tsc_khz, 0);
	assert_false(c.parked || c.no_hints);
	assert_int_equal(c.serial, SERIAL_STDIO);
	assert_string_equal(said, "");
}

static void test_all(void **state)
{
	struct run_config c;

	assert_int_equal(RUN(&c, "-k", "k", "-i", "i", "-p", "a b", "-c", "4", "-m", "2G",
			     "--serial", "file=out", "--device", "testdev", "--timeout", "1.5",
			     "--name", "n", "--dry-run", "--no-hints", "-vv", "--tsc-khz", "2000000"), 0);
	assert_int_equal(c.tsc_khz, 2000000);
	assert_string_equal(c.initrd, "i");
	assert_string_equal(c.cmdline, "a b");
	assert_int_equal(c.cpus, 4);
	assert_int_equal(c.memory, 2 * GIB);
	assert_int_equal(c.serial, SERIAL_FILE);
	assert_string_equal(c.serial_path, "out");
	assert_true(c.testdev && c.dry_run && c.no_hints);
	assert_int_equal(c.timeout_ns, 1500000000);
	assert_int_equal(msg_level, 2);
	assert_int_equal(RUN(&c, "--kernel=k", "--serial=none", "-q"), 0);
	assert_int_equal(c.serial, SERIAL_NONE);
	assert_int_equal(msg_level, -1);
	assert_int_equal(RUN(&c, "--help"), OPTS_HELP);
}

static void test_mistakes(void **state)
{
	struct run_config c;

	refused("--kernel", RUN(&c, "-m", "1G"));
	refused("--kernel", RUN(&c, "--kernel"));
	refused("-k", RUN(&c, "-k"));
	refused("--frob", RUN(&c, "-k", "k", "--frob"));
	refused("-z", RUN(&c, "-k", "k", "-z"));
	refused("more", RUN(&c, "-k", "k", "more"));
	refused("--ring", RUN(&c, "-k", "k", "--ring", "round"));
	refused("--tsc-khz", RUN(&c, "-k", "k", "--tsc-khz", "0"));
	refused("--tsc-khz", RUN(&c, "-k", "k", "--tsc-khz", "-1"));
	refused("--tsc-khz", RUN(&c, "-k", "k", "--tsc-khz", "1e6"));
	refused("--tsc-khz", RUN(&c, "-k", "k", "--tsc-khz", "4294967296"));
	refused("--cpus", RUN(&c, "-k", "k", "-c", "0"));
	refused("--cpus", RUN(&c, "-k", "k", "-c", "65"));
	refused("--cpus", RUN(&c, "-k", "k", "-c", "-1"));
	refused("--cpus", RUN(&c, "-k", "k", "-c", "2x"));
	refused("--memory", RUN(&c, "-k", "k", "-m", "lots"));
	refused("--memory", RUN(&c, "-k", "k", "-m", "1M"));
	refused("--memory", RUN(&c, "-k", "k", "-m", "2049K"));
	refused("--memory", RUN(&c, "-k", "k", "-m", "9999999T"));
	refused("--memory", RUN(&c, "-k", "k", "-m", ""));
	refused("--serial", RUN(&c, "-k", "k", "--serial", "tty"));
	refused("--serial", RUN(&c, "-k", "k", "--serial", "file="));
	refused("--device", RUN(&c, "-k", "k", "--device", "disk"));
	refused("--timeout", RUN(&c, "-k", "k", "--timeout", "0"));
	refused("--timeout", RUN(&c, "-k", "k", "--timeout", "nan"));
	refused("--timeout", RUN(&c, "-k", "k", "--timeout", "-1"));
	refused("--json", RUN(&c, "-k", "k", "--json"));
	refused("--name", RUN(&c, "-k", "k", "--name", "a b"));
	refused("--name", RUN(&c, "-k", "k", "--name", "../x"));
	refused("--name", RUN(&c, "-k", "k", "--name", ""));
}

/* The same for a verb for running guests. */
static int ctl(struct ctl_config *c, const char *const *words)
{
	char *argv[32];
	int argc = 0, fds[2], old = dup(2), r;
	ssize_t n;

	while (words[argc]) {
		argv[argc] = (char *)words[argc];
		argc++;
	}
	argv[argc] = NULL;
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 2);
	close(fds[1]);
	r = opts_ctl(argv[0], argc, argv, c);
	dup2(old, 2);
	close(old);
	n = read(fds[0], said, sizeof(said) - 1);
	close(fds[0]);
	said[n > 0 ? n : 0] = 0;
	return r;
}

#define CTL(c, ...)	ctl(c, (const char *const[]){ __VA_ARGS__, NULL })

static void test_running_guests(void **state)
{
	struct ctl_config c;

	assert_int_equal(CTL(&c, "list"), 0);
	assert_null(c.name);
	assert_int_equal(CTL(&c, "list", "--json"), 0);
	assert_true(c.json);
	assert_int_equal(CTL(&c, "pause", "vm-1"), 0);
	assert_string_equal(c.name, "vm-1");
	assert_int_equal(CTL(&c, "stop", "--timeout", "1.5", "vm"), 0);
	assert_int_equal(c.timeout_ns, 1500000000);
	assert_string_equal(c.name, "vm");
	assert_int_equal(CTL(&c, "top", "-d", "0.5", "-n", "3"), 0);
	assert_int_equal(c.delay_ns, 500000000);
	assert_int_equal(c.count, 3);
	assert_null(c.name);
	assert_int_equal(CTL(&c, "kill", "--help"), OPTS_HELP);
	refused("NAME", CTL(&c, "info"));
	refused("more", CTL(&c, "info", "vm", "more"));
	refused("vm", CTL(&c, "list", "vm"));
	refused("../vm", CTL(&c, "kill", "../vm"));
	refused("--json", CTL(&c, "kill", "--json", "vm"));
	refused("--timeout", CTL(&c, "kill", "--timeout", "-1", "vm"));
	refused("--count", CTL(&c, "top", "-n", "0"));
	refused("--delay", CTL(&c, "top", "-d", "x"));
}

static void test_one_line_whatever_the_name(void **state)
{
	struct run_config c;

	refused("a?b?c", RUN(&c, "-k", "k", "a\nb\033c"));
}

static void test_sizes(void **state)
{
	static const struct { const char *s; u64 n; } good[] = {
		{ "512", 512 * MIB }, { "512M", 512 * MIB }, { "512MiB", 512 * MIB },
		{ "1g", GIB }, { "2GB", 2 * GIB }, { "4096K", 4 * MIB }, { "1T", 1024 * GIB },
	};
	static const char *const bad[] = { "", "M", "-1", "1.5G", "1X", "1MM", "99999999999999999999",
					   "18446744073709551615G", " 1", "1MiBs" };
	u64 n;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(parse_size(good[i].s, &n), 0);
		assert_int_equal(n, good[i].n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_size(bad[i], &n), -1);
}

static void test_stat(void **state)
{
	struct watch_config c;

	assert_int_equal(STAT(&c, "one", "--interval", "0.5", "two", "--count", "3", "--json"), 0);
	assert_int_equal(c.words_n, 2);
	assert_true(c.json);
	assert_int_equal(c.interval_ns, NS_PER_SEC / 2);
	assert_int_equal(c.count, 3);
	assert_int_equal(STAT(&c, "--help"), OPTS_HELP);
	refused("--interval", STAT(&c, "--interval", "0"));
	refused("--interval", STAT(&c, "--interval", "soon"));
	refused("--count", STAT(&c, "--count", "3"));
	refused("--count", STAT(&c, "--interval", "1", "--count", "0"));
	refused("--count", STAT(&c, "--interval", "1", "--count", "-1"));
	refused("--event", STAT(&c, "--event", "exit"));
}

static void test_trace(void **state)
{
	struct watch_config c;

	assert_int_equal(TRACE(&c, "--event", "exit,entry", "--vcpu", "0", "--pid", "g"), 0);
	assert_string_equal(c.events, "exit,entry");
	assert_string_equal(c.who, "g");
	assert_int_equal(c.vcpu, 0);
	assert_int_equal(c.words_n, 0);
	/* What follows the command is the command's own, with and without "--". */
	assert_int_equal(TRACE(&c, "--count", "9", "ls", "-l", "--count"), 0);
	assert_int_equal(c.count, 9);
	assert_int_equal(c.words_n, 3);
	assert_int_equal(c.vcpu, -1);
	assert_int_equal(TRACE(&c, "--", "--help"), 0);
	assert_string_equal(c.words[0], "--help");
	refused("--vcpu", TRACE(&c, "--vcpu", "64"));
	refused("--vcpu", TRACE(&c, "--vcpu", "-1"));
	refused("--interval", TRACE(&c, "--interval", "1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_mistakes), cmocka_unit_test(test_running_guests),
		cmocka_unit_test(test_one_line_whatever_the_name),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
