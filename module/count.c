// SPDX-License-Identifier: GPL-2.0
/*
 * The counters of count.h, and the module parameter "counted" that shows them: a line for
 * each exit reason that was seen, of its name, how often, and the sums of the five kinds.
 * Writing it sets all to 0.  "guest_ticks" is the time from entries to exits, which an
 * emulator may count in instructions.
 *
 * No lock: see there.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>
#include "backend.h"
#include "count.h"

u64 halo_counted[COUNT_KINDS];

static struct {
	u64 exits;
	u64 sum[COUNT_KINDS];
} halo_counts[HW_UNKNOWN + 1];

static const char *const halo_reasons[HW_UNKNOWN + 1] = {
	[HW_NONE] = "none", [HW_INTR] = "intr", [HW_DEADLINE] = "deadline", [HW_NMI] = "nmi",
	[HW_INTR_WINDOW] = "intr-window", [HW_NMI_WINDOW] = "nmi-window",
	[HW_EXCEPTION] = "exception", [HW_CPUID] = "cpuid", [HW_HLT] = "hlt",
	[HW_PAUSE] = "pause", [HW_RDMSR] = "rdmsr", [HW_WRMSR] = "wrmsr", [HW_PIO] = "pio",
	[HW_MEMORY] = "memory", [HW_HYPERCALL] = "hypercall", [HW_EOI] = "eoi",
	[HW_APIC_WRITE] = "apic-write", [HW_CR] = "cr", [HW_DR] = "dr", [HW_XSETBV] = "xsetbv",
};

static unsigned long halo_guest_ticks;
module_param_named(guest_ticks, halo_guest_ticks, ulong, 0600);

static u64 halo_entered_at;

/* Reason of the last exit, whose all is that was counted since. */
static u8 halo_counted_for;

/**
 * halo_count_left() - the guest has just stopped
 */
void halo_count_left(void)
{
	halo_guest_ticks += rdtsc() - halo_entered_at;
}

/**
 * halo_count_exit() - it is known why the guest has stopped
 * @reason: why
 */
void halo_count_exit(u8 reason)
{
	halo_counted_for = reason;
}

/**
 * halo_count_entry() - the guest is about to be entered
 */
void halo_count_entry(void)
{
	unsigned int kind, reason = halo_counted_for;

	halo_counts[reason].exits++;
	for (kind = 0; kind < COUNT_KINDS; kind++) {
		halo_counts[reason].sum[kind] += halo_counted[kind];
		halo_counted[kind] = 0;
	}
	halo_entered_at = rdtsc();
}

static int halo_counted_get(char *text, const struct kernel_param *kp)
{
	unsigned int i, kind;
	int len = 0;

	for (i = 0; i <= HW_UNKNOWN; i++) {
		if (!halo_counts[i].exits)
			continue;
		len += scnprintf(text + len, PAGE_SIZE - len, "%s\t%llu",
				 halo_reasons[i] ?: "other", halo_counts[i].exits);
		for (kind = 0; kind < COUNT_KINDS; kind++)
			len += scnprintf(text + len, PAGE_SIZE - len, "\t%llu",
					 halo_counts[i].sum[kind]);
		len += scnprintf(text + len, PAGE_SIZE - len, "\n");
	}
	return len;
}

static int halo_counted_set(const char *text, const struct kernel_param *kp)
{
	memset(halo_counts, 0, sizeof(halo_counts));
	return 0;
}

static const struct kernel_param_ops halo_counted_ops = {
	.get = halo_counted_get,
	.set = halo_counted_set,
};

module_param_cb(counted, &halo_counted_ops, NULL, 0600);
