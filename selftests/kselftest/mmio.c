// SPDX-License-Identifier: GPL-2.0
/*
 * Device memory: which instructions reach it, with which accesses.  A device
 * of 4 KiB of bytes is served here by the exits alone.
 */
#include "hvm.h"

static u8 device[4096];
static volatile u64 got[8];
static u8 ram[4096] __attribute__((aligned(4096)));
static u32 reads, writes;

/* Serves the device until the guest function returns. */
static void serve(struct vcpu *v, const void *fn)
{
	struct halo_exit *x = &v->x;
	u64 val, off;

	reads = writes = 0;
	guest_begin(v, fn, 0);
	for (;;) {
		step(v);
		if (x->type != HALO_EXIT_MMIO)
			break;
		off = x->addr - HOLE;
		CHECK(x->size >= 1 && x->size <= 8 && off + x->size <= sizeof(device));
		val = 0;
		if (x->flags & HALO_EXIT_F_WRITE) {
			memcpy(device + off, &x->data, x->size);
			writes++;
		} else {
			memcpy(&val, device + off, x->size);
			reads++;
		}
		answer(v, val);
	}
	if (x->type != HALO_EXIT_PIO || x->addr != PORT_DONE)
		ktap_fail(__FILE__, __LINE__, "exit type %u addr %#llx insn %02x %02x %02x %02x",
			  x->type, (unsigned long long)x->addr, x->insn[0], x->insn[1],
			  x->insn[2], x->insn[3]);
	answer(v, 0);
}

static void fill(void)
{
	u32 i;

	for (i = 0; i < sizeof(device); i++)
		device[i] = i * 13 + 0x81;
}

static u64 dev(u32 off, u32 size)
{
	u64 v = 0;

	memcpy(&v, device + off, size);
	return v;
}

#define P	((volatile u8 *)HOLE)

GUEST void load_all(void)
{
	u64 a = ~0ull, b = ~0ull, c = ~0ull, d = ~0ull;

	asm volatile("movb 1(%4), %b0; movw 2(%4), %w1; movl 4(%4), %k2; movq 8(%4), %3"
		     : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : "r"(P));
	got[0] = a;
	got[1] = b;
	got[2] = c;
	got[3] = d;
	asm volatile("movzbl 1(%4), %k0; movsbq 1(%4), %1; movzwl 2(%4), %k2; movslq 4(%4), %3"
		     : "+a"(a), "+b"(b), "+c"(c), "+d"(d) : "r"(P));
	got[4] = a;
	got[5] = b;
	got[6] = c;
	got[7] = d;
}

TEST(loads)
{
	struct vcpu *v = vm_new()->cpu[0];

	fill();
	device[4 + 3] = 0x80;
	serve(v, load_all);
	CHECK_EQ(got[0], 0xffffffffffffff00 | dev(1, 1));
	CHECK_EQ(got[1], 0xffffffffffff0000 | dev(2, 2));
	CHECK_EQ(got[2], dev(4, 4));
	CHECK_EQ(got[3], dev(8, 8));
	CHECK_EQ(got[4], dev(1, 1));
	CHECK_EQ(got[5], (u64)(int64_t)(int8_t)dev(1, 1));
	CHECK_EQ(got[6], dev(2, 2));
	CHECK_EQ(got[7], (u64)(int64_t)(int32_t)dev(4, 4));
	CHECK_EQ(reads, 8);
	CHECK_EQ(writes, 0);
}

GUEST void store_all(void)
{
	u64 a = 0x1122334455667788;

	asm volatile("movb %b0, (%1); movb %h0, 1(%1); movw %w0, 2(%1); movl %k0, 4(%1);"
		     "movq %0, 8(%1); movb $0x5a, 16(%1); movw $0x1234, 18(%1);"
		     "movl $0x89abcdef, 20(%1); movq $-2, 24(%1)"
		     : : "a"(a), "b"(P) : "memory");
}

TEST(stores)
{
	struct vcpu *v = vm_new()->cpu[0];

	memset(device, 0, sizeof(device));
	serve(v, store_all);
	CHECK_EQ(dev(0, 8), 0x5566778877887788);
	CHECK_EQ(dev(8, 8), 0x1122334455667788);
	CHECK_EQ(dev(16, 8), 0x89abcdef1234005a);
	CHECK_EQ(dev(24, 8), -2ll);
	CHECK_EQ(reads, 0);
	CHECK_EQ(writes, 9);
}

GUEST void rmw(void)
{
	u64 f;

	asm volatile("orl $0xf0, (%1); andw $0xff, 8(%1); xorb $0xff, 16(%1); addl %2, 24(%1);"
		     "subq $1, 32(%1); incl 40(%1); decb 48(%1); notl 56(%1); negl 64(%1);"
		     "pushfq; popq %0"
		     : "=r"(f) : "b"(P), "r"(5) : "memory", "cc");
	got[0] = f;
}

TEST(read_modify_write)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	memset(device, 0, sizeof(device));
	for (i = 0; i < 9; i++)
		memcpy(device + i * 8, &(u64){ 0x1234567801020304 }, 8);
	serve(v, rmw);
	CHECK_EQ(dev(0, 4), 0x010203f4);
	CHECK_EQ(dev(8, 4), 0x01020004);
	CHECK_EQ(dev(16, 1), 0xfb);
	CHECK_EQ(dev(24, 4), 0x01020309);
	CHECK_EQ(dev(32, 8), 0x1234567801020303);
	CHECK_EQ(dev(40, 4), 0x01020305);
	CHECK_EQ(dev(48, 1), 3);
	CHECK_EQ(dev(56, 4), ~0x01020304u);
	CHECK_EQ(dev(64, 4), -0x01020304u);
	CHECK_EQ(got[0] & 0x81, 0x81);	/* NEG: negative, carry */
	CHECK_EQ(reads, 9);
	CHECK_EQ(writes, 9);
}

GUEST void test_and_compare(void)
{
	u64 f;

	asm volatile("cmpl $0x01020304, (%1); sete %b0; testb $4, (%1); setne %h0"
		     : "=a"(f) : "b"(P) : "cc");
	got[0] = f;
	asm volatile("btl $2, (%1); setc %b0" : "+a"(f) : "b"(P) : "cc");
	got[1] = f;
}

TEST(compare_reads_and_does_not_write)
{
	struct vcpu *v = vm_new()->cpu[0];

	memcpy(device, &(u32){ 0x01020304 }, 4);
	serve(v, test_and_compare);
	CHECK_EQ(got[0] & 0xffff, 0x0101);
	CHECK_EQ(got[1] & 0xff, 1);
	CHECK_EQ(reads, 3);
	CHECK_EQ(writes, 0);
}

GUEST void exchanges(void)
{
	u64 a = 5, b = 7, c;

	asm volatile("xchgl %k0, (%1)" : "+r"(a) : "b"(P) : "memory");
	got[0] = a;
	asm volatile("lock xaddl %k0, 8(%1)" : "+r"(b) : "b"(P) : "memory");
	got[1] = b;
	c = 0x44;
	asm volatile("lock cmpxchgl %k2, 16(%1); sete %b2"
		     : "+a"(c) : "b"(P), "d"(0x99) : "memory", "cc");
	got[2] = c;
}

TEST(exchanges_with_lock)
{
	struct vcpu *v = vm_new()->cpu[0];

	memset(device, 0, sizeof(device));
	device[0] = 0x11;
	device[8] = 0x20;
	device[16] = 0x44;
	serve(v, exchanges);
	CHECK_EQ(got[0], 0x11);
	CHECK_EQ(dev(0, 4), 5);
	CHECK_EQ(got[1], 0x20);
	CHECK_EQ(dev(8, 4), 0x27);
	CHECK_EQ(got[2], 0x44);
	CHECK_EQ(dev(16, 4), 0x99);
}

#define STR(name, insn, df, n, from, to)					\
	GUEST void name(void)							\
	{									\
		u64 c = n, s = (u64)(from), d = (u64)(to);			\
										\
		asm volatile(df "; " insn "; cld" : "+c"(c), "+S"(s), "+D"(d)	\
			     : "a"(0x1122334455667788) : "memory");		\
		got[0] = c;							\
		got[1] = s;							\
		got[2] = d;							\
	}

STR(to_device, "rep movsl", "cld", 10, ram, HOLE + 16)
STR(from_device, "rep movsq", "cld", 10, HOLE + 8, ram)
STR(from_device_down, "rep movsb", "std", 10, HOLE + 29, ram + 29)
STR(inside_device, "rep movsb", "cld", 8, HOLE, HOLE + 64)
STR(fill_device, "rep stosl", "cld", 12, 0, HOLE + 4)
STR(fill_nothing, "rep stosl", "cld", 0, 0, HOLE + 4)
STR(load_device, "lodsl", "cld", 0, HOLE + 4, 0)

TEST(movs_to_device)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	memset(device, 0, sizeof(device));
	for (i = 0; i < 64; i++)
		ram[i] = i + 3;
	serve(v, to_device);
	CHECK(!memcmp(device + 16, ram, 40));
	CHECK_EQ(device[15] | device[56], 0);
	CHECK_EQ(writes, 10);
	CHECK_EQ(got[0], 0);
	CHECK_EQ(got[1], (u64)ram + 40);
	CHECK_EQ(got[2], HOLE + 56);
}

TEST(movs_from_device)
{
	struct vcpu *v = vm_new()->cpu[0];

	fill();
	memset(ram, 0, sizeof(ram));
	serve(v, from_device);
	CHECK(!memcmp(ram, device + 8, 80));
	CHECK_EQ(reads, 10);
	CHECK_EQ(got[2], (u64)ram + 80);
}

TEST(movs_backwards)
{
	struct vcpu *v = vm_new()->cpu[0];

	fill();
	memset(ram, 0, sizeof(ram));
	serve(v, from_device_down);
	CHECK(!memcmp(ram + 20, device + 20, 10));
	CHECK_EQ(ram[19] | ram[30], 0);
	CHECK_EQ(got[1], HOLE + 19);
}

TEST(movs_between_two_devices)
{
	struct vcpu *v = vm_new()->cpu[0];

	fill();
	serve(v, inside_device);
	CHECK(!memcmp(device + 64, device, 8));
	CHECK_EQ(reads, 8);
	CHECK_EQ(writes, 8);
}

TEST(stos_to_device)
{
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	memset(device, 0, sizeof(device));
	serve(v, fill_device);
	for (i = 0; i < 12; i++)
		CHECK_EQ(dev(4 + i * 4, 4), 0x55667788);
	CHECK_EQ(writes, 12);
	serve(v, fill_nothing);
	CHECK_EQ(writes, 0);
}

TEST(lods_from_device)
{
	struct vcpu *v = vm_new()->cpu[0];

	fill();
	serve(v, load_device);
	CHECK_EQ(reads, 1);
	CHECK_EQ(got[1], HOLE + 8);
}

GUEST void high_registers(void)
{
	register u64 r8 asm("r8") = HOLE;
	register u64 r9 asm("r9") = 2;
	register u64 r15 asm("r15");

	asm volatile("movl 4(%1, %2, 4), %k0" : "=r"(r15) : "r"(r8), "r"(r9));
	got[0] = r15;
	asm volatile("movb %b0, 8(%1, %2, 8)" : : "r"(r15), "r"(r8), "r"(r9) : "memory");
	asm volatile("movl %%fs:4, %%eax" : "=a"(got[1]));
}

TEST(addressing_forms)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_exit *x = &v->x;

	fill();
	/* FS points to the device. */
	guest_begin(v, high_registers, 0);
	v->s->seg[HALO_SEG_FS].base = HOLE;
	state_set(v, HALO_STATE_SEGS);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, HOLE + 12);
	CHECK_EQ(x->size, 4);
	answer(v, 0x77);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, HOLE + 24);
	CHECK_EQ(x->data, 0x77);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, HOLE + 4);
	answer(v, 0x99);
	guest_end(v);
	CHECK_EQ(got[0], 0x77);
	CHECK_EQ(got[1], 0x99);
}

GUEST void sse_store(void)
{
	asm volatile("movups %%xmm0, (%0)" : : "r"(P) : "memory");
}

/* Known or not: all of it arrives, or it is handed over as bytes. */
TEST(sixteen_bytes_are_handed_over)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_exit *x = &v->x;
	u32 bytes = 0;

	guest_begin(v, sse_store, 0);
	while (step(v)->type == HALO_EXIT_MMIO) {
		bytes += x->size;
		answer(v, 0);
	}
	if (x->type == HALO_EXIT_INSN) {
		CHECK_EQ(bytes, 0);
		CHECK_EQ(x->insn[0], 0x0f);
		CHECK_EQ(x->insn[1], 0x11);
		CHECK_EQ(x->addr, HOLE);
	} else {
		CHECK_EQ(bytes, 16);
	}
}

GUEST void odd(void)
{
	asm volatile("fildl (%0)" : : "r"(P) : "memory");
}

TEST(unknown_instruction_done_by_userspace)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_exit *x = &v->x;

	guest_begin(v, odd, 0);
	guest_until(v, HALO_EXIT_INSN);
	CHECK_EQ(x->addr, HOLE);
	CHECK_EQ(x->insn[0], 0xdb);
	v->s->rip += 2;
	v->s->commit = HALO_STATE_GPRS;
	answer(v, 0);
	guest_end(v);
}

GUEST void odd_from_user(void)
{
	got[0] = TRY("fildl (%0)", : : "r"(P) : "memory");
}

GUEST void odd_user(void)
{
	g_user(odd_from_user);
}

TEST(unknown_instruction_of_a_user_program_is_ud)
{
	guest(vm_new()->cpu[0], odd_user, 0);
	CHECK_EQ(got[0], 6);
}

GUEST void faulting(void)
{
	u64 c = 4, s = HOLE, d = 0x100000000;

	got[0] = TRY("rep movsb", : "+c"(c), "+S"(s), "+D"(d) : : "memory");
	got[1] = c;
	got[2] = g_exc.cr2;
	got[3] = g_exc.error;
}

TEST(movs_whose_target_faults)
{
	struct vcpu *v = vm_new()->cpu[0];

	fill();
	serve(v, faulting);
	CHECK_EQ(got[0], 14);
	CHECK_EQ(got[1], 4);
	CHECK_EQ(got[2], 0x100000000);
	CHECK_EQ(got[3], 2);
}

GUEST void execute(void)
{
	((void (*)(void))HOLE)();
}

TEST(code_in_a_device_is_told)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, execute, 0);
	step(v);
	CHECK(v->x.type == HALO_EXIT_MEMORY || v->x.type == HALO_EXIT_INSN);
	CHECK_EQ(v->x.addr & ~4095ull, HOLE);
}

GUEST void straddle(void)
{
	*(volatile u64 *)(LOW_BYTES - 4) = 0x1122334455667788;
	got[0] = *(volatile u64 *)(LOW_BYTES - 4);
}

/* Half RAM, half device: no byte of RAM may get what the device was meant. */
TEST(access_across_the_end_of_ram)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u32 n = 0;

	guest_begin(v, straddle, 0);
	while (step(v)->type == HALO_EXIT_MMIO && n++ < 20)
		answer(v, 0);
	CHECK(n < 20);
	CHECK(v->x.type == HALO_EXIT_PIO || v->x.type == HALO_EXIT_INSN);
}

/* Real mode and 32-bit mode reach it too. */
extern const u8 rm_begin[], rm_end[];
asm(".pushsection .rodata\n.code16\nrm_begin:\n"
    "mov $0x30, %eax\n mov $0x8000, %bx\n mov %bx, %ds\n"
    "movl (0x20), %eax\n movw %ax, (0x24)\n incb (0x28)\n"
    "out %al, $0xf4\n hlt\nrm_end:\n.code64\n.popsection");

TEST(real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	/* A hole at 512 KiB: slot 0 ends there. */
	CHECK(!slot_set(vm, 0, 0, 0, 0, NULL));
	CHECK(!slot_set(vm, 0, 0, 0, 0x80000, vm->low));
	low_code(vm, rm_begin, rm_end);
	mode_real(v, 0, LOW_CODE);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, 0x80020);
	CHECK_EQ(v->x.size, 4);
	answer(v, 0xabcdef01);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, 0x80024);
	CHECK_EQ(v->x.size, 2);
	CHECK_EQ(v->x.data, 0xef01);
	answer(v, 0);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->addr, 0x80028);
	answer(v, 0xff);
	CHECK_EQ(guest_until(v, HALO_EXIT_MMIO)->data, 0);
	answer(v, 0);
	guest_end(v);
}
