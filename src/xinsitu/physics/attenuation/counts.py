"""Which frames a step lies between: the last one before and the first one after that are really on their levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.physics.moments import elapsed_seconds

from .factors import Floats, level_noise
from .selecting import read_intensity, signal_rois
from .transitions import Transition, common_mode

_NOISE = 60
"""Frames on each side from which the noise is taken."""
_NEAR, _TRIM, _LINE = 6, 5, 8
"""Frames: how far a split may move, how many may be half way, how many make a line."""
_HALF_WAY, _OFF, _EMPTY = 0.02, 3.5, 1.6
"""A frame is half way that lies off the line by so much, relatively and in standard deviations; beside a change a frame
without a single count is more likely without beam than a rare event."""


@dataclass(frozen=True)
class Counts:
    """Intensities of the frames that have any, dims ``(time, roi)``; ``noise`` is known around a step only."""

    values: Floats
    errors: Floats
    noise: Floats
    positions: npt.NDArray[np.int64]
    seconds: Floats
    rois: tuple[str, ...]

    @classmethod
    def read(cls, sample: xr.Dataset, roi: str | Sequence[str] | None) -> Counts:
        """Read a series, which is computed as a whole."""
        rois = signal_rois(sample, roi)
        values, errors, _ = read_intensity(sample, rois)
        positions = np.flatnonzero(np.isfinite(values).any(axis=1))
        values, errors = values[positions], errors[positions]
        seconds = elapsed_seconds(sample)[positions]
        return cls(values, errors, np.full_like(values, np.nan), positions, seconds, rois)

    def around(self, step: Transition) -> Counts:
        """Noise of the two levels beside a step, each from its own frames."""
        noise = np.full_like(self.values, np.nan)
        left = slice(max(step.start, step.before + 1 - _NOISE), step.before + 1)
        right = slice(step.after, min(step.stop, step.after + _NOISE))
        for part in (left, right):
            found = level_noise(self.values[part], self.errors[part])
            found = np.fmax(found, 1e-9 * np.abs(self.values[part]))  # noiseless series
            found = np.where(found > 0, found, np.nan)  # nothing was counted: nothing is known
            noise[part] = found * common_mode(self.values[part], found)
        return replace(self, noise=noise)

    def gap(self, before: int, after: int) -> float:
        """Frames that would fit between two frames, from their times."""
        usual = float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else 0.0
        steps = float(self.positions[after] - self.positions[before])
        return max(steps, (self.seconds[after] - self.seconds[before]) / usual) if usual > 0 else steps


def settle(counts: Counts, step: Transition) -> tuple[int, int]:
    """Return the last frame before and the first one after: where two lines fit best, without frames half way."""
    before, after = step.before, step.after
    if after == before + 1:
        before = _best_split(counts, step)
        after = before + 1
    before = _last_good(counts, before, max(step.start, before - _TRIM), -1)
    after = _last_good(counts, after, min(step.stop - 1, after + _TRIM), 1)
    return before, after


def _best_split(counts: Counts, step: Transition) -> int:
    """Last frame before the step for which lines on both sides fit best; weak steps are not where they seem first."""
    first, last = max(step.start, step.before - 2 * _LINE), min(step.stop, step.after + 2 * _LINE)
    candidates = range(max(first + 1, step.before - _NEAR), min(last - 2, step.before + _NEAR) + 1)
    if len(candidates) < 2:
        return step.before
    return min(candidates, key=lambda split: _misfit(counts, first, split, last))


def _misfit(counts: Counts, first: int, split: int, last: int) -> float:
    """Chi-squared of lines through [first, split] and (split, last)."""
    total = 0.0
    for start, stop in ((first, split + 1), (split + 1, last)):
        fit = _line(counts, np.arange(start, stop))
        frames = np.arange(start, stop, dtype=float)[:, None]
        residual = (counts.values[start:stop] - (fit[0] + fit[1] * frames)) / counts.noise[start:stop]
        total += float(np.nansum(residual**2))
    return total


def _line(counts: Counts, frames: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Level at position 0 and slope of lines through frames, dims ``(roi)``."""
    values, x = counts.values[frames], frames.astype(float)[:, None]
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, x, 0.0).sum(axis=0) / n
    mean = np.where(known, values, 0.0).sum(axis=0) / n
    offset = np.where(known, x - centre, 0.0)
    square = (offset**2).sum(axis=0)
    slope = np.where(
        n > 2, (offset * np.where(known, values, 0.0)).sum(axis=0) / np.where(square > 0, square, 1.0), 0.0
    )
    return mean - slope * centre, slope


def _last_good(counts: Counts, end: int, limit: int, inwards: int) -> int:
    """Step away from the change over empty frames and over those that are not on the line through the next ones."""
    run = 0
    while run < abs(limit - end) and (counts.values[end + run * inwards] <= 0).all():
        run += 1
    if run and _strays(counts, end, run, inwards) > _EMPTY:
        end += run * inwards
    while end != limit and _strays(counts, end, 1, inwards) > _OFF:
        end += inwards
    return end


def _strays(counts: Counts, end: int, run: int, inwards: int) -> float:
    """Return the standard deviations by which a run of frames lies off the line through the frames behind it."""
    behind = end + inwards * np.arange(run, run + _LINE)
    behind = behind[(behind >= 0) & (behind < len(counts.values))]
    if behind.size < 4:
        return 0.0
    frames = end + inwards * np.arange(run)
    level, slope = _line(counts, behind)
    expected = level + slope * frames.mean()
    seen = counts.values[frames].mean(axis=0)
    usable = np.isfinite(seen) & (expected > 0)
    if not usable.any():
        return 0.0
    off = seen[usable] / expected[usable] - 1
    # on a curve the frames behind do not lie on the line either
    bend = ((counts.values[behind] - level - slope * behind[:, None]) ** 2).sum(axis=0) / max(behind.size - 2, 1)
    variance = np.maximum((counts.noise[behind] ** 2).mean(axis=0), bend)[usable]
    noise = np.sqrt(variance * (1 / run + 0.6))  # 0.6: the line's own
    weight = (expected[usable] / noise) ** 2
    mean = abs(float((weight * off).sum() / weight.sum()))
    return 0.0 if mean < _HALF_WAY else mean * float(np.sqrt(weight.sum()))
