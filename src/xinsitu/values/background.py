"""Empty areas of the detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xinsitu.errors import RoiError

from .fields import Bounds, Box, bounds
from .rois import Roi


@dataclass(frozen=True)
class Background:
    """An empty area of the detector, and what is done with its mean.

    Parameters
    ----------
    y, x
        Bounds of one region.
    mode
        ``divide`` (what the BL11XU scripts did: the result is a ratio) or ``subtract`` (counts stay counts).
    regions
        Several ``(y, x)`` pairs of bounds instead of one; their pixels are pooled.
    normalise
        ``mean``: with ``divide``, divide by the background over its own time mean, so that counts stay counts.

    Examples
    --------
    >>> Background(y=(70, 90), x=(150, 170)).boxes
    (((70, 90), (150, 170)),)
    """

    y: Bounds | None = None
    x: Bounds | None = None
    mode: Literal["divide", "subtract"] = "divide"
    regions: tuple[Box, ...] | None = None
    normalise: Literal["mean"] | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("divide", "subtract"):
            raise RoiError(f"the mode of a background is divide or subtract, not {self.mode!r}")
        if self.normalise not in (None, "mean"):
            raise RoiError(f"a background can be normalised by its 'mean', not by {self.normalise!r}")
        if (self.regions is None) == (self.y is None and self.x is None):
            raise RoiError("a background needs either y and x, or regions")
        if self.regions is None:
            object.__setattr__(self, "y", bounds(self.y, "y of the background"))
            object.__setattr__(self, "x", bounds(self.x, "x of the background"))
        else:
            object.__setattr__(self, "regions", tuple(_box(region) for region in self.regions))
            if not self.regions:
                raise RoiError("a background needs at least one region")

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Every region as ``(y, x)`` bounds."""
        return self.regions or (_box((self.y, self.x)),)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "regions": [{"y": list(y), "x": list(x)} for y, x in self.boxes],
            "mode": self.mode,
            "normalise": self.normalise,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Background:
        """Read the JSON form: ``regions``, or ``y`` and ``x``.

        Raises
        ------
        RoiError
            A key is unknown or its value makes no sense.
        """
        if strange := sorted(set(document) - {"y", "x", "mode", "regions", "normalise"}):
            raise RoiError(f"a background has no {', '.join(strange)}; it has y, x, regions, mode, normalise")
        regions = document.get("regions")
        return cls(
            y=document.get("y"),
            x=document.get("x"),
            mode=document.get("mode") or "divide",
            regions=None if regions is None else tuple(regions),
            normalise=document.get("normalise"),
        )


def _box(region: object) -> Box:
    if isinstance(region, Roi):
        return region.y, region.x
    if isinstance(region, Mapping) and {"y", "x"} <= set(region):
        return bounds(region["y"], "y of the background"), bounds(region["x"], "x of the background")
    if isinstance(region, Sequence) and len(region) == 2:
        return bounds(region[0], "y of the background"), bounds(region[1], "x of the background")
    raise RoiError(f"a background region is a pair (y, x) of bounds, not {region!r}")
