// SPDX-License-Identifier: GPL-2.0
/*
 * VT-x: what the CPU can do, switching it on and off, which VMCS is where, and the
 * backend table.
 *
 * Called by module/dev.c (probe) and module/vm.c (the first VM switches every
 * CPU's VT-x on, the last one off; hotplug, suspend and a crash call the same two
 * per CPU).  Nothing is written to a CPU before a VM exists.
 *
 * A VMCS is active on at most one CPU, which may hold parts of it in itself; it is
 * taken out by VMCLEAR there before it is loaded elsewhere, freed, or VT-x goes
 * off.  Each CPU has a list of those that are active on it, touched by that CPU
 * alone with interrupts off.  A crash may come in the middle of such a change: it
 * walks the list forward, and an element is linked before the CPU knows the VMCS
 * and unlinked after the CPU has forgotten it.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/perf_event.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/tlbflush.h>
#include "gpt.h"
#include "vmx.h"

DEFINE_PER_CPU(struct vmx_host, vmx_host);

u64 vmx_caps[VMX_CAPS];
struct vmx_controls vmx_controls;
u64 vmx_msr_bitmap_pa[2];	/* of a guest whose x2APIC is virtual: the second */

static struct page *vmx_msr_bitmap[2];
static char vmx_text[120];

/*
 * MSRs that the guest reads and writes in the CPU: those that the VMCS holds and,
 * KERNEL_GS_BASE, that load() and put() switch.  Everything else exits.
 */
static const u32 vmx_msr_through[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/*
 * Registers of a virtual x2APIC, all as it last had them; not the timer's current
 * count, which has to be computed.  Written without an exit: TPR, EOI, self-IPI.
 */
static const struct {
	u32 first, last;
} vmx_x2apic_read[] = {
	{ 0x802, 0x803 }, { 0x808, 0x808 }, { 0x80a, 0x80a }, { 0x80d, 0x80d }, { 0x80f, 0x828 },
	{ 0x830, 0x830 }, { 0x832, 0x838 }, { 0x83e, 0x83e },
};

static const u32 vmx_x2apic_write[] = { 0x808, 0x80b, 0x83f };

static bool vmx_apicv = true;
module_param_named(apicv, vmx_apicv, bool, 0444);
MODULE_PARM_DESC(apicv, "let the CPU deliver interrupts (VT-x), if it can");

static void vmx_probe(struct halo_caps *caps)
{
	u64 feature;
	unsigned int i, n;

	memset(caps, 0, sizeof(*caps));
	caps->error = -EOPNOTSUPP;
	caps->text = "the CPU has no VT-x (or the outer hypervisor hides it)";
	if (!(cpuid_ecx(1) & BIT(5)))
		return;
	/* The kernel locks what the firmware left open; a bit that is off stays off. */
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &feature) || !(feature & FEAT_CTL_LOCKED) ||
	    !(feature & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		caps->error = -EPERM;
		caps->text = "the firmware has VT-x off; enable it in its setup";
		return;
	}
	for (i = 0; i < VMX_CAPS; i++)
		if (rdmsrl_safe(VMX_MSR_FIRST + i, &vmx_caps[i]))
			vmx_caps[i] = 0;
	n = snprintf(vmx_text, sizeof(vmx_text), "the CPU's VT-x lacks what Halo needs: ");
	if (vmx_controls_choose(vmx_caps, &vmx_controls, vmx_text + n, sizeof(vmx_text) - n)) {
		caps->text = vmx_text;
		return;
	}
	if (vmx_apicv)
		vmx_controls_apic(vmx_caps, &vmx_controls);
	caps->virt_intr = vmx_controls.apic;
	caps->tpr_shadow = !vmx_controls.apic;
	caps->virt_intr_off = !vmx_apicv;
	caps->format = vmx_caps[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_AD ? &gpt_ept : &gpt_ept_noad;
	caps->nrips = true;
	caps->flush_by_asid = vmx_controls.cpu2 & VMX_CPU2_VPID;
	caps->pause_loop = vmx_controls.cpu2 & VMX_CPU2_PAUSE_LOOP;
	caps->vnmi = true;
	caps->deadline = vmx_controls.pin & VMX_PIN_PREEMPTION_TIMER;
	caps->tsc_fraction = vmx_controls.cpu2 & VMX_CPU2_TSC_SCALING ? VMX_TSC_FRACTION : 0;
	caps->tsc_whole = 64 - VMX_TSC_FRACTION;
	caps->page_1g = vmx_caps[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_1G;
	caps->text = NULL;
	caps->error = 0;
}

/* One bit per MSR in four parts of 1 KiB: reads, then writes, of two ranges (24.6.9). */
static void vmx_msr_allow(u8 *map, u32 msr, bool write)
{
	u8 *part = map + (msr >= 0xc0000000 ? 0x400 : 0) + (write ? 0x800 : 0);
	u32 bit = msr & 0x1fff;

	part[bit / 8] &= ~BIT(bit % 8);
}

static void vmx_msr_bitmap_fill(u8 *map, bool x2apic)
{
	unsigned int i;
	u32 msr;

	memset(map, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(vmx_msr_through); i++) {
		vmx_msr_allow(map, vmx_msr_through[i], false);
		vmx_msr_allow(map, vmx_msr_through[i], true);
	}
	if (!x2apic)
		return;
	for (i = 0; i < ARRAY_SIZE(vmx_x2apic_read); i++)
		for (msr = vmx_x2apic_read[i].first; msr <= vmx_x2apic_read[i].last; msr++)
			vmx_msr_allow(map, msr, false);
	for (i = 0; i < ARRAY_SIZE(vmx_x2apic_write); i++)
		vmx_msr_allow(map, vmx_x2apic_write[i], true);
}

static void vmx_teardown(void)
{
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		struct vmx_host *h = per_cpu_ptr(&vmx_host, cpu);

		if (h->region)
			__free_page(h->region);
		memset(h, 0, sizeof(*h));
	}
	for (i = 0; i < 2; i++) {
		if (vmx_msr_bitmap[i])
			__free_page(vmx_msr_bitmap[i]);
		vmx_msr_bitmap[i] = NULL;
	}
}

static int vmx_setup(void)
{
	unsigned int cpu, i;

	for (i = 0; i < 2; i++) {
		vmx_msr_bitmap[i] = alloc_page(GFP_KERNEL);
		if (!vmx_msr_bitmap[i])
			goto nomem;
		vmx_msr_bitmap_fill(page_address(vmx_msr_bitmap[i]), i);
		vmx_msr_bitmap_pa[i] = page_to_phys(vmx_msr_bitmap[i]);
	}

	for_each_possible_cpu(cpu) {
		struct vmx_host *h = per_cpu_ptr(&vmx_host, cpu);

		h->region = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!h->region)
			goto nomem;
		*(u32 *)page_address(h->region) = vmx_caps[VMX_CAP_BASIC] & VMX_CAP_BASIC_REVISION;
		INIT_LIST_HEAD(&h->active);
	}
	return 0;
nomem:
	vmx_teardown();
	return -ENOMEM;
}

static bool vmx_vmxon(u64 pa)
{
	u8 failed = 1;

	asm volatile("1: vmxon %1\n"
		     "setbe %0\n"
		     "2:" _ASM_EXTABLE(1b, 2b)
		     : "+q" (failed) : "m" (pa) : "cc", "memory");
	return !failed;
}

static void vmx_vmxoff(void)
{
	asm volatile("1: vmxoff\n2:" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
}

static void vmx_vmclear(u64 pa)
{
	asm volatile("1: vmclear %0\n2:" _ASM_EXTABLE(1b, 2b) : : "m" (pa) : "cc", "memory");
}

static void vmx_vmptrld(u64 pa)
{
	asm volatile("1: vmptrld %0\n2:" _ASM_EXTABLE(1b, 2b) : : "m" (pa) : "cc", "memory");
}

/**
 * vmx_invept() - flush what EPT has translated on this CPU (28.3.3)
 * @eptp: of these tables; 0 = of all
 *
 * Takes combined mappings of every VPID along: nothing else is cached of a guest.
 */
void vmx_invept(u64 eptp)
{
	const struct { u64 eptp, zero; } desc = { eptp, 0 };
	u64 type = eptp && (vmx_caps[VMX_CAP_EPT_VPID] & VMX_CAP_INVEPT_SINGLE) ? 1 : 2;

	asm volatile("1: invept %0, %1\n2:" _ASM_EXTABLE(1b, 2b)
		     : : "m" (desc), "r" (type) : "cc", "memory");
}

static int vmx_hw_on(void)
{
	struct vmx_host *h = this_cpu_ptr(&vmx_host);

	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmx_vmxon(page_to_phys(h->region))) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		return -EBUSY;
	}
	vmx_invept(0);
	h->on = true;
	return 0;
}

/* On the CPU that the VMCS is active on, interrupts off. */
static void vmx_clear_here(struct vmx_cpu *vmx)
{
	struct vmx_host *h = this_cpu_ptr(&vmx_host);

	vmx_vmclear(vmx->region_pa);
	if (h->current_vmcs == vmx)
		h->current_vmcs = NULL;
	vmx->launched = false;
	list_del(&vmx->node);
	/* Whoever reads -1 may link it elsewhere. */
	smp_store_release(&vmx->on, -1);
}

static void vmx_hw_off(void)
{
	struct vmx_host *h = this_cpu_ptr(&vmx_host);
	struct vmx_cpu *vmx, *next;

	if (!h->on)
		return;
	h->on = false;
	list_for_each_entry_safe(vmx, next, &h->active, node)
		vmx_clear_here(vmx);
	vmx_vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

static void vmx_clear_ipi(void *arg)
{
	struct vmx_cpu *vmx = arg;

	if (vmx->on == smp_processor_id())
		vmx_clear_here(vmx);
}

/**
 * vmx_vmcs_clear() - no CPU holds the VMCS when this returns
 * @vmx: the vCPU's half, not in the guest; interrupts are on
 */
void vmx_vmcs_clear(struct vmx_cpu *vmx)
{
	int on = smp_load_acquire(&vmx->on);	/* pairs with vmx_clear_here() */

	/* It fails if the CPU is gone: then it took care of that itself. */
	if (on >= 0)
		smp_call_function_single(on, vmx_clear_ipi, vmx, 1);
}

/**
 * vmx_vmcs_load() - make a VMCS current on this CPU
 * @vmx: the vCPU's half; preemption is off
 *
 * Return: false if VT-x is off here.
 */
bool vmx_vmcs_load(struct vmx_cpu *vmx)
{
	struct vmx_host *h = this_cpu_ptr(&vmx_host);
	unsigned long flags;
	bool on;

	if (vmx->on != smp_processor_id())
		vmx_vmcs_clear(vmx);
	local_irq_save(flags);
	on = h->on;
	if (on && vmx->on < 0) {
		list_add(&vmx->node, &h->active);
		vmx->on = smp_processor_id();
		vmx_vmclear(vmx->region_pa);
	}
	if (on && h->current_vmcs != vmx) {
		vmx_vmptrld(vmx->region_pa);
		h->current_vmcs = vmx;
	}
	local_irq_restore(flags);
	return on;
}

const struct halo_backend vmx_backend = {
	.name = "VT-x",
	.id = 2,
	.probe = vmx_probe,
	.setup = vmx_setup,
	.teardown = vmx_teardown,
	.hw_on = vmx_hw_on,
	.hw_off = vmx_hw_off,
	.cpu_init = vmx_cpu_init,
	.cpu_fini = vmx_cpu_fini,
	.cpu_reset = vmx_cpu_reset,
	.load = vmx_load,
	.put = vmx_put,
	.run = vmx_run,
	.state_get = vmx_state_get,
	.state_set = vmx_state_set,
	.refresh = vmx_refresh,
};
