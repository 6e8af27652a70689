// SPDX-License-Identifier: GPL-2.0
/* sources: userspace-tool/machine.c userspace-tool/wiring.c userspace-tool/setup.c userspace-tool/sleep.c userspace-tool/vcpu_loop.c userspace-tool/remote.c userspace-tool/control.c userspace-tool/proto.c userspace-tool/runtime.c userspace-tool/ctl.c userspace-tool/hv.c userspace-tool/console.c userspace-tool/msg.c userspace-tool/opts.c userspace-tool/bus.c userspace-tool/pic.c userspace-tool/ioapic.c userspace-tool/pit.c userspace-tool/rtc.c userspace-tool/uart.c userspace-tool/pcmisc.c userspace-tool/testdev.c userspace-tool/acpi.c userspace-tool/cpuid_edit.c userspace-tool/ring_client.c userspace-tool/load.c userspace-tool/load_bzimage.c userspace-tool/load_elf.c userspace-tool/load_info.c userspace-tool/boot_state.c */
/* libs: jansson */
/* ldflags: -Wl,--wrap=open -Wl,--wrap=ioctl -Wl,--wrap=mmap -Wl,--wrap=munmap */
/*
 * Whole runs of "halo run" on a module that this file plays: exit codes, error
 * lines, terminal, signals, pipes. Each run is a process of its own; its guest is
 * a function that says which exit comes next.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <linux/halo.h>

#include "acpi.h"
#include "ctl.h"
#include "machine.h"
#include "msg.h"

static const u8 fake_dsdt[36] = "DSDT\x24";
const u8 *const dsdt_aml = fake_dsdt;
const u32 dsdt_aml_bytes = sizeof(fake_dsdt);

/* -- the module ----------------------------------------------------------------- */

/* Says the next exit; false: the guest sleeps. @last: reply to the one before. */
typedef bool (*guest_fn)(struct halo_exit *x, const struct halo_reply *last);

#define N		8u
#define DEV_FD		1000
#define VM_FD		1001
#define VCPU_FD		1002
#define AREA		65536

static struct {
	guest_fn guest;
	int open_errno, vm_errno, run_errno;
	int api;
	const char *cap_text;
	u64 cap;
	struct halo_state state;
	struct { struct halo_ring h; struct halo_exit e[N]; } exits;
	struct { struct halo_ring h; struct halo_reply e[N]; } replies;
	u8 data[AREA];
	u64 seq;
	bool waiting;
	bool kicked;		/* another thread sets it */
	unsigned int nmis;	/* so here */
	unsigned int boots;
	struct halo_reply last;
	unsigned int step;
} k;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long req, ...);
int __wrap_ioctl(int fd, unsigned long req, ...);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);

int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (strcmp(path, "/dev/halo"))
		return __real_open(path, flags, mode);
	errno = k.open_errno;
	return k.open_errno ? -1 : DEV_FD;
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	void *const areas[] = { &k.state, &k.exits, &k.replies, k.data };

	return fd == VCPU_FD ? areas[off / AREA] : __real_mmap(at, len, prot, flags, fd, off);
}

int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len)
{
	/* The vCPU's areas are ours. */
	if ((u8 *)at >= (u8 *)&k && (u8 *)at < (u8 *)(&k + 1))
		return 0;
	return __real_munmap(at, len);
}

/* As the module does: once, also if it comes before RUN. */
static bool kicked(void)
{
	return __atomic_exchange_n(&k.kicked, false, __ATOMIC_RELAXED);
}

/* A new vCPU, for a guest that starts anew. */
static int fake_vcpu(void)
{
	k.exits.h.head = k.exits.h.tail = 0;
	k.replies.h.head = k.replies.h.tail = 0;
	k.waiting = false;
	k.step = 0;
	k.boots++;
	return VCPU_FD;
}

static int fake_run(void)
{
	struct timespec ms = { 0, 1000000 };
	struct halo_exit x = { 0 };

	if (k.run_errno) {
		errno = k.run_errno;
		return -1;
	}
	if (k.waiting) {
		if (k.replies.h.tail == k.exits.h.head) {
			errno = EPROTO;
			return -1;
		}
		k.last = k.replies.e[k.exits.h.head++ % N];
		k.waiting = k.last.seq != k.seq;
	}
	if (kicked()) {
		errno = EINTR;
		return -1;
	}
	if (k.guest(&x, &k.last)) {
		x.seq = ++k.seq;
		x.flags |= HALO_EXIT_F_SYNC;
		k.exits.e[k.exits.h.tail % N] = x;
		__atomic_add_fetch(&k.exits.h.tail, 1, __ATOMIC_RELEASE);
		k.waiting = true;
		k.step++;
		return 0;
	}
	nanosleep(&ms, NULL);
	errno = EINTR;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long req, ...)
{
	struct halo_cap_query *q;
	va_list ap;
	void *arg;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (req) {
	case HALO_GET_API_VERSION:
		return k.api;
	case HALO_GET_CAP:
		q = arg;
		snprintf(q->text, sizeof(q->text), "%s", k.cap_text ? k.cap_text : "");
		q->value = k.cap;
		return 0;
	case HALO_CREATE_VM:
		errno = k.vm_errno;
		return k.vm_errno ? -1 : VM_FD;
	case HALO_VM_CREATE_VCPU:
		return fake_vcpu();
	case HALO_VCPU_GET_LAYOUT:
		*(struct halo_vcpu_layout *)arg = (struct halo_vcpu_layout){
			.ring_entries = N,
			.state_offset = 0, .state_bytes = sizeof(k.state),
			.exits_offset = AREA, .exits_bytes = sizeof(k.exits),
			.replies_offset = 2 * AREA, .replies_bytes = sizeof(k.replies),
			.data_offset = 3 * AREA, .data_bytes = AREA,
		};
		return 0;
	case HALO_GET_SUPPORTED_CPUID:
		((struct halo_cpuid *)arg)->count = 0;
		return 0;
	case HALO_VCPU_KICK:
		__atomic_store_n(&k.kicked, true, __ATOMIC_RELAXED);
		return 0;
	case HALO_VCPU_RUN:
		return fake_run();
	case HALO_VCPU_SET_CPUID:
	case HALO_VM_SET_MEMSLOT:
	case HALO_VM_SET_ZONE:
	case HALO_VCPU_GET_STATE:
	case HALO_VCPU_GET_LAPIC:
	case HALO_VCPU_SET_LAPIC:
	case HALO_VCPU_GET_STATS:
		return 0;
	case HALO_VCPU_SET_LINE:
		if (((struct halo_line *)arg)->pin == HALO_PIN_LINT1 && ((struct halo_line *)arg)->level)
			__atomic_add_fetch(&k.nmis, 1, __ATOMIC_RELAXED);
		return 0;
	case HALO_VM_MSI:
		return 1;
	default:
		return __real_ioctl(fd, req, arg);
	}
}

static bool outb(struct halo_exit *x, u16 port, unsigned int size, u64 val)
{
	*x = (struct halo_exit){ .type = HALO_EXIT_PIO, .flags = HALO_EXIT_F_WRITE,
				 .addr = port, .size = size, .data = val };
	return true;
}

static bool inb(struct halo_exit *x, u16 port, unsigned int size)
{
	*x = (struct halo_exit){ .type = HALO_EXIT_PIO, .addr = port, .size = size };
	return true;
}

static bool off(struct halo_exit *x)
{
	return outb(x, 0x604, 2, 1 << 13 | 5 << 10);
}

/* -- a run ----------------------------------------------------------------------- */

struct run {
	pid_t pid;
	int in, out, err;	/* our ends; with a terminal in == out */
	struct termios before;
};

static char kernel_path[64];
static char text[1 << 20];

static void make_kernel(void)
{
	u8 p[8192] = { 0 };
	int fd;

	p[0x1f1] = 4;
	put16(p + 0x1fe, 0xaa55);
	memcpy(p + 0x202, "HdrS", 4);
	put16(p + 0x206, 0x020f);
	p[0x211] = 1;
	put16(p + 0x236, 1);
	put32(p + 0x238, 255);
	put32(p + 0x22c, 0x7fffffff);
	snprintf(kernel_path, sizeof(kernel_path), "/tmp/halo-test-kernel-XXXXXX");
	fd = mkstemp(kernel_path);
	assert_int_equal(write(fd, p, sizeof(p)), sizeof(p));
	close(fd);
}

static struct run_config config(void)
{
	return (struct run_config){ .kernel = kernel_path, .name = "test", .cmdline = "",
				    .memory = 4 * MIB, .cpus = 1 };
}

static void child(const struct run_config *c, int in, int out, int err)
{
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	k.exits.h.entries = N;
	k.exits.h.entries_offset = sizeof(struct halo_ring);
	k.replies.h = k.exits.h;
	alarm(60);
	_exit(machine_run(c));
}

static struct run start(const struct run_config *c, guest_fn guest)
{
	int in[2], out[2], err[2];
	struct run r = { 0 };

	k.guest = guest;
	assert_int_equal(pipe(in) | pipe(out) | pipe(err), 0);
	r.pid = fork();
	if (!r.pid)
		child(c, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	r.in = in[1];
	r.out = out[0];
	r.err = err[0];
	return r;
}

static struct run start_tty(const struct run_config *c, guest_fn guest)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY), err[2], s;
	struct run r = { .in = m, .out = m };

	k.guest = guest;
	assert_int_equal(grantpt(m) | unlockpt(m) | pipe(err), 0);
	s = open(ptsname(m), O_RDWR | O_NOCTTY);
	tcgetattr(s, &r.before);
	r.pid = fork();
	if (!r.pid) {
		setsid();
		__real_ioctl(s, TIOCSCTTY, 0);
		child(c, s, s, err[1]);
	}
	close(s);
	close(err[1]);
	r.err = err[0];
	return r;
}

/* Read until the text appears, or (want NULL) to the end. */
static char *read_until(int fd, const char *want)
{
	size_t n = 0;
	ssize_t got;

	text[0] = 0;
	while (n < sizeof(text) - 1 && (!want || !strstr(text, want))) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 30000) != 1)
			break;
		got = read(fd, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
		text[n] = 0;
	}
	if (want && !strstr(text, want))
		fail_msg("\"%s\" did not come, but \"%s\"", want, text);
	return text;
}

static bool is_raw(const struct run *r)
{
	struct termios t;

	tcgetattr(r->in, &t);
	return !(t.c_lflag & ICANON);
}

/* Wait for the end; what was said on stderr is in text. */
static int finish(struct run *r)
{
	int status;

	read_until(r->err, NULL);
	waitpid(r->pid, &status, 0);
	close(r->err);
	close(r->in);
	if (r->out != r->in)
		close(r->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void one_line(const char *part)
{
	if (strncmp(text, "halo: ", 6) || !strstr(text, part))
		fail_msg("said \"%s\", not \"%s\"", text, part);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static int run(guest_fn guest)
{
	struct run_config c = config();
	struct run r = start(&c, guest);

	return finish(&r);
}

static int setup(void **state)
{
	memset(&k, 0, sizeof(k));
	k.api = HALO_API_VERSION;
	msg_level = 0;
	return 0;
}

/* -- exit codes ------------------------------------------------------------------- */

static bool g_off(struct halo_exit *x, const struct halo_reply *last)
{
	return off(x);
}

static bool g_reset(struct halo_exit *x, const struct halo_reply *last)
{
	return outb(x, 0xcf9, 1, 6);
}

static bool g_panic(struct halo_exit *x, const struct halo_reply *last)
{
	return outb(x, 0x505, 1, 1);
}

static bool g_triple(struct halo_exit *x, const struct halo_reply *last)
{
	x->type = HALO_EXIT_SHUTDOWN;
	x->rip = 0x1234;
	return true;
}

static bool g_fail(struct halo_exit *x, const struct halo_reply *last)
{
	x->type = HALO_EXIT_FAIL;
	x->data = HALO_FAIL_ENTRY;
	x->addr = 0xffff;
	return true;
}

static bool g_test_exit(struct halo_exit *x, const struct halo_reply *last)
{
	return outb(x, 0xf4, 4, 3);
}

static bool g_insn(struct halo_exit *x, const struct halo_reply *last)
{
	x->type = HALO_EXIT_INSN;
	x->rip = 0x5678;
	x->insn_len = 3;
	memcpy(x->insn, "\x0f\xae\x38", 3);
	return true;
}

/* At CPL 3 it is the guest's own fault: #UD, and on. */
static bool g_insn_user(struct halo_exit *x, const struct halo_reply *last)
{
	k.state.seg[HALO_SEG_SS].attrib = 3 << 5;
	if (!k.step)
		return g_insn(x, last);
	return last->action == HALO_ACTION_INJECT && last->vector == 6 ? off(x) : g_fail(x, last);
}

static bool g_sleep(struct halo_exit *x, const struct halo_reply *last)
{
	return false;
}

static bool g_gone(struct halo_exit *x, const struct halo_reply *last)
{
	x->type = HALO_EXIT_MEMORY;
	x->addr = 0x3000;
	return true;
}

static void test_codes(void **state)
{
	struct run_config c = config();
	struct run r;

	assert_int_equal(run(g_off), 0);
	assert_string_equal(text, "");
	assert_int_equal(run(g_reset), 0);
	assert_int_equal(run(g_panic), 255);
	one_line("panicked");
	assert_int_equal(run(g_triple), 253);
	one_line("RIP 0x1234");
	assert_int_equal(run(g_fail), 254);
	one_line("VM entry refused, code 0xffff");
	assert_int_equal(run(g_insn), 254);
	one_line("0f ae 38");
	assert_int_equal(run(g_insn_user), 0);
	assert_int_equal(run(g_gone), 254);
	one_line("0x3000");
	c.testdev = true;
	r = start(&c, g_test_exit);
	assert_int_equal(finish(&r), 7);
	c = config();
	c.timeout_ns = 50000000;
	r = start(&c, g_sleep);
	assert_int_equal(finish(&r), 124);
	one_line("--timeout");
	k.run_errno = EIO;
	assert_int_equal(run(g_off), 254);
	one_line("RUN: ");
}

static void test_refusals(void **state)
{
	static const struct { int open, vm, api; const char *cap, *say; } cases[] = {
		{ ENOENT, 0, HALO_API_VERSION, NULL, "not loaded; fix: load it" },
		{ EACCES, 0, HALO_API_VERSION, NULL, "no permission; fix: run as root" },
		{ 0, EBUSY, HALO_API_VERSION, NULL, "busy: another hypervisor" },
		{ 0, EBUSY, HALO_API_VERSION, "SVM: held by kvm_amd; fix: modprobe -r kvm_amd",
		  "/dev/halo: SVM: held by kvm_amd; fix: modprobe -r kvm_amd\n" },
		{ 0, EPERM, HALO_API_VERSION, NULL, "firmware" },
		{ 0, EOPNOTSUPP, HALO_API_VERSION, NULL, "this CPU" },
		{ 0, 0, HALO_API_VERSION + 1, NULL, "the module speaks interface 2, this tool 1; fix: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		k.open_errno = cases[i].open;
		k.vm_errno = cases[i].vm;
		k.api = cases[i].api;
		k.cap_text = cases[i].cap;
		assert_int_equal(run(g_off), 126);
		one_line(cases[i].say);
		assert_non_null(strstr(text, "; fix: "));
	}
}

static void test_too_many_vcpus(void **state)
{
	struct run_config c = config();
	struct run r;

	k.cap = 2;
	c.cpus = 3;
	r = start(&c, g_off);
	assert_int_equal(finish(&r), 125);
	one_line("--cpus: the module has no more vCPUs in one VM; fix: give at most 2");
}

static void test_bad_files(void **state)
{
	struct run_config c = config();
	struct run r;

	c.kernel = "/nonexistent/vmlinuz";
	r = start(&c, g_off);
	assert_int_equal(finish(&r), 127);
	one_line("/nonexistent/vmlinuz: no such file; fix: ");
	c.kernel = "/dev/null";
	r = start(&c, g_off);
	assert_int_equal(finish(&r), 127);
	one_line("not a regular file; fix: ");
	c = config();
	c.initrd = "/nonexistent/initrd";
	r = start(&c, g_off);
	assert_int_equal(finish(&r), 127);
	one_line("/nonexistent/initrd: ");
	c = config();
	c.serial = SERIAL_FILE;
	c.serial_path = "/nonexistent/log";
	r = start(&c, g_off);
	assert_int_equal(finish(&r), 125);
	one_line("/nonexistent/log: ");
}

/* -- the serial port --------------------------------------------------------------- */

/* Echoes; q powers off, e stops with 254 if a break came before. */
static bool g_echo(struct halo_exit *x, const struct halo_reply *last)
{
	static int st;
	static u8 c;

	switch (st) {
	case 0:
		st = 1;
		return outb(x, 0x3f8, 1, '>');
	case 1:
		st = 2;
		return inb(x, 0x3fd, 1);
	case 2:
		st = last->data & 1 ? 3 : 1;
		return st == 3 ? inb(x, 0x3f8, 1) : false;
	default:
		c = (u8)last->data;
		st = 1;
		return c == 'q' ? off(x) : outb(x, 0x3f8, 1, c ? c : '0');
	}
}

#define FLOOD	200000u

static bool g_flood(struct halo_exit *x, const struct halo_reply *last)
{
	return k.step < FLOOD ? outb(x, 0x3f8, 1, 'a' + k.step % 26) : off(x);
}

static void test_pipes(void **state)
{
	struct run_config c = config();
	struct run r = start(&c, g_echo);

	read_until(r.out, ">");
	/* ^A is nothing special in a pipe. */
	assert_int_equal(write(r.in, "hello\001x\n", 8), 8);
	read_until(r.out, "hello\001x\n");
	assert_int_equal(write(r.in, "q", 1), 1);
	assert_int_equal(finish(&r), 0);
	/* The end of the input is no end of the guest. */
	r = start(&c, g_echo);
	assert_int_equal(write(r.in, "q", 1), 1);
	close(r.in);
	r.in = -1;
	assert_int_equal(finish(&r), 0);
}

static void test_slow_reader_loses_nothing(void **state)
{
	struct run_config c = config();
	struct run r = start(&c, g_flood);

	usleep(300000);
	read_until(r.out, NULL);
	assert_int_equal(strlen(text), FLOOD);
	for (u32 i = 0; i < FLOOD; i++)
		assert_int_equal(text[i], 'a' + i % 26);
	assert_int_equal(finish(&r), 0);
}

static void test_reader_gone(void **state)
{
	struct run_config c = config();
	struct run r = start(&c, g_flood);

	close(r.out);
	r.out = r.in;
	assert_int_equal(finish(&r), 0);
}

static void test_stop_with_stuck_reader(void **state)
{
	struct run_config c = config();
	struct run r = start(&c, g_flood);

	usleep(300000);
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 143);
}

static void test_serial_file(void **state)
{
	struct run_config c = config();
	char path[] = "/tmp/halo-test-serial-XXXXXX";
	struct run r;
	int fd = mkstemp(path);

	c.serial = SERIAL_FILE;
	c.serial_path = path;
	r = start(&c, g_flood);
	assert_int_equal(finish(&r), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), FLOOD);
	close(fd);
	unlink(path);
}

/* -- the terminal --------------------------------------------------------------------- */

static void test_tty_keys(void **state)
{
	struct run_config c = config();
	struct run r = start_tty(&c, g_echo);
	struct termios after;

	read_until(r.out, ">");
	assert_true(is_raw(&r));
	/* ^C and ^Z are the guest's. */
	assert_int_equal(write(r.in, "ab\003\032", 4), 4);
	read_until(r.out, "ab\003\032");
	assert_int_equal(write(r.in, "\001\001z", 3), 3);
	read_until(r.out, "\001z");
	assert_int_equal(write(r.in, "\001b", 2), 2);
	read_until(r.out, "0");
	assert_int_equal(write(r.in, "\001h", 2), 2);
	read_until(r.err, "^A x  quit");
	assert_int_equal(write(r.in, "\001x", 2), 2);
	usleep(1000);
	read_until(r.err, NULL);
	tcgetattr(r.in, &after);
	assert_int_equal(after.c_lflag, r.before.c_lflag);
	assert_int_equal(after.c_iflag, r.before.c_iflag);
	assert_int_equal(after.c_oflag, r.before.c_oflag);
	assert_int_equal(finish(&r), 0);
}

static void test_tty_signals(void **state)
{
	static const struct { int sig, code; } cases[] = {
		{ SIGTERM, 143 }, { SIGINT, 130 }, { SIGHUP, 129 }, { SIGQUIT, 131 },
		{ SIGABRT, -SIGABRT }, { SIGSEGV, -SIGSEGV },
	};
	struct run_config c = config();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run r = start_tty(&c, g_echo);

		read_until(r.out, ">");
		assert_true(is_raw(&r));
		kill(r.pid, cases[i].sig);
		read_until(r.err, NULL);
		assert_false(is_raw(&r));
		assert_int_equal(finish(&r), cases[i].code);
	}
}

static void test_tty_stop(void **state)
{
	struct run_config c = config();
	struct run r = start_tty(&c, g_echo);
	int status;

	read_until(r.out, ">");
	kill(r.pid, SIGTSTP);
	assert_int_equal(waitpid(r.pid, &status, WUNTRACED), r.pid);
	assert_true(WIFSTOPPED(status));
	assert_false(is_raw(&r));
	kill(r.pid, SIGCONT);
	for (int i = 0; i < 1000 && !is_raw(&r); i++)
		usleep(1000);
	assert_true(is_raw(&r));
	assert_int_equal(write(r.in, "y", 1), 1);
	read_until(r.out, "y");
	assert_int_equal(write(r.in, "q", 1), 1);
	assert_int_equal(finish(&r), 0);
}

/* Listens to the power button, and powers off when it sees it. */
static bool g_button(struct halo_exit *x, const struct halo_reply *last)
{
	if (!k.step)
		return outb(x, 0x602, 2, 1 << 8);
	if (k.step == 1)
		return outb(x, 0x3f8, 1, '>');
	if (k.step > 2 && last->data & 1 << 8)
		return off(x);
	return inb(x, 0x600, 2);
}

static bool g_deaf(struct halo_exit *x, const struct halo_reply *last)
{
	if (!k.step)
		return outb(x, 0x602, 2, 1 << 8);
	return k.step == 1 ? outb(x, 0x3f8, 1, '>') : false;
}

static void test_power_button(void **state)
{
	struct run_config c = config();
	struct run r = start(&c, g_button);

	read_until(r.out, ">");
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 0);
	/* The second time is final. */
	r = start(&c, g_deaf);
	read_until(r.out, ">");
	kill(r.pid, SIGTERM);
	usleep(50000);
	kill(r.pid, SIGTERM);
	assert_int_equal(finish(&r), 143);
}

/* -- the control socket ------------------------------------------------------------------ */

/* A dot for each millisecond, "B" at the start, "N" at an NMI. */
static bool g_clock(struct halo_exit *x, const struct halo_reply *last)
{
	static unsigned int nmis;
	unsigned int now = __atomic_load_n(&k.nmis, __ATOMIC_RELAXED);

	usleep(1000);
	if (nmis != now) {
		nmis = now;
		return outb(x, 0x3f8, 1, 'N');
	}
	return outb(x, 0x3f8, 1, k.step ? '.' : 'B');
}

static json_t *ask(const char *name, const char *command)
{
	int fd = ctl_connect(name);
	json_t *j = ctl_ask(fd, command, CTL_ANSWER_NS);

	close(fd);
	assert_true(j && json_is_true(json_object_get(j, "ok")));
	return j;
}

static void expect(const char *command, const char *key, const char *value)
{
	json_t *j = ask("ctl", command);

	if (key)
		assert_string_equal(json_string_value(json_object_get(j, key)), value);
	json_decref(j);
}

static bool has_output(const struct run *r)
{
	struct pollfd p = { .fd = r->out, .events = POLLIN };

	return poll(&p, 1, 30) == 1;
}

static void drain_output(const struct run *r)
{
	char buf[4096];

	while (has_output(r))
		assert_true(read(r->out, buf, sizeof(buf)) > 0);
}

static int verb(const char *name)
{
	struct ctl_config c = { .name = "ctl", .timeout_ns = 10 * NS_PER_SEC };

	return ctl(name, &c);
}

static struct run start_named(struct run_config *c, guest_fn guest)
{
	*c = config();
	c->name = "ctl";
	c->named = true;
	return start(c, guest);
}

static void test_control(void **state)
{
	struct run_config c;
	struct run r = start_named(&c, g_clock);
	json_t *j;

	read_until(r.out, "B...");
	j = ask("ctl", "info");
	assert_int_equal(json_integer_value(json_object_get(j, "pid")), r.pid);
	assert_int_equal(json_integer_value(json_object_get(j, "cpus")), 1);
	assert_string_equal(json_string_value(json_object_get(j, "kernel")), kernel_path);
	json_decref(j);
	expect("info", "state", "running");
	assert_int_equal(verb("pause"), 0);
	assert_int_equal(verb("pause"), 0);
	expect("info", "state", "paused");
	drain_output(&r);
	assert_false(has_output(&r));
	assert_int_equal(verb("resume"), 0);
	read_until(r.out, "...");
	expect("info", "state", "running");
	assert_int_equal(verb("nmi"), 0);
	read_until(r.out, "N");
	j = ask("ctl", "counters");
	assert_int_equal(json_array_size(json_object_get(j, "vcpus")), 1);
	assert_true(json_integer_value(json_object_get(json_array_get(json_object_get(j, "vcpus"), 0),
						       "tid")) > 0);
	json_decref(j);
	/* From the start, with the devices as at the start; also when it stands still. */
	assert_int_equal(verb("reset"), 0);
	read_until(r.out, "B...");
	assert_int_equal(verb("pause"), 0);
	assert_int_equal(verb("reset"), 0);
	read_until(r.out, "B...");
	expect("info", "state", "running");
	/* A guest that stands still can be ended. */
	assert_int_equal(verb("pause"), 0);
	assert_int_equal(verb("kill"), 0);
	assert_int_equal(finish(&r), 128 + SIGKILL);
	assert_string_equal(text, "");
}

static void test_control_stop(void **state)
{
	struct run_config c;
	struct run r = start_named(&c, g_button);

	read_until(r.out, ">");
	assert_int_equal(verb("pause"), 0);
	assert_int_equal(verb("stop"), 0);
	assert_int_equal(finish(&r), 0);
	r = start_named(&c, g_clock);
	read_until(r.out, "B...");
	assert_int_equal(verb("stop"), 0);
	assert_int_equal(finish(&r), 143);
}

static void test_control_names(void **state)
{
	struct run_config c;
	struct run r = start_named(&c, g_clock), other;

	read_until(r.out, "B...");
	c.kernel = kernel_path;
	other = start(&c, g_off);
	assert_int_equal(finish(&other), 125);
	one_line("ctl: a guest of this name runs already; fix: ");
	/* Who was given no name takes another. */
	c.named = false;
	other = start(&c, g_clock);
	read_until(other.out, "B...");
	json_decref(ask("ctl-2", "kill"));
	assert_int_equal(finish(&other), 128 + SIGKILL);
	/* A name is free again after kill -9. */
	kill(r.pid, SIGKILL);
	assert_int_equal(finish(&r), -SIGKILL);
	r = start_named(&c, g_clock);
	read_until(r.out, "B...");
	expect("info", "name", "ctl");
	assert_int_equal(verb("kill"), 0);
	assert_int_equal(finish(&r), 128 + SIGKILL);
}

int main(void)
{
	char run_dir[] = "/tmp/halo-test-run-XXXXXX", sockets[64];
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup(f, setup)
		T(test_codes), T(test_refusals), T(test_too_many_vcpus), T(test_bad_files), T(test_pipes),
		T(test_slow_reader_loses_nothing), T(test_reader_gone),
		T(test_stop_with_stuck_reader), T(test_serial_file), T(test_tty_keys),
		T(test_tty_signals), T(test_tty_stop), T(test_power_button), T(test_control),
		T(test_control_stop), T(test_control_names),
	};
	int r;

	signal(SIGPIPE, SIG_IGN);
	make_kernel();
	if (!mkdtemp(run_dir))
		return 1;
	setenv("XDG_RUNTIME_DIR", run_dir, 1);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(kernel_path);
	snprintf(sockets, sizeof(sockets), "%s/halo", run_dir);
	rmdir(sockets);
	rmdir(run_dir);
	return r;
}
