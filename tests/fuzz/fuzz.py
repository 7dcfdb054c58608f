"""Fuzz one parser of hostile bytes: whatever they are, it gives a sound answer or one kind of error, in milliseconds.

With atheris (``pip install atheris``), from the folder of the project::

    python -m tests.fuzz.fuzz log -max_total_time=600 -max_len=8192 -rss_limit_mb=2000 -timeout=2 CORPUS

The names of the parsers are those of ``TARGETS`` in ``tests/hostile.py``, and ``walk``: the TIFF directory alone, from
memory, twenty times as fast.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["xinsitu"]):
    from tests.hostile import TARGETS, attempt, tiff_seeds

    from xinsitu.io.formats.header import MAX_PIXELS, FrameFault
    from xinsitu.io.formats.tiff import NotPlain, OpenFile, walk

FILE = os.memfd_create("frame")


def walked(data: bytes) -> None:
    """Walk one TIFF directory and check what comes out."""
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


def main() -> None:
    name, *arguments = sys.argv[1:]
    logging.disable()
    seeds = tiff_seeds() if name == "walk" else TARGETS[name].seeds()
    for folder in (argument for argument in arguments if not argument.startswith("-")):
        os.makedirs(folder, exist_ok=True)
        for number, seed in enumerate(seeds):
            with open(os.path.join(folder, f"sound-{number}"), "wb") as file:
                file.write(seed)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as temporary:
        path = os.path.join(temporary, "x" if name == "walk" else TARGETS[name].name)
        one_input = walked if name == "walk" else lambda data: attempt(TARGETS[name], path, data)
        atheris.Setup([sys.argv[0], *arguments], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
