"""Frames on their way from one level to the other: whether they follow a smooth curve, as growth does."""

from __future__ import annotations

import numpy as np

from .counts import Counts
from .factors import Floats

_GLIDE, _SMOOTH, _UNLIKELY = 5, 0.005, 3.0
"""Steps between frames that may show a smooth way from one level to the other, how far (relative) it may be off a
parabola, and the logarithm of the odds from which it is one of twelve."""


def glides(counts: Counts, before: int, after: int) -> bool:
    """Whether the intensities go from one side to the other along a smooth curve, with a kink at each end.

    An attenuator that moves lets through any part of the beam in each frame; that these lie on a polynomial, as
    they are, in logarithms, or on a decay towards the other level, by chance is the less likely the better they are
    known.
    """
    part = slice(before + 1, after)
    values, first, last = counts.values[part], counts.values[before], counts.values[after]
    if after - before < _GLIDE or not (known := (values > 0).all(axis=0) & (first != last)).any():
        return False
    values, first, last = values[:, known], first[known], last[known]
    shares = (values - last) / (first - last)
    ends = counts.noise[before, known] ** 2, counts.noise[after, known] ** 2
    noise = np.sqrt(ends[1] + np.clip(shares, 0, 1) * (ends[0] - ends[1]))  # variances go with counts
    spreads = noise / np.abs(first - last)
    ways = [(np.log(values), noise / values), (shares, spreads)]
    if (shares > 0).all():
        ways.append((np.log(shares), spreads / shares))
    if (shares < 1).all():
        ways.append((np.log(1 - shares), spreads / (1 - shares)))
    return max(_odds(way, spread, degree) for way, spread in ways for degree in (1, 2, 3)) > _UNLIKELY


def _odds(way: Floats, spread: Floats, degree: int) -> float:
    """Logarithm of the odds that frames on their way to another level, dims ``(frame, roi)``, lie on a polynomial."""
    weight = 1 / (spread**2 + _SMOOTH**2)
    together = (weight * (way - way[0])).sum(axis=1) / weight.sum(axis=1)
    spread = 1 / np.sqrt(weight.sum(axis=1))
    typical = abs(together[-1]) / (together.size - 1)
    x = np.linspace(-1.0, 1.0, together.size)
    fit = np.polynomial.Polynomial.fit(x, together, degree, w=1 / spread)
    misfit = float((((together - fit(x)) / spread) ** 2).sum())
    surprise = float(np.log(np.clip(typical / spread / 2.5, 1e-9, None)).mean())
    return float((together.size - 1 - degree) * surprise - misfit / 2)
