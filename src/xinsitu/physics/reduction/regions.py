"""What is measured of a block of frames: ROIs as boxes of it, fitted to the recipe of the frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu.kernels import Doubles
from xinsitu.kernels.statistics import Layout, Pair, Shape, edge_of
from xinsitu.physics.blocks import Plan
from xinsitu.physics.corrections.framewise import Steps, drawn_together, moved_up
from xinsitu.values import EDGE, OWN_EDGE, Box

from .packed_numbers import Columns
from .region_pixels import Pixels

PIXEL_BY_PIXEL = {"minimum": "lowest", "std": "deviation", "brightest": "bright"}
"""What is measured of pixels one by one, and the statistic that it is; all else follows from sums."""


@dataclass(frozen=True, eq=False)
class Region:
    """One ROI, fitted to a block: its box counted from the block's first pixel, its backgrounds by number.

    ``under`` is ``rois`` or one of ``OWN_EDGE``: where the background comes from; empty: there is none. ``moving``: the
    first of the four columns of what is known per frame that say where a moving one is, ``y0, y1, x0, x1``;
    ``largest``: the most rows and columns it ever has. ``origin``: its first detector pixel, one per frame if it moves.
    ``shape``: which pixels of the box count, where not all do.
    """

    box: Box
    origin: tuple[Any, Any]
    background: tuple[int, ...]
    under: str
    measures: frozenset[str]
    n_brightest: int = 10
    moving: int | None = None
    largest: tuple[int, int] | None = None
    shape: Pixels | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns; bins of the axes of its own where it has some."""
        if self.shape is not None:
            return self.shape.size
        (top, bottom), (left, right) = self.box
        return bottom - top, right - left

    @property
    def pixels(self) -> Pixels:
        """Which of its pixels count; ``shape`` unless it is a rectangle, of which all do."""
        return self.shape or Pixels(self.size)

    def first(self, axis: str) -> Any:  # noqa: ANN401 - a number, or one for each frame
        """Place of the first bin: a detector pixel, or on an axis of its own the distance from the middle."""
        at = "yx".index(axis)
        return self.origin[at] if self.shape is None or self.shape.axes is None else -0.5 * (self.size[at] - 1)

    def at(self, row: Doubles) -> Region:
        """Return the region where it is in one frame."""
        if self.moving is None:
            return self
        y0, y1, x0, x1 = (int(bound) for bound in row[self.moving : self.moving + 4])
        top, left = self.origin[0] - self.box[0][0], self.origin[1] - self.box[1][0]
        box = (y0 - top, y1 - top), (x0 - left, x1 - left)
        return replace(self, box=box, origin=(y0, x0), largest=self.largest or self.size)

    @property
    def own_axes(self) -> bool:
        """Whether its profiles run along axes of its own."""
        return self.shape is not None and self.shape.axes is not None


@dataclass(frozen=True, eq=False)
class Measurements(Plan):
    """What to measure.

    ``counts``: the frames are counts, so that errors and saturation mean something. ``median``: they went, or go,
    through a plain median; ``median_before`` is the size of one that was there before. ``dead_time``: seconds, for the
    flag. ``smooth``: bins of the running mean before a width. ``bins``: rows and columns of the detector on which the
    profiles themselves are wanted, too.
    """

    steps: Steps
    regions: tuple[Region, ...]
    counts: bool
    median: bool
    cutoff: float | None
    dead_time: float | None
    already_counted: bool
    smooth: int | None
    bins: Box | None = None
    median_before: int | None = None

    @property
    def median_size(self) -> int:
        """Pixels across of the median that the frames go or went through."""
        return self.steps.median or self.median_before or 3

    @property
    def asks_median(self) -> bool:
        """Whether it can be told what a plain median makes of the counts."""
        return self.counts and self.median and self.steps.median is not None

    @property
    def behind_median(self) -> bool:
        """Whether a plain median went over counts, now or before, so that errors are those behind one."""
        return self.counts and self.median

    @property
    def as_counted(self) -> bool:
        """Whether filtered pixels are the corrected ones, so that they need not be summed twice."""
        return self.steps.boxes is None and not self.steps.scaled and not self.steps.images

    @property
    def asks_pixels(self) -> bool:
        """Whether something is measured that sums do not tell."""
        return any(what in region.measures for region in self.regions for what in PIXEL_BY_PIXEL)

    @cached_property
    def columns(self) -> Columns:
        """What blocks of these measurements give."""
        asked = {what for region in self.regions for what in region.measures}
        edges = self.counts and any(region.under for region in self.regions)
        return Columns.of(asked, median=self.asks_median, edges=edges)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Boxes that may have pixels in common and enter one quantity, by number: ROIs, then the frames' background."""
        if not self.counts:
            return ()
        levels, first = self.steps.boxes or (), len(self.regions)
        used = {
            pair
            for number, region in enumerate(self.regions)
            for pair in combinations(sorted({number, *region.background, *range(first, first + len(levels))}), 2)
        }
        boxes = [*(None if region.moving is not None else region.box for region in self.regions), *levels]
        return tuple(pair for pair in sorted(used) if _may_overlap(boxes[pair[0]], boxes[pair[1]]))

    @cached_property
    def layout(self) -> Layout:
        """Where the statistics of these ROIs stand."""
        kept = ["values", "pixels"]
        if self.counts and not (self.as_counted and self.steps.flat is None):
            kept.append("weighted")
        if self.counts and self.median:
            kept.append("squares")
        if self.asks_median:
            kept.append("excess")
        return Layout.of([self._kept(region, tuple(kept)) for region in self.regions], self.pairs)

    def of_rows(self, rows: slice) -> Measurements:
        """Return the same for some rows of the frames, which hold all that is needed."""
        regions = (replace(region, box=moved_up(region.box, rows.start)) for region in self.regions)
        return replace(self, steps=self.steps.of_rows(rows), regions=tuple(regions))

    def needed_columns(self, width: int) -> npt.NDArray[np.int64]:
        """Columns in which there are ROIs and backgrounds, with the halo of these; all where a ROI moves."""
        needed = np.zeros(width, dtype=bool)
        for _, (left, right) in (*(region.box for region in self.regions), *(self.steps.boxes or ())):
            needed[max(0, left - self.steps.halo) : right + self.steps.halo] = True
        needed |= any(region.moving is not None for region in self.regions)
        return np.flatnonzero(needed)

    def of_columns(self, which: npt.NDArray[np.int64]) -> Measurements:
        """Return the same for some columns of the frames, which hold all that is needed; pixels are summed by it."""
        regions = (replace(region, box=drawn_together(region.box, which)) for region in self.regions)
        return replace(self, steps=self.steps.of_columns(which), regions=tuple(regions))

    def _kept(self, region: Region, profiles: tuple[str, ...]) -> Shape:
        """Which statistics of a region are kept."""
        if self.counts and region.pixels.fractional and "weighted" not in profiles:
            profiles = (*profiles, "weighted")
        largest, edge = region.largest or region.size, region.under in OWN_EDGE
        rim = np.count_nonzero(edge_of(*largest) if region.shape is None else region.shape.rim) if edge else 0
        asked = [name for what, name in PIXEL_BY_PIXEL.items() if what in region.measures]
        asked += ["top_varying"] if self.steps.images else []
        moments = edge and region.under != EDGE
        return Shape(*largest, profiles=profiles, edge=int(rim), moments=moments, asked=tuple(asked))


def overlap(one: Box, other: Box) -> Box | None:
    """Pixels in both of two boxes; None where there are none.

    Examples
    --------
    >>> overlap(((0, 5), (0, 9)), ((3, 8), (2, 4)))
    ((3, 5), (2, 4))
    """
    y, x = ((max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(one, other, strict=True))
    return (y, x) if y[0] < y[1] and x[0] < x[1] else None


def _may_overlap(one: Box | None, other: Box | None) -> bool:
    """Whether two boxes, None if they move, have pixels in common at any time."""
    return one is None or other is None or overlap(one, other) is not None


def alike(per_frame: Doubles, plan: Measurements) -> Iterator[tuple[Any, Measurements]]:
    """Give the frames in which all ROIs have the same size, each with the regions, and where these begin per frame."""
    moving = [region.moving for region in plan.regions if region.moving is not None]
    if not moving:
        yield slice(None), plan
        return
    sizes = np.concatenate([per_frame[:, [at + 1, at + 3]] - per_frame[:, [at, at + 2]] for at in moving], axis=1)
    for size in np.unique(sizes, axis=0):
        some = np.flatnonzero((sizes == size).all(axis=1))
        yield some, replace(plan, regions=tuple(_sized(region, per_frame[some]) for region in plan.regions))


def _sized(region: Region, rows: Doubles) -> Region:
    """Return a region of the size that it has in these frames, beginning where it is in each of them."""
    if region.moving is None:
        return region
    y0, y1, x0, x1 = rows[:, region.moving : region.moving + 4].T
    size = (0, int(y1[0] - y0[0])), (0, int(x1[0] - x0[0]))
    return replace(region, box=size, origin=(y0, x0), largest=region.largest or (size[0][1], size[1][1]))


def resting(per_frame: Doubles, plan: Measurements) -> Iterator[tuple[slice, Measurements]]:
    """Give the runs of frames in which no ROI moves, each with the regions where they are."""
    moving = [region.moving + column for region in plan.regions if region.moving is not None for column in range(4)]
    moves = (np.diff(per_frame[:, moving], axis=0) != 0).any(axis=1)
    for first, behind in pairwise([0, *(np.flatnonzero(moves) + 1).tolist(), len(per_frame)]):
        regions = tuple(region.at(per_frame[first]) for region in plan.regions) if moving else plan.regions
        yield slice(first, behind), replace(plan, regions=regions) if moving else plan
