"""What a path means: a folder, a pattern, a list of files, or one file; always the frames of one measurement."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass

from xinsitu.errors import LayoutError

from .discover import HDF5_SUFFIXES, Folder, FrameName, choose, group, look, natural_key

PathOrPaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
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
    """

    folder: str
    files: tuple[FrameName, ...]
    path: str

    @property
    def hdf5(self) -> str | None:
        """Path of the one HDF5 or netCDF file; None for frames in files of their own."""
        if len(self.files) == 1 and self.files[0].name.lower().endswith(HDF5_SUFFIXES):
            return os.path.join(self.folder, self.files[0].name)
        return None


def resolve(path: PathOrPaths, patterns: Sequence[str], series: str | None = None) -> Source:
    """Find the files of a measurement.

    Parameters
    ----------
    path
        A folder of frames; a pattern such as ``scan_*.cbf``; a list of files; a file of one or several frames.
    patterns
        How the instrument names its files.
    series
        Name of one of several series, or ``newest``.

    Raises
    ------
    LayoutError
        There is nothing, or several series.
    """
    named = None if series == NEWEST else series
    if not isinstance(path, str | os.PathLike):
        return _from_files([os.fspath(one) for one in path], patterns, named)
    text = os.path.abspath(os.fspath(path))
    if os.path.isdir(text):
        folder = look(text, patterns)
        return Source(folder.path, choose(folder, named).files, folder.path)
    if os.path.isfile(text):
        return Source(os.path.dirname(text), (_one(text, patterns),), text)
    if glob.has_magic(text):
        return _from_pattern(text, patterns, named)
    look(text, patterns)  # says that there is nothing
    raise LayoutError(f"{text}: this is neither a file nor a folder")


def _one(path: str, patterns: Sequence[str]) -> FrameName:
    """One file, with its numbers where it has any."""
    name = os.path.basename(path)
    series, _ = group([name], patterns, suffixes=None)
    return series[0].files[0] if series else FrameName(name, 1, 0)


def _from_pattern(text: str, patterns: Sequence[str], series: str | None) -> Source:
    folder, pattern = os.path.split(text)
    if glob.has_magic(folder):
        raise LayoutError(f"{text}: only the name of the file may be a pattern, not its folder")
    try:
        names = sorted((name for name in os.listdir(folder) if fnmatch.fnmatchcase(name, pattern)), key=natural_key)
    except OSError as error:
        raise LayoutError(f"{folder}: the folder cannot be listed ({error.strerror})") from None
    if not names:
        raise LayoutError(f"{text}: no file fits this pattern")
    return _from_files([os.path.join(folder, name) for name in names], patterns, series)


def _from_files(paths: list[str], patterns: Sequence[str], series: str | None) -> Source:
    if not paths:
        raise LayoutError("no files were given")
    paths = [os.path.abspath(path) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, folder) for path in paths]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LayoutError(f"{os.path.join(folder, twice)}: the file is given twice")
    if len(names) == 1:
        return Source(folder, (_one(paths[0], patterns),), paths[0])
    found, rest = group(names, patterns, suffixes=None)
    if rest:  # not all are numbered: the order given is the only one there is
        return Source(folder, tuple(FrameName(name, 1, index) for index, name in enumerate(names)), folder)
    return Source(folder, choose(Folder(folder, found), series).files, folder)
