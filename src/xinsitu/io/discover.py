"""Which files of a folder are the frames of a measurement, and in what order.

One ``scandir``. Frames are ordered by the numbers in their names, never by listing order or time stamp, so that
``_999`` comes before ``_1000`` and ``_2`` before ``_10``. Consecutive scans of one name (``_1_357``, then ``_2_0``)
are one measurement. What is no frame is left alone and counted.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from xinsitu.digits import counted
from xinsitu.errors import LayoutError, in_utf8

from .formats.reading import HDF5_SUFFIXES as HDF5_SUFFIXES
from .formats.reading import SUFFIXES as SUFFIXES
from .instruments import PATTERNS

PACKED = (".gz", ".bz2", ".xz", ".zst", ".z")
OTHER_IMAGES = {".dm3", ".img", ".kcd", ".mar2300", ".mar3450", ".mrc", ".npy", ".sfrm", ".spe"}
"""Endings of frames that fabio reads, and turns into some that are read here."""
LOG_SUFFIXES = (".log", ".dat", ".spec", ".csv", ".txt")
_DIGITS = 18  # what int64 holds
_LONE = 10
"""A series of one file beside one of at least this many is somebody's picture, not a second series."""


class FrameName(NamedTuple):
    """A file name, read."""

    name: str
    scan: int
    frame: int

    @property
    def number(self) -> tuple[int, int]:
        """Its place in the measurement."""
        return self.scan, self.frame


@dataclass(frozen=True)
class Series:
    """Frames of one name in order."""

    name: str
    suffix: str
    files: tuple[FrameName, ...]

    @property
    def scans(self) -> list[int]:
        """Scan numbers, in order."""
        return sorted({file.scan for file in self.files})

    @property
    def pattern(self) -> str:
        """Name with the ending of its files, which tells series of one name apart."""
        return f"{self.name}*{self.suffix}"

    def __str__(self) -> str:
        scans = self.scans
        numbers = f", scans {', '.join(map(str, scans))}" if len(scans) > 1 else ""
        return f"{self.pattern} ({counted(len(self.files), 'frame')}{numbers})"


@dataclass(frozen=True)
class Folder:
    """What one ``scandir`` found.

    Parameters
    ----------
    path
        The folder, absolute.
    series
        Series of frames, the longest first.
    logs, strays
        Names of log files, and of everything else that is no frame.
    folders
        Names of sub-folders, in natural order.
    """

    path: str
    series: tuple[Series, ...]
    logs: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    folders: tuple[str, ...] = field(default=())


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key that takes runs of digits as numbers.

    Examples
    --------
    >>> sorted(["time10", "time2", "time1a"], key=natural_key)
    ['time1a', 'time2', 'time10']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts)


def look(path: str | os.PathLike[str], patterns: Sequence[str] = PATTERNS) -> Folder:
    """List a folder once and sort its files into series, logs and strays.

    Raises
    ------
    LayoutError
        There is no such folder, or it cannot be listed.
    """
    folder = os.path.abspath(os.fspath(path))
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if _is_folder(entry) else names).append(entry.name)
    except FileNotFoundError:
        kind = "file" if folder.lower().endswith(SUFFIXES + HDF5_SUFFIXES) else "folder"
        raise LayoutError(f"{folder}: there is no such {kind}") from None
    except NotADirectoryError:
        raise LayoutError(f"{folder}: this is a file, not a folder of frames") from None
    except OSError as error:
        raise LayoutError(f"{folder}: the folder cannot be listed ({error.strerror})") from None
    series, rest = group(names, patterns)
    logs = [name for name in rest if not name.startswith(".") and name.lower().endswith(LOG_SUFFIXES)]
    strays = sorted(set(rest) - set(logs), key=natural_key)
    return Folder(
        folder, series, tuple(sorted(logs, key=natural_key)), tuple(strays), tuple(sorted(folders, key=natural_key))
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link that leads round in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def group(
    names: Iterable[str], patterns: Sequence[str] = PATTERNS, *, suffixes: tuple[str, ...] | None = SUFFIXES
) -> tuple[tuple[Series, ...], list[str]]:
    """Series of the frames among the names, the longest first, and the names that are no frames.

    ``suffixes=None`` takes files of any ending.

    Examples
    --------
    >>> series, strays = group(["a_1_10.tif", "a_1_9.tif", "a_2_0.tif", "mean.tif", "a.log"])
    >>> [file.name for file in series[0].files], strays
    (['a_1_9.tif', 'a_1_10.tif', 'a_2_0.tif'], ['mean.tif', 'a.log'])
    """
    compiled = [re.compile(pattern) for pattern in patterns]
    found: dict[tuple[str, str], list[FrameName]] = {}
    rest: list[str] = []
    for name in names:
        stem, dot, ending = name.rpartition(".")
        suffix = (dot + ending).lower()
        visible = stem and not name.startswith(".", name.rfind(os.sep) + 1)
        known = visible and (suffixes is None or suffix in suffixes)
        series, scan, frame = _parts(stem, compiled) if known else ("", "", "")
        if frame and len(frame) <= _DIGITS and len(scan) <= _DIGITS:
            found.setdefault((series, suffix), []).append(FrameName(name, int(scan), int(frame)))
        else:
            rest.append(name)
    groups = [piece for (name, suffix), files in found.items() for piece in _consecutive(name, suffix, files)]
    groups.sort(key=lambda series: (-len(series.files), natural_key(series.name)))
    least = 2 if groups and len(groups[0].files) >= _LONE else 1
    rest.extend(series.files[0].name for series in groups if len(series.files) < least)
    return tuple(series for series in groups if len(series.files) >= least), rest


def _parts(stem: str, patterns: Sequence[re.Pattern[str]]) -> tuple[str, str, str]:
    """Name of the series, scan and frame as the first pattern that fits says; no frame where none does."""
    for pattern in patterns:
        if match := pattern.fullmatch(stem):
            part = match.groupdict()
            return part.get("name") or "", part.get("scan") or "1", part["frame"]
    return "", "", ""


def _consecutive(name: str, suffix: str, files: list[FrameName]) -> list[Series]:
    """Cut the scans of one name where a scan number is missing."""
    for part in ("name", "frame", "scan"):  # sorting is stable, and by one value at a time twice as fast
        files.sort(key=attrgetter(part))
    cuts = [0]
    cuts += [index for index, (one, other) in enumerate(pairwise(files), start=1) if other.scan - one.scan > 1]
    cuts.append(len(files))
    several = len(cuts) > 2
    return [
        Series(f"{name}_{files[start].scan}" if several else name, suffix, tuple(files[start:stop]))
        for start, stop in pairwise(cuts)
    ]


def choose(folder: Folder, series: str | None = None) -> Series:
    """Return the one series of a folder, or the one asked for by name.

    Raises
    ------
    LayoutError
        There is none, there are several, or none has this name.
    """
    if not folder.series:
        raise LayoutError(why_none(folder))
    if series is not None:
        named = [one for one in folder.series if series in (one.name, one.pattern)]
        if len(named) == 1:
            return named[0]
        raise LayoutError(
            f"{folder.path}: {'several series are' if named else 'no series is'} named {series!r}; "
            f"there are {', '.join(map(str, folder.series))}"
            + (f"; choose one with series={named[0].pattern!r} (--series)" if named else "")
        )
    if len(folder.series) > 1:
        first, names = folder.series[0], [one.name for one in folder.series]
        choice = first.name if names.count(first.name) == 1 else first.pattern
        raise LayoutError(
            f"{folder.path}: {len(folder.series)} series of frames in one folder, "
            f"{', '.join(map(str, folder.series))}; choose one with series={choice!r} (--series)"
        )
    return folder.series[0]


def holds_images(folder: Folder) -> bool:
    """Whether frames lie in a folder that are no measurement as they stand."""
    return any(name.lower().endswith(SUFFIXES + HDF5_SUFFIXES) for name in folder.strays)


def why_none(folder: Folder, *, inside: bool = True) -> str:
    """Say why a folder holds no measurement, and what may be opened instead.

    ``inside``: the folders in it may hold some; nobody has looked.
    """
    files = len(folder.logs) + len(folder.strays)
    if stacks := [name for name in folder.strays if name.lower().endswith(HDF5_SUFFIXES)]:
        return f"{folder.path}: no frames in files of their own; {_of_stacks(stacks)}"
    shown = ", ".join(folder.folders[:4]) + (", ..." if len(folder.folders) > 4 else "")
    if folder.folders and inside:
        said = "open one of these, or all of them with open_sample ('xinsitu measure' takes a whole sample)"
        return f"{folder.path}: no frames here, but folders {shown}; {said}"
    images = [name for name in folder.strays if name.lower().endswith(SUFFIXES)]
    other = _other_kinds(folder.strays)
    if folder.folders and not (images or other):
        said = "a sample is a folder of measurements: name one of these if it holds such folders"
        return f"{folder.path}: no frames here or in the folders inside, {shown}; {said}"
    if not files:
        return f"{folder.path}: the folder is empty"
    said = f"{folder.path}: of {counted(files, 'file')} here none is a numbered frame ({', '.join(SUFFIXES)})"
    if not images:
        return said + other
    alike = f"*{os.path.splitext(images[0])[1]}"
    more = f", or several by a pattern, such as {alike}" if len(fnmatch.filter(images, alike)) > 1 else ""
    return f"{said}; open a file itself, {images[0]}{more}"


def _other_kinds(names: Sequence[str]) -> str:
    """Say what makes frames of files that hold some, packed or of another kind; nothing where none do."""
    endings = {os.path.splitext(name)[1].lower() for name in names}
    packed = [name for name in names if os.path.splitext(name.lower())[1] in PACKED]
    if any(os.path.splitext(name.lower())[0].endswith(SUFFIXES + HDF5_SUFFIXES) for name in packed):
        return f"; unpack them first, such as {packed[0]}"
    if other := sorted(endings & OTHER_IMAGES):
        said = "'fabio-convert -F edf FILES' makes frames of them (pip install fabio)"
        return f"; files of {', '.join(other)} are not read; {said}"
    return ""


def _of_stacks(names: list[str]) -> str:
    """Say what to open where a folder holds HDF5 files: one, or by a pattern those that differ by a number alone."""
    masters = [name for name in names if os.path.splitext(name)[0].lower().endswith("_master")]
    names = masters or names
    said = f"open the HDF5 file itself, such as {names[0]}"
    found, rest = group(names, suffixes=None)
    pattern = f"*{os.path.splitext(names[0])[1]}"
    if masters:
        pattern = "*_master" + pattern[1:]
    elif len(found) > 1 or rest:
        pattern = found[0].pattern if found else ""
    fits = [name for name in names if pattern and fnmatch.fnmatchcase(name, pattern)]
    return f"{said}, or join the scans of one measurement by a pattern, such as {pattern}" if len(fits) > 1 else said


def sample_and_measurement(folder: str) -> tuple[str, str]:
    """Names of the sample and the measurement: the last two parts of a path, without the ending of a file.

    Examples
    --------
    >>> sample_and_measurement("/data/0884/time1"), sample_and_measurement("/data/0884/scan_0001.h5")
    (('0884', 'time1'), ('0884', 'scan_0001'))
    """
    path = Path(folder)
    ending = path.suffix.lower()
    return in_utf8(path.parent.name), in_utf8(path.stem if ending in SUFFIXES + HDF5_SUFFIXES else path.name)


def first_frame(path: str, name: str, source: str, frame: int, stamp: str) -> frozenset[str]:
    """Tell frames from all others: by the file of the first one, and by its name, number and stamp wherever it lies.

    What a measurement and a mean of frames have in common says that they are the same frames.

    Examples
    --------
    >>> raw = first_frame("/data/0884/time1", "t_0.tif", "0884/time1", 0, "2014:05:28 17:00:01")
    >>> written = first_frame("/tmp/time1.nc", "time1.nc", "0884/time1", 0, "2014:05:28 17:00:01")
    >>> raw & written
    frozenset({'0884/time1, frame 0, 2014:05:28 17:00:01'})
    """
    file = os.path.realpath(path if os.path.isfile(path) else os.path.join(path, name))
    return frozenset([file, f"{source}, frame {frame}, {stamp}"] if stamp else [file])
