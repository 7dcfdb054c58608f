"""Onsets against broken lines of known place: errors, windows, what is none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.signal
import xarray as xr

import xinsitu as xi

START = np.datetime64("2022-02-03T04:05:06", "ns")


def grown(rates, rng, period=1.0):
    counts = rng.poisson(rates).astype(float)
    time = START + (np.arange(len(counts)) * period * 1e9).astype("timedelta64[ns]")
    data = {"intensity": (("time", "roi"), counts), "intensity_errors": (("time", "roi"), np.sqrt(np.fmax(counts, 1)))}
    return xr.Dataset(data, {"time": time, "roi": [f"R{i}" for i in range(counts.shape[1])]})


@pytest.mark.thorough
def test_errors_are_right_over_a_thousand_repetitions():
    rng = np.random.default_rng(7)
    t, at, slope = np.arange(90.0), rng.uniform(30, 60, 1000), 0.06
    rates = 2500 * (1 + slope * np.maximum(t[:, None] - at, 0))
    found = xi.find_onsets(grown(rates, rng))
    pulls = (found.delay - at) / found.delay_errors
    assert 0.85 < np.sqrt((pulls**2).mean()) < 1.15
    after = (found.slope_after - 2500 * slope) / found.slope_after_errors
    before = found.slope_before / found.slope_before_errors
    for one in (after, before):
        assert 0.85 < np.sqrt((one**2).mean()) < 1.15


def test_growth_that_saturates_later_has_its_onset_where_it_begins():
    rng = np.random.default_rng(8)
    t = np.maximum(np.arange(400.0) - 150.3, 0)
    found = xi.find_onsets(grown(1e5 * (1 + 3 * (1 - np.exp(-t / 60)))[:, None], rng))
    assert found.delay.item() == pytest.approx(150.3, abs=2.5)


def test_the_delay_counts_from_the_event_and_in_seconds():
    rng = np.random.default_rng(9)
    series = grown(8e3 * (1 + 0.05 * np.maximum(np.arange(120.0) - 70.5, 0))[:, None], rng, period=0.5)
    event = xi.Event("shutter", series.time.values[60])
    found = xi.find_onsets(series, t0=event)
    assert abs(found.delay.item() - 5.25) < 4 * found.delay_errors.item() < 2
    assert abs((found.onset.values[0] - START) / np.timedelta64(1, "s") - 35.25) < 4 * found.delay_errors.item()
    assert found.slope_after.attrs["units"] == "counts / s"
    (marker,) = xi.onset_events(found)
    assert (marker.name, marker.start) == ("onset R0", found.onset.values[0])
    row = xi.compare({"a": series}, t0=event, events=[event]).table().set_index("quantity").loc["intensity"]
    assert row["onset"] == pytest.approx(found.delay.item())


def test_a_straight_line_noise_and_nothing_have_none():
    rng = np.random.default_rng(10)
    t = np.arange(100.0)
    series = grown(np.stack([np.full(100, 900.0), 900 + 20 * t, np.full(100, 3.0)], axis=1), rng)
    series["intensity"][:, 2] = np.nan
    found = xi.find_onsets(series)
    assert found.onset.isnull().all()
    assert found.delay.isnull().all()
    assert xi.onset_events(found) == []
    assert xi.find_onsets(series.isel(time=slice(0, 3))).delay.isnull().all()


@pytest.mark.parametrize(
    "growth", [lambda t: 1 - np.exp(-t / 40), lambda t: np.expm1(t / 45)], ids=["slower", "faster"]
)
@pytest.mark.thorough("slower")
def test_growth_that_bends_from_its_onset_on_has_errors_that_hold(growth):
    rng = np.random.default_rng(11)
    t, at = np.arange(120.0), rng.uniform(45, 75, 40)
    found = xi.find_onsets(grown(8e3 * (1 + growth(np.maximum(t[:, None] - at, 0))), rng))
    pulls = (found.delay - at) / found.delay_errors
    assert found.delay.notnull().all()
    assert np.median(np.abs(pulls)) < 1.5
    assert np.sqrt((pulls**2).mean()) < 2.5


@pytest.mark.thorough
def test_a_smooth_bend_has_no_onset():
    rng = np.random.default_rng(12)
    t = np.arange(160.0)[:, None] / 160
    found = xi.find_onsets(grown(np.repeat(9e3 * (1 + 0.3 * t + 0.8 * t**2), 20, axis=1), rng))
    assert found.delay.notnull().sum() <= 1


def wandering(decay, spread, rng, frames, rois):
    """A beam whose intensity goes on from frame to frame: a first-order autoregressive process about 1."""
    steps = rng.normal(0, spread * np.sqrt(1 - decay**2), (frames, rois))
    steps[0] = rng.normal(0, spread, rois)
    return 1 + scipy.signal.lfilter([1.0], [1.0, -decay], steps, axis=0)


@pytest.mark.thorough
@pytest.mark.parametrize(("decay", "spread"), [(0.6, 0.04), (0.9, 0.05), (0.95, 0.01)])
def test_a_beam_that_wanders_has_no_onset(decay, spread):
    rng = np.random.default_rng(13)
    found = xi.find_onsets(grown(4e4 * wandering(decay, spread, rng, 260, 40), rng))
    assert found.delay.notnull().sum() <= 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("decay", "spread", "slope"), [(0.0, 0.04, 0.03), (0.6, 0.03, 0.02), (0.9, 0.02, 0.03), (0.95, 0.01, 0.01)]
)
def test_errors_hold_in_a_beam_that_flickers_or_wanders(decay, spread, slope):
    rng = np.random.default_rng(14)
    t, at = np.arange(260.0), rng.uniform(90, 170, 40)
    rates = 4e4 * (1 + slope * np.maximum(t[:, None] - at, 0))
    found = xi.find_onsets(grown(rates * wandering(decay, spread, rng, t.size, at.size), rng))
    assert found.delay.notnull().mean() > 0.95
    onset = (found.delay - at) / found.delay_errors
    after = (found.slope_after - 4e4 * slope) / found.slope_after_errors
    most = 1.5 if decay < 0.5 else 2.5
    for pulls in (onset, after):
        assert 0.7 < np.sqrt((pulls**2).mean()) < most


@pytest.mark.thorough
@pytest.mark.parametrize("slope", [0.0, -10.0])
def test_a_line_through_zero_in_a_beam_that_wanders_has_no_onset(slope):
    """As behind a background: there the noise is no part of what is left."""
    rng = np.random.default_rng(15)
    t = np.arange(260.0)[:, None]
    series = grown(np.ones((260, 20)), rng)
    series["intensity"].values[:] = slope * (t - 130) + 60 * (wandering(0.9, 2.0, rng, 260, 20) - 1)
    series["intensity_errors"].values[:] = 20.0
    assert xi.find_onsets(series).delay.notnull().sum() <= 1


def test_a_series_of_zeros_has_no_onset_and_nothing_to_warn_of():
    time = np.datetime64("2014-05-28", "ns") + np.arange(40) * np.timedelta64(1, "s")
    data = {"intensity": (("time", "roi"), np.zeros((40, 1))), "intensity_errors": (("time", "roi"), np.ones((40, 1)))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xi.find_onsets(xr.Dataset(data, {"time": time, "roi": ["A"]}))
    assert np.isnat(found.onset.values).all()
