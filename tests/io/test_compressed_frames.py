"""Frames compressed by ourselves are what HDF5's own filters make and read, bit for bit."""

from __future__ import annotations

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.io.compressed_frames import COMPRESSIONS, bitshuffled, deflated, filters

pytest.importorskip("hdf5plugin")
ENCODERS = dict(zip(COMPRESSIONS, (deflated, bitshuffled), strict=True))
SHAPES = [(1, 1), (1, 7), (3, 5), (8, 8), (31, 33), (195, 487)]
DTYPES = ["uint8", "int16", "uint32", "int32", "float32", "float64", "int64"]


def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    found = np.random.default_rng(list(shape)).poisson(3, shape).astype(dtype)
    found.flat[-1] = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else np.nan
    return found


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_hdf5_reads_what_was_encoded(tmp_path, compression, dtype, shape):
    frames = numbers((3, *shape), dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        own = file.create_dataset("own", frames.shape, dtype, chunks=(1, *shape), **filters(compression))
        theirs = file.create_dataset("theirs", data=frames, chunks=(1, *shape), **filters(compression))
        for index, frame in enumerate(frames):
            own.id.write_direct_chunk((index, 0, 0), ENCODERS[compression](frame))
        np.testing.assert_array_equal(own[...], frames)
        for index in range(3):
            assert own.id.read_direct_chunk((index, 0, 0)) == theirs.id.read_direct_chunk((index, 0, 0))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("chunks", [None, 1, 5, 23])
def test_a_stack_is_written_and_opened_again(tmp_path, compression, chunks):
    frames = numbers((23, 40, 50), "int32")
    data = frames if chunks is None else da.from_array(frames, chunks=(chunks, 20, 50))
    time = xi.schema.time_from_microseconds(np.arange(23) * 1_000_000)
    scan = xr.Dataset(
        {"image": (("time", "y", "x"), data, {"units": "counts"})},
        coords={"time": time, "frame": ("time", np.arange(23)), "y": np.arange(40), "x": np.arange(50)},
    )
    path = xi.write_frames(scan, tmp_path / "frames.nc", compression=compression)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["image"][...], frames)
        assert file["image"].id.get_storage_size() < frames.nbytes / 2
    np.testing.assert_array_equal(xi.read_results(path).image.values, frames)
    assert [one.name for one in tmp_path.iterdir()] == ["frames.nc"]


def test_frames_are_compressed_a_few_blocks_at_a_time(tmp_path, monkeypatch):
    seen = []
    compute = dask.compute
    monkeypatch.setattr(dask, "compute", lambda *blocks, **how: seen.append(len(blocks)) or compute(*blocks, **how))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    frames = da.from_array(numbers((40, 8, 9), "int32"), chunks=(2, 8, 9))
    scan = xr.Dataset({"image": (("time", "y", "x"), frames)}, coords={"time": np.arange(40).astype("datetime64[s]")})
    xi.write_frames(scan, tmp_path / "frames.nc", compression="deflate")
    assert max(seen) == 4
    assert sum(count for count in seen if count > 1) == 20


def test_what_is_not_known_is_refused_before_anything_is_written(tmp_path):
    scan = xr.Dataset({"image": (("time", "y", "x"), np.zeros((2, 3, 4)))})
    with pytest.raises(xi.SchemaError, match="deflate or bitshuffle-lz4, not 'zip'"):
        xi.write_frames(scan, tmp_path / "frames.nc", compression="zip")
    assert not list(tmp_path.iterdir())


def test_a_failing_block_leaves_nothing(tmp_path):
    def fails(block: np.ndarray) -> np.ndarray:
        raise xi.FrameError("a.tif", "cannot be read")

    frames = da.zeros((8, 3, 4), chunks=(2, 3, 4)).map_blocks(fails, dtype=float, meta=np.zeros((0, 0, 0)))
    scan = xr.Dataset({"image": (("time", "y", "x"), frames)}, coords={"time": np.arange(8).astype("datetime64[s]")})
    for compression in COMPRESSIONS:
        with pytest.raises(xi.FrameError, match=r"a\.tif"):
            xi.write_frames(scan, tmp_path / "frames.nc", compression=compression)
    assert not list(tmp_path.iterdir())
