"""The time axis of a measurement, from its stamps and frame numbers.

Frames stay in the order of their numbers. Times never go backwards unless that is asked for, missing stamps are
interpolated by frame number and flagged, and pauses and missing numbers stay gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time_ns
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xinsitu.clock import parse_stamps, utc_of
from xinsitu.digits import counted
from xinsitu.epoch import outside
from xinsitu.errors import TimeError, warn
from xinsitu.schema import microseconds_from_time

from .formats.header import FrameHeader
from .periods import behind_rhythm, by_period

if TYPE_CHECKING:
    from .options import Time

_EARLIEST = 788_918_400_000_000
"""1995-01-01, in microseconds: no detector that is read here is older."""
_DAY = 86_400_000_000
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
        ``stamp``, ``period``, ``frame``, ``mtime`` or ``given``.
    resolution
        Seconds.
    uncertainty
        Half width, in seconds, of the interval that holds the true time; only by period.
    impossible
        Frames stamped before 1995 or in the future; None where stamps play no part.
    set_back
        Frames that a clock which was set back puts in doubt; None where none was.
    spread
        Whether equal times were spread.
    """

    microseconds: npt.NDArray[np.int64]
    interpolated: npt.NDArray[np.bool_]
    stale: npt.NDArray[np.bool_]
    source: str
    resolution: float
    uncertainty: npt.NDArray[np.float64] | None = None
    impossible: npt.NDArray[np.bool_] | None = None
    set_back: npt.NDArray[np.bool_] | None = None
    spread: bool = False

    @property
    def doubtful(self) -> npt.NDArray[np.bool_]:
        """Frames stamped before there were such detectors, or in the future, or about a clock's being set back."""
        doubtful = np.zeros(len(self.microseconds), dtype=bool)
        for found in (self.impossible, self.set_back):
            doubtful = doubtful if found is None else doubtful | found
        return doubtful


@dataclass(frozen=True)
class Readings:
    """What the frames say about when they were taken, in the order of their numbers.

    Parameters
    ----------
    stamps
        Texts; empty where there is none.
    utc
        Microseconds where the stamp needs no zone; None elsewhere.
    mtimes
        Nanoseconds; 0 where there is no file.
    scan, frame, names
        Of each frame.
    source
        Folder, for messages.
    period
        Seconds between frames as the headers say; None where they do not.
    cause
        What may have made times run backwards, and what to do about it, where that is more than a clock.
    """

    stamps: Sequence[str]
    utc: Sequence[int | None]
    mtimes: npt.NDArray[np.int64]
    scan: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    names: Sequence[str]
    source: str
    period: float | None = None
    cause: str = ""

    @classmethod
    def of(
        cls,
        headers: Sequence[FrameHeader | None],
        scan: npt.NDArray[np.int64],
        frame: npt.NDArray[np.int64],
        names: Sequence[str],
        source: str,
        period: float | None = None,
    ) -> Readings:
        """Take what headers say, None of frames without one; a period that is given is known better than they do."""
        first = next(header for header in headers if header is not None)
        return cls(
            stamps=[header.stamp if header else "" for header in headers],
            utc=[header.utc if header else None for header in headers],
            mtimes=np.array([header.mtime_ns if header else 0 for header in headers], dtype="int64"),
            scan=scan,
            frame=frame,
            names=names,
            source=source,
            period=period or first.text.exposure_period,
        )

    @property
    def number(self) -> npt.NDArray[np.int64]:
        """Frame numbers that go on over all scans."""
        return progress(self.scan, self.frame)


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


def make_times(readings: Readings, *, zone: str, time: Time = "auto", order_error: str = "raise") -> TimeAxis:
    """Give every frame its time.

    Parameters
    ----------
    readings
        What the frames say.
    zone
        Of the clock that wrote the stamps; stamps with an offset of their own do not need it.
    time
        ``auto``: stamps, or frame numbers with a warning where there are none; ``stamp``; ``period``: stamps made
        finer by a steady period; ``frame``; ``mtime``: modification times of the files; or an array with one UTC
        time (datetime64) or UNIX time (seconds) per frame.
    order_error
        What happens where times decrease with the frame number: ``raise`` or ``ignore``.

    Raises
    ------
    TimeError
        Times decrease, or are asked for and not there, or contradict the period.
    """
    if not isinstance(time, str):
        return spread(_checked(_given(time, readings), readings, order_error))
    if time == "frame":
        return _by_frame(readings)
    if time == "mtime":
        found = readings.mtimes > 0
        axis = TimeAxis(readings.mtimes // 1000, ~found, np.zeros(len(found), dtype=bool), "mtime", 1e-6)
        return spread(_checked(axis, readings, order_error))
    stamped = _stamped(readings, zone)
    if stamped is None:
        odd = next((one for one in zip(readings.names, readings.stamps, strict=True) if one[1]), None)
        why = f" ({odd[0]} has {odd[1]!r}, which is no time)" if odd else ""
        if time != "auto":
            raise TimeError(f"{readings.source}: no frame has a time stamp{why}; time='frame' numbers them instead")
        warn(f"{readings.source}: no frame has a time stamp{why}; time is the frame number in seconds (time='frame')")
        return _by_frame(readings)
    if _has_no_pace(stamped):
        if readings.period:
            return _paced(stamped, readings, readings.period)
        said = f"{readings.source}: only {readings.names[int((~stamped.interpolated).argmax())]} has a time stamp"
        said += f", the other {counted(stamped.interpolated.sum(), 'frame has', 'frames have')} none"
        if time != "auto":
            raise TimeError(f"{said}; period= (--period) says how far they are apart, time='frame' numbers them")
        warn(f"{said}; time is the frame number in seconds (time='frame'); period= (--period) gives them times")
        return _by_frame(readings)
    axis = _checked(stamped, readings, order_error)
    return _steady(axis, readings) if time == "period" else spread(axis)


def spread(axis: TimeAxis) -> TimeAxis:
    """Give every frame a time of its own: equal ones are spread evenly over the resolution, in the frames' order.

    Examples
    --------
    >>> nothing = np.zeros(4, bool)
    >>> axis = TimeAxis(np.array([5_000_000, 6_000_000, 6_000_000, 7_000_000]), nothing, nothing, "stamp", 1.0)
    >>> (spread(axis).microseconds / 1e6).tolist()
    [5.0, 6.0, 6.5, 7.0]
    """
    utc = axis.microseconds
    if len(np.unique(utc)) == len(utc):
        return axis
    order = np.argsort(utc, kind="stable")
    first = np.concatenate(([True], np.diff(utc[order]) != 0))
    group = np.cumsum(first) - 1
    place, number = np.arange(len(utc)) - np.flatnonzero(first)[group], np.bincount(group)[group]
    times = utc[order] + (place * axis.resolution * 1e6 / number).astype("int64")
    for late in range(1, len(times)):  # more frames than microseconds, or one without a stamp between them
        times[late] = max(times[late], times[late - 1] + 1)
    result = np.empty_like(utc)
    result[order] = times
    return replace(axis, microseconds=result, spread=True)


def _has_no_pace(axis: TimeAxis) -> bool:
    """Whether frames without a stamp outnumber those of one moment, which is all that is known."""
    known = axis.microseconds[~axis.interpolated]
    return len(np.unique(known)) == 1 and len(known) <= int(axis.interpolated.sum())


def _paced(axis: TimeAxis, readings: Readings, period: float) -> TimeAxis:
    """Place all frames at a period around the first one with a stamp."""
    first = int((~axis.interpolated).argmax())
    steps = np.rint((readings.number - readings.number[first]) * period * 1e6).astype("int64")
    return replace(axis, microseconds=axis.microseconds[first] + steps)


def _stamped(readings: Readings, zone: str) -> TimeAxis | None:
    """Read the stamps; None where no frame has one."""
    read = parse_stamps(readings.stamps)
    counted = np.array([_is_moment(moment) for moment in readings.utc], dtype=bool)
    found = (read.found & (np.abs(read.microseconds) < _LAST_SECOND * 1_000_000)) | counted
    if not found.any():
        return None
    try:
        utc = utc_of(read._replace(found=found & ~counted), zone)
    except TimeError as error:
        raise TimeError(f"{readings.source}: {error}") from None
    utc[counted] = [moment for moment in readings.utc if moment is not None and _is_moment(moment)]
    resolution = 1e-6 if counted.any() else 10.0 ** -min(read.digits, 6)
    impossible = _impossible(utc, found, readings)
    return TimeAxis(utc, ~found, np.zeros(len(utc), dtype=bool), "stamp", resolution, impossible=impossible)


def _is_moment(microseconds: int | None) -> bool:
    """Whether this is a time that datetime64[ns] can hold."""
    return microseconds is not None and abs(microseconds) < _LAST_SECOND * 1_000_000


def _impossible(utc: npt.NDArray[np.int64], found: npt.NDArray[np.bool_], readings: Readings) -> npt.NDArray[np.bool_]:
    """Find stamps of a clock that was not set, and say so once; this machine's clock decides nothing else."""
    latest = time_ns() // 1000 + _DAY
    impossible = found & ((utc < _EARLIEST) | (utc > latest))
    if impossible.any():
        first = int(impossible.argmax())
        warn(
            f"{readings.source}: {readings.names[first]} is stamped {readings.stamps[first] or _text(utc[first])}, "
            f"{'before 1995' if utc[first] < _EARLIEST else 'in the future'}, {counted(impossible.sum(), 'frame')} in "
            "all: the clock was not set, or the time zone is wrong; flagged doubtful_time"
        )
    return impossible


def _checked(axis: TimeAxis, readings: Readings, order_error: str) -> TimeAxis:
    """Refuse or flag times that go backwards, and place the frames that have none."""
    known = np.flatnonzero(~axis.interpolated)
    if not len(known):
        raise TimeError(f"{readings.source}: no frame has a time")
    utc = axis.microseconds
    stale = np.zeros(len(utc), dtype=bool)
    stale[known] = utc[known] < np.maximum.accumulate(utc[known])
    if stale.any() and order_error == "raise":
        later = int(stale.argmax())
        before = int(known[np.searchsorted(known, later) - 1])
        said = (f"{readings.names[index]} ({readings.stamps[index] or _text(utc[index])})" for index in (before, later))
        raise TimeError(
            f"{readings.source}: time runs backwards from {' to '.join(said)}, {counted(stale.sum(), 'frame')} in all: "
            f"{readings.cause}the clock was set "
            f"(order_error='ignore', --ignore-time-order, keeps the order of the frames)"
        )
    if len(known) < len(utc):
        utc = _interpolate(utc, readings.number, known)
    set_back = _set_back(utc, stale)
    if axis.source == "stamp" and not stale.any():
        set_back = _set_back_within(axis, readings, known)
    return replace(axis, microseconds=utc, stale=stale, set_back=set_back)


def _set_back_within(axis: TimeAxis, readings: Readings, known: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_] | None:
    """Find frames behind a clock's being set back by less than the time from frame to frame, and say so once."""
    new = np.diff(readings.scan[known], prepend=readings.scan[known[0]]) != 0
    stamps, number = axis.microseconds[known], readings.number[known]
    found = behind_rhythm(stamps, number, new, resolution=axis.resolution * 1e6)
    if not found:
        return None
    first, early = known[found[0][0]], found[0][1] / 1e6
    warn(
        f"{readings.source}: {readings.names[first]} is stamped some {early:.2g} s too early for the rhythm of the "
        "frames, and those behind it stay so: the clock was set back; all from it on are flagged doubtful_time"
    )
    return np.asarray(np.arange(len(axis.microseconds)) >= first)


def _set_back(utc: npt.NDArray[np.int64], stale: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    """Find frames in doubt because the clock was set back: those behind it, and those before it with later stamps.

    Frames of an older series are left again by a jump forward; a clock that was set back catches up frame by frame.
    """
    doubt = np.zeros(len(utc), dtype=bool)
    starts = np.flatnonzero(stale & ~np.concatenate(([False], stale[:-1])))
    for first in starts:
        ahead = np.flatnonzero(~stale[first:])
        if not len(ahead):
            continue
        again, highest = first + int(ahead[0]), utc[:first].max()
        if 2 * (utc[again] - utc[again - 1]) < highest - utc[first]:
            doubt[again:] = True
            doubt[:first] |= utc[:first] > utc[first]
    return doubt if doubt.any() else None


def _given(time: npt.NDArray[np.datetime64] | npt.NDArray[np.float64], readings: Readings) -> TimeAxis:
    values = np.empty(0) if hasattr(time, "data_vars") else np.asarray(time)
    if values.shape != readings.frame.shape:
        raise TimeError(
            f"{readings.source}: {len(readings.frame)} frames, but times of shape {values.shape} were given"
        )
    if values.dtype.kind == "M":
        bad = np.isnat(values) | outside(values)
    elif values.dtype.kind in "iuf":
        bad = ~(np.abs(values) < _LAST_SECOND)  # what is no number is not below it either
    else:
        raise TimeError(f"{readings.source}: times must be datetime64 or UNIX seconds, not {values.dtype}")
    if bad.any():
        name = readings.names[int(bad.argmax())]
        raise TimeError(f"{readings.source}: the time given for {name} is no time of the years 1678 to 2261")
    dated = values.dtype.kind == "M"
    utc = microseconds_from_time(values) if dated else np.rint(values.astype("float64") * 1e6).astype("int64")
    nothing = np.zeros(len(utc), dtype=bool)
    return TimeAxis(utc, nothing, nothing, "given", 1e-6)


def _steady(axis: TimeAxis, readings: Readings) -> TimeAxis:
    """Refine times by the period of the frames, which every stamp must allow."""
    if axis.stale.any() or axis.interpolated.any():
        raise TimeError(f"{readings.source}: time='period' needs a stamp on every frame, in order")
    breaks = np.concatenate(([True], np.diff(readings.scan) != 0))
    try:
        found = by_period(
            axis.microseconds,
            readings.number,
            breaks,
            period=(readings.period or 0) * 1e6,
            resolution=axis.resolution * 1e6,
        )
    except TimeError as error:
        raise TimeError(f"{readings.source}: {error}") from None
    return replace(axis, microseconds=found.times, source="period", uncertainty=found.uncertainty / 1e6)


def _text(microseconds: np.int64) -> str:
    return str(np.datetime64(int(microseconds), "us"))


def _by_frame(readings: Readings) -> TimeAxis:
    number = readings.number
    if len(number) and number.max() > _LAST_SECOND:
        raise TimeError(f"{readings.source}: frame numbers up to {number.max()} are too large to stand for seconds")
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
