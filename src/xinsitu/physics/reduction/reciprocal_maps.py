"""What the pixels of a detector mean: q, scattering angle, azimuth and exit angle from its geometry; ROIs in these."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import xarray as xr

from xinsitu.errors import RoiError, SchemaError
from xinsitu.kernels import Doubles
from xinsitu.kernels.scattering import within
from xinsitu.physics.blocks import pixel_index
from xinsitu.schema import DETECTOR_SHAPE, image_of
from xinsitu.values import DetectorGeometry, Mask, Roi
from xinsitu.values.detector_geometry import Limits, checked_limits

MAPS = {
    "q": ("1/angstrom", "momentum transfer"),
    "two_theta": ("degree", "scattering angle"),
    "chi": ("degree", "azimuth from x towards y"),
    "exit_angle": ("degree", "angle to the surface"),
}


def with_geometry(data: xr.Dataset, geometry: DetectorGeometry, *, surface: Literal["y", "x"] = "y") -> xr.Dataset:
    """Give a measurement the coordinates ``q``, ``two_theta``, ``chi`` and ``exit_angle``, each ``(y, x)``.

    Parameters
    ----------
    data
        A measurement; frames are not touched.
    geometry
        Where the detector stands.
    surface
        The axis along whose growing pixels the sample's surface faces, for the exit angle.

    Returns
    -------
    Dataset
        The same with the maps, on its own pixels, and the geometry as the attribute ``geometry``. A crop has those of
        its pixels; binned frames have those of the middles of theirs, as ``coarsen(y=2, x=2)`` tells them.

    Notes
    -----
    A pixel at ``(t1, t2, t3)`` from the sample, ``t3`` along the beam, in the convention of pyFAI (Kieffer et al., J.
    Synchrotron Rad. 32, 1039 (2025)), has ``tan 2theta = sqrt(t1^2 + t2^2) / t3``, ``tan chi = t1 / t2``,
    ``q = 4 pi sin(theta) / wavelength`` and, at the angle of incidence ``a``, the exit angle ``sin b = (t1 cos a - t3
    sin a) / |t|``.

    Examples
    --------
    >>> import numpy as np
    >>> scan = xr.Dataset({"image": (("time", "y", "x"), np.ones((1, 3, 5)))})
    >>> geometry = DetectorGeometry(0.1, 1e-10, beam_centre=(1, 0), pixel_size=(1e-3, 1e-3))
    >>> with_geometry(scan, geometry).two_theta.sel(y=1).values.round(3).tolist()
    [0.0, 0.573, 1.146, 1.718, 2.291]
    """
    image = image_of(data)
    _check_centre(image, geometry)
    y, x = (_middles(image, dim) for dim in ("y", "x"))
    found = geometry.maps_at(y, x, surface=_checked(surface))
    coords = {name: (("y", "x"), values, dict(zip(("units", "long_name"), MAPS[name], strict=True)))
              for name, values in found.items()}  # fmt: skip
    return data.assign_coords(coords).assign_attrs(geometry=json.dumps(geometry.to_dict(), sort_keys=True))


def _middles(image: xr.DataArray, dim: str) -> Doubles:
    """Where the pixels of an image are on the detector."""
    if dim not in image.coords:
        return np.arange(image.sizes[dim], dtype=np.float64)
    places = image[dim].values
    if places.dtype.kind not in "iuf" or not np.isfinite(places).all():
        raise SchemaError(f"coordinate {dim!r} of the image must hold places in pixels of the detector")
    return np.asarray(places, dtype=np.float64)


def _checked(surface: Literal["y", "x"]) -> Literal["y", "x"]:
    if surface not in ("y", "x"):
        raise SchemaError(f"the surface faces along 'y' or 'x', not {surface!r}")
    return surface


def _check_centre(image: xr.DataArray, geometry: DetectorGeometry) -> None:
    last = [float(_middles(image, dim)[-1]) + 1 for dim in ("y", "x")]
    rows, columns = json.loads(image.attrs[DETECTOR_SHAPE]) if DETECTOR_SHAPE in image.attrs else last
    geometry.check_centre((rows, columns))


def maps(image: xr.DataArray, geometry: DetectorGeometry, *, surface: Literal["y", "x"] = "y") -> dict[str, Doubles]:
    """Return the maps on the pixels of an image."""
    _check_centre(image, geometry)
    return geometry.maps(pixel_index(image, "y"), pixel_index(image, "x"), surface=_checked(surface))


def roi_in_q(
    data: xr.Dataset | xr.DataArray,
    geometry: DetectorGeometry,
    name: str,
    *,
    q: Limits | None = None,
    two_theta: Limits | None = None,
    chi: Limits | None = None,
    exit_angle: Limits | None = None,
    surface: Literal["y", "x"] = "y",
    **words: Any,  # noqa: ANN401 - further words of a ROI
) -> Roi:
    """Return the ROI of all pixels within limits of q and angles, as a mask of pixels that any ROI file holds.

    Parameters
    ----------
    data
        A measurement, or its ``image``: the pixels that there are.
    geometry
        Where the detector stands.
    name
        Of the ROI.
    q
        In 1/angstrom.
    two_theta, chi, exit_angle
        In degrees; ``chi`` may begin below -180 or end beyond 180.
    surface
        As in :func:`with_geometry`.
    **words
        Of :class:`Roi`: ``color``, ``background``, ``role``, ``measure``.

    Raises
    ------
    RoiError
        No pixel lies there, or no limit is given.

    Examples
    --------
    >>> import numpy as np
    >>> frames = xr.DataArray(np.ones((1, 200, 300)), dims=("time", "y", "x"))
    >>> geometry = DetectorGeometry(0.2, 1e-10, beam_centre=(100, 0), pixel_size=(172e-6, 172e-6))
    >>> ring = roi_in_q(frames, geometry, "ring", q=(1.0, 1.1), chi=(-5, 5))
    >>> ring.y, ring.x
    ((83, 118), (187, 206))
    """
    limits = checked_limits(q=q, two_theta=two_theta, chi=chi, exit_angle=exit_angle)
    if not limits:
        raise RoiError(f"ROI {name!r} needs limits: q, two_theta, chi or exit_angle")
    image = image_of(data)
    inside = within(maps(image, geometry, surface=surface), limits)
    if not inside.any():
        raise RoiError(
            f"no pixel of the image lies in ROI {name!r}, {', '.join(f'{k} = {list(v)}' for k, v in limits.items())}"
        )
    return Roi(name, geometry=Mask.of(inside, (pixel_index(image, "y")[0], pixel_index(image, "x")[0])), **words)
