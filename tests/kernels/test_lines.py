"""One line fit, one local polynomial: NumPy and SciPy give the same, and so do all who fit one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import savgol_filter

import xinsitu as xi
from xinsitu.kernels import lines
from xinsitu.plots.curve_filters import Smoothing, local_fit
from xinsitu.plots.curves import drawing

START = np.datetime64("2017-09-02T04:00:00", "ns")


def times(seconds: np.ndarray) -> np.ndarray:
    return START + np.round(np.asarray(seconds) * 1e6).astype("int64").astype("timedelta64[us]")


def measured(seconds: np.ndarray, values: np.ndarray, errors: np.ndarray | None = None) -> xr.Dataset:
    """A series of one ROI and one quantity."""
    variables = {"com_y": (("time", "roi"), values[:, None])}
    if errors is not None:
        variables["com_y_errors"] = (("time", "roi"), errors[:, None])
    return xr.Dataset(variables, {"time": times(seconds), "roi": ["ZB"]})


def both(series: xr.Dataset) -> list[tuple[float, float]]:
    """Slope and error that ``slope`` and ``compare`` give."""
    one = series.sel(roi="ZB")
    line = xi.slope(one.com_y, errors=one.get("com_y_errors"))
    table = xi.compare({"0912": series}).slopes.sel(sample="0912", roi="ZB", quantity="com_y")
    return [(float(found.slope), float(found.slope_errors)) for found in (line, table)]


@pytest.mark.parametrize("scatter", [0.2, 1.0, 4.0])
def test_a_weighted_line_is_that_of_numpy_with_errors_that_only_grow(scatter):
    rng = np.random.default_rng(round(10 * scatter))
    x = np.sort(rng.uniform(0, 90, 37))
    errors = rng.uniform(0.3, 2.0, 37)
    y = 4 - 0.07 * x + scatter * errors * rng.standard_normal(37)
    (slope, _), covariance = np.polyfit(x, y, 1, w=1 / errors, cov="unscaled")
    left = (y - np.polyval(np.polyfit(x, y, 1, w=1 / errors), x)) / errors
    birge = max(1.0, float(left @ left) / 35)
    for found, error in both(measured(x - x[0], y, errors)):
        assert found == pytest.approx(slope, rel=1e-5)
        assert error == pytest.approx(np.sqrt(covariance[0, 0] * birge), rel=1e-5)


@pytest.mark.thorough
@given(
    st.integers(3, 40),
    st.sampled_from(["none", "all", "some lost", "zero", "no value"]),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_slope_and_compare_give_one_slope_with_one_error(frames, known, seed):
    rng = np.random.default_rng(seed)
    seconds = np.round(np.cumsum(rng.uniform(0.2, 4, frames)), 6)
    values, errors = rng.normal(100, 9, frames), rng.uniform(1, 5, frames)
    at = rng.random(frames) < 0.3
    if known == "some lost":
        errors[at] = np.nan
    elif known == "zero":
        errors[at] = 0.0
    elif known == "no value":
        values[at] = np.nan
    line, table = both(measured(seconds - seconds[0], values, None if known == "none" else errors))
    usable = np.isfinite(values) & np.isfinite(errors) if known != "none" else np.isfinite(values)
    if usable.sum() >= 3:
        np.testing.assert_allclose(line, table, rtol=1e-7)
    if known == "zero" and at.any():
        true = stats.linregress(seconds, values)
        np.testing.assert_allclose(line, (true.slope, true.stderr), rtol=1e-5)


def test_rows_of_zero_counts_do_not_lift_a_line():
    counts = np.random.default_rng(8).poisson(0.8, (400, 60)).astype(float)
    weight, known = lines.weights(counts, np.sqrt(counts))
    assert not known.any()
    level = lines.straight(np.arange(60.0), counts, weight).level
    assert level.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.8 / 24_000))


def test_two_known_points_have_a_slope_and_the_error_that_they_say():
    weight, known = lines.weights(np.array([1.0, 4.0, np.nan]), np.array([0.3, 0.4, 0.1]))
    line = lines.straight(np.array([0.0, 2.0, 3.0]), np.array([1.0, 4.0, np.nan]), weight)
    assert line.slope == pytest.approx(1.5)
    assert np.sqrt(line.slope_variance * lines.inflation(line, known)) == pytest.approx(0.25)
    for few in ([True, False, False], [False, False, False]):
        assert np.isnan(lines.straight(np.arange(3.0), np.ones(3), np.array(few, dtype=float)).slope)


@pytest.mark.parametrize(("window", "order"), [(5, 0), (7, 1), (11, 2), (9, 3), (21, 4)])
@pytest.mark.parametrize("even", [True, False])
def test_smooth_and_a_smoothed_plot_agree_to_the_ends(window, order, even):
    rng = np.random.default_rng(window)
    seconds = np.arange(70.0) if even else np.round(np.cumsum(rng.uniform(0.3, 1.0, 70)), 6)
    seconds = seconds - seconds[0]
    values = 300 * np.cos(seconds / 9) + rng.normal(0, 5, 70)
    values[[9, 33]] = np.nan
    series = xr.DataArray(values, {"time": times(seconds)}, "time")
    word = f"savgol:{window},{order}" if order else f"mean:{window}"
    for deriv in (0, 1) if order else (0,):
        ours = xi.derivative(series, window, order=order) if deriv else xi.smooth(series, window, order=order)
        plotted = local_fit(seconds, values, np.ones(70), Smoothing(window, order), derivative=deriv)[0]
        np.testing.assert_allclose(ours, plotted, rtol=1e-9, atol=1e-9)
        drawn = drawing(measured(seconds, values), smooth=word, derivative=bool(deriv)).panels[0].curves[0]
        np.testing.assert_allclose(drawn.y[np.isfinite(drawn.y)] + drawn.offset, ours[np.isfinite(ours)], rtol=1e-7)
    if even and order:
        whole = xr.DataArray(np.nan_to_num(values), {"time": times(seconds)}, "time")
        np.testing.assert_allclose(
            xi.smooth(whole, window, order=order), savgol_filter(whole.values, window, order), rtol=1e-8, atol=1e-7
        )


def test_errors_of_smoothed_points_are_those_of_the_scatter_to_the_ends():
    rng = np.random.default_rng(3)
    offset = lines.windows(np.arange(25.0), 9, 2) - np.arange(25.0)[:, None]
    runs = rng.standard_normal((4000, 25))
    around = np.stack([lines.windows(run, 9, 2) for run in runs])
    found, _ = lines.local_polynomial(around, offset, 2)
    stated = lines.local_polynomial(around[0], offset, 2, errors=np.ones((25, 9)))[1]
    np.testing.assert_allclose(found.std(axis=0), stated, rtol=0.06)


def test_points_that_do_not_tell_the_polynomial_give_nan():
    at_once = lines.local_polynomial(np.array([1.0, 2.0, 3.0]), np.zeros(3), 1, derivative=1)[0]
    too_few = lines.local_polynomial(np.array([1.0, np.nan, 3.0]), np.array([-1.0, 0.0, 1.0]), 2)[0]
    assert np.isnan(at_once)
    assert np.isnan(too_few)
    assert lines.local_polynomial(np.array([1.0, np.nan, 3.0]), np.array([-1.0, 0.0, 1.0]), 1)[0] == pytest.approx(2)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("derivative", [0, 1])
@pytest.mark.parametrize("window", [5, 9, 31])
def test_a_point_has_the_same_bits_alone_and_among_others(order, derivative, window):
    """Whatever the chunks: sums take their terms in the same order."""
    rng = np.random.default_rng(window)
    values = np.asarray(rng.normal(1e6, 1e3, (7, 6, 5, window)), order="F")
    values[2, 3, 1, window // 2] = np.nan
    offset = np.sort(rng.normal(0, 3, (7, 1, 1, window)), axis=-1)
    whole, _ = lines.local_polynomial(values, offset, order, derivative=derivative)
    for place in np.ndindex(7, 6, 5):
        alone, _ = lines.local_polynomial(values[place], offset[place[0], 0, 0], order, derivative=derivative)
        assert alone.tobytes() == whole[place].tobytes(), place
    part, _ = lines.local_polynomial(values[1:4, ::2], offset[1:4], order, derivative=derivative)
    assert part.tobytes() == np.ascontiguousarray(whole[1:4, ::2]).tobytes()
