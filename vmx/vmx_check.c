// SPDX-License-Identifier: GPL-2.0
/*
 * Why a VM entry fails.
 *
 * The CPU says only that some check failed: an error number for the controls, one
 * for the host's state, exit reason 33 for the guest's.  This file evaluates the
 * rules of vmx_rules.h against the same VMCS and names the first that is broken,
 * and all others.  Pure: it reads fields and memory by the caller's functions, so
 * that the kernel calls it on the failure path (VMREAD) and the tests feed it
 * broken states and compare its verdict with a CPU's.
 *
 * Where the SDM leaves the order open (controls and host state, and within each),
 * the CPU may report another broken rule than the first here; the classes of all
 * broken rules are in the verdict.
 *
 * Any context, no locks, nothing shared.
 */
#include "vmx_check.h"

#define CR0_PE		BIT_ULL(0)
#define CR0_WP		BIT_ULL(16)
#define CR0_NW		BIT_ULL(29)
#define CR0_CD		BIT_ULL(30)
#define CR0_PG		BIT_ULL(31)
#define CR4_PAE		BIT_ULL(5)
#define CR4_PCIDE	BIT_ULL(17)
#define CR4_CET		BIT_ULL(23)
#define RFLAGS_TF	BIT_ULL(8)
#define RFLAGS_IF	BIT_ULL(9)
#define RFLAGS_VM	BIT_ULL(17)
#define LME		BIT_ULL(8)	/* EFER */
#define LMA		BIT_ULL(10)
#define DEBUGCTL_BTF	BIT_ULL(1)

/* Vectors with an error code: #DF #TS #NP #SS #GP #PF #AC */
#define ERROR_CODES	(BIT(8) | 0x1ful << 10 | BIT(17))

enum { ES, CS, SS, DS, FS, GS, LDT, TASK, SEGS };

/* Sets of segments, for SEG_RULE. */
#define FS_GS		(BIT(FS) | BIT(GS))
#define DATA		(BIT(ES) | BIT(DS) | FS_GS)
#define CODE_DATA	(DATA | BIT(CS) | BIT(SS))
#define LDTR		BIT(LDT)
#define TR		BIT(TASK)

struct segment {
	u16 sel;
	u32 ar;
	u32 limit;
	u64 base;
	bool usable;	/* CS always counts as such: its checks do not ask */
};

/* The first bad entry of the VM-entry MSR-load list. */
struct bad_msr {
	enum { MSR_GOOD, MSR_RESERVED, MSR_FS_GS, MSR_X2APIC, MSR_SMM, MSR_WRITE } why;
	u32 number;	/* from 1 */
};

static const struct {
	const char *section;
	const char *text;
	enum vmx_class class;
} rules[VMX_RULES] = {
	[VMX_RULE_NONE] = { "", "every rule holds", VMX_CLASS_NONE },
#define VM_RULE(name, kind, sdm, what, ...) \
	[VMX_RULE_##name] = { sdm, what, VMX_CLASS_##kind },
#define SEG_RULE VM_RULE
#include "vmx_rules.h"
#undef VM_RULE
#undef SEG_RULE
};

/* The class as the CPU shows it: VM-instruction error, or exit reason and qualification. */
static const struct {
	u8 error;
	u8 reason;
	u8 qualification;
} classes[] = {
	[VMX_CLASS_MOV_SS] = { .error = VMX_ERR_MOV_SS },
	[VMX_CLASS_LAUNCH] = { .error = VMX_ERR_LAUNCH_NOT_CLEAR },
	[VMX_CLASS_RESUME] = { .error = VMX_ERR_RESUME_NOT_LAUNCHED },
	[VMX_CLASS_CTLS] = { .error = VMX_ERR_CONTROLS },
	[VMX_CLASS_HOST] = { .error = VMX_ERR_HOST_STATE },
	[VMX_CLASS_GUEST] = { .reason = VMX_REASON_BAD_GUEST_STATE },
	[VMX_CLASS_PDPTE] = { .reason = VMX_REASON_BAD_GUEST_STATE,
			      .qualification = VMX_QUAL_PDPTE },
	[VMX_CLASS_NMI_STI] = { .reason = VMX_REASON_BAD_GUEST_STATE,
				.qualification = VMX_QUAL_NMI_STI },
	[VMX_CLASS_LINK] = { .reason = VMX_REASON_BAD_GUEST_STATE, .qualification = VMX_QUAL_LINK },
	[VMX_CLASS_MSR] = { .reason = VMX_REASON_BAD_MSR_LOAD },
};

/* The true-control MSR where the CPU has those (A.2): they tell more that may be 0. */
static enum vmx_cap cap_of(const struct vmx_check *c, enum vmx_cap cap)
{
	if (cap < VMX_CAP_PIN || cap > VMX_CAP_ENTRY ||
	    !(c->cap[VMX_CAP_BASIC] & VMX_CAP_BASIC_TRUE))
		return cap;
	return cap - VMX_CAP_PIN + VMX_CAP_TRUE_PIN;
}

static bool ones(const struct vmx_check *c, u32 value, enum vmx_cap cap)
{
	return !(~value & lower_32_bits(c->cap[cap_of(c, cap)]));
}

static bool zeros(const struct vmx_check *c, u32 value, enum vmx_cap cap)
{
	return !(value & ~upper_32_bits(c->cap[cap_of(c, cap)]));
}

/* A physical address that the CPU can have, with so many low bits 0. */
static bool address(const struct vmx_check *c, u64 pa, int low)
{
	int width = c->cap[VMX_CAP_BASIC] & VMX_CAP_BASIC_32BIT ? 32 : c->phys_bits;

	return !(pa >> width) && !(pa & (BIT_ULL(low) - 1));
}

/* The last byte of so many entries of 16 bytes is at an address that the CPU can have. */
static bool list_end(const struct vmx_check *c, u64 pa, u32 count)
{
	return !count || address(c, pa + (u64)count * 16 - 1, 0);
}

static bool canonical(const struct vmx_check *c, u64 va)
{
	int above = 64 - c->linear_bits;

	return (u64)((s64)(va << above) >> above) == va;
}

static bool pat_holds(u64 pat)
{
	const u64 each = 0x0101010101010101ull;

	/* 0 1 4 5 6 7: with bit 1 goes bit 2. */
	return !(pat & ~(each * 7)) && !(pat & each * 2 & ~((pat & each * 4) >> 1));
}

static bool s_cet_holds(const struct vmx_check *c, u64 cet, bool wide)
{
	const u64 suppress_tracker = BIT_ULL(10) | BIT_ULL(11);

	return !(cet & 0x3c0) && (cet & suppress_tracker) != suppress_tracker &&
	       (wide ? canonical(c, cet) : !(cet >> 32));
}

/* The 32 bits at an address, or what would be right where there is no looking. */
static u32 memory(const struct vmx_check *c, u64 pa, u32 otherwise)
{
	u64 value;

	return c->memory && c->memory(c, pa, &value) ? (u32)value : otherwise;
}

static u32 dpl(const struct segment *sg)
{
	return (sg->ar & VMX_AR_DPL_MASK) >> VMX_AR_DPL_SHIFT;
}

static bool granularity_holds(const struct segment *sg)
{
	return sg->ar & VMX_AR_G ? (sg->limit & 0xfff) == 0xfff : !(sg->limit >> 20);
}

static bool pdptes_hold(const struct vmx_check *c, bool ept)
{
	u64 reserved = ~(BIT_ULL(c->phys_bits) - 1) | 0x1e6;
	u64 table = c->read(c, VMCS_GUEST_CR3) & 0xffffffe0, entry;
	int i;

	for (i = 0; i < 4; i++) {
		if (ept)
			entry = c->read(c, VMCS_GUEST_PDPTE0 + 2 * i);
		else if (!c->memory || !c->memory(c, table + 8 * i, &entry))
			continue;
		if (entry & 1 && entry & reserved)
			return false;
	}
	return true;
}

static void find_bad_msr(const struct vmx_check *c, struct bad_msr *bad)
{
	/* What the CPU recommends not to exceed (A.6); beyond, it need not behave. */
	u32 most = 512 * ((c->cap[VMX_CAP_MISC] >> 25 & 7) + 1);
	u32 count = min_t(u32, c->read(c, VMCS_ENTRY_MSR_LOAD_COUNT), most), i;
	u64 pa = c->read(c, VMCS_ENTRY_MSR_LOAD_ADDR), msr, value;

	for (i = 0; i < count && c->memory && bad->why == MSR_GOOD; i++, pa += 16) {
		if (!address(c, pa, 4) || !c->memory(c, pa, &msr) || !c->memory(c, pa + 8, &value))
			return;
		if (msr >> 32)
			bad->why = MSR_RESERVED;
		else if (msr == 0xc0000100 || msr == 0xc0000101)
			bad->why = MSR_FS_GS;
		else if (msr >> 8 == 8 && c->x2apic)
			bad->why = MSR_X2APIC;
		else if (msr == 0x9b || msr == 0x9e)	/* SMM_MONITOR_CTL, SMBASE */
			bad->why = MSR_SMM;
		else if (c->takes && !c->takes(c, msr, value))
			bad->why = MSR_WRITE;
	}
	if (bad->why != MSR_GOOD)
		bad->number = i;
}

static void read_segments(const struct vmx_check *c, struct segment *seg)
{
	int i;

	for (i = 0; i < SEGS; i++) {
		seg[i].sel = c->read(c, VMCS_GUEST_ES_SEL + 2 * i);
		seg[i].ar = c->read(c, VMCS_GUEST_ES_AR + 2 * i);
		seg[i].limit = c->read(c, VMCS_GUEST_ES_LIMIT + 2 * i);
		seg[i].base = c->read(c, VMCS_GUEST_ES_BASE + 2 * i);
		seg[i].usable = i == CS || !(seg[i].ar & VMX_AR_UNUSABLE);
	}
}

/**
 * vmx_check_rule() - what there is to say of one rule
 * @rule: number
 * @v: rule, class, error, reason, qualification, section and text are set; the rest is cleared
 */
void vmx_check_rule(enum vmx_rule rule, struct vmx_verdict *v)
{
	memset(v, 0, sizeof(*v));
	v->rule = rule;
	v->class = rules[rule].class;
	v->section = rules[rule].section;
	v->text = rules[rule].text;
	v->where = "";
	v->error = classes[v->class].error;
	v->reason = classes[v->class].reason;
	v->qualification = classes[v->class].qualification;
}

/* What a rule says: 0 it holds, 1 it is broken, 2 + n it is broken by segment n. */
#define HERE	2

static void judge(const u8 *result, u32 msr, struct vmx_verdict *v)
{
	static const char * const names[SEGS] = {
		"ES: ", "CS: ", "SS: ", "DS: ", "FS: ", "GS: ", "LDTR: ", "TR: ",
	};
	enum vmx_rule rule = VMX_RULE_NONE + 1;

	while (rule < VMX_RULES && !result[rule])
		rule++;
	vmx_check_rule(rule < VMX_RULES ? rule : VMX_RULE_NONE, v);
	if (result[v->rule] >= HERE)
		v->where = names[result[v->rule] - HERE];
	v->msr = msr;
	if (v->class == VMX_CLASS_MSR)
		v->qualification = msr;
	for (; rule < VMX_RULES; rule++)
		if (result[rule])
			v->broken[rule / 8] |= BIT(rule % 8);
}

#define f(field)	(c->read(c, VMCS_##field))
#define VM_RULE(name, kind, sdm, what, good) \
	[VMX_RULE_##name] = !(good),
#define SEG_RULE(name, kind, sdm, what, which, good) \
	[VMX_RULE_##name] = ({				\
		const struct segment *sg;		\
		u8 at = 0;				\
							\
		for (sg = seg; sg < seg + SEGS; sg++)	\
			if (!at && (which) & BIT(sg - seg) && !(good)) \
				at = HERE + (sg - seg);	\
		at;					\
	}),

static void evaluate(const struct vmx_check *c, const struct segment *seg, struct bad_msr msr,
		     struct vmx_verdict *v)
{
	const u32 pin = f(PIN_CTLS), cpu = f(CPU_CTLS), exit = f(EXIT_CTLS), entry = f(ENTRY_CTLS);
	const u32 cpu2 = cpu & VMX_CPU_SECONDARY ? f(CPU2_CTLS) : 0;
	const u64 cpu3 = cpu & VMX_CPU_TERTIARY ? f(CPU3_CTLS) : 0;
	const u64 exit2 = exit & VMX_EXIT_SECONDARY ? f(EXIT2_CTLS) : 0;
	const bool ept = cpu2 & VMX_CPU2_EPT, unrestricted = cpu2 & VMX_CPU2_UNRESTRICTED;
	const bool eptp_switching = cpu2 & VMX_CPU2_VMFUNC && f(VM_FUNCTION) & 1;
	const bool host64 = exit & VMX_EXIT_HOST_64, guest64 = entry & VMX_ENTRY_IA32E;
	const u64 eptp = f(EPTP), cr0 = f(GUEST_CR0), cr4 = f(GUEST_CR4), rflags = f(GUEST_RFLAGS);
	const bool vm86 = rflags & RFLAGS_VM;
	const bool pae = cr0 & CR0_PG && cr4 & CR4_PAE && !guest64;
	/* The event to inject: 0 if there is none. */
	const u32 info = f(ENTRY_INTR_INFO), event = info & VMX_INTR_VALID ? info : 0;
	const u32 type = (info & VMX_INTR_TYPE) >> VMX_INTR_TYPE_SHIFT;
	const u32 vector = info & VMX_INTR_VECTOR;
	const bool may_have_error = type == 3 && (!unrestricted || cr0 & CR0_PE) &&
		(c->cap[VMX_CAP_BASIC] & VMX_CAP_BASIC_ANY_ERROR_CODE ||
		 (vector < 32 && ERROR_CODES >> vector & 1));
	const u32 activity = f(GUEST_ACTIVITY), blocked = f(GUEST_INTERRUPTIBILITY);
	const u64 pending = f(GUEST_PENDING_DBG), link = f(GUEST_LINK_POINTER);
	/* Between an instruction and its trap BS must tell whether one is due. */
	const bool stepwise = blocked & (VMX_BLOCK_STI | VMX_BLOCK_MOV_SS) || activity == VMX_HLT;
	const bool stepping = rflags & RFLAGS_TF && !(f(GUEST_DEBUGCTL) & DEBUGCTL_BTF);
	const u32 link_revision = (c->cap[VMX_CAP_BASIC] & VMX_CAP_BASIC_REVISION) |
		(cpu2 & VMX_CPU2_VMCS_SHADOWING ? BIT(31) : 0);
	const u32 cs_type = seg[CS].ar & VMX_AR_TYPE;
	const bool code64 = guest64 && seg[CS].ar & VMX_AR_L;
	const u8 all[VMX_RULES] = {
#include "vmx_rules.h"
	};

	judge(all, msr.number, v);
}

#undef VM_RULE
#undef SEG_RULE
#undef f

/**
 * vmx_check() - judge a VM entry by the SDM's rules (volume 3C, 26.1 to 26.4)
 * @c: the VMCS and the CPU
 * @v: the verdict
 *
 * All of @v is set.  If no rule is broken @v->rule is VMX_RULE_NONE.
 */
void vmx_check(const struct vmx_check *c, struct vmx_verdict *v)
{
	struct bad_msr msr = { .why = MSR_GOOD };
	struct segment seg[SEGS];

	read_segments(c, seg);
	find_bad_msr(c, &msr);
	evaluate(c, seg, msr, v);
}
