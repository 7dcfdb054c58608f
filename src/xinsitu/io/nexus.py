"""What an HDF5 file says beside its frames: times, counters, exposure, detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.schema import microseconds_from_time

from .formats import epics
from .formats.pilatus import PilatusText
from .gather import Attribute
from .stamps import parse_stamp

_NETCDF = ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "coordinates", "signal", "target")
_ATTRIBUTES = (
    "entry/instrument/NDAttributes",
    "entry/instrument/detector/NDAttributes",
    "entry/NDAttributes",
    "NDAttributes",
)
_CLOCKS = ("timestamp", "timestamps", "epoch")
"""UNIX seconds of every frame."""
_PLAUSIBLE = (788_918_400, 4_102_444_800)
"""1995 to 2100, in UNIX seconds."""
_ENTRIES = 50
_MOST_SECONDS = 9e9
_SCALES = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3}
"""Microseconds in the units of a netCDF time."""


@dataclass
class Times:
    """Times of the frames, in one of three ways."""

    utc: npt.NDArray[np.int64] | None = None
    stamps: list[str] = field(default_factory=list)
    source: str = ""


def read_times(file: h5py.File, count: int, mtime_ns: int) -> Times:
    """Read times from EPICS, from a netCDF ``time``, or from the start of a series and its frame time."""
    for place in _ATTRIBUTES:
        group = file.get(place)
        seconds, nanoseconds = (_array(group, f"NDArrayEpicsTS{part}", count) for part in ("Sec", "nSec"))
        if seconds is not None and nanoseconds is not None:
            utc = (seconds.astype("int64") + epics.EPOCH) * 1_000_000 + nanoseconds.astype("int64") // 1000
            return Times(
                utc=utc,
                stamps=[f"{s:.0f}.{n:09.0f}" for s, n in zip(seconds, nanoseconds, strict=True)],
                source="epics",
            )
        clock = _array(group, "NDArrayTimeStamp", count)
        posix = None if clock is None else epics.posix(float(clock[0]), mtime_ns)
        if clock is not None and posix is not None and _are_seconds(clock):
            utc = np.rint((clock + (posix - clock[0])) * 1e6).astype("int64")
            return Times(utc, [repr(float(one)) for one in clock], "hdf5:NDArrayTimeStamp")
    for name in _CLOCKS:
        moments = _in_detector(file, name)
        if isinstance(moments, h5py.Dataset) and moments.shape == (count,) and moments.dtype.kind in "iuf":
            seconds = np.asarray(moments[()], dtype="float64")
            if bool(((seconds > _PLAUSIBLE[0]) & (seconds < _PLAUSIBLE[1])).all()):
                return Times(
                    np.rint(seconds * 1e6).astype("int64"), [repr(float(one)) for one in seconds], f"hdf5:{name}"
                )
    if (moments := _netcdf_time(file, count)) is not None:
        return Times(utc=moments, source="netcdf:time")
    start = read_string(file, "start_time") or read_string(file, "detectorSpecific/data_collection_date")
    step = _value(file, "frame_time")
    return _started(start, step, count) if start and step and 0 < step * count < _MOST_SECONDS else Times()


def _netcdf_time(file: h5py.File, count: int) -> npt.NDArray[np.int64] | None:
    """UTC microseconds of ``time`` as the CF conventions store it; None where it is none."""
    time = file.get("time")
    units = decoded(time.attrs.get("units")) if isinstance(time, h5py.Dataset) else ""
    if not isinstance(time, h5py.Dataset) or time.shape != (count,) or " since " not in units:
        return None
    values = np.asarray(time[()])
    if units.endswith(" since 1970-01-01") and (scale := _SCALES.get(units.split(" ")[0])):
        if values.dtype.kind not in "iuf" or not _are_seconds(values * (scale / 1e6)):
            return None
        whole = values if values.dtype.kind in "iu" and scale == 1.0 else np.rint(values * scale)
        return whole.astype("int64")
    attributes = {"units": units, "calendar": decoded(time.attrs.get("calendar")) or "standard"}
    try:
        moments = xr.decode_cf(xr.Dataset({"time": ("time", values, attributes)}))["time"].values
    except (ValueError, OverflowError, TypeError):
        return None
    return microseconds_from_time(moments) if moments.dtype.kind == "M" and not np.isnat(moments).any() else None


def _are_seconds(values: npt.NDArray[Any]) -> bool:
    """Whether all are numbers of seconds that a clock could show."""
    return bool((np.abs(values.astype("float64")) < _MOST_SECONDS).all())


def _started(start: str, step: float, count: int) -> Times:
    """Stamps of a series that says when it began and how long a frame takes."""
    begun = parse_stamp(start)
    if begun is None:
        return Times()
    steps = np.rint(np.arange(count) * step * 1e6).astype("int64")
    if begun.offset is not None:
        return Times(utc=begun.microseconds - begun.offset + steps, stamps=[start] * count, source="nexus:start_time")
    local = (np.int64(begun.microseconds) + steps).astype("datetime64[us]")
    return Times(stamps=[str(moment) for moment in local], source="nexus:start_time")


def read_columns(file: h5py.File, count: int) -> dict[str, npt.NDArray[Any]]:
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


def read_numbers(file: h5py.File, name: str, count: int, otherwise: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Whole numbers that stand at the root, one per frame; others where there are none."""
    values = _array(file, name, count)
    return otherwise if values is None or values.dtype.kind == "f" else values.astype("int64")


def read_text(file: h5py.File) -> PilatusText:
    """Read what the file says of the exposure and the detector, in the units of the data model."""
    cutoff = _value(file, "saturation_value") or _value(file, "detectorSpecific/countrate_correction_count_cutoff")
    return PilatusText(
        exposure_time=_value(file, "count_time"),
        exposure_period=_value(file, "frame_time"),
        count_cutoff=None if cutoff is None else int(cutoff),
        pixel_size_y=_value(file, "y_pixel_size"),
        pixel_size_x=_value(file, "x_pixel_size"),
        threshold_energy=_value(file, "threshold_energy"),
        sensor_material=read_string(file, "sensor_material") or None,
        sensor_thickness=_value(file, "sensor_thickness"),
    )


_UNITS = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "micron": 1e-6, "s": 1.0, "ms": 1e-3, "us": 1e-6, "eV": 1.0, "keV": 1e3}


def _value(file: h5py.File, name: str) -> float | None:
    dataset = _in_detector(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "iuf":
        return None
    value = float(np.asarray(dataset[()]).ravel()[0]) * _UNITS.get(decoded(dataset.attrs.get("units")), 1.0)
    return value if np.isfinite(value) else None


def read_string(file: h5py.File, name: str) -> str:
    """Text of the detector or the entry; empty where there is none."""
    dataset = _in_detector(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "OS":
        return ""
    return decoded(np.asarray(dataset[()]).ravel()[0])


def _in_detector(file: h5py.File, name: str) -> object:
    return next((item for group in detector_groups(file) if (item := group.get(name)) is not None), None)


def detector_groups(file: h5py.File) -> list[h5py.Group]:
    """Return groups that may describe the detector: those of detectors, of their data, and of the whole entry."""
    entries = [item for name in list(file)[:_ENTRIES] if isinstance(item := file.get(name), h5py.Group)]
    instruments = [item for entry in entries if isinstance(item := entry.get("instrument"), h5py.Group)]
    detectors = [
        item
        for instrument in instruments
        for name in list(instrument)[:_ENTRIES]
        if isinstance(item := instrument.get(name), h5py.Group)
        and (name == "detector" or decoded(item.attrs.get("NX_class")) == "NXdetector")
    ]
    data = [item for entry in entries if isinstance(item := entry.get("data"), h5py.Group)]
    return [*detectors, *data, *entries]


def read_attributes(item: h5py.Dataset | h5py.File) -> dict[str, Attribute]:
    """Attributes that are one text or number, without those that are netCDF's own."""
    found: dict[str, Attribute] = {}
    for name, value in item.attrs.items():
        if name in _NETCDF or name.startswith("_"):
            continue
        if isinstance(value, str | bytes):
            found[name] = decoded(value)
        elif np.size(value) == 1 and np.asarray(value).dtype.kind in "iuf":
            found[name] = np.asarray(value).item()
    return found


def decoded(value: object) -> str:
    """Text of an attribute, which HDF5 gives as bytes or str; empty for None."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) if value is not None else ""
