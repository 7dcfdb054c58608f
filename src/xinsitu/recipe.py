"""How a result is made, as a frozen value: it can be saved inside the result, compared and run again.

A recipe is one of

* :class:`Parse`: the corrected frames of a measurement;
* :class:`Measure`: the ROI time series of a measurement;
* :class:`Stored`: a result of unknown origin, taken as it is;
* :class:`Stitch`: several of these joined on one time axis, corrected for changes of attenuation;
* :class:`Append`: measurements appended to such a sample.

Each has ``produce()``, which returns the Dataset, and ``to_dict(base)``, where paths are relative to the folder
``base`` that the document lies in; :func:`recipe_from_dict` reads it back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from .errors import DocumentError
from .io.masks import read_mask
from .io.measurement import open_flatfield, open_measurement
from .io.results import read_results
from .physics.appending import append_measurements
from .physics.attenuation import correct_attenuation
from .physics.corrections import Correction, correct, crop, median
from .physics.events import with_events
from .physics.find_changes import find_attenuation_changes
from .physics.overlap import attenuation_from_overlap
from .physics.reductions import measure
from .physics.stitching import stitch
from .values import AttenuationChange, Background, Bounds, Event, RoiSet

VERSION = 1
ATTENUATION = ("roi", "window", "method", "reference", "legacy")
"""Keywords of the attenuation's correction that a recipe may set."""


@dataclass(frozen=True)
class Reading:
    """How frames are opened; the keywords of :func:`~xinsitu.open_measurement`."""

    tz: str | None = None
    instrument: str | None = None
    on_error: str = "raise"
    order_error: str = "raise"
    time: str = "auto"
    series: str | None = None
    fill_missing: bool = False
    period: float | None = None
    stamp_marks: str | None = None
    logs: str | None = "auto"

    def open(self, folder: Path) -> xr.Dataset:
        """Open a measurement lazily."""
        return open_measurement(folder, **self.to_dict())

    def open_flatfield(self, folder: Path) -> xr.DataArray:
        """Open flat-field frames, whose times play no part."""
        return open_flatfield(folder, tz=self.tz, instrument=self.instrument)

    def to_dict(self) -> dict[str, Any]:
        """Keywords that differ from the defaults."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name)) != item.default}


@dataclass(frozen=True)
class Correcting:
    """What is done to the frames: the fields of :class:`~xinsitu.Correction`, calibrations named by their files.

    ``flatfield_median`` filters the flat-field frames before they are averaged.
    """

    median: int | None = None
    threshold: float | None = None
    flatfield: Path | None = None
    flatfield_median: int | None = None
    background: Background | None = None
    mask: Path | None = None
    normalise: str | None = None
    count_rate: float | None = None

    def correction(self, reading: Reading) -> Correction:
        """Return the correction, with its calibration frames averaged."""
        return Correction(
            median=self.median,
            threshold=self.threshold,
            flatfield=None if self.flatfield is None else self._flat(self.flatfield, reading),
            background=self.background,
            mask=None if self.mask is None else read_mask(self.mask),
            normalise=self.normalise,
            count_rate=self.count_rate,
        )

    def _flat(self, folder: Path, reading: Reading) -> xr.DataArray:
        if self.flatfield_median is None:
            return reading.open_flatfield(folder)
        frames = median(open_measurement(folder, tz=reading.tz, time="frame")["image"], self.flatfield_median)
        flat = frames.mean("time", dtype="float64").compute()
        return (flat / flat.mean()).assign_attrs(flat.attrs, units="1").rename("flatfield")

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form of what is not None."""
        document: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("flatfield", "mask"):
            if document[name] is not None:
                document[name] = _relative(document[name], base)
        if self.background is not None:
            document["background"] = self.background.to_dict()
        return {name: value for name, value in document.items() if value is not None}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Correcting:
        """Read the JSON form."""
        values = dict(_known(document, _names(cls), "correction"))
        for name in ("flatfield", "mask"):
            if values.get(name) is not None:
                values[name] = base / values[name]
        if values.get("background") is not None:
            values["background"] = Background.from_dict(values["background"])
        return cls(**values)


@dataclass(frozen=True)
class Parse:
    """The corrected frames of a measurement."""

    command: ClassVar[str] = "parse"
    measurement: Path
    reading: Reading = Reading()
    correcting: Correcting = Correcting()
    crop: tuple[Bounds, Bounds] | None = None

    def produce(self) -> xr.Dataset:
        """Return the measurement corrected, lazily."""
        scan = correct(self.reading.open(self.measurement), self.correcting.correction(self.reading))
        return scan if self.crop is None else crop(scan, y=self.crop[0], x=self.crop[1])

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        document = _measurement_dict(self, base)
        return document if self.crop is None else {**document, "crop": [list(bounds) for bounds in self.crop]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Parse:
        """Read the JSON form."""
        box = document.get("crop")
        return cls(**_measurement_values(document, base), crop=None if box is None else (tuple(box[0]), tuple(box[1])))


@dataclass(frozen=True)
class Measure:
    """The ROI time series of a measurement."""

    command: ClassVar[str] = "measure"
    measurement: Path
    rois: RoiSet
    reading: Reading = Reading()
    correcting: Correcting = Correcting()

    def produce(self) -> xr.Dataset:
        """Return the ROI time series, computed in one pass."""
        scan = self.reading.open(self.measurement)
        return measure(scan, self.rois, correction=self.correcting.correction(self.reading)).compute()

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {**_measurement_dict(self, base), "rois": self.rois.to_dict()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Measure:
        """Read the JSON form."""
        return cls(**_measurement_values(document, base), rois=RoiSet.from_dict(document.get("rois", {})))


@dataclass(frozen=True)
class Stored:
    """A result of unknown origin, taken as it is."""

    command: ClassVar[str] = "stored"
    path: Path

    def produce(self) -> xr.Dataset:
        """Return what the file holds."""
        return read_results(self.path)

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {"command": self.command, "path": _relative(self.path, base)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Stored:
        """Read the JSON form."""
        return cls(base / document["path"])


@dataclass(frozen=True)
class Stitch:
    """Measurements on one time axis, corrected for changes of attenuation.

    With ``find`` the changes are looked for; given ``changes`` are applied as they are. With ``overlap``, the name of a
    coordinate, factors come from the range of it that was scanned before and after. ``attenuation`` holds keywords
    of :func:`~xinsitu.correct_attenuation`: ``roi``, ``window``, ``method``, ``reference``, ``legacy``.
    """

    command: ClassVar[str] = "stitch"
    inputs: tuple[Recipe, ...]
    changes: tuple[AttenuationChange, ...] = ()
    find: bool = False
    events: tuple[Event, ...] = ()
    attenuation: Mapping[str, Any] = field(default_factory=dict)
    allow_overlap: bool = False
    overlap: str | None = None

    def produce(self) -> xr.Dataset:
        """Return the sample."""
        return self.join([step.produce() for step in self.inputs])

    def join(self, series: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the sample from the time series of its inputs, in their order."""
        return self.corrected(self.joined(series))

    def joined(self, series: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the sample before its changes of attenuation are corrected, with its events."""
        sample = stitch(series, allow_overlap=self.allow_overlap)
        return with_events(sample, self.events) if self.events else sample

    def corrected(self, sample: xr.Dataset) -> xr.Dataset:
        """Return the sample with its changes corrected: those given, or those found."""
        changes = self.changes_of(sample)
        return correct_attenuation(sample, changes, **self.attenuation) if changes else sample

    def changes_of(self, sample: xr.Dataset) -> Sequence[AttenuationChange]:
        """Return the changes that were given, or those that are found in the sample."""
        if self.overlap is not None:
            return attenuation_from_overlap(
                sample, self.overlap, changes=self.changes or None, roi=self.attenuation.get("roi")
            )
        if not self.find:
            return self.changes
        return find_attenuation_changes(
            sample, **{name: value for name, value in self.attenuation.items() if name in ("roi", "window")}
        )

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {
            "command": self.command,
            "inputs": [step.to_dict(base) for step in self.inputs],
            "changes": [change.to_dict() for change in self.changes],
            "find": self.find,
            "events": [event.to_dict() for event in self.events],
            "attenuation": dict(self.attenuation),
            "allow_overlap": self.allow_overlap,
            "overlap": self.overlap,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Stitch:
        """Read the JSON form."""
        return cls(
            inputs=tuple(recipe_from_dict(step, base) for step in document.get("inputs", ())),
            changes=tuple(map(AttenuationChange.from_dict, document.get("changes", ()))),
            find=bool(document.get("find", False)),
            events=tuple(map(Event.from_dict, document.get("events", ()))),
            attenuation=dict(_known(document.get("attenuation", {}), ATTENUATION, "attenuation")),
            allow_overlap=bool(document.get("allow_overlap", False)),
            overlap=document.get("overlap"),
        )


@dataclass(frozen=True)
class Append:
    """Measurements appended to a sample; its own factors stay, new changes are corrected too."""

    command: ClassVar[str] = "append"
    sample: Recipe
    inputs: tuple[Recipe, ...]
    changes: tuple[AttenuationChange, ...] = ()
    find: bool = False
    events: tuple[Event, ...] = ()
    allow_overlap: bool = False

    def produce(self) -> xr.Dataset:
        """Return the longer sample."""
        return self.join(self.sample.produce(), [step.produce() for step in self.inputs])

    def join(self, sample: xr.Dataset, series: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the longer sample from what is there and what is new."""
        longer = append_measurements(
            sample, series, changes=self.changes, find=self.find, allow_overlap=self.allow_overlap
        )
        return with_events(longer, self.events)

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {
            "command": self.command,
            "sample": self.sample.to_dict(base),
            "inputs": [step.to_dict(base) for step in self.inputs],
            "changes": [change.to_dict() for change in self.changes],
            "find": self.find,
            "events": [event.to_dict() for event in self.events],
            "allow_overlap": self.allow_overlap,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Append:
        """Read the JSON form."""
        return cls(
            sample=recipe_from_dict(document["sample"], base),
            inputs=tuple(recipe_from_dict(step, base) for step in document.get("inputs", ())),
            changes=tuple(map(AttenuationChange.from_dict, document.get("changes", ()))),
            find=bool(document.get("find", False)),
            events=tuple(map(Event.from_dict, document.get("events", ()))),
            allow_overlap=bool(document.get("allow_overlap", False)),
        )


Recipe = Parse | Measure | Stored | Stitch | Append
_KINDS: Mapping[str, type[Parse] | type[Measure] | type[Stored] | type[Stitch] | type[Append]] = {
    kind.command: kind for kind in (Parse, Measure, Stored, Stitch, Append)
}


def recipe_from_dict(document: Mapping[str, Any], base: Path) -> Recipe:
    """Read a recipe whose paths are relative to ``base``.

    Raises
    ------
    DocumentError
        It is no recipe, or of a newer version.
    """
    kind = _KINDS.get(str(document.get("command")))
    if kind is None:
        raise DocumentError(f"a recipe's command is one of {', '.join(_KINDS)}, not {document.get('command')!r}")
    if document.get("version", VERSION) != VERSION:
        raise DocumentError(f"version {document['version']!r} of recipes is not known, only {VERSION}")
    try:
        return kind.from_dict(document, base)
    except (KeyError, TypeError) as fault:
        raise DocumentError(f"the recipe of the command {kind.command} is not complete: {fault}") from None


# -- helpers ----------------------------------------------------------------------------------------------------------


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()


def _names(kind: type[Reading] | type[Correcting]) -> list[str]:
    return [item.name for item in fields(kind)]


def _known(document: Mapping[str, Any], names: Iterable[str], what: str) -> Mapping[str, Any]:
    if strange := sorted(set(document) - set(names)):
        raise DocumentError(f"{what} has no {', '.join(strange)}; it has {', '.join(sorted(names))}")
    return document


def _measurement_dict(step: Parse | Measure, base: Path) -> dict[str, Any]:
    return {
        "command": step.command,
        "version": VERSION,
        "measurement": _relative(step.measurement, base),
        "reading": step.reading.to_dict(),
        "correction": step.correcting.to_dict(base),
    }


def _measurement_values(document: Mapping[str, Any], base: Path) -> dict[str, Any]:
    return {
        "measurement": base / document["measurement"],
        "reading": Reading(**_known(document.get("reading", {}), _names(Reading), "reading")),
        "correcting": Correcting.from_dict(document.get("correction", {}), base),
    }
