"""What the errors of sums have in common: pixels that count twice, and the flat field's own counting error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from xinsitu.kernels import Doubles, counting

from .regions import Measurements, Region
from .roi_sums import Frames, Sums, factor_of

Weighted = tuple[int, Doubles]
"""The number of a box, ROIs first and then the frames' background, and with which weight (one per frame) its sum enters
a quantity."""


def twice_counted(
    frames: Frames, region: Region, plan: Measurements, *, own: float, under: Doubles, area: Doubles, net: Doubles
) -> Doubles:
    """Return what pixels that lie in two of a quantity's boxes add to its variance; negative where errors cancel.

    A quantity ``X = sum_p c_p S_p`` of the sums of boxes has the variance ``sum_p c_p^2 V_p + 2 sum_pq c_p c_q V_pq``,
    ``V_pq`` that of the pixels in both. The boxes are the ROI (weight ``own``), those of its background (``under``) and
    those of the whole frames' background, by which everything is divided (``- X / sum of these``) or which is
    subtracted from each of the ``area`` pixels. A background from the ROI's own edge looks after itself.
    """
    number = next(number for number, one in enumerate(plan.regions) if one is region)
    boxes: list[Weighted] = [(number, np.full(len(net), own))] if own else []
    boxes += [(other, under) for other in region.background]
    factor = factor_of(frames, plan)
    if plan.steps.boxes is not None and frames.level is not None:
        levels = range(len(plan.regions), len(plan.regions) + len(plan.steps.boxes))
        pixels = np.maximum(frames.level_pixels, 1)
        if plan.steps.mode == "divide":
            level = np.where(frames.level > 0, frames.level, np.nan) * factor
            boxes += [(box, -net / (level * pixels)) for box in levels]
        elif area.any():
            boxes += [(box, -area / pixels) for box in levels]
    return _shared(frames, plan, boxes) * factor**2


def _shared(frames: Frames, plan: Measurements, boxes: Sequence[Weighted]) -> Doubles:
    """Return ``2 sum_pq c_p c_q V_pq`` over all pairs of boxes that overlap."""
    result = np.zeros(len(frames))
    for (one, weight), (other, other_weight) in combinations(boxes, 2):
        sums = frames.overlaps.get((min(one, other), max(one, other)))
        if sums is not None:
            result += 2 * weight * other_weight * _variance_in(*sums, plan)
    return result


def _variance_in(total: Doubles, squares: Doubles, plan: Measurements) -> Doubles:
    """Variance of the sum of filtered pixels, before any background."""
    if not plan.median:
        return total
    return np.asarray(total * counting.sum_variance_factor(counting.weighted_mean(squares, total)))


# -- the flat field ---------------------------------------------------------------------------------------------------


def flat_variance(
    frames: Frames, region: Region, own: Sums, others: Sequence[Sums], plan: Measurements, net: Doubles
) -> Doubles:
    """Relative variance of an intensity from the flat field's own counting; NaN in frames that are not asked.

    A pixel of the flat field that counted ``N f`` is known to ``1 / sqrt(N f)``, and is wrong by the same part in every
    frame: ``sum_i v_i^2 / (N f_i)`` over the ROI, the boxes of its background and those of the whole frames'.
    """
    counts = plan.steps.flat_counts
    if counts is None:
        return np.full(len(net), np.nan)
    factor, pixels = factor_of(frames, plan), own.pixels
    variance = own.numbers["flat"] / counts
    if others:
        share = pixels / np.maximum(np.sum([other.pixels for other in others], axis=0), 1)
        variance = variance + share**2 * sum(other.numbers["flat"] for other in others) / counts
    relative = variance * np.square(factor / net)
    divides = plan.steps.mode == "divide"  # over its own mean the flat field's error is no more in it
    if frames.level is not None and (not plan.steps.needs_mean if divides else not region.under):
        whole = frames.level_flat / counts / np.maximum(frames.level_pixels, 1) ** 2
        share = 1 / frames.level if divides else pixels * factor / net
        relative = relative + whole * share**2
    return np.asarray(relative)
