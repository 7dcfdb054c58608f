"""Regions of single pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from xinsitu.errors import RoiError
from xinsitu.kernels import Bools, Doubles
from xinsitu.kernels.areas import Line

from .fields import Box
from .region_shapes import Outline, Point, Shape, numbers

_MOST_RUNS = 2**20
"""A mask of more is no region but noise, and each run takes a hundred bytes."""


@dataclass(frozen=True)
class Mask(Shape):
    """Pixels one by one, as runs ``(row, first column, behind the last)``.

    Examples
    --------
    >>> Mask.of(np.array([[0, 1, 1], [1, 0, 1]], bool), origin=(10, 20)).runs
    ((10, 21, 23), (11, 20, 21), (11, 22, 23))
    """

    kind: ClassVar[str] = "mask"
    by_formula: ClassVar[bool] = False
    runs: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        runs: object = self.runs
        if not isinstance(runs, Sequence | np.ndarray) or isinstance(runs, str) or not len(runs):
            raise RoiError(f"runs of a mask must be [row, first, behind the last], one or more, not {runs!r}")
        if len(runs) > _MOST_RUNS:
            raise RoiError(f"a mask has at most {_MOST_RUNS} runs of pixels, not {len(runs)}")
        checked = []
        for run in runs:
            row, first, behind = numbers(run, 3, "a run of a mask")
            if not (row == int(row) and 0 <= first == int(first) < behind == int(behind)):
                raise RoiError(f"a run of a mask must be [row, first, behind the last], not {list(run)!r}")
            checked.append((int(row), int(first), int(behind)))
        object.__setattr__(self, "runs", tuple(sorted(checked)))
        for (row, _, behind), (next_row, first, _) in zip(self.runs, self.runs[1:], strict=False):
            if row == next_row and first < behind:
                raise RoiError(f"two runs of a mask overlap in row {row}")

    @classmethod
    def of(cls, pixels: Bools, origin: tuple[int, int] = (0, 0)) -> Mask:
        """Take the true pixels of an array whose first one is ``origin``."""
        steps = np.diff(np.pad(np.asarray(pixels, dtype=np.int8), ((0, 0), (1, 1))), axis=1)
        rows, first = np.nonzero(steps == 1)
        _, behind = np.nonzero(steps == -1)
        if len(rows) > _MOST_RUNS:
            raise RoiError(f"a mask has at most {_MOST_RUNS} runs of pixels, not {len(rows)}")
        told = (rows + origin[0], first + origin[1], behind + origin[1])
        return cls(tuple((int(row), int(one), int(other)) for row, one, other in zip(*told, strict=True)))

    def with_pixels(self, places: Sequence[tuple[int, int]], *, counted: bool = True) -> Mask:
        """Return it with some pixels ``(row, column)``, or without them.

        Examples
        --------
        >>> Mask(((3, 5, 7),)).with_pixels([(4, 6)]).with_pixels([(3, 5)], counted=False).runs
        ((3, 6, 7), (4, 6, 7))
        """
        rows, columns = np.array(places).reshape(-1, 2).T
        (top, left), (high, wide) = self.around
        first = min(top, int(rows.min())), min(left, int(columns.min()))
        last = max(top + high - 1, int(rows.max())), max(left + wide - 1, int(columns.max()))
        pixels = self.holds(first, (last[0] - first[0] + 1, last[1] - first[1] + 1))
        pixels[rows - first[0], columns - first[1]] = counted
        return Mask.of(pixels, first)

    @property
    def rings(self) -> Outline:
        """One box around each run."""
        boxes = (((y - 0.5, x0 - 0.5), (y - 0.5, x1 - 0.5), (y + 0.5, x1 - 0.5), (y + 0.5, x0 - 0.5))
                 for y, x0, x1 in self.runs)  # fmt: skip
        return tuple(tuple(Line(a, b) for a, b in zip(box, (*box[1:], box[0]), strict=True)) for box in boxes)

    @property
    def area(self) -> float:
        """Number of pixels."""
        return float(sum(behind - first for _, first, behind in self.runs))

    @cached_property
    def around(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Box around all runs."""
        rows, first, behind = np.array(self.runs).T
        top, left = int(rows.min()), int(first.min())
        return (top, left), (int(rows.max()) + 1 - top, int(behind.max()) - left)

    def holds(self, origin: tuple[int, int], shape: tuple[int, int]) -> Bools:
        """Which pixels are meant."""
        pixels = np.zeros(shape, dtype=bool)
        for row, first, behind in self.runs:
            if 0 <= row - origin[0] < shape[0]:
                pixels[row - origin[0], max(first - origin[1], 0) : max(behind - origin[1], 0)] = True
        return pixels

    @property
    def text(self) -> str:
        """One line that tells it from all others, without its pixels."""
        known = hashlib.blake2b(repr(self.runs).encode(), digest_size=6).hexdigest()
        return f"mask of {self.area:.0f} pixels, {known}"

    def weights(self, edges: str) -> tuple[Box, Doubles]:
        """Return the pixels, which have no edges."""
        return super().weights("whole")

    def outlines(self) -> tuple[Doubles, ...]:
        """Lines around its pixels: sides that two of them share are left out."""
        return tuple(np.array(side) for side in _sides(*self.weights("whole")))

    def shifted(self, y: float, x: float) -> Mask:
        """Return it at another place, whole pixels away."""
        if y != int(y) or x != int(x):
            raise RoiError("a mask of pixels moves by whole pixels only")
        return Mask(tuple((row + int(y), first + int(x), behind + int(x)) for row, first, behind in self.runs))


def _sides(box: Box, weights: Doubles) -> Iterable[list[Point]]:
    """Give the sides of the pixels of a mask that no other one shares, those in one line together."""
    inside = np.pad(weights > 0, 1)
    for turn in (False, True):
        grid = inside.T if turn else inside
        top, left = (box[1][0], box[0][0]) if turn else (box[0][0], box[1][0])
        change = np.pad(grid[1:] != grid[:-1], ((0, 0), (1, 1))).astype(np.int8)
        steps = np.diff(change, axis=1)
        rows, first = np.nonzero(steps == 1)
        _, behind = np.nonzero(steps == -1)
        for row, one, other in zip(rows + top - 0.5, first + left - 1.5, behind + left - 1.5, strict=True):
            ends = [(float(row), float(one)), (float(row), float(other))]
            yield [(x, y) for y, x in ends] if turn else ends
