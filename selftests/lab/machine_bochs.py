# SPDX-License-Identifier: GPL-2.0
"""The lab's machines in Bochs: VT-x by Debian's 2.7, VT-x and AMD-V by 3.0.

Bochs executes one instruction after the other and counts time in them: IPS of
them are a second in there, whatever the clock on the wall says.  It has no boot
loader of its own (ringload.py brings one) and no way to be talked to but its
serial ports, which connect to us by TCP over the loopback interface: the only
one of its modes that goes both ways and waits when the other side is slow.
"""
import os
import select
import shutil
import signal
import socket
import subprocess
import time

import ringload
from machine import Machine, NoMachine, die_with_parent

IPS = 20_000_000
MEMORY_LIMIT = 3072     # MiB; a PC has devices above that
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
PORTS = ("console", "output", "control")
CONNECT_SECONDS = 20


class BochsMachine(Machine):
    def __init__(self, process, sockets, said, debugger):
        super().__init__(process, *sockets)
        self.said = said            # descriptor of what Bochs prints
        self.debugger = debugger    # its prompt, if this Bochs was built with one

    def last_words(self):
        text = os.pread(self.said, 1 << 20, 0)
        return b"\n".join(text.splitlines()[-60:]) + b"\n"

    def ask_state(self):
        try:
            self.console.sendall(b"sysrq-now:l")
            time.sleep(2)
            self.console.sendall(b"sysrq-now:w")
            time.sleep(2)
            if not self.debugger:
                return b""
            begin = os.fstat(self.said).st_size
            self.process.send_signal(signal.SIGINT)
            self.debugger.write(b"info cpu\nbt 30\n")
            self.debugger.flush()
            time.sleep(2)
            return os.pread(self.said, 1 << 20, begin)
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


def config(spec, model, display, fds, ports):
    lines = [
        f"cpu: model={model}, count={spec.smp}, ips={IPS}, reset_on_triple_fault=0, "
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
        f"display_library: {display}",
        "sound: driver=dummy, waveoutdrv=dummy",
    ]
    for number, port in enumerate(ports, 1):
        lines.append(f"com{number}: enabled=1, mode=socket-client, dev=127.0.0.1:{port}")
    return "\n".join(lines) + "\n"


def memfd(name, data=b""):
    fd = os.memfd_create(name)
    os.write(fd, data)
    return fd


def start_bochs(spec, bochs, model, display, has_debugger, words=""):
    if spec.memory > MEMORY_LIMIT:
        raise NoMachine(f"Bochs takes at most --memory {MEMORY_LIMIT}")
    # What is in CPUID about the TSC's rate is the real model's, not this one's.
    cmdline = f"{spec.cmdline} tsc_early_khz={IPS // 1000} {words}"
    fds = {}
    try:
        fds["rom"] = ringload.rom()
        fds["disk"] = ringload.disk(spec.kernel, spec.initrd, cmdline, spec.memory)
        servers = [serve() for _ in PORTS]
        fds["config"] = memfd("bochsrc", config(spec, model, display, fds, [
            server.getsockname()[1] for server in servers]).encode())
        cmd = [bochs, "-q", "-f", f"/proc/self/fd/{fds['config']}"]
        if has_debugger:
            fds["commands"] = memfd("commands", b"c\n")
            cmd += ["-rc", f"/proc/self/fd/{fds['commands']}"]
        said = memfd("said")
        process = subprocess.Popen(cmd, pass_fds=fds.values(), stdin=subprocess.PIPE,
                                   stdout=said, stderr=said, start_new_session=True,
                                   preexec_fn=die_with_parent)
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
    return BochsMachine(process, sockets, said, process.stdin if has_debugger else None)


def start_vmx(spec):
    bochs = shutil.which("bochs-bin") or shutil.which("bochs")
    if not bochs or not os.path.exists(BIOS):
        raise NoMachine("bochs is missing; run scripts/deps.sh lab")
    # XSAVEC and XSAVES store AVX state in the wrong place, and CPUID gives the wrong sizes
    # for AVX-512's.
    return start_bochs(spec, bochs, "corei7_skylake_x", "term", True,
                       "clearcpuid=xsavec,xsaves,avx512f")
