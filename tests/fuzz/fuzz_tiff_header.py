"""Fuzz the header walk: whatever the bytes, it gives a header or one kind of error, in milliseconds.

With atheris (``pip install atheris``)::

    python tests/fuzz/fuzz_tiff_header.py -max_total_time=600 -max_len=8192 -rss_limit_mb=400 -timeout=1 corpus/
"""

from __future__ import annotations

import os
import struct
import sys

import atheris

with atheris.instrument_imports(include=["xinsitu"]):
    from xinsitu.io.frame_header import MAX_PIXELS, FrameFault
    from xinsitu.io.tiff_walk import NotPlain, OpenFile, walk

FILE = os.memfd_create("frame")


def one_input(data: bytes) -> None:
    """Walk one file and check what comes out."""
    os.ftruncate(FILE, 0)
    os.pwrite(FILE, data, 0)
    try:
        header = walk(OpenFile("frame.tif", FILE, len(data), data[:4096]), 0)
    except (FrameFault, NotPlain):
        return
    rows, columns = header.shape
    if not 0 < rows * columns <= MAX_PIXELS:
        raise AssertionError(f"a frame of {header.shape}")
    if not 8 <= header.offset <= len(data) - rows * columns * header.dtype.itemsize:
        raise AssertionError("pixels outside the file")


def seeds(folder: str) -> None:
    """Write a small sound file for the fuzzer to begin with."""
    os.makedirs(folder, exist_ok=True)
    tags = [(256, 4, 1, 3), (257, 4, 1, 2), (258, 3, 1, 16), (259, 3, 1, 1), (270, 2, 21, 150), (273, 4, 1, 180)]
    tags += [(279, 4, 1, 12), (306, 2, 20, 128), (65002, 4, 1, 802117916), (65003, 4, 1, 5)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    text = b"2014:05:28 17:01:59\0\0\0# Exposure_time 1.0 s\0".ljust(52, b"\0")
    with open(os.path.join(folder, "sound.tif"), "wb") as file:
        file.write((b"II*\0" + struct.pack("<I", 8) + directory).ljust(128, b"\0") + text + bytes(12))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            seeds(argument)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
