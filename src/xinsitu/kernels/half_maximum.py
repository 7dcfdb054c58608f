"""Width of noisy profiles at half their height: windows that follow the noise, and how the width depends on each bin.

The highest of many bins of much the same height is the one that the noise raised most, and the first bin below the half
level is one that the noise lowered: widths taken from single bins come out too small, by one standard error at some
thousand counts. So height and crossings are taken from short straight lines and parabolas through several bins (local
regression: W. S. Cleveland, J. Am. Stat. Assoc. 74, 829 (1979), doi:10.1080/01621459.1979.10481038), as long as the
noise asks for it; where it does not, they are those of single bins.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from xinsitu import native

from .pixels import Bools, Doubles
from .sums import Indices, running_mean, sum_in_lanes

LEVEL = 0.5
"""Of the height, where a width is taken if nothing else is said."""
HEIGHT, SIDES, SMOOTH = 0.27, 0.2, 0.28
"""Windows over the width, of what noise leaves of them: half that of the parabola through the highest bins, half those
of the lines through the crossings, and that of the running mean in which both are looked for."""
CLEAR, FALLS = 22.0, 0.6
"""Peak over noise up to which windows are whole, and the power of it with which they shrink from there on."""
FLANK = 0.7
"""Part of the height to which the steeper side may fall inside the parabola."""
BESIDE, BENT, STRAIGHTENED, MOST = 0.4, 0.05, 1.3, 0.25
"""Flanks that bend, as those of a Lorentzian, lie below the line through them. Over the width, how far inwards and
outwards of the crossing the bend is looked for; over the height, how much of it a Gaussian has, which stays; how many
times what a parabola would have is put right, as the bend is less so far away; and the most, over half the line."""
ASTRAY, VALLEY = 3.0, 3.0
"""Standard errors of a bin of the running mean by which the level is moved to look for other crossings, and by which a
second peak must rise from a valley inside the crossings that windows fill and the height is too low for."""
ROUNDS = 5
NARROW = 4.0
"""Width up to which fourth differences are those of the peak."""
LEAST_BINS = 9
"""Profiles of fewer bins are taken bin by bin."""
FAR = 700.0
"""Beside 1, ``exp`` of this and more below zero is nothing; processors are slow where it is too small a number."""


class HalfMaximum(NamedTuple):
    """Where profiles ``(frame, bin)`` cross a level on both sides of their peak, one value per frame.

    Positions in bins, NaN where a side is not crossed. ``width_by_bin (frame, bin)`` is the derivative of
    ``right - left`` by what each bin holds, from which the variance of the width follows; ``height_by_bin`` is that of
    the height above the base, which is ``height``. ``smooth`` is the number of bins of the running mean in which the
    peak was looked for, and ``profile`` that running mean.
    """

    left: Doubles
    right: Doubles
    peak: Indices
    height: Doubles
    width_by_bin: Doubles
    height_by_bin: Doubles
    smooth: Indices
    profile: Doubles

    @property
    def width(self) -> Doubles:
        """``right - left``."""
        return self.right - self.left


def half_maximum(profile: Doubles, base: Doubles, level: float = LEVEL) -> HalfMaximum:
    """First crossings of ``base + level * height`` outwards from the peak of profiles ``(frame, bin)``.

    Without noise: the highest bin, and straight lines between bins.

    Examples
    --------
    >>> found = half_maximum(np.array([[0.0, 4.0, 8.0, 4.0, 0.0]]), np.array([0.0]))
    >>> found.width.tolist(), found.width_by_bin.tolist()
    ([2.0], [[0.0, 0.25, -0.25, 0.25, 0.0]])
    """
    compiled = native.function("half_maximum")
    if compiled is None or not profile.size:
        return _by_numpy(_net(profile, base), level)
    values, bases = _as_told(profile, base)
    numbers, bins = np.empty((3, len(values))), np.empty((3, *values.shape))
    peak, smooth = np.empty((2, len(values)), dtype=np.intp)
    outputs = [array.ctypes.data for array in (*numbers, *bins, peak, smooth)]
    if compiled(ctypes.byref(native.Widths(values.ctypes.data, bases.ctypes.data, *values.shape, level, *outputs))):
        return _by_numpy(_net(profile, base), level)
    (left, right, height), (width_by_bin, height_by_bin, soft) = numbers, bins
    return HalfMaximum(left, right, peak, height, width_by_bin, height_by_bin, smooth, soft)


def peaks(profile: Doubles, base: Doubles) -> Indices:
    """Bins of the peaks of profiles ``(frame, bin)``, as :func:`half_maximum` finds them.

    Examples
    --------
    >>> peaks(np.array([[0.0, 4.0, 8.0, 4.0, 0.0]]), np.array([0.0]))
    array([2])
    """
    compiled = native.function("half_maximum")
    if compiled is None or not profile.size:
        return _peaks_by_numpy(_net(profile, base))
    (values, bases), peak = _as_told(profile, base), np.empty(len(profile), dtype=np.intp)
    told = native.Widths(values.ctypes.data, bases.ctypes.data, *values.shape, LEVEL, peak=peak.ctypes.data)
    return _peaks_by_numpy(_net(profile, base)) if compiled(ctypes.byref(told)) else peak


def _as_told(profile: Doubles, base: Doubles) -> tuple[Doubles, Doubles]:
    """Profiles and a base for each, as the compiled kernel looks at them."""
    bases = np.broadcast_to(base, len(profile))
    return np.ascontiguousarray(profile, dtype=np.float64), np.ascontiguousarray(bases, dtype=np.float64)


def _net(profile: Doubles, base: Doubles) -> Doubles:
    """Profiles above their bases; what is not known crosses nothing."""
    return np.nan_to_num(profile - base[:, None])


def _peaks_by_numpy(net: Doubles) -> Indices:
    """Return the same, for all profiles at once."""
    return np.asarray(_soft(net, _windows(net, LEVEL)[0]).argmax(axis=1))


def _by_numpy(net: Doubles, level: float) -> HalfMaximum:
    """Return the same, step by step for all profiles at once."""
    smooth, width, part, noise = _windows(net, level)
    soft = _soft(net, smooth)
    peak = soft.argmax(axis=1)
    flank = np.minimum(*(np.abs(edge - peak) for edge in _beyond(soft, FLANK * soft.max(axis=1), peak)))
    far = np.maximum(_whole(BESIDE * width), 2)
    height, height_by_bin = _height(net, peak, np.minimum(_whole(HEIGHT * part * width - 0.25), flank))
    by_luck = (np.count_nonzero(height_by_bin, axis=1) == 1) & (width > NARROW)
    height[by_luck] -= _luck(net[by_luck], height[by_luck], noise[by_luck])
    half = level * height
    first, behind = _beyond(soft, half, peak)
    reach = np.maximum(_whole(SIDES * part * width), 1)
    positions, by_bin = [], np.zeros_like(net)
    for side, outer in ((-1, first), (1, behind)):
        place, own, slope = _crossing(net, soft, half, outer, side, reach)
        by_bin += side * (level * height_by_bin - own) / slope[:, None]
        positions.append(_on_bent_flank(net, place, slope, height, reach, far))
    return HalfMaximum(positions[0], positions[1], peak, height, by_bin, height_by_bin, smooth, soft)


def _whole(number: Doubles) -> Indices:
    return np.floor(number + 0.5).astype(np.intp)


def _soft(net: Doubles, bins: Indices) -> Doubles:
    """Return running means, each profile over its own number of bins."""
    result = net.copy()
    for size in np.unique(bins[bins > 1]):
        some = bins == size
        result[some] = running_mean(net[some], int(size))
    return result


def rivals(profile: Doubles, top: Doubles, noise: Doubles) -> Doubles:
    """How many bins are as high as the highest one, as far as the noise of a bin lets tell; 1 or more."""
    far = top[:, None] - profile
    np.square(far, out=far)
    known = noise > 0
    far /= np.where(known, 4 * noise**2, 1.0)[:, None]
    far[~known] = FAR
    np.negative(np.minimum(far, FAR, out=far), out=far)
    return np.asarray(np.maximum(sum_in_lanes(np.exp(far, out=far)), 1))


def _luck(net: Doubles, top: Doubles, noise: Doubles) -> Doubles:
    """By how much the highest of several bins of one height is too high: 0.56 noises of two, 0.85 of three."""
    return np.asarray(0.56 * noise * np.minimum(rivals(net, top, noise) - 1, 1.5))


def _windows(net: Doubles, level: float) -> tuple[Indices, Doubles, Doubles, Doubles]:
    """Bins of the running mean, a first width, the part of the windows that the noise asks for, and the noise.

    The running mean begins with a quarter of the profile, and shrinks until it is narrow against the width it shows.
    """
    n_frames, n_bins = net.shape
    wide = n_bins >= LEAST_BINS
    smooth = np.full(n_frames, (n_bins // 4) | 1 if wide else 1, dtype=np.intp)
    width, part, noise, top = np.ones(n_frames), np.full(n_frames, float(wide)), np.zeros(n_frames), np.ones(n_frames)
    peak = np.zeros(n_frames, dtype=np.intp)
    news = np.arange(n_frames)  # profiles whose running mean is another one than in the turn before
    for turn in range(ROUNDS if wide else 0):
        if news.size:
            soft = _soft(net[news], smooth[news])
            peak[news], top[news] = soft.argmax(axis=1), soft.max(axis=1)
            first, behind = _beyond(soft, level * top[news], peak[news])
            seen = np.minimum(behind, n_bins - 1) - np.maximum(first, 0) - 1.0
            width[news] = np.sqrt(np.maximum(seen**2 - 8 * np.log(2) * (smooth[news] ** 2 - 1) / 12, 1))
        if turn == ROUNDS - 2:
            news = np.arange(n_frames)
        if turn >= ROUNDS - 2:
            noise[news] = _noise(net[news], peak[news], width[news])
            part[news] = np.minimum(1, (CLEAR * noise[news] / np.maximum(top[news], 1e-300)) ** FALLS)
        before, smooth = smooth, np.minimum(smooth, 2 * np.floor(SMOOTH * part * width / 2).astype(np.intp) + 1)
        news = np.flatnonzero(smooth != before)
    return smooth, width, part, noise


def _noise(net: Doubles, peak: Indices, width: Doubles) -> Doubles:
    """Return the noise of a bin around the peak, from fourth differences, which leave little of a peak's shape."""
    differences = np.diff(net, 4, axis=1)
    away = np.abs(np.arange(differences.shape[1]) + 2 - peak[:, None])
    near = away <= np.maximum(0.75 * width[:, None], 4)
    number = np.maximum(np.count_nonzero(near, axis=1), 1)
    return np.asarray(np.sqrt(sum_in_lanes(np.where(near, differences**2, 0.0)) / (70 * number)))


def _beyond(profile: Doubles, level: Doubles, peak: Indices) -> tuple[Indices, Indices]:
    """First bins at or below a level outwards from the peak; -1 and the number of bins where there are none."""
    n_bins = profile.shape[1]
    bins, below = np.arange(n_bins), (profile <= level[:, None]) & (level > 0)[:, None]
    each, left, right = np.arange(len(profile)), below & (bins < peak[:, None]), below & (bins > peak[:, None])
    first, behind = n_bins - 1 - left[:, ::-1].argmax(axis=1), right.argmax(axis=1)
    return np.where(left[each, first], first, -1), np.where(right[each, behind], behind, n_bins)


def _height(net: Doubles, peak: Indices, reach: Indices) -> tuple[Doubles, Doubles]:
    """Height of the peak and its derivative by each bin: vertex of a parabola over ``2 reach + 1`` bins, or one bin."""
    reach = np.minimum(reach, np.minimum(peak, net.shape[1] - 1 - peak))
    reach = np.where(reach < 2, 0, reach)
    away = np.arange(net.shape[1]) - peak[:, None]
    n = 2.0 * reach + 1
    square = np.maximum(reach * (reach + 1) * n / 3, 1.0)  # sums of the squares and fourth powers of -reach ... reach
    fourth = square * (3 * reach**2 + 3 * reach - 1) / 5
    wide = reach > 0
    spread = np.where(wide, n * fourth - square**2, 1.0)
    inside = np.abs(away) <= reach[:, None]
    by_level = np.where(wide[:, None], (fourth[:, None] - square[:, None] * away**2) / spread[:, None], 1.0)
    by_slope = away / square[:, None]
    by_bend = np.where(wide[:, None], (n[:, None] * away**2 - square[:, None]) / spread[:, None], 0.0)
    slope, bend = (sum_in_lanes(np.where(inside, part, 0.0) * net) for part in (by_slope, by_bend))
    bent = wide & (bend < 0)
    vertex = np.where(bent, np.clip(-slope / np.where(bent, 2 * bend, -1.0), -0.5 * reach, 0.5 * reach), 0.0)[:, None]
    by_bin = np.where(inside, by_level + vertex * by_slope + vertex**2 * by_bend, 0.0)
    return sum_in_lanes(by_bin * net), by_bin


def _crossing(
    net: Doubles, soft: Doubles, level: Doubles, outer: Indices, side: int, reach: Indices
) -> tuple[Doubles, Doubles, Doubles]:
    """Place where a line through ``2 reach`` bins crosses the level, what each bin has of its value there, its slope.

    ``outer`` is the first bin below the level, left (``side`` -1) or right (1) of the peak, in the smooth profile.
    """
    n_bins = net.shape[1]
    bins, crossed = np.arange(n_bins), (outer >= 0) & (outer < n_bins)
    inner = np.clip(outer - side, 0, n_bins - 1)
    low = np.clip(np.minimum(outer, inner), 0, n_bins - 2)
    for again in (True, True, False):
        first, last = np.maximum(low - reach + 1, 0), np.minimum(low + reach, n_bins - 1)
        inside = (bins >= first[:, None]) & (bins <= last[:, None])
        number, middle = last - first + 1.0, 0.5 * (first + last)
        away = np.where(inside, bins - middle[:, None], 0.0)
        square = np.maximum(sum_in_lanes(away * away), 0.5)  # that of two bins is the least
        mean, slope = sum_in_lanes(inside * net) / number, sum_in_lanes(away * net) / square
        falls = crossed & (slope * side < 0)
        place = np.clip(middle + (level - mean) / np.where(falls, slope, np.inf), first, last)
        if again:  # the line lies about the place where it crosses
            low = np.where(falls & (reach > 1), np.clip(np.floor(place).astype(np.intp), 0, n_bins - 2), low)
    by_bin = inside / number[:, None] + (place - middle)[:, None] * away / square[:, None]
    steep = np.where(falls, slope, np.nan)
    return np.where(falls, place, np.nan), by_bin, steep


def _on_bent_flank(
    net: Doubles, place: Doubles, slope: Doubles, height: Doubles, reach: Indices, far: Indices
) -> Doubles:
    """Return the crossing of a line where the profile itself crosses, if its flank bends more than a Gaussian's."""
    n_bins, each = net.shape[1], np.arange(len(net))
    at = np.floor(np.nan_to_num(place)).astype(np.intp)
    part = np.nan_to_num(place) - at
    inside = np.isfinite(place) & (reach > 1) & (at - far > 0) & (at + far + 2 < n_bins)

    def around(bin_: Indices) -> Doubles:
        """Mean of three bins about a place."""
        four = [net[each, np.clip(bin_ + away, 0, n_bins - 1)] for away in (-1, 0, 1, 2)]
        return (four[1] + four[2] + (1 - part) * four[0] + part * four[3]) / 3

    bend = around(at - far) - 2 * around(at) + around(at + far) - BENT * height
    spread = (4.0 * reach**2 - 1) / 12  # of the bins of the line
    below = STRAIGHTENED * 0.5 * spread * np.where(inside, np.maximum(bend, 0), 0.0) / far**2.0
    return np.asarray(place + np.clip(below / slope, -MOST * reach, MOST * reach))


def ambiguous(found: HalfMaximum, variance: Doubles, level: float = 0.5) -> Bools:
    """Profiles whose first crossing, or whose peak, may as well be another one, for the variance of their bins.

    A valley close to the half level or above it, or a second peak that is nearly as high.
    """
    compiled = native.function("ambiguous")
    if compiled is None or not found.profile.size:
        return _ambiguous_by_numpy(found, variance, level)
    doubtful = np.empty(len(found.profile), dtype=bool)
    arrays = (found.profile, np.ascontiguousarray(variance), found.height_by_bin, found.left, found.right, found.height)
    inputs = [array.ctypes.data for array in (*arrays, found.peak, found.smooth)]
    compiled(ctypes.byref(native.Doubts(*inputs, *found.profile.shape, level, doubtful.ctypes.data)))
    return doubtful


def _ambiguous_by_numpy(found: HalfMaximum, variance: Doubles, level: float) -> Bools:
    """Return the same, for all profiles at once."""
    n_frames, n_bins = found.profile.shape
    each, bins = np.arange(n_frames), np.arange(n_bins)
    half = level * found.height
    doubtful = np.zeros(n_frames, dtype=bool)
    with np.errstate(invalid="ignore"):
        for place, side in ((found.left, -1), (found.right, 1)):
            known = np.isfinite(place)
            at = np.clip(np.nan_to_num(place), 0, n_bins - 1).astype(np.intp)
            noise = np.sqrt(variance[each, at] / found.smooth)
            steps = [
                _beyond(found.profile, np.maximum(half + sign * ASTRAY * noise, 1e-300), found.peak)[max(side, 0)]
                for sign in (1, -1)
            ]
            steep = np.abs(found.profile[each, np.clip(at + 1, 0, n_bins - 1)] - found.profile[each, at])
            away = np.abs(steps[1] - steps[0])
            doubtful |= known & (away > 2.5 * 2 * ASTRAY * noise / np.maximum(steep, 1e-300) + 2)
            beside = (bins * side >= found.peak[:, None] * side) & (bins * side <= place[:, None] * side)
            rise = _risen(np.where(beside, found.profile, -np.inf), side)
            top_noise = np.sqrt(variance[each, found.peak] / found.smooth)
            doubtful |= (found.smooth > 1) & (rise > VALLEY * top_noise)
        outside = (bins < found.left[:, None] - 1) | (bins > found.right[:, None] + 1)
        rival = np.where(outside, found.profile, -np.inf).max(axis=1)
        spread = np.sqrt(sum_in_lanes(found.height_by_bin**2 * variance))
        doubtful |= rival > found.profile.max(axis=1) - 3 * spread
    return doubtful


def _risen(flank: Doubles, side: int) -> Doubles:
    """Return by how much profiles rise again on their way down to the left (-1) or right (1); -inf is not on it."""
    inwards = flank[:, ::-side]
    with np.errstate(invalid="ignore"):
        rise = np.maximum.accumulate(inwards, axis=1) - inwards
    return np.asarray(np.where(np.isfinite(inwards), rise, 0.0).max(axis=1, initial=0.0))
