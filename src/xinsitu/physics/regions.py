"""What is measured in the ROIs of one NumPy block of frames ``(frame, y, x)``, packed into one array."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.schema import Quality
from xinsitu.values import Box

from .framewise import Steps, background_block, filtered, without_background

COLUMNS = (
    "intensity",
    "background",
    "maximum",
    "maximum_y",
    "maximum_x",
    "com_y",
    "com_x",
    "fwhm_y",
    "fwhm_x",
    "intensity_errors",
    "background_errors",
    "maximum_errors",
    "com_y_errors",
    "com_x_errors",
    "fwhm_y_errors",
    "fwhm_x_errors",
    "n_valid",
    "n_saturated",
    "quality",
    "frame_level_counts",
)
"""Last axis of what :func:`measure_block` returns; the last one is the raw counts in the frame's background regions."""
COLUMN = {name: number for number, name in enumerate(COLUMNS)}
LOW_COUNTS = 5.0
"""An intensity below this many standard errors is flagged."""


@dataclass(frozen=True)
class Region:
    """One ROI, fitted to a block: its box counted from the block's first pixel, its background by number."""

    box: Box
    origin: tuple[int, int]
    background: tuple[int, ...]
    measures: frozenset[str]


@dataclass(frozen=True, eq=False)
class Measurements:
    """What to measure; ``counts``: the frames are counts, so that errors and saturation mean something."""

    steps: Steps
    regions: tuple[Region, ...]
    counts: bool
    cutoff: float | None

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        regions = [(region.box, region.origin, region.background, sorted(region.measures)) for region in self.regions]
        said = f"{self.steps.fingerprint} {regions} {self.counts} {self.cutoff}"
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.fingerprint


@dataclass(frozen=True)
class Sums:
    """A ROI in a block of frames: its pixels (invalid ones zero), its profiles, and the variances of these."""

    values: Doubles
    good: kernels.Bools | None
    y: Doubles
    x: Doubles
    pixels_y: Doubles
    pixels_x: Doubles
    variance_y: Doubles
    variance_x: Doubles

    @property
    def total(self) -> Doubles:
        """Sum of all valid pixels."""
        return np.asarray(self.y.sum(axis=1))

    @property
    def pixels(self) -> Doubles:
        """Number of valid pixels."""
        return np.asarray(self.pixels_y.sum(axis=1))

    @property
    def variance(self) -> Doubles:
        """Variance of the total."""
        return np.asarray(self.variance_y.sum(axis=1))


def measure_block(raw: kernels.Frames, *, plan: Measurements, shared: float | None = None) -> Doubles:
    """Everything of every ROI: ``(frame, roi, quantity)``, quantities as in :data:`COLUMNS`."""
    level = None
    if plan.steps.boxes is not None:
        level = background_block(raw, plan=plan.steps)[:, 0, 0]
    sums = [_summed(raw, region, plan, level, shared) for region in plan.regions]
    packed = np.full((len(raw), len(sums), len(COLUMNS)), np.nan)
    for number, (region, own) in enumerate(zip(plan.regions, sums, strict=True)):
        others = [sums[other] for other in region.background]
        for name, values in _quantities(raw, region, own, others, plan):
            packed[:, number, COLUMN[name]] = values
    if level is not None:
        zero = np.zeros(len(raw), dtype=bool) if plan.steps.mode == "subtract" else ~(level > 0)
        packed[:, :, COLUMN["quality"]] += np.where(zero, float(Quality.ZERO_BACKGROUND), 0.0)[:, None]
        packed[:, :, COLUMN["frame_level_counts"]] = _raw_counts(raw, plan)[:, None]
    return packed


def _raw_counts(raw: kernels.Frames, plan: Measurements) -> Doubles:
    """Raw counts in the background regions of each frame."""
    total = np.zeros(len(raw))
    for y, x in plan.steps.boxes or ():
        part = raw[:, slice(*y), slice(*x)]
        values = kernels.as_floats(part, np.float64, kernels.invalid_pixels(part, plan.steps.stored))
        total += np.nansum(values.reshape(len(raw), -1), axis=1)
    return total


def _summed(
    raw: kernels.Frames, region: Region, plan: Measurements, level: Doubles | None, shared: float | None
) -> Sums:
    """Correct a ROI's pixels and sum them."""
    steps = plan.steps
    part = filtered(raw, steps, region.box)
    if level is not None:
        part = without_background(part, level, steps, shared)
    values = np.ascontiguousarray(part, dtype=np.float64)
    along_y, along_x = kernels.profiles(values)
    shape = values.shape
    good = None
    pixels_y = np.full((shape[0], shape[1]), float(shape[2]))
    pixels_x = np.full((shape[0], shape[2]), float(shape[1]))
    if not np.isfinite(along_y).all():
        good = np.isfinite(values)
        values = np.where(good, values, 0.0)
        along_y, along_x = kernels.profiles(values)
        pixels_y, pixels_x = kernels.profiles(good.astype(np.float64))
    variance_y, variance_x = _variances(raw, region, plan, level, shared, good)
    return Sums(values, good, along_y, along_x, pixels_y, pixels_x, variance_y, variance_x)


def _variances(
    raw: kernels.Frames,
    region: Region,
    plan: Measurements,
    level: Doubles | None,
    shared: float | None,
    good: kernels.Bools | None,
) -> tuple[Doubles, Doubles]:
    """Variances of the profiles from the raw counts; NaN where frames are not counts."""
    (top, bottom), (left, right) = region.box
    steps = plan.steps
    if not plan.counts:
        return np.full((len(raw), bottom - top), np.nan), np.full((len(raw), right - left), np.nan)
    part = raw[:, top:bottom, left:right]
    counts = np.array(part, dtype=np.float64, order="C")
    bad = kernels.invalid_pixels(part, steps.stored)
    if bad is not None:
        counts[bad] = 0.0
    if good is not None:
        counts *= good
    if steps.flat is not None:
        gain = 1.0 / np.square(steps.flat[top:bottom, left:right].astype(np.float64))
        counts *= np.where(np.isfinite(gain), gain, 0.0)
    variance_y, variance_x = kernels.profiles(counts)
    if level is not None and steps.mode == "divide":
        scale = level if shared is None else level / shared
        squared = np.square(np.where(level > 0, scale, np.nan))[:, None]
        variance_y, variance_x = variance_y / squared, variance_x / squared
    return variance_y, variance_x


def _quantities(
    raw: kernels.Frames, region: Region, own: Sums, others: list[Sums], plan: Measurements
) -> Iterator[tuple[str, Doubles]]:
    """Every quantity of one ROI by name; what the ROI does not measure stays NaN."""
    level, level_variance = _pooled_level(own, others)
    under = level * own.pixels
    net_errors = np.sqrt(own.variance + own.pixels**2 * level_variance)
    quality = np.zeros(len(raw), dtype=np.int64)
    if "intensity" in region.measures:
        yield "intensity", np.where(own.pixels > 0, own.total - under, np.nan)
        yield "intensity_errors", np.where(own.pixels > 0, net_errors, np.nan)
    if "background" in region.measures:
        yield "background", np.where(own.pixels > 0, under, np.nan)
        yield "background_errors", own.pixels * np.sqrt(level_variance) + np.where(plan.counts, 0.0, np.nan)
    top, row, column = _highest(own)
    yield "maximum", top
    yield "maximum_errors", _maximum_errors(top, plan)
    yield "maximum_y", row + region.origin[0]
    yield "maximum_x", column + region.origin[1]
    for axis, first in (("y", region.origin[0]), ("x", region.origin[1])):
        pixels = getattr(own, f"pixels_{axis}")
        net = getattr(own, axis) - level[:, None] * pixels
        variance = getattr(own, f"variance_{axis}")
        if "com" in region.measures:
            centre = kernels.centre_of_mass(net)
            yield f"com_{axis}", first + centre
            spread = kernels.centre_of_mass_variance(net, variance, centre, pixels, level_variance)
            yield f"com_{axis}_errors", np.sqrt(spread)
        crossings, width_variance = _width(net, variance, pixels, level_variance, declared=bool(others))
        width = crossings.right - crossings.left
        quality |= np.where((crossings.peak == 0) | (crossings.peak == net.shape[1] - 1), Quality.PEAK_AT_EDGE, 0)
        if "fwhm" in region.measures:
            quality |= np.where(np.isnan(width), Quality.HALF_LEVEL_NOT_CROSSED, 0)
            yield f"fwhm_{axis}", width
            yield f"fwhm_{axis}_errors", np.where(np.isnan(width), np.nan, np.sqrt(width_variance))
    saturated = _saturated(raw, region, plan)
    quality |= np.where(saturated > 0, Quality.SATURATED, 0)
    quality |= np.where(own.pixels < own.values[0].size, Quality.MASKED_PIXELS, 0)
    quality |= np.where(own.total - under < LOW_COUNTS * np.nan_to_num(net_errors), Quality.LOW_COUNTS, 0)
    quality |= np.where(own.total - under > 0, 0, Quality.LOW_COUNTS)
    yield "n_valid", own.pixels
    yield "n_saturated", saturated
    yield "quality", quality.astype(np.float64)


def _pooled_level(own: Sums, others: list[Sums]) -> tuple[Doubles, Doubles]:
    """Background per pixel and its variance: counts and areas of all background ROIs pooled; zero without any."""
    if not others:
        return np.zeros(len(own.y)), np.zeros(len(own.y))
    pixels = np.sum([other.pixels for other in others], axis=0)
    area = np.where(pixels > 0, pixels, np.nan)
    total = np.sum([other.total for other in others], axis=0)
    variance = np.sum([other.variance for other in others], axis=0)
    return total / area, variance / area**2


def _highest(own: Sums) -> tuple[Doubles, Doubles, Doubles]:
    """Highest valid pixel and the first place where it is, in the ROI."""
    values = own.values if own.good is None else np.where(own.good, own.values, -np.inf)
    flat = values.reshape(len(values), -1)
    where = flat.argmax(axis=1)
    top = flat[np.arange(len(flat)), where]
    row, column = np.divmod(where, values.shape[2])
    found = np.isfinite(top)
    return np.where(found, top, np.nan), np.where(found, row, np.nan), np.where(found, column, np.nan)


def _maximum_errors(top: Doubles, plan: Measurements) -> Doubles:
    """Return the counting error of the highest pixel, where pixels are still counts."""
    if not plan.counts or plan.steps.mode is not None:
        return np.full(len(top), np.nan)
    return np.sqrt(np.maximum(top, 0.0))


def _width(
    net: Doubles, variance: Doubles, pixels: Doubles, level_variance: Doubles, *, declared: bool
) -> tuple[kernels.Crossings, Doubles]:
    """Crossings of the half level above the declared background, else above the mean of the outermost bins."""
    each = np.arange(len(net))
    base = np.zeros(len(net)) if declared else kernels.edge_base(net)
    crossings = kernels.half_crossings(net, base)
    if declared:
        base_variance = pixels[each, crossings.peak] ** 2 * level_variance
    else:
        outer = max(1, int(kernels.EDGE_FRACTION * net.shape[1]))
        base_variance = kernels.edge_base(variance) / (2 * outer)
    return crossings, kernels.fwhm_variance(net, variance, base_variance, crossings)


def _saturated(raw: kernels.Frames, region: Region, plan: Measurements) -> Doubles:
    """Count raw pixels at or above the detector's cut-off; -1 where nobody can know."""
    if not plan.counts or plan.cutoff is None:
        return np.full(len(raw), -1.0)
    (top, bottom), (left, right) = region.box
    part = raw[:, top:bottom, left:right]
    if part.max(initial=0) < plan.cutoff:  # not true of NaN
        return np.zeros(len(raw))
    high = part >= plan.cutoff
    bad = kernels.invalid_pixels(part, plan.steps.stored)
    if bad is not None:
        high = high & ~bad
    return np.asarray(np.count_nonzero(high, axis=(1, 2)), dtype=np.float64)
