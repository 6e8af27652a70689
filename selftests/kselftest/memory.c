// SPDX-License-Identifier: GPL-2.0
/*
 * What the host does to guest memory behind the guest's back: large pages,
 * reclaim, copy on write, and all of it at once while counters must stay exact.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "hvm.h"

#ifndef MADV_COLD
#define MADV_COLD	20
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define AT	0x40000000ull	/* guest-physical, on a large page's border */
#define LARGE	0x200000ull

static volatile u64 first, pages, tag, rounds, stop, sum;

/* One word in each page, AT + n pages: by reading, by writing, by adding. */
GUEST void read_all(void)
{
	u64 i, s = 0;

	for (i = first; i < first + pages; i++)
		s += *(volatile u64 *)(AT + i * PAGE);
	sum = s;
}

GUEST void write_all(void)
{
	u64 i;

	for (i = first; i < first + pages; i++)
		*(volatile u64 *)(AT + i * PAGE) = tag + i;
}

GUEST void count_all(void)
{
	while (!stop) {
		u64 i;

		for (i = first; i < first + pages; i++)
			++*(volatile u64 *)(AT + i * PAGE);
		rounds = rounds + 1;
	}
}

/* Anonymous memory on a large page's border, as the guest sees it at AT. */
static u8 *slot_area(struct vm *vm, u64 bytes, int advice)
{
	u8 *p = mmap(NULL, bytes + LARGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	p = (u8 *)(((u64)p + LARGE - 1) & ~(LARGE - 1));
	madvise(p, bytes, advice);
	CHECK(!slot_set(vm, 2, 0, AT, bytes, p));
	return p;
}

static u64 *word(u8 *p, u64 page)
{
	return (u64 *)(p + page * PAGE);
}

static u64 faults(struct vcpu *v)
{
	struct halo_vcpu_stats s = { .size = sizeof(s) };

	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &s));
	return s.faults;
}

/* Bytes of the mapping that holds an address which are in large pages; 0 if not known. */
static u64 in_large_pages(const void *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long long from, to, kb, found = 0;
	bool here = false;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			here = (u64)p >= from && (u64)p < to;
		else if (here && sscanf(line, "AnonHugePages: %llu", &kb) == 1)
			found = kb * 1024;
	}
	if (f)
		fclose(f);
	return found;
}

static u64 resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long long all, rss;

	CHECK(f);
	CHECK_EQ(fscanf(f, "%llu %llu", &all, &rss), 2);
	fclose(f);
	return rss * PAGE;
}

TEST(large_page_is_one_fault)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, 2 * LARGE, MADV_HUGEPAGE);
	u64 before;

	memset(p, 0, 2 * LARGE);
	if (in_large_pages(p) < 2 * LARGE)
		ktap_skip("the host gave no large pages, or does not say");
	pages = 1024;
	tag = 0x1000;
	guest(v, read_all, 0);		/* page in code and stack */
	CHECK_EQ(sum, 0);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	CHECK(!slot_set(vm, 2, 0, AT, 2 * LARGE, p));
	before = faults(v);
	guest(v, write_all, 0);
	CHECK(faults(v) - before < 64);
	for (first = 0; first < pages; first++)
		CHECK_EQ(*word(p, first), tag + first);
}

/* A border of the slot, or of the user's mapping, in the middle of a large page. */
TEST(large_page_ends_at_the_slot)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, 2 * LARGE, MADV_HUGEPAGE);
	struct halo_exit *x;

	memset(p, 0, 2 * LARGE);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	CHECK(!slot_set(vm, 2, 0, AT + PAGE, LARGE, p + PAGE));
	first = 1;
	pages = 512;
	tag = 0x2000;
	guest(v, write_all, 0);
	CHECK_EQ(*word(p, 0), 0);
	CHECK_EQ(*word(p, 1), tag + 1);
	CHECK_EQ(*word(p, 512), tag + 512);
	CHECK_EQ(*word(p, 513), 0);

	first = 512;
	pages = 2;
	guest_begin(v, read_all, 0);
	x = guest_until(v, HALO_EXIT_MMIO);
	CHECK_EQ(x->addr, AT + 513 * PAGE);
	answer(v, 7);
	guest_end(v);
	CHECK_EQ(sum, tag + 512 + 7);
}

TEST(part_of_a_large_page_goes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, LARGE, MADV_HUGEPAGE);

	pages = 512;
	tag = 0x3000;
	guest(v, write_all, 0);
	CHECK(!madvise(p + 100 * PAGE, PAGE, MADV_DONTNEED));
	first = 100;
	pages = 1;
	guest(v, read_all, 0);
	CHECK_EQ(sum, 0);
	first = 99;
	pages = 3;
	guest(v, read_all, 0);
	CHECK_EQ(sum, 2 * tag + 200);
	guest(v, write_all, 0);
	CHECK_EQ(*word(p, 100), tag + 100);
}

TEST(reading_costs_no_memory)
{
	struct vm *vm = vm_new();
	u8 *p = slot_area(vm, 2 * LARGE, MADV_NOHUGEPAGE);
	u64 before;

	guest(vm->cpu[0], read_all, 0);		/* page in code and stack */
	before = resident();
	pages = 1024;
	sum = 1;
	guest(vm->cpu[0], read_all, 0);
	CHECK_EQ(sum, 0);
	CHECK(resident() < before + LARGE / 2);
	/* And what was read as zero can be written. */
	tag = 0x4000;
	guest(vm->cpu[0], write_all, 0);
	CHECK_EQ(*word(p, 1023), tag + 1023);
	CHECK(resident() > before + LARGE);
}

/*
 * MADV_FREE leaves the host's entries writable and clean. A guest's write must
 * make the page dirty all the same, or reclaim throws it away.
 */
TEST(written_after_madv_free)
{
	struct vm *vm = vm_new();
	u8 *p = slot_area(vm, 64 * PAGE, MADV_NOHUGEPAGE);
	u64 i;

	memset(p, 0x11, 64 * PAGE);
	CHECK(!madvise(p, 64 * PAGE, MADV_FREE));
	pages = 64;
	tag = 0x5000;
	guest(vm->cpu[0], write_all, 0);
	/* The first time round, the accessed bits save them. */
	for (i = 0; i < 4; i++)
		madvise(p, 64 * PAGE, MADV_PAGEOUT);
	for (i = 0; i < 64; i++)
		CHECK_EQ(*word(p, i), tag + i);
	guest(vm->cpu[0], read_all, 0);
	CHECK_EQ(sum, 64 * tag + 63 * 32);
}

/* ---- fault-around ---- */

static bool in_core(const void *p)
{
	unsigned char vec;

	CHECK(!mincore((void *)((u64)p & ~(PAGE - 1)), PAGE, &vec));
	return vec & 1;
}

static u64 faults_of(struct vcpu *v, const void *fn)
{
	u64 before = faults(v);

	guest(v, fn, 0);
	return faults(v) - before;
}

TEST(present_pages_come_in_rows)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, 256 * PAGE, MADV_NOHUGEPAGE);

	guest(v, write_all, 0);		/* page in code and stack */
	memset(p, 0, 256 * PAGE);
	pages = 256;
	tag = 0x8000;
	/* Without accessed bits they come one by one. */
	if (faults_of(v, write_all) > 255)
		ktap_skip("every page was a fault");
	CHECK_EQ(*word(p, 0), tag);
	CHECK_EQ(*word(p, 255), tag + 255);
	CHECK(!madvise(p, 256 * PAGE, MADV_DONTNEED));
	memset(p, 0, 256 * PAGE);
	CHECK(faults_of(v, write_all) < 256 / 16 + 8);
	CHECK_EQ(*word(p, 0), tag);
	CHECK_EQ(*word(p, 255), tag + 255);
}

/* What the host has not there stays away, in a row with what it has. */
TEST(rows_take_no_memory)
{
	struct vm *vm = vm_new();
	u8 *p = slot_area(vm, 64 * PAGE, MADV_NOHUGEPAGE);
	u64 i;

	for (i = 0; i < 64; i++)
		if (i % 16 < 2 || i % 5 == 0)
			*word(p, i) = i;
	for (first = 0; first < 64; first += 16) {
		pages = 2;
		tag = 0x9000;
		guest(vm->cpu[0], write_all, 0);
	}
	for (i = 0; i < 64; i++)
		CHECK_EQ(in_core(word(p, i)), i % 16 < 2 || i % 5 == 0);
	/* Holes are memory nevertheless, and what is there is what was there. */
	first = 0;
	pages = 64;
	guest(vm->cpu[0], read_all, 0);
	for (i = 0; i < 64; i++)
		sum -= i % 16 < 2 ? tag + i : i % 5 == 0 ? i : 0;
	CHECK_EQ(sum, 0);
}

/* Five pages, on no border: what lies around them in the host is not the guest's. */
TEST(rows_end_at_the_slot)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, 64 * PAGE, MADV_NOHUGEPAGE);
	struct halo_exit *x;
	u64 i;

	memset(p, 0x11, 64 * PAGE);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	CHECK(!slot_set(vm, 2, 0, AT + 19 * PAGE, 5 * PAGE, p + 37 * PAGE));
	first = 19;
	pages = 5;
	tag = 0xa000;
	guest(v, write_all, 0);
	for (i = 0; i < 64; i++)
		CHECK_EQ(*word(p, i), i < 37 || i >= 42 ? 0x1111111111111111 : tag + i - 18);
	for (i = 18; i <= 24; i += 6) {
		first = i;
		pages = 1;
		guest_begin(v, read_all, 0);
		x = guest_until(v, HALO_EXIT_MMIO);
		CHECK_EQ(x->addr, AT + i * PAGE);
		answer(v, 7);
		guest_end(v);
		CHECK_EQ(sum, 7);
	}
}

/* The neighbours have no more rights than their slot and the host give. */
TEST(rows_of_a_read_only_slot)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, 16 * PAGE, MADV_NOHUGEPAGE);
	u64 i;

	memset(p, 0x11, 16 * PAGE);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	CHECK(!slot_set(vm, 2, HALO_MEM_READONLY, AT, 16 * PAGE, p));
	pages = 16;
	guest(v, read_all, 0);
	CHECK_EQ(sum, 16 * 0x1111111111111111ull);
	guest_begin(v, write_all, 0);
	for (i = 0; i < 16; i++) {
		CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, AT + i * PAGE);
		answer(v, 0);
	}
	guest_end(v);
	CHECK_EQ(*word(p, 15), 0x1111111111111111);
}

TEST(rows_keep_copy_on_write)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, 64 * PAGE, MADV_NOHUGEPAGE);
	int status, go[2];
	pid_t pid;
	u64 i;
	char c;

	memset(p, 0x11, 64 * PAGE);
	pages = 64;
	guest(v, read_all, 0);
	CHECK(!pipe(go));
	pid = fork();
	if (!pid) {
		CHECK_EQ(read(go[0], &c, 1), 1);
		for (i = 0; i < 64; i++)
			if (*word(p, i) != 0x1111111111111111)
				_exit(1);
		_exit(0);
	}
	/* In rows as they are now: shared. The writes must each have a copy. */
	guest(v, read_all, 0);
	CHECK_EQ(sum, 64 * 0x1111111111111111ull);
	tag = 0xb000;
	guest(v, write_all, 0);
	CHECK_EQ(write(go[1], "x", 1), 1);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(*word(p, 63), tag + 63);
}

/*
 * MADV_FREE has made all pages clean. What the guest writes is kept, what only stands
 * in a row with it is not: it would be if it had been made dirty.
 */
TEST(rows_leave_clean_pages_clean)
{
	struct vm *vm = vm_new();
	u8 *p = slot_area(vm, 64 * PAGE, MADV_NOHUGEPAGE);
	u64 i, kept = 0;

	memset(p, 0x11, 64 * PAGE);
	CHECK(!madvise(p, 64 * PAGE, MADV_FREE));
	for (first = 0; first < 64; first += 16) {
		pages = 2;
		tag = 0xc000;
		guest(vm->cpu[0], write_all, 0);
	}
	for (i = 0; i < 4; i++)
		madvise(p, 64 * PAGE, MADV_PAGEOUT);
	for (i = 0; i < 64; i++) {
		if (i % 16 < 2)
			CHECK_EQ(*word(p, i), tag + i);
		else if (in_core(word(p, i)))
			kept++;
	}
	if (kept == 56)
		ktap_skip("the host keeps what MADV_FREE gave it");
	CHECK_EQ(kept, 0);
}

/* Shared memory and a private mapping of a file: the guest's writes go where they must. */
TEST(rows_of_files)
{
	struct vm *vm = vm_new();
	char name[] = "/tmp/memory.XXXXXX";
	int fd = mkstemp(name), mem = memfd_create("memory", 0);
	u8 *p, *q;
	u64 i;

	CHECK(fd >= 0 && mem >= 0);
	unlink(name);
	CHECK(!ftruncate(fd, 32 * PAGE) && !ftruncate(mem, 32 * PAGE));
	p = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	q = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED && q != MAP_FAILED);
	memset(p, 0x11, 32 * PAGE);
	CHECK(!slot_set(vm, 2, 0, AT, 32 * PAGE, p));
	CHECK(!slot_set(vm, 3, 0, AT + 32 * PAGE, 32 * PAGE, q));
	for (i = 0; i < 32; i++)
		sum += *(volatile u64 *)word(q, i);
	pages = 64;
	guest(vm->cpu[0], read_all, 0);
	CHECK_EQ(sum, 32 * 0x1111111111111111ull);
	tag = 0xd000;
	guest(vm->cpu[0], write_all, 0);
	for (i = 0; i < 32; i++) {
		u64 in_file, in_mem;

		CHECK_EQ(pread(fd, &in_file, 8, i * PAGE), 8);
		CHECK_EQ(pread(mem, &in_mem, 8, i * PAGE), 8);
		CHECK_EQ(in_file, 0);
		CHECK_EQ(in_mem, tag + i);
		CHECK_EQ(*word(q, i), tag + 32 + i);
	}
}

/* ---- while a fault sleeps ---- */

static void *reader(void *arg)
{
	struct vcpu *v = arg;

	step(v);
	return NULL;
}

/* Faults on @p wait until they are answered through the descriptor. */
static int faults_wait(void *p, u64 bytes)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (u64)p, bytes }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		ktap_skip("userfaultfd: %s", strerror(errno));
	CHECK(!ioctl(fd, UFFDIO_API, &api));
	CHECK(!ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

static void fault_comes(int fd, void *p)
{
	struct uffd_msg msg;

	CHECK_EQ(read(fd, &msg, sizeof(msg)), sizeof(msg));
	CHECK_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	CHECK_EQ(msg.arg.pagefault.address & ~(PAGE - 1), (u64)p);
}

static void fault_goes(int fd, void *p, void *content)
{
	struct uffdio_copy copy = { .dst = (u64)p, .src = (u64)content, .len = PAGE };

	CHECK(!ioctl(fd, UFFDIO_COPY, &copy));
}

/* The guest waits for a page of a slot that is deleted meanwhile. */
TEST(slot_goes_while_a_fault_sleeps)
{
	static u64 content[PAGE / 8] __attribute__((aligned(PAGE)));
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, PAGE, MADV_NOHUGEPAGE);
	int fd = faults_wait(p, PAGE);
	pthread_t t;

	content[0] = 0x6666;
	pages = 1;
	guest_begin(v, read_all, 0);
	CHECK(!pthread_create(&t, NULL, reader, v));
	fault_comes(fd, p);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));	/* does not wait for the fault */
	fault_goes(fd, p, content);
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(v->x.type, HALO_EXIT_MMIO);
	CHECK_EQ(v->x.addr, AT);
	answer(v, 0x7777);
	guest_end(v);
	CHECK_EQ(sum, 0x7777);
}

/* ... of a slot that another mapping takes the place of. */
TEST(slot_changes_while_a_fault_sleeps)
{
	static u64 content[PAGE / 8] __attribute__((aligned(PAGE)));
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 *p = slot_area(vm, PAGE, MADV_NOHUGEPAGE);
	int fd = faults_wait(p, PAGE);
	pthread_t t;

	content[0] = 0x6666;
	pages = 1;
	guest_begin(v, read_all, 0);
	CHECK(!pthread_create(&t, NULL, reader, v));
	fault_comes(fd, p);
	CHECK(!slot_set(vm, 2, 0, 0, 0, NULL));
	memset(slot_area(vm, PAGE, MADV_NOHUGEPAGE), 0x11, PAGE);
	fault_goes(fd, p, content);
	CHECK(!pthread_join(t, NULL));
	CHECK_EQ(v->x.type, HALO_EXIT_PIO);
	CHECK_EQ(sum, 0x1111111111111111);
}

/* A fault that nobody answers ends with its process. */
TEST(killed_while_a_fault_sleeps)
{
	int status, up[2];
	pid_t pid;
	char c;

	CHECK(!pipe(up));
	pid = fork();
	if (!pid) {
		struct vm *vm = vm_new();
		u8 *p = slot_area(vm, PAGE, MADV_NOHUGEPAGE);
		int fd = faults_wait(p, PAGE);
		pthread_t t;

		pages = 1;
		guest_begin(vm->cpu[0], read_all, 0);
		CHECK(!pthread_create(&t, NULL, reader, vm->cpu[0]));
		fault_comes(fd, p);
		CHECK_EQ(write(up[1], "x", 1), 1);
		pause();
		_exit(1);
	}
	close(up[1]);
	if (read(up[0], &c, 1) == 1)
		CHECK(!kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == KTAP_SKIP)
		ktap_skip("userfaultfd");
	CHECK(WIFSIGNALED(status));
}

/* ---- all at once ---- */

#define COUNTERS	1024ull

static void *runner(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		step(v);
		if (v->x.type == HALO_EXIT_PIO)
			return NULL;
		/* A page that could not be had just then: try again. */
		if (v->x.type != HALO_EXIT_MEMORY)
			ktap_fail(__FILE__, __LINE__, "exit type %u", v->x.type);
		answer_as(v, HALO_ACTION_RETRY, 0, -1);
	}
}

static void child_scribbles(u8 *p)
{
	int status;
	pid_t pid = fork();
	u64 i;

	CHECK(pid >= 0);
	if (!pid) {
		for (i = 0; i < COUNTERS; i += 7)
			*word(p, i) = ~0ull;
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static void disturb(u8 *p, u32 n)
{
	u64 off = n * 37 % COUNTERS, len = 1 + n * 11 % 64;
	u8 *at = p + off * PAGE;
	u64 bytes = (off + len > COUNTERS ? COUNTERS - off : len) * PAGE;

	switch (n % 8) {
	case 0:
		CHECK(!mprotect(at, bytes, PROT_READ));
		CHECK(!mprotect(at, bytes, PROT_READ | PROT_WRITE));
		break;
	case 1:
		if (n % 32 == 1)
			child_scribbles(p);
		break;
	case 2:
		madvise(p + n / 8 % 2 * LARGE, LARGE, MADV_COLLAPSE);
		break;
	case 3:
		madvise(at, bytes, MADV_PAGEOUT);
		break;
	case 4:
		madvise(at, bytes, MADV_COLD);
		break;
	case 5:
		/* Splits what COLLAPSE made. */
		CHECK(!mprotect(at, PAGE, PROT_READ));
		CHECK(!mprotect(at, PAGE, PROT_READ | PROT_WRITE));
		break;
	case 6:
		madvise(p, COUNTERS * PAGE, n & 16 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		break;
	case 7:
		/* The host adds, too: beside the guest's word, in the same page. */
		__atomic_fetch_add(&word(p, off)[1], 1, __ATOMIC_RELAXED);
		break;
	}
	usleep(n % 5 * 50);
}

TEST_SECONDS(counters_stay_exact, 120)
{
	struct vm *vm = vm_new();
	u8 *p = slot_area(vm, COUNTERS * PAGE, MADV_HUGEPAGE);
	u64 i, host = 0, before;
	pthread_t t;

	pages = COUNTERS;
	guest_begin(vm->cpu[0], count_all, 0);
	CHECK(!pthread_create(&t, NULL, runner, vm->cpu[0]));
	for (i = 0; i < 600; i++) {
		disturb(p, i);
		host += i % 8 == 7;
	}
	before = rounds;
	for (i = 0; i < 20000 && rounds < before + 2; i++)
		usleep(1000);
	stop = 1;
	CHECK(!pthread_join(t, NULL));
	CHECK(rounds >= before + 2);
	for (i = 0; i < COUNTERS; i++) {
		CHECK_EQ(*word(p, i), rounds);
		host -= word(p, i)[1];
	}
	CHECK_EQ(host, 0);
}
