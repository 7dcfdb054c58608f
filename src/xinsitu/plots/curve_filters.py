"""Smoothing and slopes on the true time axis: frames are not equally spaced, so index filters are wrong by design."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xinsitu.errors import SchemaError

Floats = npt.NDArray[np.float64]
_SYNTAX = re.compile(r"(savgol|mean):(\d+)(?:,(\d+))?$")


@dataclass(frozen=True)
class Smoothing:
    """A local polynomial of ``order`` through ``window`` neighbouring frames; order 0 is the rolling mean."""

    window: int
    order: int


def parse_smoothing(text: str | None) -> Smoothing | None:
    """Read ``savgol:WINDOW,ORDER`` or ``mean:WINDOW``.

    Raises
    ------
    SchemaError
        It is neither, the window is not odd, or the order does not fit into the window.

    Examples
    --------
    >>> parse_smoothing("savgol:11,2")
    Smoothing(window=11, order=2)
    >>> parse_smoothing("mean:5")
    Smoothing(window=5, order=0)
    """
    if text is None:
        return None
    match = _SYNTAX.match(text.replace(" ", ""))
    if match is None or (match[1] == "mean") == (match[3] is not None):
        raise SchemaError(f"smooth is savgol:WINDOW,ORDER or mean:WINDOW, such as savgol:11,2, not {text!r}")
    window, order = int(match[2]), int(match[3] or 0)
    if window % 2 == 0 or order >= window:
        raise SchemaError(f"the window of {text!r} must be an odd number of frames above the order")
    return Smoothing(window, order)


def local_fit(
    time: Floats, values: Floats, errors: Floats, smoothing: Smoothing, *, derivative: int = 0
) -> tuple[Floats, Floats]:
    """Fit a polynomial in time around every point and take its value or slope there.

    On equally spaced times this is the Savitzky-Golay filter (Savitzky and Golay, Anal. Chem. 36 (1964) 1627), whose
    first and last points come from the polynomial of the first and last window. A rolling mean (order 0) shrinks its
    window at the ends instead. Points that are NaN stay NaN and do not count.

    Parameters
    ----------
    time, values, errors
        One uninterrupted stretch, 1-D; time in seconds. The errors are taken as independent.
    smoothing
        Window and order.
    derivative
        0 for the value, 1 for the slope per second.

    Returns
    -------
    tuple
        Values and their standard errors.

    Examples
    --------
    >>> t = np.array([0.0, 1.0, 2.0, 5.0, 6.0])
    >>> local_fit(t, t**2, np.ones(5), Smoothing(5, 2), derivative=1)[0].round(9) + 0.0  # no -0.0
    array([ 0.,  2.,  4., 10., 12.])
    """
    size = len(time)
    half = smoothing.window // 2
    centre = np.arange(size)
    if smoothing.order:
        centre = np.clip(centre, min(half, size // 2), max(size - 1 - half, (size - 1) // 2))
    index = centre[:, np.newaxis] + np.arange(-half, half + 1)
    inside = (index >= 0) & (index < size)
    index = index.clip(0, max(size - 1, 0))
    good = inside & np.isfinite(values[index])
    weights = _weights(time[index] - time[:, np.newaxis], good, smoothing.order, derivative)
    smooth = np.where(good, weights * np.where(good, values[index], 0.0), 0.0).sum(axis=1)
    spread = np.sqrt(np.where(good, (weights * errors[index]) ** 2, 0.0).sum(axis=1))
    lost = ~np.isfinite(values)
    return np.where(lost, np.nan, smooth), np.where(lost, np.nan, spread)


def _weights(offset: Floats, good: npt.NDArray[np.bool_], order: int, derivative: int) -> Floats:
    """Weights of the points of each window; NaN where the points do not determine the polynomial."""
    scale = np.abs(np.where(good, offset, 0.0)).max(axis=1, initial=0.0)
    scale[scale == 0] = 1.0
    powers = np.where(
        good[..., np.newaxis], (offset / scale[:, np.newaxis])[..., np.newaxis] ** np.arange(order + 1), 0.0
    )
    distinct = np.array([len(np.unique(row[ok])) for row, ok in zip(offset, good, strict=True)])
    solvable = distinct > order
    weights = np.full(offset.shape, np.nan)
    if solvable.any() and derivative <= order:
        inverse = np.linalg.pinv(powers[solvable])
        weights[solvable] = inverse[:, derivative, :] / scale[solvable, np.newaxis] ** derivative
    return weights
