"""Time text as detectors write it, to whole microseconds; no zone, locale or clock of this machine is used.

Known forms: ``2014:05:28 17:01:59``, ``2011-07-22T17:33:22.529``, ``2007/Jun/17 15:12:36.928``,
``2022-11-01T16:43:30.015-07:00``, ``Thu Feb 27 15:55:18 2020``. Blank and zero dates are missing stamps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
# a fixed table: strptime's depends on the locale
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
_OFFSET = r"\s*(?P<offset>Z|[+-]\d\d:?\d\d)?"
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})[-:/](?P<month>\d\d|[A-Za-z]{{3}})[-:/](?P<day>\d\d)[T ]\s*{_CLOCK}{_OFFSET}"
)
_C_TIME = re.compile(
    rf"[A-Za-z]{{3}},? (?P<month>[A-Za-z]{{3}})\s+(?P<day>\d{{1,2}}) {_CLOCK} (?P<year>\d{{4}}){_OFFSET}"
)
_TIFF = re.compile(r"[0-9]{4}:[0-9]{2}:[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
"""What tag 306 must look like, and mostly does."""
NO_OFFSET = int(np.iinfo(np.int64).min)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Stamp(NamedTuple):
    """A stamp: microseconds since 1970-01-01 on its own clock, its offset from UTC, the digits of its fraction."""

    microseconds: int
    offset: int | None
    """Microseconds that the clock is ahead of UTC; None where the text does not say."""
    digits: int


def clean(raw: bytes) -> str:
    r"""Text of an ASCII field: up to the first NUL, stripped; what is not ASCII becomes ``?``.

    Examples
    --------
    >>> clean(b"2014:05:28 17:01:59\x00\x00.3")
    '2014:05:28 17:01:59'
    """
    text = raw.split(b"\0", 1)[0].decode("ascii", errors="replace").replace("\ufffd", "?")
    return text.strip()


def parse_stamp(text: str) -> Stamp | None:
    """Read one stamp; None where it is blank, zero or no time.

    Examples
    --------
    >>> parse_stamp("2014:05:28 17:01:59")
    Stamp(microseconds=1401296519000000, offset=None, digits=0)
    >>> parse_stamp("2022-11-01T16:43:30.015-07:00")
    Stamp(microseconds=1667321010015000, offset=-25200000000, digits=3)
    >>> parse_stamp("0000:00:00 00:00:00") is None
    True
    """
    if _TIFF.fullmatch(text):
        midnight = _midnight(text[:10])
        hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:])
        if midnight is None or hour > 23 or minute > 59 or second > 59:
            return None
        return Stamp(midnight + 1_000_000 * (3600 * hour + 60 * minute + second), None, 0)
    match = _YEAR_FIRST.fullmatch(text.strip()) or _C_TIME.fullmatch(text.strip())
    if match is None:
        return None
    part = match.groupdict()
    month = int(part["month"]) if part["month"].isdigit() else _MONTHS.get(part["month"].lower(), 0)
    fraction = part["fraction"] or ""
    try:
        moment = datetime(
            int(part["year"]),
            month,
            int(part["day"]),
            int(part["hour"]),
            int(part["minute"]),
            int(part["second"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    # digits below the microsecond are cut, not rounded: a rounded stamp could pass the next one
    whole = (moment - _EPOCH) // _MICROSECOND + int(fraction.ljust(6, "0")[:6])
    return Stamp(whole, _offset(part["offset"]), len(fraction))


@lru_cache(maxsize=64)
def _midnight(date: str) -> int | None:
    """Microseconds since 1970-01-01 of ``YYYY:MM:DD``; None where there is no such day."""
    try:
        day = datetime(int(date[:4]), int(date[5:7]), int(date[8:]), tzinfo=UTC)
    except ValueError:
        return None
    return (day - _EPOCH) // _MICROSECOND


def _offset(text: str | None) -> int | None:
    if text is None:
        return None
    if text in "Zz":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return (-minutes if text[0] == "-" else minutes) * 60_000_000


def needs_zone(text: str) -> bool:
    """Whether a stamp is a time that does not say its own offset from UTC.

    Examples
    --------
    >>> needs_zone("2014:05:28 17:01:59"), needs_zone("2022-11-01T16:43:30-07:00"), needs_zone("")
    (True, False, False)
    """
    stamp = parse_stamp(text)
    return stamp is not None and stamp.offset is None


class Stamps(NamedTuple):
    """Many stamps, read.

    Parameters
    ----------
    microseconds : int64
        On the stamps' own clock; 0 where there is none.
    offsets : int64
        Microseconds ahead of UTC; ``NO_OFFSET`` where the text does not say.
    found : bool
        Whether there is a stamp.
    digits : int
        Most digits behind the decimal point.
    """

    microseconds: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    found: npt.NDArray[np.bool_]
    digits: int


def parse_stamps(texts: Sequence[str]) -> Stamps:
    """Read many stamps; equal texts are read once.

    Examples
    --------
    >>> parse_stamps(["2014:05:28 17:01:59", ""]).found
    array([ True, False])
    """
    read = {text: parse_stamp(text) for text in dict.fromkeys(texts)}
    stamps = [read[text] for text in texts]
    found = np.array([stamp is not None for stamp in stamps], dtype=bool)
    microseconds = np.array([stamp.microseconds if stamp else 0 for stamp in stamps], dtype="int64")
    offsets = np.array(
        [NO_OFFSET if stamp is None or stamp.offset is None else stamp.offset for stamp in stamps], dtype="int64"
    )
    return Stamps(microseconds, offsets, found, max((stamp.digits for stamp in stamps if stamp), default=0))
