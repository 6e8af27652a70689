/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random VMCSs near the border between good and broken: a good one, some features
 * switched, then a few fields changed a little.
 */
#ifndef VMX_CHECK_MUTATE_H
#define VMX_CHECK_MUTATE_H

#include "image.h"

/* xorshift64*: the same states from the same seed, everywhere. */
static inline u64 random_next(u64 *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dull;
}

static inline u32 random_below(u64 *seed, u32 n)
{
	return (u32)(random_next(seed) >> 33) % n;
}

static inline bool one_in(u64 *seed, u32 n)
{
	return random_below(seed, n) == 0;
}

static inline unsigned int field_bits(u32 field)
{
	static const u8 bits[] = { 16, 64, 32, 64 };

	return bits[field >> 13 & 3];
}

/* One that points to memory: only what makes it bad is changed, never the page. */
static inline bool field_is_address(u32 field)
{
	return ((field & 0x6c00) == 0x2000 && field != VMCS_TSC_OFFSET &&
		field != VMCS_TSC_MULTIPLIER && field != VMCS_VM_FUNCTION) ||
	       field == VMCS_GUEST_LINK_POINTER || field == VMCS_GUEST_CR3 ||
	       field == VMCS_HOST_CR3;
}

static inline void mutate_field(struct image *m, u64 *seed, u32 field)
{
	u64 *f = &m->f[vmcs_index(field)], mask = ~0ull >> (64 - field_bits(field));
	u32 high = m->c.phys_bits;

	if (field_is_address(field)) {
		u32 bit = random_below(seed, 2) ? random_below(seed, 12) :
			  high + random_below(seed, 64 - high);

		if (field == VMCS_GUEST_LINK_POINTER && one_in(seed, 2))
			*f = m->page[one_in(seed, 4) ? P_VMCS : P_LINK];
		else if (*f != ~0ull)
			*f ^= BIT_ULL(bit);
		return;
	}
	switch (random_below(seed, 8)) {
	case 0:
		*f = 0;
		break;
	case 1:
		*f += one_in(seed, 2) ? 1 : -1ull;
		break;
	case 2:
		*f = random_next(seed) >> random_below(seed, 64);
		break;
	default:
		*f ^= BIT_ULL(random_below(seed, field_bits(field)));
		break;
	}
	*f &= mask;
}

/* A control that the CPU lets software choose. */
static inline void mutate_control(struct image *m, u64 *seed)
{
	static const struct {
		u16 field;
		u8 cap;
	} which[] = {
		{ VMCS_PIN_CTLS, VMX_CAP_TRUE_PIN }, { VMCS_CPU_CTLS, VMX_CAP_TRUE_CPU },
		{ VMCS_CPU2_CTLS, VMX_CAP_CPU2 }, { VMCS_CPU2_CTLS, VMX_CAP_CPU2 },
		{ VMCS_EXIT_CTLS, VMX_CAP_TRUE_EXIT }, { VMCS_ENTRY_CTLS, VMX_CAP_TRUE_ENTRY },
	};
	u32 n = random_below(seed, ARRAY_SIZE(which));
	u64 cap = m->c.cap[which[n].cap];
	u32 choice = upper_32_bits(cap) & ~lower_32_bits(cap);
	u32 bit = random_below(seed, 32);

	if (choice >> bit & 1)
		m->f[vmcs_index(which[n].field)] ^= BIT(bit);
}

static inline void mutate_event(struct image *m, u64 *seed)
{
	static const u8 vectors[] = { 0, 1, 2, 3, 4, 6, 8, 13, 14, 17, 18, 21, 31, 32, 64, 255 };

	EVENT(random_below(seed, 8), vectors[random_below(seed, ARRAY_SIZE(vectors))]);
	if (one_in(seed, 2))
		F(ENTRY_INTR_INFO) |= VMX_INTR_ERROR_CODE;
	if (one_in(seed, 16))
		F(ENTRY_INTR_INFO) ^= BIT(random_below(seed, 32));
	if (one_in(seed, 8))
		F(ENTRY_ERROR_CODE) = random_next(seed) >> (32 + random_below(seed, 32));
	F(ENTRY_INSN_LEN) = random_below(seed, one_in(seed, 4) ? 32 : 16);
}

static inline void mutate_segment(struct image *m, u64 *seed)
{
	u32 n = random_below(seed, 8), what = random_below(seed, 6);

	if (what == 0)
		m->f[vmcs_index(VMCS_GUEST_ES_SEL + 2 * n)] ^= BIT(random_below(seed, 4));
	else if (what == 1)
		mutate_field(m, seed, VMCS_GUEST_ES_LIMIT + 2 * n);
	else if (what == 2)
		mutate_field(m, seed, VMCS_GUEST_ES_BASE + 2 * n);
	else
		m->f[vmcs_index(VMCS_GUEST_ES_AR + 2 * n)] ^= BIT(random_below(seed, 17));
}

static inline void mutate_state(struct image *m, u64 *seed)
{
	static const u16 which[] = {
		VMCS_GUEST_CR0, VMCS_GUEST_CR4, VMCS_GUEST_EFER, VMCS_GUEST_RFLAGS,
		VMCS_GUEST_PAT, VMCS_GUEST_PENDING_DBG, VMCS_GUEST_RIP,
	};

	switch (random_below(seed, 5)) {
	case 0:
		F(GUEST_ACTIVITY) = random_below(seed, 5);
		break;
	case 1:
		F(GUEST_INTERRUPTIBILITY) ^= BIT(random_below(seed, 6));
		if (one_in(seed, 2))
			F(GUEST_RFLAGS) |= 0x200;
		break;
	case 2:
		F(GUEST_CR0) ^= one_in(seed, 2) ? BIT_ULL(31) : BIT_ULL(0);
		break;
	default:
		mutate_field(m, seed, which[random_below(seed, ARRAY_SIZE(which))]);
		break;
	}
}

static inline void mutate_memory(struct image *m, u64 *seed)
{
	u32 n = random_below(seed, MSRS);

	switch (random_below(seed, 4)) {
	case 0:
		F(ENTRY_MSR_LOAD_COUNT) = random_below(seed, MSRS + 1);
		m->msrs[n][0] ^= one_in(seed, 2) ? BIT_ULL(32 + random_below(seed, 32)) : 0;
		break;
	case 1:
		F(TPR_THRESHOLD) = random_below(seed, 20);
		m->vtpr = random_below(seed, 256);
		break;
	case 2:
		m->link_revision ^= BIT(random_below(seed, 2) ? 31 : random_below(seed, 32));
		break;
	default:
		F(GUEST_PDPTE0) ^= BIT_ULL(random_below(seed, 64));
		break;
	}
}

/* The image must be a base; what differs after it is all that is random. */
static inline void mutate(struct image *m, u64 *seed)
{
	u32 n, features = random_below(seed, 4), changes = 1 + random_below(seed, 3);

	if (one_in(seed, 2))
		F(CPU2_CTLS) ^= VMX_CPU2_UNRESTRICTED;
	if (one_in(seed, 2))
		F(CPU_CTLS) |= VMX_CPU_TPR_SHADOW;
	if (one_in(seed, 4))
		mutate_event(m, seed);
	for (n = 0; n < features; n++)
		mutate_control(m, seed);
	for (n = 0; n < changes; n++) {
		switch (random_below(seed, 6)) {
		case 0:
			mutate_segment(m, seed);
			break;
		case 1:
			mutate_state(m, seed);
			break;
		case 2:
			mutate_memory(m, seed);
			break;
		case 3:
			mutate_event(m, seed);
			break;
		default:
			mutate_field(m, seed, fields[random_below(seed, ARRAY_SIZE(fields))].field);
			break;
		}
	}
}

#endif /* VMX_CHECK_MUTATE_H */
