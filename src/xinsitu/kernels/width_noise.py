"""What the noise of the bins of a profile makes of its width: variances behind a median, and how they add up."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

from xinsitu import native

from . import counting
from .pixels import Doubles


class BinNoise(NamedTuple):
    """Variances of the bins of profiles ``(frame, bin)``, and the correlation of each bin with its neighbour."""

    variance: Doubles
    neighbours: Doubles


def behind_median(profile: Doubles, variance: Doubles, per_count: Doubles, lines: Doubles, size: int) -> BinNoise:
    """Noise of the bins of profiles ``(frame, bin)`` whose pixels went through a median, where these slope.

    Parameters
    ----------
    profile
        From which the slopes are taken; five bins or more.
    variance
        Of the bins where nothing slopes: ``per_count`` times what was counted in them.
    per_count, lines
        One number per frame; ``lines`` across of the peak, by which the noise of a pixel follows from that of a bin.
    size
        Pixels across of the median.

    Examples
    --------
    >>> flat, counts = np.zeros((1, 5)), np.full((1, 5), 100.0)
    >>> noise = behind_median(flat, 0.5 * counts, np.array([0.5]), np.array([3.0]), 3)
    >>> noise.variance[0, 2], noise.neighbours[0, 2]
    (np.float64(50.0), np.float64(0.62))
    """
    compiled = native.function("behind_median")
    if compiled is None or not profile.size:
        return _behind_median_by_numpy(profile, variance, per_count, lines, size)
    inputs = [np.ascontiguousarray(part) for part in (profile, variance, per_count, lines)]
    known = counting.known_size(size)
    tables = np.array([counting.STEEPNESS, counting.BIN_ON_SLOPE[known], counting.NEIGHBOURS_ON_SLOPE[known]])
    result = BinNoise(np.empty(profile.shape), np.empty(profile.shape))
    told = native.BehindMedian(
        *_addresses(*inputs, tables), *profile.shape, tables.shape[1], _least(size), *_addresses(*result)
    )
    if compiled(ctypes.byref(told)):
        return _behind_median_by_numpy(profile, variance, per_count, lines, size)
    return result


@np.errstate(all="ignore")  # the compiled one says nothing of what is not known, either
def _behind_median_by_numpy(
    profile: Doubles, variance: Doubles, per_count: Doubles, lines: Doubles, size: int
) -> BinNoise:
    """Return the same, for all profiles at once."""
    slope = np.zeros_like(profile)
    slope[:, 2:-2] = np.abs(profile[:, 4:] - profile[:, :-4]) / 4
    counted = variance / per_count[:, None]
    pixel = np.sqrt(counted * lines[:, None])
    steepness = np.divide(slope, pixel, out=np.zeros(slope.shape), where=pixel > 0)
    factor, shared = counting.bins_on_slopes(steepness, size)
    return BinNoise(counted * np.maximum(factor, _least(size) * per_count[:, None]), shared)


def _least(size: int) -> float:
    """Least variance of a bin over that of one where nothing slopes, which is that of 3 x 3 pixels."""
    return 1.0 if size == 3 else 0.6


def correlated(by_bin: Doubles, variance: Doubles, neighbours: Doubles | None) -> tuple[Doubles, Doubles]:
    """Variances of sums over bins ``(frame, bin)`` with weights: of the bins alone, and what is between them.

    ``sum w_i^2 var_i``; and ``2 sum w_i w_j cov_ij`` over bins beside each other, and over those one further, whose
    correlation is the square of that of neighbours: ``(distance, frame)``. That of two bins is the mean of what is
    said of each, so that it is the same from either side.

    Examples
    --------
    >>> correlated(np.ones((1, 3)), np.full((1, 3), 4.0), np.full((1, 3), 0.5))
    (array([12.]), array([[8.],
           [2.]]))
    """
    compiled = native.function("correlated")
    if compiled is None or not by_bin.size:
        return _correlated_by_numpy(by_bin, variance, neighbours)
    inputs = [None if part is None else np.ascontiguousarray(part) for part in (by_bin, variance, neighbours)]
    alone, between = np.empty(len(by_bin)), np.empty((2, len(by_bin)))
    told = native.Correlated(*_addresses(*inputs), *by_bin.shape, *_addresses(alone, between))
    return _correlated_by_numpy(by_bin, variance, neighbours) if compiled(ctypes.byref(told)) else (alone, between)


@np.errstate(all="ignore")
def _correlated_by_numpy(by_bin: Doubles, variance: Doubles, neighbours: Doubles | None) -> tuple[Doubles, Doubles]:
    """Return the same, for all profiles at once."""
    alone, between = np.einsum("ni,ni,ni->n", by_bin, by_bin, variance), np.zeros((2, len(by_bin)))
    if neighbours is None:
        return alone, between
    for lag in (1, 2):
        mean = (neighbours[:, lag:] + neighbours[:, :-lag]) / 2
        both = np.sqrt(variance[:, lag:] * variance[:, :-lag]) * (mean if lag == 1 else mean * mean)
        between[lag - 1] = 2 * np.einsum("ni,ni,ni->n", by_bin[:, lag:], by_bin[:, :-lag], both)
    return alone, between


def _addresses(*arrays: Any) -> list[int | None]:  # noqa: ANN401 - arrays, or None
    return [None if array is None else array.ctypes.data for array in arrays]
