"""ROI and mask files of other programs, told by their content, as our ROIs and back."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xinsitu.errors import DocumentError, RoiError, in_utf8, warn
from xinsitu.io.disk import ordinary, write_whole
from xinsitu.io.formats.hdf5_links import opened, refuse_outside_links
from xinsitu.io.guard import output_path
from xinsitu.io.pixel_maps import read_mask, stored_mask
from xinsitu.values import Mask, Roi, RoiSet

from .carried import Carried, named
from .hdf5_regions import from_hdf5, to_bliss_file, to_dawn_file
from .imagej import MAGIC, imagej_files, read_imagej
from .roi_tables import (
    from_area_detector,
    from_dawn,
    from_lima,
    is_area_detector,
    is_dawn,
    is_lima,
    to_area_detector,
    to_dawn,
    to_lima,
)

FORMS = ("xinsitu", "imagej", "bliss", "dawn", "areadetector", "mask")
"""How ROIs are written; ``mask`` is that of silx and pyFAI."""
_HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")
_WRITTEN_MASKS = (".npy", ".edf", ".msk")
_MASKS = (".npy", ".edf", ".msk", ".tif", ".tiff", ".cbf")


def foreign_rois(path: Path) -> RoiSet | None:
    """Read ROIs of another program; None where the file is none that is known.

    What cannot be carried over is left out, with a warning.
    """
    with open(ordinary(path), "rb") as file:
        head = file.read(4)
    try:
        carried = _read(path, head)
    except RoiError as fault:
        raise DocumentError(f"{path}: {fault}") from None
    if carried is None:
        return None
    rois = carried.as_set(path)
    if carried.lost:
        warn(f"{path}: from {carried.program} not all is carried over: {'; '.join(carried.lost)}")
    return rois


def _read(path: Path, head: bytes) -> Carried | None:
    if head == MAGIC or head == b"PK\x03\x04":
        return read_imagej(path)
    if h5py.is_hdf5(path):
        try:
            refuse_outside_links(str(path), inside=str(path.resolve().parent))
        except ValueError as fault:
            raise DocumentError(str(fault)) from None
        try:
            with opened(str(path)) as file:
                found = from_hdf5(file)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as fault:
            raise DocumentError(f"{path}: cannot be read as a file of ROIs ({type(fault).__name__}: {fault})") from None
        return found or _mask(path)
    if path.suffix.lower() in _MASKS:
        return _mask(path)
    return _of_text(path)


def _of_text(path: Path) -> Carried | None:
    """Tables in JSON or of autosave; None for anything else, ours among it."""
    if path.stat().st_size > 10 * 2**20:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return from_area_detector(text) if is_area_detector(text) else None
    if is_lima(document):
        return from_lima(document)
    if is_dawn(document):
        return from_dawn(document)
    if isinstance(document, dict) and isinstance(document.get("ROI"), dict) and "roidict" in document["ROI"]:
        raise DocumentError(f"{path}: holds ranges on curves of silx, which are no regions of an image")
    return None


def _mask(path: Path) -> Carried:
    """One ROI for each level of a mask; masks of silx have up to 255."""
    stored = stored_mask(str(path))
    found = Carried("a mask")
    levels = [int(level) for level in np.unique(stored) if level != 0] if stored.dtype.kind in "iu" else []
    if not 1 < len(levels) <= 255:
        found.add(path.stem, lambda: Roi(named(path.stem, "mask"), geometry=Mask.of(read_mask(path).values)))
        return found
    for level in levels:
        name = f"{named(path.stem, 'mask')} {level}"
        found.add(name, lambda name=name, level=level: Roi(name, geometry=Mask.of(stored == level)))  # type: ignore[misc]
    return found


def form_of(path: Path, form: str | None) -> str:
    """Tell how ROIs are written to a file, by its ending where nobody says it."""
    if form is not None and form not in FORMS:
        raise DocumentError(f"ROIs are written as {', '.join(FORMS)}, not {form!r}")
    ending = path.suffix.lower()
    if form is None and ending in (*_HDF5, ".tif", ".tiff", ".cbf"):
        raise DocumentError(
            f"{path}: ROIs are not written to {ending} without a form: bliss, dawn or mask; ours is JSON"
        )
    endings = {".roi": "imagej", ".zip": "imagej", ".sav": "areadetector", **dict.fromkeys(_WRITTEN_MASKS, "mask")}
    return form or endings.get(ending, "xinsitu")


def write_foreign_rois(rois: RoiSet, path: Path, form: str, *, overwrite: bool) -> None:
    """Write ROIs for another program; what it cannot hold is said."""
    told = Carried(form)
    told.lost += _unsaid(rois)
    binary = path.suffix.lower() in _HDF5
    writers: dict[str, Callable[[], bytes]] = {
        "imagej": lambda: _imagej(rois, path, told),
        "bliss": lambda: to_bliss_file(rois, told) if binary else _json(to_lima(rois, told)),
        "dawn": lambda: to_dawn_file(rois, told) if binary else _json(to_dawn(rois, told)),
        "areadetector": lambda: to_area_detector(rois, told).encode(),
        "mask": lambda: _mask_file(rois, path, told),
    }
    path = output_path(path, overwrite=overwrite)
    data = writers[form]()
    if told.left_out == len(rois):
        raise DocumentError(f"{path}: no ROI can be written for {told.program}: {'; '.join(told.lost)}")
    write_whole(path, data, overwrite=overwrite)
    if told.lost:
        warn(f"{path}: for {told.program} not all is written: {'; '.join(told.lost)}")


def _unsaid(rois: RoiSet) -> list[str]:
    """Return what other programs have no word for."""
    parts = {
        "backgrounds": any(roi.background for roi in rois),
        "paths": any(roi.path for roi in rois),
        "what is measured": any(roi.measure is not None for roi in rois),
        "exact edges": any(roi.edges == "exact" for roi in rois),
    }
    lost = [name for name, there in parts.items() if there]
    return [f"{', '.join(lost)} of ROIs"] if lost else []


def _json(document: Any) -> bytes:  # noqa: ANN401 - anything that JSON has
    return f"{in_utf8(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))}\n".encode()


def _imagej(rois: RoiSet, path: Path, told: Carried) -> bytes:
    files = imagej_files(rois, told)
    if path.suffix.lower() == ".roi":
        if len(files) > 1:
            raise DocumentError(f"{path}: holds one ROI, and there are {len(files)}: write them to a .zip")
        return files[0][1] if files else b""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, data) in enumerate(files):
            safe = "".join(letter if letter.isalnum() or letter in " -_()." else "_" for letter in name)
            archive.writestr(zipfile.ZipInfo(f"{number:04d}-{safe}.roi"), data)
    return buffer.getvalue()


def _mask_file(rois: RoiSet, path: Path, told: Carried) -> bytes:
    """Levels 1, 2, … in the order of the ROIs; where they overlap the later one has the pixel."""
    if rois.detector_shape is None:
        raise DocumentError(f"{path}: a mask covers the detector: give the ROIs a detector_shape")
    if len(rois) > 255:
        raise DocumentError(f"{path}: a mask holds 255 levels, and there are {len(rois)} ROIs")
    levels = np.zeros(rois.detector_shape, dtype=np.uint8)
    for level, roi in enumerate(rois, start=1):
        part = levels[slice(*roi.y), slice(*roi.x)]
        inside = np.ones(roi.shape, dtype=bool) if roi.weights is None else roi.weights >= 0.5
        if not inside.any():
            told.leave(roi.name, "it holds half of no pixel")
        if (part[inside] > 0).any():
            told.lost.append(f"{roi.name!r} covers pixels of ROIs before it")
        part[inside] = level
    told.lost.append(
        "names are not in a mask, whose levels are " + ", ".join(f"{n} {roi.name!r}" for n, roi in enumerate(rois, 1))
    )
    ending = path.suffix.lower()
    if ending not in _WRITTEN_MASKS:
        raise DocumentError(f"{path}: a mask is written to {', '.join(_WRITTEN_MASKS)}")
    if ending == ".msk" and len(rois) > 1:
        told.lost.append("all levels are one, as Fit2D has a bit for each pixel")
    if ending != ".npy":
        return _edf(levels) if ending == ".edf" else _fit2d(levels)
    buffer = io.BytesIO()
    np.save(buffer, levels)
    return buffer.getvalue()


def _fit2d(levels: np.ndarray[Any, Any]) -> bytes:
    """One bit for each pixel, rows in words of 32 bits, behind 1024 bytes that begin with ``MASK``; as fabio does."""
    height, width = levels.shape
    head = b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0" + struct.pack("<III", width, height, 1)
    bits = np.pad(levels > 0, ((0, 0), (0, -width % 32)))
    return head.ljust(1024, b"\0") + np.packbits(bits, axis=1, bitorder="little").tobytes()


def _edf(levels: np.ndarray[Any, Any]) -> bytes:
    """One image of bytes in the format of ESRF: a header in multiples of 512 bytes, then the pixels."""
    fields = {
        "HeaderID": "EH:000001:000000:000000", "Image": 1, "ByteOrder": "LowByteFirst", "DataType": "UnsignedByte",
        "Dim_1": levels.shape[1], "Dim_2": levels.shape[0], "Size": levels.size,
    }  # fmt: skip
    text = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in fields.items())
    return f"{text:<{-(-(len(text) + 2) // 512) * 512 - 2}}}}\n".encode() + levels.tobytes()
