"""Recipes on time series: results as they are, joined on one axis, appended to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from xinsitu.errors import DocumentError
from xinsitu.io.results import read_results
from xinsitu.physics.attenuation.finding import FoundChanges, find_attenuation_changes
from xinsitu.physics.attenuation.overlap import attenuation_from_overlap
from xinsitu.physics.attenuation.scaling import correct_attenuation
from xinsitu.physics.samples.bad_frames import flag_bad_frames
from xinsitu.physics.samples.events import with_events
from xinsitu.physics.samples.joining import appended, stitch
from xinsitu.values import AttenuationChange, Event, FrameRange, frame_ranges

from .fit_step import Fit
from .radial_step import Radial
from .steps import VERSION, Measure, Parse, known, relative

ATTENUATION = ("roi", "window", "method", "reference", "legacy")
"""Keywords of the attenuation's correction that a recipe may set."""


@dataclass(frozen=True)
class Stored:
    """A result of unknown origin, taken as it is."""

    command: ClassVar[str] = "stored"
    path: Path

    def produce(self) -> xr.Dataset:
        """Return what the file holds."""
        return read_results(self.path)

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {"command": self.command, "path": relative(self.path, base)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Stored:
        """Read the JSON form."""
        return cls(base / document["path"])


@dataclass(frozen=True)
class Stitch:
    """Measurements on one time axis, corrected for changes of attenuation.

    With ``find`` the changes are looked for; given ``changes`` are applied as they are. With ``overlap``, the name of a
    coordinate, factors come from the range of it that was scanned before and after. ``bad_frames`` are flagged before
    that. ``attenuation`` holds keywords of :func:`~xinsitu.correct_attenuation`: ``roi``, ``window``, ``method``,
    ``reference``, ``legacy``.
    """

    command: ClassVar[str] = "stitch"
    inputs: tuple[Recipe, ...]
    changes: tuple[AttenuationChange, ...] = ()
    find: bool = False
    events: tuple[Event, ...] = ()
    attenuation: Mapping[str, Any] = field(default_factory=dict)
    allow_overlap: bool = False
    overlap: str | None = None
    bad_frames: tuple[FrameRange, ...] = ()

    def produce(self) -> xr.Dataset:
        """Return the sample."""
        return self.join([step.produce() for step in self.inputs])

    def join(self, series: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the sample from the time series of its inputs, in their order."""
        return self.joined_and_found(series)[0]

    def joined_and_found(self, series: Sequence[xr.Dataset]) -> tuple[xr.Dataset, FoundChanges]:
        """As :meth:`join`; and its changes, with what was looked at and not taken."""
        sample = self.joined(series)
        changes = self.changes_of(sample)
        found = changes if isinstance(changes, FoundChanges) else FoundChanges(changes)
        return self.corrected(sample, changes), found

    def joined(self, series: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the sample before its changes of attenuation are corrected, with its events and bad frames."""
        sample = stitch(series, allow_overlap=self.allow_overlap)
        sample = flag_bad_frames(sample, self.bad_frames) if self.bad_frames else sample
        return with_events(sample, self.events) if self.events else sample

    def corrected(self, sample: xr.Dataset, changes: Sequence[AttenuationChange] | None = None) -> xr.Dataset:
        """Return the sample with its changes corrected: those given, or those found."""
        changes = self.changes_of(sample) if changes is None else changes
        flagged = isinstance(changes, FoundChanges) and any(one.doubtful for one in changes.rejected)
        return correct_attenuation(sample, changes, **self.attenuation) if changes or flagged else sample

    def changes_of(self, sample: xr.Dataset) -> Sequence[AttenuationChange]:
        """Return the changes that were given, or those that are found in the sample."""
        if self.overlap is not None:
            return attenuation_from_overlap(
                sample, self.overlap, changes=self.changes or None, roi=self.attenuation.get("roi")
            )
        if not self.find:
            return self.changes
        return find_attenuation_changes(
            sample, **{name: value for name, value in self.attenuation.items() if name in ("roi", "window")}
        )

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {
            "command": self.command,
            "inputs": [step.to_dict(base) for step in self.inputs],
            "changes": [change.to_dict() for change in self.changes],
            "find": self.find,
            "events": [event.to_dict() for event in self.events],
            "attenuation": dict(self.attenuation),
            "allow_overlap": self.allow_overlap,
            "overlap": self.overlap,
            **_bad(self.bad_frames),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Stitch:
        """Read the JSON form."""
        return cls(
            inputs=tuple(recipe_from_dict(step, base) for step in document.get("inputs", ())),
            changes=tuple(map(AttenuationChange.from_dict, document.get("changes", ()))),
            find=bool(document.get("find", False)),
            events=tuple(map(Event.from_dict, document.get("events", ()))),
            attenuation=dict(known(document.get("attenuation", {}), ATTENUATION, "attenuation")),
            allow_overlap=bool(document.get("allow_overlap", False)),
            overlap=document.get("overlap"),
            bad_frames=frame_ranges(document.get("bad_frames", ())),
        )


@dataclass(frozen=True)
class Append:
    """Measurements appended to a sample; its own factors stay, new changes are corrected too."""

    command: ClassVar[str] = "append"
    sample: Recipe
    inputs: tuple[Recipe, ...]
    changes: tuple[AttenuationChange, ...] = ()
    find: bool = False
    events: tuple[Event, ...] = ()
    allow_overlap: bool = False
    bad_frames: tuple[FrameRange, ...] = ()

    def produce(self) -> xr.Dataset:
        """Return the longer sample."""
        return self.join(self.sample.produce(), [step.produce() for step in self.inputs])

    def join(self, sample: xr.Dataset, series: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the longer sample from what is there and what is new."""
        return self.joined(sample, series)[0]

    def joined(self, sample: xr.Dataset, series: Sequence[xr.Dataset]) -> tuple[xr.Dataset, FoundChanges]:
        """As :meth:`join`; and its changes, with what was looked at among the new frames and not taken."""
        longer, changes = appended(
            sample,
            series,
            changes=self.changes,
            find=self.find,
            allow_overlap=self.allow_overlap,
            bad_frames=self.bad_frames,
        )
        return with_events(longer, self.events), changes

    def to_dict(self, base: Path) -> dict[str, Any]:
        """JSON form."""
        return {
            "command": self.command,
            "sample": self.sample.to_dict(base),
            "inputs": [step.to_dict(base) for step in self.inputs],
            "changes": [change.to_dict() for change in self.changes],
            "find": self.find,
            "events": [event.to_dict() for event in self.events],
            "allow_overlap": self.allow_overlap,
            **_bad(self.bad_frames),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], base: Path) -> Append:
        """Read the JSON form."""
        return cls(
            sample=recipe_from_dict(document["sample"], base),
            inputs=tuple(recipe_from_dict(step, base) for step in document.get("inputs", ())),
            changes=tuple(map(AttenuationChange.from_dict, document.get("changes", ()))),
            find=bool(document.get("find", False)),
            events=tuple(map(Event.from_dict, document.get("events", ()))),
            allow_overlap=bool(document.get("allow_overlap", False)),
            bad_frames=frame_ranges(document.get("bad_frames", ())),
        )


def _bad(frames: Sequence[FrameRange]) -> dict[str, Any]:
    """JSON form of bad frames, where there are any."""
    return {"bad_frames": [one.to_dict() for one in frames]} if frames else {}


Recipe = Parse | Measure | Fit | Radial | Stored | Stitch | Append
_KINDS: Mapping[str, type[Recipe]] = {
    kind.command: kind for kind in (Parse, Measure, Fit, Radial, Stored, Stitch, Append)
}


def recipe_from_dict(document: Mapping[str, Any], base: Path) -> Recipe:
    """Read a recipe whose paths are relative to ``base``.

    Raises
    ------
    DocumentError
        It is no recipe, or of a newer version.
    """
    kind = _KINDS.get(str(document.get("command")))
    if kind is None:
        raise DocumentError(f"a recipe's command is one of {', '.join(_KINDS)}, not {document.get('command')!r}")
    if document.get("version", VERSION) != VERSION:
        raise DocumentError(f"version {document['version']!r} of recipes is not known, only {VERSION}")
    try:
        return kind.from_dict(document, base)
    except (KeyError, TypeError) as fault:
        raise DocumentError(f"the recipe of the command {kind.command} is not complete: {fault}") from None
