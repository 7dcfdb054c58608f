"""Which part of each pixel lies within an outline of straight lines and arcs, and which pixels' centres do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .pixels import Bools, Doubles

SAME = 1e-12
"""Areas, angles and places that differ by less are the same."""


@dataclass(frozen=True, eq=False)
class Line:
    """A straight piece of an outline, from one point ``(y, x)`` to another."""

    begin: tuple[float, float]
    end: tuple[float, float]

    def at(self, part: Doubles) -> tuple[Doubles, Doubles]:
        """Points ``y, x``."""
        y, x = (first + part * (last - first) for first, last in zip(self.begin, self.end, strict=True))
        return y, x

    def cut(self) -> tuple[Doubles, Doubles, Doubles]:
        """Points ``y, x`` where it meets the grid, ends among them, and what lies between it and each chord: nothing.

        The lines of the grid are at whole numbers.
        """
        met = [_free(np.array([0.0, 1.0]))]
        for axis, (first, last) in enumerate(zip(self.begin, self.end, strict=True)):
            grid = np.arange(np.ceil(min(first, last)), np.floor(max(first, last)) + 1)
            if first != last:
                met.append(_on_grid((grid - first) / (last - first), grid, axis))
        part, y, x = _in_order(self, met)
        return y, x, np.zeros(len(part) - 1)

    def corners(self) -> Doubles:
        """Points ``(point, 2)`` within whose box it lies."""
        return np.array([self.begin, self.end])

    def drawn(self) -> Doubles:
        """Points ``(point, 2)`` of a picture of it."""
        return self.corners()


@dataclass(frozen=True, eq=False)
class Arc:
    """A piece of an ellipse: ``centre + along cos t + across sin t``, ``t`` from ``begin`` to ``end`` in radians."""

    centre: tuple[float, float]
    along: tuple[float, float]
    across: tuple[float, float]
    begin: float = 0.0
    end: float = 2 * np.pi

    def at(self, t: Doubles) -> tuple[Doubles, Doubles]:
        """Points ``y, x``."""
        y, x = (
            middle + a * np.cos(t) + b * np.sin(t)
            for middle, a, b in zip(self.centre, self.along, self.across, strict=True)
        )
        return y, x

    def corners(self) -> Doubles:
        """Points ``(point, 2)`` within whose box it lies: its ends, and where it turns back along y or x."""
        low, high = sorted((self.begin, self.end))
        turns = [np.arctan2(b, a) + np.arange(2) * np.pi for a, b in zip(self.along, self.across, strict=True)]
        first = low + np.mod(np.concatenate(turns) - low, 2 * np.pi)
        return np.stack(self.at(np.concatenate([[low, high], first[first <= high]])), axis=1)

    def drawn(self) -> Doubles:
        """Points ``(point, 2)`` of a picture of it: one for every three degrees."""
        number = max(2, int(np.ceil(abs(self.end - self.begin) / np.radians(3))) + 1)
        return np.stack(self.at(np.linspace(self.begin, self.end, number)), axis=1)

    def cut(self) -> tuple[Doubles, Doubles, Doubles]:
        """Points ``y, x`` where it meets the grid, ends among them, and what lies between it and each chord.

        That is ``d (D - sin D) / 2`` for a step ``D`` of the angle, ``d`` the determinant of both half axes.
        """
        low, high = sorted((self.begin, self.end))
        met = [_free(np.array([low, high]))]
        for axis, (middle, a, b) in enumerate(zip(self.centre, self.along, self.across, strict=True)):
            reach, phase = np.hypot(a, b), np.arctan2(b, a)
            grid = np.arange(np.ceil(middle - reach), np.floor(middle + reach) + 1)
            grid = grid if reach > 0 else grid[:0]
            away = np.arccos(np.clip((grid - middle) / max(reach, 1e-300), -1.0, 1.0))
            turns = phase + np.arange(2) * np.pi  # a piece that turns back would leave its pixel between two points
            for t, known in ((phase + away, grid), (phase - away, grid), (turns, np.full(2, np.nan))):
                first = low + np.mod(t - low, 2 * np.pi)
                met.append(_on_grid(first[first <= high], known[first <= high], axis))
        t, y, x = _in_order(self, met)
        if self.begin > self.end:
            t, y, x = t[::-1], y[::-1], x[::-1]
        step = np.diff(t)
        (a_y, a_x), (b_y, b_x) = self.along, self.across
        return y, x, 0.5 * (a_x * b_y - b_x * a_y) * (step - np.sin(step))


Met = tuple[Doubles, Doubles, Doubles]
"""Parameters of points of a piece, and those of their ``y`` and ``x`` that are known; else NaN."""


def _free(at: Doubles) -> Met:
    return at, np.full_like(at, np.nan), np.full_like(at, np.nan)


def _on_grid(at: Doubles, grid: Doubles, axis: int) -> Met:
    """Points on lines of the grid across an axis: there exactly, whatever rounding makes of them."""
    other = np.full_like(at, np.nan)
    return (at, grid, other) if axis == 0 else (at, other, grid)


def _in_order(piece: Line | Arc, met: list[Met]) -> Met:
    """Return parameters, ``y`` and ``x`` of the points of a piece."""
    at, *known = (np.concatenate(part) for part in zip(*met, strict=True))
    order = np.argsort(at, kind="stable")
    y, x = (np.where(np.isnan(one), free, one)[order] for one, free in zip(known, piece.at(at), strict=True))
    return at[order], y, x


def pixel_areas(outline: Iterable[Line | Arc], origin: tuple[int, int], shape: tuple[int, int]) -> Doubles:
    """Area of each pixel within a closed outline, ``(y, x)``, exact to rounding.

    Green's theorem, as renderers of fonts use it: between two lines of the grid a piece of the outline lies in one
    pixel, of which it covers what is to the right of it, and of all pixels further right its height. Pixels are squares
    about whole numbers; ``origin`` is the first pixel, ``shape`` rows and columns, which hold the whole outline. What
    lies in an outline that crosses itself counts as often as this runs around it, the other way round negative.

    Examples
    --------
    >>> corners = [(0.5, 0.0), (0.5, 1.5), (1.5, 1.5), (1.5, 0.0)]
    >>> box = [Line(one, other) for one, other in zip(corners, corners[1:] + corners[:1])]
    >>> pixel_areas(box, (0, 0), (2, 3))
    array([[0. , 0. , 0. ],
           [0.5, 1. , 0. ]])
    """
    rows, columns = shape
    own, right = np.zeros((rows, columns + 2)), np.zeros((rows, columns + 2))
    for piece in outline:
        y, x, bulge = _shifted(piece, origin).cut()
        height = np.diff(y)
        row = np.clip(np.floor(0.5 * (y[1:] + y[:-1])).astype(np.intp), 0, rows - 1)
        middle = 0.5 * (x[1:] + x[:-1])
        column = np.clip(np.floor(middle).astype(np.intp), 0, columns)
        np.add.at(own, (row, column), (column + 1 - middle) * height - bulge)
        np.add.at(right, (row, column + 1), height)
    areas = (own + np.cumsum(right, axis=1))[:, :columns]
    areas = areas if areas.sum() >= 0 else -areas
    areas[np.abs(areas) < SAME] = 0.0
    areas[np.abs(areas - 1) < SAME] = 1.0
    return np.asarray(areas)


def _shifted(piece: Line | Arc, origin: tuple[int, int]) -> Line | Arc:
    """Return a piece as seen from the corner of the first pixel."""
    y, x = (0.5 - first for first in origin)
    if isinstance(piece, Line):
        return Line((piece.begin[0] + y, piece.begin[1] + x), (piece.end[0] + y, piece.end[1] + x))
    return Arc((piece.centre[0] + y, piece.centre[1] + x), piece.along, piece.across, piece.begin, piece.end)


def inside_polygon(points: Doubles, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
    """Which pixels have their centre within a polygon ``(point, 2)`` of ``y, x``, by even and odd crossings.

    A centre on the outline belongs to the polygon on its upper and left side only, so that neighbours share no pixel.

    Examples
    --------
    >>> inside_polygon(np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 2.0], [2.0, 0.0]]), (0, 0), (3, 3)).astype(int)
    array([[1, 1, 0],
           [1, 1, 0],
           [0, 0, 0]])
    """
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), dtype=np.uint8)  # counts that wrap stay even or odd
    for (y, x), (to_y, to_x) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = np.clip(np.ceil(np.sort([y, to_y]) - origin[0]), 0, rows).astype(np.intp)
        if low < high:
            row = np.arange(low, high)
            place = x + (row + origin[0] - y) * (to_x - x) / (to_y - y)
            first = np.clip(np.ceil(place - origin[1]), 0, columns).astype(np.intp)
            np.add.at(crossed, (row, first), 1)
    np.add.accumulate(crossed, axis=1, out=crossed)
    return np.asarray(crossed[:, :columns] % 2 == 1)


def crosses_itself(points: Doubles) -> bool:
    """Whether two sides of a polygon cross; that they touch does not count.

    Examples
    --------
    >>> crosses_itself(np.array([[0, 0], [1, 1], [0, 1], [1, 0.0]]))
    True
    """
    begin, end = points, np.roll(points, -1, axis=0)

    def side(a: Doubles, b: Doubles, point: Doubles) -> Doubles:
        (one_y, one_x), (other_y, other_x) = np.moveaxis(b - a, -1, 0), np.moveaxis(point - a, -1, 0)
        return np.asarray(np.sign(one_y * other_x - one_x * other_y))

    for number in range(len(points)):
        a, b, rest = begin[number], end[number], slice(number + 1, None)
        apart = side(a, b, begin[rest]) * side(a, b, end[rest]) < 0
        if (apart & (side(begin[rest], end[rest], a) * side(begin[rest], end[rest], b) < 0)).any():
            return True
    return False


def rim(mask: Bools, high: int, wide: int) -> Bools:
    """Pixels of a mask that are within some rows and columns of what does not belong to it.

    Examples
    --------
    >>> rim(np.ones((3, 4), bool), 1, 1).astype(int).tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    from scipy import ndimage

    inner = ndimage.minimum_filter(mask.astype(np.uint8), size=(2 * high + 1, 2 * wide + 1), mode="constant", cval=0)
    return np.asarray(mask & (inner == 0))
