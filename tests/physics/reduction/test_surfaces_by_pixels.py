"""Backgrounds of ROIs and what contradicts them, propagated pixel by pixel, without any sum that xinsitu takes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from tests.physics.reduction.test_numbers_by_hand import numbers

SHAPE = (60, 70)
TERMS = {
    "edge": lambda y, x: [1 + 0 * y],
    "plane": lambda y, x: [1 + 0 * y, y, x],
    "poly_y": lambda y, x: [1 + 0 * y, y, y**2],
    "poly_x": lambda y, x: [1 + 0 * y, x, x**2],
}
GROUNDS = {
    "edge": lambda y, x: 7 + 0 * y,
    "plane": lambda y, x: 200 + y + 2 * x,
    "poly_y": lambda y, x: 60 + y + y**2,
    "poly_x": lambda y, x: 60 - x + x**2,
}
BOXES = {
    "wide": ((7, 18), (9, 32)),
    "high": ((5, 50), (20, 31)),
    "even": ((11, 23), (30, 52)),
    "least": ((4, 9), (4, 9)),
}


def image_of(pixels):
    return xr.DataArray(pixels.astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})


def scene(kind, box):
    """Frames of a ground that a surface fits exactly, and a spot amidst the box that ends before its edge."""
    (top, bottom), (left, right) = box
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frame = GROUNDS[kind](rows - top, columns - left) * np.ones(SHAPE, "int64")
    y, x = 2 * rows - (top + bottom - 1), 2 * columns - (left + right - 1)
    steep = np.maximum(0, (bottom - top) // 2 - 1 - abs(y) // 2) * np.maximum(0, (right - left) // 2 - 1 - abs(x) // 2)
    reach = (rows > top + 2) & (rows < bottom - 3) & (columns > left + 2) & (columns < right - 3)
    spot = steep * reach if steep[reach].any() else steep
    return image_of(np.stack([frame + total // spot.sum() * spot for total in (100_000, 600_000)]))


def edge_of(rows, columns):
    """Outermost twentieth of rows and columns, one at least."""
    high, wide = (max(1, int(0.05 * size)) for size in (rows, columns))
    edge = np.ones((rows, columns), bool)
    edge[high : rows - high, wide : columns - wide] = False
    return edge


def by_pixels(kind, own):
    """Net pixels of one frame, and what each pixel that was counted changes in each of them."""
    rows, columns = own.shape
    y, x = (place.ravel().astype(float) for place in np.mgrid[:rows, :columns])
    terms, edge = np.stack(TERMS[kind](y, x), axis=1), edge_of(rows, columns).ravel()
    change = np.eye(rows * columns)
    change[:, edge] -= terms @ np.linalg.pinv(terms[edge])
    return change @ own.ravel(), change, y, x


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("kind", TERMS)
def test_errors_above_a_surface_are_those_of_every_pixel(kind, box):
    (top, bottom), (left, right) = box
    image = scene(kind, box)
    found = numbers(image, [xi.Roi("spot", *box, background=kind, measure=("intensity", "com", "background", "mean"))])
    for n, own in enumerate(image.values[:, top:bottom, left:right].astype(float)):
        net, change, y, x = by_pixels(kind, own)
        total, varying, size = net.sum(), own.ravel(), own.size
        expected = {
            "intensity": total,
            "intensity_errors": np.sqrt(change.sum(axis=0) ** 2 @ varying),
            "background": own.sum() - total,
            "background_errors": np.sqrt((change - np.eye(size)).sum(axis=0) ** 2 @ varying),
            "com_y": top + y @ net / total,
            "com_x": left + x @ net / total,
        }
        expected |= {"mean": total / size, "mean_errors": expected["intensity_errors"] / size}
        for axis, place in (("y", y), ("x", x)):
            moved = (place - place @ net / total) @ change / total
            expected[f"com_{axis}_errors"] = np.sqrt(moved**2 @ varying)
        for name, value in expected.items():
            assert found[name][n] == pytest.approx(value, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("kind", TERMS)
@pytest.mark.parametrize("box", [BOXES["wide"], BOXES["least"]], ids=["wide", "least"])
def test_a_level_of_frames_is_nothing_to_a_surface_but_for_what_it_is_divided_by(kind, box):
    """What is subtracted from all pixels comes off again; what all are divided by makes them less sure together."""
    image = scene(kind, box)
    y, x = (52, 60), (2, 60)
    roi = xi.Roi("spot", *box, background=kind, measure=("intensity", "com", "sigma", "background"))
    plain = numbers(image, [roi])
    lower, ratio = (
        numbers(image, [roi], xi.Correction(background=xi.Background(y, x, mode=m))) for m in ("subtract", "divide")
    )
    counted = image.values[:, y[0] : y[1], x[0] : x[1]].astype(float)
    level, share = counted.mean(axis=(1, 2)), 1 / counted.sum(axis=(1, 2))
    for name in ("intensity", "com_y", "com_x", "sigma_y", "sigma_x"):
        for part in (name, f"{name}_errors"):
            np.testing.assert_allclose(lower[part], plain[part], rtol=2e-5, err_msg=part)
        if name != "intensity":
            np.testing.assert_allclose(ratio[name], plain[name], rtol=2e-5, err_msg=name)
            np.testing.assert_allclose(ratio[f"{name}_errors"], plain[f"{name}_errors"], rtol=2e-5, err_msg=name)
    for name in ("intensity", "background"):
        np.testing.assert_allclose(ratio[name], plain[name] / level, rtol=2e-5, err_msg=name)
        errors = np.sqrt((plain[f"{name}_errors"] / level) ** 2 + ratio[name] ** 2 * share)
        np.testing.assert_allclose(ratio[f"{name}_errors"], errors, rtol=2e-5, err_msg=name)


def strip(net, own, axis, first, width):
    """Mean and variance of some rows or columns."""
    part = np.s_[first : first + width]
    some, counted = (one[part] if axis == "y" else one[:, part] for one in (net, own))
    return some.mean(), counted.sum() / some.size**2


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("kind", ["edge", "plane"])
def test_tails_in_an_edge_are_told_by_its_strips(kind, box):
    """A quarter of what is lost from the strips within to the outermost ones, times half their distance in widths."""
    (top, bottom), (left, right) = box
    frames = np.random.default_rng(4).poisson(scene("plane", box).values)
    found = numbers(image_of(frames), [xi.Roi("spot", *box, background=kind)])
    for n, own in enumerate(frames[:, top:bottom, left:right].astype(float)):
        net = by_pixels(kind, own)[0].reshape(own.shape)
        height = variance = 0.0
        for axis, size in (("y", own.shape[0]), ("x", own.shape[1])):
            wide = max(1, int(0.05 * size))
            gain = size / 4 / wide / 4
            for first, sign in ((0, -1), (wide, 1), (size - 2 * wide, 1), (size - wide, -1)):
                mean, of_mean = strip(net, own, axis, first, wide)
                height, variance = height + sign * gain * mean, variance + gain**2 * of_mean
        errors = found["intensity_errors"][n]
        for axis in "yx":
            assert found[f"tail_{axis}"][n] == pytest.approx(own.size * height / errors, rel=1e-9)
            assert found[f"tail_{axis}_variance"][n] == pytest.approx(own.size**2 * variance / errors**2, rel=1e-9)


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize(("kind", "blind"), [("edge", "yx"), ("poly_y", "x"), ("poly_x", "y"), (("beside",), "yx")])
def test_a_slope_that_a_background_does_not_follow_moves_a_centre(kind, blind, box):
    """By ``g A (n^2 - 1) / 12`` over the net sum, ``g`` from one outermost strip to the other."""
    (top, bottom), (left, right) = box
    frames = np.random.default_rng(5).poisson(scene("plane", box).values)
    beside = xi.Roi("beside", (51, 60), (0, 70))
    rois = [xi.Roi("spot", *box, background=kind), *([beside] if kind == ("beside",) else [])]
    found = numbers(image_of(frames), rois)
    assert {axis for axis in "yx" if np.isfinite(found[f"slope_{axis}"]).all()} == set(blind)
    for n, own in enumerate(frames[:, top:bottom, left:right].astype(float)):
        ground = frames[n, 51:60].mean()
        net = own - ground if kind == ("beside",) else by_pixels(kind, own)[0].reshape(own.shape)
        for axis in blind:
            size = own.shape["yx".index(axis)]
            wide = max(1, int(0.05 * size))
            (low, of_low), (high, of_high) = (strip(net, own, axis, first, wide) for first in (0, size - wide))
            lever = own.size * (size**2 - 1) / 12 / (size - wide) / net.sum()
            errors = found[f"com_{axis}_errors"][n]
            assert found[f"slope_{axis}"][n] == pytest.approx((high - low) * lever / errors, rel=1e-9)
            variance = (of_low + of_high) * lever**2 / errors**2
            assert found[f"slope_{axis}_variance"][n] == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize("beside", [((20, 31), (32, 41)), ((20, 31), (5, 11)), ((32, 40), (12, 31)), ((3, 8), (0, 70)),
                                    ((20, 31), (31, 36)), ((20, 31), (31, 35)), ((20, 31), (29, 41))])  # fmt: skip
def test_the_tail_of_a_peak_in_a_region_beside_it_is_told_by_its_fall(beside):
    """Least squares of ``1 / d^2`` and a level; not of fewer than five bins, nor where it lies in the ROI."""
    box, (y, x) = ((20, 31), (12, 31)), beside
    frames = np.random.default_rng(6).poisson(scene("plane", box).values)
    found = numbers(image_of(frames), [xi.Roi("spot", *box, background=("beside",)), xi.Roi("beside", y, x)])
    along = next((n for n, (a, b) in enumerate(zip(box, beside, strict=True)) if b[0] >= a[1] or b[1] <= a[0]), None)
    for n, frame in enumerate(frames.astype(float)):
        other, own = (frame[slice(*one[0]), slice(*one[1])] for one in (beside, box))
        height = variance = 0.0
        if along is not None and other.shape[along] >= 5:
            middle = (box[along][0] + box[along][1] - 1) / 2
            fall = (np.arange(*beside[along]) - middle) ** -2.0
            fall = np.broadcast_to(fall[:, None] if along == 0 else fall, other.shape)
            lever = fall - fall.mean()
            share = fall.mean() / (lever**2).sum()
            height, variance = share * (lever * other).sum(), share**2 * (lever**2 * other).sum()
        net = own.sum() - own.size * other.mean()
        errors = np.sqrt(own.sum() + own.size**2 * other.sum() / other.size**2)
        assert found["intensity"][n] == pytest.approx(net, rel=1e-9)
        assert found["spill"][n] == pytest.approx(own.size * height / errors, rel=1e-9)
        assert found["spill_variance"][n] == pytest.approx(own.size**2 * variance / errors**2, rel=1e-9)
