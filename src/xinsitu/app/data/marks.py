"""Frames that are the same by their marks: what is known of one stays known, wherever it stands among others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.variables import held_elsewhere

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
    """Return some frames of a stack, whose places rise; of a lazy one nothing else is read.

    Examples
    --------
    >>> stack = xr.DataArray(da.arange(24).reshape(6, 2, 2), dims=("time", "y", "x"))
    >>> taken(stack, np.array([1, 2, 5]))[:, 0, 0].values.tolist()
    [4, 8, 20]
    """
    some, pixels = image.isel(time=places), image.data
    if not isinstance(pixels, da.Array):
        return some
    parts = [pixels[run] for run in runs(places)]
    return held_elsewhere(some, da.concatenate(parts).rechunk({0: max(CHUNK, pixels.chunksize[0])}))


def runs(places: Marks) -> Iterator[slice]:
    """Give places that rise as runs of neighbours.

    Examples
    --------
    >>> list(runs(np.array([1, 2, 5])))
    [slice(1, 3, None), slice(5, 6, None)]
    """
    cuts = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
    for first, behind in pairwise(cuts):
        if behind > first:
            yield slice(int(places[first]), int(places[behind - 1]) + 1)
