"""Stored numbers that are no values, as files say it: netCDF's ``_FillValue`` and valid range, the ``Dummy`` of EDF.

Such pixels become NaN when frames are read, so an image with any is floating point, whatever its type on disk. What a
file says in this way goes before what its type suggests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ATTRIBUTES = ("_FillValue", "missing_value", "valid_min", "valid_max", "valid_range")
"""What netCDF calls them (CF conventions 2.5.1)."""


@dataclass(frozen=True)
class NoValue:
    """Numbers that stand for no value.

    Parameters
    ----------
    codes
        Each of them.
    tolerance
        How far from one a number may be and still mean it.
    low, high
        What is below or above is no value either.

    Examples
    --------
    >>> pixels = np.array([3.0, -10.02, 12.0])
    >>> NoValue((-10.0,), tolerance=0.1, high=11.0).blanked(pixels)
    array([ 3., nan, nan])
    """

    codes: tuple[float, ...] = ()
    tolerance: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def __bool__(self) -> bool:
        return bool(self.codes) or self.low > -math.inf or self.high < math.inf

    def blanked(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return floating-point pixels with NaN in place of what is no value; they are changed in place."""
        bad = (pixels < self.low) | (pixels > self.high)
        for code in self.codes:
            bad |= np.abs(pixels - code) <= self.tolerance if self.tolerance else pixels == code
        pixels[bad] = np.nan
        return pixels


def from_attributes(attributes: Mapping[str, Any]) -> NoValue:
    """Return what the attributes of a netCDF variable say.

    Examples
    --------
    >>> from_attributes({"_FillValue": np.int16([9999]), "valid_min": 0})
    NoValue(codes=(9999.0,), tolerance=0.0, low=0.0, high=inf)
    """
    codes = [*numbers_of(attributes, "_FillValue"), *numbers_of(attributes, "missing_value")]
    bounds = numbers_of(attributes, "valid_range")
    low, high = bounds if len(bounds) == 2 else (-math.inf, math.inf)
    return NoValue(
        codes=tuple(dict.fromkeys(code for code in codes if not math.isnan(code))),
        low=max([low, *numbers_of(attributes, "valid_min")]),
        high=min([high, *numbers_of(attributes, "valid_max")]),
    )


def numbers_of(attributes: Mapping[str, Any], name: str) -> list[float]:
    """Return the numbers of an attribute, none where there is no such one or it is no number."""
    values = np.ravel(attributes[name]) if name in attributes else np.empty(0)
    try:  # of a text, too: valid_max = "100"
        return [float(value) for value in values.tolist()]
    except (ValueError, TypeError):
        return []


def blank(pixels: npt.NDArray[Any], many: Iterable[NoValue]) -> npt.NDArray[Any]:
    """Return floating-point pixels with NaN for all that is no value."""
    for one in many:
        pixels = one.blanked(pixels)
    return pixels
