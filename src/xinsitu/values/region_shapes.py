"""Shapes of regions that are no upright rectangles, and which part of each pixel lies in them.

Places are ``(y, x)`` in detector pixels, pixel centres at whole numbers; angles are in degrees, from x towards y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from xinsitu.errors import RoiError
from xinsitu.kernels import Bools, Doubles
from xinsitu.kernels.areas import Arc, Line, crosses_itself, inside_polygon, pixel_areas

from .fields import Box

Point = tuple[float, float]
Outline = tuple[tuple[Line | Arc, ...], ...]
"""Closed rings, the second one around a hole."""

EDGES = ("whole", "exact")
"""Pixels whose centre is in a shape count whole; or each as much as lies in it."""
MOST_POINTS = 10_000
MOST_PIXELS = 2**26
_BAND = 2**18
"""Pixels that are looked at together; all at once they would take ten times the memory, and longer."""
_FAR = 1e6
"""Pixels; no shape is so far away or so large."""
_ROUNDING = 1e-6


def numbers(value: object, count: int, what: str, *, positive: bool = False) -> tuple[float, ...]:
    """Check a few numbers."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != count:
        raise RoiError(f"{what} must be {count} numbers, not {value!r}")
    return tuple(_number(one, what, positive=positive) for one in value)


def _number(value: object, what: str, *, positive: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise RoiError(f"{what} must be a number, not {value!r}")
    number = math.nan if isinstance(value, int) and abs(value) > _FAR else float(value)
    if not abs(number) <= _FAR or (positive and number <= 0):
        raise RoiError(f"{what} must be {'positive and ' if positive else ''}at most {_FAR:.0f}, not {value!r}")
    return number


def turned(angle: float) -> tuple[Point, Point]:
    """Directions ``(y, x)`` along and across what is turned by an angle; exact for right angles."""
    cosine, sine = (round(part, 15) for part in (math.cos(math.radians(angle)), math.sin(math.radians(angle))))
    return (sine, cosine), (cosine, -sine)


def smallest(origin: tuple[int, int], weights: Doubles) -> tuple[Box, Doubles]:
    """Leave out the outer rows and columns of a box in which no pixel counts.

    Examples
    --------
    >>> smallest((5, 7), np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.5]]))
    (((6, 7), (8, 10)), array([[1. , 0.5]]))
    """
    counted = (np.flatnonzero(weights.any(axis=axis)) for axis in (1, 0))
    (top, bottom), (left, right) = ((int(one[0]), int(one[-1]) + 1) for one in counted)
    box = (origin[0] + top, origin[0] + bottom), (origin[1] + left, origin[1] + right)
    return box, np.ascontiguousarray(weights[top:bottom, left:right])


@dataclass(frozen=True)
class Shape:
    """What all shapes can do; a shape of its own says its ``rings``, its ``area``, and which pixel centres it holds."""

    kind: ClassVar[str] = ""
    by_formula: ClassVar[bool] = True
    """Whether each pixel is asked for itself, not each side or run of the shape."""

    @property
    def rings(self) -> Outline:
        """Closed rings of lines and arcs."""
        raise NotImplementedError

    @property
    def area(self) -> float:
        """Area in pixels."""
        raise NotImplementedError

    def holds(self, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
        """Which pixels of a box have their centre in it."""
        raise NotImplementedError

    def shifted(self, y: float, x: float) -> Self:
        """Return it at another place."""
        (own_y, own_x) = self.centre  # type: ignore[attr-defined] # those without one do it themselves
        return replace(self, centre=(own_y + y, own_x + x))  # type: ignore[call-arg]

    def outlines(self) -> tuple[Doubles, ...]:
        """Points ``(point, 2)`` of closed lines that draw it."""
        return tuple(_once(np.concatenate([piece.drawn() for piece in ring])) for ring in self.rings)

    @cached_property
    def around(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First pixel, and rows and columns, of the smallest box that holds all pixels that it touches."""
        corners = np.concatenate([piece.corners() for ring in self.rings for piece in ring]).round(11)
        first, last = np.floor(corners.min(axis=0) + 0.5), np.ceil(corners.max(axis=0) + 0.5)
        high, wide = (max(1, int(size)) for size in last - first)
        return (int(first[0]), int(first[1])), (high, wide)

    def weights(self, edges: str) -> tuple[Box, Doubles]:
        """Return the smallest box of pixels that count, and how much each of them does, from 0 to 1.

        Raises
        ------
        RoiError
            No pixel counts, or some do more than once: the outline crosses itself where it touches itself.
        """
        origin, shape = self.around
        if shape[0] * shape[1] > MOST_PIXELS:
            raise RoiError(f"reaches over {shape[0]} x {shape[1]} pixels, more than any detector has")
        if edges == "exact":
            weights = pixel_areas([piece for ring in self.rings for piece in ring], origin, shape)
            if weights.min() < -_ROUNDING or weights.max() > 1 + _ROUNDING:
                raise RoiError("has an outline that crosses itself where it touches itself: put its points in order")
            weights = np.clip(weights, 0.0, 1.0)
        else:
            weights = np.empty(shape)
            rows = max(1, _BAND // shape[1]) if self.by_formula else shape[0]
            for first in range(0, shape[0], rows):
                band = weights[first : first + rows]
                band[...] = self.holds((origin[0] + first, origin[1]), band.shape)
        if not weights.any():
            raise RoiError('holds the centre of no pixel: make it larger, or count parts of pixels, edges="exact"')
        return smallest(origin, weights)

    @property
    def text(self) -> str:
        """One line that tells it from all others."""
        told = {name: value for name, value in self.to_dict().items() if name != "kind"}
        return f"{self.kind} {', '.join(f'{name} {value}' for name, value in told.items())}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"kind": self.kind, **{field.name: _plain(getattr(self, field.name)) for field in fields(self)}}

    def _away(self, origin: tuple[int, int], shape: tuple[int, int], centre: Point) -> tuple[Doubles, Doubles]:
        """Distances of pixel centres from a point, along y and x."""
        y, x = (
            np.arange(first, first + size) - middle for first, size, middle in zip(origin, shape, centre, strict=True)
        )
        return np.asarray(y[:, None], dtype=np.float64), np.asarray(x[None, :], dtype=np.float64)


def _once(points: Doubles) -> Doubles:
    """Leave out points that are the same as those before them, the first one as after the last."""
    return points[(np.abs(points - np.roll(points, 1, axis=0)) > 1e-9).any(axis=1)]


def _plain(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value == int(value) else value


@dataclass(frozen=True)
class Polygon(Shape):
    """A polygon; its points are corners, so the rectangle of the pixels 3 to 5 goes from 2.5 to 5.5.

    Examples
    --------
    >>> triangle = Polygon([(0, 0), (0, 4), (4, 0)])
    >>> triangle.area, triangle.weights("exact")[1].sum().item()
    (8.0, 8.0)
    """

    kind: ClassVar[str] = "polygon"
    by_formula: ClassVar[bool] = False
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        points: object = self.points
        if not isinstance(points, Sequence | np.ndarray) or isinstance(points, str) or len(points) < 3:
            raise RoiError(f"points of a polygon must be three or more [y, x], not {points!r}")
        if len(points) > MOST_POINTS:
            raise RoiError(f"a polygon has at most {MOST_POINTS} points, not {len(points)}")
        checked = tuple(numbers(point, 2, "a point of a polygon") for point in points)
        if checked[0] == checked[-1] and len(checked) > 3:
            checked = checked[:-1]
        object.__setattr__(self, "points", checked)
        if crosses_itself(np.array(checked)):
            raise RoiError("the outline of a polygon crosses itself: put its points in order")
        if not self.area > 0:
            raise RoiError("a polygon needs an area: its points lie on one line")

    @property
    def rings(self) -> Outline:
        """Its sides."""
        return (tuple(Line(a, b) for a, b in zip(self.points, (*self.points[1:], self.points[0]), strict=True)),)

    @property
    def area(self) -> float:
        """Gauss's formula."""
        y, x = np.array(self.points).T
        y, x = y - y[0], x - x[0]
        return float(0.5 * abs(np.sum(y * np.roll(x, -1) - x * np.roll(y, -1))))

    def holds(self, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
        """Which pixels have their centre in it."""
        return inside_polygon(np.array(self.points), origin, shape)

    def shifted(self, y: float, x: float) -> Polygon:
        """Return it at another place."""
        return Polygon(tuple((own_y + y, own_x + x) for own_y, own_x in self.points))


@dataclass(frozen=True)
class Ellipse(Shape):
    """An ellipse with half axes ``(y, x)`` before it is turned.

    Examples
    --------
    >>> Ellipse(centre=(10, 20), axes=(1.5, 2.5)).weights("whole")[1].astype(int)
    array([[0, 1, 1, 1, 0],
           [1, 1, 1, 1, 1],
           [0, 1, 1, 1, 0]])
    """

    kind: ClassVar[str] = "ellipse"
    centre: Point
    axes: Point
    angle: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre", numbers(self.centre, 2, "centre of an ellipse"))
        object.__setattr__(self, "axes", numbers(self.axes, 2, "axes of an ellipse", positive=True))
        object.__setattr__(self, "angle", _number(self.angle, "angle of an ellipse"))

    @property
    def rings(self) -> Outline:
        """One arc all around."""
        (a_y, a_x), (b_y, b_x) = turned(self.angle)
        high, wide = self.axes
        return ((Arc(self.centre, (wide * a_y, wide * a_x), (high * b_y, high * b_x)),),)

    @property
    def area(self) -> float:
        """Pi times both half axes."""
        return math.pi * self.axes[0] * self.axes[1]

    def holds(self, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
        """Which pixels have their centre in it, not on its line."""
        y, x = self._away(origin, shape, self.centre)
        (a_y, a_x), (b_y, b_x) = turned(self.angle)
        along, across = (a_y * y + a_x * x) / self.axes[1], (b_y * y + b_x * x) / self.axes[0]
        return np.asarray(along**2 + across**2 < 1)


@dataclass(frozen=True)
class Rotated(Shape):
    """A rectangle of ``size`` (height, width), turned about its centre; *along* is its width's direction.

    Examples
    --------
    >>> box = Rotated(centre=(10, 20), size=(4, 10), angle=30)
    >>> box.area, round(float(box.weights("exact")[1].sum()), 9)
    (40.0, 40.0)
    """

    kind: ClassVar[str] = "rotated"
    centre: Point
    size: Point
    angle: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre", numbers(self.centre, 2, "centre of a rotated box"))
        object.__setattr__(self, "size", numbers(self.size, 2, "size of a rotated box", positive=True))
        object.__setattr__(self, "angle", _number(self.angle, "angle of a rotated box"))

    @property
    def corners(self) -> tuple[Point, ...]:
        """Its four corners."""
        (a_y, a_x), (b_y, b_x) = turned(self.angle)
        high, wide = (0.5 * size for size in self.size)
        signs = ((-1, -1), (-1, 1), (1, 1), (1, -1))
        return tuple(
            (
                self.centre[0] + up * high * b_y + right * wide * a_y,
                self.centre[1] + up * high * b_x + right * wide * a_x,
            )
            for up, right in signs
        )

    @property
    def rings(self) -> Outline:
        """Its sides."""
        return Polygon(self.corners).rings

    @property
    def area(self) -> float:
        """Height times width."""
        return self.size[0] * self.size[1]

    def holds(self, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
        """Which pixels have their centre in it; on a side as in polygons, whichever way the box is turned."""
        held = np.ones(shape, dtype=bool)
        sides = zip(self.places(origin, shape), reversed(turned(self.angle)), self.size, strict=True)
        for place, (to_y, to_x), size in sides:
            from_left = place.round(9) * (1 if (to_x, to_y) > (0, 0) else -1)
            held &= (from_left >= -0.5 * size) & (from_left < 0.5 * size)
        return held

    def places(self, origin: tuple[int, int], shape: tuple[int, int]) -> tuple[Doubles, Doubles]:
        """Distances of pixel centres from its centre, across and along it, ``(y, x)`` each."""
        y, x = self._away(origin, shape, self.centre)
        (a_y, a_x), (b_y, b_x) = turned(self.angle)
        return np.asarray(b_y * y + b_x * x), np.asarray(a_y * y + a_x * x)


@dataclass(frozen=True)
class Sector(Shape):
    """A part of a ring: between two radii and two angles, ``[0, 360]`` for the whole ring.

    Examples
    --------
    >>> ring = Sector(centre=(50, 50), radius=(10, 20), angle=(0, 90))
    >>> abs(float(ring.weights("exact")[1].sum()) - ring.area) < 1e-9
    True
    """

    kind: ClassVar[str] = "sector"
    centre: Point
    radius: Point
    angle: Point = (0.0, 360.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre", numbers(self.centre, 2, "centre of a sector"))
        object.__setattr__(self, "radius", numbers(self.radius, 2, "radius of a sector"))
        object.__setattr__(self, "angle", numbers(self.angle, 2, "angle of a sector"))
        if not 0 <= self.radius[0] < self.radius[1]:
            raise RoiError(f"radius of a sector must be [inner, outer], 0 <= inner < outer, not {list(self.radius)}")
        if not (0 < self.angle[1] - self.angle[0] <= 360 or self._whole):
            raise RoiError(f"angle of a sector must be [first, last], up to 360 degrees, not {list(self.angle)}")

    @property
    def _whole(self) -> bool:
        return math.isclose(self.angle[1] - self.angle[0], 360, rel_tol=1e-12)  # any angle and itself + 360

    def _arc(self, radius: float, *, back: bool = False) -> Arc:
        first, last = (math.radians(angle) for angle in self.angle)
        return Arc(self.centre, (0.0, radius), (radius, 0.0), *((last, first) if back else (first, last)))

    @property
    def rings(self) -> Outline:
        """Both arcs, and two straight lines unless it is the whole ring."""
        inner, outer = self.radius
        there, back = self._arc(outer), self._arc(inner, back=True)
        if self._whole:
            return ((there,), (back,)) if inner else ((there,),)
        ends = [tuple(float(part) for part in arc.drawn()[at]) for arc in (there, back) for at in (0, -1)]
        begin, end, back_begin, back_end = ends
        sides = Line(end, back_begin), Line(back_end, begin)  # type: ignore[arg-type] # two numbers each
        return ((there, sides[0], back, sides[1]) if inner else (there, *sides),)

    @property
    def area(self) -> float:
        """Half the angle times the difference of the squares of the radii."""
        return 0.5 * math.radians(self.angle[1] - self.angle[0]) * (self.radius[1] ** 2 - self.radius[0] ** 2)

    def holds(self, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
        """Which pixels have their centre in it."""
        y, x = self._away(origin, shape, self.centre)
        square = y**2 + x**2
        within = (square >= self.radius[0] ** 2) & (square < self.radius[1] ** 2)
        angle = np.degrees(np.arctan2(y, x)) - self.angle[0]
        return within & (self._whole | (np.mod(angle, 360) < self.angle[1] - self.angle[0]))

    def places(self, origin: tuple[int, int], shape: tuple[int, int]) -> tuple[Doubles, Doubles]:
        """Radii of pixel centres less the middle one, and their angles less the middle one, ``(y, x)`` each."""
        y, x = self._away(origin, shape, self.centre)
        angle = np.degrees(np.arctan2(y, x)) - 0.5 * sum(self.angle)
        return np.hypot(y, x) - 0.5 * sum(self.radius), np.mod(angle + 180, 360) - 180
