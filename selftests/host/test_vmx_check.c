// SPDX-License-Identifier: GPL-2.0
/* sources: vmx/vmx_check.c */
/*
 * The validator of VM entries: from good images by one edit to each of its rules
 * (the rows of ../vmx-check/sites.tsv, both outcomes), and a random walk around
 * them.  Whether a CPU agrees is vmx-check's affair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmx_image.h"
#include "../vmx-check/mutate.h"

#ifndef RANDOM_OPS
#define RANDOM_OPS	200000
#endif

/* Too large for a kernel's stack. */
static struct image image;
static struct image *const m = &image;

/* Rules that compare with what has no good value, or with what is no part of an entry. */
static bool only_software(const struct site *s)
{
	return s->why && strstr(s->why, "needs SMM");
}

/* Of a 64-bit host in IA-32e mode, that is; a 32-bit one has a base of its own. */
static void the_bases_are_good(void **state)
{
	struct vmx_verdict v;
	int cpu, base;

	for (cpu = 0; cpu < CPUS; cpu++) {
		for (base = 0; base < BASES; base++) {
			vmx_image_init(m, cpu);
			image_base(m, base);
			vmx_check(&m->c, &v);
			if (v.rule)
				print_message("cpu %d base %d: %s %s%s\n", cpu, base, v.section, v.where,
					      v.text);
			assert_int_equal(v.rule, VMX_RULE_NONE);
			assert_int_equal(v.class, VMX_CLASS_NONE);
		}
	}
}

static void each_site_breaks_its_rule(void **state)
{
	bool broken[VMX_RULES] = { false };
	struct vmx_verdict v;
	unsigned int i, rule;
	int cpu, wrong = 0;

	for (cpu = 0; cpu < CPUS; cpu++) {
		for (i = 0; i < ARRAY_SIZE(sites); i++) {
			const struct site *s = &sites[i];

			if (only_software(s) || (cpu == CPU_SKYLAKE && s->why && !s->emulator))
				continue;
			vmx_image_init(m, cpu);
			image_base(m, s->base);
			site_good(m, i);
			vmx_check(&m->c, &v);
			if (v.rule != VMX_RULE_NONE) {
				print_message("cpu %d %s good, but %s %s%s\n", cpu, s->name, v.section,
					      v.where, v.text);
				wrong++;
			}
			site_broken(m, i);
			vmx_check(&m->c, &v);
			if (!vmx_rule_broken(&v, s->rule)) {
				print_message("cpu %d %s broken, but only %s %s%s\n", cpu, s->name,
					      v.section, v.where, v.text);
				wrong++;
			}
			broken[s->rule] = true;
		}
	}
	assert_int_equal(wrong, 0);
	for (rule = VMX_RULE_NONE + 1; rule < VMX_RULES; rule++) {
		if (!broken[rule]) {
			vmx_check_rule(rule, &v);
			print_message("no site for: %s %s\n", v.section, v.text);
		}
		assert_true(broken[rule]);
	}
	print_message("%d rules, each in both outcomes\n", VMX_RULES - 1);
}

/* Where several are broken, the CPU's order: controls and host before guest before MSRs. */
static void the_first_class_counts(void **state)
{
	struct vmx_verdict v;

	vmx_image_init(m, CPU_SKYLAKE);
	image_base(m, BASE_LONG);
	F(ENTRY_MSR_LOAD_COUNT) = 3;
	m->msrs[2][0] = 0xc0000100;
	vmx_check(&m->c, &v);
	assert_int_equal(v.reason, 34);
	assert_int_equal(v.qualification, 3);
	F(GUEST_LINK_POINTER) = 1;
	vmx_check(&m->c, &v);
	assert_int_equal(v.reason, 33);
	assert_int_equal(v.qualification, 4);
	F(GUEST_CS_AR) &= ~VMX_AR_S;
	vmx_check(&m->c, &v);
	assert_int_equal(v.reason, 33);
	assert_int_equal(v.qualification, 0);
	assert_string_equal(v.section, "26.3.1.2");
	assert_string_equal(v.where, "CS: ");
	assert_string_equal(v.text, "S is 0");
	F(HOST_TR_SEL) = 0;
	vmx_check(&m->c, &v);
	assert_int_equal(v.error, 8);
	assert_int_equal(v.reason, 0);
	F(VPID) = 0;
	F(CPU2_CTLS) |= VMX_CPU2_VPID;
	vmx_check(&m->c, &v);
	assert_int_equal(v.error, 7);
	m->c.launched = true;
	vmx_check(&m->c, &v);
	assert_int_equal(v.error, 4);
	m->c.current_vmcs = ~0ull;
	vmx_check(&m->c, &v);
	assert_int_equal(v.class, VMX_CLASS_NO_VMCS);
	assert_int_equal(v.error, 0);
	assert_true(vmx_rule_broken(&v, VMX_RULE_VPID) && vmx_rule_broken(&v, VMX_RULE_HOST_TR) &&
		    vmx_rule_broken(&v, VMX_RULE_S) && vmx_rule_broken(&v, VMX_RULE_LINK) &&
		    vmx_rule_broken(&v, VMX_RULE_MSR_FS_GS));
}

/* Without a look at memory, what is there counts as right. */
static void memory_may_be_out_of_sight(void **state)
{
	struct vmx_verdict v;

	vmx_image_init(m, CPU_SKYLAKE);
	image_base(m, BASE_PAE);
	no_ept(m);
	F(CPU_CTLS) |= VMX_CPU_TPR_SHADOW;
	F(TPR_THRESHOLD) = 15;
	F(GUEST_LINK_POINTER) = m->page[P_LINK];
	F(ENTRY_MSR_LOAD_COUNT) = 1;
	m->msrs[0][0] = 0xc0000100;
	m->link_revision = 0;
	m->pdpte[0] = ~0ull;
	vmx_check(&m->c, &v);
	assert_true(vmx_rule_broken(&v, VMX_RULE_TPR_ABOVE));
	assert_true(vmx_rule_broken(&v, VMX_RULE_LINK_REVISION));
	assert_true(vmx_rule_broken(&v, VMX_RULE_PDPTE));
	assert_true(vmx_rule_broken(&v, VMX_RULE_MSR_FS_GS));
	m->c.memory = NULL;
	vmx_check(&m->c, &v);
	assert_int_equal(v.rule, VMX_RULE_NONE);
}

/* Each segment of those that a rule is about, by name. */
static void a_segment_is_named(void **state)
{
	static const char * const names[] = {
		"ES: ", "CS: ", "SS: ", "DS: ", "FS: ", "GS: ", "LDTR: ", "TR: ",
	};
	struct vmx_verdict v;
	unsigned int n;

	for (n = 0; n < 8; n++) {
		vmx_image_init(m, CPU_SKYLAKE);
		image_base(m, BASE_PROT);
		ldtr(m);
		m->f[vmcs_index(VMCS_GUEST_ES_AR + 2 * n)] &= ~VMX_AR_P;
		vmx_check(&m->c, &v);
		assert_int_equal(v.rule, n < 6 ? VMX_RULE_P : VMX_RULE_SYS_P);
		assert_string_equal(v.where, names[n]);
	}
}

/* A walk around the good ones meets most rules and always gets a verdict that fits. */
static void random_states(void **state)
{
	u64 seed = 0x9e3779b97f4a7c15ull;
	unsigned int met[VMX_RULES] = { 0 }, i, rule, count = 0;
	struct vmx_verdict v;

	for (i = 0; i < RANDOM_OPS; i++) {
		vmx_image_init(m, i & 1);
		image_base(m, random_below(&seed, BASES));
		mutate(m, &seed);
		vmx_check(&m->c, &v);
		assert_true(v.rule < VMX_RULES && v.text && v.section && v.where);
		assert_int_equal(v.rule != VMX_RULE_NONE, v.class != VMX_CLASS_NONE);
		for (rule = 1; rule < VMX_RULES; rule++) {
			met[rule] += vmx_rule_broken(&v, rule);
			if (rule < v.rule)
				assert_false(vmx_rule_broken(&v, rule));
		}
		met[0] += v.rule == VMX_RULE_NONE;
	}
	for (rule = 1; rule < VMX_RULES; rule++)
		count += met[rule] != 0;
	print_message("%u states, %u good, %u of %d rules broken\n", i, met[0], count, VMX_RULES - 1);
	assert_true(met[0] > i / 20);
	assert_true(count > VMX_RULES * (RANDOM_OPS < 100000 ? 5 : 8) / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bases_are_good),
		cmocka_unit_test(each_site_breaks_its_rule),
		cmocka_unit_test(the_first_class_counts),
		cmocka_unit_test(memory_may_be_out_of_sight),
		cmocka_unit_test(a_segment_is_named),
		cmocka_unit_test(random_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
