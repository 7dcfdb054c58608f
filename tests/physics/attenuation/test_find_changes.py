"""Finding changes of attenuation: what is one, what is not, and the real runs of BL11XU."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers import bl11xu, samples
from xinsitu.errors import RoiError, SchemaError, StitchError, XinsituWarning
from xinsitu.physics.attenuation.scaling import correct_attenuation, find_attenuation_changes
from xinsitu.physics.samples.joining import stitch

START, SECOND = samples.START, np.timedelta64(1, "s")


def counted(expected, seed=0, rois=None):
    """Poisson counts of expected ones, dims (time, roi), with their errors."""
    expected = np.asarray(expected, dtype=float)
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    return xr.Dataset(
        {
            "intensity": (("time", "roi"), counts, {"units": "counts"}),
            "intensity_errors": (("time", "roi"), np.sqrt(counts)),
        },
        {
            "time": START + np.arange(len(counts)) * SECOND,
            "roi": list(rois or [f"R{i}" for i in range(counts.shape[1])]),
            "frame": ("time", np.arange(len(counts))),
        },
    )


def levels(*pieces, rois=(3000.0, 1000.0, 10_000.0)):
    """Flat pieces (frames, relative level) one after the other."""
    return np.concatenate([np.full((n, len(rois)), level) * rois for n, level in pieces])


def ends(changes):
    return [(change.before_key.frame, change.after_key.frame) for change in changes]


def test_a_step_of_all_rois_is_found_with_its_frames_and_factor():
    (change,) = find_attenuation_changes(counted(levels((50, 1), (3, 0), (50, 0.1))))
    assert ends([change]) == [(49, 53)]
    assert change.before == START + 49 * SECOND
    assert change.after == START + 53 * SECOND
    assert change.factor == pytest.approx(10, abs=3 * change.factor_errors)
    assert change.cause == "attenuator"
    assert set(change.evidence["factors"]) == {"R0", "R1", "R2"}
    assert change.evidence["degrees_of_freedom"] == 2
    assert change.evidence["frames_without_beam"] == 3
    assert change.evidence["significance"] > 20


def test_a_frame_half_way_belongs_to_the_transition():
    (change,) = find_attenuation_changes(counted(levels((50, 1), (1, 0.85), (1, 0.3), (50, 0.1))))
    assert ends([change]) == [(49, 52)]


def test_a_step_of_one_roi_is_physics():
    expected = levels((100, 1))
    expected[40:, 0] *= 3
    expected[60:, 2] *= 0.5
    assert find_attenuation_changes(counted(expected)) == []
    expected[80:] *= 0.2  # and the beam
    assert ends(find_attenuation_changes(counted(expected))) == [(79, 80)]


def test_growth_is_no_change():
    t = np.linspace(0, 1, 600)
    expected = np.stack([5e4 * np.exp(3 * t), 2e4 / (1 + np.exp(-(t - 0.5) * 40)) + 100, 1e5 * (1 + t)], axis=1)
    assert find_attenuation_changes(counted(expected)) == []


def test_a_steep_scan_is_no_change():
    """Reflectivity falls by decades, faster and faster for a while: no attenuator takes ten frames."""
    t = np.arange(120.0)
    expected = 1e6 / (1 + np.exp((t - 60) / 2.0)) + 10
    assert find_attenuation_changes(counted(np.stack([expected, 2 * expected], axis=1))) == []


@pytest.mark.parametrize("frames", [1, 8, 40])
def test_a_fall_to_zero_is_never_a_change(frames):
    assert find_attenuation_changes(counted(levels((60, 1), (frames, 0), (60, 1)))) == []


def test_a_dump_with_another_level_behind_it_is_the_beam():
    (change,) = find_attenuation_changes(counted(levels((60, 1), (30, 0), (60, 0.7))))
    assert change.cause == "beam"
    assert ends([change]) == [(59, 90)]
    assert change.factor == pytest.approx(1 / 0.7, abs=4 * change.factor_errors)


def test_missing_frames_in_a_transition():
    sample = counted(levels((50, 1), (4, 0), (50, 0.1)))
    sample = sample.where(~sample.frame.isin([50, 51, 52, 53]))
    (change,) = find_attenuation_changes(sample.assign_coords(frame=("time", np.arange(104))))
    assert ends([change]) == [(49, 54)]


def test_a_roi_that_some_measurements_lack():
    expected = levels((120, 1))
    expected[80:] *= 0.2
    sample = counted(expected)
    sample["intensity"][:60, 1] = np.nan
    assert ends(find_attenuation_changes(sample)) == [(79, 80)]


def test_counts_per_second_are_compared_and_the_exposure_is_named():
    sample = counted(levels((60, 1), (60, 0.1), (60, 0.02)))
    exposure = np.repeat([1.0, 0.1, 0.1], 60)
    first, second = find_attenuation_changes(sample.assign_coords(exposure_time=("time", exposure)))
    assert (first.cause, first.factor, ends([first])) == ("exposure", 1.0, [(59, 60)])
    assert (first.evidence["exposure_before"], first.evidence["exposure_after"]) == (1.0, 0.1)
    assert (second.cause, ends([second])) == ("attenuator", [(119, 120)])
    assert second.factor == pytest.approx(5, abs=4 * second.factor_errors)
    corrected = correct_attenuation(sample.assign_coords(exposure_time=("time", exposure)), [first, second])
    for part in (slice(0, 60), slice(60, 120), slice(120, 180)):
        assert corrected.intensity[part].mean("time").values == pytest.approx([3000, 1000, 10_000], rel=0.1)


@pytest.mark.parametrize("lag", [-2, 0, 3])
def test_the_record_of_the_attenuator_and_its_lag(lag):
    sample = counted(levels((50, 1), (2, 0), (50, 0.1)))
    record = np.where(np.arange(102) < (51 if lag == 0 else 52 + lag if lag > 0 else 50 + lag), 1.0, 0.11)
    (change,) = find_attenuation_changes(sample.assign_coords(transmission=("time", record)))
    assert change.evidence["record"] == "transmission"
    assert change.evidence["record_lag_frames"] == lag
    assert change.evidence["nominal_factor"] == pytest.approx(1 / 0.11)
    assert ("late" in change.evidence["record_text"]) == (lag > 0)


def test_a_recorded_change_without_a_step_is_told():
    """Intensities over a background of the same frame: the attenuator cancels."""
    sample = counted(levels((80, 1)))
    record = np.repeat([1.0, 0.1], 40)
    with pytest.warns(XinsituWarning, match="transmission changes by a factor of 10 at .* have no step left"):
        assert find_attenuation_changes(sample.assign_coords(transmission=("time", record))) == []
    # too few counts to say
    faint = counted(levels((80, 1), rois=(0.01, 0.01, 0.01)))
    assert find_attenuation_changes(faint.assign_coords(transmission=("time", record))) == []


def test_a_weak_change_is_found_with_the_help_of_the_log():
    expected = levels((60, 1), (60, 1 / 1.06), rois=(20_000, 30_000))
    record = np.repeat([1.0, 1 / 1.06], 60)
    assert find_attenuation_changes(counted(expected)) == []
    (change,) = find_attenuation_changes(counted(expected).assign_coords(transmission=("time", record)))
    assert change.factor == pytest.approx(1.06, abs=3 * change.factor_errors)
    assert abs(change.before_key.frame - 59) <= 6


def test_other_boxes_on_the_two_sides_are_told():
    first = counted(levels((60, 1)), rois=["WZ", "ZB", "TW"]).assign_coords(measurement="time1", **box([0, 0, 0]))
    second = counted(levels((60, 0.1)), seed=1, rois=["WZ", "ZB", "TW"]).assign_coords(
        measurement="time2", **box([0, 5, 0])
    )
    second = second.assign_coords(time=second.time + np.timedelta64(61, "s"))
    with pytest.warns(XinsituWarning, match="different boxes"):
        sample = stitch([first, second])
    (change,) = find_attenuation_changes(sample)
    assert change.evidence["other_boxes"] == ["ZB"]


def box(first_rows):
    rows = np.array(first_rows)
    return {f"roi_{corner}": ("roi", rows + shift) for corner, shift in (("y0", 0), ("y1", 9), ("x0", 0), ("x1", 9))}


def test_flicker_of_the_beam_is_no_change():
    rng = np.random.default_rng(5)
    expected = levels((400, 1), rois=(1e6, 2e6, 5e5)) * np.exp(0.05 * rng.standard_normal(400))[:, None]
    assert find_attenuation_changes(counted(expected)) == []
    expected[200:] *= 0.1
    assert ends(find_attenuation_changes(counted(expected))) == [(199, 200)]


def test_takes_a_bare_dataarray_in_any_order_of_dims():
    sample = counted(levels((50, 1), (50, 0.1)))
    bare = sample.intensity.drop_vars("frame")
    for array in (bare, bare.transpose("roi", "time"), bare.rename(None)):
        (change,) = find_attenuation_changes(array)
        assert (change.before, change.after) == (START + 49 * SECOND, START + 50 * SECOND)
        assert change.factor == pytest.approx(10, rel=0.05)
    (change,) = find_attenuation_changes(sample, roi="R2")
    assert list(change.evidence["factors"]) == ["R2"]


STEADY = np.random.default_rng(0).poisson(np.repeat([[1000.0, 500.0]], 60, axis=0)).astype(float)
NUMBER = np.arange(60)[:, None]


@pytest.mark.parametrize("known", [True, False], ids=["errors", "no errors"])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.zeros((60, 2)), id="nothing counted"),
        pytest.param(np.full((60, 2), 5.0), id="no noise"),
        pytest.param(np.full((60, 2), np.nan), id="nothing known"),
        pytest.param(np.where([[True, False]], STEADY, np.nan), id="one ROI unknown"),
        pytest.param(np.where(NUMBER < 30, STEADY, np.nan), id="half unknown"),
        pytest.param(np.where(STEADY > 1050, np.inf, STEADY), id="infinite"),
        pytest.param(STEADY - 2000, id="negative"),
        pytest.param(np.where(NUMBER % 17 == 0, 50 * STEADY, STEADY), id="spikes"),
        pytest.param(np.where(NUMBER % 2 == 0, STEADY, 0.1 * STEADY), id="alternating"),
        pytest.param(STEADY[:2], id="two frames"),
    ],
)
def test_odd_series_have_no_change(values, known):
    sample = counted(np.ones(values.shape)).assign(intensity=(("time", "roi"), values))
    sample["intensity_errors"] = ("time", "roi"), np.sqrt(np.abs(values))
    assert find_attenuation_changes(sample if known else sample.drop_vars("intensity_errors")) == []


@pytest.mark.parametrize("repeat", [5, 100], ids=["five a second", "one time for all"])
def test_repeated_stamps(repeat):
    sample = counted(levels((50, 1), (50, 0.1)))
    (change,) = find_attenuation_changes(sample.assign_coords(time=sample.time.values[np.arange(100) // repeat]))
    assert ends([change]) == [(49, 50)]
    assert correct_attenuation(sample, [change]).segment.values.tolist() == [0] * 50 + [1] * 50


def test_what_it_cannot_take():
    sample = counted(levels((50, 1), (50, 0.1)))
    with pytest.raises(RoiError, match="no ROI 'TW'"):
        find_attenuation_changes(sample, roi="TW")
    with pytest.raises(SchemaError, match="intensity"):
        find_attenuation_changes(sample.drop_vars("intensity"))
    with pytest.raises(SchemaError, match="datetime64"):
        find_attenuation_changes(sample.intensity.assign_coords(time=np.arange(100.0)))
    assert find_attenuation_changes(sample.isel(time=slice(0, 1))) == []
    assert find_attenuation_changes(sample.isel(time=slice(0, 0))) == []


def test_changes_survive_their_file(tmp_path):
    changes = find_attenuation_changes(counted(levels((50, 1), (3, 0), (50, 0.1))))
    xi.write_attenuation_changes(changes, tmp_path / "changes.json")
    (read,) = xi.read_attenuation_changes(tmp_path / "changes.json")
    assert read.factor == changes[0].factor
    assert read.evidence["chi_squared"] == changes[0].evidence["chi_squared"]


def test_the_input_is_left_and_nothing_is_applied():
    sample = counted(levels((50, 1), (50, 0.1)))
    before = sample.copy(deep=True)
    find_attenuation_changes(sample)
    xr.testing.assert_identical(sample, before)


# -- the real runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [("time1a", 0), ("time2", 1), ("time3", 0), ("time4", 0)])
def test_real_runs_alone(shared_data, name, expected):
    changes = find_attenuation_changes(bl11xu.run(shared_data, name))
    assert len(changes) == expected
    if expected:
        assert (changes[0].before_key.scan, changes[0].before_key.frame) == (1, 357)
        assert (changes[0].after_key.scan, changes[0].after_key.frame) == (2, 0)


def test_real_runs_joined(shared_data):
    sample = stitch(bl11xu.runs(shared_data))
    changes = find_attenuation_changes(sample)
    keys = [(c.before_key.measurement, c.before_key.frame, c.after_key.measurement, c.after_key.frame) for c in changes]
    assert keys == [("time2", 357, "time2", 0), ("time3", 770, "time4", 0)]
    expected = [(0.119, 0.119, 0.117), (0.121, 0.120, 0.119)]
    for change, ratios in zip(changes, expected, strict=True):
        assert 1 / change.factor == pytest.approx(np.mean(ratios), rel=0.015)
        assert change.evidence["degrees_of_freedom"] == 2
        assert change.evidence["chi_squared"] > 0
        for roi, ratio in zip(bl11xu.ROIS, ratios, strict=True):
            assert 1 / change.evidence["factors"][roi]["factor"] == pytest.approx(ratio, rel=0.02)
        assert 0.003 < change.factor_errors / change.factor < 0.015


def test_real_positions_and_widths_go_on_across_the_changes(shared_data):
    sample = stitch(bl11xu.runs(shared_data))
    corrected = correct_attenuation(sample, find_attenuation_changes(sample))
    for name in ("com_y", "com_x", "fwhm_y"):
        np.testing.assert_array_equal(corrected[name], sample[name])
    edges = np.flatnonzero(np.diff(corrected.segment.values) == 1)
    assert len(edges) == 2
    for edge in edges:
        assert (np.abs(np.diff(at_edge(corrected, edge, "com_y"), axis=0)) < 0.1).all()
        assert (np.abs(np.diff(at_edge(corrected, edge, "com_x"), axis=0)) < 0.1).all()
        before, after = at_edge(corrected, edge, "fwhm_y")[:, :2]  # WZ and ZB
        assert (np.abs(before / after - 1) < 0.05).all()
        before, after = at_edge(corrected, edge, "intensity")
        assert (np.abs(before / after - 1) < 0.02).all()


def at_edge(sample, edge, name):
    """Values of lines through 20 frames on each side, half a frame from the last and the first; dims (side, roi)."""
    values = sample[name].transpose("time", "roi").values
    sides = []
    for frames, x in ((np.arange(edge - 19, edge + 1), edge + 0.5), (np.arange(edge + 1, edge + 21), edge + 0.5)):
        here = [np.isfinite(column[frames]) for column in values.T]
        fits = [np.polyfit(frames[ok], column[frames][ok], 1) for column, ok in zip(values.T, here, strict=True)]
        sides.append([np.polyval(fit, x) for fit in fits])
    return np.array(sides)


# -- hundreds of made-up samples --------------------------------------------------------------------------------------


def matched(sample, changes):
    """Pairs of a true change and what was found of it (None: nothing), and what was found of nothing."""
    left = list(changes)
    pairs = []
    for true in sample.changes:
        near = [c for c in left if c.before_key.frame <= true[1] and c.after_key.frame >= true[0]]
        pairs.append((true, near[0] if near else None))
        left = [c for c in left if not near or c is not near[0]]
    return pairs, left


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_samples():
    due = found = placed = good = false = 0
    relative = []
    for seed in range(500):
        sample = samples.make(seed)
        changes = find_attenuation_changes(sample.series)
        pairs, left = matched(sample, changes)
        false += len(left)
        for true, change in pairs:
            if abs(np.log(true[2])) < np.log(1.2) or sample.significance(true) < 5:
                continue
            due += 1
            if change is None:
                continue
            found += 1
            placed += (change.before_key.frame, change.after_key.frame) == true[:2]
            good += abs(change.factor - true[2]) < 3 * change.factor_errors
        relative.append(joined_error(sample, changes))
    assert due > 1800
    assert found >= 0.99 * due
    assert placed >= 0.99 * due
    assert false < 0.01 * due
    assert good >= 0.99 * found
    assert np.mean(np.concatenate(relative) < 1) > 0.99


def joined_error(sample, changes):
    """Error of the joined curve, mean of each segment and ROI, in units of what is allowed: 1 % or three errors."""
    corrected = correct_attenuation(sample.series, changes)
    segment = corrected.segment.values
    allowed = []
    for number in range(segment.max() + 1):
        here = segment == number
        measured = corrected.intensity.values[here].mean(axis=0)
        truth = sample.truth[here].mean(axis=0)
        noise = np.sqrt((corrected.intensity_errors.values[here] ** 2).sum(axis=0)) / here.sum()
        shared = measured * corrected.scale_errors.values[here][0]
        allowed.append(np.abs(measured - truth) / np.maximum(0.01 * truth, 3 * np.hypot(noise, shared)))
    return np.concatenate(allowed)


def test_frames_out_of_order_give_no_wrong_factor():
    time = np.datetime64("2014-05-28", "ns") + np.arange(60) * np.timedelta64(1, "s")
    counts = np.repeat([1000.0, 100.0], 30)[:, None] * [1.0, 2.0]
    series = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ", "ZB"]})
    backwards = series.isel(time=slice(None, None, -1))
    (change,) = find_attenuation_changes(backwards)
    assert (change.before, change.after) == (time[29], time[30])
    assert change.factor == pytest.approx(10)
    with pytest.raises(StitchError, match="not in the order of their times"):
        correct_attenuation(backwards, [change])
