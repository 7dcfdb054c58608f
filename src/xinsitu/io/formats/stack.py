"""The pixels of many files as one lazy array ``(frame, y, x)``.

:class:`FrameStack` holds folder, names, sizes, places. What it reads are the rows that were asked for, one read per
frame, straight into the result.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xinsitu.errors import FrameChanged, FrameError
from xinsitu.kernels import UNREAD, lost

from .descriptors import read_at
from .lazy_stack import LazyStack, Pixels, Positions, check_unchanged, removed
from .no_value import NoValue
from .reading import READ, decode, retried

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
        inside = _inside(rows - first, columns)
        whole = self._is_block(rows, columns)
        scratch = np.empty((behind - first, self.frame_shape[1]), dtype=self.stored)
        for target, frame in zip(result, frames, strict=True):
            direct = whole and target.dtype == self.stored
            block = target if direct else scratch
            try:
                self._read_rows(int(frame), block, first)
            except FrameError:
                if not self.promote:
                    raise
                # what was there at opening is marked: whoever computes it says so, and flags it
                target[...] = np.nan if self.offsets[frame] == ABSENT else lost(target.dtype, UNREAD)
                continue
            if not direct:
                target[...] = block if whole else block[inside]

    def _is_block(self, rows: Positions, columns: Positions) -> bool:
        """Whether rows without a gap and all columns in order were asked for."""
        whole_rows = len(columns) == self.frame_shape[1] and bool((np.diff(columns) == 1).all())
        return whole_rows and bool((np.diff(rows) == 1).all())

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


def _inside(rows: Positions, columns: Positions) -> tuple[slice, slice] | tuple[npt.NDArray[np.intp], ...]:
    """Return rows and columns as slices where they have no gap (five times faster to copy), else as an open mesh."""
    if bool((np.diff(rows) == 1).all()) and bool((np.diff(columns) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return np.ix_(rows, columns)


def _read_into(descriptor: int, block: Pixels, position: int, path: str) -> None:
    """Fill a contiguous block from a file; a signal or a network disc may deliver it in pieces."""
    view = memoryview(block.data).cast("B")
    done = 0
    while done < len(view):
        count = read_at(descriptor, view[done:], position + done)
        if not count:
            raise FrameError(path, f"truncated: {len(view)} bytes expected, {done} found")
        done += count
