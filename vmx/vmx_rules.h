/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a VM entry checks, one row a rule, in the order of the SDM, volume 3C,
 * chapter 26 (editions of 2021 to 2023).  No guard: vmx_check.[ch] include it
 * several times, for the numbers, the texts and the evaluation.
 *
 * VM_RULE(name, class, section, what is wrong, when it holds)
 * SEG_RULE(name, class, section, what is wrong, segments, when it holds for sg)
 *
 * Every row stands by itself: it holds where its control is off, so that all can
 * be evaluated and a fault does not hide another.  In the conditions: f(X) is
 * field VMCS_X, pin cpu cpu2 cpu3 exit exit2 entry are the controls in effect,
 * and sg is the segment in question.  Left out: what a field says of Intel PT and
 * of LBRs beyond its reserved bits, SGX enclaves, and the dual-monitor treatment.
 */

/* 26.1: before anything else */
VM_RULE(NO_VMCS, NO_VMCS, "26.1", "no current VMCS", c->current_vmcs != ~0ull)
VM_RULE(MOV_SS, MOV_SS, "26.1", "events blocked by MOV SS", !c->mov_ss)
VM_RULE(LAUNCH, LAUNCH, "26.1", "VMLAUNCH of a VMCS that is not clear", c->resume || !c->launched)
VM_RULE(RESUME, RESUME, "26.1", "VMRESUME of a VMCS that is not launched",
	!c->resume || c->launched)

/* 26.2.1.1: VM-execution controls */
VM_RULE(PIN_ONES, CTLS, "26.2.1.1", "pin-based controls: a bit that must be 1 is 0",
	ones(c, pin, VMX_CAP_PIN))
VM_RULE(PIN_ZEROS, CTLS, "26.2.1.1", "pin-based controls: a bit that must be 0 is 1",
	zeros(c, pin, VMX_CAP_PIN))
VM_RULE(CPU_ONES, CTLS, "26.2.1.1", "primary CPU-based controls: a bit that must be 1 is 0",
	ones(c, cpu, VMX_CAP_CPU))
VM_RULE(CPU_ZEROS, CTLS, "26.2.1.1", "primary CPU-based controls: a bit that must be 0 is 1",
	zeros(c, cpu, VMX_CAP_CPU))
VM_RULE(CPU2_ONES, CTLS, "26.2.1.1", "secondary CPU-based controls: a bit that must be 1 is 0",
	!(cpu & VMX_CPU_SECONDARY) || ones(c, cpu2, VMX_CAP_CPU2))
VM_RULE(CPU2_ZEROS, CTLS, "26.2.1.1", "secondary CPU-based controls: a bit that must be 0 is 1",
	!(cpu & VMX_CPU_SECONDARY) || zeros(c, cpu2, VMX_CAP_CPU2))
VM_RULE(CPU3_ZEROS, CTLS, "26.2.1.1", "tertiary CPU-based controls: a bit that must be 0 is 1",
	!(cpu3 & ~c->cap[VMX_CAP_CPU3]))
VM_RULE(CR3_TARGETS, CTLS, "26.2.1.1", "CR3-target count: more than the CPU has",
	f(CR3_TARGET_COUNT) <= VMX_CAP_MISC_CR3_TARGETS(c->cap[VMX_CAP_MISC]))
VM_RULE(IO_BITMAP_A, CTLS, "26.2.1.1", "I/O-bitmap A: bad address",
	!(cpu & VMX_CPU_IO_BITMAPS) || address(c, f(IO_BITMAP_A), 12))
VM_RULE(IO_BITMAP_B, CTLS, "26.2.1.1", "I/O-bitmap B: bad address",
	!(cpu & VMX_CPU_IO_BITMAPS) || address(c, f(IO_BITMAP_B), 12))
VM_RULE(MSR_BITMAP, CTLS, "26.2.1.1", "MSR bitmap: bad address",
	!(cpu & VMX_CPU_MSR_BITMAPS) || address(c, f(MSR_BITMAP), 12))
VM_RULE(VIRTUAL_APIC, CTLS, "26.2.1.1", "virtual-APIC page: bad address",
	!(cpu & VMX_CPU_TPR_SHADOW) || address(c, f(VIRTUAL_APIC_ADDR), 12))
VM_RULE(TPR_THRESHOLD, CTLS, "26.2.1.1", "TPR threshold: more than 15",
	!(cpu & VMX_CPU_TPR_SHADOW) || cpu2 & VMX_CPU2_VIRT_INTR || f(TPR_THRESHOLD) <= 15)
VM_RULE(TPR_ABOVE, CTLS, "26.2.1.1", "TPR threshold: above the virtual TPR",
	!(cpu & VMX_CPU_TPR_SHADOW) || cpu2 & (VMX_CPU2_VIRT_INTR | VMX_CPU2_APIC_ACCESS) ||
	!address(c, f(VIRTUAL_APIC_ADDR), 12) ||
	(f(TPR_THRESHOLD) & 15) <= (memory(c, f(VIRTUAL_APIC_ADDR) + 0x80, 0xf0) >> 4 & 15))
VM_RULE(VIRTUAL_NMIS, CTLS, "26.2.1.1", "virtual NMIs without NMI exiting",
	!(pin & VMX_PIN_VIRTUAL_NMIS) || pin & VMX_PIN_NMI)
VM_RULE(NMI_WINDOW, CTLS, "26.2.1.1", "NMI-window exiting without virtual NMIs",
	!(cpu & VMX_CPU_NMI_WINDOW) || pin & VMX_PIN_VIRTUAL_NMIS)
VM_RULE(APIC_ACCESS, CTLS, "26.2.1.1", "APIC-access page: bad address",
	!(cpu2 & VMX_CPU2_APIC_ACCESS) || address(c, f(APIC_ACCESS_ADDR), 12))
VM_RULE(NO_TPR_SHADOW, CTLS, "26.2.1.1", "APIC virtualization without TPR shadow",
	cpu & VMX_CPU_TPR_SHADOW ||
	!(cpu2 & (VMX_CPU2_X2APIC | VMX_CPU2_APIC_REGISTER | VMX_CPU2_VIRT_INTR)))
VM_RULE(X2APIC_ACCESS, CTLS, "26.2.1.1", "x2APIC mode virtualized together with APIC accesses",
	!(cpu2 & VMX_CPU2_X2APIC) || !(cpu2 & VMX_CPU2_APIC_ACCESS))
VM_RULE(VIRT_INTR, CTLS, "26.2.1.1", "virtual-interrupt delivery without interrupt exiting",
	!(cpu2 & VMX_CPU2_VIRT_INTR) || pin & VMX_PIN_EXT_INTR)
VM_RULE(POSTED_VIRT_INTR, CTLS, "26.2.1.1", "posted interrupts without virtual-interrupt delivery",
	!(pin & VMX_PIN_POSTED_INTR) || cpu2 & VMX_CPU2_VIRT_INTR)
VM_RULE(POSTED_ACK, CTLS, "26.2.1.1", "posted interrupts without acknowledge on exit",
	!(pin & VMX_PIN_POSTED_INTR) || exit & VMX_EXIT_ACK_INTR)
VM_RULE(POSTED_VECTOR, CTLS, "26.2.1.1", "posted-interrupt vector: more than 255",
	!(pin & VMX_PIN_POSTED_INTR) || f(POSTED_INTR_NV) <= 255)
VM_RULE(POSTED_DESC, CTLS, "26.2.1.1", "posted-interrupt descriptor: bad address",
	!(pin & VMX_PIN_POSTED_INTR) || address(c, f(POSTED_INTR_DESC), 6))
VM_RULE(VPID, CTLS, "26.2.1.1", "VPID is 0", !(cpu2 & VMX_CPU2_VPID) || f(VPID) != 0)
VM_RULE(EPTP_MEMTYPE, CTLS, "26.2.1.1", "EPTP: memory type the CPU lacks", !ept ||
	((eptp & 7) == VMX_EPTP_UC && c->cap[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_UC) ||
	((eptp & 7) == VMX_EPTP_WB && c->cap[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_WB))
VM_RULE(EPTP_WALK, CTLS, "26.2.1.1", "EPTP: page-walk length the CPU lacks", !ept ||
	((eptp >> 3 & 7) == 3 && c->cap[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_WALK_4) ||
	((eptp >> 3 & 7) == 4 && c->cap[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_WALK_5))
VM_RULE(EPTP_AD, CTLS, "26.2.1.1", "EPTP: accessed and dirty flags the CPU lacks",
	!ept || !(eptp & VMX_EPTP_AD) || c->cap[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_AD)
VM_RULE(EPTP_SSS, CTLS, "26.2.1.1", "EPTP: shadow-stack rights the CPU lacks",
	!ept || !(eptp & VMX_EPTP_SSS) || c->cap[VMX_CAP_EPT_VPID] & VMX_CAP_EPT_SSS)
VM_RULE(EPTP_RESERVED, CTLS, "26.2.1.1", "EPTP: reserved bits",
	!ept || (!(eptp & 0xf00) && address(c, eptp, 0)))
VM_RULE(PML_EPT, CTLS, "26.2.1.1", "PML without EPT", !(cpu2 & VMX_CPU2_PML) || ept)
VM_RULE(PML_ADDR, CTLS, "26.2.1.1", "PML buffer: bad address",
	!(cpu2 & VMX_CPU2_PML) || address(c, f(PML_ADDR), 12))
VM_RULE(UNRESTRICTED_EPT, CTLS, "26.2.1.1", "unrestricted guest without EPT", !unrestricted || ept)
VM_RULE(MBEC_EPT, CTLS, "26.2.1.1", "mode-based execute control without EPT",
	!(cpu2 & VMX_CPU2_MBEC) || ept)
VM_RULE(SPP_EPT, CTLS, "26.2.1.1", "sub-page write permissions without EPT",
	!(cpu2 & VMX_CPU2_SPP) || ept)
VM_RULE(SPP_TABLE, CTLS, "26.2.1.1", "sub-page permission table: bad address",
	!(cpu2 & VMX_CPU2_SPP) || address(c, f(SPP_TABLE), 12))
VM_RULE(VMFUNC, CTLS, "26.2.1.1", "VM-function controls: a reserved bit is set",
	!(cpu2 & VMX_CPU2_VMFUNC) || !(f(VM_FUNCTION) & ~c->cap[VMX_CAP_VMFUNC]))
VM_RULE(EPTP_SWITCH_EPT, CTLS, "26.2.1.1", "EPTP switching without EPT", !eptp_switching || ept)
VM_RULE(EPTP_LIST, CTLS, "26.2.1.1", "EPTP list: bad address",
	!eptp_switching || address(c, f(EPTP_LIST), 12))
VM_RULE(VMREAD_BITMAP, CTLS, "26.2.1.1", "VMREAD bitmap: bad address",
	!(cpu2 & VMX_CPU2_VMCS_SHADOWING) || address(c, f(VMREAD_BITMAP), 12))
VM_RULE(VMWRITE_BITMAP, CTLS, "26.2.1.1", "VMWRITE bitmap: bad address",
	!(cpu2 & VMX_CPU2_VMCS_SHADOWING) || address(c, f(VMWRITE_BITMAP), 12))
VM_RULE(VE_INFO, CTLS, "26.2.1.1", "#VE information: bad address",
	!(cpu2 & VMX_CPU2_EPT_VE) || address(c, f(VE_INFO_ADDR), 12))
VM_RULE(PT_GPA, CTLS, "26.2.1.1", "PT with guest addresses: without EPT, load or clear of RTIT_CTL",
	!(cpu2 & VMX_CPU2_PT_GPA) ||
	(ept && entry & VMX_ENTRY_LOAD_RTIT_CTL && exit & VMX_EXIT_CLEAR_RTIT_CTL))
VM_RULE(TSC_MULTIPLIER, CTLS, "26.2.1.1", "TSC multiplier is 0",
	!(cpu2 & VMX_CPU2_TSC_SCALING) || f(TSC_MULTIPLIER) != 0)
VM_RULE(PASID, CTLS, "26.2.1.1", "PASID directories: bad address", !(cpu2 & VMX_CPU2_PASID) ||
	(address(c, f(PASID_LOW), 12) && address(c, f(PASID_HIGH), 12)))
VM_RULE(HLAT_EPT, CTLS, "26.2.1.1", "HLAT, paging-write or guest-paging verification without EPT",
	!(cpu3 & (VMX_CPU3_HLAT | VMX_CPU3_EPT_PAGING_WRITE | VMX_CPU3_GUEST_PAGING_VERIFY)) || ept)
VM_RULE(HLATP, CTLS, "26.2.1.1", "HLATP: reserved bits",
	!(cpu3 & VMX_CPU3_HLAT) || (!(f(HLATP) & 0xfe7) && address(c, f(HLATP), 0)))
VM_RULE(IPI_VIRT, CTLS, "26.2.1.1", "PID-pointer table: bad address",
	!(cpu3 & VMX_CPU3_IPI_VIRT) || address(c, f(PID_POINTER_TABLE), 3))

/* 26.2.1.2: VM-exit controls */
VM_RULE(EXIT_ONES, CTLS, "26.2.1.2", "VM-exit controls: a bit that must be 1 is 0",
	ones(c, exit, VMX_CAP_EXIT))
VM_RULE(EXIT_ZEROS, CTLS, "26.2.1.2", "VM-exit controls: a bit that must be 0 is 1",
	zeros(c, exit, VMX_CAP_EXIT))
VM_RULE(EXIT2_ZEROS, CTLS, "26.2.1.2", "secondary VM-exit controls: a bit that must be 0 is 1",
	!(exit2 & ~c->cap[VMX_CAP_EXIT2]))
VM_RULE(SAVE_TIMER, CTLS, "26.2.1.2", "preemption timer saved but not active",
	!(exit & VMX_EXIT_SAVE_TIMER) || pin & VMX_PIN_PREEMPTION_TIMER)
VM_RULE(EXIT_STORE, CTLS, "26.2.1.2", "VM-exit MSR-store list: bad address",
	!f(EXIT_MSR_STORE_COUNT) || address(c, f(EXIT_MSR_STORE_ADDR), 4))
VM_RULE(EXIT_STORE_END, CTLS, "26.2.1.2", "VM-exit MSR-store list: ends too high",
	list_end(c, f(EXIT_MSR_STORE_ADDR), f(EXIT_MSR_STORE_COUNT)))
VM_RULE(EXIT_LOAD, CTLS, "26.2.1.2", "VM-exit MSR-load list: bad address",
	!f(EXIT_MSR_LOAD_COUNT) || address(c, f(EXIT_MSR_LOAD_ADDR), 4))
VM_RULE(EXIT_LOAD_END, CTLS, "26.2.1.2", "VM-exit MSR-load list: ends too high",
	list_end(c, f(EXIT_MSR_LOAD_ADDR), f(EXIT_MSR_LOAD_COUNT)))

/* 26.2.1.3: VM-entry controls */
VM_RULE(ENTRY_ONES, CTLS, "26.2.1.3", "VM-entry controls: a bit that must be 1 is 0",
	ones(c, entry, VMX_CAP_ENTRY))
VM_RULE(ENTRY_ZEROS, CTLS, "26.2.1.3", "VM-entry controls: a bit that must be 0 is 1",
	zeros(c, entry, VMX_CAP_ENTRY))
VM_RULE(ENTRY_SMM, CTLS, "26.2.1.3", "entry to SMM or deactivate dual monitor, outside SMM",
	!(entry & (VMX_ENTRY_TO_SMM | VMX_ENTRY_DEACTIVATE_DUAL)))
VM_RULE(EVENT_TYPE, CTLS, "26.2.1.3", "event: reserved type",
	!event || (type != 1 && (type != 7 || c->cap[cap_of(c, VMX_CAP_CPU)] >> 32 & VMX_CPU_MTF)))
VM_RULE(EVENT_NMI, CTLS, "26.2.1.3", "event: NMI with another vector than 2",
	!event || type != 2 || vector == 2)
VM_RULE(EVENT_EXCEPTION, CTLS, "26.2.1.3", "event: exception with a vector above 31",
	!event || type != 3 || vector <= 31)
VM_RULE(EVENT_OTHER, CTLS, "26.2.1.3", "event: other event with another vector than 0",
	!event || type != 7 || vector == 0)
VM_RULE(EVENT_NO_ERROR, CTLS, "26.2.1.3", "event: error code that this event has not",
	!event || !(event & VMX_INTR_ERROR_CODE) || may_have_error)
VM_RULE(EVENT_ERROR, CTLS, "26.2.1.3", "event: lacks the error code that the exception has",
	!event || event & VMX_INTR_ERROR_CODE || !may_have_error ||
	c->cap[VMX_CAP_BASIC] & VMX_CAP_BASIC_ANY_ERROR_CODE)
VM_RULE(EVENT_RESERVED, CTLS, "26.2.1.3", "event: reserved bits",
	!event || !(event & VMX_INTR_RESERVED))
VM_RULE(EVENT_ERROR_HIGH, CTLS, "26.2.1.3", "event: error code above 16 bits",
	!event || !(event & VMX_INTR_ERROR_CODE) || f(ENTRY_ERROR_CODE) <= 0xffff)
VM_RULE(EVENT_LENGTH, CTLS, "26.2.1.3", "event: instruction length out of range",
	!event || type < 4 || type > 6 || (f(ENTRY_INSN_LEN) <= 15 &&
	(f(ENTRY_INSN_LEN) || c->cap[VMX_CAP_MISC] & VMX_CAP_MISC_INSN_LEN_0)))
VM_RULE(ENTRY_LOAD, CTLS, "26.2.1.3", "VM-entry MSR-load list: bad address",
	!f(ENTRY_MSR_LOAD_COUNT) || address(c, f(ENTRY_MSR_LOAD_ADDR), 4))
VM_RULE(ENTRY_LOAD_END, CTLS, "26.2.1.3", "VM-entry MSR-load list: ends too high",
	list_end(c, f(ENTRY_MSR_LOAD_ADDR), f(ENTRY_MSR_LOAD_COUNT)))

/* 26.2.2: host control registers and MSRs */
VM_RULE(HOST_CR0_ONES, HOST, "26.2.2", "host CR0: a bit that must be 1 is 0",
	!(~f(HOST_CR0) & c->cap[VMX_CAP_CR0_FIXED0]))
VM_RULE(HOST_CR0_ZEROS, HOST, "26.2.2", "host CR0: a bit that must be 0 is 1",
	!(f(HOST_CR0) & ~c->cap[VMX_CAP_CR0_FIXED1]))
VM_RULE(HOST_CR4_ONES, HOST, "26.2.2", "host CR4: a bit that must be 1 is 0",
	!(~f(HOST_CR4) & c->cap[VMX_CAP_CR4_FIXED0]))
VM_RULE(HOST_CR4_ZEROS, HOST, "26.2.2", "host CR4: a bit that must be 0 is 1",
	!(f(HOST_CR4) & ~c->cap[VMX_CAP_CR4_FIXED1]))
VM_RULE(HOST_CET_WP, HOST, "26.2.2", "host CR4.CET without CR0.WP",
	!(f(HOST_CR4) & CR4_CET) || f(HOST_CR0) & CR0_WP)
VM_RULE(HOST_CR3, HOST, "26.2.2", "host CR3: above the physical-address width",
	!(f(HOST_CR3) >> c->phys_bits))
VM_RULE(HOST_SYSENTER_ESP, HOST, "26.2.2", "host SYSENTER_ESP: not canonical",
	canonical(c, f(HOST_SYSENTER_ESP)))
VM_RULE(HOST_SYSENTER_EIP, HOST, "26.2.2", "host SYSENTER_EIP: not canonical",
	canonical(c, f(HOST_SYSENTER_EIP)))
VM_RULE(HOST_PERF, HOST, "26.2.2", "host PERF_GLOBAL_CTRL: reserved bits",
	!(exit & VMX_EXIT_LOAD_PERF_GLOBAL) || !(f(HOST_PERF_GLOBAL_CTRL) & ~c->perf_global))
VM_RULE(HOST_PAT, HOST, "26.2.2", "host PAT: a memory type that there is not",
	!(exit & VMX_EXIT_LOAD_PAT) || pat_holds(f(HOST_PAT)))
VM_RULE(HOST_EFER, HOST, "26.2.2", "host EFER: reserved bits",
	!(exit & VMX_EXIT_LOAD_EFER) || !(f(HOST_EFER) & ~c->efer))
VM_RULE(HOST_EFER_LMA, HOST, "26.2.2", "host EFER: LMA or LME is not the host's address-space size",
	!(exit & VMX_EXIT_LOAD_EFER) ||
	(f(HOST_EFER) & (LMA | LME)) == (host64 ? LMA | LME : 0))
VM_RULE(HOST_S_CET, HOST, "26.2.2", "host S_CET: reserved bits, or SUPPRESS with TRACKER",
	!(exit & VMX_EXIT_LOAD_CET) || s_cet_holds(c, f(HOST_S_CET), host64))
VM_RULE(HOST_SSP, HOST, "26.2.2", "host SSP: not aligned or not an address",
	!(exit & VMX_EXIT_LOAD_CET) ||
	(!(f(HOST_SSP) & 3) && (host64 ? canonical(c, f(HOST_SSP)) : !(f(HOST_SSP) >> 32))))
VM_RULE(HOST_SSP_TABLE, HOST, "26.2.2", "host INTERRUPT_SSP_TABLE_ADDR: not canonical",
	!(exit & VMX_EXIT_LOAD_CET) || canonical(c, f(HOST_INTR_SSP_TABLE)))
VM_RULE(HOST_PKRS, HOST, "26.2.2", "host PKRS: above 32 bits",
	!(exit & VMX_EXIT_LOAD_PKRS) || !(f(HOST_PKRS) >> 32))

/* 26.2.3: host segments and descriptor tables */
VM_RULE(HOST_SELECTORS, HOST, "26.2.3", "host selector: RPL or TI is not 0",
	!((f(HOST_ES_SEL) | f(HOST_CS_SEL) | f(HOST_SS_SEL) | f(HOST_DS_SEL) | f(HOST_FS_SEL) |
	   f(HOST_GS_SEL) | f(HOST_TR_SEL)) & 7))
VM_RULE(HOST_CS, HOST, "26.2.3", "host CS is 0", f(HOST_CS_SEL) != 0)
VM_RULE(HOST_TR, HOST, "26.2.3", "host TR is 0", f(HOST_TR_SEL) != 0)
VM_RULE(HOST_SS, HOST, "26.2.3", "host SS is 0 and the host is not 64-bit",
	host64 || f(HOST_SS_SEL))
VM_RULE(HOST_FS_BASE, HOST, "26.2.3", "host FS.base: not canonical", canonical(c, f(HOST_FS_BASE)))
VM_RULE(HOST_GS_BASE, HOST, "26.2.3", "host GS.base: not canonical", canonical(c, f(HOST_GS_BASE)))
VM_RULE(HOST_TR_BASE, HOST, "26.2.3", "host TR.base: not canonical", canonical(c, f(HOST_TR_BASE)))
VM_RULE(HOST_GDTR, HOST, "26.2.3", "host GDTR.base: not canonical", canonical(c, f(HOST_GDTR_BASE)))
VM_RULE(HOST_IDTR, HOST, "26.2.3", "host IDTR.base: not canonical", canonical(c, f(HOST_IDTR_BASE)))

/* 26.2.4: address-space size */
VM_RULE(HOST_SIZE, HOST, "26.2.4", "host address-space size is not that of the CPU's mode",
	host64 == c->ia32e)
VM_RULE(GUEST_SIZE, HOST, "26.2.4", "IA-32e mode guest, but no 64-bit host", host64 || !guest64)
VM_RULE(HOST_PCIDE, HOST, "26.2.4", "host CR4.PCIDE and the host is not 64-bit",
	host64 || !(f(HOST_CR4) & CR4_PCIDE))
VM_RULE(HOST_PAE, HOST, "26.2.4", "host CR4.PAE is 0 and the host is 64-bit",
	!host64 || f(HOST_CR4) & CR4_PAE)
VM_RULE(HOST_RIP, HOST, "26.2.4", "host RIP: not an address",
	host64 ? canonical(c, f(HOST_RIP)) : !(f(HOST_RIP) >> 32))

/* 26.3.1.1: guest control registers, debug registers, MSRs */
VM_RULE(CR0_ONES, GUEST, "26.3.1.1", "CR0: a bit that must be 1 is 0",
	!(~cr0 & c->cap[VMX_CAP_CR0_FIXED0] & ~(CR0_NW | CR0_CD) &
	  (unrestricted ? ~(CR0_PE | CR0_PG) : ~0ull)))
VM_RULE(CR0_ZEROS, GUEST, "26.3.1.1", "CR0: a bit that must be 0 is 1",
	!(cr0 & ~c->cap[VMX_CAP_CR0_FIXED1] & ~(CR0_NW | CR0_CD)))
VM_RULE(CR0_PG, GUEST, "26.3.1.1", "CR0.PG without PE", !(cr0 & CR0_PG) || cr0 & CR0_PE)
VM_RULE(CR4_ONES, GUEST, "26.3.1.1", "CR4: a bit that must be 1 is 0",
	!(~cr4 & c->cap[VMX_CAP_CR4_FIXED0]))
VM_RULE(CR4_ZEROS, GUEST, "26.3.1.1", "CR4: a bit that must be 0 is 1",
	!(cr4 & ~c->cap[VMX_CAP_CR4_FIXED1]))
VM_RULE(CET_WP, GUEST, "26.3.1.1", "CR4.CET without CR0.WP", !(cr4 & CR4_CET) || cr0 & CR0_WP)
VM_RULE(DEBUGCTL, GUEST, "26.3.1.1", "DEBUGCTL: reserved bits",
	!(entry & VMX_ENTRY_LOAD_DEBUG) || !(f(GUEST_DEBUGCTL) & ~c->debugctl))
VM_RULE(IA32E_PG, GUEST, "26.3.1.1", "IA-32e mode guest without CR0.PG", !guest64 || cr0 & CR0_PG)
VM_RULE(IA32E_PAE, GUEST, "26.3.1.1", "IA-32e mode guest without CR4.PAE",
	!guest64 || cr4 & CR4_PAE)
VM_RULE(PCIDE, GUEST, "26.3.1.1", "CR4.PCIDE without IA-32e mode", guest64 || !(cr4 & CR4_PCIDE))
VM_RULE(CR3, GUEST, "26.3.1.1", "CR3: above the physical-address width",
	!(f(GUEST_CR3) >> c->phys_bits))
VM_RULE(DR7, GUEST, "26.3.1.1", "DR7: above 32 bits",
	!(entry & VMX_ENTRY_LOAD_DEBUG) || !(f(GUEST_DR7) >> 32))
VM_RULE(SYSENTER_ESP, GUEST, "26.3.1.1", "SYSENTER_ESP: not canonical",
	canonical(c, f(GUEST_SYSENTER_ESP)))
VM_RULE(SYSENTER_EIP, GUEST, "26.3.1.1", "SYSENTER_EIP: not canonical",
	canonical(c, f(GUEST_SYSENTER_EIP)))
VM_RULE(PERF, GUEST, "26.3.1.1", "PERF_GLOBAL_CTRL: reserved bits",
	!(entry & VMX_ENTRY_LOAD_PERF_GLOBAL) || !(f(GUEST_PERF_GLOBAL_CTRL) & ~c->perf_global))
VM_RULE(PAT, GUEST, "26.3.1.1", "PAT: a memory type that there is not",
	!(entry & VMX_ENTRY_LOAD_PAT) || pat_holds(f(GUEST_PAT)))
VM_RULE(EFER, GUEST, "26.3.1.1", "EFER: reserved bits",
	!(entry & VMX_ENTRY_LOAD_EFER) || !(f(GUEST_EFER) & ~c->efer))
VM_RULE(EFER_LMA, GUEST, "26.3.1.1", "EFER.LMA is not the IA-32e mode guest control",
	!(entry & VMX_ENTRY_LOAD_EFER) || !(f(GUEST_EFER) & LMA) == !guest64)
VM_RULE(EFER_LME, GUEST, "26.3.1.1", "EFER.LME is not LMA and CR0.PG is 1",
	!(entry & VMX_ENTRY_LOAD_EFER) || !(cr0 & CR0_PG) ||
	!(f(GUEST_EFER) & LMA) == !(f(GUEST_EFER) & LME))
VM_RULE(BNDCFGS, GUEST, "26.3.1.1", "BNDCFGS: reserved bits or not canonical",
	!(entry & VMX_ENTRY_LOAD_BNDCFGS) ||
	(!(f(GUEST_BNDCFGS) & 0xffc) && canonical(c, f(GUEST_BNDCFGS))))
VM_RULE(S_CET, GUEST, "26.3.1.1", "S_CET: reserved bits, or SUPPRESS with TRACKER",
	!(entry & VMX_ENTRY_LOAD_CET) || s_cet_holds(c, f(GUEST_S_CET), guest64))
VM_RULE(SSP_TABLE, GUEST, "26.3.1.1", "INTERRUPT_SSP_TABLE_ADDR: not canonical",
	!(entry & VMX_ENTRY_LOAD_CET) || canonical(c, f(GUEST_INTR_SSP_TABLE)))
VM_RULE(PKRS, GUEST, "26.3.1.1", "PKRS: above 32 bits",
	!(entry & VMX_ENTRY_LOAD_PKRS) || !(f(GUEST_PKRS) >> 32))
VM_RULE(UINV, GUEST, "26.3.1.1", "UINV: above 8 bits",
	!(entry & VMX_ENTRY_LOAD_UINV) || f(GUEST_UINV) <= 255)

/* 26.3.1.2: segment registers */
SEG_RULE(TR_TI, GUEST, "26.3.1.2", "selector.TI is 1", TR, !(sg->sel & 4))
SEG_RULE(LDTR_TI, GUEST, "26.3.1.2", "selector.TI is 1", LDTR, !sg->usable || !(sg->sel & 4))
VM_RULE(SS_RPL, GUEST, "26.3.1.2", "SS.RPL is not CS.RPL",
	vm86 || unrestricted || !((seg[SS].sel ^ seg[CS].sel) & 3))
SEG_RULE(VM86_BASE, GUEST, "26.3.1.2", "base is not selector << 4 in virtual-8086 mode", CODE_DATA,
	 !vm86 || sg->base == (u64)sg->sel << 4)
SEG_RULE(BASE, GUEST, "26.3.1.2", "base: not canonical", TR | FS_GS,
	 canonical(c, sg->base))
SEG_RULE(LDTR_BASE, GUEST, "26.3.1.2", "base: not canonical", LDTR,
	 !sg->usable || canonical(c, sg->base))
SEG_RULE(BASE_HIGH, GUEST, "26.3.1.2", "base: above 32 bits", CODE_DATA & ~FS_GS,
	 !sg->usable || !(sg->base >> 32))
SEG_RULE(VM86_LIMIT, GUEST, "26.3.1.2", "limit is not 0xffff in virtual-8086 mode", CODE_DATA,
	 !vm86 || sg->limit == 0xffff)
SEG_RULE(VM86_AR, GUEST, "26.3.1.2", "access rights are not 0xf3 in virtual-8086 mode", CODE_DATA,
	 !vm86 || sg->ar == 0xf3)
VM_RULE(CS_TYPE, GUEST, "26.3.1.2", "CS.type is not accessed code (or 3 in an unrestricted guest)",
	vm86 || (cs_type & 9) == 9 || (unrestricted && cs_type == 3))
SEG_RULE(SS_TYPE, GUEST, "26.3.1.2", "type is not 3 or 7", BIT(SS),
	 vm86 || !sg->usable || (sg->ar & 15) == 3 || (sg->ar & 15) == 7)
SEG_RULE(DATA_TYPE, GUEST, "26.3.1.2", "type is not accessed", DATA,
	 vm86 || !sg->usable || sg->ar & 1)
SEG_RULE(DATA_CODE, GUEST, "26.3.1.2", "type is code that can't be read", DATA,
	 vm86 || !sg->usable || !(sg->ar & 8) || sg->ar & 2)
SEG_RULE(S, GUEST, "26.3.1.2", "S is 0", CODE_DATA, vm86 || !sg->usable || sg->ar & VMX_AR_S)
VM_RULE(CS_DPL_0, GUEST, "26.3.1.2", "CS.DPL is not 0 with type 3",
	vm86 || cs_type != 3 || dpl(&seg[CS]) == 0)
VM_RULE(CS_DPL, GUEST, "26.3.1.2", "CS.DPL is not SS.DPL and CS is non-conforming",
	vm86 || (cs_type & 13) != 9 || dpl(&seg[CS]) == dpl(&seg[SS]))
VM_RULE(CS_CONFORMING, GUEST, "26.3.1.2", "CS.DPL is above SS.DPL and CS is conforming",
	vm86 || (cs_type & 13) != 13 || dpl(&seg[CS]) <= dpl(&seg[SS]))
VM_RULE(SS_DPL, GUEST, "26.3.1.2", "SS.DPL is not SS.RPL",
	vm86 || unrestricted || dpl(&seg[SS]) == (seg[SS].sel & 3))
VM_RULE(SS_DPL_0, GUEST, "26.3.1.2", "SS.DPL is not 0 in real mode or with CS of type 3",
	vm86 || (cs_type != 3 && cr0 & CR0_PE) || dpl(&seg[SS]) == 0)
SEG_RULE(DATA_DPL, GUEST, "26.3.1.2", "DPL is below RPL", DATA,
	 vm86 || unrestricted || !sg->usable || (sg->ar & 15) > 11 || dpl(sg) >= (sg->sel & 3))
SEG_RULE(P, GUEST, "26.3.1.2", "P is 0", CODE_DATA, vm86 || !sg->usable || sg->ar & VMX_AR_P)
SEG_RULE(AR, GUEST, "26.3.1.2", "access rights: reserved bits", CODE_DATA,
	 vm86 || !sg->usable || !(sg->ar & VMX_AR_RESERVED))
VM_RULE(CS_DB, GUEST, "26.3.1.2", "CS.D and CS.L are both 1",
	vm86 || !guest64 || !(seg[CS].ar & VMX_AR_L) || !(seg[CS].ar & VMX_AR_DB))
SEG_RULE(G, GUEST, "26.3.1.2", "G does not fit the limit", CODE_DATA,
	 vm86 || !sg->usable || granularity_holds(sg))
VM_RULE(TR_TYPE, GUEST, "26.3.1.2", "TR.type is not a busy TSS",
	(seg[TASK].ar & 15) == 11 || (!guest64 && (seg[TASK].ar & 15) == 3))
SEG_RULE(TR_UNUSABLE, GUEST, "26.3.1.2", "unusable", TR, sg->usable)
SEG_RULE(LDTR_TYPE, GUEST, "26.3.1.2", "type is not 2", LDTR, !sg->usable || (sg->ar & 15) == 2)
SEG_RULE(SYS_S, GUEST, "26.3.1.2", "S is 1", TR | LDTR, !sg->usable || !(sg->ar & VMX_AR_S))
SEG_RULE(SYS_P, GUEST, "26.3.1.2", "P is 0", TR | LDTR, !sg->usable || sg->ar & VMX_AR_P)
SEG_RULE(SYS_AR, GUEST, "26.3.1.2", "access rights: reserved bits", TR | LDTR,
	 !sg->usable || !(sg->ar & VMX_AR_RESERVED))
SEG_RULE(SYS_G, GUEST, "26.3.1.2", "G does not fit the limit", TR | LDTR,
	 !sg->usable || granularity_holds(sg))

/* 26.3.1.3: descriptor tables */
VM_RULE(GDTR_BASE, GUEST, "26.3.1.3", "GDTR.base: not canonical", canonical(c, f(GUEST_GDTR_BASE)))
VM_RULE(IDTR_BASE, GUEST, "26.3.1.3", "IDTR.base: not canonical", canonical(c, f(GUEST_IDTR_BASE)))
VM_RULE(GDTR_LIMIT, GUEST, "26.3.1.3", "GDTR.limit: above 16 bits", f(GUEST_GDTR_LIMIT) <= 0xffff)
VM_RULE(IDTR_LIMIT, GUEST, "26.3.1.3", "IDTR.limit: above 16 bits", f(GUEST_IDTR_LIMIT) <= 0xffff)

/* 26.3.1.4: RIP, RFLAGS, SSP */
VM_RULE(RIP_HIGH, GUEST, "26.3.1.4", "RIP: above 32 bits outside 64-bit mode",
	code64 || !(f(GUEST_RIP) >> 32))
VM_RULE(RIP, GUEST, "26.3.1.4", "RIP: the bits above linear addresses differ",
	!code64 || c->linear_bits >= 64 || f(GUEST_RIP) >> c->linear_bits == 0 ||
	f(GUEST_RIP) >> c->linear_bits == ~0ull >> c->linear_bits)
VM_RULE(RFLAGS, GUEST, "26.3.1.4", "RFLAGS: reserved bits", !(rflags & ~0x3f7fd7ull))
VM_RULE(RFLAGS_1, GUEST, "26.3.1.4", "RFLAGS: bit 1 is 0", rflags & 2)
VM_RULE(RFLAGS_VM, GUEST, "26.3.1.4", "RFLAGS.VM in IA-32e or real mode",
	!vm86 || (!guest64 && cr0 & CR0_PE))
VM_RULE(RFLAGS_IF, GUEST, "26.3.1.4", "external interrupt injected with RFLAGS.IF 0",
	!event || type != 0 || rflags & RFLAGS_IF)
VM_RULE(SSP, GUEST, "26.3.1.4", "SSP: not aligned or not an address",
	!(entry & VMX_ENTRY_LOAD_CET) || (!(f(GUEST_SSP) & 3) &&
	(code64 ? canonical(c, f(GUEST_SSP)) : !(f(GUEST_SSP) >> 32))))

/* 26.3.1.5: non-register state */
VM_RULE(ACTIVITY, GUEST, "26.3.1.5", "activity state: the CPU has it not",
	activity == VMX_ACTIVE || (activity <= VMX_WAIT_FOR_SIPI &&
	c->cap[VMX_CAP_MISC] & VMX_CAP_MISC_HLT << (activity - VMX_HLT)))
VM_RULE(HLT_DPL, GUEST, "26.3.1.5", "activity state HLT and SS.DPL is not 0",
	activity != VMX_HLT || dpl(&seg[SS]) == 0)
VM_RULE(INACTIVE_BLOCKED, GUEST, "26.3.1.5", "not active, but blocking by STI or MOV SS",
	activity == VMX_ACTIVE || !(blocked & (VMX_BLOCK_STI | VMX_BLOCK_MOV_SS)))
VM_RULE(HLT_EVENT, GUEST, "26.3.1.5", "event that does not end the activity state HLT",
	!event || activity != VMX_HLT || type == 0 || type == 2 ||
	(type == 3 && (vector == 1 || vector == 18)) || (type == 7 && vector == 0))
VM_RULE(SHUTDOWN_EVENT, GUEST, "26.3.1.5", "event that is not NMI or #MC in the shutdown state",
	!event || activity != VMX_SHUTDOWN || type == 2 || (type == 3 && vector == 18))
VM_RULE(SIPI_EVENT, GUEST, "26.3.1.5", "event in the wait-for-SIPI state",
	!event || activity != VMX_WAIT_FOR_SIPI)
VM_RULE(SIPI_SMM, GUEST, "26.3.1.5", "entry to SMM in the wait-for-SIPI state",
	!(entry & VMX_ENTRY_TO_SMM) || activity != VMX_WAIT_FOR_SIPI)
VM_RULE(BLOCKED_RESERVED, GUEST, "26.3.1.5", "interruptibility: reserved bits",
	!(blocked & ~0x1full))
VM_RULE(BLOCKED_BOTH, GUEST, "26.3.1.5", "blocking by STI and by MOV SS",
	!(blocked & VMX_BLOCK_STI) || !(blocked & VMX_BLOCK_MOV_SS))
VM_RULE(BLOCKED_IF, GUEST, "26.3.1.5", "blocking by STI with RFLAGS.IF 0",
	!(blocked & VMX_BLOCK_STI) || rflags & RFLAGS_IF)
VM_RULE(BLOCKED_INTR, GUEST, "26.3.1.5", "external interrupt injected while STI or MOV SS blocks",
	!event || type != 0 || !(blocked & (VMX_BLOCK_STI | VMX_BLOCK_MOV_SS)))
VM_RULE(BLOCKED_NMI, GUEST, "26.3.1.5", "NMI injected into blocking by MOV SS",
	!event || type != 2 || !(blocked & VMX_BLOCK_MOV_SS))
VM_RULE(BLOCKED_SMI, GUEST, "26.3.1.5", "blocking by SMI outside SMM", !(blocked & VMX_BLOCK_SMI))
VM_RULE(SMM_SMI, GUEST, "26.3.1.5", "entry to SMM without blocking by SMI",
	!(entry & VMX_ENTRY_TO_SMM) || blocked & VMX_BLOCK_SMI)
VM_RULE(BLOCKED_VNMI, GUEST, "26.3.1.5", "NMI injected into blocking by NMI, with virtual NMIs",
	!event || type != 2 || !(pin & VMX_PIN_VIRTUAL_NMIS) || !(blocked & VMX_BLOCK_NMI))
VM_RULE(ENCLAVE, GUEST, "26.3.1.5", "enclave interruption: no SGX, or blocking by MOV SS",
	!(blocked & VMX_ENCLAVE_INTR) || (c->sgx && !(blocked & VMX_BLOCK_MOV_SS)))
VM_RULE(PENDING, GUEST, "26.3.1.5", "pending debug exceptions: reserved bits",
	!(pending & ~(c->pending_dbg | 0x500full)))
VM_RULE(PENDING_BS_SET, GUEST, "26.3.1.5", "pending debug exceptions: BS without single-stepping",
	!stepwise || !(pending & VMX_PENDING_BS) || stepping)
VM_RULE(PENDING_BS_CLEAR, GUEST, "26.3.1.5", "pending debug exceptions: single-stepping without BS",
	!stepwise || pending & VMX_PENDING_BS || !stepping)
VM_RULE(PENDING_RTM, GUEST, "26.3.1.5", "pending debug exceptions: RTM with other bits or MOV SS",
	!(pending & VMX_PENDING_RTM) ||
	(pending == (VMX_PENDING_RTM | VMX_PENDING_ENABLED_BP) && !(blocked & VMX_BLOCK_MOV_SS)))
VM_RULE(NMI_STI, NMI_STI, "26.3.1.5", "NMI injected into blocking by STI",
	!event || type != 2 || !(blocked & VMX_BLOCK_STI))
VM_RULE(LINK, LINK, "26.3.1.5", "VMCS link pointer: bad address",
	link == ~0ull || address(c, link, 12))
VM_RULE(LINK_REVISION, LINK, "26.3.1.5", "VMCS link pointer: wrong revision or shadow indicator",
	link == ~0ull || !address(c, link, 12) || memory(c, link, link_revision) == link_revision)
VM_RULE(LINK_SELF, LINK, "26.3.1.5", "VMCS link pointer: the current VMCS",
	link == ~0ull || link != c->current_vmcs)

/* 26.3.1.6: PDPTEs */
VM_RULE(PDPTE, PDPTE, "26.3.1.6", "PDPTE: reserved bits", !pae || pdptes_hold(c, ept))

/* 26.4: loading MSRs */
VM_RULE(MSR_RESERVED, MSR, "26.4", "MSR-load entry: bits 63:32 are not 0", msr.why != MSR_RESERVED)
VM_RULE(MSR_FS_GS, MSR, "26.4", "MSR-load entry: FS_BASE or GS_BASE", msr.why != MSR_FS_GS)
VM_RULE(MSR_X2APIC, MSR, "26.4", "MSR-load entry: x2APIC register", msr.why != MSR_X2APIC)
VM_RULE(MSR_SMM, MSR, "26.4", "MSR-load entry: only in SMM", msr.why != MSR_SMM)
VM_RULE(MSR_WRITE, MSR, "26.4", "MSR-load entry: the write faults", msr.why != MSR_WRITE)
