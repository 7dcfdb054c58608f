"""Changing a set of ROIs: every function returns a new set."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from xinsitu.errors import RoiError
from xinsitu.values import OWN_EDGE, Bounds, Roi, RoiSet

from .kinds import KINDS, as_kind, kind_of

ANYWHERE = (-1_000_000, 1_000_000)
"""Limits of shapes, which are cut where they reach over the edge of the image."""
_TYPED = re.compile(r"\s*(\d+)\s*[:\-, ]\s*(\d+)\s*[,;x ]\s*(\d+)\s*[:\-, ]\s*(\d+)\s*$")
Shape = tuple[Bounds, Bounds]
"""Rows and columns that the image covers: ``((first, behind the last), (first, behind the last))``."""


def snapped(low: float, high: float, limits: Bounds) -> Bounds:
    """Whole pixels of two edges, in any order, inside the image and at least one pixel wide.

    Edges lie between pixels: pixel 3 reaches from 2.5 to 3.5.

    Examples
    --------
    >>> snapped(9.6, 2.4, (0, 195)), snapped(-20, -10, (0, 195)), snapped(7.2, 7.2, (0, 195))
    ((3, 10), (0, 1), (8, 9))
    """
    first, behind = sorted((round(low, 6), round(high, 6)))  # as rounding does not change the size of what is moved
    start = min(max(math.floor(first + 1), limits[0]), limits[1] - 1)
    return start, min(max(math.floor(behind + 1), start + 1), limits[1])


def centred(centre: float, extent: int, limits: Bounds) -> Bounds:
    """Pixels of a box of so many pixels around a centre, kept inside the image.

    Examples
    --------
    >>> centred(20.0, 5, (0, 195)), centred(1.0, 10, (0, 195))
    ((18, 23), (0, 10))
    """
    first = math.floor(centre - (extent - 1) / 2 + 0.5)
    first = min(max(first, limits[0]), limits[1] - extent)
    return first, first + extent


def typed(text: str, shape: Shape) -> tuple[Bounds, Bounds]:
    """Read ``y0:y1, x0:x1``.

    Raises
    ------
    RoiError
        It is something else, empty, or outside the image.

    Examples
    --------
    >>> typed("60:150, 210:270", ((0, 195), (0, 487)))
    ((60, 150), (210, 270))
    """
    match = _TYPED.match(text)
    if match is None:
        raise RoiError(f"a ROI is typed as y0:y1, x0:x1, such as 60:150, 210:270, not {text[:40]!r}")
    y0, y1, x0, x1 = map(int, match.groups())
    for name, (first, behind), limits in (("y", (y0, y1), shape[0]), ("x", (x0, x1), shape[1])):
        if not limits[0] <= first < behind <= limits[1]:
            raise RoiError(f"{name} = {first}:{behind} does not lie in the image, {limits[0]}:{limits[1]}")
    return (y0, y1), (x0, x1)


def new_name(rois: RoiSet, stem: str) -> str:
    """Return the stem, or the stem with the first free number.

    Examples
    --------
    >>> new_name(RoiSet([Roi("WZ", y=(0, 2), x=(0, 2))]), "WZ")
    'WZ 2'
    """
    taken, number = set(rois.names), 2
    if stem not in taken:
        return stem
    while f"{stem} {number}" in taken:
        number += 1
    return f"{stem} {number}"


def drawn(rois: RoiSet, y: Bounds, x: Bounds) -> tuple[RoiSet, str]:
    """Return the set with a ROI where it was drawn, and its name."""
    name = new_name(rois, "ROI")
    return RoiSet([*rois, as_kind(Roi(name, y=y, x=x), "all", rois)]), name


def nudged(box: tuple[Bounds, Bounds], rows: int, columns: int, shape: Shape, *, size: bool = False) -> Shape:
    """Return a box moved by whole pixels, or its lower right corner; it stays in the image, one pixel wide at least.

    Examples
    --------
    >>> nudged(((0, 4), (0, 6)), -1, 10, ((0, 10), (0, 12)))
    ((0, 4), (6, 12))
    >>> nudged(((0, 4), (0, 6)), 1, -9, ((0, 10), (0, 12)), size=True)
    ((0, 5), (0, 1))
    """
    ends = []
    for (first, behind), step, (low, high) in zip(box, (rows, columns), shape, strict=True):
        if size:
            ends.append((first, min(max(behind + step, first + 1), high)))
        else:
            moved = min(max(step, low - first), high - behind)
            ends.append((first + moved, behind + moved))
    return ends[0], ends[1]


def pasted(rois: RoiSet, roi: Roi, shape: Shape) -> tuple[RoiSet, str]:
    """Return the set with a copy of a ROI, beside the original where that is in the set, and its name."""
    name = new_name(rois, roi.name)
    away = min(6, max(1, min(roi.shape) // 2)) if roi.name in rois.names else 0
    y, x = nudged((roi.y, roi.x), away, away, shape)
    background = tuple(other for other in roi.background if other in (*rois.names, *OWN_EDGE))
    copy = replace(roi.moved(y=y, x=x), name=name, path=None, background=background)
    return RoiSet([*rois, as_kind(copy, kind_of(roi), rois)]), name


def added(rois: RoiSet, kind: str, shape: Shape) -> tuple[RoiSet, str]:
    """Return the set with a new ROI in the middle of the image, and its name."""
    name = new_name(rois, {"all": "ROI", "com": "COM", "fwhm": "FWHM"}.get(kind, kind))
    (top, bottom), (left, right) = shape
    height, width = max(2, min(60, (bottom - top) // 3)), max(2, min(60, (right - left) // 3))
    y0, x0 = (top + bottom - height) // 2, (left + right - width) // 2
    roi = as_kind(Roi(name, y=(y0, y0 + height), x=(x0, x0 + width)), kind, rois)
    return rois.replaced(roi), name


def removed(rois: RoiSet, name: str) -> RoiSet:
    """Return the set without a ROI; nobody's background names it any more."""
    left = [
        replace(roi, background=tuple(other for other in roi.background if other != name))
        for roi in rois
        if roi.name != rois[name].name
    ]
    return RoiSet(left, rois.detector_shape, rois.extra)


def renamed(rois: RoiSet, old: str, new: str) -> RoiSet:
    """Return the set in which a ROI has another name, also where it is a background.

    Raises
    ------
    RoiError
        The name is taken or not printable.
    """
    new = new.strip()
    if new == old:
        return rois
    if new in rois.names:
        raise RoiError(f"there is a ROI {new!r} already")
    changed = [
        replace(
            roi,
            name=new if roi.name == old else roi.name,
            background=tuple(new if other == old else other for other in roi.background),
        )
        for roi in rois
    ]
    return RoiSet(changed, rois.detector_shape, rois.extra)


def duplicated(rois: RoiSet, name: str, shape: Shape) -> tuple[RoiSet, str]:
    """Return the set with a copy of a ROI a few pixels away, and the copy's name."""
    return pasted(rois, rois[name], shape)


def inside(rois: RoiSet, shape: Shape) -> RoiSet:
    """Return the set, clipped to the image where a box reaches over its edge.

    Raises
    ------
    RoiError
        A ROI lies outside altogether; the sentence names it.
    """
    clipped = []
    for roi in rois:
        box: Mapping[str, Bounds] = {
            name: (max(low, first), min(high, behind))
            for name, (low, high), (first, behind) in zip(("y", "x"), (roi.y, roi.x), shape, strict=True)
        }
        if any(low >= high for low, high in box.values()):
            (y0, y1), (x0, x1) = shape
            raise RoiError(f"ROI {roi.name!r} lies outside the image, y = {y0}:{y1}, x = {x0}:{x1}")
        clipped.append(roi.on(shape) if roi.geometry is not None else roi.moved(y=box["y"], x=box["x"]))
    return RoiSet(clipped, None, rois.extra)


KIND_LABELS: Mapping[str, str] = {kind.label: name for name, kind in KINDS.items()}
