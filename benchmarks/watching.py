"""Watch a folder that a fast writer fills: frames lost, numbers wrong, and how long a whole frame waits.

A process of its own writes frames at a rate; a fifth of them half-written first, late, renamed, or written anew. Then
the time of one look into a folder of many frames, and a night of a frame a second by a clock that is told the time.

    python benchmarks/watching.py --frames 20000 --rate 200
    python benchmarks/watching.py --looks 100000
    python benchmarks/watching.py --night 12
    python benchmarks/watching.py --kept 20000
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.io.growing_folder import GrowingFolder
from xinsitu.io.growing_results import GrowingResults
from xinsitu.io.options import OpenOptions
from xinsitu.live.growing_series import GrowingSeries

SHAPE = 195, 487
ROIS = [
    xi.Roi("spot", (60, 150), (210, 270), background=["dark"]),
    xi.Roi("dark", (0, 20), (0, 487), role="background"),
]
HOW = {"instrument": "generic", "tz": "UTC"}
CORRECTION = xi.Correction(median=3, threshold=5)


STAMP = "2015:02:03 10:11:12"


def contents(folder: Path, shape: tuple[int, int] = SHAPE) -> list[bytes]:
    """Make some frames as files."""
    folder.mkdir()
    found = []
    for number in range(8):
        path = folder / f"{number}.tif"
        frame = np.random.default_rng(number).poisson(6, shape).astype("int32")
        tifffile.imwrite(path, frame, datetime=STAMP)
        found.append(path.read_bytes())
    return found


def write(folder: Path, count: int, rate: float, first: int = 0) -> None:
    """Fill a folder, as no detector should and some do."""
    made, luck, later = contents(folder.parent / f"made{first}"), random.Random(8), []
    folder.mkdir(exist_ok=True)
    begun = time.perf_counter()

    def place(number: int) -> Path:
        return folder / f"run_{number:06d}.tif"

    def whole(number: int, version: int = 0) -> bytes:
        data = bytearray(made[number % 8])
        # five rows tell frames and versions apart; a median leaves them
        rows = np.full((5, SHAPE[1]), 9 + number % 97 + 50 * version, dtype="<i4").tobytes()
        first = len(data) - 4 * SHAPE[1] * (SHAPE[0] - 100)
        data[first : first + len(rows)] = rows
        return bytes(data)

    def finish(kind: str, number: int) -> None:
        with place(number).open("ab" if kind == "half" else "wb") as file:
            file.write(whole(number)[100_000 if kind == "half" else 0 :])

    for number in range(first, count):
        time.sleep(max(0.0, (number - first) / rate - (time.perf_counter() - begun)))
        kind = luck.choice(["half", "late", "anew", "renamed"] + 16 * ["plain"])
        if kind == "half":
            place(number).write_bytes(whole(number)[:100_000])
        elif kind == "anew":
            place(number).write_bytes(whole(number, 1))
        elif kind == "renamed":
            (folder / f".{number}").write_bytes(whole(number))
            (folder / f".{number}").rename(place(number))
        elif kind == "plain":
            place(number).write_bytes(whole(number))
        if kind in ("half", "late", "anew"):
            later.append((number + luck.randrange(1, 400), kind, number))
        for one in [one for one in later if one[0] <= number]:
            later.remove(one)
            finish(*one[1:])
    for one in sorted(later):
        finish(*one[1:])
    print(f"written in {time.perf_counter() - begun:.1f} s", flush=True)


def watch(count: int, rate: float) -> None:
    with tempfile.TemporaryDirectory() as room:
        folder, lags, last = Path(room) / "time1", [], {}
        writer = subprocess.Popen(
            [sys.executable, __file__, "--write", str(folder), f"--frames={count}", f"--rate={rate}"]
        )

        def note(new: xr.Dataset) -> None:
            now = time.time()
            for number, value in zip(new.frame.values.tolist(), new.intensity.values[:, 0].tolist(), strict=True):
                lags.append(now - os.stat(folder / f"run_{number:06d}.tif").st_mtime)
                last[number] = value

        end = xi.watch(folder, ROIS, correction=CORRECTION, on_frames=note, output=Path(room) / "o.nc",
                       until_idle=5, order_error="ignore", **HOW)  # fmt: skip
        writer.wait()
        scan = xi.open_measurement(folder, order_error="ignore", **HOW)
        expected = xi.measure(scan, ROIS, correction=CORRECTION).compute()
        xr.testing.assert_identical(end, expected)
        numbers = expected.intensity.values[:, 0]
        wrong = sum(last.get(number) != value for number, value in enumerate(numbers.tolist()))
        late = np.array([lag for lag in lags if lag >= 0])
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"{count} frames at {rate:g} a second: {count - len(numbers)} lost, {wrong} wrong")
        print(f"lag: median {np.median(late):.2f} s, 99 % {np.quantile(late, 0.99):.2f} s, longest {late.max():.2f} s")
        print(f"memory {used.ru_maxrss / 1024:.0f} MB, processor {used.ru_utime + used.ru_stime:.0f} s")


def looks(count: int) -> None:
    with tempfile.TemporaryDirectory() as room:
        data, folder = contents(Path(room) / "made")[0], Path(room) / "time1"
        folder.mkdir()
        for number in range(count):
            path = folder / f"run_{number:06d}.tif"
            if number % 20_000 == 0:  # a file has no more than so many names
                path.write_bytes(data)
            else:
                os.link(folder / f"run_{number // 20_000 * 20_000:06d}.tif", path)
        frames = GrowingFolder(folder, OpenOptions(on_error="skip", **HOW))
        time.sleep(0.1)
        frames.settle()
        times, used = [], []
        for number in range(count, count + 60):
            os.link(folder / "run_000000.tif", folder / f"run_{number:06d}.tif")
            begun, spent = time.perf_counter(), time.thread_time()
            found = frames.look()
            times.append(1000 * (time.perf_counter() - begun))
            used.append(1000 * (time.thread_time() - spent))
            assert len(found) == 1
        print(f"a look into {count} frames: median {np.median(times):.1f} ms, longest {max(times):.1f} ms")
        print(f"of the processor: median {np.median(used):.1f} ms, longest {max(used):.1f} ms")


def resident() -> float:
    """Memory of this process now, in MB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def put(path: Path, parts: list[bytes], moment: float) -> None:
    """Write a frame of this moment: what lies before its stamp, and behind it."""
    path.write_bytes(time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(moment)).encode().join(parts))
    os.utime(path, (moment, moment))


def night(hours: float) -> None:
    """Watch a frame a second, small ones, as memory does not hang on their size; the clock is told each second.

    The folder is looked at every five seconds, the file goes on every five minutes.
    """
    with tempfile.TemporaryDirectory() as room:
        folder, moment, held = Path(room) / "time1", 1_423_000_000.0, []
        made = [data.split(STAMP.encode()) for data in contents(Path(room) / "made", (60, 60))]
        folder.mkdir()
        boxes = [xi.Roi("spot", (10, 30), (20, 40), background=["dark"]), xi.Roi("dark", (0, 8), (0, 60))]
        growing = GrowingSeries(
            GrowingFolder(folder, OpenOptions(on_error="skip", **HOW), now=lambda: moment),
            boxes,
            lambda scan: CORRECTION,
        )
        results = GrowingResults(Path(room) / "o.nc", overwrite=False, source=folder)
        count, seen = max(12, round(3600 * hours)), 0
        for number in range(count):
            put(folder / f"run_{number:06d}.tif", made[number % 8], moment)
            moment += 1.0
            if number % 5 == 4:
                seen += sum(part.sizes["time"] for part in growing.look())
            if number % 300 == 9:
                together = growing.together(*growing.snapshot(tail=number > 9))
                if number > 9:
                    assert results.append(together.series)
                else:
                    results.write(together.series, last=False)
            if (number + 1) % (count // 12) == 0:
                held.append(resident())
                size = results.path.stat().st_size / 2**20
                print(f"after {number + 1} frames: {held[-1]:.0f} MB, the file {size:.1f} MB", flush=True)
        seen += sum(part.sizes["time"] for part in growing.settle())
        end, before = growing.series(), xi.read_results(results.path)
        results.write(end, last=True)
        scan = xi.open_measurement(folder, **HOW)
        again = xi.measure(scan, boxes, correction=CORRECTION).compute()
        xr.testing.assert_identical(end, again)
        written = xi.write_results(again, Path(room) / "again.nc")
        same = written.read_bytes() == results.path.read_bytes()
        differ = [name for name in before.data_vars if not before[name].equals(again[name][: before.sizes["time"]])]
        each = 1024 * (held[-1] - held[1]) / (count * 10 / 12)
        print(f"{count} frames by a simulated clock: {seen} measured as they came, the same bits afterwards")
        print(
            f"the file of measuring afterwards byte by byte: {same}; before its last writing it differed in: {differ}"
        )
        print(f"memory after the first sixth: {each:.2f} kB a frame; at the end {resident():.0f} MB")


def kept(count: int) -> None:
    """Say what Python keeps of a frame that was measured and written, from a quarter of the frames on."""
    with tempfile.TemporaryDirectory() as room:
        folder, moment, steps = Path(room) / "time1", 1_423_000_000.0, []
        made = [data.split(STAMP.encode()) for data in contents(Path(room) / "made", (12, 12))]
        folder.mkdir()
        frames = GrowingFolder(folder, OpenOptions(on_error="skip", **HOW), now=lambda: moment)
        growing = GrowingSeries(frames, [xi.Roi("spot", (2, 9), (2, 9)), xi.Roi("rod", (0, 9), (4, 8))])
        results = GrowingResults(Path(room) / "o.nc", overwrite=False, source=folder)

        def held() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        for number in range(count):
            put(folder / f"run_{number:06d}.tif", made[number % 8], moment)
            moment += 1.0
            if number % 50 == 49:
                growing.look()
            if number % 500 == 499:
                begun = time.thread_time()
                together = growing.together(*growing.snapshot(tail=number > 500))
                if number > 500:
                    assert results.append(together.series)
                else:
                    results.write(together.series, last=False)
                steps.append(1000 * (time.thread_time() - begun))
                growing.keep(together)
            if number == count // 4:
                first = held()
        each = (held() - first) / (count - count // 4)
        tracemalloc.stop()
        print(f"{len(growing)} of {count} frames measured, the file {results.path.stat().st_size / 2**20:.1f} MB")
        print(f"kept of each: {each:.0f} bytes; 500 more in the file: {np.median(steps[-5:]):.0f} ms of a processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--looks", type=int)
    parser.add_argument("--night", type=float, metavar="HOURS")
    parser.add_argument("--kept", type=int)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--first", type=int, default=0)
    words = parser.parse_args()
    if words.write:
        write(words.write, words.frames, words.rate, words.first)
    elif words.looks:
        looks(words.looks)
    elif words.kept:
        kept(words.kept)
    elif words.night:
        night(words.night)
    else:
        watch(words.frames, words.rate)


if __name__ == "__main__":
    main()
