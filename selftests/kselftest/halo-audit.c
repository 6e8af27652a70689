// SPDX-License-Identifier: GPL-2.0
/*
 * halo-audit: what the host had before guests ran, it has after.
 *
 *	halo-audit dump FILE		every pCPU's state into FILE
 *	halo-audit compare FILE FILE	what differs, 1 if anything does
 *	halo-audit run COMMAND...	dump, run it, dump, compare
 *	halo-audit			brackets entries of each exit kind itself, KTAP;
 *					$HALO_ENTRIES of each, 10,000 if that is not set
 *
 * On each CPU: MSRs by msr.ko, GDT, IDT, LDT and task registers, segment
 * registers and bases, XCR0, and what a process finds in its vector registers.
 * MSRs that count or belong to the running task are left out by name.
 */
#include <asm/prctl.h>
#include <asm/ldt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include "hvm.h"

#define MAX_ITEMS	4096

struct item {
	char name[32];
	u64 value;
};

static struct item item[2][MAX_ITEMS];
static u32 items[2];

static void add(u32 side, u64 value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void add(u32 side, u64 value, const char *fmt, ...)
{
	va_list ap;

	if (items[side] == MAX_ITEMS)
		abort();
	va_start(ap, fmt);
	vsnprintf(item[side][items[side]].name, sizeof(item[0][0].name), fmt, ap);
	va_end(ap);
	item[side][items[side]++].value = value;
}

/* Ranges that are looked at; what a CPU does not have is noted as such. */
static const struct {
	u32 from, to;
} ranges[] = {
	{ 0x1b, 0x1b }, { 0x3a, 0x3a }, { 0x3b, 0x3b }, { 0x48, 0x48 }, { 0x8b, 0x8b },
	{ 0xfe, 0xfe }, { 0x10a, 0x10a }, { 0x122, 0x123 }, { 0x174, 0x176 }, { 0x179, 0x17a },
	{ 0x1a0, 0x1a0 }, { 0x1c4, 0x1c5 }, { 0x1d9, 0x1d9 }, { 0x200, 0x20f }, { 0x250, 0x250 },
	{ 0x258, 0x259 }, { 0x268, 0x26f }, { 0x277, 0x277 }, { 0x2ff, 0x2ff },
	{ 0x480, 0x491 }, { 0x6a0, 0x6a8 }, { 0x802, 0x803 }, { 0x80d, 0x80d }, { 0xda0, 0xda0 },
	{ 0xc0000080, 0xc0000084 }, { 0xc0000101, 0xc0000101 }, { 0xc0000103, 0xc0000104 },
	{ 0xc0010010, 0xc0010010 }, { 0xc0010015, 0xc001001f }, { 0xc0010112, 0xc0010114 },
	{ 0xc0010117, 0xc0010117 }, { 0xc001011f, 0xc001011f }, { 0xc0010140, 0xc0010141 },
	{ 0xc0011020, 0xc0011030 },
};

static void dump_msrs(u32 side, int cpu)
{
	char path[32];
	u64 value;
	u32 i, m;
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		perror(path);
		exit(KTAP_FAIL);
	}
	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (m = ranges[i].from; m <= ranges[i].to; m++) {
			if (pread(fd, &value, 8, m) != 8)
				value = 0xdeaddeaddeaddead;	/* #GP */
			add(side, value, "cpu%d msr %#x", cpu, m);
		}
	}
	close(fd);
}

struct __attribute__((packed)) table {
	u16 limit;
	u64 base;
};

static void dump_tables(u32 side, int cpu)
{
	struct table t = {};
	u64 v = 0;
	u16 s;

	asm volatile("sgdt %0" : "=m"(t));
	add(side, t.base, "cpu%d gdt base", cpu);
	add(side, t.limit, "cpu%d gdt limit", cpu);
	asm volatile("sidt %0" : "=m"(t));
	add(side, t.base, "cpu%d idt base", cpu);
	add(side, t.limit, "cpu%d idt limit", cpu);
	asm volatile("sldt %0" : "=r"(v));
	add(side, v, "cpu%d ldt", cpu);
	v = 0;
	asm volatile("str %0" : "=r"(v));
	add(side, v, "cpu%d tr", cpu);
	v = 0;
	asm volatile("smsw %0" : "=r"(v));
	add(side, v & ~CR0_TS, "cpu%d cr0", cpu);
#define SEG(name)							\
	do {								\
		asm volatile("mov %%" #name ", %0" : "=r"(s));		\
		add(side, s, "cpu%d " #name, cpu);			\
	} while (0)
	SEG(cs);
	SEG(ss);
	SEG(ds);
	SEG(es);
	SEG(fs);
	SEG(gs);
	syscall(SYS_arch_prctl, ARCH_GET_FS, &v);
	add(side, v, "cpu%d fs base", cpu);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &v);
	add(side, v, "cpu%d gs base", cpu);
}

static void dump_vectors(u32 side, int cpu)
{
	u32 r[4], lo, hi, mxcsr;
	u16 cw;

	cpuid(1, 0, r);
	if (r[2] & BIT(27)) {
		asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		add(side, lo | (u64)hi << 32, "cpu%d xcr0", cpu);
	}
	asm volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(cw));
	add(side, mxcsr, "cpu%d mxcsr", cpu);
	add(side, cw, "cpu%d fcw", cpu);
}

static void dump(u32 side)
{
	cpu_set_t old, one;
	int cpu;

	items[side] = 0;
	sched_getaffinity(0, sizeof(old), &old);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &old))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			continue;
		dump_msrs(side, cpu);
		dump_tables(side, cpu);
		dump_vectors(side, cpu);
	}
	sched_setaffinity(0, sizeof(old), &old);
}

/* What a VM may change for as long as it is there: AMD-V is on, and has its save area. */
static u64 of_a_vm(const char *name)
{
	const char *msr = strstr(name, "msr ");

	if (!msr)
		return 0;
	return !strcmp(msr, "msr 0xc0000080") ? BIT(12) : !strcmp(msr, "msr 0xc0010117") ? ~0ull : 0;
}

static u32 compare(bool vm)
{
	u32 i, bad = 0;

	if (items[0] != items[1]) {
		printf("# %u items, then %u\n", items[0], items[1]);
		return 1;
	}
	for (i = 0; i < items[0]; i++) {
		if (!((item[0][i].value ^ item[1][i].value) & ~(vm ? of_a_vm(item[0][i].name) : 0)))
			continue;
		printf("# %s: %#llx, then %#llx\n", item[0][i].name,
		       (unsigned long long)item[0][i].value, (unsigned long long)item[1][i].value);
		bad++;
	}
	return bad;
}

/* ---- the exit kinds ---- */

static volatile u64 rounds;

static u64 entries(void)
{
	const char *text = getenv("HALO_ENTRIES");

	return text && atoi(text) > 64 ? atoi(text) : 10000;
}

GUEST void kind_cpuid(u64 n)
{
	u32 r[4];

	while (n--)
		cpuid(0, 0, r);
}

GUEST void kind_msr(u64 n)
{
	while (n--)
		wrmsr(0xc0000080, rdmsr(0xc0000080));
}

GUEST void kind_io(u64 n)
{
	while (n--)
		outb(0x80, n);
}

GUEST void kind_mmio(u64 n)
{
	while (n--)
		*(volatile u32 *)HOLE = n;
}

static void end_of_interrupt(struct g_frame *f)
{
	rounds++;
	lapic_write(0xb0, 0);
}

GUEST void kind_hlt(u64 n)
{
	g_handler[0x45] = end_of_interrupt;
	lapic_write(0xf0, 0x1ff);
	sti();
	while (n--) {
		cli();
		lapic_write(0x300, 0x40045);
		asm volatile("sti; hlt");
	}
	cli();
}

GUEST void kind_exception(u64 n)
{
	while (n--)
		TRY("ud2", :);
}

GUEST void kind_npf(u64 n)
{
	while (n--)
		*(volatile u64 *)(LOW_FREE + (n & 63) * PAGE) = n;
}

/* FS and GS bases, TSC_AUX, STAR and its like: what VMLOAD and VMRUN switch. */
GUEST void kind_registers(u64 n)
{
	while (n--) {
		wrmsr(0xc0000081, n << 32);
		wrmsr(0xc0000082, n);
		wrmsr(0xc0000084, 0x47700);
		wrmsr(0x174, n);
		wrmsr(0x175, n);
		wrmsr(0x176, n);
		wrmsr(0x277, 0x0606060606060606);
		wrmsr(0xc0000102, n);
		outb(0x80, 0);
	}
}

GUEST void kind_vectors(u64 n)
{
	u32 mxcsr = 0x1f00;

	asm volatile("ldmxcsr %0; fninit" : : "m"(mxcsr));
	while (n--) {
		asm volatile("movq %0, %%xmm0; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15;"
			     "fld1" : : "r"(n));
		outb(0x80, 0);
	}
}

GUEST void kind_crs(u64 n)
{
	u64 cr0, cr4;

	asm volatile("mov %%cr0, %0; mov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
	while (n--) {
		asm volatile("mov %0, %%cr0" : : "r"(n & 1 ? cr0 ^ CR0_AM : cr0));
		asm volatile("mov %0, %%cr4" : : "r"(n & 1 ? cr4 ^ CR4_DE : cr4));
		asm volatile("mov %0, %%cr8" : : "r"(n & 15));
	}
}

/* Breakpoints that are armed and not hit, and causes that nobody took back. */
GUEST void kind_drs(u64 n)
{
	asm volatile("mov %0, %%dr0; mov %0, %%dr3; mov %1, %%dr7"
		     : : "r"(LOW_FREE), "r"(0x4c2ull));
	while (n--) {
		asm volatile("mov %0, %%dr6" : : "r"(0xffff4fffull));
		outb(0x80, 0);
	}
}

static void count_step(struct g_frame *f)
{
	rounds++;
}

GUEST void kind_steps(u64 n)
{
	g_handler[1] = count_step;
	asm volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
	while (n--)
		nop();
	asm volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
}

GUEST void kind_xcr0(u64 n)
{
	u32 r[4];
	u64 cr4;

	cpuid(1, 0, r);
	if (!(r[2] & BIT(26)))
		return;
	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	asm volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
	while (n--)
		asm volatile("xsetbv" : : "a"(n & 1 ? 3 : 1), "d"(0), "c"(0));
}

GUEST void kind_hypercall(u64 n)
{
	while (n--)
		asm volatile("vmcall" : : "a"(0x77777777ull) : "memory");
}

GUEST void kind_wbinvd(u64 n)
{
	while (n--)
		asm volatile("wbinvd" : : : "memory");
}

GUEST void kind_nmi(u64 n)
{
	g_handler[2] = count_step;
	lapic_write(0xf0, 0x1ff);
	lapic_write(0x310, 0);
	while (n--) {
		lapic_write(0x300, 0x4400);
		nop();
	}
}

GUEST void kind_window(u64 n)
{
	g_handler[0x45] = end_of_interrupt;
	lapic_write(0xf0, 0x1ff);
	while (n--) {
		lapic_write(0x300, 0x40045);
		asm volatile("sti; nop; nop; cli");
	}
}

/* The host's timer, while the guest spins. */
GUEST void kind_timer(u64 n)
{
	u64 last;

	g_handler[0x45] = end_of_interrupt;
	lapic_write(0xf0, 0x1ff);
	lapic_write(0x3e0, 0xb);
	lapic_write(0x320, 0x45);
	sti();
	while (n--) {
		last = rounds;
		lapic_write(0x380, 1000);
		while (rounds == last)
			nop();
	}
	cli();
}

/* To the function's return, over the exits that it makes. */
static void guest_through(struct vcpu *v, const void *fn, u64 n)
{
	guest_begin(v, fn, n);
	while (step(v)->type != HALO_EXIT_PIO || v->x.addr != PORT_DONE) {
		CHECK(v->x.type == HALO_EXIT_PIO || v->x.type == HALO_EXIT_MMIO);
		CHECK(v->x.addr != PORT_DEAD);
		answer(v, 0);
	}
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
}

static void bracket(const void *fn, u64 n)
{
	struct halo_vcpu_stats st = { .size = sizeof(st) };
	struct vm *vm;
	struct vcpu *v;

	dump(0);
	vm = vm_new();
	v = vm->cpu[0];
	guest_through(v, fn, n);
	/* While the VM is there, too; then without it. */
	dump(1);
	CHECK_EQ(compare(true), 0);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATS, &st));
	vm_free(vm);
	dump(1);
	CHECK_EQ(compare(false), 0);
	ktap_note("%llu rounds, %llu entries", (unsigned long long)n,
		  (unsigned long long)st.entries);
}

#define KIND(name, fn, n) TEST_SECONDS(name, 120) { bracket(fn, n); }

KIND(cpuid_exits, kind_cpuid, entries())
KIND(msr_exits, kind_msr, entries() / 2)
KIND(io_exits, kind_io, entries())
KIND(mmio_exits, kind_mmio, entries())
KIND(hlt_and_interrupts, kind_hlt, entries() / 2)
KIND(interrupt_windows, kind_window, entries())
KIND(host_timer, kind_timer, entries())
KIND(nmis, kind_nmi, entries())
KIND(exceptions, kind_exception, entries())
KIND(single_steps, kind_steps, entries() / 2)
KIND(control_registers, kind_crs, entries())
KIND(debug_registers, kind_drs, entries())
KIND(xcr0, kind_xcr0, entries())
KIND(hypercalls, kind_hypercall, entries())
KIND(wbinvd, kind_wbinvd, entries())
KIND(switched_registers, kind_registers, entries() / 2)
KIND(vector_registers, kind_vectors, entries())

TEST_SECONDS(second_stage_faults, 120)
{
	struct vm *vm;
	u32 i;

	dump(0);
	vm = vm_new();
	for (i = 0; i < entries() / 64; i++) {
		guest(vm->cpu[0], kind_npf, 64);
		CHECK(!madvise(vm->low + LOW_FREE, 64 * PAGE, MADV_DONTNEED));
	}
	vm_free(vm);
	dump(1);
	CHECK_EQ(compare(false), 0);
}

/* ---- what a process has while a vCPU runs in it ---- */

TEST(segments_bases_and_ldt_of_the_caller)
{
	struct user_desc d = { .entry_number = 0, .base_addr = 0x1000, .limit = 0xfffff,
			       .seg_32bit = 1, .limit_in_pages = 1, .useable = 1 };
	struct vm *vm = vm_new();
	u64 gs = 0;
	u32 fs_sel = 7, i;
	u16 s;

	CHECK_EQ(syscall(SYS_modify_ldt, 1, &d, sizeof(d)), 0);
	asm volatile("mov %w0, %%ds; mov %w0, %%es" : : "r"(fs_sel));
	CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x123456789000), 0);
	for (i = 0; i < 200; i++)
		guest(vm->cpu[0], kind_cpuid, 10);
	asm volatile("mov %%ds, %0" : "=r"(s));
	CHECK_EQ(s, 7);
	asm volatile("mov %%es, %0" : "=r"(s));
	CHECK_EQ(s, 7);
	CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs), 0);
	CHECK_EQ(gs, 0x123456789000);
}

/* A GS selector out of the LDT makes the kernel's reload interesting. */
TEST(gs_from_the_ldt)
{
	struct user_desc d = { .entry_number = 1, .base_addr = 0x2000, .limit = 0xfffff,
			       .seg_32bit = 1, .limit_in_pages = 1, .useable = 1 };
	struct vm *vm = vm_new();
	u32 i, sel = 1 << 3 | 7;
	u16 s;

	CHECK_EQ(syscall(SYS_modify_ldt, 1, &d, sizeof(d)), 0);
	asm volatile("mov %w0, %%gs" : : "r"(sel));
	for (i = 0; i < 200; i++)
		guest(vm->cpu[0], kind_cpuid, 10);
	asm volatile("mov %%gs, %0" : "=r"(s));
	CHECK_EQ(s, sel);
}

/* A traced process with breakpoints of its own, on the CPU that runs guests. */
TEST(debug_registers_of_a_traced_vmm)
{
	static const size_t off = offsetof(struct user, u_debugreg);
	int status, i, hits = 0;
	pid_t pid = fork();
	struct vm *vm;

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		vm = vm_new();
		for (i = 0; i < 20; i++) {
			guest_through(vm->cpu[0], i & 1 ? kind_drs : kind_cpuid, 50);
			rounds = i;
		}
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSTOPPED(status));
	/* Writes to "rounds", of which the child makes twenty. */
	CHECK(!ptrace(PTRACE_POKEUSER, pid, off, (void *)&rounds));
	CHECK(!ptrace(PTRACE_POKEUSER, pid, off + 7 * 8, (void *)0xd0001ull));
	CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		hits++;
		CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, off, 0), (long)&rounds);
		ptrace(PTRACE_CONT, pid, 0, 0);
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK_EQ(hits, 20);
}

/* A cause that a guest left in DR6 is not that of the next #DB on its CPU. */
TEST(debug_causes_stay_in_the_guest)
{
	static const size_t off = offsetof(struct user, u_debugreg);
	cpu_set_t one;
	struct vcpu *v;
	int status;
	pid_t pid;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	CHECK(!sched_setaffinity(0, sizeof(one), &one));
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		rounds = 1;
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	v = vm_new()->cpu[0];
	guest_begin(v, kind_drs, 3);
	guest_until(v, HALO_EXIT_PIO);
	CHECK(!ptrace(PTRACE_POKEUSER, pid, off, (void *)&rounds));
	CHECK(!ptrace(PTRACE_POKEUSER, pid, off + 7 * 8, (void *)0xd0001ull));
	CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, off + 6 * 8, 0) & 0x600f, 1);
	CHECK(!kill(pid, SIGKILL));
	waitpid(pid, &status, 0);
}

int audit(int argc, char **argv);

/* Called by main() of ktap.c first: -1 is "not for us". */
int audit(int argc, char **argv)
{
	FILE *f;
	u32 side;
	int status;

	if (argc == 3 && !strcmp(argv[1], "dump")) {
		f = fopen(argv[2], "w");
		if (!f)
			return KTAP_FAIL;
		dump(0);
		fwrite(item[0], sizeof(item[0][0]), items[0], f);
		return fclose(f) ? KTAP_FAIL : 0;
	}
	if (argc == 4 && !strcmp(argv[1], "compare")) {
		for (side = 0; side < 2; side++) {
			f = fopen(argv[2 + side], "r");
			if (!f)
				return KTAP_FAIL;
			items[side] = fread(item[side], sizeof(item[0][0]), MAX_ITEMS, f);
			fclose(f);
		}
		return compare(false) ? KTAP_FAIL : 0;
	}
	if (argc > 2 && !strcmp(argv[1], "run")) {
		pid_t pid;

		dump(0);
		pid = fork();
		if (!pid) {
			execvp(argv[2], argv + 2);
			_exit(127);
		}
		waitpid(pid, &status, 0);
		dump(1);
		return compare(false) ? KTAP_FAIL : WIFEXITED(status) ? WEXITSTATUS(status) : KTAP_FAIL;
	}
	return -1;
}
