"""Opening a folder of frames as a lazy labelled Dataset, a flat field, or a whole sample."""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.ndimage import median_filter, uniform_filter

from xinsitu.errors import LayoutError, SchemaError, XinsituWarning, warn
from xinsitu.kernels import invalid_pixels
from xinsitu.schema import describe
from xinsitu.variables import FROM_READER

from .discover import HDF5_SUFFIXES, look, natural_key, sample_and_measurement, why_none
from .disk import uncollected
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .gather import Gathered
from .instruments import PATTERNS, Instrument
from .opening import gather_source, open_lazily
from .options import NO_ZONE, OpenKeywords, OpenOptions, check_sample, with_options
from .paths import PathOrPaths, hdf5_files, resolve, settled
from .recognition import choose_instrument, instrument_or_generic

Chunks = Mapping[str, Any] | int | str | None


@with_options
def open_measurement(
    path: PathOrPaths,
    *,
    chunks: Chunks = {},  # noqa: B006 - xarray's own default, never changed
    **options: Unpack[OpenKeywords],
) -> xr.Dataset:
    """Open the frames of one measurement; every header is read, no pixel.

    Parameters
    ----------
    path
        Folder of frames; a pattern such as ``"time1/scan_*.cbf"``; a list of files; or one file of several frames.
    chunks
        xarray's keyword: ``{}`` for whole frames, 16 to 32 MiB per chunk; None for a lazy array without dask.
    **options
        How the frames are opened.

    Returns
    -------
    xr.Dataset
        ``image (time, y, x)`` in the stored dtype, lazy, with the coordinates ``time`` (UTC), ``y``, ``x``, ``frame``,
        ``scan``, ``stamp``, ``frame_status``, ``exposure_time``, ``sample`` and ``measurement``.

    Raises
    ------
    LayoutError
        No such folder, no frames in it, or several series.
    FrameError
        A frame is truncated, no image, or unlike the others.
    TimeError
        Stamps go backwards.
    DocumentError, SchemaError
        There is no such instrument; chunks that do not fit. Every wrong keyword is refused in one sentence.

    Examples
    --------
    >>> scan = open_measurement("0884/time1", tz="Asia/Tokyo")     # doctest: +SKIP
    >>> scan.image.sizes                                           # doctest: +SKIP
    Frozen({'time': 720, 'y': 195, 'x': 487})
    """
    with uncollected():
        dataset, stack = open_lazily(path, OpenOptions(**options))
    return dataset if chunks is None else _chunked(dataset, stack, chunks)


def _chunked(dataset: xr.Dataset, stack: FrameStack | Hdf5Stack, chunks: Mapping[str, Any] | int | str) -> xr.Dataset:
    """Return the Dataset with its image in dask chunks."""
    given = chunks
    if isinstance(chunks, Mapping) and (strange := [name for name in chunks if name not in dataset["image"].dims]):
        raise SchemaError(f"chunks={given!r} names {strange[0]!r}; the dimensions are time, y, x")
    if isinstance(chunks, Mapping):
        chunks = {**dict.fromkeys(("time", "y", "x"), -1), **stack.preferred_chunks, **chunks}
    image = dataset["image"].variable
    # named after the files' sizes and times: a persisted chunk of an overwritten frame is never taken for the new one
    name = f"{FROM_READER}{stack.token}-{_digest((chunks, dataset.attrs.get('flipped')))}"
    try:
        chunked = image.chunk(chunks, name=name)
    except (ValueError, TypeError, ArithmeticError, NotImplementedError) as error:
        sizes = " x ".join(map(str, image.shape))
        raise SchemaError(f"chunks={given!r} does not fit {sizes} pixels (time, y, x): {error}") from None
    return dataset.assign(image=chunked)


def _digest(chunks: object) -> str:
    from dask.base import tokenize

    return str(tokenize(chunks))[:12]


def open_flatfield(
    path: PathOrPaths,
    *,
    chunks: Chunks = {},  # noqa: B006 - accepted so that a flat field opens with a measurement's keywords
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "raise",
    time: str = "frame",
    order_error: str = "ignore",
    series: str | None = None,
) -> xr.DataArray:
    """Mean of the frames of a uniform illumination, divided by its own mean.

    Parameters
    ----------
    path
        Folder of frames.
    on_error
        ``raise``; ``skip`` and ``nan`` leave bad frames out of the mean.
    chunks, tz, instrument, time, order_error, series
        As in :func:`open_measurement`; times play no part here.

    Returns
    -------
    xr.DataArray
        ``flatfield (y, x)``, float64, in memory, unfiltered. Pixels that the detector flagged in any frame (negative,
        or the twin of that in an unsigned type) are NaN.

    Raises
    ------
    LayoutError, FrameError
        As in :func:`open_measurement`; or the illumination is zero.

    Examples
    --------
    >>> flat = open_flatfield("flatfield1")     # doctest: +SKIP
    >>> float(flat.mean())                      # doctest: +SKIP
    1.0
    """
    opening = OpenOptions(
        tz=tz, instrument=instrument, on_error=on_error, time=time, order_error=order_error, series=series
    )
    path = settled(path)
    table = choose_instrument(opening.instrument, path).table
    source = resolve(path, table.patterns, series)
    gathered = gather_source(source, on_error="raise" if on_error == "raise" else "skip")
    return flat_of(source.path, gathered, table)


def open_sample(
    path: str | os.PathLike[str],
    *,
    include: str = "*",
    exclude: str = "test*",
    chunks: Chunks = {},  # noqa: B006 - xarray's own default, never changed
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "raise",
    time: str = "auto",
    order_error: str = "raise",
    logs: str | None = "auto",
) -> xr.DataTree:
    """Open every measurement of a sample.

    Parameters
    ----------
    path
        Folder that holds one folder per measurement.
    include, exclude
        Shell patterns for their names; several are separated by commas.
    chunks, tz, instrument, on_error, time, order_error, logs
        As in :func:`open_measurement`.

    Returns
    -------
    xr.DataTree
        One node per measurement, in natural order. The root's attributes are ``sample`` and ``left_out``: the names
        beside the measurements that were not opened (excluded, or without frames).

    Raises
    ------
    LayoutError
        No such folder, or no measurement in it.

    Examples
    --------
    >>> import tempfile
    >>> import xinsitu as xi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = xi.simulate_sample(folder, measurements=2, frames=20)
    ...     list(open_sample(truth.folders["sample"]).children)
    ['time1', 'time2']
    """
    check_sample(path, include, exclude)
    OpenOptions(tz=tz, instrument=instrument, on_error=on_error, time=time, order_error=order_error, logs=logs)
    table = instrument_or_generic(instrument)
    folder = look(path, table.patterns)
    wanted, left_out = select(folder.folders, include, exclude)
    nodes: dict[str, xr.Dataset] = {}
    for name in wanted:
        inside = os.path.join(folder.path, name)
        found = look(inside, table.patterns)
        if not found.series and not hdf5_files(found, table.patterns):
            left_out.append(name)
            if any(stray.lower().endswith(HDF5_SUFFIXES) for stray in found.strays):
                warn(f"left out: {why_none(found)}")
            continue
        with warnings.catch_warnings():
            if nodes:  # the zone was said with the first one
                warnings.filterwarnings("ignore", f".*{re.escape(NO_ZONE)}", XinsituWarning)
            nodes[name] = open_measurement(
                inside,
                chunks=chunks,
                tz=tz,
                instrument=instrument,
                on_error=on_error,
                time=time,
                order_error=order_error,
                logs=logs,
            )
    if not nodes:
        raise LayoutError(f"{folder.path}: no measurement here: no folder {include!r} (without {exclude!r}) has frames")
    files = [file.name for series in folder.series for file in series.files]
    left_out = sorted([*left_out, *files, *folder.logs, *folder.strays], key=natural_key)
    root = xr.Dataset(attrs={"sample": Path(folder.path).name, "left_out": ", ".join(left_out)})
    return xr.DataTree.from_dict({"/": root, **{f"/{name}": node for name, node in nodes.items()}}, name=root.sample)


def measurements_of(path: str | os.PathLike[str]) -> list[Path]:
    """Folders of the measurements in a sample, test measurements left out; the path itself where it is none.

    A sample is a folder without frames that holds folders of frames.
    """
    if not os.path.isdir(path):
        return [Path(path)]
    folder = look(path)
    if folder.series or hdf5_files(folder, PATTERNS):
        return [Path(path)]
    inside = [Path(path) / name for name in select(folder.folders)[0]]
    return [one for one in inside if (found := look(one)).series or hdf5_files(found, PATTERNS)] or [Path(path)]


def select(names: tuple[str, ...], include: str = "*", exclude: str = "test*") -> tuple[list[str], list[str]]:
    """Names that are wanted and names that are left out, in natural order.

    Examples
    --------
    >>> select(("test", "time1", "time2"), include="time*")
    (['time1', 'time2'], ['test'])
    """

    def matches(name: str, patterns: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern.strip()) for pattern in patterns.split(",") if pattern.strip())

    ordered = sorted(names, key=natural_key)
    wanted = [name for name in ordered if matches(name, include) and not matches(name, exclude)]
    return wanted, [name for name in ordered if name not in wanted]


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
