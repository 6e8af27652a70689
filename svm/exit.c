// SPDX-License-Identifier: GPL-2.0
/*
 * From the VMCB's exit code (APM volume 2, appendix C) to struct halo_hwexit.
 *
 * A translation and nothing else: what to do about an exit is the core's.
 * Works with and without NRIPS and decode assists: what the CPU does not tell
 * is left at "not told", and the core fetches and decodes the instruction.
 */
#include <asm/processor-flags.h>
#include "host.h"
#include "svm.h"

/*
 * Let through: CR2, CR3 and CR4 reads, CR8 reads (virtual TPR), INVLPG, INVPCID,
 *   descriptor-table instructions, PUSHF, POPF, INT n, task switches: nested
 *   paging makes them the guest's own business and the CPU does them right.
 *   RDTSC, RDTSCP: the CPU adds the offset.  PAUSE, where it is not counted.
 * Take: everything below, as what is said, for the reason beside it.
 */
const u8 svm_take[SVM_INTERCEPTS] = {
	[SVM_CR0_SEL_WRITE] = HW_CR | SVM_MORE,	/* CD and NW must not reach the host's caches */
	[SVM_CR_WRITE + 4] = HW_CR | SVM_MORE,		/* OSXSAVE changes whose XCR0 is loaded */
	[SVM_CR_WRITE + 8] = HW_CR | SVM_MORE,		/* TPR decides which interrupt is next */
	[SVM_DR_READ ... SVM_DR_WRITE + 15] = HW_DR | SVM_MORE, /* only DR6 and DR7 are switched */
	[SVM_EXCEPTION + 1] = HW_EXCEPTION | SVM_MORE,	/* #DB can loop for ever in the CPU */
	[SVM_EXCEPTION + 6] = HW_EXCEPTION | SVM_MORE,	/* #UD: VMCALL on AMD */
	[SVM_EXCEPTION + 17] = HW_EXCEPTION | SVM_MORE,	/* #AC can loop for ever in the CPU */
	[SVM_EXCEPTION + 18] = HW_MACHINE_CHECK | SVM_MORE,	/* the host's */
	[SVM_INTR] = HW_INTR, [SVM_SMI] = HW_INTR,	/* the host's */
	[SVM_NMI] = HW_NMI, [SVM_INIT] = HW_INIT,	/* the host's */
	[SVM_CPUID] = HW_CPUID,			/* the table decides */
	[SVM_INVD] = HW_WBINVD, [SVM_WBINVD] = HW_WBINVD, /* would lose or flush the host's cache */
	[SVM_PAUSE] = HW_PAUSE,			/* who spins helps others */
	[SVM_HLT] = HW_HLT,			/* would stop the host's CPU */
	[SVM_IOIO] = HW_PIO | SVM_MORE,			/* devices */
	[SVM_MSR] = HW_RDMSR,			/* the bitmap; or HW_WRMSR */
	[SVM_RDPMC] = HW_RDPMC,			/* the host's counters */
	[SVM_SHUTDOWN] = HW_SHUTDOWN,		/* would reset the machine */
	[SVM_FERR_FREEZE] = HW_UNKNOWN | SVM_MORE,	/* would wait for the host's IGNNE */
	[SVM_RSM] = HW_UNDEFINED,		/* there is no SMM */
	[SVM_INVLPGA] = HW_UNDEFINED,		/* no nesting */
	[SVM_VMRUN] = HW_UNDEFINED,		/* no nesting */
	[SVM_VMMCALL] = HW_HYPERCALL,
	[SVM_VMLOAD ... SVM_VMSAVE] = HW_UNDEFINED,	/* reach host-physical memory */
	[SVM_STGI ... SVM_CLGI] = HW_UNDEFINED,	/* would hold off host NMIs */
	[SVM_SKINIT] = HW_UNDEFINED,		/* would reset the machine */
	[SVM_MONITOR ... SVM_MWAIT_ARMED] = HW_UNDEFINED, /* would stop the host's CPU; hidden */
	[SVM_XSETBV] = HW_XSETBV,		/* must be checked: #GP in the host else */
	[SVM_RDPRU] = HW_UNDEFINED,		/* hidden */
	[SVM_INVLPGB ... SVM_INVLPGB_ILLEGAL] = HW_UNDEFINED,	/* broadcast to the host */
	[SVM_MCOMMIT ... SVM_TLBSYNC] = HW_UNDEFINED,	/* the same */
};

static void svm_decode_io(struct halo_hwexit *x, const struct svm_vmcb *v, u64 rip)
{
	u32 info = v->exit_info1;

	x->io.port = info >> 16;
	x->io.in = info & SVM_IO_IN;
	x->io.string = info & SVM_IO_STRING;
	x->io.rep = info & SVM_IO_REP;
	x->io.size = (info >> 4) & 7;
	/* EXITINFO2 is the next RIP on every SVM CPU (15.10.2). */
	x->insn_len = v->exit_info2 - rip;
}

static void svm_decode_npf(struct halo_hwexit *x, const struct svm_vmcb *v)
{
	x->reason = HW_MEMORY;
	/* The next RIP is saved for instructions only (15.7.1). */
	x->insn_len = 0;
	x->mem.gpa = v->exit_info2;
	x->mem.write = v->exit_info1 & SVM_NPF_WRITE;
	x->mem.exec = v->exit_info1 & SVM_NPF_EXEC;
	x->mem.device = false;
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

/**
 * svm_exit_decode() - fill in the rest of cpu->exit, where svm_take[] says SVM_MORE
 * @cpu: the vCPU, just out of the guest
 */
void svm_exit_decode(struct halo_cpu *cpu)
{
	struct svm_cpu *svm = to_svm(cpu);
	struct svm_vmcb *v = svm->vmcb;
	struct halo_hwexit *x = &cpu->exit;
	u32 code = v->exit_code;

	x->reason = (x->reason & ~SVM_MORE) ?: HW_UNKNOWN;
	if (likely(code == SVM_IOIO)) {
		svm_decode_io(x, v, cpu->rip);
		return;
	}
	if (likely(code == SVM_NPF)) {
		svm_decode_npf(x, v);
		return;
	}
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
	case SVM_DR_READ ... SVM_DR_WRITE + 15:
		x->cr.nr = code & 0xf;
		x->cr.op = code >= SVM_DR_WRITE ? CR_OP_WRITE : CR_OP_READ;
		x->cr.gpr = svm_caps.decode_assists ? v->exit_info1 & 0xf : CR_GPR_UNKNOWN;
		break;
	case SVM_EXCEPTION ... SVM_EXCEPTION + 31:
		x->exc.vector = code - SVM_EXCEPTION;
		x->exc.has_error = x->exc.vector == 17;
		x->exc.error = v->exit_info1;
		/* The CPU has put the cause of a #DB into the guest's DR6 itself. */
		x->exc.qual = 0;
		break;
	case SVM_VINTR:
		x->reason = HW_INTR_WINDOW;
		break;
	case SVM_IRET:
		svm->iret_seen = true;
		svm->iret_rip = cpu->rip;
		x->reason = HW_NONE;
		break;
	case SVM_INVALID:
		x->reason = HW_ENTRY_FAILED;
		/* It has not taken what we changed: keep nothing as clean. */
		v->clean = 0;
		break;
	}
	if (unlikely(x->reason == HW_MACHINE_CHECK))
		halo_host_machine_check();
	if (unlikely(x->reason == HW_ENTRY_FAILED || x->reason == HW_UNKNOWN)) {
		if (code == SVM_AVIC_IPI || code == SVM_AVIC_ACCESS)
			svm_avic_decode(cpu);
		else
			x->code = code;
	}
}
