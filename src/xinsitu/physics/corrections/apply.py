"""What is done to frames before anything is measured: median, flat field, background.

Each step is a pure function of a DataArray ``(time, y, x)``; :class:`Correction` names them, :func:`correct` does them
in their order. Results are float32, and a pixel that says nothing is NaN.
"""

from __future__ import annotations

import json
from typing import Any, cast, overload

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import CorrectionError, RoiError, warn
from xinsitu.physics.blocks import block_function, over_blocks, pixel_index
from xinsitu.schema import APPLIED, DETECTOR_SHAPE, FIRST_FRAME, check_data, check_kind, describe, require
from xinsitu.values import Background, Bounds
from xinsitu.variables import FROM_CORRECT, SAID_LATER, Counted, Frames, applied_to, as_frames, holds_counts, spoken

from . import framewise
from .correction import Correction as Correction
from .correction import checked
from .frame_numbers import reference_of
from .plan import (
    MEDIAN_SIZE,
    MEDIAN_THRESHOLD,
    around,
    plan_for,
    prepared,
    units_after,
)

# -- one function per correction --------------------------------------------------------------------------------------


def median(image: xr.DataArray, size: int = 3, *, threshold: float | None = None) -> xr.DataArray:
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
    threshold
        Replace only outliers, everything else stays as counted: pixels that differ from the median ``m`` around them by
        more than ``threshold * sqrt(m + 1)``, plus what the slope around them explains. Hot and dead pixels go, alone
        or two side by side; spots with a FWHM of 2 pixels or more stay.

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
    check_kind(image, "DataArray")
    return _applied(image, Correction(median=size, threshold=threshold), dtype=np.result_type(image.dtype, np.float32))


def flatfield(image: xr.DataArray, flat: xr.DataArray) -> xr.DataArray:
    """Divide by a flat field: ``image / flat``.

    Parameters
    ----------
    image
        ``(time, y, x)``, the whole detector or a part of it.
    flat
        ``(y, x)`` with mean 1; a cropped image is divided by the flat field at its own ``y, x``.
        Pixels where it is zero, negative or not finite become NaN, with a warning where they are more
        than one in a thousand.

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
    return _applied(image, Correction(flatfield=flat))


def background(image: xr.DataArray, region: Background) -> xr.DataArray:
    """Divide each frame by the mean of an empty area of it, or subtract that mean.

    ``divide`` gives ``image / b(time)``, a ratio with units 1; with ``normalise="mean"`` it gives
    ``image / (b(time) / mean(b))``, which keeps the units (each measurement goes by its own mean: joined, they have no
    common scale); ``subtract`` gives ``image - b(time)``. ``b`` is the mean of all valid pixels of all regions
    together.

    Parameters
    ----------
    image
        ``(time, y, x)``.
    region
        Bounds on the full detector and what is done with them.

    Returns
    -------
    DataArray
        float32; a frame whose background is zero is NaN when divided, which is said when it is computed.

    Raises
    ------
    RoiError
        A region does not lie in the image.
    CorrectionError
        It has been done to this image already.

    Examples
    --------
    >>> frames = xr.DataArray(np.array([[[400, 400, 1200]]], dtype="uint16"), dims=("time", "y", "x"))
    >>> background(frames, Background(y=(0, 1), x=(0, 2), mode="divide")).values
    array([[[1., 1., 3.]]], dtype=float32)
    >>> background(frames, Background(y=(0, 1), x=(2, 3), mode="subtract")).values
    array([[[-800., -800.,    0.]]], dtype=float32)
    """
    return _applied(image, Correction(background=region))


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
    check_data(data)
    image = data["image"] if isinstance(data, xr.Dataset) and "image" in data else data
    require(image, dims=("y", "x"))
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
    corrected = _applied(data, correction)
    return data.assign(image=corrected) if isinstance(data, xr.Dataset) else corrected


def _applied(
    data: xr.Dataset | xr.DataArray, correction: Correction, dtype: npt.DTypeLike = np.float32
) -> xr.DataArray:
    if checked(correction) is None:
        raise CorrectionError("there is no correction: give one, e.g. Correction(median=3)")
    ready = prepared(data, correction, dtype=dtype)
    image, plan = ready.image, ready.steps
    tail = (image.sizes["y"], image.sizes["x"])
    called = f"{FROM_CORRECT}{correction.fingerprint}" if holds_counts(image) else None
    values = over_blocks(
        framewise.correct_block,
        image,
        ready.per_frame,
        plan,
        tail=tail,
        dtype=dtype,
        shared=ready.shared,
        called=called,
        in_files=framewise.correct_in_files,
    )
    result = _labelled(image, values, correction).assign_attrs(reference_of(data, image, correction))
    divides = plan.counts and plan.mode == "divide"
    if not isinstance(values, np.ndarray):
        return _with_noise(result, image, correction) if divides and image.sizes["time"] else result
    spoken(result)
    if divides and (told := framewise.noise_of(_counts_under(image, plan))):
        warn(told)
    return result


def _with_noise(result: xr.DataArray, image: xr.DataArray, correction: Correction) -> xr.DataArray:
    """Lazy frames that know what there is to say of the noise of their background when they are written."""
    result.encoding[SAID_LATER] = dask.delayed(_noise_text, pure=True)(*_few_under(image, correction))
    return result


def _few_under(image: xr.DataArray, correction: Correction, frames: int = 64) -> tuple[Any, framewise.Steps]:
    """Pixels around the background regions of some frames, evenly spread, and the plan that fits them."""
    region = cast("Background", correction.background)
    some = np.unique(np.linspace(0, image.sizes["time"] - 1, frames).astype(int))
    small = around(image.isel(time=some), region.boxes, 0)
    return small.data, plan_for(small, Correction(background=region), warns=False)


@block_function
def _noise_text(pixels: npt.NDArray[Any], plan: framewise.Steps) -> str:
    """Return a sentence on the noise of a background, or nothing."""
    counts = framewise.raw_counts(pixels, plan)
    return framewise.noise_of(counts[counts > 0]) or ""


def _counts_under(image: xr.DataArray, plan: framewise.Steps) -> npt.NDArray[np.float64]:
    """Raw counts in the background regions of those frames that have any."""
    counts = framewise.raw_counts(image.values, plan)
    return counts[counts > 0]


def _labelled(image: xr.DataArray, values: npt.NDArray[Any], correction: Correction) -> xr.DataArray:
    """Corrected frames with the image's coordinates and attributes of their own."""
    result = xr.DataArray(values, dims=("time", "y", "x"), coords=image.coords)
    result = describe(result, "image", units=units_after(image, correction), long_name="corrected detector frames")
    kept = {name: value for name, value in image.attrs.items() if name not in ("units", "long_name")}
    done = " ".join([*applied_to(image), *correction.applied])
    result.attrs = {**kept, **result.attrs, APPLIED: done}
    for name, value in ((MEDIAN_SIZE, correction.median), (MEDIAN_THRESHOLD, correction.threshold)):
        if value is not None:
            result.attrs[name] = value
    result.encoding = {name: image.encoding[name] for name in ("source", FIRST_FRAME) if name in image.encoding}
    return as_frames(result.rename(image.name), Counted if holds_counts(image) else Frames)
