"""Fits of peaks on a straight line to all rows of an array, a look at what came out, and its variables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.kernels import Bools, Doubles
from xinsitu.kernels.least_squares import Fit, fit, tied
from xinsitu.kernels.shapes import OF_A_PEAK, peaks_on_line
from xinsitu.physics.blocks import block_function
from xinsitu.schema import Quality, flag_attributes

from .start_values import Peaks, starts

SIGNIFICANT = 3.0
"""A peak that is not this many standard errors high is no peak."""
CLEAR = 6.0
"""A peak that is not this many standard errors high is one, but its parameters do not scatter like a Gaussian."""
POOR = 4.0
"""Standard deviations of a Gaussian, as rare as which a chi square is from which the shape is not that of the data."""
APART = 10.0
"""Peaks that are not this many standard errors apart merge, and their parameters do not scatter like a Gaussian."""
OVERLAP, TOLD_APART = 1.3, 9.0
"""Distance over the mean width below which peaks of their own widths take counts from each other, and how many standard
errors high they must be then."""
BROAD = (0.15, 0.25, 0.5), (1e-9, 6.5, 14.5)
"""Width as a part of the profile, and how many standard errors it must be then, or it does not scatter like a
Gaussian."""
UNEVEN = 0.14
"""Standard error of an asymmetry from which it, and the centre with it, do not scatter like a Gaussian."""
_SURE = 1e6
NEAR, LUCK = 15, 1.4
"""Rows over whose median it is decided whether errors hold, and by how much it must lie above the limit: of those near
to it the ones that pass are those that the noise has pulled apart."""
FEW = 8
"""Per cent of the rows around that may be unsure before all of them are: where more are, the noise chooses the rest."""
LIMITS = {"fraction": (-0.5, 1.5), "asymmetry": (-0.95, 0.95)}
"""Between which a shape is one."""
EXTRA = 3
"""Columns behind the parameters and their covariance: chi square, degrees of freedom, quality."""


def columns_for(number: int) -> int:
    """Columns of a row of so many parameters, their covariance and what else is told of a fit."""
    return number + number**2 + EXTRA


def packed(
    found: Fit,
    good: Bools,
    n_points: Doubles,
    *,
    weighted: bool,
    heights: Sequence[int] = (0,),
    n_fitted: int | None = None,
    unsure: Bools | None = None,
) -> Doubles:
    """Fits as rows of numbers, ``(row, column)``; NaN where a fit is no good.

    Where the noise is known (``weighted``), a chi square that is too large for it says that the shape is another one:
    the fit is flagged, and its covariance is multiplied by chi square per degree of freedom. ``heights`` are the places
    of the peaks' heights, ``n_fitted`` is the number of parameters that do not hang on others, and ``unsure`` tells
    fits whose errors are doubtful for another reason than a faint peak.
    """
    number = found.parameters.shape[1]
    free = np.maximum(n_points - (n_fitted or number), 0)
    with np.errstate(invalid="ignore"):
        poor = weighted & good & (_surplus(found.chi_square, free, found.spread) > POOR)
    found = found.scaled(np.where(poor, found.chi_square / np.maximum(free, 1), 1.0))
    result = np.full((len(good), columns_for(number)), np.nan)
    result[good, :number] = found.parameters[good]
    result[good, number:-EXTRA] = found.covariance[good].reshape(-1, number**2)
    result[good, -3] = found.chi_square[good]
    result[:, -2] = free
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.einsum("naa->na", found.covariance))
        faint = good & (found.parameters[:, heights] < CLEAR * errors[:, heights]).any(axis=1)
    faint |= False if unsure is None else unsure
    told = np.where(faint, Quality.ERRORS_DOUBTFUL, 0) | np.where(poor, Quality.POOR_FIT, 0)
    result[:, -1] = np.where(good, told, Quality.FIT_FAILED)
    return result


def _surplus(chi_square: Doubles, free: Doubles, spread: Doubles) -> Doubles:
    """How far chi square lies above its expectation, in standard deviations of a Gaussian that is as rare.

    By the cube root of Wilson & Hilferty, PNAS 17, 684 (1931), doi:10.1073/pnas.17.12.684, of a gamma distribution of
    that mean and variance.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        part = spread / (9 * free**2)
        return np.asarray((np.cbrt(chi_square / free) - 1 + part) / np.sqrt(part))


NARROW = 6.5
SPARSE = 2.0
"""Widths in pixels, and counts per pixel beside a peak, below which errors behind a plain median do not hold."""


def doubtful(width: Doubles, ground: Doubles) -> Bools:
    """Tell fits behind a plain median whose errors may be off by more than 15 %: up to a half on sparse ground.

    The variance of sums over a median is known; what a narrow peak or a sparse ground shares among its pixels is not.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((width < NARROW) | (ground < SPARSE))


def flagged(quality: Doubles, unsure: Bools) -> Doubles:
    """Add ``errors_doubtful`` to the quality of some fits."""
    return np.where(unsure, quality.astype(np.int64) | Quality.ERRORS_DOUBTFUL, quality.astype(np.int64)).astype(float)


def with_shared(
    rows: Doubles, names: tuple[str, ...], level: Doubles, factor: Doubles, *, own_edge: bool = False
) -> Doubles:
    """Add to the covariance of packed fits what all points of a frame share.

    ``level`` is the variance of a background that was subtracted from all of them. One from the ROI's own edge is a
    second, poorer measurement of what the fitted line tells, from the same counts: the difference of the two has the
    difference of their variances, and nothing in common with the other parameters. ``factor`` is the relative variance
    of what all points are multiplied by.
    """
    number = len(names)
    covariance = rows[:, number:-EXTRA].reshape(-1, number, number).copy()
    place = names.index("level")
    if own_edge:
        covariance[:, place, place] = np.maximum(level - covariance[:, place, place], covariance[:, place, place])
        others = [other for other in range(number) if other != place]
        covariance[:, place, others] = covariance[:, others, place] = 0.0
    else:
        covariance[:, place, place] += level
    scaled = np.zeros((len(rows), number))
    for column, name in enumerate(names):
        if name.split("_")[0] in ("height", "level", "slope"):
            scaled[:, column] = rows[:, column]
    covariance += factor[:, None, None] * scaled[:, :, None] * scaled[:, None, :]
    result = rows.copy()
    result[:, number:-EXTRA] = covariance.reshape(len(rows), number**2)
    return result


@block_function
def fit_rows(
    values: npt.NDArray[Any],
    errors: npt.NDArray[Any],
    per_count: npt.NDArray[Any],
    *,
    x: Doubles,
    peaks: Peaks,
    weighted: bool,
) -> Doubles:
    """Parameters, their covariance, chi square, degrees of freedom and quality, ``(..., column)``.

    Not ``weighted``: all points weigh the same, and their scatter about the curve tells the errors.
    """
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    sigma = np.broadcast_to(errors, values.shape).reshape(rows.shape)
    counted = np.broadcast_to(per_count, values.shape[:-1]).reshape(-1)
    first, *others = starts(rows, x, peaks)
    result = _fit(rows, sigma, counted, first, x, peaks, weighted)
    good = _sensible(result, rows, x, peaks)
    for start in others:
        good = _improved(result, good, (rows, sigma, counted), np.arange(len(rows)), start, x, peaks, weighted)
    again = np.flatnonzero(~good) if peaks.number == 1 else np.arange(len(rows))
    if again.size and good.any():  # from the last one before that could be fitted
        before = np.maximum.accumulate(np.where(good, np.arange(len(rows)), -1))
        before = np.concatenate([[-1], before[:-1]])
        before = np.where(before < 0, np.flatnonzero(good)[0], before)
        begin = result.parameters[before[again]]
        good = _improved(result, good, (rows, sigma, counted), again, begin, x, peaks, weighted)
    if peaks.number > 1 and not peaks.shared_width:  # one that is broad under one that is narrow is a dead end
        alike = _fit(rows, sigma, counted, result.parameters, x, replace(peaks, shared_width=True), weighted)
        good = _improved(
            result, good, (rows, sigma, counted), np.arange(len(rows)), alike.parameters, x, peaks, weighted
        )
    n_points = np.isfinite(rows).sum(axis=1).astype(np.float64)
    told = packed(
        result,
        good,
        n_points,
        weighted=weighted,
        heights=peaks.places("height"),
        n_fitted=peaks.ties.shape[1],
        unsure=_unsure(result, good, x, peaks, values.shape[:-1]),
    )
    return told.reshape(*values.shape[:-1], told.shape[-1])


def _improved(
    result: Fit,
    good: Bools,
    data: tuple[Doubles, Doubles, Doubles],
    which: npt.NDArray[np.intp],
    start: Doubles,
    x: Doubles,
    peaks: Peaks,
    weighted: bool,
) -> Bools:
    """Fit some rows again from other values, keep what is better, and tell which fits are good then."""
    rows, sigma, counted = (part[which] for part in data)
    other = _fit(rows, sigma, counted, start, x, peaks, weighted)
    sound = _sensible(other, rows, x, peaks)
    with np.errstate(invalid="ignore"):
        better = sound & (~good[which] | (other.chi_square < result.chi_square[which]))
    result.put(which[better], other.at(better))
    good = good.copy()
    good[which[better]] = True
    return good


def _fit(
    rows: Doubles, sigma: Doubles, counted: Doubles, start: Doubles, x: Doubles, peaks: Peaks, weighted: bool
) -> Fit:
    """Fit with the weights that there are; several peaks come in the order of their centres."""
    ties = peaks.ties
    first = ties / ties.sum(axis=0)  # what is tied starts from its mean
    model, begin = tied(peaks_on_line(x, peaks.shape, peaks.number), ties), start @ first
    if weighted:
        found = fit(model, rows, sigma**2, begin, per_count=counted)
    else:
        found = by_scatter(fit(model, rows, np.ones_like(rows), begin), np.isfinite(rows).sum(axis=1))
    return _in_order(found.through(ties), peaks)


def _in_order(found: Fit, peaks: Peaks) -> Fit:
    """Give the peaks of each row the order of their centres."""
    size, number = len(OF_A_PEAK), peaks.number
    order = np.argsort(found.parameters[:, peaks.places("centre")], axis=1)
    own = (order[:, :, None] * size + np.arange(size)).reshape(len(order), number * size)
    rest = np.broadcast_to(
        np.arange(number * size, found.parameters.shape[1]), (len(order), len(peaks.names) - number * size)
    )
    places = np.concatenate([own, rest], axis=1)
    return found.moved(places)


def by_scatter(even: Fit, n_points: npt.NDArray[np.intp]) -> Fit:
    """Fits without errors: the scatter about the curve tells those of the parameters."""
    return even.scaled(even.chi_square / np.maximum(n_points - even.parameters.shape[1], 1))


def _sensible(result: Fit, rows: Doubles, x: Doubles, peaks: Peaks) -> Bools:
    """Fits that arrived at peaks which the profile shows."""
    p, widths = result.parameters, peaks.places("fwhm")
    seen = np.isfinite(rows)
    varies = np.where(seen, rows, -np.inf).max(axis=1) > np.where(seen, rows, np.inf).min(axis=1)
    low, high = min(x[0], x[-1]), max(x[0], x[-1])
    step = (high - low) / (len(x) - 1)
    p[:, widths] = np.abs(p[:, widths])
    height, centre, width = (p[:, peaks.places(name)] for name in OF_A_PEAK)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.einsum("naa->na", result.covariance))
        there = (centre >= low) & (centre <= high) & (width > step / 3) & (width < 3 * (high - low))
        there &= height > SIGNIFICANT * errors[:, peaks.places("height")]
        good = varies & result.arrived & there.all(axis=1) & np.isfinite(errors).all(axis=1)
    return np.asarray(good & ~_beyond(result, peaks))


def _beyond(found: Fit, peaks: Peaks) -> Bools:
    """Tell fits that arrived at what is no shape."""
    parts = {name: found.parameters[:, peaks.names.index(name)] for name in LIMITS if name in peaks.names}
    with np.errstate(invalid="ignore"):
        within = [(part > LIMITS[name][0]) & (part < LIMITS[name][1]) for name, part in parts.items()]
    return ~np.all(within, axis=0) if within else np.zeros(len(found.parameters), dtype=bool)


def _unsure(found: Fit, good: Bools, x: Doubles, peaks: Peaks, shape: tuple[int, ...]) -> Bools:
    """Tell fits whose errors do not hold, by their own numbers and those of the rows around (first dimension).

    Of peaks that are near to it on the whole, those that look clear are the ones that the noise has made so.
    """
    from scipy.ndimage import median_filter, percentile_filter

    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.sqrt(np.einsum("naa->na", found.covariance))
        clear = np.fmin(_not_broad(found, errors, x, peaks), _not_merging(found, errors, peaks))
        if "asymmetry" in peaks.names:
            clear = np.fmin(clear, UNEVEN / errors[:, peaks.names.index("asymmetry")])
    clear = np.where(good, np.fmin(clear, _SURE), 0.0 if peaks.number > 1 else _SURE)  # one peak may come and go
    clear[_beyond(found, peaks) & found.arrived] = 0.0
    series = clear.reshape(shape if shape else (1,))
    size = (min(NEAR, 2 * len(series) - 1), *(1 for _ in series.shape[1:])) if series.size else 1
    expected = median_filter(series, size=size, mode="mirror").reshape(-1)
    third = percentile_filter(series, FEW, size=size, mode="mirror").reshape(-1)
    return np.asarray(good & ((clear < 1) | (expected < LUCK) | (third < 1)))


def _not_broad(found: Fit, errors: Doubles, x: Doubles, peaks: Peaks) -> Doubles:
    """How much better the widths are known than they must be where the line below may take the place of a peak."""
    width, known = found.parameters[:, peaks.places("fwhm")], errors[:, peaks.places("fwhm")]
    part = width / abs(x[-1] - x[0])
    return np.asarray((width / known / np.interp(part, *BROAD)).min(axis=1))


def _not_merging(found: Fit, errors: Doubles, peaks: Peaks) -> Doubles:
    """How much clearer of each other peaks are than they must be."""
    height, centre, width = (found.parameters[:, peaks.places(name)] for name in OF_A_PEAK)
    significant = height / errors[:, peaks.places("height")]
    clear = np.full(len(height), np.inf)
    for left, (one, other) in enumerate(itertools.pairwise(peaks.places("centre"))):
        apart = centre[:, left + 1] - centre[:, left]
        shared = found.covariance[:, one, other]
        noise = np.sqrt(errors[:, one] ** 2 + errors[:, other] ** 2 - 2 * shared)
        both = slice(left, left + 2)
        overlap = (apart < OVERLAP * width[:, both].mean(axis=1)) & (not peaks.shared_width)
        least = np.where(overlap, TOLD_APART, CLEAR)
        clear = np.fmin(clear, np.fmin(apart / noise / APART, significant[:, both].min(axis=1) / least))
    return clear


# -- variables --------------------------------------------------------------------------------------------------------


def unpacked(rows: xr.DataArray, names: tuple[str, ...], units: Mapping[str, str], what: str) -> xr.Dataset:
    """Parameters, each with its error, ``covariance``, ``chi_square``, ``n_free`` and ``quality``.

    ``rows`` has the dimension ``column``, as :func:`packed` gives it.
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
