"""When the points of a log were taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xinsitu.clock import find_zone, parse_stamp, parse_stamps, to_utc, utc_of
from xinsitu.errors import warn

from .log_files import LogTable
from .units import factor, scaled, split_label

Microseconds = npt.NDArray[np.int64]
NO_TIME = int(np.iinfo(np.int64).min)
_TIME_COLUMNS = ("epoch", "time", "datetime", "date_time", "timestamp", "unix", "unixtime", "utc")


def timed_points(table: LogTable, zone: str) -> tuple[Microseconds, npt.NDArray[np.intp]] | None:
    """Return the times of the points that have one, in order, and which points these are; None for less than two."""
    times = point_times(table, zone)
    if times is None or (times > NO_TIME).sum() < 2:
        return None
    points = np.flatnonzero(times > NO_TIME)
    order = points[np.argsort(times[points], kind="stable")]
    return times[order], order


def point_times(table: LogTable, zone: str) -> Microseconds | None:
    """UTC microseconds of the points of a log, ``NO_TIME`` where one has none; None where the log does not say.

    SPEC writes seconds since ``#E`` in the column ``Epoch``, or since ``#D`` in ``Time``; others write UNIX seconds
    or dates. A unit in the label of a column, ``Epoch (ms)``, is heeded.

    Examples
    --------
    >>> point_times(LogTable("a.csv", None, {"epoch": np.array([1.5])}), "UTC")
    array([1500000])
    """
    if table.epoch is not None and "Epoch" in table.columns:
        return _microseconds(table.columns["Epoch"] + table.epoch)
    start = parse_stamp(table.metadata.get("date", ""))
    if start is not None and "Time" in table.columns:
        began = to_utc(np.array([start.microseconds]), find_zone(zone))[0] / 1e6
        return _microseconds(table.columns["Time"] + began)
    for name, numbers in table.columns.items():
        if _is_time(name) and np.isfinite(numbers).any() and table.epoch is None:
            unit = split_label(name)[1]
            scale = factor(unit, "s") if unit else 1.0
            if scale is not None:
                return _microseconds(scaled(numbers, scale))
            warn(f"{table.path}: the unit of the column {name!r} is not known as one of time; it is not used")
    for name, cells in table.texts.items():
        read = parse_stamps(cells) if _is_time(name) else None
        if read is not None and read.found.any():
            return np.where(read.found, utc_of(read, zone), NO_TIME)
    return None


def _is_time(label: str) -> bool:
    return split_label(label)[0].lower().split(" ")[0] in _TIME_COLUMNS


def _microseconds(seconds: npt.NDArray[np.float64]) -> Microseconds:
    known = np.abs(seconds) < 1e11  # NaN is not; the year 5138 is far enough
    return np.where(known, np.rint(np.where(known, seconds, 0) * 1e6).astype("int64"), NO_TIME)
