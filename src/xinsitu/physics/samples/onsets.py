"""When growth begins: the place where a straight line breaks, with its error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.physics.attenuation.counts import signal_rois
from xinsitu.physics.attenuation.factors import smooth_noise
from xinsitu.schema import LEFT_OUT, QUANTITIES, check_kind, errors_name, mid_exposure, require
from xinsitu.values import Event

from .events import EventLike, elapsed

Doubles = npt.NDArray[np.float64]

_Shape = tuple[int, int]
"""Degree of the curve before the break, and of what is added to it behind."""

_LEAST = 8
"""Frames on a side without which there is no line."""
_SHAPES: tuple[_Shape, ...] = ((1, 1), (1, 2), (2, 1), (1, 3), (2, 2))
"""What is tried: straight lines, and growth that saturates, accelerates, or was bent before."""
_PARTS = 3
"""Parts that are tried, each half as long as the one before."""
_CLEARLY = 6.0
"""Chi-squared by which a break must be better than a smooth curve of as many parameters."""
_PLACES = 100
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

    Two straight lines that meet are fitted by weighted least squares, their meeting point with them [1]_, or curves
    where the frames ask for them: growth may saturate or accelerate behind its onset. The error of the onset is too
    small by up to 2.5 times then, that of the slope behind it by up to 7, and both by more in a beam that wanders.
    A smooth curve has no onset. Frames that are NaN, bad or outliers are left out.

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
        ``slope_before`` and ``slope_after`` per second, both at the onset, with their errors, ``significance``, and
        ``frames`` used. NaT and NaN where no break is significant, or a smooth curve does as well.

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
    """Where a curve breaks, the slopes before and after it, their errors, the significance of the break, and frames."""

    at: float
    before: float
    after: float
    errors: tuple[float, float, float]
    significance: float
    frames: int


@dataclass(frozen=True)
class _Fit:
    """A curve with a break, in the frames of a window: chi-squared and by what its variances grow."""

    at: float
    found: Doubles
    derivatives: Doubles
    shape: _Shape
    misfit: float
    scale: float

    def described(self, frames: int) -> bool:
        """Whether the frames lie about it as their noise lets them."""
        freedom = frames - self.found.size
        return bool(self.misfit < freedom + 3 * np.sqrt(2 * freedom))


def _narrowed(t: Doubles, y: Doubles, noise: Doubles, threshold: float) -> _Break | None:
    """Fit the whole, or a shorter part around the break if that is described within its noise and the whole is not."""
    parts = []
    low, high = 0, t.size
    for _ in range(_PARTS):
        part = slice(low, high)
        one = _broken(t[part], y[part], noise[part])
        if one is None:
            break
        parts.append((one, part))
        if one.described(part.stop - part.start):
            parts = parts[-1:]
            break
        middle = int(np.searchsorted(t, one.at))
        low, high = middle - max(_LEAST, (middle - low) // 2), middle + max(_LEAST, (high - middle) // 2)
        low, high = max(0, low), min(t.size, high)
    if not parts:
        return None
    one, part = parts[0]
    return _judged(one, t[part], y[part], noise[part], threshold)


def _judged(one: _Fit, t: Doubles, y: Doubles, noise: Doubles, threshold: float) -> _Break | None:
    """Give the break with its errors, if neither a straight line nor a smooth curve does as well."""
    straight, smooth = (_polynomial(t, y, noise, degree) for degree in (1, sum(one.shape) + 1))
    significance = float(np.sqrt(max(straight - one.misfit, 0.0) / one.scale))
    if significance <= threshold or smooth - one.misfit < _CLEARLY * one.scale:
        return None
    middle, unit = _unit(t)
    covariance = np.linalg.pinv(one.derivatives.T @ one.derivatives) * one.scale
    powers, place = one.shape[0], (one.at - middle) / unit
    slope = np.zeros(one.found.size)
    slope[1 : powers + 1] = [power * place ** (power - 1) for power in range(1, powers + 1)]
    behind = slope + np.eye(slope.size)[powers + 1]
    at = np.eye(slope.size)[-1]
    errors = [float(np.sqrt(max(way @ covariance @ way, 0.0))) for way in (at, slope, behind)]
    before, after = (float(way @ np.r_[one.found[:-1], 0.0]) / unit for way in (slope, behind))
    return _Break(
        one.at, before, after, (errors[0] * unit, errors[1] / unit, errors[2] / unit), significance, int(t.size)
    )


def _broken(t: Doubles, y: Doubles, noise: Doubles) -> _Fit | None:
    """Fit straight lines that meet, or as much of a curve on either side as the frames ask for; None with too few."""
    if t.size < 2 * _LEAST or not (noise > 0).all():
        return None
    lines = _best(t, y, noise, _SHAPES[0])
    if lines.described(t.size):
        return lines
    fits = [lines, *(_best(t, y, noise, shape) for shape in _SHAPES[1:] if t.size > 4 * sum(shape))]
    scale = min(fit.scale for fit in fits)
    return min(fits, key=lambda fit: fit.misfit / scale + 3 * fit.found.size * np.log(t.size))


def _best(t: Doubles, y: Doubles, noise: Doubles, shape: _Shape) -> _Fit:
    """Fit one shape by weighted least squares, from the best of many frames on."""
    middle, unit = _unit(t)
    x, seen = (t - middle) / unit, y / noise
    places = np.unique(np.linspace(_LEAST // 2, t.size - 1 - _LEAST // 2, _PLACES).astype(int))
    at = min(x[places], key=lambda place: _fitted(x, seen, noise, float(place), shape)[1])
    found, misfit, derivatives = _fitted(x, seen, noise, float(at), shape)
    for _ in range(_STEPS):
        move = np.linalg.lstsq(derivatives, seen, rcond=None)[0][-1]
        tried = float(np.clip(at + move, x[1], x[-2]))
        other = _fitted(x, seen, noise, tried, shape)
        if other[1] >= misfit - 1e-9:
            break
        at, (found, misfit, derivatives) = tried, other
    left = seen - derivatives[:, :-1] @ found[:-1]
    scale = max(1.0, misfit / max(1, t.size - found.size)) * _memory(left)
    return _Fit(float(at) * unit + middle, found, derivatives, shape, misfit, scale)


def _fitted(x: Doubles, seen: Doubles, noise: Doubles, at: float, shape: _Shape) -> tuple[Doubles, float, Doubles]:
    """Return the parameters for a break at a place, chi-squared, and its derivatives, that by the place last."""
    behind = np.maximum(x - at, 0.0)
    columns = [x**power for power in range(shape[0] + 1)] + [behind**power for power in range(1, shape[1] + 1)]
    design = np.stack(columns, axis=1) / noise[:, None]
    found = np.linalg.lstsq(design, seen, rcond=None)[0]
    misfit = float(((seen - design @ found) ** 2).sum())
    moved = -sum(
        power * found[shape[0] + power] * (behind ** (power - 1) if power > 1 else behind > 0)
        for power in range(1, shape[1] + 1)
    )
    return np.r_[found, at], misfit, np.column_stack([design, moved / noise])


def _unit(t: Doubles) -> tuple[float, float]:
    """Middle and half of the time, in which powers are of one size."""
    return float(t[0] + t[-1]) / 2, float(t[-1] - t[0]) / 2


def _polynomial(t: Doubles, y: Doubles, noise: Doubles, degree: int) -> float:
    """Chi-squared of a smooth curve without a break."""
    middle, unit = _unit(t)
    design = np.vander((t - middle) / unit, degree + 1) / noise[:, None]
    left = y / noise - design @ np.linalg.lstsq(design, y / noise, rcond=None)[0]
    return float((left**2).sum())


def _memory(left: Doubles) -> float:
    """By what a variance grows as residuals go on from frame to frame: their autocorrelation, summed while it is clear.

    Examples
    --------
    >>> _memory(np.array([1.0, -1.0] * 20))
    1.0
    """
    total = float((left**2).sum())
    if not total > 0:
        return 1.0
    clear, grows = 2 / np.sqrt(left.size), 1.0
    for lag in range(1, left.size // 4):
        correlation = float((left[lag:] * left[:-lag]).sum()) / total
        if correlation < clear:
            break
        grows += 2 * correlation
    return grows


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
