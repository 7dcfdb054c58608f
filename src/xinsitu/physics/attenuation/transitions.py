"""Where all intensities of a sample step together: segmentation of counts, in NumPy alone.

At every boundary between two frames, a straight line through the frames before and one through the frames after are
evaluated at the boundary. Growth goes on along the lines; what jumps between them is a step. The relative steps of all
ROIs are averaged, and the most significant boundary splits the series; the two parts are looked at alone, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from .factors import exceeds

Floats = npt.NDArray[np.float64]

WINDOWS = (4, 10, 25)
"""Numbers of frames on each side that are tried: short ones see strong steps on curved growth, long ones weak steps."""
LINE = 4
"""Fewer frames than this give their mean, not a line."""
SHORT = 3
"""Up to so many frames between two steps are not a level but part of one transition."""
_KNOWN = 20
"""Frames that a part needs to know its own noise."""
_NOTHING = 1 / 500
"""A piece with less than this of the weaker level beside it has no beam; attenuators change by a factor of 100."""
_SUMS = ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
"""Powers of x with ones, values and variances."""
_ROLL = 61
"""Frames over which the scatter of successive frames is taken."""


@dataclass(frozen=True)
class Transition:
    """A step of all intensities: last frame before, first frame after, and how many frames in between had no beam."""

    before: int
    after: int
    start: int
    stop: int
    dark: int
    """Levels run over the frames ``start`` to ``before`` and ``after`` to ``stop`` (exclusive)."""


def frame_noise(values: Floats, errors: Floats) -> Floats:
    """Return the standard deviation of every frame: the larger of its error and the scatter around it.

    Without errors (NaN) it is the scatter of successive frames alone, never the square root of the counts.

    Parameters
    ----------
    values, errors
        Intensities and their standard errors, dims ``(time, roi)``.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(1000.0, 30.0, (500, 1))
    >>> float(np.median(frame_noise(values, np.full_like(values, np.nan))).round(-1))
    30.0
    """
    scatter = np.zeros_like(values)
    if len(values) > 2:
        jumps = np.diff(_filled(values), axis=0)
        smooth = 1.4826 / np.sqrt(2) * _rolling_median(np.abs(jumps - _rolling_median(jumps)))
        scatter = smooth[np.r_[0, np.arange(len(jumps))]]
    counted = np.where(np.isfinite(errors) & (errors > 0), errors, np.nan)
    least = np.array([_least(column, level) for column, level in zip(counted.T, values.T, strict=True)])
    return np.asarray(np.maximum(np.maximum(np.nan_to_num(counted, nan=0.0), scatter), least))


def _rolling_median(values: Floats) -> Floats:
    """Medians of ``_ROLL`` rows, taken at every tenth of that; a row has the median of the nearest one."""
    if len(values) <= _ROLL:
        return np.broadcast_to(np.median(values, axis=0), values.shape)
    starts = np.unique(np.r_[np.arange(0, len(values) - _ROLL, _ROLL // 10), len(values) - _ROLL])
    medians = np.median(sliding_window_view(values, _ROLL, axis=0)[starts], axis=-1)
    edges = (starts[1:] + starts[:-1] + _ROLL) / 2
    return np.asarray(medians[np.searchsorted(edges, np.arange(len(values)))])


def _filled(values: Floats) -> Floats:
    """Gaps filled with the value before them, or the first one there is."""
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    last = np.where(last < 0, known.argmax(axis=0), last)
    return np.nan_to_num(np.take_along_axis(values, last, axis=0))


def _least(errors: Floats, values: Floats) -> float:
    """Error of a frame in which nothing was counted: that of the weakest frame."""
    known = errors[np.isfinite(errors)]
    return float(known.min()) if known.size else 1e-6 * float(np.abs(np.nan_to_num(values)).max(initial=0.0)) or 1.0


def common_mode(values: Floats, noise: Floats) -> float:
    """How much the mean of the ROIs scatters more than independent ROIs would; 1 for counting alone.

    A beam that flickers moves all ROIs together, up to the square root of their number.
    """
    if len(values) < 3:
        return 1.0
    spread = np.hypot(noise[1:], noise[:-1])
    steps = np.diff(values, axis=0) / np.where(spread > 0, spread, np.nan)
    known = np.isfinite(steps)
    together = np.where(known, steps, 0.0).sum(axis=1) / np.sqrt(np.maximum(known.sum(axis=1), 1))
    growth = _rolling_median(together[:, None])[:, 0]
    flicker = 1.4826 * float(np.median(np.abs(together - growth)))
    return float(min(flicker, np.sqrt(values.shape[1]))) if exceeds(flicker, len(together)) else 1.0


def edge_levels(values: Floats, noise: Floats, window: int) -> tuple[Floats, Floats]:
    """Level half a frame behind each frame, from a line through the ``window`` frames up to it, and its variance.

    Parameters
    ----------
    values, noise
        Dims ``(time, roi)``.
    window
        Number of frames; at the beginning there are fewer.

    Returns
    -------
    tuple of ndarray
        Dims ``(time, roi)`` each.

    Examples
    --------
    >>> levels, variance = edge_levels(np.arange(6.0)[:, None], np.ones((6, 1)), 4)
    >>> levels.ravel()[3:], variance.ravel()[3:]
    (array([3.5, 4.5, 5.5]), array([1.05, 1.05, 1.05]))
    """
    known = np.isfinite(values)
    seen, spread = np.where(known, values, 0.0), np.where(known, noise**2, 0.0)
    sums = np.zeros((8, *values.shape))  # of 1, x, x^2, y, x y, v, x v, x^2 v; v is the variance of y
    for back in range(min(window, len(values))):
        here, x = slice(back, None), -back - 0.5  # frames behind the edge
        there = slice(0, len(values) - back)
        for row, (power, what) in enumerate(_SUMS):
            sums[row, here] += x**power * (known, seen, spread)[what][there]
    n, sx, sxx, sy, sxy, v, xv, xxv = sums
    det = n * sxx - sx**2
    line = (n >= LINE) & (det > 0)
    det, n = np.where(line, det, 1.0), np.where(n > 0, n, np.nan)
    levels = np.where(line, (sxx * sy - sx * sxy) / det, sy / n)
    return levels, np.where(line, (sxx**2 * v - 2 * sxx * sx * xv + sx**2 * xxv) / det**2, v / n**2)


def common_steps(values: Floats, noise: Floats, window: int, tolerance: float) -> tuple[Floats, Floats]:
    """Relative step at each boundary, common to all ROIs, and its significance; dims ``(time - 1)``.

    ``step = (before - after) / max(before, after)`` lies between -1 and 1, so that levels of zero do no harm. The mean
    over ROIs is weighted by the inverse variance, to which the tolerance (times the step) is added.
    """
    left, left_variance = edge_levels(values, noise, window)
    right, right_variance = (part[::-1] for part in edge_levels(values[::-1], noise[::-1], window))
    left, left_variance, right, right_variance = left[:-1], left_variance[:-1], right[1:], right_variance[1:]
    level = np.fmax(left, right)
    usable = np.isfinite(left + right) & (level > 0)
    level = np.where(usable, level, 1.0)
    step = np.where(usable, np.clip((left - right) / level, -1, 1), 0.0)
    variance = np.where(usable, left_variance + right_variance, 1.0)
    weight = usable / (variance / level**2 + (tolerance * step) ** 2)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    mean = (weight * step).sum(axis=1) / total
    return mean, mean * np.sqrt(total)


def find_transitions(
    values: Floats, errors: Floats, *, threshold: float, least: float, tolerance: float
) -> list[Transition]:
    """Find all steps that most ROIs share, falls to zero bridged over.

    Parameters
    ----------
    values, errors
        Intensities and standard errors, dims ``(time, roi)``; NaN where they are not known.
    threshold
        In standard deviations.
    least
        Smallest step of interest, as a natural logarithm.
    tolerance
        Relative disagreement of the ROIs beyond counting.

    Examples
    --------
    >>> values = np.repeat([1000.0, 0.0, 100.0], [50, 2, 50])[:, None] * [1.0, 2.0]
    >>> find_transitions(values, np.sqrt(values), threshold=5, least=0.1, tolerance=0.03)
    [Transition(before=49, after=52, start=0, stop=102, dark=2)]
    """
    cuts = sorted(_splits(values, errors, threshold, 1 - np.exp(-least), tolerance))
    bounds = [0, *cuts, len(values)]
    pieces = list(pairwise(bounds))
    dark = [_is_dark(values, pieces, number) for number in range(len(pieces))]
    levels = [n for n, (start, stop) in enumerate(pieces) if stop - start > SHORT and not dark[n]]
    steps = []
    for first, second in pairwise(levels):
        lost = sum(pieces[n][1] - pieces[n][0] for n in range(first + 1, second) if dark[n])
        before, after = pieces[first][1] - 1, pieces[second][0]
        if after - before - 1 - lost <= 2 * SHORT:  # a longer way from level to level is no attenuator
            steps.append(Transition(before, after, pieces[first][0], pieces[second][1], lost))
    return steps


def _splits(values: Floats, errors: Floats, threshold: float, least: float, tolerance: float) -> Iterator[int]:
    """First frames behind each significant step, the strongest first."""
    todo = [(0, len(values), np.zeros_like(values), threshold)]
    while todo:
        start, stop, noise, needed = todo.pop()
        if stop - start < 2:
            continue
        if stop - start >= min(
            _KNOWN, len(values)
        ):  # a part knows its own noise; what is beyond the step does not blur it
            noise = frame_noise(values[start:stop], errors[start:stop])
            needed = threshold * common_mode(values[start:stop], noise)
        best, cut = 0.0, 0
        for window in WINDOWS:
            step, significance = common_steps(values[start:stop], noise, window, tolerance)
            strength = np.where(np.abs(step) > least, np.abs(significance), 0.0)
            if (highest := float(strength.max())) > best:
                best, cut = highest, 1 + int(strength.argmax())
        if best > needed:
            yield start + cut
            todo += [(start, start + cut, noise[:cut], needed), (start + cut, stop, noise[cut:], needed)]


def _is_dark(values: Floats, pieces: list[tuple[int, int]], number: int) -> bool:
    """Whether a piece has no beam: every ROI is zero within errors, or next to nothing of the levels beside it."""
    mean, error = _mean(values[slice(*pieces[number])])
    sides = (pieces[:number][::-1], pieces[number + 1 :])
    levels = [next((_mean(values[a:b])[0] for a, b in side if b - a > SHORT), None) for side in sides]
    known = [level for level in levels if level is not None]
    if not known:
        return False
    beside, highest = np.fmin.reduce(known), np.fmax.reduce(known)
    here = np.isfinite(mean)
    return bool(np.all(((mean <= 3 * error) | (mean < _NOTHING * beside))[here] & (mean < highest)[here]))


def _mean(values: Floats) -> tuple[Floats, Floats]:
    """Mean over the known frames and its error, from their scatter; NaN where there are none."""
    known = np.isfinite(values)
    number = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    mean = np.where(known, values, 0.0).sum(axis=0) / number
    return mean, np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)) / number
