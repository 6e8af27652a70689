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


# Instructions of QEMU 7.2 that do harm (README.md), by what stands around them; what takes
# their place does nothing.
# cpu_clear_ignne(): andl $~HF2_IGNNE_MASK, hflags2(%reg); add $8, %rsp; ret
CLEAR_IGNNE = (re.compile(rb"(?<!\xf0)\x81[\xa0-\xa7]..\0\0\x7f\xff\xff\xff(?=\x48\x83\xc4\x08\xc3)", re.S),
               bytes.fromhex("662e0f1f840000000000"))
# helper_vmrun(), INTR: mov %esi, exception_index(%rbx); movl $0, exception_is_int(%rbx);
# movq $-1, exception_next_eip(%rbx); testb $2, qemu_loglevel(%rip); jne; mov $1, %edx
TWICE = (re.compile(rb"\x89\xb3..\xff\xff(?=\xc7\x83..\0\0\0\0\0\0\x48\xc7\x83..\0\0\xff\xff\xff\xff"
                    rb"\xf6\x05....\x02\x0f\x85....\xba\x01\0\0\0)", re.S),
         bytes.fromhex("660f1f440000"))


def mend(process, harms):
    """Take instructions out of the QEMU that was just started.

    How many of them are still there, as this QEMU has other code or is not ours to write.
    """
    left = len(harms)
    try:
        exe = f"/proc/{process.pid}/exe"
        path = os.readlink(exe)
        with open(exe, "rb") as program:
            code = program.read()
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps:
            spans = [line.split() for line in maps]
        with open(f"/proc/{process.pid}/mem", "r+b", buffering=0) as memory:
            for pattern, nops in harms:
                found = [match.start() for match in pattern.finditer(code)]
                for span, perms, offset, _, _, *name in spans:
                    begin, end = (int(part, 16) for part in span.split("-"))
                    inside = found[0] - int(offset, 16) if len(found) == 1 else -1
                    if [path] == name and "x" in perms and 0 <= inside < end - begin:
                        memory.seek(begin + inside)
                        left -= memory.write(nops) == len(nops)
    except OSError:
        pass    # gone already, or not ours to write
    return left


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
    several = spec.smp > 1 and not spec.icount
    if mend(process, [TWICE, CLEAR_IGNNE] if several else [TWICE]):
        print("lab: another QEMU than expected: it may deliver interrupts twice, or its first of several "
              "CPUs lose flags (selftests/lab/README.md)", file=sys.stderr)
    for _, theirs in pairs.values():
        theirs.close()
    return QemuMachine(process, *(ours for ours, _ in pairs.values()), spec.icount)


def start_svm(spec):
    # la57 off: five-level tables are slower here and hide four-level bugs.
    return start_qemu(spec, "max,+svm,-la57")
