"""Time as numbers: whole microseconds, UNIX epoch seconds, the middle of an exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import TimeError

if TYPE_CHECKING:
    import xarray as xr

Moment = np.datetime64
"""A UTC time, datetime64[ns]."""
TIME_ENCODING: Mapping[str, object] = {
    "units": "seconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "dtype": "float64",
    "_FillValue": None,
}
"""On disk time is UNIX epoch seconds; float64 holds them to 0.24 µs."""


def nanoseconds(time: np.datetime64) -> Moment:
    """Return the same time as datetime64[ns].

    Raises
    ------
    TimeError
        It lies outside the years that a datetime64[ns] holds; NumPy would make another one of it.

    Examples
    --------
    >>> nanoseconds(np.datetime64("2014-05-28"))
    np.datetime64('2014-05-28T00:00:00.000000000')
    """
    found: Moment = in_nanoseconds([time])[0]
    return found


def in_nanoseconds(time: npt.ArrayLike) -> npt.NDArray[np.datetime64]:
    """Return the same times as datetime64[ns], or raise as :func:`nanoseconds` does.

    Examples
    --------
    >>> in_nanoseconds(np.array(["2300-01-01", "2014-05-28"], "datetime64[s]"))
    Traceback (most recent call last):
    ...
    xinsitu.errors.TimeError: 2300-01-01T00:00:00 lies outside the years 1678 to 2261, which times are kept in
    """
    times = np.asarray(time)
    if times.dtype.kind == "M" and (wrong := outside(times)).any():
        raise TimeError(f"{times[wrong][0]} lies outside the years 1678 to 2261, which times are kept in")
    return times.astype("datetime64[ns]")


_ENDS = np.datetime64("1677-09-21T00:12:44"), np.datetime64("2262-04-11T23:47:16")
"""Whole seconds within a datetime64[ns]."""


def outside(times: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where times lie outside the years that a datetime64[ns] holds; NaT is no time and lies nowhere.

    Examples
    --------
    >>> outside(np.array(["1600-01-01", "2014-05-28", "NaT"], "datetime64[us]"))
    array([ True, False, False])
    """
    unit, _ = np.datetime_data(times.dtype)
    if unit in ("generic", "ns", "ps", "fs", "as"):  # of no unit there is no time but NaT; the others hold less
        return ~np.isnat(times) if unit == "generic" else np.zeros(times.shape, dtype=bool)
    first, last = (end.astype(times.dtype) for end in _ENDS)  # these fit into every unit, times may not into another
    return np.asarray((times <= first) | (times > last))  # the first may be rounded down


def time_from_microseconds(microseconds: npt.ArrayLike) -> npt.NDArray[np.datetime64]:
    """UTC times as datetime64[ns] from whole microseconds since 1970-01-01.

    The one place where times are made: whole microseconds survive float64 epoch seconds on disk, and the unit is
    always ns whatever the default of the pandas in use.

    Raises
    ------
    TimeError
        One lies outside the years that a datetime64[ns] holds.

    Examples
    --------
    >>> time_from_microseconds([1_400_000_000_500_000])
    array(['2014-05-13T16:53:20.500000000'], dtype='datetime64[ns]')
    """
    return in_nanoseconds(np.asarray(microseconds, dtype="int64").astype("datetime64[us]"))


def microseconds_from_time(time: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Whole microseconds since 1970-01-01 of datetime64 values, rounded to the nearest.

    Raises
    ------
    TimeError
        One lies outside the years that a datetime64[ns] holds.

    Examples
    --------
    >>> microseconds_from_time(np.datetime64("1970-01-01T00:00:01.000000400", "ns"))
    array(1000000)
    """
    return np.asarray((in_nanoseconds(time).astype("int64") + 500) // 1000, dtype="int64")


def mid_exposure(data: xr.Dataset | xr.DataArray) -> npt.NDArray[np.datetime64]:
    """Middle of each exposure, ``(time)``, in whole microseconds; where there are no ``time_bounds`` it is ``time``.

    Examples
    --------
    >>> time = time_from_microseconds([5_000_000])
    >>> bounds = ("time", "bound"), np.stack([time - np.timedelta64(900, "ms"), time], axis=1)
    >>> import xarray as xr
    >>> mid_exposure(xr.Dataset(coords={"time": time, "time_bounds": bounds}))
    array(['1970-01-01T00:00:04.550000000'], dtype='datetime64[ns]')
    """
    time = in_nanoseconds(data["time"].values)
    if "time_bounds" not in data.coords:
        return time
    begin, end = data["time_bounds"].transpose(..., "time").values.astype("datetime64[us]")
    middle = (begin + (end - begin) // 2).astype("datetime64[ns]")
    return np.where(np.isnat(middle), time, middle)


def epoch_seconds(time: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """UNIX epoch seconds (float64) of datetime64 values.

    Raises
    ------
    TimeError
        They are no times.

    Examples
    --------
    >>> float(epoch_seconds(np.datetime64("1970-01-02")))
    86400.0
    """
    if hasattr(time, "data_vars"):
        raise TimeError("times are wanted, e.g. series.time, not the whole Dataset")
    try:
        return np.asarray(microseconds_from_time(time) / 1e6, dtype="float64")
    except TimeError:
        raise
    except (TypeError, ValueError):
        raise TimeError("times are wanted as datetime64, e.g. series.time; these are none") from None


UNKNOWN_ZONE = "unknown"
"""Attribute ``time_zone_source`` where nobody knows the zone of the stamps: ``time`` is what the clock showed."""


def knows_utc(data: xr.DataArray | xr.Dataset) -> bool:
    """Whether ``time`` is UTC, and not frame numbers or what a clock of an unknown zone showed.

    Examples
    --------
    >>> import xarray as xr
    >>> knows_utc(xr.Dataset(attrs={"time_zone_source": "unknown"})), knows_utc(xr.Dataset())
    (False, True)
    """
    return data.attrs.get("time_zone_source") != UNKNOWN_ZONE and data.attrs.get("time_source") != "frame"
