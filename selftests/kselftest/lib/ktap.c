// SPDX-License-Identifier: GPL-2.0
/*
 * The runner behind ktap.h: plan, a child for each test, result lines.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "ktap.h"

#define MAX_TESTS	128
#define KILL_SECONDS	10

static struct ktap_test tests[MAX_TESTS];
static unsigned int count;
static char *reason;	/* shared with the child */

void ktap_register(const char *name, void (*fn)(void), unsigned int seconds)
{
	if (count == MAX_TESTS)
		abort();
	tests[count++] = (struct ktap_test){ name, fn, seconds };
}

unsigned int ktap_slow(void)
{
	const char *slow = getenv("KTAP_SLOW");

	return slow && atoi(slow) > 0 ? atoi(slow) : 1;
}

void ktap_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stdout);
	vprintf(fmt, ap);
	fputc('\n', stdout);
	fflush(stdout);
	va_end(ap);
}

void ktap_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# %s:%d: ", file, line);
	vprintf(fmt, ap);
	fputc('\n', stdout);
	fflush(stdout);
	va_end(ap);
	_exit(KTAP_FAIL);
}

void ktap_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, 256, fmt, ap);
	va_end(ap);
	fflush(stdout);
	_exit(KTAP_SKIP);
}

/* A test's deadline: its own, but at least $KTAP_SECONDS (for a soak). */
static unsigned int limit(const struct ktap_test *t)
{
	const char *text = getenv("KTAP_SECONDS");
	unsigned int own = t->seconds * ktap_slow(), least = text ? atoi(text) : 0;

	return own > least ? own : least;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Waits for the child until the deadline; false: it is still there. */
static bool wait_until(pid_t pid, double deadline, int *status)
{
	while (waitpid(pid, status, WNOHANG) != pid) {
		if (now() > deadline)
			return false;
		usleep(2000);
	}
	return true;
}

static int run_one(const struct ktap_test *t, unsigned int n)
{
	double began;
	int status;
	pid_t pid;

	reason[0] = 0;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		t->fn();
		fflush(stdout);
		_exit(KTAP_PASS);
	}
	began = now();
	if (!wait_until(pid, began + limit(t), &status)) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		if (wait_until(pid, now() + KILL_SECONDS * ktap_slow(), &status))
			printf("not ok %u %s # time-out after %u s\n", n, t->name,
			       limit(t));
		else
			printf("not ok %u %s # time-out, and SIGKILL does not end it\n", n,
			       t->name);
		return KTAP_FAIL;
	}
	if (now() - began > 5)
		printf("# took %.1f s\n", now() - began);
	kill(-pid, SIGKILL);	/* what the test has left behind */
	if (WIFSIGNALED(status)) {
		printf("not ok %u %s # died of signal %d\n", n, t->name, WTERMSIG(status));
		return KTAP_FAIL;
	}
	switch (WEXITSTATUS(status)) {
	case KTAP_PASS:
		printf("ok %u %s\n", n, t->name);
		return KTAP_PASS;
	case KTAP_SKIP:
		printf("ok %u %s # SKIP %s\n", n, t->name, reason);
		return KTAP_SKIP;
	default:
		printf("not ok %u %s\n", n, t->name);
		return KTAP_FAIL;
	}
}

static bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc < 2;
}

/* A program with other uses of its arguments has this; it gives -1 for ours. */
__attribute__((weak)) int audit(int argc, char **argv);

int main(int argc, char **argv)
{
	unsigned int i, n = 0, plan = 0, got[KTAP_SKIP + 1] = {};

	if (audit) {
		int status = audit(argc, argv);

		if (status >= 0)
			return status;
	}

	reason = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (reason == MAP_FAILED)
		return KTAP_FAIL;
	for (i = 0; i < count; i++)
		plan += wanted(tests[i].name, argc, argv);
	printf("TAP version 13\n1..%u\n", plan);
	for (i = 0; i < count; i++)
		if (wanted(tests[i].name, argc, argv))
			got[run_one(&tests[i], ++n)]++;
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:0\n", got[KTAP_PASS],
	       got[KTAP_FAIL], got[KTAP_SKIP]);
	fflush(stdout);
	if (got[KTAP_FAIL])
		return KTAP_FAIL;
	return plan && got[KTAP_SKIP] == plan ? KTAP_SKIP : KTAP_PASS;
}
