"""The state of one explorer and everything it can do, without a word about how it is shown.

Views watch the parameters; a test can drive all behaviour from here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import param
import xarray as xr

from xinsitu.errors import DocumentError, XinsituError
from xinsitu.io.documents import ATTENUATION, EVENTS, ROIS, VERSION
from xinsitu.physics.attenuation import attenuation_changes, correct_attenuation, find_attenuation_changes
from xinsitu.physics.corrections import Correction
from xinsitu.physics.keys import frame_key, resolve_key
from xinsitu.values import AttenuationChange, Event, Key, Moment, RoiSet, nanoseconds

from .frames import FrameStore
from .numbers import NumbersState


class ExplorerModel(NumbersState):
    """One person's view of a measurement or sample, with its changes of attenuation and its events.

    ``changes`` are accepted; ``proposals`` were found and wait for a person to say so. While ``picking`` holds a text,
    clicks on a curve are end points of a change.
    """

    events = param.Parameter(default=())
    changes = param.Parameter(default=())
    proposals = param.Parameter(default=())
    scaled = param.Boolean(True, doc="show intensities with the changes corrected")
    picking = param.String("", doc="what the next click on a curve is")

    def __init__(
        self,
        store: FrameStore,
        *,
        rois: RoiSet | None = None,
        correction: Correction | None = None,
        events: Sequence[Event] = (),
        changes: Sequence[AttenuationChange] = (),
    ) -> None:
        self._joined: tuple[object, xr.Dataset | None] = (None, None)
        self._picked: list[int] = []
        self._moving: AttenuationChange | None = None
        super().__init__(store, rois=rois, correction=correction)
        self.events, self.changes = tuple(events), tuple(changes)

    # -- changes of attenuation ---------------------------------------------------------------------------------------

    def change_places(self) -> list[tuple[float, float, bool]]:
        """Places of the changes on the time axis: last frame before, first frame after, and whether it is accepted."""
        x = self.coordinates()
        both = [(change, True) for change in self.changes] + [(change, False) for change in self.proposals]
        ends = [(*self._ends(change), sure) for change, sure in both]
        return [(float(x[before]), float(x[after]), sure) for before, after, sure in ends]

    def find_changes(self) -> None:
        """Propose changes that the intensities show."""
        found = find_attenuation_changes(self._measured())
        known = {self._ends(change) for change in self.changes}
        self.proposals = tuple(change for change in found if self._ends(change) not in known)
        self.message = "" if self.proposals else "no further change of attenuation was found"

    def accept_change(self, number: int) -> None:
        """Accept a proposal."""
        change = self.proposals[number]
        self.proposals = tuple(one for one in self.proposals if one is not change)
        self._add_change(change)

    def delete_change(self, number: int) -> None:
        """Delete a change: one of the accepted ones, then of the proposals."""
        everything = (*self.changes, *self.proposals)
        gone = everything[number]
        self.changes = tuple(one for one in self.changes if one is not gone)
        self.proposals = tuple(one for one in self.proposals if one is not gone)

    def pick_change(self, move: int | None = None) -> None:
        """Take the next two clicks on a curve as end points: of a new change, or of one that is moved."""
        self._moving = None if move is None else (*self.changes, *self.proposals)[move]
        self._picked = []
        self.picking = "click the last frame before the change, then the first one after it"

    def pick(self, frame: int) -> None:
        """Take a click on a curve."""
        if not self.picking:
            return
        self._picked = sorted({*self._picked, frame})
        if len(self._picked) < 2:
            self.picking = "now click the other end of the change"
            return
        before, after = self._picked
        self.picking = ""
        data, keys = self.store.data, [frame_key(self.store.data, end) for end in (before, after)]
        change = AttenuationChange(
            nanoseconds(data["time"].values[before]),
            nanoseconds(data["time"].values[after]),
            before_key=keys[0],
            after_key=keys[1],
        )
        if self._moving is not None:
            old, self._moving = self._moving, None
            change = replace(change, cause=old.cause, note=old.note)
            self.changes = tuple(one for one in self.changes if one is not old)
            self.proposals = tuple(one for one in self.proposals if one is not old)
        self._add_change(change)

    def _add_change(self, change: AttenuationChange) -> None:
        self.changes = tuple(sorted((*self.changes, change), key=lambda one: self._ends(one)[0]))

    def _ends(self, change: AttenuationChange) -> tuple[int, int]:
        data = self.store.data
        before = resolve_key(data, change.before_key or change.before, side="before")
        return before, resolve_key(data, change.after_key or change.after, side="after", later_than=before)

    def settled(self) -> tuple[AttenuationChange, ...]:
        """Return the accepted changes with the factors and errors that the data give them."""
        joined = self.joined()
        return self.changes if joined is None else attenuation_changes(joined)

    def joined(self) -> xr.Dataset | None:
        """Return all numbers with the accepted changes corrected; None without changes or numbers."""
        names = [roi.name for roi in self.rois if roi.name in self._numbers]
        if not self.changes or not names:
            return None
        key = (self.numbers, self.changes, tuple(names))
        if self._joined[0] != key:
            try:
                self._joined = key, correct_attenuation(self._measured(), self.changes)
            except XinsituError as fault:
                self.message = str(fault)
                self._joined = key, None
        return self._joined[1]

    def _measured(self) -> xr.Dataset:
        parts = [self._numbers[roi.name][1] for roi in self.rois if roi.name in self._numbers]
        least = min(part.sizes["time"] for part in parts)
        return xr.concat(
            [part.isel(time=slice(0, least)) for part in parts], "roi", coords="minimal", compat="override",
            join="override", combine_attrs="override",
        )  # fmt: skip

    def shown(self, name: str) -> xr.Dataset | None:
        """Return what the curves of a ROI show: as measured, or with the changes corrected."""
        joined = self.joined() if self.scaled else None
        if joined is None or name not in joined["roi"].values:
            return self.numbers_of(name)
        return joined.sel(roi=name)

    # -- events -------------------------------------------------------------------------------------------------------

    def here(self) -> Moment | Key:
        """Return the frame that is shown as a moment of the logbook."""
        key = frame_key(self.store.data, self.frame)
        return nanoseconds(self.store.data["time"].values[self.frame]) if key is None else key

    def add_event(self, name: str) -> None:
        """Mark the frame that is shown."""
        self.events = (*self.events, Event(name.strip(), self.here()))

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
        if form not in (ROIS, ATTENUATION, EVENTS) or document.get("version") != VERSION:
            raise DocumentError(f"the file is none of {ROIS}, {ATTENUATION} and {EVENTS}, version {VERSION}")
        if form == ROIS:
            self.load_rois(text)
            return
        values = document.get("changes" if form == ATTENUATION else "events")
        if not isinstance(values, list):
            raise DocumentError("the file holds no list")
        if form == ATTENUATION:
            changes = tuple(map(AttenuationChange.from_dict, values))
            for change in changes:
                self._ends(change)
            self.changes, self.proposals = changes, ()
        else:
            self.events = tuple(map(Event.from_dict, values))

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
