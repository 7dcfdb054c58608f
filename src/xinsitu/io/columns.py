"""Values that come once per frame, from headers or logs, as coordinates along time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from .formats.header import FrameHeader

OURS = frozenset(
    [
        *("time", "y", "x", "image", "frame", "scan", "stamp", "frame_status", "exposure_time", "time_uncertainty"),
        *("sample", "measurement", "roi", "mask"),
    ]
)
"""Names of the data model, which no column of a file may take."""


MOTOR = "motor "
"""What the name of a header's number begins with where it is the position of a motor."""


def variable_name(name: str) -> str:
    """Name of a coordinate for a column: letters, digits and underscores, not one of our own.

    Examples
    --------
    >>> variable_name("F.M."), variable_name("ring current"), variable_name("Time"), variable_name("time")
    ('F_M', 'ring_current', 'Time', 'log_time')
    """
    plain = re.sub(r"\W+", "_", name).strip("_") or "column"
    if plain[0].isdigit():
        plain = f"_{plain}"
    return f"log_{plain}" if plain in OURS else plain


def header_columns(headers: Sequence[FrameHeader | None]) -> dict[str, xr.Variable]:
    """Attributes in the headers, one value per frame; NaN or an empty text where a frame has none.

    Examples
    --------
    >>> header_columns([None])
    {}
    """
    if not any(header.extra for header in headers if header):
        return {}
    rows: list[Mapping[str, str | float]] = [dict(header.extra) if header else {} for header in headers]
    names = dict.fromkeys(name for row in rows for name in row)
    found: dict[str, xr.Variable] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        found[variable_name(name.removeprefix(MOTOR))] = xr.Variable("time", _column(values), {"long_name": name})
    return found


def _column(values: Sequence[str | float | None]) -> npt.NDArray[np.generic]:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values], dtype="U")
    return np.array([np.nan if value is None else value for value in values], dtype="float64")
