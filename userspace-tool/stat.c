// SPDX-License-Identifier: GPL-2.0
/*
 * halo stat: what VMs do, as a table or as JSON, once or at intervals.
 *
 * Without a VM named: a line for each, with what one looks at first. With one named: all
 * values, the VM's and each vCPU's. Main thread; keeps nothing open between two looks.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "msg.h"
#include "stats.h"

/* What was looked at is there no more. */
#define ENDED	(-1)

/* The columns of the short table: sums of values. */
static const struct {
	const char *title;
	const char *of[3];
} columns[] = {
	{ "exits", { "exits" } },
	{ "user", { "user_exits" } },
	{ "posted", { "posted" } },
	{ "bells", { "doorbells" } },
	{ "pio", { "exit_pio" } },
	{ "mmio", { "mmio" } },
	{ "msr", { "exit_rdmsr", "exit_wrmsr" } },
	{ "cpuid", { "exit_cpuid" } },
	{ "hlt", { "exit_hlt" } },
	{ "faults", { "faults" } },
	{ "host-irq", { "exit_intr", "exit_deadline" } },
	{ "injected", { "injected" } },
};

/**
 * struct look - one look at all VMs
 * @c: what was asked for
 * @now: what they say
 * @before: what they said, at intervals
 * @seconds: between the two; 0: there is no @before
 */
struct look {
	const struct watch_config *c;
	struct stat_list now;
	struct stat_list before;
	double seconds;
};

static bool wanted(const struct watch_config *c, const struct stat_sample *s)
{
	int i;

	for (i = 0; i < c->words_n; i++)
		if (stats_match(s, c->words[i]))
			return true;
	return !c->words_n;
}

/* What to show: a gauge as it is, a counter too, but at intervals what it gained in a second. */
static double shown(const struct look *l, const struct stat_sample *s, const struct stat_value *v)
{
	const struct stat_sample *old;
	const struct stat_value *was;

	if (!(l->seconds > 0) || v->kind != HALO_STATS_COUNTER)
		return (double)v->value;
	old = stats_same(&l->before, s);
	was = old ? stats_find(old, v->name) : NULL;
	/* It came in the meantime: all that it has it got since. */
	return (double)(v->value - (was ? was->value : 0)) / l->seconds;
}

static void print_line(const struct look *l, const struct stat_sample *s)
{
	const struct stat_value *v = stats_find(s, "vcpus");
	size_t i, j;

	printf("%-14s %-23s %5" PRIu64, s->id, s->name[0] ? s->name : "-", v ? v->value : 0);
	for (i = 0; i < ARRAY_SIZE(columns); i++) {
		double sum = 0;

		for (j = 0; j < ARRAY_SIZE(columns[i].of) && columns[i].of[j]; j++) {
			v = stats_find(s, columns[i].of[j]);
			sum += v ? shown(l, s, v) : 0;
		}
		printf(" %10.0f", sum);
	}
	putchar('\n');
}

static void print_short(const struct look *l)
{
	size_t i;

	printf("%-14s %-23s %5s", "vm", "name", "vcpus");
	for (i = 0; i < ARRAY_SIZE(columns); i++)
		printf(" %10s", columns[i].title);
	putchar('\n');
	for (i = 0; i < l->now.n; i++)
		if (l->now.s[i].vcpu < 0)
			print_line(l, &l->now.s[i]);
}

/* All values of one VM, a column for it and for each vCPU. */
static void print_long(const struct look *l, size_t first)
{
	const struct stat_sample *vm = &l->now.s[first], *s;
	size_t i, j, end = first + 1;
	const struct stat_value *v;

	while (end < l->now.n && l->now.s[end].vm == vm->vm)
		end++;
	printf("%s %s%s\n", vm->id, vm->name[0] ? vm->name : "-",
	       l->seconds > 0 ? ", counters a second" : "");
	printf("%-18s %14s", "", "all");
	for (j = first + 1; j < end; j++)
		printf("    vcpu %6ld", l->now.s[j].vcpu);
	putchar('\n');
	for (i = 0; i < vm->n; i++) {
		printf("%-18s %14.0f", vm->v[i].name, shown(l, vm, &vm->v[i]));
		for (j = first + 1; j < end; j++) {
			s = &l->now.s[j];
			v = stats_find(s, vm->v[i].name);
			if (v)
				printf(" %14.0f", shown(l, s, v));
			else
				printf(" %14s", "");
		}
		putchar('\n');
	}
}

static json_t *values(const struct look *l, const struct stat_sample *s, bool rates)
{
	json_t *j = json_object();
	size_t i;

	for (i = 0; i < s->n; i++) {
		const struct stat_value *v = &s->v[i];

		if (!rates)
			json_object_set_new(j, v->name, json_integer((json_int_t)v->value));
		else if (v->kind == HALO_STATS_COUNTER)
			json_object_set_new(j, v->name, json_real(shown(l, s, v)));
	}
	return j;
}

static json_t *object(const struct look *l, const struct stat_sample *s)
{
	json_t *j = json_pack("{s:s, s:o}", "id", s->id, "stats", values(l, s, false));

	if (l->seconds > 0)
		json_object_set_new(j, "rates", values(l, s, true));
	return j;
}

static int print_json(const struct look *l)
{
	json_t *vms = json_array(), *vm = NULL, *vcpus = NULL, *j;
	size_t i;
	int r;

	for (i = 0; i < l->now.n; i++) {
		const struct stat_sample *s = &l->now.s[i];

		j = object(l, s);
		if (s->vcpu >= 0) {
			json_object_set_new(j, "vcpu", json_integer(s->vcpu));
			if (vcpus)
				json_array_append_new(vcpus, j);
			else
				json_decref(j);
			continue;
		}
		vm = j;
		vcpus = json_array();
		json_object_set_new(vm, "vm", json_integer((json_int_t)s->vm));
		json_object_set_new(vm, "pid", json_integer(s->pid));
		json_object_set_new(vm, "name", json_string(s->name));
		json_object_set_new(vm, "vcpus", vcpus);
		json_array_append_new(vms, vm);
	}
	j = json_pack("{s:o}", "vms", vms);
	if (l->seconds > 0)
		json_object_set_new(j, "seconds", json_real(l->seconds));
	/* At intervals an object is a line. */
	r = json_dumpf(j, stdout, JSON_PRESERVE_ORDER | (l->c->interval_ns ? JSON_COMPACT :
							 JSON_INDENT(2)));
	json_decref(j);
	putchar('\n');
	return r;
}

/* Leave what was asked for. ENDED or the exit code if a VM that was named is not there. */
static int choose(struct look *l)
{
	size_t i, n = 0;
	int w, r = EC_OK;

	for (w = 0; w < l->c->words_n && !r; w++) {
		for (i = 0; i < l->now.n && !stats_match(&l->now.s[i], l->c->words[w]); i++)
			;
		if (i == l->now.n && l->seconds > 0)
			r = ENDED;
		else if (i == l->now.n)
			r = msg_fail(EC_ERROR, l->c->words[w], l->now.denied ?
				     "run as root, or as the user that runs it" :
				     "halo stat lists all", "no such VM");
	}
	for (i = 0; i < l->now.n; i++) {
		if (wanted(l->c, &l->now.s[i]))
			l->now.s[n++] = l->now.s[i];
		else
			free(l->now.s[i].v);
	}
	l->now.n = n;
	return r;
}

static int look(struct look *l)
{
	size_t i;
	int r;

	if (stats_collect(&l->now))
		return msg_fail(EC_ERROR, "/proc", "mount it", "can't be read");
	r = choose(l);
	if (r || (l->c->interval_ns && !(l->seconds > 0)))
		return r;
	if (l->c->json)
		return print_json(l) ? EC_ERROR : EC_OK;
	if (!l->now.n && l->now.denied)
		msg_note(0, "no VM of this user; those of others are for root");
	if (!l->c->words_n)
		print_short(l);
	else
		for (i = 0; i < l->now.n; i++)
			if (l->now.s[i].vcpu < 0)
				print_long(l, i);
	return EC_OK;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/**
 * stat_run() - "halo stat"
 * @c: options
 *
 * Return: the exit code.
 */
int stat_run(const struct watch_config *c)
{
	struct timespec pause = { (time_t)(c->interval_ns / NS_PER_SEC),
				  (long)(c->interval_ns % NS_PER_SEC) };
	struct look l = { .c = c };
	double then, now;
	u64 i;
	int r = stats_module("stat");

	if (r)
		return r;
	then = seconds_now();
	r = look(&l);
	for (i = 0; !r && c->interval_ns && (!c->count || i < c->count); i++) {
		nanosleep(&pause, NULL);
		stats_free(&l.before);
		l.before = l.now;
		memset(&l.now, 0, sizeof(l.now));
		now = seconds_now();
		l.seconds = now - then;
		then = now;
		r = look(&l);
		if (fflush(stdout))
			break;
	}
	stats_free(&l.before);
	stats_free(&l.now);
	return r == ENDED ? EC_OK : r;
}
