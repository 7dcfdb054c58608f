"""Fits of one peak on a straight line to all rows of an array, with start values and a look at what came out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.kernels import Doubles

from .curves import Fit, counted_fit, fit, peak_on_line

PARAMETERS: dict[str, tuple[str, ...]] = {
    "gaussian": ("height", "centre", "fwhm", "level", "slope"),
    "pixel_gaussian": ("height", "centre", "fwhm", "level", "slope"),
    "lorentzian": ("height", "centre", "fwhm", "level", "slope"),
    "pseudo_voigt": ("height", "centre", "fwhm", "level", "slope", "fraction"),
}
"""What is fitted: the peak's height above the line, its centre and full width at half maximum, the level of the line in
the middle and its slope, and the Lorentzian fraction of a pseudo-Voigt."""
SIGNIFICANT = 3.0
"""A peak that is not this many standard errors high is no peak."""


def fit_rows(
    values: npt.NDArray[Any], errors: npt.NDArray[Any], per_count: npt.NDArray[Any], *, x: Doubles, shape: str
) -> Doubles:
    """Parameters, their covariance, chi square and a mark for success, ``(..., column)``."""
    names = PARAMETERS[shape]
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    sigma = np.broadcast_to(errors, values.shape).reshape(rows.shape)
    counted = np.broadcast_to(per_count, values.shape[:-1]).reshape(-1)
    start = _start(rows, x, shape)
    result = _best(rows, sigma, counted, start, x, shape)
    good = _sensible(result, rows, x)
    again = np.flatnonzero(~good)
    if again.size and good.any():  # from the last one before that could be fitted
        before = np.maximum.accumulate(np.where(good, np.arange(len(rows)), -1))
        before = np.where(before < 0, np.flatnonzero(good)[0], before)
        second = _best(rows[again], sigma[again], counted[again], result.parameters[before[again]], x, shape)
        for old, new in zip(
            (result.parameters, result.covariance, result.chi_square, result.arrived),
            (second.parameters, second.covariance, second.chi_square, second.arrived),
            strict=True,
        ):
            old[again] = new
        good = _sensible(result, rows, x)
    packed = np.full((len(rows), len(names) ** 2 + len(names) + 2), np.nan)
    packed[good, : len(names)] = result.parameters[good]
    packed[good, len(names) : -2] = result.covariance[good].reshape(-1, len(names) ** 2)
    packed[good, -2] = result.chi_square[good]
    packed[:, -1] = good
    return packed.reshape(*values.shape[:-1], -1)


def _best(rows: Doubles, sigma: Doubles, counted: Doubles, start: Doubles, x: Doubles, shape: str) -> Fit:
    """Fit with the weights that there are."""
    model = peak_on_line(x, shape)
    if np.isnan(sigma).all():
        even = fit(model, rows, np.ones_like(rows), start)
        scatter = even.chi_square / (np.isfinite(rows).sum(axis=1) - start.shape[1])
        return Fit(even.parameters, even.covariance * scatter[:, None, None], even.chi_square, even.arrived)
    if np.isnan(counted).all():
        return fit(model, rows, sigma**2, start)
    return counted_fit(model, rows, sigma**2, np.nan_to_num(counted), start)


def _start(rows: Doubles, x: Doubles, shape: str) -> Doubles:
    """Start values: line through the ends, highest bin of a smoothed profile, width from the area above the line."""
    n_bins = len(x)
    outer = max(1, n_bins // 10)
    filled = np.where(
        np.isfinite(rows), rows, np.nanmedian(np.where(np.isfinite(rows), rows, 0), axis=1, keepdims=True)
    )
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
    if shape == "pseudo_voigt":
        columns.append(np.full(len(rows), 0.3))
    return np.stack(columns, axis=1)


def _sensible(result: Fit, rows: Doubles, x: Doubles) -> npt.NDArray[np.bool_]:
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
        good = (
            varies & result.arrived & there & (p[:, 0] > SIGNIFICANT * errors[:, 0]) & np.isfinite(errors).all(axis=1)
        )
        if p.shape[1] == 6:
            good &= (p[:, 5] > -0.5) & (p[:, 5] < 1.5)
    return np.asarray(good)
