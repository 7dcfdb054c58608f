"""Opening a folder of frames as a lazy labelled Dataset, a flat field, or a whole sample."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import xarray as xr

from xinsitu.errors import LayoutError, SchemaError, warn, without
from xinsitu.variables import FROM_READER

from .discover import holds_images, look, natural_key, why_none
from .disk import uncollected
from .formats.hdf5_stack import Hdf5Stack
from .formats.stack import FrameStack
from .formats.zarr_stack import ZarrStack
from .instruments import PATTERNS, Instrument
from .mean_frames import Averaged, flat_of, gathered_frames, image_of, written_frames
from .opening import gather_source, is_store, open_lazily
from .options import NO_ZONE, OpenKeywords, OpenOptions, check_sample, with_options
from .paths import PathOrPaths, hdf5_files, resolve, settled
from .recognition import choose_instrument, instrument_or_generic
from .reopening import all_own

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
        ``scan``, ``stamp``, ``frame_status``, ``exposure_time``, ``sample`` and ``measurement``; where the exposure is
        known ``time_bounds (time, bound)``, between which each frame was exposed.

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
    >>> scan = open_measurement("0884/time1", tz="Asia/Tokyo")
    >>> scan.image.sizes
    Frozen({'time': 20, 'y': 195, 'x': 487})
    """
    with uncollected():
        dataset, stack = open_lazily(path, OpenOptions(**options))
    return dataset if chunks is None else _chunked(dataset, stack, chunks)


def _chunked(
    dataset: xr.Dataset, stack: FrameStack | Hdf5Stack | ZarrStack, chunks: Mapping[str, Any] | int | str
) -> xr.Dataset:
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
    >>> flat = open_flatfield("flatfield1")
    >>> round(float(flat.mean()), 6)
    1.0
    """
    opening = OpenOptions(
        tz=tz, instrument=instrument, on_error=on_error, time=time, order_error=order_error, series=series
    )
    return flat_of(_averaged(path, opening))


def open_image(
    path: PathOrPaths,
    *,
    instrument: str | os.PathLike[str] | Instrument | None = None,
    on_error: str = "raise",
    series: str | None = None,
) -> xr.DataArray:
    """Mean of the frames of a folder, in counts per frame: the dark or the background image of a Correction.

    Parameters
    ----------
    path
        Folder of frames, or one frame.
    on_error
        ``raise``; ``skip`` and ``nan`` leave bad frames out of the mean.
    instrument, series
        As in :func:`open_measurement`.

    Returns
    -------
    xr.DataArray
        ``image (y, x)``, float64, in memory. Pixels that the detector flagged in any frame are NaN, and so are those of
        frames that it is subtracted from. Attributes: ``n_frames``, which gives its counting noise, and
        ``exposure_time`` in seconds (the mean, if all frames say theirs), by which it is scaled.

    Raises
    ------
    LayoutError, FrameError
        As in :func:`open_measurement`.

    Examples
    --------
    >>> import xinsitu as xi
    >>> dark = open_image("dark1")
    >>> correction = xi.Correction(dark=dark, median=3, threshold=5)
    """
    options = OpenOptions(instrument=instrument, on_error=on_error, time="frame", order_error="ignore", series=series)
    return image_of(_averaged(path, options))


def _averaged(path: PathOrPaths, options: OpenOptions) -> Averaged:
    """Return frames to be averaged; times play no part."""
    path, options = settled(path), replace(options, on_error="raise" if options.on_error == "raise" else "skip")
    if not is_store(path):
        table = choose_instrument(options.instrument, path).table
        source = resolve(path, table.patterns, options.series)
        if not all_own(source):
            return gathered_frames(source.path, gather_source(source, on_error=options.on_error), table)
    return written_frames(*open_lazily(path, replace(options, time="auto", logs=None)))


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
    measured = with_frames(folder.path, wanted, table.patterns)
    left_out += [name for name in wanted if name not in measured]
    nodes: dict[str, xr.Dataset] = {}
    for name in measured:
        with without(re.escape(NO_ZONE)) if nodes else nullcontext():  # the zone was said with the first one
            nodes[name] = open_measurement(
                os.path.join(folder.path, name),
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
    return [Path(path) / name for name in with_frames(path, select(folder.folders)[0])] or [Path(path)]


def with_frames(path: str | os.PathLike[str], names: Iterable[str], patterns: Sequence[str] = PATTERNS) -> list[str]:
    """Names of the folders that hold a measurement; where others hold frames, it is said what to open instead."""
    found: list[str] = []
    for name in names:
        folder = look(os.path.join(path, name), patterns)
        if folder.series or hdf5_files(folder, patterns):
            found.append(name)
        elif holds_images(folder):
            warn(f"left out: {why_none(folder)}")
    return found


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
