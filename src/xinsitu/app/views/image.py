"""The detector: one frame, linear or logarithmic, square pixels, pixel and value under the mouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    Image,
    Label,
    LinearColorMapper,
    LogColorMapper,
    Range1d,
)
from bokeh.palettes import RdBu11, Viridis256, all_palettes
from bokeh.plotting import figure

from xinsitu.app.state.model import ExplorerModel
from xinsitu.schema import image_of

from .channel import ticks
from .drawing import PLAIN, Drawing, watch

LARGEST = 600_000
"""Pixels of a frame that travel; a larger one is shown with its highest pixels, as a screen has no more."""
CLOSEST = 12
"""Pixels along the longer side of the image that are in view when nothing comes closer."""
BAR = 43
"""Room for the bar of colours and five figures: the image stays as large as it is when its limits change."""
NOTHING = "#bbbbbb"
"""Colour of pixels without a value."""
STATE_COLOURS = {"masked": NOTHING, "faulty": "#ff9ad5", "saturated": "#00e5ff"}
"""Colours that no colour map has, by the names of :data:`.pixel_states.STATES`."""
MOST = 200_000
"""Values of a calibration that travel; between those the browser reads linearly."""
_NAMES = {"two_theta": "2θ", "chi": "χ", "exit_angle": "exit angle"}
_UNITS = {"": "", "degree": "°", "1/angstrom": " Å⁻¹"}
"""As they stand behind a number, for the line has no room for words."""


class ImageView(Drawing):
    """Draws the frames of a model; ``figure`` goes into the page."""

    at = "image"

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        (top, bottom), (left, right) = model.view.shape
        empty = [np.zeros((2, 2), dtype="float32")]
        self.source = ColumnDataSource(data={"image": empty, "hidden": empty}, name="frame")
        self.maps = grids(model.view.calibration)
        image = image_of(model.store.data)
        closest = min(1.0, CLOSEST / max(bottom - top, right - left))
        self.figure = figure(
            name="image",
            x_range=_range(left - 0.5, right - 0.5, closest),
            y_range=_range(bottom - 0.5, top - 0.5, closest),
            x_axis_label=_axis(str(image["x"].attrs.get("long_name", ""))) if "x" in image.coords else "column",
            y_axis_label=_axis(str(image["y"].attrs.get("long_name", ""))) if "y" in image.coords else "row",
            tools="wheel_zoom,save",
            active_scroll="wheel_zoom",
            toolbar_location=None,
            sizing_mode="fixed",
            width=400,
            height=260,
            min_border_left=46,
            min_border_right=BAR,
            output_backend="canvas",
        )
        self.figure.grid.visible = False
        quiet(self.figure)
        self.mappers = [
            mapper(palette=palette, low=0.5, high=1000, nan_color=NOTHING)
            for mapper, palette in ((LogColorMapper, Viridis256), (LinearColorMapper, Viridis256),
                                    (LinearColorMapper, RdBu11))
        ]  # fmt: skip
        place = {"x": left - 0.5, "y": top - 0.5, "dw": right - left, "dh": bottom - top}
        self.layers = [
            self.figure.add_glyph(self.source, Image(image="hidden", color_mapper=mapper, **place), **PLAIN)
            for mapper in self.mappers
        ]
        self._states = np.zeros((2, 2), dtype="uint8")
        self.states = ColumnDataSource(data={"image": [self._states]}, name="states", tags=[0, 0, 0])
        marked = LinearColorMapper(palette=list(STATE_COLOURS.values()), low=0.5, high=3.5, low_color="#00000000")
        self.figure.add_glyph(self.states, Image(image="image", color_mapper=marked, **place), **PLAIN)
        numbers = {"formatter": ticks(), "major_label_text_font_size": "10px", "label_standoff": 2}
        self._bars = [ColorBar(color_mapper=mapper, width=9, padding=2, **numbers) for mapper in self.mappers]
        for bar in self._bars:
            self.figure.add_layout(bar, "right")
        self.fault = Label(
            x=12, y=12, x_units="screen", y_units="screen", text="", text_color="#b00020", visible=False,
            background_fill_color="white", background_fill_alpha=0.85, name="fault",
        )  # fmt: skip
        self.figure.add_layout(self.fault)
        self.scale()
        self.root, self.figures = self.figure, {"image": self.figure}
        self._paint()
        watch(model.view, self.scale, "limits", "log_image", "compare")
        watch(model.view, self._paint, "colours")
        watch(model.view, self._unit, "compare", "corrected", "corrections")
        self._unit()

    @property
    def aspect(self) -> float:
        """Height of the frame over its width."""
        (top, bottom), (left, right) = self._model.view.shape
        return (bottom - top) / (right - left)

    def scale(self) -> None:
        """Take over the colours: of three layers one is visible, as Bokeh does not repaint for another mapper.

        The others have no frame, as Bokeh would colour it for them, too.
        """
        low, high = self._model.view.limits
        chosen = 2 if self._model.view.compare != "values" else 0 if self._model.view.log_image else 1
        for number, (mapper, layer, bar) in enumerate(zip(self.mappers, self.layers, self._bars, strict=True)):
            if number == chosen:
                mapper.update(low=max(low, 1e-6) if number == 0 else low, high=max(high, low + 1e-6, 2e-6))
            layer.visible = bar.visible = number == chosen
            layer.glyph.image = "image" if number == chosen else "hidden"

    def _unit(self) -> None:
        """Tell the line under the image what the values are in."""
        self.source.tags = [self._model.view.unit if self._model.view.compare == "values" else ""]

    def _paint(self) -> None:
        """Take over the colours of counts; those of a change have a middle, and stay."""
        for mapper in self.mappers[:2]:
            mapper.palette = all_palettes[self._model.view.colours.capitalize()][256]

    def show(self, values: npt.NDArray[Any], states: npt.NDArray[np.uint8]) -> None:
        """Show a frame ``(y, x)``, and which of its pixels are no good; of a change those of the later frame."""
        self.fault.visible = False
        if values.dtype.kind == "f":
            states = np.where(np.isnan(values) & (states == 0), np.uint8(1), states)
        self._mark(shrunk(states).astype("uint8"), np.bincount(states.ravel(), minlength=4)[1:4].tolist())
        self.source.data.update(image=[shrunk(values)])

    def _mark(self, states: npt.NDArray[np.uint8], numbers: list[int]) -> None:
        """Colour pixels by their states; mostly they are those of the frame before, and nothing travels."""
        if not np.array_equal(states, self._states) and (any(numbers) or any(self.states.tags)):
            self._states = states
            self.states.update(data={"image": [states]}, tags=numbers)

    def show_fault(self, text: str) -> None:
        """Show a grey frame and why there is none."""
        self.fault.update(text=text[:160], visible=True)
        self._mark(np.zeros((2, 2), dtype="uint8"), [0, 0, 0])
        self.source.data.update(image=[np.full((2, 2), np.nan, dtype="float32")])


def quiet(one: figure) -> None:
    """Let the axes of a figure be small and plain: room is for the data."""
    for axis in (*one.xaxis, *one.yaxis):
        axis.update(
            axis_label_text_font_style="normal", axis_label_text_font_size="11px", axis_label_standoff=2,
            minor_tick_line_color=None,
        )  # fmt: skip


def _range(start: float, end: float, closest: float) -> Range1d:
    least, bounds = closest * abs(end - start), (min(start, end), max(start, end))
    return Range1d(start, end, reset_start=start, reset_end=end, bounds=bounds, min_interval=least)


def _axis(name: str) -> str:
    return f"{name} (pixel)"


def shrunk(values: npt.NDArray[Any], largest: int = LARGEST) -> npt.NDArray[Any]:
    """Return a frame of at most so many pixels, each the highest of those that it stands for; integers as int32.

    Examples
    --------
    >>> shrunk(np.arange(16).reshape(4, 4), largest=4)
    array([[ 5,  7],
           [13, 15]], dtype=int32)
    """
    values = values.astype("float32" if values.dtype.kind == "f" else "int32", copy=False)
    step = int(np.ceil(np.sqrt(values.size / largest)))
    if step <= 1:
        return np.ascontiguousarray(values)
    rows, columns = values.shape[0] // step * step, values.shape[1] // step * step
    blocks = values[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return np.asarray(blocks.max(axis=(1, 3)))


def grids(calibration: Mapping[str, xr.DataArray]) -> dict[str, dict[str, object]]:
    """Return calibrations by name as plain numbers, vectors along y or x, or maps: see ``js/gestures.js``."""
    return {_NAMES.get(str(array.name), str(array.name)): _grid(array) for array in calibration.values()}


def _grid(array: xr.DataArray) -> dict[str, object]:
    """Values of a calibration row by row, and where they are on the detector."""
    step = max(1, int(np.ceil(np.sqrt(array.size / MOST)))) if array.ndim == 2 else 1
    full = array.transpose(*(dim for dim in ("y", "x") if dim in array.dims))
    part = full.isel({dim: slice(None, None, step) for dim in full.dims})
    first = {str(dim): float(part[dim].values[0]) for dim in part.dims}
    values, units = np.asarray(part.values, dtype="float64"), str(array.attrs.get("units", ""))
    return {
        "source": ColumnDataSource(data={"values": values.ravel()}),
        "y0": first.get("y", 0.0), "x0": first.get("x", 0.0), "step": step,
        "rows": part.sizes.get("y", 1), "columns": part.sizes.get("x", 1), "units": _UNITS.get(units, f" {units}"),
        "turn": 360 if array.name == "chi" else 0, "digits": {"q": 5, "two_theta": 5, "chi": 4}.get(str(array.name), 6),
    }  # fmt: skip
