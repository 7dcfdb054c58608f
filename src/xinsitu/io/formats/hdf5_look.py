"""A first look at an HDF5 file by another process.

On some damaged files the HDF5 library never comes back, or ends the process, and neither can be caught. So a process
of its own reads a file's structure first, all but the frames; if it dies, or is not done in time, the file is refused.
It is started once and serves all files.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time

TIME_LIMIT = 6.0
"""Seconds without anything found in a file: it may hold thousands of scans, and lie on a slow disc."""
PATIENCE = 120.0
"""Seconds for a file altogether."""
_START = 120.0

_LOOK = """
import json, signal, sys, time
import h5py

MOST, LARGEST = 100_000, 64 * 2**20

def opened(path):
    try:
        return h5py.File(path, "r", locking=False)
    except OSError:
        try:
            return h5py.File(path, "r", locking=False, swmr=True)
        except OSError:
            pass
        raise

def look(path):
    with opened(path) as file:
        waiting, seen, told = [file], set(), time.monotonic()
        while waiting and len(seen) < MOST:
            group = waiting.pop()
            for name in list(group):
                if time.monotonic() > told + 1:
                    told = time.monotonic()
                    signal.alarm(30)
                    print("on", flush=True)
                try:
                    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                        continue
                    item = group.get(name)
                    if item is None:
                        continue
                    address = h5py.h5o.get_info(item.id).addr
                    if address in seen:
                        continue
                    seen.add(address)
                    for attribute in list(item.attrs):
                        item.attrs[attribute]
                    if isinstance(item, h5py.Group):
                        waiting.append(item)
                    elif isinstance(item, h5py.Dataset) and not item.is_virtual and not item.external:
                        if item.chunks:
                            item.id.get_num_chunks()
                        if item.size and item.ndim < 3 and item.dtype.itemsize * item.size <= LARGEST:
                            item[()]
                except Exception:
                    pass  # an error can be caught, by whoever needs the item

print("ready", flush=True)
for line in sys.stdin:
    signal.alarm(30)  # so that it ends by itself where nobody is left to end it
    try:
        look(json.loads(line))
    except Exception:
        pass
    signal.alarm(0)
    print("seen", flush=True)
"""


class _Looker:
    """The process, and whose turn it is."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._able = os.name == "posix" and bool(sys.executable)

    def look(self, path: str) -> str:
        with self._turn:
            process = self._running()
            if process is None or process.stdin is None:
                return ""
            try:
                process.stdin.write(json.dumps(path).encode() + b"\n")
                process.stdin.flush()
                begin, answer = time.monotonic(), _line(process, TIME_LIMIT)
                while answer == b"on\n" and time.monotonic() < begin + PATIENCE:
                    answer = _line(process, TIME_LIMIT)
            except OSError:
                answer = b""
            if answer == b"seen\n":
                return ""
            self.stop()
            if answer == b"on\n":
                return f"what it holds cannot be listed within {PATIENCE:.0f} s: too much, or on too slow a disc"
            if answer is None:
                return f"damaged: the HDF5 library does not come to an end with it within {TIME_LIMIT:.0f} s"
            return "damaged: the HDF5 library breaks down over it"

    def _running(self) -> subprocess.Popen[bytes] | None:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        if not self._able:
            return None
        command = [sys.executable, "-P", "-c", _LOOK]  # -P: no module of the working directory
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._able = False
            return None
        self._owner = os.getpid()
        if _line(self._process, _START) != b"ready\n":
            self._able = False
            self.stop()
        return self._process

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _line(process: subprocess.Popen[bytes], limit: float) -> bytes | None:
    """Return the next line that a process says; empty where it has died, None where it says nothing in time."""
    if process.stdout is None:
        return None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(limit) else None


_looker = _Looker()
atexit.register(_looker.stop)


def what_breaks(path: str | os.PathLike[str]) -> str:
    """Return why a file must not be given to the HDF5 library of this process; empty where it may be.

    Whether what it holds makes sense is not asked: errors can be caught.
    """
    return _looker.look(os.path.abspath(os.fspath(path)))
