"""What happened to the beam and to the sample: attenuation changes and events."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xinsitu.digits import with_error
from xinsitu.epoch import Moment
from xinsitu.errors import DocumentError

from .fields import keep_unknown
from .logbook import KEY_NAMES, Key, end_point, moment_or_key
from .notebook import cell, table

CAUSES = ("attenuator", "exposure", "beam", "realigned")
SHOWN = ("last frame before", "first frame after", "factor", "cause")
"""What notebooks show of a change."""


@dataclass(frozen=True)
class AttenuationChange:
    """A change of the beam at the detector, between two end points.

    Parameters
    ----------
    before, after
        Last frame before and first frame after the change: UTC datetime64, an ISO 8601 text, or a KEY.
        What lies strictly between is in transition.
    factor, factor_errors
        What the later part must be multiplied by, with its standard error; None: from the end points.
    cause
        ``attenuator``, ``exposure``, ``beam`` or ``realigned``.
    note
        Free text.
    before_key, after_key
        The exact frames, where known; they win over the times, as 1 s stamps repeat.
    evidence
        What a finder based the change on: numbers and texts, for people.

    Raises
    ------
    DocumentError
        An end point is no moment, or the factor is not a positive number.

    Examples
    --------
    >>> change = AttenuationChange({"measurement": "time3", "frame": 185}, "2014-05-28T17:01:59+09:00")
    >>> change.before, change.after
    (Key(measurement='time3', frame=185), np.datetime64('2014-05-28T08:01:59.000000000'))
    """

    before: Moment | Key
    after: Moment | Key
    factor: float | None = None
    factor_errors: float | None = None
    cause: str = "attenuator"
    note: str = ""
    before_key: Key | None = None
    after_key: Key | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict, compare=False)
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", moment_or_key(self.before))
        object.__setattr__(self, "after", moment_or_key(self.after))
        if (
            isinstance(self.before, np.datetime64)
            and isinstance(self.after, np.datetime64)
            and self.before > self.after
        ):
            raise DocumentError(f"a change begins at {self.before} and ends at {self.after}, before that; swap the two")
        if not isinstance(self.note, str):
            raise DocumentError(f"the note of a change must be a text, not {self.note!r}")
        if not isinstance(self.evidence, Mapping):
            raise DocumentError(f"the evidence of a change must be an object, not {self.evidence!r}")
        if self.cause not in CAUSES:
            raise DocumentError(f"the cause of a change is one of {', '.join(CAUSES)}, not {self.cause!r}")
        for name in ("factor", "factor_errors"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise DocumentError(f"{name} of a change must be a number, not {value!r}")
            if not 0 <= value <= sys.float_info.max or (name == "factor" and value == 0):
                raise DocumentError(f"{name} of a change must be a positive finite number, not {value}")
            object.__setattr__(self, name, float(value))

    def _repr_html_(self) -> str:
        """Show the change as a table."""
        rows = zip((*SHOWN, "note"), (*self.shown(), self.note), strict=True)
        return table("Change of attenuation", ("", ""), [(cell(name), cell(text)) for name, text in rows if text])

    def shown(self) -> tuple[str, str, str, str]:
        """Return what people ask of a change first, in the order of ``SHOWN``.

        Examples
        --------
        >>> AttenuationChange("time2:71", "time3:0", factor=8.4, factor_errors=0.1).shown()
        ('measurement time2, frame 71', 'measurement time3, frame 0', '8.40 ± 0.10', 'attenuator')
        """
        factor = "from the end points" if self.factor is None else with_error(self.factor, self.factor_errors)
        return _place(self.before, self.before_key), _place(self.after, self.after_key), factor, self.cause

    def to_dict(self) -> dict[str, Any]:
        """JSON form; the UTC time stands beside a frame where it is known."""
        document: dict[str, Any] = {
            "before": end_point(self.before, self.before_key),
            "after": end_point(self.after, self.after_key),
            "factor": self.factor,
        }
        if self.factor_errors is not None:
            document["factor_errors"] = self.factor_errors
        document |= {"cause": self.cause, "note": self.note}
        if self.evidence:
            document["evidence"] = dict(self.evidence)
        return {**document, **self.extra}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> AttenuationChange:
        """Read the JSON form.

        Raises
        ------
        DocumentError
            An end point is missing or makes no sense.
        """
        if not isinstance(document, Mapping):
            raise DocumentError(f"a change must be an object with before and after, not {document!r}")
        if missing := [name for name in ("before", "after") if document.get(name) is None]:
            raise DocumentError(f"a change lacks {' and '.join(missing)}")
        known = ("before", "after", "factor", "factor_errors", "cause", "note", "evidence")
        ends = {name: Key.from_dict(document[name]) for name in ("before", "after")}
        exact = {f"{name}_key": key for name, key in ends.items() if key.exact and key.time is not None}
        return cls(
            before=ends["before"].time if "before_key" in exact else ends["before"],  # type: ignore[arg-type]
            after=ends["after"].time if "after_key" in exact else ends["after"],  # type: ignore[arg-type]
            factor=document.get("factor"),
            factor_errors=document.get("factor_errors"),
            cause="attenuator" if document.get("cause") is None else document["cause"],
            note="" if document.get("note") is None else document["note"],
            evidence={} if document.get("evidence") is None else document["evidence"],
            extra=keep_unknown(document, known, "a change"),
            **exact,
        )


def _place(end: Moment | Key, key: Key | None) -> str:
    """Frame and UTC time of an end point, as far as they are known."""
    return ", ".join(f"{name} {value}" for name, value in end_point(end, key).items())


@dataclass(frozen=True)
class Event:
    """Something that happened: a moment, or an interval where ``stop`` is given.

    Examples
    --------
    >>> Event("In shutter open", "2014-05-28T17:01:59+09:00").to_dict()
    {'name': 'In shutter open', 'key': {'utc': '2014-05-28T08:01:59Z'}}
    """

    name: str
    start: Moment | Key
    stop: Moment | Key | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise DocumentError(f"an event needs a name, not {self.name!r}")
        object.__setattr__(self, "start", moment_or_key(self.start))
        if self.stop is not None:
            object.__setattr__(self, "stop", moment_or_key(self.stop))

    def to_dict(self) -> dict[str, Any]:
        """JSON form: ``key``, or ``start`` and ``stop``."""
        start = end_point(self.start, None)
        when = {"key": start} if self.stop is None else {"start": start, "stop": end_point(self.stop, None)}
        return {"name": self.name, **when, **self.extra}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Event:
        """Read the JSON form; the KEY may also stand directly in the event.

        Raises
        ------
        DocumentError
            The name or the moment is missing.
        """
        if not isinstance(document, Mapping) or "name" not in document:
            raise DocumentError(f"an event must be an object with a name and a moment, not {document!r}")
        inline = {name: document[name] for name in KEY_NAMES if name in document}
        start = document.get("key", document.get("start", inline or None))
        if start is None:
            raise DocumentError(f"event {document['name']!r} has no moment: give key, or start and stop")
        extra = keep_unknown(document, ("name", "key", "start", "stop", *inline), f"event {document['name']!r}")
        return cls(document["name"], start, document.get("stop"), extra)


def headline(change: AttenuationChange) -> str:
    """Return the cause of a change and its factor.

    Examples
    --------
    >>> headline(AttenuationChange("time2:71", "time3:0", factor=8.4, factor_errors=0.1))
    'attenuator: × 8.40 ± 0.10'
    """
    if change.factor is None:
        return f"{change.cause}: factor from the end points"
    return f"{change.cause}: × {with_error(change.factor, change.factor_errors)}"
