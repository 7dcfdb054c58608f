"""How much weaker or stronger the beam became: the factor of one change of attenuation, with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import correlate1d

from xinsitu.digits import with_error
from xinsitu.errors import StitchError

Floats = npt.NDArray[np.float64]

_SMOOTH = 9
"""Frames over which the variance of a level is averaged."""
_DOUBT = 3.0
"""Robust scatter that is above 1 by so much, over the root of the number of frames, is more than counting."""
_AGREE = 3.0
"""Of their own errors by which ROIs may disagree, on top of the tolerance."""
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

    @property
    def significance(self) -> float:
        """Logarithm of the factor over its error, without its sign."""
        return float(abs(np.log(self.factor)) * self.factor / self.factor_errors)

    def is_common(self, tolerance: float) -> bool:
        """Whether all ROIs step alike, within the tolerance and three of their errors."""
        step = np.log(self.factor)
        return all(
            abs(np.log(factor) - step) <= _AGREE * errors / factor + tolerance for factor, errors in self.rois.values()
        )

    def is_clear(self, threshold: float, tolerance: float) -> bool:
        """Whether it is as significant as that, and common."""
        return self.significance >= threshold and self.is_common(tolerance)

    def weights(self, rois: Sequence[str]) -> Floats:
        """Part that each of some ROIs has in the common factor; 0 of those without one."""
        return common_weights([self.rois.get(roi, (1.0, np.inf)) for roi in rois], self.spread)

    def of_the_sum(self, alone: FactorEstimate) -> FactorEstimate:
        """Return the factor of the weighted sum of the ROIs, with their scatter."""
        scatter = self.spread * float(np.sqrt((self.weights([*self.rois]) ** 2).sum()))
        errors = float(np.hypot(alone.factor_errors, alone.factor * scatter))
        return replace(self, factor=alone.factor, factor_errors=errors)

    @property
    def disagreement(self) -> str:
        """What each ROI says."""
        told = ", ".join(f"{roi} {with_error(*known)}" for roi, known in self.rois.items())
        return f"the ROIs step differently ({told})"

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


def common_weights(factors: Sequence[tuple[float, float]], spread: float) -> Floats:
    """Part that each of some factors has in the common one.

    Parameters
    ----------
    factors
        With their standard errors; one that is not known has an infinite one.
    spread
        Relative scatter beyond these.

    Examples
    --------
    >>> common_weights([(8.0, 0.1), (8.0, 0.2), (1.0, np.inf)], 0.0).round(6)
    array([0.8, 0.2, 0. ])
    """
    variances = [max(spread**2 + (errors / factor) ** 2, _LEAST_RELATIVE_ERROR**2) for factor, errors in factors]
    weights = 1 / np.array(variances)
    return np.asarray(weights / max(weights.sum(), _LEAST_RELATIVE_ERROR))


def common_factor(
    log_ratios: Floats, variances: Floats, rois: Sequence[str], *, method: str, shared: Floats | None = None
) -> FactorEstimate:
    """One factor from the ROIs: inverse-variance mean of the logarithms of their ratios.

    ROIs with other backgrounds or boxes follow a change to a per cent or so, whatever they count. Where their scatter
    exceeds counting by more than chance, a variance common to all ROIs is added until chi-squared equals its degrees of
    freedom [1]_, so that the brightest ROI does not decide alone; with equal counting errors this is an inflation by
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
    shared
        Standard deviations, with their signs, of what is not known of all ROIs together; dims ``(source, roi)``. More
        ROIs do not make it less.

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
    together = np.zeros((0, usable.sum())) if shared is None else shared[:, usable]
    ratios, own = log_ratios[usable], np.maximum(variances[usable], _LEAST_RELATIVE_ERROR**2)
    variance = own + (together**2).sum(axis=0)
    mean, _ = _weighted(ratios, variance)
    chi_squared, freedom = float(np.sum((ratios - mean) ** 2 / variance)), ratios.size - 1
    extra = _extra_variance(ratios, variance)
    mean, _ = _weighted(ratios, variance + extra)
    weights = 1 / (variance + extra) / (1 / (variance + extra)).sum()
    at_once = np.maximum((weights * together).sum(axis=1) ** 2, (weights**2 * together**2).sum(axis=1)).sum()
    error = float(np.sqrt((weights**2 * (own + extra)).sum() + at_once))
    factor = float(np.exp(mean))
    each = np.exp(ratios)
    names = [str(roi) for roi, used in zip(rois, usable, strict=True) if used]
    return FactorEstimate(
        factor=factor,
        factor_errors=factor * error,
        rois=_named(names, each, variance),
        chi_squared=chi_squared,
        degrees_of_freedom=freedom,
        spread=float(np.sqrt(extra)),
        method=method,
    )


def _named(names: Sequence[str], factors: Floats, variance: Floats) -> dict[str, tuple[float, float]]:
    errors = factors * np.sqrt(variance)
    return {name: (float(f), float(e)) for name, f, e in zip(names, factors, errors, strict=True)}


def _weighted(values: Floats, variance: Floats) -> tuple[float, float]:
    weights = 1.0 / variance
    return float(np.sum(weights * values) / np.sum(weights)), float(np.sqrt(1.0 / np.sum(weights)))


def _extra_variance(values: Floats, variance: Floats) -> float:
    """Variance beyond counting with which chi-squared equals its degrees of freedom; 0 where it is below already."""

    def excess(extra: float) -> float:
        mean, _ = _weighted(values, variance + extra)
        return float(np.sum((values - mean) ** 2 / (variance + extra))) - (values.size - 1)

    chance = np.sqrt(2.0 * (values.size - 1))  # what chi-squared scatters by is no disagreement
    if values.size < 2 or excess(0.0) <= chance:
        return 0.0
    low, high = 0.0, float(np.sum((values - values.mean()) ** 2)) + float(variance.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def level_noise(values: Floats, errors: Floats | None = None) -> Floats:
    """Estimate the standard deviation of the frames of one level from the differences of successive frames.

    Their mean is taken off, so that steady growth is not taken for noise. Known errors are believed unless the frames
    scatter more: then they are all enlarged by the same factor.

    Parameters
    ----------
    values, errors
        Intensities and their standard errors, dims ``(time, roi)``; NaN where they are not known.

    Returns
    -------
    ndarray
        Dims ``(time, roi)``, same units; NaN where there are no errors and fewer than two known frames.

    Examples
    --------
    >>> frames = np.random.default_rng(0).normal(1000.0, 30.0, (2000, 1)) + np.arange(2000.0)[:, None]
    >>> level_noise(frames)[0].round()
    array([30.])
    """
    errors = np.full_like(values, np.nan) if errors is None else errors
    return np.stack([_noise(*columns) for columns in zip(values.T, errors.T, strict=True)], axis=1)


def _noise(values: Floats, errors: Floats) -> Floats:
    known = np.isfinite(errors)
    if not (errors[known] > 0).any():
        return np.full(values.shape, _scatter(values, np.ones_like(values)))
    smooth = usual_error(errors)
    scatter = _scatter(values, smooth)
    return np.asarray(smooth * (scatter if exceeds(scatter, int(np.isfinite(values).sum()) - 1) else 1.0))


def usual_error(errors: Floats) -> Floats:
    """Root of the mean variance of neighbours: in a faint level a frame without counts has error 0, but is not sure."""
    known = np.isfinite(errors)
    mean = np.full(min(_SMOOTH, errors.size), 1 / min(_SMOOTH, errors.size))  # a running sum leaves what is rounded
    variance = correlate1d(np.where(known, errors**2, 0.0), mean, mode="reflect")
    share = correlate1d(known.astype(float), mean, mode="reflect")
    usual = np.sqrt(variance / np.where(share > 0, share, np.nan))
    return np.asarray(np.where(usual > 0, usual, errors[known & (errors > 0)].min()))


def smooth_noise(values: Floats, errors: Floats) -> Floats:
    """Estimate the standard deviation of the frames of a smooth curve, common to all ROIs in what the beam adds.

    As :func:`level_noise`, but from third differences and their median: neither a curved growth nor a few frames that
    are off count as noise. Where all ROIs scatter together more than they would alone, that is added.

    Parameters
    ----------
    values, errors
        Dims ``(time, roi)``.

    Examples
    --------
    >>> frames = 1000 * np.exp(np.arange(300.0) / 100) + np.random.default_rng(0).normal(0.0, 30.0, 300)
    >>> smooth_noise(frames[:, None], np.full((300, 1), np.nan))[0].round(-1)
    array([30.])
    """
    given = np.isfinite(errors) & (errors > 0)
    expected = np.ones_like(values)
    for roi in np.flatnonzero(given.any(axis=0)):
        expected[:, roi] = usual_error(errors[:, roi])
    known = given.any(axis=0)
    if len(values) < 4:
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
        return np.asarray(expected * np.where(known, 1.0, spread))
    each, together = _third_differences(values, expected)
    scale = np.where(known & ~(each > 1 + _DOUBT / np.sqrt(max(1, len(values)))), 1.0, each)
    _, together = _third_differences(values, expected * np.where(scale > 0, scale, 1.0))
    flicker = min(together, np.sqrt(values.shape[1]))
    return np.asarray(expected * scale * (flicker if flicker > 1 + _DOUBT / np.sqrt(max(1, len(values))) else 1.0))


def _third_differences(values: Floats, errors: Floats) -> tuple[Floats, float]:
    """Robust scatter of third differences in units of the errors: of each ROI, and of their sum over that of one."""
    weights = np.array([1.0, 9.0, 9.0, 1.0])
    steps = np.diff(values, n=3, axis=0)
    spread = np.sqrt(sum(weight * errors[k : len(errors) - 3 + k] ** 2 for k, weight in enumerate(weights)))
    away = steps / spread
    known = np.isfinite(away)
    each = 1.4826 * np.array(
        [np.median(np.abs(one[ok])) if ok.any() else np.nan for one, ok in zip(away.T, known.T, strict=True)]
    )
    together = np.where(known, away, 0.0).sum(axis=1) / np.sqrt(np.maximum(known.sum(axis=1), 1))
    return each, float(1.4826 * np.median(np.abs(together)))


def exceeds(scatter: float, steps: int) -> bool:
    """Whether a scatter in units of the errors is above 1 by more than two of its own standard errors."""
    return steps > 0 and scatter > 1 + 2 * np.sqrt(0.75 / steps)  # neighbouring differences share a frame


def _scatter(values: Floats, errors: Floats) -> float:
    """Root mean square of the differences of successive frames, in units of their errors; NaN without any."""
    seen = np.isfinite(values)
    spread = np.hypot(errors[seen][1:], errors[seen][:-1])
    steps = np.diff(values[seen]) / np.where(spread > 0, spread, np.inf)
    if not steps.size:
        return np.nan
    n = steps.size
    if n < 3:
        return float(np.sqrt((steps**2).mean()))
    # the sum of the differences is that of the two ends alone, so taking off their mean costs 1/n, not 1
    return float(np.sqrt(((steps - steps.mean()) ** 2).sum() / (n - 1 / n)))


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


# -- what a median took ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MedianBias:
    """Intensities and by which part a median raised them, dims ``(time, roi)``; NaN where that is not known."""

    intensity: Floats
    bias: Floats
    rois: tuple[str, ...]

    @classmethod
    def read(cls, sample: xr.Dataset, rois: tuple[str, ...]) -> MedianBias | None:
        """Take it from a series; None where it does not say."""
        if "median_bias" not in sample.variables:
            return None
        read = sample[["intensity", "median_bias"]].sel(roi=list(rois)).compute()
        intensity, bias = (read[name].transpose("time", "roi").values for name in ("intensity", "median_bias"))
        return cls(intensity, bias, rois)

    def doubted(self, estimate: FactorEstimate, before: slice, after: slice) -> FactorEstimate:
        """Add to the error of a factor by how much its logarithm changes if nothing is taken.

        Parameters
        ----------
        estimate
            From the intensities as they are.
        before, after
            Frames on the two sides of the change.
        """
        shift = self._log_bias(before) - self._log_bias(after)
        weights = estimate.weights(self.rois)
        known = np.isfinite(shift) & (weights > 0)
        if not known.any():
            return estimate
        doubt = abs(float(np.sum(weights[known] * shift[known]) / weights[known].sum()))
        return replace(estimate, factor_errors=float(np.hypot(estimate.factor_errors, estimate.factor * doubt)))

    def _log_bias(self, frames: slice) -> Floats:
        """Logarithm of the intensities over what was counted, for the sums over frames that say it."""
        intensity, bias = self.intensity[frames], self.bias[frames]
        known = np.isfinite(bias) & np.isfinite(intensity) & (bias > -1)
        filtered = np.where(known, intensity, 0.0).sum(axis=0)
        counted = np.where(known, intensity / np.where(known, 1 + bias, 1.0), 0.0).sum(axis=0)
        usable = (filtered > 0) & (counted > 0)
        return np.where(usable, np.log(np.where(usable, filtered, 1.0) / np.where(usable, counted, 1.0)), np.nan)
