"""Many fits at once: a Levenberg-Marquardt that runs on all rows of an array together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pixels import Bools, Doubles
from .shapes import Model
from .sums import Indices

EXACT = 1e-20
"""Part of the sum of squares below which nothing is left to fit."""
MOST_STEPS = 80
MOST_DAMPING = 1e12
CLOSE = 1e-8
"""Size of a step, in standard errors, at which a fit has arrived."""
LEVEL = 1e-12
"""Relative change of a sum of squares that this arithmetic can tell from none."""
LEAST = 1e-3
"""Variance of a point, over the mean of its row, below which it does not fall: no point weighs more."""


@dataclass(frozen=True)
class Fit:
    """What came of the fits of all rows; rows that did not arrive are not ``arrived``."""

    parameters: Doubles
    covariance: Doubles
    chi_square: Doubles
    arrived: Bools
    spread: Doubles
    """Variance that the chi square of a model which fits has: 2 for each point, and ``1 / m`` more for ``m`` counts."""

    def scaled(self, factor: Doubles) -> Fit:
        """Return the fits with the covariance of each row multiplied by a factor."""
        return Fit(self.parameters, self.covariance * factor[:, None, None], self.chi_square, self.arrived, self.spread)

    def through(self, ties: Doubles) -> Fit:
        """Return the fits of parameters that hang on these: ``ties (parameter, fitted)`` times what was fitted."""
        covariance = ties @ self.covariance @ ties.T
        return Fit(self.parameters @ ties.T, covariance, self.chi_square, self.arrived, self.spread)

    def at(self, rows: Bools | Indices) -> Fit:
        """Take some of the fits."""
        numbers = (self.parameters[rows], self.covariance[rows], self.chi_square[rows])
        return Fit(*numbers, self.arrived[rows], self.spread[rows])

    def moved(self, places: Indices) -> Fit:
        """Return the fits with their parameters in another order, ``(row, parameter)``."""
        parameters = np.take_along_axis(self.parameters, places, axis=1)
        covariance = np.take_along_axis(self.covariance, places[:, :, None], axis=1)
        covariance = np.take_along_axis(covariance, places[:, None, :], axis=2)
        return Fit(parameters, covariance, self.chi_square, self.arrived, self.spread)

    def put(self, rows: Bools | Indices, other: Fit) -> None:
        """Put other fits in the place of some rows."""
        self.parameters[rows], self.covariance[rows] = other.parameters, other.covariance
        self.chi_square[rows], self.arrived[rows] = other.chi_square, other.arrived
        self.spread[rows] = other.spread


@dataclass(frozen=True)
class Points:
    """What is fitted, ``(row, point)``; points that do not count have the weight 0.

    ``per_count``, ``(row, 1)``, is the variance that one unit of the curve brings; 0 where variances are what they are.
    ``least`` is the smallest variance of a row.
    """

    values: Doubles
    variance: Doubles
    good: Bools
    per_count: Doubles
    least: Doubles

    @classmethod
    def of(cls, values: Doubles, variance: Doubles, per_count: Doubles | None) -> Points:
        """Leave out points of infinite or unknown variance."""
        each = np.zeros((len(values), 1)) if per_count is None else np.nan_to_num(per_count)[:, None]
        good = np.isfinite(values) & np.isfinite(variance) & ((variance > 0) | (each > 0))
        known = np.where(good, variance, 0.0)
        number = np.maximum(good.sum(axis=1, keepdims=True), 1)
        least = np.maximum(LEAST * known.sum(axis=1, keepdims=True) / number, 1e-300)
        return cls(np.where(good, values, 0.0), known, good, each, least)

    def at(self, rows: Bools | Indices) -> Points:
        """Take some of the rows."""
        return Points(self.values[rows], self.variance[rows], self.good[rows], self.per_count[rows], self.least[rows])

    def weights(self, curve: Doubles) -> tuple[Doubles, Doubles]:
        """Weights of the points, and what is to be made small, ``(row)``.

        Where points are counts their variance is that of the curve, ``V = s + c (m - v)`` for the variance ``s`` of
        what was counted there; the sum of ``2 (s ln(s / V) - s + V) / c^2`` is then least at the highest Poisson
        likelihood (McCullagh & Nelder, Generalized Linear Models, ch. 9), and goes on as a parabola below ``least``.
        """
        away, counts = self.values - curve, self.per_count > 0
        weight, square = 1 / np.where(self.variance > 0, self.variance, 1.0), np.zeros_like(away)
        if counts.any():
            least = self.least
            expected = self.variance - self.per_count * away
            held = np.maximum(expected, least)
            square = 2 * held * _deviance((self.variance - held) / held)
            low = expected < least
            if low.any():
                beyond = (self.variance - expected) ** 2 - (self.variance - least) ** 2
                square = np.where(low, square + beyond / least, square)
            square = np.where(counts, square / self.per_count**2, 0.0)
            weight = np.where(counts, 1 / held, weight)
        if not counts.all():
            square = np.where(counts, square, weight * away**2)
        return np.where(self.good, weight, 0.0), np.where(self.good, square, 0.0).sum(axis=1)


def fit(model: Model, values: Doubles, variance: Doubles, start: Doubles, *, per_count: Doubles | None = None) -> Fit:
    """Least squares of all rows ``(row, point)`` together; points of infinite or unknown variance do not count.

    Levenberg-Marquardt with Marquardt's scaling (J. SIAM 11, 431 (1963)); every row has its own damping, and rests once
    it has arrived. ``per_count (row)``: the points are counts, and weigh with the variance of the fitted curve. Weights
    from the counts themselves would pull a fit down where there happen to be few.
    """
    points = Points.of(values, variance, per_count)
    p, damping, arrived = start.copy(), np.full(len(start), 1e-3), np.zeros(len(start), dtype=bool)
    with np.errstate(all="ignore"):  # a step that leads nowhere is not taken
        current, slopes = model(p)
        weight, misfit = points.weights(current)
        active = np.isfinite(misfit)
        for _ in range(MOST_STEPS):
            rows = np.flatnonzero(active & ~arrived)
            if not rows.size:
                break
            some = points.at(rows)
            step, errors = _step(slopes[rows], weight[rows], some.values - current[rows], damping[rows])
            trial = p[rows] + step
            ahead, ahead_slopes = model(trial)
            ahead_weight, ahead_misfit = some.weights(ahead)
            better = ahead_misfit <= misfit[rows] * (1 + LEVEL)
            scatter = np.sqrt(misfit[rows] / values.shape[1])[:, None]
            small = (np.abs(step) <= CLOSE * (errors * scatter + 1e-3 * np.abs(p[rows]))).all(axis=1)
            arrived[rows] = small & (damping[rows] < 1)  # a damped step is small for another reason
            damping[rows] = np.where(better, damping[rows] * 0.2, damping[rows] * 5)
            active[rows] = damping[rows] < MOST_DAMPING
            taken = rows[better]
            p[taken], misfit[taken], weight[taken] = trial[better], ahead_misfit[better], ahead_weight[better]
            current[taken], slopes[taken] = ahead[better], ahead_slopes[better]
        away = points.values - current
        chi_square = (weight * away**2).sum(axis=1)
        arrived |= chi_square <= EXACT * (weight * points.values**2).sum(axis=1)
        # as near as this arithmetic comes: at a minimum, and not at the edge of what a shape can be
        step, errors = _step(slopes, weight, away, np.zeros(len(p)))
        arrived |= (np.abs(step) <= 1e-3 * errors * np.sqrt(misfit / values.shape[1])[:, None]).all(axis=1)
        covariance = _covariance(slopes, weight)
        spread = np.where(points.good, 2 + points.per_count**2 * weight, 0.0).sum(axis=1)
    return Fit(p, covariance, chi_square, arrived & np.isfinite(covariance).all(axis=(1, 2)), spread)


def tied(model: Model, ties: Doubles) -> Model:
    """Model of fewer parameters, of which those of another one follow: ``ties (parameter, fitted)`` times them."""

    def fewer(p: Doubles) -> tuple[Doubles, Doubles]:
        values, slopes = model(p @ ties.T)
        return values, ties.T @ slopes

    return fewer


def _deviance(r: Doubles) -> Doubles:
    """``(1 + r) ln(1 + r) - r`` for ``r >= -1``, without the digits that the difference loses near 0.

    Examples
    --------
    >>> _deviance(np.array([-1.0, 0.0, 1e-9, 1.0])).round(22).tolist()
    [1.0, 0.0, 5e-19, 0.3862943611198906]
    """
    held = np.maximum(1 + r, 1e-300)
    result = held * np.log(held) - r
    near = np.abs(r) < 0.02
    if near.any():
        small = r[near]
        series = np.zeros_like(small)
        for power in range(8, 1, -1):
            series = small * series + (-1) ** power / (power * (power - 1))
        result[near] = small**2 * series
    return np.asarray(result)


def _normal(slopes: Doubles, weight: Doubles) -> tuple[Doubles, Doubles]:
    """Return the normal matrix with ones on its diagonal, and the scale of each parameter; 0 where nothing tells it."""
    matrix = (slopes * weight[:, None, :]) @ slopes.transpose(0, 2, 1)
    diagonal = np.einsum("naa->na", matrix)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return matrix / scale[:, :, None] / scale[:, None, :], scale


def _step(slopes: Doubles, weight: Doubles, residual: Doubles, damping: Doubles) -> tuple[Doubles, Doubles]:
    """Return damped steps, and the errors that the parameters would have, each with the others held."""
    even, scale = _normal(slopes, weight)
    right = np.einsum("nap,np->na", slopes, weight * residual) / scale
    even = even + np.eye(even.shape[-1]) * (damping[:, None, None] + 1e-14)
    sound = np.isfinite(even).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
    step = np.full(right.shape, np.nan)
    if sound.any():
        step[sound] = np.linalg.solve(even[sound], right[sound][:, :, None])[:, :, 0] / scale[sound]
    return step, 1 / scale


def _covariance(slopes: Doubles, weight: Doubles) -> Doubles:
    """Inverse of the normal matrix; NaN where it has none."""
    even, scale = _normal(slopes, weight)
    result = np.full(even.shape, np.nan)
    sound = np.isfinite(even).all(axis=(1, 2)) & (np.einsum("naa->na", even) > 0).all(axis=1)
    if sound.any():
        sound[sound] = np.linalg.cond(even[sound]) < 1e12
    if sound.any():
        result[sound] = np.linalg.inv(even[sound]) / scale[sound][:, :, None] / scale[sound][:, None, :]
    return result
