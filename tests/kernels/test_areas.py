"""Areas of pixels within outlines: against analytic areas, subpixels, Gauss's formula and skimage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import draw, measure

from xinsitu.errors import RoiError
from xinsitu.values import Ellipse, Mask, Polygon, Rotated, Sector

place = st.floats(60, 90, allow_nan=False)
SIZE = (150, 150)


def subpixels(shape, fine=40):
    """Area of every pixel by counting points in it: no algebra of outlines."""
    at = (np.arange(fine) + 0.5) / fine - 0.5
    total = np.zeros(SIZE)
    for dy in at:
        for dx in at:
            total += shape.shifted(-dy, -dx).holds((0, 0), SIZE)
    return total / fine**2


def whole(shape, edges):
    """Weights on a detector."""
    (y, x), weights = shape.weights(edges)
    result = np.zeros(SIZE)
    result[slice(*y), slice(*x)] = weights
    return result


SHAPES = [
    Ellipse((70.3, 66.8), (11.4, 27.9), 33.0),
    Ellipse((70, 66), (9, 9)),
    Ellipse((70.5, 66.5), (0.4, 0.3), 20),
    Rotated((71.2, 70.6), (13.3, 41.8), -52.0),
    Rotated((71, 70), (14, 40), 90),
    Sector((70.2, 71.9), (12.5, 40.25), (-100, 75)),
    Sector((70, 71), (0, 33), (200, 380)),
    Sector((70, 71), (20, 33)),
    Polygon([(50.2, 40.1), (90.7, 55.5), (70.3, 60.9), (95.1, 99.4), (45.5, 90.5)]),
    Mask.of(np.eye(7, dtype=bool)[::-1], (30, 40)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_exact_weights_add_up_to_the_analytic_area(shape):
    weights = whole(shape, "exact")
    assert weights.sum() == pytest.approx(shape.area, abs=1e-9)
    assert weights.min() >= 0
    assert weights.max() <= 1


@pytest.mark.thorough("ellipse1")
@pytest.mark.parametrize("shape", SHAPES[:-1], ids=lambda shape: shape.kind)
def test_every_weight_is_the_part_of_its_pixel(shape):
    np.testing.assert_allclose(whole(shape, "exact"), subpixels(shape), atol=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.kind)
def test_the_box_is_as_small_as_can_be(shape):
    for edges in ("whole", "exact"):
        try:
            _, weights = shape.weights(edges)
        except RoiError:
            assert shape.area < 1
            continue
        assert weights.any(axis=1).all() or shape.kind == "mask"
        assert weights[0].any()
        assert weights[-1].any()
        assert weights[:, 0].any()
        assert weights[:, -1].any()


@given(y=place, x=place, high=st.floats(0.3, 40), wide=st.floats(0.3, 40), angle=st.floats(-200, 400))
def test_any_ellipse_and_any_rotated_box_has_its_area(y, x, high, wide, angle):
    for shape in (Ellipse((y, x), (high, wide), angle), Rotated((y, x), (high, wide), angle)):
        assert shape.weights("exact")[1].sum() == pytest.approx(shape.area, abs=1e-9)


@given(y=place, x=place, inner=st.floats(0, 30), width=st.floats(0.3, 20), first=st.floats(-360, 360),
       wide=st.floats(0.5, 360))  # fmt: skip
def test_any_sector_has_its_area(y, x, inner, width, first, wide):
    shape = Sector((y, x), (inner, inner + width), (first, first + wide))
    assert shape.weights("exact")[1].sum() == pytest.approx(shape.area, abs=1e-9)


@given(st.lists(st.tuples(st.floats(5, 40), st.floats(0, 6.28)), min_size=3, max_size=12, unique_by=lambda p: p[1]))
def test_any_star_shaped_polygon_has_its_area(corners):
    points = [(75 + r * np.sin(t), 75.5 + r * np.cos(t)) for r, t in sorted(corners, key=lambda corner: corner[1])]
    try:
        shape = Polygon(points)
    except RoiError:  # its centre lies outside, and sides cross
        return
    y, x = np.array(points).T
    area = 0.5 * abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1)))
    assert shape.weights("exact")[1].sum() == pytest.approx(area, abs=1e-9) or area < 1e-9


hard = st.one_of(  # on the lines of the grid, beside them by less than what is rounded off, and anywhere
    st.integers(60, 90).map(float),
    st.integers(60, 90).map(lambda at: at + 0.5),
    st.builds(
        lambda at, off: at + 0.5 + off, st.integers(60, 90), st.sampled_from([1e-7, -1e-9, 1e-11, -1e-12, 1e-13])
    ),
    place,
)
turns = st.one_of(st.sampled_from([0.0, 30.0, 45.0, 90.0, 90 + 1e-9, -90.0, 180.0, 360.0, 1e-9]), st.floats(-720, 720))
sizes = st.one_of(st.floats(1e-3, 0.9), st.integers(1, 40).map(float), st.floats(1, 50))


@given(y=hard, x=hard, high=sizes, wide=sizes, angle=turns)
def test_the_area_is_exact_wherever_lines_of_the_grid_are_touched(y, x, high, wide, angle):
    shapes = Ellipse((y, x), (high, wide), angle), Rotated((y, x), (high, wide), angle)
    sectors = Sector((y, x), (0.5 * high, high), (angle, angle + 90)), Sector((y, x), (0, wide), (angle, angle + 360))
    for shape in (*shapes, *sectors):
        weights = shape.weights("exact")[1]
        assert weights.sum() == pytest.approx(shape.area, abs=1e-9)
        assert weights.min() >= 0
        assert weights.max() <= 1


@pytest.mark.thorough
@given(y=hard, x=hard, high=sizes, wide=sizes, angle=turns)
def test_every_pixel_of_an_ellipse_is_that_of_its_inscribed_polygon(y, x, high, wide, angle):
    ellipse = Ellipse((y, x), (high, wide), angle)
    t, (along, across) = np.linspace(0, 2 * np.pi, 600, endpoint=False), (np.radians(angle), np.radians(angle + 90))
    points = np.stack(
        [
            y + wide * np.cos(t) * np.sin(along) + high * np.sin(t) * np.sin(across),
            x + wide * np.cos(t) * np.cos(along) + high * np.sin(t) * np.cos(across),
        ],
        axis=1,
    )
    found, expected = whole(ellipse, "exact"), whole(Polygon(points.tolist()), "exact")
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.thorough
def test_an_arc_that_turns_back_just_beyond_a_line_of_the_grid_is_in_the_pixel_there():
    ellipse = Ellipse((71.0, 66.5388489558), (13.0, 11.007020570758222), 45.0)  # reaches to column 54.494
    weights = whole(ellipse, "exact")
    np.testing.assert_allclose(weights, subpixels(ellipse, 50), atol=0.02)
    assert 0.001 < weights[:, 54].sum() < 0.01  # two thirds of its height times its width


def test_a_polygon_may_touch_itself_but_not_cross_itself_there():
    hole = [(10, 10), (10, 30), (30, 30), (30, 10), (10, 10), (15, 15), (25, 15), (25, 25), (15, 25), (15, 15)]
    assert Polygon(hole).weights("exact")[1].sum() == pytest.approx(400 - 100, abs=1e-9)
    wings = [(10, 10), (20, 20), (10, 30), (30, 30), (20, 20), (30, 10)]
    assert Polygon(wings).weights("exact")[1].sum() == pytest.approx(200, abs=1e-9)
    twice = [(21.5, 37.5), (21.5, 38.5), (18.5, 37.5), (31.0, 37.5), (16.5, 33.0)]
    with pytest.raises(RoiError, match="crosses itself where it touches itself"):
        Polygon(twice).weights("exact")


def test_whole_pixels_are_those_of_skimage():
    ellipse = Ellipse((70.3, 66.8), (11.4, 27.9))
    rows, columns = draw.ellipse(70.3, 66.8, 11.4, 27.9)
    expected = np.zeros(SIZE)
    expected[rows, columns] = 1
    np.testing.assert_array_equal(whole(ellipse, "whole"), expected)
    points = SHAPES[8].points
    expected = measure.grid_points_in_poly(SIZE, points)
    np.testing.assert_array_equal(whole(SHAPES[8], "whole"), expected)


def test_neighbours_share_no_pixel_and_leave_none_out():
    total = sum(
        whole(Sector((70, 71), (r, r + 7.5), (a, a + 45)), "whole") for r in (0, 7.5, 15) for a in range(0, 360, 45)
    )
    np.testing.assert_array_equal(total, whole(Sector((70, 71), (0, 22.5)), "whole"))
    triangles = ([(10, 10), (10, 50), (50, 50)], [(10, 10), (50, 50), (50, 10)])
    total = sum(whole(Polygon(points), "whole") for points in triangles)
    np.testing.assert_array_equal(total, whole(Polygon([(10, 10), (10, 50), (50, 50), (50, 10)]), "whole"))


@pytest.mark.parametrize("edges", ["whole", "exact"])
def test_a_rectangle_in_other_words_is_one(edges):
    for shape in (
        Polygon([(59.5, 209.5), (59.5, 269.5), (149.5, 269.5), (149.5, 209.5)]),
        Rotated((104.5, 239.5), (90, 60)),
        Rotated((104.5, 239.5), (60, 90), 90),
        Rotated((104.5, 239.5), (90, 60), 180),
        Mask(tuple((row, 210, 270) for row in range(60, 150))),
    ):
        box, weights = shape.weights(edges)
        assert box == ((60, 150), (210, 270))
        assert (weights == 1).all()


def test_a_large_ring_far_away_is_exact_too():
    ring = Sector((-3000.3, 50.2), (3020, 3060.5), (88, 91))
    assert ring.weights("exact")[1].sum() == pytest.approx(ring.area, rel=1e-9)
