"""The same frames and files on systems that lack calls which Linux has."""

from __future__ import annotations

import os

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.data.tiles import Tiles
from xinsitu.io.formats.descriptors import read_at, reserve, write_at
from xinsitu.io.frame_files import write_frames
from xinsitu.simulate import Truth

ONLY_LINUX = ("preadv", "pwrite", "posix_fallocate", "posix_fadvise")


@pytest.fixture(params=["linux", "elsewhere"])
def system(request, monkeypatch):
    if request.param == "elsewhere":
        for name in ONLY_LINUX:
            monkeypatch.delattr(os, name)
    return request.param


def test_places_of_a_file(system, tmp_path):
    path = tmp_path / "file"
    with path.open("w+b") as file:
        reserve(file.fileno(), 3, 4)
        assert os.fstat(file.fileno()).st_size >= 7
        assert write_at(file.fileno(), b"abc", 2) == 3
        found = bytearray(4)
        assert read_at(file.fileno(), memoryview(found), 1) == 4
        assert bytes(found) == b"\0abc"
        assert read_at(file.fileno(), memoryview(found), 100) == 0
        reserve(file.fileno(), 0, 1)
        assert os.fstat(file.fileno()).st_size >= 7, "nothing is cut off"


@pytest.mark.thorough
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_frames_are_read_and_written(experiment: Truth, system, tmp_path, compression):
    import tifffile

    folder = experiment.folders["time1"]
    scan = xi.open_measurement(folder, tz="Asia/Tokyo", chunks={})
    expected = np.stack([tifffile.imread(path) for path in sorted(folder.glob("*.tif"))])
    np.testing.assert_array_equal(scan.image.values, expected)
    written = write_frames(scan, tmp_path / "frames.nc", compression=compression)
    with xr.open_dataset(written, engine="h5netcdf") as again:
        np.testing.assert_array_equal(again.image.values, expected)


def test_tiles(system, tmp_path):
    frames = np.arange(6 * 30 * 50).reshape(6, 30, 50)
    tiles = Tiles(tmp_path / "tiles", frames.shape, frames.dtype)
    tiles.write(0, frames)
    np.testing.assert_array_equal(tiles[1:4, 3:18, 10:30], frames[1:4, 3:18, 10:30])
