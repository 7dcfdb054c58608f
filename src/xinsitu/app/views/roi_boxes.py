"""The boxes on the image; the hand on them is in ``js/gestures.js``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.models import BoxAnnotation, ColumnDataSource, Label, Line, MultiLine, Quad, Scatter
from bokeh.plotting import figure as Figure

from xinsitu.app.state.kinds import color_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.values import Roi

from .channel import Channel, script
from .drawing import PLAIN, Drawing, put, watch


class RoiView(Drawing):
    """Keeps one box with a name on the figure for every ROI of the model.

    ``moved`` is called whenever the browser has changed a box, many times during a drag.
    """

    def __init__(self, model: ExplorerModel, figure: Figure, channel: Channel, moved: Callable[[], None]) -> None:
        self._model, self._figure, self._channel, self._moved = model, figure, channel, moved
        self._boxes: dict[str, tuple[BoxAnnotation, Label]] = {}
        self._own = False
        self._path = ColumnDataSource(data={"x": [], "y": []}, name="path")
        over = {"level": "overlay"}
        figure.add_glyph(
            self._path, Line(x="x", y="y", line_color="white", line_width=1.5, line_dash="dotted"), **PLAIN, **over
        )
        self._regions = ColumnDataSource(data={"left": [], "right": [], "top": [], "bottom": []}, name="background")
        for color, dash in (("black", "solid"), ("white", "dashed")):  # to be seen on any ground
            edges = Quad(
                left="left", right="right", top="top", bottom="bottom", fill_alpha=0, line_color=color, line_dash=dash,
                line_width=1.5,
            )  # fmt: skip
            figure.add_glyph(self._regions, edges, **PLAIN)
        self._keys = ColumnDataSource(data={"x": [], "y": []}, name="path_keys")
        look = {"x": "x", "y": "y", "fill_color": "white", "line_color": "black"}
        figure.add_glyph(self._keys, Scatter(marker="diamond", size=9, **look), **PLAIN, **over)
        self._outlines = ColumnDataSource(data={"xs": [], "ys": [], "color": [], "width": []}, name="outlines")
        figure.add_glyph(
            self._outlines, MultiLine(xs="xs", ys="ys", line_color="color", line_width="width"), **PLAIN, **over
        )
        self._handles = ColumnDataSource(data={"x": [], "y": []}, name="handles")
        figure.add_glyph(self._handles, Scatter(marker="square", size=8, **look), **PLAIN, **over)
        self.update()
        self.background()
        watch(model.regions, self.outlines, "rois", "selected")

    def update(self) -> None:
        """Bring the boxes in line with the model: new, gone, renamed, moved, recoloured."""
        for name in [name for name in self._boxes if name not in self._model.regions.rois.names]:
            for part in self._boxes.pop(name):
                part.name = None  # the page knows for a while what it no longer has
                self._figure.center.remove(part)
        self._own = True
        for position, roi in enumerate(self._model.regions.rois):
            if roi.name in self._boxes:
                self._draw(roi, color_of(roi, position))
            else:
                self._boxes[roi.name] = self._new(roi, color_of(roi, position))
        self._own = False
        self._draw_path()
        self.outlines()
        self._channel.boxes += 1

    def outlines(self) -> None:
        """Draw the lines of ROIs that are no rectangles, and the handles of the selected one."""
        found: dict[str, list[Any]] = {"xs": [], "ys": [], "color": [], "width": []}
        for position, roi in enumerate(self._model.regions.rois):
            if roi.geometry is None:
                continue
            (y0, _), (x0, _) = self._model.regions.box(roi.name)
            for line in roi.geometry.outlines():
                closed = np.concatenate([line, line[:1]])
                found["ys"].append(closed[:, 0] + (y0 - roi.y[0]))
                found["xs"].append(closed[:, 1] + (x0 - roi.x[0]))
                found["color"].append(color_of(roi, position))
                found["width"].append(3 if roi.name == self._model.regions.selected else 1.5)
        put(self._outlines, found)
        points = np.array(self._model.regions.handles(), dtype=float).reshape(-1, 2)
        flat = points.ravel().tolist()
        if flat != self._channel.handles:
            self._handles.data = {"x": points[:, 1], "y": points[:, 0]}
            self._channel.handles = flat

    def background(self) -> None:
        """Draw the regions that the background is taken from, while frames are corrected by it."""
        correction = self._model.view.active_correction
        region = None if correction is None else correction.background
        boxes = np.array([] if region is None else region.boxes, dtype=float).reshape(-1, 4) - 0.5
        put(self._regions, {name: boxes[:, at] for at, name in enumerate(("top", "bottom", "left", "right"))})

    def _draw_path(self) -> None:
        """Draw the way of the selected ROI's middle, if it moves."""
        roi = self._model.regions.roi
        bounds = self._model.regions.boxes(roi.name) if roi is not None and roi.path else np.empty((0, 4))
        put(self._path, {"x": (bounds[:, 2] + bounds[:, 3] - 1) / 2, "y": (bounds[:, 0] + bounds[:, 1] - 1) / 2})
        boxes = [box for _, box in self._model.regions.key_frames()]
        put(self._keys, {"x": [sum(x) / 2 - 0.5 for _, x in boxes], "y": [sum(y) / 2 - 0.5 for y, _ in boxes]})

    def _new(self, roi: Roi, color: str) -> tuple[BoxAnnotation, Label]:
        """Return box and name complete: what is set on a box that has joined the page may not get there (Bokeh 3.9)."""
        of_box, of_label = self._look(roi, color)
        box = BoxAnnotation(
            name=f"roi:{roi.name}", editable=False, level="overlay", fill_alpha=0.06, line_alpha=1, **of_box
        )  # fmt: skip
        label = Label(
            name=f"label:{roi.name}",
            level="overlay", text_font_size="11px", text_baseline="bottom", background_fill_alpha=0.85, padding=2,
            **of_label,
        )  # fmt: skip
        for edge in ("left", "right", "top", "bottom"):
            box.on_change(edge, self._changed)
        follow = script("follow", label=label)
        for edge in ("left", "top"):
            box.js_on_change(edge, follow)
        self._figure.add_layout(box)
        self._figure.add_layout(label)
        return box, label

    def _draw(self, roi: Roi, color: str) -> None:
        for part, values in zip(self._boxes[roi.name], self._look(roi, color), strict=True):
            part.update(**values)

    def _look(self, roi: Roi, color: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where box and name are, and how they look."""
        (y0, y1), (x0, x1) = self._model.regions.box(roi.name)
        edges = {"left": x0 - 0.5, "right": x1 - 0.5, "top": y0 - 0.5, "bottom": y1 - 0.5}
        width = 3 if roi.name == self._model.regions.selected else 1.5
        look = {"line_color": color, "fill_color": color, "line_width": width, "line_dash": "solid"}
        if roi.geometry is not None:  # the box is what the hand takes, the line beside it is what is measured
            look |= {"line_width": 1, "line_dash": "dotted"}
        return (
            {**edges, **look},
            {"text": roi.name, "text_color": on_top(color), "background_fill_color": color, "x": x0 - 0.5,
             "y": y0 - 0.5},
        )  # fmt: skip

    def _changed(self, attr: str, old: float, new: float) -> None:  # bokeh wants these names
        if not self._own:
            self._moved()

    def collect(self) -> None:
        """Tell the model where the boxes are now."""
        for name, (box, _) in self._boxes.items():
            self._model.regions.place(name, (box.top, box.bottom), (box.left, box.right))


def on_top(color: str) -> str:
    """Black or white: what can be read on a colour.

    Examples
    --------
    >>> on_top("yellow"), on_top("green")
    ('black', 'white')
    """
    from matplotlib.colors import to_rgb

    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    light = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "black" if light > 0.179 else "white"  # the contrast with both is the same there (WCAG 2, 4.6 : 1)
