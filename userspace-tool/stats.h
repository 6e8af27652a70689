/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_STATS_H
#define HALO_TOOL_STATS_H

#include <linux/halo.h>

#include "opts.h"
#include "types.h"

/**
 * struct stat_value - one value of a statistics fd
 * @name: its name
 * @kind: HALO_STATS_COUNTER or HALO_STATS_GAUGE
 * @unit: HALO_STATS_*
 * @value: it
 */
struct stat_value {
	char name[sizeof(((struct halo_stats_desc *)0)->name)];
	u16 kind;
	u16 unit;
	u64 value;
};

/**
 * struct stat_sample - what a VM or a vCPU told
 * @vm: number of the VM
 * @vcpu: number of the vCPU, -1: the VM
 * @pid: process in which it was found
 * @id: PID-FD or PID-FD/vcpuN
 * @name: the VM's
 * @n: values
 * @v: them
 */
struct stat_sample {
	u64 vm;
	long vcpu;
	long pid;
	char id[sizeof(((struct halo_stats_header *)0)->id)];
	char name[HALO_NAME_BYTES];
	size_t n;
	struct stat_value *v;
};

/**
 * struct stat_list - samples, VM by VM, each with its vCPUs behind it
 * @n: how many
 * @s: them
 * @denied: there are processes that this user may not look into
 */
struct stat_list {
	size_t n;
	struct stat_sample *s;
	bool denied;
};

int stats_parse(const void *file, size_t bytes, struct stat_sample *out);
const struct stat_value *stats_find(const struct stat_sample *s, const char *name);
bool stats_match(const struct stat_sample *s, const char *who);
int stats_collect(struct stat_list *l);
const struct stat_sample *stats_same(const struct stat_list *l, const struct stat_sample *s);
void stats_free(struct stat_list *l);
int stats_module(const char *verb);

/* stat.c */
int stat_run(const struct watch_config *c);

#endif /* HALO_TOOL_STATS_H */
