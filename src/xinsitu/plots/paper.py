"""The figure of a series as one would put it into a paper, or on a slide: vector or 300 dpi."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xinsitu.errors import SchemaError
from xinsitu.io.disk import write_whole
from xinsitu.schema import RATIO

from .curves import Curve, Drawing, Panel
from .markup import visible
from .thinning import COLUMNS, outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.5
"""Width in inches of one column of a journal."""
FONT = 7.5
BAND = 60
MILLIMETRES = 25.4
"""In an inch."""


@dataclass(frozen=True)
class Look:
    """Sizes in inches and points: of a figure with no panel, of each panel, of letters and lines."""

    width: float
    least: float
    frame: float
    panel: float
    font: float
    line: float

    def height(self, panels: int) -> float:
        """Height of a figure of so many panels."""
        return max(self.least, self.frame + self.panel * panels)


STYLES = {
    "paper": Look(width=COLUMN, least=0, frame=0.75, panel=1.15, font=FONT, line=0.9),
    "slide": Look(width=10, least=5.625, frame=1.6, panel=1.8, font=14, line=1.8),
}
"""``paper``: a column of a journal, 7.5 pt. ``slide``: 16 to 9 for up to two panels, for the last row."""


def look(style: str) -> Look:
    """Return the sizes of a style.

    Raises
    ------
    SchemaError
        There is no such style.
    """
    if style not in STYLES:
        raise SchemaError(f"the style of a figure is one of {', '.join(STYLES)}, not {style!r}")
    return STYLES[style]


def inches(size: str) -> tuple[float, float]:
    """Width and height in inches of ``WIDTHxHEIGHT`` in millimetres.

    Raises
    ------
    SchemaError
        It is no size, or none that a figure could have.

    Examples
    --------
    >>> inches("254x127")
    (10.0, 5.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[x×]\s*(\d+(?:\.\d+)?)", str(size).strip())
    sides = tuple(float(side) for side in found.groups()) if found else ()
    if not all(20 <= side <= 2000 for side in sides) or not sides:
        raise SchemaError(f"the size of a figure is WIDTHxHEIGHT in mm, from 20 to 2000, such as 90x120, not {size!r}")
    return sides[0] / MILLIMETRES, sides[1] / MILLIMETRES


def draw(
    drawing: Drawing, path: Path, *, size: str | None = None, style: str = "paper", overwrite: bool = False
) -> Path:
    """Write the panels to a PNG, PDF or SVG file.

    Raises
    ------
    SchemaError
        There is nothing to draw, or no such size or style.
    """
    return save(paper_figure(drawing, size=size, style=style), path, overwrite=overwrite)


def paper_figure(drawing: Drawing, *, size: str | None = None, style: str = "paper") -> Figure:
    """Draw the panels on a figure of their own; pyplot and its global state are not involved."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not drawing.panels:
        raise SchemaError("the series has no finite value to plot")
    sizes = look(style)
    extent = (sizes.width, sizes.height(len(drawing.panels))) if size is None else inches(size)
    figure = Figure(figsize=extent, layout=ConstrainedLayoutEngine(h_pad=0.01, hspace=0.02))
    rows = figure.subplots(len(drawing.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(rows, drawing.panels, strict=True):
        _panel(axes, panel, sizes)
        _marks(axes, drawing, sizes, named=axes is rows[0])
    figure.align_ylabels(rows)
    _time_axis(rows[-1], drawing, sizes)
    handles = {handle.get_label(): handle for axes in rows for handle in axes.get_legend_handles_labels()[0]}
    # a legend wider than the figure would be cut off: 44 letters fit into a column, and each handle takes five
    letters = int(44 * extent[0] / COLUMN * FONT / sizes.font)
    columns = max(1, letters // (5 + max(map(len, handles), default=0)))
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper center", ncols=min(len(handles), columns),
        fontsize=sizes.font, frameon=False, title=plain(short(drawing.title, 60)) or None, title_fontsize=sizes.font,
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


def short(text: str, most: int = 32) -> str:
    """Return a name as a figure has room for it: the middle of a long one is left out.

    Examples
    --------
    >>> short("WZ"), short("the spot beside the beam stop", 12)
    ('WZ', 'the spo…stop')
    """
    return text if len(text) <= most else f"{text[: most - 5]}…{text[-4:]}"


def _panel(axes: Axes, panel: Panel, sizes: Look) -> None:
    for curve in panel.curves:
        _curve(axes, curve, sizes)
    if panel.log:
        _logarithmic(axes)
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=True)
        axes.yaxis.get_offset_text().set_fontsize(sizes.font - 1)
    axes.set_ylabel(_wrapped(panel), fontsize=sizes.font)
    axes.tick_params(which="both", labelsize=sizes.font, direction="in", top=True, right=True, width=0.7 * sizes.line)
    axes.margins(x=0.01)
    for side in axes.spines.values():
        side.set_linewidth(0.7 * sizes.line)


def _logarithmic(axes: Axes) -> None:
    """Powers of ten and, between a few of them, twice and five times as much: a low panel has no room for more."""
    from matplotlib.ticker import LogFormatterSciNotation

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high > 5 * low:
        written = LogFormatterSciNotation(labelOnlyBase=False)
        few = high < 100 * low
        axes.yaxis.set_minor_formatter(lambda value, _: written(value) if few and f"{value:.0e}"[0] in "25" else "")


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
    return "\n".join([*lines, line, *([f"({units})"] if units not in ("", RATIO) else [])])


def _curve(axes: Axes, curve: Curve, sizes: Look) -> None:
    label = plain(short(curve.roi))
    lone = len(curve.x) <= BAND
    axes.plot(
        curve.x,
        curve.y,
        color=curve.color,
        ls=curve.dash,
        lw=sizes.line,
        marker="." if lone else None,
        ms=3.3 * sizes.line,
        label=label,
    )
    known = np.isfinite(curve.y) & np.isfinite(curve.errors)
    if not known.any():
        return
    if lone:
        axes.errorbar(
            curve.x[known],
            curve.y[known],
            curve.errors[known],
            fmt="none",
            ecolor=curve.color,
            elinewidth=0.7 * sizes.line,
        )
        return
    x, low, high = outline(curve.x, curve.y - curve.errors, curve.y + curve.errors, COLUMNS)
    axes.fill_between(x, low, high, where=np.isfinite(low).tolist(), color=curve.color, alpha=0.25, lw=0)


def _marks(axes: Axes, drawing: Drawing, sizes: Look, *, named: bool) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=1.5, foreground="white")]
    limits, free = axes.get_xlim(), -math.inf
    for mark in sorted(drawing.marks, key=lambda mark: _points(axes, mark.start)):
        if mark.stop is None:
            axes.axvline(mark.start, color="#555555", lw=0.8 * sizes.line, ls="--", zorder=0)  # type: ignore[arg-type] # a date too
        else:
            axes.axvspan(mark.start, mark.stop, color="#999999", alpha=0.2, lw=0, zorder=0)  # type: ignore[arg-type] # a date too
        if named:
            place = _points(axes, mark.start)
            shift = max(0.0, free - place)  # beside the name of an event that is as good as at the same time
            free = place + shift + sizes.font
            axes.annotate(
                plain(short(mark.name)),
                (mark.start, 1),
                xycoords=("data", "axes fraction"),
                xytext=(2 + shift, -2),
                textcoords="offset points",
                fontsize=sizes.font - 1.5,
                va="top",
                rotation=90,
                color="#333333",
                path_effects=halo,
            )
    axes.set_xlim(limits)


def _points(axes: Axes, x: object) -> float:
    """Where about a place on the x axis lies in the figure, in points."""
    place = axes.transData.transform((axes.convert_xunits(x), 0.0))[0]  # type: ignore[no-untyped-call]
    return float(place) * 72 / axes.figure.dpi


def _time_axis(axes: Axes, drawing: Drawing, sizes: Look) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_xlabel(plain(drawing.line.label), fontsize=sizes.font)
    if drawing.line.dated:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.xaxis.get_offset_text().set_fontsize(sizes.font - 1)
