"""The events of one view: marked at the frame that is shown, or by a click."""

from __future__ import annotations

from dataclasses import replace

import param

from xinsitu.epoch import Moment, nanoseconds
from xinsitu.io.documents import EVENTS, document_text
from xinsitu.physics.moments import frame_key
from xinsitu.values import Event, Key

from .view import View


class Logbook(param.Parameterized):  # type: ignore[misc] # param has no types
    """What happened, as a person says it."""

    events = param.Parameter(default=())

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def here(self) -> Moment | Key:
        """Return the frame that is shown as a moment of the logbook."""
        data, frame = self.view.store.data, self.view.frame
        key = frame_key(data, frame)
        return nanoseconds(data["time"].values[frame]) if key is None else key

    def add_event(self, name: str) -> None:
        """Mark the frame that is shown."""
        self.events = (*self.events, Event(name.strip(), self.here()))

    def pick_event(self, name: str) -> None:
        """Take the next click on a curve as the place of an event."""
        named = Event(name.strip(), self.here()).name

        def take(frame: int) -> None:
            self.view.stop_picking()
            self.view.frame = frame
            self.add_event(named)

        self.view.let_pick(f"click a curve where {named!r} is", take)

    def end_event(self, number: int) -> None:
        """Let an event last until the frame that is shown."""
        changed = replace(self.events[number], stop=self.here())
        self.events = (*self.events[:number], changed, *self.events[number + 1 :])

    def delete_event(self, number: int) -> None:
        """Forget an event."""
        self.events = (*self.events[:number], *self.events[number + 1 :])

    def events_text(self) -> str:
        """Return the file of the events."""
        return document_text({"events": [event.to_dict() for event in self.events]}, EVENTS)
