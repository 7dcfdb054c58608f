"""Many fits at once: peak shapes and a Levenberg-Marquardt that runs on all rows of an array together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xinsitu.kernels import Bools, Doubles

LN2 = np.log(2.0)
EXACT = 1e-20
"""Part of the sum of squares below which nothing is left to fit."""
MOST_STEPS = 80
MOST_DAMPING = 1e12
CLOSE = 1e-7
"""Size of a step, in standard errors, at which a fit has arrived."""

Model = Callable[[Doubles], tuple[Doubles, Doubles]]
"""Of parameters ``(row, k)``: values ``(row, point)`` and derivatives ``(row, point, k)``."""


@dataclass(frozen=True)
class Fit:
    """What came of the fits of all rows; rows that did not arrive are not ``arrived``."""

    parameters: Doubles
    covariance: Doubles
    chi_square: Doubles
    arrived: Bools


# -- shapes: height 1 at the centre, width at half height -------------------------------------------------------------


def gaussian(u: Doubles) -> tuple[Doubles, Doubles]:
    """``exp(-4 ln 2 u^2)`` and its derivative; ``u`` is the distance over the FWHM.

    Examples
    --------
    >>> float(gaussian(np.array([0.5]))[0][0])
    0.5
    """
    value = np.exp(-4 * LN2 * u**2)
    return value, -8 * LN2 * u * value


def lorentzian(u: Doubles) -> tuple[Doubles, Doubles]:
    """``1 / (1 + 4 u^2)`` and its derivative; ``u`` is the distance over the FWHM.

    Examples
    --------
    >>> float(lorentzian(np.array([0.5]))[0][0])
    0.5
    """
    value = 1 / (1 + 4 * u**2)
    return value, -8 * u * value**2


def gaussian_in_pixels(away: Doubles, width: Doubles, half: float) -> tuple[Doubles, Doubles, Doubles]:
    """Mean of a Gaussian over pixels from ``away - half`` to ``away + half``, and its derivatives by both."""
    import scipy.special

    scale = 2 * np.sqrt(LN2) / width
    left, right = scale * (away - half), scale * (away + half)
    low, high = np.exp(-(left**2)), np.exp(-(right**2))
    value = np.sqrt(np.pi) / 2 * (scipy.special.erf(right) - scipy.special.erf(left)) / scale
    by_width = (value - (right * high - left * low) / scale) / width
    return value / (2 * half), (high - low) / (2 * half), by_width / (2 * half)


def peak_on_line(x: Doubles, shape: str) -> Model:
    """Peak on a straight line: ``height * shape((x - centre) / fwhm) + level + slope * (x - middle)``.

    Parameters are height, centre, fwhm, level, slope; for ``pseudo_voigt`` the Lorentzian fraction comes last:
    ``fraction * lorentzian + (1 - fraction) * gaussian`` of one FWHM. ``pixel_gaussian`` is the mean of a Gaussian over
    each bin.
    """
    away = x - 0.5 * (x[0] + x[-1])

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        height, centre, width = p[:, 0:1], p[:, 1:2], p[:, 2:3]
        if shape == "pixel_gaussian":
            value, by_centre, by_width = gaussian_in_pixels(x - centre, width, 0.5 * abs(x[1] - x[0]))
            parts = [value, -height * by_centre, height * by_width, np.ones_like(value)]
            parts.append(np.broadcast_to(away, value.shape))
            return height * value + p[:, 3:4] + p[:, 4:5] * away, np.stack(parts, axis=-1)
        u = (x - centre) / width
        fraction = p[:, 5:6] if shape == "pseudo_voigt" else np.full_like(height, float(shape == "lorentzian"))
        (round_, round_slope), (wide, wide_slope) = gaussian(u), lorentzian(u)
        value = fraction * wide + (1 - fraction) * round_
        slope = fraction * wide_slope + (1 - fraction) * round_slope
        parts = [value, -height * slope / width, -height * slope * u / width, np.ones_like(u)]
        parts.append(np.broadcast_to(away, u.shape))
        if shape == "pseudo_voigt":
            parts.append(height * (wide - round_))
        return height * value + p[:, 3:4] + p[:, 4:5] * away, np.stack(parts, axis=-1)

    return model


def gaussian_2d(y: Doubles, x: Doubles) -> Model:
    """Tilted Gaussian on a constant: height, centre_y, centre_x, fwhm_y, fwhm_x, tilt, level.

    ``height * exp(-4 ln 2 (u^2 - 2 tilt u v + v^2) / (1 - tilt^2)) + level`` with ``u = (y - centre_y) / fwhm_y`` and
    ``v`` likewise in x: ``fwhm_y`` and ``fwhm_x`` are those of the projections, ``tilt`` is their correlation.
    """

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        height, centre_y, centre_x, wide_y, wide_x, tilt, level = (p[:, k : k + 1] for k in range(7))
        u, v, rest = (y - centre_y) / wide_y, (x - centre_x) / wide_x, 1 - tilt**2
        form = (u**2 - 2 * tilt * u * v + v**2) / rest
        value = np.exp(-4 * LN2 * form)
        pull = -4 * LN2 * height * value
        to_u, to_v = pull * 2 * (u - tilt * v) / rest, pull * 2 * (v - tilt * u) / rest
        to_tilt = pull * (2 * tilt * form - 2 * u * v) / rest
        parts = [
            value,
            -to_u / wide_y,
            -to_v / wide_x,
            -to_u * u / wide_y,
            -to_v * v / wide_x,
            to_tilt,
            np.ones_like(u),
        ]
        return height * value + level, np.stack(parts, axis=-1)

    return model


# -- the fit ----------------------------------------------------------------------------------------------------------


def fit(model: Model, values: Doubles, variance: Doubles, start: Doubles) -> Fit:
    """Least squares of all rows ``(row, point)`` together; points of infinite or unknown variance do not count.

    Levenberg-Marquardt with Marquardt's scaling (J. SIAM 11, 431 (1963)); every row has its own damping, and rests once
    it has arrived.
    """
    weight = np.where(
        np.isfinite(values) & np.isfinite(variance) & (variance > 0), 1 / np.where(variance > 0, variance, 1), 0
    )
    values = np.nan_to_num(values)
    p = start.copy()
    damping, arrived = np.full(len(p), 1e-3), np.zeros(len(p), dtype=bool)
    with np.errstate(all="ignore"):  # a step that leads nowhere is not taken
        current, slopes = model(p)
        chi = (weight * (values - current) ** 2).sum(axis=1)
        active = np.isfinite(chi)
        for _ in range(MOST_STEPS):
            rows = np.flatnonzero(active & ~arrived)
            if not rows.size:
                break
            step, errors = _step(slopes[rows], weight[rows], (values[rows] - current[rows]), damping[rows])
            trial = p[rows] + step
            ahead, ahead_slopes = model(trial)
            ahead_chi = (weight[rows] * (values[rows] - ahead) ** 2).sum(axis=1)
            better = ahead_chi <= chi[rows]
            scatter = np.sqrt(chi[rows] / values.shape[1])[:, None]
            small = (np.abs(step) <= CLOSE * (errors * scatter + 1e-3 * np.abs(p[rows]))).all(axis=1)
            level = np.abs(ahead_chi - chi[rows]) <= 1e-12 * chi[rows]  # as far as this arithmetic can tell
            level &= (np.abs(step) <= 1e-4 * errors * scatter).all(axis=1)
            arrived[rows] = (small | level) & (damping[rows] < 1)  # a damped step is small for another reason
            damping[rows] = np.where(better, damping[rows] * 0.2, damping[rows] * 5)
            active[rows] = damping[rows] < MOST_DAMPING
            taken = rows[better]
            p[taken], chi[taken] = trial[better], ahead_chi[better]
            current[taken], slopes[taken] = ahead[better], ahead_slopes[better]
        arrived |= chi <= EXACT * (weight * values**2).sum(axis=1)
        # damped to a standstill: no step makes it better, in this arithmetic
        arrived |= ~active & np.isfinite(chi)
        covariance = _covariance(slopes, weight)
    return Fit(p, covariance, chi, arrived & np.isfinite(covariance).all(axis=(1, 2)))


def _step(slopes: Doubles, weight: Doubles, residual: Doubles, damping: Doubles) -> tuple[Doubles, Doubles]:
    """Return damped steps, and the errors that the parameters would have, each with the others held."""
    normal = np.einsum("npa,np,npb->nab", slopes, weight, slopes, optimize=True)
    right = np.einsum("npa,np->na", slopes, weight * residual)
    diagonal = np.einsum("naa->na", normal).copy()
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    even = normal / scale[:, :, None] / scale[:, None, :]
    even += np.eye(even.shape[-1]) * damping[:, None, None]
    sound = np.isfinite(even).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
    step = np.full(right.shape, np.nan)
    if sound.any():
        step[sound] = np.linalg.solve(even[sound], (right / scale)[sound][:, :, None])[:, :, 0] / scale[sound]
    return step, 1 / scale


def _covariance(slopes: Doubles, weight: Doubles) -> Doubles:
    """Inverse of the normal matrix; NaN where it has none."""
    normal = np.einsum("npa,np,npb->nab", slopes, weight, slopes, optimize=True)
    diagonal = np.einsum("naa->na", normal).copy()
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    even = normal / scale[:, :, None] / scale[:, None, :]
    result = np.full(normal.shape, np.nan)
    sound = np.isfinite(even).all(axis=(1, 2)) & (diagonal > 0).all(axis=1)
    if sound.any():
        sound[sound] = np.linalg.cond(even[sound]) < 1e12
    if sound.any():
        result[sound] = np.linalg.inv(even[sound]) / scale[sound][:, :, None] / scale[sound][:, None, :]
    return result


def counted_fit(
    model: Model, values: Doubles, variance: Doubles, per_count: Doubles, start: Doubles, *, rounds: int = 5
) -> Fit:
    """Fit counts: the variance of a point is that of the fitted curve, not of what happened to be counted there.

    Weights from the counts themselves pull a fit down where there are few; with those of the curve, taken anew in each
    round, the fit is that of the highest Poisson likelihood. ``per_count`` is the variance per unit of the curve.
    """
    smooth = np.maximum(variance.mean(axis=1, keepdims=True), 1e-300)
    result = fit(model, values, np.broadcast_to(smooth, variance.shape), start)
    floor = 1e-3 * smooth
    for _ in range(rounds):
        with np.errstate(all="ignore"):
            curve, _ = model(result.parameters)
        expected = np.maximum(variance + (curve - np.nan_to_num(values)) * per_count[:, None], floor)
        sound = np.isfinite(expected).all(axis=1)
        begin = np.where(sound[:, None], result.parameters, start)
        before = result.parameters
        result = fit(model, values, np.where(sound[:, None], expected, smooth), begin)
        if np.allclose(result.parameters, before, rtol=1e-9, atol=1e-12, equal_nan=True):
            break
    return result
