"""How much weaker or stronger the beam became: the factor of one change of attenuation, with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.errors import StitchError

Floats = npt.NDArray[np.float64]

NOISE_FRAMES = 20
"""Frames on each side from which the noise is estimated where there are no errors."""
_LEAST_RELATIVE_ERROR = 1e-9
"""Keeps weights finite on noiseless series."""


@dataclass(frozen=True)
class FactorEstimate:
    """What the later part must be multiplied by, and how the ROIs agree on it.

    Parameters
    ----------
    factor, factor_errors
        Factor common to all ROIs and its standard error, which holds the spread of the ROIs.
    rois
        Factor and standard error (counting only) of each ROI.
    chi_squared, degrees_of_freedom
        Of the ROIs' factors around the common one, counting errors only.
    spread
        Relative scatter of the ROIs beyond counting.
    method
        ``end points``, ``sums``, ``lines``, ``given`` or ``overlap``.
    """

    factor: float
    factor_errors: float
    rois: Mapping[str, tuple[float, float]]
    chi_squared: float
    degrees_of_freedom: int
    spread: float
    method: str

    def evidence(self) -> dict[str, Any]:
        """Return the numbers for the file of changes."""
        return {
            "method": self.method,
            "chi_squared": self.chi_squared,
            "degrees_of_freedom": self.degrees_of_freedom,
            "spread": self.spread,
            "factors": {
                roi: {"factor": factor, "factor_errors": errors} for roi, (factor, errors) in self.rois.items()
            },
        }


def common_factor(log_ratios: Floats, variances: Floats, rois: Sequence[str], *, method: str) -> FactorEstimate:
    """One factor from the ROIs: inverse-variance mean of the logarithms of their ratios.

    ROIs with other backgrounds or boxes follow a change to a per cent or so, whatever they count. Where their scatter
    exceeds counting, a variance common to all ROIs is added until chi-squared equals its degrees of freedom [1]_, so
    that the brightest ROI does not decide alone; with equal counting errors this is the usual inflation by
    sqrt(chi-squared / degrees of freedom).

    Parameters
    ----------
    log_ratios, variances
        Natural logarithm of the level before over the level after, and its variance; dims ``(roi)``. ROIs without a
        finite ratio do not take part.
    rois
        Names of the ROIs.
    method
        How the levels were taken.

    Raises
    ------
    StitchError
        No ROI has a finite ratio.

    References
    ----------
    .. [1] R. C. Paule and J. Mandel, J. Res. Natl. Bur. Stand. 87, 377 (1982), doi 10.6028/jres.087.022.

    Examples
    --------
    >>> estimate = common_factor(np.log([8.0, 12.5]), np.array([0.01, 0.01]), ["WZ", "ZB"], method="end points")
    >>> round(estimate.factor, 6), estimate.degrees_of_freedom
    (10.0, 1)
    """
    usable = np.isfinite(log_ratios) & np.isfinite(variances)
    if not usable.any():
        raise StitchError("no ROI has intensities above zero on both sides")
    ratios, variance = log_ratios[usable], np.maximum(variances[usable], _LEAST_RELATIVE_ERROR**2)
    mean, _ = _weighted(ratios, variance)
    chi_squared, freedom = float(np.sum((ratios - mean) ** 2 / variance)), ratios.size - 1
    extra = _extra_variance(ratios, variance)
    mean, error = _weighted(ratios, variance + extra)
    factor = float(np.exp(mean))
    each = np.exp(ratios)
    names = [str(roi) for roi, used in zip(rois, usable, strict=True) if used]
    return FactorEstimate(
        factor=factor,
        factor_errors=factor * error,
        rois={name: (float(f), float(f * np.sqrt(v))) for name, f, v in zip(names, each, variance, strict=True)},
        chi_squared=chi_squared,
        degrees_of_freedom=freedom,
        spread=float(np.sqrt(extra)),
        method=method,
    )


def _weighted(values: Floats, variance: Floats) -> tuple[float, float]:
    weights = 1.0 / variance
    return float(np.sum(weights * values) / np.sum(weights)), float(np.sqrt(1.0 / np.sum(weights)))


def _extra_variance(values: Floats, variance: Floats) -> float:
    """Variance beyond counting with which chi-squared equals its degrees of freedom; 0 where it is below already."""

    def excess(extra: float) -> float:
        mean, _ = _weighted(values, variance + extra)
        return float(np.sum((values - mean) ** 2 / (variance + extra))) - (values.size - 1)

    if values.size < 2 or excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.sum((values - values.mean()) ** 2)) + float(variance.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def level_noise(values: Floats) -> Floats:
    """Estimate the standard deviation of one frame from the differences of successive frames.

    The median of the differences is taken off first, so that steady growth is not taken for noise, and the scatter
    is their median absolute deviation, so that a jump is not either.

    Parameters
    ----------
    values
        Intensities, dims ``(time, roi)``; NaN is left out.

    Returns
    -------
    ndarray
        Dims ``(roi)``, same units; NaN where fewer than two frames are finite.

    Examples
    --------
    >>> frames = np.random.default_rng(0).normal(1000.0, 30.0, (2000, 1)) + np.arange(2000.0)[:, None]
    >>> level_noise(frames).round()
    array([30.])
    """
    return np.array([_noise(column[np.isfinite(column)]) for column in values.T])


def _noise(values: Floats) -> float:
    steps = np.diff(values)
    if not steps.size:
        return np.nan
    if steps.size < 5:
        return float(np.sqrt(np.mean((steps - (np.median(steps) if steps.size > 2 else 0)) ** 2) / 2))
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def end_points(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Log ratio of the last frame before to the first one after, and its variance.

    ``var ln(a / b) = var a / a^2 + var b / b^2``.

    Parameters
    ----------
    before, after
        Intensities and their standard errors, dims ``(roi)``.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> ratio, variance = end_points((100 * one, 10 * one), (10 * one, one))
    >>> np.exp(ratio).round(6), variance.round(6)
    (array([10.]), array([0.02]))
    """
    (high, high_errors), (low, low_errors) = before, after
    usable = (high > 0) & (low > 0)
    high, low = np.where(usable, high, np.nan), np.where(usable, low, np.nan)
    return np.log(high / low), (high_errors / high) ** 2 + (low_errors / low) ** 2
