/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a backend (svm/, vmx/) and the vendor-neutral core say to one another.
 *
 * A backend translates between hardware and the three structs here: struct
 * halo_arch (register state), struct halo_event (what is being delivered to
 * the guest) and struct halo_hwexit (why the guest stopped).  It sees a vCPU
 * only as struct halo_cpu, knows no VM, ring, zone or user interface, and
 * never calls up.
 *
 * Locks: every operation on a halo_cpu runs under its vCPU's mutex, by the
 * thread that owns it; run() with interrupts off.
 */
#ifndef HALO_BACKEND_H
#define HALO_BACKEND_H

#include "insn.h"
#include "pure.h"

/* Segment registers, in encoding order; then the two system segments. */
enum halo_seg_reg {
	SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT
};

/* General registers, in encoding order. */
enum halo_gpr_reg {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	GPR_COUNT
};

/**
 * struct halo_seg - a segment register with its hidden part
 * @base: linear base
 * @limit: in bytes, as expanded by G
 * @selector: visible part
 * @attrib: as a descriptor's: 0-3 type, 4 S, 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B,
 *	11 G; 12 unusable
 */
struct halo_seg {
	u64 base;
	u32 limit;
	u16 selector;
	u16 attrib;
};

#define SEG_ATTR_S		BIT(4)
#define SEG_ATTR_DPL_SHIFT	5
#define SEG_ATTR_P		BIT(7)
#define SEG_ATTR_L		BIT(9)
#define SEG_ATTR_DB		BIT(10)
#define SEG_ATTR_G		BIT(11)
#define SEG_ATTR_UNUSABLE	BIT(12)

struct halo_dtable {
	u64 base;
	u16 limit;
	u16 reserved[3];
};

/* Groups of struct halo_arch, for its valid and dirty masks. */
#define ARCH_SEGS	BIT(0)	/* seg[], gdt, idt */
#define ARCH_CRS	BIT(1)	/* cr0, cr2, cr3, cr4, efer, pdpte[] */
#define ARCH_DRS	BIT(2)	/* dr[] */
#define ARCH_MSRS	BIT(3)	/* pat .. sysenter_eip */
#define ARCH_CODE	BIT(4)	/* code64, cpl, cr3: follow from the others, never dirty */
#define ARCH_ALL	(ARCH_SEGS | ARCH_CRS | ARCH_DRS | ARCH_MSRS)

/**
 * struct halo_arch - a vCPU's registers beyond those that every exit moves
 * @valid: groups that hold the present values; run() leaves none valid but
 *	those that the guest can't change behind our back
 * @dirty: groups that state_set() must take before the next entry
 * @code64: in 64-bit mode: EFER.LMA and CS.L
 * @cpl: SS.DPL
 * @cr4: always present, as each change of it exits
 *
 * The core reads a group through halo_arch_get() and writes it through
 * halo_arch_put(): a read of a group that is not touched costs nothing.
 */
struct halo_arch {
	u32 valid;
	u32 dirty;
	bool code64;
	u8 cpl;
	struct halo_seg seg[SEG_COUNT];
	struct halo_dtable gdt;
	struct halo_dtable idt;
	u64 cr0;
	u64 cr2;
	u64 cr3;
	u64 cr4;
	u64 efer;
	u64 pdpte[4];		/* with cr0: used in PAE paging only, where VT-x keeps them */
	u64 dr[6];		/* DR0 to DR3, DR6, DR7 */
	u64 pat;
	union {
		u64 msrs[8];	/* the same as the VMCB has them */
		struct {
			u64 star;
			u64 lstar;
			u64 cstar;
			u64 sfmask;
			u64 kernel_gs_base;
			u64 sysenter_cs;
			u64 sysenter_esp;
			u64 sysenter_eip;
		};
	};
};

enum halo_event_type {
	EVENT_NONE,
	EVENT_INTR,		/* external interrupt */
	EVENT_NMI,
	EVENT_EXCEPTION,
	EVENT_SOFT_INT,		/* INT n */
};

/**
 * struct halo_event - an event being delivered to the guest
 * @type: enum halo_event_type
 * @vector: its vector
 * @has_error: an exception that pushes @error
 * @error: error code
 *
 * Before run(): what the entry shall inject.  After it: what the exit
 * interrupted and the next entry must inject again (SDM 3C 27.2.4,
 * APM 15.7.2).
 */
struct halo_event {
	u8 type;
	u8 vector;
	bool has_error;
	u32 error;
};

enum halo_hw_reason {
	HW_NONE,		/* nothing for the core to do */
	HW_INTR,		/* a host interrupt */
	HW_DEADLINE,		/* halo_cpu.deadline has come, or the stay was long enough */
	HW_NMI,			/* a host NMI, handled */
	HW_INTR_WINDOW,		/* the guest can take an interrupt */
	HW_NMI_WINDOW,		/* the guest can take an NMI */
	HW_EXCEPTION,		/* .exc: #DB, #AC, #UD */
	HW_MACHINE_CHECK,	/* #MC, handled by the host; the guest is lost */
	HW_CPUID,
	HW_HLT,
	HW_PAUSE,
	HW_RDMSR,
	HW_WRMSR,
	HW_PIO,			/* .io */
	HW_MEMORY,		/* .mem: second-stage fault */
	HW_HYPERCALL,
	HW_EOI,			/* .apic: the vector; the CPU has ended it */
	HW_APIC_WRITE,		/* .apic: offset in the page, which has been written; .written */
	HW_CR,			/* .cr */
	HW_DR,			/* .cr: MOV DR */
	HW_XSETBV,
	HW_WBINVD,		/* WBINVD, INVD */
	HW_RDPMC,
	HW_UNDEFINED,		/* an instruction that this guest does not have */
	HW_SHUTDOWN,		/* triple fault */
	HW_INIT,		/* INIT signal */
	HW_ENTRY_FAILED,	/* .code */
	HW_UNKNOWN,		/* .code */
	HW_REASONS
};

#define CR_GPR_UNKNOWN	0xff

enum halo_cr_op { CR_OP_READ, CR_OP_WRITE, CR_OP_CLTS, CR_OP_LMSW };

/**
 * struct halo_hwexit - why the guest stopped
 * @reason: enum halo_hw_reason
 * @insn_len: length of the instruction at RIP, 0 = the CPU did not tell; HW_MEMORY: told
 *	only of one that stores and does not read there
 * @insn_avail: bytes in @insn, 0 = the CPU did not tell
 * @insn: bytes at RIP
 */
struct halo_hwexit {
	u8 reason;
	u8 insn_len;
	u8 insn_avail;
	u8 insn[15];
	union {
		struct {
			u16 port;
			u8 size;
			bool in;
			bool string;
			bool rep;
		} io;
		struct {
			u64 gpa;
			bool write;
			bool exec;
			bool walk;	/* by the guest's page walk, not its access */
			bool device;	/* the core's: no memory is there */
		} mem;
		struct {
			u64 qual;	/* #DB: DR6 bits */
			u32 error;
			u8 vector;
			bool has_error;
		} exc;
		struct {
			u8 nr;
			u8 op;		/* enum halo_cr_op */
			u8 gpr;		/* or CR_GPR_UNKNOWN: decode */
		} cr;
		struct {
			u32 apic;
			u32 written;	/* in xAPIC mode: what, if it was not */
			bool sent;	/* an ICR: whoever could take it has */
		};
		u64 code;		/* the hardware's */
	};
};

#define SHADOW_STI	BIT(0)
#define SHADOW_MOV_SS	BIT(1)

/**
 * struct halo_cpu - what a backend knows of a vCPU
 * @regs: the next three, for the decoder
 * @gpr: general registers; present after run(), taken by it
 * @rip: the same
 * @rflags: the same
 * @cr8: task priority 0 to 15; present after run(), taken by it
 * @event: see struct halo_event
 * @shadow: SHADOW_*; present after run(), taken by it
 * @nmi_masked: NMIs are blocked until IRET; kept by the backend
 * @want_intr_window: exit as soon as an interrupt can be taken
 * @want_nmi_window: exit as soon as an NMI can be taken
 * @flush_tlb: flush the guest's TLB on this entry; cleared by run()
 * @exit: why run() came back
 * @arch: the other registers
 * @root: host-physical address of the second-stage root
 * @tsc_offset: guest TSC minus host TSC, after that was multiplied
 * @tsc_ratio: by what, with halo_caps.tsc_fraction bits behind the point; 0 = 1
 * @deadline: host TSC at which run() shall have come back with HW_DEADLINE, 0 = none;
 *	of use with halo_caps.deadline only
 * @apic_page: the LAPIC's registers, a page; with @virt_intr the CPU delivers what is in
 *	its IRR, and moves it to ISR, by itself
 * @virt_intr: it shall; apic_refresh() is told when that changes
 * @apic_ipis: with halo_caps.virt_xapic: other vCPUs' IPIs may go to the page
 * @apic_number: and number of the vCPU; not below 64: it is none of the VM's yet
 * @shared: and what the backend keeps for all vCPUs of the VM
 * @tpr_threshold: class of TPR below which an interrupt can be taken that now can't; at
 *	most that of the present TPR
 * @apic_changed: the next four are new; cleared by run()
 * @apic_x2: guest is in x2APIC mode: MSRs are that page, too
 * @apic_rvi: highest vector in IRR, or 0
 * @apic_svi: highest vector in ISR, or 0
 * @eoi_exits: bit set: the vector's EOI gives HW_EOI
 * @xcr0: guest XCR0; loaded around the guest while CR4.OSXSAVE
 * @again: nothing was done since the last exit but answer it: no event to inject, no
 *	change of windows, root or TLB; interrupts have been off
 * @rcu_told: for halo_host_guest_enter()
 * @pcpu: the CPU it is loaded on, -1 = none
 * @flushes: counts TLB flushes
 * @be: the backend's own
 */
struct halo_cpu {
	union {
		struct halo_insn_regs regs;
		struct {
			u64 gpr[GPR_COUNT];
			u64 rip;
			u64 rflags;
		};
	};
	u8 cr8;
	u8 shadow;
	bool nmi_masked;
	bool want_intr_window;
	bool want_nmi_window;
	bool flush_tlb;
	struct halo_event event;
	struct halo_hwexit exit;
	struct halo_arch arch;
	u64 root;
	u64 tsc_offset;
	u64 tsc_ratio;
	u64 deadline;
	void *apic_page;
	void **shared;
	u8 apic_number;
	bool apic_ipis;
	bool virt_intr;
	u8 tpr_threshold;
	bool apic_changed;
	bool apic_x2;
	u8 apic_rvi;
	u8 apic_svi;
	u64 eoi_exits[4];
	u64 xcr0;
	bool again;
	unsigned long rcu_told;
	int pcpu;
	u64 flushes;
	void *be;
};

/*
 * A guest spins when it makes one PAUSE after another, no further apart than GAP cycles,
 * for WINDOW cycles (VT-x) or COUNT times (AMD-V).
 */
#define HALO_PAUSE_GAP		128
#define HALO_PAUSE_WINDOW	4096
#define HALO_PAUSE_COUNT	3000

struct gpt_format;

/**
 * struct halo_caps - what a backend found in the CPU
 * @text: why the CPU can't be used (what, why, fix), or NULL
 * @error: the errno for it: -EOPNOTSUPP no such CPU, -EPERM the firmware
 *	forbids it
 * @nrips: the CPU saves the next RIP
 * @decode_assists: the CPU saves instruction bytes
 * @flush_by_asid: one guest's TLB can be flushed alone
 * @pause_loop: it tells of a guest that spins with PAUSE
 * @vnmi: NMI blocking is tracked by the CPU
 * @page_1g: second-stage 1G pages
 * @deadline: run() keeps halo_cpu.deadline
 * @tpr_shadow: the guest writes TPR in halo_cpu.apic_page, and run() comes back when
 *	its class goes below halo_cpu.tpr_threshold
 * @virt_intr: the CPU delivers interrupts out of halo_cpu.apic_page by itself
 * @tsc_fraction: the CPU multiplies a guest's TSC: bits of the factor behind the point
 * @tsc_whole: and in front of it
 * @virt_intr_off: it could, but a parameter of the module's says no
 * @virt_xapic: it does only for an xAPIC at its default address, posted interrupts to a
 *	vCPU that runs need no kick but doorbell(), and it sends IPIs by itself
 * @format: of the second-stage tables
 */
struct halo_caps {
	const char *text;
	int error;
	bool nrips;
	bool decode_assists;
	bool flush_by_asid;
	bool pause_loop;
	bool vnmi;
	bool page_1g;
	bool deadline;
	bool tpr_shadow;
	bool virt_intr;
	bool virt_intr_off;
	bool virt_xapic;
	u8 tsc_fraction;
	u8 tsc_whole;
	const struct gpt_format *format;
};

/**
 * struct halo_backend - a vendor's hardware
 *
 * Which operation may sleep, and what it may be called under, stands at each.
 * At most 24: when one more is needed, the cut is wrong.
 */
struct halo_backend {
	const char *name;
	u32 id;				/* HALO_BACKEND_* of the user interface */

	/* At load: what the CPU can do. Touches nothing. */
	void (*probe)(struct halo_caps *caps);
	/* Once around the use of the hardware; may sleep. */
	int (*setup)(void);
	void (*teardown)(void);
	/* On each CPU, interrupts off. hw_on: -EBUSY if somebody else is on. */
	int (*hw_on)(void);
	void (*hw_off)(void);

	/* vCPU life; may sleep. reset(): the state of APM 14.1.3 / SDM 9.1.1. */
	int (*cpu_init)(struct halo_cpu *cpu);
	void (*cpu_fini)(struct halo_cpu *cpu);
	void (*cpu_reset)(struct halo_cpu *cpu, bool init);

	/* Bind to and leave the current CPU; preemption off. */
	void (*load)(struct halo_cpu *cpu, int pcpu);
	void (*put)(struct halo_cpu *cpu);

	/* Enter the guest once; interrupts off before and after. */
	void (*run)(struct halo_cpu *cpu);

	/* Move groups (ARCH_*) between hardware and cpu->arch. */
	void (*state_get)(struct halo_cpu *cpu, u32 groups);
	void (*state_set)(struct halo_cpu *cpu, u32 groups);

	/* cpu->tsc_offset, cpu->tsc_ratio or the guest's CPUID changed. */
	void (*refresh)(struct halo_cpu *cpu);

	/*
	 * With halo_caps.virt_xapic only.  What the vCPU's LAPIC is addressed by changed; the
	 * first run() of some is next, with cpu->virt_intr; make the guest on another CPU
	 * look at its IRR.
	 */
	void (*apic_refresh)(struct halo_cpu *cpu);
	void (*apic_enter)(struct halo_cpu *cpu);
	void (*doorbell)(int pcpu);
};

extern const struct halo_backend svm_backend;
extern const struct halo_backend vmx_backend;

#endif /* HALO_BACKEND_H */
