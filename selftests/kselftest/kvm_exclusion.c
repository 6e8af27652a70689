// SPDX-License-Identifier: GPL-2.0
/*
 * Two hypervisors, one AMD-V: who comes second gets -EBUSY and a message that
 * names the other.  Loads and unloads kvm_amd, so it has a machine of its own.
 */
#include <sys/wait.h>
#include "hvm.h"

static int sh(const char *cmd)
{
	int status = system(cmd);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int log_has(const char *text)
{
	char cmd[160];

	snprintf(cmd, sizeof(cmd), "dmesg | grep -q '%s'", text);
	return sh(cmd) == 0;
}

static void need_kvm(void)
{
	if (sh("modprobe -n kvm_amd 2>/dev/null || find /lib/modules -name 'kvm_amd.ko*' | grep -q ."))
		ktap_skip("no kvm_amd here");
	sh("rmmod kvm_amd 2>/dev/null; rmmod kvm 2>/dev/null");
}

TEST_SECONDS(halo_after_kvm, 60)
{
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_BACKEND };
	int dev = dev_open(), vm, kvm, kvm_vm;

	need_kvm();
	CHECK_EQ(sh("modprobe kvm_amd"), 0);
	kvm = open("/dev/kvm", O_RDWR);
	CHECK(kvm >= 0);
	kvm_vm = ioctl(kvm, 0xae01, 0);		/* KVM_CREATE_VM: KVM holds it for sure */
	CHECK(kvm_vm >= 0);
	CHECK_ERRNO(vm_fd_new(dev), EBUSY);
	CHECK(!ioctl(dev, HALO_GET_CAP, &q));
	CHECK_EQ(q.value, 0);
	CHECK_EQ(q.reason, HALO_REASON_BUSY);
	ktap_note("%s", q.text);
	CHECK(strstr(q.text, "kvm_amd"));
	CHECK(log_has("halo: busy"));
	close(kvm_vm);
	close(kvm);
	CHECK_EQ(sh("rmmod kvm_amd"), 0);
	sh("rmmod kvm");
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
	if (sh("modprobe kvm_amd 2>/dev/null") == 0) {
		/* It may load, but must not get a VM while ours lives. */
		int kvm = open("/dev/kvm", O_RDWR);

		CHECK(kvm < 0 || ioctl(kvm, 0xae01, 0) < 0);
		close(kvm);
	}
	CHECK(vcpu_fd_new(vm, 0) >= 0);
	close(vm);
	sh("rmmod kvm_amd 2>/dev/null; rmmod kvm 2>/dev/null");
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
	sh("modprobe kvm_amd 2>/dev/null");
	guest(vm->cpu[0], nothing, 0);
	vm_free(vm);
	sh("rmmod kvm_amd 2>/dev/null; rmmod kvm 2>/dev/null");
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
		CHECK_EQ(sh("modprobe kvm_amd"), 0);
		CHECK_EQ(sh("rmmod kvm_amd"), 0);
		CHECK_EQ(sh("rmmod kvm"), 0);
	}
}
