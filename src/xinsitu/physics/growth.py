"""Growth, read off series: rates in a window, a common reference, smoothing splines with errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.schema import SCALED

from .smoothing import seconds

Window = tuple[Any, Any]
"""Start and stop, both inside; datetime64 or ISO text where the series has times, otherwise numbers; None is open."""


def slope(series: xr.DataArray, window: Window = (None, None), *, errors: xr.DataArray | None = None) -> xr.Dataset:
    """Straight line through a part of a series: the growth rate between two shutter events.

    Parameters
    ----------
    series
        Dims ``(time, ...)``.
    window
        Start and stop of the part.
    errors
        Standard errors of the series; points weigh with their inverse squares. Without them all weigh the same, and the
        scatter about the line gives the errors.

    Returns
    -------
    Dataset
        ``slope`` per second and ``slope_errors``, ``level`` (value of the line in the middle of the points, weighted)
        and ``level_errors``, ``chi_square``, ``n_points``. NaN where there are less than two points, or three without
        errors.

    Raises
    ------
    SchemaError
        There is no time, or no frame in the window.

    Notes
    -----
    ``slope = sum w (t - T) y / sum w (t - T)^2``, ``T`` the weighted mean of the times; its variance is
    ``1 / sum w (t - T)^2``. A common scale (``scale_errors``) is not in it: it does not average out.

    Examples
    --------
    >>> found = slope(xr.DataArray([1.0, 3.0, 5.0, 20.0], dims="time", coords={"time": [0.0, 1.0, 2.0, 3.0]}), (0, 2))
    >>> float(found.slope), float(found.level)
    (2.0, 3.0)
    """
    part = _part(series, window)
    time = xr.DataArray(
        seconds(series), dims="time", coords={"time": series["time"]} if "time" in series.coords else {}
    )
    time = _part(time, window)
    weight = xr.ones_like(part) if errors is None else 1 / _part(errors, window) ** 2
    weight = weight.where(part.notnull() & np.isfinite(weight) & (weight > 0), 0.0)
    values = part.fillna(0.0)
    total = weight.sum("time")
    total = total.where(total > 0)
    middle = (weight * time).sum("time") / total
    away = time - middle
    spread = (weight * away**2).sum("time")
    spread = spread.where(spread > 0)
    level = (weight * values).sum("time") / total
    rate = (weight * away * values).sum("time") / spread
    chi_square = (weight * (values - level - rate * away) ** 2).sum("time")
    number = (weight > 0).sum("time")
    free = (number - 2).where(number > 2)
    scale = chi_square / free if errors is None else xr.ones_like(total)
    units = str(series.attrs.get("units", "1"))
    per_second = "1/s" if units == "1" else f"{units}/s"
    result = xr.Dataset(
        {
            "slope": rate,
            "slope_errors": (scale / spread) ** 0.5,
            "level": level,
            "level_errors": (scale / total) ** 0.5,
            "chi_square": chi_square,
            "n_points": number,
        }
    )
    what = series.attrs.get("long_name", series.name or "the series")
    texts = {"slope": (per_second, f"rate of {what}"), "level": (units, f"{what} in the middle of the window")}
    for name, (own, text) in texts.items():
        result[name].attrs = {"units": own, "long_name": text}
        result[f"{name}_errors"].attrs = {"units": own, "long_name": f"standard error of the {text}"}
    return result


def normalise(series: xr.Dataset | xr.DataArray, window: Window) -> xr.Dataset | xr.DataArray:
    """Divide a series by its mean in a reference window, e.g. before the shutter opened.

    Parameters
    ----------
    series
        A DataArray ``(time, ...)``, or a ROI time series, of which the intensities and their errors are divided.
    window
        Start and stop of the reference.

    Returns
    -------
    Dataset or DataArray
        With units 1; the reference's own error is a common scale and is not added to the errors.

    Raises
    ------
    SchemaError
        There is no time, or no frame in the window.

    Examples
    --------
    >>> series = xr.DataArray([2.0, 4.0, 6.0], dims="time", coords={"time": [0, 1, 2]})
    >>> normalise(series, (0, 1)).values.round(3).tolist()
    [0.667, 1.333, 2.0]
    """
    if isinstance(series, xr.DataArray):
        reference = _part(series, window).mean("time")
        result = series / reference.where(reference != 0)
        text = f"{series.attrs.get('long_name', series.name or 'series')}, over its mean in the reference window"
        result.attrs = {"units": "1", "long_name": text}
        return result.rename(series.name)
    if "intensity" not in series:
        raise SchemaError("the Dataset has no intensity to normalise")
    reference = _part(series["intensity"], window).mean("time")
    reference = reference.where(reference != 0)
    result_set = series.copy()
    for name in SCALED:
        for key in (name, f"{name}_errors"):
            if key in series:
                attrs = dict(series[key].attrs) | {"units": "1"}
                result_set[key] = (series[key] / reference).transpose(*series[key].dims).assign_attrs(attrs)
    return result_set


def smoothing_spline(
    series: xr.DataArray, *, errors: xr.DataArray | None = None, strength: float | None = None
) -> xr.DataArray:
    """Smoothing spline through a series on its true times.

    Parameters
    ----------
    series
        Dims ``(time, ...)``; NaN are left out and stay NaN. Frames of one time are averaged before.
    errors
        Standard errors; points weigh with their inverse squares.
    strength
        Weight of the curvature (seconds cubed); None: chosen by generalised cross-validation.

    Returns
    -------
    DataArray
        The same dims and units.

    Raises
    ------
    SchemaError
        There is no time.

    Notes
    -----
    Minimises ``sum w (y - f)^2 + strength * integral f''^2`` (``scipy.interpolate.make_smoothing_spline``; Woltring,
    Adv. Eng. Softw. 8, 104 (1986)).

    Examples
    --------
    >>> line = xr.DataArray(np.arange(8.0), dims="time")
    >>> bool(np.allclose(smoothing_spline(line), line))
    True
    """
    if "time" not in series.dims:
        raise SchemaError(f"the series has dims ({', '.join(map(str, series.dims))}) and lacks 'time'")
    time = seconds(series)
    weights = xr.ones_like(series, dtype=np.float64) if errors is None else 1 / errors.broadcast_like(series) ** 2
    result: xr.DataArray = xr.apply_ufunc(
        _spline,
        series,
        weights,
        input_core_dims=[["time"], ["time"]],
        output_core_dims=[["time"]],
        kwargs={"time": time, "strength": strength},
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    result = result.transpose(*series.dims)
    result.attrs = dict(series.attrs)
    return result.rename(series.name)


def _spline(values: Doubles, weights: Doubles, *, time: Doubles, strength: float | None) -> Doubles:
    """Spline of one series; the mean where there are too few points."""
    import scipy.interpolate

    good = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    places, which = np.unique(time[good], return_inverse=True)
    result = np.full(len(values), np.nan)
    if places.size < 5:
        return result
    weight = np.bincount(which, weights[good])
    mean = np.bincount(which, weights[good] * values[good]) / weight
    spline = scipy.interpolate.make_smoothing_spline(places, mean, weight / weight.mean(), lam=strength)
    result[good] = spline(time[good])
    return result


def _part(series: xr.DataArray, window: Window) -> xr.DataArray:
    """Frames of a window, both ends inside."""
    if "time" not in series.dims:
        raise SchemaError(f"the series has dims ({', '.join(map(str, series.dims))}) and lacks 'time'")
    if "time" not in series.coords:
        axis: npt.NDArray[Any] = np.arange(series.sizes["time"])
    else:
        axis = np.asarray(series["time"].values)
    inside = np.ones(len(axis), dtype=bool)
    for bound, lower in zip(window, (True, False), strict=True):
        if bound is None:
            continue
        at = np.datetime64(bound, "ns") if axis.dtype.kind == "M" else bound
        inside &= (axis >= at) if lower else (axis <= at)
    if not inside.any():
        raise SchemaError(f"there is no frame from {window[0]} to {window[1]}")
    return series.isel(time=np.flatnonzero(inside))
