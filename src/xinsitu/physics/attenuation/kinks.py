"""The curves that one side of a place is averaged over: smooth ones, and straight lines with a kink near its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .factors import Floats

Fit = tuple[Floats, Floats, Floats, Floats, Floats]
"""Dims (roi, curve): level and slope, their covariance, variance of the walk, prior and logarithm of the likelihood."""
PLACES = 10
"""Frames from the end of a side between any two of which growth may begin or stop."""
SHARP = np.array([0.003, 0.02, 0.15])
"""Standard deviations of what the slope changes by at a kink, as parts of the level per frame."""
KINKED = 0.07
"""How likely a kink between two frames is beforehand, over a straight line without."""
_ROUNDED = 1e-9
"""Part of what a hinge is known by that may be rounded away where a side without noise is followed by it closely."""


@dataclass(frozen=True)
class Curves:
    """Curves through one side, dims ``(roi, curve)``.

    Parameters
    ----------
    chance
        Of each curve; those of one ROI sum up to one.
    found, covariance
        Level and slope at the end, and their covariance; dims ``(roi, curve, 2)`` and ``(roi, curve, 2, 2)``.
    wander
        Variance of the walk per cubic frame.
    evidence
        Logarithm of the likelihood of the side, dims ``(roi)``.
    together
        Whether the chances are those of all ROIs at once.
    """

    chance: Floats
    found: Floats
    covariance: Floats
    wander: Floats
    evidence: Floats
    together: bool

    @classmethod
    def weighed(cls, fits: Sequence[Fit], *, together: bool) -> Curves:
        """Weigh curves by their likelihood, that of all ROIs at once where they are of one kind."""
        found, covariance, wander, prior, likely = (np.concatenate(each, axis=1) for each in zip(*fits, strict=True))
        if together:
            likely = np.broadcast_to(likely.sum(axis=0), likely.shape)
        best = likely.max(axis=1, keepdims=True)
        chance = np.exp(likely - best) * prior
        total = chance.sum(axis=1, keepdims=True)
        return cls(chance / total, found, covariance, wander, (best + np.log(total))[:, 0], together)

    def moments(self) -> tuple[Floats, Floats]:
        """Mean level and slope, and their covariance, that of which curve it is included."""
        mean = np.einsum("rc,rci->ri", self.chance, self.found)
        away = self.found - mean[:, None]
        return mean, np.einsum("rc,rcij->rij", self.chance, self.covariance + away[..., :, None] * away[..., None, :])

    def of(self, rois: slice) -> Curves:
        """Return those of some of the ROIs."""
        own = (self.chance[rois], self.found[rois], self.covariance[rois], self.wander[rois], self.evidence[rois])
        return Curves(*own, self.together)

    def likely(self, least: float) -> Curves:
        """Return those that are not too unlikely in every ROI; all where none can be told."""
        some = (self.chance > least).any(axis=0)
        some |= not some.any()
        own = (self.chance[:, some], self.found[:, some], self.covariance[:, some], self.wander[:, some])
        return Curves(*own, self.evidence, self.together)


def kinked_lines(y: Floats, weight: Floats, distance: Floats, scale: Floats, least: Floats, straight: float) -> Fit:
    """Fit straight lines with a kink.

    A kink between two frames is two hinges, one at either of them: whatever the strengths of both, the frames at the
    end tell level and slope alone.

    Parameters
    ----------
    y, weight
        Means of the bins and their inverse standard deviations, dims ``(bin, roi)``.
    distance
        Frames of each bin from the end.
    scale
        Level of each ROI, of which the strength of a kink is a part.
    least
        Precision of level and slope beforehand, dims ``(roi, 2)``.
    straight
        How likely a straight line is beforehand.
    """
    rois = scale.size
    hinges = [np.maximum(distance - at, 0.0) for at in range(PLACES + 1)]
    columns = weight.T[:, :, None] * np.stack([np.ones(distance.size), -distance, *hinges], axis=1)
    seen = (weight * y).T
    normal = np.einsum("rmi,rmj->rij", columns, columns)
    normal[:, [0, 1], [0, 1]] += least
    projected = np.einsum("rmi,rm->ri", columns, seen)
    line, across = normal[:, :2, :2], normal[:, :2, 2:]
    covariance, determinant = inverse(line)
    found = np.einsum("rij,rj->ri", covariance, projected[:, :2])
    misfit = (seen**2).sum(axis=1) - (projected[:, :2] * found).sum(axis=1)
    moves = np.einsum("rij,rjk->rki", covariance, across)  # level and slope of the line, per hinge
    free = normal[:, 2:, 2:] - np.einsum("rik,rli->rkl", across, moves)
    every = np.arange(PLACES + 1)
    free[:, every, every] = np.maximum(free[:, every, every], 0.0) + _ROUNDED * normal[:, every + 2, every + 2]
    left = projected[:, 2:] - np.einsum("rik,ri->rk", across, found)
    # dims (roi, place, strength), and of the two hinges
    pair = np.arange(PLACES)[:, None] + np.arange(2)
    strength = (SHARP * scale[:, None]) ** 2 / 2
    own = free[:, pair[:, :, None], pair[:, None, :]][:, :, None] + np.eye(2) / strength[:, None, :, None, None]
    left, moves = left[:, pair], moves[:, pair]
    bends_covariance, bends_determinant = inverse(own)
    bends = np.einsum("rksij,rkj->rksi", bends_covariance, left)
    gain = np.einsum("rksi,rki->rks", bends, left) - np.log(bends_determinant) - 2 * np.log(strength)[:, None]
    kinked = found[:, None, None] - np.einsum("rksi,rkij->rksj", bends, moves)
    more = np.einsum("rkim,rksij,rkjn->rksmn", moves, bends_covariance, moves)
    likely = 0.5 * (gain - (np.log(determinant) + misfit)[:, None, None])
    shape = (rois, PLACES * SHARP.size)
    return (
        kinked.reshape(*shape, 2),
        (covariance[:, None, None] + more).reshape(*shape, 2, 2),
        np.zeros(shape),
        np.full(shape, KINKED * straight / SHARP.size),
        likely.reshape(shape),
    )


def inverse(matrix: Floats) -> tuple[Floats, Floats]:
    """Inverse and determinant of symmetric matrices of two rows.

    Examples
    --------
    >>> inverse(np.array([[2.0, 1.0], [1.0, 1.0]]))
    (array([[ 1., -1.],
           [-1.,  2.]]), np.float64(1.0))
    """
    one, both, other = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    determinant = one * other - both**2
    adjugate = np.stack([other, -both, -both, one], axis=-1).reshape(matrix.shape)
    return adjugate / determinant[..., None, None], determinant
