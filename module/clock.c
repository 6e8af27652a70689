// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's TSC, and the KVM-compatible clock in guest memory.
 *
 * Guest TSC = host TSC * ratio + offset, where the ratio is 1 unless userspace has asked
 * for another rate; all vCPUs of a VM have the same ratio and start with the same offset.
 * Guest time is the guest's TSC scaled by constants that were fixed when the VM
 * was made, the same for all vCPUs: it is monotonic over all of them without
 * being written again (PVCLOCK_TSC_STABLE_BIT), as long as the host's TSC is.
 *
 * A host that sleeps may start its TSC anew: each vCPU, when it is loaded next, adds
 * what was lost to its offset, and what it knows in host TSC is moved along.
 */
#include <linux/clocksource.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>
#include "tsc.h"
#include "vcpu.h"

static u64 halo_tsc_scaled(const struct halo_vm *vm, u64 ticks)
{
	return halo_tsc_scale(ticks, vm->tsc_ratio, halo_hw.tsc_fraction);
}

/* Not inline: the product would make a stack frame for those who need none. */
static noinline u64 halo_tsc_multiplied(struct halo_vcpu *vcpu)
{
	return halo_tsc_scaled(vcpu->vm, rdtsc()) + vcpu->cpu.tsc_offset;
}

/**
 * halo_tsc() - the guest's TSC now
 * @vcpu: the vCPU
 */
u64 halo_tsc(struct halo_vcpu *vcpu)
{
	if (unlikely(vcpu->cpu.tsc_ratio))
		return halo_tsc_multiplied(vcpu);
	return rdtsc() + vcpu->cpu.tsc_offset;
}

/**
 * halo_tsc_init() - a new vCPU has its VM's TSC
 * @vcpu: the vCPU; vm->lock is held
 */
void halo_tsc_init(struct halo_vcpu *vcpu)
{
	struct halo_vm *vm = vcpu->vm;

	vcpu->tsc_lost = halo_host_tsc_lost;
	vcpu->cpu.tsc_ratio = vm->tsc_ratio;
	vcpu->cpu.tsc_offset = vm->tsc_offset + halo_tsc_scaled(vm, vcpu->tsc_lost);
	halo_be->refresh(&vcpu->cpu);
}

static int halo_clock_write(struct halo_vcpu *vcpu);

/**
 * halo_tsc_shift() - move the guest's TSC
 * @vcpu: the vCPU
 * @delta: by how much
 *
 * Guest time does not move with it: its record is written anew.
 */
void halo_tsc_shift(struct halo_vcpu *vcpu, u64 delta)
{
	vcpu->cpu.tsc_offset += delta;
	halo_be->refresh(&vcpu->cpu);
	if (vcpu->msr.pv_system_time & 1)
		halo_clock_write(vcpu);
}

/**
 * halo_tsc_set() - write the guest's TSC
 * @vcpu: the vCPU
 * @value: its new value
 *
 * TSC_ADJUST moves along (SDM 3B 17.17.3).
 */
void halo_tsc_set(struct halo_vcpu *vcpu, u64 value)
{
	u64 delta = value - halo_tsc(vcpu);

	vcpu->msr.tsc_adjust += delta;
	halo_tsc_shift(vcpu, delta);
}

static void halo_clock_start(struct halo_vm *vm, u32 khz, u64 ratio)
{
	clocks_calc_mult_shift(&vm->clock_mul, &vm->clock_shift, khz, NSEC_PER_MSEC, 0);
	vm->tsc_khz = khz;
	vm->tsc_ratio = ratio;
	vm->tsc_offset = -halo_tsc_scaled(vm, rdtsc() + halo_host_tsc_lost);
	vm->tsc_base = 0;
	vm->clock_ns = 0;
	vm->boot_ns = ktime_get_real_ns();
}

/**
 * halo_clock_init() - the VM's time starts now
 * @vm: the VM
 */
void halo_clock_init(struct halo_vm *vm)
{
	spin_lock_init(&vm->clock_lock);
	halo_clock_start(vm, tsc_khz ?: 1000000, 0);
}

/**
 * halo_clock_set_tsc_khz() - HALO_VM_SET_TSC_KHZ
 * @obj: the VM
 * @arg: struct halo_tsc_khz
 *
 * Return: 0; -EINVAL; -EOPNOTSUPP if the CPU can't, -EBUSY if the VM has a vCPU.
 */
long halo_clock_set_tsc_khz(void *obj, void *arg)
{
	const struct halo_tsc_khz *t = arg;
	struct halo_vm *vm = obj;
	u64 ratio = 0;
	long err = 0;

	if (!t->khz)
		return -EINVAL;
	if (t->khz != tsc_khz) {
		if (!halo_hw.tsc_fraction)
			return -EOPNOTSUPP;
		ratio = halo_tsc_ratio(t->khz, tsc_khz, halo_hw.tsc_fraction, halo_hw.tsc_whole);
		if (!ratio)
			return -EINVAL;
	}
	mutex_lock(&vm->lock);
	spin_lock(&vm->clock_lock);
	if (vm->nr_vcpus)
		err = -EBUSY;
	else
		halo_clock_start(vm, t->khz, ratio);
	spin_unlock(&vm->clock_lock);
	mutex_unlock(&vm->lock);
	return err;
}

/* The clock of one vCPU into guest memory: version odd, the rest, version even. */
static int halo_clock_write(struct halo_vcpu *vcpu)
{
	struct halo_mem *mem = &vcpu->vm->mem;
	u64 gpa = vcpu->msr.pv_system_time & ~1ull;
	struct halo_vm *vm = vcpu->vm;
	struct pvclock_vcpu_time_info t = {
		/* The guest shifts to the left first, and by 32 to the right at last. */
		.tsc_to_system_mul = vm->clock_mul,
		.tsc_shift = 32 - vm->clock_shift,
		.flags = PVCLOCK_TSC_STABLE_BIT | (vcpu->pv.stopped ? PVCLOCK_GUEST_STOPPED : 0),
	};
	int err;

	/* The same moment on every vCPU: no two round differently. */
	spin_lock(&vm->clock_lock);
	t.system_time = vm->clock_ns;
	t.tsc_timestamp = vm->tsc_base + vcpu->cpu.tsc_offset - vm->tsc_offset -
			  halo_tsc_scaled(vm, vcpu->tsc_lost);
	spin_unlock(&vm->clock_lock);
	vcpu->pv.stopped = false;

	err = halo_mem_read(mem, gpa, &t.version, sizeof(t.version));
	if (err)
		return err;
	t.version = (t.version | 1) + 2;
	err = halo_mem_write(mem, gpa, &t.version, sizeof(t.version));
	if (err)
		return err;
	smp_wmb();	/* the reader sees the version odd before anything else moves */
	err = halo_mem_write(mem, gpa + sizeof(t.version), (void *)&t + sizeof(t.version),
			     sizeof(t) - sizeof(t.version));
	if (err)
		return err;
	smp_wmb();	/* and before it is even again */
	t.version++;
	return halo_mem_write(mem, gpa, &t.version, sizeof(t.version));
}

/**
 * halo_clock_update() - the VM's time was set: the record anew, at the next chance
 * @vcpu: the vCPU
 */
void halo_clock_update(struct halo_vcpu *vcpu)
{
	if (vcpu->msr.pv_system_time & 1)
		halo_clock_write(vcpu);
}

/**
 * halo_clock_lost() - the host's TSC has gone back since the vCPU was loaded last
 * @vcpu: the vCPU, about to be loaded
 * @lost: by how much in all, since the module was loaded
 */
void halo_clock_lost(struct halo_vcpu *vcpu, u64 lost)
{
	u64 delta = lost - vcpu->tsc_lost;

	vcpu->cpu.tsc_offset += halo_tsc_scaled(vcpu->vm, lost) -
				halo_tsc_scaled(vcpu->vm, vcpu->tsc_lost);
	vcpu->tsc_lost = lost;
	if (vcpu->cpu.deadline)
		vcpu->cpu.deadline = vcpu->cpu.deadline > delta ? vcpu->cpu.deadline - delta : 1;
	halo_be->refresh(&vcpu->cpu);
}

/* Host TSC and real time of one moment; the VM's TSC of it. */
static u64 halo_clock_moment(const struct halo_vm *vm, u64 *real, u64 *boot)
{
	unsigned long flags;
	u64 tsc;

	local_irq_save(flags);
	tsc = rdtsc_ordered();
	*real = ktime_get_real_ns();
	*boot = ktime_get_boottime_ns();
	local_irq_restore(flags);
	return halo_tsc_scaled(vm, tsc + halo_host_tsc_lost) + vm->tsc_offset;
}

static u64 halo_clock_ns(const struct halo_vm *vm, u64 tsc)
{
	return vm->clock_ns + mul_u64_u32_shr(tsc - vm->tsc_base, vm->clock_mul, vm->clock_shift);
}

/**
 * halo_clock_get() - HALO_VM_GET_CLOCK
 * @obj: the VM
 * @arg: struct halo_clock
 *
 * Return: 0.
 */
long halo_clock_get(void *obj, void *arg)
{
	struct halo_clock *c = arg;
	struct halo_vm *vm = obj;

	c->tsc = halo_clock_moment(vm, &c->realtime_ns, &c->boottime_ns);
	spin_lock(&vm->clock_lock);
	c->clock_ns = halo_clock_ns(vm, c->tsc);
	spin_unlock(&vm->clock_lock);
	return 0;
}

/**
 * halo_clock_set() - HALO_VM_SET_CLOCK
 * @obj: the VM
 * @arg: struct halo_clock
 *
 * Return: 0; -EINVAL.
 */
long halo_clock_set(void *obj, void *arg)
{
	const struct halo_clock *c = arg;
	u64 tsc, real, boot, ns = c->clock_ns;
	struct halo_vm *vm = obj;
	unsigned int i;

	if ((c->flags & ~(HALO_CLOCK_REALTIME | HALO_CLOCK_STOPPED)) || c->tsc ||
	    c->boottime_ns || memchr_inv(c->reserved, 0, sizeof(c->reserved)))
		return -EINVAL;
	tsc = halo_clock_moment(vm, &real, &boot);
	if (c->flags & HALO_CLOCK_REALTIME) {
		if (c->realtime_ns > real)
			return -EINVAL;
		ns += real - c->realtime_ns;
	} else if (c->realtime_ns) {
		return -EINVAL;
	}
	if ((s64)ns < 0)
		return -EINVAL;
	spin_lock(&vm->clock_lock);
	vm->tsc_base = tsc;
	vm->clock_ns = ns;
	vm->boot_ns = real - ns;
	spin_unlock(&vm->clock_lock);
	for (i = 0; i < halo_vm_vcpus(vm); i++) {
		if (c->flags & HALO_CLOCK_STOPPED)
			WRITE_ONCE(vm->vcpus[i]->pv.stopped, true);
		set_bit(REQ_CLOCK, &vm->vcpus[i]->requests);
		smp_mb__after_atomic();	/* the request before the mode */
		halo_vcpu_kick(vm->vcpus[i]);
	}
	return 0;
}

/**
 * halo_clock_system_time() - WRMSR KVM_SYSTEM_TIME_NEW
 * @vcpu: the vCPU
 * @value: GPA of the record, bit 0 enables
 *
 * Return: 0, or -EINVAL if there is no memory.
 */
int halo_clock_system_time(struct halo_vcpu *vcpu, u64 value)
{
	vcpu->msr.pv_system_time = value;
	if (!(value & 1))
		return 0;
	return halo_clock_write(vcpu) ? -EINVAL : 0;
}

/**
 * halo_clock_wall() - WRMSR KVM_WALL_CLOCK_NEW
 * @vcpu: the vCPU
 * @value: GPA of the record
 *
 * Return: 0, or -EINVAL if there is no memory.
 */
int halo_clock_wall(struct halo_vcpu *vcpu, u64 value)
{
	struct pvclock_wall_clock w = {};
	u64 ns = READ_ONCE(vcpu->vm->boot_ns);
	u32 rem;

	vcpu->msr.pv_wall_clock = value;
	if (halo_mem_read(&vcpu->vm->mem, value, &w.version, sizeof(w.version)))
		return -EINVAL;
	w.version = ((w.version | 1) + 2) + 1;
	w.sec = div_u64_rem(ns, NSEC_PER_SEC, &rem);
	w.nsec = rem;
	return halo_mem_write(&vcpu->vm->mem, value, &w, sizeof(w)) ? -EINVAL : 0;
}
