// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics: the fds' layout, reads that nobody would make, lifetimes, readers beside
 * running vCPUs, and the file in debugfs.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "hvm.h"

#define DEBUGFS	"/sys/kernel/debug/halo/vms"

static volatile u64 got[4];
static volatile bool stop;

GUEST void spin(void)
{
	for (;;)
		got[0]++;
}

GUEST void fifty_cpuids(void)
{
	u32 r[4], i;

	for (i = 0; i < 50; i++)
		cpuid(0, 0, r);
	for (i = 0; i < 7; i++)
		outb(0x80, i);
	for (i = 0; i < 5; i++)
		got[1] = rdmsr(0x277);
}

/* Waits as a lock's waiter does. */
GUEST void pauses(u64 rounds)
{
	while (rounds--)
		asm volatile("pause");
}

GUEST void cpuids(void)
{
	u32 r[4];

	for (;;) {
		cpuid(0, 0, r);
		got[0]++;
	}
}

struct stats {
	u8 raw[16384];
	ssize_t bytes;
	struct halo_stats_header h;
};

static int vm_stats(struct vm *vm)
{
	int fd = ioctl(vm->fd, HALO_VM_STATS_FD, 0);

	CHECK(fd >= 0);
	return fd;
}

static int vcpu_stats(struct vcpu *v)
{
	int fd = ioctl(v->fd, HALO_VCPU_STATS_FD, 0);

	CHECK(fd >= 0);
	return fd;
}

static struct stats *take(int fd)
{
	static struct stats s;

	memset(&s, 0, sizeof(s));
	s.bytes = pread(fd, s.raw, sizeof(s.raw), 0);
	CHECK(s.bytes > (ssize_t)sizeof(s.h) && s.bytes < (ssize_t)sizeof(s.raw));
	memcpy(&s.h, s.raw, sizeof(s.h));
	return &s;
}

static struct halo_stats_desc *desc(struct stats *s, u32 i)
{
	return (struct halo_stats_desc *)(s->raw + s->h.desc_offset + (u64)i * s->h.desc_bytes);
}

static bool has(struct stats *s, const char *name, u64 *value)
{
	u32 i;

	for (i = 0; i < s->h.desc_count; i++) {
		if (strcmp(desc(s, i)->name, name))
			continue;
		memcpy(value, s->raw + s->h.data_offset + desc(s, i)->offset, sizeof(*value));
		return true;
	}
	return false;
}

static u64 value(int fd, const char *name)
{
	u64 v = 0;

	if (!has(take(fd), name, &v))
		ktap_fail(__FILE__, __LINE__, "no value %s", name);
	return v;
}

static void check_layout(struct stats *s)
{
	struct halo_stats_desc *d;
	u32 i, j, k;

	CHECK_EQ(s->h.size, sizeof(s->h));
	CHECK_EQ(s->h.desc_bytes, sizeof(*d));
	CHECK(s->h.desc_count > 40 && s->h.desc_count < 200);
	CHECK(s->h.desc_offset >= s->h.size && s->h.desc_offset % 8 == 0);
	CHECK(s->h.data_offset >= s->h.desc_offset + s->h.desc_count * s->h.desc_bytes);
	CHECK_EQ(s->h.data_offset % 8, 0);
	CHECK_EQ(s->bytes, s->h.data_offset + s->h.data_bytes);
	for (i = 0; i < s->h.desc_count; i++) {
		d = desc(s, i);
		CHECK(d->offset % 8 == 0 && d->offset + 8 <= s->h.data_bytes);
		CHECK(d->kind <= HALO_STATS_GAUGE && d->unit <= HALO_STATS_NS);
		CHECK(d->name[0] && !d->name[sizeof(d->name) - 1]);
		for (k = 0; d->name[k]; k++)
			CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789_", d->name[k]));
		/* Nothing but zeroes behind the name. */
		for (; k < sizeof(d->name); k++)
			CHECK(!d->name[k]);
		for (j = 0; j < i; j++) {
			CHECK(desc(s, j)->offset != d->offset);
			CHECK(strcmp(desc(s, j)->name, d->name));
		}
	}
}

TEST(layout_of_a_vms)
{
	struct vm *vm = vm_new();
	struct stats *s = take(vm_stats(vm));
	char id[40];
	u64 v;

	check_layout(s);
	snprintf(id, sizeof(id), "%d-%d", getpid(), vm->fd);
	CHECK(!strcmp(s->h.id, id));
	CHECK(!s->h.name[0]);
	CHECK(s->h.vm > 0);
	CHECK(has(s, "vcpus", &v) && v == 1);
	CHECK(has(s, "zones", &v) && v == 0);
	CHECK(has(s, "exit_cpuid", &v) && v == 0);
	zone_set(vm, HALO_ZONE_ADD, HALO_BUS_PIO, HALO_ZONE_SYNC, 0x80, 1, 0, 0);
	CHECK_EQ(value(vm_stats(vm), "zones"), 1);
}

TEST(layout_of_a_vcpus)
{
	struct vm *vm = vm_new();
	struct vcpu *v5 = vcpu_new(vm, 5);
	struct stats *s = take(vcpu_stats(v5));
	char id[40];
	u64 v;

	check_layout(s);
	snprintf(id, sizeof(id), "%d-%d/vcpu5", getpid(), vm->fd);
	CHECK(!strcmp(s->h.id, id));
	CHECK(!has(s, "vcpus", &v));
	CHECK(has(s, "exits", &v) && v == 0);
}

TEST(vms_have_numbers_and_names)
{
	struct halo_create_vm c = { .size = sizeof(c), .name = "a-name.of/23~characters" };
	int dev = dev_open(), fd, stats;
	u64 nr;

	CHECK_EQ(strlen(c.name), HALO_NAME_BYTES - 1);
	fd = ioctl(dev, HALO_CREATE_VM, &c);
	CHECK(fd >= 0);
	stats = ioctl(fd, HALO_VM_STATS_FD, 0);
	CHECK(stats >= 0);
	CHECK(!strcmp(take(stats)->h.name, c.name));
	nr = take(stats)->h.vm;
	CHECK(take(vm_stats(vm_bare()))->h.vm > nr);

	memset(c.name, 'x', sizeof(c.name));
	CHECK_ERRNO(ioctl(dev, HALO_CREATE_VM, &c), EINVAL);
	memset(c.name, 0, sizeof(c.name));
	c.name[1] = 'x';
	CHECK_ERRNO(ioctl(dev, HALO_CREATE_VM, &c), EINVAL);
	strcpy(c.name, "two words");
	CHECK_ERRNO(ioctl(dev, HALO_CREATE_VM, &c), EINVAL);
	strcpy(c.name, "caf\303\251");
	CHECK_ERRNO(ioctl(dev, HALO_CREATE_VM, &c), EINVAL);
	strcpy(c.name, "new\nline");
	CHECK_ERRNO(ioctl(dev, HALO_CREATE_VM, &c), EINVAL);
}

TEST(counts_what_happened)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_vcpu_stats old = { .size = sizeof(old) };
	int fd = vcpu_stats(v), all = vm_stats(vm);
	u64 sum = 0, n;
	struct stats *s;
	u32 i;

	guest_begin(v, fifty_cpuids, 0);
	for (i = 0; i < 7; i++) {
		guest_until(v, HALO_EXIT_PIO);
		CHECK_EQ(v->x.data, i);
		/* It waits for its answer. */
		CHECK_EQ(value(fd, "exit_waits"), 1);
		answer(v, 0);
	}
	guest_end(v);
	CHECK_EQ(value(fd, "exit_cpuid"), 50);
	CHECK_EQ(value(fd, "exit_pio"), 8);	/* and the one that ends it */
	CHECK_EQ(value(fd, "user_exits"), 8);
	CHECK_EQ(value(fd, "exit_rdmsr"), 5);
	CHECK_EQ(value(fd, "exit_unknown"), 0);
	CHECK(value(fd, "faults") > 0);
	CHECK_EQ(value(fd, "in_guest"), 0);
	/* The VM's are the sums, also of a vCPU that did nothing. */
	vcpu_new(vm, 1);
	CHECK_EQ(value(all, "vcpus"), 2);
	CHECK_EQ(value(all, "exit_cpuid"), 50);
	s = take(fd);
	for (i = 0; i < s->h.desc_count; i++)
		if (!strncmp(desc(s, i)->name, "exit_", 5) &&
		    desc(s, i)->kind == HALO_STATS_COUNTER && has(s, desc(s, i)->name, &n))
			sum += n;
	CHECK(has(s, "exits", &n) && n == sum);
	/* The older interface says the same. */
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &old));
	CHECK_EQ(old.exits, sum);
	CHECK_EQ(old.entries, sum);
	CHECK_EQ(old.cpuid, 50);
	CHECK_EQ(old.msr, 5);
	CHECK_EQ(old.pio, 8);
	CHECK_EQ(old.user_exits, 8);
}

TEST_SECONDS(a_guest_that_spins_is_told_of, 60)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_PAUSE_LOOP };
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	guest(v, pauses, 4);
	CHECK_EQ(value(vcpu_stats(v), "exit_pause"), 0);
	guest(v, pauses, 1000000);
	if (!q.value)
		CHECK_EQ(value(vcpu_stats(v), "exit_pause"), 0);
	else
		CHECK(value(vcpu_stats(v), "exit_pause") > 10);
	if (!q.value)
		ktap_skip("%s", q.text);
}

TEST(reads_nobody_would_make)
{
	struct vm *vm = vm_new();
	int fd = vm_stats(vm);
	static u8 whole[16384], part[16384];
	ssize_t bytes = pread(fd, whole, sizeof(whole), 0), n, at;
	u8 *two;

	/* Nothing runs: each byte by itself is the byte of the whole. */
	for (at = 0; at < bytes; at++) {
		CHECK_EQ(pread(fd, part, 1, at), 1);
		CHECK_EQ(part[0], whole[at]);
	}
	for (at = 0; at < bytes; at += 97)
		for (n = 1; n < bytes; n += 331) {
			memset(part, 0xee, sizeof(part));
			CHECK_EQ(pread(fd, part, n, at), n < bytes - at ? n : bytes - at);
			CHECK(!memcmp(part, whole + at, n < bytes - at ? n : bytes - at));
			CHECK_EQ(part[n < bytes - at ? n : bytes - at], 0xee);
		}
	CHECK_EQ(pread(fd, part, sizeof(part), bytes), 0);
	CHECK_EQ(pread(fd, part, sizeof(part), bytes + 1), 0);
	CHECK_EQ(pread(fd, part, sizeof(part), 0x100000000ull), 0);
	CHECK_EQ(pread(fd, part, sizeof(part), 0x7fffffffffffff00ull - sizeof(part)), 0);
	CHECK_ERRNO(pread(fd, part, sizeof(part), -1), EINVAL);
	CHECK_EQ(pread(fd, part, 0, 0), 0);
	/* read() goes on to the end, and from the start after lseek(). */
	for (at = 0; (n = read(fd, part, 1000)) > 0; at += n)
		CHECK(!memcmp(part, whole + at, n));
	CHECK_EQ(n, 0);
	CHECK_EQ(at, bytes);
	CHECK_EQ(lseek(fd, 0, SEEK_END), bytes);
	CHECK_EQ(lseek(fd, 8, SEEK_SET), 8);
	CHECK_EQ(read(fd, part, 8), 8);
	CHECK(!memcmp(part, whole + 8, 8));
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, bytes + 1, SEEK_SET), EINVAL);
	/* No memory there, or only up to a page's end. */
	two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(two != MAP_FAILED && !munmap(two + PAGE, PAGE));
	CHECK_ERRNO(pread(fd, two + PAGE, 8, 0), EFAULT);
	CHECK_ERRNO(pread(fd, two + PAGE - 100, bytes, 0), EFAULT);
	CHECK_ERRNO(pread(fd, (void *)0xffffffff81000000, 8, 0), EFAULT);
	/* There is nothing but reading. */
	CHECK_ERRNO(write(fd, part, 8), EBADF);
	CHECK(pwrite(fd, part, 8, 0) < 0);
	CHECK_ERRNO(ioctl(fd, HALO_VM_STATS_FD, 0), ENOTTY);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(outlives_what_it_tells_of)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd = vm_stats(vm), one = vcpu_stats(v);
	u32 i;

	guest_begin(v, fifty_cpuids, 0);
	for (i = 0; i < 7; i++) {
		guest_until(v, HALO_EXIT_PIO);
		answer(v, 0);
	}
	guest_end(v);
	CHECK(!close(v->fd));
	CHECK_EQ(value(one, "exit_cpuid"), 50);
	CHECK(!close(vm->fd));
	CHECK(!close(vm->dev));
	CHECK_EQ(value(one, "exit_cpuid"), 50);
	CHECK_EQ(value(fd, "exit_cpuid"), 50);
	CHECK(!close(fd));
	CHECK_EQ(value(one, "exit_pio"), 8);
	CHECK(!close(one));
}

/* The process that made the VM is gone, and its memory with it. */
TEST(outlives_the_process)
{
	char byte = 0, ctl[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl,
			    .msg_controllen = sizeof(ctl) };
	struct cmsghdr *c;
	int sock[2], fd, vm_fd, status;
	pid_t pid;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = fork();
	if (!pid) {
		struct vm *vm = vm_new();

		guest_begin(vm->cpu[0], fifty_cpuids, 0);
		guest_until(vm->cpu[0], HALO_EXIT_PIO);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &vm->fd, sizeof(int));
		_exit(sendmsg(sock[1], &m, 0) != 1);
	}
	CHECK_EQ(recvmsg(sock[0], &m, 0), 1);
	memcpy(&vm_fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	/* Who holds the VM may ask, though it is not its own. */
	fd = ioctl(vm_fd, HALO_VM_STATS_FD, 0);
	CHECK(fd >= 0);
	CHECK(!close(vm_fd));
	CHECK_EQ(value(fd, "exit_cpuid"), 50);
	CHECK_EQ(atoi(take(fd)->h.id), pid);
}

static void *in_run(void *arg)
{
	while (!stop && run(arg) == -EINTR)
		;
	return NULL;
}

static void *reader(void *arg)
{
	const int *fds = arg;
	u8 raw[16384];
	u64 before = 0, now;
	u32 at = 0, i;
	struct halo_stats_header h;
	struct halo_stats_desc d;
	ssize_t n;

	n = pread(fds[0], raw, sizeof(raw), 0);
	memcpy(&h, raw, sizeof(h));
	for (i = 0; i < h.desc_count; i++) {
		memcpy(&d, raw + h.desc_offset + i * h.desc_bytes, sizeof(d));
		if (!strcmp(d.name, "exit_cpuid"))
			at = h.data_offset + d.offset;
	}
	while (!stop) {
		if (pread(fds[0], &now, 8, at) != 8 || now < before)
			return (void *)1;
		before = now;
		if (pread(fds[1], raw, sizeof(raw), 0) != n)
			return (void *)2;
	}
	return before ? NULL : (void *)3;
}

TEST_SECONDS(read_while_vcpus_run, 60)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	pthread_t runner, t[3];
	int fds[2] = { vm_stats(vm), vcpu_stats(v) };
	u64 turns = got[0];
	void *ret;
	u32 i;

	guest_begin(v, cpuids, 0);
	CHECK(!pthread_create(&runner, NULL, in_run, v));
	while (got[0] < 100)
		usleep(1000);
	for (i = 0; i < 3; i++)
		CHECK(!pthread_create(&t[i], NULL, reader, fds));
	turns = got[0];
	usleep(1500000);
	/* The vCPU goes on meanwhile. */
	CHECK(got[0] > turns);
	stop = true;
	for (i = 0; i < 3; i++) {
		CHECK(!pthread_join(t[i], &ret));
		CHECK_EQ((long)ret, 0);
	}
	CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	pthread_join(runner, NULL);
	CHECK_EQ(value(fds[1], "exits"), value(fds[0], "exits"));
}

TEST(in_guest_and_halted)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	int fd = vcpu_stats(v);
	pthread_t runner;
	u32 i, in = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		ktap_skip("one CPU can't be in the guest and look at it");
	guest_begin(v, spin, 0);
	CHECK(!pthread_create(&runner, NULL, in_run, v));
	for (i = 0; i < 1000 && !in; i++) {
		usleep(1000);
		in = value(fd, "in_guest");
	}
	CHECK(in);
	stop = true;
	CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
	pthread_join(runner, NULL);
	CHECK_EQ(value(fd, "in_guest"), 0);
}

/* ---- debugfs ---- */

static char *vms(void)
{
	static char text[1 << 20];
	size_t n;
	FILE *f = fopen(DEBUGFS, "r");

	if (!f)
		ktap_skip("no " DEBUGFS);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	return text;
}

TEST(debugfs_says_the_same)
{
	struct vm *vm;
	struct vcpu *v;
	char line[80];
	u32 i;

	vms();
	vm = vm_new();
	v = vm->cpu[0];
	guest_begin(v, fifty_cpuids, 0);
	for (i = 0; i < 7; i++) {
		guest_until(v, HALO_EXIT_PIO);
		answer(v, 0);
	}
	guest_end(v);
	snprintf(line, sizeof(line), "\n%d-%d/exit_cpuid 50\n", getpid(), vm->fd);
	CHECK(strstr(vms(), line));
	snprintf(line, sizeof(line), "\n%d-%d/vcpu0/exit_cpuid 50\n", getpid(), vm->fd);
	CHECK(strstr(vms(), line));
	CHECK_EQ(open(DEBUGFS, O_RDWR) >= 0 && write(open(DEBUGFS, O_RDWR), "0", 1) == 1, 0);
	vm_free(vm);
	snprintf(line, sizeof(line), "%d-", getpid());
	CHECK(!strstr(vms(), line));
}

static void *come_and_go(void *arg)
{
	int dev = dev_open();
	u32 i;

	while (!stop) {
		int vm = vm_fd_new(dev), cpu[3];

		for (i = 0; i < 3; i++)
			cpu[i] = vcpu_fd_new(vm, i);
		for (i = 0; i < 3; i++)
			close(cpu[i]);
		close(vm);
	}
	return NULL;
}

static void *look(void *arg)
{
	u32 n = 0;
	char buf[4096];

	while (!stop) {
		int fd = open(DEBUGFS, O_RDONLY);

		/* By small pieces, so that VMs come and go between two. */
		while (read(fd, buf, n % 7 ? 512 : sizeof(buf)) > 0)
			n++;
		close(fd);
	}
	return n ? NULL : (void *)1;
}

TEST_SECONDS(debugfs_while_vms_come_and_go, 60)
{
	pthread_t t[5];
	void *ret;
	u32 i;

	vms();
	for (i = 0; i < 5; i++)
		CHECK(!pthread_create(&t[i], NULL, i < 3 ? come_and_go : look, NULL));
	usleep(3000000);
	stop = true;
	for (i = 0; i < 5; i++) {
		CHECK(!pthread_join(t[i], &ret));
		CHECK_EQ((long)ret, 0);
	}
	vm_free(vm_new());
}
