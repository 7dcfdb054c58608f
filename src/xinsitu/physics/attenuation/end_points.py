"""Last frame before a change and first one after it; those between are the ones in which the attenuator was moving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from xinsitu.kernels import lines

from .broken_lines import Branch, bent, branch
from .counts import EVEN, Counts
from .factors import FactorEstimate, Floats
from .kinks import KINKED, SHARP
from .transitions import LONGEST, SHORT, Transition

_SHIFT, _LINE = 6, 10
"""Frames by which an end point may move from where it was, and beyond that through which lines are laid."""
_CURVE, _CLEARLY = 8, 5.0
"""Frames that a curve needs, and how much likelier (logarithm) curves must be than lines to move an end point."""
LOCAL = 24
"""Frames on each side whose curves are compared."""
_COST, _OUTSIDE = 12.0, 6.0
"""Chi-squared that a frame must take away to be left out as half way, and how much more where it is brighter than both
sides, or darker: hardly an attenuator on its way."""
_LEAST = 0.02
"""Likelihood of a pair of end points, of the likeliest one, above which it has a say in the error of the factor."""
_SMALL, _TOWARDS = 0.25, 3.0
"""Part of the step up to which frames may lead to the other side along a line, as growth, and how much less likely
(logarithm) that is than along one that leads away from it."""


class Ends(NamedTuple):
    """Last frame before and first one after a step, and how likely other pairs are, of the likeliest one."""

    before: int
    after: int
    others: Mapping[tuple[int, int], float]


def settle(counts: Counts, step: Transition) -> Ends:
    """Last frame before and first one after a step."""
    before, after, others = _smoothest(counts, step, *_on_lines(counts, step))
    return Ends(*_narrowed(counts, step, before, after), others)


def doubted_for_ends(estimates: Sequence[tuple[FactorEstimate, float]]) -> FactorEstimate:
    """Return the first of some estimates, each from other end points, with what these leave open in its error.

    ``var = var_0 + sum w (ln f_i - ln f_0)^2``, over how likely each is.

    Examples
    --------
    >>> from xinsitu.physics.attenuation.factors import common_factor
    >>> one = common_factor(np.log([8.0]), np.array([1e-4]), ["WZ"], method="lines")
    >>> doubted = doubted_for_ends([(one, 0.6), (replace(one, factor=9.0), 0.2)])
    >>> round(doubted.factor, 2), round(doubted.factor_errors, 2)
    (8.0, 0.48)
    """
    first = estimates[0][0]
    away = np.log([one.factor / first.factor for one, _ in estimates])
    doubt = float(np.sqrt(np.average(away**2, weights=[weight for _, weight in estimates])))
    return replace(first, factor_errors=float(np.hypot(first.factor_errors, first.factor * doubt)))


def half_way_cost(frames: int, rois: int) -> float:
    """Logarithm of the likelihood that leaving out frames as half way costs."""
    return frames * (_COST + rois) / 2


def _on_lines(counts: Counts, step: Transition) -> tuple[int, int]:
    """Last frame before and first one after: the pair that lines through the frames on both sides explain best.

    A frame between them costs as much as a frame that lies off its line by more than chance; so frames in which the
    attenuator was moving are left out together, not one by one against a line that still holds the others.
    """
    low = max(step.start, step.before - _SHIFT - _LINE)
    high = min(step.stop, step.after + _SHIFT + _LINE + 1)
    values = counts.values[low:high]
    # a frame is as uncertain as the level that it is to be on: half way up from a weak one it is off by much
    place = np.arange(low, high)
    up_to, on = np.minimum(place, step.before), np.maximum(place, step.after)
    known = np.isfinite(values) & (counts.noise[up_to] > 0) & (counts.noise[on] > 0)
    left, right = (
        _misfit_up_to(values[::turn], _weight(values, counts.noise[at], known)[::turn])[::turn]
        for at, turn in ((up_to, 1), (on, -1))
    )
    befores = np.arange(max(low, step.before - _SHIFT), min(step.after, step.before + _SHIFT + 1)) - low
    afters = np.arange(max(step.before + 1, step.after - _SHIFT), min(high, step.after + _SHIFT + 1)) - low
    between = afters - befores[:, None] - 1
    allowed = (between >= 0) & (between <= max(LONGEST, step.after - step.before - 1))
    freedom = max(1, int(known.sum()) - 4 * values.shape[1])
    bend = max(1.0, float((left[befores[0]] + right[afters[-1]]) / freedom))  # on a curve no frame lies on a line
    cost = (left[befores][:, None] + right[afters]) / bend + (_COST + values.shape[1]) * between
    row, column = np.unravel_index(int(np.where(allowed, cost, np.inf).argmin()), cost.shape)
    return low + int(befores[row]), low + int(afters[column])


def _weight(values: Floats, noise: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    return np.where(known, 1 / np.where(known, noise**2 + (EVEN * values) ** 2, 1.0), 0.0)


def _misfit_up_to(values: Floats, weight: Floats) -> Floats:
    """Chi-squared of lines through all frames up to each one, all ROIs together; dims (time)."""
    up_to = np.tril(np.ones((len(values), len(values))))
    found = lines.straight(np.arange(len(values), dtype=float), values.T[:, None, :], weight.T[:, None, :] * up_to)
    return np.asarray(np.nansum(found.chi_square, axis=0))  # NaN: one frame or none, on which there is a line always


def _smoothest(counts: Counts, step: Transition, before: int, after: int) -> Ends:
    """Last frame before and first one after, where smooth curves on both sides explain another pair much better.

    Straight lines leave out too much of a curve, or of growth that begins or stops near, and too little of a way that
    takes many frames.
    """
    low, high = max(step.start, before + 1 - _SHIFT - LOCAL), min(step.stop, after + _SHIFT + LOCAL)
    first, last = min(before, step.before) - _SHIFT, max(after, step.after) + _SHIFT
    befores = np.arange(max(min(before, low + _CURVE), first), min(after, before + _SHIFT + 1))
    afters = np.arange(max(before + 1, after - _SHIFT), min(max(after + 1, high - _CURVE), last + 1))
    ways = counts, counts.in_logarithms(low, high)  # steep growth is smooth in one of them
    outside = counts.outside(before, after)
    sides, unsure = [], []
    for at, parts, turn in (
        (befores, [slice(low, one + 1) for one in befores], -1),
        (afters, [slice(one, high) for one in afters], 1),
    ):
        smooth = np.max([[one.evidence.sum() for one in curves(way, parts, turn)] for way in ways], axis=0)
        kinked = _with_a_kink(counts, parts, turn)
        inside = (at > before) & (at < after) & ~outside[at]  # where a line may be that of an attenuator on its way
        small = counts.share(at, *((before, after) if turn < 0 else (after, before))) < _SMALL
        doubt = np.where(inside, _TOWARDS, 0.0)
        unsure.append(np.logaddexp(smooth, kinked - doubt))
        sides.append(np.logaddexp(smooth, np.where(inside & ~small, -np.inf, kinked - doubt)))
    between = afters - befores[:, None] - 1
    cost = half_way_cost(1, counts.values.shape[1]) + _OUTSIDE / 2 * outside
    cost = np.r_[0.0, np.cumsum(cost)]
    left_out = cost[afters] - cost[befores[:, None] + 1]
    kept = counts.may_end(befores, before, after)[:, None] & counts.may_end(afters, after, before)
    left_out[(between < 0) | ~kept] = np.inf
    likely, open_to_growth = (left[:, None] + right - left_out for left, right in (sides, unsure))
    weights = np.exp(open_to_growth - open_to_growth.max(initial=-1e300))
    others = {(int(befores[i]), int(afters[j])): float(weights[i, j]) for i, j in np.argwhere(weights > _LEAST)}
    likely[befores == before, afters == after] += _CLEARLY
    row, column = np.unravel_index(int(likely.argmax()), likely.shape)
    return Ends(int(befores[row]), int(afters[column]), others)


def _narrowed(counts: Counts, step: Transition, before: int, after: int) -> tuple[int, int]:
    """Take frames in the gap that agree with a side, or go on with its line, to it: nothing moved in them."""
    ends = before, after
    while after - before > 1 and counts.belongs(ends[0], before, before + 1, ends[1]):
        before += 1
    while after - before > 1 and counts.belongs(ends[1], after, after - 1, ends[0]):
        after -= 1
    # one frame between frames without beam and the other side may be half way, whatever it counts
    before -= before - step.start >= SHORT and counts.cut_off(before - 1, before)
    after += step.stop - after > SHORT and counts.cut_off(after, after + 1)
    return before, after


def curves(counts: Counts, parts: Sequence[slice], turn: int) -> list[Branch]:
    """Fit smooth curves to parts of the frames, all at once; ``turn`` -1 where the last frame is the end."""
    rois = counts.values.shape[1]
    every = branch(*_beside_each_other(counts, parts, turn), single=True)
    return [every.of(slice(number * rois, (number + 1) * rois)) for number in range(len(parts))]


def _with_a_kink(counts: Counts, parts: Sequence[slice], turn: int) -> Floats:
    """Logarithm of the likelihood of lines with a kink, which all ROIs have at the same place; dims ``(part)``."""
    each = bent(*_beside_each_other(counts, parts, turn)).reshape(len(parts), counts.values.shape[1], -1)
    return np.asarray(logsumexp(each.sum(axis=1) + np.log(KINKED / SHARP.size), axis=1))


def _beside_each_other(counts: Counts, parts: Sequence[slice], turn: int) -> Floats:
    """Values and noise of parts of the frames, their ends first; dims ``(2, frame, part and roi)``."""
    rois, longest = counts.values.shape[1], max(part.stop - part.start for part in parts)
    stacked = np.full((2, longest, len(parts), rois), np.nan)
    for number, part in enumerate(parts):
        stacked[0, : part.stop - part.start, number] = counts.values[part][::turn]
        stacked[1, : part.stop - part.start, number] = counts.noise[part][::turn]
    return stacked.reshape(2, longest, -1)
