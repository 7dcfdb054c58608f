"""A two-dimensional Gaussian fitted to every ROI in every frame."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.schema import PIXEL, Quality, flag_attributes, image_of
from xinsitu.values import Roi, RoiSet

from .blocks import in_blocks, over_blocks
from .correction import Correction
from .curves import Fit, counted_fit, fit, gaussian_2d
from .fitting_rois import fitted
from .planning import units_after
from .regions import Measurements, Region, frames_of, summed

NAMES = ("height", "centre_y", "centre_x", "fwhm_y", "fwhm_x", "tilt", "level")
TOGETHER = 16
"""Frames fitted together: more do not fit into the processor's cache."""
SIGNIFICANT = 3.0
"""A spot that is not this many standard errors high is no spot."""


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
        Where; ROIs of the role ``background`` are left out. The level is fitted, a declared background is not used.
    correction
        What to do to the frames first.

    Returns
    -------
    Dataset
        ``(time, roi)``: the parameters, each with ``*_errors``, ``volume`` with its errors (what the spot sums up to),
        ``covariance (time, roi, parameter, parameter_)``, and ``quality``. A fit that failed is NaN and flagged.
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
    image = in_blocks(image_of(data))
    signals = RoiSet([_plain(roi) for roi in rois if roi.role == "signal"])
    if not len(signals):
        raise SchemaError("there is no ROI to fit")
    told = fitted(data, image, signals, correction)
    tail = (len(signals), len(NAMES) ** 2 + len(NAMES) + 1)
    packed = over_blocks(
        spot_block, told.image, told.per_frame, SpotPlan(told.plan), tail=tail, dtype=np.float64, shared=told.shared
    )
    coords: dict[Any, Any] = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    coords["roi"] = np.array(signals.names)
    return _named(xr.DataArray(packed, dims=("time", "roi", "column"), coords=coords), units_after(image, correction))


def _plain(roi: Roi) -> Roi:
    return Roi(roi.name, roi.y, roi.x)


@dataclass(frozen=True, eq=False)
class SpotPlan:
    """ROIs whose spots are wanted."""

    measurements: Measurements

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return hashlib.blake2b(f"spots {self.measurements.fingerprint}".encode(), digest_size=16).hexdigest()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.fingerprint


def spot_block(raw: kernels.Frames, per_frame: Doubles, *, plan: SpotPlan, shared: float | None = None) -> Doubles:
    """Parameters, their covariance and a mark for success, ``(frame, roi, column)``."""
    measurements = plan.measurements
    number = len(NAMES)
    packed = np.full((len(raw), len(measurements.regions), number**2 + number + 1), np.nan)
    packed[..., -1] = 0.0
    for first in range(0, len(raw), TOGETHER):
        some = slice(first, first + TOGETHER)
        frames = frames_of(raw[some], per_frame[some], measurements, shared)
        for place, region in enumerate(measurements.regions):
            own = summed(frames, region, measurements, keep=True)
            found = _fit_region(own.values, own.good, _per_count(own.variance, own.total), region)
            good = _sensible(found, region)
            target = packed[some, place]
            target[good, :number] = found.parameters[good]
            target[good, number:-1] = found.covariance[good].reshape(-1, number**2)
            target[:, -1] = good
    return packed


def _per_count(variance: Doubles, total: Doubles) -> Doubles:
    """Variance per unit of the image; NaN where frames are not counts."""
    return np.asarray(np.divide(variance, total, out=np.full(len(total), np.nan), where=total > 0))


def _fit_region(values: Doubles, good: kernels.Bools | None, per_count: Doubles, region: Region) -> Fit:
    n_frames, n_rows, n_columns = values.shape
    y = np.repeat(np.arange(n_rows, dtype=np.float64), n_columns) + region.origin[0]
    x = np.tile(np.arange(n_columns, dtype=np.float64), n_rows) + region.origin[1]
    model = gaussian_2d(y, x)
    flat = values.reshape(n_frames, -1)
    bad = None if good is None else ~good.reshape(n_frames, -1)
    start = _start(values, region)
    if np.isnan(per_count).any():
        even = np.ones_like(flat) if bad is None else np.where(bad, np.inf, 1.0)
        found = fit(model, flat, even, start)
        free = np.isfinite(even).sum(axis=1) - start.shape[1]
        scatter = found.chi_square / np.maximum(free, 1)
        return Fit(found.parameters, found.covariance * scatter[:, None, None], found.chi_square, found.arrived)
    counts = flat if bad is None else np.where(bad, np.nan, flat)
    variance = np.maximum(flat, 0) * per_count[:, None]
    return counted_fit(model, counts, variance, per_count, start)


def _start(values: Doubles, region: Region) -> Doubles:
    """Start values from the profiles above the level of the edge."""
    border = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    level = border.mean(axis=1)
    net = values - level[:, None, None]
    along_y, along_x = kernels.profiles(np.ascontiguousarray(net))
    total = np.maximum(net.sum(axis=(1, 2)), 1e-12 + 1e-3 * np.abs(values).sum(axis=(1, 2)))
    places, widths = [], []
    for profile, first in ((along_y, region.origin[0]), (along_x, region.origin[1])):
        soft = kernels.running_mean(profile, 3)
        top = np.maximum(soft.max(axis=1), 1e-12)
        widths.append(np.clip(np.maximum(profile, 0).sum(axis=1) / top, 2, 0.7 * profile.shape[1]))
        places.append(soft.argmax(axis=1) + first)
    height = total * 4 * np.log(2) / np.pi / (widths[0] * widths[1])
    return np.stack([height, *places, *widths, np.zeros(len(values)), level], axis=1)


def _sensible(found: Fit, region: Region) -> kernels.Bools:
    """Fits that arrived at a spot which the ROI shows."""
    p = found.parameters
    p[:, 3:5] = np.abs(p[:, 3:5])
    rows, columns = (region.box[axis][1] - region.box[axis][0] for axis in range(2))
    (top, left), errors = region.origin, np.sqrt(np.maximum(np.einsum("naa->na", found.covariance), 0))
    with np.errstate(invalid="ignore"):
        there = (p[:, 1] >= top) & (p[:, 1] <= top + rows - 1) & (p[:, 2] >= left) & (p[:, 2] <= left + columns - 1)
        wide = (p[:, 3] > 0.3) & (p[:, 3] < 3 * rows) & (p[:, 4] > 0.3) & (p[:, 4] < 3 * columns)
        good = found.arrived & there & wide & (np.abs(p[:, 5]) < 1) & (p[:, 0] > SIGNIFICANT * errors[:, 0])
    return np.asarray(good)


def _named(packed: xr.DataArray, units: str) -> xr.Dataset:
    """One variable per parameter, with units and errors."""
    number = len(NAMES)
    own = {"height": units, "level": units, "tilt": "1"}
    result = xr.Dataset()
    for place, name in enumerate(NAMES):
        attrs = {"units": own.get(name, PIXEL), "long_name": f"{name} of the fitted spot"}
        result[name] = packed.isel(column=place).assign_attrs(attrs)
        error = packed.isel(column=number + place * (number + 1)) ** 0.5
        result[f"{name}_errors"] = error.assign_attrs(attrs | {"long_name": f"standard error of the {name}"})
    covariance = packed.isel(column=slice(number, -1)).rename(column="parameter_")
    rows = [covariance.isel(parameter_=slice(place * number, (place + 1) * number)) for place in range(number)]
    stacked = xr.concat(rows, dim="parameter", join="exact", coords="minimal", compat="override")
    stacked = stacked.assign_coords(parameter=list(NAMES), parameter_=list(NAMES))
    result["covariance"] = stacked.transpose("time", "roi", "parameter", "parameter_")
    result["volume"], result["volume_errors"] = _volume(result, units)
    failed = (packed.isel(column=-1) == 0).astype(np.int32) * np.int32(Quality.FIT_FAILED)
    result["quality"] = failed.assign_attrs(flag_attributes(Quality))
    return result


def _volume(found: xr.Dataset, units: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return what a spot sums up to: ``pi / (4 ln 2) height fwhm_y fwhm_x sqrt(1 - tilt^2)``, and its error."""
    rest = 1 - found["tilt"] ** 2
    volume = np.pi / (4 * np.log(2)) * found["height"] * found["fwhm_y"] * found["fwhm_x"] * rest**0.5
    slopes = {name: volume / found[name] for name in ("height", "fwhm_y", "fwhm_x")}
    slopes["tilt"] = -volume * found["tilt"] / rest
    variance = volume * 0.0
    for one, along_one in slopes.items():
        for other, along_other in slopes.items():
            shared = found["covariance"].sel(parameter=one, parameter_=other, drop=True)
            variance = variance + along_one * along_other * shared
    attrs = {"units": units, "long_name": "sum of the fitted spot"}
    return volume.assign_attrs(attrs), (variance**0.5).assign_attrs(attrs | {"long_name": "standard error of the sum"})
