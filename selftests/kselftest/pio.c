// SPDX-License-Identifier: GPL-2.0
/* Port I/O: plain and string, in all modes. */
#include "hvm.h"

static volatile u64 got[8];
static u8 buf[2 * 4096] __attribute__((aligned(4096)));

GUEST void in_all(void)
{
	u64 a;

	got[0] = inb(0x80);
	got[1] = inw(0x81);
	got[2] = inl(0x82);
	a = 0x1122334455667788;
	asm volatile("inb $0x83, %%al" : "+a"(a));
	got[3] = a;
	a = 0x1122334455667788;
	asm volatile("inw $0x84, %%ax" : "+a"(a));
	got[4] = a;
	a = 0x1122334455667788;
	asm volatile("inl $0x85, %%eax" : "+a"(a));
	got[5] = a;
}

static void expect(struct vcpu *v, u64 port, u8 size, u16 flags, u8 len)
{
	struct halo_exit *x = guest_until(v, HALO_EXIT_PIO);

	CHECK_EQ(x->addr, port);
	CHECK_EQ(x->size, size);
	CHECK_EQ(x->flags, flags | HALO_EXIT_F_SYNC);
	CHECK_EQ(x->vcpu, v->id);
	if (len)
		CHECK_EQ(x->insn_len, len);
}

TEST(in_writes_only_its_width)
{
	struct vcpu *v = vm_new()->cpu[0];
	u64 i;

	guest_begin(v, in_all, 0);
	for (i = 0; i < 6; i++) {
		expect(v, 0x80 + i, 1 << i % 3, 0, 0);
		CHECK_EQ(v->x.seq, i + 1);
		answer(v, 0xa1b2c3d4e5f60718);
	}
	guest_end(v);
	CHECK_EQ(got[0], 0x18);
	CHECK_EQ(got[1], 0x0718);
	CHECK_EQ(got[2], 0xe5f60718);
	CHECK_EQ(got[3], 0x1122334455667718);
	CHECK_EQ(got[4], 0x1122334455660718);
	CHECK_EQ(got[5], 0xe5f60718);
}

GUEST void out_all(void)
{
	u64 a = 0x1122334455667788;

	asm volatile("outb %%al, $0x10; outw %%ax, $0x11; outl %%eax, $0x12" : : "a"(a));
	asm volatile("outb %%al, %%dx; outw %%ax, %%dx; outl %%eax, %%dx"
		     : : "a"(a), "d"(0xffff1234));
	asm volatile("outb %%al, %%dx" : : "a"(a), "d"(0xffff));
}

TEST(out_tells_port_size_and_value)
{
	static const u64 value[] = { 0x88, 0x7788, 0x55667788 };
	static const u8 len[] = { 2, 3, 2, 1, 2, 1 };
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	guest_begin(v, out_all, 0);
	for (i = 0; i < 6; i++) {
		expect(v, i < 3 ? 0x10 + i : 0x1234, 1 << i % 3, HALO_EXIT_F_WRITE, len[i]);
		CHECK_EQ(v->x.data, value[i % 3]);
		answer(v, 0);
	}
	expect(v, 0xffff, 1, HALO_EXIT_F_WRITE, 1);
	answer(v, 0);
	guest_end(v);
}

/* Serves a string exit: elements of an INS count up from @next. */
static u32 serve_string(struct vcpu *v, u8 size, bool in, u8 *next, u8 *sink)
{
	struct halo_exit *x = guest_until(v, HALO_EXIT_PIO);
	u32 i, bytes = x->data * x->size;

	CHECK(x->flags & HALO_EXIT_F_STRING);
	CHECK_EQ(x->size, size);
	CHECK(x->data >= 1 && bytes <= v->layout.data_bytes);
	CHECK_EQ(!(x->flags & HALO_EXIT_F_WRITE), in);
	for (i = 0; i < bytes; i++) {
		if (in)
			v->data[i] = (*next)++;
		else
			sink[i] = v->data[i];
	}
	answer(v, 0);
	return x->data;
}

static volatile u64 rcx, rdi, rsi;

#define STRING(name, insn, df)							\
	GUEST void name(u64 count)						\
	{									\
		u64 c = count, d = rdi, s = rsi;				\
										\
		asm volatile(df "; " insn "; cld"				\
			     : "+c"(c), "+D"(d), "+S"(s) : "d"(0x55) : "memory"); \
		rcx = c;							\
		rdi = d;							\
		rsi = s;							\
	}

STRING(rep_insb, "rep insb", "cld")
STRING(rep_insw, "rep insw", "cld")
STRING(rep_insl, "rep insl", "cld")
STRING(rep_insb_down, "rep insb", "std")
STRING(rep_insl_down, "rep insl", "std")
STRING(one_insb, "insb", "cld")
STRING(rep_outsb, "rep outsb", "cld")
STRING(rep_outsw, "rep outsw", "cld")
STRING(rep_outsl, "rep outsl", "cld")
STRING(rep_outsl_down, "rep outsl", "std")
STRING(one_outsw, "outsw", "cld")

static void ins(const void *fn, u64 at, u64 count, u8 size, bool down)
{
	struct vcpu *v = vm_new()->cpu[0];
	u64 done = 0, i;
	u8 next = 1;

	memset(buf, 0, sizeof(buf));
	rdi = (u64)buf + at;
	guest_begin(v, fn, count);
	while (done < count)
		done += serve_string(v, size, true, &next, NULL);
	CHECK_EQ(done, count);
	guest_end(v);
	CHECK_EQ(rdi, (u64)buf + at + (down ? -1 : 1) * count * size);
	for (i = 0; i < count * size; i++) {
		u64 elem = i / size, byte = i % size;
		u64 off = down ? at - elem * size + byte : at + i;

		CHECK_EQ(buf[off], (u8)(i + 1));
	}
	for (i = 0; i < sizeof(buf); i++)
		if (down ? i >= at + size || i < at - (count - 1) * size :
			   i < at || i >= at + count * size)
			CHECK_EQ(buf[i], 0);
}

TEST(rep_insb_to_memory) { ins(rep_insb, 16, 100, 1, false); CHECK_EQ(rcx, 0); }
TEST(rep_insw_to_memory) { ins(rep_insw, 16, 100, 2, false); CHECK_EQ(rcx, 0); }
TEST(rep_insl_to_memory) { ins(rep_insl, 16, 100, 4, false); CHECK_EQ(rcx, 0); }
TEST(rep_ins_across_pages) { ins(rep_insl, 4094, 200, 4, false); CHECK_EQ(rcx, 0); }
TEST(rep_ins_unaligned_across_pages) { ins(rep_insw, 3001, 1500, 2, false); }
TEST(rep_ins_backwards) { ins(rep_insb_down, 4200, 300, 1, true); }
TEST(rep_ins_backwards_across_pages) { ins(rep_insl_down, 4094 + 40, 60, 4, true); }

TEST(ins_without_rep_moves_one)
{
	struct vcpu *v = vm_new()->cpu[0];
	u8 next = 7;

	rdi = (u64)buf;
	guest_begin(v, one_insb, 5);
	CHECK_EQ(serve_string(v, 1, true, &next, NULL), 1);
	CHECK(!(v->x.flags & HALO_EXIT_F_REP));
	guest_end(v);
	CHECK_EQ(rcx, 5);
	CHECK_EQ(rdi, (u64)buf + 1);
	CHECK_EQ(buf[0], 7);
}

static void outs(const void *fn, u64 at, u64 count, u8 size, bool down)
{
	static u8 sink[sizeof(buf) + 4096];
	struct vcpu *v = vm_new()->cpu[0];
	u64 done = 0, i;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = i * 7 + (i >> 8);
	rsi = (u64)buf + at;
	guest_begin(v, fn, count);
	while (done < count)
		done += serve_string(v, size, false, NULL, sink + done * size);
	CHECK_EQ(done, count);
	guest_end(v);
	CHECK_EQ(rsi, (u64)buf + at + (down ? -1 : 1) * count * size);
	for (i = 0; i < count * size; i++)
		CHECK_EQ(sink[i], buf[down ? at - i / size * size + i % size : at + i]);
}

TEST(rep_outsb_from_memory) { outs(rep_outsb, 3, 200, 1, false); }
TEST(rep_outsw_across_pages) { outs(rep_outsw, 4001, 100, 2, false); }
TEST(rep_outsl_whole_pages) { outs(rep_outsl, 0, 2048, 4, false); }
TEST(rep_outsl_backwards) { outs(rep_outsl_down, 8000, 1500, 4, true); }

TEST(outs_without_rep_moves_one)
{
	struct vcpu *v = vm_new()->cpu[0];
	u8 sink[2];

	buf[0] = 0x34;
	buf[1] = 0x12;
	rsi = (u64)buf;
	guest_begin(v, one_outsw, 5);
	CHECK_EQ(serve_string(v, 2, false, NULL, sink), 1);
	guest_end(v);
	CHECK_EQ(sink[0] | sink[1] << 8, 0x1234);
	CHECK_EQ(rcx, 5);
}

TEST(rep_with_count_zero_does_nothing)
{
	struct vcpu *v = vm_new()->cpu[0];

	rdi = rsi = 0xdead0000;		/* not even touched */
	guest(v, rep_insb, 0);
	guest(v, rep_outsl, 0);
	CHECK_EQ(rdi, 0xdead0000);
	CHECK_EQ(rsi, 0xdead0000);
}

/* The counts that have overrun buffers elsewhere. */
TEST(huge_counts_move_a_bounded_piece)
{
	static const u64 counts[] = { 0xffffffff, 0x100000000, ~0ull, 1ull << 62, 0x40000001 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		struct vcpu *v = vm_new()->cpu[0];
		u8 sink[4096];

		rsi = (u64)buf;
		guest_begin(v, rep_outsl, counts[i]);
		CHECK(serve_string(v, 4, false, NULL, sink) <= 1024);
		vm_free(v->vm);
	}
}

GUEST void ins_fault(void)
{
	u64 c = 3, d = 0x100000000;	/* not mapped by the guest */

	got[0] = TRY("rep insb", : "+c"(c), "+D"(d) : "d"(0x55) : "memory");
	got[1] = c;
	got[2] = d;
	c = 3;
	d = 0x8000000000000000;
	got[3] = TRY("rep outsb", : "+c"(c), "+S"(d) : "d"(0x55) : "memory");
	got[4] = c;
}

TEST(string_to_an_unmapped_page_faults_first)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest(v, ins_fault, 0);		/* no port exit in between */
	CHECK_EQ(got[0], 14);
	CHECK_EQ(g_exc.vector, 13);
	CHECK_EQ(got[1], 3);
	CHECK_EQ(got[2], 0x100000000);
	CHECK_EQ(got[3], 13);
	CHECK_EQ(got[4], 3);
}

GUEST void outs_until_fault(void)
{
	u64 c = 100, s = LOW_FREE + PAGE - 40;

	got[0] = TRY("rep outsb", : "+c"(c), "+S"(s) : "d"(0x55) : "memory");
	got[1] = c;
	got[2] = s;
}

TEST(string_stops_at_the_page_that_faults)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 sink[4096];
	u32 n = 0;

	map_page(vm, LOW_FREE + PAGE, 0, 0);
	guest_begin(v, outs_until_fault, 0);
	while (n < 40)
		n += serve_string(v, 1, false, NULL, sink);
	guest_end(v);
	CHECK_EQ(got[0], 14);
	CHECK_EQ(got[1], 60);
	CHECK_EQ(got[2], LOW_FREE + PAGE);
	CHECK_EQ(g_exc.cr2, LOW_FREE + PAGE);
}

/* Real mode: 16-bit addresses, a segment override, and INS wants ES. */
extern const u8 rm_begin[], rm_end[];
asm(".pushsection .rodata\n.code16\nrm_begin:\n"
    "mov $0x9000, %ax\n mov %ax, %es\n mov $0x8800, %ax\n mov %ax, %ds\n"
    "mov $0x8900, %ax\n mov %ax, %fs\n"
    "cld\n mov $0x55, %dx\n mov $4, %cx\n mov $0x10, %di\n rep insb\n"
    "mov $4, %cx\n mov $0x20, %si\n rep outsb\n"
    "mov $2, %cx\n mov $0x20, %si\n rep outsw %fs:(%si), %dx\n"
    "mov $2, %cx\n mov $0x20, %esi\n addr32 rep outsl %fs:(%esi), %dx\n"
    "out %al, $0xf4\n hlt\nrm_end:\n.code64\n.popsection");

TEST(real_mode_strings_and_segment_override)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 next = 0x41, sink[16] = {};

	low_code(vm, rm_begin, rm_end);
	memcpy(vm->low + 0x88020, "ABCD", 4);
	memcpy(vm->low + 0x89020, "efghijkl", 8);
	mode_real(v, 0, LOW_CODE);
	CHECK_EQ(serve_string(v, 1, true, &next, NULL), 4);
	CHECK_EQ(serve_string(v, 1, false, NULL, sink), 4);
	CHECK(!memcmp(sink, "ABCD", 4));
	CHECK(!memcmp(vm->low + 0x90010, "ABCD", 4));
	CHECK_EQ(serve_string(v, 2, false, NULL, sink), 2);
	CHECK(!memcmp(sink, "efgh", 4));
	CHECK_EQ(serve_string(v, 4, false, NULL, sink), 2);
	CHECK(!memcmp(sink, "efghijkl", 8));
	guest_end(v);
}

extern const u8 wrap_begin[], wrap_end[];
asm(".pushsection .rodata\n.code16\nwrap_begin:\n"
    "mov $0x8800, %ax\n mov %ax, %ds\n cld\n mov $0x55, %dx\n mov $8, %cx\n"
    "mov $0xfffc, %si\n rep outsb\n mov %si, %ax\n out %ax, $0x77\n"
    "out %al, $0xf4\n hlt\nwrap_end:\n.code64\n.popsection");

TEST(real_mode_string_wraps_in_its_segment)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 sink[16];
	u32 n = 0;

	low_code(vm, wrap_begin, wrap_end);
	memcpy(vm->low + 0x88000 + 0xfffc, "wxyz", 4);
	memcpy(vm->low + 0x88000, "1234", 4);
	mode_real(v, 0, LOW_CODE);
	while (n < 8)
		n += serve_string(v, 1, false, NULL, sink + n);
	CHECK(!memcmp(sink, "wxyz1234", 8));
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->data, 4);
}

/* 32-bit: segment limits hold for strings, with the right error code. */
extern const u8 pm_begin[], pm_end[];
asm(".pushsection .rodata\n.code32\npm_begin:\n"
    "cld\n mov $0x55, %edx\n mov $4, %ecx\n mov $buf, %edi\n rep insl\n"
    "mov $4, %ecx\n mov $buf, %esi\n rep outsb %cs:(%esi), %dx\n"
    "out %al, $0xf4\n hlt\npm_end:\n.code64\n.popsection");

TEST(protected_mode_strings)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u8 next = 0x61, sink[16];

	memset(buf, 0, 32);
	low_code(vm, pm_begin, pm_end);
	mode_flat32(v, LOW_CODE);
	CHECK_EQ(serve_string(v, 4, true, &next, NULL), 4);
	CHECK_EQ(serve_string(v, 1, false, NULL, sink), 4);
	CHECK(!memcmp(sink, "abcd", 4));
	guest_end(v);
	CHECK(!memcmp(buf, "abcdefghijklmnop", 16));
}

GUEST void user_port(void)
{
	got[0] = TRY("outb %%al, $0x80", : : : "memory");
	got[1] = g_exc.error;
}

GUEST void from_user(void)
{
	g_user(user_port);
}

/* IOPL 0 and a TSS without a bitmap: no port for user code, and no exit. */
TEST(user_code_without_iopl_gets_gp)
{
	guest(vm_new()->cpu[0], from_user, 0);
	CHECK_EQ(got[0], 13);
	CHECK_EQ(got[1], 0);
}

GUEST void one_out(void)
{
	got[0] = TRY("outb %%al, $0x80", : : : "memory");
	got[1] = g_exc.error;
}

TEST(inject_instead_of_the_access)
{
	struct vcpu *v = vm_new()->cpu[0];

	guest_begin(v, one_out, 0);
	guest_until(v, HALO_EXIT_PIO);
	answer_as(v, HALO_ACTION_INJECT, 13, 0x1234);
	guest_end(v);
	CHECK_EQ(got[0], 13);
	CHECK_EQ(got[1], 0x1234);
}

TEST(retry_gives_the_same_exit_again)
{
	struct vcpu *v = vm_new()->cpu[0];
	u64 rip;

	guest_begin(v, one_out, 0);
	rip = guest_until(v, HALO_EXIT_PIO)->rip;
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
	CHECK_EQ(guest_until(v, HALO_EXIT_PIO)->rip, rip);
	CHECK_EQ(v->x.seq, 2);
	answer(v, 0);
	guest_end(v);
	CHECK_EQ((int)got[0], -1);
}
