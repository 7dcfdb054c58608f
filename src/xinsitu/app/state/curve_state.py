"""How curves are drawn: smoothed, as slopes, divided by a window that somebody chose; the numbers stay as they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.physics.samples.growth import slope
from xinsitu.plots.curve_filters import local_fit, parse_smoothing
from xinsitu.schema import CURVES

SMOOTH = "savgol:11,2"
"""What *smooth* does, in the words of ``plot --smooth``."""
Floats = npt.NDArray[np.float64]


def drawn(
    series: xr.Dataset, cuts: npt.NDArray[np.int64], *, smooth: bool, derivative: bool, window: slice | None
) -> xr.Dataset:
    """Return the numbers of a ROI, dims ``(time,)``, as its curves show them; nothing is smoothed across a cut."""
    values = {name: np.asarray(series[name].values, dtype="float64") for name in CURVES if name in series}
    errors = {name: np.asarray(series[f"{name}_errors"].values, dtype="float64") for name in values}
    if window is not None and "intensity" in values:
        mean = float(np.nanmean(values["intensity"][window]))
        values["intensity"], errors["intensity"] = values["intensity"] / mean, errors["intensity"] / abs(mean)
    if smooth or derivative:
        seconds = (series["time"].values - series["time"].values[0]) / np.timedelta64(1, "s")
        for name in values:
            values[name], errors[name] = _filtered(seconds, values[name], errors[name], cuts, int(derivative))
    changed = {name: series[name].copy(data=one) for name, one in values.items()}
    return series.assign({**changed, **{f"{name}_errors": ("time", one) for name, one in errors.items()}})


def _filtered(
    seconds: Floats, values: Floats, errors: Floats, cuts: npt.NDArray[np.int64], derivative: int
) -> tuple[Floats, Floats]:
    how = parse_smoothing(SMOOTH)
    if how is None:
        raise SchemaError("there is nothing to smooth with")
    found, doubt = np.full_like(values, np.nan), np.full_like(values, np.nan)
    for part in np.split(np.arange(len(values)), cuts[cuts < len(values)]):
        if len(part):
            found[part], doubt[part] = local_fit(seconds[part], values[part], errors[part], how, derivative=derivative)
    return found, doubt


def said(name: str, series: xr.Dataset, window: slice, labels: dict[str, str]) -> str:
    """Say mean and slope of every curve of a ROI in a window, with their errors."""
    part = series.isel(time=window)
    words = [f"{name}, {part.sizes['time']} frames"]
    for quantity, label in labels.items():
        if quantity not in part or not np.isfinite(part[quantity].values).sum() > 2:
            continue
        line = slope(part[quantity])
        mean = part[quantity].values[np.isfinite(part[quantity].values)]
        error = float(mean.std(ddof=1) / np.sqrt(mean.size))
        words.append(
            f"{label} {with_error(float(mean.mean()), error)}, "
            f"slope {with_error(float(line['slope']), float(line['slope_errors']))} per s"
        )
    return "; ".join(words)


def with_error(value: float, error: float) -> str:
    """Return a number with as many digits as its error allows.

    Examples
    --------
    >>> with_error(12.34567, 0.0513), with_error(5230.7, 120.0), with_error(2.0, 0.0), with_error(1.5, float("nan"))
    ('12.35 ± 0.05', '5230 ± 120', '2 ± 0', '1.5')
    """
    if not np.isfinite(error):
        return f"{value:.6g}"
    if error <= 0:
        return f"{value:.6g} ± 0"
    first = int(np.floor(np.log10(error)))
    places = -first + (1 if error / 10.0**first < 2 else 0)
    scale = 10.0**-places
    digits = max(0, places)
    return f"{round(value / scale) * scale:.{digits}f} ± {round(error / scale) * scale:.{digits}f}"
