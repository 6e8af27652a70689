/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the entry assembly of both backends does with the general registers.
 *
 * Included, not assembled by itself.  The guest's registers lie in encoding
 * order, 8 bytes each; its RSP is the hardware's business on both, its RAX on AMD-V.
 */
#ifndef HALO_GPRS_S
#define HALO_GPRS_S

#include "count.h"

#define GPR(n)	((n) * 8)

/* Changes flags. */
.macro COUNT_ONE kind
#ifdef HALO_COUNT
	incq	halo_counted + 8 * \kind(%rip)
#endif
.endm

.macro PUSH_CALLEE_SAVED
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
.endm

.macro POP_CALLEE_SAVED
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
.endm

/* All but RAX and RSP, from where %rdi points; it comes last. */
.macro LOAD_GUEST_GPRS
	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	.irp	r, 8, 9, 10, 11, 12, 13, 14, 15
	mov	GPR(\r)(%rdi), %r\r
	.endr
	mov	GPR(7)(%rdi), %rdi
.endm

/* All but RAX and RSP, to where %rax points. */
.macro STORE_GUEST_GPRS
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	.irp	r, 8, 9, 10, 11, 12, 13, 14, 15
	mov	%r\r, GPR(\r)(%rax)
	.endr
.endm

/*
 * All but RAX, RBX and RSP.  The callee-saved will come from the stack, but a guest
 * value must not wait in them for speculative C code.
 */
.macro CLEAR_GPRS
	.irp	r, %ecx, %edx, %ebp, %esi, %edi
	xor	\r, \r
	.endr
	.irp	r, %r8d, %r9d, %r10d, %r11d, %r12d, %r13d, %r14d, %r15d
	xor	\r, \r
	.endr
.endm

#endif /* HALO_GPRS_S */
