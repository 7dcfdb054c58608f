"""Oscillations of a series, as of reflections while layers grow: their period on the true time axis, with its error."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.kernels.least_squares import fit
from xinsitu.schema import check_kind
from xinsitu.variables import check_alike

from .growth import Window, in_window
from .smoothing import seconds

UNLIKELY = 0.01
"""False-alarm probability above which there is no period."""
MOSTLY = 0.7
"""Part of what exceeds the noise that an oscillation has to be."""
FINE = 8
"""Frequencies that are tried per 1 / duration."""
MOST_FREQUENCIES = 20000
FEWEST = 8
"""Points without which nothing is looked for."""
ORDER = 2
"""Of the polynomial in time that is fitted together with the oscillation."""


def oscillation_period(
    series: xr.DataArray,
    window: Window = (None, None),
    *,
    errors: xr.DataArray | None = None,
    periods: tuple[float, float] | None = None,
) -> xr.Dataset:
    """Period of an oscillation that may die away on a slow change, from unevenly spaced frames.

    A Lomb-Scargle periodogram [1]_, in which a parabola in time is fitted together with the sinusoid, finds the period;
    a fit with a damping then gives it with its error. Gaps and uneven steps need no care; shapes that are no sinusoids
    have the same period and a larger error.

    Parameters
    ----------
    series
        Dims ``(time, ...)``. NaN are left out.
    window
        Start and stop of the part.
    errors
        Standard errors of the series. They are enlarged where the points scatter more about the fit; without them the
        scatter alone gives the errors.
    periods
        Shortest and longest period in seconds; None: twice the median step, and a third of the duration.

    Returns
    -------
    Dataset
        ``period`` (s) and ``period_errors``, ``amplitude`` in the middle of the window and ``amplitude_errors``,
        ``damping`` (1/s) and ``damping_errors``; ``false_alarm``: probability that noise without memory has such a peak
        [2]_; ``power (..., frequency)``: by which part the sinusoid lowers the sum of squares. All but the last two are
        NaN where ``false_alarm`` is above 1 %, where the oscillation is less than 70 % of what exceeds the noise of
        successive frames, and where it dies away within a period: steps and bends have power at many frequencies, but
        no period.

    Raises
    ------
    SchemaError
        There is no time, no frame in the window, or the periods make no sense.

    References
    ----------
    .. [1] M. Zechmeister and M. Kuerster, Astron. Astrophys. 496, 577 (2009), doi 10.1051/0004-6361:200811296.
    .. [2] R. V. Baluev, Mon. Not. R. Astron. Soc. 385, 1279 (2008), doi 10.1111/j.1365-2966.2008.12689.x.

    Examples
    --------
    >>> t = np.r_[0.0:40.0, 55.0:90.0] + 0.3 * np.sin(np.arange(75.0))
    >>> counts = xr.DataArray(1000 + 2 * t + 50 * np.cos(2 * np.pi * t / 7.3), dims="time", coords={"time": t})
    >>> round(float(oscillation_period(counts).period), 3)
    7.3
    """
    check_kind(series, "DataArray")
    part = in_window(series, window)
    axis = {"time": series["time"]} if "time" in series.coords else {}
    time = in_window(xr.DataArray(seconds(series), dims="time", coords=axis), window).values
    time = time - 0.5 * (time[0] + time[-1])
    dims = [dim for dim in part.dims if dim != "time"]
    rows = part.transpose(*dims, "time")
    values = np.asarray(rows.values, dtype=np.float64).reshape(-1, time.size)
    variance = np.ones_like(values)
    if errors is not None:
        if "time" not in errors.dims or not np.array_equal(errors["time"].values, series["time"].values):
            raise SchemaError("the errors are of other frames than the series")
        check_alike(errors, series, "errors")
        known = in_window(errors, window).broadcast_like(part).transpose(*dims, "time")
        variance = np.asarray(known.values, dtype=np.float64).reshape(values.shape) ** 2
    good = np.isfinite(values) & np.isfinite(variance) & (variance > 0)
    weight = np.where(good, 1 / np.where(good, variance, 1.0), 0.0)
    frequencies = _frequencies(time, periods)
    values = np.where(good, values, 0.0)
    power = np.stack([periodogram(time, y, w, frequencies) for y, w in zip(values, weight, strict=True)])
    alarm = _false_alarm(power.max(axis=1), good.sum(axis=1), time, weight, frequencies[-1])
    found, left = _fitted(time, values, weight, frequencies[power.argmax(axis=1)], errors is not None)
    excess = [_excess(time, y, w) for y, w in zip(values, weight, strict=True)]
    mostly = np.array(
        [total - rest > MOSTLY * (total - noise) for (total, noise), rest in zip(excess, left, strict=True)]
    )
    columns = np.where(((alarm <= UNLIKELY) & mostly)[:, None], found, np.nan)
    return _described(rows, dims, columns, alarm, power, frequencies)


def _frequencies(time: Doubles, periods: tuple[float, float] | None) -> Doubles:
    duration = float(np.ptp(time))
    steps = np.diff(np.sort(time))
    steps = steps[steps > 0]
    if time.size < FEWEST or not steps.size:
        raise SchemaError(f"an oscillation needs {FEWEST} frames at least, at different times")
    shortest, longest = periods or (2 * float(np.median(steps)), duration / 3)
    if not 0 < shortest < longest:
        raise SchemaError(f"periods are from a shortest to a longest one in seconds, not {shortest:g} to {longest:g}")
    number = int(np.ceil(FINE * duration * (1 / shortest - 1 / longest))) + 1
    if number > MOST_FREQUENCIES:
        raise SchemaError(
            f"from {shortest:g} s to {longest:g} s there are {number} periods to try: name a closer range"
        )
    return np.linspace(1 / longest, 1 / shortest, max(number, 2))


def periodogram(time: Doubles, values: Doubles, weight: Doubles, frequencies: Doubles) -> Doubles:
    """Part of the sum of squares about a parabola that a sinusoid of each frequency takes away, both fitted together.

    Points are made orthogonal to the parabola first, sine and cosine then to each other; ``(frequency)``.
    """
    root = np.sqrt(weight)
    x = time / (np.abs(time).max() or 1.0)
    base, _ = np.linalg.qr(root[:, None] * x[:, None] ** np.arange(ORDER + 1))
    y = root * values
    y = y - base @ (base.T @ y)
    total = float(y @ y)
    power = np.zeros(frequencies.size)
    if not total > 0:
        return power
    for first in range(0, frequencies.size, 512):
        phase = 2 * np.pi * frequencies[first : first + 512, None] * time
        pair = root * np.stack([np.cos(phase), np.sin(phase)], axis=1)  # (frequency, 2, time)
        pair = pair - (pair @ base) @ base.T
        normal = np.einsum("fat,fbt->fab", pair, pair)
        right = pair @ y
        scale = np.trace(normal, axis1=1, axis2=2)
        sound = np.linalg.det(normal) > 1e-10 * scale**2
        solved = np.linalg.solve(np.where(sound[:, None, None], normal, np.eye(2)), right[:, :, None])[:, :, 0]
        power[first : first + 512] = np.where(sound, np.einsum("fa,fa->f", right, solved), 0.0) / total
    return np.clip(power, 0.0, 1.0)


def _false_alarm(power: Doubles, number: Doubles, time: Doubles, weight: Doubles, highest: float) -> Doubles:
    """Probability that the highest of all powers comes from noise without memory (Baluev's eq. 5 and 6)."""
    free = np.maximum(number - ORDER - 3, 1.0)  # points, less the parabola and the sinusoid
    total = np.maximum(weight.sum(axis=1), 1e-300)
    middle = (weight @ time) / total
    spread = (weight @ time**2) / total - middle**2
    width = highest * np.sqrt(4 * np.pi * np.maximum(spread, 0))
    with np.errstate(all="ignore"):
        single = np.power(np.clip(1 - power, 0, 1), 0.5 * free)
        many = width * np.power(np.clip(1 - power, 0, 1), 0.5 * (free - 1)) * np.sqrt(0.5 * (free + 2) * power)
    alarm = 1 - (1 - single) * np.exp(-many)
    return np.where(number >= FEWEST, np.clip(alarm, 0, 1), 1.0)


def _excess(time: Doubles, values: Doubles, weight: Doubles) -> tuple[float, float]:
    """Sum of squares about a parabola, and that of it which is noise, from the scatter of successive points."""
    there = weight > 0
    y, w, x = values[there], weight[there], time[there]
    if y.size < FEWEST:
        return np.nan, np.nan
    root = np.sqrt(w)
    base, _ = np.linalg.qr(root[:, None] * (x / (np.abs(x).max() or 1.0))[:, None] ** np.arange(ORDER + 1))
    left = root * y - base @ (base.T @ (root * y))
    bends = (y[1:-1] - 0.5 * (y[:-2] + y[2:])) ** 2 * w[1:-1]
    return float(left @ left), float(bends.mean()) / 1.5 * y.size


def _fitted(
    time: Doubles, values: Doubles, weight: Doubles, frequency: Doubles, known: bool
) -> tuple[Doubles, Doubles]:
    """Fit a damped sinusoid on a parabola: period, amplitude, damping and their errors ``(row, 6)``; what is left."""
    unit = float(np.abs(time).max())
    x = time / unit
    powers = x ** np.arange(ORDER + 1)[:, None]

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        phase, dies = 2 * np.pi * p[:, :1] * x, np.exp(-p[:, 1:2] * x)
        cosine, sine = dies * np.cos(phase), dies * np.sin(phase)
        a, b = p[:, 2:3], p[:, 3:4]
        swing = a * cosine + b * sine
        turned = 2 * np.pi * x * (b * cosine - a * sine)
        slopes = [turned, -x * swing, cosine, sine, *np.broadcast_to(powers[:, None], (len(powers), *cosine.shape))]
        return swing + p[:, 4:] @ powers, np.stack(slopes, axis=1)

    start = np.zeros((len(values), 4 + len(powers)))
    start[:, 0] = frequency * unit
    with np.errstate(all="ignore"):
        for row, (y, w) in enumerate(zip(values, weight, strict=True)):
            phase = 2 * np.pi * start[row, 0] * x
            terms = np.stack([np.cos(phase), np.sin(phase), *powers]) * np.sqrt(w)
            start[row, 2:] = np.linalg.lstsq(terms.T, y * np.sqrt(w), rcond=None)[0]
        found = fit(model, values, np.where(weight > 0, 1 / np.where(weight > 0, weight, 1.0), np.inf), start)
        free = (weight > 0).sum(axis=1) - start.shape[1]
        inflation = found.chi_square / np.maximum(free, 1)
        found = found.scaled(np.maximum(inflation, 1.0) if known else inflation)
        p, covariance = found.parameters, found.covariance
        amplitude = np.hypot(p[:, 2], p[:, 3])
        along = p[:, 2:4] / amplitude[:, None]
        of_amplitude = np.einsum("ra,rab,rb->r", along, covariance[:, 2:4, 2:4], along)
        period = unit / p[:, 0]
        result = [
            period,
            period * np.sqrt(covariance[:, 0, 0]) / np.abs(p[:, 0]),
            amplitude,
            np.sqrt(of_amplitude),
            p[:, 1] / unit,
            np.sqrt(covariance[:, 1, 1]) / unit,
        ]
    stays = np.abs(p[:, 0] - start[:, 0]) < unit / np.ptp(time)  # at the peak that it began from
    sound = found.arrived & (free > 0) & stays & (np.abs(p[:, 1]) < p[:, 0])
    return np.where(sound[:, None], np.stack(result, axis=1), np.nan), found.chi_square


def _described(
    rows: xr.DataArray, dims: list[Any], columns: Doubles, alarm: Doubles, power: Doubles, frequencies: Doubles
) -> xr.Dataset:
    shape, units = rows.shape[:-1], str(rows.attrs.get("units", "1"))
    what = rows.attrs.get("long_name", rows.name or "the series")
    result: dict[str, tuple[Any, ...]] = {}
    for number, (name, own) in enumerate((("period", "s"), ("amplitude", units), ("damping", "1/s"))):
        text = f"{name} of the oscillation of {what}"
        result[name] = dims, columns[:, 2 * number].reshape(shape), {"units": own, "long_name": text}
        errors = columns[:, 2 * number + 1].reshape(shape)
        result[f"{name}_errors"] = dims, errors, {"units": own, "long_name": f"standard error of the {text}"}
    words = {"units": "1", "long_name": "probability that noise has such a peak"}
    result["false_alarm"] = dims, alarm.reshape(shape), words
    words = {"units": "1", "long_name": "part of the sum of squares that a sinusoid takes away"}
    result["power"] = (*dims, "frequency"), power.reshape(*shape, -1), words
    coords: dict[Any, Any] = {key: held.variable for key, held in rows.coords.items() if "time" not in held.dims}
    coords["frequency"] = xr.Variable("frequency", frequencies, {"units": "1/s", "long_name": "frequency"})
    return xr.Dataset(result, coords)
