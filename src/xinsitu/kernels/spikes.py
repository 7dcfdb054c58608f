"""Points of series that stand out from those around them, though the series goes on behind them as before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .pixels import Bools, Doubles

Beyond = tuple[Doubles, Doubles, Doubles]
"""How far points lie above and below others, and the range of those."""
LONGEST = 2
"""Points in a row that may stand out together: more of them are a level of their own, or a narrow maximum."""
SIDE, LEAST_SIDE = 3, 2
"""Points on each side that they are held against, and how many of these must be known."""
BEYOND = 3.0
"""They lie beyond all of those by so many times the range of those: no step, kink, maximum or oscillation does."""
CERTAIN = 6.0
"""... and by so many standard deviations of the noise around."""
USUAL, RARE = 0.95, 12.0
"""... and by so many times what this part of all points stays below: noise with long tails has its own measure."""
AROUND = 30
"""Points on each side from which the noise is taken; the noisier side counts."""
SHARED, MOST = 3.0, 0.75
"""Standard deviations that so many of the series (two at least) must lie beyond where all stand out together."""
AT_ONCE = 4096
"""Points that are looked at together with those around them, so that memory is bounded in long series."""
FEWEST = 20
"""Series of fewer points do not know what is usual."""


def outliers(values: Doubles, errors: Doubles) -> Bools:
    """Return which points of series stand out, dims ``(time, series)``: alone, or all series in one frame.

    A run of up to two points stands out if all of it lies on one side of the straight line through three points on each
    side, beyond every one of these by more than three times their range about the line, six standard deviations of the
    noise (the larger of the errors and of the scatter of successive points on the noisier side) and twelve times what
    95 % of the points of the series stay below. A step, an onset, an oscillation and a maximum that is wider than two
    points have neighbours on the way, so that their range is as large as what could stand out. The same is asked of the
    weighted mean of all series, to which three quarters of them must contribute.

    Parameters
    ----------
    values, errors
        Dims ``(time, series)``; NaN where they are not known.

    Examples
    --------
    >>> level = np.random.default_rng(0).normal(1000.0, 30.0, (200, 1))
    >>> level[70] = 200.0
    >>> np.flatnonzero(outliers(level, np.full_like(level, np.nan)))
    array([70])
    """
    found = np.zeros(values.shape, dtype=bool)
    if len(values) < FEWEST:
        return found
    values = np.where(np.isfinite(values), values, np.nan)
    noise = _noise(values, errors)
    beyond = {length: _beyond(values, noise, length) for length in range(1, LONGEST + 1)}
    for length, far in beyond.items():
        found |= _runs(_stands_out(far), length)
    return found | _together(values, noise, beyond)[:, None]


def _together(values: Doubles, noise: Doubles, beyond: Mapping[int, Beyond]) -> Bools:
    """Where the mean of all series stands out and most of them do their part, dims ``(time)``.

    ``beyond``: what :func:`_beyond` says of each of them, by the length of the runs.
    """
    found = np.zeros(len(values), dtype=bool)
    known = np.isfinite(values) & np.isfinite(noise)
    columns = np.flatnonzero(known.sum(axis=0) >= FEWEST)
    level, spread = (np.nanmedian(np.where(known, part, np.nan)[:, columns], axis=0) for part in (values, noise))
    columns, level, spread = columns[level > 0], level[level > 0], spread[level > 0]
    if len(columns) < 2:
        return found
    weight = (level / spread) ** 2 / np.sum((level / spread) ** 2)
    mean = (values[:, columns] / level) @ weight
    error = np.sqrt((noise[:, columns] / level) ** 2 @ weight**2)
    of_mean = _noise(mean[:, None], error[:, None])
    for length, (above, below, _) in beyond.items():
        starts = _stands_out(_beyond(mean[:, None], of_mean, length))[:, 0]
        doing = np.maximum(*(np.count_nonzero(side[:, columns] > SHARED, axis=1) for side in (above, below)))
        found |= _runs((starts & (doing >= max(2.0, MOST * len(columns))))[:, None], length)[:, 0]
    return found


def _noise(values: Doubles, errors: Doubles) -> Doubles:
    """Return the standard deviation of each point: the larger of its error and the scatter of points around.

    NaN where there is no error and half of the points are like the one before: such a series does not show its noise.
    """
    steps = np.abs(np.diff(values, axis=0, prepend=np.nan))
    padded = np.pad(steps, ((AROUND, AROUND), (0, 0)), constant_values=np.nan)
    windows = sliding_window_view(padded, AROUND, axis=0)
    usual = np.concatenate([_median(windows[some]) for some in _parts(len(windows))]) * (1.4826 / np.sqrt(2))
    scatter = np.fmax(usual[1 : len(values) + 1], usual[AROUND + 1 : AROUND + 1 + len(values)])
    scatter = np.where(scatter > 0, scatter, np.nan)
    return np.asarray(np.fmax(scatter, np.where(errors > 0, errors, np.nan)))


def _median(windows: Doubles) -> Doubles:
    """Median of the last axis without NaN; NaN where there is nothing else."""
    ordered = np.sort(windows, axis=-1)  # NaN come last
    number = np.count_nonzero(np.isfinite(windows), axis=-1)
    middle = np.stack([np.maximum(number - 1, 0) // 2, number // 2], axis=-1)
    middle = np.minimum(middle, windows.shape[-1] - 1)
    return np.asarray(np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1))


def _beyond(values: Doubles, noise: Doubles, length: int) -> Beyond:
    """How far runs that begin at each point lie above and below all points beside them, and the range of those.

    In standard deviations of the noise; NaN where too little is known.
    """
    padded = np.pad(values, ((SIDE, SIDE + length - 1), (0, 0)), constant_values=np.nan)
    loudest = np.pad(noise, ((0, length - 1), (0, 0)), constant_values=0.0)
    parts = []
    for some in _parts(len(values)):
        behind = min(some.stop, len(values))
        points = [padded[some.start + away : behind + away] for away in range(2 * SIDE + length)]
        noisy = np.max([loudest[some.start + away : behind + away] for away in range(length)], axis=0)
        parts.append(_beyond_beside(points, noisy))
    above, below, width = (np.concatenate(one) for one in zip(*parts, strict=True))
    return above, below, width


def _parts(number: int) -> list[slice]:
    return [slice(first, first + AT_ONCE) for first in range(0, number, AT_ONCE)]


def _beyond_beside(points: Sequence[Doubles], loudest: Doubles) -> Beyond:
    """Compare the middle of windows with the straight line through their sides; ``points``: the first of each, ..."""
    x = np.arange(len(points)) - (len(points) - 1) / 2
    beside = [*range(SIDE), *range(len(points) - SIDE, len(points))]
    known = {at: np.isfinite(points[at]) for at in beside}
    filled = {at: np.where(known[at], points[at], 0.0) for at in beside}
    before, behind = (sum(known[at].astype(np.intp) for at in side) for side in (beside[:SIDE], beside[SIDE:]))
    enough = (before >= LEAST_SIDE) & (behind >= LEAST_SIDE)
    n = np.maximum(before + behind, 1)
    middle_x, middle_y = sum(known[at] * x[at] for at in beside) / n, sum(filled.values()) / n
    away = {at: np.where(known[at], x[at] - middle_x, 0.0) for at in beside}
    square = sum(one**2 for one in away.values())
    slope = sum(away[at] * filled[at] for at in beside) / np.where(square > 0, square, 1.0)
    left = [point - middle_y - slope * (place - middle_x) for point, place in zip(points, x, strict=True)]
    top = np.max([np.where(known[at], left[at], -np.inf) for at in beside], axis=0)
    low = np.min([np.where(known[at], left[at], np.inf) for at in beside], axis=0)
    inside = left[SIDE : len(points) - SIDE]
    enough &= np.isfinite(inside).all(axis=0)
    scale = np.where(enough & (loudest > 0), loudest, np.nan)
    with np.errstate(invalid="ignore"):
        return (np.min(inside, axis=0) - top) / scale, (low - np.max(inside, axis=0)) / scale, (top - low) / scale


def _stands_out(beyond: Beyond) -> Bools:
    """Which runs stand out, on either side."""
    above, below, width = beyond
    found = np.zeros(width.shape, dtype=bool)
    for side in (above, below):
        rises = np.where(np.isfinite(side), np.maximum(side, 0.0), 0.0)
        usual = np.quantile(rises, USUAL, axis=0)
        found |= (rises > np.maximum(CERTAIN, RARE * usual)) & (
            rises > BEYOND * np.where(np.isfinite(width), width, np.inf)
        )
    return found


def _runs(starts: Bools, length: int) -> Bools:
    """All points of runs that begin at some points."""
    found = starts.copy()
    for later in range(1, length):
        found[later:] |= starts[:-later]
    return found
