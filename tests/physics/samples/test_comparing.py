"""Samples beside each other, appended measurements, and the numbers behind a change."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.physics.attenuation.test_scaling import at, step
from xinsitu.errors import SchemaError, StitchError
from xinsitu.physics.attenuation.reports import change_reports
from xinsitu.physics.attenuation.scaling import attenuation_changes, correct_attenuation, undo_attenuation
from xinsitu.physics.samples.comparing import compare, scale_modes
from xinsitu.physics.samples.events import with_events
from xinsitu.physics.samples.joining import append_measurements, stitch
from xinsitu.values import AttenuationChange, Event

from .test_joining import SECOND, START, series


def grown(name, rate, seconds=range(60), offset=0.0, noise=0.0):
    seconds = np.asarray(list(seconds), dtype=float)
    values = 1000 + rate * seconds[:, None] * [1.0, 2.0] + offset
    values = values + noise * np.random.default_rng(1).standard_normal(values.shape)
    return series("time1", seconds, values).assign_coords(sample=name)


def test_each_sample_on_its_own_elapsed_time():
    a = with_events(grown("0884", 3.0), [Event("In shutter open", START + 10 * SECOND)])
    b = with_events(grown("0799", 5.0), [Event("In shutter open", START + 20 * SECOND)])
    compared = compare([a, b], t0="In shutter open")
    assert list(compared.series) == ["0884", "0799"]
    assert compared.series["0884"].elapsed.values[0] == -10
    assert compared.series["0799"].elapsed.values[0] == -20
    assert (compared.start, compared.stop) == (0.0, 39.0)
    slope = compared.slopes.slope.sel(quantity="intensity")
    np.testing.assert_allclose(slope.sel(sample="0884"), [3, 6], rtol=1e-9)
    np.testing.assert_allclose(slope.sel(sample="0799"), [5, 10], rtol=1e-9)
    table = compared.table()
    assert set(table["units"]) == {"counts / s", "pixel / s"}
    assert "0799" in str(compared)
    with pytest.raises(StitchError, match="no event 'anneal'"):
        compare([a, b], t0="anneal")


@pytest.mark.parametrize(("level", "rate"), [(1, 0.01), (1, 0.05), (3, 0.01), (10, 0.0), (300, 0.01)])
def test_slopes_of_few_counts_are_not_pulled_by_the_luck_of_a_frame(level, rate):
    random, frames, scale = np.random.default_rng(7), np.arange(100.0), np.where(np.arange(100) < 50, 1.0, 0.5)
    counts = random.poisson((level * (1 + rate * frames) * scale)[:, None], (100, 200))
    sample = xr.Dataset(
        {
            "intensity": (("time", "roi"), counts / scale[:, None]),
            "intensity_errors": (("time", "roi"), np.sqrt(np.maximum(counts, 1)) / scale[:, None]),
        },
        {"time": START + frames.astype(int) * SECOND, "roi": [f"roi {number}" for number in range(200)]},
    )
    found = compare({"a": sample}).slopes.sel(quantity="intensity")
    pulls = ((found.slope - level * rate) / found.slope_errors).values
    assert abs(pulls.mean()) < 0.3
    assert 0.75 < pulls.std() < 1.15


def test_a_frame_without_an_error_does_not_count_in_a_slope():
    sample = grown("a", 3.0, noise=20.0)
    errors = np.full((60, 2), 20.0)
    errors[30] = np.nan
    far = sample.intensity.values.copy()
    far[30] += 1e6
    known = sample.assign(intensity=(("time", "roi"), far), intensity_errors=(("time", "roi"), errors))
    rows = compare([known]).slopes.sel(quantity="intensity")
    assert rows.frames.values.tolist() == [[59, 59]]
    np.testing.assert_allclose(rows.slope.values[0], [3, 6], atol=1)


def test_slopes_and_their_errors_are_those_of_least_squares():
    sample = grown("a", 3.0, noise=20.0)
    here = slice(5, 31)
    x, y = np.arange(60.0)[here], sample.intensity.values[here, 0]
    (fitted, _), covariance = np.polyfit(x, y, 1, cov=True)
    row = compare([sample], interval=(5, 30)).slopes.sel(sample="a", roi="WZ", quantity="intensity")
    assert row.slope.item() == pytest.approx(fitted, rel=1e-9)
    assert row.slope_errors.item() == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-9)
    assert row.frames.item() == 26
    weighted = sample.assign(intensity_errors=(("time", "roi"), np.full((60, 2), 20.0)))
    (fitted, _), covariance = np.polyfit(x, y, 1, w=np.full(26, 1 / 20), cov="unscaled")
    row = compare([weighted], interval=(5, 30)).slopes.sel(sample="a", roi="WZ", quantity="intensity")
    reduced = np.sum((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2) / 400 / 24
    assert row.slope_errors.item() == pytest.approx(np.sqrt(covariance[0, 0] * max(reduced, 1)), rel=1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize(("level", "rate", "frames"), [(30.0, 1.5, 14), (4000.0, 30.0, 8)])
def test_slopes_of_runs_differ_by_as_much_as_is_stated(level, rate, frames):
    """Counts of two runs in 400 ROIs, one of which grows twice as fast, with their own errors."""
    rng, seconds = np.random.default_rng(4), np.arange(frames)
    runs = {}
    for name, growth in (("a", rate), ("b", 2 * rate)):
        counts = rng.poisson(level + growth * seconds[:, None], (frames, 400)).astype(float)
        axes = {"time": START + seconds * SECOND, "roi": [f"R{number}" for number in range(400)]}
        variables = {"intensity": (("time", "roi"), counts), "intensity_errors": (("time", "roi"), counts**0.5)}
        runs[name] = xr.Dataset(variables, axes)
    slopes = compare(runs).slopes.sel(quantity="intensity")
    first, second = slopes.slope.transpose("sample", "roi").values
    pulls = (second - first - rate) / np.hypot(*slopes.slope_errors.transpose("sample", "roi").values)
    assert 0.85 < pulls.std() < 1.15
    assert abs(pulls.mean()) < 0.2


def test_the_error_of_a_factor_is_carried_by_the_slope():
    levels = np.r_[np.full(20, 1000.0), np.full(20, 100.0)]
    sample = step(levels, errors=levels[:, None] * 1e-6)
    corrected = correct_attenuation(sample, [at(19, 20, factor=10.0, factor_errors=0.5)])
    (shared,) = scale_modes(corrected)
    np.testing.assert_allclose(shared, np.repeat([0.0, 0.05], 20))
    last = correct_attenuation(sample, [at(19, 20, factor=10.0, factor_errors=0.5)], reference="last")
    np.testing.assert_allclose(scale_modes(last)[0], np.repeat([0.05, 0.0], 20))
    # what the slope becomes when the factor is one standard error off
    shifted = np.r_[np.full(20, 1000.0), np.full(20, 1050.0)]
    expected = np.polyfit(np.arange(40.0), shifted, 1)[0]
    row = compare({"a": corrected}).slopes.sel(roi="WZ", quantity="intensity")
    assert row.slope_errors.item() == pytest.approx(expected, rel=1e-3)


def test_what_cannot_be_compared():
    with pytest.raises(StitchError, match="nothing to compare"):
        compare([])
    with pytest.raises(StitchError, match="same name"):
        compare([grown("a", 1), grown("a", 2)])
    with pytest.raises(SchemaError, match="no frame between 500 s and 600 s"):
        compare([grown("a", 1)], interval=(500, 600))


# -- appending --------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_append_to_a_corrected_sample_from_its_file(tmp_path):
    first = series("time1", range(6), [[1000, 500]] * 3 + [[100, 50]] * 3)
    second = series("time2", range(100, 106), [[100, 50]] * 2 + [[400, 200]] * 4)
    changes = [at(2, 3), at(101, 102)]
    at_once = correct_attenuation(stitch([first, second]), changes)
    xi.write_results(correct_attenuation(stitch([first]), changes[:1]), tmp_path / "s.nc")
    appended = append_measurements(xi.read_results(tmp_path / "s.nc"), [second], changes=changes[1:])
    np.testing.assert_allclose(appended.intensity, at_once.intensity, rtol=1e-12)
    np.testing.assert_allclose(appended.attenuation_factor, at_once.attenuation_factor, rtol=1e-12)
    np.testing.assert_array_equal(appended.intensity_measured, at_once.intensity_measured)
    assert appended.measurement.values.tolist() == ["time1"] * 6 + ["time2"] * 6
    assert len(attenuation_changes(appended)) == 2
    np.testing.assert_array_equal(undo_attenuation(appended).intensity, stitch([first, second]).intensity)


def test_append_and_find():
    rng = np.random.default_rng(0)
    first = series("time1", range(60), rng.poisson(np.repeat([[9000, 5000], [900, 500]], 30, axis=0)))
    second = series("time2", range(100, 160), rng.poisson(np.repeat([[900, 500], [9000, 5000]], 30, axis=0)))
    sample = correct_attenuation(stitch([first]), xi.find_attenuation_changes(stitch([first])))
    appended = append_measurements(sample, second, find=True)
    first_change, second_change = attenuation_changes(appended)
    assert first_change.factor == attenuation_changes(sample)[0].factor
    assert second_change.factor == pytest.approx(0.1, rel=0.05)
    plain = append_measurements(stitch([first]), {"time2": second})
    assert "attenuation_factor" not in plain.coords


def with_a_lone_frame(name, first, lone):
    rng = np.random.default_rng(first)
    values = np.full((60, 2), 9000.0) * [1, 0.6]
    values[lone] /= 8
    return series(name, range(first, first + 60), rng.poisson(values))


def test_appending_flags_a_frame_that_is_no_level_and_keeps_the_flags_there_were():
    found = xi.find_attenuation_changes(stitch([with_a_lone_frame("time1", 0, 30)]))
    assert found == []
    sample = correct_attenuation(stitch([with_a_lone_frame("time1", 0, 30)]), found)
    near = int(xi.schema.Quality.NEAR_CHANGE)
    longer = append_measurements(sample, with_a_lone_frame("time2", 100, 20), find=True)
    assert np.flatnonzero((longer.quality & near).any("roi")).tolist() == [30, 80]
    longer = append_measurements(sample, with_a_lone_frame("time2", 100, 20))
    assert np.flatnonzero((longer.quality & near).any("roi")).tolist() == [30]


# -- the numbers behind a change --------------------------------------------------------------------------------------


def test_report_holds_points_lines_and_factors():
    t = np.arange(40.0)
    values = np.where(t < 20, 1, 0.1) * (1000 + 10 * t)
    sample = step(values, errors=1.0)
    change = AttenuationChange(START + 19 * SECOND, START + 20 * SECOND)
    for given in (sample, correct_attenuation(sample, [change])):
        (report,) = change_reports(given, [change], window=5)
        assert report.before.tolist() == [15, 16, 17, 18, 19]
        assert report.after.tolist() == [20, 21, 22, 23, 24]
        np.testing.assert_allclose(report.line_before[:, 0], values[15:20])
        np.testing.assert_allclose(report.line_after[:, 0], values[20:25])
        factor, error = report.factors["WZ"]
        assert factor == pytest.approx(10)
        assert 0 < error < 1
        np.testing.assert_array_equal(report.intensity[:, 0], values[report.shown])
    assert "(WZ 10.00 ± 0.08)" in str(report)


@pytest.mark.thorough
def test_lines_and_sums_as_in_the_text_book():
    """Growth 2 % per frame, factor 10, end points three frames apart: lines are right where sums are not."""
    rng = np.random.default_rng(3)
    t = np.arange(18.0)
    expected = 5000 * 1.02 ** (t - 8.5) * np.where(t < 8, 1, 0.1)
    found = {"end points": [], "sums": [], "lines": []}
    for _ in range(200):
        counts = rng.poisson(expected).astype(float)
        sample = xr.Dataset(
            {
                "intensity": (("time", "roi"), counts[:, None]),
                "intensity_errors": (("time", "roi"), np.sqrt(counts)[:, None]),
            },
            {"time": START + (t * 1e9).astype("timedelta64[ns]"), "roi": ["WZ"]},
        )
        change = AttenuationChange(sample.time.values[7], sample.time.values[10])
        for method, values in found.items():
            window = None if method == "end points" else 8
            (one,) = attenuation_changes(correct_attenuation(sample, [change], window=window, method=method))
            values.append((one.factor, one.factor_errors))
    mean = {method: np.mean(values, axis=0) for method, values in found.items()}
    scatter = {method: np.std([value[0] for value in values]) for method, values in found.items()}
    assert mean["end points"] == pytest.approx([9.44, 0.44], rel=0.03)
    assert mean["sums"] == pytest.approx([8.19, 0.13], rel=0.1)
    assert mean["lines"] == pytest.approx([10.0, 0.39], rel=0.1)
    for method, values in mean.items():
        assert scatter[method] == pytest.approx(values[1], rel=0.2)
