"""Regions of interest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

from xinsitu.errors import RoiError

from .fields import Bounds, bounds, keep_unknown, names
from .logbook import Key
from .notebook import cell, swatch, table

MEASURES = ("intensity", "com", "fwhm", "background")
"""What a ROI can measure; a ROI without ``measure`` measures all of it."""
ROLES = ("signal", "background")
RECTANGLES = ("rectangle", "rect", "box")
"""Names of the one geometry that is measured."""
_KINDS = ("kind", "shape", "shape_type", "geometry")
_TURNS = ("angle", "rotation", "theta", "tilt")
_OTHER = ("points", "vertices", "polygon", "ellipse", "circle", "centre", "center", "axes", "radius", "radii", "mask")
"""Keys that say that a ROI is something else than the rectangle ``y``, ``x``."""
EDGE, PLANE, POLY_Y, POLY_X = "edge", "plane", "poly_y", "poly_x"
OWN_EDGE = (EDGE, PLANE, POLY_Y, POLY_X)
"""Reserved background names of a ROI: its own edge's mean; through that edge a plane, a parabola along y or along x."""


MOST_ROIS = 10_000
"""More in one file are a mistake, not regions of interest."""


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
        _refuse_shapes({"name": "of a key frame", **document})
        rest = {name: value for name, value in document.items() if name not in ("y", "x")}
        return cls(Key.from_dict(rest), document["y"], document["x"])


@dataclass(frozen=True)
class Roi:
    """A named half-open pixel rectangle on the full detector.

    Parameters
    ----------
    name
        Key across measurements, e.g. ``WZ``.
    y, x
        ``(first, behind the last)`` rows and columns, 0-based.
    color
        For pictures; any CSS colour.
    measure
        Subset of ``intensity``, ``com``, ``fwhm``, ``background``; None measures all.
    role
        ``signal`` or ``background``.
    background
        Names of the ROIs that give this one's background (pooled), or ``edge``, ``plane``, ``poly_y`` or ``poly_x``.
    path
        Key frames of a moving ROI.

    Raises
    ------
    RoiError
        The box is empty, negative or not whole; an unknown role or measure.

    Examples
    --------
    >>> roi = Roi("WZ", y=(60, 150), x=(210, 270))
    >>> roi.shape, roi.area
    ((90, 60), 5400)
    >>> Roi.from_dict(roi.to_dict()) == roi
    True
    """

    name: str
    y: Bounds
    x: Bounds
    color: str | None = None
    measure: tuple[str, ...] | None = None
    role: Literal["signal", "background"] = "signal"
    background: tuple[str, ...] = ()
    path: tuple[KeyFrame, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise RoiError(f"a ROI needs a printable name, not {self.name!r}")
        object.__setattr__(self, "y", bounds(self.y, f"y of ROI {self.name!r}"))
        object.__setattr__(self, "x", bounds(self.x, f"x of ROI {self.name!r}"))
        if self.role not in ROLES:
            raise RoiError(f"role of ROI {self.name!r} must be one of {', '.join(ROLES)}, not {self.role!r}")
        if self.measure is not None:
            measure = names(self.measure)
            if unknown := [name for name in measure if name not in MEASURES]:
                raise RoiError(f"ROI {self.name!r} cannot measure {unknown[0]!r}; it can {', '.join(MEASURES)}")
            object.__setattr__(self, "measure", measure)
        object.__setattr__(self, "background", names(self.background or ()))
        if self.path is not None:
            object.__setattr__(self, "path", tuple(self.path))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y[1] - self.y[0], self.x[1] - self.x[0]

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    def measures(self, what: str) -> bool:
        """Whether this ROI measures ``what``."""
        return self.measure is None or what in self.measure

    def moved(self, *, y: Bounds | None = None, x: Bounds | None = None) -> Roi:
        """Return the same ROI at another place."""
        return replace(self, y=y or self.y, x=x or self.x)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        document: dict[str, Any] = {"name": self.name, "y": list(self.y), "x": list(self.x)}
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
            raise RoiError(f"a ROI must be an object with name, y and x, not {document!r}")
        _refuse_shapes(document)
        if missing := [name for name in ("name", "y", "x") if name not in document]:
            raise RoiError(f"ROI {document.get('name', '?')!r} lacks {', '.join(missing)}")
        known = ("name", "y", "x", "color", "measure", "role", "background", "path")
        for name in ("measure", "background", "path"):
            if document.get(name) is not None and not isinstance(document[name], Sequence):
                raise RoiError(f"{name} of ROI {document['name']!r} must be a list, not {document[name]!r}")
        path = document.get("path")
        return cls(
            name=document["name"],
            y=document["y"],
            x=document["x"],
            color=document.get("color"),
            measure=document.get("measure"),
            role=document.get("role") or "signal",
            background=document.get("background") or (),
            path=None if path is None else tuple(KeyFrame.from_dict(frame) for frame in path),
            extra=keep_unknown(document, known, f"ROI {document['name']!r}"),
        )


def _refuse_shapes(document: Mapping[str, Any]) -> None:
    """Raise where a ROI says that it is no upright rectangle: its bounding box would be measured in its place."""
    for key, value in document.items():
        name = str(key).lower()
        told = value.get("kind", value) if name in _KINDS and isinstance(value, Mapping) else value
        shape = name in _KINDS and not (told is None or (isinstance(told, str) and told.lower() in RECTANGLES))
        turned = name in _TURNS and not (value is None or (isinstance(value, int | float) and value == 0))
        other = name in _OTHER and value is not None and value is not False
        if shape or turned or other:
            raise RoiError(
                f"ROI {document.get('name', '?')!r} has {key!r} = {told!r}, and only upright rectangles are measured, "
                f"never the box around another shape: draw it as a rectangle with y and x, and remove {key!r}"
            )


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
        return table(title, ("name", "y", "x", "role", "background", "measures", ""), rows)

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
        _refuse_shapes({"name": "of all", **{key: value for key, value in document.items() if key in _TURNS}})
        shape = document.get("detector_shape")
        if shape is not None and (
            not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape)
        ):
            raise RoiError(f"detector_shape must be [rows, columns], not {shape!r}")
        extra = keep_unknown(document, ("format", "version", "detector_shape", "rois"), "the ROI file")
        return cls((Roi.from_dict(roi) for roi in document["rois"]), shape, extra)
