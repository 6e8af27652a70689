// SPDX-License-Identifier: GPL-2.0
/*
 * The host's side of hvm.h: file descriptors, memory, modes, and the ring.
 *
 * Everything fails the test on the spot when the module refuses what must work.
 */
#include "hvm.h"

extern const u8 __executable_start[], _end[], g_user_back[];

u8 g_stack[8][16384] __attribute__((aligned(4096)));
volatile u64 g_fixup;
volatile struct g_exc g_exc;
volatile u32 g_count[256];
void (*volatile g_handler[256])(struct g_frame *f);

void g_trap(struct g_frame *f);

/* Guest: every trap of the 64-bit IDT. */
__attribute__((used)) void g_trap(struct g_frame *f)
{
	u32 n = f->vector & 0xff;
	u64 cr2;

	g_count[n]++;
	if (g_handler[n]) {
		g_handler[n](f);
		return;
	}
	if (n == 0x80) {
		f->rip = (u64)g_user_back;
		f->cs = SEL_CODE64;
		f->ss = 0;
		f->rflags = 2;
		return;
	}
	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	g_exc.vector = n;
	g_exc.error = f->error;
	g_exc.rip = f->rip;
	g_exc.cr2 = cr2;
	if (!g_fixup || n == 2)
		for (;;)
			outb(PORT_DEAD, n);
	f->rip = g_fixup;
	f->rflags &= ~FL_AC;
	g_fixup = 0;
}

int dev_open(void)
{
	int fd = open("/dev/halo", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		ktap_fail(__FILE__, __LINE__, "/dev/halo: %s", strerror(errno));
	return fd;
}

int vm_fd_new(int dev)
{
	struct halo_create_vm arg = { .size = sizeof(arg) };

	return ioctl(dev, HALO_CREATE_VM, &arg);
}

int vcpu_fd_new(int vm, u32 id)
{
	struct halo_create_vcpu arg = { .size = sizeof(arg), .id = id };

	return ioctl(vm, HALO_VM_CREATE_VCPU, &arg);
}

int slot_set(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 bytes, const void *hva)
{
	struct halo_memslot m = {
		.size = sizeof(m), .slot = slot, .flags = flags, .gpa = gpa, .bytes = bytes,
		.hva = (u64)hva,
	};

	return ioctl(vm->fd, HALO_VM_SET_MEMSLOT, &m);
}

int zone_set(struct vm *vm, u32 op, u32 bus, u32 mode, u64 addr, u64 len, u64 cookie, u64 match)
{
	struct halo_zone z = {
		.size = sizeof(z), .op = op, .bus = bus, .mode = mode, .addr = addr, .len = len,
		.cookie = cookie, .match = match, .eventfd = -1,
	};

	return ioctl(vm->fd, HALO_VM_SET_ZONE, &z);
}

int msi(struct vm *vm, u64 addr, u32 data)
{
	struct halo_msi m = { .size = sizeof(m), .addr = addr, .data = data };

	return ioctl(vm->fd, HALO_VM_MSI, &m);
}

int line_set(struct vcpu *v, u32 pin, u32 level)
{
	struct halo_line l = { .size = sizeof(l), .pin = pin, .level = level };

	return ioctl(v->fd, HALO_VCPU_SET_LINE, &l);
}

struct vm *vm_bare(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->dev = dev_open();
	vm->fd = vm_fd_new(vm->dev);
	if (vm->fd < 0)
		ktap_fail(__FILE__, __LINE__, "HALO_CREATE_VM: %s", strerror(errno));
	return vm;
}

static u64 descriptor(u32 base, u32 limit, u16 attrib)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 |
	       (u64)(attrib & 0xff) << 40 | (u64)(limit >> 16 & 0xf) << 48 |
	       (u64)(attrib >> 8 & 0xf) << 52 | (u64)(base >> 24) << 56;
}

void vm_tables(struct vm *vm)
{
	static const u64 gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff,
				   0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff };
	u64 *entry = (u64 *)(vm->low + GDT_BASE), *pml4 = (u64 *)(vm->low + PML4_BASE);
	u8 *tss = vm->low + TSS_BASE;
	unsigned int i;

	memcpy(entry, gdt, sizeof(gdt));
	entry[SEL_TSS / 8] = descriptor(TSS_BASE, 0x67, 0x89);
	*(u64 *)(tss + 4) = (u64)&g_stack[7][sizeof(g_stack[7])];	/* RSP0 */
	*(u64 *)(tss + 0x24) = (u64)&g_stack[6][sizeof(g_stack[6])];	/* IST1 */
	*(u16 *)(tss + 0x66) = 0x68;

	for (i = 0; i < 256; i++) {
		u64 at = (u64)g_stubs + 16 * i, at32 = (u64)g_stubs32 + 16 * i;
		u64 *gate = (u64 *)(vm->low + IDT64_BASE) + 2 * i;
		u64 type = i == 3 || i == 4 || i == 0x80 ? 0xee00 : 0x8e00;

		gate[0] = (at & 0xffff) | SEL_CODE64 << 16 | type << 32 | (at >> 16 & 0xffff) << 48;
		gate[1] = at >> 32;
		((u64 *)(vm->low + IDT32_BASE))[i] = (at32 & 0xffff) | SEL_CODE32 << 16 |
						     type << 32 | (at32 >> 16) << 48;
	}

	/* 4 GiB one to one, by 2M pages, everything for everybody. */
	pml4[0] = (PML4_BASE + PAGE) | PTE_P | PTE_W | PTE_U;
	for (i = 0; i < 4; i++)
		pml4[512 + i] = (PML4_BASE + (2 + i) * PAGE) | PTE_P | PTE_W | PTE_U;
	for (i = 0; i < 2048; i++)
		pml4[1024 + i] = (u64)i << 21 | PTE_P | PTE_W | PTE_U | PTE_PS;
}

void map_page(struct vm *vm, u64 va, u64 pa, u64 flags)
{
	static u64 next = 0x30000;	/* page tables, up to LOW_FREE */
	u64 *pd = (u64 *)(vm->low + PML4_BASE + 2 * PAGE) + (va >> 21);
	u64 *pt;
	unsigned int i;

	if (*pd & PTE_PS) {
		pt = (u64 *)(vm->low + next);
		for (i = 0; i < 512; i++)
			pt[i] = (*pd & ~(PTE_PS | 0xfff)) + i * PAGE + (PTE_P | PTE_W | PTE_U);
		*pd = next | PTE_P | PTE_W | PTE_U;
		next += PAGE;
	}
	pt = (u64 *)(vm->low + (*pd & ~0xfffull));
	pt[va >> 12 & 511] = pa | flags;
}

struct vcpu *vcpu_new(struct vm *vm, u32 id)
{
	struct halo_create_vcpu arg = {
		.size = sizeof(arg), .id = id, .ring_entries = vm->ring_entries,
	};
	struct vcpu *v = calloc(1, sizeof(*v));
	struct halo_vcpu_layout *l = &v->layout;

	v->vm = vm;
	v->id = id;
	v->fd = ioctl(vm->fd, HALO_VM_CREATE_VCPU, &arg);
	if (v->fd < 0)
		ktap_fail(__FILE__, __LINE__, "HALO_VM_CREATE_VCPU: %s", strerror(errno));
	l->size = sizeof(*l);
	CHECK(!ioctl(v->fd, HALO_VCPU_GET_LAYOUT, l));
	v->s = mmap(NULL, l->state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		    l->state_offset);
	CHECK(v->s != MAP_FAILED);
	v->exits = mmap(NULL, l->exits_bytes, PROT_READ, MAP_SHARED, v->fd, l->exits_offset);
	CHECK(v->exits != MAP_FAILED);
	v->replies = mmap(NULL, l->replies_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
			  l->replies_offset);
	CHECK(v->replies != MAP_FAILED);
	v->data = mmap(NULL, l->data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		       l->data_offset);
	CHECK(v->data != MAP_FAILED);
	vm->cpu[vm->nr++] = v;
	return v;
}

u32 vm_tsc_khz;

struct vm *vm_new(void)
{
	struct halo_tsc_khz t = { .size = sizeof(t), .khz = vm_tsc_khz };
	u64 image = (u64)__executable_start & ~(PAGE - 1);
	u64 end = ((u64)_end + PAGE - 1) & ~(PAGE - 1);
	struct vm *vm = vm_bare();

	vm->low = mmap(NULL, LOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(vm->low != MAP_FAILED);
	vm_tables(vm);
	CHECK(!slot_set(vm, 0, 0, 0, LOW_BYTES, vm->low));
	CHECK(!slot_set(vm, 1, 0, image, end - image, (void *)image));
	if (t.khz)
		CHECK(!ioctl(vm->fd, HALO_VM_SET_TSC_KHZ, &t));
	vcpu_new(vm, 0);
	return vm;
}

void vm_free(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->nr; i++) {
		struct vcpu *v = vm->cpu[i];

		munmap(v->s, v->layout.state_bytes);
		munmap((void *)v->exits, v->layout.exits_bytes);
		munmap((void *)v->replies, v->layout.replies_bytes);
		munmap(v->data, v->layout.data_bytes);
		close(v->fd);
		free(v);
	}
	close(vm->fd);
	close(vm->dev);
	if (vm->low)
		munmap(vm->low, LOW_BYTES);
	free(vm);
}

void state_get(struct vcpu *v)
{
	v->s->wanted = HALO_STATE_ALL;
	if (ioctl(v->fd, HALO_VCPU_GET_STATE, 0))
		ktap_fail(__FILE__, __LINE__, "HALO_VCPU_GET_STATE: %s", strerror(errno));
}

void state_set(struct vcpu *v, u64 groups)
{
	v->s->commit = groups;
	if (ioctl(v->fd, HALO_VCPU_SET_STATE, 0))
		ktap_fail(__FILE__, __LINE__, "HALO_VCPU_SET_STATE: %s", strerror(errno));
	CHECK_EQ(v->s->commit, 0);
}

static void seg_set(struct halo_segment *s, u16 selector, u64 base, u32 limit, u16 attrib)
{
	s->selector = selector;
	s->base = base;
	s->limit = limit;
	s->attrib = attrib;
}

void mode_real(struct vcpu *v, u16 cs, u16 ip)
{
	struct halo_state *s = v->s;
	unsigned int i;

	state_get(v);
	for (i = HALO_SEG_ES; i <= HALO_SEG_GS; i++)
		seg_set(&s->seg[i], 0, 0, 0xffff, 0x93);
	seg_set(&s->seg[HALO_SEG_CS], cs, (u64)cs << 4, 0xffff, 0x9b);
	s->idt.base = 0;
	s->idt.limit = 0x3ff;
	s->cr0 = CR0_ET;
	s->cr4 = 0;
	s->efer = 0;
	s->rip = ip;
	s->rflags = 2;
	s->gpr[HALO_RSP] = 0x7000;
	state_set(v, HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS);
}

static void mode_protected(struct vcpu *v, u64 rip)
{
	struct halo_state *s = v->s;
	unsigned int i;

	state_get(v);
	for (i = HALO_SEG_ES; i <= HALO_SEG_GS; i++)
		seg_set(&s->seg[i], SEL_DATA, 0, 0xffffffff, 0xc93);
	seg_set(&s->seg[HALO_SEG_TR], SEL_TSS, TSS_BASE, 0x67, 0x8b);
	s->gdt.base = GDT_BASE;
	s->gdt.limit = 0x7f;
	s->rip = rip;
	s->rflags = 2;
	s->gpr[HALO_RSP] = (u64)&g_stack[v->id][sizeof(g_stack[0])] - 64;
}

void mode_flat32(struct vcpu *v, u32 eip)
{
	mode_protected(v, eip);
	seg_set(&v->s->seg[HALO_SEG_CS], SEL_CODE32, 0, 0xffffffff, 0xc9b);
	v->s->idt.base = IDT32_BASE;
	v->s->idt.limit = 0x7ff;
	v->s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	v->s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
	v->s->efer = 0;
	state_set(v, HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS);
}

void mode_long(struct vcpu *v, u64 rip)
{
	mode_protected(v, rip);
	seg_set(&v->s->seg[HALO_SEG_CS], SEL_CODE64, 0, 0xffffffff, 0xa9b);
	v->s->idt.base = IDT64_BASE;
	v->s->idt.limit = 0xfff;
	v->s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	v->s->cr3 = PML4_BASE;
	v->s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	v->s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
	state_set(v, HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS);
}

void low_code(struct vm *vm, const void *from, const void *to)
{
	memcpy(vm->low + LOW_CODE, from, (size_t)((const u8 *)to - (const u8 *)from));
}

int run(struct vcpu *v)
{
	return ioctl(v->fd, HALO_VCPU_RUN, 0) ? -errno : 0;
}

/* RUN is left for the thread's other work (rseq, signals) at any time. */
int settle(struct vcpu *v)
{
	int err;

	do
		err = run(v);
	while (err == -EINTR);
	return err;
}

u32 waiting(struct vcpu *v)
{
	return __atomic_load_n(&v->exits->tail, __ATOMIC_ACQUIRE) - v->replies->head;
}

struct halo_exit *take_next(struct vcpu *v)
{
	volatile struct halo_exit *at = (void *)((u8 *)v->exits + v->exits->entries_offset);

	CHECK(waiting(v));
	v->x = at[v->replies->head & (v->exits->entries - 1)];
	__atomic_store_n(&v->replies->head, v->replies->head + 1, __ATOMIC_RELEASE);
	return &v->x;
}

static void take_only(struct vcpu *v)
{
	CHECK_EQ(waiting(v), 1);
	take_next(v);
}

struct halo_exit *step(struct vcpu *v)
{
	int err = settle(v);

	if (err)
		ktap_fail(__FILE__, __LINE__, "HALO_VCPU_RUN: %s", strerror(-err));
	take_only(v);
	return &v->x;
}

void reply_raw(struct vcpu *v, const struct halo_reply *r)
{
	u8 *ring = (u8 *)v->replies + v->exits->entries_offset;
	u32 slot = v->replies->tail & (v->exits->entries - 1);

	memcpy(ring + slot * sizeof(*r), r, sizeof(*r));
	__atomic_store_n(&v->replies->tail, v->replies->tail + 1, __ATOMIC_RELEASE);
}

void answer(struct vcpu *v, u64 data)
{
	const struct halo_reply r = { .seq = v->x.seq, .data = data };

	reply_raw(v, &r);
}

void answer_as(struct vcpu *v, u8 action, u8 vector, int error)
{
	const struct halo_reply r = {
		.seq = v->x.seq, .action = action, .vector = vector,
		.has_error = error >= 0, .error_code = error >= 0 ? error : 0,
	};

	reply_raw(v, &r);
}

void guest_begin(struct vcpu *v, const void *fn, u64 arg)
{
	u64 *top = (u64 *)&g_stack[v->id][sizeof(g_stack[0]) - 64];

	*--top = (u64)g_exit;
	mode_long(v, (u64)fn);
	v->s->gpr[HALO_RSP] = (u64)top;
	v->s->gpr[HALO_RDI] = arg;
	state_set(v, HALO_STATE_GPRS);
}

static void surprise(struct vcpu *v, const char *wanted)
{
	struct halo_exit *x = &v->x;

	state_get(v);
	if (x->type == HALO_EXIT_PIO && x->addr == PORT_DEAD)
		ktap_fail(__FILE__, __LINE__,
			  "guest: exception %llu error %#llx at %#llx cr2 %#llx, waiting for %s",
			  (unsigned long long)g_exc.vector, (unsigned long long)g_exc.error,
			  (unsigned long long)g_exc.rip, (unsigned long long)g_exc.cr2, wanted);
	ktap_fail(__FILE__, __LINE__,
		  "exit type %u flags %#x addr %#llx data %#llx size %u rip %#llx, waiting for %s",
		  x->type, x->flags, (unsigned long long)x->addr, (unsigned long long)x->data,
		  x->size, (unsigned long long)x->rip, wanted);
}

static void judge(struct vcpu *v, u16 type)
{
	char wanted[24];

	if (v->x.type != type || (type == HALO_EXIT_PIO && v->x.addr == PORT_DEAD)) {
		snprintf(wanted, sizeof(wanted), "exit type %u", type);
		surprise(v, wanted);
	}
}

void take_exit(struct vcpu *v, u16 type)
{
	take_only(v);
	judge(v, type);
}

struct halo_exit *guest_until(struct vcpu *v, u16 type)
{
	step(v);
	judge(v, type);
	return &v->x;
}

void guest_end(struct vcpu *v)
{
	step(v);
	if (v->x.type != HALO_EXIT_PIO || v->x.addr != PORT_DONE)
		surprise(v, "the function's return");
	/* RETRY: DONE would skip the OUT at a RIP that is another's by then. */
	answer_as(v, HALO_ACTION_RETRY, 0, -1);
}

void guest(struct vcpu *v, const void *fn, u64 arg)
{
	guest_begin(v, fn, arg);
	guest_end(v);
}
