"""The pixels of many files as one lazy array ``(frame, y, x)``.

:class:`FrameStack` is frozen data: folder, names, sizes, places. It holds no handle and no lock, so it pickles and
works under threads, processes and clusters alike; what it reads are the rows that were asked for, one read per frame,
straight into the result. Size and modification time of every file are checked at each read: a frame that was
overwritten after opening raises, it never gives stale or mixed pixels.
"""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xarray.backends import BackendArray
from xarray.core.indexing import ExplicitIndexer, IndexingSupport, explicit_indexing_adapter

from xinsitu.errors import FrameChanged, FrameError, XinsituWarning

from .decode import decode
from .retry import retried

ABSENT = -2
"""``offset`` of a frame that is filled with NaN."""
DECODED = -1
"""``offset`` of a frame whose pixels a library decodes."""
CHUNK_BYTES = 24 * 2**20
"""Raw pixels per chunk: 20 to 100 frames of a PILATUS 100K were the fastest; one frame per task is 8 times slower."""

Selection = slice | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class FrameStack(BackendArray):
    """Lazy array over the frames of one folder.

    Parameters
    ----------
    folder, names
        One name per frame; a file with several pages comes several times.
    sizes, mtimes
        Of each file when it was opened: bytes and nanoseconds.
    offsets
        Byte of the first pixel, ``DECODED`` or ``ABSENT``.
    pages
        Page within the file.
    swapped
        Whether the stored byte order is not this machine's.
    frame_shape, stored
        Rows and columns, and dtype (native byte order) of every frame.
    promote
        Give floating point, with NaN for frames that are absent or fail at reading; otherwise these raise.

    Examples
    --------
    >>> FrameStack.chunk_frames((195, 487), np.dtype("int32"))
    66
    """

    folder: str
    names: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    mtimes: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    pages: npt.NDArray[np.int64]
    swapped: npt.NDArray[np.bool_]
    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
    promote: bool = False

    def __repr__(self) -> str:
        return f"FrameStack({self.folder!r}, {self.shape}, {self.dtype}, token={self.token[:8]})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (len(self.names), *self.frame_shape)

    @functools.cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the result: as stored, or floating point that holds it exactly."""
        return promoted(self.stored) if self.promote else self.stored

    @functools.cached_property
    def token(self) -> str:
        """Hex digest of everything that decides the pixels, each file's size and modification time included."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.folder, self.frame_shape, self.stored.str, self.promote)).encode())
        digest.update("\0".join(self.names).encode("utf-8", "surrogateescape"))
        for numbers in (self.sizes, self.mtimes, self.offsets, self.pages, self.swapped):
            digest.update(np.ascontiguousarray(numbers).tobytes())
        return digest.hexdigest()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.token

    @staticmethod
    def chunk_frames(frame_shape: tuple[int, int], stored: np.dtype[np.generic]) -> int:
        """Frames per chunk: whole frames, 16 to 32 MiB of raw pixels."""
        return max(1, round(CHUNK_BYTES / (frame_shape[0] * frame_shape[1] * stored.itemsize)))

    @property
    def preferred_chunks(self) -> dict[str, int]:
        """Chunks that read fast, by dimension."""
        frames = min(self.chunk_frames(self.frame_shape, self.stored), max(1, len(self.names)))
        return {"time": frames, "y": self.frame_shape[0], "x": self.frame_shape[1]}

    def __getitem__(self, key: ExplicitIndexer) -> npt.NDArray[Any]:
        result: npt.NDArray[Any] = explicit_indexing_adapter(
            normalised(key, self.shape), self.shape, IndexingSupport.OUTER, self.read
        )
        return result

    def read(self, key: tuple[int | Selection, ...]) -> npt.NDArray[Any]:
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
        single = tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)
        return result[single]

    def _fill(
        self,
        result: npt.NDArray[Any],
        frames: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
    ) -> None:
        first, behind = int(rows.min()), int(rows.max()) + 1
        inside = _inside(rows - first, columns)
        whole = self._is_block(rows, columns)
        scratch = np.empty((behind - first, self.frame_shape[1]), dtype=self.stored)
        failed: list[FrameError] = []
        for target, frame in zip(result, frames, strict=True):
            direct = whole and target.dtype == self.stored
            block = target if direct else scratch
            try:
                self._read_rows(int(frame), block, first)
            except FrameError as error:
                if not self.promote:
                    raise
                target[...] = np.nan
                if self.offsets[frame] != ABSENT:
                    failed.append(error)
                continue
            if not direct:
                target[...] = block if whole else block[inside]
        if failed:
            warnings.warn(
                f"{len(failed)} frames are NaN because they changed after opening; the first: {failed[0]}",
                XinsituWarning,
                stacklevel=2,
            )

    def _is_block(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> bool:
        """Whether rows without a gap and all columns in order were asked for."""
        whole_rows = len(columns) == self.frame_shape[1] and bool((np.diff(columns) == 1).all())
        return whole_rows and bool((np.diff(rows) == 1).all())

    def _read_rows(self, frame: int, block: npt.NDArray[Any], first: int) -> None:
        """Read rows from ``first`` on of one frame into a C-contiguous block."""
        path = os.path.join(self.folder, self.names[frame])
        offset = int(self.offsets[frame])
        if offset == ABSENT:
            raise FrameError(path, "there is no such frame")
        try:
            retried(lambda: self._read_file(path, frame, block, first))
        except FileNotFoundError:
            raise FrameChanged(path, "the file was removed after the measurement was opened") from None
        except OSError as error:
            raise FrameError(path, f"cannot be read ({error.strerror or error})") from None
        if offset == DECODED:
            self._decode(path, frame, block, first)
        elif self.swapped[frame]:
            block.byteswap(inplace=True)

    def _read_file(self, path: str, frame: int, block: npt.NDArray[Any], first: int) -> None:
        """Check that the file is the one that was opened, and read rows of plain pixels."""
        offset = int(self.offsets[frame])
        descriptor = os.open(path, os.O_RDONLY)  # a third of the time of a file object
        try:
            status = os.fstat(descriptor)
            if (status.st_size, status.st_mtime_ns) != (self.sizes[frame], self.mtimes[frame]):
                raise FrameChanged(path, "the file changed after the measurement was opened; open it again")
            if offset >= 0:
                _read_into(descriptor, block, offset + first * self.frame_shape[1] * self.stored.itemsize, path)
        finally:
            os.close(descriptor)

    def _decode(self, path: str, frame: int, block: npt.NDArray[Any], first: int) -> None:
        pixels = decode(path, int(self.pages[frame]))
        if pixels.shape != self.frame_shape or pixels.dtype.newbyteorder("=") != self.stored:
            expected = f"{self.frame_shape} {self.stored}"
            raise FrameChanged(path, f"{expected} expected, {pixels.shape} {pixels.dtype} found")
        block[...] = pixels[first : first + len(block)]


def _inside(
    rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> tuple[slice, slice] | tuple[npt.NDArray[np.intp], ...]:
    """Return rows and columns as slices where they have no gap (five times faster to copy), else as an open mesh."""
    if bool((np.diff(rows) == 1).all()) and bool((np.diff(columns) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return np.ix_(rows, columns)


def _read_into(descriptor: int, block: npt.NDArray[Any], position: int, path: str) -> None:
    """Fill a contiguous block from a file; a signal or a network disc may deliver it in pieces."""
    view = memoryview(block.data).cast("B")
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], position + done)
        if not count:
            raise FrameError(path, f"truncated: {len(view)} bytes expected, {done} found")
        done += count


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


def positions_of(part: int | Selection, size: int) -> npt.NDArray[np.int64]:
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
