/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The virtual machine control block, as the APM lays it out (volume 2,
 * appendix B), and the codes of appendix C.  Nothing but facts.
 */
#ifndef HALO_SVM_VMCB_H
#define HALO_SVM_VMCB_H

#include "pure.h"

/* Intercept bits: word number * 32 + bit, from VMCB offset 0. */
enum svm_intercept {
	SVM_ICPT_CR_READ = 0,		/* + CR number, 0 to 15 */
	SVM_ICPT_CR_WRITE = 16,		/* + CR number */
	SVM_ICPT_DR_READ = 32,		/* + DR number */
	SVM_ICPT_DR_WRITE = 48,		/* + DR number */
	SVM_ICPT_EXCEPTION = 64,	/* + vector, 0 to 31 */

	SVM_ICPT_INTR = 96,
	SVM_ICPT_NMI,
	SVM_ICPT_SMI,
	SVM_ICPT_INIT,
	SVM_ICPT_VINTR,
	SVM_ICPT_CR0_SEL_WRITE,
	SVM_ICPT_SIDT,
	SVM_ICPT_SGDT,
	SVM_ICPT_SLDT,
	SVM_ICPT_STR,
	SVM_ICPT_LIDT,
	SVM_ICPT_LGDT,
	SVM_ICPT_LLDT,
	SVM_ICPT_LTR,
	SVM_ICPT_RDTSC,
	SVM_ICPT_RDPMC,
	SVM_ICPT_PUSHF,
	SVM_ICPT_POPF,
	SVM_ICPT_CPUID,
	SVM_ICPT_RSM,
	SVM_ICPT_IRET,
	SVM_ICPT_INTN,
	SVM_ICPT_INVD,
	SVM_ICPT_PAUSE,
	SVM_ICPT_HLT,
	SVM_ICPT_INVLPG,
	SVM_ICPT_INVLPGA,
	SVM_ICPT_IOIO,
	SVM_ICPT_MSR,
	SVM_ICPT_TASK_SWITCH,
	SVM_ICPT_FERR_FREEZE,
	SVM_ICPT_SHUTDOWN,

	SVM_ICPT_VMRUN = 128,
	SVM_ICPT_VMMCALL,
	SVM_ICPT_VMLOAD,
	SVM_ICPT_VMSAVE,
	SVM_ICPT_STGI,
	SVM_ICPT_CLGI,
	SVM_ICPT_SKINIT,
	SVM_ICPT_RDTSCP,
	SVM_ICPT_ICEBP,
	SVM_ICPT_WBINVD,
	SVM_ICPT_MONITOR,
	SVM_ICPT_MWAIT,
	SVM_ICPT_MWAIT_ARMED,
	SVM_ICPT_XSETBV,
	SVM_ICPT_RDPRU,

	SVM_ICPT_INVLPGB = 160,
	SVM_ICPT_INVLPGB_ILLEGAL,
	SVM_ICPT_INVPCID,
	SVM_ICPT_MCOMMIT,
	SVM_ICPT_TLBSYNC,
	SVM_ICPT_COUNT = 192,
};

/* Exit codes: an intercept's is its place in the first five words. */
#define SVM_EXIT_CR_READ	0x000
#define SVM_EXIT_CR_WRITE	0x010
#define SVM_EXIT_DR_READ	0x020
#define SVM_EXIT_DR_WRITE	0x030
#define SVM_EXIT_EXCEPTION	0x040
#define SVM_EXIT_INTR		0x060
#define SVM_EXIT_NMI		0x061
#define SVM_EXIT_SMI		0x062
#define SVM_EXIT_INIT		0x063
#define SVM_EXIT_VINTR		0x064
#define SVM_EXIT_CR0_SEL_WRITE	0x065
#define SVM_EXIT_RDTSC		0x06e
#define SVM_EXIT_RDPMC		0x06f
#define SVM_EXIT_CPUID		0x072
#define SVM_EXIT_RSM		0x073
#define SVM_EXIT_IRET		0x074
#define SVM_EXIT_INVD		0x076
#define SVM_EXIT_PAUSE		0x077
#define SVM_EXIT_HLT		0x078
#define SVM_EXIT_INVLPGA	0x07a
#define SVM_EXIT_IOIO		0x07b
#define SVM_EXIT_MSR		0x07c
#define SVM_EXIT_SHUTDOWN	0x07f
#define SVM_EXIT_VMRUN		0x080
#define SVM_EXIT_VMMCALL	0x081
#define SVM_EXIT_VMLOAD		0x082
#define SVM_EXIT_VMSAVE		0x083
#define SVM_EXIT_STGI		0x084
#define SVM_EXIT_CLGI		0x085
#define SVM_EXIT_SKINIT		0x086
#define SVM_EXIT_RDTSCP		0x087
#define SVM_EXIT_WBINVD		0x089
#define SVM_EXIT_MONITOR	0x08a
#define SVM_EXIT_MWAIT		0x08b
#define SVM_EXIT_MWAIT_ARMED	0x08c
#define SVM_EXIT_XSETBV		0x08d
#define SVM_EXIT_RDPRU		0x08e
#define SVM_EXIT_INVLPGB	0x0a0
#define SVM_EXIT_INVLPGB_ILLEGAL 0x0a1
#define SVM_EXIT_MCOMMIT	0x0a3
#define SVM_EXIT_TLBSYNC	0x0a4
#define SVM_EXIT_NPF		0x400
#define SVM_EXIT_INVALID	0xffffffffu	/* as 32 bits: some CPUs do not extend it */

/* EVENTINJ and EXITINTINFO (15.20, 15.7.2). */
#define SVM_EVT_VECTOR		0xffu
#define SVM_EVT_TYPE_SHIFT	8
#define SVM_EVT_TYPE		(7u << SVM_EVT_TYPE_SHIFT)
#define SVM_EVT_INTR		(0u << SVM_EVT_TYPE_SHIFT)
#define SVM_EVT_NMI		(2u << SVM_EVT_TYPE_SHIFT)
#define SVM_EVT_EXCEPTION	(3u << SVM_EVT_TYPE_SHIFT)
#define SVM_EVT_SOFT		(4u << SVM_EVT_TYPE_SHIFT)
#define SVM_EVT_ERROR		BIT(11)
#define SVM_EVT_VALID		BIT(31)

/* int_ctl (15.21) */
#define SVM_V_TPR		0x0fu
#define SVM_V_IRQ		BIT(8)
#define SVM_V_PRIO_SHIFT	16
#define SVM_V_IGN_TPR		BIT(20)
#define SVM_V_INTR_MASKING	BIT(24)

#define SVM_INT_SHADOW		BIT(0)
#define SVM_NP_ENABLE		BIT(0)

#define SVM_TLB_NONE		0
#define SVM_TLB_FLUSH_ALL	1
#define SVM_TLB_FLUSH_ASID	3

/* Clean bits (15.15.3): set = the CPU may use what it has cached. */
#define SVM_CLEAN_INTERCEPTS	BIT(0)	/* intercepts, TSC offset, pause filter */
#define SVM_CLEAN_PERM		BIT(1)	/* IOPM and MSRPM addresses */
#define SVM_CLEAN_ASID		BIT(2)
#define SVM_CLEAN_TPR		BIT(3)	/* int_ctl, int_vector */
#define SVM_CLEAN_NPT		BIT(4)	/* nCR3, g_pat */
#define SVM_CLEAN_CR		BIT(5)	/* CR0, CR3, CR4, EFER */
#define SVM_CLEAN_DR		BIT(6)	/* DR6, DR7 */
#define SVM_CLEAN_DT		BIT(7)	/* GDT, IDT */
#define SVM_CLEAN_SEG		BIT(8)	/* CS, DS, SS, ES, CPL */
#define SVM_CLEAN_CR2		BIT(9)
#define SVM_CLEAN_ALL		0x3ffu

/* EXITINFO1 of IOIO (15.10.2). */
#define SVM_IO_IN		BIT(0)
#define SVM_IO_STRING		BIT(2)
#define SVM_IO_REP		BIT(3)

/* EXITINFO1 of a nested page fault (15.25.6). */
#define SVM_NPF_WRITE		BIT(1)
#define SVM_NPF_EXEC		BIT(4)
#define SVM_NPF_WALK		BIT_ULL(33)

/* EXITINFO1 of a MOV CR or MOV DR, with decode assists (15.8.1). */
#define SVM_CR_INFO_MOV		BIT_ULL(63)

struct svm_seg {
	u16 selector;
	u16 attrib;		/* bits 0-7, then AVL L DB G as bits 8-11 */
	u32 limit;
	u64 base;
};

struct svm_vmcb {
	u32 intercept[6];		/* 0x000 */
	u8 reserved0[0x3c - 0x18];
	u16 pause_threshold;		/* 0x03c */
	u16 pause_count;
	u64 iopm_pa;			/* 0x040 */
	u64 msrpm_pa;
	u64 tsc_offset;			/* 0x050 */
	u32 asid;
	u8 tlb_control;
	u8 reserved1[3];
	u32 int_ctl;			/* 0x060 */
	u32 int_vector;
	u64 int_state;			/* 0x068 */
	u64 exit_code;			/* 0x070 */
	u64 exit_info1;
	u64 exit_info2;			/* 0x080 */
	u32 exit_int_info;
	u32 exit_int_error;
	u64 np_control;			/* 0x090 */
	u8 reserved2[0xa8 - 0x98];
	u32 event_inj;			/* 0x0a8 */
	u32 event_error;
	u64 ncr3;			/* 0x0b0 */
	u64 lbr_control;
	u32 clean;			/* 0x0c0 */
	u32 reserved3;
	u64 next_rip;			/* 0x0c8 */
	u8 insn_len;			/* 0x0d0 */
	u8 insn[15];
	u8 reserved4[0x400 - 0xe0];

	struct svm_seg seg[4];		/* 0x400: ES CS SS DS */
	struct svm_seg fs;		/* 0x440 */
	struct svm_seg gs;
	struct svm_seg gdtr;		/* 0x460 */
	struct svm_seg ldtr;
	struct svm_seg idtr;		/* 0x480 */
	struct svm_seg tr;
	u8 reserved5[0x4cb - 0x4a0];
	u8 cpl;				/* 0x4cb */
	u8 reserved6[4];
	u64 efer;			/* 0x4d0 */
	u8 reserved7[0x548 - 0x4d8];
	u64 cr4;			/* 0x548 */
	u64 cr3;
	u64 cr0;
	u64 dr7;			/* 0x560 */
	u64 dr6;
	u64 rflags;			/* 0x570 */
	u64 rip;
	u8 reserved8[0x5d8 - 0x580];
	u64 rsp;			/* 0x5d8 */
	u8 reserved9[0x5f8 - 0x5e0];
	u64 rax;			/* 0x5f8 */
	u64 star;			/* 0x600 */
	u64 lstar;
	u64 cstar;
	u64 sfmask;
	u64 kernel_gs_base;		/* 0x620 */
	u64 sysenter_cs;
	u64 sysenter_esp;
	u64 sysenter_eip;
	u64 cr2;			/* 0x640 */
	u8 reserved10[0x668 - 0x648];
	u64 g_pat;			/* 0x668 */
	u64 debugctl;
	u8 reserved11[0x1000 - 0x678];
};

static_assert(sizeof(struct svm_vmcb) == 0x1000);
static_assert(offsetof(struct svm_vmcb, iopm_pa) == 0x40);
static_assert(offsetof(struct svm_vmcb, int_ctl) == 0x60);
static_assert(offsetof(struct svm_vmcb, exit_code) == 0x70);
static_assert(offsetof(struct svm_vmcb, np_control) == 0x90);
static_assert(offsetof(struct svm_vmcb, event_inj) == 0xa8);
static_assert(offsetof(struct svm_vmcb, clean) == 0xc0);
static_assert(offsetof(struct svm_vmcb, insn_len) == 0xd0);
static_assert(offsetof(struct svm_vmcb, seg) == 0x400);
static_assert(offsetof(struct svm_vmcb, tr) == 0x490);
static_assert(offsetof(struct svm_vmcb, cpl) == 0x4cb);
static_assert(offsetof(struct svm_vmcb, efer) == 0x4d0);
static_assert(offsetof(struct svm_vmcb, cr4) == 0x548);
static_assert(offsetof(struct svm_vmcb, rsp) == 0x5d8);
static_assert(offsetof(struct svm_vmcb, rax) == 0x5f8);
static_assert(offsetof(struct svm_vmcb, cr2) == 0x640);
static_assert(offsetof(struct svm_vmcb, g_pat) == 0x668);

#endif /* HALO_SVM_VMCB_H */
