"""How alike frames are, every one with every other, as a picture with its margins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xinsitu.schema import require

from .paper import plain, save
from .timeline import Timeline, timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (2.0, 98.0)
"""Percentiles of the similarities of different frames between which the colours lie."""


def plot_two_time(
    found: xr.Dataset, *, x: str = "elapsed", path: str | Path | None = None, overwrite: bool = False
) -> Figure:
    """Draw what :func:`~xinsitu.two_time` gives: the map, above it the mean similarity, beside it the change per frame.

    A change of the sample is a corner of a square, and a peak beside it; a slow change fades from the diagonal; a frame
    unlike all others is a cross.

    Parameters
    ----------
    found
        Result of :func:`~xinsitu.two_time`.
    x
        Axes: ``elapsed``, ``frame``, ``local`` or ``utc``.
    path
        A PNG, PDF or SVG file to write.
    overwrite
        Replace a file of this name.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SchemaError
        It is no such result.
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> from xinsitu import two_time
    >>> frames = xr.DataArray(np.random.default_rng(0).poisson(9.0, (5, 4, 4)), dims=("time", "y", "x"))
    >>> figure = plot_two_time(two_time(frames.assign_coords(time=np.arange(5).astype("datetime64[s]"))))
    >>> len(figure.axes)
    4
    """
    from matplotlib.figure import Figure

    require(found, dims=("time", "other_time"), variables=("similarity", "mean_similarity", "step"))
    found = found.compute()
    line = timeline(found, x=x)
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(4, 1, 0.15), height_ratios=(1, 4))
    middle = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=middle)
    beside = figure.add_subplot(grid[1, 1], sharey=middle)
    _map(middle, found, line, figure.add_subplot(grid[1, 2]))
    above.plot(line.values, found["mean_similarity"], lw=0.8, color="k")
    above.set(ylabel="mean\nsimilarity")
    beside.plot(found["step"], line.values, lw=0.8, color="k")
    beside.set(xlabel="change per frame")
    beside.locator_params(axis="x", nbins=2)
    beside.tick_params(axis="x", labelrotation=90)  # numbers side by side run into each other
    beside.xaxis.set_major_formatter("{x:.2g}")  # a power of ten beside the axis would lie on its name
    above.tick_params(axis="x", labelbottom=False)
    beside.tick_params(axis="y", labelleft=False)
    if path is not None:
        save(figure, Path(path), overwrite=overwrite)
    return figure


def _map(axes: Axes, found: xr.Dataset, line: Timeline, bar: Axes) -> None:
    """Draw the map; its diagonal, where each frame is itself, takes no part in the colours."""
    values = found["similarity"].values
    different = values[~np.eye(len(values), dtype=bool)]
    known = different[np.isfinite(different)]
    low, high = np.percentile(known, COLOURS) if known.size else (0.0, 1.0)
    mesh = axes.pcolormesh(
        line.values, line.values, values, vmin=low, vmax=max(high, low + 1e-9), shading="nearest", rasterized=True
    )
    axes.set(xlabel=plain(line.label), ylabel=plain(line.label))
    axes.figure.colorbar(mesh, cax=bar, label="similarity", extend="both")
