"""The selected ROI at the frame that is shown: both profiles, centre of mass and half-maximum width."""

from __future__ import annotations

import numpy as np
import xarray as xr
from bokeh.layouts import row
from bokeh.models import BasicTicker, ColumnDataSource
from bokeh.plotting import figure

from xinsitu.app.data.cutouts import ALONG, Section
from xinsitu.app.state.curve_state import with_error
from xinsitu.app.state.model import ExplorerModel
from xinsitu.plots.images import Along
from xinsitu.schema import Quality

from .channel import ticks
from .drawing import Drawing


class SectionView(Drawing):
    """Two small figures side by side."""

    at = "profiles"
    work = staticmethod(Section.of)
    of_frame = True

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        self._found: Section | None = None
        self.profiles = {
            axis: ColumnDataSource(data={"at": [], "profile": []}, name=f"profile_{axis}") for axis in ("x", "y")
        }
        self.widths = {
            axis: ColumnDataSource(data={"at": [], "level": []}, name=f"width_{axis}") for axis in ("x", "y")
        }
        common = {
            "height": 90, "sizing_mode": "stretch_both", "tools": "", "toolbar_location": None,
            "output_backend": "canvas", "min_border": 4,
        }  # fmt: skip
        self._plots = {axis: figure(name=f"profile_{axis}", **common) for axis in ("x", "y")}
        for axis, one in self._plots.items():
            one.step("at", "profile", source=self.profiles[axis], mode="center", color="#0072b2", line_width=1.5)
            one.line("at", "level", source=self.widths[axis], color="#e6194b", line_width=2)
            one.scatter("at", "level", source=self.widths[axis], color="#e6194b", size=5, marker="circle")
        for one in self._plots.values():
            one.title.update(text_font_size="10px", text_font_style="normal")
            one.xaxis.ticker = BasicTicker(desired_num_ticks=4)
            one.yaxis.formatter = ticks()
            one.yaxis.ticker = BasicTicker(desired_num_ticks=5)
            one.grid.grid_line_alpha = 0.4
        self.root = row(*self._plots.values(), sizing_mode="stretch_both")

    def measured(self) -> None:
        """Say centre and width again: the selected ROI was measured after its cut-out was shown."""
        for axis in ALONG:
            if self._found is not None:
                self._width(axis, self._found)

    def failed(self, fault: Exception) -> None:
        """Show nothing: there is no frame."""
        self._found = None
        for source in (*self.profiles.values(), *self.widths.values()):
            source.data = {name: [] for name in source.data}

    def request(self) -> object | None:
        """Return the frame and the ROI."""
        return self._model.cutouts.section_request()

    def take(self, found: Section) -> None:
        """Show the profiles of a cut-out."""
        self._found = found
        for axis in ALONG:
            values, first = getattr(found, axis), getattr(found.roi, axis)[0]
            self.profiles[axis].data = {"at": first + np.arange(len(values)), "profile": values}
            self._width(axis, found)

    def _width(self, axis: Along, found: Section) -> None:
        """Say centre and width as they stand in the curves; draw the width where it was found, at half height."""
        series, frame = self._model.numbers.of(self._model.regions.selected), self._model.view.frame
        known = series is not None and frame < series.sizes["time"]
        one = series.isel(time=frame) if series is not None and known else xr.Dataset()
        words = [f"{label} {said(one, f'{name}_{axis}')}" for label, name in (("COM", "com"), ("FWHM", "fwhm"))]
        self._plots[axis].title.text = "\n".join([f"{self._model.view.direction(axis)}: {words[0]}", *words[1:]])
        if not all(np.isfinite(one.get(f"{name}_{axis}", np.nan)) for name in ("com", "fwhm")):
            self.widths[axis].data = {"at": [], "level": []}
            return
        left, right, half = found.half_maximum(axis)
        self.widths[axis].data = {"at": [left, right], "level": [half, half]}


WHY = {
    Quality.BAD_FRAME: "not trusted", Quality.FRAME_FAULT: "not read",
    Quality.HALF_LEVEL_NOT_CROSSED: "half level not crossed",
    Quality.PEAK_LOST: "no peak", Quality.ZERO_BACKGROUND: "background is 0", Quality.MASKED_PIXELS: "masked",
    Quality.LOW_COUNTS: "too few counts", Quality.NO_BEAM: "no beam",
}  # fmt: skip
"""Why there is no number, the first that holds."""


def said(one: xr.Dataset, name: str) -> str:
    """Return a number of a frame with its error and unit; a dash and the reason where nothing was measured.

    Examples
    --------
    >>> one = xr.Dataset({"com_x": 12.346, "com_x_errors": 0.052, "fwhm_x": np.nan, "quality": 16})
    >>> said(one, "com_x"), said(one, "fwhm_x"), said(one.drop_vars("quality"), "fwhm_x"), said(xr.Dataset(), "com_x")
    ('12.35 ± 0.05 px', '– (half level not crossed)', '– (not asked for)', '–')
    """
    if name not in one:
        return "–"
    if np.isfinite(one[name]):
        return f"{with_error(float(one[name]), float(one.get(f'{name}_errors', np.nan)))} px"
    flags = int(one.get("quality", 0))
    return f"– ({next((why for flag, why in WHY.items() if flags & flag), 'not asked for')})"
