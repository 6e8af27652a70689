/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bench needs of a hypervisor, and no more: each side is a client as small
 * as its interface allows, so that the figures compare hypervisors.
 *
 * A box is a VM with one vCPU, and the bench's own image as guest memory (lib/hvm.h
 * says how a program is its own guest). It starts in 64-bit mode with paging on.
 */
#ifndef HALO_BENCH_SIDE_H
#define HALO_BENCH_SIDE_H

#include "hvm.h"

#define MSR_USER	0x12345		/* userspace answers for it */

enum { STOP_OTHER, STOP_PIO, STOP_MMIO, STOP_MSR };

/* What a write does: KVM calls the first coalesced, the second ioeventfd. */
enum { POSTED_PIO, POSTED_MMIO, DOORBELL_PIO, DOORBELL_MMIO };

/**
 * struct box - a VM of the bench
 * @low: guest memory from 0: tables
 * @ram: guest memory at RAM_BASE, NULL if none
 * @ram_bytes: its length
 * @ring: entries of Halo's rings, 0 = as many as it likes; KVM's ring has 170
 * @fd: VM
 * @cpu: vCPU
 * @why: of the last exit: STOP_*
 * @at: and its port, address or MSR
 * @data: what the last write wrote
 * @own: the side's
 */
struct box {
	u8 *low;
	u8 *ram;
	u64 ram_bytes;
	u32 ring;
	int fd;
	int cpu;
	int why;
	u64 at;
	u64 data;
	void *own;
};

/**
 * struct side - a hypervisor
 * @open: before all else; gives the device's fd
 * @make: VM, memory, vCPU at @rip with @arg in RDI; errors end the program
 * @go: answer the last exit (reads give 0), run to the next: b->why, b->at
 * @zone: from now on @what happens on writes to @addr, of @size bytes (0 = any);
 *	DOORBELL signals @eventfd
 * @msi: an interrupt to the vCPU
 * @park: run the guest PARKED to the exit after the next @n, whose answers are there
 *	before; NULL if there is no such thing
 * @early_timer: whether a timer's interrupt may be made ready before its time, for VMs
 *	that are made from now on
 * @free: take everything down
 */
struct side {
	const char *name;
	void (*open)(void);
	void (*make)(struct box *b, const void *rip, u64 rsp, u64 arg);
	void (*go)(struct box *b);
	void (*zone)(struct box *b, int what, u64 addr, u32 size, int eventfd);
	void (*msi)(struct box *b, u8 vector);
	void (*park)(struct box *b, u32 n);
	void (*early_timer)(bool on);
	void (*free)(struct box *b);
};

#define RAM_BASE	0x40000000ull

extern const struct side side_halo, side_kvm;
extern const u8 __executable_start[], _end[];

#endif
