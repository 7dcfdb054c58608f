"""Profiles of ROIs on the detector's own pixels: what lies outside a ROI, where it is in a frame, is NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.schema import axis_name, describe
from xinsitu.values import Bounds, Box

from .regions import Measurements, Region
from .roi_backgrounds import Under
from .roi_sums import Frames, Sums, factor_variance, subtracted_variance


def net_profile(own: Sums, below: Under, axis: str) -> Doubles:
    """Profile less the background, ``(frame, bin)``; NaN in a frame that has no valid pixel in the ROI."""
    return np.where(own.pixels[:, None] > 0, getattr(own, axis) - getattr(below, axis), np.nan)


def placed(values: Doubles, first: int | Doubles, bounds: Bounds) -> Doubles:
    """Put profiles that begin at a pixel, one for all or one for each frame, on the pixels between bounds.

    Examples
    --------
    >>> placed(np.array([[1.0, 2.0]]), 11, (10, 14))
    array([[nan,  1.,  2., nan]])
    """
    result = np.full((len(values), bounds[1] - bounds[0]), np.nan)
    start = np.broadcast_to(np.asarray(first, dtype=np.intp) - bounds[0], len(values))
    np.put_along_axis(result, start[:, None] + np.arange(values.shape[1]), values, axis=1)
    return result


def n_bins(box: Box | None) -> int:
    """Count what :func:`bins_of` gives."""
    return 0 if box is None else 2 * sum(behind - first for first, behind in box)


def level_variance(frames: Frames, region: Region, below: Under, plan: Measurements) -> Doubles:
    """Variance of the background per pixel, which all pixels of a ROI share."""
    return below.level_variance if region.under else subtracted_variance(frames, plan)


def bins_of(frames: Frames, region: Region, own: Sums, below: Under, plan: Measurements) -> Doubles:
    """Both profiles, each with the errors of its bins behind it, on the pixels that are wanted: ``(frame, bin)``."""
    parts, box = [], plan.bins or ((0, 0), (0, 0))
    shared, factor = level_variance(frames, region, below, plan), factor_variance(frames, plan)
    for axis, first, bounds in zip("yx", region.origin, box, strict=True):
        net, pixels = net_profile(own, below, axis), getattr(own, f"pixels_{axis}")
        variance = getattr(own, f"bin_variance_{axis}") + pixels**2 * shared[:, None] + net**2 * factor[:, None]
        parts += [placed(net, first, bounds), placed(np.sqrt(variance), first, bounds)]
    return np.concatenate(parts, axis=1)


def seen(rows: Doubles) -> Iterator[tuple[kernels.Indices, slice]]:
    """Rows that begin and end at the same known bins, and these bins; rows of which nothing is known are left out.

    Examples
    --------
    >>> rows = np.array([[np.nan, 1.0, 2.0], [1.0, 2.0, np.nan], [np.nan, 3.0, 4.0]])
    >>> [(which.tolist(), bins.start, bins.stop) for which, bins in seen(rows)]
    [([1], 0, 2), ([0, 2], 1, 3)]
    """
    known = np.isfinite(rows)
    some = np.flatnonzero(known.any(axis=1))
    ends = np.stack([known.argmax(axis=1), rows.shape[1] - known[:, ::-1].argmax(axis=1)], axis=1)[some]
    for first, behind in np.unique(ends, axis=0):
        yield some[(ends == (first, behind)).all(axis=1)], slice(int(first), int(behind))


def unbroken(rows: Doubles) -> Doubles:
    """Straight lines over unknown bins between known ones."""
    known = np.isfinite(rows)
    return rows if known.all() else kernels.bridged(np.where(known, rows, 0.0), known.astype(np.float64))


def profile_variables(
    packed: Any,  # noqa: ANN401 - NumPy or dask
    box: Box,
    image: xr.DataArray,
    units: str,
) -> dict[str, xr.DataArray]:
    """Profiles and their errors as variables ``(time, roi, y)`` and ``(time, roi, x)``."""
    found, start = {}, 0
    for axis, bounds in zip("yx", box, strict=True):
        pixels = describe(xr.DataArray(np.arange(*bounds), dims=axis), axis, long_name=axis_name(image, axis))
        for name in (f"profile_{axis}", f"profile_{axis}_errors"):
            stop = start + bounds[1] - bounds[0]
            values = xr.DataArray(packed[:, :, start:stop], dims=("time", "roi", axis), coords={axis: pixels})
            found[name] = describe(values, name, units=units, long_name=f"profile along {axis_name(image, axis)}")
            start = stop
    return found
