"""Shapes changed by hand: every handle, every stretch, every text; what makes no shape on the image changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.app.data.cutouts import Section, SectionRequest
from xinsitu.app.state import shape_edits
from xinsitu.errors import RoiError
from xinsitu.values import Ellipse, Mask, Polygon, Roi, Rotated, Sector

BOX = ((20, 60), (30, 110))


@pytest.mark.parametrize("kind", shape_edits.DRAWN)
def test_a_shape_that_is_drawn_fills_its_box_or_lies_in_it(kind):
    roi = shape_edits.reshaped(Roi("a", *BOX), kind)
    assert roi.y[0] >= BOX[0][0]
    assert roi.y[1] <= BOX[0][1]
    assert roi.x[0] >= BOX[1][0]
    assert roi.x[1] <= BOX[1][1]
    if kind != "sector":
        assert (roi.y, roi.x) == BOX
    assert shape_edits.reshaped(roi, "rectangle").geometry is None


@pytest.mark.parametrize(
    "shape",
    [
        Ellipse((40, 70), (9, 14), 30),
        Rotated((40, 70), (12, 25), -50),
        Sector((60, 70), (10, 25), (200, 300)),
        Polygon([(30, 40), (34, 90), (60, 66)]),
    ],
    ids=lambda shape: shape.kind,
)
def test_every_handle_goes_where_it_is_put_and_back(shape):
    for number, (y, x) in enumerate(shape_edits.handles(shape)):
        assert same(shape_edits.with_handle(shape, number, (y, x)), shape)
        moved = shape_edits.with_handle(shape, number, (y + 2, x - 3))
        assert not same(moved, shape)
        if number == 0:
            assert math.dist(shape_edits.handles(moved)[0], (y + 2, x - 3)) < 1e-9


def same(one, other):
    mine, theirs = one.to_dict(), other.to_dict()
    mine.pop("kind")
    return all(np.allclose(mine[name], theirs[name]) for name in mine)


def test_a_handle_turns_an_ellipse_and_widens_it_the_other_does_not_turn():
    disc = Ellipse((40, 70), (5, 10))
    turned = shape_edits.with_handle(disc, 0, (60, 70))
    assert (turned.axes, turned.angle) == ((5, 20), 90)
    assert shape_edits.with_handle(disc, 1, (49, 75)) == Ellipse((40, 70), (9, 10))


def test_a_box_stretches_its_shape_and_moves_it_where_it_keeps_its_size():
    roi = Roi("a", geometry=Polygon([(19.5, 29.5), (19.5, 49.5), (39.5, 49.5)]))
    wide = shape_edits.placed(roi, ((20, 40), (30, 70)))
    assert wide.geometry.points == ((19.5, 29.5), (19.5, 69.5), (39.5, 69.5))
    away = shape_edits.placed(roi, ((25, 45), (31, 51)))
    assert away.geometry == roi.geometry.shifted(5, 1)
    pixels = Roi("m", geometry=Mask.of(np.eye(4, dtype=bool), (3, 3)))
    assert shape_edits.placed(pixels, ((5, 9), (3, 7))).y == (5, 9)
    with pytest.raises(RoiError, match="not stretched"):
        shape_edits.placed(pixels, ((5, 10), (3, 7)))


def test_a_shape_is_typed_as_in_files():
    roi = Roi("a", *BOX)
    disc = shape_edits.typed_shape(roi, '{"kind": "ellipse", "centre": [40, 70], "axes": [5, 9]}')
    assert disc.geometry == Ellipse((40, 70), (5, 9))
    assert shape_edits.typed_shape(disc, shape_edits.text_of(disc)) == disc
    assert shape_edits.typed_shape(disc, " ").geometry is None
    for wrong in ("disc", "[1]", '{"kind": "blob"}'):
        with pytest.raises(RoiError):
            shape_edits.typed_shape(roi, wrong)
    assert disc.on(((0, 40), (0, 100))).y == (36, 40)


@pytest.mark.parametrize("background", [(), ("edge",)])
def test_the_bar_at_half_maximum_is_the_width_that_is_measured(background):
    y, x = np.mgrid[:80, :90]
    frame = 50 + 4000 * np.exp(-(((y - 41) / 6) ** 2) - ((x - 44) / 8) ** 2)
    counts = np.random.default_rng(4).poisson(frame[None]).astype("int32")
    image = xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})
    roi = Roi("a", geometry=Ellipse((40, 45), (26, 30), 20), edges="exact", background=background)
    measured = xi.measure(image, [roi]).isel(time=0, roi=0)
    cut = Section.of(SectionRequest(xr.Dataset({"image": image}), roi, None))
    for axis in ("y", "x"):
        left, right, _ = cut.half_maximum(axis)
        assert right - left == pytest.approx(float(measured[f"fwhm_{axis}"]), rel=1e-9)


def test_corners_come_on_the_nearest_side_and_go():
    square = Polygon([(0, 0), (0, 10), (10, 10), (10, 0)])
    more = shape_edits.with_corner(square, (12, 4))
    assert more.points == ((0, 0), (0, 10), (10, 10), (12, 4), (10, 0))
    assert shape_edits.without_corner(more, 3) == square
    triangle = shape_edits.without_corner(square, 0)
    for wrong in (lambda: shape_edits.without_corner(triangle, 0), lambda: shape_edits.with_corner(None, (3, 3))):
        with pytest.raises(RoiError, match="polygons only"):
            wrong()


def test_a_brush_leaves_no_pixel_out_however_fast_it_goes():
    roi = Roi("m", geometry=Mask(((20, 30, 31),)))
    line = shape_edits.painted(roi, (20, 30), (41, 60), counted=True).geometry
    rows, columns = np.nonzero(line.holds((20, 30), (22, 31)))
    assert set(rows) == set(range(22))
    assert set(columns) == set(range(31))
    with pytest.raises(RoiError, match="one or more"):  # none would be left
        shape_edits.painted(Roi("m", geometry=line), (20, 30), (41, 60), counted=False)


@pytest.mark.parametrize("kind", [*shape_edits.DRAWN, "mask"])
def test_every_shape_becomes_pixels_and_a_moving_one_says_that_it_cannot(kind):
    roi = shape_edits.reshaped(Roi("a", *BOX), kind)
    pixels = shape_edits.reshaped(roi, "mask")
    box, weights = ((roi.y, roi.x), np.ones(roi.shape)) if roi.geometry is None else roi.geometry.weights("whole")
    assert (pixels.y, pixels.x) == box
    np.testing.assert_array_equal(pixels.geometry.weights("whole")[1], weights)
