"""The state of one explorer and everything it can do, without a word about how it is shown.

It consists of parts; a view watches the parameters of the part that it draws, and a test can drive all from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import param
import xarray as xr

from xinsitu.app.data.source import Source
from xinsitu.app.data.store import FrameStore
from xinsitu.errors import DocumentError
from xinsitu.io.documents import ATTENUATION, EVENTS, ROIS, VERSION
from xinsitu.physics.corrections.apply import Correction
from xinsitu.values import AttenuationChange, Event, RoiSet

from .change_state import Changes
from .curve_state import Curves
from .cutout_state import Cutouts
from .event_state import Logbook
from .further_state import Further
from .numbers import Numbers
from .roi_state import Regions
from .view import View
from .view_file import VIEW_FORMAT, restore


class ExplorerModel:
    """One person's look at a measurement or sample.

    Parameters
    ----------
    store
        The frames.
    rois, correction, events, changes, calibration
        What it begins with.
    """

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
        self.store = store
        self.safe: set[str] = set()
        """What is in a file somewhere, as :func:`.unsaved.parts` has it."""
        self.aside: Path | None = None
        """Where what nobody has saved is kept; None: everything is saved."""
        self.left: Path | None = None
        """What was kept of these frames when an explorer ended before."""
        self.view = View(store, correction=correction)
        self.view.calibration = dict(calibration or {})
        self.regions = Regions(self.view, rois)
        self.numbers = Numbers(self.view, self.regions)
        self.attenuation = Changes(self.view, self.numbers)
        self.curves = Curves(self.view, self.regions, self.attenuation)
        self.cutouts = Cutouts(self.view, self.regions, self.attenuation)
        self.further = Further(self.numbers, self.attenuation)
        self.logbook = Logbook(self.view)
        self.attenuation.changes, self.logbook.events = tuple(changes), tuple(events)

    @property
    def source(self) -> Source:
        """What is explored."""
        return self.store.source

    @property
    def parts(self) -> tuple[param.Parameterized, ...]:
        """All that is watched; no two of them have a parameter of the same name."""
        return (
            self.view, self.regions, self.numbers, self.attenuation, self.curves, self.cutouts, self.further,
            self.logbook,
        )  # fmt: skip

    def part_with(self, name: str) -> param.Parameterized:
        """Return the part that has a parameter."""
        return next(part for part in self.parts if name in part.param)

    def load(self, text: str) -> None:
        """Take over a ROI file, a file of changes, of events, or a view; the file says which it is.

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
            self.regions.load_rois(text)
            return
        values = document.get("changes" if form == ATTENUATION else "events")
        if not isinstance(values, list):
            raise DocumentError("the file holds no list")
        if form == ATTENUATION:
            changes = tuple(map(AttenuationChange.from_dict, values))
            for change in changes:
                self.attenuation.place_of(change)
            self.attenuation.param.update(changes=changes, proposals=())
        else:
            self.logbook.events = tuple(map(Event.from_dict, values))
