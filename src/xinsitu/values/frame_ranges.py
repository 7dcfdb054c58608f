"""Frames that somebody names: one, or all from one to another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xinsitu.errors import DocumentError

from .logbook import Key

_NUMBERS = re.compile(r"(?P<where>(?:[^:]+:)(?:\d+:)?|)(?P<first>\d+) ?- ?(?P<last>\d+)")


@dataclass(frozen=True)
class FrameRange:
    """One frame, or where ``stop`` is given all frames from ``start`` to ``stop``, both included.

    Examples
    --------
    >>> FrameRange.from_dict("time2:80-85").to_dict()["stop"]
    {'measurement': 'time2', 'frame': 85}
    >>> FrameRange.from_dict({"position": 1080})
    FrameRange(start=Key(position=1080), stop=None)
    """

    start: Key
    stop: Key | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form: a KEY, or ``start`` and ``stop``."""
        if self.stop is None:
            return self.start.to_dict()
        return {"start": self.start.to_dict(), "stop": self.stop.to_dict()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any] | str | np.datetime64 | Key | FrameRange) -> FrameRange:
        """Read a KEY, a mapping with ``start`` and ``stop``, or a text: ``time2:71``, ``time2:80-85``, ``KEY..KEY``.

        Raises
        ------
        DocumentError
            It is none of these.
        """
        if isinstance(document, FrameRange):
            return document
        if isinstance(document, str):
            start, dots, stop = (part.strip() for part in document.partition(".."))
            if found := _NUMBERS.fullmatch(document.strip()):
                start, stop = f"{found['where']}{found['first']}", f"{found['where']}{found['last']}"
            return cls(Key.from_dict(start), Key.from_dict(stop) if stop or dots else None)
        if isinstance(document, Mapping) and "start" in document:
            if strange := sorted(set(document) - {"start", "stop"}):
                raise DocumentError(f"a range of frames has start and stop, not {', '.join(strange)}")
            last = document.get("stop")
            return cls(Key.from_dict(document["start"]), None if last is None else Key.from_dict(last))
        return cls(Key.from_dict(document))


def frame_ranges(documents: Iterable[Any]) -> tuple[FrameRange, ...]:
    """Read a list of frames and ranges; a text may hold several, with commas between them.

    Examples
    --------
    >>> [one.start.frame for one in frame_ranges("time2:71, time2:80-85")]
    [71, 80]
    """
    listed = [documents] if isinstance(documents, str | Mapping | Key | FrameRange) else list(documents)
    parts: list[Any] = []
    for one in listed:
        parts += [word for word in one.split(",") if word.strip()] if isinstance(one, str) else [one]
    return tuple(map(FrameRange.from_dict, parts))
