"""What is done where nobody says otherwise; loaded by the command line's help, so it loads nothing."""

import re
from collections.abc import Mapping
from typing import Literal

MEDIAN, OUTLIERS = 3, 5.0
"""Size of the median where numbers are made, and the standard deviations from which it replaces a pixel."""
CHUNK_BYTES = 24 * 2**20
"""Raw pixels that are read, worked on and written together: 20 to 100 frames of a PILATUS 100K were the fastest; one
frame per task is 8 times slower."""
NOT_MEASURED = re.compile(r"test|flat|dark|mask|back|calib|empty", re.IGNORECASE)
"""How names of folders in a sample begin that the explorer takes for no measurements of it."""

PeakShape = Literal[
    "gaussian", "pixel_gaussian", "lorentzian", "pseudo_voigt", "voigt", "split_gaussian", "split_pseudo_voigt"
]
"""Peaks that are fitted."""
MOST_PEAKS = 4
"""In one profile."""

FURTHER: Mapping[str, tuple[str, ...]] = {
    "mean": ("mean",),
    "minimum": ("minimum",),
    "std": ("std",),
    "brightest": ("brightest",),
    "sigma": ("sigma_y", "sigma_x"),
    "skewness": ("skewness_y", "skewness_x"),
}
"""What a ROI measures only where it is asked to, and the quantities that this is."""


def frames_per_block(frame_bytes: int) -> int:
    """Return the number of whole frames that make about 24 MiB.

    Examples
    --------
    >>> frames_per_block(4 * 195 * 487)
    66
    """
    return max(1, round(CHUNK_BYTES / max(1, frame_bytes)))
