// SPDX-License-Identifier: GPL-2.0
/* sources: vmx/controls.c */
/*
 * Controls out of capabilities, and what is remembered of a VMCS's fields.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "controls.h"

/* A VMCS in memory, and how often it was asked. */
static u64 vmcs[VMCS_FIELDS];
static unsigned int reads, writes;

static u64 vmx_vmread(u32 field)
{
	reads++;
	return vmcs[vmcs_index(field)];
}

static void vmx_vmwrite(u32 field, u64 value)
{
	writes++;
	vmcs[vmcs_index(field)] = value;
}

#include "fields.h"

static u64 seed = 1;

static u64 next(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 16;
}

/* A CPU that can do everything and insists on nothing but what has always been 1. */
static void best(u64 *caps)
{
	int i;

	memset(caps, 0xff, VMX_CAPS * sizeof(*caps));
	for (i = VMX_CAP_PIN; i <= VMX_CAP_ENTRY; i++)
		caps[i] = 0xffffffff00000000ull;
	caps[VMX_CAP_CPU2] = 0xffffffff00000000ull;
	for (i = VMX_CAP_TRUE_PIN; i <= VMX_CAP_TRUE_ENTRY; i++)
		caps[i] = 0xffffffff00000000ull;
}

static void a_whole_cpu_will_do(void **state)
{
	struct vmx_controls c;
	u64 caps[VMX_CAPS];
	char text[80];

	best(caps);
	assert_int_equal(vmx_controls_choose(caps, &c, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_true(c.pin & VMX_PIN_VIRTUAL_NMIS);
	assert_true(c.cpu2 & VMX_CPU2_VPID);
	assert_false(c.cpu & (VMX_CPU_INTR_WINDOW | VMX_CPU_NMI_WINDOW | VMX_CPU_CR3_LOAD));
	assert_false(c.cpu2 & (VMX_CPU2_XSAVES | VMX_CPU2_VMFUNC | VMX_CPU2_USER_WAIT));
	assert_false(c.entry & VMX_ENTRY_IA32E);
}

static void what_is_missing_has_a_name(void **state)
{
	struct vmx_controls c;
	u64 caps[VMX_CAPS];
	char text[80];

	best(caps);
	caps[VMX_CAP_CPU2] &= ~((u64)VMX_CPU2_UNRESTRICTED << 32);
	caps[VMX_CAP_EPT_VPID] &= ~VMX_CAP_EPT_2M;
	assert_int_equal(vmx_controls_choose(caps, &c, text, sizeof(text)), -EOPNOTSUPP);
	assert_string_equal(text, "unrestricted guest, 2 MiB EPT pages");
	/* One that can't be switched off counts as well. */
	best(caps);
	caps[VMX_CAP_TRUE_CPU] |= VMX_CPU_CR3_LOAD;
	assert_int_equal(vmx_controls_choose(caps, &c, text, sizeof(text)), -EOPNOTSUPP);
	assert_string_equal(text, "CR3-load exiting");
	/* What is good to have may be missing. */
	best(caps);
	caps[VMX_CAP_CPU2] &= ~((u64)VMX_CPU2_VPID << 32);
	assert_int_equal(vmx_controls_choose(caps, &c, text, sizeof(text)), 0);
	assert_false(c.cpu2 & VMX_CPU2_VPID);
}

static void a_list_of_names_fits_its_room(void **state)
{
	struct vmx_controls c;
	u64 caps[VMX_CAPS] = { 0 };
	char text[40];

	memset(text, 'x', sizeof(text));
	assert_int_equal(vmx_controls_choose(caps, &c, text, sizeof(text) - 1), -EOPNOTSUPP);
	assert_true(strlen(text) < sizeof(text) - 1);
	assert_int_equal(text[sizeof(text) - 1], 'x');
}

/* Whatever the CPU forces, the controls obey, with the TRUE capabilities or without. */
static void every_forced_bit_is_honoured(void **state)
{
	static const u8 plain[] = { VMX_CAP_PIN, VMX_CAP_CPU, VMX_CAP_CPU2, VMX_CAP_EXIT,
				    VMX_CAP_ENTRY };
	static const u8 with_true[] = { VMX_CAP_TRUE_PIN, VMX_CAP_TRUE_CPU, VMX_CAP_CPU2,
					VMX_CAP_TRUE_EXIT, VMX_CAP_TRUE_ENTRY };
	const u32 windows = VMX_CPU_INTR_WINDOW | VMX_CPU_NMI_WINDOW;
	struct vmx_controls c;
	u64 caps[VMX_CAPS];
	char text[200];
	int i, round;

	for (round = 0; round < 20000; round++) {
		const u8 *which = round & 1 ? with_true : plain;

		best(caps);
		if (!(round & 1))
			caps[VMX_CAP_BASIC] &= ~VMX_CAP_BASIC_TRUE;
		for (i = 0; i < 5; i++) {
			u32 may = next() | next(), must = next() & next() & may;

			caps[which[i]] = (u64)may << 32 | must;
		}
		vmx_controls_choose(caps, &c, text, sizeof(text));
		if (round & 2)
			vmx_controls_apic(caps, &c);
		for (i = 0; i < 5; i++) {
			u32 got = (const u32[]){ c.pin, c.cpu, c.cpu2, c.exit, c.entry }[i];
			u32 except = i == 1 ? windows : i == 4 ? VMX_ENTRY_IA32E : 0;
			u32 must = caps[which[i]], may = caps[which[i]] >> 32;

			assert_int_equal(must & ~got & ~except, 0);
			assert_int_equal(got & ~may, 0);
		}
	}
}

/* All that the CPU needs to deliver interrupts, or nothing of it. */
static void apic_virtualization_is_whole_or_none(void **state)
{
	static const struct {
		u8 cap;
		u32 bit;
	} need[] = {
		{ VMX_CAP_CPU2, VMX_CPU2_X2APIC }, { VMX_CAP_CPU2, VMX_CPU2_APIC_REGISTER },
		{ VMX_CAP_CPU2, VMX_CPU2_VIRT_INTR },
	};
	const u32 cpu2 = VMX_CPU2_APIC_REGISTER | VMX_CPU2_VIRT_INTR;
	const u32 cr8 = VMX_CPU_CR8_LOAD | VMX_CPU_CR8_STORE;
	static struct vmx_controls c, plain;	/* with zeroes between the members */
	u64 caps[VMX_CAPS];
	char text[80];
	int i;

	best(caps);
	assert_int_equal(vmx_controls_choose(caps, &plain, text, sizeof(text)), 0);
	assert_false(plain.apic || plain.cpu2 & cpu2 || plain.cpu & cr8);
	assert_true(plain.cpu & VMX_CPU_TPR_SHADOW);
	c = plain;
	vmx_controls_apic(caps, &c);
	assert_true(c.apic);
	assert_int_equal(c.cpu, plain.cpu);
	/* The mode is the guest's to choose. */
	assert_int_equal(c.cpu2, plain.cpu2 | cpu2);
	for (i = 0; i < ARRAY_SIZE(need); i++) {
		best(caps);
		caps[need[i].cap] &= ~((u64)need[i].bit << 32);
		vmx_controls_choose(caps, &plain, text, sizeof(text));
		c = plain;
		vmx_controls_apic(caps, &c);
		assert_memory_equal(&c, &plain, sizeof(c));
	}
}

/* The timer stops when the bit that it watches has changed as often as it was told. */
static void the_timer_is_never_early_and_hardly_late(void **state)
{
	u64 now, deadline, bit;
	u32 value, most;
	int round;

	assert_int_equal(vmx_timer_value(5, 0, 5, 77), 77);
	assert_int_equal(vmx_timer_value(5, ~0ull, 5, 77), 77);
	assert_int_equal(vmx_timer_value(0, ~0ull, 0, ~0U), ~0U);
	for (round = 0; round < 100000; round++) {
		bit = next() % 32;
		now = next() << (next() % 8);
		deadline = now + 1 + next() % (1ull << (1 + next() % 40));
		most = next() | 1;
		value = vmx_timer_value(now, deadline, bit | 0xffe0, most);
		assert_true(value >= 1 && value <= most);
		if (value == most)
			continue;
		assert_true(((now >> bit) + value) << bit >= deadline);
		assert_true(((now >> bit) + value - 1) << bit < deadline);
	}
}

static void fields_are_asked_once(void **state)
{
	static struct vmx_fields f;

	memset(&f, 0, sizeof(f));
	reads = 0;
	writes = 0;
	vmcs[vmcs_index(VMCS_GUEST_RIP)] = 0x1234;
	assert_int_equal(vmx_get(&f, VMCS_GUEST_RIP), 0x1234);
	assert_int_equal(vmx_get(&f, VMCS_GUEST_RIP), 0x1234);
	vmx_set(&f, VMCS_GUEST_RIP, 0x1234);
	assert_int_equal(reads, 1);
	assert_int_equal(writes, 0);
	vmx_set(&f, VMCS_GUEST_RIP, 0x1236);
	vmx_set(&f, VMCS_GUEST_RIP, 0x1236);
	assert_int_equal(writes, 1);
	assert_int_equal(vmcs[vmcs_index(VMCS_GUEST_RIP)], 0x1236);
	/* The first write goes through even if the value is what nobody has asked for. */
	vmx_set(&f, VMCS_HOST_CR3, 0);
	assert_int_equal(writes, 2);
}

/* A guest that changes what guests can change: nothing old is ever given. */
static void an_exit_makes_the_guests_fields_unknown(void **state)
{
	static const u32 guest[] = {
		VMCS_GUEST_ES_SEL, VMCS_GUEST_TR_SEL, VMCS_GUEST_PDPTE3, VMCS_GUEST_CS_LIMIT,
		VMCS_GUEST_SS_AR, VMCS_GUEST_SYSENTER_CS, VMCS_GUEST_CR3, VMCS_GUEST_FS_BASE,
		VMCS_GUEST_PENDING_DBG, VMCS_GUEST_SYSENTER_EIP, VMCS_GUEST_PHYS_ADDR,
		VMCS_EXIT_QUALIFICATION, VMCS_EXIT_INTR_INFO, VMCS_EXIT_INSN_LEN,
	};
	/* Who lets an exit forget reads these at once. */
	static const u32 hot[] = {
		VMCS_GUEST_RIP, VMCS_GUEST_RSP, VMCS_GUEST_RFLAGS, VMCS_GUEST_INTERRUPTIBILITY,
		VMCS_IDT_VECTORING_INFO,
	};
	static const u32 ours[] = {
		VMCS_VPID, VMCS_EPTP, VMCS_TSC_OFFSET, VMCS_CPU_CTLS, VMCS_HOST_CR3,
		VMCS_HOST_FS_BASE, VMCS_GUEST_CR0, VMCS_GUEST_CR4, VMCS_GUEST_DR7,
		VMCS_GUEST_EFER, VMCS_CR0_SHADOW, VMCS_PREEMPTION_TIMER,
	};
	static struct vmx_fields f;
	unsigned int i, round;

	memset(&f, 0, sizeof(f));
	for (round = 1; round < 100; round++) {
		for (i = 0; i < ARRAY_SIZE(ours); i++)
			vmx_set(&f, ours[i], round / 10);
		for (i = 0; i < ARRAY_SIZE(guest); i++)
			vmcs[vmcs_index(guest[i])] = next();
		for (i = 0; i < ARRAY_SIZE(hot); i++)
			vmcs[vmcs_index(hot[i])] = next();
		vmx_forget_exit(&f);
		for (i = 0; i < ARRAY_SIZE(hot); i++)
			vmx_get_hot(&f, hot[i]);
		reads = 0;
		for (i = 0; i < ARRAY_SIZE(hot); i++)
			assert_int_equal(vmx_get(&f, hot[i]), vmcs[vmcs_index(hot[i])]);
		for (i = 0; i < ARRAY_SIZE(ours); i++)
			assert_int_equal(vmx_get(&f, ours[i]), round / 10);
		assert_int_equal(reads, 0);
		for (i = 0; i < ARRAY_SIZE(guest); i++)
			assert_int_equal(vmx_get(&f, guest[i]), vmcs[vmcs_index(guest[i])]);
		assert_int_equal(reads, ARRAY_SIZE(guest));
	}
	/* An event that went in is not there any more; one that did not, is. */
	vmx_set(&f, VMCS_ENTRY_INTR_INFO, VMX_INTR_VALID | 3);
	vmx_forget_read_only(&f);
	assert_int_equal(vmx_get(&f, VMCS_ENTRY_INTR_INFO), VMX_INTR_VALID | 3);
	vmx_forget_exit(&f);
	assert_int_equal(vmx_get(&f, VMCS_ENTRY_INTR_INFO), 3);
	/* A hot field is written when its value is another than what was read. */
	writes = 0;
	vmx_set_hot(&f, VMCS_GUEST_RSP, vmx_get_hot(&f, VMCS_GUEST_RSP));
	assert_int_equal(writes, 0);
	vmx_set_hot(&f, VMCS_GUEST_RSP, f.value[vmcs_index(VMCS_GUEST_RSP)] + 8);
	assert_int_equal(writes, 1);
	assert_int_equal(vmx_get(&f, VMCS_GUEST_RSP), vmcs[vmcs_index(VMCS_GUEST_RSP)]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_cpu_will_do),
		cmocka_unit_test(what_is_missing_has_a_name),
		cmocka_unit_test(a_list_of_names_fits_its_room),
		cmocka_unit_test(every_forced_bit_is_honoured),
		cmocka_unit_test(apic_virtualization_is_whole_or_none),
		cmocka_unit_test(the_timer_is_never_early_and_hardly_late),
		cmocka_unit_test(fields_are_asked_once),
		cmocka_unit_test(an_exit_makes_the_guests_fields_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
