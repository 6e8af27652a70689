// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/halo: what the module can do, and the way to a VM.
 *
 * Loading finds out what the CPU is and touches nothing.  The first VM switches
 * the hardware on, the last one off; both under halo_hw_lock, the outermost
 * lock of all.  A CPU that can't be used does not keep the module from loading:
 * HALO_GET_CAP says why, and HALO_CREATE_VM refuses.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>
#include "vcpu.h"

const struct halo_backend *halo_be;
struct halo_caps halo_hw;
struct halo_cpuid_table *halo_cpuid_host;

static DEFINE_MUTEX(halo_hw_lock);
static unsigned int halo_hw_users;
static bool halo_notifiers_on;

/**
 * halo_hw_get() - one more VM: the first one switches the hardware on
 *
 * Return: 0; -EOPNOTSUPP or -EPERM if this machine can't (see HALO_GET_CAP);
 * -EBUSY if another hypervisor holds it; -ENOMEM.
 */
int halo_hw_get(void)
{
	const char *rival;
	int err = 0;

	if (halo_hw.error) {
		pr_info_ratelimited("halo: %s\n", halo_hw.text);
		return halo_hw.error;
	}
	mutex_lock(&halo_hw_lock);
	if (halo_hw_users++)
		goto out;
	err = halo_be->setup();
	if (err)
		goto fail;
	err = halo_host_hw_claim(halo_be);
	if (err) {
		halo_be->teardown();
		rival = halo_host_rival();
		if (rival)
			pr_info_ratelimited("halo: busy: %s holds %s; fix: modprobe -r %s\n",
					    rival, halo_be->name, rival);
		else
			pr_info_ratelimited("halo: busy: another hypervisor holds %s\n",
					    halo_be->name);
	}
fail:
	if (err)
		halo_hw_users--;
	if (!err && !halo_notifiers_on) {
		/*
		 * Off again with the module only: it patches the scheduler's text on
		 * all CPUs, which is much to do for each VM that is alone.
		 */
		preempt_notifier_inc();
		halo_notifiers_on = true;
	}
out:
	mutex_unlock(&halo_hw_lock);
	return err;
}

/**
 * halo_hw_put() - one VM less: the last one switches the hardware off
 */
void halo_hw_put(void)
{
	mutex_lock(&halo_hw_lock);
	if (--halo_hw_users == 0) {
		halo_host_hw_release();
		halo_be->teardown();
	}
	mutex_unlock(&halo_hw_lock);
}

/**
 * halo_copy_in() - an ioctl's struct from userspace
 * @to: where to
 * @bytes: its size here
 * @from: the user's; its first member is its size there
 *
 * Return: 0; -EINVAL if it is shorter than the first version of it, which is
 * @bytes as long as no struct has grown; -E2BIG if it is longer and what we do
 * not know is not zero; -EFAULT.
 */
int halo_copy_in(void *to, size_t bytes, const void __user *from)
{
	u32 size;

	if (get_user(size, (const u32 __user *)from))
		return -EFAULT;
	if (size < bytes)
		return -EINVAL;
	return copy_struct_from_user(to, bytes, from, size);
}

/**
 * halo_copy_out() - an ioctl's struct to userspace
 * @to: the user's; its first member is the room there
 * @from: the struct
 * @bytes: its size
 *
 * Return: 0; -EINVAL if there is not enough room; -EFAULT.
 */
int halo_copy_out(void __user *to, const void *from, size_t bytes)
{
	u32 size;

	if (get_user(size, (const u32 __user *)to))
		return -EFAULT;
	if (size < bytes)
		return -EINVAL;
	return copy_to_user(to, from, bytes) ? -EFAULT : 0;
}

/* Is the hardware free? Only a look: halo_hw_get() decides. */
static bool halo_hw_busy(void)
{
	bool busy = false;

	mutex_lock(&halo_hw_lock);
	if (!halo_hw_users && !halo_hw.error)
		busy = halo_host_busy();
	mutex_unlock(&halo_hw_lock);
	return busy;
}

static void halo_cap_off(struct halo_cap_query *q, u32 reason, const char *text)
{
	q->value = 0;
	q->reason = reason;
	strscpy(q->text, text, sizeof(q->text));
}

static void halo_cap_cpu(struct halo_cap_query *q, bool on, const char *text)
{
	if (on)
		q->value = 1;
	else
		halo_cap_off(q, HALO_REASON_CPU, text);
}

static void halo_cap_backend(struct halo_cap_query *q)
{
	if (halo_hw.error) {
		halo_cap_off(q, halo_hw.error == -EPERM ? HALO_REASON_FIRMWARE : HALO_REASON_CPU,
			     halo_hw.text);
	} else if (halo_hw_busy()) {
		const char *rival = halo_host_rival();

		q->reason = HALO_REASON_BUSY;
		if (rival)
			snprintf(q->text, sizeof(q->text), "%s holds %s; fix: modprobe -r %s",
				 rival, halo_be->name, rival);
		else
			snprintf(q->text, sizeof(q->text), "another hypervisor holds %s",
				 halo_be->name);
	} else {
		q->value = halo_be->id;
	}
}

static int halo_cap(struct halo_cap_query *q)
{
	switch (q->cap) {
	case HALO_CAP_BACKEND:
		halo_cap_backend(q);
		return 0;
	case HALO_CAP_MAX_VCPUS:
		q->value = HALO_MAX_VCPUS;
		return 0;
	case HALO_CAP_MAX_MEMSLOTS:
		q->value = HALO_MAX_MEMSLOTS;
		return 0;
	case HALO_CAP_GPA_BITS:
		q->value = boot_cpu_data.x86_phys_bits;
		return 0;
	case HALO_CAP_NRIPS:
		halo_cap_cpu(q, halo_hw.nrips, "the CPU does not save the next RIP; Halo decodes");
		return 0;
	case HALO_CAP_DECODE_ASSISTS:
		halo_cap_cpu(q, halo_hw.decode_assists,
			     "the CPU does not save instruction bytes; Halo fetches them");
		return 0;
	case HALO_CAP_FLUSH_BY_ASID:
		halo_cap_cpu(q, halo_hw.flush_by_asid,
			     "the CPU can't flush one ASID; Halo takes a new one");
		return 0;
	case HALO_CAP_VNMI:
		halo_cap_cpu(q, halo_hw.vnmi, "the CPU has no virtual NMI; Halo watches IRET");
		return 0;
	case HALO_CAP_HUGE_PAGES:
		q->value = BIT(12) | BIT(21) | (halo_hw.page_1g ? BIT(30) : 0);
		return 0;
	case HALO_CAP_TSC_DEADLINE:
	case HALO_CAP_X2APIC:
	case HALO_CAP_SMP:
		q->value = 1;
		return 0;
	case HALO_CAP_PV_CLOCK:
		if (check_tsc_unstable())
			halo_cap_off(q, HALO_REASON_KERNEL, "the host's TSC is not stable");
		else
			q->value = 1;
		return 0;
	case HALO_CAP_TSC_KHZ:
		q->value = tsc_khz;
		return 0;
	case HALO_CAP_ZONE_POSTED:
	case HALO_CAP_ZONE_DOORBELL:
	case HALO_CAP_RUN_PARKED:
	case HALO_CAP_NESTED:
		halo_cap_off(q, HALO_REASON_MODULE, "this version of the module does not have it");
		return 0;
	default:
		return -EINVAL;
	}
}

static long halo_ioctl_cap(void __user *arg)
{
	struct halo_cap_query q;
	int err = halo_copy_in(&q, sizeof(q), arg);

	if (err)
		return err;
	if (q.reserved)
		return -EINVAL;
	q.value = 0;
	q.reason = HALO_REASON_NONE;
	memset(q.text, 0, sizeof(q.text));
	err = halo_cap(&q);
	return err ?: halo_copy_out(arg, &q, sizeof(q));
}

/**
 * halo_cpuid_give() - a CPUID table to userspace
 * @arg: the user's struct halo_cpuid
 * @table: the table
 *
 * Return: 0; -E2BIG if there is not room for all, with the count that there is.
 */
int halo_cpuid_give(void __user *arg, const struct halo_cpuid_table *table)
{
	struct halo_cpuid c;
	u32 room;
	int err = halo_copy_in(&c, sizeof(c), arg);

	if (err)
		return err;
	room = c.count;
	c.count = table->count;
	if (copy_to_user(arg, &c, sizeof(c)))
		return -EFAULT;
	if (room < c.count)
		return -E2BIG;
	return copy_to_user(u64_to_user_ptr(c.entries), table->entries,
			    c.count * sizeof(table->entries[0])) ? -EFAULT : 0;
}

static long halo_ioctl_create(void __user *arg)
{
	struct halo_create_vm c;
	int err = halo_copy_in(&c, sizeof(c), arg);

	if (err)
		return err;
	if (c.flags || memchr_inv(c.reserved, 0, sizeof(c.reserved)))
		return -EINVAL;
	return halo_vm_create();
}

static long halo_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case HALO_GET_API_VERSION:
		return HALO_API_VERSION;
	case HALO_GET_CAP:
		return halo_ioctl_cap((void __user *)arg);
	case HALO_GET_SUPPORTED_CPUID:
		return halo_cpuid_give((void __user *)arg, halo_cpuid_host);
	case HALO_CREATE_VM:
		return halo_ioctl_create((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations halo_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = halo_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice halo_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "halo",
	.fops = &halo_fops,
	.mode = 0660,
};

static void halo_probe(void)
{
	switch (boot_cpu_data.x86_vendor) {
	case X86_VENDOR_AMD:
	case X86_VENDOR_HYGON:
		halo_be = &svm_backend;
		break;
	case X86_VENDOR_INTEL:
	case X86_VENDOR_CENTAUR:
	case X86_VENDOR_ZHAOXIN:
		halo_be = &vmx_backend;
		break;
	default:
		halo_be = boot_cpu_has(X86_FEATURE_VMX) ? &vmx_backend : &svm_backend;
	}
	halo_be->probe(&halo_hw);
}

static void halo_cpuid_native(void *opaque, u32 leaf, u32 subleaf, u32 regs[4])
{
	cpuid_count(leaf, subleaf, &regs[0], &regs[1], &regs[2], &regs[3]);
}

/* What guests may be shown is the same for all of them: build it once. */
static int halo_cpuid_init(void)
{
	const struct halo_cpuid_host host = {
		.cpuid = halo_cpuid_native,
		.xcr0 = halo_host_xcr0,
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.tsc_stable = !check_tsc_unstable(),
	};

	halo_cpuid_host = kvzalloc(sizeof(*halo_cpuid_host), GFP_KERNEL);
	if (!halo_cpuid_host)
		return -ENOMEM;
	halo_cpuid_supported(halo_cpuid_host, &host);
	return 0;
}

static int __init halo_init(void)
{
	int err;

	halo_host_init();
	halo_probe();
	err = halo_cpuid_init();
	if (err)
		return err;
	err = misc_register(&halo_misc);
	if (err) {
		kvfree(halo_cpuid_host);
		return err;
	}
	if (halo_hw.error)
		pr_info("halo: loaded, but unusable: %s\n", halo_hw.text);
	else
		pr_info("halo: %s%s%s%s\n", halo_be->name, halo_hw.nrips ? ", NRIPS" : "",
			halo_hw.decode_assists ? ", decode assists" : "",
			halo_hw.flush_by_asid ? ", flush by ASID" : "");
	return 0;
}

static void __exit halo_exit(void)
{
	misc_deregister(&halo_misc);
	if (halo_notifiers_on)
		preempt_notifier_dec();
	kvfree(halo_cpuid_host);
}

module_init(halo_init);
module_exit(halo_exit);

MODULE_DESCRIPTION("Halo: a hypervisor in one module");
MODULE_AUTHOR("Halo developers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
