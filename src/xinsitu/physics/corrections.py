"""What is done to frames before anything is measured: median, flat field, background, and their recipe.

Each step is a pure function of a DataArray ``(time, y, x)``; :class:`Correction` names them, :func:`correct` does them
in their order: median, flat field, background. Results are float32, and a pixel that says nothing is NaN.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, overload

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import CorrectionError, RoiError, XinsituWarning
from xinsitu.schema import COUNTS, RATIO, describe, image_of
from xinsitu.values import Background, Bounds

from . import framewise
from .blocks import in_blocks, over_blocks, pixel_index

APPLIED = "corrections"
"""Attribute of an image that lists the steps it has been through."""
DETECTOR_SHAPE = "detector_shape"
"""Attribute of a cropped image: rows and columns of the whole detector, as JSON."""


@dataclass(frozen=True, eq=False)
class Correction:
    """What is done to frames, in this order: median, flat field, background.

    Parameters
    ----------
    median
        Size of the median filter, odd, e.g. 3; None: no filter.
    flatfield
        ``(y, x)`` with mean 1, on its own detector pixels; frames are divided by it. Pixels where it is zero, negative
        or not finite become NaN.
    background
        Empty area of the detector by whose mean (after median and flat field) each frame is divided, or which is
        subtracted.
    mask
        ``(y, x)``, true or non-zero where a pixel is not to be used.

    Raises
    ------
    CorrectionError
        A size that is not odd, an array that is not ``(y, x)``.

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
    normalise: str | None = None
    count_rate: float | None = None

    def __post_init__(self) -> None:
        if self.median is not None:
            size = self.median
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 3 or size % 2 == 0:
                raise CorrectionError(f"the size of a median must be an odd number from 3 on, not {size!r}")
            object.__setattr__(self, "median", int(size))
        if self.background is not None and not isinstance(self.background, Background):
            raise CorrectionError(f"background must be a Background, not {type(self.background).__name__}")
        for name in ("flatfield", "mask"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _calibration(getattr(self, name), name))

    @property
    def halo(self) -> int:
        """How many pixels around a box its corrected values depend on."""
        return 0 if self.median is None else self.median // 2

    @property
    def applied(self) -> tuple[str, ...]:
        """Names of the steps, in order."""
        order = ("count_rate", "mask", "median", "flatfield", "background", "normalise")
        return tuple(name for name in order if getattr(self, name) is not None)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON form: arrays by their source and fingerprint, never their pixels."""
        document: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, xr.DataArray):
                value = {"source": str(value.attrs.get("source", "")), "fingerprint": _fingerprint(value)}
            document[item.name] = value.to_dict() if isinstance(value, Background) else value
        return document

    def to_json(self) -> str:
        """One line of JSON; see :meth:`to_dict`."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, Correction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.fingerprint


def _calibration(array: xr.DataArray | npt.ArrayLike, what: str) -> xr.DataArray:
    """Return a flat field or mask in memory, ``(y, x)``."""
    if not isinstance(array, xr.DataArray):
        array = xr.DataArray(np.asarray(array), dims=("y", "x")) if np.ndim(array) == 2 else xr.DataArray(array)
    if set(array.dims) != {"y", "x"}:
        raise CorrectionError(f"{what} must have the dims (y, x), not ({', '.join(map(str, array.dims))})")
    return array.transpose("y", "x").compute()


def _fingerprint(array: xr.DataArray) -> str:
    """Hash of an array's numbers and of the pixels that they belong to."""
    values = np.ascontiguousarray(array.values)
    said = hashlib.blake2b(digest_size=16)
    said.update(f"{values.dtype.str}{values.shape}{pixel_index(array, 'y')}{pixel_index(array, 'x')}".encode())
    said.update(values.data)
    return said.hexdigest()


# -- one function per correction --------------------------------------------------------------------------------------


def median(image: xr.DataArray, size: int = 3) -> xr.DataArray:
    """Median filter over ``size`` x ``size`` pixels of each frame, mirrored at the border.

    The same bits as ``scipy.ndimage.median_filter(image, size=(1, size, size), mode="reflect")``. Bad pixels (negative
    numbers of signed integers, the highest number of unsigned ones, NaN) are left out of their neighbours' medians and
    become NaN.

    Parameters
    ----------
    image
        ``(time, y, x)``.
    size
        Odd, 3 or more.

    Returns
    -------
    DataArray
        The same dims and units; float32, or float64 for integers above 16 bits and for float64.

    Raises
    ------
    CorrectionError
        The size is not odd.

    Examples
    --------
    >>> frames = xr.DataArray(np.array([[[1, 1, 1], [1, 900, 2], [1, 2, 3]]]), dims=("time", "y", "x"))
    >>> float(median(frames)[0, 1, 1])
    1.0
    """
    return _applied(image_of(image), Correction(median=size), dtype=np.result_type(image.dtype, np.float32))


def flatfield(image: xr.DataArray, flat: xr.DataArray) -> xr.DataArray:
    """Divide by a flat field: ``image / flat``.

    Parameters
    ----------
    image
        ``(time, y, x)``, the whole detector or a part of it.
    flat
        ``(y, x)`` with mean 1; a cropped image is divided by the flat field at its own ``y, x``.
        Pixels where it is zero, negative or not finite become NaN, with a warning that says how many.

    Returns
    -------
    DataArray
        The same dims and units, float32.

    Raises
    ------
    CorrectionError
        The flat field is of another shape, or the image has been divided by one already.

    Examples
    --------
    >>> frames = xr.DataArray(np.array([[[10, 20]]], dtype="uint16"), dims=("time", "y", "x"))
    >>> flatfield(frames, xr.DataArray([[0.5, 2.0]], dims=("y", "x"))).values
    array([[[20., 10.]]], dtype=float32)
    """
    return _applied(image_of(image), Correction(flatfield=flat))


def background(image: xr.DataArray, region: Background) -> xr.DataArray:
    """Divide each frame by the mean of an empty area of it, or subtract that mean.

    ``divide`` gives ``image / b(time)``, a ratio with units 1; with ``normalise="mean"`` it gives
    ``image / (b(time) / mean(b))``, which keeps the units; ``subtract`` gives ``image - b(time)``. ``b`` is the mean of
    all valid pixels of all regions together.

    Parameters
    ----------
    image
        ``(time, y, x)``.
    region
        Bounds on the full detector and what is done with them.

    Returns
    -------
    DataArray
        float32; a frame whose background is zero is NaN when divided, with a warning when it is computed that says how
        many frames of the block that is.

    Raises
    ------
    RoiError
        A region does not lie in the image.
    CorrectionError
        It has been done to this image already.

    Examples
    --------
    >>> frames = xr.DataArray(np.array([[[4, 4, 12]]], dtype="uint16"), dims=("time", "y", "x"))
    >>> background(frames, Background(y=(0, 1), x=(0, 2), mode="divide")).values
    array([[[1., 1., 3.]]], dtype=float32)
    >>> background(frames, Background(y=(0, 1), x=(2, 3), mode="subtract")).values
    array([[[-8., -8.,  0.]]], dtype=float32)
    """
    return _applied(image_of(image), Correction(background=region))


@overload
def crop(data: xr.Dataset, *, y: Bounds | None = None, x: Bounds | None = None) -> xr.Dataset: ...
@overload
def crop(data: xr.DataArray, *, y: Bounds | None = None, x: Bounds | None = None) -> xr.DataArray: ...
def crop(
    data: xr.Dataset | xr.DataArray, *, y: Bounds | None = None, x: Bounds | None = None
) -> xr.Dataset | xr.DataArray:
    """Cut out a rectangle, in detector pixels; the coordinates stay those of the detector.

    Parameters
    ----------
    data
        Anything with dims ``y`` and ``x``.
    y, x
        ``[first, behind the last)``; None keeps all.

    Raises
    ------
    RoiError
        The rectangle does not lie in the data.

    Examples
    --------
    >>> frame = xr.DataArray(np.arange(6).reshape(2, 3), dims=("y", "x"), coords={"y": [0, 1], "x": [5, 6, 7]})
    >>> crop(frame, x=(6, 8)).values.tolist()
    [[1, 2], [4, 5]]
    """
    image = data["image"] if isinstance(data, xr.Dataset) and "image" in data else data
    ranges = {dim: pixel_index(image, dim) for dim in ("y", "x")}  # type: ignore[arg-type]
    pieces: dict[str, slice] = {}
    for dim, bounds in (("y", y), ("x", x)):
        if bounds is None:
            continue
        (first, behind), (low, high) = (int(bounds[0]), int(bounds[1])), ranges[dim]
        if not low <= first < behind <= high:
            raise RoiError(f"a crop of {dim} = [{first}, {behind}) does not lie in the image, {dim} = [{low}, {high})")
        pieces[dim] = slice(first - low, behind - low)
    if not pieces:
        return data
    for dim in ("y", "x"):
        if dim not in data.coords:
            data = data.assign_coords({dim: np.arange(*ranges[dim])})
    result = data.isel(pieces)
    target = result["image"] if isinstance(result, xr.Dataset) and "image" in result else result
    target.attrs.setdefault(DETECTOR_SHAPE, json.dumps([ranges["y"][1], ranges["x"][1]]))
    return result


# -- the recipe -------------------------------------------------------------------------------------------------------


@overload
def correct(data: xr.Dataset, correction: Correction) -> xr.Dataset: ...
@overload
def correct(data: xr.DataArray, correction: Correction) -> xr.DataArray: ...
def correct(data: xr.Dataset | xr.DataArray, correction: Correction) -> xr.Dataset | xr.DataArray:
    """Correct frames as a recipe says, lazily where they are lazy.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    correction
        What to do.

    Returns
    -------
    Dataset or DataArray
        Like ``data``, with ``image`` corrected: float32, ``units`` set anew, the steps listed in the attribute
        ``corrections``. Everything else rides along.

    Raises
    ------
    CorrectionError
        Flat field or mask are of another shape; a step has been done to these frames already.
    RoiError
        The background region does not lie in the image.

    Examples
    --------
    >>> frames = xr.DataArray(np.full((1, 4, 4), 6, "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    >>> flat = xr.DataArray(np.full((4, 4), 2.0), dims=("y", "x"))
    >>> float(correct(frames, Correction(median=3, flatfield=flat)).max())
    3.0
    """
    corrected = _applied(image_of(data), correction)
    return data.assign(image=corrected) if isinstance(data, xr.Dataset) else corrected


def _applied(image: xr.DataArray, correction: Correction, dtype: npt.DTypeLike = np.float32) -> xr.DataArray:
    image = in_blocks(image)
    plan = plan_for(image, correction, dtype=dtype)
    shared = mean_background(image, correction) if plan.needs_mean else None
    tail = (image.sizes["y"], image.sizes["x"])
    data = over_blocks(framewise.correct_block, image, plan, tail=tail, dtype=dtype, shared=shared)
    return _labelled(image, data, correction)


def _labelled(image: xr.DataArray, data: Any, correction: Correction) -> xr.DataArray:  # noqa: ANN401
    """Corrected frames with the image's coordinates and attributes of their own."""
    result = xr.DataArray(data, dims=("time", "y", "x"), coords=image.coords)
    result = describe(result, "image", units=units_after(image, correction), long_name="corrected detector frames")
    kept = {name: value for name, value in image.attrs.items() if name not in ("units", "long_name")}
    done = " ".join([*applied_to(image), *correction.applied])
    result.attrs = {**kept, **result.attrs, APPLIED: done}
    return result.rename(image.name)


def applied_to(image: xr.DataArray) -> tuple[str, ...]:
    """Names of the steps that an image has been through."""
    return tuple(str(image.attrs.get(APPLIED, "")).split())


def units_of(image: xr.DataArray) -> str:
    """Units of an image: its own, else counts for whole numbers; empty where nobody can know."""
    return str(image.attrs.get("units", COUNTS if image.dtype.kind in "iu" else ""))


def units_after(image: xr.DataArray, correction: Correction | None) -> str:
    """Units of an image once it is corrected."""
    region = None if correction is None else correction.background
    ratio = region is not None and region.mode == "divide" and region.normalise is None
    return RATIO if ratio else units_of(image)


def plan_for(
    image: xr.DataArray, correction: Correction, dtype: npt.DTypeLike = np.float32, *, warn: bool = True
) -> framewise.Steps:
    """Fit a recipe to an image, for the block functions; checks that they go together."""
    done = set(applied_to(image)) & set(correction.applied) - {"median", "mask"}
    if done:
        raise CorrectionError(f"{', '.join(sorted(done))}: done to these frames already, it cannot be done twice")
    y, x = pixel_index(image, "y"), pixel_index(image, "x")
    boxes = None
    if correction.background is not None:
        for box in correction.background.boxes:
            if not (y[0] <= box[0][0] < box[0][1] <= y[1] and x[0] <= box[1][0] < box[1][1] <= x[1]):
                raise RoiError(
                    f"the background region y = {list(box[0])}, x = {list(box[1])} does not lie in the image, "
                    f"y = {list(y)}, x = {list(x)}"
                )
        boxes = tuple(((a - y[0], b - y[0]), (c - x[0], d - x[0])) for (a, b), (c, d) in correction.background.boxes)
    flat = mask = None
    if correction.flatfield is not None:
        flat = _usable_flat(_at_pixels_of(image, correction.flatfield, "flatfield").values, warn=warn)
    if correction.mask is not None:
        mask = _at_pixels_of(image, correction.mask, "mask").values.astype(bool)
    return framewise.Steps(
        recipe=f"{correction.fingerprint} {y} {x} {stored_dtype(image)} {np.dtype(dtype)}",
        median=correction.median,
        flat=flat,
        mask=mask,
        boxes=boxes,
        mode=None if correction.background is None else correction.background.mode,
        needs_mean=correction.background is not None and correction.background.normalise == "mean",
        stored=stored_dtype(image),
        dtype=np.dtype(dtype),
    )


def stored_dtype(image: xr.DataArray) -> np.dtype[Any] | None:
    """Type whose codes mark bad pixels: of the file, where the reader converted it since; None after a correction."""
    if applied_to(image):
        return None
    stored: np.dtype[Any] = np.dtype(image.encoding.get("dtype", image.dtype))
    return stored


def _at_pixels_of(image: xr.DataArray, calibration: xr.DataArray, what: str) -> xr.DataArray:
    """Part of a flat field or mask that belongs to the image's pixels."""
    own = {dim: pixel_index(image, dim) for dim in ("y", "x")}
    its = {dim: pixel_index(calibration, dim) for dim in ("y", "x")}
    inside = all(its[dim][0] <= own[dim][0] and own[dim][1] <= its[dim][1] for dim in ("y", "x"))
    full = _detector_shape(image)
    whole = all(its[dim][0] == 0 for dim in ("y", "x"))
    same = own == its
    if not inside or (whole and not same and full is not None and full != calibration.shape):
        shapes = f"{calibration.sizes['y']} x {calibration.sizes['x']}"
        frames = f"{image.sizes['y']} x {image.sizes['x']}"
        source = calibration.attrs.get("source")
        raise CorrectionError(
            f"{what if source is None else f'{what} {source}'} has {shapes} pixels and the frames have {frames}: they are not of the same detector"
        )
    return calibration.isel({dim: slice(own[dim][0] - its[dim][0], own[dim][1] - its[dim][0]) for dim in ("y", "x")})


def _detector_shape(image: xr.DataArray) -> tuple[int, int] | None:
    """Rows and columns of the whole detector, None where a crop hides them."""
    if DETECTOR_SHAPE in image.attrs:
        rows, columns = json.loads(image.attrs[DETECTOR_SHAPE])
        return int(rows), int(columns)
    stored = image.encoding.get("preferred_chunks")
    if isinstance(stored, Mapping) and {"y", "x"} <= set(stored):
        return int(stored["y"]), int(stored["x"])
    first = pixel_index(image, "y")[0], pixel_index(image, "x")[0]
    return (image.sizes["y"], image.sizes["x"]) if first == (0, 0) else None


def _usable_flat(flat: npt.NDArray[Any], *, warn: bool) -> npt.NDArray[np.float32]:
    """Flat field in float32, NaN where nothing can be divided by it."""
    usable = np.isfinite(flat) & (flat > 0)
    if warn and (n_bad := int(flat.size - np.count_nonzero(usable))):
        warnings.warn(
            f"flatfield: {n_bad} of {flat.size} pixels are zero, negative or not finite; they become NaN",
            XinsituWarning,
            stacklevel=5,
        )
    return np.where(usable, flat, np.nan).astype(np.float32)


def mean_background(image: xr.DataArray, correction: Correction) -> Any:  # noqa: ANN401 - a number, or a lazy one
    """Time mean of the background, lazily; reads no more than its regions and their halo."""
    if correction.background is None:
        raise CorrectionError("there is no background to take the mean of")
    small = around(image, correction.background.boxes, correction.halo)
    plan = replace(plan_for(small, correction, warn=False), needs_mean=False)
    levels = over_blocks(framewise.background_block, small, plan, tail=(1, 1), dtype=np.float64)
    if isinstance(levels, np.ndarray):
        return framewise.mean_level(levels)
    return dask.delayed(framewise.mean_level, pure=True)(levels)


def around(image: xr.DataArray, boxes: tuple[tuple[Bounds, Bounds], ...], halo: int) -> xr.DataArray:
    """Smallest part of an image that holds boxes and their halo."""
    pieces, full = {}, _detector_shape(image)
    for axis, dim in enumerate(("y", "x")):
        low, high = pixel_index(image, dim)
        first = max(low, min(box[axis][0] for box in boxes) - halo)
        behind = min(high, max(box[axis][1] for box in boxes) + halo)
        pieces[dim] = slice(first - low, behind - low)
        if dim not in image.coords:
            image = image.assign_coords({dim: np.arange(low, high)})
    small = image.isel(pieces)
    if full is not None:
        small.attrs[DETECTOR_SHAPE] = json.dumps(full)
    return small
