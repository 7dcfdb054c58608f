"""How curves are drawn: smoothed, as slopes, divided by a window that somebody chose; the numbers stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import param
import xarray as xr

from xinsitu.app.data import beside
from xinsitu.digits import counted, with_error
from xinsitu.errors import SchemaError
from xinsitu.physics.samples.growth import slope
from xinsitu.plots.curve_filters import local_fit, parse_smoothing
from xinsitu.plots.timeline import Timeline
from xinsitu.schema import CURVES

from .change_state import Changes
from .roi_state import Regions
from .view import View

SMOOTH = "savgol:11,2"
"""What *smooth* does, in the words of ``plot --smooth``."""
Floats = npt.NDArray[np.float64]


class Curves(param.Parameterized):  # type: ignore[misc] # param has no types
    """How the numbers are drawn against time, and which saved result lies below them."""

    log_intensity = param.Boolean(False)
    smooth = param.Boolean(False, doc="curves smoothed on the true time axis, never across a gap")
    derivative = param.Boolean(False, doc="slopes per second instead of values")
    span = param.Parameter(default=None, doc="frames (first, behind the last) that somebody chose on a curve")
    normalised = param.Boolean(False, doc="intensities divided by their mean in these frames")
    shift = param.Boolean(True, doc="centre of mass from its first frames instead of detector pixels")
    result = param.Parameter(default=None, doc="a saved result whose curves are shown, too; None: none")
    compared = param.String("", doc="the file of that result, by its name among those beside the frames")

    def __init__(self, view: View, regions: Regions, attenuation: Changes) -> None:
        super().__init__()
        self.view, self.regions, self.attenuation = view, regions, attenuation

    def drawn(self, name: str) -> xr.Dataset | None:
        """Return the numbers of a ROI as its curves show them: smoothed, as slopes, divided, changes corrected."""
        series = self.attenuation.shown(name)
        window = slice(*self.span) if self.span is not None and self.normalised else None
        if series is None or not (self.smooth or self.derivative or window):
            return series
        return drawn(series, self.view.breaks(), smooth=self.smooth, derivative=self.derivative, window=window)

    @property
    def window_text(self) -> str | None:
        """The window that intensities are divided by the mean of, as ``plot`` takes it; None: they are not."""
        return window_text(self.view.line, *self.span) if self.span is not None and self.normalised else None

    def choose_window(self, start: float, end: float) -> None:
        """Take frames between two places of the time axis, and say mean and slope of the selected ROI there.

        Raises
        ------
        SchemaError
            There are less than three frames.
        """
        x, (low, high) = self.view.coordinates(), sorted((start, end))
        inside = np.flatnonzero((x >= low) & (x <= high))
        if len(inside) < 3:
            raise SchemaError("a window needs three frames: drag farther with Shift held down")
        self.span = int(inside[0]), int(inside[-1]) + 1
        selected = self.regions.selected
        series = self.attenuation.shown(selected)
        if series is not None:
            directions = {axis: self.view.direction(axis) for axis in ("x", "y")}
            labels = {f"com_{axis}": f"COM {name}" for axis, name in directions.items()}
            labels |= {f"fwhm_{axis}": f"FWHM {name}" for axis, name in directions.items()}
            self.view.message = said(selected, series, slice(*self.span), {**labels, "intensity": "intensity"})

    def open_result(self, path: Path | None) -> None:
        """Show the curves of a saved result, too, to compare with; None: no longer."""
        self.result = None if path is None else beside.open_result(path)
        names = [name for name, one in beside.results(self.view.source).items() if one == path]
        self.compared = names[0] if names else ""


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


def window_text(line: Timeline, first: int, behind: int) -> str:
    """Return frames as ``plot --normalise`` takes them: from between two frames, as nothing is exact in text.

    Where places along the axis do not follow each other, as numbers of frames in a joined sample, times stand for them.
    """
    along = line.values if line.axis == "frame" else (line.times - line.start) / np.timedelta64(1, "s")
    places = np.asarray(along, dtype="float64")
    if (np.diff(places) > 0).all():
        ends = np.concatenate([[places[0] - 0.5], (places[1:] + places[:-1]) / 2, [places[-1] + 0.5]])
        return f"{ends[first]:.9g}:{ends[behind]:.9g}"
    last = line.times[behind - 1] + np.timedelta64(999, "ns")  # whole microseconds are written: none too few
    start, stop = (np.datetime_as_string(time, unit="us") for time in (line.times[first], last))
    return f"{start}Z/{stop}Z"


def said(name: str, series: xr.Dataset, window: slice, labels: dict[str, str]) -> str:
    """Say mean and slope of every curve of a ROI in a window, with their errors."""
    part = series.isel(time=window)
    words = [f"{name}, {counted(part.sizes['time'], 'frame')}"]
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
