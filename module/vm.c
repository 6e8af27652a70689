// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual machine: its fd, its memory and zones, its end.
 *
 * The VM belongs to the address space that made it: memslots are that process's
 * mappings, and every ioctl from another one gives -EIO.  vm->lock serializes
 * configuration; RUN takes it never.
 */
#include <linux/anon_inodes.h>
#include <linux/cpu.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include "vcpu.h"

static void halo_vm_ack(void *unused)
{
	/* Arriving here has taken the CPU out of the guest: that was the point. */
}

/*
 * Rights were taken from the second-stage tables.  A vCPU that enters from now
 * on sees the new generation; one that is inside is brought out, and flushes
 * on its way back in.  Pairs with the barrier in halo_enter().
 */
static void halo_vm_flush(struct halo_mem *mem)
{
	struct halo_vm *vm = container_of(mem, struct halo_vm, mem);
	unsigned int i, n = halo_vm_vcpus(vm);
	int me;

	atomic64_inc(&vm->tlb_gen);
	smp_mb__after_atomic();	/* the generation before the modes */
	me = get_cpu();
	for (i = 0; i < n; i++) {
		struct halo_vcpu *vcpu = vm->vcpus[i];

		if (READ_ONCE(vcpu->mode) == MODE_IN_GUEST && READ_ONCE(vcpu->pcpu) != me)
			smp_call_function_single(READ_ONCE(vcpu->pcpu), halo_vm_ack, NULL, 1);
	}
	put_cpu();
}

/**
 * halo_vm_put() - drop a reference; the last one ends the VM
 * @vm: the VM
 */
void halo_vm_put(struct halo_vm *vm)
{
	unsigned int i;

	if (!refcount_dec_and_test(&vm->ref))
		return;
	halo_stats_del(vm);
	for (i = 0; i < vm->nr_vcpus; i++) {
		hrtimer_cancel(&vm->vcpus[i]->timer);
		hrtimer_cancel(&vm->vcpus[i]->announce);
	}
	halo_irqfd_free_vm(vm);
	halo_mem_destroy(&vm->mem);
	for (i = 0; i < vm->nr_vcpus; i++)
		halo_vcpu_free(vm->vcpus[i]);
	halo_bus_free(vm);
	mutex_destroy(&vm->lock);
	kvfree(vm);
	halo_hw_put();
}

static_assert(HALO_MEM_READONLY == HALO_SLOT_READONLY);

static long halo_vm_set_memslot(void *obj, void *arg)
{
	const struct halo_memslot *m = arg;
	struct halo_vm *vm = obj;
	long err;

	if (m->reserved)
		return -EINVAL;
	mutex_lock(&vm->lock);
	err = halo_mem_set_slot(&vm->mem, m->slot, m->flags, m->gpa, m->bytes, m->hva);
	mutex_unlock(&vm->lock);
	return err;
}

static const struct halo_ioctl halo_vm_ioctls[] = {
	{ HALO_VM_SET_MEMSLOT, halo_vm_set_memslot },
	{ HALO_VM_SET_ZONE, halo_bus_set_zone },
	{ HALO_VM_CREATE_VCPU, halo_vcpu_create },
	{ HALO_VM_MSI, halo_irq_msi },
	{ HALO_VM_GET_CLOCK, halo_clock_get },
	{ HALO_VM_SET_CLOCK, halo_clock_set },
	{ HALO_VM_SET_TSC_KHZ, halo_clock_set_tsc_khz },
	{ HALO_VM_SET_IRQFD, halo_irqfd_set },
};

static long halo_vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct halo_vm *vm = file->private_data;

	if (cmd == HALO_VM_STATS_FD)
		return halo_stats_fd_vm(vm);
	if (current->mm != vm->mm)
		return -EIO;
	return halo_ioctl(halo_vm_ioctls, ARRAY_SIZE(halo_vm_ioctls), vm, cmd, arg);
}

static int halo_vm_release(struct inode *inode, struct file *file)
{
	halo_vm_put(file->private_data);
	return 0;
}

static const struct file_operations halo_vm_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = halo_vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = halo_vm_release,
	.llseek = noop_llseek,
};

/* It stands in texts, between blanks. */
static bool halo_vm_name_valid(const char *name)
{
	unsigned int i = 0;

	while (i < HALO_NAME_BYTES && name[i] > ' ' && name[i] < 0x7f)
		i++;
	return i < HALO_NAME_BYTES && !memchr_inv(name + i, 0, HALO_NAME_BYTES - i);
}

/**
 * halo_vm_create() - HALO_CREATE_VM: a new VM for the calling process
 * @unused: nothing
 * @arg: struct halo_create_vm
 *
 * Return: its fd, or an errno of halo_hw_get(), -EINVAL, -ENOMEM, -EMFILE.
 */
long halo_vm_create(void *unused, void *arg)
{
	const struct halo_create_vm *c = arg;
	const struct halo_mem_config config = {
		.fmt = halo_hw.format,
		.flush = halo_vm_flush,
		.gpa_bits = boot_cpu_data.x86_phys_bits,
		.max_level = halo_hw.page_1g ? GPT_LEVEL_1G : GPT_LEVEL_2M,
		.nx_huge = boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off(),
	};
	struct halo_vm *vm;
	struct file *file;
	int fd, err;

	if (c->flags || !halo_vm_name_valid(c->name))
		return -EINVAL;
	err = halo_hw_get();
	if (err)
		return err;
	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm) {
		err = -ENOMEM;
		goto put_hw;
	}
	refcount_set(&vm->ref, 1);
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->irqfds);
	vm->mm = current->mm;
	memcpy(vm->name, c->name, sizeof(vm->name));
	atomic64_set(&vm->tlb_gen, 1);
	atomic64_set(&vm->route_gen, 1);
	halo_clock_init(vm);
	err = halo_mem_init(&vm->mem, current->mm, &config);
	if (err)
		goto free;
	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	halo_stats_add(vm, fd);
	if (fd < 0) {
		halo_vm_put(vm);
		return fd;
	}
	file = anon_inode_getfile("halo-vm", &halo_vm_fops, vm, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		halo_vm_put(vm);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
free:
	kvfree(vm);
put_hw:
	halo_hw_put();
	return err;
}
