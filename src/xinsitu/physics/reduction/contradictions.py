"""Backgrounds that the data contradict: what the edges of a ROI say of the ground under it, in standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles

from .roi_backgrounds import Under
from .roi_sums import Sums


@dataclass(frozen=True)
class Strip:
    """Outermost (or next) rows or columns of a ROI: their mean above the background, and its variance; per frame."""

    mean: Doubles
    variance: Doubles

    @classmethod
    def of(cls, axis: str, own: Sums, below: Under, bins: slice) -> Strip:
        """Take some bins of a net profile."""
        pixels = np.maximum(getattr(own, f"pixels_{axis}")[:, bins].sum(axis=1), 1)
        net = (getattr(own, axis) - getattr(below, axis))[:, bins].sum(axis=1)
        return cls(net / pixels, getattr(own, f"variance_{axis}")[:, bins].sum(axis=1) / pixels**2)


def strips(axis: str, own: Sums, below: Under, *, inner: bool = False) -> tuple[Strip, Strip]:
    """Both outermost strips along an axis, or those next to them."""
    size = getattr(own, axis).shape[1]
    wide = kernels.edge_width(size)
    first = wide if inner else 0
    return tuple(  # type: ignore[return-value] # two of them
        Strip.of(axis, own, below, bins)
        for bins in (slice(first, first + wide), slice(size - first - wide, size - first))
    )


def excess_at_edges(axis: str, own: Sums, below: Under) -> tuple[Doubles, Doubles]:
    """By how much two opposite edges of a ROI lie above a background from elsewhere, per pixel, and its variance."""
    low, high = strips(axis, own, below)
    return 0.5 * (low.mean + high.mean), 0.25 * (low.variance + high.variance) + below.level_variance


def tail_at_edges(own: Sums, below: Under) -> tuple[Doubles, Doubles]:
    """How high tails of a peak still are in the edge that is taken for background, per pixel, and its variance.

    A tail that falls with the square of the distance ``d`` loses ``2 w / d`` of itself over the edge's width ``w``.
    """
    height, variance = np.zeros(len(own.y)), np.zeros(len(own.y))
    for axis in "yx":
        size = getattr(own, axis).shape[1]
        gain = 0.25 * size / kernels.edge_width(size)
        outer, inner = strips(axis, own, below), strips(axis, own, below, inner=True)
        height += 0.25 * gain * (inner[0].mean + inner[1].mean - outer[0].mean - outer[1].mean)
        variance += (0.25 * gain) ** 2 * sum(one.variance for one in (*outer, *inner))
    return height, variance


def slope_across(axis: str, own: Sums, below: Under, net: Doubles) -> tuple[Doubles, Doubles]:
    """By how much a slope between two opposite edges moves the centre of mass, in bins, and its variance.

    A slope ``g`` per pixel over ``n`` bins of ``A`` pixels in all moves it by ``g A (n^2 - 1) / 12`` over the net sum.
    """
    size = getattr(own, axis).shape[1]
    low, high = strips(axis, own, below)
    lever = own.pixels * (size**2 - 1) / 12 / max(size - kernels.edge_width(size), 1)
    lever = np.divide(lever, net, out=np.zeros(len(net)), where=net > 0)
    return (high.mean - low.mean) * lever, (high.variance + low.variance) * lever**2
