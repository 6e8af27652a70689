/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From the capability MSRs (SDM 3D appendix A) to the controls that a vCPU runs
 * with.  Pure: the MSRs' values come as an array, so that tests feed CPUs that are
 * not at hand.
 */
#ifndef HALO_VMX_CONTROLS_H
#define HALO_VMX_CONTROLS_H

#include "vmcs.h"

/**
 * struct vmx_controls - what goes into the VMCS on this machine
 * @pin: pin-based controls
 * @cpu: primary processor-based controls, without the windows
 * @cpu2: secondary processor-based controls
 * @exit: VM-exit controls
 * @entry: VM-entry controls, without "IA-32e mode guest"
 * @apic: the CPU delivers interrupts: APIC-register virtualization and
 *	virtual-interrupt delivery are on; "virtualize x2APIC mode" may be set
 */
struct vmx_controls {
	u32 pin;
	u32 cpu;
	u32 cpu2;
	u32 exit;
	u32 entry;
	bool apic;
};

/**
 * vmx_timer_value() - what the preemption timer starts with (25.5.1)
 * @now: TSC
 * @deadline: TSC, later than @now; 0 = none
 * @misc: IA32_VMX_MISC, which says which bit of the TSC it counts
 * @most: the longest stay, in its units
 *
 * It counts when that bit changes: never is it 0 before the deadline.
 *
 * Return: the value.
 */
static inline u32 vmx_timer_value(u64 now, u64 deadline, u64 misc, u32 most)
{
	const unsigned int shift = misc & VMX_CAP_MISC_TIMER_SHIFT;
	u64 left;

	if (!deadline)
		return most;
	left = ((deadline - 1) >> shift) + 1 - (now >> shift);
	return left < most ? left : most;
}

int vmx_controls_choose(const u64 caps[VMX_CAPS], struct vmx_controls *out, char *text,
			size_t bytes);
void vmx_controls_apic(const u64 caps[VMX_CAPS], struct vmx_controls *c);

#endif /* HALO_VMX_CONTROLS_H */
