"""Changing the shape of a ROI by hand: in the box that was drawn, by its handles, by its text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xinsitu.errors import RoiError
from xinsitu.values import Box, Ellipse, Mask, Polygon, Roi, Rotated, Sector, Shape
from xinsitu.values.geometries import shape_of
from xinsitu.values.region_shapes import Point, turned

RECTANGLE = "rectangle"
DRAWN = (RECTANGLE, Ellipse.kind, Rotated.kind, Polygon.kind, Sector.kind)
"""Shapes that are drawn by mouse."""
_LEAST = 0.5
"""Pixels of the smallest half axis that a handle makes."""


def edges(box: Box) -> tuple[Point, Point]:
    """First and last line of a box along y and along x, between pixels."""
    (y0, y1), (x0, x1) = box
    return (y0 - 0.5, y1 - 0.5), (x0 - 0.5, x1 - 0.5)


def in_box(kind: str, box: Box) -> Shape | None:
    """Return a shape that fills a box; None: the box itself.

    Examples
    --------
    >>> in_box("ellipse", ((10, 20), (30, 50)))
    Ellipse(centre=(14.5, 39.5), axes=(5.0, 10.0), angle=0.0)
    """
    (top, bottom), (left, right) = edges(box)
    centre, high, wide = (0.5 * (top + bottom), 0.5 * (left + right)), bottom - top, right - left
    if kind == RECTANGLE:
        return None
    if kind == Ellipse.kind:
        return Ellipse(centre, (0.5 * high, 0.5 * wide))
    if kind == Rotated.kind:
        return Rotated(centre, (high, wide))
    if kind == Polygon.kind:
        return Polygon(((top, left), (top, right), (bottom, right), (bottom, left)))
    if kind == Sector.kind:  # its centre in the middle of the lower edge, so that the box holds it
        outer = min(high, 0.5 * wide)
        return Sector((bottom, centre[1]), (0.5 * outer, outer), (200, 340))
    raise RoiError(f"a ROI has the shape of one of {', '.join(DRAWN)}, not of a {kind}")


def reshaped(roi: Roi, kind: str) -> Roi:
    """Return a ROI in another shape, in the box that it has; one that moves keeps its path as a rectangle only.

    A mask holds the pixels that counted before, as whole ones.
    """
    shape = pixels_of(roi) if kind == Mask.kind else in_box(kind, (roi.y, roi.x))
    if shape is not None and roi.path:
        raise RoiError(f"ROI {roi.name!r} moves: let it stand still, then choose its shape")
    return roi.reshaped(shape)


def pixels_of(roi: Roi) -> Mask:
    """Return the pixels of a ROI one by one, each of them whole.

    Examples
    --------
    >>> pixels_of(Roi("a", y=(3, 5), x=(7, 9))).runs
    ((3, 7, 9), (4, 7, 9))
    """
    if roi.geometry is None:
        return Mask(tuple((row, *roi.x) for row in range(*roi.y)))
    whole = roi.reshaped(roi.geometry, edges="whole")
    if whole.weights is None:
        return pixels_of(whole.reshaped(None))
    return Mask.of(whole.weights > 0, (whole.y[0], whole.x[0]))


def painted(roi: Roi, begin: Point, end: Point, *, counted: bool) -> Roi:
    """Return a mask with the pixels on the way from one point to another, or without them."""
    if not isinstance(roi.geometry, Mask):
        raise RoiError("pixels are added to masks only")
    steps = 1 + math.ceil(2 * max(abs(end[0] - begin[0]), abs(end[1] - begin[1])))
    way = [(begin[0] + (end[0] - begin[0]) * at / steps, begin[1] + (end[1] - begin[1]) * at / steps)
           for at in range(steps + 1)]  # fmt: skip
    return roi.reshaped(roi.geometry.with_pixels([(round(y), round(x)) for y, x in way], counted=counted))


def placed(roi: Roi, box: Box) -> Roi:
    """Return a ROI where the mouse has its box: moved where that has the same size, else stretched.

    Examples
    --------
    >>> disc = Roi("a", geometry=Ellipse((20, 30), (5, 5)))
    >>> placed(disc, ((16, 25), (26, 44))).geometry
    Ellipse(centre=(20.0, 34.5), axes=(5.0, 10.0), angle=0.0)
    """
    (y, x), shape = box, roi.geometry
    if shape is None or (y[1] - y[0], x[1] - x[0]) == roi.shape:
        return roi.moved(y=y, x=x)
    if roi.path:
        raise RoiError(f"ROI {roi.name!r} moves, and keeps the size of its shape")
    return roi.reshaped(by_hand(stretched(shape, (roi.y, roi.x), box)))


def stretched(shape: Shape, old: Box, new: Box) -> Shape:
    """Return a shape as its box is stretched; turned ones keep their angle."""
    (old_y, old_x), (new_y, new_x) = edges(old), edges(new)
    by_y, by_x = (after[1] - after[0] for after in (new_y, new_x))
    by_y, by_x = by_y / (old_y[1] - old_y[0]), by_x / (old_x[1] - old_x[0])

    def at(point: Point) -> Point:
        return new_y[0] + (point[0] - old_y[0]) * by_y, new_x[0] + (point[1] - old_x[0]) * by_x

    if isinstance(shape, Polygon):
        return Polygon(tuple(map(at, shape.points)))
    if isinstance(shape, Ellipse | Rotated):
        (a_y, a_x), (b_y, b_x) = turned(shape.angle)
        across, along = math.hypot(b_y * by_y, b_x * by_x), math.hypot(a_y * by_y, a_x * by_x)
        high, wide = shape.axes if isinstance(shape, Ellipse) else shape.size
        size = high * across, wide * along
        return (
            replace(shape, centre=at(shape.centre), axes=size)
            if isinstance(shape, Ellipse)
            else replace(shape, centre=at(shape.centre), size=size)
        )
    if isinstance(shape, Sector):
        by = math.sqrt(by_y * by_x)
        return replace(shape, centre=at(shape.centre), radius=(shape.radius[0] * by, shape.radius[1] * by))
    raise RoiError(f"a {shape.kind} is moved, and not stretched")


def handles(shape: Shape | None) -> tuple[Point, ...]:
    """Points by which the mouse changes a shape.

    Corners of a polygon; the ends of both half axes of an ellipse; the middles of the right and the lower side of a
    rotated box; of a sector the ends of its outer arc, and the beginning of its inner one.
    """
    if isinstance(shape, Polygon):
        return shape.points
    if isinstance(shape, Ellipse | Rotated):
        high, wide = shape.axes if isinstance(shape, Ellipse) else (0.5 * shape.size[0], 0.5 * shape.size[1])
        along, across = turned(shape.angle)
        return _from(shape.centre, along, wide), _from(shape.centre, across, high)
    if isinstance(shape, Sector):
        (inner, outer), (first, last) = shape.radius, shape.angle
        ends = ((outer, first), (outer, last), (inner, first))
        return tuple(_from(shape.centre, turned(angle)[0], radius) for radius, angle in ends)
    return ()


def _from(centre: Point, direction: Point, distance: float) -> Point:
    return centre[0] + distance * direction[0], centre[1] + distance * direction[1]


def with_handle(shape: Shape, number: int, point: Point) -> Shape:
    """Return a shape one of whose handles was put somewhere else.

    Examples
    --------
    >>> with_handle(Rotated((20, 30), (10, 20)), 0, (30, 30))
    Rotated(centre=(20.0, 30.0), size=(10.0, 20.0), angle=90.0)
    """
    if isinstance(shape, Polygon):
        return Polygon((*shape.points[:number], point, *shape.points[number + 1 :]))
    if isinstance(shape, Ellipse | Rotated):
        away = max(math.hypot(point[0] - shape.centre[0], point[1] - shape.centre[1]), _LEAST)
        high, wide = shape.axes if isinstance(shape, Ellipse) else (0.5 * shape.size[0], 0.5 * shape.size[1])
        angle = shape.angle
        if number == 0:  # the handle along turns it, that across does not
            wide = away
            angle = math.degrees(math.atan2(point[0] - shape.centre[0], point[1] - shape.centre[1]))
        else:
            (b_y, b_x) = turned(angle)[1]
            high = max(abs(b_y * (point[0] - shape.centre[0]) + b_x * (point[1] - shape.centre[1])), _LEAST)
        if isinstance(shape, Ellipse):
            return Ellipse(shape.centre, (high, wide), angle)
        return Rotated(shape.centre, (2 * high, 2 * wide), angle)
    if isinstance(shape, Sector):
        return _sector(shape, number, point)
    raise RoiError(f"a {shape.kind} has no handles")


def _sector(shape: Sector, number: int, point: Point) -> Sector:
    """Return a sector with another radius, and another beginning or end."""
    (inner, outer), (first, last) = shape.radius, shape.angle
    away = math.hypot(point[0] - shape.centre[0], point[1] - shape.centre[1])
    angle = math.degrees(math.atan2(point[0] - shape.centre[0], point[1] - shape.centre[1]))
    if number == 2:
        return replace(shape, radius=(min(away, outer - _LEAST), outer))
    outer = max(away, inner + _LEAST)
    if number == 0:
        wide = (last - angle) % 360 or 360.0
        return Sector(shape.centre, (inner, outer), (last - wide, last))
    wide = (angle - first) % 360 or 360.0
    return Sector(shape.centre, (inner, outer), (first, first + wide))


def polygon(flat: Sequence[float]) -> Polygon:
    """Return the polygon of corners ``y, x, y, x, …`` that were clicked."""
    return Polygon(tuple(zip(flat[::2], flat[1::2], strict=True)))


def with_corner(shape: Shape | None, point: Point) -> Polygon:
    """Return a polygon with one more corner, on the side that is nearest to it.

    Examples
    --------
    >>> with_corner(Polygon([(0, 0), (0, 9), (9, 0)]), (5, 5)).points
    ((0.0, 0.0), (0.0, 9.0), (5.0, 5.0), (9.0, 0.0))
    """
    if not isinstance(shape, Polygon):
        raise RoiError("corners are added to polygons only")
    sides = list(zip(shape.points, (*shape.points[1:], shape.points[0]), strict=True))
    behind = min(range(len(sides)), key=lambda side: _distance(point, *sides[side])) + 1
    return Polygon((*shape.points[:behind], point, *shape.points[behind:]))


def _distance(point: Point, begin: Point, end: Point) -> float:
    """Distance of a point from a side."""
    along = end[0] - begin[0], end[1] - begin[1]
    square = along[0] ** 2 + along[1] ** 2
    part = (along[0] * (point[0] - begin[0]) + along[1] * (point[1] - begin[1])) / square if square else 0.0
    return math.dist(point, _from(begin, along, min(max(part, 0.0), 1.0)))


def without_corner(shape: Shape | None, number: int) -> Polygon:
    """Return a polygon without one of its corners."""
    if not isinstance(shape, Polygon) or len(shape.points) < 4:
        raise RoiError("corners are taken from polygons only, and three stay")
    return Polygon((*shape.points[:number], *shape.points[number + 1 :]))


def text_of(roi: Roi) -> str:
    """Return the shape of a ROI as its file has it; nothing for a rectangle."""
    if roi.geometry is None or isinstance(roi.geometry, Mask):
        return ""
    return json.dumps(_rounded(roi.geometry.to_dict()))


def by_hand(shape: Shape) -> Shape:
    """Return a shape as its text says it, to a thousandth of a pixel: the hand is no finer."""
    return shape_of(_rounded(shape.to_dict()))


def _rounded(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


def typed_shape(roi: Roi, text: str) -> Roi:
    """Return a ROI with the shape that somebody typed, as files have it; nothing: a rectangle."""
    if not text.strip():
        return roi.reshaped(None)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        example = '{"kind": "ellipse", "centre": [60, 90], "axes": [10, 20]}'
        raise RoiError(f"a shape is typed as in ROI files, such as {example}")
    return roi.reshaped(shape_of(document))
