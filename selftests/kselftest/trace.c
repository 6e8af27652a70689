// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints: each fires for what it tells of, with the right fields, and is switched on
 * and off under a running guest.  An instance of tracefs for each test, and in it only
 * the events of the test's own VM.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include "hvm.h"

#define TRACEFS	"/sys/kernel/tracing"
#define PORT	0x300
#define POSTED	0x310
#define BELL	0x320
#define CONST	0x330
#define MSI0	0xfee00000ull
#define VECTOR	0x51

static volatile u64 got[4], seen, stop;
static char instance[64], text[1 << 20];

static void put(const char *file, const char *what)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", instance, file);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, what, strlen(what)) != (ssize_t)strlen(what))
		ktap_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	close(fd);
}

static const char *take(const char *file)
{
	char path[160];
	size_t n = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", instance, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		ktap_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += got;
	close(fd);
	text[n] = 0;
	return text;
}

static char record_cmd;

/* '0' or '1'; what it was. */
static char record_cmd_set(char to)
{
	int fd = open(TRACEFS "/options/record-cmd", O_RDWR);
	char was;

	if (fd < 0 || pread(fd, &was, 1, 0) != 1 || write(fd, &to, 1) != 1)
		ktap_fail(__FILE__, __LINE__, "record-cmd: %s", strerror(errno));
	close(fd);
	return was;
}

static void instance_gone(void)
{
	if (instance[0])
		rmdir(instance);
	if (record_cmd == '1')
		record_cmd_set(record_cmd);
}

/*
 * Events record the names of tasks, too, for which the scheduler is patched: QEMU's other
 * CPU may run into the int3 that is no longer there. An instance has what all had before.
 */
static void instance_new(void)
{
	if (access(TRACEFS "/events/halo", F_OK))
		ktap_skip("no " TRACEFS "/events/halo");
	record_cmd = record_cmd_set('0');
	snprintf(instance, sizeof(instance), TRACEFS "/instances/halo-%d", getpid());
	CHECK(!mkdir(instance, 0700));
	atexit(instance_gone);
}

/* An instance that hears of this VM alone. */
static u64 listen_to(struct vm *vm, const char *events)
{
	struct halo_stats_header h;
	int fd = ioctl(vm->fd, HALO_VM_STATS_FD, 0);
	char filter[40], file[80];

	CHECK(fd >= 0);
	CHECK_EQ(pread(fd, &h, sizeof(h), 0), sizeof(h));
	close(fd);
	instance_new();
	snprintf(filter, sizeof(filter), "vm == %llu", (unsigned long long)h.vm);
	put("events/halo/filter", filter);
	snprintf(file, sizeof(file), "events/halo/%s%senable", events, *events ? "/" : "");
	put(file, "1");
	return h.vm;
}

static void quiet(void)
{
	put("events/halo/enable", "0");
}

/* How often the trace has this text. */
static u32 lines(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static u32 lines(const char *fmt, ...)
{
	char want[256];
	const char *p;
	va_list ap;
	u32 n = 0;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	for (p = take("trace"); (p = strstr(p, want)); p++)
		n++;
	return n;
}

#define ONCE(...)								\
	do {									\
		u32 n_ = lines(__VA_ARGS__);					\
										\
		if (n_ != 1) {							\
			char *l_ = strtok(text, "\n");				\
										\
			for (; l_; l_ = strtok(NULL, "\n"))			\
				if (l_[0] != '#')				\
					ktap_note("%s", l_);			\
			ktap_fail(__FILE__, __LINE__, "%u times: %s", n_, #__VA_ARGS__); \
		}								\
	} while (0)

GUEST void known(u64 intel)
{
	u32 r[4];
	u64 nr = 0x9999;

	cpuid(0x80000008, 3, r);
	outb(PORT, 0x5a);
	got[0] = inl(PORT);
	got[1] = rdmsr(0x277);
	wrmsr(0x277, got[1]);
	if (intel)
		asm volatile("vmcall" : "+a"(nr) : "b"(0x77ull) : "memory");
	else
		asm volatile("vmmcall" : "+a"(nr) : "b"(0x77ull) : "memory");
}

TEST(exits_entries_and_replies)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_vcpu_stats s = { .size = sizeof(s) };
	u64 nr = listen_to(vm, ""), out, in;

	guest_begin(v, known, cpu_is_intel());
	out = guest_until(v, HALO_EXIT_PIO)->seq;
	answer(v, 0);
	in = guest_until(v, HALO_EXIT_PIO)->seq;
	answer(v, 0x12345678);
	guest_end(v);
	quiet();
	CHECK_EQ(got[0], 0x12345678);
	ONCE("vm %llu vcpu 0 reason cpuid rip 0x", (unsigned long long)nr);
	ONCE(" info 0x80000008 0x3\n");
	ONCE(" info 0x300 0x1\n");
	ONCE(" info 0x300 0x104\n");
	ONCE(" info 0x277 0x0\n");
	ONCE("reason wrmsr");
	ONCE(" info 0x277 0x%llx\n", (unsigned long long)got[1]);
	ONCE(" info 0x9999 0x77\n");
	ONCE("seq %llu pio sync|write addr 0x300 size 1 data 0x5a cookie 0x0 rip 0x",
	     (unsigned long long)out);
	ONCE("seq %llu pio sync addr 0x300 size 4 data 0x0 cookie 0x0 rip 0x",
	     (unsigned long long)in);
	ONCE("halo_reply: vm %llu vcpu 0 seq %llu done data 0x12345678 vector 0",
	     (unsigned long long)nr, (unsigned long long)in);
	CHECK_EQ(lines("halo_user_exit: "), 3);	/* and that of the end, not answered */
	CHECK_EQ(lines("halo_reply: "), 2);
	/* Each entry has its exit, and both are counted. */
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &s));
	CHECK_EQ(lines("halo_entry: "), s.entries);
	CHECK_EQ(lines("halo_exit: "), s.exits);
	CHECK_EQ(lines("halo_entry: vm %llu vcpu 0 rip 0x", (unsigned long long)nr), s.entries);
}

GUEST void touch(void)
{
	got[0] = *(volatile u64 *)LOW_FREE;
	*(volatile u64 *)(LOW_FREE + PAGE) = 1;
	*(volatile u32 *)(HOLE + 8) = 0xabcd;
}

TEST(faults)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	listen_to(vm, "");
	guest_begin(v, touch, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, HOLE + 8);
	answer(v, 0);
	guest_end(v);
	quiet();
	ONCE("gpa 0x300008 access write result mmio (1) rip 0x");
	ONCE("mmio sync|write addr 0x300008 size 4 data 0xabcd");
	CHECK(lines("result mapped (0)") > 0);
	CHECK_EQ(lines("halo_fault: "), lines("reason memory"));
}

GUEST void zones(void)
{
	outb(POSTED, 1);
	outw(BELL, 2);
	got[0] = inl(CONST);
	outl(CONST, 4);
}

TEST(zones_and_posted_exits)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_zone bell = {
		.size = sizeof(bell), .op = HALO_ZONE_ADD, .bus = HALO_BUS_PIO, .addr = BELL,
		.len = 2, .mode = HALO_ZONE_DOORBELL, .cookie = 0x22, .eventfd = eventfd(0, 0),
	};

	CHECK(!ioctl(vm->fd, HALO_VM_SET_ZONE, &bell));
	CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_POSTED, POSTED, 1, 0x11, 0));
	CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_CONST, CONST, 4, 0x33, 0x4444));
	listen_to(vm, "");
	guest_begin(v, zones, 0);
	/* The posted one comes alone or with the next, as the clock will have it. */
	do {
		if (!waiting(v))
			CHECK_EQ(settle(v), 0);
		take_next(v);
	} while (v->x.flags & HALO_EXIT_F_POSTED);
	CHECK_EQ(v->x.addr, PORT_DONE);
	quiet();
	ONCE("pio posted addr 0x310 size 1 write 1 data 0x1 cookie 0x11");
	ONCE("pio doorbell addr 0x320 size 2 write 1 data 0x2 cookie 0x22");
	ONCE("pio const addr 0x330 size 4 write 0 data 0x4444 cookie 0x33");
	CHECK_EQ(lines("halo_zone: "), 4);
	ONCE("pio posted|write addr 0x310 size 1 data 0x1 cookie 0x11");
}

static void count(struct g_frame *f)
{
	seen++;
	lapic_write(0xb0, 0);
}

GUEST void wait_for(u64 n)
{
	g_handler[VECTOR] = count;
	lapic_write(0xf0, 0x1ff);
	outb(PORT, 1);
	while (seen < n)
		asm volatile("sti; hlt; cli");
	/* One to itself, but not by the shorthand, which needs no route. */
	lapic_write(0x310, 0);
	lapic_write(0x300, VECTOR);
	asm volatile("sti; nop; cli");
}

TEST(interrupts)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_irqfd f = {
		.size = sizeof(f), .eventfd = eventfd(0, 0), .addr = MSI0, .data = VECTOR,
	};
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_VIRT_INTR };
	u64 one = 1;

	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	CHECK(!ioctl(vm->fd, HALO_VM_SET_IRQFD, &f));
	guest_begin(v, wait_for, 1);
	guest_until(v, HALO_EXIT_PIO);
	answer(v, 0);
	listen_to(vm, "");
	CHECK_EQ(msi(vm, MSI0, VECTOR), 1);
	CHECK_EQ(write(f.eventfd, &one, 8), 8);
	guest_end(v);
	quiet();
	ONCE("msi fixed vector 81 dest 0x0 shorthand 0 level 0 taken 1");
	ONCE("irqfd fixed vector 81 dest 0x0 shorthand 0 level 0 taken 1");
	ONCE("ipi fixed vector 81 dest 0x0 shorthand 0 level 0 taken 1");
	/* The first two were one; told again if a fault came in between, and only where it
	 * is the module that injects.
	 */
	if (!q.value)
		CHECK(lines("intr vector 81 has_error 0") >= 2);
}

static void *runner(void *arg)
{
	int err;

	do
		err = run(arg);
	while (err == -EINTR && !stop);
	return (void *)(long)err;
}

TEST(sleeps_in_hlt)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	pthread_t t;
	char *p;

	guest_begin(v, wait_for, 1);
	guest_until(v, HALO_EXIT_PIO);
	answer(v, 0);
	listen_to(vm, "halo_halt");
	CHECK(!pthread_create(&t, NULL, runner, v));
	usleep(50000);
	CHECK_EQ(msi(vm, MSI0, VECTOR), 1);
	CHECK(!pthread_join(t, NULL));
	quiet();
	CHECK(lines("halo_halt: ") >= 1);
	p = strstr(text, " ns ");
	CHECK(p && strtoull(p + 4, NULL, 10) > 10000000);
	CHECK(strstr(p, " result 0\n"));
}

GUEST void in_and_out(void)
{
	got[0] = inb(PORT);
}

TEST(waits_for_a_server)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	pthread_t t;
	void *err;

	listen_to(vm, "halo_ring_wait");
	guest_begin(v, in_and_out, 0);
	v->s->flags = HALO_RUN_PARKED;
	CHECK(!pthread_create(&t, NULL, runner, v));
	while (!v->exits->tail)
		usleep(1000);
	/* It has long gone to sleep. */
	usleep(100000);
	v->x.seq = 1;
	v->replies->head = v->exits->tail;
	answer(v, 0x5a);
	CHECK(!ioctl(v->fd, HALO_VCPU_DOORBELL, 0));
	while (v->exits->tail < 2)
		usleep(1000);
	stop = 1;
	do
		CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	while (pthread_tryjoin_np(t, &err));
	quiet();
	CHECK_EQ(got[0], 0x5a);
	CHECK(lines("vcpu 0 for reply ns ") >= 1);
	CHECK(strtoull(strstr(text, "for reply ns ") + 13, NULL, 10) > 1000000);
}

/* What somebody's script may rely on. */
TEST(fields_are_there)
{
	static const char *const fields[][12] = {
		{ "halo_entry", "vm", "vcpu_id", "guest_rip" },
		{ "halo_exit", "vm", "vcpu_id", "exit_reason", "guest_rip", "info1", "info2" },
		{ "halo_inject", "vm", "vcpu_id", "type", "vector", "has_error", "error_code" },
		{ "halo_fault", "vm", "vcpu_id", "guest_rip", "gpa", "access", "result" },
		{ "halo_zone", "vm", "vcpu_id", "bus", "mode", "addr", "size", "write", "data",
		  "cookie" },
		{ "halo_user_exit", "vm", "vcpu_id", "guest_rip", "seq", "type", "flags",
		  "addr", "size", "data", "cookie" },
		{ "halo_reply", "vm", "vcpu_id", "seq", "action", "data", "vector",
		  "error_code" },
		{ "halo_irq", "vm", "source", "mode", "vector", "dest", "shorthand", "logical",
		  "level", "taken" },
		{ "halo_ring_wait", "vm", "vcpu_id", "room", "ns", "result" },
		{ "halo_halt", "vm", "vcpu_id", "ns", "result" },
	};
	char file[80], field[40];
	u32 i, j;

	instance_new();
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(file, sizeof(file), "events/halo/%s/format", fields[i][0]);
		take(file);
		for (j = 1; j < 12 && fields[i][j]; j++) {
			snprintf(field, sizeof(field), " %s;\t", fields[i][j]);
			if (!strstr(text, field))
				ktap_fail(__FILE__, __LINE__, "%s has no %s", fields[i][0],
					  fields[i][j]);
		}
		/* Numbers, not names that only the kernel's own source knows. */
		CHECK(!strstr(text, "HW_") && !strstr(text, "HALO_"));
	}
}

GUEST void busy(void)
{
	u32 r[4];

	for (;;) {
		cpuid(0, 0, r);
		got[0]++;
		outb(CONST, 1);
	}
}

TEST_SECONDS(on_and_off_under_a_running_guest, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	cpu_set_t one;
	pthread_t t;
	u64 turns;
	u32 i;

	CHECK(!zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_CONST, CONST, 1, 0, 0));
	instance_new();
	/* QEMU 7.2 may keep a translation of code that another CPU has patched. */
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (cpu_is_tcg())
		CHECK(!sched_setaffinity(0, sizeof(one), &one));
	guest_begin(v, busy, 0);
	CHECK(!pthread_create(&t, NULL, runner, v));
	for (i = 0; i < 8; i++) {
		turns = got[0];
		put("events/halo/enable", i & 1 ? "0" : "1");
		while (got[0] < turns + 10)
			usleep(1000);
	}
	stop = 1;
	do
		CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	while (pthread_tryjoin_np(t, NULL));
	CHECK(lines("reason cpuid") > 10);
	CHECK(lines("pio const addr 0x330") > 10);
}
