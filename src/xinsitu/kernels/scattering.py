"""Momentum transfer and angles of the pixels of a flat detector, and which pixels lie within limits of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .pixels import Bools, Doubles

Rotation = tuple[float, float, float]


def places(p1: Doubles, p2: Doubles, distance: float, rotation: Rotation) -> tuple[Doubles, Doubles, Doubles]:
    """Places ``t1, t2, t3`` of pixels from the sample, ``t3`` along the beam, from those on the detector.

    ``p1, p2``: along y and x from the point of normal incidence; ``rotation``: pyFAI's ``rot1, rot2, rot3``
    (Ashiotis et al., J. Appl. Cryst. 48, 510 (2015)).
    """
    (c1, c2, c3), (s1, s2, s3) = np.cos(rotation), np.sin(rotation)
    t1 = p1 * c2 * c3 + p2 * (c3 * s1 * s2 - c1 * s3) - distance * (c1 * c3 * s2 + s1 * s3)
    t2 = p1 * c2 * s3 + p2 * (c1 * c3 + s1 * s2 * s3) - distance * (c1 * s2 * s3 - c3 * s1)
    t3 = p1 * s2 - p2 * c2 * s1 + distance * c1 * c2
    return np.asarray(t1), np.asarray(t2), np.asarray(t3)


def angles(t1: Doubles, t2: Doubles, t3: Doubles, wavelength: float, incidence: float, up: str) -> dict[str, Doubles]:
    """Return maps of ``q`` (one over the wavelength's unit), ``two_theta``, ``chi`` and ``exit_angle`` (degrees).

    Examples
    --------
    >>> found = angles(np.array([0.0]), np.array([1.0]), np.array([1.0]), 1.0, 0.0, "y")
    >>> found["two_theta"].tolist(), found["q"].round(4).tolist()
    ([45.0], [4.8089])
    """
    two_theta = np.arctan2(np.hypot(t1, t2), t3)
    height = t1 if up == "y" else t2
    normal = height * np.cos(incidence) - t3 * np.sin(incidence)
    return {
        "q": np.asarray(4 * np.pi * np.sin(two_theta / 2) / wavelength),
        "two_theta": np.degrees(two_theta),
        "chi": np.degrees(np.arctan2(t1, t2)),
        "exit_angle": np.degrees(np.arcsin(normal / np.sqrt(t1**2 + t2**2 + t3**2))),
    }


def within(maps: Mapping[str, Doubles], limits: Mapping[str, tuple[float, float]]) -> Bools:
    """Which pixels lie within limits of maps, ``first <= value < last``; azimuths (``chi``) go round.

    Examples
    --------
    >>> within({"chi": np.array([-175.0, 0.0, 175.0])}, {"chi": (170.0, 190.0)}).tolist()
    [True, False, True]
    """
    inside = np.ones(next(iter(maps.values())).shape, dtype=bool)
    for name, (first, last) in limits.items():
        values = np.mod(maps[name] - first, 360) + first if name == "chi" else maps[name]
        inside &= (values >= first) & (values < last)
    return inside
