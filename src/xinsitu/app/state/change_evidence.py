"""What speaks for a change of attenuation: the levels on both sides, the ratio of each ROI, how well they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import chdtrc

from xinsitu.physics.attenuation.factors import common_weights
from xinsitu.physics.attenuation.reports import ChangeReport, change_reports
from xinsitu.values import AttenuationChange
from xinsitu.values.changes import headline

UNLIKELY = 0.01
"""Probability below which ROIs are said to disagree."""


@dataclass(frozen=True)
class Row:
    """One ROI: its level just before and just after, the logarithm of their ratio, and how far that is off.

    ``before`` and ``after`` are ends of the lines through the frames used; ``deviation`` is the difference to what the
    ROIs have in common, which chi-squared is about, in standard errors of this ROI.
    """

    roi: str
    before: float
    after: float
    log_ratio: float
    log_error: float
    deviation: float


@dataclass(frozen=True)
class Evidence:
    """The numbers of one change, for a table and a picture."""

    report: ChangeReport
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, measured: xr.Dataset, change: AttenuationChange) -> Evidence:
        """Collect them from the intensities as measured; factors of single ROIs are those that decided, where known.

        Raises
        ------
        StitchError
            The change cannot be placed on these frames.
        """
        (report,) = change_reports(measured, [change])
        decided = report.change.evidence.get("factors") or {}
        common = _in_common(report.change, decided)
        rows = []
        for number, roi in enumerate(report.rois):
            told = decided.get(roi) or dict(zip(("factor", "factor_errors"), report.factors[roi], strict=True))
            factor, error = float(told["factor"]), float(told["factor_errors"])
            ratio, spread = (math.log(factor), error / factor) if factor > 0 else (math.nan, math.nan)
            off = (ratio - common) / spread if spread > 0 else math.nan
            levels = float(report.line_before[-1, number]), float(report.line_after[0, number])
            rows.append(Row(roi, *levels, ratio, spread, off))
        return cls(report, tuple(rows))

    @property
    def title(self) -> str:
        """Cause, factor and error of the change."""
        return headline(self.report.change)

    def _chance(self) -> tuple[float, int, float]:
        """Chi-squared, degrees of freedom, and how probable as much is; no degrees where ROIs were not compared."""
        known = self.report.change.evidence
        if not known.get("degrees_of_freedom"):
            return math.nan, 0, 1.0
        chi, freedom = float(known["chi_squared"]), int(known["degrees_of_freedom"])
        return chi, freedom, float(chdtrc(freedom, chi))

    @property
    def disagrees(self) -> bool:
        """Whether the ROIs disagree beyond counting."""
        return self._chance()[2] < UNLIKELY

    @property
    def agreement(self) -> str:
        """How well the ROIs agree, in words."""
        chi, freedom, chance = self._chance()
        if not freedom:
            return "one ROI alone decides" if len(self.rows) < 2 else "the ROIs were not compared"
        verdict = "the ROIs agree" if chance >= UNLIKELY else "the ROIs disagree beyond counting"
        return f"χ² = {chi:.3g} for {freedom} degrees of freedom (p = {chance:.2g}): {verdict}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else is known of the change."""
        known = self.report.change.evidence
        used = f"{known.get('method', 'lines')} over {len(self.report.before)} and {len(self.report.after)} frames"
        found = [used]
        if known.get("significance"):
            found.append(f"a step of {float(known['significance']):.3g} standard errors")
        found += [
            str(known[name]) for name in ("record_text", "pause_text", "exposure_text", "box_text") if known.get(name)
        ]
        if self.report.change.note:
            found.append(self.report.change.note)
        return tuple(found)


def _in_common(change: AttenuationChange, decided: Mapping[str, Mapping[str, float]]) -> float:
    """Logarithm of the factor that ROIs have in common, each by itself; the one that scales is that of their sum.

    Where ROIs did not decide it is the one that was given.
    """
    spread = float(change.evidence.get("spread") or 0.0)
    known = [(one["factor"], one["factor_errors"]) for one in decided.values() if one["factor"] > 0]
    if known and all(error > 0 for _, error in known):
        return float(common_weights(known, spread) @ np.log([factor for factor, _ in known]))
    return math.nan if change.factor is None else math.log(change.factor)
