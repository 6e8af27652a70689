// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's TSC, and the KVM-compatible clock in guest memory.
 *
 * Guest TSC = host TSC + offset; all vCPUs of a VM start with the same offset.
 * Guest time is the guest's TSC scaled by constants that were fixed when the VM
 * was made, the same for all vCPUs: it is monotonic over all of them without
 * being written again (PVCLOCK_TSC_STABLE_BIT), as long as the host's TSC is.
 */
#include <linux/clocksource.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>
#include <asm/msr.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>
#include "vcpu.h"

/**
 * halo_tsc() - the guest's TSC now
 * @vcpu: the vCPU
 */
u64 halo_tsc(struct halo_vcpu *vcpu)
{
	return rdtsc() + vcpu->cpu.tsc_offset;
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

/**
 * halo_clock_init() - the VM's time starts now
 * @vm: the VM
 */
void halo_clock_init(struct halo_vm *vm)
{
	clocks_calc_mult_shift(&vm->clock_mul, &vm->clock_shift, tsc_khz ?: 1000000,
			       NSEC_PER_MSEC, 0);
	vm->tsc_base = rdtsc();
	vm->tsc_offset = -vm->tsc_base;
	vm->boot_ns = ktime_get_real_ns();
}

/* The clock of one vCPU into guest memory: version odd, the rest, version even. */
static int halo_clock_write(struct halo_vcpu *vcpu)
{
	struct halo_mem *mem = &vcpu->vm->mem;
	u64 gpa = vcpu->msr.pv_system_time & ~1ull;
	struct pvclock_vcpu_time_info t = {
		/* The guest shifts to the left first, and by 32 to the right at last. */
		.tsc_to_system_mul = vcpu->vm->clock_mul,
		.tsc_shift = 32 - vcpu->vm->clock_shift,
		.flags = PVCLOCK_TSC_STABLE_BIT,
		/* The VM's beginning on every vCPU: no two round differently. */
		.tsc_timestamp = vcpu->vm->tsc_base + vcpu->cpu.tsc_offset,
		.system_time = 0,
	};
	int err;

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
	u64 ns = vcpu->vm->boot_ns;
	u32 rem;

	vcpu->msr.pv_wall_clock = value;
	if (halo_mem_read(&vcpu->vm->mem, value, &w.version, sizeof(w.version)))
		return -EINVAL;
	w.version = ((w.version | 1) + 2) + 1;
	w.sec = div_u64_rem(ns, NSEC_PER_SEC, &rem);
	w.nsec = rem;
	return halo_mem_write(&vcpu->vm->mem, value, &w, sizeof(w)) ? -EINVAL : 0;
}
