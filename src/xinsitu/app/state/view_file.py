"""Everything that a person has set up in a tab, as a document: to be there again after a reload, or another day."""

from __future__ import annotations

import contextlib
import json
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import param

from xinsitu.app.data import beside
from xinsitu.errors import DocumentError, XinsituError, in_utf8
from xinsitu.io.documents import ROIS, VERSION
from xinsitu.io.value_kinds import check_kinds
from xinsitu.recipe import Correcting
from xinsitu.values import AttenuationChange, Event, frame_ranges

from .corrections import CALIBRATIONS, Corrections

if TYPE_CHECKING:
    from .model import ExplorerModel

ROOT = Path("/")
"""What paths in a view are relative to: it may be loaded from anywhere."""
VIEW_FORMAT = "xinsitu-view"
SHOWN = (
    "corrected", "compare", "log_image", "each_frame", "colours", "limits", "axis", "log_intensity", "log_kymograph",
    "smooth", "derivative", "span", "normalised", "shift", "along", "own_axes", "show", "scaled", "selected", "hidden",
    "further", "frame", "follow",
)  # fmt: skip
"""What is shown and how, in the order in which it is set."""
IN_VIEW = {"window": 1, "part": 2}
"""Parts of figures that are in view, and along how many axes."""
_LIST, _OBJECT = {"type": "array"}, {"type": "object"}
KINDS = {
    "properties": {
        **dict.fromkeys(("view", "in_view", "correction", "rois"), _OBJECT),
        **dict.fromkeys(("changes", "proposals", "events", "bad_frames"), _LIST),
        "given": {"type": "array", "items": {"type": "string"}},
    }
}
"""Kinds of the parts of a view, as a JSON Schema."""
TABS = 50
"""Closed tabs whose view is remembered."""


def document(model: ExplorerModel) -> dict[str, Any]:
    """Return the JSON form of a view: what is shown, ROIs, changes, proposals, events."""
    shown = {name: getattr(model.part_with(name), name) for name in SHOWN}
    return {
        "format": VIEW_FORMAT,
        "version": VERSION,
        "view": {**shown, "limits": list(model.view.limits)},
        "in_view": {name: [list(ends) for ends in getattr(model.view, name) or ()] for name in IN_VIEW},
        "compared": model.curves.compared,
        "correction": model.view.corrections.correcting.to_dict(ROOT),
        "given": [
            name
            for name in CALIBRATIONS
            if model.view.corrections.has(name) and name not in model.view.corrections.files
        ],
        "rois": model.regions.rois.to_dict(),
        "changes": [change.to_dict() for change in model.attenuation.changes],
        "proposals": [change.to_dict() for change in model.attenuation.proposals],
        "events": [event.to_dict() for event in model.logbook.events],
        "bad_frames": [one.to_dict() for one in model.numbers.bad_frames],
    }


def view_text(model: ExplorerModel) -> str:
    """Return :func:`document` as a file."""
    return in_utf8(json.dumps(document(model), indent=2, ensure_ascii=False)) + "\n"


def restore(model: ExplorerModel, view: Mapping[str, Any]) -> None:
    """Show what a document says; what does not fit these frames stays as it is.

    Raises
    ------
    DocumentError, RoiError, StitchError
        A part of the document makes no sense; nothing is changed then.
    """
    shown, lists = view.get("view", {}), [view.get(name, []) for name in ("changes", "proposals", "events")]
    if not isinstance(shown, Mapping) or not all(isinstance(one, list) for one in lists):
        raise DocumentError("the view holds no object 'view', or no lists of changes and events")
    changes, proposals, events = (
        tuple(map(kind.from_dict, one))  # type: ignore[attr-defined] # both have it
        for kind, one in zip((AttenuationChange, AttenuationChange, Event), lists, strict=True)
    )
    for change in (*changes, *proposals):
        model.attenuation.place_of(change)
    check_kinds(view, KINDS)
    bad = frame_ranges(view.get("bad_frames", []))
    parts = {name: _part(view.get("in_view", {}), name) for name in IN_VIEW}
    corrections = _corrections(model, view) if "correction" in view else model.view.corrections
    wanted = _wanted(model, shown)
    for name, value in wanted.items():
        if _fits(model, name, value):
            _try(model, name, value)
    if view.get("rois"):
        model.regions.load_rois(json.dumps({"format": ROIS, "version": VERSION, **view["rois"]}))
    model.view.corrections = corrections
    model.attenuation.param.update(changes=changes, proposals=proposals)
    model.logbook.events, model.numbers.bad_frames = events, bad
    for name, value in wanted.items():
        if _fits(model, name, value):
            setattr(model.part_with(name), name, value)
    model.view.param.update(**parts)
    if path := beside.results(model.source).get(str(view.get("compared", ""))):  # of those beside the frames only
        with contextlib.suppress(XinsituError):  # another file by now
            model.curves.open_result(path)


def _wanted(model: ExplorerModel, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be shown, in the order in which it is set, as the model has it."""
    wanted = {name: shown[name] for name in SHOWN if shown.get(name) is not None}
    if isinstance(wanted.get("frame"), int):
        wanted["frame"] = min(max(wanted["frame"], 0), model.view.n_frames - 1)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in wanted.items()}


def _fits(model: ExplorerModel, name: str, value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a value can be shown of these frames: they may be others than when it was kept."""
    if name == "span":
        ends = isinstance(value, tuple) and len(value) == 2 and all(type(end) is int for end in value)
        return ends and 0 <= value[0] < value[1] <= model.view.n_frames
    if name == "hidden":
        return isinstance(value, tuple) and all(one in model.regions.rois.names for one in value)
    corrected = (False,) if model.view.correction is None else (False, True)
    known = {"selected": model.regions.rois.names, "axis": model.view.axes, "corrected": corrected}.get(name)
    return known is None or value in known


def _corrections(model: ExplorerModel, view: Mapping[str, Any]) -> Corrections:
    """Return the corrections that a document says; of files only those that were given or lie beside the frames."""
    wanted, now, given = Correcting.from_dict(view["correction"], ROOT), model.view.corrections, view.get("given", ())
    plain = ("median", "threshold", "background", "normalise", "count_rate")
    result: Corrections = now.changed(**{name: getattr(wanted, name) for name in plain})
    for name in CALIBRATIONS:
        path = getattr(wanted, name)
        if path is None:
            result = result if name in given else result.switched(name, on=False)
        elif path == now.files.get(name):
            result = result.switched(name, on=True)
        elif path in {one.resolve() for one in beside.calibrations(model.source, name).values()}:
            result = result.calibrated(name, path, model.source)
    return result


def _part(parts: object, name: str) -> tuple[tuple[float, float], ...] | None:
    """Return the part of a figure that is in view, as the model has it; None: all of it."""
    try:
        pairs = tuple((float(start), float(end)) for start, end in parts.get(name, ()))  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        raise DocumentError(f"the part {name!r} that is in view holds no pairs of numbers") from None
    sound = len(pairs) == IN_VIEW[name] and all(math.isfinite(end - start) and start != end for start, end in pairs)
    return pairs if sound else None


def _try(model: ExplorerModel, name: str, value: object) -> None:
    """Set a parameter and put it back, which nobody hears of; a value that it refuses is none of ours."""
    part = model.part_with(name)
    before = getattr(part, name)
    with param.discard_events(part):
        try:
            setattr(part, name, value)
        except (ValueError, TypeError):
            raise DocumentError(f"{name} cannot be {str(value)[:40]!r}") from None
        setattr(part, name, before)


class Remembered:
    """Views of the tabs of one explorer: those that are open, and the last ones that were closed."""

    def __init__(self) -> None:
        self._open: dict[str, ExplorerModel] = {}
        self._closed: dict[str, dict[str, Any]] = {}

    def open(self, model: ExplorerModel) -> str:
        """Take note of a new tab; the name that comes back cannot be guessed."""
        name = secrets.token_urlsafe(9)
        self._open[name] = model
        return name

    def close(self, model: ExplorerModel) -> None:
        """Keep the view of a tab, and let go of its numbers."""
        for name in [name for name, one in self._open.items() if one is model]:
            self._closed[name] = document(self._open.pop(name))
        for name in list(self._closed)[:-TABS]:
            del self._closed[name]

    def view(self, name: str) -> dict[str, Any] | None:
        """Return the view of a tab as it is, or was."""
        model = self._open.get(name)
        return self._closed.get(name) if model is None else document(model)
