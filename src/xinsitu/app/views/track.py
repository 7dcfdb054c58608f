"""Events and segments of one attenuation, as they stand on the track of the slider."""

from __future__ import annotations

import json

import numpy as np

from xinsitu.app.state.model import ExplorerModel
from xinsitu.plots.timeline import when

from .change_list import said
from .channel import Channel
from .drawing import Drawing, watch

Mark = tuple[str, int, int, str]
"""Kind, first and last frame, and what it is, in words."""


class TrackView(Drawing):
    """Tells the page what happened at which frames."""

    def __init__(self, model: ExplorerModel, channel: Channel) -> None:
        self._model, self._channel = model, channel
        watch(model.attenuation, self.update, "changes", "proposals")
        watch(model.logbook, self.update, "events")
        watch(model.numbers, self._settled, "count")
        watch(model.view, self.update, "n_frames")
        self.update()

    def _settled(self) -> None:
        if self._model.attenuation.changes:  # their factors are those of the numbers that have come
            self.update()

    def update(self) -> None:
        """Bring the track in line with the model."""
        self._channel.track = json.dumps([*segments(self._model), *events(self._model)])


def segments(model: ExplorerModel) -> list[Mark]:
    """Return the stretches between accepted changes of attenuation, and the changes themselves, as on the curves."""
    part, found = model.attenuation, []
    settled = part.settled()
    accepted = settled if len(settled) == len(part.changes) else part.changes
    first = 0
    for number, change in enumerate(accepted, start=1):
        before, after = part.place_of(change)
        found.append(("segment", first, before, f"segment {number} of one attenuation"))
        found.append(("change", before, after, f"change of attenuation: {said(change)}"))
        first = after
    if found:
        found.append(("segment", first, model.view.n_frames - 1, f"segment {len(accepted) + 1} of one attenuation"))
    proposed = [(*part.place_of(change), said(change)) for change in part.proposals]
    return found + [("proposed", before, after, f"proposed change: {words}") for before, after, words in proposed]


def events(model: ExplorerModel) -> list[Mark]:
    """Return the events that touch these frames; a moment is at the frame nearest to it."""
    data, times = model.store.data, model.view.line.times
    found = []
    for event in model.logbook.events:
        start = when(data, event.start)
        stop = start if event.stop is None else when(data, event.stop)
        usual = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(1, "s")
        if stop >= times[0] - usual and start <= times[-1] + usual:
            first, last = (int(np.abs(times - end).argmin()) for end in (start, stop))
            found.append(("event", first, last, f"event: {event.name}"))
    return found
