"""How long a level has to be, between two steps, to be one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.physics.attenuation.transitions import is_level


@pytest.mark.parametrize(
    ("counts", "level"),
    [
        ([5000], False),
        ([5000, 5010], True),
        ([5000, 3000], False),
        ([9000, 6000, 3000, 2000], False),
        ([4000, 4030, 3980, 4010], True),
        ([9000, 7000, 5000, 3000, 2000], True),  # five frames are more than a filter that moves
    ],
)
def test_a_few_frames_are_a_level_only_if_they_agree(counts: list[float], level: bool) -> None:
    values = np.array(counts, dtype=float)[:, None] * [1.0, 0.5]
    assert is_level(values, np.sqrt(values)) is level


def counted(counts: list[float], seed: int, *, last: bool) -> xr.Dataset:
    """Frames with so many counts, and 110 at 20,000 behind them, or before them turned round."""
    rates = np.r_[counts, np.full(110, 20_000.0)][:: -1 if last else 1, None] * [1.0, 0.6, 0.3]
    values = np.random.default_rng(seed).poisson(rates).astype(float)
    time = np.datetime64("2022-02-02", "ns") + np.arange(len(values)) * np.timedelta64(1, "s")
    series = xr.Dataset({"intensity": (("time", "roi"), values)}, {"time": time, "roi": ["WZ", "ZB", "TW"]})
    return series.assign(intensity_errors=np.sqrt(np.fmax(series.intensity, 1)))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("counts", [[80.0] * 2, [30.0] * 3, [25.0] * 4, [1000.0] * 2])
def test_a_few_frames_at_an_end_whose_level_is_weak(counts: list[float], last: bool) -> None:
    """They were taken to be as noisy as the strong level, so that the step was passed over without a word."""
    for seed in range(4):
        series = counted(counts, seed, last=last)
        (change,) = found = xi.find_attenuation_changes(series)
        true, doubt = (20_000 / counts[0]) ** (1 if last else -1), change.factor_errors / change.factor
        assert abs(np.log(change.factor / true)) < 4 * doubt
        assert doubt < 0.3
        assert not found.rejected


@pytest.mark.parametrize("last", [False, True])
def test_two_frames_at_an_end_of_which_one_is_half_way_are_flagged(last: bool) -> None:
    for seed in range(4):
        series = counted([900.0, 2300.0], seed, last=last)
        found = xi.find_attenuation_changes(series)
        frames = (110, 111) if last else (0, 1)
        assert not found
        assert frames in [one.doubtful for one in found.rejected]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("half", [10_000.0, 16_000.0])
def test_a_single_frame_at_an_end_behind_one_that_is_half_way_is_flagged(last: bool, half: float) -> None:
    """Only the one half way was, where the curve to the last frame was too short to tell how far it bends."""
    for seed in range(3):
        found = xi.find_attenuation_changes(counted([2400.0, half], seed, last=last))
        assert not found
        assert (111 if last else 0) in {frame for one in found.rejected for frame in one.doubtful}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("level", "lone", "half"), [(400.0, 0.12, 0.55), (1000.0, 0.12, 0.62), (1000.0, 0.33, 0.6), (4000.0, 0.12, 0.6)]
)
def test_the_frame_half_way_to_a_single_one_at_an_end_is_flagged_with_it(
    level: float, lone: float, half: float, last: bool
) -> None:
    """Its neighbours differ as much as it is off, as the one at the end is among them."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rates = level * np.r_[lone, half, np.linspace(1.05, 1.0, 70)][:, None] * [1.0, 0.7, 0.4]
        values = rng.poisson(rates)[:: -1 if last else 1].astype(float)
        time = np.datetime64("2022-02-02", "ns") + np.arange(len(values)) * np.timedelta64(1, "s")
        series = xr.Dataset({"intensity": (("time", "roi"), values)}, {"time": time, "roi": ["WZ", "ZB", "TW"]})
        found = xi.find_attenuation_changes(series.assign(intensity_errors=np.sqrt(np.fmax(series.intensity, 1))))
        assert not found
        assert {frame for one in found.rejected for frame in one.doubtful} == ({70, 71} if last else {0, 1})


@pytest.mark.parametrize("frames", [5, 60])
def test_a_step_to_next_to_nothing_is_told_without_a_factor(frames: int) -> None:
    """Some 20 counts would be expected of a filter of a thousand; whether that is one or no beam nobody can say."""
    for seed in range(4):
        series = counted([1.5] * frames, seed, last=True)
        found = xi.find_attenuation_changes(series)
        assert found or found.rejected


@pytest.mark.parametrize("factor", [1.0, 6.0])
def test_growth_that_begins_in_a_pause_is_told_and_hides_no_filter_unsaid(factor: float) -> None:
    """Without the filter 1 + 0.05 x 50 = 3.5 times as much behind the pause, with it less than before."""
    for seed in range(4):
        frames = np.r_[np.arange(80), 150 + np.arange(80)]
        rates = 5000 * (1 + 0.05 * np.maximum(frames - 100, 0)) / np.where(frames > 100, factor, 1)
        values = np.random.default_rng(seed).poisson(rates[:, None] * [1.0, 0.6, 0.3]).astype(float)
        time = np.datetime64("2022-02-02", "ns") + frames * np.timedelta64(1, "s")
        series = xr.Dataset({"intensity": (("time", "roi"), values)}, {"time": time, "roi": ["WZ", "ZB", "TW"]})
        found = xi.find_attenuation_changes(series.assign(intensity_errors=np.sqrt(series.intensity)))
        assert not found
        assert "growth in the pause" in found.rejected[0].reason


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("pause", [0, 60])
def test_a_change_in_a_pause_is_told_to_be_growth_perhaps(pause: int, logged: bool) -> None:
    """Two levels are all that is left of growth that begins and rests in it; only a log of the attenuator can tell."""
    frames = np.r_[np.arange(60), 60 + pause + np.arange(60)]
    rates = np.repeat([20000.0, 5000.0], 60)
    values = np.random.default_rng(pause).poisson(rates[:, None] * [1.0, 0.6, 0.3]).astype(float)
    time = np.datetime64("2022-02-02", "ns") + frames * np.timedelta64(1, "s")
    series = xr.Dataset({"intensity": (("time", "roi"), values)}, {"time": time, "roi": ["WZ", "ZB", "TW"]})
    if logged:
        series = series.assign_coords(transmission=("time", np.repeat([1.0, 0.25], 60)))
    found = xi.find_attenuation_changes(series.assign(intensity_errors=np.sqrt(series.intensity)))
    assert len(found) == 1
    told = [line for line in found.told if "growth that began and came to rest" in line]
    assert len(told) == (pause > 0 and not logged)
    assert ("no frames for 61 s" in found._repr_html_()) == bool(told)
