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
 * vmx_forget_read_only() - forget what the CPU says about an exit or a failed entry
 * @f: the fields
 */
static __always_inline void vmx_forget_read_only(struct vmx_fields *f)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		f->known[i * 4 + VMX_KIND_READ_ONLY] = 0;
}

/**
 * vmx_get_hot() - read one of the fields that every exit reads
 * @f: the fields, after vmx_forget_exit(), which has noted this one as known
 * @field: enum vmx_field
 */
static __always_inline u64 vmx_get_hot(struct vmx_fields *f, u32 field)
{
	return f->value[vmcs_index(field)] = vmx_vmread(field);
}

/**
 * vmx_set_hot() - give a field that the last exit has read a value
 * @f: the fields
 * @field: enum vmx_field
 * @value: its value
 */
static __always_inline void vmx_set_hot(struct vmx_fields *f, u32 field, u64 value)
{
	if (f->value[vmcs_index(field)] == value)
		return;
	vmx_vmwrite(field, value);
	f->value[vmcs_index(field)] = value;
}

#define VMX_FIELD_BIT(field)	BIT_ULL(vmcs_index(field) % 64)

/**
 * vmx_forget_exit() - forget what an exit has changed
 * @f: the fields
 *
 * Kept are those that the CPU does not store, or that can't change without an exit
 * in which we changed them ourselves.  The caller reads the hot ones now.
 */
static __always_inline void vmx_forget_exit(struct vmx_fields *f)
{
	const u64 keep64 = VMX_FIELD_BIT(VMCS_GUEST_LINK_POINTER) |
			   VMX_FIELD_BIT(VMCS_GUEST_PAT) | VMX_FIELD_BIT(VMCS_GUEST_EFER);
	const u64 keep32 = VMX_FIELD_BIT(VMCS_GUEST_SMBASE) |
			   VMX_FIELD_BIT(VMCS_PREEMPTION_TIMER);
	const u64 hot32 = VMX_FIELD_BIT(VMCS_GUEST_INTERRUPTIBILITY);
	const u64 keep = VMX_FIELD_BIT(VMCS_GUEST_CR0) | VMX_FIELD_BIT(VMCS_GUEST_CR4) |
			 VMX_FIELD_BIT(VMCS_GUEST_DR7);
	const u64 hot = VMX_FIELD_BIT(VMCS_GUEST_RIP) | VMX_FIELD_BIT(VMCS_GUEST_RSP) |
			VMX_FIELD_BIT(VMCS_GUEST_RFLAGS);

	vmx_forget_read_only(f);
	f->known[2 * 4 + VMX_KIND_READ_ONLY] = VMX_FIELD_BIT(VMCS_IDT_VECTORING_INFO);
	f->known[0 * 4 + VMX_KIND_GUEST] = 0;
	f->known[1 * 4 + VMX_KIND_GUEST] &= keep64;
	f->known[2 * 4 + VMX_KIND_GUEST] = (f->known[2 * 4 + VMX_KIND_GUEST] & keep32) | hot32;
	f->known[3 * 4 + VMX_KIND_GUEST] = (f->known[3 * 4 + VMX_KIND_GUEST] & keep) | hot;
	/* The exit has made the injected event invalid (27.2.4). */
	f->value[vmcs_index(VMCS_ENTRY_INTR_INFO)] &= ~(u64)VMX_INTR_VALID;
}

#endif /* HALO_VMX_FIELDS_H */
