"""The pixels of a block of frames, summed to one row of statistics per frame: everything that looks at pixels.

What is here, in NumPy, is the truth; the compiled kernel fills the same rows where it can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.kernels.statistics import ASKED, MOMENTS, OVERLAP, Layout
from xinsitu.physics.corrections.framewise import NUMBER, Steps, filtered, finished
from xinsitu.values import OWN_EDGE, Box

from . import median_bias
from .region_pixels import Pixels
from .regions import Measurements, Region, overlap

TOGETHER = 16
"""Frames whose pixels are summed together: they stay in the processor's cache."""
MOST_PIXELS = 2**22
"""Pixels of a ROI that are summed together."""
SPARSE_ONE_IN = 16
"""One frame in so many is asked whether there are enough counts for a median."""
HOT = 20
"""Counts beyond these do not matter when it is asked whether there are enough for a median."""
FLAT_ONE_IN = 32
"""One frame in so many is asked what the flat field's own noise does: the flat field is the same for all."""


def fill(
    out: Doubles,
    layout: Layout,
    raw: kernels.Frames,
    per_frame: Doubles,
    plan: Measurements,
    shared: float | None,
    *,
    rectangles: bool = True,
) -> None:
    """Fill the statistics of frames in which no ROI moves, some at a time; without ``rectangles`` only other shapes."""
    together = max(1, min(TOGETHER, MOST_PIXELS // max(1, *(math.prod(region.pixels.box) for region in plan.regions))))
    for first in range(0, len(raw), together):
        some = slice(first, first + together)
        _fill(out[some], layout, raw[some], per_frame[some], plan, shared, rectangles=rectangles)


@dataclass(frozen=True)
class Filtered:
    """Filtered pixels of some frames, box by box; ``whole``: cut from all of them, where boxes cover much of it."""

    raw: kernels.Frames
    per_frame: Doubles
    steps: Steps
    whole: kernels.Floats | None

    @classmethod
    def of(cls, raw: kernels.Frames, per_frame: Doubles, plan: Measurements) -> Filtered:
        """Choose the quicker way."""
        boxes = [*(region.box for region in plan.regions), *(plan.steps.boxes or ())]
        area = sum((y[1] - y[0]) * (x[1] - x[0]) for y, x in boxes)
        together = plan.steps.median is not None and len(boxes) > 1 and 2 * area > raw.shape[1] * raw.shape[2]
        return cls(raw, per_frame, plan.steps, filtered(raw, plan.steps, per_frame) if together else None)

    def __getitem__(self, box: Box) -> kernels.Floats:
        """Count rate, median and flat field of one box."""
        if self.whole is None:
            return filtered(self.raw, self.steps, self.per_frame, box)
        y, x = box
        return self.whole[:, slice(*y), slice(*x)].copy()


def level_of(out: Doubles, layout: Layout, steps: Steps) -> Doubles | None:
    """Background of each frame, from its statistics; NaN where no pixel is good, None without one."""
    if steps.boxes is None:
        return None
    total, pixels = (out[:, layout.frame[name]] for name in ("level_total", "level_pixels"))
    return np.asarray(np.divide(total, pixels, out=np.full(len(total), np.nan), where=pixels > 0))


def _fill(
    out: Doubles,
    layout: Layout,
    raw: kernels.Frames,
    per_frame: Doubles,
    plan: Measurements,
    shared: float | None,
    *,
    rectangles: bool,
) -> None:
    """Fill the statistics of frames in which no ROI moves."""
    steps, pixels = plan.steps, Filtered.of(raw, per_frame, plan)
    if steps.boxes is not None and rectangles:
        _fill_level(out, layout, pixels, plan)
    boxes = [*(region.box for region in plan.regions), *(steps.boxes or ())]
    for (one, other), place in layout.pairs.items():
        shapes = [region for region in (plan.regions[n] for n in (one, other) if n < len(plan.regions)) if region.shape]
        if not (rectangles or shapes):
            continue
        both = overlap(boxes[one], boxes[other])
        out[:, place : place + len(OVERLAP)] = 0.0
        if both is not None:
            counts = _varying(pixels[both], both, pixels)
            for region in shapes:
                counts = counts * _part_of(region, both)
            out[:, place], out[:, place + 1] = kernels.total(counts), kernels.total(counts * counts)
    level = level_of(out, layout, steps)
    for region, places in zip(plan.regions, layout.rois, strict=True):
        if rectangles or region.shape is not None:
            _fill_roi(out, places, region, pixels, level, plan, shared)


def _part_of(region: Region, box: Box) -> Doubles | float:
    """How much the pixels of a box that lies in the region's own count."""
    if region.pixels.weights is None:
        return 1.0
    rows, columns = (slice(bounds[0] - own[0], bounds[1] - own[0]) for bounds, own in zip(box, region.box, strict=True))
    return region.pixels.weights[rows, columns]


def _known(values: kernels.Floats) -> Doubles:
    """Pixels as float64, 0 where one says nothing."""
    return np.where(np.isfinite(values), values, 0.0).astype(np.float64)


def _fill_level(out: Doubles, layout: Layout, pixels: Filtered, plan: Measurements) -> None:
    """Sum the regions of the frames' background."""
    sums = {name: np.zeros(len(out)) for name in layout.frame if name.startswith("level_")}
    asked = pixels.per_frame[:, NUMBER] % FLAT_ONE_IN == 0
    for box in plan.steps.boxes or ():
        part = pixels[box]
        values, gain = _known(part), gain_of(plan.steps, box)
        if plan.asks_median:
            made = median_bias.excess(pixels.raw, part, pixels.per_frame, box, plan.steps)[0]
            sums["level_excess"] += kernels.sum_in_lanes(made)
        varying = _varying(part, box, pixels)
        filtered_counts = varying if plan.steps.images else values
        sums["level_total"] += kernels.total(values)
        sums["level_squares"] += kernels.total(filtered_counts * filtered_counts)
        sums["level_variance"] += kernels.total(varying)
        sums["level_pixels"] += np.count_nonzero(np.isfinite(part), axis=(1, 2))
        raw = pixels.raw[:, slice(*box[0]), slice(*box[1])]
        bad = plan.steps.bad(raw, slice(*box[0]), slice(*box[1]))
        sums["level_counts"] += kernels.total(np.nan_to_num(kernels.as_floats(raw, np.float64, bad)))
        if plan.steps.flat_counts is not None and asked.any():
            sums["level_flat"][asked] += kernels.total(np.square(values[asked]) * gain)
    for name, values in sums.items():
        out[:, layout.frame[name]] = values


def _varying(part: kernels.Floats, box: Box, pixels: Filtered) -> Doubles:
    """Variance of filtered pixels of a box: what was counted over the square of the flat field, 0 where nothing is.

    With the dark and the background image, which were counted as well and vary themselves.
    """
    gain = gain_of(pixels.steps, box)
    varying = _known(part) * gain
    steps = pixels.steps
    below = steps.below(pixels.per_frame, slice(*box[0]), slice(*box[1]))
    if below is None:
        return varying
    ground = below[0] + below[1]
    if steps.median is not None and steps.threshold is None:  # a hot pixel of the dark, and its noise, is gone as well
        ground = kernels.median2d(ground, steps.median, dtype=np.float64).astype(np.float64, copy=False)
    return np.where(np.isfinite(part), varying + ground * gain**2, 0.0)


def gain_of(steps: Steps, box: Box) -> Doubles:
    """One over the flat field of a box; 0 where that is not usable, 1 without one."""
    (top, bottom), (left, right) = box
    if steps.flat is None:
        return np.ones((bottom - top, right - left))
    gain = 1.0 / steps.flat[top:bottom, left:right].astype(np.float64)
    return np.where(np.isfinite(gain), gain, 0.0)


def _fill_roi(
    out: Doubles,
    places: Mapping[str, slice],
    region: Region,
    pixels: Filtered,
    level: Doubles | None,
    plan: Measurements,
    shared: float | None,
) -> None:
    """Sum the pixels of one ROI."""
    steps, gain, own = plan.steps, gain_of(plan.steps, region.box), region.pixels
    part = pixels[region.box]
    counted = _known(part)
    if "excess_y" in places:
        made = median_bias.excess(
            pixels.raw, part, pixels.per_frame, region.box, steps, own, edge=region.under in OWN_EDGE
        )
        _put(out, places, "excess", made)
    if (asked := pixels.per_frame[:, NUMBER] % FLAT_ONE_IN == 0).any() and steps.flat_counts is not None:
        out[asked, places["flat"].start] = kernels.total(np.square(own.weighted(counted[asked])) * gain * own.inside)
    varying = _varying(part, region.box, pixels) if steps.images else None
    part = finished(part, level, steps, pixels.per_frame, shared)
    values = np.ascontiguousarray(part, dtype=np.float64)
    good = np.isfinite(values)
    if own.weights is not None:
        good &= own.inside
    known = good.all()
    if not known:
        values, counted = np.where(good, values, 0.0), np.where(good, counted, 0.0)
    area = own.weighted(good.astype(np.float64))
    _put(out, places, "values", own.profiles(own.weighted(values)))
    _put(out, places, "pixels", own.profiles(area))
    weighted = (values if plan.as_counted else counted) * gain if varying is None else np.where(good, varying, 0.0)
    if "weighted_y" in places:
        _put(out, places, "weighted", own.profiles(own.weighted(own.weighted(weighted))))
    if "squares_y" in places:
        _put(out, places, "squares", own.profiles(np.square(own.weighted(weighted))))
    top, row, column, second = highest_pixel(values, None if known else good)
    at = tuple(np.nan_to_num(place).astype(np.intp) for place in (row, column))
    at_top = np.arange(len(top)), *at
    if varying is not None:
        out[:, places["top_varying"]] = varying[at_top][:, None]
    for name, found in zip(
        ("top", "row", "column", "second", "gain"), (top, row, column, second, gain[*at]), strict=True
    ):
        out[:, places[name]] = found[:, None]
    _fill_raw(out, places, region, pixels, plan)
    _fill_asked(out, places, region, values, good, area)
    if "edge" in places:
        edge_pixels = np.where(good, values, np.nan)[:, own.rim]
        out[:, places["edge"].start : places["edge"].start + edge_pixels.shape[1]] = edge_pixels
    if "moments_y" in places:
        _fill_moments(out, places, area, own)


def fill_asked(
    out: Doubles, layout: Layout, raw: kernels.Frames, per_frame: Doubles, plan: Measurements, shared: float | None
) -> None:
    """Fill what rectangles ask of single pixels, beside sums that are there."""
    for region, places in zip(plan.regions, layout.rois, strict=True):
        if region.shape is not None or not any(name in places for name in ASKED):
            continue
        for first in range(0, len(raw), TOGETHER):
            some = slice(first, first + TOGETHER)
            pixels = Filtered(raw[some], per_frame[some], plan.steps, None)
            part = pixels[region.box]
            part = finished(part, level_of(out[some], layout, plan.steps), plan.steps, per_frame[some], shared)
            good = np.isfinite(part)
            values = np.where(good, part, 0.0).astype(np.float64)
            _fill_asked(out[some], places, region, values, good, good.astype(np.float64))


def _fill_asked(
    out: Doubles, places: Mapping[str, slice], region: Region, values: Doubles, good: kernels.Bools, area: Doubles
) -> None:
    """Fill lowest pixel, standard deviation (pixels as much as they count), and mean of the brightest pixels."""
    if "lowest" in places:
        lowest = kernels.in_rows(np.where(good, values, np.inf)).min(axis=1)
        out[:, places["lowest"].start] = np.where(np.isfinite(lowest), lowest, np.nan)
    if "deviation" in places:
        number = kernels.total(area)
        number = np.where(number > 0, number, np.nan)
        away = values - (kernels.total(values * area) / number)[:, None, None]
        out[:, places["deviation"].start] = np.sqrt(kernels.total(np.square(away) * area) / number)
    if "bright" in places:
        flat = kernels.in_rows(np.where(good, values, -np.inf))
        most = min(region.n_brightest, flat.shape[1])
        where = np.argpartition(-flat, most - 1, axis=1)[:, :most]
        found = np.sort(np.take_along_axis(flat, where, axis=1), axis=1)  # the same order of summing in any chunks
        known = np.isfinite(found)
        number = np.where(known.any(axis=1), np.count_nonzero(known, axis=1), np.nan)
        out[:, places["bright"].start] = np.where(known, found, 0.0).sum(axis=1) / number


def _put(out: Doubles, places: Mapping[str, slice], name: str, profiles: tuple[Doubles, Doubles]) -> None:
    """Keep profiles along y and x; those of a ROI that is smaller than it once is end earlier."""
    for axis, profile in zip("yx", profiles, strict=True):
        first = places[f"{name}_{axis}"].start
        out[:, first : first + profile.shape[1]] = profile


def _fill_moments(out: Doubles, places: Mapping[str, slice], area: Doubles, own: Pixels) -> None:
    """Sum powers of the place along rows and columns over the good pixels."""
    y, x = own.places
    for axis, parts in (
        ("y", [own.profiles(area * x**power)[0] for power in MOMENTS["y"]]),
        ("x", [own.profiles(area * y**power)[1] for power in MOMENTS["x"]]),
    ):
        room = (places[f"moments_{axis}"].stop - places[f"moments_{axis}"].start) // len(parts)
        for number, part in enumerate(parts):
            first = places[f"moments_{axis}"].start + number * room
            out[:, first : first + part.shape[1]] = part


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


def _fill_raw(out: Doubles, places: Mapping[str, slice], region: Region, pixels: Filtered, plan: Measurements) -> None:
    """Keep what the raw pixels tell: the highest, how many are saturated, and how sparse the counts are."""
    rows, columns = (slice(*bounds) for bounds in region.box)
    part = pixels.raw[:, rows, columns]
    bad, inside = plan.steps.bad(part, rows, columns), region.pixels.inside
    if region.pixels.weights is not None:
        bad = ~inside if bad is None else bad | ~inside
    counts = part if bad is None else np.where(bad, part.dtype.type(0), part)
    if plan.counts and (plan.cutoff is not None or plan.dead_time is not None):
        out[:, places["raw_maximum"].start] = kernels.in_rows(counts).max(axis=1)
        if plan.cutoff is not None:
            out[:, places["saturated"].start] = np.count_nonzero(counts >= plan.cutoff, axis=(1, 2))
    if plan.asks_median and (some := pixels.per_frame[:, NUMBER] % SPARSE_ONE_IN == 0).any():
        few = np.clip(counts[some], 0, HOT).astype(np.float64)
        out[some, places["sparse"].start] = kernels.total(few) / np.count_nonzero(inside)
