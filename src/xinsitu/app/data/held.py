"""Frames that were read, in the order in which they came: where one stands among others may change, what it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .marks import Marks
from .tiles import Tiles


class Held:
    """Frames in blocks in memory, or in tiles on a disc, each known by its mark.

    Examples
    --------
    >>> held = Held()
    >>> held.append(np.zeros((2, 4, 5)), np.array([7, 8]))
    >>> held.append(np.ones((1, 4, 5)), np.array([9]))
    >>> held.thin(np.array([8, 9])), held.marks.tolist()
    (None, [7, 8, 9])
    >>> held.thin(np.array([9])), held.marks.tolist()
    (None, [9])
    """

    def __init__(self) -> None:
        self.pieces: list[npt.NDArray[Any] | Tiles] = []
        self.marks: Marks = np.empty(0, dtype=np.int64)

    @property
    def tiled(self) -> bool:
        """Whether they are on a disc."""
        return bool(self.pieces) and isinstance(self.pieces[-1], Tiles)

    @property
    def room(self) -> int:
        """Frames that tiles have room for beside those that are in them."""
        return sum(map(len, self.pieces)) - len(self.marks)

    def append(self, frames: npt.NDArray[Any], marks: Marks) -> None:
        """Take more frames."""
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, Tiles):
            last.write(len(last) - self.room, frames)
        else:
            self.pieces.append(frames)
        self.marks = np.concatenate([self.marks, marks])

    def enlarge(self, tiles: Tiles) -> None:
        """Let further frames go into tiles, and those that are in memory before them."""
        at = 0
        for block in self.pieces:
            if not isinstance(block, Tiles):
                tiles.write(at, block)
                at += len(block)
        self.pieces = [*(piece for piece in self.pieces if isinstance(piece, Tiles)), tiles]

    def thin(self, marks: Marks) -> None:
        """Forget blocks, or parts of them, most of whose frames are none of these: they are no more."""
        if self.tiled or not self.pieces:
            return
        cuts = np.cumsum([len(piece) for piece in self.pieces])[:-1]
        here = np.split(np.isin(self.marks, marks), cuts)
        kept = [some if 2 * np.count_nonzero(some) < len(some) else np.ones_like(some) for some in here]
        self.pieces = [
            piece if some.all() else np.asarray(piece[some])  # type: ignore[index] # no tiles
            for piece, some in zip(self.pieces, kept, strict=True)
            if some.any()
        ]
        self.marks = self.marks[np.concatenate(kept)]
