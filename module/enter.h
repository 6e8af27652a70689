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
#include <linux/kvm_host.h>

/**
 * halo_host_guest_enter() - what stands before an entry; interrupts are off
 * @again: nothing happened since the last exit that RCU could care about: it need not
 *	be told of a quiescent state once more.  The host's timer tick ends such a chain.
 */
static __always_inline void halo_host_guest_enter(bool again)
{
	if (!again || context_tracking_enabled()) {
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
