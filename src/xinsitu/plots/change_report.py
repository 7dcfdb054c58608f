"""The evidence for every change of attenuation, for the eye: points used, lines through them, factor and error."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.physics.attenuation.reports import RejectedChange
from xinsitu.physics.moments import resolve_key
from xinsitu.physics.samples.bad_frames import mask_flagged
from xinsitu.schema import require
from xinsitu.values import AttenuationChange

from .curves import colours
from .paper import COLUMN, FONT, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AROUND = 30
"""Frames shown on each side of a change."""


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
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(8) * np.timedelta64(1, "s")
    >>> counts = np.where(np.arange(8) < 4, 800.0, 100.0)[:, None]
    >>> sample = xr.Dataset({"intensity": (("time", "roi"), counts)}, {"time": time, "roi": ["WZ"]})
    >>> figure = plot_changes(sample, [AttenuationChange(time[3], time[4], factor=8.0)])
    >>> figure.axes[0].get_title()
    'attenuator: × 8'
    """
    from matplotlib.figure import Figure

    require(sample, dims=("time", "roi"))
    shown: list[AttenuationChange | RejectedChange] = [*changes, *getattr(changes, "rejected", ())]
    if not shown:
        raise SchemaError("there are no attenuation changes to show")
    name = "intensity_measured" if "intensity_measured" in sample else "intensity"
    require(sample, variables=(name,))
    intensity = mask_flagged(sample)[name].transpose("time", "roi")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(COLUMN * columns, 0.5 + 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, change in zip(grid, shown, strict=False):
        _change(axes, sample, intensity, change, window)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=FONT, frameon=False)
    if path is not None:
        save(figure, Path(path), overwrite=overwrite)
    return figure


def _change(
    axes: Axes, sample: xr.Dataset, intensity: xr.DataArray, change: AttenuationChange | RejectedChange, window: int
) -> None:
    before = resolve_key(sample, change.before_key or change.before, side="before")
    after = resolve_key(sample, change.after_key or change.after, side="after", later_than=before)
    if isinstance(change, AttenuationChange):
        window = int(change.evidence.get("window", window) or window)
    else:
        axes.set_facecolor("#eeeeee")
    first, last = max(0, before - AROUND), min(sample.sizes["time"], after + AROUND + 1)
    shades = colours(sample)
    for number, roi in enumerate(map(str, sample["roi"].values)):
        values = np.asarray(intensity.values[:, number], dtype=float)
        frames = np.arange(first, last)
        axes.plot(frames, values[first:last], ".", ms=2.5, color=shades[roi], alpha=0.5, label=plain(roi))
        for used in (
            np.arange(max(first, before - window + 1), before + 1),
            np.arange(after, min(last, after + window)),
        ):
            _line(axes, used, values[used], shades[roi])
    axes.axvspan(before + 0.5, after - 0.5, color="#999999", alpha=0.3, lw=0)
    axes.set_yscale("log")
    axes.set_xlim(first - 1, last)
    axes.tick_params(labelsize=FONT, direction="in", which="both", top=True, right=True)
    axes.set_xlabel("frame in the series", fontsize=FONT)
    axes.set_ylabel("intensity as measured", fontsize=FONT)
    axes.set_title(_title(change), fontsize=FONT)


def _line(axes: Axes, frames: np.ndarray, values: np.ndarray, color: str) -> None:
    """Mark the points used, and draw the straight line through them, extended by two frames."""
    good = np.isfinite(values) & (values > 0)
    axes.plot(frames[good], values[good], "o", ms=3.5, mfc="none", mew=0.8, color=color)
    if good.sum() < 2:
        return
    slope, level = np.polyfit(frames[good] - frames[0], values[good], 1)
    across = np.array([frames[0] - 2, frames[-1] + 2])
    fitted = level + slope * (across - frames[0])
    if (fitted > 0).all():
        axes.plot(across, fitted, "-", lw=1.2, color=color)


def _title(change: AttenuationChange | RejectedChange) -> str:
    if not isinstance(change, AttenuationChange):
        return "\n".join(textwrap.wrap(plain(f"no change: {change.reason}"), 50))
    factor = "factor from the end points" if change.factor is None else f"× {change.factor:.4g}"
    error = "" if change.factor_errors is None else f" ± {change.factor_errors:.2g}"
    return plain(f"{change.cause}: {factor}{error}")
