"""Clock readings: the only place where one becomes UTC, or UTC one; IANA rules, never the analysing machine's zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from xinsitu.errors import TimeError

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a naive clock on purpose: the zone is what is looked for
_MICROSECOND = timedelta(microseconds=1)
_QUARTER = 900
"""Seconds."""
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
    early, late = (column[inverse] for column in _table(seconds, zone))
    skipped = early < late
    if skipped.any():
        first = _clock(int(microseconds[skipped.argmax()]))
        raise TimeError(f"{first} does not exist in {zone}: the clock was set forward; give the right zone with tz=")
    twice = early > late
    offsets = early.copy()
    for start, stop in _runs(twice):
        offsets[start:stop] = _resolve(microseconds, early, late, start, stop, zone)
    return np.asarray(microseconds - offsets * 1_000_000, dtype="int64")


def from_local(text: str, name: str) -> np.datetime64:
    """UTC datetime64[ns] of an ISO 8601 text without offset, on a clock of a zone.

    Raises
    ------
    TimeError
        There is no such zone, or the clock shows that reading never, or twice.

    Examples
    --------
    >>> from_local("2014-05-28T17:00:01.5", "Asia/Tokyo")
    np.datetime64('2014-05-28T08:00:01.500000000')
    """
    try:
        reading = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TimeError(f"{text!r} is not an ISO 8601 time such as 2014-05-28T17:01:59") from None
    clock = np.array([(reading - _EPOCH) // _MICROSECOND], dtype="int64")
    return np.datetime64(int(to_utc(clock, find_zone(name))[0]) * 1000, "ns")


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
    import pandas as pd

    wall = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(find_zone(zone)).tz_localize(None)
    return np.asarray(wall.to_numpy(), dtype="datetime64[ns]")


def _table(seconds: npt.NDArray[np.int64], zone: tzinfo) -> npt.NDArray[np.int64]:
    """Early and late offsets of sorted clock readings; zones change at full quarters of an hour, if at all."""
    table = np.empty((2, len(seconds)), dtype="int64")
    starts, first = np.unique(seconds // _QUARTER * _QUARTER, return_index=True)
    ends = np.append(first[1:], len(seconds))[: len(first)]
    for start, begin, end in zip(starts, first, ends, strict=True):
        offsets = _offsets(int(start), zone)
        if offsets == _offsets(int(start) + _QUARTER - 1, zone):
            table[:, begin:end] = np.array(offsets)[:, None]
        else:  # historical zones change at odd moments
            table[:, begin:end] = np.array([_offsets(int(second), zone) for second in seconds[begin:end]]).T
    return table


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
