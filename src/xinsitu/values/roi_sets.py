"""Sets of regions of interest, found by name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from xinsitu.errors import RoiError

from .fields import keep_unknown
from .geometries import TURNS, refuse_other_shapes
from .notebook import cell, swatch, table
from .rois import MEASURES, OWN_EDGE, Roi

MOST_ROIS = 10_000
"""More in one file are a mistake, not regions of interest."""
_MOST_DRAWN = 2**28
"""Pixels that the shapes of a set are drawn on, all together: some seconds, and two gigabytes where all are kept."""


def drawn_within(roi: Roi, before: int, drawn: int) -> int:
    """Add the pixels that a ROI's shape is drawn on to those of the ROIs before it, while they are made one by one.

    Raises
    ------
    RoiError
        They are too many, or their shapes too large, to be measured.
    """
    drawn += roi.drawn
    if drawn > _MOST_DRAWN:
        raise RoiError(f"the shapes of the first {before + 1} ROIs reach over {drawn} pixels, more than are measured")
    if before == MOST_ROIS:
        raise RoiError(f"{before + 1} ROIs or more are not measured at once; at most {MOST_ROIS} are")
    return drawn


def _as_rois(rois: object) -> tuple[Roi, ...]:
    """Return ROIs as a tuple, or say what was given instead."""
    if isinstance(rois, str | os.PathLike):
        raise RoiError(f"ROIs are wanted, not the path {os.fspath(rois)!r}: read it with read_rois first")
    if isinstance(rois, Roi):
        raise RoiError(f"ROIs are wanted, several of them: put {rois.name!r} into a list")
    if isinstance(rois, Mapping):
        raise RoiError("ROIs are wanted, not a dict: make them with RoiSet.from_dict, or Roi(name, y=, x=)")
    if hasattr(rois, "dims") or not isinstance(rois, Iterable):
        raise RoiError(f"ROIs are wanted, not {type(rois).__name__}; frames come first, then the ROIs")
    found: list[Roi] = []
    drawn = 0
    for roi in rois:
        if not isinstance(roi, Roi):
            raise RoiError(
                f"a RoiSet holds Roi values, not {type(roi).__name__}; e.g. Roi('WZ', y=(60, 150), x=(9, 20))"
            )
        drawn = drawn_within(roi, len(found), drawn)
        found.append(roi)
    return tuple(found)


def _as_shape(shape: object) -> tuple[int, int]:
    """Return rows and columns, or say what was given instead."""
    sizes = shape if isinstance(shape, list | tuple) else ()
    if len(sizes) != 2 or not all(isinstance(n, int | np.integer) and n > 0 and n is not True for n in sizes):
        raise RoiError(f"detector_shape must be [rows, columns], not {shape!r}")
    return int(sizes[0]), int(sizes[1])


@dataclass(frozen=True)
class RoiSet(Sequence[Roi]):
    """ROIs in their order, found by name.

    Raises
    ------
    RoiError
        Two ROIs have one name, a background is not in the set, or a box lies outside the detector, to which shapes are
        cut (:meth:`Roi.on`).

    Examples
    --------
    >>> rois = RoiSet([Roi("WZ", y=(60, 150), x=(210, 270)), Roi("ZB", y=(60, 150), x=(80, 160))])
    >>> rois.names, rois["ZB"].x
    (('WZ', 'ZB'), (80, 160))
    """

    rois: tuple[Roi, ...]
    detector_shape: tuple[int, int] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __init__(
        self,
        rois: Iterable[Roi] = (),
        detector_shape: Sequence[int] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        object.__setattr__(self, "rois", _as_rois(rois))
        object.__setattr__(self, "detector_shape", None if detector_shape is None else _as_shape(detector_shape))
        object.__setattr__(self, "extra", dict(extra or {}))
        names = self.names
        if twice := sorted(name for name, count in Counter(names).items() if count > 1):
            raise RoiError(f"two ROIs are called {twice[0]!r}; a name is the key across measurements")
        known = {*names, *OWN_EDGE}
        for roi in self.rois:
            if strange := [name for name in roi.background if name not in known]:
                raise RoiError(
                    f"the background of ROI {roi.name!r} names {strange[0]!r}; the set has {', '.join(names)}"
                )
        if self.detector_shape is not None:
            rows, columns = self.detector_shape
            object.__setattr__(self, "rois", tuple(roi.on(((0, rows), (0, columns))) for roi in self.rois))
            self.check(self.detector_shape)

    def check(self, shape: Sequence[int]) -> None:
        """Raise :class:`~xinsitu.errors.RoiError` if a ROI does not lie on a detector of this shape."""
        for roi in self.rois:
            for axis, (_, behind), size in (("y", roi.y, shape[0]), ("x", roi.x, shape[1])):
                if behind > size:
                    raise RoiError(
                        f"ROI {roi.name!r} ends at {axis} = {behind}, outside the detector of "
                        f"{shape[0]} rows and {shape[1]} columns"
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(roi.name for roi in self.rois)

    def __len__(self) -> int:
        return len(self.rois)

    def __iter__(self) -> Iterator[Roi]:
        return iter(self.rois)

    @overload
    def __getitem__(self, key: int | str) -> Roi: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[Roi]: ...
    def __getitem__(self, key: int | str | slice) -> Roi | Sequence[Roi]:
        if not isinstance(key, str):
            return self.rois[key]
        for roi in self.rois:
            if roi.name == key:
                return roi
        raise RoiError(f"there is no ROI {key!r}; there are {', '.join(self.names) or 'none'}")

    def also(self, *further: str) -> RoiSet:
        """Return a set whose ROIs measure these quantities, too, e.g. ``rois.also("std", "sigma")``."""
        asked = [tuple(dict.fromkeys((*(roi.measure or MEASURES), *further))) for roi in self.rois]
        rois = [replace(roi, measure=measure) for roi, measure in zip(self.rois, asked, strict=True)]
        return RoiSet(rois, self.detector_shape, self.extra) if further else self

    def replaced(self, roi: Roi) -> RoiSet:
        """Return a set in which this ROI stands for the one of its name, or behind the others if there was none."""
        if roi.name not in self.names:
            return RoiSet((*self.rois, roi), self.detector_shape, self.extra)
        return RoiSet((roi if old.name == roi.name else old for old in self.rois), self.detector_shape, self.extra)

    @classmethod
    def of(cls, rois: RoiSet | Roi | Iterable[Roi]) -> RoiSet:
        """Take a RoiSet as it is and make one of a ROI or any iterable of ROIs."""
        if isinstance(rois, Roi):
            return cls([rois])
        return rois if isinstance(rois, RoiSet) else cls(rois)

    def _repr_html_(self) -> str:
        """Show the boxes as a table, with their colours."""
        rows = [
            (
                swatch(roi.color) + cell(roi.name),
                cell(f"{roi.y[0]}:{roi.y[1]}"),
                cell(f"{roi.x[0]}:{roi.x[1]}"),
                cell("" if roi.geometry is None else roi.geometry.kind),
                cell(roi.role),
                cell(", ".join(roi.background)),
                cell("all" if roi.measure is None else ", ".join(roi.measure)),
                cell(None if roi.path is None else f"moves, {len(roi.path)} key frames"),
            )
            for roi in self
        ]
        title = f"{len(self)} ROI{'s' * (len(self) != 1)}" + (
            "" if self.detector_shape is None else " on {} x {} pixels".format(*self.detector_shape)
        )
        return table(title, ("name", "y", "x", "shape", "role", "background", "measures", ""), rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON form without the format line."""
        shape = None if self.detector_shape is None else list(self.detector_shape)
        return {"detector_shape": shape, "rois": [roi.to_dict() for roi in self.rois], **self.extra}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> RoiSet:
        """Read the JSON form.

        Raises
        ------
        RoiError
            ``rois`` is missing or a ROI makes no sense.
        """
        if not isinstance(document.get("rois"), list):
            raise RoiError("there is no list 'rois'")
        refuse_other_shapes({"name": "of all", **{key: value for key, value in document.items() if key in TURNS}})
        extra = keep_unknown(document, ("format", "version", "detector_shape", "rois"), "the ROI file")
        return cls((Roi.from_dict(roi) for roi in document["rois"]), document.get("detector_shape"), extra)
