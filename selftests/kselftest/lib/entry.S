/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the guest's interrupts and exceptions arrive, and where its functions
 * return to.  Stubs are 16 bytes apart, for 256 vectors; hvm.c makes the gates.
 */
	.text

	.macro vector_entry push, jump
	.balign 16
	.if vec == 8 || (vec >= 10 && vec <= 14) || vec == 17
	.else
	\push	$0
	.endif
	\push	$vec
	jmp	\jump
	.endm

	.code64
	.balign 16
	.globl	g_stubs
g_stubs:
	.set	vec, 0
	.rept	256
	vector_entry	pushq, g_common
	.set	vec, vec + 1
	.endr

	.balign 16
g_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	call	g_trap
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	iretq

/* A guest function returns to here. */
	.globl	g_exit
g_exit:
	outb	%al, $0xf4
	jmp	g_exit

/* u64 g_user(void (*fn)(void)): at CPL 3; comes back by INT 0x80, g_user_back. */
	.globl	g_user
g_user:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, g_user_rsp(%rip)
	pushq	$0x2b
	leaq	g_user_stack_end(%rip), %rax
	pushq	%rax
	pushfq
	pushq	$0x33
	leaq	1f(%rip), %rax
	pushq	%rax
	iretq
1:	call	*%rdi
	int	$0x80
	.globl	g_user_back
g_user_back:		/* g_trap() lets INT 0x80 return to here, at CPL 0 */
	movq	g_user_rsp(%rip), %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.code32
	.balign 16
	.globl	g_stubs32
g_stubs32:
	.set	vec, 0
	.rept	256
	vector_entry	pushl, g_common32
	.set	vec, vec + 1
	.endr

/* 32-bit faults: note them and go on at g_fixup. */
g_common32:
	popl	g_exc
	popl	g_exc + 8
	pushl	%eax
	movl	4(%esp), %eax
	movl	%eax, g_exc + 16
	movl	g_fixup, %eax
	testl	%eax, %eax
	jz	1f
	movl	%eax, 4(%esp)
	movl	$0, g_fixup
	popl	%eax
	iret
1:	outb	%al, $0xf5
	jmp	1b

	.code64
	.bss
	.balign 16
g_user_rsp:
	.quad	0
	.balign 4096
	.skip	16384
g_user_stack_end:
	.quad	0

	.section .note.GNU-stack, "", @progbits
