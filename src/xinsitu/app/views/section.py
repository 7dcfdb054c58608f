"""The selected ROI at the frame that is shown: cut-out, both profiles, centre of mass and half-maximum width."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import row
from bokeh.models import BasicTicker, ColumnDataSource, LogColorMapper, Range1d
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

from xinsitu.app.data.cutouts import Section
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.state.view import limits_of

from .channel import ticks


class SectionView:
    """Three small figures side by side."""

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        self.image = ColumnDataSource(data={"image": [np.zeros((2, 2))], "x": [0], "y": [0], "dw": [1], "dh": [1]})
        self._mapper = LogColorMapper(palette=Viridis256, low=0.5, high=100, nan_color="#bbbbbb")
        self.profiles = {
            axis: ColumnDataSource(data={"at": [], "profile": []}, name=f"profile_{axis}") for axis in ("x", "y")
        }
        self.widths = {
            axis: ColumnDataSource(data={"at": [], "level": []}, name=f"width_{axis}") for axis in ("x", "y")
        }
        common = {"height": 170, "sizing_mode": "stretch_width", "tools": "save", "output_backend": "canvas"}
        self.cut = figure(name="cutout", x_range=Range1d(0, 1), y_range=Range1d(1, 0), **common)
        layer = self.cut.image(
            image="image", x="x", y="y", dw="dw", dh="dh", source=self.image, color_mapper=self._mapper
        )
        layer.hover_glyph = layer.muted_glyph = layer.nonselection_glyph = layer.selection_glyph = None
        self._plots = {axis: figure(name=f"profile_{axis}", **common) for axis in ("x", "y")}
        for axis, one in self._plots.items():
            one.step("at", "profile", source=self.profiles[axis], mode="center", color="#1f4e79", line_width=1.5)
            one.line("at", "level", source=self.widths[axis], color="#e6194b", line_width=2)
            one.scatter("at", "level", source=self.widths[axis], color="#e6194b", size=5, marker="circle")
        for one in (self.cut, *self._plots.values()):
            one.toolbar.logo = None
            one.toolbar.autohide = True
            one.title.update(text_font_size="10px", text_font_style="normal")
            one.xaxis.ticker = BasicTicker(desired_num_ticks=4)
            one.yaxis.formatter = ticks()
            one.yaxis.ticker = BasicTicker(desired_num_ticks=5)
            one.grid.grid_line_alpha = 0.4
        self.row = row(self.cut, *self._plots.values(), sizing_mode="stretch_width")

    def numbers(self) -> None:
        """Say centre and width again: the selected ROI was measured after its cut-out was shown."""
        for axis, source in self.profiles.items():
            if len(source.data["at"]):
                self._width(axis, np.asarray(source.data["profile"]), *self._measured(axis))

    def clear(self) -> None:
        """Show nothing: there is no frame."""
        for source in (*self.profiles.values(), *self.widths.values()):
            source.data = {name: [] for name in source.data}

    def show(self, found: Section) -> None:
        """Show a cut-out and its profiles."""
        (y0, y1), (x0, x1) = found.roi.y, found.roi.x
        place = {"x": [x0 - 0.5], "y": [y0 - 0.5], "dw": [x1 - x0], "dh": [y1 - y0]}
        self.image.data = {"image": [found.image.astype("float32")], **place}
        self.cut.x_range.update(start=x0 - 0.5, end=x1 - 0.5)
        self.cut.y_range.update(start=y1 - 0.5, end=y0 - 0.5)
        # the cut-out is the frame itself, also where the image shows its change
        plain = self._model.compare == "values"
        low, high = self._model.limits if plain else limits_of(found.image, log=True)
        self._mapper.update(low=max(low, 1e-6), high=max(high, low + 1e-6, 2e-6))
        self.cut.title.text = found.roi.name
        for axis, values, first in (("x", found.x, x0), ("y", found.y, y0)):
            self.profiles[axis].data = {"at": first + np.arange(len(values)), "profile": values}
            self._width(axis, values, *self._measured(axis))

    def _measured(self, axis: str) -> tuple[float, float]:
        """Return centre of mass and width of the frame that is shown, as they stand in the curves."""
        series, frame = self._model.numbers_of(self._model.selected), self._model.frame
        if series is None or frame >= series.sizes["time"]:
            return float("nan"), float("nan")
        return float(series[f"com_{axis}"].values[frame]), float(series[f"fwhm_{axis}"].values[frame])

    def _width(self, axis: str, values: np.ndarray, com: float, width: float) -> None:
        """Draw the half-maximum width where it was found, at half height."""
        self._plots[axis].title.text = f"{self._model.direction(axis)} {com:.2f}, FWHM {width:.2f}"
        if not (np.isfinite(com) and np.isfinite(width)):
            self.widths[axis].data = {"at": [], "level": []}
            return
        edge = max(1, round(0.05 * len(values)))
        base = float(np.mean([*values[:edge], *values[-edge:]]))
        half = base + (float(np.nanmax(values)) - base) / 2
        left, right = crossings(values, half)
        first = self.profiles[axis].data["at"][0]
        self.widths[axis].data = {"at": [first + left, first + right], "level": [half, half]}


def crossings(values: np.ndarray, level: float) -> tuple[float, float]:
    """Places where a profile first falls through a level, outwards from its maximum.

    Examples
    --------
    >>> crossings(np.array([0.0, 1.0, 5.0, 1.0, 0.0]), 3.0)
    (1.5, 2.5)
    """
    top = int(np.nanargmax(values))
    right = next((i for i in range(top, len(values) - 1) if values[i + 1] < level <= values[i]), None)
    left = next((i for i in range(top, 0, -1) if values[i - 1] < level <= values[i]), None)
    ends = []
    for inner, outer in ((left, -1), (right, 1)):
        if inner is None:
            ends.append(float("nan"))
        else:
            ends.append(inner + outer * (values[inner] - level) / (values[inner] - values[inner + outer]))
    return float(ends[0]), float(ends[1])
