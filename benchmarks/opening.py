"""How long opening a measurement takes, against a loop over the headers with a general TIFF reader.

python benchmarks/opening.py --frames 2000 10000

Rounds are interleaved, medians are shown, as wall time and, below, as time of the processor, which other programs on
the machine disturb less. ``names`` is listing and ordering the names alone.

With ``--measure`` each measurement is instead opened and measured once, with the ROIs of the sample and without dead
pixels, and 1 is the exit code where that takes more than 5 and 60 seconds for 100,000 frames:

    python benchmarks/opening.py --frames 100000 --measure
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

INSTRUMENT = "spring8-bl11xu"


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


def names(folder: Path) -> int:
    """List the folder and put its frames in order."""
    from xinsitu.io.discover import look
    from xinsitu.io.instruments import load_instrument

    return len(look(folder, load_instrument(INSTRUMENT).patterns).series[0].files)


def with_xinsitu(folder: Path) -> int:
    """Open the measurement: the same, checked against each file's size, with times, but without the log."""
    return _open(folder, logs=None)


def with_xinsitu_and_log(folder: Path) -> int:
    """Open the measurement with the counters of the SPEC log beside it, as everybody does."""
    return _open(folder, logs="auto")


def _open(folder: Path, *, logs: str | None) -> int:
    import xinsitu as xi

    scan = xi.open_measurement(folder, instrument=INSTRUMENT, order_error="ignore", logs=logs)
    return int(scan.sizes["time"])


WAYS: tuple[Callable[[Path], int], ...] = (with_tifffile, names, with_xinsitu, with_xinsitu_and_log)


def timed(work: Callable[[Path], int], folder: Path, frames: int) -> tuple[float, float]:
    """Seconds on the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    count = work(folder)
    seconds = time.perf_counter() - wall, time.process_time() - processor
    if count != frames:
        raise SystemExit(f"{work.__name__} found {count} frames of {frames}")
    return seconds


def measured(frames: int) -> bool:
    """Open and measure a folder of so many frames, say what it took, and whether that is as fast as it is to be."""
    import xinsitu as xi

    with tempfile.TemporaryDirectory() as temporary:
        folder = xi.simulate_frames(temporary, frames, distinct=min(frames, 500)).folders["time1"]
        start = time.perf_counter()
        scan = xi.open_measurement(folder, instrument=INSTRUMENT, order_error="ignore")
        opened = time.perf_counter()
        rois = xi.read_rois(next(folder.parents[1].rglob("rois.json")))
        series = xi.measure(scan, rois, correction=xi.Correction(median=3, threshold=5)).compute()
        done = time.perf_counter()
    print(
        f"{series.sizes['time']:,} frames opened in {opened - start:.1f} s, "
        f"{series.sizes['roi']} ROIs measured in {done - opened:.1f} s"
    )
    return opened - start <= frames * 5e-5 and done - opened <= frames * 6e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.measure:
        raise SystemExit(0 if all(map(measured, arguments.frames)) else 1)
    from xinsitu import simulate_frames

    heads = ("frames", "time", "tifffile s", "names s", "open s", "us/frame", "x faster", "with log s", "x faster")
    print("".join(f"{head:>11}" for head in heads))
    for frames in arguments.frames:
        with tempfile.TemporaryDirectory() as temporary:
            folder = simulate_frames(temporary, frames, distinct=min(frames, 500)).folders["time1"]
            with_xinsitu_and_log(folder)
            rounds = [[timed(way, folder, frames) for way in WAYS] for _ in range(arguments.rounds)]
        for clock, kind in enumerate(("wall", "processor")):
            slow, listed, bare, full = (
                statistics.median(one[clock] for one in column) for column in zip(*rounds, strict=True)
            )
            print(
                f"{frames:>11}{kind:>11}{slow:>11.2f}{listed:>11.3f}{bare:>11.3f}{bare / frames * 1e6:>11.1f}"
                f"{slow / bare:>11.1f}{full:>11.3f}{slow / full:>11.1f}"
            )


if __name__ == "__main__":
    main()
