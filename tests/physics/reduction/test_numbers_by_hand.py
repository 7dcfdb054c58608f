"""Numbers that ROIs are judged by, each from the pixels by hand: errors, significance, what is shared, flags."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import median_filter

import xinsitu as xi
from xinsitu.kernels.counting import sum_variance_factor
from xinsitu.physics.reduction.packed_numbers import Numbers
from xinsitu.physics.reduction.quantities import EMPTY, LOW_COUNTS, measure_block
from xinsitu.physics.reduction.roi_plan import fitted
from xinsitu.schema import Quality
from xinsitu.values import Key, KeyFrame
from xinsitu.variables import as_frames

PEAK = xi.Roi("peak", y=(5, 14), x=(4, 15), background=("ground",))
GROUND = xi.Roi("ground", y=(20, 27), x=(3, 15))
EDGE = xi.Roi("peak", y=(5, 14), x=(4, 15), background="edge")


def counts(seed=0, level=4.0, height=30.0, n=3, dtype="int32"):
    """A spot off the middle of its ROI, and a ground."""
    y, x = np.arange(30)[:, None], np.arange(24)
    truth = level + height * np.exp(-((y - 8.3) ** 2 + (x - 10.9) ** 2) / 4)
    pixels = np.random.default_rng(seed).poisson(np.broadcast_to(truth, (n, 30, 24))).astype(dtype)
    return xr.DataArray(pixels, dims=("time", "y", "x"), attrs={"units": "counts"})


def numbers(image, rois, correction=None, smooth=None):
    """What blocks give, by name, of the first ROI."""
    told = fitted(image, xi.RoiSet(rois), correction, smooth)
    packed = Numbers(measure_block(told.image.values, told.per_frame, plan=told.plan), told.plan.columns)
    return {name: packed[name][:, 0] for name in told.plan.columns.names}


def of(image, roi):
    return image.values[:, slice(*roi.y), slice(*roi.x)].astype(float)


def test_a_roi_above_others():
    image = counts()
    found = numbers(image, [PEAK, GROUND])
    own, ground = of(image, PEAK), of(image, GROUND)
    share = own[0].size / ground[0].size
    total, below = own.sum(axis=(1, 2)), ground.sum(axis=(1, 2))
    net, errors = total - share * below, np.sqrt(total + share**2 * below)
    wanted = {
        "intensity": net, "intensity_errors": errors,
        "background": share * below, "background_errors": share * np.sqrt(below), "significance": net / errors,
        "counted": total / 99, "n_valid": np.full(3, 99), "n_saturated": np.full(3, -1), "frame_variance": np.zeros(3),
        "level_variance": np.zeros(3), "flat_variance": np.full(3, np.nan),
    }  # fmt: skip
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-12, err_msg=name)
    mean = numbers(image, [xi.Roi("peak", PEAK.y, PEAK.x, background=("ground",), measure=("mean",)), GROUND])
    np.testing.assert_allclose(mean["mean"], net / 99, rtol=1e-12)
    np.testing.assert_allclose(mean["mean_errors"], errors / 99, rtol=1e-12)
    highest = np.sort(own.reshape(3, -1), axis=1)
    top, second = highest[:, -1], highest[:, -2]
    np.testing.assert_allclose(found["maximum_errors"], np.sqrt(top), rtol=1e-12)
    np.testing.assert_allclose(found["top_clear"], (top - second) / np.sqrt(top + second), rtol=1e-12)
    assert (found["quality"].astype(int) & ~int(Quality.ERRORS_DOUBTFUL) == 0).all()


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("background", ["rois", "edge"])
def test_errors_of_a_centre_are_those_of_its_pixels_one_by_one(axis, background):
    """Each pixel moves the centre by its place, less what it adds to the ground under all; the edge is even."""
    image = counts() * 0 + 20
    image[:, 7:10, 11:14] += 60
    image[1, 8, 12] += 200
    found = numbers(image, [PEAK, GROUND] if background == "rois" else [EDGE])
    own, ground = of(image, PEAK), of(image, GROUND)
    edge = np.ones((9, 11), bool)
    edge[1:-1, 1:-1] = False
    places = np.arange(5, 14)[:, None] if axis == "y" else np.arange(4, 15)
    for n in range(len(image)):
        away = np.broadcast_to(places - found[f"com_{axis}"][n], (9, 11))
        if background == "edge":
            weights = away - edge * away.sum() / edge.sum()
            net, variance = own[n].sum() - own[n][edge].mean() * 99, (weights**2 * own[n]).sum()
        else:
            net = own[n].sum() - ground[n].mean() * 99
            variance = (away**2 * own[n]).sum() + (away.sum() / ground[n].size) ** 2 * ground[n].sum()
        assert found[f"com_{axis}_errors"][n] == pytest.approx(np.sqrt(variance) / net, rel=1e-9)


def test_the_edge_of_a_roi_counts_in_both():
    """Of what lies on the edge only what is beyond its own part of the ground is new: ``V + A^2 v - 2 A / A_e V_e``."""
    image = counts(level=20.0)
    found, own = numbers(image, [EDGE]), of(image, EDGE)
    edge = np.ones((9, 11), bool)
    edge[1:-1, 1:-1] = False
    share = np.where(edge, 1 - 99 / edge.sum(), 1.0)
    np.testing.assert_allclose(found["intensity"], (share * own).sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found["intensity_errors"] ** 2, (share**2 * own).sum(axis=(1, 2)), rtol=1e-12)
    below = own[:, edge].sum(axis=1) * 99 / edge.sum()
    np.testing.assert_allclose(found["background"], below, rtol=1e-12)
    np.testing.assert_allclose(found["background_errors"], np.sqrt(below * 99 / edge.sum()), rtol=1e-12)


def test_a_background_of_frames_that_is_subtracted_is_shared_by_all_pixels():
    """Until a ROI has one of its own, which takes it out again."""
    image = counts()
    region = xi.Background(y=(20, 30), x=(0, 20), mode="subtract")
    level = image.values[:, 20:30, 0:20].astype(float)
    bare = xi.Roi("peak", PEAK.y, PEAK.x)
    found = numbers(image, [bare], xi.Correction(background=region))
    total, size = of(image, bare).sum(axis=(1, 2)), level[0].size
    np.testing.assert_allclose(found["intensity"], total - 99 * level.mean(axis=(1, 2)), rtol=1e-5)
    variance = total + 99**2 * level.sum(axis=(1, 2)) / size**2
    np.testing.assert_allclose(found["intensity_errors"] ** 2, variance, rtol=1e-5)
    np.testing.assert_allclose(found["level_variance"], level.sum(axis=(1, 2)) / size**2, rtol=1e-12)
    np.testing.assert_allclose(found["frame_level_counts"], level.sum(axis=(1, 2)), rtol=1e-12)
    assert np.isnan(found["maximum_errors"]).all()
    own = numbers(image, [PEAK, xi.Roi("ground", (0, 4), (0, 24))], xi.Correction(background=region))
    plain = numbers(image, [PEAK, xi.Roi("ground", (0, 4), (0, 24))])
    np.testing.assert_allclose(own["intensity"], plain["intensity"], rtol=1e-4)
    np.testing.assert_allclose(own["intensity_errors"], plain["intensity_errors"], rtol=1e-4)


def test_a_background_of_frames_that_divides_makes_them_brighter_and_less_sure_together():
    image = counts()
    region = xi.Background(y=(20, 30), x=(0, 20), mode="divide")
    level = image.values[:, 20:30, 0:20].astype(float)
    bare = xi.Roi("peak", PEAK.y, PEAK.x)
    found = numbers(image, [bare], xi.Correction(background=region))
    total, mean = of(image, bare).sum(axis=(1, 2)), level.mean(axis=(1, 2))
    np.testing.assert_allclose(found["intensity"], total / mean, rtol=1e-5)
    relative = 1 / total + 1 / level.sum(axis=(1, 2))
    np.testing.assert_allclose(found["intensity_errors"], total / mean * np.sqrt(relative), rtol=1e-4)
    np.testing.assert_allclose(found["frame_variance"], 1 / level.sum(axis=(1, 2)), rtol=1e-5)
    dark = image.copy()
    dark[1, 20:30, 0:20] = 0
    flags = numbers(dark, [bare], xi.Correction(background=region))["quality"].astype(int)
    assert [bool(flag & Quality.ZERO_BACKGROUND) for flag in flags] == [False, True, False]
    subtracted = xi.Correction(background=xi.Background(region.y, region.x, mode="subtract"))
    assert not (numbers(dark, [bare], subtracted)["quality"].astype(int) & Quality.ZERO_BACKGROUND).any()


@pytest.mark.parametrize(("height", "sign"), [(7, np.inf), (0, -np.inf)])
def test_an_intensity_without_any_error_is_infinitely_sure(height, sign):
    """Pixels that are no counts; nothing at all is as surely not there."""
    image = counts().astype(float) * 0 + height
    found = numbers(image.assign_attrs(units="1"), [xi.Roi("peak", PEAK.y, PEAK.x)])
    assert (found["significance"] == sign).all()
    assert (found["n_saturated"] == -1).all()
    assert np.isnan(found["maximum_errors"]).all()


def test_masked_pixels_are_left_out_and_said():
    image = counts()
    image[1, 7, 8] = -1
    found = numbers(image, [xi.Roi("peak", PEAK.y, PEAK.x)])
    assert found["n_valid"].tolist() == [99, 98, 99]
    assert [bool(int(flag) & Quality.MASKED_PIXELS) for flag in found["quality"]] == [False, True, False]
    pixels = of(image, PEAK)[1]
    assert found["intensity"][1] == pixels[pixels >= 0].sum()
    mean = numbers(image, [xi.Roi("peak", PEAK.y, PEAK.x, measure=("mean",))])["mean"]
    assert mean[1] == pytest.approx(pixels[pixels >= 0].mean())


@pytest.mark.parametrize("cutoff", [None, 30])
def test_full_pixels_are_counted_where_it_is_known_what_is_full(cutoff):
    image = counts(height=5.0)
    image[2, 8:10, 8] = 30
    found = numbers(image if cutoff is None else image.assign_attrs(count_cutoff=cutoff), [PEAK, GROUND])
    assert found["n_saturated"].tolist() == ([-1, -1, -1] if cutoff is None else [0, 0, 2])
    flags = [bool(int(flag) & Quality.SATURATED) for flag in found["quality"]]
    assert flags == [False, False, cutoff is not None]


@pytest.mark.parametrize(("level", "doubtful"), [(0.75 * EMPTY, True), (1.6 * EMPTY, False)])
def test_behind_a_median_an_empty_edge_has_doubtful_errors(level, doubtful):
    """A ground of less than a count per pixel; the spot is bright, so nothing else is in doubt."""
    image = counts(level=level, height=900.0, n=4)
    roi = xi.Roi("peak", y=(2, 20), x=(2, 22), background="edge", measure=("intensity",))
    flags = numbers(image, [roi], xi.Correction(median=3))["quality"].astype(int)
    assert ((flags & Quality.ERRORS_DOUBTFUL) > 0).tolist() == [doubtful] * 4


@pytest.mark.parametrize(("side", "lost"), [(0.9, True), (1.1, False)])
def test_a_peak_that_is_followed_is_lost_below_five_errors(side, lost):
    """``net = 5 errors`` is the least; a lone ROI has ``errors = root of its counts``."""
    pixels = np.zeros((2, 30, 24), "int32")
    pixels[:, 9, 9] = round(LOW_COUNTS**2 * side)
    image = xr.DataArray(pixels, dims=("time", "y", "x"), coords={"frame": ("time", [0, 1])}, attrs={"units": "counts"})
    path = (KeyFrame(Key(frame=0), (5, 14), (4, 15)), KeyFrame(Key(frame=1), (6, 15), (4, 15)))
    followed = numbers(image, [xi.Roi("peak", (5, 14), (4, 15), path=path, measure=("intensity",))])
    assert [bool(int(flag) & Quality.PEAK_LOST) for flag in followed["quality"]] == [lost, lost]
    at_rest = numbers(image, [xi.Roi("peak", (5, 14), (4, 15), measure=("intensity",))])
    assert not (at_rest["quality"].astype(int) & Quality.PEAK_LOST).any()


def test_a_monitor_that_counts_makes_the_highest_pixel_less_sure():
    """``m f + m^2 / N`` of a pixel of m counts a factor f, beside a monitor of N counts."""
    counted = np.array([400.0, 100.0, 25.0])
    image = counts().assign_coords(monitor=("time", counted, {"units": "counts"}))
    found = numbers(image, [PEAK, GROUND], xi.Correction(normalise="monitor"))
    factor, top = counted.mean() / counted, of(image, PEAK).max(axis=(1, 2))
    np.testing.assert_allclose(found["maximum"], top * factor, rtol=1e-6)
    np.testing.assert_allclose(found["frame_variance"], 1 / counted, rtol=1e-6)
    wanted = top * factor**2 + (top * factor) ** 2 / counted
    np.testing.assert_allclose(found["maximum_errors"] ** 2, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "rois", [[xi.Roi("peak", PEAK.y, PEAK.x)], [PEAK, GROUND], [EDGE]], ids=["none", "rois", "edge"]
)
@pytest.mark.parametrize("smooth", [None, 3])
def test_what_a_median_moves_a_centre_by_and_adds_to_a_width_is_what_frames_without_it_say(rois, smooth):
    """In errors, in the frames that are asked: one of eight."""
    image = counts(level=1.0, height=8.0, n=9)
    behind, plain = numbers(image, rois, xi.Correction(median=3), smooth), numbers(image, rois, None, smooth)
    for name in ("com_y", "com_x", "fwhm_y", "fwhm_x"):
        moved = (behind[name] - plain[name]) / behind[f"{name}_errors"]
        asked = np.isin(np.arange(9), (0, 8))
        np.testing.assert_allclose(behind[f"median_{name}"], np.where(asked, moved, np.nan), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("turn", ["y", "x", "axes"])
@pytest.mark.parametrize("background", [(), ("ground",), "edge", "plane"])
@pytest.mark.parametrize(
    "recipe", [None, xi.Correction(median=3, threshold=5), xi.Correction(median=3), xi.Correction(median=5)]
)
@pytest.mark.parametrize(("level", "box"), [(9.0, (PEAK.y, PEAK.x)), (0.7, ((1, 28), (2, 22)))], ids=["", "faint"])
def test_mirrored_and_turned_frames_have_the_same_numbers(turn, background, recipe, level, box):
    """But for where they are: rows and columns, left and right are alike."""
    image = counts(level=level)
    measures = ("com", "fwhm", "intensity", "sigma", "skewness", "mean", "background")
    rois = [xi.Roi("peak", *box, background=background, measure=measures), xi.Roi("ground", (5, 14), (15, 23))]
    if turn == "axes":
        other = image.transpose("time", "x", "y").rename(x="y", y="x")
        turned = [replace(roi, y=roi.x, x=roi.y) for roi in rois]
    else:
        other = image.isel({turn: slice(None, None, -1)})
        size = image.sizes[turn]

        def flip(roi, axis):
            low, high = getattr(roi, axis)
            return (size - high, size - low) if axis == turn else (low, high)

        turned = [replace(roi, y=flip(roi, "y"), x=flip(roi, "x")) for roi in rois]
    found, expected = numbers(other, turned, recipe), numbers(image, rois, recipe)
    swapped = {"_y": "_x", "_x": "_y"} if turn == "axes" else {}
    for name, values in expected.items():
        if name.startswith(("maximum_y", "maximum_x")) or name == f"com_{turn}" or (swapped and name[:4] == "com_"):
            continue
        sign = -1 if name in (f"slope_{turn}", f"median_com_{turn}", f"skewness_{turn}") else 1
        same = re.sub("_[yx](?=_|$)", lambda axis: swapped.get(axis[0], axis[0]), name)
        np.testing.assert_allclose(sign * found[same], values, rtol=1e-9, atol=1e-9, err_msg=name)
    if turn == "axes":
        np.testing.assert_allclose(found["com_y"], expected["com_x"], rtol=1e-9)
    else:
        np.testing.assert_allclose(found[f"com_{turn}"], image.sizes[turn] - 1 - expected[f"com_{turn}"], rtol=1e-9)


def test_a_centre_of_nothing_has_no_error_and_one_of_a_single_count_has():
    image = counts() * 0
    image[1, 8, 12] = 1
    image = image.assign_attrs(units="counts")
    found = numbers(image, [xi.Roi("peak", PEAK.y, PEAK.x)])
    assert np.isnan(found["com_y_errors"]).tolist() == [True, False, True]


@pytest.mark.parametrize("total", [-0.5, 0.0, 0.5, 2.0])
def test_less_than_nothing_has_no_counting_error_and_less_than_one_has(total):
    """Counts less a dark: one pixel is below zero."""
    image = (counts() * 0).astype("float64").assign_attrs(units="counts")
    image[:, 8, 10], image[:, 9, 10] = -1.0, 1.0 + total
    found = numbers(as_frames(image), [xi.Roi("peak", PEAK.y, PEAK.x)])
    assert np.isnan(found["intensity_errors"]).all() == (total < 0)


def test_behind_a_median_a_level_varies_as_sums_of_neighbours_do():
    """``L / N^2`` times the factor of filtered pixels, by their mean where most counts are."""
    image, region = counts(), xi.Background(y=(20, 30), x=(0, 20), mode="subtract")
    found = numbers(image, [xi.Roi("peak", PEAK.y, PEAK.x)], xi.Correction(median=3, background=region))
    filtered = np.stack([median_filter(frame, 3, mode="reflect") for frame in image.values])[:, 20:30, 0:20]
    total, squares = (part.sum(axis=(1, 2), dtype=float) for part in (filtered, filtered**2))
    np.testing.assert_allclose(
        found["level_variance"], total * sum_variance_factor(squares / total) / 200**2, rtol=1e-12
    )


@pytest.mark.parametrize("background", ["edge", "plane", ("ground",)])
def test_a_dark_that_is_known_exactly_and_the_same_below_all_changes_nothing(background):
    """A ground takes it off as well: numbers are the same, and errors, as what was counted is."""
    image = counts(level=9.0)
    measures = ("com", "fwhm", "intensity", "sigma", "skewness", "mean")
    rois = [xi.Roi("peak", PEAK.y, PEAK.x, background=background, measure=measures), GROUND]
    dark = xr.DataArray(np.full((30, 24), 2.0), dims=("y", "x"))
    found, plain = numbers(image, rois, xi.Correction(dark=dark)), numbers(image, rois)
    assert {"sigma_y_errors", "skewness_x_errors", "com_y_errors", "fwhm_x_errors", "intensity_errors"} <= set(plain)
    for name in plain:
        if name not in ("background", "counted", "maximum", "maximum_errors", "top_clear"):
            np.testing.assert_allclose(found[name], plain[name], rtol=2e-6, atol=1e-6, err_msg=name)


def behind_a_median(pixels):
    """Variance of the sum of filtered pixels, of rows and of columns by the mean of nine; the mean of both."""
    found = []
    for axis in (0, 1):
        lines = np.moveaxis(pixels, axis, 0).reshape(pixels.shape[axis], -1)
        total, squares = lines.sum(axis=1), (lines**2).sum(axis=1)
        first = [min(max(n - 4, 0), max(len(lines) - 9, 0)) for n in range(len(lines))]
        nine = [np.s_[n : n + 9] for n in first]
        mean = np.array([squares[some].sum() / total[some].sum() if total[some].any() else 1.0 for some in nine])
        found.append((total * sum_variance_factor(mean)).sum())
    return sum(found) / 2


@pytest.mark.parametrize("level", [0.3, 2.0, 30.0])
@pytest.mark.parametrize(
    "ground", [((20, 27), (3, 15)), ((12, 27), (3, 15)), ((6, 13), (2, 24)), ((5, 14), (4, 15)), ((13, 14), (14, 15))]
)
def test_pixels_behind_a_median_that_lie_in_a_roi_and_its_ground_count_in_both(ground, level):
    """``V + k^2 V_B - 2 k V_both``, ``k`` the ratio of areas."""
    image = counts(level=level)
    found = numbers(image, [PEAK, xi.Roi("ground", *ground)], xi.Correction(median=3))
    filtered = np.stack([median_filter(frame, 3, mode="reflect") for frame in image.values]).astype(float)
    for n, frame in enumerate(filtered):
        own, other = (frame[slice(*y), slice(*x)] for y, x in ((PEAK.y, PEAK.x), ground))
        (top, bottom), (left, right) = (
            (max(a[0], b[0]), min(a[1], b[1])) for a, b in zip((PEAK.y, PEAK.x), ground, strict=True)
        )
        both, share = frame[top:bottom, left:right], own.size / other.size
        variance = behind_a_median(own) + share**2 * behind_a_median(other)
        if both.any():
            mean = np.array([(both**2).sum() / both.sum()])
            variance -= 2 * share * both.sum() * sum_variance_factor(mean)[0]
        assert found["intensity_errors"][n] == pytest.approx(np.sqrt(max(variance, 0)), rel=1e-9, abs=1e-6)
