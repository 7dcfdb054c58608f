"""Counters of a log, joined to the frames.

By the names of the frames where the log has them; else by point, where a scan of the log has as many points as there
are frames; else by time, from the middle of each exposure to the nearest point. What was done is said in the attribute
``log_join``: the way, frames without a point, lines that made no sense, and how far the clocks are apart.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import DocumentError, warn

from .columns import variable_name
from .instruments import Counter, Instrument
from .log_files import EARLIEST, NO_TIME, LogTable, point_times, read_log, timed_points

Positions = npt.NDArray[np.int64]
"""For every frame its point in the log; -1: none."""
MANY = 64
CLOCKS_AGREE = 60
"""Seconds; points that are farther from their frames are said to be."""
SAME_PACE, BESIDE = 0.1, 0.25
"""Part by which steps of points and frames may differ where each frame has a point, and part of a step from which on
the nearest point may as well be that of the frame beside."""


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
        UTC of the middle of each exposure, or of its stamp where that is not known; None where time is only the frame
        number.
    zone
        Of times in the log without an offset.
    tolerance
        Seconds between a frame and its point; None: one and a half steps of the log.
    last
        Whether they are the last frames of a measurement alone, whose points nobody can count.
    growing
        Whether more frames may come, so that the log may be ahead of them.
    """

    names: Sequence[str]
    scan: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    microseconds: npt.NDArray[np.int64] | None
    zone: str
    tolerance: float | None = None
    last: bool = False
    growing: bool = False


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
            raise DocumentError(f"{len(found)} files fit {pattern}; give one with logs= (--log)")
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
    found, faults = [], []
    for path in paths:
        try:
            found += read_log(path)
        except DocumentError as error:
            faults.append(str(error))
    tables = [table for table in found if len(table)]
    if not tables and (bad := sum(table.bad_lines for table in found)):
        raise DocumentError(f"no line of its points makes sense, of {bad}: they need as many numbers as names")
    if not tables:
        raise NoLog("; ".join(faults) or "the log holds no point")
    joined, rivals = _joined(tables, keys)
    if not joined:
        raise DocumentError("no scan of the log has the frames' names, number of points or times")
    if rivals:
        warn(f"{joined[0].table.path}: joined to the frames, but so could be {rivals[0]}; give one with logs= (--log)")
    for one in joined:
        _warn_of_order(one, keys)
    return _variables(joined, keys, instrument), _said(joined, keys)


def _joined(tables: list[LogTable], keys: FrameKeys) -> tuple[list[Joined], list[str]]:
    """Return the tables that have points for the frames, and those that were as good but came later."""
    joined: list[Joined] = []
    rivals: list[str] = []
    taken = np.zeros(len(keys.names), dtype=bool)
    for way in (_by_name, _by_point, _by_time):
        for table in tables:
            if any(table is other.table for other in joined) or (taken.all() and way is _by_time):
                continue
            found = way(table, tables, keys)
            if way is _by_point and _taken_at_another(table, tables, keys, found):
                continue
            free = np.where(taken, -1, found)
            if (free >= 0).any():
                joined.append(Joined(table, free, way.__name__.removeprefix("_").replace("_", " ")))
                taken |= free >= 0
            elif (found >= 0).any() and way is _by_point and any(one.way == "by point" for one in joined):
                rivals.append(table.path if table.scan is None else f"scan {table.scan} of {table.path}")
    return joined, rivals


def _taken_at_another(table: LogTable, tables: list[LogTable], keys: FrameKeys, found: Positions) -> bool:
    """Whether the points are far from their frames in time, and those of another scan are where most frames are.

    Names without a number of a scan count as scan 1, which a log of several scans has, too.
    """
    apart = _apart(Joined(table, found, ""), keys) if (found >= 0).any() else None
    if apart is None or abs(apart) < CLOCKS_AGREE:
        return False
    return any(2 * (_by_time(one, tables, keys) >= 0).sum() > len(found) for one in tables if one is not table)


def _said(joined: Sequence[Joined], keys: FrameKeys) -> str:
    """Files, ways, and what a person should know of them."""
    files, ways = ([os.path.basename(one.table.path) for one in joined], [one.way for one in joined])
    said = f"{', '.join(dict.fromkeys(files))}: {', '.join(dict.fromkeys(ways))}"
    without = len(keys.names) - sum(int((one.positions >= 0).sum()) for one in joined)
    if without:
        said += f"; {without} of {len(keys.names)} frames without a point"
    if bad := sum(one.table.bad_lines for one in joined):
        said += f"; {counted(bad, 'line')} of the log made no sense"
    for strange in dict.fromkeys(strange for one in joined for strange in one.table.strange):
        said += f"; {strange}"
    apart = [seconds for one in joined if (seconds := _apart(one, keys)) is not None]
    if apart and abs(longest := max(apart, key=abs)) >= CLOCKS_AGREE:
        said += f"; the points are {abs(longest):.0f} s {'later' if longest > 0 else 'earlier'} than the frames"
    return said


def _apart(one: Joined, keys: FrameKeys) -> float | None:
    """Median seconds that points are later than their frames; None where it is not known."""
    times = point_times(one.table, keys.zone)
    if times is None or keys.microseconds is None:
        return None
    known = (one.positions >= 0) & (times[one.positions] > NO_TIME)
    if not known.any():
        return None
    return float(np.median(times[one.positions[known]] - keys.microseconds[known])) / 1e6


def _warn_of_order(one: Joined, keys: FrameKeys) -> None:
    """Say where points may be those of other frames: their times go back, lines are missing, or frames."""
    times = None if one.way == "by name" else point_times(one.table, keys.zone)
    if times is None:
        return
    known = times[times > EARLIEST * 10**6]  # others are no moments
    if back := int((np.diff(known) < 0).sum()):
        often = "once" if back == 1 else counted(back, "time")
        warn(f"{one.table.path}: the times of its points go back {often}: lines were swapped, or its clock was set")
    if one.way != "by time" or keys.microseconds is None or keys.last or min(len(known), len(keys.names)) < 2:
        return
    frames = np.count_nonzero(keys.scan == one.table.scan) or len(keys.names)
    there = np.flatnonzero(one.positions >= 0)
    mine, step = one.positions[there], float(np.median(np.diff(keys.microseconds)))
    pace = float(np.median(np.diff(np.sort(known))))
    off = float(np.median(np.abs(times[mine] - keys.microseconds[there])))
    if len(known) > frames:
        begun = one.table.scan is not None or abs(known.min() - keys.microseconds.min()) < step
        if begun and not keys.growing and any(abs(lines * pace - step) <= SAME_PACE * step for lines in (1, 2)):
            warn(
                f"{one.table.path}: {counted(len(known), 'point')} for {counted(frames, 'frame')}: frames are missing, "
                "or the log went on without them; joined by time, each frame has the nearest point"
                + (", which may be that of the frame beside" if off > BESIDE * pace else "")
            )
        return
    if abs(pace - step) > SAME_PACE * step:
        return  # a log at a pace of its own, such as that of a storage ring
    if unsure := len(mine) if off > BESIDE * step else len(mine) - len(np.unique(mine)):
        warn(
            f"{one.table.path}: its points are as frequent as the frames, but not as many: joined by time, {unsure} of "
            f"{len(keys.names)} frames may have the point of the frame beside"
        )


def _by_name(table: LogTable, tables: list[LogTable], keys: FrameKeys) -> Positions:
    """Positions by file name, which may come with a folder."""
    best = np.full(len(keys.names), -1, dtype="int64")
    for cells in table.texts.values():
        places = {os.path.basename(cell.replace("\\", "/")): index for index, cell in enumerate(cells)}
        found = np.array([places.get(os.path.basename(name), -1) for name in keys.names], dtype="int64")
        if (found >= 0).sum() > (best >= 0).sum():
            best = found
    few = 2 * (best >= 0).sum() < min(len(table), len(best))
    mentioned = few and not _names_others(table, keys)  # a remark about some frames, not their names
    return np.full(len(best), -1, dtype="int64") if mentioned else best


_NUMBERED = re.compile(r"(.*?)(\d{1,18})(\.\w+)?")


def _names_others(table: LogTable, keys: FrameKeys) -> bool:
    """Whether the points are those of frames of this name, and most of these frames are not among them."""
    frames = [match for name in keys.names if (match := _NUMBERED.fullmatch(os.path.basename(name)))]
    names = {match[1] for match in frames}
    for cells in table.texts.values():
        matches = (_NUMBERED.fullmatch(os.path.basename(cell.replace("\\", "/"))) for cell in cells)
        told = {int(match[2]) for match in matches if match and match[1] in names}
        if 2 * len(told) > len(table):
            return 2 * sum(int(match[2]) in told for match in frames) < len(keys.names)
    return False


def _by_point(table: LogTable, tables: list[LogTable], keys: FrameKeys) -> Positions:
    """Positions by number, where the table has as many points as its scan has frames.

    A line that made no sense counts as a point where the times around it leave room for one; where they do not, they
    tell better themselves. Points that bear the names of other frames are never counted.
    """
    nothing = np.full(len(keys.scan), -1, dtype="int64")
    if keys.last or _names_others(table, keys):
        return nothing
    points = np.arange(len(table))
    if table.broken and (times := point_times(table, keys.zone)) is not None and keys.microseconds is not None:
        points = _with_gaps(table, times)
    scans = np.unique(keys.scan)
    if table.scan in scans:
        mine = keys.scan == table.scan
    elif len(tables) == 1 and len(scans) == 1:
        mine = np.ones(len(keys.scan), dtype=bool)
    else:
        return nothing
    frames, positions = keys.frame[mine], nothing
    if len(points) == len(frames):
        positions[mine] = points
    elif len(points) == frames.max() - frames.min() + 1:  # numbers are missing among the frames
        positions[mine] = points[frames - frames.min()]
    return positions


def _with_gaps(table: LogTable, times: npt.NDArray[np.int64]) -> Positions:
    """Points, with -1 for each line that made no sense; none at all where it was no point, by the times around it."""
    lost, steps = np.bincount(table.broken, minlength=len(table) + 1)[1 : len(table)], np.diff(times)
    usual = np.median(steps[lost == 0]) if (lost == 0).any() else np.nan
    if (times == NO_TIME).any() or not (np.abs(steps - (lost + 1) * usual)[lost > 0] < usual / 2).all():
        return np.empty(0, dtype="int64")
    return np.insert(np.arange(len(table)), table.broken, -1)


def _by_time(table: LogTable, tables: list[LogTable], keys: FrameKeys) -> Positions:
    """Positions of the nearest points in time, no farther than one and a half steps of the log."""
    nothing = np.full(len(keys.names), -1, dtype="int64")
    timed = timed_points(table, keys.zone)
    if timed is None or keys.microseconds is None:
        return nothing
    times, points = timed
    behind = np.clip(np.searchsorted(times, keys.microseconds), 1, len(times) - 1)
    nearer = keys.microseconds - times[behind - 1] < times[behind] - keys.microseconds
    nearest = np.where(nearer, behind - 1, behind)
    usual = 1.5 * max(float(np.median(np.diff(times))), 1e6)
    tolerance = usual if keys.tolerance is None else keys.tolerance * 1e6
    close = np.abs(times[nearest] - keys.microseconds) <= tolerance
    return np.where(close, points[nearest], nothing)


def _variables(joined: Sequence[Joined], keys: FrameKeys, instrument: Instrument) -> dict[str, xr.Variable]:
    """Coordinates of the counters that the instrument names, or of all columns; and of motors."""
    found: dict[str, xr.Variable] = {}
    for counter in (*(instrument.counters or _all_columns(joined)), *_motors(joined, instrument)):
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


def _motors(joined: Sequence[Joined], instrument: Instrument) -> Iterator[Counter]:
    """Columns of motors: those that the instrument's table knows, or the log's own list."""
    for one in joined:
        for column in one.table.columns:
            units = instrument.motor(column)
            if units is not None or column in one.table.motors:
                yield Counter(variable_name(column), column, units=units or "1", meaning=f"motor {column}")


def _taken(one: Joined, column: npt.NDArray[np.float64], counter: Counter, keys: FrameKeys) -> npt.NDArray[np.float64]:
    """Values of a column for all frames: at their points, or between two points."""
    column = _shifted(column, counter.lag)
    timed = timed_points(one.table, keys.zone) if counter.interpolate and one.way == "by time" else None
    if timed is not None and keys.microseconds is not None:
        times, points = timed
        return np.interp(keys.microseconds, times, column[points])
    return np.where(one.positions >= 0, column[one.positions], np.nan)


def _shifted(column: npt.NDArray[np.float64], lag: int) -> npt.NDArray[np.float64]:
    """Bring values back to the points that they belong to; NaN where there is none.

    Examples
    --------
    >>> _shifted(np.array([0.0, 1.0, 2.0]), 1)
    array([ 1.,  2., nan])
    """
    points = np.arange(len(column)) + lag
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
