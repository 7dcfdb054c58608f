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
    import xinsitu as xi

    return int(xi.open_measurement(folder, tz="Asia/Tokyo", order_error="ignore").sizes["time"])


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

    print(f"{'frames':>8}{'tifffile s':>12}{'xinsitu s':>11}{'us/frame':>10}{'x faster':>10}")
    for frames in arguments.frames:
        with tempfile.TemporaryDirectory() as temporary:
            folder = simulate_frames(temporary, frames, distinct=min(frames, 500)).folders["time1"]
            with_xinsitu(folder)
            runs = [
                (timed(with_tifffile, folder, frames), timed(with_xinsitu, folder, frames))
                for _ in range(arguments.rounds)
            ]
        slow, fast = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{frames:>8}{slow:>12.2f}{fast:>11.3f}{fast / frames * 1e6:>10.1f}{slow / fast:>10.1f}")


if __name__ == "__main__":
    main()
