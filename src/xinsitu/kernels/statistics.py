"""What is kept of each frame and of each ROI in it: one row of float64 numbers, from which every quantity follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .pixels import Bools
from .sums import edge_width

FRAME = (
    "unread",
    "dark",
    "level_total",
    "level_squares",
    "level_variance",
    "level_pixels",
    "level_excess",
    "level_counts",
    "level_flat",
)
"""Of a frame: whether it is lost, and why; of the regions of its background: sum of the filtered pixels, of their
squares, of these over the flat field, number of good ones, what a median added, raw counts, and what the flat field's
own noise weighs."""
OVERLAP = ("total", "squares")
"""Of the pixels in two boxes: sum of the filtered ones over the flat field, and of the squares of that."""
ROI = ("top", "row", "column", "second", "gain", "raw_maximum", "saturated", "sparse", "flat")
"""Of a ROI: highest pixel, its place, the next highest one, one over the flat field there, highest good raw pixel,
saturated ones, raw counts per pixel without hot pixels, and what the flat field's own noise weighs."""
ASKED = ("top_varying", "lowest", "deviation", "bright")
"""Of a ROI, where they are asked for: variance of the highest pixel before the frame's factor; lowest pixel, standard
deviation of the pixels, mean of the brightest ones."""
PROFILES = ("values", "pixels", "weighted", "squares", "excess")
"""Sums over the other axis, along y and along x: corrected pixels, number of good ones, filtered pixels over the flat
field (what was counted), squares of that, and what a median added."""
MOMENTS = {"y": (1, 2, 3), "x": (1, 2, 3)}
"""Powers of x summed along each row, and of y along each column, over the good pixels; in bins from the middle."""

Pair = tuple[int, int]


class Shape(NamedTuple):
    """Rows and columns of a ROI, the most it ever has, and which statistics of it are kept; ``edge``: pixels of it."""

    rows: int
    columns: int
    profiles: tuple[str, ...]
    edge: int
    moments: bool
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Which columns of a row of statistics hold what.

    ``frame`` and the scalars of ``rois`` by name, profiles by name and axis, e.g. ``weighted_y``; ``edge`` are the
    pixels of a ROI's own edge, row by row, NaN where one says nothing; ``moments_y`` are those of
    :data:`MOMENTS` one after the other.
    """

    frame: Mapping[str, int]
    pairs: Mapping[Pair, int]
    rois: tuple[Mapping[str, slice], ...]
    size: int

    @classmethod
    def of(cls, shapes: Sequence[Shape], pairs: Iterable[Pair]) -> Layout:
        """Put everything one behind the other.

        Examples
        --------
        >>> layout = Layout.of([Shape(4, 5, ("values", "pixels"), 0, False)], [])
        >>> layout.rois[0]["values_x"], layout.size
        (slice(22, 27, None), 36)
        """
        frame = {name: number for number, name in enumerate(FRAME)}
        size = len(frame)
        places: dict[Pair, int] = {}
        for pair in pairs:
            places[pair], size = size, size + len(OVERLAP)
        rois = []
        for shape in shapes:
            wanted = dict.fromkeys((*ROI, *shape.asked), 1)
            for name in shape.profiles:
                wanted |= {f"{name}_y": shape.rows, f"{name}_x": shape.columns}
            if shape.edge:
                wanted["edge"] = shape.edge
            if shape.moments:
                wanted |= {"moments_y": len(MOMENTS["y"]) * shape.rows, "moments_x": len(MOMENTS["x"]) * shape.columns}
            own = {}
            for name, length in wanted.items():
                own[name], size = slice(size, size + length), size + length
            rois.append(own)
        return cls(frame, places, tuple(rois), size)


def edge_of(n_rows: int, n_columns: int) -> Bools:
    """Which pixels of a ROI are its edge: the outermost 5 % of rows and columns, at least one, on each side.

    Examples
    --------
    >>> edge_of(3, 4).astype(int).tolist()
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    edge = np.ones((n_rows, n_columns), dtype=bool)
    high, wide = edge_width(n_rows), edge_width(n_columns)
    edge[high : n_rows - high, wide : n_columns - wide] = False
    return edge
