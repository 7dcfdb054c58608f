"""Fits of one peak on a straight line to all rows of an array, with start values and a look at what came out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.kernels import Bools, Doubles
from xinsitu.kernels.least_squares import Fit, fit
from xinsitu.kernels.shapes import PARAMETERS, peak_on_line
from xinsitu.physics.blocks import block_function
from xinsitu.physics.reduction.profile_bins import unbroken
from xinsitu.schema import Quality

SIGNIFICANT = 3.0
"""A peak that is not this many standard errors high is no peak."""
CLEAR = 6.0
"""A peak that is not this many standard errors high is one, but its parameters do not scatter like a Gaussian."""
POOR = 4.0
"""Standard deviations of chi square above its expectation from which the shape is not that of the data."""
EXTRA = 3
"""Columns behind the parameters and their covariance: chi square, degrees of freedom, quality."""


def columns_for(number: int) -> int:
    """Columns of a row of so many parameters, their covariance and what else is told of a fit."""
    return number + number**2 + EXTRA


def packed(found: Fit, good: Bools, n_points: Doubles, *, weighted: bool) -> Doubles:
    """Fits as rows of numbers, ``(row, column)``; NaN where a fit is no good.

    Where the noise is known (``weighted``), a chi square that is too large for it says that the shape is another one:
    the fit is flagged, and its covariance is multiplied by chi square per degree of freedom.
    """
    number = found.parameters.shape[1]
    free = np.maximum(n_points - number, 0)
    with np.errstate(invalid="ignore"):
        poor = weighted & good & (found.chi_square - free > POOR * np.sqrt(found.spread))
    found = found.scaled(np.where(poor, found.chi_square / np.maximum(free, 1), 1.0))
    result = np.full((len(good), columns_for(number)), np.nan)
    result[good, :number] = found.parameters[good]
    result[good, number:-EXTRA] = found.covariance[good].reshape(-1, number**2)
    result[good, -3] = found.chi_square[good]
    result[:, -2] = free
    with np.errstate(invalid="ignore"):
        faint = good & (found.parameters[:, 0] < CLEAR * np.sqrt(found.covariance[:, 0, 0]))
    told = np.where(faint, Quality.ERRORS_DOUBTFUL, 0) | np.where(poor, Quality.POOR_FIT, 0)
    result[:, -1] = np.where(good, told, Quality.FIT_FAILED)
    return result


NARROW = 6.5
SPARSE = 2.0
"""Widths in pixels, and counts per pixel beside a peak, below which errors behind a plain median do not hold."""


def doubtful(width: Doubles, ground: Doubles) -> Bools:
    """Tell fits behind a plain median whose errors may be off by more than 15 %: up to a half on sparse ground.

    The variance of sums over a median is known; what a narrow peak or a sparse ground shares among its pixels is not.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((width < NARROW) | (ground < SPARSE))


def flagged(quality: Doubles, unsure: Bools) -> Doubles:
    """Add ``errors_doubtful`` to the quality of some fits."""
    return np.where(unsure, quality.astype(np.int64) | Quality.ERRORS_DOUBTFUL, quality.astype(np.int64)).astype(float)


def with_shared(
    rows: Doubles, names: tuple[str, ...], level: Doubles, factor: Doubles, *, own_edge: bool = False
) -> Doubles:
    """Add to the covariance of packed fits what all points of a frame share.

    ``level`` is the variance of a background that was subtracted from all of them. One from the ROI's own edge is a
    second, poorer measurement of what the fitted line tells, from the same counts: the difference of the two has the
    difference of their variances, and nothing in common with the other parameters. ``factor`` is the relative variance
    of what all points are multiplied by.
    """
    number = len(names)
    covariance = rows[:, number:-EXTRA].reshape(-1, number, number).copy()
    place = names.index("level")
    if own_edge:
        covariance[:, place, place] = np.maximum(level - covariance[:, place, place], covariance[:, place, place])
        others = [other for other in range(number) if other != place]
        covariance[:, place, others] = covariance[:, others, place] = 0.0
    else:
        covariance[:, place, place] += level
    scaled = np.zeros((len(rows), number))
    for name in ("height", "level", "slope"):
        if name in names:
            scaled[:, names.index(name)] = rows[:, names.index(name)]
    covariance += factor[:, None, None] * scaled[:, :, None] * scaled[:, None, :]
    result = rows.copy()
    result[:, number:-EXTRA] = covariance.reshape(len(rows), -1)
    return result


@block_function
def fit_rows(
    values: npt.NDArray[Any],
    errors: npt.NDArray[Any],
    per_count: npt.NDArray[Any],
    *,
    x: Doubles,
    shape: str,
    weighted: bool,
) -> Doubles:
    """Parameters, their covariance, chi square, degrees of freedom and quality, ``(..., column)``.

    Not ``weighted``: all points weigh the same, and their scatter about the curve tells the errors.
    """
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    sigma = np.broadcast_to(errors, values.shape).reshape(rows.shape)
    counted = np.broadcast_to(per_count, values.shape[:-1]).reshape(-1)
    start = _start(rows, x, shape)
    result = _fit(rows, sigma, counted, start, x, shape, weighted)
    good = _sensible(result, rows, x)
    again = np.flatnonzero(~good)
    if again.size and good.any():  # from the last one before that could be fitted
        before = np.maximum.accumulate(np.where(good, np.arange(len(rows)), -1))
        before = np.where(before < 0, np.flatnonzero(good)[0], before)
        begin = result.parameters[before[again]]
        result.put(again, _fit(rows[again], sigma[again], counted[again], begin, x, shape, weighted))
        good = _sensible(result, rows, x)
    told = packed(result, good, np.isfinite(rows).sum(axis=1).astype(np.float64), weighted=weighted)
    return told.reshape(*values.shape[:-1], -1)


def _fit(
    rows: Doubles, sigma: Doubles, counted: Doubles, start: Doubles, x: Doubles, shape: str, weighted: bool
) -> Fit:
    """Fit with the weights that there are."""
    model = peak_on_line(x, shape)
    if weighted:
        return fit(model, rows, sigma**2, start, per_count=counted)
    return by_scatter(fit(model, rows, np.ones_like(rows), start), np.isfinite(rows).sum(axis=1))


def by_scatter(even: Fit, n_points: npt.NDArray[np.intp]) -> Fit:
    """Fits without errors: the scatter about the curve tells those of the parameters."""
    return even.scaled(even.chi_square / np.maximum(n_points - even.parameters.shape[1], 1))


def _start(rows: Doubles, x: Doubles, shape: str) -> Doubles:
    """Start values: line through the ends, highest bin of a smoothed profile, width from the area above the line."""
    n_bins = len(x)
    outer = max(1, n_bins // 10)
    filled = unbroken(rows)
    filled = np.where(np.isfinite(filled), filled, 0.0)
    left, right = filled[:, :outer].mean(axis=1), filled[:, -outer:].mean(axis=1)
    line = left[:, None] + (right - left)[:, None] * np.linspace(0, 1, n_bins)
    net = filled - line
    soft = net.copy()
    soft[:, 1:-1] = (net[:, :-2] + net[:, 1:-1] + net[:, 2:]) / 3
    top = soft.argmax(axis=1)
    height = np.maximum(soft.max(axis=1), 1e-12 + 1e-3 * np.abs(filled).max(axis=1))
    step = abs(x[-1] - x[0]) / (n_bins - 1)
    area = np.maximum(net, 0).sum(axis=1) * step
    width = np.clip(area / height, 2 * step, 0.5 * step * n_bins)
    slope = (right - left) / (x[-1] - x[0])
    columns = [height, x[top], width, 0.5 * (left + right), slope]
    if "fraction" in PARAMETERS[shape]:
        columns.append(np.full(len(rows), 0.3))
    return np.stack(columns, axis=1)


def _sensible(result: Fit, rows: Doubles, x: Doubles) -> Bools:
    """Fits that arrived at a peak which the profile shows."""
    p = result.parameters
    seen = np.isfinite(rows)
    varies = np.where(seen, rows, -np.inf).max(axis=1) > np.where(seen, rows, np.inf).min(axis=1)
    low, high = min(x[0], x[-1]), max(x[0], x[-1])
    step = (high - low) / (len(x) - 1)
    p[:, 2] = np.abs(p[:, 2])
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.einsum("naa->na", result.covariance))
        there = (p[:, 1] >= low) & (p[:, 1] <= high) & (p[:, 2] > step / 3) & (p[:, 2] < 3 * (high - low))
        high_enough = p[:, 0] > SIGNIFICANT * errors[:, 0]
        good = varies & result.arrived & there & high_enough & np.isfinite(errors).all(axis=1)
        if p.shape[1] == 6:
            good &= (p[:, 5] > -0.5) & (p[:, 5] < 1.5)
    return np.asarray(good)
