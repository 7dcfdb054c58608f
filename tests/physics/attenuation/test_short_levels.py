"""How long a level has to be, between two steps, to be one."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu.physics.attenuation.transitions import _is_level


@pytest.mark.parametrize(
    ("counts", "level"),
    [
        ([5000], False),
        ([5000, 5010], True),
        ([5000, 3000], False),
        ([9000, 6000, 3000, 2000], False),
        ([4000, 4030, 3980, 4010], True),
        ([9000, 7000, 5000, 3000, 2000], True),  # five frames are more than a filter that moves
    ],
)
def test_a_few_frames_are_a_level_only_if_they_agree(counts: list[float], level: bool) -> None:
    values = np.array(counts, dtype=float)[:, None] * [1.0, 0.5]
    assert _is_level(values, np.sqrt(values)) is level
