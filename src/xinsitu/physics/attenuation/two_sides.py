"""How far the two sides of a change are apart, if growth goes on across it or begins, stops or bends near.

Attenuation does not change what growth does: its relative slope is the same on both sides of the gap, but for a kink
in it. So the slope of one side tells where in the other a kink may be that its own frames do not show. Every curve of
one side is joined to every curve of the other, with and without a kink in the gap, and all are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .broken_lines import PAUSE, Branch
from .factors import Floats
from .kinks import KINKED, SHARP, Curves

_IN_THE_GAP = 2.0
"""How much likelier a kink is in the gap than between two frames beside: filters are changed when something happens."""
_ANYWHERE, _LEFT_OUT = 1 / 12, 1 / 6
"""Variance of its place in the gap, as part of the gap: anywhere; if frames are left out that may be at it, as often at
one of the ends."""
_LEAST = 1e-4
"""Curves of a side that are less likely than this are left out."""
_CARRIED = 0.05
"""Part of its level that a side keeps at least when it is carried on to the middle of the gap."""


@dataclass(frozen=True)
class Ratio:
    """Level before over level after, half way through the gap; dims ``(roi)``.

    Parameters
    ----------
    log_ratios, variances
        Natural logarithm and its variance, that of which each ROI knows by itself; NaN where a level is not above zero.
    shared
        Standard deviations, with their signs, of what is not known of all ROIs at once: which curves, where a kink in
        the gap, and how long growth stopped in a pause. Dims ``(source, roi)``.
    """

    log_ratios: Floats
    variances: Floats
    shared: Floats


def ratio_across(before: Branch, after: Branch, steps: float, gap: float, *, ends: bool = True) -> Ratio:
    """Average the ratio of two sides over all pairs of their curves.

    Parameters
    ----------
    before, after
        The sides.
    steps, gap
        From the last frame before to the first one after: steps of the frames, and frames that would fit in between in
        time. In a pause growth may have gone on all the time or not at all, and its slope says nothing.
    ends
        Frames of the gap may be left out for a kink at one of its ends; otherwise it is anywhere in it.

    Examples
    --------
    >>> from xinsitu.physics.attenuation.broken_lines import branch
    >>> grown, noise = np.arange(40.0, 80.0)[:, None], np.full((20, 1), 1e-3)
    >>> before, after = branch(grown[19::-1], noise), branch(grown[20:] / 8, noise)
    >>> np.exp(ratio_across(before, after, 1.0, 1.0).log_ratios).round(3)
    array([8.])
    """
    paused = gap - steps > PAUSE
    wide = steps if paused else gap
    sides = before.curves.likely(_LEAST), after.curves.likely(_LEAST)
    together = sides[0].together and sides[1].together
    levels = before.at(wide / 2)[0], after.at(wide / 2)[0]
    usable = (levels[0] > 0) & (levels[1] > 0)
    kinks = np.r_[0.0, SHARP**2]
    prior = np.r_[float(not paused), np.full(SHARP.size, (1 if paused else _IN_THE_GAP * KINKED * wide) / SHARP.size)]
    with np.errstate(all="ignore"):  # curves that fall below zero have no logarithm, and are left out
        ratio, own, bend, likely = _joined(*sides, kinks, wide)
    possible = np.isfinite(ratio + likely) & (own > 0)
    likely = np.where(usable[:, None, None, None], np.where(possible, likely, -np.inf), 0.0)
    if together:
        likely = np.broadcast_to(likely.sum(axis=0), likely.shape)
    best = likely.max(axis=(1, 2, 3), keepdims=True)
    chance = np.exp(likely - np.where(np.isfinite(best), best, 0.0)) * prior
    chance *= sides[0].chance[:, :, None, None] * sides[1].chance[:, None, :, None]
    total = chance.sum(axis=(1, 2, 3))
    usable &= total > 0
    chance = np.where(usable[:, None, None, None], chance, 0.0) / np.where(usable, total, 1.0)[:, None, None, None]
    ratio, own, bend = (np.where(chance > 0, one, 0.0) for one in (ratio, own, bend))
    mean, variances = ((chance * one).sum(axis=(1, 2, 3)) for one in (ratio, own))
    place = wide * np.sqrt(_LEFT_OUT if ends and steps > 1 else _ANYWHERE)
    root = np.sqrt(chance)
    shared = _covariance(root * bend * place)
    which = _covariance(root * (ratio - mean[:, None, None, None]))
    if together:
        shared += which
    else:
        variances += np.diagonal(which)
    size, axes = np.linalg.eigh(shared)
    sources = [*(axes * np.sqrt(np.maximum(size, 0.0))).T]
    if paused:
        left, right = (np.where(usable, one, np.inf) for one in levels)
        sources.append((gap - wide) / 2 * (before.slope / left - after.slope / right) / np.sqrt(3))
    return Ratio(np.where(usable, mean, np.nan), np.where(usable, variances, np.nan), np.stack(sources))


def _joined(before: Curves, after: Curves, kinks: Floats, wide: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Join curves whose relative slopes differ by what a kink of some variance does; dims (roi, before, after, kink).

    Logarithm of the ratio, its variance, the change of slope, and the logarithm of the likelihood of the two slopes.
    """
    half = wide / 2
    left = [one[:, :, None, None] for one in _relative(before)]
    right = [one[:, None, :, None] for one in _relative(after)]
    (level, slope, levels, both, slopes, walk), (level_2, slope_2, levels_2, both_2, slopes_2, walk_2) = left, right
    # both slopes are those towards the gap, as part of the levels at its ends: a line that goes on is steeper at one
    usual = (slope / slopes - slope_2 / slopes_2) / (1 / slopes + 1 / slopes_2)
    differ = slope + slope_2 - wide * usual**2
    variance = slopes + slopes_2 + wide * (walk + walk_2) + kinks
    slope, slope_2 = slope - slopes / variance * differ, slope_2 - slopes_2 / variance * differ
    far, far_2 = (np.where(one > _CARRIED, one, np.nan) for one in (1 + half * slope, 1 + half * slope_2))
    ratio = level - level_2 - (both - both_2) / variance * differ + np.log(far) - np.log(far_2)
    on, on_2 = half / far, half / far_2
    told = both + on * slopes - both_2 - on_2 * slopes_2
    own = levels + 2 * on * both + on**2 * slopes + half**3 / 3 * walk / far**2
    own = own + levels_2 + 2 * on_2 * both_2 + on_2**2 * slopes_2 + half**3 / 3 * walk_2 / far_2**2
    likely = -0.5 * (differ**2 / variance + np.log(variance))
    return ratio, own - told**2 / variance, differ * kinks / variance, likely + 0 * ratio


def _relative(curves: Curves) -> tuple[Floats, ...]:
    """Logarithm of the level, slope as part of it, their variances and covariance, and variance of the walk."""
    level = np.where(curves.found[..., 0] > 0, curves.found[..., 0], np.nan)
    slope = curves.found[..., 1] / level
    levels, both, slopes = (curves.covariance[..., i, j] / level**2 for i, j in ((0, 0), (0, 1), (1, 1)))
    return (
        np.log(level),
        slope,
        levels,
        both - slope * levels,
        slopes - 2 * slope * both + slope**2 * levels,
        curves.wander / level**2,
    )


def _covariance(parts: Floats) -> Floats:
    """Of the ROIs with each other, summed over all else."""
    flat = parts.reshape(len(parts), -1)
    return np.asarray(flat @ flat.T)
