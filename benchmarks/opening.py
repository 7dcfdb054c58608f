"""How long opening a measurement takes, against a loop over the headers with a general TIFF reader.

python benchmarks/opening.py --frames 2000 10000
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path


def with_tifffile(folder: Path) -> int:
    """Do what a careful script does: the shape, type, stamp and text of every header."""
    import tifffile

    count = 0
    for path in sorted(folder.glob("*.tif")):
        with tifffile.TiffFile(path) as tif:
            page = tif.pages[0]
            _ = page.shape, page.dtype, page.datetime, page.description
            count += 1
    return count


def with_xinsitu(folder: Path) -> int:
    """Open the measurement: the same, checked against each file's size, with times, but without the log."""
    return _open(folder, logs=None)


def with_xinsitu_and_log(folder: Path) -> int:
    """Open the measurement with the counters of the SPEC log beside it, as everybody does."""
    return _open(folder, logs="auto")


def _open(folder: Path, *, logs: str | None) -> int:
    import xinsitu as xi

    scan = xi.open_measurement(folder, instrument="spring8-bl11xu", order_error="ignore", logs=logs)
    return int(scan.sizes["time"])


WAYS: tuple[Callable[[Path], int], ...] = (with_tifffile, with_xinsitu, with_xinsitu_and_log)


def timed(work: Callable[[Path], int], folder: Path, frames: int) -> float:
    begin = time.perf_counter()
    count = work(folder)
    seconds = time.perf_counter() - begin
    if count != frames:
        raise SystemExit(f"{work.__name__} found {count} frames of {frames}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    from xinsitu import simulate_frames

    print(f"{'frames':>8}{'tifffile s':>12}{'xinsitu s':>11}{'us/frame':>10}{'x faster':>10}{'with log s':>12}")
    for frames in arguments.frames:
        with tempfile.TemporaryDirectory() as temporary:
            folder = simulate_frames(temporary, frames, distinct=min(frames, 500)).folders["time1"]
            with_xinsitu_and_log(folder)
            rounds = [[timed(way, folder, frames) for way in WAYS] for _ in range(arguments.rounds)]
        slow, fast, full = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{frames:>8}{slow:>12.2f}{fast:>11.3f}{fast / frames * 1e6:>10.1f}{slow / fast:>10.1f}{full:>12.3f}")


if __name__ == "__main__":
    main()
