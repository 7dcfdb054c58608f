"""From the statistics of frames to the sums of each ROI: profiles with their variances, and what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xinsitu.kernels import Doubles, counting
from xinsitu.kernels.statistics import ASKED, MOMENTS, ROI, Layout, Pair
from xinsitu.physics.corrections.framewise import SCALE, SCALE_VARIANCE, divisor

from .pixel_sums import level_of
from .regions import Measurements, Region

TOGETHER = 9
"""Rows or columns, side by side, from which the mean of filtered pixels is taken."""


@dataclass(frozen=True)
class Frames:
    """What is known of each frame of a block, and the background of whole frames.

    ``level_*``: that background's variance, its pixels, what a median added to their sum, their raw counts, and what
    the noise of the flat field weighs in it. ``overlaps``: sums of the pixels that two boxes share, and of their
    squares.
    """

    per_frame: Doubles
    shared: float | None
    unread: Doubles
    dark: Doubles
    level: Doubles | None
    level_variance: Doubles
    level_pixels: Doubles
    level_excess: Doubles
    level_counts: Doubles
    level_flat: Doubles
    overlaps: Mapping[Pair, tuple[Doubles, Doubles]]

    def __len__(self) -> int:
        return len(self.per_frame)

    @classmethod
    def of(cls, rows: Doubles, layout: Layout, per_frame: Doubles, plan: Measurements, shared: float | None) -> Frames:
        """Take what belongs to the frames from their statistics."""
        told = {name: rows[:, column] for name, column in layout.frame.items()}
        level = level_of(rows, layout, plan.steps)
        pairs = {pair: (rows[:, at], rows[:, at + 1]) for pair, at in layout.pairs.items()}
        nothing = np.zeros(len(rows))
        if level is None:
            known = (nothing, nothing, nothing, nothing, nothing)
        else:
            variance, pixels = told["level_variance"], told["level_pixels"]
            if plan.median:
                mean = counting.weighted_mean(told["level_squares"], told["level_total"])
                variance = variance * counting.sum_variance_factor(mean)
            sound = plan.counts & (variance >= 0)  # floating point, e.g. less a dark: no count is below zero
            variance = np.where(sound, variance, np.nan) / np.maximum(pixels, 1) ** 2
            known = (variance, pixels, told["level_excess"], told["level_counts"], told["level_flat"])
        return cls(per_frame, shared, told["unread"], told["dark"], level, *known, pairs)

    @property
    def scale_variance(self) -> Doubles:
        """Relative variance of the factor of each frame."""
        return np.asarray(self.per_frame[:, SCALE_VARIANCE])


@dataclass(frozen=True)
class Sums:
    """A ROI in some frames: its profiles, with their variances, and single numbers.

    ``variance_*`` are of bins as parts of sums and moments, ``bin_variance_*`` of single bins; they differ behind a
    median, where neighbouring bins are correlated.
    """

    y: Doubles
    x: Doubles
    pixels_y: Doubles
    pixels_x: Doubles
    variance_y: Doubles
    variance_x: Doubles
    bin_variance_y: Doubles
    bin_variance_x: Doubles
    counted: Doubles
    """Filtered counts per pixel, on average."""
    bin_factor: Doubles
    """Variance of a bin over what was counted in it: 1, but behind a median."""
    weighted_mean: Doubles
    """Behind a median, mean of the pixels where most counts are; infinite without one."""
    median_excess: tuple[Doubles, Doubles]
    """What a plain median added to the profiles of what was counted, along y and x; NaN in frames not asked."""
    numbers: Mapping[str, Doubles]
    """Single numbers, as :data:`~xinsitu.kernels.statistics.ROI` has them."""
    edge: Doubles
    """Pixels of the ROI's own edge, NaN where one says nothing; none where nobody asks for them."""
    moments: Mapping[str, Doubles]
    """Powers of the place, summed along rows (``y``) and columns (``x``), ``(power, frame, bin)``."""
    area: float
    """Pixels of the ROI, valid or not."""
    rim: tuple[Doubles, Doubles]
    """Places along y and x of the pixels of the ROI's own edge, from -1 to 1."""
    subtracted: Doubles
    """What was subtracted from each pixel, as the background of the whole frame or as an image: it varies, too."""

    @classmethod
    def of(cls, rows: Doubles, places: Mapping[str, slice], region: Region, frames: Frames, plan: Measurements) -> Sums:
        """Take a ROI's sums from the statistics of frames."""
        size = dict(zip("yx", region.size, strict=True))

        def where(name: str) -> tuple[Doubles, Doubles]:
            starts = ((places[f"{name}_{axis}"].start, size[axis]) for axis in "yx")
            along_y, along_x = (rows[:, start : start + length] for start, length in starts)
            return along_y, along_x

        def both(name: str) -> tuple[Doubles, Doubles]:
            along_y, along_x = map(np.ascontiguousarray, where(name))
            return along_y, along_x

        values = both("values")
        areas = both("pixels")
        counted = None if not plan.counts else both("weighted") if "weighted_y" in places else values
        squares = where("squares") if "squares_y" in places else None
        variances = _variances(values, counted, squares, frames, plan, region.pixels.area)
        nothing = np.zeros((len(rows), 1)), np.zeros((len(rows), 1))
        factor = factor_of(frames, plan)
        whole = frames.level if frames.level is not None and plan.steps.mode == "subtract" else np.zeros(len(rows))
        edge, rim = np.empty((len(rows), 0)), (np.empty(0), np.empty(0))
        if "edge" in places:
            pixels = region.pixels
            start, which = places["edge"].start, pixels.rim
            edge = rows[:, start : start + np.count_nonzero(which)]
            along_y, along_x = (np.broadcast_to(place, which.shape)[which] for place in pixels.places)
            rim = along_y, along_x
        moments = {}
        if "moments_y" in places:
            for axis in "yx":
                told = rows[:, places[f"moments_{axis}"]]
                number = len(MOMENTS[axis])
                powers = told.reshape(len(rows), number, told.shape[1] // number)
                moments[axis] = powers[:, :, : size[axis]].transpose(1, 0, 2)
        return cls(
            *values,
            *areas,
            *variances,
            where("excess") if "excess_y" in places else nothing,
            {name: rows[:, places[name].start] for name in (*ROI, *ASKED) if name in places},
            edge,
            moments,
            region.pixels.area,
            rim,
            (whole + _below(values, counted, areas, whole, frames, plan)) * factor,
        )

    @property
    def top(self) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        """Highest valid pixel, its row and its column in the ROI, and the next highest one."""
        top, row, column, second = (self.numbers[name] for name in ("top", "row", "column", "second"))
        return top, row, column, second

    @cached_property
    def total(self) -> Doubles:
        """Sum of all valid pixels."""
        return np.asarray(self.y.sum(axis=1))

    @cached_property
    def counted_total(self) -> Doubles:
        """Sum of all valid pixels before anything was subtracted from the whole frame: what was counted, and varies."""
        return np.asarray(self.total + self.pixels * self.subtracted)

    @cached_property
    def pixels(self) -> Doubles:
        """Number of valid pixels."""
        return np.asarray(self.pixels_y.sum(axis=1))

    @cached_property
    def variance(self) -> Doubles:
        """Variance of the total: the mean of what rows and columns say, which differ a little behind a median."""
        return np.asarray((self.variance_y.sum(axis=1) + self.variance_x.sum(axis=1)) / 2)


def _below(
    values: tuple[Doubles, Doubles],
    varying: tuple[Doubles, Doubles] | None,
    pixels: tuple[Doubles, Doubles],
    level: Doubles,
    frames: Frames,
    plan: Measurements,
) -> Doubles:
    """Return what dark and background image took from a pixel of a ROI, on average: what varies less what is left."""
    if not plan.steps.images or varying is None:
        return np.zeros(len(frames))
    number = pixels[0].sum(axis=1)
    left = values[0].sum(axis=1) / factor_of(frames, plan) + number * level
    return np.asarray((varying[0].sum(axis=1) - left) / np.maximum(number, 1))


def sums_of(
    rows: Doubles, layout: Layout, per_frame: Doubles, plan: Measurements, shared: float | None
) -> tuple[Frames, list[Sums]]:
    """Take frames and all ROIs from the statistics of frames in which these have one size."""
    frames = Frames.of(rows, layout, per_frame, plan, shared)
    return frames, [
        Sums.of(rows, places, region, frames, plan) for places, region in zip(layout.rois, plan.regions, strict=True)
    ]


def _variances(
    values: tuple[Doubles, Doubles],
    counted: tuple[Doubles, Doubles] | None,
    squares: tuple[Doubles, Doubles] | None,
    frames: Frames,
    plan: Measurements,
    area: float,
) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles, Doubles, Doubles]:
    """Variances of the profiles, from filtered counts ``m = v f``: ``var(v) = m / f^2 = v / f``; NaN without counts."""
    if counted is None:
        nothing = np.full(len(frames), np.nan)
        rows, columns = (np.full_like(profile, np.nan) for profile in values)
        return rows, columns, rows, columns, nothing, np.ones(len(frames)), nothing
    rows, columns = counted
    counts = np.asarray(rows.sum(axis=1))
    if (rows < 0).any() or (columns < 0).any():  # floating point, e.g. less a dark: no count is below zero
        unknown = counts < 0
        rows, columns = (np.where(unknown[:, None], np.nan, np.maximum(part, 0)) for part in (rows, columns))
        counts = np.where(unknown, np.nan, counts)
    n_frames = len(frames)
    bin_factor, mean, of_rows, of_columns = np.ones(n_frames), np.full(n_frames, np.inf), rows, columns
    if squares is not None:  # behind a median the mean where most counts are; on sparse ground sums scatter more
        mean = counting.weighted_mean(squares[0].sum(axis=1), counts)
        bin_factor = counting.bin_variance_factor(mean)
        of_rows, of_columns = (
            part * _sum_factor(square, part) for part, square in zip((rows, columns), squares, strict=True)
        )
    if plan.steps.scaled or plan.steps.mode == "divide":
        scale = np.square(factor_of(frames, plan))[:, None]
        single = bin_factor[:, None] * scale
        of_rows, of_columns, rows, columns = of_rows * scale, of_columns * scale, rows * single, columns * single
    elif squares is not None:
        rows, columns = (part * bin_factor[:, None] for part in (rows, columns))
    return of_rows, of_columns, rows, columns, counts / area, bin_factor, mean


def _sum_factor(squares: Doubles, bins: Doubles) -> Doubles:
    """Variance behind a median over the sum, for each bin: by the nine around it, at the ends by the outermost nine."""
    n = bins.shape[1]
    last = max(n - TOGETHER, 0)
    of_first = np.clip(np.arange(n) - TOGETHER // 2, 0, last)
    sums = (_of_nine(part) if n >= TOGETHER else part.sum(axis=1, keepdims=True) for part in (squares, bins))
    return counting.sum_variance_factor(counting.weighted_mean(*sums))[:, of_first]


def _of_nine(bins: Doubles) -> Doubles:
    """Sum nine bins side by side, from each on that has eight behind it: eight by halves, and the last one."""
    two = bins[:, :-1] + bins[:, 1:]
    four = two[:, :-2] + two[:, 2:]
    return np.asarray(four[:, :-5] + four[:, 4:-1] + bins[:, 8:])


def factor_of(frames: Frames, plan: Measurements) -> Doubles:
    """Return what the pixels of each frame are multiplied by, after the flat field."""
    factor = frames.per_frame[:, SCALE] if plan.steps.scaled else np.ones(len(frames))
    if frames.level is not None and plan.steps.mode == "divide":
        factor = factor / divisor(frames.level, plan.steps, frames.shared)
    return np.asarray(factor)


def subtracted_variance(frames: Frames, plan: Measurements) -> Doubles:
    """Variance per pixel of the whole frames' background where it is subtracted; it is the same for all pixels."""
    if frames.level is None or plan.steps.mode != "subtract":
        return np.zeros(len(frames))
    return np.asarray(frames.level_variance * factor_of(frames, plan) ** 2)


def factor_variance(frames: Frames, plan: Measurements) -> Doubles:
    """Relative variance of what whole frames are divided and multiplied by."""
    factor = frames.scale_variance
    if frames.level is not None and plan.steps.mode == "divide":
        square = np.where(frames.level > 0, frames.level, np.nan) ** 2
        factor = factor + frames.level_variance / square
    return factor
