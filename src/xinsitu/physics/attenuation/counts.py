"""Intensities on one scale, and around a change, with their noise and the gap: what decides a factor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError, StitchError
from xinsitu.physics.moments import elapsed_seconds
from xinsitu.schema import COUNTS, LEFT_OUT, REFERENCE, SCALED, describe, errors_name

from .factors import FactorEstimate, Floats, level_noise
from .transitions import Transition, common_mode


def signal_rois(sample: xr.Dataset, roi: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the ROIs that were asked for; without any, of those that are no background.

    An empty area follows the beam too, but counts so little that a median or a dark count shifts its ratio.

    Raises
    ------
    RoiError
        There is no ROI of that name.

    Examples
    --------
    >>> signal_rois(xr.Dataset(coords={"roi": ["WZ", "ZB"]}), "ZB")
    ('ZB',)
    """
    names = [str(name) for name in sample["roi"].values]
    if roi is not None:
        wanted = (roi,) if isinstance(roi, str) else tuple(str(name) for name in roi)
        if unknown := [name for name in wanted if name not in names]:
            raise RoiError(f"there is no ROI {unknown[0]!r} in the sample; there are {', '.join(names)}")
        return wanted
    described = json.loads(sample.attrs.get("rois", "{}")).get("rois", [])
    empty = {one["name"] for one in described if one.get("role") == "background"}
    return tuple(name for name in names if name not in empty) or tuple(names)


def read_intensity(
    sample: xr.Dataset, rois: Sequence[str], near: npt.NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Intensities, their standard errors and quality flags, dims ``(time, roi)``, in one computation.

    What is flagged as an outlier or as a bad frame is NaN, as if it had not been measured.

    Parameters
    ----------
    sample
        Dims ``(time, roi)``; may be lazy.
    rois
        Names.
    near
        Frames that are needed, dims ``(time)``: only these are computed, the others are NaN, or 0. None: all.
    """
    columns = [name for name in ("intensity", errors_name("intensity"), "quality") if name in sample.variables]
    chosen = sample[columns].sel(roi=list(rois))
    frames = np.ones(sample.sizes["time"], dtype=bool) if near is None else near
    read = (chosen if near is None else chosen.isel(time=near)).compute()
    filled = []
    for name in ("intensity", errors_name("intensity")):
        values = np.full((frames.size, len(rois)), np.nan)
        if name in columns:
            values[frames] = read[name].transpose("time", "roi").values
        filled.append(np.where(np.isfinite(values), values, np.nan))
    flags = np.zeros((frames.size, len(rois)), dtype="int64")
    if "quality" in columns:
        flags[frames] = read["quality"].transpose("time", "roi").values
    left_out = (flags & int(LEFT_OUT)) > 0
    values, errors = (np.where(left_out, np.nan, part) for part in filled)
    return values, errors, flags


def read_bias(sample: xr.Dataset, rois: Sequence[str]) -> tuple[Floats, Floats] | None:
    """Intensities and by which part a median raised them, dims ``(time, roi)``; None where the sample does not say."""
    if "median_bias" not in sample.variables:
        return None
    read = sample[["intensity", "median_bias"]].sel(roi=list(rois)).compute()
    intensity, bias = (read[name].transpose("time", "roi").values for name in ("intensity", "median_bias"))
    return intensity, bias


# -- one exposure time -------------------------------------------------------------------------------------------------


PER_SECOND = "counts s-1"


def per_second(sample: xr.Dataset) -> xr.Dataset:
    """Divide intensities by the exposure time where it is not the same for all frames.

    What is not in counts (a ratio to a background of its own frame, counts per second already) is left alone.

    Parameters
    ----------
    sample
        Dims ``(time, roi)``; ``exposure_time`` in seconds, on time or one for all.

    Raises
    ------
    StitchError
        Exposure times differ, and some are unknown or not above zero.

    Examples
    --------
    >>> sample = xr.Dataset(
    ...     {"intensity": (("time", "roi"), [[100.0], [10.0]])}, {"exposure_time": ("time", [1.0, 0.1])}
    ... )
    >>> per_second(sample).intensity.values.ravel(), per_second(sample).intensity.units
    (array([100., 100.]), 'counts s-1')
    """
    if "exposure_time" not in sample.variables or "time" not in sample["exposure_time"].dims:
        return sample
    exposure = sample["exposure_time"].reset_coords(drop=True)
    seconds = np.asarray(exposure.values, dtype="float64")
    known = seconds[np.isfinite(seconds)]
    if not known.size or np.allclose(known, known[0], rtol=1e-6, atol=0):
        return sample
    if known.size < seconds.size or (known <= 0).any():
        raise StitchError(
            "exposure times differ and some are unknown or not above zero, so intensities cannot be compared; "
            "set the coordinate exposure_time of every frame"
        )
    divided = {
        name: describe(sample[name] / exposure, name, units=PER_SECOND).transpose(*sample[name].dims)
        for base in SCALED
        for name in (base, errors_name(base))
        if name in sample.data_vars and sample[name].attrs.get("units", COUNTS) == COUNTS
    }
    return sample.assign(divided)


# -- one monitor -------------------------------------------------------------------------------------------------------


def at_one_reference(datasets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Bring intensities that were normalised to different references to that of the first one.

    Raises
    ------
    StitchError
        Some were normalised and some were not.

    Examples
    --------
    >>> series = [xr.Dataset({"intensity": ("time", [4.0])}, attrs={REFERENCE: value}) for value in (2.0, 1.0)]
    >>> [float(one.intensity[0]) for one in at_one_reference(series)]
    [4.0, 8.0]
    """
    known = [data.attrs.get(REFERENCE) for data in datasets]
    if all(reference is None for reference in known):
        return list(datasets)
    if any(reference is None for reference in known):
        raise StitchError("some of the series are normalised by a monitor and some are not: they have no common scale")
    references = [float(str(reference)) for reference in known]
    first = references[0]
    return [_scaled(data, first / own, first) for data, own in zip(datasets, references, strict=True)]


def _scaled(data: xr.Dataset, factor: float, reference: float) -> xr.Dataset:
    """Multiply what a change of the beam multiplies."""
    names = [name for base in SCALED for name in (base, errors_name(base)) if name in data.data_vars]
    scaled = {name: (data[name] * factor).assign_attrs(data[name].attrs) for name in names} if factor != 1 else {}
    return data.assign(scaled).assign_attrs({REFERENCE: reference})


# -- around a change ---------------------------------------------------------------------------------------------------


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


# -- what a median took ------------------------------------------------------------------------------------------------


NEAR = 60
"""Frames on each side over which what the median took is averaged."""


@dataclass(frozen=True)
class MedianBias:
    """Intensities and by which part a median raised them, dims ``(time, roi)``; NaN where that is not known."""

    intensity: Floats
    bias: Floats
    rois: tuple[str, ...]

    @classmethod
    def read(cls, sample: xr.Dataset, rois: tuple[str, ...]) -> MedianBias | None:
        """Take it from a series; None where it does not say."""
        found = read_bias(sample, rois)
        return None if found is None else cls(*found, rois)

    def doubted(self, estimate: FactorEstimate, before: slice, after: slice) -> FactorEstimate:
        """Add to the error of a factor by how much its logarithm changes if nothing is taken.

        Parameters
        ----------
        estimate
            From the intensities as they are.
        before, after
            Frames on the two sides of the change.
        """
        shift = self._log_bias(before) - self._log_bias(after)
        weights = np.array([self._weight(estimate, roi) for roi in self.rois])
        known = np.isfinite(shift) & (weights > 0)
        if not known.any():
            return estimate
        doubt = abs(float(np.sum(weights[known] * shift[known]) / weights[known].sum()))
        return replace(estimate, factor_errors=float(np.hypot(estimate.factor_errors, estimate.factor * doubt)))

    def _log_bias(self, frames: slice) -> Floats:
        """Logarithm of the intensities over what was counted, for the sums over frames that say it."""
        intensity, bias = self.intensity[frames], self.bias[frames]
        known = np.isfinite(bias) & np.isfinite(intensity) & (bias > -1)
        filtered = np.where(known, intensity, 0.0).sum(axis=0)
        counted = np.where(known, intensity / np.where(known, 1 + bias, 1.0), 0.0).sum(axis=0)
        usable = (filtered > 0) & (counted > 0)
        return np.where(usable, np.log(np.where(usable, filtered, 1.0) / np.where(usable, counted, 1.0)), np.nan)

    @staticmethod
    def _weight(estimate: FactorEstimate, roi: str) -> float:
        factor, errors = estimate.rois.get(roi, (np.nan, 0.0))
        return float(np.nan_to_num(1 / (estimate.spread**2 + (errors / factor) ** 2))) if errors > 0 else 0.0
