"""The width of any profile: at half maximum above a base, or as the old scripts took it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu import kernels
from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.physics.blocks import block_function
from xinsitu.schema import PIXEL, require
from xinsitu.variables import check_alike

from .profile_bins import seen, unbroken


def fwhm(
    profile: xr.DataArray,
    dim: str,
    *,
    base: Literal["edges"] | float | xr.DataArray = "edges",
    level: float = 0.5,
    smooth: int | None = None,
) -> xr.DataArray:
    """Full width of profiles at half maximum (or another level) above a base, in units of ``dim``.

    Parameters
    ----------
    profile
        Any dims, with ``dim`` among them. Unknown bins at the ends do not belong to a profile; over others between
        known ones a straight line is drawn.
    dim
        Along which the peak runs; its coordinate, if it has one, must have even steps.
    base
        ``edges``: mean of the outermost 5 % of bins (at least one) on each side; or a value, or one per profile.
    level
        0.5 for the half; 0.1 for the full width at tenth maximum.
    smooth
        Odd number of bins of a running mean before, whose own width is taken off in quadrature.

    Returns
    -------
    DataArray
        ``right - left`` of the first crossings outwards from the maximum, as :func:`measure` takes them: straight lines
        between bins, or through more of them as far as the noise asks for it; NaN where a side is not crossed.

    Examples
    --------
    >>> float(fwhm(xr.DataArray([0.0, 4.0, 8.0, 4.0, 0.0], dims="x"), "x"))
    2.0
    """
    step = _step(profile, dim)

    @block_function
    def widths(values: npt.NDArray[Any], base_values: npt.NDArray[Any]) -> Doubles:
        rows = np.ascontiguousarray(values.reshape(-1, values.shape[-1]), dtype=np.float64)
        flat = np.broadcast_to(base_values, values.shape[:-1]).reshape(-1)
        width = np.full(len(rows), np.nan)
        for which, bins in seen(rows):
            width[which] = _widths(unbroken(rows[which, bins]), flat[which], level, smooth)
        return np.asarray(width.reshape(values.shape[:-1]) * step)

    given = xr.DataArray(np.nan) if isinstance(base, str) else xr.DataArray(base)
    check_alike(given, profile.isel({dim: 0}, missing_dims="ignore"), "base")
    whole = profile.chunk({dim: -1}) if profile.chunks is not None else profile
    result: xr.DataArray = xr.apply_ufunc(
        widths, whole, given, input_core_dims=[[dim], []], dask="parallelized", output_dtypes=[np.float64]
    )
    result.attrs = {"units": _units(profile, dim), "long_name": "full width at half maximum"}
    return result.rename("fwhm")


def _widths(rows: Doubles, given: Doubles, level: float, smooth: int | None) -> Doubles:
    """Widths in bins; bases that are not given are those of the outermost bins."""
    if smooth is not None:
        rows = kernels.running_mean(rows, smooth)
    bases = np.where(np.isnan(given), kernels.edge_base(rows), given).astype(np.float64)
    width = kernels.half_maximum(rows, bases, level).width
    return width if smooth is None else kernels.without_running_mean(width, smooth)


def old_fwhm(profile: xr.DataArray, dim: str, *, interpolated: bool = False) -> xr.DataArray:
    """Width of profiles as the old scripts took it, to compare with their results; :func:`fwhm` is the right one.

    The level is the maximum over 1.8 with no background taken off; the ends are the bin before the first rise through
    the level and the last bin before the last fall; positions are read off ``linspace(0, N, N)`` for ``N`` bins, which
    is a factor ``N / (N - 1)`` too long. ``interpolated``: off 1,000 points of a cubic spline on ``0 ... N - 1``.

    Examples
    --------
    >>> float(old_fwhm(xr.DataArray([0.0, 4.0, 8.0, 4.0, 0.0], dims="x"), "x"))
    1.25
    """
    require(profile, dims=(dim,))

    @block_function
    def widths(values: npt.NDArray[Any]) -> Doubles:
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        return np.array([_old_width(row, interpolated) for row in rows]).reshape(values.shape[:-1])

    whole = profile.chunk({dim: -1}) if profile.chunks is not None else profile
    result: xr.DataArray = xr.apply_ufunc(
        widths, whole, input_core_dims=[[dim]], dask="parallelized", output_dtypes=[np.float64]
    )
    result.attrs = {"units": PIXEL, "long_name": "width as the old scripts took it"}
    return result.rename("old_fwhm")


def _old_width(row: Doubles, interpolated: bool) -> float:
    """Width of one profile between the outermost crossings of its maximum over 1.8."""
    position = np.linspace(0, len(row), len(row))
    if interpolated:
        import scipy.interpolate

        bins = np.arange(len(row), dtype=np.float64)
        position = np.linspace(0, len(row) - 1, 1000)
        row = scipy.interpolate.interp1d(bins, row, kind="cubic")(position)
    side = np.sign(row.max() / 1.8 - row)
    rising, falling = np.flatnonzero(side[:-1] > side[1:]), np.flatnonzero(side[:-1] < side[1:])
    return float(position[falling[-1]] - position[rising[0]]) if rising.size and falling.size else float("nan")


def _step(profile: xr.DataArray, dim: str) -> float:
    """Return the even step of a coordinate; 1 where there is none."""
    if dim not in profile.dims:
        raise SchemaError(f"the profile has dims ({', '.join(map(str, profile.dims))}) and lacks {dim!r}")
    if dim not in profile.coords or profile.sizes[dim] < 2:
        return 1.0
    steps = np.diff(profile[dim].values.astype(np.float64))
    if not np.allclose(steps, steps[0], rtol=1e-6):
        raise SchemaError(f"the steps of {dim!r} are not even; take the width in pixels")
    return float(abs(steps[0]))


def _units(profile: xr.DataArray, dim: str) -> str:
    return str(profile[dim].attrs.get("units", PIXEL)) if dim in profile.coords else PIXEL
