// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU: its fd, its mapping, its ioctls but RUN's inside, its end.
 *
 * vcpu->lock is held across RUN; an ioctl that needs the vCPU at rest takes it
 * and gets -EBUSY while it runs.  KICK, SET_LINE and GET_STATS do not.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include "vcpu.h"

static_assert(sizeof(struct halo_state) <= PAGE_SIZE);

static atomic64_t halo_vcpu_serials = ATOMIC64_INIT(0);

/**
 * halo_vcpu_kick() - make the vCPU's thread look at what has come (any context)
 * @vcpu: the vCPU
 *
 * The caller has set what is to be seen, with a full barrier after it.
 */
void halo_vcpu_kick(struct halo_vcpu *vcpu)
{
	int cpu, me;

	rcuwait_wake_up(&vcpu->wait);
	me = get_cpu();
	cpu = READ_ONCE(vcpu->pcpu);
	if (READ_ONCE(vcpu->mode) == MODE_IN_GUEST && cpu != me && cpu >= 0)
		halo_host_kick_cpu(cpu);
	put_cpu();
}

/**
 * halo_vcpu_reset() - RESET or INIT
 * @vcpu: the vCPU
 * @init: INIT: MSRs, FPU, CR0.CD and the TSC keep their values
 */
void halo_vcpu_reset(struct halo_vcpu *vcpu, bool init)
{
	halo_be->cpu_reset(&vcpu->cpu, init);
	if (init) {
		halo_lapic_init_reset(&vcpu->lapic);
	} else {
		halo_lapic_reset(&vcpu->lapic);
		halo_msr_reset(vcpu);
		vcpu->cpu.xcr0 = XFEATURE_MASK_FP;
	}
	halo_pv_reset(vcpu);
	halo_state_reset(vcpu, init);
	vcpu->nmi_pending = 0;
	vcpu->triple = false;
	vcpu->cpu.flush_tlb = true;
}

static void halo_vcpu_cpuid(struct halo_vcpu *vcpu, const struct halo_cpuid_table *table)
{
	if (vcpu->cpuid != halo_cpuid_host)
		kvfree(vcpu->cpuid);
	vcpu->cpuid = table;
}

/**
 * halo_vcpu_free() - free what halo_vcpu_create() built
 * @vcpu: the vCPU, which nobody can reach any more
 */
void halo_vcpu_free(struct halo_vcpu *vcpu)
{
	fpu_free_guest_fpstate(&vcpu->fpu);
	halo_be->cpu_fini(&vcpu->cpu);
	vfree(vcpu->areas);
	free_page((unsigned long)vcpu->cpu.apic_page);
	halo_vcpu_cpuid(vcpu, NULL);
	put_pid(rcu_dereference_protected(vcpu->pid, true));
	mutex_destroy(&vcpu->lock);
	kfree(vcpu);
}

/* The four areas: one piece of memory, zeroed, on the caller's account. */
static int halo_vcpu_areas(struct halo_vcpu *vcpu, u32 entries)
{
	struct halo_vcpu_layout *l = &vcpu->layout;

	l->ring_entries = entries;
	l->exits_bytes = PAGE_ALIGN(halo_ring_bytes(entries, sizeof(struct halo_exit)));
	l->replies_bytes = PAGE_ALIGN(halo_ring_bytes(entries, sizeof(struct halo_reply)));
	l->data_bytes = PAGE_SIZE;
	l->state_bytes = PAGE_SIZE;
	/* EXITS, which is not for writing, has no other in front of it. */
	l->replies_offset = l->exits_bytes;
	l->data_offset = l->replies_offset + l->replies_bytes;
	l->state_offset = l->data_offset + l->data_bytes;
	vcpu->areas = __vmalloc(l->state_offset + l->state_bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->areas)
		return -ENOMEM;
	vcpu->data = vcpu->areas + l->data_offset;
	vcpu->state = vcpu->areas + l->state_offset;
	halo_rings_init(&vcpu->rings, vcpu->areas, vcpu->areas + l->replies_offset, entries);
	return 0;
}

static struct halo_vcpu *halo_vcpu_new(struct halo_vm *vm, const struct halo_create_vcpu *arg)
{
	struct halo_vcpu *vcpu;
	int err;
	unsigned int i;

	vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = arg->id;
	vcpu->serial = atomic64_inc_return(&halo_vcpu_serials);
	vcpu->pcpu = -1;
	vcpu->cpu.pcpu = -1;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	vcpu->cpuid = halo_cpuid_host;
	vcpu->caps = halo_cpuid_host_caps;
	err = -ENOMEM;
	vcpu->cpu.apic_page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->cpu.apic_page)
		goto free;
	vcpu->cpu.shared = &vm->backend;
	vcpu->cpu.apic_number = HALO_MAX_VCPUS;
	vcpu->cpu.virt_intr = halo_hw.virt_intr && !halo_hw.virt_xapic;
	err = halo_be->cpu_init(&vcpu->cpu);
	if (err)
		goto free;
	err = -ENOMEM;
	if (!fpu_alloc_guest_fpstate(&vcpu->fpu))
		goto free;
	err = halo_vcpu_areas(vcpu, arg->ring_entries);
	if (err)
		goto free;
	vcpu->cpu.root = gpt_root(&vm->mem.gpt);
	halo_irq_init(vcpu);
	for (i = 0; i < HALO_CODE_PAGES; i++)
		vcpu->codes[i].cr3 = HALO_CODE_NONE;
	vcpu->code = vcpu->codes;
	halo_serve_init(vcpu);
	halo_lapic_init(&vcpu->lapic, vcpu->cpu.apic_page, arg->id, vcpu->caps.maxphyaddr,
			&halo_lapic_glue, vcpu);
	vcpu->lapic.virt = halo_hw.virt_xapic;
	halo_vcpu_reset(vcpu, false);
	vcpu->mp_state = arg->id == 0 ? HALO_MP_RUNNABLE : HALO_MP_UNINITIALIZED;
	return vcpu;
free:
	halo_vcpu_free(vcpu);
	return ERR_PTR(err);
}

/* A mapped page is the mapping's too: it outlives the vCPU if need be. */
static vm_fault_t halo_vcpu_fault(struct vm_fault *vmf)
{
	struct halo_vcpu *vcpu = vmf->vma->vm_file->private_data;
	const struct halo_vcpu_layout *l = &vcpu->layout;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;

	if (offset >= l->state_offset + l->state_bytes)
		return VM_FAULT_SIGBUS;
	vmf->page = vmalloc_to_page(vcpu->areas + offset);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct halo_vcpu_vm_ops = { .fault = halo_vcpu_fault };

static int halo_vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct halo_vcpu *vcpu = file->private_data;
	const struct halo_vcpu_layout *l = &vcpu->layout;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT, bytes;

	/* A server of the rings may be another process. */
	if (current->mm != vcpu->vm->mm && offset == l->state_offset)
		return -EIO;
	bytes = offset == l->exits_offset ? l->exits_bytes :
		offset == l->replies_offset ? l->replies_bytes :
		offset == l->data_offset ? l->data_bytes :
		offset == l->state_offset ? l->state_bytes : 0;
	if (vma->vm_end - vma->vm_start != bytes || !(vma->vm_flags & VM_SHARED) ||
	    (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	if (offset == l->exits_offset) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		halo_host_vma_clear(vma, VM_MAYWRITE);
	}
	halo_host_vma_clear(vma, VM_MAYEXEC);
	/* A child that is to serve our rings maps them itself. */
	halo_host_vma_set(vma, VM_DONTCOPY | VM_DONTEXPAND);
	vma->vm_ops = &halo_vcpu_vm_ops;
	return 0;
}

static long halo_vcpu_get_layout(void *obj, void *arg)
{
	struct halo_vcpu *vcpu = obj;

	*(struct halo_vcpu_layout *)arg = vcpu->layout;
	return 0;
}

static long halo_vcpu_kick_ioctl(void *obj, void *arg)
{
	struct halo_vcpu *vcpu = obj;

	set_bit(REQ_KICK, &vcpu->requests);
	smp_mb__after_atomic();	/* the request before the mode */
	halo_vcpu_kick(vcpu);
	return 0;
}

static long halo_vcpu_get_cpuid(void *obj, void *arg)
{
	struct halo_vcpu *vcpu = obj;

	return halo_cpuid_give(arg, vcpu->cpuid);
}

static long halo_vcpu_set_cpuid(void *obj, void *arg)
{
	struct halo_cpuid_entry *entries;
	struct halo_cpuid_table *table;
	struct halo_vcpu *vcpu = obj;
	struct halo_cpuid *c = arg;
	long err = -ENOMEM;

	if (c->count > HALO_MAX_CPUID)
		return -E2BIG;
	entries = vmemdup_user(u64_to_user_ptr(c->entries), c->count * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	table = kvzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	if (!table)
		goto out;
	err = halo_cpuid_set(table, entries, c->count);
	if (err) {
		kvfree(table);
		goto out;
	}
	halo_cpuid_clamp(table, halo_cpuid_host);
	halo_vcpu_cpuid(vcpu, table);
	halo_cpuid_caps(vcpu->cpuid, &vcpu->caps);
	vcpu->lapic.phys_bits = vcpu->caps.maxphyaddr;
	halo_be->refresh(&vcpu->cpu);
out:
	kvfree(entries);
	return err;
}

static long halo_vcpu_msrs(struct halo_vcpu *vcpu, const struct halo_msrs *m, bool set)
{
	struct halo_msr_entry __user *user = u64_to_user_ptr(m->entries);
	struct halo_msr_entry e;
	u32 i;

	if (m->count > HALO_MAX_MSRS)
		return -E2BIG;
	for (i = 0; i < m->count; i++) {
		if (copy_from_user(&e, &user[i], sizeof(e)))
			return -EFAULT;
		if (e.reserved)
			return -EINVAL;
		if (set ? halo_msr_write(vcpu, e.index, e.value, true) :
			  halo_msr_read(vcpu, e.index, &e.value))
			break;
		if (!set && put_user(e.value, &user[i].value))
			return -EFAULT;
	}
	return i;
}

static long halo_vcpu_get_msrs(void *obj, void *arg)
{
	return halo_vcpu_msrs(obj, arg, false);
}

static long halo_vcpu_set_msrs(void *obj, void *arg)
{
	return halo_vcpu_msrs(obj, arg, true);
}

static long halo_vcpu_get_lapic(void *obj, void *arg)
{
	struct halo_lapic_state *s = arg;
	struct halo_vcpu *vcpu = obj;

	halo_lapic_save(&vcpu->lapic, s->regs);
	return 0;
}

static long halo_vcpu_set_lapic(void *obj, void *arg)
{
	struct halo_lapic_state *s = arg;
	struct halo_vcpu *vcpu = obj;

	return s->reserved ? -EINVAL : halo_lapic_load(&vcpu->lapic, s->regs);
}

static long halo_vcpu_get_xsave(void *obj, void *arg)
{
	struct halo_vcpu *vcpu = obj;
	struct halo_xsave *x = arg;

	if (vcpu->fpu.uabi_size > sizeof(x->area))
		return -EOPNOTSUPP;
	halo_host_fpu_get(&vcpu->fpu, x->area, sizeof(x->area));
	return 0;
}

static long halo_vcpu_set_xsave(void *obj, void *arg)
{
	struct halo_vcpu *vcpu = obj;
	struct halo_xsave *x = arg;
	u32 pkru = 0;

	if (vcpu->fpu.uabi_size > sizeof(x->area))
		return -EOPNOTSUPP;
	if (x->reserved || memchr_inv(x->reserved2, 0, sizeof(x->reserved2)))
		return -EINVAL;
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu, x->area, halo_host_xcr0, &pkru);
}

static long halo_vcpu_get_state(void *obj, void *arg)
{
	halo_state_provide(obj);
	return 0;
}

static long halo_vcpu_set_state(void *obj, void *arg)
{
	return halo_state_commit(obj);
}

/* At any time, by any thread of the process. */
static const struct halo_ioctl halo_vcpu_any[] = {
	{ HALO_VCPU_KICK, halo_vcpu_kick_ioctl },
	{ HALO_VCPU_SET_LINE, halo_irq_line },
	{ HALO_VCPU_GET_LAYOUT, halo_vcpu_get_layout },
	{ HALO_VCPU_GET_STATS, halo_stats_vcpu },
	{ HALO_VCPU_SET_RING, halo_serve_set_ring },
};

/* The vCPU is at rest and ours. */
static const struct halo_ioctl halo_vcpu_locked[] = {
	{ HALO_VCPU_SET_CPUID, halo_vcpu_set_cpuid },
	{ HALO_VCPU_GET_CPUID, halo_vcpu_get_cpuid },
	{ HALO_VCPU_GET_MSRS, halo_vcpu_get_msrs },
	{ HALO_VCPU_SET_MSRS, halo_vcpu_set_msrs },
	{ HALO_VCPU_GET_LAPIC, halo_vcpu_get_lapic },
	{ HALO_VCPU_SET_LAPIC, halo_vcpu_set_lapic },
	{ HALO_VCPU_GET_XSAVE, halo_vcpu_get_xsave },
	{ HALO_VCPU_SET_XSAVE, halo_vcpu_set_xsave },
	{ HALO_VCPU_GET_STATE, halo_vcpu_get_state },
	{ HALO_VCPU_SET_STATE, halo_vcpu_set_state },
};

static long halo_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct halo_vcpu *vcpu = file->private_data;
	bool run = cmd == HALO_VCPU_RUN;
	long ret;

	if (cmd == HALO_VCPU_DOORBELL)
		return halo_serve_doorbell(vcpu);
	if (cmd == HALO_VCPU_STATS_FD)
		return halo_stats_fd_vcpu(vcpu);
	if (current->mm != vcpu->vm->mm)
		return -EIO;
	if (unlikely(!run)) {
		ret = halo_ioctl(halo_vcpu_any, ARRAY_SIZE(halo_vcpu_any), vcpu, cmd, arg);
		if (ret != -ENOTTY)
			return ret;
	}
	if (!mutex_trylock(&vcpu->lock))
		return -EBUSY;
	if (likely(run))
		ret = halo_vcpu_run(vcpu);
	else
		ret = halo_ioctl(halo_vcpu_locked, ARRAY_SIZE(halo_vcpu_locked), vcpu, cmd, arg);
	mutex_unlock(&vcpu->lock);
	return ret;
}

static int halo_vcpu_release(struct inode *inode, struct file *file)
{
	struct halo_vcpu *vcpu = file->private_data;

	halo_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations halo_vcpu_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = halo_vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = halo_vcpu_mmap,
	.poll = halo_serve_poll,
	.release = halo_vcpu_release,
	.llseek = noop_llseek,
};

/**
 * halo_vcpu_create() - HALO_VM_CREATE_VCPU: a new vCPU
 * @obj: its VM
 * @arg: struct halo_create_vcpu
 *
 * Return: its fd; -EINVAL, -EEXIST if the id is taken, -ENOMEM, -EMFILE.
 */
long halo_vcpu_create(void *obj, void *arg)
{
	struct halo_create_vcpu *c = arg;
	struct halo_vm *vm = obj;
	struct halo_vcpu *vcpu;
	struct file *file;
	unsigned int i;
	int fd, err;

	c->ring_entries = c->ring_entries ?: HALO_RING_ENTRIES_DEFAULT;
	if (c->flags || c->id >= HALO_MAX_VCPUS || !halo_ring_entries_valid(c->ring_entries))
		return -EINVAL;
	vcpu = halo_vcpu_new(vm, c);
	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto free;
	}
	mutex_lock(&vm->lock);
	err = -EEXIST;
	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i]->id == vcpu->id)
			goto unlock;
	file = anon_inode_getfile("halo-vcpu", &halo_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto unlock;
	}
	halo_tsc_init(vcpu);
	/* The file's release drops this reference; from here nothing fails. */
	refcount_inc(&vm->ref);
	vm->vcpus[i] = vcpu;
	vm->lapics[i] = &vcpu->lapic;
	/* Pairs with the acquires of those who walk the arrays unlocked. */
	smp_store_release(&vm->nr_vcpus, i + 1);
	vcpu->cpu.apic_number = vcpu->id;
	halo_lapic_glue.rerouted(vcpu);
	mutex_unlock(&vm->lock);
	fd_install(fd, file);
	return fd;
unlock:
	mutex_unlock(&vm->lock);
	put_unused_fd(fd);
free:
	hrtimer_cancel(&vcpu->timer);
	halo_vcpu_free(vcpu);
	return err;
}
