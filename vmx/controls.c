// SPDX-License-Identifier: GPL-2.0
/*
 * Which controls a vCPU runs with: one table that reads as prose, and the rule of
 * SDM 3D A.3.1 for fitting a wish into what the CPU allows.
 *
 * Called once, when the module probes the CPU.  APIC virtualization is a choice of
 * its own: it may be there and not wanted.
 */
#include "controls.h"

/* NEED: refused without.  MAY: used where it is.  NOT: refused where it can't be off. */
enum vmx_wish { NEED, MAY, NOT };

/* In the order of struct vmx_controls. */
enum vmx_word { PIN, CPU, CPU2, EXIT, ENTRY, WORDS };

struct vmx_wanted {
	u8 word;
	u8 wish;
	u32 bit;
	const char *name;
};

/*
 * Let through: RDTSC (scaled, with an offset), CR8 (to the LAPIC's page), INVLPG, INVPCID,
 *   CR3, descriptor tables, RDRAND, RDSEED, a PAUSE by itself: EPT and VPID make them the guest's
 *   own business.
 * Take: everything below that is called "exiting", for the reason beside it.
 * What the guest is not shown (XSAVES, UMWAIT, PCONFIG, VM functions) is not
 * enabled, which makes it #UD.
 */
static const struct vmx_wanted vmx_wanted[] = {
	{ PIN, NEED, VMX_PIN_EXT_INTR, "external-interrupt exiting" },	/* the host's */
	{ PIN, NEED, VMX_PIN_NMI, "NMI exiting" },			/* the host's */
	{ PIN, NEED, VMX_PIN_VIRTUAL_NMIS, "virtual NMIs" },
	{ PIN, MAY, VMX_PIN_PREEMPTION_TIMER, "preemption timer" },
	{ PIN, NOT, VMX_PIN_POSTED_INTR, "posted interrupts" },
	{ CPU, NEED, VMX_CPU_INTR_WINDOW, "interrupt-window exiting" },
	{ CPU, NEED, VMX_CPU_NMI_WINDOW, "NMI-window exiting" },
	{ CPU, NEED, VMX_CPU_TSC_OFFSETTING, "TSC offsetting" },
	{ CPU, NEED, VMX_CPU_HLT, "HLT exiting" },		/* would stop the host's CPU */
	{ CPU, NEED, VMX_CPU_MWAIT, "MWAIT exiting" },		/* likewise; hidden */
	{ CPU, NEED, VMX_CPU_MONITOR, "MONITOR exiting" },
	{ CPU, NEED, VMX_CPU_RDPMC, "RDPMC exiting" },		/* the host's counters */
	{ CPU, NEED, VMX_CPU_TPR_SHADOW, "TPR shadow" },	/* every CPU with EPT has it */
	{ CPU, NEED, VMX_CPU_MOV_DR, "MOV-DR exiting" },	/* the host's DR0 to DR3 stay */
	{ CPU, NEED, VMX_CPU_IO, "unconditional I/O exiting" },	/* devices */
	{ CPU, NEED, VMX_CPU_MSR_BITMAPS, "MSR bitmaps" },
	{ CPU, NEED, VMX_CPU_SECONDARY, "secondary controls" },
	{ CPU, NOT, VMX_CPU_CR8_LOAD, "CR8-load exiting" },
	{ CPU, NOT, VMX_CPU_CR8_STORE, "CR8-store exiting" },
	{ CPU, NOT, VMX_CPU_CR3_LOAD, "CR3-load exiting" },
	{ CPU, NOT, VMX_CPU_CR3_STORE, "CR3-store exiting" },
	{ CPU2, NEED, VMX_CPU2_EPT, "EPT" },
	{ CPU2, NEED, VMX_CPU2_UNRESTRICTED, "unrestricted guest" },
	{ CPU2, NEED, VMX_CPU2_WBINVD, "WBINVD exiting" },	/* would flush the host's cache */
	{ CPU2, MAY, VMX_CPU2_PAUSE_LOOP, "pause-loop exiting" },	/* who spins helps others */
	{ CPU2, MAY, VMX_CPU2_TSC_SCALING, "TSC scaling" },
	{ CPU2, MAY, VMX_CPU2_VPID, "VPID" },
	{ CPU2, MAY, VMX_CPU2_RDTSCP, "RDTSCP" },
	{ CPU2, MAY, VMX_CPU2_INVPCID, "INVPCID" },
	{ EXIT, NEED, VMX_EXIT_HOST_64, "a 64-bit host" },
	{ EXIT, NEED, VMX_EXIT_SAVE_DEBUG, "saving of debug controls" },
	{ EXIT, NEED, VMX_EXIT_LOAD_EFER, "loading of the host's EFER" },
	{ EXIT, MAY, VMX_EXIT_LOAD_PAT, "loading of the host's PAT" },
	{ EXIT, NOT, VMX_EXIT_ACK_INTR, "acknowledging of interrupts" },
	{ ENTRY, NEED, VMX_ENTRY_IA32E, "64-bit guests" },
	{ ENTRY, NEED, VMX_ENTRY_LOAD_DEBUG, "loading of debug controls" },
	{ ENTRY, NEED, VMX_ENTRY_LOAD_EFER, "loading of the guest's EFER" },
	{ ENTRY, MAY, VMX_ENTRY_LOAD_PAT, "loading of the guest's PAT" },
};

/* What EPT must be able to do (A.10). */
static const struct {
	u64 bits;
	const char *name;
} vmx_ept_wanted[] = {
	{ VMX_CAP_EPT_WALK_4, "4 levels of EPT" },
	{ VMX_CAP_EPT_WB, "write-back EPT" },
	{ VMX_CAP_EPT_2M, "2 MiB EPT pages" },
	{ VMX_CAP_INVEPT | VMX_CAP_INVEPT_ALL, "INVEPT" },
};

static void vmx_name(char *text, size_t bytes, const char *name)
{
	size_t at = strlen(text), i;

	if (at + strlen(name) + 3 > bytes)
		return;
	if (at) {
		text[at++] = ',';
		text[at++] = ' ';
	}
	for (i = 0; name[i]; i++)
		text[at++] = name[i];
	text[at] = 0;
}

/**
 * vmx_controls_apic() - let the CPU deliver interrupts, if it can
 * @caps: the capability MSRs by enum vmx_cap
 * @c: what vmx_controls_choose() has chosen; @c->apic says whether it can
 *
 * All or nothing: without one of these the others leave an x2APIC's registers to
 * those of the host's own (29.5).
 */
void vmx_controls_apic(const u64 caps[VMX_CAPS], struct vmx_controls *c)
{
	const u32 cpu2 = VMX_CPU2_APIC_REGISTER | VMX_CPU2_VIRT_INTR;

	c->apic = !(~(caps[VMX_CAP_CPU2] >> 32) & (cpu2 | VMX_CPU2_X2APIC));
	if (c->apic)
		c->cpu2 |= cpu2;
}

/**
 * vmx_controls_choose() - fit what we want into what the CPU allows
 * @caps: the capability MSRs by enum vmx_cap; absent ones 0
 * @out: the controls; every bit that the CPU wants as 0 or 1 is so
 * @text: names of what is missing, as a list
 * @bytes: room there
 *
 * The capability says which bits must be 1 (low half) and which may (high half).
 * The TRUE ones, where they are, also let bits be 0 that were always 1 before.
 *
 * Return: 0; -EOPNOTSUPP with @text.
 */
int vmx_controls_choose(const u64 caps[VMX_CAPS], struct vmx_controls *out, char *text,
			size_t bytes)
{
	const bool have_true = caps[VMX_CAP_BASIC] & VMX_CAP_BASIC_TRUE;
	const u64 allowed[WORDS] = {
		[PIN] = caps[have_true ? VMX_CAP_TRUE_PIN : VMX_CAP_PIN],
		[CPU] = caps[have_true ? VMX_CAP_TRUE_CPU : VMX_CAP_CPU],
		[CPU2] = caps[VMX_CAP_CPU2],
		[EXIT] = caps[have_true ? VMX_CAP_TRUE_EXIT : VMX_CAP_EXIT],
		[ENTRY] = caps[have_true ? VMX_CAP_TRUE_ENTRY : VMX_CAP_ENTRY],
	};
	u32 words[WORDS], must, may;
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < WORDS; i++)
		words[i] = allowed[i];
	for (i = 0; i < ARRAY_SIZE(vmx_wanted); i++) {
		const struct vmx_wanted *w = &vmx_wanted[i];

		must = allowed[w->word];
		may = allowed[w->word] >> 32;
		if (w->wish == NOT ? must & w->bit : w->wish == NEED && !(may & w->bit))
			vmx_name(text, bytes, w->name);
		if (w->wish != NOT)
			words[w->word] |= may & w->bit;
	}
	for (i = 0; i < ARRAY_SIZE(vmx_ept_wanted); i++)
		if ((caps[VMX_CAP_EPT_VPID] & vmx_ept_wanted[i].bits) != vmx_ept_wanted[i].bits)
			vmx_name(text, bytes, vmx_ept_wanted[i].name);

	out->pin = words[PIN];
	out->cpu = words[CPU] & ~(VMX_CPU_INTR_WINDOW | VMX_CPU_NMI_WINDOW);
	out->cpu2 = words[CPU2];
	out->exit = words[EXIT];
	out->entry = words[ENTRY] & ~VMX_ENTRY_IA32E;
	out->apic = false;
	return text[0] ? -EOPNOTSUPP : 0;
}
