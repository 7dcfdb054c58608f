"""Fits of peaks to profiles, of several shapes and up to four in one, for all frames and ROIs in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import dask
import numpy as np
import xarray as xr

from xinsitu.defaults import MOST_PEAKS, PeakShape
from xinsitu.errors import SchemaError
from xinsitu.kernels import Doubles
from xinsitu.kernels.shapes import PARAMETERS, area_of, gaussian_width
from xinsitu.physics.blocks import block_function, in_one_piece, over_blocks
from xinsitu.physics.corrections.correction import Correction
from xinsitu.physics.corrections.plan import units_after
from xinsitu.physics.reduction.roi_plan import fitted
from xinsitu.schema import PIXEL, check_kind, image_of
from xinsitu.values import Roi, RoiSet
from xinsitu.variables import check_alike

from .fit_blocks import AXES, FitPlan, fit_block
from .fit_rows import add, columns_for, fit_rows, unpacked
from .followed_peaks import NAMES, followed
from .start_values import Peaks

FOLLOWED = (*(f"{name}{end}" for name in NAMES for end in ("", "_errors")), "quality", "chi_square", "n_free")
"""What peaks are followed by."""


def fit_profiles(
    profile: xr.DataArray,
    dim: str,
    *,
    shape: PeakShape = "gaussian",
    peaks: int = 1,
    shared_width: bool = False,
    errors: xr.DataArray | None = None,
    per_count: xr.DataArray | None = None,
) -> xr.Dataset:
    """Fit a peak, or several, on a straight line to every profile; lazy where the profiles are.

    Start values come from the highest bin and the area of each profile; where that leads nowhere, from the last frame
    before it that could be fitted. Several peaks start from the parts of equal area, from the highest bins that are no
    flank of another one, and from the frame before; what has the least chi square is taken.

    Parameters
    ----------
    profile
        Any dims, with ``dim`` among them; NaN are left out.
    dim
        Along which the peak runs; its coordinate gives centres and widths.
    shape
        ``gaussian``, ``lorentzian``, ``pseudo_voigt``, ``voigt``; or ``pixel_gaussian``, the mean of a Gaussian over
        each bin, for peaks narrower than some three bins. ``split_gaussian`` and ``split_pseudo_voigt`` have a half of
        another width on each side.
    peaks
        How many are in a profile: 1 to 4; :func:`find_ridges` follows peaks that come and go.
    shared_width
        One width for all peaks.
    errors
        Standard errors of the profile's bins. Without them all bins weigh the same, and the scatter about the curve
        gives the errors of the parameters.
    per_count
        With errors from counting: the variance that one unit of the profile brings (1 for counts). Weights then follow
        the fitted curve instead of what happened to be counted, which is the fit of highest Poisson likelihood.

    Returns
    -------
    Dataset
        ``height``, ``centre``, ``fwhm``, ``level`` (of the line in the middle of the profile), ``slope`` and ``area``,
        each with ``*_errors``; ``covariance (..., parameter, parameter_)``; ``chi_square`` and ``n_free``; ``quality``.
        ``fraction`` is the Lorentzian part of a pseudo-Voigt's height, or of a Voigt's width, of which
        ``fwhm_lorentzian`` and ``fwhm_gaussian`` are given, too; ``asymmetry`` of a split shape is the right half width
        less the left one, over their sum. With several ``peaks`` the variables of a peak have a dim ``peak``, 0 for the
        one of lowest coordinate; ``level``, ``slope``, ``fraction`` and ``asymmetry`` belong to all of them, and the
        parameters of ``covariance`` are ``height_0``, ``centre_0`` and so on. A fit that failed is NaN and flagged: no
        convergence, a centre outside the profile, a width below a third of a bin or beyond three profiles, a height
        below three standard errors, a Voigt that would have to be wider than a Lorentzian in its tails.
        ``errors_doubtful``: a height below six standard errors, or peaks that are less than ten standard errors of
        their distance apart.

    Raises
    ------
    SchemaError
        There is no such dimension, shape or number of peaks, or too few bins.

    Notes
    -----
    ``height * shape((x - centre) / fwhm) + level + slope * (x - middle)``. The width of a Voigt profile is
    ``0.5346 f_L + sqrt(0.2166 f_L^2 + f_G^2)``, to 0.02 % (Olivero & Longbothum, JQSRT 17, 233 (1977)).

    Examples
    --------
    >>> x = np.arange(30.0)
    >>> profile = xr.DataArray(9 * np.exp(-4 * np.log(2) * ((x - 14.2) / 6) ** 2) + 2, dims="x")
    >>> found = fit_profiles(profile, "x")
    >>> [round(float(found[name]), 6) for name in ("height", "centre", "fwhm", "level")]
    [9.0, 14.2, 6.0, 2.0]
    >>> two = profile + 4 * np.exp(-4 * np.log(2) * ((x - 21.5) / 4) ** 2)
    >>> fit_profiles(two, "x", peaks=2).centre.round(6).values.tolist()
    [14.2, 21.5]
    """
    check_kind(profile, "DataArray")
    model = Peaks(shape, peaks, shared_width)
    if dim not in profile.dims:
        raise SchemaError(f"the profile has dims ({', '.join(map(str, profile.dims))}) and lacks {dim!r}")
    _check(model, profile.sizes[dim], "profile")
    check_alike(errors, profile, "errors", along=dim)
    check_alike(per_count, profile.isel({dim: 0}), "per_count")
    has_axis = dim in profile.coords
    x = profile[dim].values.astype(np.float64) if has_axis else np.arange(float(profile.sizes[dim]))
    given = xr.full_like(profile, np.nan, dtype=np.float64) if errors is None else errors
    counts = xr.DataArray(np.nan) if per_count is None else per_count
    rows: xr.DataArray = xr.apply_ufunc(
        fit_rows,
        *(_whole(array, dim) for array in (profile, given, counts)),
        input_core_dims=[[dim], [dim], []],
        output_core_dims=[["column"]],
        kwargs={"x": x, "peaks": model, "weighted": errors is not None},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"column": columns_for(len(model.names))}},
    )
    along = str(profile[dim].attrs.get("units", PIXEL)) if has_axis else PIXEL
    return _named(rows, model, along, str(profile.attrs.get("units", "1")))


def fit_rois(
    data: xr.Dataset | xr.DataArray,
    rois: RoiSet | Iterable[Roi],
    *,
    shape: PeakShape = "gaussian",
    peaks: int = 1,
    shared_width: bool = False,
    follow: bool = False,
    correction: Correction | None = None,
) -> xr.Dataset:
    """Fit a peak, or several, on a straight line to both profiles of every ROI in every frame.

    All in one pass over the frames; lazy where these are, unless peaks are followed through time.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    rois
        Where, moving or not; ROIs of the role ``background`` are left out.
    shape, peaks, shared_width
        As in :func:`fit_profiles`.
    follow
        Follow up to so many ``peaks`` as they come, go and cross, as :func:`find_ridges` does; computed at once.
    correction
        What to do to the frames first.

    Returns
    -------
    Dataset
        The variables of :func:`fit_profiles` with ``_y`` and ``_x`` behind them, ``(time, roi)``: ``centre_y``,
        ``fwhm_x_errors`` and so on; centres in detector pixels. Behind a plain median, where neighbouring bins share
        what was counted, the errors are those of sums over several bins; a peak below 6.5 pixels or a ground below 2
        counts per pixel, where they may be off by more than 15 %, is flagged ``errors_doubtful``. Where peaks are
        followed they have the dim ``ridge`` in place of ``peak``, as many as the ROI has that has most, and there are
        ``event_y``, ``event_x`` (``born``, ``dies``, ``crossing``, ``merged``) and ``n_peaks_y``, ``n_peaks_x``
        ``(time, roi)``, all as in :func:`find_ridges`.

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
    named, last = RoiSet.of(rois), Peaks(shape, peaks, shared_width)
    found, counts = _fits(data, named, last, correction)
    if not follow:
        return found
    fewer = [_fits(data, named, Peaks(shape, number, shared_width), correction)[0] for number in range(1, peaks)]
    return _followed([*fewer, found], weighted=counts)


def _fits(
    data: xr.Dataset | xr.DataArray, rois: RoiSet, model: Peaks, correction: Correction | None
) -> tuple[xr.Dataset, bool]:
    """Fit so many peaks to all profiles; tell whether these are counts, whose noise is known."""
    image, signals = image_of(data), {roi.name: at for at, roi in enumerate(rois) if roi.role == "signal"}
    if not signals:
        raise SchemaError("there is no ROI to fit")
    told = fitted(data, rois, correction)
    for name in signals:
        for axis, (low, behind) in zip(AXES, (told.rois[name].y, told.rois[name].x), strict=True):
            _check(model, behind - low, f"{axis} profile of ROI {name!r}")
    plan = FitPlan(told.plan, model, tuple(signals.values()))
    tail = (len(AXES) * len(signals), columns_for(len(model.names)))
    values = over_blocks(fit_block, told.image, told.per_frame, plan, tail=tail, dtype=np.float64, shared=told.shared)
    values = in_one_piece(values)
    coords: dict[Any, Any] = {name: image[name] for name in image.coords if image[name].dims in ((), ("time",))}
    coords["roi"] = np.array(list(signals))
    both = []
    for number, along in enumerate(AXES):
        rows = xr.DataArray(values[:, number :: len(AXES)], dims=("time", "roi", "column"), coords=coords)
        found = _named(rows, model, PIXEL, units_after(image, correction))
        for one in found.data_vars.values():
            one.attrs["long_name"] += f" along {along}"
        both.append(found.rename({str(name): _along(str(name), along) for name in found.data_vars}))
    return xr.merge(both, join="exact", compat="override"), told.plan.counts


def _followed(fits: list[xr.Dataset], *, weighted: bool) -> xr.Dataset:
    """Follow the peaks of every ROI along both axes through time."""
    fits = list(dask.compute(*fits))  # in one pass over the frames
    tied = len(fits[0]["parameter"])
    parts = []
    for roi in fits[0]["roi"].values:
        of_roi = []
        for axis in AXES:
            names = {_along(name, axis): name for name in FOLLOWED}
            own = [one.sel(roi=roi, drop=True)[list(names)].rename(names) for one in fits]
            found = followed(own, own[0]["n_free"].values + tied, weighted=weighted)
            of_roi.append(found.rename({str(name): _along(str(name), axis) for name in found.data_vars}))
        parts.append(xr.merge(_of_one_length(of_roi), join="exact", compat="override"))
    found = xr.concat(_of_one_length(parts), fits[0]["roi"], coords="minimal", compat="override", join="exact")
    return found.transpose("time", "roi", ...)


def _of_one_length(parts: list[xr.Dataset]) -> list[xr.Dataset]:
    """Give all of them as many ridges as the one has that has most; what is not there is NaN, and nothing happens."""
    ridges = np.arange(max(part.sizes["ridge"] for part in parts))
    nothing = {name: 0 for part in parts for name, one in part.data_vars.items() if one.dtype.kind == "i"}
    fill = {str(name): nothing.get(name, np.nan) for part in parts for name in part.data_vars}
    label = {"long_name": "ridge"}
    return [part.reindex(ridge=ridges, fill_value=fill).assign_coords(ridge=("ridge", ridges, label)) for part in parts]


def _check(model: Peaks, n_bins: int, what: str) -> None:
    """Refuse shapes and numbers of peaks that there are not, and profiles that are too short for them."""
    if model.shape not in PARAMETERS:
        raise SchemaError(f"a profile is fitted with {', '.join(PARAMETERS)}, not {model.shape!r}")
    if isinstance(model.number, bool) or model.number not in range(1, MOST_PEAKS + 1):
        raise SchemaError(f"1 to {MOST_PEAKS} peaks are fitted to a profile, not {model.number!r}")
    number = model.ties.shape[1]
    if n_bins <= number:
        several = f"{model.number} peaks ({model.shape}) have" if model.number > 1 else f"a {model.shape} has"
        raise SchemaError(f"{several} {number} parameters: the {what} has {n_bins} bins, too few for it")


def _whole(array: xr.DataArray, dim: str) -> xr.DataArray:
    return array.chunk({dim: -1}) if array.chunks is not None and dim in array.dims else array


def _along(name: str, axis: str) -> str:
    """Name with its axis: ``centre_errors`` becomes ``centre_y_errors``."""
    base = name.removesuffix("_errors")
    return f"{base}_{axis}" + name[len(base) :]


def _named(rows: xr.DataArray, model: Peaks, along: str, units: str) -> xr.Dataset:
    """One variable per parameter, with units and errors, and what follows from them; several peaks along ``peak``."""
    own = {"height": units, "level": units, "centre": along, "fwhm": along, "fraction": "1", "asymmetry": "1"}
    own["slope"] = f"{units}/{along}"
    own |= {name: own[name.split("_")[0]] for name in model.names}
    result = unpacked(rows, model.names, own, "fitted peak")
    ends = [""] if model.number == 1 else [f"_{peak}" for peak in range(model.number)]
    for end in ends:
        _follow(result, model.shape, end, along, units)
    return result if model.number == 1 else _along_peaks(result, ends)


def _follow(result: xr.Dataset, shape: str, end: str, along: str, units: str) -> None:
    """Add the area of a peak, and of a Voigt profile the widths of its parts."""
    height, width = result[f"height{end}"], result[f"fwhm{end}"]
    fraction = result["fraction"] if "fraction" in result else xr.zeros_like(height)
    per_width, change = _both(fraction, area_of, shape)
    slopes = {f"height{end}": width * per_width, f"fwhm{end}": height * per_width}
    if "fraction" in result:
        slopes["fraction"] = height * width * change
    add(result, f"area{end}", height * width * per_width, slopes, f"{units} {along}", "area of the fitted peak")
    if shape == "voigt":
        part, change = _both(fraction, gaussian_width)
        slopes = {f"fwhm{end}": part, "fraction": width * change}
        add(result, f"fwhm_gaussian{end}", width * part, slopes, along, "Gaussian width")
        slopes = {f"fwhm{end}": fraction, "fraction": width}
        add(result, f"fwhm_lorentzian{end}", width * fraction, slopes, along, "Lorentzian width")


def _along_peaks(result: xr.Dataset, ends: list[str]) -> xr.Dataset:
    """Put the variables of several peaks side by side."""
    labels = xr.DataArray(np.arange(len(ends)), dims="peak", attrs={"long_name": "peak, along the axis"})
    for first in [str(name) for name in result.data_vars if str(name).removesuffix("_errors").endswith(ends[0])]:
        tail = "_errors" if first.endswith("_errors") else ""
        base = first.removesuffix(tail).removesuffix(ends[0])
        parts = [result[f"{base}{end}{tail}"] for end in ends]
        whole = xr.concat(parts, dim="peak", coords="minimal", compat="override", join="exact").assign_coords(
            peak=labels
        )
        attrs = parts[0].attrs | {"long_name": parts[0].attrs["long_name"].replace(f"{base}{ends[0]}", base)}
        result = result.drop_vars([str(part.name) for part in parts])
        result[base + tail] = whole.transpose(..., "peak").assign_attrs(attrs)
    return result


def _both(fraction: xr.DataArray, function: Callable[..., Any], *told: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Apply a function of the fraction that gives its derivative, too; lazily where the fraction is lazy."""
    pair: xr.DataArray = xr.apply_ufunc(
        _pair,
        fraction,
        output_core_dims=[["which"]],
        kwargs={"function": function, "told": told},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"which": 2}},
    )
    return pair.isel(which=0), pair.isel(which=1)


@block_function
def _pair(fraction: Doubles, function: Callable[..., tuple[Doubles, Doubles]], told: tuple[str, ...]) -> Doubles:
    return np.stack(function(*told, fraction), axis=-1)
