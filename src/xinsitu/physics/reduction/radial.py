"""Profiles along q, scattering angle or azimuth in every frame, by pyFAI."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import RoiError, SchemaError
from xinsitu.kernels import Bools, Doubles
from xinsitu.kernels.scattering import within
from xinsitu.physics.blocks import Plan, block_function, over_blocks, pixel_index
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.framewise import Steps, correct_block
from xinsitu.physics.corrections.pixel_noise import PixelNoise, why_unknown
from xinsitu.physics.corrections.plan import plain_median_before, prepared, units_after
from xinsitu.schema import image_of
from xinsitu.values import DetectorGeometry
from xinsitu.values.detector_geometry import Limits, checked_limits

from .reciprocal_maps import MAPS, maps

UNITS = {"q": "q_A^-1", "two_theta": "2th_deg", "chi": "chi_deg"}
"""Axes of profiles, as pyFAI calls them."""
_NOTHING = -1e30
"""What a pixel that says nothing is for pyFAI."""


def radial_profiles(
    data: xr.Dataset | xr.DataArray,
    geometry: DetectorGeometry,
    *,
    along: Literal["q", "two_theta", "chi"] = "q",
    bins: int = 500,
    q: Limits | None = None,
    two_theta: Limits | None = None,
    chi: Limits | None = None,
    correction: Correction | None = None,
    solid_angle: bool = True,
) -> xr.Dataset:
    """Profile along q, scattering angle or azimuth in every frame, integrated by pyFAI; lazy where frames are.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    geometry
        Where the detector stands: :func:`~xinsitu.read_geometry`, or by its numbers.
    along
        The axis that is kept: ``q``, ``two_theta``, or ``chi`` for azimuthal profiles.
    bins
        Their number.
    q, two_theta, chi
        Limits of the pixels that take part, in 1/angstrom and degrees: with ``chi`` a sector, with ``q`` a ring.
    correction
        What to do to the frames first.
    solid_angle
        Divide by the solid angle of each pixel, relative to one at normal incidence, as pyFAI does.

    Returns
    -------
    Dataset
        ``intensity (time, along)``, per pixel, in units of the corrected image, and ``intensity_errors`` from counting,
        through all corrections but a median over every pixel; where they are NaN, their attribute ``comment`` says why.
        NaN in bins without a pixel.

    Raises
    ------
    SchemaError
        pyFAI is not installed, or a value makes no sense.
    RoiError
        Limits do not grow.

    Notes
    -----
    Pixels are split over bins by their bounding boxes (``("bbox", "csr", "cython")``). Azimuths may go round:
    ``chi=(160, 200)``. The errors hold what was counted in the pixels, in darks, background images, background
    regions and monitors; the flat field's own noise, the same in every frame, is not in them, as in :func:`measure`.

    Examples
    --------
    >>> frames = xr.DataArray(np.full((2, 40, 50), 7.0), dims=("time", "y", "x"))
    >>> geometry = DetectorGeometry(0.2, 1e-10, beam_centre=(20, 0), pixel_size=(172e-6, 172e-6))
    >>> profiles = radial_profiles(frames, geometry, bins=10, solid_angle=False)
    >>> profiles.intensity.sizes
    Frozen({'time': 2, 'q': 10})
    """
    if along not in UNITS:
        raise SchemaError(f"a profile runs along {', '.join(UNITS)}, not {along!r}")
    if not 2 <= bins <= 100_000:
        raise SchemaError(f"a profile has 2 to 100000 bins, not {bins!r}")
    _pyfai()
    image, ready = image_of(data), prepared(data, correction)
    found = maps(ready.image, geometry)
    limits = checked_limits(q=q, two_theta=two_theta, chi=chi)
    inside = within(found, limits)
    if not inside.any():
        raise SchemaError(f"no pixel of the image lies within {limits}")
    span = limits.get(along) or _span(found[along][inside])
    if along == "chi" and span[1] - span[0] > 360:
        raise RoiError(f"chi goes round once, 360 degrees, and not from {span[0]:g} to {span[1]:g}")
    unknown = why_unknown(ready.steps, filtered_before=plain_median_before(image) is not None)
    origin = pixel_index(ready.image, "y")[0], pixel_index(ready.image, "x")[0]
    plan = RadialPlan(ready.steps, geometry, UNITS[along], bins, span, ~inside, origin, unknown is None, solid_angle)
    rows = over_blocks(
        radial_block, ready.image, ready.per_frame, plan, tail=(2, bins), dtype=np.float64, shared=ready.shared
    )
    coords: dict[Any, Any] = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    edges = np.linspace(*span, bins + 1)
    units, name = MAPS[along]
    coords[along] = xr.DataArray(0.5 * (edges[1:] + edges[:-1]), dims=along, attrs={"units": units, "long_name": name})
    own = {"units": units_after(image, correction), "long_name": f"intensity per pixel along {name}"}
    errors = {**own, "long_name": f"standard error of {own['long_name']}"}
    if unknown is not None:
        errors["comment"] = f"not known: {unknown}"
    return xr.Dataset(
        {"intensity": (("time", along), rows[:, 0], own), "intensity_errors": (("time", along), rows[:, 1], errors)},
        coords=coords,
        attrs={
            **(data.attrs if isinstance(data, xr.Dataset) else {}),
            "geometry": json.dumps(geometry.to_dict(), sort_keys=True),
            "limits": json.dumps(limits),
        },
    )


def _span(values: Doubles) -> Limits:
    return float(values.min()), float(np.nextafter(values.max(), np.inf))


def _pyfai() -> Any:  # noqa: ANN401 - a class
    try:
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
    except ModuleNotFoundError as fault:
        if not str(fault.name).startswith("pyFAI"):
            raise
        raise SchemaError("radial profiles need the package pyFAI: pip install 'xinsitu[geometry]'") from None
    return AzimuthalIntegrator


@dataclass(frozen=True, eq=False)
class RadialPlan(Plan):
    """What pyFAI is told: the geometry, axis, bins between ``span``, pixels that take no part, and the first pixel."""

    steps: Steps
    geometry: DetectorGeometry
    unit: str
    bins: int
    span: Limits
    left_out: Bools
    origin: tuple[int, int]
    counts: bool
    solid_angle: bool


@functools.lru_cache(maxsize=8)
def _integrator(geometry: DetectorGeometry, origin: tuple[int, int], turn: float) -> Any:  # noqa: ANN401 - pyFAI's
    """Return pyFAI's integrator of an image that begins at a pixel, its azimuths counted from ``turn`` (radians).

    It keeps its tables from frame to frame.
    """
    high, wide = geometry.pixel_size
    poni1, poni2 = geometry.poni[0] - origin[0] * high, geometry.poni[1] - origin[1] * wide
    rot1, rot2, rot3 = geometry.rotation
    return _pyfai()(
        geometry.distance, poni1, poni2, rot1, rot2, rot3 + turn, high, wide, wavelength=geometry.wavelength
    )


@block_function
def radial_block(raw: kernels.Frames, per_frame: Doubles, *, plan: RadialPlan, shared: float | None = None) -> Doubles:
    """Profiles of a block of frames and their errors, ``(frame, 2, bin)``."""
    values = correct_block(raw, per_frame, plan=plan.steps, shared=shared)
    result = np.full((len(values), 2, plan.bins), np.nan)
    if not plan.counts:
        for number, frame in enumerate(values):
            result[number, 0] = integrated(frame, plan)[0]
        return result
    noise = PixelNoise.of(raw, values.astype(np.float64), per_frame, plan.steps, shared)
    for number, frame in enumerate(values):
        profile, sigma, one = integrated(frame, plan, noise.variance[number])
        common = None
        if noise.in_level is not None:
            both = np.where(np.isfinite(frame), noise.variance[number] * noise.in_level[number], np.nan)
            common = integrated(both, plan)[0]
        variance = np.square(sigma) + noise.shared_by(number, profile, common, one)
        result[number] = profile, np.sqrt(np.maximum(variance, 0))
    return result


def integrated(frame: kernels.Floats, plan: RadialPlan, variance: Doubles | None = None) -> tuple[Doubles, ...]:
    """Profile of one frame, its error from the variance of each pixel, and what is made of ones; NaN in empty bins."""
    middle = 0.5 * sum(plan.span) if plan.unit == UNITS["chi"] else 0.0  # azimuths are cut opposite of it
    integrator = _integrator(plan.geometry, plan.origin, math.radians(middle))
    known = np.isfinite(frame)
    told = integrator.integrate1d_ng(
        np.where(known, frame, _NOTHING).astype(np.float64),
        plan.bins,
        unit=plan.unit,
        radial_range=(plan.span[0] - middle, plan.span[1] - middle),
        mask=plan.left_out,
        dummy=_NOTHING,
        delta_dummy=abs(_NOTHING) / 1e6,
        variance=variance,
        correctSolidAngle=plan.solid_angle,
        method=("bbox", "csr", "cython"),
    )
    filled = np.asarray(told.count) > 0
    one = np.asarray(told.count) / told.sum_normalization
    parts = (told.intensity, one if told.sigma is None else told.sigma, one)
    return tuple(np.where(filled, part, np.nan) for part in parts)
