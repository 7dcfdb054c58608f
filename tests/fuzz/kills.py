"""R11 and R13: writers that are killed at any moment, and two that write one file: what is there is always whole."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from xinsitu.io.results import read_results, write_results
from xinsitu.schema import time_from_microseconds


def series(version: int) -> xr.Dataset:
    """Return a result of which every number tells its version."""
    time_ = time_from_microseconds(np.arange(400) * 1_000_000)
    values = np.full((400, 6), float(version))
    return xr.Dataset(dict.fromkeys(("intensity", "background", "maximum"), (("time", "roi"), values)), {"time": time_})


def version_of(path: Path) -> int:
    """Return which version a file holds, and only that one."""
    found = read_results(path)
    (version,) = {float(value) for one in found.data_vars.values() for value in np.unique(one)}
    assert found.intensity.shape == (400, 6)
    return int(version)


def forked(path: Path, first: int, step: int, count: int | None = None, told: int | None = None) -> int:
    """Begin a process that writes one version after the other, and tells of each; return its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        number = first
        while count is None or number < first + step * count:
            write_results(series(number), path, overwrite=True)
            number += step
            if told is not None:
                os.write(told, b".")
        status = 0
    finally:
        os._exit(status)


def kills(rounds: int, told: Callable[..., None]) -> int:
    """Kill a writer so many times at a random moment; the file is always a whole version, none older than the last."""
    rng, last, left = random.Random(0), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.nc")
        write_results(series(0), path)
        for _ in range(rounds):
            reading, writing = os.pipe()
            begin = time.monotonic()
            child = forked(path, last + 1, 1, told=writing)
            os.read(reading, 1)  # the first is written
            time.sleep(rng.uniform(0.0, time.monotonic() - begin))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found = version_of(path)
            assert found > last
            last = found
            os.close(reading)
            os.close(writing)
            left += len(os.listdir(folder)) - 1
        write_results(series(0), path, overwrite=True)
        assert os.listdir(folder) == ["s.nc"]  # what the killed left is cleared
    told(f"{rounds} kills while writing: the file was whole after each, {last} versions written, {left} parts cleared")
    return 0


def races(rounds: int, told: Callable[..., None]) -> int:
    """Let two processes write one file; at every moment and at the end it is a whole version of one of them."""
    looks = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "s.nc")
        write_results(series(0), path)
        for number in range(rounds):
            children = [forked(path, 1 + number * 10 + which, 2, 3) for which in (0, 1)]
            while children:
                assert version_of(path) >= 0
                looks += 1
                for child in list(children):
                    ended, status = os.waitpid(child, os.WNOHANG)
                    if ended:
                        assert status == 0
                        children.remove(child)
            assert version_of(path) in {1 + number * 10 + 4, 1 + number * 10 + 5}
        assert os.listdir(folder) == ["s.nc"]
    told(f"{rounds} races of two writers: whole at each of {looks} looks, at the end the last version of one of them")
    return 0
