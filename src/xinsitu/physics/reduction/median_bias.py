"""What a plain median makes of what was counted: the filtered sum against the raw one without its spikes."""

from __future__ import annotations

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles
from xinsitu.physics.corrections.framewise import NUMBER, Steps, counted
from xinsitu.values import Box

from .region_pixels import Pixels

ONE_IN = 8
"""One frame in so many is asked: each costs half of measuring it again."""
SPIKE = 5.0
"""Standard deviations from which a pixel is a spike, which a median takes rightly."""


def asked(per_frame: Doubles) -> kernels.Bools:
    """Which frames of a block are asked: by their number in the image, so that any chunks ask the same ones."""
    return np.asarray(per_frame[:, NUMBER] % ONE_IN == 0)


def excess(
    raw: kernels.Frames,
    filtered: kernels.Floats,
    per_frame: Doubles,
    box: Box,
    steps: Steps,
    pixels: Pixels | None = None,
    *,
    edge: bool = False,
) -> tuple[Doubles, Doubles]:
    """Profiles along y and x of the filtered pixels of a box less the raw ones, spikes aside; NaN where not asked.

    A pixel is a spike as :func:`~xinsitu.kernels.despike` has it. What remains is the median's own doing: it takes from
    peaks that are sharp, and from counts that are few.

    Parameters
    ----------
    raw
        Frames of a block.
    filtered
        The box after median and flat field.
    per_frame
        What is known of the frames.
    box
        Of the ROI, in the block.
    steps
        With a plain median.
    pixels
        Which pixels of the box count; None: all.
    edge
        Take off the background from the box's own edge: its mean, or a plane through it, on all pixels.
    """
    some = asked(per_frame)
    (top, bottom), (left, right) = box
    own = filtered[some]
    part = raw[some, top:bottom, left:right]
    counts, _ = counted(part, steps, per_frame[some], steps.bad(part, slice(top, bottom), slice(left, right)))
    below = steps.below(per_frame[some], slice(top, bottom), slice(left, right))
    ground = 0.0 if below is None else below[0].astype(np.float32)
    difference = np.subtract(counts, ground).astype(np.float32)
    if steps.flat is not None:
        difference /= steps.flat[top:bottom, left:right]
    np.subtract(own, difference, out=difference)
    allowed = own + ground + np.float32(1)
    allowed *= np.float32(SPIKE**2)
    far = np.flatnonzero(np.square(difference) > allowed)  # never true of NaN
    number, rows, columns = np.unravel_index(far, difference.shape)
    if number.size:
        spikes = _stand_out(
            raw[some], per_frame[some], (number, rows + top, columns + left), own[number, rows, columns], steps
        )
        difference[number[spikes], rows[spikes], columns[spikes]] = 0
    made = np.nan_to_num(difference.astype(np.float64))
    pixels = pixels or Pixels((bottom - top, right - left))
    if edge:
        made -= _of_edge(difference, pixels)[:, None, None] * np.isfinite(difference)
    profiles = pixels.profiles(made if pixels.weights is None else made * pixels.weights)
    along_y, along_x = (np.full((len(raw), profile.shape[1]), np.nan) for profile in profiles)
    along_y[some], along_x[some] = profiles
    return along_y, along_x


def _of_edge(difference: kernels.Floats, pixels: Pixels) -> Doubles:
    """Return the mean of the outermost rows and columns."""
    edge = np.isfinite(difference) & pixels.rim
    total = kernels.total(np.where(edge, difference, 0).astype(np.float64))
    return np.asarray(total / np.maximum(np.count_nonzero(edge, axis=(1, 2)), 1))


def _stand_out(
    raw: kernels.Frames, per_frame: Doubles, where: tuple[kernels.Indices, ...], level: kernels.Floats, steps: Steps
) -> kernels.Bools:
    """Which pixels stand out of their neighbours by more than the slope around explains."""
    number, rows, columns = where
    reach = (steps.median or 3) // 2
    step = np.arange(-reach, reach + 1)
    y = np.clip(rows[:, None] + step, 0, raw.shape[1] - 1)[:, :, None]
    x = np.clip(columns[:, None] + step, 0, raw.shape[2] - 1)[:, None, :]
    around = raw[number[:, None, None], y, x].reshape(len(number), -1).astype(np.float64)
    bad = steps.bad(raw, slice(None), slice(None))
    if bad is not None:
        around[np.broadcast_to(bad, raw.shape)[number[:, None, None], y, x].reshape(around.shape)] = np.nan
    below = steps.below(per_frame, slice(None), slice(None))
    if below is None:
        return kernels.stands_out(around, level, SPIKE)
    ground = np.broadcast_to(below[0], raw.shape)
    around -= ground[number[:, None, None], y, x].reshape(around.shape)
    return kernels.stands_out(around, level, SPIKE, ground[number, rows, columns])
