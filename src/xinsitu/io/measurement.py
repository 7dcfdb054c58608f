"""Opening a folder of frames as a lazy labelled Dataset, a flat field, or a whole sample."""

from __future__ import annotations

import fnmatch
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from xinsitu.errors import LayoutError, SchemaError, XinsituWarning, warn

from .discover import HDF5_SUFFIXES, look, natural_key, why_none
from .flats import flat_of
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .garbage import uncollected
from .instruments import PATTERNS, Instrument
from .opening import gather_source, open_lazily
from .options import NO_ZONE, Opening, check_sample
from .paths import PathOrPaths, hdf5_files, resolve, settled
from .recognition import choose_instrument, instrument_or_generic
from .times import Time

Chunks = Mapping[str, Any] | int | str | None


def open_measurement(
    path: PathOrPaths,
    *,
    chunks: Chunks = {},  # noqa: B006 - xarray's own default, never changed
    tz: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "raise",
    time: Time = "auto",
    order_error: str = "raise",
    series: str | None = None,
    scan: str | int | None = None,
    fill_missing: bool = False,
    period: float | None = None,
    stamp_marks: str | None = None,
    logs: str | os.PathLike[str] | None = "auto",
) -> xr.Dataset:
    """Open the frames of one measurement; every header is read, no pixel.

    Parameters
    ----------
    path
        Folder of frames; a pattern such as ``"time1/scan_*.cbf"``; a list of files; or one file of several frames.
    chunks
        xarray's keyword: ``{}`` for whole frames, 16 to 32 MiB per chunk; None for a lazy array without dask.
    tz
        Time zone of the detector PC's clock; None takes the instrument's. Where nobody knows it, times stay what the
        clock showed, ``time_zone_source`` is ``unknown``, and a warning says so.
    instrument
        Name of an instrument or a path to its table; None takes what ``XINSITU_INSTRUMENT`` or the user's configuration
        file name, else the one whose table recognises the frames, else ``generic``. The attribute
        ``instrument_source`` says which of these it was.
    on_error
        What becomes of frames that cannot be read: ``raise``; ``skip`` leaves them out; ``nan`` keeps them as NaN,
        which makes the image floating point.
    time
        ``auto``: the stamps, or frame numbers on files without any. ``stamp``. ``period``: stamps made finer by the
        steady period of the frames, with ``time_uncertainty``; refused where a stamp contradicts it. ``frame``: the
        frame number as seconds. ``mtime``: modification times of the files. Or an array: one UTC time or UNIX time
        per frame.
    order_error
        Where stamps decrease with the frame number: ``raise`` or ``ignore``.
    series
        Name of one of several series in the folder; or ``newest``, which leaves out the frames of an older, longer
        series that a newer one has overwritten in part.
    scan
        Of an HDF5 file with several scans or detectors: the name of the scan, as BLISS's ``"2.1"``, or the place of the
        frames, as ``"2.1/instrument/eiger/data"``.
    fill_missing
        Put a frame of NaN where a number is missing; the image becomes floating point as with ``on_error="nan"``.
    period
        Seconds between frames, for ``time="period"``; None takes the header's.
    stamp_marks
        Whether stamps mark the ``start`` or the ``end`` of the exposure; None takes the instrument's. It is an
        attribute; times are those of the stamps.
    logs
        ``auto`` joins the logs that the instrument's table looks for, their counters as coordinates along time such as
        ``monitor``; or the path of a log; or None.

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
    opening = Opening(
        tz=tz,
        instrument=instrument,
        on_error=on_error,
        time=time,
        order_error=order_error,
        series=series,
        scan=scan,
        fill_missing=fill_missing,
        period=period,
        stamp_marks=stamp_marks,
        logs=logs,
    )
    with uncollected():
        dataset, stack = open_lazily(path, opening)
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
    name = f"xinsitu-image-{stack.token}-{_digest((chunks, dataset.attrs.get('flipped')))}"
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
    opening = Opening(
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
    """
    check_sample(path, include, exclude)
    Opening(tz=tz, instrument=instrument, on_error=on_error, time=time, order_error=order_error, logs=logs)
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
