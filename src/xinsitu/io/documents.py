"""The JSON files that people edit: ROIs, attenuation changes, events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xinsitu.errors import DocumentError, RoiError, XinsituError, in_utf8
from xinsitu.kernels.scattering import within
from xinsitu.values import AttenuationChange, DetectorGeometry, Event, Mask, Roi, RoiSet
from xinsitu.values.detector_geometry import LIMITS, checked_limits
from xinsitu.values.roi_sets import MOST_ROIS

from .disk import ordinary, write_whole
from .exchange.roi_files import FORMS, foreign_rois, form_of, write_foreign_rois
from .guard import output_path
from .pixel_maps import read_mask
from .poni import read_geometry
from .value_kinds import schema_of

ROIS, ATTENUATION, EVENTS = "xinsitu-rois", "xinsitu-attenuation", "xinsitu-events"
SCHEMAS = ("rois", "attenuation", "events", "recipe", "geometry", "instrument")
VERSION = 1
IN_Q = "q"
"""Kind of a shape in a ROI file that a geometry turns into pixels when it is read."""
_MOST_PIXELS = 10**9
"""Of a detector."""
LARGEST = 10 * 2**20
"""Bytes; a larger file is no document of ours."""

PathLike = str | os.PathLike[str]


def read_document(path: PathLike, form: str) -> dict[str, Any]:
    """Read a JSON object of the given format.

    Raises
    ------
    DocumentError
        The file is no JSON, has another format or a newer version; the message names the file.
    """
    path = Path(path)
    if path.is_dir():
        raise DocumentError(f"{path}: is a folder, a JSON file of the format {form!r} was expected")
    if Path(ordinary(path)).stat().st_size > LARGEST:
        raise DocumentError(f"{path}: is larger than {LARGEST // 2**20} MiB, no file of the format {form!r}")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise DocumentError(f"{path}: is not a text file") from None
    except RecursionError:
        raise DocumentError(f"{path}: is nested too deeply to be a file of the format {form!r}") from None
    except json.JSONDecodeError as fault:
        raise DocumentError(f"{path}: is not valid JSON: {fault.msg} in line {fault.lineno}") from None
    except ValueError as fault:
        raise DocumentError(f"{path}: {fault}") from None
    if not isinstance(document, dict) or document.get("format") != form:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise DocumentError(f'{path}: needs the line "format": "{form}", found {found!r}')
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise DocumentError(f"{path}: version {document.get('version')!r} of {form} is not known, only {VERSION}")
    return document


def json_schema(form: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what people write by hand.

    ``form`` is ``rois``, ``attenuation``, ``events``, ``recipe``, ``geometry`` or ``instrument``. It lies in the
    package, too, as ``xinsitu/schemas/FORM.json``, for editors that check what one types.

    Raises
    ------
    DocumentError
        There is no such document.

    Examples
    --------
    >>> json_schema("rois")["required"]
    ['format', 'version', 'rois']
    """
    if form not in SCHEMAS:
        raise DocumentError(f"there are schemas of {', '.join(SCHEMAS)}, not of {form!r}")
    return schema_of(form)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def document_text(document: Mapping[str, Any], form: str) -> str:
    """Return a JSON object with its format and version, as it stands in a file; what is not UTF-8 as escapes."""
    whole = {"format": form, "version": VERSION, **document}
    return in_utf8(json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def write_document(document: Mapping[str, Any], path: PathLike, form: str, *, overwrite: bool = False) -> None:
    """Write a JSON object with its format and version, whole or not at all."""
    path = output_path(path, overwrite=overwrite)
    write_whole(path, document_text(document, form).encode(), overwrite=overwrite)


def read_rois(path: PathLike) -> RoiSet:
    """Read a ROI file: ours, or one of another program, told by its content.

    ImageJ and Fiji (``.roi``, ``.zip``; with roifile), BLISS and Lima (JSON, HDF5), areaDetector (autosave), DAWN
    (JSON, NeXus), and masks of silx and pyFAI (``.npy``, EDF, TIFF, ``.msk``, HDF5), of which each level is a ROI.

    Raises
    ------
    DocumentError, RoiError
        The file is not a ROI file, or a ROI makes no sense; the message names the file.

    Warns
    -----
    XinsituWarning
        Something of another program's file cannot be carried over.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rois.json"
    >>> write_rois([Roi("WZ", y=(60, 150), x=(210, 270), color="green")], path)
    >>> read_rois(path)["WZ"].color
    'green'
    """
    if not Path(path).is_dir() and (foreign := foreign_rois(Path(path))) is not None:
        return foreign
    document = read_document(path, ROIS)
    try:
        return RoiSet.from_dict(_with_masks(document, Path(path)))
    except XinsituError as fault:
        raise RoiError(f"{os.fspath(path)}: {fault}") from None


def _with_masks(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put the pixels of masks that lie in files of their own into a ROI file."""
    rois, size = document.get("rois"), document.get("detector_shape")
    if not isinstance(rois, list):
        return document
    few = rois[: MOST_ROIS + 1]  # one more is refused, whatever files it names
    return {**document, "rois": [_with_mask(roi, path, size) for roi in few]}


def _with_mask(roi: Any, path: Path, size: Any) -> Any:  # noqa: ANN401 - anything that JSON has
    shape = roi.get("shape") if isinstance(roi, Mapping) else None
    if not isinstance(shape, Mapping):
        return roi
    if shape.get("kind") == Mask.kind and "file" in shape:
        pixels = read_mask(_beside(path, shape["file"])).values
    elif shape.get("kind") == IN_Q:
        pixels = _in_q(shape, path, size)
    else:
        return roi
    if not pixels.any():
        raise RoiError(f"no pixel lies in ROI {roi.get('name', '?')!r}, {dict(shape)}")
    return {**roi, "shape": Mask.of(pixels).to_dict()}


def _beside(path: Path, name: object) -> Path:
    """File that a ROI file names: beside it, or in a folder there."""
    beside = Path(str(name))
    if beside.is_absolute() or ".." in beside.parts:
        raise RoiError(f"the file {str(beside)!r} must lie beside the ROI file or in a folder there")
    return path.parent / beside


def _in_q(shape: Mapping[str, Any], path: Path, size: Any) -> Any:  # noqa: ANN401 - pixels; anything that JSON has
    """Pixels within limits of q and angles, by the geometry that the ROI names."""
    known = ("kind", "geometry", "incidence", "surface", *LIMITS)
    if strange := set(shape) - set(known):
        raise RoiError(f"a shape of kind {IN_Q} has no {', '.join(sorted(strange))}, only {', '.join(known)}")
    limits = checked_limits(**{name: shape.get(name) for name in LIMITS})
    if not limits or "geometry" not in shape:
        raise RoiError(
            f"a shape of kind {IN_Q} needs a geometry, a .poni file or its numbers, and limits: {', '.join(LIMITS)}"
        )
    if not isinstance(size, list) or len(size) != 2 or not all(type(number) is int and number > 0 for number in size):
        raise RoiError(f"a shape of kind {IN_Q} needs the detector_shape of the ROI file, [rows, columns]")
    if size[0] * size[1] > _MOST_PIXELS:
        raise RoiError(f"detector_shape {size} is that of no detector")
    if not isinstance(shape["geometry"], str | Mapping):
        raise RoiError(f"geometry is a .poni file or its numbers, not {shape['geometry']!r}")
    surface, incidence = shape.get("surface", "y"), shape.get("incidence", 0.0)
    if surface not in ("y", "x") or not isinstance(incidence, int | float):
        raise RoiError(f"surface is 'y' or 'x' and incidence a number of degrees, not {surface!r}, {incidence!r}")
    if isinstance(told := shape["geometry"], Mapping):
        geometry = DetectorGeometry.from_dict({**told, "incidence": incidence or told.get("incidence", 0.0)})
    else:
        try:
            geometry = read_geometry(_beside(path, told), incidence=incidence)
        except OSError as fault:
            raise RoiError(f"the geometry {told[:100]!r} cannot be read ({fault.strerror})") from None
    geometry.check_centre((size[0], size[1]))
    return within(geometry.maps((0, size[0]), (0, size[1]), surface=surface), limits)


def write_rois(
    rois: RoiSet | Iterable[Roi], path: PathLike, *, form: str | None = None, overwrite: bool = False
) -> None:
    """Write a ROI file.

    Parameters
    ----------
    rois
        What to write.
    path
        Where.
    form
        ``xinsitu``; or, for other programs, ``imagej``, ``bliss`` and ``dawn`` (JSON, or HDF5 to ``.h5`` and ``.nxs``),
        ``areadetector``, or ``mask`` for silx, pyFAI and Fit2D. None: by the ending, ``imagej`` to ``.roi`` and
        ``.zip``, ``areadetector`` to ``.sav``, ``mask`` to ``.npy``, ``.edf`` and ``.msk``.
    overwrite
        Replace a file that is there.

    Warns
    -----
    XinsituWarning
        The other program has no word for something, e.g. backgrounds.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rois.json"
    >>> write_rois([Roi("WZ", y=(60, 150), x=(210, 270))], path)
    >>> read_rois(path).names
    ('WZ',)
    """
    chosen, named = form_of(Path(path), form), RoiSet.of(rois)
    if chosen != FORMS[0]:
        write_foreign_rois(named, Path(path), chosen, overwrite=overwrite)
        return
    write_document(named.to_dict(), path, ROIS, overwrite=overwrite)


def _read_list(path: PathLike, form: str, name: str) -> list[Any]:
    values = read_document(path, form).get(name)
    if not isinstance(values, list):
        raise DocumentError(f"{os.fspath(path)}: there is no list {name!r}")
    return values


def read_attenuation_changes(path: PathLike) -> tuple[AttenuationChange, ...]:
    """Read a file of attenuation changes, in the order of the file.

    Raises
    ------
    DocumentError
        The file is not such a file, or a change makes no sense; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "changes.json"
    >>> path.write_text('''{"format": "xinsitu-attenuation", "version": 1, "changes": [
    ...     {"before": "time2:71", "after": "time3:0", "factor": 8.4}]}''') > 0
    True
    >>> read_attenuation_changes(path)[0].factor
    8.4
    """
    try:
        return tuple(map(AttenuationChange.from_dict, _read_list(path, ATTENUATION, "changes")))
    except DocumentError as fault:
        raise _named(path, fault) from None


def write_attenuation_changes(changes: Iterable[AttenuationChange], path: PathLike, *, overwrite: bool = False) -> None:
    """Write a file of attenuation changes; it can be edited by hand and read again.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "changes.json"
    >>> change = AttenuationChange("2014-05-28T08:00:00Z", "2014-05-28T08:00:05Z", factor=8.5)
    >>> write_attenuation_changes([change], path)
    >>> read_attenuation_changes(path) == (change,)
    True
    """
    write_document({"changes": [change.to_dict() for change in changes]}, path, ATTENUATION, overwrite=overwrite)


def read_events(path: PathLike) -> tuple[Event, ...]:
    """Read a file of events, in the order of the file.

    Raises
    ------
    DocumentError
        The file is not such a file, or an event makes no sense; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "events.json"
    >>> path.write_text('''{"format": "xinsitu-events", "version": 1, "events": [
    ...     {"name": "In shutter open", "key": "time1:24s"}]}''') > 0
    True
    >>> read_events(path)[0].name
    'In shutter open'
    """
    try:
        return tuple(map(Event.from_dict, _read_list(path, EVENTS, "events")))
    except DocumentError as fault:
        raise _named(path, fault) from None


def write_events(events: Iterable[Event], path: PathLike, *, overwrite: bool = False) -> None:
    """Write a file of events.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "events.json"
    >>> write_events([Event("In shutter open", "2014-05-28T17:01:59+09:00")], path)
    >>> read_events(path)[0].start
    np.datetime64('2014-05-28T08:01:59.000000000')
    """
    write_document({"events": [event.to_dict() for event in events]}, path, EVENTS, overwrite=overwrite)


def _named(path: PathLike, fault: DocumentError) -> DocumentError:
    """Put the file's name in front of a fault, once."""
    text = str(fault)
    return fault if text.startswith(os.fspath(path)) else DocumentError(f"{os.fspath(path)}: {text}")
