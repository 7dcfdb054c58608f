"""A file of results that grows with its measurement: new rows are put behind those that are there.

Each step is written aside, to a copy of the file, and renamed, and not with HDF5's SWMR: so any reader of netCDF opens
the file at any moment, on network discs too, and what it has opened stays as it was; SWMR needs readers that ask for
it, knows no texts of varying length, and leaves a file that cannot be opened where its writer is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from .disk import new_file, refuse_existing, refuse_other_format, write_whole
from .formats.descriptors import reserve
from .guard import check_outputs
from .nxdata import ELAPSED, ROWS, as_netcdf
from .results import loaded, write_results

Recipe = Callable[[], Mapping[str, Any]]


class GrowingResults:
    """A file that may be replaced from the first writing on, and that is as :func:`write_results` has it at the end.

    Parameters
    ----------
    path, overwrite
        As in :func:`write_results`.
    source
        Where the frames are: nothing is written among them.
    recipe
        Gives how the results were made.

    Raises
    ------
    ResultExists, LayoutError, SchemaError
        The file is there, would lie among frames, or has the name of another format.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool,
        source: str | os.PathLike[str],
        recipe: Recipe | None = None,
    ) -> None:
        refuse_other_format(path)
        self.path = refuse_existing(path, overwrite=overwrite)
        check_outputs([self.path], frames=[Path(source)], overwrite=overwrite)
        self._overwrite, self._recipe = overwrite, recipe
        self._own: tuple[int, ...] | None = None  # what the file was when it was written here

    def write(self, series: xr.Dataset, *, last: bool) -> None:
        """Write all rows; ``last``: no more will come."""
        recipe = None if self._recipe is None else self._recipe()
        if last:
            write_results(series, self.path, overwrite=self._overwrite, recipe=recipe)
        else:
            write_whole(self.path, as_netcdf(loaded(series, recipe), growing=True), overwrite=self._overwrite)
        self._note()

    def append(self, rows: xr.Dataset) -> bool:
        """Put rows in place of those from their first one on, and behind; False where they do not fit.

        Attributes and what is not of single frames stay what they were until the last writing.
        """
        if self._own is None or self._own != _state(self.path):
            return False
        with h5py.File(io.BytesIO(as_netcdf(loaded(rows)))) as new:
            with h5py.File(self.path) as old:
                place = _place(new, old)
            if place is None:
                return False
            with new_file(self.path, overwrite=True) as temporary:
                shutil.copyfile(self.path, temporary)
                _make_room(temporary, new)
                with h5py.File(temporary, "r+") as file:
                    _put(new, file, place)
        self._note()
        _give_back()
        return True

    def _note(self) -> None:
        self._overwrite, self._own = True, _state(self.path)


def _give_back() -> None:
    """Give the system what the C library keeps of memory that is free: HDF5 leaves it in pieces, more each time."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def _place(new: h5py.File, old: h5py.File) -> int | None:
    """Return which row of a file the first new one is; None where other quantities are there."""
    if _datasets(new).keys() != _datasets(old).keys() or not {"scan", "frame"} <= old.keys():
        return None
    scan, frame, scans, frames = new["scan"][0], new["frame"][0], old["scan"][:], old["frame"][:]
    return int(np.count_nonzero((scans < scan) | ((scans == scan) & (frames < frame))))


def _make_room(path: Path, new: h5py.File) -> None:
    """Set aside more than rows can take: HDF5 does not let go of a file that it could not write to.

    It gives back what it does not need.
    """
    pieces = sum((1 + one.len() // ROWS) * ROWS * one[:1].nbytes for one in _datasets(new).values() if one.shape)
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        reserve(file.fileno(), size, pieces + 2 * new.id.get_filesize())


def _put(new: h5py.File, file: h5py.File, place: int) -> None:
    """Write rows from a place on, which are the last ones then; what is there already is not written anew."""
    apart = new["time"][0] - file["time"][0]
    for name, target in _datasets(file).items():
        if not target.shape or target.maxshape[0] is not None:
            continue
        values = new[name][:]
        if name.endswith(f"/{ELAPSED}"):
            values += apart
        there = max(0, min(len(target) - place, len(values)))
        target.resize(place + len(values), axis=0)
        if not np.array_equal(target[place : place + there], values[:there], equal_nan=values.dtype.kind == "f"):
            there = 0  # texts that are written anew would leave the old ones behind
        target[place + there :] = values[there:]
