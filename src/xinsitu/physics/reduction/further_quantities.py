"""What a ROI measures where it is asked to: single pixels, and the second and third moments of its profiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.values import OWN_EDGE

from .regions import PIXEL_BY_PIXEL, Region
from .roi_backgrounds import Under
from .roi_sums import Sums

SIGNIFICANT = 3.0
"""Standard errors that a second moment must be above zero: below, its root and what is divided by it mean nothing."""


def of_pixels(own: Sums) -> Iterator[tuple[str, Doubles]]:
    """Give what is asked of single pixels."""
    for name, statistic in PIXEL_BY_PIXEL.items():
        if statistic in own.numbers:
            yield name, own.numbers[statistic]


def of_shape(
    axis: str, region: Region, own: Sums, below: Under, level_variance: Doubles
) -> Iterator[tuple[str, Doubles]]:
    """Give root of the second moment and skewness of the net profile along an axis; NaN where that is lost in noise."""
    shape = kernels.shape_of(getattr(own, axis) - getattr(below, axis))
    with_level = _with_level(axis, region, own)
    found = {}
    for name, change in (("sigma", shape.of_sigma), ("skewness", shape.of_skewness)):
        variance = kernels.propagated(
            change, getattr(own, f"variance_{axis}"), getattr(own, f"pixels_{axis}"), level_variance, with_level
        )
        found[name] = getattr(shape, name), np.sqrt(variance)
    sigma, spread = found["sigma"]
    lost = 2 * SIGNIFICANT * spread > sigma  # false where errors are not known
    for name, (values, errors) in found.items():
        if name in region.measures:
            yield f"{name}_{axis}", np.where(lost, np.nan, values)
            yield f"{name}_{axis}_errors", np.where(lost, np.nan, errors)


def _with_level(axis: str, region: Region, own: Sums) -> Doubles:
    """Covariance of the bins of a profile with a background that is the mean of the ROI's own edge; else 0."""
    profile: Doubles = getattr(own, axis)
    result = np.zeros_like(profile)
    if region.under not in OWN_EDGE:
        return result
    known = np.isfinite(own.edge)
    per_count = np.divide(own.variance, own.counted_total, out=np.zeros(len(result)), where=own.counted_total > 0)
    counted = np.maximum(np.where(known, own.edge, 0.0) + own.subtracted[:, None], 0)
    variance = np.where(known, counted, 0.0) * per_count[:, None]
    bins = np.nonzero(region.pixels.rim)["yx".index(axis)]
    for number in range(result.shape[1]):
        result[:, number] = variance[:, bins == number].sum(axis=1)
    return np.asarray(result / np.maximum(known.sum(axis=1), 1)[:, None])
