"""The finder against generators of its own: onsets, moving attenuators, flicker, starved series, ends, flags."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

import xinsitu as xi
from xinsitu.schema import Quality

START, SECOND = np.datetime64("2021-03-04T05:06:07", "ns"), np.timedelta64(1, "s")
ROIS = np.array([1.0, 0.55, 0.35])


def counted(rates, rng, **variables):
    """Poisson counts of rates (time, roi) as a series, with the errors that counts have."""
    counts = rng.poisson(rates).astype(float)
    data = {"intensity": (("time", "roi"), counts), "intensity_errors": (("time", "roi"), np.sqrt(np.fmax(counts, 1)))}
    extra = {name: (("time", "roi"), values) for name, values in variables.items()}
    time = START + np.arange(len(counts)) * SECOND
    return xr.Dataset({**data, **extra}, {"time": time, "roi": [f"R{i}" for i in range(counts.shape[1])]})


def ends(series, changes):
    return [tuple(int(np.searchsorted(series.time, end)) for end in (one.before, one.after)) for one in changes]


# -- growth -----------------------------------------------------------------------------------------------------------


def growth(kind, slope, t, tau):
    """Relative intensity, continuous, 1 before the onset; falls stop."""
    if kind == "linear":
        return 1 + slope * t
    if kind == "saturating":
        return 1 + slope * tau * (1 - np.exp(-t / tau))
    if kind == "exponential":
        return np.exp(np.minimum(slope * t, 7))
    if kind == "parabolic":
        return 1 + slope * t**2 / 8
    if kind == "stopping":
        return 1 - 0.65 * np.clip(t / 20, 0, 1)
    return np.exp(-1.5 * np.clip(t / 25, 0, 1))  # falling, then steady


KINDS = ("linear", "saturating", "exponential", "parabolic", "stopping", "falling")


def onset(rng, kind):
    frames, at = 180, int(rng.integers(40, 130))
    t = np.maximum(np.arange(frames) - at - rng.random(), 0)
    slope, tau, level = 10 ** rng.uniform(-2.3, -0.3), rng.uniform(6, 50), 10 ** rng.uniform(1.3, 6)
    unlike = float(rng.random() < 0.5)
    own = [(slope * rng.lognormal(0, 0.5 * unlike), tau * rng.lognormal(0, 0.3 * unlike)) for _ in ROIS]
    columns = [growth(kind, steep, t, long) for steep, long in own]
    return level * ROIS * np.stack(columns, axis=1)


@pytest.mark.thorough("linear")
@pytest.mark.parametrize("kind", KINDS)
def test_an_onset_of_growth_is_no_change(kind):
    false = 0
    for seed in range(12):
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        false += len(xi.find_attenuation_changes(counted(onset(rng, kind), rng)))
    assert false == 0


def test_a_change_at_the_very_onset_is_found_with_its_factor():
    for seed, factor in enumerate((2.0, 5.0, 0.25)):
        rng = np.random.default_rng(seed)
        t = np.arange(160) - 80.0
        rates = 4e4 * ROIS * ((1 + 0.04 * np.maximum(t, 0)) / np.where(t > 0, factor, 1))[:, None]
        series = counted(rates, rng)
        (change,) = xi.find_attenuation_changes(series)
        assert ends(series, [change]) == [(80, 81)]
        assert abs(np.log(change.factor / factor)) < 4 * change.factor_errors / change.factor
        assert change.factor_errors / change.factor < 0.03


SMOOTH = {
    "in logarithms": lambda x, factor: factor**-x,
    "straight": lambda x, factor: 1 + (1 / factor - 1) * x,
    "bent": lambda x, factor: 1 + (1 / factor - 1) * (1.4 * x - 0.4 * x**2),
    "saturating": lambda x, factor: 1 + (1 / factor - 1) * (1 - np.exp(-2 * x)) / (1 - np.exp(-2.0)),
}


@pytest.mark.parametrize("way", SMOOTH)
@pytest.mark.parametrize("factor", [3.0, 0.1, 25.0])
@pytest.mark.parametrize("frames", [5.7, 6.6, 7.4])
def test_a_fast_smooth_way_to_another_level_is_no_attenuator(factor, way, frames):
    rng = np.random.default_rng(6)
    shares = SMOOTH[way](np.clip((np.arange(150) - 70.3) / frames, 0, 1), factor)
    found = xi.find_attenuation_changes(counted(2e5 * ROIS * shares[:, None], rng))
    assert found == []


def test_a_rejected_onset_says_why():
    rng = np.random.default_rng(3)
    rates = 9e4 * ROIS * growth("linear", 0.3, np.maximum(np.arange(150) - 70, 0), 1)[:, None]
    found = xi.find_attenuation_changes(counted(rates, rng))
    assert found == []
    assert all("growth" in str(one) for one in found.rejected)


# -- an attenuator that moves -----------------------------------------------------------------------------------------


@pytest.mark.thorough("1.4-0")
@pytest.mark.parametrize("moving", [0, 1, 2, 4, 6])
@pytest.mark.parametrize("factor", [1.4, 3.0, 20.0])
def test_frames_in_which_the_attenuator_moves(factor, moving):
    off = []
    for seed in range(6):
        rng = np.random.default_rng([seed, moving])
        cut = int(rng.integers(50, 150))
        opened = np.ones(200)
        opened[cut:] = 1 / factor
        opened[cut : cut + moving] = 1 / factor + (1 - 1 / factor) * np.sort(rng.uniform(0.03, 0.97, moving))[::-1]
        series = counted(3e4 * ROIS * ((1 + 0.4 * np.arange(200) / 200) * opened)[:, None], rng)
        (change,) = found = xi.find_attenuation_changes(series)
        ((before, after),) = ends(series, [change])
        assert before <= cut
        assert after >= cut + moving - 1
        assert abs(change.factor - factor) < 5 * change.factor_errors
        off.append(np.log(change.factor / factor))
        corrected = xi.correct_attenuation(series, found)
        between = np.arange(before + 1, after)
        assert corrected.intensity.isel(time=between).isnull().all()
        assert (corrected.quality.isel(time=between) & int(Quality.IN_TRANSITION)).all()
    assert np.sqrt(np.mean(np.square(off))) < 0.01


@pytest.mark.parametrize("factor", [1.1, 7.0, 600.0, 3e4, 1e6])
def test_any_factor_that_the_counts_allow(factor):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        series = counted(3e7 * ROIS * np.where(np.arange(160) < 70, 1, 1 / factor)[:, None], rng)
        (change,) = xi.find_attenuation_changes(series)
        assert ends(series, [change]) == [(69, 70)]
        assert abs(np.log(change.factor / factor)) < 4 * change.factor_errors / change.factor


def on_its_way(moving, seed):
    """A filter of 5 that takes so many frames, each open by chance; and which frames those are."""
    rng = np.random.default_rng([moving, seed])
    opened = np.where(np.arange(200) < 90, 1, 0.2)
    opened[90 : 90 + moving] = 0.2 + 0.8 * np.sort(rng.random(moving) ** 2)[::-1]
    return counted(3e5 * ROIS * opened[:, None], rng), np.flatnonzero((opened > 0.22) & (opened < 0.98))


@pytest.mark.thorough("1")
@pytest.mark.parametrize("moving", [1, 2, 3, 4, 5, 6])
def test_up_to_six_frames_on_their_way_are_left_out(moving):
    refused = 0
    for seed in range(5):
        series, way = on_its_way(moving, seed)
        found = xi.find_attenuation_changes(series)
        if not found:  # by chance they lie on a smooth curve
            refused += 1
            assert any("growth" in one.reason for one in found.rejected)
            continue
        (change,) = found
        corrected = xi.correct_attenuation(series, found)
        assert corrected.intensity.isel(time=way).isnull().all()
        assert abs(change.factor - 5) < 5 * change.factor_errors
    assert refused <= (moving > 3)


@pytest.mark.thorough
def test_more_frames_on_their_way_are_told_and_flagged():
    reasons = ""
    for seed in range(12):
        series, _ = on_its_way(9, seed)
        found = xi.find_attenuation_changes(series)
        assert found or found.rejected
        for one in found.rejected:
            reasons += one.reason
            if "longer than" in one.reason:
                flagged = xi.correct_attenuation(series, found).quality & int(Quality.NEAR_CHANGE)
                assert np.isin(np.flatnonzero((flagged > 0).any("roi")), np.arange(90, 99)).all()
                assert (flagged > 0).any()
    assert "frames, longer than an attenuator moves" in reasons


def test_motors_that_move_with_a_step_are_the_reason_unless_the_attenuator_is_recorded():
    rng = np.random.default_rng(17)
    rates = 5e4 * ROIS * np.where(np.arange(120) < 66, 1, 0.3)[:, None]
    moved = np.zeros((120, 3), "int32")
    moved[66] = int(Quality.FRAME_IN_MOTION)
    found = xi.find_attenuation_changes(counted(rates, rng, quality=moved))
    assert found == []
    (candidate,) = found.rejected
    assert "motors move" in candidate.reason
    assert candidate.factor == pytest.approx(1 / 0.3, rel=0.05)
    assert "factor 3.3" in str(candidate)
    recorded = counted(rates, rng, quality=moved).assign_coords(
        transmission=("time", np.where(np.arange(120) < 66, 1.0, 0.3))
    )
    assert len(xi.find_attenuation_changes(recorded)) == 1
    elsewhere = np.roll(moved, 9, axis=0)
    assert len(xi.find_attenuation_changes(counted(rates, rng, quality=elsewhere))) == 1
    scanned = np.full((120, 3), int(Quality.FRAME_IN_MOTION), "int32")
    with pytest.warns(xi.XinsituWarning, match="motors move in 120 of 120 frames, .*overlap"):
        assert len(xi.find_attenuation_changes(counted(rates, rng, quality=scanned))) == 1
    steady = np.ones_like(rates) * rates[:1]
    assert xi.find_attenuation_changes(counted(steady, rng, quality=scanned)) == []  # and nothing is said


# -- ends and insertions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("side", ["first", "last"])
def test_a_few_frames_at_an_end(side, frames):
    rng = np.random.default_rng(frames)
    number = np.arange(120) if side == "first" else np.arange(120)[::-1]
    series = counted(5e4 * ROIS * np.where(number < frames, 6.0, 1.0)[:, None], rng)
    found = xi.find_attenuation_changes(series)
    if frames > 1:
        assert len(found) == 1
        return
    assert found == []
    flagged = xi.correct_attenuation(series, found).quality & int(Quality.NEAR_CHANGE)
    assert np.flatnonzero(flagged.any("roi")).tolist() == [0 if side == "first" else 119]


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_a_filter_in_for_a_few_frames(frames):
    rng = np.random.default_rng(frames)
    opened = np.ones(150)
    opened[80 : 80 + frames] = 1 / 5
    series = counted(5e4 * ROIS * opened[:, None], rng)
    found = xi.find_attenuation_changes(series)
    corrected = xi.correct_attenuation(series, found)
    assert len(found) == (0 if frames == 1 else 2)
    wrong = (corrected.intensity / (5e4 * ROIS) < 0.9).any("roi")
    assert not (wrong & ~(corrected.quality.any("roi"))).any()
    assert xi.undo_attenuation(corrected).identical(series)


WAYS = {
    "a ramp that falls": [1.14, 1.25, 1.37, 1.52, 1.61, 1.74, 1.21],
    "a jump that decays": [5.13, 7.55, 6.4, 5.27, 4.12, 3.0, 1.86],
    "a hump": [1.11, 1.26, 1.43, 1.42, 1.23, 1.12],
}


@pytest.mark.parametrize("way", WAYS)
def test_growth_that_falls_back_within_a_few_frames_is_no_change(way):
    """One of its ends alone was taken for an attenuator, and all that came behind scaled by it."""
    own = np.array(WAYS[way])
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rates = np.ones(160)
        rates[90 : 90 + own.size] = own
        series = counted(10 ** rng.uniform(3.3, 5.5) * ROIS * rates[:, None], rng)
        found = xi.find_attenuation_changes(series)
        assert found == []
        flagged = (xi.correct_attenuation(series, found).quality & int(Quality.NEAR_CHANGE)).any("roi").values
        assert flagged.any()
        assert not flagged[:82].any()
        assert not flagged[90 + own.size + 8 :].any()


def test_a_filter_in_for_a_few_frames_of_which_one_end_gives_no_factor_scales_nothing():
    """What comes back to where it was is no level, if only one of its ends is a change."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rates = np.full(150, 60.0)
        rates[80:85] = 60 / 18
        rates[85] = 25
        found = xi.find_attenuation_changes(counted(rates[:, None] * ROIS, rng))
        assert len(found) != 1


# -- the beam ---------------------------------------------------------------------------------------------------------


def flicker(rng, scatter, lag, frames=400):
    noise = lfilter([np.sqrt(1 - lag**2)], [1, -lag], rng.standard_normal(frames + 300))[300:]
    return np.exp(scatter * noise)


@pytest.mark.parametrize("lag", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("scatter", [0.08, 0.3])
def test_a_beam_that_flickers_invents_nothing(scatter, lag):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rates = 10 ** rng.uniform(3, 6) * ROIS * flicker(rng, scatter, lag)[:, None]
        assert xi.find_attenuation_changes(counted(rates, rng)) == []


@pytest.mark.thorough
def test_skewed_dips_invent_nothing_and_hide_nothing():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        dips = 1 - 0.12 * rng.exponential(1, 400).clip(0, 7)
        assert xi.find_attenuation_changes(counted(2e5 * ROIS * dips[:, None], rng)) == []
        dips[180:] /= 9
        assert len(xi.find_attenuation_changes(counted(2e5 * ROIS * dips[:, None], rng))) == 1


def test_a_step_that_flicker_hides_is_told():
    rng = np.random.default_rng(0)
    rates = 1e5 * ROIS * (flicker(rng, 0.1, 0.95) * np.where(np.arange(400) < 200, 1, 0.85))[:, None]
    found = xi.find_attenuation_changes(counted(rates, rng))
    assert found == []
    assert any("unsteady" in one.reason for one in found.rejected)


@pytest.mark.parametrize("level", [2, 12, 150])
def test_a_starved_series_invents_nothing(level):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        assert xi.find_attenuation_changes(counted(np.full((300, 3), level) * ROIS, rng)) == []


# -- ROIs and flags ---------------------------------------------------------------------------------------------------


def test_rois_that_step_apart_are_rejected_with_their_factors():
    rng = np.random.default_rng(1)
    steps = np.where(np.arange(140)[:, None] < 60, 1, 1 / np.array([7.0, 7.0, 5.5]))
    found = xi.find_attenuation_changes(counted(1e6 * ROIS * steps, rng))
    assert found == []
    (rejected,) = [one for one in found.rejected if "differently" in one.reason]
    assert "R2 5.495 ± 0.005" in str(rejected)


def test_saturated_rois_do_not_decide():
    rng = np.random.default_rng(2)
    rates = 1e6 * ROIS * np.where(np.arange(140) < 60, 1, 1 / 7)[:, None]
    full = np.zeros((140, 3), dtype=int)
    full[:60, 0] = int(Quality.SATURATED)
    series = counted(rates, rng, quality=full)
    series["intensity"][:60, 0] *= 0.6
    (change,) = xi.find_attenuation_changes(series)
    assert set(change.evidence["factors"]) == {"R1", "R2"}
    assert change.factor == pytest.approx(7, rel=0.01)
    series["quality"] = ("time", "roi"), np.repeat(full[:, :1], 3, axis=1)
    found = xi.find_attenuation_changes(series)
    assert found == []
    assert any("saturated" in one.reason for one in found.rejected)


def test_masked_pixels_that_are_always_masked_say_nothing():
    rng = np.random.default_rng(2)
    rates = 1e5 * ROIS * np.where(np.arange(140) < 60, 1, 1 / 7)[:, None]
    series = counted(rates, rng, quality=np.full((140, 3), int(Quality.MASKED_PIXELS)))
    assert len(xi.find_attenuation_changes(series)) == 1


def test_without_a_monitor_there_is_no_beam():
    rng = np.random.default_rng(4)
    opened = np.ones(140)
    opened[60:75] = 2e-3  # scattered light behind a closed shutter
    series = counted(1e6 * ROIS * opened[:, None], rng)
    assert len(xi.find_attenuation_changes(series)) == 2
    assert xi.find_attenuation_changes(series.assign_coords(monitor=("time", np.where(opened < 1, 0.0, 1e5)))) == []


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("half", [0, 1])
def test_two_thousand_runs_without_a_change(half):
    """False changes in less than one run of a hundred."""
    rng = np.random.default_rng([20210304, half])
    false = dict.fromkeys(("onset", "flicker", "starved"), 0)
    for number in range(450):
        false["onset"] += len(xi.find_attenuation_changes(counted(onset(rng, KINDS[number % len(KINDS)]), rng))) > 0
    for _ in range(125):
        beam = flicker(rng, rng.uniform(0.02, 0.3), rng.uniform(0, 0.95), 250)
        rates = 10 ** rng.uniform(2, 6) * ROIS * beam[:, None]
        false["flicker"] += len(xi.find_attenuation_changes(counted(rates, rng))) > 0
    for _ in range(125):
        rates = np.full((300, 3), 10 ** rng.uniform(0.3, 2.3)) * ROIS
        false["starved"] += len(xi.find_attenuation_changes(counted(rates, rng))) > 0
    assert false["onset"] < 4
    assert false["flicker"] < 2
    assert false["starved"] < 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_thousand_runs_with_a_change():
    """Hits and errors of factors."""
    rng = np.random.default_rng(20210304)
    hits, pulls = 0, []
    for _ in range(600):
        cut, factor = int(rng.integers(15, 185)), np.exp(rng.choice([-1, 1]) * rng.uniform(np.log(1.2), np.log(50)))
        x = np.arange(200)
        curve = 0.3 + rng.uniform(0.5, 4) / (1 + np.exp(-(x - rng.uniform(60, 140)) / rng.uniform(10, 40)))
        rates = 5e4 * ROIS * (curve / np.where(x < cut, 1, factor))[:, None]
        found = xi.find_attenuation_changes(counted(rates, rng))
        if len(found) == 1:
            hits += 1
            pulls.append(np.log(found[0].factor / factor) * found[0].factor / found[0].factor_errors)
    assert hits >= 0.98 * 600
    assert 0.85 < np.sqrt(np.mean(np.square(pulls))) < 1.15
    assert np.mean(np.abs(pulls) > 5) < 0.005


CURVES = {
    "flat": lambda x, rng: np.ones(x.size),
    "slow": lambda x, rng: 1 + rng.uniform(0, 2) * x / x.size,
    "steep": lambda x, rng: 0.3 + rng.uniform(0.5, 4) / (1 + np.exp(-(x - rng.uniform(50, 250)) / rng.uniform(8, 40))),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3, 6])
def test_errors_of_factors_along_chains(number):
    """Random places, at least 8 frames apart, and the steepest one."""
    x, pulls = np.arange(300), []
    for run in range(360 // number):
        rng = np.random.default_rng([number, run, 5])
        curve = list(CURVES.values())[run % 3](x, rng)
        cuts = np.sort(rng.permutation(np.arange(10, 290, 9))[:number] + rng.integers(0, 2))
        if run % 2:  # the steepest place
            steepest = int(np.abs(np.gradient(curve)).argmax())
            cuts[np.abs(cuts - steepest).argmin()] = np.clip(steepest, 10, 289)
        cuts = np.unique(cuts)
        factors = np.exp(rng.choice([-1, 1], cuts.size) * rng.uniform(np.log(1.2), np.log(15), cuts.size))
        opened = np.ones(300)
        for cut, factor in zip(cuts, factors, strict=True):
            opened[cut:] /= factor
        rates = 10 ** rng.uniform(4, 5.5) * ROIS * (curve * opened / opened.max())[:, None]
        if rates.min() < 300 or (np.diff(cuts) < 8).any():
            continue
        series = counted(rates, rng)
        found = xi.find_attenuation_changes(series)
        for change, (_, after) in zip(found, ends(series, found), strict=True):
            near = int(np.abs(cuts - after).argmin())
            if abs(int(cuts[near]) - after) <= 1:
                pulls.append(np.log(change.factor / factors[near]) * change.factor / change.factor_errors)
    assert len(pulls) > 100
    assert 0.85 < np.sqrt(np.mean(np.square(pulls))) < 1.15
    assert np.mean(np.abs(pulls) > 4) < 0.01


def test_growth_that_stops_a_frame_before_the_change_does_not_hide_it():
    rng = np.random.default_rng(12)
    grown = 1 + 0.012 * np.minimum(np.arange(120), 58)
    rates = 4e6 * ROIS * (grown / np.where(np.arange(120) < 60, 1, 8.4))[:, None]
    (change,) = xi.find_attenuation_changes(counted(rates, rng))
    assert abs(np.log(change.factor / 8.4)) < 4 * change.factor_errors / change.factor


def test_growth_that_stops_some_frames_before_a_change_in_a_pause_keeps_the_factor_sure():
    rng = np.random.default_rng(21)
    grown = 1 + np.array([0.011, 0.017, -0.008]) * np.minimum(np.arange(90), 56)[:, None]
    rates = 7e6 * ROIS * grown / np.where(np.arange(90) < 60, 1, 6.3)[:, None]
    series = counted(rates, rng)
    paused = series.assign_coords(time=series.time + np.where(np.arange(90) < 60, 0, 45) * SECOND)
    (change,) = xi.find_attenuation_changes(paused)
    assert ends(paused, [change]) == [(59, 60)]
    assert change.factor == pytest.approx(6.3, rel=0.005)
    assert change.factor_errors / change.factor < 0.005


def test_a_level_of_four_frames_before_the_attenuator_moves_again():
    rng = np.random.default_rng(22)
    grown = 1 + 0.03 * np.minimum(np.arange(36), 25)
    opened = np.r_[np.ones(26), np.full(4, 1 / 7), np.linspace(1 / 7, 0.4, 7)[1:]]
    (change,) = xi.find_attenuation_changes(counted(5e6 * ROIS * (grown * opened)[:, None], rng))
    assert (change.before, change.after) == tuple(START + np.array([25, 26]) * SECOND)
    assert abs(np.log(change.factor / 7)) < 4 * change.factor_errors / change.factor


@pytest.mark.parametrize("factor", [1 / 50, 1 / 8, 50.0, 8.0])
@pytest.mark.parametrize("share", [0.0, 0.15, 0.4])
@pytest.mark.thorough("0.15-0.02", "0.4-8.0")
def test_a_frame_half_way_beside_a_weak_level_is_no_end_of_it(factor, share):
    for seed in range(4):
        rng = np.random.default_rng([seed, 23])
        opened = np.where(np.arange(120) < 60, min(factor, 1.0), min(1 / factor, 1.0))
        opened[60:64] = 0
        opened[60 if factor < 1 else 63] = share * opened.min(where=opened > 0, initial=1)  # below the weak level
        series = counted(3e4 * ROIS * opened[:, None], rng)
        (change,) = found = xi.find_attenuation_changes(series)
        assert ends(series, [change]) == [(59, 64)]
        assert abs(np.log(change.factor / factor)) < 4 * change.factor_errors / change.factor
        xi.correct_attenuation(series, found)  # nothing contradicts it


def test_frames_without_beam_do_not_contradict_a_given_factor():
    rng = np.random.default_rng(24)
    opened = np.where(np.arange(80) < 40, 1, 1 / 30)
    opened[43:46] = 0
    series = counted(8e3 * ROIS * opened[:, None], rng)
    change = xi.AttenuationChange(series.time.values[39], series.time.values[40], factor=30.0)
    xi.correct_attenuation(series, [change])
    with pytest.warns(xi.XinsituWarning, match="contradicts"):
        xi.correct_attenuation(series, [xi.AttenuationChange(change.before, change.after, factor=45.0)])


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_a_lone_frame_beside_dark_ones_is_left_out_even_if_it_counts_like_the_weak_level(factor):
    rng = np.random.default_rng(25)
    opened = np.where(np.arange(120) < 60, min(factor, 1.0), min(1 / factor, 1.0))
    opened[[61, 62] if factor > 1 else [57, 58]] = 0
    series = counted(2e3 * ROIS * opened[:, None], rng)
    (change,) = xi.find_attenuation_changes(series)
    assert ends(series, [change]) == [(59, 63) if factor > 1 else (56, 60)]


@pytest.mark.thorough
def test_growth_that_begins_in_the_gap_of_a_change_is_uncertain_for_all_rois_at_once():
    """When it began, between two frames, is not known; more ROIs that begin together do not tell."""
    pulls = []
    for seed in range(24):
        rng = np.random.default_rng([seed, 77])
        t = np.maximum(np.arange(130) - 64 - seed / 24, 0)  # anywhere between frames 64 and 65
        factor = (0.15, 6.5)[seed % 2]
        opened = np.where(np.arange(130) < 65, min(factor, 1.0), min(1 / factor, 1.0))
        rates = 2e6 * np.array([1, 0.9, 1.1, 0.8]) * ((1 + 0.12 * t) * opened)[:, None]
        (change,) = xi.find_attenuation_changes(counted(rates, rng))
        pulls.append(np.log(change.factor / factor) * change.factor / change.factor_errors)
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.2
    assert np.abs(pulls).max() < 2.2  # an end of the gap is 1.7 from its middle


@pytest.mark.thorough
@pytest.mark.parametrize("tau", [6.0, 12.0])
def test_growth_that_saturates_right_behind_a_change_keeps_its_factor(tau):
    pulls = []
    for seed in range(12):
        rng = np.random.default_rng([seed, 78])
        t = np.maximum(np.arange(150) - 69.5, 0)
        grown = 1 + np.array([0.1, 0.06, 0.14]) * tau * (1 - np.exp(-t / tau))[:, None]
        rates = 1e5 * ROIS * grown / np.where(np.arange(150) < 70, 1, 5.0)[:, None]
        series = counted(rates, rng)
        (change,) = xi.find_attenuation_changes(series)
        ((before, after),) = ends(series, [change])
        assert before == 69
        assert after <= 74  # what is left out is not scaled
        pulls.append(np.log(change.factor / 5.0) * change.factor / change.factor_errors)
    assert np.abs(pulls).max() < 4
    assert np.sqrt(np.mean(np.square(pulls))) < 2


@pytest.mark.thorough
@pytest.mark.parametrize("moving", [8, 10])
def test_an_irregular_way_of_many_frames_gives_no_wrong_factor(moving):
    wrong = 0
    for seed in range(16):
        rng = np.random.default_rng([moving, seed, 79])
        factor, cut = (4.4, 0.12)[seed % 2], int(rng.integers(60, 110))
        opened = np.where(np.arange(190) < cut, 1, 1 / factor)
        opened[cut : cut + moving] = 1 / factor + (1 - 1 / factor) * np.sort(rng.random(moving))[::-1]
        found = xi.find_attenuation_changes(counted(4e4 * ROIS * (opened / opened.max())[:, None], rng))
        assert found or found.rejected
        product = np.prod([one.factor for one in found])
        doubt = np.sqrt(sum((one.factor_errors / one.factor) ** 2 for one in found))
        wrong += bool(found) and abs(np.log(product / factor)) > max(5 * doubt, 0.01)
    assert wrong <= 1


def test_what_is_left_of_a_long_way_is_no_change_of_its_own():
    rng = np.random.default_rng(80)
    way = np.array([0.97, 0.96, 0.78, 0.75, 0.51, 0.5, 0.33, 0.31, 0.24])
    opened = np.r_[np.ones(70), way, np.full(3, 0.22), np.full(80, 0.16)]
    found = xi.find_attenuation_changes(counted(6e5 * ROIS * opened[:, None], rng))
    assert found == []
    assert any("longer than an attenuator moves" in one.reason for one in found.rejected)
    flagged = xi.correct_attenuation(counted(6e5 * ROIS * opened[:, None], rng), found).quality
    assert (flagged.isel(time=slice(72, 79)) & int(Quality.NEAR_CHANGE)).all()


@pytest.mark.thorough
@pytest.mark.parametrize("level", [3e3, 1e6])
def test_growth_that_bends_some_frames_beside_a_change_leaves_its_end_points(level):
    """Flat for some frames, then a ramp: the flat frames are a level and not on their way, however sharp the bend."""
    for steady in range(1, 13):
        for side in (-1, 1):
            rng = np.random.default_rng([steady, side + 1, int(level), 81])
            factor = (0.3, 7.0)[steady % 2]
            t = np.clip((np.arange(140) - 69.5) * side - steady, 0, 14)
            opened = np.where(np.arange(140) < 70, min(1, factor), min(1, 1 / factor))
            rates = level * np.array([1, 0.55, 0.35, 0.8]) * (1 + np.array([0.02, 0.03, -0.011, 0.04]) * t[:, None])
            series = counted(rates * opened[:, None], rng)
            found = xi.find_attenuation_changes(series)
            assert len(found) == 1, (steady, side, found.rejected)
            ((before, after),) = ends(series, found)
            assert before <= 69 < 70 <= after
            assert after - before <= 7, (steady, side)  # no more is left out than an attenuator takes
            assert abs(np.log(found[0].factor / factor)) * factor / found[0].factor_errors < 5


def test_steep_growth_on_both_sides_of_a_change_keeps_its_end_points():
    """Ramps of several per cent a frame, of many counts: what goes on with its line was not on its way."""
    rng = np.random.default_rng(82)
    grown = 1 + np.array([0.03, 0.05, 0.04]) * np.clip(np.arange(46) - 21, 0, 12)[:, None]
    grown[37:] += np.array([0.6, 0.7, 0.5]) * np.arange(9)[:, None]
    series = counted(3e6 * ROIS * grown * np.where(np.arange(46) < 33, 1, 0.14)[:, None], rng)
    (change,) = xi.find_attenuation_changes(series)
    assert ends(series, [change]) == [(32, 33)]
    assert change.factor == pytest.approx(1 / 0.14, abs=4 * change.factor_errors)
