// SPDX-License-Identifier: GPL-2.0
/* Exceptions: the right one, with the right error code, and loops of them. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include "hvm.h"

static volatile u64 got[16], stop;

GUEST void faults(void)
{
	got[0] = TRY("ud2", :);
	got[1] = TRY("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx", : : : "eax", "ecx", "edx");
	got[2] = TRY("movw %w0, %%ds", : : "r"(0x1234));
	got[3] = g_exc.error;
	got[4] = TRY("movq (%0), %%rax", : : "r"(0x8000000000000000) : "rax");
	got[5] = g_exc.error;
	got[6] = TRY("movb $0, (%0)", : : "r"(0x123456789000));
	got[7] = g_exc.error;
	got[8] = g_exc.cr2;
	got[9] = TRY("ltr %w0", : : "r"(0x48));
	got[10] = g_exc.error;
	got[11] = TRY("int $0x21", :);
	got[12] = TRY("movw %w0, %%ss", : : "r"(0));
	got[13] = g_exc.error;
}

TEST(vectors_and_error_codes)
{
	guest(vm_new()->cpu[0], faults, 0);
	CHECK_EQ(got[0], 6);
	CHECK_EQ(got[1], 0);
	CHECK_EQ(got[2], 13);
	CHECK_EQ(got[3], 0x1234);
	CHECK_EQ(got[4], 13);
	CHECK_EQ(got[5], 0);
	CHECK_EQ(got[6], 14);
	CHECK_EQ(got[7], 2);
	CHECK_EQ(got[8], 0x123456789000);
	CHECK_EQ(got[9], 13);
	CHECK_EQ(got[10], 0x48);
	CHECK_EQ(got[11], 0x21);
}

static void trap_count(struct g_frame *f)
{
	got[0]++;
	got[1] = f->rip;
}

GUEST void soft(void)
{
	g_handler[3] = trap_count;
	g_handler[0x31] = trap_count;
	asm volatile("int3");
	asm volatile("int $0x31");
	asm volatile("int3; int3; int $0x31");
}

TEST(software_interrupts_once_each)
{
	guest(vm_new()->cpu[0], soft, 0);
	CHECK_EQ(got[0], 5);
}

/* The page under the stack is not there on the first delivery. */
GUEST void soft_on_fresh_stack(u64 sp)
{
	asm volatile("mov %%rsp, %%rbx; mov %0, %%rsp; int $0x31; int3; ud2; mov %%rbx, %%rsp"
		     : : "r"(sp) : "rbx", "memory");
}

static void skip_ud2(struct g_frame *f)
{
	got[2]++;
	f->rip += 2;
}

TEST(delivery_faults_in_the_second_stage)
{
	struct vm *vm = vm_new();
	u32 i;

	g_handler[3] = trap_count;
	g_handler[0x31] = trap_count;
	g_handler[6] = skip_ud2;
	for (i = 0; i < 20; i++) {
		CHECK(!madvise(vm->low + LOW_FREE, 4 * PAGE, MADV_DONTNEED));
		guest(vm->cpu[0], soft_on_fresh_stack, LOW_FREE + 2 * PAGE);
	}
	CHECK_EQ(got[0], 40);
	CHECK_EQ(got[2], 20);
}

GUEST void alignment(void)
{
	static u64 a[2];

	asm volatile("pushfq; orq $0x40000, (%%rsp); popfq" : : : "cc", "memory");
	got[0] = TRY("movl (%0), %%eax", : : "r"((u8 *)a + 1) : "eax");
	got[1] = g_exc.error;
	asm volatile("pushfq; andq $~0x40000, (%%rsp); popfq" : : : "cc", "memory");
}

GUEST void alignment_user(void)
{
	u64 cr0;

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	asm volatile("mov %0, %%cr0" : : "r"(cr0 | CR0_AM));
	g_user(alignment);
}

/* Does this CPU have #AC at all? Asked of the host: TCG does not check. */
static volatile int bus;

static void on_bus(int sig)
{
	bus = 1;
	_exit(1);
}

static int host_has_ac(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		static u64 a[2];
		u32 x;

		signal(SIGBUS, on_bus);
		asm volatile("pushfq; orq $0x40000, (%%rsp); popfq; movl (%1), %0;"
			     "pushfq; andq $~0x40000, (%%rsp); popfq"
			     : "=r"(x) : "r"((u8 *)a + 1) : "cc", "memory");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

TEST(alignment_check)
{
	if (!host_has_ac())
		ktap_skip("this CPU raises no #AC, nor does it for the host");
	guest(vm_new()->cpu[0], alignment_user, 0);
	CHECK_EQ(got[0], 17);
	CHECK_EQ(got[1], 0);
}

GUEST void no_idt(void)
{
	static const u8 empty[10] __attribute__((aligned(8)));

	asm volatile("lidt %0; ud2" : : "m"(empty));
}

TEST(triple_fault_is_a_shutdown)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, no_idt, 0);
	guest_until(v, HALO_EXIT_SHUTDOWN);
	/* The chipset resets the CPU. */
	answer(v, 0);
	v->s->flags = HALO_RUN_IMMEDIATE_EXIT;
	CHECK_EQ(run(v), -EINTR);
	v->s->flags = 0;
}

TEST(reset_after_shutdown_is_the_reset_state)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	static u8 rom[65536] __attribute__((aligned(4096)));

	guest_begin(v, no_idt, 0);
	guest_until(v, HALO_EXIT_SHUTDOWN);
	answer(v, 0);
	memcpy(rom + 0xfff0, "\xe6\xf4\xf4", 3);
	CHECK(!slot_set(vm, 2, HALO_MEM_READONLY, 0xffff0000, 65536, rom));
	step(v);
	CHECK_EQ(v->x.type, HALO_EXIT_PIO);
	CHECK_EQ(v->x.rip, 0xfff0);
	CHECK_EQ(v->s->seg[HALO_SEG_CS].base, 0xffff0000);
	CHECK_EQ(v->s->cr0 & (CR0_PE | CR0_PG), 0);
	CHECK_EQ(v->s->efer, 0);
}

TEST(shutdown_ends_the_vcpu_for_good)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, no_idt, 0);
	guest_until(v, HALO_EXIT_SHUTDOWN);
	answer_as(v, HALO_ACTION_SHUTDOWN, 0, -1);
	CHECK_EQ(settle(v), -ESHUTDOWN);
	CHECK_EQ(settle(v), -ESHUTDOWN);
	/* Its registers can still be looked at. */
	state_get(v);
}

GUEST void bad_stack(void)
{
	u64 *gate = (u64 *)(IDT64_BASE + 8 * 16);

	/* #DF on its own stack; #PF has none. */
	gate[0] |= 1ull << 32;
	got[0] = 0;
	asm volatile("movq $1f, g_fixup; mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax\n"
		     "1: mov %%rbx, %%rsp"
		     : : "r"(0x123456789000) : "rbx", "memory");
	got[0] = g_exc.vector;
	got[1] = g_exc.error;
}

TEST(double_fault)
{
	guest(vm_new()->cpu[0], bad_stack, 0);
	CHECK_EQ(got[0], 8);
	CHECK_EQ(got[1], 0);
}

TEST(injected_exceptions_combine)
{
	struct vcpu *v = vm_new()->cpu[0];

	/* #GP is in delivery when the same instruction gives #PF again. */
	guest_begin(v, faults, 0);
	v->s->event_type = HALO_EVENT_EXCEPTION;
	v->s->event_vector = 6;
	v->s->event_has_error = 0;
	g_fixup = (u64)g_exit;
	v->s->commit = HALO_STATE_EVENTS;
	step(v);
	CHECK_EQ(v->x.addr, PORT_DONE);
	CHECK_EQ(g_exc.vector, 6);
	CHECK_EQ(g_exc.rip, (u64)faults);
}

/* ---- guests that never come to rest ---- */

static volatile int in_time;

static void on_alarm(int sig)
{
	in_time = 1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* RUN is left for a signal, whatever the guest does. */
static void loops(struct vcpu *v)
{
	/* Again and again: one that comes between two RUNs ends none. */
	const struct itimerval it = { { .tv_usec = 200000 }, { .tv_usec = 200000 } };
	struct sigaction sa = { .sa_handler = on_alarm };
	double began, took;
	int err;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	began = now();
	do
		err = run(v);
	while (err == -EINTR && !in_time);
	took = now() - began;
	if (err != -EINTR)
		ktap_fail(__FILE__, __LINE__, "RUN: %s, exit type %u", strerror(-err),
			  ((struct halo_exit *)((u8 *)v->exits + v->exits->entries_offset))->type);
	CHECK(took < 2 * ktap_slow());
}

/* The handler is the faulting instruction: an endless #UD. */
GUEST void ud_loop(void)
{
	u64 *gate = (u64 *)(IDT64_BASE + 6 * 16), at;

	asm volatile("lea 1f(%%rip), %0; jmp 2f\n1: ud2\n2:" : "=r"(at));
	gate[0] = (at & 0xffff) | SEL_CODE64 << 16 | 0x8eull << 40 | (at >> 16 & 0xffff) << 48 |
		  1ull << 32;	/* always on the same stack */
	gate[1] = at >> 32;
	asm volatile("ud2");
}

TEST(endless_ud)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, ud_loop, 0);
	loops(v);
}

/*
 * A breakpoint on the first instruction of the handler of #DB: CVE-2015-8104.
 */
GUEST void db_loop(void)
{
	u64 *gate = (u64 *)(IDT64_BASE + 1 * 16), at = LOW_CODE;

	*(volatile u16 *)at = 0xcf48;	/* IRETQ */
	gate[0] = (at & 0xffff) | SEL_CODE64 << 16 | 0x8eull << 40 | (at >> 16 & 0xffff) << 48 |
		  1ull << 32;	/* always on the same stack */
	gate[1] = at >> 32;
	asm volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(at), "r"(0x402ull));
	asm volatile("int $1");
}

TEST(endless_db)
{
	struct vcpu *v;

	if (cpu_is_tcg())
		ktap_skip("QEMU's VMRUN does not arm the breakpoints of DR7");
	v = vm_new()->cpu[0];
	guest_begin(v, db_loop, 0);
	loops(v);
}

/* The same with a data breakpoint on the stack that the delivery writes. */
GUEST void db_data_loop(void)
{
	u64 *gate = (u64 *)(IDT64_BASE + 1 * 16), at;

	*(volatile u16 *)LOW_CODE = 0xcf48;
	gate[0] = LOW_CODE | SEL_CODE64 << 16 | 0x8eull << 40 | 1ull << 32;
	gate[1] = 0;
	at = (u64)&g_stack[6][sizeof(g_stack[6])] - 8;
	asm volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(at), "r"(0xb0402ull));
	for (;;)
		asm volatile("movb $1, (%0)" : : "r"(at) : "memory");
}

TEST(endless_db_by_data)
{
	struct vcpu *v;

	/*
	 * Its watchpoint code takes the lock that interrupt delivery holds: the
	 * assertion of qemu_mutex_lock_iothread_impl() ends the emulator itself.
	 */
	if (cpu_is_tcg())
		ktap_skip("QEMU TCG aborts when an event is pushed to a watched address");
	v = vm_new()->cpu[0];
	guest_begin(v, db_data_loop, 0);
	loops(v);
}

/* #PF whose IDT entry is fine but whose handler's page is away: loops on #PF. */
GUEST void pf_loop(void)
{
	u64 *gate = (u64 *)(IDT64_BASE + 14 * 16), at = 0x7000000000;

	gate[0] = (at & 0xffff) | SEL_CODE64 << 16 | 0x8eull << 40 | (at >> 16 & 0xffff) << 48 |
		  1ull << 32;
	gate[1] = at >> 32;
	*(volatile u8 *)0x123456789000 = 1;
}

TEST(endless_pf)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, pf_loop, 0);
	loops(v);
}

GUEST void spin(void)
{
	for (;;)
		nop();
}

GUEST void spin_off(void)
{
	cli();
	for (;;)
		nop();
}

TEST(endless_loop)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, spin, 0);
	loops(v);
}

TEST(endless_loop_with_interrupts_off)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, spin_off, 0);
	loops(v);
}

GUEST void cpuid_loop(void)
{
	u32 r[4];

	for (;;)
		cpuid(0, 0, r);
}

TEST(endless_cpuid)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, cpuid_loop, 0);
	loops(v);
}

/* All of them die by SIGKILL, too. */
TEST_SECONDS(sigkill_ends_any_loop, 60)
{
	static const void *const fn[] = { ud_loop, db_loop, pf_loop, spin, spin_off, cpuid_loop };
	double began;
	int status;
	pid_t pid;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(fn); i++) {
		if (fn[i] == db_loop && cpu_is_tcg())
			continue;	/* see endless_db: there it does not loop */
		pid = fork();
		if (!pid) {
			struct vcpu *v = vm_new()->cpu[0];

			guest_begin(v, fn[i], 0);
			/* Tells what came instead. */
			guest_end(v);
			_exit(1);
		}
		usleep(100000);
		began = now();
		CHECK(!kill(pid, SIGKILL));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == KTAP_SKIP)
			_exit(KTAP_SKIP);	/* it has said why */
		CHECK(WIFSIGNALED(status));
		CHECK(now() - began < 2 * ktap_slow());
	}
}

/* ---- single steps ---- */

static volatile u64 trail[64];
static volatile u32 steps;

static void on_db(struct g_frame *f)
{
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	if (steps < ARRAY_SIZE(trail))
		trail[steps] = f->rip;
	if (!(dr6 & BIT(14)))
		got[15]++;
	steps++;
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
	if (steps == 60)
		f->rflags &= ~FL_TF;
}

extern const u8 ss_mark[];
asm(".pushsection .rodata\nss_mark:\n"
    ".quad s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, 0\n.popsection");

GUEST void stepped(void)
{
	g_handler[1] = on_db;
	asm volatile("push %%rbx; pushfq; orq $0x100, (%%rsp); popfq\n"
		     "nop\n"
		     "s1: xor %%eax, %%eax\n"
		     "s2: cpuid\n"
		     "s3: mov $0x1b, %%ecx\n"
		     "s4: rdmsr\n"
		     "s5: outb %%al, $0x80\n"
		     "s6: inb $0x80, %%al\n"
		     "s7: movl (%[hole]), %%eax\n"
		     "s8: mov %%cr0, %%rax\n"
		     "s9: mov %%rax, %%cr0\n"
		     "s10: mov %%dr7, %%rax\n"
		     "s11: nop\n"
		     "s12: pushfq; andq $~0x100, (%%rsp); popfq; pop %%rbx"
		     : : [hole]"S"(HOLE) : "rax", "rcx", "rdx", "memory", "cc");
}

TEST(one_db_for_each_emulated_instruction)
{
	const u64 *mark = (const u64 *)ss_mark;
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	guest_begin(v, stepped, 0);
	for (;;) {
		step(v);
		if (v->x.type == HALO_EXIT_PIO && v->x.addr != 0x80)
			break;
		CHECK(v->x.type == HALO_EXIT_PIO || v->x.type == HALO_EXIT_MMIO);
		answer(v, 0);
	}
	CHECK_EQ(v->x.addr, PORT_DONE);
	for (i = 0; mark[i]; i++)
		if (trail[i] != mark[i])
			ktap_fail(__FILE__, __LINE__, "step %u is at %#llx, not %#llx", i,
				  (unsigned long long)trail[i], (unsigned long long)mark[i]);
	/* PUSHF, AND and POPF itself: TF is off when POPF is done. */
	CHECK(steps == i + 2 || steps == i + 3);
	CHECK_EQ(got[15], 0);
}

/* ---- 32-bit and real mode ---- */

extern const u8 pm_begin[], pm_end[];
asm(".pushsection .rodata\n.code32\npm_begin:\n"
    "call 1f\n1: pop %esi\n"
    "lea 2f-1b(%esi), %eax\n mov %eax, g_fixup\n mov $0x1234, %ax\n mov %ax, %ds\n"
    "2: mov g_exc, %eax\n out %eax, $0x70\n mov g_exc+8, %eax\n out %eax, $0x71\n"
    "lea 3f-1b(%esi), %eax\n mov %eax, g_fixup\n ud2\n"
    "3: mov g_exc, %eax\n out %eax, $0x70\n"
    "out %al, $0xf4\n hlt\npm_end:\n.code64\n.popsection");

TEST(protected_mode_faults)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	low_code(vm, pm_begin, pm_end);
	mode_flat32(v, LOW_CODE);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->data, 13);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->data, 0x1234);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->data, 6);
	answer(v, 0);
	guest_end(v);
}

extern const u8 rm_begin[], rm_end[];
asm(".pushsection .rodata\n.code16\nrm_begin:\n"
    "movw $1f-rm_begin+0x1000, 0x18\n movw $0, 0x1a\n"
    "movw $2f-rm_begin+0x1000, 0x84\n movw $0, 0x86\n"
    "movw $4f-rm_begin+0x1000, 0\n movw $0, 2\n"
    "mov %sp, %bp\n ud2\n"
    "1: mov %bp, %ax\n sub %sp, %ax\n out %ax, $0x70\n mov %bp, %sp\n"
    "int $0x21\n jmp 3f\n"
    "2: out %al, $0x71\n iret\n"
    "3: xor %dx, %dx\n xor %cx, %cx\n div %cx\n"
    "4: out %al, $0x72\n out %al, $0xf4\n hlt\nrm_end:\n.code64\n.popsection");

TEST(real_mode_interrupts_push_six_bytes)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	low_code(vm, rm_begin, rm_end);
	mode_real(v, 0, LOW_CODE);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x70);
	CHECK_EQ(v->x.data, 6);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x71);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->addr, 0x72);
	answer(v, 0);
	guest_end(v);
}
