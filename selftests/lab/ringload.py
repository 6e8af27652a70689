# SPDX-License-Identifier: GPL-2.0
"""Makes what an emulator without a boot loader boots from: a ROM and a disk.

The ROM is ringload.S, assembled on the spot; the disk holds the kernel, the
initramfs and boot_params in the order and at the addresses they are wanted, so
that the ROM has nothing to decide.  Both land in descriptors, not on a disk.
"""
import os
import shutil
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROM_SIZE = 4 * 512
SECTOR = 512
CYLINDER = 16 * 63 * SECTOR     # what a flat disk image is counted in
MAGIC = 0x4c475248
HEADER = struct.Struct("<5I3I")
SEGMENT = struct.Struct("<4I")
BOOT_PARAMS, CMDLINE, CMDLINE_SIZE = 0x90000, 0x91000, 2048
PT_LOAD = 1
MIB = 1 << 20
E820_RAM, E820_RESERVED, E820_ACPI = 1, 2, 3


class Unloadable(Exception):
    """This kernel or this machine cannot be booted so; the text says why."""


def rom():
    """A descriptor of the ROM."""
    with tempfile.TemporaryDirectory(prefix="halo-rom.") as tmp:
        obj, flat = os.path.join(tmp, "o"), os.path.join(tmp, "bin")
        for cmd in (["gcc", "-m32", "-c", "-o", obj, os.path.join(HERE, "ringload.S")],
                    ["ld", "-m", "elf_i386", "-Ttext", "0", "--oformat", "binary", "-e",
                     "_start", "-o", flat, obj]):
            if not shutil.which(cmd[0]):
                raise Unloadable(f"{cmd[0]} is missing; run scripts/deps.sh lab")
            done = subprocess.run(cmd, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise Unloadable(f"ringload.S: {done.stderr}")
        with open(flat, "rb") as f:
            image = bytearray(f.read())
    if len(image) >= ROM_SIZE:
        raise Unloadable("ringload.S outgrew its ROM")
    image += bytes(ROM_SIZE - len(image))
    image[-1] = -sum(image) & 0xff      # a BIOS trusts only a ROM that adds up to 0
    fd = os.memfd_create("ringload.rom")
    os.write(fd, image)
    return fd


def elf_segments(image):
    """[(address, bytes)] and the entry of a vmlinux."""
    entry, offset = struct.unpack_from("<QQ", image, 24)
    size, count = struct.unpack_from("<HH", image, 54)
    segments = []
    for i in range(count):
        kind, _, start, _, address, length = struct.unpack_from("<IIQQQQ", image,
                                                                offset + i * size)
        if kind == PT_LOAD and length:
            segments.append((address, image[start:start + length]))
    return segments, entry & 0xffffffff


def memory_map(memory):
    """E820 as Bochs's own BIOS gives it; its ACPI tables lie at the top."""
    top = memory * MIB
    return [(0, 0x9f000, E820_RAM), (0x9f000, 0x1000, E820_RESERVED),
            (0xe8000, 0x18000, E820_RESERVED),
            (MIB, top - MIB - 0x10000, E820_RAM), (top - 0x10000, 0x10000, E820_ACPI),
            (0xfffc0000, 0x40000, E820_RESERVED)]


def boot_params(setup, memory, initrd, initrd_size):
    """The zero page: SETUP is a bzImage's header, or empty."""
    page = bytearray(4096)
    page[0x1f1:0x1f1 + len(setup)] = setup
    if not setup:
        struct.pack_into("<H2x4sH", page, 0x1fe, 0xaa55, b"HdrS", 0x20f)
    page[0x210] = 0xff                              # type_of_loader: none of the known
    page[0x211] = (page[0x211] | 1) & ~0x20         # loadflags: high, not quiet
    struct.pack_into("<II", page, 0x218, initrd, initrd_size)
    struct.pack_into("<I", page, 0x228, CMDLINE)
    table = memory_map(memory)
    page[0x1e8] = len(table)
    for i, area in enumerate(table):
        struct.pack_into("<QQI", page, 0x2d0 + 20 * i, *area)
    return bytes(page)


def disk(kernel, initrd_fd, cmdline, memory):
    """A descriptor of the disk; MEMORY is in MiB."""
    text = os.fsencode(cmdline) + b"\0"
    if len(text) > CMDLINE_SIZE:
        raise Unloadable(f"the kernel's command line is longer than {CMDLINE_SIZE - 1} bytes")
    with open(kernel, "rb") as f:
        image = f.read()
    if image.startswith(b"\x7fELF"):
        mode, setup = 64, b""
        segments, entry = elf_segments(memoryview(image))
    elif image[0x202:0x206] == b"HdrS":
        mode, setup = 32, image[0x1f1:0x202 + image[0x201]]
        segments, entry = [(MIB, memoryview(image)[((image[0x1f1] or 4) + 1) * SECTOR:])], MIB
    else:
        raise Unloadable(f"{kernel} is neither a bzImage nor an ELF file")
    size = os.fstat(initrd_fd).st_size
    at = (memory * MIB - MIB - size) & ~0xfff
    if at < max(start + len(data) for start, data in segments) + 64 * MIB:
        raise Unloadable(f"{size >> 20} MiB of files need more memory than {memory} MiB")
    segments += [(BOOT_PARAMS, boot_params(setup, memory, at, size)), (CMDLINE, text)]

    fd = os.memfd_create("disk")
    table, sector = [], 1
    for start, data in segments:
        os.pwrite(fd, data, sector * SECTOR)
        count = -(-len(data) // SECTOR)
        table.append((start, sector, count, 0))
        sector += count
    table.append((at, sector, -(-size // SECTOR), 0))
    os.lseek(fd, sector * SECTOR, os.SEEK_SET)
    done = 0
    while done < size:
        done += os.sendfile(fd, initrd_fd, done, size - done)
    end = sector * SECTOR + size
    os.ftruncate(fd, -(-end // CYLINDER) * CYLINDER)
    head = HEADER.pack(MAGIC, len(table), mode, entry, BOOT_PARAMS, 0, 0, 0)
    head += b"".join(SEGMENT.pack(*row) for row in table)
    if len(head) > SECTOR:
        raise Unloadable(f"{kernel} has too many segments")
    os.pwrite(fd, head, 0)
    return fd
