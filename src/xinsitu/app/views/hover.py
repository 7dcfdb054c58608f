"""What stands beside the mouse on the image: pixel, value and, if calibrated, the place in reciprocal space."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool

from .channel import code

LARGEST = 200_000
"""Values of a calibration that travel; between those the browser reads linearly."""


def hover_tool(calibration: Mapping[str, xr.DataArray]) -> HoverTool:
    """Return the tool; calibrations are vectors along y or x, or maps ``(y, x)``."""
    maps = {f"map{number}": _grid(array) for number, array in enumerate(calibration.values())}
    lines = [("column, row", "$x{0}, $y{0}"), ("value", "@image{0.[000]}")]
    lines += [(str(array.name), f"$x{{{key}}}") for key, array in zip(maps, calibration.values(), strict=True)]
    return HoverTool(tooltips=lines, formatters={"$x": CustomJSHover(args={"maps": maps}, code=code("hover"))})


def _grid(array: xr.DataArray) -> dict[str, object]:
    """Values of a calibration row by row, and where they are on the detector."""
    step = max(1, int(np.ceil(np.sqrt(array.size / LARGEST)))) if array.ndim == 2 else 1
    full = array.transpose(*(dim for dim in ("y", "x") if dim in array.dims))
    part = full.isel({dim: slice(None, None, step) for dim in full.dims})
    first = {str(dim): float(part[dim].values[0]) for dim in part.dims}
    values = np.asarray(part.values, dtype="float64")
    return {
        "source": ColumnDataSource(data={"values": values.ravel()}),
        "y0": first.get("y", 0.0), "x0": first.get("x", 0.0), "step": step,
        "rows": part.sizes.get("y", 1), "columns": part.sizes.get("x", 1), "units": str(array.attrs.get("units", "")),
    }  # fmt: skip
