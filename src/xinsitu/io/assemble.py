"""From frames and times to the Dataset of the data model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu import __version__
from xinsitu.errors import warn
from xinsitu.schema import (
    CONVENTIONS,
    DETECTOR_SHAPE,
    FIRST_FRAME,
    TIME_ENCODING,
    UNKNOWN_ZONE,
    FrameStatus,
    attributes_of,
    time_from_microseconds,
)
from xinsitu.variables import Counted

from .columns import header_columns
from .discover import first_frame, sample_and_measurement
from .formats.pilatus import PilatusText
from .gather import Gathered
from .instruments import Instrument
from .lazy_frames import lazily
from .recognition import Chosen
from .times import TimeAxis

_SHOWN = 20
_OWN = ("Conventions", "xinsitu_version", "source", "source_token", "time_source")
"""Attributes of this opening, which a file cannot say."""
_WALL_TIME = ("time_zone", "time_zone_source", "stamp_marks")


@dataclass(frozen=True)
class Clock:
    """Times, the zone that they were read in, where that came from, and what a stamp marks."""

    axis: TimeAxis
    zone: str
    zone_source: str
    stamp_marks: str


def assemble(folder: str, gathered: Gathered, clock: Clock, chosen: Chosen) -> xr.Dataset:
    """Return the Dataset of a measurement: lazy ``image``, coordinates and attributes."""
    stack, instrument = gathered.stack, chosen.table
    image = Counted(("time", "y", "x"), lazily(stack)).isel(instrument.flips)
    dataset = xr.Dataset({"image": image}, coords=_coordinates(folder, gathered, clock.axis, instrument))
    for name in ("image", *dataset.coords):
        long_name = {"y": instrument.y_name, "x": instrument.x_name}.get(str(name))
        if name != "time":
            dataset[name].attrs = attributes_of(str(name), long_name=long_name)
    dataset["image"].attrs.update(gathered.image_attributes)
    dataset = dataset.assign_coords(header_columns(gathered.headers))
    dataset["time"].attrs = {"long_name": "time", "standard_name": "time"}
    if clock.zone_source == UNKNOWN_ZONE:
        dataset["time"].attrs["long_name"] = "time on the detector's clock, whose zone is not known"
    dataset["time"].encoding = dict(TIME_ENCODING)
    dataset["image"].encoding["preferred_chunks"] = stack.preferred_chunks
    if gathered.origin == (0, 0):
        dataset["image"].attrs.setdefault(DETECTOR_SHAPE, json.dumps([image.shape[1], image.shape[2]]))
    if stack.dtype != stack.stored:  # the codes of bad pixels are those of the type on disk
        dataset["image"].attrs["stored_dtype"] = stack.stored.str
    if (cutoff := _lowest_cutoff(gathered)) is not None:
        dataset["image"].attrs["count_cutoff"] = cutoff
    if clock.axis.source != "frame":
        dataset = with_bounds(dataset, clock.stamp_marks, gathered.first.text.exposure_period)
    dataset.attrs = _attributes(folder, gathered, clock, chosen)
    _warn_of_changes(folder, gathered)
    dataset.encoding["source"] = dataset["image"].encoding["source"] = folder
    source, number, stamp = str(dataset.attrs["source"]), int(gathered.frame[0]), str(dataset["stamp"].values[0])
    dataset["image"].encoding[FIRST_FRAME] = first_frame(folder, stack.names[0], source, number, stamp)
    return dataset


def _warn_of_stamps(folder: str, gathered: Gathered, without: npt.NDArray[np.bool_]) -> None:
    """Say how many good frames had no stamp that can be read, among others that had one."""
    if not without.any() or (~without).sum() < 2:  # of one stamp alone, the period that was given places the others
        return
    first = int(without.argmax())
    header = gathered.headers[first]
    said = f"has {header.stamp!r}" if header and header.stamp else "has none"
    warn(
        f"{folder}: {without.sum()} of {len(without)} frames have no time stamp that can be read "
        f"(frame {gathered.frame[first]} is the first, it {said}): "
        "their times are interpolated by frame number, flagged no_stamp"
    )


def _coordinates(folder: str, gathered: Gathered, axis: TimeAxis, instrument: Instrument) -> dict[str, Any]:
    rows, columns = gathered.stack.frame_shape
    status = gathered.status.copy()
    for where, flag in (
        (axis.interpolated, FrameStatus.NO_STAMP),
        (axis.stale, FrameStatus.STALE_TIME),
        (axis.doubtful, FrameStatus.DOUBTFUL_TIME),
    ):
        status[where & (status == FrameStatus.OK)] = flag
    _warn_of_stamps(folder, gathered, status == FrameStatus.NO_STAMP)
    sample, measurement = sample_and_measurement(folder)
    coordinates: dict[str, Any] = {
        "time": ("time", time_from_microseconds(axis.microseconds)),
        "y": ("y", gathered.origin[0] + np.arange(rows, dtype="int64")),
        "x": ("x", gathered.origin[1] + np.arange(columns, dtype="int64")),
        "frame": ("time", gathered.frame),
        "scan": ("time", gathered.scan),
        "stamp": ("time", np.array([header.stamp if header else "" for header in gathered.headers], dtype="U")),
        "frame_status": ("time", status),
        "sample": sample,
        "measurement": measurement,
    }
    if gathered.mask is not None:
        coordinates["mask"] = xr.Variable(("y", "x"), gathered.mask).isel(instrument.flips)
    if axis.uncertainty is not None:
        coordinates["time_uncertainty"] = ("time", axis.uncertainty)
    exposure = [header.text.exposure_time if header else None for header in gathered.headers]
    known = {value for value in exposure if value is not None}
    if len(known) == 1:
        coordinates["exposure_time"] = known.pop()
    elif known:
        coordinates["exposure_time"] = ("time", np.array([np.nan if one is None else one for one in exposure]))
    return coordinates


def _time_source(axis: TimeAxis, sources: Iterable[str]) -> str:
    """Where times come from, and whether equal ones were spread."""
    said = ",".join(sorted(sources)) if axis.source == "stamp" else axis.source
    return f"{said}, equal ones spread within {axis.resolution:g} s" if axis.spread else said


def with_bounds(dataset: xr.Dataset, marks: str, period: float | None) -> xr.Dataset:
    """Add begin and end of each exposure, ``time_bounds (time, bound)``, where exposure times or a period are known.

    ``time`` stays the stamp, which ``marks`` the start or the end of the exposure; where a frame does not say how long
    it was exposed the period stands for it.
    """
    if "exposure_time" not in dataset.coords and not period:
        return dataset
    told = dataset["exposure_time"].values if "exposure_time" in dataset.coords else np.nan
    seconds = np.broadcast_to(np.asarray(told, dtype=np.float64), dataset.sizes["time"])
    seconds = np.where(np.isfinite(seconds) & (seconds >= 0), seconds, period or np.nan)
    if not np.isfinite(seconds).all():
        return dataset
    length = np.rint(seconds * 1e6).astype("int64").astype("timedelta64[us]").astype("timedelta64[ns]")
    stamp = dataset["time"].values
    ends = (stamp, stamp + length) if marks == "start" else (stamp - length, stamp)
    bounds = xr.Variable(("time", "bound"), np.stack(ends, axis=1), {"long_name": "begin and end of the exposure"})
    bounds.encoding = dict(TIME_ENCODING)
    return dataset.assign_coords(time_bounds=bounds)


def _left_out(gathered: Gathered) -> str | None:
    """Files of the series that are not among the frames, and why."""
    kept = set(gathered.stack.names)
    gone = [fault for fault in gathered.faults if os.path.basename(fault.path) not in kept]
    said = [f"{os.path.basename(fault.path)} ({fault.status.name.lower()})" for fault in gone[:_SHOWN]]
    more = [f"and {len(gone) - _SHOWN} more"] if len(gone) > _SHOWN else []
    return ", ".join([*said, *more]) or None


def _lowest_cutoff(gathered: Gathered) -> int | None:
    """Count at which pixels are full; the lowest, where frames differ, so that none passes for sound.

    Pixels of 8 or 16 bits are full at the highest number that these hold, where the counter itself goes on.
    """
    cutoffs = [text.count_cutoff for text, _ in _texts(gathered) if text.count_cutoff is not None]
    stored = gathered.stack.stored
    highest = [2 ** (8 * stored.itemsize) - 1] if stored.kind == "u" and stored.itemsize <= 2 else []
    return min(cutoffs + highest) if cutoffs else None


def _texts(gathered: Gathered) -> list[tuple[PilatusText, int]]:
    """Return the different texts of the headers, each with the position of its first frame; most series have one."""
    found: dict[PilatusText, int] = {}
    last: PilatusText | None = None
    for position, header in enumerate(gathered.headers):
        if header is not None and header.text is not last:
            last = header.text
            found.setdefault(replace(last, stamp=None, exposure_time=None), position)
    return list(found.items())


def _warn_of_changes(folder: str, gathered: Gathered) -> None:
    """Say that the detector was set otherwise for some frames: attributes are those of the first one."""
    (first, _), *others = _texts(gathered)
    known = first.attributes()
    changed = {
        name: (position, value)
        for text, position in reversed(others)
        for name, value in text.attributes().items()
        if name in known and value != known[name]
    }
    models: dict[str, int] = {}
    for index, header in enumerate(gathered.headers):
        if header is not None and header.model:
            models.setdefault(header.model, index)
    if len(models) > 1:
        other = sorted(models.values())[1]
        changed["detector"] = other, next(model for model, index in models.items() if index == other)
        known["detector"] = gathered.first.model
    if changed:
        name, (position, value) = next(iter(changed.items()))
        more = f" (and {', '.join(list(changed)[1:])})" if len(changed) > 1 else ""
        warn(
            f"{folder}: {name} is {known[name]} in the first frame and {value} in "
            f"{gathered.stack.names[position]}{more}; attributes are those of the first frame"
        )


def _of_wall_time(clock: Clock) -> dict[str, str]:
    """Attributes that numbered frames do not have: their time is nowhere's."""
    if clock.axis.source == "frame":
        return {}
    said = zip(_WALL_TIME, (clock.zone, clock.zone_source, clock.stamp_marks), strict=True)
    return {name: text for name, text in said if text}


def _attributes(folder: str, gathered: Gathered, clock: Clock, chosen: Chosen) -> dict[str, str | int | float]:
    first, axis = gathered.first, clock.axis
    detector, serial = first.detector
    sources = {header.stamp_source for header in gathered.headers if header and header.stamp_source}
    attributes: dict[str, str | int | float | None] = {
        "Conventions": CONVENTIONS,
        "xinsitu_version": __version__,
        "instrument": chosen.table.name,
        "instrument_source": chosen.by,
        "source": "/".join(sample_and_measurement(folder)),
        "source_token": gathered.stack.token,
        **_of_wall_time(clock),
        "time_source": _time_source(axis, sources),
        "time_resolution": axis.resolution,
        "detector": detector or None,
        "detector_serial": serial,
        "software": first.software or None,
        "frames_left_out": _left_out(gathered),
        "flipped": ",".join(chosen.table.flip) or None,
        **first.text.attributes(),
        "count_cutoff": _lowest_cutoff(gathered),
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    own = _OWN if "time_zone_source" in known else (*_OWN, *_WALL_TIME)
    return known | {name: value for name, value in gathered.attributes.items() if name not in own}
