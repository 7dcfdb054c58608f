"""The pixels of one HDF5 file as a lazy array ``(frame, y, x)``; frozen data, like the stack of files."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from dataclasses import dataclass

import h5py
import numpy as np

from xinsitu.errors import FrameError

from .lazy_stack import LazyStack, Pixels, Positions, check_unchanged, removed

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401 # registers bitshuffle and others with HDF5 where it is installed


def opened(path: str) -> h5py.File:
    """Open an HDF5 file for reading; without locks where the disc knows none, as on some network discs.

    Locks are tried first: HDF5 refuses to open a file without that this process has open with.
    """
    try:
        return h5py.File(path, "r")
    except OSError:
        return h5py.File(path, "r", locking=False)


@dataclass(frozen=True)
class Part:
    """One dataset of frames.

    Parameters
    ----------
    dataset
        Its path in the file.
    frames
        How many it holds.
    """

    dataset: str
    frames: int


@dataclass(frozen=True, eq=False)
class Hdf5Stack(LazyStack):
    """Lazy array over the frames of an HDF5 file.

    Parameters
    ----------
    path
        The file that is opened.
    parts
        Its datasets of frames, in order.
    files
        ``(path, bytes, nanoseconds)`` of this file and of all that it links to, when it was opened.
    frame_shape, stored
        Rows and columns, and dtype of every frame.
    step
        Frames that are stored together.
    promote
        Give floating point, as for files of frames.
    """

    path: str
    parts: tuple[Part, ...]
    files: tuple[tuple[str, int, int], ...]
    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
    step: int = 1
    promote: bool = False

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Name of the file, once per frame."""
        return (os.path.basename(self.path),) * self.shape[0]

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (sum(part.frames for part in self.parts), *self.frame_shape)

    @functools.cached_property
    def token(self) -> str:
        """Hex digest of everything that decides the pixels, sizes and modification times included."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(
            repr((self.path, self.parts, self.files, self.frame_shape, self.stored.str, self.promote)).encode()
        )
        return digest.hexdigest()

    def _fill(self, result: Pixels, frames: Positions, rows: Positions, columns: Positions) -> None:
        self._check_files()
        try:
            with opened(self.path) as file:
                self._read_runs(file, result, frames, rows, columns)
        except (OSError, KeyError, ValueError) as error:
            raise FrameError(self.path, f"its frames cannot be read ({error})") from None

    def _check_files(self) -> None:
        for path, size, mtime_ns in self.files:
            try:
                status = os.stat(path)
            except OSError:
                raise removed(path) from None
            check_unchanged(path, status, size, mtime_ns)

    def _read_runs(
        self, file: h5py.File, result: Pixels, frames: Positions, rows: Positions, columns: Positions
    ) -> None:
        """Read runs of successive frames, the smallest block of rows and columns that holds what was asked for."""
        first_row, first_column = int(rows.min()), int(columns.min())
        inside = np.ix_(rows - first_row, columns - first_column)
        box = (slice(first_row, int(rows.max()) + 1), slice(first_column, int(columns.max()) + 1))
        ends = np.cumsum([part.frames for part in self.parts])
        owners = np.searchsorted(ends, frames, side="right")
        breaks = np.flatnonzero((np.diff(frames) != 1) | (np.diff(owners) != 0)) + 1
        for run in np.split(np.arange(len(frames)), breaks):
            owner = int(owners[run[0]])
            start = int(frames[run[0]] - (ends[owner] - self.parts[owner].frames))
            dataset = file[self.parts[owner].dataset]
            block = dataset[box] if dataset.ndim == 2 else dataset[(slice(start, start + len(run)), *box)]
            block = block.reshape(len(run), *block.shape[-2:])
            result[run] = block[:, inside[0], inside[1]]
