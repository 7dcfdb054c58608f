"""What an HDF5 file says beside its frames: times, counters, exposure, detector.

Units are converted by the table of :mod:`~xinsitu.io.units`. What is found and cannot be used is said, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from xinsitu.clock import parse_stamp

from .formats import epics
from .formats.hdf5_links import decoded
from .formats.pilatus import PilatusText
from .gather import Attribute
from .units import MOST_SECONDS, are_seconds, factor, moments_since, quantity, scaled, unusable

_NETCDF = ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME", "coordinates", "signal", "target")
_ATTRIBUTES = ("instrument/NDAttributes", "instrument/detector/NDAttributes", "NDAttributes")
_CLOCKS = ("timestamp", "timestamps", "epoch", "epoch_trig")
"""UNIX seconds of every frame."""
_EXPOSURES = {"count_time": "", "exposure_time": "", "acq_parameters/acq_expo_time": "s"}
"""Where exposure times stand, and the unit that the writer prescribes where none is given (BLISS and LIMA)."""
_READINGS = ("data", "integral", "value")
"""Where a monitor of NeXus has its counts."""
_CUTOFFS = ("saturation_value", "detectorSpecific/countrate_correction_count_cutoff", "count_cutoff")
_BEAM = ("instrument/beam/incident_", "beam/incident_", "sample/beam/incident_", "instrument/monochromator/")
_BEAMS = {f"{group}{name}": unit for name, unit in (("wavelength", "m"), ("energy", "eV")) for group in _BEAM}
_BEAMS |= {"detectorSpecific/photon_energy": "eV"}
"""Where the wavelength or the energy of the photons stands, the likeliest first, and in what."""
_PHOTON = 12_398.419843320026
"""Planck's constant times the speed of light, in eV and ångström."""
_PLAUSIBLE = (788_918_400, 4_102_444_800)
"""1995 to 2100, in UNIX seconds."""
_ENTRIES = 50

Numbers = npt.NDArray[np.float64]


@dataclass
class Times:
    """Times of the frames, in one of three ways."""

    utc: npt.NDArray[np.int64] | None = None
    stamps: list[str] = field(default_factory=list)
    source: str = ""


class Nexus:
    """The part of an open HDF5 file that belongs to one stack of frames.

    Parameters
    ----------
    file
        Open.
    place
        Where the frames stand in it.
    count
        How many there are.
    remarks
        Takes what a person should know.
    """

    def __init__(self, file: h5py.File, place: str, count: int, remarks: list[str]) -> None:
        self.file, self.place, self.count = file, place, count
        self.root = _entry(file, place)
        self.groups = detector_groups(self.root, place)
        self.remarks = remarks

    # -- single values ------------------------------------------------------------------------------------------------

    def text(self) -> PilatusText:
        """Read what the file says of the detector, in the units of the data model; exposure times are apart."""
        period = self.value("frame_time", "s")
        return PilatusText(
            exposure_period=None if period is None or np.ptp(period) else float(period[0]),
            count_cutoff=self.cutoff(),
            pixel_size_y=self._single("y_pixel_size", "m"),
            pixel_size_x=self._single("x_pixel_size", "m"),
            threshold_energy=self._single("threshold_energy", "eV"),
            sensor_material=self.string("sensor_material") or None,
            sensor_thickness=self._single("sensor_thickness", "m"),
            wavelength=self._wavelength(),
        )

    def _wavelength(self) -> float | None:
        """Wavelength of the beam in ångström, from the energy of its photons where that alone is told."""
        for name, unit in _BEAMS.items():
            if self.find(name) and (number := self._single(name, unit)):
                return round(number * 1e10 if unit == "m" else _PHOTON / number, 12)
        return None

    def exposures(self) -> Numbers | None:
        """Exposure time of every frame, in seconds."""
        for name, unit in _EXPOSURES.items():
            if (values := self.value(name, "s", default=unit)) is not None:
                return values
        if not any(self.find(name) for name in _EXPOSURES) and (axis := self._time_axis()):
            self.say(f"no {' or '.join(list(_EXPOSURES)[:2])} says how long frames were exposed; {axis}")
        return None

    def _time_axis(self) -> str:
        """Say which axis of the frames is in units of time, but no exposure; empty where there is none."""
        for group in self.groups:
            axes = np.atleast_1d(group.attrs.get("axes", ""))
            name = decoded(axes[0]) if axes.size else ""
            dataset = item_of(group, name) if name else None
            if isinstance(dataset, h5py.Dataset) and dataset.size == self.count:
                unit = decoded(dataset.attrs.get("units"))
                if unit and factor(unit, "s") is not None:
                    return f"their axis {name} ({unit}) is no exposure time"
        return ""

    def cutoff(self) -> int | None:
        """Count at which pixels are full: the lowest that the file names."""
        found = {name: values.min() for name in _CUTOFFS if (values := self.value(name, "")) is not None}
        for name in (name for name, value in found.items() if value <= 0):
            self.say(f"{name} is not above zero; it is not used")
        return int(min((value for value in found.values() if value > 0), default=0)) or None

    def _single(self, name: str, to: str) -> float | None:
        values = self.value(name, to)
        if values is not None and np.ptp(values):
            self.say(f"{name} changes from frame to frame; the first, {values[0]:g}, is taken")
        return None if values is None else float(values[0])

    def value(self, name: str, to: str, *, default: str = "") -> Numbers | None:
        """Numbers of a dataset in ``s``, ``m``, ``eV`` or, with ``""``, as they stand: one per frame.

        None where there are none, or where their shape, type or unit tells nothing; that is said.
        """
        dataset = self.find(name)
        if dataset is None:
            return None
        if dataset.size not in (1, self.count):
            self.say(
                f"{name} has the shape {dataset.shape}, which is neither one value nor one per frame; it is not used"
            )
            return None
        unit = decoded(dataset.attrs.get("units")) or default
        raw = np.asarray(dataset[()]).ravel()
        if raw.dtype.kind in "OS":
            known = [quantity(decoded(one), to, default=unit) if to else None for one in raw]
            if any(one is None for one in known):
                self.say(f"{name} is the text {decoded(raw[0])!r}; it is not used")
                return None
            values = np.array(known, dtype="float64")
        else:
            values = raw.astype("float64")
            scale = factor(unit, to) if to else 1.0
            if scale is None:
                self.say(unusable(name, values[0], unit, to))
                return None
            values = scaled(values, scale)
        wrong = "" if np.isfinite(values).all() else "no finite number"
        if wrong := wrong or ("not above zero" if to and (values.max() <= 0 or values.min() < 0) else ""):
            self.say(f"{name} is {wrong}; it is not used")
            return None
        return np.broadcast_to(values, (self.count,))

    def string(self, name: str) -> str:
        """Text of the detector or the entry; empty where there is none."""
        dataset = self.find(name, kinds="OSU")
        return "" if dataset is None or dataset.size != 1 else decoded(np.asarray(dataset[()]).ravel()[0]).strip()

    def strings(self, name: str) -> list[str]:
        """Texts, one per frame; none where there are not so many."""
        dataset = self.find(name, kinds="OSU")
        if dataset is None or dataset.size != self.count:
            return []
        return [decoded(one).strip() for one in np.asarray(dataset[()]).ravel()]

    def find(self, name: str, kinds: str = "iufOS") -> h5py.Dataset | None:
        """Return the dataset of this name that stands nearest to the frames."""
        items = (item_of(group, name) for group in self.groups)
        datasets = (item for item in items if isinstance(item, h5py.Dataset) and item.size)
        return next((item for item in datasets if item.dtype.kind in kinds), None)

    def say(self, remark: str) -> None:
        """Keep what a person should know, once."""
        if remark not in self.remarks:
            self.remarks.append(remark)

    # -- values of every frame ----------------------------------------------------------------------------------------

    def numbers(self, name: str, otherwise: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Whole numbers that stand at the root, one per frame; others where there are none."""
        values = _array(self.file, name, self.count)
        return otherwise if values is None or values.dtype.kind == "f" else values.astype("int64")

    def sequence(self) -> npt.NDArray[np.int64] | None:
        """Numbers that the detector gave its frames, which show those that were lost."""
        dataset = self.find("sequence_number", kinds="iu")
        if dataset is None:
            return None
        values = np.asarray(dataset[()]).ravel().astype("int64")
        if values.size == self.count and (np.diff(values) > 0).all():
            return values
        said = f"{values.size} values for {self.count} frames" if values.size != self.count else "not rising"
        self.say(f"sequence_number does not number the frames ({said}); it is not used")
        return None

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Attributes of areaDetector, counters of BLISS and monitors of NeXus that have one number per frame."""
        found: dict[str, npt.NDArray[Any]] = {}
        for group in (*self._areadetector(), self.root.get("measurement")):
            if not isinstance(group, h5py.Group):
                continue
            for name in list(group)[: 4 * _ENTRIES]:
                values = _array(group, name, self.count)
                if values is not None and not name.startswith("NDArray") and name not in _CLOCKS:
                    found.setdefault(name, values)
        return found | {name: one for name, one in self._monitors() if name not in found}

    def _monitors(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield the readings of each NXmonitor by its name; say where they are not one per frame."""
        entries = _entries(self.root)
        for group in (one for holder in (*entries, *_instruments(entries)) for one in _groups(holder)):
            if decoded(group.attrs.get("NX_class")) != "NXmonitor":
                continue
            name, known = group.name.rpartition("/")[2], {one: item_of(group, one) for one in _READINGS}
            found = {one: item for one, item in known.items() if isinstance(item, h5py.Dataset) and item.size > 1}
            readings = (_array(group, one, self.count) for one in known)
            if (values := next((one for one in readings if one is not None), None)) is not None:
                yield name, values
            for one, item in list(found.items())[: values is None]:
                self.say(
                    f"the monitor {name} has {one} of the shape {item.shape}, not one number per frame; it is not used"
                )

    def _areadetector(self) -> Iterator[h5py.Group]:
        """Yield the groups with attributes of areaDetector."""
        for group in (self.root, *_groups(self.root)):
            for place in _ATTRIBUTES:
                if isinstance(item := item_of(group, place), h5py.Group):
                    yield item

    def times(self, mtime_ns: int) -> Times:
        """Read times from EPICS, clock readings, a netCDF ``time``, or the start of a series and its frame time."""
        return self._epics(mtime_ns) or self._clock() or self._netcdf() or self._started() or Times()

    def _epics(self, mtime_ns: int) -> Times | None:
        for group in self._areadetector():
            seconds, nanoseconds = (_array(group, f"NDArrayEpicsTS{part}", self.count) for part in ("Sec", "nSec"))
            if seconds is not None and nanoseconds is not None:
                utc = (seconds.astype("int64") + epics.EPOCH) * 1_000_000 + nanoseconds.astype("int64") // 1000
                stamps = [f"{s:.0f}.{n:09.0f}" for s, n in zip(seconds, nanoseconds, strict=True)]
                return Times(utc, stamps, "epics")
            clock = _array(group, "NDArrayTimeStamp", self.count)
            posix = None if clock is None else epics.posix(float(clock[0]), mtime_ns)
            if clock is not None and posix is not None and are_seconds(clock):
                utc = np.rint((clock + (posix - clock[0])) * 1e6).astype("int64")
                return Times(utc, [repr(float(one)) for one in clock], "hdf5:NDArrayTimeStamp")
        return None

    def _clock(self) -> Times | None:
        for name in _CLOCKS:
            moments = self.find(name, kinds="iuf")
            if moments is None:
                continue
            unit = decoded(moments.attrs.get("units"))
            scale = factor(unit, "s") if unit else 1.0
            if moments.size != self.count or scale is None:
                reason = f"the unit {unit!r}" if scale is None else f"the shape {moments.shape}"
                self.say(f"{name} has {reason} and is not taken for the times of {self.count} frames")
                continue
            seconds = scaled(np.asarray(moments[()], dtype="float64").ravel(), scale)
            if bool(((seconds > _PLAUSIBLE[0]) & (seconds < _PLAUSIBLE[1])).all()):
                return Times(
                    np.rint(seconds * 1e6).astype("int64"), [repr(float(one)) for one in seconds], f"hdf5:{name}"
                )
        return None

    def _netcdf(self) -> Times | None:
        time = item_of(self.file, "time")
        units = decoded(time.attrs.get("units")) if isinstance(time, h5py.Dataset) else ""
        if not isinstance(time, h5py.Dataset) or time.shape != (self.count,) or " since " not in units:
            return None
        moments = moments_since(np.asarray(time[()]), units, decoded(time.attrs.get("calendar")))
        return None if moments is None else Times(utc=moments, source="netcdf:time")

    def _started(self) -> Times | None:
        """Return times of a series that says when it began and how long a frame takes; one frame needs no more."""
        for name in ("start_time", "detectorSpecific/data_collection_date"):
            if self.count > 1 and len(stamps := self.strings(name)) > 1:
                return Times(stamps=stamps, source=f"nexus:{name}")
            start = self.string(name)
            if start and parse_stamp(start) is None:
                self.say(f"{name} is {start!r}, which is no time that is known")
            elif start:
                return self._from(start)
            elif (number := self.find(name, kinds="iuf")) is not None:
                self.say(f"{name} is the number {np.ravel(number[()])[0]}, which is no time that is known")
        return None

    def _from(self, start: str) -> Times | None:
        begun = parse_stamp(start)
        steps = self.value("frame_time", "s") if self.count > 1 else np.zeros(1)
        if begun is None or steps is None:
            if self.find("frame_time") is None:
                self.say(f"the frames began at {start}; no frame_time says how far they are apart")
            return None
        if self.count > 1 and not 0 < steps.sum() < MOST_SECONDS:
            self.say(f"frame_time of {steps[0]:g} s gives the frames no times")
            return None
        after = np.rint(np.concatenate(([0.0], np.cumsum(steps[:-1]))) * 1e6).astype("int64")
        if begun.offset is not None:
            return Times(begun.microseconds - begun.offset + after, [start] * self.count, "nexus:start_time")
        local = (np.int64(begun.microseconds) + after).astype("datetime64[us]")
        return Times(stamps=[str(moment) for moment in local], source="nexus:start_time")


def _array(group: object, name: str, count: int) -> npt.NDArray[Any] | None:
    dataset = item_of(group, name) if isinstance(group, h5py.Group) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf" or dataset.size != count:
        return None
    return np.asarray(dataset[()]).ravel() if dataset.ndim else None


def item_of(group: h5py.Group, name: str) -> object:
    """Return what stands under a name; None for a link that leads nowhere."""
    try:
        return group.get(name)
    except (OSError, KeyError):
        return None


def _entry(file: h5py.File, place: str) -> h5py.Group:
    """Return the entry that holds the frames, where it is one that NeXus knows; else the whole file."""
    first, _, rest = place.strip("/").partition("/")
    group = item_of(file, first) if rest else None
    if isinstance(group, h5py.Group) and decoded(group.attrs.get("NX_class")) == "NXentry":
        return group
    return file


def _groups(group: h5py.Group) -> list[h5py.Group]:
    return [item for name in list(group)[:_ENTRIES] if isinstance(item := item_of(group, name), h5py.Group)]


def _entries(root: h5py.Group) -> list[h5py.Group]:
    return _groups(root) if root.name == "/" else [root]


def _instruments(entries: list[h5py.Group]) -> list[h5py.Group]:
    return [item for entry in entries if isinstance(item := item_of(entry, "instrument"), h5py.Group)]


def instrument_words(file: h5py.File) -> list[str]:
    """Words that say where a file comes from: names of the instrument, the beamline, the facility, the detector."""
    entries = _groups(file)
    places = [*entries, *(item_of(entry, name) for entry in entries for name in ("instrument", "source"))]
    named = [item_of(group, name) for group in places if isinstance(group, h5py.Group) for name in ("name", "beamline")]
    return [decoded(item[()]) for item in named if isinstance(item, h5py.Dataset) and item.shape == ()]


def detector_groups(root: h5py.Group, place: str = "") -> list[h5py.Group]:
    """Return groups that may describe the detector: those of detectors, of their data, and of the whole entry.

    Of several detectors it is the one that the frames stand in; of several entries those in ``root``.
    """
    entries = _entries(root)
    detectors = [
        item
        for instrument in _instruments(entries)
        for name in list(instrument)[:_ENTRIES]
        if isinstance(item := item_of(instrument, name), h5py.Group)
        and (name == "detector" or decoded(item.attrs.get("NX_class")) == "NXdetector")
    ]
    own = [item for item in detectors if f"/{place.strip('/')}".startswith(f"{item.name}/")]
    beside = (item_of(entry, name) for entry in entries for name in ("data", "measurement"))
    return [*(own or detectors), *(one for one in beside if isinstance(one, h5py.Group)), *entries]


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
