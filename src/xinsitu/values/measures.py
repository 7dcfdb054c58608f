"""What a ROI measures, by the names that stand in its file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from xinsitu.errors import RoiError
from xinsitu.schema import FURTHER

from .fields import names

MEASURES = ("intensity", "com", "fwhm", "background")
"""What a ROI measures if it has no ``measure``; it may have :data:`~xinsitu.schema.FURTHER` quantities there, too."""
BRIGHTEST = 10
"""Pixels of ``brightest``, unless ``brightest:25`` says another number."""
_NUMBERED = re.compile(r"brightest:[1-9]\d{0,5}")


def checked_measure(given: Iterable[str] | str, roi: str) -> tuple[str, ...]:
    """Return what a ROI is to measure.

    Raises
    ------
    RoiError
        It cannot.
    """
    wanted, can = names(given, f"what ROI {roi!r} measures"), (*MEASURES, *FURTHER)
    if unknown := [name for name in wanted if name not in can and not _NUMBERED.fullmatch(name)]:
        raise RoiError(f"ROI {roi!r} cannot measure {unknown[0]!r}; it can {', '.join(can)}")
    return wanted


def number_of_brightest(measure: Iterable[str] | None) -> int:
    """Return of how many pixels ``brightest`` is the mean.

    Examples
    --------
    >>> number_of_brightest(("com", "brightest:25")), number_of_brightest(None)
    (25, 10)
    """
    return next((int(name.partition(":")[2]) for name in measure or () if ":" in name), BRIGHTEST)
