"""Changes of attenuation in words: one row for each, for terminals and reports alike."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xinsitu.clock import in_zone
from xinsitu.digits import with_error
from xinsitu.physics.attenuation.scaling import attenuation_changes
from xinsitu.schema import knows_utc
from xinsitu.values import AttenuationChange, Key


def change_rows(sample: xr.Dataset) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the heading and a row for each change that was corrected: its two ends, its factor, its cause.

    Examples
    --------
    >>> change_rows(xr.Dataset())[1]
    []
    """
    clock = _clock(sample)
    header = ("last frame before", clock, "first frame after", clock, "factor", "cause")
    return header, [
        (
            *_end(sample, change.before, change.before_key),
            *_end(sample, change.after, change.after_key),
            factor_text(change),
            change.cause,
        )
        for change in attenuation_changes(sample)
    ]


def factor_text(change: AttenuationChange) -> str:
    """Return the factor of a change with its standard error.

    Examples
    --------
    >>> factor_text(AttenuationChange("2014-05-28T08:00:00Z", "2014-05-28T08:00:05Z", factor=8.5, factor_errors=0.04))
    '8.50 ± 0.04'
    """
    if change.factor is None:
        return "–"
    return with_error(change.factor, change.factor_errors)


def local_text(sample: xr.Dataset, time: np.datetime64) -> str:
    """Return a time in the zone of the instrument, or the frame's number where that is what times are."""
    if sample.attrs.get("time_source") == "frame":
        return f"{(time - np.datetime64(0, 's')) / np.timedelta64(1, 's'):g}"
    zone = str(sample.attrs.get("time_zone") or "UTC") if knows_utc(sample) else "UTC"
    text = str(in_zone(np.array([time]), zone)[0].astype("datetime64[ms]")).replace("T", " ")
    return text.removesuffix(".000")


def _clock(sample: xr.Dataset) -> str:
    """Heading of a column of times: the zone that they are in."""
    if not knows_utc(sample):
        return "frame number (s)" if sample.attrs.get("time_source") == "frame" else "detector's clock"
    return str(sample.attrs.get("time_zone") or "UTC")


def _end(sample: xr.Dataset, end: object, key: Key | None) -> tuple[str, str]:
    """Frame of an end point, and its time in the zone of the instrument."""
    if isinstance(end, Key):
        return _frame_text(end), ""
    if not isinstance(end, np.datetime64):
        return "", str(end)
    return _frame_text(key), local_text(sample, end)


def _frame_text(key: Key | None) -> str:
    if key is None or key.frame is None:
        return ""
    scan = f" scan {key.scan}" if key.scan not in (None, 1) else ""
    return f"{key.measurement or ''}{scan} frame {key.frame}".strip()
