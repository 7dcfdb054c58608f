"""Frames of a folder averaged: a flat field, or the image that a correction subtracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import LayoutError, warn
from xinsitu.kernels import invalid_pixels, median2d
from xinsitu.schema import APPLIED, COUNTS, FIRST_FRAME, RATIO, FrameStatus, describe

from .discover import first_frame, sample_and_measurement
from .formats.stack import LazyStack
from .gather import Gathered
from .instruments import Instrument

_BLOCK = 50
_NEAR = 3
"""Pixels across over which a flat field is smoothed before it is looked at."""
_SPOT, _EMPTY = 10.0, 0.1
"""Times the median of the smoothed pixels, or of so many counts per frame, that no uniform illumination has."""
_TIMES = (FrameStatus.OK, FrameStatus.STALE_TIME, FrameStatus.NO_STAMP, FrameStatus.DOUBTFUL_TIME)
"""States in which a frame has its pixels."""


OF_THE_FRAMES = ("source", "source_token", "detector", "detector_serial", "threshold_energy", "flat_field")
"""What a mean says of the frames that it is of: attributes of their measurement."""


@dataclass(frozen=True)
class Averaged:
    """Frames of which the mean is taken.

    Parameters
    ----------
    path, stack
        Where they lie, and their pixels.
    kept
        Positions of those that have pixels.
    flips
        How pixels are turned to lie as the frames of a measurement do.
    places
        Coordinates of rows and columns.
    stored
        What the detector wrote, which decides which numbers are codes.
    counts
        Whether they are whole numbers, as counted.
    exposure
        Mean exposure in seconds; NaN where a frame does not say it.
    attributes
        What is known of them: units, source, detector.
    first
        What tells them from all others: see :func:`~xinsitu.io.discover.first_frame`.
    """

    path: str
    stack: LazyStack
    kept: npt.NDArray[np.int64]
    flips: Mapping[str, slice]
    places: Mapping[str, npt.NDArray[np.int64]]
    stored: np.dtype[Any]
    counts: bool
    exposure: float
    attributes: Mapping[str, Any]
    first: frozenset[str]


def gathered_frames(path: str, gathered: Gathered, instrument: Instrument) -> Averaged:
    """Frames as a detector wrote them."""
    stack, (detector, serial) = gathered.stack, gathered.first.detector
    exposures = [np.nan if one is None else one.text.exposure_time or np.nan for one in gathered.headers]
    source, text = "/".join(sample_and_measurement(path)), gathered.first.text
    told = {
        "source": source,
        "source_token": stack.token,
        "detector": detector or None,
        "detector_serial": serial,
        "threshold_energy": text.threshold_energy,
        "flat_field": text.flat_field,
        APPLIED: gathered.image_attributes.get(APPLIED),
    }
    stamp = gathered.headers[0].stamp if gathered.headers[0] else ""
    return Averaged(
        path=path, stack=stack, kept=np.arange(len(stack.names)), flips=instrument.flips,
        places={dim: gathered.origin[axis] + np.arange(size) for axis, (dim, size) in enumerate(_sizes(stack))},
        stored=stack.stored, counts=stack.stored.kind != "f", exposure=_mean_exposure(np.array(exposures)),
        attributes=told,
        first=first_frame(path, stack.names[0], source, int(gathered.frame[0]), stamp),
    )  # fmt: skip


def written_frames(frames: xr.Dataset, stack: LazyStack) -> Averaged:
    """Frames that xinsitu has written: they say themselves which pixels these are, and how long they were exposed."""
    image, path = frames["image"], str(frames["image"].encoding["source"])
    exposures = frames["exposure_time"].values if "exposure_time" in frames.coords else np.nan
    units = str(image.attrs.get("units", COUNTS))
    told = {name: frames.attrs.get(name) for name in OF_THE_FRAMES} | {
        "units": units,
        APPLIED: image.attrs.get(APPLIED),
    }
    stored = np.dtype(str(image.attrs.get("stored_dtype", stack.stored.str)))
    status = frames["frame_status"].values if "frame_status" in frames.coords else np.zeros(stack.shape[0])
    return Averaged(
        path=path, stack=stack, kept=np.flatnonzero(np.isin(status, _TIMES)), flips={},
        places={dim: frames[dim].values for dim, _ in _sizes(stack)},
        stored=stored, counts=stored.kind != "f" and units == COUNTS, exposure=_mean_exposure(np.asarray(exposures)),
        attributes=told, first=image.encoding[FIRST_FRAME],
    )  # fmt: skip


def _sizes(stack: LazyStack) -> tuple[tuple[str, int], ...]:
    return ("y", stack.frame_shape[0]), ("x", stack.frame_shape[1])


def _mean_exposure(seconds: npt.NDArray[np.float64]) -> float:
    """Of dark counts that grow with time the mean is that of the mean exposure."""
    return float(seconds.flat[0] if len(np.unique(seconds)) == 1 else np.mean(seconds))


def flat_of(frames: Averaged) -> xr.DataArray:
    """Mean of the frames divided by its own mean, ``(y, x)`` float64.

    Raises
    ------
    LayoutError
        The illumination is zero.
    """
    mean = _mean(frames)
    level = float(np.nanmean(mean)) if np.isfinite(mean).any() else 0.0
    if not level > 0:
        raise LayoutError(f"{frames.path}: a flat field with a mean of {level:g} cannot divide anything")
    _warn_of_spot(frames.path, mean)
    known = {
        "units": "1",
        "long_name": "flat field",
        "n_frames": len(frames.kept),
        "mean_counts": level,
        "total_counts": level * len(frames.kept) if frames.counts else None,
        **{name: value for name, value in frames.attributes.items() if name not in ("units", APPLIED)},
    }
    return _labelled(mean / level, frames, known).rename("flatfield")


def _warn_of_spot(path: str, mean: npt.NDArray[np.float64]) -> None:
    """Say where frames that are taken for a flat field look like a measurement: given the wrong way round."""
    if min(mean.shape) < _NEAR:
        return
    from scipy.ndimage import uniform_filter

    cleaned = median2d(np.nan_to_num(mean)[None], _NEAR, dtype=np.float64)[0]  # no hot pixel is a spot
    near = uniform_filter(cleaned, _NEAR)
    usual, at = float(np.median(near)), np.unravel_index(int(near.argmax()), near.shape)
    if near[at] > _SPOT * max(usual, _EMPTY):
        many = f"{near[at] / usual:.0f} times as bright as the median" if usual > _EMPTY else "on dark ground"
        warn(
            f"{path}: is taken for a flat field and holds a spot at y {at[0]}, x {at[1]}, {many}; "
            "the measurement comes first, its flat field second"
        )


def image_of(frames: Averaged) -> xr.DataArray:
    """Mean of the frames, ``(y, x)`` float64, with what a correction has to know of it.

    Raises
    ------
    LayoutError
        The frames were divided by a background of their own: what they hold is subtracted from no counts.
    """
    if "background" in str(frames.attributes.get(APPLIED) or "").split() and frames.attributes["units"] == RATIO:
        raise LayoutError(
            f"{frames.path}: holds frames that were divided by their background, and a dark or background image is in "
            "counts; give the frames of the detector"
        )
    known = {
        "units": COUNTS,
        "long_name": "mean of frames",
        "n_frames": len(frames.kept) if frames.counts else None,
        "exposure_time": frames.exposure if np.isfinite(frames.exposure) else None,
        **{name: value for name, value in frames.attributes.items() if name != "flat_field"},
    }
    return _labelled(_mean(frames), frames, known).rename("image")


def _labelled(values: npt.NDArray[np.float64], frames: Averaged, known: Mapping[str, Any]) -> xr.DataArray:
    """Pixels with their coordinates, and with what is known of the frames."""
    image = xr.DataArray(values, dims=("y", "x")).isel(frames.flips)
    image = image.assign_coords({dim: (dim, places) for dim, places in frames.places.items()})
    for axis in ("y", "x"):
        image = image.assign_coords({axis: describe(image[axis], axis)})
    image.attrs = {name: value for name, value in known.items() if value is not None}
    image.encoding["source"] = frames.path
    image.encoding[FIRST_FRAME] = frames.first
    return image


def _mean(frames: Averaged) -> npt.NDArray[np.float64]:
    """Mean over all frames, exact for integers; NaN where a frame holds a negative flag."""
    stack = frames.stack
    total = np.zeros(stack.frame_shape, dtype="float64" if stack.dtype.kind == "f" else "int64")
    flagged = np.zeros(stack.frame_shape, dtype=bool)
    for start in range(0, len(frames.kept), _BLOCK):
        block = stack.read((frames.kept[start : start + _BLOCK], slice(None), slice(None)))
        total += block.sum(axis=0, dtype=total.dtype)
        bad = invalid_pixels(block, frames.stored)
        flagged |= False if bad is None else bad.any(axis=0)
    if not len(frames.kept):
        raise LayoutError(f"{frames.path}: holds no frame that could be read, of which to take the mean")
    return np.where(flagged, np.nan, total / len(frames.kept))
