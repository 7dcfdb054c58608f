"""From packed rows of fits to one variable per parameter, with units, errors and what follows from several of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from xinsitu.schema import Quality, flag_attributes

from .fit_rows import EXTRA


def unpacked(rows: xr.DataArray, names: tuple[str, ...], units: Mapping[str, str], what: str) -> xr.Dataset:
    """Parameters, each with its error, ``covariance``, ``chi_square``, ``n_free`` and ``quality``.

    ``rows`` has the dimension ``column``, as :func:`~xinsitu.physics.peaks.fit_rows.packed` gives it.
    """
    number, result = len(names), xr.Dataset()
    for place, name in enumerate(names):
        result[name] = rows.isel(column=place)
        result[f"{name}_errors"] = rows.isel(column=number + place * (number + 1)) ** 0.5
        _label(result, name, units[name], f"{name} of the {what}")
    every = rows.isel(column=slice(number, -EXTRA)).rename(column="parameter_")
    blocks = [every.isel(parameter_=slice(place * number, (place + 1) * number)) for place in range(number)]
    stacked = xr.concat(blocks, dim="parameter", join="exact", coords="minimal", compat="override")
    stacked = stacked.assign_coords(parameter=list(names), parameter_=list(names))
    result["covariance"] = stacked.transpose(..., "parameter", "parameter_")
    result["covariance"].attrs = {"long_name": f"covariance of the parameters of the {what}"}
    result["chi_square"] = rows.isel(column=-3)
    result["chi_square"].attrs = {"units": "1", "long_name": f"chi square of the fit of the {what}"}
    result["n_free"] = rows.isel(column=-2).astype(np.int64)
    result["n_free"].attrs = {"units": "1", "long_name": "points less parameters"}
    result["quality"] = rows.isel(column=-1).astype(np.int32)
    result["quality"] = result["quality"].assign_attrs(
        flag_attributes(Quality) | {"long_name": "reasons not to trust a fit"}
    )
    return result


def add(
    result: xr.Dataset, name: str, value: xr.DataArray, slopes: Mapping[str, xr.DataArray], units: str, text: str
) -> None:
    """Add what follows from several parameters, with the error that their covariance gives it.

    ``slopes`` are its derivatives by these parameters.
    """
    parts: Iterable[tuple[str, str]] = [(one, other) for one in slopes for other in slopes]
    variance = sum(
        slopes[one] * slopes[other] * result["covariance"].sel(parameter=one, parameter_=other, drop=True)
        for one, other in parts
    )
    result[name] = value
    result[f"{name}_errors"] = variance**0.5
    _label(result, name, units, text)


def _label(result: xr.Dataset, name: str, units: str, text: str) -> None:
    result[name].attrs = {"units": units, "long_name": text}
    result[f"{name}_errors"].attrs = {"units": units, "long_name": f"standard error of the {text}"}
