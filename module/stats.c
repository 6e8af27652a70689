// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics: what VMs and vCPUs did, for anybody who asks, at any time.
 *
 * A statistics fd is a small file: a header, a table that names each value, the values.
 * The counters are plain numbers that the vCPU's owner adds to; a reader takes what is
 * there, without a lock, so that reading costs a running vCPU nothing.  All fds have one
 * table; a vCPU's header begins it behind what only VMs have.
 *
 * debugfs has one file, halo/vms, with a line for each value, PID-FD/vcpuN/NAME VALUE.
 * A directory per VM with a file for each value, as KVM has, is some hundred inodes and
 * dentries per vCPU, made with each VM and hardly ever looked at; the lines cost a VM its
 * place in a list, and grep finds in them what ls would.  Without debugfs, the fds are
 * there all the same.
 *
 * Locks: halo_vms_lock, a leaf, guards the list of VMs.  One that is in it has not been
 * freed, as it leaves before that.
 */
#include <linux/anon_inodes.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "reasons.h"
#include "vcpu.h"

#define COUNTS		(sizeof(struct halo_count) / sizeof(u64))

/* Values, in the order of the table. */
enum stat_at {
	STAT_VCPUS,
	STAT_ZONES,
	STAT_IRQFDS,
	STAT_UNMAPS,
	STAT_VCPU,		/* from here: of each vCPU */
	STAT_EXITS = STAT_VCPU,
	STAT_TLB_FLUSHES,
	STAT_IN_GUEST,
	STAT_HALTED,
	STAT_EXIT_WAITS,
	STAT_COUNTS,
	STATS = STAT_COUNTS + COUNTS
};

#define STAT(at, kind, unit, name)	{ (at) * 8, HALO_STATS_##kind, HALO_STATS_##unit, name }
#define COUNT(field, unit)							\
	STAT(STAT_COUNTS + offsetof(struct halo_count, field) / 8, COUNTER, unit, #field)
#define REASON(nr, name)	STAT(STAT_COUNTS + HW_##nr, COUNTER, NONE, "exit_" #name),

static const struct halo_stats_desc stats_desc[] = {
	STAT(STAT_VCPUS, GAUGE, NONE, "vcpus"),
	STAT(STAT_ZONES, GAUGE, NONE, "zones"),
	STAT(STAT_IRQFDS, GAUGE, NONE, "irqfds"),
	STAT(STAT_UNMAPS, COUNTER, NONE, "unmaps"),
	STAT(STAT_EXITS, COUNTER, NONE, "exits"),
	STAT(STAT_TLB_FLUSHES, COUNTER, NONE, "tlb_flushes"),
	STAT(STAT_IN_GUEST, GAUGE, NONE, "in_guest"),
	STAT(STAT_HALTED, GAUGE, NONE, "halted"),
	STAT(STAT_EXIT_WAITS, GAUGE, NONE, "exit_waits"),
	HALO_REASONS(REASON)
	STAT(STAT_COUNTS + HW_UNKNOWN, COUNTER, NONE, "exit_unknown"),
	COUNT(user_exits, NONE),
	COUNT(posted, NONE),
	COUNT(doorbells, NONE),
	COUNT(mmio, NONE),
	COUNT(faults, NONE),
	COUNT(injected, NONE),
	COUNT(decoded, NONE),
	COUNT(halts, NONE),
	COUNT(halted_ns, NS),
	COUNT(parks, NONE),
	COUNT(parked_ns, NS),
};

static_assert(ARRAY_SIZE(stats_desc) == STATS);

/**
 * struct stats_file - what a statistics fd tells of
 * @vm: the VM, with a reference
 * @vcpu: one of its vCPUs, which live as long as it does; NULL: all of them
 */
struct stats_file {
	struct halo_vm *vm;
	struct halo_vcpu *vcpu;
};

#define DATA_OFFSET	(sizeof(struct halo_stats_header) + sizeof(stats_desc))
#define FILE_BYTES	(DATA_OFFSET + STATS * sizeof(u64))

static DEFINE_MUTEX(halo_vms_lock);
static LIST_HEAD(halo_vms);
static u64 halo_vms_made;
static struct dentry *halo_debugfs;

static void stats_add_vcpu(u64 *v, const struct halo_vcpu *vcpu)
{
	const u64 *count = (const u64 *)&vcpu->count;
	unsigned int i;
	u64 n;

	for (i = 0; i < COUNTS; i++) {
		n = READ_ONCE(count[i]);
		v[STAT_COUNTS + i] += n;
		if (i < HW_REASONS)
			v[STAT_EXITS] += n;
	}
	v[STAT_TLB_FLUSHES] += READ_ONCE(vcpu->cpu.flushes);
	v[STAT_IN_GUEST] += READ_ONCE(vcpu->mode) == MODE_IN_GUEST;
	v[STAT_HALTED] += READ_ONCE(vcpu->mp_state) == HALO_MP_HALTED;
	v[STAT_EXIT_WAITS] += READ_ONCE(vcpu->pending.kind) != PEND_NONE;
}

static void stats_fill(u64 *v, struct halo_vm *vm, const struct halo_vcpu *vcpu)
{
	unsigned int i, n = halo_vm_vcpus(vm);

	memset(v, 0, STATS * sizeof(*v));
	if (vcpu) {
		stats_add_vcpu(v, vcpu);
		return;
	}
	v[STAT_VCPUS] = n;
	v[STAT_ZONES] = READ_ONCE(vm->nr_zones);
	v[STAT_IRQFDS] = READ_ONCE(vm->nr_irqfds);
	/* It begins at 1, so that vCPUs that come flush once. */
	v[STAT_UNMAPS] = atomic64_read(&vm->tlb_gen) - 1;
	for (i = 0; i < n; i++)
		stats_add_vcpu(v, vm->vcpus[i]);
}

static void stats_header(struct halo_stats_header *h, const struct halo_vm *vm,
			 const struct halo_vcpu *vcpu)
{
	unsigned int skip = vcpu ? STAT_VCPU : 0;
	int n;

	*h = (struct halo_stats_header){
		.size = sizeof(*h),
		.desc_offset = sizeof(*h) + skip * sizeof(stats_desc[0]),
		.desc_bytes = sizeof(stats_desc[0]),
		.desc_count = STATS - skip,
		.data_offset = DATA_OFFSET,
		.data_bytes = STATS * sizeof(u64),
		.vm = vm->nr,
	};
	n = scnprintf(h->id, sizeof(h->id), "%d-%d", vm->pid, vm->fd);
	if (vcpu)
		scnprintf(h->id + n, sizeof(h->id) - n, "/vcpu%u", vcpu->id);
	memcpy(h->name, vm->name, sizeof(h->name));
}

/**
 * stats_part() - of one part of the file, what a read() wants of it
 * @at: where the part begins
 * @part: it
 * @bytes: its length
 * @user: where the read() has got to; moved on
 * @left: what it still wants; made less
 * @pos: offset in the file; moved on
 *
 * Return: whether userspace could be written to.
 */
static bool stats_part(u64 at, const void *part, size_t bytes, char __user **user, size_t *left,
		       loff_t *pos)
{
	size_t skip = *pos - at, n;

	if (*pos < at || skip >= bytes || !*left)
		return true;
	n = min(bytes - skip, *left);
	if (copy_to_user(*user, part + skip, n))
		return false;
	*user += n;
	*left -= n;
	*pos += n;
	return true;
}

static ssize_t stats_read(struct file *file, char __user *user, size_t bytes, loff_t *ppos)
{
	const struct stats_file *s = file->private_data;
	struct halo_stats_header header;
	loff_t pos = *ppos;
	u64 v[STATS];

	if (pos < 0)
		return -EINVAL;
	stats_header(&header, s->vm, s->vcpu);
	stats_fill(v, s->vm, s->vcpu);
	if (!stats_part(0, &header, sizeof(header), &user, &bytes, &pos) ||
	    !stats_part(sizeof(header), stats_desc, sizeof(stats_desc), &user, &bytes, &pos) ||
	    !stats_part(DATA_OFFSET, v, sizeof(v), &user, &bytes, &pos))
		return -EFAULT;
	bytes = pos - *ppos;
	*ppos = pos;
	return bytes;
}

static loff_t stats_llseek(struct file *file, loff_t offset, int whence)
{
	return fixed_size_llseek(file, offset, whence, FILE_BYTES);
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *s = file->private_data;

	halo_vm_put(s->vm);
	kfree(s);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.llseek = stats_llseek,
	.release = stats_release,
};

static long stats_fd(struct halo_vm *vm, struct halo_vcpu *vcpu)
{
	struct stats_file *s = kmalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	struct file *file;
	int fd;

	if (!s)
		return -ENOMEM;
	*s = (struct stats_file){ vm, vcpu };
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile("halo-stats", &stats_fops, s, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	refcount_inc(&vm->ref);
	file->f_mode |= FMODE_LSEEK | FMODE_PREAD;
	fd_install(fd, file);
	return fd;
free:
	kfree(s);
	return fd;
}

/**
 * halo_stats_fd_vm() - HALO_VM_STATS_FD
 * @vm: the VM; any process
 *
 * Return: the fd; -ENOMEM, -EMFILE.
 */
long halo_stats_fd_vm(struct halo_vm *vm)
{
	return stats_fd(vm, NULL);
}

/**
 * halo_stats_fd_vcpu() - HALO_VCPU_STATS_FD
 * @vcpu: the vCPU, not locked; any process
 *
 * Return: the fd; -ENOMEM, -EMFILE.
 */
long halo_stats_fd_vcpu(struct halo_vcpu *vcpu)
{
	return stats_fd(vcpu->vm, vcpu);
}

/**
 * halo_stats_vcpu() - HALO_VCPU_GET_STATS
 * @obj: the vCPU, not locked
 * @arg: struct halo_vcpu_stats
 *
 * Return: 0.
 */
long halo_stats_vcpu(void *obj, void *arg)
{
	struct halo_vcpu *vcpu = obj;
	const struct halo_count *c = &vcpu->count;
	struct halo_vcpu_stats *s = arg;
	u64 v[STATS];

	stats_fill(v, vcpu->vm, vcpu);
	*s = (struct halo_vcpu_stats){
		/* Each entry has its exit, but the one under way. */
		.entries = v[STAT_EXITS] + v[STAT_IN_GUEST],
		.exits = v[STAT_EXITS],
		.user_exits = c->user_exits,
		.pio = c->exits[HW_PIO],
		.mmio = c->mmio,
		.cpuid = c->exits[HW_CPUID],
		.msr = c->exits[HW_RDMSR] + c->exits[HW_WRMSR],
		.hlt = c->exits[HW_HLT],
		.faults = c->faults,
		.intr = c->exits[HW_INTR] + c->exits[HW_DEADLINE],
		.injected = c->injected,
		.halted_ns = c->halted_ns,
		.tlb_flushes = v[STAT_TLB_FLUSHES],
		.decoded = c->decoded,
	};
	return 0;
}

static void *vms_start(struct seq_file *m, loff_t *pos)
{
	mutex_lock(&halo_vms_lock);
	return seq_list_start(&halo_vms, *pos);
}

static void *vms_next(struct seq_file *m, void *item, loff_t *pos)
{
	return seq_list_next(item, &halo_vms, pos);
}

static void vms_stop(struct seq_file *m, void *item)
{
	mutex_unlock(&halo_vms_lock);
}

static void vms_lines(struct seq_file *m, struct halo_vm *vm, const struct halo_vcpu *vcpu)
{
	struct halo_stats_header h;
	u64 v[STATS];
	unsigned int i;

	stats_header(&h, vm, vcpu);
	stats_fill(v, vm, vcpu);
	seq_printf(m, "%s/vm %llu\n%s/name %s\n", h.id, h.vm, h.id, h.name);
	for (i = vcpu ? STAT_VCPU : 0; i < STATS; i++)
		seq_printf(m, "%s/%s %llu\n", h.id, stats_desc[i].name, v[i]);
}

static int vms_show(struct seq_file *m, void *item)
{
	struct halo_vm *vm = list_entry(item, struct halo_vm, node);
	unsigned int i, n = halo_vm_vcpus(vm);

	vms_lines(m, vm, NULL);
	for (i = 0; i < n && !seq_has_overflowed(m); i++)
		vms_lines(m, vm, vm->vcpus[i]);
	return 0;
}

static const struct seq_operations vms_sops = {
	.start = vms_start,
	.next = vms_next,
	.stop = vms_stop,
	.show = vms_show,
};
DEFINE_SEQ_ATTRIBUTE(vms);

/**
 * halo_stats_add() - a new VM: from here it can be seen
 * @vm: the VM
 * @fd: what its fd will be
 */
void halo_stats_add(struct halo_vm *vm, int fd)
{
	vm->pid = task_tgid_nr(current);
	vm->fd = fd;
	mutex_lock(&halo_vms_lock);
	vm->nr = ++halo_vms_made;
	list_add_tail(&vm->node, &halo_vms);
	mutex_unlock(&halo_vms_lock);
}

/**
 * halo_stats_del() - a VM is about to be freed
 * @vm: the VM
 */
void halo_stats_del(struct halo_vm *vm)
{
	mutex_lock(&halo_vms_lock);
	list_del(&vm->node);
	mutex_unlock(&halo_vms_lock);
}

/**
 * halo_stats_init() - the module was loaded
 *
 * What debugfs answers is not looked at: without it, there is no such file.
 */
void halo_stats_init(void)
{
	halo_debugfs = debugfs_create_dir("halo", NULL);
	/* No mode but this one is readable under lockdown. */
	debugfs_create_file("vms", 0444, halo_debugfs, NULL, &vms_fops);
}

/**
 * halo_stats_exit() - it goes; there is no VM
 */
void halo_stats_exit(void)
{
	debugfs_remove(halo_debugfs);
}
