"""The compiled kernel and NumPy fill the same statistics, to the last bit, whatever the frames, recipe and ROIs are."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import dask
import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.errors import FrameChanged, RoiError
from xinsitu.kernels import DARK, UNREAD, compiled, lost, marked
from xinsitu.kernels.sums import profiles, sum_in_lanes
from xinsitu.native import SWITCH, kernel_name
from xinsitu.physics.corrections.framewise import correct_block
from xinsitu.physics.corrections.plan import prepared
from xinsitu.physics.reduction import frame_statistics, pixel_sums
from xinsitu.physics.reduction.regions import Measurements, resting
from xinsitu.physics.reduction.roi_plan import fitted
from xinsitu.physics.stored import Stored
from xinsitu.values import Key, KeyFrame
from xinsitu.variables import Counted, as_frames

needs_kernel = pytest.mark.skipif(
    compiled.library() is None, reason="the compiled kernel is not built here: python hatch_build.py"
)
TYPES = ("int32", "uint32", "uint16", "float32", "float64")
BACKGROUNDS = ((), ("edge",), ("plane",), ("poly_y",), ("poly_x",), ("far",))


def by_numpy(raw: np.ndarray, per_frame: np.ndarray, plan: Measurements, shared: float | None) -> np.ndarray:
    """The same rows without the kernel."""
    own = compiled.library
    compiled.library = lambda: None
    try:
        return frame_statistics.statistics(raw, per_frame, plan, shared)
    finally:
        compiled.library = own


@st.composite
def cases(draw: st.DrawFn) -> tuple[xr.DataArray, list[xi.Roi], xi.Correction | None]:
    """Frames of any type and size with gaps, spikes and lost pixels; ROIs that overlap, touch the border or move."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kind = draw(st.sampled_from(TYPES))
    n, h, w = draw(st.integers(1, 40)), draw(st.integers(6, 40)), draw(st.integers(6, 60))
    counts = rng.poisson(draw(st.sampled_from([0.2, 3.0, 40.0, 5000.0])), (n, h, w)).astype("int64")
    for _ in range(draw(st.integers(0, 6))):
        counts[rng.integers(n), rng.integers(h), rng.integers(w)] = draw(st.sampled_from([0, 300, 9000, 60000]))
    frames = counts.astype(kind)
    bad = rng.random((n, h, w)) < draw(st.sampled_from([0, 0, 0.02, 0.3]))
    if draw(st.booleans()):
        bad[:, h // 2] = True
    codes = {"int32": -1, "uint32": 2**32 - 1, "uint16": 65535, "float32": np.nan, "float64": np.nan}
    frames[bad] = codes[kind]
    if kind in ("int32", "float64") and draw(st.booleans()):
        frames[rng.integers(n), rng.integers(h), rng.integers(w)] = 2**24 + 1  # more than a float holds
    if kind[0] == "f" and draw(st.booleans()):
        frames[rng.integers(n)] = lost(kind, UNREAD)
    if kind == "float32" and draw(st.booleans()):
        frames *= np.float32(0.37)
    attrs = {"units": "counts"} | draw(
        st.sampled_from([{}, {"count_cutoff": 8000}, {"tau": 1e-7, "count_cutoff": 900}])
    )
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs=attrs, coords={"frame": ("time", np.arange(n))})
    if kind[0] == "f" and draw(st.booleans()):
        image = as_frames(image, Counted)

    def bounds(size: int) -> tuple[int, int]:
        low = draw(st.integers(0, size - 1))
        return low, draw(st.integers(low + 1, size))

    rois = [
        xi.Roi(f"r{number}", bounds(h), bounds(w), background=draw(st.sampled_from(BACKGROUNDS)))
        for number in range(draw(st.integers(1, 4)))
    ]
    if draw(st.booleans()) and n > 2:
        first = rois[0]
        path = (KeyFrame(Key(frame=0), first.y, first.x), KeyFrame(Key(frame=n - 1), bounds(h), bounds(w)))
        rois[0] = replace(first, path=path)
    rois.append(xi.Roi("far", bounds(h), bounds(w), role="background"))
    if draw(st.integers(0, 4)) == 0:
        return image, rois, None
    flat = None
    if draw(st.booleans()):
        flat = xr.DataArray(rng.normal(1, 0.1, (h, w)).clip(0.3), dims=("y", "x"), attrs={"total_counts": 1e4})
        if draw(st.booleans()):
            flat[rng.integers(h), rng.integers(w)] = 0.0
    mask = xr.DataArray(rng.random((h, w)) < 0.1, dims=("y", "x")) if draw(st.booleans()) else None
    how = draw(st.sampled_from([None, ("divide", None), ("divide", "mean"), ("subtract", None)]))
    region = None if how is None else xi.Background(y=bounds(h), x=bounds(w), mode=how[0], normalise=how[1])
    median = draw(st.sampled_from([None, 3, 3, 3]))
    threshold = draw(st.sampled_from([None, 5.0, 2.3])) if median else None
    return image, rois, xi.Correction(median, threshold, flat, region, mask)


@pytest.mark.thorough
@needs_kernel
@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_kernel_is_numpy_to_the_last_bit(case):
    image, rois, recipe = case
    with np.errstate(all="ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                told = fitted(image, xi.RoiSet(rois), recipe)
            except RoiError:  # between its key frames a ROI may leave the image
                reject()
        shared = 7.3 if told.plan.steps.needs_mean else None
        raw, per_frame = told.image.values, told.per_frame
        fast = frame_statistics.statistics(raw, per_frame, told.plan, shared)
        slow = by_numpy(raw, per_frame, told.plan, shared)
        np.testing.assert_array_equal(fast, slow)
        cut = len(raw) // 3
        parts = [frame_statistics.statistics(raw[some], per_frame[some], told.plan, shared)
                 for some in (slice(0, cut), slice(cut, None)) if len(raw[some])]  # fmt: skip
        np.testing.assert_array_equal(np.concatenate(parts), fast)


@needs_kernel
@pytest.mark.filterwarnings("ignore:the image says that it holds counts")
@pytest.mark.parametrize("far", [None, 3, 45, 131])
@pytest.mark.parametrize("kind", ["int32", "float32"])
@pytest.mark.parametrize("mode", [None, "subtract", "divide"])
def test_rois_that_are_summed_some_rows_at_a_time_have_the_same_bits(mode, kind, far):
    rng = np.random.default_rng(1)
    frames = rng.poisson(20, (34, 140, 100)).astype(kind)
    flat = xr.DataArray(rng.normal(1, 0.1, (140, 100)).clip(0.3), dims=("y", "x"), attrs={"total_counts": 1e4})
    if far is not None and kind == "float32":  # good pixels, of which the flat field makes more than a float holds
        frames[1:3, far - 1 : far + 2, 29:32] = 3e38
        flat[far - 1 : far + 2, 29:32] = 0.3
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts", "count_cutoff": 8000})
    region = None if mode is None else xi.Background(y=(0, 9), x=(70, 99), mode=mode)
    rois = [
        xi.Roi("wide", (0, 140), (0, 97)),
        xi.Roi("tall", (1, 139), (20, 81), background=("edge",)),
        xi.Roi("narrow", (2, 138), (25, 40), background=("plane",)),
    ]
    for roi in rois:  # together they are cut from filtered frames
        told = fitted(image, xi.RoiSet([roi]), xi.Correction(3, None, flat, region))
        with np.errstate(all="ignore"):
            said = told.image.values, told.per_frame, told.plan, None
            np.testing.assert_array_equal(frame_statistics.statistics(*said), by_numpy(*said))


@pytest.mark.thorough
@needs_kernel
@settings(max_examples=100, deadline=None)
@given(cases())
def test_frames_are_corrected_by_the_kernel_as_by_numpy(case):
    image, _, recipe = case
    if recipe is None:
        reject()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready = prepared(image, recipe, dtype=np.float32)
        told = {"plan": ready.steps, "shared": 7.3 if ready.steps.needs_mean else None}
        fast = correct_block(image.values, ready.per_frame, **told)
        own, compiled.library = compiled.library, lambda: None
        try:
            slow = correct_block(image.values, ready.per_frame, **told)
        finally:
            compiled.library = own
    np.testing.assert_array_equal(fast, slow)
    for why in (DARK, UNREAD):
        np.testing.assert_array_equal(marked(fast, why), marked(slow, why))


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int, str]]:
    """Addresses, strides and types of the frames that the compiled kernel is called with."""
    own, seen = compiled.library(), []
    names = {number: str(dtype) for dtype, number in compiled.TYPES.items()}

    def told(pointer: object) -> int:
        job = pointer._obj  # what byref holds
        seen.append((job.raw, job.frame_stride, job.row_stride, names[job.type]))
        return own(pointer)

    monkeypatch.setattr(compiled, "library", lambda: told)
    return seen


@needs_kernel
@pytest.mark.parametrize("kind", ["int32", "uint16", "float32", "float64"])
def test_frames_may_lie_in_memory_as_they_like(kind, handed):
    """Off the boundaries of their numbers, backwards, every second one, or columns first.

    Most processors read numbers that lie off their boundaries all the same, so that results alone do not tell: what
    the kernel is handed must lie on them, row behind row.
    """
    plain = np.random.default_rng(8).poisson(40, (6, 30, 36)).astype(kind)
    odd = np.frombuffer(bytes(1) + plain.tobytes(), kind, offset=1).reshape(plain.shape)
    wide = np.repeat(np.repeat(plain, 2, axis=0), 2, axis=2)[::2, :, ::2]
    padded = np.zeros((6, 30), [("pixels", kind, (36,)), ("end", "u1")])  # rows that are no whole numbers apart
    padded["pixels"] = plain
    assert not odd.flags.aligned
    assert padded["pixels"].strides[1] % plain.itemsize
    rois = [xi.Roi("a", (5, 25), (6, 30), background=("edge",))]

    def measured(frames: np.ndarray) -> xr.Dataset:
        image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
        image = as_frames(image, Counted) if kind[0] == "f" else image
        return xi.measure(image, rois, correction=xi.Correction(median=3, threshold=5))

    right = measured(plain)
    for frames in (odd, plain[::-1].copy()[::-1], np.asfortranarray(plain), wide, padded["pixels"]):
        handed.clear()
        xr.testing.assert_identical(measured(frames), right)
        assert handed
        for address, frame_stride, row_stride, name in handed:
            assert name == kind
            assert address % np.dtype(kind).alignment == 0
            assert row_stride > 0
            assert frame_stride != 0


@needs_kernel
def test_what_the_kernel_is_for_is_done_by_it(monkeypatch):
    """The defaults of measure, and full corrections on all common types, never fall back."""
    monkeypatch.setattr(pixel_sums, "fill", lambda *_: pytest.fail("NumPy was asked"))
    flat = xr.DataArray(np.full((40, 50), 1.1), dims=("y", "x"))
    region = xi.Background(y=(0, 5), x=(0, 20), mode="subtract")
    for kind in TYPES[:4]:
        frames = np.random.default_rng(1).poisson(30, (5, 40, 50)).astype(kind)
        image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
        if kind[0] == "f":
            image = as_frames(image, Counted)
        for recipe in (
            None,
            xi.Correction(median=3, threshold=5),
            xi.Correction(median=3, flatfield=flat, background=region),
        ):
            xi.measure(image, [xi.Roi("a", (8, 30), (5, 40), background=("plane",))], correction=recipe)


@pytest.fixture
def in_files(tmp_path):
    """Open frames in TIFF files; number 3 holds a number that no float holds, 5 bad pixels, 7 no background."""

    def written(kind, number=9):
        frames = np.random.default_rng(4).poisson(30, (number, 40, 50)).astype(kind)
        if kind != "uint16":
            frames[3, 20, 20] = 2**24 + 1
        frames[5, 10:12, 20] = np.iinfo(kind).max if kind[0] == "u" else -1
        frames[7, :6, :21] = 0
        for place, frame in enumerate(frames):
            tifffile.imwrite(tmp_path / f"run_{place:05d}.tif", frame, datetime="2015:02:03 10:11:12", metadata=None)
        return xi.open_measurement(tmp_path, instrument="generic", tz="UTC", order_error="ignore")

    return written


IN_FILES = [xi.Roi("a", (8, 30), (5, 16), background=("edge",)), xi.Roi("b", (10, 38), (18, 27))]


@needs_kernel
@pytest.mark.filterwarnings("ignore:the background is zero")
@pytest.mark.parametrize("kind", ["int32", "uint32", "uint16"])
@pytest.mark.parametrize("mode", [None, "subtract", "divide"])
def test_frames_in_files_are_read_as_they_are_summed_and_corrected(in_files, monkeypatch, kind, mode):
    """All but those that the kernel does not know; the bits are those of frames in memory."""
    scan = in_files(kind)
    region = None if mode is None else xi.Background(y=(0, 5), x=(0, 20), mode=mode)
    recipe = xi.Correction(median=3, background=region)
    loaded = scan.compute()
    read, original = [], Stored.read

    def reading(array, frames, part):
        read.extend(frames)
        return original(array, frames, part)

    monkeypatch.setattr(Stored, "read", reading)
    for some in (slice(None), slice(2, 8), slice(0, 2)):
        del read[:]
        found = xi.measure(scan.isel(time=some), IN_FILES, correction=recipe).compute()
        expected = xi.measure(loaded.isel(time=some), IN_FILES, correction=recipe)
        xr.testing.assert_identical(found.drop_vars("remarks"), expected.drop_vars("remarks"))
        left = [3] if kind != "uint16" and 3 in range(9)[some] else []
        assert read == left
        del read[:]
        corrected = [xi.correct(one.isel(time=some).image, recipe).values for one in (scan, loaded)]
        np.testing.assert_array_equal(*(values.view("uint32") for values in corrected))  # NaN says why it is one
        assert read == left


@needs_kernel
def test_a_file_that_changed_is_never_summed(in_files, tmp_path):
    scan = in_files("int32")
    path = tmp_path / "run_00004.tif"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FrameChanged, match=r"00004\.tif: the file changed after the measurement was opened"):
        xi.measure(scan, IN_FILES).compute()
    with pytest.raises(FrameChanged, match=r"00004\.tif: the file changed after the measurement was opened"):
        xi.correct(scan, xi.Correction(median=3)).compute()
    path.unlink()
    with pytest.raises(FrameChanged, match=r"00004\.tif: the file was removed"):
        xi.measure(scan, IN_FILES).compute()
    series = xi.measure(scan.isel(time=slice(4)), IN_FILES).compute()
    assert bool(series.intensity.notnull().all())


@pytest.mark.thorough
def test_without_the_kernel_everything_is_done_by_numpy(tmp_path):
    """In a process of its own, as after an installation without a compiler; the numbers are those of the kernel."""
    code = (
        "import sys, numpy as np, xarray as xr, xinsitu as xi\n"
        "from xinsitu.native import kernel_name\n"
        "frames = np.random.default_rng(2).poisson(9, (20, 30, 40)).astype('int32')\n"
        "image = xr.DataArray(frames, dims=('time', 'y', 'x'), attrs={'units': 'counts'})\n"
        "recipe = xi.Correction(median=3, threshold=5)\n"
        "series = xi.measure(image, [xi.Roi('a', (5, 25), (5, 35), background=('edge',))], correction=recipe)\n"
        "np.save(sys.argv[1], series.to_dataframe().select_dtypes('number').values); print(kernel_name())\n"
    )
    saved = []
    for switch in ("numpy", ""):
        path = tmp_path / f"numbers{switch}.npy"
        told = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, SWITCH: switch},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == ("numpy" if switch else kernel_name())
        saved.append(np.load(path))
    np.testing.assert_array_equal(*saved)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 80, 487])
def test_sums_in_lanes_are_exact_to_rounding(size):
    import math

    values = np.random.default_rng(size).normal(0, 1, (3, 4, size)) * 10.0 ** np.arange(-6, 6).reshape(3, 4, 1)
    expected = [[math.fsum(row) for row in frame] for frame in values]
    np.testing.assert_allclose(sum_in_lanes(values), expected, rtol=0, atol=1e-12 * np.abs(values).max())
    across, down = profiles(np.ascontiguousarray(values))
    np.testing.assert_allclose(across, expected, rtol=0, atol=1e-12 * np.abs(values).max())
    np.testing.assert_allclose(down.sum(axis=1), np.sum(expected, axis=1), rtol=1e-9)


@pytest.mark.thorough
def test_any_number_of_threads_and_chunks_gives_the_same_bits():
    rng = np.random.default_rng(5)
    frames = rng.poisson(20, (90, 40, 50)).astype("int32")
    frames[:, 20:22] = -1
    image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
    rois = [xi.Roi("a", (8, 30), (5, 40), background=("plane",)), xi.Roi("b", (10, 38), (3, 48), background=("edge",))]
    recipe = xi.Correction(median=3, background=xi.Background(y=(0, 5), x=(0, 20), mode="divide"))
    whole = xi.measure(image, rois, correction=recipe)
    for chunk, threads in ((1, 2), (7, 3), (64, 1), (90, 2)):
        with dask.config.set(scheduler="threads", num_workers=threads):
            part = xi.measure(image.chunk({"time": chunk}), rois, correction=recipe).compute()
        xr.testing.assert_identical(part.drop_vars("remarks"), whole.drop_vars("remarks"))


def test_frames_in_which_rois_have_one_size_are_worked_on_together():
    """A ROI that moves without changing its size is no reason to do the algebra frame by frame."""
    from xinsitu.physics.reduction.regions import alike

    path = (KeyFrame(Key(frame=0), (2, 12), (3, 18)), KeyFrame(Key(frame=19), (20, 30), (20, 35)))
    image = xr.DataArray(np.ones((20, 40, 50), "int32"), dims=("time", "y", "x"), coords={"frame": ("time", range(20))})
    told = fitted(image, xi.RoiSet([xi.Roi("m", (2, 12), (3, 18), path=path)]), None)
    assert len(list(resting(told.per_frame, told.plan))) > 10
    assert len(list(alike(told.per_frame, told.plan))) == 1
