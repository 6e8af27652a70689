/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_OPTS_H
#define HALO_TOOL_OPTS_H

#include "types.h"

#define MAX_CPUS	64

enum serial_kind {
	SERIAL_STDIO,
	SERIAL_FILE,
	SERIAL_NONE,
};

/**
 * struct run_config - what "halo run" was asked for
 * @kernel: kernel file
 * @initrd: initrd file, NULL for none
 * @cmdline: kernel command line, "" for none
 * @name: the guest's name
 * @named: it was given, not made up
 * @memory: bytes of RAM
 * @cpus: vCPUs
 * @tsc_khz: frequency of the guest's TSC in kHz, 0 = the host's
 * @no_hints: hide from the guest how vCPUs that lack CPUs help one another
 * @parked: vCPUs wait in the kernel, one thread serves them all
 * @serial: where COM1 goes
 * @serial_path: file for SERIAL_FILE
 * @testdev: --device testdev
 * @timeout_ns: stop after this long, 0 = never
 * @dry_run: print the configuration and stop
 */
struct run_config {
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	const char *name;
	bool named;
	u64 memory;
	unsigned int cpus;
	u32 tsc_khz;
	bool no_hints;
	bool parked;
	enum serial_kind serial;
	const char *serial_path;
	bool testdev;
	u64 timeout_ns;
	bool dry_run;
};

/* What parsing says besides "go on" (0) and an exit code. */
#define OPTS_HELP	(-1)

/**
 * struct list_config - what "halo doctor" and "halo version" were asked for
 * @json: print JSON
 * @acpi_dir: write the ACPI tables there (for the tests)
 */
struct list_config {
	bool json;
	const char *acpi_dir;
};

/**
 * struct ctl_config - what a verb for running guests was asked for
 * @name: the guest, NULL for all
 * @json: print JSON
 * @timeout_ns: wait at most that long
 * @delay_ns: "top": time between two looks
 * @count: "top": looks, 0 for no end
 */
struct ctl_config {
	const char *name;
	bool json;
	u64 timeout_ns;
	u64 delay_ns;
	unsigned int count;
};

/**
 * struct watch_config - what "halo stat" and "halo trace" were asked for
 * @json: stat: print JSON
 * @interval_ns: stat: look again after this long, 0 = once
 * @count: stat: how often; trace: how many events; 0 = no end
 * @events: trace: names with commas between, NULL = all
 * @vcpu: trace: this vCPU only, -1 = all
 * @who: trace: VMs of this process or of this name only, NULL = all
 * @words: stat: which VMs; trace: the command
 * @words_n: how many, 0 = all VMs, no command
 */
struct watch_config {
	bool json;
	u64 interval_ns;
	u64 count;
	const char *events;
	long vcpu;
	const char *who;
	char **words;
	int words_n;
};

int opts_run(int argc, char **argv, struct run_config *c);
int opts_list(const char *verb, int argc, char **argv, struct list_config *c);
int opts_ctl(const char *verb, int argc, char **argv, struct ctl_config *c);
int opts_watch(const char *verb, int argc, char **argv, struct watch_config *c);
int parse_size(const char *s, u64 *bytes);
int parse_seconds(const char *s, u64 *ns);
void opts_help(const char *verb);

#endif /* HALO_TOOL_OPTS_H */
