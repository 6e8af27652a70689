// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/halo: what the module can do, and the way to a VM.
 *
 * Loading finds out what the CPU is and touches nothing.  The first VM switches
 * the hardware on, the last one off; both under halo_hw_lock, the outermost
 * lock of all.  The memory that this takes is got once and kept until the module
 * goes.  A CPU that can't be used does not keep the module from loading:
 * HALO_GET_CAP says why, and HALO_CREATE_VM refuses.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>
#include "vcpu.h"

const struct halo_backend *halo_be;
DEFINE_STATIC_CALL_NULL(halo_run, *((struct halo_backend *)NULL)->run);
struct halo_caps halo_hw;
struct halo_cpuid_table *halo_cpuid_host;
struct halo_cpuid_caps halo_cpuid_host_caps;

static DEFINE_MUTEX(halo_hw_lock);
static unsigned int halo_hw_users;
static bool halo_set_up;

/* Who holds the hardware, and what to do about it. */
static void halo_busy_text(char *text, size_t room)
{
	const char *rival = halo_host_rival();

	if (rival)
		snprintf(text, room, "%s holds %s; fix: modprobe -r %s", rival, halo_be->name,
			 rival);
	else
		snprintf(text, room, "another hypervisor holds %s", halo_be->name);
}

/**
 * halo_hw_get() - one more VM: the first one switches the hardware on
 *
 * Return: 0; -EOPNOTSUPP or -EPERM if this machine can't (see HALO_GET_CAP);
 * -EBUSY if another hypervisor holds it; -ENOMEM.
 */
int halo_hw_get(void)
{
	char text[80];
	int err = 0;

	if (halo_hw.error) {
		pr_info_ratelimited("halo: %s\n", halo_hw.text);
		return halo_hw.error;
	}
	mutex_lock(&halo_hw_lock);
	if (halo_hw_users++)
		goto out;
	if (!halo_set_up) {
		err = halo_be->setup();
		if (err)
			goto fail;
		/* It patches the scheduler's text, on all CPUs. */
		preempt_notifier_inc();
		halo_set_up = true;
	}
	err = halo_host_hw_claim(halo_be);
	if (err) {
		halo_busy_text(text, sizeof(text));
		pr_info_ratelimited("halo: busy: %s\n", text);
	}
fail:
	if (err)
		halo_hw_users--;
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
	if (--halo_hw_users == 0)
		halo_host_hw_release();
	mutex_unlock(&halo_hw_lock);
}

/**
 * halo_ioctl() - carry out a command of a table
 * @table: what the fd knows
 * @n: how many
 * @obj: what the fd stands for
 * @cmd: what is asked for
 * @user: the user's struct, if the command has one; its first member is its size there
 *
 * Return: what the command returned; -ENOTTY if there is none; -EINVAL if the struct
 * is shorter than the first version of it, which is the command's size as long as none
 * has grown; -E2BIG if it is longer and what we do not know is not zero; -EFAULT;
 * -ENOMEM.
 */
long halo_ioctl(const struct halo_ioctl *table, size_t n, void *obj, unsigned int cmd,
		unsigned long user)
{
	void __user *from = (void __user *)user;
	size_t bytes = _IOC_SIZE(cmd);
	u64 small[32] = {};
	void *arg = small;
	u32 size;
	long err;

	for (; n && table->cmd != cmd; n--)
		table++;
	if (!n)
		return -ENOTTY;
	if (!bytes)
		return table->fn(obj, NULL);
	if (get_user(size, (const u32 __user *)from))
		return -EFAULT;
	if (size < bytes)
		return -EINVAL;
	if (bytes > sizeof(small))
		arg = kvzalloc(bytes, GFP_KERNEL);
	if (!arg)
		return -ENOMEM;
	err = _IOC_DIR(cmd) & _IOC_WRITE ? copy_struct_from_user(arg, bytes, from, size) : 0;
	if (err)
		goto out;
	err = table->fn(obj, arg);
	*(u32 *)arg = bytes;
	/* How much room it takes is told also where there is not enough. */
	if ((err >= 0 || err == -E2BIG) && (_IOC_DIR(cmd) & _IOC_READ) &&
	    copy_to_user(from, arg, bytes))
		err = -EFAULT;
out:
	if (arg != small)
		kvfree(arg);
	return err;
}

static void halo_cap_backend(struct halo_cap_query *q)
{
	bool busy;

	/* Only a look: halo_hw_get() decides. */
	mutex_lock(&halo_hw_lock);
	busy = !halo_hw_users && !halo_hw.error && halo_host_busy();
	mutex_unlock(&halo_hw_lock);
	if (halo_hw.error) {
		q->reason = halo_hw.error == -EPERM ? HALO_REASON_FIRMWARE : HALO_REASON_CPU;
		strscpy(q->text, halo_hw.text, sizeof(q->text));
	} else if (busy) {
		q->reason = HALO_REASON_BUSY;
		halo_busy_text(q->text, sizeof(q->text));
	} else {
		q->value = halo_be->id;
	}
}

static long halo_cap(void *unused, void *arg)
{
	u32 reason = HALO_REASON_CPU;
	struct halo_cap_query *q = arg;
	const char *off = NULL;

	if (q->reserved)
		return -EINVAL;
	q->value = 0;
	q->reason = HALO_REASON_NONE;
	memset(q->text, 0, sizeof(q->text));
	switch (q->cap) {
	case HALO_CAP_BACKEND:
		halo_cap_backend(q);
		return 0;
	case HALO_CAP_MAX_VCPUS:
		q->value = HALO_MAX_VCPUS;
		return 0;
	case HALO_CAP_MAX_MEMSLOTS:
		q->value = HALO_MEM_SLOTS;
		return 0;
	case HALO_CAP_GPA_BITS:
		q->value = boot_cpu_data.x86_phys_bits;
		return 0;
	case HALO_CAP_HUGE_PAGES:
		q->value = BIT(12) | BIT(21) | (halo_hw.page_1g ? BIT(30) : 0);
		return 0;
	case HALO_CAP_TSC_DEADLINE:
	case HALO_CAP_X2APIC:
	case HALO_CAP_SMP:
	case HALO_CAP_ZONE_POSTED:
	case HALO_CAP_ZONE_DOORBELL:
	case HALO_CAP_IRQFD:
	case HALO_CAP_RUN_PARKED:
	case HALO_CAP_STATS_FD:
		q->value = 1;
		return 0;
	case HALO_CAP_TSC_KHZ:
		q->value = tsc_khz;
		return 0;
	case HALO_CAP_NRIPS:
		q->value = halo_hw.nrips;
		off = "the CPU does not save the next RIP; Halo decodes";
		break;
	case HALO_CAP_DECODE_ASSISTS:
		q->value = halo_hw.decode_assists;
		off = "the CPU does not save instruction bytes; Halo fetches them";
		break;
	case HALO_CAP_FLUSH_BY_ASID:
		q->value = halo_hw.flush_by_asid;
		off = "the CPU can't flush one ASID; Halo takes a new one";
		break;
	case HALO_CAP_PAUSE_LOOP:
		q->value = halo_hw.pause_loop;
		off = "the CPU does not count PAUSEs; a vCPU that spins keeps its CPU";
		break;
	case HALO_CAP_VNMI:
		q->value = halo_hw.vnmi;
		off = "the CPU has no virtual NMI; Halo watches IRET";
		break;
	case HALO_CAP_VIRT_INTR:
		q->value = halo_hw.virt_intr + halo_hw.virt_xapic;
		reason = halo_hw.virt_intr_off ? HALO_REASON_PARAMETER : HALO_REASON_CPU;
		off = halo_hw.virt_intr_off ? "the module was loaded with apicv=0 (AMD-V: avic=0)" :
		      "the CPU does not deliver interrupts by itself; Halo injects them";
		break;
	case HALO_CAP_TSC_SCALING:
		q->value = !!halo_hw.tsc_fraction;
		off = "the CPU does not scale a guest's TSC; it has the host's rate";
		break;
	case HALO_CAP_PV_CLOCK:
		q->value = !check_tsc_unstable();
		reason = HALO_REASON_KERNEL;
		off = "the host's TSC is not stable";
		break;
	case HALO_CAP_NESTED:
		reason = HALO_REASON_MODULE;
		off = "this version of the module does not have it";
		break;
	default:
		return -EINVAL;
	}
	if (!q->value) {
		q->reason = reason;
		strscpy(q->text, off, sizeof(q->text));
	}
	return 0;
}

/**
 * halo_cpuid_give() - a CPUID table to userspace
 * @c: in: the user's room, out: how many entries there are
 * @table: the table
 *
 * Return: 0; -E2BIG if there is not room for all.
 */
long halo_cpuid_give(struct halo_cpuid *c, const struct halo_cpuid_table *table)
{
	u32 room = c->count;

	c->count = table->count;
	if (room < c->count)
		return -E2BIG;
	return copy_to_user(u64_to_user_ptr(c->entries), table->entries,
			    c->count * sizeof(table->entries[0])) ? -EFAULT : 0;
}

static long halo_supported_cpuid(void *unused, void *arg)
{
	return halo_cpuid_give(arg, halo_cpuid_host);
}

static long halo_api_version(void *unused, void *arg)
{
	return HALO_API_VERSION;
}

static const struct halo_ioctl halo_ioctls[] = {
	{ HALO_GET_API_VERSION, halo_api_version },
	{ HALO_GET_CAP, halo_cap },
	{ HALO_GET_SUPPORTED_CPUID, halo_supported_cpuid },
	{ HALO_CREATE_VM, halo_vm_create },
};

static long halo_dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return halo_ioctl(halo_ioctls, ARRAY_SIZE(halo_ioctls), NULL, cmd, arg);
}

static const struct file_operations halo_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = halo_dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice halo_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "halo",
	.fops = &halo_fops,
	.mode = 0660,
};

static void halo_cpuid_native(void *opaque, u32 leaf, u32 subleaf, u32 regs[4])
{
	cpuid_count(leaf, subleaf, &regs[0], &regs[1], &regs[2], &regs[3]);
	/* XSAVEC and its kin: the host leaves alone what this CPU does wrong. */
	if (leaf == 0xd && subleaf == 1)
		regs[0] &= boot_cpu_data.x86_capability[CPUID_D_1_EAX];
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
	halo_cpuid_caps(halo_cpuid_host, &halo_cpuid_host_caps);
	return 0;
}

static int __init halo_init(void)
{
	int err;

	halo_host_init();
	if (boot_cpu_has(X86_FEATURE_VMX) || boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		halo_be = &vmx_backend;
	else
		halo_be = &svm_backend;
	static_call_update(halo_run, halo_be->run);
	halo_be->probe(&halo_hw);
	err = halo_cpuid_init();
	if (err)
		return err;
	err = misc_register(&halo_misc);
	if (err) {
		kvfree(halo_cpuid_host);
		return err;
	}
	halo_stats_init();
	if (halo_hw.error)
		pr_info("halo: loaded, but unusable: %s\n", halo_hw.text);
	else
		pr_info("halo: %s%s%s%s%s\n", halo_be->name, halo_hw.nrips ? ", NRIPS" : "",
			halo_hw.decode_assists ? ", decode assists" : "",
			halo_hw.flush_by_asid ? ", flush by ASID" : "",
			halo_hw.virt_intr ? ", virtual interrupts" : "");
	return 0;
}

static void __exit halo_exit(void)
{
	misc_deregister(&halo_misc);
	halo_stats_exit();
	if (halo_set_up) {
		preempt_notifier_dec();
		halo_be->teardown();
	}
	kvfree(halo_cpuid_host);
}

module_init(halo_init);
module_exit(halo_exit);

MODULE_DESCRIPTION("Halo: a hypervisor in one module");
MODULE_AUTHOR("Halo developers");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
