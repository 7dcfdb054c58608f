"""The width of a ROI's profile at half its height, with its error and its flags."""

from __future__ import annotations

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles, counting
from xinsitu.schema import Quality

from .regions import Measurements, Region
from .roi_backgrounds import Under
from .roi_sums import Sums

NOISY_PEAK = 10.0
"""A profile whose highest bin is below this many standard errors has no trustworthy width."""


def width_of(
    axis: str, own: Sums, below: Under, level_variance: Doubles, region: Region, plan: Measurements
) -> tuple[Doubles, Doubles, kernels.Indices]:
    """Width at half maximum, its error, and flags: above the declared background, else above the outermost bins."""
    pixels = getattr(own, f"pixels_{axis}")
    each = np.arange(len(pixels))
    profile = kernels.bridged(getattr(own, axis) - getattr(below, axis), pixels)
    if plan.smooth is not None:
        profile = kernels.running_mean(profile, plan.smooth)
    base = np.zeros(len(profile)) if region.under else kernels.edge_base(profile)
    crossings = kernels.half_crossings(profile, base)
    variance, together = _noise(axis, profile, own, below, crossings, plan)
    variance = kernels.bridged(variance, pixels)
    width = crossings.right - crossings.left
    if region.under:
        base_variance = pixels[each, crossings.peak] ** 2 * level_variance
    else:
        base_variance = kernels.edge_base(variance) / (2 * kernels.edge_width(profile.shape[1]))
    reach = plan.smooth or 1
    error = np.sqrt(kernels.fwhm_variance(profile, variance, base_variance, crossings, together, reach=reach))
    if plan.smooth is not None:
        plain = kernels.without_running_mean(width, plan.smooth)
        width, error = plain, error * width / plain
    peak_variance = variance[each, crossings.peak] + base_variance
    height = profile[each, crossings.peak] - base
    flags = np.where((crossings.peak == 0) | (crossings.peak == profile.shape[1] - 1), Quality.PEAK_AT_EDGE, 0)
    if "fwhm" in region.measures:
        flags |= np.where(np.isnan(width), Quality.HALF_LEVEL_NOT_CROSSED, 0)
        flags |= np.where(height < NOISY_PEAK * np.sqrt(np.nan_to_num(peak_variance)), Quality.NOISY_PROFILE, 0)
    return width, np.where(np.isnan(width), np.nan, error), flags


def _noise(
    axis: str, profile: Doubles, own: Sums, below: Under, crossings: kernels.Crossings, plan: Measurements
) -> tuple[Doubles, Doubles | None]:
    """Variance of the bins of a profile, and the correlation of each with its neighbour; None: there is none.

    A running mean over ``k`` bins averages the noise of sums, and its neighbours share ``k - 1`` bins. Behind a median
    both depend on how steep the profile is, pixel by pixel: the peak extends over ``(sum p)^2 / sum p^2`` lines across.
    It matters for the highest bin and those beside the crossings.
    """
    if plan.smooth is not None:
        summed = kernels.running_mean(getattr(own, f"variance_{axis}"), plan.smooth) / plan.smooth
        return summed, np.full(profile.shape, 1 - 1 / plan.smooth)
    variance = getattr(own, f"bin_variance_{axis}")
    if not plan.median or profile.shape[1] < 2:
        return variance, None
    other = "x" if axis == "y" else "y"
    across = np.maximum(getattr(own, other) - getattr(below, other), 0)
    lines = across.sum(axis=1) ** 2 / np.maximum(np.einsum("ni,ni->n", across, across), 1e-300)
    each, last = np.arange(len(profile))[:, None], profile.shape[1] - 1
    left, right = crossings.outer_left, crossings.outer_right
    bins = np.clip(np.stack([left, left + 1, crossings.peak, right - 1, right], axis=1), 0, last)
    low, high = np.maximum(bins - 2, 0), np.minimum(bins + 2, last)
    slope = np.abs(profile[each, high] - profile[each, low]) / np.maximum(high - low, 1)
    counted = variance[each, bins] / own.bin_factor[:, None]
    pixel = np.sqrt(counted * lines[:, None])
    size = plan.steps.median or 3
    factor, shared = counting.bins_on_slopes(np.divide(slope, pixel, out=np.zeros(slope.shape), where=pixel > 0), size)
    least = own.bin_factor if size == 3 else 0.6 * own.bin_factor  # of 3 x 3
    result, together = variance.copy(), np.zeros(profile.shape)
    result[each, bins], together[each, bins] = counted * np.maximum(factor, least[:, None]), shared
    return result, together
