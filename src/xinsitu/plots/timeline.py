"""The time axis of a figure: elapsed, local, UTC or frame; its gaps, and the events on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.clock import in_zone, moment
from xinsitu.epoch import Moment, in_nanoseconds, nanoseconds
from xinsitu.errors import DocumentError, SchemaError, TimeError
from xinsitu.physics.moments import time_of
from xinsitu.schema import knows_utc, mid_exposure
from xinsitu.values import Event, Key

Axis = Literal["elapsed", "local", "utc", "frame"]
AXES: tuple[Axis, ...] = ("elapsed", "local", "utc", "frame")
GAP = 5.0
"""A time step of more than this many usual ones is a gap, and the curve is broken there."""


@dataclass(frozen=True)
class Mark:
    """An event in axis coordinates; ``stop`` is None for a moment."""

    name: str
    start: object
    stop: object | None = None


@dataclass(frozen=True)
class Timeline:
    """What the horizontal axis shows of a series.

    Parameters
    ----------
    axis
        ``elapsed``, ``local``, ``utc`` or ``frame``.
    values
        Axis coordinate of every frame: float64, or datetime64 without zone for ``local`` and ``utc``.
    seconds
        Seconds of every frame since the first one, for slopes and gaps.
    label
        Text under the axis, with its unit.
    start
        UTC moment of the axis' zero.
    zone
        Time zone of ``local``; ``UTC``, which leaves times as they are, where nobody knows it.
    times
        UTC moment of the middle of every frame's exposure, where ``time_bounds`` tells it, otherwise of its stamp.
    """

    axis: Axis
    values: npt.NDArray[np.generic]
    seconds: npt.NDArray[np.float64]
    label: str
    start: Moment
    zone: str
    times: npt.NDArray[np.datetime64]

    @property
    def dated(self) -> bool:
        """Whether the axis shows wall time."""
        return self.axis in ("local", "utc")

    def place(self, time: Moment) -> object:
        """Axis coordinate of a UTC moment."""
        if self.axis == "elapsed":
            return float((time - self.start) / np.timedelta64(1, "s"))
        if self.axis == "frame":
            return float(
                np.interp(float(time.astype("int64")), self.times.astype("int64"), self.values.astype("float64"))
            )
        return in_zone(np.array([time]), self.zone if self.axis == "local" else "UTC")[0]


def timeline(series: xr.Dataset, *, x: str = "elapsed", start: Moment | None = None) -> Timeline:
    """Choose the axis of a series.

    Where the times are only frame numbers (``time_source="frame"``) nothing is shown as seconds or wall time.

    Raises
    ------
    SchemaError
        An unknown axis, or no frames.
    TimeError
        Wall time is asked for and the files have none.
    """
    if x not in AXES:
        raise SchemaError(f"x is one of {', '.join(AXES)}, not {x!r}")
    times = in_nanoseconds(series["time"].values)
    if times.size == 0:
        raise SchemaError("the series has no frames to plot")
    source, zone = str(series.attrs.get("time_source", "")), str(series.attrs.get("time_zone", ""))
    if source == "frame" and x in ("local", "utc"):
        raise TimeError("the frames carry no time, so they cannot be shown against wall time; use x='frame'")
    clock = source != "frame" and not knows_utc(series)
    if x == "utc" and clock:
        raise TimeError("the time zone of the frames is not known, so they cannot be shown against UTC; use x='local'")
    if x == "local" and not zone and not clock:
        raise TimeError("the series has no attribute time_zone; use x='utc' or x='elapsed'")
    seconds = (times - times[0]) / np.timedelta64(1, "s")
    middle = mid_exposure(
        series
    )  # where an event's frame is, too: a stamp of a begin or an end is half an exposure off
    start = middle[0] if start is None else start
    if x == "frame" or source == "frame":
        values, label = frame_numbers(series)
        return Timeline("frame", values, seconds, label, start, zone, middle)
    if x == "elapsed":
        values = (middle - start) / np.timedelta64(1, "s")
        return Timeline("elapsed", values, seconds, "time (s)", start, zone, middle)
    axis: Axis = "local" if x == "local" else "utc"
    if clock:
        return Timeline(axis, middle, seconds, "time (the detector's clock)", start, "UTC", middle)
    where = zone if axis == "local" else "UTC"
    return Timeline(axis, in_zone(middle, where), seconds, f"time ({where})", start, where, middle)


def frame_numbers(series: xr.Dataset) -> tuple[npt.NDArray[np.float64], str]:
    """Frame numbers where they rise through the series, otherwise the position in it; with the axis label."""
    if "frame" in series.coords:
        frames = np.asarray(series["frame"].values, dtype="float64")
        if np.all(np.diff(frames) > 0):
            return frames, "frame"
    return np.arange(series.sizes["time"], dtype="float64"), "frame in the series"


def breaks(series: xr.Dataset, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Positions before which a curve is interrupted: a long pause, or another measurement.

    Examples
    --------
    >>> breaks(xr.Dataset(coords={"time": [0, 1, 2, 3, 60, 61]}), np.array([0.0, 1, 2, 3, 60, 61]))
    array([4])
    """
    steps = np.diff(seconds)
    usual = float(np.median(steps[steps > 0])) if np.any(steps > 0) else math.inf
    cut = steps > GAP * usual
    names = series.coords.get("measurement")
    if names is not None and names.dims == ("time",):
        cut |= np.asarray(names.values[1:] != names.values[:-1])
    return np.asarray(np.flatnonzero(cut) + 1, dtype="int64")


def when(series: xr.Dataset, moment_or_key: Moment | Key) -> Moment:
    """UTC moment of an event's end point."""
    return time_of(series, moment_or_key) if isinstance(moment_or_key, Key) else moment_or_key


def zero(series: xr.Dataset, t0: object, events: Iterable[Event]) -> Moment | None:
    """UTC moment of ``t0``: the name of an event, an Event, a Key, a UTC datetime64, or an ISO 8601 text with offset.

    Raises
    ------
    DocumentError
        It names no event and is no time.
    """
    if t0 is None:
        return None
    if isinstance(t0, np.datetime64):
        return nanoseconds(t0)
    if isinstance(t0, Event):
        return when(series, t0.start)
    if isinstance(t0, Key):
        return when(series, t0)
    events = tuple(events)
    for event in events:
        if event.name == t0:
            return when(series, event.start)
    try:
        return moment(str(t0))
    except DocumentError:
        names = ", ".join(event.name for event in events) or "none"
        raise DocumentError(f"t0={t0!r} is neither an event ({names}) nor an ISO 8601 time with its offset") from None


def marks(series: xr.Dataset, line: Timeline, events: Iterable[Event]) -> tuple[Mark, ...]:
    """Events that touch the series, in axis coordinates, intervals clipped to it."""
    ends = np.concatenate([line.times[[0, -1]], series["time"].values[[0, -1]]])  # an event may be at a stamp
    first, last = ends.min(), ends.max()
    found = []
    for event in events:
        start = when(series, event.start)
        stop = start if event.stop is None else when(series, event.stop)
        if stop < first or start > last:
            continue
        if event.stop is None:
            found.append(Mark(event.name, line.place(start)))
        else:
            found.append(Mark(event.name, line.place(max(start, first)), line.place(min(stop, last))))
    return tuple(found)
