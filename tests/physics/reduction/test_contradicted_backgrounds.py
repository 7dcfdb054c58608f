"""Backgrounds that the edges of a ROI contradict, and those that they do not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.schema import Quality

ROWS, COLUMNS = 60, 70
FAR = xi.Roi("BG", y=(0, 7), x=(0, COLUMNS), role="background")


def measured(level, how, frames=80):
    counts = np.random.default_rng(12).poisson(level, (frames, ROWS, COLUMNS)).astype("int32")
    image = xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rois = [xi.Roi("S", y=(10, 58), x=(8, 62), background=(how,)), *([FAR] if how == FAR.name else [])]
        series = xi.measure(image, rois).compute()
    flagged = float((series.quality.sel(roi="S") & Quality.BACKGROUND_DOUBTFUL > 0).mean())
    return flagged, " ".join(str(one.message) for one in said)


def spot(counts, tails=False):
    y, x = np.arange(ROWS)[:, None] - 33.2, np.arange(COLUMNS) - 35.6
    shape = 1 / (1 + (y / 2.2) ** 2) / (1 + (x / 2.7) ** 2) if tails else np.exp(-((y / 5.0) ** 2) - (x / 6.0) ** 2)
    return counts * shape / shape.sum()


SLOPE = 0.03 * np.arange(COLUMNS)


@pytest.mark.parametrize("how", ["edge", "plane", "BG"])
@pytest.mark.parametrize("counts", [0, 700, 7_000, 70_000])
@pytest.mark.parametrize("ground", [0.05, 3.0])
def test_what_is_right_is_not_contradicted(how, counts, ground):
    assert measured(spot(counts) + ground, how) == (0.0, "")


@pytest.mark.parametrize("how", ["edge", "BG"])
@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("frames", [1, 6, 80])
def test_a_slope_is_flagged_and_a_plane_proposed(how, axis, frames):
    ground = SLOPE if axis == "x" else 0.03 * np.arange(ROWS)[:, None]
    flagged, said = measured(spot(7_000) + 1 + ground, how, frames)
    assert flagged == 1
    assert (f"edges differ along {axis}" in said and "background='plane'" in said) == (how == "edge")


def test_a_plane_follows_the_slope():
    assert measured(spot(7_000) + 1 + SLOPE, "plane") == (0.0, "")


@pytest.mark.parametrize("how", ["edge", "plane", "BG"])
def test_tails_that_reach_the_edge_are_flagged(how):
    assert measured(spot(40_000, tails=True) + 1, how, 200) == (1.0, "")


def test_a_rod_through_the_roi_contradicts_nothing():
    rod = 4 * np.exp(-0.5 * ((np.arange(ROWS)[:, None] - 33) / 2.0) ** 2) * np.ones(COLUMNS)
    flagged, _ = measured(spot(7_000) + 1 + rod, "BG")
    assert flagged == 0


def beside(shape_x, ground, sides, frames=60):
    """Part of the frames that is flagged, of a spot of 5,000 counts with its background from ROIs left and right."""
    y, x = np.arange(40)[:, None] - 19.5, np.arange(120) - 59.5
    spot = np.exp(-0.5 * (y / 4.0) ** 2) * shape_x(x)
    level = 5_000 * spot / spot[:, 40:80].sum() + ground(x)
    counts = np.random.default_rng(7).poisson(level, (frames, *level.shape)).astype("int32")
    image = xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})
    boxes = {"left": (0, 36), "right": (84, 120)}
    rois = [xi.Roi(name, y=(0, 40), x=boxes[name], role="background") for name in sides]
    series = xi.measure(
        image, [xi.Roi("S", y=(0, 40), x=(40, 80), background=sides, measure=("intensity",)), *rois]
    ).compute()
    return float((series.quality.sel(roi="S") & Quality.BACKGROUND_DOUBTFUL > 0).mean())


def flat(x):
    return np.full(x.shape, 0.5)


@pytest.mark.parametrize("sides", [("right",), ("left",), ("left", "right")])
def test_tails_in_a_background_beside_the_spot_are_flagged(sides):
    assert beside(lambda x: 1 / (1 + (x / 4.9) ** 2), flat, sides) == 1
    assert beside(lambda x: np.exp(-0.5 * (x / 4.9) ** 2), flat, sides) == 0


def test_a_slope_that_both_sides_share_is_no_tail_but_that_of_one_side_is():
    def narrow(x):
        return np.exp(-0.5 * (x / 4.9) ** 2)

    assert beside(narrow, lambda x: 2 + 0.004 * x, ("left", "right")) == 0
    assert beside(narrow, lambda x: 2 + 0.02 * x, ("right",)) == 1
