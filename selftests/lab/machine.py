# SPDX-License-Identifier: GPL-2.0
"""The machines of the lab: everything that knows which emulator is underneath.

`run` describes what it wants in a Spec, asks start() for a Machine, and from
then on sees three byte streams (the guest's first three serial ports) and a
process.  A new emulator is a module with a function that fills a Machine, and
a line in MACHINES.

Serial ports, on every machine:
    ttyS0  console   kernel log; sysrq goes in here
    ttyS1  output    the command's terminal or its raw output
    ttyS2  control   init's words to run: booted, up, exit N, done
"""
import ctypes
import importlib
import os
import signal
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1


class NoMachine(Exception):
    """This machine cannot be had here; the text says why."""


@dataclass
class Spec:
    kernel: str         # path of a bzImage, or of an ELF file with 64-bit and PVH entries
    initrd: int         # descriptor of a file that holds the initramfs
    cmdline: str
    smp: int = 1
    memory: int = 1024  # MiB
    icount: bool = False
    qemu: str = "qemu-system-x86_64"


class Machine:
    """A started machine.  Its process ends with the guest, or with ours."""

    def __init__(self, process, console, output, control):
        self.process = process
        self.console = console
        self.output = output
        self.control = control

    def ask_state(self):
        """A machine that hangs: have it print where its CPUs and tasks are.

        The kernel's part comes by the console; returns the emulator's part.
        """
        raise NotImplementedError

    def nudge(self):
        """A second of silence: an emulator that loses interrupts gets one more."""

    def last_words(self):
        """What the emulator itself said of a machine that ended early."""
        return b""

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for sock in (self.console, self.output, self.control):
            sock.close()


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True)
class Kind:
    """A choice of --cpu."""
    module: str         # where its start function is
    starter: str
    text: str           # for --help
    kvm: str            # KVM's module for its CPU
    kernel: str         # the host kernel, when none was asked for


MACHINES = {
    "svm": Kind("machine_qemu", "start_svm", "AMD-V by QEMU", "kvm-amd", "stock"),
    "vmx": Kind("machine_bochs", "start_vmx", "VT-x by Debian's Bochs 2.7", "kvm-intel",
                "min"),
    "vmx3": Kind("machine_bochs", "start_vmx3", "VT-x by Bochs 3.0", "kvm-intel", "min"),
    "svm3": Kind("machine_bochs", "start_svm3", "AMD-V by Bochs 3.0", "kvm-amd", "min"),
}


def start(cpu, spec):
    kind = MACHINES[cpu]
    os.lseek(spec.initrd, 0, os.SEEK_SET)
    return getattr(importlib.import_module(kind.module), kind.starter)(spec)
