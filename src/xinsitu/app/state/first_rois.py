"""The ROIs of a first look: one on the spot that changes most, measuring everything, and one for its background."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from xinsitu.values import Bounds, Roi, RoiSet

from .kinds import as_kind
from .roi_edits import Shape, centred

Pixels = npt.NDArray[np.float32]
EDGE = 0.1
"""Part of a spot's height, above the background, where it ends."""
BESIDE = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], "uint8")
"""The pixels around one."""
LEAST, SIDE = 12, 20
"""Pixels of the smallest ROI, and of the background's side."""


def first_rois(frames: Pixels, shape: Shape) -> RoiSet:
    """Return ROIs for a run of which a few frames ``(time, y, x)`` are known, pixels as on the detector.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :80]
    >>> spots = [1000 * np.exp(-((y - 30) ** 2 + (x - at) ** 2) / 18) for at in (40, 44)]
    >>> rois = first_rois(np.array([1 + spot for spot in spots], "float32"), ((0, 60), (100, 180)))
    >>> [(roi.name, roi.y, roi.x, roi.background) for roi in rois][0]
    ('spot', (20, 41), (129, 156), ('background',))
    """
    (top, bottom), (left, right) = shape
    cleaned = np.array([without_single_pixels(frame) for frame in frames], "float32")
    if not cleaned.size or not np.isfinite(cleaned).any():
        cleaned = np.zeros((1, bottom - top, right - left), "float32")
    levels = np.nan_to_num(cleaned, nan=0.0)
    (row, column), box = _spot(levels)
    y, x = ((first + low, first + high) for first, (low, high) in zip((top, left), box, strict=True))
    spot = as_kind(Roi("spot", y=y, x=x, background=("background",)), "all")
    rows, columns = _empty(_without_gaps(cleaned), box, (row, column))
    empty = Roi("background", y=(top + rows[0], top + rows[1]), x=(left + columns[0], left + columns[1]))
    return RoiSet([spot, as_kind(empty, "background", [spot])])


def without_single_pixels(frame: npt.NDArray[np.generic]) -> Pixels:
    """Return a frame in which no pixel is higher than the highest beside it: hot ones and cosmic rays are no spots.

    Examples
    --------
    >>> without_single_pixels(np.array([[0, 0, 0, 8], [0, 90, 0, 9]])).max(axis=0)
    array([0., 0., 0., 8.], dtype=float32)
    """
    known = np.nan_to_num(np.asarray(frame, dtype="float32"), nan=-np.inf)
    beside = cv2.dilate(known, BESIDE, borderType=cv2.BORDER_CONSTANT, borderValue=-np.inf)
    return np.where(np.isnan(frame), np.nan, np.minimum(known, np.maximum(beside, 0))).astype("float32")


def _spot(levels: Pixels) -> tuple[tuple[int, int], tuple[Bounds, Bounds]]:
    """Return where most changes while the beam is kept the same, or what is brightest, and the box around all of it."""
    total = np.maximum(levels.sum(axis=(1, 2)), 1e-9)
    even = levels * (total.max() / total)[:, None, None]  # a filter is not a change of the sample
    change = ndimage.uniform_filter(np.ptp(even, axis=0), 3)
    bright = ndimage.uniform_filter(even.max(axis=0), 3)
    score = change if change.max() > 0.05 * bright.max() else bright
    row, column = (int(at) for at in np.unravel_index(int(score.argmax()), score.shape))
    ground = float(np.median(bright))
    inside = bright - ground > EDGE * (bright[row, column] - ground)
    labels, _ = ndimage.label(inside)
    if not labels[row, column]:
        return (row, column), _padded(((row, row + 1), (column, column + 1)), bright.shape)
    parts = ndimage.find_objects(labels)[labels[row, column] - 1]
    return (row, column), _padded(tuple((part.start, part.stop) for part in parts), bright.shape)  # type: ignore[arg-type] # two of them


def _without_gaps(cleaned: Pixels) -> Pixels:
    """Return the highest values of all frames; NaN where pixels are masked, or where a row or column never counts."""
    highest = np.asarray(cleaned.max(axis=0))  # NaN where one is
    for axis in (0, 1):
        silent = ~(np.nan_to_num(highest) > 0).any(axis=axis, keepdims=True)
        if not silent.all():
            highest = np.where(silent, np.nan, highest)
    return highest


def _padded(box: tuple[Bounds, Bounds], shape: tuple[int, ...]) -> tuple[Bounds, Bounds]:
    """Return a box with room around it, as far as the image goes, at most half of it."""
    found = []
    for (first, behind), size in zip(box, shape, strict=True):
        extent = min(max(LEAST, round(1.6 * (behind - first))), max(1, size // 2))
        found.append(centred((first + behind - 1) / 2, extent, (0, size)))
    return found[0], found[1]


def _empty(brightest: Pixels, spot: tuple[Bounds, Bounds], at: tuple[int, int]) -> tuple[Bounds, Bounds]:
    """Return an empty place near a spot: of the darker quarter of the image, the part that lies nearest."""
    height, width = (max(1, min(SIDE, size // 4)) for size in brightest.shape)
    places = [
        ((row, row + height), (column, column + width))
        for row in range(0, brightest.shape[0] - height + 1, max(1, height // 2))
        for column in range(0, brightest.shape[1] - width + 1, max(1, width // 2))
    ]
    wings = tuple((2 * low - high, 2 * high - low) for low, high in spot)
    away = [place for place in places if not all(_touch(*pair) for pair in zip(place, wings, strict=True))] or places
    level = np.array([brightest[slice(*y), slice(*x)].mean() for y, x in away])
    known = np.isfinite(level)
    limit = np.percentile(level[known], 25) if known.any() else np.inf
    distance = np.array([np.hypot(sum(y) / 2 - at[0], sum(x) / 2 - at[1]) for y, x in away])
    return away[int(np.where(np.nan_to_num(level, nan=np.inf) <= limit, distance, np.inf).argmin())]


def _touch(one: Bounds, other: Bounds) -> bool:
    return one[0] < other[1] and other[0] < one[1]
