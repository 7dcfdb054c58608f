"""What came out of a file of another program, and what could not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from xinsitu.errors import DocumentError, RoiError
from xinsitu.values import Roi, RoiSet
from xinsitu.values.roi_sets import drawn_within


@dataclass
class Carried:
    """ROIs of a file of another program, in order, and sentences on what they lost."""

    program: str
    rois: list[Roi] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left_out: int = 0
    _taken: dict[str, int] = field(default_factory=dict)
    _drawn: int = 0

    def leave(self, name: str, why: str) -> None:
        """Go on without a ROI, and say why."""
        self.lost.append(f"{name!r} is left out: {why}")
        self.left_out += 1

    def add(self, name: str, make: Callable[[], Roi]) -> None:
        """Take a ROI, under a name of its own; or say why it cannot be one."""
        try:
            roi = make()
        except RoiError as fault:
            self.leave(name, str(fault).replace(f" of ROI {name!r}", "").replace(f"ROI {name!r} ", ""))
            return
        own = roi.name
        while own in self._taken:
            self._taken[roi.name] += 1
            own = f"{roi.name} ({self._taken[roi.name]})"
        self._taken[own] = 1
        self._drawn = drawn_within(roi, len(self.rois), self._drawn)
        self.rois.append(roi if own == roi.name else replace(roi, name=own))

    def as_set(self, path: object) -> RoiSet:
        """Return what there is."""
        if not self.rois:
            said = "; ".join(self.lost) or "there is none"
            raise DocumentError(f"{path}: has no region that can be measured: {said}")
        return RoiSet(self.rois)


def named(value: object, otherwise: str) -> str:
    """Return a printable name."""
    text = "".join(letter for letter in str(value or "") if letter.isprintable()).strip()
    return text or otherwise


@contextmanager
def needs(package: str, what: str, extra: str) -> Iterator[None]:
    """Say in one sentence which package is missing and how to get it."""
    try:
        yield
    except ModuleNotFoundError as fault:
        if fault.name != package:
            raise
        raise DocumentError(f"{what} need the package {package}: pip install 'xinsitu[{extra}]'") from None
