"""When a fit has arrived because nothing is left, and when it has only come to the edge of what a shape can be."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu.kernels.least_squares import fit

T = np.linspace(0, 1, 30)


def rising(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line that cannot fall: ``1e6 + sqrt(p) t``."""
    root = np.sqrt(p[:, :1])
    return 1e6 + root * T, (0.5 / root * T)[:, None, :]


@pytest.mark.parametrize("slope", [-1e-2, -1.0, -1e2])
def test_a_small_remainder_is_no_exact_fit(slope: float) -> None:
    """What is left is 1e-16 to 1e-8 of the sum of squares, and still what the shape cannot follow."""
    found = fit(rising, (1e6 + slope * T)[None], np.ones((1, T.size)), np.array([[1e-4]]))
    assert not found.arrived[0]


@pytest.mark.parametrize("slope", [1e-2, 1.0, 1e2])
def test_an_exact_fit_has_arrived(slope: float) -> None:
    found = fit(rising, (1e6 + slope * T)[None], np.ones((1, T.size)), np.array([[2 * slope**2]]))
    assert found.arrived[0]
    assert found.parameters[0, 0] == pytest.approx(slope**2, rel=1e-5)
