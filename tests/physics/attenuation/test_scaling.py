"""Correcting attenuation: series whose factors can be worked out in the head."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from tests.physics.samples.test_joining import SECOND, START, series
from xinsitu.errors import CorrectionError, RoiError, SchemaError, StitchError, XinsituError, XinsituWarning
from xinsitu.physics.attenuation.factors import common_factor, level_noise
from xinsitu.physics.attenuation.finding import FoundChanges
from xinsitu.physics.attenuation.reports import RejectedChange
from xinsitu.physics.attenuation.scaling import attenuation_changes, correct_attenuation, undo_attenuation
from xinsitu.physics.samples.joining import stitch
from xinsitu.schema import Quality
from xinsitu.values import AttenuationChange as Change


def step(levels, rois=("WZ",), errors=None, **extra):
    """A sample with the given intensities, dims (time, roi)."""
    levels = np.asarray(levels, dtype=float).reshape(len(levels), len(rois))
    sample = stitch([series("time1", np.arange(len(levels)), levels, rois, **extra)])
    background = (levels / 10, {"units": "counts", "long_name": "background under the ROI"})
    sample = sample.assign(background=(("time", "roi"), *background), maximum=(("time", "roi"), levels / 100))
    if errors is not None:
        sample["intensity_errors"] = ("time", "roi"), np.broadcast_to(np.asarray(errors, float), levels.shape).copy()
    return sample


def at(second, other, **kwargs):
    return Change(START + second * SECOND, START + other * SECOND, **kwargs)


def test_everything_after_is_multiplied_and_the_transition_is_empty():
    sample = step([1000, 1000, 500, 70, 100, 100])
    result = correct_attenuation(sample, [at(1, 4)])
    np.testing.assert_allclose(result.intensity.sel(roi="WZ"), [1000, 1000, np.nan, np.nan, 1000, 1000], rtol=1e-12)
    np.testing.assert_allclose(result.background.sel(roi="WZ"), [100, 100, np.nan, np.nan, 100, 100], rtol=1e-12)
    np.testing.assert_allclose(result.maximum.sel(roi="WZ"), [10, 10, np.nan, np.nan, 10, 10], rtol=1e-12)
    np.testing.assert_allclose(result.attenuation_factor, [1, 1, np.nan, np.nan, 10, 10], rtol=1e-12)
    assert result.segment.values.tolist() == [0, 0, -1, -1, 1, 1]
    np.testing.assert_array_equal(result.com_y, sample.com_y)
    assert (result.quality.sel(roi="WZ").values == np.array([0, 0, 1, 1, 0, 0]) * Quality.IN_TRANSITION).all()
    np.testing.assert_array_equal(result.intensity_measured, sample.intensity)
    for name in ("segment", "attenuation_factor", "attenuation_factor_errors", "scale_errors"):
        assert name in result.coords


def test_frames_that_were_too_few_to_be_a_level_are_flagged():
    doubtful = RejectedChange(START, START + SECOND, None, None, 0.9, 0.01, 8.0, "too few", doubtful=(4, 5))
    sample, changes = step([1000, 1000, 100, 100, 90, 90, 100]), [at(1, 2)]
    result = correct_attenuation(sample, FoundChanges(changes, [doubtful]))
    flags = result.quality.sel(roi="WZ").values & int(Quality.NEAR_CHANGE)
    assert np.flatnonzero(flags).tolist() == [4, 5]
    assert not (correct_attenuation(sample, changes).quality & int(Quality.NEAR_CHANGE)).any()


def test_undo_gives_back_what_was_measured():
    sample = step([1000, 990, 500, 100, 101], errors=3.0)
    sample.intensity.attrs["long_name"] = "intensity"
    for given in (sample, sample.drop_vars(["quality", "segment", "background"])):
        corrected = correct_attenuation(given, [at(1, 3)])
        xr.testing.assert_identical(undo_attenuation(corrected), given)
    assert corrected.intensity_measured.attrs["long_name"] == "intensity, as measured"
    with pytest.raises(CorrectionError, match="nothing to undo"):
        undo_attenuation(sample)
    with pytest.raises(CorrectionError, match="undo_attenuation first"):
        correct_attenuation(corrected, [at(1, 3)])


def test_a_factor_without_an_error_adds_none_and_shared_ones_of_before_stay():
    """30 % of an earlier step and 40 % of this one make 50; where the earlier one is not known it says nothing."""
    sample = step([1000, 1000, 500, 100, 100])
    assert attenuation_changes(sample) == ()
    corrected = correct_attenuation(sample, [at(1, 3, factor=10.0)])
    np.testing.assert_array_equal(corrected.attenuation_factor_errors, [0, 0, np.nan, 0, 0])
    shared = sample.assign_coords(scale_errors=("time", [0.1, np.nan, 0.1, np.nan, 0.3]))
    corrected = correct_attenuation(shared, [at(1, 3, factor=10.0, factor_errors=4.0)])
    np.testing.assert_allclose(corrected.scale_errors, [0.1, 0, np.nan, 0.4, 0.5], rtol=1e-12)
    assert len(attenuation_changes(corrected)) == 1


def test_input_is_left_as_it_is():
    sample = step([1000, 990, 500, 100, 101], errors=3.0)
    before = sample.copy(deep=True)
    undo_attenuation(correct_attenuation(sample, [at(1, 3)]))
    xr.testing.assert_identical(sample, before)


def test_several_changes_multiply_up():
    sample = step([100, 100, 10, 10, 40, 40, 20, 20])
    changes = [at(5, 6), at(1, 2), at(3, 4)]  # in any order
    result = correct_attenuation(sample, changes)
    np.testing.assert_allclose(result.intensity.sel(roi="WZ"), 100.0, rtol=1e-12)
    np.testing.assert_allclose(result.attenuation_factor, [1, 1, 10, 10, 2.5, 2.5, 5, 5], rtol=1e-12)
    assert result.segment.values.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("reference", "factor"),
    [
        ("first", [1, 1, 10, 10, 2.5, 2.5]),
        ("last", [0.4, 0.4, 4, 4, 1, 1]),
        (1, [0.1, 0.1, 1, 1, 0.25, 0.25]),
        ({"measurement": "time1", "frame": 2}, [0.1, 0.1, 1, 1, 0.25, 0.25]),
        ("time1", [1, 1, 10, 10, 2.5, 2.5]),
    ],
)
def test_reference_segment_stays_as_measured(reference, factor):
    result = correct_attenuation(step([100, 100, 10, 10, 40, 40]), [at(1, 2), at(3, 4)], reference=reference)
    np.testing.assert_allclose(result.attenuation_factor, factor, rtol=1e-12)


def test_a_reference_that_is_not_there():
    sample = step([100, 100, 50, 10, 10])
    for reference, told in (
        (7, "numbered from 0 to 1"),
        ("moon", "time1"),
        (START + 2 * SECOND, "lies in a transition"),
    ):
        with pytest.raises(StitchError, match=told):
            correct_attenuation(sample, [at(1, 3)], reference=reference)


def test_errors_of_a_factor_are_those_of_its_end_points():
    # 10000 +- 100 (1 %) over 1000 +- 20 (2 %): 10 +- sqrt(5) %
    sample = step([10_000, 10_000, 1000, 1000], errors=[[100], [100], [20], [20]])
    result = correct_attenuation(sample, [at(1, 2)])
    relative = np.hypot(0.01, 0.02)
    np.testing.assert_allclose(result.attenuation_factor_errors, [0, 0, 10 * relative, 10 * relative], rtol=1e-9)
    np.testing.assert_allclose(result.scale_errors, [0, 0, relative, relative], rtol=1e-9)
    np.testing.assert_allclose(result.intensity_errors.sel(roi="WZ"), [100, 100, 200, 200], rtol=1e-12)


def test_errors_add_up_over_changes_and_are_shared_by_a_segment():
    errors = [[100], [100], [20], [20], [40], [40]]
    result = correct_attenuation(step([10_000, 10_000, 1000, 1000, 4000, 4000], errors=errors), [at(1, 2), at(3, 4)])
    one, two = np.hypot(0.01, 0.02), np.hypot(0.02, 0.01)
    np.testing.assert_allclose(result.scale_errors, [0, 0, one, one, np.hypot(one, two), np.hypot(one, two)])
    last = correct_attenuation(
        step([10_000, 10_000, 1000, 1000, 4000, 4000], errors=errors), [at(1, 2), at(3, 4)], reference="last"
    )
    np.testing.assert_allclose(last.scale_errors, [np.hypot(one, two), np.hypot(one, two), two, two, 0, 0])


def test_one_factor_from_all_rois_by_inverse_variance():
    # ln ratios ln 10 (1 % error) and ln 10.1 (2 %): weights 4 to 1
    levels = np.array([[1000, 1010]] * 2 + [[100, 100]] * 2)
    errors = np.array([[10, 20.2]] * 2 + [[1e-9, 1e-9]] * 2)
    result = correct_attenuation(step(levels, ("WZ", "ZB"), errors), [at(1, 2)])
    (change,) = attenuation_changes(result)
    expected = np.exp((4 * np.log(10) + np.log(10.1)) / 5)
    assert change.factor == pytest.approx(expected, rel=1e-9)
    assert change.factor_errors == pytest.approx(expected / np.sqrt(1 / 0.01**2 + 1 / 0.02**2), rel=1e-6)
    chi_squared = (np.log(10 / expected) / 0.01) ** 2 + (np.log(10.1 / expected) / 0.02) ** 2
    assert change.evidence["chi_squared"] == pytest.approx(chi_squared, rel=1e-6)
    assert change.evidence["degrees_of_freedom"] == 1
    assert change.evidence["factors"]["ZB"]["factor"] == pytest.approx(10.1)
    # one of them alone
    (change,) = attenuation_changes(correct_attenuation(step(levels, ("WZ", "ZB"), errors), [at(1, 2)], roi="ZB"))
    assert change.factor == pytest.approx(10.1)
    with pytest.raises(RoiError, match="no ROI 'TW' in the sample; there are WZ, ZB"):
        correct_attenuation(step(levels, ("WZ", "ZB"), errors), [at(1, 2)], roi="TW")


def test_spread_of_the_rois_enters_the_error():
    log_ratios, variances = np.log([9.8, 10.0, 10.2]), np.full(3, 1e-6)
    estimate = common_factor(log_ratios, variances, ["a", "b", "c"], method="end points")
    inflated = np.sqrt(1e-6 / 3) * np.sqrt(estimate.chi_squared / 2)
    assert estimate.factor_errors / estimate.factor == pytest.approx(inflated, rel=1e-6)
    assert estimate.spread == pytest.approx(np.std(log_ratios, ddof=1), rel=0.01)
    # ROIs at peace: the spread does not make the error smaller
    calm = common_factor(np.log([10.0, 10.0, 10.0]), variances, ["a", "b", "c"], method="end points")
    assert calm.factor_errors / 10 == pytest.approx(np.sqrt(1e-6 / 3))


def test_rois_that_disagree_beyond_the_tolerance_are_told():
    sample = step([[1000, 1000]] * 3 + [[100, 200]] * 3, ("WZ", "ZB"), errors=0.1)
    with pytest.warns(XinsituWarning, match=r"disagree .* \(WZ 10.000 ± 0.010, ZB 5.000 ± 0.003\)"):
        correct_attenuation(sample, [at(2, 3)])
    correct_attenuation(step([[1000, 1000]] * 3 + [[100, 102]] * 3, ("WZ", "ZB"), errors=0.1), [at(2, 3)])


def test_without_errors_the_noise_is_that_of_successive_frames():
    rng = np.random.default_rng(1)
    quiet = np.concatenate([np.full(60, 1e6), np.full(60, 1e5)])
    noisy = quiet * (1 + 0.05 * rng.standard_normal(120))  # far from Poisson
    result = correct_attenuation(step(noisy), [at(59, 60)])
    assert float(result.scale_errors[-1]) == pytest.approx(0.05 * np.sqrt(2), rel=0.35)


def test_exposure_is_divided_out_first():
    sample = step([100, 100, 10, 10]).assign_coords(exposure_time=("time", [1.0, 1.0, 0.1, 0.1]))
    result = correct_attenuation(sample, [])
    np.testing.assert_allclose(result.intensity.sel(roi="WZ"), 100.0)
    np.testing.assert_allclose(result.attenuation_factor, 1.0)
    assert result.intensity.attrs["units"] == "counts s-1"
    assert result.background.attrs["units"] == "counts s-1"
    xr.testing.assert_identical(undo_attenuation(result), sample)
    (change,) = attenuation_changes(correct_attenuation(sample, [at(1, 2)]))
    assert change.factor == pytest.approx(1.0)
    # a ratio to the frame's own background has no exposure left
    sample.intensity.attrs["units"] = "1"
    assert correct_attenuation(sample, []).intensity.sel(roi="WZ").values.tolist() == [100, 100, 10, 10]
    unknown = step([100, 100, 10, 10]).assign_coords(exposure_time=("time", [1.0, 1.0, 0.1, np.nan]))
    with pytest.raises(StitchError, match="exposure_time of every frame"):
        correct_attenuation(unknown, [])


def test_a_given_factor_is_kept_and_a_contradicting_one_warns():
    sample = step([1000] * 5 + [100] * 5, errors=1.0)
    result = correct_attenuation(sample, [at(4, 5, factor=9.9, factor_errors=0.2)])
    np.testing.assert_allclose(result.intensity[-1], 990.0)
    np.testing.assert_allclose(result.attenuation_factor_errors[-1], 0.2)
    with pytest.warns(XinsituWarning, match=r"9.9 given for the change .* contradicts the data, which say 1\.0000 ± "):
        correct_attenuation(step([7.0] * 10, errors=0.01), [at(4, 5, factor=9.9)])


@pytest.mark.parametrize("flag", [Quality.SATURATED, Quality.COUNT_RATE_HIGH])
def test_end_points_that_lose_counts_are_told(flag):
    sample = step([[1000, 1000]] * 3 + [[100, 100]] * 3, ("WZ", "ZB"), errors=1.0)
    sample["quality"][2, 1] = int(flag)
    with pytest.warns(XinsituWarning, match="saturated or count too fast in ZB") as told:
        correct_attenuation(sample, [at(2, 3)])
    assert told[0].filename == __file__
    correct_attenuation(sample, [at(2, 3)], roi="WZ")
    correct_attenuation(sample, [at(1, 3)])  # another frame


def test_warnings_point_at_the_caller():
    with pytest.warns(XinsituWarning, match="contradicts") as told:
        correct_attenuation(step([7.0] * 10, errors=0.01), [at(4, 5, factor=9.9)])
    assert told[0].filename == __file__
    with pytest.warns(XinsituWarning, match="disagree") as told:
        correct_attenuation(step([[1000, 1000]] * 3 + [[100, 200]] * 3, ("WZ", "ZB"), errors=0.1), [at(2, 3)])
    assert told[0].filename == __file__


def test_frame_keys_win_over_repeated_stamps():
    sample = step([1000, 1000, 100, 100]).assign_coords(time=[START] * 2 + [START + SECOND] * 2)
    keyed = Change({"measurement": "time1", "frame": 1}, {"measurement": "time1", "frame": 2})
    assert correct_attenuation(sample, [keyed]).segment.values.tolist() == [0, 0, 1, 1]
    # times alone: the last frame at or before, and the first later one at or after
    assert correct_attenuation(sample, [at(0, 1)]).segment.values.tolist() == [0, 0, 1, 1]
    both = Change(START, START + SECOND, before_key=keyed.before, after_key=keyed.after)
    assert correct_attenuation(sample, [both]).segment.values.tolist() == [0, 0, 1, 1]
    (change,) = attenuation_changes(correct_attenuation(sample, [keyed]))
    assert change.before == START
    assert (change.before_key.frame, change.after_key.frame) == (1, 2)


def test_works_without_frame_scan_errors_and_quality():
    bare = step([1000, 1000, 100, 100])[["intensity"]].drop_vars(["frame", "scan", "measurement", "segment"])
    result = correct_attenuation(bare.transpose("roi", "time"), [at(1, 2)])
    assert result.intensity.dims == ("roi", "time")
    np.testing.assert_allclose(result.intensity, 1000.0, rtol=1e-12)
    xr.testing.assert_identical(undo_attenuation(result), bare.transpose("roi", "time"))


def test_changes_that_cannot_be_placed():
    sample = step([1000, 1000, 500, 100, 100])
    with pytest.raises(StitchError, match="exchange before and after"):
        correct_attenuation(
            sample, [Change({"measurement": "time1", "frame": 3}, {"measurement": "time1", "frame": 1})]
        )
    with pytest.raises(StitchError, match="overlap"):
        correct_attenuation(sample, [at(0, 3), at(1, 4)])
    with pytest.raises(StitchError, match="they end at"):
        correct_attenuation(sample, [at(4, 9)])
    with pytest.raises(StitchError, match="has no factor: no ROI has intensities above zero"):
        correct_attenuation(step([1000, 0, 0, 100]), [at(1, 3)])
    with pytest.raises(SchemaError, match="intensity"):
        correct_attenuation(sample.drop_vars("intensity"), [])


def test_only_the_frames_near_a_change_are_computed(computes):
    sample = step(np.r_[np.full(100, 1000.0), np.full(100, 100.0)], errors=3.0)
    lazy = sample.assign({name: data.chunk(time=10) for name, data in sample.data_vars.items()})
    with computes(1):
        result = correct_attenuation(lazy, [at(99, 100)])
    assert result.intensity.chunks is not None
    xr.testing.assert_identical(result.compute(), correct_attenuation(sample, [at(99, 100)]))


def test_record_is_plain_json():
    result = correct_attenuation(step([1000, 1000, 100, 100]), [at(1, 2, note="Al foil")])
    assert json.loads(result.attrs["attenuation"])["changes"][0]["note"] == "Al foil"
    assert all(isinstance(value, str | int | float) for value in result.attrs.values())


# -- the noise of levels ----------------------------------------------------------------------------------------------


def test_rois_are_spread_only_where_they_disagree_by_more_than_chance():
    """Chi-squared up to its degrees of freedom and their root of two is no disagreement (Paule and Mandel)."""
    errors = np.full(4, 0.02)
    away = np.array([-1.0, -0.5, 0.5, 1.0])
    chance = 3 + np.sqrt(2 * 3)
    for chi_squared in (0.9 * chance, 1.1 * chance):
        logs = np.log(7.0) + 0.02 * away * np.sqrt(chi_squared / (away**2).sum())
        found = common_factor(logs, errors**2, list("abcd"), method="lines")
        assert found.chi_squared == pytest.approx(chi_squared)
        if chi_squared < chance:
            assert (found.spread, found.factor_errors / found.factor) == (0.0, pytest.approx(0.02 / 2))
        else:
            variance = (logs - logs.mean()) @ (logs - logs.mean()) / 3
            assert found.spread == pytest.approx(np.sqrt(variance - 0.02**2), rel=1e-6)
    assert common_factor(np.log([7.0]), np.array([4e-4]), ["a"], method="lines").spread == 0.0


@pytest.mark.parametrize("known", [1.0, 0.25])
def test_known_errors_are_believed_unless_frames_scatter_more(known):
    rng = np.random.default_rng(8)
    values = 5000 + 40.0 * rng.standard_normal((400, 1))
    noise = level_noise(values, np.full_like(values, 40 * known))
    if known == 1.0:
        np.testing.assert_allclose(noise, 40.0, rtol=1e-9)
    else:
        np.testing.assert_allclose(noise, 40.0, rtol=0.1)
        assert np.ptp(noise) < 1e-9


def test_the_error_of_a_frame_without_counts_is_that_of_its_neighbours():
    """Their mean variance over nine frames; what has no error does not count in it."""
    errors = np.full((31, 1), 3.0)
    errors[10], errors[20] = 0.0, np.nan
    noise = level_noise(np.full((31, 1), 9.0), errors)[:, 0]
    assert noise[10] == pytest.approx(3 * np.sqrt(8 / 9))
    assert noise[20] == pytest.approx(3.0)
    assert noise[0] == pytest.approx(3.0)


@pytest.mark.parametrize("function", [lambda it: correct_attenuation(it, []), undo_attenuation, attenuation_changes])
@pytest.mark.parametrize("thing", ["sample.nc", None, 3, step([1, 1]).intensity, [step([1, 1])]], ids=repr)
def test_what_is_no_sample_is_refused_by_its_kind(function, thing):
    if function is attenuation_changes and isinstance(thing, xr.DataArray):
        assert function(thing) == ()  # of any measured data
        return
    with pytest.raises(XinsituError, match="Dataset"):
        function(thing)


@pytest.mark.parametrize("shared", [None, [0.1, np.nan, 0.1, np.nan, 0.3]])
@pytest.mark.parametrize("without", [[], ["quality"], ["segment"], ["quality", "segment", "background", "maximum"]])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "changes", [[], [at(1, 3, factor=10.0, factor_errors=4.0)], [at(0, 1, factor=2), at(3, 4, factor=3)]]
)
def test_undo_gives_back_whatever_was_there(shared, without, legacy, changes):
    sample = step([1000, 990, 500, 100, 101], errors=3.0).drop_vars(without)
    if shared:
        sample = sample.assign_coords(scale_errors=("time", shared, {"long_name": "shared", "units": "1"}))
    sample.intensity.attrs["comment"] = "as it was"
    corrected = correct_attenuation(sample, changes, legacy=legacy)
    assert len(attenuation_changes(corrected)) == len(changes)
    assert not corrected.identical(sample)
    xr.testing.assert_identical(undo_attenuation(corrected), sample)
