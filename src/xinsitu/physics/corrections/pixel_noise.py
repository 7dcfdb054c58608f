"""Counting noise of every pixel of corrected frames, and the noise that all pixels of a frame share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles

from .framewise import SCALE, SCALE_VARIANCE, Steps, divisor, filtered, pooled_mean


def why_unknown(steps: Steps, *, filtered_before: bool = False) -> str | None:
    """Say why the noise of single pixels is not known; None where it is.

    Examples
    --------
    >>> import xarray as xr
    >>> from xinsitu.physics.corrections.plan import prepared
    >>> why_unknown(prepared(xr.DataArray(np.ones((1, 3, 3), "int32"), dims=("time", "y", "x")), None).steps)
    """
    if not steps.counts:
        return "the frames do not hold counts"
    if filtered_before or (steps.median is not None and steps.threshold is None):
        return "a median over every pixel lets neighbours share their noise"
    return None


@dataclass(frozen=True)
class PixelNoise:
    """Noise of corrected frames.

    ``variance``: of each pixel, ``(frame, y, x)``, 0 where nothing is known; ``relative`` and ``absolute``: of what all
    pixels of a frame are multiplied by, and of what is subtracted from them, where it ``subtracts``; ``in_level``: how
    much each pixel counts in the frame's background, a mean, which is ``level`` as it is multiplied.
    """

    variance: Doubles
    relative: Doubles
    absolute: Doubles
    in_level: Doubles | None
    level: Doubles
    subtracts: bool

    @classmethod
    def of(
        cls, raw: kernels.Frames, values: Doubles, per_frame: Doubles, steps: Steps, shared: float | None
    ) -> PixelNoise:
        """Take it from raw and corrected frames.

        What was counted in a pixel has its own number as variance: ``var(v) = (c + var(b)) (a / f)^2``, ``c`` counts,
        ``b`` dark and background image, ``f`` the flat field and ``a`` what the frame is multiplied by. The flat
        field's own noise, which is the same in every frame, is left out, as from the errors of ROIs.
        """
        factor, level = np.where(steps.scaled, per_frame[:, SCALE], 1.0), np.zeros(len(raw))
        if steps.boxes is not None:
            level = pooled_mean([filtered(raw, steps, per_frame, box) for box in steps.boxes])
            factor = factor / divisor(level, steps, shared) if steps.mode == "divide" else factor
        each = factor[:, None, None]
        gain = 1.0 if steps.flat is None else steps.flat.astype(np.float64)
        single = values / each + (level[:, None, None] if steps.mode == "subtract" else 0.0)
        whole = slice(None)
        below, below_variance = steps.below(per_frame, whole, whole) or (0.0, 0.0)
        variance = (np.maximum(single * gain + below, 0) + below_variance) / np.square(gain)
        variance = np.where(np.isfinite(variance), variance, 0.0)
        relative, absolute, in_level = per_frame[:, SCALE_VARIANCE].copy(), np.zeros(len(raw)), None
        if steps.boxes is not None:
            in_level = _weights(np.isfinite(single), steps)
            of_level = (variance * np.square(in_level)).sum(axis=(1, 2))
            if steps.mode == "divide":
                relative += of_level / np.square(level)
            else:
                absolute += of_level * np.square(factor)
        return cls(variance * np.square(each), relative, absolute, in_level, level * factor, steps.mode == "subtract")

    def shared_by(self, number: int, values: Doubles, common: Doubles | None, one: Doubles) -> Doubles:
        """Return what noise that all pixels share adds to the variance of means over pixels of one frame.

        ``values``: the means; ``common``: means of each pixel's variance times its part in the frame's background: what
        is in both cancels; ``one``: what the mean of an image of ones is.
        """
        total = np.square(values) * self.relative[number] + np.square(one) * self.absolute[number]
        if common is None:
            return np.asarray(total)
        return np.asarray(total - 2 * common * (one if self.subtracts else values / self.level[number]))


def _weights(known: kernels.Bools, steps: Steps) -> Doubles:
    """Part of each pixel in the mean of the background regions, ``(frame, y, x)``."""
    weights = np.zeros(known.shape)
    for y, x in steps.boxes or ():
        weights[:, slice(*y), slice(*x)] += 1
    weights *= known
    return np.asarray(weights / np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1))
