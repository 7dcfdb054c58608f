"""A stack ten times larger than the memory that a process may take, through everything that is done with frames.

Measures, fits, takes a kymograph, writes results and corrected frames, and plots, in a process that may take a tenth of
the frames' bytes above what it has after the same job on a few of them (Linux, RLIMIT_DATA). Exits 1 where it takes
more.

    python benchmarks/out_of_core.py --frames 10000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

import xinsitu as xi

FEW, TIMES = 24, 10


def used() -> int:
    """Bytes of data that this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData")).split()[1]) * 1024


def job(scan: xr.Dataset, rois: xi.RoiSet, to: Path) -> xr.Dataset:
    """Do all that is done with frames, and return the series."""
    background = xi.Background(y=(70, 90), x=(150, 170), mode="subtract")
    correction = xi.Correction(median=3, threshold=5, background=background)
    spot = xi.Roi("WZ", (60, 150), (210, 270))
    series = xi.measure(scan, rois, correction=correction).compute()
    xi.fit_rois(scan, [spot], correction=correction).compute()
    xi.profiles(scan, spot, correction=correction, along="x").compute()
    to.mkdir()
    xi.write_results(series, to / "series.nc")
    xi.save_plot(series, to / "series.png")
    xi.write_frames(xi.correct(scan, correction), to / "frames.nc")
    return series


def limited(folder: Path, to: Path) -> None:
    """Do the job in what memory is allowed, and print what came."""
    import dask
    import matplotlib as mpl

    mpl.use("Agg")
    dask.config.set(scheduler="threads", num_workers=2)
    rois = xi.read_rois(folder / "rois.json")
    scan = xi.open_measurement(folder / "0884" / "time1", tz="Asia/Tokyo", order_error="ignore", chunks={"time": 6})
    job(scan.isel(time=slice(0, FEW)), rois, to / "few")  # what is imported, compiled and cached is not what is counted
    allowed = scan.image.nbytes // TIMES
    limit = used() + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        np.ones(2 * allowed // 8)
    except MemoryError:
        print("limited")
    begun = time.perf_counter()
    series = job(scan, rois, to / "all")
    print(f"{series.sizes['time']} frames of {scan.image.nbytes / 1e6:.0f} MB in {allowed / 1e6:.0f} MB")
    print(f"{time.perf_counter() - begun:.0f} s")


def main() -> int:
    """Run the job in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--room", type=Path, help="folder for frames and results, which stay; else a temporary one")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.inside:
        limited(words.room / "in", words.room / "out")
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        room = words.room or Path(temporary)
        xi.simulate_frames(room / "in", words.frames, distinct=20)
        (room / "out").mkdir()
        again = [sys.executable, "-W", "ignore", __file__, "--inside", "--room", str(room)]
        return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
