"""What the raw pixels of a ROI tell: how many are saturated, how high the count rate is, and how sparse the counts."""

from __future__ import annotations

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.physics.corrections.framewise import EXPOSURE

from .regions import Measurements, Region
from .roi_sums import Frames

SAMPLED = 16
"""One frame in so many is asked whether there are enough counts for a median."""
HOT = 20
"""Counts beyond these do not matter when it is asked whether there are enough for a median."""


def saturated(frames: Frames, region: Region, plan: Measurements) -> Doubles:
    """Count raw pixels at or above the detector's cut-off; -1 where nobody can know."""
    raw = frames.raw
    if not plan.counts or plan.cutoff is None:
        return np.full(len(raw), -1.0)
    (top, bottom), (left, right) = region.box
    part = raw[:, top:bottom, left:right]
    if part.max(initial=0) < plan.cutoff:  # not true of NaN
        return np.zeros(len(raw))
    high = part >= plan.cutoff
    bad = plan.steps.bad(part, slice(top, bottom), slice(left, right))
    if bad is not None:
        high = high & ~bad
    return np.asarray(np.count_nonzero(high, axis=(1, 2)), dtype=np.float64)


def count_rate_correction(frames: Frames, region: Region, plan: Measurements) -> Doubles:
    """Return by which part the counts of a ROI's brightest raw pixel are (or were) raised for the dead time.

    ``exp(n tau) - 1`` for the true rate n, which is the counts over the exposure time where the detector has corrected
    them; 0 where no dead time is known, infinite beyond what a detector can count.
    """
    nothing = np.zeros(len(frames.raw))
    if not plan.counts or plan.dead_time is None:
        return nothing
    (top, bottom), (left, right) = region.box
    part = frames.raw[:, top:bottom, left:right]
    bad = plan.steps.bad(part, slice(top, bottom), slice(left, right))
    counts = kernels.in_rows(part if bad is None else np.where(bad, 0, part))
    rate = counts.max(axis=1) / frames.per_frame[:, EXPOSURE]
    known = np.isfinite(rate)
    if not plan.already_counted:
        rate = np.nan_to_num(kernels.true_rate(np.where(known, rate, 0.0), plan.dead_time), nan=np.inf)
    return np.asarray(np.where(known, np.expm1(rate * plan.dead_time), 0.0))


def sparse_counts(frames: Frames, region: Region, plan: Measurements) -> Doubles:
    """Return raw counts per pixel of a ROI that a plain median goes over, hot pixels cut down; NaN if there is none."""
    if not plan.asks_median:
        return np.full(len(frames.raw), np.nan)
    (top, bottom), (left, right) = region.box
    some = slice(None, None, SAMPLED)
    part = np.clip(frames.raw[some, top:bottom, left:right], 0, HOT)
    result = np.full(len(frames.raw), np.nan)
    result[some] = kernels.in_rows(part).mean(axis=1, dtype=np.float64)
    return result
