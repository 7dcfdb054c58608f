"""What one HDF5 file says of its frames: NeXus and NXmx files, Eiger masters, areaDetector files, stacks in netCDF.

Where the frames are is looked for in the places where detectors put them; links are followed within the folder of the
file and nowhere else.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from xinsitu.errors import LayoutError, SchemaError, XinsituWarning
from xinsitu.schema import FrameStatus

from . import epics
from .discover import natural_key
from .frame_header import MAX_PIXELS, FrameFault, FrameHeader
from .gather import Attribute, Gathered
from .hdf5_stack import Hdf5Stack, Part
from .masks import pixel_mask
from .pilatus import PilatusText
from .safe_hdf5 import opened, refuse_outside_links
from .stamps import parse_stamp

_PLACES = ("image", "entry/data/data", "entry/instrument/detector/data", "entry1/data/data", "exchange/data")
_NETCDF = ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "coordinates", "signal", "target")
_DETECTORS = ("entry/instrument/detector", "entry1/instrument/detector")
_ATTRIBUTES = ("entry/instrument/NDAttributes", "entry/instrument/detector/NDAttributes", "NDAttributes")


@dataclass
class _Times:
    """Times of the frames, in one of three ways."""

    utc: npt.NDArray[np.int64] | None = None
    stamps: list[str] = field(default_factory=list)
    source: str = ""


def read_file(path: str) -> Gathered:
    """Describe the frames of one HDF5 file; no pixel is read.

    Raises
    ------
    LayoutError
        No frames, or several stacks of them.
    FrameFault
        The file is damaged, or refers to files outside its folder.
    """
    files = _safe_files(path)
    try:
        with opened(path) as file:
            return _gather(file, path, files)
    except (OSError, KeyError, RuntimeError) as error:
        raise FrameFault(path, f"the HDF5 file is damaged ({error})") from None


def _safe_files(path: str) -> tuple[tuple[str, int, int], ...]:
    """Size and time of the file and of all that it links to, each of which may only link within its folder."""
    folder = os.path.dirname(path)
    waiting, found = [path], {}
    while waiting:
        one = waiting.pop()
        try:
            refuse_outside_links(one, inside=folder)
            status = os.stat(one)
            linked = list(_linked_files(one))
        except (SchemaError, OSError) as error:
            text = str(error).removeprefix(f"{one}: ")
            if one == path:
                raise FrameFault(path, text, _state(path)) from None
            raise FrameFault(path, f"links to {os.path.relpath(one, folder)}: {text}", FrameStatus.MISSING) from None
        found[one] = (one, status.st_size, status.st_mtime_ns)
        waiting += [name for name in linked if name not in found]
    return tuple(found.values())


def _state(path: str) -> FrameStatus:
    if not os.path.exists(path):
        return FrameStatus.MISSING
    return FrameStatus.UNREADABLE if os.path.getsize(path) else FrameStatus.TRUNCATED


def _linked_files(path: str) -> Iterator[str]:
    """Absolute paths of files that the links and virtual datasets of a file name."""
    folder = os.path.dirname(path)
    names: set[str] = set()

    def visit(group: h5py.Group, depth: int) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                names.add(link.filename)
                continue
            item = group.get(name)
            if isinstance(item, h5py.Group) and isinstance(link, h5py.HardLink) and depth < 16:
                visit(item, depth + 1)
            elif isinstance(item, h5py.Dataset) and item.is_virtual:
                names.update(source.file_name for source in item.virtual_sources() if source.file_name != ".")

    with opened(path) as file:
        visit(file, 0)
    return iter(os.path.normpath(os.path.join(folder, name)) for name in sorted(names))


def _gather(file: h5py.File, path: str, files: tuple[tuple[str, int, int], ...]) -> Gathered:
    datasets = _find(file, path)
    first = next(iter(datasets.values()))
    shape = (int(first.shape[-2]), int(first.shape[-1]))
    for dataset in datasets.values():
        if dataset.shape[-2:] != first.shape[-2:] or dataset.dtype != first.dtype:
            raise FrameFault(path, f"{dataset.name} is {dataset.shape} {dataset.dtype}, unlike {first.name}")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise FrameFault(path, f"{first.name} declares {shape[0]} x {shape[1]} pixels")
    stack = Hdf5Stack(
        parts=tuple(
            Part(path, place, len(dataset) if dataset.ndim == 3 else 1, files) for place, dataset in datasets.items()
        ),
        frame_shape=shape,
        stored=first.dtype.newbyteorder("="),
        step=first.chunks[0] if first.chunks and first.ndim == 3 else 1,
    )
    count = stack.shape[0]
    times, columns = _times(file, count, files[0][2]), _columns(file, count)
    text, model = _text(file), _string(file, "description")
    size, mtime = files[0][1:]
    headers = tuple(
        FrameHeader(
            size=size,
            mtime_ns=mtime,
            shape=shape,
            dtype=stack.stored,
            offset=-1,
            stamp=times.stamps[index] if times.stamps else "",
            stamp_source=times.source,
            utc=None if times.utc is None else int(times.utc[index]),
            text=text,
            model=model,
            extra=tuple((name, float(column[index])) for name, column in columns.items()),
        )
        for index in range(count)
    )
    return Gathered(
        stack=stack,
        headers=headers,
        scan=_whole(file, "scan", count, np.ones(count, dtype="int64")),
        frame=_whole(file, "frame", count, _image_numbers(datasets.values())),
        status=np.zeros(count, dtype="int8"),
        faults=(),
        image_attributes=_attributes(first),
        attributes=_attributes(file) if "Conventions" in file.attrs else {},
        mask=_mask(file, path, shape),
        numbered="frame" in file or "image_nr_low" in first.attrs,
    )


def _image_numbers(datasets: Iterable[h5py.Dataset]) -> npt.NDArray[np.int64]:
    """Numbers of the frames from 0: an Eiger's pieces say which of its images they begin with, counted from 1."""
    numbers: list[npt.NDArray[np.int64]] = []
    behind = 0
    for dataset in datasets:
        low = dataset.attrs.get("image_nr_low")
        start = int(low) - 1 if isinstance(low, int | np.integer) and int(low) > behind else behind
        numbers.append(start + np.arange(len(dataset) if dataset.ndim == 3 else 1, dtype="int64"))
        behind = int(numbers[-1][-1]) + 1
    return np.concatenate(numbers)


def _mask(file: h5py.File, path: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """Pixels that the detector itself says are bad."""
    values = pixel_mask(file)
    if values is None:
        return None
    if values.shape != shape:
        warnings.warn(
            f"{path}: its pixel mask of {values.shape[0]} x {values.shape[1]} does not fit frames of "
            f"{shape[0]} x {shape[1]} and is not used",
            XinsituWarning,
            stacklevel=2,
        )
        return None
    return np.asarray(values != 0)


def _find(file: h5py.File, path: str) -> dict[str, h5py.Dataset]:
    """Return the datasets of frames by their place: a known one, an Eiger's numbered parts, or the only stack.

    A dataset behind an external link has the name of its place in the other file; so the place is kept beside it.
    """
    for place in _PLACES:
        dataset = file.get(place)
        if isinstance(dataset, h5py.Dataset) and _is_stack(dataset):
            return {place: dataset}
    data = file.get("entry/data")
    if isinstance(data, h5py.Group):
        names = [
            name for name in sorted(data, key=natural_key) if name.startswith("data_") and data.get(name) is not None
        ]
        parts = {f"entry/data/{name}": data[name] for name in names}
        if parts and all(isinstance(part, h5py.Dataset) and _is_stack(part) for part in parts.values()):
            return parts
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and _is_stack(item):
            found[name] = item

    file.visititems(visit)
    if len(found) == 1:
        return found
    if found:
        raise LayoutError(
            f"{path}: several stacks of frames, {', '.join(sorted(found))}; none is where detectors put it"
        )
    raise LayoutError(f"{path}: no stack of frames (n, y, x) in this file")


def _is_stack(dataset: h5py.Dataset) -> bool:
    return dataset.ndim in (2, 3) and dataset.dtype.kind in "iuf" and dataset.size > 0


def _times(file: h5py.File, count: int, mtime_ns: int) -> _Times:
    """Read times from EPICS, from a netCDF ``time``, or from the start of a series and its frame time."""
    for place in _ATTRIBUTES:
        group = file.get(place)
        seconds, nanoseconds = (_array(group, f"NDArrayEpicsTS{part}", count) for part in ("Sec", "nSec"))
        if seconds is not None and nanoseconds is not None:
            utc = (seconds.astype("int64") + epics.EPOCH) * 1_000_000 + nanoseconds.astype("int64") // 1000
            return _Times(
                utc=utc,
                stamps=[f"{s:.0f}.{n:09.0f}" for s, n in zip(seconds, nanoseconds, strict=True)],
                source="epics",
            )
        clock = _array(group, "NDArrayTimeStamp", count)
        posix = None if clock is None else epics.posix(float(clock[0]), mtime_ns)
        if clock is not None and posix is not None:
            utc = np.rint((clock + (posix - clock[0])) * 1e6).astype("int64")
            return _Times(utc, [repr(float(one)) for one in clock], "hdf5:NDArrayTimeStamp")
    time = file.get("time")
    if (
        isinstance(time, h5py.Dataset)
        and time.shape == (count,)
        and "since 1970-01-01" in _decoded(time.attrs.get("units"))
    ):
        scale = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3}
        unit = _decoded(time.attrs.get("units")).split(" ")[0]
        if unit in scale:
            values = time[()]
            whole = values if values.dtype.kind in "iu" and scale[unit] == 1.0 else np.rint(values * scale[unit])
            return _Times(utc=whole.astype("int64"), source="netcdf:time")
    start = _string(file, "start_time") or _string(file, "detectorSpecific/data_collection_date")
    step = _value(file, "frame_time")
    return _started(start, step, count) if start and step else _Times()


def _started(start: str, step: float, count: int) -> _Times:
    """Stamps of a series that says when it began and how long a frame takes."""
    begun = parse_stamp(start)
    if begun is None:
        return _Times()
    steps = np.rint(np.arange(count) * step * 1e6).astype("int64")
    if begun.offset is not None:
        return _Times(utc=begun.microseconds - begun.offset + steps, stamps=[start] * count, source="nexus:start_time")
    local = (np.int64(begun.microseconds) + steps).astype("datetime64[us]")
    return _Times(stamps=[str(moment) for moment in local], source="nexus:start_time")


def _columns(file: h5py.File, count: int) -> dict[str, npt.NDArray[Any]]:
    """Attributes of areaDetector that have one number per frame."""
    found: dict[str, npt.NDArray[Any]] = {}
    for place in _ATTRIBUTES:
        group = file.get(place)
        if not isinstance(group, h5py.Group):
            continue
        for name in group:
            values = _array(group, name, count)
            if values is not None and not name.startswith("NDArray"):
                found[name] = values
    return found


def _array(group: object, name: str, count: int) -> npt.NDArray[Any] | None:
    dataset = group.get(name) if isinstance(group, h5py.Group) else None
    if isinstance(dataset, h5py.Dataset) and dataset.shape == (count,) and dataset.dtype.kind in "iuf":
        return np.asarray(dataset[()])
    return None


def _whole(file: h5py.File, name: str, count: int, otherwise: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    values = _array(file, name, count)
    return otherwise if values is None or values.dtype.kind == "f" else values.astype("int64")


def _text(file: h5py.File) -> PilatusText:
    """Read what the file says of the exposure and the detector, in the units of the data model."""
    cutoff = _value(file, "saturation_value") or _value(file, "detectorSpecific/countrate_correction_count_cutoff")
    return PilatusText(
        exposure_time=_value(file, "count_time"),
        exposure_period=_value(file, "frame_time"),
        count_cutoff=None if cutoff is None else int(cutoff),
        pixel_size_y=_value(file, "y_pixel_size"),
        pixel_size_x=_value(file, "x_pixel_size"),
        threshold_energy=_value(file, "threshold_energy"),
        sensor_material=_string(file, "sensor_material") or None,
        sensor_thickness=_value(file, "sensor_thickness"),
    )


_UNITS = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "micron": 1e-6, "s": 1.0, "ms": 1e-3, "us": 1e-6, "eV": 1.0, "keV": 1e3}


def _value(file: h5py.File, name: str) -> float | None:
    dataset = _in_detector(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "iuf":
        return None
    value = float(np.asarray(dataset[()]).ravel()[0]) * _UNITS.get(_decoded(dataset.attrs.get("units")), 1.0)
    return value if np.isfinite(value) else None


def _string(file: h5py.File, name: str) -> str:
    dataset = _in_detector(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "OS":
        return ""
    return _decoded(np.asarray(dataset[()]).ravel()[0])


def _in_detector(file: h5py.File, name: str) -> object:
    places = [f"{detector}/{name}" for detector in _DETECTORS] + [f"entry/{name}", f"entry1/{name}"]
    return next((item for place in places if (item := file.get(place)) is not None), None)


def _attributes(item: h5py.Dataset | h5py.File) -> dict[str, Attribute]:
    """Attributes that are one text or number, without those that are netCDF's own."""
    found: dict[str, Attribute] = {}
    for name, value in item.attrs.items():
        if name in _NETCDF or name.startswith("_"):
            continue
        if isinstance(value, str | bytes):
            found[name] = _decoded(value)
        elif np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf":
            found[name] = np.asarray(value).item()
    return found


def _decoded(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) if value is not None else ""
