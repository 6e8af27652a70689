// SPDX-License-Identifier: GPL-2.0
/*
 * lab_hold: keeps the scheduler's hooks switched on.
 *
 * The first hypervisor's preemption notifiers have the scheduler's text patched, and
 * so has the first perf event of a task, such as a debugger's breakpoint. On real CPUs
 * that is safe; QEMU before 8.1 can keep a translation made while the bytes were
 * changing, and a CPU dies later of a breakpoint that is long gone. The machine's
 * init loads this while CPU 0 is alone, so that the text is patched once, with
 * nobody else to translate it. Users of the hooks then only count.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/preempt.h>
#include <linux/sched.h>

static struct perf_event *event;

static int __init lab_hold_init(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr),
	};

	/* It counts as a task's, also when this task has ended. */
	event = perf_event_create_kernel_counter(&attr, -1, current, NULL, NULL);
	if (IS_ERR(event))
		return PTR_ERR(event);
	preempt_notifier_inc();
	return 0;
}

static void __exit lab_hold_exit(void)
{
	preempt_notifier_dec();
	perf_event_release_kernel(event);
}

module_init(lab_hold_init);
module_exit(lab_hold_exit);

MODULE_DESCRIPTION("Keeps the scheduler's hooks on");
MODULE_LICENSE("GPL");
