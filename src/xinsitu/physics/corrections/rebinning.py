"""Several frames summed to one, with everything that is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import SchemaError, warn
from xinsitu.physics.blocks import block_function, in_blocks
from xinsitu.schema import COUNTS, FrameStatus, image_of
from xinsitu.variables import Counted, Frames, holds_counts

from .plan import STORED_DTYPE, stored_dtype


def rebin(data: xr.Dataset, *, time: int) -> xr.Dataset:
    """Sum each ``time`` successive frames to one; lazy where the frames are.

    Parameters
    ----------
    data
        A measurement with ``image (time, y, x)``.
    time
        How many frames become one; frames that are left at the end are left out, which is said.

    Returns
    -------
    Dataset
        ``image``: float64 sums, still counts if the frames were; NaN where a pixel says nothing in any of the frames. A
        pixel that is saturated in one frame is put at the cut-off of the sum, ``time`` times that of one. Exposure
        times and counters in ``counts`` are summed, other numbers averaged; ``time_bounds`` run from the first to the
        last; ``time``, numbers and texts are those of the first frame, ``frame_status`` is the worst.

    Raises
    ------
    SchemaError
        ``time`` is no whole number from 1 to the number of frames.

    Examples
    --------
    >>> frames = xr.Dataset({"image": (("time", "y", "x"), np.full((5, 1, 2), 3), {"units": "counts"})})
    >>> rebin(frames.isel(time=slice(4)), time=2).image.values.tolist()
    [[[6.0, 6.0]], [[6.0, 6.0]]]
    """
    image = image_of(data)
    if isinstance(time, bool) or not isinstance(time, int | np.integer) or not 1 <= time <= image.sizes["time"]:
        raise SchemaError(f"time must be a number of frames from 1 to {image.sizes['time']}, not {time!r}")
    number = image.sizes["time"] // time
    if rest := image.sizes["time"] - number * time:
        warn(f"rebin: the last {rest} of {image.sizes['time']} frames do not make {time} and are left out")
    part = data.isel(time=slice(number * time))
    image = in_blocks(image.isel(time=slice(number * time)))
    cutoff = image.attrs.get("count_cutoff", data.attrs.get("count_cutoff"))
    summed = _sums(image, time, None if cutoff is None else float(cutoff))
    attrs = {name: value for name, value in image.attrs.items() if name != STORED_DTYPE}
    result = xr.Dataset(
        coords={name: _joined(str(name), one.variable, number, time) for name, one in part.coords.items()},
        attrs=dict(data.attrs),
    )
    if cutoff is not None:
        attrs["count_cutoff"] = result.attrs["count_cutoff"] = float(cutoff) * time
    others = {
        name: _joined(str(name), one.variable, number, time) for name, one in part.data_vars.items() if name != "image"
    }
    kind = Counted if holds_counts(image) else Frames
    return result.assign({**others, "image": kind(("time", "y", "x"), summed, attrs)})


def _sums(image: xr.DataArray, time: int, cutoff: float | None) -> Any:  # noqa: ANN401 - NumPy or dask
    told: dict[str, Any] = {"time": time, "stored": stored_dtype(image), "cutoff": cutoff}
    if image.chunks is None:
        return _sum_block(image.values, **told)
    step = max(1, image.chunks[0][0] // time) * time
    lazy = image.data.rechunk({0: step})
    chunks = tuple(size // time for size in lazy.chunks[0])
    return lazy.map_blocks(_sum_block, **told, dtype=np.float64, chunks=(chunks, *lazy.chunks[1:]))


@block_function
def _sum_block(frames: kernels.Frames, *, time: int, stored: np.dtype[Any] | None, cutoff: float | None) -> Any:  # noqa: ANN401
    """Sum each ``time`` frames; lost frames make a lost sum."""
    values = kernels.as_floats(frames, np.float64, kernels.invalid_pixels(frames, stored))
    groups = values.reshape(len(frames) // time, time, *frames.shape[1:])
    result = groups.sum(axis=1)
    if cutoff is not None:
        result[(groups >= cutoff).any(axis=1)] = cutoff * time
    for why in (kernels.UNREAD, kernels.DARK):
        gone = kernels.marked(frames, why).reshape(len(result), time).any(axis=1)
        result[gone] = kernels.lost(np.float64, why)
    return result


def _joined(name: str, variable: xr.Variable, number: int, time: int) -> xr.Variable:
    """One value for each group of frames."""
    if "time" not in variable.dims:
        return variable * time if name == "exposure_time" else variable
    groups = variable.transpose("time", ...).to_base_variable()
    values = np.asarray(groups.values).reshape(number, time, *groups.shape[1:])
    if name == "time_bounds":
        found = np.stack([values[:, 0, 0], values[:, -1, 1]], axis=1)
    elif name == "exposure_time" or (groups.attrs.get("units") == COUNTS and values.dtype.kind in "iuf"):
        found = values.sum(axis=1)
    elif name == "frame_status":
        ok = values == FrameStatus.OK
        found = np.where(ok.all(axis=1), values[:, 0], np.take_along_axis(values, ok.argmin(axis=1)[:, None], 1)[:, 0])
    elif values.dtype.kind == "f":
        found = values.mean(axis=1)
    else:
        found = values[:, 0]
    return xr.Variable(groups.dims, found, groups.attrs, groups.encoding)
