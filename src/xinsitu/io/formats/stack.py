"""The pixels of many files as one lazy array ``(frame, y, x)``.

:class:`FrameStack` holds folder, names, sizes, places. What it reads are the rows that were asked for, one read per
frame, straight into the result.

A stack is frozen data without a handle or a lock, so it pickles and works under threads, processes and clusters alike.
Size and modification time of every file are checked at each read: a frame that was overwritten after opening raises,
it never gives stale or mixed pixels.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from xinsitu.defaults import frames_per_block
from xinsitu.errors import FrameChanged, FrameError
from xinsitu.kernels import UNREAD, lost
from xinsitu.kernels.compiled import InFiles

from .descriptors import read_at
from .many_files import in_files, read_rows
from .no_value import NoValue, blank
from .reading import READ, decode, retried

Selection = slice | npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]
Pixels = npt.NDArray[Any]


class LazyStack:
    """Frames, read when asked for; derived classes say where they lie (``_fill``) and what decides them (``token``).

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
    file_per_frame
        Every frame has a file of its own, so that some are read as quickly as many.
    """

    frame_shape: tuple[int, int]
    stored: np.dtype[np.generic]
    promote: bool
    step: int = 1
    no_value: tuple[NoValue, ...] = ()
    file_per_frame: ClassVar[bool] = False

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

    def in_files(self, key: tuple[int | Selection, ...]) -> InFiles | None:
        """Say where the pixels of an outer selection lie, if they lie in files as they are."""
        del key
        return None

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
        return frames_per_block(frame_shape[0] * frame_shape[1] * stored.itemsize)

    @property
    def preferred_chunks(self) -> dict[str, int]:
        """Chunks that read fast, by dimension: whole frames, and all that are stored together."""
        count, rows, columns = self.shape
        frames = max(1, round(self.chunk_frames(self.frame_shape, self.stored) / self.step)) * self.step
        return {"time": min(frames, max(1, count)), "y": rows, "x": columns}

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


ABSENT = -2
"""``offset`` of a frame that is filled with NaN."""
DECODED = -1
"""``offset`` of a frame whose pixels a library decodes."""


@dataclass(frozen=True, eq=False, repr=False)
class FrameStack(LazyStack):
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
    no_value
        Which stored numbers are no values.
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
    no_value: tuple[NoValue, ...] = ()
    file_per_frame: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"FrameStack({self.folder!r}, {self.shape}, {self.dtype}, token={self.token[:8]})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (len(self.names), *self.frame_shape)

    @functools.cached_property
    def token(self) -> str:
        """Hex digest of everything that decides the pixels, each file's size and modification time included."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.folder, self.frame_shape, self.stored.str, self.promote, self.no_value)).encode())
        digest.update("\0".join(self.names).encode("utf-8", "surrogateescape"))
        for numbers in (self.sizes, self.mtimes, self.offsets, self.pages, self.swapped):
            digest.update(np.ascontiguousarray(numbers).tobytes())
        return digest.hexdigest()

    def _fill(self, result: Pixels, frames: Positions, rows: Positions, columns: Positions) -> None:
        first, behind = int(rows.min()), int(rows.max()) + 1
        part = inside(rows - first, columns)
        box = all(isinstance(one, slice) for one in part)
        left = np.ones(len(frames), dtype=bool)
        if (np.diff(rows) == 1).all() and result.dtype == self.stored and result.flags.c_contiguous:
            files = self._plain(frames, slice(first, behind), columns)
            left = left if files is None else read_rows(files, result)
        scratch = np.empty((behind - first, self.frame_shape[1]), dtype=self.stored)
        direct = box and len(columns) == self.frame_shape[1] and result.dtype == self.stored
        for place in np.flatnonzero(left).tolist():
            target, frame = result[place], int(frames[place])
            block = target if direct else scratch
            try:
                self._read_rows(frame, block, first)
            except FrameError:
                if not self.promote:
                    raise
                # what was there at opening is marked: whoever computes it says so, and flags it
                target[...] = np.nan if self.offsets[frame] == ABSENT else lost(target.dtype, UNREAD)
                continue
            if not direct:
                target[...] = block[part]

    def in_files(self, key: tuple[int | Selection, ...]) -> InFiles | None:
        """Say where whole numbers of an outer selection lie, where they are read as they are."""
        frames, rows, columns = (positions_of(part, size) for part, size in zip(key, self.shape, strict=True))
        plain = self.dtype == self.stored and self.stored.kind in "iu" and frames.size * rows.size * columns.size
        if not plain or not (np.diff(rows) == 1).all():
            return None
        return self._plain(frames, slice(int(rows[0]), int(rows[-1]) + 1), columns)

    def _plain(self, frames: Positions, rows: slice, columns: Positions) -> InFiles | None:
        """Say where rows of frames lie; None where some of these are not stored as they are."""
        opened = (self.sizes[frames], self.mtimes[frames], self.offsets[frames])
        if (opened[2] < 0).any() or self.swapped[frames].any():
            return None
        names = [self.names[frame] for frame in frames.tolist()]
        return in_files(self.folder, names, opened, (self.frame_shape[1], rows, columns), self.stored)

    def _read_rows(self, frame: int, block: Pixels, first: int) -> None:
        """Read rows from ``first`` on of one frame into a C-contiguous block."""
        path = os.path.join(self.folder, self.names[frame])
        offset = int(self.offsets[frame])
        if offset == ABSENT:
            raise FrameError(path, "there is no such frame")
        try:
            retried(self._read_file, path, frame, block, first)
        except FileNotFoundError:
            raise removed(path) from None
        except OSError as error:
            raise FrameError(path, f"cannot be read ({error.strerror or error})") from None
        if offset == DECODED:
            self._decode(path, frame, block, first)
        elif self.swapped[frame]:
            block.byteswap(inplace=True)

    def _read_file(self, path: str, frame: int, block: Pixels, first: int) -> None:
        """Check that the file is the one that was opened, and read rows of plain pixels."""
        offset = int(self.offsets[frame])
        descriptor = os.open(path, READ)  # a third of the time of a file object
        try:
            check_unchanged(path, os.fstat(descriptor), int(self.sizes[frame]), int(self.mtimes[frame]))
            if offset >= 0:
                _read_into(descriptor, block, offset + first * self.frame_shape[1] * self.stored.itemsize, path)
        finally:
            os.close(descriptor)

    def _decode(self, path: str, frame: int, block: Pixels, first: int) -> None:
        pixels = decode(path, int(self.pages[frame]))
        if pixels.shape != self.frame_shape or pixels.dtype.newbyteorder("=") != self.stored:
            expected = f"{self.frame_shape} {self.stored}"
            raise FrameChanged(path, f"{expected} expected, {pixels.shape} {pixels.dtype} found")
        block[...] = pixels[first : first + len(block)]


def inside(*wanted: Positions) -> tuple[slice, ...] | tuple[npt.NDArray[np.intp], ...]:
    """Return positions along each axis as slices where they have no gap (five times faster to copy), else as a mesh.

    Examples
    --------
    >>> inside(np.array([2, 3, 4]), np.array([0, 1]))
    (slice(2, 5, None), slice(0, 2, None))
    """
    if all(bool((np.diff(places) == 1).all()) for places in wanted):
        return tuple(slice(int(places[0]), int(places[-1]) + 1) for places in wanted)
    return np.ix_(*wanted)


def _read_into(descriptor: int, block: Pixels, position: int, path: str) -> None:
    """Fill a contiguous block from a file; a signal or a network disc may deliver it in pieces."""
    view = memoryview(block.data).cast("B")
    done = 0
    while done < len(view):
        count = read_at(descriptor, view[done:], position + done)
        if not count:
            raise FrameError(path, f"truncated: {len(view)} bytes expected, {done} found")
        done += count
