"""How alike frames, or profiles, are: every one with every other."""

from __future__ import annotations

import numpy as np

from .pixels import Doubles, Floats


def alike(rows: Floats, weights: Doubles | None = None, *, about_mean: bool = True) -> Floats:
    """Return how alike rows ``(frame, pixel)`` are, ``(frame, frame)`` float32.

    ``about_mean``: Pearson's correlation, ``sum a b / sqrt(sum a^2 sum b^2)`` of ``a``, ``b`` less their means; else
    the two-time correlation of intensities, ``<a b> / (<a> <b>)``. Means are over the pixels that are known in all
    frames but those of which no pixel is, weighted; these are NaN, as is a frame that is even, or dark.

    Examples
    --------
    >>> rows = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [3.0, 2.0, 1.0]], dtype="float32")
    >>> alike(rows).round(6).tolist()
    [[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    """
    known = np.isfinite(rows)
    there = known.any(axis=1)
    kept = known[there].all(axis=0) if there.any() else known.any(axis=0)
    weights = np.ones(rows.shape[1]) if weights is None else weights
    kept &= weights > 0
    share = weights[kept] / max(float(weights[kept].sum()), 1e-300)
    away = np.array(rows[:, kept], dtype=np.float32)
    mean = np.einsum("np,p->n", away, share, dtype=np.float64)
    away -= mean[:, None].astype(np.float32)
    mean += (rest := np.einsum("np,p->n", away, share, dtype=np.float64))  # what float32 left of the mean
    away -= rest[:, None].astype(np.float32)
    away *= np.sqrt(share).astype(np.float32)
    size = np.sqrt(np.einsum("np,np->n", away, away, dtype=np.float64)) if about_mean else mean
    unknown = ~there | (size == 0)
    away /= np.where(unknown, np.nan, size)[:, None].astype(np.float32)
    result = np.clip(away @ away.T, -1, 1) if about_mean else 1 + away @ away.T
    result[unknown] = result[:, unknown] = np.nan  # without a pixel in common, too, whose sum would be nothing
    return np.asarray(result)
