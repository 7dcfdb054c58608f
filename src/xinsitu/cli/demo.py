"""``xinsitu demo``: an experiment whose answers are known, and everything on it."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from xinsitu import schema
from xinsitu.errors import ResultExists, SchemaError
from xinsitu.io.results import read_results
from xinsitu.recipe.recipe_file import write_recipe
from xinsitu.simulate import Truth, simulate_sample

from .console import say, say_block, table, working

Run = Callable[[list[str]], int]
INSTRUMENT = "spring8-bl11xu"
COUNTS = 1e7
"""Of the WZ spot in a frame without attenuator: bright, so that the table shows the method and not the noise."""


def demo(words: argparse.Namespace, run: Run) -> int:
    """Simulate a sample, do the whole job, and print truth against measured."""
    started = time.perf_counter()
    folder: Path = words.folder
    if folder.exists() and any(folder.iterdir()):
        raise ResultExists(f"{folder}: is there already and not empty; name a new folder, as in 'xinsitu demo FOLDER'")
    with working(f"simulating a sample in {folder}"):
        truth = simulate_sample(folder, seed=words.seed, counts=COUNTS)
    for line in _commands(folder, truth):
        say()
        say(f"$ xinsitu {shlex.join(line)}")
        if code := run(line):
            return code
    for name, expected in (("plain", truth.expected), ("median", truth.through_median(3))):
        say()
        say(f"{_TITLES[name]}")
        say_block(comparison(read_results(folder / name / "0884.nc"), expected, truth))
    say()
    say(f"Look at {folder / '0884.png'} and open {folder / '0884.html'} in a browser.")
    say(f"Everything was done in {time.perf_counter() - started:.0f} s.")
    return 0


_TITLES = {
    "plain": "Largest deviation from the truth in any frame, measured without a median:",
    "median": "Measured with the 3x3 median of every pixel, against the noise-free frames through the same median:",
}


def _commands(folder: Path, truth: Truth) -> list[list[str]]:
    """Write the recipe and return the commands of the demo in order."""
    scans = [str(path) for path in truth.measurements]
    flat, rois = str(truth.folders["flatfield"]), str(truth.files["rois"])
    document = {
        "sample": truth.folders["sample"].name,
        "rois": "rois.json",
        "flatfield": "flatfield1",
        "changes": "changes.json",
        "events": "events.json",
        "reading": {"instrument": INSTRUMENT},
        "correction": {"median": 3},
        "output": {"result": "0884.nc", "table": "0884.csv", "figures": ["0884.png", "0884.html"]},
        "plot": {"t0": truth.events[0].name},
    }
    write_recipe(document, folder / "recipe.toml")
    joined = ["--changes", str(truth.files["changes"]), "--events", str(truth.files["events"])]
    lines = [
        ["info", str(truth.folders["sample"]), "--instrument", INSTRUMENT],
        ["parse", scans[0], flat, "--instrument", INSTRUMENT, "-o", str(folder / "0884_time1_frames.nc")],
    ]
    for name, median in (("plain", ["--median", "0"]), ("median", ["--median", "3", "--threshold", "0"])):
        into = str(folder / name)
        how = ["--rois", rois, "--flatfield", flat, *median, "--instrument", INSTRUMENT]
        lines.append(["measure", *scans, *how, "-o", f"{into}/"])
        lines.append(["stitch", into, *joined, "-o", str(folder / name / "0884.nc")])
    found = ["--find", "--proposal", str(folder / "found.json"), "--report", str(folder / "found.png")]
    lines.append(["stitch", str(folder / "plain"), *found, "-o", str(folder / "found.nc")])
    lines.append(["plot", str(folder / "median" / "0884.nc"), "-o", str(folder / "0884_log.pdf"), "--log"])
    lines.append(["run", str(folder / "recipe.toml")])
    lines.append(["run", str(folder / "0884.nc")])
    return lines


def comparison(sample: xr.Dataset, expected: xr.Dataset, truth: Truth) -> str:
    """Return a table of the largest deviations: intensities and widths relative, centres of mass in pixels.

    Raises
    ------
    SchemaError
        The sample does not hold the frames of the simulation.
    """
    for name in ("measurement", "scan", "frame"):
        if not np.array_equal(sample[name].values, expected[name].values):
            raise SchemaError(f"the sample's {name} differs from that of the simulation")
    usable = (expected["segment"].values >= 0) & np.isfinite(sample["attenuation_factor"].values)
    first = float(expected["transmission"].values[0])
    rows = []
    for roi in truth.rois:
        if roi.role == "background":
            continue
        cells = [roi.name]
        for name in schema.CURVES:
            measured = sample[name].sel(roi=roi.name).values[usable]
            true = expected[name].sel(roi=roi.name).values[usable] * (first if name == "intensity" else 1.0)
            absolute = name.startswith("com")
            off = float(np.nanmax(np.abs(measured - true) if absolute else np.abs(measured / true - 1)))
            cells.append(f"{off:.3f} px" if absolute else f"{100 * off:.2f} %")
        rows.append(cells)
    return table(rows, ("ROI", *(_heading(sample, name) for name in schema.CURVES)))


def _heading(sample: xr.Dataset, name: str) -> str:
    return name if name == "intensity" else f"{name[:-1]}{schema.axis_name(sample, name[-1])}"
