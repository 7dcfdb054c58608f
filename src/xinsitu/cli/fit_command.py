"""``fit``: peaks fitted to the profiles of ROIs, frame by frame."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import xarray as xr

from xinsitu.digits import counted
from xinsitu.io.documents import read_rois
from xinsitu.recipe import Fit

from .console import say, say_block, table
from .shared import background, correcting, produced, reading, refuse_swapped

HEADER = ("ROI", "peak", "fits y", "flagged", "centre y", "FWHM y", "fits x", "flagged", "centre x", "FWHM x")
"""Frames in which a peak was fitted and those of them with a flag, median place and width; along y, then along x."""


def fit(words: argparse.Namespace) -> int:
    """Write the peaks of a measurement's ROIs."""
    refuse_swapped(words.measurement, words.flatfield)
    rois, how = read_rois(words.rois), reading(words)
    scan = how.open(words.measurement)
    step = Fit(
        words.measurement, rois, how.named(scan), correcting(words, background(words)), words.shape, words.peaks,
        words.shared_width, words.follow,
    )  # fmt: skip
    doing = f"fitting {counted(scan.sizes['time'], 'frame')}"
    found, output = produced(words, scan, step, "_fits", doing)
    say_block(table([row for roi in found["roi"].values for row in _rows(found.sel(roi=roi))], HEADER))
    say(f"wrote {output.resolve()}")
    return 0


def _rows(one: xr.Dataset) -> Iterator[tuple[object, ...]]:
    """Return what is told of each peak of a ROI; of those behind the first where there were any."""
    dim = next((str(dim) for dim in one["centre_y"].dims if dim != "time"), None)
    for peak in range(one.sizes[dim] if dim else 1):
        row: list[object] = [str(one["roi"].item()), peak + 1]
        times = 0
        for axis in "yx":
            parts = {name: one[f"{name}_{axis}"] for name in ("centre", "fwhm", "quality")}
            centre, width, quality = (part[{dim: peak}] if dim in part.dims else part for part in parts.values())
            fitted = np.isfinite(centre.values)
            times += int(fitted.sum())
            row += [int(fitted.sum()), int((quality.values[fitted] != 0).sum())]
            row += [f"{np.median(part.values[fitted]):.2f}" if fitted.any() else "–" for part in (centre, width)]
        if times or not peak:
            yield tuple(row)
