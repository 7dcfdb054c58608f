"""What a figure of a series shows: panels of curves, ready to be drawn by any backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.clock import moment
from xinsitu.errors import RoiError, SchemaError
from xinsitu.physics.samples.bad_frames import mask_flagged
from xinsitu.physics.samples.events import events_of
from xinsitu.schema import FURTHER, POSITIONS, axis_name, errors_name
from xinsitu.values import Event
from xinsitu.values.fields import roi_records

from .curve_filters import Smoothing, local_fit, parse_smoothing
from .timeline import Mark, Timeline, breaks, marks, timeline, zero

PANELS = (
    "centre_y", "centre_x", *POSITIONS, "intensity", "area_y", "area_x", "fraction",
    *(name for names in FURTHER.values() for name in names),
)  # fmt: skip
"""Top to bottom, as in the BL11XU scripts: position, width, intensity; others where the series has them."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's colours, told apart by every eye."""
_SLOPE = Smoothing(3, 1)


@dataclass(frozen=True)
class Curve:
    """One ROI in one panel; broken by NaN where nothing was measured.

    ``y`` is measured from ``offset``, which is 0 unless the panel shows displacements.
    """

    roi: str
    color: str
    x: npt.NDArray[np.generic]
    y: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    offset: float = 0.0
    dash: str = "solid"


@dataclass(frozen=True)
class Panel:
    """Curves of one quantity on one vertical axis."""

    name: str
    quantity: str
    units: str
    log: bool
    curves: tuple[Curve, ...]

    @property
    def label(self) -> str:
        """Text beside the axis, with its unit."""
        return f"{self.quantity} ({self.units})" if self.units else self.quantity


@dataclass(frozen=True)
class Drawing:
    """Panels on one common time axis, and the events on it."""

    title: str
    line: Timeline
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...]


def drawing(
    series: xr.Dataset,
    *,
    events: Iterable[Event] = (),
    t0: object = None,
    x: str = "elapsed",
    smooth: str | None = None,
    derivative: bool = False,
    log: bool = False,
    normalise: str | None = None,
    roi: str | Sequence[str] | None = None,
    quantity: str | Sequence[str] | None = None,
) -> Drawing:
    """Gather what :func:`~xinsitu.plots.plot` shows; the parameters are described there."""
    if "roi" not in series.dims or not any(name in series for name in PANELS):
        raise SchemaError(f"the Dataset has dims ({', '.join(map(str, series.dims))}) and is no ROI time series")
    chosen, wanted = peak_by_peak(of_rois(series, roi)), quantities(series, quantity)
    if "time" in series.indexes and not series.indexes["time"].is_monotonic_increasing:
        chosen = chosen.sortby("time")
    shown = [name for n in (*PANELS, "quality") for name in (n, errors_name(n)) if name in chosen]
    kept = chosen[shown].assign_coords(chosen.coords)  # time_bounds too, which a choice of variables leaves behind
    chosen = mask_flagged(kept).compute()
    events = tuple(events) or events_of(series)
    line = timeline(chosen, x=x, start=zero(chosen, t0, events))
    shape = _Shape(parse_smoothing(smooth), derivative, log, _window(line, normalise), normalise)
    panels = [_panel(chosen, name, line, shape) for name in wanted]
    return Drawing(
        title=str(chosen.attrs.get("source", "")) or _title(chosen),
        line=line,
        panels=tuple(panel for panel in panels if panel.curves),
        marks=marks(chosen, line, events),
    )


@dataclass(frozen=True)
class _Shape:
    """How curves are treated before they are drawn."""

    smoothing: Smoothing | None
    derivative: bool
    log: bool
    window: npt.NDArray[np.bool_] | None
    window_text: str | None


def of_rois(series: xr.Dataset, roi: str | Sequence[str] | None) -> xr.Dataset:
    """Return the ROIs that a figure shows: those that are named, else all but the declared backgrounds."""
    if roi is None:
        empty = [name for name, record in roi_records(series).items() if record.get("role") == "background"]
        signal = ~np.isin(series["roi"].values.astype(str), empty)
        return series.isel(roi=signal) if signal.any() and not signal.all() else series
    names = [roi] if isinstance(roi, str) else list(roi)
    known = [str(name) for name in series["roi"].values]
    if unknown := [name for name in names if name not in known]:
        raise RoiError(f"there is no ROI {unknown[0]!r}; there are {', '.join(known)}")
    return series.sel(roi=names)


def peak_by_peak(series: xr.Dataset) -> xr.Dataset:
    """Return fits of several peaks with each peak in the place of a ROI, and anything else as it is.

    Examples
    --------
    >>> fits = xr.Dataset({"area_x": (("time", "roi", "peak"), [[[7.0, 9.0]]])}, {"roi": ["WZ"], "peak": [0, 1]})
    >>> peak_by_peak(fits).area_x.sel(roi="WZ 2").values.tolist()
    [9.0]
    """
    several = [dim for dim in ("peak", "ridge") if dim in series.dims]
    if not several:
        return series
    of_peaks = series[[name for name, one in series.data_vars.items() if {"roi", *several} <= set(one.dims)]]
    kept = of_peaks.drop_vars([name for name, one in of_peaks.coords.items() if "roi" in one.dims and name != "roi"])
    flat = kept.stack(each=("roi", *several))
    names = [f"{roi} {number + 1}" for roi, number in flat["each"].values]
    return flat.drop_vars(["each", "roi", *several]).rename(each="roi").assign_coords(roi=names)


def quantities(series: xr.Dataset, wanted: str | Sequence[str] | None = None) -> list[str]:
    """Return the variables of a series that have a panel, in their order, or those that were asked for.

    ``com`` and ``fwhm`` are those of both directions; ``com_l`` is the one along the axis that the instrument calls so.

    Raises
    ------
    SchemaError
        The series has no such quantity.

    Examples
    --------
    >>> series = xr.Dataset({"com_x": (("time", "roi"), [[1.0]]), "intensity": (("time", "roi"), [[9.0]])})
    >>> quantities(series), quantities(series, "com")
    (['com_x', 'intensity'], ['com_x'])
    """
    held = [name for name in PANELS if name in series]
    if wanted is None:
        return held
    called = {name: {name, name.partition("_")[0]} for name in held}
    for name in held:
        stem, _, axis = name.partition("_")
        if axis:
            called[name].add(f"{stem}_{axis_name(series, axis)}")
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = sorted(set().union(*called.values()))
    if strange := [name for name in names if name not in known]:
        raise SchemaError(f"there is no quantity {strange[0]!r} in the series; there are {', '.join(known)}")
    return [name for name in held if called[name] & set(names)]


def _title(series: xr.Dataset) -> str:
    parts = [str(series[name].values) for name in ("sample", "measurement") if name in series and not series[name].dims]
    return "/".join(parts)


def _window(line: Timeline, text: str | None) -> npt.NDArray[np.bool_] | None:
    """Frames of a window ``START:STOP`` in axis units, or ``ISO/ISO``."""
    if text is None:
        return None
    try:
        if "/" in text:
            first, last = (moment(end) for end in text.split("/"))
            inside = (line.times >= first) & (line.times <= last)
        else:
            low, high = (float(end) if end.strip() else None for end in text.split(":"))
            since = (line.times - line.start) / np.timedelta64(1, "s")
            values = line.values.astype("float64") if line.axis == "frame" else since
            inside = np.ones(len(values), dtype=bool)
            inside &= True if low is None else values >= low
            inside &= True if high is None else values <= high
    except ValueError:
        raise SchemaError(
            f"normalise is START:STOP in seconds or frames, or START/STOP as ISO 8601 times, not {text!r}"
        ) from None
    if not inside.any():
        raise SchemaError(f"no frame lies in the window normalise={text!r}")
    return np.asarray(inside, dtype=bool)


def colours(series: xr.Dataset) -> dict[str, str]:
    """Colour of each ROI: its own where the series knows it, otherwise one of the palette."""
    names = [str(name) for name in np.atleast_1d(series["roi"].values)]
    own: dict[str, str] = {}
    if "roi_color" in series.coords:
        own = dict(zip(names, np.atleast_1d(series["roi_color"].values).astype(str), strict=True))
    elif boxes := roi_records(series):
        own = {name: str(roi.get("color") or "") for name, roi in boxes.items()}
    return {name: readable(own.get(name, "")) or PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def readable(color: str) -> str:
    """Return the colour as #rrggbb, darkened until it can be seen on white; empty for what is no colour.

    Examples
    --------
    >>> readable("green"), readable("yellow"), readable("no colour")
    ('#008000', '#b3b300', '')
    """
    from matplotlib.colors import is_color_like, to_hex, to_rgb

    if not is_color_like(color):
        return ""
    rgb = np.array(to_rgb(color))
    light = float(rgb @ (0.2126, 0.7152, 0.0722))
    return str(to_hex(rgb * min(1.0, 0.65 / light if light > 0 else 1.0)))


_SHIFT = "shift of the "


def _panel(series: xr.Dataset, name: str, line: Timeline, shape: _Shape) -> Panel:
    values = series[name].transpose("time", "roi")
    errors = series.get(errors_name(name), xr.full_like(values, np.nan, dtype=float)).transpose("time", "roi")
    quantity, units = str(values.attrs.get("long_name", name)), str(values.attrs.get("units", ""))
    cuts = breaks(series, line.seconds)
    shades = colours(series)
    curves = []
    for number, roi in enumerate(map(str, series["roi"].values)):
        y, e = values.values[:, number].astype(float), errors.values[:, number].astype(float)
        if not np.isfinite(y).any():
            continue
        if name == "intensity" and shape.window is not None:
            y, e = _normalised(y, e, shape, roi)
        y, e = _treated(y, e, line.seconds, cuts, shape)
        if name == "intensity" and shape.log and not shape.derivative:
            y = np.where(y > 0, y, np.nan)
        curves.append(Curve(roi, shades[roi], *_broken(line.values, y, e, cuts)))
    if name == "intensity" and shape.window is not None:
        quantity, units = f"{quantity} / mean in {shape.window_text}", ""
    if shape.derivative:
        quantity, units = f"slope of the {quantity}", f"{units}/s" if units else "1/s"
    panel = Panel(name, quantity, units, name == "intensity" and shape.log and not shape.derivative, tuple(curves))
    return panel if shape.derivative else readable_panel(panel)


def readable_panel(panel: Panel) -> Panel:
    """Show centres of mass that lie far apart as shifts, so that each can be read; ``offset`` gives them back."""
    if not panel.name.startswith("com"):
        return panel
    curves = [replace(curve, y=curve.y + curve.offset, offset=0.0) for curve in panel.curves]
    quantity = panel.quantity.removeprefix(_SHIFT)
    if _far_apart(curves):
        quantity, curves = f"{_SHIFT}{quantity}", [_shifted(curve) for curve in curves]
    return replace(panel, quantity=quantity, curves=tuple(curves))


def _normalised(
    y: npt.NDArray[np.float64], e: npt.NDArray[np.float64], shape: _Shape, roi: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    inside = y[shape.window]
    mean = float(inside[np.isfinite(inside)].mean()) if np.isfinite(inside).any() else 0.0
    if mean == 0:
        raise SchemaError(f"ROI {roi!r} has no intensity in the window normalise={shape.window_text!r}")
    return y / mean, e / abs(mean)


def _treated(
    y: npt.NDArray[np.float64],
    e: npt.NDArray[np.float64],
    seconds: npt.NDArray[np.float64],
    cuts: npt.NDArray[np.int64],
    shape: _Shape,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smooth and differentiate each uninterrupted stretch by itself."""
    done = [
        _stretch(*stretch, shape)
        for stretch in zip(np.split(seconds, cuts), np.split(y, cuts), np.split(e, cuts), strict=True)
    ]
    return np.concatenate([y for y, _ in done]), np.concatenate([e for _, e in done])


def _stretch(
    seconds: npt.NDArray[np.float64], y: npt.NDArray[np.float64], e: npt.NDArray[np.float64], shape: _Shape
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    smoothing = shape.smoothing
    if shape.derivative and smoothing is not None and smoothing.order > 0:
        return local_fit(seconds, y, e, smoothing, derivative=1)
    if smoothing is not None:
        y, e = local_fit(seconds, y, e, smoothing)
    return local_fit(seconds, y, e, _SLOPE, derivative=1) if shape.derivative else (y, e)


def _broken(
    x: npt.NDArray[np.generic], y: npt.NDArray[np.float64], e: npt.NDArray[np.float64], cuts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Put a NaN into every gap."""
    between = x[cuts - 1] + (x[cuts] - x[cuts - 1]) / 2  # type: ignore[operator] # numbers or times
    return np.insert(x, cuts, between), np.insert(y, cuts, np.nan), np.insert(e, cuts, np.nan)


def _far_apart(curves: Sequence[Curve]) -> bool:
    """Whether the curves lie so far from each other that none of them would show its own change."""
    if len(curves) < 2:
        return False
    spans = [np.nanpercentile(curve.y, 98) - np.nanpercentile(curve.y, 2) for curve in curves]
    levels = sorted(float(np.nanmedian(curve.y)) for curve in curves)
    return bool(levels[-1] - levels[0] > 3 * max(spans))


def _shifted(curve: Curve) -> Curve:
    first = curve.y[np.isfinite(curve.y)][:10]
    offset = float(np.median(first))
    return replace(curve, y=curve.y - offset, offset=offset)
