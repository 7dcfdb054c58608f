"""The time axis of a measurement, from its stamps and frame numbers.

Frames stay in the order of their numbers. Times never go backwards unless that is asked for, missing stamps are
interpolated by frame number and flagged, and pauses and missing numbers stay gaps.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xinsitu.errors import TimeError, XinsituWarning

from .stamps import NO_OFFSET, parse_stamps
from .zones import find_zone, to_utc

_LAST_SECOND = 9_000_000_000  # datetime64[ns] ends in 2262


@dataclass(frozen=True)
class TimeAxis:
    """Times of all frames.

    Parameters
    ----------
    microseconds
        UTC, since 1970-01-01.
    interpolated, stale
        Frames without a stamp of their own, and frames older than one before them.
    source
        ``stamp`` or ``frame``.
    resolution
        Seconds.
    """

    microseconds: npt.NDArray[np.int64]
    interpolated: npt.NDArray[np.bool_]
    stale: npt.NDArray[np.bool_]
    source: str
    resolution: float


def progress(scan: npt.NDArray[np.int64], frame: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Frame numbers that go on where a new scan starts again from a lower number.

    Examples
    --------
    >>> progress(np.array([1, 1, 2, 2]), np.array([356, 357, 0, 1]))
    array([356, 357, 358, 359])
    """
    result = frame.copy()
    for start in np.flatnonzero(np.diff(scan)) + 1:
        if result[start] <= result[start - 1]:
            result[start:] += result[start - 1] + 1 - result[start]
    return result


def make_times(
    stamps: Sequence[str],
    scan: npt.NDArray[np.int64],
    frame: npt.NDArray[np.int64],
    names: Sequence[str],
    *,
    zone: str,
    time: str = "auto",
    order_error: str = "raise",
    source: str = "",
) -> TimeAxis:
    """Give every frame its time; frames come in the order of their numbers.

    Parameters
    ----------
    stamps, scan, frame, names
        Of each frame; the stamp is empty where there is none.
    zone
        Of the clock that wrote the stamps; stamps with an offset of their own do not need it.
    time
        ``auto``: stamps, or frame numbers with a warning where there are none; ``stamp``; ``frame``.
    order_error
        What happens where stamps decrease with the frame number: ``raise`` or ``ignore``.
    source
        Folder, for messages.

    Raises
    ------
    TimeError
        Stamps decrease, or are asked for and not there.
    """
    number = progress(scan, frame)
    if time == "frame":
        return _by_frame(number, source)
    read = parse_stamps(stamps)
    if not read.found.any():
        if time == "stamp" or not len(stamps):
            raise TimeError(f"{source}: no frame has a time stamp; time='frame' numbers them instead")
        warnings.warn(
            f"{source}: no frame has a time stamp; time is the frame number in seconds (time='frame')",
            XinsituWarning,
            stacklevel=2,
        )
        return _by_frame(number, source)
    utc = read.microseconds.copy()
    local = read.found & (read.offsets == NO_OFFSET)
    try:
        utc[local] = to_utc(read.microseconds[local], find_zone(zone))
    except TimeError as error:
        raise TimeError(f"{source}: {error}") from None
    zoned = read.found & ~local
    utc[zoned] -= read.offsets[zoned]
    stale = np.zeros(len(utc), dtype=bool)
    known = np.flatnonzero(read.found)
    stale[known] = utc[known] < np.maximum.accumulate(utc[known])
    if stale.any() and order_error == "raise":
        later = int(stale.argmax())
        before = int(known[np.searchsorted(known, later) - 1])
        raise TimeError(
            f"{source}: time runs backwards from {names[before]} ({stamps[before]}) to {names[later]} "
            f"({stamps[later]}), {int(stale.sum())} frames in all: frames of an older series, or a clock that was set; "
            f"order_error='ignore' (--ignore-time-order) keeps them in the order of their numbers"
        )
    if len(known) < len(utc):
        utc = _interpolate(utc, number, known)
    return TimeAxis(utc, ~read.found, stale, "stamp", 10.0**-read.digits)


def _by_frame(number: npt.NDArray[np.int64], source: str) -> TimeAxis:
    if len(number) and number.max() > _LAST_SECOND:
        raise TimeError(f"{source}: frame numbers up to {number.max()} are too large to stand for seconds")
    nothing = np.zeros(len(number), dtype=bool)
    return TimeAxis(number * 1_000_000, nothing, nothing, "frame", 1.0)


def _interpolate(
    utc: npt.NDArray[np.int64], number: npt.NDArray[np.int64], known: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64]:
    """Place frames without a stamp by their number; beyond the ends at the mean pace of the frames."""
    base = utc[known[0]]
    at, times = number[known], (utc[known] - base).astype("float64")
    result = np.interp(number, at, times)
    span = at[-1] - at[0]
    pace = max(0.0, (times[-1] - times[0]) / span) if span > 0 else 0.0
    result = np.where(number < at[0], (number - at[0]) * pace, result)
    result = np.where(number > at[-1], times[-1] + (number - at[-1]) * pace, result)
    filled = base + np.rint(result).astype("int64")
    filled[known] = utc[known]
    return np.asarray(filled, dtype="int64")
