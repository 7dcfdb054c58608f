"""Profiles of a ROI in time (kymographs), line cuts, and the width of any profile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import RoiError, SchemaError
from xinsitu.kernels import Doubles
from xinsitu.schema import PIXEL, image_of
from xinsitu.values import Roi, RoiSet

from .backgrounds import under
from .blocks import in_blocks, over_blocks
from .correction import Correction
from .fitting_rois import fitted
from .planning import units_after
from .regions import Measurements, frames_of, summed

Along = Literal["y", "x"]


def profiles(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    *,
    along: Along = "y",
    rois: RoiSet | None = None,
    correction: Correction | None = None,
) -> xr.DataArray:
    """Profile of a ROI in every frame: the sum over the other axis, less the ROI's background; lazy where frames are.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    roi
        Where; what it names as ``background`` is taken off. The box is its own: a path is not followed.
    along
        The axis that is kept.
    rois
        Where ``roi.background`` names other ROIs: the set that has them.
    correction
        What to do to the frames first.

    Returns
    -------
    DataArray
        ``profile (time, along)`` on detector pixels, in units of the corrected image. Pixels that say nothing count as
        zero.

    Raises
    ------
    RoiError
        The ROI does not lie in the image, or names a background that is not there.

    Examples
    --------
    >>> frames = xr.DataArray(np.arange(6).reshape(1, 2, 3), dims=("time", "y", "x"))
    >>> profiles(frames, Roi("a", y=(0, 2), x=(1, 3)), along="x").values.tolist()
    [[5.0, 7.0]]
    """
    return profiles_with_errors(data, roi, along=along, rois=rois, correction=correction)["profile"]


def profiles_with_errors(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    *,
    along: Along = "y",
    rois: RoiSet | None = None,
    correction: Correction | None = None,
) -> xr.Dataset:
    """Return :func:`profiles` as ``profile`` with ``profile_errors``, the counting errors of single bins.

    ``per_count (time)`` is the variance that one unit of the profile brings. These are NaN where the image is not in
    counts.
    """
    if along not in ("y", "x"):
        raise SchemaError(f"a profile runs along 'y' or 'x', not {along!r}")
    image, roi = in_blocks(image_of(data)), replace(roi, path=None)
    names = [name for name in roi.background if name not in ("edge", "plane")]
    if names and rois is None:
        raise RoiError(
            f"ROI {roi.name!r} has its background in {', '.join(names)}: give the set that has them as rois="
        )
    named = RoiSet(
        [
            roi,
            *(
                [replace(rois[name], path=None, background=()) for name in names if name != roi.name]
                if rois is not None
                else []
            ),
        ]
    )
    fit = fitted(data, image, named, correction)
    n_bins = roi.y[1] - roi.y[0] if along == "y" else roi.x[1] - roi.x[0]
    plan = ProfilePlan(fit.plan, along)
    tail = (3, n_bins)
    values = over_blocks(profile_block, fit.image, fit.per_frame, plan, tail=tail, dtype=np.float64, shared=fit.shared)
    coords = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    first = roi.y[0] if along == "y" else roi.x[0]
    kept = image[along].attrs if along in image.coords else {"units": PIXEL}
    coords[along] = xr.DataArray(np.arange(first, first + n_bins), dims=along, attrs=kept)
    attrs = {"units": units_after(image, correction), "long_name": f"profile of {roi.name}"}
    dims = ("time", along)
    profile = xr.DataArray(values[:, 0], dims=dims, coords=coords, attrs=attrs)
    errors = xr.DataArray(values[:, 1], dims=dims, coords=coords)
    errors.attrs = attrs | {"long_name": f"standard error of the profile of {roi.name}"}
    per_count = xr.DataArray(values[:, 2, 0], dims="time", coords={k: v for k, v in coords.items() if k != along})
    told = xr.Dataset({"profile": profile, "profile_errors": errors, "per_count": per_count})
    told.attrs["counts"] = int(fit.plan.counts)
    return told


@dataclass(frozen=True, eq=False)
class ProfilePlan:
    """ROIs of which the first one's profile is wanted."""

    measurements: Measurements
    along: str

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return hashlib.blake2b(f"{self.measurements.fingerprint} {self.along}".encode(), digest_size=16).hexdigest()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.fingerprint


def profile_block(
    raw: kernels.Frames, per_frame: Doubles, *, plan: ProfilePlan, shared: float | None = None
) -> Doubles:
    """Profile, its errors, and the variance per unit of it (the same for all bins), ``(frame, 3, bin)``."""
    measurements = plan.measurements
    frames = frames_of(raw, per_frame, measurements, shared)
    sums = [summed(frames, region, measurements) for region in measurements.regions]
    own, region = sums[0], measurements.regions[0]
    below = under(own, region.under, [sums[number] for number in region.background])
    pixels = getattr(own, f"pixels_{plan.along}")
    net = getattr(own, plan.along) - getattr(below, plan.along)
    variance = getattr(own, f"bin_variance_{plan.along}") + pixels**2 * below.level_variance[:, None]
    total = np.where(own.total > 0, own.total, np.nan)
    per_count = np.broadcast_to((getattr(own, f"bin_variance_{plan.along}").sum(axis=1) / total)[:, None], net.shape)
    return np.stack([net, np.sqrt(variance), per_count], axis=1)
