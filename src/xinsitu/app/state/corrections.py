"""What is done to the frames of one view: the correction, and the files that its calibrations come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from xinsitu.app.data.source import Source
from xinsitu.errors import CorrectionError
from xinsitu.physics.corrections.apply import Correction
from xinsitu.recipe import Correcting
from xinsitu.values import Background, Box

Calibration = Literal["flatfield", "mask", "dark", "background_image"]
CALIBRATIONS: Mapping[Calibration, tuple[str, str]] = {
    "flatfield": ("flat field", "folder"),
    "mask": ("mask", "file"),
    "dark": ("dark", "folder"),
    "background_image": ("background image", "folder"),
}
"""What comes from files: its name for people, and what holds it."""
NOT_COUNTERS = ("frame", "scan", "exposure_time", "frame_status")
"""Numbers per frame that say nothing of the beam."""


@dataclass(frozen=True)
class Corrections:
    """A correction whose steps are switched one by one; every change is a new value.

    Parameters
    ----------
    correction
        What is done.
    files
        Where its flat field, mask, dark and background image are read from, as far as files hold them.
    flatfield_median
        The median over the frames of the flat field before they are averaged.
    spare
        Those of them that were switched off, to be switched on again.

    Examples
    --------
    >>> Corrections(Correction(median=3, threshold=5)).changed(median=None).active is None
    True
    """

    correction: Correction = field(default_factory=Correction)
    files: Mapping[Calibration, Path] = field(default_factory=dict)
    flatfield_median: int | None = None
    spare: Mapping[Calibration, xr.DataArray] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, correction: Correction | None, correcting: Correcting) -> Corrections:
        """Return them as an explorer begins: the correction, and the recipe of it as far as there is one."""
        files: dict[Calibration, Path] = {
            name: path for name in CALIBRATIONS if (path := getattr(correcting, name)) is not None
        }
        return cls(correction or Correction(), files, correcting.flatfield_median)

    @property
    def active(self) -> Correction | None:
        """The correction; None where it does nothing."""
        return self.correction if self.correction.applied else None

    @property
    def known(self) -> bool:
        """Whether files hold everything that it is made of."""
        return all(getattr(self.correction, name) is None or name in self.files for name in CALIBRATIONS)

    @property
    def correcting(self) -> Correcting:
        """The recipe: what is done, calibrations named by their files."""
        one = self.correction
        named = {name: self.files[name] for name in CALIBRATIONS if name in self.files and self.has(name)}
        return Correcting(
            median=one.median, threshold=one.threshold, background=one.background, count_rate=one.count_rate,
            normalise=one.normalise,  # type: ignore[arg-type] # a pair of name and reference goes through as well
            flatfield_median=self.flatfield_median if self.has("flatfield") else None, **named,
        )  # fmt: skip

    def has(self, name: Calibration) -> bool:
        """Whether a calibration is switched on."""
        return getattr(self.correction, name) is not None

    def changed(self, **steps: object) -> Corrections:
        """Return them with other steps; without a median there is no threshold."""
        if steps.get("median", self.correction.median) is None:
            steps["threshold"] = None
        return replace(self, correction=replace(self.correction, **steps))  # type: ignore[arg-type] # checked by it

    def switched(self, name: Calibration, on: bool) -> Corrections:
        """Return them with a calibration on or off.

        Raises
        ------
        CorrectionError
            There is none to be switched on.
        """
        array = self.spare.get(name) if on else getattr(self.correction, name)
        if on == self.has(name):
            return self
        if array is None:
            what, where = CALIBRATIONS[name]
            raise CorrectionError(f"there is no {what}: choose a {where} first")
        return replace(self.changed(**{name: array if on else None}), spare={**self.spare, name: array})

    def calibrated(self, name: Calibration, path: Path, source: Source) -> Corrections:
        """Return them with a calibration of another file or folder, switched on.

        Raises
        ------
        XinsituError
            It cannot be read.
        """
        median = self.flatfield_median if path == self.files.get("flatfield") else None
        reading = source.reading.beside(source.parts[0])
        found = Correcting(flatfield_median=median, **{name: path}).correction(reading)  # type: ignore[arg-type] # paths
        array = getattr(found, name)
        return replace(
            self.changed(**{name: array}), files={**self.files, name: path}, spare={**self.spare, name: array},
            flatfield_median=median if name == "flatfield" else self.flatfield_median,
        )  # fmt: skip

    def with_background(self, boxes: tuple[Box, ...], mode: str | None = None) -> Corrections:
        """Return them with background regions, none without boxes; ``mode`` as in :data:`MODES`, None: as before."""
        if not boxes:
            return self.changed(background=None)
        return self.changed(background=Background(regions=boxes, **MODES[mode or self.mode]))  # type: ignore[arg-type] # literals

    @property
    def mode(self) -> str:
        """What is done with the background, by its name in :data:`MODES`."""
        region = self.correction.background
        if region is None or region.mode == "subtract":
            return "subtract"
        return "divide" if region.normalise is None else "divide, keep counts"


MODES: Mapping[str, Mapping[str, str | None]] = {
    "subtract": {"mode": "subtract", "normalise": None},
    "divide": {"mode": "divide", "normalise": None},
    "divide, keep counts": {"mode": "divide", "normalise": "mean"},
}
"""What can be done with the mean of the background."""


def counters(data: xr.Dataset) -> tuple[str, ...]:
    """Names of the numbers per frame that frames can be normalised by.

    Examples
    --------
    >>> counters(xr.Dataset(coords={"monitor": ("time", [2.0, 3.0]), "frame": ("time", [0, 1])}))
    ('monitor',)
    """
    return tuple(
        str(name)
        for name, one in data.coords.items()
        if one.dims == ("time",) and one.dtype.kind in "iuf" and name not in (*NOT_COUNTERS, "time")
        and np.nanmax(one.values, initial=-np.inf) > 0
    )  # fmt: skip
