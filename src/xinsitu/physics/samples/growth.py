"""Growth, read off series: rates in a window, a common reference, smoothing splines with errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.epoch import nanoseconds
from xinsitu.errors import SchemaError, TimeError
from xinsitu.kernels import Doubles, lines
from xinsitu.physics.blocks import block_function
from xinsitu.schema import SCALED, check_data, check_kind
from xinsitu.variables import check_alike

from .bad_frames import mask_flagged
from .smoothing import seconds

_COLUMNS = ("slope", "slope_errors", "level", "level_errors", "chi_square", "n_points")
Window = tuple[Any, Any]
"""Start and stop, both inside; datetime64 or ISO text where the series has times, otherwise numbers; None is open."""


def slope(
    series: xr.DataArray,
    window: Window = (None, None),
    *,
    errors: xr.DataArray | None = None,
    scale: xr.DataArray | None = None,
) -> xr.Dataset:
    """Straight line through a part of a series: the growth rate between two shutter events.

    Parameters
    ----------
    series
        Dims ``(time, ...)``.
    window
        Start and stop of the part.
    errors
        Standard errors of the series; points weigh with their inverse squares, and where they scatter more about the
        line than these say, its errors grow with them (Birge). A point without an error is left out. Without them, or
        where one is zero (a frame without counts), all weigh the same, and the scatter gives the errors.
    scale
        Relative errors that the frames of a segment share, ``(time)``: ``scale_errors`` of a sample.

    Returns
    -------
    Dataset
        ``slope`` per second and ``slope_errors``, ``level`` (value of the line in the middle of the points, weighted)
        and ``level_errors``, ``chi_square``, ``n_points``; with ``scale`` also ``slope_scale_errors`` and
        ``level_scale_errors``, kept apart as more frames do not make them smaller. NaN where there are less than two
        points, or three without errors.

    Raises
    ------
    SchemaError
        There is no time, or no frame in the window.

    Notes
    -----
    ``slope = sum w (t - T) y / sum w (t - T)^2``, ``T`` the weighted mean of the times; its variance is
    ``1 / sum w (t - T)^2``. What is shared adds ``sum_j s_j^2 (sum_{i behind j} a_i y_i)^2``, where ``slope = sum a_i
    y_i`` and ``s_j^2`` is by how much the square of ``scale`` grows at change ``j``: the errors of several changes add
    up, going away from the reference segment. Weights from Poisson counts themselves, ``errors = sqrt(counts)``, put
    the level one count too low, and the slope of few counts with it; those of neighbours together do not
    (:func:`~xinsitu.fit_growth`).

    Examples
    --------
    >>> found = slope(xr.DataArray([1.0, 3.0, 5.0, 20.0], dims="time", coords={"time": [0.0, 1.0, 2.0, 3.0]}), (0, 2))
    >>> float(found.slope), float(found.level)
    (2.0, 3.0)
    """
    check_kind(series, "DataArray")
    check_alike(errors, series, "errors", along="time")
    check_alike(scale, series, "scale", along="time")
    part = in_window(series, window)
    axis = {"time": series["time"]} if "time" in series.coords else {}
    time = in_window(xr.DataArray(seconds(series), dims="time", coords=axis), window)
    given = [part, time, *([] if errors is None else [in_window(errors, window)])]
    columns = xr.apply_ufunc(
        _line,
        *(one.chunk({"time": -1}) if one.chunks else one for one in given),
        input_core_dims=[["time"]] * len(given),
        output_core_dims=[[]] * 6 + [["time"]] * 2,
        dask="parallelized",
        output_dtypes=[np.float64] * 5 + [np.int64] + [np.float64] * 2,
    )
    *fitted, pull, share = columns
    found = dict(zip(_COLUMNS, fitted, strict=True))
    shared = {} if scale is None else _shared_errors(part, in_window(shared_modes(scale), window), pull, share)
    units = str(series.attrs.get("units", "1"))
    per_second = "1/s" if units == "1" else f"{units}/s"
    result = xr.Dataset(found | shared)
    what = series.attrs.get("long_name", series.name or "the series")
    texts = {"slope": (per_second, f"rate of {what}"), "level": (units, f"{what} in the middle of the window")}
    for name, (own, text) in texts.items():
        result[name].attrs = {"units": own, "long_name": text}
        result[f"{name}_errors"].attrs = {"units": own, "long_name": f"standard error of the {text}"}
        if shared:
            attrs = {"units": own, "long_name": f"standard error of the {text} from shared scales"}
            result[f"{name}_scale_errors"].attrs = attrs
    return result


@block_function
def _line(values: Doubles, time: Doubles, errors: Doubles | None = None) -> tuple[npt.NDArray[Any], ...]:
    """Columns of a line, with the standard errors that its points leave it; then what each point adds to it."""
    weight, known = lines.weights(values, errors)
    line = lines.straight(time, values, weight)
    slope_errors, level_errors = np.sqrt(lines.inflation(line, known) * (line.slope_variance, line.level_variance))
    return line.slope, slope_errors, line.level, level_errors, line.chi_square, line.number, line.pull, line.share


def _shared_errors(
    part: xr.DataArray, modes: xr.DataArray, pull: xr.DataArray, share: xr.DataArray
) -> dict[str, xr.DataArray]:
    """Errors of a line from relative errors that whole segments share."""
    moved = part.fillna(0.0) * modes
    return {
        f"{name}_scale_errors": ((moved * own).sum("time") ** 2).sum("mode") ** 0.5
        for name, own in (("slope", pull), ("level", share))
    }


def shared_modes(scale: xr.DataArray) -> xr.DataArray:
    """Independent parts of relative errors that segments share, dims ``(mode, time)``.

    The covariance of the relative errors is ``modes.T @ modes``. What all frames have is one mode; each change adds one
    to all frames behind it, going away from the reference segment. The two sides of a reference in the middle, which
    the coordinate ``segment`` tells, are independent of each other.
    """
    square = scale.fillna(0.0).values.astype(np.float64) ** 2
    segment = np.zeros(square.shape, dtype=int)
    if "segment" in scale.coords:
        segment = np.asarray(np.broadcast_to(scale["segment"].values, square.shape))
    known = np.flatnonzero(scale.notnull().values & (segment >= 0))
    base = float(square[known].min()) if known.size else 0.0
    stays = int(segment[known[square[known].argmin()]]) if known.size else 0
    modes = [np.full(square.shape, np.sqrt(base))] if base > 0 else []
    one_side = segment >= 0 if len(np.unique(segment[known])) < 2 else segment > stays
    for side in (one_side, (segment < stays) & (segment >= 0)):
        below = base
        for level in np.unique(square[side & (square > base)]):
            modes.append(np.where(side & (square >= level), np.sqrt(level - below), 0.0))
            below = float(level)
    stacked = np.array(modes).reshape(-1, square.size)
    coords = {"time": scale["time"]} if "time" in scale.coords else {}
    return xr.DataArray(stacked, coords, ("mode", "time"))


def normalise(series: xr.Dataset | xr.DataArray, window: Window) -> xr.Dataset | xr.DataArray:
    """Divide a series by its mean in a reference window, e.g. before the shutter opened.

    Parameters
    ----------
    series
        A DataArray ``(time, ...)``, or a ROI time series, of which the intensities and their errors are divided.
    window
        Start and stop of the reference; outliers and bad frames of a ROI time series are left out of it.

    Returns
    -------
    Dataset or DataArray
        With units 1. The reference's own error is shared by all frames of a ROI: it is not added to the errors, but
        kept in ``reference_errors (roi)``, relative, where the series is a Dataset with errors.

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
    check_data(series, measured=True)
    if isinstance(series, xr.DataArray):
        reference = in_window(series, window).mean("time")
        result = series / reference.where(reference != 0)
        text = f"{series.attrs.get('long_name', series.name or 'series')}, over its mean in the reference window"
        result.attrs = {"units": "1", "long_name": text}
        return result.rename(series.name)
    if "intensity" not in series:
        raise SchemaError("the Dataset has no intensity to normalise")
    good = mask_flagged(series)
    reference = in_window(good["intensity"], window).mean("time")
    reference = reference.where(reference != 0)
    result_set = series.copy()
    for name in SCALED:
        for key in (name, f"{name}_errors"):
            if key in series:
                attrs = dict(series[key].attrs) | {"units": "1"}
                result_set[key] = (series[key] / reference).transpose(*series[key].dims).assign_attrs(attrs)
    if "intensity_errors" in series:
        errors = in_window(good["intensity_errors"], window)
        own = (errors**2).sum("time") ** 0.5 / errors.notnull().sum("time") / abs(reference)
        text = "relative standard error of the intensity in the reference window"
        result_set["reference_errors"] = own.assign_attrs(units="1", long_name=text)
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
    check_kind(series, "DataArray")
    if "time" not in series.dims:
        raise SchemaError(f"the series has dims ({', '.join(map(str, series.dims))}) and lacks 'time'")
    if not series.sizes["time"]:
        return series.astype(np.float64)
    time = seconds(series)
    check_alike(errors, series, "errors")
    if strength is not None and not 0 <= strength < np.inf:
        raise SchemaError(f"the strength of a spline is a number from 0 on, not {strength}")
    errors = xr.ones_like(series, dtype=np.float64) if errors is None else errors.broadcast_like(series)
    result: xr.DataArray = xr.apply_ufunc(
        _spline,
        *(one.chunk({"time": -1}) if one.chunks else one for one in (series, errors)),
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


@block_function
def _spline(values: Doubles, errors: Doubles, *, time: Doubles, strength: float | None) -> Doubles:
    """Spline of one series; the mean where there are too few points."""
    import scipy.interpolate

    weights, _ = lines.weights(values, errors)
    good = weights > 0
    places, which = np.unique(time[good], return_inverse=True)
    result = np.full(len(values), np.nan)
    if places.size < 5:
        return result
    weight = np.bincount(which, weights[good])
    mean = np.bincount(which, weights[good] * values[good]) / weight
    spline = scipy.interpolate.make_smoothing_spline(places, mean, weight / weight.mean(), lam=strength)
    result[good] = spline(time[good])
    return result


def in_window(series: xr.DataArray, window: Window) -> xr.DataArray:
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
        try:
            at = nanoseconds(np.datetime64(bound)) if axis.dtype.kind == "M" else bound
            inside &= (axis >= at) if lower else (axis <= at)
        except TimeError:
            raise
        except (TypeError, ValueError):
            what = "moments, such as np.datetime64(...)" if axis.dtype.kind == "M" else "numbers"
            raise SchemaError(f"the ends of a window are {what}, or None, not {bound!r}".replace("\n", " ")) from None
    if not inside.any():
        raise SchemaError(f"there is no frame from {window[0]} to {window[1]}")
    return series.isel(time=np.flatnonzero(inside))
