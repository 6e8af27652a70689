// SPDX-License-Identifier: GPL-2.0
/* The CPUID table: set, clamp, look up, and the bits that follow the state. */
#include "hvm.h"

static struct halo_cpuid_entry host[HALO_MAX_CPUID], table[HALO_MAX_CPUID];
static u32 nr;
static volatile u32 in[2], out[4];
static volatile u64 got[8];

static void supported(int dev)
{
	struct halo_cpuid c = { .size = sizeof(c), .count = HALO_MAX_CPUID, .entries = (u64)host };

	CHECK(!ioctl(dev, HALO_GET_SUPPORTED_CPUID, &c));
	nr = c.count;
	memcpy(table, host, sizeof(table));
}

static int set(struct vcpu *v, struct halo_cpuid_entry *e, u32 n)
{
	struct halo_cpuid c = { .size = sizeof(c), .count = n, .entries = (u64)e };

	return ioctl(v->fd, HALO_VCPU_SET_CPUID, &c);
}

static u32 get(struct vcpu *v, struct halo_cpuid_entry *e)
{
	struct halo_cpuid c = { .size = sizeof(c), .count = HALO_MAX_CPUID, .entries = (u64)e };

	CHECK(!ioctl(v->fd, HALO_VCPU_GET_CPUID, &c));
	return c.count;
}

static struct halo_cpuid_entry *find(struct halo_cpuid_entry *e, u32 leaf, u32 sub)
{
	u32 i;

	for (i = 0; i < HALO_MAX_CPUID; i++)
		if (e[i].leaf == leaf && (!(e[i].flags & HALO_CPUID_SUBLEAF) ||
					  e[i].subleaf == sub))
			return &e[i];
	return NULL;
}

GUEST void do_cpuid(void)
{
	u32 r[4];

	cpuid(in[0], in[1], r);
	out[0] = r[0];
	out[1] = r[1];
	out[2] = r[2];
	out[3] = r[3];
}

static void ask(struct vcpu *v, u32 leaf, u32 sub)
{
	in[0] = leaf;
	in[1] = sub;
	guest(v, do_cpuid, 0);
}

TEST(a_new_vcpu_has_the_supported_table)
{
	struct vm *vm = vm_new();

	supported(vm->dev);
	CHECK_EQ(get(vm->cpu[0], table), nr);
	CHECK(!memcmp(table, host, nr * sizeof(*table)));
}

TEST(guest_sees_the_table)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	u32 i;

	supported(vm->dev);
	table[0] = (struct halo_cpuid_entry){ .leaf = 0, .eax = 7, .ebx = 0x41414141,
					      .ecx = 0x42424242, .edx = 0x43434343 };
	for (i = 0; i < nr; i++)
		if (table[i].leaf == 0)
			table[i] = table[0];
	CHECK(!set(v, table, nr));
	ask(v, 0, 0x1234);
	CHECK_EQ(out[0], 7);
	CHECK_EQ(out[1], 0x41414141);
	CHECK_EQ(out[2], 0x42424242);
	CHECK_EQ(out[3], 0x43434343);
}

TEST(feature_bits_are_clamped)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	static const u32 leaf[] = { 1, 7, 0x80000001, 0x80000008, 0xd };
	struct halo_cpuid_entry *e, *h;
	u32 i;

	supported(vm->dev);
	for (i = 0; i < nr; i++) {
		if (table[i].leaf == 1 || table[i].leaf == 0x80000001)
			table[i].ecx = table[i].edx = ~0u;
		if (table[i].leaf == 7)
			table[i].ebx = table[i].ecx = table[i].edx = ~0u;
	}
	CHECK(!set(v, table, nr));
	get(v, table);
	for (i = 0; i < 3; i++) {
		e = find(table, leaf[i], 0);
		h = find(host, leaf[i], 0);
		if (!h)
			continue;
		CHECK(e);
		CHECK(!(e->ecx & ~h->ecx));
		CHECK(!(e->edx & ~h->edx));
		if (leaf[i] == 7)
			CHECK(!(e->ebx & ~h->ebx));
	}
	/* No virtualization of its own for the guest. */
	ask(v, 0x80000001, 0);
	CHECK(!(out[2] & BIT(2)));
	ask(v, 1, 0);
	CHECK(!(out[2] & BIT(5)));
}

TEST(tables_that_can_not_be)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];
	struct halo_cpuid_entry before[HALO_MAX_CPUID] = {};
	struct halo_cpuid c = { .size = sizeof(c), .count = 4, .entries = 8 };
	u32 n;

	supported(vm->dev);
	n = get(v, before);
	table[1].reserved = 1;
	CHECK_ERRNO(set(v, table, nr), EINVAL);
	table[1].reserved = 0;
	table[1].flags = 2;
	CHECK_ERRNO(set(v, table, nr), EINVAL);
	table[1].flags = 0x80000000;
	CHECK_ERRNO(set(v, table, nr), EINVAL);
	CHECK_ERRNO(set(v, table, HALO_MAX_CPUID + 1), E2BIG);
	CHECK_ERRNO(set(v, table, 0x10000000), E2BIG);
	CHECK_ERRNO(set(v, table, 0xffffffff), E2BIG);
	CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_CPUID, &c), EFAULT);
	/* None of it has changed anything. */
	memset(table, 0, sizeof(table));
	CHECK_EQ(get(v, table), n);
	CHECK(!memcmp(table, before, n * sizeof(*table)));
}

/* What long mode and this program's code need, and nothing else. */
static void set_least(struct vcpu *v)
{
	static struct halo_cpuid_entry least[] = {
		{ .leaf = 1, .edx = 0x07808171 },	/* .. PAE, CX8, CMOV, MMX, FXSR, SSE2 */
		{ .leaf = 0x80000000, .eax = 0x80000001 },
		{ .leaf = 0x80000001, .edx = 0x20100800 },	/* LM, NX, SYSCALL */
	};

	CHECK(!set(v, least, ARRAY_SIZE(least)));
}

TEST(what_is_not_in_the_table_is_zero)
{
	static const u32 leaf[] = { 7, 0xd, 0xb, 0x80000008, 0x40000000, 0x8000000a };
	struct vcpu *v = vm_new()->cpu[0];
	u32 i;

	set_least(v);
	for (i = 0; i < ARRAY_SIZE(leaf); i++) {
		ask(v, leaf[i], 0);
		CHECK_EQ(out[0] | out[1] | out[2] | out[3], 0);
	}
	ask(v, 0x80000001, 0);
	CHECK_EQ(out[3], 0x20100800);
}

TEST(same_leaf_every_time)
{
	struct vm *vm = vm_new();
	u32 leaf;

	for (leaf = 0; leaf < 0x20; leaf++)
		ask(vm->cpu[0], leaf, 0);
	ask(vm->cpu[0], 0xffffffff, 0xffffffff);
	ask(vm->cpu[0], 0x40000000, 0);
	ask(vm->cpu[0], 0x7fffffff, 0);
}

GUEST void osxsave(void)
{
	u64 cr4;
	u32 r[4];

	cpuid(1, 0, r);
	got[0] = r[2];
	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	got[2] = TRY("mov %0, %%cr4", : : "r"(cr4 | CR4_OSXSAVE));
	cpuid(1, 0, r);
	got[1] = r[2];
}

TEST(osxsave_follows_cr4)
{
	struct vm *vm = vm_new();

	supported(vm->dev);
	if (!(find(host, 1, 0)->ecx & BIT(26)))
		ktap_skip("the CPU has no XSAVE");
	guest(vm->cpu[0], osxsave, 0);
	CHECK_EQ((int)got[2], -1);
	CHECK(!(got[0] & BIT(27)));
	CHECK(got[1] & BIT(27));
}

GUEST void apic_bit(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	got[0] = r[3] >> 9 & 1;
	wrmsr(0x1b, rdmsr(0x1b) & ~BIT(11));
	cpuid(1, 0, r);
	got[1] = r[3] >> 9 & 1;
}

TEST(apic_bit_follows_apic_base)
{
	guest(vm_new()->cpu[0], apic_bit, 0);
	CHECK_EQ(got[0], 1);
	CHECK_EQ(got[1], 0);
}

GUEST void cr4_sweep(void)
{
	u64 cr4, i, bits = 0;

	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	for (i = 0; i < 64; i++) {
		/*
		 * PAE and those in use stay; PCIDE and LA57 have rules of their own;
		 * with SMEP or SMAP this guest, all of whose pages are the user's,
		 * would fault at once.
		 */
		if (cr4 & BIT(i) || i == 17 || i == 12 || i == 20 || i == 21)
			continue;
		if (TRY("mov %0, %%cr4", : : "r"(cr4 | BIT(i))) < 0) {
			bits |= BIT(i);
			asm volatile("mov %0, %%cr4" : : "r"(cr4));
		}
	}
	got[0] = bits;
}

TEST(cr4_bits_follow_the_table)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	guest(v, cr4_sweep, 0);
	ktap_note("CR4 bits with the full table: %#llx", (unsigned long long)got[0]);
	CHECK(!(got[0] & BIT(13)));	/* VMXE */
	CHECK(!(got[0] >> 32));
	set_least(v);
	guest(v, cr4_sweep, 0);
	ktap_note("CR4 bits with the least one: %#llx", (unsigned long long)got[0]);
	/* OSXSAVE, PKE, FSGSBASE, UMIP have bits of their own. */
	CHECK(!(got[0] & (BIT(18) | BIT(22) | BIT(16) | BIT(11))));
}

GUEST void x2apic_on(void)
{
	out[0] = TRY("wrmsr", : : "c"(0x1b), "a"(0xfee00d00), "d"(0));
	out[1] = lapic_read(0x30) & 0xff;	/* the registers are still where they were */
}

TEST(x2apic_that_is_not_shown_is_not_there)
{
	struct vm *vm = vm_new();
	struct vcpu *v = vm->cpu[0];

	supported(vm->dev);
	find(table, 1, 0)->ecx &= ~BIT(21);
	CHECK(!set(v, table, nr));
	guest(v, x2apic_on, 0);
	CHECK_EQ(out[0], 13);
	CHECK_EQ(out[1], 0x14);
}
