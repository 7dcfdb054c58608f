"""From a step that all ROIs may share to a change of attenuation, with its frames, factor and evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import StitchError
from xinsitu.physics.moments import frame_key, times
from xinsitu.values import AttenuationChange, nanoseconds

from .counts import Counts, settle
from .factors import FactorEstimate
from .levels import adaptive_window, window_factor
from .median_doubt import NEAR, MedianBias
from .records import box_evidence, exposure_evidence, record_evidence
from .transitions import Transition

DUMP = 5
"""More frames than this without beam are a dump or a closed shutter, not an attenuator on its way."""
_WINDOWS = (4, 6, 9, 13, 20, 30)


@dataclass(frozen=True)
class Search:
    """A series, its counts, and how changes are proposed.

    Parameters
    ----------
    sample, counts
        The series as it was given, and its counts brought to one exposure time.
    window
        Frames on each side for the factor; None: as many as the growth allows.
    tolerance
        How far (relative) ROIs may disagree beyond counting.
    bias
        What a median took, where the series says it.
    """

    sample: xr.Dataset
    counts: Counts
    window: int | None
    tolerance: float
    bias: MedianBias | None

    def proposed(self, step: Transition, *, least: float, threshold: float) -> AttenuationChange | None:
        """Make a change of a step; None where it is not common, too small, or not significant enough."""
        counts = self.counts.around(step)
        before, after = settle(counts, step)
        try:
            estimate, window = self.estimate(counts, step, before, after)
        except StitchError:
            return None
        size = abs(np.log(estimate.factor))
        significance = size * estimate.factor / estimate.factor_errors
        if not _is_common(estimate, self.tolerance) or size < least or significance < threshold:
            return None
        if self.bias is not None:
            estimate = self.bias.doubted(estimate, *_sides(counts, step, before, after))
        first, last = int(counts.positions[before]), int(counts.positions[after])
        missing = last - first - (after - before)  # frames without any value have no beam either
        evidence: dict[str, Any] = {
            **estimate.evidence(),
            "window": window,
            "significance": float(significance),
            "frames_without_beam": step.dark + missing,
            **record_evidence(self.sample, first, last, factor=estimate.factor),
            **exposure_evidence(self.sample, first, last),
            **box_evidence(self.sample, first, last),
        }
        axis = times(self.sample)
        return AttenuationChange(
            nanoseconds(axis[first]),
            nanoseconds(axis[last]),
            factor=estimate.factor,
            factor_errors=estimate.factor_errors,
            cause="beam" if step.dark > DUMP else "attenuator",
            before_key=frame_key(self.sample, first),
            after_key=frame_key(self.sample, last),
            evidence=evidence,
        )

    def estimate(self, counts: Counts, step: Transition, before: int, after: int) -> tuple[FactorEstimate, int]:
        """Factor from lines through the frames beside a step, and how many were used on each side."""
        gap = counts.gap(before, after)
        values = np.full_like(counts.values, np.nan)  # no frame beyond the next step is used
        values[step.start : before + 1] = counts.values[step.start : before + 1]
        values[after : step.stop] = counts.values[after : step.stop]
        longest = min(before + 1 - step.start, step.stop - after)
        window, bend = self.window, 0.0
        if window is None:
            possible = [frames for frames in _WINDOWS if frames < longest] + [min(longest, _WINDOWS[-1])]
            window, bend = adaptive_window(values, counts.noise, before, after, windows=possible, gap=gap)
        window = min(window, longest)
        estimate = window_factor(
            values, counts.noise, before, after, counts.rois, window=window, gap=gap, method="lines"
        )
        errors = float(np.hypot(estimate.factor_errors, estimate.factor * bend))
        return replace(estimate, factor_errors=errors), window


def _sides(counts: Counts, step: Transition, before: int, after: int) -> tuple[slice, slice]:
    """Frames of the sample on both sides of a step."""
    first, last = max(step.start, before + 1 - NEAR), min(step.stop, after + NEAR) - 1
    at = counts.positions
    return slice(int(at[first]), int(at[before]) + 1), slice(int(at[after]), int(at[last]) + 1)


def _is_common(estimate: FactorEstimate, tolerance: float) -> bool:
    """Whether all ROIs step alike: within counting and twice the tolerance, and a tenth of a big step."""
    step = np.log(estimate.factor)
    allowed = 2 * tolerance + 0.1 * abs(step)
    return all(abs(np.log(factor) - step) <= 3 * errors / factor + allowed for factor, errors in estimate.rois.values())
