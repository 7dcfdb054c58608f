"""Propose changes of attenuation from the data: steps that all ROIs share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import xarray as xr

from xinsitu.digits import with_error
from xinsitu.epoch import nanoseconds
from xinsitu.errors import warn
from xinsitu.physics.moments import frame_key, time_text, times
from xinsitu.schema import require
from xinsitu.values import AttenuationChange
from xinsitu.values.changes import SHOWN
from xinsitu.values.notebook import cell, table

from .candidates import GROWS, ON_ITS_WAY, Search
from .counts import Counts, per_second
from .factors import MedianBias
from .reports import (
    LAG,
    RejectedChange,
    exposure_changes,
    exposure_evidence,
    recorded_moves,
)
from .transitions import LONGEST, SHORT, Transition, find_transitions

_NOT_TRUSTED = "on one side all ROIs are saturated, count too fast or are faulty, so there is no factor: give it"
_NOTHING = "next to nothing is counted: there is no beam, or a filter that leaves too little for a factor"
_PART_OF = "it is a part of what takes longer than an attenuator moves"
_FALLS_BACK = "without the few frames on one side of it there is no step: growth that falls back, or no level"
_BUMPS = (2, 4, 6, 8)
"""Frames on one side of a change without which there must be a step still: what they alone have is a bump."""
_GONE, _SURE = 0.25, 3.0
"""Part of a step up to which it is gone, and its standard errors to which it must be none any more."""
CHECK = 10
"""Frames on each side without which a change that the log has is not looked for."""


class FoundChanges(list[AttenuationChange]):
    """Changes in time order, and beside them what was looked at and not taken.

    Parameters
    ----------
    changes
        What is proposed.
    rejected
        Candidates with the reason why they are none, in time order.

    Examples
    --------
    >>> found = FoundChanges([], [])
    >>> len(found), len(found.rejected)
    (0, 0)
    """

    def __init__(self, changes: Iterable[AttenuationChange], rejected: Iterable[RejectedChange] = ()) -> None:
        super().__init__(changes)
        self.rejected = tuple(rejected)

    @property
    def told(self) -> tuple[str, ...]:
        """What to know of the changes: which lie in a pause and may be growth, and why others are none."""
        paused = [one for one in self if "pause_text" in one.evidence]
        doubts = [
            f"a change from {' to '.join(one.shown()[:2])} that may be none: {one.evidence['pause_text']}"
            for one in paused
        ]
        return (*doubts, *map(str, self.rejected))

    def _repr_html_(self) -> str:
        """Show the changes as a table, and below them what to know of them, and why others are none."""
        rows = [tuple(map(cell, change.shown())) for change in self]
        title = f"{len(self)} change{'s' * (len(self) != 1)} of attenuation"
        return table(title, SHOWN, rows) + "".join(f"<div>{cell(one)}</div>" for one in self.told)


def find_attenuation_changes(
    series: xr.Dataset | xr.DataArray,
    *,
    roi: str | Sequence[str] | None = None,
    window: int | None = None,
    least: float = 0.08,
    threshold: float = 5.0,
    common_tolerance: float = 0.03,
) -> FoundChanges:
    """Propose the changes of attenuation that the intensities show; nothing is applied.

    A step that all ROIs share, within counting and a small tolerance, is the beam; a step in one ROI is physics. A
    fall to zero is never a change: the levels before and after it are compared. Growth goes on through a change: smooth
    curves on both sides, as uncertain as the growth is curved, are compared across the frames in which the attenuator
    was moving [1]_. What a continuous curve with a kink explains as well is growth, and what a beam that flickers does
    is measured at all other places of the run. Flagged values (saturated, count rate, faulty, left out) do not decide.
    Where ``exposure_time`` changes, counts per second are compared, and the change
    is named. A recorded ``transmission`` is compared with what is found, and its weaker changes are looked for, too.

    Parameters
    ----------
    series
        ``intensity (time, roi)``, or a Dataset that holds it, with ``intensity_errors`` where they are known.
    roi
        Name or names of the ROIs to look at; None: all.
    window
        Frames on each side for the factor; None: as many as the growth allows, at most 112.
    least
        Smallest step of interest, as natural logarithm of the factor.
    threshold
        Significance, in standard deviations of what the run does at all other places.
    common_tolerance
        How far (relative) the factor of a ROI may lie from that of all, beyond three of its errors.

    Returns
    -------
    list of AttenuationChange
        In time order, each with ``factor``, ``factor_errors`` and, in ``evidence``, its significance, chi-squared, the
        factor of every ROI, the window, the frames without beam, and what the log recorded. ``cause`` is
        ``attenuator``, ``beam`` behind a dump, or ``exposure``. Its attribute ``rejected`` has what was looked at and
        not taken, as :class:`~xinsitu.RejectedChange` with the reason; frames that are too few to be a level are
        flagged ``near_change`` by :func:`~xinsitu.correct_attenuation`.

    Raises
    ------
    SchemaError
        There is no ``intensity`` or no UTC ``time``.
    RoiError
        There is no ROI of that name.

    Warns
    -----
    XinsituWarning
        The log has a change of transmission that the intensities do not show; or changes were found where motors are
        scanned.

    References
    ----------
    .. [1] G. Wahba, J. R. Stat. Soc. B 40, 364 (1978), doi 10.1111/j.2517-6161.1978.tb01050.x.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(40) * np.timedelta64(1, "s")
    >>> counts = np.repeat([1000.0, 0.0, 100.0], [20, 1, 19])[:, None] * [1.0, 2.0]
    >>> series = xr.DataArray(counts, {"time": time, "roi": ["WZ", "ZB"]}, ("time", "roi"), name="intensity")
    >>> change, = find_attenuation_changes(series)
    >>> round(change.factor, 6), str(change.before)[11:19], str(change.after)[11:19]
    (10.0, '00:00:19', '00:00:21')
    """
    sample = _as_dataset(series)
    counts, every = Counts.read(per_second(sample), roi)
    if len(counts.values) < 2:
        return FoundChanges([])
    search = Search(sample, counts, window, common_tolerance, MedianBias.read(sample, counts.rois))
    steps = find_transitions(counts.values, counts.errors, threshold=threshold, least=least, tolerance=common_tolerance)
    looked_at = [search.proposed(step, least=least, threshold=threshold) for step in steps]
    looked_at = _lasting(search, _with_their_ways(search, looked_at))
    found = [one for one in looked_at if isinstance(one, AttenuationChange)]
    found += _recorded(search, found)
    found += _exposure_only(sample, found)
    rejected = [one for one in looked_at if isinstance(one, RejectedChange)]
    lone = search.single_frames(least=least, threshold=threshold, known=[*found, *rejected])
    rejected = [one for one in rejected if one.doubtful or not any(_meets(one, other) for other in lone)] + lone
    rejected += _all_flagged(search, every, least=least, threshold=threshold) + _dark_ends(search)
    found.sort(key=lambda one: str(one.before))
    if found and search.scanned:
        warn(
            f"motors move in {counts.moved.size} of {sample.sizes['time']} frames, so that a step between two frames "
            "need not be the attenuator, and its factor may be wrong; where scans share points of a coordinate take "
            "the factors from these: stitch --overlap COORDINATE, or attenuation_from_overlap"
        )
    return FoundChanges(found, sorted(rejected, key=lambda one: str(one.before)))


def _with_their_ways(
    search: Search, looked_at: Sequence[AttenuationChange | RejectedChange | None]
) -> list[AttenuationChange | RejectedChange | None]:
    """Take no change of one that lies beside frames too many for an attenuator on its way, or beside growth."""
    axis = times(search.sample)
    ways = [one for one in looked_at if isinstance(one, RejectedChange) and one.reason.endswith((ON_ITS_WAY, GROWS))]
    told: list[AttenuationChange | RejectedChange | None] = []
    for one in looked_at:
        beside = [other for other in ways if len(other.doubtful) > 1 and other is not one]
        ends = [] if one is None else [int(np.searchsorted(axis, np.asarray(end))) for end in (one.before, one.after)]
        near = [other for other in beside if _between(ends, other.doubtful) <= LONGEST] if ends else []
        if isinstance(one, AttenuationChange) and near:
            frames = [*ends, *(frame for other in near for frame in other.doubtful)]
            inner = tuple(range(min(frames) + 1, max(frames)))
            keys = (one.before_key, one.after_key)
            strength = float(one.evidence["significance"])
            one = RejectedChange(one.before, one.after, *keys, one.factor, one.factor_errors, strength, _PART_OF, inner)  # type: ignore[arg-type] # found ones are times
        told.append(one)
    return told


def _lasting(
    search: Search, looked_at: Sequence[AttenuationChange | RejectedChange | None]
) -> list[AttenuationChange | RejectedChange | None]:
    """Take no change that a few frames on one side make alone: levels last, or end at another change."""
    counts, axis = search.counts, times(search.sample)
    found = [one for one in looked_at if isinstance(one, AttenuationChange)]
    places = [
        np.searchsorted(counts.positions, np.searchsorted(axis, np.asarray([one.before, one.after]))) for one in found
    ]
    starts = [0, *(int(after) for _, after in places)]
    stops = [*(int(before) + 1 for before, _ in places[1:]), len(counts.values)]
    told: dict[int, RejectedChange] = {}
    for change, (before, after), start, stop in zip(found, places, starts, stops, strict=False):
        size = abs(np.log(change.factor or 1.0))
        for wide, side in product(_BUMPS, (-1, 1)):
            first, last = (before - wide, after) if side < 0 else (before, after + wide)
            if min(first + 1 - start, stop - last) <= SHORT:
                continue
            step = Transition(first, last, start, stop)
            estimate = search.factor(counts.around(step), step, first, last, alike=False)
            if estimate is None:
                continue
            left, doubt = abs(np.log(estimate.factor)), estimate.factor_errors / estimate.factor
            if max(left, doubt) < _GONE * size and left < _SURE * doubt + search.tolerance:
                frames = range(first + 1, before + 1) if side < 0 else range(after, last)
                told[id(change)] = search.rejected(
                    before, after, None, change.evidence["significance"], _FALLS_BACK, frames
                )
                break
    return [told.get(id(one), one) for one in looked_at]


def _between(ends: Sequence[int], frames: Sequence[int]) -> int:
    """Frames between a change and others."""
    return max(frames[0] - ends[1], ends[0] - frames[-1])


def _meets(one: RejectedChange, other: RejectedChange) -> bool:
    return bool(one.before < other.after and other.before < one.after)


def _all_flagged(search: Search, every: Counts, *, least: float, threshold: float) -> list[RejectedChange]:
    """Name the steps on one side of which a flag says of all ROIs that they are not to be trusted."""
    silent = ~np.isin(every.positions, search.counts.positions)
    if not silent.any():
        return []
    whole = replace(search, counts=every)
    steps = find_transitions(every.values, every.errors, threshold=threshold, least=least, tolerance=search.tolerance)
    told = []
    for step in steps:
        beside = (slice(max(step.start, step.before - 3), step.before + 1), slice(step.after, step.after + 4))
        if step.unsteady or max(silent[side].mean() for side in beside) < 0.5:
            continue
        looked_at = whole.proposed(step, least=least, threshold=threshold)
        if looked_at is not None:
            told.append(whole.rejected(step.before, step.after, None, step.strength, _NOT_TRUSTED, ()))
    return told


def _dark_ends(search: Search) -> list[RejectedChange]:
    """Name the frames at the two ends in which next to nothing was counted: no beam, or what a strong filter leaves."""
    counts, axis = search.counts, times(search.sample)
    told = []
    for beyond, end in ((counts.dark < counts.positions[0], 0), (counts.dark > counts.positions[-1], -1)):
        frames = tuple(map(int, counts.dark[beyond]))
        if not frames:
            continue
        first, last = sorted((int(counts.positions[end]), frames[-1 if end == 0 else 0]))
        keys = frame_key(search.sample, first), frame_key(search.sample, last)
        few = frames if len(frames) <= SHORT else ()
        begin, stop = nanoseconds(axis[first]), nanoseconds(axis[last])
        told.append(RejectedChange(begin, stop, *keys, None, None, 0.0, _NOTHING, few))
    return told


def _as_dataset(series: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(series, xr.DataArray):
        require(series, dims=("time", "roi"))
        series = series.to_dataset(name="intensity")
    require(series, dims=("time", "roi"), variables=("intensity",))
    stamps = times(series)
    return series.sortby("time") if (stamps[1:] < stamps[:-1]).any() else series


# -- the log ----------------------------------------------------------------------------------------------------------


def _recorded(search: Search, found: Sequence[AttenuationChange]) -> list[AttenuationChange]:
    """Return changes that the log has and that are too weak to be seen without it; warns where there is none."""
    counts, axis = search.counts, times(search.sample)
    seen = [tuple(int(i) for i in np.searchsorted(axis, np.asarray([one.before, one.after]))) for one in found]
    weak = []
    for name, position, nominal in recorded_moves(search.sample):
        if any(before - LAG <= position <= after + LAG for before, after in seen):
            continue
        first = max((after for _, after in seen if after <= position), default=0)
        last = min((before + 1 for before, _ in seen if before >= position), default=axis.size)
        start, middle, stop = (int(i) for i in np.searchsorted(counts.positions, [first, position, last]))
        if min(middle - start, stop - middle) < CHECK:
            continue
        step = Transition(middle - 1, middle, start, stop)
        change = search.proposed(step, least=abs(np.log(nominal)) / 2, threshold=3.0)
        if isinstance(change, AttenuationChange):
            weak.append(change)
        else:
            _warn_unseen(search, step, name, position, nominal)
    return weak


def _warn_unseen(search: Search, step: Transition, name: str, position: int, nominal: float) -> None:
    """Say where the log has a change that the intensities, well known as they are, do not show."""
    estimate = search.factor(search.counts.around(step), step, step.before, step.after)
    if estimate is None:
        return
    size, doubt = abs(np.log(estimate.factor)), estimate.factor_errors / estimate.factor
    if size + 3 * doubt < abs(np.log(nominal)) / 2:
        when = time_text(search.sample, times(search.sample)[position])
        warn(
            f"{name} changes by a factor of {nominal:.4g} at {when} and the intensities do not "
            f"({with_error(estimate.factor, estimate.factor_errors)}): divided by a background or by a monitor behind "
            "the attenuator they have no step left, and need no correction"
        )


# -- the exposure time ------------------------------------------------------------------------------------------------


def _exposure_only(sample: xr.Dataset, found: Sequence[AttenuationChange]) -> list[AttenuationChange]:
    """Name the changes of exposure time that are nothing else: the factor is 1 once they are divided out."""
    axis = times(sample)
    named = []
    for position in exposure_changes(sample):
        before, after = nanoseconds(axis[position - 1]), nanoseconds(axis[position])
        if not any(bool(one.before <= before) and bool(after <= one.after) for one in found):  # type: ignore[operator] # found ones are times
            named.append(
                AttenuationChange(
                    before,
                    after,
                    factor=1.0,
                    cause="exposure",
                    before_key=frame_key(sample, int(position) - 1),
                    after_key=frame_key(sample, int(position)),
                    evidence=exposure_evidence(sample, int(position) - 1, int(position)),
                )
            )
    return named
