"""Recipe of peaks fitted to the profiles of ROIs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from xinsitu.defaults import PeakShape
from xinsitu.physics.peaks.fits import fit_rois
from xinsitu.values import RoiSet

from .steps import Correcting, Reading, measurement_dict, measurement_values


@dataclass(frozen=True)
class Fit:
    """Peaks in the profiles of ROIs; ``shape`` to ``follow`` are those of :func:`~xinsitu.fit_rois`."""

    command: ClassVar[str] = "fit"
    measurement: Path
    rois: RoiSet
    reading: Reading = Reading()  # noqa: RUF009 - frozen
    correcting: Correcting = Correcting()  # noqa: RUF009 - frozen
    shape: PeakShape = "gaussian"
    peaks: int = 1
    shared_width: bool = False
    follow: bool = False

    def produce(self) -> xr.Dataset:
        """Return the parameters of all peaks, computed in one pass."""
        scan = self.reading.open(self.measurement)
        correction = self.correcting.of(scan).correction(self.reading.beside(scan))
        return fit_rois(
            scan, self.rois, shape=self.shape, peaks=self.peaks, shared_width=self.shared_width, follow=self.follow,
            correction=correction,
        ).compute()  # fmt: skip

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        wanted = {"shape": self.shape, "peaks": self.peaks, "shared_width": self.shared_width, "follow": self.follow}
        return {**measurement_dict(self, base), "rois": self.rois.to_dict(), **wanted}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Fit:
        """Read the JSON form."""
        return cls(
            **measurement_values(document, base),
            rois=RoiSet.from_dict(document.get("rois", {})),
            shape=document.get("shape", "gaussian"),
            peaks=document.get("peaks", 1),
            shared_width=bool(document.get("shared_width", False)),
            follow=bool(document.get("follow", False)),
        )
