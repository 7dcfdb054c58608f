"""The pixels of HDF5 files as a lazy array ``(frame, y, x)``; frozen data, like the stack of files."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from xinsitu.errors import FrameChanged, FrameError
from xinsitu.kernels import UNREAD, lost

from .bitshuffled_rows import rows_of
from .hdf5_links import opened
from .header import faults_of
from .no_value import NoValue
from .reading import retried
from .stack import LazyStack, Pixels, Positions, check_unchanged, inside, removed

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401 # registers bitshuffle and others with HDF5 where it is installed


@dataclass(frozen=True)
class Part:
    """One dataset of frames.

    Parameters
    ----------
    path
        The file that is opened.
    dataset
        Its path in the file.
    frames
        How many it holds.
    files
        ``(path, bytes, nanoseconds)`` of this file and of all that it links to, when it was opened.
    start
        Position of the first one in the dataset.
    written
        Whether they are there; HDF5 would give zeros for those that never were.
    """

    path: str
    dataset: str
    frames: int
    files: tuple[tuple[str, int, int], ...]
    start: int = 0
    written: bool = True


@dataclass(frozen=True, eq=False)
class Hdf5Stack(LazyStack):
    """Lazy array over the frames of one or several HDF5 files.

    Parameters
    ----------
    parts
        Their datasets of frames, in order.
    frame_shape, stored
        Rows and columns, and dtype of every frame.
    step
        Frames that are stored together.
    promote
        Give floating point, with NaN for frames that fail at reading; otherwise these raise.
    no_value
        Which stored numbers are no values.
    axes
        Which axes of the datasets are those of frames, rows and columns, where they lie otherwise than in this order.
    """

    parts: tuple[Part, ...]
    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
    step: int = 1
    promote: bool = False
    no_value: tuple[NoValue, ...] = ()
    axes: tuple[int, ...] | None = None

    @functools.cached_property
    def paths(self) -> tuple[str, ...]:
        """Path of the file of each frame."""
        return tuple(part.path for part in self.parts for _ in range(part.frames))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Name of the file of each frame."""
        return tuple(map(os.path.basename, self.paths))

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (sum(part.frames for part in self.parts), *self.frame_shape)

    @functools.cached_property
    def token(self) -> str:
        """Hex digest of everything that decides the pixels, sizes and modification times included."""
        digest = hashlib.blake2b(digest_size=16)
        parts = (self.parts, self.frame_shape, self.stored.str, self.promote, self.no_value, self.axes)
        digest.update(repr(parts).encode())
        return digest.hexdigest()

    def _fill(self, result: Pixels, frames: Positions, rows: Positions, columns: Positions) -> None:
        """Read runs of successive frames of one part."""
        ends = np.cumsum([part.frames for part in self.parts])
        owners = np.searchsorted(ends, frames, side="right")
        breaks = np.flatnonzero((np.diff(frames) != 1) | (np.diff(owners) != 0)) + 1
        gone = {int(owner) for owner in np.unique(owners) if not self._is_unchanged(self.parts[owner])}
        for run in np.split(np.arange(len(frames)), breaks):
            part = self.parts[int(owners[run[0]])]
            start = part.start + int(frames[run[0]] - (ends[owners[run[0]]] - part.frames))
            target = result[run[0] : run[-1] + 1]
            if self.promote and not part.written:
                target[...] = np.nan
                continue
            if int(owners[run[0]]) in gone:
                target[...] = lost(target.dtype, UNREAD)
                continue
            try:
                _read(part, start, target, rows, columns, self.axes)
            except FrameError:
                if not self.promote:
                    raise
                self._one_by_one(part, start, target, rows, columns)

    def _is_unchanged(self, part: Part) -> bool:
        """Whether the files of a part are as they were; raises where no NaN may stand for their frames."""
        try:
            _check_files(part.files)
        except FrameChanged:
            if not self.promote:
                raise
            return False
        return True

    def _one_by_one(self, part: Part, start: int, result: Pixels, rows: Positions, columns: Positions) -> None:
        """Read frame by frame what failed together; what fails again is NaN, and marked."""
        for number in range(len(result)):
            try:
                _read(part, start + number, result[number : number + 1], rows, columns, self.axes)
            except FrameError:
                result[number] = lost(result.dtype, UNREAD)


def _check_files(files: Sequence[tuple[str, int, int]]) -> None:
    for path, size, mtime_ns in files:
        try:
            status = os.stat(path)
        except OSError:
            raise removed(path) from None
        check_unchanged(path, status, size, mtime_ns)


def _read(
    part: Part, start: int, result: Pixels, rows: Positions, columns: Positions, axes: tuple[int, ...] | None
) -> None:
    """Read successive frames of a part: the smallest block of rows and columns that holds what was asked for."""
    first_row, first_column = int(rows.min()), int(columns.min())
    box = (slice(first_row, int(rows.max()) + 1), slice(first_column, int(columns.max()) + 1))

    def block_of(part: Part) -> Pixels:
        with opened(part.path) as file:
            dataset = file[part.dataset]
            if axes is None:
                return _block(dataset, start, len(result), box)
            return _turned(dataset, start, len(result), box, axes)

    with faults_of(part.path, "its frames cannot be read"):
        block = retried(block_of, part)
        block = block.reshape(len(result), *block.shape[-2:])
        result[...] = block[(slice(None), *inside(rows - first_row, columns - first_column))]


def _turned(dataset: h5py.Dataset, start: int, count: int, box: tuple[slice, slice], axes: tuple[int, ...]) -> Pixels:
    """Successive frames of a dataset whose axes lie in another order."""
    wanted = dict(zip(axes, (slice(start, start + count), *box)[-len(axes) :], strict=True))
    return np.asarray(dataset[tuple(wanted[axis] for axis in range(len(axes)))]).transpose(axes)


def _block(dataset: h5py.Dataset, start: int, count: int, box: tuple[slice, slice]) -> Pixels:
    """Successive frames; of a scan over several axes, in the order in which they lie in the file."""
    if dataset.ndim == 2:
        return np.asarray(dataset[box])
    if dataset.ndim == 3:
        rows, columns = box
        few = rows_of(dataset, range(start, start + count), rows)
        return np.asarray(dataset[start : start + count, rows, columns]) if few is None else few[:, :, columns]
    places = np.unravel_index(np.arange(start, start + count), dataset.shape[:-2])
    return np.stack([dataset[(*map(int, place), *box)] for place in zip(*places, strict=True)])
