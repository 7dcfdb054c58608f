"""Factors of attenuation from scans that overlap on another coordinate: an angle, q, a temperature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.epoch import nanoseconds
from xinsitu.errors import SchemaError, StitchError
from xinsitu.physics.moments import frame_key, measurement_labels, times
from xinsitu.schema import require
from xinsitu.values import AttenuationChange

from .counts import per_second, read_intensity, signal_rois
from .factors import Floats, common_factor
from .given_changes import TRANSITION, PlacedChange, placed_changes, segments, with_keys


def attenuation_from_overlap(
    sample: xr.Dataset,
    coordinate: str,
    *,
    changes: Iterable[AttenuationChange] | None = None,
    roi: str | Sequence[str] | None = None,
) -> list[AttenuationChange]:
    """Take the factor of each change from the range of a coordinate that was scanned before and after it.

    Where reflectivity scans are joined the same q is measured with both attenuations. The points of the scan that has
    fewer of them in the common range are compared with the other scan, whose intensities are interpolated in
    logarithm; the factor is the ratio of the sums [1]_, which does not favour points that happened to count little.
    Where the ratios of the points scatter more than they should, the error is enlarged by sqrt(chi-squared / degrees
    of freedom).

    Parameters
    ----------
    sample
        Dims ``(time, roi)`` with ``intensity``, and ``intensity_errors`` where they are known.
    coordinate
        Name of a coordinate on time, e.g. ``qdcd``.
    changes
        Where the attenuation changed; a factor that is given stays. None: between all measurements.
    roi
        Name or names of the ROIs that decide; None: all signals.

    Returns
    -------
    list of AttenuationChange
        In time order, with ``factor``, ``factor_errors`` and evidence.

    Raises
    ------
    SchemaError
        There is no such coordinate on time, or the measurements are not named and no changes are given.
    StitchError
        The parts before and after a change do not overlap.

    References
    ----------
    .. [1] ``var ln f = sum var I_before / (sum I_before)^2 + sum var I_after / (sum I_after)^2``.

    Examples
    --------
    >>> time = np.datetime64("2020-02-27", "ns") + np.arange(6) * np.timedelta64(1, "s")
    >>> sample = xr.Dataset(
    ...     {"intensity": (("time", "roi"), [[1000.0], [100.0], [10.0], [5000.0], [500.0], [50.0]])},
    ...     {"time": time, "roi": ["roi1"], "q": ("time", [1, 2, 3, 2, 3, 4]), "measurement": ("time", list("aaabbb"))},
    ... )
    >>> change, = attenuation_from_overlap(sample, "q")
    >>> round(change.factor, 6), change.evidence["points"]
    (0.02, 2)
    """
    require(sample, dims=("time", "roi"), variables=("intensity",))
    if coordinate not in sample.variables or sample[coordinate].dims != ("time",):
        raise SchemaError(f"there is no coordinate {coordinate!r} on time, on which scans could overlap")
    placed = placed_changes(sample, _between_measurements(sample) if changes is None else changes)
    rois = signal_rois(sample, roi)
    values, errors, _ = read_intensity(per_second(sample), rois)
    scan = _Scan(np.asarray(sample[coordinate].values, dtype="float64"), values, errors)
    segment = segments(sample.sizes["time"], placed)
    return [_settled(sample, scan, segment, number, one, rois, coordinate) for number, one in enumerate(placed)]


def _between_measurements(sample: xr.Dataset) -> list[AttenuationChange]:
    labels = measurement_labels(sample)
    if labels is None:
        raise SchemaError("the sample does not name its measurements, so the changes must be given")
    axis = times(sample)
    return [
        AttenuationChange(
            nanoseconds(axis[last]),
            nanoseconds(axis[last + 1]),
            before_key=frame_key(sample, int(last)),
            after_key=frame_key(sample, int(last) + 1),
        )
        for last in np.flatnonzero(labels[1:] != labels[:-1])
    ]


@dataclass(frozen=True)
class _Scan:
    """Intensities along a coordinate: ``x (point)``, ``values`` and ``errors`` ``(point, roi)``."""

    x: Floats
    values: Floats
    errors: Floats

    def part(self, here: npt.NDArray[np.bool_]) -> _Scan:
        """Return some points, in the order of the coordinate."""
        here = here & np.isfinite(self.x)
        order = np.argsort(self.x[here], kind="stable")
        return _Scan(*(values[here][order] for values in (self.x, self.values, self.errors)))

    def within(self, low: float, high: float) -> _Scan:
        """Return the points from ``low`` to ``high``."""
        slack = 1e-9 * (high - low + abs(high))
        return self.part((self.x >= low - slack) & (self.x <= high + slack))

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Interpolate the logarithms; returns intensities and errors, dims ``(len(x), roi)``."""
        right = np.clip(np.searchsorted(self.x, x), 1, self.x.size - 1)
        left = right - 1
        span = self.x[right] - self.x[left]
        share = np.clip(np.where(span > 0, (x - self.x[left]) / np.where(span > 0, span, 1.0), 0.0), 0, 1)[:, None]
        share = np.where(np.isclose(share, 0, atol=1e-6), 0.0, np.where(np.isclose(share, 1, atol=1e-6), 1.0, share))
        logs = np.log(np.where(self.values > 0, self.values, np.nan))
        relative = self.errors / self.values

        def mix(one: Floats, other: Floats, a: Floats, b: Floats) -> Floats:
            return np.where(b == 0, a * one, np.where(a == 0, b * other, a * one + b * other))

        values = np.exp(mix(logs[left], logs[right], 1 - share, share))
        spread = np.sqrt(mix(relative[left] ** 2, relative[right] ** 2, (1 - share) ** 2, share**2))
        return values, values * spread


def _settled(
    sample: xr.Dataset,
    scan: _Scan,
    segment: npt.NDArray[np.int64],
    number: int,
    one: PlacedChange,
    rois: Sequence[str],
    coordinate: str,
) -> AttenuationChange:
    change = with_keys(sample, one)
    if change.factor is not None:
        return change
    before, after = (scan.part((segment == part) & (segment != TRANSITION)) for part in (number, number + 1))
    low, high = _common_range(before, after, coordinate)
    few, many = sorted((before, after), key=lambda part: part.within(low, high).x.size)
    points = few.within(low, high)
    if not points.x.size or many.x.size < 2:
        raise StitchError(f"too few points between {low:.6g} and {high:.6g} of {coordinate} to compare two scans")
    ours, theirs = (points.values, points.errors), many.at(points.x)
    first, second = (ours, theirs) if few is before else (theirs, ours)
    ratios, variances, chi_squared = _ratio_of_sums(*first, *second)
    estimate = common_factor(ratios, variances, rois, method="overlap")
    evidence = {
        **change.evidence,
        **estimate.evidence(),
        "coordinate": coordinate,
        "from": low,
        "to": high,
        "points": int(points.x.size),
        "points_chi_squared": [float(value) for value in np.nan_to_num(chi_squared)],
    }
    return replace(change, factor=estimate.factor, factor_errors=estimate.factor_errors, evidence=evidence)


def _common_range(before: _Scan, after: _Scan, coordinate: str) -> tuple[float, float]:
    if not before.x.size or not after.x.size:
        raise StitchError(f"a part without a value of {coordinate} cannot be compared")
    low, high = max(before.x[0], after.x[0]), min(before.x[-1], after.x[-1])
    if low > high:
        raise StitchError(
            f"the scans do not overlap in {coordinate}: one runs from {before.x[0]:.6g} to {before.x[-1]:.6g}, the "
            f"next from {after.x[0]:.6g} to {after.x[-1]:.6g}; give the factor"
        )
    return float(low), float(high)


def _ratio_of_sums(
    first: Floats, first_errors: Floats, second: Floats, second_errors: Floats
) -> tuple[Floats, Floats, Floats]:
    """Log ratio of the sums over the points, its variance, and chi-squared of the points' ratios; dims ``(roi)``."""
    known = (first > 0) & (second > 0)
    first, second = np.where(known, first, np.nan), np.where(known, second, np.nan)
    one, two = (np.where(known.any(axis=0), np.nansum(part, axis=0), np.nan) for part in (first, second))
    ratio = np.log(one / two)
    points = np.log(first / second) - ratio
    variance = (first_errors / first) ** 2 + (second_errors / second) ** 2
    n = np.maximum(known.sum(axis=0), 1)
    freedom = np.maximum(n - 1, 1)
    chi_squared = np.nansum(points**2 / np.where(variance > 0, variance, np.nan), axis=0)
    counted = (
        np.nansum(np.where(known, first_errors, 0.0) ** 2, axis=0) / one**2
        + np.nansum(np.where(known, second_errors, 0.0) ** 2, axis=0) / two**2
    )
    scattered = np.nansum(points**2, axis=0) / freedom / n
    unknown = ~np.isfinite(np.where(known, variance, 0.0)).all(axis=0)
    return ratio, np.where(unknown, scattered, counted * np.maximum(chi_squared / freedom, 1.0)), chi_squared
