// SPDX-License-Identifier: GPL-2.0
/*
 * Guest-virtual addresses: the instruction at RIP, and operands in memory.
 *
 * For the owner of the vCPU, in the context of the VM's address space; may
 * sleep.  A fault that the guest has earned is queued here, and the caller gets
 * -EFAULT and lets the guest have it.
 */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>
#include "vcpu.h"

static int halo_walk_read(void *opaque, u64 gpa, void *out, unsigned int bytes)
{
	struct halo_vcpu *vcpu = opaque;

	return halo_mem_read(&vcpu->vm->mem, gpa, out, bytes);
}

/* Accessed and dirty bits of an access that the module makes for the guest. */
static int halo_walk_cmpxchg(void *opaque, u64 gpa, u64 old, u64 new, unsigned int bytes)
{
	struct halo_vcpu *vcpu = opaque;

	return halo_mem_cmpxchg(&vcpu->vm->mem, gpa, old, new, bytes);
}

/**
 * halo_arch_code_changed() - halo_arch_code() while changes wait for the next entry
 * @vcpu: the vCPU
 */
const struct halo_arch *halo_arch_code_changed(struct halo_vcpu *vcpu)
{
	struct halo_arch *a = halo_arch_get(vcpu, ARCH_SEGS | ARCH_CRS);

	a->code64 = (a->efer & EFER_LMA) && (a->seg[SEG_CS].attrib & SEG_ATTR_L);
	a->cpl = (a->seg[SEG_SS].attrib >> SEG_ATTR_DPL_SHIFT) & 3;
	return a;
}

static noinline enum halo_insn_mode halo_code_mode_legacy(struct halo_vcpu *vcpu)
{
	const struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS | ARCH_SEGS);

	if (!(a->cr0 & X86_CR0_PE) || (vcpu->cpu.rflags & X86_EFLAGS_VM))
		return HALO_INSN_MODE_16;
	return a->seg[SEG_CS].attrib & SEG_ATTR_DB ? HALO_INSN_MODE_32 : HALO_INSN_MODE_16;
}

/* How the bytes at RIP are to be read. */
static __always_inline enum halo_insn_mode halo_code_mode(struct halo_vcpu *vcpu)
{
	if (unlikely(!halo_mode64(vcpu)))
		return halo_code_mode_legacy(vcpu);
	return halo_be->id == HALO_BACKEND_VMX ? HALO_INSN_MODE_64_INTEL : HALO_INSN_MODE_64;
}

static int halo_gva_walk(struct halo_vcpu *vcpu, u64 gva, unsigned int access,
			 struct halo_walk_result *res)
{
	const struct halo_arch *a = halo_arch_get(vcpu, ARCH_CRS);
	const struct halo_walk_ctx ctx = {
		.cr0 = a->cr0,
		.cr3 = a->cr3,
		.cr4 = a->cr4,
		.efer = a->efer,
		.rflags = vcpu->cpu.rflags,
		.maxphyaddr = vcpu->caps.maxphyaddr,
		.gbpages = vcpu->caps.has & HALO_HAS_GBPAGES,
		.read = halo_walk_read,
		/* A fetch repeats what the CPU has just done, bits and all. */
		.update = access & HALO_WALK_FETCH ? NULL : halo_walk_cmpxchg,
		.opaque = vcpu,
	};

	if (halo_cpl(vcpu) == 3)
		access |= HALO_WALK_USER;
	return halo_walk(&ctx, gva, access, res);
}

/* Queue what the walk has earned the guest. */
static int halo_walk_failed(struct halo_vcpu *vcpu, u64 gva, int err,
			    const struct halo_walk_result *res)
{
	if (err == -EINVAL)	/* not canonical */
		halo_gp(vcpu);
	else
		halo_page_fault(vcpu, gva, res->error_code);
	return -EFAULT;
}

/**
 * halo_gva_to_gpa() - translate with the guest's rights
 * @vcpu: the vCPU
 * @gva: linear address
 * @access: HALO_WALK_*
 * @gpa: where it leads
 *
 * Return: 0, or -EFAULT with the #PF queued.
 */
int halo_gva_to_gpa(struct halo_vcpu *vcpu, u64 gva, unsigned int access, u64 *gpa)
{
	struct halo_walk_result res;
	int err;

	/* Another vCPU rewriting the tables under us: it ends some time. */
	do {
		err = halo_gva_walk(vcpu, gva, access, &res);
	} while (err == -EAGAIN && !fatal_signal_pending(current));
	if (err)
		return halo_walk_failed(vcpu, gva, err, &res);
	*gpa = res.gpa;
	return 0;
}

/**
 * halo_gva_pages() - translate an operand, which may cross into another page
 * @vcpu: the vCPU
 * @gva: linear address
 * @len: bytes, at most a page
 * @write: it is to be written
 * @gpa: out: where its one or two parts are
 *
 * Return: bytes of it in the first page, or -EFAULT with the #PF queued.
 */
int halo_gva_pages(struct halo_vcpu *vcpu, u64 gva, unsigned int len, bool write, u64 gpa[2])
{
	unsigned int access = write ? HALO_WALK_WRITE : HALO_WALK_READ;
	unsigned int first = min_t(unsigned int, len, PAGE_SIZE - (gva & ~PAGE_MASK));
	int err;

	err = halo_gva_to_gpa(vcpu, gva, access, &gpa[0]);
	if (!err && first < len)
		err = halo_gva_to_gpa(vcpu, gva + first, access, &gpa[1]);
	return err ?: first;
}

/**
 * halo_pages_copy() - copy between an operand and a buffer
 * @vcpu: the vCPU
 * @gpa: from halo_gva_pages()
 * @first: its value
 * @buf: the buffer
 * @len: bytes
 * @write: into guest memory
 *
 * Return: 0; -ENXIO if there is not memory behind all of it.
 */
int halo_pages_copy(struct halo_vcpu *vcpu, const u64 gpa[2], unsigned int first, void *buf,
		    unsigned int len, bool write)
{
	struct halo_mem *mem = &vcpu->vm->mem;
	int err;

	err = halo_mem_copy(mem, gpa[0], buf, first, write);
	if (!err && first < len)
		err = halo_mem_copy(mem, gpa[1], buf + first, len - first, write);
	return err ? -ENXIO : 0;
}

/**
 * halo_gva_copy() - copy between guest memory and a buffer
 * @vcpu: the vCPU
 * @gva: linear address
 * @buf: the buffer
 * @len: bytes, at most a page
 * @write: into guest memory
 *
 * All pages are translated before a byte is moved.
 *
 * Return: 0; -EFAULT with the #PF queued; -ENXIO if there is no memory behind.
 */
int halo_gva_copy(struct halo_vcpu *vcpu, u64 gva, void *buf, unsigned int len, bool write)
{
	u64 gpa[2];
	int first = halo_gva_pages(vcpu, gva, len, write, gpa);

	return first < 0 ? first : halo_pages_copy(vcpu, gpa, first, buf, len, write);
}

/**
 * halo_seg_linear() - linear address of an operand, with the segment's checks
 * @vcpu: the vCPU
 * @seg: SEG_*
 * @offset: effective address
 * @size: bytes of the access
 * @write: the access writes
 * @linear: where to
 *
 * Return: 0, or -EFAULT with #GP(0) or #SS(0) queued.
 */
int halo_seg_linear(struct halo_vcpu *vcpu, unsigned int seg, u64 offset, unsigned int size,
		    bool write, u64 *linear)
{
	u64 last = offset + size - 1;
	const struct halo_arch *a;
	const struct halo_seg *s;
	unsigned int type;

	if (halo_mode64(vcpu)) {
		*linear = offset;
		if (seg == SEG_FS || seg == SEG_GS)
			*linear += halo_arch_get(vcpu, ARCH_SEGS)->seg[seg].base;
		if (!halo_canonical(*linear, HALO_LINEAR_BITS))
			goto fault;
		return 0;
	}
	a = halo_arch_get(vcpu, ARCH_CRS | ARCH_SEGS);
	s = &a->seg[seg];
	type = s->attrib & 0xf;
	*linear = (u32)(s->base + offset);
	if (s->attrib & SEG_ATTR_UNUSABLE)
		goto fault;
	/* Real mode has data segments whose type says so, too. */
	if ((a->cr0 & X86_CR0_PE) && !(vcpu->cpu.rflags & X86_EFLAGS_VM)) {
		if (write ? (type & 0xa) != 0x2 : (type & 0xa) == 0x8)
			goto fault;
	}
	if ((type & 0xc) == 0x4) {
		u64 top = s->attrib & SEG_ATTR_DB ? 0xffffffffull : 0xffff;

		if (offset <= s->limit || last > top || last < offset)
			goto fault;
	} else if (last > s->limit || last < offset) {
		goto fault;
	}
	return 0;
fault:
	halo_exception(vcpu, seg == SEG_SS ? 12 : 13, true, 0);
	return -EFAULT;
}

/* Keep what a walk to @rip has found, for halo_code_read(). */
static void halo_code_note(struct halo_vcpu *vcpu, u64 rip, const struct halo_walk_result *res,
			   unsigned long seq)
{
	struct halo_mem *mem = &vcpu->vm->mem;
	struct halo_code *c = &vcpu->codes[(rip >> PAGE_SHIFT) % HALO_CODE_PAGES];
	unsigned int i;

	c->cr3 = HALO_CODE_NONE;
	if (!halo_mode64(vcpu))
		return;
	for (i = 0; i < res->depth; i++) {
		c->step[i].pte = halo_mem_user(mem, res->addr[i]);
		c->step[i].entry = res->entry[i];
		if (!access_ok(c->step[i].pte, sizeof(u64)))
			return;
	}
	c->end = &c->step[i];
	c->page = rip & PAGE_MASK;
	c->seq = seq;
	c->at = halo_mem_user(mem, res->gpa & PAGE_MASK);
	if (access_ok(c->at, PAGE_SIZE))
		c->cr3 = halo_arch_code(vcpu)->cr3;
}

/**
 * halo_code_read() - read the bytes at RIP into vcpu->bytes, if they can be had at once
 * @vcpu: the vCPU, after halo_arch_code(); preemption is off
 *
 * The walk to the page is not done again but compared: in the same mode, with the same
 * CR3, memslots and page-table entries all the way down, it would lead to the same page.
 * The entries and the instruction are read anew, so that a guest that changed either of
 * them, which makes no exit, is seen to have done so.  User addresses may have other
 * memory behind them by now; it is the host's tables that say which.
 *
 * Return: whether HALO_INSN_MAX bytes are there, and are certain to be the right ones.
 */
bool halo_code_read(struct halo_vcpu *vcpu)
{
	const struct halo_code *c = vcpu->code;
	/* Not by index: a check of its bounds must not be where user access is open. */
	const struct halo_code_step *step, *end;
	u64 rip = vcpu->cpu.rip, at = rip - c->page, *bytes = (u64 *)vcpu->bytes, entry;
	bool done = false;

	if (unlikely(at > PAGE_SIZE - sizeof(vcpu->bytes))) {
		c = &vcpu->codes[(rip >> PAGE_SHIFT) % HALO_CODE_PAGES];
		at = rip - c->page;
		if (at > PAGE_SIZE - sizeof(vcpu->bytes))
			return false;
		vcpu->code = c;
	}
	if (vcpu->cpu.arch.cr3 != c->cr3 || !vcpu->cpu.arch.code64 ||
	    READ_ONCE(vcpu->vm->mem.seq) != c->seq)
		return false;
	step = c->step;
	end = c->end;
	/* With preemption off that is so anyway, where the kernel counts it. */
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		pagefault_disable();
	/* Addresses that access_ok() was asked about when they were noted. */
	__uaccess_begin();
	do {
		unsafe_get_user(entry, step->pte, fault);
		if (unlikely(entry != step->entry))
			goto fault;
	} while (++step < end);
	unsafe_get_user(bytes[0], (const u64 __user *)(c->at + at), fault);
	unsafe_get_user(bytes[1], (const u64 __user *)(c->at + at) + 1, fault);
	done = true;
fault:
	__uaccess_end();
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		pagefault_enable();
	return done;
}

/*
 * halo_fetch() by a walk.  The guest has just fetched them itself, so accessed bits are
 * set and rights were checked; a walk that fails now lost a race with another vCPU.
 */
static noinline int halo_fetch_walk(struct halo_vcpu *vcpu)
{
	struct halo_walk_result res;
	struct halo_mem *mem = &vcpu->vm->mem;
	unsigned int want = HALO_INSN_MAX, first;
	u64 rip = vcpu->cpu.rip;
	unsigned long seq;
	int err;

	if (!halo_mode64(vcpu))
		rip = (u32)(rip + halo_arch_get(vcpu, ARCH_SEGS)->seg[SEG_CS].base);

	/* Pairs with the order of a slot's change: first the slot, then this. */
	seq = smp_load_acquire(&mem->seq);
	err = halo_gva_walk(vcpu, rip, HALO_WALK_FETCH, &res);
	if (err)
		return halo_walk_failed(vcpu, rip, err, &res);
	halo_code_note(vcpu, rip, &res, seq);
	first = min_t(unsigned int, want, PAGE_SIZE - (rip & ~PAGE_MASK));
	if (halo_mem_read(mem, res.gpa, vcpu->bytes, first)) {
		/* Code in a device or nowhere: nothing to decode. */
		halo_gp(vcpu);
		return -EFAULT;
	}
	vcpu->bytes_len = first;
	if (first < want && !halo_gva_walk(vcpu, rip + first, HALO_WALK_FETCH, &res) &&
	    !halo_mem_read(mem, res.gpa, vcpu->bytes + first, want - first))
		vcpu->bytes_len = want;
	return vcpu->bytes_len;
}

/*
 * The instruction bytes at RIP into vcpu->bytes: how many, at least 1; -EFAULT with
 * the #PF queued; -EAGAIN if that can't be done during a stay.
 */
static int halo_fetch(struct halo_vcpu *vcpu)
{
	const struct halo_hwexit *x = &vcpu->cpu.exit;

	if (vcpu->bytes_len)
		return vcpu->bytes_len;
	if (x->insn_avail) {
		memcpy(vcpu->bytes, x->insn, x->insn_avail);
		vcpu->bytes_len = x->insn_avail;
	} else if (vcpu->staying) {
		if (!halo_mode64(vcpu) || !halo_code_read(vcpu))
			return -EAGAIN;
		vcpu->bytes_len = HALO_INSN_MAX;
	} else if (halo_mode64(vcpu)) {
		preempt_disable();
		if (halo_code_read(vcpu))
			vcpu->bytes_len = HALO_INSN_MAX;
		preempt_enable();
	}
	vcpu->count.decoded++;
	return vcpu->bytes_len ?: halo_fetch_walk(vcpu);
}

/**
 * halo_decode() - decode the instruction at RIP
 * @vcpu: the vCPU
 * @insn: the result
 *
 * Return: its length; -EFAULT with an exception queued; -EINVAL if there is no
 * such instruction; -EAGAIN if that can't be told during a stay.
 */
int halo_decode(struct halo_vcpu *vcpu, struct halo_insn *insn)
{
	int n = halo_fetch(vcpu);

	if (n < 0)
		return n;
	n = halo_insn_decode(insn, vcpu->bytes, n, halo_code_mode(vcpu));
	return n > 0 ? n : -EINVAL;
}

/**
 * halo_decode_mmio() - decode the instruction at RIP into vcpu->pending
 * @vcpu: the vCPU
 *
 * A driver comes back to the same few places: if the bytes are the last ones', so is the
 * instruction.
 *
 * Return: as halo_decode().
 */
int halo_decode_mmio(struct halo_vcpu *vcpu)
{
	struct halo_pending *p = &vcpu->pending;
	const u64 *now = (const u64 *)vcpu->bytes;
	enum halo_insn_mode mode;
	int n = halo_fetch(vcpu);

	if (n < 0)
		return n;
	mode = halo_code_mode(vcpu);
	if (n == HALO_INSN_MAX && p->insn.len && p->insn.mode == mode &&
	    now[0] == p->bytes[0] && (now[1] ^ p->bytes[1]) << 8 == 0)
		return p->insn.len;
	p->bytes[0] = now[0];
	p->bytes[1] = now[1];
	n = halo_insn_decode(&p->insn, vcpu->bytes, n, mode);
	if (n > 0)
		return n;
	p->insn.len = 0;
	return -EINVAL;
}

/**
 * halo_insn_length() - length of the intercepted instruction
 * @vcpu: the vCPU
 * @kind: what it must be
 *
 * Return: the length; -EFAULT with an exception queued; -EAGAIN if another
 * instruction stands there by now: run the guest again.
 */
int halo_insn_length(struct halo_vcpu *vcpu, enum halo_insn_kind kind)
{
	struct halo_insn insn;
	int n;

	if (vcpu->cpu.exit.insn_len)
		return vcpu->cpu.exit.insn_len;
	n = halo_fetch(vcpu);
	if (n < 0)
		return n;
	n = halo_insn_plain_len(vcpu->bytes, n, kind);
	if (likely(n))
		return n;
	n = halo_decode(vcpu, &insn);
	if (n == -EFAULT)
		return n;
	return n > 0 && insn.kind == kind ? n : -EAGAIN;
}
