"""Made-up samples with known changes of attenuation: counts (time, roi) only, so that hundreds take seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

START = np.datetime64("2014-05-28T08:00:00", "ns")


@dataclass(frozen=True)
class Sample:
    """Counts with errors, and what is true of them."""

    series: xr.Dataset
    truth: np.ndarray  # (time, roi) counts without noise, as if the attenuation had never changed
    changes: tuple[tuple[int, int, float], ...]  # last frame before, first after, factor to multiply by

    def significance(self, change: tuple[int, int, float]) -> float:
        """Standard deviations of the step between the two end points alone, all ROIs together."""
        before, after, _ = change
        counts = self.counts
        one, two = np.maximum(counts[before], 1e-9), np.maximum(counts[after], 1e-9)
        return float(np.sqrt(np.sum((one - two) ** 2 / (one + two))))

    @property
    def counts(self) -> np.ndarray:
        """Expected counts, attenuated."""
        return self.truth / cumulative(self.changes, len(self.truth))[:, None]


def cumulative(changes: tuple[tuple[int, int, float], ...], frames: int) -> np.ndarray:
    factor = np.ones(frames)
    for before, _, one in changes:
        factor[before + 1 :] *= one
    return factor


def growth(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A smooth curve that grows, decays, saturates or oscillates; at most about 2 % per frame."""
    t = np.linspace(0, 1, frames)
    kind = rng.integers(4)
    if kind == 0:
        return 1 + rng.uniform(-0.8, 4) * t
    if kind == 1:
        return np.exp(rng.uniform(-2, 2) * t)
    if kind == 2:
        return 0.3 + 1 / (1 + np.exp(-(t - rng.uniform(0.2, 0.8)) / rng.uniform(0.05, 0.3)))
    return 1 + rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * t * rng.uniform(0.5, 3) + rng.uniform(0, 6))


def make(seed: int, *, frames: int | None = None, spread: float = 0.0, errors: bool = True) -> Sample:
    """One sample: 2 to 6 changes of x0.01 to x100, dead and half-way frames between, 200 to 1e6 counts."""
    rng = np.random.default_rng(seed)
    frames = frames or int(rng.integers(300, 900))
    rois = int(rng.integers(2, 5))
    scale = 10 ** rng.uniform(np.log10(200), 6) * 10 ** rng.uniform(-0.3, 0.3, rois)
    truth = scale * np.stack([growth(rng, frames) for _ in range(rois)], axis=1)
    number = int(rng.integers(2, 7))
    places = np.sort(rng.choice(np.arange(1, frames // 40), number, replace=False)) * 40 + rng.integers(-10, 11, number)
    changes, log = [], 0.0
    for place in places:
        step = rng.choice([-1, 1]) * rng.uniform(np.log(1.2), np.log(100))
        if not -np.log(100) <= log + step <= np.log(100):
            step = -step
        step = float(np.clip(log + step, -np.log(100), np.log(100)) - log)
        log += step
        dead = int(rng.integers(0, 5))
        changes.append((int(place), int(place) + dead + 1, float(np.exp(step))))
    changes = tuple(changes)
    expected = truth / cumulative(changes, frames)[:, None]
    for before, after, _ in changes:
        expected[after:] *= 1 + spread * rng.standard_normal(rois)
        expected[before + 1 : after] = 0
        if after - before > 1 and rng.random() < 0.5:  # the attenuator is half way in one frame
            expected[before + 1] = truth[before + 1] / cumulative(changes, frames)[before] * rng.uniform(0, 0.6)
    counts = rng.poisson(expected).astype(float)
    data = {"intensity": (("time", "roi"), counts, {"units": "counts"})}
    if errors:
        data["intensity_errors"] = ("time", "roi"), np.sqrt(counts)
    coords = {
        "time": START + np.arange(frames) * np.timedelta64(1, "s"),
        "roi": [f"R{i}" for i in range(rois)],
        "frame": ("time", np.arange(frames)),
        "measurement": "time1",
    }
    return Sample(xr.Dataset(data, coords), truth, changes)
