"""What speaks for the change of attenuation that is looked at: a picture of both sides, and a table of the ROIs."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import column
from bokeh.models import BasicTicker, ColumnDataSource, Div, FixedTicker, MultiLine, Scatter, VStrip
from bokeh.plotting import figure

from xinsitu.app.state.change_evidence import Evidence
from xinsitu.app.state.kinds import color_of
from xinsitu.app.state.model import ExplorerModel
from xinsitu.digits import with_error
from xinsitu.errors import XinsituError
from xinsitu.plots.curves import readable
from xinsitu.plots.markup import as_html

from .channel import ticks
from .drawing import PLAIN, Drawing, put, watch

WIDTH = 276
"""Pixels of the panel."""
HEADS = ("ROI", "before", "after", "ln(before/after)", "off by")
STYLE = """<style>
table { border-collapse: collapse; font-size: 10px; font-variant-numeric: tabular-nums; margin-top: 4px; width: 100%; }
th, td { padding: 1px 2px; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; max-width: 56px; overflow: hidden; text-overflow: ellipsis; }
p { margin: 3px 0; font-size: 11px; } p.title { font-weight: bold; font-size: 12px; }
</style>"""


class EvidenceView(Drawing):
    """It stands in the tab of the attenuation, and is there only while a change is looked at."""

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        self.points = ColumnDataSource(data={"x": [], "y": [], "color": []}, name="evidence_points")
        self.used = ColumnDataSource(data={"x": [], "y": [], "color": []}, name="evidence_used")
        self.lines = ColumnDataSource(data={"xs": [], "ys": [], "color": []}, name="evidence_lines")
        self.gap = ColumnDataSource(data={"left": [], "right": []})
        self.figure = figure(
            name="evidence", height=190, width=WIDTH, y_axis_type="log",
            x_axis_label="frame in the series", y_axis_label="intensity as measured", output_backend="canvas",
            tools="xpan,xwheel_zoom,reset,save",
        )  # fmt: skip
        self.figure.toolbar.logo = None
        self.figure.toolbar.autohide = True
        self.figure.xaxis.ticker = BasicTicker(desired_num_ticks=4)
        self.figure.yaxis.formatter = ticks()
        gap = VStrip(x0="left", x1="right", fill_color="#888888", fill_alpha=0.2, line_alpha=0)
        faint = {
            f"{part}_{look}": value for part in ("line", "fill") for look, value in (("color", "color"), ("alpha", 0.6))
        }
        self.figure.add_glyph(self.gap, gap, **PLAIN)
        self.figure.add_glyph(self.points, Scatter(x="x", y="y", size=3, **faint), **PLAIN)
        self.figure.add_glyph(self.used, Scatter(x="x", y="y", line_color="color", fill_color=None, size=6), **PLAIN)
        self.figure.add_glyph(self.lines, MultiLine(xs="xs", ys="ys", line_color="color", line_width=1.5), **PLAIN)
        self.table = Div(name="evidence_table", text="", width=WIDTH - 16, styles={"overflow-x": "auto"}, margin=(0, 8))
        self.root = self._shown = column(self.figure, self.table, name="evidence_row", visible=False)
        self.measured()
        watch(model.attenuation, self.measured, "looked_at", "changes", "proposals")

    def measured(self) -> None:
        """Show the change that is looked at, or nothing."""
        try:
            found = self._model.attenuation.evidence()
        except XinsituError:
            found = None  # its frames are not measured yet
        self._shown.visible = found is not None
        if found is not None:
            self._draw(found)
            self.table.text = STYLE + table(found)

    def _draw(self, found: Evidence) -> None:
        report = found.report
        colors = [self._color(name) for name in report.rois]
        size = len(report.shown)
        points = {"x": np.tile(report.shown, len(colors)), "y": _positive(report.intensity.T.ravel())}
        put(self.points, points | {"color": np.repeat(colors, size)})
        self.figure.yaxis.ticker = FixedTicker(ticks=decades(report.intensity))
        sides = ((report.before, report.line_before), (report.after, report.line_after))
        used, lines = {"x": [], "y": [], "color": []}, {"xs": [], "ys": [], "color": []}  # type: ignore[var-annotated]
        for positions, line in sides:
            at = positions - report.shown[0]
            for number, color in enumerate(colors):
                used["x"] += positions.tolist()
                used["y"] += _positive(report.intensity[at, number]).tolist()
                used["color"] += [color] * len(positions)
                lines["xs"].append(positions.tolist())
                lines["ys"].append(_positive(line[:, number]).tolist())
                lines["color"].append(color)
        put(self.used, used)
        put(self.lines, lines)
        put(self.gap, {"left": [report.before[-1] + 0.5], "right": [report.after[0] - 0.5]})

    def _color(self, name: str) -> str:
        rois = self._model.regions.rois
        if name not in rois.names:
            return "#555555"
        return readable(color_of(rois[name], rois.names.index(name)))


def table(found: Evidence) -> str:
    """Return the numbers as HTML; names of ROIs and notes are text."""
    rows = [
        (
            one.roi,
            _said(one.before, f"{one.before:.3g}"),
            _said(one.after, f"{one.after:.3g}"),
            _said(one.log_error, with_error(one.log_ratio, one.log_error)),
            _said(one.deviation, f"{one.deviation:+.1f} σ"),
        )
        for one in found.rows
    ]
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    body = "".join("<tr>" + "".join(f"<td>{as_html(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
    lines = "".join(f"<p>{as_html(line)}</p>" for line in (found.agreement, "; ".join(found.remarks)))
    return f'<p class="title">{as_html(found.title)}</p><table><tr>{head}</tr>{body}</table>{lines}'


def _said(number: float, words: str) -> str:
    return words if np.isfinite(number) else "–"  # it holds no counts, or one ROI alone decides


def decades(values: np.ndarray) -> list[float]:
    """Places for ticks of a logarithmic axis: 1, 2 and 5 in each decade, of many decades only 1.

    Examples
    --------
    >>> decades(np.array([30.0, 0.0, 400.0, np.nan]))
    [50.0, 100.0, 200.0]
    """
    known = values[np.isfinite(values) & (values > 0)]
    if not known.size:
        return []
    low, high = float(known.min()), float(known.max())
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _positive(values: np.ndarray) -> np.ndarray:
    """Return the values without those that a logarithmic axis cannot show."""
    return np.where(np.asarray(values) > 0, values, np.nan)
