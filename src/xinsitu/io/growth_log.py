"""Events from the log of the growth computer: when shutters opened and closed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xinsitu.clock import find_zone, parse_stamp, to_utc
from xinsitu.digits import counted
from xinsitu.epoch import Moment, nanoseconds
from xinsitu.errors import DocumentError, TimeError
from xinsitu.values import Event

from .disk import ordinary
from .instruments import load_instrument
from .recognition import Chosen, named_instrument

_DATE = re.compile(r"#D\s+(?P<stamp>.+)")
_MOVE = re.compile(r"#C\s+(?:(?P<stamp>\S.*?)\.?\s+)?Shutter\(s\) opened or closed:(?P<states>.*)", re.IGNORECASE)
_OPEN: Mapping[str, bool] = {
    **dict.fromkeys(("1", "o", "open", "opened", "on", "true"), True),
    **dict.fromkeys(("0", "c", "close", "closed", "off", "false"), False),
}
WRITER = "spring8-bl11xu"
"""The instrument whose chamber writes these lines."""
_FIVE = ("Ga", "In", "Al", "Sb", "As")
"""Shutters of the chamber at BL11XU, in the order of its log."""


def read_events_log(
    path: str | os.PathLike[str],
    *,
    tz: str | None = None,
    instrument: str | None = None,
    shutters: Sequence[str] | None = None,
) -> tuple[Event, ...]:
    r"""Read when shutters were open from a SPEC or MBE log.

    A line ``#C Shutter(s) opened or closed: 0 1 0 0 1`` gives the state of all shutters after one of them moved; its
    time is that of the ``#D`` line above it, or stands in the comment itself. A shutter that does not move in the log
    is no event.

    Parameters
    ----------
    path
        The log.
    tz
        Time zone of its clock, such as ``Asia/Tokyo``; None: that of the instrument.
    instrument
        Name of an instrument; None: that of ``XINSITU_INSTRUMENT`` or the user's configuration file, else BL11XU,
        whose chamber writes such lines.
    shutters
        Names in the order of the states; None: Ga, In, Al, Sb, As.

    Returns
    -------
    tuple of Event
        Intervals such as ``In shutter open``, the second one ``In shutter open 2``, in time order; UTC. One that is
        open at the end lasts until the last time in the log.

    Raises
    ------
    DocumentError
        There is no such file or no such line in it, a line has no time before it, or cannot be read.
    TimeError
        The instrument has no time zone, and no ``tz`` is given.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "mbe.log"
    >>> _ = log.write_text(
    ...     "#D 2014/05/28 17:01:59\n#C Shutter(s) opened or closed: 0 1 0 0 1\n"
    ...     "#D 2014/05/28 17:03:00\n#C Shutter(s) opened or closed: 0 0 0 0 1\n"
    ... )
    >>> event, = read_events_log(log, tz="Asia/Tokyo")
    >>> event.name, str(event.start)[:19], str(event.stop)[:19]
    ('In shutter open', '2014-05-28T08:01:59', '2014-05-28T08:03:00')
    """
    path = Path(path)
    table = (named_instrument(instrument) or Chosen(load_instrument(WRITER), "its own lines")).table
    if not (name := tz or table.time_zone):
        raise TimeError(f"{path}: the instrument {table.name} has no time zone; say tz=, such as tz='Asia/Tokyo'")
    zone = find_zone(name)
    moves, last = _moves(path)
    if not moves:
        raise DocumentError(f"{path}: there is no line '#C Shutter(s) opened or closed:'")
    count = len(moves[0].states)
    if uneven := [move for move in moves if len(move.states) != count]:
        raise DocumentError(
            f"{path}: line {uneven[0].line} has {counted(len(uneven[0].states), 'shutter')}, others have {count}"
        )
    names = _names(path, shutters, count)
    clock = np.array([*(move.microseconds for move in moves), last], dtype="int64")
    times = [nanoseconds(np.datetime64(int(one), "us")) for one in to_utc(clock, zone)]
    found = [
        event for number, name in enumerate(names) for event in _open(name, [m.states[number] for m in moves], times)
    ]
    return tuple(sorted(found, key=lambda event: str(event.start)))


@dataclass(frozen=True)
class _Move:
    line: int
    microseconds: int
    states: tuple[bool, ...]


def _moves(path: Path) -> tuple[list[_Move], int]:
    """All lines about shutters, and the last time in the log."""
    try:
        lines = Path(ordinary(path)).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as fault:
        raise DocumentError(f"{path}: cannot be read ({fault.strerror or fault})") from None
    clock: int | None = None
    moves: list[_Move] = []
    for number, line in enumerate(lines, start=1):
        date, move = _DATE.match(line), _MOVE.match(line)
        if date is not None:
            clock = _clock(date["stamp"]) or clock
        elif move is not None:
            at = _clock(move["stamp"] or "") or clock
            if at is None:
                raise DocumentError(f"{path}: line {number} has no time; there is no #D line above it")
            moves.append(_Move(number, at, tuple(_states(path, number, move["states"]))))
    return moves, max([move.microseconds for move in moves] + ([] if clock is None else [clock]), default=0)


def _clock(text: str) -> int | None:
    stamp = parse_stamp(text)
    return None if stamp is None else stamp.microseconds


def _states(path: Path, number: int, text: str) -> Iterator[bool]:
    for word in text.replace(",", " ").split():
        state = _OPEN.get(word.lower())
        if state is None:
            raise DocumentError(
                f"{path}: line {number} says {word!r} of a shutter, which is neither open (1) nor closed (0)"
            )
        yield state


def _names(path: Path, shutters: Sequence[str] | None, count: int) -> Sequence[str]:
    if shutters is None and count == len(_FIVE):
        return _FIVE
    if shutters is None:
        return [f"shutter {number}" for number in range(1, count + 1)]
    if len(shutters) != count:
        raise DocumentError(
            f"{path}: has {counted(count, 'shutter')}, but {counted(len(shutters), 'name is', 'names are')} given"
        )
    return shutters


def _open(name: str, states: Sequence[bool], times: Sequence[Moment]) -> Iterator[Event]:
    """Intervals in which one shutter is open; ``times`` has the end of the log behind those of the states."""
    if len(states) > 1 and len(set(states)) == 1:
        return
    label = name if name.startswith("shutter") else f"{name} shutter"
    began: Moment | None = None
    number = 0
    for state, time in zip((*states, False), times, strict=True):
        if state and began is None:
            began = time
        elif not state and began is not None:
            number += 1
            yield Event(f"{label} open{f' {number}' if number > 1 else ''}", began, time)
            began = None
