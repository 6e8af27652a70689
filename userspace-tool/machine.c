// SPDX-License-Identifier: GPL-2.0
/*
 * A run of a guest, from configuration to exit code.
 *
 * The main thread sets all up, then waits for terminal input, signals, timers and
 * the end; the vCPU threads do the rest. Whoever stops the machine first says why
 * and with which exit code; later reasons are dropped.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "msg.h"

/* How long a guest that listens to the power button may take. */
#define BUTTON_GRACE_NS	(60 * NS_PER_SEC)

/**
 * machine_stopping() - is the machine ending
 * @m: the machine
 *
 * Return: true if so. Any thread, no lock.
 */
bool machine_stopping(const struct machine *m)
{
	return __atomic_load_n(&m->stop, __ATOMIC_ACQUIRE);
}

/**
 * machine_stop() - end the machine
 * @m: the machine
 * @code: exit code
 * @error: tell the reason even without -v
 * @fmt: the reason
 *
 * Any thread, any lock. Only the first call counts.
 *
 * Return: true if this was the first.
 */
bool machine_stop(struct machine *m, int code, bool error, const char *fmt, ...)
{
	u64 one = 1;
	va_list ap;
	bool first;

	pthread_mutex_lock(&m->stop_lock);
	first = !m->stop;
	if (first) {
		va_start(ap, fmt);
		vsnprintf(m->stop_text, sizeof(m->stop_text), fmt, ap);
		va_end(ap);
		m->stop_code = code;
		m->stop_error = error;
		__atomic_store_n(&m->stop, 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&m->stop_lock);
	/* It can only fail by being full, and then it is readable. */
	if (write(m->wake, &one, sizeof(one)) < 0)
		return first;
	return first;
}

static void arm(int fd, u64 at, u64 *armed)
{
	struct itimerspec t = { 0 };

	if (at == *armed)
		return;
	*armed = at;
	if (at != NEVER) {
		t.it_value.tv_sec = (time_t)(at / NS_PER_SEC);
		t.it_value.tv_nsec = (long)(at % NS_PER_SEC);
		if (!at)
			t.it_value.tv_nsec = 1;
	}
	timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/**
 * machine_rearm() - set the timers to what the devices want next
 * @m: the machine, locked
 */
void machine_rearm(struct machine *m)
{
	arm(m->pit_fd, pit_deadline(&m->pit), &m->pit_armed);
	arm(m->rtc_fd, rtc_deadline(&m->rtc), &m->rtc_armed);
}

static void timers(struct machine *m, int fd)
{
	struct timespec ts;
	u64 n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	if (fd == m->pit_fd) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		m->pit_armed = NEVER;
		pit_expire(&m->pit, (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec);
	} else {
		m->rtc_armed = NEVER;
		rtc_expire(&m->rtc);
	}
	machine_rearm(m);
	pthread_mutex_unlock(&m->lock);
}

static void input(struct machine *m)
{
	enum console_key key;

	pthread_mutex_lock(&m->lock);
	key = console_fill(&m->console);
	if (key == KEY_BREAK)
		uart_break(&m->uart);
	machine_pump_input(m);
	pthread_mutex_unlock(&m->lock);
	if (key == KEY_QUIT)
		machine_stop(m, EC_OK, false, "ended with ^A x");
	if (key == KEY_HELP)
		dprintf(STDERR_FILENO, "\r\n^A x  quit\r\n^A b  send a break\r\n^A h  this help\r\n"
			"^A ^A  send ^A\r\n");
}

static void suspend(struct machine *m)
{
	term_restore();
	kill(getpid(), SIGSTOP);
	if (m->cfg->serial != SERIAL_STDIO)
		return;
	term_raw();
	console_resume_input(&m->console);
}

/**
 * machine_button() - press the power button
 * @m: the machine
 *
 * A guest that listens is ended if it has not heeded it in a minute.
 *
 * Return: true if the guest listens to it.
 */
bool machine_button(struct machine *m)
{
	struct itimerspec t = { .it_value.tv_sec = BUTTON_GRACE_NS / NS_PER_SEC };
	struct timespec until;
	bool listens;

	/* A write to a dead disk or terminal may hold the lock for ever. */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	if (pthread_mutex_timedlock(&m->lock, &until))
		return false;
	listens = pm_power_button(&m->misc);
	pthread_mutex_unlock(&m->lock);
	if (!listens)
		return false;
	msg_note(1, "power button pressed");
	if (!m->cfg->timeout_ns)
		timerfd_settime(m->timeout_fd, 0, &t, NULL);
	return true;
}

static void terminate(struct machine *m, int sig)
{
	/* SIGTERM is the power button, if somebody listens; a second one is not. */
	if (sig == SIGTERM && !m->pressed) {
		m->pressed = true;
		vcpus_pause(m, false);
		if (machine_button(m))
			return;
	}
	machine_stop(m, EC_SIGNAL + sig, false, "ended by signal %d", sig);
}

static void signals(struct machine *m)
{
	struct signalfd_siginfo si;

	if (read(m->signal_fd, &si, sizeof(si)) != sizeof(si))
		return;
	switch (si.ssi_signo) {
	case SIGTSTP:
		suspend(m);
		break;
	case SIGCONT:
		if (m->cfg->serial == SERIAL_STDIO && m->console.escape) {
			term_raw();
			console_resume_input(&m->console);
		}
		break;
	default:
		terminate(m, (int)si.ssi_signo);
	}
}

static void timed_out(struct machine *m)
{
	if (m->cfg->timeout_ns)
		machine_stop(m, EC_TIMEOUT, true, "stopped after %.3g s (--timeout)",
			     (double)m->cfg->timeout_ns / (double)NS_PER_SEC);
	else
		machine_stop(m, EC_SIGNAL + SIGTERM, true, "the guest did not heed the power button");
}

static void loop(struct machine *m)
{
	struct epoll_event ev;

	while (!machine_stopping(m)) {
		int n = epoll_wait(m->epoll, &ev, 1, -1), fd = ev.data.fd;

		if (n <= 0)
			continue;
		if (fd == m->signal_fd) {
			signals(m);
		} else if (fd == m->timeout_fd) {
			timed_out(m);
		} else if (fd == m->pit_fd || fd == m->rtc_fd) {
			timers(m, fd);
		} else if (fd == m->console.in && ev.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
			input(m);
		} else if (fd == m->console.out) {
			pthread_mutex_lock(&m->lock);
			console_flush(&m->console);
			pthread_mutex_unlock(&m->lock);
		} else {
			control_event(&m->control, fd);
		}
	}
}

static int watch(struct machine *m, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return fd < 0 || epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev) ? -1 : 0;
}

static int open_events(struct machine *m)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT };
	struct itimerspec t = { 0 };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaddset(&set, sigs[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	m->pit_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	m->rtc_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	m->timeout_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	m->pit_armed = NEVER;
	m->rtc_armed = NEVER;
	if (m->epoll < 0 || watch(m, m->wake) || watch(m, m->signal_fd) || watch(m, m->pit_fd) ||
	    watch(m, m->rtc_fd) || watch(m, m->timeout_fd))
		return msg_fail(EC_ERROR, "event loop", "raise the limit (ulimit -n)", "%s",
				strerror(errno));
	t.it_value.tv_sec = (time_t)(m->cfg->timeout_ns / NS_PER_SEC);
	t.it_value.tv_nsec = (long)(m->cfg->timeout_ns % NS_PER_SEC);
	timerfd_settime(m->timeout_fd, 0, &t, NULL);
	return 0;
}

static int check_cpus(const struct machine *m)
{
	struct halo_cap_query q;
	char fix[32];

	if (hv_cap(&m->hv, HALO_CAP_MAX_VCPUS, &q) || !q.value || m->cfg->cpus <= q.value)
		return 0;
	snprintf(fix, sizeof(fix), "give at most %llu", (unsigned long long)q.value);
	return msg_fail(EC_ERROR, "--cpus", fix, "the module has no more vCPUs in one VM");
}

static int create_vm(struct machine *m)
{
	struct gmem *g = &m->mem;
	unsigned int i;
	int r;

	r = check_cpus(m);
	if (!r)
		r = hv_create_vm(&m->hv, m->cfg->name);
	if (!r && m->cfg->tsc_khz)
		r = hv_set_tsc_khz(&m->hv, m->cfg->tsc_khz);
	if (!r)
		r = hv_set_memory(&m->hv, 0, 0, g->low_bytes, g->low);
	if (!r && g->high_bytes)
		r = hv_set_memory(&m->hv, 1, GMEM_HIGH, g->high_bytes, g->high);
	for (i = 0; !r && i < m->cfg->cpus; i++) {
		m->vcpu[i].m = m;
		r = hv_create_vcpu(&m->hv, &m->vcpu[i].hv, i);
		if (!r)
			r = hv_set_cpuid(&m->hv, &m->vcpu[i].hv, m->cfg->cpus, !m->cfg->no_hints);
	}
	if (!r)
		r = hv_virtual_wire(&m->vcpu[0].hv);
	if (!r)
		boot_state(g, &m->boot, m->vcpu[0].hv.state);
	return r;
}

static void say_stats(struct machine *m)
{
	unsigned int i;

	for (i = 0; i < m->cfg->cpus && msg_level >= 1; i++) {
		struct halo_vcpu_stats s = { .size = sizeof(s) };

		if (ioctl(m->vcpu[i].hv.fd, HALO_VCPU_GET_STATS, &s) < 0)
			continue;
		msg_note(1, "vCPU %u: entries %llu, exits %llu (to userspace %llu, pio %llu, mmio %llu, cpuid %llu, msr %llu, hlt %llu, faults %llu, host interrupts %llu), injected %llu, decoded %llu",
			 i, (unsigned long long)s.entries, (unsigned long long)s.exits,
			 (unsigned long long)s.user_exits, (unsigned long long)s.pio,
			 (unsigned long long)s.mmio, (unsigned long long)s.cpuid,
			 (unsigned long long)s.msr, (unsigned long long)s.hlt,
			 (unsigned long long)s.faults, (unsigned long long)s.intr,
			 (unsigned long long)s.injected, (unsigned long long)s.decoded);
	}
}

/* From start to end. Returns the exit code. */
static int turn(struct machine *m)
{
	int r;

	msg_note(1, "%s: %s, entry %#llx, %llu MiB, %u vCPU", m->cfg->name,
		 boot_proto_name(m->boot.proto), (unsigned long long)m->boot.entry,
		 (unsigned long long)(m->cfg->memory >> 20), m->cfg->cpus);
	r = vcpus_start(m);
	if (r)
		machine_stop(m, r, false, "threads");
	pthread_mutex_lock(&m->lock);
	machine_pump_input(m);
	pthread_mutex_unlock(&m->lock);
	loop(m);
	vcpus_stop(m);
	if (!m->again)
		console_close(&m->console);
	if (m->stop_error)
		msg_fail(0, m->cfg->name, NULL, "%s", m->stop_text);
	else
		msg_note(1, "%s", m->stop_text);
	machine_summary(m);
	say_stats(m);
	return m->stop_code;
}

/* Everything that a PC forgets when its power goes, and on again. */
static int power_cycle(struct machine *m)
{
	unsigned int i;
	u64 woken;
	int r;

	if (read(m->wake, &woken, sizeof(woken)) < 0)
		msg_note(2, "nobody woke the event loop");
	for (i = 0; i < m->cfg->cpus; i++)
		hv_free_vcpu(&m->vcpu[i].hv);
	hv_free_vm(&m->hv);
	machine_free_memory(m);
	free(m->testdev.mem);
	memset(m->vcpu, 0, sizeof(m->vcpu));
	memset(&m->testdev, 0, sizeof(m->testdev));
	memset(&m->pio, 0, sizeof(m->pio));
	memset(&m->mmio, 0, sizeof(m->mmio));
	arm(m->pit_fd, NEVER, &m->pit_armed);
	arm(m->rtc_fd, NEVER, &m->rtc_armed);
	if (!m->cfg->timeout_ns)
		timerfd_settime(m->timeout_fd, 0, &(struct itimerspec){ 0 }, NULL);
	m->server_done = false;
	m->sleep = false;
	m->paused = false;
	m->stood = false;
	m->pressed = false;
	m->again = false;
	m->stop = 0;
	r = machine_memory(m);
	if (!r)
		r = machine_load(m);
	if (!r)
		r = create_vm(m);
	return r ? r : machine_wire(m);
}

static int guest(struct machine *m)
{
	int r;

	m->hv.dev = -1;
	r = hv_open(&m->hv);
	if (!r)
		r = create_vm(m);
	if (!r)
		r = open_events(m);
	if (!r)
		r = machine_wire(m);
	if (!r)
		r = remote_open(m);
	if (r)
		return r;
	r = console_open(&m->console, m->cfg, m->epoll);
	while (!r) {
		r = turn(m);
		if (!m->again)
			break;
		r = power_cycle(m);
		if (r)
			console_close(&m->console);
	}
	control_close(&m->control);
	return r;
}

/**
 * machine_run() - run a guest
 * @cfg: what was asked for
 *
 * Return: the exit code of the process. File descriptors are left to its end.
 */
int machine_run(const struct run_config *cfg)
{
	struct machine *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return msg_fail(EC_ERROR, "memory", "free some", "none left");
	m->cfg = cfg;
	m->wake = -1;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->stop_lock, NULL);
	pthread_mutex_init(&m->gate_lock, NULL);
	pthread_cond_init(&m->gate, NULL);
	r = machine_memory(m);
	if (!r)
		r = machine_load(m);
	if (!r)
		r = cfg->dry_run ? machine_dry_run(m) : guest(m);
	machine_free_memory(m);
	free(m->testdev.mem);
	free(m);
	return r;
}
