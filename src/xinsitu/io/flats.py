"""A flat field from the frames of a uniform illumination."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import median_filter, uniform_filter

from xinsitu.errors import LayoutError, warn
from xinsitu.kernels import invalid_pixels
from xinsitu.schema import describe

from .discover import sample_and_measurement
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .gather import Gathered
from .instruments import Instrument

_FLAT_BLOCK = 50
_NEAR = 3
"""Pixels across over which a flat field is smoothed before it is looked at."""
_SPOT, _EMPTY = 10.0, 0.1
"""Times the median of the smoothed pixels, or of so many counts per frame, that no uniform illumination has."""


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
    _warn_of_spot(path, mean)
    rows, columns = gathered.stack.frame_shape
    flat = xr.DataArray(mean / level, dims=("y", "x")).isel(instrument.flips)
    flat = flat.assign_coords(y=np.arange(rows), x=np.arange(columns))
    return _described(flat, path, gathered, level)


def _warn_of_spot(path: str, mean: npt.NDArray[np.float64]) -> None:
    """Say where frames that are taken for a flat field look like a measurement: given the wrong way round."""
    if min(mean.shape) < _NEAR:
        return
    near = uniform_filter(median_filter(np.nan_to_num(mean), _NEAR), _NEAR)  # no hot pixel is a spot
    usual, at = float(np.median(near)), np.unravel_index(int(near.argmax()), near.shape)
    if near[at] > _SPOT * max(usual, _EMPTY):
        many = f"{near[at] / usual:.0f} times as bright as the median" if usual > _EMPTY else "on dark ground"
        warn(
            f"{path}: is taken for a flat field and holds a spot at y {at[0]}, x {at[1]}, {many}; "
            "the measurement comes first, its flat field second"
        )


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
