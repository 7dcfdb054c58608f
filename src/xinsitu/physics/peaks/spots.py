"""A two-dimensional Gaussian fitted to every ROI in every frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.kernels.least_squares import Fit, fit
from xinsitu.kernels.shapes import SPOT, gaussian_2d
from xinsitu.physics.blocks import Plan, block_function, in_one_piece, over_blocks
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.framewise import filtered, finished
from xinsitu.physics.corrections.plan import units_after
from xinsitu.physics.reduction.frame_statistics import statistics
from xinsitu.physics.reduction.regions import Measurements, resting
from xinsitu.physics.reduction.roi_plan import fitted
from xinsitu.physics.reduction.roi_sums import factor_of, factor_variance, subtracted_variance, sums_of
from xinsitu.schema import PIXEL, Quality, image_of
from xinsitu.values import Roi, RoiSet

from .fit_rows import EXTRA, SIGNIFICANT, add, by_scatter, columns_for, doubtful, flagged, packed, unpacked, with_shared

TOGETHER = 16
"""Frames fitted together: more do not fit into the processor's cache."""


def fit_spots(
    data: xr.Dataset | xr.DataArray, rois: RoiSet | Iterable[Roi], *, correction: Correction | None = None
) -> xr.Dataset:
    """Fit a tilted Gaussian on a constant level to every ROI in every frame; lazy where the frames are.

    ``height * exp(-4 ln 2 (u^2 - 2 tilt u v + v^2) / (1 - tilt^2)) + level`` with ``u = (y - centre_y) / fwhm_y`` and
    ``v = (x - centre_x) / fwhm_x``: the widths are those of the projections, ``tilt`` is their correlation. Where the
    frames are counts, the fit is that of the highest Poisson likelihood.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    rois
        Where, moving or not; ROIs of the role ``background`` are left out. The level is fitted, a declared background
        is not used.
    correction
        What to do to the frames first.

    Returns
    -------
    Dataset
        ``(time, roi)``: the parameters, each with ``*_errors``, ``volume`` with its errors (what the spot sums up to),
        ``covariance (time, roi, parameter, parameter_)``, ``chi_square``, ``n_free``, and ``quality``. A fit that
        failed is NaN and flagged; ``errors_doubtful`` is as in :func:`~xinsitu.fit_rois`.
        Centres are detector pixels.

    Raises
    ------
    RoiError
        A ROI does not lie in the image.

    Examples
    --------
    >>> y, x = np.arange(24)[:, None], np.arange(30)
    >>> spot = 1000 * np.exp(-((y - 11) ** 2) / 18 - (x - 14.5) ** 2 / 32)
    >>> frames = xr.DataArray(spot[None].round().astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> found = fit_spots(frames, [Roi("spot", y=(0, 24), x=(0, 30))]).sel(roi="spot").isel(time=0)
    >>> round(float(found.centre_y), 2), round(float(found.centre_x), 2), round(float(found.fwhm_x), 1)
    (11.0, 14.5, 9.4)
    """
    image = image_of(data)
    signals = RoiSet([_plain(roi) for roi in rois if roi.role == "signal"])
    if not len(signals):
        raise SchemaError("there is no ROI to fit")
    told = fitted(data, signals, correction)
    tail = (len(signals), columns_for(len(SPOT)))
    rows = over_blocks(
        spot_block, told.image, told.per_frame, SpotPlan(told.plan), tail=tail, dtype=np.float64, shared=told.shared
    )
    coords: dict[Any, Any] = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    coords["roi"] = np.array(signals.names)
    return _named(
        xr.DataArray(in_one_piece(rows), dims=("time", "roi", "column"), coords=coords), units_after(image, correction)
    )


def _plain(roi: Roi) -> Roi:
    return replace(roi, color=None, measure=None, background=(), extra={})


@dataclass(frozen=True, eq=False)
class SpotPlan(Plan):
    """ROIs whose spots are wanted."""

    measurements: Measurements


Pixels = tuple[kernels.Indices, Doubles, Doubles, Doubles, Doubles, Doubles, Doubles, Doubles]
"""Of some frames: their numbers, first row and column, pixels (NaN where one says nothing), variance per unit, what was
subtracted and its variance, relative variance of what they are multiplied by, and counts per unit."""


@block_function
def spot_block(raw: kernels.Frames, per_frame: Doubles, *, plan: SpotPlan, shared: float | None = None) -> Doubles:
    """Fits of every spot, ``(frame, roi, column)``."""
    measurements = plan.measurements
    result = np.full((len(raw), len(measurements.regions), columns_for(len(SPOT))), np.nan)
    result[..., -EXTRA:-1], result[..., -1] = 0.0, float(Quality.FIT_FAILED)
    for first in range(0, len(raw), TOGETHER):
        some = slice(first, first + TOGETHER)
        for (place, _, _), pixels in _pixels(raw[some], per_frame[some], measurements, shared).items():
            frame, origin, values, per_count, level, level_variance, factor, scale = (
                np.concatenate(part) for part in zip(*pixels, strict=True)
            )
            found = _fit(values, per_count, level, counts=measurements.counts)
            if measurements.counts:
                found = with_shared(found, SPOT, level_variance, factor)
            if measurements.median and measurements.counts:
                unsure = doubtful(found[:, 3:5].min(axis=1), (found[:, 6] + level) / scale)
                found[:, -1] = flagged(found[:, -1], unsure)
            found[:, 1:3] += origin
            result[first + frame, place] = found
    return result


def _pixels(
    raw: kernels.Frames, per_frame: Doubles, plan: Measurements, shared: float | None
) -> dict[tuple[int, int, int], list[Pixels]]:
    """Pixels by the ROI and its size, wherever it is."""
    found: dict[tuple[int, int, int], list[Pixels]] = {}
    rows = statistics(raw, per_frame, plan, shared)
    for run, here in resting(per_frame, plan):
        frames, sums = sums_of(rows[run], plan.layout, per_frame[run], here, shared)
        for place, (region, own) in enumerate(zip(here.regions, sums, strict=True)):
            part = filtered(raw[run], here.steps, per_frame[run], region.box)
            values = finished(part, frames.level, here.steps, per_frame[run], shared).astype(np.float64)
            values[~(np.isfinite(values) & region.pixels.inside)] = np.nan
            counted = own.counted_total
            pixels = (
                np.arange(run.start, run.stop),
                np.tile(np.array(region.origin, dtype=np.float64), (len(values), 1)),
                values,
                np.divide(own.variance, counted, out=np.zeros(len(values)), where=counted > 0),
                own.subtracted,
                subtracted_variance(frames, here),
                factor_variance(frames, here),
                factor_of(frames, here),
            )
            found.setdefault((place, *values.shape[1:]), []).append(pixels)
    return found


def _fit(values: Doubles, per_count: Doubles, level: Doubles, *, counts: bool) -> Doubles:
    """Fit spots of one size, ``(frame, column)``; centres are counted from the first pixel."""
    n_frames, n_rows, n_columns = values.shape
    y = np.repeat(np.arange(n_rows, dtype=np.float64), n_columns)
    x = np.tile(np.arange(n_columns, dtype=np.float64), n_rows)
    flat = values.reshape(n_frames, -1)
    n_points = np.isfinite(flat).sum(axis=1)
    start, model = _start(np.nan_to_num(values)), gaussian_2d(y, x)
    if counts:
        variance = np.maximum(flat + level[:, None], 0) * per_count[:, None]
        found = fit(model, flat, variance, start, per_count=per_count)
    else:
        found = by_scatter(fit(model, flat, np.ones_like(flat), start), n_points)
    return packed(found, _sensible(found, n_rows, n_columns), n_points.astype(np.float64), weighted=counts)


def _start(values: Doubles) -> Doubles:
    """Start values from the profiles above the level of the edge."""
    border = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    level = border.mean(axis=1)
    net = values - level[:, None, None]
    along_y, along_x = kernels.profiles(np.ascontiguousarray(net))
    total = np.maximum(net.sum(axis=(1, 2)), 1e-12 + 1e-3 * np.abs(values).sum(axis=(1, 2)))
    places, widths = [], []
    for profile in (along_y, along_x):
        soft = kernels.running_mean(profile, 3)
        top = np.maximum(soft.max(axis=1), 1e-12)
        widths.append(np.clip(np.maximum(profile, 0).sum(axis=1) / top, 2, 0.7 * profile.shape[1]))
        places.append(soft.argmax(axis=1))
    height = total * 4 * np.log(2) / np.pi / (widths[0] * widths[1])
    return np.stack([height, *places, *widths, np.zeros(len(values)), level], axis=1)


def _sensible(found: Fit, n_rows: int, n_columns: int) -> kernels.Bools:
    """Fits that arrived at a spot which the ROI shows."""
    p = found.parameters
    p[:, 3:5] = np.abs(p[:, 3:5])
    good = found.arrived & (np.abs(p[:, 5]) < 1)
    with np.errstate(invalid="ignore"):
        for place, size in enumerate((n_rows, n_columns)):
            good &= (p[:, 1 + place] >= 0) & (p[:, 1 + place] <= size - 1)
            good &= (p[:, 3 + place] > 0.3) & (p[:, 3 + place] < 3 * size)
        good &= p[:, 0] > SIGNIFICANT * np.sqrt(found.covariance[:, 0, 0])
    return np.asarray(good)


def _named(rows: xr.DataArray, units: str) -> xr.Dataset:
    """One variable per parameter, and the sum of the spot.

    ``pi / (4 ln 2) height fwhm_y fwhm_x sqrt(1 - tilt^2)``
    """
    own = dict.fromkeys(SPOT, PIXEL) | {"height": units, "level": units, "tilt": "1"}
    result = unpacked(rows, SPOT, own, "fitted spot")
    rest = 1 - result["tilt"] ** 2
    volume = np.pi / (4 * np.log(2)) * result["height"] * result["fwhm_y"] * result["fwhm_x"] * rest**0.5
    slopes = {name: volume / result[name] for name in ("height", "fwhm_y", "fwhm_x")}
    slopes["tilt"] = -volume * result["tilt"] / rest
    add(result, "volume", volume, slopes, units, "sum of the fitted spot")
    return result
