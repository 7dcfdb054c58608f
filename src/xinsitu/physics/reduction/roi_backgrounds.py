"""The background under a ROI: from other ROIs, its own edge, or a surface through that; what contradicts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.kernels.statistics import MOMENTS

from .region_pixels import from_middle
from .regions import Region
from .roi_sums import Sums

BINS = 5
"""Rows or columns from which a ROI beside another tells of the tail of its peak."""


@dataclass(frozen=True)
class Under:
    """What lies under a ROI: profiles of the background, its total, and how well it is known.

    ``level_variance`` is the variance of the mean level per pixel, which all pixels share; ``own_variance`` that of the
    ROI's own edge pixels where the level comes from them (they are in the ROI's sum, too; its covariance with the
    background is ``A own_variance / own_pixels``); ``own_pixels`` their number;
    ``slope_*`` what the slope of a surface adds to the numerator of the variance of the centre of mass.
    """

    y: Doubles
    x: Doubles
    total: Doubles
    level_variance: Doubles
    own_variance: Doubles
    own_pixels: Doubles
    slope_y: Doubles
    slope_x: Doubles


POWERS = {
    "edge": ((0, 0),),
    "plane": ((0, 0), (1, 0), (0, 1)),
    "poly_y": ((0, 0), (1, 0), (2, 0)),
    "poly_x": ((0, 0), (0, 1), (0, 2)),
}
"""Powers of y and x in the surface that a background from the ROI's own edge is."""


def follows(kind: str, axis: str) -> bool:
    """Whether a background follows a slope along an axis, or there is none to do so."""
    return not kind or any(powers["yx".index(axis)] for powers in POWERS.get(kind, ()))


def under(own: Sums, kind: str, others: list[Sums]) -> Under:
    """Background of a ROI: ``rois`` (pooled, area-scaled), from its own edge (:data:`POWERS`), or nothing."""
    if kind == "rois":
        return _from_others(own, others)
    if kind in POWERS:
        return _from_edge(own, kind)
    nothing = np.zeros(len(own.y))
    along_y, along_x = (np.broadcast_to(0.0, profile.shape) for profile in (own.y, own.x))
    return Under(along_y, along_x, nothing, nothing, nothing, nothing, nothing, nothing)


def _from_others(own: Sums, others: list[Sums]) -> Under:
    """Pool counts and areas of all background ROIs: ``k B`` with ``k = A / A_B``."""
    pixels = np.sum([other.pixels for other in others], axis=0)
    area = np.where(pixels > 0, pixels, np.nan)
    level = np.sum([other.total for other in others], axis=0) / area
    variance = np.sum([other.variance for other in others], axis=0) / area**2
    nothing = np.zeros(len(own.y))
    along_y, along_x = level[:, None] * own.pixels_y, level[:, None] * own.pixels_x
    return Under(along_y, along_x, level * own.pixels, variance, nothing, nothing, nothing, nothing)


def _from_edge(own: Sums, kind: str) -> Under:
    """Mean of the outermost rows and columns, or a surface fitted to them by least squares.

    With the terms ``f`` of the surface, ``N = sum f f'`` over the edge, the variances ``v`` of its pixels, and
    ``C = N^-1 (sum v f f') N^-1``, the total has the variance ``t' C t``, ``t = sum f`` over all pixels, and with the
    sum of the pixels, to which those of the edge belong, the covariance ``t' N^-1 sum v f``; the numerator of the
    centre of mass has ``u' C u``, ``u = sum f x``, and the covariance ``u' N^-1 sum v f x``.
    """
    n_rows, n_columns = own.y.shape[1], own.x.shape[1]
    weight = np.isfinite(own.edge)
    values = np.where(weight, own.edge, 0.0)
    number = np.count_nonzero(weight, axis=1).astype(np.float64)
    area = np.where(number > 0, number, np.nan)
    level = kernels.sum_in_lanes(values) / area
    per_count = np.divide(own.variance, own.counted_total, out=np.zeros(len(level)), where=own.counted_total > 0)
    nothing = np.zeros(len(level))
    if kind == "edge":
        along_y, along_x = level[:, None] * own.pixels_y, level[:, None] * own.pixels_x
        per_pixel = np.where(np.isnan(own.variance), np.nan, np.maximum(level + own.subtracted, 0) * per_count)
        total = level * own.pixels
        return Under(along_y, along_x, total, per_pixel / area, per_pixel * area, area, nothing, nothing)
    edge_y, edge_x = own.rim
    y, x = from_middle(n_rows), from_middle(n_columns)
    basis = np.stack([edge_y**p * edge_x**q for p, q in POWERS[kind]])
    fitted, inverse = _least_squares(values, weight, basis)
    along_y, along_x = _profiles(own, kind, fitted, y, x)
    noise = np.where(weight, np.maximum(values + own.subtracted[:, None], 0) * per_count[:, None], 0.0)
    noise[np.isnan(own.variance)] = np.nan
    middle = _products(noise, basis)
    covariance = np.einsum("nab,nbc,ncd->nad", inverse, middle, inverse)
    pixels, whole = np.maximum(own.pixels, 1), _powers(own, kind, y, 0, 0)
    spread = np.einsum("na,nab,nb->n", whole, covariance, whole) / pixels**2
    both = np.einsum("na,nab,nb->n", whole, inverse, middle[:, 0]) * area / pixels
    slopes = []
    for by_y, by_x, away, half in (
        (1, 0, edge_y, max(0.5 * (n_rows - 1), 1)),
        (0, 1, edge_x, max(0.5 * (n_columns - 1), 1)),
    ):
        own_lever = _powers(own, kind, y, by_y, by_x) * half
        edge_lever = kernels.weighted_sums(noise, basis * away * half)
        own_share = np.einsum("na,nab->nb", own_lever, inverse)
        alone = np.einsum("na,nab,nb->n", own_lever, covariance, own_lever)
        slopes.append(alone - 2 * np.einsum("na,na->n", own_share, edge_lever))
    return Under(along_y, along_x, np.asarray(along_y.sum(axis=1)), spread, both, area, slopes[0], slopes[1])


def _along(own: Sums, axis: str, power: int) -> Doubles:
    """Powers of the place across, summed over the good pixels of each row (``y``) or column (``x``)."""
    whole: Doubles = getattr(own, f"pixels_{axis}")
    return whole if power == 0 else own.moments[axis][MOMENTS[axis].index(power)]


def _powers(own: Sums, kind: str, y: Doubles, by_y: int, by_x: int) -> Doubles:
    """Terms of the surface, times further powers of y and x, summed over the good pixels, ``(frame, term)``."""
    return np.stack([(_along(own, "y", q + by_x) * y ** (p + by_y)).sum(axis=1) for p, q in POWERS[kind]], axis=1)


def _profiles(own: Sums, kind: str, fitted: Doubles, y: Doubles, x: Doubles) -> tuple[Doubles, Doubles]:
    """Sum a surface over the good pixels of each row and each column."""
    along_y, along_x = np.zeros_like(own.y), np.zeros_like(own.x)
    for number, (p, q) in enumerate(POWERS[kind]):
        along_y += fitted[:, number, None] * y**p * _along(own, "y", q)
        along_x += fitted[:, number, None] * x**q * _along(own, "x", p)
    return along_y, along_x


def _products(weight: Doubles, basis: Doubles) -> Doubles:
    """Return ``sum w f f'`` over the pixels of the edge, ``(frame, term, term)``."""
    first, second = np.tril_indices(len(basis))
    result = np.empty((len(weight), len(basis), len(basis)))
    result[:, first, second] = result[:, second, first] = kernels.weighted_sums(weight, basis[first] * basis[second])
    return result


def _least_squares(values: Doubles, weight: kernels.Bools, basis: Doubles) -> tuple[Doubles, Doubles]:
    """Coefficients of a surface through the good pixels of each frame, and ``N^-1``; NaN if undefined."""
    same = bool((weight == weight[:1]).all())  # as a rule the good pixels are those of the first frame
    normal = _products((weight[:1] if same else weight).astype(np.float64), basis)
    inverse = np.full(normal.shape, np.nan)
    sound = np.linalg.matrix_rank(normal) == len(basis)
    if sound.any():
        inverse[sound] = np.linalg.inv(normal[sound])
    inverse = np.broadcast_to(inverse, (len(values), *inverse.shape[1:]))
    return np.einsum("nab,nb->na", inverse, kernels.weighted_sums(values, basis)), inverse


# -- what the edges of a ROI say against it --------------------------------------------------------------------------


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


def spilled(region: Region, own: Sums, others: list[tuple[Region, Sums]]) -> tuple[Doubles, Doubles]:
    """How much of ROIs beside a ROI, that are its background, is the tail of its peak, per pixel; and its variance.

    A tail falls with the square of the distance from the middle of the ROI; with all pixels of the ROIs beside, ``n``
    in a bin, and ``g`` their distance to the power of -2 less its mean, its height is ``sum(g counts) / sum(n g^2)``.
    """
    height, variance, pixels = np.zeros(len(own.y)), np.zeros(len(own.y)), np.zeros(len(own.y))
    for other, sums in others:
        pixels += sums.pixels
        axis, away = max(((axis, _apart(axis, region, other)) for axis in "yx"), key=lambda one: one[1].min())
        size = other.size["yx".index(axis)]
        if away.min() <= 0 or size < BINS or region.own_axes or other.own_axes:
            continue
        middle = np.asarray(region.first(axis)) + 0.5 * (region.size["yx".index(axis)] - 1)
        fall = ((np.asarray(other.first(axis)) - middle)[..., None] + np.arange(size)) ** -2.0
        bins = getattr(sums, f"pixels_{axis}")
        mean = (bins * fall).sum(axis=1) / np.maximum(sums.pixels, 1)
        lever = fall - mean[:, None]
        whole = (bins * lever**2).sum(axis=1)
        share = np.divide(mean * sums.pixels, whole, out=np.zeros(len(whole)), where=whole > 0)
        height += share * (lever * getattr(sums, axis)).sum(axis=1)
        variance += share**2 * (lever**2 * getattr(sums, f"variance_{axis}")).sum(axis=1)
    return height / np.maximum(pixels, 1), variance / np.maximum(pixels, 1) ** 2


def _apart(axis: str, one: Region, other: Region) -> Doubles:
    """Bins from one region to another along an axis, below one where they overlap."""
    (first, size), (beside, wide) = (
        (np.asarray(region.first(axis)), region.size["yx".index(axis)]) for region in (one, other)
    )
    return np.asarray(np.maximum(beside - first - size + 1, first - beside - wide + 1), dtype=np.float64)


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
