"""The period of an oscillation: the periodogram of SciPy, pulls of one, gaps, uneven steps; and no period in noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import xarray as xr

import xinsitu as xi
from xinsitu.physics.samples import oscillations

START = np.datetime64("2014-05-28T08:00:00", "ns")


def axis(rng: np.random.Generator) -> np.ndarray:
    """Uneven steps with a gap, in whole microseconds."""
    t = np.cumsum(rng.uniform(0.6, 1.6, 170))
    return np.round(np.r_[t[:80], t[80:] + 33.0], 6)


def series(t: np.ndarray, values: np.ndarray) -> xr.DataArray:
    time = START + np.round(t * 1e9).astype("timedelta64[ns]")
    return xr.DataArray(values, {"time": time}, ("time", "roi")[: values.ndim], attrs={"units": "counts"})


def layers(t: np.ndarray, period: float) -> np.ndarray:
    """RHEED-like: oscillations that die away on an intensity that drifts."""
    return 5000 + 4 * t - 0.01 * t**2 + 400 * np.exp(-t / 130) * np.cos(2 * np.pi * t / period + 0.7)


def test_the_periodogram_is_that_of_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs has a floating mean, ours a parabola; of order 0 they are the same."""
    monkeypatch.setattr(oscillations, "ORDER", 0)
    rng = np.random.default_rng(0)
    t = axis(rng)
    y = np.cos(2 * np.pi * t / 17) + rng.standard_normal(t.size)
    weight = rng.uniform(0.2, 2, t.size)
    frequencies = np.linspace(0.01, 0.4, 300)
    ours = oscillations.periodogram(t - t.mean(), y, weight, frequencies)
    theirs = scipy.signal.lombscargle(t, y, 2 * np.pi * frequencies, weights=weight, floating_mean=True, normalize=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("period", "noise"), [(11.3, 120.0), (24.0, 60.0), (5.1, 150.0)])
@pytest.mark.parametrize("known", [True, False])
def test_pulls_of_a_thousand_repetitions(period: float, noise: float, known: bool) -> None:
    rng = np.random.default_rng(1)
    t = axis(rng)
    values = layers(t, period)[:, None] + noise * rng.standard_normal((t.size, 1000))
    data = series(t, values)
    errors = xr.full_like(data, noise) if known else None
    found = xi.oscillation_period(data, errors=errors, periods=(0.6 * period, 1.8 * period))
    assert float(found.period.notnull().mean()) > 0.99
    pulls = ((found.period - period) / found.period_errors).values
    assert abs(np.nanmean(pulls)) < 0.12
    assert 0.88 < np.nanstd(pulls) < 1.12
    damping = ((found.damping - 1 / 130) / found.damping_errors).values
    assert abs(np.nanmean(damping)) < 0.25
    assert 0.85 < np.nanstd(damping) < 1.15


@pytest.mark.thorough
def test_noise_has_no_period() -> None:
    rng = np.random.default_rng(2)
    t = axis(rng)[:120]
    data = series(t, 900 + 3 * t[:, None] + 30 * rng.standard_normal((t.size, 400)))
    found = xi.oscillation_period(data)
    assert int(found.period.notnull().sum()) <= 10
    assert 0.2 < float((found.false_alarm < 0.5).mean()) < 0.7


@pytest.mark.parametrize("shape", ["step", "logistic", "onset", "flat"])
@pytest.mark.parametrize("noise", [1.0, 20.0])
@pytest.mark.thorough("1.0-onset", "20.0-step")
def test_growth_without_oscillation_has_no_period(shape: str, noise: float) -> None:
    rng = np.random.default_rng(3)
    t = axis(rng)
    curve = {
        "step": np.where(t > 90, 2000.0, 600.0),
        "logistic": 500 + 2000 / (1 + np.exp(-(t - 100) / 9)),
        "onset": 500 + 20 * np.maximum(t - 120, 0),
        "flat": np.full(t.size, 500.0),
    }[shape]
    data = series(t, curve[:, None] + noise * rng.standard_normal((t.size, 20)))
    assert xi.oscillation_period(data).period.isnull().sum() >= 19


def test_other_shapes_have_the_same_period() -> None:
    rng = np.random.default_rng(4)
    t = axis(rng)
    cusps = 1000 + 500 * np.abs(np.sin(np.pi * t / 13.0))
    found = xi.oscillation_period(series(t, cusps[:, None] + 10 * rng.standard_normal((t.size, 30))), periods=(5, 60))
    assert (abs(found.period - 13) < 3 * found.period_errors).all()
    assert (found.period_errors < 0.1).all()


def test_missing_frames_units_and_names() -> None:
    rng = np.random.default_rng(5)
    t = axis(rng)
    values = np.stack([layers(t, 12.0), layers(t, 12.0)], axis=1) + rng.standard_normal((t.size, 2))
    values[rng.random(t.size) < 0.3, 1] = np.nan
    found = xi.oscillation_period(series(t, values).rename("intensity"))
    np.testing.assert_allclose(found.period, 12, rtol=1e-3)
    assert found.period.attrs["units"] == "s"
    assert found.amplitude.attrs["units"] == "counts"
    assert found.power.dims == ("roi", "frequency")
    one = xi.oscillation_period(series(t, values[:, 0]))
    assert float(one.period) == pytest.approx(float(found.period[0]), rel=1e-9)
    window = (START + np.timedelta64(20, "s"), START + np.timedelta64(90, "s"))
    assert float(xi.oscillation_period(series(t, values[:, 0]), window).period) == pytest.approx(12, rel=5e-3)


def test_what_makes_no_sense_is_refused() -> None:
    t = np.arange(50.0)
    data = series(t, np.cos(t))
    for periods in ((9.0, 3.0), (0.0, 5.0), (-1.0, 5.0)):
        with pytest.raises(xi.SchemaError, match="shortest to a longest"):
            xi.oscillation_period(data, periods=periods)
    with pytest.raises(xi.SchemaError, match="closer range"):
        xi.oscillation_period(data, periods=(1e-3, 9.0))
    with pytest.raises(xi.SchemaError, match="8 frames"):
        xi.oscillation_period(data[:5])
    with pytest.raises(xi.SchemaError, match="other frames"):
        xi.oscillation_period(data, errors=data[1:])
