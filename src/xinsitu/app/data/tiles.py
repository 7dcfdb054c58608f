"""Stacks that hand out a ROI of all frames without touching the rest: blocks in memory, or tiles in a file."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xinsitu.io.formats.descriptors import reserve

SIDE = 16
"""Rows and columns of a tile: a ROI of 40 x 40 pixels touches at most 16 tiles, 2.6 times its own pixels."""


Key = tuple[slice | int | npt.NDArray[Any], ...]


class _Stack:
    """What both have in common: any index that dask may ask for becomes three plain slices and what is left to do."""

    ndim = 3
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Key) -> npt.NDArray[Any]:
        slices: list[slice] = []
        rest: list[Any] = []
        for part, size in zip((*key, *[slice(None)] * (3 - len(key))), self.shape, strict=True):
            if isinstance(part, slice):
                first, behind, step = part.indices(size)
                plain = step == 1
                slices.append(slice(first, max(first, behind)) if plain else slice(0, size))
                rest.append(slice(None) if plain else part)
            elif np.ndim(part) == 0:
                at = range(size)[int(part)]
                slices.append(slice(at, at + 1))
                rest.append(0)
            else:
                slices.append(slice(0, size))
                rest.append(part)
        return np.asarray(self._box(slices[0], slices[1], slices[2])[tuple(rest)])

    def _box(self, time: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        raise NotImplementedError


class Ordered(_Stack):
    """A stack ``(time, y, x)`` whose frames stand in any order; those that lie behind each other are read together.

    ``order`` says where each frame of the stack lies.
    """

    order: npt.NDArray[np.int64]
    dtype: np.dtype[Any]

    def some(self, places: npt.NDArray[np.int64]) -> Self:
        """Return some of the frames as a stack of their own."""
        other = copy.copy(self)
        other.order, other.shape = self.order[places], (len(places), *self.shape[1:])
        return other

    def _box(self, time: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        order = self.order[time]
        runs = np.split(order, np.flatnonzero(np.diff(order) != 1) + 1)
        parts = [part for run in runs if len(run) for part in self._run(int(run[0]), int(run[-1]) + 1, y, x)]
        if not parts:
            return np.empty((0, max(0, y.stop - y.start), max(0, x.stop - x.start)), dtype=self.dtype)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _run(self, first: int, behind: int, y: slice, x: slice) -> Iterator[npt.NDArray[Any]]:
        """Give neighbours, in one piece or several."""
        raise NotImplementedError


class Blocks(Ordered):
    """Frames that are held in pieces: of one piece nothing is copied.

    Parameters
    ----------
    blocks
        Frames behind each other, each block ``(time, y, x)``, arrays in memory or :class:`Tiles`.
    order
        Where each frame of the stack lies in them; None: as they lie.

    Examples
    --------
    >>> blocks = Blocks([np.zeros((3, 4, 5)), np.ones((2, 4, 5))])
    >>> blocks.shape, blocks[2:4, 0:1, 0:1].ravel()
    ((5, 4, 5), array([0., 1.]))
    >>> blocks.some(np.array([4, 0]))[:, 0, 0]
    array([1., 0.])
    """

    at_hand = True
    """Few frames are as quickly there as many, of whatever chunks."""

    def __init__(self, blocks: Sequence[npt.NDArray[Any] | Tiles], order: npt.NDArray[np.int64] | None = None) -> None:
        self._blocks = tuple(blocks)
        self._ends = np.cumsum([len(block) for block in self._blocks])
        self.order = np.arange(self._ends[-1]) if order is None else order
        self.shape = (len(self.order), *self._blocks[0].shape[1:])
        self.dtype = self._blocks[0].dtype

    def _run(self, first: int, behind: int, y: slice, x: slice) -> Iterator[npt.NDArray[Any]]:
        for number in range(int(np.searchsorted(self._ends, first, "right")), len(self._blocks)):
            start = int(self._ends[number]) - len(self._blocks[number])
            if start >= behind:
                break
            yield self._blocks[number][max(first - start, 0) : behind - start, y, x]


class Through(Ordered):
    """Frames that are read anew whenever they are asked for: slow, but it needs no room.

    Parameters
    ----------
    shape, dtype
        Of the stack.
    read
        Reads a box of it.

    Examples
    --------
    >>> through = Through((5, 2, 3), np.dtype("int32"), lambda time, y, x: np.arange(30).reshape(5, 2, 3)[time, y, x])
    >>> through[1:3, 0, 0]
    array([ 6, 12])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        read: Callable[[slice, slice, slice], npt.NDArray[Any]],
    ) -> None:
        self.shape, self.dtype, self._read, self.order = shape, dtype, read, np.arange(shape[0])

    def _run(self, first: int, behind: int, y: slice, x: slice) -> Iterator[npt.NDArray[Any]]:
        yield self._read(slice(first, behind), y, x)


class Tiles(_Stack):
    """A stack ``(time, y, x)`` in one file, tile by tile, the frames of each tile one after the other.

    Parameters
    ----------
    path
        Where the file is made. It has no name from then on, so that its space comes back with the last reference,
        however the program ends.
    shape
        Frames that there is room for, rows, columns.
    dtype
        Of the pixels.

    Raises
    ------
    OSError
        The disc has no room for it: said here, and not by a signal in the middle of the writing.

    Examples
    --------
    >>> import tempfile
    >>> frames = np.arange(5 * 20 * 40).reshape(5, 20, 40)
    >>> tiles = Tiles(Path(tempfile.mkdtemp()) / "tiles", frames.shape, frames.dtype)
    >>> tiles.write(0, frames)
    >>> bool((tiles[1:4, 3:18, 10:30] == frames[1:4, 3:18, 10:30]).all())
    True
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        rows, columns = -(-shape[1] // SIDE), -(-shape[2] // SIDE)
        layout = (rows, columns, shape[0], SIDE, SIDE)
        try:
            with path.open("wb") as file:
                reserve(file.fileno(), 0, max(1, math.prod(layout) * self.dtype.itemsize))
            self._map = np.memmap(path, mode="r+", dtype=self.dtype, shape=layout)
        finally:
            path.unlink()

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return int(self._map.nbytes)

    def write(self, first: int, frames: npt.NDArray[Any]) -> None:
        """Put frames behind each other, from position ``first`` on."""
        rows, columns = self._map.shape[:2]
        padding = ((0, 0), (0, rows * SIDE - self.shape[1]), (0, columns * SIDE - self.shape[2]))
        cut = np.pad(frames, padding).reshape(len(frames), rows, SIDE, columns, SIDE)
        self._map[:, :, first : first + len(frames)] = cut.transpose(1, 3, 0, 2, 4)

    def _box(self, time: slice, y: slice, x: slice) -> npt.NDArray[Any]:
        frames = time.stop - time.start
        result = np.empty((frames, max(0, y.stop - y.start), max(0, x.stop - x.start)), dtype=self.dtype)
        for row in range(y.start // SIDE, -(-y.stop // SIDE)):
            rows = slice(max(y.start, row * SIDE), min(y.stop, (row + 1) * SIDE))
            for column in range(x.start // SIDE, -(-x.stop // SIDE)):
                columns = slice(max(x.start, column * SIDE), min(x.stop, (column + 1) * SIDE))
                inside = self._map[row, column, time, _shifted(rows, -row * SIDE), _shifted(columns, -column * SIDE)]
                result[:, _shifted(rows, -y.start), _shifted(columns, -x.start)] = inside
        return result


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, max(part.stop + by, part.start + by))
