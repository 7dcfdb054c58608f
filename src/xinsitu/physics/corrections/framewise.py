"""What corrections do to one NumPy block of frames ``(frame, y, x)``: plain functions that travel to any worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xinsitu import kernels
from xinsitu.kernels import compiled
from xinsitu.physics.blocks import Plan, block_function
from xinsitu.values import Box

Doubles = npt.NDArray[np.float64]

EXPOSURE, SCALE, SCALE_VARIANCE, NUMBER, DARK, BEHIND = range(6)
"""Columns of what block functions are told per frame: seconds, factor, relative variance of that factor, and the
frame's number in the image, by which some are asked what changes little from frame to frame; how many times the dark
and the background image are subtracted."""
FEW_COUNTS = 100
"""A background region that divides frames and holds fewer counts than this adds more than 10 % noise to each."""


@dataclass(frozen=True)
class Subtracted:
    """An image ``(y, x)`` that is subtracted as often as a column of what is known per frame says, and its variance."""

    values: Doubles
    variance: Doubles
    times: int


@dataclass(frozen=True, eq=False)
class Steps(Plan):
    """A recipe, fitted to the pixels of one image: arrays at its pixels, boxes counted from its first one.

    ``counts``: the frames are counts. ``flat_counts``: counts behind a pixel of the flat field that is 1, if known.
    ``dead``: pixels that the file calls bad, and the number that is a code there and a full pixel elsewhere.
    ``dtype`` is that of the result. A difference of two numbers of much the same size loses digits, so what has a
    background subtracted is worked on in float64 until then. ``images``: dark and background image.
    """

    median: int | None
    threshold: float | None
    flat: npt.NDArray[np.floating] | None
    mask: npt.NDArray[np.bool_] | None
    boxes: tuple[Box, ...] | None
    mode: Literal["divide", "subtract"] | None
    needs_mean: bool
    scaled: bool
    dead_time: float | None
    stored: np.dtype[Any] | None
    dead: tuple[npt.NDArray[np.bool_], int] | None
    dtype: np.dtype[Any]
    counts: bool
    flat_counts: float | None
    images: tuple[Subtracted, ...] = ()

    @property
    def work(self) -> np.dtype[Any]:
        """Type of filtered pixels."""
        return np.dtype(np.float64) if self.mode == "subtract" else self.dtype

    @property
    def halo(self) -> int:
        """How many pixels around a box its corrected values depend on."""
        return 0 if self.median is None else self.median // 2

    def bad(self, part: kernels.Frames, rows: slice, columns: slice) -> kernels.Bools | None:
        """Where pixels of frames, cut at these rows and columns, say nothing or are masked; None where all are good."""
        bad = kernels.invalid_pixels(part, self.stored)
        if self.dead is not None:
            dead = self.dead[0][rows, columns] & (part >= self.dead[1])
            bad = dead if bad is None else bad | dead
        if self.mask is not None:
            masked = self.mask[rows, columns]
            bad = masked if bad is None else bad | masked
        return bad

    def below(self, per_frame: Doubles, rows: slice, columns: slice) -> tuple[Doubles, Doubles] | None:
        """Return what dark and background image take from pixels cut at these rows and columns, and its variance.

        ``(frame, y, x)``, or one frame for all where it is the same; None without them.
        """
        if not self.images:
            return None
        total = variance = np.zeros((1, 1, 1))
        for image in self.images:
            times = per_frame[:, image.times]
            each = (times[:1] if (times == times[:1]).all() else times)[:, None, None]
            total = total + each * image.values[rows, columns]
            variance = variance + each**2 * image.variance[rows, columns]
        return total, variance

    def of_rows(self, rows: slice) -> Steps:
        """Return the same steps for some rows of the frames, which hold all boxes."""
        return self._at((rows,), lambda box: moved_up(box, rows.start))

    def of_columns(self, which: npt.NDArray[np.int64]) -> Steps:
        """Return the same steps for some columns of the frames, which hold all boxes."""
        return self._at((slice(None), which), lambda box: drawn_together(box, which))

    def _at(self, part: tuple[Any, ...], placed: Callable[[Box], Box]) -> Steps:
        """Take a part of all that belongs to pixels."""
        images = (replace(one, values=one.values[part], variance=one.variance[part]) for one in self.images)
        return replace(
            self,
            flat=None if self.flat is None else self.flat[part],
            mask=None if self.mask is None else self.mask[part],
            dead=None if self.dead is None else (self.dead[0][part], self.dead[1]),
            boxes=None if self.boxes is None else tuple(map(placed, self.boxes)),
            images=tuple(images),
        )


def moved_up(box: Box, rows: int) -> Box:
    """Return a box as it is counted in frames without so many of their first rows."""
    (top, bottom), columns = box
    return (top - rows, bottom - rows), columns


def drawn_together(box: Box, which: npt.NDArray[np.int64]) -> Box:
    """Return a box as it is counted in frames of some columns only, in ascending order.

    Examples
    --------
    >>> drawn_together(((0, 5), (20, 23)), np.array([2, 3, 4, 20, 21, 22]))
    ((0, 5), (3, 6))
    """
    rows, (left, right) = box
    first = int(np.searchsorted(which, left))
    return rows, (first, first + right - left)


def filtered(raw: kernels.Frames, steps: Steps, per_frame: Doubles, box: Box | None = None) -> kernels.Floats:
    """Count rate, median and flat field of a box of a block, with its halo: the same bits as on the whole frames."""
    (top, bottom), (left, right) = ((0, raw.shape[1]), (0, raw.shape[2])) if box is None else box
    reach = steps.halo
    rows = slice(max(0, top - reach), min(raw.shape[1], bottom + reach))
    columns = slice(max(0, left - reach), min(raw.shape[2], right + reach))
    part = raw[:, rows, columns]
    part, bad = counted(part, steps, per_frame, steps.bad(part, rows, columns))
    below = steps.below(per_frame, rows, columns)
    if below is not None:
        part = np.subtract(part, below[0]).astype(np.float32 if steps.median else steps.work)
    if steps.median is None:
        values = kernels.as_floats(part, steps.work, bad)
    else:
        if steps.threshold is None:
            values = kernels.median2d(part, steps.median, bad=bad, dtype=steps.work)
        else:
            ground = 0.0 if below is None else sum(below)
            values = kernels.despike(part, steps.median, steps.threshold, bad=bad, dtype=steps.work, ground=ground)
        values = values[:, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
    if steps.flat is not None:
        values /= steps.flat[top:bottom, left:right]
    return values


def counted(
    part: kernels.Frames, steps: Steps, per_frame: Doubles, bad: kernels.Bools | None
) -> tuple[kernels.Frames, kernels.Bools | None]:
    """Return counts as they would be without dead time, if it is to be corrected; what cannot be inverted is bad."""
    if steps.dead_time is None:
        return part, bad
    exposure = per_frame[:, EXPOSURE, None, None]
    rate = kernels.as_floats(part, np.float64, bad) / exposure
    counts = (kernels.true_rate(rate, steps.dead_time) * exposure).astype(np.float32)
    lost = ~np.isfinite(counts)
    return counts, lost if lost.any() else None


def pooled_mean(parts: list[kernels.Floats]) -> Doubles:
    """Mean per frame of all valid pixels of several parts of it; NaN where there is none."""
    total = np.zeros(len(parts[0]))
    number = np.zeros(len(parts[0]))
    for part in parts:
        good = np.isfinite(part)
        total += kernels.total(np.where(good, part, 0.0).astype(np.float64))
        number += np.count_nonzero(good, axis=(1, 2))
    result = np.full(len(total), np.nan)
    np.divide(total, number, out=result, where=number > 0)
    return result


def finished(
    values: kernels.Floats, level: Doubles | None, steps: Steps, per_frame: Doubles, shared: float | None
) -> kernels.Floats:
    """Take the background off filtered frames, and normalise them; overwrites the pixels."""
    if level is not None:
        values = without_background(values, level, steps, shared)
    return normalised(values, steps, per_frame)


def without_background(values: kernels.Floats, level: Doubles, steps: Steps, shared: float | None) -> kernels.Floats:
    """Divide filtered frames by the background, or subtract it; NaN where there is nothing to divide by."""
    if steps.mode == "subtract":
        return np.subtract(values, _per_frame(level, values), out=values).astype(steps.dtype)
    return np.divide(values, _per_frame(divisor(level, steps, shared), values), out=values)


def divisor(level: Doubles, steps: Steps, shared: float | None) -> Doubles:
    """Return what frames are divided by; NaN where the background is zero."""
    if steps.needs_mean and shared is not None:
        level = level / shared
    return np.where(level > 0, level, np.nan)


def normalised(values: kernels.Floats, steps: Steps, per_frame: Doubles) -> kernels.Floats:
    """Multiply by the factor of each frame, where the recipe normalises."""
    if not steps.scaled:
        return values
    return np.multiply(values, _per_frame(per_frame[:, SCALE], values), out=values)


def _per_frame(level: Doubles, values: kernels.Floats) -> kernels.Floats:
    return level.astype(values.dtype)[:, None, None]


@block_function
def correct_block(
    raw: kernels.Frames, per_frame: Doubles, *, plan: Steps, shared: float | None = None
) -> kernels.Floats:
    """All steps on whole frames, one after the other while each is in the processor's cache.

    A frame that could not be read, or has no background to be divided by, is NaN and marked as such.
    """
    unread, dark = kernels.marked(raw, kernels.UNREAD), kernels.marked(raw, kernels.DARK)
    result, left, levels = _by_kernel(raw, per_frame, plan, shared)
    for number in np.flatnonzero(left & ~unread & ~dark).tolist():
        one = slice(number, number + 1)
        values, level = corrected(raw[one], plan, per_frame[one], shared)
        result[number] = values[0]
        if level is not None:
            levels[number] = level[0]
    if plan.boxes is not None and plan.mode == "divide":
        dark |= levels <= 0
    for lost, why in ((dark, kernels.DARK), (unread, kernels.UNREAD)):
        if lost.any():
            result[lost] = kernels.lost(plan.dtype, why)
    return result


@block_function
def correct_in_files(
    files: compiled.InFiles, per_frame: Doubles, *, plan: Steps, shared: float | None = None
) -> tuple[kernels.Floats, kernels.Bools]:
    """All steps on frames that are read one by one; returns which of them are left to :func:`correct_block`."""
    result, left, levels = _by_kernel(files, per_frame, plan, shared)
    if plan.boxes is not None and plan.mode == "divide":
        result[~left & (levels <= 0)] = kernels.lost(plan.dtype, kernels.DARK)
    return result, left


def _by_kernel(
    raw: kernels.Frames | compiled.InFiles, per_frame: Doubles, plan: Steps, shared: float | None
) -> tuple[kernels.Floats, kernels.Bools, Doubles]:
    """Frames corrected by the kernel, which of them are left to NumPy, and the background of each."""
    result = np.empty(raw.shape, dtype=plan.dtype)
    if not (compiles(raw, plan) and plan.dtype == np.float32):
        return result, np.ones(len(raw), dtype=bool), np.full(len(raw), np.nan)
    kernel = kernel_for(plan, raw.shape[1:], raw.dtype)
    factor = per_frame[:, SCALE] if plan.scaled else None
    return result, *kernel.correct(result, raw, plan.boxes or (), factor, shared if plan.needs_mean else None)


def compiles(raw: kernels.Frames | compiled.InFiles, steps: Steps) -> bool:
    """Whether the compiled kernel knows these frames and this recipe."""
    stored = steps.stored or raw.dtype
    return (
        compiled.library() is not None
        and raw.dtype in compiled.TYPES
        and raw.size > 0
        and steps.median in (None, 3)
        and steps.dead_time is None
        and not steps.images
        and (raw.dtype.kind == "f" or raw.dtype.kind == stored.kind)
        and (steps.dtype == np.float32 or (steps.mode is None and not steps.scaled))
    )


def told(steps: Steps, shape: tuple[int, int], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what the compiled kernel is told of the pixels of frames and of what is done to them."""
    stored, single, threshold = steps.stored or dtype, steps.work == np.float32, steps.threshold or 0.0
    filtering = "plain" if steps.median is None else "median" if steps.threshold is None else "outliers"
    return {
        "flat": None if steps.flat is None else steps.flat.astype(np.float64),
        "mask": steps.mask,
        "dead": None if steps.dead is None else steps.dead[0],
        "levels": len(steps.boxes or ()),
        "height": shape[0],
        "width": shape[1],
        "filter": compiled.FILTERS.index(filtering),
        "threshold": float(np.float32(threshold)) if single else threshold,
        "single": single,
        "mode": compiled.MODES.index(steps.mode),
        "negative_codes": stored.kind == "i",
        "code": float(kernels.lowest_code(stored)) if stored.kind == "u" else np.inf,
        "dead_code": float(steps.dead[1]) if steps.dead is not None else np.inf,
    }


@functools.lru_cache(maxsize=16)
def kernel_for(steps: Steps, shape: tuple[int, int], dtype: np.dtype[Any]) -> compiled.Kernel:
    """Tell the compiled kernel how to correct such frames; kept for the next block."""
    return compiled.kernel_of(gain=None, pairs=(), rois=(), **told(steps, shape, dtype))


def corrected(
    raw: kernels.Frames, steps: Steps, per_frame: Doubles, shared: float | None = None
) -> tuple[kernels.Floats, Doubles | None]:
    """All steps on frames of a block, and the background of each; None where the recipe has none."""
    values = filtered(raw, steps, per_frame)
    level = None
    if steps.boxes is not None:
        level = pooled_mean([values[:, slice(*y), slice(*x)] for y, x in steps.boxes])
    return finished(values, level, steps, per_frame, shared), level


def raw_counts(raw: kernels.Frames, steps: Steps) -> Doubles:
    """Raw counts in the background regions of each frame."""
    total = np.zeros(len(raw))
    for y, x in steps.boxes or ():
        part = raw[:, slice(*y), slice(*x)]
        values = kernels.as_floats(part, np.float64, steps.bad(part, slice(*y), slice(*x)))
        total += np.nansum(kernels.in_rows(values), axis=1)
    return total


def noise_of(counts: Doubles) -> str | None:
    """Say how much noise a background region adds to what is divided by it; None where that is little."""
    mean = float(counts.mean()) if counts.size else 0.0
    if not 0 < mean < FEW_COUNTS:
        return None
    return (
        f"the background region holds {mean:.3g} counts per frame on average: dividing by it adds "
        f"{100 / np.sqrt(mean):.0f} % noise to each frame; take a larger region, or subtract"
    )


@block_function
def background_block(raw: kernels.Frames, per_frame: Doubles, *, plan: Steps, shared: float | None = None) -> Doubles:
    """Background of each frame of a block, ``(frame, 1, 1)``."""
    return pooled_mean([filtered(raw, plan, per_frame, box) for box in plan.boxes or ()])[:, None, None]


def mean_level(levels: Doubles) -> float:
    """Mean over all frames of their backgrounds; NaN where no frame has one."""
    known = levels[np.isfinite(levels)]
    return float(known.mean()) if known.size else float("nan")
