"""Samples overlaid on their own elapsed times."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError
from xinsitu.io.guard import output_path
from xinsitu.schema import mid_exposure, require

from .curves import Drawing, Panel, drawing, readable_panel
from .interactive import show, write_html
from .paper import draw
from .thinning import COLUMNS, ON_SCREEN, thinned

DASHES = ("solid", "dashed", "dotted", "dashdot")
"""Colours are the ROIs'; samples differ by the kind of line."""


def plot_comparison(
    series: Mapping[str, xr.Dataset],
    path: str | os.PathLike[str],
    *,
    roi: str | Sequence[str] | None = None,
    log: bool = False,
    overwrite: bool = False,
) -> Path:
    """Overlay samples on their elapsed times and write the figure.

    ROIs keep their colours, samples differ by the kind of line.

    Parameters
    ----------
    series
        Name → sample with the coordinate ``elapsed (time)``, as :func:`~xinsitu.compare` gives in ``series``.
    path
        Ends in ``.html`` (interactive), ``.png``, ``.pdf`` or ``.svg``.
    roi
        A name or names; None: all.
    log
        Logarithmic intensity.
    overwrite
        Replace a file of this name.

    Raises
    ------
    SchemaError
        Nothing to compare, or another ending.
    ResultExists
        The file is there and ``overwrite`` is false.

    Examples
    --------
    >>> import tempfile
    >>> from xinsitu import compare
    >>> time = np.datetime64("2014-05-28", "ns") + np.arange(4) * np.timedelta64(1, "s")
    >>> series = xr.Dataset({"intensity": (("time", "roi"), np.ones((4, 1)))}, {"time": time, "roi": ["WZ"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = plot_comparison(compare({"0884": series, "0885": 2 * series}).series, f"{folder}/both.png")
    ...     path.name
    'both.png'
    """
    for one in series.values():
        require(one, dims=("time", "roi"), variables=("elapsed",))
    path = output_path(path, overwrite=overwrite)
    figures = {name: drawing(one, t0=_zero(one), roi=roi, log=log) for name, one in series.items()}
    if not figures:
        raise SchemaError("there is nothing to compare")
    together = _together(figures)
    if path.suffix.lower() == ".html":
        return write_html(show(thinned(together, ON_SCREEN)), path, overwrite=overwrite)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise SchemaError(f"{path}: a figure ends in .html, .png, .pdf or .svg")
    return draw(thinned(together, COLUMNS), path, overwrite=overwrite)


def _zero(sample: xr.Dataset) -> np.datetime64:
    """UTC moment at which the elapsed time of a sample is zero."""
    first = sample["elapsed"].values[0] * 1e9
    zero: np.datetime64 = mid_exposure(sample)[0] - np.timedelta64(round(float(first)), "ns")
    return zero


def _together(figures: Mapping[str, Drawing]) -> Drawing:
    """One drawing with the panels that any of them has, in their usual order; events are each sample's own."""
    first = next(iter(figures.values()))
    panels: dict[str, Panel] = {}
    for number, (name, figure) in enumerate(figures.items()):
        for panel in figure.panels:
            dash = DASHES[number % len(DASHES)]
            curves = tuple(replace(curve, roi=f"{name} {curve.roi}", dash=dash) for curve in panel.curves)
            known = panels.get(panel.name)
            panels[panel.name] = replace(panel, curves=curves if known is None else known.curves + curves)
    return replace(first, title=" and ".join(figures), panels=tuple(map(readable_panel, panels.values())), marks=())
