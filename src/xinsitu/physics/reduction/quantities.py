"""From the sums of ROIs to what is reported of them, packed into one array ``(frame, roi, quantity)``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.kernels.statistics import Layout
from xinsitu.physics.blocks import block_function
from xinsitu.physics.corrections.framewise import EXPOSURE
from xinsitu.schema import Quality
from xinsitu.values import OWN_EDGE

from .frame_statistics import statistics
from .further_quantities import of_pixels, of_shape
from .profile_bins import bins_of, n_bins
from .regions import Measurements, Region, alike
from .roi_backgrounds import Under, excess_at_edges, follows, slope_across, spilled, tail_at_edges, under
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
    if not any(region.moving is not None for region in plan.regions):
        return _measured(rows, plan.layout, per_frame, plan, shared)
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
        net = _Net.of(frames, region, own, others, plan)
        for name, values in _quantities(net):
            packed[:, number, place[name]] = values
        packed[:, number, place["flat_variance"]] = flat_variance(frames, region, own, others, plan, net.total)
        if plan.bins is not None and not region.own_axes:
            packed[:, number, len(place) :] = bins_of(frames, region, own, net.below, plan)
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


@dataclass(frozen=True)
class _Net:
    """A ROI above its background, per frame: what all its quantities follow from.

    ``share``: its pixels over those of the ROIs of its background; ``made``: what a median added in these; ``total``
    and ``variance``: the net intensity; ``level_variance``: of the background per pixel, which all pixels share.
    """

    frames: Frames
    region: Region
    own: Sums
    others: list[Sums]
    below: Under
    plan: Measurements
    share: Doubles
    made: Doubles | float
    total: Doubles
    variance: Doubles
    level_variance: Doubles

    @classmethod
    def of(cls, frames: Frames, region: Region, own: Sums, others: list[Sums], plan: Measurements) -> _Net:
        """Take a ROI and the ROIs of its background."""
        below = under(own, region.under, others)
        total = own.total - below.total
        pixels = sum(other.pixels for other in others)
        made = sum(map(_added, others))
        share = own.pixels / np.maximum(pixels, 1) if region.background else np.zeros(len(total))
        variances = _net_variance(frames, region, own, below, plan)
        return cls(frames, region, own, others, below, plan, share, made, total, *variances)

    @property
    def errors(self) -> Doubles:
        """Of the net intensity, by the counts alone."""
        return np.sqrt(self.variance)


def _quantities(net: _Net) -> Iterator[tuple[str, Doubles]]:
    """Every quantity of one ROI by name; what the ROI does not measure stays NaN."""
    own, plan = net.own, net.plan
    yield from _intensities(net)
    yield from _background(net)
    yield from of_pixels(own)
    yield from _highest_pixel(net)
    quality, clear = np.zeros(len(net.total), dtype=np.int64), np.full(len(net.total), np.inf)
    for axis in "yx":
        flags, sharp = yield from _along(axis, net)
        quality |= flags
        clear = np.minimum(clear, sharp)
    if plan.asks_median:
        yield "median_bias", _median_bias(net)
    known = plan.counts and plan.cutoff is not None
    n_saturated = own.numbers["saturated"] if known else np.full(len(net.total), -1.0)
    yield from _tails(net)
    yield "significance", _significance(net.total, net.errors)
    yield "clear", clear
    yield "n_valid", own.pixels
    yield "n_saturated", n_saturated
    yield "quality", _flagged(net, quality, n_saturated).astype(np.float64)


def _intensities(net: _Net) -> Iterator[tuple[str, Doubles]]:
    """Give the net intensity, and the same per pixel."""
    region, area = net.region, net.own.pixels
    if not {"intensity", "mean"} & region.measures:
        return
    empty, subtracted = area == 0, np.zeros(len(area)) if region.under else area
    twice = twice_counted(net.frames, region, net.plan, own=1.0, under=-net.share, area=subtracted, net=net.total)
    variance = net.variance + net.total**2 * factor_variance(net.frames, net.plan) + twice
    spread = np.where(empty, np.nan, np.sqrt(np.maximum(variance, 0)))
    for name, number in (("intensity", 1.0), ("mean", np.maximum(area, 1))):
        if name in region.measures:
            yield name, np.where(empty, np.nan, net.total) / number
            yield f"{name}_errors", spread / number


def _background(net: _Net) -> Iterator[tuple[str, Doubles]]:
    """Give the background in a ROI: its own one, if it has one."""
    frames, region, below, plan = net.frames, net.region, net.below, net.plan
    if "background" not in region.measures:
        return
    yield "background", np.where(net.own.pixels == 0, np.nan, below.total)
    area = net.own.pixels if region.under else np.zeros(len(net.total))
    twice = twice_counted(frames, region, plan, own=0.0, under=net.share, area=area, net=below.total)
    whole = below.total**2 * factor_variance(frames, plan)
    spread = area**2 * (below.level_variance + subtracted_variance(frames, plan)) + whole + twice
    known = 0.0 if plan.counts else np.nan
    yield "background_errors", np.sqrt(np.maximum(spread, 0)) + known


def _highest_pixel(net: _Net) -> Iterator[tuple[str, Doubles]]:
    """Give the highest pixel, where it is, and how clearly it is above the next highest one."""
    top, row, column, second = net.own.top
    yield "maximum", top
    errors = _maximum_errors(net.own, net.frames, net.plan)
    yield "maximum_errors", errors
    next_to_top = np.divide(second, top, out=np.zeros(len(top)), where=top > 0)
    yield "top_clear", _in_errors(top - second, errors * np.sqrt(1 + np.clip(next_to_top, 0, 1)))
    yield "maximum_y", row + net.region.origin[0]
    yield "maximum_x", column + net.region.origin[1]


def _along(axis: str, net: _Net) -> Generator[tuple[str, Doubles], None, tuple[kernels.Indices, Doubles]]:
    """Where the net profile along an axis is, and how wide; returns flags of the width and how clear its peak is."""
    own, below, region, plan = net.own, net.below, net.region, net.plan
    profile = getattr(own, axis) - getattr(below, axis)
    if "com" in region.measures:
        centre = kernels.centre_of_mass(profile)
        yield f"com_{axis}", region.first(axis) + centre
        spread = kernels.centre_of_mass_variance(
            profile, getattr(own, f"variance_{axis}"), centre, getattr(own, f"pixels_{axis}"), net.level_variance
        )
        extra = _own_edge(centre, profile.shape[1], own, below) + getattr(below, f"slope_{axis}")
        squared = np.where(net.total == 0, np.nan, net.total) ** 2
        com_errors = np.sqrt(np.maximum(spread + extra / squared, 0))
        yield f"com_{axis}_errors", com_errors
        if not follows(region.under, axis) and plan.counts:
            yield from _told(f"slope_{axis}", *slope_across(axis, own, below, net.total), com_errors)
    if {"sigma", "skewness"} & region.measures:
        yield from of_shape(axis, region, own, below, net.level_variance)
    width, width_errors, flags, sharp = width_of(axis, own, below, net.level_variance, region, plan)
    if "fwhm" in region.measures:
        yield f"fwhm_{axis}", width
        yield f"fwhm_{axis}_errors", width_errors
    if plan.asks_median and {"com", "fwhm"} <= region.measures:
        raw_centre, raw_width = _without_median(axis, profile, net)
        yield f"median_com_{axis}", _in_errors(centre - raw_centre, com_errors)
        yield f"median_fwhm_{axis}", _in_errors(width - raw_width, width_errors)
    return flags, sharp


def _tails(net: _Net) -> Iterator[tuple[str, Doubles]]:
    """Give what the edges of a ROI tell against its background, in errors of the intensity."""
    own, below, elsewhere = net.own, net.below, net.region.under == "rois"
    if elsewhere and net.plan.counts:
        beside = zip((net.plan.regions[other] for other in net.region.background), net.others, strict=True)
        height, variance = spilled(net.region, own, list(beside))
        yield from _told("spill", own.pixels * height, own.pixels**2 * variance, net.errors)
    if not net.region.under or not net.plan.counts or min(own.y.shape[1], own.x.shape[1]) < SMALLEST:
        return
    for axis in "yx":
        height, variance = excess_at_edges(axis, own, below) if elsewhere else tail_at_edges(own, below)
        yield from _told(f"tail_{axis}", own.pixels * height, own.pixels**2 * variance, net.errors)


def _flagged(net: _Net, quality: kernels.Indices, n_saturated: Doubles) -> kernels.Indices:
    """Return the flags of the widths with those of the whole ROI."""
    own = net.own
    quality = quality | np.where(n_saturated > 0, Quality.SATURATED, 0)
    quality |= np.where(_doubtful(net.region, own, net.below, net.plan), Quality.ERRORS_DOUBTFUL, 0)
    quality |= np.where(own.pixels < own.area * (1 - 1e-9), Quality.MASKED_PIXELS, 0)
    if net.region.moving is not None:
        faint = ~(net.total > LOW_COUNTS * np.nan_to_num(net.errors))
        quality |= np.where(faint | ((quality & Quality.PEAK_AT_EDGE) > 0), Quality.PEAK_LOST, 0)
    return quality | np.where(_count_rate_correction(net.frames, own, net.plan) > FAST, Quality.COUNT_RATE_HIGH, 0)


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


def _median_bias(net: _Net) -> Doubles:
    """Part that a plain median adds to the intensity; NaN where that is not known, or nothing was counted."""
    frames, own, steps = net.frames, net.own, net.plan.steps
    added = _added(own) - net.share * net.made
    if frames.level is not None and steps.mode == "subtract" and not net.region.under:
        added = added - own.pixels / np.maximum(frames.level_pixels, 1) * frames.level_excess
    counted = net.total / factor_of(frames, net.plan) - added
    bias = np.divide(added, counted, out=np.full(len(added), np.nan), where=counted > 0)
    if frames.level is not None and steps.mode == "divide":
        level = frames.level * frames.level_pixels
        bias = (1 + bias) * np.where(level > 0, 1 - frames.level_excess / np.where(level > 0, level, 1), np.nan) - 1
    return np.asarray(bias)


def _added(own: Sums) -> Doubles:
    """Return what a plain median added to the sum of a ROI; NaN in frames not asked, which are most of them."""
    along_y = own.median_excess[0]
    asked = np.flatnonzero(np.isfinite(along_y[:, 0]))
    added = np.full(len(along_y), np.nan)
    added[asked] = along_y[asked].sum(axis=1)
    return added


def _told(name: str, change: Doubles, variance: Doubles, errors: Doubles) -> Iterator[tuple[str, Doubles]]:
    """Give what changes a quantity and the variance of that in standard errors of the quantity."""
    yield name, _in_errors(change, errors)
    yield f"{name}_variance", _in_errors(variance, errors**2)


def _in_errors(change: Doubles, errors: Doubles) -> Doubles:
    return np.asarray(np.divide(change, errors, out=np.full(len(change), np.nan), where=errors > 0))


def _without_median(axis: str, profile: Doubles, net: _Net) -> tuple[Doubles, Doubles]:
    """Centre of mass and width of a net profile without what a plain median made of it; NaN in frames not asked."""
    own, smooth = net.own, net.plan.smooth
    excess = own.median_excess["yx".index(axis)]
    asked = np.isfinite(excess[:, 0])
    asked[asked] = np.isfinite(excess[asked]).all(axis=1)
    centre, width = np.full((2, len(profile)), np.nan)
    if not asked.any():
        return centre, width
    pixels = getattr(own, f"pixels_{axis}")[asked]
    level = np.broadcast_to(net.share * net.made / np.maximum(own.pixels, 1), len(excess))[asked]
    added = (excess[asked] - level[:, None] * pixels) * factor_of(net.frames, net.plan)[asked, None]
    counted = profile[asked] - added
    raw = kernels.bridged(counted, pixels)
    if smooth is not None:
        raw = kernels.running_mean(raw, smooth)
    centre[asked] = kernels.centre_of_mass(counted)
    base = np.zeros(len(raw)) if net.region.under else kernels.edge_base(raw)
    width[asked] = kernels.half_maximum(raw, base).width
    if smooth is not None:
        width = kernels.without_running_mean(width, smooth)
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
