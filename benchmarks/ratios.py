"""What one way costs against another: detectors of other sizes, what is left out, clusters, long figures, the start.

Both ways of a row are run one after the other in each round, so that a busy machine hits both; the ratios of the rounds
are held against the bar, by time of the processor, but by the clock where processes are asked for. Exits 1 where no
round reaches its bar.

    python benchmarks/ratios.py --list
    python benchmarks/ratios.py intensity plane
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

import xinsitu as xi

Way = Callable[[], object]
FRAMES, LONGER, LARGE, DISTINCT, LONG = 1000, 20_000, 48, 8, 100_000
TIMES = 5
SPOTS = (((600, 690), (100, 190)), ((600, 690), (500, 590)), ((600, 690), (900, 990)), ((600, 690), (1300, 1390)))
"""Four ROIs in a row of a large detector."""


@dataclass(frozen=True)
class Row:
    """Two ways by which the same folder is used, and how the one may stand to the other."""

    what: str
    bar: float
    ways: Callable[[Path], tuple[Way, Way]]
    clock: Callable[[], float] = time.process_time


def of_children() -> float:
    """Time of the processor of processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def folder(room: Path, frames: int = FRAMES) -> tuple[xr.Dataset, list[xi.Roi], xi.Correction]:
    """Frames of a PILATUS 100K, two spots and a background, and a median, flat field and background of theirs."""
    truth = xi.simulate_frames(room / "in", frames, distinct=DISTINCT)
    scan = xi.open_measurement(truth.folders["time1"], order_error="ignore", tz="Asia/Tokyo", logs=None)
    correction = xi.Correction(median=3, flatfield=truth.flatfield)
    return scan, [replace(roi, background=()) for roi in truth.rois if roi.role == "signal"], correction


def measured(scan: xr.Dataset, rois: list[xi.Roi], correction: xi.Correction | None = None) -> Way:
    """Measure without threads."""
    return lambda: xi.measure(scan, rois, correction=correction).compute(scheduler="synchronous")


def intensity(room: Path) -> tuple[Way, Way]:
    """Intensities alone, and all quantities."""
    scan, rois, _ = folder(room)
    ours, other = ([replace(roi, measure=names) for roi in rois] for names in (("intensity",), None))
    return measured(scan, ours), measured(scan, other)


def plane(room: Path) -> tuple[Way, Way]:
    """Measure with a plane through the edge of each ROI as its background, and with the mean of the edge."""
    scan, rois, correction = folder(room)
    ours, other = ([replace(roi, background=(name,)) for roi in rois] for name in ("plane", "edge"))
    return measured(scan, ours, correction), measured(scan, other, correction)


def outliers(room: Path) -> tuple[Way, Way]:
    """Outliers replaced only, and a plain median."""
    scan, rois, _ = folder(room)
    only, plain = xi.Correction(median=3, threshold=5), xi.Correction(median=3)
    return measured(scan, rois, only), measured(scan, rois, plain)


def track(room: Path) -> tuple[Way, Way]:
    """Let a ROI follow its peak, and measure the same ROI at rest."""
    scan, rois, correction = folder(room)
    one = rois[0]
    return lambda: xi.track(scan, one, correction=correction), measured(scan, [one], correction)


def pilatus(room: Path) -> tuple[Way, Way]:
    """Four ROIs in a row of a PILATUS 2M behind a median, and the bytes of these rows read."""
    import tifffile

    rng, target = np.random.default_rng(0), room / "time1"
    target.mkdir()
    for number in range(FRAMES):
        path, first = (target / f"run_{one:05d}.tif" for one in (number, number % DISTINCT))
        if path == first:
            pixels = rng.poisson(6, (1679, 1475)).astype("int32")
            tifffile.imwrite(path, pixels, datetime="2015:02:03 10:11:12", metadata=None)
        else:
            os.link(first, path)
    names = sorted(map(str, target.iterdir()))
    with tifffile.TiffFile(names[0]) as file:
        offset = file.pages[0].dataoffsets[0]
    scan = xi.open_measurement(target, instrument="generic", tz="UTC", order_error="ignore")
    rois = [xi.Roi(f"spot{number}", *box) for number, box in enumerate(SPOTS)]
    rows = np.empty((92, 1475), "int32")  # and a row for the median on both sides

    def limit() -> None:
        for name in names:
            descriptor = os.open(name, os.O_RDONLY)
            os.preadv(descriptor, [memoryview(rows).cast("B")], offset + 599 * 1475 * 4)
            os.close(descriptor)

    return measured(scan, rois, xi.Correction(median=3)), limit


def eiger(room: Path) -> tuple[Way, Way]:
    """Measure four ROIs in a row of an Eiger 4M (bitshuffle and LZ4), and let h5py read all of each frame."""
    import h5py
    import hdf5plugin

    path, rng = room / "run_master.h5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        frames = file.create_dataset(
            "entry/data/data", (LARGE, 2167, 2070), "uint32", chunks=(1, 2167, 2070), **hdf5plugin.Bitshuffle()
        )
        for number in range(LARGE):
            frames[number] = rng.poisson(1, (2167, 2070))
    scan = xi.open_measurement(path, time="frame")
    rois = [xi.Roi(f"spot{number}", *box) for number, box in enumerate(SPOTS)]

    def all_of_it() -> None:
        with h5py.File(path) as file:
            for number in range(LARGE):
                file["entry/data/data"][number]

    return measured(scan, rois), all_of_it


def processes(room: Path) -> tuple[Way, Way]:
    """Two processes of dask's with one thread each, as ``--workers`` starts them, and two threads, by the clock."""
    from distributed import Client

    from xinsitu.recipe import cluster

    scan, rois, correction = folder(room, LONGER)
    client = Client(cluster._processes(2, lambda said: None))
    client.wait_for_workers(2)
    lazy = functools.partial(xi.measure, scan, rois, correction=correction)
    return lambda: lazy().compute(scheduler=client), lambda: lazy().compute(scheduler="threads", num_workers=2)


def two_time(room: Path) -> tuple[Way, Way]:
    """Compare each of 2,000 frames with each other in a ROI of 60 x 80 pixels, and wait a second."""
    truth = xi.simulate_frames(room / "in", 2 * FRAMES, distinct=DISTINCT)
    scan = xi.open_measurement(truth.folders["time1"], order_error="ignore", tz="Asia/Tokyo", logs=None)
    part = scan.image.isel(y=slice(50, 110), x=slice(60, 140))
    return lambda: xi.two_time(part).compute(), second


def start(*words: str) -> Callable[[Path], tuple[Way, Way]]:
    """Run a command that says something at once, and import NumPy."""

    def ways(room: Path) -> tuple[Way, Way]:
        run = functools.partial(subprocess.run, check=True, capture_output=True, cwd=room)
        return (
            lambda: run([sys.executable, "-m", "xinsitu", *words]),
            lambda: run([sys.executable, "-c", "import numpy"]),
        )

    return ways


def series_of(points: int) -> xr.Dataset:
    """Return a series of so many points of six ROIs, as it is measured."""
    y, x = np.arange(24)[:, None], np.arange(90)
    spots = sum(2000 * np.exp(-((y - 12) ** 2 + (x - 7 - 15 * n) ** 2) / 8) for n in range(6))
    pixels = np.random.default_rng(0).poisson(5 + spots, (50, 24, 90)).astype("int32")
    time = np.datetime64("2015-02-03", "ns") + np.arange(points) * np.timedelta64(1, "s")
    frames = xr.DataArray(pixels, dims=("time", "y", "x"), coords={"time": time[:50]}, attrs={"units": "counts"})
    rois = [xi.Roi(f"spot{n}", (2, 22), (1 + 15 * n, 13 + 15 * n)) for n in range(6)]
    few = xi.measure(frames.to_dataset(name="image"), rois)
    return few.isel(time=np.arange(points) % 50).assign_coords(time=time).compute()


def second() -> None:
    """Keep the processor busy for a second of its own."""
    begun = time.process_time()
    while time.process_time() < begun + 1:
        pass


def written(ending: str) -> Callable[[Path], tuple[Way, Way]]:
    """Write a hundred thousand points of six ROIs, and wait a second."""

    def ways(room: Path) -> tuple[Way, Way]:
        series, path = series_of(LONG), room / f"series.{ending}"

        def write() -> None:
            write_one = xi.write_csv if ending == "csv" else xi.save_plot
            write_one(series, path, overwrite=True)

        write()
        print(f"{path.stat().st_size / 1e6:.1f} MB; ", end="")
        return write, second

    return ways


ROWS = {
    "intensity": Row("intensity alone / all quantities", 0.6, intensity),
    "plane": Row("background plane / edge", 1.3, plane),
    "track": Row("track / measure of one ROI", 1.5, track),
    "outliers": Row("outliers only / plain median", 1.2, outliers),
    "pilatus": Row("PILATUS 2M, four ROIs in a row, median / their rows read", 6, pilatus),
    "eiger": Row("Eiger 4M, rows of four ROIs / h5py reading all", 0.3, eiger),
    "two_time": Row("two-time map of 2,000 frames in a ROI / a second", 5, two_time),
    "processes": Row("two processes of dask's / two threads", 1.2, processes, time.perf_counter),
    "help": Row("xinsitu --help / import numpy", 3, start("--help"), of_children),
    "version": Row("xinsitu --version / import numpy", 3, start("--version"), of_children),
    **{
        ending: Row(f"100,000 points of six ROIs to {ending} / one second", 2, written(ending))
        for ending in ("csv", "png", "pdf", "svg", "html")
    },
}


def held(row: Row) -> bool:
    """Run both ways in turns; whether no round reaches the bar."""
    with tempfile.TemporaryDirectory() as room:
        ways = row.ways(Path(room))
        for way in ways:
            way()  # loads what it needs
        rounds = []
        for _ in range(TIMES):
            took = []
            for way in ways:
                begun = row.clock()
                way()
                took.append(row.clock() - begun)
            rounds.append(took)
    ratios = [one / other for one, other in rounds]
    ours, other = (statistics.median(times) for times in zip(*rounds, strict=True))
    missed = min(ratios) > row.bar
    verdict = "missed" if missed else "reached" if statistics.median(ratios) <= row.bar else "missed, within noise"
    print(f"{row.what}: {statistics.median(ratios):.2f} (at most {row.bar}: {verdict}); {ours:.3g} and {other:.3g} s")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW")
    parser.add_argument("--list", action="store_true", help="print the rows there are")
    words = parser.parse_args()
    if words.list:
        print("\n".join(f"{name}: {row.what}" for name, row in ROWS.items()))
        return 0
    warnings.simplefilter("ignore")
    return int(sum(held(ROWS[name]) for name in words.rows or ROWS) > 0)


if __name__ == "__main__":
    sys.exit(main())
