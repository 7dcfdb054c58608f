"""The width of a ROI's profile at half its height, with its error and its flags."""

from __future__ import annotations

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.schema import Quality

from . import counting
from .backgrounds import Under, edge_width
from .regions import Measurements, Region, Sums

NOISY_PEAK = 10.0
"""A profile whose highest bin is below this many standard errors has no trustworthy width."""


def width_of(
    axis: str, own: Sums, below: Under, level_variance: Doubles, region: Region, plan: Measurements
) -> tuple[Doubles, Doubles, kernels.Indices]:
    """Width at half maximum, its error, and flags: above the declared background, else above the outermost bins."""
    pixels = getattr(own, f"pixels_{axis}")
    each = np.arange(len(pixels))
    profile = kernels.bridged(getattr(own, axis) - getattr(below, axis), pixels)
    variance, together = _noise(axis, profile, own, below, plan)
    variance = kernels.bridged(variance, pixels)
    if plan.smooth is not None:
        profile = kernels.running_mean(profile, plan.smooth)
    base = np.zeros(len(profile)) if region.under else kernels.edge_base(profile)
    crossings = kernels.half_crossings(profile, base)
    width = crossings.right - crossings.left
    if region.under:
        base_variance = pixels[each, crossings.peak] ** 2 * level_variance
    else:
        base_variance = kernels.edge_base(variance) / (2 * edge_width(profile.shape[1]))
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


def _noise(axis: str, profile: Doubles, own: Sums, below: Under, plan: Measurements) -> tuple[Doubles, Doubles]:
    """Variance of the bins of a profile, and the correlation of each with its neighbour.

    A running mean over ``k`` bins averages the noise of sums, and its neighbours share ``k - 1`` bins. Behind a median
    both depend on how steep the profile is, pixel by pixel: the peak extends over ``(sum p)^2 / sum p^2`` lines across.
    """
    if plan.smooth is not None:
        summed = kernels.running_mean(getattr(own, f"variance_{axis}"), plan.smooth) / plan.smooth
        return summed, np.full(profile.shape, 1 - 1 / plan.smooth)
    variance = getattr(own, f"bin_variance_{axis}")
    if not plan.median:
        return variance, np.zeros(profile.shape)
    other = "x" if axis == "y" else "y"
    across = np.maximum(getattr(own, other) - getattr(below, other), 0)
    lines = across.sum(axis=1) ** 2 / np.maximum((across**2).sum(axis=1), 1e-300)
    counted = variance / own.bin_factor[:, None]
    slope = np.abs(np.gradient(kernels.running_mean(profile, 3), axis=1)) if profile.shape[1] > 1 else 0 * profile
    pixel = np.sqrt(counted * lines[:, None])
    steepness = np.divide(slope, pixel, out=np.zeros(profile.shape), where=pixel > 0)
    factor, together = counting.bins_on_slopes(steepness, plan.steps.median or 3)
    least = own.bin_factor if (plan.steps.median or 3) == 3 else 0.6 * own.bin_factor  # of 3 x 3
    return counted * np.maximum(factor, least[:, None]), together
