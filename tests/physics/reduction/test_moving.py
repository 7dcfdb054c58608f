"""ROIs that move: key frames, tracking, and what is measured in them."""

from __future__ import annotations

import time
import tracemalloc

import dask.array as da
import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr

import xinsitu as xi
from xinsitu.io.formats.stack import FrameStack
from xinsitu.kernels import compiled
from xinsitu.physics.reduction import tracking
from xinsitu.physics.reduction.moving import at_frames, boxes_in_time
from xinsitu.schema import Quality
from xinsitu.values import Key, KeyFrame

SHAPE = (60, 70)


def wandering(n=40, *, counts=20_000, seed=0):
    """A spot that drifts and swings, with its true centres."""
    time = np.arange(n)
    truth = np.stack([20 + 0.5 * time, 30 + 8 * np.sin(time / 6)], axis=1)
    y, x = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    shape = np.exp(-((y - truth[:, 0, None, None]) ** 2 + (x - truth[:, 1, None, None]) ** 2) / 18)
    mean = counts * shape / (9 * 2 * np.pi) + 0.5
    coords = {
        "time": np.datetime64("2014-05-28", "ns") + time * np.timedelta64(1, "s"),
        "y": np.arange(SHAPE[0]),
        "x": np.arange(SHAPE[1]),
        "frame": ("time", time + 100),
        "scan": ("time", np.ones(n, int)),
        "measurement": "time1",
    }
    frames = np.random.default_rng(seed).poisson(mean).astype("int32")
    return xr.DataArray(frames, dims=("time", "y", "x"), coords=coords, attrs={"units": "counts"}), truth


def test_corners_move_linearly_between_key_frames():
    image, _ = wandering(11)
    path = (
        KeyFrame(Key(measurement="time1", scan=1, frame=102), (10, 20), (30, 50)),
        KeyFrame(Key(measurement="time1", seconds=8), (16, 26), (24, 44)),
        KeyFrame(Key(measurement="time9", frame=0), (0, 10), (0, 20)),
    )
    rois = [xi.Roi("m", (10, 20), (30, 50), path=path), xi.Roi("still", (5, 50), (5, 60))]
    series = xi.measure(image, rois)
    assert series.roi_y0.dims == ("time", "roi")
    assert series.roi_y0.sel(roi="m").values.tolist() == [10, 10, 10, 11, 12, 13, 14, 15, 16, 16, 16]
    assert series.roi_x1.sel(roi="m").values.tolist() == [50, 50, 50, 49, 48, 47, 46, 45, 44, 44, 44]
    for number in range(11):
        at = series.isel(time=number).sel(roi="m")
        box = xi.Roi("b", (int(at.roi_y0), int(at.roi_y1)), (int(at.roi_x0), int(at.roi_x1)))
        alone = xi.measure(image.isel(time=slice(number, number + 1)), [box]).isel(time=0, roi=0)
        for name in ("intensity", "com_y", "com_x", "fwhm_x", "maximum_y"):
            np.testing.assert_array_equal(at[name], alone[name])
    lazy = xi.measure(image.chunk({"time": 4}), rois, correction=xi.Correction(median=3))
    assert lazy.intensity.chunks is not None
    xr.testing.assert_identical(lazy.compute(), xi.measure(image, rois, correction=xi.Correction(median=3)))


def test_key_frames_are_found_by_frame_scan_and_measurement_the_first_of_several():
    coords = {"frame": ("time", [5, 6, 5, 6]), "scan": ("time", [1, 1, 2, 2]), "measurement": ("time", list("abab"))}
    frames = xr.Dataset(coords={"time": np.arange(4), **coords})

    def place(**key: object) -> list[int]:
        steps = (KeyFrame(Key(**key), (7, 9), (0, 9)), KeyFrame(Key(frame=6, scan=2), (8, 9), (0, 9)))
        return boxes_in_time(frames, xi.Roi("a", (0, 5), (0, 9), path=steps))[:, 0].tolist()

    assert place(frame=5) == [7, 7, 8, 8]
    assert place(frame=5, scan=2) == [7, 7, 7, 8]
    assert place(frame=6, measurement="b") == [7, 7, 8, 8]
    with pytest.raises(xi.RoiError, match="frame 5"):
        place(frame=5, measurement="b")


def test_the_time_for_a_path_grows_as_its_key_frames_do(monkeypatch):
    """Each of 100,000 key frames was looked for among all frames, and all frames were chosen anew for each."""
    looks, taken = [], xr.Dataset.isel
    monkeypatch.setattr(xr.Dataset, "isel", lambda self, **at: looks.append(at) or taken(self, **at))
    frames = xr.Dataset(coords={"time": np.arange(50_000), "frame": ("time", np.arange(50_000))})
    path = tuple(KeyFrame(Key(frame=n), (n % 7, 9), (0, 9)) for n in range(0, 50_000, 25))
    roi, begun = xi.Roi("a", (0, 5), (0, 9), path=path), time.process_time()
    assert len(at_frames(frames, roi, np.arange(0, 50_000, 100)).path) == 500
    assert len(looks) == 1
    assert time.process_time() - begun < 1


def test_a_path_that_leaves_the_detector_or_names_no_frame_is_refused():
    image, _ = wandering(5)
    off = (KeyFrame(Key(frame=100), (10, 20), (0, 20)), KeyFrame(Key(frame=104), (55, 65), (0, 20)))
    with pytest.raises(xi.RoiError, match="does not lie in the image"):
        xi.measure(image, [xi.Roi("m", (10, 20), (0, 20), path=off)])
    none = (KeyFrame(Key(frame=7), (10, 20), (0, 20)),)
    with pytest.raises(xi.RoiError, match="frame 7"):
        xi.measure(image, [xi.Roi("m", (10, 20), (0, 20), path=none)])


@pytest.mark.parametrize("lazy", [False, True])
def test_tracking_follows_the_spot_and_the_path_survives_the_file(lazy, tmp_path):
    image, truth = wandering()
    start = xi.Roi("spot", (8, 33), (18, 43), background=("edge",))
    with pytest.warns(xi.XinsituWarning, match="edges differ along [yx]"):  # where the spot has gone to
        still = xi.measure(image, [start])
    assert not (abs(still.com_y.values.ravel() - truth[:, 0])[-10:] < 1).any()
    found = xi.track(image.chunk({"time": 7}) if lazy else image, start)
    assert not found.lost.any()
    xi.write_rois(xi.RoiSet([found.roi]), tmp_path / "rois.json")
    series = xi.measure(image, xi.read_rois(tmp_path / "rois.json")).isel(roi=0)
    np.testing.assert_allclose(series.com_y, truth[:, 0], atol=0.15)
    np.testing.assert_allclose(series.com_x, truth[:, 1], atol=0.15)
    middle = (series.roi_y0 + series.roi_y1 - 1) / 2
    assert abs(middle - truth[:, 0]).max() <= 0.7
    assert not ((series.quality & Quality.PEAK_LOST) > 0).any()


def test_a_lost_spot_is_said_and_the_roi_stays():
    image, _ = wandering(20)
    image[8:12] = np.random.default_rng(5).poisson(0.5, (4, *SHAPE))
    jump = image.copy()
    jump[15:] = np.roll(image[15:].values, -25, axis=1)
    found = xi.track(jump, xi.Roi("spot", (8, 33), (18, 43), background=("edge",)), max_step=6)
    assert np.flatnonzero(found.lost).tolist() == [8, 9, 10, 11, 15, 16, 17, 18, 19]
    series = xi.measure(jump, [found.roi]).isel(roi=0)
    assert len(set(series.roi_y0.values[8:12])) == 1
    assert ((series.quality.values[8:12] & Quality.PEAK_LOST) > 0).all()
    assert not ((series.quality.values[:8] & Quality.PEAK_LOST) > 0).any()


@pytest.mark.thorough("1000")
@pytest.mark.parametrize("size", [7, 1000])
def test_looking_ahead_changes_no_step(size, monkeypatch):
    """Many frames are looked at together while the spot rests: where it rests, moves, is lost and comes back."""
    image, _ = wandering(30)
    still = image.isel(time=np.repeat(np.arange(30), 5)).assign_coords(time=np.arange(150)).copy()
    still[61:70] = np.random.default_rng(5).poisson(0.5, (9, *SHAPE))
    roi = xi.Roi("spot", (8, 33), (18, 43), background=("edge",))
    ahead = xi.track(still.chunk({"time": size}), roi)
    monkeypatch.setattr(tracking, "AHEAD", 1)
    alone = xi.track(still, roi)
    assert ahead.roi == alone.roi
    assert len(ahead.roi.path) > 20
    np.testing.assert_array_equal(ahead.lost, alone.lost)
    assert ahead.lost[61:70].all()
    assert not ahead.lost[:61].any()


@pytest.mark.thorough
def test_a_stack_larger_than_the_limit_is_tracked_chunk_by_chunk_each_once():
    size, chunk, number = (1000, 1250), 4, 100  # 500 MB; one chunk has 20 MB
    read = []

    def block(which, block_id):
        read.append(block_id[0])
        step = np.arange(block_id[0] * chunk, (block_id[0] + 1) * chunk)
        frames = np.zeros((chunk, *size), "int32")
        for frame, centre in zip(frames, 60 + step, strict=True):
            frame[centre - 4 : centre + 5, 200:209] = 50
        return frames

    places = da.zeros((number, *size), chunks=(chunk, -1, -1), dtype="int8")
    stack = da.map_blocks(block, places, dtype="int32", meta=np.empty((0, 0, 0), "i4"))
    image = xr.DataArray(stack, dims=("time", "y", "x"), attrs={"units": "counts"})
    tracemalloc.start()
    found = xi.track(image, xi.Roi("spot", (50, 71), (190, 219), background=("edge",)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6 < stack.nbytes / 4
    assert sorted(read) == list(range(number // chunk))
    assert not found.lost.any()
    assert found.roi.path[-1].y == (50 + 99, 71 + 99)


def in_files(room, frames, *, as_one=False, on_error="raise"):
    """The same frames in a folder, or in one HDF5 file, seven in a chunk."""
    if as_one:
        with h5py.File(room / "run_master.h5", "w") as file:
            file.create_dataset("entry/data/data", data=frames, chunks=(7, *frames.shape[1:]))
        return xi.open_measurement(room / "run_master.h5", time="frame")
    for number, frame in enumerate(frames):
        tifffile.imwrite(room / f"run_{number:05d}.tif", frame, datetime="2014:05:28 10:00:00", metadata=None)
    return xi.open_measurement(room, instrument="generic", tz="UTC", order_error="ignore", on_error=on_error)


def recipes(rng):
    """What is done to frames before a spot is looked for in them, by name."""
    flat, dark = (xr.DataArray(rng.normal(mean, 0.05, SHAPE), dims=("y", "x")) for mean in (1, 0.3))
    mask = xr.DataArray(rng.random(SHAPE) < 0.05, dims=("y", "x"))
    far = xi.Background(y=(50, 58), x=(3, 60), mode="subtract")
    return {
        "nothing": None,
        "median": xi.Correction(median=3, flatfield=flat),
        "all": xi.Correction(median=5, flatfield=flat, mask=mask, background=far, dark=dark),
    }


@pytest.mark.thorough("file_per_frame-median-compiled")
@pytest.mark.parametrize("kernel", ["compiled", "numpy"])
@pytest.mark.parametrize("recipe", ["nothing", "median", "all"])
@pytest.mark.parametrize("as_one", [False, True], ids=["file_per_frame", "as_one"])
def test_frames_in_files_are_looked_at_as_those_in_memory(recipe, kernel, as_one, tmp_path, monkeypatch):
    """Only rows near the ROI are read, and more where it leaves them: the same bits, whatever is read."""
    if kernel == "numpy":
        monkeypatch.setattr(compiled, "library", lambda: None)
    image, _ = wandering(24)
    scan = in_files(tmp_path, image.values, as_one=as_one)
    roi, correction = xi.Roi("spot", (8, 33), (18, 43), background=("edge",)), recipes(np.random.default_rng(3))[recipe]
    own, seen = tracking.Follower.look, {}

    def noted(follower, number, most, box):
        looks = own(follower, number, most, box)
        for place, look in enumerate(looks):
            np.testing.assert_array_equal(look, seen.setdefault((number + place, *box.tolist()), look))
        return looks

    monkeypatch.setattr(tracking.Follower, "look", noted)
    found = [xi.track(scan, roi, correction=correction)]
    monkeypatch.setattr(tracking, "MARGIN", 0)
    found += [xi.track(scan, roi, correction=correction), xi.track(scan.load(), roi, correction=correction)]
    assert len(found[0].roi.path) > 10
    assert len({one.roi for one in found}) == 1
    assert not any(one.lost.any() for one in found)


def test_of_frames_in_files_only_rows_near_the_roi_are_read(tmp_path, monkeypatch):
    image, _ = wandering(24)
    far = np.pad(image.values, ((0, 0), (0, 200), (0, 0)))
    scan, read, own = in_files(tmp_path, far), [], FrameStack._fill

    def noted(stack, result, frames, rows, columns):
        read.append(len(frames) * len(rows))
        own(stack, result, frames, rows, columns)

    monkeypatch.setattr(FrameStack, "_fill", noted)
    found = xi.track(scan, xi.Roi("spot", (8, 33), (18, 43), background=("edge",)))
    assert not found.lost.any()
    assert sum(read) < 24 * 260 / 2


def test_frames_that_cannot_be_read_are_said_once_and_the_spot_is_lost_there(tmp_path):
    image, _ = wandering(12)
    scan = in_files(tmp_path, image.values, on_error="nan")
    for number in (4, 5, 9):
        (tmp_path / f"run_{number:05d}.tif").unlink()
    with pytest.warns(xi.XinsituWarning, match="cannot be read") as heard:
        found = xi.track(scan, xi.Roi("spot", (8, 33), (18, 43), background=("edge",)))
    assert [str(one.message).partition(" because")[0] for one in heard] == ["3 of 12 frames are NaN"]
    assert np.flatnonzero(found.lost).tolist() == [4, 5, 9]
