// SPDX-License-Identifier: GPL-2.0
/*
 * The STATE area: registers to and from userspace, and the reset state.
 *
 * The area is the user's to scribble in at any time.  A group that is committed
 * is copied out of it once, as a whole, then checked, then loaded; nothing is
 * read from the page again.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include "vcpu.h"

#define RFLAGS_DEFINED	0x003f7fd5ull
#define SEG_ATTRIB_MASK	0x1fff
#define PAT_RESET	0x0007040600070406ull

/*
 * The area's fields and where the vCPU has them: one table, walked both ways.
 * MSRs are not in it: they go by number, so that one set of rules holds.
 */
#define FIELD(g, theirs, ours) {						\
	.group = HALO_STATE_##g,						\
	.bytes = sizeof_field(struct halo_vcpu, ours) +				\
		 BUILD_BUG_ON_ZERO(sizeof_field(struct halo_vcpu, ours) !=	\
				   sizeof_field(struct halo_state, theirs)),	\
	.state = offsetof(struct halo_state, theirs),				\
	.vcpu = offsetof(struct halo_vcpu, ours),				\
}

static const struct {
	u8 group;
	u8 bytes;
	u16 state;
	u32 vcpu;
} halo_state_field[] = {
	FIELD(GPRS, gpr, cpu.gpr),
	FIELD(GPRS, rip, cpu.rip),
	FIELD(GPRS, rflags, cpu.rflags),
	FIELD(SEGS, seg, cpu.arch.seg),
	FIELD(SEGS, gdt, cpu.arch.gdt),
	FIELD(SEGS, idt, cpu.arch.idt),
	FIELD(CRS, cr0, cpu.arch.cr0),
	FIELD(CRS, cr2, cpu.arch.cr2),
	FIELD(CRS, cr3, cpu.arch.cr3),
	FIELD(CRS, cr4, cpu.arch.cr4),
	FIELD(CRS, xcr0, cpu.xcr0),
	FIELD(CRS, efer, cpu.arch.efer),
	FIELD(DRS, dr, cpu.arch.dr),
	FIELD(EVENTS, event_type, cpu.event.type),
	FIELD(EVENTS, event_vector, cpu.event.vector),
	FIELD(EVENTS, event_has_error, cpu.event.has_error),
	FIELD(EVENTS, event_error, cpu.event.error),
	FIELD(EVENTS, shadow, cpu.shadow),
	FIELD(EVENTS, nmi_masked, cpu.nmi_masked),
	FIELD(EVENTS, nmi_pending, nmi_pending),
	FIELD(MP, mp_state, mp_state),
};

/* What is copied as it stands must mean the same on both sides. */
static_assert(offsetof(struct halo_segment, limit) == offsetof(struct halo_seg, limit) &&
	      offsetof(struct halo_segment, selector) == offsetof(struct halo_seg, selector) &&
	      offsetof(struct halo_segment, attrib) == offsetof(struct halo_seg, attrib));
static_assert(offsetof(struct halo_table, limit) == offsetof(struct halo_dtable, limit));
static_assert(HALO_EVENT_NONE == EVENT_NONE && HALO_EVENT_INTR == EVENT_INTR &&
	      HALO_EVENT_NMI == EVENT_NMI && HALO_EVENT_EXCEPTION == EVENT_EXCEPTION &&
	      HALO_EVENT_SOFT_INT == EVENT_SOFT_INT);
static_assert(HALO_SHADOW_STI == SHADOW_STI && HALO_SHADOW_MOV_SS == SHADOW_MOV_SS);
static_assert(HALO_STATE_SEGS >> 1 == ARCH_SEGS && HALO_STATE_CRS >> 1 == ARCH_CRS &&
	      HALO_STATE_DRS >> 1 == ARCH_DRS);

/* Copy groups but MSRs; gives the ARCH_* groups among them, which are valid then. */
static u32 halo_state_copy(struct halo_vcpu *vcpu, struct halo_state *s, u64 groups, bool load)
{
	u32 arch = groups >> 1 & (ARCH_SEGS | ARCH_CRS | ARCH_DRS);
	unsigned int i;

	halo_arch_get(vcpu, arch);
	for (i = 0; i < ARRAY_SIZE(halo_state_field); i++) {
		void *theirs = (void *)s + halo_state_field[i].state;
		void *ours = (void *)vcpu + halo_state_field[i].vcpu;

		if (groups & halo_state_field[i].group)
			memcpy(load ? ours : theirs, load ? theirs : ours,
			       halo_state_field[i].bytes);
	}
	return arch;
}

static bool halo_segs_valid(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		if (s->seg[i].attrib & ~SEG_ATTRIB_MASK)
			return false;
		if (!halo_canonical(s->seg[i].base, HALO_LINEAR_BITS))
			return false;
	}
	if (memchr_inv(s->gdt.reserved, 0, sizeof(s->gdt.reserved)) ||
	    memchr_inv(s->idt.reserved, 0, sizeof(s->idt.reserved)))
		return false;
	return halo_canonical(s->gdt.base, HALO_LINEAR_BITS) &&
	       halo_canonical(s->idt.base, HALO_LINEAR_BITS);
}

static bool halo_crs_valid(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	bool paging = s->cr0 & X86_CR0_PG;

	if (!halo_cr0_valid(vcpu, s->cr0) || !halo_efer_valid(vcpu, s->efer))
		return false;
	if ((s->cr4 & ~vcpu->caps.cr4) || s->cr8 > 15)
		return false;
	if (!(s->efer & EFER_LME) != !(s->efer & EFER_LMA) && paging)
		return false;
	if ((s->efer & EFER_LMA) && (!paging || !(s->cr4 & X86_CR4_PAE)))
		return false;
	/* CR3: bits beyond MAXPHYADDR are reserved; bit 63 is never kept. */
	if (s->cr3 >> vcpu->caps.maxphyaddr)
		return false;
	return halo_xcr0_valid(&vcpu->caps, s->xcr0) || s->xcr0 == XFEATURE_MASK_FP;
}

static bool halo_event_valid(const struct halo_state *s)
{
	if (s->event_type > HALO_EVENT_SOFT_INT || s->event_has_error > 1 ||
	    s->shadow & ~(HALO_SHADOW_STI | HALO_SHADOW_MOV_SS) || s->nmi_masked > 1 ||
	    s->nmi_pending > 2 || memchr_inv(s->reserved1, 0, sizeof(s->reserved1)))
		return false;
	if (s->event_type == HALO_EVENT_EXCEPTION)
		return s->event_vector < 32 && s->event_vector != 2;
	if (s->event_type == HALO_EVENT_NMI)
		return s->event_vector == 2 && !s->event_has_error;
	return !s->event_has_error;
}

static bool halo_state_valid(struct halo_vcpu *vcpu, const struct halo_state *s, u64 groups)
{
	if (groups & ~HALO_STATE_ALL)
		return false;
	if ((groups & HALO_STATE_SEGS) && !halo_segs_valid(vcpu, s))
		return false;
	if ((groups & HALO_STATE_CRS) && !halo_crs_valid(vcpu, s))
		return false;
	if ((groups & HALO_STATE_DRS) && ((s->dr[4] | s->dr[5]) >> 32))
		return false;
	if ((groups & HALO_STATE_EVENTS) && !halo_event_valid(s))
		return false;
	return !(groups & HALO_STATE_MP) ||
	       (s->mp_state <= HALO_MP_UNINITIALIZED && !s->reserved2);
}

static void halo_state_load(struct halo_vcpu *vcpu, struct halo_state *s, u64 groups)
{
	struct halo_cpu *cpu = &vcpu->cpu;

	halo_arch_put(vcpu, halo_state_copy(vcpu, s, groups, true));
	if (groups & HALO_STATE_GPRS)
		cpu->rflags = (cpu->rflags & RFLAGS_DEFINED) | X86_EFLAGS_FIXED;
	if (groups & HALO_STATE_CRS) {
		cpu->arch.cr0 |= X86_CR0_ET;
		halo_pdptes_load(vcpu, &cpu->arch);
		cpu->flush_tlb = true;
		halo_lapic_set_cr8(&vcpu->lapic, s->cr8);
	}
}

/* STAR to TSC_AUX, in the order that the area has them. */
static const u32 halo_state_msr[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	MSR_IA32_CR_PAT, MSR_IA32_APICBASE, MSR_IA32_TSC, MSR_IA32_TSC_ADJUST, MSR_TSC_AUX,
};

static_assert(offsetof(struct halo_state, tsc_aux) - offsetof(struct halo_state, star) ==
	      (ARRAY_SIZE(halo_state_msr) - 1) * sizeof(u64));

static u64 *halo_state_msrs(struct halo_state *s)
{
	return (void *)s + offsetof(struct halo_state, star);
}

static int halo_msrs_load(struct halo_vcpu *vcpu, struct halo_state *s)
{
	u64 old[ARRAY_SIZE(halo_state_msr)] = {}, *new = halo_state_msrs(s);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(halo_state_msr); i++) {
		halo_msr_read(vcpu, halo_state_msr[i], &old[i]);
		/* An MSR that the CPUID table hides is read as zero; zero is no wish. */
		if (halo_msr_write(vcpu, halo_state_msr[i], new[i], true) && new[i])
			goto undo;
	}
	return 0;
undo:
	while (i--)
		halo_msr_write(vcpu, halo_state_msr[i], old[i], true);
	return -EINVAL;
}

/* Not inline: the kernel may fill the copy with zeros at each call. */
static noinline int halo_state_take(struct halo_vcpu *vcpu, u64 groups)
{
	struct halo_state s;
	int err;

	memcpy(&s, vcpu->state, sizeof(s));
	/* What is checked is what is loaded: the user's page is not read again. */
	barrier();
	if (!halo_state_valid(vcpu, &s, groups))
		return -EINVAL;
	/* MSRs first: they alone can still be refused. */
	if (groups & HALO_STATE_MSRS) {
		err = halo_msrs_load(vcpu, &s);
		if (err)
			return err;
	}
	halo_state_load(vcpu, &s, groups);
	WRITE_ONCE(vcpu->state->commit, 0);
	return 0;
}

/**
 * halo_state_commit() - load the groups that the user committed
 * @vcpu: the vCPU, locked
 *
 * Return: 0, or -EINVAL with nothing loaded.
 */
int halo_state_commit(struct halo_vcpu *vcpu)
{
	u64 groups = READ_ONCE(vcpu->state->commit);

	return likely(!groups) ? 0 : halo_state_take(vcpu, groups);
}

/**
 * halo_state_provide() - fill in the groups that the user wants
 * @vcpu: the vCPU, locked
 */
void halo_state_provide(struct halo_vcpu *vcpu)
{
	struct halo_event *e = &vcpu->cpu.event;
	struct halo_state *s = vcpu->state;
	u64 groups = READ_ONCE(s->wanted) & HALO_STATE_ALL;
	unsigned int i;
	u64 value;

	if (likely(!groups))
		return;
	/* What is got can be set: reserved fields, and what means nothing, are zero. */
	memset(s->reserved1, 0, sizeof(s->reserved1));
	s->reserved2 = 0;
	if (e->type == EVENT_NONE)
		memset(e, 0, sizeof(*e));
	if (!e->has_error)
		e->error = 0;
	halo_state_copy(vcpu, s, groups, false);
	if (groups & HALO_STATE_CRS)
		s->cr8 = halo_lapic_cr8(&vcpu->lapic);
	if (groups & HALO_STATE_MSRS) {
		for (i = 0; i < ARRAY_SIZE(halo_state_msr); i++) {
			value = 0;
			halo_msr_read(vcpu, halo_state_msr[i], &value);
			halo_state_msrs(s)[i] = value;
		}
	}
	WRITE_ONCE(s->cached, groups);
}

/**
 * halo_state_reset() - registers after RESET or INIT (SDM 3A 9.1.1, APM 2 14.1.3)
 * @vcpu: the vCPU
 * @init: INIT: MSRs and CR0.CD and NW keep their values
 */
void halo_state_reset(struct halo_vcpu *vcpu, bool init)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	struct halo_arch *a = &cpu->arch;
	const struct halo_cpuid_dyn dyn = {};
	u64 cache = X86_CR0_CD | X86_CR0_NW;
	unsigned int i;
	u32 regs[4];

	if (init)
		cache &= halo_arch_get(vcpu, ARCH_CRS | ARCH_MSRS)->cr0;
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	halo_cpuid_lookup(vcpu->cpuid, &dyn, 1, 0, regs);
	cpu->gpr[GPR_RDX] = regs[HALO_CPUID_EAX];
	cpu->rip = 0xfff0;
	cpu->rflags = X86_EFLAGS_FIXED;
	/* Its end are the MSRs. */
	memset(a, 0, init ? offsetof(struct halo_arch, pat) : sizeof(*a));
	for (i = 0; i < SEG_COUNT; i++)
		a->seg[i] = (struct halo_seg){ .limit = 0xffff, .attrib = 0x93 };
	a->seg[SEG_CS].selector = 0xf000;
	a->seg[SEG_CS].base = 0xffff0000;
	a->seg[SEG_CS].attrib = 0x9b;
	a->seg[SEG_LDTR].attrib = 0x82;
	a->seg[SEG_TR].attrib = 0x8b;
	a->gdt.limit = 0xffff;
	a->idt.limit = 0xffff;
	a->cr0 = X86_CR0_ET | cache;
	a->dr[4] = 0xffff0ff0;
	a->dr[5] = 0x400;
	if (!init)
		a->pat = PAT_RESET;
	a->valid = ARCH_ALL;
	a->dirty = ARCH_ALL;
}
