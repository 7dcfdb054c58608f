"""ROIs as tables of other programs: BLISS and Lima, areaDetector (autosave, start-up scripts), DAWN.

Formats: https://gitlab.esrf.fr/bliss/bliss (``controllers/lima/roi.py``), https://github.com/areaDetector/ADCore
(``NDROI.template``, ``NDROIStatN.template``), https://github.com/DawnScience/dawn-common (``persistence``).

Lima and areaDetector count whole pixels from the first one; DAWN from the corner of the first pixel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from xinsitu.errors import RoiError
from xinsitu.values import Ellipse, Polygon, Roi, Rotated, Sector

from .carried import Carried, named

_CORNER = 0.5
_RECTANGLES = ("rect", "rectangle", "roi_rect", "profile")
_PV = re.compile(
    r"^(?:(?:dbpf|caput)\s+)?\"?(?P<record>[^\s\"]+?):(?P<field>Name|Use|EnableX|EnableY|MinX|MinY|SizeX|SizeY)(?:_RBV)?\"?"
    r"\s+\"?(?P<value>.*?)\"?\s*$",
    re.MULTILINE,
)
"""A line of an autosave file, or of a start-up script that sets the same fields."""


# -- BLISS and Lima ---------------------------------------------------------------------------------------------------


def is_lima(document: object) -> bool:
    """Whether JSON is a table of ROIs as BLISS keeps them: by name, each an arc or with x, y, width and height."""
    return (
        isinstance(document, Mapping)
        and bool(document)
        and all(isinstance(one, Mapping) and _like_lima(one) for one in document.values())
    )


def _like_lima(one: Mapping[str, Any]) -> bool:
    return {"x", "y", "width", "height"} <= set(one) or one.get("kind") == "arc"


def from_lima(document: Mapping[str, Any]) -> Carried:
    """Take ROIs of BLISS: rectangles, and arcs with ``cx, cy, r1, r2, a1, a2`` in degrees."""
    found = Carried("BLISS")
    for key, one in document.items():
        name = named(one.get("name", key), "roi")
        found.add(name, lambda one=one, name=name: _of_lima(name, one))  # type: ignore[misc]
        if one.get("kind") == "profile":
            found.lost.append(f"{name!r} is a rectangle whose profile is not asked for: measure it with profiles")
    return found


def _of_lima(name: str, one: Mapping[str, Any]) -> Roi:
    kind = str(one.get("kind", "rect")).lower()
    if kind in _RECTANGLES:
        x, y, width, height = (_integer(one, key) for key in ("x", "y", "width", "height"))
        return Roi(name, (y, y + height), (x, x + width))
    if kind == "arc":
        cx, cy, r1, r2, a1, a2 = (_real(one, key) for key in ("cx", "cy", "r1", "r2", "a1", "a2"))
        first, last = min(a1, a2), max(a1, a2)
        return Roi(name, geometry=Sector((cy, cx), (min(r1, r2), max(r1, r2)), (first, last)))
    raise RoiError(f"is of the kind {kind!r}, which is not read")


def _integer(one: Mapping[str, Any], key: str) -> int:
    value = _real(one, key)
    if value != int(value):
        raise RoiError(f"has {key} = {value}, no whole pixel")
    return int(value)


def _real(one: Mapping[str, Any], key: str) -> float:
    try:
        value = float(np.asarray(one[key]).reshape(())[()])
    except (KeyError, TypeError, ValueError):
        raise RoiError(f"has no number {key!r}") from None
    if not math.isfinite(value):
        raise RoiError(f"has {key} = {value}")
    return value


def to_lima(rois: Iterable[Roi], told: Carried) -> dict[str, Any]:
    """Return rectangles and sectors as BLISS keeps them."""
    table: dict[str, Any] = {}
    for roi in rois:
        if roi.geometry is None:
            (y, x), (height, width) = (roi.y[0], roi.x[0]), roi.shape
            table[roi.name] = {"kind": "rect", "x": x, "y": y, "width": width, "height": height}
        elif isinstance(roi.geometry, Sector):
            (cy, cx), (r1, r2), (a1, a2) = roi.geometry.centre, roi.geometry.radius, roi.geometry.angle
            table[roi.name] = {"kind": "arc", "cx": cx, "cy": cy, "r1": r1, "r2": r2, "a1": a1, "a2": a2}
        else:
            told.leave(roi.name, f"Lima has rectangles and arcs, no {roi.geometry.kind}")
    return table


# -- areaDetector -----------------------------------------------------------------------------------------------------


def is_area_detector(text: str) -> bool:
    """Whether a text is an autosave file of ROI or ROIStat plugins."""
    return {"MinX", "SizeX"} <= {match["field"] for match in _PV.finditer(text)}


def from_area_detector(text: str) -> Carried:
    """Take the ROIs of an autosave file: one for each record that has ``MinX, MinY, SizeX, SizeY``."""
    records: dict[str, dict[str, str]] = {}
    for match in _PV.finditer(text):
        records.setdefault(match["record"], {})[match["field"]] = match["value"]
    found = Carried("areaDetector")
    for record, fields in records.items():
        if {"MinX", "MinY", "SizeX", "SizeY"} <= set(fields) and fields.get("Use", "1") not in ("0", "No"):
            name = named(fields.get("Name", ""), record)
            found.add(name, lambda fields=fields, name=name: _of_record(name, fields))  # type: ignore[misc]
    return found


def _of_record(name: str, fields: Mapping[str, str]) -> Roi:
    if off := [axis for axis in "XY" if fields.get(f"Enable{axis}", "1") in ("0", "Disable")]:
        raise RoiError(f"goes over the whole detector along {' and '.join(off).lower()}, whose size is not in the file")
    x, y, width, height = (_integer(fields, key) for key in ("MinX", "MinY", "SizeX", "SizeY"))
    return Roi(name, (y, y + height), (x, x + width))


def to_area_detector(rois: Iterable[Roi], told: Carried) -> str:
    """Return rectangles as an autosave file of a ROIStat plugin with the macros ``$(P)$(R)``."""
    lines = ["# autosave, ROIs for NDPluginROIStat"]
    for roi in rois:
        if roi.geometry is not None:
            told.leave(roi.name, f"areaDetector has rectangles, no {roi.geometry.kind}")
            continue
        record = f"$(P)$(R){len(lines) // 6 + 1}"
        values = ("Use", 1), ("Name", roi.name), ("MinX", roi.x[0]), ("MinY", roi.y[0])
        sizes = ("SizeX", roi.shape[1]), ("SizeY", roi.shape[0])
        lines += [f"{record}:{field} {value}" for field, value in (*values, *sizes)]
    return "\n".join([*lines, "<END>", ""])


# -- DAWN -------------------------------------------------------------------------------------------------------------


def is_dawn(document: object) -> bool:
    """Whether JSON is a region of DAWN, or a list of them."""
    beans = document if isinstance(document, list) else [document]
    return bool(beans) and all(isinstance(one, Mapping) and str(one.get("type", "")).endswith("ROI") for one in beans)


def from_dawn(document: Any) -> Carried:  # noqa: ANN401 - what is_dawn took
    """Take regions of DAWN: rectangles, circles, ellipses, sectors, rings and polygons; angles are in radians."""
    found = Carried("DAWN")
    beans: list[Mapping[str, Any]] = document if isinstance(document, list) else [document]
    for one in beans:
        name = named(one.get("name"), "region")
        found.add(name, lambda one=one, name=name: _of_dawn(name, one))  # type: ignore[misc]
        if one.get("symmetry"):
            found.lost.append(f"{name!r} is the sector alone, without its symmetric part")
    return found


def _of_dawn(name: str, one: Mapping[str, Any]) -> Roi:
    kind = str(one["type"])
    if kind == "PolygonalROI":
        points = [(float(point["startPoint"][1]) if isinstance(point, Mapping) else float(point[1]),
                   float(point["startPoint"][0]) if isinstance(point, Mapping) else float(point[0]))
                  for point in one.get("points", ())]  # fmt: skip
        return Roi(name, geometry=Polygon(tuple((y - _CORNER, x - _CORNER) for y, x in points)))
    x, y = _pair(one, "startPoint")
    angle = math.degrees(float(one.get("angle") or 0.0))
    if kind == "RectangularROI":
        width, height = _pair(one, "lengths")
        if angle == 0 and all(value == int(value) for value in (x, y, width, height)):
            return Roi(name, (int(y), int(y + height)), (int(x), int(x + width)))
        turn = math.radians(angle)
        along, across = (math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))
        cx = x + 0.5 * (width * along[0] + height * across[0]) - _CORNER
        cy = y + 0.5 * (width * along[1] + height * across[1]) - _CORNER
        return Roi(name, geometry=Rotated((cy, cx), (height, width), angle))
    centre = y - _CORNER, x - _CORNER
    if kind == "CircularROI":
        radius = _real(one, "radius")
        return Roi(name, geometry=Ellipse(centre, (radius, radius)))
    if kind == "EllipticalROI":
        wide, high = _pair(one, "semiAxes")
        return Roi(name, geometry=Ellipse(centre, (high, wide), angle))
    if kind in ("SectorROI", "RingROI"):
        inner, outer = _pair(one, "radii")
        angles = [math.degrees(value) for value in (_pair(one, "angles") if "angles" in one else (0.0, 2 * math.pi))]
        whole = math.isclose(angles[1] - angles[0], 360, abs_tol=1e-6)
        return Roi(name, geometry=Sector(centre, (inner, outer), (0, 360) if whole else (angles[0], angles[1])))
    raise RoiError(f"is a {kind}, which is not read")


def _pair(one: Mapping[str, Any], key: str) -> tuple[float, float]:
    try:
        first, second = (float(value) for value in one[key])
    except (KeyError, TypeError, ValueError):
        raise RoiError(f"has no two numbers {key!r}") from None
    return first, second


def to_dawn(rois: Iterable[Roi], told: Carried) -> list[dict[str, Any]]:
    """Return regions as DAWN writes them; masks are left out."""
    regions = []
    for roi in rois:
        shape = roi.geometry
        bean: dict[str, Any] = {"name": roi.name}
        if shape is None:
            bean |= {
                "type": "RectangularROI",
                "startPoint": [roi.x[0], roi.y[0]],
                "lengths": [*roi.shape[::-1]],
                "angle": 0,
            }
        elif isinstance(shape, Rotated):
            x, y = shape.corners[0][1] + _CORNER, shape.corners[0][0] + _CORNER
            bean |= {"type": "RectangularROI", "startPoint": [x, y], "lengths": [*shape.size[::-1]]}
            bean["angle"] = math.radians(shape.angle)
        elif isinstance(shape, Polygon):
            bean |= {"type": "PolygonalROI", "points": [[x + _CORNER, y + _CORNER] for y, x in shape.points]}
            bean["startPoint"] = bean["points"][0]
        elif isinstance(shape, Ellipse | Sector):
            bean["startPoint"] = [shape.centre[1] + _CORNER, shape.centre[0] + _CORNER]
            if isinstance(shape, Ellipse):
                bean |= {"type": "EllipticalROI", "semiAxes": [*shape.axes[::-1]], "angle": math.radians(shape.angle)}
            else:
                bean |= {"type": "SectorROI", "radii": [*shape.radius], "angles": [*map(math.radians, shape.angle)]}
        else:
            told.leave(roi.name, f"DAWN has no {shape.kind}")
            continue
        regions.append(bean)
    return regions
