// SPDX-License-Identifier: GPL-2.0
/*
 * From the exit reason (SDM 3D appendix C) and its qualification (3C 27.2) to
 * struct halo_hwexit.
 *
 * A translation and nothing else: what to do about an exit is the core's.  What
 * belongs to a reason is read only for that reason.
 */
#include <linux/printk.h>
#include <asm/cpufeature.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include "host.h"
#include "vmx.h"
#include "vmx_check.h"

/*
 * What a reason is to the core.  Those that are none here (0) are told as unknown:
 * nothing that leads to them is enabled, or, a task switch, nothing can do it.
 */
const u8 vmx_took[VMX_REASONS] = {
	[VMX_REASON_EXT_INTR] = HW_INTR,
	[VMX_REASON_TRIPLE_FAULT] = HW_SHUTDOWN,
	[VMX_REASON_INIT] = HW_INIT,
	[VMX_REASON_IO_SMI ... VMX_REASON_SMI] = HW_INTR,
	[VMX_REASON_INTR_WINDOW] = HW_INTR_WINDOW,
	[VMX_REASON_NMI_WINDOW] = HW_NMI_WINDOW,
	[VMX_REASON_CPUID] = HW_CPUID | VMX_INSN,
	[VMX_REASON_GETSEC] = HW_UNDEFINED,
	[VMX_REASON_HLT] = HW_HLT | VMX_INSN,
	[VMX_REASON_INVD] = HW_WBINVD | VMX_INSN,
	[VMX_REASON_RDPMC] = HW_RDPMC | VMX_INSN,
	[VMX_REASON_RSM] = HW_UNDEFINED,
	[VMX_REASON_VMCALL] = HW_HYPERCALL | VMX_INSN,
	[VMX_REASON_VMCLEAR ... VMX_REASON_VMXON] = HW_UNDEFINED,
	[VMX_REASON_CR] = HW_CR | VMX_INSN | VMX_MORE,
	[VMX_REASON_DR] = HW_DR | VMX_INSN | VMX_MORE,
	[VMX_REASON_IO] = HW_PIO | VMX_INSN | VMX_MORE,
	[VMX_REASON_RDMSR] = HW_RDMSR | VMX_INSN,
	[VMX_REASON_WRMSR] = HW_WRMSR | VMX_INSN,
	[VMX_REASON_MWAIT] = HW_UNDEFINED,
	[VMX_REASON_MONITOR] = HW_UNDEFINED,
	[VMX_REASON_PAUSE] = HW_PAUSE | VMX_INSN,
	[VMX_REASON_TPR_BELOW] = HW_INTR_WINDOW,
	[VMX_REASON_EOI] = HW_EOI | VMX_MORE,
	[VMX_REASON_EPT_VIOLATION] = HW_MEMORY | VMX_MORE,
	[VMX_REASON_INVEPT] = HW_UNDEFINED,
	[VMX_REASON_PREEMPTION_TIMER] = HW_DEADLINE,
	[VMX_REASON_INVVPID] = HW_UNDEFINED,
	[VMX_REASON_WBINVD] = HW_WBINVD | VMX_INSN,
	[VMX_REASON_XSETBV] = HW_XSETBV | VMX_INSN,
	[VMX_REASON_APIC_WRITE] = HW_APIC_WRITE | VMX_MORE,
	[VMX_REASON_VMFUNC ... VMX_REASON_ENCLS] = HW_UNDEFINED,
	[VMX_REASON_PCONFIG] = HW_UNDEFINED,
	[VMX_REASON_UMWAIT ... VMX_REASON_ENCLV] = HW_UNDEFINED,
	[VMX_REASON_SEAMCALL ... VMX_REASON_TDCALL] = HW_UNDEFINED,
};

static void vmx_decode_io(struct halo_hwexit *x, u64 qual)
{
	x->io.port = qual >> VMX_IO_PORT_SHIFT;
	x->io.in = qual & VMX_IO_IN;
	x->io.string = qual & VMX_IO_STRING;
	x->io.rep = qual & VMX_IO_REP;
	x->io.size = (qual & VMX_IO_SIZE) + 1;
}

static void vmx_decode_ept(struct halo_hwexit *x, struct vmx_fields *f, u64 qual)
{
	const u64 of_guest = VMX_EPT_GLA_VALID | VMX_EPT_GLA_TRANSLATED;

	x->mem.gpa = vmx_get(f, VMCS_GUEST_PHYS_ADDR);
	x->mem.write = qual & VMX_EPT_WRITE;
	x->mem.exec = qual & VMX_EPT_FETCH;
	x->mem.device = false;
	/* Without a linear address it was the loading of PDPTEs. */
	x->mem.walk = (qual & of_guest) != of_guest;
	/*
	 * Silicon tells the length here as well, though the SDM (28.2.5) does not promise
	 * it; a hypervisor below us may have made the exit up and not told it.
	 */
	if ((qual & (VMX_EPT_READ | VMX_EPT_WRITE)) == VMX_EPT_WRITE && !x->mem.walk &&
	    !cpu_feature_enabled(X86_FEATURE_HYPERVISOR))
		x->insn_len = vmx_get(f, VMCS_EXIT_INSN_LEN);
}

static void vmx_decode_cr(struct halo_hwexit *x, u64 qual)
{
	static const u8 op[] = { CR_OP_WRITE, CR_OP_READ, CR_OP_CLTS, CR_OP_LMSW };

	x->cr.nr = qual & VMX_CR_NUMBER;
	x->cr.op = op[qual >> VMX_CR_TYPE_SHIFT & 3];
	x->cr.gpr = x->cr.op == CR_OP_WRITE || x->cr.op == CR_OP_READ ?
		    qual >> VMX_CR_GPR_SHIFT & 0xf : CR_GPR_UNKNOWN;
}

static void vmx_decode_dr(struct halo_hwexit *x, u64 qual)
{
	x->cr.nr = qual & VMX_DR_NUMBER;
	x->cr.op = qual & VMX_DR_READ ? CR_OP_READ : CR_OP_WRITE;
	x->cr.gpr = qual >> VMX_DR_GPR_SHIFT & 0xf;
}

static void vmx_decode_exception(struct halo_cpu *cpu, struct vmx_fields *f)
{
	struct halo_hwexit *x = &cpu->exit;
	u32 info = vmx_get(f, VMCS_EXIT_INTR_INFO);

	x->exc.vector = info & VMX_INTR_VECTOR;
	if ((info & VMX_INTR_TYPE) == VMX_INTR_NMI) {
		x->reason = HW_NMI;
		return;
	}
	if (x->exc.vector == 18) {
		x->reason = HW_MACHINE_CHECK;
		return;
	}
	x->reason = HW_EXCEPTION;
	x->exc.has_error = info & VMX_INTR_ERROR_CODE;
	x->exc.error = x->exc.has_error ? vmx_get(f, VMCS_EXIT_INTR_ERROR) : 0;
	/* The CPU has not put the cause of a #DB into DR6. */
	x->exc.qual = x->exc.vector == 1 ? vmx_get(f, VMCS_EXIT_QUALIFICATION) : 0;
	/* INT1 is a trap. */
	if ((info & VMX_INTR_TYPE) == VMX_INTR_PRIV_EXCEPTION)
		cpu->rip += vmx_get(f, VMCS_EXIT_INSN_LEN);
}

static u64 vmx_check_read(const struct vmx_check *c, u32 field)
{
	return vmx_get(c->arg, field);
}

/*
 * The entry failed: the CPU says with what number, the validator which rule of the
 * SDM's was broken.  Both go to userspace, the rule in the upper half.
 */
static u64 vmx_failure(struct vmx_cpu *vmx)
{
	struct vmx_check c = {
		.read = vmx_check_read,
		.arg = &vmx->vmcs,
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX,
		.current_vmcs = vmx->region_pa,
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.linear_bits = boot_cpu_data.x86_virt_bits,
		.ia32e = true,
		.sgx = boot_cpu_has(X86_FEATURE_SGX),
		.launched = vmx->launched,
		.resume = vmx->launched,
	};
	struct vmx_verdict v;

	memcpy(c.cap, vmx_caps, sizeof(c.cap));
	vmx_check(&c, &v);
	pr_info_ratelimited("halo: VM entry refused: %s: %s%s%s\n", v.section, v.where,
			    *v.where ? ": " : "", v.text);
	return (vmx->failed ? vmx_get(&vmx->vmcs, VMCS_INSN_ERROR) : vmx->reason) |
	       (u64)v.rule << 32;
}

/**
 * vmx_failed() - fill in cpu->exit after an entry that failed
 * @cpu: the vCPU
 */
void vmx_failed(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);
	struct halo_hwexit *x = &cpu->exit;

	vmx_forget_read_only(&vmx->vmcs);
	cpu->arch.valid = 0;
	x->reason = HW_ENTRY_FAILED;
	x->insn_avail = 0;
	x->insn_len = 0;
	x->code = vmx_failure(vmx);
}

/**
 * vmx_exit_decode() - fill in the rest of cpu->exit, where vmx_took[] says VMX_MORE
 * @cpu: the vCPU, just out of the guest
 */
void vmx_exit_decode(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);
	struct vmx_fields *f = &vmx->vmcs;
	struct halo_hwexit *x = &cpu->exit;

	switch (vmx->reason & 0xffff) {
	case VMX_REASON_EXCEPTION_NMI:
		vmx_decode_exception(cpu, f);
		if (x->reason == HW_MACHINE_CHECK)
			halo_host_machine_check();
		break;
	case VMX_REASON_EPT_VIOLATION:
		vmx_decode_ept(x, f, vmx_get(f, VMCS_EXIT_QUALIFICATION));
		break;
	case VMX_REASON_EOI:
	case VMX_REASON_APIC_WRITE:
		/* As traps: the instruction is done. */
		x->apic = vmx_get(f, VMCS_EXIT_QUALIFICATION);
		break;
	case VMX_REASON_IO:
		vmx_decode_io(x, vmx_get(f, VMCS_EXIT_QUALIFICATION));
		break;
	case VMX_REASON_CR:
		vmx_decode_cr(x, vmx_get(f, VMCS_EXIT_QUALIFICATION));
		break;
	case VMX_REASON_DR:
		vmx_decode_dr(x, vmx_get(f, VMCS_EXIT_QUALIFICATION));
		break;
	default:
		x->reason = HW_UNKNOWN;
		x->code = vmx->reason;
	}
}
