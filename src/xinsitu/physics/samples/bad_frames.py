"""Frames that are not to be trusted: those that a person names, and leaving flagged ones out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.kernels.spikes import outliers
from xinsitu.physics.moments import frames_in
from xinsitu.schema import LEFT_OUT, Quality, check_kind, describe, require
from xinsitu.values import frame_ranges


def flag_bad_frames(series: xr.Dataset, frames: Iterable[Any]) -> xr.Dataset:
    """Flag frames that are not to be used, as ``bad_frame`` in ``quality``; nothing is removed.

    Such frames take no part in attenuation factors, slopes, fits and figures.

    Parameters
    ----------
    series
        A ROI time series or a sample, dims ``(time, roi)``.
    frames
        KEYs, ranges (``{"start": KEY, "stop": KEY}``, both included), or texts: ``"time2:71"``, ``"time2:80-85"``,
        ``"1080"`` (a position on the series), several with commas between them.

    Raises
    ------
    StitchError
        A frame is not there.
    DocumentError
        What is given names no frame.

    Examples
    --------
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), [[5.0], [0.0], [6.0], [7.0]])}, {"time": time})
    >>> mask_flagged(flag_bad_frames(series, "1")).intensity.values.ravel()
    array([ 5., nan,  6.,  7.])
    """
    require(series, dims=("time", "roi"))
    bad = xr.DataArray(frames_in(series, frame_ranges(frames)), dims="time")
    return flagged(series, bad, Quality.BAD_FRAME)


def flag_outliers(series: xr.Dataset) -> xr.Dataset:
    """Flag intensities that stand out from the frames around them, as ``outlier`` in ``quality``.

    :func:`~xinsitu.measure` does so; this is for series that come from elsewhere.

    Parameters
    ----------
    series
        Dims ``(time, roi)``, with ``intensity`` and, where they are known, ``intensity_errors``.

    Returns
    -------
    Dataset
        Flagged is a run of one or two frames beyond the frames beside it, which agree with each other: a cosmic ray, a
        beam dump, half a read-out; in one ROI, or in all where all stand out together. A change of attenuation, an
        onset, an oscillation, and a maximum wider than two frames are never flagged, and neither is the first or the
        last frame.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(900.0, (60, 1)).astype(float)
    >>> counts[20] = 0
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(60) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ"]})
    >>> np.flatnonzero(mask_flagged(flag_outliers(series)).intensity.isnull())
    array([20])
    """
    check_kind(series, "Dataset")
    require(series, dims=("time", "roi"), variables=("intensity",))
    values = series["intensity"].transpose("time", "roi").values.astype(np.float64)
    errors = np.full_like(values, np.nan)
    if "intensity_errors" in series.variables:
        errors = series["intensity_errors"].transpose("time", "roi").values
    return flagged(series, xr.DataArray(outliers(values, errors), dims=("time", "roi")), Quality.OUTLIER)


def flagged(series: xr.Dataset, where: xr.DataArray, flag: Quality) -> xr.Dataset:
    """Return the series with a flag where it is said, dims ``(time)`` or ``(time, roi)``."""
    flags = where * np.int32(flag)
    if "roi" not in flags.dims:
        flags = flags.expand_dims(roi=series.sizes["roi"])
    if "quality" in series.variables:
        flags = series["quality"] | flags
    return series.assign(quality=describe(flags.transpose("time", "roi").astype(np.int32), "quality"))


def mask_flagged(series: xr.Dataset, *flags: str) -> xr.Dataset:
    """Make everything NaN that bears one of some flags.

    Parameters
    ----------
    series
        Dims ``(time, roi)``; without ``quality`` it is returned as it is.
    flags
        Names of quality flags; none: ``bad_frame`` and ``outlier``.

    Returns
    -------
    Dataset
        The same variables and units; values and errors that are numbers with a decimal point are NaN there, for the
        ROI that is flagged.

    Raises
    ------
    SchemaError
        There is no such flag.

    Examples
    --------
    >>> series = xr.Dataset({"com_y": (("time", "roi"), [[5.0], [6.0]]), "quality": (("time", "roi"), [[1], [0]])})
    >>> mask_flagged(series, "saturated").com_y.values.ravel()
    array([nan,  6.])
    """
    check_kind(series, "Dataset")
    known = {str(flag.name).lower(): int(flag) for flag in Quality}
    if unknown := [name for name in flags if name not in known]:
        raise SchemaError(f"there is no flag {unknown[0]!r}; there are {', '.join(known)}")
    if "quality" not in series.variables:
        return series
    bits = sum({known[name] for name in flags}) if flags else int(LEFT_OUT)
    good = (series["quality"] & bits) == 0
    masked = {
        name: variable.where(good).transpose(*variable.dims)
        for name, variable in series.data_vars.items()
        if {"time", "roi"} <= set(variable.dims) and variable.dtype.kind == "f"
    }
    return series.assign(masked)
