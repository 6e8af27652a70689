/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine for a test, and the guest's side of it.
 *
 * The program is linked at a fixed address and is its own guest: a memslot
 * lays the program's image at the guest-physical address that equals its
 * virtual one, and the guest's page tables map it one to one.  So a guest
 * function is a function of the program marked GUEST, and both sides see the
 * same variables.  Such a function may call nothing of the C library.
 *
 * Guest-physical memory:
 *	0 .. LOW_BYTES		anonymous: tables, real-mode code, test data
 *	LOW_BYTES .. image	nothing: a device
 *	image .. _end		the program
 */
#ifndef HALO_HVM_H
#define HALO_HVM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/halo.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "ktap.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BIT(n)		(1ull << (n))
#define PAGE		4096ull

#define LOW_BYTES	0x200000ull
#define LOW_CODE	0x1000ull	/* where low_code() copies to */
#define LOW_FREE	0x80000ull	/* from here to LOW_BYTES: the test's */
#define HOLE		0x300000ull	/* guest-physical, nobody's */
#define LAPIC		0xfee00000ull

/* Selectors of the tables that vm_new() lays down. */
#define SEL_CODE64	0x08
#define SEL_DATA	0x10
#define SEL_CODE32	0x18
#define SEL_UCODE32	0x23
#define SEL_UDATA	0x2b
#define SEL_UCODE64	0x33
#define SEL_TSS		0x38

#define GDT_BASE	0x8000
#define TSS_BASE	0x9000
#define IDT64_BASE	0xa000
#define IDT32_BASE	0xb000
#define PML4_BASE	0x10000

#define PORT_DONE	0xf4	/* the guest function returned */
#define PORT_DEAD	0xf5	/* an exception that nobody expected */

#define CR0_PE		BIT(0)
#define CR0_TS		BIT(3)
#define CR0_ET		BIT(4)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_AM		BIT(18)
#define CR0_PG		BIT(31)
#define CR4_DE		BIT(3)
#define CR4_PAE		BIT(5)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_OSXSAVE	BIT(18)
#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)
#define FL_TF		BIT(8)
#define FL_IF		BIT(9)
#define FL_DF		BIT(10)
#define FL_AC		BIT(18)

#define PTE_P		BIT(0)
#define PTE_W		BIT(1)
#define PTE_U		BIT(2)
#define PTE_PS		BIT(7)

struct vcpu;

struct vm {
	int dev, fd;
	u8 *low;
	struct vcpu *cpu[8];
	unsigned int nr;
	u32 ring_entries;	/* of the next vcpu_new(); 0 = the module's choice */
};

struct vcpu {
	struct vm *vm;
	int fd;
	u32 id;
	struct halo_vcpu_layout layout;
	struct halo_state *s;
	volatile struct halo_ring *exits, *replies;
	u8 *data;
	struct halo_exit x;	/* the last one */
};

int dev_open(void);
int vm_fd_new(int dev);
int vcpu_fd_new(int vm, u32 id);
extern u32 vm_tsc_khz;			/* of the next vm_new(); 0 = the host's */
struct vm *vm_bare(void);		/* no memory, no vCPU */
struct vm *vm_new(void);		/* memory, tables, vCPU 0 at reset */
void vm_free(struct vm *vm);
void vm_tables(struct vm *vm);		/* GDT, IDTs and page tables, into vm->low */
struct vcpu *vcpu_new(struct vm *vm, u32 id);
int slot_set(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 bytes, const void *hva);
int zone_set(struct vm *vm, u32 op, u32 bus, u32 mode, u64 addr, u64 len, u64 cookie, u64 match);
int msi(struct vm *vm, u64 addr, u32 data);
int line_set(struct vcpu *v, u32 pin, u32 level);

void state_get(struct vcpu *v);		/* all groups into v->s */
void state_set(struct vcpu *v, u64 groups);
void mode_real(struct vcpu *v, u16 cs, u16 ip);
void mode_flat32(struct vcpu *v, u32 eip);
void mode_long(struct vcpu *v, u64 rip);
void low_code(struct vm *vm, const void *from, const void *to);
void map_page(struct vm *vm, u64 va, u64 pa, u64 flags);	/* 4K, below 4G */

int run(struct vcpu *v);		/* one RUN: 0 or -errno */
int settle(struct vcpu *v);		/* RUN until it gives anything but -EINTR */
struct halo_exit *step(struct vcpu *v);	/* RUN until an exit: v->x */
u32 waiting(struct vcpu *v);		/* exits that wait in the ring */
struct halo_exit *take_next(struct vcpu *v);	/* the first of them, without RUN: v->x */
void take_exit(struct vcpu *v, u16 type);	/* take the exit of the run() before */
void answer(struct vcpu *v, u64 data);
void answer_as(struct vcpu *v, u8 action, u8 vector, int error);
void reply_raw(struct vcpu *v, const struct halo_reply *r);

void guest_begin(struct vcpu *v, const void *fn, u64 arg);	/* long mode */
struct halo_exit *guest_until(struct vcpu *v, u16 type);
void guest_end(struct vcpu *v);		/* to the function's return */
void guest(struct vcpu *v, const void *fn, u64 arg);	/* begin and end */

/* ------------------------------ guest side ------------------------------ */

#define GUEST __attribute__((noinline, used)) static

struct g_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rdx, rcx, rbx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

struct g_exc {
	u64 vector, error, rip, cr2;
};

extern volatile u64 g_fixup;		/* where a fault goes on, 0 = it is fatal */
extern volatile struct g_exc g_exc;	/* the last fault that was caught */
extern volatile u32 g_count[256];	/* traps by vector */
extern void (*volatile g_handler[256])(struct g_frame *f);
extern u8 g_stack[8][16384];
extern const u8 g_stubs[], g_stubs32[], g_exit[];

u64 g_user(void (*fn)(void));		/* run FN at CPL 3; guest only */

/* Run an instruction; gives the vector of its fault or -1. */
#define TRY(insn, ...)								\
	({									\
		g_exc.vector = -1ull;						\
		asm volatile("movq $1f, g_fixup(%%rip)\n\t" insn "\n1:"	\
			     __VA_ARGS__);					\
		g_fixup = 0;							\
		(int)g_exc.vector;						\
	})

#define OUT(name, type, reg)							\
	static inline void name(u16 port, type val)				\
	{									\
		asm volatile("out %" reg "0, %1" : : "a"(val), "Nd"(port) : "memory"); \
	}
OUT(outb, u8, "b")
OUT(outw, u16, "w")
OUT(outl, u32, "k")

static inline u8 inb(u16 port)
{
	u8 v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u16 inw(u16 port)
{
	u16 v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "0"(leaf), "2"(sub));
}

/* Is the CPU under the module QEMU's emulated one? It says so in its own leaf. */
static inline bool cpu_is_tcg(void)
{
	u32 r[4];

	cpuid(0x40000000, 0, r);
	return r[1] == 0x54474354;
}

static inline bool cpu_is_intel(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	return r[2] == 0x6c65746e;	/* "ntel" */
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}

/* What the KVM-compatible clock tells a guest in its memory, as the interface has it. */
struct g_clock {
	u32 version, pad;
	u64 tsc, ns;
	u32 mul;
	signed char shift;
	u8 flags, pad2[2];
} __attribute__((aligned(64)));

static inline u64 g_clock_ns(const volatile struct g_clock *c, u64 ticks)
{
	ticks = c->shift < 0 ? ticks >> -c->shift : ticks << c->shift;
	return (unsigned __int128)ticks * c->mul >> 32;
}

static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void nop(void) { asm volatile("nop" : : : "memory"); }

static inline u32 lapic_read(u32 reg)
{
	return *(volatile u32 *)(LAPIC + reg);
}

static inline void lapic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(LAPIC + reg) = v;
}

#endif
