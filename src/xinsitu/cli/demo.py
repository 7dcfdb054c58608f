"""``xinsitu demo``: an experiment whose answers are known, and everything on it."""

from __future__ import annotations

import argparse
import contextlib
import io
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

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
LOG = "demo.log"
"""What the commands said."""
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
    say()
    say(f"in {folder}:")
    told = _Told(sys.stderr)
    for line in _commands(folder, truth):
        if code := _run(line, folder, told, run):
            return code
    for name, expected in (("plain", truth.expected), ("median", truth.through_median(3))):
        say()
        say(f"{_TITLES[name]}")
        say_block(comparison(read_results(folder / name / "0884.nc"), expected, truth))
    say()
    say(f"Done in {time.perf_counter() - started:.0f} s; what the commands said is in {folder / LOG}.")
    say(f"Look at {folder / '0884.png'} and open {folder / '0884_report.html'} in a browser.")
    say()
    say("Now your own folder:   xinsitu info FOLDER      what is there")
    say("                       xinsitu explore FOLDER   draw regions, save them as rois.json")
    say("                       xinsitu measure FOLDER --rois rois.json -o results/")
    return 0


class _Told(io.TextIOBase):
    """Pass on what is said, each line once, however many commands say it."""

    def __init__(self, to: TextIO) -> None:
        self._to, self._seen, self._begun = to, set[str](), ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            # the same is said of several files: from the first colon behind "warning:" on it is compared
            if (about := line.split(": ")[-1]) not in self._seen:
                self._seen.add(about)
                print(line, file=self._to, flush=True)
        return len(text)


def _run(line: list[str], folder: Path, told: _Told, run: Run) -> int:
    """Run a command: what it says goes to the log, what it warns of on the screen, and how long it took."""
    shown = shlex.join(word.removeprefix(f"{folder}/") or "." for word in line)
    started = time.perf_counter()
    with (folder / LOG).open("a", encoding="utf-8") as log:
        print(f"$ xinsitu {shlex.join(line)}", file=log)
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(told):
            code = run(line)
        print(file=log)
    say(f"{time.perf_counter() - started:5.1f} s  xinsitu {shown}")
    return code


_TITLES = {
    "plain": "Largest deviation from the truth in any frame, measured without a median:",
    "median": "The same with a 3x3 median of every pixel, against the noise-free frames through that median:",
}


def _commands(folder: Path, truth: Truth) -> list[list[str]]:
    """Write the recipe and return the commands of the demo in order."""
    sample, flat, rois = (
        str(path) for path in (truth.folders["sample"], truth.folders["flatfield"], truth.files["rois"])
    )
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
        ["info", sample],
        ["parse", str(truth.measurements[0]), flat, "-o", str(folder / "0884_time1_frames.nc")],
    ]
    for name, median in (("plain", ["--median", "0"]), ("median", ["--median", "3", "--threshold", "0"])):
        into = str(folder / name)
        how = ["--rois", rois, "--flatfield", flat, *median]
        lines.append(["measure", sample, *how, "-o", f"{into}/"])
        lines.append(["stitch", into, *joined, "-o", str(folder / name / "0884.nc")])
    found = ["--find", "--proposal", str(folder / "found.json"), "--report", str(folder / "found.png")]
    lines.append(["stitch", str(folder / "plain"), *found, "-o", str(folder / "found.nc")])
    lines.append(["plot", str(folder / "median" / "0884.nc"), "-o", str(folder / "0884_log.pdf"), "--log"])
    lines.append(["run", str(folder / "recipe.toml")])
    lines.append(["run", str(folder / "0884.nc")])
    report = ["-o", str(folder / "0884_report.html"), "--t0", truth.events[0].name]
    lines.append(["report", str(folder / "0884.nc"), *report])
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
