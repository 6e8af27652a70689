// SPDX-License-Identifier: GPL-2.0
/*
 * The host kernel's hooks: the claim on the hardware, CPU hotplug, suspend,
 * reboot, kicks.
 *
 * Exclusion: KVM's hotplug slot can be held by one user only.  Holding it while
 * VMs exist keeps KVM from switching the hardware on beside us, without a race
 * and without looking at anybody's symbols; whoever comes second gets -EBUSY.
 * The slot also brings us the hotplug callbacks.
 *
 * Locks: claim and release are serialized by halo_hw_lock in dev.c.
 */
#include "halo_config.h"
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#ifdef HALO_HAVE_TRACE_IPI
#include <trace/events/ipi.h>
#endif
#include <asm/reboot.h>
#include <asm/smp.h>
#include "backend.h"
#include "host.h"
#include "count.h"

#ifdef HALO_HAVE_CPUHP_KVM_ONLINE
#define HALO_CPUHP_SLOT	CPUHP_AP_KVM_ONLINE
#else
#define HALO_CPUHP_SLOT	CPUHP_AP_KVM_STARTING
#endif

u64 halo_host_xcr0;
/* By how much the host's TSC has gone back while it slept; changed with one CPU running. */
u64 halo_host_tsc_lost;
static u64 host_tsc_asleep;

static const struct halo_backend *host_be;
DEFINE_PER_CPU(struct halo_host_msr_value, halo_host_msrs[HOST_MSRS]);
DEFINE_PER_CPU(unsigned long, halo_host_msrs_guest);
static DEFINE_PER_CPU(u64, host_last_vcpu);
static atomic_t host_hw_errors;

/**
 * halo_host_init() - read once what never changes
 */
void halo_host_init(void)
{
	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		halo_host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	else
		halo_host_xcr0 = XFEATURE_MASK_FPSSE;
}

static const u32 host_msr_index[HOST_MSRS] = {
	[HOST_MSR_TSC_AUX] = MSR_TSC_AUX,
	[HOST_MSR_STAR] = MSR_STAR,
	[HOST_MSR_LSTAR] = MSR_LSTAR,
	[HOST_MSR_SFMASK] = MSR_SYSCALL_MASK,
};

/**
 * halo_host_msr_change() - halo_host_msr_load(), where it is another value
 * @msr: which
 * @value: for it
 */
void halo_host_msr_change(enum halo_host_msr msr, u64 value)
{
	struct halo_host_msr_value *m = this_cpu_ptr(&halo_host_msrs[msr]);

	wrmsrl(host_msr_index[msr], value);
	m->now = value;
	if (value == m->host)
		this_cpu_and(halo_host_msrs_guest, ~BIT(msr));
	else
		this_cpu_or(halo_host_msrs_guest, BIT(msr));
}

/**
 * halo_host_msrs_restore() - halo_host_msrs_put(), where there is something to do
 */
void halo_host_msrs_restore(void)
{
	unsigned int i;

	for (i = 0; i < HOST_MSRS; i++)
		halo_host_msr_load(i, this_cpu_read(halo_host_msrs[i].host));
}

/* One that the CPU lacks stays 0 and 0, and is never written. */
static void host_msrs_note(void)
{
	unsigned int i;

	for (i = 0; i < HOST_MSRS; i++) {
		struct halo_host_msr_value *m = this_cpu_ptr(&halo_host_msrs[i]);

		if (rdmsrl_safe(host_msr_index[i], &m->host))
			m->host = 0;
		m->now = m->host;
	}
	this_cpu_write(halo_host_msrs_guest, 0);
}

/**
 * halo_host_vcpu_switch() - a vCPU comes to this CPU; preemption is off
 * @id: differs between any two vCPUs that ever lived
 *
 * What the last one taught the branch predictors must not steer this one.
 */
void halo_host_vcpu_switch(u64 id)
{
	if (__this_cpu_read(host_last_vcpu) == id)
		return;
	__this_cpu_write(host_last_vcpu, id);
	indirect_branch_prediction_barrier();
}

static void host_hw_on(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	host_msrs_note();
	if (host_be->hw_on())
		atomic_inc(&host_hw_errors);
	local_irq_restore(flags);
}

static void host_hw_off(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	host_be->hw_off();
	local_irq_restore(flags);
}

/* A CPU that comes up while somebody else holds it is not used: RUN fails there. */
static int host_cpu_up(unsigned int cpu)
{
	host_hw_on(NULL);
	return 0;
}

static int host_cpu_down(unsigned int cpu)
{
	host_hw_off(NULL);
	return 0;
}

#ifdef HALO_HAVE_REGISTER_SYSCORE
#define HOST_PM_ARG	void *unused
#else
#define HOST_PM_ARG	void
#endif

static int host_suspend(HOST_PM_ARG)
{
	host_tsc_asleep = rdtsc();
	host_hw_off(NULL);
	return 0;
}

static void host_resume(HOST_PM_ARG)
{
	u64 now = rdtsc();

	/* Firmware may start it anew: no guest's may go back with it. */
	if (now < host_tsc_asleep)
		halo_host_tsc_lost += host_tsc_asleep - now;
	host_hw_on(NULL);
}

static struct syscore_ops host_syscore_ops = {
	.suspend = host_suspend,
	.resume = host_resume,
};

#ifdef HALO_HAVE_REGISTER_SYSCORE
static struct syscore host_syscore = { .ops = &host_syscore_ops };

#define host_pm_register()	register_syscore(&host_syscore)
#define host_pm_unregister()	unregister_syscore(&host_syscore)
#else
#define host_pm_register()	register_syscore_ops(&host_syscore_ops)
#define host_pm_unregister()	unregister_syscore_ops(&host_syscore_ops)
#endif

static int host_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	on_each_cpu(host_hw_off, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block host_reboot_nb = { .notifier_call = host_reboot };

/*
 * A crash or an emergency reboot: off at once, in NMI context, so that the CPU takes
 * the INIT that comes next.  One slot for all hypervisors: it is ours with the hardware.
 */
#ifdef HALO_HAVE_EMERGENCY_VIRT
static void host_emergency(void)
{
	host_be->hw_off();
}

#define host_emergency_register()	cpu_emergency_register_virt_callback(host_emergency)
#define host_emergency_unregister()	cpu_emergency_unregister_virt_callback(host_emergency)
#else
#define host_emergency_register()	do { } while (0)
#define host_emergency_unregister()	do { } while (0)
#endif

/* KVM's module, loaded now, would reach for that slot before it finds itself refused. */
static int host_module(struct notifier_block *nb, unsigned long state, void *data)
{
	const struct module *mod = data;

	if (state != MODULE_STATE_COMING ||
	    (strcmp(mod->name, "kvm_intel") && strcmp(mod->name, "kvm_amd")))
		return NOTIFY_DONE;
	pr_info_ratelimited("halo: busy: Halo's VMs hold %s; %s is not loaded\n", host_be->name,
			    mod->name);
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block host_module_nb = { .notifier_call = host_module };

/**
 * halo_host_hw_claim() - switch the hardware on, on every CPU
 * @be: the backend
 *
 * Return: 0, -EBUSY if another hypervisor holds it (see halo_host_rival()).
 */
int halo_host_hw_claim(const struct halo_backend *be)
{
	int err;

	host_be = be;
	atomic_set(&host_hw_errors, 0);
	cpus_read_lock();
	err = __cpuhp_setup_state_cpuslocked(HALO_CPUHP_SLOT, "halo", false, host_cpu_up,
					     host_cpu_down, false);
	if (err)
		goto unlock;
	on_each_cpu(host_hw_on, NULL, 1);
	if (atomic_read(&host_hw_errors)) {
		on_each_cpu(host_hw_off, NULL, 1);
		__cpuhp_remove_state_cpuslocked(HALO_CPUHP_SLOT, false);
		err = -EBUSY;
	}
unlock:
	cpus_read_unlock();
	if (err)
		return err;
	register_module_notifier(&host_module_nb);
	host_emergency_register();
	host_pm_register();
	register_reboot_notifier(&host_reboot_nb);
	return 0;
}

/**
 * halo_host_hw_release() - switch the hardware off, on every CPU
 */
void halo_host_hw_release(void)
{
	unregister_reboot_notifier(&host_reboot_nb);
	host_pm_unregister();
	host_emergency_unregister();
	unregister_module_notifier(&host_module_nb);
	cpus_read_lock();
	on_each_cpu(host_hw_off, NULL, 1);
	__cpuhp_remove_state_cpuslocked(HALO_CPUHP_SLOT, false);
	cpus_read_unlock();
}

/**
 * halo_host_busy() - does somebody else hold the hardware right now
 *
 * Only a look, for messages: the answer may be old when it arrives.
 *
 * Return: true if a claim would give -EBUSY.
 */
bool halo_host_busy(void)
{
	if (__cpuhp_setup_state(HALO_CPUHP_SLOT, "halo", false, NULL, NULL, false))
		return true;
	__cpuhp_remove_state(HALO_CPUHP_SLOT, false);
	return false;
}

/**
 * halo_host_rival() - who holds the hardware, for the message
 *
 * Return: a name to be used as in "modprobe -r NAME".
 */
const char *halo_host_rival(void)
{
	void *kvm = __symbol_get("kvm_init");

	if (!kvm)
		return NULL;
	__symbol_put("kvm_init");
	return boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? "kvm_intel" : "kvm_amd";
}

/**
 * halo_host_kick_cpu() - make a CPU leave the guest
 * @cpu: its number
 */
void halo_host_kick_cpu(int cpu)
{
	smp_send_reschedule(cpu);
}
