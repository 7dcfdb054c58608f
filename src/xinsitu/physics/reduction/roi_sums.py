"""The pixels of ROIs in one NumPy block of frames ``(frame, y, x)``, summed to profiles with their variances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles, counting
from xinsitu.physics.corrections.framewise import (
    SCALE,
    SCALE_VARIANCE,
    Steps,
    divisor,
    filtered,
    finished,
    pooled_mean,
)
from xinsitu.values import OWN_EDGE, Box

from . import median_bias
from .regions import Measurements, Region

TOGETHER = 9
"""Rows or columns that have the mean of their filtered pixels in common."""


@dataclass(frozen=True)
class Frames:
    """A block of raw frames, what is known of each, and the background of whole frames.

    ``level_*``: that background's variance, its pixels, and what a median added to their sum. ``whole`` is the filtered
    block, where boxes cover so much of it that this is quicker than one after the other.
    """

    raw: kernels.Frames
    per_frame: Doubles
    level: Doubles | None
    level_variance: Doubles
    level_pixels: Doubles
    level_excess: Doubles
    shared: float | None
    whole: kernels.Floats | None

    @property
    def scale_variance(self) -> Doubles:
        """Relative variance of the factor of each frame."""
        return np.asarray(self.per_frame[:, SCALE_VARIANCE])

    def filtered(self, steps: Steps, box: Box) -> kernels.Floats:
        """Count rate, median and flat field of one box."""
        if self.whole is None:
            return filtered(self.raw, steps, self.per_frame, box)
        y, x = box
        return self.whole[:, slice(*y), slice(*x)].copy()


@dataclass(frozen=True)
class Sums:
    """A ROI in a block of frames: its pixels (invalid ones zero) and its profiles, with their variances.

    ``values`` and ``good`` are kept where the background comes from the ROI's own edge, or they are asked for.
    ``variance_*`` are of bins as parts of sums and moments, ``bin_variance_*`` of single bins; they differ behind a
    median, where neighbouring bins are correlated.
    """

    values: Doubles
    good: kernels.Bools | None
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
    top: tuple[Doubles, Doubles, Doubles, Doubles]
    """Highest valid pixel, its row and its column in the ROI, and the next highest one."""
    area: int
    """Pixels of the ROI, valid or not."""
    subtracted: Doubles
    """What was subtracted from each pixel, as the background of the whole frame."""

    @cached_property
    def total(self) -> Doubles:
        """Sum of all valid pixels."""
        return np.asarray(self.y.sum(axis=1))

    @cached_property
    def counted_total(self) -> Doubles:
        """Sum of all valid pixels before the whole frame's background was subtracted: what was counted, and varies."""
        return np.asarray(self.total + self.pixels * self.subtracted)

    @cached_property
    def pixels(self) -> Doubles:
        """Number of valid pixels."""
        return np.asarray(self.pixels_y.sum(axis=1))

    @cached_property
    def variance(self) -> Doubles:
        """Variance of the total."""
        return np.asarray(self.variance_y.sum(axis=1))


def frames_of(raw: kernels.Frames, per_frame: Doubles, plan: Measurements, shared: float | None) -> Frames:
    """Measure the background of whole frames, where the recipe has one."""
    steps = plan.steps
    nothing = np.zeros(len(raw))
    boxes = [*(region.box for region in plan.regions), *(steps.boxes or ())]
    area = sum((y[1] - y[0]) * (x[1] - x[0]) for y, x in boxes)
    together = steps.median is not None and len(boxes) > 1 and 2 * area > raw.shape[1] * raw.shape[2]
    whole = filtered(raw, steps, per_frame) if together else None
    frames = Frames(raw, per_frame, None, nothing, nothing, nothing, shared, whole)
    if steps.boxes is None:
        return frames
    parts = [frames.filtered(steps, box) for box in steps.boxes]
    total, squares, variance, pixels, made = np.zeros((5, len(raw)))
    for part, (y, x) in zip(parts, steps.boxes, strict=True):
        values = np.ascontiguousarray(kernels.in_rows(part), dtype=np.float64)
        good = np.isfinite(values)
        values = np.where(good, values, 0.0)
        if plan.asks_median:
            made += median_bias.excess(raw, part, per_frame, (y, x), steps)[0].sum(axis=1)
        total += values.sum(axis=1)
        squares += np.einsum("np,np->n", values, values)
        variance += (values * gain_of(steps, (y, x)).reshape(1, -1)).sum(axis=1)
        pixels += np.count_nonzero(good, axis=1)
    level = pooled_mean(parts)
    if plan.median:
        variance *= counting.sum_variance_factor(counting.weighted_mean(squares, total))
    known = plan.counts & (variance >= 0)  # floating point, e.g. less a dark: no count is below zero
    level_variance = np.where(known, variance, np.nan) / np.maximum(pixels, 1) ** 2
    return Frames(raw, per_frame, level, level_variance, pixels, made, shared, whole)


def gain_of(steps: Steps, box: Box) -> Doubles:
    """One over the flat field of a box; 0 where that is not usable, 1 without one."""
    (top, bottom), (left, right) = box
    if steps.flat is None:
        return np.ones((bottom - top, right - left))
    gain = 1.0 / steps.flat[top:bottom, left:right].astype(np.float64)
    return np.where(np.isfinite(gain), gain, 0.0)


def summed(frames: Frames, region: Region, plan: Measurements, *, keep: bool = False) -> Sums:
    """Correct a ROI's pixels and sum them; ``keep`` the pixels, too."""
    steps = plan.steps
    part = frames.filtered(steps, region.box)
    as_counted = frames.level is None and not steps.scaled  # then these pixels need not be copied and summed twice
    counted = part.astype(np.float64, order="C") if plan.counts and not as_counted else None
    made = np.zeros((len(part), 1)), np.zeros((len(part), 1))
    if plan.asks_median:
        edge = region.under in OWN_EDGE
        made = median_bias.excess(frames.raw, part, frames.per_frame, region.box, steps, edge=edge)
    part = finished(part, frames.level, steps, frames.per_frame, frames.shared)
    values = np.ascontiguousarray(part, dtype=np.float64)
    along_y, along_x = kernels.profiles(values)
    n_frames, n_rows, n_columns = values.shape
    good = None
    pixels_y, pixels_x = np.full((n_frames, n_rows), float(n_columns)), np.full((n_frames, n_columns), float(n_rows))
    if not np.isfinite(along_y).all():
        good = np.isfinite(values)
        values = np.where(good, values, 0.0)
        along_y, along_x = kernels.profiles(values)
        pixels_y, pixels_x = kernels.profiles(good.astype(np.float64))
        counted = None if counted is None else np.where(good, counted, 0.0)
    if plan.counts and as_counted:
        counted = values
    sums = (along_y, along_x) if as_counted and steps.flat is None else None
    variances = _variances(counted, sums, values.shape, frames, region, plan)
    top = highest_pixel(values, good)
    whole = frames.level if frames.level is not None and steps.mode == "subtract" else np.zeros(n_frames)
    subtracted = whole * factor_of(frames, plan)
    if not keep and region.under not in OWN_EDGE:  # megabytes per ROI that nobody asks for again
        values, good = np.empty((n_frames, 0, 0)), None
    return Sums(
        values, good, along_y, along_x, pixels_y, pixels_x, *variances, made, top, n_rows * n_columns, subtracted
    )


def highest_pixel(values: Doubles, good: kernels.Bools | None) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Highest valid pixel, the first place where it is in the ROI, row and column, and the next highest pixel."""
    flat = kernels.in_rows(values if good is None else np.where(good, values, -np.inf))
    where = flat.argmax(axis=1)
    top = flat[np.arange(len(flat)), where]
    row, column = np.divmod(where, values.shape[2])
    others = flat.copy()
    others[np.arange(len(flat)), where] = -np.inf
    found = np.isfinite(top)
    place = np.where(found, row, np.nan), np.where(found, column, np.nan)
    return np.where(found, top, np.nan), *place, others.max(axis=1, initial=-np.inf)


def _variances(
    counted: Doubles | None,
    sums: tuple[Doubles, Doubles] | None,
    shape: tuple[int, ...],
    frames: Frames,
    region: Region,
    plan: Measurements,
) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles, Doubles, Doubles]:
    """Variances of the profiles, from filtered counts ``m = v f``: ``var(v) = m / f^2 = v / f``; NaN without counts.

    ``sums`` are the profiles of the counts, where they are known.
    """
    n_frames, n_rows, n_columns = shape
    if counted is None:
        rows, columns = np.full((n_frames, n_rows), np.nan), np.full((n_frames, n_columns), np.nan)
        nothing = np.full(n_frames, np.nan)
        return rows, columns, rows, columns, nothing, np.ones(n_frames), nothing
    weighted = counted if plan.steps.flat is None else counted * gain_of(plan.steps, region.box)
    rows, columns = kernels.profiles(weighted) if sums is None else sums
    counts = np.asarray(rows.sum(axis=1))
    if (rows < 0).any() or (columns < 0).any():  # floating point, e.g. less a dark: no count is below zero
        unknown = counts < 0
        rows, columns = (np.where(unknown[:, None], np.nan, np.maximum(part, 0)) for part in (rows, columns))
        counts = np.where(unknown, np.nan, counts)
    bin_factor, mean, of_rows, of_columns = np.ones(n_frames), np.full(n_frames, np.inf), rows, columns
    if plan.median:  # the mean where most counts are; on sparse ground, far from a peak, sums scatter more
        squares_y, squares_x = (np.einsum(f"nyx,nyx->n{axis}", weighted, weighted) for axis in "yx")
        mean = counting.weighted_mean(squares_y.sum(axis=1), counts)
        bin_factor = counting.bin_variance_factor(mean)
        of_rows, of_columns = rows * _sum_factor(squares_y, rows), columns * _sum_factor(squares_x, columns)
    scale = np.square(factor_of(frames, plan))
    single, each = (bin_factor * scale)[:, None], scale[:, None]
    counted_mean = counts / (n_rows * n_columns)
    return of_rows * each, of_columns * each, rows * single, columns * single, counted_mean, bin_factor, mean


def _sum_factor(squares: Doubles, bins: Doubles) -> Doubles:
    """Variance behind a median over the sum, for each bin: one for some rows or columns together."""
    first = np.arange(0, bins.shape[1], TOGETHER)
    sums = (np.add.reduceat(part, first, axis=1) for part in (squares, bins))
    factor = counting.sum_variance_factor(counting.weighted_mean(*sums))
    return np.asarray(factor[:, np.arange(bins.shape[1]) // TOGETHER])


def factor_of(frames: Frames, plan: Measurements) -> Doubles:
    """Return what the pixels of each frame are multiplied by, after the flat field."""
    factor = frames.per_frame[:, SCALE] if plan.steps.scaled else np.ones(len(frames.raw))
    if frames.level is not None and plan.steps.mode == "divide":
        factor = factor / divisor(frames.level, plan.steps, frames.shared)
    return np.asarray(factor)


def subtracted_variance(frames: Frames, plan: Measurements) -> Doubles:
    """Variance per pixel of the whole frames' background where it is subtracted; it is the same for all pixels."""
    if frames.level is None or plan.steps.mode != "subtract":
        return np.zeros(len(frames.raw))
    return np.asarray(frames.level_variance * factor_of(frames, plan) ** 2)


def factor_variance(frames: Frames, plan: Measurements) -> Doubles:
    """Relative variance of what whole frames are divided and multiplied by."""
    factor = frames.scale_variance
    if frames.level is not None and plan.steps.mode == "divide":
        square = np.where(frames.level > 0, frames.level, np.nan) ** 2
        factor = factor + frames.level_variance / square
    return factor
