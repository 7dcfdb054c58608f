"""Frames that are the same by their marks: what is known of one stays known, wherever it stands among others."""

from __future__ import annotations

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.physics.stored import Stored
from xinsitu.variables import held_elsewhere

from .tiles import Ordered

Marks = npt.NDArray[np.int64]
"""A number for each frame, which no other frame has and the same frame keeps."""
CHUNK = 50
"""Frames in one piece at least."""


def places_of(marks: Marks, among: Marks) -> Marks:
    """Return where frames stand among others, -1 where they do not.

    Examples
    --------
    >>> places_of(np.array([4, 9, 5]), np.array([5, 4, 7])).tolist()
    [1, -1, 0]
    """
    if not len(among):
        return np.full(len(marks), -1)
    order = np.argsort(among)
    at = order[np.searchsorted(among, marks, sorter=order).clip(0, len(among) - 1)]
    return np.where(among[at] == marks, at, -1)


def taken(image: xr.DataArray, places: Marks) -> xr.DataArray:
    """Return some frames of a stack; of one in pieces the others cost nothing, and what goes with time stays behind.

    Examples
    --------
    >>> from xinsitu.app.data.tiles import Blocks
    >>> frames = Blocks([np.arange(24).reshape(6, 2, 2)])
    >>> stack = xr.DataArray(da.from_array(frames, chunks=(2, -1, -1)), dims=("time", "y", "x"))
    >>> taken(stack[:, 1:], np.array([1, 2, 5]))[:, 0, 0].values.tolist()
    [6, 10, 22]
    """
    stored = Stored.behind(image) if isinstance(image.data, da.Array) else None
    if stored is None or not isinstance(stored.array, Ordered):
        return image.isel(time=places)
    some = stored.array.some(stored.frames[places])
    lazy = da.from_array(
        some, chunks=(max(CHUNK, image.data.chunksize[0]), -1, -1), name=False, meta=np.empty((0, 0, 0), some.dtype)
    )[:, stored.rows, stored.columns]
    return held_elsewhere(image.drop_vars([name for name in image.coords if "time" in image[name].dims]), lazy)


def in_common(one: xr.Dataset, other: xr.Dataset) -> int:
    """How many frames, from the first on, are the same by name; times of one second are spread anew as more come."""
    names = [name for name in ("measurement", "scan", "frame") if name in one.coords and name in other.coords]
    size, same = min(one.sizes["time"], other.sizes["time"]), []
    for name in names or ["time"]:  # of a single measurement its name is one for all frames
        mine, its = (np.broadcast_to(of[name].values, of.sizes["time"])[:size] for of in (one, other))
        same.append(mine == its)
    return int(np.argmin([*np.all(same, axis=0), False]))


def leading(which: npt.NDArray[np.bool_]) -> int:
    """How many there are before the first that is none.

    Examples
    --------
    >>> leading(np.array([True, True, False, True])), leading(np.array([True]))
    (2, 1)
    """
    return len(which) if which.all() else int(np.argmin(which))
