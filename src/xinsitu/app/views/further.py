"""The curves of one quantity more, chosen above the kymograph: neither measured nor made before somebody asks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bokeh.models import ColumnDataSource, DataRange1d, MultiLine, Segment, Span
from bokeh.plotting import figure

from xinsitu.app.state.further_state import Further
from xinsitu.app.state.kinds import color_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.plots.curves import readable
from xinsitu.plots.thinning import ON_SCREEN, extremes

from .channel import script, ticks
from .curves_view import TIMED, CurvesView
from .drawing import PLAIN, Drawing, put, watch

BARS = 75
"""Error bars of a curve; more nobody can tell apart."""


class FurtherView(Drawing):
    """A figure among the curves while ``model.further.further`` names a quantity."""

    work = staticmethod(Further.measured)

    def __init__(self, model: ExplorerModel, curves: CurvesView, seek: Callable[[figure], None]) -> None:
        self._model, self._curves, self._seek = model, curves, seek
        self._figure: figure | None = None
        self._lines = ColumnDataSource(data={"xs": [], "ys": [], "color": []}, name="further")
        self._bars = ColumnDataSource(data={"x": [], "low": [], "high": [], "color": []})
        watch(model.further, self.place, "further")
        watch(model.further, self._draw, "found")
        watch(model.regions, self._draw, "hidden")
        watch(model.attenuation, self._draw, "scaled", "changes")
        watch(model.view, self._draw, "axis")

    def request(self) -> object | None:
        """Return what has to be measured."""
        return self._model.further.request()

    def take(self, found: object) -> None:
        """Take the numbers over; they draw themselves."""
        self._model.further.take(found)  # type: ignore[arg-type] # what its work returned

    def place(self) -> None:
        """Put the figure above the kymograph, or take it away."""
        self._lines.data = {"xs": [], "ys": [], "color": []}
        self._bars.data = {"x": [], "low": [], "high": [], "color": []}
        others = [one for one in self._curves.below if one is not self._figure]
        if self._model.further.further:
            self._figure = self._figure or self._made()
            self._figure.yaxis.axis_label = self.label()
            others = [self._figure, *others]
        self._curves.below = others
        self._curves.labels()
        self._draw()  # what a page that is loaded again shows is measured already

    def label(self) -> str:
        """Name the quantity, its direction, and its unit."""
        name, _, way = self._model.further.further.partition("_")
        words = {"com": "COM", "fwhm": "FWHM", "std": "std. deviation", "maximum": "highest pixel",
                 "minimum": "lowest pixel", "mean": "mean pixel", "brightest": "brightest pixels"}  # fmt: skip
        unit = "1" if name == "skewness" else "px" if way else ""
        direction = self._model.view.direction(way) if way in ("y", "x") else way
        return f"{words.get(name, name)} {direction}".strip() + (f"\n({unit})" if unit == "px" else "")

    def _made(self) -> figure:
        one = figure(name="curve_further", x_range=self._curves.x_range, y_range=DataRange1d(syncable=False), **TIMED)
        one.yaxis.formatter = ticks()
        self._curves.in_time(one)
        self._curves.mark(one)
        one.add_glyph(
            self._bars, Segment(x0="x", y0="low", x1="x", y1="high", line_color="color", line_alpha=0.3), **PLAIN
        )
        one.add_glyph(self._lines, MultiLine(xs="xs", ys="ys", line_color="color", line_width=1.5), **PLAIN)
        first = self._curves.cursors[0]
        cursor = Span(name="cursor:further", dimension="height", location=first.location, line_width=2, level="overlay")
        first.js_link("location", cursor, "location")
        one.add_layout(cursor)
        theme = script("theme")
        for change in ("inner_width", "inner_height"):
            one.js_on_change(change, theme)
        self._seek(one)
        return one

    def _draw(self) -> None:
        """Draw what was measured of the ROIs that are not hidden."""
        further, regions = self._model.further, self._model.regions
        if not further.further or further.found is None or further.further not in further.found:
            return
        every, names = self._model.view.coordinates(), [str(name) for name in further.found["roi"].values]
        lines: dict[str, list[object]] = {"xs": [], "ys": [], "color": []}
        bars: dict[str, list[object]] = {"x": [], "low": [], "high": [], "color": []}
        for position, roi in enumerate(regions.rois):
            if roi.name in regions.hidden or roi.name not in names:
                continue
            values, errors = further.drawn(roi.name)
            x, color = every[: len(values)], color_of(roi, position)
            color = readable(color) if color != "white" else "#999999"
            kept = extremes(x, values, ON_SCREEN) if len(x) > 3 * ON_SCREEN else np.arange(len(x))
            cuts = np.searchsorted(kept, self._model.view.breaks())
            lines["xs"].append(np.insert(x[kept].astype("float64"), cuts[cuts < len(kept)], np.nan))
            lines["ys"].append(np.insert(values[kept], cuts[cuts < len(kept)], np.nan))
            lines["color"].append(color)
            some = slice(None, None, len(x) // BARS + 1)
            bars["x"].extend(x[some])
            bars["low"].extend((values - errors)[some])
            bars["high"].extend((values + errors)[some])
            bars["color"].extend([color] * len(x[some]))
        put(self._lines, lines)
        put(self._bars, bars)
