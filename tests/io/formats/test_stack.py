"""The lazy stack: every pixel as tifffile reads it, only the rows asked for, never stale."""

from __future__ import annotations

import dataclasses
import os
import pickle

import dask
import numpy as np
import pytest
import tifffile
import xarray as xr
import xarray.testing.strategies as xrst
from hypothesis import given
from hypothesis import strategies as st
from xarray.core.indexing import BasicIndexer, OuterIndexer, VectorizedIndexer

from tests.helpers.camserver import ramp, write_frames
from xinsitu.errors import FrameChanged, FrameError, XinsituWarning
from xinsitu.io.discover import group
from xinsitu.io.formats import stack as frame_stack
from xinsitu.io.gather import gather
from xinsitu.io.lazy_frames import LazyFrames, lazily, normalised
from xinsitu.variables import Counted

SHAPE = (7, 13, 17)


def stack_of(folder, **policy):
    series, _ = group(os.listdir(folder))
    return gather(str(folder), series[0].files, **policy).stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    truth = write_frames(folder, SHAPE[0])
    return stack_of(folder), truth


def variable(stack):
    return xr.Variable(("time", "y", "x"), lazily(stack))


def test_all_pixels_are_those_of_tifffile(stack):
    lazy, truth = stack
    read = np.stack([tifffile.imread(os.path.join(lazy.folder, name)) for name in lazy.names])
    np.testing.assert_array_equal(read, truth)
    whole = variable(lazy).values
    np.testing.assert_array_equal(whole, truth)
    assert whole.dtype == truth.dtype


KEYS = [
    (3, slice(None), slice(None)),
    (slice(None), 5, slice(None)),
    (slice(None), slice(None), -1),
    (2, 3, 4),
    (slice(5, 1, -2), slice(None, None, -1), slice(10, 2, -3)),
    (slice(4, 4), slice(None), slice(None)),
    (slice(0, 4, -1), slice(0, 4, -1), slice(None)),
    (np.array([6, 0, 0, 3]), slice(2, 9), np.array([1, 1, 16])),
    (np.array([], dtype=int), slice(None), slice(None)),
    (np.array([True, False, True, False, False, False, True]), np.array([-1, 0]), slice(3, 4)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_keys_of_every_kind(stack, key):
    lazy, truth = stack
    expected = xr.Variable(("time", "y", "x"), truth)[key]
    found = variable(lazy)[key]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == expected.dtype


@pytest.mark.parametrize("part", [slice(2, 5, -1), slice(4, 4), slice(9, 99)])
def test_what_selects_nothing_selects_nothing_as_files_are_read_either(stack, part):
    """Newer versions of xarray rewrite such slices themselves before they ask."""
    lazy, _ = stack
    key = BasicIndexer((part, slice(None), slice(None)))
    assert LazyFrames(lazy)[key].shape == (0, *SHAPE[1:])
    (kept, *_) = normalised(key, SHAPE).tuple
    assert len(range(*kept.indices(SHAPE[0]))) == 0


SIZES = dict(zip(("time", "y", "x"), SHAPE, strict=True))


@given(st.data())
def test_indexers_of_xarray_chained(stack, data):
    lazy, truth = stack
    found, expected = variable(lazy), xr.Variable(("time", "y", "x"), truth)
    for _ in range(data.draw(st.integers(1, 3))):
        sizes = dict(expected.sizes)
        kind = data.draw(st.sampled_from([xrst.basic_indexers, xrst.outer_array_indexers]))
        indexers = data.draw(kind(sizes=sizes, min_dims=1))
        found, expected = found.isel(indexers), expected.isel(indexers)
        if not expected.sizes or not expected.size:
            break
    assert found.dims == expected.dims
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == expected.values.dtype


@given(st.data())
def test_vectorized_indexers(stack, data):
    lazy, truth = stack
    indexers = data.draw(xrst.vectorized_indexers(sizes=SIZES))
    found = xr.DataArray(variable(lazy)).isel(indexers)
    expected = xr.DataArray(truth, dims=("time", "y", "x")).isel(indexers)
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.fixture(params=["many files in one call", "one by one"])
def reads(monkeypatch, request):
    """Bytes of every read, by the compiled kernel, if there is one, and without."""
    counted = []
    original, together = frame_stack._read_into, frame_stack.read_rows

    def counting(descriptor, block, position, path):
        counted.append(block.nbytes)
        return original(descriptor, block, position, path)

    def counting_all(files, out):
        if request.param == "one by one":
            return np.ones(len(files), dtype=bool)
        left = together(files, out)
        counted.extend([files.told.bytes] * np.count_nonzero(~left))
        return left

    monkeypatch.setattr(frame_stack, "_read_into", counting)
    monkeypatch.setattr(frame_stack, "read_rows", counting_all)
    return counted


def test_only_the_rows_asked_for_are_read(stack, reads):
    lazy, truth = stack
    part = LazyFrames(lazy)[OuterIndexer((slice(1, 4), slice(5, 8), slice(2, 6)))]
    np.testing.assert_array_equal(part, truth[1:4, 5:8, 2:6])
    assert reads == [3 * 17 * 4] * 3


def test_dask_pushes_a_slice_down_into_the_files(stack, reads):
    lazy, truth = stack
    image = xr.DataArray(variable(lazy)).chunk({"time": 3})
    part = image[:, 5:8].astype("float64").sum("x")
    assert reads == []
    np.testing.assert_array_equal(part.compute(), truth[:, 5:8].sum(2))
    assert reads == [3 * 17 * 4] * SHAPE[0]


def test_nothing_is_read_for_an_empty_selection(stack, reads):
    lazy, _ = stack
    assert LazyFrames(lazy)[BasicIndexer((slice(0, 0), slice(None), slice(None)))].shape == (0, 13, 17)
    assert LazyFrames(lazy)[BasicIndexer((slice(None), slice(3, 3), slice(None)))].shape == (7, 0, 17)
    assert reads == []


def test_pickles_and_keeps_its_token(stack):
    lazy, truth = stack
    again = pickle.loads(pickle.dumps(lazy))
    assert again.token == lazy.token
    np.testing.assert_array_equal(variable(again).values, truth)
    assert dask.base.tokenize(again) == dask.base.tokenize(lazy)


def test_chunk_names_are_the_same_when_opened_twice(tmp_path):
    write_frames(tmp_path, 3)
    with dask.config.set({"tokenize.ensure-deterministic": True}):
        one, other = (xr.DataArray(variable(stack_of(tmp_path))).chunk({"time": 2}).data.name for _ in range(2))
    assert one == other


def test_the_token_changes_with_any_frame(tmp_path):
    write_frames(tmp_path, 3)
    before = stack_of(tmp_path).token
    assert stack_of(tmp_path).token == before
    path = tmp_path / "0884_time_1_00001.tif"
    os.utime(path, ns=(1, 1))
    touched = stack_of(tmp_path).token
    assert touched != before
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(1, 1))
    assert stack_of(tmp_path).token not in (touched, before)


def test_a_frame_overwritten_after_opening_is_an_error(tmp_path):
    write_frames(tmp_path, 3)
    lazy = stack_of(tmp_path)
    path = tmp_path / "0884_time_1_00001.tif"
    data = path.read_bytes()
    path.write_bytes(data[:-4] + b"\1\2\3\4")
    with pytest.raises(FrameChanged, match=r"00001\.tif: the file changed after the measurement was opened"):
        variable(lazy).load()
    np.testing.assert_array_equal(variable(lazy)[::2].values, np.stack([ramp(0), ramp(2)]))
    path.unlink()
    with pytest.raises(FrameChanged, match=r"00001\.tif: the file was removed"):
        variable(lazy).load()


def test_a_read_that_delivers_nothing_is_truncation(tmp_path, monkeypatch):
    write_frames(tmp_path, 1)
    lazy = stack_of(tmp_path)
    path = tmp_path / "0884_time_1_00000.tif"
    with open(path, "r+b") as file:
        file.truncate(4100)
    os.utime(path, ns=(int(lazy.mtimes[0]), int(lazy.mtimes[0])))
    lazy.sizes[0] = 4100
    with pytest.raises(FrameError, match=r"00000\.tif: truncated: 884 bytes expected, 4 found"):
        variable(lazy).load()


@pytest.mark.parametrize(
    "options", [{"byteorder": ">"}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}], ids=str
)
def test_other_layouts_give_native_pixels(tmp_path, options):
    truth = np.stack([ramp(number) for number in range(3)])
    for number, pixels in enumerate(truth):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", pixels, metadata=None, **options)
    lazy = stack_of(tmp_path)
    whole = variable(lazy).values
    np.testing.assert_array_equal(whole, truth)
    assert whole.dtype.isnative
    np.testing.assert_array_equal(variable(lazy)[1:, 3:5, ::2].values, truth[1:, 3:5, ::2])


def test_byte_orders_may_be_mixed(tmp_path):
    for number in range(4):
        order = "<>"[number % 2]
        tifffile.imwrite(tmp_path / f"a_{number}.tif", ramp(number), metadata=None, byteorder=order)
    np.testing.assert_array_equal(variable(stack_of(tmp_path)).values, np.stack([ramp(n) for n in range(4)]))


def test_pages_are_frames_in_order(tmp_path):
    truth = np.stack([ramp(number) for number in range(6)])
    for number in range(2):
        pages = truth[3 * number : 3 * number + 3]
        tifffile.imwrite(tmp_path / f"a_{number}.tif", pages, photometric="minisblack", metadata=None)
    lazy = stack_of(tmp_path)
    np.testing.assert_array_equal(variable(lazy).values, truth)


@pytest.mark.parametrize(
    ("stored", "promoted"),
    [("u1", "f4"), ("i2", "f4"), ("u2", "f4"), ("i4", "f8"), ("u4", "f8"), ("f4", "f4"), ("f8", "f8")],
)
def test_nan_promotes_whether_there_is_a_fault_or_not(tmp_path, stored, promoted):
    for number in range(3):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", ramp(0).astype(stored), metadata=None)
    assert stack_of(tmp_path, on_error="nan").dtype == np.dtype(promoted)
    (tmp_path / "a_1.tif").write_bytes(b"II*\0")
    lazy = stack_of(tmp_path, on_error="nan")
    values = variable(lazy).values
    assert values.dtype == lazy.dtype == np.dtype(promoted)
    assert np.isnan(values[1]).all()
    np.testing.assert_array_equal(values[[0, 2]], np.stack([ramp(0).astype(stored)] * 2).astype(promoted))


def test_a_change_after_opening_is_nan_and_said_where_nan_was_asked_for(tmp_path):
    write_frames(tmp_path, 3)
    lazy = stack_of(tmp_path, on_error="nan")
    (tmp_path / "0884_time_1_00002.tif").unlink()
    with pytest.warns(XinsituWarning, match="1 of 3 frames are NaN because they cannot be read"):
        values = Counted(("time", "y", "x"), lazily(lazy)).values
    assert np.isnan(values[2]).all()
    assert not np.isnan(values[:2]).any()


def test_chunks_are_whole_frames_of_16_to_32_mib():
    for shape, dtype in [((195, 487), "i4"), ((1679, 1475), "i4"), ((1043, 981), "i4"), ((2048, 2048), "u2")]:
        count = frame_stack.FrameStack.chunk_frames(shape, np.dtype(dtype))
        size = count * shape[0] * shape[1] * np.dtype(dtype).itemsize
        assert 16 * 2**20 <= size <= 32 * 2**20


def lying(stack, key):
    """Pixels where they are said to lie in their files; None where nothing is said."""
    files = LazyFrames(stack).in_files(OuterIndexer(key))
    if files is None:
        return None
    found = np.empty(files.shape, files.dtype)
    left = frame_stack.read_rows(files, found)
    if left.any():
        pytest.skip("no compiled kernel")
    return found


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), slice(None), slice(None)),
        (slice(1, 6, 2), slice(5, 8), slice(2, 6)),
        (slice(None, None, -1), slice(12, 13), slice(0, 17)),
        (np.array([6, 0, 0, 3]), np.array([2, 3, 4]), np.array([0, 1, 5, 9, 10, 16])),
        (np.array([-1]), slice(0, 1), np.array([-17, -1])),
    ],
    ids=str,
)
def test_plain_pixels_lie_where_they_are_said_to(stack, key):
    lazy, truth = stack
    np.testing.assert_array_equal(lying(lazy, key), truth[key[0]][:, key[1]][:, :, key[2]])


def test_of_what_is_not_read_as_it_lies_nothing_is_said(stack, tmp_path):
    lazy, truth = stack
    whole = (slice(None), slice(None), slice(None))
    gaps = (slice(None), np.array([0, 2]), slice(None))
    for key in (
        gaps,
        (slice(None), slice(5, 1, -1), slice(None)),
        (slice(0, 0), *whole[1:]),
        (*whole[:2], slice(3, 3)),
    ):
        assert lying(lazy, key) is None
    some = VectorizedIndexer((np.array([0, 1]), np.array([0, 1]), np.array([0, 1])))
    assert LazyFrames(lazy).in_files(some) is None
    others = {"big": {"byteorder": ">"}, "packed": {"compression": "zlib"}, "float": {}}
    for name, options in others.items():
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(truth[:2]):
            pixels = pixels.astype("float32") if name == "float" else pixels
            tifffile.imwrite(tmp_path / name / f"a_{number}.tif", pixels, metadata=None, **options)
        assert lying(stack_of(tmp_path / name), whole) is None
    write_frames(tmp_path / "nan", 2)
    assert lying(stack_of(tmp_path / "nan", on_error="nan"), whole) is None


@pytest.mark.parametrize("number", [0, np.int64(0)])
@pytest.mark.parametrize("at", [2, np.int64(2), np.array(2), np.array(-5)], ids=repr)
def test_a_single_number_takes_its_axis_away(stack, at, number):
    lazy, truth = stack
    found = LazyFrames(lazy)[OuterIndexer((at, slice(3, 5), number))]
    np.testing.assert_array_equal(found, truth[2, 3:5, 0])


@pytest.mark.parametrize(("dtype", "per_chunk"), [("i4", 66), ("u2", 133)])
def test_chunks_that_are_preferred_are_of_whole_frames_and_no_more_than_there_are(stack, dtype, per_chunk):
    lazy, _ = stack
    assert lazy.preferred_chunks == {"time": 7, "y": 13, "x": 17}
    assert frame_stack.FrameStack.chunk_frames((195, 487), np.dtype(dtype)) == per_chunk
    assert [dataclasses.replace(lazy, names=lazy.names[:count]).preferred_chunks["time"] for count in (0, 1)] == [1, 1]


def test_frames_that_are_not_there_lie_nowhere(tmp_path):
    write_frames(tmp_path, 5)
    (tmp_path / sorted(os.listdir(tmp_path))[2]).unlink()
    with_gap = stack_of(tmp_path, fill_missing=True)
    assert with_gap.offsets.tolist()[2] == frame_stack.ABSENT < 0
    filled = dataclasses.replace(with_gap, promote=False)
    assert lying(filled, (slice(0, 2), slice(None), slice(None))) is not None
    assert lying(filled, (slice(1, 3), slice(None), slice(None))) is None


@pytest.mark.parametrize("rows", [slice(None), np.array([0, 2, 5])])
def test_pixels_may_begin_with_the_file(tmp_path, rows):
    pixels = np.arange(1, 480_001, dtype="uint32").reshape(600, 800)  # memory of this size comes empty
    (tmp_path / "raw").write_bytes(pixels.tobytes())
    status = os.stat(tmp_path / "raw")
    one = {
        name: np.array([value])
        for name, value in (("sizes", pixels.nbytes), ("mtimes", status.st_mtime_ns), ("offsets", 0))
    }
    stack = frame_stack.FrameStack(
        str(tmp_path), ("raw",), pages=np.array([0]), swapped=np.array([False]), frame_shape=(600, 800),
        stored=np.dtype("uint32"), **one,
    )  # fmt: skip
    np.testing.assert_array_equal(stack.read((0, rows, slice(None))), pixels[rows])


def test_chunks_of_frames_in_files_of_their_own_are_as_large_as_they_may_be(stack):
    many = dataclasses.replace(stack[0], names=("a",) * 1000, frame_shape=(195, 487), stored=np.dtype("uint16"))
    assert many.preferred_chunks == {"time": 133, "y": 195, "x": 487}
