"""The evidence for every change of attenuation, for the eye: points used, lines through them, factor and error."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.physics.attenuation.reports import RejectedChange, change_reports
from xinsitu.schema import require
from xinsitu.values import AttenuationChange
from xinsitu.values.changes import headline

from .curves import colours
from .paper import COLUMN, FONT, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_changes(
    sample: xr.Dataset,
    changes: Sequence[AttenuationChange],
    *,
    window: int = 5,
    path: str | Path | None = None,
    overwrite: bool = False,
) -> Figure:
    """Show every change of attenuation: the intensities around it, the points used, lines through them, the factor.

    Parameters
    ----------
    sample
        Stitched series with the intensities as measured (``intensity_measured`` is taken where it is there).
    changes
        What was found or given; what the finder rejected is drawn behind it, in grey, with the reason.
    window
        Frames used on each side, where the change's evidence does not say.
    path
        A PNG, PDF or SVG file to write.
    overwrite
        Replace a file of this name.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per change, logarithmic, with frames across.

    Raises
    ------
    SchemaError
        There are no changes, or no intensities.
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import numpy as np
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(8) * np.timedelta64(1, "s")
    >>> counts = np.where(np.arange(8) < 4, 800.0, 100.0)[:, None]
    >>> sample = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ"]})
    >>> figure = plot_changes(sample, [AttenuationChange(time[3], time[4], factor=8.0)])
    >>> figure.axes[0].get_title()
    'attenuator: × 8'
    """
    from matplotlib.figure import Figure

    require(sample, dims=("time", "roi"), variables=("intensity",))
    shown: list[AttenuationChange | RejectedChange] = [*changes, *getattr(changes, "rejected", ())]
    if not shown:
        raise SchemaError("there are no attenuation changes to show")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(COLUMN * columns, 0.5 + 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, change in zip(grid, shown, strict=False):
        _change(axes, sample, change, window)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=FONT, frameon=False)
    if path is not None:
        save(figure, Path(path), overwrite=overwrite)
    return figure


def _change(axes: Axes, sample: xr.Dataset, change: AttenuationChange | RejectedChange, window: int) -> None:
    placed = change
    if not isinstance(placed, AttenuationChange):
        placed = AttenuationChange(
            change.before, change.after, before_key=change.before_key, after_key=change.after_key
        )
        axes.set_facecolor("#eeeeee")
    (report,) = change_reports(sample, [placed], window=window)
    shades = colours(sample)
    sides = ((report.before, report.line_before), (report.after, report.line_after))
    for number, roi in enumerate(report.rois):
        values, color = report.intensity[:, number], shades[roi]
        axes.plot(report.shown, values, ".", ms=2.5, color=color, alpha=0.5, label=plain(roi))
        for positions, line in sides:
            used = values[positions - report.shown[0]]
            drawn = np.isfinite(line[:, number])  # nowhere, where scans overlap: it is no frames beside that decide
            axes.plot(positions[drawn], used[drawn], "o", ms=3.5, mfc="none", mew=0.8, color=color)
            axes.plot(positions, line[:, number], "-", lw=1.2, color=color)
    axes.axvspan(report.before[-1] + 0.5, report.after[0] - 0.5, color="#999999", alpha=0.3, lw=0)
    axes.set_yscale("log")
    axes.set_xlim(report.shown[0] - 1, report.shown[-1] + 1)
    axes.tick_params(labelsize=FONT, direction="in", which="both", top=True, right=True)
    axes.set_xlabel("frame in the series", fontsize=FONT)
    axes.set_ylabel("intensity as measured", fontsize=FONT)
    axes.set_title(_title(change), fontsize=FONT)


def _title(change: AttenuationChange | RejectedChange) -> str:
    if not isinstance(change, AttenuationChange):
        return "\n".join(textwrap.wrap(plain(f"no change: {change.reason}"), 50))
    return plain(headline(change))
