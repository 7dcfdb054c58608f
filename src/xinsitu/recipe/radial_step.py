"""Recipe of profiles along q, scattering angle or azimuth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import xarray as xr

from xinsitu.physics.reduction.radial import radial_profiles
from xinsitu.values import DetectorGeometry
from xinsitu.values.detector_geometry import Limits

from .steps import Correcting, Reading, measurement_dict, measurement_values


@dataclass(frozen=True)
class Radial:
    """The profiles of a measurement; ``limits`` are those of :func:`~xinsitu.radial_profiles`."""

    command: ClassVar[str] = "radial"
    measurement: Path
    geometry: DetectorGeometry
    reading: Reading = Reading()  # noqa: RUF009 - frozen
    correcting: Correcting = Correcting()  # noqa: RUF009 - frozen
    along: Literal["q", "two_theta", "chi"] = "q"
    bins: int = 500
    limits: Mapping[str, Limits] = field(default_factory=dict)
    solid_angle: bool = True

    def produce(self) -> xr.Dataset:
        """Return the profiles, computed in one pass."""
        scan = self.reading.open(self.measurement)
        correction = self.correcting.of(scan).correction(self.reading.beside(scan))
        return radial_profiles(
            scan, self.geometry, along=self.along, bins=self.bins, correction=correction, solid_angle=self.solid_angle,
            **self.limits,
        ).compute()  # fmt: skip

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        limits = {name: list(ends) for name, ends in self.limits.items()}
        wanted = {"along": self.along, "bins": self.bins, "limits": limits, "solid_angle": self.solid_angle}
        return {**measurement_dict(self, base), "geometry": self.geometry.to_dict(), **wanted}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Radial:
        """Read the JSON form."""
        return cls(
            **measurement_values(document, base),
            geometry=DetectorGeometry.from_dict(document["geometry"]),
            along=document.get("along", "q"),
            bins=document.get("bins", 500),
            limits={name: tuple(ends) for name, ends in document.get("limits", {}).items()},
            solid_angle=bool(document.get("solid_angle", True)),
        )
