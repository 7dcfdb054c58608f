"""Regions of interest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

from xinsitu.errors import RoiError
from xinsitu.kernels import Doubles

from .fields import Bounds, bounds, keep_unknown, names
from .geometries import RECTANGLES, TURNS, refuse_other_shapes, shape_of
from .key_frames import KeyFrame
from .measures import MEASURES, checked_measure, number_of_brightest
from .notebook import cell, swatch, table
from .region_shapes import EDGES, Rotated, Shape

ROLES = ("signal", "background")
EDGE, PLANE, POLY_Y, POLY_X = "edge", "plane", "poly_y", "poly_x"
OWN_EDGE = (EDGE, PLANE, POLY_Y, POLY_X)
"""Reserved background names of a ROI: its own edge's mean; through that edge a plane, a parabola along y or along x."""
MOST_ROIS = 10_000
"""More in one file are a mistake, not regions of interest."""


@dataclass(frozen=True)
class Roi:
    """A named region of the full detector: a half-open pixel rectangle, or any other shape.

    Parameters
    ----------
    name
        Key across measurements, e.g. ``WZ``.
    y, x
        ``(first, behind the last)`` rows and columns, 0-based; of a shape the box around the pixels that count in it,
        which follows from the shape.
    color
        For pictures; any CSS colour.
    measure
        Any of ``intensity``, ``com``, ``fwhm``, ``background``, which None means, and ``mean``, ``minimum``, ``std``,
        ``sigma``, ``skewness``, ``brightest`` (the mean of the 10 brightest pixels; ``brightest:25``: of 25).
    role
        ``signal`` or ``background``.
    background
        Names of the ROIs that give this one's background (pooled), or ``edge``, ``plane``, ``poly_y`` or ``poly_x``.
    path
        Key frames of a moving ROI; a shape keeps its size, and moves by whole pixels.
    geometry
        Another shape than the rectangle: :class:`Polygon`, :class:`Ellipse`, :class:`Rotated`, :class:`Sector` or
        :class:`Mask`.
    edges
        ``whole``: pixels whose centre lies in the shape count; ``exact``: each as much as lies in it, so that sums
        over a constant image are the shape's area.

    Raises
    ------
    RoiError
        The box is empty, negative or not whole; an unknown role or measure; a shape in which no pixel counts.

    Examples
    --------
    >>> roi = Roi("WZ", y=(60, 150), x=(210, 270))
    >>> roi.shape, roi.area
    ((90, 60), 5400)
    >>> Roi.from_dict(roi.to_dict()) == roi
    True
    >>> from xinsitu.values import Ellipse
    >>> disc = Roi("spot", geometry=Ellipse(centre=(20, 30), axes=(5, 5)), edges="exact")
    >>> disc.y, disc.x, round(disc.area / 25, 6)
    ((15, 26), (25, 36), 3.141593)
    """

    name: str
    y: Bounds = None  # type: ignore[assignment] # never None once it is made
    x: Bounds = None  # type: ignore[assignment]
    color: str | None = None
    measure: tuple[str, ...] | None = None
    role: Literal["signal", "background"] = "signal"
    background: tuple[str, ...] = ()
    path: tuple[KeyFrame, ...] | None = None
    geometry: Shape | None = None
    edges: Literal["whole", "exact"] = "whole"
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise RoiError(f"a ROI needs a printable name, not {self.name!r}")
        if self.edges not in EDGES:
            raise RoiError(f"edges of ROI {self.name!r} must be one of {', '.join(EDGES)}, not {self.edges!r}")
        if self.color is not None and not isinstance(self.color, str):
            raise RoiError(f"color of ROI {self.name!r} must be a text such as 'red', not {self.color!r}")
        if self.geometry is not None:
            self._fit_box(self.geometry)
        object.__setattr__(self, "y", bounds(self.y, f"y of ROI {self.name!r}"))
        object.__setattr__(self, "x", bounds(self.x, f"x of ROI {self.name!r}"))
        if self.role not in ROLES:
            raise RoiError(f"role of ROI {self.name!r} must be one of {', '.join(ROLES)}, not {self.role!r}")
        if self.measure is not None:
            object.__setattr__(self, "measure", checked_measure(self.measure, self.name))
        object.__setattr__(self, "background", names(self.background or (), f"background of ROI {self.name!r}"))
        if self.path is not None:
            object.__setattr__(self, "path", tuple(self.path))
            if self.weights is not None and any(_size(frame) != self.shape for frame in self.path):
                raise RoiError(f"the key frames of ROI {self.name!r} must have the size of its shape, {self.shape}")

    def _fit_box(self, geometry: Shape) -> None:
        """Take the box around the pixels that count in a shape."""
        if not isinstance(geometry, Shape):
            raise RoiError(f"geometry of ROI {self.name!r} must be a shape, e.g. Ellipse, not {geometry!r}")
        try:
            box, weights = geometry.weights(self.edges)
        except RoiError as fault:
            raise RoiError(f"ROI {self.name!r} {fault}") from None
        if min(box[0][0], box[1][0]) < 0:
            raise RoiError(f"the shape of ROI {self.name!r} begins at pixel {(box[0][0], box[1][0])}, off the detector")
        for axis, own, told in zip("yx", box, (self.y, self.x), strict=True):
            if told is not None and tuple(told) != own:
                raise RoiError(
                    f"{axis} of ROI {self.name!r} is {list(told)}, and its shape lies in {list(own)}: leave out y and x"
                )
            object.__setattr__(self, axis, own)
        object.__setattr__(self, "_weights", None if (weights == 1).all() else weights)

    @property
    def weights(self) -> Doubles | None:
        """How much each pixel of the box counts, from 0 to 1, ``(row, column)``; None where all of them do."""
        return getattr(self, "_weights", None)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y[1] - self.y[0], self.x[1] - self.x[0]

    @property
    def area(self) -> float:
        """Number of pixels; with exact edges the area of the shape."""
        if self.weights is not None:
            return float(self.weights.sum()) if self.edges == "exact" else int(self.weights.sum())
        return self.shape[0] * self.shape[1]

    @property
    def has_own_axes(self) -> bool:
        """Whether it has directions of its own, along and across."""
        return isinstance(self.geometry, Rotated)

    def measures(self, what: str) -> bool:
        """Whether this ROI measures ``what``."""
        return what in {name.partition(":")[0] for name in self.measure or MEASURES}

    @property
    def n_brightest(self) -> int:
        """Number of the pixels of which ``brightest`` is the mean."""
        return number_of_brightest(self.measure)

    def moved(self, *, y: Bounds | None = None, x: Bounds | None = None) -> Roi:
        """Return the same ROI at another place; a shape keeps its size.

        Raises
        ------
        RoiError
            A shape is given a box of another size.
        """
        y, x = y or self.y, x or self.x
        if self.geometry is None:
            return replace(self, y=y, x=x)
        if (y[1] - y[0], x[1] - x[0]) != self.shape:
            raise RoiError(f"ROI {self.name!r} has a shape: a box of another size does not tell how to change it")
        return self.reshaped(self.geometry.shifted(y[0] - self.y[0], x[0] - self.x[0]))

    def reshaped(self, geometry: Shape | None, *, y: Bounds | None = None, x: Bounds | None = None) -> Roi:
        """Return the same ROI with another shape; without one it is the rectangle ``y``, ``x``."""
        if geometry is None:
            y, x = y or self.y, x or self.x
        return replace(self, y=y, x=x, geometry=geometry)  # type: ignore[arg-type] # the box follows from the shape

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        document: dict[str, Any] = {"name": self.name}
        if self.geometry is None:
            document |= {"y": list(self.y), "x": list(self.x)}
        else:
            document["shape"] = self.geometry.to_dict()
        if self.edges != EDGES[0]:
            document["edges"] = self.edges
        if self.color is not None:
            document["color"] = self.color
        if self.measure is not None:
            document["measure"] = list(self.measure)
        document["role"] = self.role
        if self.background:
            document["background"] = list(self.background)
        document["path"] = None if self.path is None else [frame.to_dict() for frame in self.path]
        return {**document, **self.extra}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Roi:
        """Read the JSON form.

        Raises
        ------
        RoiError
            A key is missing or its value makes no sense.
        """
        if not isinstance(document, Mapping):
            raise RoiError(f"a ROI must be an object with name, y and x, or shape, not {document!r}")
        called, geometry, path = f"ROI {document.get('name', '?')!r}", document.get("shape"), document.get("path")
        shaped = isinstance(geometry, Mapping) and geometry.get("kind") not in RECTANGLES
        refuse_other_shapes({key: value for key, value in document.items() if key != "shape" or not shaped})
        if missing := [name for name in (("name",) if shaped else ("name", "y", "x")) if name not in document]:
            raise RoiError(f"{called} lacks {', '.join(missing)}")
        known = ("name", "y", "x", "color", "measure", "role", "background", "path", "edges", *(("shape",) * shaped))
        for name in ("measure", "background", "path"):
            given = document.get(name)
            if given is not None and (not isinstance(given, Sequence) or isinstance(given, str)):
                raise RoiError(f"{name} of ROI {document['name']!r} must be a list, not {given!r}")
        try:
            own_shape = shape_of(geometry) if shaped and isinstance(geometry, Mapping) else None
        except RoiError as fault:
            raise RoiError(f"{called}: {fault}") from None
        return cls(
            name=document["name"],
            y=document.get("y"),  # type: ignore[arg-type] # checked
            x=document.get("x"),  # type: ignore[arg-type]
            geometry=own_shape,
            edges="whole" if document.get("edges") is None else document["edges"],
            color=document.get("color"),
            measure=document.get("measure"),
            role="signal" if document.get("role") is None else document["role"],
            background=() if document.get("background") is None else document["background"],
            path=None if path is None else tuple(KeyFrame.from_dict(frame) for frame in path),
            extra=keep_unknown(document, known, f"ROI {document['name']!r}"),
        )


def _size(frame: KeyFrame) -> tuple[int, int]:
    return frame.y[1] - frame.y[0], frame.x[1] - frame.x[0]


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
    found = tuple(rois)
    for roi in found:
        if not isinstance(roi, Roi):
            raise RoiError(
                f"a RoiSet holds Roi values, not {type(roi).__name__}; e.g. Roi('WZ', y=(60, 150), x=(9, 20))"
            )
    return found


@dataclass(frozen=True)
class RoiSet(Sequence[Roi]):
    """ROIs in their order, found by name.

    Raises
    ------
    RoiError
        Two ROIs have one name, a background is not in the set, or a box lies outside the detector.

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
        object.__setattr__(self, "detector_shape", None if detector_shape is None else tuple(map(int, detector_shape)))
        object.__setattr__(self, "extra", dict(extra or {}))
        if len(self.rois) > MOST_ROIS:
            raise RoiError(f"{len(self.rois)} ROIs are more than the {MOST_ROIS} that are measured at once")
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
        title = f"{len(self)} ROIs" + (
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
        shape = document.get("detector_shape")
        if shape is not None and (
            not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape)
        ):
            raise RoiError(f"detector_shape must be [rows, columns], not {shape!r}")
        extra = keep_unknown(document, ("format", "version", "detector_shape", "rois"), "the ROI file")
        return cls((Roi.from_dict(roi) for roi in document["rois"]), shape, extra)
