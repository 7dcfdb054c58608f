"""Intensities on one scale, and around a change, with their noise and the gap: what decides a factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import RoiError, StitchError
from xinsitu.physics.moments import elapsed_seconds
from xinsitu.schema import COUNTS, LEFT_OUT, SCALED, Quality, describe, errors_name
from xinsitu.values.fields import roi_records

from .broken_lines import Branch, branch
from .factors import Floats, level_noise, smooth_noise
from .transitions import LONGEST, Transition, common_mode, without_beam


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
    if not names or (roi is not None and not len(roi)):
        raise RoiError("there is no ROI in the sample" if not names else "no ROI was asked for")
    if roi is not None:
        wanted = (roi,) if isinstance(roi, str) else tuple(str(name) for name in roi)
        if unknown := [name for name in wanted if name not in names]:
            raise RoiError(f"there is no ROI {unknown[0]!r} in the sample; there are {', '.join(names)}")
        return wanted
    empty = {name for name, one in roi_records(sample).items() if one.get("role") == "background"}
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
    return np.where(left_out, np.nan, filled[0]), np.where(left_out, np.nan, filled[1]), flags


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


# -- around a change ---------------------------------------------------------------------------------------------------


UNTRUSTED = Quality.SATURATED | Quality.COUNT_RATE_HIGH | Quality.FRAME_FAULT | Quality.NO_BEAM
"""Flags of frames that do not decide a change of attenuation."""
NEAR = 60
"""Frames on each side from which the noise is taken, and over which what a median took is averaged."""
_FEW = 10
"""Frames that do not show how the beam flickers."""
EVEN = 0.003
"""Relative deviation from a line that is nothing special, however well a frame is known."""
_PART = 0.1
"""Part of the step by which a frame may be off the end of a side without being half way."""
CLEAR = 6.0
"""Standard deviations of a frame above which a logarithm is as good as the value."""
_FAST = 0.15
"""Change of the logarithm per frame from which growth is straight in logarithms alone."""
_STEEP = 1.5
"""Standard deviations of a frame that growth must be in each, or a frame on its way could pass for it."""
_LEFT, _LIKE = 0.03, 1.0
"""Part by which a frame must be off its level to be left out for a smoother curve, and be within to be taken in."""
_BRIGHTER = 0.3
"""Part by which a frame may be brighter than the one beside it and be growth: more is a hole between two filters."""
_OUTSIDE = 1.5
"""Standard deviations by which a frame is brighter than both ends, or darker."""
_NO_MONITOR = 1e-3
"""Share of its median below which the monitor says that there was no beam."""


@dataclass(frozen=True)
class Counts:
    """Intensities of the frames that decide, dims ``(time, roi)``; ``noise`` is known around a step only.

    ``positions`` are those on the time axis of the sample; frames without a value, or without beam (``dark``, positions
    on the time axis), are left out, and single values that a flag says not to trust are NaN. In the frames
    ``moved`` (positions, too) a motor is not where it was in the frame before.
    """

    values: Floats
    errors: Floats
    noise: Floats
    positions: npt.NDArray[np.int64]
    seconds: Floats
    rois: tuple[str, ...]
    dark: npt.NDArray[np.int64]
    moved: npt.NDArray[np.int64]
    fitted: dict[tuple[int, int, int, bool], Branch] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def read(cls, sample: xr.Dataset, roi: str | Sequence[str] | None) -> tuple[Counts, Counts]:
        """Read a series, which is computed as a whole: what flags let decide, and what is there whatever they say."""
        rois = signal_rois(sample, roi)
        values, errors, flags = read_intensity(sample, rois)
        doubtful = _untrusted(flags) & np.isfinite(values)
        moved = np.flatnonzero((flags & int(Quality.FRAME_IN_MOTION)).any(axis=1))
        every = cls._of(sample, rois, values, errors, moved)
        trusted = np.where(doubtful, np.nan, values)
        return (cls._of(sample, rois, trusted, errors, moved) if doubtful.any() else every), every

    @classmethod
    def _of(
        cls, sample: xr.Dataset, rois: tuple[str, ...], values: Floats, errors: Floats, moved: npt.NDArray[np.int64]
    ) -> Counts:
        there = np.isfinite(values).any(axis=1)
        dark = np.zeros_like(there)
        dark[there] = without_beam(values[there], errors[there])
        dark |= _without_monitor(sample)
        positions = np.flatnonzero(there & ~dark)
        values, errors = values[positions], errors[positions]
        seconds = elapsed_seconds(sample)[positions]
        return cls(values, errors, np.full_like(values, np.nan), positions, seconds, rois, np.flatnonzero(dark), moved)

    def around(self, step: Transition) -> Counts:
        """Noise of the two levels beside a step, each from its own frames; between them the larger one."""
        noise = np.full_like(self.values, np.nan)
        left = slice(max(step.start, step.before + 1 - NEAR), step.before + 1)
        right = slice(step.after, min(step.stop, step.after + NEAR))
        for part in (left, right):
            found = smooth_noise(self.values[part], self.errors[part])
            found = np.fmax(found, 1e-9 * np.abs(self.values[part]))  # noiseless series
            noise[part] = np.where(found > 0, found, np.nan)  # nothing was counted: nothing is known
        short, long = sorted((left, right), key=lambda part: part.stop - part.start)
        if short.stop - short.start < _FEW <= long.stop - long.start:
            share = noise[long] / np.where(self.errors[long] > 0, self.errors[long], np.nan)
            known = np.isfinite(share).any(axis=0)
            usual = np.nanmedian(np.where(known, share, 1.0), axis=0)
            noise[short] = np.fmax(noise[short], usual * self.errors[short])
        noise[step.before + 1 : step.after] = np.fmax(noise[step.before], noise[step.after])
        return replace(self, noise=noise)

    def side(self, first: int, stop: int, *, turn: int, alike: bool) -> Branch:
        """Fit frames on one side of a step, the end beside it first; what is asked for again is fitted once."""
        key = first, stop, turn, alike
        if key not in self.fitted:
            self.fitted[key] = branch(self.values[first:stop][::turn], self.noise[first:stop][::turn], alike=alike)
        return self.fitted[key]

    def in_logarithms(self, low: int, high: int) -> Counts:
        """Logarithms, in which growth by a part per frame is straight, of ROIs well above their noise all the time."""
        values, noise = self.values[low:high], self.noise[low:high]
        known = np.isfinite(values) & np.isfinite(noise)
        clear = (~known | (values > CLEAR * noise)).all(axis=0)
        safe = np.where(clear & (self.values > 0), self.values, 1.0)
        values = np.where(clear & np.isfinite(self.values), np.log(safe), self.values)
        return replace(self, values=values, noise=np.where(clear, self.noise / safe, self.noise))

    def scales(self, before: int, after: int) -> list[Counts]:
        """Return the counts, and if frames are left out that may be growth by a part per frame, one scale more.

        There it is straight: the inverse hyperbolic sine of the sum of all ROIs is its logarithm down to the noise of
        the weaker side, and stays finite where it decays to nothing. A frame brighter than both ends, or darker, is on
        no such curve.
        """
        ends = [before, after]
        known = np.isfinite(self.values[ends]).all(axis=0)
        few = 1 < after - before <= LONGEST + 1  # more are no attenuator, and none of growth either
        if not few or not known.any() or self.outside(before, after)[before + 1 : after].any():
            return [self]
        total, variance = self.values[:, known].sum(axis=1), (self.noise[:, known] ** 2).sum(axis=1)
        inside = slice(before + 1, after)  # variances go with counts
        variance[inside] = np.interp(total[inside], *np.sort([total[ends], variance[ends]], axis=1))
        least = 2 * np.sqrt(variance[ends].min())
        scaled, noise = np.arcsinh(total / least), np.sqrt(variance / (total**2 + least**2))
        if abs(scaled[after] - scaled[before]) < _FAST * (after - before):  # both scales are alike
            return [self]
        return [self, replace(self, values=scaled[:, None], noise=noise[:, None], rois=("sum",))]

    def agree(self, end: int, frame: int, other: int) -> bool:
        """Whether a frame is what the end of a side is, by chance and not on its way to the other end."""
        return self._agrees(frame, self.values[end], 2 * self.noise[end] ** 2, other)

    def belongs(self, end: int, last: int, frame: int, other: int) -> bool:
        """Whether a frame agrees with an end, or goes on with the line of steep growth, as no attenuator does."""
        if self.agree(end, frame, other) or self._outshines(end, last, frame, other):
            return True
        line = last - (frame - last) * np.arange(4)
        if line.min() < 0 or line.max() >= len(self.values):
            return False
        ahead = np.array([1.0, 0.5, 0.0, -0.5]) @ self.values[line]  # the value one frame ahead, by least squares
        steep = np.mean(np.abs(ahead - self.values[last]) > _STEEP * self.noise[last]) > 0.5
        return bool(steep) and self._agrees(frame, ahead, 2.5 * self.noise[last] ** 2, other)

    def _outshines(self, end: int, last: int, frame: int, other: int) -> bool:
        """Whether a frame is brighter than the brighter end, and growth: little by little, and going on behind it."""
        value, beside, level = self.values[[frame, last, end]]
        apart = level - self.values[other] > _PART * np.abs(level)
        little = np.abs(value - beside) < _BRIGHTER * np.abs(beside)
        brighter = np.nansum((value - level) / self.noise[end]) > 0 and np.mean(apart & little) > 0.5
        return bool(brighter) and (last != end or self._rises(frame, frame - last, other))

    def _rises(self, frame: int, turn: int, other: int) -> bool:
        """Whether what is beside a frame is brighter; for the one next to the other end, whether that grows, too."""
        frame, number = (other, 3) if frame + turn == other else (frame, 1)
        beside = frame + turn * np.arange(1, number + 1)
        beside = beside[(beside >= 0) & (beside < len(self.values))]
        if not beside.size:
            return False
        off = (self.values[beside].mean(axis=0) - self.values[frame]) / (np.sqrt(2) * self.noise[frame])
        off = off[np.isfinite(off)]
        return bool(off.sum() > _OUTSIDE * np.sqrt(off.size))

    def outside(self, before: int, after: int) -> npt.NDArray[np.bool_]:
        """Whether each frame is brighter than both ends, or darker, by more than chance; dims ``(time)``.

        None is where the ends are not apart: there it is a way there and back.
        """
        ends = [before, after]
        off = (self.values[:, None] - self.values[ends]) / (np.sqrt(2) * self.noise[ends])
        known = np.isfinite(off)
        each = np.where(known, off, 0.0).sum(axis=-1) / np.sqrt(np.maximum(known.sum(axis=-1), 1))
        low, high = np.sort(self.values[ends], axis=0)
        apart = np.mean(high - low > _PART * np.abs(high)) > 0.5
        return np.asarray(apart & ((each.min(axis=1) > _OUTSIDE) | (each.max(axis=1) < -_OUTSIDE)))

    def share(self, frames: npt.NDArray[np.intp], end: int, other: int) -> Floats:
        """Part of the step by which frames are off an end, without a sign; infinite where there is none to tell."""
        step = self.values[other] - self.values[end]
        part = np.abs(self.values[frames] - self.values[end]) / np.where(step != 0, np.abs(step), np.nan)
        return np.asarray(np.nanmedian(np.where(np.isfinite(part).any(axis=1)[:, None], part, np.inf), axis=1))

    def _agrees(self, frame: int, expected: Floats, variance: Floats, other: int) -> bool:
        away, step = self.values[frame] - expected, self.values[other] - expected
        spread = np.sqrt(variance + (EVEN * expected) ** 2)
        known = np.isfinite(away) & (np.abs(step) > 0) & (spread > 0)
        off, part = (np.sign(step) * away / spread)[known], np.abs(away[known]) / np.abs(step[known])
        if not off.size or np.median(part) > _PART:
            return False
        return bool(off.sum() < 1.5 * np.sqrt(off.size) and (off**2).sum() < off.size + 2 * np.sqrt(2 * off.size))

    def level(self, end: int, other: int) -> bool:
        """Whether an end and two frames beside it are alike, so that nothing moves there, whatever comes later."""
        alike = [0 <= at < len(self.values) and self.agree(end, at, other) for at in end + np.array([-2, -1, 1, 2])]
        return any(map(all, pairwise(alike)))

    def may_end(self, frames: npt.NDArray[np.intp], end: int, other: int) -> npt.NDArray[np.bool_]:
        """Whether an end may move to frames: inwards to what is like it, outwards to a level that it is off from."""
        values, towards = self.values[frames], np.sign(self.values[other] - self.values[end])
        off = (self.values[end] - values) / np.maximum(np.minimum(values, self.values[end]), 1e-300)
        off = np.where(np.isfinite(off).any(axis=1)[:, None], off, 0.0)
        inwards = (frames - end) * np.sign(other - end) >= 0
        out = (np.nanmedian(towards * off, axis=1) > _LEFT) & (not self.level(end, other))
        return np.where(inwards, np.nanmedian(np.abs(off), axis=1) < _LIKE, out)

    def cut_off(self, one: int, other: int) -> bool:
        """Whether there are frames without beam between two frames."""
        first, last = np.searchsorted(self.dark, self.positions[[one, other]])
        return bool(last > first)

    def beside(self, step: Transition, before: int, after: int) -> tuple[slice, slice]:
        """Frames of the sample on both sides of a step."""
        first, last = max(step.start, before + 1 - NEAR), min(step.stop, after + NEAR) - 1
        at = self.positions
        return slice(int(at[first]), int(at[before]) + 1), slice(int(at[after]), int(at[last]) + 1)

    def gap(self, before: int, after: int) -> float:
        """Frames that would fit between two frames, from their times."""
        return gap_between(self.seconds, before, after, float(self.positions[after] - self.positions[before]))


def gap_between(seconds: Floats, before: int, after: int, steps: float | None = None) -> float:
    """Frames that would fit between two frames, from their times; at least ``steps``, from one to the other by number.

    Examples
    --------
    >>> gap_between(np.array([0.0, 2.0, 4.0, 14.0, 16.0]), 2, 3)
    5.0
    """
    usual = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    steps = float(after - before) if steps is None else steps
    return float(max(steps, (seconds[after] - seconds[before]) / usual)) if usual > 0 else steps


def noise_beside(values: Floats, errors: Floats) -> Floats:
    """Return the noise of the frames on one side of a given change: that of the level, and what the beam adds."""
    found = level_noise(values, errors)
    return found * common_mode(values, found)


def _untrusted(flags: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Values that do not decide; masked pixels say nothing where they are masked in most of the frames."""
    masked = (flags & int(Quality.MASKED_PIXELS)) != 0
    return np.asarray(((flags & int(UNTRUSTED)) != 0) | (masked & (masked.sum(axis=0) < 0.5 * len(masked))))


def _without_monitor(sample: xr.Dataset) -> npt.NDArray[np.bool_]:
    if "monitor" not in sample.variables or sample["monitor"].dims != ("time",):
        return np.zeros(sample.sizes["time"], dtype=bool)
    monitor = np.nan_to_num(np.asarray(sample["monitor"].values, dtype="float64"), nan=np.inf)
    counted = monitor[np.isfinite(monitor) & (monitor > 0)]
    return np.asarray(monitor < _NO_MONITOR * np.median(counted)) if counted.size else monitor < 0
