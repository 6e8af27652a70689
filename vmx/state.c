// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU's registers in the VMCS: life, reset, get and set.
 *
 * Called under the vCPU's mutex, never while it is in the guest.  Groups are set
 * only between load() and put(), where the VMCS is current; they are got at any
 * time, and a VMCS that is not current is made so for the moment.  In between the
 * thread may be moved to another CPU: load() there makes the VMCS current again,
 * so that each VMREAD and VMWRITE by itself finds it.
 */
#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/desc.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>
#include "host.h"
#include "vmx.h"

static atomic_t vmx_vpids = ATOMIC_INIT(0);

/* #DB and #AC can loop for ever in the CPU; #UD: VMMCALL on Intel; #MC is the host's. */
#define VMX_TAKE_EXCEPTIONS	(BIT(1) | BIT(6) | BIT(17) | BIT(18))

/**
 * vmx_cpu_init() - allocate VT-x's half of a vCPU
 * @cpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int vmx_cpu_init(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = kvzalloc(sizeof(*vmx), GFP_KERNEL_ACCOUNT);

	if (!vmx)
		return -ENOMEM;
	vmx->region = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->region) {
		kvfree(vmx);
		return -ENOMEM;
	}
	*(u32 *)vmx->region = vmx_caps[VMX_CAP_BASIC] & VMX_CAP_BASIC_REVISION;
	vmx->region_pa = virt_to_phys(vmx->region);
	vmx->on = -1;
	/*
	 * What is cached is also tagged with the EPT root, so that a number may come
	 * again in another VM; a vCPU that comes to a CPU flushes.
	 */
	if (vmx_controls.cpu2 & VMX_CPU2_VPID)
		vmx->vpid = (u32)atomic_inc_return(&vmx_vpids) % 0xffff + 1;
	cpu->be = vmx;
	return 0;
}

/**
 * vmx_cpu_fini() - free it
 * @cpu: the vCPU, whether or not vmx_cpu_init() succeeded
 */
void vmx_cpu_fini(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	if (!vmx)
		return;
	vmx_vmcs_clear(vmx);
	free_page((unsigned long)vmx->region);
	kvfree(vmx);
	cpu->be = NULL;
}

/**
 * vmx_cpu_reset() - put a vCPU into the state after RESET or INIT
 * @cpu: the vCPU
 * @init: INIT: MSRs and the FPU keep their values
 *
 * The registers are set by the core through vmx_state_set(); here is only what
 * it can't see.
 */
void vmx_cpu_reset(struct halo_cpu *cpu, bool init)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	if (!init)
		vmx->fresh = true;
	vmx->pending_dbg = 0;
	cpu->nmi_masked = false;
	cpu->shadow = 0;
	cpu->event.type = EVENT_NONE;
}

/**
 * vmx_vmcs_init() - write what does not change while the VM runs
 * @cpu: the vCPU, loaded; interrupts are off
 */
void vmx_vmcs_init(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);
	struct vmx_fields *f = &vmx->vmcs;
	u64 value;

	/* Guest state (24.4) beyond the registers */
	vmx_set(f, VMCS_GUEST_LINK_POINTER, ~0ull);
	vmx_set(f, VMCS_GUEST_DEBUGCTL, 0);
	vmx_set(f, VMCS_GUEST_ACTIVITY, VMX_ACTIVE);
	vmx_set(f, VMCS_GUEST_PENDING_DBG, 0);

	/* Host state (24.5); what differs between CPUs is load()'s */
	vmx_set(f, VMCS_HOST_CR0, read_cr0());
	vmx_set(f, VMCS_HOST_CS_SEL, __KERNEL_CS);
	vmx_set(f, VMCS_HOST_SS_SEL, __KERNEL_DS);
	vmx_set(f, VMCS_HOST_DS_SEL, 0);
	vmx_set(f, VMCS_HOST_ES_SEL, 0);
	vmx_set(f, VMCS_HOST_FS_SEL, 0);
	vmx_set(f, VMCS_HOST_GS_SEL, 0);
	vmx_set(f, VMCS_HOST_TR_SEL, GDT_ENTRY_TSS * 8);
	vmx_set(f, VMCS_HOST_SYSENTER_CS, __KERNEL_CS);
	vmx_set(f, VMCS_HOST_RIP, (unsigned long)vmx_vmexit);
	rdmsrl(MSR_EFER, value);
	vmx_set(f, VMCS_HOST_EFER, value);
	if (vmx_controls.exit & VMX_EXIT_LOAD_PAT) {
		rdmsrl(MSR_IA32_CR_PAT, value);
		vmx_set(f, VMCS_HOST_PAT, value);
	}

	/* Execution controls (24.6) */
	vmx_set(f, VMCS_PIN_CTLS, vmx_controls.pin);
	vmx_set(f, VMCS_CPU_CTLS, vmx_controls.cpu);
	vmx_set(f, VMCS_CPU2_CTLS, vmx_controls.cpu2);
	if (vmx_controls.cpu2 & VMX_CPU2_PAUSE_LOOP) {
		vmx_set(f, VMCS_PLE_GAP, HALO_PAUSE_GAP);
		vmx_set(f, VMCS_PLE_WINDOW, HALO_PAUSE_WINDOW);
	}
	vmx_set(f, VMCS_EXCEPTION_BITMAP, VMX_TAKE_EXCEPTIONS);
	vmx_set(f, VMCS_PF_ERROR_MASK, 0);
	vmx_set(f, VMCS_PF_ERROR_MATCH, 0);
	vmx_set(f, VMCS_CR0_MASK, ~0ull);
	vmx_set(f, VMCS_CR4_MASK, ~0ull);
	vmx_set(f, VMCS_CR3_TARGET_COUNT, 0);
	vmx_set(f, VMCS_MSR_BITMAP, vmx_msr_bitmap_pa[false]);
	vmx_set(f, VMCS_VIRTUAL_APIC_ADDR, virt_to_phys(cpu->apic_page));
	vmx_set(f, VMCS_TPR_THRESHOLD, 0);
	cpu->apic_changed = vmx_controls.apic;
	if (vmx->vpid)
		vmx_set(f, VMCS_VPID, vmx->vpid);

	/* Exit and entry controls (24.7, 24.8) */
	vmx_set(f, VMCS_EXIT_CTLS, vmx_controls.exit);
	vmx_set(f, VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmx_set(f, VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmx_set(f, VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmx_set(f, VMCS_ENTRY_INTR_INFO, 0);
	vmx->fresh = false;
	vmx->refresh = true;
}

/* The VMCS keeps AVL, L, DB, G and "unusable" four bits higher. */
static u32 vmx_ar(u16 attrib)
{
	return (attrib & 0xff) | (attrib & 0x1f00) << 4;
}

static u16 vmx_attrib(u32 ar)
{
	return (ar & 0xff) | (ar >> 4 & 0x1f00);
}

static void vmx_get_segs(struct halo_arch *a, struct vmx_fields *f)
{
	unsigned int i;

	for (i = 0; i < SEG_COUNT; i++) {
		a->seg[i].selector = vmx_get(f, VMCS_GUEST_ES_SEL + 2 * i);
		a->seg[i].base = vmx_get(f, VMCS_GUEST_ES_BASE + 2 * i);
		a->seg[i].limit = vmx_get(f, VMCS_GUEST_ES_LIMIT + 2 * i);
		a->seg[i].attrib = vmx_attrib(vmx_get(f, VMCS_GUEST_ES_AR + 2 * i));
	}
	a->gdt.base = vmx_get(f, VMCS_GUEST_GDTR_BASE);
	a->gdt.limit = vmx_get(f, VMCS_GUEST_GDTR_LIMIT);
	a->idt.base = vmx_get(f, VMCS_GUEST_IDTR_BASE);
	a->idt.limit = vmx_get(f, VMCS_GUEST_IDTR_LIMIT);
}

static void vmx_get_code(struct halo_arch *a, struct vmx_fields *f)
{
	a->code64 = (vmx_get(f, VMCS_GUEST_EFER) & EFER_LMA) &&
		    (vmx_attrib(vmx_get(f, VMCS_GUEST_ES_AR + 2 * SEG_CS)) & SEG_ATTR_L);
	a->cpl = (vmx_attrib(vmx_get(f, VMCS_GUEST_ES_AR + 2 * SEG_SS)) >> SEG_ATTR_DPL_SHIFT) & 3;
	a->cr3 = vmx_get(f, VMCS_GUEST_CR3);
}

static void vmx_set_segs(const struct halo_arch *a, struct vmx_fields *f)
{
	unsigned int i;

	for (i = 0; i < SEG_COUNT; i++) {
		u16 attrib = a->seg[i].attrib;

		/* AMD's way to say it, which userspace may use, is a segment not present. */
		if (!(attrib & SEG_ATTR_P) && i != SEG_TR)
			attrib |= SEG_ATTR_UNUSABLE;
		vmx_set(f, VMCS_GUEST_ES_SEL + 2 * i, a->seg[i].selector);
		vmx_set(f, VMCS_GUEST_ES_BASE + 2 * i, a->seg[i].base);
		vmx_set(f, VMCS_GUEST_ES_LIMIT + 2 * i, a->seg[i].limit);
		vmx_set(f, VMCS_GUEST_ES_AR + 2 * i, vmx_ar(attrib));
	}
	vmx_set(f, VMCS_GUEST_GDTR_BASE, a->gdt.base);
	vmx_set(f, VMCS_GUEST_GDTR_LIMIT, a->gdt.limit & 0xffff);
	vmx_set(f, VMCS_GUEST_IDTR_BASE, a->idt.base);
	vmx_set(f, VMCS_GUEST_IDTR_LIMIT, a->idt.limit & 0xffff);
}

static bool vmx_pae_paging(const struct halo_arch *a)
{
	return (a->cr0 & X86_CR0_PG) && (a->cr4 & X86_CR4_PAE) && !(a->efer & EFER_LMA);
}

static void vmx_get_crs(struct halo_arch *a, struct vmx_cpu *vmx)
{
	unsigned int i;

	a->cr0 = vmx->cr0;
	a->cr2 = vmx->cr2;
	a->cr3 = vmx_get(&vmx->vmcs, VMCS_GUEST_CR3);
	a->cr4 = vmx->cr4;
	a->efer = vmx_get(&vmx->vmcs, VMCS_GUEST_EFER);
	if (unlikely(vmx_pae_paging(a)))
		for (i = 0; i < 4; i++)
			a->pdpte[i] = vmx_get(&vmx->vmcs, VMCS_GUEST_PDPTE0 + 2 * i);
}

/*
 * All of CR0 and CR4 is ours: the guest reads the shadow, and a write that changes
 * it exits.  The CPU runs with what VMX wants (NE, VMXE), without CD and NW, which
 * an entry would not load anyway, and with the host's MCE, so that a machine check
 * exits and does not shut the machine down.
 */
static void vmx_set_crs(const struct halo_arch *a, struct vmx_cpu *vmx)
{
	const u64 pe_pg = X86_CR0_PE | X86_CR0_PG, cd_nw = X86_CR0_CD | X86_CR0_NW;
	struct vmx_fields *f = &vmx->vmcs;
	unsigned int i;

	vmx->cr0 = a->cr0;
	vmx->cr2 = a->cr2;
	vmx->cr4 = a->cr4;
	vmx_set(f, VMCS_CR0_SHADOW, a->cr0);
	vmx_set(f, VMCS_CR4_SHADOW, a->cr4);
	vmx_set(f, VMCS_GUEST_CR0,
		(a->cr0 & ~cd_nw) | (vmx_caps[VMX_CAP_CR0_FIXED0] & ~pe_pg));
	vmx_set(f, VMCS_GUEST_CR3, a->cr3);
	vmx_set(f, VMCS_GUEST_CR4,
		a->cr4 | vmx_caps[VMX_CAP_CR4_FIXED0] | (cr4_read_shadow() & X86_CR4_MCE));
	vmx_set(f, VMCS_GUEST_EFER, a->efer);
	vmx_set(f, VMCS_ENTRY_CTLS,
		vmx_controls.entry | (a->efer & EFER_LMA ? VMX_ENTRY_IA32E : 0));
	if (unlikely(vmx_pae_paging(a)))
		for (i = 0; i < 4; i++)
			vmx_set(f, VMCS_GUEST_PDPTE0 + 2 * i, a->pdpte[i]);
}

static void vmx_get_drs(struct halo_arch *a, struct vmx_cpu *vmx)
{
	memcpy(a->dr, vmx->dr, sizeof(vmx->dr));
	a->dr[5] = vmx_get(&vmx->vmcs, VMCS_GUEST_DR7);
}

static void vmx_set_drs(const struct halo_arch *a, struct vmx_cpu *vmx)
{
	memcpy(vmx->dr, a->dr, sizeof(vmx->dr));
	vmx_set(&vmx->vmcs, VMCS_GUEST_DR7, a->dr[5]);
	vmx->dr_active = a->dr[5] & 0xff;
}

static void vmx_get_msrs(struct halo_arch *a, struct vmx_cpu *vmx)
{
	struct vmx_fields *f = &vmx->vmcs;

	a->star = vmx->star;
	a->lstar = vmx->lstar;
	a->cstar = vmx->cstar;
	a->sfmask = vmx->sfmask;
	preempt_disable();
	if (vmx->loaded)
		rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	a->kernel_gs_base = vmx->kernel_gs_base;
	preempt_enable();
	a->sysenter_cs = vmx_get(f, VMCS_GUEST_SYSENTER_CS);
	a->sysenter_esp = vmx_get(f, VMCS_GUEST_SYSENTER_ESP);
	a->sysenter_eip = vmx_get(f, VMCS_GUEST_SYSENTER_EIP);
	a->pat = vmx->pat;
}

static void vmx_set_msrs(const struct halo_arch *a, struct vmx_cpu *vmx)
{
	struct vmx_fields *f = &vmx->vmcs;

	preempt_disable();
	vmx->star = a->star;
	vmx->lstar = a->lstar;
	vmx->cstar = a->cstar;
	vmx->sfmask = a->sfmask;
	vmx->kernel_gs_base = a->kernel_gs_base;
	vmx_msrs_load(vmx);
	preempt_enable();
	vmx_set(f, VMCS_GUEST_SYSENTER_CS, a->sysenter_cs);
	vmx_set(f, VMCS_GUEST_SYSENTER_ESP, a->sysenter_esp);
	vmx_set(f, VMCS_GUEST_SYSENTER_EIP, a->sysenter_eip);
	vmx->pat = a->pat;
	if (vmx_controls.entry & VMX_ENTRY_LOAD_PAT)
		vmx_set(f, VMCS_GUEST_PAT, a->pat);
}

/**
 * vmx_state_get() - copy groups of registers out of the VMCS
 * @cpu: the vCPU
 * @groups: ARCH_*
 */
void vmx_state_get(struct halo_cpu *cpu, u32 groups)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	preempt_disable();
	if (!vmx->loaded && !vmx_vmcs_load(vmx))
		goto out;	/* VT-x went off: there is nothing to be had */
	if (groups & ARCH_SEGS)
		vmx_get_segs(&cpu->arch, &vmx->vmcs);
	if (groups & ARCH_CRS)
		vmx_get_crs(&cpu->arch, vmx);
	if (groups & ARCH_CODE)
		vmx_get_code(&cpu->arch, &vmx->vmcs);
	if (groups & ARCH_DRS)
		vmx_get_drs(&cpu->arch, vmx);
	if (groups & ARCH_MSRS)
		vmx_get_msrs(&cpu->arch, vmx);
out:
	preempt_enable();
}

/**
 * vmx_state_set() - copy groups of registers into the VMCS
 * @cpu: the vCPU, loaded
 * @groups: ARCH_*
 */
void vmx_state_set(struct halo_cpu *cpu, u32 groups)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	if (groups & ARCH_SEGS)
		vmx_set_segs(&cpu->arch, &vmx->vmcs);
	if (groups & ARCH_CRS)
		vmx_set_crs(&cpu->arch, vmx);
	if (groups & ARCH_DRS)
		vmx_set_drs(&cpu->arch, vmx);
	if (groups & ARCH_MSRS)
		vmx_set_msrs(&cpu->arch, vmx);
}

/**
 * vmx_refresh() - take over what the core changed beside the registers
 * @cpu: the vCPU, whose tsc_offset may have changed
 */
void vmx_refresh(struct halo_cpu *cpu)
{
	to_vmx(cpu)->refresh = true;
}
