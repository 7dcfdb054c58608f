"""Which ROIs tell the attenuation, and their counts in NumPy."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError
from xinsitu.schema import errors_name

Floats = npt.NDArray[np.float64]


def signal_rois(sample: xr.Dataset, roi: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the ROIs that were asked for; without any, of those that are no background.

    An empty area follows the beam too, but counts so little that a median or a dark count shifts its ratio.

    Raises
    ------
    RoiError
        There is no ROI of that name.

    Examples
    --------
    >>> signal_rois(xr.Dataset(coords={"roi": ["WZ", "ZB"]}), "ZB")
    ('ZB',)
    """
    names = [str(name) for name in sample["roi"].values]
    if roi is not None:
        wanted = (roi,) if isinstance(roi, str) else tuple(str(name) for name in roi)
        if unknown := [name for name in wanted if name not in names]:
            raise RoiError(f"there is no ROI {unknown[0]!r} in the sample; there are {', '.join(names)}")
        return wanted
    described = json.loads(sample.attrs.get("rois", "{}")).get("rois", [])
    empty = {one["name"] for one in described if one.get("role") == "background"}
    return tuple(name for name in names if name not in empty) or tuple(names)


def read_intensity(
    sample: xr.Dataset, rois: Sequence[str], near: npt.NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Intensities, their standard errors and quality flags, dims ``(time, roi)``, in one computation.

    Parameters
    ----------
    sample
        Dims ``(time, roi)``; may be lazy.
    rois
        Names.
    near
        Frames that are needed, dims ``(time)``: only these are computed, the others are NaN, or 0. None: all.
    """
    columns = [name for name in ("intensity", errors_name("intensity"), "quality") if name in sample.variables]
    chosen = sample[columns].sel(roi=list(rois))
    frames = np.ones(sample.sizes["time"], dtype=bool) if near is None else near
    read = (chosen if near is None else chosen.isel(time=near)).compute()
    filled = []
    for name in ("intensity", errors_name("intensity")):
        values = np.full((frames.size, len(rois)), np.nan)
        if name in columns:
            values[frames] = read[name].transpose("time", "roi").values
        filled.append(np.where(np.isfinite(values), values, np.nan))
    flags = np.zeros((frames.size, len(rois)), dtype="int64")
    if "quality" in columns:
        flags[frames] = read["quality"].transpose("time", "roi").values
    return filled[0], filled[1], flags


def read_bias(sample: xr.Dataset, rois: Sequence[str]) -> tuple[Floats, Floats] | None:
    """Intensities and by which part a median raised them, dims ``(time, roi)``; None where the sample does not say."""
    if "median_bias" not in sample.variables:
        return None
    read = sample[["intensity", "median_bias"]].sel(roi=list(rois)).compute()
    intensity, bias = (read[name].transpose("time", "roi").values for name in ("intensity", "median_bias"))
    return intensity, bias
