"""What is fitted to a profile, and from which values its fit starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.kernels.shapes import OF_A_PEAK, parameters
from xinsitu.physics.reduction.profile_bins import unbroken

RISE = 0.05
"""Part of a peak's height by which a profile must rise beside it for another peak."""
SHAPE_STARTS = {"fraction": 0.3, "asymmetry": 0.0}


@dataclass(frozen=True)
class Peaks:
    """How many peaks of which shape are on the line, and whether they have one width."""

    shape: str
    number: int = 1
    shared_width: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, as :func:`~xinsitu.kernels.shapes.parameters` has them."""
        return parameters(self.shape, self.number)

    def places(self, name: str) -> list[int]:
        """Where a parameter stands, once for each peak if each has its own."""
        several = name in OF_A_PEAK and self.number > 1
        return (
            [self.names.index(f"{name}_{peak}") for peak in range(self.number)] if several else [self.names.index(name)]
        )

    @property
    def ties(self) -> Doubles:
        """Parameters of what is fitted, ``(parameter, fitted)``: of a shared width there is one."""
        every = np.eye(len(self.names))
        if not self.shared_width or self.number == 1:
            return every
        first, *others = self.places("fwhm")
        every[others, first] = 1.0
        return np.delete(every, others, axis=1)


@dataclass(frozen=True)
class Above:
    """Profiles ``(row, bin)`` above the line through their ends, whose level in the middle and slope are given."""

    net: Doubles
    soft: Doubles
    level: Doubles
    slope: Doubles
    least: Doubles
    """Heights below which there is no peak to start from."""

    @classmethod
    def of(cls, rows: Doubles, x: Doubles) -> Above:
        """Take the line through the outermost tenths; ``soft`` is a mean of three bins."""
        n_bins = len(x)
        outer = max(1, n_bins // 10)
        filled = unbroken(rows)
        filled = np.where(np.isfinite(filled), filled, 0.0)
        left, right = filled[:, :outer].mean(axis=1), filled[:, -outer:].mean(axis=1)
        net = filled - (left[:, None] + (right - left)[:, None] * np.linspace(0, 1, n_bins))
        soft = net.copy()
        soft[:, 1:-1] = (net[:, :-2] + net[:, 1:-1] + net[:, 2:]) / 3
        least = 1e-12 + 1e-3 * np.abs(filled).max(axis=1)
        return cls(net, soft, 0.5 * (left + right), (right - left) / (x[-1] - x[0]), least)


def starts(rows: Doubles, x: Doubles, peaks: Peaks) -> Iterator[Doubles]:
    """Start values ``(row, parameter)``: for one peak one set, for several those that may be told apart, or not."""
    above, step = Above.of(rows, x), abs(x[-1] - x[0]) / (len(x) - 1)
    rest = [above.level, above.slope]
    rest += [np.full(len(rows), SHAPE_STARTS[name]) for name in peaks.names if name in SHAPE_STARTS]
    area = np.maximum(above.net, 0).sum(axis=1) * step
    for places in _one(above) if peaks.number == 1 else _several(above, peaks.number):
        height = np.maximum(np.take_along_axis(above.soft, places, axis=1), above.least[:, None])
        width = np.clip(area / height.sum(axis=1), 2 * step, 0.5 * step * len(x))
        own = np.stack([height, x[places], np.broadcast_to(width[:, None], height.shape)], axis=2)
        yield np.concatenate([own.reshape(len(rows), own.shape[1] * own.shape[2]), np.stack(rest, axis=1)], axis=1)


def _one(above: Above) -> Iterator[kernels.Indices]:
    """Yield the highest bin of a smoothed profile."""
    yield above.soft.argmax(axis=1)[:, None]


def _several(above: Above, number: int) -> Iterator[kernels.Indices]:
    """Bins ``(row, peak)`` in which peaks may lie: where parts of equal area have their middle, and the highest ones.

    The first serve peaks that overlap, the others those that can be seen apart, whatever their heights.
    """
    net = np.maximum(above.soft - 0.1 * above.soft.max(axis=1, keepdims=True), 0)
    share = np.cumsum(net, axis=1) / np.maximum(net.sum(axis=1, keepdims=True), 1e-300)
    middles = (np.arange(number) + 0.5) / number
    yield (share[:, None, :] < middles[:, None]).sum(axis=2).clip(max=share.shape[1] - 1)
    yield np.sort(_highest(above.soft, number), axis=1)


def _highest(soft: Doubles, number: int) -> kernels.Indices:
    """Highest bins, each outside of what falls to both sides of those before it."""
    left, smooth = soft.copy(), kernels.running_mean(soft, 5)
    rows, bins = np.arange(len(soft)), np.arange(soft.shape[1])
    found = np.empty((len(soft), number), dtype=np.intp)
    for place in range(number):
        top = found[:, place] = left.argmax(axis=1)
        ends = RISE * np.maximum(soft[rows, top], 0)[:, None]
        for side in (slice(None), slice(None, None, -1)):  # its flanks, as far as they fall to the right and the left
            at = np.where(side.step, soft.shape[1] - 1 - top, top)[:, None]
            along = np.where(bins >= at, smooth[:, side], np.inf)
            risen = np.maximum.accumulate((bins >= at) & (along > np.minimum.accumulate(along, axis=1) + ends), axis=1)
            left = np.where(((bins >= at) & ~risen)[:, side], -np.inf, left)
    return found
