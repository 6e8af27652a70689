// SPDX-License-Identifier: GPL-2.0
/*
 * halo: the userspace half of Halo. This file only picks the verb.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "doctor.h"
#include "machine.h"
#include "msg.h"
#include "opts.h"
#include "stats.h"

static int usage(FILE *to)
{
	fprintf(to, "usage: halo VERB [OPTION]...\n\n"
		"  run      run a guest: halo run --kernel FILE --initrd FILE --cmdline TEXT\n"
		"  list     list the guests that run\n"
		"  info     tell what a guest is: halo info NAME\n"
		"  pause    make a guest stand still: halo pause NAME\n"
		"  resume   let it go on\n"
		"  stop     press a guest's power button and wait for its end\n"
		"  kill     end a guest at once\n"
		"  nmi      press a guest's NMI button\n"
		"  reset    start a guest anew, from its kernel file\n"
		"  top      show what the guests' vCPUs do, again and again\n"
		"  stat     tell what running guests do: halo stat [VM]... [--interval SECONDS]\n"
		"  trace    print events of running guests as they happen (root)\n"
		"  doctor   tell whether this host can run guests, and what is missing\n"
		"  version  tell the versions of tool and module\n\n"
		"\"halo VERB --help\" tells a verb's options.\n");
	return EC_OK;
}

static int verb_run(int argc, char **argv)
{
	struct run_config c;
	int r = opts_run(argc, argv, &c);

	return r ? r : machine_run(&c);
}

static int verb_list(int argc, char **argv)
{
	struct list_config c;
	int r = opts_list(argv[0], argc, argv, &c);

	if (r)
		return r;
	return !strcmp(argv[0], "doctor") ? doctor(&c) : version(&c);
}

/*
 * halo-trace has a program of its own: its libraries would be mapped into each guest's
 * process otherwise. It parses the same words again; here they are only checked.
 */
static int verb_trace(int argc, char **argv)
{
	struct watch_config c;
	int r = opts_watch("trace", argc, argv, &c);
	char path[4096];
	ssize_t n;

	if (r)
		return r;
	n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-trace"));
	if (n > 0) {
		memcpy(path + n, "-trace", sizeof("-trace"));
		execv(path, argv);
	}
	execvp("halo-trace", argv);
	return msg_fail(EC_ERROR, "trace", "install libtracefs-dev and build again",
			"halo-trace: %s", strerror(errno));
}

static int verb_stat(int argc, char **argv)
{
	struct watch_config c;
	int r = opts_watch("stat", argc, argv, &c);

	return r ? r : stat_run(&c);
}

static int verb_ctl(int argc, char **argv)
{
	struct ctl_config c;
	int r = opts_ctl(argv[0], argc, argv, &c);

	if (r)
		return r;
	return !strcmp(argv[0], "top") ? top(&c) : ctl(argv[0], &c);
}

static const struct {
	const char *name;
	int (*fn)(int argc, char **argv);
} verbs[] = {
	{ "run", verb_run }, { "doctor", verb_list }, { "version", verb_list },
	{ "list", verb_ctl }, { "info", verb_ctl }, { "pause", verb_ctl },
	{ "resume", verb_ctl }, { "stop", verb_ctl }, { "kill", verb_ctl },
	{ "nmi", verb_ctl }, { "reset", verb_ctl }, { "top", verb_ctl },
	{ "stat", verb_stat }, { "trace", verb_trace },
};

/* A descriptor 0, 1 or 2 that is closed would become the next file's, /dev/halo's say. */
static int fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd;
}

int main(int argc, char **argv)
{
	size_t i;
	int r;

	if (fill_standard_fds() < 0)
		return msg_fail(EC_ERROR, "/dev/null", "mount /dev", "can't be opened");

	if (argc < 2)
		return msg_fail(EC_ERROR, "usage", "see halo --help", "no verb given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version"))
		argv[1] = (char *)"version";
	for (i = 0; i < ARRAY_SIZE(verbs) && strcmp(argv[1], verbs[i].name); i++)
		;
	if (i == ARRAY_SIZE(verbs))
		return msg_fail(EC_ERROR, argv[1], "see halo --help", "no such verb");
	r = verbs[i].fn(argc - 1, argv + 1);
	if (r == OPTS_HELP) {
		opts_help(argv[1]);
		r = EC_OK;
	}
	if (fflush(stdout) && r == EC_OK)
		r = msg_fail(EC_ERROR, "standard output", NULL, "can't be written");
	return r;
}
