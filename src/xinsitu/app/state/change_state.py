"""The changes of attenuation of one view: found, looked at, accepted, clicked, corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import param
import xarray as xr

from xinsitu.epoch import nanoseconds
from xinsitu.errors import DocumentError, XinsituError, collected
from xinsitu.io.documents import ATTENUATION, document_text
from xinsitu.physics.attenuation.finding import FoundChanges
from xinsitu.physics.attenuation.scaling import attenuation_changes, correct_attenuation, find_attenuation_changes
from xinsitu.physics.moments import frame_key, resolve_key
from xinsitu.values import AttenuationChange

from .change_evidence import Evidence
from .numbers import Numbers
from .view import View


class Changes(param.Parameterized):  # type: ignore[misc] # param has no types
    """Changes of attenuation: ``changes`` are accepted, ``proposals`` wait for a person to say so."""

    changes = param.Parameter(default=())
    proposals = param.Parameter(default=())
    rejected = param.Parameter(default=(), doc="what was looked at and not proposed, with the reason as its note")
    question = param.String("", doc="what a person is asked before a change is taken; empty: nothing")
    looked_at = param.Integer(-1, doc="number of the change whose evidence is shown; -1: none")
    scaled = param.Boolean(True, doc="show intensities with the changes corrected")

    def __init__(self, view: View, numbers: Numbers) -> None:
        super().__init__()
        self.view, self.numbers, self.store = view, numbers, view.store
        self._joined: tuple[object, xr.Dataset | None] = (None, None)
        self._picked: list[int] = []
        self._moving: AttenuationChange | None = None
        self._doubted: AttenuationChange | None = None

    # -- which there are ----------------------------------------------------------------------------------------------

    @property
    def listed(self) -> tuple[AttenuationChange, ...]:
        """Accepted changes with the factors of the data, proposals, rejected ones; their numbers are places here."""
        settled = self.settled()
        accepted = settled if len(settled) == len(self.changes) else self.changes
        return (*accepted, *self.proposals, *self.rejected)

    def change_places(self) -> list[tuple[float, float, bool]]:
        """Places of the changes on the time axis: last frame before, first frame after, and whether it is accepted."""
        x = self.view.coordinates()
        both = [(change, True) for change in self.changes] + [(change, False) for change in self.proposals]
        ends = [(*self.place_of(change), sure) for change, sure in both]
        return [(float(x[before]), float(x[after]), sure) for before, after, sure in ends]

    def evidence(self) -> Evidence | None:
        """Return what speaks for the change that is looked at; None: no such change, or nothing measured yet."""
        listed = self.listed
        if not 0 <= self.looked_at < len(listed) or not self.numbers.known:
            return None
        return Evidence.of(self.numbers.measured(), listed[self.looked_at])

    # -- changing them ------------------------------------------------------------------------------------------------

    def find_changes(self) -> None:
        """Propose changes that the intensities show, and look at the first one."""
        self.propose(find_attenuation_changes(self.numbers.measured()))

    def propose(self, found: FoundChanges) -> None:
        """Propose changes that were found, and look at the first one."""
        known = {self.place_of(change) for change in self.changes}
        proposals = tuple(change for change in found if self.place_of(change) not in known)
        rejected = tuple(
            AttenuationChange(
                one.before, one.after, before_key=one.before_key, after_key=one.after_key, note=one.reason
            )
            for one in found.rejected
        )
        self.param.update(proposals=proposals, rejected=rejected)
        self.view.message = "" if self.proposals else "no further change of attenuation was found"
        if self.proposals:
            self.looked_at = len(self.changes)

    def look_next(self, step: int = 1) -> None:
        """Look at the next change of the list, or at the one before."""
        if many := len(self.changes) + len(self.proposals) + len(self.rejected):
            self.looked_at = min(max(self.looked_at + step, 0), many - 1)
        else:
            self.view.message = "there is no change yet; find some, or add one by clicks"

    def accept_change(self, number: int) -> None:
        """Accept a proposal."""
        change = self.proposals[number]
        self.proposals = tuple(one for one in self.proposals if one is not change)
        self._add_change(change)

    def accept_listed(self, number: int) -> None:
        """Accept what stands in the list; a candidate that was rejected only after a question.

        Raises
        ------
        DocumentError
            There is nothing to accept.
        """
        first, behind = len(self.changes), len(self.changes) + len(self.proposals)
        if 0 <= number < first:
            raise DocumentError("this change is accepted already; choose a proposal, marked with ?")
        if not 0 <= number < behind + len(self.rejected):
            raise DocumentError("there is no proposal to accept; find some first")
        if number < behind:
            self.accept_change(number - first)
            return
        self._doubted, self._moving = self.rejected[number - behind], None
        self.question = f"This was not taken for a change: {self._doubted.note}. Take it all the same?"

    def accept_all(self) -> None:
        """Accept every proposal."""
        if not self.proposals:
            raise DocumentError("there is no proposal to accept; find some first")
        while self.proposals:
            self.accept_change(0)

    def answer(self, yes: bool) -> None:
        """Take the change that was asked about, or leave it."""
        change, self._doubted, self.question = self._doubted, None, ""
        if change is not None and yes:
            if change in self.rejected:
                self._forget(change)
                change = replace(change, note="")  # the reason why it was none
            self._take(change)
        self._moving = None

    def delete_change(self, number: int) -> None:
        """Delete a change, a proposal, or a candidate from the list."""
        self._forget((*self.changes, *self.proposals, *self.rejected)[number])
        left = len(self.changes) + len(self.proposals) + len(self.rejected)
        self.looked_at = min(self.looked_at, left - 1)

    def _forget(self, gone: AttenuationChange) -> None:
        self.changes = tuple(one for one in self.changes if one is not gone)
        self.proposals = tuple(one for one in self.proposals if one is not gone)
        self.rejected = tuple(one for one in self.rejected if one is not gone)

    def pick_change(self, move: int | None = None) -> None:
        """Take the next two clicks on a curve as end points: of a new change, or of one that is moved."""
        self._moving = None if move is None else (*self.changes, *self.proposals, *self.rejected)[move]
        self._picked = []
        self.view.let_pick("click the last frame before the change, then the first one after it", self._pick)

    def _pick(self, frame: int) -> None:
        self._picked = sorted({*self._picked, frame})
        if len(self._picked) < 2:
            self.view.picking = "now click the other end of the change"
            return
        try:
            self._set_change(*self._picked)
        finally:
            self.view.stop_picking()  # last: when nothing is picked any more, the change is there

    def _set_change(self, before: int, after: int) -> None:
        """Add a change with these end points, instead of the one that is moved."""
        data, keys = self.store.data, [frame_key(self.store.data, end) for end in (before, after)]
        change = AttenuationChange(
            nanoseconds(data["time"].values[before]),
            nanoseconds(data["time"].values[after]),
            before_key=keys[0],
            after_key=keys[1],
        )
        if doubt := self._doubt(change):
            self._doubted = change
            self.question = f"{doubt}. Take it all the same?"
        else:
            self._take(change)

    def _doubt(self, change: AttenuationChange) -> str:
        """Say why the intensities speak against a change; empty where they do not."""
        try:
            measured = self.numbers.measured()
            with collected():  # what it warns of is what is asked
                (settled,) = attenuation_changes(correct_attenuation(measured, (change,)))
            found = Evidence.of(measured, settled)
        except XinsituError:
            return ""  # nothing is measured yet, or nothing there: that is said when it is corrected
        return found.agreement if found.disagrees else ""

    def _take(self, change: AttenuationChange) -> None:
        """Add a change, instead of the one that is moved."""
        if self._moving is not None:
            change = replace(change, cause=self._moving.cause, note=self._moving.note)
            self._forget(self._moving)
        self._add_change(change)

    def _add_change(self, change: AttenuationChange) -> None:
        self.changes = tuple(sorted((*self.changes, change), key=lambda one: self.place_of(one)[0]))
        self.looked_at = next(number for number, one in enumerate(self.changes) if one is change)

    def place_of(self, change: AttenuationChange) -> tuple[int, int]:
        """Positions of the last frame before a change and of the first one after it."""
        data = self.store.data
        before = resolve_key(data, change.before_key or change.before, side="before")
        return before, resolve_key(data, change.after_key or change.after, side="after", later_than=before)

    # -- correcting by them -------------------------------------------------------------------------------------------

    def settled(self) -> tuple[AttenuationChange, ...]:
        """Return the accepted changes with the factors and errors that the data give them."""
        joined = self.joined()
        return self.changes if joined is None else attenuation_changes(joined)

    def joined(self) -> xr.Dataset | None:
        """Return all numbers with the accepted changes corrected; None without changes or numbers."""
        if not self.changes or not self.numbers.known:
            return None
        key = (self.numbers.count, self.changes, self.numbers.bad_frames, self.numbers.known)
        if self._joined[0] != key:
            try:
                self._joined = key, correct_attenuation(self.numbers.measured(), self.changes)
            except XinsituError as fault:
                self.view.message = str(fault)
                self._joined = key, None
        return self._joined[1]

    def factors(self) -> npt.NDArray[np.float64] | None:
        """Return what the intensities of each frame are multiplied by as they are shown; None: by nothing."""
        joined = self.joined() if self.scaled else None
        return None if joined is None else np.asarray(joined["attenuation_factor"].values, dtype="float64")

    def factor(self, frame: int) -> float:
        """Return what the counts of a frame are multiplied by as they are shown; 1 where nobody knows."""
        factors = self.factors()
        known = factors is not None and frame < len(factors) and factors[frame] > 0
        return float(factors[frame]) if factors is not None and known else 1.0

    def shown(self, name: str) -> xr.Dataset | None:
        """Return what the curves of a ROI show: as measured, or with the changes corrected."""
        joined = self.joined() if self.scaled else None
        if joined is None or name not in joined["roi"].values:
            return self.numbers.trusted(name)
        return joined.sel(roi=name)

    def changes_text(self) -> str:
        """Return the file of the accepted changes."""
        return document_text({"changes": [change.to_dict() for change in self.changes]}, ATTENUATION)
