"""From what somebody types to a frame: its number, a time of day as in the logbook, ISO 8601, or elapsed time."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from xinsitu.clock import in_zone
from xinsitu.errors import StitchError
from xinsitu.physics.moments import measurement_labels, resolve_key
from xinsitu.schema import knows_utc

_ELAPSED = re.compile(r"\+?(\d+(?:\.\d*)?|\.\d+)\s*(s|sec|min|h)$", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?$")
_FRAME = re.compile(r"(?:(?P<measurement>\S.*?)[ :/]+)??(?:(?P<scan>\d+)[ :/]+)?#?(?P<frame>\d+)$")
SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
FORMS = "a frame (185, or time3 185), a time of day (17:02:30), elapsed time (90 s) or an ISO 8601 time"


def find_frame(data: xr.Dataset, text: str, shown: int = 0) -> int:
    """Position of the frame that a text means.

    Parameters
    ----------
    data
        Frames on one time axis.
    text
        A frame number, of the measurement and scan that are shown or of one that is named; a time of day in the time
        zone of the data; ISO 8601; or the time since the first frame, with its unit.
    shown
        Position of the frame that is shown.

    Raises
    ------
    StitchError
        There is no such frame, or the text is none of these.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28T08:00:00", "ns") + 2 * np.arange(4) * np.timedelta64(1, "s")
    >>> data = xr.Dataset(coords={"time": time, "frame": ("time", [5, 6, 7, 8])}, attrs={"time_zone": "Asia/Tokyo"})
    >>> [find_frame(data, text) for text in ("6", "17:00:04", "6.1 s", "2014-05-28T08:00:02Z")]
    [1, 2, 3, 1]
    """
    text = " ".join(text.split())
    if elapsed := _ELAPSED.match(text):
        _wall_time(data, text)
        seconds = float(elapsed[1]) * SECONDS[elapsed[2].lower()]
        times = data["time"].values
        return _nearest(data, times[0] + np.timedelta64(round(seconds * 1e6), "us"), text)
    if clock := _CLOCK.match(text):
        return _time_of_day(data, clock, text)
    number = _FRAME.match(text)
    names = measurement_labels(data)
    if number and (number["measurement"] is None or (names is not None and number["measurement"] in names)):
        scan = None if number["scan"] is None else int(number["scan"])
        return _numbered(data, number["measurement"], scan, int(number["frame"]), shown)
    if re.match(r"\d{4}-\d{2}-\d{2}", text):
        _wall_time(data, text)
        return resolve_key(data, text)
    raise StitchError(f"{text[:40]!r} is no frame: type {FORMS}")


def _wall_time(data: xr.Dataset, text: str) -> None:
    if data.attrs.get("time_source") == "frame":
        raise StitchError(f"these frames carry no time, so {text!r} cannot be found; type a frame number")


def _nearest(data: xr.Dataset, moment: np.datetime64, text: str) -> int:
    """Frame closest to a moment between the first frame and the last one."""
    times = data["time"].values
    slack = np.timedelta64(1, "s")
    if not times[0] - slack <= moment <= times[-1] + slack:
        zone = str(data.attrs.get("time_zone") or "UTC")
        first, last = (np.datetime_as_string(one, unit="s") for one in in_zone(times[[0, -1]], zone))
        raise StitchError(f"{text!r} lies outside the frames, which run from {first} to {last} ({_clock(data, zone)})")
    return int(np.abs((times - moment).astype("int64")).argmin())


def _time_of_day(data: xr.Dataset, clock: re.Match[str], text: str) -> int:
    """Frame closest to a local time of day, on the first day that has it."""
    _wall_time(data, text)
    zone = str(data.attrs.get("time_zone") or "UTC")
    seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3] or 0)
    local = in_zone(data["time"].values, zone)
    days = np.unique(local.astype("datetime64[D]"))
    for day in days:
        moment = day.astype("datetime64[us]") + np.timedelta64(round(seconds * 1e6), "us")
        if local[0] - np.timedelta64(1, "s") <= moment <= local[-1] + np.timedelta64(1, "s"):
            return int(np.abs((local - moment).astype("int64")).argmin())
    first, last = (np.datetime_as_string(one, unit="s") for one in local[[0, -1]])
    raise StitchError(f"{text!r} lies outside the frames, which run from {first} to {last} ({_clock(data, zone)})")


def _clock(data: xr.Dataset, zone: str) -> str:
    """Return what times are shown in."""
    return zone if knows_utc(data) else "the detector's clock"


def _numbered(data: xr.Dataset, measurement: str | None, scan: int | None, frame: int, shown: int) -> int:
    """Frame of a number: of the scan that is shown, if it has it, then of its measurement."""
    size, names = data.sizes["time"], measurement_labels(data)
    numbers = np.broadcast_to(data["frame"].values if "frame" in data.coords else np.arange(size), (size,))
    scans = np.broadcast_to(data["scan"].values if "scan" in data.coords else 1, (size,))
    name = measurement if measurement is not None or names is None else str(names[shown])
    here = np.ones(size, dtype=bool) if names is None else names == name
    if scan is not None:
        here &= scans == scan
    for part in (here & (scans == scans[shown]), here):
        if (found := np.flatnonzero(part & (numbers == frame))).size:
            return int(found[0])
    where = "".join(f" of {one}" for one in (f"scan {scan}" if scan is not None else "", name or "") if one)
    there = f"its frames run from {numbers[here].min()} to {numbers[here].max()}" if here.any() else "it has no frames"
    raise StitchError(f"there is no frame {frame}{where}; {there}")
