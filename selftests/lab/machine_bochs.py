# SPDX-License-Identifier: GPL-2.0
"""The lab's machines in Bochs: VT-x by Debian's 2.7, VT-x and AMD-V by 3.0.

Bochs executes one instruction after the other and counts time in them: IPS of
them are a second in there, whatever the clock on the wall says.  It has no boot
loader of its own (ringload.py brings one) and no way to be talked to but its
serial ports, which connect to us by TCP over the loopback interface: the only
one of its modes that goes both ways and waits when the other side is slow.
"""
import bisect
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

import ringload
from machine import Machine, NoMachine, die_with_parent

HERE = os.path.dirname(os.path.abspath(__file__))
IPS = 20_000_000
MEMORY_LIMIT = 2048     # MiB; 3.0 takes no more
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
PORTS = ("console", "output", "control")
CONNECT_SECONDS = 60
# Of "info cpu": registers that never explain why a machine stands still.
DULL = re.compile(rb"^(VMM|MM|K\d|  FP|=>FP|MXCSR|f[icd][ps]:|operand:|tag word|status  word"
                  rb"|control word)")


@dataclass(frozen=True)
class Bochs:
    """One program, and what it has to be told."""
    program: str
    model: str
    cmdline: str            # more for the kernel, to get around this one's defects
    options: tuple          # lines of the configuration
    has_debugger: bool


class Symbols:
    """Names for addresses of the kernel's text, where it came with a System.map."""

    def __init__(self, kernel):
        self.path = os.path.join(os.path.dirname(kernel), "System.map")
        self.addresses, self.names = [], []

    def _load(self):
        if self.names or not os.path.exists(self.path):
            return
        with open(self.path) as f:
            for address, kind, name in map(str.split, f):
                if kind in "tT":
                    self.addresses.append(int(address, 16))
                    self.names.append(name)

    def add(self, line):
        """LINE of the debugger with the name behind the last such address in it."""
        found = re.findall(rb"\bffffffff_?[89][0-9a-f]{7}\b", line)
        self._load()
        if not found or not self.names:
            return line
        address = int(found[-1].replace(b"_", b""), 16)
        at = bisect.bisect_right(self.addresses, address) - 1
        if at < 0 or self.names[at] == "_etext":
            return line
        text = f" {self.names[at]}+{address - self.addresses[at]:#x}\n"
        return line.rstrip() + text.encode()


class BochsMachine(Machine):
    def __init__(self, process, sockets, symbols, said, debugger):
        super().__init__(process, *sockets)
        self.symbols = symbols
        self.said = said            # descriptor of what Bochs prints
        self.debugger = debugger    # its prompt, if this Bochs was built with one

    def last_words(self):
        """The end of what Bochs prints: it says why it gave up, as of a triple fault."""
        text = os.pread(self.said, 1 << 20, max(0, os.fstat(self.said).st_size - 8192))
        return b"\n".join(text.splitlines()[-40:]) + b"\n"

    def ask_state(self):
        try:
            # Bochs cannot send a break; init passes lines on, if it still can.
            for key in b"lw":
                self.console.sendall(bytes([key]) + b"\n")
                time.sleep(2)
            if not self.debugger:
                return b""
            begin = os.fstat(self.said).st_size
            self.process.send_signal(signal.SIGINT)
            self.debugger.write(b"info cpu\nbt 30\n")
            self.debugger.flush()
            time.sleep(2)
            text = os.pread(self.said, 1 << 20, begin)
            return b"".join(self.symbols.add(line) for line in text.splitlines(True)
                            if not DULL.match(line))
        except OSError:
            return b"the emulator does not answer\n"

    def kill(self):
        super().kill()
        os.close(self.said)
        if self.debugger:
            self.debugger.close()


def serve():
    server = socket.create_server(("127.0.0.1", 0), backlog=1)
    server.settimeout(0.2)
    return server


def is_peer(process, address):
    """Does the far end of a connection belong to PROCESS?"""
    wanted = "%08X:%04X" % (0x0100007f, address[1])
    with open("/proc/net/tcp") as f:
        inodes = {f"socket:[{words[9]}]" for words in map(str.split, f) if words[1] == wanted}
    fds = f"/proc/{process.pid}/fd"
    return any(os.readlink(f"{fds}/{fd}") in inodes for fd in os.listdir(fds))


def connect(process, servers, said):
    """Bochs calls each port in turn, while it sets itself up."""
    sockets = []
    until = time.monotonic() + CONNECT_SECONDS
    for server in servers:
        while True:
            try:
                sock, address = server.accept()
            except TimeoutError:
                if process.poll() is None and time.monotonic() < until:
                    continue
                text = os.pread(said, 1 << 20, 0).decode(errors="replace")
                raise NoMachine("Bochs did not start: " + text[-600:]) from None
            if is_peer(process, address):
                break
            sock.close()
        sock.settimeout(None)
        sockets.append(sock)
        server.close()
    return sockets


def config(spec, bochs, fds, ports):
    lines = [
        f"cpu: model={bochs.model}, count={spec.smp}, ips={IPS}, reset_on_triple_fault=0, "
        "ignore_bad_msrs=1",
        f"megs: {spec.memory}",
        f"romimage: file={BIOS}",
        f"vgaromimage: file=/proc/self/fd/{fds['rom']}",
        f"ata0-master: type=disk, path=/proc/self/fd/{fds['disk']}, mode=flat, cylinders=0",
        "boot: disk",
        "port_e9_hack: enabled=1",
        # Time goes by instructions, from a fixed date: runs repeat.
        "clock: sync=none, time0=1700000000",
        "log: -",
        "panic: action=fatal",
        "error: action=ignore",
        "info: action=ignore",
        *bochs.options,
    ]
    for number, port in enumerate(ports, 1):
        lines.append(f"com{number}: enabled=1, mode=socket-client, dev=127.0.0.1:{port}")
    return "\n".join(lines) + "\n"


def memfd(name, data=b""):
    fd = os.memfd_create(name)
    os.write(fd, data)
    return fd


def start_bochs(spec, bochs):
    if spec.memory > MEMORY_LIMIT:
        raise NoMachine(f"Bochs takes at most --memory {MEMORY_LIMIT}")
    if not os.path.exists(BIOS):
        raise NoMachine("bochsbios is missing; run scripts/deps.sh lab")
    # What is in CPUID about the TSC's rate is the real model's, not this one's.
    cmdline = f"{spec.cmdline} tsc_early_khz={IPS // 1000} {bochs.cmdline}"
    fds = {}
    try:
        fds["rom"] = ringload.rom()
        fds["disk"] = ringload.disk(spec.kernel, spec.initrd, cmdline, spec.memory)
        servers = [serve() for _ in PORTS]
        fds["config"] = memfd("bochsrc", config(spec, bochs, fds, [
            server.getsockname()[1] for server in servers]).encode())
        cmd = [bochs.program, "-q", "-f", f"/proc/self/fd/{fds['config']}"]
        if bochs.has_debugger:
            fds["commands"] = memfd("commands", b"c\n")
            cmd += ["-rc", f"/proc/self/fd/{fds['commands']}"]
        said = memfd("said")
        process = subprocess.Popen(
            cmd, pass_fds=fds.values(), stdout=said, stderr=said, start_new_session=True,
            stdin=subprocess.PIPE if bochs.has_debugger else subprocess.DEVNULL,
            env={**os.environ, "TERM": "vt100"}, preexec_fn=die_with_parent)
    except ringload.Unloadable as err:
        raise NoMachine(str(err)) from None
    finally:
        for fd in fds.values():
            os.close(fd)
    try:
        sockets = connect(process, servers, said)
    except NoMachine:
        process.kill()
        process.wait()
        raise
    return BochsMachine(process, sockets, Symbols(spec.kernel), said, process.stdin)


def start_vmx(spec):
    program = shutil.which("bochs-bin") or shutil.which("bochs")
    if not program:
        raise NoMachine("bochs is missing; run scripts/deps.sh lab")
    # XSAVEC and XSAVES store AVX state in the wrong place, CPUID gives the wrong sizes for
    # AVX-512's, and fewer threads than cores.  The terminal is one that Bochs opens for
    # itself; its other display that needs no X server would listen for VNC on all of the
    # machine's addresses.
    return start_bochs(spec, Bochs(
        program, "corei7_skylake_x", "clearcpuid=xsavec,xsaves,avx512f,ht",
        ("display_library: term", "sound: driver=dummy, waveoutdrv=dummy"), True))


def start_bochs3(spec, model, cmdline):
    cmd = [os.path.join(HERE, "bochs3")] + (["--smp"] if spec.smp > 1 else [])
    done = subprocess.run(cmd, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise NoMachine("no Bochs 3.0 (see above)")
    return start_bochs(spec, Bochs(done.stdout.strip(), model, cmdline,
                                   ("display_library: nogui",), False))


def start_vmx3(spec):
    # XRSTORS of some of the states takes those behind AVX's from the wrong place.
    return start_bochs3(spec, "corei7_skylake_x", "clearcpuid=avx512f")


def start_svm3(spec):
    return start_bochs3(spec, "ryzen", "")
