"""What is measured of a block of frames: ROIs as boxes of it, fitted to the recipe of the frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import Plan
from xinsitu.physics.corrections.framewise import Steps
from xinsitu.values import Box


@dataclass(frozen=True)
class Region:
    """One ROI, fitted to a block: its box counted from the block's first pixel, its backgrounds by number.

    ``under`` is ``rois`` or one of ``OWN_EDGE``: where the background comes from; empty: there is none. ``moving``: the
    first of the four columns of what is known per frame that say where a moving one is, ``y0, y1, x0, x1``.
    """

    box: Box
    origin: tuple[int, int]
    background: tuple[int, ...]
    under: str
    measures: frozenset[str]
    moving: int | None = None

    def at(self, row: Doubles) -> Region:
        """Return the region where it is in one frame."""
        if self.moving is None:
            return self
        y0, y1, x0, x1 = (int(bound) for bound in row[self.moving : self.moving + 4])
        top, left = self.origin[0] - self.box[0][0], self.origin[1] - self.box[1][0]
        return replace(self, box=((y0 - top, y1 - top), (x0 - left, x1 - left)), origin=(y0, x0))


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


def resting(per_frame: Doubles, plan: Measurements) -> Iterator[tuple[slice, Measurements]]:
    """Give the runs of frames in which no ROI moves, each with the regions where they are."""
    moving = [region.moving + column for region in plan.regions if region.moving is not None for column in range(4)]
    moves = (np.diff(per_frame[:, moving], axis=0) != 0).any(axis=1)
    for first, behind in pairwise([0, *(np.flatnonzero(moves) + 1).tolist(), len(per_frame)]):
        regions = tuple(region.at(per_frame[first]) for region in plan.regions) if moving else plan.regions
        yield slice(first, behind), replace(plan, regions=regions) if moving else plan
