"""The boxes on the image: dragged by their body, resized by the handles of the selected one."""

from __future__ import annotations

from collections.abc import Callable

from bokeh.models import BoxAnnotation, Label
from bokeh.plotting import figure as Figure

from xinsitu.app.kinds import color_of
from xinsitu.app.model import ExplorerModel
from xinsitu.values import Roi

from .channel import Channel


class RoiView:
    """Keeps one box with a name on the figure for every ROI of the model.

    ``moved`` is called whenever the browser has changed a box, many times during a drag.
    """

    def __init__(self, model: ExplorerModel, figure: Figure, channel: Channel, moved: Callable[[], None]) -> None:
        self._model, self._figure, self._channel, self._moved = model, figure, channel, moved
        self._boxes: dict[str, tuple[BoxAnnotation, Label]] = {}
        self._own = False
        self.update()

    def update(self) -> None:
        """Bring the boxes in line with the model: new, gone, renamed, moved, recoloured."""
        for name in [name for name in self._boxes if name not in self._model.rois.names]:
            for part in self._boxes.pop(name):
                self._figure.center.remove(part)
        self._own = True
        for position, roi in enumerate(self._model.rois):
            if roi.name not in self._boxes:
                self._boxes[roi.name] = self._new(roi)
            self._draw(roi, color_of(roi, position))
        self._own = False
        self._channel.boxes += 1

    def _new(self, roi: Roi) -> tuple[BoxAnnotation, Label]:
        (top, bottom), (left, right) = self._model.shape
        box = BoxAnnotation(
            name=f"roi:{roi.name}", editable=True, level="overlay", propagate_hover=True, fill_alpha=0.08,
            line_width=2, left_limit=left - 0.5, right_limit=right - 0.5, top_limit=top - 0.5,
            bottom_limit=bottom - 0.5,
        )  # fmt: skip
        label = Label(x=left, y=top, text="", level="overlay", text_font_size="12px", text_baseline="bottom")
        for edge in ("left", "right", "top", "bottom"):
            box.on_change(edge, self._changed)
        box.js_link("left", label, "x")
        box.js_link("top", label, "y")
        self._figure.add_layout(box)
        self._figure.add_layout(label)
        return box, label

    def _draw(self, roi: Roi, color: str) -> None:
        box, label = self._boxes[roi.name]
        chosen = roi.name == self._model.selected
        box.update(left=roi.x[0] - 0.5, right=roi.x[1] - 0.5, top=roi.y[0] - 0.5, bottom=roi.y[1] - 0.5)
        box.update(line_color=color, fill_color=color, line_width=3 if chosen else 2, use_handles=chosen)
        label.update(text=roi.name, text_color=color, x=roi.x[0] - 0.5, y=roi.y[0] - 0.5)

    def _changed(self, attr: str, old: float, new: float) -> None:  # bokeh wants these names
        if not self._own:
            self._moved()

    def collect(self) -> None:
        """Tell the model where the boxes are now."""
        for name, (box, _) in self._boxes.items():
            self._model.place(name, (box.top, box.bottom), (box.left, box.right))
