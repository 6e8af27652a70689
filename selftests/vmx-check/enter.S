/* SPDX-License-Identifier: GPL-2.0 */
/*
 * int vmxfuzz_enter(void): VMLAUNCH. 0: a VM exit came, 1: VMfailInvalid, 2: VMfailValid.
 * Interrupts are off. vmxfuzz_exit is the VMCS's host RIP; its host RSP is not used.
 */
#include <linux/linkage.h>

SYM_FUNC_START(vmxfuzz_enter)
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, vmxfuzz_rsp(%rip)
	vmlaunch
	mov	$1, %eax
	mov	$2, %ecx
	cmovz	%ecx, %eax
	jmp	1f
SYM_INNER_LABEL(vmxfuzz_exit, SYM_L_GLOBAL)
	mov	vmxfuzz_rsp(%rip), %rsp
	xor	%eax, %eax
1:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	RET
SYM_FUNC_END(vmxfuzz_enter)

	.bss
	.balign	8
vmxfuzz_rsp:
	.quad	0
