"""What is measured of rotated ROIs on axes of their own, across and along."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from xinsitu.schema import attributes_of
from xinsitu.values import RoiSet

from .packed_numbers import Columns

OWN = {"across": "y", "along": "x"}
"""The axes of a rotated ROI, and those in whose place they are measured."""


def on_own_axes(
    packed: Any,  # noqa: ANN401 - NumPy or dask
    rois: RoiSet,
    columns: Columns,
) -> dict[str, xr.Variable]:
    """Return positions and widths ``(time, roi)`` on the ROIs' own axes, NaN where a ROI has none.

    ``packed`` are the numbers of those that have some, in their order.
    """
    if not packed.shape[1]:
        return {}
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
