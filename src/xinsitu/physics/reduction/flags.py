"""What all frames of a measurement say together, once they are computed: flags, and remarks to warn of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.kernels.counting import median_loss, median_loss_behind
from xinsitu.kernels.spikes import outliers
from xinsitu.physics.blocks import block_function
from xinsitu.physics.corrections.framewise import noise_of
from xinsitu.schema import Quality
from xinsitu.variables import Called, remarks_on_frames

from .packed_numbers import BEHIND_MEDIAN, Columns, Numbers
from .quantities import LOW_COUNTS
from .roi_widths import NOISY_PEAK

Text = npt.NDArray[Any]

MEDIAN_BITES = 2.0
"""Mean counts per pixel below which a plain median takes more than 7 % of an intensity."""
HARMLESS = 0.01
"""Part of an intensity that a median may take without a word."""
BIASED, CERTAIN, OWN_NOISE = 0.05, 4.0, 0.6
"""Part of an intensity that is flagged if a median takes or adds it, and standard deviations above its noise, which is
so much of the intensity's own: filtered and raw sums have most of their noise in common."""
SHOWS, SURE = 0.7, 3.0
"""Standard errors of a value from which a median's doing is flagged, as it is known to some 0.3 of them, and how many
times its own noise it must be."""
AROUND = 65
"""Frames over which that part is averaged."""
PLAIN = 3.0
"""Standard errors by which a slope moves a centre of mass before it is said, and not only flagged."""
NEAR, LUCK = 15, 2.0
"""Frames over whose median it is decided what is to be expected of one, and so many standard errors above a limit: so
near to it what passes by its own counts is what the noise has raised."""
MERGING = 2
"""Of the frames around so many whose width may as well be another one tell that peaks merge: which of the others pass
is luck. Of one peak at most one frame in a thousand is such a one, so two in fifteen are one case in ten thousand."""
APART = 3.0
"""Standard errors by which the highest pixel must lie above the next one, for its error to be that of one pixel."""
DARK, LIT = 5.0, 100.0
"""Counts in all ROIs together: at most so many in a frame without beam, where the median frame has at least so many."""


@dataclass(frozen=True)
class Told:
    """What to look for.

    Are frames divided by a background, are they counts, is there a median, does the flat field say what it counted;
    which ROIs are more than a background, and which take it from their own edge; did counts go through a plain median
    before; what the frames are called. ``columns``: what the numbers are.
    """

    columns: Columns
    divides: bool
    counts: bool
    median: bool
    flat: bool
    names: tuple[str, ...]
    signals: tuple[bool, ...]
    edges: tuple[bool, ...]
    median_before: bool = False
    called: Called | None = None


@block_function
def in_common(packed: Any, *, told: Told) -> npt.NDArray[np.object_]:  # noqa: ANN401 - as dask nests blocks
    """Return what :func:`flagged` and :func:`remarks` give, as one thing: the numbers travel once on a cluster."""
    both = np.empty((2,), dtype=object)
    both[:] = flagged(packed, told=told), remarks(packed, told=told)
    return both


@block_function
def flagged(packed: Any, *, told: Told) -> Doubles:  # noqa: ANN401 - as dask nests blocks
    """Return the numbers with the flags that take all frames to see: a biased median, no beam, outliers."""
    numbers, kept = Numbers(packed, told.columns), told.columns.kept
    result = np.empty((len(numbers), numbers.pieces[0].shape[1], len(kept)))
    for name, place in kept.place.items():
        result[:, :, place] = numbers[name]
    if not result.size:
        return result
    quality = numbers["quality"].astype(np.int64)
    quality |= _merging(quality) | _faint(numbers)
    result[_unsure_maximum(numbers), kept.place["maximum_errors"]] = np.nan
    if told.flat:
        weak = (quality & Quality.LOW_COUNTS) > 0
        result[:, :, kept.place["flat_variance"]] = _flat_variance(numbers["flat_variance"], weak, told)
    if told.median and told.counts:
        quality |= _moved_by_median(numbers) * Quality.MEDIAN_BIAS
    if told.median_before:  # what it took cannot be measured without the raw frames
        quality |= Quality.MEDIAN_BIAS
    if told.counts:
        quality |= _contradicted(numbers) * Quality.BACKGROUND_DOUBTFUL
        quality |= _without_beam(numbers)[:, None] * Quality.NO_BEAM
    quality |= _outlying(numbers, np.array(told.signals)) * Quality.OUTLIER
    result[:, :, kept.place["quality"]] = quality
    return result


def _faint(numbers: Numbers) -> npt.NDArray[np.int64]:
    """Return flags of too few counts for an intensity or a width, by their own and by those that frames around tell."""
    flags = [
        np.where(_above(numbers[name], limit, limit + LUCK), 0, flag)
        for name, limit, flag in (
            ("significance", LOW_COUNTS, Quality.LOW_COUNTS),
            ("clear", NOISY_PEAK, Quality.NOISY_PROFILE),
        )
    ]
    return np.asarray(flags[0] | flags[1])


def _merging(quality: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return flags of widths beside which some may as well be others, as those of peaks that merge."""
    unclear = ((quality & Quality.NOISY_PROFILE) > 0).astype(np.float64)
    return np.asarray((_around(unclear, NEAR) >= MERGING) * np.int64(Quality.NOISY_PROFILE))


def _above(values: Doubles, own: float, around: float) -> kernels.Bools:
    """Whether values are above a limit by themselves, and by the median of the frames around."""
    frames = min(NEAR, 2 * len(values) - 1)
    if np.isnan(values).any():
        from scipy.ndimage import median_filter

        expected = median_filter(values, size=(frames, 1), mode="mirror") > around
    else:  # as of most of them
        mirrored = np.pad(values > around, ((frames // 2, frames // 2), (0, 0)), mode="reflect")
        number = np.pad(mirrored.cumsum(axis=0), ((1, 0), (0, 0)))
        expected = 2 * (number[frames:] - number[:-frames]) > frames
    return np.asarray(expected & (values > own))


def _unsure_maximum(numbers: Numbers) -> kernels.Bools:
    """Maxima that are the highest of several pixels much alike, in the frames around, too: no error is known."""
    return ~_above(np.nan_to_num(numbers["top_clear"]), APART, 1.5 * APART)


@block_function
def remarks(packed: Any, *, told: Told) -> Text:  # noqa: ANN401 - as dask nests blocks
    """Return what people should know of the numbers, one sentence a line; a text without dimensions."""
    numbers = Numbers(packed, told.columns)
    if not len(numbers):
        return np.array("", dtype=object)
    topics = (_on_frames, _on_median, _on_median_before, _on_background)
    return np.array("\n".join(line for topic in topics for line in topic(numbers, told)), dtype=object)


def _on_frames(numbers: Numbers, told: Told) -> Iterator[str]:
    """Frames that cannot be read, and a background that they cannot or should not be divided by."""
    flags = numbers["quality"][:, 0].astype(np.int64)
    dark = (flags & Quality.ZERO_BACKGROUND) > 0
    yield from remarks_on_frames((flags & Quality.FRAME_FAULT) > 0, dark, told.called)
    if told.divides and told.counts:
        known = ~dark & ((flags & Quality.FRAME_FAULT) == 0)
        if noise := noise_of(numbers["frame_level_counts"][known, 0]):
            yield noise


def _on_median(numbers: Numbers, told: Told) -> Iterator[str]:
    """Say where a plain median takes a part of what is counted, as measured where that is known."""
    if not (told.median and told.counts):
        return
    signals = np.array(told.signals)
    means = _usual(numbers["sparse"][:, signals])
    bias, _ = _pooled_bias(numbers, len(numbers), signals)
    names = [name for name, signal in zip(told.names, told.signals, strict=True) if signal]
    sparse, losses = [], []
    for name, mean, measured in zip(names, means, bias[0], strict=True):
        loss = -float(measured) if np.isfinite(measured) else median_loss(float(mean))
        if 0 < mean < MEDIAN_BITES and abs(loss) > HARMLESS:
            sparse.append(f"{name} {mean:.2g}")
            losses.append(loss)
    if sparse:
        yield (
            f"few counts per pixel ({', '.join(sparse)}): a plain median takes up to {100 * max(losses):.0f} % of such "
            "an intensity; give a threshold, e.g. Correction(median=3, threshold=5), to keep what was counted"
        )


def _usual(values: Doubles) -> list[float]:
    """Median over the frames of each column, where one is known."""
    return [float(np.median(known)) if (known := one[np.isfinite(one)]).size else np.nan for one in values.T]


def _on_median_before(numbers: Numbers, told: Told) -> Iterator[str]:
    """Say where a plain median that went over the frames before has taken a part of what was counted."""
    if not told.median_before:
        return
    losses = {
        f"{name} {mean:.2g}": median_loss_behind(mean)
        for name, signal, mean in zip(told.names, told.signals, _usual(numbers["counted"]), strict=True)
        if signal and mean < MEDIAN_BITES
    }
    if losses:
        yield (
            f"few counts per pixel ({', '.join(losses)}) are left by the plain median that the frames went through: "
            f"it took up to {100 * max(losses.values()):.0f} % of such an intensity; measure the raw frames"
        )


def _moved_by_median(numbers: Numbers) -> kernels.Bools:
    """Tell what a plain median changes by a part that shows, or by a standard error, in the frames around."""
    bias, noise = _pooled_bias(numbers, AROUND)
    intensity, errors = numbers["intensity"], numbers["intensity_errors"]
    one = np.divide(errors, intensity, out=np.full(errors.shape, np.inf), where=intensity > 0)
    known = np.isfinite(bias)
    biased = known & (np.abs(np.where(known, bias, 0.0)) > np.maximum(np.fmin(BIASED, SHOWS * one), CERTAIN * noise))
    for name in BEHIND_MEDIAN:
        mean, own = _pooled(numbers[name], 4 * AROUND)
        biased |= np.abs(mean) > np.maximum(SHOWS, SURE * own)
    return np.asarray(biased)


def _pooled(values: Doubles, frames: int) -> tuple[Doubles, Doubles]:
    """Mean over so many frames around each of ``(frame, roi)``, and its noise; 0 where fewer than two are known."""
    known = np.isfinite(values)
    held = np.where(known, values, 0.0)
    number, total, squares = (_around(part, frames) for part in (known.astype(np.float64), held, held**2))
    mean = np.divide(total, number, out=np.zeros(total.shape), where=number > 1)
    spread = np.maximum(squares - number * mean**2, 0) / np.maximum((number - 1) * number, 1)
    return mean, np.sqrt(spread)


def _around(values: Doubles, frames: int) -> Doubles:
    """Sum over so many frames around each, fewer at the ends; all of them where there are no more."""
    first = np.maximum(np.arange(len(values)) - frames // 2, 0)
    behind = np.minimum(np.arange(len(values)) + frames // 2 + 1, len(values))
    if frames >= len(values):
        first, behind = np.zeros_like(first), np.full_like(behind, len(values))
    total = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])
    return np.asarray(total[behind] - total[first])


def _pooled_bias(numbers: Numbers, frames: int, rois: kernels.Bools | slice = slice(None)) -> tuple[Doubles, Doubles]:
    """Part that the median added to the sum of the intensities of so many frames around each, and its noise."""
    bias, intensity, errors = (numbers[name][:, rois] for name in ("median_bias", "intensity", "intensity_errors"))
    known = np.isfinite(bias) & np.isfinite(intensity) & (bias > -1)
    net = np.where(known, intensity, 0.0)
    parts = (net, net / (1 + np.where(known, bias, 0.0)), np.where(known, errors, 0.0) ** 2)
    filtered, counted, variance = (_around(part, frames) for part in parts)
    level = np.where(counted > 0, counted, np.nan)
    return filtered / level - 1, OWN_NOISE * np.sqrt(np.maximum(variance, 0)) / level


def _contradicted(numbers: Numbers) -> kernels.Bools:
    """Tell values whose background the ROI's edges contradict by a standard error."""
    if "tail_y" not in numbers:
        return np.zeros(numbers["quality"].shape, dtype=bool)
    along_y, along_x = (_wrong(numbers, f"tail_{axis}", 4 * AROUND) for axis in "yx")
    on_all_sides = along_y * along_x > 0  # a rod leaves on two
    beside = _wrong(numbers, "spill", 4 * AROUND)
    return np.asarray((_slopes(numbers) != 0).any(axis=0) | on_all_sides | (beside != 0))


def _slopes(numbers: Numbers) -> Doubles:
    """By how many standard errors slopes along y and x move centres of mass, ``(axis, frame, roi)``."""
    return np.stack([_wrong(numbers, f"slope_{axis}", AROUND) for axis in "yx"])


def _on_background(numbers: Numbers, told: Told) -> Iterator[str]:
    """Propose a plane where the edge that is taken for background is plainly none."""
    if not (told.counts and any(told.edges)):
        return
    for axis, off in zip("yx", np.abs(_slopes(numbers)), strict=True):
        for roi in np.flatnonzero(np.array(told.edges) & ((off > PLAIN).mean(axis=0) > 0.5)):
            yield (
                f"ROI {told.names[roi]!r}: its edges differ along {axis}, and put its centre of mass off by some "
                f"{np.median(off[:, roi]):.2g} standard errors; background='plane' follows a slope"
            )


def _wrong(numbers: Numbers, name: str, frames: int) -> Doubles:
    """By how many standard errors something is off, in the mean over the frames around; 0 where that is not sure."""
    change, variance = numbers[name], numbers[f"{name}_variance"]
    known = np.isfinite(change) & np.isfinite(variance)
    total, spread = (_around(np.where(known, part, 0.0), frames) for part in (change, variance))
    mean = total / np.maximum(_around(known.astype(np.float64), frames), 1)
    return np.where((np.abs(mean) > 1) & (np.abs(total) > CERTAIN * np.sqrt(np.maximum(spread, 0))), mean, 0.0)


def _flat_variance(variance: Doubles, weak: kernels.Bools, told: Told) -> float:
    """Return the relative variance that all frames share: that of the ROI where it is largest.

    Each ROI has the median over the frames that were asked and in which there is something to measure.
    """
    signals = np.array(told.signals) if any(told.signals) else np.ones(variance.shape[1], dtype=bool)
    known = [column[np.isfinite(column)] for column in np.where(weak, np.nan, variance)[:, signals].T]
    return max((float(np.median(of)) for of in known if of.size), default=0.0)


def _without_beam(numbers: Numbers) -> kernels.Bools:
    """Tell frames in which all ROIs are dark though the others are not."""
    total = np.nansum(numbers["counted"] * numbers["n_valid"], axis=1)
    return np.asarray((total <= DARK) & (np.median(total) >= LIT))


def _outlying(numbers: Numbers, signals: kernels.Bools) -> kernels.Bools:
    """Tell intensities that stand out from the frames around; where all signals do, the backgrounds with them."""
    values, errors = numbers["intensity"], numbers["intensity_errors"]
    found = np.zeros(values.shape, dtype=bool)
    for role in (signals, ~signals):
        if role.any():
            found[:, role] = outliers(values[:, role], errors[:, role])
    if signals.any():
        found |= found[:, signals].all(axis=1, keepdims=True)
    return found
