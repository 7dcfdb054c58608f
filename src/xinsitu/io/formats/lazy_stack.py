"""What all lazy arrays ``(frame, y, x)`` have in common: how they are indexed, and that files stay as they were.

A stack is frozen data without a handle or a lock, so it pickles and works under threads, processes and clusters alike.
Size and modification time of every file are checked at each read: a frame that was overwritten after opening raises,
it never gives stale or mixed pixels.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import numpy.typing as npt
from xarray.backends import BackendArray
from xarray.core.indexing import ExplicitIndexer, IndexingSupport, explicit_indexing_adapter

from xinsitu.errors import FrameChanged

from .no_value import NoValue, blank

CHUNK_BYTES = 24 * 2**20
"""Raw pixels per chunk: 20 to 100 frames of a PILATUS 100K were the fastest; one frame per task is 8 times slower."""

Selection = slice | npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]
Pixels = npt.NDArray[Any]


class LazyStack(BackendArray):
    """Lazy array over frames; derived classes say where they lie (``_fill``) and what decides them (``token``).

    Parameters
    ----------
    frame_shape, stored
        Rows and columns, and dtype (native byte order) of every frame.
    promote
        Give floating point that holds every stored value exactly, and NaN.
    step
        Frames that are stored together.
    no_value
        Which stored numbers are no values; where there are any, the array is floating point with NaN in their places.
    """

    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
    promote: bool
    step: int = 1
    no_value: tuple[NoValue, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        raise NotImplementedError

    @property
    def token(self) -> str:
        """Hex digest of everything that decides the pixels, each file's size and modification time included."""
        raise NotImplementedError

    def _fill(self, result: Pixels, frames: Positions, rows: Positions, columns: Positions) -> None:
        """Read the pixels at these positions, at least one along each axis, into an array of their size."""
        raise NotImplementedError

    @functools.cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the result: as stored, or floating point that holds it exactly."""
        return promoted(self.stored) if self.promote or self.no_value else self.stored

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.token

    @staticmethod
    def chunk_frames(frame_shape: tuple[int, int], stored: np.dtype[np.generic]) -> int:
        """Frames per chunk: whole frames, 16 to 32 MiB of raw pixels.

        Examples
        --------
        >>> LazyStack.chunk_frames((195, 487), np.dtype("int32"))
        66
        """
        return max(1, round(CHUNK_BYTES / (frame_shape[0] * frame_shape[1] * stored.itemsize)))

    @property
    def preferred_chunks(self) -> dict[str, int]:
        """Chunks that read fast, by dimension: whole frames, and all that are stored together."""
        count, rows, columns = self.shape
        frames = max(1, round(self.chunk_frames(self.frame_shape, self.stored) / self.step)) * self.step
        return {"time": min(frames, max(1, count)), "y": rows, "x": columns}

    def __getitem__(self, key: ExplicitIndexer) -> Pixels:
        result: Pixels = explicit_indexing_adapter(
            normalised(key, self.shape), self.shape, IndexingSupport.OUTER, self.read
        )
        return result

    def read(self, key: tuple[int | Selection, ...]) -> Pixels:
        """Pixels of an outer selection: an int, a slice or an array of positions for each of frame, y, x.

        Raises
        ------
        FrameChanged
            A file is not what it was at opening.
        FrameError
            A file cannot be read.
        """
        frames, rows, columns = (positions_of(part, size) for part, size in zip(key, self.shape, strict=True))
        result = np.empty((len(frames), len(rows), len(columns)), dtype=self.dtype)
        if result.size:
            self._fill(result, frames, rows, columns)
            result = blank(result, self.no_value)
        return result[tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)]


def check_unchanged(path: str, status: os.stat_result, size: int, mtime_ns: int) -> None:
    """Hold a file against what it was when the measurement was opened.

    Raises
    ------
    FrameChanged
        Its size or modification time is another.
    """
    if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
        raise FrameChanged(path, "the file changed after the measurement was opened; open it again")


def removed(path: str) -> FrameChanged:
    """Return the error of a file that is not there any more."""
    return FrameChanged(path, "the file was removed after the measurement was opened")


def promoted(stored: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Floating-point dtype that holds every value of another one exactly, and NaN.

    Examples
    --------
    >>> promoted(np.dtype("uint16")), promoted(np.dtype("int32"))
    (dtype('float32'), dtype('float64'))
    """
    if stored.kind == "f":
        return stored
    return np.dtype("float32" if stored.itemsize <= 2 else "float64")


def positions_of(part: int | Selection, size: int) -> Positions:
    """Positions that one part of a key selects."""
    if isinstance(part, slice):
        return np.arange(*part.indices(size), dtype="int64")
    positions = np.atleast_1d(np.asarray(part, dtype="int64"))
    return np.where(positions < 0, positions + size, positions)


def normalised(key: ExplicitIndexer, shape: tuple[int, ...]) -> ExplicitIndexer:
    """Rewrite what xarray fails on: slices that select nothing with a negative step, and arrays without a dimension."""

    def rewritten(part: int | Selection, size: int) -> int | Selection:
        if isinstance(part, slice) and not len(range(*part.indices(size))):
            return slice(0, 0)
        if isinstance(part, np.ndarray) and not part.ndim:
            return int(part)
        return part

    return type(key)(tuple(rewritten(part, size) for part, size in zip(key.tuple, shape, strict=True)))
