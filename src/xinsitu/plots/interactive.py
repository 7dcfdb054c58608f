"""The figure of a series as a HoloViews object, and files of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.io.disk import refuse_no_figure, write_whole
from xinsitu.io.guard import output_path
from xinsitu.schema import check_kind
from xinsitu.values import Event

from .curves import Curve, Drawing, Panel, drawing
from .markup import as_html, visible
from .paper import draw
from .thinning import COLUMNS, ON_SCREEN, thinned
from .timeline import Mark

if TYPE_CHECKING:
    import holoviews as hv
    import pandas as pd
    from bokeh.models import Model

BAND = 60
"""A curve of more points than this shows its errors as a band instead of bars."""
WIDTH, HEIGHT = 900, 170
LEFT, RIGHT = 75, 20
"""Margins in screen pixels, the same in every panel, so that the time axes stand below each other."""


def bokeh() -> None:
    """Load HoloViews' Bokeh backend unless the user has already chosen one."""
    import holoviews as hv

    if "bokeh" not in hv.Store.renderers:
        hv.extension("bokeh", logo=False, inline=True)  # a notebook asks no other machine for scripts
        _bring_styles()


def load_hvplot() -> None:
    """Load the accessors of hvplot; in a notebook they ask no other machine for scripts either."""
    import hvplot

    if "inline" in hvplot.extension.param:  # of notebooks only
        hvplot.extension.param["inline"].default = True
    import hvplot.pandas
    import hvplot.xarray


def _bring_styles() -> None:
    """Let figures in a notebook bring the style sheets of Panel with them, instead of its address for them."""
    import panel as pn
    from bokeh.models import UIElement
    from panel.io.notebook import patch_inline_stylesheets

    def bring(_: pn.viewable.Viewable, root: Model) -> None:
        if pn.state.curdoc is None:  # a page of the explorer has its own server for them
            for element in root.select({"type": UIElement}):
                patch_inline_stylesheets(element)

    pn.viewable.Viewable._preprocessing_hooks.append(bring)


def plot(
    series: xr.Dataset,
    *,
    events: Iterable[Event] = (),
    t0: object = None,
    x: str = "elapsed",
    smooth: str | None = None,
    derivative: bool = False,
    log: bool = False,
    normalise: str | None = None,
    roi: str | Sequence[str] | None = None,
    quantity: str | Sequence[str] | None = None,
) -> hv.Layout:
    """Show centre of mass, width and intensity of every ROI against time, in linked panels.

    Curves are broken at gaps, where another measurement begins, and in transitions of the attenuator. Where the ROIs
    lie far apart, the centre of mass is shown as the shift from its first ten frames (the hover shows both). Quantities
    that nobody measured have no panel. Errors are drawn where they are known.

    Parameters
    ----------
    series
        A ROI time series or a stitched sample, dims ``(time, roi)``.
    events
        Moments and intervals to mark with their names; none given: those that the sample keeps.
    t0
        Zero of the elapsed time: an event, its name, a UTC datetime64, or an ISO 8601 text; None: the first frame.
    x
        ``elapsed`` (s), ``local`` (the instrument's zone), ``utc`` or ``frame``.
    smooth
        ``savgol:WINDOW,ORDER`` or ``mean:WINDOW``, in frames, done on the true times and never across a gap.
    derivative
        Show slopes per second instead of values.
    log
        Logarithmic intensity; what is not positive is left out.
    normalise
        ``START:STOP`` in seconds (frames with ``x="frame"``), or ``START/STOP`` as ISO 8601 times: each intensity is
        divided by its mean in this window.
    roi
        A name or names; None: all, without those whose role is ``background``.
    quantity
        ``com``, ``fwhm``, ``intensity``, ``fraction``, or one direction, ``com_x``, or ``com_l`` by its axis;
        several of them; None: all.

    Returns
    -------
    holoviews.Layout
        One panel below the other, to go on with (``.opts``, ``+``).

    Raises
    ------
    SchemaError
        It is no ROI time series, or an option makes no sense.
    TimeError
        Wall time is asked for where the frames carry none.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> times = np.datetime64("2014-05-28T08:00", "ns") + np.arange(20) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), np.ones((20, 1)))}, {"time": times, "roi": ["WZ"]})
    >>> len(plot(series, smooth="savgol:5,2"))
    1
    """
    check_kind(series, "Dataset")
    return show(
        drawing(
            series,
            events=events,
            t0=t0,
            x=x,
            smooth=smooth,
            derivative=derivative,
            log=log,
            normalise=normalise,
            roi=roi,
            quantity=quantity,
        )
    )


def braced(text: str) -> str:
    """Return a text as HoloViews shows it, which takes titles for format strings.

    Examples
    --------
    >>> braced("{0} of Ga").format()
    '{0} of Ga'
    """
    return visible(text).replace("{", "{{").replace("}", "}}")


def show(figure: Drawing) -> hv.Layout:
    """Return the panels of a drawing as linked HoloViews plots.

    Raises
    ------
    SchemaError
        There is nothing to draw.
    """
    import holoviews as hv

    bokeh()
    if not figure.panels:
        raise SchemaError("the series has no finite value to plot")
    last = len(figure.panels) - 1
    panels = [_panel(figure, panel, top=n == 0, bottom=n == last) for n, panel in enumerate(figure.panels)]
    return hv.Layout(panels).cols(1).opts(hv.opts.Layout(title=as_html(figure.title), shared_axes=True))


def _panel(figure: Drawing, panel: Panel, *, top: bool, bottom: bool) -> hv.Overlay:
    import holoviews as hv

    parts = [*_marks(figure, panel, named=top)]
    for curve in panel.curves:
        parts += _curve(figure, panel, curve)
    return hv.Overlay(parts).opts(
        hv.opts.Overlay(
            width=WIDTH,
            height=HEIGHT + (60 if top else 0) + (40 if bottom else 0),
            logy=panel.log,
            title=braced(panel.quantity),
            ylabel=panel.units or "1",
            xlabel=figure.line.label,
            xaxis="bottom" if bottom else "bare",
            show_legend=top,
            legend_position="top",
            legend_cols=len(panel.curves),
            show_grid=True,
            fontsize={"title": 9, "labels": 9},
            hooks=[_margins],
        )
    )


def _margins(plot: object, _: object) -> None:
    """Give a panel its margins (a HoloViews hook)."""
    figure = plot.handles["plot"]  # type: ignore[attr-defined] # a HoloViews plot
    figure.min_border_left, figure.min_border_right = LEFT, RIGHT


def _curve(figure: Drawing, panel: Panel, curve: Curve) -> list[hv.Element]:
    load_hvplot()
    import pandas as pd

    columns = {"time": curve.x, panel.name: curve.y, "value": curve.y + curve.offset, "errors": curve.errors}
    table = pd.DataFrame(columns)
    names = {"time": figure.line.label, panel.name: panel.label}
    tooltips = [
        ("ROI", as_html(curve.roi)),
        ("time", "@time{%F %T}" if figure.line.dated else "@time{0.0[00]}"),
        ("value", "@value{0.0000a}"),
        ("error", "@errors{0.0000a}"),
    ]
    line = table.hvplot.line(
        x="time", y=panel.name, hover_cols=["value", "errors"], label=curve.roi, color=curve.color, line_width=1.5,
        line_dash=curve.dash, hover_tooltips=tooltips,
    )  # fmt: skip
    if figure.line.dated:
        line = line.opts(hover_formatters={"@time": "datetime"})
    return [one.redim.label(**names) for one in (*_spread(table, panel.name, curve), line)]


def _spread(table: pd.DataFrame, name: str, curve: Curve) -> list[hv.Element]:
    """Return the errors of a curve as bars, or as a band where bars would not be told apart."""
    import holoviews as hv

    known = np.isfinite(curve.y) & np.isfinite(curve.errors)
    if not known.any():
        return []
    if len(curve.x) <= BAND:
        bars = table[known].hvplot.errorbars(x="time", y=name, yerr1="errors", color=curve.color)
        return [bars.opts(line_width=1)]
    spread = (curve.x, np.where(known, curve.y, np.nan), np.where(known, curve.errors, np.nan))
    band = hv.Spread(spread, "time", [name, "errors"])  # hvplot has no band about a curve
    return [band.opts(color=curve.color, alpha=0.25, line_alpha=0)]


def _marks(figure: Drawing, panel: Panel, *, named: bool) -> list[hv.Element]:
    import holoviews as hv

    parts: list[hv.Element] = []
    for mark in figure.marks:
        if mark.stop is None:
            parts.append(hv.VLine(mark.start).opts(color="#555555", line_width=1, line_dash="dashed"))
        else:
            parts.append(hv.VSpan(mark.start, mark.stop).opts(color="#999999", alpha=0.2))
        if named and panel.curves:
            parts.append(_name(mark, panel))
    return parts


def _name(mark: Mark, panel: Panel) -> hv.Element:
    import holoviews as hv

    tops = [np.nanmax(curve.y) for curve in panel.curves if np.isfinite(curve.y).any()]
    return hv.Text(  # upright, as names side by side run into each other
        mark.start, float(max(tops)), visible(mark.name), halign="right", valign="top", fontsize=8, rotation=90
    )


def save_plot(
    series: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    events: Iterable[Event] = (),
    t0: object = None,
    x: str = "elapsed",
    smooth: str | None = None,
    derivative: bool = False,
    log: bool = False,
    normalise: str | None = None,
    roi: str | Sequence[str] | None = None,
    quantity: str | Sequence[str] | None = None,
    size: str | None = None,
    style: str = "paper",
    overwrite: bool = False,
) -> Path:
    """Write the figure of :func:`plot` to a file: ``.html`` is interactive, fills its window and needs no network,
    ``.png``, ``.pdf`` and ``.svg`` are one column wide for a paper. The parameters are those of :func:`plot`; ``style``
    is ``paper`` or ``slide`` (16 to 9, larger letters), ``size`` is ``WIDTHxHEIGHT`` in mm, both of the latter kinds of
    files alone; ``overwrite`` replaces a file of this name. Of long curves the lowest and the highest point of each of
    some hundred columns is drawn, which looks the same; all of them are in :func:`write_csv`'s table.

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    SchemaError
        Another ending, or nothing to plot.
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import tempfile
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), np.ones((4, 1)))}, {"time": time, "roi": ["WZ"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_plot(series, f"{folder}/curves.png", log=True).name
    'curves.png'
    """  # noqa: D205 - the summary needs two lines
    path = output_path(path, overwrite=overwrite)
    refuse_no_figure(path)
    options = {"events": tuple(events), "t0": t0, "x": x, "smooth": smooth, "derivative": derivative, "log": log}
    options |= {"normalise": normalise, "roi": roi, "quantity": quantity}
    panels = drawing(series, **options)  # type: ignore[arg-type] # as above
    if path.suffix.lower() == ".html":
        if size is not None:
            raise SchemaError(f"{path}: fills its window and has no size; .png, .pdf and .svg have one")
        return write_html(show(thinned(panels, ON_SCREEN)), path, overwrite=overwrite)
    return draw(thinned(panels, COLUMNS), path, size=size, style=style, overwrite=overwrite)


def write_html(figure: hv.Dimensioned, path: Path, *, overwrite: bool = False) -> Path:
    """Write any HoloViews object as one HTML page that loads nothing from outside, whole or not at all."""
    import holoviews as hv
    from bokeh.document import Document
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    bokeh()
    # a document of its own: the current one may belong to somebody's tab, on another thread, or be gone with it
    document = Document()
    root = hv.renderer("bokeh").instance(mode="server").get_plot(figure, doc=document).state
    _fill(root)
    document.add_root(root)
    page = file_html(document, INLINE, title=visible(path.stem))
    # Panel, once imported, makes every page ask for a script of its own that only a server has
    page = re.sub(r'<script src="static/extensions/[^"]*"></script>', "", page)
    return write_whole(path, page.encode("utf-8", "replace"), overwrite=overwrite)


SMALLEST = 0.75
"""Part of its height that a panel keeps in a low window."""


def _fill(root: Model) -> None:
    """Let every figure grow with the window, wide and high; each keeps room enough to be read."""
    from bokeh.models import GridPlot, LayoutDOM, Plot

    for part in root.select({"type": LayoutDOM}):
        if isinstance(part, Plot):
            part.min_height, part.min_width = int(SMALLEST * (part.height or HEIGHT)), 300
            part.sizing_mode = "stretch_both"
        elif isinstance(part, GridPlot) or hasattr(part, "children"):
            part.sizing_mode = "stretch_both"
