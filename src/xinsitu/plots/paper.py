"""The figure of a series as one would put it into a paper: one column wide, 8 pt, vector or 300 dpi."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xinsitu.errors import SchemaError
from xinsitu.io.disk import write_whole

from .curves import Curve, Drawing, Panel
from .markup import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.5
"""Width in inches of one column of a journal."""
PANEL = 1.15
FONT = 7.5
BAND = 60


def draw(drawing: Drawing, path: Path, *, overwrite: bool = False) -> Path:
    """Write the panels to a PNG, PDF or SVG file.

    Raises
    ------
    SchemaError
        There is nothing to draw.
    """
    return save(paper_figure(drawing), path, overwrite=overwrite)


def paper_figure(drawing: Drawing) -> Figure:
    """Draw the panels on a figure of their own; pyplot and its global state are not involved."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not drawing.panels:
        raise SchemaError("the series has no finite value to plot")
    figure = Figure(
        figsize=(COLUMN, 0.75 + PANEL * len(drawing.panels)), layout=ConstrainedLayoutEngine(h_pad=0.01, hspace=0.02)
    )
    rows = figure.subplots(len(drawing.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(rows, drawing.panels, strict=True):
        _panel(axes, panel)
        _marks(axes, drawing, named=axes is rows[0])
    figure.align_ylabels(rows)
    _time_axis(rows[-1], drawing)
    handles = {handle.get_label(): handle for axes in rows for handle in axes.get_legend_handles_labels()[0]}
    # a legend wider than the column would be cut off: about 44 letters fit, and each handle takes five
    columns = max(1, 44 // (5 + max(map(len, handles), default=0)))
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper center", ncols=min(len(handles), 4, columns),
        fontsize=FONT, frameon=False, title=plain(drawing.title) or None, title_fontsize=FONT,
    )  # fmt: skip
    return figure


def save(figure: Figure, path: Path, *, overwrite: bool = False) -> Path:
    """Write a figure, whole or not at all; the same figure gives the same bytes."""
    import matplotlib as mpl

    ending = path.suffix.lower()
    if ending not in (".png", ".pdf", ".svg"):
        raise SchemaError(f"{path}: this figure ends in .png, .pdf or .svg")
    content = io.BytesIO()
    dates: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    with mpl.rc_context({"svg.hashsalt": "xinsitu", "pdf.fonttype": 42}):
        figure.savefig(content, format=ending.removeprefix("."), dpi=300, metadata=dates.get(ending))
    return write_whole(path, content.getvalue(), overwrite=overwrite)


def plain(text: str) -> str:
    r"""Text from a file as it is: a dollar sign starts no formula.

    Examples
    --------
    >>> print(plain("In $x$"))
    In \$x\$
    """
    return visible(text).replace("\\", "/").replace("$", r"\$")


def _panel(axes: Axes, panel: Panel) -> None:
    for curve in panel.curves:
        _curve(axes, curve)
    if panel.log:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)
        axes.yaxis.get_offset_text().set_fontsize(FONT - 1)
    axes.set_ylabel(_wrapped(panel), fontsize=FONT)
    axes.tick_params(labelsize=FONT, direction="in", top=True, right=True, width=0.6)
    axes.margins(x=0.01)
    for side in axes.spines.values():
        side.set_linewidth(0.6)


def _wrapped(panel: Panel) -> str:
    """Axis text on two or three short lines: a panel is barely an inch high."""
    lines, line = [], ""
    for word in plain(panel.quantity).split():
        if line and len(line) + len(word) > 15:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    units = {"pixel": "px", "pixel/s": "px/s"}.get(panel.units, panel.units)
    return "\n".join([*lines, line, *([f"({units})"] if units else [])])


def _curve(axes: Axes, curve: Curve) -> None:
    label = plain(curve.roi)
    lone = len(curve.x) <= BAND
    axes.plot(
        curve.x, curve.y, color=curve.color, ls=curve.dash, lw=0.9, marker="." if lone else None, ms=3, label=label
    )
    known = np.isfinite(curve.y) & np.isfinite(curve.errors)
    if not known.any():
        return
    if lone:
        axes.errorbar(
            curve.x[known], curve.y[known], curve.errors[known], fmt="none", ecolor=curve.color, elinewidth=0.6
        )
        return
    low, high = curve.y - curve.errors, curve.y + curve.errors
    axes.fill_between(curve.x, low, high, where=known.tolist(), color=curve.color, alpha=0.25, lw=0)


def _marks(axes: Axes, drawing: Drawing, *, named: bool) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=1.5, foreground="white")]
    limits = axes.get_xlim()
    for mark in drawing.marks:
        if mark.stop is None:
            axes.axvline(mark.start, color="#555555", lw=0.7, ls="--", zorder=0)  # type: ignore[arg-type] # a date too
        else:
            axes.axvspan(mark.start, mark.stop, color="#999999", alpha=0.2, lw=0, zorder=0)  # type: ignore[arg-type] # a date too
        if named:
            axes.annotate(
                plain(mark.name),
                (mark.start, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2, -2),
                textcoords="offset points",
                fontsize=FONT - 1.5,
                va="top",
                rotation=90,
                color="#333333",
                path_effects=halo,
            )
    axes.set_xlim(limits)


def _time_axis(axes: Axes, drawing: Drawing) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_xlabel(plain(drawing.line.label), fontsize=FONT)
    if drawing.line.dated:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.xaxis.get_offset_text().set_fontsize(FONT - 1)
