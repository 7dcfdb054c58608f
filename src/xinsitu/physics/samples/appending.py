"""A new measurement on a sample that is already joined and corrected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.physics.attenuation.finding import FoundChanges, find_attenuation_changes
from xinsitu.physics.attenuation.reports import RejectedChange
from xinsitu.physics.attenuation.scaling import (
    attenuation_changes,
    attenuation_record,
    correct_attenuation,
    undo_attenuation,
)
from xinsitu.physics.moments import times
from xinsitu.values import AttenuationChange

from .bad_frames import flag_bad_frames
from .joining import Series, named_series, stitch


def append_measurements(
    sample: xr.Dataset,
    series: Series,
    *,
    changes: Iterable[AttenuationChange] = (),
    find: bool = False,
    allow_overlap: bool | str | Iterable[str] = False,
    bad_frames: Iterable[Any] = (),
) -> xr.Dataset:
    """Append measurements to a sample, which may be corrected for attenuation already.

    The correction is undone, the measurements are joined, and the sample's own changes are applied again with their
    factors, together with the new ones.

    Parameters
    ----------
    sample
        A sample, e.g. read from its file.
    series
        What to append, as in :func:`~xinsitu.stitch`.
    changes
        New changes; none of them may be one of the sample's.
    find
        Look for changes among the new frames, too.
    allow_overlap
        As in :func:`~xinsitu.stitch`.
    bad_frames
        Frames of the longer sample to flag first, as in :func:`~xinsitu.flag_bad_frames`.

    Raises
    ------
    StitchError
        As :func:`~xinsitu.stitch` and :func:`~xinsitu.correct_attenuation`.
    """
    known, record = attenuation_changes(sample), attenuation_record(sample)
    measured = undo_attenuation(sample) if record else sample
    joined = stitch({"sample": measured, **named_series(series)}, allow_overlap=allow_overlap)
    if listed := list(bad_frames):
        joined = flag_bad_frames(joined, listed)
    new = list(changes)
    rejected: tuple[RejectedChange, ...] = ()
    if find:
        last = times(sample).max()
        found = find_attenuation_changes(joined)
        new += [change for change in found if _later(change, last)]
        rejected = tuple(one for one in found.rejected if one.after > last)
    if not record and not new:
        return joined
    return correct_attenuation(
        joined,
        FoundChanges([*known, *new], rejected),
        roi=record.get("asked"),
        reference=int(record.get("reference_segment", 0)),
    )


def _later(change: AttenuationChange, last: np.datetime64) -> bool:
    return isinstance(change.after, np.datetime64) and bool(change.after > last)
