// SPDX-License-Identifier: GPL-2.0
/*
 * The bench's client of KVM: the LAPIC in the kernel, the rest of the interrupt
 * controllers nowhere, which is Halo's cut.
 */
#include <linux/kvm.h>
#include "side.h"

#define RUN_BYTES	(3 * PAGE)
#define COALESCED	(2 * PAGE)	/* where that ring is in the mapping */
#define ADVANCE		"/sys/module/kvm/parameters/lapic_timer_advance_ns"

static int dev;
static struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 e[128]; } table;

static int do_ioctl(int fd, unsigned long cmd, void *arg, const char *what)
{
	int r = ioctl(fd, cmd, arg);

	if (r < 0)
		ktap_fail(__FILE__, __LINE__, "%s: %s", what, strerror(errno));
	return r;
}

#define DO(fd, cmd, arg) do_ioctl(fd, cmd, (void *)(arg), #cmd)

static void kvm_open(void)
{
	u32 i;

	dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		ktap_fail(__FILE__, __LINE__, "/dev/kvm: %s", strerror(errno));
	table.head.nent = ARRAY_SIZE(table.e);
	DO(dev, KVM_GET_SUPPORTED_CPUID, &table);
	for (i = 0; i < table.head.nent; i++) {
		if (table.e[i].function == 1)
			table.e[i].ecx |= BIT(24) | BIT(21);	/* TSC deadline, x2APIC */
	}
}

static void slot(int vm, u32 nr, u64 gpa, u64 bytes, const void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = nr, .guest_phys_addr = gpa, .memory_size = bytes, .userspace_addr = (u64)hva,
	};

	DO(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void set_mode(int cpu, const void *rip, u64 rsp, u64 arg)
{
	struct kvm_regs r = { .rip = (u64)rip, .rsp = rsp, .rdi = arg, .rflags = 2 };
	struct kvm_segment data = {
		.selector = SEL_DATA, .limit = 0xffffffff, .type = 3, .s = 1, .present = 1,
		.db = 1, .g = 1,
	};
	struct kvm_sregs s;

	DO(cpu, KVM_GET_SREGS, &s);
	s.ds = data;
	s.es = data;
	s.fs = data;
	s.gs = data;
	s.ss = data;
	s.cs = data;
	s.cs.selector = SEL_CODE64;
	s.cs.type = 11;
	s.cs.db = 0;
	s.cs.l = 1;
	s.tr = (struct kvm_segment){
		.selector = SEL_TSS, .base = TSS_BASE, .limit = 0x67, .type = 11, .present = 1,
	};
	s.gdt = (struct kvm_dtable){ .base = GDT_BASE, .limit = 0x7f };
	s.idt = (struct kvm_dtable){ .base = IDT64_BASE, .limit = 0xfff };
	s.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr3 = PML4_BASE;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
	DO(cpu, KVM_SET_SREGS, &s);
	DO(cpu, KVM_SET_REGS, &r);
}

static void kvm_make(struct box *b, const void *rip, u64 rsp, u64 arg)
{
	struct kvm_enable_cap chip = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_enable_cap msrs = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_UNKNOWN },
	};
	u64 image = (u64)__executable_start & ~(PAGE - 1);
	u64 end = ((u64)_end + PAGE - 1) & ~(PAGE - 1);

	b->fd = DO(dev, KVM_CREATE_VM, 0);
	DO(b->fd, KVM_ENABLE_CAP, &chip);
	DO(b->fd, KVM_ENABLE_CAP, &msrs);
	slot(b->fd, 0, 0, LOW_BYTES, b->low);
	slot(b->fd, 1, image, end - image, (void *)image);
	if (b->ram)
		slot(b->fd, 2, RAM_BASE, b->ram_bytes, b->ram);
	b->cpu = DO(b->fd, KVM_CREATE_VCPU, 0);
	b->own = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->cpu, 0);
	CHECK(b->own != MAP_FAILED);
	DO(b->cpu, KVM_SET_CPUID2, &table);
	set_mode(b->cpu, rip, rsp, arg);
}

static void drain(struct box *b)
{
	volatile struct kvm_coalesced_mmio_ring *c = b->own + COALESCED;
	const u32 most = (PAGE - sizeof(*c)) / sizeof(c->coalesced_mmio[0]);
	u32 at = c->first, last = __atomic_load_n(&c->last, __ATOMIC_ACQUIRE);

	for (; at != last; at = (at + 1) % most) {
		b->at = c->coalesced_mmio[at].phys_addr;
		b->data = *(volatile u64 *)c->coalesced_mmio[at].data;
	}
	__atomic_store_n(&c->first, at, __ATOMIC_RELEASE);
}

static void kvm_go(struct box *b)
{
	struct kvm_run *r = b->own;

	if (ioctl(b->cpu, KVM_RUN, 0))
		ktap_fail(__FILE__, __LINE__, "KVM_RUN: %s", strerror(errno));
	if (b->ring)
		drain(b);
	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		b->why = STOP_PIO;
		b->at = r->io.port;
		break;
	case KVM_EXIT_MMIO:
		b->why = STOP_MMIO;
		b->at = r->mmio.phys_addr;
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		b->why = STOP_MSR;
		b->at = r->msr.index;
		r->msr.error = 0;
		r->msr.data = 0;
		break;
	case KVM_EXIT_FAIL_ENTRY:
		ktap_fail(__FILE__, __LINE__, "KVM_RUN: no entry: %llu",
			  (unsigned long long)r->fail_entry.hardware_entry_failure_reason);
	default:
		b->why = STOP_OTHER;
		b->at = r->exit_reason;
	}
}

static void kvm_zone(struct box *b, int what, u64 addr, u32 size, int eventfd)
{
	struct kvm_coalesced_mmio_zone c = { .addr = addr, .size = 8, .pio = what == POSTED_PIO };
	struct kvm_ioeventfd e = {
		.addr = addr, .len = size, .fd = eventfd,
		.flags = what == DOORBELL_PIO ? KVM_IOEVENTFD_FLAG_PIO : 0,
	};

	if (what == POSTED_PIO || what == POSTED_MMIO)
		DO(b->fd, KVM_REGISTER_COALESCED_MMIO, &c);
	else
		DO(b->fd, KVM_IOEVENTFD, &e);
}

static void kvm_early_timer(bool on)
{
	int fd = open(ADVANCE, O_WRONLY);

	if (fd < 0 || write(fd, on ? "-1" : "0", on ? 2 : 1) < 0)
		ktap_fail(__FILE__, __LINE__, ADVANCE ": %s", strerror(errno));
	close(fd);
}

static void kvm_msi(struct box *b, u8 vector)
{
	struct kvm_msi m = { .address_lo = LAPIC, .data = vector };

	DO(b->fd, KVM_SIGNAL_MSI, &m);
}

static void kvm_free(struct box *b)
{
	munmap(b->own, RUN_BYTES);
	close(b->cpu);
	close(b->fd);
}

const struct side side_kvm = {
	.name = "kvm", .open = kvm_open, .make = kvm_make, .go = kvm_go, .zone = kvm_zone,
	.msi = kvm_msi, .early_timer = kvm_early_timer, .free = kvm_free,
};
