"""When growth begins: the place where a straight line breaks, with its error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.physics.attenuation.counts import signal_rois
from xinsitu.physics.attenuation.factors import smooth_noise
from xinsitu.schema import LEFT_OUT, QUANTITIES, check_kind, errors_name, mid_exposure, require
from xinsitu.values import Event

from .correlated_noise import KINDS, WHITE, CorrelatedNoise
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
_ROUNDS = 2
"""Times that noise is estimated from what a fit leaves, and the fit made with it."""
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
    small by up to 2.5 times then, that of the slope behind it by up to 7. In a beam that wanders, whose noise goes on
    from frame to frame, straight lines are fitted through correlated noise; both errors are too small by up to three
    times. A smooth curve has no onset. Frames that are NaN, bad or outliers are left out.

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
        frames = _Frames(seconds[there], values[there], noise)
        fits.append(_narrowed(frames, threshold))
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
    """A curve with a break: chi-squared, by what its variances grow, and how far the place goes."""

    at: float
    found: Doubles
    derivatives: Doubles
    shape: _Shape
    misfit: float
    scale: float
    reach: float
    """Half of how far the places go that are as good within two standard errors; none if only the best one is."""


@dataclass(frozen=True)
class _Frames:
    """What is fitted, and its noise; powers are of a time from -1 to 1, in which they are of one size."""

    t: Doubles
    y: Doubles
    noise: Doubles
    memory: CorrelatedNoise = WHITE

    def part(self, low: int, high: int) -> _Frames:
        """Return some of the frames."""
        return replace(self, t=self.t[low:high], y=self.y[low:high], noise=self.noise[low:high])

    @property
    def unit(self) -> tuple[float, float]:
        """Middle and half of the time."""
        return float(self.t[0] + self.t[-1]) / 2, float(self.t[-1] - self.t[0]) / 2

    @property
    def x(self) -> Doubles:
        """Time from -1 to 1."""
        middle, unit = self.unit
        return (self.t - middle) / unit

    def white(self, columns: Doubles) -> Doubles:
        """Return columns ``(frame, column)`` in units of the noise and without its memory."""
        return self.memory.without(columns / self.noise[:, None])

    def design(self, at: float, shape: _Shape) -> Doubles:
        """Return the columns of a curve that breaks at a place."""
        x = self.x
        behind = np.maximum(x - at, 0.0)
        columns = [x**power for power in range(shape[0] + 1)] + [behind**power for power in range(1, shape[1] + 1)]
        return np.stack(columns, axis=1)

    def solved(self, design: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Return the parameters of least squares, what is left, and the columns as they were fitted."""
        both = self.white(np.column_stack([design, self.y]))
        found = np.asarray(np.linalg.lstsq(both[:, :-1], both[:, -1], rcond=None)[0], dtype="float64")
        return found, both[:, -1] - both[:, :-1] @ found, both[:, :-1]

    def fitted(self, at: float, shape: _Shape) -> tuple[Doubles, Doubles, Doubles]:
        """Return the parameters for a break at a place, what is left, and the derivatives, that by the place last."""
        found, left, columns = self.solved(self.design(at, shape))
        behind = np.maximum(self.x - at, 0.0)
        moved = -sum(
            power * found[shape[0] + power] * (behind ** (power - 1) if power > 1 else behind > 0)
            for power in range(1, shape[1] + 1)
        )
        return np.r_[found, at], left, np.column_stack([columns, self.white(moved[:, None])])

    def best(self, shape: _Shape) -> _Fit:
        """Fit one shape by weighted least squares, from the best of many frames on."""
        x, size = self.x, self.t.size
        places = x[np.unique(np.linspace(_LEAST // 2, size - 1 - _LEAST // 2, _PLACES).astype(int))]
        squares = np.array([(self.solved(self.design(float(place), shape))[1] ** 2).sum() for place in places])
        at = float(places[squares.argmin()])
        found, left, derivatives = self.fitted(at, shape)
        for _ in range(_STEPS):
            move = np.linalg.lstsq(derivatives, left, rcond=None)[0][-1]
            tried = float(np.clip(at + move, x[1], x[-2]))
            other = self.fitted(tried, shape)
            if (other[1] ** 2).sum() >= (left**2).sum() - 1e-9:
                break
            at, (found, left, derivatives) = tried, other
        misfit = float((left**2).sum())
        scale = max(1.0, misfit / max(1, size - found.size))
        reach = float(np.abs(places - at)[squares < misfit + 4 * scale].max(initial=0.0)) / 2
        return _Fit(at, found, derivatives, shape, misfit, scale, reach)

    def broken(self) -> _Fit | None:
        """Fit straight lines that meet, or as much of a curve on either side as is asked for; None with too few."""
        size = self.t.size
        if size < 2 * _LEAST or not (self.noise > 0).all():
            return None
        lines = self.best(_SHAPES[0])
        if self.describe(lines):
            return lines
        fits = [lines, *(self.best(shape) for shape in _SHAPES[1:] if size > 4 * sum(shape))]
        scale = min(fit.scale for fit in fits)
        return min(fits, key=lambda fit: fit.misfit / scale + 3 * fit.found.size * np.log(size))

    def describe(self, fit: _Fit) -> bool:
        """Whether the frames lie about a fit as their noise lets them."""
        freedom = self.t.size - fit.found.size
        return bool(fit.misfit < freedom + 3 * np.sqrt(2 * freedom))

    def smooth(self, degree: int) -> float:
        """Chi-squared of a smooth curve without a break."""
        return float((self.solved(np.vander(self.x, degree + 1))[1] ** 2).sum())

    def scattered(self, fit: _Fit) -> _Frames:
        """Return the same with the noise that a fit leaves unexplained.

        In proportion to the curve, as a beam that flickers moves all counts by the same part of them, or alike in all
        frames, as where a background was taken away: which of the two is likelier.
        """
        from scipy.optimize import brentq  # slow to load

        curve = self.design(fit.at, fit.shape) @ fit.found[:-1]
        squares, freedom = (self.y - curve) ** 2, max(1, curve.size - fit.found.size)
        if (squares / self.noise**2).sum() <= freedom:
            return self

        def with_more(size: Doubles) -> Doubles:
            most = 4 * (squares / size**2).max() * size**2
            part = brentq(lambda part: (squares / (self.noise**2 + part * most)).sum() - freedom, 0.0, 1.0)
            return np.asarray(np.sqrt(self.noise**2 + part * most), dtype="float64")

        level = np.abs(curve)
        sizes = (np.ones_like(curve), np.maximum(level, 1e-3 * level.max())) if level.max() > 0 else (level + 1,)
        return replace(self, noise=min(map(with_more, sizes), key=lambda noise: float(np.log(noise).sum())))

    def remembering(self, fit: _Fit) -> _Frames:
        """Return the same with the memory of the noise about a fit, if that is clear."""
        design, seen = self.design(fit.at, fit.shape) / self.noise[:, None], self.y / self.noise
        of = {one: one.likelihood(design, seen) for one in KINDS}
        likely = max(of, key=lambda one: of[one])
        return replace(self, memory=likely if of[likely] > of[WHITE] + _CLEARLY / 2 else WHITE)

    def judged(self, one: _Fit, threshold: float) -> _Break | None:
        """Give a break with its errors, if neither a straight line nor a smooth curve does as well."""
        straight, smooth = (self.smooth(degree) for degree in (1, sum(one.shape) + 1))
        significance = float(np.sqrt(max(straight - one.misfit, 0.0) / one.scale))
        if significance <= threshold or smooth - one.misfit < _CLEARLY * one.scale:
            return None
        middle, unit = self.unit
        covariance = np.linalg.pinv(one.derivatives.T @ one.derivatives) * one.scale
        powers = one.shape[0]
        slope = np.zeros(one.found.size)
        slope[1 : powers + 1] = [power * one.at ** (power - 1) for power in range(1, powers + 1)]
        behind = slope + np.eye(slope.size)[powers + 1]
        at = np.eye(slope.size)[-1]
        errors = [float(np.sqrt(max(way @ covariance @ way, 0.0))) for way in (at, slope, behind)]
        before, after = (float(way @ np.r_[one.found[:-1], 0.0]) / unit for way in (slope, behind))
        place, error = one.at * unit + middle, max(errors[0], one.reach) * unit
        return _Break(place, before, after, (error, errors[1] / unit, errors[2] / unit), significance, self.t.size)


def _narrowed(whole: _Frames, threshold: float) -> _Break | None:
    """Fit the whole, or a shorter part around the break if that is described within its noise and the whole is not.

    The break of a part must be one in the noise of the whole, too, which a part may be too short to show. Where no part
    is described, straight lines are fitted in that noise.
    """
    fit = whole.broken()
    if fit is None:
        return None
    if whole.describe(fit) and not whole.remembering(fit).memory.decay:
        return whole.judged(fit, threshold)
    wandering = whole
    for _ in range(_ROUNDS):
        wandering = replace(wandering.scattered(fit), memory=WHITE).remembering(fit)
    part, low = whole, 0
    for _ in range(_PARTS - 1):
        middle = int(np.searchsorted(part.x, fit.at))
        first, last = middle - max(_LEAST, middle // 2), middle + max(_LEAST, (part.t.size - middle) // 2)
        first, last = max(0, first), min(part.t.size, last)
        part, low = part.part(first, last), low + first
        fit = part.broken()
        if fit is None:
            break
        if part.describe(fit) and not part.remembering(fit).memory.decay:
            doubted = wandering.part(low, low + part.t.size)
            clear = doubted.judged(doubted.best(fit.shape), threshold)
            return part.judged(fit, threshold) if clear else None
    return wandering.judged(wandering.best(_SHAPES[0]), threshold)


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
