"""Numbers of ROIs as blocks give them, ``(frame, roi, quantity)``: which there are, and all frames of one by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xinsitu.kernels import Doubles
from xinsitu.schema import FURTHER

FURTHER_OF = {name: what for what, names in FURTHER.items() for name in names}
"""Quantities that are measured where they are asked for, and the word that asks."""
BOTH = ("intensity", "background", "maximum"), ("com_y", "com_x", "fwhm_y", "fwhm_x")
MEANT = ("mean", "sigma_y", "sigma_x", "skewness_y", "skewness_x")
REPORTED = (
    *BOTH[0], "maximum_y", "maximum_x", *BOTH[1], *(f"{name}_errors" for name in (*BOTH[0], *BOTH[1])),
    "mean", "minimum", "std", "brightest", *MEANT[1:], *(f"{name}_errors" for name in MEANT),
    "median_bias", "n_valid", "n_saturated", "quality",
)  # fmt: skip
"""What variables are made of, in their order."""
SHARED = ("flat_variance", "frame_variance", "level_variance")
"""Relative variances that intensities have from the flat field and from what they share; variance of the level."""
BEHIND_MEDIAN = ("median_com_y", "median_com_x", "median_fwhm_y", "median_fwhm_x")
"""Standard errors by which a plain median moved positions and widths, in frames that were asked."""
AT_EDGES = tuple(
    f"{name}{end}" for name in ("tail_y", "tail_x", "slope_y", "slope_x", "spill") for end in ("", "_variance")
)
"""Standard errors by which the ROI's edges, and what ROIs of its background hold of tails, contradict its background,
each with its variance."""
BASIS = ("frame_level_counts", "counted", "sparse", "significance", "clear", "top_clear")
"""What flags and remarks are based on.

Raw counts in the background regions of the frame, filtered counts per pixel of the ROI, raw ones without hot pixels,
the standard errors that intensity and peak are high, and those by which the highest pixel lies above the next one.
"""


@dataclass(frozen=True)
class Columns:
    """Names of the last axis, so many as a measurement has; profiles may follow."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, asked: Iterable[str], *, median: bool, edges: bool) -> Columns:
        """Return the columns of quantities that are asked for by word, of what a median did, and of the ROIs' edges."""
        words = set(asked)
        reported = [
            name
            for name in REPORTED
            if FURTHER_OF.get(name.removesuffix("_errors"), "") in {"", *words} and (median or name != "median_bias")
        ]
        return cls((*reported, *SHARED, *BASIS, *(BEHIND_MEDIAN if median else ()), *(AT_EDGES if edges else ())))

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each stands."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def kept(self) -> Columns:
        """Those that are left when flags are set and remarks are made: the first ones."""
        return Columns(self.names[: self.place[SHARED[-1]] + 1])

    def __len__(self) -> int:
        return len(self.names)


class Numbers:
    """All frames of each column, out of the pieces that blocks have made: they are never put together as a whole."""

    def __init__(self, packed: Any, columns: Columns) -> None:  # noqa: ANN401 - blocks in lists of lists, as dask nests them
        self.pieces: Sequence[Doubles] = tuple(_flat(packed))
        self.columns = columns

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __contains__(self, name: str) -> bool:
        return name in self.columns.place

    def __getitem__(self, name: str) -> Doubles:
        place = self.columns.place[name]
        parts = [piece[:, :, place] for piece in self.pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _flat(packed: Any) -> Iterator[Doubles]:  # noqa: ANN401
    if isinstance(packed, np.ndarray):
        yield packed
    else:
        for part in packed:
            yield from _flat(part)
