"""Every quality flag rises where it should, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import median_filter

import xinsitu as xi
from xinsitu.physics.reduction.flags import NEAR, _above, _around, _pooled, _pooled_bias, _wrong
from xinsitu.schema import Quality
from xinsitu.values import KeyFrame

SHAPE, BOX = (40, 50), xi.Roi("spot", y=(5, 35), x=(5, 45))
FRAMES = 24


def sound(counts=2e5, level=5.0, *, centre=(20.0, 25.0), sigma=(3.0, 4.0)):
    """A measurement in which nothing is wrong."""
    y, x = np.arange(SHAPE[0])[:, None], np.arange(SHAPE[1])
    spot = np.exp(-0.5 * ((y - centre[0]) / sigma[0]) ** 2 - 0.5 * ((x - centre[1]) / sigma[1]) ** 2)
    truth = counts * spot / spot.sum() + level
    frames = np.random.default_rng(1).poisson(truth, (FRAMES, *SHAPE)).astype("int32")
    time = np.datetime64("2014-05-28", "ns") + np.arange(FRAMES) * np.timedelta64(1, "s")
    coords = {
        "time": time,
        "exposure_time": ("time", np.full(FRAMES, 1.0)),
        "monitor": ("time", np.full(FRAMES, 1e5)),
        "omega": ("time", np.full(FRAMES, 1.5), {"units": "degree"}),
        "frame_status": ("time", np.zeros(FRAMES, "int8")),
        "frame": ("time", np.arange(FRAMES)),
    }
    attrs = {"units": "counts", "count_cutoff": 10**6, "tau": 2e-7}
    return xr.DataArray(frames, dims=("time", "y", "x"), coords=coords, attrs=attrs)


def flagged(series, flag, roi="spot"):
    return np.flatnonzero(series.quality.sel(roi=roi).values & int(flag)).tolist()


def names(series, roi="spot", frame=0):
    return Quality(int(series.quality.sel(roi=roi)[frame]))


@pytest.mark.parametrize("recipe", [None, xi.Correction(median=3), xi.Correction(median=3, threshold=5)])
@pytest.mark.parametrize("background", [(), "edge", "plane"])
def test_nothing_is_flagged_where_nothing_is_wrong(recipe, background):
    series = xi.measure(sound(), [xi.Roi("spot", BOX.y, BOX.x, background=background)], correction=recipe)
    plain = recipe is not None and recipe.threshold is None  # it takes more than an error from so bright a spot
    assert (series.quality == (Quality.MEDIAN_BIAS if plain else 0)).all()


def pixel(image, frames, value, place=(20, 25)):
    image = image.copy(deep=True)
    image.values[frames, place[0], place[1]] = value
    return image


def case_saturated():
    return pixel(sound(), [3, 4], 10**6), [3, 4]


def case_masked():
    return pixel(sound(), [7], -2, (30, 40)), [7]


def case_no_beam_by_the_monitor():
    image = sound()
    image["monitor"][5] = 3.0
    return image, [5]


def case_no_beam_by_the_counts():
    image = sound()
    image.values[[2, 9]] = 0
    return image, [2, 9]


def case_count_rate_high():
    return pixel(sound(), [8], 250_000), [8]


def case_frame_fault():
    image = sound()
    image["frame_status"][6] = 2
    return image, [6]


def case_low_counts():
    image = sound()
    image.values[11] = 0
    image.values[11, 10, 10:14] = 1
    return image, [11]


def case_noisy_profile():
    image = sound()
    image.values[13] = sound(counts=300, level=0.2).values[0]
    return image, [13]


CASES = {
    Quality.SATURATED: [case_saturated],
    Quality.MASKED_PIXELS: [case_masked],
    Quality.NO_BEAM: [case_no_beam_by_the_monitor, case_no_beam_by_the_counts],
    Quality.COUNT_RATE_HIGH: [case_count_rate_high],
    Quality.FRAME_FAULT: [case_frame_fault],
    Quality.LOW_COUNTS: [case_low_counts],
    Quality.NOISY_PROFILE: [case_noisy_profile],
}


@pytest.mark.parametrize(("flag", "case"), [(flag, case) for flag, cases in CASES.items() for case in cases])
def test_a_flag_rises_in_the_frames_that_have_the_fault_and_in_no_other(flag, case):
    image, frames = case()
    for data in (image, image.chunk({"time": 5}).assign_coords(image.coords)):
        assert flagged(xi.measure(data, [BOX]), flag) == frames


@pytest.mark.filterwarnings("ignore:ROI 'spot'. its edges:xinsitu.XinsituWarning")
@pytest.mark.parametrize(("sigma", "expected"), [((3.0, 4.0), False), ((40.0, 4.0), True), ((3.0, 60.0), True)])
def test_half_a_level_that_is_not_crossed_is_flagged_with_a_width_that_is_not_there(sigma, expected):
    series = xi.measure(sound(2e6, sigma=sigma), [xi.Roi("spot", BOX.y, BOX.x, background="none"), empty()])
    assert (len(flagged(series, Quality.HALF_LEVEL_NOT_CROSSED)) == FRAMES) is expected
    lost = np.isnan(series.fwhm_y.sel(roi="spot")) | np.isnan(series.fwhm_x.sel(roi="spot"))
    assert lost.all() == expected


def empty():
    """A background in the corner that holds next to nothing."""
    return xi.Roi("none", y=(0, 2), x=(0, 2), role="background")


@pytest.mark.parametrize(
    ("centre", "expected"), [((20, 25), False), ((5, 25), True), ((34, 25), True), ((20, 5), True), ((20, 44), True)]
)
def test_a_peak_at_the_edge_of_its_roi_is_flagged(centre, expected):
    series = xi.measure(sound(centre=centre), [BOX])
    assert (len(flagged(series, Quality.PEAK_AT_EDGE)) == FRAMES) is expected
    assert bool(flagged(series, Quality.PEAK_AT_EDGE)) is expected


def test_frames_in_motion_are_those_behind_a_step_of_a_motor():
    image = sound()
    image["omega"][10:] = 1.6
    with pytest.warns(xi.XinsituWarning, match="omega moves"):
        series = xi.measure(image, [BOX])
    assert flagged(series, Quality.FRAME_IN_MOTION) == [10]


def test_a_background_of_zero_is_flagged_where_it_divides():
    image = sound()
    image.values[4, :4, :20] = 0
    region = {"y": (0, 4), "x": (0, 20)}
    with pytest.warns(xi.XinsituWarning, match="zero in 1 of 24 frames"):
        divided = xi.measure(image, [BOX], correction=xi.Correction(background=xi.Background(**region)))
    taken_off = xi.measure(image, [BOX], correction=xi.Correction(background=xi.Background(**region, mode="subtract")))
    assert flagged(divided, Quality.ZERO_BACKGROUND) == [4]
    assert flagged(taken_off, Quality.ZERO_BACKGROUND) == []


def test_a_lost_peak_is_flagged_in_a_roi_that_moves_only():
    image = sound()
    image.values[15] = 0
    keys = [KeyFrame(xi.Key(frame=frame), BOX.y, BOX.x) for frame in (0, FRAMES - 1)]
    moving = xi.Roi("moving", BOX.y, BOX.x, path=tuple(keys))
    series = xi.measure(image, [BOX, moving])
    assert flagged(series, Quality.PEAK_LOST, "moving") == [15]
    assert flagged(series, Quality.PEAK_LOST) == []


def test_frames_in_a_transition_are_flagged_and_undone():
    series = xi.measure(sound(), [BOX])
    change = xi.AttenuationChange(series.time.values[10], series.time.values[13], factor=1.0)
    corrected = xi.correct_attenuation(series, [change])
    assert flagged(corrected, Quality.IN_TRANSITION) == [11, 12]
    assert flagged(xi.undo_attenuation(corrected), Quality.IN_TRANSITION) == []


def test_a_fit_that_fails_is_flagged_and_nan():
    image = sound()
    image.values[3] = 0
    found = xi.fit_rois(image, [BOX]).sel(roi="spot")
    for axis in "yx":
        failed = np.flatnonzero(found[f"quality_{axis}"].values & int(Quality.FIT_FAILED)).tolist()
        assert failed == [3]
        assert np.flatnonzero(np.isnan(found[f"centre_{axis}"].values)).tolist() == [3]


def test_every_flag_has_its_line_in_the_documentation():

    page = (Path(__file__).resolve().parents[3] / "docs" / "quantities" / "quality.md").read_text(encoding="utf-8")
    assert [flag.name for flag in Quality if f"| `{str(flag.name).lower()}` |" not in page] == []


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 60])
@pytest.mark.parametrize("known", [True, False])
def test_more_than_half_of_the_frames_around_lie_above_where_their_median_does(frames, known):
    """Which is how it is asked where every value is known."""
    rng = np.random.default_rng(frames)
    values = rng.choice([-np.inf, 3.0, 5.0, 7.0, np.inf], (frames, 400))
    if not known:
        values[rng.random(values.shape) < 0.01] = np.nan
    median = median_filter(values, size=(min(NEAR, 2 * frames - 1), 1), mode="mirror")
    np.testing.assert_array_equal(_above(values, 4.0, 5.0), (median > 5.0) & (values > 4.0))


def test_what_is_off_by_less_than_an_error_in_the_mean_is_not_wrong():
    """The mean over the frames that are known; 30 of 0.9 errors are certain together, and still less than one."""
    for change, expected in ((0.9, 0.0), (1.2, 1.2), (-1.2, -1.2)):
        values = np.full((40, 1), change)
        values[:10] = np.nan
        found = _wrong({"tail_y": values, "tail_y_variance": np.full((40, 1), 0.04)}, "tail_y", 65)
        np.testing.assert_allclose(found, np.full((40, 1), expected), rtol=1e-12)


def test_the_part_that_a_median_added_is_that_of_the_sums():
    """125 behind a median that added a quarter were 100, 45 that lost a tenth 50: 170 of 150, and errors of 3 and 4."""
    numbers = {
        "median_bias": np.array([[0.25], [np.nan], [-0.1]]),
        "intensity": np.array([[125.0], [7.0], [45.0]]),
        "intensity_errors": np.array([[3.0], [1.0], [4.0]]),
    }
    bias, noise = _pooled_bias(numbers, 3)
    np.testing.assert_allclose(bias[1], 170 / 150 - 1, rtol=1e-12)
    np.testing.assert_allclose(noise[1], 0.6 * 5 / 150, rtol=1e-12)


@pytest.mark.parametrize("frames", [1, 5, 7])
def test_sums_over_the_frames_around_are_those_of_half_a_window_to_each_side(frames):
    values = 2.0 ** np.arange(12)[:, None]  # of which each sum tells what is in it
    half = frames // 2
    expected = [[sum(2**at for at in range(max(0, n - half), min(12, n + half + 1)))] for n in range(12)]
    assert _around(values, frames).tolist() == expected
    assert _around(values, 12).tolist() == [[2**12 - 1]] * 12


@pytest.mark.parametrize(("dark", "lit", "without"), [(5, 100, True), (6, 100, False), (5, 99, False)])
def test_a_frame_of_five_counts_among_those_of_a_hundred_is_without_beam(dark, lit, without):
    image = sound().isel(time=slice(5)).drop_vars("monitor") * 0
    image.values[:, 10:12, 10] = np.array([lit, lit, dark, lit, lit])[:, None] / 2 // 1
    image.values[:, 10, 10] += np.array([lit, lit, dark, lit, lit]) % 2
    series = xi.measure(image.assign_attrs(units="counts"), [BOX])
    assert flagged(series, Quality.NO_BEAM) == ([2] if without else [])


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 99])
def test_means_over_frames_around_have_the_error_of_a_mean_of_those_that_are_known(frames):
    values = np.random.default_rng(3).normal(2, 1, (9, 2))
    values[[1, 2, 3, 7], 0] = values[:, 1] = np.nan
    values[4, 1] = 5
    mean, noise = _pooled(values, frames)
    for place in range(9):
        there = slice(0, 9) if frames >= 9 else slice(max(place - frames // 2, 0), place + frames // 2 + 1)
        for roi in range(2):
            known = values[there, roi][np.isfinite(values[there, roi])]
            assert mean[place, roi] == pytest.approx(known.mean() if len(known) > 1 else 0)
            if len(known) > 1:
                assert noise[place, roi] == pytest.approx(known.std(ddof=1) / np.sqrt(len(known)))
