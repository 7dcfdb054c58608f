"""The keywords of opening: each with its default, what it may be, its help and its option, and nowhere else.

Signatures, recipes and the command line are made from these fields. Nothing heavy is loaded here: help needs it.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from textwrap import fill, indent
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from xinsitu.errors import DocumentError, LayoutError, TimeError, XinsituError

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt

    from .instruments import Instrument

    Time = str | npt.NDArray[np.datetime64] | npt.NDArray[np.float64]
    Called = TypeVar("Called", bound=Callable[..., Any])

_OPTIONS = "**options\n    How the frames are opened."
"""What stands in a docstring for the fields."""
NO_ZONE = (
    "whose frames these are is not known, nor is the time zone of their stamps: times stay what the clock showed; "
    "say tz= (--tz) or instrument= (--instrument, 'xinsitu instrument' lists them)"
)
TIMES = ("auto", "stamp", "period", "frame", "mtime")
ON_ERROR = ("raise", "skip", "nan")


def _is(*kinds: type) -> Callable[[object], bool]:
    """Whether a value is of these kinds; a truth value is no number."""
    return lambda value: isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _one_of(choices: Sequence[object]) -> Callable[[object], bool]:
    return lambda value: (value is None or isinstance(value, str)) and value in choices


def _is_period(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value) and value > 0)  # type: ignore[arg-type, operator]


def _is_time(value: object) -> bool:
    return _one_of(TIMES)(value) or (not isinstance(value, str | bytes) and hasattr(value, "__len__"))


def _is_instrument(value: object) -> bool:
    from .instruments import Instrument

    return isinstance(value, str | os.PathLike | Instrument | None)


def _told(
    about: str,
    may_be: str,
    fits: Callable[[object], bool],
    option: str,
    error: type[XinsituError] = LayoutError,
    **words: Any,  # noqa: ANN401 - of argparse
) -> dict[str, Any]:
    """Return what a field tells: its help in Python, what it may be in words and as a test, its option's words."""
    return {"about": about, "may_be": may_be, "fits": fits, "option": option, "error": error, "words": words}


class OpenKeywords(TypedDict, total=False):
    """Types of the fields of :class:`OpenOptions`, for signatures."""

    tz: str | None
    instrument: str | os.PathLike[str] | Instrument | None
    on_error: str
    time: Time
    order_error: str
    series: str | None
    scan: str | int | None
    fill_missing: bool
    period: float | None
    stamp_marks: str | None
    logs: str | os.PathLike[str] | None


@dataclass(frozen=True)
class OpenOptions:
    """How a measurement is opened; the fields are the keywords of :func:`~xinsitu.io.measurement.open_measurement`.

    Raises
    ------
    LayoutError, TimeError, DocumentError
        A keyword is something that it cannot be.

    Examples
    --------
    >>> OpenOptions(tz=9)
    Traceback (most recent call last):
    ...
    xinsitu.errors.TimeError: tz is the name of a time zone, such as 'Asia/Tokyo' or '+09:00', not 9
    """

    tz: str | None = field(
        default=None,
        metadata=_told(
            "Time zone of the detector PC's clock; None takes the instrument's. Where nobody knows it, times "
            "stay what the clock showed, ``time_zone_source`` is ``unknown``, and a warning says so.",
            "the name of a time zone, such as 'Asia/Tokyo' or '+09:00'",
            _is(str, type(None)),
            "--tz",
            TimeError,
            metavar="ZONE",
            help="time zone of the stamps, e.g. Asia/Tokyo (default: the instrument's)",
        ),
    )
    instrument: str | os.PathLike[str] | Instrument | None = field(
        default=None,
        metadata=_told(
            "Name of an instrument or a path to its table; None takes what ``XINSITU_INSTRUMENT`` or the "
            "user's configuration file name, else the one whose table recognises the frames, else "
            "``generic``. The attribute ``instrument_source`` says which of these it was.",
            "the name of an instrument, the path of its table, or None",
            _is_instrument,
            "--instrument",
            DocumentError,
            metavar="NAME",
            help="instrument or path of its table (default: recognised)",
        ),
    )
    on_error: str = field(
        default="raise",
        metadata=_told(
            "What becomes of frames that cannot be read: ``raise``; ``skip`` leaves them out; ``nan`` keeps "
            "them as NaN, which makes the image floating point.",
            f"one of {', '.join(ON_ERROR)}",
            _one_of(ON_ERROR),
            "--on-error",
            choices=ON_ERROR,
            help="what to do with bad frames",
        ),
    )
    time: Time = field(
        default="auto",
        metadata=_told(
            "``auto``: the stamps, or frame numbers on files without any. ``stamp``. ``period``: stamps made "
            "finer by the steady period of the frames, with ``time_uncertainty``; refused where a stamp "
            "contradicts it. ``frame``: the frame number as seconds. ``mtime``: modification times of the "
            "files. Or an array: one UTC time or UNIX time per frame.",
            f"one of {', '.join(TIMES)}, or an array of times",
            _is_time,
            "--time",
            TimeError,
            help="where times come from: auto, stamp, period, frame or mtime",
        ),
    )
    order_error: str = field(
        default="raise",
        metadata=_told(
            "Where stamps decrease with the frame number: ``raise`` or ``ignore``.",
            "'raise' or 'ignore'",
            _one_of(("raise", "ignore")),
            "--ignore-time-order",
            TimeError,
            action="store_const",
            const="ignore",
            help="keep number order where stamps decrease",
        ),
    )
    series: str | None = field(
        default=None,
        metadata=_told(
            "Name of one of several series in the folder; or ``newest``, which leaves out the frames of an "
            "older, longer series that a newer one has overwritten in part.",
            "the name of a series of frames, or 'newest'",
            _is(str, type(None)),
            "--series",
            metavar="NAME|newest",
            help="which of several series in the folder",
        ),
    )
    scan: str | int | None = field(
        default=None,
        metadata=_told(
            'Of an HDF5 file with several scans or detectors: the name of the scan, as BLISS\'s ``"2.1"``, or '
            'the place of the frames, as ``"2.1/instrument/eiger/data"``.',
            "the name of a scan in an HDF5 file, such as '2.1'",
            lambda value: _is(str, int, type(None))(value) and value != "",
            "--scan",
            metavar="NAME",
            help="which of several scans in an HDF5 file, e.g. 2.1",
        ),
    )
    fill_missing: bool = field(
        default=False,
        metadata=_told(
            "Put a frame of NaN where a number is missing; the image becomes floating point as with "
            '``on_error="nan"``.',
            "True or False",
            _is(bool),
            "--fill-missing",
            action="store_true",
            help="put a frame of NaN where a number is missing",
        ),
    )
    period: float | None = field(
        default=None,
        metadata=_told(
            'Seconds between frames, for ``time="period"``; None takes the header\'s.',
            "a number of seconds above 0",
            _is_period,
            "--period",
            TimeError,
            type=float,
            metavar="S",
            help="seconds between frames, for --time period",
        ),
    )
    stamp_marks: str | None = field(
        default=None,
        metadata=_told(
            "Whether stamps mark the ``start`` or the ``end`` of the exposure; None takes the instrument's. "
            "It is an attribute; times are those of the stamps.",
            "'start' or 'end' (of the exposure)",
            _one_of((None, "start", "end")),
            "--stamp-marks",
            TimeError,
            choices=["start", "end"],
            help="of the exposure (default: the instrument's)",
        ),
    )
    logs: str | os.PathLike[str] | None = field(
        default="auto",
        metadata=_told(
            "``auto`` joins the logs that the instrument's table looks for, their counters as coordinates "
            "along time such as ``monitor``; or the path of a log; or None.",
            "'auto', the path of a log, or None",
            lambda value: isinstance(value, str | os.PathLike | None),
            "--log",
            DocumentError,
            type=lambda text: None if text == "none" else text,
            metavar="auto|none|FILE",
            help="log whose counters join the frames",
        ),
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value, told = getattr(self, item.name), item.metadata
            if told and not told["fits"](value):
                raise told["error"](f"{item.name} is {told['may_be']}, not {value!r}")

    def zone(self, table: Instrument) -> tuple[str, str]:
        """Time zone of the stamps, and where it comes from; ``unknown``: they stay what the clock showed."""
        from xinsitu.schema import UNKNOWN_ZONE

        if self.tz:
            return self.tz, "tz"
        return (table.time_zone, "instrument") if table.time_zone else ("", UNKNOWN_ZONE)

    def to_dict(self) -> dict[str, Any]:
        """Keywords that differ from the defaults."""
        values = {item.name: (getattr(self, item.name), item.default) for item in fields(self)}
        return {name: one for name, (one, usual) in values.items() if not (one is usual or _same_text(one, usual))}


def _same_text(one: object, other: object) -> bool:
    return isinstance(one, str) and one == other


KEYWORDS = tuple(item.name for item in fields(OpenOptions))


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of some keywords to a command; each keeps its keyword's name and default."""
    for item in fields(OpenOptions):
        if item.name in names:
            told = item.metadata
            parser.add_argument(told["option"], dest=item.name, default=item.default, **told["words"])


def chosen_of(words: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords that a command was given."""
    return {name: getattr(words, name) for name in KEYWORDS if hasattr(words, name)}


def with_options(function: Called) -> Called:
    """Give a function that takes ``**options: Unpack[OpenKeywords]`` their names in its signature and its help."""
    own = inspect.signature(function)
    named = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
    kind = inspect.Parameter.KEYWORD_ONLY
    items = fields(OpenOptions)
    named += [inspect.Parameter(item.name, kind, default=item.default, annotation=item.type) for item in items]
    function.__signature__ = own.replace(parameters=named)  # type: ignore[attr-defined]
    about = "\n".join(f"{item.name}\n{indent(fill(item.metadata['about'], 110), ' ' * 4)}" for item in items)
    function.__doc__ = inspect.cleandoc(function.__doc__ or "").replace(_OPTIONS, about)
    return function


def check_instrument(instrument: object) -> None:
    """Raise where this can be no instrument."""
    OpenOptions(instrument=instrument)  # type: ignore[arg-type]


def check_sample(path: object, include: object, exclude: object) -> None:
    """Raise where this can be no folder, or where these can be no names to look for."""
    if not isinstance(path, str | os.PathLike) or not path:
        raise LayoutError(f"path is the folder of a sample, not {path!r}")
    for name, value in (("include", include), ("exclude", exclude)):
        if not isinstance(value, str):
            raise LayoutError(f"{name} is patterns for names, such as 'time*,growth*', not {value!r}")
