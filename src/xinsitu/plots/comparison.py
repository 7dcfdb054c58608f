"""Samples overlaid on their own elapsed times."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from xinsitu.errors import SchemaError

from .curves import PALETTE, Curve, Drawing, Panel, drawing
from .interactive import show, write_html
from .paper import draw


def plot_comparison(series: Mapping[str, xr.Dataset], path: str | os.PathLike[str], *, log: bool = False) -> Path:
    """Overlay samples on their elapsed times and write the figure; one colour for each ROI of each sample.

    Parameters
    ----------
    series
        Name → sample with the coordinate ``elapsed (time)``, as :func:`~xinsitu.compare` gives in ``series``.
    path
        Ends in ``.html`` (interactive), ``.png``, ``.pdf`` or ``.svg``.
    log
        Logarithmic intensity.

    Raises
    ------
    SchemaError
        Nothing to compare, or another ending.
    """
    path = Path(path)
    figures = {name: drawing(one, t0=_zero(one), log=log) for name, one in series.items()}
    if not figures:
        raise SchemaError("there is nothing to compare")
    together = _together(figures)
    if path.suffix.lower() == ".html":
        return write_html(show(together), path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise SchemaError(f"{path}: a figure ends in .html, .png, .pdf or .svg")
    return draw(together, path)


def _zero(sample: xr.Dataset) -> np.datetime64:
    """UTC moment at which the elapsed time of a sample is zero."""
    first = sample["elapsed"].values[0] * 1e9
    zero: np.datetime64 = sample["time"].values[0] - np.timedelta64(round(float(first)), "ns")
    return zero


def _together(figures: Mapping[str, Drawing]) -> Drawing:
    """One drawing with the panels that any of them has, in their usual order; events are each sample's own."""
    first = next(iter(figures.values()))
    labels = sorted({label for label, _ in _labelled(figures)})
    colours = {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(labels)}
    panels: dict[str, Panel] = {}
    for name, figure in figures.items():
        for panel in figure.panels:
            curves = tuple(
                replace(curve, roi=f"{name} {curve.roi}", color=colours[f"{name} {curve.roi}"])
                for curve in panel.curves
            )
            known = panels.get(panel.name)
            panels[panel.name] = replace(panel, curves=curves if known is None else known.curves + curves)
    return replace(first, title=" and ".join(figures), panels=tuple(panels.values()), marks=())


def _labelled(figures: Mapping[str, Drawing]) -> Iterator[tuple[str, Curve]]:
    for name, figure in figures.items():
        for panel in figure.panels:
            for curve in panel.curves:
                yield f"{name} {curve.roi}", curve
