"""What a word of the command line means: boxes, intervals, changes, frames, numbers."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xinsitu.errors import DocumentError, SchemaError

if TYPE_CHECKING:
    from xinsitu.recipe import Calibrating
    from xinsitu.values import AttenuationChange, Bounds, Box, FrameRange

_BOX = re.compile(r"(\d+):(\d+),(\d+):(\d+)")


def box(text: str) -> Box:
    """Read ``Y0:Y1,X0:X1``.

    Examples
    --------
    >>> box("70:90,150:170")
    ((70, 90), (150, 170))
    """
    match = _BOX.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not Y0:Y1,X0:X1, such as 70:90,150:170")
    y0, y1, x0, x1 = map(int, match.groups())
    if y0 >= y1 or x0 >= x1:
        raise argparse.ArgumentTypeError(f"{text!r} is empty; the second number of each pair is behind the last pixel")
    y: Bounds = (y0, y1)
    return y, (x0, x1)


def figure(text: str) -> Path:
    """Read the name of a figure that is drawn when the work is done: another ending is refused before.

    Examples
    --------
    >>> figure("a.PNG").name
    'a.PNG'
    """
    from xinsitu.io.disk import refuse_no_figure  # not before one is asked for

    try:
        refuse_no_figure(text)
    except SchemaError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None
    return Path(text)


def still_figure(text: str) -> Path:
    """Read the name of a figure that is never a page."""
    if Path(text).suffix.lower() not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"{text}: this figure ends in .png, .pdf or .svg")
    return Path(text)


def interval(text: str) -> tuple[float, float]:
    """Read ``START:STOP`` in seconds."""
    try:
        start, stop = map(float, text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not START:STOP in seconds, such as 0:60") from None
    if not start < stop:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return start, stop


def limits(text: str) -> tuple[float, float]:
    """Read ``FIRST:LAST``.

    Examples
    --------
    >>> limits("-5:5")
    (-5.0, 5.0)
    """
    try:
        first, last = map(float, text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST:LAST, such as 1.9:2.0") from None
    if not first < last:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return first, last


def calibration(text: str) -> Calibrating:
    """Read ``AXIS:NAME=FILE`` or ``AXIS:NAME=FILE,LATTICE`` with a lattice constant in angstrom.

    Examples
    --------
    >>> found = calibration("x:l=0884L.dat,6.0583")
    >>> found.axis, found.name, found.file.name, found.lattice_constant
    ('x', 'l', '0884L.dat', 6.0583)
    """
    from xinsitu.recipe import Calibrating

    match = re.fullmatch(r"([xy]):(\w+)=(.+?)(?:,(\d+\.?\d*))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not AXIS:NAME=FILE, such as x:l=l.txt or x:l=0884L.dat,6.0583")
    axis: Literal["y", "x"] = "y" if match[1] == "y" else "x"
    return Calibrating(axis, match[2], Path(match[3]), None if match[4] is None else float(match[4]))


def change(text: str) -> AttenuationChange:
    """Read ``BEFORE,AFTER``: the last frame before a change and the first one after it.

    Examples
    --------
    >>> change("time2:71,time3:0").after
    Key(measurement='time3', frame=0)
    """
    ends = names(text)
    if len(ends) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not BEFORE,AFTER, such as time2:71,time3:0")
    from xinsitu.values import AttenuationChange

    try:
        return AttenuationChange(*ends)  # type: ignore[arg-type] # a text is read as a KEY
    except DocumentError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def bad_frames(text: str) -> tuple[FrameRange, ...]:
    """Read frames and ranges of frames with commas between them."""
    from xinsitu.values import frame_ranges

    try:
        return frame_ranges(text)
    except DocumentError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def names(text: str) -> list[str]:
    """Read ``A,B``."""
    return [name.strip() for name in text.split(",") if name.strip()]


def positive(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def not_negative(text: str) -> float:
    """Read a number that is not below zero."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from zero on")
    return value


def size(text: str) -> int:
    """Read the size of a median: an odd number from 3 on, or 0 for none."""
    if not text.isdecimal() or (int(text) != 0 and (int(text) < 3 or int(text) % 2 == 0)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size of a median: an odd number from 3 on, or 0 for none")
    return int(text)
