// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU's registers in the VMCB: life, reset, get and set.
 *
 * Called under the vCPU's mutex, never while it is in the guest.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include "svm.h"

/**
 * svm_cpu_init() - allocate SVM's half of a vCPU
 * @cpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int svm_cpu_init(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = kzalloc(sizeof(*svm), GFP_KERNEL_ACCOUNT);

	if (!svm)
		return -ENOMEM;
	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb) {
		kfree(svm);
		return -ENOMEM;
	}
	svm->pa[SVM_PA_GUEST] = virt_to_phys(svm->vmcb);
	cpu->be = svm;
	return svm_avic_init(cpu);
}

/**
 * svm_cpu_fini() - free it
 * @cpu: the vCPU, whether or not svm_cpu_init() succeeded
 */
void svm_cpu_fini(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);

	if (!svm)
		return;
	svm_avic_fini(cpu);
	free_page((unsigned long)svm->vmcb);
	kfree(svm);
	cpu->be = NULL;
}

static void svm_vmcb_init(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_vmcb *v = svm->vmcb;
	unsigned int i;

	/* A page that is new is zero. */
	if (v->iopm_pa)
		memset(v, 0, sizeof(*v));
	for (i = 0; i < SVM_INTERCEPTS; i++)
		if (svm_take[i])
			v->intercept[i / 32] |= BIT(i % 32);
	/* Each PAUSE, unless the CPU counts them; a threshold it lacks it ignores (15.14.4). */
	svm_intercept(v, SVM_PAUSE, svm_caps.pause_loop);
	v->pause_count = HALO_PAUSE_COUNT;
	v->pause_threshold = HALO_PAUSE_GAP;
	v->iopm_pa = svm_iopm_pa;
	v->msrpm_pa = svm_msrpm_pa;
	v->np_control = SVM_NP_ENABLE;
	v->int_ctl = SVM_V_INTR_MASKING;
	svm->int_ctl = SVM_V_INTR_MASKING;
	if (svm->avic)
		svm_avic_refresh(cpu);
	v->tsc_offset = cpu->tsc_offset;
	v->efer = EFER_SVME;
	svm->asid_gen = 0;
}

/**
 * svm_cpu_reset() - put a vCPU into the state after RESET or INIT
 * @cpu: the vCPU
 * @init: INIT: MSRs and the FPU keep their values
 *
 * The registers are set by the core through svm_state_set(); here is only what
 * it can't see.
 */
void svm_cpu_reset(struct halo_cpu *cpu, bool init)
{
	struct svm_cpu *svm = to_svm(cpu);

	if (!init)
		svm_vmcb_init(cpu);
	svm->vmcb->clean = 0;
	svm->vmcb->event_inj = 0;
	svm->iret_seen = false;
	svm->nmi_step = false;
	svm->shadow = 0;
	svm->shadow_lost = false;
	cpu->nmi_masked = false;
	cpu->shadow = 0;
	cpu->event.type = EVENT_NONE;
}

/* The VMCB keeps AVL, L, DB and G where a descriptor has them minus the limit. */
static void svm_seg_get(struct halo_seg *to, const struct svm_seg *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attrib = from->attrib & 0xfff;
	if (!(to->attrib & SEG_ATTR_P))
		to->attrib |= SEG_ATTR_UNUSABLE;
}

static void svm_seg_set(struct svm_seg *to, const struct halo_seg *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attrib = from->attrib & 0xfff;
	if (from->attrib & SEG_ATTR_UNUSABLE)
		to->attrib &= ~SEG_ATTR_P;
}

static struct svm_seg *svm_seg(struct svm_vmcb *v, unsigned int i)
{
	return i < SEG_LDTR ? &v->seg[i] : i == SEG_LDTR ? &v->ldtr : &v->tr;
}

/*
 * The guest's CR0 runs in the CPU but for CD and NW, which would make the
 * host's cache slow; while they are set, reads and all writes exit.
 */
static void svm_cr0_update(struct svm_cpu *svm, u64 cr0)
{
	struct svm_vmcb *v = svm->vmcb;
	u64 real = cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW);

	svm->cr0 = cr0;
	v->cr0 = real;
	svm_intercept(v, SVM_CR_READ + 0, cr0 != real);
	svm_intercept(v, SVM_CR_WRITE + 0, cr0 != real);
}

static_assert(offsetof(struct halo_arch, sysenter_eip) - offsetof(struct halo_arch, star) ==
	      offsetof(struct svm_vmcb, sysenter_eip) - offsetof(struct svm_vmcb, star));

/**
 * svm_state_get() - copy groups of registers out of the VMCB
 * @cpu: the vCPU
 * @groups: ARCH_*
 */
void svm_state_get(struct halo_cpu *cpu, u32 groups)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_vmcb *v = svm->vmcb;
	struct halo_arch *a = &cpu->arch;
	unsigned int i;

	if (groups & ARCH_CODE)
		svm_code_get(cpu, v);
	if (groups & ARCH_SEGS) {
		for (i = 0; i < SEG_COUNT; i++)
			svm_seg_get(&a->seg[i], svm_seg(v, i));
		/* CPL stands beside SS in the VMCB and in SS.DPL everywhere else. */
		a->seg[SEG_SS].attrib &= ~(3 << SEG_ATTR_DPL_SHIFT);
		a->seg[SEG_SS].attrib |= (v->cpl & 3) << SEG_ATTR_DPL_SHIFT;
		a->gdt.base = v->gdtr.base;
		a->gdt.limit = v->gdtr.limit;
		a->idt.base = v->idtr.base;
		a->idt.limit = v->idtr.limit;
	}
	if (groups & ARCH_CRS) {
		/* TS and MP may have changed without an exit. */
		a->cr0 = v->cr0 | (svm->cr0 & (X86_CR0_CD | X86_CR0_NW));
		a->cr2 = v->cr2;
		a->cr3 = v->cr3;
		a->cr4 = v->cr4;
		a->efer = v->efer & ~(u64)EFER_SVME;
	}
	if (groups & ARCH_DRS) {
		memcpy(a->dr, svm->dr, sizeof(svm->dr));
		a->dr[4] = v->dr6;
		a->dr[5] = v->dr7;
	}
	if (groups & ARCH_MSRS) {
		memcpy(a->msrs, v->msrs, sizeof(a->msrs));
		a->pat = v->g_pat;
	}
}

/**
 * svm_state_set() - copy groups of registers into the VMCB
 * @cpu: the vCPU
 * @groups: ARCH_*
 */
void svm_state_set(struct halo_cpu *cpu, u32 groups)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_vmcb *v = svm->vmcb;
	const struct halo_arch *a = &cpu->arch;
	unsigned int i;

	if (groups & ARCH_SEGS) {
		for (i = 0; i < SEG_COUNT; i++)
			svm_seg_set(svm_seg(v, i), &a->seg[i]);
		v->cpl = (a->seg[SEG_SS].attrib >> SEG_ATTR_DPL_SHIFT) & 3;
		v->gdtr.base = a->gdt.base;
		v->gdtr.limit = a->gdt.limit;
		v->idtr.base = a->idt.base;
		v->idtr.limit = a->idt.limit;
		v->clean &= ~(SVM_CLEAN_SEG | SVM_CLEAN_DT);
	}
	if (groups & ARCH_CRS) {
		svm_cr0_update(svm, a->cr0);
		v->cr2 = a->cr2;
		v->cr3 = a->cr3;
		v->cr4 = a->cr4;
		v->efer = a->efer | EFER_SVME;
		v->clean &= ~(SVM_CLEAN_CR | SVM_CLEAN_CR2);
	}
	if (groups & ARCH_DRS) {
		memcpy(svm->dr, a->dr, sizeof(svm->dr));
		v->dr6 = a->dr[4];
		v->dr7 = a->dr[5];
		svm->dr_active = a->dr[5] & 0xff;
		v->clean &= ~SVM_CLEAN_DR;
	}
	if (groups & ARCH_MSRS) {
		memcpy(v->msrs, a->msrs, sizeof(v->msrs));
		v->g_pat = a->pat;
		v->clean &= ~SVM_CLEAN_NPT;
	}
}

/**
 * svm_refresh() - take over what the core changed beside the registers
 * @cpu: the vCPU, whose tsc_offset may have changed
 */
void svm_refresh(struct halo_cpu *cpu)
{
	struct svm_vmcb *v = to_svm(cpu)->vmcb;

	v->tsc_offset = cpu->tsc_offset;
	v->clean &= ~SVM_CLEAN_INTERCEPTS;
}
