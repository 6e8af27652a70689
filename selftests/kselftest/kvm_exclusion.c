// SPDX-License-Identifier: GPL-2.0
/*
 * Two hypervisors, one CPU: who comes second gets -EBUSY and a message that names
 * the other.  Loads and unloads kvm_amd or kvm_intel, so it has a machine of its own.
 */
#include <sys/wait.h>
#include "hvm.h"

static int sh(const char *cmd)
{
	int status = system(cmd);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs CMD, in which each % stands for KVM's module for this CPU. */
static int kvm(const char *cmd)
{
	char line[256];
	size_t n = 0;

	for (; *cmd && n < sizeof(line) - 16; cmd++) {
		if (*cmd == '%')
			n += (size_t)sprintf(line + n, "%s", cpu_is_intel() ? "kvm_intel" : "kvm_amd");
		else
			line[n++] = *cmd;
	}
	line[n] = 0;
	return sh(line);
}

static int log_has(const char *text)
{
	char cmd[160];

	snprintf(cmd, sizeof(cmd), "dmesg | grep -q '%s'", text);
	return sh(cmd) == 0;
}

static void need_kvm(void)
{
	if (kvm("modprobe -n % 2>/dev/null || find /lib/modules -name '%.ko*' | grep -q ."))
		ktap_skip("KVM is not among this kernel's modules");
	kvm("rmmod % 2>/dev/null; rmmod kvm 2>/dev/null");
}

TEST_SECONDS(halo_after_kvm, 60)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_BACKEND };
	int dev = dev_open(), vm, kvm_fd, kvm_vm;

	need_kvm();
	CHECK_EQ(kvm("modprobe %"), 0);
	kvm_fd = open("/dev/kvm", O_RDWR);
	CHECK(kvm_fd >= 0);
	kvm_vm = ioctl(kvm_fd, 0xae01, 0);		/* KVM_CREATE_VM: KVM holds it for sure */
	CHECK(kvm_vm >= 0);
	CHECK_ERRNO(vm_fd_new(dev), EBUSY);
	CHECK(!ioctl(dev, HALO_GET_CAP, &q));
	CHECK_EQ(q.value, 0);
	CHECK_EQ(q.reason, HALO_REASON_BUSY);
	ktap_note("%s", q.text);
	CHECK(strstr(q.text, "kvm_"));
	CHECK(log_has("halo: busy"));
	close(kvm_vm);
	close(kvm_fd);
	CHECK_EQ(kvm("rmmod %"), 0);
	kvm("rmmod kvm");
	vm = vm_fd_new(dev);
	CHECK(vm >= 0);
	close(vm);
}

TEST_SECONDS(kvm_after_halo, 60)
{
	int dev = dev_open(), vm;

	need_kvm();
	vm = vm_fd_new(dev);
	CHECK(vm >= 0);
	if (kvm("modprobe % 2>/dev/null") == 0) {
		/* It may load, but must not get a VM while ours lives. */
		int fd = open("/dev/kvm", O_RDWR);

		CHECK(fd < 0 || ioctl(fd, 0xae01, 0) < 0);
		close(fd);
	}
	CHECK(vcpu_fd_new(vm, 0) >= 0);
	close(vm);
	kvm("rmmod % 2>/dev/null; rmmod kvm 2>/dev/null");
}

/* Our guest still runs after the other has tried. */
GUEST void nothing(void)
{
}

TEST_SECONDS(our_guest_goes_on, 60)
{
	struct vm *vm = vm_new();

	need_kvm();
	guest(vm->cpu[0], nothing, 0);
	kvm("modprobe % 2>/dev/null");
	guest(vm->cpu[0], nothing, 0);
	vm_free(vm);
	kvm("rmmod % 2>/dev/null; rmmod kvm 2>/dev/null");
	vm = vm_new();
	guest(vm->cpu[0], nothing, 0);
}

TEST_SECONDS(taking_turns, 120)
{
	u32 i;

	need_kvm();
	for (i = 0; i < 5; i++) {
		struct vm *vm = vm_new();

		guest(vm->cpu[0], nothing, 0);
		vm_free(vm);
		CHECK_EQ(kvm("modprobe %"), 0);
		CHECK_EQ(kvm("rmmod %"), 0);
		CHECK_EQ(kvm("rmmod kvm"), 0);
	}
}
