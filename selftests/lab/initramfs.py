# SPDX-License-Identifier: GPL-2.0
"""Writes the lab's initramfs: a cpio archive ("newc") in memory.

Not the cpio program: device nodes need no root this way, modes and owners are
ours to choose, nothing lands on disk, and it takes a hundredth of a second.
"""
import os
import stat
import struct
import subprocess

PT_DYNAMIC = 2


class Broken(Exception):
    """Something to be packed is missing or unusable."""


class Archive:
    def __init__(self, out):
        self.out = out      # a binary file object
        self.size = 0
        self.inode = 1
        self.seen = set()
        self.elves = []     # dynamically linked programs, for add_libraries()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        raw = os.fsencode(name) + b"\0"
        head = b"070701" + b"".join(b"%08X" % field for field in (
            self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(raw), 0))
        self.inode += 1
        for part in (head + raw, data):
            pad = -len(part) % 4 if part is data else -len(head + raw) % 4
            self.out.write(part + b"\0" * pad)
            self.size += len(part) + pad

    def _new(self, name):
        """Makes the parents of NAME; false when NAME is there already."""
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        if name in self.seen:
            return False
        self.seen.add(name)
        return True

    def directory(self, name, mode=0o755):
        if self._new(name):
            self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        if self._new(name):
            self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        if self._new(name):
            self._entry(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def chardev(self, name, major, minor, mode=0o600):
        if self._new(name):
            self._entry(name, stat.S_IFCHR | mode, rdev=(major, minor))

    def copy(self, name, path):
        """PATH of this machine as NAME: a file, or a directory with all in it."""
        try:
            info = os.stat(path)
            if stat.S_ISDIR(info.st_mode):
                self.directory(name, info.st_mode & 0o7777)
                for entry in sorted(os.listdir(path)):
                    child = os.path.join(path, entry)
                    if os.path.islink(child):
                        self.symlink(f"{name}/{entry}", os.readlink(child))
                    else:
                        self.copy(f"{name}/{entry}", child)
                return
            if not stat.S_ISREG(info.st_mode):
                raise Broken(f"{path} is neither a file nor a directory")
            with open(path, "rb") as f:
                data = f.read()
        except OSError as err:
            raise Broken(f"{path}: {err.strerror}") from None
        if is_dynamic(data):
            self.elves.append(path)
        self.file(name, data, info.st_mode & 0o7777)

    def add_libraries(self):
        """What the copied programs are linked against, under the same paths."""
        if not self.elves:
            return
        text = subprocess.run(["ldd", *self.elves], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout
        for line in text.splitlines():
            if "not found" in line:
                raise Broken(f"a program to be added lacks a library: {line.strip()}")
            words = line.replace("=>", " ").split()
            paths = [word for word in words if word.startswith("/")]
            if paths and words[-1].startswith("(0x"):
                with open(paths[-1], "rb") as f:
                    self.file(paths[-1].lstrip("/"), f.read(), 0o755)

    def close(self):
        self._entry("TRAILER!!!", 0)
        self.out.flush()


def is_dynamic(data):
    """Is this a 64-bit ELF program or library that wants ld.so?"""
    if data[:5] != b"\x7fELF\x02":
        return False
    try:
        (offset,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        return any(struct.unpack_from("<I", data, offset + i * size)[0] == PT_DYNAMIC
                   for i in range(count))
    except struct.error:
        return False    # a test's broken file, not a program
