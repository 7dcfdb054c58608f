"""What the errors of sums have in common: pixels that count twice, and the flat field's own counting error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from xinsitu.kernels import Doubles, counting
from xinsitu.physics.corrections.framewise import NUMBER
from xinsitu.values import Box

from .regions import Measurements, Region
from .roi_sums import Frames, Sums, factor_of, gain_of

ONE_IN = 32
"""One frame in so many is asked: the flat field is the same for all."""
Weighted = tuple[Box, Doubles]
"""A box, and with which weight (one per frame) its sum enters a quantity."""


def twice_counted(
    frames: Frames, region: Region, plan: Measurements, *, own: float, under: Doubles, area: Doubles, net: Doubles
) -> Doubles:
    """Return what pixels that lie in two of a quantity's boxes add to its variance; negative where errors cancel.

    A quantity ``X = sum_p c_p S_p`` of the sums of boxes has the variance ``sum_p c_p^2 V_p + 2 sum_pq c_p c_q V_pq``,
    ``V_pq`` that of the pixels in both. The boxes are the ROI (weight ``own``), those of its background (``under``) and
    those of the whole frames' background, by which everything is divided (``- X / sum of these``) or which is
    subtracted from each of the ``area`` pixels. A background from the ROI's own edge looks after itself.
    """
    boxes: list[Weighted] = [(region.box, np.full(len(net), own))] if own else []
    boxes += [(plan.regions[number].box, under) for number in region.background]
    factor = factor_of(frames, plan)
    if plan.steps.boxes is not None and frames.level is not None:
        pixels = np.maximum(frames.level_pixels, 1)
        if plan.steps.mode == "divide":
            level = np.where(frames.level > 0, frames.level, np.nan) * factor
            boxes += [(box, -net / (level * pixels)) for box in plan.steps.boxes]
        elif area.any():
            boxes += [(box, -area / pixels) for box in plan.steps.boxes]
    return _shared(frames, plan, boxes) * factor**2


def _shared(frames: Frames, plan: Measurements, boxes: Sequence[Weighted]) -> Doubles:
    """Return ``2 sum_pq c_p c_q V_pq`` over all pairs of boxes that overlap."""
    result = np.zeros(len(frames.raw))
    for (one, weight), (other, other_weight) in combinations(boxes, 2):
        both = overlap(one, other)
        if both is not None:
            result += 2 * weight * other_weight * _variance_in(frames, both, plan)
    return result


def overlap(one: Box, other: Box) -> Box | None:
    """Pixels in both of two boxes; None where there are none.

    Examples
    --------
    >>> overlap(((0, 5), (0, 9)), ((3, 8), (2, 4)))
    ((3, 5), (2, 4))
    """
    y, x = ((max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(one, other, strict=True))
    return (y, x) if y[0] < y[1] and x[0] < x[1] else None


def _variance_in(frames: Frames, box: Box, plan: Measurements) -> Doubles:
    """Variance of the sum of a box of filtered frames, before any background."""
    values = frames.filtered(plan.steps, box).astype(np.float64)
    counts = np.where(np.isfinite(values), values, 0.0) * gain_of(plan.steps, box)
    total = counts.sum(axis=(1, 2))
    if not plan.median:
        return np.asarray(total)
    squares = np.einsum("nyx,nyx->n", counts, counts)
    return np.asarray(total * counting.sum_variance_factor(counting.weighted_mean(squares, total)))


# -- the flat field ---------------------------------------------------------------------------------------------------


def flat_variance(
    frames: Frames, region: Region, own: Sums, others: Sequence[Sums], plan: Measurements, net: Doubles
) -> Doubles:
    """Relative variance of an intensity from the flat field's own counting; NaN in frames that are not asked.

    A pixel of the flat field that counted ``N f`` is known to ``1 / sqrt(N f)``, and is wrong by the same part in every
    frame: ``sum_i v_i^2 / (N f_i)`` over the ROI, the boxes of its background and those of the whole frames'.
    """
    result = np.full(len(net), np.nan)
    asked = frames.per_frame[:, NUMBER] % ONE_IN == 0
    if plan.steps.flat_counts is None or not asked.any():
        return result
    some = replace(
        frames,
        raw=frames.raw[asked],
        per_frame=frames.per_frame[asked],
        whole=None if frames.whole is None else frames.whole[asked],
    )
    factor, pixels = factor_of(frames, plan)[asked], own.pixels[asked]
    variance = _flat_variance_in(some, region.box, plan)
    if others:
        share = pixels / np.maximum(np.sum([other.pixels[asked] for other in others], axis=0), 1)
        variance += share**2 * sum(_flat_variance_in(some, plan.regions[n].box, plan) for n in region.background)
    relative = variance * np.square(factor / net[asked])
    divides = plan.steps.mode == "divide"  # over its own mean the flat field's error is no more in it
    if frames.level is not None and (not plan.steps.needs_mean if divides else not region.under):
        number, level = np.maximum(frames.level_pixels[asked], 1), frames.level[asked]
        whole = sum(_flat_variance_in(some, box, plan) for box in plan.steps.boxes or ()) / number**2
        share = 1 / level if divides else pixels * factor / net[asked]
        relative = relative + whole * share**2
    result[asked] = relative
    return result


def _flat_variance_in(frames: Frames, box: Box, plan: Measurements) -> Doubles:
    """Variance of the sum of a box from that of its flat field."""
    values = frames.filtered(plan.steps, box).astype(np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    weight = gain_of(plan.steps, box) / (plan.steps.flat_counts or np.inf)
    return np.asarray(np.einsum("nyx,yx->n", np.square(values), weight))
