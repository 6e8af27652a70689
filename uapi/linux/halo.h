/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Halo userspace interface: the only file that both worlds see.
 *
 * /dev/halo -> VM fd (HALO_CREATE_VM) -> vCPU fd (HALO_VM_CREATE_VCPU).
 *
 * A vCPU fd is mmap'd.  The mapping has four areas, whose offsets and sizes
 * struct halo_vcpu_layout tells:
 *
 *	STATE    rw   struct halo_state: registers and events, moved on RUN
 *	EXITS    ro   struct halo_ring + struct halo_exit[]: what the vCPU wants
 *	REPLIES  rw   struct halo_ring + struct halo_reply[]: what it is answered
 *	DATA     rw   the bytes of string port I/O and of wide accesses
 *
 * Every struct that is passed to an ioctl begins with its own size ("size"),
 * may grow at its end only, and is copied with the rules of
 * copy_struct_from_user(): a newer caller on an older module succeeds as long
 * as the bytes that the module does not know are zero (else -E2BIG).  Reserved
 * fields must be zero (else -EINVAL).
 */
#ifndef _UAPI_LINUX_HALO_H
#define _UAPI_LINUX_HALO_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* What HALO_GET_API_VERSION returns; a tool refuses a module of another one. */
#define HALO_API_VERSION	1

#define HALO_IOC_MAGIC		0xB7

/* ------------------------------------------------------------------------- *
 * /dev/halo
 * ------------------------------------------------------------------------- */

/**
 * enum halo_cap - what HALO_GET_CAP can be asked about
 * @HALO_CAP_BACKEND: value 1 = SVM, 2 = VMX, 0 = this CPU can't (see reason)
 * @HALO_CAP_MAX_VCPUS: most vCPUs in one VM
 * @HALO_CAP_MAX_MEMSLOTS: most memslots in one VM
 * @HALO_CAP_GPA_BITS: width of a guest-physical address
 * @HALO_CAP_NRIPS: the CPU saves the next RIP on an exit
 * @HALO_CAP_DECODE_ASSISTS: the CPU saves instruction bytes on a fault
 * @HALO_CAP_FLUSH_BY_ASID: the CPU flushes one ASID (SVM) or VPID (VMX)
 * @HALO_CAP_HUGE_PAGES: bit mask of second-stage page sizes (bit 12, 21, 30)
 * @HALO_CAP_TSC_DEADLINE: the LAPIC timer has TSC-deadline mode
 * @HALO_CAP_X2APIC: the LAPIC has x2APIC mode
 * @HALO_CAP_PV_CLOCK: the KVM-compatible clock is offered
 * @HALO_CAP_ZONE_POSTED: zones in mode POSTED
 * @HALO_CAP_ZONE_DOORBELL: zones in mode DOORBELL
 * @HALO_CAP_RUN_PARKED: HALO_VCPU_RUN in PARKED mode
 * @HALO_CAP_TSC_KHZ: frequency of the host's TSC in kHz, and of a guest's that was not
 *	given another
 * @HALO_CAP_NESTED: virtualization inside the guest
 * @HALO_CAP_SMP: more than one vCPU
 * @HALO_CAP_VNMI: the CPU tracks NMI blocking for the guest
 * @HALO_CAP_IRQFD: HALO_VM_SET_IRQFD
 * @HALO_CAP_VIRT_INTR: 1: the CPU delivers interrupts, and has an x2APIC's EOI, TPR and
 *	self-IPI, without an exit; 2: it delivers them, to a vCPU in xAPIC mode only
 * @HALO_CAP_STATS_FD: HALO_VM_STATS_FD and HALO_VCPU_STATS_FD
 * @HALO_CAP_PAUSE_LOOP: the CPU tells of a vCPU that spins; its CPU goes to another
 *	vCPU of the VM that has lost its own
 * @HALO_CAP_TSC_SCALING: HALO_VM_SET_TSC_KHZ takes other frequencies than the host's
 * @HALO_CAP_MAX: one past the last
 */
enum halo_cap {
	HALO_CAP_BACKEND = 0,
	HALO_CAP_MAX_VCPUS = 1,
	HALO_CAP_MAX_MEMSLOTS = 2,
	HALO_CAP_GPA_BITS = 3,
	HALO_CAP_NRIPS = 4,
	HALO_CAP_DECODE_ASSISTS = 5,
	HALO_CAP_FLUSH_BY_ASID = 6,
	HALO_CAP_HUGE_PAGES = 7,
	HALO_CAP_TSC_DEADLINE = 8,
	HALO_CAP_X2APIC = 9,
	HALO_CAP_PV_CLOCK = 10,
	HALO_CAP_ZONE_POSTED = 11,
	HALO_CAP_ZONE_DOORBELL = 12,
	HALO_CAP_RUN_PARKED = 13,
	HALO_CAP_TSC_KHZ = 14,
	HALO_CAP_NESTED = 15,
	HALO_CAP_SMP = 16,
	HALO_CAP_VNMI = 17,
	HALO_CAP_IRQFD = 18,
	HALO_CAP_VIRT_INTR = 19,
	HALO_CAP_STATS_FD = 20,
	HALO_CAP_PAUSE_LOOP = 21,
	HALO_CAP_TSC_SCALING = 22,
	HALO_CAP_MAX
};

#define HALO_BACKEND_NONE	0
#define HALO_BACKEND_SVM	1
#define HALO_BACKEND_VMX	2

/**
 * enum halo_reason - why a capability is off
 * @HALO_REASON_NONE: it is on
 * @HALO_REASON_CPU: the CPU does not have it
 * @HALO_REASON_FIRMWARE: the firmware switched it off (VM_CR.SVMDIS,
 *	IA32_FEATURE_CONTROL)
 * @HALO_REASON_BUSY: another hypervisor holds the hardware
 * @HALO_REASON_KERNEL: the host kernel does not offer what it needs
 * @HALO_REASON_MODULE: this version of the module does not have it
 * @HALO_REASON_PARAMETER: a module parameter switched it off
 */
enum halo_reason {
	HALO_REASON_NONE = 0,
	HALO_REASON_CPU = 1,
	HALO_REASON_FIRMWARE = 2,
	HALO_REASON_BUSY = 3,
	HALO_REASON_KERNEL = 4,
	HALO_REASON_MODULE = 5,
	HALO_REASON_PARAMETER = 6,
};

/**
 * struct halo_cap_query - one question about a capability
 * @size: sizeof(struct halo_cap_query)
 * @cap: in: enum halo_cap
 * @value: out: the capability's value, 0 = off
 * @reason: out: enum halo_reason, why it is off
 * @reserved: zero
 * @text: out: the reason as a sentence (what, why, fix), NUL-terminated
 */
struct halo_cap_query {
	__u32 size;
	__u32 cap;
	__u64 value;
	__u32 reason;
	__u32 reserved;
	char text[168];
};

#define HALO_NAME_BYTES	24

/**
 * struct halo_create_vm - arguments of HALO_CREATE_VM
 * @size: sizeof(struct halo_create_vm)
 * @flags: zero
 * @name: what statistics call it: printable ASCII without blanks, then zeroes, of which
 *	there is at least one; may be empty
 */
struct halo_create_vm {
	__u32 size;
	__u32 flags;
	char name[HALO_NAME_BYTES];
};

/**
 * struct halo_cpuid_entry - one line of a CPUID table
 * @leaf: EAX in
 * @subleaf: ECX in, looked at when @flags has HALO_CPUID_SUBLEAF
 * @flags: HALO_CPUID_*
 * @eax: EAX out
 * @ebx: EBX out
 * @ecx: ECX out
 * @edx: EDX out
 * @reserved: zero
 */
struct halo_cpuid_entry {
	__u32 leaf;
	__u32 subleaf;
	__u32 flags;
	__u32 eax;
	__u32 ebx;
	__u32 ecx;
	__u32 edx;
	__u32 reserved;
};

#define HALO_CPUID_SUBLEAF	(1u << 0)
#define HALO_MAX_CPUID		256

/**
 * struct halo_cpuid - a CPUID table
 * @size: sizeof(struct halo_cpuid)
 * @count: entries at @entries; HALO_GET_SUPPORTED_CPUID: in: room, out: used
 * @entries: user address of struct halo_cpuid_entry[]
 *
 * HALO_GET_SUPPORTED_CPUID tells the most that a guest may be shown here.
 * HALO_VCPU_SET_CPUID takes the guest's table; feature bits that are not
 * supported are cleared by the module (the clamp), which HALO_VCPU_GET_CPUID
 * shows.  CR4, XCR0 and MSR bits follow the table.
 */
struct halo_cpuid {
	__u32 size;
	__u32 count;
	__u64 entries;
};

/* ------------------------------------------------------------------------- *
 * VM fd
 * ------------------------------------------------------------------------- */

/**
 * struct halo_memslot - guest-physical memory backed by the caller's mapping
 * @size: sizeof(struct halo_memslot)
 * @slot: slot number, below HALO_CAP_MAX_MEMSLOTS
 * @flags: HALO_MEM_*
 * @reserved: zero
 * @gpa: guest-physical start, multiple of 4096
 * @bytes: length, multiple of 4096; 0 deletes the slot
 * @hva: the caller's address of the first byte, multiple of 4096
 *
 * Setting a slot that exists with the same @bytes and @hva moves it to @gpa or
 * changes its flags.  Another length or address needs a delete first
 * (-EINVAL).  Overlap with another slot: -EEXIST.  Pages are taken when the
 * guest touches them and are never pinned.
 */
struct halo_memslot {
	__u32 size;
	__u32 slot;
	__u32 flags;
	__u32 reserved;
	__u64 gpa;
	__u64 bytes;
	__u64 hva;
};

#define HALO_MEM_READONLY	(1u << 0)	/* a write is an MMIO exit */

/* Zones: who answers an access that memory does not. */
#define HALO_BUS_PIO		0
#define HALO_BUS_MMIO		1
#define HALO_BUS_MSR		2
#define HALO_BUS_HYPERCALL	3

/**
 * enum halo_zone_mode - what happens on an access to a zone
 * @HALO_ZONE_SYNC: an exit that waits for its reply
 * @HALO_ZONE_POSTED: a write is queued and the guest goes on; a read is SYNC
 * @HALO_ZONE_DOORBELL: a write signals an eventfd and the guest goes on
 * @HALO_ZONE_CONST: a read gives @match, a write is dropped; no exit
 * @HALO_ZONE_DENY: #GP(0) on the MSR bus; not allowed on the others
 */
enum halo_zone_mode {
	HALO_ZONE_SYNC = 0,
	HALO_ZONE_POSTED = 1,
	HALO_ZONE_DOORBELL = 2,
	HALO_ZONE_CONST = 3,
	HALO_ZONE_DENY = 4,
};

/**
 * struct halo_zone - a range of one bus and what an access to it does
 * @size: sizeof(struct halo_zone)
 * @op: HALO_ZONE_ADD, HALO_ZONE_REMOVE or HALO_ZONE_REPLACE
 * @bus: HALO_BUS_*
 * @mode: enum halo_zone_mode
 * @addr: first port, guest-physical address, MSR index or hypercall number
 * @len: how many of them
 * @cookie: given back in struct halo_exit
 * @match: HALO_ZONE_CONST: what a read gives; with HALO_ZONE_DATAMATCH: the
 *	value that a write must have
 * @flags: HALO_ZONE_*
 * @eventfd: for HALO_ZONE_DOORBELL, else -1; the zone keeps it open
 * @access: accepted access sizes as a mask of 1 | 2 | 4 | 8, 0 = any
 * @reserved: zero
 *
 * An address in no zone is SYNC with cookie 0 on PIO and MMIO; on the MSR bus
 * it is the module's own table, and #GP(0) if that does not know it; on the
 * hypercall bus it answers -ENOSYS (KVM's -KVM_ENOSYS) to the guest.  Zones of
 * one bus may not overlap (-EEXIST); @match tells apart doorbells that share
 * an address.  REMOVE names a zone by @bus, @addr, @len and, if others share
 * these, @match; REPLACE names it in the same way and puts this one in its
 * place.  When SET_ZONE returns, no vCPU acts on what was there before.
 *
 * No zone is asked about MSRs that the guest has in the CPU: FS_BASE, GS_BASE,
 * KERNEL_GS_BASE, SYSENTER_*, and if HALO_CAP_VIRT_INTR is 1 those of an x2APIC.
 *
 * A store to an MMIO doorbell that asks for no size and no value, 8 bytes or more
 * before the zone's end, may not be decoded: it is taken to be a plain one (MOV)
 * and skipped.
 *
 * A read of a POSTED or DOORBELL zone, and a string instruction (INS, OUTS), is
 * SYNC.  A posted exit is complete as it stands; a posted hypercall's @data is
 * RBX, and so is what @match is compared with; it gives 0 in RAX, and is SYNC
 * when it is user code of the guest's that makes it.
 */
struct halo_zone {
	__u32 size;
	__u32 op;
	__u32 bus;
	__u32 mode;
	__u64 addr;
	__u64 len;
	__u64 cookie;
	__u64 match;
	__u32 flags;
	__s32 eventfd;
	__u32 access;
	__u32 reserved;
};

#define HALO_ZONE_ADD		0
#define HALO_ZONE_REMOVE	1
#define HALO_ZONE_REPLACE	2
#define HALO_ZONE_DATAMATCH	(1u << 0)
#define HALO_MAX_ZONES		512

/**
 * struct halo_clock - the VM's time: HALO_VM_GET_CLOCK, HALO_VM_SET_CLOCK
 * @size: sizeof(struct halo_clock)
 * @flags: SET: HALO_CLOCK_*; GET: 0
 * @clock_ns: time of the KVM-compatible clock, ns
 * @tsc: GET: guest TSC at that moment, of a vCPU that never had it written; SET: 0
 * @realtime_ns: GET: host CLOCK_REALTIME at that moment, ns; SET: see flags, else 0
 * @boottime_ns: GET: host CLOCK_BOOTTIME at that moment, ns; SET: 0
 * @reserved: zero
 *
 * A new VM's clock starts at 0 and never stops: not while vCPUs are not run, so a pause
 * that the guest shall not see is a GET before and a SET after it.  SET is for a VM at
 * rest: a vCPU that runs goes by the old time until its next entry.  -EINVAL for
 * unknown flags, what is not 0, a @realtime_ns to come, or a time past 2^63.
 */
struct halo_clock {
	__u32 size;
	__u32 flags;
	__u64 clock_ns;
	__u64 tsc;
	__u64 realtime_ns;
	__u64 boottime_ns;
	__u64 reserved[3];
};

/* @clock_ns was right at @realtime_ns: what has passed since is added. */
#define HALO_CLOCK_REALTIME	(1 << 0)
/* Tell the guest that it was stopped (PVCLOCK_GUEST_STOPPED): its watchdogs start anew. */
#define HALO_CLOCK_STOPPED	(1 << 1)

/**
 * struct halo_tsc_khz - the frequency of the guest's TSC
 * @size: sizeof(struct halo_tsc_khz)
 * @khz: kHz, not 0
 *
 * For a VM that has no vCPU yet (-EBUSY); its time starts anew.  Another frequency than
 * HALO_CAP_TSC_KHZ needs HALO_CAP_TSC_SCALING (-EOPNOTSUPP), and a ratio that the CPU has
 * room for: less than 256 on AMD-V, 65536 on VT-x (-EINVAL).
 */
struct halo_tsc_khz {
	__u32 size;
	__u32 khz;
};

/**
 * struct halo_create_vcpu - arguments of HALO_VM_CREATE_VCPU
 * @size: sizeof(struct halo_create_vcpu)
 * @id: vCPU number and initial APIC ID, below HALO_CAP_MAX_VCPUS
 * @flags: zero
 * @ring_entries: entries of the exit ring and of the reply ring, a power of
 *	two from 4 to 1024; 0 = 64
 *
 * Returns the vCPU fd.  vCPU 0 starts as the bootstrap processor, runnable at
 * the reset vector; the others wait for INIT/SIPI.  -EEXIST: the id is taken.
 */
struct halo_create_vcpu {
	__u32 size;
	__u32 id;
	__u32 flags;
	__u32 ring_entries;
};

/**
 * struct halo_msi - a message-signalled interrupt
 * @size: sizeof(struct halo_msi)
 * @reserved: zero
 * @addr: message address (0xfee00000 page; SDM 3A 11.11)
 * @data: message data
 * @reserved2: zero
 *
 * HALO_VM_MSI returns how many vCPUs took it (0 = it went nowhere).
 */
struct halo_msi {
	__u32 size;
	__u32 reserved;
	__u64 addr;
	__u32 data;
	__u32 reserved2;
};

/**
 * struct halo_irqfd - an eventfd that sends a message when it is signalled
 * @size: sizeof(struct halo_irqfd)
 * @flags: HALO_IRQFD_*
 * @eventfd: whose signals are sent; each has one message (-EBUSY)
 * @resample: HALO_IRQFD_RESAMPLE: an eventfd to signal at the EOI, else not
 *	looked at
 * @addr: message address
 * @data: message data
 * @reserved: zero
 *
 * HALO_IRQFD_RESAMPLE makes it a level: @data must say level-triggered and
 * asserted, and delivered as fixed or lowest priority.  The first signal asserts
 * it; further ones do nothing until a vCPU ends the vector.  That de-asserts it
 * and signals @resample, whereupon a device whose line is still up signals
 * again.  Such an EOI makes no HALO_EXIT_EOI.
 *
 * An eventfd that is closed sends nothing any more; its entry goes by itself.
 */
struct halo_irqfd {
	__u32 size;
	__u32 flags;
	__s32 eventfd;
	__s32 resample;
	__u64 addr;
	__u32 data;
	__u32 reserved;
};

#define HALO_IRQFD_DEASSIGN	(1u << 0)	/* by @eventfd; -ENOENT */
#define HALO_IRQFD_RESAMPLE	(1u << 1)
#define HALO_MAX_IRQFDS		1024

/* ------------------------------------------------------------------------- *
 * vCPU fd: the mapping
 * ------------------------------------------------------------------------- */

/**
 * struct halo_vcpu_layout - where the areas of the vCPU mapping are
 * @size: sizeof(struct halo_vcpu_layout)
 * @ring_entries: entries of each ring
 * @state_offset: mmap offset of STATE
 * @state_bytes: its length
 * @exits_offset: mmap offset of EXITS
 * @exits_bytes: its length
 * @replies_offset: mmap offset of REPLIES
 * @replies_bytes: its length
 * @data_offset: mmap offset of DATA
 * @data_bytes: its length
 *
 * Each area is mapped by its own mmap(MAP_SHARED) of exactly its length;
 * EXITS must not be mapped writable (-EPERM).
 */
struct halo_vcpu_layout {
	__u32 size;
	__u32 ring_entries;
	__u64 state_offset;
	__u64 state_bytes;
	__u64 exits_offset;
	__u64 exits_bytes;
	__u64 replies_offset;
	__u64 replies_bytes;
	__u64 data_offset;
	__u64 data_bytes;
};

/**
 * struct halo_ring - head of a ring; the entries follow at @entries_offset
 * @tail: producer's index, free running
 * @pad0: own cache line
 * @head: consumer's index, free running
 * @pad1: own cache line
 * @entries: number of entries, a power of two
 * @entries_offset: bytes from this struct to entry 0
 * @flags: HALO_RING_*
 * @pad2: own cache line
 *
 * EXITS: the module produces; its @head lives in the REPLIES header, in
 * @head, as the user may not write EXITS.  REPLIES: the user produces (@tail);
 * how far the module has consumed stands in EXITS @head.  In short: a side
 * writes only into its own header: the module @tail (exits it pushed) and
 * @head (replies it took) of EXITS; the user @tail (replies given) and @head
 * (exits taken) of REPLIES.  tail - head <= entries at all times, else the ring
 * is broken and HALO_VCPU_RUN gives -EPROTO from then on.
 *
 * A reader of EXITS that wants to sleep sets HALO_RING_NEED_WAKE in REPLIES
 * @flags, makes a full barrier, looks at the index once more, and calls poll()
 * on the vCPU fd, which gives POLLIN when exits wait.  POSTED exits wake it
 * within struct halo_vcpu_ring's wake_after_us; if no reader has set the flag,
 * HALO_VCPU_RUN (INLINE) returns 0 by then, so that its caller reads them.
 *
 * The other way round a vCPU that is PARKED sets NEED_WAKE in EXITS @flags and
 * sleeps: after each store to @tail or @head of REPLIES, the server makes a full
 * barrier, reads that flag, and calls HALO_VCPU_DOORBELL if it is set.
 *
 * The server may be a thread of any process that holds the vCPU fd: EXITS,
 * REPLIES and DATA may be mapped there, poll() and HALO_VCPU_DOORBELL work;
 * STATE and everything else but HALO_VCPU_STATS_FD is for the VM's own process (-EIO).
 */
struct halo_ring {
	__u32 tail;
	__u32 pad0[15];
	__u32 head;
	__u32 pad1[15];
	__u32 entries;
	__u32 entries_offset;
	__u32 flags;
	__u32 pad2[13];
};

#define HALO_RING_NEED_WAKE	(1u << 0)	/* this side sleeps: ring its doorbell */
#define HALO_RING_BROKEN	(1u << 1)	/* set by the module, never cleared */

/**
 * enum halo_exit_type - why the vCPU needs userspace
 * @HALO_EXIT_PIO: port I/O: @addr port, @size 1/2/4, @data value
 * @HALO_EXIT_MMIO: memory-mapped I/O: @addr GPA, @size 1..8, @data value
 * @HALO_EXIT_MSR: @addr MSR index, @data value
 * @HALO_EXIT_HYPERCALL: @addr number (RAX), arguments in STATE; the reply's
 *	data goes to RAX
 * @HALO_EXIT_INTACK: LINT0 is asserted in ExtINT mode and the vCPU takes it:
 *	reply with the vector (an 8259's INTA cycle; a spurious one is 7)
 * @HALO_EXIT_EOI: a level-triggered vector (@data) was ended (EOI broadcast)
 * @HALO_EXIT_INSN: an instruction the module does not emulate, bytes in
 *	@insn, @addr GPA of the access (or ~0).  Reply DONE = it was emulated
 *	(registers committed through STATE), INJECT = an exception
 * @HALO_EXIT_HLT: the vCPU halted with interrupts off: only NMI, INIT or
 *	reset can wake it.  Informative; reply DONE to go on waiting.  Not told in
 *	a VM of several vCPUs that CPUID shows KVM's PV_UNHALT: there it may be a
 *	lock's waiter
 * @HALO_EXIT_SHUTDOWN: triple fault.  Reply DONE resets the vCPU (a PC's
 *	chipset does so), SHUTDOWN ends it
 * @HALO_EXIT_FAIL: the CPU refused to enter the guest or the module can't go
 *	on: @data enum halo_fail, @addr the hardware's code.  The vCPU is dead
 * @HALO_EXIT_MEMORY: the backing of GPA @addr is gone (no page behind the
 *	mapping: unmapped, SIGBUS, hwpoison).  Reply RETRY after mending it
 * @HALO_EXIT_DEBUG: a debug exception the user asked for
 * @HALO_EXIT_RESET: INIT reached the bootstrap vCPU, which stands at the reset vector
 */
enum halo_exit_type {
	HALO_EXIT_PIO = 1,
	HALO_EXIT_MMIO = 2,
	HALO_EXIT_MSR = 3,
	HALO_EXIT_HYPERCALL = 4,
	HALO_EXIT_INTACK = 5,
	HALO_EXIT_EOI = 6,
	HALO_EXIT_INSN = 7,
	HALO_EXIT_HLT = 8,
	HALO_EXIT_SHUTDOWN = 9,
	HALO_EXIT_FAIL = 10,
	HALO_EXIT_MEMORY = 11,
	HALO_EXIT_DEBUG = 12,
	HALO_EXIT_RESET = 13,
};

/* What struct halo_exit's data says for HALO_EXIT_FAIL. */
#define HALO_FAIL_ENTRY		1	/* VM entry refused; addr: AMD-V VMEXIT_INVALID; VT-x
					 * bits 31:0 VM-instruction error or exit reason,
					 * 63:32 the rule broken, which dmesg spells out
					 */
#define HALO_FAIL_UNKNOWN_EXIT	2	/* an exit reason nobody asked for */
#define HALO_FAIL_MACHINE_CHECK	3	/* #MC while in the guest */
#define HALO_FAIL_EVENT_LOOP	4	/* delivering an event faults for ever */
#define HALO_FAIL_INTERNAL	5	/* the module contradicts itself */

#define HALO_EXIT_F_SYNC	(1u << 0)	/* waits for a reply with its seq */
#define HALO_EXIT_F_POSTED	(1u << 1)	/* no reply */
#define HALO_EXIT_F_STRING	(1u << 2)	/* @data elements of @size bytes in DATA */
#define HALO_EXIT_F_REP		(1u << 3)	/* the instruction had a REP prefix */
#define HALO_EXIT_F_WRITE	(1u << 4)	/* guest to device */

/**
 * struct halo_exit - an entry of the exit ring
 * @seq: number of this exit on its vCPU, from 1
 * @type: enum halo_exit_type
 * @flags: HALO_EXIT_F_*
 * @size: bytes of the access, 0 where there is none
 * @insn_len: length of the instruction in @insn, 0 = not known
 * @vcpu: id of the vCPU
 * @addr: see the type
 * @data: see the type; HALO_EXIT_F_STRING: number of elements in DATA
 * @cookie: the zone's, 0 if the address is in none
 * @rip: guest RIP of the instruction
 * @insn: its bytes (first 16 from RIP), zero where not fetched
 */
struct halo_exit {
	__u64 seq;
	__u16 type;
	__u16 flags;
	__u8 size;
	__u8 insn_len;
	__u16 vcpu;
	__u64 addr;
	__u64 data;
	__u64 cookie;
	__u64 rip;
	__u8 insn[16];
};

/**
 * enum halo_action - what a reply asks for
 * @HALO_ACTION_DONE: the access happened; a read's value is in @data (or, for
 *	HALO_EXIT_F_STRING, in DATA)
 * @HALO_ACTION_RETRY: run the instruction again
 * @HALO_ACTION_INJECT: give the guest exception @vector instead
 * @HALO_ACTION_SHUTDOWN: stop this vCPU; RUN gives -ESHUTDOWN from then on
 */
enum halo_action {
	HALO_ACTION_DONE = 0,
	HALO_ACTION_RETRY = 1,
	HALO_ACTION_INJECT = 2,
	HALO_ACTION_SHUTDOWN = 3,
};

/**
 * struct halo_reply - an entry of the reply ring
 * @seq: of the exit that it answers
 * @action: enum halo_action
 * @vector: HALO_ACTION_INJECT: exception vector, 0 to 31
 * @has_error: HALO_ACTION_INJECT: @error_code is meant
 * @reserved: zero
 * @data: a read's value, an INTACK's vector
 * @error_code: HALO_ACTION_INJECT
 * @reserved2: zero
 */
struct halo_reply {
	__u64 seq;
	__u8 action;
	__u8 vector;
	__u8 has_error;
	__u8 reserved[5];
	__u64 data;
	__u32 error_code;
	__u32 reserved2;
};

/* ------------------------------------------------------------------------- *
 * vCPU fd: the STATE area
 * ------------------------------------------------------------------------- */

/* Groups of struct halo_state, for its wanted / cached / commit masks. */
#define HALO_STATE_GPRS		(1ull << 0)	/* gpr, rip, rflags */
#define HALO_STATE_SEGS		(1ull << 1)	/* segs, gdt, idt */
#define HALO_STATE_CRS		(1ull << 2)	/* cr0, cr2, cr3, cr4, cr8, xcr0, efer */
#define HALO_STATE_DRS		(1ull << 3)	/* dr */
#define HALO_STATE_MSRS		(1ull << 4)	/* star .. tsc_aux */
#define HALO_STATE_EVENTS	(1ull << 5)	/* event, shadow, nmi */
#define HALO_STATE_MP		(1ull << 6)	/* mp_state */
#define HALO_STATE_ALL		0x7full

/* Index into struct halo_state gpr: the encoding order of the instruction set. */
#define HALO_RAX	0
#define HALO_RCX	1
#define HALO_RDX	2
#define HALO_RBX	3
#define HALO_RSP	4
#define HALO_RBP	5
#define HALO_RSI	6
#define HALO_RDI	7
#define HALO_R8		8
#define HALO_R15	15

/* Index into struct halo_state seg: the encoding order, then LDTR and TR. */
#define HALO_SEG_ES	0
#define HALO_SEG_CS	1
#define HALO_SEG_SS	2
#define HALO_SEG_DS	3
#define HALO_SEG_FS	4
#define HALO_SEG_GS	5
#define HALO_SEG_LDTR	6
#define HALO_SEG_TR	7

/**
 * struct halo_segment - a segment register with its hidden part
 * @base: linear base
 * @limit: in bytes, as expanded by G
 * @selector: visible part
 * @attrib: access rights as in a descriptor: bits 0-3 type, 4 S, 5-6 DPL, 7 P,
 *	8 AVL, 9 L, 10 D/B, 11 G, 12 unusable (as APM 15.5 with VMX's U bit)
 */
struct halo_segment {
	__u64 base;
	__u32 limit;
	__u16 selector;
	__u16 attrib;
};

#define HALO_SEG_UNUSABLE	(1u << 12)

/**
 * struct halo_table - GDTR or IDTR
 * @base: linear base
 * @limit: in bytes minus one
 * @reserved: zero
 */
struct halo_table {
	__u64 base;
	__u16 limit;
	__u16 reserved[3];
};

#define HALO_EVENT_NONE		0
#define HALO_EVENT_INTR		1	/* external interrupt */
#define HALO_EVENT_NMI		2
#define HALO_EVENT_EXCEPTION	3
#define HALO_EVENT_SOFT_INT	4	/* INT n */

#define HALO_SHADOW_STI		(1u << 0)	/* one instruction after STI */
#define HALO_SHADOW_MOV_SS	(1u << 1)	/* one instruction after MOV/POP SS */

#define HALO_MP_RUNNABLE	0
#define HALO_MP_HALTED		1
#define HALO_MP_WAIT_SIPI	2	/* AP before its SIPI */
#define HALO_MP_UNINITIALIZED	3	/* AP before its INIT */

/**
 * struct halo_state - a vCPU's registers
 * @wanted: user: groups the module shall fill in when RUN returns
 * @cached: module: groups that hold the vCPU's present values
 * @commit: user: groups the module shall load on the next RUN; cleared by it
 * @flags: user: HALO_RUN_* of the next RUN
 * @reserved0: zero
 * @gpr: general registers, in encoding order
 * @rip: instruction pointer
 * @rflags: flags
 * @seg: segment registers, HALO_SEG_*
 * @gdt: GDTR
 * @idt: IDTR
 * @cr0: CR0
 * @cr2: CR2
 * @cr3: CR3
 * @cr4: CR4
 * @cr8: CR8 (task priority)
 * @xcr0: XCR0
 * @efer: EFER
 * @dr: DR0 to DR3, then DR6, DR7
 * @star: MSR STAR
 * @lstar: MSR LSTAR
 * @cstar: MSR CSTAR
 * @sfmask: MSR SFMASK
 * @kernel_gs_base: MSR KERNEL_GS_BASE
 * @sysenter_cs: MSR SYSENTER_CS
 * @sysenter_esp: MSR SYSENTER_ESP
 * @sysenter_eip: MSR SYSENTER_EIP
 * @pat: MSR PAT
 * @apic_base: MSR APIC_BASE
 * @tsc: time-stamp counter at the moment of the copy
 * @tsc_adjust: MSR TSC_ADJUST
 * @tsc_aux: MSR TSC_AUX
 * @event_type: HALO_EVENT_*, an event whose delivery is not complete
 * @event_vector: its vector
 * @event_has_error: it pushes @event_error
 * @event_error: error code
 * @shadow: HALO_SHADOW_*
 * @nmi_masked: NMIs are blocked until IRET
 * @nmi_pending: NMIs that wait, at most two
 * @reserved1: zero
 * @mp_state: HALO_MP_*
 * @reserved2: zero
 *
 * RUN reads a group whose commit bit is set once, copies it, checks it and
 * loads it; a value that the CPU would refuse gives -EINVAL and changes
 * nothing.  Commits come before the reply to the exit in flight: who replaces
 * RIP answers HALO_ACTION_RETRY, since DONE advances it by the instruction.
 */
struct halo_state {
	__u64 wanted;
	__u64 cached;
	__u64 commit;
	__u32 flags;
	__u32 reserved0;

	__u64 gpr[16];
	__u64 rip;
	__u64 rflags;

	struct halo_segment seg[8];
	struct halo_table gdt;
	struct halo_table idt;

	__u64 cr0;
	__u64 cr2;
	__u64 cr3;
	__u64 cr4;
	__u64 cr8;
	__u64 xcr0;
	__u64 efer;

	__u64 dr[6];

	__u64 star;
	__u64 lstar;
	__u64 cstar;
	__u64 sfmask;
	__u64 kernel_gs_base;
	__u64 sysenter_cs;
	__u64 sysenter_esp;
	__u64 sysenter_eip;
	__u64 pat;
	__u64 apic_base;
	__u64 tsc;
	__u64 tsc_adjust;
	__u64 tsc_aux;

	__u8 event_type;
	__u8 event_vector;
	__u8 event_has_error;
	__u8 shadow;
	__u32 event_error;
	__u8 nmi_masked;
	__u8 nmi_pending;
	__u8 reserved1[6];

	__u32 mp_state;
	__u32 reserved2;
};

#define HALO_RUN_IMMEDIATE_EXIT	(1u << 0)	/* RUN gives -EINTR before entering */
#define HALO_RUN_PARKED		(1u << 1)	/* RUN waits for the reply in the kernel */

/* ------------------------------------------------------------------------- *
 * vCPU fd: the rest
 * ------------------------------------------------------------------------- */

/**
 * struct halo_msr_entry - one MSR
 * @index: MSR number
 * @reserved: zero
 * @value: its value
 */
struct halo_msr_entry {
	__u32 index;
	__u32 reserved;
	__u64 value;
};

/**
 * struct halo_msrs - MSRs by number, beyond those in struct halo_state
 * @size: sizeof(struct halo_msrs)
 * @count: entries at @entries, at most HALO_MAX_MSRS
 * @entries: user address of struct halo_msr_entry[]
 *
 * HALO_VCPU_GET_MSRS and HALO_VCPU_SET_MSRS return how many were done before
 * the first that the vCPU does not have or whose value it refuses.
 */
struct halo_msrs {
	__u32 size;
	__u32 count;
	__u64 entries;
};

#define HALO_MAX_MSRS	256

/**
 * struct halo_lapic_state - the LAPIC's registers
 * @size: sizeof(struct halo_lapic_state)
 * @reserved: zero
 * @regs: the 4 KiB xAPIC page as 64 registers of 16 bytes (SDM 3A 11.4.1)
 */
struct halo_lapic_state {
	__u32 size;
	__u32 reserved;
	__u8 regs[1024];
};

/**
 * struct halo_xsave - the extended state, in the standard (non-compacted) form
 * @size: sizeof(struct halo_xsave)
 * @reserved: zero
 * @area: XSAVE area (SDM 1 13.4)
 */
struct halo_xsave {
	__u32 size;
	__u32 reserved;
	__u64 reserved2[7];
	__u8 area[4096];
};

/**
 * struct halo_line - an interrupt input pin of one vCPU
 * @size: sizeof(struct halo_line)
 * @pin: HALO_PIN_*
 * @level: 1 asserts, 0 de-asserts; an NMI is an edge, taken when 1
 * @reserved: zero
 */
struct halo_line {
	__u32 size;
	__u32 pin;
	__u32 level;
	__u32 reserved;
};

#define HALO_PIN_LINT0		0	/* the 8259's INTR */
#define HALO_PIN_LINT1		1
#define HALO_PIN_NMI		2	/* past the LAPIC */

/**
 * struct halo_vcpu_stats - what a vCPU did, counted since its creation
 * @size: sizeof(struct halo_vcpu_stats)
 * @reserved: zero
 * @entries: VM entries
 * @exits: VM exits
 * @user_exits: exits that userspace answered
 * @pio: port accesses
 * @mmio: device memory accesses
 * @cpuid: CPUID
 * @msr: RDMSR and WRMSR
 * @hlt: HLT
 * @faults: second-stage faults mapped
 * @intr: exits for a host interrupt or a timer
 * @injected: interrupts given to the guest, but for those that the CPU delivers itself
 * @halted_ns: time spent in HLT, ns
 * @tlb_flushes: flushes of the guest's TLB
 * @decoded: instructions fetched and decoded
 * @reserved2: zero
 */
struct halo_vcpu_stats {
	__u32 size;
	__u32 reserved;
	__u64 entries;
	__u64 exits;
	__u64 user_exits;
	__u64 pio;
	__u64 mmio;
	__u64 cpuid;
	__u64 msr;
	__u64 hlt;
	__u64 faults;
	__u64 intr;
	__u64 injected;
	__u64 halted_ns;
	__u64 tlb_flushes;
	__u64 decoded;
	__u64 reserved2[16];
};

/**
 * struct halo_vcpu_ring - how a vCPU and who serves its rings wait for each other
 * @size: sizeof(struct halo_vcpu_ring)
 * @flags: zero
 * @poll_ns: longest time to look out for a reply before going to sleep, ns, at
 *	most HALO_MAX_POLL_NS
 * @wake_after_us: longest time that a POSTED exit waits before its reader is
 *	told, us, at most HALO_MAX_WAKE_AFTER_US; 0 = at once
 * @reserved: zero
 *
 * May be set at any time.
 */
struct halo_vcpu_ring {
	__u32 size;
	__u32 flags;
	__u32 poll_ns;
	__u32 wake_after_us;
	__u64 reserved[4];
};

#define HALO_MAX_POLL_NS	10000000
#define HALO_MAX_WAKE_AFTER_US	1000000

/* ------------------------------------------------------------------------- *
 * Statistics fd
 * ------------------------------------------------------------------------- */

/**
 * struct halo_stats_header - what is at offset 0 of a statistics fd
 * @size: sizeof(struct halo_stats_header)
 * @desc_offset: where the first struct halo_stats_desc is
 * @desc_bytes: from one to the next
 * @desc_count: how many
 * @data_offset: where the values are
 * @data_bytes: how long they are
 * @vm: number of the VM since the module was loaded, from 1: vm of the tracepoints
 * @id: "PID-FD", or "PID-FD/vcpuN": which process made the VM (its number on the host),
 *	as which fd; NUL-terminated
 * @name: the VM's, NUL-terminated
 *
 * HALO_VM_STATS_FD and HALO_VCPU_STATS_FD give an fd that tells what it holds.
 * read() and pread() give present values, at any time, also while vCPUs run, to any
 * number of readers; values of one read() are of about one moment.  A VM's are its own
 * and the sums of its vCPUs'.  Header and descriptors of an fd never change.  A newer
 * module may have more values, in another order, and longer structs: go by the offsets
 * and names that are told.
 *
 * The fd may be asked for and read by any process that holds the VM's or the vCPU's.  It
 * keeps the VM's structures, not the guest's memory, until it is closed.
 */
struct halo_stats_header {
	__u32 size;
	__u32 desc_offset;
	__u32 desc_bytes;
	__u32 desc_count;
	__u32 data_offset;
	__u32 data_bytes;
	__u64 vm;
	char id[40];
	char name[HALO_NAME_BYTES];
};

/**
 * struct halo_stats_desc - one value: what it is and where
 * @offset: of its __u64, from struct halo_stats_header's data_offset
 * @kind: HALO_STATS_COUNTER or HALO_STATS_GAUGE
 * @unit: HALO_STATS_NONE, HALO_STATS_BYTES or HALO_STATS_NS
 * @name: lower case, digits and _; NUL-terminated; keeps its meaning in newer modules
 */
struct halo_stats_desc {
	__u32 offset;
	__u16 kind;
	__u16 unit;
	char name[40];
};

#define HALO_STATS_COUNTER	0	/* since creation; never less than before */
#define HALO_STATS_GAUGE	1	/* at present */

#define HALO_STATS_NONE		0	/* a number of something */
#define HALO_STATS_BYTES	1
#define HALO_STATS_NS		2

/*
 * /dev/halo
 *
 * HALO_GET_API_VERSION   returns HALO_API_VERSION.
 * HALO_GET_CAP           -EINVAL for a capability that is not known.
 * HALO_GET_SUPPORTED_CPUID  -E2BIG if there is not room for all.
 * HALO_CREATE_VM         returns the VM fd.  -EOPNOTSUPP: this CPU can't;
 *                        -EBUSY: another hypervisor holds it; -EPERM: the
 *                        firmware forbids it (each with a line in the log).
 */
#define HALO_GET_API_VERSION	_IO(HALO_IOC_MAGIC, 0x00)
#define HALO_GET_CAP		_IOWR(HALO_IOC_MAGIC, 0x01, struct halo_cap_query)
#define HALO_GET_SUPPORTED_CPUID _IOWR(HALO_IOC_MAGIC, 0x02, struct halo_cpuid)
#define HALO_CREATE_VM		_IOW(HALO_IOC_MAGIC, 0x03, struct halo_create_vm)

/* VM fd; every one but STATS_FD gives -EIO from a process with another mm. */
#define HALO_VM_SET_MEMSLOT	_IOW(HALO_IOC_MAGIC, 0x10, struct halo_memslot)
#define HALO_VM_SET_ZONE	_IOW(HALO_IOC_MAGIC, 0x11, struct halo_zone)
#define HALO_VM_CREATE_VCPU	_IOW(HALO_IOC_MAGIC, 0x12, struct halo_create_vcpu)
#define HALO_VM_MSI		_IOW(HALO_IOC_MAGIC, 0x13, struct halo_msi)
#define HALO_VM_SET_IRQFD	_IOW(HALO_IOC_MAGIC, 0x14, struct halo_irqfd)
#define HALO_VM_STATS_FD	_IO(HALO_IOC_MAGIC, 0x15)
#define HALO_VM_GET_CLOCK	_IOR(HALO_IOC_MAGIC, 0x16, struct halo_clock)
#define HALO_VM_SET_CLOCK	_IOW(HALO_IOC_MAGIC, 0x17, struct halo_clock)
#define HALO_VM_SET_TSC_KHZ	_IOW(HALO_IOC_MAGIC, 0x18, struct halo_tsc_khz)

/*
 * vCPU fd
 *
 * HALO_VCPU_RUN returns 0 when an exit waits in EXITS.  -EINTR: a signal or
 * HALO_RUN_IMMEDIATE_EXIT or HALO_VCPU_KICK, or the kernel has work for the
 * thread: run again; -EAGAIN: the SYNC exit has no reply yet, or the exit ring
 * is full and the next exit waits for room: take exits; -EPROTO: the rings are
 * broken or the reply does not fit; -EINVAL: a committed state is impossible; -ESHUTDOWN:
 * the vCPU was stopped; -EBUSY: another thread runs it.
 *
 * With HALO_RUN_PARKED in STATE's flags it does not return for an exit, but
 * waits until another thread has answered it or taken exits (see struct
 * halo_ring), and gives neither 0 nor -EAGAIN.  -EINTR leaves an exit pending;
 * the next RUN may wait for its reply PARKED, or take it INLINE.
 *
 * HALO_VCPU_DOORBELL wakes a vCPU that sleeps PARKED.  HALO_VCPU_STATS_FD returns an
 * fd, see struct halo_stats_header.
 */
#define HALO_VCPU_RUN		_IO(HALO_IOC_MAGIC, 0x20)
#define HALO_VCPU_GET_LAYOUT	_IOR(HALO_IOC_MAGIC, 0x21, struct halo_vcpu_layout)
#define HALO_VCPU_KICK		_IO(HALO_IOC_MAGIC, 0x22)
#define HALO_VCPU_SET_CPUID	_IOW(HALO_IOC_MAGIC, 0x23, struct halo_cpuid)
#define HALO_VCPU_GET_CPUID	_IOWR(HALO_IOC_MAGIC, 0x24, struct halo_cpuid)
#define HALO_VCPU_GET_MSRS	_IOW(HALO_IOC_MAGIC, 0x25, struct halo_msrs)
#define HALO_VCPU_SET_MSRS	_IOW(HALO_IOC_MAGIC, 0x26, struct halo_msrs)
#define HALO_VCPU_GET_LAPIC	_IOR(HALO_IOC_MAGIC, 0x27, struct halo_lapic_state)
#define HALO_VCPU_SET_LAPIC	_IOW(HALO_IOC_MAGIC, 0x28, struct halo_lapic_state)
#define HALO_VCPU_GET_XSAVE	_IOR(HALO_IOC_MAGIC, 0x29, struct halo_xsave)
#define HALO_VCPU_SET_XSAVE	_IOW(HALO_IOC_MAGIC, 0x2a, struct halo_xsave)
#define HALO_VCPU_SET_LINE	_IOW(HALO_IOC_MAGIC, 0x2b, struct halo_line)
#define HALO_VCPU_GET_STATS	_IOR(HALO_IOC_MAGIC, 0x2c, struct halo_vcpu_stats)
/* Fill STATE's wanted groups now; load its committed groups now. */
#define HALO_VCPU_GET_STATE	_IO(HALO_IOC_MAGIC, 0x2d)
#define HALO_VCPU_SET_STATE	_IO(HALO_IOC_MAGIC, 0x2e)
#define HALO_VCPU_SET_RING	_IOW(HALO_IOC_MAGIC, 0x2f, struct halo_vcpu_ring)
#define HALO_VCPU_DOORBELL	_IO(HALO_IOC_MAGIC, 0x30)
#define HALO_VCPU_STATS_FD	_IO(HALO_IOC_MAGIC, 0x31)

#endif /* _UAPI_LINUX_HALO_H */
