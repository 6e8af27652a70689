// SPDX-License-Identifier: GPL-2.0
/*
 * What a running guest answers on its control socket.
 *
 * Main thread. A command is carried out or begun before its reply; what takes time
 * (stop, and pause while a vCPU writes to a slow reader) goes on after it, and "info"
 * or the end of the connection tells when it is done.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "machine.h"
#include "msg.h"

#define NAME_TRIES	99

static u64 now_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts))
		return 0;
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

static json_t *maybe(const char *s)
{
	return s ? proto_text(s) : json_null();
}

static json_t *info(struct machine *m)
{
	const struct run_config *c = m->cfg;

	return json_pack("{s:b, s:s, s:i, s:s, s:I, s:I, s:f, s:s, s:s, s:o, s:o, s:o}", "ok", 1,
			 "name", m->name, "pid", (int)getpid(), "state", vcpus_state(m),
			 "cpus", (json_int_t)c->cpus, "memory", (json_int_t)c->memory,
			 "uptime", (double)(now_ns(CLOCK_BOOTTIME) - m->started_ns) / (double)NS_PER_SEC,
			 "ring", c->parked ? "parked" : "inline", "version", HALO_VERSION,
			 "kernel", proto_text(c->kernel), "initrd", maybe(c->initrd),
			 "cmdline", proto_text(c->cmdline));
}

static json_t *vcpu_counters(const struct machine_vcpu *v)
{
	struct halo_vcpu_stats s = { .size = sizeof(s) };
	clockid_t clock;
	u64 cpu = 0;

	if (ioctl(v->hv.fd, HALO_VCPU_GET_STATS, &s) < 0)
		memset(&s, 0, sizeof(s));
	if (!pthread_getcpuclockid(v->thread, &clock))
		cpu = now_ns(clock);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "id", (json_int_t)v->hv.id, "tid", (json_int_t)v->tid,
			 "cpu_ns", (json_int_t)cpu, "entries", (json_int_t)s.entries,
			 "exits", (json_int_t)s.exits, "user_exits", (json_int_t)s.user_exits,
			 "hlt", (json_int_t)s.hlt, "injected", (json_int_t)s.injected,
			 "faults", (json_int_t)s.faults, "halted_ns", (json_int_t)s.halted_ns);
}

static json_t *counters(struct machine *m)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < m->cfg->cpus; i++)
		json_array_append_new(list, vcpu_counters(&m->vcpu[i]));
	return json_pack("{s:b, s:s, s:s, s:I, s:I, s:o}", "ok", 1, "name", m->name,
			 "state", vcpus_state(m), "time_ns", (json_int_t)now_ns(CLOCK_MONOTONIC),
			 "cpu_ns", (json_int_t)now_ns(CLOCK_PROCESS_CPUTIME_ID), "vcpus", list);
}

/* The button for NMIs is wired to LINT1 of every LAPIC, which decides what it means. */
static void press_nmi(struct machine *m)
{
	unsigned int i;

	for (i = 0; i < m->cfg->cpus; i++) {
		hv_line(&m->vcpu[i].hv, HALO_PIN_LINT1, true);
		hv_line(&m->vcpu[i].hv, HALO_PIN_LINT1, false);
	}
}

static json_t *stop(struct machine *m)
{
	bool listens;

	vcpus_pause(m, false);
	listens = machine_button(m);
	if (!listens)
		machine_stop(m, EC_SIGNAL + SIGTERM, false, "ended by halo stop");
	return json_pack("{s:b, s:b}", "ok", 1, "button", listens);
}

static json_t *answer(void *ctx, enum proto_command c)
{
	struct machine *m = ctx;

	switch (c) {
	case PROTO_INFO:
		return info(m);
	case PROTO_COUNTERS:
		return counters(m);
	case PROTO_PAUSE:
	case PROTO_RESUME:
		vcpus_pause(m, c == PROTO_PAUSE);
		break;
	case PROTO_STOP:
		return stop(m);
	case PROTO_KILL:
		machine_stop(m, EC_SIGNAL + SIGKILL, false, "ended by halo kill");
		break;
	case PROTO_NMI:
		press_nmi(m);
		break;
	case PROTO_RESET:
		if (machine_stop(m, EC_OK, false, "reset by halo reset"))
			m->again = true;
		break;
	case PROTO_COMMANDS:
		break;
	}
	return json_pack("{s:b, s:s}", "ok", 1, "state", vcpus_state(m));
}

/**
 * remote_open() - make the guest known under its name
 * @m: the machine, with its epoll
 *
 * A guest that was given no name takes the first that is free of NAME, NAME-2, ...
 * One that was given a name is not run without it; the others need no socket.
 *
 * Return: 0, or the exit code after the error was told.
 */
int remote_open(struct machine *m)
{
	char dir[RUNTIME_DIRS][RUNTIME_PATH], base[GUEST_NAME_MAX + 1];
	const struct run_config *c = m->cfg;
	unsigned int i;
	int r;

	control_init(&m->control, m->epoll, answer, m);
	m->started_ns = now_ns(CLOCK_BOOTTIME);
	runtime_dirs(dir);
	if (c->named)
		snprintf(m->name, sizeof(m->name), "%s", c->name);
	else
		runtime_make_name(m->name, c->name);
	memcpy(base, m->name, sizeof(base));
	r = control_listen(&m->control, dir[0], m->name);
	for (i = 2; r == -EADDRINUSE && !c->named && i <= NAME_TRIES; i++) {
		snprintf(m->name, sizeof(m->name), "%.*s-%u", GUEST_NAME_MAX - 4, base, i % 100);
		r = control_listen(&m->control, dir[0], m->name);
	}
	if (!r)
		return 0;
	if (!c->named) {
		msg_note(1, "no control socket in %s: %s", dir[0], strerror(-r));
		return 0;
	}
	if (r == -EADDRINUSE)
		return msg_fail(EC_ERROR, c->name, "give another --name", "a guest of this name runs already");
	return msg_fail(EC_ERROR, dir[0], "make it yours alone to write, or leave out --name", "%s",
			strerror(-r));
}
