"""Recipes on frames: how a measurement is opened, corrected and measured."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import xarray as xr

from xinsitu.errors import DocumentError, warn
from xinsitu.io.instruments import Instrument, instrument_names
from xinsitu.io.mean_frames import OF_THE_FRAMES
from xinsitu.io.measurement import open_flatfield, open_image, open_measurement
from xinsitu.io.options import OpenOptions
from xinsitu.io.pixel_maps import read_calibration, read_mask
from xinsitu.io.recognition import RECOGNISED
from xinsitu.physics.corrections.apply import Correction, correct, crop, median
from xinsitu.physics.reduction.series import measure
from xinsitu.physics.samples.bad_frames import flag_bad_frames
from xinsitu.physics.samples.calibration import calibrate, reciprocal_axis
from xinsitu.schema import FIRST_FRAME, image_of
from xinsitu.values import Background, Bounds, FrameRange, RoiSet, frame_ranges
from xinsitu.variables import applied_to

VERSION = 1
FRAMES = ("flatfield", "dark", "background_image")
"""Calibrations that are folders of frames."""
FILES = (*FRAMES, "mask")
OneInstrument = str | os.PathLike[str] | Instrument | None


@dataclass(frozen=True)
class Reading(OpenOptions):
    """How frames are opened: the keywords of :func:`~xinsitu.open_measurement`."""

    def open(self, folder: Path) -> xr.Dataset:
        """Open a measurement lazily."""
        return open_measurement(folder, **self.to_dict())

    def open_flatfield(self, folder: Path) -> xr.DataArray:
        """Open flat-field frames, whose times play no part."""
        return open_flatfield(folder, tz=self.tz, instrument=self.instrument)

    def open_image(self, path: Path) -> xr.DataArray:
        """Open frames of a dark or a background image, averaged."""
        return open_image(path, instrument=self.instrument)

    def named(self, scan: xr.Dataset) -> Reading:
        """Return how frames are opened the same way anywhere: the instrument that was set or recognised by its name."""
        name = str(scan.attrs.get("instrument", ""))
        return replace(self, instrument=name) if self.instrument is None and name in instrument_names() else self

    def beside(self, scan: xr.Dataset) -> Reading:
        """Return how flat fields, masks and calibrations of these frames are read: as of the same instrument."""
        recognised = str(scan.attrs.get("instrument_source", "")).startswith(RECOGNISED)
        return replace(self, instrument=str(scan.attrs["instrument"])) if recognised else self


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
    dark: Path | None = None
    background_image: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Frames that calibrate others: of the flat field, the dark and the background image."""
        given = (getattr(self, name) for name in FRAMES)
        return tuple(path for path in given if path is not None)

    def of(self, scan: xr.Dataset) -> Correcting:
        """Return what is left to do to frames that may have been corrected before: a median never goes over them twice.

        Other steps that were done are refused where they are asked for again; a median is a default.
        """
        if self.median is None or "median" not in applied_to(image_of(scan)):
            return self
        warn("the frames have been through a median already; it is not applied again")
        return replace(self, median=None, threshold=None)

    def correction(self, reading: Reading) -> Correction:
        """Return the correction, with its calibration frames averaged."""
        return Correction(
            median=self.median,
            threshold=self.threshold,
            flatfield=None if self.flatfield is None else self._flat(self.flatfield, reading),
            background=self.background,
            mask=None if self.mask is None else read_mask(self.mask, instrument=reading.instrument),
            normalise=self.normalise,
            count_rate=self.count_rate,
            dark=None if self.dark is None else reading.open_image(self.dark),
            background_image=None if self.background_image is None else reading.open_image(self.background_image),
        )

    def _flat(self, folder: Path, reading: Reading) -> xr.DataArray:
        if self.flatfield_median is None:
            return reading.open_flatfield(folder)
        given = open_measurement(folder, instrument=reading.instrument, time="frame")
        flat = median(given["image"], self.flatfield_median).mean("time", dtype="float64").compute()
        told = {name: given.attrs[name] for name in OF_THE_FRAMES if name in given.attrs} | {
            "units": "1",
            "n_frames": given.sizes["time"],
            "total_counts": float(flat.mean()) * given.sizes["time"],
        }
        result = (flat / flat.mean()).assign_attrs(flat.attrs, **told).rename("flatfield")
        result.encoding[FIRST_FRAME] = given["image"].encoding[FIRST_FRAME]
        return result

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form of what is not None."""
        document: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in FILES:
            if document[name] is not None:
                document[name] = relative(document[name], base)
        if self.background is not None:
            document["background"] = self.background.to_dict()
        return {name: value for name, value in document.items() if value is not None}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Correcting:
        """Read the JSON form."""
        values = dict(known(document, _names(cls), "correction"))
        for name in FILES:
            if values.get(name) is not None:
                values[name] = base / values[name]
        if values.get("background") is not None:
            values["background"] = Background.from_dict(values["background"])
        return cls(**values)


@dataclass(frozen=True)
class Calibrating:
    """What pixels along an axis are in reciprocal space: a name for it, and the file of a map or vector."""

    axis: Literal["y", "x"]
    name: str
    file: Path
    lattice_constant: float | None = None
    transpose: bool = False

    def pixels(self, detector: xr.Dataset | None = None, instrument: OneInstrument = None) -> xr.DataArray:
        """Read the file; it has to fit the detector, where that is known."""
        how: dict[str, Any] = {"axis": self.axis, "transpose": self.transpose, "instrument": instrument}
        values = read_calibration(self.file, detector, **how)
        return reciprocal_axis(values, self.name, lattice_constant=self.lattice_constant)

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        document = {item.name: getattr(self, item.name) for item in fields(self)} | {"file": relative(self.file, base)}
        return {name: value for name, value in document.items() if value not in (None, False)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Calibrating:
        """Read the JSON form."""
        values = dict(known(document, [item.name for item in fields(cls)], "calibration"))
        if lacks := [name for name in ("axis", "name", "file") if name not in values]:
            raise DocumentError(f"a calibration lacks {' and '.join(lacks)}")
        return cls(**{**values, "file": base / values["file"]})


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
        scan = self.reading.open(self.measurement)
        scan = correct(scan, self.correcting.of(scan).correction(self.reading.beside(scan)))
        return scan if self.crop is None else crop(scan, y=self.crop[0], x=self.crop[1])

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        document = measurement_dict(self, base)
        return document if self.crop is None else {**document, "crop": [list(bounds) for bounds in self.crop]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Parse:
        """Read the JSON form."""
        box = document.get("crop")
        return cls(**measurement_values(document, base), crop=None if box is None else (tuple(box[0]), tuple(box[1])))


@dataclass(frozen=True)
class Measure:
    """The ROI time series of a measurement; ``smooth`` is the width in bins of a mean over profiles, for their FWHM."""

    command: ClassVar[str] = "measure"
    measurement: Path
    rois: RoiSet
    reading: Reading = Reading()
    correcting: Correcting = Correcting()
    smooth: int | None = None
    calibrating: tuple[Calibrating, ...] = ()
    profiles: bool = False
    bad_frames: tuple[FrameRange, ...] = ()

    def produce(self) -> xr.Dataset:
        """Return the ROI time series, computed in one pass."""
        scan = self.reading.open(self.measurement)
        beside = self.reading.beside(scan)
        correction = self.correcting.of(scan).correction(beside)
        pixels: dict[str, xr.DataArray] = {one.axis: one.pixels(scan, beside.instrument) for one in self.calibrating}
        series = measure(scan, self.rois, correction=correction, smooth=self.smooth, profiles=self.profiles)
        series = calibrate(series, pixels).compute()
        return flag_bad_frames(series, self.bad_frames) if self.bad_frames else series

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        document = {**measurement_dict(self, base), "rois": self.rois.to_dict()}
        if self.calibrating:
            document["calibration"] = [one.to_dict(base) for one in self.calibrating]
        wanted: dict[str, Any] = {"smooth": self.smooth, "profiles": self.profiles}
        wanted["bad_frames"] = [one.to_dict() for one in self.bad_frames]
        return document | {name: value for name, value in wanted.items() if value}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Measure:
        """Read the JSON form."""
        rois = RoiSet.from_dict(document.get("rois", {}))
        return cls(
            **measurement_values(document, base),
            rois=rois,
            smooth=document.get("smooth"),
            calibrating=tuple(Calibrating.from_dict(one, base) for one in document.get("calibration", ())),
            profiles=bool(document.get("profiles", False)),
            bad_frames=frame_ranges(document.get("bad_frames", ())),
        )


def _names(kind: type[Reading] | type[Correcting]) -> list[str]:
    return [item.name for item in fields(kind)]


class OfMeasurement(Protocol):
    """A recipe on the frames of one measurement."""

    command: ClassVar[str]

    @property
    def measurement(self) -> Path:
        """Where the frames are."""

    @property
    def reading(self) -> Reading:
        """How they are opened."""

    @property
    def correcting(self) -> Correcting:
        """What is done to them."""


def measurement_dict(step: OfMeasurement, base: Path) -> dict[str, Any]:
    """JSON form of what all recipes on frames have."""
    return {
        "command": step.command,
        "version": VERSION,
        "measurement": relative(step.measurement, base),
        "reading": step.reading.to_dict(),
        "correction": step.correcting.to_dict(base),
    }


def measurement_values(document: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return the same from the JSON form."""
    return {
        "measurement": base / document["measurement"],
        "reading": Reading(**known(document.get("reading", {}), _names(Reading), "reading")),
        "correcting": Correcting.from_dict(document.get("correction", {}), base),
    }


def relative(path: Path, base: Path) -> str:
    """Return a path relative to the folder that the recipe lies in."""
    return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()


def known(document: Mapping[str, Any], names: Iterable[str], what: str) -> Mapping[str, Any]:
    """Return the document unless it has a key that is not among the names."""
    if strange := sorted(set(document) - set(names)):
        raise DocumentError(f"{what} has no {', '.join(strange)}; it has {', '.join(sorted(names))}")
    return document
