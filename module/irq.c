// SPDX-License-Identifier: GPL-2.0
/*
 * The LAPIC model's surroundings: its timer, its IPIs, MSIs and pins.
 *
 * The timer callback and every poster run in any context; they set a mailbox
 * bit (a full barrier) and kick.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>
#include "trace.h"
#include "tsc.h"
#include "vcpu.h"

static u64 halo_glue_now(void *ctx)
{
	return ktime_get_ns();
}

static u64 halo_glue_tsc(void *ctx)
{
	return halo_tsc(ctx);
}

#define HALO_YEAR	(86400ull * 365)

static u64 halo_tsc_to_ns(u64 ticks)
{
	return mul_u64_u32_div(ticks, 1000000, tsc_khz) + 1;
}

/*
 * From now to @when in TSC ticks: at most a year, and rounded up.  A timer that
 * fires early is armed again.
 */
static u64 halo_ticks_to(struct halo_vcpu *vcpu, enum halo_lapic_timer unit, u64 when)
{
	u64 now = unit == HALO_LAPIC_TIMER_TSC ? halo_tsc(vcpu) : ktime_get_ns();

	if (when <= now)
		return 0;
	if (unit == HALO_LAPIC_TIMER_TSC) {
		when -= now;
		if (unlikely(vcpu->cpu.tsc_ratio))
			when = halo_tsc_unscale(when, vcpu->vm->tsc_khz, tsc_khz);
		return min_t(u64, when, HALO_YEAR * 1000 * tsc_khz);
	}
	return mul_u64_u32_div(min_t(u64, when - now, HALO_YEAR * NSEC_PER_SEC), tsc_khz,
			       1000000) + 1;
}

/*
 * Where the CPU itself comes out of the guest in time, the host's timer is needed
 * only for a vCPU that sleeps: whoever does not run or sleep, looks before it does.
 */
static void halo_glue_arm(void *ctx, enum halo_lapic_timer unit, u64 when)
{
	struct halo_vcpu *vcpu = ctx;
	u64 ticks = halo_ticks_to(vcpu, unit, when);

	if (halo_hw.deadline && !check_tsc_unstable())
		vcpu->cpu.deadline = rdtsc() + ticks;
	else
		hrtimer_start(&vcpu->timer, ns_to_ktime(ktime_get_ns() + halo_tsc_to_ns(ticks)),
			      HRTIMER_MODE_ABS_HARD);
}

static void halo_glue_cancel(void *ctx)
{
	struct halo_vcpu *vcpu = ctx;

	vcpu->cpu.deadline = 0;
	hrtimer_cancel(&vcpu->timer);
}

/**
 * halo_irq_deadline() - the timer's moment may have come
 * @vcpu: the vCPU
 */
void halo_irq_deadline(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;

	if (!cpu->deadline || rdtsc() < cpu->deadline)
		return;
	cpu->deadline = 0;
	halo_lapic_post_timer(&vcpu->lapic);
}

/**
 * halo_irq_sleep() - the vCPU is about to sleep: the host's timer takes over
 * @vcpu: the vCPU
 */
void halo_irq_sleep(struct halo_vcpu *vcpu)
{
	u64 now = rdtsc(), deadline = vcpu->cpu.deadline;

	if (deadline)
		hrtimer_start(&vcpu->timer,
			      deadline > now ? ns_to_ktime(halo_tsc_to_ns(deadline - now)) : 0,
			      HRTIMER_MODE_REL_HARD);
}

/**
 * halo_irq_wake() - it has slept
 * @vcpu: the vCPU
 */
void halo_irq_wake(struct halo_vcpu *vcpu)
{
	if (!vcpu->cpu.deadline)
		return;
	hrtimer_cancel(&vcpu->timer);
	halo_irq_deadline(vcpu);
}

static enum hrtimer_restart halo_timer_fired(struct hrtimer *timer)
{
	struct halo_vcpu *vcpu = container_of(timer, struct halo_vcpu, timer);

	if (halo_lapic_post_timer(&vcpu->lapic))
		halo_vcpu_kick(vcpu);
	return HRTIMER_NORESTART;
}

/**
 * halo_irq_route() - a message to the VM's LAPICs (any context)
 * @vm: the VM
 * @from: the LAPIC that sends it, NULL if it is none of them
 * @ipi: the message
 * @source: enum halo_irq_source
 *
 * Return: how many vCPUs took it.
 */
int halo_irq_route(struct halo_vm *vm, struct halo_lapic *from, const struct halo_ipi *ipi,
		   unsigned int source)
{
	int taken = halo_lapic_route(vm->lapics, halo_vm_vcpus(vm), from, ipi, &vm->turn);

	trace_halo_irq(vm, source, ipi, taken);
	return taken;
}

static void halo_glue_rerouted(void *ctx)
{
	struct halo_vcpu *vcpu = ctx;

	if (unlikely(halo_hw.virt_xapic)) {
		vcpu->cpu.virt_intr = vcpu->lapic.route & HALO_ROUTE_VIRT;
		vcpu->cpu.apic_ipis = vcpu->lapic.route & HALO_ROUTE_IPIS;
		halo_be->apic_refresh(&vcpu->cpu);
	}
	/* Ordered after the change, and before what the guest does next. */
	atomic64_inc_return(&vcpu->vm->route_gen);
}

static bool halo_glue_doorbell(void *ctx)
{
	struct halo_vcpu *vcpu = ctx;
	int cpu, me;

	if (READ_ONCE(vcpu->mode) != MODE_IN_GUEST)
		return false;
	me = get_cpu();
	cpu = READ_ONCE(vcpu->pcpu);
	/* It looks at each entry; where it has gone meanwhile, it does so, too. */
	if (cpu != me && cpu >= 0)
		halo_be->doorbell(cpu);
	put_cpu();
	return true;
}

static void halo_glue_ipi(void *ctx, const struct halo_ipi *ipi)
{
	struct halo_vcpu *vcpu = ctx;

	halo_irq_route(vcpu->vm, &vcpu->lapic, ipi, HALO_IRQ_IPI);
}

static void halo_glue_kick(void *ctx)
{
	halo_vcpu_kick(ctx);
}

const struct halo_lapic_ops halo_lapic_glue = {
	.now_ns = halo_glue_now,
	.tsc_now = halo_glue_tsc,
	.timer_arm = halo_glue_arm,
	.timer_cancel = halo_glue_cancel,
	.send_ipi = halo_glue_ipi,
	.kick = halo_glue_kick,
	.rerouted = halo_glue_rerouted,
	.doorbell = halo_glue_doorbell,
};

/**
 * halo_irq_init() - before the LAPIC is built
 * @vcpu: the vCPU
 */
void halo_irq_init(struct halo_vcpu *vcpu)
{
	hrtimer_init(&vcpu->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	vcpu->timer.function = halo_timer_fired;
}

/**
 * halo_irq_hand_over() - tell the CPU, which delivers interrupts itself, what changed
 * @vcpu: the vCPU
 *
 * A LAPIC that software has switched off refuses what the CPU would do.
 */
void halo_irq_hand_over(struct halo_vcpu *vcpu)
{
	const u64 x2 = HALO_ROUTE_X2APIC | HALO_ROUTE_SOFT;
	struct halo_lapic *l = &vcpu->lapic;
	struct halo_cpu *cpu = &vcpu->cpu;
	unsigned int w, status;

	if (unlikely(halo_hw.virt_xapic)) {
		/* It is to hear of each entry: nothing is ever not new. */
		halo_be->apic_enter(cpu);
		return;
	}
	status = halo_lapic_status(l);
	cpu->apic_rvi = status;
	cpu->apic_svi = status >> 8;
	cpu->apic_x2 = (l->route & x2) == x2;
	for (w = 0; w < 4; w++)
		cpu->eoi_exits[w] = l->reg[HALO_LAPIC_TMR + 2 * w].v |
				    (u64)l->reg[HALO_LAPIC_TMR + 2 * w + 1].v << 32;
	cpu->apic_changed = true;
}

/**
 * halo_irq_msi() - HALO_VM_MSI
 * @obj: the VM
 * @arg: struct halo_msi
 *
 * Return: how many vCPUs took it; -EINVAL if it is no MSI.
 */
long halo_irq_msi(void *obj, void *arg)
{
	const struct halo_msi *msi = arg;
	struct halo_ipi ipi;

	if (msi->reserved || msi->reserved2 || halo_msi_decode(msi->addr, msi->data, &ipi))
		return -EINVAL;
	return halo_irq_route(obj, NULL, &ipi, HALO_IRQ_MSI);
}

/**
 * halo_irq_line() - HALO_VCPU_SET_LINE
 * @obj: the vCPU, not locked
 * @arg: struct halo_line
 *
 * Return: 0; -EINVAL if there is no such pin.
 */
long halo_irq_line(void *obj, void *arg)
{
	const struct halo_line *line = arg;
	struct halo_vcpu *vcpu = obj;

	if (line->reserved || line->level > 1 || line->pin > HALO_PIN_NMI)
		return -EINVAL;
	if (halo_lapic_set_line(&vcpu->lapic, line->pin, line->level))
		halo_vcpu_kick(vcpu);
	return 0;
}
