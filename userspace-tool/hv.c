// SPDX-License-Identifier: GPL-2.0
/*
 * Talking to /dev/halo: every ioctl but RUN is here, and every refusal of the
 * module becomes the one line that a person can act on.
 *
 * Set-up is done by the main thread; hv_msi() and hv_line() may be called by any.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpuid_edit.h"
#include "gmem.h"
#include "hv.h"
#include "msg.h"

#define LAPIC_SVR	0x0f0
#define LAPIC_LVT_LINT0	0x350
#define LAPIC_LVT_LINT1	0x360

/**
 * hv_open() - open /dev/halo and check that it speaks this interface
 * @hv: gets the fd
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_open(struct hv *hv)
{
	int version;

	hv->vm = -1;
	hv->dev = open(HV_DEVICE, O_RDWR | O_CLOEXEC);
	if (hv->dev < 0) {
		switch (errno) {
		case ENOENT:
		case ENXIO:
		case ENODEV:
			return msg_fail(EC_DEVICE, HV_DEVICE, "load it with \"modprobe halo\" or \"insmod halo.ko\"",
					"missing: the module halo is not loaded");
		case EACCES:
		case EPERM:
			return msg_fail(EC_DEVICE, HV_DEVICE, "run as root or join the group that owns it",
					"no permission");
		default:
			return msg_fail(EC_DEVICE, HV_DEVICE, "see dmesg", "%s", strerror(errno));
		}
	}
	version = ioctl(hv->dev, HALO_GET_API_VERSION);
	if (version == HALO_API_VERSION)
		return 0;
	close(hv->dev);
	hv->dev = -1;
	if (version < 0)
		return msg_fail(EC_DEVICE, HV_DEVICE, "remove whatever else made this device",
				"not Halo's: %s", strerror(errno));
	return msg_fail(EC_DEVICE, HV_DEVICE, "install module and tool of the same release",
			"the module speaks interface %d, this tool %d", version, HALO_API_VERSION);
}

/**
 * hv_cap() - ask about a capability
 * @hv: an open device
 * @cap: which
 * @q: gets the answer
 *
 * Return: 0 or -1.
 */
int hv_cap(const struct hv *hv, u32 cap, struct halo_cap_query *q)
{
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	q->cap = cap;
	if (ioctl(hv->dev, HALO_GET_CAP, q) < 0)
		return -1;
	q->text[sizeof(q->text) - 1] = 0;
	return 0;
}

static int refused(const struct hv *hv, int err)
{
	struct halo_cap_query q;

	if (!hv_cap(hv, HALO_CAP_BACKEND, &q) && q.text[0])
		return msg_fail(EC_DEVICE, HV_DEVICE, strstr(q.text, "fix:") ? NULL : "see halo doctor",
				"%s", q.text);
	switch (err) {
	case EBUSY:
		return msg_fail(EC_DEVICE, HV_DEVICE, "stop its guests and \"modprobe -r kvm_amd kvm_intel\"",
				"busy: another hypervisor holds the virtualization hardware");
	case EPERM:
	case EACCES:
		return msg_fail(EC_DEVICE, HV_DEVICE, "switch on SVM or VT-x in the firmware's set-up",
				"the firmware has locked virtualization off");
	case EOPNOTSUPP:
		return msg_fail(EC_DEVICE, HV_DEVICE, "use a CPU with AMD-V and nested paging",
				"this CPU can't run guests with this module");
	default:
		return msg_fail(EC_DEVICE, HV_DEVICE, "see dmesg", "no VM: %s", strerror(err));
	}
}

/**
 * hv_create_vm() - make the VM
 * @hv: an open device; gets the VM fd
 * @name: what the module shall call it in statistics: as much of it as it takes
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_create_vm(struct hv *hv, const char *name)
{
	struct halo_create_vm c = { .size = sizeof(c) };
	size_t i;

	for (i = 0; name[i] && i < sizeof(c.name) - 1; i++)
		c.name[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '_';

	hv->vm = ioctl(hv->dev, HALO_CREATE_VM, &c);
	return hv->vm < 0 ? refused(hv, errno) : 0;
}

/**
 * hv_set_tsc_khz() - give the guest's TSC a frequency
 * @hv: the VM, without vCPUs
 * @khz: kHz
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_set_tsc_khz(const struct hv *hv, u32 khz)
{
	struct halo_tsc_khz t = { .size = sizeof(t), .khz = khz };

	if (ioctl(hv->vm, HALO_VM_SET_TSC_KHZ, &t) == 0)
		return 0;
	return msg_fail(EC_ERROR, "--tsc-khz", "leave it out", "%s", errno == EOPNOTSUPP ?
			"this CPU can't give a guest another frequency than the host's" :
			strerror(errno));
}

/**
 * hv_set_memory() - give the VM memory
 * @hv: the VM
 * @slot: slot number
 * @gpa: where the guest sees it
 * @bytes: how much
 * @at: the mapping behind it
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_set_memory(const struct hv *hv, u32 slot, u64 gpa, u64 bytes, void *at)
{
	struct halo_memslot s = {
		.size = sizeof(s), .slot = slot, .gpa = gpa, .bytes = bytes,
		.hva = (u64)(uintptr_t)at,
	};

	if (ioctl(hv->vm, HALO_VM_SET_MEMSLOT, &s) < 0)
		return msg_fail(EC_INTERNAL, "guest memory", "give less --memory",
				"the module refused %llu MiB at %#llx: %s",
				(unsigned long long)(bytes >> 20), (unsigned long long)gpa,
				strerror(errno));
	return 0;
}

/**
 * hv_const_zone() - addresses that read as a constant, without an exit
 * @hv: the VM
 * @bus: HALO_BUS_*
 * @addr: first address
 * @len: how many
 * @access: sizes of access that are meant, a mask of 1 | 2 | 4 | 8, 0 = any
 * @value: what a read gives
 *
 * Return: 0 or -1; the guest runs without it too, with more exits.
 */
int hv_const_zone(const struct hv *hv, u32 bus, u64 addr, u64 len, u32 access,
		  u64 value)
{
	struct halo_zone z = {
		.size = sizeof(z), .op = HALO_ZONE_ADD, .bus = bus, .mode = HALO_ZONE_CONST,
		.addr = addr, .len = len, .match = value, .eventfd = -1, .access = access,
	};

	return ioctl(hv->vm, HALO_VM_SET_ZONE, &z) < 0 ? -1 : 0;
}

enum { AREA_STATE, AREA_EXITS, AREA_REPLIES, AREA_DATA };

static void *map_area(struct hv_vcpu *v, unsigned int i, u64 offset, u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | (i == AREA_EXITS ? 0 : PROT_WRITE), MAP_SHARED,
		       v->fd, (off_t)offset);

	v->map[i] = p == MAP_FAILED ? NULL : p;
	v->map_bytes[i] = bytes;
	return v->map[i];
}

/**
 * hv_create_vcpu() - make a vCPU and map its areas
 * @hv: the VM
 * @v: gets the vCPU
 * @id: its number
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_create_vcpu(const struct hv *hv, struct hv_vcpu *v, unsigned int id)
{
	struct halo_create_vcpu c = { .size = sizeof(c), .id = id };
	struct halo_vcpu_layout l = { .size = sizeof(l) };
	void *exits, *replies;

	v->id = id;
	v->fd = ioctl(hv->vm, HALO_VM_CREATE_VCPU, &c);
	if (v->fd < 0)
		return msg_fail(EC_INTERNAL, "vCPU", "give fewer --cpus", "no vCPU %u: %s", id,
				strerror(errno));
	if (ioctl(v->fd, HALO_VCPU_GET_LAYOUT, &l) < 0)
		return msg_fail(EC_INTERNAL, "vCPU", "see dmesg", "no layout: %s", strerror(errno));
	v->state = map_area(v, AREA_STATE, l.state_offset, l.state_bytes);
	exits = map_area(v, AREA_EXITS, l.exits_offset, l.exits_bytes);
	replies = map_area(v, AREA_REPLIES, l.replies_offset, l.replies_bytes);
	v->data = map_area(v, AREA_DATA, l.data_offset, l.data_bytes);
	v->data_bytes = l.data_bytes;
	if (!v->state || !exits || !replies || !v->data)
		return msg_fail(EC_INTERNAL, "vCPU", "see dmesg", "its areas can't be mapped: %s",
				strerror(errno));
	if (l.state_bytes < sizeof(struct halo_state) ||
	    ring_client_init(&v->ring, exits, l.exits_bytes, replies, l.replies_bytes,
			     l.ring_entries))
		return msg_fail(EC_INTERNAL, "vCPU", "install module and tool of the same release",
				"its areas are not as the interface says");
	return 0;
}

/**
 * hv_free_vcpu() - let go of a vCPU that no thread runs
 * @v: the vCPU
 */
void hv_free_vcpu(struct hv_vcpu *v)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(v->map); i++) {
		if (v->map[i])
			munmap(v->map[i], v->map_bytes[i]);
	}
	close(v->fd);
	memset(v, 0, sizeof(*v));
}

/**
 * hv_free_vm() - let go of a VM, whose vCPUs went before
 * @hv: the VM
 */
void hv_free_vm(struct hv *hv)
{
	close(hv->vm);
	hv->vm = -1;
}

/**
 * hv_set_cpuid() - give a vCPU its CPUID table
 * @hv: the device
 * @v: the vCPU
 * @cpus: how many there are
 * @hints: the guest may know how vCPUs that lack CPUs help one another
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_set_cpuid(const struct hv *hv, const struct hv_vcpu *v, unsigned int cpus, bool hints)
{
	struct halo_cpuid_entry *e = calloc(HALO_MAX_CPUID, sizeof(*e));
	struct halo_cpuid t = {
		.size = sizeof(t), .count = HALO_MAX_CPUID, .entries = (u64)(uintptr_t)e,
	};
	const char *step = "GET_SUPPORTED_CPUID";
	int r;

	if (!e)
		return msg_fail(EC_ERROR, "memory", "free some", "none left");
	r = ioctl(hv->dev, HALO_GET_SUPPORTED_CPUID, &t);
	if (r >= 0) {
		step = "SET_CPUID";
		t.count = cpuid_edit(e, t.count, HALO_MAX_CPUID, v->id, cpus);
		if (!hints)
			cpuid_hide_hints(e, t.count);
		r = ioctl(v->fd, HALO_VCPU_SET_CPUID, &t);
	}
	if (r < 0)
		r = msg_fail(EC_INTERNAL, "vCPU", "see dmesg", "%s: %s", step, strerror(errno));
	else
		r = 0;
	free(e);
	return r;
}

/**
 * hv_virtual_wire() - set the bootstrap vCPU's LAPIC as a PC's firmware leaves it
 * @v: the vCPU
 *
 * On, LINT0 is the 8259s' ExtINT, LINT1 is NMI (MultiProcessor Specification
 * 3.6.2.2). A guest that knows no APIC gets its interrupts in no other way.
 *
 * Return: 0, or the exit code after the error was told.
 */
int hv_virtual_wire(const struct hv_vcpu *v)
{
	struct halo_lapic_state s = { .size = sizeof(s) };
	int r = ioctl(v->fd, HALO_VCPU_GET_LAPIC, &s);

	put32(s.regs + LAPIC_SVR, 0x1ff);
	put32(s.regs + LAPIC_LVT_LINT0, 0x700);
	put32(s.regs + LAPIC_LVT_LINT1, 0x400);
	if (r >= 0)
		r = ioctl(v->fd, HALO_VCPU_SET_LAPIC, &s);
	return r < 0 ? msg_fail(EC_INTERNAL, "vCPU", "see dmesg", "its LAPIC: %s", strerror(errno)) : 0;
}

/**
 * hv_msi() - send an interrupt message
 * @hv: the VM
 * @addr: message address
 * @data: message data
 *
 * Return: how many vCPUs took it, or -1.
 */
int hv_msi(const struct hv *hv, u64 addr, u32 data)
{
	struct halo_msi msi = { .size = sizeof(msi), .addr = addr, .data = data };

	return ioctl(hv->vm, HALO_VM_MSI, &msi);
}

/**
 * hv_time() - the guest's time
 * @hv: the VM
 * @ns: out: since its beginning, ns
 *
 * Return: whether the module tells.
 */
bool hv_time(const struct hv *hv, u64 *ns)
{
	struct halo_clock c = { .size = sizeof(c) };

	if (ioctl(hv->vm, HALO_VM_GET_CLOCK, &c) < 0)
		return false;
	*ns = c.clock_ns;
	return true;
}

/**
 * hv_go_on_at() - set the guest's time, of a guest that has been stopped
 * @hv: the VM, of which no vCPU runs
 * @ns: from hv_time()
 *
 * Return: whether the module takes it.
 */
bool hv_go_on_at(const struct hv *hv, u64 ns)
{
	struct halo_clock c = { .size = sizeof(c), .flags = HALO_CLOCK_STOPPED, .clock_ns = ns };

	return ioctl(hv->vm, HALO_VM_SET_CLOCK, &c) == 0;
}

/**
 * hv_line() - set an interrupt pin of a vCPU
 * @v: the vCPU
 * @pin: HALO_PIN_*
 * @level: its level
 *
 * Return: 0 or -1.
 */
int hv_line(const struct hv_vcpu *v, u32 pin, bool level)
{
	struct halo_line l = { .size = sizeof(l), .pin = pin, .level = level };

	return ioctl(v->fd, HALO_VCPU_SET_LINE, &l);
}
