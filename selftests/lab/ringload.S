/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ringload: an option ROM that boots Linux from a prepared disk (ringload.py).
 *
 * Bochs takes it in place of a video BIOS.  Its system BIOS calls such a ROM as
 * soon as memory, ACPI tables, PCI and the other CPUs are set up, and before it
 * waits for keys, floppies and boot menus, which cost more than a kernel's boot.
 * There is no video here, and no boot loader: sectors go by PIO to where they
 * belong, then the kernel gets control by the 32- or 64-bit boot protocol
 * (Documentation/x86/boot.rst).
 *
 * A machine that comes here twice was reset, and is switched off: the lab takes
 * a reset for the end.  A byte of CMOS memory, zero at power-on, remembers.
 *
 * Sector 0: magic, number of segments, 32 or 64, entry, boot_params, 0, 0, 0;
 * then destination, first sector, number of sectors, 0 for each segment.
 */
#define ROM		0xc0000
#define MAGIC		0x4c475248	/* "HRGL" */
#define HEADER		0x8000
#define TABLES		0x9000		/* one PML4, one PDPT, four PDs */
#define STACK		0x7c00
#define SECTORS		128		/* in one command */
#define CMOS_BEEN_HERE	0x70
#define DEBUG_PORT	0xe9
#define SHUTDOWN_PORT	0x8900
#define ATA		0x1f0
#define ATA_CONTROL	0x3f6

	.code16
	.text
	.globl	_start
_start:
	.byte	0x55, 0xaa
	.byte	4			/* times 512 bytes */
	cli
	cld
	movb	$CMOS_BEEN_HERE, %al
	outb	%al, $0x70
	inb	$0x71, %al
	testb	%al, %al
	jnz	off
	movb	$CMOS_BEEN_HERE, %al
	outb	%al, $0x70
	movb	$1, %al
	outb	%al, $0x71
	inb	$0x92, %al		/* A20 */
	orb	$2, %al
	outb	%al, $0x92
	lgdtl	%cs:(gdtr32 - _start)
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$0x10, $(ROM + protected - _start)
off:
	movw	$SHUTDOWN_PORT, %dx
	movw	$(shutdown - _start), %si
	movw	$8, %cx
	rep outsb %cs:(%si), %dx
	hlt
shutdown:
	.ascii	"Shutdown"

	.code32
protected:
	movw	$0x18, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movl	$STACK, %esp
	movl	$HEADER, %edi
	xorl	%ebx, %ebx
	movl	$1, %ecx
	call	read
	cmpl	$MAGIC, HEADER
	jne	bad
	movl	HEADER + 4, %ebp
	movl	$(HEADER + 32), %esi
segment:
	movl	(%esi), %edi
	movl	4(%esi), %ebx
	movl	8(%esi), %eax
piece:
	movl	$SECTORS, %ecx
	cmpl	%ecx, %eax
	cmovbl	%eax, %ecx
	jecxz	next
	subl	%ecx, %eax
	pushl	%eax
	call	read
	popl	%eax
	jmp	piece
next:
	addl	$16, %esi
	decl	%ebp
	jnz	segment
	movl	HEADER + 16, %esi
	cmpl	$64, HEADER + 8
	je	long
	xorl	%edi, %edi
	xorl	%ebx, %ebx
	jmp	*(HEADER + 12)

bad:
	movb	$'!', %al
	outb	%al, $DEBUG_PORT
	movl	$(ROM + shutdown - _start), %esi
	movl	$8, %ecx
	movw	$SHUTDOWN_PORT, %dx
	rep outsb
	hlt

/* Reads %ecx sectors from sector %ebx to %edi; moves both on. */
read:
	call	wait_ready
	movw	$ATA_CONTROL, %dx
	movb	$2, %al			/* no interrupts */
	outb	%al, %dx
	movw	$(ATA + 6), %dx
	movl	%ebx, %eax
	shrl	$24, %eax
	orb	$0xe0, %al		/* drive 0, LBA */
	outb	%al, %dx
	call	wait_ready
	movw	$(ATA + 2), %dx
	movb	%cl, %al
	outb	%al, %dx
	incl	%edx
	movl	%ebx, %eax
	outb	%al, %dx
	incl	%edx
	movb	%ah, %al
	outb	%al, %dx
	incl	%edx
	shrl	$16, %eax
	outb	%al, %dx
	movw	$(ATA + 7), %dx
	movb	$0x20, %al		/* READ SECTORS */
	outb	%al, %dx
	addl	%ecx, %ebx
sector:
	call	wait_ready
	testb	$8, %al			/* DRQ */
	jz	sector
	pushl	%ecx
	movl	$256, %ecx
	movw	$ATA, %dx
	rep insw
	popl	%ecx
	loop	sector
	ret
wait_ready:
	movw	$(ATA + 7), %dx
	inb	%dx, %al
	testb	$0x80, %al		/* BSY */
	jnz	wait_ready
	testb	$1, %al			/* ERR */
	jnz	bad
	ret

/* Identity-map the first 4 GiB with 2 MiB pages, and enter a 64-bit kernel. */
long:
	movl	$TABLES, %edi
	xorl	%eax, %eax
	movl	$(6 * 1024), %ecx
	rep stosl
	movl	$(TABLES + 0x1003), TABLES
	movl	$(TABLES + 0x2003), %eax
	movl	$(TABLES + 0x1000), %edi
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	1b
	movl	$0x83, %eax
	movl	$(TABLES + 0x2000), %edi
	movl	$2048, %ecx
2:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b
	movl	$TABLES, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax	/* PG */
	movl	%eax, %cr0
	lgdtl	ROM + gdtr64 - _start
	ljmpl	$0x10, $(ROM + entry64 - _start)
	.code64
entry64:
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	HEADER + 12, %eax
	movl	%esi, %esi		/* the upper half was undefined */
	jmp	*%rax

	.balign	8
gdt32:	.quad	0, 0
	.quad	0x00cf9a000000ffff	/* code */
	.quad	0x00cf92000000ffff	/* data */
gdt64:	.quad	0, 0
	.quad	0x00af9a000000ffff
	.quad	0x00cf92000000ffff
gdtr32:	.word	gdt64 - gdt32 - 1
	.long	ROM + gdt32 - _start
gdtr64:	.word	gdtr32 - gdt64 - 1
	.long	ROM + gdt64 - _start
