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

pytest.importorskip("resource")

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "out_of_core.py"
FRAMES = 3500
"""3500 frames of a PILATUS 100K are 1.3 GB."""


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
    words = ["--frames", str(FRAMES), "--room", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(BENCHMARK), *words],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    limited, frames, _ = done.stdout.splitlines()
    assert (limited, frames) == ("limited", f"{FRAMES} frames of 1330 MB in 133 MB")
    written = xi.read_results(tmp_path / "out" / "all" / "frames.nc")
    assert written.sizes["time"] == FRAMES
    raw = tifffile.imread(sorted((tmp_path / "in").glob("0884/time1/*.tif"))[-1])
    assert (written.image[-1].values != 0).sum() > raw.size / 2
    assert (tmp_path / "out" / "all" / "series.png").stat().st_size > 10_000
