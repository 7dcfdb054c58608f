"""Time as numbers: whole microseconds, UNIX epoch seconds, the middle of an exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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
    found: Moment = np.datetime64(time, "ns")  # type: ignore[call-overload] # missing in numpy's stubs
    if not np.isnat(time) and found.astype("datetime64[s]") != time.astype("datetime64[s]"):
        raise TimeError(f"{time} lies outside the years 1678 to 2261, which times are kept in")
    return found


def time_from_microseconds(microseconds: npt.ArrayLike) -> npt.NDArray[np.datetime64]:
    """UTC times as datetime64[ns] from whole microseconds since 1970-01-01.

    The one place where times are made: whole microseconds survive float64 epoch seconds on disk, and the unit is
    always ns whatever the default of the pandas in use.

    Examples
    --------
    >>> time_from_microseconds([1_400_000_000_500_000])
    array(['2014-05-13T16:53:20.500000000'], dtype='datetime64[ns]')
    """
    whole = np.asarray(microseconds, dtype="int64")
    return whole.astype("datetime64[us]").astype("datetime64[ns]")


def microseconds_from_time(time: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Whole microseconds since 1970-01-01 of datetime64 values, rounded to the nearest.

    Examples
    --------
    >>> microseconds_from_time(np.datetime64("1970-01-01T00:00:01.000000400", "ns"))
    array(1000000)
    """
    nanoseconds = np.asarray(time).astype("datetime64[ns]").astype("int64")
    return np.asarray((nanoseconds + 500) // 1000, dtype="int64")


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
    time = np.asarray(data["time"].values, dtype="datetime64[ns]")
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
        time = np.asarray(time).astype("datetime64[ns]")
    except (TypeError, ValueError):
        raise TimeError("times are wanted as datetime64, e.g. series.time; these are none") from None
    return np.asarray(microseconds_from_time(time) / 1e6, dtype="float64")


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
