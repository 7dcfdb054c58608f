"""The curves of a saved result under those of the explorer: broad and pale, to compare with, never changed."""

from __future__ import annotations

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource, LegendItem

from xinsitu.app.kinds import color_of
from xinsitu.app.model import ExplorerModel
from xinsitu.plots.curves import PALETTE, readable
from xinsitu.plots.timeline import breaks

from .curves import COLUMNS, DASHES, FIGURES, CurvesView


class ResultView:
    """Draws ``model.result`` into the figures of the curves."""

    def __init__(self, model: ExplorerModel, curves: CurvesView) -> None:
        self._model, self._curves = model, curves
        self.sources: dict[str, ColumnDataSource] = {}

    def update(self) -> None:
        """Show the result that was chosen, on the time axis that is shown; or none."""
        self._clear()
        result = self._model.result
        if result is None:
            self._curves.fit()
            return
        label = str(result.attrs.get("result_name", "result"))
        drawn: dict[str, list[object]] = {name: [] for name in FIGURES}
        for number, name in enumerate(map(str, result["roi"].values)):
            self._add(name, self._color(name, number), result.sel(roi=name), drawn)
        for figure_name, renderers in drawn.items():
            if renderers:
                self._curves.figures[figure_name].legend[0].items.append(LegendItem(label=label, renderers=renderers))
        self._widen(result)

    def _clear(self) -> None:
        gone = {source.id for source in self.sources.values()}
        for one in self._curves.figures.values():
            dead = [each for each in one.renderers if getattr(getattr(each, "data_source", None), "id", "") in gone]
            one.renderers = [each for each in one.renderers if each not in dead]
            legend = one.legend[0]
            legend.items = [item for item in legend.items if not set(item.renderers) & set(dead)]
        self.sources = {}

    def _add(self, name: str, color: str, series: xr.Dataset, drawn: dict[str, list[object]]) -> None:
        present = [column for column in COLUMNS if column in series and np.isfinite(series[column].values).any()]
        seconds = (series["time"].values - series["time"].values[0]) / np.timedelta64(1, "s")
        cuts = breaks(series, seconds)
        data = {"x": np.insert(self._model.places_of(series["time"].values), cuts, np.nan)}
        for column in present:
            values = np.asarray(series[column].values, dtype="float64")
            if column.startswith("com") and self._model.shift:
                values = values - np.median(values[np.isfinite(values)][:10])
            data[column] = np.insert(values, cuts, np.nan)
        source = self.sources[name] = ColumnDataSource(data=data, name=f"result:{name}")
        for figure_name, columns in FIGURES.items():
            for column in columns:
                if column in present:
                    line = self._curves.figures[figure_name].line(
                        "x", column, source=source, color=color, line_width=5, line_alpha=0.3,
                        line_dash=DASHES.get(column, "solid"), level="underlay",
                    )  # fmt: skip
                    line.hover_glyph = line.muted_glyph = line.nonselection_glyph = None
                    drawn[figure_name].append(line)

    def _color(self, name: str, number: int) -> str:
        """Return the colour of the ROI of that name, or another one."""
        rois = self._model.rois
        own = color_of(rois[name], rois.names.index(name)) if name in rois.names else PALETTE[number % len(PALETTE)]
        return "#777777" if own == "white" else readable(own)

    def _widen(self, result: xr.Dataset) -> None:
        """Show all of the result where it reaches beyond the frames."""
        places, shown = self._model.places_of(result["time"].values[[0, -1]]), self._curves.x_range
        start, end = min(shown.reset_start, places[0]), max(shown.reset_end, places[1])
        shown.update(start=start, end=end, reset_start=start, reset_end=end)
