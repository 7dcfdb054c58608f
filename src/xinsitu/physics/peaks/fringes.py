"""Peaks in profiles, and the sizes that fringes and widths tell of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles, lines
from xinsitu.physics.blocks import block_function
from xinsitu.physics.reduction.profile_bins import seen, unbroken
from xinsitu.schema import PIXEL, check_kind, require
from xinsitu.variables import check_alike

PEAK_NAMES = ("position", "height", "width", "prominence")


def find_peaks(
    profile: xr.DataArray,
    dim: str,
    *,
    max_peaks: int = 10,
    height: float | None = None,
    prominence: float | None = None,
    distance: float | None = None,
) -> xr.Dataset:
    """Peaks of every profile: where they are, how high and how wide; lazy where the profiles are.

    Parameters
    ----------
    profile
        Any dims, with ``dim`` among them, e.g. ``(time, x)``; unknown bins at its ends do not belong to it.
    dim
        Along which the peaks are; its coordinate gives their positions and widths.
    max_peaks
        Length of the dimension ``peak``; of more peaks the most prominent ones are kept.
    height, prominence, distance
        As in ``scipy.signal.find_peaks``; ``distance`` in bins.

    Returns
    -------
    Dataset
        ``position``, ``height``, ``width`` (at half prominence) and ``prominence``, dims ``(..., peak)`` in order of
        position, NaN behind the last one; positions lie between bins (parabola through the three highest).

    Raises
    ------
    SchemaError
        There is no such dimension.

    Examples
    --------
    >>> peaks = find_peaks(xr.DataArray([0.0, 2.0, 0.0, 0.0, 6.0, 0.0], dims="x"), "x", max_peaks=2)
    >>> peaks.position.values.tolist(), peaks.height.values.tolist()
    ([1.0, 4.0], [2.0, 6.0])
    """
    check_kind(profile, "DataArray")
    if dim not in profile.dims:
        raise SchemaError(f"the profile has dims ({', '.join(map(str, profile.dims))}) and lacks {dim!r}")
    if distance is not None and not distance >= 1:
        raise SchemaError(f"peaks are at least 1 bin apart, not {distance}")
    coordinate = (
        profile[dim].values.astype(np.float64) if dim in profile.coords else np.arange(float(profile.sizes[dim]))
    )
    options = {"height": height, "prominence": prominence if prominence is not None else 0.0, "distance": distance}
    whole = profile.chunk({dim: -1}) if profile.chunks is not None else profile
    found: xr.DataArray = xr.apply_ufunc(
        _peaks_of_all,
        whole,
        input_core_dims=[[dim]],
        output_core_dims=[["peak", "quantity"]],
        kwargs={"coordinate": coordinate, "max_peaks": max_peaks, "options": options},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"peak": max_peaks, "quantity": len(PEAK_NAMES)}},
    )
    along = str(profile[dim].attrs.get("units", PIXEL)) if dim in profile.coords else PIXEL
    units = {"position": along, "width": along}
    own = str(profile.attrs.get("units", "1"))
    result = xr.Dataset({name: found.isel(quantity=number) for number, name in enumerate(PEAK_NAMES)})
    for name in PEAK_NAMES:
        result[name].attrs = {"units": units.get(name, own), "long_name": f"{name} of the peak"}
    return result


@block_function
def _peaks_of_all(values: npt.NDArray[Any], *, coordinate: Doubles, max_peaks: int, options: dict[str, Any]) -> Doubles:
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    found = np.full((len(rows), max_peaks, len(PEAK_NAMES)), np.nan)
    for which, bins in seen(rows):
        for number, row in zip(which, unbroken(rows[which, bins]), strict=True):
            found[number] = _peaks_of(row, coordinate[bins], max_peaks, options)
    return found.reshape(*values.shape[:-1], max_peaks, len(PEAK_NAMES))


def _peaks_of(row: Doubles, coordinate: Doubles, max_peaks: int, options: dict[str, Any]) -> Doubles:
    """Peaks of one profile, ``(peak, quantity)``."""
    import scipy.signal

    result = np.full((max_peaks, len(PEAK_NAMES)), np.nan)
    places, facts = scipy.signal.find_peaks(row, **options)
    if not len(places):
        return result
    kept = np.sort(np.argsort(facts["prominences"], kind="stable")[::-1][:max_peaks])
    places = places[kept]
    _, _, left, right = scipy.signal.peak_widths(row, places, 0.5)
    bins = np.arange(len(row), dtype=np.float64)
    position = np.interp(_vertex(row, places), bins, coordinate)
    width = np.abs(np.interp(right, bins, coordinate) - np.interp(left, bins, coordinate))
    order = np.argsort(position)
    found = np.stack([position, row[places], width, facts["prominences"][kept]], axis=1)[order]
    result[: len(found)] = found
    return result


def _vertex(row: Doubles, places: npt.NDArray[np.intp]) -> Doubles:
    """Top of the parabola through a bin and its neighbours, in bins."""
    low, top, high = row[places - 1], row[places], row[np.minimum(places + 1, len(row) - 1)]
    bend = low - 2 * top + high
    shift = np.divide(0.5 * (low - high), bend, out=np.zeros(len(places)), where=bend < 0)
    return np.asarray(places + np.clip(shift, -0.5, 0.5))


# -- sizes ------------------------------------------------------------------------------------------------------------


def fringe_size(peaks: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Size of what makes fringes, from their spacing: ``2 pi / dq``; lazy where the positions are.

    Parameters
    ----------
    peaks
        What :func:`find_peaks` gives, or its ``position``: dims ``(..., peak)``, in 1/angstrom. Fringes that were not
        found are stepped over; the main peak, twice as wide as a fringe, does not belong to them.

    Returns
    -------
    Dataset
        ``spacing`` (1/angstrom) of the straight line through position against order, ``size`` (nm), each with
        ``*_errors`` from the scatter of the positions about the line: NaN for less than three fringes.

    Raises
    ------
    SchemaError
        The positions are not in 1/angstrom: calibrate the profile first.

    Examples
    --------
    >>> position = xr.DataArray([1.0, 1.1, 1.2, np.nan], dims="peak", attrs={"units": "1/angstrom"})
    >>> round(float(fringe_size(position)["size"]), 3)
    6.283
    """
    require(peaks, dims=("peak",), variables=("position",))
    position = peaks["position"] if isinstance(peaks, xr.Dataset) else peaks
    _in_inverse_angstrom(position, "the positions of the fringes")
    found: xr.DataArray = xr.apply_ufunc(
        _spacing,
        position,
        input_core_dims=[["peak"]],
        output_core_dims=[["which"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"which": 2}},
    )
    return _sizes(found.isel(which=0), found.isel(which=1), 2 * np.pi, "spacing", "fringe spacing")


@block_function
def _spacing(position: npt.NDArray[Any]) -> Doubles:
    """Slope of position against order, and its error, ``(..., 2)``; a step counts as many median ones as it holds."""
    place = np.sort(position, axis=-1)  # unknown ones last
    steps = np.diff(place, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        counted = np.maximum(np.rint(steps / _median_of_known(steps)), 1)
        order = np.concatenate([np.zeros_like(place[..., :1]), np.cumsum(np.nan_to_num(counted), axis=-1)], axis=-1)
    weight, known = lines.weights(place, None)
    line = lines.straight(order, place, weight)
    return np.stack([line.slope, np.sqrt(line.slope_variance * lines.inflation(line, known))], axis=-1)


def _median_of_known(steps: Doubles) -> Doubles:
    """Median along the last axis, which is kept; NaN are left out, and it is NaN where there is nothing else."""
    order = np.sort(steps, axis=-1)  # unknown ones last
    known = np.isfinite(order).sum(axis=-1, keepdims=True)
    places = [np.clip((known - 1) // 2, 0, None), known // 2]
    if not order.shape[-1]:
        return np.full(known.shape, np.nan)
    low, high = (np.take_along_axis(order, np.minimum(place, order.shape[-1] - 1), axis=-1) for place in places)
    return np.where(known % 2 == 1, high, 0.5 * (low + high))


def scherrer_size(
    width: xr.DataArray,
    *,
    errors: xr.DataArray | None = None,
    instrument: float = 0.0,
    shape_factor: float = 0.9,
) -> xr.Dataset:
    """Size of a crystal from the width of its peak: ``2 pi K / dq`` (Scherrer).

    Parameters
    ----------
    width
        FWHM in 1/angstrom.
    errors
        Its standard errors.
    instrument
        FWHM of the instrument, taken off in quadrature: Gaussian peaks.
    shape_factor
        ``K``; 0.9 for cubes and plates seen face on (0.886 exactly for the FWHM of ``sinc^2``).

    Returns
    -------
    Dataset
        ``size`` in nm with ``size_errors``, and ``width``, less the instrument; NaN where the peak is not wider.

    Raises
    ------
    SchemaError
        The width is not in 1/angstrom: calibrate it first.

    Examples
    --------
    >>> width = xr.DataArray(0.0565487, attrs={"units": "1/angstrom"})
    >>> round(float(scherrer_size(width)["size"]), 3)
    10.0
    """
    check_kind(width, "DataArray")
    _in_inverse_angstrom(width, "the width")
    check_alike(errors, width, "errors")
    square = width**2 - instrument**2
    own = square.where(square > 0) ** 0.5
    given = xr.full_like(own, np.nan) if errors is None else errors
    return _sizes(own, given * width / own, 2 * np.pi * shape_factor, "width", "width of the peak")


def _sizes(spacing: xr.DataArray, errors: xr.DataArray, factor: float, name: str, long_name: str) -> xr.Dataset:
    """Sizes in nm from spacings in 1/angstrom, with errors."""
    size = 0.1 * factor / spacing
    result = xr.Dataset({name: spacing, f"{name}_errors": errors, "size": size, "size_errors": size * errors / spacing})
    for key in result.data_vars:
        base = str(key).removesuffix("_errors")
        what = "size" if base == "size" else long_name
        text = what if base == key else f"standard error of the {what}"
        result[key].attrs = {"units": "nm" if base == "size" else "1/angstrom", "long_name": text}
    return result


def _in_inverse_angstrom(values: xr.DataArray, what: str) -> None:
    units = str(values.attrs.get("units", ""))
    if units not in ("1/angstrom", "angstrom-1", "angstrom^-1"):
        raise SchemaError(f"{what} must be in 1/angstrom, not {units or 'unknown units'}: calibrate the profile first")
