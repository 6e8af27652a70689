// SPDX-License-Identifier: GPL-2.0
/*
 * exits SIDE [ROW...]: what operations of a guest cost, on SIDE (halo or kvm).
 *
 * Prints "ROW<tab>FIGURE": ticks of the TSC for each operation, which the nested
 * machine counts in instructions; the guest's own loop is subtracted. Every row has
 * a VM of its own and the same guest code, in 64-bit mode with paging.
 *
 * A row is a line of rows[]. In-guest rows name a guest function that does its
 * operation N times; a few, which begin or end outside the guest, have a function
 * of the host.
 */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <time.h>
#include "side.h"

#define VECTOR		0x41
#define PORT_USER	0x55
#define PORT_ZONE	0x300
#define POST_RING	128	/* of 2^n the next below KVM's */
#define WARM		16	/* turns before those that are measured */
#define ROUNDS		64	/* of what is measured one by one */
#define NONE		(~0ull)	/* SIDE has no such thing */
#define RAM_BYTES	(64ull << 20)

static const struct side *side;
static u8 *low;

/* What the guest tells. */
static volatile u64 g_ticks, g_hits, g_deadline, g_late, g_spun, g_stop;
static volatile u64 g_cost[ROUNDS], g_lates[ROUNDS];
static u8 g_data[PAGE] __attribute__((aligned(4096)));

void ktap_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "exits: %s:%d: ", file, line);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* Nothing here can do without a figure. */
void ktap_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("exits: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* ------------------------------- the guest ------------------------------- */

/* The first turns fault memory in. */
#define LOOP(name, setup, op)							\
	GUEST void name(u64 n)							\
	{									\
		u64 i, from;							\
										\
		setup;								\
		for (i = 0; i < WARM; i++)					\
			op;							\
		from = rdtsc();							\
		for (i = 0; i < n; i++)						\
			op;							\
		g_ticks = rdtsc() - from;					\
	}

#define CPUID()								\
	({									\
		u32 a_ = 0, c_ = 0;						\
										\
		asm volatile("cpuid" : "+a"(a_), "+c"(c_) : : "rbx", "rdx");	\
	})
#define CALL(insn)								\
	({									\
		u64 a_ = 1;							\
										\
		asm volatile(insn : "+a"(a_) : : "memory");			\
	})

LOOP(g_empty, , asm volatile(""))
LOOP(g_cpuid, , CPUID())
LOOP(g_vmcall, , CALL("vmcall"))
LOOP(g_vmmcall, , CALL("vmmcall"))
LOOP(g_rdmsr, , rdmsr(0x3b))
LOOP(g_wrmsr, , wrmsr(0x3b, 0))
LOOP(g_rdmsr_user, , rdmsr(MSR_USER))
LOOP(g_wrmsr_user, , wrmsr(MSR_USER, 1))
LOOP(g_out1, , outb(PORT_USER, 1))
LOOP(g_out4, , outl(PORT_USER, 1))
LOOP(g_in1, , inb(PORT_USER))
LOOP(g_in4, , inl(PORT_USER))
LOOP(g_out_zone, , outb(PORT_ZONE, 1))
LOOP(g_mmio_write, , *(volatile u32 *)HOLE = 1)
LOOP(g_mmio_read, , *(volatile u32 *)HOLE)

GUEST void g_outsb(u64 n)
{
	u64 i, from = rdtsc();

	for (i = 0; i < n; i++) {
		const u8 *s = g_data;
		u64 c = sizeof(g_data);

		asm volatile("rep outsb" : "+S"(s), "+c"(c) : "d"(PORT_USER) : "memory");
	}
	g_ticks = rdtsc() - from;
}

static inline void x2apic(void)
{
	wrmsr(0x1b, LAPIC | BIT(11) | BIT(10));
	wrmsr(0x80f, 0x1ff);
}

/* LVT timer: TSC deadline */
static inline void deadline_mode(void)
{
	x2apic();
	wrmsr(0x832, VECTOR | BIT(18));
}

LOOP(g_eoi, x2apic(), wrmsr(0x80b, 0))
LOOP(g_self_ipi, x2apic(); sti(), wrmsr(0x83f, VECTOR))
LOOP(g_arm, deadline_mode(); const u64 late = rdtsc() + (1ull << 40), wrmsr(0x6e0, late))

/* Counts in steps of three instructions until *WORD is no more VALUE. */
#define COUNT_WHILE(count, word, value)						\
	asm volatile("1: incq %0\n cmpq %2, %1\n je 1b"				\
		     : "+m"(count) : "m"(word), "r"((u64)(value)) : "memory")
#define COUNT_STEP	3

/*
 * The timer, ROUNDS times, @arg >> 1 ticks ahead; bit 0: in HLT.  What somebody counts
 * meanwhile, the guest itself or, while it is halted, the host's idler, is no cost; all
 * the rest is: arming, the interrupt's way here, EOI.
 */
GUEST void g_timer(u64 arg)
{
	u64 i, seen, from, spun;

	deadline_mode();
	for (i = 0; i < ROUNDS; i++) {
		seen = g_hits;
		spun = g_spun;
		sti();
		from = rdtsc();
		g_deadline = from + (arg >> 1);
		wrmsr(0x6e0, g_deadline);
		if (!(arg & 1))
			COUNT_WHILE(g_spun, g_hits, seen);
		while (g_hits == seen)
			asm volatile("cli; cmp %0, g_hits(%%rip); jne 1f; sti; hlt; 1: sti"
				     : : "r"(seen) : "memory");
		g_cost[i] = rdtsc() - from - (g_spun - spun) * COUNT_STEP;
		g_lates[i] = g_late;
	}
}

/* Halted until told to stop; the handler rings the bell. */
GUEST void g_sleeper(void)
{
	x2apic();
	while (!g_stop)
		asm volatile("cli; cmpq $0, g_stop(%%rip); jne 1f; sti; hlt; 1: sti" : : : "memory");
}

/* Touch RAM: the step in the upper half of the argument, how often in the lower. */
GUEST void g_touch(u64 arg)
{
	volatile u8 *at = (u8 *)RAM_BASE;
	u64 i, n = (u32)arg, by = arg >> 32, from;

	*at = 1;
	at += by;
	from = rdtsc();
	for (i = 0; i < n; i++, at += by)
		*at = 1;
	g_ticks = rdtsc() - from;
}

GUEST void g_once(void)
{
	outb(PORT_DONE, 0);
}

GUEST void g_ready(void)
{
	x2apic();
	sti();
	outb(PORT_DONE, 0);
	for (;;)
		;
}

/* Handlers: as short as can be, so that they are not what is measured. */
extern const u8 g_late_handler[], g_eoi_handler[], g_out_handler[], g_bell_handler[];
asm(".pushsection .text\n"
    "g_late_handler:\n push %rax\n push %rcx\n push %rdx\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n"
    "sub g_deadline(%rip), %rax\n mov %rax, g_late(%rip)\n incq g_hits(%rip)\n"
    "jmp 1f\n"
    "g_eoi_handler:\n push %rax\n push %rcx\n push %rdx\n"
    "1:\n mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n"
    "pop %rdx\n pop %rcx\n pop %rax\n iretq\n"
    "g_out_handler:\n mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n"
    "out %al, $0x55\n iretq\n"
    "g_bell_handler:\n mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n"
    "mov $0x300, %edx\n out %al, (%dx)\n iretq\n"
    ".popsection");

/* -------------------------------- the host ------------------------------- */

static void gate(u8 vector, const void *handler)
{
	u64 at = (u64)handler, *g = (u64 *)(low + IDT64_BASE) + 2 * vector;

	g[0] = (at & 0xffff) | SEL_CODE64 << 16 | 0x8e00ull << 32 | (at >> 16 & 0xffff) << 48;
	g[1] = at >> 32;
}

static void begin(struct box *b, const void *fn, u64 arg)
{
	u64 *top = (u64 *)&g_stack[0][sizeof(g_stack[0]) - 64];

	*--top = (u64)g_exit;
	b->low = low;
	side->make(b, fn, (u64)top, arg);
}

static void until_done(struct box *b)
{
	do {
		side->go(b);
		if (b->why == STOP_OTHER || (b->why == STOP_PIO && b->at == PORT_DEAD))
			ktap_fail(__FILE__, __LINE__, "guest: exit %d %#llx; exception %llu at %#llx",
				  b->why, (unsigned long long)b->at,
				  (unsigned long long)g_exc.vector, (unsigned long long)g_exc.rip);
	} while (b->why != STOP_PIO || b->at != PORT_DONE);
}

static u64 in_guest(struct box *b, const void *fn, u64 arg)
{
	begin(b, fn, arg);
	until_done(b);
	side->free(b);
	return g_ticks;
}

static u64 empty(u64 n)
{
	struct box b = {};

	return in_guest(&b, g_empty, n);
}

static u64 loop(const void *fn, u64 n)
{
	struct box b = {};

	return (in_guest(&b, fn, n) - empty(n)) / n;
}

/* Answered before it is asked: what is left is the vCPU's own cost. */
static u64 parked(const void *fn, u64 n)
{
	struct box b = { .ring = 1024 };

	if (!side->park)
		return NONE;
	begin(&b, fn, n);
	side->park(&b, n + WARM);
	side->free(&b);
	return (g_ticks - empty(n)) / n;
}

static u64 zone(int what, u32 size, const void *fn, u64 n)
{
	bool mmio = what == POSTED_MMIO || what == DOORBELL_MMIO;
	bool bell = what == DOORBELL_PIO || what == DOORBELL_MMIO;
	struct box b = { .ring = bell ? 0 : POST_RING };
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 rung;

	CHECK(fd >= 0);
	begin(&b, fn, n);
	side->zone(&b, what, mmio ? HOLE : PORT_ZONE, size, fd);
	until_done(&b);
	side->free(&b);
	if (bell) {
		CHECK_EQ(read(fd, &rung, sizeof(rung)), sizeof(rung));
		CHECK_EQ(rung, n + WARM);
	}
	close(fd);
	return (g_ticks - empty(n)) / n;
}

static u64 posted_pio(const void *fn, u64 n) { return zone(POSTED_PIO, 1, fn, n); }
static u64 posted_mmio(const void *fn, u64 n) { return zone(POSTED_MMIO, 4, fn, n); }
static u64 bell_pio(const void *fn, u64 n) { return zone(DOORBELL_PIO, 1, fn, n); }
static u64 bell_mmio(const void *fn, u64 n) { return zone(DOORBELL_MMIO, 4, fn, n); }
/* Any size and any value: need not be decoded where the CPU tells the length. */
static u64 bell_plain(const void *fn, u64 n) { return zone(DOORBELL_MMIO, 0, fn, n); }

static u64 fault(u64 step, u64 n, int advice)
{
	u8 *all = mmap(NULL, RAM_BYTES + (2 << 20), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct box b = { .ram_bytes = RAM_BYTES };
	u64 i, t;

	CHECK(all != MAP_FAILED);
	b.ram = (u8 *)(((u64)all + (2 << 20) - 1) & ~((2ull << 20) - 1));
	madvise(b.ram, RAM_BYTES, advice);
	for (i = 0; i < RAM_BYTES; i += PAGE)
		b.ram[i] = 1;
	t = in_guest(&b, g_touch, step << 32 | n) / n;
	munmap(all, RAM_BYTES + (2 << 20));
	return t;
}

static u64 fault_4k(const void *fn, u64 n) { return fault(65536, n, MADV_NOHUGEPAGE); }
static u64 fault_row(const void *fn, u64 n) { return fault(PAGE, n, MADV_NOHUGEPAGE); }
static u64 fault_2m(const void *fn, u64 n) { return fault(2 << 20, n, MADV_HUGEPAGE); }

/* An MSI, RUN, the handler's EOI and its OUT, back here. */
static u64 msi_out(const void *fn, u64 n)
{
	struct box b = {};
	u64 i, from = 0;

	begin(&b, fn, 0);
	until_done(&b);
	for (i = 0; i < n + 16; i++) {
		if (i == 16)
			from = rdtsc();
		side->msi(&b, VECTOR);
		side->go(&b);
	}
	from = (rdtsc() - from) / n;
	CHECK_EQ(b.at, PORT_USER);
	side->free(&b);
	return from;
}

static void *vcpu_thread(void *box)
{
	until_done(box);
	return NULL;
}

/* An MSI wakes the halted vCPU, whose handler rings a doorbell that is waited for here. */
static u64 round_trip(const void *fn, u64 n)
{
	int fd = eventfd(0, 0);
	struct box b = {};
	pthread_t thread;
	u64 i, rung, from = 0;

	CHECK(fd >= 0);
	g_stop = 0;
	begin(&b, fn, 0);
	side->zone(&b, DOORBELL_PIO, PORT_ZONE, 1, fd);
	CHECK(!pthread_create(&thread, NULL, vcpu_thread, &b));
	/* Until its LAPIC is on, it takes none. */
	usleep(10000);
	for (i = 0; i < n + WARM; i++) {
		if (i == WARM)
			from = rdtsc();
		if (i == n + WARM - 1)
			g_stop = 1;
		side->msi(&b, VECTOR);
		CHECK_EQ(read(fd, &rung, sizeof(rung)), sizeof(rung));
		CHECK_EQ(rung, 1);
	}
	from = (rdtsc() - from) / n;
	pthread_join(thread, NULL);
	close(fd);
	side->free(&b);
	return from;
}

static int ascending(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* The host's own ticks fall into some rounds. */
static u64 median(volatile u64 *figures)
{
	qsort((u64 *)figures, ROUNDS, sizeof(*figures), ascending);
	return figures[ROUNDS / 2];
}

/* What the CPU does if nobody else wants it: tells how long that was. */
static void *idler(void *unused)
{
	const struct sched_param none = {};

	CHECK(!sched_setscheduler(0, SCHED_IDLE, &none));
	COUNT_WHILE(g_spun, g_stop, 0);
	return NULL;
}

/*
 * Cost: the interrupt comes in its time, none earlier, as waiting in front of the guest's
 * door would be counted; in HLT the host has something to do, and no reason to poll.
 */
static u64 timer_cost(const void *fn, u64 arg)
{
	struct box b = {};
	pthread_t thread;

	g_stop = 0;
	side->early_timer(false);
	if (arg & 1)
		CHECK(!pthread_create(&thread, NULL, idler, NULL));
	in_guest(&b, fn, arg);
	g_stop = 1;
	if (arg & 1)
		pthread_join(thread, NULL);
	side->early_timer(true);
	return median(g_cost);
}

/* Lateness: each side does what it can against it. */
static u64 timer_late(const void *fn, u64 arg)
{
	struct box b = {};

	in_guest(&b, fn, arg);
	return median(g_lates);
}

/* Time of this process only, in ticks: waits for grace periods do not count. */
static u64 cpu_ticks(void)
{
	static double per_ns;
	struct timespec t;

	if (!per_ns) {
		u64 from = rdtsc(), ns;

		clock_gettime(CLOCK_MONOTONIC, &t);
		ns = t.tv_sec * 1000000000ull + t.tv_nsec;
		while (rdtsc() - from < 4000000)
			;
		clock_gettime(CLOCK_MONOTONIC, &t);
		per_ns = (double)(rdtsc() - from) / (t.tv_sec * 1000000000ull + t.tv_nsec - ns);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (t.tv_sec * 1000000000ull + t.tv_nsec) * per_ns;
}

static u64 life(bool birth, u64 n)
{
	u64 i, from, best = ~0ull;

	for (i = 0; i < n; i++) {
		struct box b = {};
		u64 made;

		from = cpu_ticks();
		begin(&b, g_once, 0);
		until_done(&b);
		made = cpu_ticks();
		side->free(&b);
		from = birth ? made - from : cpu_ticks() - made;
		if (from < best)
			best = from;
	}
	return best;
}

static u64 create(const void *fn, u64 n) { return life(true, n); }
static u64 destroy(const void *fn, u64 n) { return life(false, n); }

static u64 mem_free(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long long kb = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "MemFree: %llu", &kb) != 1)
		;
	fclose(f);
	return kb << 10;
}

/* Bytes of kernel memory for a VM that has run: page tables too, no guest memory. */
static u64 memory(const void *fn, u64 n)
{
	static struct box box[256];
	u64 i, before = 0;

	/* What others have freed comes back in its own time. */
	sleep(3);
	for (i = 0; i < n + 4; i++) {
		if (i == 4)
			before = mem_free();
		begin(&box[i], g_once, 0);
		until_done(&box[i]);
	}
	before -= mem_free();
	while (i--)
		side->free(&box[i]);
	return before / n;
}

static const struct row {
	const char *name;
	u64 (*measure)(const void *fn, u64 n);
	const void *fn;
	u64 n;
	const void *handler;
	const void *fn_intel;	/* where it differs */
} rows[] = {
	{ "cpuid", loop, g_cpuid, 1000 },
	{ "hypercall", loop, g_vmmcall, 1000, NULL, g_vmcall },
	{ "rdmsr", loop, g_rdmsr, 1000 },
	{ "wrmsr", loop, g_wrmsr, 1000 },
	{ "rdmsr-user", loop, g_rdmsr_user, 500 },
	{ "wrmsr-user", loop, g_wrmsr_user, 500 },
	{ "out-1", loop, g_out1, 500 },
	{ "out-4", loop, g_out4, 500 },
	{ "in-1", loop, g_in1, 500 },
	{ "in-4", loop, g_in4, 500 },
	{ "out-1-parked", parked, g_out1, 500 },
	{ "out-4-parked", parked, g_out4, 500 },
	{ "in-1-parked", parked, g_in1, 500 },
	{ "in-4-parked", parked, g_in4, 500 },
	{ "out-posted", posted_pio, g_out_zone, 1024 },
	{ "doorbell-pio", bell_pio, g_out_zone, 500 },
	{ "mmio-write", loop, g_mmio_write, 500 },
	{ "mmio-read", loop, g_mmio_read, 500 },
	{ "mmio-write-parked", parked, g_mmio_write, 500 },
	{ "mmio-posted", posted_mmio, g_mmio_write, 1024 },
	{ "doorbell-mmio", bell_mmio, g_mmio_write, 500 },
	{ "doorbell-plain", bell_plain, g_mmio_write, 500 },
	{ "rep-outsb-4k", loop, g_outsb, 4 },
	{ "eoi", loop, g_eoi, 1000 },
	{ "self-ipi", loop, g_self_ipi, 500, g_eoi_handler },
	{ "deadline-arm", loop, g_arm, 500 },
	{ "tick", timer_cost, g_timer, 20000 << 1, g_late_handler },
	{ "hlt-wake", timer_cost, g_timer, 50000 << 1 | 1, g_late_handler },
	/* longer than KVM polls after a HLT */
	{ "tick-late", timer_late, g_timer, 400000 << 1, g_late_handler },
	{ "hlt-late", timer_late, g_timer, 400000 << 1 | 1, g_late_handler },
	{ "hlt-msi-doorbell", round_trip, g_sleeper, 200, g_bell_handler },
	{ "msi-eoi-out", msi_out, g_ready, 500, g_out_handler },
	{ "fault-4k", fault_4k, g_touch, 512 },
	{ "fault-4k-row", fault_row, g_touch, 2048 },
	{ "fault-2m", fault_2m, g_touch, 16 },
	{ "vm-create", create, g_once, 8 },
	{ "vm-destroy", destroy, g_once, 8 },
	{ "vm-memory", memory, g_once, 240 },
};

static bool wanted(const char *name, char **list)
{
	if (!*list)
		return true;
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct row *r;
	struct vm tables;
	u64 figure;

	if (argc < 2 || (strcmp(argv[1], "halo") && strcmp(argv[1], "kvm"))) {
		fprintf(stderr, "usage: exits halo|kvm [ROW...]\n");
		return 2;
	}
	side = argv[1][0] == 'h' ? &side_halo : &side_kvm;
	low = mmap(NULL, LOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(low != MAP_FAILED);
	tables.low = low;
	vm_tables(&tables);
	side->open();
	for (r = rows; r < rows + ARRAY_SIZE(rows); r++) {
		if (!wanted(r->name, argv + 2))
			continue;
		if (r->handler)
			gate(VECTOR, r->handler);
		figure = r->measure(r->fn_intel && cpu_is_intel() ? r->fn_intel : r->fn, r->n);
		if (figure != NONE)
			printf("%s\t%llu\n", r->name, (unsigned long long)figure);
		fflush(stdout);
	}
	return 0;
}
