/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core's own structs: a VM, a vCPU, and what the files of module/ call in
 * one another.
 *
 * Locks, outermost first: vm->lock (configuration, memslots) > vcpu->lock (held
 * across RUN) > the page tables' rwlock > RCU and interrupts off.  A vCPU lives
 * as long as its VM: closing its fd stops it, and what others hold of it
 * (routing, timers, kicks) stays valid.
 */
#ifndef HALO_VCPU_H
#define HALO_VCPU_H

#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/lockdep.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/static_call.h>
#include <linux/halo.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include "backend.h"
#include "cpuid.h"
#include "ept.h"
#include "host.h"
#include "insn.h"
#include "lapic.h"
#include "ring.h"
#include "walk.h"
#include "zone.h"

#define HALO_MAX_VCPUS		64
#define HALO_MTRR_VAR		8
/* Of a new vCPU. */
#define HALO_WAKE_AFTER_US	100
#define HALO_POLL_NS		20000

struct halo_vcpu;

/**
 * enum halo_next - what follows an exit; an errno is never mixed in
 * @NEXT_RESUME: enter the guest again
 * @NEXT_FORWARD: userspace has an exit to answer
 * @NEXT_STOP: leave RUN with vcpu->error
 */
enum halo_next { NEXT_RESUME, NEXT_FORWARD, NEXT_STOP };

/**
 * struct halo_vm - a virtual machine
 * @ref: one for the VM fd, one for each vCPU fd
 * @lock: configuration
 * @mm: the address space it belongs to (the reference is @mem's)
 * @mem: guest memory
 * @tlb_gen: bumped when second-stage rights go; vCPUs flush when they lag
 * @zones: immutable table, replaced under @lock
 * @nr_zones: how many there are in it, for statistics
 * @irqfds: changed under @lock, read under RCU
 * @nr_irqfds: how many
 * @nr_vcpus: published part of @vcpus and @lapics
 * @vcpus: in order of creation
 * @lapics: the same order, for routing
 * @turn: lowest-priority arbitration
 * @backend: what the backend keeps for all of @vcpus
 * @route_gen: counts changes of what @lapics are addressed by, or of @nr_vcpus
 * @helped: index of the vCPU that a spinning one gave its CPU to last
 * @tsc_offset: the VM's TSC, which starts at 0, minus the host's and what that has lost
 * @tsc_ratio: what the host's is multiplied by before, see halo_cpu.tsc_ratio
 * @tsc_khz: if it is, its rate
 * @clock_lock: the next two, and @boot_ns
 * @tsc_base: VM's TSC at which guest time was @clock_ns
 * @clock_ns: see there, ns
 * @boot_ns: time of day at creation, ns
 * @clock_mul: TSC ticks to guest time, ns: multiplier
 * @clock_shift: and what to shift the product by, to the right, at most 32
 * @node: in the list of all VMs
 * @nr: number since the module was loaded
 * @pid: process that made it
 * @fd: as which fd
 * @name: what that process calls it
 */
struct halo_vm {
	refcount_t ref;
	struct mutex lock;
	struct mm_struct *mm;
	struct halo_mem mem;
	atomic64_t tlb_gen;
	struct halo_zone_table __rcu *zones;
	u32 nr_zones;
	struct list_head irqfds;
	unsigned int nr_irqfds;
	unsigned int nr_vcpus;
	struct halo_vcpu *vcpus[HALO_MAX_VCPUS];
	struct halo_lapic *lapics[HALO_MAX_VCPUS];
	u32 turn;
	void *backend;
	atomic64_t route_gen;
	unsigned int helped;
	u64 tsc_offset;
	u64 tsc_ratio;
	u32 tsc_khz;
	spinlock_t clock_lock;
	u64 tsc_base;
	u64 clock_ns;
	u64 boot_ns;
	u32 clock_mul;
	u32 clock_shift;
	struct list_head node;
	u64 nr;
	pid_t pid;
	int fd;
	char name[HALO_NAME_BYTES];
};

/* What the reply to the SYNC exit in flight will be used for. */
enum halo_pend_kind {
	PEND_NONE,
	PEND_PIO,
	PEND_STRING,
	PEND_MMIO,
	PEND_STORE,		/* MMIO, too, with nothing left to do */
	PEND_RDMSR,
	PEND_WRMSR,
	PEND_HYPERCALL,
	PEND_INTACK,
	PEND_NOTIFY,		/* EOI, HLT: nothing comes back */
	PEND_INSN,
	PEND_SHUTDOWN,
	PEND_MEMORY,
	PEND_DEAD,		/* FAIL: no reply revives it */
};

/* Replies that are used without a look at guest memory, which may sleep. */
#define PENDS_QUICK	(BIT(PEND_PIO) | BIT(PEND_STORE) | BIT(PEND_RDMSR) | BIT(PEND_WRMSR) | \
			 BIT(PEND_HYPERCALL))

/**
 * struct halo_pending - the kernel's own record of the exit in flight
 * @kind: enum halo_pend_kind
 * @size: bytes of the access
 * @in: the device gives data
 * @rep: string with REP
 * @insn_len: what RIP advances by
 * @count: string elements in DATA
 * @gva: string: linear address of the first element
 * @gpa: MMIO: where the present access goes; two if it crosses a page
 * @first: MMIO: bytes of it in the first page
 * @piece: MMIO: which of the two is next
 * @got: MMIO: what the pieces of a read gave so far
 * @insn: MMIO: the instruction; kept for the next one
 * @bytes: MMIO: what @insn was decoded from
 * @mmio: MMIO: how far it is
 *
 * A reply chooses nothing but a value: everything else about its use is here.
 */
struct halo_pending {
	u8 kind;
	u8 size;
	bool in;
	bool rep;
	u8 insn_len;
	u8 addr_size;
	u32 count;
	u64 gva;
	u64 gpa[2];
	u8 first;
	u8 piece;
	u64 got;
	struct halo_insn insn;
	u64 bytes[2];
	struct halo_insn_mmio mmio;
};

#define HALO_CODE_PAGES	8

/**
 * struct halo_code - a page of 64-bit code in which an instruction was fetched
 * @page: its linear address
 * @cr3: CR3 then, HALO_CODE_NONE = no page is known
 * @seq: of the VM's memory then
 * @at: where it is
 * @end: past the last of @step
 * @step: entries of page tables on the way there: where they are, and what they were
 */
struct halo_code {
	u64 page;
	u64 cr3;
	unsigned long seq;
	const u8 __user *at;
	const struct halo_code_step *end;
	struct halo_code_step {
		const u64 __user *pte;
		u64 entry;
	} step[HALO_WALK_LEVELS];
};

#define HALO_CODE_NONE	(~0ull)	/* no CR3 */

/**
 * struct halo_count - what a vCPU did; stats.c names them in this order
 * @exits: by enum halo_hw_reason
 * @user_exits: exits that wait for userspace's answer
 * @posted: POSTED exits
 * @doorbells: writes that signalled a zone's eventfd
 * @mmio: accesses to device memory
 * @faults: second-stage faults mapped
 * @injected: interrupts given to the guest, but for those that the CPU delivers itself
 * @decoded: instructions fetched and decoded
 * @halts: how often it slept in HLT
 * @halted_ns: how long
 * @parks: how often it slept PARKED, waiting for a server
 * @parked_ns: how long
 *
 * Written by the vCPU's owner, read by anybody.
 */
struct halo_count {
	u64 exits[HW_REASONS];
	u64 user_exits;
	u64 posted;
	u64 doorbells;
	u64 mmio;
	u64 faults;
	u64 injected;
	u64 decoded;
	u64 halts;
	u64 halted_ns;
	u64 parks;
	u64 parked_ns;
};

/* vcpu->asked_type, beside the HALO_EXIT_* */
#define ASKED_FILLED	0	/* @exit is to be pushed */
#define ASKED_GIVEN	0xffff	/* nothing: it is in the ring */
#define ASKED_TAKEN	0xfffe	/* its reply has ended RUN, with @error */

/* Bits of vcpu->requests. */
#define REQ_KICK	0	/* leave RUN with -EINTR */
#define REQ_READ	1	/* leave it with 0, if exits wait */
#define REQ_STEAL	2	/* its thread had lost the CPU: halo_pv_steal_update() */
#define REQ_CLOCK	4	/* the VM's time was set: write its record anew */
#define REQ_UNHALT	3	/* another vCPU ends its HLT, the present or the next one */

#define MODE_OUTSIDE	0
#define MODE_IN_GUEST	1

/**
 * struct halo_vcpu - a virtual CPU
 * @cpu: the backend's view
 * @vm: its VM
 * @id: number and APIC ID
 * @serial: differs between any two vCPUs that ever lived
 * @lock: held across RUN
 * @mode: MODE_*; set with interrupts off
 * @pcpu: the CPU it is loaded on while in RUN, for kicks
 * @requests: REQ_*
 * @tlb_gen: what it has flushed up to
 * @lapic: local APIC; its page is its own
 * @timer: its timer; with halo_caps.deadline, while the vCPU sleeps
 * @wait: the thread in HLT
 * @rings: exit and reply ring
 * @areas: what is mapped: the four areas, as @layout says
 * @layout: where in @areas
 * @state: STATE area
 * @data: DATA area
 * @readers: who sleeps in poll() until there are exits
 * @announce: tells of posted exits
 * @announcing: @announce is on
 * @wake_after_us: how long they may wait, us
 * @parked: this RUN waits for a server, in the kernel
 * @poll_ns: longest time to look out for it before sleeping, ns
 * @spin_ns: how long it is at present
 * @exit: the exit being forwarded
 * @exit_waits: @exit did not fit into the ring yet
 * @staying: between two entries, interrupts off: what would sleep or forward waits
 * @asked: for what reply a stay asks userspace, or PEND_NONE
 * @asked_type: what is left to do for it: HALO_EXIT_* to forward, or ASKED_*
 * @pending: what its reply is for
 * @error: errno for NEXT_STOP
 * @stopped: a reply asked for SHUTDOWN, or the vCPU failed
 * @triple: a fault in the delivery of a double fault
 * @mp_state: HALO_MP_*
 * @nmi_pending: NMIs that wait, at most two
 * @cpuid: CPUID table; the host's, which is shared, until another one is set
 * @caps: what follows from it
 * @fpu: guest FPU, swapped with the task's
 * @loaded: between load and put
 * @in_kernel: it was at CPL 0 then, and not in HLT
 * @halt_poll: how long to look out in HLT at present, ns
 * @tsc_lost: host ticks that its TSC offset makes up for, after the host's sleep
 * @preempted: its thread has lost the CPU while it had work
 * @pid: its thread
 * @pv: paravirtual interface: thread whose waiting was looked at last, and its run
 *	delay then, ns; an EOI by memory is on offer; the next HLT ends at once; to
 *	be told that the VM was stopped; its steal time record says that it is preempted
 * @pn: scheduling in and out
 * @bytes: instruction bytes of this exit
 * @bytes_len: how many, 0 = not fetched
 * @codes: where instruction bytes were found, by the page's number
 * @code: the last one
 * @hole: device page of the last second-stage fault, shifted left, and whether it was
 *	written; and the seq of the VM's memory then
 * @msr: MSRs that are only numbers
 * @count: statistics
 */
struct halo_vcpu {
	struct halo_cpu cpu;
	struct halo_vm *vm;
	u32 id;
	u64 serial;
	struct mutex lock;
	int mode;
	int pcpu;
	unsigned long requests;
	u64 tlb_gen;
	struct halo_lapic lapic;
	struct hrtimer timer;
	struct rcuwait wait;

	struct halo_rings rings;
	void *areas;
	struct halo_vcpu_layout layout;
	struct halo_state *state;
	u8 *data;
	wait_queue_head_t readers;
	struct hrtimer announce;
	bool announcing;
	u32 wake_after_us;
	bool parked;
	u32 poll_ns;
	u64 spin_ns;
	struct halo_exit exit;
	bool exit_waits;
	bool staying;
	u8 asked;
	u16 asked_type;
	struct halo_pending pending;
	int error;
	bool stopped;
	bool triple;

	u32 mp_state;
	u8 nmi_pending;
	const struct halo_cpuid_table *cpuid;
	struct halo_cpuid_caps caps;
	struct fpu_guest fpu;
	bool loaded;
	bool preempted;
	bool in_kernel;
	unsigned int halt_poll;
	u64 tsc_lost;
	struct pid __rcu *pid;
	struct {
		struct task_struct *task;
		u64 waited;
		bool eoi_offered;
		bool unhalted;
		bool stopped;
		bool said;
	} pv;
	struct preempt_notifier pn;

	u8 bytes[16] __aligned(8);
	u8 bytes_len;
	struct halo_code codes[HALO_CODE_PAGES];
	const struct halo_code *code;
	struct {
		u64 at;
		unsigned long seq;
	} hole;

	struct {
		u64 tsc_adjust;
		u64 tsc_aux;
		u64 misc_enable;
		u64 ucode;
		u64 mtrr_def;
		u64 mtrr_fixed[11];
		u64 mtrr_var[HALO_MTRR_VAR][2];
		u64 mcg_status;
		u64 pv_system_time;
		u64 pv_wall_clock;
		u64 pv_steal;
		u64 pv_eoi;
		u64 pv_poll;
		u64 hwcr;
	} msr;

	struct halo_count count;
};

extern const struct halo_backend *halo_be;

/* Its run(), spared the way through the table: there is one backend to a machine. */
DECLARE_STATIC_CALL(halo_run, *((struct halo_backend *)NULL)->run);
extern struct halo_caps halo_hw;
extern struct halo_cpuid_table *halo_cpuid_host;
extern struct halo_cpuid_caps halo_cpuid_host_caps;

static inline struct halo_vcpu *to_vcpu(struct halo_cpu *cpu)
{
	return container_of(cpu, struct halo_vcpu, cpu);
}

/**
 * halo_vm_vcpus() - how many vCPUs may be walked without the lock
 * @vm: the VM
 */
static inline unsigned int halo_vm_vcpus(struct halo_vm *vm)
{
	/* Pairs with the release in halo_vcpu_create(). */
	return smp_load_acquire(&vm->nr_vcpus);
}

/**
 * halo_arch_get() - the registers of some groups, present values
 * @vcpu: the vCPU
 * @groups: ARCH_*
 */
static inline struct halo_arch *halo_arch_get(struct halo_vcpu *vcpu, u32 groups)
{
	struct halo_arch *a = &vcpu->cpu.arch;

	if (unlikely((a->valid & groups) != groups)) {
		halo_be->state_get(&vcpu->cpu, groups & ~a->valid);
		a->valid |= groups;
	}
	return a;
}

const struct halo_arch *halo_arch_code_changed(struct halo_vcpu *vcpu);

/**
 * halo_arch_code() - what tells the mode of the code that runs: ARCH_CODE's registers
 * @vcpu: the vCPU
 */
static inline const struct halo_arch *halo_arch_code(struct halo_vcpu *vcpu)
{
	/* What was changed here must not be got from the hardware again. */
	return likely(!vcpu->cpu.arch.dirty) ? halo_arch_get(vcpu, ARCH_CODE) :
					       halo_arch_code_changed(vcpu);
}

/**
 * halo_mode64() - is the guest in 64-bit mode (not compatibility mode)
 * @vcpu: the vCPU
 */
static inline bool halo_mode64(struct halo_vcpu *vcpu)
{
	return halo_arch_code(vcpu)->code64;
}

/**
 * halo_cpl() - the guest's privilege level
 * @vcpu: the vCPU
 */
static inline unsigned int halo_cpl(struct halo_vcpu *vcpu)
{
	return halo_arch_code(vcpu)->cpl;
}

/**
 * halo_arch_put() - groups were changed; to be loaded before the next entry
 * @vcpu: the vCPU
 * @groups: ARCH_*, which must be valid
 */
static inline void halo_arch_put(struct halo_vcpu *vcpu, u32 groups)
{
	vcpu->cpu.arch.dirty |= groups;
	vcpu->cpu.arch.valid &= ~ARCH_CODE;
}

/* The low bytes of a register or an address. */
static inline u64 halo_size_mask(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

/**
 * struct halo_ioctl - one command of an fd
 * @cmd: its number, which holds its struct's size and which way that goes
 * @fn: does it, with a kernel copy of the struct, or zeroed room for one
 */
struct halo_ioctl {
	unsigned int cmd;
	long (*fn)(void *obj, void *arg);
};

/* dev.c */
long halo_ioctl(const struct halo_ioctl *table, size_t n, void *obj, unsigned int cmd,
		unsigned long user);
long halo_cpuid_give(struct halo_cpuid *c, const struct halo_cpuid_table *table);
int halo_hw_get(void);
void halo_hw_put(void);

/* vm.c */
long halo_vm_create(void *unused, void *arg);
void halo_vm_put(struct halo_vm *vm);

/* vcpu.c */
long halo_vcpu_create(void *obj, void *arg);
void halo_vcpu_free(struct halo_vcpu *vcpu);
void halo_vcpu_reset(struct halo_vcpu *vcpu, bool init);
void halo_vcpu_kick(struct halo_vcpu *vcpu);

/* state.c */
int halo_state_commit(struct halo_vcpu *vcpu);
void halo_state_provide(struct halo_vcpu *vcpu);
void halo_state_reset(struct halo_vcpu *vcpu, bool init);

/* run.c */
int halo_vcpu_run(struct halo_vcpu *vcpu);

/* stay.c */
enum halo_stay halo_stay_next(struct halo_vcpu *vcpu, enum halo_next next);
enum halo_stay halo_stay_interrupts(struct halo_vcpu *vcpu, enum halo_stay answer);
bool halo_stay_lapic(struct halo_vcpu *vcpu);
void halo_stay(struct halo_vcpu *vcpu);
bool halo_must_wait(struct halo_vcpu *vcpu);
void halo_exit_cpuid(struct halo_vcpu *vcpu);
enum halo_next halo_hypercall(struct halo_vcpu *vcpu, int len);

/*
 * What a vCPU is about, vcpu->mp_state.  Userspace may set any of them by a commit;
 * besides, only this happens, on the vCPU's own thread:
 *
 *                     INIT               SIPI                 HLT
 *   UNINITIALIZED ----------> WAIT_SIPI -------> RUNNABLE ------------> HALTED
 *    an AP's RESET              ^    ^           |  ^    <------------  |
 *                               |    +---INIT----+  |     interrupt,    |
 *                               |                   |     NMI, kick     |
 *                               +-------------------|--------INIT-------+
 *                              (the BSP's RESET, and its INIT in any state)
 *
 * RUNNABLE is running between halo_enter()'s MODE_IN_GUEST and MODE_OUTSIDE, ready
 * before and after; all others sleep in halo_block(), where only mail wakes one that
 * waits for an INIT or a SIPI.
 */
static inline void halo_mp_halt(struct halo_vcpu *vcpu)
{
	lockdep_assert(vcpu->mp_state == HALO_MP_RUNNABLE);
	vcpu->mp_state = HALO_MP_HALTED;
}

/* Something to do came, for one that does not wait to be started. */
static inline void halo_mp_wake(struct halo_vcpu *vcpu)
{
	lockdep_assert(vcpu->mp_state <= HALO_MP_HALTED);
	vcpu->mp_state = HALO_MP_RUNNABLE;
}

/* event.c */
enum halo_next halo_exception(struct halo_vcpu *vcpu, u8 vector, bool has_error, u32 error);
void halo_page_fault(struct halo_vcpu *vcpu, u64 address, u32 error);
enum halo_next halo_events(struct halo_vcpu *vcpu);
bool halo_events_window(struct halo_vcpu *vcpu);
bool halo_wakeable(struct halo_vcpu *vcpu);

static inline enum halo_next halo_gp(struct halo_vcpu *vcpu)
{
	return halo_exception(vcpu, 13, true, 0);
}

static inline enum halo_next halo_ud(struct halo_vcpu *vcpu)
{
	return halo_exception(vcpu, 6, false, 0);
}

/* exit.c */
enum halo_next halo_exit_dispatch(struct halo_vcpu *vcpu);
enum halo_next halo_skip(struct halo_vcpu *vcpu, unsigned int len);

/**
 * enum halo_stay - what became of an exit during a stay
 * @STAY_NOT: nothing: halo_exit_dispatch() is to answer it
 * @STAY_ON: answered: enter again
 * @STAY_OVER: answered: but something must be done before the next entry
 */
enum halo_stay { STAY_NOT, STAY_ON, STAY_OVER };

/**
 * halo_stay_skip() - halo_skip() during a stay
 * @vcpu: the vCPU
 * @len: length of the instruction
 *
 * Return: STAY_ON, or STAY_OVER if there was something special about it.
 */
static __always_inline enum halo_stay halo_stay_skip(struct halo_vcpu *vcpu, unsigned int len)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	u64 rip = cpu->rip + len;

	if (unlikely((rip ^ cpu->rip) >> 32 || cpu->rflags & X86_EFLAGS_TF)) {
		halo_skip(vcpu, len);
		return STAY_OVER;
	}
	cpu->rip = rip;
	cpu->shadow = 0;
	/* Set by the exits that are like faults: those for memory. */
	cpu->rflags &= ~(u64)X86_EFLAGS_RF;
	return STAY_ON;
}

/**
 * struct halo_access - an access to a bus
 * @addr: port, guest-physical address, MSR index or hypercall number
 * @value: what is written, zeros above @size; or what was read
 * @cookie: out: the zone's
 * @bus: HALO_BUS_*
 * @size: bytes
 * @write: guest to device
 * @insn_len: length of the instruction
 * @flags: out: HALO_EXIT_F_SYNC or _POSTED, of the exit that it comes to
 */
struct halo_access {
	u64 addr;
	u64 value;
	u64 cookie;
	u8 bus;
	u8 size;
	bool write;
	u8 insn_len;
	u16 flags;
};

enum halo_access_result { ACCESS_DONE, ACCESS_ASK, ACCESS_NONE, ACCESS_DENY };

/**
 * halo_no_zone() - is an address of the MSR or hypercall bus in no zone
 * @vcpu: the vCPU, staying
 * @bus: HALO_BUS_*
 * @addr: the address
 */
static inline bool halo_no_zone(struct halo_vcpu *vcpu, unsigned int bus, u64 addr)
{
	/* Preemption off is a reader's section, too. */
	return halo_zone_none(rcu_dereference_sched(vcpu->vm->zones), bus, addr);
}

/* bus.c */
enum halo_access_result halo_access(struct halo_vcpu *vcpu, struct halo_access *a);
bool halo_doorbell(struct halo_vcpu *vcpu, u64 gpa);
bool halo_post(struct halo_vcpu *vcpu, const struct halo_access *a);
void halo_bell(struct halo_vcpu *vcpu, const struct halo_zone_desc *zone);
long halo_bus_set_zone(void *obj, void *arg);
void halo_bus_free(struct halo_vm *vm);

/* serve.c */
void halo_serve_init(struct halo_vcpu *vcpu);
long halo_serve_set_ring(void *obj, void *arg);
long halo_serve_doorbell(struct halo_vcpu *vcpu);
__poll_t halo_serve_poll(struct file *file, poll_table *wait);
enum halo_next halo_park(struct halo_vcpu *vcpu);
void halo_announce_start(struct halo_vcpu *vcpu);

/**
 * halo_announce() - a POSTED exit was pushed: its reader must hear of it in time
 * @vcpu: the vCPU
 */
static inline void halo_announce(struct halo_vcpu *vcpu)
{
	/* The index before the timer: if that is still on, it sees the index. */
	smp_mb();
	if (unlikely(!READ_ONCE(vcpu->announcing)))
		halo_announce_start(vcpu);
}

/* forward.c */
void halo_exit_fill(const struct halo_vcpu *vcpu, const struct halo_access *a,
		    struct halo_exit *x);
enum halo_next halo_ask(struct halo_vcpu *vcpu, const struct halo_access *a,
			enum halo_pend_kind kind);
enum halo_next halo_forward(struct halo_vcpu *vcpu, u16 type, enum halo_pend_kind kind);
enum halo_next halo_forward_asked(struct halo_vcpu *vcpu);
enum halo_next halo_fail(struct halo_vcpu *vcpu, u64 what, u64 code);
enum halo_next halo_reply_take(struct halo_vcpu *vcpu);
enum halo_next halo_reply_done(struct halo_vcpu *vcpu, u8 kind, u64 data);
enum halo_next halo_forward_eoi(struct halo_vcpu *vcpu, int eoi);

/* pio.c */
enum halo_next halo_exit_pio(struct halo_vcpu *vcpu);
enum halo_stay halo_stay_pio(struct halo_vcpu *vcpu);
void halo_reg_write(u64 *reg, u64 value, unsigned int size);
enum halo_next halo_string_complete(struct halo_vcpu *vcpu);

/* mmio.c */
enum halo_next halo_exit_memory(struct halo_vcpu *vcpu);
enum halo_stay halo_stay_memory(struct halo_vcpu *vcpu);
enum halo_next halo_mmio_complete(struct halo_vcpu *vcpu, u64 data);
int halo_operand(struct halo_vcpu *vcpu, const struct halo_insn *insn, void *buf,
		 unsigned int size, bool write);

/* gva.c */
int halo_decode(struct halo_vcpu *vcpu, struct halo_insn *insn);
int halo_decode_mmio(struct halo_vcpu *vcpu);
bool halo_code_read(struct halo_vcpu *vcpu);
int halo_insn_length(struct halo_vcpu *vcpu, enum halo_insn_kind kind);
int halo_gva_to_gpa(struct halo_vcpu *vcpu, u64 gva, unsigned int access, u64 *gpa);
int halo_gva_pages(struct halo_vcpu *vcpu, u64 gva, unsigned int len, bool write, u64 gpa[2]);
int halo_pages_copy(struct halo_vcpu *vcpu, const u64 gpa[2], unsigned int first, void *buf,
		    unsigned int len, bool write);
int halo_gva_copy(struct halo_vcpu *vcpu, u64 gva, void *buf, unsigned int len, bool write);
int halo_seg_linear(struct halo_vcpu *vcpu, unsigned int seg, u64 offset, unsigned int size,
		    bool write, u64 *linear);

/* msr.c */
enum halo_stay halo_stay_msr(struct halo_vcpu *vcpu, bool write, int len);
enum halo_next halo_exit_msr(struct halo_vcpu *vcpu, bool write);
int halo_msr_read(struct halo_vcpu *vcpu, u32 index, u64 *value);
int halo_msr_write(struct halo_vcpu *vcpu, u32 index, u64 value, bool host);
void halo_msr_reset(struct halo_vcpu *vcpu);

/* cr.c */
enum halo_next halo_exit_cr(struct halo_vcpu *vcpu);
enum halo_next halo_exit_dr(struct halo_vcpu *vcpu);
enum halo_next halo_exit_xsetbv(struct halo_vcpu *vcpu);
bool halo_cr0_valid(struct halo_vcpu *vcpu, u64 cr0);
bool halo_pdptes_load(struct halo_vcpu *vcpu, struct halo_arch *a);
bool halo_efer_valid(struct halo_vcpu *vcpu, u64 efer);

/* irq.c */
extern const struct halo_lapic_ops halo_lapic_glue;
void halo_irq_init(struct halo_vcpu *vcpu);
int halo_irq_route(struct halo_vm *vm, struct halo_lapic *from, const struct halo_ipi *ipi,
		   unsigned int source);
void halo_irq_deadline(struct halo_vcpu *vcpu);
void halo_irq_hand_over(struct halo_vcpu *vcpu);
void halo_irq_sleep(struct halo_vcpu *vcpu);
void halo_irq_wake(struct halo_vcpu *vcpu);
long halo_irq_msi(void *obj, void *arg);
long halo_irq_line(void *obj, void *arg);

/* irqfd.c */
long halo_irqfd_set(void *obj, void *arg);
bool halo_irqfd_eoi(struct halo_vm *vm, u8 vector);
void halo_irqfd_free_vm(struct halo_vm *vm);

/* stats.c */
void halo_stats_init(void);
void halo_stats_exit(void);
void halo_stats_add(struct halo_vm *vm, int fd);
void halo_stats_del(struct halo_vm *vm);
long halo_stats_fd_vm(struct halo_vm *vm);
long halo_stats_fd_vcpu(struct halo_vcpu *vcpu);
long halo_stats_vcpu(void *obj, void *arg);

/* sched.c */
int halo_block(struct halo_vcpu *vcpu);
void halo_sched_lost(struct halo_vcpu *vcpu);
bool halo_sched_yield(struct halo_vcpu *to);
void halo_sched_spin(struct halo_vcpu *vcpu);

/* pv.c */
/* Numbers of the hypercalls that exist, and what others get, or user code: negative. */
#define HALO_PV_CALLS	(BIT_ULL(5) | BIT_ULL(10) | BIT_ULL(11))
#define PV_ENOSYS	1000
#define PV_EPERM	1
int halo_pv_steal_set(struct halo_vcpu *vcpu, u64 value);
int halo_pv_eoi_set(struct halo_vcpu *vcpu, u64 value);
void halo_pv_reset(struct halo_vcpu *vcpu);
void halo_pv_steal_update(struct halo_vcpu *vcpu);
void halo_pv_sched_out(struct halo_vcpu *vcpu);
void halo_pv_eoi_offer(struct halo_vcpu *vcpu);
void halo_pv_eoi_take(struct halo_vcpu *vcpu);
void halo_pv_owner(struct halo_vcpu *vcpu);
u64 halo_pv_hypercall(struct halo_vcpu *vcpu, u64 nr);

/* clock.c */
u64 halo_tsc(struct halo_vcpu *vcpu);
void halo_tsc_init(struct halo_vcpu *vcpu);
void halo_tsc_set(struct halo_vcpu *vcpu, u64 value);
void halo_tsc_shift(struct halo_vcpu *vcpu, u64 delta);
void halo_clock_init(struct halo_vm *vm);
int halo_clock_system_time(struct halo_vcpu *vcpu, u64 value);
int halo_clock_wall(struct halo_vcpu *vcpu, u64 value);
void halo_clock_update(struct halo_vcpu *vcpu);
void halo_clock_lost(struct halo_vcpu *vcpu, u64 lost);
long halo_clock_get(void *obj, void *arg);
long halo_clock_set(void *obj, void *arg);
long halo_clock_set_tsc_khz(void *obj, void *arg);

#endif /* HALO_VCPU_H */
