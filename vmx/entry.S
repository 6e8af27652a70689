/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VMLAUNCH, VMRESUME and what must stand directly around them.
 *
 * Called with interrupts off.  Guest RIP, RSP and RFLAGS are in the VMCS; the
 * other registers go through @gpr.  The speculation duties stand in the order
 * that they must have:
 *
 *	VERW			last before the entry (it clobbers ZF only, so the
 *				choice of the instruction is carried in CF)
 *	clear registers		a guest value must not reach speculative C code
 *	RSB fill		before the first RET
 *	IBRS			written again where the kernel itself runs with it
 *	branch history		likewise, before the first RET
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include "gprs.S"
#include "host.h"

#define VMCS_HOST_RSP	0x6c14

	.section .noinstr.text, "ax"

/*
 * bool vmx_vmenter(u64 *gpr, bool launched, u64 *host_rsp)
 *
 *	%rdi	guest registers, in encoding order
 *	%sil	VMRESUME instead of VMLAUNCH
 *	%rdx	what the VMCS holds as the host's RSP
 *
 * Returns true if the instruction failed: the guest has not run.
 */
SYM_FUNC_START(vmx_vmenter)
	PUSH_CALLEE_SAVED
	push	%rdi

	cmp	%rsp, (%rdx)
	je	1f
	mov	%rsp, (%rdx)
	mov	$VMCS_HOST_RSP, %eax
4:	vmwrite	%rsp, %rax
1:
	bt	$0, %esi

	mov	GPR(0)(%rdi), %rax
	LOAD_GUEST_GPRS

	VM_CLEAR_CPU_BUFFERS
	jnc	.Llaunch

2:	vmresume
	jmp	.Lfail
.Llaunch:
3:	vmlaunch
	/*
	 * Always taken, as CF or ZF is set here: the guest comes back below. To
	 * objtool it is a way down to there, with the stack as it is.
	 */
	jbe	.Lfail

	_ASM_EXTABLE(2b, .Lfail)
	_ASM_EXTABLE(3b, .Lfail)
	_ASM_EXTABLE(4b, .Lfail)

SYM_INNER_LABEL(vmx_vmexit, SYM_L_GLOBAL)
	ENDBR

	push	%rax
	mov	8(%rsp), %rax
	pop	GPR(0)(%rax)
	STORE_GUEST_GPRS
	xor	%ebx, %ebx

.Lclear:
	xor	%eax, %eax
	CLEAR_GPRS

	FILL_RETURN_BUFFER %_ASM_CX, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE

	ALTERNATIVE "jmp .Lno_ibrs", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	PER_CPU_VAR(x86_spec_ctrl_current), %rdx
	mov	%edx, %eax
	shr	$32, %rdx
	wrmsr
.Lno_ibrs:
	CLEAR_BRANCH_HISTORY_VMEXIT

	mov	%ebx, %eax
	pop	%rdi
	POP_CALLEE_SAVED
	RET

.Lfail:
	/* VMfail, or VT-x was switched off under us (reboot, crash). */
	mov	$1, %ebx
	jmp	.Lclear
SYM_FUNC_END(vmx_vmenter)
