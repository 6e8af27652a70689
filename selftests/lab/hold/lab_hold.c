// SPDX-License-Identifier: GPL-2.0
/*
 * lab_hold: two defects of QEMU before 8.1 with several CPUs, kept away.
 *
 * The first hypervisor's preemption notifiers have the scheduler's text patched, and
 * so has the first perf event of a task, such as a debugger's breakpoint. On real CPUs
 * that is safe; QEMU before 8.1 can keep a translation made while the bytes were
 * changing, and a CPU dies later of a breakpoint that is long gone. The machine's
 * init loads this while CPU 0 is alone, so that the text is patched once, with
 * nobody else to translate it. Users of the hooks then only count.
 *
 * And its #VMEXIT clears a bit of the CPU's set of pending requests without the lock
 * that others take to set one there: an interrupt that another thread requests right
 * then waits in the local APIC until the next one is requested. So CPU 0, which the
 * emulator's other threads see to, has a call go to every other CPU ten times a second.
 */
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/preempt.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/timer.h>

static struct perf_event *event;

static void lab_hold_called(void *arg)
{
}

static DEFINE_PER_CPU(call_single_data_t, lab_hold_call);
static struct timer_list ticker;

static void lab_hold_tick(struct timer_list *timer)
{
	unsigned int cpu;

	/* One that has not arrived yet is -EBUSY; a CPU that is gone, -ENXIO. */
	for_each_online_cpu(cpu)
		if (cpu != smp_processor_id())
			smp_call_function_single_async(cpu, per_cpu_ptr(&lab_hold_call, cpu));
	mod_timer(timer, jiffies + HZ / 10);
}

static int __init lab_hold_init(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr),
	};
	unsigned int cpu;

	/* It counts as a task's, also when this task has ended. */
	event = perf_event_create_kernel_counter(&attr, -1, current, NULL, NULL);
	if (IS_ERR(event))
		return PTR_ERR(event);
	preempt_notifier_inc();
	for_each_possible_cpu(cpu)
		INIT_CSD(per_cpu_ptr(&lab_hold_call, cpu), lab_hold_called, NULL);
	timer_setup(&ticker, lab_hold_tick, TIMER_PINNED);
	mod_timer(&ticker, jiffies + HZ / 10);
	return 0;
}

static void __exit lab_hold_exit(void)
{
	del_timer_sync(&ticker);
	/* The last calls have been heard, and have returned. */
	on_each_cpu(lab_hold_called, NULL, 1);
	synchronize_rcu();
	preempt_notifier_dec();
	perf_event_release_kernel(event);
}

module_init(lab_hold_init);
module_exit(lab_hold_exit);

MODULE_DESCRIPTION("Keeps defects of an emulator away");
MODULE_LICENSE("GPL");
