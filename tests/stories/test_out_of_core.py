"""A stack ten times larger than the memory that a process may take, through everything that is done with frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask.array as da
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.simulate import simulate_frames

pytest.importorskip("resource")

FRAMES, ALLOWED = 2500, 90 * 2**20
"""2500 frames of a PILATUS 100K are 950 MB."""

JOB = """
import resource, sys
from pathlib import Path
import dask, numpy as np
import xinsitu as xi
import matplotlib; matplotlib.use("Agg")
folder, out, allowed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def used():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmData")).split()[1]) * 1024
dask.config.set(scheduler="threads", num_workers=2)
rois = xi.read_rois(folder / "rois.json")
how = dict(tz="Asia/Tokyo", order_error="ignore", chunks={"time": 6})
correction = xi.Correction(median=3, threshold=5, background=xi.Background(y=(70, 90), x=(150, 170), mode="subtract"))
def job(scan, name):
    series = xi.measure(scan, rois, correction=correction).compute()
    fits = xi.fit_rois(scan, [xi.Roi("WZ", (60, 150), (210, 270))], correction=correction).compute()
    kymograph = xi.profiles(scan, xi.Roi("WZ", (60, 150), (210, 270)), correction=correction, along="x").compute()
    xi.write_results(series, out / f"{name}.nc")
    xi.save_plot(series, out / f"{name}.png")
    xi.write_frames(xi.correct(scan, correction), out / f"{name}_frames.nc")
    return series, fits, kymograph
scan = xi.open_measurement(folder / "0884" / "time1", **how)
job(scan.isel(time=slice(0, 24)), "warm")  # what is imported, compiled and cached is not what is counted
limit = used() + allowed
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.ones(2 * allowed // 8)
except MemoryError:
    print("limited")
assert scan.image.nbytes > 10 * allowed, (scan.image.nbytes, allowed)
series, fits, kymograph = job(scan, "all")
print(series.sizes["time"], float(series.intensity.sel(roi="WZ").sum()))
"""


@pytest.mark.parametrize("fit", [xi.fit_rois, xi.fit_spots, xi.measure])
def test_a_chunk_costs_few_tasks_however_many_variables(fit):
    def tasks(chunks: int) -> int:
        frames = da.zeros((2 * chunks, 30, 40), chunks=(2, 30, 40), dtype="int32")
        image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
        fitted = fit(image, [xi.Roi("a", (3, 25), (5, 35)), xi.Roi("b", (2, 20), (8, 30))])
        assert len(fitted.data_vars) > 8
        return len(dict(fitted.__dask_graph__()))

    assert (tasks(60) - tasks(20)) / 40 < 12


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is told by Linux")
def test_ten_times_the_memory(tmp_path):
    truth = simulate_frames(tmp_path / "in", FRAMES, distinct=20)
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", JOB, str(tmp_path / "in"), str(tmp_path / "out"), str(ALLOWED)],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    limited, numbers = done.stdout.splitlines()
    assert limited == "limited"
    assert numbers.startswith(f"{FRAMES} ")
    frames = xi.read_results(tmp_path / "out" / "all_frames.nc")
    assert frames.sizes["time"] == FRAMES
    raw = tifffile.imread(sorted(truth.folders["time1"].glob("*.tif"))[-1])
    assert (frames.image[-1].values != 0).sum() > raw.size / 2
    assert (tmp_path / "out" / "all.png").stat().st_size > 10_000
