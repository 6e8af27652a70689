# SPDX-License-Identifier: GPL-2.0
"""The lab's machines in QEMU: AMD-V by TCG."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from machine import Machine, NoMachine, die_with_parent


class QemuMachine(Machine):
    def __init__(self, process, console, output, control, monitor, exact):
        super().__init__(process, console, output, control)
        self.monitor = monitor
        self.exact = exact      # counts instructions: no interrupt of ours

    def nudge(self):
        """Any interrupt of CPU 0 brings those with it that QEMU lost (README.md)."""
        if not self.exact:
            try:
                self.console.send(b"\n", socket.MSG_DONTWAIT)
            except OSError:
                pass    # full or gone: not silent for want of this

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
        super().kill()
        self.monitor.close()


# cpu_clear_ignne(): andl $~HF2_IGNNE_MASK, hflags2(%reg); add $8, %rsp; ret
CLEAR_IGNNE = re.compile(rb"(?<!\xf0)\x81[\xa0-\xa7]..\0\0\x7f\xff\xff\xff(?=\x48\x83\xc4\x08\xc3)", re.S)
NOPS = bytes.fromhex("662e0f1f840000000000")


def mend(process):
    """Keep QEMU's CPUs from writing the flags of its first one (README.md).

    Whether that was done; not so if this QEMU has other code there.
    """
    try:
        exe = f"/proc/{process.pid}/exe"
        with open(exe, "rb") as program:
            found = list(CLEAR_IGNNE.finditer(program.read()))
        if len(found) != 1:
            return False
        at, path = found[0].start(), os.readlink(exe)
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps:
            for line in maps:
                span, perms, offset, _, _, *name = line.split()
                begin, end = (int(part, 16) for part in span.split("-"))
                inside = at - int(offset, 16)
                if [path] == name and "x" in perms and 0 <= inside < end - begin:
                    with open(f"/proc/{process.pid}/mem", "r+b", buffering=0) as memory:
                        memory.seek(begin + inside)
                        return memory.write(NOPS) == len(NOPS)
    except OSError:
        pass    # gone already, or not ours to write
    return False


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
    if spec.smp > 1 and not spec.icount and not mend(process):
        print("lab: not this QEMU's cpu_clear_ignne() was expected: its first CPU may lose flags "
              "(selftests/lab/README.md)", file=sys.stderr)
    for _, theirs in pairs.values():
        theirs.close()
    return QemuMachine(process, *(ours for ours, _ in pairs.values()), spec.icount)


def start_svm(spec):
    # la57 off: five-level tables are slower here and hide four-level bugs.
    return start_qemu(spec, "max,+svm,-la57")
