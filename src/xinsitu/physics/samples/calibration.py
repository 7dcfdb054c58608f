"""From detector pixels to reciprocal space: h, k, l or q along the rows and columns of each ROI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import block_function
from xinsitu.schema import check_kind, errors_name, require
from xinsitu.values import Roi

INVERSE_ANGSTROM = "1/angstrom"
RLU = "r.l.u."


def reciprocal_axis(
    values: xr.DataArray | npt.ArrayLike,
    name: str,
    *,
    axis: str | None = None,
    lattice_constant: float | None = None,
    units: str = RLU,
) -> xr.DataArray:
    """Say what detector pixels mean in reciprocal space, from a vector or a map.

    Parameters
    ----------
    values
        ``(y, x)`` map over the detector, or a vector along one axis; signs and direction are kept as given. A map that
        is stored transposed must be transposed before.
    name
        ``h``, ``k``, ``l``, ``hk``, ``q``.
    axis
        ``y`` or ``x``, for a vector without a dimension name.
    lattice_constant
        In angstrom: reciprocal-lattice units become 1/angstrom, ``q = 2 pi l / a``.
    units
        Of the values; ``1/angstrom`` if they are that already.

    Returns
    -------
    DataArray
        On detector pixels, with name and units.

    Raises
    ------
    SchemaError
        Neither a vector nor a map, or not finite.

    Examples
    --------
    >>> l = reciprocal_axis(np.linspace(1.4, 1.6, 5), "l", axis="x", lattice_constant=2 * np.pi)
    >>> l.attrs["units"], l.values.round(2).tolist()
    ('1/angstrom', [1.4, 1.45, 1.5, 1.55, 1.6])
    """
    array = _on_pixels(values, axis)
    if not np.isfinite(array.values).all():
        raise SchemaError(f"the calibration of {name} has values that are not finite")
    array = array.astype(np.float64)
    if lattice_constant is not None:
        if units != RLU or not lattice_constant > 0:
            raise SchemaError(f"a lattice constant turns {RLU} into {INVERSE_ANGSTROM}; these values are in {units}")
        array, units = array * (2 * np.pi / lattice_constant), INVERSE_ANGSTROM
    array.attrs = {"units": units, "long_name": name}
    return array.rename(name)


def _on_pixels(values: xr.DataArray | npt.ArrayLike, axis: str | None) -> xr.DataArray:
    if isinstance(values, xr.DataArray):
        array = values
    elif hasattr(values, "dims"):
        raise SchemaError("a calibration is one DataArray, not a whole Dataset")
    elif np.ndim(values) == 2:
        array = xr.DataArray(np.asarray(values), dims=("y", "x"))
    elif np.ndim(values) == 1 and axis in ("y", "x"):
        array = xr.DataArray(np.asarray(values), dims=(axis,))
    else:
        raise SchemaError("a calibration is a map (y, x), or a vector with its axis, 'y' or 'x'")
    if not set(array.dims) <= {"y", "x"} or not array.dims:
        raise SchemaError(f"a calibration has the dims y and x, not ({', '.join(map(str, array.dims))})")
    fresh = {dim: np.arange(array.sizes[dim]) for dim in array.dims if dim not in array.coords}
    return array.assign_coords(fresh)


def along_axis(
    pixels: xr.DataArray, axis: str, *, other: tuple[int, int] | None = None
) -> tuple[Doubles, Doubles, Doubles]:
    """Pixel, value and spread of a calibration along an axis: the mean, and half the range, over the other one.

    Raises
    ------
    SchemaError
        The calibration does not run along this axis.
    """
    if axis not in pixels.dims:
        raise SchemaError(f"the calibration of {pixels.name} runs along {', '.join(map(str, pixels.dims))}, not {axis}")
    across = "x" if axis == "y" else "y"
    index = np.asarray(pixels[axis].values, dtype=np.float64)
    if across not in pixels.dims:
        return index, np.asarray(pixels.values), np.zeros(len(index))
    part = pixels if other is None else pixels.sel({across: slice(other[0], other[1] - 1)})
    if not part.sizes[across]:
        raise SchemaError(f"the calibration of {pixels.name} does not cover {across} = {other}")
    spread = 0.5 * (part.max(across) - part.min(across))
    return index, np.asarray(part.mean(across).values), np.asarray(spread.values)


def calibrate(series: xr.Dataset, pixels: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Add positions and widths in reciprocal space to a ROI time series.

    Parameters
    ----------
    series
        As :func:`~xinsitu.measure` gives it.
    pixels
        The calibration of ``y`` and/or ``x``, e.g.
        ``{"x": reciprocal_axis(l_map, "l"), "y": reciprocal_axis(k_map, "k")}``.
        Each ROI uses the mean of a map over its own rows or columns.

    Returns
    -------
    Dataset
        The series, with ``com_<name>`` and ``fwhm_<name>`` beside the pixel values, each with ``*_errors``, and
        ``<name>_spread (roi)``: half the range of the map over the ROI's other axis at its middle, which says how far
        one value for all of its rows or columns can be wrong. Signs are those of the calibration; widths are positive.

    Raises
    ------
    SchemaError
        A calibration does not cover a ROI or its axis; ROIs that move need a vector.

    Examples
    --------
    >>> frame = np.zeros((1, 5, 6), "int32"); frame[0, 2, 3] = 8
    >>> from xinsitu import Roi, measure
    >>> series = measure(xr.DataArray(frame, dims=("time", "y", "x")), [Roi("spot", y=(0, 5), x=(1, 6))])
    >>> l = reciprocal_axis(1.5 - 0.1 * np.arange(6), "l", axis="x")
    >>> found = calibrate(series, {"x": l})
    >>> round(float(found.com_l[0, 0]), 6), round(float(found.fwhm_l[0, 0]), 6)
    (1.2, 0.1)
    """
    require(series, dims=("roi",))
    if not series.sizes["roi"]:
        raise SchemaError("there is no ROI in the series")
    result = series.copy()
    for axis, array in pixels.items():
        if axis not in ("y", "x"):
            raise SchemaError(f"a calibration is of 'y' or 'x', not {axis!r}")
        result = result.assign(_calibrated(series, axis, array))
    return result


def calibrate_profile(profile: xr.DataArray, pixels: xr.DataArray, *, roi: Roi | None = None) -> xr.DataArray:
    """Put profiles on an axis in reciprocal space, for widths, peaks and fits in its units.

    Parameters
    ----------
    profile
        As :func:`~xinsitu.profiles` gives it, along ``y`` or ``x``.
    pixels
        The calibration of that axis; of a map, the mean over the ROI's other axis is taken.
    roi
        Where the profile comes from; needed with a map.

    Returns
    -------
    DataArray
        The profile, its axis named after the calibration.

    Raises
    ------
    SchemaError
        The calibration does not cover the profile, or is a map and no ROI is given.

    Examples
    --------
    >>> profile = xr.DataArray([1.0, 4.0, 1.0], dims="x", coords={"x": [10, 11, 12]})
    >>> calibrate_profile(profile, reciprocal_axis(0.1 * np.arange(20), "l", axis="x")).l.values.round(2).tolist()
    [1.0, 1.1, 1.2]
    """
    check_kind(profile, "DataArray")
    axes = [dim for dim in ("y", "x") if dim in profile.dims]
    if len(axes) != 1:
        raise SchemaError("a profile runs along either y or x")
    axis = axes[0]
    across = "x" if axis == "y" else "y"
    if not {axis} <= set(pixels.dims) <= {axis, across}:
        raise SchemaError(f"a calibration of {axis} is wanted, not the dims ({', '.join(map(str, pixels.dims))})")
    if across in pixels.dims and roi is None:
        raise SchemaError(f"the calibration of {pixels.name} is a map: say of which ROI the profile is")
    other = None if roi is None or across not in pixels.dims else getattr(roi, across)
    index, values, _ = along_axis(pixels, axis, other=other)
    place = np.asarray(profile[axis].values, dtype=np.float64)
    if not (index[0] <= place.min() and place.max() <= index[-1]):
        raise SchemaError(f"the calibration of {pixels.name} covers {axis} = {index[0]:g} to {index[-1]:g} only")
    name = str(pixels.name)
    attrs = {"units": pixels.attrs.get("units", RLU), "long_name": name}
    renamed = profile.rename({axis: name})
    return renamed.assign_coords({name: (name, np.interp(place, index, values), attrs)})


def _calibrated(series: xr.Dataset, axis: str, pixels: xr.DataArray) -> dict[str, xr.DataArray]:
    """Variables along one axis, ROI by ROI."""
    name, units = str(pixels.name), str(pixels.attrs.get("units", RLU))
    across = "x" if axis == "y" else "y"
    centres, widths, centre_errors, width_errors, spreads = [], [], [], [], []
    for roi in series["roi"].values:
        own = series.sel(roi=roi)
        other = None
        if across in pixels.dims:
            if "time" in own[f"roi_{across}0"].dims:
                raise SchemaError(f"ROI {roi} moves: its calibration must be a vector along {axis}, not a map")
            other = (int(own[f"roi_{across}0"]), int(own[f"roi_{across}1"]))
        index, values, spread = along_axis(pixels, axis, other=other)
        place, width = own[f"com_{axis}"], own[f"fwhm_{axis}"]
        low, high = float(own[f"roi_{axis}0"].min()), float(own[f"roi_{axis}1"].max()) - 1
        if not index[0] <= low <= high <= index[-1]:
            raise SchemaError(
                f"the calibration of {name} covers {axis} = {index[0]:g} to {index[-1]:g}, not all of ROI {roi}"
            )
        steepness = _read(place, index, np.abs(np.gradient(values, index)))
        centres.append(_read(place, index, values))
        centre_errors.append(steepness * own[errors_name(f"com_{axis}")])
        ends = (_read(place + half * width, index, values) for half in (0.5, -0.5))
        widths.append(abs(next(ends) - next(ends)))
        width_errors.append(steepness * own[errors_name(f"fwhm_{axis}")])
        middle = 0.5 * (own[f"roi_{axis}0"] + own[f"roi_{axis}1"] - 1)
        spreads.append(_read(middle, index, spread))
    texts = {"com": f"centre of mass along {name}", "fwhm": f"full width at half maximum along {name}"}
    found: dict[str, xr.DataArray] = {}
    for base, values_, errors_ in (("com", centres, centre_errors), ("fwhm", widths, width_errors)):
        key = f"{base}_{name}"
        found[key] = _joined(values_, series, units, texts[base])
        found[errors_name(key)] = _joined(errors_, series, units, f"standard error of the {texts[base]}")
    found[f"{name}_spread"] = _joined(spreads, series, units, f"half the range of {name} across the ROI")
    return found


def _read(place: xr.DataArray, index: Doubles, values: Doubles) -> xr.DataArray:
    """Values between pixels; beyond the ends the slope there goes on."""

    @block_function
    def read(at: npt.NDArray[Any]) -> Doubles:
        inside = np.interp(at, index, values)
        if len(index) < 2:
            return np.asarray(inside)
        first, last = (
            (values[1] - values[0]) / (index[1] - index[0]),
            (values[-1] - values[-2]) / (index[-1] - index[-2]),
        )
        inside = inside + np.where(at < index[0], (at - index[0]) * first, 0.0)
        return np.asarray(inside + np.where(at > index[-1], (at - index[-1]) * last, 0.0))

    result: xr.DataArray = xr.apply_ufunc(read, place, dask="parallelized", output_dtypes=[np.float64])
    return result


def _joined(parts: list[xr.DataArray], series: xr.Dataset, units: str, long_name: str) -> xr.DataArray:
    """One array with a roi dimension and nothing but what the series has."""
    plain = [part.reset_coords(drop=True) for part in parts]
    bare = [part.drop_vars(list(part.coords)) for part in plain]
    joined = xr.concat(bare, dim="roi", join="exact", coords="minimal", compat="override")
    joined = joined.transpose(*(dim for dim in ("time", "roi") if dim in joined.dims))
    return joined.assign_attrs(units=units, long_name=long_name)
