"""Kinds of ROIs and their colours: those of the old tool for one quantity, colour-blind safe ones for everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from xinsitu.values import Roi


@dataclass(frozen=True)
class Kind:
    """What a ROI is for."""

    label: str
    colors: tuple[str, ...]
    measure: tuple[str, ...] | None
    role: Literal["signal", "background"] = "signal"


OKABE_ITO = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Colours that people who see red and green alike can tell apart (M. Okabe and K. Ito, 2008)."""
KINDS: Mapping[str, Kind] = {
    "all": Kind("everything", OKABE_ITO, None),
    "com": Kind("centre of mass", ("yellow",), ("com",)),
    "fwhm": Kind("FWHM", ("orange",), ("fwhm",)),
    "intensity": Kind("intensity", ("red", "limegreen"), ("intensity",)),
    "background": Kind("background", ("white",), ("intensity", "background"), "background"),
}


def kind_of(roi: Roi) -> str:
    """Kind of a ROI.

    Examples
    --------
    >>> kind_of(Roi("WZ", y=(0, 2), x=(0, 2))), kind_of(Roi("bg", y=(0, 2), x=(0, 2), role="background"))
    ('all', 'background')
    """
    if roi.role == "background":
        return "background"
    for name, kind in KINDS.items():
        if kind.role == "signal" and roi.measure == kind.measure:
            return name
    return "all"


def as_kind(roi: Roi, name: str, others: Iterable[Roi] = ()) -> Roi:
    """Return the ROI as one of another kind, in a colour of that kind that the others do not have yet."""
    kind = KINDS[name]
    taken = {other.color for other in others if other.name != roi.name}
    color = next((color for color in kind.colors if color not in taken), kind.colors[-1])
    return replace(roi, measure=kind.measure, role=kind.role, color=color)


def color_of(roi: Roi, position: int = 0) -> str:
    """Colour of a ROI on the image: its own, or one of its kind."""
    colors = KINDS[kind_of(roi)].colors
    return roi.color or colors[position % len(colors)]
