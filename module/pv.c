// SPDX-License-Identifier: GPL-2.0
/*
 * The paravirtual interface that Linux guests know from KVM, but its clock (clock.c):
 * steal time, EOI without an exit, and the hypercalls by which one vCPU helps another.
 *
 * What is offered stands in CPUID leaf 0x40000001, bit for bit as KVM's documentation
 * has it (Documentation/virt/kvm/x86/cpuid.rst, msr.rst, hypercalls.rst); a vCPU that is
 * not shown a bit has neither its MSR nor its hypercall.
 *
 * Records in guest memory are the guest's: what is read from there decides nothing but
 * what the guest does to itself.  All but halo_pv_sched_out() is for the owner of the
 * vCPU, in process context; that one runs in the scheduler, and gives up on a page that
 * is not there.
 */
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <uapi/linux/kvm_para.h>
#include "vcpu.h"

#define PV_ENABLED	1ull
#define STEAL_ALIGN	63ull		/* reserved: the record is aligned to 64 bytes */
#define EOI_ALIGN	2ull		/* reserved: it is 4 bytes */

/* As the hypercall interface has them, not the host's. */
#define PV_EINVAL	22

/* An ICR of SEND_IPI names neither a destination nor a shorthand. */
#define ICR_NOT_HERE	(3u << 18 | 1u << 11)

/**
 * halo_pv_steal_set() - WRMSR KVM_STEAL_TIME
 * @vcpu: the vCPU
 * @value: GPA of struct kvm_steal_time, bit 0 enables
 *
 * Return: 0; -EINVAL for a reserved bit.
 */
int halo_pv_steal_set(struct halo_vcpu *vcpu, u64 value)
{
	if (value & STEAL_ALIGN & ~PV_ENABLED)
		return -EINVAL;
	vcpu->msr.pv_steal = value;
	vcpu->pv.task = NULL;
	/* What was left in the old record is done, whatever it was. */
	vcpu->cpu.flush_tlb = true;
	vcpu->pv.said = false;
	if (value & PV_ENABLED)
		set_bit(REQ_STEAL, &vcpu->requests);
	return 0;
}

/**
 * halo_pv_eoi_set() - WRMSR KVM_PV_EOI_EN
 * @vcpu: the vCPU
 * @value: GPA of a word, bit 0 enables
 *
 * Return: 0; -EINVAL for a reserved bit.
 */
int halo_pv_eoi_set(struct halo_vcpu *vcpu, u64 value)
{
	if (value & EOI_ALIGN)
		return -EINVAL;
	vcpu->msr.pv_eoi = value;
	return 0;
}

/**
 * halo_pv_reset() - RESET or INIT
 * @vcpu: the vCPU; its MSRs are reset by halo_msr_reset()
 *
 * INIT resets the LAPIC, and with it what is agreed on about EOIs.
 */
void halo_pv_reset(struct halo_vcpu *vcpu)
{
	vcpu->msr.pv_eoi = 0;
	vcpu->pv.eoi_offered = false;
	vcpu->pv.unhalted = false;
}

/* How long this thread has waited for a CPU since it was last asked. */
static u64 halo_pv_waited(struct halo_vcpu *vcpu)
{
	u64 now = halo_host_run_delay(), was = vcpu->pv.waited;
	bool same = vcpu->pv.task == current;

	vcpu->pv.task = current;
	vcpu->pv.waited = now;
	return same && now > was ? now - was : 0;
}

/* Not preempted any more; did others leave a flush for us to do meanwhile? */
static int halo_pv_resumed(struct halo_mem *mem, u64 gpa, bool *flush)
{
	u32 old;
	int err;

	gpa += offsetof(struct kvm_steal_time, preempted);
	do {
		err = halo_mem_read(mem, gpa, &old, sizeof(old));
		if (err)
			return err;
		*flush = old & KVM_VCPU_FLUSH_TLB;
		if (!(old & 0xff))
			return 0;
		err = halo_mem_cmpxchg(mem, gpa, old, old & ~0xffu, sizeof(old));
		/* Others writing it on and on: it ends some time. */
	} while (err == -EAGAIN && !fatal_signal_pending(current));
	return err;
}

/**
 * halo_pv_steal_update() - the thread had lost its CPU: bring the record up to date
 * @vcpu: the vCPU
 *
 * A record without memory is left alone; the guest gets no more of it.
 */
void halo_pv_steal_update(struct halo_vcpu *vcpu)
{
	u64 gpa = vcpu->msr.pv_steal & ~STEAL_ALIGN, waited = halo_pv_waited(vcpu);
	u64 at = gpa + offsetof(struct kvm_steal_time, version);
	struct halo_mem *mem = &vcpu->vm->mem;
	u32 version;
	bool flush = false;
	u64 steal;

	if (!(vcpu->msr.pv_steal & PV_ENABLED))
		return;
	if (halo_pv_resumed(mem, gpa, &flush)) {
		/* A flush may have been left there, too. */
		vcpu->cpu.flush_tlb = true;
		vcpu->msr.pv_steal = 0;
		return;
	}
	vcpu->pv.said = false;
	if (flush && (vcpu->caps.has & HALO_HAS_PV_TLB_FLUSH))
		vcpu->cpu.flush_tlb = true;
	if (!waited || halo_mem_read(mem, gpa, &steal, sizeof(steal)) ||
	    halo_mem_read(mem, at, &version, sizeof(version)))
		return;
	steal += waited;
	version |= 1;
	halo_mem_write(mem, at, &version, sizeof(version));
	smp_wmb();	/* other vCPUs read it, too: odd before anything else moves */
	halo_mem_write(mem, gpa, &steal, sizeof(steal));
	smp_wmb();	/* and before it is even again */
	version++;
	halo_mem_write(mem, at, &version, sizeof(version));
}

/**
 * halo_pv_sched_out() - the thread loses its CPU
 * @vcpu: the vCPU; its thread is current, interrupts are off
 *
 * Says so in the record: others need not wait for this vCPU to answer a TLB flush, and
 * its spinlock's waiters know that they wait for long.
 */
void halo_pv_sched_out(struct halo_vcpu *vcpu)
{
	const u8 preempted = KVM_VCPU_PREEMPTED;

	if (!(vcpu->msr.pv_steal & PV_ENABLED))
		return;
	set_bit(REQ_STEAL, &vcpu->requests);
	/* Said already: somebody may have left a flush beside it since. */
	if (vcpu->pv.said)
		return;
	vcpu->pv.said = true;
	halo_mem_poke(&vcpu->vm->mem, (vcpu->msr.pv_steal & ~STEAL_ALIGN) +
		      offsetof(struct kvm_steal_time, preempted), &preempted, sizeof(preempted));
}

/**
 * halo_pv_eoi_offer() - let the guest's next EOI be a bit in its memory, if that will do
 * @vcpu: the vCPU, about to enter
 *
 * It will if nothing waits for that EOI: no other interrupt, and no IOAPIC.
 */
void halo_pv_eoi_offer(struct halo_vcpu *vcpu)
{
	u64 gpa = vcpu->msr.pv_eoi & ~3ull;
	u32 word;

	if (vcpu->cpu.virt_intr || !halo_lapic_eoi_quiet(&vcpu->lapic) ||
	    halo_mem_read(&vcpu->vm->mem, gpa, &word, sizeof(word)))
		return;
	word |= 1;
	vcpu->pv.eoi_offered = !halo_mem_write(&vcpu->vm->mem, gpa, &word, sizeof(word));
}

/**
 * halo_pv_eoi_take() - the offer is over: has the guest made its EOI?
 * @vcpu: the vCPU, out of the guest
 */
void halo_pv_eoi_take(struct halo_vcpu *vcpu)
{
	u64 gpa = vcpu->msr.pv_eoi & ~3ull;
	u32 word;

	vcpu->pv.eoi_offered = false;
	if (halo_mem_read(&vcpu->vm->mem, gpa, &word, sizeof(word)))
		return;
	if (!(word & 1)) {
		halo_lapic_eoi(&vcpu->lapic);
		return;
	}
	word &= ~1u;
	halo_mem_write(&vcpu->vm->mem, gpa, &word, sizeof(word));
}

/* The vCPU with an APIC ID, NULL if there is none. */
static struct halo_vcpu *halo_pv_vcpu(struct halo_vm *vm, u64 id)
{
	unsigned int i, n = halo_vm_vcpus(vm);

	for (i = 0; i < n; i++)
		if (vm->vcpus[i]->id == id)
			return vm->vcpus[i];
	return NULL;
}

/**
 * halo_pv_owner() - another thread than before runs the vCPU
 * @vcpu: the vCPU, locked
 */
void halo_pv_owner(struct halo_vcpu *vcpu)
{
	struct pid *old = rcu_dereference_protected(vcpu->pid, lockdep_is_held(&vcpu->lock));

	rcu_assign_pointer(vcpu->pid, get_task_pid(current, PIDTYPE_PID));
	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

static u64 halo_pv_yield_call(struct halo_vcpu *vcpu, u64 id)
{
	struct halo_vcpu *to = halo_pv_vcpu(vcpu->vm, id);

	if (to && to != vcpu)
		halo_sched_yield(to);
	return 0;
}

/* Whoever waits in HLT for a lock has got it, or will soon wait. */
static u64 halo_pv_kick(struct halo_vcpu *vcpu, u64 id)
{
	struct halo_vcpu *to = halo_pv_vcpu(vcpu->vm, id);

	if (to && to != vcpu) {
		set_bit(REQ_UNHALT, &to->requests);
		smp_mb__after_atomic();	/* the request before the mode */
		halo_vcpu_kick(to);
		halo_sched_yield(to);
	}
	return 0;
}

static int halo_pv_ipis(struct halo_vm *vm, u64 set, u64 first, struct halo_ipi *ipi)
{
	int taken = 0;

	for (; set; set &= set - 1) {
		ipi->dest = first + __ffs64(set);
		taken += halo_lapic_route(vm->lapics, halo_vm_vcpus(vm), NULL, ipi, &vm->turn);
	}
	return taken;
}

/* An IPI to each of up to 128 APIC IDs from @first on. */
static u64 halo_pv_send_ipi(struct halo_vcpu *vcpu, const u64 arg[4], bool wide)
{
	struct halo_vm *vm = vcpu->vm;
	u32 icr = arg[3];
	struct halo_ipi ipi = {
		.vector = icr & 0xff,
		.mode = icr >> 8 & 7,
		.level = true,
		.wide = true,
	};
	u64 first = arg[2];

	if ((icr & ICR_NOT_HERE) || ipi.mode == HALO_DM_INIT || ipi.mode == HALO_DM_SIPI)
		return -PV_EINVAL;
	if (first >= HALO_MAX_VCPUS)
		return 0;
	return halo_pv_ipis(vm, arg[0], first, &ipi) +
	       halo_pv_ipis(vm, arg[1], first + (wide ? 64 : 32), &ipi);
}

/**
 * halo_pv_hypercall() - a hypercall that is in no zone
 * @vcpu: the vCPU
 * @nr: its number
 *
 * Arguments are in RBX, RCX, RDX and RSI, 32 bits of each outside 64-bit mode.
 *
 * Return: for RAX.
 */
u64 halo_pv_hypercall(struct halo_vcpu *vcpu, u64 nr)
{
	static const u8 regs[4] = { GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI };
	bool wide = halo_mode64(vcpu);
	u64 arg[4], has = 0;
	unsigned int i;

	if (halo_cpl(vcpu))
		return -PV_EPERM;
	switch (nr) {
	case KVM_HC_KICK_CPU:
		has = HALO_HAS_PV_UNHALT;
		break;
	case KVM_HC_SEND_IPI:
		has = HALO_HAS_PV_SEND_IPI;
		break;
	case KVM_HC_SCHED_YIELD:
		has = HALO_HAS_PV_YIELD;
		break;
	}
	if (!(vcpu->caps.has & has))
		return -PV_ENOSYS;
	for (i = 0; i < ARRAY_SIZE(arg); i++)
		arg[i] = wide ? vcpu->cpu.gpr[regs[i]] : (u32)vcpu->cpu.gpr[regs[i]];
	switch (nr) {
	case KVM_HC_KICK_CPU:
		return halo_pv_kick(vcpu, arg[1]);
	case KVM_HC_SEND_IPI:
		return halo_pv_send_ipi(vcpu, arg, wide);
	default:
		return halo_pv_yield_call(vcpu, arg[0]);
	}
}
