/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VMCS as an array, with the little memory that an entry looks at: good ones to
 * start from, and the sites of sites.tsv to break them by.  Pure; the test module
 * writes such an image into a real VMCS, the host tests hand it to the validator.
 */
#ifndef VMX_CHECK_IMAGE_H
#define VMX_CHECK_IMAGE_H

#include "vmx_check.h"

/* Pages that the VMCS points to. Those of the guest's memory are the caller's affair. */
enum {
	P_IO_A, P_IO_B, P_MSR_BITMAP, P_VIRTUAL_APIC, P_APIC_ACCESS, P_PML, P_EPTP_LIST, P_VMREAD,
	P_VMWRITE, P_VE, P_POSTED, P_EXIT_STORE, P_EXIT_LOAD, P_ENTRY_LOAD, P_LINK, P_VMCS,
	P_PDPT,		/* the guest's, where there is no EPT */
	P_EPT, P_SPARE, PAGES,
};

#define MSRS	4	/* entries of each MSR list */

struct image {
	u64 f[VMCS_FIELDS];
	struct vmx_check c;
	u64 page[PAGES];
	u64 msrs[MSRS][2];	/* the VM-entry MSR-load list */
	u64 pdpte[4];		/* at P_PDPT */
	u32 vtpr;
	u32 link_revision;	/* at P_LINK */
};

/* Where the guest has its tables, under EPT; linear 0 to 2 MiB is code in any mode. */
#define GUEST_PML4	0x200000ull
#define GUEST_PDPT	0x201000ull
#define GUEST_PD	0x202000ull
#define GUEST_PT	0x203000ull
#define GUEST_PD32	0x204000ull
#define GUEST_CODE	0x1000ull

#define F(field)	(m->f[vmcs_index(VMCS_##field)])
#define CAP(name)	(m->c.cap[VMX_CAP_##name])
#define HIGH		BIT_ULL(m->c.phys_bits)
#define ODD		0x1000000000000008ull	/* nowhere canonical */
#define EVENT(type, vector) \
	(F(ENTRY_INTR_INFO) = VMX_INTR_VALID | (type) << VMX_INTR_TYPE_SHIFT | (vector))

enum { BASE_LONG, BASE_PROT, BASE_PAE, BASE_REAL, BASE_VM86, BASE_HOST32, BASES };

struct site {
	const char *name;
	bool counted;
	enum vmx_rule rule;
	u8 base;
	const char *check;
	const char *emulator;
	const char *why;
};

static inline u64 image_read(const struct vmx_check *c, u32 field)
{
	const struct image *m = c->arg;

	return m->f[vmcs_index(field)];
}

static inline bool image_memory(const struct vmx_check *c, u64 pa, u64 *value)
{
	const struct image *m = c->arg;
	u64 page = pa & ~0xfffull;
	u32 at = pa & 0xfff;

	if (page == m->page[P_VIRTUAL_APIC] && at == 0x80)
		*value = m->vtpr;
	else if (page == m->page[P_LINK] && at == 0)
		*value = m->link_revision;
	else if (page == m->page[P_VMCS] && at == 0)
		*value = CAP(BASIC) & VMX_CAP_BASIC_REVISION;
	else if (page == m->page[P_PDPT] && at < sizeof(m->pdpte))
		*value = m->pdpte[at / 8];
	else if (page == m->page[P_ENTRY_LOAD] && at < sizeof(m->msrs))
		*value = m->msrs[at / 16][at / 8 % 2];
	else
		return false;
	return true;
}

static inline bool image_takes(const struct vmx_check *c, u32 msr, u64 value)
{
	/* SYSENTER_ESP and SYSENTER_EIP want an address. */
	return (msr != 0x175 && msr != 0x176) || (u64)((s64)(value << 16) >> 16) == value;
}

/* The wanted controls, with what must be 1; what the CPU has not is left in. */
static inline u32 controls(const struct image *m, enum vmx_cap cap, u32 wanted)
{
	if (m->c.cap[VMX_CAP_BASIC] & VMX_CAP_BASIC_TRUE && cap <= VMX_CAP_ENTRY)
		cap += VMX_CAP_TRUE_PIN - VMX_CAP_PIN;
	return wanted | lower_32_bits(m->c.cap[cap]);
}

static inline void segment(struct image *m, unsigned int n, u16 sel, u64 base, u32 limit, u32 ar)
{
	m->f[vmcs_index(VMCS_GUEST_ES_SEL + 2 * n)] = sel;
	m->f[vmcs_index(VMCS_GUEST_ES_BASE + 2 * n)] = base;
	m->f[vmcs_index(VMCS_GUEST_ES_LIMIT + 2 * n)] = limit;
	m->f[vmcs_index(VMCS_GUEST_ES_AR + 2 * n)] = ar;
}

/* CS, and the five others alike. */
static inline void segments(struct image *m, u32 code, u32 data)
{
	unsigned int n;

	for (n = 0; n < 6; n++)
		segment(m, n, n == 1 ? 0x08 : 0x10, 0, ~0u, n == 1 ? code : data);
	segment(m, 6, 0, 0, 0, VMX_AR_UNUSABLE);
	segment(m, 7, 0x18, 0, 0x67, 0x8b);
}

static inline void vm86_segments(struct image *m)
{
	unsigned int n;

	for (n = 0; n < 6; n++)
		segment(m, n, GUEST_CODE >> 4, GUEST_CODE, 0xffff, 0xf3);
}

static inline void ldtr(struct image *m)
{
	segment(m, 6, 0x20, 0, 0xffff, 0x82);
}

static inline void cpl3(struct image *m)
{
	unsigned int n;

	for (n = 0; n < 6; n++) {
		m->f[vmcs_index(VMCS_GUEST_ES_SEL + 2 * n)] |= 3;
		m->f[vmcs_index(VMCS_GUEST_ES_AR + 2 * n)] |= VMX_AR_DPL_MASK;
	}
}

static inline void posted(struct image *m)
{
	F(CPU_CTLS) |= VMX_CPU_TPR_SHADOW;
	F(CPU2_CTLS) |= VMX_CPU2_VIRT_INTR;
	F(PIN_CTLS) |= VMX_PIN_POSTED_INTR;
	F(EXIT_CTLS) |= VMX_EXIT_ACK_INTR;
}

static inline void no_ept(struct image *m)
{
	F(CPU2_CTLS) &= ~VMX_CPU2_EPT;
	F(GUEST_CR3) = m->page[P_PDPT];
}

static inline void image_controls(struct image *m)
{
	F(PIN_CTLS) = controls(m, VMX_CAP_PIN, VMX_PIN_EXT_INTR | VMX_PIN_NMI |
			       VMX_PIN_PREEMPTION_TIMER);
	F(CPU_CTLS) = controls(m, VMX_CAP_CPU, VMX_CPU_HLT | VMX_CPU_SECONDARY);
	F(CPU2_CTLS) = controls(m, VMX_CAP_CPU2, VMX_CPU2_EPT);
	F(EXIT_CTLS) = controls(m, VMX_CAP_EXIT, VMX_EXIT_HOST_64 | VMX_EXIT_SAVE_PAT |
				VMX_EXIT_LOAD_PAT | VMX_EXIT_SAVE_EFER | VMX_EXIT_LOAD_EFER);
	F(ENTRY_CTLS) = controls(m, VMX_CAP_ENTRY, VMX_ENTRY_LOAD_DEBUG | VMX_ENTRY_LOAD_PAT |
				 VMX_ENTRY_LOAD_EFER | VMX_ENTRY_IA32E);
	F(IO_BITMAP_A) = m->page[P_IO_A];
	F(IO_BITMAP_B) = m->page[P_IO_B];
	F(MSR_BITMAP) = m->page[P_MSR_BITMAP];
	F(VIRTUAL_APIC_ADDR) = m->page[P_VIRTUAL_APIC];
	F(APIC_ACCESS_ADDR) = m->page[P_APIC_ACCESS];
	F(PML_ADDR) = m->page[P_PML];
	F(PML_INDEX) = 511;
	F(EPTP_LIST) = m->page[P_EPTP_LIST];
	F(VMREAD_BITMAP) = m->page[P_VMREAD];
	F(VMWRITE_BITMAP) = m->page[P_VMWRITE];
	F(VE_INFO_ADDR) = m->page[P_VE];
	F(POSTED_INTR_DESC) = m->page[P_POSTED];
	F(POSTED_INTR_NV) = 0xf2;
	F(SPP_TABLE) = m->page[P_SPARE];
	F(PASID_LOW) = m->page[P_SPARE];
	F(PASID_HIGH) = m->page[P_SPARE];
	F(HLATP) = m->page[P_SPARE];
	F(PID_POINTER_TABLE) = m->page[P_SPARE];
	F(EXIT_MSR_STORE_ADDR) = m->page[P_EXIT_STORE];
	F(EXIT_MSR_LOAD_ADDR) = m->page[P_EXIT_LOAD];
	F(ENTRY_MSR_LOAD_ADDR) = m->page[P_ENTRY_LOAD];
	F(EPTP) = m->page[P_EPT] | VMX_EPTP_WB | VMX_EPTP_WALK_4;
	F(VPID) = 1;
	F(TSC_MULTIPLIER) = BIT_ULL(48);
	F(PREEMPTION_TIMER) = 1000;
}

static inline void image_guest(struct image *m, unsigned int base)
{
	u64 cr0 = CAP(CR0_FIXED0) | 0x31;	/* PE, ET, NE */

	F(GUEST_CR0) = cr0 | BIT_ULL(31);
	F(GUEST_CR4) = CAP(CR4_FIXED0);
	F(GUEST_CR3) = GUEST_PD32;
	F(GUEST_PAT) = 0x0007040600070406ull;
	F(GUEST_DR7) = 0x400;
	F(GUEST_RFLAGS) = 2;
	F(GUEST_RIP) = GUEST_CODE;
	F(GUEST_RSP) = GUEST_CODE + 0xff0;
	F(GUEST_LINK_POINTER) = ~0ull;
	segments(m, 0xc09b, 0xc093);
	if (base != BASE_LONG)
		F(ENTRY_CTLS) &= ~VMX_ENTRY_IA32E;
	switch (base) {
	case BASE_LONG:
		F(GUEST_EFER) = 0x500;
		F(GUEST_CR4) |= BIT(5);
		F(GUEST_CR3) = GUEST_PML4;
		segments(m, 0xa09b, 0xc093);
		break;
	case BASE_PAE:
		F(GUEST_CR4) |= BIT(5);
		F(GUEST_CR3) = GUEST_PDPT;
		F(GUEST_PDPTE0) = GUEST_PD | 1;
		break;
	case BASE_REAL:
		F(CPU2_CTLS) |= VMX_CPU2_UNRESTRICTED;
		F(GUEST_CR0) = cr0 & ~(BIT_ULL(31) | BIT_ULL(0));
		segments(m, 0x93, 0x93);
		for (base = 0; base < 6; base++)
			segment(m, base, 0, 0, 0xffff, 0x93);
		break;
	case BASE_VM86:
		F(GUEST_RFLAGS) |= BIT(17);
		F(GUEST_RIP) = 0;
		vm86_segments(m);
		break;
	default:
		F(GUEST_CR4) |= BIT(4);		/* PSE */
		break;
	}
	if (F(GUEST_RFLAGS) & BIT(17))
		F(GUEST_CR4) |= BIT(4);
}

/*
 * A good VMCS of this kind. The capabilities, the widths, the pages, the revision's place and
 * the host's fields are the caller's: they stay as they are.
 */
static inline void image_base(struct image *m, unsigned int base)
{
	unsigned int i;

	m->c.read = image_read;
	m->c.memory = image_memory;
	m->c.takes = image_takes;
	m->c.arg = m;
	for (i = 0; i < VMCS_FIELDS; i++)
		if ((i >> 6 & 3) != 3)		/* not the host's */
			m->f[i] = 0;
	for (i = 0; i < MSRS; i++) {
		m->msrs[i][0] = 0x174;		/* SYSENTER_CS */
		m->msrs[i][1] = 0x10;
	}
	memset(m->pdpte, 0, sizeof(m->pdpte));
	m->vtpr = 0;
	m->link_revision = CAP(BASIC) & VMX_CAP_BASIC_REVISION;
	image_controls(m);
	image_guest(m, base);
	if (base == BASE_HOST32) {
		m->c.ia32e = false;
		F(EXIT_CTLS) &= ~VMX_EXIT_HOST_64;
		F(HOST_EFER) &= ~0x500ull;
		F(HOST_RIP) &= 0xffffffff;
		F(HOST_CR4) &= ~BIT_ULL(17);
	}
}

#endif /* VMX_CHECK_IMAGE_H */
