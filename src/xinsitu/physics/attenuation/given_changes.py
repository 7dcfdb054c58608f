"""From changes as they stand in a file to changes with frames, segments, factors, errors and evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.digits import with_error
from xinsitu.errors import DocumentError, StitchError, warn
from xinsitu.physics.moments import elapsed_seconds, frame_key, measurement_labels, resolve_key, time_text, times
from xinsitu.schema import LEFT_OUT, Quality
from xinsitu.values import AttenuationChange, Key

from .counts import NEAR, gap_between, noise_beside, read_intensity
from .factors import FactorEstimate, Floats, MedianBias, common_factor, end_points
from .levels import window_factor
from .transitions import without_beam

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
            ends = (first.before, first.after, second.before, second.after)
            one, two, three, four = (time_text(sample, times(sample)[end]) for end in ends)
            raise StitchError(
                f"the change from {one} to {two} and the one from {three} to {four} overlap; give them apart"
            )
    return tuple(placed)


def _placed(sample: xr.Dataset, change: AttenuationChange) -> PlacedChange:
    before = resolve_key(sample, change.before_key or change.before, side="before")
    after = resolve_key(sample, change.after_key or change.after, side="after", later_than=before)
    if after <= before:
        axis = times(sample)
        raise StitchError(
            f"a change ends at {time_text(sample, axis[after])}, frame {after} of the sample, which is not later than "
            f"where it begins, {time_text(sample, axis[before])}, frame {before}; exchange before and after"
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
        if isinstance(reference, str) and reference.strip().isdecimal():  # of a segment or a position?
            raise DocumentError(f"{reference!r} may be a segment or a position")
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


# -- factors -----------------------------------------------------------------------------------------------------------


FactorMethod = Literal["end points", "sums", "lines"]
CHECK = 10
"""Frames on each side with which a given factor is compared."""


@dataclass(frozen=True)
class _Beside:
    """Counts around one change; NaN beyond the changes next to it."""

    values: Floats
    errors: Floats
    noise: Floats
    before: int
    after: int
    gap: float
    where: str
    sides: tuple[slice, slice]
    bias: MedianBias | None
    flagged: str

    @property
    def longest(self) -> int:
        """Frames that are there on the shorter side."""
        known = np.asarray(np.isfinite(self.values).any(axis=1))
        return int(min(known[: self.before + 1].sum(), known[self.after :].sum()))


def settled_changes(
    sample: xr.Dataset,
    placed: Sequence[PlacedChange],
    rois: Sequence[str],
    *,
    window: int | None,
    method: FactorMethod | None,
    tolerance: float,
) -> list[AttenuationChange]:
    """Give every change its frames, factor, error and evidence; only frames near the changes are computed.

    Parameters
    ----------
    sample
        Intensities brought to one exposure time.
    placed
        Changes on its time axis, in time order.
    rois
        Names of the ROIs that decide.
    window, method
        As in :func:`~xinsitu.correct_attenuation`.
    tolerance
        Relative disagreement of the ROIs beyond counting that is nothing special.

    Raises
    ------
    StitchError
        A change without factor where no ROI is above zero on both sides.

    Warns
    -----
    XinsituWarning
        A given factor contradicts the data, the ROIs disagree, or an end point is saturated or counts too fast.
    """
    if method is None:
        method = "end points" if window is None else None
    reach = max(NEAR, window or 0)
    spans = _spans(placed, sample.sizes["time"], reach)
    near = np.zeros(sample.sizes["time"], dtype=bool)
    for left, right in spans:
        near[left], near[right] = True, True
    values, errors, flags = read_intensity(sample, rois, near)
    left_out = np.asarray(((flags & int(LEFT_OUT)) > 0).all(axis=1))
    bias = MedianBias.read(sample, tuple(rois))
    _warn_fast(flags, _spans(placed, near.size, 1 if method == "end points" else window or CHECK), rois)
    return [
        _settled(
            with_keys(sample, one),
            _beside(sample, values, errors, one, span, bias, left_out),
            rois,
            window,
            method,
            tolerance,
        )
        for one, span in zip(placed, spans, strict=True)
    ]


def _spans(placed: Sequence[PlacedChange], frames: int, reach: int) -> list[tuple[slice, slice]]:
    """Frames on either side of each change, never beyond the next one."""
    starts = [0, *(one.after for one in placed)]
    stops = [*(one.before + 1 for one in placed), frames]
    return [
        (
            slice(max(starts[i], one.before + 1 - reach), one.before + 1),
            slice(one.after, min(stops[i + 1], one.after + reach)),
        )
        for i, one in enumerate(placed)
    ]


def _beside(
    sample: xr.Dataset,
    values: Floats,
    errors: Floats,
    one: PlacedChange,
    span: tuple[slice, slice],
    bias: MedianBias | None,
    left_out: npt.NDArray[np.bool_],
) -> _Beside:
    own, noise = np.full_like(values, np.nan), np.full_like(values, np.nan)
    near = np.r_[span]
    lit = values[near]
    lit[without_beam(lit, errors[near])] = np.nan
    own[near] = lit
    for part in span:
        noise[part] = noise_beside(own[part], errors[part])
    gap = gap_between(elapsed_seconds(sample), one.before, one.after)
    where = f"the change after {time_text(sample, times(sample)[one.before])}"
    named_bad = left_out[[one.before, one.after]].any()
    flagged = "; a frame that it names is flagged as bad: name one beside it" if named_bad else ""
    return _Beside(own, errors, noise, one.before, one.after, gap, where, span, bias, flagged)


def _settled(
    change: AttenuationChange,
    beside: _Beside,
    rois: Sequence[str],
    window: int | None,
    method: FactorMethod | None,
    tolerance: float,
) -> AttenuationChange:
    given = change.factor is not None
    if given and change.evidence.get("method") == "overlap":
        return change  # its two sides were at other places of the scan
    try:
        if given:
            estimate = _by_windows(beside, rois, CHECK, "lines")
        elif method == "end points":
            estimate = _by_end_points(beside, rois, tolerance)
        else:
            estimate = _by_windows(beside, rois, window or CHECK, method)
    except StitchError as fault:
        if given:
            return change  # nothing to compare it with
        raise StitchError(f"{beside.where} has no factor: {fault}{beside.flagged}") from None
    if beside.bias is not None:
        estimate = beside.bias.doubted(estimate, *beside.sides)
    if given:
        _warn_contradiction(change, estimate, beside.where, tolerance)
        measured = {"measured_factor": estimate.factor, "measured_factor_errors": estimate.factor_errors}
        return replace(change, evidence={**change.evidence, **measured})
    if estimate.spread > tolerance:
        told = ", ".join(f"{roi} {with_error(factor, errors)}" for roi, (factor, errors) in estimate.rois.items())
        warn(
            f"the ROIs disagree on the factor of {beside.where} ({told}); if one of them changed by itself, name the "
            "others"
        )
    used = 1 if estimate.method == "end points" else min(window or CHECK, beside.longest)
    evidence = {**change.evidence, **estimate.evidence(), "window": used}
    return replace(change, factor=estimate.factor, factor_errors=estimate.factor_errors, evidence=evidence)


def _by_end_points(beside: _Beside, rois: Sequence[str], tolerance: float) -> FactorEstimate:
    ends = [
        (beside.values[at], np.where(np.isfinite(beside.errors[at]), beside.errors[at], beside.noise[at]))
        for at in (beside.before, beside.after)
    ]
    ratios, variances = end_points(*ends)
    # one frame on a side does not show its noise
    return common_factor(ratios, np.where(np.isfinite(variances), variances, tolerance**2), rois, method="end points")


def _by_windows(beside: _Beside, rois: Sequence[str], window: int, method: FactorMethod | None) -> FactorEstimate:
    return window_factor(
        beside.values,
        beside.noise,
        beside.before,
        beside.after,
        rois,
        window=min(window, beside.longest),
        gap=beside.gap,
        method=None if method == "end points" else method,
    )


def _warn_contradiction(change: AttenuationChange, estimate: FactorEstimate, where: str, tolerance: float) -> None:
    given, given_errors = change.factor or 1.0, change.factor_errors or 0.0
    doubt = np.hypot(estimate.factor_errors / estimate.factor, given_errors / given)
    if abs(np.log(given / estimate.factor)) > max(3 * np.hypot(doubt, tolerance), 5 * doubt):
        warn(
            f"the factor {given:.4g} given for {where} contradicts the data, which say "
            f"{with_error(estimate.factor, estimate.factor_errors)}; intensities that were divided by a background or "
            "by a monitor behind the attenuator have no step left"
        )


def _warn_fast(flags: npt.NDArray[np.int64], spans: Sequence[tuple[slice, slice]], rois: Sequence[str]) -> None:
    """Say where the frames that decide are saturated, or count so fast that the correction is above 5 %."""
    fast = np.zeros(len(rois), dtype=bool)
    for part in (part for span in spans for part in span):
        fast |= (flags[part] & int(Quality.SATURATED | Quality.COUNT_RATE_HIGH)).any(axis=0)
    if fast.any():
        names = ", ".join(str(name) for name, bad in zip(rois, fast, strict=True) if bad)
        warn(
            f"frames that decide an attenuation factor are saturated or count too fast in {names}, where counts "
            "are lost: name other ROIs or frames"
        )
