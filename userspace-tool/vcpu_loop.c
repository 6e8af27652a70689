// SPDX-License-Identifier: GPL-2.0
/*
 * The vCPU threads: RUN, take the exits, answer, RUN again.
 *
 * One thread per vCPU. Devices are touched under the machine's lock only; the
 * rings and the STATE page belong to the thread. A thread ends when the machine
 * stops, or stops the machine when its vCPU can't go on.
 *
 * With --ring parked RUN comes back for no exit: the rings and STATE pages of all
 * vCPUs belong to one more thread, the server, which sleeps when there is nothing.
 *
 * A guest that is paused has all its vCPU threads waiting at a gate before RUN.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "msg.h"

#define KICK_SIGNAL	(SIGRTMIN + 1)
#define EMPTY_RUNS_MAX	1000
#define FAULT_RETRIES	100
#define KVM_ENOSYS	1000

static void on_kick(int sig)
{
	(void)sig;
}

static void hex_bytes(char *text, const struct halo_exit *x)
{
	unsigned int i, n = x->insn_len && x->insn_len <= 15 ? x->insn_len : 15;

	for (i = 0; i < n; i++)
		sprintf(text + 3 * i, "%02x ", x->insn[i]);
	text[3 * n - 1] = 0;
}

static void string_access(struct machine *m, struct machine_vcpu *v, struct bus *b,
			  const struct halo_exit *x)
{
	bool write = x->flags & HALO_EXIT_F_WRITE;
	u64 i, val, step = x->type == HALO_EXIT_MMIO ? x->size : 0;
	u64 n = x->data;

	if (!x->size || x->size > 8)
		return;
	if (n > v->hv.data_bytes / x->size)
		n = v->hv.data_bytes / x->size;
	for (i = 0; i < n && !machine_stopping(m); i++) {
		u8 *p = v->hv.data + i * x->size;

		if (write) {
			val = 0;
			memcpy(&val, p, x->size);
			bus_write(b, x->addr + i * step, x->size, val);
		} else {
			val = bus_read(b, x->addr + i * step, x->size);
			memcpy(p, &val, x->size);
		}
	}
}

/* The reader of the guest's output is slow: let this vCPU wait, without the lock. */
static void wait_for_reader(struct machine *m)
{
	struct timespec ms = { 0, 5000000 };
	bool full = true;

	while (full && !machine_stopping(m)) {
		nanosleep(&ms, NULL);
		pthread_mutex_lock(&m->lock);
		full = console_full(&m->console);
		pthread_mutex_unlock(&m->lock);
	}
}

static void bus_exit(struct machine_vcpu *v, const struct halo_exit *x, struct halo_reply *r)
{
	struct machine *m = v->m;
	struct bus *b = x->type == HALO_EXIT_PIO ? &m->pio : &m->mmio;
	bool full, sleep;

	pthread_mutex_lock(&m->lock);
	if (x->flags & HALO_EXIT_F_STRING)
		string_access(m, v, b, x);
	else if (x->size && x->size <= 8 && x->flags & HALO_EXIT_F_WRITE)
		bus_write(b, x->addr, x->size, x->data);
	else if (x->size && x->size <= 8)
		r->data = bus_read(b, x->addr, x->size);
	machine_rearm(m);
	full = console_full(&m->console);
	sleep = m->sleep;
	m->sleep = false;
	pthread_mutex_unlock(&m->lock);
	if (full)
		wait_for_reader(m);
	if (sleep)
		machine_sleep(v, r);
}

/*
 * The guest's privilege level, -1 if it is not known yet. A vCPU that is parked can't
 * be asked, but says so with its next exit, if it was told before.
 */
static int privilege(struct machine_vcpu *v)
{
	struct halo_state *s = v->hv.state;
	bool known = v->m->cfg->parked && s->wanted && s->cached & HALO_STATE_SEGS;

	s->wanted = HALO_STATE_SEGS;
	if (!known && v->m->cfg->parked)
		return -1;
	if (!known && ioctl(v->hv.fd, HALO_VCPU_GET_STATE) < 0)
		return 0;
	s->wanted = 0;
	return s->seg[HALO_SEG_SS].attrib >> 5 & 3;
}

static void insn_exit(struct machine_vcpu *v, const struct halo_exit *x, struct halo_reply *r)
{
	int cpl = privilege(v);
	char bytes[64];

	if (cpl < 0) {
		r->action = HALO_ACTION_RETRY;
		return;
	}
	hex_bytes(bytes, x);
	r->action = HALO_ACTION_INJECT;
	r->vector = 6;
	if (cpl) {
		msg_note(1, "vCPU %u: instruction not emulated at %#llx: %s; #UD", v->hv.id,
			 (unsigned long long)x->rip, bytes);
		return;
	}
	machine_stop(v->m, EC_INTERNAL, true,
		     "guest kernel: instruction at %#llx is not emulated: %s (address %#llx)",
		     (unsigned long long)x->rip, bytes, (unsigned long long)x->addr);
}

static void memory_exit(struct machine_vcpu *v, const struct halo_exit *x, struct halo_reply *r)
{
	/* testdev may just have changed the page's protection: wait for it to end. */
	pthread_mutex_lock(&v->m->lock);
	pthread_mutex_unlock(&v->m->lock);
	r->action = HALO_ACTION_RETRY;
	v->faults = x->addr == v->last_fault ? v->faults + 1 : 0;
	v->last_fault = x->addr;
	if (v->faults >= FAULT_RETRIES)
		machine_stop(v->m, EC_INTERNAL, true, "guest memory at %#llx is gone",
			     (unsigned long long)x->addr);
}

static void fail_exit(struct machine_vcpu *v, const struct halo_exit *x)
{
	static const char *const why[] = {
		[HALO_FAIL_ENTRY] = "VM entry refused",
		[HALO_FAIL_UNKNOWN_EXIT] = "unknown VM exit",
		[HALO_FAIL_MACHINE_CHECK] = "machine check",
		[HALO_FAIL_EVENT_LOOP] = "an event that faults for ever",
		[HALO_FAIL_INTERNAL] = "inconsistent state",
	};
	const char *text = "failure";

	if (x->data < ARRAY_SIZE(why) && why[x->data])
		text = why[x->data];
	machine_stop(v->m, EC_INTERNAL, true, "vCPU %u: %s, code %#llx, RIP %#llx", v->hv.id, text,
		     (unsigned long long)x->addr, (unsigned long long)x->rip);
}

/* Registers that tell why, for -v; a vCPU that is parked can't be asked. */
static void shutdown_exit(struct machine_vcpu *v, const struct halo_exit *x)
{
	struct halo_state *s = v->hv.state;

	s->wanted = HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS;
	if (msg_level >= 1 && !v->m->cfg->parked && !ioctl(v->hv.fd, HALO_VCPU_GET_STATE))
		msg_note(1, "vCPU %u: RSP %#llx, CR0 %#llx, CR2 %#llx, CR3 %#llx, CR4 %#llx, EFER %#llx, GDT %#llx, IDT %#llx",
			 v->hv.id, (unsigned long long)s->gpr[HALO_RSP], (unsigned long long)s->cr0,
			 (unsigned long long)s->cr2, (unsigned long long)s->cr3,
			 (unsigned long long)s->cr4, (unsigned long long)s->efer,
			 (unsigned long long)s->gdt.base, (unsigned long long)s->idt.base);
	s->wanted = 0;
	machine_stop(v->m, EC_TRIPLE, true, "the guest took a triple fault on vCPU %u, RIP %#llx",
		     v->hv.id, (unsigned long long)x->rip);
}

static void answer(struct machine_vcpu *v, const struct halo_exit *x, struct halo_reply *r)
{
	struct machine *m = v->m;

	switch (x->type) {
	case HALO_EXIT_PIO:
	case HALO_EXIT_MMIO:
		bus_exit(v, x, r);
		break;
	case HALO_EXIT_MSR:
		r->action = HALO_ACTION_INJECT;
		r->vector = 13;
		r->has_error = 1;
		break;
	case HALO_EXIT_HYPERCALL:
		r->data = (u64)-KVM_ENOSYS;
		break;
	case HALO_EXIT_INTACK:
		pthread_mutex_lock(&m->lock);
		r->data = pic_ack(&m->pic);
		pthread_mutex_unlock(&m->lock);
		break;
	case HALO_EXIT_EOI:
		pthread_mutex_lock(&m->lock);
		ioapic_eoi(&m->ioapic, (u8)x->data);
		pthread_mutex_unlock(&m->lock);
		break;
	case HALO_EXIT_INSN:
		insn_exit(v, x, r);
		break;
	case HALO_EXIT_HLT:
		msg_note(1, "vCPU %u: halted with interrupts off at RIP %#llx", v->hv.id,
			 (unsigned long long)x->rip);
		break;
	case HALO_EXIT_SHUTDOWN:
		shutdown_exit(v, x);
		break;
	case HALO_EXIT_FAIL:
		fail_exit(v, x);
		break;
	case HALO_EXIT_MEMORY:
		memory_exit(v, x, r);
		break;
	case HALO_EXIT_RESET:
		machine_stop(m, EC_OK, false, "the guest reset itself (INIT)");
		break;
	case HALO_EXIT_DEBUG:
		break;
	default:
		machine_stop(m, EC_INTERNAL, true, "vCPU %u: unknown exit type %u", v->hv.id, x->type);
	}
}

/* An index went forward, for which a parked vCPU may be waiting. */
static void ring_bell(struct machine_vcpu *v)
{
	if (v->m->cfg->parked && ring_peer_sleeps(&v->hv.ring))
		ioctl(v->hv.fd, HALO_VCPU_DOORBELL);
}

static int drain(struct machine_vcpu *v)
{
	struct halo_exit x;
	int r, n = 0;

	while (!machine_stopping(v->m) && (r = ring_next_exit(&v->hv.ring, &x)) != 0) {
		struct halo_reply reply = { 0 };

		if (r < 0) {
			machine_stop(v->m, EC_INTERNAL, true, "vCPU %u: the exit ring is broken", v->hv.id);
			break;
		}
		n++;
		v->exits[x.type < EXIT_TYPES ? x.type : 0]++;
		reply.seq = x.seq;
		answer(v, &x, &reply);
		if ((x.flags & HALO_EXIT_F_SYNC) && !machine_stopping(v->m) &&
		    ring_put_reply(&v->hv.ring, &reply) < 0)
			machine_stop(v->m, EC_INTERNAL, true, "vCPU %u: the reply ring is full", v->hv.id);
		ring_bell(v);
	}
	return n;
}

/* While the guest is paused, this vCPU's thread stays here. */
static void gate(struct machine *m)
{
	if (!__atomic_load_n(&m->paused, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&m->gate_lock);
	/* The last to come: from here the guest sees no time. */
	if (++m->held == m->cfg->cpus)
		m->stood = hv_time(&m->hv, &m->stood_at);
	while (m->paused && !machine_stopping(m))
		pthread_cond_wait(&m->gate, &m->gate_lock);
	m->held--;
	pthread_mutex_unlock(&m->gate_lock);
}

static void *vcpu_main(void *arg)
{
	struct machine_vcpu *v = arg;
	struct machine *m = v->m;
	unsigned int empty = 0;

	__atomic_store_n(&v->tid, gettid(), __ATOMIC_RELAXED);
	v->hv.state->flags = m->cfg->parked ? HALO_RUN_PARKED : 0;
	while (!machine_stopping(m)) {
		gate(m);
		if (ioctl(v->hv.fd, HALO_VCPU_RUN) < 0) {
			if (errno == EINTR || errno == EAGAIN) {
				if (!m->cfg->parked)
					drain(v);
				continue;
			}
			if (!machine_stopping(m))
				machine_stop(m, EC_INTERNAL, true, "vCPU %u: RUN: %s", v->hv.id,
					     strerror(errno));
			break;
		}
		empty = drain(v) ? 0 : empty + 1;
		if (empty > EMPTY_RUNS_MAX)
			machine_stop(m, EC_INTERNAL, true, "vCPU %u: RUN returns without an exit", v->hv.id);
	}
	__atomic_store_n(&v->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Nothing to do: sleep until there is, or a signal tells to look at the machine. */
static void server_sleep(struct machine *m)
{
	struct pollfd p[MAX_CPUS];
	unsigned int i, n = m->cfg->cpus;
	bool idle = true;

	for (i = 0; i < n; i++) {
		p[i] = (struct pollfd){ .fd = m->vcpu[i].hv.fd, .events = POLLIN };
		idle &= ring_sleep(&m->vcpu[i].hv.ring, true);
	}
	if (idle && !machine_stopping(m))
		poll(p, n, -1);
	for (i = 0; i < n; i++)
		ring_sleep(&m->vcpu[i].hv.ring, false);
}

static void *server_main(void *arg)
{
	struct machine *m = arg;
	unsigned int i;
	int n;

	while (!machine_stopping(m)) {
		n = 0;
		for (i = 0; i < m->cfg->cpus; i++)
			n += drain(&m->vcpu[i]);
		if (!n)
			server_sleep(m);
	}
	__atomic_store_n(&m->server_done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* A signal may come just before the call that it is to end: repeat until the thread is out. */
static void thread_stop(pthread_t thread, const bool *done, int vcpu_fd)
{
	struct timespec ms = { 0, 1000000 };

	while (!__atomic_load_n(done, __ATOMIC_ACQUIRE)) {
		if (vcpu_fd >= 0)
			ioctl(vcpu_fd, HALO_VCPU_KICK);
		pthread_kill(thread, KICK_SIGNAL);
		nanosleep(&ms, NULL);
	}
	pthread_join(thread, NULL);
}

/*
 * What a thread here uses is a few pages.  The C library's 8 MiB are large enough for the
 * kernel to back their top with a huge page, which is more memory than all else of ours.
 */
#define STACK_BYTES	(256 << 10)

static int thread_start(pthread_t *thread, void *(*main)(void *), void *arg)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r)
		return r;
	r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!r)
		r = pthread_create(thread, &attr, main, arg);
	pthread_attr_destroy(&attr);
	return r;
}

/**
 * vcpus_start() - start a thread per vCPU
 * @m: the machine
 *
 * Return: 0, or the exit code after the error was told.
 */
int vcpus_start(struct machine *m)
{
	struct sigaction sa = { .sa_handler = on_kick };
	sigset_t kick, old;
	unsigned int i;
	char name[16];
	int r = 0;

	sigaction(KICK_SIGNAL, &sa, NULL);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, &old);
	for (i = 0; i < m->cfg->cpus && !r; i++) {
		struct machine_vcpu *v = &m->vcpu[i];

		r = thread_start(&v->thread, vcpu_main, v);
		if (r)
			break;
		v->started = true;
		snprintf(name, sizeof(name), "halo-vcpu-%u", i % 1000);
		pthread_setname_np(v->thread, name);
	}
	if (!r && m->cfg->parked) {
		r = thread_start(&m->server, server_main, m);
		m->server_started = !r;
		if (!r)
			pthread_setname_np(m->server, "halo-server");
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		r = msg_fail(EC_ERROR, "threads", "raise the limit (ulimit -u)", "%s", strerror(r));
	return r;
}

/**
 * vcpus_pause() - make all vCPUs stand still, or go on
 * @m: the machine
 * @pause: which
 *
 * A vCPU stands still as soon as the exit that it is at is answered.
 */
void vcpus_pause(struct machine *m, bool pause)
{
	unsigned int i;

	pthread_mutex_lock(&m->gate_lock);
	__atomic_store_n(&m->paused, pause, __ATOMIC_RELEASE);
	if (pause && m->held == m->cfg->cpus && !m->stood) {
		/* None has come out since it was resumed. */
		m->stood = hv_time(&m->hv, &m->stood_at);
	} else if (!pause) {
		if (m->stood)
			hv_go_on_at(&m->hv, m->stood_at);
		m->stood = false;
		pthread_cond_broadcast(&m->gate);
	}
	pthread_mutex_unlock(&m->gate_lock);
	/* A kick is not lost on a thread that is on its way to RUN. */
	for (i = 0; pause && i < m->cfg->cpus; i++)
		ioctl(m->vcpu[i].hv.fd, HALO_VCPU_KICK);
}

/**
 * vcpus_state() - what the guest does
 * @m: the machine
 *
 * Return: a word.
 */
const char *vcpus_state(struct machine *m)
{
	const char *state = "running";

	if (machine_stopping(m))
		return "ending";
	pthread_mutex_lock(&m->gate_lock);
	if (m->paused)
		state = m->held == m->cfg->cpus ? "paused" : "pausing";
	pthread_mutex_unlock(&m->gate_lock);
	return state;
}

/**
 * vcpus_stop() - end the vCPU threads; the machine is stopping
 * @m: the machine
 */
void vcpus_stop(struct machine *m)
{
	unsigned int i;

	pthread_mutex_lock(&m->gate_lock);
	pthread_cond_broadcast(&m->gate);
	pthread_mutex_unlock(&m->gate_lock);
	if (m->server_started)
		thread_stop(m->server, &m->server_done, -1);
	m->server_started = false;
	for (i = 0; i < m->cfg->cpus; i++) {
		struct machine_vcpu *v = &m->vcpu[i];

		if (v->started)
			thread_stop(v->thread, &v->done, v->hv.fd);
		v->started = false;
	}
}
