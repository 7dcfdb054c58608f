"""Frames that xinsitu has read before: what ``parse`` or ``write_frames`` wrote, or a part that xarray saved.

Such a file says everything itself: pixels of the detector, times, counters, states of frames, corrections. Opened
again it gives the Dataset that was written, coordinate by coordinate; nothing is found out a second time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import xarray as xr

from xinsitu import schema
from xinsitu.clock import find_zone, to_utc
from xinsitu.errors import LayoutError, TimeError, warn
from xinsitu.schema import APPLIED, QUANTITIES, TIME_ENCODING, UNKNOWN_ZONE
from xinsitu.variables import Counted

from .conventions import from_file
from .discover import first_frame
from .formats.hdf5_links import decoded, opened
from .formats.header import MAX_PIXELS, faults_of
from .formats.stack import LazyStack
from .formats.zarr_stack import COMPLETE, IMAGE, ROOT, ZarrStack, attributes_of, files_of, zarr
from .gather import Gathered
from .instruments import GENERIC, Instrument, load_instrument
from .lazy_frames import lazily
from .nexus import read_attributes
from .nxdata import ENGINE
from .options import OpenOptions
from .paths import Source
from .recognition import NOBODY, Chosen, named_instrument
from .times import Readings, make_times

PARTS = frozenset({"frame", "scan", "stamp", "frame_status"})
"""Coordinates that a file of frames has where its attributes are lost, as after ``scan.image.to_netcdf(...)``."""
_WHOLE = frozenset({"sample", "measurement", "exposure_time"})
"""Coordinates without an axis that are of a whole measurement."""
_MOST = 2**30
"""Bytes that everything but the frames of a store may take: some millions of frames."""
_OF_THE_FILE = ("recipe", "versions", COMPLETE)
"""Attributes that say how the file was made, and nothing of what is computed from it."""


def is_own(path: str) -> bool:
    """Whether a file holds frames as xinsitu's data model has them, with their time axis."""
    try:
        with opened(path) as file:
            image = file.get("image")
            known = "xinsitu_version" in file.attrs or set(file) >= PARTS
            return known and isinstance(image, h5py.Dataset) and _is_time(file.get("time"), image.ndim - 2)
    except Exception:  # noqa: BLE001 - whatever HDF5 throws at it, who reads its frames says what is wrong
        return False


def _is_time(item: object, ndim: int) -> bool:
    """Whether it is the time of several frames, or of one that was taken out of them, which has no such axis."""
    if not isinstance(item, h5py.Dataset) or ndim not in (0, 1):
        return False
    return bool(item.ndim == ndim and " since " in decoded(item.attrs.get("units")))


def reopened(source: Source, gathered: Gathered, opening: OpenOptions, chosen: Chosen) -> xr.Dataset:
    """Return the Dataset that was written, its image lazy.

    Parameters
    ----------
    source, gathered
        Files that :func:`is_own` knows, and the stack of their frames.
    opening
        ``tz`` and ``instrument`` count where the file does not know them, ``time`` where it is no ``auto``.
    chosen
        The instrument that ``opening`` names; what the file says wins over a recognised one.

    Raises
    ------
    LayoutError
        The files do not fit each other.
    TimeError
        Times that these frames do not have are asked for.
    """
    rest = _together([_rest(path) for path in dict.fromkeys(getattr(gathered.stack, "paths", ()))], source.path)
    return _rebuilt(rest, gathered.stack, gathered.image_attributes, source.path, opening, chosen)


def reopened_store(path: str, opening: OpenOptions) -> tuple[xr.Dataset, ZarrStack]:
    """Return the Dataset that a Zarr store holds, its image lazy, and its stack.

    Raises
    ------
    LayoutError
        It holds no frames of xinsitu, or zarr is not installed.
    """
    attributes = attributes_of(path) or {}
    if "xinsitu_version" not in attributes:
        raise LayoutError(f"{path}: holds no frames that xinsitu wrote; open it with xr.open_zarr")
    group, files = zarr().open_group, files_of(path)
    with faults_of(path, "the Zarr store is damaged"):
        arrays = dict(group(path, mode="r", zarr_format=3, use_consolidated=False).arrays())
        chunk = arrays[IMAGE].chunks if IMAGE in arrays else (0, 0, 0)
        if math.prod(chunk) > MAX_PIXELS or sum(one.nbytes for name, one in arrays.items() if name != IMAGE) > _MOST:
            raise ValueError(f"frames {arrays[IMAGE].shape} in chunks {chunk} are more than memory is given to")
        _check_whole(path, attributes.get(COMPLETE), arrays)
        with xr.open_zarr(path, consolidated=False, chunks=None, zarr_format=3) as store:
            image, rest = store[IMAGE], store.drop_vars(IMAGE).load()
    if image.dims != ("time", "y", "x"):
        raise LayoutError(f"{path}: its image has dims {', '.join(map(str, image.dims))}, not time, y, x")
    count, rows, columns = image.shape
    stack = ZarrStack(
        path=path, files={name: state for name, state in files.items() if name.startswith((ROOT, IMAGE + os.sep))},
        frames=count, frame_shape=(rows, columns), stored=image.dtype, across=chunk[1:], step=chunk[0],
        promote=opening.on_error == "nan", complete=bool(attributes.get(COMPLETE)),
    )  # fmt: skip
    chosen = named_instrument(opening.instrument) or Chosen(load_instrument(GENERIC), NOBODY)
    for variable in (image.variable, *rest.variables.values()):  # JSON knows lists, CF arrays of the variable's kind
        lists = {name: value for name, value in variable.attrs.items() if isinstance(value, list)}
        variable.attrs |= {name: np.asarray(value, variable.dtype) for name, value in lists.items()}
    return _rebuilt(_plain(rest, path), stack, image.attrs, path, opening, chosen), stack


def _check_whole(path: str, names: object, arrays: Mapping[str, Any]) -> None:
    """Refuse a store that has lost an array, as times were frame numbers then, or a part of one that is not a gap.

    Zeros of other programs, and of older versions, are left out; frames are looked at where they are read.
    """
    known = [str(name) for name in names] if isinstance(names, list) else []  # those of older versions do not say
    gone = [name for name in known if name not in arrays]
    for name in {*known} & {*arrays} - {IMAGE}:
        one = arrays[name]
        if one.dtype.kind != "f" and one.fill_value and one.nchunks_initialized < one.nchunks:
            gone.append(f"chunks of {name}")
    if gone:
        raise LayoutError(f"{path}: the Zarr store has lost {', '.join(sorted(gone))}, as in a copy that stopped")


def _rebuilt(
    rest: xr.Dataset,
    stack: LazyStack,
    image_attributes: Mapping[Any, Any],
    path: str,
    opening: OpenOptions,
    chosen: Chosen,
) -> xr.Dataset:
    """Put pixels and everything else together again."""
    image = Counted(("time", "y", "x"), lazily(stack), dict(image_attributes))
    image.encoding["preferred_chunks"] = stack.preferred_chunks
    if stack.dtype != stack.stored:
        image.attrs.setdefault("stored_dtype", stack.stored.str)
    for axis, size in zip(("y", "x"), stack.frame_shape, strict=True):
        if axis not in rest.variables:
            rest = rest.assign_coords({axis: (axis, np.arange(size, dtype="int64"), schema.attributes_of(axis))})
    dataset = xr.Dataset({"image": image, **rest.data_vars}, coords=rest.coords, attrs=rest.attrs)
    dataset.attrs["source_token"] = stack.token
    dataset = _of_instrument(dataset, path, opening, chosen.table)
    dataset = _on_the_clock(dataset, path, opening, chosen.table)
    dataset = _with_times(dataset, path, opening)
    dataset["time"].encoding = dict(TIME_ENCODING)
    dataset.encoding["source"] = dataset["image"].encoding["source"] = path
    dataset["image"].encoding[schema.FIRST_FRAME] = _first_frame(dataset, stack, path)
    return dataset


def _first_frame(dataset: xr.Dataset, stack: LazyStack, path: str) -> frozenset[str]:
    number = int(dataset["frame"].values[0]) if "frame" in dataset.coords else 0
    stamp = str(dataset["stamp"].values[0]) if "stamp" in dataset.coords else ""
    return first_frame(path, getattr(stack, "names", ("",))[0], str(dataset.attrs.get("source", "")), number, stamp)


def _rest(path: str) -> xr.Dataset:
    """Everything in a file but its pixels."""
    with faults_of(path):
        with xr.open_dataset(path, engine=ENGINE) as file:  # its image, not read, says what is a coordinate
            rest = file.drop_vars(IMAGE).load()
        return _of_frames(_plain(rest, path))


def _of_frames(rest: xr.Dataset) -> xr.Dataset:
    """Give one frame that was taken out of a measurement its axis of time again."""
    if rest["time"].ndim:
        return rest
    own = {name: one for name, one in rest.coords.items() if name == "time_bounds" or not (one.ndim or name in _WHOLE)}
    return rest.assign_coords(
        {name: (("time", *one.dims), one.values[np.newaxis], one.attrs) for name, one in own.items()}
    )


def _plain(rest: xr.Dataset, path: str) -> xr.Dataset:
    """Texts as texts, times in whole microseconds, without what says how the file was made."""
    rest = from_file(rest)
    for name, variable in rest.variables.items():
        if variable.dtype.kind == "M":
            try:
                values = schema.time_from_microseconds(schema.microseconds_from_time(variable.values))
            except TimeError as error:
                raise TimeError(f"{path}: {error}") from None
        elif variable.dtype.kind in "OT":
            values = np.array(variable.values.tolist(), dtype="U")
        else:
            continue
        rest = rest.assign({name: (variable.dims, values, variable.attrs)})
    kept = {name: value for name, value in rest.attrs.items() if name not in _OF_THE_FILE}
    if "recipe" in rest.attrs:
        kept["frames_recipe"] = rest.attrs["recipe"]
    rest.attrs = kept
    return rest.drop_encoding()


def _together(parts: Sequence[xr.Dataset], path: str) -> xr.Dataset:
    if len(parts) == 1:
        return parts[0]
    try:
        return xr.concat(
            parts,
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            join="exact",
            combine_attrs="drop_conflicts",
        )
    except (ValueError, KeyError) as error:
        said = " ".join(str(error).split())
        raise LayoutError(f"{path}: these files are not of one measurement ({said}); open each, and stitch") from None


def _of_instrument(dataset: xr.Dataset, path: str, opening: OpenOptions, table: Instrument) -> xr.Dataset:
    """Name the instrument where the file knows none; one that it knows stays."""
    known = str(dataset.attrs.get("instrument", "generic"))
    if opening.instrument is None or table.name == known:
        return dataset
    if known != "generic":
        warn(f"{path}: says itself that its frames are of {known}; instrument={table.name!r} is not used")
        return dataset
    for axis, name in (("y", table.y_name), ("x", table.x_name)):
        dataset[axis].attrs["long_name"] = name or QUANTITIES[axis].long_name
    return dataset.assign_attrs(instrument=table.name, instrument_source="given")


def _on_the_clock(dataset: xr.Dataset, path: str, opening: OpenOptions, table: Instrument) -> xr.Dataset:
    """Make UTC of what a clock showed, once somebody says its zone; UTC stays what it is."""
    zone, source = opening.zone(table) if opening.tz or opening.instrument is not None else ("", UNKNOWN_ZONE)
    if dataset.attrs.get("time_zone_source") != UNKNOWN_ZONE:
        known = dataset.attrs.get("time_zone")
        if opening.tz and known not in (None, opening.tz) and dataset.attrs.get("time_source") != "frame":
            warn(f"{path}: its times are UTC already, from a clock in {known}; tz={opening.tz!r} is not used")
        return dataset
    if not zone:
        return dataset
    clock = schema.microseconds_from_time(dataset["time"].values)
    try:
        utc = schema.time_from_microseconds(to_utc(clock, find_zone(zone)))
    except TimeError as error:
        raise TimeError(f"{path}: {error}") from None
    attributes = {**dataset["time"].attrs, "long_name": "time"}
    return dataset.assign_coords(time=("time", utc, attributes)).assign_attrs(time_zone=zone, time_zone_source=source)


def _with_times(dataset: xr.Dataset, path: str, opening: OpenOptions) -> xr.Dataset:
    """Give frames other times than those of the file, where that is asked for."""
    asked, source = opening.time, dataset.attrs.get("time_source")
    if isinstance(asked, str) and (asked == "auto" or asked == source or (asked == "stamp" and source != "frame")):
        return dataset
    if isinstance(asked, str) and asked != "frame":
        raise TimeError(
            f"{path}: these frames keep the times that they were written with ({source or 'UTC'}); "
            f"time={asked!r} is for the raw frames, here it is 'auto', 'frame' or an array of times"
        )
    count = dataset.sizes["time"]
    number = {
        name: np.asarray(dataset[name].values) if name in dataset.variables else otherwise
        for name, otherwise in (("scan", np.ones(count, "int64")), ("frame", np.arange(count, dtype="int64")))
    }
    readings = Readings(
        stamps=[""] * count,
        utc=[None] * count,
        mtimes=np.zeros(count, "int64"),
        scan=number["scan"],
        frame=number["frame"],
        names=[f"frame {frame}" for frame in number["frame"]],
        source=path,
    )
    axis = make_times(readings, zone="UTC", time=asked, order_error=opening.order_error)
    time = ("time", schema.time_from_microseconds(axis.microseconds), {**dataset["time"].attrs, "long_name": "time"})
    dataset = dataset.assign_coords(time=time).drop_vars(["time_uncertainty", "time_bounds"], errors="ignore")
    gone = ("time_zone", "time_zone_source") if asked is not None and axis.source == "frame" else ()
    dataset.attrs = {name: value for name, value in dataset.attrs.items() if name not in gone}
    if axis.source == "given" and dataset.attrs.get("time_zone_source") == UNKNOWN_ZONE:
        dataset.attrs |= {"time_zone": "UTC", "time_zone_source": "given"}
    return dataset.assign_attrs(time_source=axis.source, time_resolution=axis.resolution)


def said_of(source: Source) -> dict[str, Any]:
    """Return what frames that were written say of themselves: instrument, clock, detector; empty for all others."""
    if not all_own(source):
        return {}
    path = os.path.join(source.folder, source.files[0].name)
    with faults_of(path), opened(path) as file:
        return read_attributes(file) | {APPLIED: decoded(file["image"].attrs.get(APPLIED))}


def all_own(source: Source) -> bool:
    """Whether all files are frames that xinsitu has read before."""
    return source.hdf5 and all(is_own(os.path.join(source.folder, file.name)) for file in source.files)
