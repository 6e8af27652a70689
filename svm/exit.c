// SPDX-License-Identifier: GPL-2.0
/*
 * From the VMCB's exit code (APM volume 2, appendix C) to struct halo_hwexit.
 *
 * A translation and nothing else: what to do about an exit is the core's.
 * Works with and without NRIPS and decode assists: what the CPU does not tell
 * is left at "not told", and the core fetches and decodes the instruction.
 */
#include <asm/processor-flags.h>
#include "svm.h"

static void svm_decode_io(struct halo_hwexit *x, const struct svm_vmcb *v, u64 rip)
{
	u32 info = v->exit_info1;

	x->reason = HW_PIO;
	x->io.port = info >> 16;
	x->io.in = info & SVM_IO_IN;
	x->io.string = info & SVM_IO_STRING;
	x->io.rep = info & SVM_IO_REP;
	x->io.size = (info >> 4) & 7;
	x->io.addr_size = ((info >> 7) & 7) * 2;
	/* EXITINFO2 is the next RIP on every SVM CPU (15.10.2). */
	x->insn_len = v->exit_info2 - rip;
}

static void svm_decode_npf(struct halo_hwexit *x, const struct svm_vmcb *v)
{
	x->reason = HW_MEMORY;
	x->mem.gpa = v->exit_info2;
	x->mem.write = v->exit_info1 & SVM_NPF_WRITE;
	x->mem.exec = v->exit_info1 & SVM_NPF_EXEC;
	x->mem.walk = v->exit_info1 & SVM_NPF_WALK;
	if (svm_caps.decode_assists && v->insn_len) {
		x->insn_avail = min_t(u8, v->insn_len, sizeof(x->insn));
		memcpy(x->insn, v->insn, sizeof(x->insn));
	}
}

static void svm_decode_cr(struct halo_hwexit *x, const struct svm_vmcb *v, u8 nr, bool write)
{
	x->reason = HW_CR;
	x->cr.nr = nr;
	x->cr.op = write ? CR_OP_WRITE : CR_OP_READ;
	x->cr.gpr = CR_GPR_UNKNOWN;
	if (svm_caps.decode_assists && (v->exit_info1 & SVM_CR_INFO_MOV))
		x->cr.gpr = v->exit_info1 & 0xf;
}

static void svm_decode_exception(struct halo_cpu *cpu, const struct svm_vmcb *v, u8 vector)
{
	struct halo_hwexit *x = &cpu->exit;

	if (vector == 18) {
		x->reason = HW_MACHINE_CHECK;
		return;
	}
	x->reason = HW_EXCEPTION;
	x->exc.vector = vector;
	x->exc.has_error = vector == 17;
	x->exc.error = v->exit_info1;
	/* The CPU has put the cause of a #DB into the guest's DR6 itself. */
	x->exc.qual = 0;
}

static u8 svm_reason_plain(u32 code)
{
	switch (code) {
	case SVM_INTR:
	case SVM_SMI:
		return HW_INTR;
	case SVM_NMI:
		return HW_NMI;
	case SVM_INIT:
		return HW_INIT;
	case SVM_VINTR:
		return HW_INTR_WINDOW;
	case SVM_CPUID:
		return HW_CPUID;
	case SVM_HLT:
		return HW_HLT;
	case SVM_PAUSE:
		return HW_PAUSE;
	case SVM_VMMCALL:
		return HW_HYPERCALL;
	case SVM_XSETBV:
		return HW_XSETBV;
	case SVM_INVD:
	case SVM_WBINVD:
		return HW_WBINVD;
	case SVM_RDPMC:
		return HW_RDPMC;
	case SVM_SHUTDOWN:
		return HW_SHUTDOWN;
	case SVM_RSM:
	case SVM_INVLPGA:
	case SVM_VMRUN:
	case SVM_VMLOAD:
	case SVM_VMSAVE:
	case SVM_STGI:
	case SVM_CLGI:
	case SVM_SKINIT:
	case SVM_MONITOR:
	case SVM_MWAIT:
	case SVM_MWAIT_ARMED:
	case SVM_RDPRU:
	case SVM_INVLPGB:
	case SVM_INVLPGB_ILLEGAL:
	case SVM_MCOMMIT:
	case SVM_TLBSYNC:
		return HW_UNDEFINED;
	default:
		return HW_UNKNOWN;
	}
}

/**
 * svm_exit_decode() - fill in cpu->exit
 * @cpu: the vCPU, just out of the guest
 */
void svm_exit_decode(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);
	const struct svm_vmcb *v = svm->vmcb;
	struct halo_hwexit *x = &cpu->exit;
	u32 code = v->exit_code;

	x->insn_avail = 0;
	x->insn_len = 0;
	if (svm_caps.nrips && v->next_rip - cpu->rip <= sizeof(x->insn))
		x->insn_len = v->next_rip - cpu->rip;

	switch (code) {
	case SVM_CR_READ ... SVM_CR_READ + 15:
		svm_decode_cr(x, v, code - SVM_CR_READ, false);
		break;
	case SVM_CR_WRITE ... SVM_CR_WRITE + 15:
		svm_decode_cr(x, v, code - SVM_CR_WRITE, true);
		break;
	case SVM_CR0_SEL_WRITE:
		svm_decode_cr(x, v, 0, true);
		break;
	case SVM_DR_READ ... SVM_DR_READ + 15:
	case SVM_DR_WRITE ... SVM_DR_WRITE + 15:
		x->reason = HW_DR;
		x->cr.nr = code & 0xf;
		x->cr.op = code >= SVM_DR_WRITE ? CR_OP_WRITE : CR_OP_READ;
		x->cr.gpr = svm_caps.decode_assists ? v->exit_info1 & 0xf : CR_GPR_UNKNOWN;
		break;
	case SVM_EXCEPTION ... SVM_EXCEPTION + 31:
		svm_decode_exception(cpu, v, code - SVM_EXCEPTION);
		break;
	case SVM_IOIO:
		svm_decode_io(x, v, cpu->rip);
		break;
	case SVM_MSR:
		x->reason = v->exit_info1 & 1 ? HW_WRMSR : HW_RDMSR;
		break;
	case SVM_NPF:
		svm_decode_npf(x, v);
		break;
	case SVM_IRET:
		svm->iret_seen = true;
		svm->iret_rip = cpu->rip;
		x->reason = HW_NONE;
		break;
	case SVM_INVALID:
		x->reason = HW_ENTRY_FAILED;
		x->raw.code = v->exit_code;
		x->raw.info1 = v->exit_info1;
		x->raw.info2 = v->exit_info2;
		break;
	default:
		x->reason = svm_reason_plain(code);
		if (x->reason == HW_UNKNOWN) {
			x->raw.code = v->exit_code;
			x->raw.info1 = v->exit_info1;
			x->raw.info2 = v->exit_info2;
		}
	}
}
