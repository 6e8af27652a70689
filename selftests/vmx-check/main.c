// SPDX-License-Identifier: GPL-2.0
/*
 * vmxfuzz: does the CPU say of a VMCS what the validator says?
 *
 * A test module of its own, without Halo.  It goes through sites.tsv with a good and
 * a broken VMCS each, then through random ones, and compares the CPU's answer to
 * VMLAUNCH with the verdict.  The guest is a page of HLT.  The report is KTAP in
 * /proc/vmxfuzz.
 *
 *   insmod vmxfuzz.ko [seed=N] [count=N] [version=27] [trace=N]
 *
 * For a machine with one CPU, on which nothing else uses VT-x.
 */
#include <linux/cpu.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "image.h"
#include "sites_gen.h"
#include "mutate.h"
#include "bochs.h"

static ulong seed = 1;
module_param(seed, ulong, 0444);
static uint count = 12000;
module_param(count, uint, 0444);

/* Of Bochs: 27 is 2.7. */
static uint version = 27;
module_param(version, uint, 0444);
/* From this state on each is in the kernel log before it is tried: what ended the machine? */
static uint trace = ~0u;
module_param(trace, uint, 0444);

int vmxfuzz_enter(void);
extern char vmxfuzz_exit[];

static char *report;
static size_t report_len;
#define REPORT	(1 << 20)

#define say(...) \
	(report_len += scnprintf(report + report_len, REPORT - report_len, __VA_ARGS__))

/* What the CPU said. */
struct outcome {
	bool entered;
	u32 error;	/* VM-instruction error; ~0: VMfailInvalid */
	u32 reason;	/* of the exit, without bit 31 */
	u64 qualification;
};

static struct image *good, *image, *scratch;	/* the base, what is tried, room */
static u64 *written;				/* what the VMCS holds, by field */
static unsigned long *known;			/* whether that is known */
static void *page[PAGES], *vmxon_page, *code_page, *guest[5], *flat[2], *ept[4];
static u32 passed, failed, skipped, number;

static bool vmx_op(u64 pa, int op)
{
	bool bad;

	switch (op) {
	case 0:
		asm volatile("vmxon %1" : "=@ccna" (bad) : "m" (pa) : "memory");
		break;
	case 1:
		asm volatile("vmclear %1" : "=@ccna" (bad) : "m" (pa) : "memory");
		break;
	default:
		asm volatile("vmptrld %1" : "=@ccna" (bad) : "m" (pa) : "memory");
		break;
	}
	return !bad;
}

static u64 vmread(u64 field)
{
	u64 value = 0;

	asm volatile("vmread %1, %0" : "=r" (value) : "r" (field) : "cc");
	return value;
}

static bool vmwrite(u64 field, u64 value)
{
	bool bad;

	asm volatile("vmwrite %2, %1" : "=@ccna" (bad) : "r" (field), "rm" (value));
	return !bad;
}

static void write_image(const struct image *m)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		u32 at = vmcs_index(fields[i].field);

		if (test_bit(at, known) && written[at] == m->f[at])
			continue;
		/* A field that the CPU lacks belongs to a control that it lacks. */
		vmwrite(fields[i].field, m->f[at]);
		written[at] = m->f[at];
		__set_bit(at, known);
	}
	memcpy(page[P_ENTRY_LOAD], m->msrs, sizeof(m->msrs));
	memcpy(page[P_PDPT], m->pdpte, sizeof(m->pdpte));
	*(u32 *)(page[P_VIRTUAL_APIC] + 0x80) = m->vtpr;
	*(u32 *)page[P_LINK] = m->link_revision;
}

static void forget_written(void)
{
	bitmap_zero(known, VMCS_FIELDS);
}

/* Interrupts are off, since the host's fields must still be true at the exit. */
static void try_entry(const struct image *m, struct outcome *o)
{
	int how;

	memset(o, 0, sizeof(*o));
	write_image(m);
	how = vmxfuzz_enter();
	if (how) {
		o->error = how == 2 ? vmread(VMCS_INSN_ERROR) : ~0u;
		return;
	}
	o->reason = vmread(VMCS_EXIT_REASON);
	o->qualification = vmread(VMCS_EXIT_QUALIFICATION);
	o->entered = !(o->reason & VMX_REASON_ENTRY_FAILED);
	o->reason &= 0xffff;
	if (!o->entered)
		return;
	/* The guest's fields have changed, and the next is to be a launch again. */
	forget_written();
	vmx_op(m->page[P_VMCS], 1);
	vmx_op(m->page[P_VMCS], 2);
}

/* Whether a verdict allows an outcome: any broken rule of the first stage may be the one told. */
static bool fits(const struct vmx_verdict *v, const struct outcome *o)
{
	enum vmx_class class = first_class(v);
	struct vmx_verdict one;
	u32 rule;

	if (class == VMX_CLASS_NONE)
		return o->entered;
	if (class == VMX_CLASS_MSR)
		return o->reason == VMX_REASON_BAD_MSR_LOAD && !o->entered &&
		       o->qualification == v->msr;
	for (rule = 1; rule < VMX_RULES && !o->entered; rule++) {
		if (!vmx_rule_broken(v, rule))
			continue;
		vmx_check_rule(rule, &one);
		if (class <= VMX_CLASS_HOST && one.class <= VMX_CLASS_HOST && o->error == one.error)
			return true;
		if (class > VMX_CLASS_HOST && one.reason == VMX_REASON_BAD_GUEST_STATE &&
		    o->reason == one.reason && o->qualification == one.qualification)
			return true;
	}
	return false;
}

static void say_outcome(const struct outcome *o)
{
	if (o->entered)
		say("entered, exit reason %u", o->reason);
	else if (o->reason)
		say("entry failure %u, qualification %llu", o->reason, o->qualification);
	else
		say("VMfail %d", (int)o->error);
}

static void host_state(struct image *m)
{
	struct desc_ptr gdt, idt;
	struct ldttss_desc *tss;
	u16 tr;

	native_store_gdt(&gdt);
	store_idt(&idt);
	asm volatile("str %0" : "=r" (tr));
	tss = (void *)(gdt.address + (tr & ~7));
	F(HOST_CR0) = read_cr0();
	F(HOST_CR3) = __read_cr3();
	F(HOST_CR4) = __read_cr4();
	F(HOST_CS_SEL) = __KERNEL_CS;
	F(HOST_SS_SEL) = __KERNEL_DS;
	F(HOST_TR_SEL) = tr;
	F(HOST_TR_BASE) = get_desc_base((void *)tss) | (u64)tss->base3 << 32;
	F(HOST_GDTR_BASE) = gdt.address;
	F(HOST_IDTR_BASE) = idt.address;
	rdmsrl(MSR_FS_BASE, F(HOST_FS_BASE));
	rdmsrl(MSR_GS_BASE, F(HOST_GS_BASE));
	rdmsrl(MSR_IA32_SYSENTER_CS, F(HOST_SYSENTER_CS));
	rdmsrl(MSR_IA32_SYSENTER_ESP, F(HOST_SYSENTER_ESP));
	rdmsrl(MSR_IA32_SYSENTER_EIP, F(HOST_SYSENTER_EIP));
	rdmsrl(MSR_IA32_CR_PAT, F(HOST_PAT));
	rdmsrl(MSR_EFER, F(HOST_EFER));
	F(HOST_RIP) = (unsigned long)vmxfuzz_exit;
	F(HOST_RSP) = (unsigned long)page[P_SPARE] + PAGE_SIZE;
}

static void cpu_state(struct image *m)
{
	u32 eax, ebx, ecx, edx;
	u64 value;
	int i;

	for (i = 0; i < VMX_CAPS; i++)
		if (rdmsrl_safe(VMX_MSR_FIRST + i, &m->c.cap[i]))
			m->c.cap[i] = 0;
	eax = cpuid_eax(0x80000008);
	m->c.phys_bits = eax & 0xff;
	m->c.linear_bits = eax >> 8 & 0xff;
	m->c.efer = 0x501 | (cpuid_edx(0x80000001) & BIT(20) ? BIT(11) : 0);
	cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
	m->c.sgx = ebx & BIT(2);
	m->c.pending_dbg = (ebx & BIT(11) ? VMX_PENDING_RTM : 0) | (ecx & BIT(24) ? BIT(11) : 0);
	m->c.debugctl = ebx & BIT(11) ? 0xfdc3 : 0x7fc3;
	cpuid(10, &eax, &ebx, &ecx, &edx);
	m->c.perf_global = ((1ull << (eax >> 8 & 0xff)) - 1) | ((1ull << (edx & 0x1f)) - 1) << 32;
	rdmsrl(MSR_IA32_APICBASE, value);
	m->c.x2apic = value & X2APIC_ENABLE;
	m->c.ia32e = true;
	for (i = 0; i < PAGES; i++)
		m->page[i] = __pa(page[i]);
	m->c.current_vmcs = m->page[P_VMCS];
}

/* The image is a good one of this kind, as the host is at this moment. Interrupts are off. */
static void start(struct image *m, u32 base)
{
	memset(m, 0, sizeof(*m));
	cpu_state(m);
	host_state(m);
	image_base(m, base);
	m->pdpte[0] = __pa(flat[0]) | 1;
	*good = *m;
}

static void result(bool ok, const char *name, const char *text)
{
	number++;
	if (ok)
		passed++;
	else
		failed++;
	say("%sok %u %s %s\n", ok ? "" : "not ", number, name, text);
}

static void skip(const char *name, const char *why)
{
	number++;
	skipped++;
	say("ok %u %s # SKIP %s\n", number, name, why);
}

static bool told(const char *emulator, const struct vmx_verdict *v, const struct outcome *o)
{
	if (!emulator)
		return fits(v, o);
	if (!strcmp(emulator, "enter"))
		return o->entered;
	return o->reason == VMX_REASON_BAD_GUEST_STATE && !o->entered && !o->qualification;
}

/* One row of the table, both outcomes. True if both were seen. */
static bool try_site(u32 i)
{
	const struct site *s = &sites[i];
	struct vmx_verdict v;
	struct outcome o;
	bool fine;

	if (!trace)
		pr_info("site %s\n", s->name);
	start(image, s->base);
	site_good(image, i);
	vmx_check(&image->c, &v);
	if (v.rule) {
		say("# %s good: %s %s%s\n", s->name, v.section, v.where, v.text);
		result(false, s->name, s->check);
		return false;
	}
	try_entry(image, &o);
	fine = o.entered;
	if (!fine) {
		say("# %s good, but ", s->name);
		say_outcome(&o);
		say("\n");
	}
	site_broken(image, i);
	vmx_check(&image->c, &v);
	try_entry(image, &o);
	if (!vmx_rule_broken(&v, s->rule) || !told(s->emulator, &v, &o)) {
		say("# %s broken (%s %s%s), but ", s->name, v.section, v.where, v.text);
		say_outcome(&o);
		say("\n");
		fine = false;
	}
	result(fine, s->name, s->check);
	return fine;
}

/* Whether a row is not for this machine. "no ..." is a reason only where there is none. */
static bool out_of_reach(u32 i)
{
	const struct site *s = &sites[i];
	struct vmx_verdict v;

	if (s->emulator)
		return !strcmp(s->emulator, "skip");
	if (!s->why || strncmp(s->why, "no ", 3))
		return s->why;
	local_irq_disable();
	start(image, s->base);
	site_good(image, i);
	vmx_check(&image->c, &v);
	local_irq_enable();
	return v.rule != VMX_RULE_NONE;
}

static void say_cpu(void)
{
	u32 i;

	cpu_state(image);
	say("# CPU: %u physical bits, %u linear; capabilities from 0x480:", image->c.phys_bits,
	    image->c.linear_bits);
	for (i = 0; i < VMX_CAPS; i++)
		say(" %llx", image->c.cap[i]);
	say("\n");
}

static void try_sites(void)
{
	u32 i, all = 0, seen = 0, more = 0;

	for (i = 0; i < ARRAY_SIZE(sites); i++) {
		const struct site *s = &sites[i];
		bool fine;

		all += s->counted;
		if (out_of_reach(i)) {
			skip(s->name, s->why);
			continue;
		}
		local_irq_disable();
		fine = try_site(i);
		local_irq_enable();
		seen += fine && s->counted;
		more += fine && !s->counted;
		cond_resched();
	}
	say("# sites: %u/%u in both outcomes, and %u rows more\n", seen, all, more);
}

static const char *why_deviates(u32 rule)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(deviations); i++)
		if (deviations[i].rule == rule)
			return deviations[i].why;
	return "";
}

static void say_broken(const struct vmx_verdict *v)
{
	struct vmx_verdict one;
	u32 rule;

	for (rule = 1; rule < VMX_RULES; rule++) {
		if (!vmx_rule_broken(v, rule))
			continue;
		vmx_check_rule(rule, &one);
		say("#     %s %s\n", one.section, one.text);
	}
}

/* The state that the two disagree on: the verdict, the CPU's answer, what is not as in the base. */
static void say_disagreement(u32 n, const struct vmx_verdict *v, const struct outcome *o)
{
	u32 i;

	say("# state %u: %s %s%s; the CPU: ", n, v->section, v->where, v->text);
	say_outcome(o);
	say("\n");
	say_broken(v);
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		u32 at = vmcs_index(fields[i].field);

		if (image->f[at] != good->f[at])
			say("#     %s %llx, base %llx\n", fields[i].name, image->f[at], good->f[at]);
	}
}

/* Deviations are counted by the first rule on which the two verdicts differ. */
static u32 first_difference(const struct vmx_verdict *a, const struct vmx_verdict *b)
{
	u32 rule;

	for (rule = 1; rule < VMX_RULES; rule++)
		if (vmx_rule_broken(a, rule) != vmx_rule_broken(b, rule))
			return rule;
	return VMX_RULE_NONE;
}

struct tally {
	u32 tried, unsafe, agreed, entered, disagreed;
	u32 deviant[VMX_RULES];
	u32 first[VMX_RULES];	/* how often each rule was the verdict */
};

static void trace_state(u32 n, const struct vmx_verdict *v)
{
	u32 i;

	pr_info("state %u: %s %s%s\n", n, v->section, v->where, v->text);
	for (i = 0; n >= trace && i < ARRAY_SIZE(fields); i++) {
		u32 at = vmcs_index(fields[i].field);

		if (image->f[at] != good->f[at])
			pr_info("  %s %llx, base %llx\n", fields[i].name, image->f[at], good->f[at]);
	}
}

static void try_random(u32 n, u64 *state, struct tally *t)
{
	struct vmx_verdict v, emulator;
	struct outcome o;
	u32 rule;

	start(image, random_below(state, BASE_HOST32));
	mutate(image, state);
	vmx_check(&image->c, &v);
	bochs_verdict(image, version, scratch, &emulator);
	/* Not every CPU errs alike: it must be harmless either way. */
	if (!may_try(image, good, &v) || !may_try(image, good, &emulator)) {
		t->unsafe++;
		return;
	}
	if (n >= trace || n % 1000 == 0)
		trace_state(n, &v);
	try_entry(image, &o);
	t->tried++;
	t->entered += o.entered;
	t->first[v.rule]++;
	rule = first_difference(&v, &emulator);
	if (fits(&v, &o))
		t->agreed++;
	else if (fits(&emulator, &o) && *why_deviates(rule))
		t->deviant[rule]++;
	else if (++t->disagreed <= 20)
		say_disagreement(n, &v, &o);
}

static void try_many(struct tally *t)
{
	struct vmx_verdict one;
	u64 state = seed ? seed : 1;
	u32 n, rule, rules = 0, deviant = 0;
	char text[80];

	for (n = 0; t->tried < count && n < 4 * count; n++) {
		local_irq_disable();
		try_random(n, &state, t);
		local_irq_enable();
		cond_resched();
	}
	for (rule = 1; rule < VMX_RULES; rule++) {
		rules += t->first[rule] != 0;
		deviant += t->deviant[rule];
		if (!t->deviant[rule])
			continue;
		vmx_check_rule(rule, &one);
		say("# the emulator deviates, %u times: %s %s: %s\n", t->deviant[rule], one.section,
		    one.text, why_deviates(rule));
	}
	say("# random: seed %lu, %u states tried, %u entered, %u agree, %u of the known deviations, ",
	    seed, t->tried, t->entered, t->agreed, deviant);
	say("%u disagree; %u rules were the verdict; %u states not tried\n", t->disagreed, rules,
	    t->unsafe);
	scnprintf(text, sizeof(text), "%u random states", t->tried);
	result(!t->disagreed && t->tried >= count, "random", text);
}

/*
 * The guest's linear and physical 0 to 2 MiB are one page of HLT, whatever the paging mode;
 * physical 2 MiB is where its tables lie. Without EPT, PAE tables of their own do the same.
 */
static void build_guest(void)
{
	u64 *pml4 = guest[0], *pdpt = guest[1], *pd = guest[2], *pt = guest[3];
	u32 *pd32 = guest[4];
	u64 code = __pa(code_page), *flat_pd = flat[0], *flat_pt = flat[1];
	int i;

	memset(code_page, 0xf4, PAGE_SIZE);
	pml4[0] = GUEST_PDPT | 7;
	pdpt[0] = GUEST_PD | 7;
	pd[0] = GUEST_PT | 7;
	pd32[0] = 0x87;		/* 4 MiB */
	flat_pd[0] = __pa(flat_pt) | 7;
	for (i = 0; i < 512; i++) {
		pt[i] = (u64)i << 12 | 7;
		flat_pt[i] = code | 7;
	}
}

static void build_ept(void)
{
	u64 *pml4 = page[P_EPT], *pdpt = ept[0], *pd = ept[1], *low = ept[2], *high = ept[3];
	int i;

	pml4[0] = __pa(pdpt) | 7;
	pdpt[0] = __pa(pd) | 7;
	pd[0] = __pa(low) | 7;
	pd[1] = __pa(high) | 7;
	for (i = 0; i < 512; i++)
		low[i] = __pa(code_page) | 0x37;
	for (i = 0; i < ARRAY_SIZE(guest); i++)
		high[i] = __pa(guest[i]) | 0x37;
}

static void build_pages(void)
{
	u32 revision;
	u64 basic, *list;
	int i, which;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	revision = basic & VMX_CAP_BASIC_REVISION;
	*(u32 *)vmxon_page = revision;
	*(u32 *)page[P_VMCS] = revision;
	for (which = P_EXIT_STORE; which <= P_EXIT_LOAD; which++) {
		list = page[which];
		for (i = 0; i < MSRS; i++) {
			list[2 * i] = MSR_IA32_SYSENTER_CS;
			rdmsrl(MSR_IA32_SYSENTER_CS, list[2 * i + 1]);
		}
	}
	build_guest();
	build_ept();
}

static void *table_page(void)
{
	/* Where there is no EPT, PAE's CR3 has 32 bits. */
	return (void *)__get_free_page(GFP_KERNEL | GFP_DMA32 | __GFP_ZERO);
}

static bool get_pages(void)
{
	bool all = true;
	int i;

	for (i = 0; i < PAGES; i++)
		all &= (page[i] = table_page()) != NULL;
	for (i = 0; i < ARRAY_SIZE(guest); i++)
		all &= (guest[i] = table_page()) != NULL;
	for (i = 0; i < ARRAY_SIZE(flat); i++)
		all &= (flat[i] = table_page()) != NULL;
	for (i = 0; i < ARRAY_SIZE(ept); i++)
		all &= (ept[i] = table_page()) != NULL;
	vmxon_page = table_page();
	code_page = table_page();
	good = vzalloc(sizeof(*good));
	image = vzalloc(sizeof(*image));
	scratch = vzalloc(sizeof(*scratch));
	written = vzalloc(VMCS_FIELDS * sizeof(*written));
	known = bitmap_zalloc(VMCS_FIELDS, GFP_KERNEL);
	report = vzalloc(REPORT);
	return all && vmxon_page && code_page && good && image && scratch && written && known &&
	       report;
}

static void put_pages(void)
{
	int i;

	for (i = 0; i < PAGES; i++)
		free_page((unsigned long)page[i]);
	for (i = 0; i < ARRAY_SIZE(guest); i++)
		free_page((unsigned long)guest[i]);
	for (i = 0; i < ARRAY_SIZE(flat); i++)
		free_page((unsigned long)flat[i]);
	for (i = 0; i < ARRAY_SIZE(ept); i++)
		free_page((unsigned long)ept[i]);
	free_page((unsigned long)vmxon_page);
	free_page((unsigned long)code_page);
	vfree(good);
	vfree(image);
	vfree(scratch);
	vfree(written);
	bitmap_free(known);
	vfree(report);
}

static bool vmx_on(void)
{
	u64 control;

	if (!(cpuid_ecx(1) & BIT(5)) || __read_cr4() & X86_CR4_VMXE)
		return false;
	rdmsrl(MSR_IA32_FEAT_CTL, control);
	if (!(control & FEAT_CTL_LOCKED))
		wrmsrl(MSR_IA32_FEAT_CTL, control | FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX);
	rdmsrl(MSR_IA32_FEAT_CTL, control);
	if (!(control & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX))
		return false;
	cr4_set_bits(X86_CR4_VMXE);
	if (vmx_op(__pa(vmxon_page), 0) && vmx_op(__pa(page[P_VMCS]), 1) &&
	    vmx_op(__pa(page[P_VMCS]), 2))
		return true;
	cr4_clear_bits(X86_CR4_VMXE);
	return false;
}

static ssize_t report_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	return simple_read_from_buffer(to, size, at, report, report_len);
}

static const struct proc_ops report_ops = {
	.proc_read = report_read,
};

static int __init vmxfuzz_init(void)
{
	struct tally *tally = vzalloc(sizeof(*tally));

	if (num_online_cpus() != 1 || !tally || !get_pages()) {
		put_pages();
		vfree(tally);
		return -ENODEV;
	}
	build_pages();
	if (!vmx_on()) {
		put_pages();
		vfree(tally);
		return -EBUSY;
	}
	say("KTAP version 1\n1..%u\n", (u32)ARRAY_SIZE(sites) + 1);
	say_cpu();
	try_sites();
	try_many(tally);
	say("# vmx-check: %u passed, %u failed, %u skipped\n", passed, failed, skipped);
	vmx_op(__pa(page[P_VMCS]), 1);
	asm volatile("vmxoff" ::: "cc", "memory");
	cr4_clear_bits(X86_CR4_VMXE);
	vfree(tally);
	if (!proc_create("vmxfuzz", 0400, NULL, &report_ops)) {
		put_pages();
		return -ENOMEM;
	}
	return 0;
}
module_init(vmxfuzz_init);

static void __exit vmxfuzz_cleanup(void)
{
	remove_proc_entry("vmxfuzz", NULL);
	put_pages();
}
module_exit(vmxfuzz_cleanup);

MODULE_DESCRIPTION("Compares a CPU's VM-entry checks with the validator's verdicts");
MODULE_LICENSE("GPL");
