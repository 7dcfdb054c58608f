"""What is known of every frame and decides how it is corrected: exposure, monitor, how often images are subtracted."""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError, warn
from xinsitu.schema import COUNTS, REFERENCE
from xinsitu.variables import applied_to

from . import framewise
from .correction import IMAGES, Correction


def per_frame_of(
    data: xr.Dataset | xr.DataArray, image: xr.DataArray, correction: Correction | None, *, warns: bool = True
) -> npt.NDArray[np.float64]:
    """Return what is known of every frame, one row each.

    Exposure time, factor of the normalisation, its relative variance, a number, and how often dark and background
    image are subtracted.
    """
    table = np.tile([np.nan, 1.0, 0.0, 0.0, 0.0, 0.0], (image.sizes["time"], 1))
    table[:, framewise.NUMBER] = np.arange(len(table))
    if correction is None:
        return table
    if correction.count_rate is not None:
        table[:, framewise.EXPOSURE] = along_time(data, image, "exposure_time")
    table[:, framewise.DARK], table[:, framewise.BEHIND] = _times(data, image, correction, warns=warns)
    if correction.normalise is not None:
        name, reference = (
            (correction.normalise, None) if isinstance(correction.normalise, str) else correction.normalise
        )
        monitor = along_time(data, image, name)
        usable = np.isfinite(monitor) & (monitor > 0)
        if warns and not usable.all():
            warn(
                f"{name} is zero, negative or missing in {np.count_nonzero(~usable)} of {usable.size} frames; "
                "they become NaN"
            )
        if warns and data[name].attrs.get("position") == "after_attenuator":
            warn(
                f"{name} sits behind the attenuator: what is normalised by it has lost the steps of the attenuation, "
                "which must not be corrected once more"
            )
        known = np.where(usable, monitor, np.nan)
        mean = reference if reference is not None else mean_monitor(known)
        table[:, framewise.SCALE] = mean / known
        counted = data[name].attrs.get("units") == COUNTS
        table[:, framewise.SCALE_VARIANCE] = 1 / known if counted else np.where(usable, 0.0, np.nan)
    return table


def _times(
    data: xr.Dataset | xr.DataArray, image: xr.DataArray, correction: Correction, *, warns: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return how often dark and background image are subtracted from each frame: the ratio of the exposures.

    What a dark of exposure ``d`` takes from the background image of exposure ``b`` comes back to a frame of exposure
    ``t``: ``t / d - t / b * b / d``, which is nothing.
    """
    own, ratios = np.full(image.sizes["time"], np.nan), []
    said = [given for name in IMAGES if (given := getattr(correction, name)) is not None]
    if any("exposure_time" in given.attrs for given in said):
        with contextlib.suppress(SchemaError, KeyError):
            own = along_time(data, image, "exposure_time")
        own = np.where(own > 0, own, np.nan)  # no frame is exposed for no time: a header that does not know
        if warns and not np.isfinite(own).all():
            warn(
                "the dark or background image says how long it was exposed, and not all frames do: it is subtracted "
                "from those as it is"
            )
    for name in IMAGES:
        given = getattr(correction, name)
        its = np.nan if given is None else float(given.attrs.get("exposure_time", np.nan))
        ratio = own / its if its > 0 else np.full(len(own), np.nan)
        ratios.append(np.where(np.isfinite(ratio), ratio, 1.0) if given is not None else np.zeros(len(own)))
    dark, behind = ratios
    if correction.dark is None or correction.background_image is None:
        return dark, behind
    if "dark" not in applied_to(correction.background_image):
        of_dark, of_behind = (float(given.attrs.get("exposure_time", np.nan)) for given in said)
        both = of_behind / of_dark
        dark = dark - behind * (both if np.isfinite(both) else 1.0)
    return dark, behind


def mean_monitor(values: npt.NDArray[np.float64]) -> float:
    """Mean over the frames in which the monitor counted; NaN where there is none."""
    usable = values[np.isfinite(values) & (values > 0)]
    return float(usable.mean()) if usable.size else float("nan")


def reference_of(
    data: xr.Dataset | xr.DataArray, image: xr.DataArray, correction: Correction | None
) -> dict[str, float]:
    """Attribute that says to which value of the monitor frames were brought; empty where they were not."""
    if correction is None or correction.normalise is None:
        told = image.attrs.get(REFERENCE)
        return {} if told is None else {REFERENCE: float(told)}
    if not isinstance(correction.normalise, str):
        return {REFERENCE: correction.normalise[1]}
    return {REFERENCE: mean_monitor(along_time(data, image, correction.normalise))}


def along_time(data: xr.Dataset | xr.DataArray, image: xr.DataArray, name: str) -> npt.NDArray[np.float64]:
    """Values per frame of something that a measurement says per frame, or once.

    Raises
    ------
    SchemaError
        It does not say it.
    """
    known = {str(key) for key in image.coords} | (
        {str(key) for key in data.variables} if isinstance(data, xr.Dataset) else set()
    )
    if name not in known or data[name].dims not in ((), ("time",)):
        raise SchemaError(f"the measurement has no {name!r} for every frame; it has {', '.join(sorted(known))}")
    values = np.asarray(data[name].values, dtype=np.float64)
    return np.broadcast_to(values, (image.sizes["time"],)).copy()
