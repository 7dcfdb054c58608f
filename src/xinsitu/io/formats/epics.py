"""Private TIFF tags of EPICS areaDetector: time stamps and attributes.

65002 and 65003 are the IOC's time, seconds and nanoseconds since 1990-01-01 UTC. 65000 is the driver's own clock,
since 1990 or, in old versions, since 1970: whichever lies within a day of the file's modification time; where neither
does, as after a copy that did not keep it, the stamp is kept as text and is no time.
65010 and above hold one attribute each, ``Name:value``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .header import FrameHeader

FIRST = 65000
ATTRIBUTES = 65010
EPOCH = 631_152_000
"""Seconds from 1970-01-01 to 1990-01-01."""
_DAY = 86_400

Value = str | int | float | None


def complete(header: FrameHeader, tags: Mapping[int, Value]) -> FrameHeader:
    """Return the header with the stamp and the attributes of its private tags.

    Examples
    --------
    >>> import numpy as np
    >>> plain = FrameHeader(0, (1, 1), np.dtype("u1"), 8)
    >>> header = complete(plain, {65002: 802117916, 65003: 103746502, 65010: "Temperature:21.5"})
    >>> header.utc, header.extra
    (1433269916103746, (('Temperature', 21.5),))
    """
    seconds, nanoseconds, clock = (tags.get(tag) for tag in (65002, 65003, 65000))
    if isinstance(seconds, int) and isinstance(nanoseconds, int) and seconds > 0 and nanoseconds < 10**9:
        stamp, source = f"{seconds}.{nanoseconds:09d}", "epics:65002"
        header = header._replace(
            stamp=stamp, stamp_source=source, utc=(seconds + EPOCH) * 1_000_000 + nanoseconds // 1000
        )
    elif isinstance(clock, float) and not header.stamp:
        start = posix(clock, header.mtime_ns)
        moment = None if start is None else round(start * 1e6)
        header = header._replace(stamp=repr(clock), stamp_source="epics:65000", utc=moment)
    extra = tuple(_attribute(value) for tag, value in tags.items() if tag >= ATTRIBUTES and isinstance(value, str))
    return header._replace(extra=tuple(pair for pair in extra if pair[0]))


def posix(clock: float, mtime_ns: int) -> float | None:
    """UNIX seconds of a clock that counts from 1990 or from 1970; None where neither is near the file's own time."""
    if not math.isfinite(clock):
        return None
    return next((start for start in (clock + EPOCH, clock) if abs(start - mtime_ns / 1e9) < _DAY), None)


def _attribute(text: str) -> tuple[str, str | float]:
    """Return name and value of an attribute; a number that is not finite is no value."""
    name, _, value = text.partition(":")
    try:
        number = float(value)
    except ValueError:
        return name.strip(), value.strip()
    return name.strip(), number if math.isfinite(number) else math.nan
