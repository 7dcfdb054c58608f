"""Centre of mass, width and intensity of the ROIs against time, with a cursor at the frame that is shown."""

from __future__ import annotations

import numpy as np
import xarray as xr
from bokeh.model import Model
from bokeh.models import (
    BoxZoomTool,
    Column,
    ColumnDataSource,
    CustomJS,
    DataRange1d,
    DatetimeAxis,
    DatetimeTicker,
    DatetimeTickFormatter,
    GlyphRenderer,
    Label,
    LabelSet,
    Line,
    LinearAxis,
    Range1d,
    Scatter,
    Span,
    VSpan,
    VStrip,
)
from bokeh.plotting import figure

from xinsitu.app.state.kinds import color_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.plots.curves import readable
from xinsitu.values import Roi

from .channel import Channel, script, ticks
from .drawing import PLAIN, Drawing, put, renew, watch
from .image import quiet
from .roi_readout import why_empty

FIGURES = {
    "com_x": "com_x", "com_y": "com_y", "fwhm_x": "fwhm_x", "fwhm_y": "fwhm_y",
    "intensity": "intensity", "intensity_log": "intensity",
}  # fmt: skip
"""One figure per quantity and direction, top to bottom, and its column; the intensity has one for each scale."""
COLUMNS = tuple(dict.fromkeys(FIGURES.values()))
SENT = (*COLUMNS, *(f"{name}_errors" for name in COLUMNS), "quality", "n_valid")
"""Columns that travel to the browser: each costs a message."""
DRAWN = {
    "lines": tuple(f"{name}{ending}" for name in COLUMNS for ending in ("_x", "")),
    "bars": ("x", *COLUMNS),
    "flags": tuple(f"{name}{ending}" for name in COLUMNS for ending in ("_x", "")),
}
"""What the browser makes of the numbers of a ROI, each in a source of its own; none of it comes back to the server."""
FILTERS = ("smooth", "derivative", "normalised")
"""What is done to curves before they are drawn."""
CLOSEST = 4
"""Frames that are in view when nothing comes closer."""
FLAGGED, CHOSEN = "#b00020", "#009e73"
TIMED = {
    "tools": "xwheel_zoom,xbox_zoom,save", "active_scroll": "xwheel_zoom", "toolbar_location": None, "height": 60,
    "sizing_mode": "stretch_both", "min_border_left": 74, "min_border_right": 12, "min_border_top": 3,
    "min_border_bottom": 3, "output_backend": "canvas",
}  # fmt: skip
"""What all figures along time have in common, so that they share their axis to the pixel."""
ABOVE = {**TIMED, "min_border_top": 28}
"""Room above a figure for its switches, so that they cover nothing."""
WHOLE = "range.setv({start: range.reset_start, end: range.reset_end})"


class CurvesView(Drawing):
    """Draws the numbers of a model; ``column`` goes into the page, ``places`` knows where each frame is in time.

    Of ``figures`` the intensity has two, for its two scales, under one name: the one that is not in the column has no
    view in the browser, and costs nothing there.
    """

    at = "curves"

    def __init__(self, model: ExplorerModel, channel: Channel) -> None:
        self._model, self._channel = model, channel
        self.places = ColumnDataSource(data={"x": model.view.coordinates()}, name="places")
        start, end = self._extent()
        self.x_range = Range1d(start, end, reset_start=start, reset_end=end)
        self.dates = {"ticker": DatetimeTicker(), "formatter": DatetimeTickFormatter()}  # one for all: of many models
        self.figures = {name: self._figure(name) for name in FIGURES}
        self.column = Column(sizing_mode="stretch_both", spacing=0)
        self.below: list[figure] = []
        self.cursors = [self._cursor(one) for one in self.figures.values()]
        self._sources: dict[str, ColumnDataSource] = {}
        self._drawn: dict[str, dict[str, ColumnDataSource]] = {}
        self._styles: dict[str, tuple[object, ...]] = {}
        self._marks = ColumnDataSource(data={"x": [], "text": []}, name="events")
        self._spans = ColumnDataSource(data={"left": [], "right": [], "color": []}, name="spans")
        self._why = {name: self._label(name) for name in FIGURES}
        top = self.figures["com_x"]
        names = LabelSet(
            x="x", y=4, y_units="screen", text="text", source=self._marks, angle=np.pi / 2, text_font_size="10px",
            text_color="#333333", text_baseline="bottom", x_offset=-2,
        )  # fmt: skip
        top.add_layout(names)
        for one in self.figures.values():
            self.mark(one)
        self.axis()
        self.update()
        self.root = self.column
        watch(model.regions, self.hide, "hidden")
        watch(model.view, self._another_axis, "axis")
        watch(model.view, self.labels, "corrected", "corrections")
        watch(model.curves, self.labels, "log_intensity", "shift", "derivative", "normalised")
        watch(model.curves, self.marks, "span")
        watch(model.curves, self._again, "smooth", "derivative", "normalised", "span")
        watch(model.logbook, self.marks, "events")
        watch(model.attenuation, self.marks, "changes", "proposals")
        watch(model.attenuation, self._again, "changes", "scaled")
        watch(model.numbers, self.marks, "bad_frames")
        watch(model.numbers, self._again, "bad_frames")

    # -- figures ------------------------------------------------------------------------------------------------------

    def _figure(self, name: str) -> figure:
        log = name.endswith("_log")
        one = figure(
            name=self.shown_as(name), x_range=self.x_range, y_range=DataRange1d(only_visible=True, syncable=False),
            y_axis_type="log" if log else "linear", **(ABOVE if name.startswith("intensity") else TIMED),
        )  # fmt: skip
        if not log:
            one.yaxis.formatter = ticks()
        if name.startswith("intensity"):
            one.styles = {"flex": "1.3 1 0px"}  # as high as the others, and its switches
        self.in_time(one)
        return one

    def _cursor(self, one: figure) -> Span:
        cursor = Span(
            name=f"cursor:{one.name}", dimension="height", location=self.places.data["x"][0], line_color="black",
            line_width=2, level="overlay", editable=True,
        )  # fmt: skip
        one.add_layout(cursor)
        return cursor

    def _label(self, name: str) -> Label:
        label = Label(
            name=f"why:{name}", x=6, y=6, x_units="screen", y_units="screen", text="", text_font_size="11px",
        )  # fmt: skip
        self.figures[name].add_layout(label)
        return label

    def _extent(self) -> tuple[float, float]:
        x = self.places.data["x"]
        low, high = float(np.min(x)), float(np.max(x))
        margin = 0.01 * (high - low) or 0.5
        return low - margin, high + margin

    def axis(self, *, grown: bool = False) -> None:
        """Take over the time axis, its label and its range; ``grown``: what stands elsewhere waits for its numbers."""
        model = self._model
        renew(self.places, {"x": model.view.coordinates()})
        self._channel.breaks = [int(position) for position in model.view.breaks()]
        self._channel.shift = model.curves.shift and not model.curves.derivative
        self.fit()
        for name, source in self._sources.items():
            if not grown or model.numbers.in_place(name):
                renew(source, {**source.data, "x": self.places.data["x"][: len(source.data["x"])]})
        self.marks()
        self.labels()

    def _another_axis(self) -> None:
        self._model.view.window = None  # of the axis before
        self.axis()

    def _again(self) -> None:
        """Show all numbers again: another change of attenuation is corrected, or none."""
        for name in self._model.regions.rois.names:
            self.numbers(name)

    def fit(self) -> None:
        """Show the whole time axis, unless somebody looks at a part of it."""
        self.show(*self._extent())

    def show(self, start: float, end: float) -> None:
        """Let the time axis go from here to there."""
        steps = np.diff(self.places.data["x"])
        least = min(CLOSEST * float(np.median(steps)), end - start) if steps.size else 0.0
        # first: what is in view is compared with them; a min_interval would change it where the axis is another one
        self.x_range.update(reset_start=start, reset_end=end, tags=[least])
        if self._model.view.window is None:
            self.x_range.update(start=start, end=end)

    def labels(self) -> None:
        """Name the vertical axes, show the intensity on the scale that was chosen, and only what a ROI measures."""
        model = self._model
        slope = "/s" if model.curves.derivative else ""
        for axis in ("x", "y"):
            direction = model.view.direction(axis)
            shift = "shift " if model.curves.shift and not model.curves.derivative else ""
            self.figures[f"com_{axis}"].yaxis.axis_label = f"COM {direction}\n{shift}(px{slope})"  # fits a low window
            self.figures[f"fwhm_{axis}"].yaxis.axis_label = f"FWHM {direction}\n(px{slope})"
        unit = "" if model.curves.normalised else model.view.unit
        units = f"{unit}{slope}" if unit else "1/s" if slope else ""
        for name in ("intensity", "intensity_log"):
            self.figures[name].yaxis.axis_label = f"intensity\n({units})" if units else "intensity"
        hidden = "intensity" if model.curves.log_intensity else "intensity_log"
        measured = [name for name in FIGURES if any(roi.measures(name.split("_")[0]) for roi in model.regions.rois)]
        for name, one in self.figures.items():
            one.name = None if name == hidden else self.shown_as(name)  # the page knows figures that it no longer has
        children = [*(self.figures[name] for name in measured if name != hidden), *self.below]
        for one in children:
            last = one is children[-1]
            number, date = [axis for axis in one.below if isinstance(axis, LinearAxis)][:2]
            number.visible, date.visible = not model.view.line.dated, model.view.line.dated
            for axis in (number, date):
                axis.axis_label = model.view.line.label if last else None
                axis.major_label_text_alpha = 1.0 if last else 0.0  # neither measured nor painted, at no repaint
        if self.column.children != children:
            self.column.children = children
        self._channel.shift = model.curves.shift and not model.curves.derivative

    def shown_as(self, name: str) -> str:
        """Return the name of a figure on the page, such as ``curve_com_l``: one for both of the intensity's."""
        quantity, _, axis = name.removesuffix("_log").partition("_")
        return f"curve_{quantity}" + (f"_{self._model.view.direction(axis)}" if axis else "")

    def hide(self) -> None:
        """Show the curves of the ROIs that are not hidden."""
        hidden = {source for name in self._model.regions.hidden for source in self._drawn.get(name, {}).values()}
        for one in self.figures.values():
            for renderer in one.renderers:
                visible = getattr(renderer, "data_source", None) not in hidden
                if renderer.visible != visible:
                    renderer.visible = visible
        self.measured()

    # -- curves -------------------------------------------------------------------------------------------------------

    @property
    def current(self) -> bool:
        """Whether every ROI has its curves, and no other; only their numbers may be old."""
        return self._styles == self._wanted()

    def _wanted(self) -> dict[str, tuple[object, ...]]:
        return {
            roi.name: (color_of(roi, position), roi.measure, roi.role)
            for position, roi in enumerate(self._model.regions.rois)
        }

    def update(self) -> None:
        """Bring the curves in line with the ROIs: new, gone, other colour, other kind."""
        wanted = self._wanted()
        for name in [name for name in self._sources if name not in wanted]:
            self._drop(name)
        for position, roi in enumerate(self._model.regions.rois):
            if self._styles.get(roi.name) != wanted[roi.name]:
                if roi.name in self._sources:
                    self._drop(roi.name)
                self._add(roi, readable(color_of(roi, position)) if color_of(roi, position) != "white" else "#999999")
                self._styles[roi.name] = wanted[roi.name]
        self.labels()
        self.hide()

    def _drop(self, name: str) -> None:
        drawn = set(self._drawn.pop(name).values())
        source = self._sources.pop(name)
        for one in (source, *drawn):
            one.name = None  # the page knows for a while what it no longer has
        del self._styles[name]
        (draw,) = source.js_property_callbacks["change:data"]
        for model, _ in self._asking():
            model.js_property_callbacks = {
                change: [one for one in callbacks if one is not draw]
                for change, callbacks in model.js_property_callbacks.items()
            }
        for one in self.figures.values():
            gone = [renderer for renderer in one.renderers if getattr(renderer, "data_source", None) in drawn]
            one.renderers = [renderer for renderer in one.renderers if renderer not in gone]

    def _add(self, roi: Roi, color: str) -> None:
        numbers = _columns(self._model.curves.drawn(roi.name), self.places.data["x"])  # later ones might miss the page
        source = ColumnDataSource(data=numbers, name=f"series:{roi.name}")
        drawn = {
            kind: ColumnDataSource(data={name: [] for name in names}, name=f"{kind}:{roi.name}", syncable=False)
            for kind, names in DRAWN.items()
        }
        place = {"range": self.x_range, "figure": self.figures["intensity"]}
        draw = script("draw", channel=self._channel, source=source, **place, **drawn)
        for change in ("data", "tags"):
            source.js_on_change(change, draw)
        # numbers that came with the page, or together with their source, bring no change: the first layout and the
        # boxes do
        for model, names in self._asking():
            for name in names:
                model.js_on_change(name, draw)
        self._sources[roi.name], self._drawn[roi.name] = source, drawn
        for figure_name, column in FIGURES.items():
            if roi.measures(figure_name.split("_")[0]):
                self._draw(self.figures[figure_name], column, drawn, color)

    def _asking(self) -> tuple[tuple[Model, tuple[str, ...]], ...]:
        """Models, and those of their properties, that may call for the curves to be drawn again."""
        first = self.figures["intensity"]
        return (
            (self._channel, ("breaks", "shift", "boxes")),
            (self.x_range, ("start", "end")),
            (first, ("inner_width",)),
        )

    def _draw(self, one: figure, column: str, drawn: dict[str, ColumnDataSource], color: str) -> None:
        glyphs = {
            "bars": Line(x="x", y=column, line_color=color, line_alpha=0.3),
            "lines": Line(x=f"{column}_x", y=column, line_color=color, line_width=1.5),
            "flags": Scatter(x=f"{column}_x", y=column, marker="x", size=6, line_color=FLAGGED, fill_color=FLAGGED),
        }
        parts = [GlyphRenderer(data_source=drawn[kind], glyph=glyph, **PLAIN) for kind, glyph in glyphs.items()]
        one.renderers = [*one.renderers, *parts]  # one message for all of them

    def numbers(self, name: str) -> None:
        """Take over the numbers of one ROI; the columns bear the names of the time series."""
        if name in self._sources:
            renew(self._sources[name], _columns(self._model.curves.drawn(name), self.places.data["x"]))

    def measured(self) -> None:
        """Say in a figure without a number why there is none."""
        regions = self._model.regions
        rois = [roi for roi in regions.rois if roi.name not in regions.hidden]
        for name, column in FIGURES.items():
            asked = [self._model.numbers.of(roi.name) for roi in rois if roi.measures(column.split("_")[0])]
            self._why[name].text = why_empty([one for one in asked if one is not None], column)

    def in_time(self, one: figure) -> None:
        """Let a figure zoom along time by a drag, show all at a double click, and have dates below if time has them."""
        one.toolbar.active_drag = next(tool for tool in one.toolbar.tools if isinstance(tool, BoxZoomTool))
        one.js_on_event("doubletap", CustomJS(args={"range": one.x_range}, code=WHOLE))
        one.add_layout(DatetimeAxis(visible=False, **self.dates), "below")
        one.yaxis.ticker.desired_num_ticks = 4
        quiet(one)

    def mark(self, one: figure) -> None:
        """Let a figure show events and changes."""
        one.add_glyph(self._marks, VSpan(x="x", line_color="#444444", line_dash="dashed"), **PLAIN)
        one.add_glyph(
            self._spans, VStrip(x0="left", x1="right", fill_color="color", fill_alpha=0.15, line_alpha=0), **PLAIN
        )

    # -- events -------------------------------------------------------------------------------------------------------

    def marks(self) -> None:
        """Show events and changes of attenuation."""
        from xinsitu.plots.timeline import marks

        line = self._model.view.line
        found = marks(self._model.store.data, line, self._model.logbook.events)
        points = [mark for mark in found if mark.stop is None]
        spans = [mark for mark in found if mark.stop is not None]
        named = [*points, *spans]
        put(self._marks, {"x": [_number(mark.start) for mark in named], "text": [mark.name for mark in named]})
        changes, bad = self._model.attenuation.change_places(), self._bad()
        span = (
            []
            if self._model.curves.span is None
            else [tuple(self.places.data["x"][[self._model.curves.span[0], self._model.curves.span[1] - 1]])]
        )
        spread = {
            "left": [_number(mark.start) for mark in spans] + [left for left, _, _ in changes]
            + [x for x, _ in [*bad, *span]],
            "right": [_number(mark.stop) for mark in spans] + [right for _, right, _ in changes]
            + [x for _, x in [*bad, *span]],
            "color": ["#888888"] * len(spans) + ["#d62728" if sure else "#1f77b4" for _, _, sure in changes]
            + [FLAGGED] * len(bad) + [CHOSEN] * len(span),
        }  # fmt: skip
        put(self._spans, spread)

    def _bad(self) -> list[tuple[float, float]]:
        """Where frames that are not to be trusted begin and end on the time axis."""
        x = self._model.view.coordinates()
        half = 0.5 * float(np.median(np.diff(x))) if len(x) > 1 else 0.5
        return [(float(x[at]) - half, float(x[at]) + half) for at in self._model.numbers.bad_places()]


def _number(place: object) -> float:
    """Place on the axis as Bokeh takes it."""
    if isinstance(place, np.datetime64):
        return float(place.astype("datetime64[us]").astype("int64")) / 1e3
    return float(place)  # type: ignore[arg-type] # a number otherwise


def _columns(series: xr.Dataset | None, x: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of a source, under the names of the series, and the place of each frame in time."""
    if series is None:
        return {"x": np.array([]), **{name: np.array([]) for name in SENT}}
    known = series.variables  # more may have come than the axis has
    found = [(name, np.asarray(known[name].values)[: len(x)]) for name in SENT]
    columns = {name: values.astype("float64" if values.dtype.kind == "f" else "int32") for name, values in found}
    return {"x": x[: series.sizes["time"]], **columns}
