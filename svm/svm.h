/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of svm/ share.
 */
#ifndef HALO_SVM_H
#define HALO_SVM_H

#include <linux/percpu.h>
#include <asm/msr-index.h>
#include "avic_tables.h"
#include "backend.h"
#include "count.h"
#include "vmcb.h"

#define SVM_PA_GUEST	0
#define SVM_PA_HOST	1

/**
 * struct svm_cpu - SVM's half of a vCPU
 * @vmcb: control block
 * @pa: physical addresses: of @vmcb, and of the VMCB with this CPU's VMLOAD state; an entry
 *	takes both from here
 * @asid_gen: generation in which the ASID in @vmcb was given; 0 = none
 * @iret_rip: where the IRET stands that ends NMI blocking
 * @iret_seen: that IRET was intercepted; blocking ends once it is past
 * @nmi_step: TF is ours, to stop right behind that IRET
 * @shadow: this entry's interrupt shadow
 * @avic_on: cpu->virt_intr
 * @shadow_rip: and RIP then
 * @nmi_step_flags: guest RFLAGS.TF and RF while TF is ours
 * @dr: guest DR0 to DR3, which the VMCB does not hold
 * @dr_active: guest DR7 enables a breakpoint: load DR0 to DR3 around the guest
 * @dr_switch: that, or the host has breakpoints
 * @shadow_lost: the last entry did not take the interrupt shadow along
 * @shadow_kept: for how many exits at one RIP it was kept alive
 * @injected: EVENTINJ of the first entry of this stay
 * @cr0: CR0 as the guest sees it
 * @int_ctl: int_ctl but for V_TPR and an interrupt window
 * @avic: of the VM, NULL if AVIC is not used on this machine
 * @avic_running: its entry in the physical table says that it runs
 * @avic_keep: registers as they were at the entry
 */
struct svm_cpu {
	struct svm_vmcb *vmcb;
	u64 pa[2];
	u64 asid_gen;
	u64 iret_rip;
	bool iret_seen;
	u8 nmi_step : 1;
	u8 avic_on : 1;
	u8 shadow;
	u64 shadow_rip;
	u64 nmi_step_flags;
	u64 dr[4];
	bool dr_active;
	bool dr_switch;
	bool shadow_lost;
	u8 shadow_kept;
	u32 injected;
	u64 cr0;
	u32 int_ctl;
	struct svm_avic *avic;
	bool avic_running;
	u32 avic_keep[AVIC_KEEPS];
};

/**
 * struct svm_host - a CPU's half
 * @pages: the two below
 * @hsave_pa: host state-save area (VM_HSAVE_PA)
 * @host_pa: VMCB whose VMLOAD state is the host's, refreshed when a vCPU loads
 * @asid_gen: present ASID generation
 * @next_asid: next ASID to give
 * @max_asid: last one
 * @tsc_ratio: what the MSR TSC_RATIO holds, 0 = 1
 * @on: EFER.SVME is set by us
 */
struct svm_host {
	struct page *pages;
	u64 hsave_pa;
	u64 host_pa;
	u64 asid_gen;
	u32 next_asid;
	u32 max_asid;
	u64 tsc_ratio;
	bool on;
};

DECLARE_PER_CPU(struct svm_host, svm_host);

extern struct halo_caps svm_caps;
extern u64 svm_iopm_pa, svm_msrpm_pa;

static inline struct svm_cpu *to_svm(struct halo_cpu *cpu)
{
	return cpu->be;
}

/* Of word @i those in @mask. */
static inline void svm_intercepts(struct svm_vmcb *vmcb, unsigned int i, u32 mask, u32 on)
{
	on |= vmcb->intercept[i] & ~mask;
	if (likely(vmcb->intercept[i] == on))
		return;
	vmcb->intercept[i] = on;
	vmcb->clean &= ~SVM_CLEAN_INTERCEPTS;
}

static inline void svm_intercept(struct svm_vmcb *vmcb, unsigned int bit, bool on)
{
	svm_intercepts(vmcb, bit / 32, BIT(bit % 32), on ? BIT(bit % 32) : 0);
}

/* ARCH_CODE */
static __always_inline void svm_code_get(struct halo_cpu *cpu, const struct svm_vmcb *v)
{
	cpu->arch.code64 = (v->efer & EFER_LMA) && (v->seg[SEG_CS].attrib & SEG_ATTR_L);
	cpu->arch.cpl = v->cpl & 3;
	cpu->arch.cr3 = v->cr3;
}

/* svm.c */
void svm_tsc_ratio(struct svm_host *h, u64 ratio);

/* state.c */
int svm_cpu_init(struct halo_cpu *cpu);
void svm_cpu_fini(struct halo_cpu *cpu);
void svm_cpu_reset(struct halo_cpu *cpu, bool init);
void svm_state_get(struct halo_cpu *cpu, u32 groups);
void svm_state_set(struct halo_cpu *cpu, u32 groups);
void svm_refresh(struct halo_cpu *cpu);

/* run.c */
void svm_load(struct halo_cpu *cpu, int pcpu);
void svm_put(struct halo_cpu *cpu);
void svm_run(struct halo_cpu *cpu);

/* exit.c; in svm_take[]: it is more than the reason that an exit tells */
#define SVM_MORE	0x80
extern const u8 svm_take[SVM_INTERCEPTS];
void svm_exit_decode(struct halo_cpu *cpu);

/* avic.c */
int svm_avic_init(struct halo_cpu *cpu);
void svm_avic_fini(struct halo_cpu *cpu);
void svm_avic_refresh(struct halo_cpu *cpu);
void svm_avic_enter(struct halo_cpu *cpu);
void svm_avic_exit(struct halo_cpu *cpu);
void svm_avic_decode(struct halo_cpu *cpu);
void svm_doorbell(int pcpu);

/* entry.S */
void svm_vmrun(u64 *gpr, const u64 pa[2]);

#endif /* HALO_SVM_H */
