/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The names of enum halo_hw_reason, as statistics and tracepoints tell them; the last one,
 * HW_UNKNOWN, is left to who uses the list.  A name keeps its meaning.
 */
#ifndef HALO_REASONS_H
#define HALO_REASONS_H

#define HALO_REASONS(R)								\
	R(NONE, none) R(INTR, intr) R(DEADLINE, deadline) R(NMI, nmi)		\
	R(INTR_WINDOW, intr_window) R(NMI_WINDOW, nmi_window)			\
	R(EXCEPTION, exception) R(MACHINE_CHECK, machine_check)			\
	R(CPUID, cpuid) R(HLT, hlt) R(PAUSE, pause) R(RDMSR, rdmsr)		\
	R(WRMSR, wrmsr) R(PIO, pio) R(MEMORY, memory)				\
	R(HYPERCALL, hypercall) R(EOI, eoi) R(APIC_WRITE, apic_write)		\
	R(CR, cr) R(DR, dr) R(XSETBV, xsetbv) R(WBINVD, wbinvd)			\
	R(RDPMC, rdpmc) R(UNDEFINED, undefined) R(SHUTDOWN, shutdown)		\
	R(INIT, init) R(ENTRY_FAILED, entry_failed)

#endif /* HALO_REASONS_H */
