"""What flags leave out is not zero: no frame beside it stands out for that."""

from __future__ import annotations

import numpy as np
import xarray as xr

import xinsitu as xi
from xinsitu.physics.attenuation.transitions import Transition, _one_way
from xinsitu.schema import Quality


def test_frames_between_saturated_ones_are_not_told_as_single_frames() -> None:
    rng = np.random.default_rng(41)
    rates = 3e4 * np.array([1.0, 0.6, 0.3]) * np.where(np.arange(120) < 70, 1, 1 / 7)[:, None]
    counts = rng.poisson(rates).astype(float)
    saturated = rng.random(counts.shape) < 0.6
    saturated[70:] = False
    saturated[saturated.all(axis=1), 2] = False
    flags = np.where(saturated, int(Quality.SATURATED), 0)
    time = np.datetime64("2019-05-06", "ns") + np.arange(120) * np.timedelta64(1, "s")
    series = xr.Dataset(
        {
            "intensity": (("time", "roi"), np.where(saturated, 0.7 * counts, counts)),
            "intensity_errors": (("time", "roi"), np.sqrt(counts)),
            "quality": (("time", "roi"), flags),
        },
        {"time": time, "roi": ["WZ", "ZB", "TW"]},
    )
    found = xi.find_attenuation_changes(series)
    assert len(found) == 1
    assert abs(found[0].factor - 7) < 4 * found[0].factor_errors
    assert [one.reason for one in found.rejected] == []


def test_the_way_of_two_steps_is_that_of_the_rois_known_at_all_their_ends() -> None:
    values = np.repeat([[900.0, 90.0], [600.0, 60.0], [500.0, 50.0], [300.0, 30.0]], 3, axis=0)
    first, second = Transition(2, 3, 0, 12), Transition(8, 9, 0, 12)
    assert _one_way(values, first, second)
    values[3, 0] = np.nan  # saturated
    assert _one_way(values, first, second)
