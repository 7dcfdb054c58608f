"""Some rows of frames that bitshuffle and LZ4 made small, without the others: the pixels that HDF5 gives, or none."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.errors import FrameError
from xinsitu.io.formats import hdf5_stack
from xinsitu.io.formats.bitshuffled_rows import FEW, rows_of

hdf5plugin = pytest.importorskip("hdf5plugin")
TRUTH = np.random.default_rng(5).poisson(3, (4, 96, 70)).astype("uint32")


def stored(path, frames, **how):
    with h5py.File(path, "w") as file:
        chunks = how.pop("chunks", (1, *frames.shape[1:]))
        file.create_dataset("entry/data/data", data=frames, chunks=chunks, **how)
    return path


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rows_are_those_that_hdf5_gives(tmp_path_factory, data):
    kind = data.draw(st.sampled_from(["uint8", "uint16", "uint32", "int32", "float32", "float64"]))
    height, width = data.draw(st.integers(16, 200)), data.draw(st.integers(1, 130))
    frames = np.random.default_rng(data.draw(st.integers(0, 99))).poisson(3, (2, height, width)).astype(kind)
    block = data.draw(st.sampled_from([0, 128, 256, 4096]))
    path = stored(tmp_path_factory.mktemp("h5") / "a.h5", frames, **hdf5plugin.Bitshuffle(nelems=block))
    first = data.draw(st.integers(0, height - 1))
    rows = slice(first, data.draw(st.integers(first + 1, min(height, first + height // FEW))))
    with h5py.File(path) as file:
        found = rows_of(file["entry/data/data"], range(2), rows)
    tail = height * width % 8
    if found is None:
        assert rows.stop * width > height * width - tail
    else:
        assert found.dtype == frames.dtype
        np.testing.assert_array_equal(found, frames[:, rows])


@pytest.mark.parametrize(
    "how",
    [
        {"compression": "gzip"},
        {},
        {"chunks": (2, 96, 70), **hdf5plugin.Bitshuffle()},
        {"chunks": (1, 48, 70), **hdf5plugin.Bitshuffle()},
        {"fletcher32": True, **hdf5plugin.Bitshuffle()},
        dict(hdf5plugin.Bitshuffle(cname="none")),
        dict(hdf5plugin.Bitshuffle(cname="zstd")),
        dict(hdf5plugin.LZ4()),
    ],
    ids=["gzip", "plain", "two in a chunk", "parts", "checked", "not small", "zstd", "not shuffled"],
)
def test_other_ways_are_left_to_hdf5(tmp_path, how):
    path = stored(tmp_path / "a.h5", TRUTH, **how)
    with h5py.File(path) as file:
        assert rows_of(file["entry/data/data"], range(4), slice(40, 46)) is None
    np.testing.assert_array_equal(xi.open_measurement(path, time="frame").image[:, 40:46], TRUTH[:, 40:46])


def test_big_endian_and_many_rows_are_left_to_hdf5(tmp_path):
    for name, frames, rows in (("a", TRUTH.astype(">u4"), slice(40, 46)), ("b", TRUTH, slice(0, 60))):
        path = stored(tmp_path / f"{name}.h5", frames, **hdf5plugin.Bitshuffle())
        with h5py.File(path) as file:
            assert rows_of(file["entry/data/data"], range(4), rows) is None


def test_a_measurement_decodes_only_what_it_needs(tmp_path, monkeypatch):
    """Of frames that lie in a file so, whatever is selected of them; and the series are the same bits."""
    path = stored(tmp_path / "a.h5", TRUTH, **hdf5plugin.Bitshuffle())
    few = []
    monkeypatch.setattr(hdf5_stack, "rows_of", lambda *words: few.append(rows_of(*words)) or few[-1])
    scan = xi.open_measurement(path, time="frame")
    np.testing.assert_array_equal(scan.image[1:, 40:47:2, 3:60], TRUTH[1:, 40:47:2, 3:60])
    np.testing.assert_array_equal(scan.image[[3, 0], 50], TRUTH[[3, 0], 50])
    rois = [xi.Roi("a", (40, 48), (5, 20)), xi.Roi("b", (41, 49), (30, 50))]
    lazy, now = (xi.measure(one, rois).compute() for one in (scan, scan.compute()))
    np.testing.assert_array_equal(lazy.intensity, now.intensity)
    assert sum(one is not None for one in few) >= 3


@pytest.mark.thorough("end", "head", "length")
@pytest.mark.parametrize("what", ["bytes", "length", "head", "end"])
def test_a_damaged_frame_is_an_error_of_its_own_and_no_crash_of_hdf5(tmp_path, what):
    path = stored(tmp_path / "a.h5", TRUTH, **hdf5plugin.Bitshuffle())
    with h5py.File(path, "r+") as file:
        dataset = file["entry/data/data"]
        chunk = bytearray(dataset.id.read_direct_chunk((2, 0, 0))[1])
        if what == "head":
            chunk[:12] = bytes(12)
        elif what == "length":
            chunk[12:16] = b"\xff\xff\xff\xff"
        elif what == "bytes":
            chunk[16:] = b"\xff" * len(chunk[16:])
        else:
            del chunk[20:]
        dataset.id.write_direct_chunk((2, 0, 0), bytes(chunk))
        with pytest.raises(OSError, match="frame 2 of /entry/data/data is damaged"):
            rows_of(dataset, range(4), slice(40, 46))
    scan = xi.open_measurement(path, time="frame")
    np.testing.assert_array_equal(scan.image[:2, 40:46], TRUTH[:2, 40:46])
    with pytest.raises(FrameError, match="cannot be read"):
        scan.image[2, 40:46].load()


def test_a_frame_that_was_never_written_is_left_to_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", TRUTH.shape, TRUTH.dtype, chunks=(1, 96, 70), **hdf5plugin.Bitshuffle())
        dataset[0] = TRUTH[0]
        assert rows_of(dataset, range(2), slice(40, 46)) is None
        np.testing.assert_array_equal(rows_of(dataset, range(1), slice(40, 46)), TRUTH[:1, 40:46])
