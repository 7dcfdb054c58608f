"""Where a detector stands behind the sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from xinsitu.errors import RoiError, SchemaError, warn
from xinsitu.kernels import Doubles
from xinsitu.kernels.scattering import angles, places

from .fields import Bounds

ANGSTROM = 1e-10
_FARTHEST, _LARGEST = 150.0, 0.01
"""Metres: no detector is farther away, and no pixel larger; millimetres and micrometres are."""
_FAR = 5
"""Sides of the detector between it and the beam centre; one that faces along the beam is never so far beside it."""
Limits = tuple[float, float]
LIMITS = ("q", "two_theta", "chi", "exit_angle")
"""What a ROI may be given in."""


@dataclass(frozen=True)
class DetectorGeometry:
    """Distance, wavelength, beam centre and tilts of an area detector, as pyFAI has them.

    Parameters
    ----------
    distance
        From the sample to the detector, along its normal, in metres.
    wavelength
        In metres.
    beam_centre
        ``(y, x)`` in pixels, pixel centres at whole numbers: the point of normal incidence, where the direct beam
        would be if the detector were not tilted.
    pixel_size
        ``(y, x)`` in metres.
    rotation
        pyFAI's ``rot1, rot2, rot3`` in radians.
    incidence
        Angle of the beam to the sample's surface in degrees, for exit angles.

    Raises
    ------
    SchemaError
        A value makes no sense.

    Examples
    --------
    >>> geometry = DetectorGeometry(0.5, 1e-10, beam_centre=(97, 243), pixel_size=(172e-6, 172e-6))
    >>> [round(float(part), 6) for part in geometry.poni]
    [0.01677, 0.041882]
    """

    distance: float
    wavelength: float
    beam_centre: tuple[float, float]
    pixel_size: tuple[float, float]
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    incidence: float = 0.0

    def __post_init__(self) -> None:
        lengths = {"distance": (self.distance,), "wavelength": (self.wavelength,), "pixel_size": self.pixel_size}
        for name, count in (("beam_centre", 2), ("pixel_size", 2), ("rotation", 3)):
            value = getattr(self, name)
            if not isinstance(value, Sequence) or len(value) != count or any(isinstance(one, bool) for one in value):
                raise SchemaError(f"{name} must be {count} numbers, not {value!r}")
            object.__setattr__(self, name, tuple(map(float, value)))
        if any(isinstance(number, bool) for number in (self.distance, self.wavelength, self.incidence)):
            raise SchemaError("distance, wavelength and incidence of a geometry must be numbers")
        numbers = (self.distance, self.wavelength, *self.beam_centre, *self.pixel_size, *self.rotation, self.incidence)
        if not all(math.isfinite(number) for number in numbers):
            raise SchemaError("a geometry has finite numbers only")
        for name, values in lengths.items():
            if min(values) <= 0:
                raise SchemaError(f"{name} must be positive, in metres, not {values}")
        if self.distance > _FARTHEST or max(self.pixel_size) > _LARGEST:
            raise SchemaError(f"distance {self.distance} and pixel_size {self.pixel_size} must be in metres")
        if max(map(abs, self.rotation)) > 2 * math.pi:
            raise SchemaError(f"rotation must be in radians, not {self.rotation}")
        if abs(self.incidence) > 90:
            raise SchemaError(f"incidence must be an angle of up to 90 degrees, not {self.incidence}")
        if not 1e-12 < self.wavelength < 1e-8:
            raise SchemaError(f"wavelength must be that of X-rays in metres, e.g. 1e-10, not {self.wavelength}")

    @property
    def poni(self) -> tuple[float, float]:
        """Point of normal incidence from the corner of the first pixel, in metres, as pyFAI has it."""
        y, x = ((centre + 0.5) * size for centre, size in zip(self.beam_centre, self.pixel_size, strict=True))
        return y, x

    def check_centre(self, shape: tuple[float, float]) -> None:
        """Warn where the beam centre is so many detectors away that it is probably no number of pixels."""
        away = max(max(-centre, centre - size) for centre, size in zip(self.beam_centre, shape, strict=True)) / max(
            shape
        )
        if away > _FAR:
            y, x = self.beam_centre
            warn(
                f"the beam centre y {y:.7g}, x {x:.7g} is {away:.3g} detectors beside the detector: it is meant in "
                "pixels, and a detector on an arm has its rotation instead"
            )

    def maps(self, y: Bounds, x: Bounds, *, surface: Literal["y", "x"] = "y") -> dict[str, Doubles]:
        """Return ``q`` (1/angstrom), ``two_theta``, ``chi`` and ``exit_angle`` (degrees) of the pixels of a box."""
        return self.maps_at(np.arange(*y, dtype=np.float64), np.arange(*x, dtype=np.float64), surface=surface)

    def maps_at(self, y: Doubles, x: Doubles, *, surface: Literal["y", "x"] = "y") -> dict[str, Doubles]:
        """Return the same at places in pixels: of binned frames the middles of their pixels."""
        p1, p2 = (
            (places - centre) * size
            for places, centre, size in zip((y, x), self.beam_centre, self.pixel_size, strict=True)
        )
        at = places(p1[:, None], p2[None, :], self.distance, self.rotation)
        return angles(*at, self.wavelength / ANGSTROM, math.radians(self.incidence), surface)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "distance": self.distance, "wavelength": self.wavelength, "beam_centre": list(self.beam_centre),
            "pixel_size": list(self.pixel_size), "rotation": list(self.rotation), "incidence": self.incidence,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DetectorGeometry:
        """Read the JSON form.

        Raises
        ------
        SchemaError
            Something is missing, unknown or of the wrong kind.
        """
        names = [item.name for item in fields(cls)]
        if not isinstance(document, Mapping) or (strange := [name for name in document if name not in names]):
            wrong = ", ".join(map(str, strange)) if isinstance(document, Mapping) else repr(document)
            raise SchemaError(f"a geometry has {', '.join(names)}, not {wrong}")
        if missing := [name for name in names[:4] if name not in document]:
            raise SchemaError(f"a geometry lacks {', '.join(missing)}")
        try:
            return cls(**document)
        except SchemaError:
            raise
        except (TypeError, ValueError) as fault:
            raise SchemaError(f"a geometry has a value of the wrong kind ({fault})") from None


def checked_limits(**limits: Limits | None) -> dict[str, Limits]:
    """Return the limits that are given, each two growing numbers."""
    given: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise RoiError(f"{name} must be two growing numbers, not {value!r}")
        if (
            not all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in value)
            or not value[0] < value[1]
        ):
            raise RoiError(f"{name} must be two growing numbers, not {value!r}")
    return {name: (float(first), float(last)) for name, (first, last) in given.items()}
