"""The selected ROI at the frame that is shown: both profiles, centre of mass and half-maximum width."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from bokeh.layouts import row
from bokeh.models import BasicTicker, ColumnDataSource, DataRange1d, Line, Scatter, Step
from bokeh.plotting import figure

from xinsitu.app.data.cutouts import ALONG, DetectorAxis, Section
from xinsitu.app.state.model import ExplorerModel

from .channel import Channel, ticks
from .drawing import EDGES, PLAIN, Drawing, put
from .roi_readout import at_frame, number, numbers


class SectionView(Drawing):
    """Two small figures side by side."""

    at = "profiles"
    work = staticmethod(Section.of)
    of_frame = True

    def __init__(self, model: ExplorerModel, channel: Channel) -> None:
        self._model, self._channel = model, channel
        self._found: Section | None = None
        self.profiles = {
            axis: ColumnDataSource(data={"at": [], "profile": []}, name=f"profile_{axis}") for axis in ("x", "y")
        }
        self.widths = {
            axis: ColumnDataSource(data={"at": [], "level": []}, name=f"width_{axis}") for axis in ("x", "y")
        }
        common = {
            "height": 90, "sizing_mode": "stretch_both", "tools": "", "toolbar_location": None,
            "output_backend": "canvas", "min_border": 4, "min_border_left": 44, "min_border_right": 12,
            "stylesheets": [EDGES],
        }  # fmt: skip
        self._plots = {
            axis: figure(
                name=f"profile_{axis}",
                x_range=DataRange1d(syncable=False),
                y_range=DataRange1d(syncable=False),
                **common,
            )
            for axis in ("x", "y")
        }
        for axis, one in self._plots.items():
            profile = Step(x="at", y="profile", mode="center", line_color="#0072b2", line_width=1.5)
            one.add_glyph(self.profiles[axis], profile, **PLAIN)
            one.add_glyph(self.widths[axis], Line(x="at", y="level", line_color="#e6194b", line_width=2), **PLAIN)
            ends = Scatter(x="at", y="level", line_color="#e6194b", fill_color="#e6194b", size=5, marker="circle")
            one.add_glyph(self.widths[axis], ends, **PLAIN)
        for one in self._plots.values():
            one.title.update(text_font_size="10px", text_font_style="normal", offset=-40)  # from the figure's edge on
            one.xaxis.ticker = BasicTicker(desired_num_ticks=4)
            one.yaxis.formatter = ticks()
            one.yaxis.ticker = BasicTicker(desired_num_ticks=5)
            one.grid.grid_line_alpha = 0.4
        self.root = row(*self._plots.values(), sizing_mode="stretch_both", name="profiles")

    def measured(self) -> None:
        """Say centre and width again: the selected ROI was measured after its cut-out was shown."""
        self._say()
        if self._found is not None:
            self._widths(self._found)

    def failed(self, fault: Exception) -> None:
        """Show nothing: there is no frame."""
        self._found = None
        self._say()
        for source in (*self.profiles.values(), *self.widths.values()):
            put(source, {name: [] for name in source.data})

    def request(self) -> object | None:
        """Return the frame and the ROI."""
        return self._model.cutouts.section_request()

    def take(self, found: Section) -> None:
        """Show the profiles of a cut-out."""
        self._found = found
        self._say()
        for axis in ALONG:
            values, first = getattr(found, axis), getattr(found.roi, axis)[0]
            put(self.profiles[axis], {"at": first + np.arange(len(values)), "profile": values})
        self._widths(found)

    def _say(self) -> None:
        self._channel.numbers = json.dumps(numbers(self._model))

    def _widths(self, found: Section) -> None:
        one = at_frame(self._model.numbers.of(self._model.regions.selected), self._model.view.frame)
        for axis in ALONG:
            self._width(axis, found, one)

    def _width(self, axis: DetectorAxis, found: Section, one: Mapping[str, float]) -> None:
        """Say centre and width as they stand in the curves; draw the width where it was found, at half height."""
        named, roi = (("COM", "com"), ("FWHM", "fwhm")), self._model.regions.roi
        found_at = [(label, number(one, f"{name}_{axis}", roi=roi)) for label, name in named]
        words = [f"{label} {known.text}" + (f" ({known.why})" if known.why else "") for label, known in found_at]
        self._plots[axis].title.text = "\n".join([f"{self._model.view.direction(axis)}: {words[0]}", *words[1:]])
        if not all(np.isfinite(one.get(f"{name}_{axis}", np.nan)) for name in ("com", "fwhm")):
            put(self.widths[axis], {"at": [], "level": []})
            return
        left, right, half = found.half_maximum(axis)
        put(self.widths[axis], {"at": [left, right], "level": [half, half]})
