"""Counters of a log, joined to the frames.

By the names of the frames where the log has them; else by point, where a scan of the log has as many points as there
are frames; else by time, to the nearest point. What was done is said in the attribute ``log_join``.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import DocumentError

from .columns import variable_name
from .instruments import Counter, Instrument
from .logs import LogTable, read_log
from .stamps import parse_stamps
from .zones import find_zone, to_utc

Positions = npt.NDArray[np.int64]
"""For every frame its point in the log; -1: none."""
MANY = 64
_TIME_COLUMNS = ("epoch", "time", "datetime", "date_time", "timestamp", "unix", "unixtime", "utc")


class NoLog(DocumentError):
    """A file that is called a log and holds no table."""


@dataclass(frozen=True)
class FrameKeys:
    """What identifies frames in a log.

    Parameters
    ----------
    names
        File names.
    scan, frame
        Numbers.
    microseconds
        UTC; None where time is only the frame number.
    zone
        Of times in the log without an offset.
    tolerance
        Seconds between a frame and its point; None: one and a half steps of the log.
    """

    names: Sequence[str]
    scan: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    microseconds: npt.NDArray[np.int64] | None
    zone: str
    tolerance: float | None = None


@dataclass(frozen=True)
class Joined:
    """A scan of a log, the point of each frame in it, and how these were found."""

    table: LogTable
    positions: Positions
    way: str


def find_logs(folder: str, patterns: Iterable[str], scans: Iterable[int] = ()) -> list[str]:
    """Log files beside frames: those that fit the first pattern that any file fits.

    A pattern with ``../`` looks into the folder above; ``{scan}`` stands for the numbers of the scans.

    Raises
    ------
    DocumentError
        So many files fit that they cannot all belong to these frames.

    Examples
    --------
    >>> find_logs("/no/such/folder", ["*.log"])
    []
    """
    for pattern in patterns:
        above, _, name = pattern.rpartition("/")
        place = os.path.dirname(folder) if above == ".." else folder
        wanted = [name.replace("{scan}", str(scan)) for scan in scans] if "{scan}" in name else [name]
        try:
            names = os.listdir(place)
        except OSError:
            continue
        found = sorted({one for want in wanted for one in fnmatch.filter(names, want)})
        if len(found) > MANY:
            raise DocumentError(f"{len(found)} files fit {pattern}; give one with logs=")
        if found:
            return [os.path.join(place, one) for one in found]
    return []


def join_logs(paths: Iterable[str], keys: FrameKeys, instrument: Instrument) -> tuple[dict[str, xr.Variable], str]:
    """Coordinates along time from log files, and how they were joined.

    Parameters
    ----------
    paths
        Log files.
    keys
        The frames.
    instrument
        Says which counters to take and what they mean; without counters every column is taken.

    Raises
    ------
    DocumentError
        No log can be read, or none fits the frames.
    """
    tables, faults = [], []
    for path in paths:
        try:
            tables += [table for table in read_log(path) if len(table)]
        except DocumentError as error:
            faults.append(str(error))
    if not tables:
        raise NoLog("; ".join(faults) or "the log holds no point")
    joined: list[Joined] = []
    taken = np.zeros(len(keys.names), dtype=bool)
    for way in (_by_name, _by_point, _by_time):
        for table in tables:
            if any(table is other.table for other in joined) or taken.all():
                continue
            positions = np.where(taken, -1, way(table, tables, keys))
            if (positions >= 0).any():
                joined.append(Joined(table, positions, way.__name__.removeprefix("_").replace("_", " ")))
                taken |= positions >= 0
    if not joined:
        raise DocumentError("no scan of the log has the frames' names, number of points or times")
    ways = ", ".join(dict.fromkeys(one.way for one in joined))
    files = ", ".join(dict.fromkeys(os.path.basename(one.table.path) for one in joined))
    without = int((~taken).sum())
    said = f"{files}: {ways}" + (f"; {without} of {len(taken)} frames without a point" if without else "")
    return _variables(joined, keys, instrument), said


def _by_name(table: LogTable, tables: list[LogTable], keys: FrameKeys) -> Positions:
    """Positions by file name, which may come with a folder."""
    best = np.full(len(keys.names), -1, dtype="int64")
    for cells in table.texts.values():
        places = {os.path.basename(cell.replace("\\", "/")): index for index, cell in enumerate(cells)}
        found = np.array([places.get(os.path.basename(name), -1) for name in keys.names], dtype="int64")
        if (found >= 0).sum() > (best >= 0).sum():
            best = found
    return best


def _by_point(table: LogTable, tables: list[LogTable], keys: FrameKeys) -> Positions:
    """Positions by number, where the table has as many points as its scan has frames."""
    scans = np.unique(keys.scan)
    if table.scan in scans:
        mine = keys.scan == table.scan
    elif len(tables) == 1 and len(scans) == 1:
        mine = np.ones(len(keys.scan), dtype=bool)
    else:
        return np.full(len(keys.scan), -1, dtype="int64")
    frames = keys.frame[mine]
    positions = np.full(len(keys.scan), -1, dtype="int64")
    if len(table) == len(frames):
        positions[mine] = np.arange(len(frames))
    elif len(table) == frames.max() - frames.min() + 1:  # numbers are missing among the frames
        positions[mine] = frames - frames.min()
    return positions


def _by_time(table: LogTable, tables: list[LogTable], keys: FrameKeys) -> Positions:
    """Positions of the nearest points in time, no farther than one and a half steps of the log."""
    nothing = np.full(len(keys.names), -1, dtype="int64")
    times = point_times(table, keys.zone)
    if times is None or keys.microseconds is None or len(times) < 2:
        return nothing
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    behind = np.clip(np.searchsorted(ordered, keys.microseconds), 1, len(ordered) - 1)
    nearer = keys.microseconds - ordered[behind - 1] < ordered[behind] - keys.microseconds
    nearest = np.where(nearer, behind - 1, behind)
    usual = 1.5 * max(float(np.median(np.diff(ordered))), 1e6)
    tolerance = usual if keys.tolerance is None else keys.tolerance * 1e6
    close = np.abs(ordered[nearest] - keys.microseconds) <= tolerance
    return np.where(close, order[nearest], nothing)


def point_times(table: LogTable, zone: str) -> npt.NDArray[np.int64] | None:
    """UTC microseconds of the points of a log; None where it does not say.

    Examples
    --------
    >>> point_times(LogTable("a.csv", None, {"epoch": np.array([1.5])}), "UTC")
    array([1500000])
    """
    if table.epoch is not None and "Epoch" in table.columns:
        return np.rint((table.columns["Epoch"] + table.epoch) * 1e6).astype("int64")
    for name, numbers in table.columns.items():
        if name.lower().split(" ")[0] in _TIME_COLUMNS and np.isfinite(numbers).all() and table.epoch is None:
            return np.rint(numbers * 1e6).astype("int64")
    for name, cells in table.texts.items():
        read = parse_stamps(cells) if name.lower().split(" ")[0] in _TIME_COLUMNS else None
        if read is not None and read.found.all():
            zoned = read.offsets > np.iinfo("int64").min
            utc = read.microseconds - np.where(zoned, read.offsets, 0)
            if not zoned.all():
                utc[~zoned] = to_utc(read.microseconds[~zoned], find_zone(zone))
            return utc
    return None


def _variables(joined: Sequence[Joined], keys: FrameKeys, instrument: Instrument) -> dict[str, xr.Variable]:
    """Coordinates of the counters that the instrument names, or of all columns."""
    found: dict[str, xr.Variable] = {}
    for counter in instrument.counters or _all_columns(joined):
        values = np.full(len(keys.names), np.nan)
        there = False
        for one in joined:
            column = _values(one.table, counter)
            if column is not None:
                there = True
                mine = one.positions >= 0
                values[mine] = _taken(one, column, counter, keys)[mine] * counter.scale
        if there:
            found[counter.name] = xr.Variable("time", values, counter.attributes())
    return found


def _taken(one: Joined, column: npt.NDArray[np.float64], counter: Counter, keys: FrameKeys) -> npt.NDArray[np.float64]:
    """Values of a column for all frames: at their points, or between two points."""
    if counter.interpolate and one.way == "by time" and keys.microseconds is not None:
        times = point_times(one.table, keys.zone)
        if times is not None:
            order = np.argsort(times, kind="stable")
            return np.interp(keys.microseconds, times[order], column[order])
    points = np.where(one.positions >= 0, one.positions + counter.lag, -1)
    there = (points >= 0) & (points < len(column))
    return np.where(there, column[np.where(there, points, 0)], np.nan)


def _values(table: LogTable, counter: Counter) -> npt.NDArray[np.float64] | None:
    """Column of a counter; a value that holds for the whole scan comes once per point."""
    if counter.column in table.columns:
        return table.columns[counter.column]
    try:
        return np.full(len(table), float(table.metadata[counter.column]))
    except (KeyError, ValueError):
        return None


def _all_columns(joined: Sequence[Joined]) -> tuple[Counter, ...]:
    names = dict.fromkeys(name for one in joined for name in one.table.columns)
    return tuple(Counter(variable_name(name), name) for name in names)
