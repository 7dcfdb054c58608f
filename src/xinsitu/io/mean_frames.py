"""Frames of a folder averaged: a flat field, or the image that a correction subtracts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import median_filter, uniform_filter

from xinsitu.errors import LayoutError, warn
from xinsitu.kernels import invalid_pixels
from xinsitu.schema import APPLIED, COUNTS, describe

from .discover import sample_and_measurement
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .gather import Gathered
from .instruments import Instrument

_BLOCK = 50
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
    return _described(mean / level, path, gathered, level, instrument)


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


def image_of(path: str, gathered: Gathered, instrument: Instrument) -> xr.DataArray:
    """Mean of the frames, ``(y, x)`` float64, with what a correction has to know of it."""
    exposures = [np.nan if one is None else one.text.exposure_time or np.nan for one in gathered.headers]
    # of dark counts that grow with time the mean is that of the mean exposure
    exposure = float(exposures[0] if len(set(exposures)) == 1 else np.mean(exposures))
    known = {
        "units": COUNTS,
        "long_name": "mean of frames",
        "n_frames": None if gathered.stack.stored.kind == "f" else len(gathered.stack.names),
        "exposure_time": exposure if np.isfinite(exposure) else None,
        **{name: value for name, value in gathered.image_attributes.items() if name == APPLIED},
    }
    return _labelled(_mean(gathered.stack), path, gathered, instrument, known).rename("image")


def _described(
    flat: npt.NDArray[np.float64], path: str, gathered: Gathered, level: float, instrument: Instrument
) -> xr.DataArray:
    floating = gathered.stack.stored.kind == "f"
    known = {
        "units": "1",
        "long_name": "flat field",
        "n_frames": len(gathered.stack.names),
        "mean_counts": level,
        "total_counts": None if floating else level * len(gathered.stack.names),
        "flat_field": gathered.first.text.flat_field,
    }
    return _labelled(flat, path, gathered, instrument, known).rename("flatfield")


def _labelled(
    values: npt.NDArray[np.float64], folder: str, gathered: Gathered, instrument: Instrument, said: dict[str, Any]
) -> xr.DataArray:
    """Pixels with their coordinates, and with what is known of the frames."""
    rows, columns = gathered.stack.frame_shape
    image = xr.DataArray(values, dims=("y", "x")).isel(instrument.flips)
    image = image.assign_coords(y=np.arange(rows), x=np.arange(columns))
    for axis in ("y", "x"):
        image = image.assign_coords({axis: describe(image[axis], axis)})
    detector, serial = gathered.first.detector
    known = {
        **said,
        "source": "/".join(sample_and_measurement(folder)),
        "source_token": gathered.stack.token,
        "detector": detector or None,
        "detector_serial": serial,
        "threshold_energy": gathered.first.text.threshold_energy,
    }
    image.attrs = {name: value for name, value in known.items() if value is not None}
    image.encoding["source"] = folder
    return image


def _mean(stack: FrameStack | Hdf5Stack) -> npt.NDArray[np.float64]:
    """Mean over all frames, exact for integers; NaN where a frame holds a negative flag."""
    total = np.zeros(stack.frame_shape, dtype="float64" if stack.dtype.kind == "f" else "int64")
    flagged = np.zeros(stack.frame_shape, dtype=bool)
    for start in range(0, len(stack.names), _BLOCK):
        block = stack.read((slice(start, start + _BLOCK), slice(None), slice(None)))
        total += block.sum(axis=0, dtype=total.dtype)
        bad = invalid_pixels(block, stack.stored)
        flagged |= False if bad is None else bad.any(axis=0)
    return np.where(flagged, np.nan, total / len(stack.names))
