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
#include "vcpu.h"

static u64 halo_glue_now(void *ctx)
{
	return ktime_get_ns();
}

static u64 halo_glue_tsc(void *ctx)
{
	return halo_tsc(ctx);
}

/* Guest TSC to host time; a deadline that is too far to compute is a year. */
static u64 halo_tsc_to_ns(struct halo_vcpu *vcpu, u64 when)
{
	u64 now = halo_tsc(vcpu), delta;

	if (when <= now)
		return ktime_get_ns();
	delta = min_t(u64, when - now, (u64)tsc_khz * 1000 * 86400 * 365);
	/* Round up: a timer that fires early is armed again. */
	return ktime_get_ns() + mul_u64_u32_div(delta, 1000000, tsc_khz) + 1;
}

static void halo_glue_arm(void *ctx, enum halo_lapic_timer unit, u64 when)
{
	struct halo_vcpu *vcpu = ctx;

	if (unit == HALO_LAPIC_TIMER_TSC)
		when = halo_tsc_to_ns(vcpu, when);
	when = min_t(u64, when, KTIME_MAX);
	hrtimer_start(&vcpu->timer, ns_to_ktime(when), HRTIMER_MODE_ABS_HARD);
}

static void halo_glue_cancel(void *ctx)
{
	struct halo_vcpu *vcpu = ctx;

	hrtimer_cancel(&vcpu->timer);
}

static enum hrtimer_restart halo_timer_fired(struct hrtimer *timer)
{
	struct halo_vcpu *vcpu = container_of(timer, struct halo_vcpu, timer);

	if (halo_lapic_post_timer(&vcpu->lapic))
		halo_vcpu_kick(vcpu);
	return HRTIMER_NORESTART;
}

static void halo_glue_ipi(void *ctx, const struct halo_ipi *ipi)
{
	struct halo_vcpu *vcpu = ctx;
	struct halo_vm *vm = vcpu->vm;

	halo_lapic_route(vm->lapics, halo_vm_vcpus(vm), &vcpu->lapic, ipi, &vm->turn);
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
 * halo_irq_msi() - HALO_VM_MSI
 * @obj: the VM
 * @arg: struct halo_msi
 *
 * Return: how many vCPUs took it; -EINVAL if it is no MSI.
 */
long halo_irq_msi(void *obj, void *arg)
{
	const struct halo_msi *msi = arg;
	struct halo_vm *vm = obj;
	struct halo_ipi ipi;

	if (msi->reserved || msi->reserved2 || halo_msi_decode(msi->addr, msi->data, &ipi))
		return -EINVAL;
	return halo_lapic_route(vm->lapics, halo_vm_vcpus(vm), NULL, &ipi, &vm->turn);
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
