"""The first look at a run: where its ROIs are put, and how bright the image is."""

from __future__ import annotations

import numpy as np
import pytest

import xinsitu as xi
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.state.first_rois import first_rois
from xinsitu.app.state.model import ExplorerModel
from xinsitu.recipe import Reading

SHAPE = ((0, 120), (0, 200))


def run(*spots, ground=2.0, scale=(1, 1, 1), seed=1):
    """Frames with Gaussian spots (row, column, height, columns per frame), counted."""
    y, x = np.mgrid[: SHAPE[0][1], : SHAPE[1][1]]
    rng = np.random.default_rng(seed)
    frames = []
    for number, factor in enumerate(scale):
        mean = np.full(y.shape, ground)
        for row, column, height, step in spots:
            mean += height * np.exp(-((y - row) ** 2 + (x - column - step * number) ** 2) / (2 * 3.0**2))
        frames.append(rng.poisson(mean * factor))
    return np.array(frames, "float32")


def holds(roi, row, column):
    return roi.y[0] <= row < roi.y[1] and roi.x[0] <= column < roi.x[1]


def test_the_spot_that_moves_is_taken_not_the_brightest():
    frames = run((30, 40, 5000, 0), (80, 150, 2000, 6))
    spot, background = first_rois(frames, SHAPE)
    assert holds(spot, 80, 150)
    assert holds(spot, 80, 162)  # all of its way
    assert not holds(spot, 30, 40)
    assert spot.measure is None
    assert spot.background == (background.name,)
    assert background.role == "background"


def test_a_filter_is_no_change_of_the_sample():
    frames = run((30, 40, 9000, 0), (80, 150, 3000, 5), scale=(1.0, 0.1, 0.1))
    assert holds(first_rois(frames, SHAPE)["spot"], 80, 155)


@pytest.mark.parametrize("scale", [(1,), (1, 1, 1)])
def test_where_nothing_moves_the_brightest_is_taken_and_no_hot_pixel(scale):
    frames = run((30, 40, 5000, 0), (80, 150, 900, 0), scale=scale)
    frames[:, 100, 20] = 1e6
    frames[-1, 5, 190] = 1e5  # a cosmic ray
    rois = first_rois(frames, SHAPE)
    assert holds(rois["spot"], 30, 40)
    y, x = rois["background"].y, rois["background"].x
    assert frames[0, slice(*y), slice(*x)].mean() < 4  # empty


def test_the_background_lies_in_no_gap_and_touches_no_spot():
    frames = run((60, 100, 5000, 0), (60, 40, 4000, 0))
    frames[:, 44:52] = 0
    frames[:, :, 120:150] = np.nan
    rois = first_rois(frames, SHAPE)
    y, x = rois["background"].y, rois["background"].x
    part = frames[:, slice(*y), slice(*x)]
    assert np.isfinite(part).all()
    assert 1 < part.mean() < 4


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 3, 4)), np.zeros((2, 3, 4)), np.full((1, 3, 4), np.nan), np.ones((1, 1, 1))]
)
def test_there_are_rois_of_any_frames(frames):
    shape = (5, 5 + frames.shape[1]), (7, 7 + frames.shape[2])
    for roi in first_rois(frames.astype("float32"), shape):
        assert shape[0][0] <= roi.y[0] < roi.y[1] <= shape[0][1]
        assert shape[1][0] <= roi.x[0] < roi.x[1] <= shape[1][1]


def test_colours_are_for_all_of_the_run(tmp_path):
    """A spot of a few pixels that comes late is not white from then on."""
    import tifffile

    for number in range(12):
        frame = np.ones((90, 110), "int32")
        frame[40:43, 50:54] += 10 * 3**number
        tifffile.imwrite(tmp_path / f"late_{number:03d}.tif", frame)
    store = FrameStore(open_source(tmp_path, reading=Reading(time="frame")))
    model = ExplorerModel(store)
    assert model.view.limits[1] == pytest.approx(1 + 10 * 3**11, rel=1e-6)
    assert model.view.limits[0] <= 1
    assert holds(model.regions.rois["spot"], 41, 52)


def test_the_reflectivity_is_seen_at_once(shared_data):
    folder = shared_data / "i07" / "refl" / "380404"
    model = ExplorerModel(FrameStore(open_source(folder)))
    first = xi.open_measurement(folder).image[0].values
    row, column = np.unravel_index(first.argmax(), first.shape)
    assert holds(model.regions.rois["spot"], row, column)
    assert model.view.limits[1] > 0.5 * first.max()
