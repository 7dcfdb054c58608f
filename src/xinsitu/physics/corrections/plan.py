"""A recipe and an image are fitted to each other: what block functions need to know, checked."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import CorrectionError, RoiError, warn
from xinsitu.physics.blocks import in_blocks, over_blocks, pixel_index
from xinsitu.schema import DETECTOR_SHAPE, FIRST_FRAME, RATIO, image_of
from xinsitu.values import Box
from xinsitu.variables import applied_to, holds_counts, units_of

from . import framewise
from .correction import IMAGES, Correction, checked
from .frame_numbers import per_frame_of

log = logging.getLogger(__name__)

STORED_DTYPE = "stored_dtype"
"""Attribute of an image that was converted on reading: its type on disk."""
MEDIAN_SIZE, MEDIAN_THRESHOLD = "median_size", "median_threshold"
"""Attributes of an image that went through a median; without a threshold it went over every pixel."""
FLAT_COUNTS = "total_counts"
"""Attribute of a flat field: counts of all its frames in a pixel that is 1."""
PILATUS_COUNTER = 2**20
"""Counts at which the counter of a PILATUS pixel is full."""


def plain_median_before(image: xr.DataArray) -> int | None:
    """Size of the median that went over every pixel of an image before; None where there was none."""
    if "median" not in applied_to(image) or MEDIAN_THRESHOLD in image.attrs:
        return None
    return int(image.attrs.get(MEDIAN_SIZE, 3))


def units_after(image: xr.DataArray, correction: Correction | None) -> str:
    """Units of an image once it is corrected."""
    region = None if correction is None else correction.background
    ratio = region is not None and region.mode == "divide" and region.normalise is None
    return RATIO if ratio else units_of(image)


@dataclass(frozen=True)
class Prepared:
    """The part of an image that is needed, a row of numbers per frame, what is done to it, and its mean background."""

    image: xr.DataArray
    per_frame: npt.NDArray[np.float64]
    steps: framewise.Steps
    shared: Any


def prepared(
    data: xr.Dataset | xr.DataArray,
    correction: Correction | None,
    boxes: tuple[Box, ...] | None = None,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Prepared:
    """Fit a recipe to frames, for the block functions; of these no more than boxes, their halo and the background.

    Parameters
    ----------
    data
        A measurement, or its ``image (time, y, x)``.
    correction
        What to do; None: nothing.
    boxes
        Parts of the detector that are wanted; None: whole frames.
    dtype
        Of the result; float32, and what holds uncorrected pixels exactly.

    Raises
    ------
    CorrectionError, RoiError, SchemaError
        Recipe and frames do not go together.
    """
    image, recipe, facts = (
        in_blocks(image_of(data)),
        checked(correction) or Correction(),
        facts_of(data, image_of(data)),
    )
    _fits(recipe.median or 0, image)
    if dtype is None:
        dtype = np.result_type(image.dtype, np.float32) if correction is None else np.float32
    per_frame = per_frame_of(data, image, recipe)
    steps = plan_for(image, recipe, dtype, facts=facts)
    shared = _mean_background(image, per_frame, recipe) if steps.needs_mean else None
    if boxes is not None:
        regions = () if recipe.background is None else recipe.background.boxes
        image = around(image, (*boxes, *regions), recipe.halo)
        steps = plan_for(image, recipe, dtype, facts=facts, warns=False)
    return Prepared(image, per_frame, steps, shared)


def _fits(size: int, image: xr.DataArray) -> None:
    """Raise for a median that sees more than the whole frame from each of its pixels."""
    rows, columns = image.sizes["y"], image.sizes["x"]
    if size > 2 * max(rows, columns) + 1:
        raise CorrectionError(f"a median of {size} x {size} pixels is larger than the frames, {rows} x {columns}")


def plan_for(
    image: xr.DataArray,
    correction: Correction,
    dtype: npt.DTypeLike = np.float32,
    *,
    facts: Mapping[Any, Any] | None = None,
    warns: bool = True,
) -> framewise.Steps:
    """Fit a recipe to an image, for the block functions; checks that they go together."""
    done = set(applied_to(image)) & set(correction.applied) - {"mask"}
    if done:
        raise CorrectionError(f"{', '.join(sorted(done))}: done to these frames already, it cannot be done twice")
    _refuse_what_the_detector_did(correction, facts or image.attrs, warns=warns)
    if warns:
        _warn_of_own_frames(image, correction)
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
        own = _at_pixels_of(image, correction.flatfield, "flatfield").values
        subtracts = correction.background is not None and correction.background.mode == "subtract"
        said = correction.flatfield.encoding.setdefault("said", set())  # once is enough, however often it is used
        flat = _usable_flat(own, np.float64 if subtracts else np.float32, said if warns else None)
    if correction.mask is not None:
        mask = _at_pixels_of(image, correction.mask, "mask").values.astype(bool)
    images, unknown = _images(image, correction)
    if unknown is not None:
        mask = unknown if mask is None else mask | unknown
    return framewise.Steps(
        median=correction.median,
        threshold=correction.threshold,
        flat=flat,
        mask=mask,
        boxes=boxes,
        mode=None if correction.background is None else correction.background.mode,
        needs_mean=correction.background is not None and correction.background.normalise == "mean",
        scaled=correction.normalise is not None,
        dead_time=correction.count_rate,
        stored=stored_dtype(image),
        dead=_dead_pixels(image),
        dtype=np.dtype(dtype),
        counts=holds_counts(image),
        flat_counts=_flat_counts(correction),
        images=images,
    )


def _images(
    image: xr.DataArray, correction: Correction
) -> tuple[tuple[framewise.Subtracted, ...], npt.NDArray[np.bool_] | None]:
    """Dark and background image at an image's pixels, and where one of them says nothing; None where they all do."""
    found, unknown = [], None
    for name, column in zip(IMAGES, (framewise.DARK, framewise.BEHIND), strict=True):
        given = getattr(correction, name)
        if given is None:
            continue
        values = _at_pixels_of(image, given, name.replace("_", " ")).values.astype(np.float64)
        lost = ~np.isfinite(values)
        values = np.where(lost, 0.0, values)
        frames = float(given.attrs.get("n_frames", np.inf))
        found.append(framewise.Subtracted(values, np.maximum(values, 0) / max(frames, 1), column))
        if lost.any():
            unknown = lost if unknown is None else unknown | lost
    return tuple(found), unknown


def _flat_counts(correction: Correction) -> float | None:
    """Return the counts behind a pixel of the flat field that is 1; None where it does not say."""
    told = None if correction.flatfield is None else correction.flatfield.attrs.get(FLAT_COUNTS)
    return float(told) if isinstance(told, int | float | np.number) and told > 0 else None


def stored_dtype(image: xr.DataArray) -> np.dtype[Any] | None:
    """Type whose codes mark bad pixels: of the file, where the reader converted it since; None after a correction.

    Where a short type has a known cut-off, its highest number is a full pixel and no code, as in a wider type.
    """
    if applied_to(image):
        return None
    stored = np.dtype(image.attrs.get(STORED_DTYPE, image.dtype))
    return np.dtype("uint32") if _fills_up(image, stored) else stored


def _fills_up(image: xr.DataArray, stored: np.dtype[Any]) -> bool:
    return stored.kind == "u" and stored.itemsize <= 2 and bool(image.attrs.get("count_cutoff"))


def _dead_pixels(image: xr.DataArray) -> tuple[npt.NDArray[np.bool_], int] | None:
    """Pixels of the file's own mask and the number that would pass for a full pixel in them; None where none does."""
    stored = np.dtype(image.attrs.get(STORED_DTYPE, image.dtype))
    if applied_to(image) or not _fills_up(image, stored) or "mask" not in image.coords:
        return None
    mask = image.coords["mask"]
    bad = mask.transpose("y", "x").values.astype(bool) if set(mask.dims) == {"y", "x"} else np.zeros(0, dtype=bool)
    return (bad, int(np.iinfo(stored).max)) if bad.any() else None


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
        named = f"{what} {calibration.attrs.get('source', '')}".strip()
        raise CorrectionError(
            f"{named} has {shapes} pixels and the frames have {frames}: they are not of the same detector"
        )
    return calibration.isel({dim: slice(own[dim][0] - its[dim][0], own[dim][1] - its[dim][0]) for dim in ("y", "x")})


def _detector_shape(image: xr.DataArray) -> tuple[int, int] | None:
    """Rows and columns of the whole detector, None where a crop hides them."""
    if DETECTOR_SHAPE in image.attrs:
        rows, columns = json.loads(image.attrs[DETECTOR_SHAPE])
        return int(rows), int(columns)
    first = pixel_index(image, "y")[0], pixel_index(image, "x")[0]
    return (image.sizes["y"], image.sizes["x"]) if first == (0, 0) else None


USUALLY_DEAD = 1e-3
"""Part of its pixels that a sound detector may have lost: ROIs that hold one are flagged, and nothing is warned of."""


def _usable_flat(flat: npt.NDArray[Any], dtype: npt.DTypeLike, said: set[str] | None) -> npt.NDArray[np.floating]:
    """Flat field as floating point, NaN where nothing can be divided by it; ``said``: what was told of it before."""
    usable = np.isfinite(flat) & (flat > 0)
    dead = flat.size - np.count_nonzero(usable)
    text = f"flatfield: {dead} of {flat.size} pixels are zero, negative or not finite; they become NaN"
    if said is not None and dead and text not in said:
        said.add(text)
        if dead > USUALLY_DEAD * flat.size:
            warn(text)
        else:
            log.info(text)
    return np.where(usable, flat, np.nan).astype(dtype)


def _refuse_what_the_detector_did(correction: Correction, facts: Mapping[Any, Any], *, warns: bool) -> None:
    """Dead time twice is an error; a flat field twice may be meant, and is said."""
    if correction.count_rate is not None and (done := _count_rate_corrected(facts)):
        raise CorrectionError(
            f"the header says that the detector has corrected its count rate ({done}): leave count_rate away"
        )
    named = str(facts.get("flat_field", "") or "")
    if warns and correction.flatfield is not None and named.strip("()").lower() not in ("", "nil", "null", "none"):
        warn(f"the header names a flat field, {named}, that the detector has applied; now another one is")
    if warns and correction.flatfield is not None:
        _warn_of_another_detector(correction.flatfield, facts)


def _warn_of_own_frames(image: xr.DataArray, correction: Correction) -> None:
    """Say where a measurement is given as its own dark, background image or flat field."""
    first = image.encoding.get(FIRST_FRAME, frozenset())
    for name in ("flatfield", *IMAGES):
        given = getattr(correction, name)
        if given is not None and first & given.encoding.get(FIRST_FRAME, frozenset()):
            called = {"flatfield": "flat field"}.get(name, name.replace("_", " "))
            warn(
                f"the {called} {given.attrs.get('source', '')} is made of the measurement's own frames, and takes away "
                "what is to be measured"
            )


def _count_rate_corrected(facts: Mapping[Any, Any]) -> str | None:
    """Say how a header shows that dead time is corrected: its dead time, or a cut-off that no counter reaches.

    A PILATUS counts to 2^20. Camserver writes as ``Count_cutoff`` what that becomes when it is corrected; PILATUS3 go
    by a table and write ``Tau = 0`` all the same.
    """
    if float(facts.get("tau", 0) or 0) > 0:
        return f"tau = {facts['tau']} s"
    cutoff = float(facts.get("count_cutoff", 0) or 0)
    if "pilatus" in str(facts.get("detector", "")).lower() and cutoff > PILATUS_COUNTER:
        return f"its count cut-off {cutoff:.0f} is beyond a counter of 20 bits"
    return None


def _warn_of_another_detector(flat: xr.DataArray, facts: Mapping[Any, Any]) -> None:
    """Say where the flat field was taken with another detector or threshold than the frames, if both are known."""
    for name, called in (("detector_serial", "the detector"), ("threshold_energy", "a threshold of")):
        theirs, its = facts.get(name), flat.attrs.get(name)
        if theirs is not None and its is not None and theirs != its:
            warn(f"flat field {flat.attrs.get('source', '')} was taken with {called} {its}, the frames with {theirs}")


def facts_of(data: xr.Dataset | xr.DataArray, image: xr.DataArray) -> dict[Any, Any]:
    """Attributes of a measurement and of its image."""
    return {**data.attrs, **image.attrs}


def _mean_background(image: xr.DataArray, per_frame: npt.NDArray[np.float64], correction: Correction) -> Any:  # noqa: ANN401 - a number, or a lazy one
    """Time mean of the background, lazily; reads no more than its regions and their halo."""
    if correction.background is None:
        raise CorrectionError("there is no background to take the mean of")
    small = around(image, correction.background.boxes, correction.halo)
    plan = replace(plan_for(small, correction, warns=False), needs_mean=False)
    levels = over_blocks(framewise.background_block, small, per_frame, plan, tail=(1, 1), dtype=np.float64)
    if isinstance(levels, np.ndarray):
        return framewise.mean_level(levels)
    return dask.delayed(framewise.mean_level, pure=True)(levels)


def around(image: xr.DataArray, boxes: tuple[Box, ...], halo: int) -> xr.DataArray:
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
