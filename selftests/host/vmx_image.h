/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs and good VMCSs for the tests of the validator.
 */
#ifndef VMX_IMAGE_H
#define VMX_IMAGE_H

#include "../vmx-check/image.h"
#include "vmx_sites.h"

enum { CPU_SKYLAKE, CPU_ALL, CPUS };

/* The capabilities that Bochs's corei7_skylake_x shows, and a CPU with all that we know of. */
static const u64 vmx_caps[CPUS][VMX_CAPS] = {
	[CPU_SKYLAKE] = {
		0x00d810000000002b, 0x0000007f00000016, 0xf7f9fffe0401e172, 0x007fffff00036dff,
		0x0000ffff000011ff, 0x00000000600401e0, 0x80000021, 0xffffffff, 0x2000, 0x3727ff,
		0x34, 0x02177fff00000000, 0x00000f0106334141, 0x0000007f00000016,
		0xf7f9fffe04006172, 0x007fffff00036dfb, 0x0000ffff000011fb, 1, 0, 0,
	},
	[CPU_ALL] = {
		0x01da040000000004, 0x000000ff00000016, 0xfffffffe0401e172, 0xf7ffffff00036dff,
		0x007fffff000011ff, 0x000000007004c1e7, 0x80000021, 0xffffffff, 0x2000, 0x1fff7ff,
		0x2e, 0xdfffffff00000000, 0x00000f0106f341c1, 0x000000ff00000016,
		0xfffffffe04006172, 0xf7ffffff00036dfb, 0x007fffff000011fb, 1, 0x9f, 1,
	},
};

static inline void vmx_image_init(struct image *m, int cpu)
{
	int i;

	memset(m, 0, sizeof(*m));
	memcpy(m->c.cap, vmx_caps[cpu], sizeof(m->c.cap));
	m->c.phys_bits = cpu == CPU_SKYLAKE ? 40 : 46;
	m->c.linear_bits = cpu == CPU_SKYLAKE ? 48 : 57;
	m->c.efer = 0xd01;
	m->c.debugctl = 0x1ddc3;
	m->c.perf_global = 0x70000000full;
	m->c.pending_dbg = cpu == CPU_ALL ? 0x10800 : 0;
	m->c.sgx = cpu == CPU_ALL;
	m->c.ia32e = true;
	for (i = 0; i < PAGES; i++)
		m->page[i] = 0x10000 + i * 0x1000ull;
	m->c.current_vmcs = m->page[P_VMCS];
	F(HOST_CR0) = 0x80050033;
	F(HOST_CR4) = 0x26f0;
	F(HOST_CR3) = 0x5000;
	F(HOST_CS_SEL) = 0x10;
	F(HOST_SS_SEL) = 0x18;
	F(HOST_TR_SEL) = 0x40;
	F(HOST_EFER) = 0xd01;
	F(HOST_PAT) = 0x0007040600070406ull;
	F(HOST_GS_BASE) = 0xffff888000000000ull;
	F(HOST_TR_BASE) = 0xfffffe0000003000ull;
	F(HOST_GDTR_BASE) = 0xfffffe0000001000ull;
	F(HOST_IDTR_BASE) = 0xfffffe0000000000ull;
	F(HOST_RSP) = 0xffffc90000000000ull;
	F(HOST_RIP) = 0xffffffff81000000ull;
}

#endif /* VMX_IMAGE_H */
