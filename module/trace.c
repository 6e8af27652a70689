// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints of trace.h are made here, with what is too long to stand in it.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"

static_assert(HALO_EXIT_PIO == 1 && HALO_EXIT_RESET == 13);
static_assert(HALO_EXIT_F_SYNC == 1 && HALO_EXIT_F_WRITE == 16);
static_assert(HALO_ZONE_SYNC == 0 && HALO_ZONE_DENY == 4);
static_assert(HALO_ACTION_DONE == 0 && HALO_ACTION_SHUTDOWN == 3);
static_assert(EVENT_INTR == 1 && EVENT_SOFT_INT == 4);
static_assert(HALO_FAULT_MAPPED == 0 && HALO_FAULT_MMIO == 1);

/**
 * halo_trace_info() - what there is to say about an exit, beyond its reason
 * @cpu: just out of the guest
 * @info1: what it was about: a leaf, a port, an address, an index, a vector
 * @info2: how; see halo(1)
 */
void halo_trace_info(const struct halo_cpu *cpu, u64 *info1, u64 *info2)
{
	const struct halo_hwexit *x = &cpu->exit;
	const u64 *gpr = cpu->gpr;

	*info1 = 0;
	*info2 = 0;
	switch (x->reason) {
	case HW_CPUID:
		*info1 = (u32)gpr[GPR_RAX];
		*info2 = (u32)gpr[GPR_RCX];
		break;
	case HW_PIO:
		*info1 = x->io.port;
		*info2 = x->io.size | x->io.in << 8 | x->io.string << 9 | x->io.rep << 10;
		break;
	case HW_MEMORY:
		*info1 = x->mem.gpa;
		*info2 = x->mem.write | x->mem.exec << 1 | x->mem.walk << 2;
		break;
	case HW_WRMSR:
	case HW_XSETBV:
		*info2 = gpr[GPR_RDX] << 32 | (u32)gpr[GPR_RAX];
		fallthrough;
	case HW_RDMSR:
		*info1 = (u32)gpr[GPR_RCX];
		break;
	case HW_HYPERCALL:
		*info1 = gpr[GPR_RAX];
		*info2 = gpr[GPR_RBX];
		break;
	case HW_EXCEPTION:
		*info1 = x->exc.vector;
		*info2 = x->exc.error;
		break;
	case HW_CR:
	case HW_DR:
		*info1 = x->cr.nr;
		*info2 = x->cr.op;
		break;
	case HW_EOI:
	case HW_APIC_WRITE:
		*info1 = x->apic;
		break;
	case HW_ENTRY_FAILED:
	case HW_UNKNOWN:
		*info1 = x->code;
		break;
	default:
		break;
	}
}
