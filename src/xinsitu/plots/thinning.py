"""Long curves with no more points than a figure can show: the lowest and the highest one of each column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .curves import Curve, Drawing

COLUMNS = 1000
"""Columns that a printed figure shows of a curve; at 300 dpi a journal's one has as many."""
ON_SCREEN = 600
"""Columns of a page that one can zoom into; each curve of it carries what the hover shows."""


def thinned(figure: Drawing, columns: int) -> Drawing:
    """Return a drawing of which no curve has more points than can be seen, gaps included; short curves stay whole."""
    panels = (
        replace(panel, curves=tuple(_thinned(curve, columns) for curve in panel.curves)) for panel in figure.panels
    )
    return replace(figure, panels=tuple(panels))


def _thinned(curve: Curve, columns: int) -> Curve:
    if len(curve.x) <= 3 * columns:
        return curve
    kept = extremes(curve.x, curve.y, columns)
    return replace(curve, x=curve.x[kept], y=curve.y[kept], errors=curve.errors[kept])


def extremes(x: npt.NDArray[np.generic], y: npt.NDArray[np.float64], columns: int) -> npt.NDArray[np.intp]:
    """Places of the lowest and the highest value in each of some columns of equal width, and of a gap if there is one.

    Examples
    --------
    >>> extremes(np.arange(8), np.array([0.0, 5.0, -1.0, 2.0, 2.0, np.nan, 3.0, 1.0]), 2).tolist()
    [0, 1, 2, 5, 6, 7]
    """
    starts = _starts(x, columns)
    run = np.repeat(np.arange(len(starts)), np.diff([*starts, len(x)]))
    order = np.lexsort((y, run))  # NaN come last
    known = np.add.reduceat(np.isfinite(y).astype(np.int64), starts)
    sizes = np.diff([*starts, len(x)])
    lowest, highest = order[starts], order[starts + np.maximum(known - 1, 0)]
    gaps = order[(starts + known)[known < sizes]]
    return np.unique(np.concatenate([[0, len(x) - 1], lowest, highest, gaps]))


def outline(
    x: npt.NDArray[np.generic], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], columns: int
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Outline of a band in each of some columns of equal width: its middle, the lowest and the highest value.

    A band that follows each point of a noisy curve up and down takes ten times as long to fill, and its spikes look as
    if it were thinner.

    Examples
    --------
    >>> x = np.array([0.0, 1, 2, 4])
    >>> [part.tolist() for part in outline(x, np.array([5.0, 4, np.nan, 3]), np.array([6.0, 8, np.nan, 4]), 2)]
    [[0.5, 3.0], [4.0, 3.0], [8.0, 4.0]]
    """
    starts = _starts(x, columns)
    ends = np.append(starts[1:], len(x)) - 1
    middle = x[starts] + (x[ends] - x[starts]) / 2
    return middle, np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)


def _starts(x: npt.NDArray[np.generic], columns: int) -> npt.NDArray[np.intp]:
    """Where each column of points begins; another one, should time ever go back."""
    place = x.astype("int64" if x.dtype.kind == "M" else "float64").astype(np.float64)
    place = (place - np.nanmin(place)) / max(float(np.nanmax(place) - np.nanmin(place)), 1e-300)
    column = np.minimum((place * columns).astype(np.int64), columns - 1)
    return np.concatenate([[0], np.flatnonzero(np.diff(column)) + 1])
