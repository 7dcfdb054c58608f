"""The numbers of the selected ROI at the frame that is shown, each with its error and unit, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from xinsitu.app.state.model import ExplorerModel
from xinsitu.digits import with_error
from xinsitu.schema import Quality
from xinsitu.values import Roi

WHY = {
    Quality.BAD_FRAME: "not trusted", Quality.FRAME_FAULT: "not read",
    Quality.HALF_LEVEL_NOT_CROSSED: "half level not crossed",
    Quality.PEAK_LOST: "no peak", Quality.ZERO_BACKGROUND: "background is 0", Quality.MASKED_PIXELS: "masked",
    Quality.LOW_COUNTS: "too few counts", Quality.NO_BEAM: "no beam",
}  # fmt: skip
"""Why there is no number, the first that holds."""


class Number(NamedTuple):
    """A number in words, and why it is a dash or has no error; empty where it is neither."""

    text: str
    why: str = ""


def number(one: Mapping[str, float], name: str, unit: str = "px", *, roi: Roi | None = None) -> Number:
    """Return a number of a frame with its error and unit; a dash and the reason where nothing was measured.

    Examples
    --------
    >>> one = {"com_x": 12.346, "com_x_errors": 0.052, "fwhm_x": np.nan, "quality": 16}
    >>> number(one, "com_x").text, number(one, "fwhm_x"), number({}, "com_x").why
    ('12.35 ± 0.05 px', Number(text='–', why='half level not crossed'), 'not measured yet')
    >>> number({"com_x": 338.0, "com_x_errors": 0.0}, "com_x")
    Number(text='338 px', why='too few counts for an error')
    """
    if roi is not None and not roi.measures(name.split("_")[0]):
        return Number("–", f"{roi.name} does not measure it")
    if name not in one:
        return Number("–", "not measured yet")
    if np.isfinite(one[name]):
        error = float(one.get(f"{name}_errors", np.nan))
        text = f"{with_error(float(one[name]), error)} {unit}".strip()
        return Number(text, "too few counts for an error" if error == 0 else "")
    flags = int(one.get("quality", 0))
    return Number("–", next((why for flag, why in WHY.items() if flags & flag), "not asked for"))


def why_empty(parts: Iterable[xr.Dataset], name: str) -> str:
    """Say why a quantity has no number in any frame of any series; nothing where it has one, or nobody knows.

    Examples
    --------
    >>> one = xr.Dataset({"fwhm_x": ("time", [np.nan, np.nan]), "quality": ("time", [16, 0])})
    >>> why_empty([one], "fwhm_x"), why_empty([one.fillna(2.0)], "fwhm_x"), why_empty([], "fwhm_x")
    ('half level not crossed', '', '')
    """
    known = list(parts)
    if any(np.isfinite(series[name].values).any() for series in known):
        return ""
    frames = {
        why: sum(int((series["quality"].values.astype("int64") & flag != 0).sum()) for series in known)
        for flag, why in WHY.items()
    }
    most = max(frames, key=frames.__getitem__)
    return most if frames[most] else ""


def at_frame(series: xr.Dataset | None, frame: int) -> dict[str, float]:
    """Return the numbers of a frame; none where it is not measured yet."""
    if series is None or frame >= series.sizes["time"]:
        return {}
    numbers = {str(name): series.variables[name] for name in series.data_vars}
    return {name: float(one.values[frame]) for name, one in numbers.items() if one.dims == ("time",)}


def numbers(model: ExplorerModel) -> list[tuple[str, str, str]]:
    """Return what the panel says of the selected ROI: label, number and reason, as its curves have them."""
    roi, view = model.regions.roi, model.view
    if roi is None:
        return []
    one = at_frame(model.attenuation.shown(roi.name), view.frame)
    wanted = [("intensity", "intensity", view.unit)]
    for name, label in (("com", "COM"), ("fwhm", "FWHM")):
        wanted += [(f"{label} {view.direction(axis)}", f"{name}_{axis}", "px") for axis in ("x", "y")]
    return [(label, *number(one, name, unit, roi=roi)) for label, name, unit in wanted]
