"""Opening a folder of frames as a lazy labelled Dataset, a flat field, or a whole sample."""

from __future__ import annotations

import fnmatch
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import LayoutError, XinsituWarning
from xinsitu.schema import describe

from .assemble import assemble
from .discover import choose, look, natural_key, sample_and_measurement
from .frames import FrameStack
from .gather import Gathered, gather
from .instruments import Instrument, load_instrument
from .times import make_times

Chunks = Mapping[str, Any] | int | str | None
_FLAT_BLOCK = 50


def open_measurement(
    path: str | os.PathLike[str],
    *,
    chunks: Chunks = {},  # noqa: B006 - xarray's own default, never changed
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "raise",
    time: str = "auto",
    order_error: str = "raise",
    series: str | None = None,
) -> xr.Dataset:
    """Open a folder of detector frames; every header is read, no pixel.

    Parameters
    ----------
    path
        Folder of frames.
    chunks
        xarray's keyword: ``{}`` for whole frames, 16 to 32 MiB per chunk; None for a lazy array without dask.
    tz
        Time zone of the detector PC's clock; None takes the instrument's.
    instrument
        Name of an instrument or a path to its table; None is BL11XU, and says so.
    on_error
        What becomes of frames that cannot be read: ``raise``; ``skip`` leaves them out; ``nan`` keeps them as NaN,
        which makes the image floating point.
    time
        ``auto``, ``stamp`` or ``frame`` (the frame number as seconds).
    order_error
        Where stamps decrease with the frame number: ``raise`` or ``ignore``.
    series
        Name of one of several series in the folder.

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

    Examples
    --------
    >>> scan = open_measurement("0884/time1", tz="Asia/Tokyo")     # doctest: +SKIP
    >>> scan.image.sizes                                           # doctest: +SKIP
    Frozen({'time': 720, 'y': 195, 'x': 487})
    """
    dataset, stack = open_lazily(
        path, tz=tz, instrument=instrument, on_error=on_error, time=time, order_error=order_error, series=series
    )
    if chunks is None:
        return dataset
    if isinstance(chunks, Mapping):
        chunks = {**dict.fromkeys(("time", "y", "x"), -1), **stack.preferred_chunks, **chunks}
    image = dataset["image"].variable
    # named after the files' sizes and times: a persisted chunk of an overwritten frame is never taken for the new one
    name = f"xinsitu-image-{stack.token}-{_digest(chunks)}"
    return dataset.assign(image=dataset["image"].copy(data=image.chunk(chunks, name=name).data))


def open_lazily(
    path: str | os.PathLike[str],
    *,
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "raise",
    time: str = "auto",
    order_error: str = "raise",
    series: str | None = None,
) -> tuple[xr.Dataset, FrameStack]:
    """Open a folder as a Dataset without dask, and the stack behind its image; parameters of `open_measurement`."""
    if order_error not in ("raise", "ignore"):
        raise ValueError(f"order_error is 'raise' or 'ignore', not {order_error!r}")
    if time not in ("auto", "stamp", "frame"):
        raise ValueError(f"time is 'auto', 'stamp' or 'frame', not {time!r}")
    table = load_instrument(instrument)
    folder = look(path, table.patterns)
    gathered = gather(folder.path, choose(folder, series).files, on_error=on_error)
    zone = tz or table.time_zone
    zone_source = "tz" if tz else "instrument" if instrument is not None else "default"
    axis = make_times(
        [header.stamp if header else "" for header in gathered.headers],
        gathered.scan,
        gathered.frame,
        gathered.stack.names,
        zone=zone,
        time=time,
        order_error=order_error,
        source=folder.path,
    )
    if zone_source == "default" and axis.source == "stamp":
        warnings.warn(
            f"{folder.path}: the time zone {zone} comes from the default instrument {table.name}; "
            "say tz= (--tz) or instrument= (--instrument) if that is not where the frames come from",
            XinsituWarning,
            stacklevel=3,
        )
    dataset = assemble(folder.path, gathered, axis, table, zone=zone, zone_source=zone_source)
    return dataset, gathered.stack


def _digest(chunks: object) -> str:
    from dask.base import tokenize

    return str(tokenize(chunks))[:12]


def open_flatfield(
    path: str | os.PathLike[str],
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
        ``flatfield (y, x)``, float64, in memory, unfiltered. Pixels that the detector flagged with a negative value
        in any frame are NaN.

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
    table = load_instrument(instrument)
    folder = look(path, table.patterns)
    gathered = gather(folder.path, choose(folder, series).files, on_error="raise" if on_error == "raise" else "skip")
    mean = _mean(gathered.stack)
    level = float(np.nanmean(mean)) if np.isfinite(mean).any() else 0.0
    if not level > 0:
        raise LayoutError(f"{folder.path}: a flat field with a mean of {level:g} cannot divide anything")
    rows, columns = gathered.stack.frame_shape
    flat = xr.DataArray(mean / level, dims=("y", "x"), coords={"y": np.arange(rows), "x": np.arange(columns)})
    return _described_flat(flat, folder.path, gathered, level)


def _described_flat(flat: xr.DataArray, folder: str, gathered: Gathered, level: float) -> xr.DataArray:
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
        "detector": detector or None,
        "detector_serial": serial,
        "threshold_energy": text.threshold_energy,
        "flat_field": text.flat_field,
    }
    flat.attrs = {name: value for name, value in known.items() if value is not None}
    flat.encoding["source"] = folder
    return flat.rename("flatfield")


def _mean(stack: FrameStack) -> npt.NDArray[np.float64]:
    """Mean over all frames, exact for integers; NaN where a frame holds a negative flag."""
    total = np.zeros(stack.frame_shape, dtype="float64" if stack.stored.kind == "f" else "int64")
    flagged = np.zeros(stack.frame_shape, dtype=bool)
    for start in range(0, len(stack.names), _FLAT_BLOCK):
        block = stack.read((slice(start, start + _FLAT_BLOCK), slice(None), slice(None)))
        total += block.sum(axis=0, dtype=total.dtype)
        if stack.stored.kind == "i":
            flagged |= (block < 0).any(axis=0)
    return np.where(flagged, np.nan, total / len(stack.names))


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
) -> xr.DataTree:
    """Open every measurement of a sample.

    Parameters
    ----------
    path
        Folder that holds one folder per measurement.
    include, exclude
        Shell patterns for their names; several are separated by commas.
    chunks, tz, instrument, on_error, time, order_error
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
    """
    table = load_instrument(instrument)
    folder = look(path, table.patterns)
    wanted, left_out = select(folder.folders, include, exclude)
    nodes: dict[str, xr.Dataset] = {}
    for name in wanted:
        inside = os.path.join(folder.path, name)
        if not look(inside, table.patterns).series:
            left_out.append(name)
            continue
        with warnings.catch_warnings():
            if nodes:  # the zone was said with the first one
                warnings.filterwarnings("ignore", ".*comes from the default instrument", XinsituWarning)
            nodes[name] = open_measurement(
                inside,
                chunks=chunks,
                tz=tz,
                instrument=instrument,
                on_error=on_error,
                time=time,
                order_error=order_error,
            )
    if not nodes:
        raise LayoutError(f"{folder.path}: no measurement here: no folder {include!r} (without {exclude!r}) has frames")
    files = [file.name for series in folder.series for file in series.files]
    left_out = sorted([*left_out, *files, *folder.logs, *folder.strays], key=natural_key)
    root = xr.Dataset(attrs={"sample": Path(folder.path).name, "left_out": ", ".join(left_out)})
    return xr.DataTree.from_dict({"/": root, **{f"/{name}": node for name, node in nodes.items()}}, name=root.sample)


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
