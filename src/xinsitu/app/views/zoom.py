"""The part of a figure that is in view, kept in the model: it is there again after a reload."""

from __future__ import annotations

from bokeh.models import Range1d

from xinsitu.app.state.model import ExplorerModel

from .drawing import Drawing, watch


class Zoom(Drawing):
    """Ties ranges to a parameter of the view: ``((start, end), ...)`` of what is in view, or None for everything."""

    def __init__(self, model: ExplorerModel, name: str, ranges: tuple[Range1d, ...]) -> None:
        self._part, self._name, self._ranges = model.view, name, ranges
        for one in ranges:
            for end in ("start", "end"):
                one.on_change(end, self._moved)
        watch(self._part, self.show, name)
        self.show()

    def show(self) -> None:
        """Bring the parameter's part into view."""
        part = getattr(self._part, self._name) or [(one.reset_start, one.reset_end) for one in self._ranges]
        for one, (start, end) in zip(self._ranges, part, strict=True):
            one.update(start=start, end=end)

    def _moved(self, attr: str, old: float, new: float) -> None:  # bokeh wants these names
        whole = all((one.start, one.end) == (one.reset_start, one.reset_end) for one in self._ranges)
        part = None if whole else tuple((one.start, one.end) for one in self._ranges)
        self._part.param.update(**{self._name: part})
