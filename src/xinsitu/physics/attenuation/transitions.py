"""Where all intensities of a sample may step together: candidates, in NumPy alone.

A straight line through the frames up to one place and a straight line through those from another place on are carried
on through the gap between them, in which the attenuator may have been moving. Lines that meet in the gap are a kink;
where they stay apart over all of it, by the same part in all ROIs, is a candidate. The most significant one splits the
series; the two parts are looked at alone, and so on. What the beam does by itself is measured by the same number at all
other places of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter1d

from .broken_lines import relative_steps
from .factors import Floats, exceeds

WINDOWS = (4, 10, 25)
"""Numbers of frames on each side that are tried: short ones see strong steps on curved growth, long ones weak steps."""
MOVING = (0, 1, 2, 3, 4, 6)
"""Frames between two lines that are tried: an attenuator takes them to move."""
LONGEST = 6
"""Frames with beam between two levels, from which it is no attenuator that moves."""
SHORT = 4
"""Up to so many frames between two steps are a level only if they agree with each other."""
_STEADY = 0.01
"""How much (relative) so few frames may differ and still agree; what drifts more may be an attenuator on its way."""
_DRIFTS = 0.1
"""Relative change of frames between two steps of one direction, in the same direction, from which all are one way."""
_KNOWN = 20
"""Frames that a part needs to know its own noise."""
_TYPICAL = 40
"""Places that a part needs to know what the beam does by itself."""
_STEEPEST = 0.5
"""Relative slope per frame that a side of one frame may have."""
FLICKERS = 1.25
"""Scatter of the steps at all places, in units of what is expected, from which the beam is said to be unsteady."""
_PRIOR = 4
"""Frames by which the scatter about a line is mixed with the noise that is expected."""
_ROLL = 61
"""Frames over which the scatter of successive frames is taken."""
_BLOCK = 4000
"""Places that are looked at together, so that long runs of many ROIs fit into memory."""
_SURE_OF_DARK = 20.0
"""Counts that a frame would have to have with beam, all ROIs together, so that none says that there was none."""


@dataclass(frozen=True)
class Transition:
    """A step of all intensities: last frame before, first frame after.

    Levels run over the frames ``start`` to ``before`` and ``after`` to ``stop`` (exclusive). ``strength`` is its
    significance, ``unrest`` how much more than by counting the same number scatters at all places of the run;
    ``unsteady``: it would be one if it were not for that.
    """

    before: int
    after: int
    start: int
    stop: int
    strength: float = 0.0
    unrest: float = 1.0
    unsteady: bool = False


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


def without_beam(values: Floats, errors: Floats) -> npt.NDArray[np.bool_]:
    """Frames in which nothing was counted where the weaker of the levels beside them would be far from nothing.

    A level that is weak but above zero, a thousandth or a millionth of what was before, is a level.

    Parameters
    ----------
    values, errors
        Dims ``(time, roi)``.

    Examples
    --------
    >>> without_beam(np.array([[900.0], [0.0], [100.0], [100.0]]), np.full((4, 1), np.nan))
    array([False,  True, False, False])
    """
    known = np.isfinite(values)
    counted = np.where(np.isfinite(errors) & (errors > 0), errors, np.nan)
    least = np.array([_least(column, level) for column, level in zip(counted.T, values.T, strict=True)])
    above = np.where(known, values, 0.0) / np.fmax(counted, least)
    nothing = known.any(axis=1) & (above.sum(axis=1) < 2 * np.sqrt(known.sum(axis=1))) & (above < 3).all(axis=1)
    if not nothing.any() or nothing.all():
        return np.zeros(len(values), dtype=bool)
    strength = (np.clip(above, 0, None) ** 2).sum(axis=1)  # counts of the frame, all ROIs together
    dark = np.zeros(len(values), dtype=bool)
    edges = np.flatnonzero(np.diff(np.r_[False, nothing, False].astype(int))).reshape(-1, 2)
    shining = np.flatnonzero(~nothing)
    for start, stop in edges:
        at = int(np.searchsorted(shining, start))
        sides = [part for part in (shining[max(0, at - 5) : at], shining[at : at + 5]) if part.size]
        expected = min(float(np.median(strength[part])) for part in sides)
        dark[start:stop] = expected * (1 if len(sides) == 2 else 0.5) > _SURE_OF_DARK
    return dark


# -- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lines:
    """A line through the frames up to each frame: level there, slope per frame, their covariance; dims (time, roi)."""

    level: Floats
    slope: Floats
    level_variance: Floats
    slope_variance: Floats
    covariance: Floats

    def carried(self, frames: npt.NDArray[np.intp], distance: Floats | float) -> tuple[Floats, Floats]:
        """Level so many frames behind, and its variance."""
        variance = self.level_variance[frames] + 2 * distance * self.covariance[frames]
        variance = variance + distance**2 * self.slope_variance[frames]
        return self.level[frames] + distance * self.slope[frames], variance

    def reversed(self) -> _Lines:
        """Return the lines of a series that was turned round, in its own order."""
        return _Lines(*(part[::-1] for part in vars(self).values()))


def lines_up_to(values: Floats, noise: Floats, window: int) -> _Lines:
    """Fit a line to the ``window`` frames up to each frame; at the beginning there are fewer.

    All frames weigh the same. Where they scatter about the line more than their noise, the variances say so.

    Examples
    --------
    >>> lines = lines_up_to(np.arange(6.0)[:, None], np.ones((6, 1)), 4)
    >>> lines.level.ravel()[3:], lines.level_variance.ravel()[3:].round(6)
    (array([3., 4., 5.]), array([0.7, 0.7, 0.7]))
    """
    known = np.isfinite(values)
    seen, spread = np.where(known, values, 0.0), np.where(known, noise**2, 0.0)
    padded = np.zeros((3, len(values) + window - 1, values.shape[1]))
    padded[:, window - 1 :] = known, seen, spread
    x = np.arange(1.0 - window, 1.0)
    seen_from = np.ascontiguousarray(sliding_window_view(padded, window, axis=1))
    sums = seen_from @ np.stack([np.ones(window), x, x**2], axis=1)
    (n, sx, sxx), (sy, sxy, _), (v, xv, xxv) = np.moveaxis(sums, -1, 1)
    det = n * sxx - sx**2
    line = (n >= 2) & (det > 0)
    det, some = np.where(line, det, 1.0), np.where(n > 0, n, np.nan)
    level = np.where(line, (sxx * sy - sx * sxy) / det, sy / some)
    slope = np.where(line, (n * sxy - sx * sy) / det, 0.0)
    level_variance = np.where(line, (sxx**2 * v - 2 * sxx * sx * xv + sx**2 * xxv) / det**2, v / some**2)
    slope_variance = np.where(line, (n**2 * xxv - 2 * n * sx * xv + sx**2 * v) / det**2, (_STEEPEST * level) ** 2)
    covariance = np.where(line, (n * sxx * xv - sx * sxx * v - n * sx * xxv + sx**2 * xv) / det**2, 0.0)
    away = (seen_from[1] - level[..., None] - slope[..., None] * x) * seen_from[0]
    expected = v / some
    scatter = (np.einsum("...w,...w->...", away, away) + _PRIOR * expected) / np.maximum(n - 2 + _PRIOR, 1.0)
    excess = np.maximum(scatter / np.where(expected > 0, expected, np.inf), 1.0)
    return _Lines(level, slope, level_variance * excess, slope_variance * excess, covariance * excess)


@dataclass(frozen=True)
class _Scan:
    """Steps at each place and for each gap that was tried, dims ``(gap, time - 1)``, and what is usual.

    ``strength`` is the significance of the step common to all ROIs, the least over the gap and 0 where the lines meet
    in it; ``plain`` that half way between adjacent frames, dims ``(time - 1)``; ``usual`` its scatter over all places.
    """

    strength: Floats
    plain: Floats


def _scan(values: Floats, noise: Floats, window: int, tolerance: float, least: float) -> _Scan:
    left, right = lines_up_to(values, noise, window), lines_up_to(values[::-1], noise[::-1], window).reversed()
    places = len(values) - 1
    blocks = (slice(first, first + _BLOCK) for first in range(0, places, _BLOCK))
    parts = [_scanned(left, right, block, tolerance, least) for block in blocks]
    return _Scan(*(np.concatenate(one, axis=-1) for one in zip(*parts, strict=True)))


def _scanned(left: _Lines, right: _Lines, places: slice, tolerance: float, least: float) -> tuple[Floats, Floats]:
    """Strength and plain significance at some places, all gaps at once."""
    last = len(left.level) - 1
    at = np.arange(*places.indices(last))
    gaps = np.array(MOVING)[:, None] + 1
    other = np.minimum(at + gaps, last)
    near = (gaps * np.array([0.0, 0.5, 1.0]))[..., None, None]  # dims (gap, end, place, roi)
    steps = _significance(
        left.carried(at, near), right.carried(other[:, None], gaps[..., None, None] - near), tolerance, least
    )
    low, high = steps.min(axis=1), steps.max(axis=1)  # of one sign over the whole gap
    strength = np.where(at + gaps <= last, np.maximum(np.maximum(low, -high), 0.0), 0.0)
    return strength, _significance(left.carried(at, 0.5), right.carried(at + 1, 0.5), tolerance, 0.0)


def _significance(left: tuple[Floats, Floats], right: tuple[Floats, Floats], tolerance: float, least: float) -> Floats:
    """Of the step that all ROIs share, dims (..., place); 0 where it is smaller than the least of interest."""
    step, weight = relative_steps(left[0], right[0], left[1] + right[1], tolerance)
    total = np.maximum(np.einsum("...r->...", weight), 1e-300)
    mean = np.einsum("...r,...r->...", weight, step) / total
    return np.where(np.abs(mean) > least, mean * np.sqrt(total), 0.0)


# -- candidates -------------------------------------------------------------------------------------------------------


def find_transitions(
    values: Floats, errors: Floats, *, threshold: float, least: float, tolerance: float
) -> list[Transition]:
    """Find all steps that ROIs may share, in time order; frames without beam are to be left out before.

    Last comes the strongest of those that an unsteady beam hides, if there are any.

    Parameters
    ----------
    values, errors
        Intensities and standard errors, dims ``(time, roi)``; NaN where they are not known.
    threshold
        In standard deviations of what the run does elsewhere.
    least
        Smallest step of interest, as a natural logarithm.
    tolerance
        Relative disagreement of the ROIs beyond counting.

    Examples
    --------
    >>> values = np.repeat([1000.0, 100.0], 50)[:, None] * [1.0, 2.0]
    >>> step, = find_transitions(values, np.sqrt(values), threshold=5, least=0.1, tolerance=0.03)
    >>> step.before, step.after, step.start, step.stop
    (49, 50, 0, 100)
    """
    found = sorted(_splits(values, errors, threshold, 1 - np.exp(-least), tolerance), key=lambda one: one.before)
    unsteady = [step for step in found if step.unsteady]
    steps = _bounded(_joined(values, errors, [step for step in found if not step.unsteady]), len(values))
    return steps + sorted(unsteady, key=lambda step: -step.strength)[:1]


def _splits(values: Floats, errors: Floats, threshold: float, least: float, tolerance: float) -> Iterator[Transition]:
    """Candidates, the strongest first."""
    todo = [(0, len(values), np.zeros_like(values), 1.0, dict.fromkeys(WINDOWS, 1.0))]
    while todo:
        start, stop, noise, flicker, unrest = todo.pop()
        if stop - start < 2:
            continue
        part = slice(start, stop)
        if stop - start >= min(_KNOWN, len(values)):  # a part knows its own noise, not blurred by what is beyond
            noise = frame_noise(values[part], errors[part])
            flicker = common_mode(values[part], noise)
        scans = {window: _scan(values[part], noise, window, tolerance, least) for window in WINDOWS}
        if stop - start > _TYPICAL:
            unrest = {window: _unrest(scan.plain) for window, scan in scans.items()}
        best = Transition(start, start, start, stop)
        for window, scan in scans.items():
            needed = max(flicker, unrest[window])
            strength = scan.strength / needed - 0.3 * np.array(MOVING)[:, None]
            if window == WINDOWS[0]:
                strength = np.where(_lasts(scans, unrest, stop - start, threshold), strength, 0.0)
            row, place = np.unravel_index(int(strength.argmax()), strength.shape)
            if (highest := float(strength[row, place])) > best.strength:
                before = start + int(place)
                best = Transition(before, before + 1 + MOVING[row], start, stop, highest, needed)
        loudest = max(scans, key=lambda window: float(scans[window].strength.max()))
        seen = scans[loudest].strength
        if best.strength <= threshold < float(seen.max()) and unrest[loudest] > FLICKERS:
            row, place = np.unravel_index(int(seen.argmax()), seen.shape)
            before = start + int(place)
            loud = float(seen.max()) / unrest[loudest]
            yield Transition(before, before + 1 + MOVING[row], start, stop, loud, unrest[loudest], unsteady=True)
        if best.strength > threshold:
            yield best
            cut, go_on = best.before + 1 - start, best.after - start
            todo.append((start, best.before + 1, noise[:cut], flicker, unrest))
            todo.append((best.after, stop, noise[go_on:], flicker, unrest))


def _unrest(plain: Floats) -> float:
    """How much the significance scatters over all places, which it should by 1; a few steps do not count."""
    return max(1.0, 1.4826 * float(np.median(np.abs(plain))))


def _lasts(scans: dict[int, _Scan], unrest: dict[int, float], frames: int, threshold: float) -> npt.NDArray[np.bool_]:
    """Where a step is seen over more frames, too, or has not more frames on a side; dims (time - 1)."""
    window = WINDOWS[1]
    longer = maximum_filter1d(np.abs(scans[window].plain), 2 * WINDOWS[0] + 1) > 0.8 * threshold * unrest[window]
    place = np.arange(frames - 1)
    return np.asarray(longer | (np.minimum(place + 1, frames - 1 - place) < window))


def _joined(values: Floats, errors: Floats, found: list[Transition]) -> list[Transition]:
    """Make one of two steps with a few frames between them that do not agree with each other: they were moving."""
    joined: list[Transition] = []
    for step in found:
        last = joined[-1] if joined else None
        between = slice(0 if last is None else last.after, step.before + 1)
        if last is not None and (_one_way(values, last, step) or not is_level(values[between], errors[between])):
            joined[-1] = replace(last, after=step.after, strength=max(last.strength, step.strength))
        else:
            joined.append(step)
    return joined


def _one_way(values: Floats, one: Transition, other: Transition) -> bool:
    """Whether some frames between two steps of one direction go on in that direction."""
    if other.before - one.after >= 2 * LONGEST:
        return False
    each = values[[one.before, one.after, other.before, other.after]]
    ends = each[:, np.isfinite(each).all(axis=0)].sum(axis=1)  # of the ROIs that are known at all of them
    ways = np.diff(ends) / np.maximum(np.abs(ends[:-1]), 1e-300)
    return bool((np.sign(ways) == np.sign(ways[0])).all() and abs(ways[1]) > _DRIFTS)


def is_level(values: Floats, errors: Floats) -> bool:
    """Whether frames are a level of their own: many, or a few that agree."""
    if len(values) > SHORT:
        return True
    if len(values) < 2:
        return False
    known = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    variance = np.where(known, np.maximum(errors**2, (_STEADY * values) ** 2), 1.0)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / number
    misfit = np.where(known, (values - mean) ** 2 / variance, 0.0).sum()
    freedom = max(1, int(known.sum()) - values.shape[1])
    return bool(misfit < freedom + 4 * np.sqrt(2 * freedom))


def _bounded(found: list[Transition], frames: int) -> list[Transition]:
    """Let levels end at the steps beside them."""
    starts = [0, *(step.after for step in found)]
    stops = [*(step.before + 1 for step in found[1:]), frames]
    return [replace(step, start=start, stop=stop) for step, start, stop in zip(found, starts, stops, strict=False)]
