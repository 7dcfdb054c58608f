"""Growth laws fitted to series: linear, parabolic, exponential, logistic, Avrami, with what whole segments share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.epoch import nanoseconds
from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.kernels.least_squares import fit
from xinsitu.schema import check_kind
from xinsitu.variables import check_alike

from .growth import Window, in_window, shared_modes
from .smoothing import seconds

Law = Literal["linear", "parabola", "exponential", "logistic", "avrami"]
Shape = Callable[[Doubles, Doubles], tuple[Doubles, Doubles]]
"""Of the last parameters ``(row, k)`` and times: values ``(row, point)`` and derivatives ``(row, k, point)``."""


@dataclass(frozen=True)
class _Law:
    """``offset + amplitude * shape(time)``, and where its other parameters are looked for, in units of the window."""

    parameters: tuple[str, ...]
    units: tuple[str, ...]
    shape: Shape
    begin: tuple[tuple[float, ...], ...] = ()


def _line(p: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    return np.broadcast_to(t, (len(p), t.size)), np.zeros((len(p), 0, t.size))


def _exponential(p: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    value = np.exp(p[:, :1] * t)
    return value, (t * value)[:, None, :]


def _logistic(p: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    rate, middle = p[:, :1], p[:, 1:2]
    value = 0.5 * (1 + np.tanh(0.5 * rate * (t - middle)))
    slope = value * (1 - value)
    return value, np.stack([slope * (t - middle), -slope * rate], axis=1)


def _avrami(p: Doubles, t: Doubles) -> tuple[Doubles, Doubles]:
    rate, exponent = p[:, :1], p[:, 1:2]
    x = rate * np.maximum(t, 0.0)
    log = np.log(np.where(x > 0, x, 1.0))
    power = np.where(x > 0, np.exp(exponent * log), np.where(x < 0, np.nan, 0.0))
    rest = np.exp(-power)
    return 1 - rest, np.stack([rest * power * exponent / rate, rest * power * log], axis=1)


_RATES = tuple(np.geomspace(0.3, 40, 9))
LAWS: dict[str, _Law] = {
    "linear": _Law(("offset", "rate"), ("", "/s"), _line),
    "parabola": _Law(("offset", "rate", "curvature"), ("", "/s", "/s^2"), _line),
    "exponential": _Law(
        ("offset", "amplitude", "rate"), ("", "", "1/s"), _exponential, ((*_RATES, *(-rate for rate in _RATES)),)
    ),
    "logistic": _Law(
        ("offset", "amplitude", "rate", "middle"),
        ("", "", "1/s", "s"),
        _logistic,
        ((3.0, 6.0, 12.0, 25.0, 60.0), tuple(np.linspace(0, 1, 11))),
    ),
    "avrami": _Law(
        ("offset", "amplitude", "rate", "exponent"),
        ("", "", "1/s", "1"),
        _avrami,
        (_RATES, (0.7, 1.0, 1.5, 2.2, 3.2, 4.5)),
    ),
}


def fit_growth(
    series: xr.DataArray,
    law: Law,
    window: Window = (None, None),
    *,
    errors: xr.DataArray | None = None,
    scale: xr.DataArray | None = None,
) -> xr.Dataset:
    """Fit a growth law to a part of a series, all ROIs at once.

    Time counts from the beginning of the window, where that is given, else from the first frame:

    - ``linear``: ``offset + rate t``
    - ``parabola``: ``offset + rate t + curvature t^2 / 2``
    - ``exponential``: ``offset + amplitude exp(rate t)``; with a negative rate, what saturates
    - ``logistic``: ``offset + amplitude / (1 + exp(-rate (t - middle)))``
    - ``avrami``: ``offset + amplitude (1 - exp(-(rate t)^exponent))``, of what begins at ``t = 0`` [1]_

    Parameters
    ----------
    series
        Dims ``(time, ...)``. NaN are left out.
    law
        Name of the law.
    window
        Start and stop of the part.
    errors
        Standard errors of the series; points weigh with their inverse squares, which puts a curve one count too low
        where they come from each frame's own counts: give those of neighbours together then, ``(errors**2).rolling(
        time=9, center=True, min_periods=1).mean() ** 0.5``. Without errors all weigh the same, and the scatter about
        the curve gives the errors.
    scale
        Relative errors that the frames of a segment share, ``(time)``: ``scale_errors`` of a sample.

    Returns
    -------
    Dataset
        Each parameter of the law with ``<name>_errors``; ``covariance (..., parameter, other)``, ``chi_square``,
        ``n_points``, and ``curve (time, ...)``; with ``scale`` also ``<name>_scale_errors`` and ``scale_covariance``,
        kept apart as more frames do not make them smaller. NaN where the points do not determine the law.

    Raises
    ------
    SchemaError
        There is no time, no frame in the window, or no such law.

    References
    ----------
    .. [1] M. Avrami, J. Chem. Phys. 7, 1103 (1939), doi 10.1063/1.1750380. Errors that frames share move the parameters
       by ``(J^T W J)^-1 J^T W (y m)`` for each mode ``m`` of the scale, as in :func:`~xinsitu.slope`.

    Examples
    --------
    >>> t = np.arange(30.0)
    >>> counts = xr.DataArray(50 + 200 * np.exp(-0.1 * t), dims="time", coords={"time": t})
    >>> found = fit_growth(counts, "exponential")
    >>> [round(float(found[name]), 4) for name in ("offset", "amplitude", "rate")]
    [50.0, 200.0, -0.1]
    """
    check_kind(series, "DataArray")
    if law not in LAWS:
        raise SchemaError(f"there is no growth law {law!r}; there are {', '.join(LAWS)}")
    part = in_window(series, window)
    time = in_window(xr.DataArray(seconds(series), dims="time", coords=_time(series)), window).values
    time = time - _zero(series, window, float(time[0]))
    rows = part.transpose(..., "time")
    values = np.asarray(rows.values, dtype=np.float64).reshape(-1, time.size)
    variance = np.ones_like(values)
    if errors is not None:
        if "time" not in errors.dims or not np.array_equal(errors["time"].values, series["time"].values):
            raise SchemaError("the errors are of other frames than the series")
        check_alike(errors, series, "errors")
        known = in_window(errors, window).broadcast_like(part).transpose(*rows.dims)
        variance = np.asarray(known.values, dtype=np.float64).reshape(values.shape) ** 2
    check_alike(scale, series, "scale", along="time")
    modes = np.zeros((0, time.size)) if scale is None else in_window(shared_modes(scale), window).values
    fits = _fitted(LAWS[law], time, values, variance, modes, errors is None)
    return _described(law, rows, fits if scale is not None else fits._replace(shared=None))


def _time(series: xr.DataArray) -> dict[str, xr.DataArray]:
    return {"time": series["time"]} if "time" in series.coords else {}


def _zero(series: xr.DataArray, window: Window, first: float) -> float:
    """Seconds, on the axis of the series, at which a window begins."""
    if window[0] is None:
        return first
    time = series["time"].values if "time" in series.coords else np.arange(series.sizes["time"])
    if time.dtype.kind == "M":
        return float((nanoseconds(np.datetime64(window[0])) - time[0]) / np.timedelta64(1, "ns")) * 1e-9
    return float(window[0])


class _Fits(NamedTuple):
    """Fits of a law with ``k`` parameters to rows."""

    parameters: Doubles
    """(row, k)"""

    covariance: Doubles
    """(row, k, k)"""

    shared: Doubles | None
    """Covariance from scales that frames share, (row, k, k)."""

    chi_square: Doubles
    n_points: npt.NDArray[np.int64]
    curve: Doubles
    """(row, point)"""


def _fitted(law: _Law, time: Doubles, values: Doubles, variance: Doubles, modes: Doubles, scatter: bool) -> _Fits:
    unit = float(np.ptp(time)) or 1.0
    x = time / unit
    power = np.array([_power(name) for name in law.parameters])
    good = np.isfinite(values) & np.isfinite(variance) & (variance > 0)
    variance = np.where(good, variance, np.inf)

    def model(p: Doubles) -> tuple[Doubles, Doubles]:
        return _curve(law, p, x)

    with np.errstate(all="ignore"):
        start = _start(law, x, np.where(good, values, 0.0), np.where(good, 1 / variance, 0.0))
        found = fit(model, values, variance, start)
        number = good.sum(axis=1)
        k = len(law.parameters)
        sound = found.arrived & (number > k) & np.isfinite(found.parameters).all(axis=1)
        p = np.where(sound[:, None], found.parameters, np.nan)
        curve, slopes = model(p)
        covariance = np.where(sound[:, None, None], found.covariance, np.nan)
        pull = np.einsum("rab,rbn->ran", covariance, slopes) * np.where(good, 1 / variance, 0.0)[:, None, :]
        shift = np.einsum("ran,rn,mn->rma", np.where(good[:, None, :], pull, 0.0), np.where(good, values, 0.0), modes)
        if scatter:
            covariance = covariance * (found.chi_square / np.maximum(number - k, 1))[:, None, None]
    shared = np.where(sound[:, None, None], np.einsum("rma,rmb->rab", shift, shift), np.nan)
    factor = unit**power
    both = factor[:, None] * factor
    return _Fits(p * factor, covariance * both, shared * both, found.chi_square, number, curve)


def _power(name: str) -> int:
    """Power of the unit of time in a parameter."""
    return {"rate": -1, "curvature": -2, "middle": 1}.get(name, 0)


def _curve(law: _Law, p: Doubles, x: Doubles) -> tuple[Doubles, Doubles]:
    """Values ``(row, point)`` of a law and derivatives ``(row, parameter, point)``."""
    ones = np.ones((len(p), x.size))
    if law.shape is _line:
        powers = np.stack([ones, ones * x, ones * x**2 / 2][: p.shape[1]], axis=1)
        return np.einsum("rk,rkn->rn", p, powers), powers
    value, by = law.shape(p[:, 2:], x)
    amplitude = p[:, 1:2]
    return p[:, :1] + amplitude * value, np.concatenate(
        [ones[:, None], value[:, None], amplitude[:, None] * by], axis=1
    )


def _start(law: _Law, x: Doubles, values: Doubles, weight: Doubles) -> Doubles:
    """Parameters to begin with: the best of a grid of shapes, with offset and amplitude of least squares."""
    if not law.begin:
        return np.zeros((len(values), len(law.parameters)))
    best = np.zeros((len(values), len(law.parameters)))
    least = np.full(len(values), np.inf)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    mean = (weight * values).sum(axis=1) / total
    for tried in product(*law.begin):
        shape = law.shape(np.array([tried]), x)[0][0]
        middle = weight @ shape / total
        away = shape - middle[:, None]
        square = (weight * away**2).sum(axis=1)
        amplitude = (weight * away * values).sum(axis=1) / np.where(square > 0, square, np.inf)
        left = (weight * (values - mean[:, None] - amplitude[:, None] * away) ** 2).sum(axis=1)
        better = left < least
        least[better] = left[better]
        best[better] = np.column_stack([mean - amplitude * middle, amplitude, np.tile(tried, (len(values), 1))])[better]
    return best


def _described(law: str, rows: xr.DataArray, fits: _Fits) -> xr.Dataset:
    """Name what was found for rows ``(..., time)``."""
    dims, shape = rows.dims[:-1], rows.shape[:-1]
    names, what = LAWS[law].parameters, rows.attrs.get("long_name", rows.name or "the series")
    units = str(rows.attrs.get("units", "1"))
    result: dict[str, tuple[object, ...]] = {}
    for column, (name, per) in enumerate(zip(names, LAWS[law].units, strict=True)):
        own = per if per[:1] not in ("", "/") else ("1" if units == "1" and per else units) + per
        for suffix, text, matrix in (
            ("errors", "standard error of the ", fits.covariance),
            ("scale_errors", "standard error from shared scales of the ", fits.shared),
        ):
            if matrix is None:
                continue
            error = np.sqrt(matrix[:, column, column]).reshape(shape)
            result[f"{name}_{suffix}"] = dims, error, {"units": own, "long_name": f"{text}{name} of {what}"}
        result[name] = (
            dims,
            fits.parameters[:, column].reshape(shape),
            {"units": own, "long_name": f"{name} of {what}, {law} law"},
        )
    square = (*shape, len(names), len(names))
    result["covariance"] = (*dims, "parameter", "other"), fits.covariance.reshape(square), {}
    if fits.shared is not None:
        result["scale_covariance"] = (*dims, "parameter", "other"), fits.shared.reshape(square), {}
    result["chi_square"] = dims, fits.chi_square.reshape(shape), {}
    result["n_points"] = dims, fits.n_points.reshape(shape), {}
    result["curve"] = (
        (*dims, "time"),
        fits.curve.reshape(rows.shape),
        {"units": units, "long_name": f"{law} law of {what}"},
    )
    labels = {"parameter": list(names), "other": list(names)}
    kept = {key: held.variable for key, held in rows.coords.items()}
    return xr.Dataset(result, {**kept, **labels})
