// SPDX-License-Identifier: GPL-2.0
/*
 * The same small launcher on KVM: halo-kvm is the tool's own objects, linked with
 * this file in place of the system calls that reach /dev/halo. So a comparison of
 * the two compares hypervisors, not launchers.
 *
 * It plays the module: the ioctls of uapi/linux/halo.h in terms of KVM's, the
 * STATE area and the rings in plain memory. KVM gets a split irqchip (LAPIC in the
 * kernel, the rest in userspace), which is Halo's own cut. Only what "halo run"
 * uses is here; constant zones are answered in this file, without the launcher.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/halo.h>

#define ENTRIES		8u
#define MAX_VCPUS	64
#define MAX_ZONES	64
#define PINS		24
#define AREA		0x10000

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long req, ...);
int __wrap_ioctl(int fd, unsigned long req, ...);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off);

struct rings {
	struct halo_ring head;
	union {
		struct halo_exit exit[ENTRIES];
		struct halo_reply reply[ENTRIES];
	};
};

struct vcpu {
	int fd;
	struct kvm_run *run;
	struct halo_state *state;
	struct rings *exits;
	struct rings *replies;
	unsigned char *data;
	unsigned long long seq;
	unsigned int waiting;	/* type of the SYNC exit in flight, 0 = none */
	volatile int lint0;
	volatile int stop;
	pthread_t thread;
	volatile int running;
	struct halo_vcpu_stats stats;
};

static struct {
	int dev, vm;
	struct vcpu vcpu[MAX_VCPUS];
	unsigned int n;
	struct halo_zone zone[MAX_ZONES];
	unsigned int zones;
	pthread_mutex_t lock;
	struct kvm_irq_routing routing;
	struct kvm_irq_routing_entry route[PINS];
} k = { .dev = -1, .vm = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

static struct vcpu *vcpu_of(int fd)
{
	unsigned int i;

	for (i = 0; i < k.n; i++) {
		if (k.vcpu[i].fd == fd)
			return &k.vcpu[i];
	}
	return NULL;
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (strcmp(path, "/dev/halo"))
		return __real_open(path, flags, mode);
	k.dev = __real_open("/dev/kvm", flags);
	return k.dev;
}

static int create_vm(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { PINS } };

	k.vm = __real_ioctl(k.dev, KVM_CREATE_VM, 0);
	if (k.vm < 0)
		return -1;
	__real_ioctl(k.vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	return __real_ioctl(k.vm, KVM_ENABLE_CAP, &cap) ? -1 : k.vm;
}

static int set_memslot(const struct halo_memslot *s)
{
	struct kvm_userspace_memory_region r = {
		.slot = s->slot, .guest_phys_addr = s->gpa, .memory_size = s->bytes,
		.userspace_addr = s->hva,
	};

	return __real_ioctl(k.vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static int create_vcpu(unsigned int id)
{
	struct vcpu *v = &k.vcpu[k.n];
	int bytes = __real_ioctl(k.dev, KVM_GET_VCPU_MMAP_SIZE, 0);

	v->fd = __real_ioctl(k.vm, KVM_CREATE_VCPU, (unsigned long)id);
	if (v->fd < 0 || bytes < 0)
		return -1;
	v->run = __real_mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	v->state = calloc(1, sizeof(*v->state));
	v->exits = calloc(1, sizeof(*v->exits));
	v->replies = calloc(1, sizeof(*v->replies));
	v->data = calloc(1, AREA);
	v->exits->head.entries = ENTRIES;
	v->replies->head.entries = ENTRIES;
	v->exits->head.entries_offset = sizeof(struct halo_ring);
	v->replies->head.entries_offset = sizeof(struct halo_ring);
	k.n++;
	return v->fd;
}

/* Offsets of the areas are made up: one area per 64 KiB. */
static int get_layout(struct halo_vcpu_layout *l)
{
	l->ring_entries = ENTRIES;
	l->state_offset = 0;
	l->state_bytes = sizeof(struct halo_state);
	l->exits_offset = AREA;
	l->exits_bytes = sizeof(struct rings);
	l->replies_offset = 2 * AREA;
	l->replies_bytes = sizeof(struct rings);
	l->data_offset = 3 * AREA;
	l->data_bytes = AREA;
	return 0;
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	struct vcpu *v = fd >= 0 ? vcpu_of(fd) : NULL;

	if (!v)
		return __real_mmap(at, len, prot, flags, fd, off);
	switch (off / AREA) {
	case 0:
		return v->state;
	case 1:
		return v->exits;
	case 2:
		return v->replies;
	default:
		return v->data;
	}
}

static int supported_cpuid(struct halo_cpuid *t)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + HALO_MAX_CPUID * sizeof(c->entries[0]));
	struct halo_cpuid_entry *e = (void *)(unsigned long)t->entries;
	unsigned int i;

	c->nent = HALO_MAX_CPUID;
	if (__real_ioctl(k.dev, KVM_GET_SUPPORTED_CPUID, c)) {
		free(c);
		return -1;
	}
	for (i = 0; i < c->nent && i < t->count; i++) {
		const struct kvm_cpuid_entry2 *s = &c->entries[i];

		e[i] = (struct halo_cpuid_entry){
			.leaf = s->function, .subleaf = s->index,
			.flags = s->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? HALO_CPUID_SUBLEAF : 0,
			.eax = s->eax, .ebx = s->ebx, .ecx = s->ecx, .edx = s->edx,
		};
		if (e[i].leaf == 1)
			e[i].ecx |= 1u << 24 | 1u << 21;	/* TSC deadline, x2APIC */
	}
	t->count = i;
	free(c);
	return 0;
}

static int set_cpuid(struct vcpu *v, const struct halo_cpuid *t)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + t->count * sizeof(c->entries[0]));
	const struct halo_cpuid_entry *e = (void *)(unsigned long)t->entries;
	unsigned int i;
	int r;

	c->nent = t->count;
	for (i = 0; i < t->count; i++)
		c->entries[i] = (struct kvm_cpuid_entry2){
			.function = e[i].leaf, .index = e[i].subleaf,
			.flags = e[i].flags & HALO_CPUID_SUBLEAF ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = e[i].eax, .ebx = e[i].ebx, .ecx = e[i].ecx, .edx = e[i].edx,
		};
	r = __real_ioctl(v->fd, KVM_SET_CPUID2, c);
	free(c);
	return r;
}

/* KVM tells of the EOI of a level-triggered vector only if a route names it. */
static void route_level(unsigned long long addr, unsigned int data)
{
	struct { struct kvm_irq_routing head; struct kvm_irq_routing_entry e[PINS]; } table;
	unsigned int i;

	for (i = 0; i < k.routing.nr; i++) {
		if (k.route[i].u.msi.data == data && k.route[i].u.msi.address_lo == (unsigned int)addr)
			return;
		if ((k.route[i].u.msi.data & 0xff) == (data & 0xff))
			break;
	}
	if (i == PINS)
		return;
	k.route[i] = (struct kvm_irq_routing_entry){
		.gsi = i, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (unsigned int)addr, .data = data },
	};
	if (i == k.routing.nr)
		k.routing.nr++;
	table.head = k.routing;
	memcpy(table.e, k.route, sizeof(k.route));
	__real_ioctl(k.vm, KVM_SET_GSI_ROUTING, &table);
}

static int send_msi(const struct halo_msi *m)
{
	struct kvm_msi msi = { .address_lo = (unsigned int)m->addr, .data = m->data };

	pthread_mutex_lock(&k.lock);
	if (m->data & 1 << 15)
		route_level(m->addr, m->data);
	pthread_mutex_unlock(&k.lock);
	return __real_ioctl(k.vm, KVM_SIGNAL_MSI, &msi);
}

static int set_line(struct vcpu *v, const struct halo_line *l)
{
	if (l->pin != HALO_PIN_LINT0)
		return 0;
	v->lint0 = l->level;
	if (l->level && v->running && !pthread_equal(v->thread, pthread_self()))
		pthread_kill(v->thread, SIGRTMIN + 1);
	return 0;
}

static void get_seg(struct kvm_segment *to, const struct halo_segment *s)
{
	*to = (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->attrib & 15, .s = s->attrib >> 4 & 1, .dpl = s->attrib >> 5 & 3,
		.present = s->attrib >> 7 & 1, .l = s->attrib >> 9 & 1, .db = s->attrib >> 10 & 1,
		.g = s->attrib >> 11 & 1, .unusable = s->attrib >> 12 & 1,
	};
}

static int commit_state(struct vcpu *v)
{
	const struct halo_state *s = v->state;
	struct kvm_sregs sr;
	struct kvm_regs r = { .rip = s->rip, .rflags = s->rflags, .rax = s->gpr[HALO_RAX],
			      .rbx = s->gpr[HALO_RBX], .rsi = s->gpr[HALO_RSI] };

	if (__real_ioctl(v->fd, KVM_GET_SREGS, &sr))
		return -1;
	get_seg(&sr.es, &s->seg[HALO_SEG_ES]);
	get_seg(&sr.cs, &s->seg[HALO_SEG_CS]);
	get_seg(&sr.ss, &s->seg[HALO_SEG_SS]);
	get_seg(&sr.ds, &s->seg[HALO_SEG_DS]);
	get_seg(&sr.fs, &s->seg[HALO_SEG_FS]);
	get_seg(&sr.gs, &s->seg[HALO_SEG_GS]);
	get_seg(&sr.tr, &s->seg[HALO_SEG_TR]);
	get_seg(&sr.ldt, &s->seg[HALO_SEG_LDTR]);
	sr.gdt = (struct kvm_dtable){ .base = s->gdt.base, .limit = s->gdt.limit };
	sr.idt = (struct kvm_dtable){ .base = s->idt.base, .limit = s->idt.limit };
	sr.cr0 = s->cr0;
	sr.cr3 = s->cr3;
	sr.cr4 = s->cr4;
	sr.efer = s->efer;
	v->state->commit = 0;
	return __real_ioctl(v->fd, KVM_SET_SREGS, &sr) || __real_ioctl(v->fd, KVM_SET_REGS, &r) ? -1 : 0;
}

static int push(struct vcpu *v, struct halo_exit *x)
{
	x->seq = ++v->seq;
	x->flags |= HALO_EXIT_F_SYNC;
	v->waiting = x->type;
	v->exits->exit[v->exits->head.tail % ENTRIES] = *x;
	__atomic_add_fetch(&v->exits->head.tail, 1, __ATOMIC_RELEASE);
	v->stats.user_exits++;
	return 0;
}

static int take_reply(struct vcpu *v)
{
	const struct halo_reply *r;
	struct kvm_run *run = v->run;
	unsigned char *io = (unsigned char *)run + run->io.data_offset;

	if (!v->waiting)
		return 0;
	r = &v->replies->reply[v->exits->head.head % ENTRIES];
	if (__atomic_load_n(&v->replies->head.tail, __ATOMIC_ACQUIRE) == v->exits->head.head)
		return -EPROTO;
	v->exits->head.head++;
	if (v->waiting == HALO_EXIT_PIO && run->io.direction == KVM_EXIT_IO_IN) {
		if (run->io.count > 1)
			memcpy(io, v->data, run->io.size * run->io.count);
		else
			memcpy(io, &r->data, run->io.size);
	} else if (v->waiting == HALO_EXIT_MMIO && !run->mmio.is_write) {
		memcpy(run->mmio.data, &r->data, run->mmio.len);
	} else if (v->waiting == HALO_EXIT_INTACK) {
		struct kvm_interrupt irq = { .irq = (unsigned int)r->data };

		__real_ioctl(v->fd, KVM_INTERRUPT, &irq);
	}
	v->waiting = 0;
	return 0;
}

static int in_const_zone(unsigned int port, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < k.zones; i++) {
		const struct halo_zone *z = &k.zone[i];

		if (z->bus == HALO_BUS_PIO && port >= z->addr && port + size <= z->addr + z->len &&
		    (!z->access || z->access & size))
			return 1;
	}
	return 0;
}

/* Returns 1 if the launcher must hear of it, 0 to run on. */
static int pio_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	unsigned char *io = (unsigned char *)run + run->io.data_offset;
	struct halo_exit x = { .type = HALO_EXIT_PIO, .addr = run->io.port, .size = run->io.size };
	int write = run->io.direction == KVM_EXIT_IO_OUT;

	v->stats.pio++;
	if (in_const_zone(run->io.port, run->io.size)) {
		if (!write)
			memset(io, 0xff, run->io.size * run->io.count);
		return 0;
	}
	if (write)
		x.flags |= HALO_EXIT_F_WRITE;
	if (run->io.count > 1) {
		x.flags |= HALO_EXIT_F_STRING;
		x.data = run->io.count;
		if (write)
			memcpy(v->data, io, run->io.size * run->io.count);
	} else if (write) {
		memcpy(&x.data, io, run->io.size);
	}
	push(v, &x);
	return 1;
}

static int one_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	struct halo_exit x = { 0 };

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return pio_exit(v);
	case KVM_EXIT_MMIO:
		v->stats.mmio++;
		x.type = HALO_EXIT_MMIO;
		x.addr = run->mmio.phys_addr;
		x.size = (unsigned char)run->mmio.len;
		if (run->mmio.is_write) {
			x.flags = HALO_EXIT_F_WRITE;
			memcpy(&x.data, run->mmio.data, run->mmio.len);
		}
		break;
	case KVM_EXIT_IOAPIC_EOI:
		x.type = HALO_EXIT_EOI;
		x.data = run->eoi.vector;
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_INTR:
		return 0;
	case KVM_EXIT_HLT:
		x.type = HALO_EXIT_HLT;
		break;
	case KVM_EXIT_SHUTDOWN:
		x.type = HALO_EXIT_SHUTDOWN;
		break;
	default:
		x.type = HALO_EXIT_FAIL;
		x.data = HALO_FAIL_UNKNOWN_EXIT;
		x.addr = run->exit_reason;
		if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
			x.rip = run->internal.suberror;
	}
	push(v, &x);
	return 1;
}

static int run_vcpu(struct vcpu *v)
{
	struct halo_exit ack = { .type = HALO_EXIT_INTACK };
	int r = take_reply(v);

	v->thread = pthread_self();
	v->running = 1;
	if (!r && v->state->commit && commit_state(v))
		r = -EINVAL;
	while (!r) {
		v->run->request_interrupt_window = v->lint0;
		if (v->lint0 && v->run->ready_for_interrupt_injection && v->run->if_flag) {
			push(v, &ack);
			return 0;
		}
		if (v->stop)
			r = -EINTR;
		else if (__real_ioctl(v->fd, KVM_RUN, 0) < 0)
			r = -errno;
		else if (one_exit(v))
			return 0;
		if (r == -EINTR && v->lint0 && !v->stop)
			r = 0;
	}
	errno = -r;
	return -1;
}

/* KVM's own counters where it has the same one; it knows them by name only. */
static void kvm_counts(struct vcpu *v)
{
	const struct { const char *name; __u64 *to; } want[] = {
		{ "exits", &v->stats.exits }, { "halt_exits", &v->stats.hlt },
		{ "irq_exits", &v->stats.intr }, { "irq_injections", &v->stats.injected },
		{ "insn_emulation", &v->stats.decoded }, { "pf_fixed", &v->stats.faults },
	};
	int fd = __real_ioctl(v->fd, KVM_GET_STATS_FD, NULL);
	struct kvm_stats_header head;
	struct kvm_stats_desc *d;
	unsigned int i, j;
	char text[512];
	__u64 value;

	if (fd < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    sizeof(*d) + head.name_size > sizeof(text))
		return;
	for (i = 0; i < head.num_desc; i++) {
		size_t bytes = sizeof(*d) + head.name_size;

		d = (void *)text;
		if (pread(fd, text, bytes, (off_t)(head.desc_offset + i * bytes)) != (ssize_t)bytes ||
		    pread(fd, &value, sizeof(value), head.data_offset + d->offset) != sizeof(value))
			break;
		for (j = 0; j < sizeof(want) / sizeof(want[0]); j++)
			if (!strcmp(d->name, want[j].name))
				*want[j].to = value;
	}
	close(fd);
}

static int vcpu_ioctl(struct vcpu *v, unsigned long req, void *arg)
{
	switch (req) {
	case HALO_VCPU_GET_LAYOUT:
		return get_layout(arg);
	case HALO_VCPU_SET_CPUID:
		return set_cpuid(v, arg);
	case HALO_VCPU_RUN:
		return run_vcpu(v);
	case HALO_VCPU_GET_LAPIC:
	case HALO_VCPU_SET_LAPIC:
		/* KVM's LAPIC starts as firmware leaves it. */
		return 0;
	case HALO_VCPU_SET_LINE:
		return set_line(v, arg);
	case HALO_VCPU_KICK:
		v->stop = 1;
		return 0;
	case HALO_VCPU_GET_STATS:
		v->stats.size = sizeof(v->stats);
		kvm_counts(v);
		memcpy(arg, &v->stats, sizeof(v->stats));
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

int __wrap_ioctl(int fd, unsigned long req, ...)
{
	struct vcpu *v;
	va_list ap;
	void *arg;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (_IOC_TYPE(req) != HALO_IOC_MAGIC)
		return __real_ioctl(fd, req, arg);
	v = vcpu_of(fd);
	if (v)
		return vcpu_ioctl(v, req, arg);
	switch (req) {
	case HALO_GET_API_VERSION:
		return HALO_API_VERSION;
	case HALO_CREATE_VM:
		return create_vm();
	case HALO_GET_SUPPORTED_CPUID:
		return supported_cpuid(arg);
	case HALO_VM_SET_MEMSLOT:
		return set_memslot(arg);
	case HALO_VM_CREATE_VCPU:
		return create_vcpu(((struct halo_create_vcpu *)arg)->id);
	case HALO_VM_MSI:
		return send_msi(arg);
	case HALO_VM_SET_ZONE:
		if (k.zones < MAX_ZONES)
			k.zone[k.zones++] = *(struct halo_zone *)arg;
		return 0;
	default:
		errno = EINVAL;
		return -1;
	}
}
