"""Numbers as text: with their error and as many digits as that allows, or with what they count; decided here alone."""

from __future__ import annotations

import math
from typing import SupportsIndex

LEAST_RELATIVE_ERROR = 1e-12
"""An error below this part of its number is none that was measured."""
POWER = 8
"""Beyond this power of ten it is written as one."""


def counted(number: SupportsIndex, one: str, several: str | None = None) -> str:
    """Return a number with what is counted, one or several; by ``several`` where that is more than an ``s``.

    Examples
    --------
    >>> counted(1, "frame"), counted(0, "frame"), counted(2, "series", "series"), counted(1, "frame is", "frames are")
    ('1 frame', '0 frames', '2 series', '1 frame is')
    """
    return f"{number} {one if number == 1 else several or one + 's'}"


def with_error(value: float, error: float | None = None, *, short: bool = False) -> str:
    """Return a number with as many digits as its error allows; alone where the error is not known, or is none.

    The error has one digit, and two where it begins with a 1, unless it is to be short. An error of 0 says that nothing
    scatters, not that a number is exact: a centre of mass of a single count has it.

    Examples
    --------
    >>> with_error(12.34567, 0.0513), with_error(5230.7, 120.0), with_error(8.247, 0.5)
    ('12.35 ± 0.05', '5230 ± 120', '8.2 ± 0.5')
    >>> with_error(104.678, 0.0149), with_error(104.678, 0.0149, short=True)
    ('104.678 ± 0.015', '104.68 ± 0.01')
    >>> with_error(338.0, 0.0), with_error(1.5, float("nan")), with_error(1234567.8), with_error(3.21e-12, 4e-13)
    ('338', '1.5', '1234568', '(3.2 ± 0.4)e-12')
    """
    if error is None or not abs(value) * LEAST_RELATIVE_ERROR < error < math.inf:
        return f"{value:.0f}" if 1e6 <= abs(value) < 1e12 else f"{value:.6g}"
    power = math.floor(math.log10(max(abs(value), error)))
    if abs(power) > POWER:
        return f"({with_error(value / 10.0**power, error / 10.0**power, short=short)})e{power:+03d}"
    first = math.floor(math.log10(error))
    places = -first + (not short and error < 2 * 10.0**first)
    return " ± ".join(f"{round(one, places):.{max(places, 0)}f}" for one in (value, error))
