"""The keywords of opening: what each may be, said in one sentence where it is something else."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from xinsitu.errors import DocumentError, LayoutError, TimeError, XinsituError
from xinsitu.schema import UNKNOWN_ZONE

from .gather import check_policy
from .instruments import Instrument
from .times import TIMES, Time

NO_ZONE = (
    "whose frames these are is not known, nor is the time zone of their stamps: times stay what the clock showed; "
    "say tz= (--tz) or instrument= (--instrument, 'xinsitu instrument' lists them)"
)


@dataclass(frozen=True)
class Opening:
    """How a measurement is opened; the fields are the keywords of :func:`~xinsitu.io.measurement.open_measurement`.

    Raises
    ------
    LayoutError, TimeError, DocumentError
        A keyword is something that it cannot be.

    Examples
    --------
    >>> Opening(tz=9)
    Traceback (most recent call last):
    ...
    xinsitu.errors.TimeError: tz is the name of a time zone, such as 'Asia/Tokyo' or '+09:00', not 9
    """

    tz: str | None = None
    instrument: str | os.PathLike[str] | Instrument | None = None
    on_error: str = "raise"
    time: Time = "auto"
    order_error: str = "raise"
    series: str | None = None
    scan: str | int | None = None
    fill_missing: bool = False
    period: float | None = None
    stamp_marks: str | None = None
    logs: str | os.PathLike[str] | None = "auto"

    def __post_init__(self) -> None:
        check_policy(self.on_error)
        zone = "the name of a time zone, such as 'Asia/Tokyo' or '+09:00'"
        _check("tz", self.tz, zone, isinstance(self.tz, str | None), TimeError)
        one_of = f"one of {', '.join(TIMES)}, or an array of times"
        array = not isinstance(self.time, str | bytes) and hasattr(self.time, "__len__")
        _check("time", self.time, one_of, array or _in(self.time, TIMES), TimeError)
        orders = ("raise", "ignore")
        _check("order_error", self.order_error, "'raise' or 'ignore'", _in(self.order_error, orders), TimeError)
        marks = "'start' or 'end' (of the exposure)"
        known = self.stamp_marks is None or _in(self.stamp_marks, ("start", "end"))
        _check("stamp_marks", self.stamp_marks, marks, known, TimeError)
        _check("period", self.period, "a number of seconds above 0", _is_period(self.period), TimeError)
        name = "the name of a series of frames, or 'newest'"
        _check("series", self.series, name, isinstance(self.series, str | None), LayoutError)
        known = isinstance(self.scan, str | int | None) and not isinstance(self.scan, bool) and self.scan != ""
        _check("scan", self.scan, "the name of a scan in an HDF5 file, such as '2.1'", known, LayoutError)
        _check("fill_missing", self.fill_missing, "True or False", isinstance(self.fill_missing, bool), LayoutError)
        check_instrument(self.instrument)
        log = isinstance(self.logs, str | os.PathLike | None)
        _check("logs", self.logs, "'auto', the path of a log, or None", log, DocumentError)

    def zone(self, table: Instrument) -> tuple[str, str]:
        """Time zone of the stamps, and where it comes from; ``unknown``: they stay what the clock showed."""
        if self.tz:
            return self.tz, "tz"
        return (table.time_zone, "instrument") if table.time_zone else ("", UNKNOWN_ZONE)


def check_instrument(instrument: object) -> None:
    """Raise where this can be no instrument."""
    fits = isinstance(instrument, str | os.PathLike | Instrument | None)
    _check("instrument", instrument, "the name of an instrument, the path of its table, or None", fits, DocumentError)


def check_sample(path: object, include: object, exclude: object) -> None:
    """Raise where this can be no folder, or where these can be no names to look for."""
    _check("path", path, "the folder of a sample", isinstance(path, str | os.PathLike) and bool(path), LayoutError)
    for name, value in (("include", include), ("exclude", exclude)):
        _check(name, value, "patterns for names, such as 'time*,growth*'", isinstance(value, str), LayoutError)


def _check(name: str, value: object, what: str, fits: bool, error: type[XinsituError]) -> None:
    if not fits:
        raise error(f"{name} is {what}, not {value!r}")


def _in(value: object, choices: Sequence[str]) -> bool:
    return isinstance(value, str) and value in choices


def _is_period(period: object) -> bool:
    if period is None:
        return True
    return isinstance(period, int | float) and not isinstance(period, bool) and math.isfinite(period) and period > 0
