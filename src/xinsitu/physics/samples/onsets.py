"""When growth begins: the place where a straight line breaks, with its error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels import lines
from xinsitu.physics.attenuation.counts import signal_rois
from xinsitu.physics.attenuation.factors import smooth_noise
from xinsitu.schema import LEFT_OUT, QUANTITIES, check_kind, errors_name, mid_exposure, require
from xinsitu.values import Event

from .events import EventLike, elapsed

Doubles = npt.NDArray[np.float64]

_LEAST = 8
"""Frames on a side without which there is no line."""
_SHARE = (1.0, 0.5, 0.25, 0.125)
"""Parts of what is there on a side that are tried, the longest first, until the line does."""
_PLACES = 150
"""Frames at which a break is tried first."""
_STEPS = 8
"""Gauss-Newton steps from the best frame."""


def find_onsets(
    series: xr.Dataset,
    quantity: str = "intensity",
    *,
    roi: str | Sequence[str] | None = None,
    t0: EventLike | None = None,
    events: Iterable[Event] = (),
    threshold: float = 5.0,
) -> xr.Dataset:
    """Find where each ROI begins to grow, or stops: the break of a broken line.

    Two straight lines that meet are fitted by weighted least squares, their meeting point with them [1]_; the fit is
    narrowed around the break until the lines do, so that growth that saturates later does no harm. Frames that are
    NaN, bad or outliers are left out.

    Parameters
    ----------
    series
        ``quantity (time, roi)``, with its errors where they are known; corrected for attenuation if that changed.
    quantity
        ``intensity``, ``com_y``, ``fwhm_x``, ...
    roi
        Name or names; None: all signals.
    t0
        Event from which the delay counts, by name or as a moment; None: the first frame.
    events
        Looked through before those of the series.
    threshold
        Significance of the break, in standard deviations.

    Returns
    -------
    xr.Dataset
        Dims ``(roi)``: ``onset`` (UTC), ``delay`` in seconds after ``t0`` and its standard error ``delay_errors``,
        ``slope_before`` and ``slope_after`` per second with their errors, ``significance``, and ``frames`` used. NaT
        and NaN where no break is significant.

    References
    ----------
    .. [1] D. V. Hinkley, J. Am. Stat. Assoc. 66, 736 (1971), doi 10.1080/01621459.1971.10482337.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(60) * np.timedelta64(1, "s")
    >>> grown = 100 + 4.0 * np.maximum(np.arange(60) - 25.5, 0)[:, None] + 0.1 * (np.arange(60) % 2)[:, None]
    >>> series = xr.Dataset({"intensity": (("time", "roi"), grown)}, {"time": time, "roi": ["WZ"]})
    >>> onset = find_onsets(series).sel(roi="WZ")
    >>> onset.delay.item().__round__(1), onset.slope_after.item().__round__(2), str(onset.onset.values)[11:21]
    (25.5, 4.0, '00:00:25.5')
    """
    check_kind(series, "Dataset")
    require(series, dims=("time", "roi"), variables=(quantity,))
    rois = signal_rois(series, roi)
    if not series.sizes["time"]:
        raise SchemaError("there is no frame in the series")
    names = [name for name in (quantity, errors_name(quantity), "quality") if name in series.variables]
    read = series[names].sel(roi=list(rois)).transpose("time", "roi").compute()
    seconds = np.asarray(elapsed(series, t0, events=tuple(events)).values, dtype="float64")
    start = mid_exposure(series)[0] - np.timedelta64(round(float(seconds[0]) * 1e9), "ns")
    fits = []
    for name in rois:
        one = read.sel(roi=name)
        values = np.asarray(one[quantity].values, dtype="float64")
        errors = np.asarray(one[errors_name(quantity)].values) if errors_name(quantity) in one else values * np.nan
        there = np.isfinite(values)
        if "quality" in one:
            there &= (one["quality"].values & int(LEFT_OUT)) == 0
        noise = smooth_noise(values[there][:, None], errors[there][:, None])[:, 0] if there.sum() > 2 else values[there]
        fits.append(_narrowed(seconds[there], values[there], noise, threshold))
    return _dataset(fits, rois, start, quantity, str(series[quantity].attrs.get("units", QUANTITIES[quantity].units)))


def onset_events(onsets: xr.Dataset) -> list[Event]:
    """Return the onsets as events, to be marked in figures and in the explorer.

    Examples
    --------
    >>> onset_events(xr.Dataset({"onset": ("roi", [np.datetime64("2014-05-28", "ns")])}, {"roi": ["WZ"]}))[0].name
    'onset WZ'
    """
    require(onsets, dims=("roi",), variables=("roi", "onset"))
    pairs = zip(onsets["roi"].values, onsets["onset"].values, strict=True)
    return [Event(f"onset {roi}", moment) for roi, moment in pairs if not np.isnat(moment)]


@dataclass(frozen=True)
class _Break:
    """A broken line: where it breaks, the slopes before and after, their covariance, significance and frames."""

    at: float
    before: float
    after: float
    errors: tuple[float, float, float]
    significance: float
    frames: int


def _narrowed(t: Doubles, y: Doubles, noise: Doubles, threshold: float) -> _Break | None:
    """Fit the whole and then shorter parts around the break until the lines describe what they go through."""
    low, high = 0, t.size
    found = None
    for share in _SHARE:
        one, misfit = _broken(t[low:high], y[low:high], noise[low:high])
        if one is None:
            break
        found = one
        freedom = max(1, one.frames - 4)
        if misfit < freedom + 3 * np.sqrt(2 * freedom):
            break
        middle = int(np.searchsorted(t, one.at))
        low, high = (
            middle - max(_LEAST, int(middle * share / 2)),
            middle + max(_LEAST, int((t.size - middle) * share / 2)),
        )
        low, high = max(0, low), min(t.size, high)
    return found if found is not None and found.significance > threshold else None


def _broken(t: Doubles, y: Doubles, noise: Doubles) -> tuple[_Break | None, float]:
    """Weighted least squares of a broken line; None with too few frames."""
    if t.size < 2 * _LEAST or not (noise > 0).all():
        return None, np.inf
    places = np.unique(np.linspace(_LEAST // 2, t.size - 1 - _LEAST // 2, _PLACES).astype(int))
    misfits = [_fit(t, y, noise, float(t[place]))[1] for place in places]
    at = float(t[places[int(np.argmin(misfits))]])
    straight = float(lines.straight(t, y, 1 / noise**2).chi_square)
    found, misfit = _fit(t, y, noise, at)
    for _ in range(_STEPS):
        # a + b (t - at) + d (t - at)_+ ; moving the break adds -d for all frames behind it
        move = found[3]
        tried, better = _fit(t, y, noise, float(np.clip(at + move, t[1], t[-2])))
        if better >= misfit - 1e-9:
            break
        at, found, misfit = float(np.clip(at + move, t[1], t[-2])), tried, better
    behind = t > at
    design = np.stack(
        [np.ones_like(t), t - at, np.where(behind, t - at, 0.0), np.where(behind, -found[2], 0.0)], axis=1
    )
    normal = (design / noise[:, None]).T @ (design / noise[:, None])
    covariance = np.linalg.pinv(normal) * max(1.0, misfit / (t.size - 4))
    after = covariance[1, 1] + covariance[2, 2] + 2 * covariance[1, 2]
    place, before, behind_it = (float(np.sqrt(max(one, 0.0))) for one in (covariance[3, 3], covariance[1, 1], after))
    scale = max(1.0, misfit / (t.size - 4))
    significance = float(np.sqrt(max(straight - misfit, 0.0) / scale))
    return _Break(
        at, float(found[1]), float(found[1] + found[2]), (place, before, behind_it), significance, t.size
    ), misfit


def _fit(t: Doubles, y: Doubles, noise: Doubles, at: float) -> tuple[Doubles, float]:
    """Level, slope, change of slope and how far the break would move, for a break at a place; chi-squared there."""
    behind = t > at
    three = np.stack([np.ones_like(t), t - at, np.where(behind, t - at, 0.0)], axis=1) / noise[:, None]
    found = np.linalg.lstsq(three, y / noise, rcond=None)[0]
    misfit = float(((y / noise - three @ found) ** 2).sum())
    four = np.concatenate([three, (np.where(behind, -found[2], 0.0) / noise)[:, None]], axis=1)
    moved = np.linalg.lstsq(four, y / noise, rcond=None)[0]
    return np.r_[found, moved[3]], misfit


def _dataset(
    fits: Sequence[_Break | None], rois: Sequence[str], start: np.datetime64, quantity: str, units: str
) -> xr.Dataset:
    nothing = _Break(np.nan, np.nan, np.nan, (np.nan, np.nan, np.nan), np.nan, 0)
    known = [nothing if one is None else one for one in fits]
    moments = [
        np.datetime64("NaT", "ns") if one is None else start + np.timedelta64(round(one.at * 1e9), "ns") for one in fits
    ]
    per_second = {"units": f"{units} / s"}
    text = QUANTITIES[quantity].long_name
    return xr.Dataset(
        {
            "onset": (
                "roi",
                np.array(moments, dtype="datetime64[ns]"),
                {"long_name": f"where the {text} begins to change"},
            ),
            "delay": ("roi", [one.at for one in known], {"units": "s", "long_name": "onset, from t = 0"}),
            "delay_errors": ("roi", [one.errors[0] for one in known], {"units": "s"}),
            "slope_before": ("roi", [one.before for one in known], per_second),
            "slope_before_errors": ("roi", [one.errors[1] for one in known], per_second),
            "slope_after": ("roi", [one.after for one in known], per_second),
            "slope_after_errors": ("roi", [one.errors[2] for one in known], per_second),
            "significance": ("roi", [one.significance for one in known], {"units": "1"}),
            "frames": ("roi", [one.frames for one in known]),
        },
        {"roi": list(rois)},
    )
