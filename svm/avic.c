// SPDX-License-Identifier: GPL-2.0
/*
 * AVIC: the CPU delivers interrupts out of the LAPIC's page, and IPIs into others' pages
 * (APM volume 2, 15.29).  Only where the module's parameter asks for it: built and tested as
 * far as a test can go without a CPU that has it, and never run on one.
 *
 * A vCPU has it while cpu->virt_intr; any other runs as if there were none.  So that senders
 * need not be told, an entry of the physical table is always valid: of a vCPU that takes no
 * IPIs this way it leads to a page that nobody reads, and as that vCPU never runs there, each
 * sender exits and the core sends what is missing.  Entries are the owner's to write.
 *
 * The physical table says that a vCPU runs from its entry to its next HLT: a sender that
 * finds it so rings the CPU and does not exit.  Whoever is out of the guest for anything but
 * HLT goes back and then finds what is in IRR, so that it need not be taken back for that;
 * in HLT it is, before the core looks for interrupts for the last time.
 *
 * AVIC asks nested paging for the page's address before it takes an access itself, and gets
 * no answer: EOI and the other registers are a device's as ever, and IPIs the core's.  So no
 * CPU reads the tables yet, nor makes the two exits; one page for a whole VM would also
 * answer a vCPU that has no AVIC at that moment.
 *
 * One struct svm_avic for a VM, which its vCPUs come to and leave under svm_avic_mutex; what
 * they are called logically is under its lock, as that table is of all of them.
 */
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <asm/processor.h>
#include <asm/smp.h>
#include "avic_tables.h"
#include "svm.h"

#define MSR_AVIC_DOORBELL	0xc001011b
#define AVIC_BAR		0xfee00000ull
#define AVIC_ICR		0x300

#define REG_PPR			(0x0a0 / 4)
#define REG_LDR			(0x0d0 / 4)
#define REG_DFR			(0x0e0 / 4)

/**
 * struct svm_avic - AVIC's half of a VM
 * @physical: physical APIC ID table, a page
 * @logical: logical APIC ID table, a page
 * @nowhere: where IPIs go that the core must deliver, a page
 * @users: vCPUs
 * @lock: the next two and @logical
 * @keys: what the vCPUs are called logically
 * @logical_off: not to be said in @logical
 */
struct svm_avic {
	u64 *physical;
	u32 *logical;
	void *nowhere;
	unsigned int users;
	spinlock_t lock;
	u16 keys[AVIC_VCPUS];
	bool logical_off;
};

static DEFINE_MUTEX(svm_avic_mutex);

static void svm_avic_free(struct svm_avic *a)
{
	free_page((unsigned long)a->physical);
	free_page((unsigned long)a->logical);
	free_page((unsigned long)a->nowhere);
	kfree(a);
}

static struct svm_avic *svm_avic_alloc(void)
{
	struct svm_avic *a = kzalloc(sizeof(*a), GFP_KERNEL_ACCOUNT);

	if (!a)
		return NULL;
	spin_lock_init(&a->lock);
	a->physical = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	a->logical = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	a->nowhere = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (a->physical && a->logical && a->nowhere)
		return a;
	svm_avic_free(a);
	return NULL;
}

/**
 * svm_avic_init() - a vCPU comes to its VM's tables
 * @cpu: the vCPU, whose other half is there
 *
 * Return: 0 or -ENOMEM.
 */
int svm_avic_init(struct halo_cpu *cpu)
{
	struct svm_avic *a;

	if (!svm_caps.virt_xapic)
		return 0;
	mutex_lock(&svm_avic_mutex);
	a = *cpu->shared;
	if (!a)
		a = *cpu->shared = svm_avic_alloc();
	if (a) {
		a->users++;
		to_svm(cpu)->avic = a;
	}
	mutex_unlock(&svm_avic_mutex);
	return a ? 0 : -ENOMEM;
}

/**
 * svm_avic_fini() - it leaves
 * @cpu: the vCPU, none of the VM's or the whole VM ends: no CPU reads its entry again
 */
void svm_avic_fini(struct halo_cpu *cpu)
{
	struct svm_avic *a = to_svm(cpu)->avic;

	if (!a)
		return;
	mutex_lock(&svm_avic_mutex);
	if (!--a->users) {
		*cpu->shared = NULL;
		svm_avic_free(a);
	}
	mutex_unlock(&svm_avic_mutex);
}

static void svm_avic_say(struct halo_cpu *cpu, bool running)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_avic *a = svm->avic;

	svm->avic_running = running;
	/* The number may yet turn out to be another one's. */
	if (cpu->apic_number >= AVIC_VCPUS)
		return;
	WRITE_ONCE(a->physical[cpu->apic_number],
		   avic_entry(virt_to_phys(cpu->apic_ipis ? cpu->apic_page : a->nowhere),
			      running ? per_cpu(x86_cpu_to_apicid, cpu->pcpu) : 0, running));
}

/**
 * svm_avic_refresh() - the vCPU has AVIC, or not, from the next entry on
 * @cpu: the vCPU, not in the guest: cpu->virt_intr, its ID or its logical name may be new
 */
void svm_avic_refresh(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_avic *a = svm->avic;
	struct svm_vmcb *v = svm->vmcb;
	const u32 *page = cpu->apic_page;
	unsigned long flags;

	v->avic_bar = AVIC_BAR;
	v->avic_page = virt_to_phys(cpu->apic_page);
	v->avic_logical = virt_to_phys(a->logical);
	v->avic_physical = avic_physical_field(virt_to_phys(a->physical), AVIC_VCPUS - 1);
	v->clean &= ~SVM_CLEAN_AVIC;
	svm->avic_on = cpu->virt_intr;
	svm->int_ctl = SVM_V_INTR_MASKING;
	svm_intercept(v, SVM_CR_WRITE + 8, true);
	svm_avic_say(cpu, false);
	if (cpu->apic_number >= AVIC_VCPUS)
		return;
	spin_lock_irqsave(&a->lock, flags);
	a->keys[cpu->apic_number] = cpu->virt_intr ? avic_key(page[REG_LDR], page[REG_DFR]) : 0;
	a->logical_off = !avic_logical_fill(a->logical, a->keys);
	spin_unlock_irqrestore(&a->lock, flags);
}

/**
 * svm_avic_enter() - before the first entry of a stay with cpu->virt_intr
 * @cpu: the vCPU; interrupts are off
 *
 * V_IRQ is not AVIC's, and a step to the end of an NMI's handler must not end in another
 * handler: an entry with a window is one without AVIC.
 */
void svm_avic_enter(struct halo_cpu *cpu)
{
	bool window = cpu->want_intr_window || cpu->want_nmi_window;
	bool running = cpu->apic_ipis && !window && avic_running_trusted(boot_cpu_data.x86);
	struct svm_cpu *svm = to_svm(cpu);

	avic_keep(cpu->apic_page, svm->avic_keep);
	svm->int_ctl = SVM_V_INTR_MASKING | (window ? 0 : SVM_AVIC_ENABLE);
	/* AVIC writes TPR's register, too. */
	svm_intercept(svm->vmcb, SVM_CR_WRITE + 8, window);
	if (svm->avic_running != running)
		svm_avic_say(cpu, running);
}

/**
 * svm_avic_exit() - out of the guest
 * @cpu: the vCPU; cpu->exit tells why
 */
void svm_avic_exit(struct halo_cpu *cpu)
{
	u32 *page = cpu->apic_page;

	to_svm(cpu)->vmcb->clean |= SVM_CLEAN_AVIC;
	if (cpu->exit.reason != HW_HLT)
		return;
	page[REG_PPR] = avic_ppr(page);
	svm_avic_say(cpu, false);
	/* Whoever has seen it run has changed IRR before the core looks there. */
	smp_mb();
}

/**
 * svm_avic_decode() - fill in cpu->exit for AVIC's two exits
 * @cpu: the vCPU, just out of the guest
 *
 * What is a trap is done but for its consequences; what is a fault is an access to a device
 * like any other.
 */
void svm_avic_decode(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_vmcb *v = svm->vmcb;
	struct halo_hwexit *x = &cpu->exit;
	u64 info1 = v->exit_info1;

	x->insn_len = 0;
	x->reason = HW_APIC_WRITE;
	x->sent = false;
	if ((u32)v->exit_code == SVM_AVIC_IPI) {
		x->apic = AVIC_ICR;
		x->written = info1;
		x->sent = avic_ipi_done(info1, v->exit_info2, READ_ONCE(svm->avic->logical_off));
	} else if (avic_access_traps(info1)) {
		x->apic = info1 & AVIC_ACCESS_OFFSET;
		x->written = avic_written(cpu->apic_page, svm->avic_keep, x->apic);
	} else {
		x->reason = HW_MEMORY;
		x->mem.gpa = AVIC_BAR + (info1 & AVIC_ACCESS_OFFSET);
		x->mem.write = info1 & AVIC_ACCESS_WRITE;
		x->mem.exec = false;
		x->mem.walk = false;
		x->mem.device = false;
	}
}

/**
 * svm_doorbell() - make the guest on a CPU look at its IRR; one that is in the host does not
 * @pcpu: the CPU, another one
 */
void svm_doorbell(int pcpu)
{
	wrmsrl(MSR_AVIC_DOORBELL, per_cpu(x86_cpu_to_apicid, pcpu));
}
