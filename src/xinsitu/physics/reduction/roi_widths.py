"""The width of a ROI's profile at half its height, with its error and its flags."""

from __future__ import annotations

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.schema import Quality

from .regions import Measurements, Region
from .roi_backgrounds import Under
from .roi_sums import Sums

NOISY_PEAK, FEW_BINS = 11.0, 5.5
"""A profile whose peak is below this many standard errors of one of its bins has no trustworthy width; one that is
wider than so many bins has more of them to go by, and its peak counts for more by the root of the ratio."""
WINDOWS, HIGHEST = 1.05, 1.08
"""What the choice of windows, and that of the highest bin among several, adds to the error of a width; from simulation,
the middle of what Gaussians and Lorentzians ask for."""


def width_of(
    axis: str, own: Sums, below: Under, level_variance: Doubles, region: Region, plan: Measurements
) -> tuple[Doubles, Doubles, kernels.Indices, Doubles]:
    """Width at half maximum, its error, flags, and the height of the peak over the noise of one of its bins.

    The height is that above the declared background, else above the outermost bins; of a shape whose bins hold more
    pixels or fewer, above what the outermost ones hold per pixel.
    """
    pixels = getattr(own, f"pixels_{axis}")
    each = np.arange(len(pixels))
    profile = kernels.bridged(getattr(own, axis) - getattr(below, axis), pixels)
    if plan.smooth is not None:
        profile = kernels.running_mean(profile, plan.smooth)
    base = np.zeros(len(profile)) if region.under else kernels.edge_base(profile)
    if not region.under and region.pixels.weights is not None:
        profile, base = profile - (base / kernels.edge_base(pixels))[:, None] * pixels, np.zeros(len(profile))
    if "fwhm" not in region.measures:
        return _unmeasured(profile, base)
    found = kernels.half_maximum(profile, base)
    variance, neighbours = _noise(axis, found, own, below, plan)
    variance = kernels.bridged(variance, pixels)
    by_bin = found.width_by_bin if plan.smooth is None else kernels.running_mean(found.width_by_bin, plan.smooth)
    square, between = kernels.correlated(by_bin, variance, neighbours)
    one_bin = np.count_nonzero(found.height_by_bin, axis=1) <= 1  # the height is that of the highest bin
    rivals = _rivals(found, variance, one_bin)
    square -= np.square(by_bin[each, found.peak]) * variance[each, found.peak] * (1 - 1 / np.sqrt(rivals))
    for some_bins_apart in between:
        square += some_bins_apart
    if region.under:
        square += np.einsum("ni,ni->n", by_bin, pixels) ** 2 * level_variance
    else:
        base_variance = kernels.edge_base(variance) / (2 * kernels.edge_width(profile.shape[1]))
        if region.pixels.weights is None:
            square += by_bin.sum(axis=1) ** 2 * base_variance
        else:
            square += np.einsum("ni,ni->n", by_bin, pixels) ** 2 * base_variance / kernels.edge_base(pixels) ** 2
    width, error = found.width, np.sqrt(np.maximum(square, 0))
    if not plan.median:
        error *= np.where(one_bin, 1 + (HIGHEST - 1) * np.minimum(rivals - 1, 1), WINDOWS)
    noise = np.sqrt(variance[each, found.peak] / (plan.smooth or 1))
    if plan.smooth is not None:
        plain = kernels.without_running_mean(width, plan.smooth)
        width, error = plain, error * width / plain
    flags = _at_edge(found.peak, profile) | np.where(np.isnan(width), Quality.HALF_LEVEL_NOT_CROSSED, 0)
    flags |= np.where(kernels.ambiguous(found, variance), Quality.NOISY_PROFILE, 0)
    clear = np.divide(found.height, noise, out=np.full(len(noise), np.inf), where=noise > 0)
    clear *= np.sqrt(np.fmax(width / FEW_BINS, 1))
    return width, np.where(np.isnan(width), np.nan, error), flags, clear


def _at_edge(peak: kernels.Indices, profile: Doubles) -> kernels.Indices:
    return np.where((peak == 0) | (peak == profile.shape[1] - 1), Quality.PEAK_AT_EDGE, 0)


def _unmeasured(profile: Doubles, base: Doubles) -> tuple[Doubles, Doubles, kernels.Indices, Doubles]:
    """Return no width, and whether the peak lies at an edge all the same."""
    nothing = np.full(len(profile), np.nan)
    flags = _at_edge(kernels.peaks(profile, base), profile)
    return nothing, nothing, flags, np.full(len(profile), np.inf)


def _rivals(found: kernels.HalfMaximum, variance: Doubles, some: kernels.Bools) -> Doubles:
    """Return how many bins are much as high as the highest one, where that is the height of some profiles, else 1.

    The highest of ``m`` scatters less than one bin, by ``1 / sqrt(m)`` in variance.
    """
    rivals = np.ones(len(some))
    if some.any():
        profile, peak = found.profile[some], found.peak[some]
        noise = np.sqrt(variance[some, peak])
        rivals[some] = kernels.rivals(profile, profile[np.arange(len(peak)), peak], noise)
    return rivals


def _noise(
    axis: str, found: kernels.HalfMaximum, own: Sums, below: Under, plan: Measurements
) -> tuple[Doubles, Doubles | None]:
    """Variance of the bins of a profile, and the correlation of each with the one before it; None where there is none.

    Behind a median both depend on how steep the profile is, pixel by pixel: the peak extends over
    ``(sum p)^2 / sum p^2`` lines across.
    """
    profile = found.profile
    if plan.smooth is not None:
        return getattr(own, f"variance_{axis}"), None
    variance = getattr(own, f"bin_variance_{axis}")
    if not plan.median or profile.shape[1] < 5:
        return variance, None
    other = "x" if axis == "y" else "y"
    across = np.maximum(getattr(own, other) - getattr(below, other), 0)
    lines = across.sum(axis=1) ** 2 / np.maximum(np.einsum("ni,ni->n", across, across), 1e-300)
    return kernels.behind_median(profile, variance, own.bin_factor, lines, plan.median_size)
