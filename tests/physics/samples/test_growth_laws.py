"""Growth laws: the numbers of lmfit, pulls of one, and errors that segments share."""

from __future__ import annotations

import lmfit
import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.physics.samples.growth import shared_modes
from xinsitu.physics.samples.growth_laws import LAWS

START = np.datetime64("2014-05-28T08:00:00", "ns")


def linear(t, offset, rate):
    return offset + rate * t


def parabola(t, offset, rate, curvature):
    return offset + rate * t + curvature * t**2 / 2


def exponential(t, offset, amplitude, rate):
    return offset + amplitude * np.exp(rate * t)


def logistic(t, offset, amplitude, rate, middle):
    return offset + amplitude / (1 + np.exp(-rate * (t - middle)))


def avrami(t, offset, amplitude, rate, exponent):
    return offset + amplitude * (1 - np.exp(-((rate * np.maximum(t, 1e-12)) ** exponent)))


CURVES = {
    "linear": (linear, (500.0, 1.7)),
    "parabola": (parabola, (900.0, -2.0, 0.05)),
    "exponential": (exponential, (300.0, 900.0, -0.021)),
    "logistic": (logistic, (200.0, 1500.0, 0.06, 140.0)),
    "avrami": (avrami, (150.0, 2500.0, 0.009, 2.4)),
}
T = np.sort(np.r_[np.arange(0, 120, 1.5), np.arange(121, 330, 2.3)])


def time(t: np.ndarray) -> np.ndarray:
    return START + np.round(t * 1e9).astype("timedelta64[ns]")


def repeated(law: str, repetitions: int, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    """The same curve many times with normal noise of known size."""
    curve, true = CURVES[law]
    expected = curve(T, *true)[:, None]
    errors = np.sqrt(expected) * np.ones((1, repetitions))
    values = expected + errors * np.random.default_rng(seed).standard_normal(errors.shape)
    coords = {"time": time(T)}
    return xr.DataArray(values, coords, ("time", "roi"), attrs={"units": "counts"}), xr.DataArray(
        errors, coords, ("time", "roi")
    )


@pytest.mark.parametrize("law", CURVES)
@pytest.mark.parametrize("known", [True, False])
def test_a_fit_is_that_of_lmfit(law: str, known: bool) -> None:
    values, errors = repeated(law, 3)
    found = xi.fit_growth(values, law, errors=errors if known else None)
    curve, true = CURVES[law]
    model = lmfit.Model(curve, independent_vars=["t"])
    for roi in range(3):
        start = {name: 1.1 * value for name, value in zip(LAWS[law].parameters, true, strict=True)}
        weights = 1 / errors.values[:, roi] if known else None
        theirs = model.fit(values.values[:, roi], t=T, weights=weights, scale_covar=not known, **start)
        for name in LAWS[law].parameters:
            error = theirs.params[name].stderr
            assert abs(found[name][roi] - theirs.params[name].value) < 0.01 * error
            assert float(found[f"{name}_errors"][roi]) == pytest.approx(error, rel=0.01)
        assert float(found.chi_square[roi]) == pytest.approx(theirs.chisqr, rel=1e-4)
        np.testing.assert_allclose(
            found.covariance[roi], theirs.covar, rtol=0.03, atol=1e-3 * np.abs(theirs.covar).min()
        )
        np.testing.assert_allclose(found.curve[roi], theirs.best_fit, rtol=1e-4)


@pytest.mark.thorough("linear")
@pytest.mark.parametrize("law", CURVES)
def test_pulls_of_a_thousand_repetitions(law: str) -> None:
    values, errors = repeated(law, 1000, seed=4)
    found = xi.fit_growth(values, law, errors=errors)
    for name, true in zip(LAWS[law].parameters, CURVES[law][1], strict=True):
        pulls = ((found[name] - true) / found[f"{name}_errors"]).values
        assert np.isfinite(pulls).mean() > 0.995
        assert abs(np.nanmean(pulls)) < 0.12
        assert 0.9 < np.nanstd(pulls) < 1.1


@pytest.mark.thorough("linear")
@pytest.mark.parametrize("law", CURVES)
def test_what_segments_share_is_told_by_repetitions(law: str) -> None:
    """Two changes, known to 3 and 2 %, to both sides of the reference segment, and 1 % that all frames share."""
    rng = np.random.default_rng(5)
    curve, true = CURVES[law]
    segment = np.digitize(T, [90.0, 230.0])
    spread = np.array([0.03, 0.0, 0.02])
    scale = xr.DataArray(np.hypot(spread[segment], 0.01), {"time": time(T), "segment": ("time", segment)}, ("time",))
    off = 1 + spread[:, None] * rng.standard_normal((3, 1000))
    values = curve(T, *true)[:, None] * off[segment] * (1 + 0.01 * rng.standard_normal(1000))
    series = xr.DataArray(values, {"time": time(T)}, ("time", "roi"))
    errors = xr.DataArray(np.full(values.shape, 5.0), {"time": time(T)}, ("time", "roi"))
    found = xi.fit_growth(series, law, errors=errors, scale=scale)
    for name in LAWS[law].parameters:
        stated = float(np.median(found[f"{name}_scale_errors"]))
        seen = np.diff(np.nanpercentile(found[name], [15.87, 84.13])).item() / 2
        assert stated == pytest.approx(seen, rel=0.15)
    diagonal = np.einsum("raa->ra", found.scale_covariance.values)
    for column, name in enumerate(LAWS[law].parameters):
        np.testing.assert_allclose(np.sqrt(diagonal[:, column]), found[f"{name}_scale_errors"])


def test_modes_add_up_to_the_errors_of_a_corrected_sample() -> None:
    """Away from the reference segment errors of changes add in squares; its two sides have nothing in common."""
    frames = np.arange(90)
    series = xr.Dataset(
        {"intensity": (("time", "roi"), np.full((90, 1), 1e6))},
        {"time": time(frames), "roi": ["WZ"], "frame": ("time", frames), "measurement": "time1"},
    )
    changes = [
        xi.AttenuationChange(f"time1:{at}", f"time1:{at + 2}", 1.0, error)
        for at, error in ((19, 0.03), (39, 0.02), (59, 0.05))
    ]
    sample = xi.correct_attenuation(series, changes, reference=1)
    modes = shared_modes(sample.scale_errors)
    np.testing.assert_allclose((modes**2).sum("mode") ** 0.5, sample.scale_errors.fillna(0), atol=1e-12)
    covariance = (modes.values.T @ modes.values)[np.ix_([5, 50, 80], [5, 50, 80])]
    expected = np.diag([0.03**2, 0.02**2, 0.02**2 + 0.05**2])
    expected[1, 2] = expected[2, 1] = 0.02**2
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


def test_the_window_is_time_zero() -> None:
    t = np.arange(0.0, 200.0)
    series = xr.DataArray(
        avrami(t - 40, 10.0, 500.0, 0.02, 2.0) * (t >= 40) + 10.0 * (t < 40), {"time": time(t)}, ("time",)
    )
    found = xi.fit_growth(series, "avrami", (START + np.timedelta64(40, "s"), None))
    for name, true in (("offset", 10.0), ("amplitude", 500.0), ("rate", 0.02), ("exponent", 2.0)):
        assert float(found[name]) == pytest.approx(true, rel=1e-3)
    numbers = xi.fit_growth(series.assign_coords(time=t), "avrami", (40, None))
    assert float(numbers.rate) == pytest.approx(0.02, rel=1e-3)


def test_units_and_names() -> None:
    values, errors = repeated("logistic", 2)
    found = xi.fit_growth(values.rename("intensity"), "logistic", errors=errors)
    assert {name: found[name].attrs["units"] for name in LAWS["logistic"].parameters} == {
        "offset": "counts",
        "amplitude": "counts",
        "rate": "1/s",
        "middle": "s",
    }
    assert xi.fit_growth(values, "parabola").curvature.attrs["units"] == "counts/s^2"
    assert found.covariance.dims == ("roi", "parameter", "other")
    assert found.curve.dims == ("roi", "time")


def test_points_that_are_missing_or_too_few() -> None:
    values, errors = repeated("exponential", 3)
    values[::7, 0] = np.nan
    errors[::5, 1] = np.nan
    values[3:, 2] = np.nan
    found = xi.fit_growth(values, "exponential", errors=errors)
    assert found.n_points.values.tolist() == [len(T) - len(T[::7]), len(T) - len(T[::5]), 3]
    assert np.isfinite(found.rate.values).tolist() == [True, True, False]
    there = values[:, 0].notnull().values
    alone = xi.fit_growth(values[there, 0], "exponential", errors=errors[there, 0])
    assert float(found.rate[0]) == pytest.approx(float(alone.rate), rel=1e-6)


def test_flat_data_do_not_determine_a_logistic_curve() -> None:
    flat = xr.DataArray(np.full(50, 7.0), {"time": time(np.arange(50.0))}, ("time",))
    found = xi.fit_growth(flat, "logistic")
    assert np.isnan(found.middle)
    assert float(xi.fit_growth(flat, "linear").offset) == pytest.approx(7)


def test_other_laws_and_empty_windows_are_refused() -> None:
    values, _ = repeated("linear", 1)
    with pytest.raises(xi.SchemaError, match="no growth law 'quadratic'"):
        xi.fit_growth(values, "quadratic")
    with pytest.raises(xi.SchemaError, match="other frames"):
        xi.fit_growth(values[2:], "linear", errors=values[1:])
    with pytest.raises(xi.SchemaError, match="no frame"):
        xi.fit_growth(values, "linear", (START - np.timedelta64(9, "s"), START - np.timedelta64(5, "s")))
