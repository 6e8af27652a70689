/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of vmx/ share.
 */
#ifndef HALO_VMX_H
#define HALO_VMX_H

#include <linux/list.h>
#include <linux/percpu.h>
#include <asm/asm.h>
#include "backend.h"
#include "controls.h"
#include "count.h"

/*
 * The instructions.  One that faults was reached after VT-x was switched off under
 * us (reboot, crash): it does nothing then, as nothing will run again.
 */
static __always_inline u64 vmx_vmread(u32 field)
{
	u64 value = 0;

	halo_count(COUNT_VMREAD);
	asm volatile("1: vmread %1, %0\n2:" _ASM_EXTABLE(1b, 2b)
		     : "+r" (value) : "r" ((u64)field) : "cc");
	return value;
}

static __always_inline void vmx_vmwrite(u32 field, u64 value)
{
	halo_count(COUNT_VMWRITE);
	asm volatile("1: vmwrite %1, %0\n2:" _ASM_EXTABLE(1b, 2b)
		     : : "r" ((u64)field), "rm" (value) : "cc", "memory");
}

#include "fields.h"

/**
 * struct vmx_cpu - VT-x's half of a vCPU
 * @vmcs: fields of its VMCS
 * @region: the VMCS
 * @region_pa: its physical address
 * @node: in the list of the CPU that it is active on
 * @on: that CPU, -1 = none
 * @launched: VMRESUME, not VMLAUNCH
 * @loaded: between load() and put()
 * @fresh: controls and host state are to be written
 * @refresh: TSC offset likewise
 * @vpid: tag of its translations, 0 = the CPU has none
 * @host_rsp: what VMCS_HOST_RSP holds
 * @reason: exit reason
 * @failed: VMLAUNCH or VMRESUME itself failed: there is none
 * @l1d_flush: the L1 cache may hold what the guest must not find
 * @exit_rip: RIP at the last exit
 * @pending_dbg: debug exceptions that wait for the end of a shadow
 * @cr0: CR0 as the guest sees it
 * @cr2: CR2, which the VMCS does not hold
 * @cr4: CR4 as the guest sees it
 * @dr: guest DR0 to DR3 and DR6, which the VMCS does not hold
 * @dr_active: guest DR7 enables a breakpoint: load DR0 to DR3 around the guest
 * @dr_switch: that, or the host has breakpoints
 * @injected: type of the event that this stay began with
 * @star: MSRs of SYSCALL; in the CPU between load() and put()
 * @lstar: as @star
 * @cstar: a number only: no Intel CPU uses it
 * @sfmask: as @star
 * @pat: PAT
 * @kernel_gs_base: when not loaded; the guest changes it in the CPU
 * @host: the host's state that exits destroy, from load() to put()
 */
struct vmx_cpu {
	struct vmx_fields vmcs;
	void *region;
	u64 region_pa;
	struct list_head node;
	int on;
	bool launched;
	bool loaded;
	bool fresh;
	bool refresh;
	u16 vpid;
	u64 host_rsp;
	u32 reason;
	bool failed;
	bool l1d_flush;
	u64 exit_rip;
	u64 pending_dbg;
	u64 cr0;
	u64 cr2;
	u64 cr4;
	u64 dr[5];
	bool dr_active;
	bool dr_switch;
	u8 injected;
	u64 star;
	u64 lstar;
	u64 cstar;
	u64 sfmask;
	u64 pat;
	u64 kernel_gs_base;
	struct {
		u16 ds, es, fs, gs, ldt;
		u64 fs_base;
		u64 kernel_gs_base;
		u64 debugctl;
		struct desc_ptr gdt, idt;
	} host;
};

/**
 * struct vmx_host - a CPU's half
 * @region: VMXON region
 * @active: VMCSs that are active here (interrupts off)
 * @current_vmcs: the current one
 * @on: VMXON was executed by us
 */
struct vmx_host {
	struct page *region;
	struct list_head active;
	struct vmx_cpu *current_vmcs;
	bool on;
};

DECLARE_PER_CPU(struct vmx_host, vmx_host);

extern u64 vmx_caps[VMX_CAPS];
extern struct vmx_controls vmx_controls;
extern u64 vmx_msr_bitmap_pa[2];

static inline struct vmx_cpu *to_vmx(struct halo_cpu *cpu)
{
	return cpu->be;
}

/* vmx.c */
void vmx_vmcs_clear(struct vmx_cpu *vmx);
bool vmx_vmcs_load(struct vmx_cpu *vmx);
void vmx_invept(u64 eptp);

/* state.c */
int vmx_cpu_init(struct halo_cpu *cpu);
void vmx_cpu_fini(struct halo_cpu *cpu);
void vmx_cpu_reset(struct halo_cpu *cpu, bool init);
void vmx_state_get(struct halo_cpu *cpu, u32 groups);
void vmx_state_set(struct halo_cpu *cpu, u32 groups);
void vmx_refresh(struct halo_cpu *cpu);
void vmx_vmcs_init(struct halo_cpu *cpu);

/* run.c */
void vmx_msrs_load(struct vmx_cpu *vmx);
void vmx_load(struct halo_cpu *cpu, int pcpu);
void vmx_put(struct halo_cpu *cpu);
void vmx_run(struct halo_cpu *cpu);

/* exit.c; in vmx_took[], beside VMX_TOOK, the reason: the CPU tells a length; and more */
#define VMX_TOOK	0x3f
#define VMX_INSN	0x40
#define VMX_MORE	0x80
static_assert(HW_REASONS <= VMX_TOOK);

extern const u8 vmx_took[VMX_REASONS];
void vmx_failed(struct halo_cpu *cpu);
void vmx_exit_decode(struct halo_cpu *cpu);

/* entry.S */
bool vmx_vmenter(u64 *gpr, bool launched, u64 *host_rsp);
void vmx_vmexit(void);

#endif /* HALO_VMX_H */
