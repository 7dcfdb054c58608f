"""A flat field from the frames of a uniform illumination."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import LayoutError
from xinsitu.kernels import invalid_pixels
from xinsitu.schema import describe

from .discover import sample_and_measurement
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .gather import Gathered
from .instruments import Instrument

_FLAT_BLOCK = 50


def flat_of(path: str, gathered: Gathered, instrument: Instrument) -> xr.DataArray:
    """Mean of the frames divided by its own mean, ``(y, x)`` float64.

    Raises
    ------
    LayoutError
        The illumination is zero.
    """
    mean = _mean(gathered.stack)
    level = float(np.nanmean(mean)) if np.isfinite(mean).any() else 0.0
    if not level > 0:
        raise LayoutError(f"{path}: a flat field with a mean of {level:g} cannot divide anything")
    rows, columns = gathered.stack.frame_shape
    flat = xr.DataArray(mean / level, dims=("y", "x")).isel(instrument.flips)
    flat = flat.assign_coords(y=np.arange(rows), x=np.arange(columns))
    return _described(flat, path, gathered, level)


def _described(flat: xr.DataArray, folder: str, gathered: Gathered, level: float) -> xr.DataArray:
    for axis in ("y", "x"):
        flat = flat.assign_coords({axis: describe(flat[axis], axis)})
    detector, serial = gathered.first.detector
    text = gathered.first.text
    known = {
        "units": "1",
        "long_name": "flat field",
        "source": "/".join(sample_and_measurement(folder)),
        "source_token": gathered.stack.token,
        "n_frames": len(gathered.stack.names),
        "mean_counts": level,
        "total_counts": None if gathered.stack.stored.kind == "f" else level * len(gathered.stack.names),
        "detector": detector or None,
        "detector_serial": serial,
        "threshold_energy": text.threshold_energy,
        "flat_field": text.flat_field,
    }
    flat.attrs = {name: value for name, value in known.items() if value is not None}
    flat.encoding["source"] = folder
    return flat.rename("flatfield")


def _mean(stack: FrameStack | Hdf5Stack) -> npt.NDArray[np.float64]:
    """Mean over all frames, exact for integers; NaN where a frame holds a negative flag."""
    total = np.zeros(stack.frame_shape, dtype="float64" if stack.dtype.kind == "f" else "int64")
    flagged = np.zeros(stack.frame_shape, dtype=bool)
    for start in range(0, len(stack.names), _FLAT_BLOCK):
        block = stack.read((slice(start, start + _FLAT_BLOCK), slice(None), slice(None)))
        total += block.sum(axis=0, dtype=total.dtype)
        bad = invalid_pixels(block, stack.stored)
        flagged |= False if bad is None else bad.any(axis=0)
    return np.where(flagged, np.nan, total / len(stack.names))
