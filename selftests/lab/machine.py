# SPDX-License-Identifier: GPL-2.0
"""The machines of the lab: everything that knows which emulator is underneath.

`run` describes what it wants in a Spec, asks start() for a Machine, and from
then on sees three byte streams (the guest's first three serial ports) and a
process.  A new emulator is a new function in MACHINES that fills a Machine.

Serial ports, on every machine:
    ttyS0  console   kernel log; sysrq goes in here
    ttyS1  output    the command's terminal or its raw output
    ttyS2  control   init's words to run: booted, up, exit N, done
"""
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1


class NoMachine(Exception):
    """This machine cannot be had here; the text says why."""


@dataclass
class Spec:
    kernel: str         # path of a bzImage, or of an ELF file with a PVH entry
    initrd: int         # descriptor of a file that holds the initramfs
    cmdline: str
    smp: int = 1
    memory: int = 1024  # MiB
    icount: bool = False
    qemu: str = "qemu-system-x86_64"


@dataclass
class Machine:
    process: subprocess.Popen
    console: socket.socket
    output: socket.socket
    control: socket.socket
    monitor: socket.socket

    def _ask(self, line):
        """One line for the human monitor, and its answer, by way of QMP."""
        request = {"execute": "human-monitor-command", "arguments": {"command-line": line}}
        self.monitor.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = json.loads(self.replies.readline() or b'{"return": ""}')
            if "return" in answer or "error" in answer:
                return str(answer.get("return", answer))

    def ask_state(self):
        """A machine that hangs: have it print where its CPUs and tasks are.

        The kernel's part comes by the console; returns the emulator's part.
        """
        try:
            self.monitor.settimeout(5)
            self.replies = self.monitor.makefile("rb")
            self.monitor.sendall(b'{"execute": "qmp_capabilities"}\n')
            self.replies.readline()     # the greeting
            self.replies.readline()
            for key in b"lw":
                # A key counts as sysrq only right behind a break.
                self._ask("chardev-send-break console")
                self.console.sendall(bytes([key]))
                time.sleep(1)
            return self._ask("info registers -a").replace("\r\n", "\n").encode()
        except (OSError, ValueError):
            return b"the emulator does not answer\n"

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for sock in (self.console, self.output, self.control, self.monitor):
            sock.close()


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_qemu(spec, cpu):
    qemu = shutil.which(spec.qemu)
    if not qemu:
        raise NoMachine(f"{spec.qemu} is missing; run scripts/deps.sh lab")
    pairs = {name: socket.socketpair() for name in
             ("console", "output", "control", "monitor")}
    # One thread per CPU is TCG's default where it is safe; with -icount it is not.
    accel = "tcg" if spec.icount else f"tcg,thread={'multi' if spec.smp > 1 else 'single'}"
    cmd = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
           "-machine", "q35", "-accel", accel, "-cpu", cpu, "-smp", str(spec.smp),
           "-m", str(spec.memory), "-kernel", spec.kernel,
           "-initrd", f"/dev/fd/{spec.initrd}", "-append", spec.cmdline]
    if spec.icount:
        cmd += ["-icount", "shift=0,sleep=off"]
    for name, (_, theirs) in pairs.items():
        cmd += ["-chardev", f"socket,id={name},fd={theirs.fileno()}"]
    # ttyS2 gets a line of its own: an edge-triggered one shared with ttyS0 loses edges.
    for index, (name, irq) in enumerate((("console", 4), ("output", 3), ("control", 5))):
        cmd += ["-device", f"isa-serial,index={index},irq={irq},chardev={name}"]
    cmd += ["-mon", "chardev=monitor,mode=control"]
    fds = [spec.initrd] + [theirs.fileno() for _, theirs in pairs.values()]
    process = subprocess.Popen(cmd, pass_fds=fds, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, start_new_session=True,
                               preexec_fn=die_with_parent)
    for _, theirs in pairs.values():
        theirs.close()
    return Machine(process, *(ours for ours, _ in pairs.values()))


def start_svm(spec):
    # la57 off: five-level tables are slower here and hide four-level bugs.
    return start_qemu(spec, "max,+svm,-la57")


def start_later(_spec):
    raise NoMachine("not available until the VT-x lab exists")


MACHINES = {"svm": start_svm, "svm3": start_later, "vmx": start_later, "vmx3": start_later}


def start(cpu, spec):
    os.lseek(spec.initrd, 0, os.SEEK_SET)
    return MACHINES[cpu](spec)
