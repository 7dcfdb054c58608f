"""Shapes of regions by their kind, as ROI files have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from xinsitu.errors import RoiError

from .masks import Mask
from .region_shapes import Ellipse, Polygon, Rotated, Sector, Shape

RECTANGLES = ("rectangle", "rect", "box")
"""Names of the geometry that ``y`` and ``x`` are."""
_KINDS = ("kind", "shape", "shape_type", "geometry")
_TYPES = ("type", "roi_type")
_NAMES = ("circle", "ring", "annulus", "arc", "line", "point", "q")
"""Shapes beside those of :data:`SHAPES` that a type may name; what else it says is no matter of shapes."""
TURNS = ("angle", "rotation", "rotate", "orientation", "theta", "phi", "tilt", "skew", "shear")
_OTHER = (
    "points", "vertices", "corners", "coordinates", "outline", "polygon", "ellipse", "circle", "centre",
    "center", "axes", "radius", "radii", "inner_radius", "outer_radius", "mask", "runs", "q", "two_theta", "chi",
)  # fmt: skip
"""Keys that say that a ROI is something else than the rectangle ``y``, ``x``."""
SHAPES: dict[str, type[Shape]] = {one.kind: one for one in (Polygon, Ellipse, Rotated, Sector, Mask)}
"""Shapes by their kind in a ROI file."""


def shape_of(document: Mapping[str, Any]) -> Shape:
    """Read the JSON form of a shape.

    Raises
    ------
    RoiError
        The kind is not known, a key is missing or strange, or a value makes no sense.

    Examples
    --------
    >>> shape_of({"kind": "ellipse", "centre": [10, 20], "axes": [2, 3], "angle": 15})
    Ellipse(centre=(10.0, 20.0), axes=(2.0, 3.0), angle=15.0)
    """
    kind = SHAPES.get(str(document.get("kind")))
    if kind is None:
        raise RoiError(f"a shape is one of {', '.join(SHAPES)}, not {document.get('kind')!r}")
    if kind is Mask and "file" in document:
        raise RoiError("names a file of pixels: read it with read_rois, which knows where that file is")
    told = {name: value for name, value in document.items() if name != "kind"}
    known = {field.name for field in fields(kind)}
    if strange := set(told) - known:
        raise RoiError(f"a shape of kind {kind.kind} has no {', '.join(sorted(strange))}, only {', '.join(known)}")
    try:
        return kind(**told)
    except TypeError:
        raise RoiError(f"a shape of kind {kind.kind} needs {', '.join(field.name for field in fields(kind))}") from None


def refuse_other_shapes(document: Mapping[str, Any]) -> None:
    """Raise where a ROI says in words of its own that it is no upright rectangle: its box would be measured instead."""
    for key, value in document.items():
        name = str(key).lower()
        told = value.get("kind", value) if name in _KINDS and isinstance(value, Mapping) else value
        shape = name in _KINDS and not (told is None or (isinstance(told, str) and told.lower() in RECTANGLES))
        shape = shape or (name in _TYPES and str(told).lower() in (*SHAPES, *_NAMES))
        turned = name in TURNS and not (value is None or (isinstance(value, int | float) and value == 0))
        other = name in _OTHER and value is not None and value is not False
        if shape or turned or other:
            raise RoiError(
                f"ROI {document.get('name', '?')!r} has {key!r} = {told!r}, which is not measured, and never the box "
                f'around it: give its "shape" with a kind out of {", ".join(SHAPES)}, or y and x without {key!r}'
            )
