/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that never ends, multiboot 1: CPUID, a read of COM1's line status, which
 * userspace answers, RDMSR, and some work in between.
 */
	.code32
	.section .text
	.long	0x1badb002, 0, -0x1badb002
	.globl	_start
_start:
	xorl	%eax, %eax
	cpuid
	movl	$0x3fd, %edx
	inb	%dx, %al
	movl	$0x1b, %ecx
	rdmsr
	movl	$20000, %ecx
1:	decl	%ecx
	jnz	1b
	jmp	_start
