"""Propose changes of attenuation from the data: steps that all ROIs share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import StitchError, warn
from xinsitu.physics.moments import frame_key, time_text, times
from xinsitu.schema import require
from xinsitu.values import AttenuationChange, nanoseconds

from .broken_lines import REACH, Branch, Step, branch, relative_steps, step_between
from .counts import NEAR, Counts, MedianBias, half_way_cost, per_second, settle
from .factors import FactorEstimate, common_factor
from .reports import (
    LAG,
    RejectedChange,
    box_evidence,
    exposure_changes,
    exposure_evidence,
    record_evidence,
    recorded_moves,
)
from .transitions import LONGEST, Transition, find_transitions

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
    """

    def __init__(self, changes: Iterable[AttenuationChange], rejected: Iterable[RejectedChange] = ()) -> None:
        super().__init__(changes)
        self.rejected = tuple(rejected)


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
    fall to zero is never a change: the levels before and after it are compared. Growth goes on through a change: levels
    are straight lines evaluated at it. Where ``exposure_time`` changes, counts per second are compared, and the change
    is named. A recorded ``transmission`` is compared with what is found, and its weaker changes are looked for, too.

    Parameters
    ----------
    series
        ``intensity (time, roi)``, or a Dataset that holds it, with ``intensity_errors`` where they are known.
    roi
        Name or names of the ROIs to look at; None: all.
    window
        Frames on each side for the factor; None: as many as the growth allows, at most 30.
    least
        Smallest step of interest, as natural logarithm of the factor.
    threshold
        Significance, in standard deviations.
    common_tolerance
        How far (relative) ROIs may disagree beyond counting.

    Returns
    -------
    list of AttenuationChange
        In time order, each with ``factor``, ``factor_errors`` and, in ``evidence``, its significance, chi-squared, the
        factor of every ROI, the window, the frames without beam, and what the log recorded. ``cause`` is
        ``attenuator``, ``beam`` behind a dump, or ``exposure``.

    Raises
    ------
    SchemaError
        There is no ``intensity`` or no UTC ``time``.
    RoiError
        There is no ROI of that name.

    Warns
    -----
    XinsituWarning
        The log has a change of transmission that the intensities do not show.

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
    counts = Counts.read(per_second(sample), roi)
    if len(counts.values) < 2:
        return FoundChanges([])
    search = Search(sample, counts, window, common_tolerance, MedianBias.read(sample, counts.rois))
    steps = find_transitions(counts.values, counts.errors, threshold=threshold, least=least, tolerance=common_tolerance)
    looked_at = [search.proposed(step, least=least, threshold=threshold) for step in steps]
    found = [one for one in looked_at if isinstance(one, AttenuationChange)]
    found += _recorded(search, found)
    found += _exposure_only(sample, found)
    rejected = [one for one in looked_at if isinstance(one, RejectedChange)]
    return FoundChanges(sorted(found, key=lambda change: str(change.before)), rejected)


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
    _, estimate = search.estimate(search.counts.around(step), step, step.before, step.after)
    if estimate is None:
        return
    size, doubt = abs(np.log(estimate.factor)), estimate.factor_errors / estimate.factor
    if size + 3 * doubt < abs(np.log(nominal)) / 2:
        when = time_text(search.sample, times(search.sample)[position])
        warn(
            f"{name} changes by a factor of {nominal:.4g} at {when} and the intensities do not ({estimate.factor:.4g} "
            f"± {estimate.factor_errors:.2g}): divided by a background or by a monitor behind the attenuator they have "
            "no step left, and need no correction"
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


# -- from a step to a change -------------------------------------------------------------------------------------------


DUMP = 5
"""More frames than this without beam are a dump or a closed shutter, not an attenuator on its way."""
_FLICKERS = 1.25
"""Scatter of the steps at all places, in units of what is expected, from which the beam is said to be unsteady."""
_LOCAL, _AROUND = 24, 4
"""Frames on each side in which a kink is looked for instead of a step, and how far from the step it may be."""
_AGREE = 3.0
"""Of their own errors by which ROIs may disagree, on top of the tolerance."""


@dataclass(frozen=True)
class Search:
    """A series, its counts, and how changes are proposed.

    Parameters
    ----------
    sample, counts
        The series as it was given, and its counts brought to one exposure time.
    window
        Frames on each side for the factor; None: as many as the growth allows.
    tolerance
        How far (relative) ROIs may disagree beyond counting.
    bias
        What a median took, where the series says it.
    """

    sample: xr.Dataset
    counts: Counts
    window: int | None
    tolerance: float
    bias: MedianBias | None

    def proposed(
        self, step: Transition, *, least: float, threshold: float
    ) -> AttenuationChange | RejectedChange | None:
        """Make a change of a step, or say why it is none; None where there is nothing to speak of."""
        counts = self.counts.around(step)
        before, after = self._narrowed(counts, step, *settle(counts, step))
        between, estimate = self.estimate(counts, step, before, after)
        unrest = step.unrest if step.unrest > _FLICKERS else 1.0
        significance, beyond = (abs(one) / unrest for one in (between.significance, between.beyond_a_kink))
        sides = (before + 1 - step.start, step.stop - after)
        size = 0.0 if estimate is None else abs(np.log(estimate.factor))

        def rejected(reason: str, frames: Sequence[int] = ()) -> RejectedChange:
            return self._rejected(before, after, estimate, float(significance), reason, frames)

        if estimate is not None:
            significance = min(significance, size * estimate.factor / (estimate.factor_errors * unrest))
        if size < least or significance < threshold:
            return self._inserted(counts, step, before, after, least, threshold)
        if min(sides) < 2:
            short = range(step.start, before + 1) if sides[0] < 2 else range(after, step.stop)
            return rejected("one frame on a side does not make a level", short)
        if beyond < threshold or self._kinked(counts, step, before, after, threshold):
            return rejected("growth that begins, ends or bends explains it as well")
        if after - before - 1 > LONGEST:
            return rejected(f"it takes {after - before - 1} frames, longer than an attenuator moves")
        if estimate is None or not _is_common(estimate, self.tolerance):
            return rejected(_disagreement(estimate))
        if self.bias is not None:
            estimate = self.bias.doubted(estimate, *_sides(counts, step, before, after))
        first, last = int(counts.positions[before]), int(counts.positions[after])
        dark = int(((counts.dark > first) & (counts.dark < last)).sum())
        evidence: dict[str, Any] = {
            **estimate.evidence(),
            "window": between.frames,
            "significance": float(beyond),
            "frames_without_beam": last - first - (after - before),  # frames without any value have no beam either
            **record_evidence(self.sample, first, last, factor=estimate.factor),
            **exposure_evidence(self.sample, first, last),
            **box_evidence(self.sample, first, last),
        }
        axis = times(self.sample)
        return AttenuationChange(
            nanoseconds(axis[first]),
            nanoseconds(axis[last]),
            factor=estimate.factor,
            factor_errors=estimate.factor_errors * unrest,
            cause="beam" if dark > DUMP else "attenuator",
            before_key=frame_key(self.sample, first),
            after_key=frame_key(self.sample, last),
            evidence=evidence,
        )

    def estimate(self, counts: Counts, step: Transition, before: int, after: int) -> tuple[Step, FactorEstimate | None]:
        """Compare the curves beside a step; no frame beyond the next step is used."""
        between = step_between(
            self._left(counts, step, before),
            self._right(counts, step, after),
            float(after - before),
            counts.gap(before, after),
            tolerance=self.tolerance,
        )
        try:
            return between, common_factor(between.log_ratios, between.variances, counts.rois, method="lines")
        except StitchError:
            return between, None

    def _left(self, counts: Counts, step: Transition, before: int) -> Branch:
        part = slice(max(step.start, before + 1 - (self.window or REACH)), before + 1)
        return branch(counts.values[part][::-1], counts.noise[part][::-1])

    def _right(self, counts: Counts, step: Transition, after: int) -> Branch:
        part = slice(after, min(step.stop, after + (self.window or REACH)))
        return branch(counts.values[part], counts.noise[part])

    def _narrowed(self, counts: Counts, step: Transition, before: int, after: int) -> tuple[int, int]:
        """Take frames in the gap that lie on the curve of one side to it: nothing moved in them."""
        left, right = self._left(counts, step, before), self._right(counts, step, after)
        while after - before > 1:
            off = [counts.off(left, before + 1), counts.off(right, after - 1)]
            if min(off) > 1:
                break
            if off[0] <= off[1]:
                before += 1
                left = self._left(counts, step, before)
            else:
                after -= 1
                right = self._right(counts, step, after)
        return before, after

    def _kinked(self, counts: Counts, step: Transition, before: int, after: int, threshold: float) -> bool:
        """Whether a continuous curve with a kink at one of the frames near explains the frames as well as the step."""

        def beside(last: int, first: int) -> tuple[float, float]:
            low, high = max(step.start, before + 1 - _LOCAL), min(step.stop, after + _LOCAL)
            left = branch(counts.values[low : last + 1][::-1], counts.noise[low : last + 1][::-1], single=True)
            right = branch(counts.values[first:high], counts.noise[first:high], single=True)
            between = step_between(left, right, float(first - last), float(first - last), tolerance=self.tolerance)
            return left.evidence + right.evidence, between.beyond_a_kink**2 / 2

        with_step, needed = beside(before, after)
        with_step -= half_way_cost(after - before - 1, counts.values.shape[1])
        enough = min(threshold**2 / 2, needed / 2)
        places = range(max(step.start + 2, before - _AROUND), min(step.stop - 3, after + _AROUND))
        return any(with_step - evidence + meets < enough for evidence, meets in (beside(at, at + 1) for at in places))

    def _inserted(
        self, counts: Counts, step: Transition, before: int, after: int, least: float, threshold: float
    ) -> RejectedChange | None:
        """Name frames between two equal levels that are far off both: too few to be a level of their own."""
        inside = slice(before + 1, after)
        if after - before < 2:
            return None
        away, weight = relative_steps(
            np.broadcast_to((counts.values[before] + counts.values[after]) / 2, counts.values[inside].shape),
            counts.values[inside],
            counts.noise[inside] ** 2 + (counts.noise[before] ** 2 + counts.noise[after] ** 2) / 4,
            self.tolerance,
        )
        total = np.maximum(weight.sum(axis=1), 1e-300)
        mean = (weight * away).sum(axis=1) / total
        if not (np.abs(mean) * np.sqrt(total) > threshold * step.unrest)[np.abs(mean) > 1 - np.exp(-least)].any():
            return None
        return self._rejected(
            before,
            after,
            None,
            float((np.abs(mean) * np.sqrt(total)).max()) / step.unrest,
            "the levels on its two sides are the same, and between them are too few frames to make one",
            range(before + 1, after),
        )

    def _rejected(
        self,
        before: int,
        after: int,
        estimate: FactorEstimate | None,
        significance: float,
        reason: str,
        frames: Sequence[int],
    ) -> RejectedChange:
        axis, at = times(self.sample), self.counts.positions
        first, last = int(at[before]), int(at[after])
        return RejectedChange(
            nanoseconds(axis[first]),
            nanoseconds(axis[last]),
            before_key=frame_key(self.sample, first),
            after_key=frame_key(self.sample, last),
            factor=None if estimate is None else estimate.factor,
            factor_errors=None if estimate is None else estimate.factor_errors,
            significance=significance,
            reason=reason,
            doubtful=tuple(int(at[frame]) for frame in frames),
        )


def _sides(counts: Counts, step: Transition, before: int, after: int) -> tuple[slice, slice]:
    """Frames of the sample on both sides of a step."""
    first, last = max(step.start, before + 1 - NEAR), min(step.stop, after + NEAR) - 1
    at = counts.positions
    return slice(int(at[first]), int(at[before]) + 1), slice(int(at[after]), int(at[last]) + 1)


def _is_common(estimate: FactorEstimate, tolerance: float) -> bool:
    """Whether all ROIs step alike, within the tolerance and three of their errors."""
    step = np.log(estimate.factor)
    return all(
        abs(np.log(factor) - step) <= _AGREE * errors / factor + tolerance for factor, errors in estimate.rois.values()
    )


def _disagreement(estimate: FactorEstimate | None) -> str:
    if estimate is None:
        return "no ROI is above zero on both sides"
    told = ", ".join(f"{roi} {factor:.3g}" for roi, (factor, _) in estimate.rois.items())
    return f"the ROIs step differently ({told})"
