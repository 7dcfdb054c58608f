"""Clock readings: the only place where one becomes UTC, or UTC one; IANA rules, never the analysing machine's zone.

Stamps as detectors write them: ``2014:05:28 17:01:59``, ``2011-07-22T17:33:22.529``, ``2007/Jun/17 15:12:36.928``,
``2022-11-01T16:43:30.015-07:00``, ``Thu Feb 27 15:55:18 2020``. Blank and zero dates are missing stamps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from xinsitu.errors import DocumentError, TimeError

from .epoch import Moment, in_nanoseconds, nanoseconds

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a naive clock on purpose: the zone is what is looked for; so below
_MICROSECOND = timedelta(microseconds=1)
_QUARTER = 900
"""Seconds."""
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
_FIXED = re.compile(r"(?:UTC)?([+-])(\d\d):?(\d\d)")


def find_zone(name: str) -> tzinfo:
    """Zone of an IANA name or a fixed offset.

    Raises
    ------
    TimeError
        There is no such zone.

    Examples
    --------
    >>> find_zone("Asia/Tokyo"), str(find_zone("+09:00"))
    (zoneinfo.ZoneInfo(key='Asia/Tokyo'), 'UTC+09:00')
    """
    if not isinstance(name, str):
        raise TimeError(f"{name!r} is no time zone; give an IANA name such as Asia/Tokyo, or +09:00")
    if name.upper() in ("UTC", "Z"):
        return UTC
    if match := _FIXED.fullmatch(name):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset < timedelta(hours=24):
            return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeError(f"{name!r} is no time zone; give an IANA name such as Asia/Tokyo, or +09:00") from None


def to_utc(microseconds: npt.NDArray[np.int64], zone: tzinfo) -> npt.NDArray[np.int64]:
    """UTC microseconds of clock readings that are in the order in which they were taken.

    The order decides in the hour that a clock shows twice: readings before the clock was set back are those before
    the step back in the readings, or those that follow without a pause on a reading that occurs once.

    Raises
    ------
    TimeError
        A reading does not exist in this zone, or nothing tells which of its two moments it is.

    Examples
    --------
    >>> clock = np.array([1_401_296_519_000_000])              # 2014-05-28 17:01:59
    >>> int(to_utc(clock, find_zone("Asia/Tokyo"))[0])         # 08:01:59 UTC
    1401264119000000
    """
    seconds, inverse = np.unique(microseconds // 1_000_000, return_inverse=True)
    early, late = (column[inverse] for column in _table(seconds, lambda second: _offsets(second, zone), rows=2))
    skipped = early < late
    if skipped.any():
        first = _clock(int(microseconds[skipped.argmax()]))
        raise TimeError(f"{first} does not exist in {zone}: the clock was set forward; give the right zone with tz=")
    twice = early > late
    offsets = early.copy()
    for start, stop in _runs(twice):
        offsets[start:stop] = _resolve(microseconds, early, late, start, stop, zone)
    return np.asarray(microseconds - offsets * 1_000_000, dtype="int64")


def moment(text: str) -> Moment:
    """UTC datetime64[ns] of an ISO 8601 text that carries its offset.

    Raises
    ------
    DocumentError
        The text is no time, or has no offset.
    TimeError
        It lies outside the years that a datetime64[ns] holds.

    Examples
    --------
    >>> moment("2014-05-28T17:01:59+09:00")
    np.datetime64('2014-05-28T08:01:59.000000000')
    """
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DocumentError(f"{text!r} is not an ISO 8601 time such as 2014-05-28T17:01:59+09:00") from None
    if parsed.tzinfo is None:
        raise DocumentError(f"{text!r} has no offset from UTC, such as +09:00")
    return _utc(parsed, parsed.utcoffset())


def _utc(reading: datetime, ahead: timedelta | None) -> Moment:
    """UTC of a clock that is ahead of it; of years that ``astimezone`` overflows in, too."""
    return nanoseconds(np.datetime64(reading.replace(tzinfo=None), "us") - np.timedelta64(ahead or timedelta(), "us"))


def utc_text(time: Moment) -> str:
    """ISO 8601 text with a Z of a UTC datetime64.

    Examples
    --------
    >>> utc_text(np.datetime64("2014-05-28T08:01:59.5"))
    '2014-05-28T08:01:59.500000Z'
    """
    text = str(time.astype("datetime64[us]"))
    return f"{text.removesuffix('.000000')}Z"


def as_moment(value: object) -> Moment | None:
    """Return a UTC time from what NumPy, xarray, pandas and datetime call a time; None for anything else."""
    if isinstance(value, datetime):
        return _utc(value, None if value.tzinfo is None else value.utcoffset())
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and np.asarray(value).dtype.kind == "M":
        return nanoseconds(np.asarray(value, dtype="datetime64").reshape(1)[0])
    return None


def from_local(text: str, name: str) -> np.datetime64:
    """UTC datetime64[ns] of an ISO 8601 text without offset, on a clock of a zone.

    Raises
    ------
    TimeError
        There is no such zone, or the clock shows that reading never, or twice, or in years that are not kept.

    Examples
    --------
    >>> from_local("2014-05-28T17:00:01.5", "Asia/Tokyo")
    np.datetime64('2014-05-28T08:00:01.500000000')
    """
    try:
        clock = np.array([(datetime.fromisoformat(text.strip()) - _EPOCH) // _MICROSECOND], dtype="int64")
    except (ValueError, TypeError):  # the latter of one with an offset
        raise TimeError(f"{text!r} is not an ISO 8601 time such as 2014-05-28T17:01:59") from None
    nanoseconds(np.datetime64(int(clock[0]), "us"))
    return nanoseconds(np.datetime64(int(to_utc(clock, find_zone(name))[0]), "us"))


def in_zone(times: npt.NDArray[np.datetime64], zone: str) -> npt.NDArray[np.datetime64]:
    """UTC times as wall times of a zone, without the zone.

    Raises
    ------
    TimeError
        There is no such zone.

    Examples
    --------
    >>> in_zone(np.array(["2014-05-28T08:00"], "datetime64[ns]"), "UTC+09:00").astype(str)
    array(['2014-05-28T17:00:00.000000000'], dtype='<U48')
    """
    chosen, wall = find_zone(zone), in_nanoseconds(times)
    known = ~np.isnat(wall)
    seconds, inverse = np.unique(wall[known].astype("datetime64[s]").astype("int64"), return_inverse=True)
    (ahead,) = _table(seconds, lambda second: (_ahead(second, chosen),), rows=1)
    wall[known] += ahead[inverse].astype("timedelta64[s]")
    return wall


def _table(
    seconds: npt.NDArray[np.int64], offsets: Callable[[int], tuple[int, ...]], *, rows: int
) -> npt.NDArray[np.int64]:
    """Offsets of sorted seconds, in rows; zones change at full quarters of an hour, if at all."""
    table = np.empty((rows, len(seconds)), dtype="int64")
    starts, first = np.unique(seconds // _QUARTER * _QUARTER, return_index=True)
    ends = np.append(first[1:], len(seconds))[: len(first)]
    for start, begin, end in zip(starts, first, ends, strict=True):
        found = offsets(int(start))
        if found == offsets(int(start) + _QUARTER - 1):
            table[:, begin:end] = np.array(found)[:, None]
        else:  # historical zones change at odd moments
            table[:, begin:end] = np.array([offsets(int(second)) for second in seconds[begin:end]]).T
    return table


def _ahead(second: int, zone: tzinfo) -> int:
    """Seconds ahead of UTC at a second of UTC."""
    ahead = (_EPOCH.replace(tzinfo=UTC) + timedelta(seconds=second)).astimezone(zone).utcoffset() or timedelta()
    return int(ahead.total_seconds())


def _offsets(second: int, zone: tzinfo) -> tuple[int, int]:
    """Seconds ahead of UTC at the first and the second occurrence of a clock reading."""
    reading = _EPOCH + timedelta(seconds=second)
    both = [zone.utcoffset(reading.replace(fold=fold)) or timedelta() for fold in (0, 1)]
    return int(both[0].total_seconds()), int(both[1].total_seconds())


def _runs(where: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ranges where it is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], where, [False])).astype("int8")))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _resolve(
    clock: npt.NDArray[np.int64],
    early: npt.NDArray[np.int64],
    late: npt.NDArray[np.int64],
    start: int,
    stop: int,
    zone: tzinfo,
) -> npt.NDArray[np.int64]:
    """Offsets of a run of readings that occur twice."""
    run = clock[start:stop]
    back = np.flatnonzero(np.diff(run) < 0)
    if len(back) == 1:
        return np.where(np.arange(stop - start) <= back[0], early[start:stop], late[start:stop])
    hour = 1_000_000 * int((early - late)[start])
    follows = start > 0 and run[0] - clock[start - 1] < hour
    leads = stop < len(clock) and clock[stop] - run[-1] < hour
    steady = bool((np.diff(run) < hour).all()) and not len(back)
    if steady and follows != leads:
        return early[start:stop] if follows else late[start:stop]
    raise TimeError(
        f"{_clock(int(run[0]))} occurs twice in {zone} (the clock was set back) and nothing tells which is meant; "
        f"give the offset, such as tz='{_offset_text(int(early[start]))}' or '{_offset_text(int(late[start]))}'"
    )


def _clock(microseconds: int) -> str:
    return str(_EPOCH + microseconds * _MICROSECOND)


def _offset_text(seconds: int) -> str:
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


class Stamp(NamedTuple):
    """A stamp: microseconds since 1970-01-01 on its own clock, its offset from UTC, the digits of its fraction."""

    microseconds: int
    offset: int | None
    """Microseconds that the clock is ahead of UTC; None where the text does not say."""
    digits: int


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
        day, hour, minute, second = (int(part[name]) for name in ("day", "hour", "minute", "second"))
        when = datetime(int(part["year"]), month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None
    # digits below the microsecond are cut, not rounded: a rounded stamp could pass the next one
    whole = (when - _EPOCH) // _MICROSECOND + int(fraction.ljust(6, "0")[:6])
    return Stamp(whole, _offset_of(part["offset"]), len(fraction))


@lru_cache(maxsize=64)
def _midnight(date: str) -> int | None:
    """Microseconds since 1970-01-01 of ``YYYY:MM:DD``; None where there is no such day."""
    try:
        day = datetime(int(date[:4]), int(date[5:7]), int(date[8:]))  # noqa: DTZ001
    except ValueError:
        return None
    return (day - _EPOCH) // _MICROSECOND


def _offset_of(text: str | None) -> int | None:
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


def utc_of(stamps: Stamps, zone: str) -> npt.NDArray[np.int64]:
    """UTC microseconds of stamps in the order in which they were taken; 0 where there is none.

    Raises
    ------
    TimeError
        As :func:`to_utc`, of stamps that do not say their own offset.

    Examples
    --------
    >>> utc_of(parse_stamps(["1970-01-01T09:00:01", "", "1970-01-01T09:00:02Z"]), "Asia/Tokyo").tolist()
    [1000000, 0, 32402000000]
    """
    local = stamps.found & (stamps.offsets == NO_OFFSET)
    utc = np.where(stamps.found, stamps.microseconds, 0) - np.where(stamps.found & ~local, stamps.offsets, 0)
    utc[local] = to_utc(stamps.microseconds[local], find_zone(zone))
    return utc
