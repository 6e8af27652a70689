/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VMRUN and what must stand directly around it.
 *
 * Called with GIF = 0 and RFLAGS.IF = 1 (IF is set in C: an STI here would
 * leak its interrupt shadow into the guest).  Guest RAX and RSP are in the
 * VMCB; the other registers go through @gpr.  The speculation duties stand in
 * the order that they must have:
 *
 *	VERW			last before VMRUN (it clobbers ZF only)
 *	VMLOAD of host state	first after it: percpu does not work before
 *	RSB fill		before the first RET
 *	UNTRAIN_RET, IBPB	likewise
 *	clear registers		a guest value must not reach speculative C code
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/frame.h>
#include "gprs.S"
#include "host.h"

	.section .noinstr.text, "ax"

/*
 * void svm_vmrun(u64 *gpr, const u64 pa[2])
 *
 *	%rdi	guest registers, in encoding order
 *	%rsi	physical addresses: of the guest's VMCB, and of the VMCB with the host's
 *		VMLOAD state
 */
SYM_FUNC_START(svm_vmrun)
	PUSH_CALLEE_SAVED
	push	8(%rsi)
	push	%rdi

	mov	(%rsi), %rax
	COUNT_ONE COUNT_VMLOAD
1:	vmload	%rax

	LOAD_GUEST_GPRS

	VM_CLEAR_CPU_BUFFERS
2:	vmrun	%rax
	/* RAX is the host's again: the address of the guest's VMCB. */
	COUNT_ONE COUNT_VMSAVE
4:	vmsave	%rax

	pop	%rax
	STORE_GUEST_GPRS

	pop	%rax
	COUNT_ONE COUNT_VMLOAD
5:	vmload	%rax
6:
	FILL_RETURN_BUFFER %_ASM_AX, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	HALO_UNTRAIN_RET

	xor	%ebx, %ebx
	CLEAR_GPRS

	POP_CALLEE_SAVED
	RET

	/*
	 * SVM was switched off under us (reboot, crash): the instructions
	 * fault. The guest does not run; the exit code in the VMCB stays what
	 * C set it to before the call.
	 */
	_ASM_EXTABLE(1b, .Lfault)
	_ASM_EXTABLE(2b, .Lfault)
	_ASM_EXTABLE(4b, .Lfault)
	_ASM_EXTABLE(5b, 6b)
.Lfault:
	pop	%rax
	pop	%rax
	jmp	6b
SYM_FUNC_END(svm_vmrun)
