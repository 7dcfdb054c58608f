"""Fits of peaks: Gaussian, Lorentzian and pseudo-Voigt profiles, and a two-dimensional Gaussian, for all frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.schema import PIXEL, Quality, flag_attributes
from xinsitu.values import Roi, RoiSet

from .correction import Correction
from .peak_fits import PARAMETERS, fit_rows
from .sections import profiles_with_errors

Shape = Literal["gaussian", "pixel_gaussian", "lorentzian", "pseudo_voigt"]
AXES: tuple[Literal["y"], Literal["x"]] = ("y", "x")


def fit_profiles(
    profile: xr.DataArray,
    dim: str,
    *,
    shape: Shape = "gaussian",
    errors: xr.DataArray | None = None,
    per_count: xr.DataArray | None = None,
) -> xr.Dataset:
    """Fit a peak on a straight line to every profile; lazy where the profiles are.

    Start values come from the highest bin and the half-height width of each profile; where that leads nowhere, from the
    last frame before it that could be fitted.

    Parameters
    ----------
    profile
        Any dims, with ``dim`` among them.
    dim
        Along which the peak runs; its coordinate gives centres and widths.
    shape
        ``gaussian``, ``lorentzian``, ``pseudo_voigt``; or ``pixel_gaussian``, the mean of a Gaussian over each bin, for
        peaks narrower than some three bins.
    errors
        Standard errors of the profile's bins. Without them all bins weigh the same, and the scatter about the curve
        gives the errors of the parameters.
    per_count
        With errors from counting: the variance that one unit of the profile brings (1 for counts). Weights then follow
        the fitted curve instead of what happened to be counted, which is the fit of highest Poisson likelihood.

    Returns
    -------
    Dataset
        ``height``, ``centre``, ``fwhm``, ``level``, ``slope`` (and ``fraction``) and ``area``, each with ``*_errors``;
        ``covariance (..., parameter, parameter_)``; ``chi_square`` and ``n_free``; ``quality``. A fit that failed is
        NaN and flagged: no convergence, a centre outside the profile, a width below a third of a bin or beyond three
        profiles, a height below three standard errors.

    Raises
    ------
    SchemaError
        There is no such dimension or shape, or too few bins.

    Examples
    --------
    >>> x = np.arange(30.0)
    >>> profile = xr.DataArray(9 * np.exp(-4 * np.log(2) * ((x - 14.2) / 6) ** 2) + 2, dims="x")
    >>> found = fit_profiles(profile, "x")
    >>> [round(float(found[name]), 6) for name in ("height", "centre", "fwhm", "level")]
    [9.0, 14.2, 6.0, 2.0]
    """
    if shape not in PARAMETERS:
        raise SchemaError(f"a profile is fitted with {', '.join(PARAMETERS)}, not {shape!r}")
    if dim not in profile.dims:
        raise SchemaError(f"the profile has dims ({', '.join(map(str, profile.dims))}) and lacks {dim!r}")
    names = PARAMETERS[shape]
    if profile.sizes[dim] <= len(names):
        raise SchemaError(f"a {shape} has {len(names)} parameters: {profile.sizes[dim]} bins are too few")
    has_axis = dim in profile.coords
    x = profile[dim].values.astype(np.float64) if has_axis else np.arange(float(profile.sizes[dim]))
    n_columns = len(names) ** 2 + len(names) + 2
    given = xr.full_like(profile, np.nan, dtype=np.float64) if errors is None else errors
    counts = xr.DataArray(np.nan) if per_count is None else per_count
    packed: xr.DataArray = xr.apply_ufunc(
        fit_rows,
        *(_whole(array, dim) for array in (profile, given, counts)),
        input_core_dims=[[dim], [dim], []],
        output_core_dims=[["column"]],
        kwargs={"x": x, "shape": shape},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"column": n_columns}},
    )
    along = str(profile[dim].attrs.get("units", PIXEL)) if has_axis else PIXEL
    return _named(packed, shape, along, str(profile.attrs.get("units", "1")), profile.sizes[dim])


def _whole(array: xr.DataArray, dim: str) -> xr.DataArray:
    return array.chunk({dim: -1}) if array.chunks is not None and dim in array.dims else array


def _named(packed: xr.DataArray, shape: str, along: str, units: str, n_bins: int) -> xr.Dataset:
    """One variable per parameter, with units and errors."""
    names = PARAMETERS[shape]
    number = len(names)
    own = {
        "height": units,
        "level": units,
        "centre": along,
        "fwhm": along,
        "fraction": "1",
        "slope": f"{units}/{along}",
    }
    result = xr.Dataset()
    for place, name in enumerate(names):
        diagonal = packed.isel(column=number + place * (number + 1))
        result[name] = packed.isel(column=place)
        result[name].attrs = {"units": own[name], "long_name": f"{name} of the fitted peak"}
        result[f"{name}_errors"] = diagonal**0.5
        result[f"{name}_errors"].attrs = {"units": own[name], "long_name": f"standard error of the {name} of the peak"}
    result["area"], result["area_errors"] = _area(result, packed, shape, f"{units} {along}")
    covariance = packed.isel(column=slice(number, -2))
    blocks = [covariance.isel(column=slice(place * number, (place + 1) * number)) for place in range(number)]
    stacked = xr.concat(
        [b.rename(column="parameter_") for b in blocks],
        dim="parameter",
        join="exact",
        coords="minimal",
        compat="override",
    )
    result["covariance"] = stacked.assign_coords(parameter=list(names), parameter_=list(names)).transpose(
        ..., "parameter", "parameter_"
    )
    result["chi_square"] = packed.isel(column=-2)
    result["n_free"] = n_bins - number
    failed = (packed.isel(column=-1) == 0).astype(np.int32) * np.int32(Quality.FIT_FAILED)
    result["quality"] = failed.assign_attrs(flag_attributes(Quality))
    return result


def _area(result: xr.Dataset, packed: xr.DataArray, shape: str, units: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Area of the peak and its error: ``height * fwhm`` times what the shape has per unit of both."""
    names = PARAMETERS[shape]
    number = len(names)
    round_, wide = 0.5 * np.sqrt(np.pi / np.log(2)), 0.5 * np.pi
    height, width = result["height"], result["fwhm"]
    fraction = result["fraction"] if "fraction" in names else height * 0.0 + (shape == "lorentzian")
    per_width = fraction * wide + (1 - fraction) * round_
    slopes = {"height": width * per_width, "fwhm": height * per_width}
    if "fraction" in names:
        slopes["fraction"] = height * width * (wide - round_)
    variance = height * 0.0
    for one, along_one in slopes.items():
        for other, along_other in slopes.items():
            place = number + names.index(one) * number + names.index(other)
            variance = variance + along_one * along_other * packed.isel(column=place)
    area = (height * width * per_width).assign_attrs(units=units, long_name="area of the fitted peak")
    return area, (variance**0.5).assign_attrs(units=units, long_name="standard error of the area of the peak")


def fit_rois(
    data: xr.Dataset | xr.DataArray,
    rois: RoiSet | Iterable[Roi],
    *,
    shape: Shape = "gaussian",
    correction: Correction | None = None,
) -> xr.Dataset:
    """Fit a peak on a straight line to both profiles of every ROI in every frame; lazy where the frames are.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    rois
        Where; ROIs of the role ``background`` are left out.
    shape
        As in :func:`fit_profiles`.
    correction
        What to do to the frames first.

    Returns
    -------
    Dataset
        The variables of :func:`fit_profiles` with ``_y`` and ``_x`` behind them, ``(time, roi)``: ``centre_y``,
        ``fwhm_x_errors`` and so on; centres in detector pixels. Behind a median neighbouring bins are correlated, and
        the errors are too small by up to a third.

    Raises
    ------
    RoiError
        A ROI does not lie in the image.

    Examples
    --------
    >>> y, x = np.arange(24)[:, None], np.arange(30)
    >>> spot = 1000 * np.exp(-((y - 11) ** 2) / 18 - (x - 14.5) ** 2 / 32)
    >>> frames = xr.DataArray(spot[None].round().astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> found = fit_rois(frames, [Roi("spot", y=(0, 24), x=(0, 30))]).sel(roi="spot").isel(time=0)
    >>> round(float(found.centre_y), 2), round(float(found.centre_x), 2), round(float(found.fwhm_x), 1)
    (11.0, 14.5, 9.4)
    """
    named = RoiSet.of(rois)
    signals = [roi for roi in named if roi.role == "signal"]
    if not signals:
        raise SchemaError("there is no ROI to fit")
    each = []
    for roi in signals:
        both = []
        for along in AXES:
            own = profiles_with_errors(data, roi, along=along, rois=named, correction=correction)
            counted = {"errors": own.profile_errors, "per_count": own.per_count} if own.attrs["counts"] else {}
            found = fit_profiles(own.profile, along, shape=shape, **counted)
            both.append(found.rename({str(name): _along(str(name), along) for name in found.data_vars}))
        each.append(xr.merge(both, join="exact", compat="override").expand_dims(roi=[roi.name]))
    joined = xr.concat(each, dim="roi", join="exact", coords="minimal", compat="override", data_vars="all")
    return joined.transpose("time", "roi", ...)


def _along(name: str, axis: str) -> str:
    """Name with its axis: ``centre_errors`` becomes ``centre_y_errors``."""
    base = name.removesuffix("_errors")
    return f"{base}_{axis}" + name[len(base) :]
