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

/* mmap offsets; far apart so that areas can grow. */
#define AREA_STEP	0x10000000ull
#define AREA_STATE	(0 * AREA_STEP)
#define AREA_EXITS	(1 * AREA_STEP)
#define AREA_REPLIES	(2 * AREA_STEP)
#define AREA_DATA	(3 * AREA_STEP)

static_assert(sizeof(struct halo_state) <= PAGE_SIZE);

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
	halo_state_reset(vcpu, init);
	vcpu->nmi_pending = false;
	vcpu->triple = false;
	vcpu->cpu.flush_tlb = true;
}

/**
 * halo_vcpu_free() - free what halo_vcpu_create() built
 * @vcpu: the vCPU, which nobody can reach any more
 */
void halo_vcpu_free(struct halo_vcpu *vcpu)
{
	fpu_free_guest_fpstate(&vcpu->fpu);
	halo_be->cpu_fini(&vcpu->cpu);
	vfree(vcpu->state);
	vfree(vcpu->exits);
	vfree(vcpu->replies);
	vfree(vcpu->data);
	kvfree(vcpu->cpuid);
	mutex_destroy(&vcpu->lock);
	kfree(vcpu);
}

/* Zeroed, and on the caller's account. */
static void *halo_area_alloc(size_t bytes)
{
	return __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

static int halo_vcpu_areas(struct halo_vcpu *vcpu, u32 entries)
{
	vcpu->exits_bytes = PAGE_ALIGN(halo_ring_bytes(entries, sizeof(struct halo_exit)));
	vcpu->replies_bytes = PAGE_ALIGN(halo_ring_bytes(entries, sizeof(struct halo_reply)));
	vcpu->state = halo_area_alloc(PAGE_SIZE);
	vcpu->exits = halo_area_alloc(vcpu->exits_bytes);
	vcpu->replies = halo_area_alloc(vcpu->replies_bytes);
	vcpu->data = halo_area_alloc(PAGE_SIZE);
	if (!vcpu->state || !vcpu->exits || !vcpu->replies || !vcpu->data)
		return -ENOMEM;
	halo_rings_init(&vcpu->rings, vcpu->exits, vcpu->replies, entries);
	return 0;
}

static struct halo_vcpu *halo_vcpu_new(struct halo_vm *vm, const struct halo_create_vcpu *arg)
{
	struct halo_vcpu *vcpu;
	int err;

	vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = arg->id;
	vcpu->pcpu = -1;
	vcpu->cpu.pcpu = -1;
	mutex_init(&vcpu->lock);
	rcuwait_init(&vcpu->wait);
	vcpu->cpuid = kvzalloc(sizeof(*vcpu->cpuid), GFP_KERNEL_ACCOUNT);
	err = -ENOMEM;
	if (!vcpu->cpuid)
		goto free;
	err = halo_be->cpu_init(&vcpu->cpu);
	if (err)
		goto free;
	err = -ENOMEM;
	if (!fpu_alloc_guest_fpstate(&vcpu->fpu))
		goto free;
	err = halo_vcpu_areas(vcpu, arg->ring_entries);
	if (err)
		goto free;
	*vcpu->cpuid = *halo_cpuid_host;
	halo_cpuid_caps(vcpu->cpuid, &vcpu->caps);
	vcpu->cpu.root = gpt_root(&vm->mem.gpt);
	vcpu->cpu.tsc_offset = vm->tsc_offset;
	halo_irq_init(vcpu);
	halo_lapic_init(&vcpu->lapic, arg->id, vcpu->caps.maxphyaddr, &halo_lapic_glue, vcpu);
	halo_vcpu_reset(vcpu, false);
	vcpu->mp_state = arg->id == 0 ? HALO_MP_RUNNABLE : HALO_MP_UNINITIALIZED;
	return vcpu;
free:
	halo_vcpu_free(vcpu);
	return ERR_PTR(err);
}

static long halo_vcpu_layout(struct halo_vcpu *vcpu, void __user *arg)
{
	const struct halo_vcpu_layout l = {
		.size = sizeof(l),
		.ring_entries = vcpu->rings.entries,
		.state_offset = AREA_STATE,
		.state_bytes = PAGE_SIZE,
		.exits_offset = AREA_EXITS,
		.exits_bytes = vcpu->exits_bytes,
		.replies_offset = AREA_REPLIES,
		.replies_bytes = vcpu->replies_bytes,
		.data_offset = AREA_DATA,
		.data_bytes = PAGE_SIZE,
	};

	return halo_copy_out(arg, &l, sizeof(l));
}

/* The area at an mmap offset, and its length; NULL if there is none. */
static void *halo_vcpu_area(struct halo_vcpu *vcpu, u64 offset, size_t *bytes)
{
	*bytes = PAGE_SIZE;
	switch (offset) {
	case AREA_STATE:
		return vcpu->state;
	case AREA_DATA:
		return vcpu->data;
	case AREA_EXITS:
		*bytes = vcpu->exits_bytes;
		return vcpu->exits;
	case AREA_REPLIES:
		*bytes = vcpu->replies_bytes;
		return vcpu->replies;
	default:
		return NULL;
	}
}

/* A mapped page is the mapping's too: it outlives the vCPU if need be. */
static vm_fault_t halo_vcpu_fault(struct vm_fault *vmf)
{
	struct halo_vcpu *vcpu = vmf->vma->vm_file->private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	size_t bytes, at = offset & (AREA_STEP - 1);
	void *area = halo_vcpu_area(vcpu, offset - at, &bytes);

	if (!area || at >= bytes)
		return VM_FAULT_SIGBUS;
	vmf->page = vmalloc_to_page(area + at);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct halo_vcpu_vm_ops = { .fault = halo_vcpu_fault };

static int halo_vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct halo_vcpu *vcpu = file->private_data;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	size_t bytes;

	if (current->mm != vcpu->vm->mm)
		return -EIO;
	if (!halo_vcpu_area(vcpu, offset, &bytes) || vma->vm_end - vma->vm_start != bytes ||
	    !(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC))
		return -EINVAL;
	if (offset == AREA_EXITS) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		halo_host_vma_clear(vma, VM_MAYWRITE);
	}
	halo_host_vma_clear(vma, VM_MAYEXEC);
	/* A copy in a child would be another process's view of our rings. */
	halo_host_vma_set(vma, VM_DONTCOPY | VM_DONTEXPAND);
	vma->vm_ops = &halo_vcpu_vm_ops;
	return 0;
}

static long halo_vcpu_set_cpuid(struct halo_vcpu *vcpu, void __user *arg)
{
	struct halo_cpuid_entry *entries;
	struct halo_cpuid_table *table;
	struct halo_cpuid c;
	int err = halo_copy_in(&c, sizeof(c), arg);

	if (err)
		return err;
	if (c.count > HALO_MAX_CPUID)
		return -E2BIG;
	entries = vmemdup_user(u64_to_user_ptr(c.entries), c.count * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	table = kvzalloc(sizeof(*table), GFP_KERNEL_ACCOUNT);
	err = -ENOMEM;
	if (!table)
		goto out;
	err = halo_cpuid_set(table, entries, c.count);
	if (err)
		goto out;
	halo_cpuid_clamp(table, halo_cpuid_host);
	swap(table, vcpu->cpuid);
	halo_cpuid_caps(vcpu->cpuid, &vcpu->caps);
	vcpu->lapic.phys_bits = vcpu->caps.maxphyaddr;
	halo_be->refresh(&vcpu->cpu);
out:
	kvfree(table);
	kvfree(entries);
	return err;
}

static long halo_vcpu_msrs(struct halo_vcpu *vcpu, void __user *arg, bool set)
{
	struct halo_msr_entry __user *user;
	struct halo_msr_entry e;
	struct halo_msrs m;
	int err = halo_copy_in(&m, sizeof(m), arg);
	u32 i;

	if (err)
		return err;
	if (m.count > HALO_MAX_MSRS)
		return -E2BIG;
	user = u64_to_user_ptr(m.entries);
	for (i = 0; i < m.count; i++) {
		if (copy_from_user(&e, &user[i], sizeof(e)))
			return -EFAULT;
		if (e.reserved)
			return -EINVAL;
		if (set) {
			if (halo_msr_write(vcpu, e.index, e.value, true))
				break;
		} else {
			if (halo_msr_read(vcpu, e.index, &e.value))
				break;
			if (put_user(e.value, &user[i].value))
				return -EFAULT;
		}
	}
	return i;
}

static long halo_vcpu_lapic(struct halo_vcpu *vcpu, void __user *arg, bool set)
{
	struct halo_lapic_state *s = kzalloc(sizeof(*s), GFP_KERNEL);
	long err;

	if (!s)
		return -ENOMEM;
	if (set) {
		err = halo_copy_in(s, sizeof(*s), arg);
		if (!err)
			err = s->reserved ? -EINVAL : halo_lapic_load(&vcpu->lapic, s->regs);
	} else {
		s->size = sizeof(*s);
		halo_lapic_save(&vcpu->lapic, s->regs);
		err = halo_copy_out(arg, s, sizeof(*s));
	}
	kfree(s);
	return err;
}

static long halo_vcpu_xsave(struct halo_vcpu *vcpu, void __user *arg, bool set)
{
	struct halo_xsave *x;
	u32 pkru = 0;
	long err;

	if (vcpu->fpu.uabi_size > sizeof(x->area))
		return -EOPNOTSUPP;
	x = kvzalloc(sizeof(*x), GFP_KERNEL);
	if (!x)
		return -ENOMEM;
	if (set) {
		err = halo_copy_in(x, sizeof(*x), arg);
		if (!err && (x->reserved || memchr_inv(x->reserved2, 0, sizeof(x->reserved2))))
			err = -EINVAL;
		if (!err)
			err = fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu, x->area,
							     halo_host_xcr0, &pkru);
	} else {
		x->size = sizeof(*x);
		halo_host_fpu_get(&vcpu->fpu, x->area, sizeof(x->area));
		err = halo_copy_out(arg, x, sizeof(*x));
	}
	kvfree(x);
	return err;
}

static long halo_vcpu_line(struct halo_vcpu *vcpu, void __user *arg)
{
	struct halo_line l;
	int err = halo_copy_in(&l, sizeof(l), arg);

	if (err)
		return err;
	if (l.reserved || l.level > 1)
		return -EINVAL;
	return halo_irq_line(vcpu, &l);
}

static long halo_vcpu_stats(struct halo_vcpu *vcpu, void __user *arg)
{
	struct halo_vcpu_stats s = vcpu->count;

	s.size = sizeof(s);
	s.tlb_flushes = vcpu->cpu.flushes;
	return halo_copy_out(arg, &s, sizeof(s));
}

/* The vCPU is at rest and ours. */
static long halo_vcpu_locked(struct halo_vcpu *vcpu, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case HALO_VCPU_SET_CPUID:
		return halo_vcpu_set_cpuid(vcpu, arg);
	case HALO_VCPU_GET_CPUID:
		return halo_cpuid_give(arg, vcpu->cpuid);
	case HALO_VCPU_GET_MSRS:
		return halo_vcpu_msrs(vcpu, arg, false);
	case HALO_VCPU_SET_MSRS:
		return halo_vcpu_msrs(vcpu, arg, true);
	case HALO_VCPU_GET_LAPIC:
		return halo_vcpu_lapic(vcpu, arg, false);
	case HALO_VCPU_SET_LAPIC:
		return halo_vcpu_lapic(vcpu, arg, true);
	case HALO_VCPU_GET_XSAVE:
		return halo_vcpu_xsave(vcpu, arg, false);
	case HALO_VCPU_SET_XSAVE:
		return halo_vcpu_xsave(vcpu, arg, true);
	case HALO_VCPU_GET_STATE:
		halo_state_provide(vcpu);
		return 0;
	case HALO_VCPU_SET_STATE:
		return halo_state_commit(vcpu);
	default:
		return -ENOTTY;
	}
}

static long halo_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct halo_vcpu *vcpu = file->private_data;
	long ret;

	if (current->mm != vcpu->vm->mm)
		return -EIO;
	switch (cmd) {
	case HALO_VCPU_GET_LAYOUT:
		return halo_vcpu_layout(vcpu, (void __user *)arg);
	case HALO_VCPU_KICK:
		set_bit(REQ_KICK, &vcpu->requests);
		smp_mb__after_atomic();	/* the request before the mode */
		halo_vcpu_kick(vcpu);
		return 0;
	case HALO_VCPU_SET_LINE:
		return halo_vcpu_line(vcpu, (void __user *)arg);
	case HALO_VCPU_GET_STATS:
		return halo_vcpu_stats(vcpu, (void __user *)arg);
	}
	if (!mutex_trylock(&vcpu->lock))
		return -EBUSY;
	if (cmd == HALO_VCPU_RUN)
		ret = halo_vcpu_run(vcpu);
	else
		ret = halo_vcpu_locked(vcpu, cmd, (void __user *)arg);
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
	.release = halo_vcpu_release,
	.llseek = noop_llseek,
};

static int halo_vcpu_room(const struct halo_vm *vm, u32 id)
{
	unsigned int i;

	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpus[i]->id == id)
			return -EEXIST;
	return 0;
}

static void halo_vcpu_publish(struct halo_vm *vm, struct halo_vcpu *vcpu)
{
	vm->vcpus[vm->nr_vcpus] = vcpu;
	vm->lapics[vm->nr_vcpus] = &vcpu->lapic;
	/* Pairs with the acquires of those who walk the arrays unlocked. */
	smp_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
}

/**
 * halo_vcpu_create() - a new vCPU
 * @vm: its VM
 * @arg: checked by the caller
 *
 * Return: its fd; -EEXIST if the id is taken, -ENOMEM, -EMFILE.
 */
int halo_vcpu_create(struct halo_vm *vm, const struct halo_create_vcpu *arg)
{
	struct halo_vcpu *vcpu;
	struct file *file;
	int fd, err;

	vcpu = halo_vcpu_new(vm, arg);
	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		err = fd;
		goto free;
	}
	mutex_lock(&vm->lock);
	err = halo_vcpu_room(vm, vcpu->id);
	if (err)
		goto unlock;
	file = anon_inode_getfile("halo-vcpu", &halo_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto unlock;
	}
	/* The file's release drops this reference; from here nothing fails. */
	refcount_inc(&vm->ref);
	halo_vcpu_publish(vm, vcpu);
	mutex_unlock(&vm->lock);
	fd_install(fd, file);
	return fd;
unlock:
	mutex_unlock(&vm->lock);
	put_unused_fd(fd);
free:
	halo_irq_fini(vcpu);
	halo_vcpu_free(vcpu);
	return err;
}
