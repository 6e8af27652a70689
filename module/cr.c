// SPDX-License-Identifier: GPL-2.0
/*
 * Control and debug registers, XCR0: the rules of SDM 3A 2.5, 13.3, 17.2 and
 * APM 2 3.1, as far as the CPU does not enforce them itself.
 */
#include <asm/processor-flags.h>
#include "vcpu.h"

#define CR0_DEFINED	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)

#define DR6_FIXED	0xffff0ff0ull
#define DR6_WRITABLE	0x0000e00full
#define DR7_FIXED	BIT(10)
#define DR7_WRITABLE	0xffff2bffull
#define DR7_GD		BIT(13)
#define DR6_BD		BIT(13)

/**
 * halo_cr0_valid() - may CR0 have this value at all
 * @vcpu: the vCPU
 * @cr0: the value
 */
bool halo_cr0_valid(struct halo_vcpu *vcpu, u64 cr0)
{
	if (cr0 >> 32)
		return false;
	if ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE))
		return false;
	return !((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD));
}

/**
 * halo_efer_valid() - may EFER have this value
 * @vcpu: the vCPU
 * @efer: the value
 */
bool halo_efer_valid(struct halo_vcpu *vcpu, u64 efer)
{
	return !(efer & ~vcpu->caps.efer);
}

/**
 * halo_pdptes_load() - in PAE paging: the four pointers, as MOV to CR does (SDM 3A 4.4.1)
 * @vcpu: the vCPU
 * @a: its registers, as they shall be; changed only in pdpte[]
 *
 * Memory that is not there is read as not present.
 *
 * Return: false if a reserved bit is set: #GP(0).
 */
bool halo_pdptes_load(struct halo_vcpu *vcpu, struct halo_arch *a)
{
	u64 reserved = GENMASK_ULL(63, vcpu->caps.maxphyaddr) | 0x1e6, pdpte[4];
	unsigned int i;

	if (!(a->cr0 & X86_CR0_PG) || !(a->cr4 & X86_CR4_PAE) || (a->efer & EFER_LMA))
		return true;
	if (halo_mem_read(&vcpu->vm->mem, (u32)a->cr3 & ~0x1full, pdpte, sizeof(pdpte)))
		memset(pdpte, 0, sizeof(pdpte));
	for (i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return false;
	memcpy(a->pdpte, pdpte, sizeof(pdpte));
	return true;
}

/* PG on or off moves EFER.LMA, and has conditions of its own. */
static int halo_cr0_write(struct halo_vcpu *vcpu, u64 value)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS | ARCH_SEGS);
	u64 old = a->cr0;

	if (!halo_cr0_valid(vcpu, value))
		return -EINVAL;
	value = (value & CR0_DEFINED) | X86_CR0_ET;
	if ((value & X86_CR0_PG) && !(old & X86_CR0_PG) && (a->efer & EFER_LME)) {
		if (!(a->cr4 & X86_CR4_PAE) || (a->seg[SEG_CS].attrib & SEG_ATTR_L))
			return -EINVAL;
		a->efer |= EFER_LMA;
	}
	if (!(value & X86_CR0_PG) && (old & X86_CR0_PG)) {
		if (a->cr4 & X86_CR4_PCIDE)
			return -EINVAL;
		if ((a->efer & EFER_LMA) && halo_mode64(vcpu))
			return -EINVAL;
		a->efer &= ~(u64)EFER_LMA;
	}
	a->cr0 = value;
	if (((old ^ value) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) &&
	    !halo_pdptes_load(vcpu, a)) {
		a->cr0 = old;
		return -EINVAL;
	}
	halo_arch_put(vcpu, ARCH_CRS);
	/* Only the CPU's own write would have flushed what these bits decide. */
	if ((old ^ value) & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		vcpu->cpu.flush_tlb = true;
	return 0;
}

static int halo_cr4_write(struct halo_vcpu *vcpu, u64 value)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS);
	u64 changed = a->cr4 ^ value;

	if (value & ~vcpu->caps.cr4)
		return -EINVAL;
	if (a->efer & EFER_LMA) {
		if (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57))
			return -EINVAL;
		if ((value & X86_CR4_PCIDE) && !(a->cr4 & X86_CR4_PCIDE) && (a->cr3 & 0xfff))
			return -EINVAL;
	} else if (value & X86_CR4_PCIDE) {
		return -EINVAL;
	}
	a->cr4 = value;
	if ((changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)) &&
	    !halo_pdptes_load(vcpu, a)) {
		a->cr4 ^= changed;
		return -EINVAL;
	}
	halo_arch_put(vcpu, ARCH_CRS);
	if (changed & (X86_CR4_PGE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_SMEP | X86_CR4_SMAP |
		       X86_CR4_PCIDE | X86_CR4_PKE))
		vcpu->cpu.flush_tlb = true;
	return 0;
}

static int halo_cr_write(struct halo_vcpu *vcpu, unsigned int nr, u64 value)
{
	switch (nr) {
	case 0:
		return halo_cr0_write(vcpu, value);
	case 4:
		return halo_cr4_write(vcpu, value);
	case 8:
		if (value > 15)
			return -EINVAL;
		halo_lapic_set_cr8(&vcpu->lapic, value);
		return 0;
	default:
		return -EINVAL;
	}
}

static u64 halo_cr_read(struct halo_vcpu *vcpu, unsigned int nr)
{
	const struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS);

	switch (nr) {
	case 0:
		return a->cr0;
	case 2:
		return a->cr2;
	case 3:
		return a->cr3;
	case 4:
		return a->cr4;
	default:
		return halo_lapic_cr8(&vcpu->lapic);
	}
}

/* A register as a MOV to CR or DR takes it. */
static u64 halo_mov_value(struct halo_vcpu *vcpu, u64 reg)
{
	return halo_mode64(vcpu) ? reg : (u32)reg;
}

/* LMSW can set PE but not clear it. */
static enum halo_next halo_lmsw(struct halo_vcpu *vcpu, const struct halo_insn *insn)
{
	u64 cr0 = halo_arch_get(vcpu, ARCH_CRS)->cr0;
	u64 msw = vcpu->cpu.gpr[insn->rm & 15];

	if ((insn->flags & HALO_INSN_F_MEM) && halo_operand(vcpu, insn, &msw, 2, false))
		return NEXT_RESUME;
	if (halo_cr0_write(vcpu, (cr0 & ~0xeull) | (msw & 0xf)))
		return halo_gp(vcpu);
	return halo_skip(vcpu, insn->len);
}

/* To memory SMSW stores 16 bits, to a register as many as the operand has. */
static enum halo_next halo_smsw(struct halo_vcpu *vcpu, const struct halo_insn *insn)
{
	u64 cr0 = halo_arch_get(vcpu, ARCH_CRS)->cr0;

	if (!(insn->flags & HALO_INSN_F_MEM))
		halo_reg_write(&vcpu->cpu.gpr[insn->rm & 15], cr0, insn->op_size);
	else if (halo_operand(vcpu, insn, &cr0, 2, true))
		return NEXT_RESUME;
	return halo_skip(vcpu, insn->len);
}

/**
 * halo_exit_cr() - MOV to or from a control register, CLTS, LMSW, SMSW
 * @vcpu: the vCPU
 *
 * Return: RESUME.
 */
enum halo_next halo_exit_cr(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_insn insn = {
		.kind = x->cr.op == CR_OP_WRITE ? HALO_INSN_MOV_TO_CR : HALO_INSN_MOV_FROM_CR,
		.rm = x->cr.gpr,
	};
	int len = x->insn_len;
	struct halo_arch *a;
	u64 *reg;

	if (insn.rm == CR_GPR_UNKNOWN || !len)
		len = halo_decode(vcpu, &insn);
	if (len < 0)
		return NEXT_RESUME;
	reg = &vcpu->cpu.gpr[insn.rm & 15];
	switch (insn.kind) {
	case HALO_INSN_LMSW:
		return halo_lmsw(vcpu, &insn);
	case HALO_INSN_SMSW:
		return halo_smsw(vcpu, &insn);
	case HALO_INSN_CLTS:
		a = halo_arch_get(vcpu, ARCH_CRS);
		a->cr0 &= ~(u64)X86_CR0_TS;
		halo_arch_put(vcpu, ARCH_CRS);
		return halo_skip(vcpu, len);
	case HALO_INSN_MOV_TO_CR:
		if (halo_cr_write(vcpu, x->cr.nr, halo_mov_value(vcpu, *reg)))
			return halo_gp(vcpu);
		return halo_skip(vcpu, len);
	case HALO_INSN_MOV_FROM_CR:
		*reg = halo_mov_value(vcpu, halo_cr_read(vcpu, x->cr.nr));
		return halo_skip(vcpu, len);
	default:
		return NEXT_RESUME;	/* rewritten under us */
	}
}

/**
 * halo_exit_dr() - MOV to or from a debug register
 * @vcpu: the vCPU
 *
 * Return: RESUME.
 */
enum halo_next halo_exit_dr(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_DRS | ARCH_CRS);
	unsigned int nr = x->cr.nr, i = nr < 4 ? nr : nr == 4 || nr == 6 ? 4 : 5;
	struct halo_insn insn = { .kind = HALO_INSN_MOV_TO_DR, .rm = x->cr.gpr };
	int len = x->insn_len;
	u64 value, *reg;

	if ((nr == 4 || nr == 5) && (a->cr4 & X86_CR4_DE))
		return halo_ud(vcpu);
	if (halo_cpl(vcpu))
		return halo_gp(vcpu);
	if (a->dr[5] & DR7_GD) {
		a->dr[5] &= ~(u64)DR7_GD;
		a->dr[4] |= DR6_BD;
		halo_arch_put(vcpu, ARCH_DRS);
		return halo_exception(vcpu, 1, false, 0);
	}
	if (insn.rm == CR_GPR_UNKNOWN || !len)
		len = halo_decode(vcpu, &insn);
	if (len < 0 || (insn.kind != HALO_INSN_MOV_TO_DR && insn.kind != HALO_INSN_MOV_FROM_DR))
		return NEXT_RESUME;
	reg = &vcpu->cpu.gpr[insn.rm & 15];
	if (x->cr.op == CR_OP_READ) {
		*reg = a->dr[i];
		return halo_skip(vcpu, len);
	}
	value = halo_mov_value(vcpu, *reg);
	if (i >= 4 && value >> 32)
		return halo_gp(vcpu);
	if (i == 4)
		value = (value & DR6_WRITABLE) | DR6_FIXED;
	else if (i == 5)
		value = (value & DR7_WRITABLE) | DR7_FIXED;
	a->dr[i] = value;
	halo_arch_put(vcpu, ARCH_DRS);
	return halo_skip(vcpu, len);
}

/**
 * halo_exit_xsetbv() - XSETBV
 * @vcpu: the vCPU
 *
 * Checked here, as a value that the host's CPU refuses would fault in the host.
 *
 * Return: RESUME.
 */
enum halo_next halo_exit_xsetbv(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	u64 value = (cpu->gpr[GPR_RDX] << 32) | (u32)cpu->gpr[GPR_RAX];

	if (!(halo_arch_get(vcpu, ARCH_CRS)->cr4 & X86_CR4_OSXSAVE))
		return halo_ud(vcpu);
	if (halo_cpl(vcpu) || (u32)cpu->gpr[GPR_RCX] || !halo_xcr0_valid(&vcpu->caps, value))
		return halo_gp(vcpu);
	cpu->xcr0 = value;
	return halo_skip(vcpu, cpu->exit.insn_len);
}
