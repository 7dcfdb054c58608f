"""Which pixels of a region's box count, how much, and on which axes: what shapes other than a rectangle are told."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Bools, Doubles
from xinsitu.kernels.areas import rim
from xinsitu.kernels.statistics import edge_of
from xinsitu.values import Roi, Rotated, Sector

DIAGONAL = 10.0
"""Degrees from the diagonal within which rows of pixels would beat with the bins."""


def steps_of(roi: Roi) -> tuple[tuple[int, float], ...]:
    """Bins of a ROI's own axes, and how wide they are: pixels, along the arc of a sector degrees; else nothing."""
    shape = roi.geometry
    if isinstance(shape, Rotated):
        return tuple((max(1, round(size)), 1.0) for size in shape.size)
    if isinstance(shape, Sector):
        span = shape.angle[1] - shape.angle[0]
        bins = max(1, round(np.radians(span) * 0.5 * sum(shape.radius)))
        return (max(1, round(shape.radius[1] - shape.radius[0])), 1.0), (bins, span / bins)
    return ()


@dataclass(frozen=True, eq=False)
class Axes:
    """Axes of a region's own, *across* (of a sector: the radius) in place of y and *along* (the azimuth) of x.

    ``across`` and ``along`` are the bins, with fractions, in which the centre of each pixel of the box lies; ``size``
    is the number of bins of both. ``apart``: bins from a pixel's centre to each of its halves. Around 45 degrees rows
    of pixels lie 0.71 bins apart and would beat with these; halves that are half of that apart do not.
    """

    across: Doubles
    along: Doubles
    size: tuple[int, int]
    apart: float = 0.0

    @classmethod
    def of(cls, roi: Roi) -> Axes | None:
        """Take those of a rotated box or a sector; None where a ROI has none of its own.

        Bins are one pixel wide, those along the arc of a sector as near to that in its middle as whole ones can be.
        """
        steps = steps_of(roi)
        if not steps or not isinstance(roi.geometry, Rotated | Sector):
            return None
        places = roi.geometry.places((roi.y[0], roi.x[0]), roi.shape)
        across, along = (
            np.clip(place / step + 0.5 * (bins - 1), 0, bins - 1)
            for place, (bins, step) in zip(places, steps, strict=True)
        )
        diagonal = isinstance(roi.geometry, Rotated) and abs(roi.geometry.angle % 90 - 45) < DIAGONAL
        return cls(across.round(9), along.round(9), (steps[0][0], steps[1][0]), 0.25 * 0.5**0.5 if diagonal else 0.0)

    def profiles(self, values: Doubles) -> tuple[Doubles, Doubles]:
        """Sum pixels ``(frame, y, x)`` into bins across and along: each shared by its two neighbours, the nearer more.

        So the centre of mass of the bins is that of the pixels.
        """
        across, along = (
            self._binned(values, place, bins) for place, bins in zip((self.across, self.along), self.size, strict=True)
        )
        return across, along

    def _binned(self, values: Doubles, place: Doubles, bins: int) -> Doubles:
        result = np.zeros((len(values), bins))
        halves = (-self.apart, self.apart) if self.apart else (0.0,)
        for half in halves:
            at = np.clip(place.ravel() + half, 0, bins - 1)
            low = np.minimum(np.floor(at).astype(np.intp), max(bins - 2, 0))
            part, high = at - low, np.minimum(low + 1, bins - 1)
            for number, frame in enumerate(values.reshape(len(values), place.size)):
                result[number] += np.bincount(low, frame * (1 - part), minlength=bins)
                result[number] += np.bincount(high, frame * part, minlength=bins)
        return result / len(halves)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of a region: ``weights (y, x)`` of its box, None where all count; axes of its own, if it has some.

    ``off``: how many more its shape has beyond the edge of the image.
    """

    box: tuple[int, int]
    weights: Doubles | None = None
    axes: Axes | None = None
    off: float = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """Bins of the profiles along y and x."""
        return self.box if self.axes is None else self.axes.size

    @cached_property
    def fractional(self) -> bool:
        """Whether some pixels count in part."""
        return self.weights is not None and bool(((self.weights > 0) & (self.weights < 1)).any())

    @cached_property
    def inside(self) -> Bools:
        """Pixels that count at all."""
        return np.ones(self.box, dtype=bool) if self.weights is None else self.weights > 0

    @cached_property
    def area(self) -> float:
        """Number of pixels, those that count in part as much as they do, and those that are not there."""
        return float(self.box[0] * self.box[1] if self.weights is None else self.weights.sum()) + self.off

    @cached_property
    def rim(self) -> Bools:
        """Pixels of the region's own edge: its outermost 5 % of rows and columns, at least one; whole pixels only."""
        if self.weights is None:
            return edge_of(*self.box)
        whole = self.weights == 1
        return rim(whole if whole.any() else self.inside, *map(kernels.edge_width, self.box))

    @cached_property
    def places(self) -> tuple[Doubles, Doubles]:
        """Places of the pixels along both axes, from -1 to 1 over the bins; they broadcast to the box."""
        if self.axes is None:
            y, x = (from_middle(size) for size in self.box)
            return y[:, None], x[None, :]
        across, along = (
            2 * place / max(bins - 1, 1) - 1
            for place, bins in zip((self.axes.across, self.axes.along), self.axes.size, strict=True)
        )
        return across, along

    def weighted(self, values: Doubles) -> Doubles:
        """Pixels ``(frame, y, x)``, each as much as it counts."""
        return values if self.weights is None or not self.fractional else values * self.weights

    def profiles(self, values: Doubles) -> tuple[Doubles, Doubles]:
        """Sum over the other axis pixels ``(frame, y, x)``."""
        return kernels.profiles(values) if self.axes is None else self.axes.profiles(values)


def from_middle(size: int) -> Doubles:
    """Bins counted from the middle, in units of half their number: from -1 to 1.

    Examples
    --------
    >>> from_middle(5).tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    away = np.arange(size) - 0.5 * (size - 1)
    return np.asarray(away / max(away[-1], 1))
