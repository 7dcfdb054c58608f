"""ROI files of ImageJ and Fiji, ``.roi`` and ``.zip``, by roifile.

ImageJ counts from the corner of the first pixel, whose centre is (0.5, 0.5) there.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xinsitu.errors import DocumentError, RoiError
from xinsitu.kernels.areas import inside_polygon
from xinsitu.values import Ellipse, Mask, Polygon, Roi, Rotated, Sector, Shape
from xinsitu.values.region_shapes import MOST_PIXELS, turned

from .carried import Carried, named, needs

MAGIC = b"Iout"
_MOST_FILES = 10_000
_BROKEN = (
    ValueError, KeyError, IndexError, TypeError, OverflowError, OSError, EOFError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What reading of bytes that are no whole file ends in."""
_CORNER = 0.5
"""Distance of the centre of a pixel from its corner."""


def _roifile() -> Any:  # noqa: ANN401 - a module
    with needs("roifile", "ROI files of ImageJ", "exchange"):
        import roifile
    return roifile


def read_imagej(path: Path) -> Carried:
    """Read a file of one ROI, or a zip of several; points, lines and texts have no area and are left out, and said."""
    roifile = _roifile()
    found = Carried("ImageJ")
    try:
        for name, data in _files(path):
            one = roifile.ImagejRoi.frombytes(data)
            _take(found, roifile, one, named(one.name, Path(name).stem))
    except (DocumentError, RoiError):
        raise
    except _BROKEN as fault:
        raise DocumentError(f"{path}: is no whole ROI file of ImageJ ({type(fault).__name__}: {fault})") from None
    return found


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if not zipfile.is_zipfile(path):
        yield path.name, path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.lower().endswith(".roi")]
        if not members or len(members) > _MOST_FILES or sum(member.file_size for member in members) > 10 * 2**20:
            raise DocumentError(f"{path}: holds {len(members)} ROI files of ImageJ; 1 to {_MOST_FILES} are read")
        for member in members:
            yield member.filename, archive.read(member)


def _take(found: Carried, roifile: Any, one: Any, name: str) -> None:  # noqa: ANN401 - roifile's
    colour = bytes(one.stroke_color)[1:].hex()
    color = f"#{colour}" if colour.strip("0") else None
    box = tuple(map(float, (one.top, one.left, one.bottom, one.right)))
    if one.subpixelrect:
        box = (one.yd, one.xd, one.yd + one.heightd, one.xd + one.widthd)
    plain = one.roitype == roifile.ROI_TYPE.RECT and not one.composite
    if one.roitype == roifile.ROI_TYPE.RECT and not one.composite and one.rounded_rect_arc_size:
        found.lost.append(f"{name!r} is the whole rectangle, without its round corners")
    if plain and all(bound == int(bound) >= 0 for bound in box):
        found.add(name, lambda: Roi(name, (int(box[0]), int(box[2])), (int(box[1]), int(box[3])), color=color))
    else:
        found.add(name, lambda: Roi(name, geometry=_shape(roifile, one, box), color=color))


def _shape(roifile: Any, one: Any, box: tuple[float, ...]) -> Shape:  # noqa: ANN401 - roifile's
    """Shape of what has an area."""
    kinds, subtypes, kind = roifile.ROI_TYPE, roifile.ROI_SUBTYPE, one.roitype
    top, left, bottom, right = box
    centre = 0.5 * (top + bottom) - _CORNER, 0.5 * (left + right) - _CORNER
    if one.composite:
        return _holes([np.asarray(path, dtype=np.float64) - _CORNER for path in one.coordinates(multi=True)])
    if kind == kinds.RECT:
        return Rotated(centre, (bottom - top, right - left))
    if kind == kinds.OVAL:
        return Ellipse(centre, (0.5 * (bottom - top), 0.5 * (right - left)))
    if kind == kinds.FREEHAND and one.subtype in (subtypes.ELLIPSE, subtypes.ROTATED_RECT):
        return _turned(one, ellipse=one.subtype == subtypes.ELLIPSE)
    if kind in (kinds.POLYGON, kinds.FREEHAND, kinds.TRACED):
        x, y = np.asarray(one.coordinates(), dtype=np.float64).T
        return Polygon(tuple(zip((y - _CORNER).tolist(), (x - _CORNER).tolist(), strict=True)))
    raise RoiError(f"is of the kind {kinds(kind).name.lower()}, which has no area")


def _turned(one: Any, *, ellipse: bool) -> Shape:  # noqa: ANN401 - roifile's
    """Ellipse about its long axis, or box about its middle line; how wide stands in the bytes of an arrow's head."""
    head = struct.pack(">BBh", one.arrow_style_or_aspect_ratio, one.arrow_head_size, one.rounded_rect_arc_size)
    (wide,) = struct.unpack(">f", head)
    x1, y1, x2, y2 = (float(value) for value in (one.x1, one.y1, one.x2, one.y2))
    length, angle = math.hypot(x2 - x1, y2 - y1), math.degrees(math.atan2(y2 - y1, x2 - x1))
    centre = 0.5 * (y1 + y2) - _CORNER, 0.5 * (x1 + x2) - _CORNER
    return (
        Ellipse(centre, (0.5 * length * wide, 0.5 * length), angle)
        if ellipse
        else Rotated(centre, (wide, length), angle)
    )


def _holes(paths: list[np.ndarray[Any, Any]]) -> Mask:
    """Several outlines, one within the other or apart: pixels in an odd number of them."""
    paths = [path[:, ::-1] for path in paths if len(path) > 2]
    low, high = np.concatenate(paths).min(axis=0), np.concatenate(paths).max(axis=0)
    origin = int(np.floor(low[0])), int(np.floor(low[1]))
    size = int(np.ceil(high[0])) + 1 - origin[0], int(np.ceil(high[1])) + 1 - origin[1]
    if math.prod(size) > MOST_PIXELS:
        raise RoiError(f"reaches over {size[0]} x {size[1]} pixels, more than any detector has")
    inside = np.zeros(size, dtype=bool)
    for path in paths:
        inside ^= inside_polygon(path, origin, size)
    return Mask.of(inside, origin)


def imagej_files(rois: Iterable[Roi], told: Carried) -> list[tuple[str, bytes]]:
    """Return each ROI as a file of ImageJ; a sector becomes a polygon, what is in parts is left out."""
    roifile, files = _roifile(), []
    for roi in rois:
        outlines = () if roi.geometry is None else roi.geometry.outlines()
        if isinstance(roi.geometry, Mask) or len(outlines) > 1:
            told.leave(roi.name, "it is in parts or has a hole; write it as a mask")
            continue
        if isinstance(roi.geometry, Sector):
            told.lost.append(f"{roi.name!r} is written as a polygon")
        files.append((roi.name, _written(roifile, roi).tobytes()))
    return files


def _written(roifile: Any, roi: Roi) -> Any:  # noqa: ANN401 - roifile's
    kinds, shape = roifile.ROI_TYPE, roi.geometry
    if shape is None:
        (top, bottom), (left, right) = roi.y, roi.x
        return roifile.ImagejRoi(
            roitype=kinds.RECT, name=roi.name, top=top, bottom=bottom, left=left, right=right, version=228
        )
    if isinstance(shape, Ellipse | Rotated):
        return _turned_written(roifile, roi.name, shape)
    points = np.array(shape.points) if isinstance(shape, Polygon) else shape.outlines()[0]
    return roifile.ImagejRoi.frompoints(points[:, ::-1] + _CORNER, name=roi.name)


def _turned_written(roifile: Any, name: str, shape: Ellipse | Rotated) -> Any:  # noqa: ANN401 - roifile's
    """Ellipse or box at any angle, as :func:`_turned` reads it."""
    corners = shape.corners if isinstance(shape, Rotated) else shape.outlines()[0]
    one = roifile.ImagejRoi.frompoints(np.array(corners)[:, ::-1] + _CORNER, name=name)
    (a_y, a_x), _ = turned(shape.angle)
    y, x = (middle + _CORNER for middle in shape.centre)
    if isinstance(shape, Ellipse):
        subtype, half, wide = roifile.ROI_SUBTYPE.ELLIPSE, shape.axes[1], shape.axes[0] / shape.axes[1]
    else:
        subtype, half, wide = roifile.ROI_SUBTYPE.ROTATED_RECT, 0.5 * shape.size[1], shape.size[0]
    one.roitype, one.subtype = roifile.ROI_TYPE.FREEHAND, subtype
    one.x1, one.y1, one.x2, one.y2 = x - half * a_x, y - half * a_y, x + half * a_x, y + half * a_y
    head = struct.unpack(">BBh", struct.pack(">f", wide))
    one.arrow_style_or_aspect_ratio, one.arrow_head_size, one.rounded_rect_arc_size = head
    return one
