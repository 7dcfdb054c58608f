"""Events on a sample: named moments and intervals, for selections and for t = 0."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import xarray as xr

from xinsitu.epoch import Moment, nanoseconds
from xinsitu.errors import StitchError
from xinsitu.physics.moments import KeyLike, as_kept, as_moments, time_of, time_text, times
from xinsitu.schema import check_data, mid_exposure
from xinsitu.values import Event

EventLike = str | Event | KeyLike
_RECORD = "events"
"""Attribute of a sample: JSON list of its events."""


def with_events(sample: xr.Dataset, events: Iterable[Event]) -> xr.Dataset:
    """Return the sample with events, placed in UTC; they are kept in its file.

    Events of the same name replace those that it has. A name may come several times: a shutter opens more than once.

    Raises
    ------
    StitchError
        An event names a frame or a measurement that is not part of the sample.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(3) * np.timedelta64(1, "s")
    >>> sample = xr.Dataset(coords={"time": time, "frame": ("time", [0, 1, 2]), "measurement": "time1"})
    >>> sample = with_events(sample, [Event("growth start", {"measurement": "time1", "frame": 1})])
    >>> str(events_of(sample)[0].start)[:19]
    '2014-05-28T00:00:01'
    """
    new = [placed_event(sample, event) for event in events]
    renewed = {event.name for event in new}
    placed = [event for event in events_of(sample) if event.name not in renewed] + new
    if not placed:
        return sample
    text = json.dumps([as_kept(sample, event.to_dict()) for event in placed], ensure_ascii=False)
    return sample.assign_attrs({_RECORD: text})


def events_of(sample: xr.Dataset) -> tuple[Event, ...]:
    """Return the events of a sample.

    Examples
    --------
    >>> events_of(xr.Dataset())
    ()
    """
    check_data(sample, measured=True)
    return tuple(Event.from_dict(as_moments(sample, event)) for event in json.loads(sample.attrs.get(_RECORD, "[]")))


def placed_event(sample: xr.Dataset, event: Event) -> Event:
    """Return the event with UTC times in place of frames.

    Raises
    ------
    StitchError
        It names a frame or a measurement that is not part of the sample, or stops before it starts.
    """
    start = time_of(sample, event.start)
    stop = None if event.stop is None else time_of(sample, event.stop)
    if stop is not None and stop < start:
        raise StitchError(
            f"event {event.name!r} stops at {time_text(sample, stop)}, before it starts at {time_text(sample, start)}"
        )
    return replace(event, start=start, stop=stop)


def find_event(sample: xr.Dataset, name: str, events: Iterable[Event] = ()) -> Event | None:
    """Return the event of a name among those given and those of the sample, placed in UTC; None where there is none."""
    for event in (*events, *events_of(sample)):
        if event.name == name:
            return placed_event(sample, event)
    return None


def moment_of(sample: xr.Dataset, what: EventLike, *, events: Iterable[Event] = ()) -> Moment:
    """UTC time of an event (its start), of a frame, or of a time.

    Parameters
    ----------
    sample
        Dim ``time``.
    what
        Name of an event, an Event, or a KEY.
    events
        Looked through before the sample's own.

    Raises
    ------
    StitchError
        There is no such event, and the name is no time.
    """
    if isinstance(what, Event):
        return _moment(placed_event(sample, what).start)
    if isinstance(what, str):
        events = tuple(events)
        found = find_event(sample, what, events)
        if found is not None:
            return _moment(found.start)
        if not what[:1].isdigit():
            names = ", ".join(dict.fromkeys(event.name for event in (*events, *events_of(sample)))) or "none"
            raise StitchError(f"there is no event {what!r}; there are {names}")
    return time_of(sample, what)


def _moment(value: object) -> Moment:
    return nanoseconds(np.datetime64(value))  # type: ignore[call-overload] # a placed event has times


def between(
    sample: xr.Dataset, start: EventLike, stop: EventLike | None = None, *, events: Iterable[Event] = ()
) -> xr.Dataset:
    """Select the frames from one event to another, both included, by the middle of their exposures.

    Parameters
    ----------
    sample
        Dim ``time``, sorted on it.
    start, stop
        Names of events, Events or KEYs; of an interval its start counts. Without ``stop``: the interval ``start``.
    events
        Looked through before the sample's own.

    Raises
    ------
    StitchError
        There is no such event, ``start`` alone is no interval, or ``stop`` is before ``start``.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(5) * np.timedelta64(1, "s")
    >>> sample = xr.Dataset({"intensity": ("time", np.arange(5))}, {"time": time})
    >>> open_ = Event("In shutter open", time[1], time[3])
    >>> between(sample, "In shutter open", events=[open_]).intensity.values
    array([1, 2, 3])
    """
    events = tuple(events)
    first = moment_of(sample, start, events=events)
    if stop is None:
        event = (
            start if isinstance(start, Event) else find_event(sample, start, events) if isinstance(start, str) else None
        )
        if event is None or event.stop is None:
            raise StitchError(f"{start!r} is a moment, not an interval; say where the selection stops")
        last = _moment(placed_event(sample, event).stop)
    else:
        last = moment_of(sample, stop, events=events)
    if last < first:
        raise StitchError(
            f"{stop!r} ({time_text(sample, last)}) is before {start!r} ({time_text(sample, first)}); exchange them"
        )
    times(sample)  # refuse what has none
    axis = mid_exposure(sample)
    return sample.isel(time=np.flatnonzero((axis >= first) & (axis <= last)))


def elapsed(sample: xr.Dataset, t0: EventLike | None = None, *, events: Iterable[Event] = ()) -> xr.DataArray:
    """Seconds from an event to the middle of each exposure, dims ``(time)``; negative before it.

    Where ``time_bounds`` do not tell the middle, ``time`` stands for it.

    Parameters
    ----------
    sample
        Dim ``time``.
    t0
        Name of an event, an Event or a KEY; None: the first frame.
    events
        Looked through before the sample's own.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(3) * np.timedelta64(1, "s")
    >>> elapsed(xr.Dataset(coords={"time": time}), time[1]).values
    array([-1.,  0.,  1.])
    """
    times(sample)  # refuse what has none
    axis = mid_exposure(sample)
    zero = (axis[0] if axis.size else np.datetime64(0, "ns")) if t0 is None else moment_of(sample, t0, events=events)
    seconds = (axis - zero) / np.timedelta64(1, "s")
    return xr.DataArray(
        seconds, {"time": sample["time"]}, ("time",), "elapsed", {"units": "s", "long_name": "elapsed time"}
    )
