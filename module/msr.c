// SPDX-License-Identifier: GPL-2.0
/*
 * RDMSR and WRMSR, and the MSRs by number for userspace.
 *
 * Default deny: what is in no zone of the MSR bus and not in the table below is
 * #GP(0).  No value of a guest's is ever written to a host MSR from here.  @host
 * accesses (userspace's) may also set what is read-only to the guest.
 *
 * A row tells where an MSR's value is kept and how a write is judged; what a write
 * does beyond that is halo_msr_set()'s.  The LAPIC's registers and what counts
 * with the TSC come before the table, as guests use them all the time.
 */
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include "vcpu.h"

#define MSR_PV_WALL_CLOCK	0x4b564d00
#define MSR_PV_SYSTEM_TIME	0x4b564d01
#define MSR_PV_STEAL_TIME	0x4b564d03
#define MSR_PV_EOI		0x4b564d04
#define MSR_PV_POLL		0x4b564d05

#define MTRR_TYPES		0x73		/* UC WC WT WP WB */
#define PAT_TYPES		0xf3		/* and UC- */
#define MISC_ENABLE_VALUE	BIT(0)		/* fast strings */
#define UCODE_REV_VALUE		0x01000065ull

/* What a write does; where the row names a place, the value is then kept there. */
enum halo_msr_how {
	W_NONE,		/* #GP(0) */
	W_ONLY,		/* a read is #GP(0), a write is dropped */
	W_ANY,
	W_LOW,		/* bits 31:0 */
	W_BITS,		/* no bits but those of .value */
	W_CANONICAL,
	W_TYPES,		/* eight memory types of those in .value */
	W_MTRR_DEF,
	W_MTRR_VAR,
	W_HOST,		/* the guest's is dropped */
	W_HWCR,
	W_EFER,
	W_TSC_AUX,
	/* From here on: halo_msr_late() */
	W_TSC_ADJUST,
	W_APIC_BASE,
	W_PV_TIME,
	W_PV_WALL,
	W_PV_STEAL,
	W_PV_EOI,
};

/* Where it is kept: an u64 of the vCPU; count - 1 more follow it. */
#define AT(field)	offsetof(struct halo_vcpu, field)

/**
 * struct halo_msr - some MSRs with consecutive numbers
 * @first: the lowest
 * @count: how many
 * @how: enum halo_msr_how
 * @at: AT() the first one's value, 0 = not kept: they read as @value
 * @group: ARCH_* if it belongs to the backend's registers
 * @value: see @how and @at
 * @has: HALO_HAS_*: there only if the vCPU has one of these; 0 = always
 * @backend: HALO_BACKEND_*: there only on such CPUs; 0 = on all
 */
struct halo_msr {
	u32 first;
	u8 count;
	u8 how;
	u16 at;
	u32 group;
	u64 value;
	u32 has;
	u32 backend;
};

static_assert(sizeof(struct halo_vcpu) <= U16_MAX);

static const struct halo_msr halo_msrs[] = {
	{ MSR_IA32_APICBASE, 1, W_APIC_BASE, AT(lapic.base) },
	{ MSR_EFER, 1, W_EFER, AT(cpu.arch.efer), ARCH_CRS },
	{ MSR_FS_BASE, 1, W_CANONICAL, AT(cpu.arch.seg[SEG_FS].base), ARCH_SEGS },
	{ MSR_GS_BASE, 1, W_CANONICAL, AT(cpu.arch.seg[SEG_GS].base), ARCH_SEGS },
	{ MSR_KERNEL_GS_BASE, 1, W_CANONICAL, AT(cpu.arch.kernel_gs_base), ARCH_MSRS },
	{ MSR_STAR, 1, W_ANY, AT(cpu.arch.star), ARCH_MSRS },
	{ MSR_LSTAR, 1, W_CANONICAL, AT(cpu.arch.lstar), ARCH_MSRS },
	{ MSR_CSTAR, 1, W_CANONICAL, AT(cpu.arch.cstar), ARCH_MSRS },
	{ MSR_SYSCALL_MASK, 1, W_LOW, AT(cpu.arch.sfmask), ARCH_MSRS },
	{ MSR_IA32_SYSENTER_CS, 1, W_LOW, AT(cpu.arch.sysenter_cs), ARCH_MSRS },
	{ MSR_IA32_SYSENTER_ESP, 1, W_CANONICAL, AT(cpu.arch.sysenter_esp), ARCH_MSRS },
	{ MSR_IA32_SYSENTER_EIP, 1, W_CANONICAL, AT(cpu.arch.sysenter_eip), ARCH_MSRS },
	{ MSR_IA32_CR_PAT, 1, W_TYPES, AT(cpu.arch.pat), ARCH_MSRS, PAT_TYPES },
	{ MSR_IA32_TSC_ADJUST, 1, W_TSC_ADJUST, AT(msr.tsc_adjust), 0, 0, HALO_HAS_TSC_ADJUST },
	{ MSR_TSC_AUX, 1, W_TSC_AUX, AT(msr.tsc_aux), 0, 0, HALO_HAS_RDTSCP | HALO_HAS_RDPID },
	{ MSR_PV_SYSTEM_TIME, 1, W_PV_TIME, AT(msr.pv_system_time), 0, 0, HALO_HAS_PV_CLOCK },
	{ MSR_PV_WALL_CLOCK, 1, W_PV_WALL, AT(msr.pv_wall_clock), 0, 0, HALO_HAS_PV_CLOCK },
	{ MSR_PV_STEAL_TIME, 1, W_PV_STEAL, AT(msr.pv_steal), 0, 0, HALO_HAS_PV_STEAL },
	{ MSR_PV_EOI, 1, W_PV_EOI, AT(msr.pv_eoi), 0, 0, HALO_HAS_PV_EOI },
	{ MSR_PV_POLL, 1, W_BITS, AT(msr.pv_poll), 0, 1, HALO_HAS_PV_POLL },
	/* kept, and without effect under nested paging */
	{ MSR_MTRRcap, 1, W_NONE, 0, 0, HALO_MTRR_VAR | BIT(8) | BIT(10), HALO_HAS_MTRR },
	{ MSR_MTRRdefType, 1, W_MTRR_DEF, AT(msr.mtrr_def), 0, 0, HALO_HAS_MTRR },
	{ 0x200, 2 * HALO_MTRR_VAR, W_MTRR_VAR, AT(msr.mtrr_var), 0, 0, HALO_HAS_MTRR },
	{ MSR_MTRRfix64K_00000, 1, W_TYPES, AT(msr.mtrr_fixed[0]), 0, MTRR_TYPES, HALO_HAS_MTRR },
	{ MSR_MTRRfix16K_80000, 2, W_TYPES, AT(msr.mtrr_fixed[1]), 0, MTRR_TYPES, HALO_HAS_MTRR },
	{ MSR_MTRRfix4K_C0000, 8, W_TYPES, AT(msr.mtrr_fixed[3]), 0, MTRR_TYPES, HALO_HAS_MTRR },
	{ MSR_IA32_MISC_ENABLE, 1, W_ANY, AT(msr.misc_enable) },
	{ MSR_IA32_UCODE_REV, 1, W_HOST, AT(msr.ucode) },
	{ MSR_IA32_MCG_STATUS, 1, W_ANY, AT(msr.mcg_status) },
	/* zeros: no banks, no numbers, nothing configured */
	{ MSR_IA32_P5_MC_ADDR, 2, W_ANY },
	{ MSR_IA32_MCG_CAP, 1, W_NONE },
	{ MSR_IA32_PLATFORM_ID, 1, W_NONE },
	/* AMD's, harmless elsewhere */
	{ MSR_K7_HWCR, 1, W_HWCR, AT(msr.hwcr) },
	{ MSR_AMD64_DE_CFG, 1, W_BITS, 0, 0, MSR_AMD64_DE_CFG_LFENCE_SERIALIZE },
	{ MSR_AMD64_PATCH_LOADER, 1, W_ONLY },
	{ MSR_AMD64_SYSCFG, 1, W_ANY },
	{ MSR_AMD64_NB_CFG, 1, W_ANY },
	{ MSR_AMD64_BU_CFG2, 1, W_ANY },
	{ MSR_AMD64_DC_CFG, 1, W_ANY },
	{ MSR_K8_INT_PENDING_MSG, 1, W_NONE },
	{ MSR_K8_TSEG_ADDR, 2, W_NONE },
	{ MSR_VM_HSAVE_PA, 1, W_NONE },
	{ MSR_FAM10H_MMIO_CONF_BASE, 1, W_NONE },
	{ MSR_F15H_EX_CFG, 1, W_NONE },
	/* AMD's four counters are in no CPUID leaf: each CPU has them. These stand still. */
	{ MSR_K7_EVNTSEL0, 8, W_ANY, .backend = HALO_BACKEND_SVM },
};

static_assert(MSR_K7_EVNTSEL0 + 7 == MSR_K7_PERFCTR3);
static_assert(MSR_K8_TSEG_ADDR + 1 == MSR_K8_TSEG_MASK);
static_assert(MSR_IA32_P5_MC_ADDR + 1 == MSR_IA32_P5_MC_TYPE);

/**
 * halo_msr_reset() - RESET values
 * @vcpu: the vCPU
 */
void halo_msr_reset(struct halo_vcpu *vcpu)
{
	memset(&vcpu->msr, 0, sizeof(vcpu->msr));
	vcpu->msr.misc_enable = MISC_ENABLE_VALUE;
	vcpu->msr.pv_poll = 1;
	vcpu->msr.ucode = UCODE_REV_VALUE << (halo_be->id == HALO_BACKEND_VMX ? 32 : 0);
}

/* Where in the table MSRs of some numbers were found; may be wrong, is never out of it. */
static u8 halo_msr_hint[256];

static noinline const struct halo_msr *halo_msr_search(u32 index, u8 *hint)
{
	const struct halo_msr *m;

	for (m = halo_msrs; m < halo_msrs + ARRAY_SIZE(halo_msrs); m++) {
		if (index - m->first < m->count) {
			WRITE_ONCE(*hint, m - halo_msrs);
			return m;
		}
	}
	return NULL;
}

static __always_inline const struct halo_msr *halo_msr_find(const struct halo_vcpu *vcpu,
							    u32 index)
{
	u8 *hint = &halo_msr_hint[(index ^ index >> 8) & 0xff];
	const struct halo_msr *m = &halo_msrs[READ_ONCE(*hint)];

	if (unlikely(index - m->first >= m->count))
		m = halo_msr_search(index, hint);
	if (!m || (m->has && !(vcpu->caps.has & m->has)) ||
	    (m->backend && m->backend != halo_be->id))
		return NULL;
	return m;
}

/* Where the value of a row's MSR is, NULL if nowhere. */
static __always_inline u64 *halo_msr_place(struct halo_vcpu *vcpu, const struct halo_msr *m,
					   u32 index)
{
	if (!m->at)
		return NULL;
	if (m->group)
		halo_arch_get(vcpu, m->group);
	return (u64 *)((u8 *)vcpu + m->at) + array_index_nospec(index - m->first, m->count);
}

/* The lowest @bytes of @value: memory types of those in @types? */
static bool halo_types_valid(u64 value, unsigned int bytes, u8 types)
{
	for (; bytes; bytes--, value >>= 8)
		if ((value & 0xf8) || !(types & (1u << (value & 7))))
			return false;
	return true;
}

static bool halo_mtrr_var_valid(struct halo_vcpu *vcpu, bool mask, u64 value)
{
	u64 gpa = GENMASK_ULL(vcpu->caps.maxphyaddr - 1, 12);

	if (mask)
		return !(value & ~(gpa | BIT(11)));
	return !(value & ~(gpa | 0xff)) && halo_types_valid(value, 1, MTRR_TYPES);
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

static int halo_tsc_aux_write(struct halo_vcpu *vcpu, u64 value)
{
	if (value >> 32)
		return -EINVAL;
	preempt_disable();
	vcpu->msr.tsc_aux = value;
	if (vcpu->loaded)
		halo_host_msr_load(HOST_MSR_TSC_AUX, value);
	preempt_enable();
	return 0;
}

static int halo_msr_set(struct halo_vcpu *vcpu, const struct halo_msr *m, u32 index, u64 value,
			bool host)
{
	bool valid = true;
	u64 *place;

	switch (m->how) {
	case W_NONE:
		return -EINVAL;
	case W_LOW:
		value = (u32)value;
		break;
	case W_BITS:
		valid = !(value & ~m->value);
		break;
	case W_CANONICAL:
		valid = halo_canonical(value, HALO_LINEAR_BITS);
		break;
	case W_TYPES:
		valid = halo_types_valid(value, 8, m->value);
		break;
	case W_MTRR_DEF:
		valid = !(value & ~(0xffull | BIT(10) | BIT(11))) &&
			halo_types_valid(value, 1, MTRR_TYPES);
		break;
	case W_MTRR_VAR:
		valid = halo_mtrr_var_valid(vcpu, index & 1, value);
		break;
	case W_HOST:
		if (!host)
			return 0;
		break;
	case W_HWCR:
		/* TscFreqSel may be set; the erratum and cache bits mean nothing here. */
		value &= ~0x100ull & ~0x40ull & ~0x8ull;
		valid = !(value & ~(u64)BIT(24));
		break;
	case W_EFER:
		return halo_efer_write(vcpu, value, host);
	case W_APIC_BASE:
		if (!host && (value & HALO_APIC_BASE_X2APIC) &&
		    !(vcpu->caps.has & HALO_HAS_X2APIC))
			return -EINVAL;
		return halo_lapic_set_base(&vcpu->lapic, value, host);
	case W_TSC_ADJUST:
		if (!host)
			halo_tsc_shift(vcpu, value - vcpu->msr.tsc_adjust);
		break;
	case W_TSC_AUX:
		return halo_tsc_aux_write(vcpu, value);
	case W_PV_TIME:
		return halo_clock_system_time(vcpu, value);
	case W_PV_WALL:
		return halo_clock_wall(vcpu, value);
	case W_PV_STEAL:
		return halo_pv_steal_set(vcpu, value);
	case W_PV_EOI:
		return halo_pv_eoi_set(vcpu, value);
	}
	if (!valid)
		return -EINVAL;
	place = halo_msr_place(vcpu, m, index);
	if (place)
		*place = value;
	if (m->group)
		halo_arch_put(vcpu, m->group);
	return 0;
}

/**
 * halo_msr_read() - an MSR's value
 * @vcpu: the vCPU
 * @index: its number
 * @value: where to
 *
 * Return: 0, or -EINVAL if this vCPU has no such MSR.
 */
int halo_msr_read(struct halo_vcpu *vcpu, u32 index, u64 *value)
{
	const struct halo_msr *m;
	const u64 *place;

	switch (index) {
	case 0x800 ... 0x8ff:
		return halo_lapic_msr_read(&vcpu->lapic, index, value);
	case MSR_IA32_TSC:
		*value = halo_tsc(vcpu);
		return 0;
	case MSR_IA32_TSC_DEADLINE:
		*value = halo_lapic_tsc_deadline(&vcpu->lapic);
		return vcpu->caps.has & HALO_HAS_TSC_DEADLINE ? 0 : -EINVAL;
	}
	m = halo_msr_find(vcpu, index);
	if (!m || m->how == W_ONLY)
		return -EINVAL;
	place = halo_msr_place(vcpu, m, index);
	*value = place ? *place : m->value;
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
	const struct halo_msr *m;
	int ret;

	switch (index) {
	case 0x800 ... 0x8ff:
		ret = halo_lapic_msr_write(&vcpu->lapic, index, value);
		return host ? min(ret, 0) : ret;
	case MSR_IA32_TSC:
		halo_tsc_set(vcpu, value);
		return 0;
	case MSR_IA32_TSC_DEADLINE:
		if (!(vcpu->caps.has & HALO_HAS_TSC_DEADLINE))
			return -EINVAL;
		halo_lapic_set_tsc_deadline(&vcpu->lapic, value);
		return 0;
	}
	m = halo_msr_find(vcpu, index);
	return m ? halo_msr_set(vcpu, m, index, value, host) : -EINVAL;
}

static void halo_msr_result(struct halo_vcpu *vcpu, u64 value)
{
	vcpu->cpu.gpr[GPR_RAX] = (u32)value;
	vcpu->cpu.gpr[GPR_RDX] = value >> 32;
}

static u64 halo_msr_operand(const struct halo_vcpu *vcpu)
{
	return (vcpu->cpu.gpr[GPR_RDX] << 32) | (u32)vcpu->cpu.gpr[GPR_RAX];
}

/* RDMSR or WRMSR of one that is in no zone. FORWARD if an EOI is to be told. */
static enum halo_next halo_msr_own(struct halo_vcpu *vcpu, u32 index, bool write, int len)
{
	u64 value = halo_msr_operand(vcpu);
	int ret;

	ret = write ? halo_msr_write(vcpu, index, value, false) :
		      halo_msr_read(vcpu, index, &value);
	if (ret < 0)
		return halo_gp(vcpu);
	if (!write)
		halo_msr_result(vcpu, value);
	halo_skip(vcpu, len);
	return halo_forward_eoi(vcpu, ret);
}

/**
 * halo_exit_msr() - RDMSR or WRMSR
 * @vcpu: the vCPU
 * @write: which
 *
 * Return: FORWARD if a zone says so or an EOI is to be told, else RESUME; STOP during a
 * stay, if the MSR's zone has just gone.
 */
enum halo_next halo_exit_msr(struct halo_vcpu *vcpu, bool write)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	struct halo_access a = {
		.bus = HALO_BUS_MSR,
		.addr = (u32)cpu->gpr[GPR_RCX],
		.size = 8,
		.write = write,
		.insn_len = cpu->exit.insn_len,
	};

	if (write)
		a.value = halo_msr_operand(vcpu);
	switch (halo_access(vcpu, &a)) {
	case ACCESS_DONE:
		if (!write)
			halo_msr_result(vcpu, a.value);
		return halo_skip(vcpu, a.insn_len);
	case ACCESS_ASK:
		vcpu->pending.insn_len = a.insn_len;
		return halo_ask(vcpu, &a, write ? PEND_WRMSR : PEND_RDMSR);
	case ACCESS_NONE:
		return vcpu->staying ? NEXT_STOP :
				       halo_msr_own(vcpu, a.addr, write, a.insn_len);
	default:
		return halo_gp(vcpu);
	}
}

/* Does a write concern others, or guest memory, which may have to be got? */
static bool halo_msr_late(const struct halo_vcpu *vcpu, const struct halo_msr *m)
{
	if (m && m->how != W_TSC_ADJUST)
		return m->how > W_TSC_ADJUST;
	/* With the TSC goes the record of the time. */
	return vcpu->msr.pv_system_time & 1;
}

static enum halo_stay halo_stay_msr_lapic(struct halo_vcpu *vcpu, u32 index, bool write, int len)
{
	enum halo_stay answer;

	if (index != MSR_IA32_TSC_DEADLINE && !halo_stay_lapic(vcpu))
		return STAY_NOT;
	vcpu->lapic.stale |= vcpu->cpu.virt_intr;
	answer = halo_stay_next(vcpu, halo_msr_own(vcpu, index, write, len));
	return write ? halo_stay_interrupts(vcpu, answer) : answer;
}

/**
 * halo_stay_msr() - RDMSR or WRMSR during a stay
 * @vcpu: the vCPU
 * @write: which
 * @len: length of the instruction
 *
 * Return: what became of it.
 */
enum halo_stay halo_stay_msr(struct halo_vcpu *vcpu, bool write, int len)
{
	u32 index = vcpu->cpu.gpr[GPR_RCX];
	const struct halo_msr *m;
	enum halo_stay answer;
	const u64 *place;

	vcpu->cpu.exit.insn_len = len;
	if (unlikely(!halo_no_zone(vcpu, HALO_BUS_MSR, index)))
		return halo_stay_next(vcpu, halo_exit_msr(vcpu, write));
	if (index - 0x800 < 0x100 || index == MSR_IA32_TSC_DEADLINE)
		return halo_stay_msr_lapic(vcpu, index, write, len);
	m = halo_msr_find(vcpu, index);
	if (write && halo_msr_late(vcpu, m))
		return STAY_NOT;
	/* The TSC, or none. */
	if (unlikely(!m))
		return halo_stay_next(vcpu, halo_msr_own(vcpu, index, write, len));
	if (!write) {
		if (m->how == W_ONLY)
			return halo_stay_next(vcpu, halo_gp(vcpu));
		place = halo_msr_place(vcpu, m, index);
		halo_msr_result(vcpu, place ? *place : m->value);
		return halo_stay_skip(vcpu, len);
	}
	if (halo_msr_set(vcpu, m, index, halo_msr_operand(vcpu), false))
		return halo_stay_next(vcpu, halo_gp(vcpu));
	answer = halo_stay_skip(vcpu, len);
	return vcpu->cpu.arch.dirty ? STAY_OVER : answer;
}
