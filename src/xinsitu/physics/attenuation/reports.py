"""The numbers behind a change of attenuation: what the log says, the frames used, the lines, the factors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.clock import utc_text
from xinsitu.digits import with_error
from xinsitu.physics.moments import elapsed_seconds
from xinsitu.schema import COUNTS, check_kind, require
from xinsitu.values import AttenuationChange, Key

from .broken_lines import PAUSE
from .counts import gap_between, noise_beside, per_second, read_intensity, signal_rois
from .factors import Floats
from .given_changes import placed_changes
from .levels import sides

RECORDS = ("transmission", "transmission_percent", "attenuation", "attenuator", "filter", "filters", "absorber")
"""Names, or beginnings of names, of the columns that record the attenuator."""
LAG = 5
"""Frames by which a record may be early or late and still belong to a change."""


@dataclass(frozen=True)
class RejectedChange:
    """A place where the intensities may seem to step, and why it is no change of attenuation.

    Parameters
    ----------
    before, after
        Last frame before and first frame after, UTC.
    before_key, after_key
        The exact frames.
    factor, factor_errors
        What the step would be; None where no ROI tells.
    significance
        In standard deviations of what the run does elsewhere.
    reason
        In words.
    doubtful
        Positions of frames that belong to neither level and are flagged ``near_change``.

    Examples
    --------
    >>> ends = np.datetime64("2014-05-28T08:00:00", "ns"), np.datetime64("2014-05-28T08:00:01", "ns")
    >>> print(RejectedChange(*ends, None, None, 1.02, 0.01, 2.0, "smaller than 3 %"))
    no change from 2014-05-28T08:00:00Z to 2014-05-28T08:00:01Z, factor 1.020 ± 0.010: smaller than 3 %
    """

    before: np.datetime64
    after: np.datetime64
    before_key: Key | None
    after_key: Key | None
    factor: float | None
    factor_errors: float | None
    significance: float
    reason: str
    doubtful: tuple[int, ...] = ()

    def __str__(self) -> str:
        ends = " to ".join(
            _place(key, time) for key, time in ((self.before_key, self.before), (self.after_key, self.after))
        )
        factor = "" if self.factor is None else f", factor {with_error(self.factor, self.factor_errors)}"
        flagged = f"; {len(self.doubtful)} frame{'s' * (len(self.doubtful) != 1)} flagged" if self.doubtful else ""
        return f"no change from {ends}{factor}: {self.reason}{flagged}"


def _place(key: Key | None, time: np.datetime64) -> str:
    if key is None or key.frame is None:
        return utc_text(time)
    return f"{key.measurement or ''} frame {key.frame}".strip()


def records(sample: xr.Dataset) -> list[str]:
    """Names of the columns on time that record the attenuator.

    Examples
    --------
    >>> records(xr.Dataset(coords={"time": [0, 1], "transmission": ("time", [1.0, 0.1])}))
    ['transmission']
    """
    own = ("attenuation_factor", "attenuation_factor_errors")
    return [
        str(name)
        for name, variable in sample.variables.items()
        if variable.dims == ("time",) and str(name).lower().startswith(RECORDS) and name not in own
    ]


def record_evidence(sample: xr.Dataset, before: int, after: int, *, factor: float) -> dict[str, Any]:
    """Return what the record says of a change between two frames.

    Returns
    -------
    dict
        Empty where there is no record; otherwise ``record`` (its name), ``record_lag_frames`` (positive: the record is
        late; None: it does not change near) and, for a transmission, ``nominal_factor``; ``record_text`` says it in
        words.

    Examples
    --------
    >>> sample = xr.Dataset(coords={"time": range(6), "transmission": ("time", [1.0, 1.0, 1.0, 1.0, 0.1, 0.1])})
    >>> record_evidence(sample, 1, 2, factor=9.8)["record_text"]
    'transmission changes 2 frames late; it says a factor of 10, the data say 9.8'
    """
    names = records(sample)
    if not names:
        return {}
    name = names[0]
    values = np.asarray(sample[name].values)
    moves = np.flatnonzero(values[1:] != values[:-1]) + 1
    near = moves[(moves >= before + 1 - LAG) & (moves <= after + LAG)]
    if not near.size:
        return {"record": name, "record_lag_frames": None, "record_text": f"{name} does not change near it"}
    lag = _lag(near, before, after)
    evidence: dict[str, Any] = {"record": name, "record_lag_frames": lag}
    said = (
        "with the frames" if lag == 0 else f"{abs(lag)} frame{'s' * (abs(lag) != 1)} {'late' if lag > 0 else 'early'}"
    )
    text = f"{name} changes {said}"
    nominal = _nominal(name, values, int(near[0]) - 1, int(near[-1]))
    if nominal is not None:
        evidence["nominal_factor"] = nominal
        text += f"; it says a factor of {nominal:.4g}, the data say {factor:.4g}"
    return {**evidence, "record_text": text}


def pause_evidence(sample: xr.Dataset, before: int, after: int, missing: float) -> dict[str, Any]:
    """Return that a change lies in a pause, and so may be growth, where no record says that the attenuator moved.

    Parameters
    ----------
    sample
        With its times.
    before, after
        Positions of the frames on its two sides.
    missing
        Frames that would have fitted in between.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.array([0, 1, 61]) * np.timedelta64(1, "s")
    >>> pause_evidence(xr.Dataset(coords={"time": time}), 1, 2, 59.0)["pause_text"]
    'no frames for 60 s: growth that began and came to rest meanwhile looks the same'
    """
    record = record_evidence(sample, before, after, factor=1.0)
    if missing <= PAUSE or record.get("record_lag_frames") is not None:
        return {}
    seconds = elapsed_seconds(sample)
    text = "growth that began and came to rest meanwhile looks the same"
    return {"pause_text": f"no frames for {seconds[after] - seconds[before]:.4g} s: {text}"}


def recorded_moves(sample: xr.Dataset) -> list[tuple[str, int, float]]:
    """Return each change of a recorded transmission: name, first frame with the new value, nominal factor.

    Examples
    --------
    >>> recorded_moves(xr.Dataset(coords={"time": range(3), "transmission": ("time", [1.0, 1.0, 0.1])}))
    [('transmission', 2, 10.0)]
    """
    moves = []
    for name in records(sample):
        values = np.asarray(sample[name].values)
        for position in np.flatnonzero(values[1:] != values[:-1]) + 1:
            nominal = _nominal(name, values, int(position) - 1, int(position))
            if nominal is not None:
                moves.append((name, int(position), nominal))
    return moves


def _lag(moves: npt.NDArray[np.int64], before: int, after: int) -> int:
    """Frames by which the last move lies behind the first frame after the change; 0 where it is in the transition."""
    last = int(moves[np.abs(moves - after).argmin()])
    return 0 if before < last <= after else last - after if last > after else last - before - 1


def _nominal(name: str, values: npt.NDArray[np.generic], before: int, after: int) -> float | None:
    if not name.lower().startswith("transmission") or values.dtype.kind not in "iuf":
        return None
    ends = np.asarray(values[[before, after]], dtype="float64")
    return float(ends[0] / ends[1]) if np.isfinite(ends).all() and (ends > 0).all() else None


def exposure_changes(sample: xr.Dataset) -> npt.NDArray[np.int64]:
    """Positions of the first frames with another exposure time, where intensities are counts.

    Examples
    --------
    >>> sample = xr.Dataset({"intensity": ("time", [9.0, 9.0, 1.0])}, {"exposure_time": ("time", [1.0, 1.0, 0.1])})
    >>> exposure_changes(sample)
    array([2])
    """
    if "exposure_time" not in sample.variables or sample["exposure_time"].dims != ("time",):
        return np.array([], dtype="int64")
    if sample["intensity"].attrs.get("units", COUNTS) != COUNTS:
        return np.array([], dtype="int64")
    seconds = np.asarray(sample["exposure_time"].values, dtype="float64")
    return np.flatnonzero(np.abs(seconds[1:] - seconds[:-1]) > 1e-6 * np.abs(seconds[:-1])) + 1


def exposure_evidence(sample: xr.Dataset, before: int, after: int) -> dict[str, Any]:
    """Return the exposure times on both sides of a change, where they differ."""
    moves = exposure_changes(sample)
    if not ((moves > before) & (moves <= after)).any():
        return {}
    seconds = np.asarray(sample["exposure_time"].values, dtype="float64")
    return {"exposure_before": float(seconds[before]), "exposure_after": float(seconds[after])}


def box_evidence(sample: xr.Dataset, before: int, after: int) -> dict[str, Any]:
    """Return the ROIs whose boxes differ on the two sides of a change: they may step with their boxes."""
    corners = [name for name in ("roi_y0", "roi_y1", "roi_x0", "roi_x1") if name in sample.coords]
    moved = [
        (sample[name].isel(time=before) != sample[name].isel(time=after)).values
        for name in corners
        if set(sample[name].dims) == {"time", "roi"}
    ]
    if not moved or not np.any(moved):
        return {}
    return {"other_boxes": [str(name) for name in sample["roi"].values[np.any(moved, axis=0)]]}


# -- for the eye -------------------------------------------------------------------------------------------------------


AROUND = 20
"""Frames shown on each side beyond those that were used."""


@dataclass(frozen=True)
class ChangeReport:
    """What a picture of a change shows; positions are on the time axis of the sample.

    Parameters
    ----------
    change
        The change, as it was found, given or applied.
    rois
        Names of the ROIs.
    shown
        Positions around the change, dims ``(frame)``, with their measured ``intensity`` and ``errors``
        ``(frame, roi)``.
    before, after
        Positions of the frames used on each side.
    line_before, line_after
        Values of the lines at these positions, dims ``(frame, roi)``; the mean where a side has fewer than 3 frames, or
        where the factor is one of sums; NaN where scans overlap: no line decided.
    factors
        Factor and standard error of each ROI from these lines.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(8) * np.timedelta64(1, "s")
    >>> counts = np.where(np.arange(8) < 4, 800.0, 100.0)[:, None]
    >>> sample = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ"]})
    >>> (report,) = change_reports(sample, [AttenuationChange(time[3], time[4], factor=8.0)])
    >>> report.before.tolist(), report.after.tolist()
    ([0, 1, 2, 3], [4, 5, 6, 7])
    """

    change: AttenuationChange
    rois: tuple[str, ...]
    shown: npt.NDArray[np.int64]
    intensity: Floats
    errors: Floats
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    line_before: Floats
    line_after: Floats
    factors: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        factor, error = self.change.factor, self.change.factor_errors
        common = "from the end points" if factor is None else with_error(factor, error)
        each = ", ".join(f"{roi} {with_error(*known)}" for roi, known in self.factors.items())
        return f"{self.change.cause}: factor {common} ({each})"


def change_reports(sample: xr.Dataset, changes: Iterable[AttenuationChange], *, window: int = 10) -> list[ChangeReport]:
    """Collect what a picture of each change shows.

    Parameters
    ----------
    sample
        Dims ``(time, roi)``, corrected or not: the measured intensities are shown.
    changes
        What was found, given or applied.
    window
        Frames on each side, where the change's evidence does not say.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(8) * np.timedelta64(1, "s")
    >>> counts = np.repeat([1000.0, 100.0], 4)[:, None]
    >>> sample = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ"]})
    >>> report, = change_reports(sample, [AttenuationChange(time[3], time[4])], window=3)
    >>> report.before, report.after, report.line_after.ravel()
    (array([1, 2, 3]), array([4, 5, 6]), array([100., 100., 100.]))
    """
    check_kind(sample, "Dataset")
    require(sample, dims=("time", "roi"), variables=("intensity",))
    names = {"intensity_measured": "intensity", "intensity_measured_errors": "intensity_errors"}
    kept = {old: new for old, new in names.items() if old in sample}
    measured = sample.drop_vars(list(kept.values()), errors="ignore").rename(kept) if kept else sample
    rois = signal_rois(sample)
    values, errors, _ = read_intensity(per_second(measured), rois)
    seconds = elapsed_seconds(sample)
    reports = []
    for one in placed_changes(sample, changes):
        method = one.change.evidence.get("method")
        used = 1 if method == "overlap" else max(1, int(one.change.evidence.get("window", window)))
        first, last = max(0, one.before + 1 - used - AROUND), min(seconds.size, one.after + used + AROUND)
        near = slice(first, last)
        noise = np.full_like(values, np.nan)
        for part in (slice(first, one.before + 1), slice(one.after, last)):
            noise[part] = noise_beside(values[part], errors[part])
        gap, line = gap_between(seconds, one.before, one.after), method != "sums"
        left, right = sides(values, noise, one.before, one.after, used, gap=gap, line=line)
        lines = [
            side.level + (np.nan if method == "overlap" else side.slope) * side.distance[:, None]
            for side in (left, right)
        ]
        ratio = np.where(
            (left.level > 0) & (right.level > 0), left.level / np.where(right.level > 0, right.level, 1), np.nan
        )
        spread = ratio * np.sqrt(left.variance / left.level**2 + right.variance / right.level**2)
        reports.append(
            ChangeReport(
                one.change,
                rois,
                np.arange(first, last),
                values[near],
                noise[near],
                left.positions,
                right.positions,
                lines[0],
                lines[1],
                {roi: (float(f), float(e)) for roi, f, e in zip(rois, ratio, spread, strict=True)},
            )
        )
    return reports
