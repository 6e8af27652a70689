// SPDX-License-Identifier: GPL-2.0
/* sources: module/insn.c module/insn_mmio.c */
/*
 * Any bytes into the decoder, in every mode, and any vCPU under what comes out.
 *
 * Input: up to 15 bytes of code, then the choices that the vCPU's memory makes. What
 * must hold: no byte past the end is read; a cut-off instruction asks for more and
 * nothing else; bytes behind it do not matter; registers and flags stand still until
 * an instruction or an element is complete; at most three accesses each.
 */
#include <stdlib.h>

#include "insn.h"

#define NEED(x)	do { if (!(x)) __builtin_trap(); } while (0)

struct vcpu {
	const u8 *data;
	size_t size, used;
	struct halo_insn_regs regs, before;
	u8 mode;
	unsigned int accesses;
};

static u8 next(struct vcpu *v)
{
	return v->used < v->size ? v->data[v->used++] : v->used++ * 37;
}

static u64 next64(struct vcpu *v)
{
	u64 val = 0;
	int i;

	for (i = 0; i < 8; i++)
		val = val << 8 | next(v);
	return val;
}

static unsigned int op_stack_size(void *ctx)
{
	struct vcpu *v = ctx;

	return v->mode >= HALO_INSN_MODE_64 ? 8 : v->regs.rip & 1 ? 4 : 2;
}

static bool wrote(const struct vcpu *v)
{
	return memcmp(&v->regs, &v->before, sizeof(v->regs));
}

static int access_memory(struct vcpu *v, const struct halo_insn_mem *mem)
{
	u8 choice = next(v);

	NEED(mem->size == 1 || mem->size == 2 || mem->size == 4 || mem->size == 8);
	NEED(mem->seg < 6);
	NEED(v->mode >= HALO_INSN_MODE_64 || mem->offset <= 0xffffffff);
	NEED(!wrote(v));
	NEED(++v->accesses <= 3);
	return choice < 0x20 ? -EFAULT : choice < 0xa0 ? HALO_INSN_DEVICE : 0;
}

static int op_mem_read(void *ctx, const struct halo_insn_mem *mem, u64 *val)
{
	struct vcpu *v = ctx;
	int ret = access_memory(v, mem);

	NEED(!mem->write);
	if (!ret)
		*val = next64(v) >> (64 - mem->size * 8);
	return ret;
}

static int op_mem_write(void *ctx, const struct halo_insn_mem *mem, u64 val)
{
	NEED(mem->write && !mem->rmw);
	NEED(mem->size == 8 || !(val >> mem->size * 8));
	return access_memory(ctx, mem);
}

static const struct halo_insn_ops ops = {
	.stack_size = op_stack_size,
	.mem_read = op_mem_read,
	.mem_write = op_mem_write,
};

static void execute(const struct halo_insn *insn, const u8 *data, size_t size)
{
	struct vcpu v = { .data = data, .size = size, .mode = insn->mode };
	struct halo_insn_mmio m;
	struct halo_insn_mem mem;
	int i, element, ret;

	for (i = 0; i < 16; i++)
		v.regs.gpr[i] = next64(&v);
	v.regs.rip = next64(&v);
	v.regs.rflags = 2 | (next64(&v) & 0xcd5);
	halo_insn_ea(insn, &v.regs, &mem);

	for (element = 0; element < 3; element++) {
		v.before = v.regs;
		v.accesses = 0;
		ret = halo_insn_mmio_begin(&m, insn, &v.regs, &ops, &v);
		while (ret == HALO_INSN_ACCESS) {
			NEED(!wrote(&v));
			NEED(!m.mem.write || m.mem.size == 8 || !(m.value >> m.mem.size * 8));
			ret = halo_insn_mmio_finish(&m, next64(&v));
		}
		NEED(ret >= 0 || !wrote(&v));
		NEED(v.regs.rip == v.before.rip);
		NEED(!((v.regs.rflags ^ v.before.rflags) & ~0x8d5ull));
		NEED(ret != HALO_INSN_AGAIN ||
		     insn->flags & (HALO_INSN_F_REP | HALO_INSN_F_REPNE));
		NEED(halo_insn_mmio_finish(&m, 0) == -EINVAL);
		if (ret != HALO_INSN_AGAIN)
			break;
	}
}

/* A copy that ends where it ends, so that the sanitizer sees one byte too many. */
static int decode(struct halo_insn *insn, const u8 *bytes, size_t n, int mode)
{
	u8 *exact = malloc(n ? n : 1);
	int ret;

	memcpy(exact, bytes, n);
	memset(insn, 0xa5, sizeof(*insn));
	ret = halo_insn_decode(insn, n ? exact : exact + 1, n, mode);
	free(exact);
	return ret;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	size_t n = size < HALO_INSN_MAX ? size : HALO_INSN_MAX, i;
	struct halo_insn insn, again;
	int mode, ret, part;

	for (mode = HALO_INSN_MODE_16; mode <= HALO_INSN_MODE_64_INTEL; mode++) {
		ret = decode(&insn, data, n, mode);
		NEED(ret == -ENODATA || ret == -EINVAL || ret == -EOPNOTSUPP || (ret > 0 && ret <= (int)n));
		NEED(ret != -ENODATA || n < HALO_INSN_MAX);
		for (i = 0; i < n; i++) {
			part = decode(&again, data, i, mode);
			if (part == -ENODATA)
				continue;
			NEED(part == ret);
			if (ret > 0)
				NEED((int)i >= ret);
		}
		if (ret < 0)
			continue;
		NEED(insn.len == ret && insn.kind < HALO_INSN_NR_KINDS && insn.seg < 6);
		NEED(decode(&again, data, ret, mode) == ret);
		NEED(!memcmp(&insn, &again, sizeof(insn)));
		execute(&insn, data + n, size - n);
	}
	return 0;
}
