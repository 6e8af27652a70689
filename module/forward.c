// SPDX-License-Identifier: GPL-2.0
/*
 * Exits to userspace and the replies that come back.
 *
 * One SYNC exit is in flight per vCPU.  vcpu->exit is what was said,
 * vcpu->pending what its answer is for; a reply chooses a value and nothing
 * else.  Everything is copied out of the shared pages before it is looked at.
 */
#include "trace.h"
#include "vcpu.h"

static enum halo_next halo_forward_push(struct halo_vcpu *vcpu);

/* One names the bus, the other what is said of it. */
static_assert(HALO_EXIT_PIO == HALO_BUS_PIO + 1 && HALO_EXIT_MMIO == HALO_BUS_MMIO + 1 &&
	      HALO_EXIT_MSR == HALO_BUS_MSR + 1 && HALO_EXIT_HYPERCALL == HALO_BUS_HYPERCALL + 1);

static enum halo_next halo_stop(struct halo_vcpu *vcpu, int err)
{
	vcpu->error = err;
	return NEXT_STOP;
}

/**
 * halo_exit_fill() - an access as an exit
 * @vcpu: the vCPU
 * @a: the access
 * @x: out: all fields but @seq
 */
void halo_exit_fill(const struct halo_vcpu *vcpu, const struct halo_access *a,
		    struct halo_exit *x)
{
	unsigned int n = vcpu->bytes_len;

	x->type = a->bus + 1;
	x->flags = a->flags | (a->write ? HALO_EXIT_F_WRITE : 0);
	x->size = a->size;
	x->insn_len = a->insn_len;
	x->vcpu = vcpu->id;
	x->addr = a->addr;
	x->data = a->write ? a->value : 0;
	x->cookie = a->cookie;
	x->rip = vcpu->cpu.rip;
	if (n == HALO_INSN_MAX) {
		memcpy(x->insn, vcpu->bytes, HALO_INSN_MAX);
		x->insn[HALO_INSN_MAX] = 0;
		return;
	}
	memset(x->insn, 0, sizeof(x->insn));
	if (unlikely(n))
		memcpy(x->insn, vcpu->bytes, min_t(unsigned int, n, sizeof(x->insn)));
}

/* A stay must end before the rest is done. */
static enum halo_next halo_asked(struct halo_vcpu *vcpu, u16 type, u8 kind)
{
	vcpu->asked_type = type;
	vcpu->asked = kind;
	return NEXT_FORWARD;
}

/**
 * halo_ask() - an access is for userspace
 * @vcpu: the vCPU
 * @a: the access, as halo_access() left it
 * @kind: what the reply is for
 *
 * Return: as halo_forward(); RESUME after one that is POSTED.
 */
enum halo_next halo_ask(struct halo_vcpu *vcpu, const struct halo_access *a,
			enum halo_pend_kind kind)
{
	struct halo_exit *x;

	if (vcpu->staying && vcpu->parked && READ_ONCE(vcpu->state->wanted)) {
		halo_exit_fill(vcpu, a, &vcpu->exit);
		return halo_asked(vcpu, ASKED_FILLED, kind);
	}
	vcpu->pending.kind = kind;
	/* Who serves the ring may look at STATE as soon as it sees the exit. */
	if (vcpu->parked && !vcpu->staying)
		halo_state_provide(vcpu);
	x = halo_ring_next(&vcpu->rings);
	if (IS_ERR(x) || unlikely(a->flags & HALO_EXIT_F_POSTED)) {
		halo_exit_fill(vcpu, a, &vcpu->exit);
		return vcpu->staying ? halo_asked(vcpu, ASKED_FILLED, kind) :
				       halo_forward_push(vcpu);
	}
	halo_exit_fill(vcpu, a, x);
	halo_ring_give(&vcpu->rings, x, true);
	trace_halo_user_exit(vcpu, x, 0);
	vcpu->count.user_exits++;
	return vcpu->staying ? halo_asked(vcpu, ASKED_GIVEN, kind) : NEXT_FORWARD;
}

/**
 * halo_forward() - hand an exit to userspace
 * @vcpu: the vCPU; the caller has set vcpu->exit's addr, data, size, flags and
 *	cookie, or left them zero
 * @type: HALO_EXIT_*
 * @kind: what the reply is for
 *
 * During a stay it is only noted: halo_exit_dispatch() will do it.
 *
 * Return: FORWARD, or STOP when the ring is full or broken.
 */
enum halo_next halo_forward(struct halo_vcpu *vcpu, u16 type, enum halo_pend_kind kind)
{
	struct halo_exit *x = &vcpu->exit;
	unsigned int n = min_t(unsigned int, vcpu->bytes_len, sizeof(x->insn));

	if (vcpu->staying)
		return halo_asked(vcpu, type, kind);
	x->type = type;
	if (!(x->flags & HALO_EXIT_F_POSTED))
		x->flags |= HALO_EXIT_F_SYNC;
	x->vcpu = vcpu->id;
	x->rip = vcpu->cpu.rip;
	memset(x->insn, 0, sizeof(x->insn));
	memcpy(x->insn, vcpu->bytes, n);
	vcpu->pending.kind = kind;
	/* Who serves the ring may look at STATE as soon as it sees the exit. */
	if (vcpu->parked)
		halo_state_provide(vcpu);
	return halo_forward_push(vcpu);
}

/**
 * halo_forward_asked() - a stay has ended because it asks userspace: do the rest
 * @vcpu: the vCPU
 *
 * Return: as halo_ask() or halo_forward().
 */
enum halo_next halo_forward_asked(struct halo_vcpu *vcpu)
{
	u8 kind = vcpu->asked;

	vcpu->asked = PEND_NONE;
	if (likely(vcpu->asked_type == ASKED_GIVEN))
		return NEXT_FORWARD;
	if (vcpu->asked_type == ASKED_TAKEN)
		return NEXT_STOP;
	if (vcpu->asked_type != ASKED_FILLED)
		return halo_forward(vcpu, vcpu->asked_type, kind);
	vcpu->pending.kind = kind;
	if (vcpu->parked)
		halo_state_provide(vcpu);
	return halo_forward_push(vcpu);
}

/**
 * halo_fail() - this vCPU can't go on
 * @vcpu: the vCPU
 * @what: HALO_FAIL_*
 * @code: what the hardware said
 *
 * Return: as halo_forward().
 */
enum halo_next halo_fail(struct halo_vcpu *vcpu, u64 what, u64 code)
{
	vcpu->exit.data = what;
	vcpu->exit.addr = code;
	return halo_forward(vcpu, HALO_EXIT_FAIL, PEND_DEAD);
}

/**
 * halo_forward_eoi() - tell userspace's IOAPIC of an EOI, if it must hear
 * @vcpu: the vCPU
 * @eoi: what the LAPIC model returned
 *
 * Return: RESUME if there is nothing to tell.
 */
enum halo_next halo_forward_eoi(struct halo_vcpu *vcpu, int eoi)
{
	if (likely(eoi < 0 || !(eoi & HALO_LAPIC_EOI)))
		return NEXT_RESUME;
	if (halo_irqfd_eoi(vcpu->vm, eoi))
		return NEXT_RESUME;
	vcpu->exit.data = eoi & 0xff;
	return halo_forward(vcpu, HALO_EXIT_EOI, PEND_NOTIFY);
}

static enum halo_next halo_protocol_error(struct halo_vcpu *vcpu)
{
	return halo_stop(vcpu, halo_ring_break(&vcpu->rings));
}

/**
 * halo_reply_done() - an exit is answered: go on with the instruction
 * @vcpu: the vCPU
 * @kind: PEND_*
 * @data: what came back
 *
 * Return: what the loop does next.
 */
enum halo_next halo_reply_done(struct halo_vcpu *vcpu, u8 kind, u64 data)
{
	struct halo_event *e = &vcpu->cpu.event;
	struct halo_cpu *cpu = &vcpu->cpu;

	switch (__builtin_expect(kind, PEND_PIO)) {
	case PEND_PIO:
		if (vcpu->pending.in)
			halo_reg_write(&cpu->gpr[GPR_RAX], data, vcpu->pending.size);
		break;
	case PEND_WRMSR:
	case PEND_STORE:
		break;
	case PEND_STRING:
		return halo_string_complete(vcpu);
	case PEND_MMIO:
		return halo_mmio_complete(vcpu, data);
	case PEND_RDMSR:
		cpu->gpr[GPR_RAX] = (u32)data;
		cpu->gpr[GPR_RDX] = data >> 32;
		break;
	case PEND_HYPERCALL:
		cpu->gpr[GPR_RAX] = data;
		break;
	case PEND_INTACK:
		if (data > 255)
			return halo_protocol_error(vcpu);
		/* A state that was committed meanwhile may hold an event. */
		if (e->type != EVENT_NONE)
			return NEXT_RESUME;
		*e = (struct halo_event){ EVENT_INTR, data };
		vcpu->count.injected++;
		return NEXT_RESUME;
	case PEND_SHUTDOWN:
		halo_vcpu_reset(vcpu, false);
		return NEXT_RESUME;
	default:
		return NEXT_RESUME;
	}
	halo_stay_skip(vcpu, vcpu->pending.insn_len);
	return NEXT_RESUME;
}

/*
 * Put the prepared exit into the ring.  FORWARD, or RESUME after one that is POSTED;
 * STOP with -EAGAIN when the ring is full (tried again at the next RUN) or -EPROTO when
 * it is broken.
 */
static enum halo_next halo_forward_push(struct halo_vcpu *vcpu)
{
	bool posted = vcpu->exit.flags & HALO_EXIT_F_POSTED;
	int err = halo_ring_push(&vcpu->rings, &vcpu->exit);
	u8 kind = vcpu->pending.kind;

	trace_halo_user_exit(vcpu, &vcpu->exit, err);
	vcpu->exit_waits = err == -EAGAIN;
	if (!vcpu->exit_waits)
		memset(&vcpu->exit, 0, sizeof(vcpu->exit));
	if (err)
		return halo_stop(vcpu, err);
	if (posted) {
		vcpu->pending.kind = PEND_NONE;
		halo_announce(vcpu);
		vcpu->count.posted++;
		return halo_reply_done(vcpu, kind, 0);
	}
	vcpu->count.user_exits++;
	return NEXT_FORWARD;
}

/* What is not plainly DONE, or is traced. */
static noinline enum halo_next halo_reply_other(struct halo_vcpu *vcpu, u8 kind,
						struct halo_answer r)
{
	u8 action = r.what;

	trace_halo_reply(vcpu, &r);
	if (kind == PEND_DEAD || action == HALO_ACTION_SHUTDOWN) {
		vcpu->stopped = true;
		return halo_stop(vcpu, -ESHUTDOWN);
	}
	if (action == HALO_ACTION_DONE)
		return halo_reply_done(vcpu, kind, r.data);
	if (action == HALO_ACTION_RETRY)
		return NEXT_RESUME;
	/* An exception; not for what is no instruction. */
	if (kind == PEND_INTACK || kind == PEND_NOTIFY || kind == PEND_SHUTDOWN)
		return halo_protocol_error(vcpu);
	return halo_exception(vcpu, r.what >> 8, r.what >> 16, r.error);
}

/**
 * halo_reply_take() - use the reply to the exit in flight, at the start of RUN
 * @vcpu: the vCPU
 *
 * Return: RESUME when the guest may go on; FORWARD when the instruction needs
 * another exit; STOP with -EAGAIN when the reply is missing, -EPROTO when it
 * does not fit, -ESHUTDOWN when it ends the vCPU.
 */
enum halo_next halo_reply_take(struct halo_vcpu *vcpu)
{
	u8 kind = vcpu->pending.kind;
	struct halo_answer r;
	int got;

	if (vcpu->exit_waits)
		return halo_forward_push(vcpu);
	if (kind == PEND_NONE)
		return NEXT_RESUME;
	got = halo_ring_pop_reply(&vcpu->rings, &r);
	if (got <= 0)
		return halo_stop(vcpu, got ?: -EAGAIN);
	vcpu->pending.kind = PEND_NONE;
	if (unlikely(r.what || kind == PEND_DEAD || trace_halo_reply_enabled()))
		return halo_reply_other(vcpu, kind, r);
	return halo_reply_done(vcpu, kind, r.data);
}
