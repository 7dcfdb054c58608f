"""Noise of a beam that wanders: it goes on from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CorrelatedNoise:
    """Noise that goes on from frame to frame: a part of it that decays by ``decay`` in each, the rest white."""

    decay: float = 0.0
    white: float = 1.0

    @property
    def innovation(self) -> tuple[float, float]:
        """Variance of what those before a frame do not foretell, and the part of the last such that is taken back [1]_.

        References
        ----------
        .. [1] Box, Jenkins, Reinsel, Time Series Analysis, 3rd ed., A4.3: white noise on a first-order process is
           ARMA(1, 1).
        """
        if not self.decay:
            return 1.0, 0.0
        once = -self.decay * self.white
        twice = (1 - self.white) * (1 - self.decay**2) + self.white * (1 + self.decay**2)
        variance = (twice + np.sqrt(twice**2 - 4 * once**2)) / 2
        return float(variance), float(once / variance)

    def without(self, columns: Doubles) -> Doubles:
        """Return what is new in each frame ``(frame, column)``, of one variance: noise with this memory becomes white.

        Examples
        --------
        >>> CorrelatedNoise(0.5, 0.0).without(np.array([[4.0], [2.0], [1.0]])).round(9).tolist()
        [[4.0], [0.0], [0.0]]
        """
        if not self.decay:
            return columns
        from scipy.signal import lfilter  # slow to load

        variance, back = self.innovation
        before = -(self.decay + back * variance) * columns[:1]
        new, _ = lfilter([1.0, -self.decay], [1.0, back], columns[1:], axis=0, zi=before)
        return np.concatenate([columns[:1], new / np.sqrt(variance)])

    def likelihood(self, design: Doubles, seen: Doubles) -> float:
        """Log-likelihood of this memory, whatever the parameters are (REML), as the fit takes some of the noise [1]_.

        References
        ----------
        .. [1] D. A. Harville, J. Am. Stat. Assoc. 72, 320 (1977), doi 10.1080/01621459.1977.10480998.
        """
        new = self.without(np.column_stack([design, seen]))
        triangle = np.abs(np.diag(np.linalg.qr(new, mode="r")))
        freedom = seen.size - design.shape[1]
        with np.errstate(divide="ignore"):  # frames that are all alike leave nothing
            spread = freedom * np.log(triangle[-1]) + np.log(np.maximum(triangle[:-1], 1e-300)).sum()
        return -float(spread + (seen.size - 1) * np.log(self.innovation[0]) / 2)


WHITE = CorrelatedNoise()
KINDS = (
    WHITE,
    *(CorrelatedNoise(decay, white) for decay in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98) for white in (0, 0.1, 0.3, 0.6)),
)
"""What is tried."""
