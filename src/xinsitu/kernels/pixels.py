"""Pixels that say nothing, medians, despiking and count rate: from raw frames to counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[Any]
Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

EXACT_IN_FLOAT32 = 2**24
"""Whole numbers up to this one are exact in float32."""
OPENCV_SIZES = (3, 5)


def in_rows(frames: Frames) -> Frames:
    """Frames ``(frame, y, x)`` as rows ``(frame, pixel)``, of no frames, too."""
    return frames.reshape(len(frames), frames.shape[1] * frames.shape[2])


# -- pixels that say nothing ------------------------------------------------------------------------------------------


def invalid_pixels(frames: Frames, stored: np.dtype[Any] | None = None) -> Bools | None:
    """Where frames say nothing, or None where every pixel is good.

    Parameters
    ----------
    frames
        Any shape.
    stored
        What the detector wrote, if the frames were converted to floating point since; codes follow it.

    Examples
    --------
    >>> invalid_pixels(np.array([[3, -1, 0]], dtype="int32"))
    array([[False,  True, False]])
    >>> invalid_pixels(np.array([[3.0, -1.0]])) is None
    True
    """
    kind = frames.dtype if stored is None else stored
    bad: Bools | None = None
    if not frames.size:
        return None
    if kind.kind == "i" and not frames.min() >= 0:  # true of NaN, too
        bad = np.asarray(frames < 0)
    elif kind.kind == "u" and not frames.max() < (code := lowest_code(kind)):
        bad = np.asarray(frames >= code)
    if frames.dtype.kind == "f":
        finite = np.isfinite(frames)
        if not finite.all():
            bad = ~finite if bad is None else bad | ~finite
    return bad


def lowest_code(kind: np.dtype[Any]) -> int:
    """Return the lowest value of an unsigned type that is a code and no count.

    Readers without sign turn -1 (gap) into the highest value, and -2 (bad) into the one below. In 8 and 16 bits that
    one may well be a count.

    Examples
    --------
    >>> lowest_code(np.dtype("uint32")) - 2**32, lowest_code(np.dtype("uint16")) - 2**16
    (-2, -1)
    """
    return int(256**kind.itemsize - (2 if kind.itemsize >= 4 else 1))


def as_floats(frames: Frames, dtype: npt.DTypeLike, bad: Bools | None) -> Floats:
    """Frames as contiguous floating point, NaN where they say nothing."""
    values: Floats = np.array(frames, dtype=dtype, order="C")
    if bad is not None:
        values[np.broadcast_to(bad, values.shape)] = np.nan
    return values


# -- median -----------------------------------------------------------------------------------------------------------


def median2d(frames: Frames, size: int = 3, *, bad: Bools | None = None, dtype: npt.DTypeLike = np.float32) -> Floats:
    """Median over ``size`` x ``size`` pixels of each frame, mirrored at the border (``d c b a | a b c d``).

    Bit for bit ``scipy.ndimage.median_filter(frames, size=(1, size, size), mode="reflect")`` where all pixels are good;
    OpenCV does it frame by frame where it can, NumPy others of 3 pixels (float64, whole numbers beyond 2^24), and scipy
    all else.
    Bad pixels are left out of their neighbours' medians (an even number of good ones gives the mean of the middle two)
    and are NaN themselves.

    Parameters
    ----------
    frames
        ``(frame, y, x)``, integers or floating point.
    size
        Odd, 3 or more.
    bad
        ``(y, x)`` or ``(frame, y, x)``; True where a pixel says nothing.
    dtype
        Of the result; float32 or float64.

    Examples
    --------
    >>> frame = np.array([[[1, 1, 1], [1, 900, 2], [1, 2, 3]]], dtype="int32")
    >>> float(median2d(frame)[0, 1, 1])
    1.0
    """
    result = np.empty(frames.shape, dtype=dtype)
    for number, frame in enumerate(frames):
        hidden = None if bad is None else bad if bad.ndim == 2 else bad[number]
        if hidden is None or not hidden.any():
            _median_of_good(frame, size, result[number])
        else:
            _median_of_masked(frame, size, hidden, result[number])
    return result


def _exact_in_float32(frame: Frames) -> bool:
    """Whether these are integers that OpenCV does not take, but takes as float32; one frame fits into the cache."""
    kind = frame.dtype
    wide = kind.kind in "iu" and (kind.itemsize > 2 or kind == np.int8)
    return wide and bool(frame.size) and max(-int(frame.min()), int(frame.max())) <= EXACT_IN_FLOAT32


def _median_of_good(frame: Frames, size: int, out: Floats) -> None:
    """Median of one frame without bad pixels, into ``out``."""
    kind, wide = frame.dtype, _exact_in_float32(frame)
    if size not in OPENCV_SIZES or not (wide or kind in (np.uint8, np.uint16, np.int16, np.float32)):
        if size == 3:
            out[...] = _median_of_nine(frame)
            return
        import scipy.ndimage

        out[...] = scipy.ndimage.median_filter(frame, size=size, mode="reflect")
        return
    import cv2

    if kind.byteorder not in "=|":
        kind = kind.newbyteorder("=")
    source = np.ascontiguousarray(frame, dtype=np.float32 if wide else kind)
    if size == 3:  # OpenCV repeats the border pixel, which is the mirror image for a reach of one
        if source.dtype == out.dtype and out.flags.c_contiguous:
            cv2.medianBlur(source, size, dst=out)
        else:
            out[...] = cv2.medianBlur(source, size)
        return
    reach = size // 2
    padded = np.pad(source, reach, mode="symmetric")
    out[...] = cv2.medianBlur(padded, size)[reach:-reach, reach:-reach]


def _median_of_nine(frame: Frames) -> Frames:
    """Median over 3 x 3 pixels of any type.

    Each column of three is put in order; of three columns it is the middle of the highest of their lowest pixels, the
    middle of their middle ones and the lowest of their highest.
    """
    padded = np.pad(frame, 1, mode="edge")
    first, second, third = (padded[row : row + len(frame)] for row in range(3))
    low, high = np.minimum(first, second), np.maximum(first, second)
    middle, high = np.minimum(high, third), np.maximum(high, third)
    low, middle = np.minimum(low, middle), np.maximum(low, middle)
    lows, middles, highs = ([part[:, x : x + frame.shape[1]] for x in range(3)] for part in (low, middle, high))
    highest = np.maximum(np.maximum(*lows[:2]), lows[2])
    lowest = np.minimum(np.minimum(*highs[:2]), highs[2])
    return _middle(highest, _middle(*middles), lowest)


def _middle(a: Frames, b: Frames, c: Frames) -> Frames:
    return np.asarray(np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c)))


def _median_of_masked(frame: Frames, size: int, bad: Bools, out: Floats) -> None:
    """Median of one frame with bad pixels: all pixels as if there were none, then those near bad ones exactly."""
    import cv2

    filled = np.where(bad, frame.dtype.type(0), frame)
    _median_of_good(filled, size, out)
    near = cv2.dilate(np.ascontiguousarray(bad, dtype=np.uint8), np.ones((size, size), np.uint8)).astype(bool)
    rows, columns = np.nonzero(near & ~bad)
    padded = np.pad(as_floats(frame, np.float64, bad), size // 2, mode="symmetric")
    step = np.arange(size)
    windows = padded[(rows[:, None] + step)[:, :, None], (columns[:, None] + step)[:, None, :]].reshape(
        len(rows), size**2
    )
    windows.sort(axis=1)  # NaN come last
    good = np.count_nonzero(~np.isnan(windows), axis=1)
    each = np.arange(len(rows))
    out[rows, columns] = 0.5 * (windows[each, (good - 1) // 2] + windows[each, good // 2])
    out[bad] = np.nan


def despike(
    frames: Frames,
    size: int,
    threshold: float,
    *,
    bad: Bools | None = None,
    dtype: npt.DTypeLike,
    ground: Doubles | float = 0.0,
) -> Floats:
    """Replace only the outliers of each frame by the median around them; everything else stays as counted.

    A pixel is an outlier if it differs from the median ``m`` around it by more than
    ``threshold * s + 3 * max(0, h - l - 2 s)``, with ``s = sqrt(m + 1)`` and ``h``, ``l`` the second highest and second
    lowest of its neighbours: on even ground some ``threshold`` times the counting noise, and in a Bragg spot the slope
    around is allowed for, down to a FWHM of some 2 pixels. ``ground``: counts that were subtracted from pixels (a
    dark), and have noise all the same: ``s = sqrt(m + ground + 1)``.

    Examples
    --------
    >>> frame = np.array([[[0, 1, 0], [1, 900, 2], [0, 2, 0]]], dtype="int32")
    >>> despike(frame, 3, 5.0, dtype="float32")[0].tolist()
    [[0.0, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 2.0, 0.0]]
    """
    values = as_floats(frames, dtype, bad)
    local = median2d(frames, size, bad=bad, dtype=dtype)
    noise = np.sqrt(np.maximum(local + ground if np.ndim(ground) else local, 0) + 1)
    number, rows, columns = np.nonzero(np.abs(values - local) > threshold * noise)  # never true of NaN
    reach = size // 2
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), constant_values=np.nan)
    step = np.arange(size)
    around = padded[number[:, None, None], (rows[:, None] + step)[:, :, None], (columns[:, None] + step)[:, None, :]]
    level = local[number, rows, columns]
    under = np.broadcast_to(ground, values.shape)[number, rows, columns] if np.ndim(ground) else 0.0
    spike = stands_out(around.reshape(len(number), size**2), level, threshold, under)
    values[number[spike], rows[spike], columns[spike]] = level[spike]
    return values


def stands_out(around: Floats, level: Floats, threshold: float, ground: Doubles | float = 0.0) -> Bools:
    """Which pixels are outliers, as :func:`despike` has it.

    Parameters
    ----------
    around
        ``(pixel, neighbour)``, the pixel itself in the middle; NaN where a neighbour says nothing. Overwritten.
    level
        Median around each pixel.
    threshold
        In standard deviations.
    ground
        Counts that were subtracted from each pixel.
    """
    middle, each = around.shape[1] // 2, np.arange(len(around))
    own = around[:, middle].copy()
    around[:, middle] = np.nan
    around.sort(axis=1)  # NaN come last
    last = np.maximum(np.count_nonzero(~np.isnan(around), axis=1) - 1, 0)
    slope = around[each, np.maximum(last - 1, 0)] - around[each, np.minimum(1, last)]
    scatter = np.sqrt(np.maximum(level + ground, 0) + 1)
    return np.asarray(np.abs(own - level) > threshold * scatter + 3 * np.fmax(0, slope - 2 * scatter))


# -- count rate -------------------------------------------------------------------------------------------------------


def true_rate(measured: Doubles, dead_time: float) -> Doubles:
    """Rate of photons of a paralysable counter from the rate that it counts: ``m = n exp(-n tau)`` inverted for n.

    ``n = -W(-m tau) / tau`` with Lambert's W, the branch that goes to ``m`` for small rates; NaN above the highest rate
    that such a counter can show, ``1 / (e tau)``.

    Examples
    --------
    >>> float(np.round(true_rate(np.array([1e5 * np.exp(-0.02)]), 2e-7)[0], 6))
    100000.0
    """
    import scipy.special

    x = np.asarray(measured * dead_time)
    result = np.asarray(measured * (1 + x * (1 + 1.5 * x)))
    fast = x > 1e-4
    inverse = -scipy.special.lambertw(-x[fast]).real / dead_time
    result[fast] = np.where(x[fast] <= np.exp(-1), inverse, np.nan)
    return result


# -- frames that are lost ---------------------------------------------------------------------------------------------

UNREAD, DARK = 1954, 1955
"""Payloads of NaN, as R marks its missing values: of frames that cannot be read, and of those with a background of zero
that they should be divided by. They travel with the pixels through any copy, selection, process and file."""
_BITS = {4: (np.uint32, 0x7FC00000), 8: (np.uint64, 0x7FF8000000000000)}


def lost(dtype: npt.DTypeLike, why: int) -> Any:  # noqa: ANN401 - a NaN of that type
    """NaN that says why a frame has no pixels.

    Examples
    --------
    >>> bool(np.isnan(lost("float32", UNREAD)))
    True
    """
    kind = np.dtype(dtype)
    if kind.itemsize not in _BITS:
        return np.array(np.nan, dtype=kind)[()]
    whole, quiet = _BITS[kind.itemsize]
    return np.array(quiet + why, dtype=whole).view(kind)[()]


def marked(frames: Frames, why: int) -> Bools:
    """Which frames of a block are NaN for this reason.

    Examples
    --------
    >>> frames = np.array([[[1.0]], [[np.nan]], [[lost("float64", DARK)]]])
    >>> marked(frames, DARK).tolist(), marked(frames, UNREAD).tolist()
    ([False, False, True], [False, False, False])
    """
    if frames.dtype.kind != "f" or frames.dtype.itemsize not in _BITS or not frames[0:1].size:
        return np.zeros(len(frames), dtype=bool)
    whole, quiet = _BITS[frames.dtype.itemsize]
    corner = np.ascontiguousarray(frames[:, 0, 0])
    return np.asarray(corner.view(whole) == quiet + why)
