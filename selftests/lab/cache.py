# SPDX-License-Identifier: GPL-2.0
"""The lab's cache, ${XDG_CACHE_HOME:-~/.cache}/halo: what takes long to make.

One thing is one directory.  It is made under another name and renamed when it
is whole, under a lock, so that nobody sees half of one and two callers do not
make it twice.  Names carry what the content was made from; removing any of it
is always safe.
"""
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


class Unavailable(Exception):
    """Something cannot be had; the text says why, and what to do."""


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.path.join(base, "halo")
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name):
    with open(os.path.join(cache_dir(), f".{name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is making {name}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def new_entry(name):
    """A directory to fill; becomes the cache entry NAME if nothing is raised."""
    tmp = tempfile.mkdtemp(prefix=f".{name}.", dir=cache_dir())
    os.chmod(tmp, 0o755)
    try:
        yield tmp
        os.rename(tmp, os.path.join(cache_dir(), name))
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def output(*cmd, **kwargs):
    try:
        return subprocess.run(cmd, check=True, text=True, stdout=subprocess.PIPE,
                              **kwargs).stdout
    except FileNotFoundError:
        raise Unavailable(f"{cmd[0]} is missing; run scripts/deps.sh lab") from None
    except subprocess.CalledProcessError as err:
        raise Unavailable(f"'{' '.join(cmd)}' ended with {err.returncode}") from None


def deps(*what):
    """Debian packages, by way of scripts/deps.sh, which explains itself."""
    cmd = [os.path.join(TOP, "scripts/deps.sh"), *what]
    if subprocess.run(cmd, stdout=sys.stderr).returncode:
        raise Unavailable("Debian packages are missing (see above)")
