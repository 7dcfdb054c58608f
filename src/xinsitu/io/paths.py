"""What a path means: a folder, a pattern, a list of files, or one file; always the frames of one measurement."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from xinsitu.errors import LayoutError

from .discover import HDF5_SUFFIXES, Folder, FrameName, choose, group, look, natural_key

PathOrPaths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
NEWEST = "newest"
"""``series`` that keeps the newest frames where a folder also holds those of an older, longer series."""


@dataclass(frozen=True)
class Source:
    """The files of one measurement.

    Parameters
    ----------
    folder
        Absolute; names of files are relative to it.
    files
        In order.
    path
        What people call it: the folder, or the single file.
    listed
        Whether somebody gave the files, and their order.
    """

    folder: str
    files: tuple[FrameName, ...]
    path: str
    listed: bool = False

    @property
    def hdf5(self) -> bool:
        """Whether the frames are in HDF5 or netCDF files, several in each, and not in files of their own."""
        return all(file.name.lower().endswith(HDF5_SUFFIXES) for file in self.files)


def resolve(path: PathOrPaths, patterns: Sequence[str], series: str | None = None) -> Source:
    """Find the files of a measurement.

    Parameters
    ----------
    path
        A folder of frames; a pattern such as ``scan_*.cbf``; a list of files, which are one series in the order given;
        a file of one or several frames. HDF5 files in a pattern or a list are the scans of one measurement, in order.
    patterns
        How the instrument names its files.
    series
        Name of one of several series, or ``newest``.

    Raises
    ------
    LayoutError
        There is nothing, or several series.
    """
    named, path = None if series == NEWEST else series, settled(path)
    if not isinstance(path, str | os.PathLike):
        return _from_list([_as_text(one) for one in path], patterns, named)
    if not os.fspath(path):
        raise LayoutError("an empty path was given; say which folder")
    text = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if os.path.isdir(text):
        folder = look(text, patterns)
        return Source(folder.path, hdf5_files(folder, patterns) or choose(folder, named).files, folder.path)
    if os.path.isfile(text):
        return Source(os.path.dirname(text), (_one(text, patterns),), text)
    if glob.has_magic(text):
        return _from_pattern(text, patterns, named)
    look(text, patterns)  # says that there is nothing
    raise LayoutError(f"{text}: this is neither a file nor a folder")


def settled(path: PathOrPaths) -> str | os.PathLike[str] | list[str | os.PathLike[str]]:
    """Return a path as it is, and anything that gives paths as a list, which can be looked at twice.

    Raises
    ------
    LayoutError
        It is neither.
    """
    if isinstance(path, bytes) or not isinstance(path, str | os.PathLike | Iterable):
        raise LayoutError(f"a path, a pattern or a list of files is opened, not {path!r}")
    return path if isinstance(path, str | os.PathLike) else list(path)


def _as_text(path: object) -> str:
    if not isinstance(path, str | os.PathLike):
        raise LayoutError(f"a list of paths is opened, and {path!r} is none")
    return os.fspath(path)


def hdf5_files(folder: Folder, patterns: Sequence[str]) -> tuple[FrameName, ...]:
    """Return the HDF5 files that are the measurement of a folder without other frames.

    They are its only file, its only Eiger master, or, where the master is gone, all ``_data_`` files of one name.
    Other files are not joined unasked: they may be scans that have nothing to do with each other.
    """
    names = [name for name in folder.strays if name.lower().endswith(HDF5_SUFFIXES) and not name.startswith(".")]
    if folder.series or not names:
        return ()
    masters = [name for name in names if _stem(name).endswith("_master")]
    if len(one := masters or names) == 1:
        return (_one(os.path.join(folder.path, one[0]), patterns),)
    series, rest = group(names, (r"(?P<name>.*_data)_(?P<frame>\d+)",), suffixes=None)
    return series[0].files if len(series) == 1 and not rest and not masters else ()


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()


def _one(path: str, patterns: Sequence[str]) -> FrameName:
    """One file, with its numbers where it has any."""
    name = os.path.basename(path)
    series, _ = group([name], patterns, suffixes=None)
    return series[0].files[0] if series else FrameName(name, 1, 0)


def _from_pattern(text: str, patterns: Sequence[str], series: str | None) -> Source:
    folder, pattern = os.path.split(text)
    if glob.has_magic(folder) and not os.path.isdir(folder):
        folder = _only_folder(text, sorted(filter(os.path.isdir, glob.glob(folder)), key=natural_key))
    try:
        names = sorted((name for name in os.listdir(folder) if fnmatch.fnmatchcase(name, pattern)), key=natural_key)
    except OSError as error:
        raise LayoutError(f"{folder}: the folder cannot be listed ({error.strerror})") from None
    paths = [os.path.join(folder, name) for name in names]
    files = [path for path in paths if not os.path.isdir(path)]
    if files:
        return _from_files(files, patterns, series, pattern=pattern)
    if not paths:
        raise LayoutError(f"{text}: no file fits this pattern")
    return resolve(_only_folder(text, paths), patterns, series)


def _only_folder(text: str, folders: list[str]) -> str:
    """Return the one folder among those that were asked for; each folder is a measurement of its own."""
    if not folders:
        raise LayoutError(f"{text}: no folder fits this pattern")
    if len(folders) == 1:
        return folders[0]
    shown = ", ".join(map(os.path.basename, folders[:4])) + (", ..." if len(folders) > 4 else "")
    raise LayoutError(
        f"{text}: these are {len(folders)} folders, {shown}, each a measurement of its own; open one of them, or all "
        "with open_sample, and stitch their series"
    )


def _from_list(paths: list[str], patterns: Sequence[str], series: str | None) -> Source:
    """Take files in the order given, with the numbers in their names where these rise in it, else by their places."""
    source = _from_files(paths, patterns, series)
    if series is not None or len(source.files) < 2 or os.path.isdir(paths[0]):
        return source  # chosen, alone, or the content of a folder
    names = [os.path.relpath(os.path.abspath(path), source.folder) for path in paths]
    known = {file.name: file for file in source.files}
    files = [known[name] for name in names]
    if any(one.number >= other.number for one, other in pairwise(files)):
        files = [FrameName(name, 1, index) for index, name in enumerate(names)]
    return Source(source.folder, tuple(files), source.path, listed=True)


def _from_files(paths: list[str], patterns: Sequence[str], series: str | None, *, pattern: str = "") -> Source:
    """Find the series of some files; those of a list are one, be they not numbered or of several names."""
    if not paths:
        raise LayoutError("no files were given")
    paths = [os.path.abspath(path) for path in paths]
    if folders := [path for path in paths if os.path.isdir(path)]:
        if len(folders) < len(paths):
            raise LayoutError(f"{folders[0]}: a folder in a list of files; give folders or files, not both")
        return resolve(_only_folder(os.path.commonpath(folders), folders), patterns, series)
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, folder) for path in paths]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LayoutError(f"{os.path.join(folder, twice)}: the file is given twice")
    if len(names) == 1:
        return Source(folder, (_one(paths[0], patterns),), paths[0])
    found, rest = group(names, patterns, suffixes=None)
    # not all are numbered, or a list has files of several names: the order given is the only one there is
    if rest or (len(found) > 1 and not pattern and series is None):
        return Source(folder, tuple(FrameName(name, 1, index) for index, name in enumerate(names)), folder)
    try:
        return Source(folder, choose(Folder(folder, found), series).files, folder)
    except LayoutError as error:
        hint = "; or give the files as a list, in the order that they have" if len(found) > 1 and pattern else ""
        raise LayoutError(f"{error}{hint}") from None
