"""The state of one explorer and everything it can do, without a word about how it is shown.

Views watch the parameters; a test can drive all behaviour from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import param
import xarray as xr

from xinsitu.app.data import beside
from xinsitu.app.data.store import FrameStore
from xinsitu.clock import Moment, nanoseconds
from xinsitu.errors import DocumentError, SchemaError
from xinsitu.io.documents import ATTENUATION, EVENTS, ROIS, VERSION
from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.moments import frame_key
from xinsitu.values import AttenuationChange, Event, Key, RoiSet

from . import curve_state
from .change_state import ChangesState
from .view_file import VIEW_FORMAT, restore


class ExplorerModel(ChangesState):
    """One person's view of a measurement or sample, with its changes of attenuation and its events."""

    events = param.Parameter(default=())
    result = param.Parameter(default=None, doc="a saved result whose curves are shown, too; None: none")
    compared = param.String("", doc="the file of that result, by its name among those beside the frames")
    window = param.Parameter(default=None, doc="part of the time axis in view, ((start, end),); None: all of it")
    part = param.Parameter(default=None, doc="part of the image in view, ((left, right), (bottom, top)); None: all")

    def __init__(
        self,
        store: FrameStore,
        *,
        rois: RoiSet | None = None,
        correction: Correction | None = None,
        events: Sequence[Event] = (),
        changes: Sequence[AttenuationChange] = (),
        calibration: Mapping[str, xr.DataArray] | None = None,
    ) -> None:
        self._naming = ""
        self.safe: set[str] = set()  # what is in a file somewhere, as `unsaved.parts` has it
        super().__init__(store, rois=rois, correction=correction)
        self.events, self.changes = tuple(events), tuple(changes)
        self.calibration = dict(calibration or {})

    # -- curves as they are drawn ------------------------------------------------------------------------------------

    def drawn(self, name: str) -> xr.Dataset | None:
        """Return the numbers of a ROI as its curves show them: those of :meth:`shown`, smoothed, as slopes, divided."""
        series = self.shown(name)
        window = slice(*self.span) if self.span is not None and self.normalised else None
        if series is None or not (self.smooth or self.derivative or window):
            return series
        return curve_state.drawn(
            series, self.breaks(), smooth=self.smooth, derivative=self.derivative, window=window
        )  # fmt: skip

    def choose_window(self, start: float, end: float) -> None:
        """Take frames between two places of the time axis, and say mean and slope of the selected ROI there.

        Raises
        ------
        SchemaError
            There are less than three frames.
        """
        x, (low, high) = self.coordinates(), sorted((start, end))
        inside = np.flatnonzero((x >= low) & (x <= high))
        if len(inside) < 3:
            raise SchemaError("a window needs three frames: drag farther with Shift held down")
        self.span = int(inside[0]), int(inside[-1]) + 1
        series = self.shown(self.selected)
        if series is not None:
            directions = {axis: self.direction(axis) for axis in ("x", "y")}
            labels = {f"com_{axis}": f"COM {name}" for axis, name in directions.items()}
            labels |= {f"fwhm_{axis}": f"FWHM {name}" for axis, name in directions.items()}
            self.message = curve_state.said(
                self.selected, series, slice(*self.span), {**labels, "intensity": "intensity"}
            )

    # -- events -------------------------------------------------------------------------------------------------------

    def here(self) -> Moment | Key:
        """Return the frame that is shown as a moment of the logbook."""
        key = frame_key(self.store.data, self.frame)
        return nanoseconds(self.store.data["time"].values[self.frame]) if key is None else key

    def add_event(self, name: str) -> None:
        """Mark the frame that is shown."""
        self.events = (*self.events, Event(name.strip(), self.here()))

    def pick_event(self, name: str) -> None:
        """Take the next click on a curve as the place of an event."""
        self.stop_picking()
        self._naming = Event(name.strip(), self.here()).name
        self.picking = f"click a curve where {self._naming!r} is"

    def pick(self, frame: int) -> None:
        """Take a click on a curve: the place of an event, or an end of a change."""
        if not self._naming:
            super().pick(frame)
            return
        name = self._naming
        self.stop_picking()
        self.frame = frame
        self.add_event(name)

    def stop_picking(self) -> None:
        """Let clicks on a curve only lead to the frame again."""
        self._naming = ""
        super().stop_picking()

    def pick_change(self, move: int | None = None) -> None:
        """Take the next two clicks on a curve as end points: of a new change, or of one that is moved."""
        self._naming = ""
        super().pick_change(move)

    def end_event(self, number: int) -> None:
        """Let an event last until the frame that is shown."""
        changed = replace(self.events[number], stop=self.here())
        self.events = (*self.events[:number], changed, *self.events[number + 1 :])

    def delete_event(self, number: int) -> None:
        """Forget an event."""
        self.events = (*self.events[:number], *self.events[number + 1 :])

    # -- files --------------------------------------------------------------------------------------------------------

    def load(self, text: str) -> None:
        """Take over a ROI file, a file of changes, or of events; the file says which it is.

        Raises
        ------
        DocumentError, RoiError
            It is none of these, or does not fit these frames.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise DocumentError("the file is not valid JSON") from None
        form = document.get("format") if isinstance(document, dict) else None
        if form not in (ROIS, ATTENUATION, EVENTS, VIEW_FORMAT) or document.get("version") != VERSION:
            forms = ", ".join((ROIS, ATTENUATION, EVENTS))
            raise DocumentError(f"the file is none of {forms} and {VIEW_FORMAT}, version {VERSION}")
        if form == VIEW_FORMAT:
            restore(self, document)
            return
        if form == ROIS:
            self.load_rois(text)
            return
        values = document.get("changes" if form == ATTENUATION else "events")
        if not isinstance(values, list):
            raise DocumentError("the file holds no list")
        if form == ATTENUATION:
            changes = tuple(map(AttenuationChange.from_dict, values))
            for change in changes:
                self.place_of(change)
            self.changes, self.proposals = changes, ()
        else:
            self.events = tuple(map(Event.from_dict, values))

    def copy_rois(self, path: Path) -> None:
        """Take the ROIs of a ROI file or of a saved result: those of another measurement."""
        self.load_rois(beside.rois_text(path))

    def open_result(self, path: Path | None) -> None:
        """Show the curves of a saved result, too, to compare with; None: no longer."""
        self.result = None if path is None else beside.open_result(path)
        names = [name for name, one in beside.results(self.source).items() if one == path]
        self.compared = names[0] if names else ""

    def changes_text(self) -> str:
        """Return the file of the accepted changes."""
        return _document(ATTENUATION, changes=[change.to_dict() for change in self.changes])

    def events_text(self) -> str:
        """Return the file of the events."""
        return _document(EVENTS, events=[event.to_dict() for event in self.events])

    # -- the beam -----------------------------------------------------------------------------------------------------

    def alarm(self, last: int = 5) -> str:
        """Say which ROIs were saturated in the newest frames; empty where none is."""
        bright = []
        for name in self.rois.names:
            series = self.numbers_of(name)
            if series is not None and np.any(series["n_saturated"].values[-last:] > 0):
                bright.append(name)
        return f"saturated: {', '.join(bright)} - insert a filter" if bright else ""


def _document(form: str, **values: object) -> str:
    return json.dumps({"format": form, "version": VERSION, **values}, indent=2, ensure_ascii=False) + "\n"
