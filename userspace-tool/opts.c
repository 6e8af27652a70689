// SPDX-License-Identifier: GPL-2.0
/*
 * The command line: one table makes both the parser and --help.
 *
 * Every mistake ends in one line that says what, why and how to fix it, and in
 * exit code 125. Main thread only, before anything else happens.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "opts.h"
#include "runtime.h"

#define V_RUN		1
#define V_DOCTOR	2
#define V_VERSION	4
#define V_LIST		8
#define V_INFO		16
#define V_DO		32	/* pause, resume, nmi, reset */
#define V_END		64	/* stop, kill */
#define V_TOP		128
#define V_STAT		256
#define V_TRACE		512
#define V_HOST		(V_DOCTOR | V_VERSION)
#define V_CTL		(V_LIST | V_INFO | V_DO | V_END | V_TOP)
#define V_WATCH		(V_STAT | V_TRACE)
#define V_ALL		(V_RUN | V_HOST | V_CTL | V_WATCH)

struct opt {
	const char *name;
	const char *arg;
	const char *help;
	int key;		/* short letter, or above 255 */
	int verbs;
};

enum {
	O_SERIAL = 256, O_DEVICE, O_TIMEOUT, O_NAME, O_DRY_RUN, O_JSON, O_ACPI, O_RING, O_TSC_KHZ, O_WAIT,
	O_NO_HINTS, O_INTERVAL, O_COUNT, O_EVENT, O_VCPU, O_PID,
};

static const struct {
	const char *name;
	int bit;
} verbs[] = {
	{ "run", V_RUN }, { "doctor", V_DOCTOR }, { "version", V_VERSION }, { "list", V_LIST },
	{ "info", V_INFO }, { "pause", V_DO }, { "resume", V_DO }, { "nmi", V_DO },
	{ "reset", V_DO }, { "stop", V_END }, { "kill", V_END }, { "top", V_TOP },
	{ "stat", V_STAT }, { "trace", V_TRACE },
};

static const struct opt options[] = {
	{ "kernel", "FILE", "bzImage, ELF vmlinux (PVH or 64-bit) or multiboot ELF", 'k', V_RUN },
	{ "initrd", "FILE", "initial RAM disk, or multiboot module 0", 'i', V_RUN },
	{ "cmdline", "TEXT", "kernel command line", 'p', V_RUN },
	{ "cpus", "N", "number of vCPUs (1)", 'c', V_RUN },
	{ "memory", "SIZE", "RAM with K, M, G or T; a plain number is MiB (256M)", 'm', V_RUN },
	{ "tsc-khz", "N", "frequency of the guest's TSC in kHz (the host's)", O_TSC_KHZ, V_RUN },
	{ "ring", "HOW", "who answers exits: inline, each vCPU's thread, or parked, one for all (inline)",
	  O_RING, V_RUN },
	{ "no-hints", NULL, "hide from the guest how vCPUs that lack CPUs help one another", O_NO_HINTS, V_RUN },
	{ "serial", "WHERE", "COM1: stdio, file=PATH or none (stdio)", O_SERIAL, V_RUN },
	{ "device", "NAME", "add a device: testdev (exit port 0xf4 and more)", O_DEVICE, V_RUN },
	{ "timeout", "SECONDS", "stop the guest after this long, exit code 124", O_TIMEOUT, V_RUN },
	{ "timeout", "SECONDS", "wait for the guest's end at most this long (90), exit code 124",
	  O_WAIT, V_END },
	{ "name", "NAME", "what the other verbs call the guest (its kernel file's name)", O_NAME, V_RUN },
	{ "dry-run", NULL, "check everything, print the configuration as JSON, stop", O_DRY_RUN, V_RUN },
	{ "delay", "SECONDS", "time between two looks (2)", 'd', V_TOP },
	{ "count", "N", "end after N looks (1 if the output is no terminal)", 'n', V_TOP },
	{ "json", NULL, "print JSON", O_JSON, V_HOST | V_LIST | V_INFO | V_TOP | V_STAT },
	{ "interval", "SECONDS", "look again and again; counters then are what they gained in a second",
	  O_INTERVAL, V_STAT },
	{ "event", "NAME,...", "these events only, with or without halo_ before", O_EVENT, V_TRACE },
	{ "vcpu", "N", "this vCPU only", O_VCPU, V_TRACE },
	{ "pid", "VM", "VMs of this process, or of this name, only", O_PID, V_TRACE },
	{ "count", "N", "stop after that many looks or events", O_COUNT, V_WATCH },
	{ "dump-acpi", "DIR", NULL, O_ACPI, V_VERSION },
	{ "quiet", NULL, "say nothing but errors", 'q', V_ALL },
	{ "verbose", NULL, "say more; twice: log accesses to absent devices", 'v', V_ALL },
	{ "help", NULL, "this text", 'h', V_ALL },
};

static int verb_bit(const char *verb)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].bit;
	}
	return 0;
}

static const char *operands(int bit)
{
	if (bit == V_RUN)
		return " --kernel FILE";
	if (bit & V_TOP)
		return " [NAME]";
	if (bit == V_STAT)
		return " [VM]...";
	return bit & (V_INFO | V_DO | V_END) ? " NAME" : "";
}

/**
 * opts_help() - print a verb's help
 * @verb: which
 */
void opts_help(const char *verb)
{
	int bit = verb_bit(verb);
	char left[64];
	size_t i;

	printf("usage: halo %s%s [OPTION]...%s\n\n", verb, operands(bit),
	       bit == V_TRACE ? " [--] [COMMAND...]" : "");
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		const struct opt *o = &options[i];

		if (!(o->verbs & bit) || !o->help)
			continue;
		snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->key < 256 ? '-' : ' ',
			 o->key < 256 ? o->key : ' ', o->key < 256 ? "," : " ", o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-24s  %s\n", left, o->help);
	}
	if (bit & (V_INFO | V_DO | V_END))
		printf("\nNAME is the guest's; \"halo list\" tells all. Exit code: 0, or 125 if there is no\n"
		       "such guest or it did not do so.\n");
	if (bit == V_STAT)
		printf("\nA VM is a process, a name, or PID-FD as the first column tells. Without one: a line\n"
		       "for each VM of this user, as root of all; with one: all its values. Exit code:\n"
		       "0, 125 error or no such VM, 126 no module.\n");
	if (bit == V_TRACE)
		printf("\nPrints tracepoints halo:* of all VMs, or of those that COMMAND runs, until ^C,\n"
		       "COMMAND's end or --count; for root. Exit code: COMMAND's, 0 without one, 125\n"
		       "error, 126 no module, 127 no such command, 128+N signal N ended it.\n");
	if (bit == V_RUN)
		printf("\nOn the serial console: ^A x quits, ^A h tells the other keys.\n"
		       "Exit code: 0 power-off or reset, 124 time-out, 125 error, 126 no usable\n"
		       "/dev/halo, 127 no such image, 128+N signal N, 253 triple fault, 254 VM entry\n"
		       "failed, 255 guest panic; with --device testdev (status << 1) | 1.\n");
}

/**
 * parse_size() - read a size of memory
 * @s: digits and K, M, G or T; without a letter it is in MiB
 * @bytes: gets it
 *
 * Return: 0, or -1 if it is no size.
 */
int parse_size(const char *s, u64 *bytes)
{
	static const char units[] = "KMGT";
	unsigned int shift = 20;
	const char *u;
	char *end;
	u64 n;

	if (!isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno)
		return -1;
	if (*end) {
		u = strchr(units, toupper((unsigned char)*end));
		if (!u)
			return -1;
		shift = 10 * (unsigned int)(u - units + 1);
		end++;
		/* "512M", "512MB" and "512MiB" all mean the same. */
		if (!strcmp(end, "B") || !strcmp(end, "iB") || !strcmp(end, "b"))
			end += strlen(end);
	}
	if (*end || n > UINT64_MAX >> shift)
		return -1;
	*bytes = n << shift;
	return 0;
}

/**
 * parse_seconds() - read a time
 * @s: seconds, with a fraction if need be
 * @ns: gets it
 *
 * Return: 0, or -1 if it is no time above zero.
 */
int parse_seconds(const char *s, u64 *ns)
{
	char *end;
	double d;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return -1;
	d = strtod(s, &end);
	if (end == s || (*end && strcmp(end, "s")) || !(d > 0) || d > 1e9)
		return -1;
	*ns = (u64)(d * (double)NS_PER_SEC);
	return *ns ? 0 : -1;
}

static int bad(const char *verb, const char *what, const char *why)
{
	char fix[64];

	snprintf(fix, sizeof(fix), "see halo %s --help", verb);
	return msg_fail(EC_ERROR, what, fix, "%s", why);
}

static int set_memory(struct run_config *c, const char *arg)
{
	if (parse_size(arg, &c->memory))
		return bad("run", "--memory", "not a size such as 512M or 2G");
	if (c->memory < 2 * MIB)
		return msg_fail(EC_ERROR, "--memory", "give at least 2M", "too little for any guest");
	if (c->memory % PAGE_BYTES)
		return msg_fail(EC_ERROR, "--memory", "round it", "not a multiple of 4 KiB");
	if (c->memory > 1024 * GIB)
		return msg_fail(EC_ERROR, "--memory", "give at most 1T", "more than halo maps");
	return 0;
}

static int set_cpus(struct run_config *c, const char *arg)
{
	char *end;
	long n = strtol(arg, &end, 10);

	if (!isdigit((unsigned char)*arg) || *end || n < 1 || n > MAX_CPUS)
		return msg_fail(EC_ERROR, "--cpus", "give a number from 1 to 64", "not a number of vCPUs");
	c->cpus = (unsigned int)n;
	return 0;
}

static int set_tsc_khz(struct run_config *c, const char *arg)
{
	char *end;
	unsigned long n = strtoul(arg, &end, 10);

	if (!isdigit((unsigned char)*arg) || *end || !n || n > UINT32_MAX)
		return bad("run", "--tsc-khz", "not a number of kHz");
	c->tsc_khz = (u32)n;
	return 0;
}

static int set_serial(struct run_config *c, const char *arg)
{
	if (!strcmp(arg, "stdio")) {
		c->serial = SERIAL_STDIO;
	} else if (!strcmp(arg, "none")) {
		c->serial = SERIAL_NONE;
	} else if (!strncmp(arg, "file=", 5) && arg[5]) {
		c->serial = SERIAL_FILE;
		c->serial_path = arg + 5;
	} else {
		return bad("run", "--serial", "neither stdio nor file=PATH nor none");
	}
	return 0;
}

static int set_option(struct run_config *c, int key, const char *arg)
{
	switch (key) {
	case 'k':
		c->kernel = arg;
		return 0;
	case 'i':
		c->initrd = arg;
		return 0;
	case 'p':
		c->cmdline = arg;
		return 0;
	case 'c':
		return set_cpus(c, arg);
	case 'm':
		return set_memory(c, arg);
	case O_TSC_KHZ:
		return set_tsc_khz(c, arg);
	case O_RING:
		c->parked = !strcmp(arg, "parked");
		if (!c->parked && strcmp(arg, "inline"))
			return bad("run", "--ring", "neither inline nor parked");
		return 0;
	case O_NO_HINTS:
		c->no_hints = true;
		return 0;
	case O_SERIAL:
		return set_serial(c, arg);
	case O_DEVICE:
		if (strcmp(arg, "testdev"))
			return msg_fail(EC_ERROR, "--device", "the only one is testdev",
					"no device \"%s\"", arg);
		c->testdev = true;
		return 0;
	case O_TIMEOUT:
		if (parse_seconds(arg, &c->timeout_ns))
			return bad("run", "--timeout", "not a number of seconds above 0");
		return 0;
	case O_NAME:
		c->name = arg;
		c->named = true;
		if (!runtime_name_ok(arg))
			return msg_fail(EC_ERROR, "--name", "use letters, digits, \".\", \"_\" and \"-\", at most 48",
					"can't be a guest's name");
		return 0;
	case O_DRY_RUN:
		c->dry_run = true;
		return 0;
	}
	return EC_ERROR;
}

static int set_watch(const char *verb, struct watch_config *c, int key, const char *arg)
{
	char *end;

	switch (key) {
	case O_JSON:
		c->json = true;
		return 0;
	case O_INTERVAL:
		if (parse_seconds(arg, &c->interval_ns))
			return bad(verb, "--interval", "not a number of seconds above 0");
		return 0;
	case O_COUNT:
		c->count = strtoull(arg, &end, 10);
		if (!isdigit((unsigned char)*arg) || *end || !c->count)
			return bad(verb, "--count", "not a number above 0");
		return 0;
	case O_EVENT:
		c->events = arg;
		return 0;
	case O_VCPU:
		c->vcpu = strtol(arg, &end, 10);
		if (!isdigit((unsigned char)*arg) || *end || c->vcpu >= MAX_CPUS)
			return bad(verb, "--vcpu", "not a number of a vCPU, 0 to 63");
		return 0;
	case O_PID:
		c->who = arg;
		return 0;
	}
	return EC_ERROR;
}

static void make_tables(int verb, struct option *lo, char *so)
{
	size_t i;

	/* What follows a command is the command's. */
	if (verb == V_TRACE)
		*so++ = '+';
	*so++ = ':';
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		const struct opt *o = &options[i];

		if (!(o->verbs & verb))
			continue;
		*lo++ = (struct option){ o->name, o->arg ? required_argument : no_argument,
					 NULL, o->key };
		if (o->key < 256) {
			*so++ = (char)o->key;
			if (o->arg)
				*so++ = ':';
		}
	}
	memset(lo, 0, sizeof(*lo));
	*so = 0;
}

/* An option of a verb for running guests. */
static int set_ctl(struct ctl_config *c, const char *verb, int key, const char *arg)
{
	char *end;
	long n;

	switch (key) {
	case O_WAIT:
		if (parse_seconds(arg, &c->timeout_ns))
			return bad(verb, "--timeout", "not a number of seconds above 0");
		return 0;
	case 'd':
		if (parse_seconds(arg, &c->delay_ns))
			return bad(verb, "--delay", "not a number of seconds above 0");
		return 0;
	case 'n':
		n = strtol(arg, &end, 10);
		if (!isdigit((unsigned char)*arg) || *end || n < 1 || n > 1000000000)
			return bad(verb, "--count", "not a number above 0");
		c->count = (unsigned int)n;
		return 0;
	case O_JSON:
		c->json = true;
		return 0;
	}
	return EC_ERROR;
}

/* What is told of a verb: one of these is set. */
struct target {
	struct run_config *run;
	struct list_config *list;
	struct ctl_config *ctl;
	struct watch_config *watch;
};

static int set_any(const struct target *t, const char *verb, int key, const char *arg)
{
	if (t->run)
		return set_option(t->run, key, arg);
	if (t->watch)
		return set_watch(verb, t->watch, key, arg);
	if (t->ctl)
		return set_ctl(t->ctl, verb, key, arg);
	if (key == O_JSON)
		t->list->json = true;
	else
		t->list->acpi_dir = arg;
	return 0;
}

/* Returns 0 with optind at the first operand. */
static int parse(const char *verb, int argc, char **argv, const struct target *t)
{
	struct option lo[ARRAY_SIZE(options) + 1];
	char so[2 * ARRAY_SIZE(options) + 3];
	int key, r = 0;

	make_tables(verb_bit(verb), lo, so);
	opterr = 0;
	optind = 0;		/* glibc: start afresh */
	while (!r && (key = getopt_long(argc, argv, so, lo, NULL)) != -1) {
		if (key == '?')
			return bad(verb, optind > 0 && optind <= argc ? argv[optind - 1] : "option",
				   "unknown or ambiguous option");
		if (key == ':')
			return bad(verb, argv[optind - 1], "needs a value");
		if (key == 'h')
			return OPTS_HELP;
		if (key == 'v')
			msg_level = msg_level < 0 ? 1 : msg_level + 1;
		else if (key == 'q')
			msg_level = -1;
		else
			r = set_any(t, verb, key, optarg);
	}
	return r;
}

static int no_operand(const char *verb, int argc, char **argv)
{
	return optind < argc ? bad(verb, argv[optind], "unexpected argument") : 0;
}

/**
 * opts_run() - parse the command line of "halo run"
 * @argc: count, from the verb
 * @argv: words, from the verb
 * @c: gets the configuration
 *
 * Return: 0, OPTS_HELP, or the exit code after the error was told.
 */
int opts_run(int argc, char **argv, struct run_config *c)
{
	const struct target t = { .run = c };
	const char *slash;
	int r;

	memset(c, 0, sizeof(*c));
	c->cmdline = "";
	c->memory = 256 * MIB;
	c->cpus = 1;
	r = parse("run", argc, argv, &t);
	if (!r)
		r = no_operand("run", argc, argv);
	if (r)
		return r;
	if (!c->kernel)
		return bad("run", "--kernel", "missing: there is nothing to run");
	if (!c->name) {
		slash = strrchr(c->kernel, '/');
		c->name = slash ? slash + 1 : c->kernel;
	}
	return 0;
}

/**
 * opts_list() - parse the command line of "halo doctor" and "halo version"
 * @verb: which
 * @argc: count, from the verb
 * @argv: words, from the verb
 * @c: gets the configuration
 *
 * Return: 0, OPTS_HELP, or the exit code after the error was told.
 */
int opts_list(const char *verb, int argc, char **argv, struct list_config *c)
{
	const struct target t = { .list = c };
	int r;

	memset(c, 0, sizeof(*c));
	r = parse(verb, argc, argv, &t);
	return r ? r : no_operand(verb, argc, argv);
}

/**
 * opts_ctl() - parse the command line of a verb for running guests
 * @verb: which
 * @argc: count, from the verb
 * @argv: words, from the verb
 * @c: gets the configuration
 *
 * Return: 0, OPTS_HELP, or the exit code after the error was told.
 */
int opts_ctl(const char *verb, int argc, char **argv, struct ctl_config *c)
{
	const struct target t = { .ctl = c };
	int r, bit = verb_bit(verb);

	memset(c, 0, sizeof(*c));
	c->timeout_ns = 90 * NS_PER_SEC;
	c->delay_ns = 2 * NS_PER_SEC;
	r = parse(verb, argc, argv, &t);
	if (r)
		return r;
	if (bit != V_LIST && optind < argc) {
		c->name = argv[optind++];
		if (!runtime_name_ok(c->name))
			return msg_fail(EC_ERROR, c->name, "see halo list", "can't be a guest's name");
	}
	if (!c->name && bit & (V_INFO | V_DO | V_END))
		return bad(verb, "NAME", "missing: which guest");
	return no_operand(verb, argc, argv);
}

/**
 * opts_watch() - parse the command line of "halo stat" and "halo trace"
 * @verb: which
 * @argc: count, from the verb
 * @argv: words, from the verb
 * @c: gets the configuration
 *
 * Return: 0, OPTS_HELP, or the exit code after the error was told.
 */
int opts_watch(const char *verb, int argc, char **argv, struct watch_config *c)
{
	const struct target t = { .watch = c };
	int r;

	memset(c, 0, sizeof(*c));
	c->vcpu = -1;
	r = parse(verb, argc, argv, &t);
	c->words = argv + optind;
	c->words_n = argc - optind;
	if (!r && !strcmp(verb, "stat") && c->count && !c->interval_ns)
		return bad(verb, "--count", "needs --interval");
	return r;
}
