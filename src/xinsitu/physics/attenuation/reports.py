"""The numbers behind one change of attenuation: the frames that were used, the lines through them, the factors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.physics.moments import elapsed_seconds
from xinsitu.schema import require
from xinsitu.values import AttenuationChange

from .exposure import per_second
from .factors import Floats, level_noise
from .given_changes import placed_changes
from .levels import sides
from .selecting import read_intensity, signal_rois

AROUND = 20
"""Frames shown on each side beyond those that were used."""


@dataclass(frozen=True)
class ChangeReport:
    """What a picture of a change shows; positions are on the time axis of the sample.

    Parameters
    ----------
    change
        The change, as it was found, given or applied.
    rois
        Names of the ROIs.
    shown
        Positions around the change, dims ``(frame)``, with their measured ``intensity`` and ``errors``
        ``(frame, roi)``.
    before, after
        Positions of the frames used on each side.
    line_before, line_after
        Values of the lines at these positions, dims ``(frame, roi)``; the mean where a side has fewer than 3 frames.
    factors
        Factor and standard error of each ROI from these lines.
    """

    change: AttenuationChange
    rois: tuple[str, ...]
    shown: npt.NDArray[np.int64]
    intensity: Floats
    errors: Floats
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    line_before: Floats
    line_after: Floats
    factors: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        factor, error = self.change.factor, self.change.factor_errors
        common = "from the end points" if factor is None else f"{factor:.4g}" + (f" ± {error:.2g}" if error else "")
        each = ", ".join(f"{roi} {value:.4g} ± {spread:.2g}" for roi, (value, spread) in self.factors.items())
        return f"{self.change.cause}: factor {common} ({each})"


def change_reports(sample: xr.Dataset, changes: Iterable[AttenuationChange], *, window: int = 10) -> list[ChangeReport]:
    """Collect what a picture of each change shows.

    Parameters
    ----------
    sample
        Dims ``(time, roi)``, corrected or not: the measured intensities are shown.
    changes
        What was found, given or applied.
    window
        Frames on each side, where the change's evidence does not say.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(8) * np.timedelta64(1, "s")
    >>> counts = np.repeat([1000.0, 100.0], 4)[:, None]
    >>> sample = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ"]})
    >>> report, = change_reports(sample, [AttenuationChange(time[3], time[4])], window=3)
    >>> report.before, report.after, report.line_after.ravel()
    (array([1, 2, 3]), array([4, 5, 6]), array([100., 100., 100.]))
    """
    require(sample, dims=("time", "roi"), variables=("intensity",))
    names = {"intensity_measured": "intensity", "intensity_measured_errors": "intensity_errors"}
    kept = {old: new for old, new in names.items() if old in sample}
    measured = sample.drop_vars(list(kept.values()), errors="ignore").rename(kept) if kept else sample
    rois = signal_rois(sample)
    values, errors, _ = read_intensity(per_second(measured), rois)
    seconds = elapsed_seconds(sample)
    usual = float(np.median(np.diff(seconds))) if seconds.size > 1 else 0.0
    reports = []
    for one in placed_changes(sample, changes):
        used = max(1, int(one.change.evidence.get("window", window)))
        steps = float(one.after - one.before)
        gap = max(steps, (seconds[one.after] - seconds[one.before]) / usual) if usual > 0 else steps
        first, last = max(0, one.before + 1 - used - AROUND), min(seconds.size, one.after + used + AROUND)
        near = slice(first, last)
        noise = np.full_like(values, np.nan)
        for part in (slice(first, one.before + 1), slice(one.after, last)):
            noise[part] = level_noise(values[part], errors[part])
        left, right = sides(values, noise, one.before, one.after, used, gap=gap)
        lines = [side.level + side.slope * side.distance[:, None] for side in (left, right)]
        ratio = np.where(
            (left.level > 0) & (right.level > 0), left.level / np.where(right.level > 0, right.level, 1), np.nan
        )
        spread = ratio * np.sqrt(left.variance / left.level**2 + right.variance / right.level**2)
        reports.append(
            ChangeReport(
                one.change,
                rois,
                np.arange(first, last),
                values[near],
                noise[near],
                left.positions,
                right.positions,
                lines[0],
                lines[1],
                {roi: (float(f), float(e)) for roi, f, e in zip(rois, ratio, spread, strict=True)},
            )
        )
    return reports
