"""Frozen values that people name in their logbook: ROIs, backgrounds, attenuation changes, events.

Each has ``to_dict`` and ``from_dict``; the files around them are read and written by :mod:`xinsitu.io.documents`.
Keys that a newer version wrote are kept in ``extra`` and written back.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, overload

import numpy as np

from .errors import DocumentError, RoiError, XinsituWarning

Bounds = tuple[int, int]
"""Half-open pixel range ``[first, behind the last)``."""
Box = tuple[Bounds, Bounds]
"""A rectangle ``(y, x)`` of bounds."""
Moment = np.datetime64
"""A UTC time, datetime64[ns]."""

MEASURES = ("intensity", "com", "fwhm", "background")
"""What a ROI can measure; a ROI without ``measure`` measures all of it."""
ROLES = ("signal", "background")
CAUSES = ("attenuator", "exposure", "beam", "realigned")
EDGE, PLANE = "edge", "plane"
"""Reserved background names of a ROI: the ROI's own frame edge, and a plane through it."""


def _bounds(value: object, what: str) -> Bounds:
    """Check one half-open pixel range."""
    if isinstance(value, slice):
        value = (value.start, value.stop)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != 2:
        raise RoiError(f"{what} must be two whole numbers [first, behind the last), not {value!r}")
    numbers: list[int] = []
    for number in value:
        if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
            raise RoiError(f"{what} must be two whole numbers [first, behind the last), not {list(value)!r}")
        if not math.isfinite(number) or number != int(number):
            raise RoiError(f"{what} must be whole pixels, not {number}")
        numbers.append(int(number))
    first, behind = numbers
    if first < 0 or behind <= first:
        raise RoiError(f"{what} must be [first, behind the last) with 0 <= first < last, not [{first}, {behind}]")
    return first, behind


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def _keep_unknown(document: Mapping[str, Any], known: Iterable[str], what: str) -> dict[str, Any]:
    """Keys that this version does not know: kept, with a warning."""
    extra = {key: value for key, value in document.items() if key not in set(known)}
    if extra:
        warnings.warn(
            f"{what}: unknown keys {', '.join(sorted(extra))} are kept but not used", XinsituWarning, stacklevel=3
        )
    return extra


# -- times and keys ---------------------------------------------------------------------------------------------------

_OFFSET = re.compile(r"(Z|[+-]\d{2}:?\d{2})$", re.IGNORECASE)


def moment(text: str) -> Moment:
    """UTC datetime64[ns] of an ISO 8601 text that carries its offset.

    Raises
    ------
    DocumentError
        The text is no time, or has no offset.

    Examples
    --------
    >>> moment("2014-05-28T17:01:59+09:00")
    np.datetime64('2014-05-28T08:01:59.000000000')
    """
    from datetime import UTC, datetime

    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DocumentError(f"{text!r} is not an ISO 8601 time such as 2014-05-28T17:01:59+09:00") from None
    if parsed.tzinfo is None:
        raise DocumentError(f"{text!r} has no offset from UTC, such as +09:00")
    return nanoseconds(np.datetime64(parsed.astimezone(UTC).replace(tzinfo=None), "us"))


def nanoseconds(time: np.datetime64) -> Moment:
    """Return the same time as datetime64[ns]."""
    return np.datetime64(time, "ns")  # type: ignore[call-overload, no-any-return] # missing in numpy's stubs


def utc_text(time: Moment) -> str:
    """ISO 8601 text with a Z of a UTC datetime64.

    Examples
    --------
    >>> utc_text(np.datetime64("2014-05-28T08:01:59.5"))
    '2014-05-28T08:01:59.500000Z'
    """
    text = str(time.astype("datetime64[us]"))
    return f"{text.removesuffix('.000000')}Z"


@dataclass(frozen=True)
class Key:
    """A moment as it stands in the logbook.

    One of: a frame (``measurement``, ``scan``, ``frame``), seconds since the first frame of a measurement
    (``measurement``, ``seconds``), a UTC time, or a ``local`` ISO text in the instrument's time zone.

    Examples
    --------
    >>> Key.from_dict({"measurement": "time3", "scan": 1, "frame": 185})
    Key(measurement='time3', scan=1, frame=185)
    >>> Key.from_dict("2014-05-28T17:01:59+09:00").to_dict()
    {'utc': '2014-05-28T08:01:59Z'}
    """

    measurement: str | None = None
    scan: int | None = None
    frame: int | None = None
    seconds: float | None = None
    time: Moment | None = None
    local: str | None = None

    def __repr__(self) -> str:
        said = [f"{name}={value!r}" for name, value in vars(self).items() if value is not None]
        return f"Key({', '.join(said)})"

    def __post_init__(self) -> None:
        ways = [self.frame is not None, self.seconds is not None, self.local is not None]
        if sum(ways) > 1 or (not any(ways) and self.time is None):
            raise DocumentError(f"{self!r} must be one of: measurement and frame, measurement and seconds, or a time")

    def to_dict(self) -> dict[str, Any]:
        """JSON form; a known UTC time stands beside the frame."""
        document: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("measurement", "scan", "frame", "seconds")
            if getattr(self, name) is not None
        }
        if self.local is not None:
            document["time"] = self.local
        if self.time is not None:
            document["utc"] = utc_text(self.time)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any] | str | np.datetime64 | Key) -> Key:
        """Read a KEY: a mapping as in the files, an ISO 8601 text, or a datetime64 (UTC).

        Raises
        ------
        DocumentError
            It is none of these.
        """
        if isinstance(document, Key):
            return document
        if isinstance(document, np.datetime64):
            return cls(time=nanoseconds(document))
        if isinstance(document, str):
            return cls(time=moment(document)) if _OFFSET.search(document.strip()) else cls(local=_local(document))
        if not isinstance(document, Mapping):
            raise DocumentError(
                f"{document!r} names no moment: give measurement and frame, measurement and seconds, or a time"
            )
        known = {"measurement", "scan", "frame", "seconds", "utc", "time"}
        if strange := sorted(set(document) - known):
            raise DocumentError(
                f"unknown keys {', '.join(strange)} in {dict(document)!r}; known are {', '.join(sorted(known))}"
            )
        time, local = None, None
        if "utc" in document:
            time = moment(str(document["utc"]))
        if "time" in document:
            said = cls.from_dict(str(document["time"]))
            time, local = said.time or time, said.local
        scan, frame, seconds = (document.get(name) for name in ("scan", "frame", "seconds"))
        for name, number, kinds in (
            ("scan", scan, (int,)),
            ("frame", frame, (int,)),
            ("seconds", seconds, (int, float)),
        ):
            if number is not None and (isinstance(number, bool) or not isinstance(number, kinds)):
                raise DocumentError(f"{name} must be a number, not {number!r}")
        measurement = document.get("measurement")
        return cls(
            measurement=None if measurement is None else str(measurement),
            scan=scan,
            frame=frame,
            seconds=None if seconds is None else float(seconds),
            time=time,
            local=local,
        )


def _local(text: str) -> str:
    from datetime import datetime

    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        raise DocumentError(f"{text!r} is not an ISO 8601 time such as 2014-05-28T17:01:59+09:00") from None
    return text.strip()


# -- regions of interest ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyFrame:
    """Where a moving ROI is at one moment; between key frames its corners move linearly with the frame."""

    key: Key
    y: Bounds
    x: Bounds

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", _bounds(self.y, "y of a key frame"))
        object.__setattr__(self, "x", _bounds(self.x, "x of a key frame"))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.key.to_dict(), "y": list(self.y), "x": list(self.x)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> KeyFrame:
        """Read the JSON form: a KEY with ``y`` and ``x`` beside it."""
        if not isinstance(document, Mapping) or not {"y", "x"} <= set(document):
            raise RoiError(f"a key frame needs a moment, y and x, not {document!r}")
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
        Names of the ROIs that give this one's background (pooled), or ``edge`` or ``plane``.
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
        object.__setattr__(self, "y", _bounds(self.y, f"y of ROI {self.name!r}"))
        object.__setattr__(self, "x", _bounds(self.x, f"x of ROI {self.name!r}"))
        if self.role not in ROLES:
            raise RoiError(f"role of ROI {self.name!r} must be one of {', '.join(ROLES)}, not {self.role!r}")
        if self.measure is not None:
            measure = _names(self.measure)
            if unknown := [name for name in measure if name not in MEASURES]:
                raise RoiError(f"ROI {self.name!r} cannot measure {unknown[0]!r}; it can {', '.join(MEASURES)}")
            object.__setattr__(self, "measure", measure)
        object.__setattr__(self, "background", _names(self.background or ()))
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
            extra=_keep_unknown(document, known, f"ROI {document['name']!r}"),
        )


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
        object.__setattr__(self, "rois", tuple(rois))
        object.__setattr__(self, "detector_shape", None if detector_shape is None else tuple(map(int, detector_shape)))
        object.__setattr__(self, "extra", dict(extra or {}))
        for roi in self.rois:
            if not isinstance(roi, Roi):
                raise RoiError(f"a RoiSet holds Roi values, not {type(roi).__name__}")
        names = self.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RoiError(f"two ROIs are called {twice[0]!r}; a name is the key across measurements")
        for roi in self.rois:
            if strange := [name for name in roi.background if name not in (*names, EDGE, PLANE)]:
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
    def of(cls, rois: RoiSet | Iterable[Roi]) -> RoiSet:
        """Take a RoiSet as it is and make one of any iterable of ROIs."""
        return rois if isinstance(rois, RoiSet) else cls(rois)

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
        shape = document.get("detector_shape")
        if shape is not None and (
            not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape)
        ):
            raise RoiError(f"detector_shape must be [rows, columns], not {shape!r}")
        extra = _keep_unknown(document, ("format", "version", "detector_shape", "rois"), "the ROI file")
        return cls((Roi.from_dict(roi) for roi in document["rois"]), shape, extra)


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
            object.__setattr__(self, "y", _bounds(self.y, "y of the background"))
            object.__setattr__(self, "x", _bounds(self.x, "x of the background"))
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
        return _bounds(region["y"], "y of the background"), _bounds(region["x"], "x of the background")
    if isinstance(region, Sequence) and len(region) == 2:
        return _bounds(region[0], "y of the background"), _bounds(region[1], "x of the background")
    raise RoiError(f"a background region is a pair (y, x) of bounds, not {region!r}")


# -- changes of attenuation and events --------------------------------------------------------------------------------


def _moment_or_key(value: object) -> Moment | Key:
    if isinstance(value, np.datetime64):
        return nanoseconds(value)
    key = Key.from_dict(value)  # type: ignore[arg-type] # from_dict says what is wrong with anything else
    return key.time if key.time is not None and key.frame is None and key.seconds is None else key


@dataclass(frozen=True)
class AttenuationChange:
    """A change of the beam at the detector, between two end points.

    Parameters
    ----------
    before, after
        Last frame before and first frame after the change: UTC datetime64, an ISO 8601 text, or a KEY.
        What lies strictly between is in transition.
    factor, factor_errors
        What the later part must be multiplied by, with its standard error; None: from the end points.
    cause
        ``attenuator``, ``exposure``, ``beam`` or ``realigned``.
    note
        Free text.
    before_key, after_key
        The exact frames, where known; they win over the times, as 1 s stamps repeat.
    evidence
        What a finder based the change on: numbers and texts, for people.

    Raises
    ------
    DocumentError
        An end point is no moment, or the factor is not a positive number.

    Examples
    --------
    >>> change = AttenuationChange({"measurement": "time3", "frame": 185}, "2014-05-28T17:01:59+09:00")
    >>> change.before, change.after
    (Key(measurement='time3', frame=185), np.datetime64('2014-05-28T08:01:59.000000000'))
    """

    before: Moment | Key
    after: Moment | Key
    factor: float | None = None
    factor_errors: float | None = None
    cause: str = "attenuator"
    note: str = ""
    before_key: Key | None = None
    after_key: Key | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict, compare=False)
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", _moment_or_key(self.before))
        object.__setattr__(self, "after", _moment_or_key(self.after))
        if self.cause not in CAUSES:
            raise DocumentError(f"the cause of a change is one of {', '.join(CAUSES)}, not {self.cause!r}")
        for name in ("factor", "factor_errors"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise DocumentError(f"{name} of a change must be a number, not {value!r}")
            if not math.isfinite(value) or value < 0 or (name == "factor" and value == 0):
                raise DocumentError(f"{name} of a change must be a positive finite number, not {value}")
            object.__setattr__(self, name, float(value))

    def to_dict(self) -> dict[str, Any]:
        """JSON form; the UTC time stands beside a frame where it is known."""
        document: dict[str, Any] = {
            "before": _end_point(self.before, self.before_key),
            "after": _end_point(self.after, self.after_key),
            "factor": self.factor,
        }
        if self.factor_errors is not None:
            document["factor_errors"] = self.factor_errors
        document |= {"cause": self.cause, "note": self.note}
        if self.evidence:
            document["evidence"] = dict(self.evidence)
        return {**document, **self.extra}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> AttenuationChange:
        """Read the JSON form.

        Raises
        ------
        DocumentError
            An end point is missing or makes no sense.
        """
        if not isinstance(document, Mapping):
            raise DocumentError(f"a change must be an object with before and after, not {document!r}")
        if missing := [name for name in ("before", "after") if document.get(name) is None]:
            raise DocumentError(f"a change lacks {' and '.join(missing)}")
        known = ("before", "after", "factor", "factor_errors", "cause", "note", "evidence")
        ends = {name: Key.from_dict(document[name]) for name in ("before", "after")}
        exact = {f"{name}_key": key for name, key in ends.items() if key.frame is not None and key.time is not None}
        return cls(
            before=ends["before"].time if "before_key" in exact else ends["before"],  # type: ignore[arg-type]
            after=ends["after"].time if "after_key" in exact else ends["after"],  # type: ignore[arg-type]
            factor=document.get("factor"),
            factor_errors=document.get("factor_errors"),
            cause=document.get("cause") or "attenuator",
            note=str(document.get("note") or ""),
            evidence=document.get("evidence") or {},
            extra=_keep_unknown(document, known, "a change"),
            **exact,
        )


def _end_point(end: Moment | Key, key: Key | None) -> dict[str, Any]:
    if isinstance(end, Key):
        return end.to_dict()
    return (Key(time=end) if key is None else replace(key, time=end)).to_dict()


@dataclass(frozen=True)
class Event:
    """Something that happened: a moment, or an interval where ``stop`` is given.

    Examples
    --------
    >>> Event("In shutter open", "2014-05-28T17:01:59+09:00").to_dict()
    {'name': 'In shutter open', 'key': {'utc': '2014-05-28T08:01:59Z'}}
    """

    name: str
    start: Moment | Key
    stop: Moment | Key | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise DocumentError(f"an event needs a name, not {self.name!r}")
        object.__setattr__(self, "start", _moment_or_key(self.start))
        if self.stop is not None:
            object.__setattr__(self, "stop", _moment_or_key(self.stop))

    def to_dict(self) -> dict[str, Any]:
        """JSON form: ``key``, or ``start`` and ``stop``."""
        start = _end_point(self.start, None)
        when = {"key": start} if self.stop is None else {"start": start, "stop": _end_point(self.stop, None)}
        return {"name": self.name, **when, **self.extra}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Event:
        """Read the JSON form; the KEY may also stand directly in the event.

        Raises
        ------
        DocumentError
            The name or the moment is missing.
        """
        if not isinstance(document, Mapping) or "name" not in document:
            raise DocumentError(f"an event must be an object with a name and a moment, not {document!r}")
        inline = {
            name: document[name]
            for name in ("measurement", "scan", "frame", "seconds", "utc", "time")
            if name in document
        }
        start = document.get("key", document.get("start", inline or None))
        if start is None:
            raise DocumentError(f"event {document['name']!r} has no moment: give key, or start and stop")
        extra = _keep_unknown(document, ("name", "key", "start", "stop", *inline), f"event {document['name']!r}")
        return cls(document["name"], start, document.get("stop"), extra)
