"""Smooth curves on the two sides of a place, to tell a step from a kink.

Each side is a straight line on which an integrated random walk is laid, the prior of a cubic smoothing spline [1]_: how
far the growth may bend is estimated from the side itself, and what is not known of it is part of the error. Two sides
that meet within the gap between them are a continuous curve with a kink; only where they stay apart over the whole gap
is a step needed.

References
----------
.. [1] G. Wahba, J. R. Stat. Soc. B 40, 364 (1978), doi 10.1111/j.2517-6161.1978.tb01050.x; smoothness by restricted
   maximum likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dsyevd

from .factors import Floats
from .kinks import SHARP, Curves, Fit, inverse, kinked_lines

_BINS = (12, 6, 4, 3, 3)
"""Numbers of bins of 1, 2, 4, 8, 16 frames into which a side is summed, from its end outwards: 112 frames at most."""
REACH = sum(number * 2**power for power, number in enumerate(_BINS))
"""Frames of a side that are looked at."""
_LENGTHS = 2.0 ** np.arange(7, -8, -1)
"""Frames over which the growth bends away by one standard deviation of a frame; a straight line comes on top."""
_STRAIGHT = 30.0
"""How much likelier a straight line is beforehand than each of these; three times that where all ROIs tell."""
_BENT = 0.01
"""Relative change of the slope per frame above which a curve is less and less likely beforehand."""
_FAINT = 6.0
"""Standard deviations of a frame above which the level of every ROI must be, so that together they tell how smooth."""
_NEAR_ONLY = (np.inf, 6.0)
"""Frames over which the bending fades away from the end of a side: never, or as growth that saturates behind it."""
_LIKE = 4.0
"""A side ends where its level is so many times larger or smaller than at its end: the walk is no longer the same."""
_SHOWN = 2
"""Steps from the end to where a kink may be that a side tells: two frames lie on a line even if both are half way."""
PAUSE = 10
"""Frames that would have fitted into a pause between two measurements, from which growth may have stopped in it."""
_STEEPEST = 2.0
"""Relative slope per frame that is unheard of; it bounds what a side of one frame may do."""


@dataclass(frozen=True)
class Branch:
    """A smooth side of a place, seen from its end outwards; all dims ``(roi)`` but the covariance.

    Parameters
    ----------
    level, slope
        At the last frame of the side and per frame, positive where the curve rises towards the gap.
    covariance
        Of the two, dims ``(roi, 2, 2)``.
    wander
        Variance of the walk per cubic frame: what a curve that is carried on into the gap becomes uncertain by.
    frames
        Frames of a straight line as precise as this, dims ``()``.
    curves
        What is averaged over, and the likelihood of the side.
    """

    level: Floats
    slope: Floats
    covariance: Floats
    wander: Floats
    frames: int
    curves: Curves

    @property
    def evidence(self) -> Floats:
        """Logarithm of the likelihood of the side, its smoothness averaged over; dims ``(roi)``."""
        return self.curves.evidence

    def of(self, rois: slice) -> Branch:
        """Return that of some of the ROIs."""
        own = (self.level[rois], self.slope[rois], self.covariance[rois], self.wander[rois])
        return Branch(*own, self.frames, self.curves.of(rois))

    def at(self, distance: float) -> tuple[Floats, Floats]:
        """Level, and its variance, so many frames behind the end."""
        one, both, other = self.covariance[:, 0, 0], self.covariance[:, 0, 1], self.covariance[:, 1, 1]
        variance = one + 2 * distance * both + distance**2 * other + self.wander * abs(distance) ** 3 / 3
        return self.level + distance * self.slope, variance


def branch(values: Floats, noise: Floats, *, single: bool = False, alike: bool = False) -> Branch:
    """Fit one side.

    Parameters
    ----------
    values, noise
        Intensities and their standard deviations, dims ``(frame, roi)``, the end first; NaN is left out.
    single
        Take every frame for itself; otherwise those far from the end are summed.
    alike
        The ROIs, as parts of their level, are as smooth as each other: all of them tell how smooth. A kink some frames
        away is looked for, too.

    Examples
    --------
    >>> side = branch(100.0 - np.arange(30.0)[:, None], np.ones((30, 1)))
    >>> side.level.round(6), side.slope.round(6), side.at(2.0)[0].round(6)
    (array([100.]), array([1.]), array([102.]))
    """
    starts, distance, walks = _bins(len(values[:REACH]), single)
    y, weight = _binned(values[:REACH], noise[:REACH], starts, cut=not single)
    scale, bounds = _scales(y)
    # q: variance of the walk per cubic frame, in units of what one frame is uncertain by
    strongest = np.max(weight[: min(distance.size, 6)] ** 2, axis=0, initial=0.0)
    first = 1 / np.where(strongest > 0, strongest, 1.0)
    q = first[:, None] * np.r_[0.0, _LENGTHS**-3.0]
    together = alike and bool((strongest > 0).all() and (scale**2 > _FAINT**2 * first).all())
    if together:
        least = (first / scale**2)[strongest > 0].min()
        q = np.where(strongest > 0, least * scale**2, 1.0)[:, None] * np.r_[0.0, _LENGTHS**-3.0]
    bent = q / ((3 * _BENT if single else _BENT) * scale[:, None]) ** 2
    straight = (3 if together else 1) * _STRAIGHT
    prior = np.r_[straight, np.ones(_LENGTHS.size)] / (1 + bent)
    fits = [_smooth(y, weight, distance, walks, q, bounds, prior)]
    if alike:
        fits.append(kinked_lines(y, weight, distance, scale, bounds, straight))
    curves = Curves.weighed(fits, together=together)
    mean, total = curves.moments()
    used = 4 * np.nanmedian(first / np.maximum(total[:, 0, 0], 1e-300))
    return Branch(
        mean[:, 0],
        mean[:, 1],
        total,
        (curves.chance * curves.wander).sum(axis=1),
        int(np.clip(np.nan_to_num(used, nan=1.0), 1, len(values))),
        curves,
    )


def bent(values: Floats, noise: Floats) -> Floats:
    """Logarithm of the likelihood of straight lines with a kink that several frames behind it show.

    As that of :attr:`Branch.evidence`, but for how likely a kink is; dims ``(roi, curve)``.

    Parameters
    ----------
    values, noise
        Intensities and their standard deviations, dims ``(frame, roi)``, the end first; NaN is left out.

    Examples
    --------
    >>> rising = np.maximum(100.0, 130.0 - 5 * np.arange(20.0))[:, None]
    >>> bool(bent(rising, np.ones((20, 1))).max() > branch(rising, np.ones((20, 1)), single=True).evidence[0])
    True
    """
    starts, distance, _ = _bins(len(values[:REACH]), True)
    y, weight = _binned(values[:REACH], noise[:REACH], starts, cut=False)
    *_, likely = kinked_lines(y, weight, distance, *_scales(y), 1.0)
    return np.asarray(np.log(_STRAIGHT) + likely[:, _SHOWN * SHARP.size :])


def _scales(y: Floats) -> tuple[Floats, Floats]:
    """Level of each ROI, and the precision of level and slope beforehand."""
    scale = np.max(np.abs(y[:6]), axis=0, initial=0.0)
    scale = np.where(scale > 0, scale, 1.0)
    return scale, np.stack([1e-12 / scale**2, 1 / (_STEEPEST * scale) ** 2], axis=1)


def _smooth(y: Floats, weight: Floats, distance: Floats, walks: Floats, q: Floats, least: Floats, prior: Floats) -> Fit:
    """Fit a line with each of some walks, as strong as each of some variances; ``least``: precisions beforehand."""
    whitened = weight.T[:, None, :, None] * walks * weight.T[:, None, None, :]
    each = [[dsyevd(one) for one in own] for own in whitened]  # numpy's eigh starts threads for tiny matrices
    spread = np.array([[one[0] for one in own] for own in each])  # (roi, walk, m)
    axes = np.array([[one[1] for one in own] for own in each])
    design = np.stack([np.ones(distance.size), -distance], axis=1)
    seen = np.einsum("rwij,ri->rwj", axes, (weight * y).T)
    line = np.einsum("rwij,rik->rwjk", axes, weight.T[:, :, None] * design)
    damped = 1 / (1 + q[:, None, :, None] * np.maximum(spread, 0.0)[:, :, None, :])
    normal = np.einsum("rwqm,rwmi,rwmj->rwqij", damped, line, line)
    normal[..., [0, 1], [0, 1]] += least[:, None, None]
    projected = np.einsum("rwqm,rwmi,rwm->rwqi", damped, line, seen)
    covariance, determinant = inverse(normal)
    found = np.einsum("rwqij,rwqj->rwqi", covariance, projected)
    misfit = np.einsum("rwqm,rwm,rwm->rwq", damped, seen, seen) - np.einsum("rwqi,rwqi->rwq", projected, found)
    likely = 0.5 * (np.log(damped).sum(axis=-1) - np.log(determinant) - misfit)
    shape = (len(q), -1)
    wander, weights = (np.broadcast_to(one[:, None], likely.shape).reshape(shape) for one in (q, prior / len(walks)))
    return found.reshape(*shape, 2), covariance.reshape(*shape, 2, 2), wander, weights, likely.reshape(shape)


def _binned(values: Floats, noise: Floats, starts: npt.NDArray[np.intp], *, cut: bool) -> tuple[Floats, Floats]:
    """Means and inverse standard deviations (bin, roi) of a side; weight 0 is left out."""
    known = np.isfinite(values) & (noise > 0)
    number = np.add.reduceat(known.astype(float), starts, axis=0)
    mean = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0) / np.maximum(number, 1)
    variance = np.add.reduceat(np.where(known, noise**2, 0.0), starts, axis=0)
    weight = np.where(variance > 0, number / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)
    if not cut:
        return mean, weight
    near = slice(0, min(6, len(mean)))
    weighed = weight[near] ** 2
    level = (weighed * mean[near]).sum(axis=0) / np.maximum(weighed.sum(axis=0), 1e-300)
    far = np.abs(mean) * weight > 5
    other = far & ((mean > _LIKE * np.abs(level)) | (mean * _LIKE < level))
    other[near] = False
    weight[np.logical_or.accumulate(other, axis=0)] = 0.0
    return mean, weight


@lru_cache(maxsize=256)
def _bins(frames: int, single: bool) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
    """First frame of each bin, the distance of its middle from the end, and the covariance of the walk there."""
    sizes = [1] * frames if single else [2**power for power, number in enumerate(_BINS) for _ in range(number)]
    starts = np.cumsum([0, *sizes])
    starts = starts[starts < frames]
    d = (starts + np.r_[starts[1:], frames] - 1) / 2
    return starts, d, np.stack([_walk(d, fades) for fades in (_NEAR_ONLY[:1] if single else _NEAR_ONLY)])


def _walk(d: Floats, fades: float) -> Floats:
    """Covariance of a walk twice integrated whose steps become less with the distance: exp(-s / fades)."""
    near, far = np.minimum(d[:, None], d), np.maximum(d[:, None], d)
    if not np.isfinite(fades):
        return np.asarray(near**2 * (3 * far - near) / 6)
    x = near / fades
    none, one, two = -np.expm1(-x), 1 - np.exp(-x) * (1 + x), 2 - np.exp(-x) * (x**2 + 2 * x + 2)
    return fades * near * far * none - fades**2 * (near + far) * one + fades**3 * two


@dataclass(frozen=True)
class Step:
    """What lies between two sides.

    Parameters
    ----------
    significance
        Of the step common to all ROIs half way, in standard deviations, with its sign.
    beyond_a_kink
        The least of it over the gap; 0 where the two curves meet there.
    frames
        Frames on each side of straight lines as precise as the curves.
    """

    significance: float
    beyond_a_kink: float
    frames: int


def step_between(
    before: Branch, after: Branch, steps: float, gap: float, *, tolerance: float, scaled: bool = False
) -> Step:
    """Compare two sides over the gap between them.

    Parameters
    ----------
    before, after
        The sides.
    steps, gap
        From the last frame before to the first one after: steps of the frames, and frames that would fit in between in
        time. In a pause growth may have gone on all the time or not at all.
    tolerance
        How far (relative) ROIs may disagree beyond counting.
    scaled
        The sides are those of inverse hyperbolic sines.
    """
    wide = steps if gap - steps > PAUSE else gap
    first, middle, last = (
        _common(before.at(one * wide), after.at(wide - one * wide), tolerance, scaled) for one in (0, 0.5, 1)
    )
    beyond = 0.0 if first * last <= 0 else float(np.sign(middle) * min(abs(first), abs(middle), abs(last)))
    return Step(middle, beyond, min(before.frames, after.frames))


def _common(before: tuple[Floats, Floats], after: tuple[Floats, Floats], tolerance: float, scaled: bool) -> float:
    """Significance of the relative step that all ROIs share."""
    (left, left_variance), (right, right_variance) = before, after
    if scaled:
        left_variance, right_variance = np.cosh(left) ** 2 * left_variance, np.cosh(right) ** 2 * right_variance
        left, right = np.sinh(left), np.sinh(right)
    step, weight = relative_steps(left, right, left_variance + right_variance, tolerance)
    return float((weight * step).sum() / np.sqrt(max(float(weight.sum()), 1e-300)))


def relative_steps(left: Floats, right: Floats, variance: Floats, tolerance: float) -> tuple[Floats, Floats]:
    """Return steps over the larger level, between -1 and 1, and their weights; a level of zero does no harm."""
    level = np.fmax(left, right)
    usable = np.isfinite(left + right + variance) & (level > 0)
    level = np.where(usable, level, 1.0)
    step = np.where(usable, np.clip((left - right) / level, -1, 1), 0.0)
    spread = np.where(usable, variance, 1.0) / level**2 + (tolerance * step) ** 2
    return step, usable / np.maximum(spread, 1e-300)
