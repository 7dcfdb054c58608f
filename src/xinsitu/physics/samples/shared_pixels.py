"""Which pixels ROIs have in common, and what that says of the covariance of their sums."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError
from xinsitu.kernels import Doubles
from xinsitu.values import OWN_EDGE, Background, Roi
from xinsitu.values.fields import Box, roi_records

_CORNERS = ("roi_y0", "roi_y1", "roi_x0", "roi_x1")


@dataclass(frozen=True)
class Places:
    """Where the pixels of the ROIs are, as far as the series says.

    ``boxes``: bounds ``(time or 1, roi, 4)``, behind those of the ROIs those of the background of whole frames, which
    are not in the sums. ``weights``: how much each pixel of the box counts, of ROIs that are no
    rectangles. ``unknown``: those whose pixels are not. ``own_edge``: those less a background from their own edge,
    whose pixels count less in the net intensity, or even against it.
    """

    boxes: Doubles
    weights: Mapping[int, Doubles]
    unknown: Sequence[int]
    own_edge: Sequence[int]

    @classmethod
    def read(cls, series: xr.Dataset, names: Sequence[str]) -> Places:
        """Take what a series says of its ROIs, and of the background of whole frames."""
        records = [roi_records(series).get(name, {}) for name in names]
        own_edge = [at for at, one in enumerate(records) if one.get("background") in [[kind] for kind in OWN_EDGE]]
        if not all(corner in series.variables for corner in _CORNERS):
            return cls(np.full((1, len(names), 4), np.nan), {}, (), own_edge)
        bounds = [np.atleast_2d(series[corner].transpose(..., "roi").values).astype(float) for corner in _CORNERS]
        boxes, weights, unknown = np.stack(bounds, axis=-1), {}, []
        levels = np.array([[*y, *x] for y, x in _level_boxes(series)], dtype=float).reshape(-1, 4)
        boxes = np.concatenate([boxes, np.broadcast_to(levels, (len(boxes), *levels.shape))], axis=1)
        for number, record in enumerate(records):
            y0, y1, x0, x1 = np.nan_to_num(boxes[0, number]).astype(int).tolist()
            if isinstance(record.get("shape"), Mapping):
                try:
                    weights[number] = _pixels(record, ((y0, y1), (x0, x1)))
                except RoiError:  # files come from anywhere
                    unknown.append(number)
        return cls(boxes, weights, unknown, own_edge)

    def called(self, number: int, names: Sequence[str]) -> str:
        """Name of a ROI, or what else the box is."""
        return names[number] if number < len(names) else "the background of whole frames"

    def in_common(self, one: int, other: int) -> Doubles:
        """Pixels that two ROIs share, each as much as it counts in both, ``(time or 1)``."""
        first, others = self.boxes[:, one], self.boxes[:, other]
        low, high = np.maximum(first[:, ::2], others[:, ::2]), np.minimum(first[:, 1::2], others[:, 1::2])
        both: Doubles = np.nan_to_num(np.maximum(high - low, 0)).prod(axis=1)
        shaped = [(at, corner) for at, corner in ((one, first[:, ::2]), (other, others[:, ::2])) if at in self.weights]
        there = both > 0
        if shaped and there.any():
            starts = np.stack([low - corner for _, corner in shaped], axis=1)[there].astype(int)
            placed = np.concatenate([starts.reshape(len(starts), -1), (high - low)[there].astype(int)], axis=1)
            unlike, which = np.unique(placed, axis=0, return_inverse=True)
            both[there] = np.array([self._weighed([at for at, _ in shaped], row) for row in unlike])[which.ravel()]
        return both

    def _weighed(self, rois: Sequence[int], placed: npt.NDArray[np.intp]) -> float:
        """Sum of the product of weights where boxes of shapes meet."""
        *starts, size = placed.reshape(-1, 2)
        parts = [
            self.weights[at][tuple(map(slice, start, start + size))] for at, start in zip(rois, starts, strict=True)
        ]
        return float(np.prod(parts, axis=0).sum())

    def put_shared(self, sums: Doubles, needed: Sequence[int]) -> list[tuple[int, int]]:
        """Put in the variance of the pixels that two ROIs share; return the pairs where it is not exact.

        It is that of the ROI that is just these pixels, where there is one, else goes by their part of the smaller one.
        What a ROI shares with the background of whole frames is in its own error and is not taken out again.
        """
        every = range(sums.shape[1])
        area = [self.in_common(at, at) for at in every]
        levels = range(sums.shape[1], self.boxes.shape[1])
        guessed = [(one, level) for one in needed for level in levels if self.in_common(one, level).any()]
        for one, other in combinations(needed, 2):
            both = self.in_common(one, other)
            if not both.any():
                continue
            as_many = [at for at in every if (area[at] == both).all()]
            just = [at for at in as_many if all((self.in_common(at, of) == both).all() for of in (one, other))]
            smaller = min(one, other, key=lambda at: area[at].mean())
            shared = sums[:, just[0], just[0]] if just else sums[:, smaller, smaller] * both / area[smaller]
            if not just or not {one, other}.isdisjoint((*self.unknown, *self.own_edge)):
                guessed.append((one, other))
            sums[:, one, other] = sums[:, other, one] = shared
        return guessed


def _pixels(record: Mapping[str, Any], box: Box) -> Doubles:
    """How much each pixel of its box counts in a ROI that is no rectangle."""
    weights: Doubles | None = Roi.from_dict(record).on(box).weights
    if weights is None or weights.shape != tuple(behind - first for first, behind in box):
        raise RoiError("what is said of the shape does not belong to the box")
    return weights


def _level_boxes(series: xr.Dataset) -> tuple[Box, ...]:
    """Regions by which whole frames were divided or which were subtracted from them; files come from anywhere."""
    try:
        said = json.loads(str(series.attrs.get("correction", "{}")))
        return Background.from_dict(said["background"]).boxes
    except (ValueError, TypeError, KeyError, RoiError):
        return ()
