"""The rhythm of frames: stamps that contradict it, and times finer than the stamps where all agree with a period.

A segment is the longest run of frames with one start ``t0`` such that

    stamp_i <= t0 + P (n_i - n_0) < stamp_i + resolution

for each of its frames. The intersection of these intervals holds the true start, so its half width is a guaranteed
bound, not an estimate. Pauses and missing numbers begin new segments; any other new segment means that the period is
wrong, and it is refused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from xinsitu.errors import TimeError

BESIDE, FEWEST = 10, 4
"""Frames on each side whose stamps tell the rhythm, fewer beside a pause, and how many it takes."""
CLEAR, COARSE, PART = 5.0, 1.5, 0.1
"""A clock was set back by at least so many times the scatter of the steps, the resolution, and the time of a frame."""


class Segments(NamedTuple):
    """Times by the period, and half the width of the interval that holds each true time, both in microseconds."""

    times: npt.NDArray[np.int64]
    uncertainty: npt.NDArray[np.float64]
    parts: int


def by_period(
    stamps: npt.NDArray[np.int64],
    number: npt.NDArray[np.int64],
    breaks: npt.NDArray[np.bool_],
    *,
    period: float,
    resolution: float,
) -> Segments:
    """Place frames at a steady period.

    Parameters
    ----------
    stamps
        Microseconds, cut (not rounded) to the resolution.
    number
        Frame numbers.
    breaks
        Frames that begin anew, as the first of another scan.
    period, resolution
        Microseconds.

    Raises
    ------
    TimeError
        The period is not positive, or contradicts the stamps.

    Examples
    --------
    >>> true = 250_000 * np.arange(12)
    >>> stamps = true // 1_000_000 * 1_000_000
    >>> found = by_period(stamps, np.arange(12), np.zeros(12, bool), period=250e3, resolution=1e6)
    >>> int(np.abs(found.times - true).max()), float(found.uncertainty[0]), found.parts
    (125000, 125000.0, 1)
    """
    if not period > 0:
        raise TimeError("a period of the frames is needed and the headers give none; give period= in seconds")
    allowed = _visible(stamps, number, breaks, period, resolution)
    times = np.empty(len(stamps), dtype="int64")
    uncertainty = np.empty(len(stamps), dtype="float64")
    start, count = 0, 0
    while start < len(stamps):
        stop, low, high = _longest(stamps, number, breaks, start, period, resolution)
        steps = period * (number[start:stop] - number[start])
        times[start:stop] = stamps[start] + np.rint((low + high) / 2 + steps).astype("int64")
        uncertainty[start:stop] = (high - low) / 2
        start, count = stop, count + 1
    if count > allowed:
        raise TimeError(
            f"a period of {period / 1e6:g} s contradicts the stamps: they fall into {count} steady parts, "
            f"but only {allowed - 1} pauses or missing numbers are there; give the right period="
        )
    return Segments(times, uncertainty, count)


def _visible(
    stamps: npt.NDArray[np.int64],
    number: npt.NDArray[np.int64],
    breaks: npt.NDArray[np.bool_],
    period: float,
    resolution: float,
) -> int:
    """Most parts that pauses, missing numbers and new scans can explain."""
    steps = np.diff(number)
    paused = np.diff(stamps) > period * steps + resolution
    return 1 + int((paused | (steps != 1) | breaks[1:]).sum())


def _longest(
    stamps: npt.NDArray[np.int64],
    number: npt.NDArray[np.int64],
    breaks: npt.NDArray[np.bool_],
    start: int,
    period: float,
    resolution: float,
) -> tuple[int, float, float]:
    """Where the longest steady run from here stops, and the bounds of its start relative to its first stamp."""
    behind = np.flatnonzero(breaks[start + 1 :])
    end = start + 1 + int(behind[0]) if len(behind) else len(stamps)
    lower = (stamps[start:end] - stamps[start]) - period * (number[start:end] - number[start])
    low = np.maximum.accumulate(lower)
    high = np.minimum.accumulate(lower + resolution)
    empty = np.flatnonzero(low >= high)
    length = int(empty[0]) if len(empty) else end - start
    return start + length, float(low[length - 1]), float(high[length - 1])


def behind_rhythm(
    stamps: npt.NDArray[np.int64], number: npt.NDArray[np.int64], breaks: npt.NDArray[np.bool_], *, resolution: float
) -> list[tuple[int, float]]:
    """Find where a clock was set back by less than the time from frame to frame, and by how many microseconds.

    A step is too short for the rhythm, and the frames behind it stay earlier than all before it were; a frame that was
    stamped late, and those that catch up with it, do not. The faster rhythm of the two sides decides.

    Examples
    --------
    >>> stamps = 10_000_000 * np.arange(16) - 4_000_000 * (np.arange(16) > 7)
    >>> behind_rhythm(stamps, np.arange(16), np.zeros(16, bool), resolution=1e6)
    [(8, 4000000.0)]
    """
    if len(stamps) < 2 * FEWEST:
        return []
    steps, frames = np.diff(stamps).astype(np.float64), np.maximum(np.diff(number), 1)
    around = sliding_window_view(np.pad(steps / frames, 4, mode="edge"), 9)
    usual = np.median(around, axis=1)  # scipy.ndimage has it, too, and takes longer to import than all of the rest
    low, high = np.quantile(steps / frames - usual, [0.16, 0.84])
    scatter = max((high - low) ** 2 - resolution**2, 0.0) ** 0.5 / 2
    margin = np.maximum(COARSE * resolution + CLEAR * scatter, PART * usual)
    paused = steps > 1.5 * np.minimum(usual, np.median(usual)) * frames + 2 * resolution
    parts = np.concatenate(([0], np.flatnonzero(paused | breaks[1:]) + 1, [len(stamps)]))
    found = []
    for first in np.flatnonzero(usual * frames - steps > margin) + 1:
        part = np.searchsorted(parts, first, "right")
        sides = slice(max(first - BESIDE, parts[part - 1]), first), slice(first, min(first + BESIDE, parts[part]))
        if min(side.stop - side.start for side in sides) < FEWEST:
            continue
        pace = min(float(np.ptp(stamps[side]) / frames[side.start : side.stop - 1].sum()) for side in sides)
        before, behind = (stamps[side] - stamps[first] - pace * (number[side] - number[first]) for side in sides)
        shortest = min(before[-1], before.min() - np.median(behind))
        if shortest > margin[first - 1]:
            found.append((int(first), float(before[-1])))
    return found
