"""Where the mouse is in reciprocal space: calibrations as the page reads them, see ``js/gestures.js``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource

LARGEST = 200_000
"""Values of a calibration that travel; between those the browser reads linearly."""


_NAMES = {"two_theta": "2θ", "chi": "χ", "exit_angle": "exit angle"}
_UNITS = {"": "", "degree": "°", "1/angstrom": " Å⁻¹"}
"""As they stand behind a number, for the line has no room for words."""


def grids(calibration: Mapping[str, xr.DataArray]) -> dict[str, dict[str, object]]:
    """Return the calibrations by name, vectors along y or x, or maps ``(y, x)``, as plain numbers."""
    return {_NAMES.get(str(array.name), str(array.name)): _grid(array) for array in calibration.values()}


def _grid(array: xr.DataArray) -> dict[str, object]:
    """Values of a calibration row by row, and where they are on the detector."""
    step = max(1, int(np.ceil(np.sqrt(array.size / LARGEST)))) if array.ndim == 2 else 1
    full = array.transpose(*(dim for dim in ("y", "x") if dim in array.dims))
    part = full.isel({dim: slice(None, None, step) for dim in full.dims})
    first = {str(dim): float(part[dim].values[0]) for dim in part.dims}
    values, units = np.asarray(part.values, dtype="float64"), str(array.attrs.get("units", ""))
    return {
        "source": ColumnDataSource(data={"values": values.ravel()}),
        "y0": first.get("y", 0.0), "x0": first.get("x", 0.0), "step": step,
        "rows": part.sizes.get("y", 1), "columns": part.sizes.get("x", 1), "units": _UNITS.get(units, f" {units}"),
        "turn": 360 if array.name == "chi" else 0, "digits": {"q": 5, "two_theta": 5, "chi": 4}.get(str(array.name), 6),
    }  # fmt: skip
