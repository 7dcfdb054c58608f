"""Where changes of attenuation lie on the time axis, and the segments between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import DocumentError, StitchError
from xinsitu.physics.moments import frame_key, measurement_labels, resolve_key, times
from xinsitu.values import AttenuationChange, Key, utc_text

TRANSITION = -1
"""Segment of the frames strictly between the end points of a change."""


@dataclass(frozen=True)
class PlacedChange:
    """A change and the positions of its end points on the time axis."""

    change: AttenuationChange
    before: int
    after: int


def placed_changes(sample: xr.Dataset, changes: Iterable[AttenuationChange]) -> tuple[PlacedChange, ...]:
    """Find the end points of changes on a sample, in time order.

    ``before`` is the last frame with time <= it, ``after`` the first later frame with time >= it; a frame KEY wins
    over the time beside it.

    Raises
    ------
    StitchError
        An end point is not on the sample, a change ends before it begins, or two changes overlap.
    """
    placed = sorted((_placed(sample, change) for change in changes), key=lambda one: one.before)
    for first, second in pairwise(placed):
        if second.before < first.after:
            axis = times(sample)
            raise StitchError(
                f"the change from {utc_text(axis[first.before])} to {utc_text(axis[first.after])} and the one from "
                f"{utc_text(axis[second.before])} to {utc_text(axis[second.after])} overlap; give them apart"
            )
    return tuple(placed)


def _placed(sample: xr.Dataset, change: AttenuationChange) -> PlacedChange:
    before = resolve_key(sample, change.before_key or change.before, side="before")
    after = resolve_key(sample, change.after_key or change.after, side="after", later_than=before)
    if after <= before:
        axis = times(sample)
        raise StitchError(
            f"a change ends at {utc_text(axis[after])}, frame {after} of the sample, which is not later than where it "
            f"begins, {utc_text(axis[before])}, frame {before}; exchange before and after"
        )
    return PlacedChange(change, before, after)


def segments(frames: int, placed: Iterable[PlacedChange]) -> npt.NDArray[np.int64]:
    """Return the number of the segment of every frame, -1 in a transition; dims ``(time)``.

    Examples
    --------
    >>> change = AttenuationChange(np.datetime64("2014-05-28"), np.datetime64("2014-05-29"))
    >>> segments(6, [PlacedChange(change, before=1, after=4)])
    array([ 0,  0, -1, -1,  1,  1])
    """
    segment = np.zeros(frames, dtype="int64")
    for number, one in enumerate(placed, start=1):
        segment[one.before + 1 : one.after] = TRANSITION
        segment[one.after :] = number
    return segment


def reference_segment(sample: xr.Dataset, segment: npt.NDArray[np.int64], reference: object) -> int:
    """Segment whose intensities stay as they are.

    Parameters
    ----------
    reference
        ``first``, ``last``, the number of a segment, the name of a measurement (its first segment), or a KEY.

    Raises
    ------
    StitchError
        There is no such segment.
    """
    last = int(segment.max(initial=0))
    if reference in ("first", "last"):
        return 0 if reference == "first" else last
    if isinstance(reference, int | np.integer):
        if not 0 <= int(reference) <= last:
            raise StitchError(f"there is no segment {reference}; they are numbered from 0 to {last}")
        return int(reference)
    labels = measurement_labels(sample)
    if labels is not None and isinstance(reference, str) and reference in labels:
        inside = segment[(labels == reference) & (segment != TRANSITION)]
        if not inside.size:
            raise StitchError(f"all frames of measurement {reference!r} lie in a transition; name another reference")
        return int(inside[0])
    try:
        key = Key.from_dict(reference)  # type: ignore[arg-type] # from_dict refuses anything else
    except DocumentError:
        there = "" if labels is None else f" ({', '.join(dict.fromkeys(labels.tolist()))})"
        raise StitchError(
            f"{reference!r} names no segment: give first, last, a number, a measurement{there} or a moment"
        ) from None
    found = int(segment[resolve_key(sample, key)])
    if found == TRANSITION:
        raise StitchError(f"the reference {reference!r} lies in a transition; name a frame of a segment")
    return found


def with_keys(sample: xr.Dataset, one: PlacedChange) -> AttenuationChange:
    """Return the change with the frames and UTC times of its end points."""
    axis = times(sample)
    return replace(
        one.change,
        before=axis[one.before],
        after=axis[one.after],
        before_key=frame_key(sample, one.before),
        after_key=frame_key(sample, one.after),
    )
