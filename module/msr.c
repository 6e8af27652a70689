// SPDX-License-Identifier: GPL-2.0
/*
 * RDMSR and WRMSR, and the MSRs by number for userspace.
 *
 * Default deny: what is in no zone of the MSR bus and not in the switches below
 * is #GP(0).  No value of a guest's is ever written to a host MSR from here.
 * @host accesses (userspace's) may also set what is read-only to the guest.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include "vcpu.h"
#include "walk.h"

#define MSR_PV_WALL_CLOCK	0x4b564d00
#define MSR_PV_SYSTEM_TIME	0x4b564d01

#define MTRR_CAP_VALUE		(HALO_MTRR_VAR | BIT(8) | BIT(10))
#define MTRR_DEF_VALID		(0xffull | BIT(10) | BIT(11))
#define MISC_ENABLE_VALUE	BIT(0)		/* fast strings */
#define UCODE_REV_VALUE		0x01000065ull

/**
 * halo_msr_reset() - RESET values
 * @vcpu: the vCPU
 */
void halo_msr_reset(struct halo_vcpu *vcpu)
{
	memset(&vcpu->msr, 0, sizeof(vcpu->msr));
	vcpu->msr.misc_enable = MISC_ENABLE_VALUE;
	vcpu->msr.ucode = UCODE_REV_VALUE << (halo_be->id == HALO_BACKEND_VMX ? 32 : 0);
}

static bool halo_pat_valid(u64 pat)
{
	unsigned int i;

	for (i = 0; i < 8; i++, pat >>= 8)
		if (!(0xf3 & (1u << (pat & 7))) || (pat & 0xf8))
			return false;
	return true;
}

static bool halo_mtrr_type_valid(u8 type)
{
	return type < 8 && (0x73 & (1u << type));
}

/* Where a fixed-range MTRR is kept, or -1. */
static int halo_mtrr_fixed(u32 index)
{
	switch (index) {
	case MSR_MTRRfix64K_00000:
		return 0;
	case MSR_MTRRfix16K_80000:
		return 1;
	case MSR_MTRRfix16K_A0000:
		return 2;
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return 3 + index - MSR_MTRRfix4K_C0000;
	default:
		return -1;
	}
}

static int halo_mtrr_write(struct halo_vcpu *vcpu, u32 index, u64 value)
{
	u64 gpa = GENMASK_ULL(vcpu->caps.maxphyaddr - 1, 12);
	unsigned int i;
	int fixed;

	if (index == MSR_MTRRdefType) {
		if ((value & ~MTRR_DEF_VALID) || !halo_mtrr_type_valid(value & 0xff))
			return -EINVAL;
		vcpu->msr.mtrr_def = value;
		return 0;
	}
	fixed = halo_mtrr_fixed(index);
	if (fixed >= 0) {
		for (i = 0; i < 8; i++)
			if (!halo_mtrr_type_valid(value >> (i * 8)))
				return -EINVAL;
		vcpu->msr.mtrr_fixed[fixed] = value;
		return 0;
	}
	i = index - 0x200;
	if (i & 1) {
		if (value & ~(gpa | BIT(11)))
			return -EINVAL;
	} else if ((value & ~(gpa | 0xff)) || !halo_mtrr_type_valid(value & 0xff)) {
		return -EINVAL;
	}
	vcpu->msr.mtrr_var[i / 2][i & 1] = value;
	return 0;
}

static u64 halo_mtrr_read(struct halo_vcpu *vcpu, u32 index)
{
	int fixed = halo_mtrr_fixed(index);

	if (index == MSR_MTRRcap)
		return MTRR_CAP_VALUE;
	if (index == MSR_MTRRdefType)
		return vcpu->msr.mtrr_def;
	if (fixed >= 0)
		return vcpu->msr.mtrr_fixed[fixed];
	return vcpu->msr.mtrr_var[(index - 0x200) / 2][index & 1];
}

static bool halo_is_mtrr(u32 index)
{
	return index == MSR_MTRRcap || index == MSR_MTRRdefType || halo_mtrr_fixed(index) >= 0 ||
	       (index >= 0x200 && index < 0x200 + 2 * HALO_MTRR_VAR);
}

/* MSRs in struct halo_arch; NULL if it is another. */
static u64 *halo_msr_arch(struct halo_arch *a, u32 index)
{
	switch (index) {
	case MSR_STAR:
		return &a->star;
	case MSR_LSTAR:
		return &a->lstar;
	case MSR_CSTAR:
		return &a->cstar;
	case MSR_SYSCALL_MASK:
		return &a->sfmask;
	case MSR_KERNEL_GS_BASE:
		return &a->kernel_gs_base;
	case MSR_IA32_SYSENTER_CS:
		return &a->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &a->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &a->sysenter_eip;
	case MSR_IA32_CR_PAT:
		return &a->pat;
	default:
		return NULL;
	}
}

static int halo_msr_arch_write(struct halo_vcpu *vcpu, u32 index, u64 value)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_MSRS);
	u64 *reg = halo_msr_arch(a, index);

	switch (index) {
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_KERNEL_GS_BASE:
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		if (!halo_canonical(value, vcpu->caps.linear_bits < 48 ? 48 :
				    vcpu->caps.linear_bits))
			return -EINVAL;
		break;
	case MSR_IA32_SYSENTER_CS:
	case MSR_SYSCALL_MASK:
		value = (u32)value;
		break;
	case MSR_IA32_CR_PAT:
		if (!halo_pat_valid(value))
			return -EINVAL;
		break;
	}
	*reg = value;
	halo_arch_put(vcpu, ARCH_MSRS);
	return 0;
}

static int halo_efer_write(struct halo_vcpu *vcpu, u64 value, bool host)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS);

	if (!halo_efer_valid(vcpu, value))
		return -EINVAL;
	if (!host) {
		if (((a->efer ^ value) & EFER_LME) && (a->cr0 & X86_CR0_PG))
			return -EINVAL;
		value = (value & ~(u64)EFER_LMA) | (a->efer & EFER_LMA);
	}
	if ((a->efer ^ value) & EFER_NX)
		vcpu->cpu.flush_tlb = true;
	a->efer = value;
	halo_arch_put(vcpu, ARCH_CRS);
	return 0;
}

static int halo_base_write(struct halo_vcpu *vcpu, u32 index, u64 value)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_SEGS);

	if (!halo_canonical(value, 48))
		return -EINVAL;
	a->seg[index == MSR_FS_BASE ? SEG_FS : SEG_GS].base = value;
	halo_arch_put(vcpu, ARCH_SEGS);
	return 0;
}

/**
 * halo_msr_read() - an MSR's value
 * @vcpu: the vCPU
 * @index: its number
 * @value: where to
 * @host: userspace asks
 *
 * Return: 0, or -EINVAL if this vCPU has no such MSR.
 */
int halo_msr_read(struct halo_vcpu *vcpu, u32 index, u64 *value, bool host)
{
	struct halo_arch *a;
	u64 *reg;

	switch (index) {
	case MSR_EFER:
		*value = halo_arch_get(vcpu, ARCH_CRS)->efer;
		return 0;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		a = halo_arch_get(vcpu, ARCH_SEGS);
		*value = a->seg[index == MSR_FS_BASE ? SEG_FS : SEG_GS].base;
		return 0;
	case MSR_IA32_TSC:
		*value = halo_tsc(vcpu);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		*value = vcpu->msr.tsc_adjust;
		return vcpu->caps.has & HALO_HAS_TSC_ADJUST ? 0 : -EINVAL;
	case MSR_IA32_TSC_DEADLINE:
		*value = halo_lapic_tsc_deadline(&vcpu->lapic);
		return vcpu->caps.has & HALO_HAS_TSC_DEADLINE ? 0 : -EINVAL;
	case MSR_TSC_AUX:
		*value = vcpu->msr.tsc_aux;
		return vcpu->caps.has & (HALO_HAS_RDTSCP | HALO_HAS_RDPID) ? 0 : -EINVAL;
	case MSR_IA32_APICBASE:
		*value = vcpu->lapic.base;
		return 0;
	case 0x800 ... 0x8ff:
		return halo_lapic_msr_read(&vcpu->lapic, index, value) ? -EINVAL : 0;
	case MSR_IA32_MISC_ENABLE:
		*value = vcpu->msr.misc_enable;
		return 0;
	case MSR_IA32_UCODE_REV:
		*value = vcpu->msr.ucode;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*value = vcpu->msr.mcg_status;
		return 0;
	case MSR_K7_HWCR:
		*value = vcpu->msr.hwcr;
		return 0;
	case MSR_AMD64_DE_CFG:
		*value = MSR_AMD64_DE_CFG_LFENCE_SERIALIZE;
		return 0;
	/* Read as zero: no banks, no numbers, nothing configured. */
	case MSR_IA32_MCG_CAP:
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_P5_MC_ADDR:
	case MSR_IA32_P5_MC_TYPE:
	case MSR_AMD64_SYSCFG:
	case MSR_AMD64_NB_CFG:
	case MSR_K8_INT_PENDING_MSG:
	case MSR_K8_TSEG_ADDR:
	case MSR_K8_TSEG_MASK:
	case MSR_VM_HSAVE_PA:
	case MSR_FAM10H_MMIO_CONF_BASE:
	case MSR_AMD64_BU_CFG2:
	case MSR_AMD64_DC_CFG:
	case MSR_F15H_EX_CFG:
		*value = 0;
		return 0;
	/* AMD's four counters are in no CPUID leaf: each CPU has them. These stand still. */
	case MSR_K7_EVNTSEL0 ... MSR_K7_PERFCTR3:
		*value = 0;
		return halo_be->id == HALO_BACKEND_VMX ? -EINVAL : 0;
	case MSR_PV_SYSTEM_TIME:
		*value = vcpu->msr.pv_system_time;
		return vcpu->caps.has & HALO_HAS_PV_CLOCK ? 0 : -EINVAL;
	case MSR_PV_WALL_CLOCK:
		*value = vcpu->msr.pv_wall_clock;
		return vcpu->caps.has & HALO_HAS_PV_CLOCK ? 0 : -EINVAL;
	}
	if (halo_is_mtrr(index)) {
		*value = halo_mtrr_read(vcpu, index);
		return vcpu->caps.has & HALO_HAS_MTRR ? 0 : -EINVAL;
	}
	reg = halo_msr_arch(halo_arch_get(vcpu, ARCH_MSRS), index);
	if (!reg)
		return -EINVAL;
	*value = *reg;
	return 0;
}

/**
 * halo_msr_write() - set an MSR
 * @vcpu: the vCPU
 * @index: its number
 * @value: its value
 * @host: userspace asks
 *
 * Return: 0; -EINVAL if this vCPU has no such MSR or it refuses the value; a
 * positive number is what halo_lapic_msr_write() wants userspace to hear.
 */
int halo_msr_write(struct halo_vcpu *vcpu, u32 index, u64 value, bool host)
{
	u32 has = vcpu->caps.has;
	int ret;

	switch (index) {
	case MSR_EFER:
		return halo_efer_write(vcpu, value, host);
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		return halo_base_write(vcpu, index, value);
	case MSR_IA32_TSC:
		halo_tsc_set(vcpu, value);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		if (!(has & HALO_HAS_TSC_ADJUST))
			return -EINVAL;
		if (!host)
			halo_tsc_shift(vcpu, value - vcpu->msr.tsc_adjust);
		vcpu->msr.tsc_adjust = value;
		return 0;
	case MSR_IA32_TSC_DEADLINE:
		if (!(has & HALO_HAS_TSC_DEADLINE))
			return -EINVAL;
		halo_lapic_set_tsc_deadline(&vcpu->lapic, value);
		return 0;
	case MSR_TSC_AUX:
		if (!(has & (HALO_HAS_RDTSCP | HALO_HAS_RDPID)) || value >> 32)
			return -EINVAL;
		preempt_disable();
		vcpu->msr.tsc_aux = value;
		if (vcpu->loaded)
			halo_host_tsc_aux_load(value);
		preempt_enable();
		return 0;
	case MSR_IA32_APICBASE:
		return halo_lapic_set_base(&vcpu->lapic, value, host);
	case 0x800 ... 0x8ff:
		ret = halo_lapic_msr_write(&vcpu->lapic, index, value);
		return ret < 0 ? -EINVAL : host ? 0 : ret;
	case MSR_IA32_MISC_ENABLE:
		vcpu->msr.misc_enable = value;
		return 0;
	case MSR_IA32_UCODE_REV:
		if (host)
			vcpu->msr.ucode = value;
		return 0;
	case MSR_IA32_MCG_STATUS:
		vcpu->msr.mcg_status = value;
		return 0;
	case MSR_K7_HWCR:
		/* TscFreqSel may be set; the erratum and cache bits mean nothing here. */
		value &= ~0x100ull & ~0x40ull & ~0x8ull;
		if (value & ~(u64)BIT(24))
			return -EINVAL;
		vcpu->msr.hwcr = value;
		return 0;
	case MSR_AMD64_DE_CFG:
		return value & ~(u64)MSR_AMD64_DE_CFG_LFENCE_SERIALIZE ? -EINVAL : 0;
	case MSR_AMD64_SYSCFG:
	case MSR_AMD64_NB_CFG:
	case MSR_AMD64_PATCH_LOADER:
	case MSR_AMD64_BU_CFG2:
	case MSR_AMD64_DC_CFG:
	case MSR_IA32_P5_MC_ADDR:
	case MSR_IA32_P5_MC_TYPE:
		return 0;
	case MSR_K7_EVNTSEL0 ... MSR_K7_PERFCTR3:
		return halo_be->id == HALO_BACKEND_VMX ? -EINVAL : 0;
	case MSR_PV_SYSTEM_TIME:
		return has & HALO_HAS_PV_CLOCK ? halo_clock_system_time(vcpu, value) : -EINVAL;
	case MSR_PV_WALL_CLOCK:
		return has & HALO_HAS_PV_CLOCK ? halo_clock_wall(vcpu, value) : -EINVAL;
	}
	if (halo_is_mtrr(index)) {
		if (!(has & HALO_HAS_MTRR) || index == MSR_MTRRcap)
			return -EINVAL;
		return halo_mtrr_write(vcpu, index, value);
	}
	if (halo_msr_arch(&vcpu->cpu.arch, index))
		return halo_msr_arch_write(vcpu, index, value);
	return -EINVAL;
}

/* The zone of an MSR, copied out of the table. */
static bool halo_msr_zone(struct halo_vcpu *vcpu, u32 index, struct halo_zone_desc *out)
{
	const struct halo_zone_table *table;
	const struct halo_zone_desc *zone = NULL;

	rcu_read_lock();
	table = rcu_dereference(vcpu->vm->zones);
	if (table)
		zone = halo_zone_find(table, HALO_BUS_MSR, index, 1);
	if (zone)
		*out = *zone;
	rcu_read_unlock();
	return zone;
}

static enum halo_next halo_msr_forward(struct halo_vcpu *vcpu, u32 index, int len, u64 cookie,
				       bool write)
{
	vcpu->exit.addr = index;
	vcpu->exit.size = 8;
	vcpu->exit.insn_len = len;
	vcpu->exit.cookie = cookie;
	vcpu->pending.insn_len = len;
	if (!write)
		return halo_forward(vcpu, HALO_EXIT_MSR, PEND_RDMSR);
	vcpu->exit.flags = HALO_EXIT_F_WRITE;
	vcpu->exit.data = (vcpu->cpu.gpr[GPR_RDX] << 32) | (u32)vcpu->cpu.gpr[GPR_RAX];
	return halo_forward(vcpu, HALO_EXIT_MSR, PEND_WRMSR);
}

/**
 * halo_exit_rdmsr() - RDMSR
 * @vcpu: the vCPU
 *
 * Return: FORWARD if a zone says so, else RESUME.
 */
enum halo_next halo_exit_rdmsr(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	u32 index = cpu->gpr[GPR_RCX];
	struct halo_zone_desc zone;
	u64 value = 0;
	int len;

	vcpu->count.msr++;
	len = halo_insn_length(vcpu, HALO_INSN_RDMSR);
	if (len < 0)
		return NEXT_RESUME;
	if (halo_msr_zone(vcpu, index, &zone)) {
		if (zone.mode == HALO_ZONE_SYNC)
			return halo_msr_forward(vcpu, index, len, zone.cookie, false);
		if (zone.mode != HALO_ZONE_CONST)
			goto gp;
		value = zone.match;
	} else if (halo_msr_read(vcpu, index, &value, false)) {
		goto gp;
	}
	cpu->gpr[GPR_RAX] = (u32)value;
	cpu->gpr[GPR_RDX] = value >> 32;
	halo_skip(vcpu, len);
	return NEXT_RESUME;
gp:
	halo_gp(vcpu);
	return NEXT_RESUME;
}

/**
 * halo_exit_wrmsr() - WRMSR
 * @vcpu: the vCPU
 *
 * Return: FORWARD if a zone says so or an EOI is to be told, else RESUME.
 */
enum halo_next halo_exit_wrmsr(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	u32 index = cpu->gpr[GPR_RCX];
	struct halo_zone_desc zone;
	u64 value = (cpu->gpr[GPR_RDX] << 32) | (u32)cpu->gpr[GPR_RAX];
	int len, ret = 0;

	vcpu->count.msr++;
	len = halo_insn_length(vcpu, HALO_INSN_WRMSR);
	if (len < 0)
		return NEXT_RESUME;
	if (halo_msr_zone(vcpu, index, &zone)) {
		if (zone.mode == HALO_ZONE_SYNC)
			return halo_msr_forward(vcpu, index, len, zone.cookie, true);
		if (zone.mode != HALO_ZONE_CONST)
			ret = -EINVAL;
	} else {
		ret = halo_msr_write(vcpu, index, value, false);
	}
	if (ret < 0) {
		halo_gp(vcpu);
		return NEXT_RESUME;
	}
	halo_skip(vcpu, len);
	return halo_forward_eoi(vcpu, ret);
}
