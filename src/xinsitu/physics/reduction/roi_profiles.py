"""Profiles of a ROI in time (kymographs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import RoiError, SchemaError
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import Plan, block_function, over_blocks
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.plan import units_after
from xinsitu.schema import PIXEL, image_of
from xinsitu.values import OWN_EDGE, Bounds, Roi, RoiSet

from .frame_statistics import statistics
from .own_axes import OWN_AXES, Along, own_axis
from .profile_bins import net_profile, placed
from .regions import Measurements, alike
from .roi_backgrounds import under
from .roi_plan import Fitted, fitted, hull, turned_region
from .roi_sums import sums_of


def profiles(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    *,
    along: Along = "y",
    rois: RoiSet | None = None,
    correction: Correction | None = None,
) -> xr.DataArray:
    """Profile of a ROI in every frame: the sum over the other axis, less the ROI's background; lazy where frames are.

    A ROI that moves is followed; the axis is that of the detector, so that a kymograph shows how the spot moves.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    roi
        Where; what it names as ``background`` is taken off.
    along
        The axis that is kept: ``y``, ``x`` of the detector; ``across``, ``along`` of a rotated box; ``radius``,
        ``azimuth`` of a sector.
    rois
        Where ``roi.background`` names other ROIs: the set that has them.
    correction
        What to do to the frames first.

    Returns
    -------
    DataArray
        ``profile (time, along)`` on all detector pixels that the ROI ever covers, in units of the corrected image; NaN
        where it is not in a frame. Pixels of the ROI that say nothing count as zero. On an axis of the ROI's own the
        coordinate is that: pixels from its middle across and along a rotated box, pixels from the centre and degrees of
        a sector, in bins one pixel wide; a pixel is shared by the two bins that its centre lies between.

    Raises
    ------
    RoiError
        The ROI does not lie in the image, has no such axis, or names a background that is not there.

    Examples
    --------
    >>> frames = xr.DataArray(np.arange(6).reshape(1, 2, 3), dims=("time", "y", "x"))
    >>> profiles(frames, Roi("a", y=(0, 2), x=(1, 3)), along="x").values.tolist()
    [[5.0, 7.0]]
    """
    (found,) = profiles_along(data, roi, (along,), rois=rois, correction=correction)
    return found


def profiles_along(
    data: xr.Dataset | xr.DataArray,
    roi: Roi,
    axes: Sequence[Along],
    *,
    rois: RoiSet | None = None,
    correction: Correction | None = None,
) -> tuple[xr.DataArray, ...]:
    """:func:`profiles` along several axes, planned once."""
    for along in axes:
        if along not in get_args(Along):
            raise SchemaError(f"a profile runs along one of {', '.join(get_args(Along))}, not {along!r}")
    image = image_of(data)
    names = [name for name in roi.background if name not in OWN_EDGE]
    if names and rois is None:
        raise RoiError(
            f"ROI {roi.name!r} has its background in {', '.join(names)}: give the set that has them as rois="
        )
    known = () if rois is None else rois.names
    others = [replace(rois[name], background=()) for name in names if rois is not None and name in known]
    told = fitted(data, RoiSet([roi, *(other for other in others if other.name != roi.name)]), correction)
    coords: dict[Any, Any] = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    attrs = {"units": units_after(image, correction), "long_name": f"profile of {roi.name}"}
    return tuple(_along(image, roi, told, along).assign_coords(coords).assign_attrs(attrs) for along in axes)


def _along(image: xr.DataArray, roi: Roi, told: Fitted, along: Along) -> xr.DataArray:
    """Sum over the other axis, with the places on this one."""
    if along in OWN_AXES:
        places = own_axis(roi, along)
        regions = (turned_region(told.plan.regions[0], told.rois[0]), *told.plan.regions[1:])
        plan = ProfilePlan(replace(told.plan, regions=regions), OWN_AXES[along].axis, (0, places.size))
    else:
        bounds = hull(told.rois[0], told.boxes)[0 if along == "y" else 1]
        kept = image[along].attrs if along in image.coords else {"units": PIXEL}
        places = xr.DataArray(np.arange(*bounds), dims=along, attrs=kept)
        plan = ProfilePlan(told.plan, along, bounds)
    values = over_blocks(
        profile_block, told.image, told.per_frame, plan, tail=(1, places.size), dtype=np.float64, shared=told.shared
    )
    return xr.DataArray(values[:, 0], dims=("time", along), coords={along: places}, name="profile")


@dataclass(frozen=True, eq=False)
class ProfilePlan(Plan):
    """ROIs of which the first one's profile is wanted, on the pixels, or its own bins, between bounds."""

    measurements: Measurements
    along: str
    bounds: Bounds


@block_function
def profile_block(
    raw: kernels.Frames, per_frame: Doubles, *, plan: ProfilePlan, shared: float | None = None
) -> Doubles:
    """Profile in each frame of a block, ``(frame, 1, bin)``."""
    told = plan.measurements
    rows, result = statistics(raw, per_frame, told, shared), np.empty((len(raw), 1, plan.bounds[1] - plan.bounds[0]))
    for some, here in alike(per_frame, told):
        _, sums = sums_of(rows[some], told.layout, per_frame[some], here, shared)
        region = here.regions[0]
        below = under(sums[0], region.under, [sums[number] for number in region.background])
        first = plan.bounds[0] if region.own_axes else region.origin[0 if plan.along == "y" else 1]
        result[some, 0] = placed(net_profile(sums[0], below, plan.along), first, plan.bounds)
    return result
