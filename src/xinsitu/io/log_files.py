"""Logs of measurements: SPEC, GDA and CSV files, their points, and when these were taken."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xinsitu.clock import find_zone, parse_stamp, parse_stamps, to_utc, utc_of
from xinsitu.errors import DocumentError, warn

from .disk import ordinary
from .units import factor, scaled, split_label

MAX_BYTES = 2**28

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogTable:
    """One scan of a log.

    Parameters
    ----------
    path
        The file.
    scan
        Its number; None where the log has none.
    columns
        Numbers, one per point.
    texts
        Columns that are no numbers, such as file names.
    metadata
        Values that hold for the whole scan.
    epoch
        UNIX seconds that the column ``Epoch`` counts from; None where it is unknown.
    broken
        Of each line that made no sense, how many points stand above it.
    motors
        Names of motors that the file lists.
    strange
        What was found in columns of numbers that are no numbers.
    """

    path: str
    scan: int | None
    columns: Mapping[str, Numbers]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    epoch: float | None = None
    broken: tuple[int, ...] = ()
    motors: frozenset[str] = frozenset()
    strange: tuple[str, ...] = ()

    def __len__(self) -> int:
        lengths = [len(column) for column in self.columns.values()] + [len(cells) for cells in self.texts.values()]
        return max(lengths, default=0)

    @property
    def bad_lines(self) -> int:
        """How many lines made no sense."""
        return len(self.broken)


def read_log(path: str | os.PathLike[str]) -> list[LogTable]:
    """Read a log file of any known kind, one table per scan.

    Raises
    ------
    DocumentError
        The file cannot be read, or is none of the known kinds.
    """
    name = os.fspath(path)
    try:
        if os.path.getsize(name) > MAX_BYTES:
            raise DocumentError(f"{name}: a log of more than {MAX_BYTES >> 20} MiB is not read")
        with open(ordinary(name), encoding="utf-8-sig", errors="replace", newline="") as file:
            text = file.read()
    except OSError as error:
        raise DocumentError(f"{name}: the log cannot be read ({error.strerror})") from None
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    if head.startswith(("#F", "#S", "#E", "#D")):
        return _read_spec(name, lines)
    if head.strip().startswith("&SRS"):
        return [_read_srs(name, lines)]
    return [_read_csv(name, lines)]


@dataclass
class _Scan:
    """A scan of a SPEC file while it is read; what the header above it says is fixed where it begins."""

    number: int | None
    metadata: dict[str, str]
    epoch: float | None
    motors: frozenset[str]
    width: int | None = None
    labels: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)

    def table(self, path: str) -> LogTable:
        """Return the scan as a table."""
        values, broken = _points(self.points, len(self.labels))
        columns = dict(zip(self.labels, values.T, strict=True))
        return LogTable(path, self.number, columns, {}, self.metadata, self.epoch, broken, self.motors)


def _read_spec(path: str, lines: Iterable[str]) -> list[LogTable]:
    """Read a SPEC file: ``#S`` begins a scan, ``#N`` and ``#L`` count and name its columns, ``#O`` motors.

    A file header may come again where SPEC was started anew: its ``#E`` holds for the scans below it, and ends the
    scan above.
    """
    tables: list[LogTable] = []
    scan = _Scan(None, {}, None, frozenset())
    epoch: float | None = None
    motors: set[str] = set()
    for line in _without_spectra(lines):
        if not line.startswith("#"):
            if scan.labels and line.strip():
                scan.points.append(line)
        elif re.match(r"#[SF]\b", line):
            tables += [scan.table(path)] if scan.labels else []
            found = re.match(r"#S\s+(\d+)\s*(.*)", line)
            command = {"command": found[2]} if found else {}
            motors = set() if line.startswith("#F") else motors
            scan = _Scan(int(found[1]) if found else None, command, epoch, frozenset(motors))
        elif re.match(r"#E\b", line):
            epoch = _number(line[2:])
            if scan.labels:  # of a header without #F
                tables.append(scan.table(path))
                scan = _Scan(None, {}, epoch, frozenset(motors))
            scan.epoch = epoch
        elif re.match(r"#D\b", line):
            scan.metadata.setdefault("date", line[2:].strip())
        elif re.match(r"#O\d", line):
            motors.update(_labels(line.partition(" ")[2], None))
            scan.motors = frozenset(motors)
        elif re.match(r"#N\b", line):
            scan.width = int(found[1]) if (found := re.match(r"#N\s+(\d{1,6})", line)) else None
        elif re.match(r"#L\b", line):
            scan.labels = _unique(_labels(line[2:], scan.width))
    return tables + ([scan.table(path)] if scan.labels else [])


def _labels(text: str, width: int | None) -> list[str]:
    """Names parted by two blanks or a tab; by single blanks where only so there are as many as there should be.

    Examples
    --------
    >>> _labels("Two Theta  Monitor", 2), _labels("Time Epoch Monitor", 3)
    (['Two Theta', 'Monitor'], ['Time', 'Epoch', 'Monitor'])
    """
    names = re.split(r"\s{2,}|\t", text.strip())
    words = text.split()
    return words if width is not None and len(names) != width == len(words) else names


def _without_spectra(lines: Iterable[str]) -> Iterator[str]:
    """Leave out the spectra of multichannel analysers: ``@A`` and what its trailing backslashes carry over."""
    inside = False
    for line in lines:
        inside = inside or line.startswith("@")
        if not inside:
            yield line
        inside = inside and line.endswith("\\")


_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_NOTHING = frozenset(("", "none", "null", "nan", "n/a", "na", "inf", "infinity", "1.#inf", "1.#qnan", "1.#ind"))
"""What stands in a cell where a device gave no number, but for signs and stars."""


def _points(lines: list[str], width: int) -> tuple[Numbers, tuple[int, ...]]:
    """Return the numbers of the lines that hold so many of them, and how many of these stand above each other line.

    Examples
    --------
    >>> _points(["1 2", "3", "4 None", "5 -inf", "6 x"], 2)
    (array([[ 1.,  2.],
           [ 4., nan],
           [ 5., nan]]), (1, 3))
    """
    try:  # five times faster than line by line
        values = np.loadtxt(lines, comments=None, ndmin=2) if lines else np.empty((0, width))
    except ValueError:
        values = np.empty((0, 0))
    if values.shape != (len(lines), width):
        found = [_numbers(line) for line in lines]
        rows = [row for row in found if len(row) == width]
        values, broken = np.array(rows, dtype="float64").reshape(len(rows), width), _broken(found, width)
    else:
        broken = ()
    values[np.isinf(values)] = np.nan
    return values, broken


def _broken(rows: Iterable[Sequence[object]], width: int) -> tuple[int, ...]:
    """How many rows of this width stand above each one of another.

    Examples
    --------
    >>> _broken([[1, 2], [3], [4, 5], [6, 7], []], 2)
    (1, 3)
    """
    above, found = 0, []
    for row in rows:
        if len(row) == width:
            above += 1
        else:
            found.append(above)
    return tuple(found)


def _read_srs(path: str, lines: list[str]) -> LogTable:
    """Read a GDA ``.dat`` file: ``key=value`` lines up to ``&END``, then tab-separated columns."""
    end = next((index for index, line in enumerate(lines) if line.strip() == "&END"), None)
    if end is None or end + 1 >= len(lines):
        raise DocumentError(f"{path}: the log has no &END and no columns behind it")
    metadata = {
        name.strip(): value.strip().strip("'")
        for line in lines[:end]
        for name, mark, value in [line.partition("=")]
        if mark and not line.startswith(" SRS")
    }
    run = re.search(r"SRSRUN=(\d+)", "\n".join(lines[:end]))
    labels = _unique(lines[end + 1].strip().split("\t"))
    rows = [line.split("\t") for line in lines[end + 2 :] if line.strip()]
    return _mixed(path, labels, rows, scan=int(run[1]) if run else None, metadata=metadata)


def _read_csv(path: str, lines: list[str]) -> LogTable:
    """Read a table with a header line, separated by commas, semicolons, tabs or blanks."""
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    if len(kept) < 2:
        raise DocumentError(f"{path}: the log holds no table")
    delimiter = next((mark for mark in ",;\t" if mark in kept[0]), None)
    if delimiter is None:
        rows = [line.split() for line in kept]
    else:
        rows = [[cell.strip() for cell in row] for row in csv.reader(kept, delimiter=delimiter)]
    cells = [cell for row in rows for cell in row]
    if delimiter != "," and not any(map(_DECIMAL_POINT.fullmatch, cells)):  # beside points a comma parts thousands
        rows = [[cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in rows]
    if len(rows[0]) < 2 or all(_number(cell) is not None for cell in rows[0]):
        raise DocumentError(f"{path}: this is no SPEC, GDA or CSV log: its first line names no columns")
    return _mixed(path, _unique(rows[0]), rows[1:], scan=None, metadata={})


def _mixed(
    path: str, labels: list[str], rows: list[list[str]], *, scan: int | None, metadata: Mapping[str, str]
) -> LogTable:
    """Table of rows of text; columns become numbers where most cells are: one that is none costs its point alone."""
    whole = [row for row in rows if len(row) == len(labels)]
    columns: dict[str, Numbers] = {}
    texts: dict[str, tuple[str, ...]] = {}
    strange: list[str] = []
    for label, cells in zip(labels, zip(*whole, strict=True), strict=False):
        numbers = [_number(cell) for cell in cells]
        others = [cell for number, cell in zip(numbers, cells, strict=True) if number is None and not _is_nothing(cell)]
        if not others or 2 * len(others) < sum(number is not None for number in numbers):
            columns[label] = np.array([np.nan if number is None else number for number in numbers])
            if others:
                strange.append(f"{len(others)} of {len(cells)} cells of {label} are no numbers ({others[0]!r} first)")
        else:
            texts[label] = tuple(cell.strip() for cell in cells)
    return LogTable(path, scan, columns, texts, metadata, broken=_broken(rows, len(labels)), strange=tuple(strange))


def _is_nothing(cell: str) -> bool:
    return cell.strip().strip("+-*").lower() in _NOTHING


def _unique(labels: list[str]) -> list[str]:
    """Labels without repetition: the second ``x`` is ``x_2``."""
    seen: dict[str, int] = {}
    result = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        result.append(label if seen[label] == 1 else f"{label}_{seen[label]}")
    return result


def _numbers(line: str) -> list[float]:
    """Numbers of a line, NaN for a cell without one; none at all where one of its words is something else."""
    try:
        return [math.nan if _is_nothing(word) else float(word) for word in line.split()]
    except ValueError:
        return []


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if not math.isinf(value) else None


Microseconds = npt.NDArray[np.int64]
NO_TIME = int(np.iinfo(np.int64).min)
EARLIEST = 788_918_400
"""1995, in UNIX seconds: no scan takes so long."""
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

    SPEC writes seconds since ``#E`` in the column ``Epoch``, or since ``#D`` in ``Time``; others write UNIX seconds,
    some of them below an ``#E``, or dates. A unit in the label of a column, ``Epoch (ms)``, is heeded.

    Examples
    --------
    >>> point_times(LogTable("a.csv", None, {"epoch": np.array([1.5])}), "UTC")
    array([1500000])
    """
    if table.epoch is not None and "Epoch" in table.columns:
        seconds = table.columns["Epoch"]
        return _microseconds(seconds + (0 if (seconds > EARLIEST).any() else table.epoch))
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
