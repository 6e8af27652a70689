// SPDX-License-Identifier: GPL-2.0
/* sources: vmx/vmx_check.c */
/*
 * The validator under any VMCS, any capabilities, any memory: no undefined
 * behaviour, and a verdict in which everything fits together.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmx_image.h"

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct edit {
	u16 what;
	u8 how;
	u8 value[8];
} __attribute__((packed));

static void apply(struct image *m, const struct edit *e)
{
	u64 value, *at;

	memcpy(&value, e->value, sizeof(value));
	if (e->what < 1024)
		at = &m->f[e->what];
	else if (e->what < 1024 + VMX_CAPS)
		at = &m->c.cap[e->what - 1024];
	else if (e->what < 1100)
		at = &m->msrs[e->what % MSRS][e->what & 1];
	else
		at = &m->pdpte[e->what & 3];
	switch (e->how & 3) {
	case 0:
		*at = value;
		break;
	case 1:
		*at |= value;
		break;
	case 2:
		*at &= ~value;
		break;
	default:
		*at ^= BIT_ULL(value & 63);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmx_verdict v, again;
	struct image m;
	unsigned int rule;

	if (size < 4)
		return 0;
	vmx_image_init(&m, data[0] & 1);
	image_base(&m, data[1] % BASES);
	m.c.phys_bits = 32 + data[2] % 21;
	m.c.linear_bits = data[3] & 1 ? 57 : 48;
	m.c.x2apic = data[3] & 2;
	m.c.launched = data[3] & 4;
	m.c.resume = data[3] & 8;
	for (data += 4, size -= 4; size >= sizeof(struct edit);
	     data += sizeof(struct edit), size -= sizeof(struct edit))
		apply(&m, (const void *)data);

	vmx_check(&m.c, &v);
	CHECK(v.rule < VMX_RULES && v.text && v.section && v.where);
	for (rule = 1; rule < v.rule; rule++)
		CHECK(!vmx_rule_broken(&v, rule));
	CHECK(!vmx_rule_broken(&v, VMX_RULE_NONE));
	if (v.rule)
		CHECK(vmx_rule_broken(&v, v.rule));
	vmx_check_rule(v.rule, &again);
	CHECK(again.class == v.class && again.error == v.error && again.reason == v.reason);
	CHECK(!v.error || !v.reason);
	if (v.class != VMX_CLASS_MSR)
		CHECK(again.qualification == v.qualification);
	return 0;
}
