// SPDX-License-Identifier: GPL-2.0
/*
 * halo trace: prints the module's tracepoints as they fire.
 *
 * Listens in a tracefs instance of its own, so that it disturbs nobody else's tracing, and
 * removes it in whatever way it ends, but for SIGKILL: the next halo trace removes what
 * that has left. "--vcpu" and "--pid" are filters in the kernel. With a command, only
 * what that and its children do is listened to, from before its first instruction.
 *
 * One thread: reads what there is, prints it, sleeps a little. What comes faster than it
 * is printed is lost, and told of at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <tracefs.h>
#include <unistd.h>

#include "../msg.h"
#include "../opts.h"
#include "../stats.h"

#define INSTANCE	"halo-trace-"
#define PAUSE_NS	50000000

/**
 * struct trace - what is going on
 * @c: what was asked for
 * @dir: where tracefs is
 * @in: our instance
 * @tep: what events look like
 * @seq: a line
 * @printed: events
 * @lost: events that were overwritten before they were read; those of which the kernel
 *	does not tell how many count as one
 * @over: stop: --count, or nobody reads what is printed
 * @pid: the command, 0 = there is none
 */
struct trace {
	const struct watch_config *c;
	const char *dir;
	struct tracefs_instance *in;
	struct tep_handle *tep;
	struct trace_seq seq;
	u64 printed;
	u64 lost;
	bool over;
	pid_t pid;
};

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	ended = sig;
}

static int gone(const char *name, void *unused)
{
	struct tracefs_instance *in;
	long pid;

	(void)unused;
	if (strncmp(name, INSTANCE, strlen(INSTANCE)))
		return 0;
	pid = atol(name + strlen(INSTANCE));
	if (pid <= 0 || !kill((pid_t)pid, 0) || errno != ESRCH)
		return 0;
	in = tracefs_instance_create(name);
	if (in) {
		tracefs_instance_destroy(in);
		tracefs_instance_free(in);
	}
	return 0;
}

static int print_event(struct tep_event *event, struct tep_record *record, int cpu, void *arg)
{
	struct trace *t = arg;

	(void)cpu;
	if (t->over)
		return 1;
	if (record->missed_events)
		t->lost += record->missed_events > 0 ? (u64)record->missed_events : 1;
	trace_seq_reset(&t->seq);
	tep_print_event(event->tep, &t->seq, record, "%6.1000d [%03d] %5d %s: %s\n", TEP_PRINT_TIME,
			TEP_PRINT_CPU, TEP_PRINT_PID, TEP_PRINT_NAME, TEP_PRINT_INFO);
	trace_seq_terminate(&t->seq);
	if (fputs(t->seq.buffer, stdout) < 0 || (++t->printed == t->c->count && t->c->count))
		t->over = true;
	return t->over || ended;
}

/* The module's name for what somebody typed; NULL: it has no such event. */
static const char *event_name(struct trace *t, const char *word, char *room, size_t size)
{
	snprintf(room, size, "%s%s", strncmp(word, "halo_", 5) ? "halo_" : "", word);
	return tracefs_event_file_exists(t->in, "halo", room, "id") ? room : NULL;
}

/* "vm == 3 || vm == 4" of those that are meant. */
static int vm_filter(const char *who, char *to, size_t room)
{
	struct stat_list l;
	size_t i, n = 0;

	*to = 0;
	if (stats_collect(&l))
		return msg_fail(EC_ERROR, "/proc", "mount it", "can't be read");
	for (i = 0; i < l.n && n < room; i++)
		if (l.s[i].vcpu < 0 && stats_match(&l.s[i], who))
			n += (size_t)snprintf(to + n, room - n, "%svm == %llu", n ? " || " : "",
					      (unsigned long long)l.s[i].vm);
	stats_free(&l);
	if (!n)
		return msg_fail(EC_ERROR, who, "halo stat lists all", "no such VM");
	return n < room ? 0 : msg_fail(EC_ERROR, who, "name fewer", "too many VMs");
}

static int enable(struct trace *t, const char *event, const char *vms)
{
	char filter[1200];
	size_t n = 0;

	*filter = 0;
	if (*vms)
		n = (size_t)snprintf(filter, sizeof(filter), "(%s)", vms);
	if (t->c->vcpu >= 0)
		snprintf(filter + n, sizeof(filter) - n, "%svcpu_id == %ld", n ? " && " : "",
			 t->c->vcpu);
	/* Of no vCPU: refuses that filter. */
	if (t->c->vcpu >= 0 && !strcmp(event, "halo_irq"))
		return 0;
	if ((*filter && tracefs_event_file_write(t->in, "halo", event, "filter", filter) < 0) ||
	    tracefs_event_enable(t->in, "halo", event))
		return msg_fail(EC_ERROR, event, NULL, "can't be enabled: %s", strerror(errno));
	return 0;
}

static int enable_all(struct trace *t)
{
	char vms[1024] = "", room[64], *words = NULL, *save = NULL, *w, **events;
	int i, r = 0;

	if (t->c->who)
		r = vm_filter(t->c->who, vms, sizeof(vms));
	if (r)
		return r;
	if (!t->c->events) {
		events = tracefs_system_events(t->dir, "halo");
		for (i = 0; !r && events && events[i]; i++)
			r = enable(t, events[i], vms);
		tracefs_list_free(events);
		return r;
	}
	words = strdup(t->c->events);
	for (w = words ? strtok_r(words, ",", &save) : NULL; !r && w; w = strtok_r(NULL, ",", &save)) {
		const char *name = event_name(t, w, room, sizeof(room));

		r = name ? enable(t, name, vms) :
		    msg_fail(EC_ERROR, w, "ls /sys/kernel/tracing/events/halo", "no such event");
	}
	free(words);
	return r;
}

/*
 * What tracefs_local_events_system() does, but for the symbols of the whole kernel, which
 * no event of ours needs and which take longer than all the rest.
 */
static int formats(struct trace *t)
{
	char **events = tracefs_system_events(t->dir, "halo"), *text;
	int size, i, r = !events;

	t->tep = tep_alloc();
	text = tracefs_instance_file_read(NULL, "events/header_page", &size);
	if (!t->tep || !text)
		r = 1;
	if (!r) {
		tep_set_long_size(t->tep, sizeof(long));
		tep_set_page_size(t->tep, getpagesize());
		r = tep_parse_header_page(t->tep, text, (unsigned long)size, sizeof(long));
	}
	free(text);
	for (i = 0; !r && events[i]; i++) {
		text = tracefs_event_file_read(NULL, "halo", events[i], "format", &size);
		r = !text || tep_parse_event(t->tep, text, (unsigned long)size, "halo");
		free(text);
	}
	tracefs_list_free(events);
	return r;
}

static int start(struct trace *t)
{
	char name[40];

	tracefs_instances_walk(gone, NULL);
	snprintf(name, sizeof(name), INSTANCE "%d", getpid());
	t->in = tracefs_instance_create(name);
	if (!t->in)
		return msg_fail(EC_ERROR, "tracefs", "see dmesg", "no instance: %s", strerror(errno));
	tracefs_trace_off(t->in);
	trace_seq_init(&t->seq);
	if (formats(t))
		return msg_fail(EC_ERROR, "tracefs", NULL, "the events' formats can't be read");
	return 0;
}

static void finish(struct trace *t)
{
	if (!t->in)
		return;
	tracefs_event_disable(t->in, NULL, NULL);
	tracefs_instance_destroy(t->in);
	tracefs_instance_free(t->in);
	trace_seq_destroy(&t->seq);
	if (t->tep)
		tep_free(t->tep);
}

/* The command, which waits at @gate until it is listened to. */
static int spawn(struct trace *t, int *gate)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	sigset_t all, old;
	char text[32], go;
	int fd[2];
	size_t i;

	if (pipe2(fd, O_CLOEXEC))
		return msg_fail(EC_ERROR, "pipe", NULL, "%s", strerror(errno));
	/* A signal for the child must not be taken by our handler there. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	t->pid = fork();
	for (i = 0; !t->pid && i < ARRAY_SIZE(sigs); i++)
		signal(sigs[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (t->pid < 0)
		return msg_fail(EC_ERROR, "fork", NULL, "%s", strerror(errno));
	if (!t->pid) {
		close(fd[1]);
		if (read(fd[0], &go, 1) != 1)
			_exit(EC_ERROR);
		execvp(t->c->words[0], t->c->words);
		_exit(msg_fail(EC_NOIMAGE, t->c->words[0], "give a path", "%s", strerror(errno)));
	}
	close(fd[0]);
	*gate = fd[1];
	snprintf(text, sizeof(text), "%d", t->pid);
	if (tracefs_option_enable(t->in, TRACEFS_OPTION_EVENT_FORK) ||
	    tracefs_instance_file_write(t->in, "set_event_pid", text) < 0)
		return msg_fail(EC_ERROR, "tracefs", NULL, "can't follow the command: %s",
				strerror(errno));
	return 0;
}

/* The command's exit code, or -1 while it runs. */
static int command_over(const struct trace *t)
{
	int status;

	if (!t->pid || waitpid(t->pid, &status, WNOHANG) != t->pid)
		return -1;
	return WIFSIGNALED(status) ? EC_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static void print_some(struct trace *t)
{
	/* An empty buffer is no error. */
	tracefs_iterate_raw_events(t->tep, t->in, NULL, 0, print_event, t);
	if (fflush(stdout))
		t->over = true;
}

static int follow(struct trace *t)
{
	const struct timespec pause = { 0, PAUSE_NS };
	bool told = false;
	int r = -1;

	while (!t->over && r < 0) {
		if (ended && (!t->pid || told))
			break;
		if (ended) {
			/* The command's end is awaited, its last events are printed. */
			kill(t->pid, ended);
			told = true;
			ended = 0;
		}
		r = command_over(t);
		print_some(t);
		if (r < 0)
			nanosleep(&pause, NULL);
	}
	if (t->pid && r < 0) {
		kill(t->pid, SIGTERM);
		waitpid(t->pid, NULL, 0);
	}
	tracefs_event_disable(t->in, NULL, NULL);
	ended = 0;
	if (!t->over)
		print_some(t);
	if (t->lost)
		msg_fail(0, "trace", "ask for fewer, with --event", "%llu events or more were lost",
			 (unsigned long long)t->lost);
	return r < 0 ? EC_OK : r;
}

static int trace(struct trace *t)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int gate = -1, r;

	if (geteuid())
		return msg_fail(EC_ERROR, "trace", "run as root", "tracefs is for root");
	r = stats_module("trace");
	if (r)
		return r;
	if (tracefs_tracing_dir_is_mounted(false, &t->dir) <= 0)
		return msg_fail(EC_ERROR, "tracefs", "mount -t tracefs tracefs /sys/kernel/tracing",
				"not mounted");
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	/* Who reads what is printed may go away first, and the instance must not stay. */
	signal(SIGPIPE, SIG_IGN);
	r = start(t);
	if (!r && t->c->words_n)
		r = spawn(t, &gate);
	if (!r)
		r = enable_all(t);
	if (!r && tracefs_trace_on(t->in))
		r = msg_fail(EC_ERROR, "tracefs", NULL, "%s", strerror(errno));
	if (!r && gate >= 0 && write(gate, "", 1) != 1)
		r = msg_fail(EC_ERROR, t->c->words[0], NULL, "has not waited");
	if (gate >= 0)
		close(gate);
	if (!r)
		r = follow(t);
	finish(t);
	return r;
}

int main(int argc, char **argv)
{
	struct watch_config c;
	struct trace t = { .c = &c };
	int r = opts_watch("trace", argc, argv, &c);

	if (r == OPTS_HELP) {
		opts_help("trace");
		return EC_OK;
	}
	return r ? r : trace(&t);
}
