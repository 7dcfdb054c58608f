"""Fits of the profiles of all ROIs in one block of frames."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import Plan, block_function
from xinsitu.physics.reduction.frame_statistics import statistics
from xinsitu.physics.reduction.profile_bins import level_variance, net_profile
from xinsitu.physics.reduction.regions import Measurements, alike
from xinsitu.physics.reduction.roi_backgrounds import under
from xinsitu.physics.reduction.roi_sums import factor_of, factor_variance, sums_of
from xinsitu.schema import Quality
from xinsitu.values import OWN_EDGE

from .fit_rows import EXTRA, columns_for, doubtful, fit_rows, flagged, with_shared
from .start_values import Peaks

AXES = ("y", "x")


@dataclass(frozen=True, eq=False)
class FitPlan(Plan):
    """ROIs whose profiles are fitted: the ``signals`` among the regions."""

    measurements: Measurements
    peaks: Peaks
    signals: tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """Profiles of one ROI along one axis in some frames, and what their fits need.

    ``frame`` are their numbers, ``first`` the first pixel, ``variance`` that of bins as parts of sums (behind a median
    neighbours share it), ``per_count`` the variance per unit, ``level`` the variance of the background in all bins
    together, ``factor`` that of what the frame is multiplied by, ``ground`` counts per pixel at the profile's ends.
    """

    frame: kernels.Indices
    first: Doubles
    values: Doubles
    variance: Doubles
    per_count: Doubles
    level: Doubles
    factor: Doubles
    ground: Doubles

    @classmethod
    def joined(cls, parts: list[Rows]) -> Rows:
        """Put those of several runs of frames together."""
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


@block_function
def fit_block(raw: kernels.Frames, per_frame: Doubles, *, plan: FitPlan, shared: float | None = None) -> Doubles:
    """Fits of every profile, ``(frame, profile, column)``; profiles of rows and columns take turns."""
    names, told = plan.peaks.names, plan.measurements
    centres, widths = plan.peaks.places("centre"), plan.peaks.places("fwhm")
    result = np.full((len(raw), len(AXES) * len(plan.signals), columns_for(len(names))), np.nan)
    result[..., -EXTRA:-1], result[..., -1] = 0.0, float(Quality.FIT_FAILED)
    for (place, n_bins), parts in _rows(raw, per_frame, plan, shared).items():
        rows = Rows.joined(parts)
        how: dict[str, Any] = {"peaks": plan.peaks, "weighted": told.counts}
        found = fit_rows(rows.values, np.sqrt(rows.variance), rows.per_count, x=np.arange(float(n_bins)), **how)
        found[:, centres] += rows.first[:, None]
        if told.counts:
            edge = told.regions[plan.signals[place // len(AXES)]].under in OWN_EDGE
            found = with_shared(found, names, rows.level, rows.factor, own_edge=edge)
        if told.counts and told.median:
            found[:, -1] = flagged(found[:, -1], doubtful(found[:, widths].min(axis=1), rows.ground))
        result[rows.frame, place] = found
    return result


def _rows(
    raw: kernels.Frames, per_frame: Doubles, plan: FitPlan, shared: float | None
) -> dict[tuple[int, int], list[Rows]]:
    """Profiles by what they belong to and how long they are, wherever the ROIs are."""
    found: dict[tuple[int, int], list[Rows]] = {}
    told = plan.measurements
    statistic, every = statistics(raw, per_frame, told, shared), np.arange(len(raw))
    for some, here in alike(per_frame, told):
        frames, sums = sums_of(statistic[some], told.layout, per_frame[some], here, shared)
        factor, scale = factor_variance(frames, here), factor_of(frames, here)
        for place, number in enumerate(plan.signals):
            own, region = sums[number], here.regions[number]
            below = under(own, region.under, [sums[other] for other in region.background])
            shared_level = level_variance(frames, region, below, here)
            for axis, first in zip(AXES, region.origin, strict=True):
                net, pixels = net_profile(own, below, axis), getattr(own, f"pixels_{axis}")
                ends = kernels.edge_base(getattr(own, axis)) / np.maximum(kernels.edge_base(pixels), 1)
                rows = Rows(
                    frame=every[some],
                    first=np.broadcast_to(np.asarray(first, dtype=np.float64), len(net)),
                    values=np.where(pixels > 0, net, np.nan),
                    variance=getattr(own, f"variance_{axis}"),
                    per_count=_over(own.variance, own.counted_total),
                    level=shared_level * (pixels**2).mean(axis=1),
                    factor=factor,
                    ground=_over(ends, scale),
                )
                found.setdefault((len(AXES) * place + AXES.index(axis), net.shape[1]), []).append(rows)
    return found


def _over(one: Doubles, other: Doubles) -> Doubles:
    return np.asarray(np.divide(one, other, out=np.zeros(len(one)), where=other > 0))
