"""Propose changes of attenuation from the data: steps that all ROIs share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import StitchError, XinsituWarning
from xinsitu.schema import require
from xinsitu.values import AttenuationChange, nanoseconds, utc_text

from .edges import Counts, settle
from .exposure import per_second
from .factors import FactorEstimate
from .keys import frame_key, times
from .levels import adaptive_window, window_factor
from .records import LAG, exposure_changes, exposure_evidence, record_evidence, recorded_moves
from .steps import Transition, find_transitions

DUMP = 5
"""More frames than this without beam are a dump or a closed shutter, not an attenuator on its way."""
CHECK = 10
"""Frames on each side in which a change that the log has is looked for."""
_WINDOWS = (4, 6, 9, 13, 20, 30)


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
    is named.

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
    found = [
        change
        for step in find_transitions(
            counts.values, counts.errors, threshold=threshold, least=least, tolerance=common_tolerance
        )
        if (change := _proposed(sample, counts, step, window, least, threshold, common_tolerance)) is not None
    ]
    _warn_unseen(sample, counts, found, least)
    return sorted([*found, *_exposure_only(sample, found)], key=lambda change: str(change.before))


def _as_dataset(series: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(series, xr.DataArray):
        require(series, dims=("time", "roi"))
        series = series.to_dataset(name="intensity")
    require(series, dims=("time", "roi"), variables=("intensity",))
    times(series)
    return series


def _proposed(
    sample: xr.Dataset,
    counts: Counts,
    step: Transition,
    window: int | None,
    least: float,
    threshold: float,
    tolerance: float,
) -> AttenuationChange | None:
    """Make a change of a step, or None where it is not the beam."""
    counts = counts.around(step)
    before, after = settle(counts, step)
    gap = counts.gap(before, after)
    values = np.full_like(counts.values, np.nan)  # no frame beyond the next step is used
    values[step.start : before + 1] = counts.values[step.start : before + 1]
    values[after : step.stop] = counts.values[after : step.stop]
    longest = min(before + 1 - step.start, step.stop - after)
    possible = [frames for frames in _WINDOWS if frames < longest] + [min(longest, _WINDOWS[-1])]
    if window is None:
        window = adaptive_window(values, counts.noise, before, after, windows=possible, gap=gap)
    window = min(window, longest)
    try:
        estimate = window_factor(
            values, counts.noise, before, after, counts.rois, window=window, gap=gap, method="lines"
        )
    except StitchError:
        return None
    significance = abs(np.log(estimate.factor)) * estimate.factor / estimate.factor_errors
    if not _is_common(estimate, tolerance) or abs(np.log(estimate.factor)) < least or significance < threshold / 2:
        return None
    ends = int(counts.positions[before]), int(counts.positions[after])
    missing = ends[1] - ends[0] - (after - before)  # frames without any value have no beam either
    evidence: dict[str, Any] = {
        **estimate.evidence(),
        "window": window,
        "significance": float(significance),
        "frames_without_beam": step.dark + missing,
        **record_evidence(sample, *ends, factor=estimate.factor),
        **exposure_evidence(sample, *ends),
    }
    axis = times(sample)
    return AttenuationChange(
        nanoseconds(axis[ends[0]]),
        nanoseconds(axis[ends[1]]),
        factor=estimate.factor,
        factor_errors=estimate.factor_errors,
        cause="beam" if step.dark > DUMP else "attenuator",
        before_key=frame_key(sample, ends[0]),
        after_key=frame_key(sample, ends[1]),
        evidence=evidence,
    )


def _is_common(estimate: FactorEstimate, tolerance: float) -> bool:
    """Whether all ROIs step alike: within counting and twice the tolerance, and a tenth of a big step."""
    step = np.log(estimate.factor)
    allowed = 2 * tolerance + 0.1 * abs(step)
    return all(abs(np.log(factor) - step) <= 3 * errors / factor + allowed for factor, errors in estimate.rois.values())


# -- the log ----------------------------------------------------------------------------------------------------------


def _warn_unseen(sample: xr.Dataset, counts: Counts, found: Sequence[AttenuationChange], least: float) -> None:
    """Say where the log has a change of attenuation that the intensities, well known as they are, do not show."""
    seen = [np.searchsorted(times(sample), np.asarray([one.before, one.after])) for one in found]
    for name, position, nominal in recorded_moves(sample):
        if any(before - LAG <= position <= after + LAG for before, after in seen) or abs(np.log(nominal)) < least:
            continue
        after = int(np.searchsorted(counts.positions, position))
        if not CHECK <= after <= len(counts.values) - CHECK:
            continue
        local = counts.around(Transition(after - 1, after, 0, len(counts.values), 0))
        try:
            estimate = window_factor(local.values, local.noise, after - 1, after, counts.rois, window=CHECK)
        except StitchError:
            continue
        doubt = estimate.factor_errors / estimate.factor
        if abs(np.log(estimate.factor)) < min(3 * doubt + least, abs(np.log(nominal)) / 2):
            when = utc_text(times(sample)[position])
            warnings.warn(
                f"{name} changes by a factor of {nominal:.4g} at {when} and the intensities "
                f"do not ({estimate.factor:.4g} ± {estimate.factor_errors:.2g}): divided by a background or by a "
                "monitor behind the attenuator they have no step left, and need no correction",
                XinsituWarning,
                stacklevel=3,
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
