/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where Bochs 2.7 (or 3.0) does not do what the SDM says of a VM entry, and which states
 * must not be tried on it because they could end the machine that runs the test.
 */
#ifndef VMX_CHECK_BOCHS_H
#define VMX_CHECK_BOCHS_H

#include "image.h"

/* What differs, by the rule that shows it. Each was read in the SDM again: the emulator errs. */
static const struct {
	enum vmx_rule rule;
	const char *why;
} deviations[] = {
	{ VMX_RULE_EXIT_STORE_END, "the list's size wraps at 32 bits" },
	{ VMX_RULE_EXIT_LOAD_END, "the list's size wraps at 32 bits" },
	{ VMX_RULE_ENTRY_LOAD_END, "the list's size wraps at 32 bits" },
	{ VMX_RULE_ENTRY_SMM, "\"entry to SMM\" outside SMM fails later, as guest state" },
	{ VMX_RULE_EVENT_TYPE, "type 7 without a monitor trap flag is not refused: it panics" },
	{ VMX_RULE_EVENT_OTHER, "not looked at without a monitor trap flag" },
	{ VMX_RULE_HOST_PERF, "PERF_GLOBAL_CTRL is not looked at" },
	{ VMX_RULE_PERF, "PERF_GLOBAL_CTRL is not looked at" },
	{ VMX_RULE_DEBUGCTL, "DEBUGCTL is not looked at" },
	{ VMX_RULE_IA32E_PG, "an IA-32e mode guest may be without paging" },
	{ VMX_RULE_RFLAGS_VM, "RFLAGS.VM may be set in real mode" },
	{ VMX_RULE_BASE_HIGH, "SS is not looked at in 64-bit mode with RPL 0" },
	{ VMX_RULE_SS_TYPE, "SS is not looked at in 64-bit mode with RPL 0" },
	{ VMX_RULE_S, "SS is not looked at in 64-bit mode with RPL 0" },
	{ VMX_RULE_P, "SS is not looked at in 64-bit mode with RPL 0" },
	{ VMX_RULE_AR, "SS is not looked at in 64-bit mode with RPL 0" },
	{ VMX_RULE_G, "SS is not looked at in 64-bit mode with RPL 0" },
	{ VMX_RULE_CS_DPL, "2.7 compares CS.DPL with CS.RPL, not with SS.DPL" },
	{ VMX_RULE_CS_CONFORMING, "2.7 compares CS.DPL with CS.RPL, not with SS.DPL" },
	{ VMX_RULE_POSTED_VIRT_INTR, "3.0 looks at posted interrupts with TPR shadow only" },
	{ VMX_RULE_POSTED_VECTOR, "3.0 looks at posted interrupts with TPR shadow only" },
	{ VMX_RULE_POSTED_DESC, "3.0 looks at posted interrupts with TPR shadow only" },
	{ VMX_RULE_DATA_DPL, "DPL of a data register with readable code (11) is not looked at" },
	{ VMX_RULE_RIP, "RIP in 64-bit mode is not looked at" },
	{ VMX_RULE_HLT_EVENT, "any event may be injected in HLT" },
	{ VMX_RULE_SHUTDOWN_EVENT, "vector 18 of any type may be injected in shutdown" },
	{ VMX_RULE_BLOCKED_VNMI, "an NMI may be injected while virtual NMIs are blocked" },
	{ VMX_RULE_PENDING, "bits 63:32 are not looked at" },
	{ VMX_RULE_PENDING_BS_SET, "BS is not compared with RFLAGS.TF" },
	{ VMX_RULE_PENDING_BS_CLEAR, "BS is not compared with RFLAGS.TF" },
	{ VMX_RULE_NMI_STI, "qualification 0 instead of 3" },
	{ VMX_RULE_BLOCKED_NMI, "qualification 0 instead of 3" },
	{ VMX_RULE_MSR_X2APIC, "refused also outside x2APIC mode" },
	{ VMX_RULE_MSR_SMM, "the machine is told to ignore MSRs that it does not know" },
};

#define AR(n)	(m->f[vmcs_index(VMCS_GUEST_ES_AR + 2 * (n))])
#define SEL(n)	(m->f[vmcs_index(VMCS_GUEST_ES_SEL + 2 * (n))])

static inline u32 ar_dpl(u64 ar)
{
	return ar >> VMX_AR_DPL_SHIFT & 3;
}

static inline void rule_is(struct vmx_verdict *v, enum vmx_rule rule, bool broken)
{
	if (broken)
		v->broken[rule / 8] |= BIT(rule % 8);
	else
		v->broken[rule / 8] &= ~BIT(rule % 8);
}

/* What the emulator does not look at, made good: @m is a copy. */
static inline void bochs_blind(struct image *m)
{
	bool code64 = F(ENTRY_CTLS) & VMX_ENTRY_IA32E && AR(1) & VMX_AR_L;
	bool stepping = F(GUEST_RFLAGS) & BIT(8) && !(F(GUEST_DEBUGCTL) & 2);
	u32 n;

	if (F(EXIT_MSR_STORE_COUNT) >> 28)
		F(EXIT_MSR_STORE_COUNT) = (F(EXIT_MSR_STORE_COUNT) & 0xfffffff) | 1;
	if (F(EXIT_MSR_LOAD_COUNT) >> 28)
		F(EXIT_MSR_LOAD_COUNT) = (F(EXIT_MSR_LOAD_COUNT) & 0xfffffff) | 1;
	if (F(ENTRY_MSR_LOAD_COUNT) >> 28)
		F(ENTRY_MSR_LOAD_COUNT) = (F(ENTRY_MSR_LOAD_COUNT) & 0xfffffff) | 1;
	F(HOST_PERF_GLOBAL_CTRL) = 0;
	F(GUEST_PERF_GLOBAL_CTRL) = 0;
	m->c.debugctl = ~0ull;
	m->c.linear_bits = code64 ? 48 : m->c.linear_bits;
	if (code64)
		F(GUEST_RIP) &= 0xffffffff;
	if (code64 && !(SEL(2) & 3)) {
		AR(2) = 0xc093 | (AR(2) & VMX_AR_DPL_MASK);
		m->f[vmcs_index(VMCS_GUEST_SS_LIMIT)] = 0xffffffff;
		m->f[vmcs_index(VMCS_GUEST_SS_BASE)] = 0;
	}
	for (n = 0; n < 6; n++)
		if (n != 1 && n != 2 && (AR(n) & 15) == 11)
			SEL(n) &= ~3ull;
	F(GUEST_PENDING_DBG) &= 0xffffffff & ~(u64)VMX_PENDING_BS;
	if (stepping)
		F(GUEST_PENDING_DBG) |= VMX_PENDING_BS;
	m->c.x2apic = true;
}

/* What the emulator, 27 or 30, will say of an image. @copy is room to work in. */
static inline void bochs_verdict(const struct image *image, u32 version, struct image *copy,
				 struct vmx_verdict *v)
{
	const struct image *m = image;
	u32 type = F(ENTRY_INTR_INFO) >> VMX_INTR_TYPE_SHIFT & 7, vector = F(ENTRY_INTR_INFO) & 0xff;
	u32 cs = AR(1) & 15, rpl = SEL(1) & 3;
	bool vm86 = F(GUEST_RFLAGS) & BIT(17);
	bool event = F(ENTRY_INTR_INFO) & VMX_INTR_VALID;

	*copy = *image;
	copy->c.arg = copy;
	bochs_blind(copy);
	vmx_check(&copy->c, v);
	if (!(F(ENTRY_CTLS) & VMX_ENTRY_DEACTIVATE_DUAL))
		rule_is(v, VMX_RULE_ENTRY_SMM, false);
	if (type == 7)
		rule_is(v, VMX_RULE_EVENT_TYPE, false);
	rule_is(v, VMX_RULE_EVENT_OTHER, false);
	rule_is(v, VMX_RULE_IA32E_PG, false);
	if (!(F(ENTRY_CTLS) & VMX_ENTRY_IA32E))
		rule_is(v, VMX_RULE_RFLAGS_VM, false);
	if (version < 30) {
		rule_is(v, VMX_RULE_CS_DPL, !vm86 && (cs & 13) == 9 && rpl != ar_dpl(AR(1)));
		rule_is(v, VMX_RULE_CS_CONFORMING,
			!vm86 && (cs & 13) == 13 && rpl < ar_dpl(AR(1)));
	} else if (!(F(CPU_CTLS) & VMX_CPU_TPR_SHADOW)) {
		rule_is(v, VMX_RULE_POSTED_VIRT_INTR, false);
		rule_is(v, VMX_RULE_POSTED_VECTOR, false);
		rule_is(v, VMX_RULE_POSTED_DESC, false);
	}
	rule_is(v, VMX_RULE_HLT_EVENT, false);
	if (vector == 18)
		rule_is(v, VMX_RULE_SHUTDOWN_EVENT, false);
	rule_is(v, VMX_RULE_BLOCKED_VNMI, false);
	if (event && type == 2 && F(GUEST_INTERRUPTIBILITY) & 3)
		rule_is(v, VMX_RULE_BLOCKED_NMI, true);
	rule_is(v, VMX_RULE_NMI_STI, false);
}

/* The lowest class that a verdict's broken rules have, as the CPU looks at them. */
static inline enum vmx_class first_class(const struct vmx_verdict *v)
{
	enum vmx_class best = VMX_CLASS_NONE;
	struct vmx_verdict one;
	u32 rule;

	for (rule = 1; rule < VMX_RULES; rule++) {
		if (!vmx_rule_broken(v, rule))
			continue;
		vmx_check_rule(rule, &one);
		if (!best || one.class < best)
			best = one.class;
	}
	return best;
}

/* After such an entry the machine is what it was before. @base: the same host, all good. */
static inline bool returns_well(const struct image *m, const struct image *base)
{
	const u32 exit = VMX_EXIT_HOST_64 | VMX_EXIT_LOAD_EFER | VMX_EXIT_LOAD_PAT;
	u32 i;

	for (i = 0; i < VMCS_FIELDS; i++)
		if ((i >> 6 & 3) == 3 && m->f[i] != base->f[i])
			return false;
	return (F(EXIT_CTLS) & exit) == exit &&
	       (!F(EXIT_MSR_LOAD_COUNT) || (F(EXIT_MSR_LOAD_COUNT) <= MSRS &&
					    F(EXIT_MSR_LOAD_ADDR) == m->page[P_EXIT_LOAD])) &&
	       (!F(EXIT_MSR_STORE_COUNT) || (F(EXIT_MSR_STORE_COUNT) <= MSRS &&
					     F(EXIT_MSR_STORE_ADDR) == m->page[P_EXIT_STORE]));
}

/* The guest can't touch anything but its own, and comes back by itself. */
static inline bool runs_well(const struct image *m, const struct image *base)
{
	u32 type = F(ENTRY_INTR_INFO) >> VMX_INTR_TYPE_SHIFT & 7, i;
	bool event = F(ENTRY_INTR_INFO) & VMX_INTR_VALID, ia32e = F(ENTRY_CTLS) & VMX_ENTRY_IA32E;

	/* The host's interrupts stay the host's: neither given to the guest nor acknowledged. */
	if (F(EXIT_CTLS) & VMX_EXIT_ACK_INTR)
		return false;
	if (!(F(PIN_CTLS) & VMX_PIN_EXT_INTR) || !(F(PIN_CTLS) & VMX_PIN_PREEMPTION_TIMER) ||
	    F(PREEMPTION_TIMER) > 1000 || (event && (type == 7 || type == 1)) ||
	    F(GUEST_ACTIVITY) >= VMX_WAIT_FOR_SIPI ||
	    (F(GUEST_ACTIVITY) == VMX_SHUTDOWN && !event))
		return false;
	if (!(F(CPU2_CTLS) & VMX_CPU2_EPT) || !(F(CPU_CTLS) & VMX_CPU_SECONDARY) ||
	    (F(EPTP) ^ base->f[vmcs_index(VMCS_EPTP)]) & ~(u64)VMX_EPTP_AD)
		return false;
	/* Modes that there are not: the emulator gives up. */
	if ((ia32e && ~F(GUEST_CR0) & (BIT_ULL(31) | BIT_ULL(0))) ||
	    (F(GUEST_RFLAGS) & BIT(17) && (ia32e || !(F(GUEST_CR0) & 1))))
		return false;
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		u32 at = vmcs_index(fields[i].field);

		if ((fields[i].field & 0x6c00) == 0x2000 && fields[i].field != VMCS_EPTP &&
		    fields[i].field != VMCS_TSC_OFFSET && fields[i].field != VMCS_TSC_MULTIPLIER &&
		    fields[i].field != VMCS_VM_FUNCTION && m->f[at] != base->f[at])
			return false;
	}
	for (i = 0; i < MSRS; i++)
		if (m->msrs[i][0] >> 32 == 0 && m->msrs[i][0] != 0x174)
			return false;
	return F(ENTRY_MSR_LOAD_COUNT) <= MSRS;
}

/* Whether an image may be tried, if the CPU gives this verdict. */
static inline bool may_try(const struct image *m, const struct image *base,
			   const struct vmx_verdict *v)
{
	enum vmx_class class = first_class(v);

	if (class != VMX_CLASS_NONE && class <= VMX_CLASS_HOST)
		return true;
	if (!returns_well(m, base))
		return false;
	return (class != VMX_CLASS_NONE && class < VMX_CLASS_MSR) || runs_well(m, base);
}

#undef AR
#undef SEL

#endif /* VMX_CHECK_BOCHS_H */
