// SPDX-License-Identifier: GPL-2.0
/* The STATE area: every group there and back, and values that can't be. */
#include "hvm.h"

static volatile u64 got[8];

GUEST void nothing(void)
{
	got[0]++;
}

TEST(reset_state)
{
	struct vm *vm = vm_bare();
	struct vcpu *v = vcpu_new(vm, 0);
	struct halo_state *s = v->s;

	state_get(v);
	CHECK_EQ(s->cached, HALO_STATE_ALL);
	CHECK_EQ(s->rip, 0xfff0);
	CHECK_EQ(s->rflags, 2);
	CHECK_EQ(s->seg[HALO_SEG_CS].selector, 0xf000);
	CHECK_EQ(s->seg[HALO_SEG_CS].base, 0xffff0000);
	CHECK_EQ(s->cr0, 0x60000010);
	CHECK_EQ(s->cr4 | s->cr3 | s->efer | s->cr2, 0);
	CHECK_EQ(s->dr[4], 0xffff0ff0);
	CHECK_EQ(s->dr[5], 0x400);
	CHECK_EQ(s->pat, 0x0007040600070406);
	CHECK_EQ(s->apic_base, 0xfee00900);
	CHECK_EQ(s->xcr0, 1);
	CHECK_EQ(s->mp_state, HALO_MP_RUNNABLE);
	CHECK(s->gpr[HALO_RDX] != 0);
}

TEST(application_processors_wait)
{
	struct vm *vm = vm_bare();
	struct vcpu *v = vcpu_new(vm, 1);

	state_get(v);
	CHECK_EQ(v->s->mp_state, HALO_MP_UNINITIALIZED);
	CHECK_EQ(v->s->apic_base, 0xfee00800);
}

static void fill(struct halo_state *s)
{
	u32 i;

	for (i = 0; i < 16; i++)
		s->gpr[i] = 0x1111111111111111ull * i + 5;
	s->rip = 0x123456;
	s->rflags = 0x246;
	for (i = 0; i < 4; i++)
		s->dr[i] = 0x1000 * (i + 1);
	s->dr[5] = 0x400;
	s->cr2 = 0xdeadbeef000;
	s->cr8 = 7;
	s->star = 0x1234567890;
	s->lstar = 0x7fff00001000;
	s->cstar = 0xffff800000002000;
	s->sfmask = 0x700;
	s->kernel_gs_base = 0x3000;
	s->sysenter_cs = 8;
	s->sysenter_esp = 0x4000;
	s->sysenter_eip = 0x5000;
	s->pat = 0x0606060606060606;
	s->gdt.base = 0x7000;
	s->gdt.limit = 0x57;
	s->idt.base = 0xffff888000000000;
	s->idt.limit = 0xabc;
	for (i = 0; i < 8; i++) {
		s->seg[i].selector = i * 8 + 8;
		s->seg[i].base = i * 0x10000;
		s->seg[i].limit = 0xfffff + i * 0x1000;
	}
	s->nmi_masked = 1;
	s->shadow = HALO_SHADOW_STI;
	s->event_type = HALO_EVENT_INTR;
	s->event_vector = 0x77;
}

static void compare(const struct halo_state *a, const struct halo_state *b)
{
	CHECK(!memcmp(a->gpr, b->gpr, sizeof(a->gpr)));
	CHECK_EQ(a->rip, b->rip);
	CHECK_EQ(a->rflags, b->rflags);
	CHECK(!memcmp(a->seg, b->seg, sizeof(a->seg)));
	CHECK_EQ(a->gdt.base, b->gdt.base);
	CHECK_EQ(a->gdt.limit, b->gdt.limit);
	CHECK_EQ(a->idt.base, b->idt.base);
	CHECK_EQ(a->idt.limit, b->idt.limit);
	CHECK_EQ(a->cr0, b->cr0);
	CHECK_EQ(a->cr2, b->cr2);
	CHECK_EQ(a->cr3, b->cr3);
	CHECK_EQ(a->cr4, b->cr4);
	CHECK_EQ(a->cr8, b->cr8);
	CHECK_EQ(a->efer, b->efer);
	CHECK_EQ(a->xcr0, b->xcr0);
	CHECK(!memcmp(a->dr, b->dr, sizeof(a->dr)));
	CHECK_EQ(a->star, b->star);
	CHECK_EQ(a->lstar, b->lstar);
	CHECK_EQ(a->cstar, b->cstar);
	CHECK_EQ(a->sfmask, b->sfmask);
	CHECK_EQ(a->kernel_gs_base, b->kernel_gs_base);
	CHECK_EQ(a->sysenter_cs, b->sysenter_cs);
	CHECK_EQ(a->sysenter_esp, b->sysenter_esp);
	CHECK_EQ(a->sysenter_eip, b->sysenter_eip);
	CHECK_EQ(a->pat, b->pat);
	CHECK_EQ(a->apic_base, b->apic_base);
	CHECK_EQ(a->event_type, b->event_type);
	CHECK_EQ(a->event_vector, b->event_vector);
	CHECK_EQ(a->shadow, b->shadow);
	CHECK_EQ(a->nmi_masked, b->nmi_masked);
	CHECK_EQ(a->nmi_pending, b->nmi_pending);
	CHECK_EQ(a->mp_state, b->mp_state);
}

TEST(all_groups_there_and_back)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_state want;

	mode_long(v, 0x1000);
	state_get(v);
	fill(v->s);
	want = *v->s;
	state_set(v, HALO_STATE_ALL);
	memset(v->s, 0xee, sizeof(*v->s));
	v->s->commit = 0;
	v->s->flags = 0;
	state_get(v);
	compare(v->s, &want);
}

/* What is not committed stays, whatever stands in the page. */
TEST(groups_are_apart)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_state before;
	u32 g;

	mode_long(v, 0x1000);
	for (g = 0; g < 7; g++) {
		state_get(v);
		before = *v->s;
		fill(v->s);
		memcpy(v->s->gpr, before.gpr, sizeof(before.gpr));
		memset(v->s->gpr, 0x5a, sizeof(v->s->gpr));
		state_set(v, 0);
		state_get(v);
		compare(v->s, &before);
	}
}

TEST(only_wanted_groups_are_written)
{
	struct vcpu *v = vm_new()->cpu[0];

	memset(v->s, 0x77, sizeof(*v->s));
	v->s->commit = 0;
	v->s->wanted = HALO_STATE_CRS;
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_STATE, 0));
	CHECK_EQ(v->s->cached, HALO_STATE_CRS);
	CHECK_EQ(v->s->gpr[0], 0x7777777777777777);
	CHECK_EQ(v->s->mp_state, 0x77777777);
	CHECK_EQ(v->s->cr4, 0);
}

#define REFUSED(group, set)							\
	do {									\
		state_get(v);							\
		before = *v->s;							\
		set;								\
		/* The others would change, if something did. */		\
		v->s->gpr[3] ^= 0xff;						\
		v->s->commit = (group) | HALO_STATE_GPRS;			\
		CHECK_ERRNO(ioctl(v->fd, HALO_VCPU_SET_STATE, 0), EINVAL);	\
		CHECK_EQ(settle(v), -EINVAL);					\
		v->s->commit = 0;						\
		memset(v->s, 0, sizeof(*v->s));					\
		state_get(v);							\
		compare(v->s, &before);						\
	} while (0)

TEST(values_that_can_not_be)
{
	struct vcpu *v = vm_new()->cpu[0];
	struct halo_state before;

	mode_long(v, 0x1000);
	REFUSED(1ull << 7, (void)0);
	REFUSED(1ull << 63, (void)0);
	REFUSED(HALO_STATE_CRS, v->s->cr0 |= 1ull << 32);
	REFUSED(HALO_STATE_CRS, v->s->cr0 &= ~CR0_PE);
	REFUSED(HALO_STATE_CRS, v->s->cr0 |= BIT(29));		/* NW without CD */
	REFUSED(HALO_STATE_CRS, v->s->cr3 = ~0ull);
	REFUSED(HALO_STATE_CRS, v->s->cr4 |= BIT(13));		/* VMXE */
	REFUSED(HALO_STATE_CRS, v->s->cr4 |= BIT(63));
	REFUSED(HALO_STATE_CRS, v->s->cr4 &= ~CR4_PAE);
	REFUSED(HALO_STATE_CRS, v->s->cr8 = 16);
	REFUSED(HALO_STATE_CRS, v->s->efer |= BIT(12));		/* SVME */
	REFUSED(HALO_STATE_CRS, v->s->efer |= BIT(1));
	REFUSED(HALO_STATE_CRS, v->s->efer &= ~EFER_LMA);
	REFUSED(HALO_STATE_CRS, v->s->efer &= ~EFER_LME);
	REFUSED(HALO_STATE_CRS, v->s->xcr0 = 0);
	REFUSED(HALO_STATE_CRS, v->s->xcr0 = 4);
	REFUSED(HALO_STATE_CRS, v->s->xcr0 = ~0ull);
	REFUSED(HALO_STATE_DRS, v->s->dr[4] = 1ull << 32);
	REFUSED(HALO_STATE_DRS, v->s->dr[5] = 1ull << 63);
	REFUSED(HALO_STATE_SEGS, v->s->seg[HALO_SEG_FS].base = 0x800000000000);
	REFUSED(HALO_STATE_SEGS, v->s->seg[HALO_SEG_CS].attrib = 0x2000);
	REFUSED(HALO_STATE_SEGS, v->s->gdt.base = 0x8000000000000000);
	REFUSED(HALO_STATE_SEGS, v->s->idt.reserved[2] = 1);
	REFUSED(HALO_STATE_MSRS, v->s->pat = 2);
	REFUSED(HALO_STATE_MSRS, v->s->lstar = 0x800000000000);
	REFUSED(HALO_STATE_MSRS, v->s->apic_base = ~0ull);
	REFUSED(HALO_STATE_MSRS, (v->s->star = 0x55, v->s->pat = 0xff));
	REFUSED(HALO_STATE_EVENTS, v->s->event_type = 5);
	REFUSED(HALO_STATE_EVENTS, (v->s->event_type = 3, v->s->event_vector = 32));
	REFUSED(HALO_STATE_EVENTS, (v->s->event_type = 3, v->s->event_vector = 2));
	REFUSED(HALO_STATE_EVENTS, (v->s->event_type = 2, v->s->event_vector = 3));
	REFUSED(HALO_STATE_EVENTS, v->s->event_has_error = 1);
	REFUSED(HALO_STATE_EVENTS, v->s->event_has_error = 2);
	REFUSED(HALO_STATE_EVENTS, v->s->shadow = 4);
	REFUSED(HALO_STATE_EVENTS, v->s->nmi_masked = 2);
	REFUSED(HALO_STATE_EVENTS, v->s->nmi_pending = 3);
	REFUSED(HALO_STATE_EVENTS, v->s->reserved1[5] = 1);
	REFUSED(HALO_STATE_MP, v->s->mp_state = 4);
	REFUSED(HALO_STATE_MP, v->s->mp_state = ~0u);
	REFUSED(HALO_STATE_MP, v->s->reserved2 = 1);
	/* After all that it runs. */
	guest(v, nothing, 0);
	CHECK_EQ(got[0], 1);
}

TEST(reserved_rflags_are_dropped)
{
	struct vcpu *v = vm_new()->cpu[0];

	mode_long(v, 0x1000);
	v->s->rflags = ~0ull;
	state_set(v, HALO_STATE_GPRS);
	state_get(v);
	CHECK_EQ(v->s->rflags, 0x3f7fd7);
}

/*
 * Random states: refused, or the guest runs into something; the module never
 * contradicts itself and the host never faults.
 */
static u64 rnd(void)
{
	static u64 x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

TEST_SECONDS(random_states, 120)
{
	u32 i, j, refused = 0, ran = 0, fail = 0;
	struct vm *vm = NULL;
	struct vcpu *v = NULL;

	for (i = 0; i < 3000; i++) {
		u64 groups = 0;

		if (i % 50 == 0) {
			if (vm)
				vm_free(vm);
			vm = vm_new();
			v = vm->cpu[0];
		}
		memset(v->s, 0, sizeof(*v->s));
		switch (rnd() % 3) {
		case 0:
			mode_long(v, (u64)nothing);
			break;
		case 1:
			mode_flat32(v, LOW_CODE);
			break;
		default:
			mode_real(v, 0, LOW_CODE);
		}
		state_get(v);
		/* A few words of noise; the later ones are the likelier to be refused. */
		for (j = 0; j < 1 + rnd() % 3; j++) {
			u64 *word = (u64 *)v->s + 4 + rnd() % (sizeof(*v->s) / 8 - 4);
			u64 r = rnd();

			*word = r % 4 == 0 ? r : r % 4 == 1 ? *word ^ BIT(r >> 8 & 63) :
				r % 4 == 2 ? r & 0xffffffff : r & 0xff;
		}
		v->s->mp_state = HALO_MP_RUNNABLE;
		groups = HALO_STATE_ALL & ~HALO_STATE_MSRS;
		if (rnd() & 1)
			groups |= HALO_STATE_MSRS;
		v->s->commit = groups;
		if (ioctl(v->fd, HALO_VCPU_SET_STATE, 0)) {
			CHECK_EQ(errno, EINVAL);
			v->s->commit = 0;
			refused++;
			continue;
		}
		for (j = 0; j < 3; j++) {
			int err;

			/* An endless guest is left at once. */
			CHECK(!ioctl(v->fd, HALO_VCPU_KICK, 0));
			err = run(v);
			CHECK(err == 0 || err == -EINTR || err == -ESHUTDOWN);
			if (err)
				continue;
			v->replies->head = v->exits->tail;
			v->x = *((struct halo_exit *)((u8 *)v->exits + v->exits->entries_offset) +
				 ((v->exits->tail - 1) & (v->exits->entries - 1)));
			if (v->x.type == HALO_EXIT_FAIL) {
				CHECK(v->x.data == HALO_FAIL_ENTRY ||
				      v->x.data == HALO_FAIL_EVENT_LOOP);
				fail++;
				i += 49 - i % 50;	/* this one is dead: the next VM */
				break;
			}
			answer_as(v, HALO_ACTION_RETRY, 0, -1);
		}
		ran++;
	}
	ktap_note("%u ran, %u of them refused by the CPU, %u refused by the module", ran, fail,
		  refused);
}
