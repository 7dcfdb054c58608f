"""Axes of ROIs' own: across and along a rotated box, radius and azimuth of a sector; and what is measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr

from xinsitu.errors import RoiError
from xinsitu.schema import PIXEL, attributes_of
from xinsitu.values import Roi, RoiSet, Rotated, Sector

from .packed_numbers import Columns
from .region_pixels import steps_of

OWN = {"across": "y", "along": "x"}
"""The axes of a rotated ROI, and those in whose place they are measured."""


@dataclass(frozen=True)
class OwnAxis:
    """An axis of ROIs of a shape, the detector's axis in whose place profiles run along it, and its unit."""

    shape: type[Rotated | Sector]
    axis: str
    units: str
    meaning: str


Along = Literal["y", "x", "across", "along", "radius", "azimuth"]
OWN_AXES: Mapping[Along, OwnAxis] = {
    "across": OwnAxis(Rotated, "y", PIXEL, "distance from the middle across the ROI"),
    "along": OwnAxis(Rotated, "x", PIXEL, "distance from the middle along the ROI"),
    "radius": OwnAxis(Sector, "y", PIXEL, "distance from the centre of the sector"),
    "azimuth": OwnAxis(Sector, "x", "degree", "angle from x towards y about the centre of the sector"),
}
"""By the names of the dims that profiles have then."""


def own_name(roi: Roi, axis: str) -> Along | Literal[""]:
    """Return which of its own axes a ROI has in place of one of the detector's; empty where it has none.

    Examples
    --------
    >>> own_name(Roi("a", geometry=Rotated((20, 30), (4, 10), 15)), "y"), own_name(Roi("b", (1, 3), (2, 4)), "y")
    ('across', '')
    """
    shape = roi.geometry
    return next((name for name, own in OWN_AXES.items() if own.axis == axis and isinstance(shape, own.shape)), "")


def own_axis(roi: Roi, name: Along) -> xr.DataArray:
    """Return the middles of the bins of a ROI's own axis.

    Raises
    ------
    RoiError
        It has no such axis.

    Examples
    --------
    >>> own_axis(Roi("a", geometry=Rotated((20, 30), (4, 10), 15)), "across").values.tolist()
    [-1.5, -0.5, 0.5, 1.5]
    """
    axis, shape = OWN_AXES[name], roi.geometry
    if not isinstance(shape, axis.shape):
        raise RoiError(f"ROI {roi.name!r} has no axis {name!r}: a shape of kind {axis.shape.kind!r} has one")
    bins, step = steps_of(roi)["yx".index(axis.axis)]
    middle = 0.0
    if isinstance(shape, Sector):
        middle = 0.5 * sum(shape.radius if name == "radius" else shape.angle)
    places = middle + step * (np.arange(bins) - 0.5 * (bins - 1))
    return xr.DataArray(places, dims=name, attrs={"units": axis.units, "long_name": axis.meaning})


def on_own_axes(
    packed: Any,  # noqa: ANN401 - NumPy or dask
    rois: RoiSet,
    columns: Columns,
) -> dict[str, xr.Variable]:
    """Return positions and widths ``(time, roi)`` on the ROIs' own axes, NaN where a ROI has none.

    ``packed`` are the numbers of those that have some, in their order.
    """
    with_axes = [number for number, roi in enumerate(rois) if roi.has_own_axes]
    source = np.full(len(rois), packed.shape[1])
    source[with_axes] = np.arange(packed.shape[1])
    library = da if isinstance(packed, da.Array) else np
    found = {}
    for quantity in ("com", "fwhm"):
        for own, axis in OWN.items():
            for end in ("", "_errors"):
                values = packed[:, :, columns.place[f"{quantity}_{axis}{end}"]]
                padded = library.concatenate([values, library.full_like(values[:, :1], np.nan)], axis=1)
                name = f"{quantity}_{own}{end}"
                found[name] = xr.Variable(("time", "roi"), padded[:, source], attributes_of(name))
    return found
