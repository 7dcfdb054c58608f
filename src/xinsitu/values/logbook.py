"""Moments as they stand in the logbook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from xinsitu.clock import as_moment, moment, utc_text
from xinsitu.epoch import Moment, nanoseconds
from xinsitu.errors import DocumentError

_MOST = 2**53
"""Numbers above have lost their last digits; integers of any length come out of JSON."""
KEY_NAMES = ("measurement", "scan", "frame", "seconds", "position", "utc", "time")
"""What a KEY may say in a file."""
_FRAME = re.compile(r"(?P<measurement>[^:]+):(?:(?P<scan>\d{1,15}):)?(?P<frame>\d{1,15})")
_SECONDS = re.compile(r"(?P<measurement>[^:]+):(?P<seconds>\d+(?:\.\d*)?) ?s")
_POSITION = re.compile(r"\d{1,7}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Key:
    """A moment as it stands in the logbook.

    One of: a frame (``measurement``, ``scan``, ``frame``), seconds since the first frame of a measurement
    (``measurement``, ``seconds``), a ``position`` on the whole series (from 0 on, as figures show it), a UTC time, or a
    ``local`` ISO text in the instrument's time zone.

    Examples
    --------
    >>> Key.from_dict({"measurement": "time3", "scan": 1, "frame": 185})
    Key(measurement='time3', scan=1, frame=185)
    >>> Key.from_dict("2014-05-28T17:01:59+09:00").to_dict()
    {'utc': '2014-05-28T08:01:59Z'}
    """

    measurement: str | None = None
    scan: int | None = None
    frame: int | None = None
    seconds: float | None = None
    time: Moment | None = None
    local: str | None = None
    position: int | None = None

    def __repr__(self) -> str:
        said = [f"{name}={value!r}" for name, value in vars(self).items() if value is not None]
        return f"Key({', '.join(said)})"

    def __post_init__(self) -> None:
        ways = [value is not None for value in (self.frame, self.seconds, self.local, self.position)]
        if sum(ways) > 1 or (not any(ways) and self.time is None):
            raise DocumentError(
                f"{self!r} must be one of: measurement and frame, measurement and seconds, a position, or a time"
            )
        if self.position is not None and (self.position < 0 or (self.measurement, self.scan) != (None, None)):
            raise DocumentError(f"{self!r}: a position counts from 0 on over the whole series, without a measurement")

    @property
    def exact(self) -> bool:
        """Whether it names one frame, not a moment."""
        return self.frame is not None or self.position is not None

    def to_dict(self) -> dict[str, Any]:
        """JSON form; a known UTC time stands beside the frame."""
        document: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("measurement", "scan", "frame", "seconds", "position")
            if getattr(self, name) is not None
        }
        if self.local is not None:
            document["time"] = self.local
        if self.time is not None:
            document["utc"] = utc_text(self.time)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any] | str | np.datetime64 | Key) -> Key:
        """Read a KEY: a mapping as in the files, a text, or a datetime64 (UTC).

        A text is an ISO 8601 time, ``MEASUREMENT:FRAME``, ``MEASUREMENT:SCAN:FRAME``, ``MEASUREMENT:12.5s``, or a
        position.

        Raises
        ------
        DocumentError
            It is none of these.

        Examples
        --------
        >>> Key.from_dict("time2:71"), Key.from_dict("1080")
        (Key(measurement='time2', frame=71), Key(position=1080))
        """
        if isinstance(document, Key):
            return document
        if isinstance(document, np.datetime64):
            return cls(time=nanoseconds(document))
        if isinstance(document, str):
            return _of_text(document.strip())
        if not isinstance(document, Mapping):
            raise DocumentError(
                f"{_short(document)} names no moment: give measurement and frame, measurement and seconds, a position, "
                "or a time"
            )
        if strange := sorted(set(document) - set(KEY_NAMES)):
            raise DocumentError(
                f"unknown keys {', '.join(strange)} in {dict(document)!r}; known are {', '.join(sorted(KEY_NAMES))}"
            )
        time, local = None, None
        if "utc" in document:
            time = moment(str(document["utc"]))
        if "time" in document:
            said = cls.from_dict(str(document["time"]))
            time, local = said.time or time, said.local
        scan, frame, position = (_whole(document.get(name), name) for name in ("scan", "frame", "position"))
        seconds = _number(document.get("seconds"), "seconds")
        measurement = document.get("measurement")
        if measurement is not None and not isinstance(measurement, str):
            raise DocumentError(f"measurement must be a text, not {_short(measurement)}: put its name into quotes")
        return cls(
            measurement=measurement,
            scan=scan,
            frame=frame,
            seconds=seconds,
            time=time,
            local=local,
            position=position,
        )


def _number(value: object, name: str) -> float | None:
    """Return a number that JSON has, if there is one."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST:
        raise DocumentError(f"{name} must be a number, not {_short(value)}")
    return float(value)


def _whole(value: object, name: str) -> int | None:
    """Return a whole number, if there is one; as in JSON 3.0 is one, too."""
    number = _number(value, name)
    if number is None or number.is_integer():
        return None if number is None else int(number)
    raise DocumentError(f"{name} must be a whole number, not {_short(value)}")


def _of_text(text: str) -> Key:
    """Read a KEY that is written in one word."""
    if _POSITION.fullmatch(text):
        return Key(position=int(text))
    if not _DATE.match(text):
        if found := _FRAME.fullmatch(text):
            scan = None if found["scan"] is None else int(found["scan"])
            return Key(found["measurement"], scan, int(found["frame"]))
        if found := _SECONDS.fullmatch(text):
            return Key(found["measurement"], seconds=float(found["seconds"]))
    try:
        reading = datetime.fromisoformat(text)
    except ValueError:
        raise DocumentError(
            f"{text!r} is not an ISO 8601 time such as 2014-05-28T17:01:59+09:00, nor a frame such as time3:185"
        ) from None
    return Key(local=text) if reading.tzinfo is None else Key(time=moment(text))


def _short(value: object) -> str:
    """One line of what somebody gave."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def moment_or_key(value: object) -> Moment | Key:
    """Return a UTC time where one is said, else the KEY; a time without offset that is no text is UTC, as in NumPy."""
    time = as_moment(value)
    if time is not None:
        return time
    key = Key.from_dict(value)  # type: ignore[arg-type] # from_dict says what is wrong with anything else
    return key.time if key.time is not None and not key.exact and key.seconds is None else key


def end_point(end: Moment | Key, key: Key | None) -> dict[str, Any]:
    """Return the JSON form of an end point, with the exact frame where it is known."""
    if isinstance(end, Key):
        return end.to_dict()
    return (Key(time=end) if key is None else replace(key, time=end)).to_dict()
