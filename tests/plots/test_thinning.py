"""Figures of long series: as small as what can be seen, and what can be seen is all there."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.plots.curves import drawing
from xinsitu.plots.paper import paper_figure
from xinsitu.plots.thinning import COLUMNS, ON_SCREEN, extremes, outline, thinned

SECOND = np.timedelta64(1, "s")


def long_series(number: int, rois: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(4)
    time = np.datetime64("2014-05-28", "ns") + np.arange(number) * SECOND
    values = 1000 + rng.normal(0, 30, (number, rois))
    values[number // 3, 0] = 9000.0  # one frame alone
    values[number // 2, 1] = -70.0
    values[number // 4 : number // 4 + 5, 2] = np.nan
    names = [f"r{place}" for place in range(rois)]
    variables = {
        "intensity": (("time", "roi"), values),
        "intensity_errors": (("time", "roi"), np.full_like(values, 30.0)),
    }
    return xr.Dataset(variables, {"time": time, "roi": names})


@given(st.integers(1, 400), st.integers(1, 40), st.integers(0, 1000))
def test_every_column_keeps_its_lowest_and_highest_point_and_its_gap(number, columns, seed):
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(0, 9, number)), np.round(rng.normal(0, 3, number))
    y[rng.random(number) < 0.2] = np.nan
    kept = extremes(x, y, columns)
    assert (np.diff(kept) > 0).all()
    assert {0, number - 1} <= set(kept.tolist())
    assert len(kept) <= 3 * columns + 2
    width = (x[-1] - x[0]) or 1.0
    column = np.minimum(((x - x[0]) / width * columns).astype(int), columns - 1)
    for one in np.unique(column):
        own, left = y[column == one], y[kept[column[kept] == one]]
        assert np.isnan(own).any() == np.isnan(left).any()
        if np.isfinite(own).any():
            assert (np.nanmin(own), np.nanmax(own)) == (np.nanmin(left), np.nanmax(left))


def test_single_frames_and_gaps_are_still_seen():
    figure = drawing(long_series(60_000))
    small = thinned(figure, COLUMNS)
    for panel, whole in zip(small.panels, figure.panels, strict=True):
        for curve, all_of_it in zip(panel.curves, whole.curves, strict=True):
            assert len(curve.x) <= 3 * COLUMNS + 2 < len(all_of_it.x)
            assert (np.nanmin(curve.y), np.nanmax(curve.y)) == (np.nanmin(all_of_it.y), np.nanmax(all_of_it.y))
            assert np.isnan(curve.y).any() == np.isnan(all_of_it.y).any()
            assert set(curve.x.tolist()) <= set(all_of_it.x.tolist())


def test_the_band_of_a_long_curve_is_one_outline_around_all_its_error_bars():
    small = thinned(drawing(long_series(20_000)), COLUMNS)
    (axes,) = paper_figure(small).axes
    for curve, band in zip(small.panels[0].curves, axes.collections, strict=True):
        corners = np.concatenate([path.vertices for path in band.get_paths()])
        assert len(corners) <= 2 * COLUMNS + 10
        known = np.isfinite(curve.y)
        ends = (curve.y - curve.errors)[known].min(), (curve.y + curve.errors)[known].max()
        assert (corners[:, 1].min(), corners[:, 1].max()) == ends


def test_the_band_of_a_short_curve_goes_through_each_end_of_its_error_bars():
    x, y = np.arange(200.0), np.random.default_rng(0).normal(size=200)
    for part, expected in zip(outline(x, y - 1, y + 1, COLUMNS), (x, y - 1, y + 1), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_short_curves_stay_as_they_are():
    figure = drawing(long_series(500))
    assert thinned(figure, ON_SCREEN).panels == figure.panels


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "html"])
def test_files_of_long_series_are_small(tmp_path, ending):
    path = xi.save_plot(long_series(100_000, 6), tmp_path / f"long.{ending}")
    assert path.stat().st_size < 5e6
