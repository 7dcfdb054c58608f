"""The background under a ROI: from other ROIs, from its own frame edge, or a plane through that edge."""

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
    ROI's own edge pixels where the level comes from them (they are in the ROI's sum, too); ``own_pixels`` their number;
    ``slope_*`` what the slope of a plane adds to the numerator of the variance of the centre of mass.
    """

    y: Doubles
    x: Doubles
    total: Doubles
    level_variance: Doubles
    own_variance: Doubles
    own_pixels: Doubles
    slope_y: Doubles
    slope_x: Doubles


def under(own: Sums, kind: str, others: list[Sums]) -> Under:
    """Background of a ROI: ``rois`` (pooled, area-scaled), ``edge``, ``plane``, or nothing."""
    if kind == "rois":
        return _from_others(own, others)
    if kind in ("edge", "plane"):
        return _from_edge(own, plane=kind == "plane")
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


def _from_edge(own: Sums, *, plane: bool) -> Under:
    """Mean of the outermost rows and columns, or a plane fitted to them by least squares."""
    n_frames, n_rows, n_columns = own.values.shape
    edge = np.ones((n_rows, n_columns), dtype=bool)
    high, wide = kernels.edge_width(n_rows), kernels.edge_width(n_columns)
    edge[high : n_rows - high, wide : n_columns - wide] = False
    weight = np.broadcast_to(edge, own.values.shape) if own.good is None else own.good & edge
    good = np.ones(own.values.shape) if own.good is None else own.good.astype(np.float64)
    number = np.count_nonzero(weight, axis=(1, 2)).astype(np.float64)
    area = np.where(number > 0, number, np.nan)
    level = np.einsum("nyx,nyx->n", own.values, weight.astype(np.float64)) / area
    per_count = np.divide(own.variance, own.counted_total, out=np.zeros(n_frames), where=own.counted_total > 0)
    per_pixel = np.where(np.isnan(own.variance), np.nan, np.maximum(level + own.subtracted, 0) * per_count)
    nothing = np.zeros(n_frames)
    if not plane:
        along_y, along_x = level[:, None] * own.pixels_y, level[:, None] * own.pixels_x
        total = level * own.pixels
        return Under(along_y, along_x, total, per_pixel / area, per_pixel * area, area, nothing, nothing)
    y = np.arange(n_rows) - 0.5 * (n_rows - 1)
    x = np.arange(n_columns) - 0.5 * (n_columns - 1)
    model = _plane(own.values, weight.astype(np.float64), y, x)
    surface = (model[:, 0, None, None] + model[:, 1, None, None] * y[:, None] + model[:, 2, None, None] * x) * good
    along_y, along_x = kernels.profiles(np.ascontiguousarray(surface))
    slopes = []
    for axis, coordinate in (("y", y[:, None]), ("x", x[None, :])):
        squares = np.einsum("nyx->n", good * coordinate**2)
        edge_squares = np.einsum("nyx->n", weight * coordinate**2)
        slopes.append(per_pixel * squares * (squares / np.where(edge_squares > 0, edge_squares, np.nan) - 2))
        del axis
    total = np.asarray(along_y.sum(axis=1))
    return Under(along_y, along_x, total, per_pixel / area, per_pixel * area, area, slopes[0], slopes[1])


def _plane(values: Doubles, weight: Doubles, y: Doubles, x: Doubles) -> Doubles:
    """Level and slopes of the plane of least squares through the weighted pixels of each frame; NaN if undefined."""
    terms = [
        np.ones((len(y), len(x))),
        np.broadcast_to(y[:, None], (len(y), len(x))),
        np.broadcast_to(x, (len(y), len(x))),
    ]
    basis = np.stack(terms)
    normal = np.einsum("nyx,ayx,byx->nab", weight, basis, basis, optimize=True)
    right = np.einsum("nyx,nyx,ayx->na", weight, values, basis, optimize=True)
    result = np.full((len(values), 3), np.nan)
    sound = np.linalg.matrix_rank(normal) == 3
    if sound.any():
        result[sound] = np.linalg.solve(normal[sound], right[sound][:, :, None])[:, :, 0]
    return result
