// SPDX-License-Identifier: GPL-2.0
/*
 * lab_hold: keeps the preemption notifiers switched on.
 *
 * The first hypervisor that wants them patches the scheduler's text. On real CPUs
 * that is safe; QEMU before 8.1 can keep a translation made while the bytes were
 * changing, and a CPU dies later of a breakpoint that is long gone. The machine's
 * init loads this while CPU 0 is alone, so that the text is patched once, with
 * nobody else to translate it. Users of the notifiers then only count.
 */
#include <linux/module.h>
#include <linux/preempt.h>

static int __init lab_hold_init(void)
{
	preempt_notifier_inc();
	return 0;
}

static void __exit lab_hold_exit(void)
{
	preempt_notifier_dec();
}

module_init(lab_hold_init);
module_exit(lab_hold_exit);

MODULE_DESCRIPTION("Keeps the preemption notifiers on");
MODULE_LICENSE("GPL");
