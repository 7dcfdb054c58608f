"""The arithmetic, on plain NumPy arrays of frames ``(frame, y, x)`` and profiles ``(frame, bin)``.

Nothing here knows xarray or dask. A pixel that says nothing is NaN in floating-point frames; in integer frames it is a
negative number (signed: -1 gap, -2 bad) or the highest number of its type (unsigned), as detectors write them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[Any]
Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

EXACT_IN_FLOAT32 = 2**24
"""Whole numbers up to this one are exact in float32."""
OPENCV_SIZES = (3, 5)
EDGE_FRACTION = 0.05
"""Outermost part of a profile, on each side, whose mean is the base of the FWHM where no background is declared."""


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
    elif kind.kind == "u" and not frames.max() < 256**kind.itemsize - 1:
        bad = np.asarray(frames == 256**kind.itemsize - 1)
    if frames.dtype.kind == "f":
        finite = np.isfinite(frames)
        if not finite.all():
            bad = ~finite if bad is None else bad | ~finite
    return bad


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
    OpenCV does it frame by frame where it can, scipy elsewhere (sizes above 5, float64, whole numbers beyond 2^24).
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
    exact = _exact_in_float32(frames)
    for number, frame in enumerate(frames):
        hidden = None if bad is None else bad if bad.ndim == 2 else bad[number]
        if hidden is None or not hidden.any():
            _median_of_good(frame, size, result[number], exact or _exact_in_float32(frame))
        else:
            _median_of_masked(frame, size, hidden, result[number], exact)
    return result


def _exact_in_float32(frames: Frames) -> bool:
    """Whether these are integers that OpenCV does not take, but takes as float32."""
    kind = frames.dtype
    wide = kind.kind in "iu" and (kind.itemsize > 2 or kind == np.int8)
    return wide and bool(frames.size) and max(-int(frames.min()), int(frames.max())) <= EXACT_IN_FLOAT32


def _median_of_good(frame: Frames, size: int, out: Floats, wide: bool) -> None:
    """Median of one frame without bad pixels, into ``out``; ``wide``: through float32."""
    kind = frame.dtype
    if size not in OPENCV_SIZES or not (wide or kind in (np.uint8, np.uint16, np.int16, np.float32)):
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


def _median_of_masked(frame: Frames, size: int, bad: Bools, out: Floats, wide: bool) -> None:
    """Median of one frame with bad pixels: all pixels as if there were none, then those near bad ones exactly."""
    import cv2

    filled = np.where(bad, frame.dtype.type(0), frame)
    _median_of_good(filled, size, out, wide or _exact_in_float32(filled))
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


def despike(frames: Frames, size: int, threshold: float, *, bad: Bools | None = None, dtype: npt.DTypeLike) -> Floats:
    """Replace only the outliers of each frame by the median around them; everything else stays as counted.

    A pixel is an outlier if it differs from the median ``m`` around it by more than
    ``threshold * s + 2 * max(0, h - l - 4 s)``, with ``s = sqrt(m + 1)`` and ``h``, ``l`` the second highest and second
    lowest of its neighbours: on even ground that is ``threshold`` times the counting noise, and in a Bragg spot the
    slope around is allowed for, down to a FWHM of some 2 pixels.

    Examples
    --------
    >>> frame = np.array([[[0, 1, 0], [1, 900, 2], [0, 2, 0]]], dtype="int32")
    >>> despike(frame, 3, 5.0, dtype="float32")[0].tolist()
    [[0.0, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 2.0, 0.0]]
    """
    values = as_floats(frames, dtype, bad)
    local = median2d(frames, size, bad=bad, dtype=dtype)
    noise = np.sqrt(np.maximum(local, 0) + 1)
    number, rows, columns = np.nonzero(np.abs(values - local) > threshold * noise)  # never true of NaN
    reach = size // 2
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)), constant_values=np.nan)
    step = np.arange(size)
    around = padded[number[:, None, None], (rows[:, None] + step)[:, :, None], (columns[:, None] + step)[:, None, :]]
    around = around.reshape(len(number), size**2)
    around[:, size**2 // 2] = np.nan  # the pixel itself
    around.sort(axis=1)  # NaN come last
    last = np.maximum(np.count_nonzero(~np.isnan(around), axis=1) - 1, 0)
    each = np.arange(len(number))
    slope = around[each, np.maximum(last - 1, 0)] - around[each, np.minimum(1, last)]
    own, level, scatter = (array[number, rows, columns] for array in (values, local, noise))
    allowed = threshold * scatter + 2 * np.fmax(0, slope - 4 * scatter)
    spike = np.abs(own - level) > allowed
    values[number[spike], rows[spike], columns[spike]] = level[spike]
    return values


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


# -- sums and profiles ------------------------------------------------------------------------------------------------


def profiles(values: Doubles) -> tuple[Doubles, Doubles]:
    """Sum contiguous float64 frames over columns, ``(frame, y)``, and over rows, ``(frame, x)``.

    The order of the additions depends on the frame's shape alone, so cropping before or after a filter, and any
    chunking in time, give the same bits.
    """
    return np.einsum("nyx->ny", values), np.einsum("nyx->nx", values)


def bridged(profile: Doubles, pixels: Doubles) -> Doubles:
    """Profiles ``(frame, bin)`` with straight lines over bins that have no valid pixel, such as gaps between modules.

    Examples
    --------
    >>> bridged(np.array([[2.0, 0.0, 0.0, 8.0]]), np.array([[5.0, 0.0, 0.0, 5.0]]))
    array([[2., 4., 6., 8.]])
    """
    holes = pixels == 0
    rows = np.flatnonzero(holes.any(axis=1) & ~holes.all(axis=1))
    if not rows.size:
        return profile
    result = profile.copy()
    for row in rows:
        result[row, holes[row]] = np.interp(
            np.flatnonzero(holes[row]), np.flatnonzero(~holes[row]), profile[row, ~holes[row]]
        )
    return result


def running_mean(profile: Doubles, bins: int) -> Doubles:
    """Mean over an odd number of neighbouring bins of profiles ``(frame, bin)``; fewer at the ends.

    Examples
    --------
    >>> running_mean(np.array([[0.0, 3.0, 6.0, 0.0]]), 3)
    array([[1.5, 3. , 3. , 3. ]])
    """
    reach = bins // 2
    total = np.concatenate([np.zeros((len(profile), 1)), np.cumsum(profile, axis=1)], axis=1)
    first = np.maximum(np.arange(profile.shape[1]) - reach, 0)
    behind = np.minimum(np.arange(profile.shape[1]) + reach + 1, profile.shape[1])
    return np.asarray((total[:, behind] - total[:, first]) / (behind - first))


def without_running_mean(width: Doubles, bins: int) -> Doubles:
    """Take off a full width what a running mean added, as to a Gaussian: ``sqrt(w^2 - 8 ln 2 (bins^2 - 1) / 12)``.

    Examples
    --------
    >>> without_running_mean(np.array([5.0, 1.0]), 3).round(3)
    array([4.616,   nan])
    """
    square = width**2 - 8 * np.log(2) * (bins**2 - 1) / 12
    return np.asarray(np.sqrt(np.where(square > 0, square, np.nan)))


def centre_of_mass(profile: Doubles) -> Doubles:
    """Centre of mass of profiles ``(frame, bin)`` in bins from the first; NaN where the sum is not positive.

    ``sum(i p_i) / sum(p_i)``

    Examples
    --------
    >>> centre_of_mass(np.array([[1.0, 2.0, 1.0], [0.0, 1.0, 3.0], [0.0, 0.0, 0.0]]))
    array([1.  , 1.75,  nan])
    """
    total = profile.sum(axis=1)
    weighted = np.einsum("ni,i->n", profile, np.arange(profile.shape[1], dtype=np.float64))
    result = np.full(len(profile), np.nan)
    np.divide(weighted, total, out=result, where=total > 0)
    return result


def edge_base(profile: Doubles) -> Doubles:
    """Mean of the outermost 5 % of bins, at least one, on each side of profiles ``(frame, bin)``.

    Examples
    --------
    >>> edge_base(np.array([[2.0, 9.0, 9.0, 4.0]]))
    array([3.])
    """
    n_bins = profile.shape[1]
    outer = max(1, int(EDGE_FRACTION * n_bins))
    return np.asarray(np.concatenate([profile[:, :outer], profile[:, n_bins - outer :]], axis=1).mean(axis=1))


class Crossings(NamedTuple):
    """Where profiles cross a level, one value per frame; positions in bins, NaN where a side is not crossed."""

    left: Doubles
    right: Doubles
    peak: Indices
    """Bin of the maximum."""
    outer_left: Indices
    """First bin at or below the level, left of the maximum; its right neighbour is above."""
    outer_right: Indices


def half_crossings(profile: Doubles, base: Doubles, level: float = 0.5) -> Crossings:
    """Where profiles ``(frame, bin)`` first cross the half level outwards from their maximum, left and right, in bins.

    The level is ``base + level * (maximum - base)``; between bins the profile is a straight line. NaN where a side is
    not crossed, and where the maximum is not above the base.

    Examples
    --------
    >>> crossings = half_crossings(np.array([[0.0, 2.0, 8.0, 6.0, 0.0]]), np.array([0.0]))
    >>> float(crossings.left[0]), round(float(crossings.right[0]), 3)
    (1.3333333333333333, 3.333)
    """
    n_frames, n_bins = profile.shape
    each = np.arange(n_frames)
    peak = np.argmax(profile, axis=1)
    top = profile[each, peak]
    half = base + level * (top - base)
    bins = np.arange(n_bins)
    below = (profile <= half[:, None]) & (top > base)[:, None]
    on_left = np.where(below & (bins < peak[:, None]), bins, -1).max(axis=1)
    on_right = np.where(below & (bins > peak[:, None]), bins, n_bins).min(axis=1)
    outer_left, outer_right = np.maximum(on_left, 0), np.minimum(on_right, n_bins - 1)
    left = _interpolated(profile, outer_left, 1, half, on_left >= 0)
    right = _interpolated(profile, outer_right, -1, half, on_right < n_bins)
    return Crossings(left, right, peak, outer_left, outer_right)


def _interpolated(profile: Doubles, outer: Indices, inwards: int, half: Doubles, crossed: Bools) -> Doubles:
    """Crossing between the bin at or below the half level and its inner neighbour, which is above."""
    each = np.arange(len(outer))
    low = profile[each, outer]
    high = profile[each, np.clip(outer + inwards, 0, profile.shape[1] - 1)]
    part = np.full(len(outer), np.nan)
    np.divide(half - low, high - low, out=part, where=crossed)
    return np.asarray(outer + inwards * part)


def fwhm(profile: Doubles, base: Doubles) -> Doubles:
    """Full width of profiles ``(frame, bin)`` at half maximum above ``base``, in bins; see :func:`half_crossings`.

    Examples
    --------
    >>> fwhm(np.array([[0.0, 4.0, 8.0, 4.0, 0.0]]), np.array([0.0]))
    array([2.])
    """
    crossings = half_crossings(profile, base)
    return crossings.right - crossings.left


# -- counting statistics ----------------------------------------------------------------------------------------------


def centre_of_mass_variance(
    profile: Doubles, variance: Doubles, centre: Doubles, pixels: Doubles, level_variance: Doubles
) -> Doubles:
    """Variance of the centre of mass of profiles ``(frame, bin)``, in bins squared.

    ``[sum (x_i - c)^2 var_i + (sum n_i (x_i - c))^2 var_b] / (sum p_i)^2``, where ``var_b`` is the variance of the
    background per pixel, which all ``n_i`` pixels of all bins share.
    """
    distance = np.arange(profile.shape[1], dtype=np.float64) - centre[:, None]
    counted = np.einsum("ni,ni->n", distance**2, variance)
    shared = np.einsum("ni,ni->n", distance, pixels) ** 2 * level_variance
    result = np.full(len(profile), np.nan)
    np.divide(counted + shared, profile.sum(axis=1) ** 2, out=result, where=np.isfinite(centre))
    return result


def fwhm_variance(profile: Doubles, variance: Doubles, base_variance: Doubles, crossings: Crossings) -> Doubles:
    """Variance of the full width at half maximum of profiles ``(frame, bin)``, in bins squared.

    ``sum over sides (sigma_y / slope)^2 + sigma_h^2 (1 / slope_left + 1 / slope_right)^2`` with
    ``sigma_h^2 = (var(peak) + var(base)) / 4``. The highest of ``m`` bins of much the same height scatters less than
    one bin, by ``1 / sqrt(m)`` in variance. It holds where the highest bin is no accident of the noise.
    """
    each = np.arange(len(profile))
    top, noise = profile[each, crossings.peak], variance[each, crossings.peak]
    distance = np.divide(
        (top[:, None] - profile) ** 2, 4 * noise[:, None], out=np.full(profile.shape, np.inf), where=noise[:, None] > 0
    )
    rivals = np.maximum(np.exp(-distance).sum(axis=1), 1)
    height = noise / np.sqrt(rivals) + base_variance
    total, steepness = np.zeros(len(profile)), np.zeros(len(profile))
    for position, outer, inwards in (
        (crossings.left, crossings.outer_left, 1),
        (crossings.right, crossings.outer_right, -1),
    ):
        inner = np.clip(outer + inwards, 0, profile.shape[1] - 1)
        part = np.abs(position - outer)
        slope = profile[each, inner] - profile[each, outer]
        inverse = np.full(len(profile), np.nan)
        np.divide(1.0, slope, out=inverse, where=slope > 0)
        between = (1 - part) ** 2 * variance[each, outer] + part**2 * variance[each, inner]
        total += between * inverse**2
        steepness += inverse
    return np.asarray(total + 0.25 * height * steepness**2)
