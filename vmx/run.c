// SPDX-License-Identifier: GPL-2.0
/*
 * One stay in the guest: everything between the core's decision to enter and
 * its hearing why the guest stopped.
 *
 * Runs with interrupts off on the CPU that the vCPU is loaded on.  NMIs can come
 * at any time but between an exit by NMI and its handling here: until then the CPU
 * blocks further ones, and nothing in between may execute an IRET, hence noinstr.
 *
 * An exit destroys host state that Linux does not use while it is in the kernel:
 * DS, ES, FS, GS and LDTR, the limits of GDT, IDT and TSS.  load() notes it, put()
 * brings it back; so does the MSRs' guest value that only the way to userspace
 * would see (SYSCALL's, KERNEL_GS_BASE).
 */
#include <linux/hw_breakpoint.h>
#include <linux/instrumentation.h>
#include <linux/percpu.h>
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/hardirq.h>
#include <asm/mmu_context.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>
#include <asm/tlbflush.h>
#include <asm/tsc.h>
#include <asm/vmx.h>
#include "enter.h"
#include "host.h"
#include "vmx.h"

/**
 * vmx_msrs_load() - the guest's values into the CPU's MSRs
 * @vmx: the vCPU's half; preemption is off.  Not loaded: nothing happens
 */
void vmx_msrs_load(struct vmx_cpu *vmx)
{
	if (!vmx->loaded)
		return;
	halo_host_msr_load(HOST_MSR_STAR, vmx->star);
	halo_host_msr_load(HOST_MSR_LSTAR, vmx->lstar);
	halo_host_msr_load(HOST_MSR_SFMASK, vmx->sfmask);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
}

/* What the host state holds of this CPU and no other. */
static void vmx_host_percpu(struct vmx_cpu *vmx, int pcpu)
{
	struct vmx_fields *f = &vmx->vmcs;
	u64 value;

	rdmsrl(MSR_GS_BASE, value);
	vmx_set(f, VMCS_HOST_GS_BASE, value);
	vmx_set(f, VMCS_HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(pcpu)->tss.x86_tss);
	vmx_set(f, VMCS_HOST_GDTR_BASE, vmx->host.gdt.address);
	vmx_set(f, VMCS_HOST_IDTR_BASE, vmx->host.idt.address);
	rdmsrl(MSR_IA32_SYSENTER_ESP, value);
	vmx_set(f, VMCS_HOST_SYSENTER_ESP, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmx_set(f, VMCS_HOST_SYSENTER_EIP, value);
}

/**
 * vmx_load() - bind a vCPU to this CPU
 * @cpu: the vCPU
 * @pcpu: this CPU; preemption is off
 */
void vmx_load(struct halo_cpu *cpu, int pcpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	if (!vmx_vmcs_load(vmx))
		return;
	native_store_gdt(&vmx->host.gdt);
	store_idt(&vmx->host.idt);
	store_ldt(vmx->host.ldt);
	savesegment(ds, vmx->host.ds);
	savesegment(es, vmx->host.es);
	savesegment(fs, vmx->host.fs);
	savesegment(gs, vmx->host.gs);
	rdmsrl(MSR_FS_BASE, vmx->host.fs_base);
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->host.kernel_gs_base);
	vmx_set(&vmx->vmcs, VMCS_HOST_FS_BASE, vmx->host.fs_base);
	if (cpu->pcpu != pcpu) {
		cpu->pcpu = pcpu;
		/* What it left here when it ran here before is out of date. */
		cpu->flush_tlb = true;
		vmx_host_percpu(vmx, pcpu);
	}
	vmx->loaded = true;
	vmx_msrs_load(vmx);
	vmx->l1d_flush = true;
}

/**
 * vmx_put() - leave the CPU that vmx_load() bound to
 * @cpu: the vCPU; its VMCS stays active here until another CPU loads it
 */
void vmx_put(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	if (!vmx->loaded)
		return;
	vmx->loaded = false;
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	/* Selectors may be of the LDT. */
	if (vmx->host.ldt)
		asm volatile("lldt %0" : : "m" (vmx->host.ldt));
	if (vmx->host.ds | vmx->host.es) {
		loadsegment(ds, vmx->host.ds);
		loadsegment(es, vmx->host.es);
	}
	/* Loading a selector loads a base, too: bases come after. */
	if (vmx->host.fs) {
		loadsegment(fs, vmx->host.fs);
		wrmsrl(MSR_FS_BASE, vmx->host.fs_base);
	}
	if (vmx->host.gs)
		load_gs_index(vmx->host.gs);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->host.kernel_gs_base);
	invalidate_tss_limit();
	load_gdt(&vmx->host.gdt);
	load_idt(&vmx->host.idt);
}

static void vmx_flush_prepare(struct halo_cpu *cpu, struct vmx_fields *f)
{
	u64 eptp = cpu->root | VMX_EPTP_WB | VMX_EPTP_WALK_4;

	if (vmx_caps[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_AD)
		eptp |= VMX_EPTP_AD;
	vmx_set(f, VMCS_EPTP, eptp);
	if (likely(!cpu->flush_tlb))
		return;
	cpu->flushes++;
	cpu->flush_tlb = false;
	vmx_invept(eptp);
}

/* An error code goes in exactly where the CPU wants one (26.2.1.3). */
static bool vmx_pushes_error(const struct halo_event *e, u64 cr0)
{
	const u32 with_error = BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17);

	return e->type == EVENT_EXCEPTION && (cr0 & X86_CR0_PE) && (with_error & BIT(e->vector));
}

/*
 * The LAPIC's page is the CPU's while the guest runs.  x2APIC registers are MSRs
 * that do not exit only as long as they are virtual: both at once.
 */
static void vmx_apic_prepare(struct halo_cpu *cpu, struct vmx_fields *f)
{
	unsigned int i;

	if (!vmx_controls.apic)
		vmx_set(f, VMCS_TPR_THRESHOLD, cpu->tpr_threshold);
	if (likely(!cpu->apic_changed))
		return;
	cpu->apic_changed = false;
	vmx_set(f, VMCS_GUEST_INTR_STATUS, cpu->apic_svi << 8 | cpu->apic_rvi);
	for (i = 0; i < 4; i++)
		vmx_set(f, VMCS_EOI_EXIT0 + 2 * i, cpu->eoi_exits[i]);
	vmx_set(f, VMCS_MSR_BITMAP, vmx_msr_bitmap_pa[cpu->apic_x2]);
	vmx_set(f, VMCS_CPU2_CTLS,
		vmx_controls.cpu2 | (cpu->apic_x2 ? VMX_CPU2_X2APIC : 0));
}

/*
 * The longest stay in the guest.  The host's timer tick ends nearly all earlier;
 * this is for a host without ticks, and for CPUs that take no interrupt out of a
 * guest with IF = 0 (Bochs does not).
 */
#define VMX_STAY_MS	10

/* False: the deadline has passed before the entry, which is what the exit is then. */
static bool vmx_timer_prepare(struct halo_cpu *cpu, struct vmx_fields *f)
{
	const u64 misc = vmx_caps[VMX_CAP_MISC];
	u64 now, stay;

	if (!(vmx_controls.pin & VMX_PIN_PREEMPTION_TIMER))
		return true;
	now = cpu->deadline ? rdtsc() : 0;
	if (cpu->deadline && now >= cpu->deadline) {
		cpu->exit.reason = HW_DEADLINE;
		return false;
	}
	stay = (u64)tsc_khz * VMX_STAY_MS >> (misc & VMX_CAP_MISC_TIMER_SHIFT);
	vmx_set(f, VMCS_PREEMPTION_TIMER,
		vmx_timer_value(now, cpu->deadline, misc, min_t(u64, stay, U32_MAX)));
	return true;
}

static unsigned int vmx_soft_len(void)
{
	return !(vmx_caps[VMX_CAP_MISC] & VMX_CAP_MISC_INSN_LEN_0);
}

static void vmx_event_prepare(struct halo_cpu *cpu, struct vmx_cpu *vmx)
{
	static const u32 type[] = {
		[EVENT_INTR] = VMX_INTR_EXT,
		[EVENT_NMI] = VMX_INTR_NMI,
		[EVENT_EXCEPTION] = VMX_INTR_HARD_EXCEPTION,
		[EVENT_SOFT_INT] = VMX_INTR_SOFT_INTR,
	};
	struct vmx_fields *f = &vmx->vmcs;
	const struct halo_event *e = &cpu->event;
	u32 info = 0;

	if (unlikely(e->type != EVENT_NONE)) {
		info = e->vector | type[e->type] | VMX_INTR_VALID;
		if (vmx_pushes_error(e, vmx->cr0)) {
			info |= VMX_INTR_ERROR_CODE;
			vmx_set(f, VMCS_ENTRY_ERROR_CODE, e->error);
		}
		/*
		 * An interrupt that was taken goes in, even if userspace has put IF to 0
		 * since: as a software interrupt, which asks for no IF.
		 */
		if (e->type == EVENT_INTR && !(cpu->rflags & X86_EFLAGS_IF))
			info |= VMX_INTR_SOFT_INTR;
		/* What is pushed is RIP plus this, which some CPUs want to be more than 0. */
		if ((info & VMX_INTR_TYPE) == VMX_INTR_SOFT_INTR) {
			vmx_set(f, VMCS_GUEST_RIP, cpu->rip - vmx_soft_len());
			vmx_set(f, VMCS_ENTRY_INSN_LEN, vmx_soft_len());
		}
		/* What is delivered ends the shadow, and an NMI its own blocking. */
		if (e->type == EVENT_INTR || e->type == EVENT_NMI)
			cpu->shadow = 0;
	}
	vmx_set(f, VMCS_ENTRY_INTR_INFO, info);
}

/*
 * Interruptibility, windows, and the single step that waits for the end of a
 * shadow, in the combinations that an entry takes (26.3.1.5).
 */
static void vmx_windows_prepare(struct halo_cpu *cpu, struct vmx_cpu *vmx)
{
	struct vmx_fields *f = &vmx->vmcs;
	u32 state = cpu->shadow, ctls = vmx_controls.cpu;
	u64 pending = 0;

	if (state & VMX_BLOCK_MOV_SS || !(cpu->rflags & X86_EFLAGS_IF))
		state &= ~VMX_BLOCK_STI;
	if (cpu->nmi_masked && cpu->event.type != EVENT_NMI)
		state |= VMX_BLOCK_NMI;
	vmx_set(f, VMCS_GUEST_INTERRUPTIBILITY, state);

	if (unlikely(cpu->shadow)) {
		if (cpu->rip == vmx->exit_rip)
			pending = vmx->pending_dbg & ~(u64)VMX_PENDING_BS;
		if (cpu->rflags & X86_EFLAGS_TF)
			pending |= VMX_PENDING_BS;
	}
	if (unlikely(cpu->shadow || vmx->pending_dbg))
		vmx_set(f, VMCS_GUEST_PENDING_DBG, pending);

	if (cpu->want_intr_window)
		ctls |= VMX_CPU_INTR_WINDOW;
	if (cpu->want_nmi_window)
		ctls |= VMX_CPU_NMI_WINDOW;
	vmx_set(f, VMCS_CPU_CTLS, ctls);
}

/* The kernel may switch page tables and CR4 bits between any two entries. */
static void vmx_host_prepare(struct vmx_fields *f)
{
	vmx_set(f, VMCS_HOST_CR3, __get_current_cr3_fast());
	vmx_set(f, VMCS_HOST_CR4, cr4_read_shadow());
}

/*
 * L1TF: the guest must not find the host's data in the L1 cache.  Flushed where
 * it may hold some that the run loop itself did not bring: after a stay in
 * userspace or another task, and after an interrupt that says so.
 */
static noinline bool vmx_l1d_wanted(struct vmx_cpu *vmx)
{
	bool flush;

	flush = vmx->l1d_flush || kvm_get_cpu_l1tf_flush_l1d();
	vmx->l1d_flush = false;
	kvm_clear_cpu_l1tf_flush_l1d();
	switch (l1tf_vmx_mitigation) {
	case VMENTER_L1D_FLUSH_NEVER:
	case VMENTER_L1D_FLUSH_NOT_REQUIRED:
		return false;
	case VMENTER_L1D_FLUSH_ALWAYS:
		return true;
	default:
		return flush;
	}
}

static __always_inline bool vmx_l1d_prepare(struct vmx_cpu *vmx)
{
	return static_cpu_has_bug(X86_BUG_L1TF) && static_cpu_has(X86_FEATURE_FLUSH_L1D) &&
	       vmx_l1d_wanted(vmx);
}

static __always_inline void vmx_enter(struct halo_cpu *cpu, struct vmx_cpu *vmx, bool flush_l1d,
				      bool again)
{
	halo_host_guest_enter(&cpu->rcu_told, again);
	if (flush_l1d)
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	if (vmx->cr2 != native_read_cr2())
		native_write_cr2(vmx->cr2);
	vmx->failed = vmx_vmenter(cpu->gpr, vmx->launched, &vmx->host_rsp);
	vmx->cr2 = native_read_cr2();
	vmx->reason = vmx_vmread(VMCS_EXIT_REASON);
	if (unlikely(!vmx->failed && vmx->reason == VMX_REASON_EXCEPTION_NMI) &&
	    (vmx_vmread(VMCS_EXIT_INTR_INFO) & VMX_INTR_TYPE) == VMX_INTR_NMI) {
		/* Through the IDT as it would have come; its IRET ends the blocking. */
		asm volatile("int $2" : : : "memory");
	}
	guest_state_exit_irqoff();
}

static noinstr void vmx_enter_first(struct halo_cpu *cpu, struct vmx_cpu *vmx, bool flush_l1d)
{
	vmx_enter(cpu, vmx, flush_l1d, false);
}

static noinstr void vmx_enter_again(struct halo_cpu *cpu, struct vmx_cpu *vmx, bool flush_l1d)
{
	vmx_enter(cpu, vmx, flush_l1d, true);
}

static noinline void vmx_event_finish(struct halo_cpu *cpu, struct vmx_cpu *vmx, u32 info,
				      u8 injected)
{
	struct vmx_fields *f = &vmx->vmcs;
	struct halo_event *e = &cpu->event;

	e->vector = info & VMX_INTR_VECTOR;
	e->has_error = info & VMX_INTR_ERROR_CODE;
	e->error = e->has_error ? vmx_get(f, VMCS_IDT_VECTORING_ERROR) : 0;
	switch (info & VMX_INTR_TYPE) {
	case VMX_INTR_EXT:
		e->type = EVENT_INTR;
		break;
	case VMX_INTR_NMI:
		e->type = EVENT_NMI;
		break;
	case VMX_INTR_HARD_EXCEPTION:
		e->type = EVENT_EXCEPTION;
		break;
	case VMX_INTR_PRIV_EXCEPTION:
	case VMX_INTR_SOFT_EXCEPTION:
		/* RIP stands at INT1, INT3 or INTO: it runs again. */
		break;
	case VMX_INTR_SOFT_INTR:
		/* So does INT n, unless it came from us. */
		if (injected == EVENT_SOFT_INT || injected == EVENT_INTR) {
			e->type = injected;
			cpu->rip += vmx_soft_len();
		}
		break;
	}
}

/* What the exit left of blocking; an IRET that faulted has not ended it (27.2.3). */
static noinline void vmx_windows_finish(struct halo_cpu *cpu, struct vmx_cpu *vmx, u32 state,
					u8 injected)
{
	struct vmx_fields *f = &vmx->vmcs;
	bool vectoring = vmx_get(f, VMCS_IDT_VECTORING_INFO) & VMX_INTR_VALID;
	u32 info;

	cpu->shadow = state & (VMX_BLOCK_STI | VMX_BLOCK_MOV_SS);
	/*
	 * Blocked is only who was, or was just given one: Bochs 2.7 does not lift at an
	 * entry what another guest's NMI has left.
	 */
	cpu->nmi_masked = (state & VMX_BLOCK_NMI) && (cpu->nmi_masked || injected == EVENT_NMI);
	if (cpu->event.type == EVENT_NMI)
		cpu->nmi_masked = true;
	if (vmx->reason == VMX_REASON_EXCEPTION_NMI && !vectoring) {
		info = vmx_get(f, VMCS_EXIT_INTR_INFO);
		if ((info & VMX_INTR_NMI_UNBLOCKED) && (info & VMX_INTR_VECTOR) != 8)
			cpu->nmi_masked = true;
	} else if (vmx->reason == VMX_REASON_EPT_VIOLATION && !vectoring &&
		   (vmx_get(f, VMCS_EXIT_QUALIFICATION) & VMX_EPT_NMI_UNBLOCKED)) {
		cpu->nmi_masked = true;
	}
	vmx->pending_dbg = 0;
	if (unlikely(cpu->shadow))
		vmx->pending_dbg = vmx_get(f, VMCS_GUEST_PENDING_DBG);
	vmx->exit_rip = cpu->rip;
}

static __always_inline void vmx_decode(struct halo_cpu *cpu, struct vmx_cpu *vmx)
{
	struct halo_hwexit *x = &cpu->exit;
	u32 reason = vmx->reason & 0xffff;
	u8 took = reason < VMX_REASONS ? vmx_took[reason] : VMX_MORE;

	x->reason = took & VMX_TOOK;
	x->insn_avail = 0;
	x->insn_len = 0;
	if (took & VMX_INSN)
		x->insn_len = vmx_vmread(VMCS_EXIT_INSN_LEN);
	if (took & VMX_MORE || unlikely(!took))
		vmx_exit_decode(cpu);
}

static __always_inline void vmx_finish(struct halo_cpu *cpu, struct vmx_cpu *vmx)
{
	u8 injected = likely(cpu->again) ? EVENT_NONE : vmx->injected;
	struct vmx_fields *f = &vmx->vmcs;
	u32 info, state;

	vmx_forget_exit(f);
	vmx->launched = true;
	cpu->arch.valid = 0;
	cpu->rip = vmx_get_hot(f, VMCS_GUEST_RIP);
	cpu->gpr[GPR_RSP] = vmx_get_hot(f, VMCS_GUEST_RSP);
	cpu->rflags = vmx_get_hot(f, VMCS_GUEST_RFLAGS);
	info = vmx_get_hot(f, VMCS_IDT_VECTORING_INFO);
	state = vmx_get_hot(f, VMCS_GUEST_INTERRUPTIBILITY);
	cpu->event.type = EVENT_NONE;
	if (unlikely(info & VMX_INTR_VALID))
		vmx_event_finish(cpu, vmx, info, injected);
	cpu->shadow = 0;
	if (unlikely(state || info & VMX_INTR_VALID || vmx->reason == VMX_REASON_EPT_VIOLATION ||
		     vmx->reason == VMX_REASON_EXCEPTION_NMI)) {
		vmx_windows_finish(cpu, vmx, state, injected);
	} else {
		cpu->nmi_masked = false;
		vmx->pending_dbg = 0;
	}
	vmx_decode(cpu, vmx);
}

/* What can only have changed since the last exit if more was done than answering it. */
static noinline bool vmx_prepare(struct halo_cpu *cpu, struct vmx_cpu *vmx)
{
	struct vmx_fields *f = &vmx->vmcs;

	if (unlikely(!this_cpu_read(vmx_host.on) || !vmx->loaded)) {
		cpu->exit.reason = HW_ENTRY_FAILED;
		cpu->exit.code = 0;
		return false;
	}
	if (unlikely(vmx->fresh))
		vmx_vmcs_init(cpu);
	if (unlikely(!vmx_timer_prepare(cpu, f)))
		return false;
	vmx->injected = cpu->event.type;
	vmx_set(f, VMCS_GUEST_RIP, cpu->rip);
	vmx_set(f, VMCS_GUEST_RSP, cpu->gpr[GPR_RSP]);
	vmx_set(f, VMCS_GUEST_RFLAGS, cpu->rflags);
	vmx_flush_prepare(cpu, f);
	vmx_apic_prepare(cpu, f);
	vmx_event_prepare(cpu, vmx);
	vmx_host_prepare(f);
	vmx_windows_prepare(cpu, vmx);
	rdmsrl(MSR_IA32_DEBUGCTLMSR, vmx->host.debugctl);
	/* The host's breakpoints come and go with tasks and by IPI: not during a stay. */
	vmx->dr_switch = vmx->dr_active || hw_breakpoint_active();
	return true;
}

/* The rest: what an answer changes. False: the deadline has passed. */
static __always_inline bool vmx_prepare_again(struct halo_cpu *cpu, struct vmx_cpu *vmx)
{
	struct vmx_fields *f = &vmx->vmcs;

	if (cpu->deadline && unlikely(!vmx_timer_prepare(cpu, f)))
		return false;
	vmx_set_hot(f, VMCS_GUEST_RIP, cpu->rip);
	vmx_set_hot(f, VMCS_GUEST_RSP, cpu->gpr[GPR_RSP]);
	vmx_set_hot(f, VMCS_GUEST_RFLAGS, cpu->rflags);
	if (unlikely(f->value[vmcs_index(VMCS_GUEST_INTERRUPTIBILITY)] || cpu->shadow ||
		     cpu->nmi_masked))
		vmx_windows_prepare(cpu, vmx);
	return true;
}

/**
 * vmx_run() - enter the guest once
 * @cpu: the vCPU, loaded on this CPU; interrupts are off
 *
 * Leaves the reason in cpu->exit and what was being delivered in cpu->event.
 */
void vmx_run(struct halo_cpu *cpu)
{
	struct vmx_cpu *vmx = to_vmx(cpu);

	if (unlikely(!(likely(cpu->again) ? vmx_prepare_again(cpu, vmx) : vmx_prepare(cpu, vmx))))
		return;
	if (unlikely(vmx->refresh)) {
		vmx->refresh = false;
		vmx_set(&vmx->vmcs, VMCS_TSC_OFFSET, cpu->tsc_offset);
		if (vmx_controls.cpu2 & VMX_CPU2_TSC_SCALING)
			vmx_set(&vmx->vmcs, VMCS_TSC_MULTIPLIER,
				cpu->tsc_ratio ?: BIT_ULL(VMX_TSC_FRACTION));
	}
	halo_host_xcr0_load(vmx->cr4, &cpu->xcr0);
	if (unlikely(vmx->dr_switch))
		halo_host_dr_load(vmx->dr, vmx->dr_active);
	halo_count_entry();
	if (likely(cpu->again))
		vmx_enter_again(cpu, vmx, vmx_l1d_prepare(vmx));
	else
		vmx_enter_first(cpu, vmx, vmx_l1d_prepare(vmx));
	halo_count_left();
	if (unlikely(vmx->dr_switch))
		halo_host_dr_put();
	halo_host_xcr0_put(vmx->cr4, &cpu->xcr0);
	/* An exit clears it. */
	if (unlikely(vmx->host.debugctl))
		wrmsrl(MSR_IA32_DEBUGCTLMSR, vmx->host.debugctl);

	if (unlikely(vmx->failed || vmx->reason & VMX_REASON_ENTRY_FAILED))
		vmx_failed(cpu);
	else
		vmx_finish(cpu, vmx);
	halo_count_exit(cpu->exit.reason);
}
