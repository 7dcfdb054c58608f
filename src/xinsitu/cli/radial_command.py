"""``radial``: profiles along q, scattering angle or azimuth, frame by frame."""

from __future__ import annotations

import argparse

import numpy as np

from xinsitu.digits import counted
from xinsitu.io.poni import read_geometry
from xinsitu.recipe import Radial

from .console import say
from .shared import background, correcting, produced, reading, refuse_swapped


def radial(words: argparse.Namespace) -> int:
    """Write the profiles of a measurement, and draw them if asked."""
    refuse_swapped(words.measurement, words.flatfield)
    geometry, how = read_geometry(words.geometry), reading(words)
    limits = {name: ends for name in ("q", "two_theta", "chi") if (ends := getattr(words, name)) is not None}
    scan = how.open(words.measurement)
    step = Radial(
        words.measurement, geometry, how.named(scan), correcting(words, background(words)), words.along, words.bins,
        limits, not words.no_solid_angle,
    )  # fmt: skip
    figure = [] if words.figure is None else [words.figure]
    doing = f"integrating {counted(scan.sizes['time'], 'frame')} along {words.along}"
    profiles, output = produced(words, scan, step, "_radial", doing, *figure)
    filled = int(np.isfinite(profiles["intensity"].values).any(axis=0).sum())
    first, last = profiles[words.along].values[[0, -1]]
    units = profiles[words.along].attrs["units"]
    say(f"{words.along}: {first:.4g} to {last:.4g} {units}, {filled} of {words.bins} bins hold pixels")
    if why := profiles["intensity_errors"].attrs.get("comment"):
        say(f"errors: {why}")
    if words.figure:
        from xinsitu.plots.profile_map import draw_profiles

        draw_profiles(profiles, words.along, x=words.x, path=words.figure, overwrite=words.force)
        say(f"wrote {words.figure.resolve()}")
    say(f"wrote {output.resolve()}")
    return 0
