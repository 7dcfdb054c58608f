"""The recipe of corrections, as a value that can be printed, saved and compared."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.errors import CorrectionError
from xinsitu.physics.blocks import pixel_index
from xinsitu.schema import APPLIED
from xinsitu.values import Background
from xinsitu.values.notebook import cell, table

IMAGES = ("dark", "background_image")
"""Images that are subtracted from frames."""
ORDER = ("count_rate", "mask", *IMAGES, "median", "flatfield", "background", "normalise")
"""Steps in the order in which they are done: what the detector adds goes before what looks for outliers in it."""


@dataclass(frozen=True, eq=False, repr=False)
class Correction:
    """What is done to frames, in this order.

    Count rate, mask, dark, background image, median, flat field, background, normalisation.

    Parameters
    ----------
    median
        Size of the median filter, odd, e.g. 3; None: no filter.
    threshold
        With it, the median replaces only outliers: pixels that differ from the median around them by more than so many
        times its counting noise (see :func:`~xinsitu.median`). Everything else stays as counted, so that few counts are
        not lost, as they are in a plain median (at 0.3 counts per pixel it takes 80 %).
    flatfield
        ``(y, x)`` with mean 1, on its own detector pixels; frames are divided by it. Pixels where it is zero, negative
        or not finite become NaN.
    background
        Empty area of the detector by whose mean (after median and flat field) each frame is divided, or which is
        subtracted.
    mask
        ``(y, x)``, true or non-zero where a pixel is not to be used: NaN, and left out of its neighbours' medians.
    normalise
        Name of a coordinate ``(time)``, e.g. ``monitor``: frames are multiplied by its time mean over its value. With a
        pair of name and reference, ``("monitor", 1e5)``, by ``reference / monitor``. The reference is kept in the
        attribute ``normalise_reference``, and :func:`~xinsitu.stitch` brings measurements to one. Frames whose monitor
        is zero, negative or missing become NaN. The monitor must sit before whatever changes the attenuation.
    count_rate
        Dead time of a paralysable counter in seconds: raw counts of a rate m become those of the rate n with
        ``m = n exp(-n tau)``. Refused where the header says that the detector has done it.
    dark
        ``(y, x)``, counts of a frame without beam, e.g. :func:`~xinsitu.open_image` of a folder of them: subtracted,
        times the exposure of the frame over that of the dark (attribute ``exposure_time``; without it as it is). Its
        own counting noise, ``dark / n_frames`` where its attribute ``n_frames`` says how many frames it is the mean
        of, is part of the errors.
    background_image
        ``(y, x)``, counts of a frame without the sample, subtracted in the same way. What a dark takes from frames it
        takes from this image, too, unless that was done before (its attribute ``corrections``).

    Raises
    ------
    CorrectionError
        A size that is not odd, a threshold without a median, an array that is not ``(y, x)``.

    Notes
    -----
    Two recipes are equal if they do the same: arrays are compared by a fingerprint of their content.

    Examples
    --------
    >>> correction = Correction(median=3, background=Background(y=(0, 20), x=(0, 20), mode="subtract"))
    >>> correction.halo
    1
    >>> correction == Correction(median=3), hash(correction) == hash(correction)
    (False, True)
    """

    median: int | None = None
    threshold: float | None = None
    flatfield: xr.DataArray | None = None
    background: Background | None = None
    mask: xr.DataArray | None = None
    normalise: str | tuple[str, float] | None = None
    count_rate: float | None = None
    dark: xr.DataArray | None = None
    background_image: xr.DataArray | None = None

    def __post_init__(self) -> None:
        if self.median is not None:
            size = self.median
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 3 or size % 2 == 0:
                raise CorrectionError(f"the size of a median must be an odd number from 3 on, not {size!r}")
            object.__setattr__(self, "median", int(size))
        if self.threshold is not None and self.median is None:
            raise CorrectionError(
                "a threshold says which pixels a median replaces: give the median, too, e.g. median=3"
            )
        for name in ("threshold", "count_rate"):
            object.__setattr__(self, name, _positive(getattr(self, name), name))
        object.__setattr__(self, "normalise", _normalise(self.normalise))
        if self.background is not None and not isinstance(self.background, Background):
            raise CorrectionError(
                f"background must be a Background, e.g. Background(y=(0, 20), x=(0, 20)), not {self.background!r}"
            )
        for name in ("flatfield", "mask", *IMAGES):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _calibration(getattr(self, name), name))
        for name in IMAGES:
            _check_facts(getattr(self, name), name)

    @property
    def halo(self) -> int:
        """How many pixels around a box its corrected values depend on."""
        return 0 if self.median is None else self.median // 2

    @property
    def applied(self) -> tuple[str, ...]:
        """Names of the steps, in order."""
        return tuple(name for name in ORDER if getattr(self, name) is not None)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content, wherever the arrays come from."""
        content = {name: value["fingerprint"] if _is_array(value) else value for name, value in self.to_dict().items()}
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON form: arrays by their source and fingerprint, never their pixels."""
        document: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, xr.DataArray):
                value = {
                    "source": str(value.attrs.get("source", "")),
                    "fingerprint": _fingerprint(value, facts=item.name in IMAGES),
                }
            elif value is None and item.name in IMAGES:  # what was written before there were any
                continue
            document[item.name] = value.to_dict() if isinstance(value, Background) else value
        return document

    def to_json(self) -> str:
        """One line of JSON; see :meth:`to_dict`."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def _repr_html_(self) -> str:
        """Show the steps as a table, in the order in which they are done."""
        rows = []
        for name in self.applied:
            value = getattr(self, name)
            if isinstance(value, xr.DataArray):
                value = f"{value.attrs.get('source', '') or 'array'}, {value.sizes['y']} x {value.sizes['x']} pixels"
            elif isinstance(value, Background):
                boxes = " and ".join(f"y {y[0]}:{y[1]}, x {x[0]}:{x[1]}" for y, x in value.boxes)
                value = f"{value.mode}, {boxes}"
            elif name == "median":
                every = (
                    "every pixel"
                    if self.threshold is None
                    else f"outliers beyond {self.threshold:g} standard deviations"
                )
                value = f"{value} x {value}, {every}"
            rows.append((cell(name.replace("_", " ")), cell(value)))
        return table("Correction" if rows else "Correction: none", ("step", "how"), rows)

    def __repr__(self) -> str:
        said = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, xr.DataArray):
                named = str(value.attrs.get("source", "") or "array")
                value = f"<{named}, {value.sizes['y']} x {value.sizes['x']}>"
            else:
                value = None if value is None else repr(value)
            said += [] if value is None else [f"{item.name}={value}"]
        return f"Correction({', '.join(said)})"

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, Correction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.fingerprint


def checked(correction: object) -> Correction | None:
    """Return a correction or None; say what was given instead of one.

    Raises
    ------
    CorrectionError
        It is a flat field, a Background, a dict, or anything else that is no Correction.
    """
    if correction is None or isinstance(correction, Correction):
        return correction
    how = "Correction(median=3)"
    if isinstance(correction, xr.DataArray):
        how = "Correction(mask=...)" if correction.dtype.kind == "b" else "Correction(flatfield=...)"
    elif isinstance(correction, Background):
        how = "Correction(background=...)"
    elif isinstance(correction, dict):
        how = "Correction(**...)"
    elif isinstance(correction, np.ndarray):
        how = "Correction(flatfield=...)"
    raise CorrectionError(f"correction is a Correction, e.g. {how}, not {type(correction).__name__}")


def _is_array(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"source", "fingerprint"}


def _positive(value: object, what: str) -> float | None:
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not 0 < value < np.inf
    ):
        raise CorrectionError(f"{what} must be a positive number, not {value!r}")
    return float(value)


def _normalise(value: object) -> str | tuple[str, float] | None:
    """Return the name of a coordinate, or such a name and a reference."""
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 and isinstance(value[0], str):
        reference = _positive(value[1], "the reference of normalise")
        if value[0] and reference is not None:
            return value[0], reference
    raise CorrectionError(
        f"normalise must be the name of a coordinate, or a pair of name and reference, e.g. ('monitor', 1e5), not "
        f"{value!r}"
    )


MEASURED = ("exposure_time", "n_frames", APPLIED)
"""Attributes of an image that decide what is subtracted, and how well it is known."""
_MAKERS = {"flatfield": "open_flatfield(folder)", "mask": "read_mask(path)"} | dict.fromkeys(
    IMAGES, "open_image(folder)"
)


def _calibration(array: object, what: str) -> xr.DataArray:
    """Return a flat field, a mask or an image in memory, ``(y, x)``."""
    if not isinstance(array, xr.DataArray):
        try:
            values = np.asarray(array)
        except ValueError:  # rows of different lengths
            values = np.empty(())
        if values.ndim != 2:
            told = repr(array) if isinstance(array, str | os.PathLike) else type(array).__name__
            raise CorrectionError(f"{what} must be an array with the dims (y, x), e.g. {_MAKERS[what]}, not {told}")
        array = xr.DataArray(values, dims=("y", "x"))
    if set(array.dims) != {"y", "x"}:
        raise CorrectionError(f"{what} must have the dims (y, x), not ({', '.join(map(str, array.dims))})")
    if array.dtype.kind not in "biuf":
        raise CorrectionError(f"{what} must hold real numbers, not {array.dtype}")
    array = array.transpose("y", "x").compute()
    array.attrs = {name: value for name, value in array.attrs.items() if value is not None}
    return array


def _check_facts(image: xr.DataArray | None, what: str) -> None:
    """Raise where a dark or background image says nonsense of how it was counted; what it does not say is not known."""
    for name in ("exposure_time", "n_frames") if image is not None else ():
        value = image.attrs.get(name)  # type: ignore[union-attr] # not None here
        if value is None:
            continue
        if isinstance(value, str | bool) or not np.isscalar(value) or not 0 < float(value) < np.inf:  # type: ignore[arg-type]
            raise CorrectionError(f"{what} has {name} = {value!r}: give a number above 0, or drop the attribute")


def _fingerprint(array: xr.DataArray, *, facts: bool = False) -> str:
    """Hash of an array's numbers and of the pixels that they belong to; ``facts``: and of how they were counted."""
    values = np.ascontiguousarray(array.values)
    said = hashlib.blake2b(digest_size=16)
    said.update(f"{values.dtype.str}{values.shape}{pixel_index(array, 'y')}{pixel_index(array, 'x')}".encode())
    said.update(values.data)
    if facts:
        said.update(repr([str(array.attrs.get(name, "")) for name in MEASURED]).encode())
    return said.hexdigest()
