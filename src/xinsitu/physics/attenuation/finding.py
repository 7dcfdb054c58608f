"""Propose changes of attenuation from the data: steps that all ROIs share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import StitchError, warn
from xinsitu.physics.moments import frame_key, time_text, times
from xinsitu.schema import require
from xinsitu.values import AttenuationChange, nanoseconds

from .counts import NEAR, Counts, MedianBias, per_second, settle
from .factors import FactorEstimate
from .levels import adaptive_window, window_factor
from .reports import LAG, box_evidence, exposure_changes, exposure_evidence, record_evidence, recorded_moves
from .transitions import Transition, find_transitions

CHECK = 10
"""Frames on each side without which a change that the log has is not looked for."""


def find_attenuation_changes(
    series: xr.Dataset | xr.DataArray,
    *,
    roi: str | Sequence[str] | None = None,
    window: int | None = None,
    least: float = 0.1,
    threshold: float = 5.0,
    common_tolerance: float = 0.03,
) -> list[AttenuationChange]:
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
        return []
    search = Search(sample, counts, window, common_tolerance, MedianBias.read(sample, counts.rois))
    steps = find_transitions(counts.values, counts.errors, threshold=threshold, least=least, tolerance=common_tolerance)
    proposals = [search.proposed(step, least=least, threshold=threshold / 2) for step in steps]
    found = [change for change in proposals if change is not None]
    found += _recorded(search, found)
    return sorted([*found, *_exposure_only(sample, found)], key=lambda change: str(change.before))


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
        step = Transition(middle - 1, middle, start, stop, 0)
        change = search.proposed(step, least=abs(np.log(nominal)) / 2, threshold=3.0)
        if change is not None:
            weak.append(change)
        else:
            _warn_unseen(search, step, name, position, nominal)
    return weak


def _warn_unseen(search: Search, step: Transition, name: str, position: int, nominal: float) -> None:
    """Say where the log has a change that the intensities, well known as they are, do not show."""
    try:
        estimate, _ = search.estimate(search.counts.around(step), step, step.before, step.after)
    except StitchError:
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
_WINDOWS = (4, 6, 9, 13, 20, 30)


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

    def proposed(self, step: Transition, *, least: float, threshold: float) -> AttenuationChange | None:
        """Make a change of a step; None where it is not common, too small, or not significant enough."""
        counts = self.counts.around(step)
        before, after = settle(counts, step)
        try:
            estimate, window = self.estimate(counts, step, before, after)
        except StitchError:
            return None
        size = abs(np.log(estimate.factor))
        significance = size * estimate.factor / estimate.factor_errors
        if not _is_common(estimate, self.tolerance) or size < least or significance < threshold:
            return None
        if self.bias is not None:
            estimate = self.bias.doubted(estimate, *_sides(counts, step, before, after))
        first, last = int(counts.positions[before]), int(counts.positions[after])
        missing = last - first - (after - before)  # frames without any value have no beam either
        evidence: dict[str, Any] = {
            **estimate.evidence(),
            "window": window,
            "significance": float(significance),
            "frames_without_beam": step.dark + missing,
            **record_evidence(self.sample, first, last, factor=estimate.factor),
            **exposure_evidence(self.sample, first, last),
            **box_evidence(self.sample, first, last),
        }
        axis = times(self.sample)
        return AttenuationChange(
            nanoseconds(axis[first]),
            nanoseconds(axis[last]),
            factor=estimate.factor,
            factor_errors=estimate.factor_errors,
            cause="beam" if step.dark > DUMP else "attenuator",
            before_key=frame_key(self.sample, first),
            after_key=frame_key(self.sample, last),
            evidence=evidence,
        )

    def estimate(self, counts: Counts, step: Transition, before: int, after: int) -> tuple[FactorEstimate, int]:
        """Factor from lines through the frames beside a step, and how many were used on each side."""
        gap = counts.gap(before, after)
        values = np.full_like(counts.values, np.nan)  # no frame beyond the next step is used
        values[step.start : before + 1] = counts.values[step.start : before + 1]
        values[after : step.stop] = counts.values[after : step.stop]
        longest = min(before + 1 - step.start, step.stop - after)
        window, bend = self.window, 0.0
        if window is None:
            possible = [frames for frames in _WINDOWS if frames < longest] + [min(longest, _WINDOWS[-1])]
            window, bend = adaptive_window(values, counts.noise, before, after, windows=possible, gap=gap)
        window = min(window, longest)
        estimate = window_factor(
            values, counts.noise, before, after, counts.rois, window=window, gap=gap, method="lines"
        )
        errors = float(np.hypot(estimate.factor_errors, estimate.factor * bend))
        return replace(estimate, factor_errors=errors), window


def _sides(counts: Counts, step: Transition, before: int, after: int) -> tuple[slice, slice]:
    """Frames of the sample on both sides of a step."""
    first, last = max(step.start, before + 1 - NEAR), min(step.stop, after + NEAR) - 1
    at = counts.positions
    return slice(int(at[first]), int(at[before]) + 1), slice(int(at[after]), int(at[last]) + 1)


def _is_common(estimate: FactorEstimate, tolerance: float) -> bool:
    """Whether all ROIs step alike: within counting and twice the tolerance, and a tenth of a big step."""
    step = np.log(estimate.factor)
    allowed = 2 * tolerance + 0.1 * abs(step)
    return all(abs(np.log(factor) - step) <= 3 * errors / factor + allowed for factor, errors in estimate.rois.values())
