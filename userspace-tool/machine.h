/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_MACHINE_H
#define HALO_TOOL_MACHINE_H

#include <pthread.h>

#include "bus.h"
#include "console.h"
#include "control.h"
#include "devices.h"
#include "gmem.h"
#include "hv.h"
#include "load.h"
#include "opts.h"

#define EXIT_TYPES	16

/**
 * struct machine_vcpu - a vCPU and its thread
 * @hv: the vCPU
 * @m: its machine
 * @thread: runs it
 * @started: @thread exists
 * @done: it has ended
 * @tid: @thread's number, for people
 * @exits: exits by type, own thread only
 * @last_fault: GPA of the last HALO_EXIT_MEMORY
 * @faults: how often in a row
 */
struct machine_vcpu {
	struct hv_vcpu hv;
	struct machine *m;
	pthread_t thread;
	bool started;
	bool done;
	int tid;
	u64 exits[EXIT_TYPES];
	u64 last_fault;
	unsigned int faults;
};

/**
 * struct machine - the PC
 * @server: answers the exits of vCPUs that are parked
 * @server_started: @server exists
 * @server_done: it has ended
 * @lock: over all devices and the console
 * @stop: nonzero: the machine ends; set once, read without a lock
 * @gate_lock: over @paused, @held and the next two
 * @gate: vCPU threads wait here while @paused
 * @paused: the guest is to stand still
 * @held: vCPU threads that wait
 * @stood: all of them did, and @stood_at is known
 * @stood_at: the guest's time then, ns
 * @again: the guest starts anew when it has ended
 * @pressed: a signal has pressed the power button
 */
struct machine {
	const struct run_config *cfg;
	struct hv hv;
	struct gmem mem;
	struct boot_info boot;
	u64 rsdp;
	bool sleep;		/* the guest asked for S3 */
	struct machine_vcpu vcpu[MAX_CPUS];
	pthread_t server;
	bool server_started;
	bool server_done;

	pthread_mutex_t lock;
	struct bus pio;
	struct bus mmio;
	struct pic pic;
	struct ioapic ioapic;
	struct pit pit;
	struct rtc rtc;
	struct uart uart;
	struct pcmisc misc;
	struct testdev testdev;
	struct console console;
	u8 unknown[65536 / 8];	/* ports already told of */

	int epoll;
	int wake;
	int pit_fd;
	int rtc_fd;
	int timeout_fd;
	int signal_fd;
	u64 pit_armed;
	u64 rtc_armed;

	int stop;
	pthread_mutex_t stop_lock;
	int stop_code;
	bool stop_error;
	char stop_text[256];

	pthread_mutex_t gate_lock;
	pthread_cond_t gate;
	bool paused;
	unsigned int held;
	bool stood;
	u64 stood_at;
	bool again;
	bool pressed;

	struct control control;
	char name[GUEST_NAME_MAX + 1];
	u64 started_ns;
};

/* machine.c */
int machine_run(const struct run_config *cfg);
bool machine_stop(struct machine *m, int code, bool error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool machine_stopping(const struct machine *m);
void machine_rearm(struct machine *m);
bool machine_button(struct machine *m);

/* wiring.c */
int machine_wire(struct machine *m);
void machine_pump_input(struct machine *m);
void machine_summary(const struct machine *m);

/* setup.c */
int machine_memory(struct machine *m);
int machine_load(struct machine *m);
int machine_dry_run(struct machine *m);
void machine_free_memory(struct machine *m);

/* sleep.c */
void machine_sleep(struct machine_vcpu *v, struct halo_reply *r);

/* vcpu_loop.c */
int vcpus_start(struct machine *m);
void vcpus_stop(struct machine *m);
void vcpus_pause(struct machine *m, bool pause);
const char *vcpus_state(struct machine *m);

/* remote.c */
int remote_open(struct machine *m);

#endif /* HALO_TOOL_MACHINE_H */
