/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Why a VM entry fails: the SDM's checks, evaluated by software.
 */
#ifndef HALO_VMX_CHECK_H
#define HALO_VMX_CHECK_H

#include "vmcs.h"

/* How a broken rule shows: in RFLAGS and the VM-instruction error, or as a VM exit. */
enum vmx_class {
	VMX_CLASS_NONE,
	VMX_CLASS_NO_VMCS,	/* VMfailInvalid */
	VMX_CLASS_MOV_SS,	/* VMfailValid 26 */
	VMX_CLASS_LAUNCH,	/* VMfailValid 4 */
	VMX_CLASS_RESUME,	/* VMfailValid 5 */
	VMX_CLASS_CTLS,		/* VMfailValid 7 */
	VMX_CLASS_HOST,		/* VMfailValid 8 */
	VMX_CLASS_GUEST,	/* exit 33, qualification 0 */
	VMX_CLASS_PDPTE,	/* exit 33, qualification 2 */
	VMX_CLASS_NMI_STI,	/* exit 33, qualification 3; some CPUs let it pass */
	VMX_CLASS_LINK,		/* exit 33, qualification 4 */
	VMX_CLASS_MSR,		/* exit 34, qualification: the entry, from 1 */
};

enum vmx_rule {
	VMX_RULE_NONE,
#define VM_RULE(name, ...) VMX_RULE_##name,
#define SEG_RULE(name, ...) VMX_RULE_##name,
#include "vmx_rules.h"
#undef VM_RULE
#undef SEG_RULE
	VMX_RULES,
};

/**
 * struct vmx_check - what an entry is judged by
 * @read: the VMCS's field; 0 for one that the CPU lacks
 * @memory: the 64 bits at a physical address into the last argument; false if that can't be
 *	read.  May be NULL: what is in memory then counts as right.
 * @takes: whether the CPU takes this value for this MSR.  May be NULL: it takes any.
 * @arg: for the three
 * @cap: the capability MSRs
 * @efer: the bits of EFER that the CPU has
 * @debugctl: of IA32_DEBUGCTL
 * @perf_global: of IA32_PERF_GLOBAL_CTRL
 * @pending_dbg: of the pending debug exceptions, beyond B0 to B3, enabled breakpoint and BS
 * @current_vmcs: the current-VMCS pointer, all ones if there is none
 * @phys_bits: CPUID 0x80000008, EAX 7:0
 * @linear_bits: CPUID 0x80000008, EAX 15:8
 * @ia32e: the host is in IA-32e mode
 * @x2apic: the local APIC is in x2APIC mode
 * @sgx: the CPU has SGX
 * @mov_ss: a MOV to SS stands directly before the entry
 * @launched: the VMCS's launch state
 * @resume: VMRESUME rather than VMLAUNCH
 */
struct vmx_check {
	u64 (*read)(const struct vmx_check *c, u32 field);
	bool (*memory)(const struct vmx_check *c, u64 pa, u64 *value);
	bool (*takes)(const struct vmx_check *c, u32 msr, u64 value);
	void *arg;
	u64 cap[VMX_CAPS];
	u64 efer;
	u64 debugctl;
	u64 perf_global;
	u64 pending_dbg;
	u64 current_vmcs;
	u8 phys_bits;
	u8 linear_bits;
	bool ia32e;
	bool x2apic;
	bool sgx;
	bool mov_ss;
	bool launched;
	bool resume;
};

/**
 * struct vmx_verdict - what the rules say
 * @rule: the first broken one, VMX_RULE_NONE if all hold
 * @class: its class
 * @error: the VM-instruction error, 0 if the failure is VMfailInvalid or an exit
 * @reason: the basic exit reason, 33 or 34, else 0
 * @qualification: of that exit
 * @msr: the first bad entry of the MSR-load list, from 1; 0 if none is
 * @section: of the SDM, volume 3C
 * @text: what is wrong
 * @where: the segment register in question, "" where that is no question
 * @broken: a bit for each rule; all were evaluated
 */
struct vmx_verdict {
	enum vmx_rule rule;
	enum vmx_class class;
	u8 error;
	u8 reason;
	u32 qualification;
	u32 msr;
	const char *section;
	const char *text;
	const char *where;
	u8 broken[DIV_ROUND_UP(VMX_RULES, 8)];
};

void vmx_check(const struct vmx_check *c, struct vmx_verdict *v);
void vmx_check_rule(enum vmx_rule rule, struct vmx_verdict *v);

/* Whether the rule is broken in this verdict. */
static inline bool vmx_rule_broken(const struct vmx_verdict *v, enum vmx_rule rule)
{
	return v->broken[rule / 8] & BIT(rule % 8);
}

#endif /* HALO_VMX_CHECK_H */
