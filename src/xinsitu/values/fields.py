"""What all values check: bounds of pixels, names, unknown keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xinsitu.errors import RoiError, warn

if TYPE_CHECKING:
    import xarray as xr

Bounds = tuple[int, int]
"""Half-open pixel range ``[first, behind the last)``."""
Box = tuple[Bounds, Bounds]
"""A rectangle ``(y, x)`` of bounds."""


_MOST = 2**31
"""No detector has so many rows; integers of any length come out of JSON."""


def bounds(value: object, what: str) -> Bounds:
    """Check one half-open pixel range and return it as whole numbers."""
    if isinstance(value, slice):
        value = (value.start, value.stop)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != 2:
        raise RoiError(f"{what} must be two whole numbers [first, behind the last), not {value!r}")
    numbers: list[int] = []
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
            raise RoiError(f"{what} must be two whole numbers [first, behind the last), not {list(value)!r}")
        if not -_MOST < number < _MOST or number != int(number):
            raise RoiError(f"{what} must be whole pixels, not {number}")
        numbers.append(int(number))
    first, behind = numbers
    if first < 0 or behind <= first:
        raise RoiError(f"{what} must be [first, behind the last) with 0 <= first < last, not [{first}, {behind}]")
    return first, behind


def names(value: str | Iterable[str], what: str = "names") -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    several = (value,) if isinstance(value, str) else tuple(value)
    if strange := [one for one in several if not isinstance(one, str)]:
        raise RoiError(f"{what} must be names, not {strange[0]!r}")
    return several


def keep_unknown(document: Mapping[str, Any], known: Iterable[str], what: str) -> dict[str, Any]:
    """Return the keys that this version does not know, with a warning: they are kept."""
    extra = {key: value for key, value in document.items() if key not in set(known)}
    if extra:
        warn(f"{what}: unknown keys {', '.join(sorted(extra))} are kept but not used")
    return extra


def roi_records(series: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return what the series says of its ROIs, by their names; files come from anywhere, and some say nonsense.

    Examples
    --------
    >>> import xarray as xr
    >>> roi_records(xr.Dataset(attrs={"rois": '{"rois": [{"name": "WZ", "color": "red"}]}'}))["WZ"]["color"]
    'red'
    >>> roi_records(xr.Dataset(attrs={"rois": "{"}))
    {}
    """
    try:
        document = json.loads(str(series.attrs.get("rois", "{}")))
    except ValueError:
        return {}
    listed = document.get("rois") if isinstance(document, dict) else None
    boxes = [roi for roi in listed if isinstance(roi, dict)] if isinstance(listed, list) else []
    return {str(roi.get("name")): roi for roi in boxes}
