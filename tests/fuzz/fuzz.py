"""Fuzz one parser of hostile bytes: whatever they are, it gives a sound answer or one kind of error, in milliseconds.

With atheris (``pip install atheris``), from the folder of the project::

    python -m tests.fuzz.fuzz log -max_total_time=600 -max_len=8192 -rss_limit_mb=2000 CORPUS

The names of the parsers are those of ``TARGETS`` in ``tests/helpers/hostile.py``, which read files, and of ``PARSERS``
in ``tests/fuzz/in_memory.py``, twenty times as fast.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["xinsitu"]):
    from tests.fuzz.in_memory import PARSERS
    from tests.helpers.hostile import TARGETS, attempt


LIMIT = 1.0
"""Seconds of the processor that an input may take; libFuzzer's own limit counts those that other programs had, too."""


def in_time(read: Callable[[bytes], None], data: bytes) -> None:
    begin = time.process_time()
    read(data)
    if (took := time.process_time() - begin) > LIMIT:
        raise AssertionError(f"{took:.1f} s for {len(data)} bytes")


def main() -> None:
    name, *arguments = sys.argv[1:]
    logging.disable()
    warnings.simplefilter("ignore")  # each text of a warning is kept, and printed, once
    one = PARSERS.get(name) or TARGETS[name]
    for folder in (argument for argument in arguments if not argument.startswith("-")):
        os.makedirs(folder, exist_ok=True)
        for number, seed in enumerate(one.seeds()):
            with open(os.path.join(folder, f"sound-{number}"), "wb") as file:
                file.write(seed)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as temporary:
        path = os.path.join(temporary, getattr(one, "name", "x"))
        read = one.read if name in PARSERS else lambda data: attempt(one, path, data)
        atheris.Setup([sys.argv[0], *arguments], lambda data: in_time(read, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
