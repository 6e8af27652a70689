/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VMCS's fields, as far as they are known without asking the CPU.
 *
 * VMREAD and VMWRITE are slow: a field is read once after an exit, if at all, and
 * written only when its value changes.  The places in the array are by width and
 * kind, 64 each, so that one word of the mask is all fields of a width and kind,
 * and an exit forgets the guest's and the read-only ones by eight words.
 *
 * Pure: who includes this has vmx_vmread() and vmx_vmwrite().
 */
#ifndef HALO_VMX_FIELDS_H
#define HALO_VMX_FIELDS_H

#include "vmcs.h"

/**
 * struct vmx_fields - what is known of a VMCS
 * @known: bit set: @value is what the VMCS holds
 * @value: by vmcs_index()
 */
struct vmx_fields {
	u64 known[VMCS_FIELDS / 64];
	u64 value[VMCS_FIELDS];
};

#define VMX_KIND_READ_ONLY	1
#define VMX_KIND_GUEST		2

/**
 * vmx_get() - a field's value
 * @f: the fields of the VMCS that is current on this CPU
 * @field: enum vmx_field
 */
static __always_inline u64 vmx_get(struct vmx_fields *f, u32 field)
{
	unsigned int i = vmcs_index(field);

	if (!(f->known[i / 64] & BIT_ULL(i % 64))) {
		f->value[i] = vmx_vmread(field);
		f->known[i / 64] |= BIT_ULL(i % 64);
	}
	return f->value[i];
}

/**
 * vmx_set() - give a field a value
 * @f: the fields of the VMCS that is current on this CPU
 * @field: enum vmx_field
 * @value: its value
 */
static __always_inline void vmx_set(struct vmx_fields *f, u32 field, u64 value)
{
	unsigned int i = vmcs_index(field);

	if ((f->known[i / 64] & BIT_ULL(i % 64)) && f->value[i] == value)
		return;
	vmx_vmwrite(field, value);
	f->value[i] = value;
	f->known[i / 64] |= BIT_ULL(i % 64);
}

/**
 * vmx_forget_exit() - forget what an exit has changed
 * @f: the fields
 * @failed: the guest did not run: only what the CPU says about that is new
 *
 * Kept are those that the CPU does not store, or that can't change without an exit
 * in which we changed them ourselves.
 */
static __always_inline void vmx_forget_exit(struct vmx_fields *f, bool failed)
{
	const u64 keep64 = BIT_ULL(vmcs_index(VMCS_GUEST_LINK_POINTER) % 64) |
			   BIT_ULL(vmcs_index(VMCS_GUEST_PAT) % 64) |
			   BIT_ULL(vmcs_index(VMCS_GUEST_EFER) % 64);
	const u64 keep32 = BIT_ULL(vmcs_index(VMCS_GUEST_SMBASE) % 64) |
			   BIT_ULL(vmcs_index(VMCS_PREEMPTION_TIMER) % 64);
	const u64 keep = BIT_ULL(vmcs_index(VMCS_GUEST_CR0) % 64) |
			 BIT_ULL(vmcs_index(VMCS_GUEST_CR4) % 64) |
			 BIT_ULL(vmcs_index(VMCS_GUEST_DR7) % 64);
	unsigned int i;

	for (i = 0; i < 4; i++)
		f->known[i * 4 + VMX_KIND_READ_ONLY] = 0;
	if (failed)
		return;
	f->known[0 * 4 + VMX_KIND_GUEST] = 0;
	f->known[1 * 4 + VMX_KIND_GUEST] &= keep64;
	f->known[2 * 4 + VMX_KIND_GUEST] &= keep32;
	f->known[3 * 4 + VMX_KIND_GUEST] &= keep;
	/* The exit has made the injected event invalid (27.2.4). */
	f->value[vmcs_index(VMCS_ENTRY_INTR_INFO)] &= ~(u64)VMX_INTR_VALID;
}

#endif /* HALO_VMX_FIELDS_H */
