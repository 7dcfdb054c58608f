"""The profile of the selected ROI against time, with its centre of mass and half-maximum width over it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    Image,
    Line,
    LinearColorMapper,
    LogColorMapper,
    LogTicker,
    Range1d,
    Scatter,
    Span,
)
from bokeh.palettes import RdBu11, Viridis256, all_palettes
from bokeh.plotting import figure

from xinsitu.app.data.cutouts import Kymograph
from xinsitu.app.state.model import ExplorerModel

from .channel import ticks
from .curves_view import ABOVE, CurvesView
from .drawing import PLAIN, Drawing, put, renew, watch


class KymographView(Drawing):
    """Time runs as in the curves, below which it stands; of its layers one is visible."""

    work = staticmethod(Kymograph.of)

    def __init__(self, model: ExplorerModel, curves: CurvesView) -> None:
        self._model = model
        self._found: Kymograph | None = None
        watch(model.cutouts, self.scale, "log_kymograph")
        watch(model.view, self._paint, "colours")
        self.source = ColumnDataSource(
            data={"image": [np.zeros((2, 2), "float32")], "x": [0], "y": [0], "dw": [1], "dh": [1]}
        )
        self.trace = ColumnDataSource(data={"x": [], "com": [], "low": [], "high": []}, name="kymograph_trace")
        self.path = ColumnDataSource(data={"x": [], "low": [], "high": []}, name="kymograph_path")
        self.keys = ColumnDataSource(data={"x": [], "at": []}, name="kymograph_keys")
        self.figure = figure(name="kymograph", x_range=curves.x_range, y_range=Range1d(0, 1), **ABOVE)
        self.figure.grid.visible = False
        self.figure.styles = {"flex": "1.8 1 0px"}
        curves.in_time(self.figure)
        self.figures = {"kymograph": self.figure}
        self.figure.yaxis.formatter = ticks()
        self._mappers = (
            LinearColorMapper(palette=Viridis256, nan_color="white"),
            LinearColorMapper(palette=RdBu11, nan_color="white"),
            LogColorMapper(palette=Viridis256, nan_color="white", low=0.1, high=1),
        )
        self._layers = [
            self.figure.add_glyph(
                self.source, Image(image="image", x="x", y="y", dw="dw", dh="dh", color_mapper=mapper), **PLAIN
            )
            for mapper in self._mappers
        ]
        self._bars = [
            ColorBar(
                color_mapper=mapper, orientation="horizontal", width=130, height=7, padding=3, margin=2,
                location=(0, 0), major_label_text_font_size="10px", background_fill_alpha=0,
                ticker=LogTicker(desired_num_ticks=3) if isinstance(mapper, LogColorMapper) else
                BasicTicker(desired_num_ticks=3), visible=False, formatter=ticks(),
            )
            for mapper in self._mappers
        ]  # fmt: skip
        for bar in self._bars:  # above the picture: beside it the time axis would be another one
            self.figure.add_layout(bar, "above")
        for column, dash in (("com", "solid"), ("low", "dashed"), ("high", "dashed")):
            self.figure.add_glyph(
                self.trace, Line(x="x", y=column, line_color="#e6194b", line_width=1.2, line_dash=dash), **PLAIN
            )
        for column in ("low", "high"):
            self.figure.add_glyph(self.path, Line(x="x", y=column, line_color="#555555", line_dash="dotted"), **PLAIN)
        keys = Scatter(x="x", y="at", marker="diamond", size=8, fill_color="white", line_color="black")
        self.figure.add_glyph(self.keys, keys, **PLAIN)
        self._paint()
        self.cursor = Span(
            name="cursor:kymograph", dimension="height", location=0, line_color="black", line_width=2,
            level="overlay", editable=True,
        )  # fmt: skip
        self.figure.add_layout(self.cursor)

    def request(self) -> object | None:
        """Return the frames and the ROI."""
        request = self._model.cutouts.kymograph_request()
        return None if request is None else replace(request, before=self._found)

    def take(self, found: Kymograph) -> None:
        """Show a kymograph and, over it, what was measured."""
        low, high = found.ends
        place = {"x": [found.left], "y": [low], "dw": [found.right - found.left], "dh": [high - low]}
        self._send(found.values, place)
        self.figure.y_range.update(start=low, end=high)
        self._found = found
        self.scale()
        roi, axis = self._model.regions.roi, self._model.view.direction(str(found.axis.name))
        unit = "°" if found.axis.attrs.get("units") == "degree" else "px"
        self.figure.yaxis.axis_label = f"{'' if roi is None else roi.name}\n{axis} ({unit})"
        self._draw_path(found)
        self.measured()

    def _send(self, values: npt.NDArray[np.float32], place: dict[str, list[float]]) -> None:
        """Let the page have an image; where it stays where it is, only the columns that are others."""
        before, first, behind = self.source.data["image"][0], 0, values.shape[1]
        if before.shape == values.shape and all(self.source.data[name] == at for name, at in place.items()):
            others = np.flatnonzero(((before != values) & ((before == before) | (values == values))).any(axis=0))
            first, behind = (int(others[0]), int(others[-1]) + 1) if others.size else (0, 0)
        if 2 * (behind - first) > values.shape[1]:
            self.source.data = {"image": [values.copy()], **place}  # patches are written into it
        elif behind:
            part = slice(first, behind)
            self.source.patch({"image": [((0, slice(0, len(values)), part), np.ascontiguousarray(values[:, part]))]})

    def _paint(self) -> None:
        for mapper in (self._mappers[0], self._mappers[2]):
            mapper.palette = all_palettes[self._model.view.colours.capitalize()][256]

    def scale(self) -> None:
        """Colour what is shown, evenly or by its logarithm; a change evenly about zero."""
        if self._found is None:
            return
        signed, values = self._found.signed, self._found.values
        log = self._model.cutouts.log_kymograph and not signed
        finite = values[np.isfinite(values)]
        finite = finite[finite > 0] if log else finite
        top = float(np.percentile(np.abs(finite) if signed else finite, 99.8)) if finite.size else 1.0
        bottom = -top if signed else float(np.percentile(finite, 0.5)) if finite.size else 0.0
        chosen = 1 if signed else 2 if log else 0
        bottom = max(bottom, top / 1e4) if log else bottom
        self._mappers[chosen].update(low=bottom, high=max(top, bottom + 1e-6))
        for number, parts in enumerate(zip(self._layers, self._bars, strict=True)):
            for part in parts:
                part.visible = number == chosen

    def _draw_path(self, found: Kymograph) -> None:
        """Draw the edges of a ROI that moves, and the middle of its key frames."""
        x, number = self._model.view.coordinates(), 0 if self._model.cutouts.along == "y" else 1
        if found.edges is None:
            put(self.path, {"x": [], "low": [], "high": []})
        else:
            low, high = found.edges[:, 0] - 0.5, found.edges[:, 1] - 0.5
            put(self.path, {"x": x[: len(found.edges)], "low": low, "high": high})
        moves = self._model.regions.key_frames() if found.edges is not None else ()
        keys = [(x[at], (box[number][0] + box[number][1] - 1) / 2) for at, box in moves]
        put(self.keys, {"x": [place for place, _ in keys], "at": [middle for _, middle in keys]})

    def measured(self) -> None:
        """Draw centre of mass and half-maximum width of the selected ROI, as far as they are measured."""
        axis, series = self._model.cutouts.axis, self._model.numbers.of(self._model.regions.selected)
        if series is None or f"com_{axis}" not in series:
            put(self.trace, {"x": [], "com": [], "low": [], "high": []})
            return
        x, cuts = self._model.view.coordinates(), self._model.view.breaks()
        series = series.isel(time=slice(0, len(x)))  # fewer where one is written anew
        com, width = series[f"com_{axis}"].values, series[f"fwhm_{axis}"].values
        cuts = cuts[cuts < len(com)]
        columns = {
            "x": x[: len(com)], "com": com, "low": com - width / 2, "high": com + width / 2
        }  # fmt: skip
        renew(self.trace, {name: np.insert(values, cuts, np.nan) for name, values in columns.items()})
