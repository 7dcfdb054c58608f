"""ROIs that move: key frames, tracking, and what is measured in them."""

from __future__ import annotations

import tracemalloc

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.physics.reduction import tracking
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
