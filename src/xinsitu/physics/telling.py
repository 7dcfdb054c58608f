"""What all frames of a measurement say together, once they are computed: warnings and flags."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from xinsitu.errors import XinsituWarning
from xinsitu.kernels import Doubles
from xinsitu.schema import Quality

from .counting import median_loss
from .framewise import noise_of
from .quantities import COLUMN

MEDIAN_BITES = 2.0
"""Mean counts per pixel below which a plain median takes more than 7 % of an intensity."""
DARK, LIT = 5.0, 100.0
"""Counts in all ROIs together: at most so many in a frame without beam, where the median frame has at least so many."""


@dataclass(frozen=True)
class Told:
    """What to look for.

    Are frames divided by a background, are they counts, is there a median, does the flat field say what it counted;
    which ROIs are more than a background.
    """

    divides: bool
    counts: bool
    median: bool
    flat: bool
    names: tuple[str, ...]
    signals: tuple[bool, ...]


def tell(packed: Doubles, *, told: Told) -> Doubles:
    """Warn of what frames say together, and return the numbers with frames without beam flagged."""
    if not packed.size:
        return packed
    if told.divides:
        _tell_of_background(packed, told.counts)
    if told.median and told.counts:
        _tell_of_median(packed[:, np.array(told.signals)], told)
    if told.flat:
        packed = _scale_told(packed, told)
    return _without_beam_flagged(packed) if told.counts else packed


def _tell_of_background(packed: Doubles, counts: bool) -> None:
    """Warn of a background that frames cannot or should not be divided by."""
    zero = (packed[:, 0, COLUMN["quality"]].astype(np.int64) & Quality.ZERO_BACKGROUND) > 0
    if zero.any():
        warnings.warn(
            f"the background is zero in {np.count_nonzero(zero)} of {len(zero)} frames; their values are NaN",
            XinsituWarning,
            stacklevel=3,
        )
    if counts and (told := noise_of(packed[~zero, 0, COLUMN["frame_level_counts"]])):
        warnings.warn(told, XinsituWarning, stacklevel=3)


def _tell_of_median(packed: Doubles, told: Told) -> None:
    """Warn where a plain median takes a part of what is counted."""
    means = np.nanmedian(packed[:, :, COLUMN["sparse"]], axis=0)
    names = [name for name, signal in zip(told.names, told.signals, strict=True) if signal]
    sparse = [(name, float(mean)) for name, mean in zip(names, means, strict=True) if 0 < mean < MEDIAN_BITES]
    if sparse:
        said = ", ".join(f"{name} {mean:.2g}" for name, mean in sparse)
        loss = max(median_loss(mean) for _, mean in sparse)
        warnings.warn(
            f"few counts per pixel ({said}): a plain median takes up to {100 * loss:.0f} % of such an intensity; "
            "give a threshold, e.g. Correction(median=3, threshold=5), to keep what was counted",
            XinsituWarning,
            stacklevel=3,
        )


def _scale_told(packed: Doubles, told: Told) -> Doubles:
    """Put one shared relative variance in the place of those of frames: that of the ROI where it is largest.

    Each ROI has the median over the frames that were asked and in which there is something to measure.
    """
    signals = np.array(told.signals) if any(told.signals) else np.ones(packed.shape[1], dtype=bool)
    weak = (packed[:, :, COLUMN["quality"]].astype(np.int64) & Quality.LOW_COUNTS) > 0
    variance = np.where(weak, np.nan, packed[:, :, COLUMN["flat_variance"]])[:, signals]
    known = [column[np.isfinite(column)] for column in variance.T]
    result = packed.copy()
    result[:, :, COLUMN["flat_variance"]] = max((float(np.median(of)) for of in known if of.size), default=0.0)
    return result


def _without_beam_flagged(packed: Doubles) -> Doubles:
    """Flag frames in which all ROIs are dark though the others are not."""
    total = np.nansum(packed[:, :, COLUMN["counted"]] * packed[:, :, COLUMN["n_valid"]], axis=1)
    dark = total <= DARK
    if not dark.any() or np.median(total) < LIT:
        return packed
    result = packed.copy()
    result[dark, :, COLUMN["quality"]] += float(Quality.NO_BEAM)
    return result
