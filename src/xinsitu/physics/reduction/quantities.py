"""From the sums of ROIs to what is reported of them, packed into one array ``(frame, roi, quantity)``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.kernels.statistics import Layout
from xinsitu.physics.blocks import block_function
from xinsitu.physics.corrections.framewise import EXPOSURE
from xinsitu.schema import Quality
from xinsitu.values import OWN_EDGE

from .contradictions import excess_at_edges, slope_across, tail_at_edges
from .frame_statistics import statistics
from .further_quantities import of_pixels, of_shape
from .profile_bins import bins_of, n_bins
from .regions import Measurements, Region, alike
from .roi_backgrounds import Under, follows, under
from .roi_sums import Frames, Sums, factor_of, factor_variance, subtracted_variance, sums_of
from .roi_widths import width_of
from .uncertainties import flat_variance, twice_counted

LOW_COUNTS = 5.0
"""An intensity below this many standard errors is flagged."""
SPARSE = 2.5
"""Behind a median, mean counts of the pixels where most counts are, below which errors may be off by more than 15 %."""
EMPTY = 1.0
"""Behind a median, counts per pixel of the ground below which a background from the edge has doubtful errors."""
SMALLEST = 5
"""Rows and columns from which the edges of a ROI tell of its background."""
FAST = 0.05
"""Correction of the count rate above which a ROI is flagged."""


@block_function
def measure_block(
    raw: kernels.Frames, per_frame: Doubles, *, plan: Measurements, shared: float | None = None
) -> Doubles:
    """Everything of every ROI: ``(frame, roi, quantity)``, what ``plan.columns`` names, and profiles if wanted."""
    return algebra(statistics(raw, per_frame, plan, shared), per_frame, plan, shared)


@block_function
def algebra_block(rows: Doubles, per_frame: Doubles, *, plan: Measurements, shared: float | None = None) -> Doubles:
    """Everything of every ROI, as :func:`measure_block` has it, from statistics ``(frame, 1, column)``."""
    return algebra(rows[:, 0], per_frame, plan, shared)


def algebra(rows: Doubles, per_frame: Doubles, plan: Measurements, shared: float | None) -> Doubles:
    """Everything of every ROI from the statistics of any number of frames."""
    packed = np.empty((len(rows), len(plan.regions), len(plan.columns) + n_bins(plan.bins)))
    for some, here in alike(per_frame, plan):
        packed[some] = _measured(rows[some], plan.layout, per_frame[some], here, shared)
    return packed


@block_function
def centre_block(
    raw: kernels.Frames, per_frame: Doubles, *, plan: Measurements, shared: float | None = None
) -> Doubles:
    """Centre of mass of the first ROI in bins along y and x, and its significance, and nothing else: ``(frame, 3)``.

    The ROI has one size in all frames.
    """
    frames, sums = sums_of(statistics(raw, per_frame, plan, shared), plan.layout, per_frame, plan, shared)
    own, region = sums[0], plan.regions[0]
    below = under(own, region.under, [sums[other] for other in region.background])
    variance, _ = _net_variance(frames, region, own, below, plan)
    centres = [kernels.centre_of_mass(getattr(own, axis) - getattr(below, axis)) for axis in "yx"]
    return np.stack([*centres, _significance(own.total - below.total, np.sqrt(variance))], axis=1)


def _significance(net: Doubles, errors: Doubles) -> Doubles:
    """Intensity in standard errors; infinite without any."""
    noise = np.nan_to_num(errors)
    return np.where(noise > 0, net / np.where(noise > 0, noise, 1), np.where(net > 0, np.inf, -np.inf))


def _measured(rows: Doubles, layout: Layout, per_frame: Doubles, plan: Measurements, shared: float | None) -> Doubles:
    """Everything of ROIs of one size."""
    frames, sums = sums_of(rows, layout, per_frame, plan, shared)
    place = plan.columns.place
    packed = np.full((len(rows), len(sums), len(plan.columns) + n_bins(plan.bins)), np.nan)
    for number, (region, own) in enumerate(zip(plan.regions, sums, strict=True)):
        others = [sums[other] for other in region.background]
        below = under(own, region.under, others)
        pixels = sum(other.pixels for other in others)
        made = sum(other.median_excess[0].sum(axis=1) for other in others)
        for name, values in _quantities(frames, region, own, below, plan, others=pixels, made=made):
            packed[:, number, place[name]] = values
        net = own.total - below.total
        packed[:, number, place["flat_variance"]] = flat_variance(frames, region, own, others, plan, net)
        if plan.bins is not None and not region.own_axes:
            packed[:, number, len(place) :] = bins_of(frames, region, own, below, plan)
        packed[:, number, place["counted"]] = own.counted
        packed[:, number, place["sparse"]] = own.numbers["sparse"]
    packed[:, :, place["frame_variance"]] = factor_variance(frames, plan)[:, None]
    packed[:, :, place["level_variance"]] = subtracted_variance(frames, plan)[:, None]
    unread, dark = frames.unread > 0, frames.dark > 0
    packed[:, :, place["quality"]] += np.where(unread, float(Quality.FRAME_FAULT), 0.0)[:, None]
    if frames.level is not None and plan.steps.mode == "divide":
        dark = dark | (frames.level <= 0)
    packed[:, :, place["quality"]] += np.where(dark, float(Quality.ZERO_BACKGROUND), 0.0)[:, None]
    if frames.level is not None:
        packed[:, :, place["frame_level_counts"]] = frames.level_counts[:, None]
    return packed


def _quantities(
    frames: Frames,
    region: Region,
    own: Sums,
    below: Under,
    plan: Measurements,
    *,
    others: Doubles | float,
    made: Doubles | float,
) -> Iterator[tuple[str, Doubles]]:
    """Every quantity of one ROI by name; what the ROI does not measure stays NaN."""
    net = own.total - below.total
    variance, shared_level = _net_variance(frames, region, own, below, plan)
    whole = factor_variance(frames, plan)
    area, empty, nothing = own.pixels, own.pixels == 0, np.zeros(len(net))
    share = area / np.maximum(others, 1) if region.background else nothing
    quality = np.zeros(len(net), dtype=np.int64)
    if {"intensity", "mean"} & region.measures:
        twice = twice_counted(
            frames, region, plan, own=1.0, under=-share, area=nothing if region.under else area, net=net
        )
        spread = np.where(empty, np.nan, np.sqrt(np.maximum(variance + net**2 * whole + twice, 0)))
        for name, number in (("intensity", 1.0), ("mean", np.maximum(area, 1))):
            if name in region.measures:
                yield name, np.where(empty, np.nan, net) / number
                yield f"{name}_errors", spread / number
    yield from of_pixels(own)
    if "background" in region.measures:
        yield "background", np.where(empty, np.nan, below.total)
        area = area if region.under else nothing
        twice = twice_counted(frames, region, plan, own=0.0, under=share, area=area, net=below.total)
        spread = area**2 * (below.level_variance + subtracted_variance(frames, plan)) + below.total**2 * whole + twice
        known = 0.0 if plan.counts else np.nan
        yield "background_errors", np.sqrt(np.maximum(spread, 0)) + known
    top, row, column, second = own.top
    yield "maximum", top
    top_errors = _maximum_errors(own, frames, plan)
    yield "maximum_errors", top_errors
    next_to_top = np.divide(second, top, out=np.zeros(len(net)), where=top > 0)
    yield "top_clear", _in_errors(top - second, top_errors * np.sqrt(1 + np.clip(next_to_top, 0, 1)))
    yield "maximum_y", row + region.origin[0]
    yield "maximum_x", column + region.origin[1]
    errors, clear = np.sqrt(variance), np.full(len(net), np.inf)
    for axis, first in (("y", region.first("y")), ("x", region.first("x"))):
        profile = getattr(own, axis) - getattr(below, axis)
        pixels = getattr(own, f"pixels_{axis}")
        if "com" in region.measures:
            centre = kernels.centre_of_mass(profile)
            yield f"com_{axis}", first + centre
            spread = kernels.centre_of_mass_variance(
                profile, getattr(own, f"variance_{axis}"), centre, pixels, shared_level
            )
            extra = _own_edge(centre, profile.shape[1], own, below) + getattr(below, f"slope_{axis}")
            com_errors = np.sqrt(np.maximum(spread + extra / np.where(net == 0, np.nan, net) ** 2, 0))
            yield f"com_{axis}_errors", com_errors
            if not follows(region.under, axis) and plan.counts:
                yield from _told(f"slope_{axis}", *slope_across(axis, own, below, net), com_errors)
        if {"sigma", "skewness"} & region.measures:
            yield from of_shape(axis, region, own, below, shared_level)
        width, width_errors, flags, sharp = width_of(axis, own, below, shared_level, region, plan)
        quality |= flags
        clear = np.minimum(clear, sharp)
        if "fwhm" in region.measures:
            yield f"fwhm_{axis}", width
            yield f"fwhm_{axis}_errors", width_errors
        if plan.asks_median and {"com", "fwhm"} <= region.measures:
            raw_centre, raw_width = _without_median(axis, frames, region, own, profile, share, made, plan)
            yield f"median_com_{axis}", _in_errors(centre - raw_centre, com_errors)
            yield f"median_fwhm_{axis}", _in_errors(width - raw_width, width_errors)
    if plan.asks_median:
        yield "median_bias", _median_bias(frames, region, own, share, net, made, plan)
    known = plan.counts and plan.cutoff is not None
    n_saturated = own.numbers["saturated"] if known else np.full(len(net), -1.0)
    quality |= np.where(n_saturated > 0, Quality.SATURATED, 0)
    quality |= np.where(_doubtful(region, own, below, plan), Quality.ERRORS_DOUBTFUL, 0)
    quality |= np.where(own.pixels < own.area * (1 - 1e-9), Quality.MASKED_PIXELS, 0)
    if region.moving is not None:
        faint = ~(net > LOW_COUNTS * np.nan_to_num(errors))
        quality |= np.where(faint | ((quality & Quality.PEAK_AT_EDGE) > 0), Quality.PEAK_LOST, 0)
    quality |= np.where(_count_rate_correction(frames, own, plan) > FAST, Quality.COUNT_RATE_HIGH, 0)
    if region.under and plan.counts and min(own.y.shape[1], own.x.shape[1]) >= SMALLEST:
        for axis in "yx":
            elsewhere = region.under == "rois"
            height, height_variance = excess_at_edges(axis, own, below) if elsewhere else tail_at_edges(own, below)
            yield from _told(f"tail_{axis}", own.pixels * height, own.pixels**2 * height_variance, errors)
    yield "significance", _significance(net, errors)
    yield "clear", clear
    yield "n_valid", own.pixels
    yield "n_saturated", n_saturated
    yield "quality", quality.astype(np.float64)


def _count_rate_correction(frames: Frames, own: Sums, plan: Measurements) -> Doubles:
    """Return by which part the counts of a ROI's brightest raw pixel are (or were) raised for the dead time.

    ``exp(n tau) - 1`` for the true rate n, which is the counts over the exposure time where the detector has corrected
    them; 0 where no dead time is known, infinite beyond what a detector can count.
    """
    if not plan.counts or plan.dead_time is None:
        return np.zeros(len(frames))
    rate = own.numbers["raw_maximum"] / frames.per_frame[:, EXPOSURE]
    known = np.isfinite(rate)
    if not plan.already_counted:
        rate = np.nan_to_num(kernels.true_rate(np.where(known, rate, 0.0), plan.dead_time), nan=np.inf)
    return np.asarray(np.where(known, np.expm1(rate * plan.dead_time), 0.0))


def _doubtful(region: Region, own: Sums, below: Under, plan: Measurements) -> kernels.Bools:
    """Where errors behind a median may be off by more than 15 %, see the page on uncertainties."""
    doubtful = own.weighted_mean < SPARSE
    if not plan.behind_median:
        return doubtful
    if "fwhm" in region.measures and (plan.median_size > 3 or plan.smooth is not None):
        return np.ones_like(doubtful)
    if region.under in OWN_EDGE:
        share = np.divide(below.total, own.total, out=np.ones(len(own.y)), where=own.total > 0)
        doubtful = doubtful | (share * own.counted < EMPTY)
    return doubtful


def _net_variance(
    frames: Frames, region: Region, own: Sums, below: Under, plan: Measurements
) -> tuple[Doubles, Doubles]:
    """Variance of the net intensity, and that of the level per pixel which all pixels share.

    ``V + A^2 var_b``; where the level comes from the ROI's own edge, those pixels count in both: ``- 2 A / A_e V_e``.
    A whole-frame background that is subtracted is shared by all pixels, too; a ROI's own background takes it out again.
    """
    level_variance = below.level_variance if region.under else subtracted_variance(frames, plan)
    twice = np.divide(
        2 * own.pixels * below.own_variance, below.own_pixels, out=np.zeros(len(own.y)), where=below.own_pixels > 0
    )
    return np.maximum(own.variance + own.pixels**2 * level_variance - twice, 0), level_variance


def _median_bias(
    frames: Frames, region: Region, own: Sums, share: Doubles, net: Doubles, others: Doubles | float, plan: Measurements
) -> Doubles:
    """Part that a plain median adds to the intensity; NaN where that is not known, or nothing was counted."""
    added = own.median_excess[0].sum(axis=1) - share * others
    if frames.level is not None and plan.steps.mode == "subtract" and not region.under:
        added = added - own.pixels / np.maximum(frames.level_pixels, 1) * frames.level_excess
    counted = net / factor_of(frames, plan) - added
    bias = np.divide(added, counted, out=np.full(len(net), np.nan), where=counted > 0)
    if frames.level is not None and plan.steps.mode == "divide":
        level = frames.level * frames.level_pixels
        bias = (1 + bias) * np.where(level > 0, 1 - frames.level_excess / np.where(level > 0, level, 1), np.nan) - 1
    return np.asarray(bias)


def _told(name: str, change: Doubles, variance: Doubles, errors: Doubles) -> Iterator[tuple[str, Doubles]]:
    """Give what changes a quantity and the variance of that in standard errors of the quantity."""
    yield name, _in_errors(change, errors)
    yield f"{name}_variance", _in_errors(variance, errors**2)


def _in_errors(change: Doubles, errors: Doubles) -> Doubles:
    return np.asarray(np.divide(change, errors, out=np.full(len(change), np.nan), where=errors > 0))


def _without_median(
    axis: str,
    frames: Frames,
    region: Region,
    own: Sums,
    profile: Doubles,
    share: Doubles,
    others: Doubles | float,
    plan: Measurements,
) -> tuple[Doubles, Doubles]:
    """Centre of mass and width of a net profile without what a plain median made of it; NaN in frames not asked."""
    excess = own.median_excess["yx".index(axis)]
    asked = np.isfinite(excess).all(axis=1)
    centre, width = np.full((2, len(profile)), np.nan)
    if not asked.any():
        return centre, width
    pixels = getattr(own, f"pixels_{axis}")[asked]
    level = np.broadcast_to(share * others / np.maximum(own.pixels, 1), len(excess))[asked]
    net = profile[asked] - (excess[asked] - level[:, None] * pixels) * factor_of(frames, plan)[asked, None]
    raw = kernels.bridged(net, pixels)
    if plan.smooth is not None:
        raw = kernels.running_mean(raw, plan.smooth)
    centre[asked] = kernels.centre_of_mass(net)
    width[asked] = kernels.half_maximum(raw, np.zeros(len(raw)) if region.under else kernels.edge_base(raw)).width
    if plan.smooth is not None:
        width = kernels.without_running_mean(width, plan.smooth)
    return centre, width


def _own_edge(centre: Doubles, n_bins: int, own: Sums, below: Under) -> Doubles:
    """Return what edge pixels, signal and background at once, take from the variance of the centre's numerator."""
    away = 0.5 * (n_bins - 1) - centre
    share = np.divide(own.pixels, below.own_pixels, out=np.zeros(len(centre)), where=below.own_pixels > 0)
    return np.asarray(-2 * share * away**2 * below.own_variance)


def _maximum_errors(own: Sums, frames: Frames, plan: Measurements) -> Doubles:
    """Return the counting error of the highest pixel, where pixels are still counts."""
    if not plan.counts or plan.median or plan.steps.mode is not None:
        return np.full(len(frames), np.nan)
    top, factor = own.numbers["top"], factor_of(frames, plan)
    if "top_varying" in own.numbers:
        return np.asarray(np.sqrt(own.numbers["top_varying"] * factor**2 + top**2 * frames.scale_variance))
    per_count = own.numbers["gain"] * factor
    return np.asarray(np.sqrt(np.maximum(top * per_count, 0.0) + top**2 * frames.scale_variance))
