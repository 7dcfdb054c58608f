"""Sums, profiles, positions, widths and asymmetry of boxes of frames, and the variances that counting gives them."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xinsitu import native

from .pixels import Doubles

Indices = npt.NDArray[np.intp]

EDGE_FRACTION = 0.05
"""Outermost part of a profile, on each side, whose mean is the base of the FWHM where no background is declared."""


LANES = 16
"""Numbers that are added side by side."""


def sum_in_lanes(values: Doubles) -> Doubles:
    """Sum the last axis: every sixteenth number into one of sixteen lanes, in order, and the lanes by halves.

    The order is written down here and no library's choice, so the bits are the same everywhere; processors add lanes
    side by side.

    Examples
    --------
    >>> sum_in_lanes(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist()
    [6.0, 15.0]
    """
    lanes = np.zeros((*values.shape[:-1], LANES))
    for first in range(0, values.shape[-1], LANES):
        part = values[..., first : first + LANES]
        lanes[..., : part.shape[-1]] += part
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return np.asarray(lanes[..., 0].copy())


def weighted_sums(values: Doubles, terms: Doubles) -> Doubles:
    """Sum rows ``(frame, i)`` times each of some terms ``(term, i)``: ``(frame, term)``, in lanes.

    Without BLAS, whose threads would fight with those that work on other blocks.

    Examples
    --------
    >>> weighted_sums(np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0]])).tolist()
    [[6.0, -2.0]]
    """
    compiled = native.function("weighted_sums")
    if compiled is None:
        return np.stack([sum_in_lanes(values * term) for term in terms], axis=-1)
    values, terms, result = map(np.ascontiguousarray, (values, terms, np.empty((len(values), len(terms)))))
    told = native.Weighted(values.ctypes.data, terms.ctypes.data, *values.shape, len(terms), result.ctypes.data)
    compiled(ctypes.byref(told))
    return result


def profiles(values: Doubles) -> tuple[Doubles, Doubles]:
    """Sum contiguous float64 frames over columns, ``(frame, y)``, in lanes, and over rows, ``(frame, x)``, in order.

    The order of the additions depends on the frame's shape alone, so cropping before or after a filter, any chunking in
    time, any processor and the compiled kernel give the same bits.
    """
    return sum_in_lanes(values), _down(values)


def total(values: Doubles) -> Doubles:
    """Sum contiguous float64 frames ``(frame, y, x)``: each column in order, and the columns in lanes."""
    return sum_in_lanes(_down(values))


def _down(values: Doubles) -> Doubles:
    """Sum over rows, one after the other; NumPy does so unless there is one column only."""
    return np.asarray(values.sum(axis=1) if values.shape[2] > 1 else values.cumsum(axis=1)[:, -1])


def bridged(profile: Doubles, pixels: Doubles) -> Doubles:
    """Profiles ``(frame, bin)`` with straight lines over bins that have no valid pixel, such as gaps between modules.

    Examples
    --------
    >>> bridged(np.array([[2.0, 0.0, 0.0, 8.0]]), np.array([[5.0, 0.0, 0.0, 5.0]]))
    array([[2., 4., 6., 8.]])
    """
    holes = pixels == 0
    if not holes.any():  # most often
        return profile
    rows = np.flatnonzero(holes.any(axis=1) & ~holes.all(axis=1))
    if not rows.size:
        return profile
    result = profile.copy()
    for row in rows:
        result[row, holes[row]] = np.interp(
            np.flatnonzero(holes[row]), np.flatnonzero(~holes[row]), profile[row, ~holes[row]]
        )
    return result


def running_mean(profile: Doubles, bins: int) -> Doubles:
    """Mean over an odd number of neighbouring bins of profiles ``(frame, bin)``; fewer at the ends.

    Examples
    --------
    >>> running_mean(np.array([[0.0, 3.0, 6.0, 0.0]]), 3)
    array([[1.5, 3. , 3. , 3. ]])
    """
    reach = bins // 2
    total = np.concatenate([np.zeros((len(profile), 1)), np.cumsum(profile, axis=1)], axis=1)
    first = np.maximum(np.arange(profile.shape[1]) - reach, 0)
    behind = np.minimum(np.arange(profile.shape[1]) + reach + 1, profile.shape[1])
    return np.asarray((total[:, behind] - total[:, first]) / (behind - first))


def without_running_mean(width: Doubles, bins: int) -> Doubles:
    """Take off a full width what a running mean added, as to a Gaussian: ``sqrt(w^2 - 8 ln 2 (bins^2 - 1) / 12)``.

    Examples
    --------
    >>> without_running_mean(np.array([5.0, 1.0]), 3).round(3)
    array([4.616,   nan])
    """
    square = width**2 - 8 * np.log(2) * (bins**2 - 1) / 12
    return np.asarray(np.sqrt(np.where(square > 0, square, np.nan)))


def centre_of_mass(profile: Doubles) -> Doubles:
    """Centre of mass of profiles ``(frame, bin)`` in bins from the first; NaN where the sum is not positive.

    ``sum(i p_i) / sum(p_i)``

    Examples
    --------
    >>> centre_of_mass(np.array([[1.0, 2.0, 1.0], [0.0, 1.0, 3.0], [0.0, 0.0, 0.0]]))
    array([1.  , 1.75,  nan])
    """
    total = profile.sum(axis=1)
    weighted = np.einsum("ni,i->n", profile, np.arange(profile.shape[1], dtype=np.float64))
    result = np.full(len(profile), np.nan)
    np.divide(weighted, total, out=result, where=total > 0)
    return result


def edge_width(size: int) -> int:
    """Bins of a ROI's edge on each side: 5 % of it, at least one.

    Examples
    --------
    >>> edge_width(60), edge_width(5)
    (3, 1)
    """
    return max(1, int(EDGE_FRACTION * size))


def edge_base(profile: Doubles) -> Doubles:
    """Mean of the outermost 5 % of bins, at least one, on each side of profiles ``(frame, bin)``.

    Examples
    --------
    >>> edge_base(np.array([[2.0, 9.0, 9.0, 4.0]]))
    array([3.])
    """
    n_bins = profile.shape[1]
    outer = edge_width(n_bins)
    return np.asarray(np.concatenate([profile[:, :outer], profile[:, n_bins - outer :]], axis=1).mean(axis=1))


# -- counting statistics ----------------------------------------------------------------------------------------------


def centre_of_mass_variance(
    profile: Doubles, variance: Doubles, centre: Doubles, pixels: Doubles, level_variance: Doubles
) -> Doubles:
    """Variance of the centre of mass of profiles ``(frame, bin)``, in bins squared.

    ``[sum (x_i - c)^2 var_i + (sum n_i (x_i - c))^2 var_b] / (sum p_i)^2``, where ``var_b`` is the variance of the
    background per pixel, which all ``n_i`` pixels of all bins share.
    """
    distance = np.arange(profile.shape[1], dtype=np.float64) - centre[:, None]
    counted = np.einsum("ni,ni->n", distance**2, variance)
    shared = np.einsum("ni,ni->n", distance, pixels) ** 2 * level_variance
    result = np.full(len(profile), np.nan)
    np.divide(counted + shared, profile.sum(axis=1) ** 2, out=result, where=np.isfinite(centre))
    return result


class ProfileShape(NamedTuple):
    """Width and asymmetry of profiles, one per frame, and what a unit more in each bin changes in them.

    ``of_sigma`` and ``of_skewness`` are ``(frame, bin)``: the derivatives by the bins, from which variances follow.
    """

    sigma: Doubles
    skewness: Doubles
    of_sigma: Doubles
    of_skewness: Doubles


def shape_of(profile: Doubles) -> ProfileShape:
    """Root of the second central moment of profiles ``(frame, bin)`` in bins, and their skewness.

    With ``N = sum p``, ``d = x - sum(x p) / N``: ``sigma^2 = sum(d^2 p) / N``, ``m = sum(d^3 p) / N``,
    ``skewness = m / sigma^3``; NaN where the sum or the second moment is not positive. Derivatives by ``p_i``:
    ``(d_i^2 - sigma^2) / (2 sigma N)`` and
    ``[(d_i^3 - m - 3 sigma^2 d_i) / sigma^3 - 3/2 m (d_i^2 - sigma^2) / sigma^5] / N``.

    Examples
    --------
    >>> found = shape_of(np.array([[1.0, 2.0, 1.0], [0.0, 3.0, 1.0]]))
    >>> found.sigma.round(4), found.skewness.round(4)
    (array([0.7071, 0.433 ]), array([0.    , 1.1547]))
    """
    total = profile.sum(axis=1)
    away = np.arange(profile.shape[1], dtype=np.float64) - centre_of_mass(profile)[:, None]
    number = np.where(total > 0, total, np.nan)[:, None]
    square = np.einsum("ni,ni->n", away**2, profile)[:, None] / number
    square = np.where(square > 0, square, np.nan)
    cube = np.einsum("ni,ni->n", away**3, profile)[:, None] / number
    sigma = np.sqrt(square)
    wider = away**2 - square
    of_skewness = (away**3 - cube - 3 * square * away) / sigma**3 - 1.5 * cube * wider / sigma**5
    return ProfileShape(sigma[:, 0], (cube / sigma**3)[:, 0], wider / (2 * sigma * number), of_skewness / number)


def propagated(
    change: Doubles, variance: Doubles, pixels: Doubles, level_variance: Doubles, with_level: Doubles
) -> Doubles:
    """Variance of a quantity of profiles from the derivatives by its bins.

    ``sum h_i^2 var_i + s^2 var_b - 2 s sum(h_i cov_i)`` with ``s = sum n_i h_i``, where ``var_b`` is the variance of
    the background per pixel, which all ``n_i`` pixels share, and ``cov_i`` its covariance with the bins where it comes
    from pixels that they hold.
    """
    counted = np.einsum("ni,ni->n", change**2, variance)
    shared = np.einsum("ni,ni->n", change, pixels)
    both = np.einsum("ni,ni->n", change, with_level)
    return np.asarray(np.maximum(counted + shared**2 * level_variance - 2 * shared * both, 0))
