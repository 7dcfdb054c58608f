"""From a logbook entry to a frame: which position on the time axis a KEY means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.clock import from_local, utc_text
from xinsitu.epoch import Moment, in_nanoseconds, nanoseconds
from xinsitu.errors import SchemaError, StitchError, TimeError
from xinsitu.schema import UNKNOWN_ZONE, knows_utc, mid_exposure, require
from xinsitu.values import FrameRange, Key

KeyLike = Key | Moment | str | Mapping[str, Any]
Side = Literal["before", "after", "nearest"]


def times(sample: xr.DataArray | xr.Dataset) -> npt.NDArray[np.datetime64]:
    """Return the times of the frames as datetime64[ns], dims ``(time)``.

    Raises
    ------
    SchemaError
        There is no ``time``, or it is not made of datetimes.
    """
    require(sample, dims=("time",))
    if "time" not in sample.coords or sample["time"].dtype.kind != "M":
        raise SchemaError("the coordinate 'time' must hold UTC times (datetime64); give the series one")
    return in_nanoseconds(sample["time"].values)


def require_time_order(sample: xr.DataArray | xr.Dataset) -> None:
    """Raise :class:`~xinsitu.errors.StitchError` if the frames are not in the order of their times.

    Examples
    --------
    >>> require_time_order(xr.Dataset(coords={"time": np.array(["2014-05-28", "2014-05-27"], "datetime64[ns]")}))
    Traceback (most recent call last):
    ...
    xinsitu.errors.StitchError: the frames are not in the order of their times; use sample.sortby('time')
    """
    stamps = times(sample)
    if (stamps[1:] < stamps[:-1]).any():
        raise StitchError("the frames are not in the order of their times; use sample.sortby('time')")


def elapsed_seconds(sample: xr.DataArray | xr.Dataset) -> npt.NDArray[np.float64]:
    """Seconds since the first frame, dims ``(time)``."""
    axis = times(sample)
    return np.asarray((axis - axis[:1]) / np.timedelta64(1, "s"))


def measurement_labels(sample: xr.DataArray | xr.Dataset) -> npt.NDArray[np.str_] | None:
    """Name of the measurement of every frame, dims ``(time)``; None where the series does not say."""
    if "measurement" not in sample.coords:
        return None
    labels = np.asarray(sample["measurement"].values).astype(str)
    return np.asarray(np.broadcast_to(labels, (sample.sizes["time"],)), dtype=str)


def frame_key(sample: xr.DataArray | xr.Dataset, position: int) -> Key | None:
    """KEY of the frame at a position, with its UTC time where that is known; None for a series without numbers.

    Examples
    --------
    >>> time = np.array(["2014-05-28T08:01:59"], dtype="datetime64[ns]")
    >>> series = xr.Dataset(coords={"time": time, "frame": ("time", [7]), "measurement": "time3"})
    >>> frame_key(series, 0).to_dict()
    {'measurement': 'time3', 'frame': 7, 'utc': '2014-05-28T08:01:59Z'}
    """
    if "frame" not in sample.coords:
        return None
    labels = measurement_labels(sample)
    return Key(
        measurement=None if labels is None else str(labels[position]),
        scan=_number(sample, "scan", position),
        frame=_number(sample, "frame", position),
        time=nanoseconds(times(sample)[position]) if knows_utc(sample) else None,
    )


def _number(sample: xr.DataArray | xr.Dataset, name: str, position: int) -> int | None:
    return int(np.broadcast_to(sample[name].values, times(sample).shape)[position]) if name in sample.coords else None


def time_text(sample: xr.DataArray | xr.Dataset, time: Moment) -> str:
    """Moment of a sample in words: UTC with a Z, or what the detector's clock showed where its zone is not known."""
    return utc_text(time) if knows_utc(sample) else utc_text(time).removesuffix("Z")


_ENDS = ("before", "after", "key", "start", "stop")


def as_kept(sample: xr.DataArray | xr.Dataset, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON form of a change or event as a sample keeps it: ``time`` for ``utc`` where nobody knows the zone.

    Examples
    --------
    >>> clock = xr.Dataset(attrs={"time_zone_source": "unknown"})
    >>> as_kept(clock, {"name": "open", "key": {"utc": "2014-05-28T17:00:00Z"}})
    {'name': 'open', 'key': {'time': '2014-05-28T17:00:00'}}
    """
    return _renamed(sample, document, "utc", "time", lambda text: text.removesuffix("Z"))


def as_moments(sample: xr.DataArray | xr.Dataset, document: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`as_kept`: in memory all times are those of the sample's axis."""
    return _renamed(sample, document, "time", "utc", lambda text: f"{text}Z")


def _renamed(
    sample: xr.DataArray | xr.Dataset, document: Mapping[str, Any], name: str, new: str, change: Callable[[str], str]
) -> dict[str, Any]:
    result = dict(document)
    for end in () if knows_utc(sample) else _ENDS:
        if isinstance(key := document.get(end), Mapping) and name in key:
            result[end] = {**{one: value for one, value in key.items() if one != name}, new: change(str(key[name]))}
    return result


def time_of(sample: xr.DataArray | xr.Dataset, key: KeyLike) -> Moment:
    """UTC time that a KEY means on this sample: of the frame it names, or the moment it gives.

    A frame's is the middle of its exposure, where ``time_bounds`` tells it; seconds of a measurement count from the
    middle of its first one.

    Raises
    ------
    StitchError
        No frame, or more than one, bears the name; the measurement is not part of the sample; a local time on a
        sample without ``time_zone``.

    Examples
    --------
    >>> time = np.array(["2014-05-28T08:00:00", "2014-05-28T08:00:01"], dtype="datetime64[ns]")
    >>> sample = xr.Dataset(coords={"time": time, "measurement": "time3"}, attrs={"time_zone": "Asia/Tokyo"})
    >>> time_of(sample, {"measurement": "time3", "seconds": 0.5})
    np.datetime64('2014-05-28T08:00:00.500000000')
    >>> time_of(sample, "2014-05-28T17:00:01")
    np.datetime64('2014-05-28T08:00:01.000000000')
    """
    key = Key.from_dict(key)
    if key.exact:
        if key.time is not None and key.frame is not None and "frame" not in sample.coords:
            return nanoseconds(key.time)
        return nanoseconds(mid_exposure(sample)[resolve_key(sample, key)])
    if key.seconds is not None:
        first = mid_exposure(sample)[_of_measurement(sample, key)].min()
        return nanoseconds(first + np.timedelta64(round(key.seconds * 1e6), "us"))
    if key.local is not None:
        return _from_local(sample, key.local)
    if key.time is None:  # a KEY without any of these cannot be made
        raise StitchError(f"{key!r} names no moment")
    return nanoseconds(key.time)


def resolve_key(
    sample: xr.DataArray | xr.Dataset, key: KeyLike, *, side: Side = "nearest", later_than: int | None = None
) -> int:
    """Position on the time axis that a KEY means.

    Parameters
    ----------
    sample
        Series with dim ``time``, sorted on it.
    key
        A frame, a position, seconds since the first frame of a measurement, a UTC time, or a local time.
    side
        For a KEY that is a time: ``before`` is the last frame with time <= it, ``after`` the first one with
        time >= it, ``nearest`` the closest. A frame is where it is.
    later_than
        With ``after``: only frames behind this position count, as stamps of whole seconds repeat.

    Raises
    ------
    StitchError
        There is no such frame; the sentence says what there is.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.array([0, 1, 1, 2]) * np.timedelta64(1, "s")
    >>> sample = xr.Dataset(coords={"time": time})
    >>> resolve_key(sample, time[1], side="before"), resolve_key(sample, time[1], side="after", later_than=1)
    (2, 2)
    """
    key = Key.from_dict(key)
    if key.position is not None:
        return _checked_position(sample, key, key.position)
    if key.frame is not None and (key.time is None or "frame" in sample.coords):
        return _position_of_frame(sample, key)
    at, axis = time_of(sample, key), times(sample)
    if not axis.size:
        raise StitchError(f"{_said(key)} cannot be placed on a series without frames")
    if side == "nearest":
        return int(np.abs((axis - at).astype("int64")).argmin())
    found = np.flatnonzero(axis <= at if side == "before" else axis >= at)
    if side == "after" and later_than is not None:
        found = found[found > later_than]
    if not found.size:
        what = "at or before" if side == "before" else "at or after"
        edge = (
            f"they begin at {time_text(sample, axis[0])}"
            if side == "before"
            else f"they end at {time_text(sample, axis[-1])}"
        )
        raise StitchError(f"there is no frame {what} {_said(key)}; {edge}")
    return int(found[-1] if side == "before" else found[0])


def _said(key: Key) -> str:
    return ", ".join(f"{name} {value}" for name, value in key.to_dict().items())


def _of_measurement(sample: xr.DataArray | xr.Dataset, key: Key) -> npt.NDArray[np.int64]:
    """Positions of the frames of the measurement that the KEY names; of all where it names none."""
    everything = np.arange(sample.sizes["time"])
    if key.measurement is None:
        return everything
    labels = measurement_labels(sample)
    if labels is None:
        raise StitchError(f"the series does not name its measurements, so {_said(key)} cannot be placed on it")
    found: npt.NDArray[np.int64] = everything[labels == key.measurement]
    if not found.size:
        there = ", ".join(dict.fromkeys(labels.tolist())) or "no frames"
        raise StitchError(f"there is no measurement {key.measurement!r} in the sample; there are {there}")
    return found


def frames_in(sample: xr.DataArray | xr.Dataset, ranges: Iterable[FrameRange]) -> npt.NDArray[np.bool_]:
    """Which frames lie in ranges of frames, dims ``(time)``; a range has both of its ends.

    Raises
    ------
    StitchError
        A frame is not there, or a range ends before it begins.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    >>> frames_in(xr.Dataset(coords={"time": time}), map(FrameRange.from_dict, ["0", "2-3"]))
    array([ True, False,  True,  True])
    """
    inside = np.zeros(sample.sizes["time"], dtype=bool)
    for one in ranges:
        if one.stop is None:
            inside[resolve_key(sample, one.start)] = True
            continue
        first, last = resolve_key(sample, one.start, side="after"), resolve_key(sample, one.stop, side="before")
        if last < first:
            raise StitchError(
                f"there is no frame from {_said(one.start)} to {_said(one.stop)}: the second is before the first"
            )
        inside[first : last + 1] = True
    return inside


def _checked_position(sample: xr.DataArray | xr.Dataset, key: Key, position: int) -> int:
    """Return a position that is on the series; the time that was written beside it must still be its own."""
    axis = times(sample)
    if position >= axis.size:
        there = f"positions run from 0 to {axis.size - 1}" if axis.size else "it has no frames"
        raise StitchError(f"there is no position {position} on the series; {there}")
    if key.time is not None and abs(axis[position] - key.time) > np.timedelta64(1, "us"):
        raise StitchError(
            f"position {position} is at {utc_text(axis[position])} here, not at {utc_text(key.time)} as is written "
            "beside it: frames were added or left out; name the frame by its measurement and number"
        )
    return position


def _position_of_frame(sample: xr.DataArray | xr.Dataset, key: Key) -> int:
    if "frame" not in sample.coords:
        raise StitchError(f"the series does not number its frames, so {_said(key)} cannot be placed on it; give a time")
    among = _of_measurement(sample, key)
    numbers = np.broadcast_to(sample["frame"].values, times(sample).shape)
    scans = np.broadcast_to(sample["scan"].values if "scan" in sample.coords else 1, numbers.shape)
    fits = (numbers[among] == key.frame) & ((scans[among] == key.scan) if key.scan is not None else True)
    found = among[fits]
    if found.size == 1:
        return int(found[0])
    if not found.size:
        first, last = (numbers[among].min(), numbers[among].max()) if among.size else ("none", "none")
        raise StitchError(f"there is no frame for {_said(key)}; frames run from {first} to {last}")
    labels = measurement_labels(sample)
    where = [f"{'' if labels is None else labels[i]} scan {scans[i]}".strip() for i in found]
    raise StitchError(f"{_said(key)} names {found.size} frames ({', '.join(where)}); name the measurement and the scan")


def _from_local(sample: xr.DataArray | xr.Dataset, text: str) -> Moment:
    zone = sample.attrs.get("time_zone")
    if sample.attrs.get("time_zone_source") == UNKNOWN_ZONE:
        zone = "UTC"  # times are what the clock showed, and so is the text
    if not zone:
        raise StitchError(f"{text!r} is a local time and the sample has no time_zone; give an offset such as +09:00")
    try:
        return from_local(text, str(zone))
    except TimeError as fault:
        raise StitchError(f"{text!r} cannot be read in the time zone {zone!r} of the sample: {fault}") from None
