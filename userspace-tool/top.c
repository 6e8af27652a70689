// SPDX-License-Identifier: GPL-2.0
/*
 * halo top: how busy guests are, from two looks at their counters.
 *
 * Without a name a line for each guest, with one a line for each of its vCPUs. On a
 * terminal each look takes the place of the one before. Main thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "msg.h"
#include "runtime.h"

static const char *const columns[] = { "exits", "user_exits", "hlt", "injected", "faults" };

static s64 value(const json_t *j, const char *key)
{
	return (s64)json_integer_value(json_object_get(j, key));
}

static void collect(void *ctx, const char *name, int fd)
{
	json_t *j = fd < 0 ? NULL : ctl_ask(fd, "counters", NS_PER_SEC);

	if (fd >= 0)
		close(fd);
	if (j && json_is_array(json_object_get(j, "vcpus")))
		json_object_set(ctx, name, j);
	json_decref(j);
}

/* Counters of all guests, or of one, by name. NULL after the error was told. */
static json_t *look(const struct ctl_config *c)
{
	json_t *all = json_object();
	int fd;

	if (!c->name) {
		runtime_each(collect, all);
		return all;
	}
	fd = ctl_connect(c->name);
	if (fd >= 0)
		collect(all, c->name, fd);
	if (fd >= 0 && json_object_size(all))
		return all;
	if (fd >= 0)
		msg_fail(0, c->name, "see halo list", "does not answer");
	json_decref(all);
	return NULL;
}

static double rate(s64 now, s64 before, double seconds)
{
	return seconds > 0 && now > before ? (double)(now - before) / seconds : 0;
}

/* What one vCPU did between two looks. */
static json_t *vcpu_rates(const json_t *now, const json_t *before, double seconds)
{
	json_t *row = json_pack("{s:I, s:I, s:f}", "vcpu", (json_int_t)value(now, "id"), "tid",
				(json_int_t)value(now, "tid"), "cpu_percent",
				rate(value(now, "cpu_ns"), value(before, "cpu_ns"), seconds) / 1e7);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(columns); i++)
		json_object_set_new(row, columns[i],
				    json_real(rate(value(now, columns[i]), value(before, columns[i]),
						   seconds)));
	return row;
}

static json_t *guest_rates(const char *name, const json_t *now, const json_t *before)
{
	double seconds = (double)(value(now, "time_ns") - value(before, "time_ns")) / 1e9;
	const json_t *list = json_object_get(now, "vcpus"), *old = json_object_get(before, "vcpus");
	json_t *rows = json_array();
	const char *state = json_string_value(json_object_get(now, "state"));
	size_t i;

	for (i = 0; i < json_array_size(list); i++)
		json_array_append_new(rows, vcpu_rates(json_array_get(list, i), json_array_get(old, i),
						       seconds));
	return json_pack("{s:s, s:s, s:f, s:o}", "name", name, "state", state ? state : "?", "cpu_percent",
			 rate(value(now, "cpu_ns"), value(before, "cpu_ns"), seconds) / 1e7, "vcpus", rows);
}

static void print_numbers(const json_t *row)
{
	size_t i;

	printf(" %6.1f", json_number_value(json_object_get(row, "cpu_percent")));
	for (i = 0; i < ARRAY_SIZE(columns); i++)
		printf(" %10.0f", json_number_value(json_object_get(row, columns[i])));
	printf("\n");
}

/* The sum of a guest's vCPUs; its CPU time is all its threads'. */
static void print_sum(json_t *g)
{
	json_t *rows = json_object_get(g, "vcpus");
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(columns); k++) {
		double sum = 0;

		for (i = 0; i < json_array_size(rows); i++)
			sum += json_number_value(json_object_get(json_array_get(rows, i), columns[k]));
		json_object_set_new(g, columns[k], json_real(sum));
	}
	printf("%-20s %-8s %5zu", json_string_value(json_object_get(g, "name")),
	       json_string_value(json_object_get(g, "state")), json_array_size(rows));
	print_numbers(g);
}

static void print_table(json_t *guests, bool one)
{
	size_t i, k;

	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[2J");
	printf(one ? "%-5s %8s %6s" : "%-20s %-8s %5s %6s", one ? "VCPU" : "NAME", one ? "TID" : "STATE",
	       one ? "CPU%" : "VCPUS", "CPU%");
	printf(" %10s %10s %10s %10s %10s\n", "EXITS/s", "USER/s", "HLT/s", "IRQS/s", "FAULTS/s");
	for (i = 0; i < json_array_size(guests); i++) {
		json_t *g = json_array_get(guests, i), *rows = json_object_get(g, "vcpus");

		if (!one)
			print_sum(g);
		for (k = 0; one && k < json_array_size(rows); k++) {
			json_t *row = json_array_get(rows, k);

			printf("%-5lld %8lld", (long long)value(row, "vcpu"), (long long)value(row, "tid"));
			print_numbers(row);
		}
	}
}

static void print_look(const struct ctl_config *c, json_t *now, const json_t *before)
{
	json_t *guests = json_array(), *j;
	const char *name;
	char *text;

	json_object_foreach(now, name, j)
		json_array_append_new(guests, guest_rates(name, j, json_object_get(before, name)));
	text = c->json ? json_dumps(guests, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	if (text)
		puts(text);
	else
		print_table(guests, c->name);
	free(text);
	json_decref(guests);
}

/**
 * top() - "halo top"
 * @c: options
 *
 * Return: the exit code.
 */
int top(const struct ctl_config *c)
{
	struct timespec delay = { (time_t)(c->delay_ns / NS_PER_SEC), (long)(c->delay_ns % NS_PER_SEC) };
	unsigned int n = 0, count = c->count;
	json_t *before = look(c), *now;

	if (!count && !isatty(STDOUT_FILENO))
		count = 1;
	while (before && (!count || n++ < count)) {
		nanosleep(&delay, NULL);
		now = look(c);
		if (now)
			print_look(c, now, before);
		json_decref(before);
		before = now;
		if (fflush(stdout))
			break;
	}
	json_decref(before);
	return before ? EC_OK : EC_ERROR;
}
