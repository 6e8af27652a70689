// SPDX-License-Identifier: GPL-2.0
/*
 * Suspend to RAM (S3): memory and devices stay, the bootstrap vCPU starts again in
 * real mode at the waking vector.
 *
 * Runs on the vCPU thread that wrote SLP_EN, without the device lock while it
 * sleeps. What wakes is the clock's alarm or the power button. The other vCPUs are
 * the guest's business, which has parked them before.
 */
#include <string.h>
#include <time.h>

#include "acpi.h"
#include "machine.h"
#include "msg.h"

#define ATTR_CODE16	0x9b
#define ATTR_DATA16	0x93
#define ATTR_LDT	0x82
#define ATTR_TSS16	0x83

static void real_mode(struct halo_state *s, u32 vector)
{
	unsigned int i;

	memset(s->gpr, 0, sizeof(s->gpr));
	memset(s->seg, 0, sizeof(s->seg));
	memset(&s->gdt, 0, sizeof(s->gdt));
	memset(&s->idt, 0, sizeof(s->idt));
	for (i = HALO_SEG_ES; i <= HALO_SEG_GS; i++)
		s->seg[i] = (struct halo_segment){ .limit = 0xffff, .attrib = ATTR_DATA16 };
	s->seg[HALO_SEG_CS].selector = (u16)(vector >> 4);
	s->seg[HALO_SEG_CS].base = vector & ~15u;
	s->seg[HALO_SEG_CS].attrib = ATTR_CODE16;
	s->seg[HALO_SEG_LDTR] = (struct halo_segment){ .limit = 0xffff, .attrib = ATTR_LDT };
	s->seg[HALO_SEG_TR] = (struct halo_segment){ .limit = 0xffff, .attrib = ATTR_TSS16 };
	s->gdt.limit = 0xffff;
	s->idt.limit = 0xffff;
	s->rip = vector & 15;
	s->rflags = 2;
	s->cr0 = 0x10;
	s->cr2 = 0;
	s->cr3 = 0;
	s->cr4 = 0;
	s->cr8 = 0;
	s->xcr0 = 1;
	s->efer = 0;
	s->commit = HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS;
}

/**
 * machine_sleep() - sleep, then wake the guest
 * @v: the vCPU that asked for it
 * @r: the reply to its write; the instruction is not completed but forgotten
 */
void machine_sleep(struct machine_vcpu *v, struct halo_reply *r)
{
	struct timespec ms = { 0, 1000000 };
	struct machine *m = v->m;
	u32 vector = acpi_waking_vector(&m->mem, m->rsdp);
	bool wake = false;

	if (!vector || vector >= MIB) {
		machine_stop(m, EC_INTERNAL, true, "the guest suspended without a waking vector");
		return;
	}
	msg_note(1, "guest suspended");
	while (!wake && !machine_stopping(m)) {
		pthread_mutex_lock(&m->lock);
		wake = pm_wake(&m->misc, rtc_interrupting(&m->rtc));
		pthread_mutex_unlock(&m->lock);
		if (!wake)
			nanosleep(&ms, NULL);
	}
	if (machine_stopping(m))
		return;
	msg_note(1, "guest resumed at %#x", vector);
	real_mode(v->hv.state, vector);
	r->action = HALO_ACTION_RETRY;
}
