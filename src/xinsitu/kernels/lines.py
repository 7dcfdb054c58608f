"""Straight lines and local polynomials by least squares, with errors; the only place where they are fitted.

The last axis is that of the points. What has no value is NaN, or has no weight, and does not count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .pixels import Bools, Doubles


class Line(NamedTuple):
    """Straight lines, one for each row; NaN where the points do not tell.

    Parameters
    ----------
    slope, level
        Per unit of ``x``, and the value in the weighted middle of the points.
    slope_variance, level_variance
        From the weights alone.
    chi_square, number
        Weighted sum of squares about the line, and how many points it has.
    pull, share
        What each point adds to them, dims ``(..., point)``: ``slope = sum pull y``, ``level = sum share y``.
    """

    slope: Doubles
    level: Doubles
    slope_variance: Doubles
    level_variance: Doubles
    chi_square: Doubles
    number: npt.NDArray[np.int64]
    pull: Doubles
    share: Doubles


def weights(values: Doubles, errors: Doubles | None) -> tuple[Doubles, Bools]:
    """Return the weights ``1 / errors**2`` of points, and whether the errors of a row are known, dims ``(...)``.

    A point without an error is left out. All of a row weigh the same where none has one, or one has an error of zero,
    as a frame without counts has: it would outweigh all others, and without it the line would lie too high.

    Examples
    --------
    >>> weights(np.array([3.0, 4.0, np.nan]), np.array([0.5, np.nan, 1.0]))[0]
    array([4., 0., 0.])
    """
    there = np.isfinite(values)
    if errors is None:
        return there.astype(np.float64), np.zeros(there.shape[:-1], dtype=bool)
    sound = there & np.isfinite(errors)
    known = np.asarray(sound.any(axis=-1) & ~(sound & (errors <= 0)).any(axis=-1))
    squares = np.where(sound & (errors > 0), errors, 1.0) ** 2
    return np.where(known[..., None], sound / squares, there), known


def straight(x: Doubles, values: Doubles, weight: Doubles) -> Line:
    """Fit straight lines.

    ``slope = sum w (x - X) y / sum w (x - X)^2``, ``X`` the weighted mean of ``x``; its variance is
    ``1 / sum w (x - X)^2`` where the weights are inverse variances.

    Examples
    --------
    >>> line = straight(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]), np.ones(3))
    >>> float(line.slope), float(line.level)
    (2.0, 3.0)
    """
    y = np.where(weight > 0, values, 0.0)
    total = _positive(weight.sum(axis=-1))
    share = weight / total[..., None]
    away = x - (share * x).sum(axis=-1)[..., None]
    spread = _positive((weight * away**2).sum(axis=-1))
    pull = weight * away / spread[..., None]
    slope, level = (pull * y).sum(axis=-1), (share * y).sum(axis=-1)
    left = y - level[..., None] - slope[..., None] * away
    chi_square = (weight * left**2).sum(axis=-1)
    return Line(slope, level, 1 / spread, 1 / total, chi_square, (weight > 0).sum(axis=-1), pull, share)


def inflation(line: Line, known: Bools) -> Doubles:
    """By what the variances grow: known errors by the scatter about the line that they do not explain (Birge).

    Where errors are not known the scatter alone gives them; NaN then with two points, which have none.
    """
    free = np.where(line.number > 2, line.number - 2.0, np.nan)
    reduced = line.chi_square / free
    return np.where(known, np.fmax(reduced, 1.0), reduced)


def centres(size: int, window: int, order: int) -> npt.NDArray[np.int64]:
    """Return the middle of the window of each point: at the ends that of the first and last whole window.

    A rolling mean (order 0) has each point in its middle, and shrinks at the ends.

    Examples
    --------
    >>> centres(6, 5, 2)
    array([2, 2, 2, 3, 3, 3])
    """
    centre, half = np.arange(size), window // 2
    return np.clip(centre, min(half, size // 2), max(size - 1 - half, (size - 1) // 2)) if order else centre


def windows(column: Doubles, window: int, order: int) -> Doubles:
    """Return the points of the window of each one, dims ``(point, window)``; NaN beyond the ends.

    Examples
    --------
    >>> windows(np.array([1.0, 2.0, 4.0]), 3, 0)[0]
    array([nan,  1.,  2.])
    """
    half = window // 2
    padded = np.pad(np.asarray(column, dtype=np.float64), half, constant_values=np.nan)
    return np.asarray(padded[centres(len(column), window, order)[:, None] + np.arange(window)])


def local_polynomial(
    values: Doubles, offset: Doubles, order: int, *, derivative: int = 0, errors: Doubles | None = None
) -> tuple[Doubles, Doubles]:
    """Value or slope at offset 0 of the polynomials of least squares through windows, and its standard error.

    On even steps this is the filter of Savitzky and Golay [1]_. NaN where the points of a window do not determine the
    polynomial.

    Parameters
    ----------
    values, offset
        Points of the windows and how far they are from where the polynomial is taken; ``(..., window)``.
    order, derivative
        Of the polynomial; 0 for its value, 1 for its slope.
    errors
        Independent standard errors of the points; None: they have none.

    References
    ----------
    .. [1] A. Savitzky and M. J. E. Golay, Anal. Chem. 36, 1627 (1964), doi 10.1021/ac60214a047.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> local_polynomial(3 + 2 * x + x**2, x, 2, derivative=1)[0].round(9)
    np.float64(2.0)
    """
    inside = np.isfinite(offset)
    x = np.where(inside, offset, 0.0)
    scale = np.abs(x).max(axis=-1, initial=0.0)
    scale = np.where(scale > 0, scale, 1.0)
    powers = np.stack([(x / scale[..., None]) ** k for k in range(order + 1)])
    good = np.isfinite(values) & inside
    shared = bool((good == inside).all())  # the same weights for all that share their offsets
    weight = _polynomial_weights(powers, (inside if shared else good).astype(np.float64), derivative)
    weight = weight / scale[..., None] ** derivative
    found = _total(weight * np.where(good, values, 0.0))
    spread = 0.0 * found if errors is None else np.sqrt((np.where(good, weight * errors, 0.0) ** 2).sum(axis=-1))
    return found, spread


def _polynomial_weights(powers: Doubles, good: Doubles, derivative: int) -> Doubles:
    """Weights of the points of each window; NaN where the points do not determine the polynomial."""
    if derivative >= len(powers):
        return np.full(good.shape, np.nan)
    normal = np.stack([np.stack([_total(one * other * good) for other in powers], -1) for one in powers], -1)
    enough = np.linalg.matrix_rank(normal, hermitian=True) == len(powers)
    inverse = np.linalg.pinv(normal, hermitian=True)[..., derivative, :]
    found = sum(inverse[..., k, None] * power for k, power in enumerate(powers)) * good
    return np.where(enough[..., None], found, np.nan)


def _total(terms: Doubles) -> Doubles:
    """Sum over the last axis, to the last bit the same for a point alone and among others (einsum's is not)."""
    return np.asarray(np.ascontiguousarray(terms).sum(axis=-1))


def _positive(total: Doubles) -> Doubles:
    """Return it where it is above zero; NaN elsewhere."""
    return np.where(total > 0, total, np.nan)
