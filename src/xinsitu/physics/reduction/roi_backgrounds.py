"""The background under a ROI: from other ROIs, from its own edge, or a plane or a parabola through that edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles

from .roi_sums import Sums


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
    return Under(np.zeros_like(own.y), np.zeros_like(own.x), nothing, nothing, nothing, nothing, nothing, nothing)


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
    n_frames, n_rows, n_columns = own.values.shape
    edge = np.ones((n_rows, n_columns), dtype=bool)
    high, wide = kernels.edge_width(n_rows), kernels.edge_width(n_columns)
    edge[high : n_rows - high, wide : n_columns - wide] = False
    weight = np.broadcast_to(edge, own.values.shape) if own.good is None else own.good & edge
    number = np.count_nonzero(weight, axis=(1, 2)).astype(np.float64)
    area = np.where(number > 0, number, np.nan)
    level = np.einsum("nyx,nyx->n", own.values, weight.astype(np.float64)) / area
    per_count = np.divide(own.variance, own.counted_total, out=np.zeros(n_frames), where=own.counted_total > 0)
    nothing = np.zeros(n_frames)
    if kind == "edge":
        along_y, along_x = level[:, None] * own.pixels_y, level[:, None] * own.pixels_x
        per_pixel = np.where(np.isnan(own.variance), np.nan, np.maximum(level + own.subtracted, 0) * per_count)
        total = level * own.pixels
        return Under(along_y, along_x, total, per_pixel / area, per_pixel * area, area, nothing, nothing)
    y, x = (np.arange(size) - 0.5 * (size - 1) for size in (n_rows, n_columns))
    half_y, half_x = max(y[-1], 1), max(x[-1], 1)
    basis = np.stack([np.multiply.outer((y / half_y) ** p, (x / half_x) ** q) for p, q in POWERS[kind]])
    good = np.ones(own.values.shape) if own.good is None else own.good.astype(np.float64)
    fitted, inverse = _least_squares(own.values, weight.astype(np.float64), basis)
    along_y, along_x = kernels.profiles(np.ascontiguousarray(np.einsum("na,ayx->nyx", fitted, basis) * good))
    noise = weight * np.maximum(own.values + own.subtracted[:, None, None], 0) * per_count[:, None, None]
    noise = np.where(np.isnan(own.variance)[:, None, None], np.nan, noise)
    middle = np.einsum("nyx,ayx,byx->nab", noise, basis, basis, optimize=True)
    covariance = np.einsum("nab,nbc,ncd->nad", inverse, middle, inverse)
    pixels, whole = np.maximum(own.pixels, 1), np.einsum("nyx,ayx->na", good, basis)
    spread = np.einsum("na,nab,nb->n", whole, covariance, whole) / pixels**2
    both = np.einsum("na,nab,nb->n", whole, inverse, middle[:, 0]) * area / pixels
    slopes = []
    for away in (y[:, None], x[None, :]):
        own_lever, edge_lever = (np.einsum("nyx,ayx->na", part, basis * away) for part in (good, noise))
        own_share = np.einsum("na,nab->nb", own_lever, inverse)
        alone = np.einsum("na,nab,nb->n", own_lever, covariance, own_lever)
        slopes.append(alone - 2 * np.einsum("na,na->n", own_share, edge_lever))
    return Under(along_y, along_x, np.asarray(along_y.sum(axis=1)), spread, both, area, slopes[0], slopes[1])


def _least_squares(values: Doubles, weight: Doubles, basis: Doubles) -> tuple[Doubles, Doubles]:
    """Coefficients of a surface through the weighted pixels of each frame, and ``N^-1``; NaN if undefined."""
    normal = np.einsum("nyx,ayx,byx->nab", weight, basis, basis, optimize=True)
    right = np.einsum("nyx,nyx,ayx->na", weight, values, basis, optimize=True)
    inverse = np.full(normal.shape, np.nan)
    sound = np.linalg.matrix_rank(normal) == len(basis)
    if sound.any():
        inverse[sound] = np.linalg.inv(normal[sound])
    return np.einsum("nab,nb->na", inverse, right), inverse
