// SPDX-License-Identifier: GPL-2.0
/*
 * What reaches the guest next: exceptions, NMIs, interrupts, INIT and SIPI.
 *
 * One event can be in delivery at a time (cpu->event).  It is there because
 * the core queued it, or because an exit interrupted it; either way it goes in
 * at the next entry before anything new is chosen.
 *
 * For the owner of the vCPU.
 */
#include "vcpu.h"

/* SDM 3A table 6-5: how two exceptions in a row combine. */
static bool halo_contributory(u8 vector)
{
	return vector == 0 || (vector >= 10 && vector <= 13);
}

/* SDM 3A 6.2 and 17.3.1.1: a fault pushes RF, so that IRET runs past a breakpoint. */
static bool halo_pushes_rf(u8 vector)
{
	return vector != 1 && vector != 3 && vector != 4 && vector != 8 && vector != 18;
}

/**
 * halo_exception() - queue an exception, as a fault at the present RIP
 * @vcpu: the vCPU
 * @vector: 0 to 31
 * @has_error: it pushes an error code (left out in real mode)
 * @error: error code
 *
 * If an exception was in delivery the two combine to a double fault or a
 * shutdown; an interrupt that was in delivery is lost, as on hardware.
 *
 * Return: RESUME.
 */
enum halo_next halo_exception(struct halo_vcpu *vcpu, u8 vector, bool has_error, u32 error)
{
	struct halo_event *e = &vcpu->cpu.event;

	if (e->type == EVENT_EXCEPTION) {
		u8 first = e->vector;

		if (first == 8) {
			vcpu->triple = true;
			return NEXT_RESUME;
		}
		if ((halo_contributory(first) && halo_contributory(vector)) ||
		    (first == 14 && (halo_contributory(vector) || vector == 14))) {
			vector = 8;
			has_error = true;
			error = 0;
		}
	}
	if (has_error && !(halo_arch_get(vcpu, ARCH_CRS)->cr0 & X86_CR0_PE))
		has_error = false;
	if (halo_pushes_rf(vector))
		vcpu->cpu.rflags |= X86_EFLAGS_RF;
	*e = (struct halo_event){ EVENT_EXCEPTION, vector, has_error, error };
	return NEXT_RESUME;
}

/**
 * halo_page_fault() - queue a #PF
 * @vcpu: the vCPU
 * @address: for CR2
 * @error: page-fault error code
 */
void halo_page_fault(struct halo_vcpu *vcpu, u64 address, u32 error)
{
	halo_arch_get(vcpu, ARCH_CRS)->cr2 = address;
	halo_arch_put(vcpu, ARCH_CRS);
	halo_exception(vcpu, 14, true, error);
}

/* INIT: the processor starts over; SIPI: from where. SDM 3A 8.4. */
static void halo_init_sipi(struct halo_vcpu *vcpu, unsigned long mail)
{
	struct halo_arch *a;
	u8 vector;

	if (mail & HALO_LAPIC_INIT) {
		halo_vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu->id == 0 ? HALO_MP_RUNNABLE : HALO_MP_WAIT_SIPI;
	}
	if ((mail & HALO_LAPIC_SIPI) && vcpu->mp_state == HALO_MP_WAIT_SIPI) {
		vector = READ_ONCE(vcpu->lapic.sipi_vector);
		a = halo_arch_get(vcpu, ARCH_SEGS);
		a->seg[SEG_CS].selector = vector << 8;
		a->seg[SEG_CS].base = vector << 12;
		halo_arch_put(vcpu, ARCH_SEGS);
		vcpu->cpu.rip = 0;
		vcpu->mp_state = HALO_MP_RUNNABLE;
	}
}

/* One NMI is latched while another is in service; so at most two wait for a vCPU. */
static void halo_nmi_came(struct halo_vcpu *vcpu, unsigned long mail)
{
	bool busy = vcpu->cpu.nmi_masked || vcpu->cpu.event.type == EVENT_NMI;
	unsigned int n = !!(mail & HALO_LAPIC_NMI) + !!(mail & HALO_LAPIC_NMI_AGAIN);

	vcpu->nmi_pending = min(vcpu->nmi_pending + n, busy ? 1U : 2U);
}

static bool halo_can_interrupt(const struct halo_vcpu *vcpu)
{
	return (vcpu->cpu.rflags & X86_EFLAGS_IF) && !vcpu->cpu.shadow;
}

/**
 * halo_wakeable() - does a halted vCPU have something to do
 * @vcpu: the vCPU
 *
 * Return: true if HLT is over or the mailbox must be looked at.
 */
bool halo_wakeable(struct halo_vcpu *vcpu)
{
	if (halo_lapic_mail(&vcpu->lapic))
		return true;
	if (vcpu->mp_state != HALO_MP_HALTED)
		return vcpu->mp_state == HALO_MP_RUNNABLE;
	if (vcpu->nmi_pending && !vcpu->cpu.nmi_masked)
		return true;
	if (!(vcpu->cpu.rflags & X86_EFLAGS_IF))
		return false;
	return halo_lapic_pending(&vcpu->lapic) >= 0 ||
	       halo_lapic_extint_pending(&vcpu->lapic);
}

static enum halo_next halo_interrupts(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	int vector;

	cpu->want_intr_window = false;
	if (halo_lapic_extint_pending(&vcpu->lapic)) {
		if (cpu->event.type == EVENT_NONE && halo_can_interrupt(vcpu)) {
			halo_mp_wake(vcpu);
			return halo_forward(vcpu, HALO_EXIT_INTACK, PEND_INTACK);
		}
		cpu->want_intr_window = vcpu->mp_state == HALO_MP_RUNNABLE;
		return NEXT_RESUME;
	}
	/* What is pending need not be known here if the CPU itself delivers. */
	if (cpu->virt_intr && likely(vcpu->mp_state == HALO_MP_RUNNABLE))
		return NEXT_RESUME;
	vector = halo_lapic_pending(&vcpu->lapic);
	if (vector < 0)
		return NEXT_RESUME;
	if (cpu->virt_intr) {
		if (halo_can_interrupt(vcpu))
			halo_mp_wake(vcpu);
		return NEXT_RESUME;
	}
	if (cpu->event.type == EVENT_NONE && halo_can_interrupt(vcpu)) {
		halo_lapic_ack(&vcpu->lapic, vector);
		cpu->event = (struct halo_event){ EVENT_INTR, vector };
		halo_mp_wake(vcpu);
		vcpu->count.injected++;
		vector = halo_lapic_pending(&vcpu->lapic);
	}
	cpu->want_intr_window = vector >= 0;
	return NEXT_RESUME;
}

/**
 * halo_events_window() - the guest, staying, can take an interrupt that it was asked about
 * @vcpu: the vCPU, with no event in delivery
 *
 * Return: true if one was chosen and nothing else waits; else the stay must end.
 */
bool halo_events_window(struct halo_vcpu *vcpu)
{
	if (vcpu->nmi_pending || (vcpu->msr.pv_eoi & 1) || !halo_stay_lapic(vcpu) ||
	    halo_lapic_mail(&vcpu->lapic) || halo_lapic_extint_pending(&vcpu->lapic))
		return false;
	halo_interrupts(vcpu);
	return vcpu->cpu.event.type == EVENT_INTR && !vcpu->cpu.want_intr_window;
}

/**
 * halo_events() - choose what the next entry delivers
 * @vcpu: the vCPU
 *
 * Return: RESUME, or FORWARD when userspace must give the vector (INTACK) or
 * hear of a shutdown or of an INIT of the bootstrap vCPU.
 */
enum halo_next halo_events(struct halo_vcpu *vcpu)
{
	struct halo_cpu *cpu = &vcpu->cpu;
	unsigned long mail;

	if (unlikely(vcpu->triple))
		return halo_forward(vcpu, HALO_EXIT_SHUTDOWN, PEND_SHUTDOWN);
	if (unlikely(halo_lapic_mail(&vcpu->lapic))) {
		mail = halo_lapic_sync(&vcpu->lapic);
		if (mail & (HALO_LAPIC_NMI | HALO_LAPIC_NMI_AGAIN))
			halo_nmi_came(vcpu, mail);
		if (mail & (HALO_LAPIC_INIT | HALO_LAPIC_SIPI))
			halo_init_sipi(vcpu, mail);
		/* Where a PC's firmware would take over. */
		if ((mail & HALO_LAPIC_INIT) && vcpu->id == 0)
			return halo_forward(vcpu, HALO_EXIT_RESET, PEND_NOTIFY);
	}
	if (vcpu->mp_state >= HALO_MP_WAIT_SIPI)
		return NEXT_RESUME;
	cpu->want_nmi_window = false;
	if (unlikely(vcpu->nmi_pending)) {
		if (cpu->event.type == EVENT_NONE && !cpu->nmi_masked && !cpu->shadow) {
			cpu->event = (struct halo_event){ EVENT_NMI, 2 };
			vcpu->nmi_pending--;
			halo_mp_wake(vcpu);
		}
		cpu->want_nmi_window = vcpu->nmi_pending;
	}
	return halo_interrupts(vcpu);
}
