"""Smoothing and slopes on the true time axis: frames are not equally spaced, so index filters are wrong by design."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xinsitu.errors import SchemaError
from xinsitu.kernels import lines

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
    offset = lines.windows(time, smoothing.window, smoothing.order) - time[:, np.newaxis]
    around, spread = (lines.windows(column, smoothing.window, smoothing.order) for column in (values, errors))
    found, error = lines.local_polynomial(around, offset, smoothing.order, derivative=derivative, errors=spread)
    lost = ~np.isfinite(values)
    return np.where(lost, np.nan, found), np.where(lost, np.nan, error)
