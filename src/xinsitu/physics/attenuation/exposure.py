"""Counts per second, where the exposure time changed within a sample."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xinsitu.errors import StitchError
from xinsitu.schema import COUNTS, SCALED, describe, errors_name

PER_SECOND = "counts s-1"


def per_second(sample: xr.Dataset) -> xr.Dataset:
    """Divide intensities by the exposure time where it is not the same for all frames.

    What is not in counts (a ratio to a background of its own frame, counts per second already) is left alone.

    Parameters
    ----------
    sample
        Dims ``(time, roi)``; ``exposure_time`` in seconds, on time or one for all.

    Raises
    ------
    StitchError
        Exposure times differ, and some are unknown or not above zero.

    Examples
    --------
    >>> sample = xr.Dataset(
    ...     {"intensity": (("time", "roi"), [[100.0], [10.0]])}, {"exposure_time": ("time", [1.0, 0.1])}
    ... )
    >>> per_second(sample).intensity.values.ravel(), per_second(sample).intensity.units
    (array([100., 100.]), 'counts s-1')
    """
    if "exposure_time" not in sample.variables or "time" not in sample["exposure_time"].dims:
        return sample
    exposure = sample["exposure_time"].reset_coords(drop=True)
    seconds = np.asarray(exposure.values, dtype="float64")
    known = seconds[np.isfinite(seconds)]
    if not known.size or np.allclose(known, known[0], rtol=1e-6, atol=0):
        return sample
    if known.size < seconds.size or (known <= 0).any():
        raise StitchError(
            "exposure times differ and some are unknown or not above zero, so intensities cannot be compared; "
            "set the coordinate exposure_time of every frame"
        )
    divided = {
        name: describe(sample[name] / exposure, name, units=PER_SECOND).transpose(*sample[name].dims)
        for base in SCALED
        for name in (base, errors_name(base))
        if name in sample.data_vars and sample[name].attrs.get("units", COUNTS) == COUNTS
    }
    return sample.assign(divided)
