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
#include "walk.h"

#define RFLAGS_DEFINED	0x003f7fd5ull
#define SEG_ATTRIB_MASK	0x1fff
#define PAT_RESET	0x0007040600070406ull

static void halo_seg_load(struct halo_seg *to, const struct halo_segment *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attrib = from->attrib;
}

static void halo_seg_store(struct halo_segment *to, const struct halo_seg *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attrib = from->attrib;
}

static bool halo_segs_valid(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	unsigned int bits = vcpu->caps.linear_bits < 48 ? 48 : vcpu->caps.linear_bits, i;

	for (i = 0; i < 8; i++) {
		if (s->seg[i].attrib & ~SEG_ATTRIB_MASK)
			return false;
		if (!halo_canonical(s->seg[i].base, bits))
			return false;
	}
	if (memchr_inv(s->gdt.reserved, 0, sizeof(s->gdt.reserved)) ||
	    memchr_inv(s->idt.reserved, 0, sizeof(s->idt.reserved)))
		return false;
	return halo_canonical(s->gdt.base, bits) && halo_canonical(s->idt.base, bits);
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

static bool halo_drs_valid(const struct halo_state *s)
{
	return !(s->dr[4] >> 32) && !(s->dr[5] >> 32);
}

static bool halo_event_valid(const struct halo_state *s)
{
	if (s->event_type > HALO_EVENT_SOFT_INT || s->event_has_error > 1 ||
	    s->shadow & ~(HALO_SHADOW_STI | HALO_SHADOW_MOV_SS) || s->nmi_masked > 1 ||
	    s->nmi_pending > 1 || memchr_inv(s->reserved1, 0, sizeof(s->reserved1)))
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
	if ((groups & HALO_STATE_DRS) && !halo_drs_valid(s))
		return false;
	if ((groups & HALO_STATE_EVENTS) && !halo_event_valid(s))
		return false;
	return !(groups & HALO_STATE_MP) ||
	       (s->mp_state <= HALO_MP_UNINITIALIZED && !s->reserved2);
}

static void halo_gprs_load(struct halo_cpu *cpu, const struct halo_state *s)
{
	memcpy(cpu->gpr, s->gpr, sizeof(cpu->gpr));
	cpu->rip = s->rip;
	cpu->rflags = (s->rflags & RFLAGS_DEFINED) | X86_EFLAGS_FIXED;
}

static void halo_segs_load(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_SEGS);
	unsigned int i;

	for (i = 0; i < SEG_COUNT; i++)
		halo_seg_load(&a->seg[i], &s->seg[i]);
	a->gdt.base = s->gdt.base;
	a->gdt.limit = s->gdt.limit;
	a->idt.base = s->idt.base;
	a->idt.limit = s->idt.limit;
	halo_arch_put(vcpu, ARCH_SEGS);
}

static void halo_crs_load(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS);

	a->cr0 = s->cr0 | X86_CR0_ET;
	a->cr2 = s->cr2;
	a->cr3 = s->cr3;
	a->cr4 = s->cr4;
	a->efer = s->efer;
	vcpu->cpu.xcr0 = s->xcr0;
	vcpu->cpu.flush_tlb = true;
	halo_lapic_set_cr8(&vcpu->lapic, s->cr8);
	halo_arch_put(vcpu, ARCH_CRS);
}

static void halo_drs_load(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_DRS);

	memcpy(a->dr, s->dr, sizeof(a->dr));
	halo_arch_put(vcpu, ARCH_DRS);
}

/* The same MSRs by number, so that one set of rules holds. */
static const struct {
	u32 index;
	u16 offset;
} halo_state_msr[] = {
	{ MSR_STAR, offsetof(struct halo_state, star) },
	{ MSR_LSTAR, offsetof(struct halo_state, lstar) },
	{ MSR_CSTAR, offsetof(struct halo_state, cstar) },
	{ MSR_SYSCALL_MASK, offsetof(struct halo_state, sfmask) },
	{ MSR_KERNEL_GS_BASE, offsetof(struct halo_state, kernel_gs_base) },
	{ MSR_IA32_SYSENTER_CS, offsetof(struct halo_state, sysenter_cs) },
	{ MSR_IA32_SYSENTER_ESP, offsetof(struct halo_state, sysenter_esp) },
	{ MSR_IA32_SYSENTER_EIP, offsetof(struct halo_state, sysenter_eip) },
	{ MSR_IA32_CR_PAT, offsetof(struct halo_state, pat) },
	{ MSR_IA32_APICBASE, offsetof(struct halo_state, apic_base) },
	{ MSR_IA32_TSC, offsetof(struct halo_state, tsc) },
	{ MSR_IA32_TSC_ADJUST, offsetof(struct halo_state, tsc_adjust) },
	{ MSR_TSC_AUX, offsetof(struct halo_state, tsc_aux) },
};

static int halo_msrs_load(struct halo_vcpu *vcpu, struct halo_state *s)
{
	u64 old[ARRAY_SIZE(halo_state_msr)], *value;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(halo_state_msr); i++) {
		value = (void *)s + halo_state_msr[i].offset;
		old[i] = 0;
		halo_msr_read(vcpu, halo_state_msr[i].index, &old[i], true);
		/* An MSR that the CPUID table hides is read as zero; zero is no wish. */
		if (halo_msr_write(vcpu, halo_state_msr[i].index, *value, true) && *value)
			goto undo;
	}
	return 0;
undo:
	while (i--)
		halo_msr_write(vcpu, halo_state_msr[i].index, old[i], true);
	return -EINVAL;
}

static void halo_events_load(struct halo_vcpu *vcpu, const struct halo_state *s)
{
	static const u8 type[] = {
		[HALO_EVENT_NONE] = EVENT_NONE,
		[HALO_EVENT_INTR] = EVENT_INTR,
		[HALO_EVENT_NMI] = EVENT_NMI,
		[HALO_EVENT_EXCEPTION] = EVENT_EXCEPTION,
		[HALO_EVENT_SOFT_INT] = EVENT_SOFT_INT,
	};
	struct halo_event *e = &vcpu->cpu.event;

	e->type = type[array_index_nospec(s->event_type, ARRAY_SIZE(type))];
	e->vector = s->event_vector;
	e->has_error = s->event_has_error;
	e->error = s->event_error;
	vcpu->cpu.shadow = (s->shadow & HALO_SHADOW_STI ? SHADOW_STI : 0) |
			   (s->shadow & HALO_SHADOW_MOV_SS ? SHADOW_MOV_SS : 0);
	vcpu->cpu.nmi_masked = s->nmi_masked;
	vcpu->nmi_pending = s->nmi_pending;
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
	struct halo_state *s;
	int err = -EINVAL;

	if (likely(!groups))
		return 0;
	s = kmemdup(vcpu->state, sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	if (!halo_state_valid(vcpu, s, groups))
		goto out;
	/* MSRs first: they alone can still be refused. */
	if (groups & HALO_STATE_MSRS) {
		err = halo_msrs_load(vcpu, s);
		if (err)
			goto out;
	}
	if (groups & HALO_STATE_GPRS)
		halo_gprs_load(&vcpu->cpu, s);
	if (groups & HALO_STATE_SEGS)
		halo_segs_load(vcpu, s);
	if (groups & HALO_STATE_CRS)
		halo_crs_load(vcpu, s);
	if (groups & HALO_STATE_DRS)
		halo_drs_load(vcpu, s);
	if (groups & HALO_STATE_EVENTS)
		halo_events_load(vcpu, s);
	if (groups & HALO_STATE_MP)
		vcpu->mp_state = s->mp_state;
	WRITE_ONCE(vcpu->state->commit, 0);
	err = 0;
out:
	kfree(s);
	return err;
}

static void halo_regs_store(struct halo_vcpu *vcpu, struct halo_state *s, u64 groups)
{
	const struct halo_arch *a = &vcpu->cpu.arch;
	unsigned int i;

	if (groups & HALO_STATE_GPRS) {
		memcpy(s->gpr, vcpu->cpu.gpr, sizeof(s->gpr));
		s->rip = vcpu->cpu.rip;
		s->rflags = vcpu->cpu.rflags;
	}
	if (groups & HALO_STATE_SEGS) {
		halo_arch_get(vcpu, ARCH_SEGS);
		for (i = 0; i < SEG_COUNT; i++)
			halo_seg_store(&s->seg[i], &a->seg[i]);
		s->gdt.base = a->gdt.base;
		s->gdt.limit = a->gdt.limit;
		s->idt.base = a->idt.base;
		s->idt.limit = a->idt.limit;
	}
	if (groups & HALO_STATE_CRS) {
		halo_arch_get(vcpu, ARCH_CRS);
		s->cr0 = a->cr0;
		s->cr2 = a->cr2;
		s->cr3 = a->cr3;
		s->cr4 = a->cr4;
		s->cr8 = halo_lapic_cr8(&vcpu->lapic);
		s->xcr0 = vcpu->cpu.xcr0;
		s->efer = a->efer;
	}
	if (groups & HALO_STATE_DRS) {
		halo_arch_get(vcpu, ARCH_DRS);
		memcpy(s->dr, a->dr, sizeof(s->dr));
	}
}

static void halo_events_store(struct halo_vcpu *vcpu, struct halo_state *s)
{
	static const u8 type[] = {
		[EVENT_NONE] = HALO_EVENT_NONE,
		[EVENT_INTR] = HALO_EVENT_INTR,
		[EVENT_NMI] = HALO_EVENT_NMI,
		[EVENT_EXCEPTION] = HALO_EVENT_EXCEPTION,
		[EVENT_SOFT_INT] = HALO_EVENT_SOFT_INT,
	};
	const struct halo_event *e = &vcpu->cpu.event;

	s->event_type = type[e->type];
	s->event_vector = e->type ? e->vector : 0;
	s->event_has_error = e->type && e->has_error;
	s->event_error = e->type && e->has_error ? e->error : 0;
	s->shadow = vcpu->cpu.shadow;
	s->nmi_masked = vcpu->cpu.nmi_masked;
	s->nmi_pending = vcpu->nmi_pending;
}

/**
 * halo_state_provide() - fill in the groups that the user wants
 * @vcpu: the vCPU, locked
 */
void halo_state_provide(struct halo_vcpu *vcpu)
{
	struct halo_state *s = vcpu->state;
	u64 groups = READ_ONCE(s->wanted) & HALO_STATE_ALL;
	unsigned int i;
	u64 value;

	if (likely(!groups))
		return;
	/* What is got can be set: reserved fields come out as zero. */
	memset(s->gdt.reserved, 0, sizeof(s->gdt.reserved));
	memset(s->idt.reserved, 0, sizeof(s->idt.reserved));
	memset(s->reserved1, 0, sizeof(s->reserved1));
	s->reserved2 = 0;
	halo_regs_store(vcpu, s, groups);
	if (groups & HALO_STATE_MSRS) {
		for (i = 0; i < ARRAY_SIZE(halo_state_msr); i++) {
			value = 0;
			halo_msr_read(vcpu, halo_state_msr[i].index, &value, true);
			*(u64 *)((void *)s + halo_state_msr[i].offset) = value;
		}
	}
	if (groups & HALO_STATE_EVENTS)
		halo_events_store(vcpu, s);
	if (groups & HALO_STATE_MP)
		s->mp_state = vcpu->mp_state;
	WRITE_ONCE(s->cached, groups);
}

static void halo_seg_reset(struct halo_seg *s, u16 attrib)
{
	s->selector = 0;
	s->base = 0;
	s->limit = 0xffff;
	s->attrib = attrib;
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
	u64 keep = 0;
	unsigned int i;
	u32 regs[4];

	if (init)
		keep = halo_arch_get(vcpu, ARCH_CRS)->cr0 & (X86_CR0_CD | X86_CR0_NW);
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	halo_cpuid_lookup(vcpu->cpuid, &dyn, 1, 0, regs);
	cpu->gpr[GPR_RDX] = regs[HALO_CPUID_EAX];
	cpu->rip = 0xfff0;
	cpu->rflags = X86_EFLAGS_FIXED;
	for (i = SEG_ES; i <= SEG_GS; i++)
		halo_seg_reset(&a->seg[i], 0x93);
	a->seg[SEG_CS].selector = 0xf000;
	a->seg[SEG_CS].base = 0xffff0000;
	a->seg[SEG_CS].attrib = 0x9b;
	halo_seg_reset(&a->seg[SEG_LDTR], 0x82);
	halo_seg_reset(&a->seg[SEG_TR], 0x8b);
	a->gdt.base = 0;
	a->gdt.limit = 0xffff;
	a->idt.base = 0;
	a->idt.limit = 0xffff;
	a->cr0 = X86_CR0_ET | (init ? keep : X86_CR0_CD | X86_CR0_NW);
	a->cr2 = 0;
	a->cr3 = 0;
	a->cr4 = 0;
	a->efer = 0;
	memset(a->dr, 0, sizeof(a->dr));
	a->dr[4] = 0xffff0ff0;
	a->dr[5] = 0x400;
	a->valid = ARCH_SEGS | ARCH_CRS | ARCH_DRS;
	a->dirty = a->valid;
	if (init)
		return;
	a->star = 0;
	a->lstar = 0;
	a->cstar = 0;
	a->sfmask = 0;
	a->kernel_gs_base = 0;
	a->sysenter_cs = 0;
	a->sysenter_esp = 0;
	a->sysenter_eip = 0;
	a->pat = PAT_RESET;
	a->valid = ARCH_ALL;
	a->dirty = ARCH_ALL;
}
