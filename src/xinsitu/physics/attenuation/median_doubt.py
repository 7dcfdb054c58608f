"""How far a factor of attenuation is off because a median takes another part of the counts on its other side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from .factors import FactorEstimate, Floats
from .selecting import read_bias

NEAR = 60
"""Frames on each side over which what the median took is averaged."""


@dataclass(frozen=True)
class MedianBias:
    """Intensities and by which part a median raised them, dims ``(time, roi)``; NaN where that is not known."""

    intensity: Floats
    bias: Floats
    rois: tuple[str, ...]

    @classmethod
    def read(cls, sample: xr.Dataset, rois: tuple[str, ...]) -> MedianBias | None:
        """Take it from a series; None where it does not say."""
        found = read_bias(sample, rois)
        return None if found is None else cls(*found, rois)

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
        weights = np.array([self._weight(estimate, roi) for roi in self.rois])
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

    @staticmethod
    def _weight(estimate: FactorEstimate, roi: str) -> float:
        factor, errors = estimate.rois.get(roi, (np.nan, 0.0))
        return float(np.nan_to_num(1 / (estimate.spread**2 + (errors / factor) ** 2))) if errors > 0 else 0.0
