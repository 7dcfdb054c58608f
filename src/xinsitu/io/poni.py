"""Where the detector stands, from a file of pyFAI (``.poni``), or its numbers in JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xinsitu.errors import DocumentError, XinsituError, warn
from xinsitu.values import DetectorGeometry

from .disk import ordinary
from .exchange.carried import needs

_LARGEST = 2**20
_NUMBERS = ("Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength")
_ORIENTATION = 3
"""Rows and columns as they are in memory, seen from the sample; others are mirrored."""


def read_geometry(path: str | os.PathLike[str], *, incidence: float = 0.0) -> DetectorGeometry:
    """Read a ``.poni`` file of pyFAI; the last calibration in it counts, as there.

    A JSON file holds the numbers of :class:`~xinsitu.DetectorGeometry` by their names.

    The pixel size of a detector that is only named is looked up by pyFAI: ``pip install 'xinsitu[geometry]'``.

    Parameters
    ----------
    path
        The file.
    incidence
        Angle of the beam to the sample's surface in degrees, which is not in a ``.poni`` file.

    Raises
    ------
    DocumentError
        It is no such file, lacks something, or its detector is mirrored; the message names it.

    Warns
    -----
    XinsituWarning
        The file asks for a correction of the parallax, which is not made.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "waxs.poni"
    >>> lines = 'Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4}', "Distance: 0.3", "Poni1: 0.02", "Poni2: 0.05"
    >>> _ = path.write_text(chr(10).join((*lines, "Wavelength: 1e-10")))
    >>> read_geometry(path).beam_centre
    (199.5, 499.5)
    """
    name = os.fspath(path)
    if Path(ordinary(path)).stat().st_size > _LARGEST:
        raise DocumentError(f"{name}: is larger than 1 MiB, no .poni file")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentError(f"{name}: is not a text file") from None
    try:
        if text.lstrip().startswith("{"):
            document = json.loads(text)
            return DetectorGeometry.from_dict(document | ({"incidence": incidence} if incidence else {}))
        told = _told(text.splitlines())
        numbers = {key: float(told[key]) for key in _NUMBERS if told.get(key, "None") != "None"}
        if missing := [key for key in ("Distance", "Poni1", "Poni2", "Wavelength") if key not in numbers]:
            raise DocumentError(f"lacks {', '.join(missing)}")
        high, wide = _pixel_size(told)
        centre = numbers["Poni1"] / high - 0.5, numbers["Poni2"] / wide - 0.5
        if told.get("Parallax", "False").lower() in ("true", "1"):
            warn(f"{name}: its correction of the parallax is left out, so maps are those of a sensor without thickness")
        rotation = numbers.get("Rot1", 0.0), numbers.get("Rot2", 0.0), numbers.get("Rot3", 0.0)
        return DetectorGeometry(numbers["Distance"], numbers["Wavelength"], centre, (high, wide), rotation, incidence)
    except RecursionError:
        raise DocumentError(f"{name}: is nested too deeply to be a geometry") from None
    except (XinsituError, ValueError, TypeError) as fault:
        raise DocumentError(f"{name}: {fault}") from None


def _told(lines: list[str]) -> dict[str, str]:
    """Keys and values; of a key that comes again the last one."""
    parts = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in parts}


def _pixel_size(told: Mapping[str, str]) -> tuple[float, float]:
    """Size of a pixel along y and x, from the file or from pyFAI's table of detectors."""
    try:
        config: Any = json.loads(told.get("Detector_config", "{}")) or {}
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise DocumentError("has a Detector_config that is no object")
    if config.get("orientation", _ORIENTATION) not in (0, _ORIENTATION):
        raise DocumentError(f"has a detector of orientation {config['orientation']}, whose images are mirrored")
    if any(told.get("SplineFile", "None") != "None" or config.get(key) for key in ("splineFile", "spline")):
        raise DocumentError("has a distorted detector, with a spline: correct its frames by pyFAI first")
    if config.get("pixel1") and config.get("pixel2"):
        return float(config["pixel1"]), float(config["pixel2"])
    if "PixelSize1" in told and "PixelSize2" in told:
        return float(told["PixelSize1"]), float(told["PixelSize2"])
    return _known_size(told.get("Detector", ""), config)


def _known_size(detector: str, config: dict[str, Any]) -> tuple[float, float]:
    """Size of a pixel in pyFAI's table, binned as the file says; of detectors whose pixels are one even, flat grid."""
    if "filename" in config:
        raise DocumentError(f"has its detector in another file, {config['filename']!r}: no maps are made of such")
    if not detector:
        raise DocumentError("names neither a detector nor the size of its pixels")
    with needs("pyFAI", f"pixel sizes of the detector {detector!r}", "geometry"):
        from pyFAI.detectors import detector_factory
    try:
        known = detector_factory(detector, config)
    except Exception as fault:  # noqa: BLE001 - whatever pyFAI says of a name, or of words that it does not know
        said = str(fault).splitlines() or [type(fault).__name__]
        raise DocumentError(f"pyFAI knows no detector {detector!r} of these words ({said[0][:80]})") from None
    if not (known.uniform_pixel and known.IS_FLAT and known.pixel1 and known.pixel2):
        raise DocumentError(
            f"has the detector {detector!r}, whose pixels are no even, flat grid: no maps are made of it"
        )
    return float(known.pixel1), float(known.pixel2)
