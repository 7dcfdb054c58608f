"""The curves of a saved result under those of the explorer: broad and pale, to compare with, never changed."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource, GlyphRenderer, Line

from xinsitu.app.state.kinds import color_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.plots.curves import PALETTE, readable
from xinsitu.plots.timeline import breaks

from .curves_view import COLUMNS, FIGURES, CurvesView
from .drawing import PLAIN, Drawing, watch


class ResultView(Drawing):
    """Draws ``model.curves.result`` into the figures of the curves."""

    def __init__(self, model: ExplorerModel, curves: CurvesView) -> None:
        self._model, self._curves = model, curves
        self.sources: dict[str, ColumnDataSource] = {}
        watch(model.curves, self.update, "result", "shift")
        watch(model.view, self.update, "axis")

    def update(self) -> None:
        """Show the result that was chosen, on the time axis that is shown; or none."""
        if self._model.curves.result is None and not self.sources:
            return  # a freeze ends with a walk through all models
        document = self._curves.column.document
        with nullcontext() if document is None else document.models.freeze():  # all models at once
            self._update()

    def _update(self) -> None:
        result = self._model.curves.result
        if self.sources:
            self._clear()
            self._curves.fit()
        if result is None:
            return
        drawn: dict[str, list[GlyphRenderer]] = {name: [] for name in FIGURES}
        for number, name in enumerate(map(str, result["roi"].values)):
            self._add(name, self._color(name, number), result.sel(roi=name), drawn)
        for figure_name, renderers in drawn.items():
            if renderers:  # all at once and below the curves: each change of a figure costs the browser a while
                one = self._curves.figures[figure_name]
                one.renderers = [*renderers, *one.renderers]
        self._widen(result)

    def _clear(self) -> None:
        gone = {source.id for source in self.sources.values()}
        for one in self._curves.figures.values():
            dead = [each for each in one.renderers if getattr(getattr(each, "data_source", None), "id", "") in gone]
            one.renderers = [each for each in one.renderers if each not in dead]
        self.sources = {}

    def _add(self, name: str, color: str, series: xr.Dataset, drawn: dict[str, list[GlyphRenderer]]) -> None:
        present = [column for column in COLUMNS if column in series and np.isfinite(series[column].values).any()]
        seconds = (series["time"].values - series["time"].values[0]) / np.timedelta64(1, "s")
        cuts = breaks(series, seconds)
        data = {"x": np.insert(self._model.view.places_of(series["time"].values), cuts, np.nan)}
        for column in present:
            values = np.asarray(series[column].values, dtype="float64")
            if column.startswith("com") and self._model.curves.shift:
                values = values - np.median(values[np.isfinite(values)][:10])
            data[column] = np.insert(values, cuts, np.nan)
        source = self.sources[name] = ColumnDataSource(data=data, name=f"result:{name}")
        for figure_name, column in FIGURES.items():
            if column in present:
                line = Line(x="x", y=column, line_color=color, line_width=5, line_alpha=0.3)
                drawn[figure_name].append(GlyphRenderer(data_source=source, glyph=line, **PLAIN))

    def _color(self, name: str, number: int) -> str:
        """Return the colour of the ROI of that name, or another one."""
        rois = self._model.regions.rois
        own = color_of(rois[name], rois.names.index(name)) if name in rois.names else PALETTE[number % len(PALETTE)]
        return "#777777" if own == "white" else readable(own)

    def _widen(self, result: xr.Dataset) -> None:
        """Show all of the result where it reaches beyond the frames."""
        places, shown = self._model.view.places_of(result["time"].values[[0, -1]]), self._curves.x_range
        self._curves.show(min(shown.reset_start, places[0]), max(shown.reset_end, places[1]))
