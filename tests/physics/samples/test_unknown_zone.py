"""What a sample keeps of moments where nobody knows the time zone: no word of UTC, and the same moments again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.values import AttenuationChange, Event


def _sample(source: str) -> xr.Dataset:
    time = np.datetime64("2019-11-05T23:58:20", "ns") + np.arange(60) * np.timedelta64(3, "s")
    level = np.where(np.arange(60) < 33, 5200.0, 650.0)
    noise = np.random.default_rng(8).normal(0, 1, 60) * np.sqrt(level)
    intensity = (level + noise)[:, None]
    return xr.Dataset(
        {"intensity": (("time", "roi"), intensity), "intensity_errors": (("time", "roi"), np.sqrt(intensity))},
        {"time": time, "roi": ["a"], "frame": ("time", np.arange(100, 160)), "measurement": "film"},
        {"time_zone_source": source, **({"time_zone": "Asia/Tokyo"} if source == "tz" else {})},
    )


@pytest.mark.parametrize("source", ["unknown", "tz"])
def test_changes_and_events(source: str) -> None:
    sample = _sample(source)
    time = sample.time.values
    change = AttenuationChange(time[32], time[33], note="by hand")
    corrected = xi.correct_attenuation(sample, [change])
    corrected = xi.with_events(corrected, [Event("open", time[7], time[9]), Event("end", {"frame": 151})])
    kept = f"{corrected.attrs['attenuation']} {corrected.attrs['events']}"
    assert ('"utc"' in kept) == (source == "tz")
    assert ("Z" in kept) == (source == "tz")
    if source == "unknown":
        assert json.loads(corrected.attrs["attenuation"])["changes"][0]["before"]["time"] == "2019-11-05T23:59:56"
    (again,) = xi.attenuation_changes(corrected)
    assert (again.before, again.after) == (time[32], time[33])
    assert again.factor == pytest.approx(float(sample.intensity[32, 0] / sample.intensity[33, 0]))
    events = {event.name: event for event in xi.events_of(corrected)}
    assert (events["open"].start, events["open"].stop) == (time[7], time[9])
    assert events["end"].start == time[51]
    undone = xi.undo_attenuation(corrected)
    np.testing.assert_array_equal(undone.intensity, sample.intensity)
    np.testing.assert_allclose(xi.correct_attenuation(undone, [again]).intensity, corrected.intensity)
