// SPDX-License-Identifier: GPL-2.0
/*
 * AMD-V: what the CPU can do, switching it on and off, and the backend table.
 *
 * Called by module/dev.c (probe) and module/vm.c (the first VM switches every
 * CPU's SVM on, the last one off; hotplug calls the same two per CPU).
 * No locks here: the callers serialize.  Nothing is written to a CPU before a
 * VM exists.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include "gpt.h"
#include "svm.h"

#define MSR_VM_CR_ADDR		0xc0010114
#define VM_CR_SVMDIS		BIT(4)
#define MSR_VM_HSAVE_ADDR	0xc0010117

#define CPUID_SVM		0x8000000a
#define SVM_EDX_NP		BIT(0)
#define SVM_EDX_FLUSH_BY_ASID	BIT(6)
#define SVM_EDX_DECODE_ASSISTS	BIT(7)
#define SVM_EDX_PAUSE_FILTER	BIT(10)
#define SVM_EDX_AVIC		BIT(13)

#define IOPM_BYTES		0x3000	/* 15.10.1 */
#define MSRPM_BYTES		0x2000	/* 15.11 */
#define MAPS_ORDER		3	/* whole: single pages would not merge again */

DEFINE_PER_CPU(struct svm_host, svm_host);

struct halo_caps svm_caps;
u64 svm_iopm_pa, svm_msrpm_pa;

static u8 *svm_maps;		/* IOPM, then MSRPM */

/*
 * MSRs that the guest reads and writes in the CPU: those that VMRUN, VMLOAD
 * and VMSAVE switch.  Everything else exits.
 */
static const u32 svm_msr_through[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

static bool svm_avic;
module_param_named(avic, svm_avic, bool, 0444);
MODULE_PARM_DESC(avic, "let the CPU deliver interrupts (AMD-V, AVIC), if it can; off, as it was never run on such a CPU");

static void svm_probe(struct halo_caps *caps)
{
	u64 vm_cr;
	u32 edx;

	memset(caps, 0, sizeof(*caps));
	caps->error = -EOPNOTSUPP;
	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		caps->text = "the CPU has no AMD-V (or the outer hypervisor hides it)";
		return;
	}
	if (rdmsrl_safe(MSR_VM_CR_ADDR, &vm_cr) == 0 && (vm_cr & VM_CR_SVMDIS)) {
		caps->error = -EPERM;
		caps->text = "the firmware has AMD-V off; enable SVM in its setup";
		return;
	}
	edx = cpuid_edx(CPUID_SVM);
	if (!(edx & SVM_EDX_NP)) {
		caps->text = "the CPU's AMD-V has no nested paging, which Halo needs";
		return;
	}
	caps->nrips = boot_cpu_has(X86_FEATURE_NRIPS);
	caps->decode_assists = edx & SVM_EDX_DECODE_ASSISTS;
	caps->flush_by_asid = edx & SVM_EDX_FLUSH_BY_ASID;
	caps->pause_loop = edx & SVM_EDX_PAUSE_FILTER;
	caps->tsc_fraction = boot_cpu_has(X86_FEATURE_TSCRATEMSR) ? 32 : 0;
	caps->tsc_whole = 8;
	caps->page_1g = boot_cpu_has(X86_FEATURE_GBPAGES);
	caps->virt_intr = svm_avic && (edx & SVM_EDX_AVIC);
	caps->virt_xapic = caps->virt_intr;
	caps->virt_intr_off = !svm_avic && (edx & SVM_EDX_AVIC);
	caps->format = &gpt_npt;
	caps->error = 0;
	svm_caps = *caps;
}

/* Two bits per MSR (read, write) in three ranges of 2 KiB (15.11). */
static void svm_msrpm_allow(u8 *map, u32 msr)
{
	static const u32 range[] = { 0, 0xc0000000, 0xc0010000 };
	unsigned int i, bit;

	for (i = 0; i < ARRAY_SIZE(range); i++) {
		if (msr < range[i] || msr - range[i] >= 0x2000)
			continue;
		bit = (msr - range[i]) * 2;
		map[i * 0x800 + bit / 8] &= ~(3u << (bit % 8));
	}
}

static void svm_teardown(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_host *h = per_cpu_ptr(&svm_host, cpu);

		if (h->pages)
			__free_pages(h->pages, 1);
		memset(h, 0, sizeof(*h));
	}
	free_pages((unsigned long)svm_maps, MAPS_ORDER);
}

static int svm_setup(void)
{
	unsigned int cpu, i;

	svm_maps = (u8 *)__get_free_pages(GFP_KERNEL, MAPS_ORDER);
	if (!svm_maps)
		return -ENOMEM;
	memset(svm_maps, 0xff, IOPM_BYTES + MSRPM_BYTES);
	for (i = 0; i < ARRAY_SIZE(svm_msr_through); i++)
		svm_msrpm_allow(svm_maps + IOPM_BYTES, svm_msr_through[i]);
	svm_iopm_pa = virt_to_phys(svm_maps);
	svm_msrpm_pa = svm_iopm_pa + IOPM_BYTES;

	for_each_possible_cpu(cpu) {
		struct svm_host *h = per_cpu_ptr(&svm_host, cpu);

		h->pages = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 1);
		if (!h->pages) {
			svm_teardown();
			return -ENOMEM;
		}
		h->hsave_pa = page_to_phys(h->pages);
		h->host_pa = h->hsave_pa + PAGE_SIZE;
	}
	return 0;
}

/**
 * svm_tsc_ratio() - what this CPU multiplies a guest's TSC by (15.30.5)
 * @h: this CPU's half
 * @ratio: with 32 bits behind the point; 0 = 1
 *
 * It concerns guests alone, so that the host never needs its own back while SVM is on.
 */
void svm_tsc_ratio(struct svm_host *h, u64 ratio)
{
	wrmsrl(MSR_AMD64_TSC_RATIO, ratio ?: BIT_ULL(32));
	h->tsc_ratio = ratio;
}

static int svm_hw_on(void)
{
	struct svm_host *h = this_cpu_ptr(&svm_host);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_ADDR, h->hsave_pa);
	/* Nobody knows what the TLB holds for these ASIDs: start a generation. */
	h->asid_gen++;
	h->max_asid = cpuid_ebx(CPUID_SVM) - 1;
	h->next_asid = h->max_asid + 1;
	/* Whoever had the CPU before may have left its own. */
	if (svm_caps.tsc_fraction)
		svm_tsc_ratio(h, 0);
	h->on = true;
	return 0;
}

static void svm_hw_off(void)
{
	struct svm_host *h = this_cpu_ptr(&svm_host);
	u64 efer;

	if (!h->on)
		return;
	h->on = false;
	if (h->tsc_ratio)
		svm_tsc_ratio(h, 0);
	wrmsrl(MSR_VM_HSAVE_ADDR, 0);
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~(u64)EFER_SVME);
}

const struct halo_backend svm_backend = {
	.name = "AMD-V",
	.id = 1,
	.probe = svm_probe,
	.setup = svm_setup,
	.teardown = svm_teardown,
	.hw_on = svm_hw_on,
	.hw_off = svm_hw_off,
	.cpu_init = svm_cpu_init,
	.cpu_fini = svm_cpu_fini,
	.cpu_reset = svm_cpu_reset,
	.load = svm_load,
	.put = svm_put,
	.run = svm_run,
	.state_get = svm_state_get,
	.state_set = svm_state_set,
	.refresh = svm_refresh,
	.apic_refresh = svm_avic_refresh,
	.apic_enter = svm_avic_enter,
	.doorbell = svm_doorbell,
};
