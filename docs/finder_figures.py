"""How often the finder of attenuation changes is right, over a grid of made-up runs with known truth.

python docs/finder_figures.py 200     # runs per point; the page is made with 16
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import lfilter

import xinsitu as xi

ROIS = np.array([1.0, 0.6, 0.3])
FRAMES = 200
Make = Callable[[np.random.Generator, float], tuple[np.ndarray, float | None]]
"""From a generator and the number on the axis to rates (time, roi), and the true factor; None: there is no change."""


def step(rng: np.random.Generator, factor: float, counts: float = 2e4, moving: int = 0) -> tuple[np.ndarray, float]:
    """Grow slowly, and change by a factor somewhere, with a few frames in which the attenuator moves."""
    cut = int(rng.integers(20, FRAMES - 30))
    opened = np.ones(FRAMES)
    opened[cut:] = 1 / factor
    opened[cut : cut + moving] = 1 / factor + (1 - 1 / factor) * np.sort(rng.random(moving))[::-1]
    return counts * ROIS * ((1 + rng.uniform(0, 2) * np.arange(FRAMES) / FRAMES) * opened)[:, None], factor


def onset(rng: np.random.Generator, slope: float) -> tuple[np.ndarray, None]:
    """Begin to grow somewhere, in one of four ways, alike in all ROIs or not; there is no change."""
    t = np.maximum(np.arange(FRAMES) - rng.uniform(50, 150), 0)
    unlike = float(rng.random() < 0.5)
    kind, columns = rng.integers(4), []
    for _ in ROIS:
        own, tau = slope * rng.lognormal(0, 0.5 * unlike), rng.uniform(5, 50)
        ways = (own * t, own * tau * (1 - np.exp(-t / tau)), np.expm1(np.minimum(own * t, 7)), own * t**2 / 10)
        columns.append(1 + ways[kind])
    return 10 ** rng.uniform(1.3, 6) * ROIS * np.stack(columns, axis=1), None


def flicker(rng: np.random.Generator, lag: float) -> tuple[np.ndarray, None]:
    """Let the beam wander by 3 to 30 %; there is no change."""
    noise = lfilter([np.sqrt(1 - lag**2)], [1, -lag], rng.standard_normal(FRAMES + 200))[200:]
    return 10 ** rng.uniform(3, 6) * ROIS * np.exp(rng.uniform(0.03, 0.3) * noise)[:, None], None


def starved(rng: np.random.Generator, counts: float) -> tuple[np.ndarray, None]:
    """Count little, and steadily; there is no change."""
    return counts * ROIS * np.ones((FRAMES, 1)), None


def changed_at_onset(rng: np.random.Generator, slope: float) -> tuple[np.ndarray, float]:
    """Begin to grow in the very gap in which the attenuation changes."""
    cut, factor = int(rng.integers(50, 150)), float(np.exp(rng.choice([-1, 1]) * rng.uniform(0.5, 3)))
    grown = 1 + slope * np.maximum(np.arange(FRAMES) - cut + rng.random(), 0)
    opened = np.where(np.arange(FRAMES) < cut, min(factor, 1.0), min(1 / factor, 1.0))
    return 10 ** rng.uniform(4, 6) * ROIS * (grown * opened)[:, None], factor


def changed_in_flicker(rng: np.random.Generator, lag: float) -> tuple[np.ndarray, float]:
    """Change by a factor of 8 in a beam that wanders."""
    rates, _ = flicker(rng, lag)
    return rates / np.where(np.arange(FRAMES) < rng.integers(40, 160), 1, 8)[:, None], 8.0


PANELS: Sequence[tuple[str, Sequence[float], Make, bool]] = (
    ("factor", (1.1, 1.2, 1.5, 2, 8, 50, 500), step, True),
    ("counts per frame", (100, 300, 1e3, 1e4, 1e5, 1e6), lambda rng, counts: step(rng, 2.0, counts), True),
    ("frames that move", (0, 1, 2, 3, 4, 6), lambda rng, moving: step(rng, 3.0, moving=int(moving)), True),
    ("slope at the onset, per frame", (0.005, 0.02, 0.05, 0.1, 0.2, 0.5), onset, False),
    ("lag-1 correlation of the beam", (0.0, 0.4, 0.7, 0.9, 0.95), flicker, False),
    ("counts per frame, steady", (2, 5, 20, 60, 200), starved, False),
)


WITH_CHANGE: dict[Make, Make] = {onset: changed_at_onset, flicker: changed_in_flicker}
PULLS = [label for label, _, make, _ in PANELS if make is not starved]
"""What is varied where there is a change, too: a factor with its error."""


def outcome(make: Make, value: float, runs: int) -> tuple[float, float]:
    """Part of the runs with the one change that is there (or any, where there is none), and the pull of its factor."""
    found, pulls = 0, []
    for run in range(runs):
        rng = np.random.default_rng([20140528, run, int(1000 * value)])
        rates, factor = make(rng, value)
        counts = rng.poisson(rates).astype(float)
        time = np.datetime64("2014-05-28", "ns") + np.arange(len(counts)) * np.timedelta64(1, "s")
        errors = np.sqrt(np.fmax(counts, 1))
        variables = {"intensity": (("time", "roi"), counts), "intensity_errors": (("time", "roi"), errors)}
        changes = xi.find_attenuation_changes(xr.Dataset(variables, {"time": time, "roi": ["WZ", "ZB", "TW"]}))
        if factor is None:
            found += len(changes) > 0
        elif len(changes) == 1:
            found += 1
            (change,) = changes
            pulls.append(np.log(change.factor / factor) * change.factor / change.factor_errors)
    return found / runs, float(np.sqrt(np.mean(np.square(pulls)))) if pulls else np.nan


def labelled(axes: Axes, label: str, values: Sequence[float]) -> None:
    """Name the axis along which something is varied, one place for each value."""
    short = [f"{value:.0e}".replace("e+0", "e") if value >= 1e3 else f"{value:g}" for value in values]
    axes.set_xticks(np.arange(len(values)), short)
    axes.set_xlabel(label)


def panel(axes: Axes, label: str, values: Sequence[float], results: Sequence[tuple[float, float]], there: bool) -> None:
    """Draw how often changes are found or invented."""
    axes.plot(100 * np.array(results)[:, 0], "o-", color="#2e8b57" if there else "#dc322f")
    labelled(axes, label, values)
    axes.set_ylabel("found, % of runs" if there else "invented, % of runs")
    axes.set_ylim(-4, 104)


def pulls(axes: Axes, label: str, values: Sequence[float], results: Sequence[tuple[float, float]], runs: int) -> None:
    """Draw the pulls of the factors, with their own errors from so many runs, and where they should lie."""
    rms = np.array(results)[:, 1]
    axes.axhspan(0.85, 1.15, color="#2e8b57", alpha=0.15, lw=0)
    axes.errorbar(np.arange(rms.size), rms, rms / np.sqrt(2 * runs), fmt="o-", color="#268bd2", capsize=2)
    labelled(axes, label, values)
    axes.set_ylabel("rms of (found - true) / error")
    axes.set_ylim(0, 2)


def figure_finder(runs: int = 16) -> tuple[Figure, list[list[str]]]:
    """Hit rate, false rate and pulls over the grid."""
    figure = Figure(figsize=(8.4, 9.6), layout="constrained")
    grid = figure.subplots(4, 3).ravel()
    rows: list[list[str]] = []
    for number, (label, values, make, there) in enumerate(PANELS):
        results = [outcome(make, value, runs) for value in values]
        panel(grid[number], label, values, results, there)
        told = [outcome(WITH_CHANGE[make], value, runs) for value in values] if make in WITH_CHANGE else results
        if label in PULLS:
            pulls(grid[len(PANELS) + PULLS.index(label)], label, values, told, runs)
        for value, (part, _), (_, pull) in zip(values, results, told, strict=True):
            found = (f"{100 * part:.0f} %", "") if there else ("", f"{100 * part:.1f} %")
            rows.append([label, f"{value:g}", *found, "" if np.isnan(pull) else f"{pull:.2f}"])
    grid[-1].set_axis_off()
    return figure, rows


HEADER = ("varied", "value", "found", "invented", "rms of (found - true) / error")

if __name__ == "__main__":
    drawn, lines = figure_finder(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
    drawn.savefig("finder.png", dpi=110)
    print("\n".join("  ".join(line) for line in (list(HEADER), *lines)))
