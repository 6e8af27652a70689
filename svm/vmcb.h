/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The virtual machine control block, as the APM lays it out (volume 2,
 * appendix B), and the codes of appendix C.  Nothing but facts.
 */
#ifndef HALO_SVM_VMCB_H
#define HALO_SVM_VMCB_H

#include "pure.h"

/*
 * What can be intercepted: word number * 32 + bit, from VMCB offset 0.  The same
 * number is the exit code (appendix C).
 */
enum svm_intercept {
	SVM_CR_READ = 0x00,		/* + CR number, 0 to 15 */
	SVM_CR_WRITE = 0x10,		/* + CR number */
	SVM_DR_READ = 0x20,		/* + DR number */
	SVM_DR_WRITE = 0x30,		/* + DR number */
	SVM_EXCEPTION = 0x40,		/* + vector, 0 to 31 */
	SVM_INTR = 0x60, SVM_NMI, SVM_SMI, SVM_INIT, SVM_VINTR, SVM_CR0_SEL_WRITE,
	SVM_RDPMC = 0x6f,
	SVM_CPUID = 0x72, SVM_RSM, SVM_IRET,
	SVM_INVD = 0x76, SVM_PAUSE, SVM_HLT,
	SVM_INVLPGA = 0x7a, SVM_IOIO, SVM_MSR,
	SVM_FERR_FREEZE = 0x7e, SVM_SHUTDOWN,
	SVM_VMRUN, SVM_VMMCALL, SVM_VMLOAD, SVM_VMSAVE, SVM_STGI, SVM_CLGI, SVM_SKINIT,
	SVM_WBINVD = 0x89, SVM_MONITOR, SVM_MWAIT, SVM_MWAIT_ARMED, SVM_XSETBV, SVM_RDPRU,
	SVM_INVLPGB = 0xa0, SVM_INVLPGB_ILLEGAL,
	SVM_MCOMMIT = 0xa3, SVM_TLBSYNC, SVM_INTERCEPTS,
	SVM_NPF = 0x400,		/* exit codes only, from here */
	SVM_AVIC_IPI, SVM_AVIC_ACCESS,
};

#define SVM_INVALID	0xffffffffu	/* exit code, as 32 bits: some CPUs do not extend it */

static_assert(SVM_VMRUN == 0x80 && SVM_SKINIT == 0x86 && SVM_RDPRU == 0x8e);
static_assert(SVM_MSR == 0x7c && SVM_SHUTDOWN == 0x7f && SVM_TLBSYNC == 0xa4);

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
#define SVM_AVIC_ENABLE		BIT(31)	/* 15.29 */

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
#define SVM_CLEAN_AVIC		BIT(11)	/* the four fields of AVIC; not all CPUs know it */

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
	u64 avic_bar;			/* 0x098: address of the page, as the guest has it */
	u8 reserved2[0xa8 - 0xa0];
	u32 event_inj;			/* 0x0a8 */
	u32 event_error;
	u64 ncr3;			/* 0x0b0 */
	u64 lbr_control;
	u32 clean;			/* 0x0c0 */
	u32 reserved3;
	u64 next_rip;			/* 0x0c8 */
	u8 insn_len;			/* 0x0d0 */
	u8 insn[15];
	u64 avic_page;			/* 0x0e0 */
	u8 reserved12[8];
	u64 avic_logical;		/* 0x0f0 */
	u64 avic_physical;		/* 0x0f8 */
	u8 reserved4[0x400 - 0x100];

	struct svm_seg seg[6];		/* 0x400: ES CS SS DS FS GS */
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
	union {
		u64 msrs[8];		/* 0x600 */
		struct {
			u64 star;
			u64 lstar;
			u64 cstar;
			u64 sfmask;
			u64 kernel_gs_base;	/* 0x620 */
			u64 sysenter_cs;
			u64 sysenter_esp;
			u64 sysenter_eip;
		};
	};
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
static_assert(offsetof(struct svm_vmcb, avic_bar) == 0x98);
static_assert(offsetof(struct svm_vmcb, event_inj) == 0xa8);
static_assert(offsetof(struct svm_vmcb, clean) == 0xc0);
static_assert(offsetof(struct svm_vmcb, insn_len) == 0xd0);
static_assert(offsetof(struct svm_vmcb, avic_page) == 0xe0);
static_assert(offsetof(struct svm_vmcb, avic_logical) == 0xf0);
static_assert(offsetof(struct svm_vmcb, avic_physical) == 0xf8);
static_assert(offsetof(struct svm_vmcb, seg) == 0x400);
static_assert(offsetof(struct svm_vmcb, tr) == 0x490);
static_assert(offsetof(struct svm_vmcb, cpl) == 0x4cb);
static_assert(offsetof(struct svm_vmcb, efer) == 0x4d0);
static_assert(offsetof(struct svm_vmcb, cr4) == 0x548);
static_assert(offsetof(struct svm_vmcb, rsp) == 0x5d8);
static_assert(offsetof(struct svm_vmcb, rax) == 0x5f8);
static_assert(offsetof(struct svm_vmcb, kernel_gs_base) == 0x620);
static_assert(offsetof(struct svm_vmcb, cr2) == 0x640);
static_assert(offsetof(struct svm_vmcb, g_pat) == 0x668);

#endif /* HALO_SVM_VMCB_H */
