"""Frames are read, worked on and written in blocks of one size."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.helpers.camserver import write_frames
from xinsitu.defaults import CHUNK_BYTES, frames_per_block
from xinsitu.io.frame_files import write_frames as write
from xinsitu.io.measurement import open_measurement
from xinsitu.io.results import read_results
from xinsitu.physics.blocks import frames_in_block, in_blocks


@pytest.mark.parametrize("shape", [(13, 17), (195, 487), (1679, 1475)])
@pytest.mark.parametrize("dtype", ["uint16", "int32", "float64"])
def test_a_block_is_whole_frames_of_about_24_mib(shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    number = frames_per_block(size)
    assert number >= 1
    assert abs(number * size - CHUNK_BYTES) <= size / 2 or number == 1
    frames = xr.DataArray(da.zeros((2 * number, *shape), dtype=dtype, chunks=(1, -1, -1)), dims=("time", "y", "x"))
    assert frames_in_block(frames) == number


def test_what_is_opened_worked_on_and_written_has_the_same_blocks(tmp_path, monkeypatch):
    from xinsitu import defaults

    monkeypatch.setattr(defaults, "CHUNK_BYTES", 4 * 13 * 17 * 5)
    write_frames(tmp_path / "m", 12)
    scan = open_measurement(tmp_path / "m", tz="UTC")
    path = write(scan, tmp_path / "frames.nc")
    again = read_results(path).image
    assert scan.image.chunks[0] == again.chunks[0] == (5, 5, 2)
    assert in_blocks(open_measurement(tmp_path / "m", tz="UTC", chunks=None).image).chunks[0] == (5, 5, 2)
