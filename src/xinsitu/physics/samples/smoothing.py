"""Smoothing and time derivatives of series and frames, on the true time axis: steps need not be even."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles, lines
from xinsitu.physics.blocks import block_function, in_blocks
from xinsitu.schema import check_kind


def smooth(data: xr.DataArray, window: int, *, order: int = 2) -> xr.DataArray:
    """Smooth along time with a local polynomial; lazy where the data are.

    Parameters
    ----------
    data
        Anything with a dimension ``time``: a series, or frames.
    window
        Odd number of neighbouring frames. The first and last frames have the polynomial of the first and last window; a
        rolling mean (order 0) takes those that there are.
    order
        Of the polynomial: 0 is the rolling mean, 2 or 3 the Savitzky-Golay filter (Anal. Chem. 36, 1627 (1964)), here
        fitted to the true times of the frames.

    Returns
    -------
    DataArray
        The same dims and units. NaN stay NaN and do not spoil their neighbours.

    Raises
    ------
    SchemaError
        There is no time, or the window is even or too small for the order.

    Examples
    --------
    >>> smooth(xr.DataArray([0.0, 3.0, 6.0, 3.0], dims="time"), 3, order=0).values.tolist()
    [1.5, 3.0, 4.0, 4.5]
    """
    check_kind(data, "DataArray")
    result = _local_polynomial(data, window, order, 0)
    result.attrs = dict(data.attrs)
    return result


def derivative(data: xr.DataArray, window: int = 5, *, order: int = 2) -> xr.DataArray:
    """Time derivative, per second, from a local polynomial; lazy where the data are.

    Parameters
    ----------
    data
        Anything with a dimension ``time``: a series, or frames. Without a coordinate ``time``, the step is 1 s.
    window
        Odd number of neighbouring frames; the first and last frames have the polynomial of the first and last window.
    order
        Of the polynomial, from 1 on.

    Returns
    -------
    DataArray
        The same dims; units per second.

    Raises
    ------
    SchemaError
        There is no time, or the window is even or too small for the order.

    Examples
    --------
    >>> derivative(xr.DataArray([1.0, 4.0, 9.0, 16.0, 25.0], dims="time"), 5).values.round(6).tolist()
    [2.0, 4.0, 6.0, 8.0, 10.0]
    """
    check_kind(data, "DataArray")
    if order < 1:
        raise SchemaError("a derivative needs a polynomial of order 1 at least")
    result = _local_polynomial(data, window, order, 1)
    units = str(data.attrs.get("units", "1"))
    result.attrs = {"units": "1/s" if units == "1" else f"{units}/s"}
    result.attrs["long_name"] = f"time derivative of {data.attrs.get('long_name', data.name or 'the data')}"
    return result


def seconds(data: xr.DataArray) -> Doubles:
    """Return seconds since the first frame; the index where there is no coordinate ``time``."""
    if "time" not in data.coords:
        return np.arange(data.sizes["time"], dtype=np.float64)
    time = data["time"].values
    if time.dtype.kind == "M":
        return np.asarray((time - time[:1]).astype("timedelta64[ns]").astype(np.float64) * 1e-9)
    return np.asarray(time, dtype=np.float64)


def _local_polynomial(data: xr.DataArray, window: int, order: int, derivative: int) -> xr.DataArray:
    """Fit a polynomial to the frames around each one, and take its value or slope there."""
    if "time" not in data.dims:
        raise SchemaError(f"{data.name!r} has dims ({', '.join(map(str, data.dims))}) and lacks 'time'")
    if window % 2 == 0 or window <= order:
        raise SchemaError(f"the window must be an odd number of frames above the order {order}, not {window}")
    if not data.sizes["time"]:
        return data.astype(np.float64)
    if {"y", "x"} <= set(data.dims):
        data = in_blocks(data)
    time = seconds(data)
    if not np.all(np.diff(time) >= 0):
        raise SchemaError("the times decrease: sort the data along time first")
    around = data.astype(np.float64).rolling(time=window, center=True).construct("window")
    if order:  # the first and last frames go by the polynomial of the first and last whole window
        around = around.isel(time=lines.centres(time.size, window, order)).assign_coords(data.coords)
    offset = xr.DataArray(lines.windows(time, window, order) - time[:, None], dims=("time", "window"))
    # frames are left in float64 while they are worked on: the sums lose digits in float32
    lazy = data.chunks is not None
    result: xr.DataArray = xr.apply_ufunc(
        _fit_windows,
        around.chunk({"window": -1}) if lazy else around,
        offset.chunk({"time": data.variable.chunksizes["time"]}) if lazy else offset,
        input_core_dims=[["window"], ["window"]],
        kwargs={"order": order, "derivative": derivative},
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    result = result.transpose(*data.dims)
    return result.where(data.notnull().reset_coords(drop=True)).rename(data.name)  # equal ones need no look


@block_function
def _fit_windows(values: npt.NDArray[Any], offset: npt.NDArray[Any], *, order: int, derivative: int) -> Doubles:
    return lines.local_polynomial(values, offset, order, derivative=derivative)[0]
