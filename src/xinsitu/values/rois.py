"""Regions of interest: where they are, when they move, what they measure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xinsitu.errors import RoiError
from xinsitu.kernels import Doubles
from xinsitu.schema import FURTHER

from .fields import Bounds, Box, bounds, keep_unknown, names
from .geometries import RECTANGLES, refuse_other_shapes, shape_of
from .logbook import Key
from .masks import Mask
from .region_shapes import EDGES, Rotated, Shape, smallest

MEASURES = ("intensity", "com", "fwhm", "background")
"""What a ROI measures if it has no ``measure``; it may have :data:`~xinsitu.schema.FURTHER` quantities there, too."""
BRIGHTEST = 10
"""Pixels of ``brightest``, unless ``brightest:25`` says another number."""
_NUMBERED = re.compile(r"brightest:[1-9]\d{0,5}")
ROLES = ("signal", "background")
EDGE, PLANE, POLY_Y, POLY_X = "edge", "plane", "poly_y", "poly_x"
OWN_EDGE = (EDGE, PLANE, POLY_Y, POLY_X)
"""Reserved background names of a ROI: its own edge's mean; through that edge a plane, a parabola along y or along x."""


@dataclass(frozen=True)
class KeyFrame:
    """Where a moving ROI is at one moment; between key frames its corners move linearly with the frame."""

    key: Key
    y: Bounds
    x: Bounds

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", bounds(self.y, "y of a key frame"))
        object.__setattr__(self, "x", bounds(self.x, "x of a key frame"))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.key.to_dict(), "y": list(self.y), "x": list(self.x)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> KeyFrame:
        """Read the JSON form: a KEY with ``y`` and ``x`` beside it."""
        if not isinstance(document, Mapping) or not {"y", "x"} <= set(document):
            raise RoiError(f"a key frame needs a moment, y and x, not {document!r}")
        refuse_other_shapes({"name": "of a key frame", **document})
        rest = {name: value for name, value in document.items() if name not in ("y", "x")}
        return cls(Key.from_dict(rest), document["y"], document["x"])


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
    frame
        Box of the pixels that there are, to which a shape is cut (:meth:`on`); without it no pixel is before 0.

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
    frame: Box | None = field(default=None, compare=False, repr=False)

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
            whole, weights = geometry.weights(self.edges)
        except RoiError as fault:
            raise RoiError(f"ROI {self.name!r} {fault}") from None
        box, weights, off = self._cut(whole, weights)
        for axis, own, told in zip("yx", box, (self.y, self.x), strict=True):
            if told is not None and tuple(told) != own:
                raise RoiError(
                    f"{axis} of ROI {self.name!r} is {list(told)}, and its shape lies in {list(own)}: leave out y and x"
                )
            object.__setattr__(self, axis, own)
        object.__setattr__(self, "_weights", None if (weights == 1).all() else weights)
        object.__setattr__(self, "_off", off)

    def _cut(self, box: Box, weights: Doubles) -> tuple[Box, Doubles, float]:
        """Return what is on the frame of a shape, and how many of its pixels are not."""
        frame = self.frame or ((0, box[0][1]), (0, box[1][1]))
        y, x = (
            (min(max(first, low), high), max(min(behind, high), low))
            for (first, behind), (low, high) in zip(box, frame, strict=True)
        )
        if (y, x) == box:
            return box, weights, 0.0
        said = f"y = {list(box[0])}, x = {list(box[1])}"
        if self.path or isinstance(self.geometry, Mask):
            raise RoiError(f"ROI {self.name!r}, {said}, reaches over the edge of the detector")
        top, left = box[0][0], box[1][0]
        kept = weights[y[0] - top : y[1] - top, x[0] - left : x[1] - left]
        if not kept.any():
            raise RoiError(f"ROI {self.name!r}, {said}, lies off the detector")
        return *smallest((y[0], x[0]), kept), float(weights.sum() - kept.sum())

    @property
    def weights(self) -> Doubles | None:
        """How much each pixel of the box counts, from 0 to 1, ``(row, column)``; None where all of them do."""
        return getattr(self, "_weights", None)

    @property
    def drawn(self) -> int:
        """Number of pixels that were looked at for its shape; 0 without one."""
        return 0 if self.geometry is None else math.prod(self.geometry.around[1])

    @property
    def off(self) -> float:
        """Number of the pixels of its shape that are not there, beyond the edge of the detector."""
        return getattr(self, "_off", 0.0)

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

    def on(self, frame: Box) -> Roi:
        """Return what is on a frame of a shape that reaches over its edge; all else as it is.

        Raises
        ------
        RoiError
            Nothing is, or a mask or a shape that moves reaches over the edge.

        Examples
        --------
        >>> from xinsitu.values import Ellipse
        >>> disc = Roi("disc", geometry=Ellipse(centre=(20, 29.5), axes=(5, 5)), edges="exact")
        >>> half = disc.on(((0, 195), (0, 30)))
        >>> half.x, round(half.area / disc.area, 9), round(half.off / disc.area, 9)
        ((25, 30), 0.5, 0.5)
        """
        if self.geometry is None or self.path:
            return self
        return replace(self, y=None, x=None, frame=frame)  # type: ignore[arg-type] # the box follows from the shape

    def reshaped(
        self, geometry: Shape | None, *, y: Bounds | None = None, x: Bounds | None = None, edges: str | None = None
    ) -> Roi:
        """Return the same ROI with another shape, or other edges; without a shape it is the rectangle ``y``, ``x``."""
        if geometry is None:
            y, x = y or self.y, x or self.x
        return replace(self, y=y, x=x, geometry=geometry, edges=edges or self.edges)  # type: ignore[arg-type] # as above

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


def checked_measure(given: Iterable[str] | str, roi: str) -> tuple[str, ...]:
    """Return what a ROI is to measure.

    Raises
    ------
    RoiError
        It cannot.
    """
    wanted, can = names(given, f"what ROI {roi!r} measures"), (*MEASURES, *FURTHER)
    if unknown := [name for name in wanted if name not in can and not _NUMBERED.fullmatch(name)]:
        raise RoiError(f"ROI {roi!r} cannot measure {unknown[0]!r}; it can {', '.join(can)}")
    return wanted


def number_of_brightest(measure: Iterable[str] | None) -> int:
    """Return of how many pixels ``brightest`` is the mean.

    Examples
    --------
    >>> number_of_brightest(("com", "brightest:25")), number_of_brightest(None)
    (25, 10)
    """
    return next((int(name.partition(":")[2]) for name in measure or () if ":" in name), BRIGHTEST)
