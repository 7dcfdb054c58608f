"""Second and third moments of profiles about their centre of mass, with their variances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .pixels import Doubles
from .sums import centre_of_mass


class ProfileShape(NamedTuple):
    """Width and asymmetry of profiles, one per frame, and what a unit more in each bin changes in them.

    ``of_sigma`` and ``of_skewness`` are ``(frame, bin)``: the derivatives by the bins, from which variances follow.
    """

    sigma: Doubles
    skewness: Doubles
    of_sigma: Doubles
    of_skewness: Doubles


def shape_of(profile: Doubles) -> ProfileShape:
    """Root of the second central moment of profiles ``(frame, bin)`` in bins, and their skewness.

    With ``N = sum p``, ``d = x - sum(x p) / N``: ``sigma^2 = sum(d^2 p) / N``, ``m = sum(d^3 p) / N``,
    ``skewness = m / sigma^3``; NaN where the sum or the second moment is not positive. Derivatives by ``p_i``:
    ``(d_i^2 - sigma^2) / (2 sigma N)`` and
    ``[(d_i^3 - m - 3 sigma^2 d_i) / sigma^3 - 3/2 m (d_i^2 - sigma^2) / sigma^5] / N``.

    Examples
    --------
    >>> found = shape_of(np.array([[1.0, 2.0, 1.0], [0.0, 3.0, 1.0]]))
    >>> found.sigma.round(4), found.skewness.round(4)
    (array([0.7071, 0.433 ]), array([0.    , 1.1547]))
    """
    total = profile.sum(axis=1)
    away = np.arange(profile.shape[1], dtype=np.float64) - centre_of_mass(profile)[:, None]
    number = np.where(total > 0, total, np.nan)[:, None]
    square = np.einsum("ni,ni->n", away**2, profile)[:, None] / number
    square = np.where(square > 0, square, np.nan)
    cube = np.einsum("ni,ni->n", away**3, profile)[:, None] / number
    sigma = np.sqrt(square)
    wider = away**2 - square
    of_skewness = (away**3 - cube - 3 * square * away) / sigma**3 - 1.5 * cube * wider / sigma**5
    return ProfileShape(sigma[:, 0], (cube / sigma**3)[:, 0], wider / (2 * sigma * number), of_skewness / number)


def propagated(
    change: Doubles, variance: Doubles, pixels: Doubles, level_variance: Doubles, with_level: Doubles
) -> Doubles:
    """Variance of a quantity of profiles from the derivatives by its bins.

    ``sum h_i^2 var_i + s^2 var_b - 2 s sum(h_i cov_i)`` with ``s = sum n_i h_i``, where ``var_b`` is the variance of
    the background per pixel, which all ``n_i`` pixels share, and ``cov_i`` its covariance with the bins where it comes
    from pixels that they hold.
    """
    counted = np.einsum("ni,ni->n", change**2, variance)
    shared = np.einsum("ni,ni->n", change, pixels)
    both = np.einsum("ni,ni->n", change, with_level)
    return np.asarray(np.maximum(counted + shared**2 * level_variance - 2 * shared * both, 0))
