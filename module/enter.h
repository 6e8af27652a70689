/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a backend owes the kernel before it enters a guest. For the backends' run.c
 * only, as the header that it takes is KVM's, which names much that we name, too.
 */
#ifndef HALO_ENTER_H
#define HALO_ENTER_H

#include <linux/context_tracking.h>
#include <linux/ftrace.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kvm_host.h>

/**
 * halo_host_guest_enter() - what stands before an entry; interrupts are off
 * @told: jiffies when RCU was last told that this vCPU enters a guest
 * @again: interrupts have been off since the last exit, so there was no tick
 *
 * An entry is a quiescent state, which RCU wants to hear of.  It takes no interest in
 * more than one a tick: its grace periods are driven by ticks, and the expedited ones by
 * an interrupt that ends the stay.  A CPU without ticks tracks its context instead.
 */
static __always_inline void halo_host_guest_enter(unsigned long *told, bool again)
{
	if ((!again && unlikely(*told != READ_ONCE(jiffies))) || context_tracking_enabled()) {
		*told = READ_ONCE(jiffies);
		guest_state_enter_irqoff();
		return;
	}
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

#endif /* HALO_ENTER_H */
