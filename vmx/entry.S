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
#include "host.h"

#define GPR(n)		((n) * 8)
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
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	cmp	%rsp, (%rdx)
	je	1f
	mov	%rsp, (%rdx)
	mov	$VMCS_HOST_RSP, %eax
4:	vmwrite	%rsp, %rax
1:
	bt	$0, %esi

	mov	GPR(0)(%rdi), %rax
	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	mov	GPR(8)(%rdi), %r8
	mov	GPR(9)(%rdi), %r9
	mov	GPR(10)(%rdi), %r10
	mov	GPR(11)(%rdi), %r11
	mov	GPR(12)(%rdi), %r12
	mov	GPR(13)(%rdi), %r13
	mov	GPR(14)(%rdi), %r14
	mov	GPR(15)(%rdi), %r15
	mov	GPR(7)(%rdi), %rdi

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
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)
	xor	%ebx, %ebx

.Lclear:
	/* Those below RSP come from the stack, but a guest value must not wait in them. */
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

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
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lfail:
	/* VMfail, or VT-x was switched off under us (reboot, crash). */
	mov	$1, %ebx
	jmp	.Lclear
SYM_FUNC_END(vmx_vmenter)
